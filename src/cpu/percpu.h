/* SPDX-License-Identifier: MIT */
/* Per-CPU data: one struct cpu per logical CPU, reached through GS on the bare machine and through a
 * thread-local pointer in the hosted build. CPU numbers are dense, 0 = boot CPU. */
#pragma once
#include "lib/lib.h"
#include "lib/list.h"

#define NR_CPUS 64

struct vcpu;
struct spinlock;

struct cpu {
    struct cpu *self;               /* first: read through %gs:0 */
    void *stack_top;                /* second: used by assembly (offset 8) */
    u64 scratch;                    /* third: used by assembly (offset 16) */
    unsigned id;                    /* dense number */
    u32 apic_id;
    u32 acpi_id;
    bool online;
    struct vcpu *curr;              /* vCPU whose state is loaded here, or NULL */
    u32 in_guest;                   /* 1 while between guest entry and exit; see tlb.h */
    bool resched;                   /* run loop must call the scheduler */
    bool irq_seen;                  /* an interrupt was handled in the last window */
    unsigned nr_locks;              /* held locks, in the order of their ranks */
    const struct spinlock *locks[8];
    struct { struct list list; u64 armed_ns; } timer;   /* time/timer.c */
    u64 idle_ns, idle_since_ns;
    void *hw;                       /* vendor's per-CPU data (svm) */
    void *arch;                     /* descriptor tables, IST stacks (cpu/) */
};

extern struct cpu *cpus[NR_CPUS];
extern unsigned nr_cpus;            /* online CPUs: cpus[0 .. nr_cpus-1] */

#ifdef HOSTED
extern __thread struct cpu *this_cpu_ptr;
static inline struct cpu *this_cpu(void) { return this_cpu_ptr; }
#else
static inline struct cpu *this_cpu(void)
{
    struct cpu *c;
    __asm__("movq %%gs:0, %0" : "=r"(c));
    return c;
}
#endif
/* The vCPU on whose behalf this CPU works; NULL in idle and at boot. */
static inline struct vcpu *current_vcpu(void) { return this_cpu()->curr; }
