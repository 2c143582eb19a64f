/* SPDX-License-Identifier: MIT */
/*
 * 2-level delivery: pending and mask bitmaps in shared_info, a selector word per vCPU (public/xen.h). A 32-bit
 * guest's words are half as long: its mask follows its shorter pending bitmap and its selector lies at offset 4.
 * Bit n of the bitmaps is at the same place in both. All memory here belongs to the guest; nothing read from it is
 * used for anything but the bit itself.
 */
#include "evtchn/evtchn_priv.h"

#define PENDING_OFFSET 0x800
#define MASK_OFFSET 0xa00
#define MASK_OFFSET_32 (PENDING_OFFSET + 32 * 4)
#define SEL_OFFSET_32 4
STATIC_ASSERT(offsetof(struct shared_info, evtchn_pending) == PENDING_OFFSET);
STATIC_ASSERT(offsetof(struct shared_info, evtchn_mask) == MASK_OFFSET);

u32 evtchn_2l_limit(const struct evtchn_domain *ed)
{
    return ed->layout32 ? 32 * 32 : 64 * 64;
}

struct guest_mem *evtchn_2l_pending(struct domain *d) { return guest_mem_at(d->shared_info, PENDING_OFFSET); }

struct guest_mem *evtchn_2l_mask(struct domain *d)
{
    return guest_mem_at(d->shared_info, d->evtchn->layout32 ? MASK_OFFSET_32 : MASK_OFFSET);
}

/* Set the selector bit of port's word; true if it was clear. */
static bool select_word(const struct evtchn_domain *ed, struct guest_mem *vi, u32 port)
{
    if (ed->layout32) {
        u32 bit = 1u << port / 32;
        return !(guest_mem_or32(guest_mem_at(vi, SEL_OFFSET_32), bit) & bit);
    }
    u64 bit = 1ULL << port / 64;
    return !(guest_mem_or64(guest_field(vi, struct vcpu_info, evtchn_pending_sel), bit) & bit);
}

void evtchn_2l_select_all(const struct evtchn_domain *ed, struct guest_mem *vi)
{
    if (ed->layout32) guest_mem_or32(guest_mem_at(vi, SEL_OFFSET_32), ~0u);
    else guest_mem_or64(guest_field(vi, struct vcpu_info, evtchn_pending_sel), ~0UL);
}

static void notify(struct domain *d, struct evtchn *chn, u32 port)
{
    struct vcpu *v = evtchn_vcpu_by_id(d, read_once(&chn->vcpu));
    if (v && select_word(d->evtchn, load_acquire(&v->info), port)) evtchn_upcall(v);
}

bool evtchn_2l_raise(struct domain *d, struct evtchn *chn, u32 port)
{
    if (port >= evtchn_2l_limit(d->evtchn)) return false;
    if (guest_bit_set(evtchn_2l_pending(d), port)) return false;
    if (!guest_bit(evtchn_2l_mask(d), port)) notify(d, chn, port);
    return true;
}

void evtchn_2l_unmask(struct domain *d, struct evtchn *chn, u32 port)
{
    if (port >= evtchn_2l_limit(d->evtchn)) return;
    if (!guest_bit_clear(evtchn_2l_mask(d), port)) return;
    if (guest_bit(evtchn_2l_pending(d), port)) notify(d, chn, port);
}

void evtchn_set_layout32(struct domain *d, bool on)
{
    spin_lock(&d->evtchn->lock);
    d->evtchn->layout32 = on;
    spin_unlock(&d->evtchn->lock);
}
