/* SPDX-License-Identifier: MIT */
/* Private to src/mm: format and tables of the second stage. */
#pragma once
#include "dom/domain.h"
#include "iommu/iommu.h"
#include "mm/block.h"
#include "mm/p2m.h"
#include "sync/live.h"

#define HELD_MAX 64u
struct p2m {
    struct spinlock lock;           /* every change of an entry; readers use p2m_enter() */
    struct live_entry *root;
    u64 pool_pages, pool_used;      /* limit that was set, tables in use */
    u64 pool_floor, pool_committed; /* always kept committed; committed now: floor or use, whichever is more */
    u64 max_gfn;
    u64 max_walked;                 /* no table or mapping lies in a root entry above this one's */
    bool dead;                      /* being destroyed: readers find nothing, nothing can be added */
    u64 dropped;                    /* frames of the leaf at which destruction stopped that are given up already */
    /* Foreign frames that left the tables while the IOMMU may still hold their translation: Linux unmaps page by
     * page, one IOMMU invalidation has to do for many. Bounded by number and by time. */
    unsigned nr_held;
    u64 held_gfns;                  /* bit gfn % 64: such a gfn may be among them */
    mfn_t held[HELD_MAX];
    struct timer held_timer;
};

/* AMD64 long-mode entries (APM 2, 5.3 and 15.25.6: nested walks are user accesses, so U/S must be set at all
 * levels). Accessed and dirty are preset: nobody looks at them, and the processor need not write the table. */
#define PTE_P    (1ULL << 0)
#define PTE_RW   (1ULL << 1)
#define PTE_US   (1ULL << 2)
#define PTE_PWT  (1ULL << 3)
#define PTE_PCD  (1ULL << 4)
#define PTE_A    (1ULL << 5)
#define PTE_D    (1ULL << 6)
#define PTE_PS   (1ULL << 7)        /* levels 2 and 3: leaf */
#define PTE_ADDR 0x000ffffffffff000ULL
#define PTE_TYPE_SHIFT 52           /* software bits 52-55: enum p2m_type */
#define PTE_TABLE (PTE_P | PTE_RW | PTE_US | PTE_A)

#define P2M_GFN_BITS 36
#define P2M_GFN_END (1ULL << P2M_GFN_BITS)

static inline bool pte_leaf(u64 e, unsigned level) { return (e & PTE_P) && (level == 1 || (e & PTE_PS)); }
static inline bool pte_table(u64 e, unsigned level) { return (e & PTE_P) && level > 1 && !(e & PTE_PS); }
static inline enum p2m_type pte_type(u64 e) { return (enum p2m_type)(e >> PTE_TYPE_SHIFT & 15); }
static inline bool pte_is_ram(u64 e) { return (e & PTE_P) && p2m_is_ram(pte_type(e)); }
static inline u64 pte_mfn(u64 e) { return (e & PTE_ADDR) >> PAGE_SHIFT; }
static inline struct live_entry *pte_down(u64 e) { return phys_to_virt(e & PTE_ADDR); }
static inline unsigned level_order(unsigned level) { return (level - 1) * 9; }
static inline unsigned gfn_index(u64 gfn, unsigned level) { return (unsigned)(gfn >> level_order(level) & 511); }
u64 p2m_leaf(u64 mfn, enum p2m_type type, unsigned level);

/* Records of this type own a page reference. */
static inline bool type_has_ref(enum p2m_type t)
{
    return p2m_is_grant(t) || t == P2M_FOREIGN || t == P2M_SPECIAL;
}

/* 1 GiB second-stage pages can be used on this machine. */
bool p2m_gbpages(void);

/* ---- p2m_table.c ---- lock held */
#define POOL_FLOOR_DOM0 256u        /* 512 MiB of grants and foreign pages, however full the machine is */
#define POOL_FLOOR 32u
u64 *p2m_table_alloc(struct p2m *p);                /* not linked yet. NULL: pool or machine exhausted */
void p2m_table_free(struct p2m *p, struct live_entry *table);
/* Entry that governs gfn: a leaf, or the empty entry at the highest level. Also without the lock (p2m_enter). */
static inline struct live_entry *p2m_find(const struct p2m *p, u64 gfn, unsigned *level)
{
    struct live_entry *t = p->root;

#pragma GCC unroll 3
    for (unsigned l = 4; l > 1; l--) {
        struct live_entry *pe = &t[gfn_index(gfn, l)];
        u64 e = live_read(pe);
        if (!pte_table(e, l)) {
            *level = l;
            return pe;
        }
        t = pte_down(e);
    }
    *level = 1;
    return &t[gfn_index(gfn, 1)];
}
/* Entry of gfn at `level`, with tables made on the way and larger leaves split. NULL: out of memory; what is mapped
 * has not changed then. */
struct live_entry *p2m_walk(struct p2m *p, u64 gfn, unsigned level);
/* Nothing mapped under entry e of `level`? */
bool p2m_subtree_empty(u64 e, unsigned level);

/* ---- p2m.c ---- */
/* Nobody is inside p2m_enter(d) any more who entered before. */
void p2m_wait_readers(const struct domain *d);

/* ---- p2m_map.c ---- */
/* IOMMU entry of one frame, new or (present) replaced. 0 or -ENOMEM with nothing changed. Lock held. */
int p2m_iommu_place(struct domain *d, u64 gfn, u64 mfn, bool write, bool present) __must_check;

/* ---- p2m_remove.c ---- */
/* Flush the IOMMU and drop what is held back. Lock held. */
void p2m_drop_held(struct domain *d);
/* gfn is about to be mapped in the IOMMU: a stale translation of it must be gone (design rule 5). Lock held. */
static inline void p2m_settle(struct domain *d, u64 gfn)
{
    if (unlikely(d->p2m->held_gfns >> (gfn % 64) & 1))
        p2m_drop_held(d);
}
void p2m_held_timer(void *arg);
/* No CPU and nobody inside p2m_enter() uses what was there before. Lock may be held. */
void p2m_sync(struct domain *d);
/* Note a frame to drop (or RAM to give up) after the flush; finishes the batch first when it is full. */
void batch_add(struct p2m_batch *b, mfn_t m, bool ram, unsigned order);
