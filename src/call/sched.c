/* SPDX-License-Identifier: MIT */
/* sched_op (29). */
#include "sched/sched.h"
#include "call/call.h"
#include "evtchn/evtchn.h"

static long op_yield(struct call *c, void *arg)
{
    vcpu_yield();
    return 0;
}

/* An event that came before wakes nobody any more: also with interrupts off, a guest that has one does not sleep. */
static long op_block(struct call *c, void *arg)
{
    vcpu_block(c->v);
    if (evtchn_upcall_pending(c->v)) vcpu_wake(c->v);
    return 0;
}

/* Codes are between the guest and the toolstack: what does not fit into the field is refused, unknown ones pass. */
static long op_shutdown(struct call *c, void *arg)
{
    struct sched_shutdown *s = arg;
    if (s->reason >= SHUTDOWN_CODE_NONE) return -EINVAL;
    domain_shutdown(c->v->dom, (u8)s->reason);
    return 0;
}

#define POLL_MAX 128

static long op_poll(struct call *c, void *arg)
{
    struct sched_poll *p = arg;
    struct vcpu *v = c->v;
    u32 ports[POLL_MAX];
    bool ready;
    if (p->nr_ports > POLL_MAX) return -EINVAL;
    if (p->nr_ports && guest_read(v, ports, (gva_t)p->ports.p, p->nr_ports * sizeof(ports[0]))) return -EFAULT;
    int rc = evtchn_poll(v, ports, p->nr_ports, &ready);
    if (rc || ready) return rc;
    if (p->timeout && p->timeout <= now_ns()) {
        evtchn_poll_end(v);
        return 0;
    }
    vcpu_block(v);
    if (p->timeout) timer_set(&v->poll_timer, p->timeout);
    /* A port raised since evtchn_poll() looked has ended the poll, but came before the flag that it clears. */
    if (!load_acquire(&v->poll_active)) vcpu_wake(v);
    return 0;
}

static long op_remote_shutdown(struct call *c, void *arg)
{
    struct sched_remote_shutdown *s = arg;
    struct domain *d = get_domain(s->domain_id);
    if (!d) return -ESRCH;
    long rc = 0;
    if (d == c->v->dom) rc = -EPERM;
    else if (s->reason >= SHUTDOWN_CODE_NONE) rc = -EINVAL;
    else domain_shutdown(d, (u8)s->reason);
    put_domain(d);
    return rc;
}

static long op_shutdown_code(struct call *c, void *arg)
{
    struct sched_shutdown *s = arg;
    struct domain *d = c->v->dom;
    if (s->reason >= SHUTDOWN_CODE_NONE) return -EINVAL;
    spin_lock(&d->lock);
    if (d->shutdown_code == SHUTDOWN_CODE_NONE) d->shutdown_code = (u8)s->reason;
    spin_unlock(&d->lock);
    return 0;
}

/* id 0: the next free one is returned; id n with timeout 0 stops it, else re-arms it. */
static long watchdog_locked(struct domain *d, const struct sched_watchdog *w)
{
    unsigned nr = ARRAY_SIZE(d->watchdog), id = w->id;
    u64 at = now_ns() + w->timeout * 1000000000ULL;
    if (id > nr || (!id && !w->timeout)) return -EINVAL;
    if (!id) {
        while (id < nr && d->watchdog[id].active) id++;
        if (id == nr) return -ENOSPC;
        timer_set(&d->watchdog[id], at);
        return id + 1;
    }
    struct timer *t = &d->watchdog[index_nospec(id - 1, nr)];
    if (!t->active) return -EINVAL;
    if (w->timeout) timer_set(t, at);
    else timer_stop(t);
    return 0;
}

/* Two vCPUs that ask at once get two watchdogs. */
static long op_watchdog(struct call *c, void *arg)
{
    struct domain *d = c->v->dom;
    spin_lock(&d->lock);
    long rc = watchdog_locked(d, arg);
    spin_unlock(&d->lock);
    return rc;
}

static const struct subop ops[] = {
    [SCHEDOP_yield] = { "yield", op_yield },
    [SCHEDOP_block] = { "block", op_block },
    [SCHEDOP_shutdown] = { "shutdown", op_shutdown, sizeof(struct sched_shutdown) },
    [SCHEDOP_poll] = { "poll", op_poll, sizeof(struct sched_poll) },
    [SCHEDOP_remote_shutdown] = { "remote_shutdown", op_remote_shutdown, sizeof(struct sched_remote_shutdown), 0,
                                  WHO_PRIV },
    [SCHEDOP_shutdown_code] = { "shutdown_code", op_shutdown_code, sizeof(struct sched_shutdown) },
    [SCHEDOP_watchdog] = { "watchdog", op_watchdog, sizeof(struct sched_watchdog) },
};

long sched_op(struct call *c)
{
    return subop_run(c, ops, ARRAY_SIZE(ops), (unsigned)c->arg[0], c->arg[1]);
}
