/* SPDX-License-Identifier: MIT */
/* Between the files of memory_op (12). Rows are in memory.c; each handler gets a private copy of its argument. */
#pragma once
#include "call/call.h"

#define MEMOP_CMD_BITS 6            /* cmd in bits 0-5 of the first argument, progress of a continuation above */
static inline u64 memop_start(const struct call *c) { return c->arg[0] >> MEMOP_CMD_BITS; }
/* Come again with `done` elements finished: stores the progress, returns -ERESTART. */
static inline long memop_restart(struct call *c, u64 done)
{
    c->arg[0] = (c->arg[0] & ((1u << MEMOP_CMD_BITS) - 1)) | done << MEMOP_CMD_BITS;
    return -ERESTART;
}

/* Domain that the caller may change: itself by either name, its target, any for privileged callers. *d is
 * referenced. 0, -EPERM, -ESRCH. Permission does not depend on whether the domain exists (I-18). */
int memop_domain(struct call *c, u16 domid, struct domain **d) __must_check;
/* The i-th u64 of a guest array. 0 or -EFAULT (also if the address wraps). */
int memop_read_u64(struct call *c, gva_t array, u64 i, u64 *val) __must_check;

/* Elements of a guest array of u64 in rising order, read in pieces. */
#define MEMOP_LIST_PIECE 64u
struct memop_list { struct vcpu *v; gva_t array; u64 total, first; unsigned n; u64 piece[MEMOP_LIST_PIECE]; };
static inline void memop_list_init(struct memop_list *l, const struct call *c, gva_t array, u64 total)
{
    l->v = c->v;
    l->array = array;
    l->total = total;
    l->first = l->n = 0;
}
/* The i-th: 0 or -EFAULT, which depends on nothing but that element. */
int memop_list_read(struct memop_list *l, u64 i, u64 *val) __must_check;

/* memory_reserve.c */
long memop_increase(struct call *c, void *arg);
long memop_decrease(struct call *c, void *arg);
long memop_populate(struct call *c, void *arg);
long memop_claim(struct call *c, void *arg);
long memop_exchange(struct call *c, void *arg);
/* memory_physmap.c */
long memop_add(struct call *c, void *arg);
long memop_add_batch(struct call *c, void *arg);
long memop_remove(struct call *c, void *arg);
long memop_acquire(struct call *c, void *arg);
