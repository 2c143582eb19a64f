/* SPDX-License-Identifier: MIT */
/* Grant tables, granter's side: pins of entries, and our two bits in the entry that the guest shares with us. */
#include "gnttab/gnttab_priv.h"

#define USE_TRIES 16            /* a guest that keeps changing an entry is told so */
#define PINS_MAX 0x7fffffffu

#define NO_REF (~0u)
/* ref, masked for all that is looked up by it; NO_REF: there is no such entry. */
static inline u32 check_ref(const struct gnttab *gt, u32 ref)
{
    u32 n = load_acquire(&gt->nr_frames) * (u32)REFS_PER_FRAME;
    return ref < n ? (u32)index_nospec(ref, n) : NO_REF;
}

/* Of a number that was checked. */
static inline struct shared_grant *entry_of(const struct gnttab *gt, u32 ref)
{
    return &gt->frame[ref / REFS_PER_FRAME][ref % REFS_PER_FRAME];
}

/* The same for the active entry. NULL: out of memory. */
static struct active *active_of(struct gnttab *gt, u32 ref)
{
    struct active **chunk = &gt->active[ref / ACTIVE_PER_CHUNK];
    if (!*chunk) *chunk = kzalloc(ACTIVE_PER_CHUNK * sizeof(**chunk));
    return *chunk ? &(*chunk)[ref % ACTIVE_PER_CHUNK] : NULL;
}

/* Tell the granter that its entry is in use, in one step with the check that it allows this use. */
static int mark_used(struct shared_grant *e, u16 domid, bool write)
{
    u32 bits = write ? GTF_reading | GTF_writing : GTF_reading;
    for (unsigned i = 0; i < USE_TRIES; i++) {
        u32 w = grant_use(e);
        if ((w & GTF_type_mask) != GTF_permit_access || w >> 16 != domid) return GNTST_general_error;
        if (write && w & GTF_readonly) return GNTST_general_error;
        if (grant_use_cas(e, w, w | bits)) return GNTST_okay;
    }
    return GNTST_general_error;
}

/* After the active entry lost a use: clear what holds no longer. */
static void mark_unused(struct shared_grant *e, const struct active *a)
{
    u32 gone = (a->pins ? 0 : GTF_reading) | (a->wpins ? 0 : GTF_writing);
    if (gone) grant_use_clear(e, gone);
}

int gnttab_status(int err)
{
    switch (err) {
    case 0: return GNTST_okay;
    case -ENOENT: return GNTST_bad_page;
    case -ENOMEM: return GNTST_no_space;
    default: return GNTST_general_error;
    }
}

static int pin_locked(struct domain *rd, u32 ref, u16 domid, bool write, mfn_t *m)
{
    struct gnttab *gt = rd->gnttab;
    if (gt->dying) return GNTST_bad_domain;
    ref = check_ref(gt, ref);
    if (ref == NO_REF) return GNTST_bad_gntref;
    struct shared_grant *e = entry_of(gt, ref);
    struct active *a = active_of(gt, ref);
    if (!a) return GNTST_no_space;
    bool first = !a->pins;
    if (!first && (a->domid != domid || a->pins == PINS_MAX)) return GNTST_general_error;
    if (first || (write && !a->wpins)) {
        int st = mark_used(e, domid, write);
        if (st) return st;
    }
    int rc;
    if (first) {
        rc = p2m_get_owned(rd, GFN(grant_frame(e)), write, m);
    } else {
        *m = MFN(a->mfn);
        rc = page_get(rd, *m);
    }
    if (rc) {
        mark_unused(e, a);
        return gnttab_status(rc);
    }
    a->mfn = m->n;
    a->domid = domid;
    a->pins++;
    a->wpins += write;
    return GNTST_okay;
}

int gnttab_pin(struct domain *rd, u32 ref, u16 domid, bool write, mfn_t *m)
{
    spin_lock(&rd->gnttab->entry_lock);
    int st = pin_locked(rd, ref, domid, write, m);
    spin_unlock(&rd->gnttab->entry_lock);
    return st;
}

static void unpin_locked(struct gnttab *gt, u32 ref, bool write, mfn_t m)
{
    struct active *a = &gt->active[ref / ACTIVE_PER_CHUNK][ref % ACTIVE_PER_CHUNK];
    page_put(m);                    /* before the granter sees that its page is free (I-4) */
    a->pins--;
    a->wpins -= write;
    mark_unused(entry_of(gt, ref), a);
}

void gnttab_unpin(struct domain *rd, u32 ref, bool write, mfn_t m)
{
    spin_lock(&rd->gnttab->entry_lock);
    unpin_locked(rd->gnttab, ref, write, m);
    spin_unlock(&rd->gnttab->entry_lock);
}

void gnttab_unpin_and_free(struct domain *rd, u32 ref, bool write, mfn_t m, struct domain *mapper, u32 handle)
{
    if (rd) spin_lock(&rd->gnttab->entry_lock);
    if (rd) unpin_locked(rd->gnttab, ref, write, m);
    else page_put(m);
    maptrack_free(mapper, handle);
    if (rd) spin_unlock(&rd->gnttab->entry_lock);
}

static int swap_locked(struct gnttab *gt, u32 a, u32 b)
{
    a = check_ref(gt, a);
    b = check_ref(gt, b);
    if (a == NO_REF || b == NO_REF) return GNTST_bad_gntref;
    if (a == b) return GNTST_okay;
    struct shared_grant *ea = entry_of(gt, a), *eb = entry_of(gt, b);
    struct active *xa = active_of(gt, a), *xb = active_of(gt, b);
    if (!xa || !xb) return GNTST_no_space;
    if (xa->pins || xb->pins) return GNTST_eagain;
    u32 use = grant_use(ea), frame = grant_frame(ea);
    grant_write(ea, grant_use(eb), grant_frame(eb));
    grant_write(eb, use, frame);
    return GNTST_okay;
}

int gnttab_swap(struct domain *d, u32 a, u32 b)
{
    spin_lock(&d->gnttab->entry_lock);
    int st = swap_locked(d->gnttab, a, b);
    spin_unlock(&d->gnttab->entry_lock);
    return st;
}

void gnttab_dump(struct domain *d)
{
    struct gnttab *gt = d->gnttab;
    if (!gt) return;
    spin_lock(&gt->entry_lock);
    printk(LOG_INFO, "d%u: %u of %u frames, %u mappings of other domains' grants\n", d->id, gt->nr_frames,
           gt->max_frames, gt->mt_used);
    for (u32 ref = 0; ref < gt->nr_frames * REFS_PER_FRAME; ref++) {
        struct active *chunk = gt->active[ref / ACTIVE_PER_CHUNK], *a = chunk ? chunk + ref % ACTIVE_PER_CHUNK : NULL;
        if (a && a->pins)
            printk(LOG_INFO, "  ref %u: mfn %lx for d%u, %u pins (%u writing), flags %x\n", ref,
                   (unsigned long)a->mfn, (unsigned)a->domid, a->pins, a->wpins,
                   grant_use(entry_of(gt, ref)) & 0xffff);
    }
    spin_unlock(&gt->entry_lock);
}

#ifdef HOSTED
struct active *gnttab_active(struct domain *d, u32 ref)
{
    struct active *chunk = d->gnttab->active[ref / ACTIVE_PER_CHUNK];
    return chunk ? &chunk[ref % ACTIVE_PER_CHUNK] : NULL;
}

static void audit_maptrack(struct gnttab *gt)
{
    u32 used = 0, free = 0, total = gt->mt_frames * (u32)RECORDS_PER_FRAME;
    for (u32 h = 0; h < total; h++) {
        struct maptrack *r = &gt->mt[h / RECORDS_PER_FRAME][h % RECORDS_PER_FRAME];
        ASSERT(r->state == MT_FREE || r->state == MT_MAPPED);
        used += r->state != MT_FREE;
    }
    for (u32 h = gt->mt_free; h != MT_NONE; free++) {
        struct maptrack *r = &gt->mt[h / RECORDS_PER_FRAME][h % RECORDS_PER_FRAME];
        ASSERT(r->state == MT_FREE && free <= total);
        h = r->ref;
    }
    ASSERT(used == gt->mt_used && used + free == total);
}

void gnttab_audit(struct domain *d)
{
    struct gnttab *gt = d->gnttab;
    for (u32 ref = 0; ref < gt->nr_frames * REFS_PER_FRAME; ref++) {
        struct active *a = gnttab_active(d, ref);
        u32 use = grant_use(entry_of(gt, ref)), flags = use & (GTF_reading | GTF_writing);
        u32 want = !a ? 0 : (a->pins ? GTF_reading : 0) | (a->wpins ? GTF_writing : 0);
        if (use & GTF_type_mask) ASSERT(flags == want);
        if (a && a->pins) {
            ASSERT(a->wpins <= a->pins);
            ASSERT(page_owner(MFN(a->mfn)) == d || page_owner(MFN(a->mfn)) == NULL);
        }
    }
    audit_maptrack(gt);
}
#endif
