/* SPDX-License-Identifier: MIT */
/* MSR side of the virtual local APIC: APIC_BASE, TSC_DEADLINE, x2APIC registers; HVM context records. */
#include "hvm/vlapic_priv.h"
#include "call/abi.h"

#define MSR_APIC_BASE       0x1b
#define MSR_TSC_DEADLINE    0x6e0
#define MSR_X2APIC_FIRST    0x800
#define MSR_X2APIC_LAST     0xbff       /* all of it is reserved for the APIC (XSA-108) */

/* `disabled` of the save record. */
#define SAVE_SW_DISABLED    1u
#define SAVE_HW_DISABLED    2u

/* ---- APIC_BASE ---- */

/* Mode changes the processor allows (SDM 3A figure 11-27): off -> xAPIC -> x2APIC -> off, and xAPIC -> off. */
static bool base_change_legal(u64 old, u64 new)
{
    u64 from = old & (BASE_EN | BASE_X2), to = new & (BASE_EN | BASE_X2);

    if (to == BASE_X2)
        return false;
    if (from == to || to == 0)
        return true;
    return from == BASE_EN || (from == 0 && to == BASE_EN);
}

static int write_base(struct vlapic *l, u64 val)
{
    struct cpuid_leaf c;
    u64 old = l->base_msr, addr_mask;

    hvm_cpuid(l->v, 0x80000008, 0, &c);
    addr_mask = (c.a & 0xff) >= 32 && (c.a & 0xff) < 52 ? (1ull << (c.a & 0xff)) - 1 : BASE_ADDR | 0xfff;
    if ((val & ~(BASE_EN | BASE_X2 | BASE_BSP | (BASE_ADDR & addr_mask))) || !base_change_legal(old, val))
        return -EINVAL;
    if (val & ~old & BASE_X2) {
        hvm_cpuid(l->v, 1, 0, &c);
        if (!(c.c & 1u << 21))
            return -EINVAL;
    }
    if (old & ~val & BASE_EN) {
        vlapic_reset(l->v);
        hvm->set_tpr(l->v, 0);
    }
    lapic_set_base(l, (val & ~(u64)BASE_BSP) | (old & BASE_BSP));
    return 0;
}

/* ---- x2APIC ---- */

static int x2_read(struct vlapic *l, unsigned reg, u64 *val)
{
    if (!lapic_x2(l) || reg >= AR_NR)
        return -EINVAL;
    reg = (unsigned)index_nospec(reg, AR_NR);
    if (!lapic_x2_readable(reg))
        return -EINVAL;
    *val = lapic_reg_read(l, reg);
    if (reg == AR_ICR)
        *val |= (u64)l->r[AR_ICR2] << 32;
    return 0;
}

static int x2_write(struct vlapic *l, unsigned reg, u64 val)
{
    u32 reserved;

    if (!lapic_x2(l) || reg >= AR_NR)
        return -EINVAL;
    reg = (unsigned)index_nospec(reg, AR_NR);
    if (!lapic_x2_writable(reg, &reserved) || ((u32)val & reserved) || (val >> 32 && reg != AR_ICR))
        return -EINVAL;
    if (reg == AR_ICR)
        l->r[AR_ICR2] = (u32)(val >> 32);
    lapic_reg_write(l, reg, (u32)val);
    return 0;
}

int vlapic_rdmsr(struct vcpu *v, u32 msr, u64 *val)
{
    struct vlapic *l = v->lapic;

    if (msr >= MSR_X2APIC_FIRST && msr <= MSR_X2APIC_LAST)
        return x2_read(l, msr - MSR_X2APIC_FIRST, val);
    if (msr == MSR_APIC_BASE)
        *val = l->base_msr;
    else if (msr == MSR_TSC_DEADLINE)
        *val = lapic_timer_read_deadline(l);
    else
        return -ENOENT;
    return 0;
}

int vlapic_wrmsr(struct vcpu *v, u32 msr, u64 val)
{
    struct vlapic *l = v->lapic;

    if (msr >= MSR_X2APIC_FIRST && msr <= MSR_X2APIC_LAST)
        return x2_write(l, msr - MSR_X2APIC_FIRST, val);
    if (msr == MSR_APIC_BASE)
        return write_base(l, val);
    if (msr != MSR_TSC_DEADLINE)
        return -ENOENT;
    lapic_timer_write_deadline(l, val);
    return 0;
}

/* ---- save records (public save.h); v is paused ---- */

void vlapic_save(struct vcpu *v, struct hvm_hw_lapic *h, struct hvm_hw_lapic_regs *r)
{
    struct vlapic *l = v->lapic;

    memset(h, 0, sizeof(*h));
    memset(r, 0, sizeof(*r));
    h->apic_base_msr = l->base_msr;
    h->disabled = (l->r[AR_SVR] & SVR_ENABLE ? 0 : SAVE_SW_DISABLED) | (lapic_hw_enabled(l) ? 0 : SAVE_HW_DISABLED);
    h->timer_divisor = lapic_timer_divisor(l);
    h->tdt_msr = lapic_timer_read_deadline(l);
    for (unsigned i = 0; i < AR_NR; i++) {
        u32 val = lapic_reg_read(l, i);

        memcpy(&r->data[i * 16], &val, sizeof(val));
    }
}

int vlapic_load_hidden(struct vcpu *v, const struct hvm_hw_lapic *h)
{
    u64 base = h->apic_base_msr, mode = base & (BASE_EN | BASE_X2);

    if ((base & ~(BASE_EN | BASE_X2 | BASE_BSP | BASE_ADDR)) || mode == BASE_X2)
        return -EINVAL;
    if (h->disabled & ~(SAVE_SW_DISABLED | SAVE_HW_DISABLED))
        return -EINVAL;
    lapic_set_base(v->lapic, base);
    /* The divisor follows from TDCR in the other record; the deadline is armed there too. */
    v->lapic->deadline_tsc = h->tdt_msr;
    return 0;
}

static u32 saved(const struct hvm_hw_lapic_regs *r, unsigned reg)
{
    u32 val;

    memcpy(&val, &r->data[reg * 16], sizeof(val));
    return val;
}

/* Registers that are stored as they are, with the bits a guest could have written. */
static const struct { u8 reg; u32 bits; } plain[] = {
    { AR_TPR, 0xff }, { AR_LDR, 0xff000000 }, { AR_SVR, 0x3ff }, { AR_ESR, 0xff }, { AR_ICR, ICR_VALID },
    { AR_LVTT, 0x700ff }, { AR_LVTTHMR, 0x107ff }, { AR_LVTPC, 0x107ff }, { AR_LVT0, 0x1a7ff },
    { AR_LVT1, 0x1a7ff }, { AR_LVTERR, 0x100ff }, { AR_TMICT, 0xffffffff }, { AR_TDCR, 0xb },
};

int vlapic_load_regs(struct vcpu *v, const struct hvm_hw_lapic_regs *r)
{
    struct vlapic *l = v->lapic;
    u64 deadline = l->deadline_tsc;

    vlapic_reset(v);
    for (unsigned i = 0; i < ARRAY_SIZE(plain); i++)
        l->r[plain[i].reg] = saved(r, plain[i].reg) & plain[i].bits;
    l->r[AR_ICR2] = saved(r, AR_ICR2) & (lapic_x2(l) ? ~0u : 0xff000000u);
    l->r[AR_DFR] = saved(r, AR_DFR) | 0x0fffffffu;
    for (unsigned i = 0; i < 8; i++) {
        unsigned shift = (i & 1) * 32;

        l->isr[i / 2] |= (u64)saved(r, AR_ISR + i) << shift;
        l->tmr[i / 2] |= (u64)saved(r, AR_TMR + i) << shift;
        l->irr[i / 2] |= (u64)saved(r, AR_IRR + i) << shift;
    }
    l->isr[0] &= ~0xffffull;            /* vectors below 16 do not exist */
    l->irr[0] &= ~0xffffull;
    for (unsigned i = 0; i < 256; i++)
        if (bit_test(l->isr, i))
            l->isr_top = (int)i;
    hvm->set_tpr(v, (u8)l->r[AR_TPR]);
    lapic_timer_restore(l, saved(r, AR_TMCCT), deadline);
    return 0;
}
