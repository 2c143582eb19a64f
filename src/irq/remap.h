/* SPDX-License-Identifier: MIT */
/*
 * Interrupt remapping: the contract between src/irq and the IOMMU's driver (src/iommu/intremap.c), which implements all
 * but the last function. A requester (a PCI function, or the id under which an IO-APIC sends) raises the vectors that
 * it was given, at the CPU that was said, and no others; one that was given none raises nothing.
 *
 * A requester's table is looked up by the vector itself, so messages and redirection entries are the same with and
 * without remapping, and there is always an entry where there is a vector.
 */
#pragma once
#include "lib/types.h"

/* Set at boot, before other CPUs run, if at all. While it is false the functions below do nothing and succeed. */
extern bool remap_on;

/* Let `requester` raise `vector` at the CPU with this APIC id; if it may already, the CPU changes. In force on return.
 * 0; -ENOMEM: no memory for its table; -ENODEV: it lies beyond the device table; -EOPNOTSUPP: the APIC id does not fit
 * into an entry. Nothing has changed then. Locks up to RANK_IRQ may be held. */
int remap_allow(u16 requester, unsigned vector, u32 apic_id) __must_check;
/* The requester cannot raise `vector` any more when this returns. */
void remap_forbid(u16 requester, unsigned vector);

/* In src/irq/ioapic.c, for the IOMMU's driver: allow what is routed already (the console's line). As remap_allow(). */
int ioapic_remap(void) __must_check;
