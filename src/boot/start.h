/* SPDX-License-Identifier: MIT */
/* Between the entry code (head.S, efi*.c) and main.c. */
#pragma once
#include "lib/types.h"

#define BOOT_MAGIC_EFI 0x20494645u          /* "EFI ": boot_info is filled already */
#define LINK_BASE 0xFFFF82D040000000ULL     /* as in xen.lds */

/* All entries arrive here: 64-bit mode at the link address, boot tables, boot stack, .bss cleared (EFI: filled).
 * magic and info as the loader gave them; tsc at the first instruction; base = physical address of the image. */
void boot_start(u32 magic, paddr_t info, u64 tsc, paddr_t base) __noreturn;

/* Build the boot tables inside the copy of the image at `copy`, for an image that lies at `base` (2 MiB aligned).
 * Returns the physical address for CR3. */
paddr_t boot_tables_build(void *copy, paddr_t base);

/* head.S: leave EFI: switch to cr3, go on in boot_start() of the image at `base`. */
void efi_handover(u64 cr3, paddr_t base, u64 tsc) __noreturn;
/* EFI entries in C, called by head.S with the firmware's stack. They return only if they fail. */
u64 efi_main(void *image, void *system_table, u64 tsc);
void efi_mb2_main(u32 magic, paddr_t info, u64 tsc);
