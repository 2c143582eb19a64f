/* SPDX-License-Identifier: MIT */
/* PCI: host configuration access, device list, and dom0's mediated view (vpci). */
#pragma once
#include "dom/domain.h"

typedef u32 sbdf_t;                     /* segment<<16 | bus<<8 | dev<<3 | fn */
u32 pci_read(sbdf_t s, unsigned reg, unsigned size);
void pci_write(sbdf_t s, unsigned reg, unsigned size, u32 val);
void pci_init(void);                    /* after acpi_init: ECAM windows, scan */
/* Hide a device from dom0 (serial in use, IOMMU). */
void pci_hide(sbdf_t s);
/* Highest bus number in use (found or assigned to a bridge). */
unsigned pci_last_bus(void);
bool pci_exists(sbdf_t s);
/* dom0's mediated configuration space: CF8/CFC ports, ECAM ranges, BAR tracking, MSI and MSI-X. */
int vpci_init(struct domain *d) __must_check;
/* physdev_op pci_device_add/remove: */
int pci_device_add(sbdf_t s); int pci_device_remove(sbdf_t s);
