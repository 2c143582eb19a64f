/* SPDX-License-Identifier: MIT */
/*
 * Speculation defences at the three borders (I-21): vCPU switch, guest entry, guest exit. spec_init() decides from
 * CPU flags and spec-ctrl= what this machine needs; where nothing is needed, each border costs one test.
 */
#pragma once

/* Bits of spec_flags; also used by assembly. */
#define SPEC_IBPB_SWITCH 1          /* IBPB when another vCPU comes onto the CPU */
#define SPEC_VERW_ENTRY 2           /* clear buffers before entry (MDS, TAA, MMIO stale data, TSA) */
#define SPEC_L1D_ENTRY 4            /* flush the L1 data cache before entry (L1TF) */
#define SPEC_DIV_ENTRY 8            /* overwrite the divider's latch before entry (AMD Zen 1) */
#define SPEC_RSB_EXIT 16            /* fill the return stack right after an exit */
#define SPEC_IBPB_EXIT 32           /* IBPB right after an exit (Branch Type Confusion, SRSO) */

#ifdef __ASSEMBLY__
/* Right after a guest exit, before any RET or indirect branch: needs a stack, clobbers RAX, RCX, RDX. GS base need
 * not be ours. */
    .macro SPEC_VMEXIT
    mov spec_flags(%rip), %eax
    test $SPEC_IBPB_EXIT, %al
    jz .Lspec1_\@
    mov $0x49, %ecx                     /* PRED_CMD.IBPB */
    mov $1, %eax
    xor %edx, %edx
    wrmsr
    mov spec_flags(%rip), %eax
.Lspec1_\@:
    test $SPEC_RSB_EXIT, %al
    jz .Lspec2_\@
    .rept 32                            /* a loop would be twice as long */
    call . + 6
    int3
    .endr
    add $256, %rsp                      /* 32 return addresses */
    lfence
.Lspec2_\@:
    .endm
#else
#include "lib/types.h"

#ifdef HOSTED
static inline void spec_vcpu_load(u64 serial) { (void)serial; }
static inline void spec_guest_entry(void) {}
#else
extern u32 spec_flags;
void spec_vcpu_switch_slow(u64 serial);
void spec_guest_entry_slow(void);

/* The vCPU with this serial number comes onto this CPU: forget what the previous one taught the predictors. Nothing
 * to do if it is the one that ran here last. */
static inline void spec_vcpu_load(u64 serial)
{
    if (spec_flags & SPEC_IBPB_SWITCH)
        spec_vcpu_switch_slow(serial);
}
/* Last thing before registers are loaded for guest entry; no secret may be touched after it. */
static inline void spec_guest_entry(void)
{
    if (spec_flags & (SPEC_VERW_ENTRY | SPEC_L1D_ENTRY | SPEC_DIV_ENTRY))
        spec_guest_entry_slow();
}
#endif
#endif
