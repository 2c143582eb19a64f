/* SPDX-License-Identifier: MIT */
/* The run loop of a CPU: pick a vCPU, run it until something happens, let interrupts in, repeat. */
#include "call/abi.h"
#include "cpu/spec.h"
#include "dom/runstate.h"
#include "hvm/hvm.h"
#include "irq/irq.h"
#include "sched/internal.h"

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
            *refill = MIN(*refill, s->v->dom->sched->period_start_ns + CAP_PERIOD_NS);
            continue;
        }
        /* Equal run times: prefer the one whose soft affinity names this CPU. */
        if (!best || s->vtime_ns < best->vtime_ns ||
            (s->vtime_ns == best->vtime_ns && (s->soft >> cpu & 1) > (best->soft >> cpu & 1)))
            best = s;
    }
    return best;
}

/* May the running vCPU go on although `other` waits? */
static bool keep_locked(struct cpu *c, struct vcpu *curr, struct sched_vcpu *other, u64 now)
{
    struct sched_vcpu *s = curr->sched;
    if (!vcpu_runnable(curr) || !(s->hard >> c->id & 1) || !budget_locked(curr->dom->sched, now)) return false;
    if (!other) return true;
    if (s->started_ns && now - s->started_ns < sched_ratelimit_ns) return true;
    return s->vtime_ns < other->vtime_ns;
}

/* Arm this CPU's tick for the next decision that time alone brings. */
static void arm_tick_locked(struct cpu *c, struct vcpu *v, bool waiting, u64 refill, u64 now)
{
    u64 at = refill;
    if (v && waiting) at = MIN(at, now + TIMESLICE_NS);
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
        offer_locked(v);
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

/* Decide what this CPU runs next and switch to it. */
static void schedule(struct cpu *c)
{
    struct vcpu *prev = c->curr, *next = prev;
    u64 refill, now = now_ns();
    spin_lock(&sched_lock);
    c->resched = false;
    if (prev) charge_locked(prev, now);
    struct sched_vcpu *best = pick_locked(c->id, now, &refill);
    bool keep = prev && keep_locked(c, prev, best, now);
    if (!keep) {
        next = best ? best->v : NULL;
        if (prev) leave_state_locked(prev, now);
        if (best) take_locked(c, best, now);
    }
    arm_tick_locked(c, next, !list_empty(&runq), refill, now);
    spin_unlock(&sched_lock);
    if (keep) return;

    if (prev) {
        hvm_unload(prev);
        c->curr = NULL;
        c->idle_since_ns = now;
        runstate_publish(prev);
        spin_lock(&sched_lock);
        put_back_locked(prev, now);
        spin_unlock(&sched_lock);
    }
    if (next) {
        if (!prev) c->idle_ns += now - c->idle_since_ns;
        spec_vcpu_load(next);
        c->curr = next;
        hvm_load(next);
        runstate_publish(next);
    }
}

void vcpu_block(struct vcpu *v)
{
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
