/* SPDX-License-Identifier: MIT */
/* ACPI static tables: every length, checksum and pointer is checked; a bad table is named and skipped. */
#pragma once
#include "lib/types.h"

struct acpi_header { char sig[4]; u32 length; u8 rev, checksum; char oem[6], oem_table[8]; u32 oem_rev, creator, creator_rev; } __packed;

/* Find RSDP (given by the loader or by search), walk (X)SDT. Continues without ACPI if there is none. */
void acpi_init(paddr_t rsdp);
/* n-th table with this signature, mapped, checksum good; NULL if none. Valid for ever. */
const struct acpi_header *acpi_find(const char sig[4], unsigned n);
/* All tables in XSDT order: address and signature (dom0's filtered XSDT is made from this). */
unsigned acpi_table_count(void);
paddr_t acpi_table_addr(unsigned i, char sig[5]);
extern paddr_t acpi_rsdp_paddr;

struct acpi_cpu { u32 apic_id, acpi_id; bool enabled; };
extern struct acpi_cpu acpi_cpus[64]; extern unsigned nr_acpi_cpus;
extern struct acpi_fadt_info { u16 pm_timer_port; bool pm_timer_32; u16 pm1a_cnt, pm1b_cnt, pm1a_evt; u8 reset_value; u64 reset_addr; u8 reset_space; u16 sci; } acpi_fadt;
extern paddr_t acpi_hpet_addr;          /* 0: none */
struct acpi_ecam { paddr_t base; u16 segment; u8 bus_start, bus_end; };
#define MAX_ECAMS 32
extern struct acpi_ecam acpi_ecam[MAX_ECAMS]; extern unsigned nr_acpi_ecam;
/* Fills ioapics[], irq_overrides[] (irq/irq.h) too. */
