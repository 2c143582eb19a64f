/* SPDX-License-Identifier: MIT */
/*
 * Physical memory: RAM blocks of 2 MiB, the hypervisor heap, page references, the frame map.
 *
 * RAM is described by one struct block per 2 MiB (design rule 4). A block is FREE, HEAP (cut into hypervisor
 * pages), or owned by one or more domains. Only when single pages of a block get different fates or references
 * does it get an array with an entry per page; the array goes away when all entries are uniform again.
 */
#pragma once
#include "lib/types.h"
#include "sync/sync.h"

struct domain;
struct boot_info;

/* ---- frame map: the only way to reach a frame's bytes. The bare machine has a window onto all RAM, so this
 * is arithmetic; callers must still pair map with unmap (design rule 14). ---- */
extern char *frame_window;          /* virtual address of physical 0 */
/* The hosted build may want to know which frames were used. */
#ifdef HOSTED
void frames_mapped(const void *p, size_t pages);
#else
static inline void frames_mapped(const void *p, size_t pages) { }
#endif
static inline void *frame_map(mfn_t m)
{
    void *p = frame_window + (m.n << PAGE_SHIFT);

    frames_mapped(p, 1);
    return p;
}
static inline void frame_unmap(const void *p) { (void)p; }
/* Hypervisor-owned memory (heap) only. */
static inline void *phys_to_virt(paddr_t p) { return frame_window + p; }
static inline paddr_t virt_to_phys(const void *v) { return (paddr_t)((const char *)v - frame_window); }
static inline mfn_t virt_to_mfn(const void *v) { return MFN(virt_to_phys(v) >> PAGE_SHIFT); }
/* Map a device range uncached into hypervisor space (permanent; boot and PCI). NULL if no space. */
void *mmio_map(paddr_t p, size_t len);

/* ---- boot ---- */
struct ram_range { paddr_t start, end; };
/* Take over RAM: `ram` = usable ranges (page aligned, sorted), `used` = ranges inside them that must stay
 * untouched (hypervisor image, boot modules, tables). Heap and guests are served from the top down. */
void ram_init(const struct ram_range *ram, unsigned nr_ram, const struct ram_range *used, unsigned nr_used);
/* Give a `used` range back (boot modules after dom0 is built). */
void ram_release(paddr_t start, paddr_t end);

/* ---- heap: hypervisor memory, zeroed on allocation ---- */
/* 2^order contiguous pages, naturally aligned; NULL if out of memory. order <= 9. */
void *pages_alloc(unsigned order);
void pages_free(void *p, unsigned order);
static inline void *page_alloc(void) { return pages_alloc(0); }
static inline void page_free(void *p) { if (p) pages_free(p, 0); }
/* Any size up to 2 MiB, zeroed, 16-byte aligned (page aligned from 4096 up). */
void *kzalloc(size_t size);
void kfree(void *p);
u64 heap_pages_used(void);          /* pages taken from RAM by the heap */

/* ---- domain RAM ---- */
/* Allocate one extent of 2^order pages (order 0, 9 or 18) for d, scrubbed, naturally aligned. Counts
 * d->tot_pages and respects d->max_pages and free-memory commitments. INVALID_MFN if impossible. */
mfn_t dom_ram_alloc(struct domain *d, unsigned order);
/* dom0 at boot: take exactly the frames [start, end) (1:1 RAM); false if any of them is not free. */
bool dom_ram_take(struct domain *d, paddr_t start, paddr_t end) __must_check;
/* Later: the frame m if it is free, kept for d or not promised to others. */
bool dom_ram_take_frame(struct domain *d, mfn_t m) __must_check;
/* The owner gives the frame up (its guest mapping is gone and flushed). It returns to the free list now, or
 * when the last reference drops. Counts d->tot_pages. The frame must be owned by d. Returns how many steps that took:
 * blocks that went as a whole, pages of others. */
unsigned dom_ram_free(struct domain *d, mfn_t m, unsigned order);

/* Scrub a little ahead: true if another call is worth making before dom_ram_alloc(d, order), so that the allocation
 * itself is short (1 GiB extents; the caller looks for interrupts between calls). */
bool dom_ram_prescrub(const struct domain *d, unsigned order);
/* Claim memory so that d may reach `pages` pages in total; 0 cancels. 0, -EINVAL (claim active, not above what d has,
 * above max_pages; dying), -ENOMEM. */
int dom_ram_claim(struct domain *d, u64 pages) __must_check;
/* No-IOMMU mode (set at boot before dom0 gets RAM): frames that dom0 gives up stay reserved for it and come back
 * through dom_ram_take_frame(). */
extern bool dom0_keep_frames;

/* ---- references (I-1): a frame in use by anything but its owner's own p2m mapping holds one ---- */
/* Take a reference on frame m provided d owns it. May allocate the block's page array.
 * 0, -EINVAL (not d's RAM), -ENOMEM, -EBUSY (count would overflow). */
int page_get(struct domain *d, mfn_t m) __must_check;
/* Drop one. The last drop of a given-up frame frees it. Never fails, never allocates. */
void page_put(mfn_t m);
/* Drop one that p2m_get_page() took. */
void page_put_short(mfn_t m);
/* The domain that owns the frame, or NULL (free, heap, not RAM, given up). No reference is taken on it. */
struct domain *page_owner(mfn_t m);
bool mfn_is_ram(mfn_t m);
/* Frames of d that were given up but are still referenced (zombies). Destruction waits for 0. */
u64 dom_ram_zombies(const struct domain *d);

u64 ram_total_pages(void);
u64 ram_free_pages(void);           /* free for domains, commitments and claims subtracted */
u64 ram_claimed_pages(void);        /* promised to domains that have not taken them yet */
u64 ram_max_mfn(void);
/* Commit n pages of future use (pools); false if not available. Uncommit gives back. */
bool ram_commit(u64 pages) __must_check;
void ram_uncommit(u64 pages);
/* Copy a 4 KiB page / clear pages with non-temporal or rep stores. */
void clear_pages(void *p, size_t n);
