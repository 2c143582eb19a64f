/* SPDX-License-Identifier: MIT */
/*
 * Timer of the virtual local APIC: one-shot, periodic, TSC deadline (SDM 3A 11.5.4).
 * The bus clock is 100 MHz, as with the reference. All state is under l->lock: the host timer may fire on a CPU the
 * vCPU has left. The interrupt is raised after the lock is dropped (I-11).
 *
 * A periodic timer whose next expiry nobody would notice, because it is masked or its interrupt is still pending, is
 * parked: it counts on by the clock, and costs the host nothing until that changes. Else the timers of a guest's
 * halted vCPUs could keep a CPU busy at nobody's expense.
 */
#include "hvm/vlapic_priv.h"

#define BUS_CYCLE_NS 10
/* Shorter periods would let an idle guest keep a CPU busy with nothing but timer interrupts. */
#define MIN_PERIOD_NS 200000ull

unsigned lapic_timer_divisor(const struct vlapic *l)
{
    /* Bits 0, 1 and 3: 2, 4, 8, ... 128, and 1 for all ones. */
    u32 t = l->r[AR_TDCR];

    return 1u << ((((t & 3) | (t & 8) >> 1) + 1) & 7);
}

static u64 tick_ns(const struct vlapic *l)
{
    return BUS_CYCLE_NS * lapic_timer_divisor(l);
}

static u32 mode(const struct vlapic *l)
{
    return l->r[AR_LVTT] & LVTT_MODE;
}

static void disarm_locked(struct vlapic *l)
{
    l->expires_ns = 0;
    write_once(&l->parked, false);
    timer_stop(&l->timer);
}

static void arm_locked(struct vlapic *l, u64 expires_ns)
{
    l->expires_ns = expires_ns ? expires_ns : 1;
    write_once(&l->parked, false);
    timer_set(&l->timer, l->expires_ns);
}

/* The next expiry of a periodic timer, on the grid that its start gave it. */
static void next_period_locked(struct vlapic *l)
{
    l->start_ns += (now_ns() - l->start_ns) / l->interval_ns * l->interval_ns;
    l->expires_ns = l->start_ns + l->interval_ns;
    write_once(&l->parked, true);
    smp_mb();                               /* vlapic_ack() clears the bit, then looks whether we are parked */
    if (!(l->r[AR_LVTT] & LVT_MASKED) && !bit_test(l->irr, (u8)l->r[AR_LVTT]))
        arm_locked(l, l->expires_ns);
}

void lapic_timer_unpark(struct vlapic *l)
{
    spin_lock(&l->lock);
    if (l->parked)
        next_period_locked(l);
    spin_unlock(&l->lock);
}

/* Begin a count of TMICT of which `gone` ticks have passed already. */
static void start_locked(struct vlapic *l, u64 gone)
{
    u64 initial = l->r[AR_TMICT], nominal = initial * tick_ns(l);

    if (!initial) {
        disarm_locked(l);
        return;
    }
    l->start_ns = now_ns() - gone * tick_ns(l);
    l->interval_ns = mode(l) == LVTT_PERIODIC && nominal < MIN_PERIOD_NS ? MIN_PERIOD_NS : nominal;
    arm_locked(l, l->start_ns + l->interval_ns);
}

static u32 current_locked(const struct vlapic *l)
{
    u64 gone, initial = l->r[AR_TMICT];

    if (!l->expires_ns || mode(l) == LVTT_DEADLINE)
        return 0;
    gone = now_ns() - l->start_ns;
    if (mode(l) == LVTT_PERIODIC)
        gone %= l->interval_ns;
    gone /= tick_ns(l);
    return gone < initial ? (u32)(initial - gone) : 0;
}

u32 lapic_timer_current(struct vlapic *l)
{
    u32 count;

    spin_lock(&l->lock);
    count = current_locked(l);
    spin_unlock(&l->lock);
    return count;
}

static void expired(void *arg)
{
    struct vlapic *l = arg;
    u64 now = now_ns();
    u32 lvtt;

    spin_lock(&l->lock);
    if (!l->expires_ns || l->parked || now < l->expires_ns) {
        /* Stopped or moved by the vCPU while this was on its way. */
        if (l->expires_ns && !l->parked)
            timer_set(&l->timer, l->expires_ns);
        spin_unlock(&l->lock);
        return;
    }
    lvtt = l->r[AR_LVTT];
    if (mode(l) == LVTT_PERIODIC) {
        next_period_locked(l);              /* periods missed while nobody ran merge into one interrupt */
    } else {
        l->expires_ns = 0;
        l->deadline_tsc = 0;
    }
    spin_unlock(&l->lock);
    if (!(lvtt & LVT_MASKED))
        vlapic_set_irq(l->v, (u8)lvtt, false);
}

void lapic_timer_init(struct vlapic *l)
{
    timer_init(&l->timer, expired, l);
}

void lapic_timer_stop(struct vlapic *l)
{
    spin_lock(&l->lock);
    disarm_locked(l);
    l->deadline_tsc = 0;
    spin_unlock(&l->lock);
}

void lapic_timer_write_lvtt(struct vlapic *l, u32 val)
{
    u32 old;
    u64 gone;

    spin_lock(&l->lock);
    old = mode(l);
    gone = l->r[AR_TMICT] - current_locked(l);
    write_once(&l->r[AR_LVTT], val);
    if (((old ^ val) & LVTT_DEADLINE) || mode(l) == LVTT_MODE) {
        /* Entering or leaving deadline mode disarms (SDM 11.5.4.1); mode 3 is reserved and counts nothing. */
        disarm_locked(l);
        l->deadline_tsc = 0;
    } else if (((old ^ val) & LVTT_PERIODIC) && l->expires_ns) {
        start_locked(l, gone);
    } else if (mode(l) == LVTT_PERIODIC && l->expires_ns) {
        next_period_locked(l);              /* unmasked, perhaps, or another vector */
    }
    spin_unlock(&l->lock);
}

void lapic_timer_write_initial(struct vlapic *l, u32 val)
{
    spin_lock(&l->lock);
    if (!(mode(l) & LVTT_DEADLINE)) {       /* ignored in deadline mode */
        l->r[AR_TMICT] = val;
        start_locked(l, 0);
    }
    spin_unlock(&l->lock);
}

void lapic_timer_write_divide(struct vlapic *l, u32 val)
{
    u64 gone;

    spin_lock(&l->lock);
    gone = l->r[AR_TMICT] - current_locked(l);
    l->r[AR_TDCR] = val;
    if (l->expires_ns && !(mode(l) & LVTT_DEADLINE))
        start_locked(l, gone);              /* the count goes on at the new speed */
    spin_unlock(&l->lock);
}

/* Ticks of the TSC in ns, without overflow for any 64-bit value that matters (saturates at 2^62). */
static u64 ticks_to_ns(u64 ticks)
{
    u64 hz = (u64)tsc_khz * 1000, sec = ticks / hz;

    if (sec > 4000000000ull)
        return 1ull << 62;
    return sec * 1000000000 + ticks % hz * 1000000 / tsc_khz;
}

static void set_deadline_locked(struct vlapic *l, u64 tsc)
{
    u64 guest_now = tsc_read() + hvm_tsc_offset(l->v);

    l->deadline_tsc = tsc;
    if (!tsc)
        disarm_locked(l);
    else
        arm_locked(l, now_ns() + (tsc > guest_now ? ticks_to_ns(tsc - guest_now) : 0));
}

void lapic_timer_write_deadline(struct vlapic *l, u64 tsc)
{
    spin_lock(&l->lock);
    if (mode(l) == LVTT_DEADLINE)           /* ignored in the other modes */
        set_deadline_locked(l, tsc);
    spin_unlock(&l->lock);
}

u64 lapic_timer_read_deadline(struct vlapic *l)
{
    u64 tsc;

    spin_lock(&l->lock);
    tsc = mode(l) == LVTT_DEADLINE ? l->deadline_tsc : 0;
    spin_unlock(&l->lock);
    return tsc;
}

void lapic_timer_restore(struct vlapic *l, u32 count, u64 deadline_tsc)
{
    u32 initial = l->r[AR_TMICT];

    spin_lock(&l->lock);
    disarm_locked(l);
    if (mode(l) == LVTT_DEADLINE)
        set_deadline_locked(l, deadline_tsc);
    else if (!(mode(l) & LVTT_DEADLINE) && count)
        start_locked(l, initial > count ? initial - count : 0);
    spin_unlock(&l->lock);
}
