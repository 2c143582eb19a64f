/* SPDX-License-Identifier: MIT */
/* XSA-217: the two operations by which a page would change its owner. Include in one file per kernel. */
#pragma once
#include "guest.h"

static inline long reserved_pages(void)
{
    struct xen_memory_domain self = { .domid = DOMID_SELF };
    return hc_memory_op(XENMEM_current_reservation, &self);
}

static inline bool all_bytes(volatile const u8 *p, u8 v)
{
    for (unsigned i = 0; i < 4096; i++)
        if (p[i] != v) return false;
    return true;
}

/* The domain's own frame `gfn` is offered to `to`, and given in exchange for another. Bits of what went wrong: 0 transfer was
 * not refused, 1 exchange was not refused, 2 pages were exchanged, 3 other content, 4 other number of pages, 5 no longer
 * writable, 6 what should come out is there. */
static inline u64 steal(u64 gfn, domid_t to)
{
    volatile u8 *page = (void *)(gfn << 12);
    const u64 nowhere = 0x7f000;                        /* above this domain's memory, below 4 GiB */
    long pages = reserved_pages();
    for (unsigned i = 0; i < 4096; i++) page[i] = 0x66;
    struct gnttab_transfer t = { .mfn = gfn, .domid = to, .ref = 20 };
    u64 wrong = hc_grant(GNTTABOP_transfer, &t, 1) || t.status >= 0;
    xen_pfn_t in = gfn, out = nowhere;
    struct xen_memory_exchange x = { .in = { .nr_extents = 1, .domid = DOMID_SELF },
                                     .out = { .nr_extents = 1, .domid = DOMID_SELF } };
    set_xen_guest_handle(x.in.extent_start, &in);
    set_xen_guest_handle(x.out.extent_start, &out);
    wrong |= (u64)(hc_memory_op(XENMEM_exchange, &x) >= 0) << 1;
    wrong |= (u64)(x.nr_exchanged != 0) << 2;
    wrong |= (u64)!all_bytes(page, 0x66) << 3;
    wrong |= (u64)(reserved_pages() != pages || pages <= 0) << 4;
    for (unsigned i = 0; i < 4096; i++) page[i] = 0x99;
    wrong |= (u64)!all_bytes(page, 0x99) << 5;
    return wrong | (u64)(mmio_read(nowhere << 12) != 0xffffffff) << 6;
}
