/* SPDX-License-Identifier: MIT */
/* sysctl: scheduler and the one CPU pool. */
#include "call/bitmap.h"
#include "call/sysctl.h"
#include "sched/sched.h"

SYSCTL_HANDLER(sched_id)
{
    op->u.sched_id.sched_id = XEN_SCHEDULER_CREDIT2;
    return 0;
}

SYSCTL_HANDLER(scheduler_op)
{
    struct xen_sysctl_scheduler_op *a = &op->u.scheduler_op;
    if (a->cpupool_id) return -ESRCH;
    if (a->sched_id != XEN_SCHEDULER_CREDIT2) return -EINVAL;
    if (a->cmd == XEN_SYSCTL_SCHEDOP_putinfo) {
        int rc = sched_set_ratelimit_us(a->u.sched_credit2.ratelimit_us);
        if (rc) return rc;
    } else if (a->cmd != XEN_SYSCTL_SCHEDOP_getinfo) {
        return -EINVAL;
    }
    memset(&a->u, 0, sizeof(a->u));
    a->u.sched_credit2.ratelimit_us = sched_get_ratelimit_us();
    return 0;
}

/* ---- pools: Pool-0 holds all CPUs and domains ---- */
static u32 count_domains(void)
{
    u32 n = 0, next = 0;
    struct domain *d;
    while (next < DOMID_FIRST_RESERVED && (d = get_domain_from((u16)next))) {
        next = d->id + 1u;
        n++;
        put_domain(d);
    }
    return n;
}

/* INFO finds the first pool with an id at or above the one asked for; -ENOENT ends the caller's loop (H.5). */
static long pool_info(struct call *c, struct xen_sysctl_cpupool_op *a)
{
    if (a->cpupool_id != 0) return -ENOENT;
    a->sched_id = XEN_SCHEDULER_CREDIT2;
    a->n_dom = count_domains();
    return bitmap_out(c->v, &a->cpumap, nr_cpus >= 64 ? ~0ULL : (1ULL << nr_cpus) - 1);
}

static long pool_free_cpus(struct call *c, struct xen_sysctl_cpupool_op *a)
{
    return bitmap_out(c->v, &a->cpumap, 0);
}

static long pool_create(struct call *c, struct xen_sysctl_cpupool_op *a) { return -EOPNOTSUPP; }

/* Destroying Pool-0, taking its last scheduler's CPUs away or adding CPUs that it has. */
static long pool_busy(struct call *c, struct xen_sysctl_cpupool_op *a)
{
    return a->cpupool_id ? -ENOENT : -EBUSY;
}

static long pool_cpu(struct call *c, struct xen_sysctl_cpupool_op *a)
{
    if (a->cpu != XEN_SYSCTL_CPUPOOL_PAR_ANY && a->cpu >= nr_cpus) return -EINVAL;
    return pool_busy(c, a);
}

static long pool_move(struct call *c, struct xen_sysctl_cpupool_op *a)
{
    struct domain *d = a->domid < DOMID_FIRST_RESERVED ? get_domain((u16)a->domid) : NULL;
    if (!d) return -EINVAL;
    put_domain(d);
    return a->cpupool_id ? -ENOENT : 0;
}

static long (*const pool_ops[])(struct call *c, struct xen_sysctl_cpupool_op *a) = {
    [XEN_SYSCTL_CPUPOOL_OP_CREATE] = pool_create,
    [XEN_SYSCTL_CPUPOOL_OP_DESTROY] = pool_busy,
    [XEN_SYSCTL_CPUPOOL_OP_INFO] = pool_info,
    [XEN_SYSCTL_CPUPOOL_OP_ADDCPU] = pool_cpu,
    [XEN_SYSCTL_CPUPOOL_OP_RMCPU] = pool_cpu,
    [XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN] = pool_move,
    [XEN_SYSCTL_CPUPOOL_OP_FREEINFO] = pool_free_cpus,
};

SYSCTL_HANDLER(cpupool_op)
{
    struct xen_sysctl_cpupool_op *a = &op->u.cpupool_op;
    u32 n = a->op;
    if (n >= ARRAY_SIZE(pool_ops)) return -ENOSYS;
    n = (u32)index_nospec(n, ARRAY_SIZE(pool_ops));
    return pool_ops[n] ? pool_ops[n](c, a) : -ENOSYS;
}
