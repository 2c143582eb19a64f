/* SPDX-License-Identifier: MIT */
#include "iommu/reserved.h"
#include "mm/mm.h"

struct reserved {
    struct reserved *next;
    u64 start, end;                     /* frames */
    bool write;
    unsigned users;
    u64 own[];                          /* bit k: this record mapped start + k, and takes it away */
};

static struct reserved *overlapping(struct iommu_domain *t, u64 start, u64 end)
{
    struct reserved *r = t->reserved;
    while (r && (r->end <= start || r->start >= end)) r = r->next;
    return r;
}

static struct reserved *containing(struct iommu_domain *t, u64 dfn)
{
    return overlapping(t, dfn, dfn + 1);
}

static void forget(struct iommu_domain *t, struct reserved *r)
{
    struct reserved **p = &t->reserved;
    while (*p != r) p = &(*p)->next;
    *p = r->next;
    kfree(r);
}

/* Take away what the record mapped. Its pages are single entries: this needs no memory. */
static void take_back(struct iommu_domain *t, struct reserved *r)
{
    for (u64 k = 0; k < r->end - r->start; k++) {
        if (!bit_test(r->own, (unsigned)k)) continue;
        bit_clear(r->own, (unsigned)k);
        if (table_unmap(t, r->start + k)) write_once(&t->stale, STALE_YES);
    }
}

/* Map frame `dfn` of the record, unless it is mapped the same way already. */
static int map_one(struct iommu_domain *t, struct reserved *r, u64 dfn)
{
    bool write;
    u64 mfn = table_lookup(t, dfn, &write);
    if (mfn == dfn && (write || !r->write)) return 0;
    if (mfn != NO_FRAME) return -EBUSY;
    int rc = table_map(t, dfn, dfn, 0, r->write);
    if (!rc) bit_set(r->own, (unsigned)(dfn - r->start));
    return rc;
}

int reserved_map(struct iommu_domain *t, u64 start, u64 end, bool write)
{
    if (start >= end) return -EINVAL;
    struct reserved *r = overlapping(t, start, end);
    if (r) {
        if (r->start != start || r->end != end || r->write != write) return -EADDRINUSE;
        r->users++;
        return 0;
    }
    r = kzalloc(sizeof(*r) + ROUND_UP(end - start, 64) / 8);
    if (!r) return -ENOMEM;
    r->start = start;
    r->end = end;
    r->write = write;
    r->users = 1;
    r->next = t->reserved;
    t->reserved = r;
    for (u64 f = start; f < end; f++) {
        int rc = map_one(t, r, f);
        if (!rc) continue;
        take_back(t, r);
        forget(t, r);
        return rc;
    }
    return 0;
}

int reserved_unmap(struct iommu_domain *t, u64 start, u64 end)
{
    struct reserved *r = overlapping(t, start, end);
    if (!r || r->start != start || r->end != end) return -ENOENT;
    if (--r->users) return 0;
    take_back(t, r);
    forget(t, r);
    return 0;
}

void reserved_free(struct iommu_domain *t)
{
    while (t->reserved) forget(t, t->reserved);
}

/* Copy record n; false: there are not so many. */
static bool record(struct iommu_domain *t, unsigned n, struct reserved *out)
{
    spin_lock(&t->lock);
    const struct reserved *r = t->reserved;
    while (r && n--) r = r->next;
    if (r) memcpy(out, r, sizeof(*r));
    spin_unlock(&t->lock);
    return r;
}

void reserved_dump(struct iommu_domain *t)
{
    struct reserved r;
    for (unsigned n = 0; record(t, n, &r); n++)
        printk(LOG_ERR, "  reserved %#lx-%#lx, %s, users %u\n", r.start << PAGE_SHIFT, r.end << PAGE_SHIFT,
               r.write ? "read and write" : "read only", r.users);
}

int reserved_check(struct iommu_domain *t, u64 dfn, u64 mfn, u64 n, bool write)
{
    return overlapping(t, dfn, dfn + n) && (dfn != mfn || !write) ? -EBUSY : 0;
}

void reserved_shared(struct iommu_domain *t, u64 dfn, u64 n)
{
    for (struct reserved *r = t->reserved; r; r = r->next)
        for (u64 f = MAX(dfn, r->start); f < MIN(dfn + n, r->end); f++) bit_clear(r->own, (unsigned)(f - r->start));
}

bool reserved_keeps(struct iommu_domain *t, u64 dfn)
{
    struct reserved *r = containing(t, dfn);
    if (!r) return false;
    bit_set(r->own, (unsigned)(dfn - r->start));
    /* Who goes could write; the table is there, so this needs no memory. */
    if (!r->write && !table_map(t, dfn, dfn, 0, false)) write_once(&t->stale, STALE_YES);
    return true;
}

bool reserved_within(struct iommu_domain *t, u64 dfn, u64 n) { return overlapping(t, dfn, dfn + n); }
