/* SPDX-License-Identifier: MIT */
/*
 * Memory type range registers: kept and given back, without effect. Under nested paging a guest's memory types come
 * from its PAT, and its RAM is write-back (APM 2, 15.25.8). 8 variable pairs, fixed ranges, default type.
 */
#include "hvm/hvm_vcpu.h"
#include "cpu/x86.h"

#define MTRR_CAP (MTRR_VCNT | 1u << 8 | 1u << 10)       /* fixed ranges, WC */
enum { MSR_MTRR_CAP = 0xfe, MSR_MTRR_VAR = 0x200, MSR_MTRR_DEF = 0x2ff };

static const u16 fixed_msr[NUM_FIXED_MSR] = { 0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e,
                                              0x26f };

static u64 *find(struct vcpu *v, u32 msr)
{
    struct hvm_hw_mtrr *m = &v->hvm->mtrr;
    if (msr >= MSR_MTRR_VAR && msr < MSR_MTRR_VAR + 2 * MTRR_VCNT)
        return &m->msr_mtrr_var[index_nospec(msr - MSR_MTRR_VAR, 2 * MTRR_VCNT)];
    if (msr == MSR_MTRR_DEF) return &m->msr_mtrr_def_type;
    for (unsigned i = 0; i < NUM_FIXED_MSR; i++)
        if (fixed_msr[i] == msr) return &m->msr_mtrr_fixed[i];
    return NULL;
}

bool mtrr_rdmsr(struct vcpu *v, u32 msr, u64 *val)
{
    const u64 *p = find(v, msr);
    if (msr == MSR_MTRR_CAP) *val = MTRR_CAP;
    else if (p) *val = *p;
    return p || msr == MSR_MTRR_CAP;
}

/* UC 0, WC 1, WT 4, WP 5, WB 6. */
static bool type_valid(u8 t) { return t <= 6 && t != 2 && t != 3; }

static bool valid(const struct vcpu *v, u32 msr, u64 val)
{
    u64 addr = ((1ULL << v->hvm->limits.phys_bits) - 1) & ~0xfffULL;
    if (msr == MSR_MTRR_DEF) return !(val & ~0xcffULL) && type_valid((u8)val);
    if (msr < MSR_MTRR_VAR + 2 * MTRR_VCNT) {
        if (msr & 1) return !(val & ~(addr | 0x800));
        return !(val & ~(addr | 0xff)) && type_valid((u8)val);
    }
    for (unsigned i = 0; i < 64; i += 8)
        if (!type_valid((u8)(val >> i))) return false;
    return true;
}

int mtrr_wrmsr(struct vcpu *v, u32 msr, u64 val)
{
    u64 *p = find(v, msr);
    if (msr == MSR_MTRR_CAP) return -EINVAL;
    if (!p) return -ENOENT;
    if (!valid(v, msr, val)) return -EINVAL;
    *p = val;
    return 0;
}

void mtrr_reset(struct vcpu *v)
{
    v->hvm->mtrr = (struct hvm_hw_mtrr){ .msr_mtrr_cap = MTRR_CAP };
}

void hvm_mtrr_get(struct vcpu *v, struct hvm_hw_mtrr *m)
{
    struct vcpu_state st;
    hvm->get_state(v, &st);
    *m = v->hvm->mtrr;
    m->msr_pat_cr = st.pat;
    m->msr_mtrr_cap = MTRR_CAP;
}

int hvm_mtrr_set(struct vcpu *v, const struct hvm_hw_mtrr *m)
{
    struct vcpu_state st;
    if (!valid(v, MSR_MTRR_DEF, m->msr_mtrr_def_type)) return -EINVAL;
    for (unsigned i = 0; i < 2 * MTRR_VCNT; i++)
        if (!valid(v, MSR_MTRR_VAR + i, m->msr_mtrr_var[i])) return -EINVAL;
    for (unsigned i = 0; i < NUM_FIXED_MSR; i++)
        if (!valid(v, fixed_msr[i], m->msr_mtrr_fixed[i])) return -EINVAL;
    /* The PAT is part of this record (public/arch-x86/hvm/save.h). A zeroed one is refused by nobody. */
    hvm->get_state(v, &st);
    st.pat = m->msr_pat_cr;
    if (!hvm_pat_valid(st.pat) || hvm->set_state(v, &st)) return -EINVAL;
    v->hvm->mtrr = *m;
    v->hvm->mtrr.msr_mtrr_cap = MTRR_CAP;
    return 0;
}
