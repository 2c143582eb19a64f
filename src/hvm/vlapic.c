/* SPDX-License-Identifier: MIT */
/*
 * Virtual local APIC: interrupt state and registers. Intel SDM volume 3A chapter 11.
 * The timer, messages (IPI, MSI), and the MSR side with APIC_BASE and save records have files of their own.
 */
#include "call/abi.h"
#include "evtchn/evtchn.h"
#include "hvm/vlapic_priv.h"
#include "sched/sched.h"

/* ---- 256-bit vector sets ---- */

static int top_bit(const u64 *m)
{
    for (int i = 3; i >= 0; i--) {
        u64 w = read_once(&m[i]);

        if (w)
            return i * 64 + (int)fls64(w);
    }
    return -1;
}

u32 lapic_ldr(const struct vlapic *l)
{
    /* x2APIC: cluster = id / 16, one bit per member (SDM 11.12.10.2); read-only there. */
    u32 id = lapic_id(l);

    return lapic_x2(l) ? (id >> 4) << 16 | 1u << (id & 15) : read_once(&l->r[AR_LDR]);
}

u32 lapic_ppr(const struct vlapic *l)
{
    u32 tpr = read_once(&l->r[AR_TPR]) & 0xff;
    int isr = read_once(&l->isr_top);

    if (isr < 0 || (tpr >> 4) >= (u32)isr >> 4)
        return tpr;
    return (u32)isr & 0xf0;
}

/* ---- posting ---- */

void lapic_post(struct vlapic *l, u8 vector, bool level)
{
    /* TMR first: whoever sees the request must know whether its EOI is broadcast. */
    if (level)
        (void)atomic_bit_set(l->tmr, vector);
    else if (bit_test(l->tmr, vector))
        (void)atomic_bit_clear(l->tmr, vector);
    if (!atomic_bit_set(l->irr, vector))
        vcpu_kick(l->v);
}

void lapic_error(struct vlapic *l, u32 bits)
{
    u32 lvt;

    /* A bit that is already pending never raises again: bounded, and no lock to re-enter (XSA-462, I-11). */
    if ((atomic_or(&l->esr_pending, bits) & bits) == bits)
        return;
    lvt = read_once(&l->r[AR_LVTERR]);
    if (lvt & LVT_MASKED)
        return;
    if ((lvt & 0xff) < 16)
        (void)atomic_or(&l->esr_pending, ESR_RECV_ILLEGAL);
    else
        lapic_post(l, (u8)lvt, false);
}

void vlapic_set_irq(struct vcpu *v, u8 vector, bool level)
{
    if (unlikely(vector < 16))
        lapic_error(v->lapic, ESR_RECV_ILLEGAL);
    else
        lapic_post(v->lapic, vector, level);
}

/* ---- delivery to the processor ---- */

int vlapic_pending(struct vcpu *v)
{
    const struct vlapic *l = v->lapic;

    /* A vector that is being set now kicks afterwards. */
    if (likely(!(read_once(&l->irr[0]) | read_once(&l->irr[1]) | read_once(&l->irr[2]) | read_once(&l->irr[3]))))
        return -1;
    int vec = top_bit(l->irr);
    if (vec < 0 || !lapic_enabled(l))
        return -1;
    return (u32)vec >> 4 > lapic_ppr(l) >> 4 ? vec : -1;
}

bool vlapic_has_request(struct vcpu *v)
{
    return read_once(&v->lapic->req) & (REQ_INIT | REQ_SIPI | REQ_NMI);
}

bool vlapic_has_event(struct vcpu *v)
{
    return vlapic_has_request(v) || vlapic_pending(v) >= 0;
}

void vlapic_ack(struct vcpu *v, u8 vector)
{
    struct vlapic *l = v->lapic;

    (void)atomic_bit_clear(l->irr, vector);
    if (unlikely(read_once(&l->parked)))
        lapic_timer_unpark(l);
    bit_set(l->isr, vector);
    if ((int)vector > l->isr_top)
        write_once(&l->isr_top, (int)vector);
}

static void write_eoi(struct vlapic *l, u32 val)
{
    int vec = l->isr_top;

    if (vec < 0)
        return;
    bit_clear(l->isr, (unsigned)vec);
    write_once(&l->isr_top, top_bit(l->isr));
    if (bit_test(l->tmr, (unsigned)vec) && l->v->dom->ioapic)
        vioapic_eoi(l->v->dom, (u8)vec);
}

void vlapic_set_tpr(struct vcpu *v, u8 tpr)
{
    /* A write of CR8 clears the low half (SDM 3A 11.8.6). */
    write_once(&v->lapic->r[AR_TPR], (u32)tpr);
}

u8 vlapic_get_tpr(struct vcpu *v)
{
    return (u8)v->lapic->r[AR_TPR];
}

/* ---- register writes with effects ---- */

static void write_tpr(struct vlapic *l, u32 val)
{
    write_once(&l->r[AR_TPR], val);
    hvm->set_tpr(l->v, (u8)val);
}

static void write_dfr(struct vlapic *l, u32 val)
{
    write_once(&l->r[AR_DFR], val | 0x0fffffffu);
}

static void write_svr(struct vlapic *l, u32 val)
{
    write_once(&l->r[AR_SVR], val);
    if (!(val & SVR_ENABLE)) {
        /* A software-disabled APIC has all LVT entries masked and keeps them so (SDM 11.4.7.2). */
        for (unsigned i = AR_LVTT + 1; i <= AR_LVTERR; i++)
            write_once(&l->r[i], l->r[i] | LVT_MASKED);
        lapic_timer_write_lvtt(l, l->r[AR_LVTT] | LVT_MASKED);
    } else if (l->v->upcall_vector && vcpu_info_pending(l->v)) {
        /* The upcall's edge was lost while the APIC was disabled, or with the IRR at INIT: post it again. */
        hvm_upcall(l->v);
    }
}

static void write_esr(struct vlapic *l, u32 val)
{
    /* A write latches what was detected since the last one, whatever is written (SDM 11.5.3). */
    l->r[AR_ESR] = atomic_xchg(&l->esr_pending, 0u);
}

static void write_icr(struct vlapic *l, u32 val)
{
    l->r[AR_ICR] = val;
    lapic_ipi(l, val, lapic_x2(l) ? l->r[AR_ICR2] : l->r[AR_ICR2] >> 24);
}

static void write_self_ipi(struct vlapic *l, u32 val)
{
    lapic_self_ipi(l, (u8)val);
}

static u32 keep_masked(const struct vlapic *l, u32 val)
{
    return l->r[AR_SVR] & SVR_ENABLE ? val : val | LVT_MASKED;
}

static void write_lvtt(struct vlapic *l, u32 val)
{
    lapic_timer_write_lvtt(l, keep_masked(l, val));
}

/* ---- the registers ---- */

enum { XR = 1, XW = 2, X2R = 4, X2W = 8, LVT = 16 };
struct lapic_reg {
    u8 access;
    u32 writable;               /* other bits: dropped by xAPIC, #GP in x2APIC mode */
    u32 x2_reserved;            /* writable bits that x2APIC mode reserves all the same */
    void (*write)(struct vlapic *l, u32 val);   /* NULL: just store */
};
static const struct lapic_reg regs[AR_NR] = {
    [AR_ID]      = { XR | X2R },
    [AR_VER]     = { XR | X2R },
    [AR_TPR]     = { XR | XW | X2R | X2W, 0xff, 0, write_tpr },
    [AR_APR]     = { XR },
    [AR_PPR]     = { XR | X2R },
    [AR_EOI]     = { XW | X2W, 0, 0, write_eoi },
    [AR_LDR]     = { XR | XW | X2R, 0xff000000 },
    [AR_DFR]     = { XR | XW, 0xf0000000, 0, write_dfr },
    [AR_SVR]     = { XR | XW | X2R | X2W, 0x3ff, 0, write_svr },
    [AR_ISR ... AR_IRR + 7] = { XR | X2R },
    [AR_ESR]     = { XR | XW | X2R | X2W, 0, 0, write_esr },
    [AR_ICR]     = { XR | XW | X2R | X2W, ICR_VALID, 0, write_icr },
    [AR_ICR2]    = { XR | XW, 0xff000000 },
    [AR_LVTT]    = { XR | XW | X2R | X2W | LVT, 0x700ff, 0, write_lvtt },
    [AR_LVTTHMR] = { XR | XW | X2R | X2W | LVT, 0x107ff },
    [AR_LVTPC]   = { XR | XW | X2R | X2W | LVT, 0x107ff },
    [AR_LVT0]    = { XR | XW | X2R | X2W | LVT, 0x1a7ff },
    [AR_LVT1]    = { XR | XW | X2R | X2W | LVT, 0x1a7ff },
    [AR_LVTERR]  = { XR | XW | X2R | X2W | LVT, 0x100ff },
    [AR_TMICT]   = { XR | XW | X2R | X2W, 0xffffffff, 0, lapic_timer_write_initial },
    [AR_TMCCT]   = { XR | X2R },
    [AR_TDCR]    = { XR | XW | X2R | X2W, 0xb, 0, lapic_timer_write_divide },
    [AR_SELF_IPI] = { X2W, 0xff, 0, write_self_ipi },
};

u32 lapic_reg_read(struct vlapic *l, unsigned reg)
{
    if (reg >= AR_ISR && reg < AR_ESR) {
        unsigned i = reg & 7;
        const u64 *set = reg < AR_TMR ? l->isr : reg < AR_IRR ? l->tmr : l->irr;

        return (u32)(read_once(&set[i / 2]) >> (i & 1) * 32);
    }
    switch (reg) {
    case AR_ID:
        return lapic_x2(l) ? lapic_id(l) : lapic_id(l) << 24;
    case AR_VER:
        return LAPIC_VERSION;
    case AR_PPR:
        return lapic_ppr(l);
    case AR_LDR:
        return lapic_ldr(l);
    case AR_TMCCT:
        return lapic_timer_current(l);
    default:
        return l->r[reg];
    }
}

void lapic_reg_write(struct vlapic *l, unsigned reg, u32 val)
{
    const struct lapic_reg *g = &regs[reg];

    val &= g->writable;
    if (g->write)
        g->write(l, val);
    else
        write_once(&l->r[reg], g->access & LVT ? keep_masked(l, val) : val);
}

bool lapic_x2_readable(unsigned reg)
{
    return regs[reg].access & X2R;
}

bool lapic_x2_writable(unsigned reg, u32 *reserved)
{
    /* Delivery status and remote IRR of LVT entries are read-only, not reserved. */
    *reserved = ~(regs[reg].writable & ~regs[reg].x2_reserved) & ~(regs[reg].access & LVT ? 0x5000u : 0);
    return regs[reg].access & X2W;
}

/* ---- xAPIC page ---- */

bool vlapic_covers(struct vcpu *v, gpa_t gpa)
{
    return (gpa & PAGE_MASK) == v->lapic->mmio_gpa;
}

bool vlapic_x2apic(struct vcpu *v)
{
    return lapic_x2(v->lapic);
}

/* Registers are 32 bits at 16-byte steps; the bytes between, and what is not defined, read as zero (XSA-108). */
u32 vlapic_read_reg(struct vcpu *v, unsigned offset)
{
    unsigned reg = offset >> 4;

    if (reg >= AR_NR || (offset & 0xc))
        return 0;
    reg = (unsigned)index_nospec(reg, AR_NR);
    if (!(regs[reg].access & XR))
        return 0;
    return lapic_reg_read(v->lapic, reg) >> (offset & 3) * 8;
}

void vlapic_write_reg(struct vcpu *v, unsigned offset, u32 val)
{
    unsigned reg = offset >> 4;

    if (reg >= AR_NR || (offset & 0xf))
        return;
    reg = (unsigned)index_nospec(reg, AR_NR);
    if (regs[reg].access & XW)
        lapic_reg_write(v->lapic, reg, val);
}

/* ---- life cycle ---- */

void lapic_set_base(struct vlapic *l, u64 base)
{
    write_once(&l->base_msr, base);
    write_once(&l->mmio_gpa, (base & (BASE_EN | BASE_X2)) == BASE_EN ? base & BASE_ADDR : ~0ull);
}

void vlapic_reset(struct vcpu *v)
{
    struct vlapic *l = v->lapic;

    lapic_timer_stop(l);
    for (unsigned i = 0; i < AR_NR; i++)
        write_once(&l->r[i], i >= AR_LVTT && i <= AR_LVTERR ? LVT_MASKED : 0);
    write_once(&l->r[AR_SVR], 0xffu);
    write_once(&l->r[AR_DFR], ~0u);
    for (unsigned i = 0; i < 4; i++) {
        (void)atomic_xchg(&l->irr[i], 0ull);
        (void)atomic_xchg(&l->tmr[i], 0ull);
        l->isr[i] = 0;
    }
    write_once(&l->isr_top, -1);
    (void)atomic_xchg(&l->esr_pending, 0u);
}

int vlapic_init(struct vcpu *v)
{
    struct vlapic *l = kzalloc(sizeof(*l));

    STATIC_ASSERT(sizeof(struct vlapic) < 1536);
    if (!l)
        return -ENOMEM;
    l->v = v;
    spin_init(&l->lock, RANK_VLAPIC);
    lapic_timer_init(l);
    v->lapic = l;
    vlapic_reset(v);
    lapic_set_base(l, BASE_RESET | BASE_EN | (v->id ? 0 : BASE_BSP));
    /* Secondary processors are born waiting for SIPI; the boot processor is given its state by the builder. */
    l->req = v->id ? REQ_WAIT : 0;
    return 0;
}

void vlapic_destroy(struct vcpu *v)
{
    if (!v->lapic)
        return;
    lapic_timer_stop(v->lapic);
    timer_stop_sync(&v->lapic->timer);
    kfree(v->lapic);
    v->lapic = NULL;
}
