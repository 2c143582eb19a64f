/* SPDX-License-Identifier: MIT */
/*
 * Processors of the host: descriptor tables, stacks, features, start of the other CPUs. Order at boot:
 *   cpu_boot_init()   first (static storage only)      irq_init()   after hostmap, RAM and ACPI
 *   time_init()       after irq_init()                 spec_init()  any time after cmdline_parse()
 *   hvm_init(), sched_init(), then smp_init()          cpu_run(run_loop) at the very end
 */
#pragma once
#include "cpu/percpu.h"
#include "lib/types.h"

/* Selectors of the hypervisor's GDT, the same on every CPU. */
enum { SEL_CODE = 0x08, SEL_DATA = 0x10, SEL_TSS = 0x18 };
enum { IST_NMI = 1, IST_MC, IST_DF, IST_DB, IST_NR = IST_DB };

/* BSP: struct cpu behind GS, GDT, TSS, IDT, CR0/CR4/EFER bits, CPUID table, stack canary. Needs nothing but a
 * stack, so it can be the second call after console_early_init(). Its caller must not return (the canary changes). */
void cpu_boot_init(void);
/* BSP, once the heap and the host map work: give it guarded stacks too (used from cpu_run() on), then start the
 * other CPUs: each gets tables, LAPIC, clock, hvm_init_ap() and enters run_loop(). maxcpus= and NR_CPUS limit
 * their number, with a line about those left out. */
void smp_init(void);
/* Leave the boot stack: continue with fn on this CPU's guarded stack. */
void cpu_run(void (*fn)(void)) __noreturn;
/* Stop every other CPU for good by NMI (panic, reboot). */
void smp_stop_others(void);
/* Run fn in NMI context on `cpu` and wait (at most a second). False: no answer. For debug keys, of which one runs at a time,
 * and for the watchdog's last words. */
bool smp_nmi_call(unsigned cpu, void (*fn)(void));

/* CR4 every CPU runs with (found by cpu_boot_init); the SVM/VMX code keeps host state in step with it. */
extern u64 host_cr4;
/* Control bits and MSRs shared by BSP and APs: CR0, CR4, EFER, PAT, FS/GS, SYSENTER off. */
void cpu_set_controls(void);

/* ---- CPUID of the host ---- */
enum cpu_vendor { VENDOR_OTHER, VENDOR_INTEL, VENDOR_AMD, VENDOR_HYGON };
extern struct host_info {
    enum cpu_vendor vendor;
    char vendor_id[13], brand[49];
    unsigned family, model, stepping;
    u32 max_basic, max_ext;
    unsigned phys_bits, virt_bits;
    u32 initial_apic_id;                            /* of the boot CPU */
    unsigned threads_per_core, cores_per_socket;    /* from CPUID topology leaves, at least 1 */
    bool hypervisor;                                /* we run in a virtual machine ourselves */
} host;
/* Raw CPUID of the boot CPU: leaves [0, max_basic] and [0x80000000, max_ext], subleaves of 4, 7, 0xb, 0xd and
 * 0x14 included. All zero for leaves it does not have. */
struct cpuid_regs { u32 a, b, c, d; };
void host_cpuid(u32 leaf, u32 sub, struct cpuid_regs *out);

/* Feature bits: word number * 32 + bit, words in the order of
 * public/arch-x86/cpufeatureset.h (the toolstack sees them in this order). */
enum {
    FW_1D, FW_1C, FW_E1D, FW_E1C, FW_DA1, FW_7B0, FW_7C0, FW_E7D, FW_E8B, FW_7D0, FW_7A1, FW_E21A, FW_7B1, FW_7D2,
    FW_7C1, FW_7D1, FW_ACAPL, FW_ACAPH, FW_E21C, FW_NR
};
extern u32 host_features[FW_NR];
#define FEAT(word, bit) ((word) * 32 + (bit))
enum {
    FEAT_TSC = FEAT(FW_1D, 4), FEAT_MCE = FEAT(FW_1D, 7), FEAT_APIC = FEAT(FW_1D, 9), FEAT_PGE = FEAT(FW_1D, 13),
    FEAT_MCA = FEAT(FW_1D, 14),
    FEAT_PAT = FEAT(FW_1D, 16), FEAT_FXSR = FEAT(FW_1D, 24), FEAT_SEP = FEAT(FW_1D, 11),
    FEAT_MONITOR = FEAT(FW_1C, 3), FEAT_VMX = FEAT(FW_1C, 5), FEAT_PCID = FEAT(FW_1C, 17),
    FEAT_X2APIC = FEAT(FW_1C, 21), FEAT_TSC_DEADLINE = FEAT(FW_1C, 24), FEAT_XSAVE = FEAT(FW_1C, 26),
    FEAT_RDRAND = FEAT(FW_1C, 30), FEAT_HYPERVISOR = FEAT(FW_1C, 31),
    FEAT_NX = FEAT(FW_E1D, 20), FEAT_PAGE1GB = FEAT(FW_E1D, 26), FEAT_RDTSCP = FEAT(FW_E1D, 27),
    FEAT_LM = FEAT(FW_E1D, 29), FEAT_SVM = FEAT(FW_E1C, 2), FEAT_XOP = FEAT(FW_E1C, 11),
    FEAT_XSAVEOPT = FEAT(FW_DA1, 0), FEAT_XSAVEC = FEAT(FW_DA1, 1), FEAT_XSAVES = FEAT(FW_DA1, 3),
    FEAT_FSGSBASE = FEAT(FW_7B0, 0), FEAT_TSC_ADJUST = FEAT(FW_7B0, 1), FEAT_SMEP = FEAT(FW_7B0, 7),
    FEAT_ERMS = FEAT(FW_7B0, 9), FEAT_RTM = FEAT(FW_7B0, 11), FEAT_SMAP = FEAT(FW_7B0, 20),
    FEAT_UMIP = FEAT(FW_7C0, 2), FEAT_PKU = FEAT(FW_7C0, 3), FEAT_LA57 = FEAT(FW_7C0, 16),
    FEAT_INVARIANT_TSC = FEAT(FW_E7D, 8), FEAT_XSAVEERPTR = FEAT(FW_E8B, 2), FEAT_AMD_IBPB = FEAT(FW_E8B, 12),
    FEAT_AMD_IBRS = FEAT(FW_E8B, 14), FEAT_AMD_STIBP = FEAT(FW_E8B, 15), FEAT_AMD_IBRS_ALWAYS = FEAT(FW_E8B, 16),
    FEAT_IBRS_SAME_MODE = FEAT(FW_E8B, 19), FEAT_AMD_SSBD = FEAT(FW_E8B, 24), FEAT_VIRT_SSBD = FEAT(FW_E8B, 25),
    FEAT_SSB_NO = FEAT(FW_E8B, 26), FEAT_PSFD = FEAT(FW_E8B, 28), FEAT_BTC_NO = FEAT(FW_E8B, 29),
    FEAT_IBPB_RET = FEAT(FW_E8B, 30),
    FEAT_MD_CLEAR = FEAT(FW_7D0, 10), FEAT_IBRSB = FEAT(FW_7D0, 26), FEAT_STIBP = FEAT(FW_7D0, 27),
    FEAT_L1D_FLUSH = FEAT(FW_7D0, 28), FEAT_ARCH_CAPS = FEAT(FW_7D0, 29), FEAT_SSBD = FEAT(FW_7D0, 31),
    FEAT_LFENCE_SERIAL = FEAT(FW_E21A, 2), FEAT_VERW_CLEAR = FEAT(FW_E21A, 5), FEAT_AUTO_IBRS = FEAT(FW_E21A, 8),
    FEAT_SBPB = FEAT(FW_E21A, 27), FEAT_IBPB_BRTYPE = FEAT(FW_E21A, 28), FEAT_SRSO_NO = FEAT(FW_E21A, 29),
    /* MSR ARCH_CAPABILITIES */
    FEAT_RDCL_NO = FEAT(FW_ACAPL, 0), FEAT_EIBRS = FEAT(FW_ACAPL, 1), FEAT_RSBA = FEAT(FW_ACAPL, 2),
    FEAT_SKIP_L1DFL = FEAT(FW_ACAPL, 3), FEAT_INTEL_SSB_NO = FEAT(FW_ACAPL, 4), FEAT_MDS_NO = FEAT(FW_ACAPL, 5),
    FEAT_TAA_NO = FEAT(FW_ACAPL, 8), FEAT_FB_CLEAR = FEAT(FW_ACAPL, 17), FEAT_GDS_NO = FEAT(FW_ACAPL, 26),
    FEAT_TSA_SQ_NO = FEAT(FW_E21C, 1), FEAT_TSA_L1_NO = FEAT(FW_E21C, 2),
};
static inline bool cpu_has(unsigned feat) { return host_features[feat / 32] >> (feat % 32) & 1; }

/* ---- speculation (spec.c); see also cpu/spec.h ---- */
/* Decide what this machine needs (CPUID flags, spec-ctrl=) and print it as a table. */
void spec_init(void);
void spec_init_ap(void);

/* ---- microcode (ucode.c) ---- */
/* Find the update (boot_info.ucode, else by ucode= in the boot modules, which then becomes boot_info.ucode), keep it and
 * load it here. spec_init() calls it. */
void ucode_init(void);
void ucode_init_ap(void);
