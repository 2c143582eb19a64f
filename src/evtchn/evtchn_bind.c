/* SPDX-License-Identifier: MIT */
/* Event channels: connecting and closing (EVTCHNOP_alloc_unbound, bind_interdomain, bind_ipi, close). */
#include "evtchn/evtchn_priv.h"

#define CLOSE_BATCH 64          /* ports closed between two looks at pending interrupts */

/* By object, not by alias (I-18): oneself, anybody for the toolstack, its target for a device model's domain. */
static bool may_act_for(const struct domain *caller, const struct domain *d)
{
    return caller == d || caller->is_priv || caller->target == d;
}

long evtchn_alloc_unbound(struct call *c, void *arg)
{
    struct evtchn_alloc_unbound *au = arg;
    struct domain *d = get_domain_self(au->dom);
    struct evtchn *chn;
    if (!d) return -ESRCH;
    long port = -EPERM;
    if (may_act_for(c->v->dom, d)) {
        spin_lock(&d->evtchn->lock);
        port = evtchn_alloc_locked(d, &chn);
        if (port >= 0)
            chn->remote_domid = au->remote_dom == DOMID_SELF ? c->v->dom->id : au->remote_dom;
        spin_unlock(&d->evtchn->lock);
        au->port = (u32)port;
    }
    put_domain(d);
    return port < 0 ? port : 0;
}

static long bind_interdomain_locked(struct domain *ld, struct domain *rd, u32 rport)
{
    struct evtchn *lchn, *rchn = evtchn_lookup(rd->evtchn, rport);
    if (!rchn || rchn->state != ECS_UNBOUND || rchn->remote_domid != ld->id || rd->evtchn->dying) return -EINVAL;
    long lport = evtchn_alloc_locked(ld, &lchn);
    if (lport < 0) return lport;
    lchn->remote_port = rport;
    lchn->rd = rd;
    lchn->state = ECS_INTERDOMAIN;
    rchn->remote_port = (u32)lport;
    rchn->rd = ld;
    rchn->state = ECS_INTERDOMAIN;
    /* The peer may have sent before anybody listened. */
    evtchn_raise(ld, lchn, (u32)lport);
    return lport;
}

long evtchn_bind_interdomain(struct call *c, void *arg)
{
    struct evtchn_bind_interdomain *bi = arg;
    struct domain *ld = c->v->dom, *rd = get_domain_self(bi->remote_dom);
    if (!rd) return -ESRCH;
    evtchn_lock_pair(ld, rd);
    long port = bind_interdomain_locked(ld, rd, bi->remote_port);
    evtchn_unlock_pair(ld, rd);
    put_domain(rd);
    bi->local_port = (u32)port;
    return port < 0 ? port : 0;
}

long evtchn_bind_ipi(struct call *c, void *arg)
{
    struct evtchn_bind_ipi *b = arg;
    struct domain *d = c->v->dom;
    struct evtchn *chn;
    if (!evtchn_vcpu_by_id(d, b->vcpu)) return -ENOENT;
    spin_lock(&d->evtchn->lock);
    long port = evtchn_alloc_locked(d, &chn);
    if (port >= 0) {
        chn->state = ECS_IPI;
        chn->vcpu = (u8)b->vcpu;
    }
    spin_unlock(&d->evtchn->lock);
    b->port = (u32)port;
    return port < 0 ? port : 0;
}

/* Lock d, and the peer too if the port is connected to one. *peer gets the peer (NULL: none), whose binding cannot
 * change while d's lock is held. If the peer's lock comes first in order, d's is dropped in between and the binding
 * is looked at again; a new attempt is only made after somebody else changed it. */
static struct evtchn *lock_port_and_peer(struct domain *d, u32 port, struct domain **peer)
{
    struct evtchn *chn = evtchn_lookup(d->evtchn, port);
    *peer = NULL;
    if (!chn) return NULL;
    for (;;) {
        spin_lock(&d->evtchn->lock);
        if (chn->state != ECS_INTERDOMAIN || chn->rd == d) return chn;
        if (chn->rd->id > d->id) {
            *peer = chn->rd;
            spin_lock_nested(&chn->rd->evtchn->lock);
            return chn;
        }
        u16 id = chn->rd->id;
        spin_unlock(&d->evtchn->lock);
        struct domain *rd = get_domain(id);
        if (!rd) continue;
        evtchn_lock_pair(d, rd);
        if (chn->state == ECS_INTERDOMAIN && chn->rd == rd) {
            put_domain(rd);                     /* the binding keeps it, and the list */
            *peer = rd;
            return chn;
        }
        evtchn_unlock_pair(d, rd);
        put_domain(rd);
    }
}

/* The other end waits for a new connection from us. */
static void disconnect(struct domain *d, struct evtchn *chn)
{
    struct evtchn *rchn = evtchn_lookup(chn->rd->evtchn, chn->remote_port);
    rchn->state = ECS_UNBOUND;
    rchn->rd = NULL;
    rchn->remote_domid = d->id;
}

int evtchn_close_port(struct domain *d, u32 port, bool xen)
{
    struct domain *peer;
    struct evtchn *chn = lock_port_and_peer(d, port, &peer);
    int rc = -EINVAL;
    if (!chn) return rc;
    if (chn->state > ECS_RESERVED && (xen || !chn->consumer)) {
        if (chn->state == ECS_VIRQ) evtchn_virq_unbind_locked(d, chn);
        if (chn->state == ECS_INTERDOMAIN) disconnect(d, chn);
        evtchn_free_locked(d, chn, port);
        rc = 0;
    }
    if (peer) evtchn_unlock_pair(d, peer);
    else spin_unlock(&d->evtchn->lock);
    return rc;
}

/* Restarting from the first port is cheap: empty buckets are passed over. */
int evtchn_close_all(struct domain *d, bool xen)
{
    struct evtchn_domain *ed = d->evtchn;
    unsigned done = 0;
    for (u32 port = 0; port < ed->max_ports; port++) {
        struct evtchn_bucket *b = load_acquire(&ed->bucket[port / BUCKET_PORTS]);
        if (!b || read_once(&b->used) <= (port < BUCKET_PORTS)) {       /* port 0 counts as used and never closes */
            port |= BUCKET_PORTS - 1;
            continue;
        }
        if (read_once(&b->chn[port % BUCKET_PORTS].state) <= ECS_RESERVED) continue;
        if (evtchn_close_port(d, port, xen) == 0 && ++done % CLOSE_BATCH == 0 && call_preempt()) return -ERESTART;
    }
    return 0;
}
