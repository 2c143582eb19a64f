/* SPDX-License-Identifier: MIT */
/* GNTTABOP_copy: between pages that are the caller's own or granted to it. Each side is pinned and referenced while
 * it is used; back ends copy many pieces of the same pages, so a side is kept for the next request of a chunk. */
#include "gnttab/gnttab_priv.h"

struct side {
    struct domain *cached;          /* gnttab_get_cached() */
    bool valid, gref, write;
    u64 id;                         /* entry or frame number */
    u16 domid;                      /* as given */
    mfn_t mfn;
};

static void release(struct side *s)
{
    if (!s->valid) return;
    if (s->gref) gnttab_unpin(s->cached, (u32)s->id, s->write, s->mfn);
    else page_put_short(s->mfn);
    s->valid = false;
}

static int acquire(struct domain *ld, struct side *s, const struct gnttab_copy_ptr *p, bool gref)
{
    u64 id = gref ? p->u.ref : p->u.gmfn;
    if (s->valid && s->gref == gref && s->id == id && s->domid == p->domid) return GNTST_okay;
    release(s);
    s->gref = gref;
    s->id = id;
    s->domid = p->domid;
    int st;
    if (gref) {
        struct domain *rd = gnttab_get_cached(&s->cached, p->domid, ld);
        st = rd ? gnttab_pin(rd, p->u.ref, ld->id, s->write, &s->mfn) : GNTST_bad_domain;
    } else if (p->domid != DOMID_SELF && p->domid != ld->id) {
        st = GNTST_permission_denied;
    } else {
        st = gnttab_status(p2m_get_page(ld, GFN(id), s->write, &s->mfn));
    }
    s->valid = st == GNTST_okay;
    return st;
}

static int copy_one(struct domain *ld, const struct gnttab_copy *op, struct side *src, struct side *dst)
{
    if (op->flags & ~(GNTCOPY_source_gref | GNTCOPY_dest_gref)) return GNTST_general_error;
    if (op->source.offset + op->len > PAGE_SIZE || op->dest.offset + op->len > PAGE_SIZE) return GNTST_bad_copy_arg;
    int st = acquire(ld, src, &op->source, op->flags & GNTCOPY_source_gref);
    if (!st) st = acquire(ld, dst, &op->dest, op->flags & GNTCOPY_dest_gref);
    if (st) return st;
    struct guest_mem *from = guest_mem(src->mfn), *to = guest_mem(dst->mfn);
    guest_mem_move(guest_mem_at(to, op->dest.offset), guest_mem_at(from, op->source.offset), op->len);
    frame_unmap(to);
    frame_unmap(from);
    return GNTST_okay;
}

void gnttab_copy(struct domain *ld, void *ops, unsigned n)
{
    struct gnttab_copy *op = ops;
    struct side src = { .write = false }, dst = { .write = true };
    for (; n; n--, op++) op->status = (s16)copy_one(ld, op, &src, &dst);
    release(&src);
    release(&dst);
    if (src.cached) put_domain(src.cached);
    if (dst.cached) put_domain(dst.cached);
}
