/* SPDX-License-Identifier: MIT */
/* The memory map in boot_info: filled by the boot entries in any order, then put into shape once. Hosted too. */
#pragma once
#include "boot/boot.h"

enum { MEM_RAM = 1, MEM_RESERVED, MEM_ACPI, MEM_NVS, MEM_UNUSABLE };

/* Add a range of `len` bytes; empty and overflowing ranges are dropped, one that continues the last is merged.
 * Returns false if it does not fit (the caller says so; what is missing is then not used). */
bool memmap_add(struct boot_info *bi, u64 start, u64 len, u32 type);
/* Align to pages (RAM inwards, the rest outwards), sort, resolve overlaps (the most restrictive type wins), merge. */
void memmap_finish(struct boot_info *bi);
/* Convert an EFI memory map (UEFI 2.10, 7.2.3): `size` bytes of descriptors `desc_size` apart. False: malformed. */
bool memmap_add_efi(struct boot_info *bi, const void *map, u64 size, u64 desc_size);
/* Bytes of RAM in the map. */
u64 memmap_ram_bytes(const struct boot_info *bi);
/* Is [start, end) RAM all over? The map must be finished. */
bool memmap_is_ram(const struct boot_info *bi, paddr_t start, paddr_t end);
