/* SPDX-License-Identifier: MIT */
/* Boot-time take-over of RAM: where it is, what is already used, descriptors for the rest. Work is per 2 MiB block
 * except at the edges of ranges. */
#include "mm/block.h"
#include "mm/poison.h"

#define MAX_RANGES 256
static struct ram_range ranges[MAX_RANGES];
static unsigned nr_ranges;

/* Mark [first, last) of block b as free RAM. */
static void free_pages_of_block(struct block *b, unsigned first, unsigned last)
{
    for (unsigned i = first; i < last; i++) {
        if (page_is_free(b, i))
            panic("RAM page %llx given up twice\n", (unsigned long long)block_mfn(b, i).n);
        block_free_page(b, i);
    }
}

/* Frames [start, end) become free. */
static void free_range(u64 start, u64 end)
{
    while (start < end) {
        u64 n = start % BLOCK_PAGES ? 0 : (end - start) / BLOCK_PAGES, base = ROUND_DOWN(start, BLOCK_PAGES);
        u64 stop = n ? start + n * BLOCK_PAGES : MIN(end, base + BLOCK_PAGES);
        if (n)
            blocks_add(start / BLOCK_PAGES, n);
        else
            free_pages_of_block(block_of(MFN(start)), (unsigned)(start - base), (unsigned)(stop - base));
        start = stop;
    }
}

/* [start, end) of a RAM range without the used ranges inside it, in rising order. */
static void free_around(paddr_t start, paddr_t end, const struct ram_range *used, unsigned nr_used)
{
    while (start < end) {
        paddr_t stop = end, next = end;
        for (unsigned i = 0; i < nr_used; i++) {
            paddr_t us = used[i].start & PAGE_MASK, ue = ROUND_UP(used[i].end, PAGE_SIZE);
            if (us < ue && ue > start && us < stop) {
                stop = MAX(us, start);
                next = MIN(ue, end);
            }
        }
        free_range(start >> PAGE_SHIFT, stop >> PAGE_SHIFT);
        start = next;
    }
}

/* Highest place for `bytes` in RAM that is not used; 0 if none. */
static paddr_t find_place(u64 bytes, const struct ram_range *used, unsigned nr_used)
{
    for (unsigned r = nr_ranges; r--; ) {
        paddr_t end = ranges[r].end;
        while (end > ranges[r].start && end - ranges[r].start >= bytes) {
            paddr_t p = ROUND_DOWN(end - bytes, PAGE_SIZE), next = 0;
            for (unsigned i = 0; i < nr_used && !next; i++)
                if (used[i].start < p + bytes && used[i].end > p)
                    next = used[i].start & PAGE_MASK;
            if (!next)
                return p;
            end = next;
        }
    }
    return 0;
}

static void reset(void)
{
    list_init(&free_blocks);
    list_init(&partial_blocks);
    list_init(&heap_blocks);
    block_reset();
    slots_reset();
    spin_init(&ram_lock, RANK_BLOCK);
    memset(&ram, 0, sizeof(ram));
    dom0_keep_frames = false;
    slab_init();
}

void ram_init(const struct ram_range *map, unsigned nr_map, const struct ram_range *used, unsigned nr_used)
{
    reset();
    nr_ranges = 0;
    for (unsigned i = 0; i < nr_map && nr_ranges < MAX_RANGES; i++) {
        paddr_t start = ROUND_UP(map[i].start, PAGE_SIZE), end = map[i].end & PAGE_MASK;
        if (start < end) {
            ranges[nr_ranges++] = (struct ram_range){ start, end };
            ram.total += (end - start) >> PAGE_SHIFT;
        }
    }
    if (!nr_ranges)
        panic("no usable RAM in the memory map\n");

    nr_blocks = (ranges[nr_ranges - 1].end + SZ_2M - 1) / SZ_2M;
    u64 desc = ROUND_UP(nr_blocks * sizeof(struct block), 64);
    u64 bytes = ROUND_UP(desc + (nr_blocks / BLOCK_PAGES + 1) * sizeof(u16), PAGE_SIZE);
    paddr_t place = find_place(bytes, used, nr_used);
    if (!place)
        panic("no room for %llu KiB of RAM descriptors\n", (unsigned long long)bytes >> 10);
    blocks = phys_to_virt(place);
    clear_pages(blocks, bytes / PAGE_SIZE);
    gig_free = (u16 *)((char *)blocks + desc);
    ram.heap_used = bytes / PAGE_SIZE;

    spin_lock(&ram_lock);
    for (unsigned r = 0; r < nr_ranges; r++) {
        if (place >= ranges[r].start && place < ranges[r].end) {
            free_around(ranges[r].start, place, used, nr_used);
            free_around(place + bytes, ranges[r].end, used, nr_used);
        } else {
            free_around(ranges[r].start, ranges[r].end, used, nr_used);
        }
    }
    spin_unlock(&ram_lock);
}

void ram_release(paddr_t start, paddr_t end)
{
    spin_lock(&ram_lock);
    for (unsigned r = 0; r < nr_ranges; r++) {
        paddr_t s = MAX(ROUND_UP(start, PAGE_SIZE), ranges[r].start), e = MIN(end & PAGE_MASK, ranges[r].end);
        if (s < e)
            free_range(s >> PAGE_SHIFT, e >> PAGE_SHIFT);
    }
    spin_unlock(&ram_lock);
}

bool mfn_is_ram(mfn_t m)
{
    unsigned lo = 0, hi = nr_ranges;

    if (m.n >> (64 - PAGE_SHIFT))
        return false;
    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;
        if (m.n << PAGE_SHIFT >= ranges[mid].end)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < nr_ranges && m.n << PAGE_SHIFT >= ranges[lo].start;
}

u64 ram_total_pages(void) { return ram.total; }
u64 ram_max_mfn(void) { return (ranges[nr_ranges - 1].end >> PAGE_SHIFT) - 1; }

u64 ram_claimed_pages(void)
{
    spin_lock(&ram_lock);
    u64 n = ram.claimed;
    spin_unlock(&ram_lock);
    return n;
}

u64 ram_free_pages(void)
{
    spin_lock(&ram_lock);
    u64 used = ram.claimed + ram_backing();
    u64 n = ram.free > used ? ram.free - used : 0;
    spin_unlock(&ram_lock);
    return n;
}
