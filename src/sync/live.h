/* SPDX-License-Identifier: MIT */
/*
 * Entries of tables that processors or devices walk while we change them (I-14): second-stage and IOMMU page tables,
 * device tables. The only member is const and volatile, so that a plain load or store of an entry does not compile;
 * these functions are the way. A table that is not linked yet is an array of u64, filled by plain stores.
 */
#pragma once
#include "sync/sync.h"

struct live_entry { const volatile u64 by_functions_only; };
STATIC_ASSERT(sizeof(struct live_entry) == 8);

/* One load, while others may change the entry. */
static inline u64 live_read(const struct live_entry *e) { return read_once(&e->by_functions_only); }
/* The same for who holds the lock of the table: only he changes it. */
static inline u64 live_get(const struct live_entry *e) { return e->by_functions_only; }

/* One aligned store, after all stores before it: a table is complete when the entry that links it is written. */
#ifdef HOSTED
void live_write(struct live_entry *e, u64 v);       /* tests look at what a device or processor finds then */
#else
static inline void live_write(struct live_entry *e, u64 v) { store_release((u64 *)&e->by_functions_only, v); }
#endif
