/* SPDX-License-Identifier: MIT */
/* Control registers, MSR numbers and exceptions (Intel SDM vol. 3 and 4, AMD APM vol. 2), and the machine's instructions. */
#pragma once
#include "lib/types.h"

/* ---- control registers ---- */
#define CR0_PE (1UL << 0)
#define CR0_MP (1UL << 1)
#define CR0_EM (1UL << 2)
#define CR0_TS (1UL << 3)
#define CR0_ET (1UL << 4)
#define CR0_NE (1UL << 5)
#define CR0_WP (1UL << 16)
#define CR0_AM (1UL << 18)
#define CR0_NW (1UL << 29)
#define CR0_CD (1UL << 30)
#define CR0_PG (1UL << 31)
#define CR4_VME (1UL << 0)
#define CR4_PVI (1UL << 1)
#define CR4_TSD (1UL << 2)
#define CR4_DE (1UL << 3)
#define CR4_PSE (1UL << 4)
#define CR4_PAE (1UL << 5)
#define CR4_MCE (1UL << 6)
#define CR4_PGE (1UL << 7)
#define CR4_PCE (1UL << 8)
#define CR4_OSFXSR (1UL << 9)
#define CR4_OSXMMEXCPT (1UL << 10)
#define CR4_UMIP (1UL << 11)
#define CR4_LA57 (1UL << 12)
#define CR4_VMXE (1UL << 13)
#define CR4_SMXE (1UL << 14)
#define CR4_FSGSBASE (1UL << 16)
#define CR4_PCIDE (1UL << 17)
#define CR4_OSXSAVE (1UL << 18)
#define CR4_SMEP (1UL << 20)
#define CR4_SMAP (1UL << 21)
#define CR4_PKE (1UL << 22)
#define CR4_CET (1UL << 23)
#define EFER_SCE (1UL << 0)
#define EFER_LME (1UL << 8)
#define EFER_LMA (1UL << 10)
#define EFER_NXE (1UL << 11)
#define EFER_SVME (1UL << 12)
#define EFER_LMSLE (1UL << 13)
#define EFER_FFXSR (1UL << 14)
#define EFER_AIBRSE (1UL << 21)
#define RFLAGS_CF (1UL << 0)
#define RFLAGS_TF (1UL << 8)
#define RFLAGS_IF (1UL << 9)
#define RFLAGS_RF (1UL << 16)
#define RFLAGS_AC (1UL << 18)
#define RFLAGS_ID (1UL << 21)

/* ---- MSRs ---- */
enum {
    MSR_TSC = 0x10, MSR_PLATFORM_ID = 0x17, MSR_APIC_BASE = 0x1b, MSR_TSC_ADJUST = 0x3b, MSR_SPEC_CTRL = 0x48,
    MSR_PRED_CMD = 0x49, MSR_INTEL_UCODE_WRITE = 0x79, MSR_UCODE_REV = 0x8b, MSR_ARCH_CAPABILITIES = 0x10a,
    MSR_FLUSH_CMD = 0x10b, MSR_TSX_CTRL = 0x122, MSR_MCU_OPT_CTRL = 0x123, MSR_SYSENTER_CS = 0x174,
    MSR_SYSENTER_ESP = 0x175, MSR_SYSENTER_EIP = 0x176, MSR_MCG_CAP = 0x179, MSR_MCG_STATUS = 0x17a,
    MSR_MCG_CTL = 0x17b, MSR_MISC_ENABLE = 0x1a0, MSR_DEBUGCTL = 0x1d9, MSR_PAT = 0x277, MSR_MC0_CTL = 0x400, MSR_MC0_STATUS = 0x401,
    MSR_TSC_DEADLINE = 0x6e0, MSR_X2APIC = 0x800, MSR_XSS = 0xda0, MSR_EFER = 0xc0000080, MSR_STAR = 0xc0000081,
    MSR_LSTAR = 0xc0000082, MSR_CSTAR = 0xc0000083, MSR_SFMASK = 0xc0000084, MSR_FS_BASE = 0xc0000100,
    MSR_GS_BASE = 0xc0000101, MSR_KERNEL_GS_BASE = 0xc0000102, MSR_TSC_AUX = 0xc0000103, MSR_AMD_HWCR = 0xc0010015,
    MSR_AMD_PATCH_LOADER = 0xc0010020, MSR_VM_CR = 0xc0010114, MSR_VM_HSAVE_PA = 0xc0010117,
    MSR_VIRT_SPEC_CTRL = 0xc001011f, MSR_AMD_LS_CFG = 0xc0011020, MSR_AMD_DE_CFG = 0xc0011029,
    MSR_AMD_DE_CFG2 = 0xc00110e3, MSR_AMD_BP_CFG = 0xc001102e,
};
#define APIC_BASE_BSP (1UL << 8)
#define APIC_BASE_X2APIC (1UL << 10)
#define APIC_BASE_ENABLE (1UL << 11)
#define SPEC_CTRL_IBRS (1UL << 0)
#define SPEC_CTRL_STIBP (1UL << 1)
#define SPEC_CTRL_SSBD (1UL << 2)
#define SPEC_CTRL_IPRED (3UL << 3)
#define SPEC_CTRL_RRSBA (3UL << 5)
#define SPEC_CTRL_PSFD (1UL << 7)
#define SPEC_CTRL_BHI (1UL << 10)
#define PRED_CMD_IBPB (1UL << 0)
#define PRED_CMD_SBPB (1UL << 7)
#define FLUSH_CMD_L1D (1UL << 0)

/* ---- exception vectors ---- */
enum {
    X86_DE = 0, X86_DB, X86_NMI, X86_BP, X86_OF, X86_BR, X86_UD, X86_NM, X86_DF, X86_TS = 10, X86_NP, X86_SS,
    X86_GP, X86_PF, X86_MF = 16, X86_AC, X86_MC, X86_XM, X86_VE, X86_CP,
};

/* The hosted build has a processor of its own (test/fake). */
#ifdef HOSTED
#include "fake_x86.h"
#else
#include "cpu/insn.h"
#endif

static inline u32 mmio_read32(const volatile void *p) { return *(const volatile u32 *)p; }
static inline void mmio_write32(volatile void *p, u32 v) { *(volatile u32 *)p = v; }

/* (a * b) >> 32 without losing high bits; one MUL, no library call. */
static inline u64 mul_shift32(u64 a, u32 b) { return (u64)(((unsigned __int128)a * b) >> 32); }
