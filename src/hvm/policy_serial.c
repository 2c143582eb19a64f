/* SPDX-License-Identifier: MIT */
/* Policies as arrays of leaves and MSRs (public/arch-x86/xen.h: xen_cpuid_leaf_t, xen_msr_entry_t). */
#include "hvm/policy_private.h"

enum { MSR_INDEX_PLATFORM_INFO = 0xce, MSR_INDEX_ARCH_CAPS = 0x10a };

struct cpuid_leaf *policy_subleaves(struct cpu_policy *p, u32 leaf, unsigned *nr)
{
    switch (leaf) {
    case 4: *nr = POLICY_CACHE; return p->cache;
    case 7: *nr = POLICY_FEAT; return p->feat;
    case 0xb: *nr = POLICY_TOPO; return p->topo;
    case 0xd: *nr = POLICY_XSTATE; return p->xstate;
    }
    return NULL;
}

struct out { xen_cpuid_leaf_t *e; unsigned n; };
static void put(struct out *o, u32 leaf, u32 sub, const struct cpuid_leaf *l)
{
    o->e[o->n++] = (xen_cpuid_leaf_t){ leaf, sub, l->a, l->b, l->c, l->d };
}

/*
 * Is subleaf s of leaf l listed? Caches and topology end with an empty one. Of extended state, all up to the last
 * component, empty ones between too: libxc lists them like that, in as much room as our own list took.
 */
static bool listed(const struct cpu_policy *p, u32 l, unsigned s)
{
    switch (l) {
    case 4: return s == 0 || (p->cache[s - 1].a & 0x1f);
    case 7: return s <= p->feat[0].a;
    case 0xb: return s == 0 || p->topo[s - 1].b;
    default: return s < 2 || (p->xstate[0].a | (u64)p->xstate[0].d << 32) >> s;
    }
}

unsigned policy_get_leaves(const struct cpu_policy *p, xen_cpuid_leaf_t *e)
{
    struct out o = { e, 0 };
    for (u32 l = 0; l <= MIN(p->basic[0].a, (u32)POLICY_BASIC - 1); l++) {
        unsigned nr;
        const struct cpuid_leaf *sub = policy_subleaves((struct cpu_policy *)p, l, &nr);
        if (!sub) put(&o, l, XEN_CPUID_NO_SUBLEAF, &p->basic[l]);
        else
            for (unsigned s = 0; s < nr; s++)
                if (listed(p, l, s)) put(&o, l, s, &sub[s]);
    }
    put(&o, XEN_CPUID_LEAF(0), XEN_CPUID_NO_SUBLEAF, &(struct cpuid_leaf){ .a = p->hv_limit });
    put(&o, XEN_CPUID_LEAF(0x100), XEN_CPUID_NO_SUBLEAF, &(struct cpuid_leaf){ .a = p->hv2_limit });
    if (p->ext[0].a >> 16 == 0x8000)
        for (u32 l = 0; l <= MIN(p->ext[0].a & 0xffff, (u32)POLICY_EXT - 1); l++)
            put(&o, 0x80000000 + l, XEN_CPUID_NO_SUBLEAF, &p->ext[l]);
    return o.n;
}

unsigned policy_get_msrs(const struct cpu_policy *p, xen_msr_entry_t *e)
{
    e[0] = (xen_msr_entry_t){ .idx = MSR_INDEX_PLATFORM_INFO, .val = p->platform_info };
    e[1] = (xen_msr_entry_t){ .idx = MSR_INDEX_ARCH_CAPS, .val = p->arch_caps };
    return POLICY_MAX_MSRS;
}

int policy_put_leaf(struct cpu_policy *p, const xen_cpuid_leaf_t *l)
{
    struct cpuid_leaf v = { l->a, l->b, l->c, l->d };
    if (l->leaf < POLICY_BASIC) {
        unsigned nr;
        struct cpuid_leaf *sub = policy_subleaves(p, l->leaf, &nr);
        if (sub ? l->subleaf >= nr : l->subleaf != XEN_CPUID_NO_SUBLEAF) return -ERANGE;
        if (sub) sub[index_nospec(l->subleaf, nr)] = v;
        else p->basic[index_nospec(l->leaf, POLICY_BASIC)] = v;
        return 0;
    }
    if (l->subleaf != XEN_CPUID_NO_SUBLEAF) return -ERANGE;
    if (l->leaf == XEN_CPUID_LEAF(0)) p->hv_limit = v.a;
    else if (l->leaf == XEN_CPUID_LEAF(0x100)) p->hv2_limit = v.a;
    else if (l->leaf >= 0x80000000 && l->leaf - 0x80000000 < POLICY_EXT)
        p->ext[index_nospec(l->leaf - 0x80000000, POLICY_EXT)] = v;
    else return -ERANGE;
    return 0;
}

int policy_put_msr(struct cpu_policy *p, const xen_msr_entry_t *m)
{
    if (m->flags) return -EINVAL;
    switch (m->idx) {
    case MSR_INDEX_PLATFORM_INFO:
        if (m->val >> 32) return -EOVERFLOW;
        p->platform_info = m->val;
        return 0;
    case MSR_INDEX_ARCH_CAPS:
        p->arch_caps = m->val;
        return 0;
    }
    return -ERANGE;
}
