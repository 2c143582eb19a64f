/* SPDX-License-Identifier: MIT */
/* Between the entry code (head.S, efi*.c) and main.c. */
#pragma once
#include "lib/types.h"

#define BOOT_MAGIC_EFI 0x20494645u      /* "EFI ": boot_info is filled already */

/* All entries arrive here: 64-bit mode at the link address, boot tables, boot stack, .bss cleared (EFI: filled).
 * magic and info as the loader gave them; tsc at the first instruction; base = physical address of the image. */
void boot_start(u32 magic, paddr_t info, u64 tsc, paddr_t base) __noreturn;
