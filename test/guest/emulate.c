/* SPDX-License-Identifier: MIT */
/*
 * Corner cases of the instruction emulator, in a guest: operands where nothing is (all ones; writes are lost) and in the
 * local APIC's page, which always exit, and, with hvm_fep on Helium's command line, any operand by the forced emulation
 * prefix. Then every instruction runs twice, by the processor and by the emulator, and both must come to the same end.
 */
#include "anymode.h"
#include "report.h"

const char test_name[] = "emulate";

/* ---- cases whose operand is where an exit is certain ---- */
#define I(...) .n = sizeof((u8[]){ __VA_ARGS__ }), .code = { __VA_ARGS__ }
#define TIMER_WAS 0x10000100u
#define ONES ~0UL
#define ZERO 0x0e0e0e0e0e0e0e0eUL       /* a result of 0; 0 in a row means: as before */
#define BEHIND ONES                     /* rip: behind the instruction, though it trapped */
#define AGAIN (ONES - 1)                /* rip: before all of it, so that it goes on */

static const struct kase {
    const char *name;
    u8 mode, n, code[15];
    struct segments s;
    u64 rax, rbx, rcx, rbp, rsi, rdi, rsp, fs;
    u32 rflags;
    u8 *at;                             /* where the code lies, if it matters */
    /* Expected: a trap instead of the end, registers and memory that change; all else stays as it was. */
    u8 vector;
    u32 error;
    u64 cr2, rip;                       /* rip: 0 is the usual one */
    u64 rax2, rcx2, rsi2, rdi2, rsp2;
    u32 timer2;
    u16 at2; u8 size2; u64 val2;        /* window offset and new value of RAM */
    bool cf, zf;
} cases[] = {
    /* Bit offsets in a register reach far beyond the operand, in both directions (XSA-195). */
    { "bts 32, before the base", M64, I(0x0f, 0xab, 0x0b), .rbx = W + TIMER + 0x200, .rcx = (u32)(-0x200 * 8 + 5),
      .timer2 = TIMER_WAS | 1 << 5 },
    { "bts 32, upper half of the offset ignored", M64, I(0x0f, 0xab, 0x0b), .rbx = W + TIMER - 8,
      .rcx = 0x5a5a5a5a00000042,
      .timer2 = TIMER_WAS | 1 << 2 },
    { "btr 32, the base on an absent page", M64, I(0x0f, 0xb3, 0x0b), .rbx = W + TIMER - 0x1000, .rcx = 0x1000 * 8 + 8,
      .timer2 = TIMER_WAS & ~0x100u, .cf = true },
    { "btc 16, the offset's sign", M64, I(0x66, 0x0f, 0xbb, 0x0b), .rbx = W + TIMER + 0x1000, .rcx = 0x8001,
      .timer2 = TIMER_WAS | 2 },
    { "bts 64, far above", M64, I(0x48, 0x0f, 0xab, 0x0b), .rbx = W + TIMER - (1UL << 40), .rcx = (1UL << 43) + 3,
      .timer2 = TIMER_WAS | 1 << 3 },
    { "bts 64, from a base that is not canonical", M64, I(0x48, 0x0f, 0xab, 0x0b), .rbx = W + TIMER + (1UL << 59),
      .rcx = (u64)-(1L << 62) + 7, .timer2 = TIMER_WAS | 1 << 7 },
    { "bts 64, 32-bit address that wraps", M64, I(0x67, 0x48, 0x0f, 0xab, 0x0b), .rbx = 0xdead000000000000 | 0x88,
      .rcx = (W + TIMER - 0x88) * 8 + 4 + (1UL << 35), .timer2 = TIMER_WAS | 1 << 4 },
    { "bt immediate, modulo the operand", M64, I(0x0f, 0xba, 0x23, 0x28), .rbx = W + TIMER, .cf = true },
    { "lock bts immediate", M64, I(0xf0, 0x0f, 0xba, 0x2b, 0x3f), .rbx = W + TIMER, .timer2 = TIMER_WAS | 1U << 31 },
    { "bt where nothing is", M64, I(0x0f, 0xa3, 0x0b), .rbx = W + HOLE + 0x800, .rcx = (u32)-0x1000, .cf = true },
    { "bts in 16-bit code", M16, I(0x0f, 0xab, 0x0f), .rbx = TIMER + 2, .rcx = 0xffff, .timer2 = TIMER_WAS | 1 << 15 },
    { "bts in 32-bit code", M32, I(0x0f, 0xab, 0x0b), .rbx = TIMER + 4, .rcx = 0xffffffff,
      .timer2 = TIMER_WAS | 1U << 31 },

    /* Operands across pages. */
    { "read, RAM then nothing", M64, I(0x8b, 0x03), .rbx = W + HOLE - 2, .rax2 = 0xffff1111 },
    { "read, nothing then RAM", M64, I(0x48, 0x8b, 0x03), .rbx = W + RAM_C - 4, .rax2 = 0x13131313ffffffff },
    { "write, RAM then nothing", M64, I(0x89, 0x03), .rax = 0x44332211, .rbx = W + HOLE - 2, .at2 = HOLE - 2,
      .size2 = 2,
      .val2 = 0x2211 },
    { "write, nothing then RAM", M64, I(0x89, 0x03), .rax = 0x44332211, .rbx = W + RAM_C - 1, .at2 = RAM_C, .size2 = 3,
      .val2 = 0x443322 },
    { "read, nothing then absent", M64, I(0x8b, 0x03), .rbx = W + ABSENT_2 - 1, .vector = 14, .cr2 = W + ABSENT_2 },
    { "write, nothing then absent", M64, I(0x89, 0x03), .rbx = W + ABSENT_2 - 1, .vector = 14, .error = 2,
      .cr2 = W + ABSENT_2 },
    { "add, nothing then read-only", M64, I(0x48, 0x83, 0x03, 0x01), .rbx = W + READ_ONLY - 4, .vector = 14, .error = 3,
      .cr2 = W + READ_ONLY },
    { "the same by a user", M64, .s.user = true, I(0x48, 0x83, 0x03, 0x01), .rbx = W + READ_ONLY - 4, .vector = 14,
      .error = 7,
      .cr2 = W + READ_ONLY },
    { "32-bit, nothing then absent", M32, I(0x8b, 0x03), .rbx = ABSENT_2 - 2, .vector = 14, .cr2 = W + ABSENT_2 },
    { "16-bit, nothing then RAM", M16, I(0x8b, 0x07), .rbx = RAM_C - 1, .rax2 = 0x13ff },
    { "vector, nothing then absent", M64, I(0x0f, 0x10, 0x03), .rbx = W + ABSENT_2 - 8, .vector = 14,
      .cr2 = W + ABSENT_2 },

    /* Strings, stacks: two operands; a fault in the second leaves everything as it was. */
    { "movs into nothing", M64, I(0xa5), .rsi = W + RAM_A, .rdi = W + HOLE, .rsi2 = W + RAM_A + 4,
      .rdi2 = W + HOLE + 4 },
    { "movs from nothing to an absent page", M64, I(0xa5), .rsi = W + HOLE, .rdi = W + ABSENT_2, .vector = 14,
      .error = 2,
      .cr2 = W + ABSENT_2 },
    { "rep movs, into an absent page", M64, I(0xf3, 0xa4), .rcx = 9, .rsi = W + RAM_A, .rdi = W + ABSENT_2 - 3,
      .rcx2 = 6,
      .rsi2 = W + RAM_A + 3, .rdi2 = W + ABSENT_2, .vector = 14, .error = 2, .cr2 = W + ABSENT_2 },
    { "rep stos, down, in 32-bit registers", M64, I(0x67, 0xf3, 0xaa), .rcx = 0x100000002, .rdi = W + HOLE + 1,
      .rflags = 0x400, .rcx2 = ZERO, .rdi2 = W + HOLE - 1 },
    { "repne scas over nothing", M64, I(0xf2, 0xae), .rax = 7, .rcx = 300, .rdi = W + HOLE, .rcx2 = ZERO,
      .rdi2 = W + HOLE + 300, .cf = true },
    { "push from nothing", M64, I(0xff, 0x33), .rbx = W + HOLE, .rsp = W + RAM_A + 0x108, .rsp2 = W + RAM_A + 0x100,
      .at2 = RAM_A + 0x100, .size2 = 8, .val2 = ONES },
    { "push onto an absent page", M64, I(0xff, 0x33), .rbx = W + HOLE, .rsp = W + ABSENT_2 + 8, .vector = 14,
      .error = 2,
      .cr2 = W + ABSENT_2 },
    { "pop, the address counts from the new top", M64, I(0x8f, 0x44, 0x24, 0xf8), .rsp = W + HOLE + 0xff8,
      .rsp2 = W + HOLE + 0x1000 },
    { "pop into a read-only page", M64, I(0x8f, 0x44, 0x24, 0xfe), .rsp = W + HOLE_3 + 0xff8, .vector = 14, .error = 3,
      .cr2 = W + READ_ONLY },

    /* Segments: null, limits, types, expand-down; #SS for the stack (XSA-191 and relatives). */
    { "null data segment", M32, I(0x8b, 0x03), .s.data = NULL_SEGMENT, .rbx = W + HOLE, .vector = 13 },
    { "null data segment, by a user", M32, .s.user = true, I(0x8b, 0x03), .s.data = NULL_SEGMENT, .rbx = W + HOLE,
      .vector = 13 },
    { "null data segment, string", M32, I(0xaa), .s.data = NULL_SEGMENT, .rdi = W + HOLE, .vector = 13 },
    { "null segment in 64-bit code", M64, I(0x8b, 0x03), .s.data = NULL_SEGMENT, .rbx = W + HOLE, .rax2 = 0xffffffff },
    { "last byte within the limit", M32, I(0x8b, 0x03), .s.data = DESCRIPTOR(W, HOLE + 3, 0x409300), .rbx = HOLE,
      .rax2 = 0xffffffff },
    { "last byte beyond the limit", M32, I(0x8b, 0x03), .s.data = DESCRIPTOR(W, HOLE + 2, 0x409300), .rbx = HOLE,
      .vector = 13 },
    { "read-only segment, read", M32, I(0x8b, 0x03), .s.data = DESCRIPTOR(W, 0xfffff, READ_ONLY_32), .rbx = HOLE,
      .rax2 = 0xffffffff },
    { "read-only segment, write", M32, I(0x89, 0x03), .s.data = DESCRIPTOR(W, 0xfffff, READ_ONLY_32), .rbx = HOLE,
      .vector = 13 },
    { "read-only segment, add", M32, I(0x01, 0x03), .s.data = DESCRIPTOR(W, 0xfffff, READ_ONLY_32), .rbx = HOLE,
      .vector = 13 },
    { "code segment, write", M32, I(0x2e, 0x89, 0x03), .rbx = 0x1000, .vector = 13, .at = (u8 *)W + RAM_D + 5 },
    { "expand-down, above the limit", M32, I(0x8b, 0x03), .s.data = DESCRIPTOR(W, 1, DOWN_32), .rbx = HOLE,
      .rax2 = 0xffffffff },
    { "expand-down, up to the limit", M32, I(0x8b, 0x03), .s.data = DESCRIPTOR(W, 2, DOWN_32), .rbx = HOLE,
      .vector = 13 },
    { "expand-down, at the limit", M32, I(0x8a, 0x03), .s.data = DESCRIPTOR(W, HOLE + 3, 0x409700), .rbx = HOLE + 3,
      .vector = 13 },
    { "expand-down, just above the limit", M32, I(0x8a, 0x03), .s.data = DESCRIPTOR(W, HOLE + 3, 0x409700),
      .rbx = HOLE + 4, .rax2 = 0xff },
    { "expand-down, 16-bit, beyond 64 KiB", M32, I(0x8b, 0x03), .s.data = DESCRIPTOR(W + HOLE - 0xfffe, 0x100, DOWN_16),
      .rbx = 0xfffe, .vector = 13 },
    { "expand-down, 16-bit, to its end", M32, I(0x8b, 0x03), .s.data = DESCRIPTOR(W + HOLE - 0xfffc, 0x100, DOWN_16),
      .rbx = 0xfffc, .rax2 = 0xffffffff },
    { "stack segment beyond its limit", M16, I(0x67, 0x66, 0x8b, 0x45, 0x00),
      .s.stack = DESCRIPTOR(W, HOLE - 1, DATA16),
      .rbp = HOLE, .vector = 12 },
    { "16-bit offset wraps", M16, I(0x8b, 0x00), .rbx = 0xfff0, .rsi = HOLE + 0x10, .rax2 = 0xffff },
    { "16-bit, word at the end of the segment", M16, I(0x8b, 0x07),
      .s.data = DESCRIPTOR(W + HOLE - 0xffff, 0xffff, DATA16),
      .rbx = 0xffff, .vector = 13 },
    { "32-bit offset wraps", M32, I(0x8b, 0x04, 0x0b), .rbx = 0xfffff000, .rcx = HOLE + 0x1000, .rax2 = 0xffffffff },
    { "32-bit base wraps", M32, I(0x8b, 0x03), .s.data = DESCRIPTOR(0xfffff000, 0xfffff, DATA32),
      .rbx = W + HOLE + 0x1000,
      .rax2 = 0xffffffff },
    { "FS with a base", M64, I(0x64, 0x8b, 0x03), .fs = W + HOLE - 0x10, .rbx = 0x10, .rax2 = 0xffffffff },
    { "FS, the last prefix counts", M64, I(0x2e, 0x65, 0x3e, 0x64, 0x8b, 0x03), .fs = W + HOLE - 0x10, .rbx = 0x10,
      .rax2 = 0xffffffff },
    { "FS, 32-bit offset", M64, I(0x64, 0x67, 0x8b, 0x03), .fs = W + HOLE - 0x10, .rbx = 0xffffffff00000010,
      .rax2 = 0xffffffff },

    /* Prefixes. */
    { "fifteen bytes", M64, I(0x3e, 0x3e, 0x3e, 0x3e, 0x3e, 0x3e, 0x3e, 0x3e, 0x3e, 0x3e, 0x3e, 0x3e, 0x48, 0x8b, 0x03),
      .rbx = W + HOLE, .rax2 = ONES },
    { "REX that does not count", M64, I(0x48, 0x66, 0x8b, 0x03), .rax = 0x1111111111111111, .rbx = W + HOLE,
      .rax2 = 0x111111111111ffff },
    { "66 and REX.W", M64, I(0x66, 0x48, 0x8b, 0x03), .rbx = W + HOLE, .rax2 = ONES },
    { "AH", M64, I(0x8a, 0x23), .rax = 0x1111, .rbx = W + HOLE, .rax2 = 0xff11 },
    { "66 in 16-bit code", M16, I(0x66, 0x8b, 0x07), .rbx = HOLE, .rax2 = 0xffffffff },
    { "67 in 32-bit code", M32, I(0x67, 0x8b, 0x07), .rbx = 0xffff0000 | HOLE, .rax2 = 0xffffffff },

    /* Where the instruction lies; instruction pointers are not cut in 64-bit code, nor left long elsewhere (XSA-186). */
    { "code across two pages", M64, I(0x8b, 0x83, 0, 0, 0, 0), .rbx = W + HOLE, .rax2 = 0xffffffff,
      .at = (u8 *)W + RAM_B - 3 },
    { "code in the upper half", M64, I(0x8b, 0x03), .rbx = W + HOLE, .rax2 = 0xffffffff,
      .at = (u8 *)(HIGH_ALIAS + (u64)text + 16) },
    { "the next RIP is not canonical", M64, I(0x8b, 0x83, 0, 0, 0, 0), .rbx = W + HOLE, .rax2 = 0xffffffff,
      .at = (u8 *)0x7ffffffffffa, .vector = 13, .rip = END_OF_LOW },
    { "RIP-relative", M64, I(0x8b, 0x05, 0xfa, 0x0f, 0, 0), .rax2 = 0xffffffff, .at = (u8 *)W + RAM_B },

    /* Single step: the trap comes behind the instruction. */
    { "single step", M64, I(0x8b, 0x03), .rbx = W + HOLE, .rflags = 0x100, .rax2 = 0xffffffff, .vector = 1,
      .rip = BEHIND },
    { "single step of a repetition", M64, I(0xf3, 0xab), .rcx = 5, .rdi = W + HOLE, .rflags = 0x100, .rcx2 = 4,
      .rdi2 = W + HOLE + 4, .vector = 1, .rip = AGAIN },

    /* Locked exchanges with a register of a device. */
    { "xchg", M64, I(0x87, 0x03), .rax = 0x77, .rbx = W + TIMER, .rax2 = TIMER_WAS, .timer2 = 0x77 },
    { "cmpxchg, equal", M64, I(0xf0, 0x0f, 0xb1, 0x0b), .rax = TIMER_WAS, .rbx = W + TIMER, .rcx = 0x55, .timer2 = 0x55,
      .zf = true },
    { "cmpxchg, different", M64, I(0xf0, 0x0f, 0xb1, 0x0b), .rax = 0x1110000101, .rbx = W + TIMER, .rcx = 0x55,
      .rax2 = TIMER_WAS },
    { "xadd", M64, I(0xf0, 0x0f, 0xc1, 0x03), .rax = 3, .rbx = W + TIMER, .rax2 = TIMER_WAS, .timer2 = TIMER_WAS + 3 },
    /* What the emulator does not know is undefined for a user (XSA-200 was about its operand size). */
    { "cmpxchg8b by a user", M64, .s.user = true, I(0x0f, 0xc7, 0x0b), .rbx = W + HOLE, .vector = 6 },
    { "cmpxchg8b with 66 by a user", M64, .s.user = true, I(0x66, 0x0f, 0xc7, 0x0b), .rbx = W + HOLE, .vector = 6 },
    { "cmpxchg16b by a user", M64, .s.user = true, I(0x48, 0x0f, 0xc7, 0x0b), .rbx = W + HOLE, .vector = 6 },
};

/* ---- more of them that only the prefix brings to the emulator: the processor would fault first, or not at all ---- */
static const struct kase forced_cases[] = {
    { "not canonical", M64, I(0x8b, 0x03), .rbx = END_OF_LOW, .vector = 13 },
    { "not canonical, stack", M64, I(0x8b, 0x45, 0x00), .rbp = 0xffff7fffffffffff, .vector = 12 },
    { "not canonical, the last byte", M64, I(0x48, 0x8b, 0x03), .rbx = END_OF_LOW - 7, .vector = 13 },
    { "not canonical, FS", M64, I(0x64, 0x8b, 0x03), .fs = END_OF_LOW - 0x1000, .rbx = 0x1000, .vector = 13 },
    { "not canonical, the register of a bit offset only", M64, I(0x48, 0x0f, 0xab, 0x0b), .rbx = W + RAM_A + (1UL << 59),
      .rcx = (u64)-(1L << 62) + 1, .at2 = RAM_A, .size2 = 1, .val2 = 0x12 },
    { "not canonical, user, stack", M64, .s.user = true, I(0xff, 0x33), .rbx = W + RAM_A, .rsp = END_OF_LOW + 0x100,
      .vector = 12 },
    { "supervisor's page", M64, .s.user = true, I(0x8b, 0x03), .rbx = W + OF_KERNEL, .vector = 14, .error = 5,
      .cr2 = W + OF_KERNEL },
    /* Operands in registers, with segment prefixes and without: none of the emulator's business (XSA-123). */
    { "mov register, CS", M64, I(0x2e, 0x89, 0xd8), .rax = 1, .rbx = 2, .vector = 6 },
    { "mov register, FS", M64, I(0x64, 0x8b, 0xc3), .fs = 0x1234000, .rax = 1, .rbx = 2, .vector = 6 },
    { "mov register, SS, 32-bit", M32, I(0x36, 0x89, 0xd8), .rax = 1, .rbx = 2, .vector = 6 },
    { "add register, GS", M64, I(0x65, 0x48, 0x01, 0xd8), .rax = 1, .rbx = 2, .vector = 6 },
    { "bt register, ES", M32, I(0x26, 0x0f, 0xab, 0xc8), .rax = 1, .rcx = 77, .vector = 6 },
    { "mov from segment register", M64, I(0x2e, 0x8c, 0xd8), .rax = 1, .vector = 6 },
    { "mov to segment register", M64, I(0x2e, 0x8e, 0xd8), .rax = 1, .vector = 6 },
    { "mov from control register", M64, I(0x0f, 0x20, 0xc0), .vector = 6 },
    { "mov to control register", M64, I(0x0f, 0x22, 0xc0), .vector = 6 },
    { "jmp", M64, I(0xeb, 0x00), .vector = 6 },
    { "jmp through memory", M64, I(0xff, 0x23), .rbx = W + RAM_A, .vector = 6 },
    { "far call through memory", M64, I(0xff, 0x1b), .rbx = W + RAM_A, .vector = 6 },
    { "iret", M64, I(0xcf), .vector = 6 },
    { "int", M64, I(0xcd, 0x80), .vector = 6 },
    { "vmmcall", M64, I(0x0f, 0x01, 0xd9), .vector = 6 },
    { "vmrun", M64, I(0x0f, 0x01, 0xd8), .vector = 6 },
    { "lgdt", M64, I(0x0f, 0x01, 0x13), .rbx = W + RAM_A, .vector = 6 },
    { "invlpg", M64, I(0x0f, 0x01, 0x3b), .rbx = W + RAM_A, .vector = 6 },
    { "wrmsr", M64, I(0x0f, 0x30), .rcx = 0xc0000100, .vector = 6 },
    { "out", M64, I(0xee), .vector = 6 },
    { "clflush", M64, I(0x0f, 0xae, 0x3b), .rbx = W + RAM_A, .vector = 6 },
    { "cmpxchg8b", M64, I(0x0f, 0xc7, 0x0b), .rbx = W + RAM_A, .vector = 6 },
    { "cmpxchg8b with 66", M64, I(0x66, 0x0f, 0xc7, 0x0b), .rbx = W + RAM_A, .vector = 6 },
    { "pop of a segment register", M32, I(0x1f), .rsp = RAM_A + 0x800, .vector = 6 },
    { "lds", M32, I(0xc5, 0x03), .rbx = RAM_A, .vector = 6 },
    { "lock where it may not be", M64, I(0xf0, 0x8b, 0x03), .rbx = W + RAM_A, .vector = 6 },
    { "lock cmp", M64, I(0xf0, 0x39, 0x03), .rbx = W + RAM_A, .vector = 6 },
    { "the prefix twice", M64, I(0x0f, 0x0b, 'x', 'e', 'n', 0x8b, 0x03), .rbx = W + RAM_A, .vector = 6 },
    { "an absent page", M64, I(0x8b, 0x03), .rbx = W + ABSENT + 5, .vector = 14, .cr2 = W + ABSENT + 5 },
    { "an absent page, user", M64, .s.user = true, I(0x8b, 0x03), .rbx = W + ABSENT + 5, .vector = 14, .error = 4,
      .cr2 = W + ABSENT + 5 },
    { "EIP wraps within the instruction", M32, I(0x8b, 0x03), .s.data = DESCRIPTOR(W, 0xfffff, DATA32), .s.flat = true,
      .rbx = RAM_A, .rax2 = 0x10101010, .at = (u8 *)0xffffffff },
    { "EIP wraps behind the instruction", M32, I(0x8b, 0x03), .s.data = DESCRIPTOR(W, 0xfffff, DATA32), .s.flat = true,
      .rbx = RAM_A, .rax2 = 0x10101010, .at = (u8 *)0xfffffffe },
    { "EIP wraps behind the prefix", M32, I(0x8b, 0x03), .s.data = DESCRIPTOR(W, 0xfffff, DATA32), .s.flat = true,
      .rbx = RAM_A, .rax2 = 0x10101010, .at = (u8 *)0x100000000 },
};

/* What stood before, with the row's changes. */
static void expect_frame(const struct kase *c, unsigned skip, struct frame *want)
{
    const struct { u64 changed, *p; } regs[] = {
        { c->rax2, &want->rax }, { c->rcx2, &want->rcx }, { c->rsi2, &want->rsi }, { c->rdi2, &want->rdi },
        { c->rsp2, &want->rsp } };
    *want = start;
    for (unsigned i = 0; i < sizeof(regs) / sizeof(regs[0]); i++)
        if (regs[i].changed) *regs[i].p = regs[i].changed == ZERO ? 0 : regs[i].changed;
    want->vector = c->vector ? c->vector : 3;
    want->error = c->error;
    if (c->rip != AGAIN) want->rip += skip + (!c->vector || c->rip == BEHIND ? c->n : 0) + (c->vector ? 0 : 1);
    if (c->s.flat) want->rip = (u32)want->rip;
    if (c->rip && c->rip < AGAIN) want->rip = c->rip;
    want->rflags = (start.rflags & 0x500) | (c->cf ? 1 : 0) | (c->zf ? 0x40 : 0);
}

static u8 memory_was[sizeof(ram)];
static void fill_memory(void)
{
    for (unsigned i = 0; i < 16; i++) memset(ram[15 - i], 0x10 + (int)i, 4096);
}

/* True if RAM is as it was but for `size` bytes of val at window offset `at`. */
static bool memory_is(u16 at, unsigned size, u64 val)
{
    for (unsigned i = 0; i < size; i++, val >>= 8) memory_was[(15 - ((at + i) >> 12)) * 4096 + (at + i) % 4096] = (u8)val;
    return !memcmp(memory_was, ram, sizeof(ram));
}

static void run_case(const struct kase *c, bool force)
{
    struct frame want;
    unsigned skip = force ? sizeof(prefix) : 0;
    fill_memory();
    memset(&start, 0, sizeof(start));
    start.rax = c->rax;
    start.rbx = c->rbx;
    start.rcx = c->rcx;
    start.rbp = c->rbp;
    start.rsi = c->rsi;
    start.rdi = c->rdi;
    start.rsp = c->rsp ? c->rsp : (c->mode == M64 ? W : 0) + RAM_A + 0x800;
    start.rflags = 2 | c->rflags;
    set_segments(c->mode, &c->s);
    put_code(c->mode, &c->s, c->at ? c->at : text + 16, c->code, c->n, force);
    memcpy(memory_was, ram, sizeof(ram));
    mmio_write(LAPIC + 0x380, TIMER_WAS);
    run(c->mode, c->fs, 0);
    u32 timer = mmio_read(LAPIC + 0x380);
    u64 rsp = end.rsp & (c->mode == M16 ? 0xffff : ~0UL);       /* above a 16-bit SP IRET leaves what was there */
    expect_frame(c, skip, &want);
    report()->ran++;
    const struct { const char *what; u64 is, wanted; } checks[] = {
        { "vector", end.vector, want.vector }, { "error code", end.error, want.error }, { "rip", end.rip, want.rip },
        { "CR2", want.vector == 14 ? end_cr2 : 0, c->cr2 }, { "rax", end.rax, want.rax }, { "rcx", end.rcx, want.rcx },
        { "rbx", end.rbx, want.rbx }, { "rsi", end.rsi, want.rsi }, { "rdi", end.rdi, want.rdi }, { "rsp", rsp, want.rsp },
        { "flags", end.rflags & 0x541, want.rflags }, { "timer", timer, c->timer2 ? c->timer2 : TIMER_WAS },
        { "memory is right", memory_is(c->at2, c->size2, c->val2), true },
    };
    for (unsigned i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
        if (checks[i].is == checks[i].wanted) continue;
        if (force) say("forced, ");
        tell(c->name, checks[i].what, checks[i].is, checks[i].wanted);
        break;
    }
}

static void g_cases(void)
{
    cpu_init();
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        run_case(&cases[i], false);
        if (may_force()) run_case(&cases[i], true);
    }
}

static void g_forced_cases(void)
{
    cpu_init();
    for (unsigned i = 0; i < sizeof(forced_cases) / sizeof(forced_cases[0]); i++) run_case(&forced_cases[i], true);
}

/* ---- random instructions, twice: by the processor and by the emulator ---- */
#define ANY 0xff
#define LOGIC 0x10                      /* AF */
#define BITS 0x894                      /* OF, SF, AF, PF */
#define STRING 0
static const struct op { u8 map, op, regs, locked; u16 undefined; } ops[] = {       /* which ModRM.reg; with LOCK; flags */
#define ALU(n, lock, undef) { 1, 8 * n, ANY, lock, undef }, { 1, 8 * n + 1, ANY, lock, undef }, \
    { 1, 8 * n + 2, ANY, 0, undef }, { 1, 8 * n + 3, ANY, 0, undef }
    ALU(0, ANY, 0), ALU(1, ANY, LOGIC), ALU(2, ANY, 0), ALU(3, ANY, 0), ALU(4, ANY, LOGIC), ALU(5, ANY, 0),
    ALU(6, ANY, LOGIC), ALU(7, 0, 0),
    { 1, 0x80, ANY, 0x7f, LOGIC }, { 1, 0x81, ANY, 0x7f, LOGIC }, { 1, 0x83, ANY, 0x7f, LOGIC },
    { 1, 0x84, ANY, 0, LOGIC }, { 1, 0x85, ANY, 0, LOGIC }, { 1, 0x86, ANY, ANY, 0 }, { 1, 0x87, ANY, ANY, 0 },
    { 1, 0x88, ANY, 0, 0 }, { 1, 0x89, ANY, 0, 0 }, { 1, 0x8a, ANY, 0, 0 }, { 1, 0x8b, ANY, 0, 0 }, { 1, 0x8c, 0x3f, 0, 0 },
    { 1, 0x8f, 1, 0, 0 }, { 1, 0xc6, 1, 0, 0 }, { 1, 0xc7, 1, 0, 0 },
    { 1, 0xf6, 0xd, 0xc, LOGIC }, { 1, 0xf7, 0xd, 0xc, LOGIC },
    { 1, 0xfe, 3, 3, 0 }, { 1, 0xff, 3, 3, 0 }, { 1, 0xff, 0x40, 0, 0 },
    { 2, 0xa3, ANY, 0, BITS }, { 2, 0xab, ANY, ANY, BITS }, { 2, 0xb3, ANY, ANY, BITS }, { 2, 0xbb, ANY, ANY, BITS },
    { 2, 0xba, 0xf0, 0xe0, BITS }, { 2, 0xb0, ANY, ANY, 0 }, { 2, 0xb1, ANY, ANY, 0 }, { 2, 0xc0, ANY, ANY, 0 },
    { 2, 0xc1, ANY, ANY, 0 }, { 2, 0xb6, ANY, 0, 0 }, { 2, 0xb7, ANY, 0, 0 }, { 2, 0xbe, ANY, 0, 0 }, { 2, 0xbf, ANY, 0, 0 },
    { STRING, 0xa4, 0, 0, 0 }, { STRING, 0xa5, 0, 0, 0 }, { STRING, 0xa6, 0, 0, 0 }, { STRING, 0xa7, 0, 0, 0 },
    { STRING, 0xaa, 0, 0, 0 }, { STRING, 0xab, 0, 0, 0 }, { STRING, 0xac, 0, 0, 0 }, { STRING, 0xad, 0, 0, 0 },
    { STRING, 0xae, 0, 0, 0 }, { STRING, 0xaf, 0, 0, 0 },
    { 3, 0x63, ANY, 0, 0 },             /* MOVSXD, in 64-bit code only */
};

static u64 seed = 88172645463325252UL;
static u32 pick(u32 n)
{
    seed = seed * 6364136223846793005UL + 1442695040888963407UL;
    return (u32)(seed >> 33) % n;
}

static u64 any_value(void)
{
    static const u64 edge[] = { 0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff,
                                0x7fffffffffffffff, 0x8000000000000000, ~0UL };
    pick(2);
    return seed >> 40 & 1 ? edge[pick(sizeof(edge) / 8)] : seed ^ seed << 21;
}

/* The instruction, followed by INT3s, which are its immediate too if it has one. Returns where they begin. Registers in an
 * address are those that random_registers() gives an address. */
static unsigned random_code(const struct op *op, unsigned mode, u8 *b)
{
    static const u8 prefixes[] = { 0x66, 0x66, 0x67, 0xf2, 0xf3 }, segments[] = { 0x64, 0x65, 0x26, 0x36, 0x3e };
    unsigned n = 0, mod = pick(3), reg = pick(8);
    while (op->map != STRING && !(op->regs >> reg & 1)) reg = pick(8);
    for (unsigned k = pick(4); k; k--) {
        u8 p = prefixes[pick(sizeof(prefixes))];
        if (op->map == 3 && p == 0x66) continue;
        b[n++] = p;
    }
    bool short_address = mode == M64 ? false : (mode == M16) != (b[0] == 0x67 || b[1] == 0x67 || b[2] == 0x67);
    /* One at most, as QEMU lets DS after FS count in 64-bit code. */
    if (pick(3) == 0) b[n++] = segments[pick(sizeof(segments))];
    if (op->map == STRING && pick(2)) b[n++] = pick(2) ? 0xf2 : 0xf3;
    if (op->locked >> reg & 1 && pick(4) == 0) b[n++] = 0xf0;
    if (mode == M64 && pick(2)) b[n++] = (u8)(0x40 | pick(16)) & 0xfc;      /* no high base and index */
    if (op->map == 2) b[n++] = 0x0f;
    b[n++] = op->op;
    if (op->map == STRING) return n;
    unsigned rm = short_address ? pick(8) : (const u8[]){ 3, 3, 4, 5, 6, 7 }[pick(6)];
    if (mod == 0 && (rm == 5 || rm == 6)) mod = 1;      /* an address without a register */
    b[n++] = (u8)(mod << 6 | reg << 3 | rm);
    if (!short_address && rm == 4) b[n++] = (u8)(pick(4) << 6 | (pick(3) ? 1 : 4) << 3 | 3);
    if (mod) b[n++] = (u8)pick(256);
    if (mod == 2) {
        b[n++] = (u8)pick(16);
        if (!short_address) {
            b[n++] = 0;
            b[n++] = 0;
        }
    }
    return n;
}

static void random_registers(unsigned mode, const u8 *code, unsigned n)
{
    u64 base = mode == M64 ? W : 0, *r = &start.r15;
    bool address_size = false;
    for (unsigned i = 0; i < n && i < 4; i++) address_size |= code[i] == 0x67;
    for (unsigned i = 0; i < 15; i++) r[i] = any_value();
    start.rbx = base + 0x100 + pick(0xbe00);
    start.rsi = base + 0x100 + pick(0xbe00);
    start.rdi = pick(8) ? base + 0x100 + pick(0xbe00) : start.rsi;
    start.rbp = base + 0x100 + pick(0xbe00);
    start.rsp = base + 0x100 + pick(0xbe00);
    start.rcx = pick(40);
    if (pick(4) == 0) start.rax = 0x1010101010101010UL + 0x0101010101010101UL * pick(12);
    if (mode == M64 && address_size) start.rcx |= pick(2) ? 0x100000000UL : 0, start.rbx |= pick(2) ? 0x500000000UL : 0;
    if (mode != M64)
        for (unsigned i = 0; i < 15; i++) r[i] = (u32)r[i];
    start.rflags = 2 | (any_value() & 0x8d5) | (pick(4) ? 0 : 0x400);
}

struct shot { struct frame f; u64 cr2; u64 memory[sizeof(ram) / 8]; };
static struct shot native, forced;
static u64 content[sizeof(ram) / 8];
static void copy(u64 *to, const u64 *from) { for (unsigned i = 0; i < sizeof(ram) / 8; i++) to[i] = from[i]; }

static void shoot(struct shot *s, unsigned mode, const struct segments *seg, const u8 *code, bool force)
{
    copy((u64 *)ram, content);
    put_code(mode, seg, text + 16, code, 15, force);
    u64 skipped = start.rip + (force ? sizeof(prefix) : 0);
    run(mode, 0x40, 0x80);
    s->f = end;
    s->f.rip -= skipped;
    s->cr2 = end.vector == 14 ? end_cr2 : 0;
    copy(s->memory, (u64 *)ram);
}

static void compare(const struct op *op, unsigned mode, const u8 *code)
{
    u16 undefined = op->undefined;
    char name[64] = "in 64-bit code";
    const char *digits = "0123456789abcdef";
    /* QEMU differs from processors: a fault of an operand that is read and written says read, an address of the stack that
     * is not canonical is #GP. And which operand of CMPS comes first is nowhere written. */
    u64 error = forced.f.error & (native.f.error | ~2UL);
    u64 vector = native.f.vector == 13 && forced.f.vector == 12 ? 13 : forced.f.vector;
    if (op->map == STRING && (op->op & ~1) == 0xa6 && native.f.vector == 14 && forced.f.vector == 14) return;
    const struct { const char *what; u64 is, wanted; } checks[] = {
        { "vector", vector, native.f.vector }, { "error", error, native.f.error },
        { "rip", forced.f.rip, native.f.rip }, { "cr2", forced.cr2, native.cr2 }, { "rax", forced.f.rax, native.f.rax },
        { "rbx", forced.f.rbx, native.f.rbx }, { "rcx", forced.f.rcx, native.f.rcx }, { "rdx", forced.f.rdx, native.f.rdx },
        { "rsi", forced.f.rsi, native.f.rsi }, { "rdi", forced.f.rdi, native.f.rdi }, { "rbp", forced.f.rbp, native.f.rbp },
        { "rsp", forced.f.rsp, native.f.rsp }, { "r8", forced.f.r8, native.f.r8 }, { "r15", forced.f.r15, native.f.r15 },
        { "flags", forced.f.rflags & 0xcd5 & ~undefined, native.f.rflags & 0xcd5 & ~undefined },
        { "memory differs", memcmp(forced.memory, native.memory, sizeof(native.memory)) != 0, 0 },
    };
    report()->ran++;
    for (unsigned i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
        if (checks[i].is == checks[i].wanted) continue;
        memcpy(name + 3, mode == M64 ? "64" : mode == M32 ? "32" : "16", 2);
        for (unsigned k = 0; k < 12; k++) {
            name[14 + 3 * k] = ' ';
            name[15 + 3 * k] = digits[code[k] >> 4];
            name[16 + 3 * k] = digits[code[k] & 15];
        }
        tell(name, checks[i].what, checks[i].is, checks[i].wanted);
        return;
    }
}

static void g_twice(void)
{
    static const u8 modes[] = { M64, M64, M32, M16 };
    cpu_init();
    window[HOLE >> 12] = (u64)ram[13] | 7;              /* RAM, but for what has no access */
    window[HOLE_2 >> 12] = (u64)ram[8] | 7;
    window[HOLE_3 >> 12] = (u64)ram[6] | 7;
    window[APIC >> 12] = (u64)ram[10] | 7;
    __asm__ volatile("mov %0, %%cr3" :: "r"(read_cr3()) : "memory");
    fill_memory();
    copy(content, (u64 *)ram);
    while (report()->ran < cases_wanted()) {
        struct segments seg = { .user = pick(4) == 0 };
        unsigned mode = modes[pick(sizeof(modes))];
        const struct op *op = &ops[pick(sizeof(ops) / sizeof(ops[0]) - (mode == M64 ? 0 : 1))];
        u8 code[16];
        memset(code, 0xcc, sizeof(code));
        unsigned len = random_code(op, mode, code);
        random_registers(mode, code, len);
        set_segments(mode, &seg);
        shoot(&native, mode, &seg, code, false);
        shoot(&forced, mode, &seg, code, true);
        compare(op, mode, code);
        content[pick(sizeof(content) / 8)] = any_value();
    }
}

/* ---- in dom0 ---- */
/* ---- without the option, and for dom0 always, the prefix is an undefined instruction ---- */
static const struct kase prefix_case = { "read", M64, I(0x8b, 0x03), .rbx = W + RAM_A, .rax2 = 0x10101010 };
static const struct kase no_prefix_case = { "read", M64, I(0x0f, 0x0b, 'x', 'e', 'n', 0x8b, 0x03), .rbx = W + RAM_A,
                                            .vector = 6 };

static void g_prefix(void)
{
    cpu_init();
    if (may_force()) run_case(&prefix_case, true);
    else run_case(&no_prefix_case, false);
}

static void the_prefix_needs_the_option(void)
{
    u64 a = 0;
    check_eq(TRY(".byte 0x0f, 0x0b, 0x78, 0x65, 0x6e, 0x8b, 0x03", "a"(0), "b"(&a)), 6);
    guest_reports(1, g_prefix, 1, 10000);
}

static void operands_that_exit(void) { guest_reports(1, g_cases, sizeof(cases) / sizeof(cases[0]), 20000); }

static void forced_corner_cases(void)
{
    if (!hvm_fep()) skip("needs hvm_fep");
    guest_reports(1, g_forced_cases, sizeof(forced_cases) / sizeof(forced_cases[0]), 20000);
}

static void processor_and_emulator_agree(void)
{
    if (!hvm_fep()) skip("needs hvm_fep");
    guest_reports(1, g_twice, 6000, 60000);
}

void test_main(void)
{
    static const struct test tests[] = {
        TEST(the_prefix_needs_the_option),
        TEST(operands_that_exit),
        TEST(forced_corner_cases),
        TEST(processor_and_emulator_agree),
    };
    play_role();
    RUN_TESTS(tests);
}
