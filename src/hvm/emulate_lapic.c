/* SPDX-License-Identifier: MIT */
/*
 * Instruction emulator: fast path for the local APIC page, the only device page that guests touch all the time.
 * What it does not recognise goes the general way, which gives the same result; the tests compare the two.
 */
#include "hvm/emulate.h"
#include "hvm/vlapic.h"

enum { MOV_STORE = 0x89, MOV_LOAD = 0x8b, MOV_IMM = 0xc7 };
enum { REX_B = 1, REX_X = 2, REX_R = 4, REX_W = 8 };

static s32 load_s32(const u8 *b)
{
    s32 val;

    memcpy(&val, b, sizeof(val));
    return val;
}

unsigned emul_lapic_mov(struct vcpu *v, const u8 *b, gpa_t gpa, bool write)
{
    u64 *reg = &v->regs.rax, ea = 0;
    unsigned rex = 0, pos = 0, offset = (unsigned)(gpa & ~PAGE_MASK);
    u8 op, modrm, rm, nr;

    if ((b[0] & 0xf0) == 0x40)
        rex = b[pos++];
    op = b[pos++];
    modrm = b[pos++];
    rm = modrm & 7;
    if ((op != MOV_STORE && op != MOV_LOAD && op != MOV_IMM) || (rex & REX_W) || (offset & 3))
        return 0;
    if (modrm >> 6 == 2 && rm != 4) {                   /* [base + disp32] */
        ea = reg[rm | (rex & REX_B) << 3] + (u64)(s64)load_s32(b + pos);
        pos += 4;
    } else if (modrm >> 6 == 0 && rm == 4 && b[pos] == 0x25 && !(rex & REX_X)) {    /* [disp32] */
        ea = (u64)(s64)load_s32(b + pos + 1);
        pos += 5;
    } else if (modrm >> 6 == 1 && rm != 4) {            /* [base + disp8] */
        ea = reg[rm | (rex & REX_B) << 3] + (u64)(s64)(s8)b[pos++];
    } else if (modrm >> 6 == 0 && rm != 4 && rm != 5) { /* [base] */
        ea = reg[rm | (rex & REX_B) << 3];
    } else {
        return 0;
    }
    /* The access that faulted? The hardware has checked its translation then, and segments are flat. */
    if (((ea ^ gpa) & ~PAGE_MASK) || write != (op != MOV_LOAD))
        return 0;
    nr = (u8)((modrm >> 3 & 7) | (rex & REX_R) << 1);
    if (op == MOV_LOAD) {
        reg[nr] = vlapic_read_reg(v, offset);
    } else if (op == MOV_STORE) {
        vlapic_write_reg(v, offset, (u32)reg[nr]);
    } else {
        if (nr & 7)
            return 0;                                   /* not MOV; REX.R is ignored */
        vlapic_write_reg(v, offset, (u32)load_s32(b + pos));
        pos += 4;
    }
    return pos;
}
