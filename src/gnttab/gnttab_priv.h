/* SPDX-License-Identifier: MIT */
/*
 * Grant tables, inside the module.
 *
 * Granter's side: shared frames that the guest writes (immortal), and for each entry that is in use an active entry
 * of ours with its pins. All pins of an entry belong to one grantee domain. The frame number is read from the shared
 * entry once, by the first pin; later pins take the page from the active entry (XSA-500).
 * Mapper's side: a record per mapping (maptrack), named by its handle.
 *
 * Locks: gt->lock (RANK_GNTTAB) growing of the shared frames; gt->entry_lock (RANK_GNTENTRY) active entries and
 * our bits in the shared ones; gt->mt_lock (RANK_MAPTRACK) records and their free list. Readers of the shared
 * frames use no lock: frames are published before their number and never go (I-6).
 */
#pragma once
#include "call/abi.h"
#include "call/call.h"
#include "gnttab/gnttab.h"

/* An entry of a shared frame. Its granter writes it whenever it likes, so it is not to be loaded or stored but by the
 * functions below: each is one access (I-13). First word: flags in the low, domid in the high 16 bits. */
struct shared_grant { const volatile u32 by_functions_only[2]; };
STATIC_ASSERT(sizeof(struct shared_grant) == sizeof(struct grant_entry_v1));
static inline u32 grant_use(const struct shared_grant *e) { return read_once(&e->by_functions_only[0]); }
static inline u32 grant_frame(const struct shared_grant *e) { return read_once(&e->by_functions_only[1]); }
static inline bool grant_use_cas(struct shared_grant *e, u32 old, u32 now)
{
    return atomic_cas((u32 *)&e->by_functions_only[0], old, now);
}
static inline void grant_use_clear(struct shared_grant *e, u32 bits)
{
    atomic_and((u32 *)&e->by_functions_only[0], ~bits);
}
static inline void grant_write(struct shared_grant *e, u32 use, u32 frame)
{
    write_once((u32 *)&e->by_functions_only[1], frame);
    write_once((u32 *)&e->by_functions_only[0], use);
}

#define REFS_PER_FRAME (PAGE_SIZE / sizeof(struct shared_grant))
#define ACTIVE_PER_CHUNK 256u
#define RECORDS_PER_FRAME (PAGE_SIZE / sizeof(struct maptrack))
/* What a configuration may ask for at most; more is cut. */
#define MAX_SHARED_FRAMES 16384u
#define MAX_MAPTRACK_FRAMES 65536u

struct active {
    u64 mfn : 40, domid : 16;       /* valid while pins > 0 */
    u32 pins, wpins;                /* uses; those that write */
};
STATIC_ASSERT(sizeof(struct active) == 16);

enum { MT_FREE, MT_BUSY, MT_MAPPED };   /* BUSY: one CPU is mapping or unmapping it */
#define MT_NONE (~0u)
struct maptrack {
    u64 gfn;                        /* where it is mapped in the mapper */
    u32 ref;                        /* granter's entry; next free record while FREE */
    u16 domid;                      /* granter */
    u8 state;
    u8 write;
};
STATIC_ASSERT(sizeof(struct maptrack) == 16);

struct gnttab {
    struct spinlock lock, entry_lock, mt_lock;
    u32 nr_frames, max_frames;      /* nr: release / acquire */
    struct shared_grant **frame;    /* [max_frames] */
    gfn_t *gfn;                     /* [max_frames] where the guest mapped them; atomic words */
    struct active **active;         /* [max_frames * REFS_PER_FRAME / ACTIVE_PER_CHUNK] on demand */
    bool dying;                     /* (entry_lock) no new pins */
    u32 mt_frames, mt_max, mt_used; /* used: records that are not FREE */
    u32 mt_free;                    /* head of the free list, MT_NONE: empty */
    struct maptrack **mt;           /* [mt_max] allocated at the first mapping */
    u32 release_next;               /* progress of gnttab_release_mappings() */
};

/* ---- granter's side (gnttab_active.c): results are GNTST_* ---- */
/* Let `domid` use the page of entry ref. On GNTST_okay *m is set, with a page reference for the caller. */
int gnttab_pin(struct domain *rd, u32 ref, u16 domid, bool write, mfn_t *m);
/* End of one use of page m: reference, pin and flags go in one critical section. While an entry is pinned, m is its
 * granter's or nobody's; were the reference dropped before, m could be given out again and a next use pin it. */
void gnttab_unpin(struct domain *rd, u32 ref, bool write, mfn_t m);
/* The end of a mapping: the same and the handle (I-4, I-5). rd may be NULL: then only reference and handle. */
void gnttab_unpin_and_free(struct domain *rd, u32 ref, bool write, mfn_t m, struct domain *mapper, u32 handle);
/* GNTTABOP_swap_grant_ref of two unused entries. */
int gnttab_swap(struct domain *d, u32 a, u32 b);
/* Grow to n shared frames: 0, -EINVAL (limit), -ENOMEM. */
int gnttab_grow(struct domain *d, u32 n) __must_check;
/* GNTST_* for an error of p2m or page functions. */
int gnttab_status(int err);

/* ---- mapper's side (gnttab_maptrack.c) ---- */
/* A record in state BUSY; MT_NONE if there is none. */
u32 maptrack_alloc(struct domain *d);
void maptrack_free(struct domain *d, u32 handle);
/* Fill the record and let it be found. */
void maptrack_publish(struct domain *d, u32 handle, const struct maptrack *rec);
/* Take a MAPPED record for unmapping (BUSY from now on), provided it is mapped at gfn. GNTST_okay and *rec. */
int maptrack_claim(struct domain *d, u32 handle, u64 host_addr, struct maptrack *rec);
/* Unmapping failed: as before. */
void maptrack_unclaim(struct domain *d, u32 handle);
/* First MAPPED record >= handle, MT_NONE if none; looks at `max` records at most and then returns the next one to
 * look at with *found = false. */
u32 maptrack_next(struct domain *d, u32 handle, u32 max, bool *found);

/* ---- operations on an array of n requests, each gets its status ---- */
#define GNTTAB_CHUNK 16u
#define GNTTAB_CHUNK_UNMAP 32u
void gnttab_map(struct domain *ld, void *ops, unsigned n);
void gnttab_unmap(struct domain *ld, void *ops, unsigned n);
void gnttab_copy(struct domain *ld, void *ops, unsigned n);
/* Release one record of a dying or living mapper. */
void gnttab_unmap_handle(struct domain *ld, u32 handle);
/* Referenced domain `id`, keeping the one of the previous request if it is the same. */
struct domain *gnttab_get_cached(struct domain **cached, u16 id, struct domain *ld);

/* ---- gnttab_misc.c ---- */
long gnttab_setup_table(struct call *c, void *arg);
long gnttab_query_size(struct call *c, void *arg);
long gnttab_set_version(struct call *c, void *arg);
long gnttab_get_version(struct call *c, void *arg);

#ifdef HOSTED
/* Check d's tables; panics on a contradiction. d quiescent, its guest well-behaved. */
void gnttab_audit(struct domain *d);
struct active *gnttab_active(struct domain *d, u32 ref);
#endif
