/* SPDX-License-Identifier: MIT */
/* domctl: paging pool, address size, TSC, page types. */
#include "call/domctl.h"
#include "hvm/hvm.h"
#include "mm/p2m.h"

/* ---- paging pool: bytes (85, 86), or MiB in the older interface (shadow_op 30, 31) ---- */
DOMCTL_HANDLER(get_paging_mempool_size)
{
    op->u.paging_mempool.size = p2m_pool_get(d);
    return 0;
}

DOMCTL_HANDLER(set_paging_mempool_size)
{
    u64 size = op->u.paging_mempool.size;
    if (size % PAGE_SIZE) return -EINVAL;
    return p2m_pool_set(d, size);
}

DOMCTL_HANDLER(shadow_op)
{
    struct xen_domctl_shadow_op *a = &op->u.shadow_op;
    switch (a->op) {
    case XEN_DOMCTL_SHADOW_OP_OFF:
        return 0;               /* log-dirty mode is never on */
    case XEN_DOMCTL_SHADOW_OP_GET_ALLOCATION:
        a->mb = (u32)((p2m_pool_get(d) + MiB(1) - 1) >> 20);
        return 0;
    case XEN_DOMCTL_SHADOW_OP_SET_ALLOCATION:
        return d->state == DOM_ALIVE ? p2m_pool_set(d, MiB(a->mb)) : -EINVAL;
    }
    return -EOPNOTSUPP;
}

/* Every guest may run 64-bit code; there is nothing to switch. */
DOMCTL_HANDLER(get_address_size)
{
    op->u.address_size.size = 64;
    return 0;
}

DOMCTL_HANDLER(set_address_size)
{
    return op->u.address_size.size == 64 ? 0 : -EINVAL;
}

/* ---- TSC (E.2): mode 0 default, 1 emulated, 2 native ---- */
DOMCTL_HANDLER(gettscinfo)
{
    struct xen_domctl_tsc_info *a = &op->u.tsc_info;
    memset(a, 0, sizeof(*a));
    a->tsc_mode = d->tsc_mode;
    a->gtsc_khz = d->tsc_khz;
    a->incarnation = d->tsc_incarnation;
    a->elapsed_nsec = now_ns();
    return 0;
}

DOMCTL_HANDLER(settscinfo)
{
    const struct xen_domctl_tsc_info *a = &op->u.tsc_info;
    if (a->tsc_mode > 2) return -EINVAL;
    if (a->gtsc_khz && (a->gtsc_khz > tsc_khz + tsc_khz / 1000 || a->gtsc_khz < tsc_khz - tsc_khz / 1000))
        printk(LOG_WARN, "domain %u: saved with a TSC of %u kHz, here it runs at %u kHz\n", d->id, a->gtsc_khz,
               tsc_khz);
    domain_pause(d);
    d->tsc_mode = a->tsc_mode;
    d->tsc_incarnation = a->incarnation + 1;        /* counts restores: it was saved with the one before */
    hvm_update_tsc(d);
    domain_unpause(d);
    return 0;
}

/* ---- page types for save: RAM has none, holes and special pages are marked ---- */
#define MAX_FRAMES 1024u
DOMCTL_HANDLER(getpageframeinfo3)
{
    struct xen_domctl_getpageframeinfo3 *a = &op->u.getpageframeinfo3;
    if (a->num > MAX_FRAMES) return -E2BIG;
    for (u64 i = 0; i < a->num; i++) {
        gva_t at = (gva_t)a->array.p + i * sizeof(xen_pfn_t);
        xen_pfn_t pfn;
        enum p2m_type t;
        if (copy_in(c->v, &pfn, at)) return -EFAULT;
        (void)p2m_lookup(d, GFN(pfn), &t, NULL);
        pfn = p2m_is_ram(t) ? XEN_DOMCTL_PFINFO_NOTAB : XEN_DOMCTL_PFINFO_XTAB;
        if (copy_out(c->v, at, &pfn)) return -EFAULT;
    }
    return 0;
}
