/* SPDX-License-Identifier: MIT */
/* Policies of the machine and of domains: built from the host's CPUID, changed within the maximum. */
#include "cpu/cpu.h"
#include "hvm/hvm_vcpu.h"
#include "hvm/policy_private.h"

static struct cpu_policy system_policy[POLICY_NR];
static bool ready;
static unsigned phys_bits_limit = 48;       /* 4-level second-stage tables */

const struct cpu_policy *policy_system(enum policy_index i)
{
    if (!ready) policy_init();
    return &system_policy[i];
}

static bool is_amd(const struct cpu_policy *p)
{
    /* "AuthenticAMD" and "HygonGenuine" by EBX (APM 3: 0x80000000 repeats the vendor there, Intel has zero). */
    return p->basic[0].b == 0x68747541 || p->basic[0].b == 0x6f677948;
}

/* ---- the host ---- */
static void read_leaf(u32 leaf, u32 sub, struct cpuid_leaf *out)
{
    struct cpuid_regs r;
    host_cpuid(leaf, sub, &r);
    *out = (struct cpuid_leaf){ r.a, r.b, r.c, r.d };
}

static void read_host(struct cpu_policy *p)
{
    unsigned nr;
    memset(p, 0, sizeof(*p));
    read_leaf(0, 0, &p->basic[0]);
    u32 max = MIN(p->basic[0].a, (u32)POLICY_BASIC - 1);
    for (u32 l = 1; l <= max; l++) {
        struct cpuid_leaf *sub = policy_subleaves(p, l, &nr);
        if (!sub) read_leaf(l, 0, &p->basic[l]);
        else
            for (u32 s = 0; s < nr && (l != 7 || s <= sub[0].a); s++)
                read_leaf(l, s, &sub[s]);
    }
    read_leaf(0x80000000, 0, &p->ext[0]);
    if (p->ext[0].a >> 16 == 0x8000)
        for (u32 l = 1; l <= MIN(p->ext[0].a & 0xffff, (u32)POLICY_EXT - 1); l++)
            read_leaf(0x80000000 + l, 0, &p->ext[l]);
    p->arch_caps = host_features[FW_ACAPL] | (u64)host_features[FW_ACAPH] << 32;
}

/* ---- extended state (SDM vol. 1, chapter 13; leaf 0xd) ---- */
enum { XCR0_X87 = 1, XCR0_SSE = 2, XCR0_AVX = 4, XCR0_AVX512 = 0xe0, XCR0_PKRU = 0x200 };
#define XSTATE_MIN 576u         /* legacy area and header */

/* Features with registers of their own, and the components of these. */
static const struct { u16 feature; u16 state; } with_state[] = {
    { XEN_X86_FEATURE_AVX, XCR0_AVX }, { XEN_X86_FEATURE_AVX512F, XCR0_AVX512 }, { XEN_X86_FEATURE_PKU, XCR0_PKRU },
};

static u64 xcr0_of_features(const struct cpu_policy *p)
{
    if (!policy_feature(p, XEN_X86_FEATURE_XSAVE)) return 0;
    u64 x = XCR0_X87 | XCR0_SSE;
    for (unsigned i = 0; i < ARRAY_SIZE(with_state); i++)
        if (policy_feature(p, with_state[i].feature)) x |= with_state[i].state;
    return x;
}

u32 policy_xstate_size(u64 xcr0)
{
    const struct cpuid_leaf *x = policy_system(POLICY_HOST)->xstate;
    u32 size = XSTATE_MIN;
    for (unsigned i = 2; i < POLICY_XSTATE; i++)
        if (xcr0 >> i & 1) size = MAX(size, x[i].a + x[i].b);
    return size;
}

static u64 xcr0_max(const struct cpu_policy *p)
{
    return p->xstate[0].a | (u64)p->xstate[0].d << 32;
}

/* Leaf 0xd follows from the features; sizes that depend on XCR0 are filled in by hvm_cpuid(). */
static void fix_xstate(struct cpu_policy *p)
{
    const struct cpuid_leaf *host_x = system_policy[POLICY_HOST].xstate;
    u64 host_mask = xstate_switched(xcr0_max(&system_policy[POLICY_HOST]));
    u64 x = xcr0_of_features(p) & host_mask;
    u32 da1 = p->xstate[1].a;
    memset(p->xstate, 0, sizeof(p->xstate));
    if (!x) return;
    p->xstate[0] = (struct cpuid_leaf){ (u32)x, policy_xstate_size(x), policy_xstate_size(x), (u32)(x >> 32) };
    p->xstate[1].a = da1;
    for (unsigned i = 2; i < POLICY_XSTATE; i++)
        if (x >> i & 1) p->xstate[i] = (struct cpuid_leaf){ host_x[i].a, host_x[i].b, host_x[i].c & 2, 0 };
}

/* Registers can be used without their bit in XCR0 (PKRU): what is not switched is not offered (I-9, XSA-220). */
static void drop_unswitched(struct cpu_policy *p)
{
    u64 switched = xstate_switched(xcr0_max(p));
    for (unsigned i = 0; i < ARRAY_SIZE(with_state); i++)
        if (with_state[i].state & ~switched)
            *policy_word(p, with_state[i].feature / 32) &= ~(1u << with_state[i].feature % 32);
}

/* ---- making the leaves of a guest policy agree ---- */
static void fix_basic(struct cpu_policy *p, const struct cpu_policy *max)
{
    static const u8 hidden[] = { 3, 5, 6, 8, 9, 0xa, 0xc };     /* serial number, MWAIT, power, PMU, DCA */
    p->basic[0].a = MIN(p->basic[0].a, max->basic[0].a);
    p->basic[0].b = max->basic[0].b;    /* the CPU that really executes: guests choose VMCALL or VMMCALL by it */
    p->basic[0].c = max->basic[0].c;
    p->basic[0].d = max->basic[0].d;
    p->basic[1].b = (p->basic[1].b & 0x00ff0000) | (max->basic[1].b & 0xff00);
    p->basic[2] = max->basic[2];
    for (unsigned i = 0; i < sizeof(hidden); i++)
        p->basic[hidden[i]] = (struct cpuid_leaf){ 0 };
    memset(p->topo, 0, sizeof(p->topo));
    p->feat[0].a = MIN(p->feat[0].a, max->feat[0].a);
    for (unsigned i = p->feat[0].a + 1; i < POLICY_FEAT; i++)
        p->feat[i] = (struct cpuid_leaf){ 0 };
    /* Words of leaf 7 that are not feature words. */
    p->feat[2].a = p->feat[2].b = p->feat[2].c = 0;
    if (is_amd(max)) memset(p->cache, 0, sizeof(p->cache));     /* reserved */
    if (p->basic[0].a < 7) memset(p->feat, 0, sizeof(p->feat));
}

static void fix_ext(struct cpu_policy *p, const struct cpu_policy *max)
{
    bool amd = is_amd(max);
    p->ext[0].a = MIN(p->ext[0].a, max->ext[0].a);
    p->ext[0].b = max->ext[0].b;
    p->ext[0].c = max->ext[0].c;
    p->ext[0].d = max->ext[0].d;
    p->ext[1].b = 0;
    p->ext[5] = amd ? max->ext[5] : (struct cpuid_leaf){ 0 };
    p->ext[6] = max->ext[6];
    p->ext[7] = (struct cpuid_leaf){ 0, 0, 0, p->ext[7].d };
    u32 bits = MAX(MIN(p->ext[8].a & 0xff, max->ext[8].a & 0xff), 36u);
    p->ext[8].a = bits | (max->ext[8].a & 0xff00);
    p->ext[8].c = amd ? p->ext[8].c & 0xf0ff : 0;
    p->ext[8].d = 0;
    for (unsigned i = 9; i < POLICY_EXT; i++) {
        bool shown = amd && (i == 0x19 || i == 0x1a || i == 0x21);      /* TLB, performance hints, features */
        if (!shown) p->ext[i] = (struct cpuid_leaf){ 0 };
        else if (i != 0x21) p->ext[i] = max->ext[i];
    }
    p->ext[0x21].b = p->ext[0x21].d = 0;
}

static void fix_policy(struct cpu_policy *p, const struct cpu_policy *max)
{
    fix_basic(p, max);
    fix_ext(p, max);
    policy_fix_features(p, is_amd(max));
    fix_xstate(p);
    p->platform_info = 0;
    p->hv_limit = MIN(p->hv_limit, (u32)XEN_CPUID_LEAF(XEN_CPUID_MAX_NUM_LEAVES));
    if (p->hv_limit && p->hv_limit < XEN_CPUID_LEAF(2)) p->hv_limit = 0;
    p->hv2_limit = 0;
    /* Leaves beyond the limits do not exist. */
    for (u32 l = p->basic[0].a + 1; l < POLICY_BASIC; l++) {
        unsigned nr;
        struct cpuid_leaf *sub = policy_subleaves(p, l, &nr);
        if (sub) memset(sub, 0, nr * sizeof(*sub));
        p->basic[l] = (struct cpuid_leaf){ 0 };
    }
    u32 ext_max = p->ext[0].a & 0xffff;
    for (u32 l = ext_max + 1; l < POLICY_EXT; l++)
        p->ext[l] = (struct cpuid_leaf){ 0 };
}

static void build_guest(struct cpu_policy *p, bool all)
{
    struct cpu_policy limits = system_policy[POLICY_HOST];
    bool amd = is_amd(&limits);
    /* A host without leaf 0xd has no XSAVE; leaf 0xb is there because we emulate the x2APIC. */
    limits.basic[0].a = MIN(MAX(limits.basic[0].a, 0xbu), (u32)POLICY_BASIC - 1);
    limits.ext[0].a = MIN(limits.ext[0].a, amd ? 0x80000021u : 0x80000008u);
    limits.feat[0].a = MIN(limits.feat[0].a, (u32)POLICY_FEAT - 1);
    limits.ext[8].a = (limits.ext[8].a & ~0xffu) | MIN(limits.ext[8].a & 0xff, phys_bits_limit);
    drop_unswitched(&limits);
    *p = limits;
    policy_mask_features(p, all);
    fix_policy(p, &limits);
}

void policy_init(void)
{
    read_host(&system_policy[POLICY_RAW]);
    system_policy[POLICY_HOST] = system_policy[POLICY_RAW];
    ready = true;
    build_guest(&system_policy[POLICY_HVM_MAX], true);
    build_guest(&system_policy[POLICY_HVM_DEFAULT], false);
}

void policy_limit_phys_bits(unsigned bits)
{
    phys_bits_limit = MIN(phys_bits_limit, MAX(bits, 36u));
    if (ready) policy_init();
}

/* ---- domains ---- */
/* One package of nr cores whose APIC ids are 2 * vCPU id, in the fields that the toolstack sets for guests. */
static void set_topology(struct cpu_policy *p, unsigned nr)
{
    u32 ids = MIN(2 * nr, 128u);
    p->basic[1].b = (p->basic[1].b & ~0x00ff0000u) | ids << 16;
    p->ext[1].c &= ~(1u << (XEN_X86_FEATURE_CMP_LEGACY % 32));
    if (is_amd(p)) {
        u32 bits = ids > 1 ? fls64(ids - 1) + 1 : 0;
        p->ext[8].c = (ids - 1) | bits << 12;
    } else
        for (unsigned i = 0; i < POLICY_CACHE; i++)
            if (p->cache[i].a & 0x1f)
                p->cache[i].a = (p->cache[i].a & ~0xffffc000u) | MIN(ids - 1, 63u) << 26;
}

int policy_domain_init(struct domain *d)
{
    struct cpu_policy *p = kzalloc(sizeof(*p));
    if (!p) return -ENOMEM;
    *p = *policy_system(POLICY_HVM_DEFAULT);
    set_topology(p, d->max_vcpus);
    if (d->is_hwdom && tsc_reliable)
        p->ext[7].d |= policy_system(POLICY_HVM_MAX)->ext[7].d & 1u << (XEN_X86_FEATURE_ITSC % 32);
    d->policy = p;
    return 0;
}

void policy_domain_free(struct domain *d)
{
    kfree(d->policy);
    d->policy = NULL;
}

static int object(struct policy_error *err, u32 leaf, u32 subleaf)
{
    err->leaf = leaf;
    err->subleaf = subleaf;
    return -EINVAL;
}

int policy_domain_set(struct domain *d, const struct cpu_policy *wanted, struct policy_error *err)
{
    const struct cpu_policy *max = policy_system(POLICY_HVM_MAX);
    *err = (struct policy_error){ ~0u, ~0u, ~0u };
    if (wanted->basic[0].a > max->basic[0].a) return object(err, 0, ~0u);
    if (wanted->feat[0].a > max->feat[0].a) return object(err, 7, 0);
    if (wanted->ext[0].a > max->ext[0].a || wanted->ext[0].a >> 16 != max->ext[0].a >> 16)
        return object(err, 0x80000000, ~0u);
    if (wanted->platform_info & ~max->platform_info) {
        err->msr = 0xce;
        return -EINVAL;
    }
    struct cpu_policy p = *wanted;
    policy_clip_features(&p, max);
    fix_policy(&p, max);
    *d->policy = p;
    struct vcpu *v;
    for_each_vcpu(d, v) {
        if (v->hvm) hvm_refresh_limits(v);
        hvm->update_policy(v);
    }
    return 0;
}

/* ---- questions ---- */
bool policy_has(const struct domain *d, unsigned feature)
{
    return feature < 32 * POLICY_FEATURE_WORDS && policy_feature(d->policy, feature);
}

u64 policy_xcr0_max(const struct domain *d) { return xcr0_max(d->policy); }

bool policy_xcr0_valid(const struct domain *d, u64 x)
{
    if (x & ~xcr0_max(d->policy) || !(x & XCR0_X87)) return false;
    if (x & XCR0_AVX && !(x & XCR0_SSE)) return false;
    return !(x & XCR0_AVX512) || ((x & XCR0_AVX512) == XCR0_AVX512 && x & XCR0_AVX);
}

unsigned policy_phys_bits(const struct domain *d) { return d->policy->ext[8].a & 0xff; }

/* A bit of CR4 (SDM vol. 3, 2.5) or EFER (APM 2, 3.1.7) exists if the feature does. */
struct reg_bit { u8 bit; u16 feature; };
static u64 reg_mask(const struct domain *d, u64 always, const struct reg_bit *t, unsigned nr)
{
    for (unsigned i = 0; i < nr; i++)
        if (policy_feature(d->policy, t[i].feature)) always |= 1ULL << t[i].bit;
    return always;
}

u64 policy_cr4_mask(const struct domain *d)
{
    static const struct reg_bit t[] = {
        { 0, XEN_X86_FEATURE_VME }, { 1, XEN_X86_FEATURE_VME }, { 2, XEN_X86_FEATURE_TSC },
        { 3, XEN_X86_FEATURE_DE }, { 4, XEN_X86_FEATURE_PSE }, { 5, XEN_X86_FEATURE_PAE },
        { 6, XEN_X86_FEATURE_MCE }, { 7, XEN_X86_FEATURE_PGE }, { 9, XEN_X86_FEATURE_FXSR },
        { 10, XEN_X86_FEATURE_SSE }, { 11, XEN_X86_FEATURE_UMIP }, { 16, XEN_X86_FEATURE_FSGSBASE },
        { 17, XEN_X86_FEATURE_PCID }, { 18, XEN_X86_FEATURE_XSAVE }, { 20, XEN_X86_FEATURE_SMEP },
        { 21, XEN_X86_FEATURE_SMAP }, { 22, XEN_X86_FEATURE_PKU },
    };
    return reg_mask(d, 1u << 8 /* PCE */, t, ARRAY_SIZE(t));
}

u64 policy_efer_mask(const struct domain *d)
{
    static const struct reg_bit t[] = {
        { 0, XEN_X86_FEATURE_SYSCALL }, { 8, XEN_X86_FEATURE_LM }, { 10, XEN_X86_FEATURE_LM },
        { 11, XEN_X86_FEATURE_NX }, { 14, XEN_X86_FEATURE_FFXSR },
    };
    return reg_mask(d, 0, t, ARRAY_SIZE(t));
}
