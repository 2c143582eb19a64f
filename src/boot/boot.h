/* SPDX-License-Identifier: MIT */
/* What every boot entry (multiboot 1 and 2, PVH, EFI) leaves behind for main.c, in one form. */
#pragma once
#include "lib/types.h"

#define BOOT_MAX_MODULES 8
#define BOOT_MAX_MMAP 256
#define BOOT_CMDLINE 2048

struct boot_module { paddr_t start; u64 size; char cmdline[BOOT_CMDLINE]; };
/* types: E820 numbers 1 RAM, 2 reserved, 3 ACPI, 4 NVS, 5 unusable */
struct boot_range { paddr_t start, end; u32 type; };

struct boot_info {
    const char *entry;              /* "multiboot", "multiboot2", "PVH", "EFI" for the log */
    char cmdline[BOOT_CMDLINE];     /* hypervisor's own, without program name / "placeholder" */
    unsigned nr_modules;
    struct boot_module module[BOOT_MAX_MODULES];    /* 0 = dom0 kernel, then initrd; microcode moved out */
    unsigned nr_mmap, nr_mmap_lost; /* lost: for want of room */
    struct boot_range mmap[BOOT_MAX_MMAP];          /* sorted, non-overlapping */
    paddr_t rsdp;                   /* 0: search below 1 MiB */
    paddr_t ucode; u64 ucode_size;  /* microcode file of its own (EFI: ucode=), 0 if none */
    paddr_t image_start, image_end; /* where the hypervisor lies */
    u64 efi_system_table;           /* 0 if not EFI */
    u64 efi_memmap; u32 efi_memmap_size, efi_memdesc_size;
    struct { paddr_t addr; u32 pitch, width, height; u8 bpp, red_pos, red_size, green_pos, green_size, blue_pos,
             blue_size; bool text; } fb;
    u64 entry_tsc;                  /* TSC at our first instruction */
};
extern struct boot_info boot_info;
/* Stack of the boot CPU until cpu_run(); the page below boot_stack is never mapped (hostmap.h). */
extern u8 boot_stack[], boot_stack_top[];
/* The image in memory; section boundaries are page-aligned. */
extern u8 _start_image[], _stext[], _etext[], _srodata[], _erodata[], _sdata[], _end_image[];
