/* SPDX-License-Identifier: MIT */
/* Adding mappings: RAM in extents, records page by page, identity ranges. Check first: tables, IOMMU entries and
 * references are there before the one store that makes the mapping. */
#include "mm/p2m_internal.h"

static void note_max(struct p2m *p, u64 last_gfn)
{
    if (last_gfn > p->max_gfn)
        p->max_gfn = last_gfn;
}

/* Fill an empty entry e of `level`, or the empty tables that are left under it. */
static void fill(struct live_entry *pe, u64 e, unsigned level, u64 mfn, enum p2m_type type)
{
    if (!pte_table(e, level)) {
        live_write(pe, p2m_leaf(mfn, type, level));
        return;
    }
    struct live_entry *t = pte_down(e);
    for (unsigned i = 0; i < 512; i++)
        fill(&t[i], live_get(&t[i]), level - 1, mfn + ((u64)i << level_order(level - 1)), type);
}

/* Map one aligned piece. -EEXIST, -ENOMEM; nothing changed then (but tables may have been made). */
static int map_piece(struct domain *d, u64 gfn, u64 mfn, unsigned level, enum p2m_type type)
{
    struct p2m *p = d->p2m;
    unsigned l;

    /* A larger leaf covers gfn? Do not let p2m_walk() split it. */
    struct live_entry *pe = p2m_find(p, gfn, &l);
    if (live_get(pe) & PTE_P)
        return -EEXIST;
    pe = p2m_walk(p, gfn, level);
    if (!pe)
        return -ENOMEM;
    u64 e = live_get(pe);
    if (!p2m_subtree_empty(e, level))
        return -EEXIST;
    if (level == 3 && !p2m_gbpages() && !pte_table(e, 3)) {
        if (!p2m_walk(p, gfn, 2))
            return -ENOMEM;
        e = live_get(pe);
    }
    if (d->iommu) {
        if (level > 1)
            p2m_drop_held(d);
        else
            p2m_settle(d, gfn);
        int rc = iommu_map(d, GFN(gfn), MFN(mfn), level_order(level), type != P2M_RAM_RO);
        if (rc)
            return rc;
    }
    fill(pe, e, level, mfn, type);
    note_max(p, gfn + (1ULL << level_order(level)) - 1);
    return 0;
}

int p2m_map_ram(struct domain *d, gfn_t g, mfn_t m, unsigned order)
{
    struct p2m *p = d->p2m;
    u64 n = 1ULL << order;

    if (order > ORDER_1G || order % 9 || (g.n & (n - 1)) || g.n >= P2M_GFN_END)
        return -EINVAL;
    spin_lock(&p->lock);
    int rc = p->dead ? -EINVAL : map_piece(d, g.n, m.n, order / 9 + 1, P2M_RAM);
    spin_unlock(&p->lock);
    return rc;
}

/* One 4 KiB IOMMU entry. An existing one is removed first, so that the flush that follows knows of the change. */
int p2m_iommu_place(struct domain *d, u64 gfn, u64 mfn, bool write, bool present)
{
    int rc = 0;

    if (!d->iommu)
        return 0;
    p2m_settle(d, gfn);
    if (present) {
        rc = iommu_split(d, GFN(gfn), ORDER_4K);
        if (rc)
            return rc;
        iommu_unmap(d, GFN(gfn));
    }
    rc = iommu_map(d, GFN(gfn), MFN(mfn), 0, write);
    if (rc && present)
        panic("d%u gfn %llx: IOMMU entry lost\n", d->id, (unsigned long long)gfn);
    return rc;
}

/* Put `leaf` at gfn, where nothing or (replace) RAM is. *old gets the RAM frame that was there. Lock held. */
static int place(struct domain *d, u64 gfn, u64 mfn, enum p2m_type type, bool replace, mfn_t *old)
{
    struct p2m *p = d->p2m;
    unsigned level;

    if (p->dead)
        return -EINVAL;
    u64 e = live_get(p2m_find(p, gfn, &level));
    if ((e & PTE_P) && !replace)
        return -EEXIST;
    if ((e & PTE_P) && !p2m_is_ram(pte_type(e)))
        return -EBUSY;
    struct live_entry *pe = p2m_walk(p, gfn, 1);
    if (!pe)
        return -ENOMEM;
    e = live_get(pe);
    bool write = type != P2M_GRANT_RO && type != P2M_RAM_RO;
    int rc = p2m_iommu_place(d, gfn, mfn, write, e & PTE_P);
    if (rc)
        return rc;
    *old = e & PTE_P ? MFN(pte_mfn(e)) : INVALID_MFN;
    live_write(pe, p2m_leaf(mfn, type, 1));
    note_max(p, gfn);
    return 0;
}

int p2m_map_record(struct domain *d, gfn_t g, mfn_t m, enum p2m_type type, bool replace)
{
    struct p2m *p = d->p2m;
    mfn_t old = INVALID_MFN;
    int rc;

    if (p2m_is_ram(type) || type == P2M_NONE || g.n >= P2M_GFN_END || m.n >= PTE_ADDR >> PAGE_SHIFT)
        return -EINVAL;
    /* A hypervisor page stays while a guest can reach it, also after its owner let go of it (XSA-255 class). */
    if (type == P2M_SPECIAL && (rc = page_get_heap(m)) != 0)
        return rc;
    spin_lock(&p->lock);
    rc = place(d, g.n, m.n, type, replace, &old);
    spin_unlock(&p->lock);
    if (rc && type == P2M_SPECIAL)
        page_put(m);
    if (mfn_valid(old)) {
        p2m_sync(d);
        dom_ram_free(d, old, 0);
    }
    return rc;
}

int p2m_move_ram(struct domain *d, gfn_t from, gfn_t to)
{
    struct p2m *p = d->p2m;
    mfn_t old = INVALID_MFN, m = INVALID_MFN;
    struct live_entry *pf;
    unsigned level;
    int rc = 0;

    if (from.n >= P2M_GFN_END)
        return -ENOENT;
    if (to.n >= P2M_GFN_END)
        return -EINVAL;
    spin_lock(&p->lock);
    pf = p->dead ? NULL : p2m_find(p, from.n, &level);
    if (!pf || !pte_is_ram(live_get(pf)))
        rc = -ENOENT;
    else if (from.n != to.n && (!(pf = p2m_walk(p, from.n, 1)) || (d->iommu && iommu_split(d, from, ORDER_4K))))
        rc = -ENOMEM;
    else if (from.n != to.n) {
        u64 e = live_get(pf);
        enum p2m_type type = pte_type(e);
        m = MFN(pte_mfn(e));
        rc = place(d, to.n, m.n, type, true, &old);
        if (!rc) {                  /* place() makes tables, it never moves one: pf is still the entry */
            live_write(pf, 0);
            if (d->iommu)
                iommu_unmap(d, from);
        }
    }
    spin_unlock(&p->lock);
    if (!rc && mfn_valid(m)) {
        p2m_sync(d);
        if (mfn_valid(old))
            dom_ram_free(d, old, 0);
    }
    return rc;
}

/* Level for the piece at gfn of an identity range that ends at `end`. */
static unsigned piece_level(u64 gfn, u64 end)
{
    for (unsigned l = p2m_gbpages() ? 3 : 2; l > 1; l--) {
        u64 n = 1ULL << level_order(l);
        if (!(gfn & (n - 1)) && end - gfn >= n)
            return l;
    }
    return 1;
}

int p2m_map_identity(struct domain *d, paddr_t start, paddr_t end, enum p2m_type type)
{
    struct p2m *p = d->p2m;
    u64 s = start >> PAGE_SHIFT, e = ROUND_UP(end, PAGE_SIZE) >> PAGE_SHIFT, gfn = s;
    unsigned level, l;
    int rc = 0;

    if (type_has_ref(type) || type == P2M_NONE || e > P2M_GFN_END || s > e)
        return -EINVAL;
    spin_lock(&p->lock);
    while (gfn < e && !rc) {
        u64 v = live_get(p2m_find(p, gfn, &l));
        u64 off = gfn & ((1ULL << level_order(l)) - 1);
        if ((v & PTE_P) && pte_type(v) == type && pte_mfn(v) + off == gfn) {
            gfn += (1ULL << level_order(l)) - off;      /* the same mapping is there already */
            continue;
        }
        level = piece_level(gfn, e);
        rc = map_piece(d, gfn, gfn, level, type);
        /* Something smaller may be mapped inside: try smaller pieces, a conflict at 4 KiB is one. */
        for (; rc == -EEXIST && level > 1; )
            rc = map_piece(d, gfn, gfn, --level, type);
        if (!rc)
            gfn += 1ULL << level_order(level);
    }
    spin_unlock(&p->lock);
    return rc;
}
