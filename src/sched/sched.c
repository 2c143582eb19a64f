/* SPDX-License-Identifier: MIT */
/*
 * Credit2-like scheduler: one run queue, ordered by weighted run time; weights and caps per domain.
 * A vCPU's vtime advances by run time * 256 / weight, so two spinning vCPUs share a CPU as their weights. A cap is
 * a budget of run time per period; a domain without budget stays queued but is passed over until the refill.
 *
 * vtimes are compared between vCPUs that want the same CPUs at the same time. Over longer times they drift apart: who
 * sleeps, is capped or shares a crowded CPU falls behind, who has a CPU alone runs ahead. Whoever begins to compete
 * is placed near its rivals (place_locked), and who waits is never left far behind (keep_near_locked in run.c).
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
    now = MAX(now, v->rs.since_ns);     /* clocks of two CPUs may differ a little */
    v->rs.time_ns[v->rs.state] += now - v->rs.since_ns;
    v->rs.since_ns = now;
    v->rs.state = state;
}

static u64 uncharged_ns(const struct sched_vcpu *s, u64 now)
{
    return now > s->charged_ns ? now - s->charged_ns : 0;
}

void charge_locked(struct vcpu *v, u64 now)
{
    struct sched_vcpu *s = v->sched;
    u64 ran = uncharged_ns(s, now);
    s->charged_ns = now;
    s->vtime_ns += ran * DEFAULT_WEIGHT / v->dom->sched->weight;
    if (v->dom->sched->cap) v->dom->sched->budget_ns -= (s64)ran;
}

u64 vtime_locked(const struct sched_vcpu *s, u64 now)
{
    if (sched_cpus[s->v->cpu].sel != s->v) return s->vtime_ns;
    return s->vtime_ns + uncharged_ns(s, now) * DEFAULT_WEIGHT / s->v->dom->sched->weight;
}

u64 slice_vtime_locked(const struct sched_vcpu *s)
{
    return TIMESLICE_NS * DEFAULT_WEIGHT / s->v->dom->sched->weight;
}

/* Smallest vtime of the others that run, or wait and have budget, where s may run; NEVER: s is alone. */
static u64 first_rival_locked(const struct sched_vcpu *s, u64 now)
{
    u64 min = NEVER;
    struct list *l;
    list_for_each(l, &runq) {
        const struct sched_vcpu *o = list_entry(l, struct sched_vcpu, node);
        if (o != s && !o->parked && o->hard & s->hard) min = MIN(min, o->vtime_ns);
    }
    for (unsigned i = 0; i < nr_cpus; i++) {
        const struct vcpu *v = sched_cpus[i].sel;
        if (v && v != s->v && v->sched->hard & s->hard) min = MIN(min, vtime_locked(v->sched, now));
    }
    return min;
}

void place_locked(struct sched_vcpu *s, u64 now)
{
    u64 first = first_rival_locked(s, now);
    if (first == NEVER) return;
    u64 least = first > WAKE_BONUS_NS ? first - WAKE_BONUS_NS : 0, most = first + slice_vtime_locked(s);
    s->vtime_ns = MIN(MAX(s->vtime_ns, least), most);
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

/* An idle CPU of mask that nobody called yet, best the one where v ran last; -1: none. */
static int idle_cpu_locked(const struct vcpu *v, u64 mask)
{
    for (unsigned n = 0; n < nr_cpus; n++) {
        unsigned cpu = (v->cpu + n) % nr_cpus;
        if (mask >> cpu & 1 && !sched_cpus[cpu].sel && !read_once(&cpus[cpu]->resched)) return (int)cpu;
    }
    return -1;
}

/* Best CPU to tell that v waits: an idle one, if possible of its soft affinity, or the one whose vCPU is furthest
 * ahead. -1: v just waits its turn. */
static int pick_cpu_locked(struct vcpu *v, u64 now)
{
    int best = idle_cpu_locked(v, v->sched->hard & v->sched->soft);
    u64 worst = v->sched->vtime_ns + PREEMPT_MARGIN_NS;
    if (best < 0) best = idle_cpu_locked(v, v->sched->hard);
    if (best >= 0) return best;
    for (unsigned n = 0; n < nr_cpus; n++) {
        unsigned cpu = (v->cpu + n) % nr_cpus;
        struct vcpu *runs = sched_cpus[cpu].sel;
        u64 vtime = runs && may_run_on(v, cpu) ? vtime_locked(runs->sched, now) : 0;
        if (vtime <= worst) continue;
        worst = vtime;
        best = (int)cpu;
    }
    /* A CPU that ran alone so far has no tick armed that would end the turn it waits for. */
    for (unsigned n = 0; best < 0 && n < nr_cpus; n++)
        if (may_run_on(v, n) && !sched_cpus[n].tick.active) best = (int)n;
    return best;
}

void sched_poke(unsigned cpu)
{
    write_once(&cpus[cpu]->resched, true);
    if (cpus[cpu] != this_cpu()) smp_kick(cpu);
}

void offer_locked(struct vcpu *v, u64 now)
{
    int cpu = pick_cpu_locked(v, now);
    if (cpu >= 0) sched_poke((unsigned)cpu);
}

static void enqueue_locked(struct vcpu *v, u64 now)
{
    struct sched_vcpu *s = v->sched;
    place_locked(s, now);
    s->parked = false;
    list_add_tail(&runq, &s->node);
    s->queued = true;
    runstate_change_locked(v, RUNSTATE_runnable, now);
    offer_locked(v, now);
}

static int sleep_state(const struct vcpu *v)
{
    return read_once(&v->flags) & VF_BLOCKED ? RUNSTATE_blocked : RUNSTATE_offline;
}

void sched_update(struct vcpu *v)
{
    struct sched_vcpu *s = v->sched;
    spin_lock(&sched_lock);
    u64 now = now_ns();
    bool want = vcpu_runnable(v);
    if (read_once(&v->running)) {
        if (!want) sched_poke(v->cpu);
    } else if (want && !s->queued) {
        enqueue_locked(v, now);
    } else if (!want) {
        if (s->queued) {
            list_del(&s->node);
            s->queued = false;
        }
        runstate_change_locked(v, sleep_state(v), now);
    }
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

/* Step behind the next one in the queue, not further: others may be there whose turn is far away. */
void vcpu_yield(void)
{
    struct vcpu *v = current_vcpu();
    struct list *l;
    u64 first = NEVER;
    spin_lock(&sched_lock);
    charge_locked(v, now_ns());
    list_for_each(l, &runq) {
        struct sched_vcpu *s = list_entry(l, struct sched_vcpu, node);
        if (may_run_on(s->v, this_cpu()->id) && !s->parked) first = MIN(first, s->vtime_ns);
    }
    if (first != NEVER) {
        v->sched->vtime_ns = MAX(v->sched->vtime_ns, first + 1);
        v->sched->started_ns = 0;           /* the rate limit does not apply */
        this_cpu()->resched = true;
    }
    spin_unlock(&sched_lock);
}
