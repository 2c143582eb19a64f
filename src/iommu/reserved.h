/* SPDX-License-Identifier: MIT */
/*
 * Memory that firmware declares for devices (IVMD blocks of the IVRS table, options ivmd= and rmrr=): mapped one to one in
 * the IOMMU tables of the domain that owns the devices. Each range is a record with a count of users; it is never merged
 * with another, and knows which of its pages it mapped itself (I-20). The record exists before the first page is mapped,
 * and a failure takes back every page that this call mapped (I-10, XSA-460). As long as a range has a record, nothing else
 * can be mapped at its addresses (XSA-378).
 */
#pragma once
#include "iommu/amd.h"
#include "iommu/ivrs.h"

/* Frames [start, end). Lock of t held for all of these; the caller flushes after a removal or an error.
 * 0; -EINVAL: empty; -EADDRINUSE: overlaps a range with other bounds or rights; -EBUSY: an address has another use;
 * -ENOMEM. After an error everything is as before. */
int reserved_map(struct iommu_domain *t, u64 start, u64 end, bool write) __must_check;
/* One user less; the last one takes the mappings with it. -ENOENT: no such range. Nobody calls it yet: dom0 keeps its
 * devices; it waits for passing them through, with its tests. */
int reserved_unmap(struct iommu_domain *t, u64 start, u64 end) __must_check;
/* Forget all records (end of the domain: its tables go as a whole). */
void reserved_free(struct iommu_domain *t);
/* Print the records (debug key 'V'). Takes the lock of t. */
void reserved_dump(struct iommu_domain *t);

/* For iommu_map(): may [dfn, dfn + n) get frames from mfn on? Only one to one and writable, else -EBUSY. */
int reserved_check(struct iommu_domain *t, u64 dfn, u64 mfn, u64 n, bool write) __must_check;
/* It got them: pages of a range that are mapped by somebody else too stay when the range goes. */
void reserved_shared(struct iommu_domain *t, u64 dfn, u64 n);
/* For iommu_unmap(): true if dfn has to stay mapped. It then belongs to its range, with the range's rights. */
bool reserved_keeps(struct iommu_domain *t, u64 dfn);
/* Does a range reach into [dfn, dfn + n)? Then frames are removed one by one. */
bool reserved_within(struct iommu_domain *t, u64 dfn, u64 n);

/* ---- the options ---- */
/* Ranges of the command line, in the reference's syntax: pages in hexadecimal, bounds inclusive,
 *   ivmd=<start>[-<end>][=<bdf>[-<bdf>][,...]][;...]        without devices: for all
 *   rmrr=<start>[-<end>]=[<segment>:]<bdf>[,...][;...]      one segment per range
 * Number of ranges put at out (one for each device or group of devices), or -EINVAL: then nothing counts. */
int reserved_parse(const char *value, bool rmrr, struct ivrs_range *out, unsigned max) __must_check;
/* Add them to what the table says. */
void reserved_add_options(struct ivrs_info *info);
