/* SPDX-License-Identifier: MIT */
/* System time (ns since host boot, the same time line for all domains), wall clock, per-CPU timers. */
#pragma once
#include "lib/types.h"
#include "lib/list.h"

/* Nanoseconds since boot of the host, from the TSC. Monotonic per CPU. */
u64 now_ns(void);
u64 tsc_read(void);
u64 tsc_to_ns(u64 tsc);
u64 ns_to_tsc(u64 ns);
extern u32 tsc_khz;
/* pvclock scale of the host TSC: ns = ((tsc << shift) * mul) >> 32. */
extern u32 tsc_mul; extern s8 tsc_shift;
extern bool tsc_reliable;           /* invariant TSC: guests may be told TSC_STABLE */

/* Boot: measure the TSC against HPET or the PM timer, read the CMOS clock, start this CPU's timer hardware. */
void time_init(void);
void time_init_ap(void);
/* Nanoseconds spent so far in deliberate waiting (calibration); printed at dom0 entry. */
extern u64 boot_wait_ns;

/* Wall clock: seconds and nanoseconds (since 1970) at system time 0. */
void wallclock_get(u64 *sec, u32 *nsec);
/* Set so that it was secs+nsecs when system time was system_ns (platform_op settime). */
void wallclock_set(u64 secs, u32 nsecs, u64 system_ns);
/* Current wall-clock time in seconds since 1970. */
u64 wallclock_now(void);

/* A timer belongs to one CPU and fires there, inside an interrupt window, with no lock held. */
struct timer {
    struct list node;
    u64 expires_ns;
    void (*fn)(void *arg);
    void *arg;
    unsigned cpu;
    bool active;
};
void timer_init(struct timer *t, void (*fn)(void *), void *arg);
/* (Re)arm on this CPU for absolute system time ns; a past time fires at the next window. Any CPU may call it:
 * an armed timer is first taken off the CPU it was on. */
void timer_set(struct timer *t, u64 expires_ns);
/* Disarm. On return it is not queued, but its function may still be running on another CPU. */
void timer_stop(struct timer *t);
/* Disarm and wait until its function runs on no other CPU, so that what it belongs to may be freed. The function must
 * not wait for this CPU; no lock that it takes may be held. */
void timer_stop_sync(struct timer *t);
/* Timer interrupt: run what is due and re-arm the hardware. */
void timer_run(void);
/* Debug key 'a'. */
void timer_dump(void);
/* Hardware: fire VEC_TIMER on this CPU at absolute system time ns (cpu/lapic.c; fake in hosted builds). */
void timer_hw_set(u64 expires_ns);
