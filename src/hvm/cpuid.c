/* SPDX-License-Identifier: MIT */
/* CPUID as a vCPU sees it: the domain's policy, its dynamic fields, the hypervisor's leaves (E.1). */
#include "hvm/policy_private.h"

#define XEN_VERSION_4_17 0x00040011u

/* ---- hypervisor leaves 0x40000000.. (public/arch-x86/cpuid.h) ---- */
static void hv_signature(struct vcpu *v, u32 sub, struct cpuid_leaf *o)
{
    u32 limit = v->dom->policy->hv_limit;
    *o = (struct cpuid_leaf){ limit ? limit : XEN_CPUID_LEAF(XEN_CPUID_MAX_NUM_LEAVES), XEN_CPUID_SIGNATURE_EBX,
                              XEN_CPUID_SIGNATURE_ECX, XEN_CPUID_SIGNATURE_EDX };
}

static void hv_version(struct vcpu *v, u32 sub, struct cpuid_leaf *o)
{
    o->a = XEN_VERSION_4_17;
}

static void hv_hypercall_page(struct vcpu *v, u32 sub, struct cpuid_leaf *o)
{
    o->a = 1;                   /* page */
    o->b = 0x40000000;          /* MSR */
}

static void hv_tsc(struct vcpu *v, u32 sub, struct cpuid_leaf *o)
{
    const struct domain *d = v->dom;
    switch (sub) {
    case 0:
        o->a = (d->tsc_mode == 1) | (tsc_reliable ? 2 : 0) |
               (policy_feature(d->policy, XEN_X86_FEATURE_RDTSCP) ? 4 : 0);
        o->b = d->tsc_mode;
        o->c = d->tsc_khz;
        o->d = d->tsc_incarnation;
        break;
    case 1:
        o->a = (u32)d->tsc_offset;
        o->b = (u32)(d->tsc_offset >> 32);
        o->c = tsc_mul;
        o->d = (u32)(s32)tsc_shift;
        break;
    case 2:
        o->a = tsc_khz;
        break;
    }
}

static void hv_hvm(struct vcpu *v, u32 sub, struct cpuid_leaf *o)
{
    if (sub) return;
    o->a = XEN_HVM_CPUID_IOMMU_MAPPINGS | XEN_HVM_CPUID_VCPU_ID_PRESENT | XEN_HVM_CPUID_DOMID_PRESENT |
           XEN_HVM_CPUID_UPCALL_VECTOR;
    o->b = v->id;
    o->c = v->dom->id;
}

static void hv_pv(struct vcpu *v, u32 sub, struct cpuid_leaf *o) {}

static void (*const hv_leaf[])(struct vcpu *, u32, struct cpuid_leaf *) = {
    hv_signature, hv_version, hv_hypercall_page, hv_tsc, hv_hvm, hv_pv,
};

static void hypervisor_leaf(struct vcpu *v, u32 n, u32 sub, struct cpuid_leaf *o)
{
    u32 limit = v->dom->policy->hv_limit;
    u32 nr = limit ? (limit & 0xff) + 1 : ARRAY_SIZE(hv_leaf);
    if (n < MIN(nr, (u32)ARRAY_SIZE(hv_leaf))) hv_leaf[index_nospec(n, ARRAY_SIZE(hv_leaf))](v, sub, o);
}

/* ---- dynamic fields ---- */
static u64 guest_cr4(struct vcpu *v)
{
    struct paging_state s;
    hvm->get_paging(v, &s);
    return s.cr4;
}

static u64 guest_xcr0(struct vcpu *v)
{
    struct vcpu_state s;
    hvm->get_state(v, &s);
    return s.xcr0;
}

/* Compacted size: components one after the other, those with ECX[1] set aligned to 64 bytes (SDM vol. 1, 13.4.3). */
static u32 compact_size(const struct cpu_policy *p, u64 xcr0)
{
    u32 size = 576;
    for (unsigned i = 2; i < POLICY_XSTATE; i++) {
        if (!(xcr0 >> i & 1)) continue;
        if (p->xstate[i].c & 2) size = ROUND_UP(size, 64u);
        size += p->xstate[i].a;
    }
    return size;
}

static void basic_leaf(struct vcpu *v, u32 leaf, u32 sub, struct cpuid_leaf *o)
{
    const struct cpu_policy *p = v->dom->policy;
    switch (leaf) {
    case 1:
        *o = p->basic[1];
        o->b = (o->b & 0x00ffffff) | v->id << 25;               /* initial APIC id = 2 * vCPU id */
        if (o->c >> (XEN_X86_FEATURE_XSAVE % 32) & 1 && guest_cr4(v) >> 18 & 1)
            o->c |= 1u << (XEN_X86_FEATURE_OSXSAVE % 32);
        break;
    case 4:
        if (sub < POLICY_CACHE) *o = p->cache[index_nospec(sub, POLICY_CACHE)];
        break;
    case 7:
        if (sub >= POLICY_FEAT) break;
        *o = p->feat[index_nospec(sub, POLICY_FEAT)];
        if (!sub && o->c >> (XEN_X86_FEATURE_PKU % 32) & 1 && guest_cr4(v) >> 22 & 1)
            o->c |= 1u << (XEN_X86_FEATURE_OSPKE % 32);
        break;
    case 0xb:
        /* Also on AMD, because the x2APIC is ours: no levels, only the id. */
        if (!policy_feature(p, XEN_X86_FEATURE_X2APIC)) break;
        o->c = sub & 0xff;
        o->d = v->id * 2;
        break;
    case 0xd:
        if (sub >= POLICY_XSTATE) break;
        *o = p->xstate[index_nospec(sub, POLICY_XSTATE)];
        if (sub == 0 && o->a) o->b = policy_xstate_size(guest_xcr0(v));
        if (sub == 1 && o->a & 1u << (XEN_X86_FEATURE_XSAVEC % 32)) o->b = compact_size(p, guest_xcr0(v));
        break;
    default:
        *o = p->basic[index_nospec(leaf, POLICY_BASIC)];
    }
}

void hvm_cpuid(struct vcpu *v, u32 leaf, u32 sub, struct cpuid_leaf *out)
{
    const struct cpu_policy *p = v->dom->policy;
    *out = (struct cpuid_leaf){ 0 };
    if (leaf <= p->basic[0].a) basic_leaf(v, leaf, sub, out);
    else if (leaf >= 0x80000000 && leaf <= p->ext[0].a)
        *out = p->ext[index_nospec(leaf - 0x80000000, POLICY_EXT)];
    else if (leaf >> 8 == XEN_CPUID_FIRST_LEAF >> 8) hypervisor_leaf(v, leaf & 0xff, sub, out);
}
