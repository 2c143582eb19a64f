/* SPDX-License-Identifier: MIT */
/* IOMMU interface (AMD-Vi now, VT-d later). One second-level table per domain; hypervisor frames never mapped. */
#pragma once
#include "dom/domain.h"

/* Find, check and switch on the IOMMUs; false if the machine has none (or iommu=off). Translation for all devices
 * is blocked until iommu_domain_attach_all(). */
bool iommu_init(void);
extern bool iommu_enabled;
/* Width of the addresses that devices can use through the IOMMUs. */
unsigned iommu_address_bits(void);
int iommu_domain_init(struct domain *d) __must_check;
void iommu_domain_destroy(struct domain *d);
/* Map 2^order frames g -> m for d's devices. Called by p2m.c only. -ENOMEM. No-op (0) for domains without devices. */
int iommu_map(struct domain *d, gfn_t g, mfn_t m, unsigned order, bool write) __must_check;
/* Split what translates more than the 2^order frames at g (aligned), so that their removal needs no memory: called in
 * the check of a removal. Changes nothing a device can see. 0 or -ENOMEM. */
int iommu_split(struct domain *d, gfn_t g, unsigned order) __must_check;
/* Remove one frame (splits reserved beforehand). Invalidation is queued; iommu_flush forces it. Cannot fail. */
void iommu_unmap(struct domain *d, gfn_t g);
/* The same for 2^order frames, large entries as a whole. */
void iommu_unmap_range(struct domain *d, gfn_t g, unsigned order);
void iommu_flush(struct domain *d);
/* All PCI devices not owned by the hypervisor go to d (dom0). */
int iommu_attach_all(struct domain *d) __must_check;
/* Debug key 'V'. */
void iommu_dump(void);
