/* SPDX-License-Identifier: MIT */
/* CPUID of the boot CPU, read once: raw leaves, feature words, identification, topology. */
#include "cpu/internal.h"

struct host_info host;
u32 host_features[FW_NR];

#define NR_BASIC 0x20
#define NR_EXT 0x28
static struct cpuid_regs basic[NR_BASIC], ext[NR_EXT], leaf4[8], leaf7[3], leafb[4], leafd[64], leaf14[2];

/* Leaves with subleaves. */
static const struct { u32 leaf, nr; struct cpuid_regs *regs; } subleaves[] = {
    { 4, ARRAY_SIZE(leaf4), leaf4 }, { 7, ARRAY_SIZE(leaf7), leaf7 }, { 0xb, ARRAY_SIZE(leafb), leafb },
    { 0xd, ARRAY_SIZE(leafd), leafd }, { 0x14, ARRAY_SIZE(leaf14), leaf14 },
};

static struct cpuid_regs get(u32 leaf, u32 sub)
{
    u32 r[4];
    cpuid(leaf, sub, r);
    return (struct cpuid_regs){ r[0], r[1], r[2], r[3] };
}

void host_cpuid(u32 leaf, u32 sub, struct cpuid_regs *out)
{
    *out = (struct cpuid_regs){ 0 };
    for (unsigned i = 0; i < ARRAY_SIZE(subleaves); i++) {
        if (subleaves[i].leaf != leaf || leaf > host.max_basic)
            continue;
        if (sub < subleaves[i].nr)
            *out = subleaves[i].regs[index_nospec(sub, subleaves[i].nr)];
        return;
    }
    if (leaf < NR_BASIC && leaf <= host.max_basic)
        *out = basic[index_nospec(leaf, NR_BASIC)];
    else if (leaf >= 0x80000000 && leaf - 0x80000000 < NR_EXT && leaf <= host.max_ext)
        *out = ext[index_nospec(leaf - 0x80000000, NR_EXT)];
}

static void read_leaves(void)
{
    host.max_basic = get(0, 0).a;
    host.max_ext = get(0x80000000, 0).a;
    if (host.max_ext < 0x80000000 || host.max_ext > 0x8000ffff)
        host.max_ext = 0x80000000;
    for (u32 i = 0; i < NR_BASIC && i <= host.max_basic; i++)
        basic[i] = get(i, 0);
    for (u32 i = 0; i < NR_EXT && 0x80000000 + i <= host.max_ext; i++)
        ext[i] = get(0x80000000 + i, 0);
    for (unsigned i = 0; i < ARRAY_SIZE(subleaves); i++)
        for (u32 s = 0; s < subleaves[i].nr && subleaves[i].leaf <= host.max_basic; s++) {
            subleaves[i].regs[s] = get(subleaves[i].leaf, s);
            if (subleaves[i].leaf == 7 && s >= leaf7[0].a)      /* highest valid subleaf */
                break;
        }
}

static void read_features(u32 w[FW_NR])
{
    struct cpuid_regs r = get(1, 0);
    memset(w, 0, FW_NR * sizeof(w[0]));
    w[FW_1D] = r.d;
    w[FW_1C] = r.c;
    if (host.max_basic >= 7) {
        r = get(7, 0);
        u32 max_sub = r.a;
        w[FW_7B0] = r.b, w[FW_7C0] = r.c, w[FW_7D0] = r.d;
        if (max_sub >= 1) {
            r = get(7, 1);
            w[FW_7A1] = r.a, w[FW_7B1] = r.b, w[FW_7C1] = r.c, w[FW_7D1] = r.d;
        }
        if (max_sub >= 2)
            w[FW_7D2] = get(7, 2).d;
    }
    if (host.max_basic >= 0xd)
        w[FW_DA1] = get(0xd, 1).a;
    if (host.max_ext >= 0x80000001) {
        r = get(0x80000001, 0);
        w[FW_E1D] = r.d, w[FW_E1C] = r.c;
    }
    if (host.max_ext >= 0x80000007)
        w[FW_E7D] = get(0x80000007, 0).d;
    if (host.max_ext >= 0x80000008)
        w[FW_E8B] = get(0x80000008, 0).b;
    if (host.max_ext >= 0x80000021) {
        r = get(0x80000021, 0);
        w[FW_E21A] = r.a, w[FW_E21C] = r.c;
    }
    u64 caps;
    if ((w[FW_7D0] >> 29 & 1) && !rdmsr_safe(MSR_ARCH_CAPABILITIES, &caps))
        w[FW_ACAPL] = (u32)caps, w[FW_ACAPH] = (u32)(caps >> 32);
}

static void identify(void)
{
    memcpy(host.vendor_id, &basic[0].b, 4);
    memcpy(host.vendor_id + 4, &basic[0].d, 4);
    memcpy(host.vendor_id + 8, &basic[0].c, 4);
    host.vendor = !strcmp(host.vendor_id, "GenuineIntel") ? VENDOR_INTEL :
                  !strcmp(host.vendor_id, "AuthenticAMD") ? VENDOR_AMD :
                  !strcmp(host.vendor_id, "HygonGenuine") ? VENDOR_HYGON : VENDOR_OTHER;
    u32 sig = basic[1].a;
    host.family = sig >> 8 & 15;
    host.model = sig >> 4 & 15;
    host.stepping = sig & 15;
    if (host.family == 6 || host.family == 15)
        host.model |= (sig >> 16 & 15) << 4;
    if (host.family == 15)
        host.family += sig >> 20 & 0xff;
    if (host.max_ext >= 0x80000004)
        memcpy(host.brand, &ext[2], 48);
    host.phys_bits = host.max_ext >= 0x80000008 ? ext[8].a & 0xff : 36;
    host.virt_bits = host.max_ext >= 0x80000008 ? ext[8].a >> 8 & 0xff : 48;
    if (host.phys_bits < 32 || host.phys_bits > 52)
        host.phys_bits = 36;
    host.hypervisor = cpu_has(FEAT_HYPERVISOR);
    host.initial_apic_id = basic[1].b >> 24;
}

static void topology(void)
{
    unsigned threads = 1, logical = 1;
    if (host.max_basic >= 0xb && leafb[0].b) {
        for (unsigned i = 0; i < ARRAY_SIZE(leafb); i++) {
            unsigned type = leafb[i].c >> 8 & 0xff;
            if (type == 1)
                threads = leafb[i].b & 0xffff;
            else if (type == 2)
                logical = leafb[i].b & 0xffff;
        }
        host.initial_apic_id = leafb[0].d;
    } else if (host.vendor != VENDOR_INTEL && host.max_ext >= 0x80000008) {
        logical = (ext[8].c & 0xff) + 1;
        if (host.max_ext >= 0x8000001e && host.family >= 0x17)
            threads = (ext[0x1e].b >> 8 & 0xff) + 1;
    } else if (basic[1].d >> 28 & 1) {
        logical = basic[1].b >> 16 & 0xff;
        unsigned cores = host.max_basic >= 4 ? (leaf4[0].a >> 26) + 1 : 1;
        threads = logical > cores ? logical / cores : 1;
    }
    host.threads_per_core = MAX(threads, 1u);
    host.cores_per_socket = MAX(logical / host.threads_per_core, 1u);
}

void cpuid_init(void)
{
    read_leaves();
    read_features(host_features);
    identify();
    topology();
}

int cpuid_compare_ap(u32 *missing)
{
    u32 w[FW_NR];
    read_features(w);
    for (unsigned i = 0; i < FW_NR; i++) {
        /* OSXSAVE mirrors CR4; it is the same everywhere by the time anybody looks. */
        u32 lost = host_features[i] & ~w[i] & ~(i == FW_1C ? 1u << 27 : 0);
        if (lost) {
            *missing = lost;
            return (int)i;
        }
    }
    return -1;
}
