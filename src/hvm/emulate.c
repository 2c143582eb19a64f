/* SPDX-License-Identifier: MIT */
/*
 * Instruction emulator: entry point, instruction fetch, instruction length, skipping.
 * It serves second-stage faults on emulated devices, and tests (hvm_fep); contract in hvm.h.
 */
#include "hvm/emulate.h"
#include "boot/cmdline.h"
#include "hvm/vlapic.h"

enum emul_result emul_exception(struct emul *e, u8 vector, u32 error)
{
    hvm_inject_exception(e->v, vector, error);
    return EMUL_EXCEPTION;
}

/* ---- fetch ---- */

/* Kind of code segment (2, 4, 8) and linear address of RIP. */
static unsigned code_mode(struct vcpu *v, const struct paging_state *ps, gva_t *va)
{
    u64 rip = v->regs.rip;
    struct segment cs;

    *va = rip;
    /* Addresses above 4 GiB exist in 64-bit mode only: spares the look at CS for every kernel. */
    if ((ps->efer & EFER_LMA) && rip >> 32)
        return 8;
    hvm->get_segment(v, SEG_CS, &cs);
    if ((ps->efer & EFER_LMA) && (cs.attr & SEG_ATTR_L))
        return 8;
    *va = (u32)(cs.base + rip);
    return cs.attr & SEG_ATTR_DB ? 4 : 2;
}

/* Read up to max bytes at va, not beyond its page. Returns the number; 0: *pfec is the fault, ~0 if none fits. */
static unsigned fetch_page(struct vcpu *v, const struct paging_state *ps, gva_t va, u8 *buf, unsigned max, u32 *pfec)
{
    unsigned n = MIN(max, (unsigned)(PAGE_SIZE - (va & ~PAGE_MASK)));
    gpa_t gpa = va;
    int rc = 0;

    *pfec = ~0u;
    if (ps->cr0 & CR0_PG)
        rc = guest_walk(v, va, GW_FETCH | (ps->cpl == 3 ? GW_USER : 0), &gpa, pfec);
    if (rc != -EFAULT)
        *pfec = ~0u;
    if (rc || guest_read_gpa(v->dom, buf, gpa, n))
        return 0;
    return n;
}

static void fetch_fault(struct vcpu *v, gva_t va, u32 pfec)
{
    if (pfec != ~0u)
        hvm_inject_page_fault(v, va, pfec);
    else
        hvm_inject_exception(v, VEC_GP, 0);     /* code or its page tables are not in RAM */
}

/* A linear address or RIP, n bytes on. */
static gva_t move_on(gva_t va, unsigned n, unsigned mode)
{
    return mode == 8 ? va + n : (u32)(va + n);
}

unsigned emul_fetch(struct vcpu *v, u8 *buf, unsigned max)
{
    struct paging_state ps;
    unsigned mode, n;
    u32 pfec;
    gva_t va;

    hvm->get_paging(v, &ps);
    mode = code_mode(v, &ps, &va);
    n = fetch_page(v, &ps, va, buf, max, &pfec);
    if (!n)
        fetch_fault(v, va, pfec);
    else if (n < max)
        n += fetch_page(v, &ps, move_on(va, n, mode), buf + n, max - n, &pfec);
    return n;
}

unsigned emul_insn_len(struct vcpu *v, const u8 *opcode, unsigned n)
{
    struct paging_state ps;
    u8 buf[INSN_MAX];
    unsigned mode, have, skip;
    u32 pfec;
    gva_t va;

    hvm->get_paging(v, &ps);
    mode = code_mode(v, &ps, &va);
    /* No prefix and no page crossing is the rule. */
    have = fetch_page(v, &ps, va, buf, n, &pfec);
    if (likely(have == n && !memcmp(buf, opcode, n)))
        return n;
    have = fetch_page(v, &ps, va, buf, INSN_MAX, &pfec);
    if (have && have < INSN_MAX)
        have += fetch_page(v, &ps, move_on(va, have, mode), buf + have, INSN_MAX - have, &pfec);
    skip = insn_prefixes(buf, have, mode);
    if (skip + n > have || memcmp(buf + skip, opcode, n))
        return 0;
    return skip + n;
}

/* ---- skip ---- */

void hvm_skip(struct vcpu *v, unsigned len)
{
    u64 rip = v->regs.rip + len;

    if (unlikely((rip ^ v->regs.rip) >> 32)) {
        struct paging_state ps;
        gva_t va;

        hvm->get_paging(v, &ps);
        if (code_mode(v, &ps, &va) != 8)
            rip = (u32)rip;             /* EIP wraps */
    }
    v->regs.rip = rip;
    v->regs.rflags &= ~FL_RF;
    if (hvm->skipped)
        hvm->skipped(v);
}

/* ---- second-stage faults ---- */

/* Not one of ours. A user process gets #UD, so that it cannot bring its kernel down; else the caller decides. */
static enum emul_result refuse(struct emul *e)
{
    return e->ps.cpl == 3 ? emul_exception(e, VEC_UD, NO_ERROR_CODE) : EMUL_UNHANDLED;
}

static enum emul_result fetch_fault_result(struct emul *e, gva_t va, u32 pfec)
{
    fetch_fault(e->v, va, pfec);
    return EMUL_EXCEPTION;
}

/* b[0..n-1] was fetched at va; the instruction may go on in the next page. */
static enum emul_result decode(struct emul *e, u8 *b, unsigned n, gva_t va)
{
    int rc = insn_decode(b, n, e->mode, &e->i);
    u32 pfec;

    if (unlikely(rc == -EAGAIN)) {
        unsigned more;

        va = move_on(va, n, e->mode);
        more = fetch_page(e->v, &e->ps, va, b + n, INSN_MAX - n, &pfec);
        if (!more)
            return fetch_fault_result(e, va, pfec);
        rc = insn_decode(b, n + more, e->mode, &e->i);
    }
    return rc ? refuse(e) : EMUL_DONE;
}

static enum emul_result carry_out(struct emul *e, u8 *b, unsigned n, gva_t va)
{
    enum emul_result r = decode(e, b, n, va);

    if (r != EMUL_DONE)
        return r;
    r = emul_exec[e->i.op](e);
    if (r == EMUL_UNHANDLED)
        return refuse(e);
    if (r == EMUL_DONE)
        hvm_skip(e->v, e->i.len);
    return r;
}

enum emul_result emulate_mmio(struct vcpu *v, gpa_t gpa, bool write)
{
    u8 b[INSN_MAX + 1];                 /* two words are copied faster than 15 bytes */
    struct emul e;
    unsigned n;
    u32 pfec;
    gva_t va;

    e.v = v;
    e.hint_gpa = gpa;
    e.hint_valid = true;
    e.hint_write = write;
    e.tlb[0].valid = e.tlb[1].valid = false;
    hvm->get_paging(v, &e.ps);
    e.mode = (u8)code_mode(v, &e.ps, &va);
    n = fetch_page(v, &e.ps, va, b, sizeof(b), &pfec);
    if (!n)
        return fetch_fault_result(&e, va, pfec);
    if (likely(n >= INSN_MAX) && e.mode == 8 && vlapic_covers(v, gpa)) {
        unsigned len = emul_lapic_mov(v, b, gpa, write);

        if (likely(len)) {
            hvm_skip(v, len);
            return EMUL_DONE;
        }
    }
    return carry_out(&e, b, n, va);
}

/* ---- forced emulation ---- */

bool opt_hvm_fep;
BOOT_OPTION(hvm_fep, "hvm_fep", OPT_BOOL, 0, &opt_hvm_fep, NULL,
            "a guest's UD2 followed by \"xen\" has the instruction behind it emulated: for tests, not security supported");

/* RIP is behind the prefix. */
static enum emul_result forced(struct vcpu *v)
{
    u8 b[INSN_MAX];
    struct emul e = { .v = v };
    unsigned n;
    u32 pfec;
    gva_t va;

    hvm->get_paging(v, &e.ps);
    e.mode = (u8)code_mode(v, &e.ps, &va);
    n = fetch_page(v, &e.ps, va, b, sizeof(b), &pfec);
    return n ? carry_out(&e, b, n, va) : fetch_fault_result(&e, va, pfec);
}

void hvm_exit_ud(struct vcpu *v)
{
    static const u8 prefix[] = { 0x0f, 0x0b, 'x', 'e', 'n' };
    u64 rip = v->regs.rip;
    u8 b[sizeof(prefix)];
    unsigned n = emul_fetch(v, b, sizeof(b));
    struct paging_state ps;
    enum emul_result r = EMUL_UNHANDLED;
    gva_t va;

    if (unlikely(!n))
        return;                         /* another vCPU took the page away: a page fault was injected */
    if (n == sizeof(b) && !memcmp(b, prefix, sizeof(b))) {
        hvm->get_paging(v, &ps);
        v->regs.rip = move_on(rip, sizeof(prefix), code_mode(v, &ps, &va));
        r = forced(v);
    }
    if (r == EMUL_RETRY)
        v->regs.rip = rip;              /* the rest is to be forced too */
    if (r == EMUL_UNHANDLED)
        hvm_inject_exception(v, VEC_UD, NO_ERROR_CODE);
}
