/* SPDX-License-Identifier: MIT */
/* What the IVRS table says. */
#pragma once
#include "irq/irq.h"

#define IVRS_MAX_IOMMUS 8
#define IVRS_MAX_RANGES 32
#define IVRS_MAX_ALIASES 64
#define IVRS_MAX_SETTINGS 64

/* Messages that pass without remapping; bits 4-5: what becomes of system management messages (section 5.2.2.1). */
enum { SETTING_INIT = 1, SETTING_EXTINT = 2, SETTING_NMI = 4, SETTING_SYSMGT = 0x30, SETTING_LINT0 = 0x40, SETTING_LINT1 = 0x80 };

struct ivrs_range { paddr_t start, end; u16 first, last; bool write; };      /* identity range of devices first..last */
struct ivrs_info {
    unsigned nr_iommus, nr_ranges;
    unsigned address_bits;              /* of addresses that devices can use; 64 if the table does not say */
    struct { paddr_t base; u16 segment, bdf; } iommu[IVRS_MAX_IOMMUS];
    struct ivrs_range range[IVRS_MAX_RANGES];
    /* From the device entries. devices_bad: one of them, named by its offset in the table, cannot be used. */
    unsigned nr_ioapics, nr_aliases, nr_settings;
    u32 devices_bad;
    struct { u8 id; u16 requester; } ioapic[MAX_IOAPICS];               /* id as in the MADT */
    struct { u16 first, last, alias; } alias[IVRS_MAX_ALIASES];         /* these devices may send under this id */
    /* What the firmware wants in the entries of these devices, SETTING_*, where it is not 0. Ranges may overlap: all count. */
    struct { u16 first, last; u8 bits; } setting[IVRS_MAX_SETTINGS];
};

struct acpi_header;
/* 0; -EINVAL: a length is wrong; -ENODEV: no IOMMU in it. */
int ivrs_parse(const struct acpi_header *table, struct ivrs_info *out) __must_check;
/* The other id under which messages of a device can arrive; its own if there is none. */
u16 ivrs_alias(const struct ivrs_info *info, u16 device);
/* Id under which an IO-APIC sends; -1 if the table does not say. */
int ivrs_ioapic(const struct ivrs_info *info, u8 id);
