/* SPDX-License-Identifier: MIT */
/* The hypervisor's own ports: a guest's domain owns the port, a remote domain connects to it, and an event from there
 * calls a function instead of setting anything pending. Guests cannot close or send on such ports. */
#include "evtchn/evtchn_priv.h"

#define MAX_CONSUMERS 8
typedef void (*consumer_fn)(struct vcpu *v, u32 port);
static consumer_fn consumers[MAX_CONSUMERS];    /* [0] unused; entries are only ever added */

static void ignore(struct vcpu *v, u32 port) {}

/* Index of fn, added at first use. The number of different functions is fixed when the hypervisor is built. */
static u8 consumer_index(consumer_fn fn)
{
    for (u8 i = 1; i < MAX_CONSUMERS; i++) {
        if (atomic_cas(&consumers[i], NULL, fn)) return i;
        if (load_acquire(&consumers[i]) == fn) return i;
    }
    panic("too many event consumers\n");
}

long evtchn_alloc_xen(struct vcpu *v, u16 remote, void (*fn)(struct vcpu *, u32 port))
{
    struct evtchn_domain *ed = v->dom->evtchn;
    u8 consumer = consumer_index(fn ? fn : ignore);
    struct evtchn *chn;
    spin_lock(&ed->lock);
    long port = evtchn_alloc_locked(v->dom, &chn);
    if (port >= 0) {
        chn->consumer = consumer;
        chn->vcpu = (u8)v->id;
        chn->remote_domid = remote;
        ed->xen_ports++;
    }
    spin_unlock(&ed->lock);
    return port;
}

void evtchn_free_xen(struct domain *d, u32 port)
{
    struct evtchn *chn = d->evtchn ? evtchn_lookup(d->evtchn, port) : NULL;
    if (chn && chn->consumer && evtchn_close_port(d, port, true)) return;    /* closed by somebody else */
}

void evtchn_consume(struct domain *d, struct evtchn *chn, u32 port)
{
    struct vcpu *v = evtchn_vcpu_by_id(d, chn->vcpu);
    if (v) consumers[chn->consumer % MAX_CONSUMERS](v, port);
}

void evtchn_notify(struct domain *d, u32 port)
{
    struct evtchn_domain *ed = d->evtchn;
    spin_lock(&ed->lock);
    struct evtchn *chn = evtchn_lookup(ed, port);
    if (chn && chn->state > ECS_RESERVED) {
        if (!chn->consumer) evtchn_raise(d, chn, port);
        else if (chn->state == ECS_INTERDOMAIN) {
            struct evtchn *rchn = evtchn_lookup(chn->rd->evtchn, chn->remote_port);
            if (!rchn->consumer) evtchn_raise(chn->rd, rchn, chn->remote_port);
        }
    }
    spin_unlock(&ed->lock);
}
