/* SPDX-License-Identifier: MIT */
/* Second stage of a domain: life, look-up, references for access. */
#include "call/call.h"
#include "cpu/percpu.h"
#include "mm/p2m_internal.h"

#define POOL_INITIAL 256u           /* pages, until the toolstack says something (it does, for every domain) */

int p2m_create(struct domain *d)
{
    struct p2m *p = kzalloc(sizeof(*p));

    if (!p)
        return -ENOMEM;
    spin_init(&p->lock, RANK_P2M);
    timer_init(&p->held_timer, p2m_held_timer, d);
    p->pool_pages = POOL_INITIAL;
    p->pool_floor = d->is_hwdom ? POOL_FLOOR_DOM0 : POOL_FLOOR;
    if (!ram_commit(p->pool_floor)) {
        kfree(p);
        return -ENOMEM;
    }
    p->pool_committed = p->pool_floor;
    p->root = (struct live_entry *)p2m_table_alloc(p);
    if (!p->root) {
        ram_uncommit(p->pool_committed);
        kfree(p);
        return -ENOMEM;
    }
    d->p2m = p;
    return 0;
}

paddr_t p2m_root(const struct domain *d) { return virt_to_phys(d->p2m->root); }
gfn_t p2m_max_gfn(const struct domain *d) { return GFN(read_once(&d->p2m->max_gfn)); }

/* ---- destruction ---- */

static void spend(unsigned *budget, unsigned n) { *budget -= MIN(*budget, n); }

/* Drop what leaf e holds. Where single pages of a block are described, each costs a step; so 1 GiB is given up block by
 * block. False: not all of it yet. */
static bool drop_leaf(struct domain *d, u64 e, unsigned level, unsigned *budget)
{
    unsigned order = MIN(level_order(level), (unsigned)ORDER_2M);
    u64 n = 1ULL << level_order(level), *done = &d->p2m->dropped;
    enum p2m_type t = pte_type(e);

    if (type_has_ref(t))
        page_put(MFN(pte_mfn(e)));
    for (; p2m_is_ram(t) && *done < n; *done += 1ULL << order) {
        if (!*budget)
            return false;
        spend(budget, dom_ram_free(d, MFN(pte_mfn(e) + *done), order));
    }
    *done = 0;
    return true;
}

/* Empty a table that nobody uses any more; *budget leaves and tables at most. True: it is empty. */
static bool tear_down(struct domain *d, struct live_entry *table, unsigned level, u64 gfn, unsigned *budget)
{
    unsigned end = level == 4 ? gfn_index(d->p2m->max_walked, 4) + 1 : 512;

    for (unsigned i = 0; i < end; i++) {
        u64 e = live_get(&table[i]), g = gfn | (u64)i << level_order(level);
        if (!(e & PTE_P))
            continue;
        if (!*budget)
            return false;
        if (pte_table(e, level)) {
            if (!tear_down(d, pte_down(e), level - 1, g, budget))
                return false;
            live_write(&table[i], 0);
            p2m_table_free(d->p2m, pte_down(e));
        } else {
            if (d->iommu) {         /* no device is attached any more: this only tidies up */
                iommu_unmap_range(d, GFN(g), level_order(level));
                iommu_flush(d);
            }
            if (!drop_leaf(d, e, level, budget))
                return false;
            live_write(&table[i], 0);
        }
        spend(budget, 1);
    }
    return true;
}

int p2m_destroy(struct domain *d)
{
    struct p2m *p = d->p2m;
    bool done = false;

    if (!p || !p->root)
        return 0;
    if (!p->dead) {
        spin_lock(&p->lock);
        p->dead = true;
        p2m_drop_held(d);
        spin_unlock(&p->lock);
        timer_stop_sync(&p->held_timer);        /* nobody sets it any more */
        smp_mb();
        p2m_sync(d);                /* from here on nobody looks at an entry but us */
    }
    while (!done) {
        unsigned budget = 1024;     /* I-16: about as long as freeing two full tables */
        spin_lock(&p->lock);
        done = tear_down(d, p->root, 4, 0, &budget);
        if (done) {
            p2m_table_free(p, p->root);
            p->root = NULL;
            ram_uncommit(p->pool_committed);
            p->pool_pages = p->pool_committed = 0;
        }
        spin_unlock(&p->lock);
        if (!done && call_preempt())
            return -ERESTART;
    }
    return dom_ram_claim(d, 0);
}

void p2m_free(struct domain *d)
{
    kfree(d->p2m);
    d->p2m = NULL;
}

/* ---- reading ---- */

/* Which domain's tables a CPU is reading without the lock. */
static struct { const struct domain *d; u8 pad[56]; } reader[NR_CPUS] __aligned(64);

const struct domain *p2m_enter(const struct domain *d)
{
    return atomic_xchg(&reader[this_cpu()->id].d, d);
}

void p2m_exit(const struct domain *prev) { store_release(&reader[this_cpu()->id].d, prev); }

void p2m_wait_readers(const struct domain *d)
{
    unsigned self = this_cpu()->id;

    smp_mb();
    for (unsigned i = 0; i < nr_cpus; i++)
        while (i != self && load_acquire(&reader[i].d) == d)
            cpu_relax();
}

/* Leaf that maps g, 0 if there is none; *mask gets the offset bits of its size in frames. Inside p2m_enter(). This
 * is every access to guest memory, hence spelt out level by level. */
static u64 leaf_of(const struct domain *d, u64 g, u64 *mask)
{
    const struct p2m *p = d->p2m;

    if (unlikely(!p || read_once(&p->dead) || g >= P2M_GFN_END))
        return 0;
    u64 e = live_read(&p->root[g >> 27]);
    if (unlikely(!(e & PTE_P)))
        return 0;
    e = live_read(&pte_down(e)[g >> 18 & 511]);
    *mask = (1UL << 18) - 1;
    if (!pte_table(e, 3))
        return e & PTE_P ? e : 0;
    e = live_read(&pte_down(e)[g >> 9 & 511]);
    *mask = (1UL << 9) - 1;
    if (!pte_table(e, 2))
        return e & PTE_P ? e : 0;
    e = live_read(&pte_down(e)[g & 511]);
    *mask = 0;
    return e & PTE_P ? e : 0;
}

/* The same, as the entry of the one frame. */
static u64 entry_of(const struct domain *d, gfn_t g, unsigned *order)
{
    u64 mask = 0, e = leaf_of(d, g.n, &mask);

    if (order)
        *order = mask ? fls64(mask) + 1 : 0;
    return e ? e + ((g.n & mask) << PAGE_SHIFT) : 0;
}

mfn_t p2m_lookup(struct domain *d, gfn_t g, enum p2m_type *type, unsigned *order)
{
    const struct domain *prev = p2m_enter(d);
    unsigned o = 0;
    u64 e = entry_of(d, g, &o);

    p2m_exit(prev);
    *type = e ? pte_type(e) : P2M_NONE;
    if (order)
        *order = o;
    return e ? MFN(pte_mfn(e)) : INVALID_MFN;
}

/* May the entry be used as RAM? */
static inline int check_access(u64 e, bool write)
{
    const unsigned memory = 1u << P2M_RAM | 1u << P2M_RAM_RO | 1u << P2M_GRANT_RW | 1u << P2M_GRANT_RO |
                            1u << P2M_FOREIGN;

    if (!e)
        return -ENOENT;
    return (memory >> pte_type(e) & 1) && (!write || (e & PTE_RW)) ? 0 : -EPERM;
}

mfn_t p2m_peek(const struct domain *d, gfn_t g, bool write)
{
    u64 e = entry_of(d, g, NULL);

    return check_access(e, write) ? INVALID_MFN : MFN(pte_mfn(e));
}

struct guest_mem *p2m_view_find(struct p2m_view *w, gpa_t at, bool write)
{
    u64 mask = 0, e = leaf_of(w->d, at >> PAGE_SHIFT, &mask);

    if (check_access(e, write)) {
        w->size = 0;
        return NULL;
    }
    w->size = (mask + 1) << PAGE_SHIFT;
    w->start = at & ~(w->size - 1);
    w->va = guest_mem(MFN(pte_mfn(e)));     /* frames in a row follow one another in the window */
    w->write = e & PTE_RW;
    return guest_mem_at(w->va, at - w->start);
}

int p2m_get_page(struct domain *d, gfn_t g, bool write, mfn_t *m)
{
    const struct domain *prev = p2m_enter(d);
    u64 e = entry_of(d, g, NULL);
    int rc = check_access(e, write);

    if (!rc) {
        *m = MFN(pte_mfn(e));
        rc = page_get_short(*m);
    }
    p2m_exit(prev);
    return rc == -EINVAL ? -EPERM : rc;
}

int p2m_get_owned(struct domain *d, gfn_t g, bool write, mfn_t *m)
{
    const struct domain *prev = p2m_enter(d);
    u64 e = entry_of(d, g, NULL);
    int rc = check_access(e, write);

    if (!rc && !p2m_is_ram(pte_type(e)))
        rc = -EPERM;
    if (!rc) {
        *m = MFN(pte_mfn(e));
        rc = page_get(d, *m);
    }
    p2m_exit(prev);
    return rc == -EINVAL ? -EPERM : rc;
}
