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

static long op_block(struct call *c, void *arg)
{
    vcpu_block(c->v);
    return 0;
}

static long op_shutdown(struct call *c, void *arg)
{
    struct sched_shutdown *s = arg;
    if (s->reason > SHUTDOWN_MAX) return -EINVAL;
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
    if (p->timeout) timer_set(&v->poll_timer, p->timeout);
    vcpu_block(v);
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
    else if (s->reason > SHUTDOWN_MAX) rc = -EINVAL;
    else domain_shutdown(d, (u8)s->reason);
    put_domain(d);
    return rc;
}

static long op_shutdown_code(struct call *c, void *arg)
{
    struct sched_shutdown *s = arg;
    struct domain *d = c->v->dom;
    if (s->reason > SHUTDOWN_MAX) return -EINVAL;
    spin_lock(&d->lock);
    if (!d->shutting_down) d->shutdown_code = (u8)s->reason;
    spin_unlock(&d->lock);
    return 0;
}

/* id 0: the next free one is returned; id n with timeout 0 stops it, else re-arms it. */
static long op_watchdog(struct call *c, void *arg)
{
    struct sched_watchdog *w = arg;
    struct domain *d = c->v->dom;
    unsigned nr = ARRAY_SIZE(d->watchdog), id = w->id;
    if (id > nr || (!id && !w->timeout)) return -EINVAL;
    if (!id) {
        while (id < nr && d->watchdog[id].active) id++;
        if (id == nr) return -ENOSPC;
        timer_set(&d->watchdog[id], now_ns() + w->timeout * 1000000000ULL);
        return id + 1;
    }
    struct timer *t = &d->watchdog[index_nospec(id - 1, nr)];
    if (!t->active) return -EINVAL;
    if (w->timeout) timer_set(t, now_ns() + w->timeout * 1000000000ULL);
    else timer_stop(t);
    return 0;
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
    return subop_run(c, ops, ARRAY_SIZE(ops), (unsigned)MIN(c->arg[0], (u64)~0u), c->arg[1]);
}
