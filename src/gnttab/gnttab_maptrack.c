/* SPDX-License-Identifier: MIT */
/* Grant tables, mapper's side: the records of its mappings and their handles. One free list, one lock (XSA-228). */
#include "gnttab/gnttab_priv.h"

static struct maptrack *record(struct gnttab *gt, u32 handle)
{
    u32 n = gt->mt_frames * (u32)RECORDS_PER_FRAME;
    if (handle >= n) return NULL;
    handle = (u32)index_nospec(handle, n);
    return &gt->mt[handle / RECORDS_PER_FRAME][handle % RECORDS_PER_FRAME];
}

static bool grow_locked(struct gnttab *gt)
{
    if (gt->mt_frames == gt->mt_max) return false;
    if (!gt->mt && !(gt->mt = kzalloc(gt->mt_max * sizeof(gt->mt[0])))) return false;
    struct maptrack *page = kzalloc(PAGE_SIZE);
    if (!page) return false;
    u32 first = gt->mt_frames * (u32)RECORDS_PER_FRAME;
    for (u32 i = 0; i < RECORDS_PER_FRAME; i++)
        page[i].ref = i + 1 < RECORDS_PER_FRAME ? first + i + 1 : gt->mt_free;
    gt->mt[gt->mt_frames++] = page;
    gt->mt_free = first;
    return true;
}

u32 maptrack_alloc(struct domain *d)
{
    struct gnttab *gt = d->gnttab;
    u32 handle = MT_NONE;
    spin_lock(&gt->mt_lock);
    if (gt->mt_free != MT_NONE || grow_locked(gt)) {
        handle = gt->mt_free;
        struct maptrack *r = record(gt, handle);
        gt->mt_free = r->ref;
        r->state = MT_BUSY;
        gt->mt_used++;
    }
    spin_unlock(&gt->mt_lock);
    return handle;
}

void maptrack_free(struct domain *d, u32 handle)
{
    struct gnttab *gt = d->gnttab;
    spin_lock(&gt->mt_lock);
    *record(gt, handle) = (struct maptrack){ .ref = gt->mt_free, .state = MT_FREE };
    gt->mt_free = handle;
    gt->mt_used--;
    spin_unlock(&gt->mt_lock);
}

void maptrack_publish(struct domain *d, u32 handle, const struct maptrack *rec)
{
    struct gnttab *gt = d->gnttab;
    spin_lock(&gt->mt_lock);
    *record(gt, handle) = *rec;
    spin_unlock(&gt->mt_lock);
}

static int claim_locked(struct gnttab *gt, u32 handle, u64 host_addr, struct maptrack *rec)
{
    struct maptrack *r = record(gt, handle);
    if (!r || r->state != MT_MAPPED) return GNTST_bad_handle;
    if (host_addr != r->gfn << PAGE_SHIFT) return GNTST_bad_virt_addr;
    r->state = MT_BUSY;
    *rec = *r;
    return GNTST_okay;
}

int maptrack_claim(struct domain *d, u32 handle, u64 host_addr, struct maptrack *rec)
{
    spin_lock(&d->gnttab->mt_lock);
    int st = claim_locked(d->gnttab, handle, host_addr, rec);
    spin_unlock(&d->gnttab->mt_lock);
    return st;
}

void maptrack_unclaim(struct domain *d, u32 handle)
{
    spin_lock(&d->gnttab->mt_lock);
    record(d->gnttab, handle)->state = MT_MAPPED;
    spin_unlock(&d->gnttab->mt_lock);
}

u32 maptrack_next(struct domain *d, u32 handle, u32 max, bool *found)
{
    struct gnttab *gt = d->gnttab;
    u32 next = MT_NONE;
    *found = false;
    spin_lock(&gt->mt_lock);
    for (u32 n = gt->mt_used ? gt->mt_frames * (u32)RECORDS_PER_FRAME : 0; handle < n; handle++) {
        *found = record(gt, handle)->state == MT_MAPPED;
        if (*found || !max--) {
            next = handle;
            break;
        }
    }
    spin_unlock(&gt->mt_lock);
    return next;
}
