/* SPDX-License-Identifier: MIT */
/* sysctl: CPU features and policies of the machine. */
#include "call/cpupolicy.h"
#include "call/sysctl.h"

/* CPUID of guests always exits, so levelling needs no help from the hardware. */
SYSCTL_HANDLER(get_cpu_levelling_caps)
{
    op->u.cpu_levelling_caps.caps = 0;
    return 0;
}

/* Index in the ABI -> our policy; PV ones do not exist. */
#define NONE POLICY_NR
static const u8 featureset_of[] = {
    [XEN_SYSCTL_cpu_featureset_raw] = POLICY_RAW, [XEN_SYSCTL_cpu_featureset_host] = POLICY_HOST,
    [XEN_SYSCTL_cpu_featureset_pv] = NONE, [XEN_SYSCTL_cpu_featureset_hvm] = POLICY_HVM_DEFAULT,
    [XEN_SYSCTL_cpu_featureset_pv_max] = NONE, [XEN_SYSCTL_cpu_featureset_hvm_max] = POLICY_HVM_MAX,
};
static const u8 policy_of[] = {
    [XEN_SYSCTL_cpu_policy_raw] = POLICY_RAW, [XEN_SYSCTL_cpu_policy_host] = POLICY_HOST,
    [XEN_SYSCTL_cpu_policy_pv_max] = NONE, [XEN_SYSCTL_cpu_policy_hvm_max] = POLICY_HVM_MAX,
    [XEN_SYSCTL_cpu_policy_pv_default] = NONE, [XEN_SYSCTL_cpu_policy_hvm_default] = POLICY_HVM_DEFAULT,
};

/* -EINVAL: no such index; -EOPNOTSUPP: PV. */
static int find_policy(const u8 *table, unsigned nr, u32 index, const struct cpu_policy **p)
{
    if (index >= nr) return -EINVAL;
    u8 i = table[index_nospec(index, nr)];
    if (i == NONE) return -EOPNOTSUPP;
    *p = policy_system(i);
    return 0;
}

/* NULL array: the number of words. A short array is filled as far as it goes: -ENOBUFS, which clients tolerate. */
SYSCTL_HANDLER(get_cpu_featureset)
{
    struct xen_sysctl_cpu_featureset *a = &op->u.cpu_featureset;
    const struct cpu_policy *p;
    u32 words[POLICY_FEATURE_WORDS], room = a->nr_features;
    a->nr_features = POLICY_FEATURE_WORDS;
    if (!a->features.p) return 0;
    int rc = find_policy(featureset_of, ARRAY_SIZE(featureset_of), a->index, &p);
    if (rc) return rc;
    policy_featureset(p, words);
    u32 n = MIN(room, (u32)POLICY_FEATURE_WORDS);
    a->nr_features = n;
    if (n && guest_write(c->v, (gva_t)a->features.p, words, n * sizeof(words[0]))) return -EFAULT;
    return room < POLICY_FEATURE_WORDS ? -ENOBUFS : 0;
}

SYSCTL_HANDLER(get_cpu_policy)
{
    struct xen_sysctl_cpu_policy *a = &op->u.cpu_policy;
    const struct cpu_policy *p;
    if (a->_rsvd) return -EINVAL;
    int rc = find_policy(policy_of, ARRAY_SIZE(policy_of), a->index, &p);
    if (rc) return rc;
    return cpupolicy_out(c->v, p, (gva_t)a->leaves.p, &a->nr_leaves, (gva_t)a->msrs.p, &a->nr_msrs);
}
