/* SPDX-License-Identifier: MIT */
/* Instruction emulator: MOVS, CMPS, STOS, LODS, SCAS with and without REP. */
#include "hvm/emulate.h"

/* Repetitions per exit: then the guest re-executes the instruction, and interrupts get in (I-16, XSA-112). */
#define MAX_REPEAT 128

enum { RAX = 0, RCX = 1, RSI = 6, RDI = 7 };

static void advance(struct emul *e, unsigned reg)
{
    u64 step = e->v->regs.rflags & FL_DF ? -(u64)e->i.opsize : e->i.opsize;

    reg_set(e, reg, e->i.adsize, reg_get(e, reg, e->i.adsize) + step);
}

/* rSI with DS or the override, rDI with ES always. Every access is checked and translated on its own. */
static enum emul_result source(struct emul *e, struct mem *m)
{
    return mem_resolve(e, e->i.seg, reg_get(e, RSI, e->i.adsize), e->i.opsize, false, m);
}

static enum emul_result target(struct emul *e, bool write, struct mem *m)
{
    return mem_resolve(e, SEG_ES, reg_get(e, RDI, e->i.adsize), e->i.opsize, write, m);
}

static enum emul_result movs(struct emul *e)
{
    struct mem src, dst;
    u64 val;
    enum emul_result r = source(e, &src);

    if (r == EMUL_DONE)
        r = target(e, true, &dst);
    if (r == EMUL_DONE)
        r = mem_read_int(e, &src, &val);
    if (r == EMUL_DONE)
        r = mem_write_int(e, &dst, val);
    if (r == EMUL_DONE) {
        advance(e, RSI);
        advance(e, RDI);
    }
    return r;
}

static enum emul_result cmps(struct emul *e)
{
    struct mem src, dst;
    u64 a, b;
    enum emul_result r;

    e->hint_valid = false;              /* two reads: which one faulted is not known */
    r = source(e, &src);
    if (r == EMUL_DONE)
        r = target(e, false, &dst);
    if (r == EMUL_DONE)
        r = mem_read_int(e, &src, &a);
    if (r == EMUL_DONE)
        r = mem_read_int(e, &dst, &b);
    if (r == EMUL_DONE) {
        (void)emul_alu(OP_CMP, a, b, e->i.opsize, &e->v->regs.rflags);
        advance(e, RSI);
        advance(e, RDI);
    }
    return r;
}

static enum emul_result stos(struct emul *e)
{
    struct mem dst;
    enum emul_result r = target(e, true, &dst);

    if (r == EMUL_DONE)
        r = mem_write_int(e, &dst, reg_get(e, RAX, e->i.opsize));
    if (r == EMUL_DONE)
        advance(e, RDI);
    return r;
}

static enum emul_result lods(struct emul *e)
{
    struct mem src;
    u64 val;
    enum emul_result r = source(e, &src);

    if (r == EMUL_DONE)
        r = mem_read_int(e, &src, &val);
    if (r == EMUL_DONE) {
        reg_set(e, RAX, e->i.opsize, val);
        advance(e, RSI);
    }
    return r;
}

static enum emul_result scas(struct emul *e)
{
    struct mem dst;
    u64 val;
    enum emul_result r = target(e, false, &dst);

    if (r == EMUL_DONE)
        r = mem_read_int(e, &dst, &val);
    if (r == EMUL_DONE) {
        (void)emul_alu(OP_CMP, reg_get(e, RAX, e->i.opsize), val, e->i.opsize, &e->v->regs.rflags);
        advance(e, RDI);
    }
    return r;
}

static enum emul_result once(struct emul *e)
{
    static const exec_fn fn[] = { movs, cmps, stos, lods, scas };

    return fn[e->i.op - OP_MOVS](e);
}

/* One repetition is over: does the instruction end here? */
static bool finished(const struct emul *e)
{
    bool compares = e->i.op == OP_CMPS || e->i.op == OP_SCAS, equal = e->v->regs.rflags & FL_ZF;

    if (!reg_get(e, RCX, e->i.adsize))
        return true;
    return compares && equal != (e->i.rep == 0xf3);
}

enum emul_result exec_string(struct emul *e)
{
    unsigned max = e->v->regs.rflags & FL_TF ? 1 : MAX_REPEAT;
    enum emul_result r;

    if (!e->i.rep)
        return once(e);
    if (!reg_get(e, RCX, e->i.adsize))
        return EMUL_DONE;
    for (unsigned n = 0; n < max; n++) {
        r = once(e);
        if (r != EMUL_DONE)
            return r;                   /* registers stand at this repetition, as the architecture wants */
        reg_set(e, RCX, e->i.adsize, reg_get(e, RCX, e->i.adsize) - 1);
        if (finished(e))
            return EMUL_DONE;
    }
    if (hvm->skipped)
        hvm->skipped(e->v);             /* end of a repetition is an instruction boundary: shadow, single step */
    return EMUL_RETRY;
}
