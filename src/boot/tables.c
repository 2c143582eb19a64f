/* SPDX-License-Identifier: MIT */
/* The tables of the first instructions in 64-bit mode, as head.S builds them in 32-bit mode: 4 GiB one to one and
 * the image at its link address. Also called by EFI code, at any address: only differences of addresses are used. */
#include "boot/boot.h"
#include "boot/start.h"
#include "lib/lib.h"

enum { TABLE = 3, PAGE_2M = 0x83 };     /* present, writable; and 2 MiB */

extern u8 boot_tables[], boot_tables_end[];
extern u8 boot_pml4[], boot_pdpt_low[], boot_pdpt_high[], boot_pd_low[], boot_pd_high[];

paddr_t boot_tables_build(void *copy, paddr_t base)
{
    u8 *t = (u8 *)copy + (boot_tables - _start_image);
    const paddr_t phys = base + (u64)(boot_tables - _start_image);
    u64 *pml4 = (u64 *)(t + (boot_pml4 - boot_tables)), *low = (u64 *)(t + (boot_pdpt_low - boot_tables));
    u64 *high = (u64 *)(t + (boot_pdpt_high - boot_tables)), *pd_low = (u64 *)(t + (boot_pd_low - boot_tables));
    u64 *pd_high = (u64 *)(t + (boot_pd_high - boot_tables));

    memset(t, 0, (size_t)(boot_tables_end - boot_tables));
    pml4[0] = (phys + (u64)(boot_pdpt_low - boot_tables)) | TABLE;
    pml4[LINK_BASE >> 39 & 511] = (phys + (u64)(boot_pdpt_high - boot_tables)) | TABLE;
    high[LINK_BASE >> 30 & 511] = (phys + (u64)(boot_pd_high - boot_tables)) | TABLE;
    for (unsigned i = 0; i < 4; i++)
        low[i] = (phys + (u64)(boot_pd_low - boot_tables) + i * PAGE_SIZE) | TABLE;
    for (unsigned i = 0; i < 2048; i++)
        pd_low[i] = i * SZ_2M | PAGE_2M;
    for (u64 off = 0; off < (u64)(_end_image - _start_image); off += SZ_2M)
        pd_high[off / SZ_2M] = (base + off) | PAGE_2M;
    return phys + (u64)(boot_pml4 - boot_tables);
}
