/* SPDX-License-Identifier: MIT */
/* domctl get_cpu_policy / set_cpu_policy, and the copying shared with sysctl. */
#include "call/cpupolicy.h"
#include "call/domctl.h"

static long leaves_out(struct vcpu *v, const struct cpu_policy *p, gva_t dst, u32 *nr)
{
    xen_cpuid_leaf_t *l = kzalloc(POLICY_MAX_LEAVES * sizeof(*l));
    if (!l) return -ENOMEM;
    u32 n = policy_get_leaves(p, l);
    long rc = n > *nr ? -ENOBUFS : guest_write(v, dst, l, n * sizeof(*l));
    if (!rc) *nr = n;
    kfree(l);
    return rc;
}

static long msrs_out(struct vcpu *v, const struct cpu_policy *p, gva_t dst, u32 *nr)
{
    xen_msr_entry_t m[POLICY_MAX_MSRS];
    u32 n = policy_get_msrs(p, m);
    if (n > *nr) return -ENOBUFS;
    *nr = n;
    return guest_write(v, dst, m, n * sizeof(*m));
}

long cpupolicy_out(struct vcpu *v, const struct cpu_policy *p, gva_t leaves, u32 *nr_leaves, gva_t msrs, u32 *nr_msrs)
{
    long rc = 0;
    if (!leaves) *nr_leaves = POLICY_MAX_LEAVES;
    else rc = leaves_out(v, p, leaves, nr_leaves);
    if (rc) return rc;
    if (!msrs) *nr_msrs = POLICY_MAX_MSRS;
    else rc = msrs_out(v, p, msrs, nr_msrs);
    return rc;
}

DOMCTL_HANDLER(get_cpu_policy)
{
    struct xen_domctl_cpu_policy *a = &op->u.cpu_policy;
    return cpupolicy_out(c->v, d->policy, (gva_t)a->leaves.p, &a->nr_leaves, (gva_t)a->msrs.p, &a->nr_msrs);
}

/* Merge the caller's entries into *p, one read each. */
static long merge(struct vcpu *v, struct cpu_policy *p, struct xen_domctl_cpu_policy *a)
{
    int rc;
    for (u32 i = 0; i < a->nr_leaves; i++) {
        xen_cpuid_leaf_t l;
        if (copy_in(v, &l, (gva_t)a->leaves.p + i * sizeof(l))) return -EFAULT;
        if ((rc = policy_put_leaf(p, &l))) {
            a->err_leaf = l.leaf;
            a->err_subleaf = l.subleaf;
            return rc;
        }
    }
    for (u32 i = 0; i < a->nr_msrs; i++) {
        xen_msr_entry_t m;
        if (copy_in(v, &m, (gva_t)a->msrs.p + i * sizeof(m))) return -EFAULT;
        if ((rc = policy_put_msr(p, &m))) {
            a->err_msr = m.idx;
            return rc;
        }
    }
    return 0;
}

DOMCTL_HANDLER(set_cpu_policy)
{
    struct xen_domctl_cpu_policy *a = &op->u.cpu_policy;
    a->err_leaf = a->err_subleaf = a->err_msr = ~0u;
    if (d->ever_unpaused || d->is_hwdom) return -EEXIST;
    if (a->nr_leaves > POLICY_MAX_LEAVES || a->nr_msrs > POLICY_MAX_MSRS) return -E2BIG;
    struct cpu_policy *p = kzalloc(sizeof(*p));
    if (!p) return -ENOMEM;
    *p = *d->policy;
    long rc = merge(c->v, p, a);
    if (!rc) {
        struct policy_error err;
        rc = policy_domain_set(d, p, &err);
        a->err_leaf = err.leaf;
        a->err_subleaf = err.subleaf;
        a->err_msr = err.msr;
        if (rc)
            printk(LOG_WARN, "CPU policy of domain %u: leaf %#x subleaf %#x MSR %#x beyond the machine's\n", d->id,
                   err.leaf, err.subleaf, err.msr);
    }
    kfree(p);
    return rc;
}
