/* SPDX-License-Identifier: MIT */
/* First and last instructions of the loader. Entered in 64-bit mode with SSE on, RDI = struct loader_input. */
    .section .start, "ax"
    .quad 0x3172646c4d754865        /* LOADER_MAGIC */
    .quad loader_memory_bytes       /* linker script */
    .quad _start
    .globl _start
_start:
    lea stack_end(%rip), %rsp
    mov %rdi, %rbx
    /* The libraries read their stack canary at %fs:0x28. */
    lea canary_block(%rip), %rax
    mov 56(%rdi), %rcx              /* loader_input.canary */
    mov %rcx, 0x28(%rax)
    mov %rax, %rdx
    shr $32, %rdx
    mov $0xc0000100, %ecx           /* FS_BASE */
    wrmsr
    mov 64(%rbx), %eax
    mov %eax, use_vmcall(%rip)
    /* Constructors (liblzma chooses its CRC code in one). */
    lea init_array_start(%rip), %r12
    lea init_array_end(%rip), %r13
1:  cmp %r13, %r12
    jae 2f
    call *(%r12)
    add $8, %r12
    jmp 1b
2:  mov %rbx, %rdi
    call loader_main
    ud2

    .text
    .globl loader_exit
loader_exit:                        /* (status, a, b, c) -> RDI RSI RDX R10 */
    mov %rcx, %r10
    mov $63, %eax                   /* CALL_LOADER_DONE */
    cmpl $0, use_vmcall(%rip)
    jne 1f
    vmmcall
    ud2
1:  vmcall
    ud2

    .bss
    .balign 64
canary_block: .skip 64
use_vmcall: .skip 64
    .skip 65536
    .globl stack_end
stack_end:
    .section .note.GNU-stack, "", @progbits
