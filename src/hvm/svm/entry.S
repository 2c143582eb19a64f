/* SPDX-License-Identifier: MIT */
/*
 * void svm_vmrun(struct vcpu_regs *regs, u64 vmcb_pa, u64 host_vmcb_pa)
 *
 * With GIF clear nothing at all interrupts us; IF is set only so that, with V_INTR_MASKING, physical interrupts
 * make the guest exit (APM 15.21.1). After the exit GIF is clear again, IF is cleared first and GIF set second:
 * no host interrupt is taken here, it waits for irq_window(). NMIs and machine checks arrive right after STGI, when
 * our GS base and TR are back. VMLOAD and VMSAVE switch FS, GS, TR, LDTR and the system-call MSRs, so between VMRUN
 * and the host's VMLOAD nothing may be reached through GS.
 */
#include "cpu/spec.h"

.macro GPRS op
    .irp r, 8, 9, 10, 11, 12, 13, 14, 15
    .ifc \op, load
    movq \r * 8(%rdi), %r\r
    .else
    movq %r\r, \r * 8(%rax)
    .endif
    .endr
.endm

    .section .text.svm_vmrun, "ax"
    .globl svm_vmrun
    .hidden svm_vmrun
    .type svm_vmrun, @function
svm_vmrun:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    subq $8, %rsp
    pushq %rdx                          /* 16(%rsp) host VMCB */
    pushq %rsi                          /*  8(%rsp) guest VMCB */
    pushq %rdi                          /*  0(%rsp) registers */

    clgi
    sti
    movq %rsi, %rax
    vmload %rax
    movq 1 * 8(%rdi), %rcx
    movq 2 * 8(%rdi), %rdx
    movq 3 * 8(%rdi), %rbx
    movq 5 * 8(%rdi), %rbp
    movq 6 * 8(%rdi), %rsi
    GPRS load
    movq 7 * 8(%rdi), %rdi

    vmrun %rax                          /* RAX, RSP, RIP, RFLAGS are in the VMCB; ours come back from HSAVE */

    vmsave %rax
    pushq %rdi
    movq 24(%rsp), %rax
    vmload %rax
    movq 8(%rsp), %rax
    movq %rcx, 1 * 8(%rax)
    movq %rdx, 2 * 8(%rax)
    movq %rbx, 3 * 8(%rax)
    movq %rbp, 5 * 8(%rax)
    movq %rsi, 6 * 8(%rax)
    GPRS store
    popq %rcx
    movq %rcx, 7 * 8(%rax)

    /* No guest value stays where speculation could use it; no RET before this. */
    xorl %ebx, %ebx
    xorl %esi, %esi
    xorl %edi, %edi
    xorl %ebp, %ebp
    xorl %r8d, %r8d
    xorl %r9d, %r9d
    xorl %r10d, %r10d
    xorl %r11d, %r11d

    SPEC_VMEXIT
    xorl %ecx, %ecx
    xorl %edx, %edx
    cli
    stgi
    addq $32, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size svm_vmrun, . - svm_vmrun

    .section .note.GNU-stack, "", @progbits
