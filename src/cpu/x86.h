/* SPDX-License-Identifier: MIT */
/* x86 instructions, control registers and MSR numbers (Intel SDM vol. 3 and 4, AMD APM vol. 2). Bare machine only. */
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
    MSR_MISC_ENABLE = 0x1a0, MSR_DEBUGCTL = 0x1d9, MSR_PAT = 0x277, MSR_MC0_STATUS = 0x401,
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
#define PRED_CMD_IBPB (1UL << 0)
#define FLUSH_CMD_L1D (1UL << 0)

/* ---- exception vectors ---- */
enum {
    X86_DE = 0, X86_DB, X86_NMI, X86_BP, X86_OF, X86_BR, X86_UD, X86_NM, X86_DF, X86_TS = 10, X86_NP, X86_SS,
    X86_GP, X86_PF, X86_MF = 16, X86_AC, X86_MC, X86_XM, X86_VE, X86_CP,
};

/* Entry of the exception table: a fault at `at` continues at `fix` (both relative to themselves). */
#define EXTABLE(at, fix) ".pushsection extable,\"a\"\n\t.balign 4\n\t.long " at "-., " fix "-.\n\t.popsection\n"

static inline u64 rdmsr(u32 msr)
{
    u32 lo, hi;
    __asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
    return (u64)hi << 32 | lo;
}
static inline void wrmsr(u32 msr, u64 v)
{
    __asm__ volatile("wrmsr" :: "c"(msr), "a"((u32)v), "d"((u32)(v >> 32)) : "memory");
}
/* MSRs that may not exist: 0, or -1 if the access faulted (*v is then 0). */
static inline int rdmsr_safe(u32 msr, u64 *v)
{
    u32 lo = 0, hi = 0;
    int err = -1;
    __asm__ volatile("1: rdmsr\n\txorl %2, %2\n2:\n" EXTABLE("1b", "2b") : "+a"(lo), "+d"(hi), "+r"(err) : "c"(msr));
    *v = (u64)hi << 32 | lo;
    return err;
}
static inline int wrmsr_safe(u32 msr, u64 v)
{
    int err = -1;
    __asm__ volatile("1: wrmsr\n\txorl %0, %0\n2:\n" EXTABLE("1b", "2b")
                     : "+r"(err) : "c"(msr), "a"((u32)v), "d"((u32)(v >> 32)) : "memory");
    return err;
}

static inline void cpuid(u32 leaf, u32 sub, u32 r[4])
{
    __asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(sub));
}

#define X86_REG(name, reg) \
    static inline u64 read_##name(void) { u64 v; __asm__ volatile("mov %%" reg ", %0" : "=r"(v)); return v; } \
    static inline void write_##name(u64 v) { __asm__ volatile("mov %0, %%" reg :: "r"(v) : "memory"); }
X86_REG(cr0, "cr0") X86_REG(cr2, "cr2") X86_REG(cr3, "cr3") X86_REG(cr4, "cr4")
X86_REG(dr0, "dr0") X86_REG(dr1, "dr1") X86_REG(dr2, "dr2") X86_REG(dr3, "dr3") X86_REG(dr6, "dr6")
X86_REG(dr7, "dr7")

struct desc_ptr { u16 limit; u64 base; } __packed;
static inline void lgdt(const struct desc_ptr *p) { __asm__ volatile("lgdt %0" :: "m"(*p)); }
static inline void lidt(const struct desc_ptr *p) { __asm__ volatile("lidt %0" :: "m"(*p)); }
static inline void ltr(u16 sel) { __asm__ volatile("ltr %0" :: "r"(sel)); }
static inline void lldt(u16 sel) { __asm__ volatile("lldt %0" :: "r"(sel)); }

static inline u8 inb(u16 p) { u8 v; __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(p)); return v; }
static inline u16 inw(u16 p) { u16 v; __asm__ volatile("inw %1, %0" : "=a"(v) : "Nd"(p)); return v; }
static inline u32 inl(u16 p) { u32 v; __asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(p)); return v; }
static inline void outb(u16 p, u8 v) { __asm__ volatile("outb %0, %1" :: "a"(v), "Nd"(p)); }
static inline void outw(u16 p, u16 v) { __asm__ volatile("outw %0, %1" :: "a"(v), "Nd"(p)); }
static inline void outl(u16 p, u32 v) { __asm__ volatile("outl %0, %1" :: "a"(v), "Nd"(p)); }

static inline u64 rdtsc(void)
{
    u32 lo, hi;
    __asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
    return (u64)hi << 32 | lo;
}
/* Not executed before earlier loads are done (LFENCE is dispatch-serialising: spec.c sees to it on AMD). */
static inline u64 rdtsc_ordered(void)
{
    u32 lo, hi;
    __asm__ volatile("lfence; rdtsc" : "=a"(lo), "=d"(hi) :: "memory");
    return (u64)hi << 32 | lo;
}
static inline void invlpg(const void *va) { __asm__ volatile("invlpg %0" :: "m"(*(const char *)va) : "memory"); }
static inline void wbinvd(void) { __asm__ volatile("wbinvd" ::: "memory"); }
static inline void local_irq_off(void) { __asm__ volatile("cli" ::: "memory"); }
static inline u64 read_rflags(void) { u64 v; __asm__ volatile("pushf; pop %0" : "=r"(v)); return v; }
static inline void xsetbv(u32 reg, u64 v)
{
    __asm__ volatile("xsetbv" :: "c"(reg), "a"((u32)v), "d"((u32)(v >> 32)) : "memory");
}
static inline u64 xgetbv(u32 reg)
{
    u32 lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(reg));
    return (u64)hi << 32 | lo;
}
static inline u32 mmio_read32(const volatile void *p) { return *(const volatile u32 *)p; }
static inline void mmio_write32(volatile void *p, u32 v) { *(volatile u32 *)p = v; }

/* (a * b) >> 32 without losing high bits; one MUL, no library call. */
static inline u64 mul_shift32(u64 a, u32 b) { return (u64)(((unsigned __int128)a * b) >> 32); }
