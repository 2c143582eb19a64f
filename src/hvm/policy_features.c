/* SPDX-License-Identifier: MIT */
/* Which CPU features guests may see, and which of them need others. */
#include "hvm/policy_private.h"

#define AT(field) offsetof(struct cpu_policy, field)
static const u16 word_offset[POLICY_FEATURE_WORDS] = {
    AT(basic[1].d), AT(basic[1].c), AT(ext[1].d), AT(ext[1].c), AT(xstate[1].a), AT(feat[0].b), AT(feat[0].c),
    AT(ext[7].d), AT(ext[8].b), AT(feat[0].d), AT(feat[1].a), AT(ext[0x21].a), AT(feat[1].b), AT(feat[2].d),
    AT(feat[1].c), AT(feat[1].d), AT(arch_caps), AT(arch_caps) + 4, AT(ext[0x21].c),
};

u32 *policy_word(struct cpu_policy *p, unsigned w)
{
    return (u32 *)((char *)p + word_offset[w]);
}

bool policy_feature(const struct cpu_policy *p, unsigned feature)
{
    return policy_word_get(p, feature / 32) >> (feature % 32) & 1;
}

/* Bits of 1:EDX that AMD repeats in 0x80000001:EDX (APM 3, appendix E). */
#define AMD_COMMON 0x0183f3ffu

#define F(name) (1u << (XEN_X86_FEATURE_##name % 32))
/* 0x80000021:EAX[30], SRSO_USER_KERNEL_NO (APM 3, appendix E): libxen-dev 4.17.5 has no name for it. */
#define SRSO_US_NO (1u << 30)
/*
 * One row per word: `guest` = guests have it if the host does; `ask` = only when the configuration asks for it;
 * `force` = always there, we emulate it or it is the toolstack's choice. What is nowhere is never visible:
 * VMX, SVM and SMX (no nesting), MONITOR, performance counters and debug store, power management, XSAVES (no
 * supervisor state is switched), MPX, LWP and AMX state, TSX, CET, SGX, PT, RDT, OSVW, DBEXT (mask MSRs are not
 * switched, I-9), TOPOEXT. OSXSAVE and OSPKE follow CR4 and are no policy.
 */
static const struct { u32 guest, ask, force; } visible[POLICY_FEATURE_WORDS] = {
    { /* 1:EDX */
        F(FPU) | F(VME) | F(DE) | F(PSE) | F(TSC) | F(MSR) | F(PAE) | F(MCE) | F(CX8) | F(SEP) | F(MTRR) | F(PGE) |
        F(MCA) | F(CMOV) | F(PAT) | F(PSE36) | F(CLFLUSH) | F(ACPI) | F(MMX) | F(FXSR) | F(SSE) | F(SSE2) | F(SS),
        0, F(APIC) | F(HTT) },
    { /* 1:ECX */
        F(SSE3) | F(PCLMULQDQ) | F(SSSE3) | F(FMA) | F(CX16) | F(PCID) | F(SSE4_1) | F(SSE4_2) | F(MOVBE) |
        F(POPCNT) | F(AESNI) | F(XSAVE) | F(AVX) | F(F16C) | F(RDRAND),
        0, F(X2APIC) | F(TSC_DEADLINE) | F(HYPERVISOR) },
    { /* 0x80000001:EDX */
        F(SYSCALL) | F(NX) | F(MMXEXT) | F(FFXSR) | F(PAGE1GB) | F(RDTSCP) | F(LM) | F(3DNOWEXT) | F(3DNOW),
        0, 0 },
    { /* 0x80000001:ECX */
        F(LAHF_LM) | F(CMP_LEGACY) | F(CR8_LEGACY) | F(ABM) | F(SSE4A) | F(MISALIGNSSE) | F(3DNOWPREFETCH) |
        F(XOP) | F(FMA4) | F(TBM),
        F(CMP_LEGACY), 0 },
    { F(XSAVEOPT) | F(XSAVEC) | F(XGETBV1), 0, 0 },         /* 0xd/1:EAX */
    { /* 7/0:EBX */
        F(FSGSBASE) | F(TSC_ADJUST) | F(BMI1) | F(AVX2) | F(FDP_EXCP_ONLY) | F(SMEP) | F(BMI2) | F(ERMS) |
        F(INVPCID) | F(NO_FPU_SEL) | F(AVX512F) | F(AVX512DQ) | F(RDSEED) | F(ADX) | F(SMAP) | F(AVX512_IFMA) |
        F(CLFLUSHOPT) | F(CLWB) | F(AVX512PF) | F(AVX512ER) | F(AVX512CD) | F(SHA) | F(AVX512BW) | F(AVX512VL),
        0, 0 },
    { /* 7/0:ECX */
        F(PREFETCHWT1) | F(AVX512_VBMI) | F(UMIP) | F(PKU) | F(AVX512_VBMI2) | F(GFNI) | F(VAES) | F(VPCLMULQDQ) |
        F(AVX512_VNNI) | F(AVX512_BITALG) | F(AVX512_VPOPCNTDQ) | F(RDPID) | F(CLDEMOTE),
        F(MOVDIRI) | F(MOVDIR64B), 0 },
    { 0, F(ITSC), 0 },                                      /* 0x80000007:EDX */
    { /* 0x80000008:EBX */
        F(CLZERO) | F(RSTR_FP_ERR_PTRS) | F(IBPB) | F(IBRS) | F(AMD_STIBP) | F(IBRS_ALWAYS) | F(STIBP_ALWAYS) |
        F(IBRS_FAST) | F(IBRS_SAME_MODE) | F(NO_LMSL) | F(AMD_SSBD) | F(SSB_NO) | F(PSFD) | F(BTC_NO) |
        F(IBPB_RET),
        0, 0 },
    { /* 7/0:EDX */
        F(AVX512_4VNNIW) | F(AVX512_4FMAPS) | F(FSRM) | F(MD_CLEAR) | F(SERIALIZE) | F(IBRSB) | F(STIBP) |
        F(ARCH_CAPS) | F(SSBD),
        F(AVX512_VP2INTERSECT), 0 },
    { F(AVX_VNNI) | F(AVX512_BF16) | F(FZRM) | F(FSRS) | F(FSRCS), 0, 0 },                  /* 7/1:EAX */
    { /* 0x80000021:EAX */
        F(LFENCE_DISPATCH) | F(VERW_CLEAR) | F(NSCB) | F(SBPB) | F(IBPB_BRTYPE) | F(SRSO_NO) | SRSO_US_NO, 0, 0 },
    { 0, 0, 0 },                                            /* 7/1:EBX */
    { F(INTEL_PSFD) | F(IPRED_CTRL) | F(RRSBA_CTRL) | F(BHI_CTRL) | F(MCDT_NO), 0, 0 },     /* 7/2:EDX */
    { 0, 0, 0 }, { 0, 0, 0 },                               /* 7/1:ECX, EDX */
    { /* ARCH_CAPABILITIES, low half */
        F(RDCL_NO) | F(EIBRS) | F(RSBA) | F(INTEL_SSB_NO) | F(MDS_NO) | F(IF_PSCHANGE_MC_NO) | F(TAA_NO) |
        F(SBDR_SSDP_NO) | F(FBSDP_NO) | F(PSDP_NO) | F(FB_CLEAR) | F(RRSBA) | F(BHI_NO) | F(PBRSB_NO) | F(GDS_NO) |
        F(RFDS_NO) | F(RFDS_CLEAR),
        0, 0 },
    { F(ITS_NO), 0, 0 },                                    /* high half */
    { F(TSA_SQ_NO) | F(TSA_L1_NO), 0, 0 },                  /* 0x80000021:ECX */
};
#undef F

/* `feature` needs `needs`. Rows are in such an order that one pass suffices. */
#define X(a, b) { XEN_X86_FEATURE_##a, XEN_X86_FEATURE_##b }
static const struct { u16 feature, needs; } dependency[] = {
    X(LM, PAE), X(NX, PAE), X(FFXSR, FXSR), X(SSE, FXSR), X(SSE2, SSE), X(SSE3, SSE2), X(SSSE3, SSE3),
    X(SSE4_1, SSSE3), X(SSE4_2, SSE4_1), X(SSE4A, SSE3), X(AESNI, SSE2), X(PCLMULQDQ, SSE2), X(SHA, SSE2),
    X(GFNI, SSE2), X(MISALIGNSSE, SSE), X(MMXEXT, MMX), X(3DNOW, MMX), X(3DNOWEXT, 3DNOW), X(PSE36, PSE),
    X(LM, SSE2), X(LAHF_LM, LM), X(PAGE1GB, LM), X(PCID, LM), X(INVPCID, PCID), X(CX16, CX8), X(FSGSBASE, LM),
    X(PKU, LM), X(RDPID, TSC), X(TSC_ADJUST, TSC), X(TSC_DEADLINE, TSC), X(RDTSCP, TSC), X(ITSC, TSC),
    X(X2APIC, APIC), X(TSC_DEADLINE, APIC),
    X(XSAVE, FXSR), X(XSAVEOPT, XSAVE), X(XSAVEC, XSAVE), X(XGETBV1, XSAVE), X(PKU, XSAVE), X(AVX, XSAVE),
    X(AVX, SSE4_2), X(F16C, AVX), X(FMA, AVX), X(FMA4, AVX), X(XOP, AVX), X(AVX2, AVX), X(VAES, AVX),
    X(VPCLMULQDQ, AVX), X(VAES, AESNI), X(VPCLMULQDQ, PCLMULQDQ), X(AVX_VNNI, AVX2), X(AVX512F, AVX2),
    X(AVX512DQ, AVX512F), X(AVX512_IFMA, AVX512F), X(AVX512PF, AVX512F), X(AVX512ER, AVX512F),
    X(AVX512CD, AVX512F), X(AVX512BW, AVX512F), X(AVX512VL, AVX512F), X(AVX512_4VNNIW, AVX512F),
    X(AVX512_4FMAPS, AVX512F), X(AVX512_VNNI, AVX512F), X(AVX512_VPOPCNTDQ, AVX512F),
    X(AVX512_VP2INTERSECT, AVX512F), X(AVX512_VBMI, AVX512BW), X(AVX512_VBMI2, AVX512BW),
    X(AVX512_BITALG, AVX512BW), X(AVX512_BF16, AVX512BW),
    X(STIBP, IBRSB), X(SSBD, IBRSB), X(INTEL_PSFD, SSBD), X(IPRED_CTRL, IBRSB), X(RRSBA_CTRL, IBRSB),
    X(BHI_CTRL, IBRSB), X(AMD_STIBP, IBPB), X(IBRS, IBPB), X(AMD_SSBD, IBPB), X(IBRS_ALWAYS, IBRS),
    X(IBRS_FAST, IBRS), X(IBRS_SAME_MODE, IBRS), X(STIBP_ALWAYS, AMD_STIBP), X(PSFD, AMD_SSBD),
};
#undef X

void policy_mask_features(struct cpu_policy *p, bool all)
{
    for (unsigned w = 0; w < POLICY_FEATURE_WORDS; w++) {
        u32 *word = policy_word(p, w);
        *word = (*word & (visible[w].guest | (all ? visible[w].ask : 0))) | visible[w].force;
    }
    /* CMP_LEGACY says how to read the topology; the toolstack decides. */
    if (all) p->ext[1].c |= 1u << (XEN_X86_FEATURE_CMP_LEGACY % 32);
}

void policy_clip_features(struct cpu_policy *p, const struct cpu_policy *max)
{
    for (unsigned w = 0; w < POLICY_FEATURE_WORDS; w++)
        *policy_word(p, w) &= policy_word_get(max, w);
}

void policy_fix_features(struct cpu_policy *p, bool amd)
{
    for (unsigned i = 0; i < ARRAY_SIZE(dependency); i++) {
        unsigned f = dependency[i].feature;
        if (!policy_feature(p, dependency[i].needs)) *policy_word(p, f / 32) &= ~(1u << (f % 32));
    }
    if (!policy_feature(p, XEN_X86_FEATURE_ARCH_CAPS)) p->arch_caps = 0;
    p->ext[1].d &= ~AMD_COMMON;
    if (amd) p->ext[1].d |= p->basic[1].d & AMD_COMMON;
}

void policy_featureset(const struct cpu_policy *p, u32 words[POLICY_FEATURE_WORDS])
{
    for (unsigned w = 0; w < POLICY_FEATURE_WORDS; w++)
        words[w] = policy_word_get(p, w);
}
