/* SPDX-License-Identifier: MIT */
/*
 * Private to the instruction emulator: emulate.c (entry, fetch), emulate_lapic.c (fast path for the APIC page),
 * emulate_mem.c (memory operands), emulate_exec.c (integer instructions), emulate_string.c, emulate_vector.c.
 *
 * An instruction is carried out in the order: resolve all memory operands (segment checks, page walks; faults are
 * injected here and nothing has changed), read, compute, write, then registers and flags.
 */
#pragma once
#include "hvm/decode.h"
#include "hvm/hvm.h"

#define CR0_PE 1ull
#define CR0_PG (1ull << 31)
#define CR4_LA57 (1ull << 12)
#define EFER_LMA (1ull << 10)
#define FL_CF 0x1ull
#define FL_PF 0x4ull
#define FL_AF 0x10ull
#define FL_ZF 0x40ull
#define FL_SF 0x80ull
#define FL_TF 0x100ull
#define FL_DF 0x400ull
#define FL_OF 0x800ull
#define FL_RF 0x10000ull
#define FL_VM 0x20000ull
#define FL_ARITH (FL_CF | FL_PF | FL_AF | FL_ZF | FL_SF | FL_OF)
enum { VEC_UD = 6, VEC_SS = 12, VEC_GP = 13 };
#define SEG_ATTR_L (1u << 9)
#define SEG_ATTR_DB (1u << 10)

struct emul {
    struct vcpu *v;
    struct paging_state ps;
    u8 mode;                    /* 2, 4, 8: kind of code segment */
    struct insn i;
    /* The access that faulted: its guest translation was checked by the hardware. */
    gpa_t hint_gpa;
    bool hint_valid, hint_write;
    /* Last translation for reading and for writing: no guest code runs meanwhile, so it is as good as a TLB's. */
    struct { bool valid; gva_t page; gpa_t gpa; } tlb[2];
};

/* A memory operand that may be accessed: one part, or two if it crosses a page. */
struct mem {
    gva_t va;
    unsigned n;
    struct { gpa_t gpa; unsigned len; } part[2];
};

/* ---- emulate.c ---- */
enum emul_result emul_exception(struct emul *e, u8 vector, u32 error);

/* ---- emulate_lapic.c ---- */
/* The commonest accesses to the APIC page, without the general machinery: MOV between a 32-bit register or an
 * immediate and [base + disp] or [disp32] in 64-bit code. b: INSN_MAX bytes. Carries it out except for RIP and
 * returns its length, or 0 if it is something else. */
unsigned emul_lapic_mov(struct vcpu *v, const u8 *b, gpa_t gpa, bool write);

/* ---- emulate_mem.c ---- */
/* Offset of the instruction's explicit memory operand within its segment. */
u64 mem_offset(const struct emul *e);
/* Check segment and paging of [seg:off, + size), size <= 32. DONE, EXCEPTION (injected), UNHANDLED. */
enum emul_result mem_resolve(struct emul *e, unsigned seg, u64 off, unsigned size, bool write, struct mem *m);
/* The explicit operand. */
enum emul_result mem_operand(struct emul *e, bool write, struct mem *m);
/* RETRY: a device has not answered yet. Registers must not have been changed before. */
enum emul_result mem_read(struct emul *e, const struct mem *m, void *buf);
enum emul_result mem_write(struct emul *e, const struct mem *m, const void *buf);
/* The same for integers up to 8 bytes, zero-extended. */
enum emul_result mem_read_int(struct emul *e, const struct mem *m, u64 *val);
enum emul_result mem_write_int(struct emul *e, const struct mem *m, u64 val);

/* ---- registers (x86 numbers) ---- */
static inline u64 size_mask(unsigned size) { return size >= 8 ? ~0ull : (1ull << size * 8) - 1; }
u64 reg_get(const struct emul *e, unsigned reg, unsigned size);
/* 4 bytes zero-extend, 1 and 2 keep the rest. */
void reg_set(struct emul *e, unsigned reg, unsigned size, u64 val);
/* The same with the byte registers AH..BH of the instruction's register operand. */
u64 operand_get(const struct emul *e);
void operand_set(struct emul *e, u64 val);

/* ---- carrying out, one function per enum insn_op ---- */
typedef enum emul_result (*exec_fn)(struct emul *e);
extern const exec_fn emul_exec[OP_NR];
/* ALU in bits of `size` bytes: op is OP_ADD..OP_CMP or OP_TEST; *rflags is updated. */
u64 emul_alu(unsigned op, u64 a, u64 b, unsigned size, u64 *rflags);
enum emul_result exec_string(struct emul *e);
enum emul_result exec_vload(struct emul *e);
enum emul_result exec_vstore(struct emul *e);
