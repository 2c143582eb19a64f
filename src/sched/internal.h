/* SPDX-License-Identifier: MIT */
/* Private to src/sched: run queue state. Everything is protected by sched_lock unless marked otherwise. */
#pragma once
#include "sched/sched.h"

#define DEFAULT_WEIGHT 256
#define TIMESLICE_NS 10000000ULL        /* longest run while another vCPU waits */
#define CAP_PERIOD_NS 10000000ULL       /* budgets of capped domains are refilled this often */
#define CAP_SAVED_PERIODS 8             /* budget that may be kept, in periods */
#define WAKE_BONUS_NS 2000000ULL        /* a waking vCPU starts this far before its first rival */
#define MAX_BEHIND 4                    /* slices of its own that a waiting vCPU may be behind its first rival */
#define PREEMPT_MARGIN_NS 500000ULL     /* ... and takes a CPU from one that is this much further on */
#define NEVER (~0ULL)

struct sched_dom {
    u16 weight, cap;                    /* cap in per cent of one CPU, 0 = none */
    u64 period_start_ns;
    s64 budget_ns;                      /* left in this period; negative: overdrawn */
};

struct sched_vcpu {
    struct list node;                   /* on the run queue */
    struct vcpu *v;
    bool queued;
    bool parked;                        /* was passed over because its domain has no budget */
    u64 vtime_ns;                       /* weighted run time; smallest runs first */
    u64 started_ns;                     /* when it was put onto its CPU */
    u64 charged_ns;                     /* run time is accounted up to here */
    u64 hard, soft;                     /* CPU affinity */
};

struct sched_cpu {
    struct timer tick;                  /* end of slice, refill of a budget */
    struct vcpu *sel;                   /* what it runs or switches to; NULL: idle */
};

extern struct spinlock sched_lock;
extern struct list runq;
extern struct sched_cpu sched_cpus[NR_CPUS];
extern u64 sched_ratelimit_ns;

bool vcpu_runnable(const struct vcpu *v);
/* Change v's runstate, accounting the time in the old one. */
void runstate_change_locked(struct vcpu *v, int state, u64 now_ns);
/* Account v's run time since the last call: vtime and budget. */
void charge_locked(struct vcpu *v, u64 now_ns);
/* Refill d's budget if its period is over; true if it may run. */
bool budget_locked(struct sched_dom *sd, u64 now_ns);
/* vtime of s now, when it is on a CPU with what was not charged yet. */
u64 vtime_locked(const struct sched_vcpu *s, u64 now_ns);
/* By how much a slice advances s's vtime. */
u64 slice_vtime_locked(const struct sched_vcpu *s);
/* s begins to compete for CPUs, or with others than before: its vtime becomes one that is near theirs. What it is
 * on a CPU for is charged. */
void place_locked(struct sched_vcpu *s, u64 now_ns);
/* v waits in the queue: tell a CPU that could run it. */
void offer_locked(struct vcpu *v, u64 now_ns);
/* Make `cpu` call the scheduler. */
void sched_poke(unsigned cpu);
