/* SPDX-License-Identifier: MIT */
/* RAM block descriptors: which pages are free, lists of blocks, page arrays. See block.h. */
#include "mm/block.h"

struct spinlock ram_lock = SPINLOCK(RANK_BLOCK);
struct block *blocks;
u64 nr_blocks;
struct ram_counts ram;
u16 *gig_free;
bool dom0_keep_frames;
struct list free_blocks = LIST_INIT(free_blocks);
struct list partial_blocks = LIST_INIT(partial_blocks);
struct list heap_blocks = LIST_INIT(heap_blocks);

/* Arrays without references, oldest at the tail. */
static struct list idle_arrays = LIST_INIT(idle_arrays);
static unsigned nr_idle;
#define IDLE_MAX 32

void block_reset(void)
{
    list_init(&idle_arrays);
    nr_idle = 0;
}

/* Address bits at which a run of 2^order pages may start within one word. */
static const u64 run_starts[6] = {
    ~0ULL, 0x5555555555555555ULL, 0x1111111111111111ULL, 0x0101010101010101ULL, 0x0001000100010001ULL,
    0x0000000100000001ULL
};


int block_find_run(const u64 *free, unsigned order)
{
    if (order < 6) {
        for (unsigned w = 0; w < BLOCK_WORDS; w++) {
            u64 x = free[w];
            for (unsigned k = 0; k < order; k++)
                x &= x >> (1u << k);
            x &= run_starts[order];
            if (x)
                return (int)(w * 64 + ffs64(x));
        }
        return -1;
    }
    unsigned n = 1u << (order - 6);
    for (unsigned w = 0; w < BLOCK_WORDS; w += n) {
        unsigned k = 0;
        while (k < n && free[w + k] == ~0ULL)
            k++;
        if (k == n)
            return (int)(w * 64);
    }
    return -1;
}

static u16 *gig_counter(const struct block *b) { return &gig_free[(u64)(b - blocks) / BLOCK_PAGES]; }

void block_relist(struct block *b)
{
    u8 want = 0;

    if ((b->flags & BF_KEEP) || b->nr_parked)
        want = 0;
    else if (b->nr_free == BLOCK_PAGES)
        want = BF_FREELIST;
    else if (b->nr_free && b->owner == OWN_HEAP)
        want = BF_HEAPLIST;
    else if (b->nr_free)
        want = BF_PARTIAL;

    u8 is = b->flags & (BF_FREELIST | BF_HEAPLIST | BF_PARTIAL);
    if (is == want)
        return;
    if (is)
        list_del(&b->node);
    if (is == BF_FREELIST) {
        ram.free_blocks--;
        (*gig_counter(b))--;
    }
    b->flags = (u8)((b->flags & ~is) | want);
    if (want == BF_FREELIST) {
        list_add(&free_blocks, &b->node);
        ram.free_blocks++;
        (*gig_counter(b))++;
    } else if (want == BF_HEAPLIST) {
        list_add(&heap_blocks, &b->node);
    } else if (want == BF_PARTIAL) {
        list_add(&partial_blocks, &b->node);
    }
}

void blocks_add(u64 i, u64 n)
{
    ram.free += n * BLOCK_PAGES;
    ram.free_blocks += n;
    for (struct block *b = &blocks[i]; n; n--, i++, b++) {
        ASSERT(!b->flags && !b->nr_free);
        b->nr_free = BLOCK_PAGES;
        b->flags = BF_FREELIST;
        list_add(&free_blocks, &b->node);
        gig_free[i / BLOCK_PAGES]++;
    }
}

/* Free pages of b are counted where its owner and flags say. */
static u64 *free_counter(const struct block *b)
{
    return b->flags & BF_KEEP ? &ram.kept : b->owner == OWN_HEAP ? &ram.heap_free : &ram.free;
}

static void drop_pages(struct block *b)
{
    if (!b->pages)
        return;
    if (!list_empty(&b->idle)) {
        list_del(&b->idle);
        nr_idle--;
    }
    struct page *p = b->pages;
    b->pages = NULL;
    heap_free_locked(p, 0);
}

/* All pages are free: forget whose it was. May free heap pages, even of b itself when it hosts its own array. */
static void block_became_free(struct block *b)
{
    *free_counter(b) -= BLOCK_PAGES;
    b->owner = OWN_NONE;
    b->flags &= (u8)~BF_CLEAN;
    *free_counter(b) += BLOCK_PAGES;
    block_relist(b);
}

void block_take(struct block *b, unsigned owner, bool all)
{
    *free_counter(b) -= BLOCK_PAGES;
    b->owner = (u16)owner;
    b->flags &= (u8)~BF_CLEAN;
    if (all) {
        b->nr_free = 0;
        memset(b->free, 0, sizeof(b->free));
    } else {
        memset(b->free, 0xff, sizeof(b->free));
        *free_counter(b) += BLOCK_PAGES;
    }
    /* nr_free == 512 means "on the free list"; a block about to be filled leaves it with its first page. */
    block_relist(b);
}

void block_take_page(struct block *b, unsigned i, unsigned owner)
{
    bit_clear(b->free, i);
    b->nr_free--;
    --*free_counter(b);
    if (b->pages)
        b->pages[i] = (struct page){ .owner = (u16)owner, .state = PG_USED };
    if (b->nr_free == 0 || b->nr_free == BLOCK_PAGES - 1)
        block_relist(b);
}

void block_keep(struct block *b)
{
    if (b->flags & BF_KEEP)
        return;
    *free_counter(b) -= b->nr_free;
    b->flags |= BF_KEEP;
    *free_counter(b) += b->nr_free;
    block_relist(b);
}

/* Only the array's own page is left in a block that hosts it itself? */
static bool only_self_hosted(const struct block *b)
{
    bool hosts = b->pages && block_of(virt_to_mfn(b->pages)) == b;
    return hosts && b->nr_free + 1 == BLOCK_PAGES && !b->nr_refd && !b->nr_zombie;
}

void block_free_page(struct block *b, unsigned i)
{
    if (b->pages)
        b->pages[i] = (struct page){ .owner = OWN_NONE, .state = PG_FREE };
    bit_set(b->free, i);
    if (b->anon) {
        b->nr_parked++;
        block_relist(b);
        return;
    }
    b->nr_free++;
    ++*free_counter(b);
    if (b->nr_free == BLOCK_PAGES) {
        drop_pages(b);              /* hosted elsewhere, if any */
        block_became_free(b);
    } else if (only_self_hosted(b)) {
        /* Freeing it comes back here and ends in the branch above. */
        drop_pages(b);
    } else if (b->nr_free == 1) {
        block_relist(b);
    }
}

void block_free(struct block *b)
{
    b->nr_free = BLOCK_PAGES;
    *free_counter(b) += BLOCK_PAGES;
    block_became_free(b);
}

void block_unpark(struct block *b)
{
    unsigned n = b->nr_parked;

    b->nr_parked = 0;
    b->nr_free = (u16)(b->nr_free + n);
    *free_counter(b) += n;
    if (b->nr_free == BLOCK_PAGES) {
        drop_pages(b);
        block_became_free(b);
        return;
    }
    block_relist(b);
    if (only_self_hosted(b)) drop_pages(b);
}

/* ---- page arrays ---- */

bool block_make_pages(struct block *b, u64 promised)
{
    if (b->pages)
        return true;
    struct page *p = heap_alloc_locked(0, promised);
    if (!p)
        return false;
    /* The allocation may have come out of b itself. */
    if (b->pages) {
        heap_free_locked(p, 0);
        return true;
    }
    for (unsigned i = 0; i < BLOCK_PAGES; i++)
        p[i] = page_is_free(b, i) ? (struct page){ .owner = OWN_NONE, .state = PG_FREE }
                                  : (struct page){ .owner = b->owner, .state = b->owner ? PG_USED : PG_NONE };
    b->pages = p;
    list_init(&b->idle);
    return true;
}

/* Do all entries say what the block's own fields say? */
static bool array_is_redundant(const struct block *b)
{
    if (b->nr_refd || b->nr_zombie || block_of(virt_to_mfn(b->pages)) == b)
        return false;
    for (unsigned i = 0; i < BLOCK_PAGES; i++)
        if (b->pages[i].state != PG_FREE && b->pages[i].owner != b->owner)
            return false;
    return true;
}

void block_idle(struct block *b)
{
    if (!b->pages || !list_empty(&b->idle))
        return;
    list_add(&idle_arrays, &b->idle);
    if (++nr_idle <= IDLE_MAX)
        return;
    struct block *old = list_entry(idle_arrays.prev, struct block, idle);
    if (array_is_redundant(old)) {
        drop_pages(old);
    } else {
        list_del(&old->idle);
        nr_idle--;
    }
}

/* A reference was taken: the array is in use. */
void block_busy(struct block *b)
{
    if (!list_empty(&b->idle)) {
        list_del(&b->idle);
        nr_idle--;
    }
}
