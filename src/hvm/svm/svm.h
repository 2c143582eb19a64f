/* SPDX-License-Identifier: MIT */
/* AMD SVM with nested paging. Private to src/hvm/svm, except svm_ops. "APM" = AMD64 manual, volume 2 (24593). */
#pragma once
#include "hvm/hvm_vcpu.h"
#include "hvm/svm/vmcb.h"

extern const struct hvm_ops svm_ops;
extern u32 svm_features;            /* CPUID 8000000A EDX, SVMF_* */
extern const void *svm_msrpm;       /* shared MSR permission map, 8 KiB */
static inline bool svm_has(u32 f) { return svm_features & f; }

/* Per CPU (cpu->hw). */
struct svm_cpu {
    void *host_save;                /* VM_HSAVE_PA page: VMRUN's own */
    struct vmcb *host_vmcb;         /* our FS, GS, TR, LDTR, system-call MSRs, by VMSAVE */
    u64 host_vmcb_pa;
    bool host_vmcb_valid;
    u64 asid_gen;                   /* starts at 1; vCPUs with another one need a new ASID */
    u32 next_asid, nr_asids;
    bool flush_all;                 /* generation is new: flush everything at the next entry */
    u64 tsc_aux;                    /* what the MSR holds */
    u64 spec_ctrl;                  /* MSR SPEC_CTRL while the hypervisor runs */
};

/* Lengths of intercepted instructions, for CPUs without next-RIP save. An entry is verified again after some uses;
 * a wrong length could only mislead guest code that changed under the same address and page tables. */
#define LEN_CACHE 32
struct len_entry { u64 rip, cr3; u8 what, len, uses; };

struct svm_vcpu {
    struct vmcb *vmcb;
    u64 vmcb_pa;
    u64 event;                      /* EVENTINJ of the next entry */
    u64 deferred;                   /* interrupt or NMI that an exception displaced */
    struct svm_cpu *cpu;            /* where the ASID is valid, if asid_gen matches */
    u64 asid_gen;
    u64 cr4;                        /* as the guest wrote it (VMCB: plus the host's MCE) */
    u64 dr[4];                      /* valid unless dr_live */
    bool dr_live;                   /* DR0-3 are in the registers, and not intercepted */
    bool loaded;                    /* between load and unload */
    bool window;                    /* VINTR armed */
    bool nmi_blocked;
    u8 step;                        /* single-stepping over: STEP_* */
    u16 mismatches;                 /* instruction bytes that did not fit the exit, in a row */
    u64 tsc_aux, spec_ctrl;
    struct len_entry len[LEN_CACHE];
};
enum { STEP_NONE, STEP_IRET, STEP_SHADOW };
static inline struct svm_vcpu *svm_vcpu(const struct vcpu *v) { return v->hvm->vendor; }
static inline void svm_dirty(struct svm_vcpu *s, u32 clean_bits) { s->vmcb->clean &= ~clean_bits; }
static inline bool svm_long_code(const struct vmcb *b) { return (b->efer & 0x400) && (b->cs.attr & 0x200); }

/* ---- vmcb.c ---- */
int svm_vcpu_create(struct vcpu *v);
void svm_vcpu_destroy(struct vcpu *v);
bool svm_msrpm_init(void);
void svm_set_tsc_offset(struct vcpu *v, u64 offset, bool trap_rdtsc);
void svm_update_policy(struct vcpu *v);
void svm_intercept_dr(struct svm_vcpu *s, bool on);

/* ---- state.c ---- */
void svm_get_state(struct vcpu *v, struct vcpu_state *st);
int svm_set_state(struct vcpu *v, const struct vcpu_state *st);
void svm_get_paging(struct vcpu *v, struct paging_state *p);
void svm_get_segment(struct vcpu *v, unsigned seg, struct segment *out);
void svm_dump(struct vcpu *v);

/* ---- event.c ---- */
void svm_inject(struct vcpu *v, enum hvm_event_type type, u8 vector, u32 error);
bool svm_event_queued(struct vcpu *v);
bool svm_intr_open(struct vcpu *v);
bool svm_nmi_open(struct vcpu *v);
void svm_want_intr_window(struct vcpu *v, bool on);
void svm_want_nmi_window(struct vcpu *v);
/* Before entry: choose between queued and deferred event. After exit: keep what the exit interrupted. */
void svm_event_enter(struct vcpu *v, struct svm_vcpu *s);
void svm_event_exit(struct vcpu *v, struct svm_vcpu *s, u64 exitintinfo);
void svm_no_step(struct svm_vcpu *s);           /* the step over an instruction is over */
void svm_exit_iret(struct vcpu *v, struct svm_vcpu *s, struct vmcb *b);
void svm_exit_step_fault(struct vcpu *v, struct svm_vcpu *s, struct vmcb *b);
void svm_exit_db(struct vcpu *v, struct svm_vcpu *s, struct vmcb *b);

/* ---- asid.c ---- */
void svm_flush_tlb(struct vcpu *v);
void svm_asid_enter(struct vcpu *v, struct svm_vcpu *s, struct svm_cpu *sc);

/* ---- cr.c ---- */
void svm_set_cr4(struct svm_vcpu *s, u64 cr4);      /* a value that was checked */
void svm_exit_cr_read(struct vcpu *v, struct svm_vcpu *s, struct vmcb *b);
void svm_exit_cr_write(struct vcpu *v, struct svm_vcpu *s, struct vmcb *b);
void svm_exit_dr(struct vcpu *v, struct svm_vcpu *s, struct vmcb *b);

/* ---- insn.c ---- */
enum insn_what { IW_CPUID, IW_VMMCALL, IW_RDMSR, IW_WRMSR, IW_HLT, IW_RDTSC, IW_RDTSCP, IW_XSETBV, IW_INVD, IW_WBINVD,
                 IW_PAUSE, IW_NR };
/* Length of the instruction that exited; 0: try again (a page fault was injected, or its bytes changed). */
unsigned svm_insn_len(struct vcpu *v, struct svm_vcpu *s, enum insn_what what);
/* RIP was or is moved past an emulated instruction. */
void svm_skipped(struct vcpu *v);
void svm_skip(struct vcpu *v, unsigned len);

/* ---- exits.c, io.c ---- */
void svm_exit(struct vcpu *v, struct svm_vcpu *s, struct vmcb *b);
void svm_exit_io(struct vcpu *v, struct svm_vcpu *s, struct vmcb *b);

/* ---- entry.S ---- */
void svm_vmrun(struct vcpu_regs *regs, u64 vmcb_pa, u64 host_vmcb_pa);
