/* SPDX-License-Identifier: MIT */
/*
 * Taking mappings away. The order is always: clear the entry, invalidate (CPUs, IOMMU, readers without the lock),
 * only then drop the reference or give the frame up (I-2, I-8). What may need memory (splitting a superpage) comes
 * before the first change; records are single entries and need none (design rule 6).
 */
#include "mm/p2m_internal.h"
#include "mm/tlb.h"

void p2m_sync(struct domain *d)
{
    tlb_flush_domain(d);
    if (d->iommu)
        iommu_flush(d);
    p2m_wait_readers(d);
}

void p2m_batch_start(struct p2m_batch *b, struct domain *d)
{
    b->d = d;
    b->n = 0;
    b->dirty = false;
    b->ram = b->big = 0;
}

void p2m_batch_finish(struct p2m_batch *b)
{
    if (b->dirty)
        p2m_sync(b->d);
    for (unsigned i = 0; i < b->n; i++) {
        if (b->ram >> i & 1)
            dom_ram_free(b->d, b->put[i], b->big >> i & 1 ? ORDER_2M : ORDER_4K);
        else
            page_put(b->put[i]);
    }
    p2m_batch_start(b, b->d);
}

void batch_add(struct p2m_batch *b, mfn_t m, bool ram, unsigned order)
{
    if (b->n == P2M_BATCH_MAX)
        p2m_batch_finish(b);
    b->ram |= (u64)ram << b->n;
    b->big |= (u64)(order == ORDER_2M) << b->n;
    b->put[b->n++] = m;
    b->dirty = true;
}

static inline void unmap_iommu(struct domain *d, u64 gfn, unsigned order)
{
    if (!d->iommu)
        return;
    if (order == ORDER_4K)
        iommu_unmap(d, GFN(gfn));
    else
        iommu_unmap_range(d, GFN(gfn), order);
}

/* ---- frames held back for the IOMMU ---- */
#define HELD_NS 2000000u            /* 2 ms */

void p2m_drop_held(struct domain *d)
{
    struct p2m *p = d->p2m;
    unsigned n = p->nr_held;

    if (!n)
        return;
    iommu_flush(d);
    p->nr_held = 0;
    p->held_gfns = 0;
    for (unsigned i = 0; i < n; i++)
        page_put(p->held[i]);
}

void p2m_held_timer(void *arg)
{
    struct domain *d = arg;

    spin_lock(&d->p2m->lock);
    p2m_drop_held(d);
    spin_unlock(&d->p2m->lock);
}

/* gfn's entry for frame m is cleared, CPUs are flushed: drop m's reference with the next IOMMU flush. */
static void hold(struct domain *d, u64 gfn, mfn_t m)
{
    struct p2m *p = d->p2m;

    if (p->nr_held == HELD_MAX)
        p2m_drop_held(d);
    /* One that is still set from before only comes earlier; one that is just firing waits for our lock. */
    if (!read_once(&p->held_timer.active))
        timer_set(&p->held_timer, now_ns() + HELD_NS);
    p->held[p->nr_held++] = m;
    p->held_gfns |= 1ULL << (gfn % 64);
}

/* Clear the entry of the record at g if it is what the caller says, and the IOMMU's: 0 and the old entry in *old.
 * Lock held. */
static inline int clear_record(struct domain *d, gfn_t g, mfn_t m, enum p2m_type type, u64 *old)
{
    unsigned level = 0;
    struct live_entry *pe = d->p2m->dead ? NULL : p2m_find(d->p2m, g.n, &level);
    u64 e = pe ? live_get(pe) : 0;

    if (!(e & PTE_P))
        return -ENOENT;
    if (level != 1 || pte_type(e) != type || p2m_is_ram(type) || (mfn_valid(m) && pte_mfn(e) != m.n))
        return -EINVAL;
    live_write(pe, 0);
    unmap_iommu(d, g.n, 0);
    *old = e;
    return 0;
}

static int unmap_one(struct domain *d, gfn_t g, mfn_t m, enum p2m_type type)
{
    struct p2m *p = d->p2m;
    u64 e;

    spin_lock(&p->lock);
    int rc = clear_record(d, g, m, type, &e);
    bool later = !rc && d->iommu && type == P2M_FOREIGN;
    if (later) {
        tlb_flush_domain(d);
        p2m_wait_readers(d);
        hold(d, g.n, MFN(pte_mfn(e)));
    }
    spin_unlock(&p->lock);
    if (rc || later)
        return rc;
    p2m_sync(d);
    if (type_has_ref(type))
        page_put(MFN(pte_mfn(e)));
    return 0;
}

int p2m_unmap_record(struct domain *d, gfn_t g, mfn_t m, enum p2m_type type, struct p2m_batch *batch)
{
    u64 e;

    if (g.n >= P2M_GFN_END)
        return -ENOENT;
    if (!batch)
        return unmap_one(d, g, m, type);
    spin_lock(&d->p2m->lock);
    int rc = clear_record(d, g, m, type, &e);
    if (!rc && type_has_ref(type))
        batch_add(batch, MFN(pte_mfn(e)), false, 0);
    if (!rc)
        batch->dirty = true;
    spin_unlock(&d->p2m->lock);
    return rc;
}

int p2m_take_record(struct domain *d, gfn_t g, enum p2m_type type, struct p2m_batch *batch, mfn_t *m)
{
    u64 e;

    if (g.n >= P2M_GFN_END)
        return -ENOENT;
    spin_lock(&d->p2m->lock);
    int rc = clear_record(d, g, INVALID_MFN, type, &e);
    spin_unlock(&d->p2m->lock);
    if (rc)
        return rc;
    *m = MFN(pte_mfn(e));
    batch->dirty = true;
    return 0;
}

int p2m_remove_ram_batch(struct domain *d, gfn_t g, unsigned order, struct p2m_batch *batch)
{
    struct p2m *p = d->p2m;
    unsigned level;
    int rc = 0;

    if (g.n >= P2M_GFN_END || (order != ORDER_4K && order != ORDER_2M) || g.n & ((1ULL << order) - 1))
        return -EINVAL;
    spin_lock(&p->lock);
    struct live_entry *pe = p->dead ? NULL : p2m_find(p, g.n, &level);
    if (!pe || !pte_is_ram(live_get(pe)))
        rc = -ENOENT;
    else if (order && level != 2)
        rc = -EINVAL;
    else if (!order && level != 1 && !(pe = p2m_walk(p, g.n, 1)))
        rc = -ENOMEM;               /* the pool cannot take the split: nothing has changed (XSA-222) */
    else if (d->iommu)
        rc = iommu_split(d, g, order);
    if (!rc) {
        u64 e = live_get(pe);
        live_write(pe, 0);
        unmap_iommu(d, g.n, order);
        batch_add(batch, MFN(pte_mfn(e)), true, order);
    }
    spin_unlock(&p->lock);
    return rc;
}

int p2m_remove_ram(struct domain *d, gfn_t g)
{
    struct p2m_batch b;

    p2m_batch_start(&b, d);
    int rc = p2m_remove_ram_batch(d, g, ORDER_4K, &b);
    p2m_batch_finish(&b);
    return rc == -EINVAL ? -ENOENT : rc;
}

/* Largest level at which [gfn, end) can be worked on at gfn, given the leaf's level there. */
static bool covers(u64 gfn, u64 end, unsigned level)
{
    u64 n = 1ULL << level_order(level);

    return !(gfn & (n - 1)) && end - gfn >= n;
}

int p2m_unmap_identity(struct domain *d, paddr_t start, paddr_t end, enum p2m_type type)
{
    struct p2m *p = d->p2m;
    u64 s = start >> PAGE_SHIFT, e = ROUND_UP(end, PAGE_SIZE) >> PAGE_SHIFT, gfn;
    unsigned level;
    int rc = 0;

    if (p2m_is_ram(type) || type_has_ref(type) || type == P2M_NONE || e > P2M_GFN_END || s > e)
        return -EINVAL;
    spin_lock(&p->lock);
    /* Check: split what reaches over the ends. */
    for (gfn = s; gfn < e && !rc; ) {
        u64 v = live_get(p2m_find(p, gfn, &level));
        bool ours = (v & PTE_P) && pte_type(v) == type && pte_mfn(v) == (gfn & ~((1ULL << level_order(level)) - 1));
        if (ours && !covers(gfn, e, level)) {
            rc = p2m_walk(p, gfn, level - 1) ? 0 : -ENOMEM;
            continue;
        }
        if (ours && d->iommu)
            rc = iommu_split(d, GFN(gfn), level_order(level));
        gfn = ((gfn >> level_order(level)) + 1) << level_order(level);
    }
    /* Act. Entries of another kind (a record mapped there meanwhile) stay. */
    for (gfn = s; gfn < e && !rc; gfn = ((gfn >> level_order(level)) + 1) << level_order(level)) {
        struct live_entry *pe = p2m_find(p, gfn, &level);
        u64 v = live_get(pe);
        if ((v & PTE_P) && pte_type(v) == type && pte_mfn(v) == gfn) {
            live_write(pe, 0);
            unmap_iommu(d, gfn, level_order(level));
        }
    }
    spin_unlock(&p->lock);
    p2m_sync(d);
    return rc;
}

int p2m_set_ram_type(struct domain *d, gfn_t g, enum p2m_type type)
{
    struct p2m *p = d->p2m;
    unsigned level;
    int rc = 0;

    if (!p2m_is_ram(type))
        return -EINVAL;
    if (g.n >= P2M_GFN_END)
        return -ENOENT;
    spin_lock(&p->lock);
    struct live_entry *pe = p->dead ? NULL : p2m_find(p, g.n, &level);
    if (!pe || !pte_is_ram(live_get(pe)))
        rc = -ENOENT;
    else if (pte_type(live_get(pe)) == type)
        type = P2M_NONE;            /* as it is: no flush */
    else if (!(pe = p2m_walk(p, g.n, 1)))
        rc = -ENOMEM;
    else {
        u64 m = pte_mfn(live_get(pe));
        rc = p2m_iommu_place(d, g.n, m, type == P2M_RAM, true);
        if (!rc)
            live_write(pe, p2m_leaf(m, type, 1));
    }
    spin_unlock(&p->lock);
    if (!rc && type == P2M_RAM_RO)
        p2m_sync(d);
    return rc;
}
