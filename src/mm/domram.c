/* SPDX-License-Identifier: MIT */
/* RAM of domains: extents given out scrubbed, taken back, limits (max_pages, commitments, claims). */
#include "mm/block.h"

/* ---- owner slots: descriptors name a domain by a small number, valid while it owns or has zombies ---- */
#define SLOTS_PER_PAGE (PAGE_SIZE / sizeof(struct ram_slot))
static struct ram_slot *slot_page[MAX_SLOTS / SLOTS_PER_PAGE];

void slots_reset(void) { memset(slot_page, 0, sizeof(slot_page)); }

static struct ram_slot *slot_entry(unsigned slot)
{
    return &slot_page[slot / SLOTS_PER_PAGE][slot % SLOTS_PER_PAGE];
}

struct domain *slot_domain(unsigned slot) { return slot_entry(slot)->d; }

unsigned slot_get(struct domain *d, u64 n)
{
    if (!d->ram_slot) {
        unsigned s;
        for (s = 1; s < MAX_SLOTS; s++) {
            struct ram_slot **page = &slot_page[s / SLOTS_PER_PAGE];
            if (!*page) {
                *page = heap_alloc_locked(0, d->outstanding);
                if (!*page)
                    return 0;
                clear_pages(*page, 1);
            }
            if (!slot_entry(s)->d)
                break;
        }
        if (s == MAX_SLOTS)
            return 0;
        slot_entry(s)->d = d;
        d->ram_slot = (u16)s;
    }
    slot_entry(d->ram_slot)->pages += n;
    return d->ram_slot;
}

void slot_put(unsigned slot, u64 n)
{
    struct ram_slot *e = slot_entry(slot);

    e->pages -= n;
    if (!e->pages) {
        e->d->ram_slot = 0;
        e->d = NULL;
    }
}

/* ---- allocation ---- */

/* May d have n more pages out of free memory? (XSA-385: subtraction form, 64 bits.) */
static bool may_alloc(const struct domain *d, u64 n)
{
    u64 reserved = ram.claimed - d->outstanding + ram_backing();

    if (d->state != DOM_ALIVE)      /* nothing is given to a dying domain (XSA-410) */
        return false;
    if (d->tot_pages > d->max_pages || n > d->max_pages - d->tot_pages)
        return false;
    return ram.free >= reserved && ram.free - reserved >= n;
}

static void count_alloc(struct domain *d, u64 n)
{
    u64 c = MIN(n, d->outstanding);

    atomic_add(&d->tot_pages, n);
    d->outstanding -= c;
    ram.claimed -= c;
}

/* Topmost GiB that is wholly free, as its first block; NULL if none. */
static struct block *find_gig(void)
{
    for (u64 g = nr_blocks / BLOCK_PAGES; g--; )
        if (gig_free[g] == BLOCK_PAGES)
            return &blocks[g * BLOCK_PAGES];
    return NULL;
}

/* Slot of d if it may have n more pages; 0 if not. May use memory for the slot table, so look for blocks later. */
static unsigned admit(struct domain *d, u64 n) { return may_alloc(d, n) ? slot_get(d, n) : 0; }

static mfn_t alloc_1g(struct domain *d)
{
    u64 dirty[BLOCK_WORDS] = { 0 };

    spin_lock(&ram_lock);
    unsigned slot = admit(d, 1UL << ORDER_1G);
    struct block *b = slot ? find_gig() : NULL;
    if (!b) {
        if (slot)
            slot_put(slot, 1UL << ORDER_1G);
        spin_unlock(&ram_lock);
        return INVALID_MFN;
    }
    for (unsigned k = 0; k < BLOCK_PAGES; k++) {
        if (!(b[k].flags & BF_CLEAN))
            bit_set(dirty, k);
        block_take(&b[k], slot, true);
    }
    count_alloc(d, 1UL << ORDER_1G);
    spin_unlock(&ram_lock);
    for (unsigned k = 0; k < BLOCK_PAGES; k++)
        if (bit_test(dirty, k))
            clear_pages(frame_map(block_mfn(&b[k], 0)), BLOCK_PAGES);
    return block_mfn(b, 0);
}

static mfn_t alloc_2m(struct domain *d)
{
    spin_lock(&ram_lock);
    unsigned slot = admit(d, BLOCK_PAGES);
    if (!slot || list_empty(&free_blocks)) {
        if (slot)
            slot_put(slot, BLOCK_PAGES);
        spin_unlock(&ram_lock);
        return INVALID_MFN;
    }
    struct block *b = list_entry(free_blocks.next, struct block, node);
    bool clean = b->flags & BF_CLEAN;
    block_take(b, slot, true);
    count_alloc(d, BLOCK_PAGES);
    spin_unlock(&ram_lock);
    if (!clean)
        clear_pages(frame_map(block_mfn(b, 0)), BLOCK_PAGES);
    return block_mfn(b, 0);
}

/* A block with a free page for d, owner `slot`: one that it has pages in already, else a whole new one, else any other
 * partly used one (whose array tells the owners apart; a claim pays for it). NULL if there is none or no memory for the
 * array. */
static struct block *find_block_for_page(const struct domain *d, unsigned slot)
{
    struct list *l, *next;
    unsigned tries = 8;

    list_for_each(l, &partial_blocks) {
        struct block *b = list_entry(l, struct block, node);
        if (b->owner == slot)
            return b;
        if (!--tries)
            break;
    }
    if (!list_empty(&free_blocks)) {
        struct block *b = list_entry(free_blocks.next, struct block, node);
        block_take(b, slot, false);
        return b;
    }
    tries = 64;
    list_for_each_safe(l, next, &partial_blocks) {
        struct block *b = list_entry(l, struct block, node);
        if (b->owner == slot || (block_make_pages(b, d->outstanding) && b->nr_free))
            return b;
        if (!--tries)
            break;
    }
    return NULL;
}

static mfn_t alloc_4k(struct domain *d)
{
    spin_lock(&ram_lock);
    unsigned slot = admit(d, 1);
    struct block *b = slot ? find_block_for_page(d, slot) : NULL;
    if (b && b->pages && !may_alloc(d, 1))
        b = NULL;                       /* asked again: the array may have cost a page */
    if (!b) {
        if (slot)
            slot_put(slot, 1);
        spin_unlock(&ram_lock);
        return INVALID_MFN;
    }
    int i = block_find_run(b->free, 0);
    block_take_page(b, (unsigned)i, slot);
    count_alloc(d, 1);
    spin_unlock(&ram_lock);
    clear_pages(frame_map(block_mfn(b, (unsigned)i)), 1);
    return block_mfn(b, (unsigned)i);
}

mfn_t dom_ram_alloc(struct domain *d, unsigned order)
{
    if (fail_point())
        return INVALID_MFN;
    switch (order) {
    case ORDER_4K: return alloc_4k(d);
    case ORDER_2M: return alloc_2m(d);
    case ORDER_1G: return alloc_1g(d);
    default: return INVALID_MFN;
    }
}

bool dom_ram_prescrub(const struct domain *d, unsigned order)
{
    struct block *b, *dirty = NULL;

    if (order != ORDER_1G)
        return false;
    spin_lock(&ram_lock);
    /* Not for nothing, and not out of what is promised to others, be it for a moment. */
    b = may_alloc(d, 1UL << ORDER_1G) ? find_gig() : NULL;
    for (unsigned k = 0; b && k < BLOCK_PAGES && !dirty; k++)
        if (!(b[k].flags & BF_CLEAN))
            dirty = &b[k];
    if (dirty)                      /* out of everybody's reach while it is cleared without the lock */
        block_take(dirty, OWN_HEAP, true);
    spin_unlock(&ram_lock);
    if (!dirty)
        return false;
    clear_pages(frame_map(block_mfn(dirty, 0)), BLOCK_PAGES);
    spin_lock(&ram_lock);
    block_free(dirty);
    dirty->flags |= BF_CLEAN;
    spin_unlock(&ram_lock);
    return true;
}

/* ---- taking exact frames ---- */

/* Pages [first, last) of b may be taken by `slot`? Makes the array that mixed ownership needs. */
static bool prepare_take(struct domain *d, struct block *b, unsigned first, unsigned last, unsigned slot)
{
    if (!b || b->nr_parked || ((b->flags & BF_KEEP) && !d->is_hwdom))
        return false;
    if (block_is_free(b))
        return true;
    if (b->owner != slot && !block_make_pages(b, 0))
        return false;
    for (unsigned i = first; i < last; i++)
        if (!page_is_free(b, i))
            return false;
    return true;
}

static void take_pages(struct block *b, unsigned first, unsigned last, unsigned slot)
{
    if (block_is_free(b)) {
        block_take(b, slot, first == 0 && last == BLOCK_PAGES);
        if (first == 0 && last == BLOCK_PAGES)
            return;
    }
    for (unsigned i = first; i < last; i++)
        block_take_page(b, i, slot);
}

/* Frames [s, e) block by block, with `act` set or only checked. */
static bool take_range(struct domain *d, u64 s, u64 e, unsigned slot, bool act)
{
    while (s < e) {
        struct block *b = block_of(MFN(s));
        unsigned first = s % BLOCK_PAGES, last = (unsigned)MIN((u64)BLOCK_PAGES, first + (e - s));
        if (act)
            take_pages(b, first, last, slot);
        else if (!prepare_take(d, b, first, last, slot))
            return false;
        s += last - first;
    }
    return true;
}

static bool take_locked(struct domain *d, u64 s, u64 e)
{
    bool ok = false;

    if (s >= e || d->state != DOM_ALIVE)
        return false;
    unsigned slot = d->tot_pages <= d->max_pages && e - s <= d->max_pages - d->tot_pages ? slot_get(d, e - s) : 0;
    /* Twice: the first pass may have made an array in a page of the range. */
    if (slot && take_range(d, s, e, slot, false) && take_range(d, s, e, slot, false)) {
        take_range(d, s, e, slot, true);
        count_alloc(d, e - s);
        ok = true;
    } else if (slot) {
        slot_put(slot, e - s);
    }
    return ok;
}

bool dom_ram_take(struct domain *d, paddr_t start, paddr_t end)
{
    spin_lock(&ram_lock);
    bool ok = take_locked(d, start >> PAGE_SHIFT, end >> PAGE_SHIFT);
    spin_unlock(&ram_lock);
    return ok;
}

bool dom_ram_take_frame(struct domain *d, mfn_t m)
{
    const struct block *b = block_of(m);

    spin_lock(&ram_lock);
    bool ok = b && ((b->flags & BF_KEEP) || may_alloc(d, 1)) && take_locked(d, m.n, m.n + 1);
    spin_unlock(&ram_lock);
    return ok;
}

/* ---- giving up ---- */

static void free_owned_page(struct domain *d, struct block *b, unsigned i)
{
    if (page_is_free(b, i) || !d->ram_slot || page_owner_slot(b, i) != d->ram_slot ||
        (b->pages && b->pages[i].state != PG_USED))
        panic("frame %llx freed, but not owned by d%u\n", (unsigned long long)block_mfn(b, i).n, d->id);
    if (b->pages && b->pages[i].refs) {
        b->pages[i].state = PG_ZOMBIE;
        b->nr_zombie++;
        d->zombie_pages++;
        return;
    }
    block_free_page(b, i);
    slot_put(d->ram_slot, 1);
}

/* All of b is d's alone: without looking at pages. */
static void free_owned_block(struct domain *d, struct block *b)
{
    if (b->anon) {
        memset(b->free, 0xff, sizeof(b->free));
        b->nr_parked = BLOCK_PAGES;
    } else {
        block_free(b);
    }
    slot_put(d->ram_slot, BLOCK_PAGES);
}

unsigned dom_ram_free(struct domain *d, mfn_t m, unsigned order)
{
    u64 n = 1ULL << order;
    unsigned steps = 0;

    spin_lock(&ram_lock);
    for (u64 k = 0; k < n; steps++) {
        struct block *b = block_of(MFN(m.n + k));
        if (dom0_keep_frames && d->is_hwdom)
            block_keep(b);
        if (order && !b->pages && !b->nr_free && !b->nr_parked && d->ram_slot && b->owner == d->ram_slot) {
            free_owned_block(d, b);
            k += BLOCK_PAGES;
        } else {
            free_owned_page(d, b, (unsigned)((m.n + k) % BLOCK_PAGES));
            k++;
        }
    }
    atomic_sub(&d->tot_pages, n);
    spin_unlock(&ram_lock);
    return steps;
}

int dom_ram_claim(struct domain *d, u64 pages)
{
    int rc = 0;

    spin_lock(&ram_lock);
    u64 others = ram.claimed - d->outstanding + ram_backing(), free = ram.free;
    if (pages == 0) {
        ram.claimed -= d->outstanding;
        d->outstanding = 0;
    } else if (d->state != DOM_ALIVE || d->outstanding || pages <= d->tot_pages || pages > d->max_pages) {
        rc = -EINVAL;
    } else if (others > free || pages - d->tot_pages > free - others) {
        rc = -ENOMEM;
    } else {
        d->outstanding = pages - d->tot_pages;
        ram.claimed += d->outstanding;
    }
    spin_unlock(&ram_lock);
    return rc;
}
