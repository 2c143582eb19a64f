/* SPDX-License-Identifier: MIT */
/* Virtual interrupts: per-vCPU ones are bound once per vCPU for good, global ones once per domain on vCPU 0 and may
 * then be moved (public/xen.h marks each V or G). Numbers without a meaning count as global, as they always did. */
#include "evtchn/evtchn_priv.h"

/* Slot of a per-vCPU VIRQ, -1 for global ones. */
static int vcpu_slot(u32 virq)
{
    static const s8 per_vcpu[NR_VCPU_VIRQS] = { VIRQ_TIMER, VIRQ_DEBUG, VIRQ_XENOPROF, VIRQ_XENPMU };
    for (int i = 0; i < NR_VCPU_VIRQS; i++)
        if ((u32)per_vcpu[i] == virq) return i;
    return -1;
}

bool evtchn_virq_is_global(u32 virq) { return vcpu_slot(virq) < 0; }

static u32 *binding(struct domain *d, struct vcpu *v, u32 virq)
{
    int slot = vcpu_slot(virq);
    if (slot < 0) return &d->evtchn->virq_port[index_nospec(virq, NR_VIRQS)];
    return v && v->evtchn ? &v->evtchn->virq_port[slot] : NULL;
}

/* A port comes first, then the binding: a failure touches nobody else's (XSA-496). */
static long bind_locked(struct domain *d, struct vcpu *v, u32 virq)
{
    struct evtchn *chn;
    u32 *bound = binding(d, v, virq);
    if (!bound) return -ENOENT;
    if (*bound) return -EEXIST;
    long port = evtchn_alloc_locked(d, &chn);
    if (port < 0) return port;
    chn->state = ECS_VIRQ;
    chn->virq = virq;
    chn->vcpu = (u8)v->id;
    *bound = (u32)port;
    return port;
}

long evtchn_bind_virq(struct call *c, void *arg)
{
    struct evtchn_bind_virq *b = arg;
    struct domain *d = c->v->dom;
    if (b->virq >= NR_VIRQS) return -EINVAL;
    if (evtchn_virq_is_global(b->virq) && b->vcpu != 0) return -EINVAL;
    struct vcpu *v = evtchn_vcpu_by_id(d, b->vcpu);
    if (!v) return -ENOENT;
    spin_lock(&d->evtchn->lock);
    long port = bind_locked(d, v, b->virq);
    spin_unlock(&d->evtchn->lock);
    b->port = (u32)port;
    return port < 0 ? port : 0;
}

void evtchn_virq_unbind_locked(struct domain *d, struct evtchn *chn)
{
    u32 *bound = binding(d, evtchn_vcpu_by_id(d, chn->vcpu), chn->virq);
    if (bound) *bound = 0;
}

static void raise_virq(struct domain *d, struct vcpu *v, unsigned virq)
{
    struct evtchn_domain *ed = d->evtchn;
    spin_lock(&ed->lock);
    u32 *bound = binding(d, v, virq);
    struct evtchn *chn = bound && *bound ? evtchn_lookup(ed, *bound) : NULL;
    if (chn) evtchn_raise(d, chn, *bound);
    spin_unlock(&ed->lock);
}

void evtchn_virq_vcpu(struct vcpu *v, unsigned virq)
{
    if (virq < NR_VIRQS && vcpu_slot(virq) >= 0) raise_virq(v->dom, v, virq);
}

void evtchn_virq_global(struct domain *d, unsigned virq)
{
    if (d && virq < NR_VIRQS && vcpu_slot(virq) < 0) raise_virq(d, NULL, virq);
}
