/* SPDX-License-Identifier: MIT */
/* domctl: vCPUs and their scheduling. */
#include "call/bitmap.h"
#include "call/domctl.h"
#include "call/vcpuctx.h"
#include "hvm/hvm.h"
#include "sched/sched.h"

/* vCPU `id` of d: -EINVAL beyond the maximum, -ESRCH not created. */
static int find_vcpu(struct domain *d, u32 id, struct vcpu **v)
{
    if (id >= d->max_vcpus) return -EINVAL;
    *v = load_acquire(&d->vcpu[index_nospec(id, d->max_vcpus)]);
    return *v ? 0 : -ESRCH;
}

/* Creates those that do not exist yet; a failure leaves the made ones for destruction or another try. */
DOMCTL_HANDLER(max_vcpus)
{
    if (op->u.max_vcpus.max != d->max_vcpus) return -EINVAL;
    for (unsigned i = 0; i < d->max_vcpus; i++) {
        int rc = d->vcpu[i] ? 0 : vcpu_create(d, i);
        if (rc) return rc;
    }
    return 0;
}

/* ---- affinity ---- */
static u64 online_cpus(void)
{
    return nr_cpus >= 64 ? ~0ULL : (1ULL << nr_cpus) - 1;
}

static long affinity_out(struct call *c, const struct xen_domctl_vcpuaffinity *a, u64 hard, u64 soft)
{
    int rc = 0;
    if (a->flags & XEN_VCPUAFFINITY_HARD) rc = bitmap_out(c->v, &a->cpumap_hard, hard);
    if (!rc && a->flags & XEN_VCPUAFFINITY_SOFT) rc = bitmap_out(c->v, &a->cpumap_soft, soft);
    return rc;
}

#define AFFINITY_FLAGS (XEN_VCPUAFFINITY_HARD | XEN_VCPUAFFINITY_SOFT)

/* Out: what is effective after the change. Written before it, so that a buffer that cannot be written leaves all as it
 * was; it stays true, since the lock of control operations is held. */
DOMCTL_HANDLER(setvcpuaffinity)
{
    const struct xen_domctl_vcpuaffinity *a = &op->u.vcpuaffinity;
    struct vcpu *v;
    u64 hard, soft;
    int rc = find_vcpu(d, a->vcpu, &v);
    if (rc) return rc;
    if (a->flags & ~(AFFINITY_FLAGS | XEN_VCPUAFFINITY_FORCE) || !(a->flags & AFFINITY_FLAGS)) return -EINVAL;
    bool set_hard = a->flags & XEN_VCPUAFFINITY_HARD, set_soft = a->flags & XEN_VCPUAFFINITY_SOFT;
    sched_get_affinity(v, &hard, &soft);
    if (set_hard && (rc = bitmap_in(c->v, &a->cpumap_hard, &hard))) return rc;
    if (set_soft && (rc = bitmap_in(c->v, &a->cpumap_soft, &soft))) return rc;
    if (!(hard & online_cpus())) return -EINVAL;
    rc = (int)affinity_out(c, a, hard & online_cpus(), soft & hard & online_cpus());
    return rc ? rc : sched_set_affinity(v, set_hard ? &hard : NULL, set_soft ? &soft : NULL);
}

DOMCTL_HANDLER(getvcpuaffinity)
{
    const struct xen_domctl_vcpuaffinity *a = &op->u.vcpuaffinity;
    struct vcpu *v;
    u64 hard, soft;
    int rc = find_vcpu(d, a->vcpu, &v);
    if (rc) return rc;
    if (a->flags & ~AFFINITY_FLAGS || !a->flags) return -EINVAL;
    sched_get_affinity(v, &hard, &soft);
    return affinity_out(c, a, hard, soft);
}

/* ---- scheduler ---- */
DOMCTL_HANDLER(scheduler_op)
{
    struct xen_domctl_scheduler_op *a = &op->u.scheduler_op;
    struct sched_params p;
    if (a->sched_id != XEN_SCHEDULER_CREDIT2) return -EINVAL;
    switch (a->cmd) {
    case XEN_DOMCTL_SCHEDOP_putinfo:
        p = (struct sched_params){ .weight = a->u.credit2.weight, .cap = a->u.credit2.cap };
        sched_set_params(d, &p);
        return 0;
    case XEN_DOMCTL_SCHEDOP_getinfo:
        sched_get_params(d, &p);
        memset(&a->u, 0, sizeof(a->u));
        a->u.credit2.weight = p.weight;
        a->u.credit2.cap = p.cap;
        return 0;
    }
    return -EINVAL;             /* per-vCPU parameters exist in RTDS only */
}

DOMCTL_HANDLER(getvcpuinfo)
{
    struct xen_domctl_getvcpuinfo *a = &op->u.getvcpuinfo;
    struct vcpu *v;
    u32 id = a->vcpu;
    int rc = find_vcpu(d, id, &v);
    if (rc) return rc;
    u32 flags = read_once(&v->flags);
    memset(&op->u, 0, sizeof(op->u));
    a->vcpu = id;
    a->online = !(flags & VF_DOWN);
    a->blocked = !!(flags & VF_BLOCKED);
    a->running = !!read_once(&v->running);
    a->cpu_time = vcpu_cpu_time_ns(v);
    a->cpu = v->cpu;
    return 0;
}

DOMCTL_HANDLER(sendtrigger)
{
    struct vcpu *v;
    int rc = find_vcpu(d, op->u.sendtrigger.vcpu, &v);
    if (rc) return rc;
    switch (op->u.sendtrigger.trigger) {
    case XEN_DOMCTL_SENDTRIGGER_NMI:
        hvm_inject_nmi(v);
        return 0;
    case XEN_DOMCTL_SENDTRIGGER_POWER:
    case XEN_DOMCTL_SENDTRIGGER_SLEEP:
        return -EOPNOTSUPP;     /* PVH guests have no ACPI buttons */
    }
    return -ENOSYS;
}

/* ---- registers ---- */
DOMCTL_HANDLER(getvcpucontext)
{
    struct vcpu *v;
    int rc = find_vcpu(d, op->u.vcpucontext.vcpu, &v);
    if (rc) return rc;
    if (!v->initialised) return -ENODATA;
    struct vcpu_guest_context *g = kzalloc(sizeof(*g));
    if (!g) return -ENOMEM;
    domain_pause(d);
    vcpuctx_get(v, g);
    domain_unpause(d);
    rc = guest_write(c->v, (gva_t)op->u.vcpucontext.ctxt.p, g, sizeof(*g));
    kfree(g);
    return rc;
}

/* A NULL context takes the vCPU down; it is one without a state again. */
DOMCTL_HANDLER(setvcpucontext)
{
    struct vcpu *v;
    int rc = find_vcpu(d, op->u.vcpucontext.vcpu, &v);
    if (rc) return rc;
    if (!op->u.vcpucontext.ctxt.p) {
        domain_pause(d);
        vcpu_set_down(v);
        v->initialised = false;
        domain_unpause(d);
        return 0;
    }
    struct vcpu_guest_context *g = kzalloc(sizeof(*g));
    if (!g) return -ENOMEM;
    rc = guest_read(c->v, g, (gva_t)op->u.vcpucontext.ctxt.p, sizeof(*g));
    if (!rc) {
        domain_pause(d);
        rc = vcpuctx_set(v, g);
        domain_unpause(d);
    }
    kfree(g);
    return rc;
}
