/* SPDX-License-Identifier: MIT */
/* What the toolstack may set and read: weight, cap, affinity, rate limit, run times. */
#include "call/abi.h"
#include "sched/internal.h"

void sched_get_params(struct domain *d, struct sched_params *p)
{
    spin_lock(&sched_lock);
    p->weight = d->sched->weight;
    p->cap = d->sched->cap;
    spin_unlock(&sched_lock);
}

int sched_set_params(struct domain *d, const struct sched_params *p)
{
    if (!p->weight) return -EINVAL;
    spin_lock(&sched_lock);
    d->sched->weight = p->weight;
    if (p->cap != d->sched->cap) {
        d->sched->cap = p->cap;
        d->sched->period_start_ns = now_ns();
        d->sched->budget_ns = (s64)(CAP_PERIOD_NS * p->cap / 100);
    }
    for (unsigned i = 0; i < nr_cpus; i++)
        cpus[i]->resched = true;
    spin_unlock(&sched_lock);
    return 0;
}

void sched_get_affinity(struct vcpu *v, u64 *hard, u64 *soft)
{
    u64 all = nr_cpus == 64 ? NEVER : (1ULL << nr_cpus) - 1;
    spin_lock(&sched_lock);
    *hard = v->sched->hard & all;
    *soft = v->sched->soft & all;
    spin_unlock(&sched_lock);
}

int sched_set_affinity(struct vcpu *v, const u64 *hard, const u64 *soft)
{
    u64 all = nr_cpus == 64 ? NEVER : (1ULL << nr_cpus) - 1;
    if ((hard && !(*hard & all)) || (soft && !(*soft & all))) return -EINVAL;
    bool move = false;
    spin_lock(&sched_lock);
    if (hard) v->sched->hard = *hard;
    if (soft) v->sched->soft = *soft;
    if (hard && !(*hard >> v->cpu & 1)) move = true;
    spin_unlock(&sched_lock);
    if (move && v != current_vcpu()) {
        /* Off the CPU it may no longer use, and queued anew. */
        vcpu_pause(v);
        vcpu_unpause(v);
    } else if (move) {
        this_cpu()->resched = true;
    }
    return 0;
}

u32 sched_get_ratelimit_us(void)
{
    return (u32)(sched_ratelimit_ns / 1000);
}

int sched_set_ratelimit_us(u32 us)
{
    if (us && (us < XEN_SYSCTL_SCHED_RATELIMIT_MIN || us > XEN_SYSCTL_SCHED_RATELIMIT_MAX)) return -EINVAL;
    sched_ratelimit_ns = us * 1000ULL;
    return 0;
}

void vcpu_get_runstate(struct vcpu *v, struct runstate *out)
{
    spin_lock(&sched_lock);
    *out = v->rs;
    out->time_ns[out->state] += now_ns() - out->since_ns;
    spin_unlock(&sched_lock);
}

u64 vcpu_cpu_time_ns(struct vcpu *v)
{
    struct runstate rs;
    vcpu_get_runstate(v, &rs);
    return rs.time_ns[RUNSTATE_running];
}

u64 cpu_idle_ns(unsigned cpu)
{
    struct cpu *c = cpus[cpu];
    return c->idle_ns + (c->curr ? 0 : now_ns() - c->idle_since_ns);
}
