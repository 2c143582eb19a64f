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

/* Last resort: partly used blocks of domains. At most so many are looked at, for a bounded time (I-16). */
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

void *heap_alloc_locked(unsigned order, bool committed)
{
    u64 n = 1ULL << order;

    if (fail_point())
        return NULL;
    if (committed)
        n = 0;                      /* its commitment pays for it */
    if (ram.free + ram.heap_free < ram.committed + ram.claimed + n)
        return NULL;
    void *p = alloc_from_list(&heap_blocks, order);
    if (!p && !list_empty(&free_blocks)) {
        struct block *b = list_entry(free_blocks.next, struct block, node);
        block_take(b, OWN_HEAP, false);
        p = take_run(b, block_find_run(b->free, order), order);
    }
    if (!p)
        p = alloc_from_partial(order);
    if (p && committed)
        ram.committed--;
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
    void *p = heap_alloc_locked(order, false);
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
    void *p = heap_alloc_locked(0, true);
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
    memset(p, 0, n * PAGE_SIZE);
}
#else
void clear_pages(void *p, size_t n)
{
    size_t words = n * (PAGE_SIZE / 8);

    __asm__ volatile("rep stosq" : "+D"(p), "+c"(words) : "a"(0UL) : "memory");
}
#endif
