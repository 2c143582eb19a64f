/* SPDX-License-Identifier: MIT */
/* Scheduler (credit2: weights, caps, ratelimit) and the run loop of a CPU. */
#pragma once
#include "dom/domain.h"

int sched_domain_init(struct domain *d) __must_check;
void sched_domain_destroy(struct domain *d);
int sched_vcpu_init(struct vcpu *v) __must_check;
void sched_vcpu_destroy(struct vcpu *v);
/* Recompute whether v is runnable after its flags or pause counts changed; queue and kick as needed. */
void sched_update(struct vcpu *v);
/* Clear VF_BLOCKED and queue. Callable from anywhere. */
void vcpu_wake(struct vcpu *v);
/* Make v re-evaluate pending events: wake it if blocked, force an exit if it runs on another CPU. */
void vcpu_kick(struct vcpu *v);
/* Current vCPU blocks unless an event is already pending. */
void vcpu_block(struct vcpu *v);
void vcpu_yield(void);
/* Take v down (VCPUOP_down, INIT) / bring it up. _down does not wait. */
void vcpu_set_down(struct vcpu *v);
void vcpu_set_up(struct vcpu *v);
/* Wait until v is on no CPU (v must already be non-runnable and not the current vCPU). */
void vcpu_wait_descheduled(struct vcpu *v);

/* domctl / sysctl access. Bitmaps have NR_CPUS bits. */
struct sched_params { u16 weight, cap; };
void sched_get_params(struct domain *d, struct sched_params *p);
void sched_set_params(struct domain *d, const struct sched_params *p);      /* weight 0: unchanged */
void sched_get_affinity(struct vcpu *v, u64 *hard, u64 *soft);
/* NULL: unchanged. -EINVAL: no CPU is left. A soft affinity without a CPU that there is prefers none. */
int sched_set_affinity(struct vcpu *v, const u64 *hard, const u64 *soft) __must_check;
u32 sched_get_ratelimit_us(void);
int sched_set_ratelimit_us(u32 us) __must_check;
/* Up-to-date runstate (copy), also of a running vCPU. */
void vcpu_get_runstate(struct vcpu *v, struct runstate *out);
/* CPU time used, ns. */
u64 vcpu_cpu_time_ns(struct vcpu *v);
u64 cpu_idle_ns(unsigned cpu);

/* Debug key 'r': what each CPU runs; a domain's parameters and its vCPUs. */
void sched_dump_cpus(void);
void sched_dump(struct domain *d);

/* Per-CPU: never returns. */
void run_loop(void) __noreturn;
void sched_init(void);
