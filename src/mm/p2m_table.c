/* SPDX-License-Identifier: MIT */
/* Second-stage tables: entries, splitting, walking, and the paging pool that pays for table pages. */
#include "mm/p2m_internal.h"

/* ---- pool. The toolstack asks for the worst case, of which a guest uses a few pages: only a floor is committed
 * ahead, the rest page by page. A machine without memory then refuses a split, which has changed nothing. ---- */

u64 p2m_pool_get(const struct domain *d) { return d->p2m ? d->p2m->pool_pages << PAGE_SHIFT : 0; }

/* Commitment of n pages in place of the present one. */
static bool recommit(struct p2m *p, u64 n)
{
    if (n > p->pool_committed && !ram_commit(n - p->pool_committed))
        return false;
    if (n < p->pool_committed)
        ram_uncommit(p->pool_committed - n);
    p->pool_committed = n;
    return true;
}

int p2m_pool_set(struct domain *d, u64 bytes)
{
    struct p2m *p = d->p2m;
    u64 pages = (bytes >> PAGE_SHIFT) + (bytes % PAGE_SIZE != 0);
    u64 floor = MIN(pages, (u64)(d->is_hwdom ? POOL_FLOOR_DOM0 : POOL_FLOOR));
    int rc = -ENOMEM;

    spin_lock(&p->lock);
    /* A promise that could not be kept even now is refused. */
    if (!p->dead && pages >= p->pool_used && (pages <= p->pool_pages || recommit(p, pages)) &&
        recommit(p, MAX(floor, p->pool_used))) {
        p->pool_pages = pages;
        p->pool_floor = floor;
        rc = 0;
    }
    spin_unlock(&p->lock);
    return rc;
}

u64 *p2m_table_alloc(struct p2m *p)
{
    if (p->pool_used >= p->pool_pages || (p->pool_used >= p->pool_committed && !recommit(p, p->pool_used + 1)))
        return NULL;
    u64 *t = page_alloc_committed();
    if (t)
        p->pool_used++;
    return t;
}

void p2m_table_free(struct p2m *p, u64 *table)
{
    page_free_committed(table);
    p->pool_used--;
    if (p->pool_committed > p->pool_floor) {
        ram_uncommit(1);
        p->pool_committed--;
    }
}

/* ---- entries ---- */

#define R_W (PTE_P | PTE_US | PTE_A | PTE_D | PTE_RW)
#define R_O (PTE_P | PTE_US | PTE_A | PTE_D)
static const u64 type_bits[] = {
    [P2M_RAM] = R_W, [P2M_RAM_RO] = R_O, [P2M_GRANT_RW] = R_W, [P2M_GRANT_RO] = R_O, [P2M_FOREIGN] = R_W,
    [P2M_SPECIAL] = R_W, [P2M_MMIO] = R_W | PTE_PCD | PTE_PWT, [P2M_IDENT] = R_W,
};

u64 p2m_leaf(u64 mfn, enum p2m_type type, unsigned level)
{
    return mfn << PAGE_SHIFT | type_bits[type] | (u64)type << PTE_TYPE_SHIFT | (level > 1 ? PTE_PS : 0);
}

#ifdef HOSTED
bool p2m_gbpages(void) { return true; }
#else
/* CPUID 8000_0001 EDX bit 26. */
bool p2m_gbpages(void)
{
    static int known;
    u32 a = 0x80000001, b, c = 0, d;

    if (!known) {
        __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
        known = d >> 26 & 1 ? 1 : -1;
    }
    return known > 0;
}
#endif

/* Replace the leaf *pe of `level` by a table that maps the same. The table is complete before one store links it
 * (I-14); the translation does not change, so nothing has to be flushed. */
static bool split(struct p2m *p, u64 *pe, unsigned level)
{
    u64 e = *pe, *t = p2m_table_alloc(p);

    if (!t)
        return false;
    u64 step = PAGE_SIZE << level_order(level - 1);
    u64 sub = level == 2 ? e & ~PTE_PS : e;
    for (unsigned i = 0; i < 512; i++)
        t[i] = sub + i * step;
    smp_wmb();
    write_once(pe, virt_to_phys(t) | PTE_TABLE);
    return true;
}

u64 *p2m_find(const struct p2m *p, u64 gfn, unsigned *level)
{
    u64 *t = p->root;

#pragma GCC unroll 3
    for (unsigned l = 4; l > 1; l--) {
        u64 *pe = &t[gfn_index(gfn, l)], e = read_once(pe);
        if (!pte_table(e, l)) {
            *level = l;
            return pe;
        }
        t = pte_down(e);
    }
    *level = 1;
    return &t[gfn_index(gfn, 1)];
}

u64 *p2m_walk(struct p2m *p, u64 gfn, unsigned level)
{
    u64 *t = p->root;

    if (gfn > p->max_walked)
        p->max_walked = gfn;
    for (unsigned l = 4; ; l--) {
        u64 *pe = &t[gfn_index(gfn, l)];
        if (l == level)
            return pe;
        if (pte_leaf(*pe, l)) {
            if (!split(p, pe, l))
                return NULL;
        } else if (!*pe) {
            u64 *n = p2m_table_alloc(p);
            if (!n)
                return NULL;
            smp_wmb();
            write_once(pe, virt_to_phys(n) | PTE_TABLE);
        }
        t = pte_down(*pe);
    }
}

bool p2m_subtree_empty(u64 e, unsigned level)
{
    if (!(e & PTE_P))
        return true;
    if (!pte_table(e, level))
        return false;
    const u64 *t = pte_down(e);
    for (unsigned i = 0; i < 512; i++)
        if (!p2m_subtree_empty(t[i], level - 1))
            return false;
    return true;
}
