/* SPDX-License-Identifier: MIT */
/* memory_op (12): rows, queries, memory map. */
#include "call/memory.h"
#include "mm/p2m.h"

#define MAX_E820 128u

int memop_domain(struct call *c, u16 domid, struct domain **d)
{
    struct domain *self = c->v->dom;

    if (domid != DOMID_SELF && domid != self->id && !self->is_priv && !(self->target && self->target->id == domid))
        return -EPERM;
    *d = get_domain_self(domid);
    return *d ? 0 : -ESRCH;
}

int memop_read_u64(struct call *c, gva_t array, u64 i, u64 *val)
{
    if (i > (~0ULL - array) / sizeof(*val))
        return -EFAULT;
    return guest_read(c->v, val, array + i * sizeof(*val), sizeof(*val));
}

int memop_list_read(struct memop_list *l, u64 i, u64 *val)
{
    if (i - l->first >= l->n) {
        u64 n = MIN(l->total - i, (u64)MEMOP_LIST_PIECE);
        if (i + n > ~0ULL / sizeof(u64) || (i + n) * sizeof(u64) > ~0ULL - l->array)
            n = 1;
        l->n = 0;
        if (i > (~0ULL - l->array) / sizeof(u64))
            return -EFAULT;
        if (guest_read(l->v, l->piece, l->array + i * sizeof(u64), n * sizeof(u64))) {
            n = 1;                      /* perhaps only the end of it */
            if (guest_read(l->v, l->piece, l->array + i * sizeof(u64), sizeof(u64)))
                return -EFAULT;
        }
        l->first = i;
        l->n = (unsigned)n;
    }
    *val = l->piece[i - l->first];
    return 0;
}

/* ---- queries ---- */

static long memop_max_ram_page(struct call *c, void *arg) { return (long)ram_max_mfn(); }

static long query(struct call *c, void *arg, u64 (*fn)(struct domain *d))
{
    const struct xen_memory_domain *a = arg;
    struct domain *d;
    int rc = memop_domain(c, a->domid, &d);

    if (rc)
        return rc;
    u64 val = fn(d);
    put_domain(d);
    return (long)MIN(val, (u64)1 << 62);    /* never looks like an error */
}

static u64 current_pages(struct domain *d) { return read_once(&d->tot_pages); }
static u64 maximum_pages(struct domain *d) { return read_once(&d->max_pages); }
static u64 maximum_gfn(struct domain *d) { return p2m_max_gfn(d).n; }
static long memop_current(struct call *c, void *arg) { return query(c, arg, current_pages); }
static long memop_maximum(struct call *c, void *arg) { return query(c, arg, maximum_pages); }
static long memop_max_gpfn(struct call *c, void *arg) { return query(c, arg, maximum_gfn); }

/* ---- populate-on-demand is not offered: a domain never has such entries, and any target is reached ---- */

static long memop_pod(struct call *c, void *arg)
{
    struct xen_pod_target *a = arg;
    struct domain *d;
    int rc = memop_domain(c, a->domid, &d);

    if (rc)
        return rc;
    a->tot_pages = read_once(&d->tot_pages);
    a->pod_cache_pages = a->pod_entries = 0;
    put_domain(d);
    return 0;
}

/* ---- memory map (E820 entries of 20 bytes) ---- */

static long memop_memory_map(struct call *c, void *arg)
{
    struct xen_memory_map *a = arg;
    struct domain *d = c->v->dom;
    long rc = 0;

    spin_lock(&d->lock);
    u32 n = MIN(a->nr_entries, d->memmap.nr);
    if (!d->memmap.nr)
        rc = -ENOSYS;
    else if (n && guest_write(c->v, (gva_t)a->buffer.p, d->memmap.e, n * sizeof(*d->memmap.e)))
        rc = -EFAULT;
    spin_unlock(&d->lock);
    a->nr_entries = n;
    return rc;
}

static long memop_set_memory_map(struct call *c, void *arg)
{
    const struct xen_foreign_memory_map *a = arg;
    u32 n = a->map.nr_entries;
    struct domain *d;
    void *e = NULL, *old;
    int rc;

    if (n > MAX_E820)
        return -EINVAL;
    rc = memop_domain(c, a->domid, &d);
    if (rc)
        return rc;
    if (n) {
        e = kzalloc(n * sizeof(*d->memmap.e));
        if (!e)
            rc = -ENOMEM;
        else if (guest_read(c->v, e, (gva_t)a->map.buffer.p, n * sizeof(*d->memmap.e)))
            rc = -EFAULT;
    }
    if (!rc) {
        spin_lock(&d->lock);
        old = d->memmap.e;
        d->memmap.e = e;
        d->memmap.nr = n;
        spin_unlock(&d->lock);
        e = old;
    }
    kfree(e);
    put_domain(d);
    return rc;
}

/* ---- answers for things that do not exist here ---- */

/* No regions of reserved device memory to keep clear of: an empty list. */
static long memop_rdm(struct call *c, void *arg)
{
    ((struct xen_reserved_device_memory_map *)arg)->nr_entries = 0;
    return 0;
}

static long memop_unsupported(struct call *c, void *arg) { return -EOPNOTSUPP; }

#define ROW(nr, name, type, flags, who) [nr] = { #nr, name, sizeof(type), flags, who }
/* Not here, so -ENOSYS: machphys_mfn_list, machine_memory_map, machphys_mapping, machphys_compat_mfn_list (PV),
 * get_sharing_* (libxl wants exactly that), paging_op, access_op, sharing_op. */
static const struct subop rows[] = {
    ROW(XENMEM_increase_reservation, memop_increase, struct xen_memory_reservation, 0, WHO_ANY),
    ROW(XENMEM_decrease_reservation, memop_decrease, struct xen_memory_reservation, 0, WHO_ANY),
    [XENMEM_maximum_ram_page] = { "XENMEM_maximum_ram_page", memop_max_ram_page, 0, 0, WHO_ANY },
    ROW(XENMEM_current_reservation, memop_current, struct xen_memory_domain, 0, WHO_ANY),
    ROW(XENMEM_maximum_reservation, memop_maximum, struct xen_memory_domain, 0, WHO_ANY),
    ROW(XENMEM_populate_physmap, memop_populate, struct xen_memory_reservation, 0, WHO_ANY),
    ROW(XENMEM_add_to_physmap, memop_add, struct xen_add_to_physmap, 0, WHO_ANY),
    ROW(XENMEM_memory_map, memop_memory_map, struct xen_memory_map, SUBOP_OUT, WHO_ANY),
    ROW(XENMEM_exchange, memop_exchange, struct xen_memory_exchange, 0, WHO_ANY),
    ROW(XENMEM_set_memory_map, memop_set_memory_map, struct xen_foreign_memory_map, 0, WHO_PRIV),
    ROW(XENMEM_maximum_gpfn, memop_max_gpfn, struct xen_memory_domain, 0, WHO_ANY),
    ROW(XENMEM_remove_from_physmap, memop_remove, struct xen_remove_from_physmap, 0, WHO_ANY),
    ROW(XENMEM_set_pod_target, memop_pod, struct xen_pod_target, SUBOP_OUT, WHO_PRIV),
    ROW(XENMEM_get_pod_target, memop_pod, struct xen_pod_target, SUBOP_OUT, WHO_PRIV),
    ROW(XENMEM_add_to_physmap_batch, memop_add_batch, struct xen_add_to_physmap_batch, 0, WHO_ANY),
    ROW(XENMEM_claim_pages, memop_claim, struct xen_memory_reservation, 0, WHO_PRIV),
    [XENMEM_get_vnumainfo] = { "XENMEM_get_vnumainfo", memop_unsupported, 0, 0, WHO_ANY },
    ROW(XENMEM_reserved_device_memory_map, memop_rdm, struct xen_reserved_device_memory_map, SUBOP_OUT, WHO_PRIV),
    ROW(XENMEM_acquire_resource, memop_acquire, struct xen_mem_acquire_resource, SUBOP_OUT, WHO_ANY),
};

long memory_op(struct call *c)
{
    return subop_run(c, rows, ARRAY_SIZE(rows), (unsigned)(c->arg[0] & ((1u << MEMOP_CMD_BITS) - 1)), c->arg[1]);
}
