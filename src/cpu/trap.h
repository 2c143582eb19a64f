/* SPDX-License-Identifier: MIT */
/* Exceptions taken in the hypervisor itself. */
#pragma once
#include "lib/types.h"

/* What the entry stubs of trap.S leave on the stack. */
struct trap_frame {
    u64 r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi;
    u64 vector, error;
    u64 rip, cs, rflags, rsp, ss;
};

void trap_init(void);               /* fill the IDT (shared by all CPUs) */
void idt_load(void);
/* Machine checks from all banks, on this CPU. After idt_load(). */
void machine_check_init(void);
void trap_handler(struct trap_frame *f);    /* from trap.S */
/* Print all registers of a frame, control registers included. */
void trap_frame_print(const struct trap_frame *f);
/* panic() with the registers of the fault (debug/panic.c). */
void panic_at(const struct trap_frame *f, const char *fmt, ...) __noreturn __printf(2, 3);
/* NMI: work for this CPU was posted (smp.c); true if so. */
bool smp_nmi(const struct trap_frame *f);
/* Frame of the NMI being handled on this CPU, for functions run by smp_nmi_call(). */
const struct trap_frame *nmi_frame(void);
