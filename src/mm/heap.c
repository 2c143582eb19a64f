/* SPDX-License-Identifier: MIT */
/*
 * Hypervisor heap, page level. Pages come from blocks that belong to the heap; a new block is taken when those are
 * full and goes back when it is empty. When no whole block is left (a domain ballooned out single pages all over
 * memory), single free pages of partly used blocks serve too.
 */
#include "mm/block.h"
#include "mm/poison.h"

/* Give b, which has free pages and no array, an array in one of its own free pages. */
static bool self_host(struct block *b)
{
    if (b->nr_free < 2)
        return false;
    int i = block_find_run(b->free, 0);
    block_take_page(b, (unsigned)i, b->owner);
    struct page *p = frame_map(block_mfn(b, (unsigned)i));
    UNPOISON(p, PAGE_SIZE);
    for (unsigned k = 0; k < BLOCK_PAGES; k++)
        p[k] = page_is_free(b, k) ? (struct page){ .owner = OWN_NONE, .state = PG_FREE }
                                  : (struct page){ .owner = b->owner, .state = b->owner ? PG_USED : PG_NONE };
    p[i] = (struct page){ .owner = OWN_HEAP, .state = PG_USED };
    b->pages = p;
    list_init(&b->idle);
    ram.heap_used++;
    return true;
}

static void *take_run(struct block *b, int i, unsigned order)
{
    for (unsigned k = 0; k < 1u << order; k++)
        block_take_page(b, (unsigned)i + k, OWN_HEAP);
    ram.heap_used += 1u << order;
    void *p = frame_map(block_mfn(b, (unsigned)i));
    UNPOISON(p, PAGE_SIZE << order);
    return p;
}

static void *alloc_from_list(struct list *head, unsigned order)
{
    struct list *l;

    list_for_each(l, head) {
        struct block *b = list_entry(l, struct block, node);
        if (b->nr_free < 1u << order)
            continue;
        int i = block_find_run(b->free, order);
        if (i >= 0)
            return take_run(b, i, order);
    }
    return NULL;
}

/* Another block for the heap. */
static void *alloc_from_new(unsigned order)
{
    struct block *b = list_entry(free_blocks.next, struct block, node);

    block_take(b, OWN_HEAP, false);
    return take_run(b, block_find_run(b->free, order), order);
}

/* One page of a free block, which stays open for domains: it costs a second page, for its array. */
static void *alloc_shared(void)
{
    struct block *b = list_entry(free_blocks.next, struct block, node);

    block_take(b, OWN_NONE, false);
    return self_host(b) ? take_run(b, block_find_run(b->free, 0), 0) : NULL;
}

/* Partly used blocks of domains. At most so many are looked at, for a bounded time (I-16). */
static void *alloc_from_partial(unsigned order)
{
    struct list *l, *next;
    unsigned tries = 64;

    list_for_each_safe(l, next, &partial_blocks) {
        struct block *b = list_entry(l, struct block, node);
        if (!tries--)
            break;
        if (b->nr_free < 1u << order || (!b->pages && !self_host(b)) || !b->nr_free)
            continue;
        int i = block_find_run(b->free, order);
        if (i >= 0)
            return take_run(b, i, order);
    }
    return NULL;
}

/* Is what is promised still covered when `taken` free pages are gone and `promised` pages of it were made good? */
static bool covered(u64 taken, u64 heap_free, u64 promised)
{
    u64 backing = ram.committed > heap_free ? ram.committed - heap_free : 0;

    return ram.claimed + backing + taken <= ram.free + promised;
}

/* A whole block only if nobody misses the pages of it that the heap does not need now: no domain can have them. */
void *heap_alloc_locked(unsigned order, u64 promised)
{
    u64 n = 1ULL << order;
    void *p = NULL;

    if (fail_point())
        return NULL;
    if (ram.heap_free >= n && covered(0, ram.heap_free - n, promised))
        p = alloc_from_list(&heap_blocks, order);
    if (!p && !list_empty(&free_blocks) && covered(BLOCK_PAGES, ram.heap_free + BLOCK_PAGES - n, MIN(promised, n)))
        p = alloc_from_new(order);
    if (!p && covered(n + 1, ram.heap_free, promised)) {        /* 1: an array */
        p = alloc_from_partial(order);
        if (!p && order == 0 && !list_empty(&free_blocks))
            p = alloc_shared();
    }
    return p;
}

void heap_free_locked(void *p, unsigned order)
{
    mfn_t m = virt_to_mfn(p);
    struct block *b = block_of(m);
    unsigned first = m.n % BLOCK_PAGES;

    for (unsigned i = first; i < first + (1u << order); i++) {
        if (page_is_free(b, i))
            panic("heap page %p freed twice\n", p);
        ram.heap_used--;
        if (b->pages && b->pages[i].refs) {     /* still mapped in a guest: goes with the last reference */
            b->pages[i].state = PG_ZOMBIE;
            b->nr_zombie++;
            continue;
        }
        POISON(frame_map(block_mfn(b, i)), PAGE_SIZE);
        block_free_page(b, i);
    }
}

void *pages_alloc(unsigned order)
{
    if (order > ORDER_2M)
        return NULL;
    spin_lock(&ram_lock);
    void *p = heap_alloc_locked(order, 0);
    spin_unlock(&ram_lock);
    if (p)
        clear_pages(p, 1UL << order);
    return p;
}

void pages_free(void *p, unsigned order)
{
    spin_lock(&ram_lock);
    heap_free_locked(p, order);
    spin_unlock(&ram_lock);
}

void *page_alloc_committed(void)
{
    spin_lock(&ram_lock);
    void *p = heap_alloc_locked(0, ~0ULL >> 1);     /* not refused for a page that arrays took of what is promised */
    if (p)
        ram.committed--;
    spin_unlock(&ram_lock);
    if (p)
        clear_pages(p, 1);
    return p;
}

void page_free_committed(void *p)
{
    spin_lock(&ram_lock);
    heap_free_locked(p, 0);
    ram.committed++;                /* the page that just became free backs it */
    spin_unlock(&ram_lock);
}

u64 heap_pages_used(void) { return read_once(&ram.heap_used); }

bool ram_commit(u64 pages)
{
    bool ok;

    spin_lock(&ram_lock);
    u64 free = ram.free + ram.heap_free, used = ram.committed + ram.claimed;
    ok = used <= free && pages <= free - used && !fail_point();
    if (ok)
        ram.committed += pages;
    spin_unlock(&ram_lock);
    return ok;
}

void ram_uncommit(u64 pages)
{
    spin_lock(&ram_lock);
    ram.committed -= pages;
    spin_unlock(&ram_lock);
}

#ifdef HOSTED
void clear_pages(void *p, size_t n)
{
    UNPOISON(p, n * PAGE_SIZE);
    frames_mapped(p, n);
    memset(p, 0, n * PAGE_SIZE);
}
#else
void clear_pages(void *p, size_t n)
{
    size_t words = n * (PAGE_SIZE / 8);

    __asm__ volatile("rep stosq" : "+D"(p), "+c"(words) : "a"(0UL) : "memory");
}
#endif
