/* SPDX-License-Identifier: MIT */
/*
 * SCHEDOP_poll. A vCPU waits for one port, or for any event when it named several: waking too often is allowed.
 * v->poll_active is the token: the poller sets it before it looks at the ports, a sender takes it after it set its
 * event pending (full barriers on both sides), and whoever takes it accounts for it.
 */
#include "evtchn/evtchn_priv.h"
#include "sched/sched.h"

static bool take_token(struct vcpu *v)
{
    if (!atomic_xchg(&v->poll_active, false)) return false;
    atomic_sub(&v->dom->evtchn->nr_polling, 1);
    return true;
}

static void set_token(struct vcpu *v, u32 port)
{
    (void)take_token(v);                        /* left over from a poll that timed out */
    write_once(&v->evtchn->poll_port, port);
    atomic_add(&v->dom->evtchn->nr_polling, 1);
    (void)atomic_xchg(&v->poll_active, true);
}

/* Every port is looked up by number and must be in use by the guest (XSA-221, XSA-342). */
static int poll_locked(struct vcpu *v, const u32 *ports, unsigned nr, bool *ready)
{
    struct domain *d = v->dom;
    if (!v->evtchn) return -EINVAL;
    for (unsigned i = 0; i < nr; i++)
        if (!evtchn_lookup_guest(d->evtchn, ports[i])) return -EINVAL;
    set_token(v, nr == 1 ? ports[0] : 0);
    for (unsigned i = 0; i < nr && !*ready; i++)
        *ready = evtchn_is_pending(d, evtchn_lookup(d->evtchn, ports[i]), ports[i]);
    if (*ready) (void)take_token(v);
    return 0;
}

int evtchn_poll(struct vcpu *v, const u32 *ports, unsigned nr, bool *ready)
{
    *ready = false;
    spin_lock(&v->dom->evtchn->lock);
    int rc = poll_locked(v, ports, nr, ready);
    spin_unlock(&v->dom->evtchn->lock);
    return rc;
}

bool evtchn_poll_end(struct vcpu *v)
{
    return read_once(&v->poll_active) && take_token(v);
}

void evtchn_wake_pollers(struct domain *d, u32 port)
{
    struct vcpu *v;
    if (likely(!read_once(&d->evtchn->nr_polling))) return;
    for_each_vcpu(d, v) {
        struct evtchn_vcpu *ev = v->evtchn;
        if (!ev || !read_once(&v->poll_active)) continue;
        u32 p = read_once(&ev->poll_port);
        if ((!p || p == port) && take_token(v)) vcpu_wake(v);
    }
}
