/* SPDX-License-Identifier: MIT */
/* Low memory of a guest whose vCPU 1 runs legacy.S: where things lie, and the box through which it gets its orders. */
#pragma once
#define BOX 0x6000
#define STACK 0x7f00
#define TABLES 0x9000                   /* 32-bit IDT; + 0x200: TSS; + 0x400: GDT */
#define CODE_SEG 0x1000                 /* of the code that is tested, from offset 0 */
#define BOX_UP 0
#define BOX_GO 4
#define BOX_DONE 8
#define BOX_VM86 12
#define BOX_REGS 16                     /* as POPAL takes them: EDI ESI EBP - EBX EDX ECX EAX */
#define BOX_SP 48                       /* two bytes; those behind are SS for LSS, and cut off for VM86 */
#define BOX_SS 50
#define BOX_DS 54
#define BOX_ES 58
#define BOX_FLAGS 64
#define BOX_VECTOR 68
#define BOX_ERROR 72
#define BOX_EIP 76
#define BOX_FLAGS_OUT 80
#define BOX_ESP 84
#define BOX_OUT 88

#ifndef __ASSEMBLER__
struct box {
    volatile unsigned up, go, done;
    unsigned vm86, edi, esi, ebp, unused, ebx, edx, ecx, eax;
    unsigned short sp, ss, pad_ss, ds, pad_ds, es, pad_es, pad;         /* PUSHL reads two bytes more */
    unsigned flags, vector, error, eip, flags_out, esp, out_edi, out_esi, out_ebp, out_unused, out_ebx, out_edx, out_ecx, out_eax;
};
_Static_assert(__builtin_offsetof(struct box, sp) == BOX_SP && __builtin_offsetof(struct box, flags) == BOX_FLAGS &&
               __builtin_offsetof(struct box, es) == BOX_ES && __builtin_offsetof(struct box, out_edi) == BOX_OUT &&
               __builtin_offsetof(struct box, ds) == BOX_DS, "offsets");
#endif
