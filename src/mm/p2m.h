/* SPDX-License-Identifier: MIT */
/*
 * Second-stage (guest-physical to machine) translation of one domain: 4-level tables in the AMD64 long-mode
 * format, owned by this module alone; nothing else touches a live entry (design rule 5). Table pages come from
 * the domain's paging pool. Entries change by single aligned stores (I-14). An entry's software bits hold its
 * type. RAM the domain owns is mapped without a record; every other mapping is a record with a page reference.
 */
#pragma once
#include "mm/guest_mem.h"
#include "mm/mm.h"

struct domain;
struct p2m;
struct p2m_batch;

enum p2m_type {
    P2M_NONE,           /* nothing there */
    P2M_RAM,            /* RAM owned by the domain */
    P2M_RAM_RO,         /* the same, writes are discarded (ROM) */
    P2M_GRANT_RW, P2M_GRANT_RO,     /* somebody's granted page */
    P2M_FOREIGN,        /* somebody's page, mapped by privilege */
    P2M_SPECIAL,        /* hypervisor page: shared_info, grant table frame, ioreq page */
    P2M_MMIO,           /* device memory, uncached or write-combining, mapped through */
    P2M_IDENT,          /* identity-mapped firmware memory (ACPI, reserved, below 1 MiB), write-back */
};
static inline bool p2m_is_ram(enum p2m_type t) { return t == P2M_RAM || t == P2M_RAM_RO; }
static inline bool p2m_is_grant(enum p2m_type t) { return t == P2M_GRANT_RW || t == P2M_GRANT_RO; }

int p2m_create(struct domain *d) __must_check;      /* allocates the root from the pool's initial pages */
/* Free all tables; restartable: -ERESTART if there is more to do. Owned RAM found mapped is freed too, records
 * are dropped with their references. The domain must not run any more. */
int p2m_destroy(struct domain *d) __must_check;
/* After p2m_destroy(): the domain structure is about to be freed, nobody can reach it any more. */
void p2m_free(struct domain *d);
paddr_t p2m_root(const struct domain *d);           /* nCR3 / EPTP base */

/* Paging pool: limit of what tables (and splits) may take. Of it a floor is committed against free memory at all
 * times, the rest as tables are made. */
u64 p2m_pool_get(const struct domain *d);           /* bytes */
/* -ENOMEM if the machine could not commit that much now or the domain uses more already. */
int p2m_pool_set(struct domain *d, u64 bytes) __must_check;

/* Look up one gfn. *order (may be NULL) gets the order of the mapping. No reference is taken: the result may
 * only be used for decisions that are re-checked, or while the p2m lock is held. */
mfn_t p2m_lookup(struct domain *d, gfn_t g, enum p2m_type *type, unsigned *order);

/* Translate and take a reference on RAM (also through grant and foreign mappings: the reference is taken on
 * the underlying frame). write: must be writable. 0 and *m set, or -ENOENT nothing there, -EPERM read-only or
 * not RAM, -EBUSY. For one access, not longer: the caller drops it with page_put_short(). */
int p2m_get_page(struct domain *d, gfn_t g, bool write, mfn_t *m) __must_check;
/* The same, but only RAM that d itself owns, and for long (grants, foreign maps, registration of shared pages): a
 * reference as of page_get(). Also -ENOMEM. */
int p2m_get_owned(struct domain *d, gfn_t g, bool write, mfn_t *m) __must_check;

/* Map 2^order frames of RAM that d owns (just allocated) at g. 0, -EEXIST (something is mapped), -ENOMEM. */
int p2m_map_ram(struct domain *d, gfn_t g, mfn_t m, unsigned order) __must_check;
/* Remove one page of RAM from the guest and give the frame up (balloon, replaced RAM). Flushes first.
 * 0, -ENOENT (no RAM there), -ENOMEM (pool cannot take the split; nothing changed: XSA-222). */
int p2m_remove_ram(struct domain *d, gfn_t g) __must_check;

/* The same for 2^order pages (0, or 9 with g aligned) under a batch: the frames are given up by p2m_batch_finish().
 * Order 9: only where one 2 MiB entry maps all of it, else -EINVAL and nothing changed. */
int p2m_remove_ram_batch(struct domain *d, gfn_t g, unsigned order, struct p2m_batch *batch) __must_check;
/* Move one page of RAM from gfn `from` to gfn `to`; RAM at `to` is given up. 0, -ENOENT (no RAM at from), -EBUSY (a
 * record at to), -ENOMEM. */
int p2m_move_ram(struct domain *d, gfn_t from, gfn_t to) __must_check;

/* Map one frame as a record of `type` (grant, foreign, special, ident, mmio). For grant and foreign the caller
 * passes in a reference it took with page_get(); the record owns it from success on. g must be empty unless
 * `replace` (then RAM there is given up first, any other record there makes it -EBUSY).
 * Also enters it in the domain's IOMMU tables. 0, -EEXIST, -ENOMEM, -EBUSY. */
int p2m_map_record(struct domain *d, gfn_t g, mfn_t m, enum p2m_type type, bool replace) __must_check;
/* Remove the record at g if it is of `type` and maps m (INVALID_MFN: any). Never allocates (design rule 6).
 * CPU flush is done before return unless `batch` is given; the reference is dropped after the flush.
 * 0, -ENOENT, -EINVAL (something else is there). */
int p2m_unmap_record(struct domain *d, gfn_t g, mfn_t m, enum p2m_type type, struct p2m_batch *batch) __must_check;
/* The same for any frame and under a batch, but the record's reference goes to the caller, who drops *m after
 * p2m_batch_finish(). 0, -ENOENT, -EINVAL. */
int p2m_take_record(struct domain *d, gfn_t g, enum p2m_type type, struct p2m_batch *batch, mfn_t *m) __must_check;
/* Several removals under one flush: references are kept in the batch until p2m_batch_finish(). */
#define P2M_BATCH_MAX 64
struct p2m_batch { struct domain *d; unsigned n; bool dirty; u64 ram, big; mfn_t put[P2M_BATCH_MAX]; };
void p2m_batch_start(struct p2m_batch *b, struct domain *d);
void p2m_batch_finish(struct p2m_batch *b);

/* Identity mappings for dom0 in the largest possible pages: type P2M_RAM (owned, 1:1), P2M_IDENT or P2M_MMIO.
 * Boot and BAR tracking only. */
int p2m_map_identity(struct domain *d, paddr_t start, paddr_t end, enum p2m_type type) __must_check;
int p2m_unmap_identity(struct domain *d, paddr_t start, paddr_t end, enum p2m_type type) __must_check;
/* Access without a reference, for the time between enter and exit, which must be short: frames that are mapped in d's
 * p2m when looked up inside stay what they are until exit (removal waits for it). No p2m lock may be taken and
 * nothing may be unmapped inside. p2m_peek(): frame at g that may be read (write: written) as RAM, INVALID_MFN if
 * there is none. Returns what exit wants. */
const struct domain *p2m_enter(const struct domain *d);
void p2m_exit(const struct domain *prev);
mfn_t p2m_peek(const struct domain *d, gfn_t g, bool write);
/* The same for several places in a row within one section, as pointers that are good up to the page's end or the end
 * of the section; NULL: no access. Remembers the last leaf. Start with { .d = d }. */
struct p2m_view { const struct domain *d; gpa_t start, size; struct guest_mem *va; bool write; };
struct guest_mem *p2m_view_find(struct p2m_view *w, gpa_t at, bool write);
static inline struct guest_mem *p2m_view(struct p2m_view *w, gpa_t at, bool write)
{
    gpa_t off = at - w->start;

    if (likely(off < w->size && (!write || w->write)))
        return guest_mem_at(w->va, off);
    return p2m_view_find(w, at, write);
}
/* Highest gfn that was ever mapped. */
gfn_t p2m_max_gfn(const struct domain *d);
/* Change P2M_RAM <-> P2M_RAM_RO of one page. Nobody calls it yet: it waits for device models (ROMs), with its tests. */
int p2m_set_ram_type(struct domain *d, gfn_t g, enum p2m_type type) __must_check;
