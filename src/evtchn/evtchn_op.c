/* SPDX-License-Identifier: MIT */
/* event_channel_op (32): one row per operation, and the short operations themselves. */
#include "evtchn/evtchn_priv.h"

static long op_close(struct call *c, void *arg)
{
    return evtchn_close_port(c->v->dom, ((struct evtchn_close *)arg)->port, false);
}

/* Under the sender's lock the binding, and with it the peer's port, stays. */
static long send_locked(struct domain *d, u32 port)
{
    struct evtchn *chn = evtchn_lookup_guest(d->evtchn, port);
    if (!chn) return -EINVAL;
    switch (chn->state) {
    case ECS_INTERDOMAIN: {
        struct domain *rd = chn->rd;
        struct evtchn *rchn = evtchn_lookup(rd->evtchn, chn->remote_port);
        if (rchn->consumer) evtchn_consume(rd, rchn, chn->remote_port);
        else evtchn_raise(rd, rchn, chn->remote_port);
        return 0;
    }
    case ECS_IPI:
        evtchn_raise(d, chn, port);
        return 0;
    case ECS_UNBOUND:                   /* nobody listens yet: bind_interdomain makes up for it */
        return 0;
    default:
        return -EINVAL;
    }
}

static long op_send(struct call *c, void *arg)
{
    struct domain *d = c->v->dom;
    spin_lock(&d->evtchn->lock);
    long rc = send_locked(d, ((struct evtchn_send *)arg)->port);
    spin_unlock(&d->evtchn->lock);
    return rc;
}

static long status_locked(struct domain *d, struct evtchn_status *s)
{
    struct evtchn *chn = evtchn_lookup(d->evtchn, s->port);
    if (!chn) return -EINVAL;
    if (chn->consumer) return -EACCES;
    switch (chn->state) {
    case ECS_UNBOUND:
        s->status = EVTCHNSTAT_unbound;
        s->u.unbound.dom = (domid_t)chn->remote_domid;
        break;
    case ECS_INTERDOMAIN:
        s->status = EVTCHNSTAT_interdomain;
        s->u.interdomain.dom = chn->rd->id;
        s->u.interdomain.port = chn->remote_port;
        break;
    case ECS_VIRQ:
        s->status = EVTCHNSTAT_virq;
        s->u.virq = chn->virq;
        break;
    case ECS_IPI:
        s->status = EVTCHNSTAT_ipi;
        break;
    default:
        s->status = EVTCHNSTAT_closed;
        break;
    }
    s->vcpu = chn->vcpu;
    return 0;
}

static long op_status(struct call *c, void *arg)
{
    struct evtchn_status *s = arg, in = *s;
    struct domain *d = get_domain_self(in.dom);
    if (!d) return -ESRCH;
    memset(s, 0, sizeof(*s));           /* I-15 */
    s->dom = in.dom;
    s->port = in.port;
    long rc = -EPERM;
    if (d == c->v->dom || c->v->dom->is_priv || c->v->dom->target == d) {
        spin_lock(&d->evtchn->lock);
        rc = status_locked(d, s);
        spin_unlock(&d->evtchn->lock);
    }
    put_domain(d);
    return rc;
}

static long op_bind_vcpu(struct call *c, void *arg)
{
    struct evtchn_bind_vcpu *b = arg;
    struct domain *d = c->v->dom;
    long rc = -EINVAL;
    if (!evtchn_vcpu_by_id(d, b->vcpu)) return -ENOENT;
    spin_lock(&d->evtchn->lock);
    struct evtchn *chn = evtchn_lookup_guest(d->evtchn, b->port);
    if (chn && chn->state != ECS_IPI && (chn->state != ECS_VIRQ || evtchn_virq_is_global(chn->virq))) {
        write_once(&chn->vcpu, (u8)b->vcpu);
        rc = 0;
    }
    spin_unlock(&d->evtchn->lock);
    return rc;
}

static long op_unmask(struct call *c, void *arg)
{
    u32 port = ((struct evtchn_unmask *)arg)->port;
    struct domain *d = c->v->dom;
    spin_lock(&d->evtchn->lock);
    struct evtchn *chn = evtchn_lookup_guest(d->evtchn, port);
    if (chn && d->evtchn->fifo) evtchn_fifo_unmask(d, chn, port);
    else if (chn) evtchn_2l_unmask(d, chn, port);
    spin_unlock(&d->evtchn->lock);
    return chn ? 0 : -EINVAL;
}

/* Ports that appear meanwhile make it fail: it must not report success with channels open (XSA-343). */
static long reset(struct domain *d)
{
    struct evtchn_domain *ed = d->evtchn;
    long rc = evtchn_close_all(d, false);
    if (rc) return rc;
    spin_lock(&ed->lock);
    if (ed->active > ed->xen_ports) rc = -EAGAIN;
    else evtchn_fifo_teardown_locked(d);
    spin_unlock(&ed->lock);
    return rc;
}

/* Another domain must be paused by the toolstack, or it would go on with channels that are gone. */
static long op_reset(struct call *c, void *arg)
{
    struct domain *d = get_domain_self(((struct evtchn_reset *)arg)->dom);
    if (!d) return -ESRCH;
    long rc = d == c->v->dom ? 0 : !c->v->dom->is_priv ? -EPERM : read_once(&d->ctl_pauses) ? 0 : -EINVAL;
    if (!rc) rc = reset(d);
    put_domain(d);
    return rc;
}

/* Physical interrupts are not routed over event channels (feature bit hvm_pirqs is clear). */
static long op_bind_pirq(struct call *c, void *arg)
{
    return -EOPNOTSUPP;
}

#define OP(name, fn, flags) [EVTCHNOP_##name] = { #name, fn, sizeof(struct evtchn_##name), flags, WHO_ANY }
static const struct subop ops[] = {
    OP(bind_interdomain, evtchn_bind_interdomain, SUBOP_OUT),
    OP(bind_virq, evtchn_bind_virq, SUBOP_OUT),
    OP(bind_pirq, op_bind_pirq, 0),
    OP(close, op_close, 0),
    OP(send, op_send, 0),
    OP(status, op_status, SUBOP_OUT),
    OP(alloc_unbound, evtchn_alloc_unbound, SUBOP_OUT),
    OP(bind_ipi, evtchn_bind_ipi, SUBOP_OUT),
    OP(bind_vcpu, op_bind_vcpu, 0),
    OP(unmask, op_unmask, 0),
    OP(reset, op_reset, 0),
    OP(init_control, evtchn_init_control, SUBOP_OUT),
    OP(expand_array, evtchn_expand_array, 0),
    OP(set_priority, evtchn_set_priority, 0),
};

long evtchn_op(struct call *c)
{
    return subop_run(c, ops, ARRAY_SIZE(ops), (unsigned)c->arg[0], c->arg[1]);
}
