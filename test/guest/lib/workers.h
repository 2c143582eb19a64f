/* SPDX-License-Identifier: MIT */
/*
 * The other vCPUs of a test kernel, dom0's or a guest's: each waits for a function to run. For tests in which several
 * do things to each other at once. Include in one file per kernel, after build.h.
 */
#pragma once
#include "build.h"

#define WORKERS 3                       /* vCPUs 1 to 3 */
static struct worker {
    role_fn volatile job;
    volatile bool up;
    u8 stack[16384] __attribute__((aligned(16)));
} worker[WORKERS + 1];
static volatile bool stop;              /* jobs that repeat something look at it */
static volatile u32 gate;               /* see meet() */

static inline unsigned this_vcpu(void) { return mmio_read(LAPIC + 0x20) >> 25; }

static inline void worker_main(void)
{
    struct worker *w = &worker[this_vcpu()];
    w->up = true;
    for (;;) {
        if (w->job) {
            w->job();
            w->job = NULL;
        } else {
            sleep_ms(1);
        }
    }
}

/* Also in a guest, whose copy of these variables is what dom0's were. */
static inline bool workers_start(unsigned n)
{
    stop = false;
    for (unsigned i = 1; i <= n; i++) {
        worker[i].job = NULL;
        worker[i].up = false;
        if (!ap_start(i, worker_main, worker[i].stack + sizeof(worker[i].stack))) return false;
    }
    return true;
}

static inline void job_start(unsigned i, role_fn job)
{
    __asm__ volatile("" ::: "memory");
    worker[i].job = job;
}

/* Wait until the job has ended. */
static inline bool job_end(unsigned i)
{
    for (u64 end = now_ns() + PATIENCE_NS; worker[i].job && now_ns() < end;) __asm__ volatile("pause");
    return !worker[i].job;
}

/* Where n vCPUs wait for each other, as close in time as the machine can. One meeting uses one value of `round`, from 1. */
static inline void meet(u32 round, u32 n)
{
    __asm__ volatile("lock incl %0" : "+m"(gate));
    while ((int)(gate - round * n) < 0 && !stop) __asm__ volatile("pause");
}

/* True when *p has left `old` within the time. Sleeps between two looks: others need the machine's CPUs. */
static inline bool moved(volatile u64 *p, u64 old, unsigned ms)
{
    u64 end = now_ns() + ms * 1000000UL;
    while (*p == old) {
        for (unsigned i = 0; i < 200 && *p == old; i++) __asm__ volatile("pause");
        if (now_ns() > end) return *p != old;
        if (*p == old) sleep_ns(20000);
    }
    return true;
}

static inline void linger(unsigned ticks) { for (u64 end = rdtsc() + ticks; rdtsc() < end;) __asm__ volatile("pause"); }
