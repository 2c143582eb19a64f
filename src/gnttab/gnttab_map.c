/* SPDX-License-Identifier: MIT */
/*
 * GNTTABOP_map_grant_ref and unmap_grant_ref.
 *
 * A translated mapper has host mappings only: its devices see them through the IOMMU tables, which the p2m keeps.
 * Mapping: handle, pin (with the page's reference), p2m entry (which takes the reference over), record; a failure
 * undoes the steps before it. Unmapping: claim the record, so that nobody else unmaps it, remove the p2m entry,
 * flush for a whole chunk, and only then give up reference, pin, flags and handle (XSA-218).
 */
#include "gnttab/gnttab_priv.h"

static int map_one(struct domain *ld, struct domain *rd, struct gnttab_map_grant_ref *op)
{
    bool write = !(op->flags & GNTMAP_readonly);
    mfn_t m;
    if ((op->flags & ~(u32)GNTMAP_readonly) != GNTMAP_host_map) return GNTST_general_error;
    if (!op->host_addr || op->host_addr % PAGE_SIZE) return GNTST_bad_virt_addr;
    struct maptrack rec = { .gfn = op->host_addr >> PAGE_SHIFT, .ref = op->ref, .domid = rd->id,
                            .state = MT_MAPPED, .write = write };
    u32 handle = maptrack_alloc(ld);
    if (handle == MT_NONE) return GNTST_no_space;
    int st = gnttab_pin(rd, op->ref, ld->id, write, &m);
    if (st) {
        maptrack_free(ld, handle);
        return st;
    }
    int rc = p2m_map_record(ld, GFN(rec.gfn), m, write ? P2M_GRANT_RW : P2M_GRANT_RO, false);
    if (rc) {
        gnttab_unpin_and_free(rd, op->ref, write, m, ld, handle);
        return rc == -ENOMEM ? GNTST_no_space : GNTST_general_error;
    }
    maptrack_publish(ld, handle, &rec);
    op->handle = handle;
    op->dev_bus_addr = op->host_addr;   /* devices of a translated domain use its guest-physical addresses */
    return GNTST_okay;
}

void gnttab_map(struct domain *ld, void *ops, unsigned n)
{
    struct gnttab_map_grant_ref *op = ops;
    struct domain *cached = NULL;
    for (; n; n--, op++) {
        struct domain *rd = gnttab_get_cached(&cached, op->dom, ld);
        op->status = (s16)(rd ? map_one(ld, rd, op) : GNTST_bad_domain);
    }
    if (cached) put_domain(cached);
}

/* A mapping that is being removed. */
struct unmap { struct maptrack rec; mfn_t mfn; struct domain *rd; };

/* Remove the translation; the record stays claimed on success. */
static int unmap_begin(struct domain *ld, u32 handle, u64 host_addr, struct unmap *u, struct p2m_batch *batch)
{
    int st = maptrack_claim(ld, handle, host_addr, &u->rec);
    if (st) return st;
    if (!p2m_take_record(ld, GFN(u->rec.gfn), u->rec.write ? P2M_GRANT_RW : P2M_GRANT_RO, batch, &u->mfn))
        return GNTST_okay;
    maptrack_unclaim(ld, handle);
    return GNTST_general_error;
}

/* After the flush. The granter is in the list as long as somebody holds a reference on its page. */
static void unmap_finish(struct domain *ld, u32 handle, const struct unmap *u)
{
    gnttab_unpin_and_free(u->rd, u->rec.ref, u->rec.write, u->mfn, ld, handle);
}

/* host_addr 0 asks for nothing; dev_bus_addr has no meaning, there is no device part (XSA-224). */
void gnttab_unmap(struct domain *ld, void *ops, unsigned n)
{
    struct gnttab_unmap_grant_ref *op = ops;
    struct unmap u[GNTTAB_CHUNK_UNMAP];
    struct p2m_batch batch;
    p2m_batch_start(&batch, ld);
    for (unsigned i = 0; i < n; i++) {
        struct maptrack *rec = &u[i].rec;
        op[i].status = (s16)unmap_begin(ld, op[i].handle, op[i].host_addr, &u[i], &batch);
        if (op[i].status == GNTST_bad_virt_addr && !op[i].host_addr) {
            op[i].status = GNTST_okay;
            u[i].rd = NULL;
            rec->state = MT_FREE;
        } else if (op[i].status == GNTST_okay) {
            bool same = i && op[i - 1].status == GNTST_okay && u[i - 1].rec.state == MT_BUSY &&
                        u[i - 1].rec.domid == rec->domid && u[i - 1].rd;
            if (same) atomic_add(&u[i - 1].rd->refs, 1);
            u[i].rd = same ? u[i - 1].rd : get_domain(rec->domid);
        }
    }
    p2m_batch_finish(&batch);
    for (unsigned i = 0; i < n; i++) {
        if (op[i].status != GNTST_okay || u[i].rec.state != MT_BUSY) continue;
        unmap_finish(ld, op[i].handle, &u[i]);
        if (u[i].rd) put_domain(u[i].rd);
    }
}

void gnttab_unmap_handle(struct domain *ld, u32 handle)
{
    struct gnttab *gt = ld->gnttab;
    struct maptrack rec = gt->mt[handle / RECORDS_PER_FRAME][handle % RECORDS_PER_FRAME];
    struct gnttab_unmap_grant_ref op = { .handle = handle, .host_addr = rec.gfn << PAGE_SHIFT };
    gnttab_unmap(ld, &op, 1);
    if (op.status == GNTST_okay) return;
    /* The translation is gone already, and its reference (it cannot be in the way of the domain's death): end the use
     * all the same. */
    struct domain *rd = get_domain(rec.domid);
    gnttab_unpin_and_free(rd, rec.ref, rec.write, INVALID_MFN, ld, handle);
    if (rd) put_domain(rd);
}
