/* SPDX-License-Identifier: MIT */
/* Second-level page tables of the AMD IOMMU. Entries change by one aligned store each (sync/live.h, XSA-347); a new table
 * is complete before it is linked. */
#include "iommu/amd.h"
#include "mm/mm.h"

/* Order of the page that an entry of `level` maps (level 1: 4 KiB). */
static unsigned level_order(unsigned level) { return (level - 1) * 9; }
static unsigned index_at(u64 dfn, unsigned level) { return dfn >> level_order(level) & (ENTRIES - 1); }
static struct live_entry *table_of(u64 e) { return phys_to_virt(e & PTE_ADDR); }
static bool is_table(u64 e) { return e & PTE_P && PTE_NEXT_OF(e); }

static u64 leaf(u64 mfn, bool write)
{
    return PTE_P | PTE_IR | (write ? PTE_IW : 0) | mfn << PAGE_SHIFT;
}

static u64 link_to(const u64 *table, unsigned level)
{
    return PTE_P | PTE_IR | PTE_IW | PTE_NEXT(level) | virt_to_phys(table);
}

/* Not linked yet. */
static u64 *new_table(struct iommu_domain *t)
{
    u64 *p = page_alloc();
    if (p) t->table_pages++;
    return p;
}

/* Replace the page that *e (an entry of `level`, `old`) maps by a table of smaller pages with the same effect. */
static int split_entry(struct iommu_domain *t, struct live_entry *e, u64 old, unsigned level)
{
    u64 *sub = new_table(t);
    if (!sub) return -ENOMEM;
    for (unsigned i = 0; i < ENTRIES; i++)
        sub[i] = old + ((u64)i << (level_order(level - 1) + PAGE_SHIFT));
    live_write(e, link_to(sub, level - 1));
    return 0;
}

/* Entry of `level` for dfn; tables are made on the way if `make`, pages in the way are split. */
static int walk(struct iommu_domain *t, u64 dfn, unsigned level, bool make, struct live_entry **out)
{
    struct live_entry *table = t->root;
    for (unsigned l = TABLE_LEVELS; l > level; l--) {
        struct live_entry *pe = &table[index_at(dfn, l)];
        u64 e = live_get(pe);
        if (!is_table(e)) {
            u64 *sub = NULL;
            if (!(e & PTE_P) && !(sub = make ? new_table(t) : NULL)) return make ? -ENOMEM : -ENOENT;
            if (sub) live_write(pe, link_to(sub, l - 1));
            else if (split_entry(t, pe, e, l)) return -ENOMEM;
            e = live_get(pe);
        }
        table = table_of(e);
    }
    *out = &table[index_at(dfn, level)];
    return 0;
}

static void free_below(struct iommu_domain *t, struct live_entry *table, unsigned level)
{
    for (unsigned i = 0; level > 1 && i < ENTRIES; i++) {
        u64 e = live_get(&table[i]);
        if (is_table(e)) free_below(t, table_of(e), level - 1);
    }
    page_free(table);
    t->table_pages--;
}

int table_map(struct iommu_domain *t, u64 dfn, u64 mfn, unsigned order, bool write)
{
    unsigned level = order / 9 + 1;
    struct live_entry *e;
    int rc = walk(t, dfn, level, true, &e);
    if (rc) return rc;
    /* Where smaller pages were mapped before, their table is full of removed entries: keep it and fill it, as
     * freeing it would need an invalidation first (XSA-480). */
    if (is_table(live_get(e))) {
        for (unsigned i = 0; i < ENTRIES; i++) {
            u64 step = 1ULL << level_order(level - 1);
            rc = table_map(t, dfn + i * step, mfn + i * step, level_order(level - 1), write);
            if (rc) return rc;
        }
        return 0;
    }
    live_write(e, leaf(mfn, write));
    return 0;
}

int table_split(struct iommu_domain *t, u64 dfn, unsigned order)
{
    struct live_entry *e;
    int rc = walk(t, dfn, order / 9 + 1, false, &e);
    return rc == -ENOENT ? 0 : rc;
}

/* Level 1 entry of dfn, which a larger page maps now; NULL if there is no memory for the split. */
static __attribute__((noinline)) struct live_entry *small_entry(struct iommu_domain *t, u64 dfn)
{
    struct live_entry *e;
    return walk(t, dfn, 1, false, &e) ? NULL : e;
}

bool table_unmap(struct iommu_domain *t, u64 dfn)
{
    struct live_entry *pe = &t->root[index_at(dfn, TABLE_LEVELS)];
    u64 e = live_get(pe);
    unsigned l;
#pragma GCC unroll 3
    for (l = TABLE_LEVELS; l > 1; l--) {
        if (!is_table(e)) break;
        pe = &table_of(e)[index_at(dfn, l - 1)];
        e = live_get(pe);
    }
    if (!(e & PTE_P)) return false;
    if (unlikely(l > 1) && !(pe = small_entry(t, dfn))) return false;
    live_write(pe, 0);
    return true;
}

/* Clear *pe, an entry of `level`, and what is under it. Tables stay (see table_map()). */
static bool clear_entry(struct live_entry *pe, unsigned level)
{
    u64 e = live_get(pe);
    bool any = false;
    if (is_table(e)) {
        for (unsigned i = 0; i < ENTRIES; i++) any |= clear_entry(&table_of(e)[i], level - 1);
        return any;
    }
    if (!(e & PTE_P)) return false;
    live_write(pe, 0);
    return true;
}

bool table_unmap_range(struct iommu_domain *t, u64 dfn, unsigned order)
{
    struct live_entry *e;
    return !walk(t, dfn, order / 9 + 1, false, &e) && clear_entry(e, order / 9 + 1);
}

u64 table_lookup(const struct iommu_domain *t, u64 dfn, bool *write)
{
    const struct live_entry *table = t->root;
    for (unsigned l = TABLE_LEVELS; l; l--) {
        u64 e = live_get(&table[index_at(dfn, l)]);
        if (!(e & PTE_P)) return NO_FRAME;
        if (!is_table(e)) {
            *write = e & PTE_IW;
            return ((e & PTE_ADDR) >> PAGE_SHIFT) + (dfn & ((1ULL << level_order(l)) - 1));
        }
        table = table_of(e);
    }
    return NO_FRAME;
}

void table_free(struct iommu_domain *t)
{
    if (t->root) free_below(t, t->root, TABLE_LEVELS);
    t->root = NULL;
}
