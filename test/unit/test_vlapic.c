/* SPDX-License-Identifier: MIT */
/* Virtual local APIC: registers, errors (XSA-462), x2APIC whitelist (XSA-108), timer, IPIs, INIT/SIPI, records. */
#include <stdarg.h>
#include <stdlib.h>
#include <pthread.h>
#include <setjmp.h>
#include <cmocka.h>
#include "alone.h"
#include "hvm/vlapic_priv.h"
#include "call/abi.h"
#include "sched/sched.h"

/* ---- the world around ---- */

#define NR 20                           /* enough for two x2APIC clusters */
static struct domain dom;
static struct vcpu vcpus[NR];
static unsigned kicks, sipis, nmis, eois;
static u8 sipi_vector, eoi_vector, tpr_seen;
static u32 cpuid_1c;

void *kzalloc(size_t n) { return calloc(1, n); }
void kfree(void *p) { free(p); }
void vcpu_kick(struct vcpu *v) { atomic_add(&kicks, 1); }
void vcpu_set_down(struct vcpu *v) { v->flags |= VF_DOWN; }
void vcpu_set_up(struct vcpu *v) { v->flags &= ~VF_DOWN; }
void hvm_reset_sipi(struct vcpu *v, u8 vector) { sipis++; sipi_vector = vector; }
void hvm_inject_nmi(struct vcpu *v) { atomic_add(&nmis, 1); }
void hvm_upcall(struct vcpu *v) { vlapic_set_irq(v, v->upcall_vector, false); }
u64 hvm_tsc_offset(const struct vcpu *v) { return v->dom->tsc_offset; }
void hvm_cpuid(struct vcpu *v, u32 leaf, u32 sub, struct cpuid_leaf *out)
{
    *out = (struct cpuid_leaf){ .a = leaf == 0x80000008 ? 40 : 0, .c = leaf == 1 ? cpuid_1c : 0 };
}
void vioapic_eoi(struct domain *d, u8 vector) { eois++; eoi_vector = vector; }
static void set_tpr(struct vcpu *v, u8 tpr) { tpr_seen = tpr; }
static const struct hvm_ops ops = { .name = "test", .set_tpr = set_tpr };
const struct hvm_ops *hvm = &ops;

static int setup(void **state)
{
    memset(&dom, 0, sizeof(dom));
    memset(vcpus, 0, sizeof(vcpus));
    alone_start();
    fake_time_set(1000000000);
    dom.max_vcpus = NR;
    kicks = sipis = nmis = eois = 0;
    cpuid_1c = 1u << 21;
    for (unsigned i = 0; i < NR; i++) {
        vcpus[i].dom = &dom;
        vcpus[i].id = i;
        dom.vcpu[i] = &vcpus[i];
        vcpus[i].flags = i ? VF_DOWN : 0;
        assert_int_equal(vlapic_init(&vcpus[i]), 0);
        vlapic_write_reg(&vcpus[i], 0xf0, 0x1ff);
    }
    return 0;
}

static int teardown(void **state)
{
    for (unsigned i = 0; i < NR; i++)
        vlapic_destroy(&vcpus[i]);
    return 0;
}

#define V0 (&vcpus[0])
#define V1 (&vcpus[1])
static u32 rd(struct vcpu *v, unsigned off) { return vlapic_read_reg(v, off); }
static void wr(struct vcpu *v, unsigned off, u32 val) { vlapic_write_reg(v, off, val); }
static void icr(struct vcpu *v, u32 dest, u32 low)
{
    wr(v, 0x310, dest << 24);
    wr(v, 0x300, low);
}
static u32 esr(struct vcpu *v)
{
    wr(v, 0x280, 0);
    return rd(v, 0x280);
}
static void x2(struct vcpu *v)
{
    u64 base;
    assert_int_equal(vlapic_rdmsr(v, 0x1b, &base), 0);
    assert_int_equal(vlapic_wrmsr(v, 0x1b, base | 0x400), 0);
}
static void tick(u64 ns)
{
    fake_time_advance(ns);
    timer_run();
}
static unsigned taken(struct vcpu *v, u8 vector)        /* deliver and finish: was exactly this pending? */
{
    if (vlapic_pending(v) != vector)
        return 0;
    vlapic_ack(v, vector);
    wr(v, 0xb0, 0);
    return 1;
}

/* ---- registers ---- */

static void reset_values(void **state)
{
    struct vcpu none = { .dom = &dom };
    vlapic_destroy(&none);                              /* one whose making stopped early */
    assert_int_equal(rd(V1, 0x20), 2u << 24);           /* id = 2 * vCPU */
    assert_int_equal(rd(V1, 0x30) & 0xff, 0x14);
    assert_int_equal(rd(V1, 0x320), 0x10000);
    assert_int_equal(rd(V1, 0xe0), 0xffffffff);
    assert_int_equal(rd(V1, 0x0), 0);                   /* undefined */
    assert_int_equal(rd(V1, 0x3ff0), 0);
    assert_int_equal(rd(V1, 0x24), 0);
    assert_int_equal(rd(V1, 0x23), 2);                  /* byte 3 of ID */
    wr(V1, 0x20, 0xff000000);
    assert_int_equal(rd(V1, 0x20), 2u << 24);
    wr(V1, 0xd0, ~0u);
    assert_int_equal(rd(V1, 0xd0), 0xff000000);
    assert_true(vlapic_covers(V0, 0xfee00300));
    assert_false(vlapic_covers(V0, 0xfee01000));
}

static void priorities(void **state)
{
    vlapic_set_irq(V0, 0x51, false);
    vlapic_set_irq(V0, 0x62, false);
    assert_int_equal(vlapic_pending(V0), 0x62);
    vlapic_ack(V0, 0x62);
    assert_int_equal(vlapic_pending(V0), -1);           /* 0x51 waits */
    assert_int_equal(rd(V0, 0xa0), 0x60);
    assert_int_equal(rd(V0, 0x130), 4);                 /* ISR word 3, bit 2 */
    assert_int_equal(rd(V0, 0x220), 1u << 17);
    wr(V0, 0xb0, 0);
    assert_int_equal(vlapic_pending(V0), 0x51);
    wr(V0, 0x80, 0x5f);
    assert_int_equal(tpr_seen, 0x5f);
    assert_int_equal(vlapic_pending(V0), -1);
    vlapic_set_tpr(V0, 0x40);
    assert_int_equal(vlapic_pending(V0), 0x51);
    wr(V0, 0xf0, 0xff);                                 /* software disable: held, not delivered */
    assert_int_equal(vlapic_pending(V0), -1);
    assert_int_equal(rd(V0, 0x370), 0x10000);
    wr(V0, 0x370, 0x33);
    assert_int_equal(rd(V0, 0x370), 0x10033);           /* stays masked */
    wr(V0, 0xf0, 0x1ff);
    assert_int_equal(vlapic_pending(V0), 0x51);
    assert_int_equal(eois, 0);
    wr(V0, 0xb0, 0);                                    /* EOI with nothing in service */
}

static void upcall_survives_disabling(void **state)
{
    struct vcpu_info info = { .evtchn_upcall_pending = 1 };

    V1->info = (struct guest_mem *)&info;
    V1->upcall_vector = 0xf3;
    vlapic_reset(V1);                                   /* INIT forgets IRR */
    assert_int_equal(vlapic_pending(V1), -1);
    wr(V1, 0xf0, 0x1ff);
    assert_int_equal(taken(V1, 0xf3), 1);
}

static void level_eoi(void **state)
{
    vlapic_set_irq(V0, 0x41, true);
    assert_int_equal(rd(V0, 0x1a0), 2);
    assert_int_equal(taken(V0, 0x41), 1);
    assert_int_equal(eois, 0);                          /* no IO-APIC in this domain */
    dom.ioapic = (struct vioapic *)&dom;
    vlapic_set_irq(V0, 0x41, true);
    assert_int_equal(taken(V0, 0x41), 1);
    assert_int_equal(eois, 1);
    assert_int_equal(eoi_vector, 0x41);
    vlapic_set_irq(V0, 0x41, false);                    /* edge clears TMR */
    assert_int_equal(taken(V0, 0x41), 1);
    assert_int_equal(eois, 1);
}

/* ---- XSA-462 ---- */

static void xsa462_self(void **state)
{
    assert_int_equal(esr(V0), 0);
    wr(V0, 0x370, 0x0f);                                /* LVTERR: illegal vector, unmasked */
    icr(V0, 0, 0x0f);
    assert_int_equal(rd(V0, 0x280), 0);                 /* not latched yet */
    assert_int_equal(esr(V0), 0x60);
    assert_int_equal(esr(V0), 0);
    assert_int_equal(vlapic_pending(V0), -1);
}

static void xsa462_variants(void **state)
{
    static const u32 dest[] = { 0x00000, 0x40000, 0x80000 };    /* physical self, shorthand self, all */

    for (unsigned i = 0; i < ARRAY_SIZE(dest); i++) {
        wr(V0, 0x370, 0x10033);                         /* masked: bits only */
        icr(V0, 0, dest[i] | 5);
        assert_int_equal(vlapic_pending(V0), -1);
        assert_int_equal(esr(V0), 0x60);
        wr(V0, 0x370, 0x33);                            /* legal: once per newly set bit */
        icr(V0, 0, dest[i] | 5);
        assert_int_equal(taken(V0, 0x33), 1);
        icr(V0, 0, dest[i] | 5);
        assert_int_equal(vlapic_pending(V0), -1);       /* already pending */
        assert_int_equal(esr(V0), 0x60);
        wr(V0, 0x370, 0x0f);
        icr(V0, 0, dest[i] | 5);
        assert_int_equal(esr(V0), 0x60);
    }
    (void)esr(V1);
    wr(V0, 0x370, 0x10000);
    wr(V1, 0x370, 0x44);
    icr(V0, 2, 0x0f);                                   /* other vCPU: it sees receive-illegal */
    assert_int_equal(esr(V0), 0x20);
    assert_int_equal(taken(V1, 0x44), 1);
    assert_int_equal(esr(V1), 0x40);
    wr(V0, 0x370, 0x0f);
    icr(V0, 2, 0x0f);                                   /* the sender's own error vector is illegal: it says so */
    assert_int_equal(esr(V0), 0x60);
    assert_int_equal(esr(V1), 0x40);
    wr(V0, 0x370, 0x10000);
    icr(V0, 2, 0x10f);                                  /* lowest priority */
    assert_int_equal(esr(V0), 0x20);
    assert_int_equal(esr(V1), 0x40);
    icr(V0, 2, 0x40f);                                  /* NMI, INIT, STARTUP: vector not checked */
    icr(V0, 2, 0x4500);
    icr(V0, 2, 0x604);
    assert_int_equal(esr(V0), 0);
    assert_int_equal(esr(V1), 0);
    vlapic_msi(&dom, 0xfee00000 | 2 << 12, 0x0e);       /* device model */
    assert_int_equal(esr(V1), 0x40);
    for (unsigned v = 0; v < 16; v++)
        vlapic_set_irq(V1, (u8)v, false);
    assert_int_equal(esr(V1), 0x40);
    assert_int_equal(rd(V1, 0x200), 0);
}

static void xsa462_x2apic(void **state)
{
    u64 val;

    x2(V0);
    assert_int_equal(vlapic_wrmsr(V0, 0x828, 1), -EINVAL);
    assert_int_equal(vlapic_wrmsr(V0, 0x828, 0), 0);
    assert_int_equal(vlapic_wrmsr(V0, 0x837, 0x0f), 0);
    assert_int_equal(vlapic_wrmsr(V0, 0x830, 0x0f), 0);
    assert_int_equal(vlapic_wrmsr(V0, 0x828, 0), 0);
    assert_int_equal(vlapic_rdmsr(V0, 0x828, &val), 0);
    assert_int_equal(val, 0x60);
    assert_int_equal(vlapic_wrmsr(V0, 0x83f, 3), 0);
    assert_int_equal(vlapic_wrmsr(V0, 0x828, 0), 0);
    assert_int_equal(vlapic_rdmsr(V0, 0x828, &val), 0);
    assert_int_equal(val, 0x60);
    assert_int_equal(vlapic_wrmsr(V0, 0x83f, 0x77), 0);
    assert_int_equal(vlapic_pending(V0), 0x77);
    assert_int_equal(vlapic_wrmsr(V0, 0x83f, 0x177), -EINVAL);
}

/* ---- x2APIC and APIC_BASE ---- */

static void xsa108_whitelist(void **state)
{
    u64 none;
    assert_int_equal(vlapic_rdmsr(V0, 0x7ff, &none), -ENOENT);
    assert_int_equal(vlapic_wrmsr(V0, 0x7ff, 0), -ENOENT);
    static const u8 readable[] = { 0x02, 0x03, 0x08, 0x0a, 0x0d, 0x0f, 0x28, 0x30, 0x32, 0x33, 0x34, 0x35, 0x36,
                                   0x37, 0x38, 0x39, 0x3e };
    static const u8 writable[] = { 0x08, 0x0b, 0x0f, 0x28, 0x30, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38, 0x3e,
                                   0x3f };
    u64 val;

    for (unsigned m = 0x800; m < 0xc00; m++)
        assert_int_equal(vlapic_rdmsr(V0, m, &val), -EINVAL);   /* xAPIC mode: none */
    x2(V0);
    for (unsigned m = 0x800; m < 0xc00; m++) {
        bool r = m >= 0x810 && m < 0x828, w = false;

        for (unsigned i = 0; i < ARRAY_SIZE(readable); i++)
            r |= m == 0x800u + readable[i];
        for (unsigned i = 0; i < ARRAY_SIZE(writable); i++)
            w |= m == 0x800u + writable[i];
        assert_int_equal(vlapic_rdmsr(V0, m, &val), r ? 0 : -EINVAL);
        assert_int_equal(vlapic_wrmsr(V0, m, 0), w ? 0 : -EINVAL);
        if (m != 0x830)
            assert_int_equal(vlapic_wrmsr(V0, m, 1ull << 32), -EINVAL);
    }
    assert_int_equal(vlapic_rdmsr(V0, 0xc00, &val), -ENOENT);
    assert_int_equal(vlapic_wrmsr(V0, 0x808, 0x100), -EINVAL);
    assert_int_equal(vlapic_wrmsr(V0, 0x80b, 1), -EINVAL);
    assert_int_equal(vlapic_wrmsr(V0, 0x80f, 0x3ff), 0);          /* focus checking: xen-shim writes it */
    assert_int_equal(vlapic_wrmsr(V0, 0x835, 0x5700), 0);         /* Linux writes the read-only bits */
    assert_int_equal(vlapic_wrmsr(V0, 0x830, 1u << 13), -EINVAL);
    assert_int_equal(vlapic_wrmsr(V0, 0x83e, 4), -EINVAL);
    assert_int_equal(vlapic_wrmsr(V0, 0x832, 0x80000), -EINVAL);
    assert_false(vlapic_covers(V0, 0xfee00000));
}

static void base_transitions(void **state)
{
    u64 base;

    assert_int_equal(vlapic_rdmsr(V0, 0x1b, &base), 0);
    assert_int_equal(base, 0xfee00900);
    assert_int_equal(vlapic_rdmsr(V1, 0x1b, &base), 0);
    assert_int_equal(base, 0xfee00800);
    assert_int_equal(vlapic_wrmsr(V0, 0x1b, 0xfee00400), -EINVAL);
    assert_int_equal(vlapic_wrmsr(V0, 0x1b, 0xfee00801), -EINVAL);
    assert_int_equal(vlapic_wrmsr(V0, 0x1b, 0x10000fee00800), -EINVAL);     /* beyond 40 bits */
    assert_int_equal(vlapic_wrmsr(V0, 0x1b, 0xfed00800), 0);
    assert_true(vlapic_covers(V0, 0xfed00080));
    assert_int_equal(vlapic_wrmsr(V0, 0x1b, 0xfee00c00), 0);
    assert_true(vlapic_x2apic(V0));
    assert_int_equal(vlapic_wrmsr(V0, 0x1b, 0xfee00800), -EINVAL);          /* x2APIC -> xAPIC */
    wr(V0, 0x80, 0x20);
    assert_int_equal(vlapic_wrmsr(V0, 0x1b, 0xfee00000), 0);
    assert_false(vlapic_covers(V0, 0xfee00000));
    assert_int_equal(vlapic_get_tpr(V0), 0);                                /* disabling resets */
    assert_int_equal(vlapic_wrmsr(V0, 0x1b, 0xfee00c00), -EINVAL);          /* off -> x2APIC */
    assert_int_equal(vlapic_wrmsr(V0, 0x1b, 0xfee00800), 0);
    cpuid_1c = 0;
    assert_int_equal(vlapic_wrmsr(V0, 0x1b, 0xfee00c00), -EINVAL);          /* not offered */
    assert_int_equal(vlapic_rdmsr(V0, 0x1b, &base), 0);
    assert_int_equal(base, 0xfee00900);
}

/* ---- timer ---- */

static void timer_oneshot(void **state)
{
    wr(V0, 0x3e0, 0xb);                                 /* divide by 1: 10 ns per tick */
    wr(V0, 0x320, 0x40);
    wr(V0, 0x380, 100000);
    tick(400000);
    assert_int_equal(rd(V0, 0x390), 60000);
    assert_int_equal(vlapic_pending(V0), -1);
    wr(V0, 0x3e0, 0);                                   /* divide by 2: the rest takes twice as long */
    assert_int_equal(rd(V0, 0x390), 60000);
    tick(600001);
    assert_int_equal(vlapic_pending(V0), -1);
    tick(600000);
    assert_int_equal(taken(V0, 0x40), 1);
    assert_int_equal(rd(V0, 0x390), 0);
    tick(100000000);
    assert_int_equal(vlapic_pending(V0), -1);
    wr(V0, 0x380, 1000);
    wr(V0, 0x380, 0);                                   /* stopped */
    tick(100000000);
    assert_int_equal(vlapic_pending(V0), -1);
    wr(V0, 0x320, 0x10040);                             /* masked */
    wr(V0, 0x380, 1000);
    tick(100000000);
    assert_int_equal(vlapic_pending(V0), -1);
    wr(V0, 0x320, 0x0e);                                /* local interrupt with an illegal vector */
    wr(V0, 0x380, 1000);
    tick(100000000);
    assert_int_equal(esr(V0), 0x40);
}

static void timer_periodic(void **state)
{
    unsigned n = 0;

    wr(V0, 0x3e0, 0xb);
    wr(V0, 0x320, 0x20040);
    wr(V0, 0x380, 100000);                              /* 1 ms */
    for (unsigned i = 0; i < 100; i++) {
        tick(100000);
        n += taken(V0, 0x40);
    }
    assert_int_equal(n, 10);
    tick(50000000);                                     /* missed ones merge */
    assert_int_equal(taken(V0, 0x40), 1);
    assert_int_equal(vlapic_pending(V0), -1);
    wr(V0, 0x320, 0x40);                                /* becomes one-shot: the count goes on, ends once */
    tick(1000001);
    assert_int_equal(taken(V0, 0x40), 1);
    tick(10000000);
    assert_int_equal(vlapic_pending(V0), -1);
    wr(V0, 0x320, 0x20040);
    wr(V0, 0x380, 1);                                   /* 10 ns: rate-limited */
    n = 0;
    for (unsigned i = 0; i < 1000; i++) {
        tick(1000);
        n += taken(V0, 0x40);
    }
    assert_in_range(n, 1, 5);
    vlapic_reset(V0);
    tick(10000000);
    assert_int_equal(vlapic_pending(V0), -1);
}

/* A periodic timer that nobody would notice costs the host nothing, and is on time when it is wanted again. */
static void timer_parked(void **state)
{
    const struct timer *t = &V0->lapic->timer;

    wr(V0, 0x3e0, 0xb);
    wr(V0, 0x320, 0x30040);                             /* masked */
    wr(V0, 0x380, 100000);                              /* 1 ms */
    tick(1000001);
    assert_false(t->active);
    tick(5300000);
    assert_in_range(rd(V0, 0x390), 60000, 80000);       /* it counts all the same */
    assert_int_equal(vlapic_pending(V0), -1);
    wr(V0, 0x320, 0x20040);
    assert_true(t->active);
    tick(600000);
    assert_int_equal(vlapic_pending(V0), -1);
    tick(100000);
    assert_int_equal(vlapic_pending(V0), 0x40);         /* 7 ms after the start */
    tick(1000000);                                      /* pending, not taken */
    assert_false(t->active);
    tick(10500000);
    assert_int_equal(taken(V0, 0x40), 1);
    assert_true(t->active);
    assert_int_equal(vlapic_pending(V0), -1);
    tick(499999);
    assert_int_equal(taken(V0, 0x40), 1);               /* 19 ms */
    tick(999999);
    assert_int_equal(vlapic_pending(V0), -1);
    tick(1);
    assert_int_equal(vlapic_pending(V0), 0x40);
    wr(V0, 0x320, 0x20050);                             /* another vector: that one is not pending */
    tick(1000000);
    assert_int_equal(taken(V0, 0x50), 1);
    wr(V0, 0x320, 0x30050);
    wr(V0, 0x380, 0);
    wr(V0, 0x320, 0x20050);
    tick(10000000);
    assert_int_equal(taken(V0, 0x40), 1);               /* still from before */
    assert_int_equal(vlapic_pending(V0), -1);           /* stopped is stopped */
    assert_false(t->active);
}

static void timer_deadline(void **state)
{
    u64 val;

    dom.tsc_offset = 5000000000ull;
    assert_int_equal(vlapic_wrmsr(V0, 0x6e0, 1), 0);    /* not in the mode: ignored */
    assert_int_equal(vlapic_rdmsr(V0, 0x6e0, &val), 0);
    assert_int_equal(val, 0);
    wr(V0, 0x320, 0x40041);
    wr(V0, 0x380, 1000);                                /* ignored in deadline mode */
    assert_int_equal(rd(V0, 0x380), 0);
    u64 now = tsc_read() + dom.tsc_offset;
    assert_int_equal(vlapic_wrmsr(V0, 0x6e0, now + 1000000), 0);
    tick(999999);
    assert_int_equal(vlapic_pending(V0), -1);
    assert_int_equal(vlapic_rdmsr(V0, 0x6e0, &val), 0);
    assert_true(val == now + 1000000);
    tick(1);
    assert_int_equal(taken(V0, 0x41), 1);
    assert_int_equal(vlapic_rdmsr(V0, 0x6e0, &val), 0);
    assert_int_equal(val, 0);
    assert_int_equal(vlapic_wrmsr(V0, 0x6e0, 1), 0);    /* long past: at once */
    tick(0);
    assert_int_equal(taken(V0, 0x41), 1);
    assert_int_equal(vlapic_wrmsr(V0, 0x6e0, ~0ull), 0);
    tick(1000000000);
    assert_int_equal(vlapic_pending(V0), -1);
    now = tsc_read() + dom.tsc_offset;
    assert_int_equal(vlapic_wrmsr(V0, 0x6e0, now + 1000), 0);
    assert_int_equal(vlapic_wrmsr(V0, 0x6e0, 0), 0);    /* disarms */
    tick(1000000);
    assert_int_equal(vlapic_pending(V0), -1);
    struct hvm_hw_lapic h;
    struct hvm_hw_lapic_regs r;
    now = tsc_read() + dom.tsc_offset;
    assert_int_equal(vlapic_wrmsr(V0, 0x6e0, now + 1000), 0);
    vlapic_save(V0, &h, &r);
    vlapic_reset(V0);
    assert_int_equal(vlapic_load_hidden(V0, &h), 0);
    assert_int_equal(vlapic_load_regs(V0, &r), 0);
    tick(999);
    assert_int_equal(vlapic_pending(V0), -1);
    tick(1);
    assert_int_equal(taken(V0, 0x41), 1);
    assert_int_equal(vlapic_wrmsr(V0, 0x6e0, now + 3000000000u), 0);
    wr(V0, 0x320, 0x41);                                /* leaving the mode disarms */
    tick(4000000000u);
    assert_int_equal(vlapic_pending(V0), -1);
}

/* ---- IPIs ---- */

static unsigned who(u8 vector)                          /* bitmap of vCPUs that got it */
{
    unsigned m = 0;

    for (unsigned i = 0; i < NR; i++)
        m |= bit_test(vcpus[i].lapic->irr, vector) ? 1u << i : 0;
    for (unsigned i = 0; i < NR; i++)
        bit_clear(vcpus[i].lapic->irr, vector);
    return m;
}

static void ipi_modes(void **state)
{
    unsigned all = (1u << NR) - 1;

    icr(V0, 6, 0x60);
    assert_int_equal(who(0x60), 1u << 3);
    icr(V0, 7, 0x60);                                   /* nobody */
    icr(V0, 0xfe, 0x60);
    assert_int_equal(who(0x60), 0);
    icr(V0, 0xff, 0x60);
    assert_int_equal(who(0x60), all);
    icr(V1, 0, 0x40060);
    assert_int_equal(who(0x60), 2);
    icr(V1, 0, 0x80060);
    assert_int_equal(who(0x60), all);
    icr(V1, 0, 0xc0060);
    assert_int_equal(who(0x60), all & ~2u);
    wr(V0, 0xd0, 0x01000000);                           /* flat logical */
    wr(V1, 0xd0, 0x02000000);
    icr(V0, 3, 0x860);
    assert_int_equal(who(0x60), 3);
    icr(V0, 2, 0x860);
    assert_int_equal(who(0x60), 2);
    wr(V0, 0xe0, 0x0fffffff);                           /* cluster model */
    wr(V1, 0xe0, 0x0fffffff);
    wr(V0, 0xd0, 0x11000000);
    wr(V1, 0xd0, 0x22000000);
    icr(V0, 0x23, 0x860);
    assert_int_equal(who(0x60), 2);
    icr(V0, 0x11, 0x860);
    assert_int_equal(who(0x60), 1);
    wr(V1, 0xf0, 0xff);                                 /* software-disabled: not accepted */
    icr(V0, 2, 0x60);
    assert_int_equal(who(0x60), 0);
}

static void ipi_x2apic(void **state)
{
    u64 val;

    x2(V0);                                             /* the others in xAPIC mode: 8 bits, or all */
    wr(V1, 0xd0, 0x02000000);
    assert_int_equal(vlapic_wrmsr(V0, 0x830, 0x102ull << 32 | 0x860), 0);
    assert_int_equal(who(0x60), 0);
    assert_int_equal(vlapic_wrmsr(V0, 0x830, 2ull << 32 | 0x860), 0);
    assert_int_equal(who(0x60), 2);
    for (unsigned i = 0; i < NR; i++)
        x2(&vcpus[i]);
    assert_int_equal(vlapic_rdmsr(&vcpus[9], 0x802, &val), 0);
    assert_int_equal(val, 18);
    assert_int_equal(vlapic_rdmsr(&vcpus[9], 0x80d, &val), 0);
    assert_int_equal(val, 0x10004);                     /* cluster 1, member 2 */
    assert_int_equal(vlapic_wrmsr(V0, 0x830, 18ull << 32 | 0x60), 0);
    assert_int_equal(who(0x60), 1u << 9);
    assert_int_equal(vlapic_wrmsr(V0, 0x830, 0x10005ull << 32 | 0x860), 0);
    assert_int_equal(who(0x60), 1u << 8 | 1u << 9);
    assert_int_equal(vlapic_wrmsr(V0, 0x830, 0xffffffffull << 32 | 0x60), 0);
    assert_int_equal(who(0x60), (1u << NR) - 1);
    assert_int_equal(vlapic_wrmsr(V0, 0x830, 0xffffffffull << 32 | 0x860), 0);
    assert_int_equal(who(0x60), (1u << NR) - 1);
    assert_int_equal(vlapic_wrmsr(V0, 0x830, 0x100000002ull << 32 | 0x60), 0);
    (void)who(0x60);
    assert_int_equal(vlapic_rdmsr(V0, 0x830, &val), 0);
    assert_int_equal((u32)val, 0x60);
}

static void lowest_priority(void **state)
{
    unsigned seen = 0;

    for (unsigned i = 0; i < NR; i++)
        wr(&vcpus[i], 0x80, i == 4 || i == 7 ? 0x20 : 0x50);
    for (unsigned i = 0; i < 4; i++) {
        unsigned m;

        vlapic_deliver(&dom, 0xff, false, 1, 0x90, false);
        m = who(0x90);
        assert_true(m == 1u << 4 || m == 1u << 7);
        seen |= m;
    }
    assert_int_equal(seen, 1u << 4 | 1u << 7);          /* they take turns */
    vlapic_msi(&dom, 0xfee00000 | 6 << 12, 0x4091);
    assert_int_equal(who(0x91), 1u << 3);
    vlapic_msi(&dom, 0xfed00000 | 6 << 12, 0x4091);     /* not the interrupt window */
    assert_int_equal(who(0x91), 0);
    vlapic_deliver(&dom, 6, false, 3, 0x91, false);     /* reserved, SMI, ExtINT */
    vlapic_deliver(&dom, 6, false, 2, 0x91, false);
    vlapic_deliver(&dom, 6, false, 7, 0x91, false);
    assert_int_equal(who(0x91), 0);
}

static void init_sipi(void **state)
{
    /* A vCPU that never ran: INIT, SIPI, SIPI. */
    icr(V0, 2, 0x4500);
    icr(V0, 2, 0x8500);                                 /* de-assert */
    assert_true(V1->flags & VF_DOWN);
    icr(V0, 2, 0x608);
    assert_false(V1->flags & VF_DOWN);
    assert_true(V1->initialised);
    assert_true(vlapic_has_event(V1));
    icr(V0, 2, 0x609);                                  /* second SIPI: ignored, before and after the start */
    vlapic_handle_requests(V1);
    assert_int_equal(sipis, 1);
    assert_int_equal(sipi_vector, 8);
    icr(V0, 2, 0x609);
    vlapic_handle_requests(V1);
    assert_int_equal(sipis, 1);
    assert_false(vlapic_has_event(V1));
    /* Running: INIT takes it down, NMI does not raise it, SIPI does. */
    wr(V1, 0x80, 0x30);
    icr(V0, 2, 0x4500);
    vlapic_handle_requests(V1);
    assert_true(V1->flags & VF_DOWN);
    assert_int_equal(vlapic_get_tpr(V1), 0);
    icr(V0, 2, 0x60a);
    assert_false(V1->flags & VF_DOWN);
    vlapic_handle_requests(V1);
    assert_int_equal(sipis, 2);
    assert_int_equal(sipi_vector, 10);
    /* INIT and SIPI before it comes to look. */
    icr(V0, 2, 0x4500);
    icr(V0, 2, 0x60b);
    vlapic_handle_requests(V1);
    assert_int_equal(sipis, 3);
    assert_false(V1->flags & VF_DOWN);
    icr(V0, 2, 0x400);
    assert_true(vlapic_has_request(V1));
    vlapic_handle_requests(V1);
    assert_int_equal(nmis, 1);
    /* Brought up by a hypercall instead: no longer waiting. */
    vcpus[2].flags = 0;
    vlapic_handle_requests(&vcpus[2]);
    icr(V0, 4, 0x60c);
    vlapic_handle_requests(&vcpus[2]);
    assert_int_equal(sipis, 3);
}

/* ---- save records ---- */

static void save_load(void **state)
{
    struct hvm_hw_lapic h, h2;
    struct hvm_hw_lapic_regs r, r2;

    wr(V0, 0x80, 0x20);
    wr(V0, 0x3e0, 0xb);
    wr(V0, 0x320, 0x20040);
    wr(V0, 0x380, 1000000);
    vlapic_set_irq(V0, 0x51, true);
    vlapic_set_irq(V0, 0x88, false);
    vlapic_ack(V0, 0x88);
    tick(2000000);
    vlapic_save(V0, &h, &r);
    assert_int_equal(h.timer_divisor, 1);
    assert_int_equal(h.apic_base_msr, 0xfee00900);
    vlapic_reset(V0);
    assert_int_equal(vlapic_load_hidden(V0, &h), 0);
    assert_int_equal(vlapic_load_regs(V0, &r), 0);
    vlapic_save(V0, &h2, &r2);
    assert_memory_equal(&h, &h2, sizeof(h));
    assert_memory_equal(&r, &r2, sizeof(r));
    assert_int_equal(tpr_seen, 0x20);
    assert_int_equal(vlapic_pending(V0), -1);
    wr(V0, 0xb0, 0);
    assert_int_equal(vlapic_pending(V0), 0x51);
    vlapic_ack(V0, 0x51);
    wr(V0, 0xb0, 0);
    tick(8000000);
    assert_int_equal(taken(V0, 0x40), 1);
    h.apic_base_msr = 0xfee00400;
    assert_int_equal(vlapic_load_hidden(V0, &h), -EINVAL);
    h.apic_base_msr = 0xfee00801;
    assert_int_equal(vlapic_load_hidden(V0, &h), -EINVAL);
    memset(&r, 0xff, sizeof(r));                        /* hostile: sanitised */
    assert_int_equal(vlapic_load_regs(V0, &r), 0);
    assert_int_equal(rd(V0, 0x200) & 0xffff, 0);
    assert_int_equal(rd(V0, 0x320) & ~0x710ffu, 0);
    for (unsigned i = 0; i < 300; i++) {
        if (vlapic_pending(V0) >= 0)
            vlapic_ack(V0, (u8)vlapic_pending(V0));
        wr(V0, 0xb0, 0);
        tick(1000000);
    }
}

/* ---- random register script on all vCPUs ---- */

static void random_script(void **state)
{
    u64 val;

    srand(1);
    for (unsigned i = 0; i < 200000; i++) {
        struct vcpu *v = &vcpus[rand() % NR];
        u32 x = (u32)rand() << 16 ^ (u32)rand();

        switch (rand() % 8) {
        case 0: (void)rd(v, x & 0xfff); break;
        case 1: wr(v, x & 0xff0, (u32)rand() & (rand() % 2 ? 0xff : ~0u)); break;
        case 2: if (vlapic_pending(v) >= 0) vlapic_ack(v, (u8)vlapic_pending(v)); break;
        case 3: wr(v, 0xb0, 0); break;
        case 4: if (vlapic_rdmsr(v, 0x800 + x % 0x400, &val)) {} break;
        case 5: if (vlapic_wrmsr(v, 0x800 + x % 0x40, (u64)rand() % (1u << (rand() % 30)))) {} break;
        case 6: vlapic_handle_requests(v); tick((u64)rand() % 100000); break;
        case 7:
            if (rand() % 50 == 0 && vlapic_wrmsr(v, 0x1b, 0xfee00000u | (u32)(rand() & 3) << 10)) {}
            vlapic_msi(&dom, 0xfee00000 | (x & 0xfffff), (u32)rand());
            break;
        }
    }
}

/* Two CPUs at once, each running its vCPU and sending to the other: nothing is lost, nothing hangs (XSA-462). */
static u32 sent_to[2], got[2];
static void *storm(void *arg)
{
    unsigned me = (unsigned)(long)arg, seed = me + 7;
    struct cpu self = { .self = &self, .id = me, .online = true };
    struct vcpu *v = &vcpus[me];

    this_cpu_ptr = &self;
    for (unsigned i = 0; i < 100000; i++) {
        int vec;

        switch (rand_r(&seed) % 8) {
        case 0: icr(v, 2 * !me, rand_r(&seed) % 20); break;         /* mostly illegal */
        case 1: icr(v, 0, 0x80000 | rand_r(&seed) % 20); break;
        case 2: wr(v, 0x370, (u32)rand_r(&seed) % 48); break;
        case 3: assert_int_equal(esr(v) & ~0x60u, 0); break;
        case 4: icr(v, 2 * !me, 0x400); break;
        case 5:                                                     /* a vector of our own, one at a time */
            if (read_once(&sent_to[!me]) == load_acquire(&got[!me])) {
                sent_to[!me]++;
                icr(v, 2 * !me, 0xe0 + me);
            }
            break;
        default:
            vlapic_handle_requests(v);
            vec = vlapic_pending(v);
            if (vec < 0)
                break;
            vlapic_ack(v, (u8)vec);
            wr(v, 0xb0, 0);
            if (vec == (int)(0xe0 + !me))
                store_release(&got[me], got[me] + 1);
            break;
        }
    }
    return NULL;
}

static void two_cpus(void **state)
{
    pthread_t t[2];

    memset(sent_to, 0, sizeof(sent_to));
    memset(got, 0, sizeof(got));
    V1->flags = 0;
    for (long i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&t[i], NULL, storm, (void *)i), 0);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(t[i], NULL);
    for (unsigned i = 0; i < 2; i++) {
        got[i] += vlapic_pending(&vcpus[i]) == (int)(0xe0 + !i);    /* the last one may still be pending */
        assert_int_equal(sent_to[i], got[i]);
        assert_true(got[i] > 0);      /* how many depends on the load of the test host */
    }
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(reset_values), T(priorities), T(upcall_survives_disabling), T(level_eoi),
        T(xsa462_self), T(xsa462_variants), T(xsa462_x2apic),
        T(xsa108_whitelist), T(base_transitions), T(timer_oneshot), T(timer_periodic), T(timer_parked),
        T(timer_deadline), T(ipi_modes), T(ipi_x2apic), T(lowest_priority), T(init_sipi), T(save_load),
        T(random_script), T(two_cpus),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
