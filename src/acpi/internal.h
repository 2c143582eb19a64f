/* SPDX-License-Identifier: MIT */
/* Parts of the ACPI module: acpi.c finds and checks tables, tables.c reads those the hypervisor needs. */
#pragma once
#include "acpi/acpi.h"
#include "lib/lib.h"

/* Fields of tables may be unaligned and are read through these; offsets are those of the ACPI 6.4 tables. */
static inline u16 acpi_u16(const void *t, unsigned off) { u16 v; memcpy(&v, (const u8 *)t + off, 2); return v; }
static inline u32 acpi_u32(const void *t, unsigned off) { u32 v; memcpy(&v, (const u8 *)t + off, 4); return v; }
static inline u64 acpi_u64(const void *t, unsigned off) { u64 v; memcpy(&v, (const u8 *)t + off, 8); return v; }

/* Read MADT, FADT, HPET and MCFG. */
void acpi_read_tables(void);
