/* SPDX-License-Identifier: MIT */
/*
 * The dom0 builder: a PVH domain that owns the machine's devices. Its RAM is host RAM mapped 1:1, its memory map
 * follows the host's (dom0_map.h), its ACPI tables are the host's but for RSDP, XSDT and MADT (dom0_acpi.c).
 */
#pragma once
#include "dom/domain.h"

/* Build dom0 from boot_info's modules and let it go (it runs once run_loop() starts). Whatever makes that
 * impossible is told in one line that says what was found and what is needed; then the machine halts. */
void dom0_create(void);
/* Ports of the PIT for a domain that has none: 0x42 reads 0, so that Linux's quick calibration ends at once
 * instead of polling 100,000 times (quick_pit_calibrate stops at any value but 0xff). 0 or -ENOMEM, -EEXIST. */
int no_pit_init(struct domain *d) __must_check;

/* Host MMIO that no domain may ever map: LAPIC, IO-APIC, IOMMU registers, HPET, ECAM. Boot only; page granular. */
void mmio_deny(paddr_t start, paddr_t end);
bool mmio_denied(paddr_t start, paddr_t end);
