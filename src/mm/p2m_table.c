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

void p2m_table_free(struct p2m *p, struct live_entry *table)
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
/* Device memory is "UC-", entry 2 of the host's PAT (cpu/boot.c): never cached, but the PAT of dom0's own tables may
 * make it write-combining, which framebuffers need. With UC nothing could (APM 2, 15.25.8, guest and host PAT). */
static const u64 type_bits[] = {
    [P2M_RAM] = R_W, [P2M_RAM_RO] = R_O, [P2M_GRANT_RW] = R_W, [P2M_GRANT_RO] = R_O, [P2M_FOREIGN] = R_W,
    [P2M_SPECIAL] = R_W, [P2M_MMIO] = R_W | PTE_PCD, [P2M_IDENT] = R_W,
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

/* Replace the leaf e of `level`, which is in *pe, by a table that maps the same. The table is complete before one store links it
 * (I-14); the translation does not change, so nothing has to be flushed. */
static bool split(struct p2m *p, struct live_entry *pe, u64 e, unsigned level)
{
    u64 *t = p2m_table_alloc(p);

    if (!t)
        return false;
    u64 step = PAGE_SIZE << level_order(level - 1);
    u64 sub = level == 2 ? e & ~PTE_PS : e;
    for (unsigned i = 0; i < 512; i++)
        t[i] = sub + i * step;
    live_write(pe, virt_to_phys(t) | PTE_TABLE);
    return true;
}

/* A table without mappings at *pe, which is empty. */
static bool link_empty(struct p2m *p, struct live_entry *pe)
{
    u64 *t = p2m_table_alloc(p);

    if (t)
        live_write(pe, virt_to_phys(t) | PTE_TABLE);
    return t;
}

struct live_entry *p2m_walk(struct p2m *p, u64 gfn, unsigned level)
{
    struct live_entry *t = p->root;

    if (gfn > p->max_walked)
        p->max_walked = gfn;
    for (unsigned l = 4; ; l--) {
        struct live_entry *pe = &t[gfn_index(gfn, l)];
        if (l == level)
            return pe;
        u64 e = live_get(pe);
        if (!pte_table(e, l)) {
            if (e ? !split(p, pe, e, l) : !link_empty(p, pe))
                return NULL;
            e = live_get(pe);
        }
        t = pte_down(e);
    }
}

bool p2m_subtree_empty(u64 e, unsigned level)
{
    if (!(e & PTE_P))
        return true;
    if (!pte_table(e, level))
        return false;
    const struct live_entry *t = pte_down(e);
    for (unsigned i = 0; i < 512; i++)
        if (!p2m_subtree_empty(live_get(&t[i]), level - 1))
            return false;
    return true;
}
