/* SPDX-License-Identifier: MIT */
/*
 * Instruction decoder for memory-touching instructions in 16-, 32- and 64-bit code (Intel SDM 2, APM 3). It is a pure
 * function of bytes and mode; the result is never changed afterwards, and each kind of operand has fields of its
 * own, so that no prefix can turn one kind into another (XSA-123). Only forms with a memory operand are accepted:
 * nothing else can have caused a second-stage fault.
 */
#pragma once
#include "lib/lib.h"

enum insn_op {
    OP_NONE,
    /* The order of the first eight is that of opcode groups 0x00-0x3f and 0x80-0x83. */
    OP_ADD, OP_OR, OP_ADC, OP_SBB, OP_AND, OP_SUB, OP_XOR, OP_CMP,
    OP_TEST, OP_MOV, OP_MOVZX, OP_MOVSX, OP_XCHG, OP_INC, OP_DEC, OP_NEG, OP_NOT,
    OP_BT, OP_BTS, OP_BTR, OP_BTC, OP_CMPXCHG, OP_XADD, OP_PUSH, OP_POP, OP_MOVBE, OP_MOV_SREG,
    OP_MOVS, OP_CMPS, OP_STOS, OP_LODS, OP_SCAS,
    OP_VLOAD, OP_VSTORE,        /* SSE/AVX register <- memory, memory <- register */
    OP_GROUP1, OP_GROUP1A, OP_GROUP3, OP_GROUP4, OP_GROUP5, OP_GROUP8, OP_GROUP11, OP_VECTOR,  /* decoder only */
    OP_NR
};

/* Where the other operand is. */
enum insn_form {
    FORM_MEM_REG,               /* memory is the first operand (destination), a register the second */
    FORM_REG_MEM,               /* register first, memory second */
    FORM_MEM_IMM,               /* memory first, immediate second */
    FORM_MEM,                   /* memory only */
    FORM_STRING,                /* implied: [rSI], [rDI], rAX */
};

#define INSN_MAX 15
#define INSN_NO_REG 0xff

struct insn {
    u8 len;
    u8 op;                      /* enum insn_op */
    u8 form;                    /* enum insn_form */
    u8 opsize;                  /* of the register or destination, bytes: 1, 2, 4, 8; vectors also 16, 32 */
    u8 memsize;                 /* of the memory operand, bytes */
    u8 adsize;                  /* address size, bytes: 2, 4, 8 */
    u8 reg;                     /* other operand: register number 0-15 */
    bool byte_high;             /* register 4-7 of a byte operand is AH, CH, DH, BH (no REX prefix) */
    bool lock;
    u8 rep;                     /* 0, 0xf2 or 0xf3 (string operations) */
    bool aligned;               /* vectors: #GP unless the address is aligned to memsize */
    bool vex;                   /* vectors: the register above memsize is zeroed up to its full width */
    u8 vec_offset;              /* vectors: byte offset within the register (MOVHPS: 8) */
    bool vec_merge;             /* vectors: a load keeps the rest of the register (MOVLPS, MOVHPS) */
    /* Effective address: seg:[base + index * scale + disp], truncated to adsize. */
    u8 seg;                     /* SEG_*, prefixes and the rBP/rSP default applied */
    bool seg_override;          /* given by a prefix (string operations: replaces DS) */
    u8 base, index;             /* register numbers or INSN_NO_REG */
    u8 scale;                   /* 1, 2, 4, 8 */
    bool rip_relative;          /* add the address of the next instruction */
    s64 disp;
    u64 imm;                    /* sign-extended to 64 bits */
};

/*
 * Decode the instruction in b[0..n-1]; mode = default address size of the code segment: 2, 4 or 8.
 * 0, -EAGAIN (n < 15 and the instruction is longer than n), -EINVAL (not one of ours, or none at all).
 */
int insn_decode(const u8 *b, unsigned n, unsigned mode, struct insn *out) __must_check;
/* Count legacy prefixes and, in 64-bit mode, REX. Returns the index of the first other byte (<= n). */
unsigned insn_prefixes(const u8 *b, unsigned n, unsigned mode);
