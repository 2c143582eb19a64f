/* SPDX-License-Identifier: MIT */
/*
 * CPU policies: which CPUID leaves and policy MSRs a domain sees. Four policies exist for
 * the machine: raw and host (what the CPU says), hvm_max (everything we could offer), hvm_default (what a guest
 * gets unless its configuration says otherwise); each domain has its own copy, which the toolstack may change
 * before the domain first runs. A policy is an array of leaves: hvm_cpuid() only looks up and fills in the few
 * dynamic fields.
 */
#pragma once
#include "call/abi.h"
#include <xen/arch-x86/cpufeatureset.h>
#include "hvm/hvm.h"

/* Sizes of the 4.17 serialised form: 14 basic leaves of which 4 have subleaves, 34 extended, 2 hypervisor limits. */
enum {
    POLICY_BASIC = 0xd + 1, POLICY_CACHE = 6, POLICY_FEAT = 3, POLICY_TOPO = 2, POLICY_XSTATE = 63,
    POLICY_EXT = 0x21 + 1,
    POLICY_MAX_LEAVES = POLICY_BASIC - 4 + POLICY_CACHE + POLICY_FEAT + POLICY_TOPO + POLICY_XSTATE + POLICY_EXT + 2,
    POLICY_MAX_MSRS = 2,
    POLICY_FEATURE_WORDS = 19,
};

struct cpu_policy {
    struct cpuid_leaf basic[POLICY_BASIC];      /* leaf 0..0xd; those with subleaves are in: */
    struct cpuid_leaf cache[POLICY_CACHE];      /* 4 */
    struct cpuid_leaf feat[POLICY_FEAT];        /* 7 */
    struct cpuid_leaf topo[POLICY_TOPO];        /* 0xb */
    struct cpuid_leaf xstate[POLICY_XSTATE];    /* 0xd */
    struct cpuid_leaf ext[POLICY_EXT];          /* 0x80000000.. */
    u32 hv_limit, hv2_limit;                    /* EAX of 0x40000000 and 0x40000100; 0 = our maximum */
    u64 platform_info, arch_caps;               /* MSRs 0xce and 0x10a */
};

enum policy_index { POLICY_RAW, POLICY_HOST, POLICY_HVM_MAX, POLICY_HVM_DEFAULT, POLICY_NR };
const struct cpu_policy *policy_system(enum policy_index i);

/* Build the machine's policies from the host's CPUID. Called by the first policy_domain_init() at the latest. */
void policy_init(void);
/* Let no domain see a physical address width of more than `bits` bits: what it may choose as an address must fit into the
 * IOMMU's tables too. The second stage's limit always counts. Before dom0. */
void policy_limit_phys_bits(unsigned bits);

/* Give d its default policy (dom0: its own topology and the invariant TSC). 0, -ENOMEM. */
int policy_domain_init(struct domain *d) __must_check;
void policy_domain_free(struct domain *d);

/* Does d see feature XEN_X86_FEATURE_* (word * 32 + bit)? */
bool policy_has(const struct domain *d, unsigned feature);
/* State components (XCR0 bits) that d may switch on; 0 if it has no XSAVE. */
u64 policy_xcr0_max(const struct domain *d);
/* May XCR0 be set to this value by d? (SDM vol. 1, 13.3) */
bool policy_xcr0_valid(const struct domain *d, u64 xcr0);
/* Bytes of a standard-format XSAVE area for the components in xcr0, at least 576. */
u32 policy_xstate_size(u64 xcr0);
unsigned policy_phys_bits(const struct domain *d);
/* Bits of CR4 and EFER that d may set. */
u64 policy_cr4_mask(const struct domain *d);
u64 policy_efer_mask(const struct domain *d);

/* ---- feature words, in the order of public/arch-x86/cpufeatureset.h ---- */
void policy_featureset(const struct cpu_policy *p, u32 words[POLICY_FEATURE_WORDS]);

/* ---- serialised form ---- */
/* Leaves / MSRs in the order of E.8; the arrays have room for POLICY_MAX_*. Return the number written. */
unsigned policy_get_leaves(const struct cpu_policy *p, xen_cpuid_leaf_t *out);
unsigned policy_get_msrs(const struct cpu_policy *p, xen_msr_entry_t *out);
/* Merge one entry. 0; -ERANGE: no such leaf, subleaf or MSR; -EINVAL: flags not zero; -EOVERFLOW: MSR value. */
int policy_put_leaf(struct cpu_policy *p, const xen_cpuid_leaf_t *l) __must_check;
int policy_put_msr(struct cpu_policy *p, const xen_msr_entry_t *m) __must_check;

/* What set_cpu_policy objects to; ~0 = nothing. */
struct policy_error { u32 leaf, subleaf, msr; };
/* d's policy with the given changes becomes its policy: check against the maximum, clip features to it, make
 * dependent leaves agree. d must not have run. 0, or -EINVAL with *err filled in; nothing changed then. */
int policy_domain_set(struct domain *d, const struct cpu_policy *p, struct policy_error *err) __must_check;
