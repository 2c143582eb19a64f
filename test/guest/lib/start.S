/* SPDX-License-Identifier: MIT */
/* PVH entry (public/arch-x86/hvm/start_info.h): 32-bit protected mode, paging off, EBX = hvm_start_info. Goes to 64-bit
 * mode with the first 4 GiB mapped one to one by 2 MiB pages. */
    .section .note.Xen, "a", @note
    .balign 4
    .long 4, 8, 18                      /* XEN_ELFNOTE_PHYS32_ENTRY */
    .asciz "Xen"
    .balign 4
    .quad start32

    .section .text.start, "ax"
    .code32
    .globl start32
start32:
    .byte 0x0f, 0x1f, 0x80; .ascii "Heli"   /* a long nop: where `make bench` stops counting (test/perf/count.c) */
    cld
    movl $stack_top, %esp
    movl %ebx, %ebp
    /* page directories: 4 x 512 entries of 2 MiB */
    movl $pd, %edi
    movl $0x87, %eax                    /* present, writable, user, large */
    xorl %edx, %edx
    movl $2048, %ecx
1:  movl %eax, (%edi)
    movl %edx, 4(%edi)
    addl $0x200000, %eax
    adcl $0, %edx
    addl $8, %edi
    loop 1b
    movl $pdpt, %edi
    movl $pd + 7, %eax
    movl $4, %ecx
2:  movl %eax, (%edi)
    addl $4096, %eax
    addl $8, %edi
    loop 2b
    movl $pdpt + 7, %eax
    movl %eax, pml4
    movl $0x20, %eax                    /* PAE */
    movl %eax, %cr4
    movl $pml4, %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx
    rdmsr
    orl $0x101, %eax                    /* LME, SCE */
    wrmsr
    movl $0x80010033, %eax              /* PG WP NE ET MP PE */
    movl %eax, %cr0
    lgdt gdt_ptr
    ljmp $0x08, $start64
    .code64
start64:
    movl $0x10, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    xorl %eax, %eax
    movl %eax, %fs
    movl %eax, %gs
    movl $stack_top, %esp
    movl %ebp, %edi
    xorl %ebp, %ebp
    call guest_start
3:  cli
    hlt
    jmp 3b

/* Vectors: push number (and 0 where the CPU pushes no error code), save registers, call trap(frame). */
    .macro VECTOR n
    .balign 16
    .if !((1 << (\n & 31)) & 0x60227d00) || \n >= 32
    pushq $0
    .endif
    pushq $\n
    jmp trap_common
    .endm
    .balign 16
    .globl vectors
vectors:
    .set i, 0
    .rept 256
    VECTOR i
    .set i, i + 1
    .endr
trap_common:
    .irp r, rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15
    pushq %\r
    .endr
    cld
    movq %rsp, %rdi
    call trap
    .irp r, r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax
    popq %\r
    .endr
    addq $16, %rsp
    iretq

    .data
    .balign 16
    .globl gdt
gdt:
    .quad 0
    .quad 0x00af9b000000ffff            /* 08 code, ring 0 */
    .quad 0x00cf93000000ffff            /* 10 data, ring 0 */
    .quad 0x00affb000000ffff            /* 18 code, ring 3 */
    .quad 0x00cff3000000ffff            /* 20 data, ring 3 */
    .quad 0x00cf9b000000ffff            /* 28 code, ring 0, 32-bit */
    .quad 0, 0                          /* 30 TSS */
gdt_ptr:
    .word gdt_ptr - gdt - 1
    .quad gdt

    .bss
    .balign 4096
    .globl pml4
pml4: .skip 4096
pdpt: .skip 4096
pd: .skip 4 * 4096
stack: .skip 32768
stack_top:
    .section .note.GNU-stack, "", @progbits
