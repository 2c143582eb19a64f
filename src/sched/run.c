/* SPDX-License-Identifier: MIT */
/* The run loop of a CPU: pick a vCPU, run it until something happens, let interrupts in, repeat. */
#include "call/abi.h"
#include "cpu/spec.h"
#include "dom/runstate.h"
#include "hvm/hvm.h"
#include "irq/irq.h"
#include "sched/internal.h"

/* What counts when CPUs choose: outside its soft affinity a vCPU comes a little later. */
static u64 rank_locked(const struct sched_vcpu *s, unsigned cpu)
{
    return s->vtime_ns + (s->soft >> cpu & 1 ? 0 : PREEMPT_MARGIN_NS);
}

/* The queued vCPU to run here: smallest vtime whose domain has budget. *refill gets the earliest time at which
 * a passed-over domain may run again. */
static struct sched_vcpu *pick_locked(unsigned cpu, u64 now, u64 *refill)
{
    struct sched_vcpu *best = NULL;
    struct list *l;
    *refill = NEVER;
    list_for_each(l, &runq) {
        struct sched_vcpu *s = list_entry(l, struct sched_vcpu, node);
        if (!(s->hard >> cpu & 1)) continue;
        if (!budget_locked(s->v->dom->sched, now)) {
            s->parked = true;
            *refill = MIN(*refill, s->v->dom->sched->period_start_ns + CAP_PERIOD_NS);
            continue;
        }
        if (s->parked) {
            s->parked = false;
            place_locked(s, now);
        }
        if (!best || rank_locked(s, cpu) < rank_locked(best, cpu)) best = s;
    }
    return best;
}

/* Who waits for this CPU must not wait until those before it have made up for a time in which it had a CPU alone. */
static void keep_near_locked(unsigned cpu, u64 first)
{
    struct list *l;
    list_for_each(l, &runq) {
        struct sched_vcpu *s = list_entry(l, struct sched_vcpu, node);
        if (!(s->hard >> cpu & 1) || s->parked) continue;
        s->vtime_ns = MIN(s->vtime_ns, first + MAX_BEHIND * slice_vtime_locked(s));
    }
}

static bool may_stay_locked(struct cpu *c, struct vcpu *curr, u64 now)
{
    return vcpu_runnable(curr) && curr->sched->hard >> c->id & 1 && budget_locked(curr->dom->sched, now);
}

/* Until when the running vCPU goes on although `other` waits: 0 = not at all. */
static u64 keep_until_locked(struct sched_vcpu *s, struct sched_vcpu *other, u64 now)
{
    if (!other) return NEVER;
    if (s->vtime_ns < other->vtime_ns) {        /* until it has caught up */
        u64 gap = (other->vtime_ns - s->vtime_ns) * s->v->dom->sched->weight / DEFAULT_WEIGHT;
        return now + MIN(MAX(gap, PREEMPT_MARGIN_NS), TIMESLICE_NS);
    }
    u64 limit = s->started_ns ? s->started_ns + sched_ratelimit_ns : 0;
    return limit > now ? limit : 0;
}

/* Arm this CPU's tick for the next decision that time alone brings. */
static void arm_tick_locked(struct cpu *c, struct vcpu *v, u64 until, u64 refill, u64 now)
{
    u64 at = MIN(until, refill);
    if (v && v->dom->sched->cap) at = MIN(at, now + MAX((u64)v->dom->sched->budget_ns, 50000ULL));
    if (at != NEVER) timer_set(&sched_cpus[c->id].tick, at);
    else timer_stop(&sched_cpus[c->id].tick);
}

/* The state that a vCPU which leaves the CPU is in. */
static void leave_state_locked(struct vcpu *v, u64 now)
{
    int state = vcpu_runnable(v) ? RUNSTATE_runnable
              : read_once(&v->flags) & VF_BLOCKED ? RUNSTATE_blocked : RUNSTATE_offline;
    runstate_change_locked(v, state, now);
}

/* v has left this CPU: from here on another may take it, or free it. A runnable one is queued again. */
static void put_back_locked(struct vcpu *v, u64 now)
{
    leave_state_locked(v, now);
    if (vcpu_runnable(v)) {
        list_add_tail(&runq, &v->sched->node);
        v->sched->queued = true;
        offer_locked(v, now);
    }
    store_release(&v->running, 0);
}

static void take_locked(struct cpu *c, struct sched_vcpu *s, u64 now)
{
    list_del(&s->node);
    s->queued = false;
    s->started_ns = s->charged_ns = now;
    s->v->cpu = c->id;
    store_release(&s->v->running, 1);
    runstate_change_locked(s->v, RUNSTATE_running, now);
}

/* Decide what this CPU runs next; true: what it runs now. */
static bool choose_locked(struct cpu *c, struct vcpu *prev, struct vcpu **next, u64 now)
{
    u64 refill, until = 0;
    if (prev) charge_locked(prev, now);
    bool stay = prev && may_stay_locked(c, prev, now);
    struct sched_vcpu *best = pick_locked(c->id, now, &refill);
    if (best) keep_near_locked(c->id, stay ? MIN(best->vtime_ns, prev->sched->vtime_ns) : best->vtime_ns);
    if (stay) until = keep_until_locked(prev->sched, best, now);
    *next = until ? prev : best ? best->v : NULL;
    if (!until) {
        if (prev) leave_state_locked(prev, now);
        if (best) take_locked(c, best, now);
        until = *next && (!list_empty(&runq) || stay) ? now + TIMESLICE_NS : NEVER;
    }
    if (prev && !*next) c->idle_since_ns = now;
    if (!prev && *next) c->idle_ns += now - c->idle_since_ns;
    sched_cpus[c->id].sel = *next;
    arm_tick_locked(c, *next, until, refill, now);
    return *next == prev;
}

static void schedule(struct cpu *c)
{
    struct vcpu *prev = c->curr, *next;
    spin_lock(&sched_lock);
    u64 now = now_ns();
    c->resched = false;
    bool keep = choose_locked(c, prev, &next, now);
    spin_unlock(&sched_lock);
    if (keep) return;

    if (prev) {
        hvm_unload(prev);
        c->curr = NULL;
        runstate_publish(prev);
        spin_lock(&sched_lock);
        put_back_locked(prev, now);
        spin_unlock(&sched_lock);
    }
    if (next) {
        spec_vcpu_load(next->serial);
        c->curr = next;
        hvm_load(next);
        runstate_publish(next);
    }
}

void vcpu_block(struct vcpu *v)
{
    /* The time limit of a poll that something else ended must not end this sleep. */
    if (unlikely(v->poll_timer.active)) timer_stop(&v->poll_timer);
    atomic_or(&v->flags, VF_BLOCKED);
    /* An event that came before the flag was set did not wake us; one that comes after does. */
    if (hvm_has_pending(v)) atomic_and(&v->flags, ~(u32)VF_BLOCKED);
    else this_cpu()->resched = true;
}

void run_loop(void)
{
    struct cpu *c = this_cpu();
    c->idle_since_ns = now_ns();
    c->resched = true;
    for (;;) {
        irq_window();
        if (c->resched) schedule(c);
        if (c->resched) continue;
        if (c->curr) hvm_run(c->curr);
        else irq_idle();
    }
}
