/* SPDX-License-Identifier: MIT */
/*
 * Grant table v1. A mapping is a record (maptrack handle) with parts {host, device}; each part owns exactly one
 * page reference and one pin of the granter's active entry (I-3). "In use" ends and the handle is freed in the
 * critical section that drops the last pin, after CPU and IOMMU invalidation (I-4, I-5).
 */
#pragma once
#include "dom/domain.h"

int gnttab_domain_init(struct domain *d) __must_check;
/* Release every mapping that d made (restartable), then drop the table; active entries that others still map
 * keep their pages referenced. */
int gnttab_release_mappings(struct domain *d) __must_check;
void gnttab_domain_free(struct domain *d);

struct call;
long gnttab_op(struct call *c);     /* hypercall 20 */

/* Shared frame `idx` of d's table (grows on demand up to the limit): for add_to_physmap and acquire_resource.
 * 0 and *m; -EINVAL, -ENOMEM. Frames are immortal for the life of the domain. */
int gnttab_get_frame(struct domain *d, unsigned idx, mfn_t *m) __must_check;
unsigned gnttab_nr_frames(struct domain *d);
/* HVM: an entry's frame was added at gfn (query by setup_table). */
void gnttab_set_gfn(struct domain *d, unsigned idx, gfn_t g);
void gnttab_dump(struct domain *d); /* debug key 'g' */
