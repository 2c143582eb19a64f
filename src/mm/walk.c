/* SPDX-License-Identifier: MIT */
/*
 * Walk of a guest's own page tables: no paging, 32-bit (PSE), PAE, 4-level (2 MiB, 1 GiB), with the access rules of
 * APM 2, 5.6 / SDM 3A, 4.6, and accessed/dirty bits set as the processor does. Table entries are read once each.
 */
#include "mm/walk.h"

#define CR0_WP   (1UL << 16)
#define CR0_PG   (1UL << 31)
#define CR4_PSE  (1UL << 4)
#define CR4_PAE  (1UL << 5)
#define CR4_LA57 (1UL << 12)
#define CR4_SMEP (1UL << 20)
#define CR4_SMAP (1UL << 21)
#define EFER_LMA (1UL << 10)
#define EFER_NXE (1UL << 11)
#define RFLAGS_AC (1UL << 18)
#define G_P 1ULL
#define G_RW 2ULL
#define G_US 4ULL
#define G_A 0x20ULL
#define G_D 0x40ULL
#define G_PS 0x80ULL
#define G_NX (1ULL << 63)
#define G_ADDR 0x000ffffffffff000ULL
#define WALK_TRIES 16               /* a guest that keeps changing its entries gets a fault */
enum { PFEC_P = 1, PFEC_W = 2, PFEC_U = 4, PFEC_RSVD = 8, PFEC_I = 16 };

/* Shape of a paging mode: entry size and where each level's index lies. */
struct mode { u8 levels, entry, bits, top_bits; };
static const struct mode mode_32 = { 2, 4, 10, 10 }, mode_pae = { 3, 8, 9, 2 }, mode_64 = { 4, 8, 9, 9 };

static const struct mode *mode_of(const struct paging_state *ps)
{
    return !(ps->cr4 & CR4_PAE) ? &mode_32 : ps->efer & EFER_LMA ? &mode_64 : &mode_pae;
}

/* Set accessed (and dirty) bits in the entry that was read as e, if it is that still: a bit set in what has taken its
 * place would spoil the guest's note of a page that it just swapped out. */
static bool mark(struct p2m_view *w, gpa_t at, unsigned size, u64 e, u64 bits)
{
    struct guest_mem *p = p2m_view(w, at, true);

    if (!p)                             /* tables in read-only memory: left as they are */
        return true;
    return size == 8 ? guest_mem_cas64(p, e, e | bits) : guest_mem_cas32(p, (u32)e, (u32)(e | bits));
}

/* Does the mapping (rights of all levels and-ed into e) allow the access? 0, or error-code bits beyond W/U/I. */
static inline bool allowed(const struct paging_state *ps, u64 e, unsigned flags)
{
    bool user = flags & GW_USER, page_user = e & G_US;

    if (user && !page_user)
        return false;
    if ((flags & GW_FETCH) && (e & G_NX) && (ps->efer & EFER_NXE))
        return false;
    if ((flags & GW_FETCH) && !user && page_user && (ps->cr4 & CR4_SMEP))
        return false;
    if ((flags & GW_WRITE) && !(e & G_RW) && (user || (ps->cr0 & CR0_WP)))
        return false;
    if (!(flags & GW_FETCH) && !user && page_user && (ps->cr4 & CR4_SMAP) && !(ps->rflags & RFLAGS_AC))
        return false;
    return true;
}

static int fault(const struct paging_state *ps, unsigned flags, u32 bits, u32 *pfec)
{
    bool show_fetch = (ps->cr4 & CR4_SMEP) || ((ps->efer & EFER_NXE) && (ps->cr4 & CR4_PAE));

    *pfec = bits | (flags & GW_WRITE ? PFEC_W : 0) | (flags & GW_USER ? PFEC_U : 0) |
            ((flags & GW_FETCH) && show_fetch ? PFEC_I : 0);
    return -EFAULT;
}

/* Base of a large page at `level` (2 or 3); 0-extended. PSE-36 puts bits 32-39 into 13-20 (SDM 3A, 4.3). */
static gpa_t large_base(const struct mode *m, u64 e, unsigned shift)
{
    if (m == &mode_32)
        return (e & 0xffc00000) | (e >> 13 & 0xff) << 32;
    return e & G_ADDR & ~((1ULL << shift) - 1);
}

/* The common case by itself: 4-level tables, access allowed, accessed and dirty bits there already. False: whatever
 * the reason, the full walk finds out. */
static inline bool walk_64(struct p2m_view *w, const struct paging_state *ps, gva_t va, unsigned flags, gpa_t *gpa)
{
    const u64 present = G_P | G_A;
    u64 at = ps->cr3, all = present | G_RW | G_US, any = 0, e;
    unsigned shift;

    if (unlikely((u64)((s64)(va << 16) >> 16) != va || (ps->cr4 & CR4_LA57)))
        return false;
#pragma GCC unroll 4
    for (shift = 39; shift >= PAGE_SHIFT; shift -= 9) {
        const struct guest_mem *p = p2m_view(w, (at & G_ADDR) | (va >> shift & 511) << 3, false);
        if (unlikely(!p))
            return false;
        at = e = guest_mem_u64(p);
        if (unlikely((e & present) != present))
            return false;
        all &= e;
        any |= e;
        if (shift == PAGE_SHIFT || (e & G_PS))
            break;
    }
    if (shift == 39 || ((flags & GW_WRITE) && !(e & G_D)) ||
        !allowed(ps, (all & (G_RW | G_US)) | (any & G_NX), flags))
        return false;
    u64 mask = (1ULL << shift) - 1;
    *gpa = (e & G_ADDR & ~mask) | (va & mask);
    return true;
}

/* Any paging mode, every step. Like guest_walk(), and -EAGAIN: an entry changed meanwhile. */
static __attribute__((noinline)) int walk_any(struct p2m_view *w, const struct paging_state *ps, gva_t va,
                                              unsigned flags, gpa_t *gpa, u32 *pfec)
{
    const struct mode *m = mode_of(ps);
    u64 rights = G_RW | G_US, e;

    if (!(ps->cr0 & CR0_PG)) {
        *gpa = va & 0xffffffff;     /* no paging implies 32-bit linear addresses */
        return 0;
    }
    if (m != &mode_64)
        va &= 0xffffffff;
    else if ((u64)((s64)(va << 16) >> 16) != va || (ps->cr4 & CR4_LA57))
        return fault(ps, flags, 0, pfec);

    gpa_t table = m == &mode_64 ? ps->cr3 & G_ADDR : m == &mode_pae ? ps->cr3 & 0xffffffe0 : ps->cr3 & 0xfffff000;
    gpa_t at[4];
    u64 seen[4];
    unsigned n = 0, shift;
    for (unsigned level = m->levels; ; level--) {
        shift = PAGE_SHIFT + (level - 1) * m->bits;
        unsigned bits = level == m->levels ? m->top_bits : m->bits;
        at[n] = table + (va >> shift & ((1u << bits) - 1)) * m->entry;
        const struct guest_mem *p = p2m_view(w, at[n], false);
        if (!p)
            return -EIO;
        e = m->entry == 8 ? guest_mem_u64(p) : guest_mem_u32(p);
        if (!(e & G_P))
            return fault(ps, flags, 0, pfec);
        seen[n++] = e;
        bool pdpte = m == &mode_pae && level == 3;      /* has no rights and no A bit */
        if (pdpte)
            n--;
        else
            rights = (rights & (e | ~(G_RW | G_US))) | (e & G_NX);
        if (level == 1)
            break;
        if (!pdpte && (e & G_PS) && (m != &mode_32 || (ps->cr4 & CR4_PSE))) {
            if (level == 4)
                return fault(ps, flags, PFEC_P | PFEC_RSVD, pfec);
            break;
        }
        table = m->entry == 8 ? e & G_ADDR : e & 0xfffff000;
    }
    if (!allowed(ps, rights, flags))
        return fault(ps, flags, PFEC_P, pfec);
    for (unsigned i = 0; i < n; i++) {
        u64 bits = G_A | (i == n - 1 && (flags & GW_WRITE) ? G_D : 0);
        if ((seen[i] & bits) != bits && !mark(w, at[i], m->entry, seen[i], bits))
            return -EAGAIN;
    }
    gpa_t base = shift == PAGE_SHIFT ? e & (m->entry == 8 ? G_ADDR : 0xfffff000) : large_base(m, e, shift);
    *gpa = base | (va & ((1ULL << shift) - 1));
    return 0;
}

int walk_guest(struct p2m_view *w, const struct paging_state *ps, gva_t va, unsigned flags, gpa_t *gpa, u32 *pfec)
{
    /* Long mode implies paging and PAE. */
    if (likely(ps->efer & EFER_LMA) && walk_64(w, ps, va, flags, gpa))
        return 0;
    for (unsigned i = 0; i < WALK_TRIES; i++) {
        int rc = walk_any(w, ps, va, flags, gpa, pfec);
        if (rc != -EAGAIN)
            return rc;
    }
    return fault(ps, flags, 0, pfec);
}

int guest_walk(struct vcpu *v, gva_t va, unsigned flags, gpa_t *gpa, u32 *pfec)
{
    struct paging_state ps;

    hvm->get_paging(v, &ps);
    const struct domain *prev = p2m_enter(v->dom);
    struct p2m_view w = { .d = v->dom };
    int rc = walk_guest(&w, &ps, va, flags, gpa, pfec);
    p2m_exit(prev);
    return rc;
}
