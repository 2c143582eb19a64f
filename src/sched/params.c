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

/* Weight 0 leaves the weight as it is. What d's vCPUs ran so far counts with the old weight; from now on they compete as if they had just come. */
void sched_set_params(struct domain *d, const struct sched_params *p)
{
    struct vcpu *v;
    spin_lock(&sched_lock);
    u64 now = now_ns();
    for_each_vcpu(d, v)
        if (sched_cpus[v->cpu].sel == v) charge_locked(v, now);
    if (p->weight) d->sched->weight = p->weight;
    if (p->cap != d->sched->cap) {
        d->sched->cap = p->cap;
        d->sched->period_start_ns = now;
        d->sched->budget_ns = (s64)(CAP_PERIOD_NS * p->cap / 100);
    }
    for_each_vcpu(d, v) {
        bool runs = sched_cpus[v->cpu].sel == v;
        if (runs || v->sched->queued) place_locked(v->sched, now);
        if (runs) sched_poke(v->cpu);
        else if (v->sched->queued) offer_locked(v, now);
    }
    spin_unlock(&sched_lock);
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
    if (hard && !(*hard & all)) return -EINVAL;
    spin_lock(&sched_lock);
    struct sched_vcpu *s = v->sched;
    if (hard) s->hard = *hard;
    if (soft) s->soft = *soft;
    /* Off a CPU that it may not use, or should not if there is another; queued anew if it waits for one. */
    bool wanted = s->hard & s->soft & all ? s->hard & s->soft & 1ULL << v->cpu : s->hard & 1ULL << v->cpu;
    bool move = s->queued || (read_once(&v->running) && !wanted);
    spin_unlock(&sched_lock);
    if (move && v != current_vcpu()) {
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
    u64 now = now_ns();
    *out = v->rs;
    if (now > out->since_ns) out->time_ns[out->state] += now - out->since_ns;
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
    spin_lock(&sched_lock);
    u64 now = now_ns(), ns = c->idle_ns;
    if (!sched_cpus[cpu].sel && now > c->idle_since_ns) ns += now - c->idle_since_ns;
    spin_unlock(&sched_lock);
    return ns;
}
