/* SPDX-License-Identifier: MIT */
/*
 * Indirect branches when the image is built with -mindirect-branch=thunk-extern -mindirect-branch-register: the
 * target is reached by a return that the return-stack predictor sends into a loop, never by a trainable predictor.
 */
    .macro THUNK reg
    .section .text.thunk.\reg, "ax", @progbits
    .balign 32
    .globl __x86_indirect_thunk_\reg
    .hidden __x86_indirect_thunk_\reg
    .type __x86_indirect_thunk_\reg, @function
__x86_indirect_thunk_\reg:
    call 2f
1:  pause
    lfence
    jmp 1b
2:  mov %\reg, (%rsp)
    ret
    int3
    .size __x86_indirect_thunk_\reg, . - __x86_indirect_thunk_\reg
    .endm

    .irp reg, rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15
    THUNK \reg
    .endr

    .section .note.GNU-stack, "", @progbits
