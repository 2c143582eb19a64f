/* SPDX-License-Identifier: MIT */
/* Instruction emulator: memory operands. Segmentation (SDM 3A 5.3-5.5), paging, and the devices behind. */
#include "hvm/emulate.h"
#include "hvm/vlapic.h"

/* ---- offset -> linear ---- */

u64 mem_offset(const struct emul *e)
{
    const struct insn *i = &e->i;
    const u64 *reg = &e->v->regs.rax;
    u64 off = (u64)i->disp;

    if (i->base != INSN_NO_REG)
        off += reg[i->base & 15];
    if (i->index != INSN_NO_REG)
        off += reg[i->index & 15] * i->scale;
    if (i->rip_relative)
        off += e->v->regs.rip + i->len;
    return off & size_mask(i->adsize);
}

static enum emul_result segment_fault(struct emul *e, unsigned seg)
{
    return emul_exception(e, seg == SEG_SS ? VEC_SS : VEC_GP, 0);
}

static bool canonical(const struct emul *e, u64 va)
{
    unsigned shift = e->ps.cr4 & CR4_LA57 ? 7 : 16;

    return (u64)((s64)(va << shift) >> shift) == va;
}

/* Type and limit of a segment outside 64-bit mode. Real and VM86 mode have limits, too, but no types. */
static bool segment_allows(const struct emul *e, const struct segment *s, u32 off, unsigned size, bool write)
{
    u64 last = (u64)off + size - 1;
    bool code = s->attr & 8;

    if ((e->ps.cr0 & CR0_PE) && !(e->ps.rflags & FL_VM)) {
        if (!(s->attr & 0x80) || !(s->attr & 0x10))
            return false;               /* null or not present */
        if (code ? write || !(s->attr & 2) : write && !(s->attr & 2))
            return false;
        if (!code && (s->attr & 4))     /* expand-down: valid above the limit */
            return off > s->limit && last <= (s->attr & SEG_ATTR_DB ? 0xffffffffu : 0xffffu);
    }
    return last <= s->limit;
}

static enum emul_result linear(struct emul *e, unsigned seg, u64 off, unsigned size, bool write, gva_t *va)
{
    struct segment s;

    if (e->mode == 8) {
        *va = off;
        if (seg == SEG_FS || seg == SEG_GS) {
            hvm->get_segment(e->v, seg, &s);
            *va += s.base;
        }
        return canonical(e, *va) && canonical(e, *va + size - 1) ? EMUL_DONE : segment_fault(e, seg);
    }
    hvm->get_segment(e->v, seg, &s);
    if (!segment_allows(e, &s, (u32)off, size, write))
        return segment_fault(e, seg);
    *va = (u32)(s.base + off);
    return EMUL_DONE;
}

/* ---- linear -> guest-physical ---- */

static enum emul_result translate(struct emul *e, gva_t va, bool write, bool whole, gpa_t *gpa)
{
    gpa_t page;
    u32 pfec = 0;
    int rc;

    /* The hardware has walked the guest's tables for the access that faulted: same direction, same place. */
    if (e->hint_valid && whole && e->hint_write == write && !((va ^ e->hint_gpa) & ~PAGE_MASK)) {
        e->hint_valid = false;
        page = e->hint_gpa & PAGE_MASK;
    } else if (!(e->ps.cr0 & CR0_PG)) {
        *gpa = va;
        return EMUL_DONE;
    } else if (e->tlb[write].valid && e->tlb[write].page == (va & PAGE_MASK)) {
        page = e->tlb[write].gpa;
    } else {
        rc = guest_walk(e->v, va, (write ? GW_WRITE : 0) | (e->ps.cpl == 3 ? GW_USER : 0), &page, &pfec);
        if (rc == -EFAULT) {
            hvm_inject_page_fault(e->v, va, pfec);
            return EMUL_EXCEPTION;
        }
        if (rc)
            return EMUL_UNHANDLED;
        page &= PAGE_MASK;
    }
    e->tlb[write].valid = true;
    e->tlb[write].page = va & PAGE_MASK;
    e->tlb[write].gpa = page;
    *gpa = page | (va & ~PAGE_MASK);
    return EMUL_DONE;
}

enum emul_result mem_resolve(struct emul *e, unsigned seg, u64 off, unsigned size, bool write, struct mem *m)
{
    enum emul_result r = linear(e, seg, off, size, write, &m->va);
    unsigned first;

    if (r != EMUL_DONE)
        return r;
    first = MIN(size, (unsigned)(PAGE_SIZE - (m->va & ~PAGE_MASK)));
    m->n = 1;
    m->part[0].len = first;
    r = translate(e, m->va, write, first == size, &m->part[0].gpa);
    if (likely(first == size) || r != EMUL_DONE)
        return r;
    m->n = 2;
    m->part[1].len = size - first;
    return translate(e, e->mode == 8 ? m->va + first : (u32)(m->va + first), write, false, &m->part[1].gpa);
}

enum emul_result mem_operand(struct emul *e, bool write, struct mem *m)
{
    return mem_resolve(e, e->i.seg, mem_offset(e), e->i.memsize, write, m);
}

/* ---- guest-physical -> devices, RAM, nothing ---- */

/* Local APIC page: registers are 32 bits wide; narrower writes change a part, wider ones go on as two. */
static void lapic_access(struct vcpu *v, unsigned off, unsigned size, bool write, u64 *val)
{
    u64 mask = size_mask(size), old;

    if (size == 8) {
        u64 lo = (u32)*val, hi = *val >> 32;

        lapic_access(v, off, 4, write, &lo);
        lapic_access(v, off + 4, 4, write, &hi);
        *val = hi << 32 | (u32)lo;
    } else if (!write) {
        *val = vlapic_read_reg(v, off) & mask;
    } else if (size == 4) {
        vlapic_write_reg(v, off, (u32)*val);
    } else {
        unsigned shift = (off & 3) * 8;

        old = vlapic_read_reg(v, off & ~3u);
        vlapic_write_reg(v, off & ~3u, (u32)((old & ~(mask << shift)) | (*val & mask) << shift));
    }
}

/*
 * One naturally aligned piece of 1, 2, 4 or 8 bytes. This is the place to ask a device model (RETRY until it has
 * answered); what nobody claims reads all ones and takes writes (R10).
 */
static enum emul_result piece(struct emul *e, gpa_t gpa, unsigned size, bool write, u64 *val)
{
    struct vcpu *v = e->v;

    if (vlapic_covers(v, gpa)) {
        lapic_access(v, (unsigned)(gpa & ~PAGE_MASK), size, write, val);
        return EMUL_DONE;
    }
    if (mmio_access(v, gpa, size, write, val)) {
        *val &= size_mask(size);
        return EMUL_DONE;
    }
    if (write) {
        (void)!guest_write_gpa(v->dom, gpa, val, size);
    } else {
        *val = 0;
        if (guest_read_gpa(v->dom, val, gpa, size))
            *val = size_mask(size);
    }
    return EMUL_DONE;
}

static enum emul_result access_part(struct emul *e, gpa_t gpa, unsigned len, bool write, u8 *buf)
{
    while (len) {
        unsigned size = gpa & 7 ? 1u << __builtin_ctz((unsigned)gpa & 7) : 8;
        enum emul_result r;
        u64 val = 0;

        while (size > len)
            size /= 2;
        if (write)
            memcpy(&val, buf, size);
        r = piece(e, gpa, size, write, &val);
        if (r != EMUL_DONE)
            return r;
        if (!write)
            memcpy(buf, &val, size);
        gpa += size;
        buf += size;
        len -= size;
    }
    return EMUL_DONE;
}

enum emul_result mem_read(struct emul *e, const struct mem *m, void *buf)
{
    enum emul_result r = access_part(e, m->part[0].gpa, m->part[0].len, false, buf);

    if (r == EMUL_DONE && m->n == 2)
        r = access_part(e, m->part[1].gpa, m->part[1].len, false, (u8 *)buf + m->part[0].len);
    return r;
}

enum emul_result mem_write(struct emul *e, const struct mem *m, const void *buf)
{
    u8 copy[32];
    unsigned len = m->part[0].len + (m->n == 2 ? m->part[1].len : 0);
    enum emul_result r;

    memcpy(copy, buf, len);
    r = access_part(e, m->part[0].gpa, m->part[0].len, true, copy);
    if (r == EMUL_DONE && m->n == 2)
        r = access_part(e, m->part[1].gpa, m->part[1].len, true, copy + m->part[0].len);
    return r;
}

/* An aligned integer is one piece; the fast path for device registers. */
static bool single(const struct mem *m)
{
    unsigned len = m->part[0].len;

    return m->n == 1 && len <= 8 && !(len & (len - 1)) && !(m->part[0].gpa & (len - 1));
}

enum emul_result mem_read_int(struct emul *e, const struct mem *m, u64 *val)
{
    *val = 0;
    if (likely(single(m)))
        return piece(e, m->part[0].gpa, m->part[0].len, false, val);
    return mem_read(e, m, val);
}

enum emul_result mem_write_int(struct emul *e, const struct mem *m, u64 val)
{
    if (likely(single(m))) {
        val &= size_mask(m->part[0].len);
        return piece(e, m->part[0].gpa, m->part[0].len, true, &val);
    }
    return mem_write(e, m, &val);
}
