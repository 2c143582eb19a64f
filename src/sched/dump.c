/* SPDX-License-Identifier: MIT */
/* Run queue, for debug key 'r'. All is copied under the lock and printed without it: no CPU waits for the console. */
#include "sched/internal.h"

static void dump_cpu(unsigned cpu)
{
    char who[24] = "idle";
    s64 ran_us = 0, tick_us = 0;
    spin_lock(&sched_lock);
    u64 now = now_ns();
    const struct vcpu *v = sched_cpus[cpu].sel;
    const struct timer *tick = &sched_cpus[cpu].tick;
    if (v) {
        snprintf(who, sizeof(who), "d%uv%u", v->dom->id, v->id);
        ran_us = (s64)(now - v->sched->started_ns) / 1000;
    }
    bool armed = tick->active;
    if (armed) tick_us = (s64)(tick->expires_ns - now) / 1000;
    spin_unlock(&sched_lock);
    printk(LOG_ERR, "CPU%u: %s", cpu, who);
    if (v) printk(LOG_ERR, " for %ld us", ran_us);
    if (armed) printk(LOG_ERR, ", next look in %ld us", tick_us);
    printk(LOG_ERR, "\n");
}

void sched_dump_cpus(void)
{
    unsigned waiting = 0;
    struct list *l;
    spin_lock(&sched_lock);
    list_for_each(l, &runq) waiting++;
    spin_unlock(&sched_lock);
    printk(LOG_ERR, "credit2, one run queue, %u waiting, rate limit %u us\n", waiting, sched_get_ratelimit_us());
    for (unsigned i = 0; i < nr_cpus; i++) dump_cpu(i);
}

static const char *place(const struct vcpu *v)
{
    const struct sched_vcpu *s = v->sched;
    if (sched_cpus[v->cpu].sel == v) return "on its CPU";
    return !s->queued ? "not runnable" : s->parked ? "waits for its domain's budget" : "waits";
}

void sched_dump(struct domain *d)
{
    struct vcpu *v;
    spin_lock(&sched_lock);
    struct sched_dom sd = *d->sched;
    spin_unlock(&sched_lock);
    printk(LOG_ERR, "d%u: weight %u, cap %u%%", d->id, sd.weight, sd.cap);
    if (sd.cap) printk(LOG_ERR, ", budget left %ld us", sd.budget_ns / 1000);
    printk(LOG_ERR, "\n");
    for_each_vcpu(d, v) {
        spin_lock(&sched_lock);
        const char *where = place(v);
        u64 vtime_us = vtime_locked(v->sched, now_ns()) / 1000, hard = v->sched->hard, soft = v->sched->soft;
        spin_unlock(&sched_lock);
        printk(LOG_ERR, "  v%u: CPU%u, %s, virtual time %lu us, may run on %#lx, best on %#lx\n", v->id, v->cpu, where,
               vtime_us, hard, soft);
    }
}
