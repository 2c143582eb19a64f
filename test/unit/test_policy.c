/* SPDX-License-Identifier: MIT */
/* CPU policies: masks, CPUID of a vCPU, the toolstack's flow at domain creation, hostile leaves. */
#include "call_env.h"
#include "cpu/cpu.h"
#include "hvm/policy_private.h"
#include "hvm/hvm_vcpu.h"

#define HAS(r, f) ((r) >> (XEN_X86_FEATURE_##f % 32) & 1)

static struct cpuid_leaf cpuid_of(struct vcpu *v, u32 leaf, u32 sub)
{
    struct cpuid_leaf l = { ~0u, ~0u, ~0u, ~0u };
    hvm_cpuid(v, leaf, sub, &l);
    return l;
}

static struct vcpu *new_vcpu(unsigned id)
{
    struct domain *d = dom_by_id(create_pvh(4));
    return d->vcpu[id];
}

static void test_hypervisor_leaves(void **state)
{
    struct vcpu *v = new_vcpu(3);
    struct cpuid_leaf l = cpuid_of(v, 0x40000000, 0);
    assert_int_equal(l.a, 0x40000005);
    assert_memory_equal(&l.b, "XenVMMXenVMM", 12);
    assert_int_equal(cpuid_of(v, 0x40000001, 0).a, 0x00040011);
    l = cpuid_of(v, 0x40000002, 0);
    assert_int_equal(l.a, 1);
    assert_int_equal(l.b, 0x40000000);
    l = cpuid_of(v, 0x40000004, 0);
    assert_int_equal(l.a, 0x5c);
    assert_int_equal(l.b, 3);
    assert_int_equal(l.c, v->dom->id);
    assert_int_equal(cpuid_of(v, 0x40000003, 0).c, tsc_khz);
    assert_int_equal(cpuid_of(v, 0x40000006, 0).a, 0);
    assert_int_equal(cpuid_of(v, 0x400000ff, 0).a, 0);
    assert_int_equal(cpuid_of(v, 0x40000100, 0).a, 0);
}

static void test_basic(void **state)
{
    struct vcpu *v = new_vcpu(2);
    struct cpuid_leaf l = cpuid_of(v, 0, 0);
    assert_int_equal(l.a, 0xd);
    assert_int_equal(l.b, 0x68747541);
    l = cpuid_of(v, 1, 0);
    assert_int_equal(l.b >> 24, 4);             /* APIC id = 2 * vCPU id */
    assert_true(HAS(l.c, X2APIC) && HAS(l.c, HYPERVISOR) && HAS(l.c, XSAVE) && HAS(l.c, TSC_DEADLINE));
    assert_false(HAS(l.c, MONITOR) || HAS(l.c, OSXSAVE) || HAS(l.c, VMX) || HAS(l.c, PDCM));
    assert_true(HAS(l.d, MTRR) && HAS(l.d, APIC) && HAS(l.d, HTT));
    fake_vcpu(v)->state.cr4 = 1u << 18;
    assert_true(HAS(cpuid_of(v, 1, 0).c, OSXSAVE));
    assert_false(HAS(cpuid_of(v, 7, 0).c, OSPKE));
    fake_vcpu(v)->state.cr4 |= 1u << 22;
    assert_true(HAS(cpuid_of(v, 7, 0).c, OSPKE));
    assert_int_equal(cpuid_of(v, 5, 0).a | cpuid_of(v, 6, 0).c | cpuid_of(v, 0xa, 0).a, 0);
    assert_int_equal(cpuid_of(v, 7, 3).a | cpuid_of(v, 7, ~0u).b, 0);
    l = cpuid_of(v, 0xb, 1);
    assert_int_equal(l.c, 1);
    assert_int_equal(l.d, 4);
    assert_int_equal(cpuid_of(v, 0xe, 0).a, 0);
    assert_int_equal(cpuid_of(v, 0x3fffffff, 0).a, 0);
}

static void test_extended(void **state)
{
    struct vcpu *v = new_vcpu(0);
    assert_int_equal(cpuid_of(v, 0x80000000, 0).a, 0x80000021);
    struct cpuid_leaf l = cpuid_of(v, 0x80000001, 0);
    assert_true(HAS(l.d, LM) && HAS(l.d, NX));
    assert_false(HAS(l.c, SVM) || HAS(l.c, TOPOEXT) || HAS(l.c, MONITORX) || HAS(l.c, IBS) || HAS(l.c, OSVW));
    assert_int_equal(l.d & 0x1ff, cpuid_of(v, 1, 0).d & 0x1ff);     /* AMD repeats them */
    assert_int_equal(cpuid_of(v, 0x80000008, 0).a, 0x3030);
    assert_int_equal(cpuid_of(v, 0x8000000a, 0).d, 0);
    assert_int_equal(cpuid_of(v, 0x8000001d, 0).a, 0);
    assert_false(HAS(cpuid_of(v, 0x80000007, 0).d, ITSC));
    assert_true(HAS(cpuid_of(dom0->vcpu[0], 0x80000007, 0).d, ITSC));
    assert_int_equal(cpuid_of(v, 0x80000022, 0).a, 0);
    assert_int_equal(cpuid_of(v, ~0u, 0).a, 0);
}

static void test_xstate(void **state)
{
    struct vcpu *v = new_vcpu(0);
    struct fake_vcpu *f = fake_vcpu(v);
    assert_true(policy_xcr0_max(v->dom) == 0x207);
    f->state.xcr0 = 1;
    assert_int_equal(cpuid_of(v, 0xd, 0).b, 576);
    f->state.xcr0 = 7;
    assert_int_equal(cpuid_of(v, 0xd, 0).b, 0x340);
    f->state.xcr0 = 0x207;
    struct cpuid_leaf l = cpuid_of(v, 0xd, 0);
    assert_int_equal(l.a, 0x207);
    assert_int_equal(l.b, 0x988);
    assert_int_equal(l.c, 0x988);
    l = cpuid_of(v, 0xd, 1);
    assert_int_equal(l.a, 7);                   /* no XSAVES */
    assert_int_equal(l.b, 576 + 256 + 8);
    assert_int_equal(l.c, 0);
    assert_int_equal(cpuid_of(v, 0xd, 2).b, 0x240);
    assert_int_equal(cpuid_of(v, 0xd, 11).a, 0);        /* CET state */
    assert_int_equal(cpuid_of(v, 0xd, 63).a | cpuid_of(v, 0xd, ~0u).a, 0);
    assert_true(policy_xcr0_valid(v->dom, 7) && policy_xcr0_valid(v->dom, 3) && policy_xcr0_valid(v->dom, 0x203));
    assert_false(policy_xcr0_valid(v->dom, 5) || policy_xcr0_valid(v->dom, 0) || policy_xcr0_valid(v->dom, 0x1b) ||
                 policy_xcr0_valid(v->dom, 0xe7) || policy_xcr0_valid(v->dom, 1ULL << 63 | 3));
    assert_true(policy_cr4_mask(v->dom) >> 18 & 1);
    assert_false(policy_cr4_mask(v->dom) >> 13 & 1);
    assert_false(policy_efer_mask(v->dom) >> 12 & 1);
}

/* ---- serialised form ---- */
static xen_cpuid_leaf_t leaves[POLICY_MAX_LEAVES];

static void test_serialise(void **state)
{
    assert_int_equal(POLICY_MAX_LEAVES, 120);
    for (unsigned i = 0; i < POLICY_NR; i++) {
        const struct cpu_policy *p = policy_system(i);
        unsigned n = policy_get_leaves(p, leaves), components = 0;
        assert_true(n <= POLICY_MAX_LEAVES);
        for (unsigned k = 0; k < n; k++) components += leaves[k].leaf == 0xd;
        u64 xcr0 = p->xstate[0].a | (u64)p->xstate[0].d << 32;
        assert_int_equal(components, xcr0 >> 2 ? fls64(xcr0) + 1 : 2);      /* a gap before PKRU's is listed */
        struct cpu_policy q = { .platform_info = p->platform_info, .arch_caps = p->arch_caps };
        for (unsigned k = 0; k < n; k++) {
            assert_int_equal(policy_put_leaf(&q, &leaves[k]), 0);
            /* What libxc's own table takes (E.8). */
            u32 l = leaves[k].leaf, s = leaves[k].subleaf;
            if (l == 4) assert_true(s < 6);
            else if (l == 7) assert_true(s < 3);
            else if (l == 0xb) assert_true(s < 2);
            else if (l == 0xd) assert_true(s < 63);
            else assert_int_equal(s, ~0u);
            assert_true(l <= 0xd || l == 0x40000000 || l == 0x40000100 || (l >= 0x80000000 && l <= 0x80000021));
        }
        /* host and raw have leaves beyond; the guest policies survive the round trip unchanged */
        if (i >= POLICY_HVM_MAX) assert_memory_equal(&q, p, sizeof(q));
    }
}

static void test_bad_leaves(void **state)
{
    static const struct { u32 leaf, sub; } bad[] = {
        { 0xe, ~0u }, { 0, 0 }, { 4, 6 }, { 4, ~0u }, { 7, 3 }, { 0xb, 2 }, { 0xd, 63 }, { 0x40000001, ~0u },
        { 0x40000000, 0 }, { 0x80000022, ~0u }, { 0x80000000, 0 }, { ~0u, ~0u }, { 0x3fffffff, ~0u },
    };
    struct cpu_policy p = *policy_system(POLICY_HVM_DEFAULT), before = p;
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        xen_cpuid_leaf_t l = { bad[i].leaf, bad[i].sub, 1, 1, 1, 1 };
        assert_int_equal(policy_put_leaf(&p, &l), -ERANGE);
    }
    xen_msr_entry_t m = { .idx = 0x10, .val = 1 };
    assert_int_equal(policy_put_msr(&p, &m), -ERANGE);
    m.idx = 0xce;
    m.flags = 1;
    assert_int_equal(policy_put_msr(&p, &m), -EINVAL);
    m.flags = 0;
    m.val = 1ULL << 40;
    assert_int_equal(policy_put_msr(&p, &m), -EOVERFLOW);
    assert_memory_equal(&p, &before, sizeof(p));
}

/* ---- the toolstack's flow ---- */
static xen_cpuid_leaf_t *find_leaf(xen_cpuid_leaf_t *l, unsigned n, u32 leaf, u32 sub)
{
    for (unsigned i = 0; i < n; i++)
        if (l[i].leaf == leaf && l[i].subleaf == sub) return &l[i];
    fail();
    return NULL;
}

static long set_policy(u16 id, gva_t gva, u32 n, struct xen_domctl *op)
{
    memset(op, 0, sizeof(*op));
    op->u.cpu_policy.nr_leaves = n;
    op->u.cpu_policy.leaves.p = (void *)gva;
    return call_domctl(XEN_DOMCTL_set_cpu_policy, id, op);
}

static void test_create_flow(void **state)
{
    u16 id = create_pvh(2);
    struct vcpu *v = dom_by_id(id)->vcpu[1];
    struct xen_domctl op;
    gva_t gva;
    xen_cpuid_leaf_t *l = guest_buf(POLICY_MAX_LEAVES * sizeof(*l), &gva);
    unsigned n = policy_get_leaves(policy_system(POLICY_HVM_DEFAULT), l);
    /* as libxc does */
    find_leaf(l, n, 1, ~0u)->d |= 1u << 28;
    find_leaf(l, n, 1, ~0u)->b = 0x00100800;
    find_leaf(l, n, 0x80000001, ~0u)->c &= ~2u;
    find_leaf(l, n, 0x80000008, ~0u)->c = 0x500f;
    assert_int_equal(set_policy(id, gva, n, &op), 0);
    assert_int_equal(op.u.cpu_policy.err_leaf, ~0u);
    assert_int_equal(cpuid_of(v, 1, 0).b, 0x02100800);
    assert_int_equal(cpuid_of(v, 0x80000008, 0).c, 0x500f);
    assert_int_equal(fake_vcpu(v)->policy_updates > 0, 1);
    /* read back */
    memset(&op, 0, sizeof(op));
    op.u.cpu_policy.nr_leaves = 120;
    op.u.cpu_policy.leaves.p = (void *)gva;
    assert_int_equal(call_domctl(XEN_DOMCTL_get_cpu_policy, id, &op), 0);
    assert_int_equal(op.u.cpu_policy.nr_leaves, n);
    /* Features that the machine cannot give are dropped, dependent ones with them. */
    n = policy_get_leaves(policy_system(POLICY_HVM_DEFAULT), l);
    find_leaf(l, n, 1, ~0u)->c = ~0u & ~(1u << 26);     /* all but XSAVE */
    find_leaf(l, n, 0x80000001, ~0u)->c = ~0u;
    find_leaf(l, n, 0, ~0u)->b = 0x756e6547;            /* another vendor */
    assert_int_equal(set_policy(id, gva, n, &op), 0);
    struct cpuid_leaf c1 = cpuid_of(v, 1, 0);
    assert_false(HAS(c1.c, VMX) || HAS(c1.c, MONITOR) || HAS(c1.c, AVX) || HAS(c1.c, FMA) || HAS(c1.c, XSAVE));
    assert_false(HAS(cpuid_of(v, 0x80000001, 0).c, SVM));
    assert_false(HAS(cpuid_of(v, 7, 0).b, AVX2) || HAS(cpuid_of(v, 7, 0).c, PKU));
    assert_int_equal(cpuid_of(v, 0xd, 0).a | cpuid_of(v, 0xd, 1).a, 0);
    assert_int_equal(cpuid_of(v, 0, 0).b, 0x68747541);
    assert_int_equal(policy_xcr0_max(v->dom), 0);
    assert_false(policy_cr4_mask(v->dom) >> 18 & 1);
}

static void test_refusals(void **state)
{
    u16 id = create_pvh(1);
    struct domain *d = dom_by_id(id);
    struct cpu_policy before = *d->policy;
    struct xen_domctl op;
    gva_t gva;
    xen_cpuid_leaf_t *l = guest_buf(POLICY_MAX_LEAVES * sizeof(*l), &gva);
    l[0] = (xen_cpuid_leaf_t){ 0, ~0u, 0xe, 0, 0, 0 };
    assert_int_equal(set_policy(id, gva, 1, &op), -EINVAL);
    assert_int_equal(op.u.cpu_policy.err_leaf, 0);
    assert_int_equal(op.u.cpu_policy.err_subleaf, ~0u);
    l[0] = (xen_cpuid_leaf_t){ 7, 0, 3, 0, 0, 0 };
    assert_int_equal(set_policy(id, gva, 1, &op), -EINVAL);
    assert_int_equal(op.u.cpu_policy.err_leaf, 7);
    l[0] = (xen_cpuid_leaf_t){ 0x80000000, ~0u, 0x80000022, 0, 0, 0 };
    assert_int_equal(set_policy(id, gva, 1, &op), -EINVAL);
    assert_int_equal(op.u.cpu_policy.err_leaf, 0x80000000);
    l[0] = (xen_cpuid_leaf_t){ 0x1234, ~0u, 0, 0, 0, 0 };
    assert_int_equal(set_policy(id, gva, 1, &op), -ERANGE);
    assert_int_equal(op.u.cpu_policy.err_leaf, 0x1234);
    assert_int_equal(set_policy(id, gva, 121, &op), -E2BIG);
    assert_int_equal(set_policy(id, BAD_GVA, 1, &op), -EFAULT);
    assert_memory_equal(&before, d->policy, sizeof(before));
    assert_int_equal(set_policy(id, gva, 0, &op), 0);
    assert_int_equal(call_domctl(XEN_DOMCTL_unpausedomain, id, &op), 0);
    assert_int_equal(set_policy(id, gva, 0, &op), -EEXIST);
}

/* Whatever the leaves are: never more than the maximum, and CPUID answers every question. */
static void test_random_policies(void **state)
{
    u16 id = create_pvh(1);
    struct domain *d = dom_by_id(id);
    const struct cpu_policy *max = policy_system(POLICY_HVM_MAX);
    struct xen_domctl op;
    gva_t gva;
    xen_cpuid_leaf_t *l = guest_buf(POLICY_MAX_LEAVES * sizeof(*l), &gva);
    for (unsigned k = 0; k < 3000; k++) {
        unsigned n = policy_get_leaves(policy_system(k & 1 ? POLICY_HVM_MAX : POLICY_HOST), l);
        for (unsigned i = 0; i < 5; i++) {
            xen_cpuid_leaf_t *e = &l[rnd() % n];
            e->a = (u32)(rnd() >> rnd() % 64), e->b = (u32)rnd(), e->c = (u32)rnd(), e->d = (u32)rnd();
        }
        set_policy(id, gva, n, &op);
        u32 words[POLICY_FEATURE_WORDS], limit[POLICY_FEATURE_WORDS];
        policy_featureset(d->policy, words);
        policy_featureset(max, limit);
        for (unsigned w = 0; w < POLICY_FEATURE_WORDS; w++) assert_false(words[w] & ~limit[w]);
        assert_true(d->policy->basic[0].a <= 0xd && policy_phys_bits(d) <= 48 && policy_phys_bits(d) >= 36);
        assert_false(policy_xcr0_max(d) & ~policy_xcr0_max(dom0));
        for (unsigned i = 0; i < 50; i++) {
            u32 leaf = (u32)(rnd() % 16) | (rnd() & 1 ? 0 : rnd() & 1 ? 0x40000000u : 0x80000000u);
            cpuid_of(d->vcpu[0], leaf, (u32)(rnd() >> rnd() % 64));
        }
    }
}

/* XSA-220: hosts with any set of state components; whatever a guest is offered is switched. */
static u64 host_xcr0;
static void all_features(u32 leaf, u32 sub, struct cpuid_regs *r)
{
    if (leaf == 1) r->c = ~0u;
    if (leaf == 7 && !sub) *r = (struct cpuid_regs){ r->a, ~0u, ~0u, ~0u };
    if (leaf == 0xd && !sub) *r = (struct cpuid_regs){ (u32)host_xcr0, 0x2000, 0x2000, (u32)(host_xcr0 >> 32) };
    if (leaf == 0xd && sub > 1 && sub < 63) *r = (struct cpuid_regs){ 64, 576 + 64 * sub, 0, 0 };
}

static void test_exposed_is_switched(void **state)
{
    static const struct { unsigned feature; u64 state; } needs[] = {
        { XEN_X86_FEATURE_AVX, 4 }, { XEN_X86_FEATURE_MPX, 0x18 }, { XEN_X86_FEATURE_AVX512F, 0xe0 },
        { XEN_X86_FEATURE_PKU, 0x200 }, { XEN_X86_FEATURE_CET_SS, 0x1800 }, { XEN_X86_FEATURE_CET_IBT, 0x1800 },
        { XEN_X86_FEATURE_LWP, 1ULL << 62 }, { 9 * 32 + 22, 0x60000 } /* AMX-BF16 */, { 9 * 32 + 24, 0x60000 },
    };
    static const u64 hosts[] = { ~0ULL, 0x2e7, 0x207, 0xe7, 7, 3, 0x263, 0x203, 0x67 };
    fake_cpuid_hook = all_features;
    for (unsigned k = 0; k < 200; k++) {
        host_xcr0 = k < ARRAY_SIZE(hosts) ? hosts[k] : rnd() | 3;
        u64 on = xstate_switched(host_xcr0);
        assert_false(on & ~host_xcr0);
        policy_init();
        for (unsigned i = POLICY_HVM_MAX; i <= POLICY_HVM_DEFAULT; i++) {
            const struct cpu_policy *p = policy_system(i);
            assert_false((p->xstate[0].a | (u64)p->xstate[0].d << 32) & ~on);
            for (unsigned n = 0; n < ARRAY_SIZE(needs); n++)
                assert_false(policy_feature(p, needs[n].feature) && needs[n].state & ~on);
        }
        if (host_xcr0 == ~0ULL)
            assert_true(policy_feature(policy_system(POLICY_HVM_MAX), XEN_X86_FEATURE_PKU) && (on & 0x200));
    }
    fake_cpuid_hook = NULL;
    policy_init();
}

/* ---- an Intel host ---- */
static void intel(u32 leaf, u32 sub, struct cpuid_regs *r)
{
    if (leaf == 0) *r = (struct cpuid_regs){ 0x16, 0x756e6547, 0x6c65746e, 0x49656e69 };
    if (leaf == 0x80000000) *r = (struct cpuid_regs){ 0x80000008, 0, 0, 0 };
    if (leaf == 4) *r = (struct cpuid_regs){ sub < 4 ? 0x1c004121 : 0, 0x01c0003f, 0x3f, 0 };
    if (leaf == 0x80000008) *r = (struct cpuid_regs){ 0x302e, 0, 0, 0 };
    if (leaf > 0x80000008) memset(r, 0, sizeof(*r));
}

static void test_intel(void **state)
{
    fake_cpuid_hook = intel;
    policy_init();
    struct vcpu *v = new_vcpu(1);
    assert_int_equal(cpuid_of(v, 0, 0).b, 0x756e6547);
    assert_int_equal(cpuid_of(v, 0x80000000, 0).a, 0x80000008);
    assert_int_equal(cpuid_of(v, 4, 0).a >> 26, 7);     /* 2 * 4 vCPUs - 1 */
    assert_int_equal(cpuid_of(v, 4, 4).a, 0);
    assert_int_equal(policy_phys_bits(v->dom), 46);
    assert_int_equal(cpuid_of(v, 0x80000001, 0).d & 0x1ff, 0);
    policy_limit_phys_bits(40);
    assert_int_equal(policy_system(POLICY_HVM_DEFAULT)->ext[8].a & 0xff, 40);
    fake_cpuid_hook = NULL;
    policy_init();
}

int main(void)
{
    const struct CMUnitTest t[] = {
        T(test_hypervisor_leaves), T(test_basic), T(test_extended), T(test_xstate), T(test_serialise),
        T(test_bad_leaves), T(test_create_flow), T(test_refusals), T(test_random_policies),
        T(test_exposed_is_switched), T(test_intel),
    };
    return cmocka_run_group_tests(t, env_setup, NULL);
}
