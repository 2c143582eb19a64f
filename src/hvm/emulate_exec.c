/* SPDX-License-Identifier: MIT */
/* Instruction emulator: integer instructions with one memory operand, and their flags. */
#include "hvm/emulate.h"

/* ---- registers ---- */

u64 reg_get(const struct emul *e, unsigned reg, unsigned size)
{
    return (&e->v->regs.rax)[reg & 15] & size_mask(size);
}

void reg_set(struct emul *e, unsigned reg, unsigned size, u64 val)
{
    u64 *p = &(&e->v->regs.rax)[reg & 15];

    if (size >= 4)
        *p = val & size_mask(size);
    else
        *p = (*p & ~size_mask(size)) | (val & size_mask(size));
}

static bool high_byte(const struct emul *e)
{
    return e->i.byte_high && e->i.reg >= 4 && e->i.reg < 8;
}

u64 operand_get(const struct emul *e)
{
    if (high_byte(e))
        return reg_get(e, e->i.reg - 4u, 2) >> 8;
    return reg_get(e, e->i.reg, e->i.opsize);
}

void operand_set(struct emul *e, u64 val)
{
    if (high_byte(e))
        reg_set(e, e->i.reg - 4u, 2, (val & 0xff) << 8 | reg_get(e, e->i.reg - 4u, 1));
    else
        reg_set(e, e->i.reg, e->i.opsize, val);
}

/* ---- flags ---- */

static u64 flags_result(u64 r, unsigned size)
{
    return (__builtin_parityll(r & 0xff) ? 0 : FL_PF) | (r ? 0 : FL_ZF) | (r >> (size * 8 - 1) & 1 ? FL_SF : 0);
}

u64 emul_alu(unsigned op, u64 a, u64 b, unsigned size, u64 *rflags)
{
    u64 mask = size_mask(size), r, carry = 0, over = 0, fl, cin = *rflags & FL_CF;
    unsigned msb = size * 8 - 1;

    a &= mask;
    b &= mask;
    switch (op) {
    case OP_ADD:
    case OP_ADC:
        r = (a + b + (op == OP_ADC ? cin : 0)) & mask;
        carry = (a & b) | ((a | b) & ~r);
        over = (a ^ r) & (b ^ r);
        break;
    case OP_SUB:
    case OP_SBB:
    case OP_CMP:
        r = (a - b - (op == OP_SBB ? cin : 0)) & mask;
        carry = (~a & b) | ((~a | b) & r);
        over = (a ^ b) & (a ^ r);
        break;
    case OP_OR:
        r = a | b;
        break;
    case OP_XOR:
        r = a ^ b;
        break;
    default:                    /* AND, TEST */
        r = a & b;
        break;
    }
    fl = flags_result(r, size);
    if (op != OP_OR && op != OP_XOR && op != OP_AND && op != OP_TEST)
        fl |= (carry >> msb & 1 ? FL_CF : 0) | (over >> msb & 1 ? FL_OF : 0) | ((a ^ b ^ r) & FL_AF);
    *rflags = (*rflags & ~FL_ARITH) | fl;
    return r;
}

/* ---- read-modify-write frame ---- */

/* Resolve the operand for writing and read it. */
static enum emul_result begin_rmw(struct emul *e, struct mem *m, u64 *val)
{
    enum emul_result r = mem_operand(e, true, m);

    return r == EMUL_DONE ? mem_read_int(e, m, val) : r;
}

static enum emul_result read_operand(struct emul *e, u64 *val)
{
    struct mem m;
    enum emul_result r = mem_operand(e, false, &m);

    return r == EMUL_DONE ? mem_read_int(e, &m, val) : r;
}

/* ---- instructions ---- */

static u64 other_operand(const struct emul *e)
{
    return e->i.form == FORM_MEM_IMM ? e->i.imm : operand_get(e);
}

static enum emul_result exec_mov(struct emul *e)
{
    struct mem m;
    enum emul_result r;
    u64 val;

    if (e->i.form == FORM_REG_MEM) {
        r = read_operand(e, &val);
        if (r == EMUL_DONE)
            operand_set(e, val);
        return r;
    }
    r = mem_operand(e, true, &m);
    return r == EMUL_DONE ? mem_write_int(e, &m, other_operand(e)) : r;
}

static enum emul_result exec_extend(struct emul *e)
{
    unsigned shift = 64 - e->i.memsize * 8u;
    enum emul_result r;
    u64 val;

    r = read_operand(e, &val);
    if (r == EMUL_DONE)
        reg_set(e, e->i.reg, e->i.opsize, e->i.op == OP_MOVSX ? (u64)((s64)(val << shift) >> shift) : val);
    return r;
}

static enum emul_result exec_alu(struct emul *e)
{
    bool keeps = e->i.op == OP_CMP || e->i.op == OP_TEST;
    u64 val, fl = e->v->regs.rflags;
    struct mem m;
    enum emul_result r;

    if (e->i.form == FORM_REG_MEM) {
        r = read_operand(e, &val);
        if (r == EMUL_DONE) {
            val = emul_alu(e->i.op, operand_get(e), val, e->i.opsize, &e->v->regs.rflags);
            if (!keeps)
                operand_set(e, val);
        }
        return r;
    }
    r = keeps ? read_operand(e, &val) : begin_rmw(e, &m, &val);
    if (r != EMUL_DONE)
        return r;
    val = emul_alu(e->i.op, val, other_operand(e), e->i.opsize, &fl);
    if (!keeps)
        r = mem_write_int(e, &m, val);
    if (r == EMUL_DONE)
        e->v->regs.rflags = fl;
    return r;
}

static enum emul_result exec_unary(struct emul *e)
{
    u64 val, fl = e->v->regs.rflags, cf = fl & FL_CF;
    struct mem m;
    enum emul_result r = begin_rmw(e, &m, &val);

    if (r != EMUL_DONE)
        return r;
    if (e->i.op == OP_NOT) {
        val = ~val;
    } else if (e->i.op == OP_NEG) {
        val = emul_alu(OP_SUB, 0, val, e->i.opsize, &fl);
    } else {
        val = emul_alu(e->i.op == OP_INC ? OP_ADD : OP_SUB, val, 1, e->i.opsize, &fl);
        fl = (fl & ~FL_CF) | cf;
    }
    r = mem_write_int(e, &m, val);
    if (r == EMUL_DONE)
        e->v->regs.rflags = fl;
    return r;
}

static enum emul_result exec_xchg(struct emul *e)
{
    struct mem m;
    u64 val;
    enum emul_result r = begin_rmw(e, &m, &val);

    if (r == EMUL_DONE)
        r = mem_write_int(e, &m, operand_get(e));
    if (r == EMUL_DONE)
        operand_set(e, val);
    return r;
}

static enum emul_result exec_xadd(struct emul *e)
{
    u64 val, sum, fl = e->v->regs.rflags;
    struct mem m;
    enum emul_result r = begin_rmw(e, &m, &val);

    if (r != EMUL_DONE)
        return r;
    sum = emul_alu(OP_ADD, val, operand_get(e), e->i.opsize, &fl);
    r = mem_write_int(e, &m, sum);
    if (r == EMUL_DONE) {
        operand_set(e, val);
        e->v->regs.rflags = fl;
    }
    return r;
}

static enum emul_result exec_cmpxchg(struct emul *e)
{
    u64 val, fl = e->v->regs.rflags;
    struct mem m;
    enum emul_result r = begin_rmw(e, &m, &val);

    if (r != EMUL_DONE)
        return r;
    (void)emul_alu(OP_CMP, reg_get(e, 0, e->i.opsize), val, e->i.opsize, &fl);
    if (fl & FL_ZF)
        r = mem_write_int(e, &m, operand_get(e));
    else
        reg_set(e, 0, e->i.opsize, val);
    if (r == EMUL_DONE)
        e->v->regs.rflags = fl;
    return r;
}

/* A register bit offset reaches beyond the operand, in both directions and in full width (XSA-195). */
static enum emul_result exec_bt(struct emul *e)
{
    unsigned bits = e->i.opsize * 8u;
    u64 off = mem_offset(e), n = other_operand(e), val, bit;
    struct mem m;
    enum emul_result r;

    if (e->i.form == FORM_MEM_REG) {
        s64 index = (s64)(n << (64 - bits)) >> (64 - bits);

        off = (off + (u64)((index >> __builtin_ctz(bits)) * e->i.opsize)) & size_mask(e->i.adsize);
    }
    bit = 1ull << (n & (bits - 1));
    r = mem_resolve(e, e->i.seg, off, e->i.memsize, e->i.op != OP_BT, &m);
    if (r == EMUL_DONE)
        r = mem_read_int(e, &m, &val);
    if (r != EMUL_DONE)
        return r;
    n = val & bit;
    if (e->i.op != OP_BT)
        r = mem_write_int(e, &m, e->i.op == OP_BTS ? val | bit : e->i.op == OP_BTR ? val & ~bit : val ^ bit);
    if (r == EMUL_DONE)
        e->v->regs.rflags = (e->v->regs.rflags & ~FL_CF) | (n ? FL_CF : 0);
    return r;
}

static u64 byte_swap(u64 val, unsigned size)
{
    return __builtin_bswap64(val) >> (64 - size * 8);
}

static enum emul_result exec_movbe(struct emul *e)
{
    enum emul_result r;
    struct mem m;
    u64 val;

    if (e->i.form == FORM_REG_MEM) {
        r = read_operand(e, &val);
        if (r == EMUL_DONE)
            operand_set(e, byte_swap(val, e->i.opsize));
        return r;
    }
    r = mem_operand(e, true, &m);
    return r == EMUL_DONE ? mem_write_int(e, &m, byte_swap(operand_get(e), e->i.opsize)) : r;
}

static enum emul_result exec_mov_sreg(struct emul *e)
{
    struct segment s;
    struct mem m;
    enum emul_result r = mem_operand(e, true, &m);

    if (r != EMUL_DONE)
        return r;
    hvm->get_segment(e->v, e->i.reg & 7, &s);
    return mem_write_int(e, &m, s.sel);
}

/* ---- stack ---- */

static unsigned stack_size(const struct emul *e)
{
    struct segment ss;

    if (e->mode == 8)
        return 8;
    hvm->get_segment(e->v, SEG_SS, &ss);
    return ss.attr & SEG_ATTR_DB ? 4 : 2;
}

static enum emul_result exec_push(struct emul *e)
{
    unsigned ssz = stack_size(e);
    u64 val, sp = (reg_get(e, 4, ssz) - e->i.opsize) & size_mask(ssz);
    struct mem src, dst;
    enum emul_result r = mem_operand(e, false, &src);

    if (r == EMUL_DONE)
        r = mem_resolve(e, SEG_SS, sp, e->i.opsize, true, &dst);
    if (r == EMUL_DONE)
        r = mem_read_int(e, &src, &val);
    if (r == EMUL_DONE)
        r = mem_write_int(e, &dst, val);
    if (r == EMUL_DONE)
        reg_set(e, 4, ssz, sp);
    return r;
}

static enum emul_result exec_pop(struct emul *e)
{
    unsigned ssz = stack_size(e);
    u64 val, old = e->v->regs.rsp, sp = reg_get(e, 4, ssz);
    struct mem src, dst;
    enum emul_result r = mem_resolve(e, SEG_SS, sp, e->i.opsize, false, &src);

    if (r != EMUL_DONE)
        return r;
    reg_set(e, 4, ssz, sp + e->i.opsize);       /* an address based on rSP uses the new value */
    r = mem_operand(e, true, &dst);
    if (r == EMUL_DONE)
        r = mem_read_int(e, &src, &val);
    if (r == EMUL_DONE)
        r = mem_write_int(e, &dst, val);
    if (r != EMUL_DONE)
        e->v->regs.rsp = old;
    return r;
}

const exec_fn emul_exec[OP_NR] = {
    [OP_ADD ... OP_TEST] = exec_alu, [OP_MOV] = exec_mov, [OP_MOVZX] = exec_extend, [OP_MOVSX] = exec_extend,
    [OP_XCHG] = exec_xchg, [OP_INC ... OP_NOT] = exec_unary, [OP_BT ... OP_BTC] = exec_bt,
    [OP_CMPXCHG] = exec_cmpxchg, [OP_XADD] = exec_xadd, [OP_PUSH] = exec_push, [OP_POP] = exec_pop,
    [OP_MOVBE] = exec_movbe, [OP_MOV_SREG] = exec_mov_sreg, [OP_MOVS ... OP_SCAS] = exec_string,
    [OP_VLOAD] = exec_vload, [OP_VSTORE] = exec_vstore,
};
