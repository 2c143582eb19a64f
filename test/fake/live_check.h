/* SPDX-License-Identifier: MIT */
/*
 * What a processor or device finds in the live tables of a domain, second stage and IOMMU, at every store (I-14, XSA-321,
 * -328, -347): the store is to one entry and nothing else changed; it is a leaf or nothing in place of a leaf or nothing,
 * or a table that maps what was there before; a table goes only when its domain does.
 */
#pragma once
struct domain;
void live_check_start(struct domain *d);
/* Number of stores since; stops watching. Violations panic. */
unsigned live_check_end(void);
