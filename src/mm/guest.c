/* SPDX-License-Identifier: MIT */
/*
 * Copies from and to guest memory. Pages are used inside p2m_enter(), page by page: what is mapped there stays
 * valid until p2m_exit(), so no reference has to be counted for the length of one memcpy. Bytes go straight into
 * or out of private storage; nothing is read twice (I-13).
 */
#include "mm/guest.h"
#include "hvm/hvm.h"
#include "mm/block.h"
#include "mm/walk.h"

static inline void copy_bytes(struct guest_mem *p, void *buf, size_t n, bool write)
{
    if (write)
        guest_mem_write(p, buf, n);
    else
        guest_mem_read(buf, p, n);
}

/* One piece within a page; frame found, d's section open. */
static void copy_piece(mfn_t m, unsigned off, void *buf, size_t n, bool write)
{
    struct guest_mem *p = guest_mem(m);

    copy_bytes(guest_mem_at(p, off), buf, n, write);
    frame_unmap(p);
}

static int copy_gpa(struct domain *d, gpa_t gpa, void *buf, size_t len, bool write)
{
    while (len) {
        unsigned off = (unsigned)(gpa % PAGE_SIZE);
        size_t n = MIN(len, PAGE_SIZE - off);
        const struct domain *prev = p2m_enter(d);
        mfn_t m = fail_copy() ? INVALID_MFN : p2m_peek(d, GFN(gpa >> PAGE_SHIFT), write);
        if (mfn_valid(m))
            copy_piece(m, off, buf, n, write);
        p2m_exit(prev);
        if (!mfn_valid(m))
            return -EFAULT;
        gpa += n;
        buf = (char *)buf + n;
        len -= n;
    }
    return 0;
}

/* One piece within a page. */
static inline bool copy_at(struct domain *d, const struct paging_state *ps, gva_t va, void *buf, size_t n, bool write)
{
    const struct domain *prev = p2m_enter(d);
    struct p2m_view w = { .d = d };
    struct guest_mem *p = NULL;
    gpa_t gpa;
    u32 pfec;

    if (likely(!walk_guest(&w, ps, va, write ? GW_WRITE : 0, &gpa, &pfec)))
        p = fail_copy() ? NULL : p2m_view(&w, gpa, write);
    if (likely(p))
        copy_bytes(p, buf, n, write);
    p2m_exit(prev);
    return p;
}

static __attribute__((noinline)) int copy_pages(struct vcpu *v, const struct paging_state *ps, gva_t va, char *buf,
                                                size_t len, bool write)
{
    if (len && va + len - 1 < va)
        return -EFAULT;
    while (len) {
        size_t n = MIN(len, PAGE_SIZE - va % PAGE_SIZE);
        if (!copy_at(v->dom, ps, va, buf, n, write))
            return -EFAULT;
        va += n;
        buf += n;
        len -= n;
    }
    return 0;
}

static inline int copy_linear(struct vcpu *v, gva_t va, void *buf, size_t len, bool write)
{
    struct paging_state ps;

    hvm->get_paging(v, &ps);
    ps.cpl = 0;                     /* R5: buffers are reached as the kernel that passed them would */
    if (likely(len - 1 < PAGE_SIZE - va % PAGE_SIZE))       /* nearly always, and not for 0 */
        return copy_at(v->dom, &ps, va, buf, len, write) ? 0 : -EFAULT;
    return copy_pages(v, &ps, va, buf, len, write);
}

int guest_read(struct vcpu *v, void *dst, gva_t src, size_t len) { return copy_linear(v, src, dst, len, false); }

int guest_write(struct vcpu *v, gva_t dst, const void *src, size_t len)
{
    return copy_linear(v, dst, (void *)(unsigned long)src, len, true);
}

int guest_read_gpa(struct domain *d, void *dst, gpa_t src, size_t len) { return copy_gpa(d, src, dst, len, false); }

int guest_write_gpa(struct domain *d, gpa_t dst, const void *src, size_t len)
{
    return copy_gpa(d, dst, (void *)(unsigned long)src, len, true);
}

int guest_page_pin(struct domain *d, gfn_t g, struct guest_page *p)
{
    int rc = p2m_get_owned(d, g, true, &p->mfn);

    if (rc) {
        *p = (struct guest_page){ .mfn = INVALID_MFN };
        return rc == -ENOMEM ? -ENOMEM : -EINVAL;
    }
    p->va = guest_mem(p->mfn);
    return 0;
}

void guest_page_unpin(struct guest_page *p)
{
    if (!mfn_valid(p->mfn))
        return;
    frame_unmap(p->va);
    page_put(p->mfn);
    *p = (struct guest_page){ .mfn = INVALID_MFN };
}

/* ---- pinned structures ---- */
const struct guest_area no_area = { .page = { { .mfn = INVALID_MFN }, { .mfn = INVALID_MFN } } };

int guest_area_pin(struct domain *d, gva_t gva, size_t len, struct guest_area *a)
{
    *a = no_area;
    if (gva & 7)
        return -EINVAL;
    a->off = gva & ~PAGE_MASK;
    for (unsigned i = 0; i * PAGE_SIZE < a->off + len; i++) {
        gpa_t gpa;
        u32 pfec;
        int rc = guest_walk(current_vcpu(), (gva & PAGE_MASK) + i * PAGE_SIZE, GW_WRITE, &gpa, &pfec);
        if (!rc)
            rc = guest_page_pin(d, GFN(gpa >> PAGE_SHIFT), &a->page[i]);
        if (rc) {
            guest_area_unpin(a);
            return rc == -ENOMEM ? rc : -EFAULT;
        }
    }
    return 0;
}

void guest_area_unpin(struct guest_area *a)
{
    guest_page_unpin(&a->page[0]);
    guest_page_unpin(&a->page[1]);
}

struct guest_mem *guest_area_word(const struct guest_area *a, unsigned i)
{
    unsigned at = a->off + i * 8;
    return guest_mem_at(a->page[at >= PAGE_SIZE].va, at & ~PAGE_MASK);
}
