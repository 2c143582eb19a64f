/* SPDX-License-Identifier: MIT */
/*
 * dom0's memory map as a pure function of the host's: which host RAM dom0 gets 1:1, where
 * the hole for Linux's "Xen scratch" lies, what is reported as what; and placing things inside the result.
 */
#pragma once
#include "lib/types.h"
#include "boot/memmap.h"

#define DOM0_MAP_MAX 384            /* host entries, each RAM entry cut a few times */
#define SCRATCH_ALIGN MiB(128)      /* Linux: PAGES_PER_SECTION * PAGE_SIZE */

struct dom0_range { paddr_t start, end; };
struct dom0_map {
    unsigned nr;
    struct boot_range e[DOM0_MAP_MAX];  /* sorted, not overlapping */
    u64 ram_bytes;                  /* sum of the RAM entries */
    struct dom0_range scratch;      /* hole backed by host RAM that dom0 does not get; start == end: none */
    struct dom0_range carved[2];    /* by dom0_map_carve(): dom0's RAM under another type */
    bool overflow;                  /* the table was too small: entries at the end were dropped */
};

struct dom0_map_request {
    const struct boot_range *host; unsigned nr_host;        /* sorted, not overlapping */
    const struct dom0_range *reserve; unsigned nr_reserve;  /* must be RESERVED unless the host says more (ECAM) */
    u64 ram_bytes;                  /* wanted; less is given when the host has not enough */
    /* Take the page-aligned host RAM [start, end) for dom0: all of it or nothing (false). */
    bool (*take)(void *ctx, paddr_t start, paddr_t end);
    void *ctx;
};
/* RAM comes from the lowest addresses up; `take` is asked in ever smaller pieces where it refuses. */
void dom0_map_make(struct dom0_map *m, const struct dom0_map_request *rq);

/* Turn the end of a RAM piece below 4 GiB into `type`. Returns its address, 0 if there is no room. */
paddr_t dom0_map_carve(struct dom0_map *m, u64 bytes, u32 type);
/* Highest place in RAM for `size` bytes, aligned, ending at or below `below`, touching none of avoid[]; 0: none.
 * Page 0 and the rest below 1 MiB are never used. */
paddr_t dom0_map_find(const struct dom0_map *m, u64 size, u64 align, paddr_t below,
                      const struct dom0_range *avoid, unsigned nr_avoid);
/* Give [start, end), which lies in one RAM entry, another type. False: no room in the table; nothing changed. */
bool dom0_map_retype(struct dom0_map *m, paddr_t start, paddr_t end, u32 type);
/* Is the page at p RAM that dom0 was given, whatever it is used for? */
bool dom0_map_owns(const struct dom0_map *m, paddr_t p);
/* Is all of [start, end) RAM? */
bool dom0_map_is_ram(const struct dom0_map *m, paddr_t start, paddr_t end);
