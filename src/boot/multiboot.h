/* SPDX-License-Identifier: MIT */
/*
 * What 32-bit loaders hand over: multiboot 1, multiboot 2, PVH start_info. Everything in it is untrusted: all
 * lengths are checked, memory is only read through `at`. Pure functions, hosted too.
 */
#pragma once
#include "boot/boot.h"

#define MB1_BOOT_MAGIC 0x2badb002u
#define MB2_BOOT_MAGIC 0x36d76289u
#define PVH_BOOT_MAGIC 0x336ec578u      /* in start_info itself */

/* Pointer to physical memory [p, p+len), NULL if it cannot be read. */
typedef const void *(*phys_at_fn)(paddr_t p, size_t len);

/* What is not in boot_info. */
struct mb_extra {
    bool qemu;                      /* loaded by QEMU -kernel: file names precede the strings */
    bool efi_boot_services;         /* multiboot 2: still on, we must end them */
    u64 efi_image_handle;
    const void *rsdp; u32 rsdp_len; /* copy of the RSDP inside the information */
};
extern struct mb_extra mb_extra;    /* the boot entry's (main.c) */

/* Fill bi (zeroed before, except entry_tsc). NULL, or what is wrong with the information. */
const char *mb1_parse(struct boot_info *bi, struct mb_extra *x, paddr_t info, phys_at_fn at);
const char *mb2_parse(struct boot_info *bi, struct mb_extra *x, paddr_t info, phys_at_fn at);
const char *pvh_parse(struct boot_info *bi, struct mb_extra *x, paddr_t info, phys_at_fn at);
/* Copy a string without its first word if that is a program name: always if `named`, else when it looks like a
 * path or is GRUB's `placeholder`. Leading blanks go too. */
void boot_string(char *dst, const char *src, size_t size, bool named);
