/* SPDX-License-Identifier: MIT */
/* memory_op: hypervisor pages, moved pages and other domains' pages at guest frames. */
#include "call/memory.h"
#include "gnttab/gnttab.h"
#include "mm/p2m.h"

/* Map a record at g. RAM there is given up; a hypervisor or foreign page there is unhooked first (a guest that
 * boots a second kernel maps over what the first one left). Grants and device memory stay: -EBUSY. */
static int map_over(struct domain *d, gfn_t g, mfn_t m, enum p2m_type type)
{
    int rc = p2m_map_record(d, g, m, type, true);

    if (rc == -EBUSY) {
        enum p2m_type t;
        mfn_t old = p2m_lookup(d, g, &t, NULL);
        if (t == P2M_SPECIAL && type == P2M_SPECIAL && mfn_eq(old, m))
            return 0;
        if ((t == P2M_SPECIAL || t == P2M_FOREIGN) && !p2m_unmap_record(d, g, old, t, NULL))
            rc = p2m_map_record(d, g, m, type, true);
    }
    return rc;
}

/* shared_info is at one guest frame at a time: a second call moves it. */
static int add_shared_info(struct domain *d, gfn_t g)
{
    mfn_t m = virt_to_mfn(d->shared_info);
    int rc;

    spin_lock(&d->lock);
    rc = map_over(d, g, m, P2M_SPECIAL);
    if (!rc && !gfn_eq(d->shared_info_gfn, g)) {
        /* Gone already if something else was mapped over it. */
        if (!gfn_eq(d->shared_info_gfn, INVALID_GFN) &&
            p2m_unmap_record(d, d->shared_info_gfn, m, P2M_SPECIAL, NULL))
            gprintk(LOG_DEBUG, "d%u: shared_info was not at gfn %llx any more\n", d->id,
                    (unsigned long long)d->shared_info_gfn.n);
        d->shared_info_gfn = g;
    }
    spin_unlock(&d->lock);
    return rc;
}

static int add_grant_frame(struct domain *d, u64 idx, gfn_t g)
{
    mfn_t m;
    int rc;

    if (idx > ~0u || (idx & XENMAPIDX_grant_table_status))  /* no version 2, so no status frames */
        return -EINVAL;
    rc = gnttab_get_frame(d, (unsigned)idx, &m);
    if (rc)
        return rc;
    rc = map_over(d, g, m, P2M_SPECIAL);
    if (!rc)
        gnttab_set_gfn(d, (unsigned)idx, g);
    return rc;
}

/* Frame `idx` of fd into d. The reference taken here is the record's from success on. */
static int add_foreign(struct domain *d, struct domain *fd, u64 idx, gfn_t g)
{
    mfn_t m;
    int rc;

    if (fd == d)
        return -EINVAL;
    rc = p2m_get_owned(fd, GFN(idx), false, &m);
    /* -ENOENT would mean "paged out, try again" to Linux' privcmd: for ever. */
    if (rc)
        return rc == -ENOENT ? -EINVAL : rc;
    rc = map_over(d, g, m, P2M_FOREIGN);
    if (rc)
        page_put(m);
    return rc;
}

static int add_one(struct domain *d, struct domain *fd, unsigned space, u64 idx, u64 gpfn)
{
    int rc;

    switch (space) {
    case XENMAPSPACE_shared_info:
        return idx ? -EINVAL : add_shared_info(d, GFN(gpfn));
    case XENMAPSPACE_grant_table:
        return add_grant_frame(d, idx, GFN(gpfn));
    case XENMAPSPACE_gmfn:
    case XENMAPSPACE_gmfn_range:
        rc = p2m_move_ram(d, GFN(idx), GFN(gpfn));
        return rc == -ENOENT ? -EINVAL : rc;
    case XENMAPSPACE_gmfn_foreign:
        return fd ? add_foreign(d, fd, idx, GFN(gpfn)) : -EINVAL;
    default:
        return -EINVAL;
    }
}

long memop_add(struct call *c, void *arg)
{
    const struct xen_add_to_physmap *a = arg;
    u64 i = memop_start(c), start = i, n = a->space == XENMAPSPACE_gmfn_range ? a->size : 1;
    struct domain *d;
    int rc;

    if (a->space == XENMAPSPACE_gmfn_foreign)       /* only in the batched form */
        return -ENOSYS;
    rc = memop_domain(c, a->domid, &d);
    if (rc)
        return rc;
    for (; !rc && i < n; i++) {
        if (i != start && i % 16 == 0 && call_preempt()) {
            rc = (int)memop_restart(c, i);
            break;
        }
        rc = add_one(d, NULL, a->space, a->idx + i, a->gpfn + i);
    }
    put_domain(d);
    return rc;
}

/* One entry of a batch: read its two values, act, write its error. */
static int batch_entry(struct call *c, const struct xen_add_to_physmap_batch *a, struct domain *d, struct domain *fd,
                       u64 i)
{
    u64 idx, gpfn;
    s32 err;

    if (memop_read_u64(c, (gva_t)a->idxs.p, i, &idx) || memop_read_u64(c, (gva_t)a->gpfns.p, i, &gpfn))
        return -EFAULT;
    err = add_one(d, fd, a->space, idx, gpfn);
    return guest_write(c->v, (gva_t)a->errs.p + i * sizeof(err), &err, sizeof(err)) ? -EFAULT : 0;
}

long memop_add_batch(struct call *c, void *arg)
{
    const struct xen_add_to_physmap_batch *a = arg;
    struct domain *d, *fd = NULL;
    u64 i = memop_start(c), start = i;
    bool foreign = a->space == XENMAPSPACE_gmfn_foreign;
    int rc;

    if (a->space == XENMAPSPACE_gmfn_range || (!foreign && a->u.res0))
        return -EINVAL;
    rc = memop_domain(c, a->domid, &d);
    if (rc)
        return rc;
    /* Mapping somebody's memory is a privilege over that domain, whoever it is mapped into. */
    if (foreign)
        rc = a->u.foreign_domid == c->v->dom->id || a->u.foreign_domid == DOMID_SELF ? -EINVAL
             : memop_domain(c, a->u.foreign_domid, &fd);
    for (; !rc && i < a->size; i++) {
        if (i != start && i % 16 == 0 && call_preempt())
            rc = (int)memop_restart(c, i);
        else
            rc = batch_entry(c, a, d, fd, i);
        if (rc)
            break;
    }
    if (fd)
        put_domain(fd);
    put_domain(d);
    return rc;
}

/* Removes what a look has found at g. -ENOENT or -EINVAL if something else is there by now. */
static int remove_found(struct domain *d, gfn_t g, mfn_t m, enum p2m_type t)
{
    int rc;

    switch (t) {
    case P2M_NONE:
        return -ENOENT;
    case P2M_RAM:
    case P2M_RAM_RO:
        return p2m_remove_ram(d, g);
    case P2M_FOREIGN:
        return p2m_unmap_record(d, g, m, t, NULL);
    case P2M_SPECIAL:
        spin_lock(&d->lock);
        rc = p2m_unmap_record(d, g, m, t, NULL);
        if (!rc && gfn_eq(d->shared_info_gfn, g))
            d->shared_info_gfn = INVALID_GFN;
        spin_unlock(&d->lock);
        return rc;
    default:                        /* grants go by handle, device memory is not the guest's to remove */
        return -EPERM;
    }
}

/* Another vCPU may change what is there after each look: then look again, but not for ever. */
#define LOOKS 8

/* Linux calls this once per page when it unmaps foreign pages, so that is tried first. */
long memop_remove(struct call *c, void *arg)
{
    const struct xen_remove_from_physmap *a = arg;
    gfn_t g = GFN(a->gpfn);
    struct domain *d;
    enum p2m_type t;
    int rc = memop_domain(c, a->domid, &d);

    if (rc)
        return rc;
    rc = p2m_unmap_record(d, g, INVALID_MFN, P2M_FOREIGN, NULL);
    for (unsigned i = 0; rc == -EINVAL && i < LOOKS; i++) {
        mfn_t m = p2m_lookup(d, g, &t, NULL);
        rc = remove_found(d, g, m, t);
        if (rc == -ENOENT && t != P2M_NONE)
            rc = -EINVAL;
    }
    put_domain(d);
    return rc == -EINVAL ? -ENOENT : rc;
}

/* ---- acquire_resource ---- */

/* Number of frames of the resource, or an error. */
static long resource_size(const struct xen_mem_acquire_resource *a, struct domain *d)
{
    if (a->type != XENMEM_resource_grant_table)     /* callers of ioreq_server fall back to guest frames */
        return -EOPNOTSUPP;
    if (a->id != XENMEM_resource_grant_table_id_shared)
        return -EINVAL;
    return (long)d->max_grant_frames;
}

static int map_resource(struct call *c, const struct xen_mem_acquire_resource *a, struct domain *d, u64 i)
{
    u64 gfn;
    mfn_t m;
    int rc;

    if (memop_read_u64(c, (gva_t)a->frame_list.p, i, &gfn))
        return -EFAULT;
    rc = gnttab_get_frame(d, (unsigned)(a->frame + i), &m);
    /* The record holds its own reference on the frame (XSA-276): it outlives the domain if need be. */
    return rc ? rc : map_over(c->v->dom, GFN(gfn), m, P2M_SPECIAL);
}

long memop_acquire(struct call *c, void *arg)
{
    struct xen_mem_acquire_resource *a = arg;
    u64 i = memop_start(c), start = i;
    struct domain *d;
    long rc;

    if (a->pad)
        return -EINVAL;
    if (!c->v->dom->is_priv && !(c->v->dom->target && c->v->dom->target->id == a->domid))
        return -EPERM;
    rc = memop_domain(c, a->domid, &d);
    if (rc)
        return rc;
    long size = resource_size(a, d);
    if (size < 0)
        rc = size;
    else if (a->frame_list.p ? a->frame > (u64)size || a->nr_frames > (u64)size - a->frame : a->nr_frames)
        rc = -EINVAL;
    else if (!a->frame_list.p)
        a->nr_frames = (u32)size;
    else
        for (; !rc && i < a->nr_frames; i++) {
            if (i != start && i % 16 == 0 && call_preempt()) {
                rc = memop_restart(c, i);
                break;
            }
            rc = map_resource(c, a, d, i);
            if (rc && i)
                rc = -EIO;          /* partly mapped: the caller unmaps all (public header) */
        }
    put_domain(d);
    return rc;
}
