/* SPDX-License-Identifier: MIT */
/* Grant tables: sizes and versions. Only version 1 exists here. */
#include "gnttab/gnttab_priv.h"

/* Referenced domain and GNTST_okay if the caller may ask about it. */
static int get_subject(struct call *c, u16 id, struct domain **d)
{
    *d = get_domain_self(id);
    if (!*d) return GNTST_bad_domain;
    if (*d == c->v->dom || c->v->dom->is_priv) return GNTST_okay;
    put_domain(*d);
    return GNTST_permission_denied;
}

/* For translated domains this reports where the frames were mapped (add_to_physmap), not where they are. */
static int report_frames(struct call *c, struct domain *d, struct gnttab_setup_table *op)
{
    gva_t list = (gva_t)op->frame_list.p;
    if (op->nr_frames > d->gnttab->max_frames) return GNTST_general_error;
    if (gnttab_grow(d, op->nr_frames)) return GNTST_no_space;
    for (u32 i = 0; i < op->nr_frames; i++) {
        u64 gfn = read_once(&d->gnttab->gfn[i].n);
        if (guest_write(c->v, list + i * sizeof(gfn), &gfn, sizeof(gfn))) return GNTST_bad_virt_addr;
    }
    return GNTST_okay;
}

long gnttab_setup_table(struct call *c, void *arg)
{
    struct gnttab_setup_table *op = arg;
    struct domain *d;
    int st = get_subject(c, op->dom, &d);
    if (!st) {
        st = report_frames(c, d, op);
        put_domain(d);
    }
    op->status = (s16)st;
    return 0;
}

long gnttab_query_size(struct call *c, void *arg)
{
    struct gnttab_query_size *op = arg;
    struct domain *d;
    int st = get_subject(c, op->dom, &d);
    if (!st) {
        op->nr_frames = gnttab_nr_frames(d);
        op->max_nr_frames = d->gnttab->max_frames;
        put_domain(d);
    }
    op->status = (s16)st;
    return 0;
}

/* 2 answers as a hypervisor from before there were versions, which makes clients go on with 1. */
long gnttab_set_version(struct call *c, void *arg)
{
    struct gnttab_set_version *op = arg;
    return op->version == 1 ? 0 : op->version == 2 ? -ENOSYS : -EINVAL;
}

long gnttab_get_version(struct call *c, void *arg)
{
    struct gnttab_get_version *op = arg;
    struct domain *d;
    int st = get_subject(c, op->dom, &d);
    if (st) return st == GNTST_bad_domain ? -ESRCH : -EPERM;
    put_domain(d);
    op->pad = 0;
    op->version = 1;
    return 0;
}
