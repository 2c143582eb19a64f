/* SPDX-License-Identifier: MIT */
/*
 * memory_op: RAM into and out of a domain. Results count extents that are wholly done; what an extent that fails
 * half-way has added is taken back (I-10). Progress of long calls is in the command word.
 */
#include "call/memory.h"
#include "mm/p2m.h"

#define ORDER_MAX_GUEST 9u          /* of extents a guest asks for itself: bounds the time of one (I-16) */
#define ORDER_MAX_PRIV 18u
#define MEMF_KNOWN (0xffu | 0xff00u | XENMEMF_populate_on_demand | XENMEMF_exact_node_request | XENMEMF_vnode)

/* The toolstack tries thousands of extents: one line for a domain is enough. */
static void tell_no_on_demand(domid_t id)
{
    static domid_t told = DOMID_INVALID;

    if (read_once(&told) == id)
        return;
    write_once(&told, id);
    gprintk(LOG_WARN, "d%u: populate on demand (maxmem above memory) is not supported\n", id);
}

/* Fields of a reservation (XSA-231, -385): 0 or an error. *order_max by caller. */
static int check_reservation(struct call *c, const struct xen_memory_reservation *a, bool flags)
{
    unsigned max = c->v->dom->is_priv ? ORDER_MAX_PRIV : ORDER_MAX_GUEST;
    u32 f = a->mem_flags, node = f >> 8 & 0xff;

    if (a->nr_extents > ~0ULL >> MEMOP_CMD_BITS || a->extent_order > ORDER_MAX_PRIV)
        return -EINVAL;
    if (a->extent_order > max)
        return -EPERM;
    if (!flags)
        return 0;
    /* One memory node: "any" (0) or node 0 (1), and the choice is the toolstack's. */
    if ((f & ~MEMF_KNOWN) || node > 1 || (f & XENMEMF_vnode))
        return -EINVAL;
    if (!c->v->dom->is_priv && f & ~0xffu)
        return -EINVAL;
    if (f & XENMEMF_populate_on_demand) {
        tell_no_on_demand(a->domid);
        return -EOPNOTSUPP;
    }
    return 0;
}

/* Largest piece to work on at gfn with `left` pages to go. */
static unsigned piece_order(u64 gfn, u64 left)
{
    if (!(gfn & ((1ULL << ORDER_1G) - 1)) && left >= 1ULL << ORDER_1G)
        return ORDER_1G;
    return !(gfn & ((1ULL << ORDER_2M) - 1)) && left >= 1ULL << ORDER_2M ? ORDER_2M : ORDER_4K;
}

/* ---- populate ---- */

static int populate_piece(struct domain *d, u64 gfn, unsigned order)
{
    mfn_t m = INVALID_MFN;

    /* Without an IOMMU dom0 gets back the frame with the same number, if it is there: DMA knows no other. */
    if (dom0_keep_frames && d->is_hwdom && order == ORDER_4K && dom_ram_take_frame(d, MFN(gfn))) {
        m = MFN(gfn);
        clear_pages(frame_map(m), 1);
    }
    if (!mfn_valid(m))
        m = dom_ram_alloc(d, order);
    if (!mfn_valid(m))
        return -ENOMEM;
    int rc = p2m_map_ram(d, GFN(gfn), m, order);
    if (rc)
        dom_ram_free(d, m, order);
    return rc;
}

/* Take back [gfn, end), which this call has just populated. Removing cannot fail: the entries are those that were
 * made, unless the guest itself changed them meanwhile. */
static void unpopulate(struct domain *d, u64 gfn, u64 end)
{
    struct p2m_batch b;

    p2m_batch_start(&b, d);
    while (gfn < end) {
        unsigned order = MIN(piece_order(gfn, end - gfn), (unsigned)ORDER_2M);
        while (p2m_remove_ram_batch(d, GFN(gfn), order, &b) == -EINVAL && order)
            order = ORDER_4K;
        gfn += 1ULL << order;
    }
    p2m_batch_finish(&b);
}

static int populate_extent(struct domain *d, u64 gfn, unsigned order)
{
    u64 end = gfn + (1ULL << order), g = gfn;

    /* Extents beyond 2 MiB must be aligned: their pieces are then few and large. */
    if (end < gfn || (order > ORDER_2M && (gfn & (end - gfn - 1))))
        return -EINVAL;
    while (g < end) {
        unsigned o = piece_order(g, end - g);
        int rc = populate_piece(d, g, o);
        if (rc) {
            unpopulate(d, gfn, g);
            return rc;
        }
        g += 1ULL << o;
    }
    return 0;
}

long memop_populate(struct call *c, void *arg)
{
    const struct xen_memory_reservation *a = arg;
    u64 i = memop_start(c), start = i, gfn;
    struct domain *d;
    int rc = check_reservation(c, a, true);

    if (rc || (rc = memop_domain(c, a->domid, &d)))
        return rc;
    struct memop_list list;
    memop_list_init(&list, c, (gva_t)a->extent_start.p, a->nr_extents);
    for (; i < a->nr_extents; i++) {
        if (i != start && call_preempt())
            break;
        /* Scrub 1 GiB in small steps before it is taken in one. */
        while (a->extent_order == ORDER_1G && dom_ram_prescrub(d, ORDER_1G))
            if (call_preempt())
                goto restart;
        if (memop_list_read(&list, i, &gfn)) {
            rc = i ? 0 : -EFAULT;      /* what is done counts, in however many pieces */
            goto out;
        }
        if (populate_extent(d, gfn, a->extent_order))
            goto out;               /* a short count says enough: libxc falls back to smaller extents */
    }
restart:
    if (i < a->nr_extents)
        rc = (int)memop_restart(c, i);
out:
    put_domain(d);
    return rc ? rc : (long)i;
}

/* ---- decrease ---- */

/* Give up one page: RAM, or (only unhooked, XSA-507) a hypervisor page mapped there. */
static int remove_page(struct domain *d, u64 gfn, struct p2m_batch *b)
{
    enum p2m_type t;

    int rc = p2m_remove_ram_batch(d, GFN(gfn), ORDER_4K, b);
    if (rc != -ENOENT)
        return rc;
    (void)p2m_lookup(d, GFN(gfn), &t, NULL);
    return t == P2M_SPECIAL ? p2m_unmap_record(d, GFN(gfn), INVALID_MFN, t, b) : -ENOENT;
}

static int remove_extent(struct domain *d, u64 gfn, unsigned order, struct p2m_batch *b)
{
    u64 end = gfn + (1ULL << order);

    if (end < gfn)
        return -EINVAL;
    while (gfn < end) {
        int rc = -EINVAL;
        unsigned o = MIN(piece_order(gfn, end - gfn), (unsigned)ORDER_2M);
        if (o)
            rc = p2m_remove_ram_batch(d, GFN(gfn), o, b);
        if (rc && (o = 0, rc = remove_page(d, gfn, b)))
            return rc;
        gfn += 1ULL << o;
    }
    return 0;
}

long memop_decrease(struct call *c, void *arg)
{
    const struct xen_memory_reservation *a = arg;
    u64 i = memop_start(c), pages = 0, gfn;
    struct p2m_batch b;
    struct domain *d;
    int rc = check_reservation(c, a, false);

    if (rc || (rc = memop_domain(c, a->domid, &d)))
        return rc;
    struct memop_list list;
    memop_list_init(&list, c, (gva_t)a->extent_start.p, a->nr_extents);
    p2m_batch_start(&b, d);
    for (; i < a->nr_extents; i++, pages += 1ULL << a->extent_order) {
        if (pages >= 64) {              /* each may be a step of its own, whatever the order */
            pages = 0;
            p2m_batch_finish(&b);
            if (call_preempt()) {
                rc = (int)memop_restart(c, i);
                break;
            }
        }
        if (memop_list_read(&list, i, &gfn)) {
            rc = i ? 0 : -EFAULT;      /* what is done counts, in however many pieces */
            break;
        }
        if (remove_extent(d, gfn, a->extent_order, &b))
            break;
    }
    p2m_batch_finish(&b);
    put_domain(d);
    return rc ? rc : (long)i;
}

/* ---- others ---- */

/* RAM without a place in guest-physical space is of no use to a translated guest: none is given. */
long memop_increase(struct call *c, void *arg)
{
    const struct xen_memory_reservation *a = arg;
    struct domain *d;
    int rc = check_reservation(c, a, true);

    if (rc || (rc = memop_domain(c, a->domid, &d)))
        return rc;
    put_domain(d);
    return 0;
}

long memop_claim(struct call *c, void *arg)
{
    const struct xen_memory_reservation *a = arg;
    struct domain *d;
    int rc;

    if (a->extent_start.p || a->extent_order || a->mem_flags)
        return -EINVAL;
    rc = memop_domain(c, a->domid, &d);
    if (rc)
        return rc;
    rc = dom_ram_claim(d, a->nr_extents);
    put_domain(d);
    return rc;
}

/* Pages of translated guests cannot be stolen and handed on (XSA-217); refused before anything is touched. */
long memop_exchange(struct call *c, void *arg) { return -EOPNOTSUPP; }
