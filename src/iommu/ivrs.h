/* SPDX-License-Identifier: MIT */
/* What the IVRS table says. */
#pragma once
#include "lib/types.h"

#define IVRS_MAX_IOMMUS 8
#define IVRS_MAX_RANGES 32

struct ivrs_range { paddr_t start, end; u16 first, last; bool write; };      /* identity range of devices first..last */
struct ivrs_info {
    unsigned nr_iommus, nr_ranges;
    struct { paddr_t base; u16 segment, bdf; } iommu[IVRS_MAX_IOMMUS];
    struct ivrs_range range[IVRS_MAX_RANGES];
};

struct acpi_header;
/* 0; -EINVAL: a length is wrong; -ENODEV: no IOMMU in it. */
int ivrs_parse(const struct acpi_header *table, struct ivrs_info *out) __must_check;
