/* SPDX-License-Identifier: MIT */
/*
 * Messages between local APICs: destinations, arbitration, IPIs, MSIs, and the requests INIT, SIPI and NMI.
 * SDM 3A 11.6 and 11.11; nothing here takes a lock.
 */
#include "hvm/vlapic_priv.h"
#include "cpu/percpu.h"
#include "sched/sched.h"

enum { DM_FIXED = 0, DM_LOWEST = 1, DM_NMI = 4, DM_INIT = 5, DM_SIPI = 6 };

/* ---- destinations ---- */

static bool match_logical(const struct vlapic *l, u32 dest)
{
    u32 ldr = lapic_ldr(l), model;

    if (lapic_x2(l))
        return dest == ~0u || (ldr >> 16 == dest >> 16 && (ldr & dest & 0xffff));
    if (dest > 0xff)
        return dest == ~0u;
    ldr >>= 24;
    model = read_once(&l->r[AR_DFR]) >> 28;
    if (model == 0xf)
        return ldr & dest;
    /* Cluster model: cluster in the high half, members in the low one. */
    return model == 0 && (dest == 0xff || (ldr >> 4 == dest >> 4 && (ldr & dest & 0xf)));
}

static bool match_dest(const struct vlapic *l, u32 dest, bool logical)
{
    if (!lapic_hw_enabled(l))
        return false;
    if (logical)
        return match_logical(l, dest);
    /* 0xff is nobody's id: ids are even. */
    return dest == lapic_id(l) || dest == 0xff || dest == ~0u;
}

/* The vCPU a physical destination names, NULL for a broadcast or nobody. */
static struct vcpu *vcpu_by_id(const struct domain *d, u32 dest)
{
    struct vcpu *v;

    if ((dest & 1) || dest / 2 >= d->max_vcpus)
        return NULL;
    v = d->vcpu[index_nospec(dest / 2, d->max_vcpus)];
    return v && v->lapic && lapic_hw_enabled(v->lapic) ? v : NULL;
}

/* Lowest priority: the matching APIC with the lowest processor priority; equals take turns. */
static struct vcpu *arbitrate(struct domain *d, u32 dest, bool logical)
{
    struct vcpu *best = NULL, *first = d->vcpu[0];
    u32 best_ppr = ~0u, start = first && first->lapic ? read_once(&first->lapic->arb_next) : 0;

    for (unsigned i = 0; i < d->max_vcpus; i++) {
        struct vcpu *v = d->vcpu[(start + i) % d->max_vcpus];

        if (!v || !v->lapic || !lapic_enabled(v->lapic) || !match_dest(v->lapic, dest, logical))
            continue;
        if (lapic_ppr(v->lapic) < best_ppr) {
            best_ppr = lapic_ppr(v->lapic);
            best = v;
        }
    }
    if (best && first && first->lapic)
        write_once(&first->lapic->arb_next, best->id + 1);
    return best;
}

/* ---- requests ---- */

static void request(struct vcpu *v, u32 req)
{
    (void)atomic_or(&v->lapic->req, req);
    vcpu_kick(v);
}

/*
 * SIPI counts only after INIT (done or on its way) and only the first one does. The vCPU is put up and resets itself
 * in vlapic_handle_requests() on its own CPU before it enters the guest, so the sender waits for nobody: two vCPUs
 * that start each other cannot block the machine.
 */
static void request_sipi(struct vcpu *v, u8 vector)
{
    u32 old;

    do {
        old = read_once(&v->lapic->req);
        if ((old & REQ_SIPI) || !(old & (REQ_INIT | REQ_WAIT)))
            return;
    } while (!atomic_cas(&v->lapic->req, old, old | REQ_SIPI | (u32)vector << REQ_VECTOR_SHIFT));
    v->initialised = true;
    vcpu_set_up(v);
    vcpu_kick(v);
}

static void take_init(struct vcpu *v)
{
    vlapic_reset(v);
    hvm->set_tpr(v, 0);
}

void vlapic_handle_requests(struct vcpu *v)
{
    struct vlapic *l = v->lapic;
    u32 old;

    while (unlikely((old = read_once(&l->req)) != 0)) {
        bool down = (old & (REQ_INIT | REQ_SIPI)) == REQ_INIT;

        /* One step from "INIT pending" to "waiting for SIPI": at no moment would a SIPI be ignored. A vCPU
         * that runs without having been sent SIPI was started by a hypercall and waits no longer. */
        if (!atomic_cas(&l->req, old, down ? REQ_WAIT : 0))
            continue;
        if (old & REQ_INIT)
            take_init(v);
        if (down) {
            vcpu_set_down(v);
            this_cpu()->resched = true;
            /* A SIPI that came before the line above found the vCPU up: bring it back. */
            if (!(read_once(&l->req) & REQ_SIPI))
                return;
            vcpu_set_up(v);
            continue;
        }
        if (old & REQ_SIPI)
            hvm_reset_sipi(v, (u8)(old >> REQ_VECTOR_SHIFT));
        else if (old & REQ_NMI)
            hvm_inject_nmi(v);
    }
}

/* ---- delivery ---- */

static void deliver_to(struct vcpu *v, unsigned delivery, u8 vector, bool level)
{
    switch (delivery) {
    case DM_FIXED:
    case DM_LOWEST:
        if (lapic_enabled(v->lapic))
            vlapic_set_irq(v, vector, level);
        break;
    case DM_NMI:
        request(v, REQ_NMI);
        break;
    case DM_INIT:
        request(v, REQ_INIT);
        break;
    case DM_SIPI:
        request_sipi(v, vector);
        break;
    default:                    /* SMI: no SMM here. ExtINT: the vector is the PIC's to give. */
        break;
    }
}

void vlapic_deliver(struct domain *d, u32 dest, bool logical, unsigned delivery, u8 vector, bool level)
{
    struct vcpu *v;

    if (delivery == DM_LOWEST) {
        v = arbitrate(d, dest, logical);
        if (v)
            deliver_to(v, delivery, vector, level);
        return;
    }
    if (!logical && dest != 0xff && dest != ~0u) {
        v = vcpu_by_id(d, dest);
        if (v)
            deliver_to(v, delivery, vector, level);
        return;
    }
    for_each_vcpu(d, v)
        if (v->lapic && match_dest(v->lapic, dest, logical))
            deliver_to(v, delivery, vector, level);
}

void vlapic_msi(struct domain *d, u64 addr, u32 data)
{
    bool logical = addr & 4, hint = addr & 8, level = data & 0x8000;
    unsigned delivery = data >> 8 & 7;

    /* SDM 3A 11.11: 0xFEExxxxx is an interrupt message; a level-triggered one counts when asserted. */
    if (addr >> 20 != 0xfee || (level && !(data & 0x4000)))
        return;
    if (hint && logical && delivery == DM_FIXED)
        delivery = DM_LOWEST;
    vlapic_deliver(d, addr >> 12 & 0xff, logical, delivery, (u8)data, level);
}

static void deliver_all(struct vcpu *self, bool with_self, unsigned delivery, u8 vector)
{
    struct domain *d = self->dom;
    struct vcpu *v;

    for_each_vcpu(d, v)
        if (v->lapic && lapic_hw_enabled(v->lapic) && (with_self || v != self))
            deliver_to(v, delivery, vector, false);
}

void lapic_ipi(struct vlapic *l, u32 icr, u32 dest)
{
    unsigned delivery = icr >> 8 & 7, shorthand = icr >> 18 & 3;
    u8 vector = (u8)icr;

    /* INIT level de-assert did something on the 82489DX and 486 only. */
    if (delivery == DM_INIT && (icr & 0xc000) == 0x8000)
        return;
    if (delivery <= DM_LOWEST && vector < 16)
        lapic_error(l, ESR_SEND_ILLEGAL);
    switch (shorthand) {
    case 0:
        vlapic_deliver(l->v->dom, dest, icr & 0x800, delivery, vector, false);
        break;
    case 1:
        if (delivery == DM_FIXED)       /* only fixed IPIs may be sent to oneself (SDM table 11-3) */
            deliver_to(l->v, delivery, vector, false);
        break;
    default:
        deliver_all(l->v, shorthand == 2, delivery, vector);
        break;
    }
}

void lapic_self_ipi(struct vlapic *l, u8 vector)
{
    if (vector < 16)
        lapic_error(l, ESR_SEND_ILLEGAL);
    deliver_to(l->v, DM_FIXED, vector, false);
}
