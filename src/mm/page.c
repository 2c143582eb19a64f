/* SPDX-License-Identifier: MIT */
/* References on frames (I-1). See block.h for the two places where they are counted. */
#include "mm/block.h"

static unsigned index_of(mfn_t m) { return (unsigned)(m.n % BLOCK_PAGES); }

static bool is_domain_slot(unsigned s) { return s != OWN_NONE && s != OWN_HEAP; }

/* Count one more on page i of b, which has an array. */
static int ref_locked(struct block *b, unsigned i)
{
    struct page *p = &b->pages[i];

    if (p->refs >= PAGE_REFS_MAX)
        return -EBUSY;
    if (p->refs++ == 0 && b->nr_refd++ == 0)
        block_busy(b);
    return 0;
}

static int get_owned_locked(struct domain *d, mfn_t m)
{
    struct block *b = block_of(m);
    unsigned i = index_of(m);

    if (!b || page_is_free(b, i) || !d->ram_slot || page_owner_slot(b, i) != d->ram_slot ||
        (b->pages && b->pages[i].state != PG_USED))
        return -EINVAL;
    if (!block_make_pages(b, 0))
        return -ENOMEM;
    return ref_locked(b, i);
}

int page_get(struct domain *d, mfn_t m)
{
    spin_lock(&ram_lock);
    int rc = get_owned_locked(d, m);
    spin_unlock(&ram_lock);
    return rc;
}

int page_get_short(mfn_t m)
{
    struct block *b = block_of(m);
    unsigned i = index_of(m);
    int rc = 0;

    if (!b)
        return -EINVAL;
    spin_lock(&ram_lock);
    if (page_is_free(b, i) || !is_domain_slot(page_owner_slot(b, i)))
        rc = -EINVAL;
    else if (b->anon >= PAGE_REFS_MAX)
        rc = -EBUSY;
    else
        b->anon++;
    spin_unlock(&ram_lock);
    return rc;
}

int page_get_heap(mfn_t m)
{
    struct block *b = block_of(m);
    unsigned i = index_of(m);
    int rc = 0;

    if (!b)
        return 0;
    spin_lock(&ram_lock);
    if (page_owner_slot(b, i) == OWN_HEAP && !page_is_free(b, i))
        rc = block_make_pages(b, 0) ? ref_locked(b, i) : -ENOMEM;
    spin_unlock(&ram_lock);
    return rc;
}

/* A given-up page lost its last reference. */
static void free_zombie(struct block *b, unsigned i)
{
    unsigned slot = b->pages[i].owner;

    b->nr_zombie--;
    if (is_domain_slot(slot)) {
        slot_domain(slot)->zombie_pages--;
        slot_put(slot, 1);
    }
    block_free_page(b, i);
}

static void put_locked(struct block *b, unsigned i)
{
    if (!b->pages || !b->pages[i].refs)
        panic("reference on frame %llx dropped that nobody took\n", (unsigned long long)block_mfn(b, i).n);
    if (--b->pages[i].refs)
        return;
    bool last = --b->nr_refd == 0;
    if (b->pages[i].state == PG_ZOMBIE)
        free_zombie(b, i);
    if (last && b->pages)
        block_idle(b);
}

void page_put(mfn_t m)
{
    struct block *b = block_of(m);

    spin_lock(&ram_lock);
    /* Reserved pages of the image, mapped into guests, have no count. */
    if (b && !(page_owner_slot(b, index_of(m)) == OWN_NONE && !page_is_free(b, index_of(m))))
        put_locked(b, index_of(m));
    spin_unlock(&ram_lock);
}

void page_put_short(mfn_t m)
{
    struct block *b = block_of(m);

    spin_lock(&ram_lock);
    if (!b->anon)
        panic("short reference on frame %llx dropped that nobody took\n", (unsigned long long)m.n);
    if (--b->anon == 0 && b->nr_parked)
        block_unpark(b);
    spin_unlock(&ram_lock);
}

struct domain *page_owner(mfn_t m)
{
    struct block *b = block_of(m);
    unsigned i = index_of(m);
    struct domain *d = NULL;

    if (!b)
        return NULL;
    spin_lock(&ram_lock);
    if (!page_is_free(b, i) && is_domain_slot(page_owner_slot(b, i)) && !(b->pages && b->pages[i].state != PG_USED))
        d = slot_domain(page_owner_slot(b, i));
    spin_unlock(&ram_lock);
    return d;
}

u64 dom_ram_zombies(const struct domain *d) { return read_once(&d->zombie_pages); }
