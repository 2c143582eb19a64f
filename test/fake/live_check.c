/* SPDX-License-Identifier: MIT */
/* See live_check.h. */
#include "live_check.h"
#include "fake.h"
#include "iommu/amd.h"
#include "mm/p2m_internal.h"

#define MAX_TABLES 128
#define FRAME(e) (((e) & PTE_ADDR) >> PAGE_SHIFT)
#define FAIL(...) panic("live table: " __VA_ARGS__)

/* The tables that can be reached from a root, as they were at the last look. */
struct tree {
    const struct live_entry *root;
    bool (*is_table)(u64 e, unsigned level);
    u64 shape;                      /* bits that say where an entry points and how large it is; the rest are rights */
    unsigned n;
    struct { const struct live_entry *at; unsigned level; u64 was[512]; } table[MAX_TABLES];
};
static struct tree tree[2];
static struct domain *dom;
static unsigned stores;

static bool iommu_is_table(u64 e, unsigned level) { return (e & PTE_P) && PTE_NEXT_OF(e); }
static const struct live_entry *down(u64 e) { return phys_to_virt(e & PTE_ADDR); }

static void collect(struct tree *t, const struct live_entry *table, unsigned level)
{
    if (t->n == MAX_TABLES)
        FAIL("more than %u tables\n", MAX_TABLES);
    unsigned k = t->n++;
    t->table[k].at = table;
    t->table[k].level = level;
    for (unsigned i = 0; i < 512; i++) {
        u64 e = t->table[k].was[i] = live_get(&table[i]);
        if (t->is_table(e, level))
            collect(t, down(e), level - 1);
    }
}

static void look(struct tree *t)
{
    t->n = 0;
    if (t->root)
        collect(t, t->root, 4);
}

static bool is_empty(const struct tree *t, const struct live_entry *table, unsigned level)
{
    for (unsigned i = 0; i < 512; i++) {
        u64 e = live_get(&table[i]);
        if (t->is_table(e, level) ? !is_empty(t, down(e), level - 1) : (e & PTE_P) != 0)
            return false;
    }
    return true;
}

/* Does `table` map what leaf `old` of the level above mapped, with the same rights? */
static bool same_as_leaf(const struct tree *t, const struct live_entry *table, unsigned level, u64 old)
{
    for (u64 i = 0; i < 512; i++) {
        u64 e = live_get(&table[i]);
        if (!(e & PTE_P) || t->is_table(e, level) || FRAME(e) != FRAME(old) + (i << level_order(level)) ||
            (e & ~t->shape) != (old & ~t->shape))
            return false;
    }
    return true;
}

static void check_store(const struct tree *t, unsigned level, u64 old, u64 now)
{
    if (t->is_table(old, level)) {
        if (!dom->p2m->dead)
            FAIL("a table of level %u is unlinked\n", level - 1);
    } else if (t->is_table(now, level)) {
        if (old & PTE_P ? !same_as_leaf(t, down(now), level - 1, old) : !is_empty(t, down(now), level - 1))
            FAIL("a table of level %u is linked that is not complete\n", level - 1);
    }
}

static void changed(const struct live_entry *e, u64 old, u64 now)
{
    for (struct tree *t = tree; t < tree + 2; t++) {
        bool found = false;
        for (unsigned k = 0; k < t->n; k++) {
            bool here = e >= t->table[k].at && e < t->table[k].at + 512;
            for (unsigned i = 0; i < 512; i++)
                if (!(here && e == t->table[k].at + i) && live_get(&t->table[k].at[i]) != t->table[k].was[i])
                    FAIL("entry %u of a table of level %u changed by no store\n", i, t->table[k].level);
            if (here && old != t->table[k].was[e - t->table[k].at])
                FAIL("an entry changed twice\n");
            if (here)
                check_store(t, t->table[k].level, old, now);
            found |= here;
        }
        if (found) {
            stores++;
            look(t);
        }
    }
}

void live_check_start(struct domain *d)
{
    dom = d;
    stores = 0;
    tree[0].root = d->p2m->root;
    tree[0].is_table = pte_table;
    tree[0].shape = PTE_ADDR | PTE_PS;
    tree[1].root = d->iommu ? d->iommu->root : NULL;
    tree[1].is_table = iommu_is_table;
    tree[1].shape = PTE_ADDR | PTE_NEXT(7);
    look(&tree[0]);
    look(&tree[1]);
    fake_live_hook = changed;
}

unsigned live_check_end(void)
{
    fake_live_hook = NULL;
    for (struct tree *t = tree; t < tree + 2; t++)
        for (unsigned k = 0; k < t->n; k++)
            for (unsigned i = 0; i < 512; i++)
                if (live_get(&t->table[k].at[i]) != t->table[k].was[i])
                    FAIL("entry %u of a table of level %u changed by no store\n", i, t->table[k].level);
    return stores;
}
