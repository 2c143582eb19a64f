/* SPDX-License-Identifier: MIT */
/*
 * Credit2-like scheduler: one run queue, ordered by weighted run time; weights and caps per domain.
 * A vCPU's vtime advances by run time * 256 / weight, so two spinning vCPUs share a CPU as their weights. A cap is
 * a budget of run time per period; a domain without budget stays queued but is passed over until the refill.
 */
#include "boot/cmdline.h"
#include "call/abi.h"
#include "dom/runstate.h"
#include "irq/irq.h"
#include "sched/internal.h"

struct spinlock sched_lock = SPINLOCK(RANK_SCHED);
struct list runq = LIST_INIT(runq);
struct sched_cpu sched_cpus[NR_CPUS];
u64 sched_ratelimit_ns = 1000000;

static u64 opt_ratelimit_us = 1000;
BOOT_OPTION(sched_ratelimit, "sched_ratelimit_us", OPT_UINT, 0, &opt_ratelimit_us, NULL,
            "shortest time a vCPU runs before another may preempt it, in microseconds");

static void tick_fired(void *arg)
{
    this_cpu()->resched = true;
}

void sched_init(void)
{
    sched_ratelimit_ns = opt_ratelimit_us * 1000;
    for (unsigned i = 0; i < NR_CPUS; i++)
        timer_init(&sched_cpus[i].tick, tick_fired, NULL);
}

int sched_domain_init(struct domain *d)
{
    d->sched = kzalloc(sizeof(*d->sched));
    if (!d->sched) return -ENOMEM;
    d->sched->weight = DEFAULT_WEIGHT;
    return 0;
}

void sched_domain_destroy(struct domain *d)
{
    kfree(d->sched);
    d->sched = NULL;
}

int sched_vcpu_init(struct vcpu *v)
{
    struct sched_vcpu *s = kzalloc(sizeof(*s));
    if (!s) return -ENOMEM;
    s->v = v;
    s->hard = s->soft = NEVER;          /* all CPUs */
    list_init(&s->node);
    v->sched = s;
    v->cpu = v->id % nr_cpus;
    return 0;
}

void sched_vcpu_destroy(struct vcpu *v)
{
    if (!v->sched) return;
    spin_lock(&sched_lock);
    list_del(&v->sched->node);
    spin_unlock(&sched_lock);
    kfree(v->sched);
    v->sched = NULL;
}

bool vcpu_runnable(const struct vcpu *v)
{
    return !read_once(&v->flags) && !read_once(&v->pause_count) && !read_once(&v->dom->pause_count);
}

void runstate_change_locked(struct vcpu *v, int state, u64 now)
{
    if (v->rs.state == state) return;
    v->rs.time_ns[v->rs.state] += now - v->rs.since_ns;
    v->rs.since_ns = now;
    v->rs.state = state;
}

void charge_locked(struct vcpu *v, u64 now)
{
    struct sched_vcpu *s = v->sched;
    u64 ran = now - s->charged_ns;
    s->charged_ns = now;
    s->vtime_ns += ran * DEFAULT_WEIGHT / v->dom->sched->weight;
    if (v->dom->sched->cap) v->dom->sched->budget_ns -= (s64)ran;
}

bool budget_locked(struct sched_dom *sd, u64 now)
{
    if (!sd->cap) return true;
    s64 quota = (s64)(CAP_PERIOD_NS * sd->cap / 100);
    if (now - sd->period_start_ns >= CAP_PERIOD_NS) {
        u64 periods = (now - sd->period_start_ns) / CAP_PERIOD_NS;
        sd->period_start_ns += periods * CAP_PERIOD_NS;
        /* An overdraft is paid back. Little unused budget is saved up: enough that late timers cost no share. */
        s64 most = quota * CAP_SAVED_PERIODS;
        sd->budget_ns = periods > 1000 ? most : MIN(sd->budget_ns + (s64)periods * quota, most);
    }
    return sd->budget_ns > 0;
}

/* ---- waking and stopping ---- */

static bool may_run_on(const struct vcpu *v, unsigned cpu)
{
    return v->sched->hard >> cpu & 1;
}

/* Best CPU to tell that v waits: where it ran last if idle, any idle one, or one whose vCPU is well ahead.
 * -1: v just waits its turn. */
static int pick_cpu_locked(struct vcpu *v)
{
    int best = -1;
    u64 worst = v->sched->vtime_ns + PREEMPT_MARGIN_NS;
    for (unsigned n = 0; n < nr_cpus; n++) {
        unsigned cpu = (v->cpu + n) % nr_cpus;
        if (!may_run_on(v, cpu)) continue;
        struct vcpu *curr = cpus[cpu]->curr;
        if (!curr) return (int)cpu;
        if (curr->sched->vtime_ns > worst) {
            worst = curr->sched->vtime_ns;
            best = (int)cpu;
        }
    }
    /* A CPU that ran alone so far has no tick armed that would end the turn it waits for. */
    for (unsigned n = 0; best < 0 && n < nr_cpus; n++)
        if (may_run_on(v, n) && !sched_cpus[n].tick.active) best = (int)n;
    return best;
}

/* Make `cpu` call the scheduler. */
static void poke(unsigned cpu)
{
    write_once(&cpus[cpu]->resched, true);
    if (cpus[cpu] != this_cpu()) smp_kick(cpu);
}

void offer_locked(struct vcpu *v)
{
    int cpu = pick_cpu_locked(v);
    if (cpu >= 0) poke((unsigned)cpu);
}

static u64 queue_head_vtime_locked(void)
{
    u64 min = NEVER;
    struct list *l;
    list_for_each(l, &runq)
        min = MIN(min, list_entry(l, struct sched_vcpu, node)->vtime_ns);
    for (unsigned i = 0; i < nr_cpus; i++)
        if (cpus[i]->curr) min = MIN(min, cpus[i]->curr->sched->vtime_ns);
    return min;
}

static void enqueue_locked(struct vcpu *v, bool woken, u64 now)
{
    struct sched_vcpu *s = v->sched;
    if (woken) {
        /* Sleepers neither save up time nor start behind everybody else. */
        u64 head = queue_head_vtime_locked();
        if (head != NEVER) s->vtime_ns = MAX(s->vtime_ns, head > WAKE_BONUS_NS ? head - WAKE_BONUS_NS : 0);
    }
    list_add_tail(&runq, &s->node);
    s->queued = true;
    runstate_change_locked(v, RUNSTATE_runnable, now);
}

static int sleep_state(const struct vcpu *v)
{
    return read_once(&v->flags) & VF_BLOCKED ? RUNSTATE_blocked : RUNSTATE_offline;
}

void sched_update(struct vcpu *v)
{
    struct sched_vcpu *s = v->sched;
    int cpu = -1;
    u64 now = now_ns();
    spin_lock(&sched_lock);
    bool want = vcpu_runnable(v);
    if (read_once(&v->running)) {
        if (!want) cpu = (int)v->cpu;
    } else if (want && !s->queued) {
        enqueue_locked(v, true, now);
        cpu = pick_cpu_locked(v);
    } else if (!want) {
        if (s->queued) {
            list_del(&s->node);
            s->queued = false;
        }
        runstate_change_locked(v, sleep_state(v), now);
    }
    if (cpu >= 0) poke((unsigned)cpu);
    spin_unlock(&sched_lock);
}

void vcpu_wake(struct vcpu *v)
{
    if (atomic_and(&v->flags, ~(u32)VF_BLOCKED) & VF_BLOCKED) sched_update(v);
}

void vcpu_kick(struct vcpu *v)
{
    vcpu_wake(v);
    if (read_once(&v->running) && v != current_vcpu()) smp_kick(v->cpu);
}

void vcpu_set_down(struct vcpu *v)
{
    atomic_or(&v->flags, VF_DOWN);
    sched_update(v);
}

void vcpu_set_up(struct vcpu *v)
{
    v->initialised = true;
    if (atomic_and(&v->flags, ~(u32)(VF_DOWN | VF_BLOCKED)) & VF_DOWN) sched_update(v);
}

void vcpu_wait_descheduled(struct vcpu *v)
{
    while (load_acquire(&v->running))
        cpu_relax();
}

void vcpu_yield(void)
{
    struct vcpu *v = current_vcpu();
    spin_lock(&sched_lock);
    struct list *l;
    u64 now = now_ns();
    charge_locked(v, now);
    /* Step behind the next one in the queue. */
    list_for_each(l, &runq) {
        struct sched_vcpu *s = list_entry(l, struct sched_vcpu, node);
        if (may_run_on(s->v, this_cpu()->id)) {
            v->sched->vtime_ns = MAX(v->sched->vtime_ns, s->vtime_ns + 1);
            v->sched->started_ns = 0;           /* the rate limit does not apply */
            this_cpu()->resched = true;
        }
    }
    spin_unlock(&sched_lock);
}
