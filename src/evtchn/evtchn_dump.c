/* SPDX-License-Identifier: MIT */
/* Event channels: debug key 'e', and the consistency check of hosted tests. */
#include "evtchn/evtchn_priv.h"

static void dump_port(struct domain *d, struct evtchn *chn, u32 port)
{
    static const char *const names[] = { "free", "reserved", "unbound", "interdomain", "virq", "ipi" };
    printk(LOG_INFO, "  %5u %-11s v%u p%u [%c%c]", port, names[chn->state], chn->vcpu, chn->priority,
           evtchn_is_pending(d, chn, port) ? 'P' : '-', evtchn_is_masked(d, port) ? 'M' : '-');
    if (chn->state == ECS_INTERDOMAIN) printk(LOG_INFO, " d%u:%u", chn->rd->id, chn->remote_port);
    else if (chn->state == ECS_UNBOUND) printk(LOG_INFO, " d%u", chn->remote_domid);
    else if (chn->state == ECS_VIRQ) printk(LOG_INFO, " virq %u", chn->virq);
    printk(LOG_INFO, chn->consumer ? " (hypervisor)\n" : "\n");
}

void evtchn_dump(struct domain *d)
{
    struct evtchn_domain *ed = d->evtchn;
    if (!ed) return;
    spin_lock(&ed->lock);
    printk(LOG_INFO, "d%u: %s, %u ports of %u, %u polling\n", d->id, ed->fifo ? "FIFO" : "2-level", ed->active,
           ed->max_ports, ed->nr_polling);
    for (u32 port = 1; port < ed->max_ports; port++) {
        struct evtchn *chn = evtchn_lookup(ed, port);
        if (chn && chn->state > ECS_RESERVED) dump_port(d, chn, port);
        else if (!chn) port |= BUCKET_PORTS - 1;
    }
    spin_unlock(&ed->lock);
}

#ifdef HOSTED
static void audit_port(struct domain *d, struct evtchn *chn, u32 port)
{
    if (chn->state == ECS_INTERDOMAIN) {
        struct evtchn *r = evtchn_lookup(chn->rd->evtchn, chn->remote_port);
        ASSERT(r && r->state == ECS_INTERDOMAIN && r->rd == d && r->remote_port == port);
    } else {
        ASSERT(!chn->rd);
    }
    if (chn->state == ECS_VIRQ && evtchn_virq_is_global(chn->virq)) ASSERT(d->evtchn->virq_port[chn->virq] == port);
    if (chn->state == ECS_FREE) ASSERT(!chn->consumer && !chn->early);
    ASSERT(chn->state != ECS_VIRQ || !chn->consumer);
    ASSERT(evtchn_vcpu_by_id(d, chn->vcpu) || !chn->vcpu);
}

static void audit_virqs(struct evtchn_domain *ed, const u32 *ports, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        struct evtchn *chn = ports[i] ? evtchn_lookup(ed, ports[i]) : NULL;
        ASSERT(!ports[i] || (chn && chn->state == ECS_VIRQ));
    }
}

void evtchn_audit(struct domain *d)
{
    struct evtchn_domain *ed = d->evtchn;
    u32 active = 0, xen = 0, polling = 0;
    struct vcpu *v;
    for (u32 b = 0; b * BUCKET_PORTS < ed->max_ports; b++) {
        u32 used = 0;
        ASSERT(b >= ed->hint || (ed->bucket[b] && ed->bucket[b]->used == BUCKET_PORTS));
        for (u32 i = 0; ed->bucket[b] && i < BUCKET_PORTS; i++) {
            struct evtchn *chn = &ed->bucket[b]->chn[i];
            used += chn->state != ECS_FREE;
            active += chn->state > ECS_RESERVED;
            xen += chn->consumer != 0;
            audit_port(d, chn, b * BUCKET_PORTS + i);
        }
        ASSERT(!ed->bucket[b] || ed->bucket[b]->used == used);
    }
    ASSERT(ed->active == active && ed->xen_ports == xen);
    audit_virqs(ed, ed->virq_port, NR_VIRQS);
    for_each_vcpu(d, v) {
        polling += v->poll_active;
        if (!v->evtchn) continue;
        audit_virqs(ed, v->evtchn->virq_port, NR_VCPU_VIRQS);
        ASSERT(!v->evtchn->cb || ed->fifo);
    }
    ASSERT(ed->nr_polling == polling);
}
#endif
