/* SPDX-License-Identifier: MIT */
/* Grant tables: life of a table, its geometry, and grant_table_op (20) with one row per operation. */
#include "gnttab/gnttab_priv.h"

#define RELEASE_BATCH 64        /* mappings released, and */
#define RELEASE_SCAN 4096       /* records looked at, between two looks at pending interrupts */

int gnttab_domain_init(struct domain *d)
{
    struct gnttab *gt = kzalloc(sizeof(*gt));
    if (!gt) return -ENOMEM;
    u32 max = MIN(MAX(d->max_grant_frames, 1u), MAX_SHARED_FRAMES);
    gt->max_frames = max;
    gt->mt_max = MIN(d->max_maptrack_frames, MAX_MAPTRACK_FRAMES);
    gt->mt_free = MT_NONE;
    spin_init(&gt->lock, RANK_GNTTAB);
    spin_init(&gt->entry_lock, RANK_GNTENTRY);
    spin_init(&gt->mt_lock, RANK_MAPTRACK);
    gt->frame = kzalloc(max * sizeof(gt->frame[0]));
    gt->gfn = kzalloc(max * sizeof(gt->gfn[0]));
    gt->active = kzalloc(max * (REFS_PER_FRAME / ACTIVE_PER_CHUNK) * sizeof(gt->active[0]));
    d->gnttab = gt;
    int rc = gt->frame && gt->gfn && gt->active ? gnttab_grow(d, 1) : -ENOMEM;
    if (rc) gnttab_domain_free(d);
    return rc;
}

void gnttab_domain_free(struct domain *d)
{
    struct gnttab *gt = d->gnttab;
    if (!gt) return;
    for (u32 i = 0; i < gt->nr_frames; i++) page_free(gt->frame[i]);
    for (u32 i = 0; gt->active && i < gt->nr_frames * (REFS_PER_FRAME / ACTIVE_PER_CHUNK); i++)
        kfree(gt->active[i]);
    for (u32 i = 0; i < gt->mt_frames; i++) kfree(gt->mt[i]);
    kfree(gt->mt);
    kfree(gt->active);
    kfree(gt->gfn);
    kfree(gt->frame);
    kfree(gt);
    d->gnttab = NULL;
}

int gnttab_release_mappings(struct domain *d)
{
    struct gnttab *gt = d->gnttab;
    spin_lock(&gt->entry_lock);
    gt->dying = true;
    spin_unlock(&gt->entry_lock);
    for (unsigned done = 1; gt->release_next != MT_NONE; done++) {
        bool found;
        u32 h = maptrack_next(d, gt->release_next, RELEASE_SCAN, &found);
        if (found) gnttab_unmap_handle(d, h);
        gt->release_next = found ? h + 1 : h;
        if ((!found || done % RELEASE_BATCH == 0) && gt->release_next != MT_NONE && call_preempt()) return -ERESTART;
    }
    return 0;
}

int gnttab_grow(struct domain *d, u32 n)
{
    struct gnttab *gt = d->gnttab;
    int rc = 0;
    if (n > gt->max_frames) return -EINVAL;
    if (n <= load_acquire(&gt->nr_frames)) return 0;
    spin_lock(&gt->lock);
    while (gt->nr_frames < n) {
        struct shared_grant *page = page_alloc();
        if (!page) {
            rc = -ENOMEM;
            break;
        }
        gt->gfn[gt->nr_frames] = INVALID_GFN;
        gt->frame[gt->nr_frames] = page;
        store_release(&gt->nr_frames, gt->nr_frames + 1);
    }
    spin_unlock(&gt->lock);
    return rc;
}

int gnttab_get_frame(struct domain *d, unsigned idx, mfn_t *m)
{
    struct gnttab *gt = d->gnttab;
    if (idx >= gt->max_frames) return -EINVAL;
    idx = (unsigned)index_nospec(idx, gt->max_frames);
    int rc = gnttab_grow(d, idx + 1);
    if (!rc) *m = virt_to_mfn(gt->frame[idx]);
    return rc;
}

unsigned gnttab_nr_frames(struct domain *d)
{
    return load_acquire(&d->gnttab->nr_frames);
}

void gnttab_set_gfn(struct domain *d, unsigned idx, gfn_t g)
{
    if (idx < gnttab_nr_frames(d)) write_once(&d->gnttab->gfn[index_nospec(idx, gnttab_nr_frames(d))].n, g.n);
}

struct domain *gnttab_get_cached(struct domain **cached, u16 id, struct domain *ld)
{
    if (id == DOMID_SELF) id = ld->id;
    if (*cached && (*cached)->id == id) return *cached;
    if (*cached) put_domain(*cached);
    return *cached = get_domain(id);
}

/* A page never changes its owner: refused before anything is looked at (XSA-217). */
static void transfer(struct domain *ld, void *ops, unsigned n)
{
    for (unsigned i = 0; i < n; i++) ((struct gnttab_transfer *)ops)[i].status = GNTST_general_error;
}

static void swap(struct domain *ld, void *ops, unsigned n)
{
    struct gnttab_swap_grant_ref *op = ops;
    for (; n; n--, op++) op->status = (s16)gnttab_swap(ld, op->ref_a, op->ref_b);
}

/* Operations on arrays. dump_table, unmap_and_replace, get_status_frames and cache_flush are not for translated
 * guests: -ENOSYS. */
static const struct array_op {
    const char *name;
    void (*fn)(struct domain *ld, void *ops, unsigned n);
    u16 size, chunk;                /* bytes of an element; elements handled at a time */
} array_ops[] = {
    [GNTTABOP_map_grant_ref] = { "map_grant_ref", gnttab_map, sizeof(struct gnttab_map_grant_ref), GNTTAB_CHUNK },
    [GNTTABOP_unmap_grant_ref] = { "unmap_grant_ref", gnttab_unmap, sizeof(struct gnttab_unmap_grant_ref),
                                   GNTTAB_CHUNK_UNMAP },
    [GNTTABOP_transfer] = { "transfer", transfer, sizeof(struct gnttab_transfer), GNTTAB_CHUNK },
    [GNTTABOP_copy] = { "copy", gnttab_copy, sizeof(struct gnttab_copy), GNTTAB_CHUNK },
    [GNTTABOP_swap_grant_ref] = { "swap_grant_ref", swap, sizeof(struct gnttab_swap_grant_ref), GNTTAB_CHUNK },
};

static const struct subop single_ops[] = {
    [GNTTABOP_setup_table] = { "setup_table", gnttab_setup_table, sizeof(struct gnttab_setup_table),
                               SUBOP_OUT, WHO_ANY },
    [GNTTABOP_query_size] = { "query_size", gnttab_query_size, sizeof(struct gnttab_query_size), SUBOP_OUT, WHO_ANY },
    [GNTTABOP_set_version] = { "set_version", gnttab_set_version, sizeof(struct gnttab_set_version),
                               SUBOP_OUT, WHO_ANY },
    [GNTTABOP_get_version] = { "get_version", gnttab_get_version, sizeof(struct gnttab_get_version),
                               SUBOP_OUT, WHO_ANY },
};

#define ARRAY_BUF 768
STATIC_ASSERT(GNTTAB_CHUNK_UNMAP * sizeof(struct gnttab_unmap_grant_ref) <= ARRAY_BUF);
STATIC_ASSERT(GNTTAB_CHUNK * sizeof(struct gnttab_copy) <= ARRAY_BUF);
STATIC_ASSERT(GNTTAB_CHUNK * sizeof(struct gnttab_map_grant_ref) <= ARRAY_BUF);

/* A chunk is read, done, and its statuses are written before the next; the continuation starts behind it. When a
 * chunk cannot be read as a whole, its elements are taken one by one up to the bad one. */
static long run_array(struct call *c, const struct array_op *op)
{
    union { u8 bytes[ARRAY_BUF]; u64 align; } buf;
    u32 count = (u32)c->arg[2];
    gva_t uop = c->arg[1];
    while (count) {
        u32 n = MIN(count, (u32)op->chunk);
        if (guest_read(c->v, buf.bytes, uop, n * op->size)) {
            n = 1;
            if (guest_read(c->v, buf.bytes, uop, op->size)) return -EFAULT;
        }
        op->fn(c->v->dom, buf.bytes, n);
        if (guest_write(c->v, uop, buf.bytes, n * op->size)) return -EFAULT;
        uop += n * op->size;
        count -= n;
        if (count && call_preempt()) {
            c->arg[1] = uop;
            c->arg[2] = count;
            return -ERESTART;
        }
    }
    return 0;
}

long gnttab_op(struct call *c)
{
    u32 cmd = (u32)c->arg[0];
    if ((s32)c->arg[2] < 0) return -EINVAL;
    if (cmd < ARRAY_SIZE(array_ops)) {
        const struct array_op *op = &array_ops[index_nospec(cmd, ARRAY_SIZE(array_ops))];
        if (op->fn) return run_array(c, op);
    }
    if ((cmd == GNTTABOP_setup_table || cmd == GNTTABOP_query_size) && (u32)c->arg[2] != 1) return -EINVAL;
    return subop_run(c, single_ops, ARRAY_SIZE(single_ops), cmd, c->arg[1]);
}
