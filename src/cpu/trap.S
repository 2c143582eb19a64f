/* SPDX-License-Identifier: MIT */
/*
 * Entry stubs. Exceptions save everything (struct trap_frame) and call trap_handler(). Those with a stack of their
 * own (NMI, #MC, #DF, #DB) may hit where GS base is a guest's; they take it from the top of that stack.
 * Interrupts only arrive in irq_window() and irq_idle(), so caller-saved registers are enough.
 */
#define MSR_GS_BASE 0xc0000101
#define FRAME_BYTES (22 * 8)

    .text

    .macro PUSH_ALL
    push %rdi
    push %rsi
    push %rdx
    push %rcx
    push %rax
    push %r8
    push %r9
    push %r10
    push %r11
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    cld
    .endm

    .macro POP_ALL
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    pop %r11
    pop %r10
    pop %r9
    pop %r8
    pop %rax
    pop %rcx
    pop %rdx
    pop %rsi
    pop %rdi
    .endm

trap_common:
    PUSH_ALL
    mov %rsp, %rdi
    xor %ebp, %ebp
    call trap_handler
    POP_ALL
    add $16, %rsp
    iretq

trap_ist_common:
    PUSH_ALL
    mov $MSR_GS_BASE, %ecx
    rdmsr
    mov %eax, %r12d
    mov %edx, %r13d
    mov FRAME_BYTES(%rsp), %rax         /* struct cpu, see ist_set() */
    mov %rax, %rdx
    shr $32, %rdx
    wrmsr
    mov %rsp, %rdi
    xor %ebp, %ebp
    call trap_handler
    mov $MSR_GS_BASE, %ecx
    mov %r12d, %eax
    mov %r13d, %edx
    wrmsr
    POP_ALL
    add $16, %rsp
    iretq

/* Exceptions 0-31: 16 bytes per stub, an error code is pushed by the CPU for 8, 10-14, 17, 21, 29, 30. */
    .balign 16
    .globl trap_stubs
trap_stubs:
    .set v, 0
    .rept 32
    .balign 16
    .if !((v == 8) || ((v >= 10) && (v <= 14)) || (v == 17) || (v == 21) || (v == 29) || (v == 30))
    push $0
    .endif
    push $v
    .if (v == 1) || (v == 2) || (v == 8) || (v == 18)
    jmp trap_ist_common
    .else
    jmp trap_common
    .endif
    .set v, v + 1
    .endr

/* Interrupts 32-255. */
    .balign 16
    .globl irq_stubs
irq_stubs:
    .rept 224
    .balign 16
    push $v
    jmp irq_common
    .set v, v + 1
    .endr

irq_common:
    push %rax
    push %rcx
    push %rdx
    push %rsi
    push %rdi
    push %r8
    push %r9
    push %r10
    push %r11
    cld
    mov 9 * 8(%rsp), %edi
    sub $8, %rsp                        /* 5 + 1 + 9 words so far: align to 16 */
    call irq_dispatch
    add $8, %rsp
    pop %r11
    pop %r10
    pop %r9
    pop %r8
    pop %rdi
    pop %rsi
    pop %rdx
    pop %rcx
    pop %rax
    add $8, %rsp
    iretq

/* void stack_switch_call(void *stack_top, void (*fn)(void)): continue there, never return. */
    .globl stack_switch_call
stack_switch_call:
    mov %rdi, %rsp
    xor %ebp, %ebp
    call *%rsi
    ud2

/* A started CPU arrives here from the trampoline: 64-bit mode on boot_cr3, no stack. */
    .globl ap_start64
ap_start64:
    mov host_cr3(%rip), %rax
    mov %rax, %cr3
    mov ap_cpu(%rip), %rdi
    mov 8(%rdi), %rsp                   /* struct cpu.stack_top */
    xor %ebp, %ebp
    call ap_main
    ud2

    .section .note.GNU-stack, "", @progbits
