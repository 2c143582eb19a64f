/* SPDX-License-Identifier: MIT */
/*
 * The hypervisor's own address space (slots of the top-level table, all inside the range the PV ABI reserves):
 *   261  image, 4 KiB pages, never writable and executable at once, guard page below the boot stack
 *   262  mmio_map(): device registers, uncached          263  boot_map() outside RAM; stack_map()
 *   264-271  frame_window: all RAM (4 TiB at most) and nothing but RAM, except the image; not executable
 * Tables come from a small pool next to the image until hostmap_use_heap(), then from the heap.
 */
#pragma once
#include "mm/mm.h"

#define FRAME_WINDOW    0xFFFF840000000000ULL
#define FRAME_WINDOW_MAX (8ULL << 39)
#define MMIO_WINDOW     0xFFFF830000000000ULL
#define BOOT_WINDOW     0xFFFF838000000000ULL

/* Move the image to the top of the RAM below 4 GiB, build the final tables and switch to them. Reads the memory
 * map and fills image_start/end of boot_info; returns the range of the table pool, which ram_init() must keep. */
struct ram_range hostmap_init(void);
/* The heap works: take further tables from there. */
void hostmap_use_heap(void);

/* CR3 of every CPU from now on (load it with EFER.NXE and CR0.WP set). */
extern u64 host_cr3;
/* CR3 of a CPU that is just starting: first 4 GiB mapped 1:1, the image at its place, all writable and executable.
 * Below 4 GiB. Valid for ever, but only for the first instructions of an AP. */
extern u64 boot_cr3;
/* Physical address of something in the image (a static object). It has no address in frame_window. */
paddr_t image_to_phys(const void *p);

/* Read firmware tables anywhere in memory: pointer to [p, p+len), cached, read-only outside RAM, valid for ever.
 * NULL if p+len overflows, exceeds the CPU's address width or no space is left. */
const void *boot_map(paddr_t p, size_t len);
/* Give 2^order pages from pages_alloc() a second address with unmapped pages below and above it: stacks. Use the
 * new address only. NULL if no table can be had. */
void *stack_map(void *pages, unsigned order);
