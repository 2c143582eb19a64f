/* SPDX-License-Identifier: MIT */
/* Virtual machine control block: layout, intercepts, exit codes. AMD APM volume 2 (24593), appendix B and C. */
#pragma once
#include "lib/types.h"

struct vmcb_seg { u16 sel, attr; u32 limit; u64 base; };    /* attr: packed 12-bit form, as struct segment */

struct vmcb {
    /* control area */
    u16 cr_read, cr_write;          /* 000 */
    u16 dr_read, dr_write;
    u32 exceptions;
    u32 intercept1, intercept2, intercept3;     /* 00C 010 014: I1_*, I2_* */
    u8 res018[0x3c - 0x18];
    u16 pause_threshold, pause_count;
    u64 iopm_base, msrpm_base;      /* 040 */
    u64 tsc_offset;
    u32 asid;                       /* 058 */
    u8 tlb_control, res05d[3];
    u8 v_tpr;                       /* 060 */
    u8 v_irq;                       /* bit 0 V_IRQ, bit 1 virtual GIF */
    u8 v_prio;                      /* bits 0-3 priority, bit 4 ignore TPR */
    u8 v_ctl;                       /* bit 0 V_INTR_MASKING, bit 1 enable virtual GIF */
    u8 v_vector, res065[3];
    u64 intr_shadow;                /* 068 bit 0 */
    u64 exitcode, exitinfo1, exitinfo2, exitintinfo;    /* 070 078 080 088 */
    u64 np_enable;                  /* 090 bit 0 */
    u64 avic_bar, ghcb;
    u64 eventinj;                   /* 0A8 */
    u64 ncr3;                       /* 0B0 */
    u64 lbr_ctl;                    /* 0B8 bit 0: LBR virtualisation */
    u32 clean, res0c4;              /* 0C0 */
    u64 next_rip;                   /* 0C8 */
    u8 insn_len, insn[15];          /* 0D0 */
    u8 res0e0[0x400 - 0xe0];
    /* state save area */
    struct vmcb_seg es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;   /* 400 */
    u8 res4a0[0x4cb - 0x4a0];
    u8 cpl;
    u32 res4cc;
    u64 efer;                       /* 4D0 */
    u8 res4d8[0x548 - 0x4d8];
    u64 cr4, cr3, cr0, dr7, dr6, rflags, rip;           /* 548 .. 578 */
    u8 res580[0x5d8 - 0x580];
    u64 rsp;                        /* 5D8 */
    u64 s_cet, ssp, isst;
    u64 rax, star, lstar, cstar, sfmask, kernel_gs_base, sysenter_cs, sysenter_esp, sysenter_eip, cr2; /* 5F8 */
    u8 res648[0x668 - 0x648];
    u64 g_pat, debugctl, br_from, br_to, exc_from, exc_to;      /* 668 */
    u8 res698[0x6e0 - 0x698];
    u64 spec_ctrl;                  /* 6E0 */
    u8 res6e8[0x1000 - 0x6e8];
} __packed __aligned(4096);

#define AT(f, o) STATIC_ASSERT(offsetof(struct vmcb, f) == (o))
AT(exceptions, 0x008); AT(intercept1, 0x00c); AT(pause_threshold, 0x03c); AT(iopm_base, 0x040); AT(asid, 0x058);
AT(v_tpr, 0x060); AT(v_vector, 0x064); AT(intr_shadow, 0x068); AT(exitcode, 0x070); AT(exitintinfo, 0x088);
AT(np_enable, 0x090); AT(eventinj, 0x0a8); AT(ncr3, 0x0b0); AT(clean, 0x0c0); AT(next_rip, 0x0c8); AT(insn_len, 0x0d0);
AT(es, 0x400); AT(tr, 0x490); AT(cpl, 0x4cb); AT(efer, 0x4d0); AT(cr4, 0x548); AT(cr0, 0x558); AT(dr6, 0x568);
AT(rip, 0x578); AT(rsp, 0x5d8); AT(rax, 0x5f8); AT(kernel_gs_base, 0x620); AT(cr2, 0x640); AT(g_pat, 0x668);
AT(debugctl, 0x670); AT(spec_ctrl, 0x6e0);
#undef AT
STATIC_ASSERT(sizeof(struct vmcb) == 4096);

/* intercept1 (00Ch) */
enum {
    I1_INTR = 1u << 0, I1_NMI = 1u << 1, I1_SMI = 1u << 2, I1_INIT = 1u << 3, I1_VINTR = 1u << 4,
    I1_CR0_SEL = 1u << 5, I1_RDTSC = 1u << 14, I1_RDPMC = 1u << 15, I1_CPUID = 1u << 18, I1_IRET = 1u << 20,
    I1_INVD = 1u << 22, I1_PAUSE = 1u << 23, I1_HLT = 1u << 24, I1_INVLPGA = 1u << 26, I1_IOIO = 1u << 27,
    I1_MSR = 1u << 28, I1_FERR = 1u << 30,
};
#define I1_SHUTDOWN (1u << 31)
/* intercept2 (010h) */
enum {
    I2_VMRUN = 1u << 0, I2_VMMCALL = 1u << 1, I2_VMLOAD = 1u << 2, I2_VMSAVE = 1u << 3, I2_STGI = 1u << 4,
    I2_CLGI = 1u << 5, I2_SKINIT = 1u << 6, I2_RDTSCP = 1u << 7, I2_WBINVD = 1u << 9, I2_MONITOR = 1u << 10,
    I2_MWAIT = 1u << 11, I2_MWAIT_ARMED = 1u << 12, I2_XSETBV = 1u << 13, I2_RDPRU = 1u << 14,
};
/* intercept3 (014h): INVLPGB, illegal INVLPGB, MCOMMIT, TLBSYNC; INVPCID acts inside the guest's own ASID */
enum { I3_INVLPGB = 1u << 0, I3_INVLPGB_ILLEGAL = 1u << 1, I3_MCOMMIT = 1u << 3, I3_TLBSYNC = 1u << 4 };

/* VMCB clean bits (15.15.3): set = the CPU may use its cached copy */
enum {
    CL_INTERCEPTS = 1 << 0, CL_IOPM = 1 << 1, CL_ASID = 1 << 2, CL_TPR = 1 << 3, CL_NP = 1 << 4, CL_CRX = 1 << 5,
    CL_DRX = 1 << 6, CL_DT = 1 << 7, CL_SEG = 1 << 8, CL_CR2 = 1 << 9, CL_LBR = 1 << 10,
    CL_ALL = (1 << 11) - 1,
};

enum { TLB_KEEP = 0, TLB_FLUSH_ALL = 1, TLB_FLUSH_ASID = 3 };

/* Exit codes, appendix C */
enum {
    EXIT_CR_READ = 0x00, EXIT_CR_WRITE = 0x10, EXIT_DR_READ = 0x20, EXIT_DR_WRITE = 0x30, EXIT_EXCEPTION = 0x40,
    EXIT_INTR = 0x60, EXIT_NMI, EXIT_SMI, EXIT_INIT, EXIT_VINTR, EXIT_CR0_SEL,
    EXIT_RDTSC = 0x6e, EXIT_RDPMC, EXIT_CPUID = 0x72, EXIT_IRET = 0x74, EXIT_INVD = 0x76, EXIT_PAUSE, EXIT_HLT,
    EXIT_INVLPGA = 0x7a, EXIT_IOIO, EXIT_MSR, EXIT_TASK_SWITCH, EXIT_FERR, EXIT_SHUTDOWN, EXIT_VMRUN, EXIT_VMMCALL,
    EXIT_VMLOAD, EXIT_VMSAVE, EXIT_STGI, EXIT_CLGI, EXIT_SKINIT, EXIT_RDTSCP, EXIT_WBINVD = 0x89, EXIT_MONITOR,
    EXIT_MWAIT, EXIT_MWAIT_ARMED, EXIT_XSETBV, EXIT_RDPRU, EXIT_INVLPGB = 0xa0, EXIT_INVLPGB_ILLEGAL, EXIT_INVPCID,
    EXIT_MCOMMIT, EXIT_TLBSYNC, EXIT_NR,
    EXIT_NPF = 0x400,
};
#define EXIT_INVALID (~0ULL)

/* EVENTINJ / EXITINTINFO (15.20): the same layout as VMX-format events except for the meaning of type 4 */
#define EVENT_VALID (1ULL << 31)
#define EVENT_HAS_ERROR (1ULL << 11)
#define EVENT_VECTOR(e) ((u8)(e))
#define EVENT_TYPE(e) ((unsigned)((e) >> 8 & 7))
enum { SVM_EXTINT = 0, SVM_NMI = 2, SVM_EXCEPTION = 3, SVM_SWINT = 4 };

/* IOIO EXITINFO1 (15.10.2) */
#define IOIO_IN 1u
#define IOIO_STR 4u
#define IOIO_REP 8u

/* MSRs and CPUID bits of SVM itself; MSR numbers in cpu/x86.h */
#define MSR_TSC_RATIO 0xc0000104u
#define VM_CR_LOCK (1ULL << 3)
#define VM_CR_SVMDIS (1ULL << 4)
/* CPUID 8000000A EDX */
enum {
    SVMF_NPT = 1 << 0, SVMF_LBR = 1 << 1, SVMF_LOCK = 1 << 2, SVMF_NRIPS = 1 << 3, SVMF_TSC_RATIO = 1 << 4,
    SVMF_CLEAN = 1 << 5, SVMF_FLUSH_ASID = 1 << 6, SVMF_DECODE = 1 << 7, SVMF_PAUSE = 1 << 10,
    SVMF_PAUSE_THRESHOLD = 1 << 12, SVMF_AVIC = 1 << 13, SVMF_VGIF = 1 << 16, SVMF_SPEC_CTRL = 1 << 20,
};
