/* SPDX-License-Identifier: MIT */
/*
 * Private to src/mm: descriptors of RAM.
 *
 * One struct block describes 2 MiB. Its bitmap says which pages are free; all other pages belong to `owner` and
 * have gfn base+i, unless the block has a page array. So these need no array: a wholly free block, a wholly owned
 * one, one out of which single pages were ballooned, one that is being filled page by page. An array (one page of
 * 512 entries) is made when a page gets a long-lived reference of its own or when owners mix. It is kept while
 * anything in it differs; arrays without references stay cached for a while (mapping and unmapping page after page
 * of one block must not make and drop an array each time) and are then dropped.
 *
 * References that last only for one access are counted for the whole block (`anon`) and need no array. Pages given up
 * while anon != 0 are parked: marked free, but not handed out until anon is 0 again. The two kinds are never mixed: a
 * long-lived reference that ended in anon would no longer keep its owner's destruction waiting.
 *
 * Everything here is protected by ram_lock, also the heap's page level: array pages come from the heap.
 */
#pragma once
#include "dom/domain.h"
#include "mm/mm.h"

#define BLOCK_PAGES 512u
#define BLOCK_WORDS (BLOCK_PAGES / 64)
#define PAGE_REFS_MAX (1u << 24)    /* further gets are refused with -EBUSY */

/* Owners: a slot of the domain table, or one of these. */
#define OWN_NONE 0u                 /* not RAM, or reserved */
#define OWN_HEAP 0xffffu
#define MAX_SLOTS 4096u

enum page_state { PG_NONE, PG_FREE, PG_USED, PG_ZOMBIE };
struct page {
    u32 refs;
    u16 owner;
    u8 state;
    u8 pad;
};
STATIC_ASSERT(sizeof(struct page) * BLOCK_PAGES == 4096);

enum {
    BF_CLEAN = 1,                   /* wholly free and zero-filled */
    BF_KEEP = 2,                    /* free pages are kept for dom0 (no IOMMU) */
    BF_PARTIAL = 4, BF_HEAPLIST = 8, BF_FREELIST = 16,          /* on which list `node` is */
};
struct block {
    struct list node;
    struct list idle;               /* arrays without references */
    struct page *pages;
    u32 anon;
    u16 owner;
    u8 flags;
    u8 pad;
    u16 nr_free;
    u16 nr_parked;
    u16 nr_refd;                    /* array entries with refs != 0 */
    u16 nr_zombie;
    u64 free[BLOCK_WORDS];          /* undefined while nr_free == 512 */
};

extern struct spinlock ram_lock;
extern struct block *blocks;
extern u64 nr_blocks;
/* Block i covers frames [512 i, 512 i + 511]. */
static inline struct block *block_of(mfn_t m)
{
    return m.n / BLOCK_PAGES < nr_blocks ? &blocks[m.n / BLOCK_PAGES] : NULL;
}
static inline mfn_t block_mfn(const struct block *b, unsigned i)
{
    return MFN((u64)(b - blocks) * BLOCK_PAGES + i);
}
static inline bool block_is_free(const struct block *b) { return b->nr_free == BLOCK_PAGES; }
static inline bool page_is_free(const struct block *b, unsigned i)
{
    return block_is_free(b) || bit_test(b->free, i);
}
/* Owner slot of page i and its state. */
static inline unsigned page_owner_slot(const struct block *b, unsigned i)
{
    return b->pages ? b->pages[i].owner : b->owner;
}

/* Counters (ram_lock). */
struct ram_counts {
    u64 total;                      /* frames of RAM */
    u64 free;                       /* free pages that domains and heap may get */
    u64 heap_free;                  /* free pages in heap blocks */
    u64 kept;                       /* free pages kept for dom0 */
    u64 heap_used;                  /* pages handed out by pages_alloc, arrays, descriptors */
    u64 committed, claimed;
    u64 free_blocks;
};
extern struct ram_counts ram;
/* Free pages that commitments need: heap blocks' own free pages serve them first. Claims are served from `free` alone,
 * domains cannot have pages of heap blocks. */
static inline u64 ram_backing(void) { return ram.committed > ram.heap_free ? ram.committed - ram.heap_free : 0; }
extern u16 *gig_free;               /* free blocks per GiB */
extern struct list free_blocks, partial_blocks, heap_blocks;
extern bool dom0_keep_frames;

/* ---- block.c ---- all with ram_lock held */
void block_reset(void);
/* Blocks i to i + n - 1, whose descriptors are all zeroes, are RAM, wholly free. */
void blocks_add(u64 i, u64 n);
/* Take page i, which is free, for `owner`. The block must have an array if the owner differs from others'. */
void block_take_page(struct block *b, unsigned i, unsigned owner);
/* Page i becomes free (or parked, if anonymous references exist). It has no reference of its own. */
void block_free_page(struct block *b, unsigned i);
/* A wholly free block leaves the free list and belongs to `owner`; all = all pages used, else all still free. */
void block_take(struct block *b, unsigned owner, bool all);
/* A block whose pages are all used by one owner without references or array becomes free. */
void block_free(struct block *b);
/* Give b an array; false if no memory. `promised`: see heap_alloc_locked(). */
bool block_make_pages(struct block *b, u64 promised) __must_check;
/* Parked pages may go now: anon became 0. */
void block_unpark(struct block *b);
/* The array has no references left: cache it, drop the oldest ones. */
void block_idle(struct block *b);
/* A first reference was taken: the array is in use. */
void block_busy(struct block *b);
/* Free pages of b, now and later, are for dom0 only. */
void block_keep(struct block *b);
/* Aligned run of 2^order set bits; -1 if none. */
int block_find_run(const u64 *free, unsigned order);
/* Put b onto the list where it belongs after nr_free or flags changed. */
void block_relist(struct block *b);

/* ---- heap.c ---- */
/* ram_lock held; not cleared. Of the memory that is promised to claims and commitments it may use `promised` pages: what
 * was promised to who asks. NULL if out of memory. */
void *heap_alloc_locked(unsigned order, u64 promised);
void heap_free_locked(void *p, unsigned order);
void slab_init(void);
/* One zeroed page out of a commitment / back into it. */
void *page_alloc_committed(void);
void page_free_committed(void *p);

/* ---- domram.c ---- owner slots (ram_lock) */
struct ram_slot { struct domain *d; u64 pages; };
/* Slot of d for n more pages; 0 if the table is full. */
unsigned slot_get(struct domain *d, u64 n);
void slot_put(unsigned slot, u64 n);
struct domain *slot_domain(unsigned slot);
void slots_reset(void);

/* ---- page.c ---- */
/* Short reference for one access: m is mapped in a p2m right now and belongs to a domain. 0, -EINVAL, -EBUSY.
 * page_put_short() drops it. */
int page_get_short(mfn_t m) __must_check;
/* Reference on a hypervisor page that gets mapped into a guest; reserved pages (image) need none: 0. -ENOMEM. */
int page_get_heap(mfn_t m) __must_check;

/* The hosted build may let an allocation, or a piece of a copy from or to a guest, fail here. */
#ifdef HOSTED
bool fail_point(void);
bool fail_copy(void);
u64 heap_objects(void);
#else
static inline bool fail_point(void) { return false; }
static inline bool fail_copy(void) { return false; }
#endif
