/* SPDX-License-Identifier: MIT */
/*
 * INS and OUTS. A few iterations per exit; REP leaves RIP on the instruction, with rCX, rSI and rDI advanced, so that
 * it continues at the next entry and interrupts get in between (I-16). The memory side is translated with the
 * guest's own rights before the port is touched: a fault loses no data.
 */
#include "hvm/hvm_vcpu.h"
#include "cpu/x86.h"

#define MAX_ITERATIONS 128

struct string_op {
    struct vcpu *v;
    u16 port;
    u8 size, addr_size;
    bool in;
    u64 mask;                       /* of the address size */
    struct segment seg;
    bool stack;                     /* it is SS: faults are #SS */
    bool typed;                     /* protected mode: segments have types */
    bool long_code;
    u8 cpl;
};

/* INS writes to a writable data segment, OUTS reads from any but execute-only code (APM 2, 4.8.1). */
static bool type_allows(const struct string_op *o)
{
    bool code = o->seg.attr & 8, rw = o->seg.attr & 2;
    return !o->typed || ((o->seg.attr & 0x90) == 0x90 && (o->in ? !code && rw : !code || rw));
}

/* Linear address of the element; false if #GP or #SS was injected. APM 2, 4.7 (segment limits), 4.5.3. The exit comes
 * before the processor has looked at the memory side. */
static bool linear(const struct string_op *o, u64 off, gva_t *va)
{
    const struct segment *s = &o->seg;
    u64 last = off + o->size - 1;
    if (o->long_code) {
        *va = s->base + off;
        if (is_canonical(*va) && is_canonical(*va + o->size - 1)) return true;
    } else {
        bool down = (s->attr & 0xc) == 0x4;     /* data segment, expand-down */
        u64 top = s->attr & 0x400 ? 0xffffffff : 0xffff;
        bool inside = down ? off > s->limit && last <= top : last <= s->limit;
        *va = (u32)(s->base + off);
        if (inside && type_allows(o)) return true;
    }
    hvm_inject_exception(o->v, o->stack ? X86_SS : X86_GP, 0);
    return false;
}

/* Both ends of the element as guest-physical addresses; false if a fault was injected. */
static bool translate(const struct string_op *o, gva_t va, gpa_t gpa[2])
{
    unsigned flags = (o->in ? GW_WRITE : 0) | (o->cpl == 3 ? GW_USER : 0);
    gva_t ends[2] = { va, va + o->size - 1 };
    u32 pfec;
    for (unsigned i = 0; i < 2; i++) {
        if (i && (ends[1] ^ ends[0]) < PAGE_SIZE && (ends[0] >> PAGE_SHIFT) == (ends[1] >> PAGE_SHIFT)) {
            gpa[1] = gpa[0] + o->size - 1;
            return true;
        }
        int rc = guest_walk(o->v, ends[i], flags, &gpa[i], &pfec);
        if (rc == -EFAULT) hvm_inject_page_fault(o->v, ends[i], pfec);
        else if (rc) domain_crash(o->v->dom, "string I/O: page tables of %#lx are not in RAM\n", ends[i]);
        if (rc) return false;
    }
    return true;
}

/* RAM, or a handler's memory, or nothing: all ones and ignored (R10). */
static void move(const struct string_op *o, gpa_t gpa, u8 *data, unsigned n)
{
    u64 val = 0;
    if (!n) return;
    if (o->in) {
        if (guest_write_gpa(o->v->dom, gpa, data, n) == 0) return;
        memcpy(&val, data, n);
        (void)mmio_access(o->v, gpa, n, true, &val);
    } else {
        if (guest_read_gpa(o->v->dom, data, gpa, n) == 0) return;
        if (!mmio_access(o->v, gpa, n, false, &val)) val = ~0ULL;
        memcpy(data, &val, n);
    }
}

/* One element at offset off; false: stop here, something was injected. */
static bool one(const struct string_op *o, u64 off)
{
    gva_t va;
    gpa_t gpa[2];
    u32 val = 0;
    if (!linear(o, off, &va) || !translate(o, va, gpa)) return false;
    unsigned first = MIN((unsigned)o->size, (unsigned)(PAGE_SIZE - (va & 0xfff)));
    gpa_t second = gpa[1] & PAGE_MASK;          /* the part behind a page border */
    u8 data[4] = { 0 };
    if (o->in) {
        pio_access(o->v, o->port, o->size, false, &val);
        memcpy(data, &val, sizeof(data));
    }
    move(o, gpa[0], data, first);
    move(o, second, data + first, o->size - first);
    if (!o->in) {
        memcpy(&val, data, sizeof(val));
        if (o->size < 4) val &= (1u << (8 * o->size)) - 1;
        pio_access(o->v, o->port, o->size, true, &val);
    }
    return true;
}

/* 32-bit results clear the upper half, 16-bit ones keep the rest (APM 1, 3.1.2). */
static u64 merge(const struct string_op *o, u64 old, u64 val)
{
    return o->addr_size == 2 ? (old & ~o->mask) | (val & o->mask) : val & o->mask;
}

void pio_string(struct vcpu *v, u16 port, unsigned size, bool in, bool rep, unsigned addr_size, unsigned seg,
                unsigned len)
{
    struct vcpu_regs *r = &v->regs;
    struct paging_state p;
    struct segment cs;
    hvm->get_paging(v, &p);
    hvm->get_segment(v, SEG_CS, &cs);
    struct string_op o = { .v = v, .port = port, .size = (u8)size, .addr_size = (u8)addr_size, .in = in,
                           .mask = addr_size == 8 ? ~0ULL : (1ULL << (8 * addr_size)) - 1, .cpl = p.cpl,
                           .stack = !in && seg == SEG_SS, .typed = (p.cr0 & CR0_PE) && !(p.rflags & 1u << 17),
                           .long_code = (p.efer & EFER_LMA) && (cs.attr & 0x200) };
    hvm->get_segment(v, in ? SEG_ES : seg, &o.seg);
    if (o.long_code && (in || (seg != SEG_FS && seg != SEG_GS))) o.seg.base = 0;

    u64 *index = in ? &r->rdi : &r->rsi, step = r->rflags & 1u << 10 ? -(u64)size : size;
    u64 count = rep ? r->rcx & o.mask : 1;
    for (unsigned i = 0; count && i < MAX_ITERATIONS; i++, count--) {
        if (!one(&o, *index & o.mask)) return;
        *index = merge(&o, *index, *index + step);
        if (rep) r->rcx = merge(&o, r->rcx, r->rcx - 1);
        if (v->flags) break;                    /* waits for a device model: continue when it has answered */
    }
    if (!rep || !(r->rcx & o.mask)) hvm_skip(v, len);
}
