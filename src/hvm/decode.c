/* SPDX-License-Identifier: MIT */
/* Instruction decoder: prefixes, opcode tables, ModRM, SIB, displacement, immediate. Contract in decode.h. */
#include "hvm/decode.h"
#include "hvm/hvm.h"

/* Attributes of an opcode. */
enum {
    A_BYTE = 1,                 /* operand size 1 */
    A_REG = 2,                  /* register first, memory second (default: the other way round) */
    A_IMM8 = 4,                 /* sign-extended byte */
    A_IMM = 8,                  /* of operand size, at most 4 bytes, sign-extended */
    A_LOCK = 16,                /* LOCK is allowed */
    A_MOFFS = 32,               /* address in the instruction, register rAX */
    A_STRING = 64,
    A_MEM = 128,                /* memory operand only */
    A_O64 = 256,                /* 64-bit operand by default in 64-bit mode */
    A_SRC1 = 512, A_SRC2 = 1024, A_SRC4 = 2048,     /* size of memory source, register has operand size */
    A_NOPFX = 4096,             /* 66, F2 and F3 select something else */
    A_NOREP = 8192,             /* F2 and F3 select something else */
};
struct opcode { u8 op; u16 attr; };

#define ALU(n, o, lk) \
    [(n) * 8 + 0] = { o, A_BYTE | (lk) }, [(n) * 8 + 1] = { o, lk }, \
    [(n) * 8 + 2] = { o, A_BYTE | A_REG }, [(n) * 8 + 3] = { o, A_REG }

static const struct opcode one_byte[256] = {
    ALU(0, OP_ADD, A_LOCK), ALU(1, OP_OR, A_LOCK), ALU(2, OP_ADC, A_LOCK), ALU(3, OP_SBB, A_LOCK),
    ALU(4, OP_AND, A_LOCK), ALU(5, OP_SUB, A_LOCK), ALU(6, OP_XOR, A_LOCK), ALU(7, OP_CMP, 0),
    [0x63] = { OP_MOVSX, A_REG | A_SRC4 },
    [0x80] = { OP_GROUP1, A_BYTE | A_IMM8 }, [0x81] = { OP_GROUP1, A_IMM }, [0x83] = { OP_GROUP1, A_IMM8 },
    [0x84] = { OP_TEST, A_BYTE }, [0x85] = { OP_TEST, 0 },
    [0x86] = { OP_XCHG, A_BYTE | A_LOCK }, [0x87] = { OP_XCHG, A_LOCK },
    [0x88] = { OP_MOV, A_BYTE }, [0x89] = { OP_MOV, 0 },
    [0x8a] = { OP_MOV, A_BYTE | A_REG }, [0x8b] = { OP_MOV, A_REG },
    [0x8c] = { OP_MOV_SREG, 0 }, [0x8f] = { OP_GROUP1A, A_MEM | A_O64 },
    [0xa0] = { OP_MOV, A_BYTE | A_REG | A_MOFFS }, [0xa1] = { OP_MOV, A_REG | A_MOFFS },
    [0xa2] = { OP_MOV, A_BYTE | A_MOFFS }, [0xa3] = { OP_MOV, A_MOFFS },
    [0xa4] = { OP_MOVS, A_BYTE | A_STRING }, [0xa5] = { OP_MOVS, A_STRING },
    [0xa6] = { OP_CMPS, A_BYTE | A_STRING }, [0xa7] = { OP_CMPS, A_STRING },
    [0xaa] = { OP_STOS, A_BYTE | A_STRING }, [0xab] = { OP_STOS, A_STRING },
    [0xac] = { OP_LODS, A_BYTE | A_STRING }, [0xad] = { OP_LODS, A_STRING },
    [0xae] = { OP_SCAS, A_BYTE | A_STRING }, [0xaf] = { OP_SCAS, A_STRING },
    [0xc6] = { OP_GROUP11, A_BYTE | A_IMM8 }, [0xc7] = { OP_GROUP11, A_IMM },
    [0xf6] = { OP_GROUP3, A_BYTE }, [0xf7] = { OP_GROUP3, 0 },
    [0xfe] = { OP_GROUP4, A_BYTE | A_MEM | A_LOCK }, [0xff] = { OP_GROUP5, A_MEM },
};

static const struct opcode two_byte[256] = {
    [0x10 ... 0x13] = { OP_VECTOR, 0 }, [0x16 ... 0x17] = { OP_VECTOR, 0 }, [0x28 ... 0x29] = { OP_VECTOR, 0 },
    [0x2b] = { OP_VECTOR, 0 }, [0x6e ... 0x6f] = { OP_VECTOR, 0 }, [0x7e ... 0x7f] = { OP_VECTOR, 0 },
    [0xd6] = { OP_VECTOR, 0 }, [0xe7] = { OP_VECTOR, 0 }, [0xf0] = { OP_VECTOR, 0 },
    [0xa3] = { OP_BT, 0 }, [0xab] = { OP_BTS, A_LOCK }, [0xb3] = { OP_BTR, A_LOCK }, [0xbb] = { OP_BTC, A_LOCK },
    [0xb0] = { OP_CMPXCHG, A_BYTE | A_LOCK }, [0xb1] = { OP_CMPXCHG, A_LOCK },
    [0xb6] = { OP_MOVZX, A_REG | A_SRC1 }, [0xb7] = { OP_MOVZX, A_REG | A_SRC2 },
    [0xba] = { OP_GROUP8, A_IMM8 },
    [0xbe] = { OP_MOVSX, A_REG | A_SRC1 }, [0xbf] = { OP_MOVSX, A_REG | A_SRC2 },
    [0xc0] = { OP_XADD, A_BYTE | A_LOCK }, [0xc1] = { OP_XADD, A_LOCK },
    [0xc3] = { OP_MOV, A_NOPFX },                                   /* MOVNTI */
};

/* Three-byte map 0F 38; F2 here is CRC32. */
static const struct opcode movbe[2] = { { OP_MOVBE, A_REG | A_NOREP }, { OP_MOVBE, A_NOREP } };

static const struct { u8 group, reg, op; u16 attr; } groups[] = {
    { OP_GROUP1A, 0, OP_POP, 0 },
    { OP_GROUP3, 0, OP_TEST, A_IMM }, { OP_GROUP3, 1, OP_TEST, A_IMM },
    { OP_GROUP3, 2, OP_NOT, A_MEM | A_LOCK }, { OP_GROUP3, 3, OP_NEG, A_MEM | A_LOCK },
    { OP_GROUP4, 0, OP_INC, 0 }, { OP_GROUP4, 1, OP_DEC, 0 },
    { OP_GROUP5, 0, OP_INC, A_LOCK }, { OP_GROUP5, 1, OP_DEC, A_LOCK }, { OP_GROUP5, 6, OP_PUSH, A_O64 },
    { OP_GROUP8, 4, OP_BT, 0 }, { OP_GROUP8, 5, OP_BTS, A_LOCK }, { OP_GROUP8, 6, OP_BTR, A_LOCK },
    { OP_GROUP8, 7, OP_BTC, A_LOCK },
    { OP_GROUP11, 0, OP_MOV, 0 },
};

/* Vector moves: map 1 = 0F, 2 = 0F 38; pp: 0 none, 1 = 66, 2 = F3, 3 = F2. size 0: 16, or 32 with VEX.L;
 * 255: 4, or 8 with REX.W. */
enum { V_ALIGN = 1, V_HIGH = 2, V_MERGE = 4, V_NOVEX = 8 };
static const struct { u8 map, opcode, pp, op, size, attr; } vectors[] = {
    { 1, 0x10, 0, OP_VLOAD, 0, 0 }, { 1, 0x10, 1, OP_VLOAD, 0, 0 },
    { 1, 0x10, 2, OP_VLOAD, 4, 0 }, { 1, 0x10, 3, OP_VLOAD, 8, 0 },
    { 1, 0x11, 0, OP_VSTORE, 0, 0 }, { 1, 0x11, 1, OP_VSTORE, 0, 0 },
    { 1, 0x11, 2, OP_VSTORE, 4, 0 }, { 1, 0x11, 3, OP_VSTORE, 8, 0 },
    /* VMOVLPS and VMOVHPS loads have a third operand: not done. */
    { 1, 0x12, 0, OP_VLOAD, 8, V_MERGE | V_NOVEX }, { 1, 0x12, 1, OP_VLOAD, 8, V_MERGE | V_NOVEX },
    { 1, 0x16, 0, OP_VLOAD, 8, V_MERGE | V_HIGH | V_NOVEX }, { 1, 0x16, 1, OP_VLOAD, 8, V_MERGE | V_HIGH | V_NOVEX },
    { 1, 0x13, 0, OP_VSTORE, 8, V_NOVEX }, { 1, 0x13, 1, OP_VSTORE, 8, V_NOVEX },
    { 1, 0x17, 0, OP_VSTORE, 8, V_HIGH | V_NOVEX }, { 1, 0x17, 1, OP_VSTORE, 8, V_HIGH | V_NOVEX },
    { 1, 0x28, 0, OP_VLOAD, 0, V_ALIGN }, { 1, 0x28, 1, OP_VLOAD, 0, V_ALIGN },
    { 1, 0x29, 0, OP_VSTORE, 0, V_ALIGN }, { 1, 0x29, 1, OP_VSTORE, 0, V_ALIGN },
    { 1, 0x2b, 0, OP_VSTORE, 0, V_ALIGN }, { 1, 0x2b, 1, OP_VSTORE, 0, V_ALIGN },
    { 1, 0x6e, 1, OP_VLOAD, 255, 0 }, { 1, 0x7e, 1, OP_VSTORE, 255, 0 },
    { 1, 0x6f, 1, OP_VLOAD, 0, V_ALIGN }, { 1, 0x6f, 2, OP_VLOAD, 0, 0 },
    { 1, 0x7f, 1, OP_VSTORE, 0, V_ALIGN }, { 1, 0x7f, 2, OP_VSTORE, 0, 0 },
    { 1, 0x7e, 2, OP_VLOAD, 8, 0 }, { 1, 0xd6, 1, OP_VSTORE, 8, 0 },
    { 1, 0xe7, 1, OP_VSTORE, 0, V_ALIGN }, { 1, 0xf0, 3, OP_VLOAD, 0, 0 },
    { 2, 0x2a, 1, OP_VLOAD, 0, V_ALIGN },
};

/* Decoder's working state; the result is written once it is complete. */
struct dec {
    const u8 *b;
    unsigned n, pos, mode;
    bool short_read;            /* ran out of bytes */
    u8 rex;                     /* 0: none */
    bool opsize66, adsize67, vex, vex_l;
    u8 pp, seg, rep;            /* seg: SEG_NR = none */
};

static u8 next(struct dec *d)
{
    if (unlikely(d->pos >= d->n)) {
        d->short_read = true;
        return 0;
    }
    return d->b[d->pos++];
}

static u64 next_unsigned(struct dec *d, unsigned size)
{
    u64 val = 0;

    if (unlikely(d->n - d->pos < size)) {
        d->short_read = true;
        return 0;
    }
    if (likely(size == 4))
        memcpy(&val, d->b + d->pos, 4);     /* one load */
    else
        memcpy(&val, d->b + d->pos, size);
    d->pos += size;
    return val;
}

static s64 next_signed(struct dec *d, unsigned size)
{
    unsigned shift = 64 - size * 8;

    return (s64)(next_unsigned(d, size) << shift) >> shift;
}

/* ---- prefixes ---- */

enum { P_NONE, P_66, P_67, P_LOCK, P_REP, P_SEG };
static u8 prefix_kind(u8 b, u8 *seg)
{
    static const struct { u8 byte, kind, seg; } p[] = {
        { 0x66, P_66, 0 }, { 0x67, P_67, 0 }, { 0xf0, P_LOCK, 0 }, { 0xf2, P_REP, 0 }, { 0xf3, P_REP, 0 },
        { 0x26, P_SEG, SEG_ES }, { 0x2e, P_SEG, SEG_CS }, { 0x36, P_SEG, SEG_SS }, { 0x3e, P_SEG, SEG_DS },
        { 0x64, P_SEG, SEG_FS }, { 0x65, P_SEG, SEG_GS },
    };
    /* One bit per byte value: the common case, no prefix, costs one test. */
    static const u64 is_prefix[4] = { 1ull << 0x26 | 1ull << 0x2e | 1ull << 0x36 | 1ull << 0x3e,
                                      0xfull << (0x64 - 0x40), 0, 1ull << (0xf0 - 0xc0) | 3ull << (0xf2 - 0xc0) };

    if (likely(!bit_test(is_prefix, b)))
        return P_NONE;
    for (unsigned i = 0; i < ARRAY_SIZE(p); i++) {
        if (p[i].byte == b) {
            *seg = p[i].seg;
            return p[i].kind;
        }
    }
    return P_NONE;
}

unsigned insn_prefixes(const u8 *b, unsigned n, unsigned mode)
{
    unsigned i = 0;
    u8 seg;

    while (i < n && prefix_kind(b[i], &seg) != P_NONE)
        i++;
    /* A REX prefix counts only directly before the opcode; one before another prefix is ignored. */
    if (mode == 8 && i < n && (b[i] & 0xf0) == 0x40)
        return i + 1 < n && prefix_kind(b[i + 1], &seg) != P_NONE ? i + 1 + insn_prefixes(b + i + 1, n - i - 1, mode)
                                                                 : i + 1;
    return i;
}

/* Consume prefixes; returns the first opcode byte. */
static u8 prefixes(struct dec *d, bool *lock)
{
    u8 seg = 0;

    for (;;) {
        u8 b = next(d);

        if (d->mode == 8 && (b & 0xf0) == 0x40) {
            d->rex = b;
            continue;
        }
        switch (prefix_kind(b, &seg)) {
        case P_NONE:
            return b;
        case P_66:
            d->opsize66 = true;
            break;
        case P_67:
            d->adsize67 = true;
            break;
        case P_LOCK:
            *lock = true;
            break;
        case P_REP:
            d->rep = b;
            break;
        case P_SEG:
            if (d->mode != 8 || seg == SEG_FS || seg == SEG_GS)     /* the others are ignored in 64-bit mode */
                d->seg = seg;
            break;
        }
        d->rex = 0;             /* REX before another prefix is ignored */
    }
}

/* ---- memory operand ---- */

static void mem_defaults(const struct dec *d, struct insn *i)
{
    i->base = i->index = INSN_NO_REG;
    i->scale = 1;
    i->seg = SEG_DS;
    i->adsize = (u8)(d->mode == 2 ? (d->adsize67 ? 4 : 2) : d->mode == 4 ? (d->adsize67 ? 2 : 4)
                                  : d->adsize67 ? 4 : 8);
}

static void modrm16(struct dec *d, struct insn *i, u8 mod, u8 rm)
{
    enum { BX = 3, BP = 5, SI = 6, DI = 7 };
    static const u8 base[8] = { BX, BX, BP, BP, SI, DI, BP, BX };
    static const u8 index[8] = { SI, DI, SI, DI, INSN_NO_REG, INSN_NO_REG, INSN_NO_REG, INSN_NO_REG };

    if (mod == 0 && rm == 6) {
        i->disp = next_signed(d, 2);
        return;
    }
    i->base = base[rm];
    i->index = index[rm];
    if (i->base == BP)
        i->seg = SEG_SS;
    if (mod)
        i->disp = next_signed(d, mod);      /* 1 or 2 bytes */
}

static void modrm32(struct dec *d, struct insn *i, u8 mod, u8 rm)
{
    u8 base = rm;

    if (rm == 4) {
        u8 sib = next(d), index = (u8)((sib >> 3 & 7) | (d->rex & 2) << 2);

        base = sib & 7;
        i->scale = (u8)(1 << (sib >> 6));
        if (index != 4)
            i->index = index;
    }
    if (mod == 0 && base == 5) {
        i->disp = next_signed(d, 4);
        i->rip_relative = rm == 5 && d->mode == 8;
        return;
    }
    i->base = (u8)(base | (d->rex & 1) << 3);
    if (base == 4 || base == 5)             /* rSP or rBP; r12 and r13 use DS */
        i->seg = d->rex & 1 ? SEG_DS : SEG_SS;
    if (mod)
        i->disp = next_signed(d, mod == 1 ? 1 : 4);
}

/* False: register form. */
static bool modrm(struct dec *d, struct insn *i)
{
    u8 m = next(d), mod = m >> 6;

    i->reg = (u8)((m >> 3 & 7) | (d->rex & 4) << 1);
    if (mod == 3)
        return false;
    if (i->adsize == 2)
        modrm16(d, i, mod, m & 7);
    else
        modrm32(d, i, mod, m & 7);
    return true;
}

static void apply_segment(const struct dec *d, struct insn *i)
{
    if (d->seg != SEG_NR) {
        i->seg = d->seg;
        i->seg_override = true;
    }
}

/* ---- vectors ---- */

/* VEX prefix: b is C4 or C5. Returns the opcode map (0: not VEX). */
static unsigned vex(struct dec *d, u8 b)
{
    u8 p0 = next(d), p1;
    unsigned map = 1;

    /* Legacy prefixes and REX before VEX are #UD; outside 64-bit mode C4/C5 with a memory form are LES and LDS. */
    if (d->rex || d->opsize66 || d->rep || (d->mode != 8 && p0 < 0xc0))
        return 0;
    if (b == 0xc4) {
        map = p0 & 0x1f;
        p1 = next(d);
        d->rex = (u8)(0x40 | (~p0 >> 5 & 7) | (p1 >> 7) << 3);
    } else {
        p1 = p0;
        d->rex = (u8)(0x40 | (~p0 >> 5 & 4));
    }
    if (d->mode != 8)
        d->rex = 0x40;
    if ((p1 & 0x78) != 0x78)            /* a third operand */
        return 0;
    d->vex = true;
    d->vex_l = p1 & 4;
    d->pp = p1 & 3;
    return map == 1 || map == 2 ? map : 0;
}

static int decode_vector(struct dec *d, unsigned map, u8 opcode, struct insn *i)
{
    unsigned n;

    if (!d->vex)
        d->pp = d->rep == 0xf3 ? 2 : d->rep == 0xf2 ? 3 : d->opsize66 ? 1 : 0;
    for (n = 0; n < ARRAY_SIZE(vectors); n++)
        if (vectors[n].map == map && vectors[n].opcode == opcode && vectors[n].pp == d->pp)
            break;
    if (n == ARRAY_SIZE(vectors) || !modrm(d, i) || (d->vex && (vectors[n].attr & V_NOVEX)))
        return -EINVAL;
    apply_segment(d, i);
    if (d->vex_l && vectors[n].size && !(vectors[n].size <= 8 && (opcode == 0x10 || opcode == 0x11)))
        return -EINVAL;                 /* L must be 0; VMOVSS and VMOVSD ignore it */
    i->op = vectors[n].op;
    i->form = i->op == OP_VLOAD ? FORM_REG_MEM : FORM_MEM_REG;
    i->memsize = vectors[n].size ? vectors[n].size : d->vex_l ? 32 : 16;
    if (i->memsize == 255)
        i->memsize = d->mode == 8 && d->rex & 8 ? 8 : 4;
    i->opsize = d->vex_l && !vectors[n].size ? 32 : 16;
    i->aligned = vectors[n].attr & V_ALIGN;
    i->vec_offset = vectors[n].attr & V_HIGH ? 8 : 0;
    i->vec_merge = vectors[n].attr & V_MERGE;
    i->vex = d->vex;
    return 0;
}

/* ---- integer instructions ---- */

static unsigned operand_size(const struct dec *d, unsigned attr)
{
    if (attr & A_BYTE)
        return 1;
    if (d->rex & 8)
        return 8;
    if (attr & A_NOPFX)
        return 4;                       /* MOVNTI, also in 16-bit code */
    if ((attr & A_O64) && d->mode == 8)
        return d->opsize66 ? 2 : 8;
    return d->mode == 2 ? (d->opsize66 ? 4 : 2) : d->opsize66 ? 2 : 4;
}

/* Resolve an opcode group by ModRM.reg; false if there is no such member. */
static bool group(u8 reg, u8 *op, u16 *attr)
{
    if (*op == OP_GROUP1) {
        *op = (u8)(OP_ADD + (reg & 7));
        *attr |= *op == OP_CMP ? 0 : A_LOCK;
        return true;
    }
    if (*op < OP_GROUP1)
        return true;
    for (unsigned n = 0; n < ARRAY_SIZE(groups); n++) {
        if (groups[n].group == *op && groups[n].reg == (reg & 7)) {
            *op = groups[n].op;
            *attr |= groups[n].attr;
            return true;
        }
    }
    return false;
}

static int decode_integer(struct dec *d, struct opcode oc, struct insn *i)
{
    unsigned size;

    if (oc.attr & A_STRING) {
        i->form = FORM_STRING;
        i->rep = d->rep;
    } else if (oc.attr & A_MOFFS) {
        i->disp = (s64)next_unsigned(d, i->adsize);
    } else if (!modrm(d, i) || !group(i->reg, &oc.op, &oc.attr)) {
        return -EINVAL;
    }
    apply_segment(d, i);
    size = operand_size(d, oc.attr);
    i->op = oc.op;
    i->opsize = i->memsize = (u8)size;
    i->byte_high = size == 1 && !d->rex;
    if (oc.attr & (A_SRC1 | A_SRC2 | A_SRC4))
        i->memsize = oc.attr & A_SRC1 ? 1 : oc.attr & A_SRC2 ? 2 : 4;
    if (oc.op == OP_MOV_SREG) {
        i->memsize = 2;
        if ((i->reg & 7) > SEG_GS)
            return -EINVAL;
    }
    if (oc.op == OP_MOVSX && (oc.attr & A_SRC4) && (d->mode != 8 || size == 2))
        return -EINVAL;                 /* ARPL; and vendors differ on 16-bit MOVSXD */
    if (oc.attr & (A_IMM | A_IMM8)) {
        i->form = FORM_MEM_IMM;
        i->imm = (u64)next_signed(d, oc.attr & A_IMM8 ? 1 : MIN(size, 4u));
    } else if (!(oc.attr & A_STRING)) {
        i->form = oc.attr & A_MEM ? FORM_MEM : oc.attr & A_REG ? FORM_REG_MEM : FORM_MEM_REG;
    }
    if ((oc.attr & A_NOPFX) && (d->rep || d->opsize66))
        return -EINVAL;
    if ((oc.attr & A_NOREP) && d->rep)
        return -EINVAL;
    return i->lock && (!(oc.attr & A_LOCK) || i->form == FORM_REG_MEM) ? -EINVAL : 0;
}

static int decode(struct dec *d, struct insn *i)
{
    u8 b = prefixes(d, &i->lock);
    struct opcode oc;
    unsigned map;

    mem_defaults(d, i);
    if ((b & 0xfe) == 0xc4) {
        map = vex(d, b);
        return map && !i->lock ? decode_vector(d, map, next(d), i) : -EINVAL;
    }
    if (b != 0x0f) {
        oc = one_byte[b];
        return oc.op == OP_NONE ? -EINVAL : decode_integer(d, oc, i);
    }
    b = next(d);
    if (b == 0x38) {
        b = next(d);
        if ((b & 0xfe) == 0xf0)
            return decode_integer(d, movbe[b & 1], i);
        return i->lock ? -EINVAL : decode_vector(d, 2, b, i);
    }
    oc = two_byte[b];
    if (oc.op == OP_VECTOR)
        return i->lock ? -EINVAL : decode_vector(d, 1, b, i);
    return oc.op == OP_NONE ? -EINVAL : decode_integer(d, oc, i);
}

int insn_decode(const u8 *b, unsigned n, unsigned mode, struct insn *out)
{
    struct insn i = { 0 };
    struct dec d = { .b = b, .n = MIN(n, (unsigned)INSN_MAX), .mode = mode, .seg = SEG_NR };
    int rc = decode(&d, &i);

    if (d.short_read)
        return n < INSN_MAX ? -EAGAIN : -EINVAL;
    if (rc)
        return rc;
    i.len = (u8)d.pos;
    *out = i;
    return 0;
}
