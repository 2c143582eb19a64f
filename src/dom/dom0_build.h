/* SPDX-License-Identifier: MIT */
/* Private to the dom0 builder (src/dom/dom0*.c). */
#pragma once
#include "dom/dom0.h"
#include "dom/dom0_map.h"

#define DOM0_CMDLINE_MAX 2048           /* Linux: COMMAND_LINE_SIZE, with the final 0 */
#define DOM0_MEMMAP_MAX 128             /* entries Linux takes from start_info */
#define DOM0_AVOID_MAX 12

/* A boot module: the pages it lies in, and its exact place. size 0: there is none. */
struct dom0_module { struct dom0_range at; paddr_t addr; u64 size; };

struct dom0_build {
    struct domain *d;
    struct dom0_map map;
    struct dom0_module kernel, initrd;
    bool bzimage;                       /* needs the in-guest loader */
    u64 entry;                          /* PVH entry; with the loader known later */
    struct dom0_range footprint;        /* where the kernel will lie */
    struct dom0_range acpi;             /* page(s) for the synthetic tables */
    struct dom0_range boot;             /* start_info, lists, command line */
    struct dom0_range loader;           /* loader's image, tables, stack */
    paddr_t rsdp;
    char cmdline[DOM0_CMDLINE_MAX];
};

/* One line on the console, then halt. */
void dom0_fail(const char *fmt, ...) __noreturn __printf(1, 2);

/* dom0_firmware.c: fill the list of denied MMIO; map ACPI, reserved and low memory 1:1. */
void dom0_deny_mmio(void);
void dom0_map_firmware(struct dom0_build *b);

/* dom0_place.c: places in dom0's RAM, highest first, that touch nothing placed before. 0: no room. */
paddr_t dom0_place(struct dom0_build *b, u64 size, u64 align, paddr_t below);
void dom0_place_modules(struct dom0_build *b);
void dom0_write_start_info(struct dom0_build *b);

/* dom0_kernel.c: find out what module 0 is and its footprint; put a plain ELF into place. */
void dom0_kernel_probe(struct dom0_build *b);
void dom0_kernel_load(struct dom0_build *b);

/* dom0_acpi.c */
struct acpi_table_ref { char sig[5]; paddr_t addr; };
struct dom0_acpi_in {
    const struct acpi_table_ref *table; unsigned nr_tables;     /* host's */
    unsigned nr_vcpus;
    char oem[6], oem_table[8];
};
/* Bytes that dom0_acpi_write() may need. */
u64 dom0_acpi_size(const struct dom0_acpi_in *in);
/* Write RSDP, XSDT and MADT to buf, which dom0 sees at `at`. Returns the RSDP's address. */
paddr_t dom0_acpi_write(void *buf, paddr_t at, const struct dom0_acpi_in *in);
bool dom0_acpi_allowed(const char *sig);

/* dom0_ports.c */
void dom0_open_ports(struct domain *d);

/* dom0_loader.c: place loader, arena and page tables; make vCPU 0 start in it. */
void dom0_loader_start(struct dom0_build *b);
