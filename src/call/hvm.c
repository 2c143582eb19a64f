/* SPDX-License-Identifier: MIT */
/* hvm_op (34). The object decides about permission: oneself, or a domain that the caller controls (I-18). */
#include "call/params.h"
#include "evtchn/evtchn.h"
#include "hvm/hvm.h"
#include "mm/p2m.h"
#include "mm/tlb.h"

/* The domain `id` names, referenced, if the caller may work on it. -ESRCH, -EPERM. */
static int target_domain(struct call *c, u16 id, struct domain **out)
{
    struct domain *self = c->v->dom, *d = get_domain_self(id);
    if (!d) return self->is_priv ? -ESRCH : -EPERM;
    if (d != self && !self->is_priv && self->target != d) {
        put_domain(d);
        return -EPERM;
    }
    *out = d;
    return 0;
}

static long op_set_param(struct call *c, void *arg)
{
    struct xen_hvm_param *a = arg;
    struct domain *d;
    int rc = target_domain(c, a->domid, &d);
    if (rc) return rc;
    rc = param_set(d, d == c->v->dom, a->index, a->value);
    put_domain(d);
    return rc;
}

static long op_get_param(struct call *c, void *arg)
{
    struct xen_hvm_param *a = arg;
    struct domain *d;
    int rc = target_domain(c, a->domid, &d);
    if (rc) return rc;
    rc = param_get(d, d == c->v->dom, a->index, &a->value);
    put_domain(d);
    return rc;
}

static long op_flush_tlbs(struct call *c, void *arg)
{
    if (c->arg[1]) return -EINVAL;
    tlb_flush_domain(c->v->dom);
    return 0;
}

static long op_get_time(struct call *c, void *arg)
{
    ((struct xen_hvm_get_time *)arg)->now = now_ns();
    return 0;
}

static u16 mem_type(enum p2m_type t)
{
    if (t == P2M_RAM_RO || t == P2M_GRANT_RO) return HVMMEM_ram_ro;
    return t == P2M_NONE || t == P2M_MMIO ? HVMMEM_mmio_dm : HVMMEM_ram_rw;
}

static long op_get_mem_type(struct call *c, void *arg)
{
    struct xen_hvm_get_mem_type *a = arg;
    struct domain *d;
    enum p2m_type t;
    int rc = target_domain(c, a->domid, &d);
    if (rc) return rc;
    (void)p2m_lookup(d, GFN(a->pfn), &t, NULL);
    a->mem_type = mem_type(t);
    put_domain(d);
    return 0;
}

/* Vectors below 16 are reserved for exceptions. An upcall that was pending is delivered by the new vector. */
static long op_upcall_vector(struct call *c, void *arg)
{
    struct xen_hvm_evtchn_upcall_vector *a = arg;
    struct domain *d = c->v->dom;
    if (a->vector < 16) return -EINVAL;
    if (a->vcpu >= d->max_vcpus) return -ENOENT;
    struct vcpu *v = load_acquire(&d->vcpu[index_nospec(a->vcpu, d->max_vcpus)]);
    if (!v) return -ENOENT;
    write_once(&v->upcall_vector, a->vector);
    if (evtchn_upcall_pending(v)) hvm_upcall(v);
    return 0;
}

/* No shadow page tables, hence nothing to hint at; Linux only probes whether it is there. */
static long op_nosys(struct call *c, void *arg) { return -ENOSYS; }
static long op_notsupp(struct call *c, void *arg) { return -EOPNOTSUPP; }

static const struct subop ops[] = {
    [HVMOP_set_param] = { "set_param", op_set_param, sizeof(struct xen_hvm_param), 0, WHO_ANY },
    [HVMOP_get_param] = { "get_param", op_get_param, sizeof(struct xen_hvm_param), SUBOP_OUT, WHO_ANY },
    /* 2-4 moved to dm_op; the headers no longer name them for current clients. */
    [2] = { "set_pci_intx_level", op_notsupp, 0, 0, WHO_ANY },
    [3] = { "set_isa_irq_level", op_notsupp, 0, 0, WHO_ANY },
    [4] = { "set_pci_link_route", op_notsupp, 0, 0, WHO_ANY },
    [HVMOP_flush_tlbs] = { "flush_tlbs", op_flush_tlbs, 0, 0, WHO_ANY },
    [HVMOP_pagetable_dying] = { "pagetable_dying", op_nosys, 0, 0, WHO_ANY },
    [HVMOP_get_time] = { "get_time", op_get_time, sizeof(struct xen_hvm_get_time), SUBOP_OUT, WHO_ANY },
    [HVMOP_set_mem_access] = { "set_mem_access", op_notsupp, 0, 0, WHO_ANY },
    [HVMOP_get_mem_access] = { "get_mem_access", op_notsupp, 0, 0, WHO_ANY },
    [HVMOP_get_mem_type] = { "get_mem_type", op_get_mem_type, sizeof(struct xen_hvm_get_mem_type), SUBOP_OUT,
                             WHO_ANY },
    [HVMOP_set_evtchn_upcall_vector] = { "set_evtchn_upcall_vector", op_upcall_vector,
                                         sizeof(struct xen_hvm_evtchn_upcall_vector), 0, WHO_ANY },
    [HVMOP_guest_request_vm_event] = { "guest_request_vm_event", op_notsupp, 0, 0, WHO_ANY },
    [HVMOP_altp2m] = { "altp2m", op_notsupp, 0, 0, WHO_ANY },
};

long hvm_op(struct call *c)
{
    return subop_run(c, ops, ARRAY_SIZE(ops), (unsigned)c->arg[0], c->arg[1]);
}
