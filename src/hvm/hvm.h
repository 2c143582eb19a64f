/* SPDX-License-Identifier: MIT */
/*
 * Hardware virtualisation, vendor-neutral part: state of a vCPU, the vendor table, entry work and exits,
 * ports, MMIO, MSRs, CPUID. Vendor back ends (svm/, later vmx/; fake in hosted builds) implement struct hvm_ops;
 * nothing outside their folder asks which one it is (design rule 8).
 */
#pragma once
#include "dom/domain.h"

struct segment {
    u16 sel; u16 attr;              /* packed 12-bit form: type 0-3, S 4, DPL 5-6, P 7, AVL 8, L 9, D/B 10, G 11 */
    u32 limit;
    u64 base;
};
enum { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_LDTR, SEG_TR, SEG_GDTR, SEG_IDTR, SEG_NR };

/* Complete architectural state except general registers (vcpu_regs), xstate and LAPIC. One serialiser of this
 * feeds domain building, save records and panic dumps. */
struct vcpu_state {
    u64 cr0, cr2, cr3, cr4, cr8, efer, xcr0;
    u64 dr[4], dr6, dr7;
    struct segment seg[SEG_NR];
    u64 star, lstar, cstar, sfmask, kernel_gs_base;
    u64 sysenter_cs, sysenter_esp, sysenter_eip;
    u64 pat, tsc_aux, debugctl, spec_ctrl;
    u32 intr_shadow;                /* 1: STI/MOV SS shadow */
    bool nmi_blocked;
    u32 pending_event, pending_error;   /* VMX-format event: vector 0-7, type 8-10, ev 11, valid 31 */
};

/* What page walks need, cheap to get for the current vCPU. */
struct paging_state { u64 cr0, cr3, cr4, efer, rflags; u8 cpl; };

enum hvm_event_type { EV_EXTINT = 0, EV_NMI = 2, EV_EXCEPTION = 3, EV_SWINT = 4, EV_SWEXC = 6 };
#define NO_ERROR_CODE (~0u)

struct hvm_ops {
    const char *name;
    /* 0, or -ENODEV with a printed line naming what is missing. */
    int (*cpu_up)(void);
    int (*vcpu_create)(struct vcpu *v);
    void (*vcpu_destroy)(struct vcpu *v);
    /* Run the current vCPU once: loads regs, enters, comes back with regs saved; then calls hvm_exit work. */
    void (*enter)(struct vcpu *v);
    /* Load / unload when a vCPU comes onto / leaves this CPU. */
    void (*load)(struct vcpu *v);
    void (*unload)(struct vcpu *v);
    /* v is current or paused and descheduled. set: 0 or -EINVAL if entry with it would fail (I-19). */
    void (*get_state)(struct vcpu *v, struct vcpu_state *s);
    int (*set_state)(struct vcpu *v, const struct vcpu_state *s);
    void (*get_paging)(struct vcpu *v, struct paging_state *p);
    void (*get_segment)(struct vcpu *v, unsigned seg, struct segment *s);
    /* Queue an event for the next entry. */
    void (*inject)(struct vcpu *v, enum hvm_event_type type, u8 vector, u32 error);
    bool (*event_queued)(struct vcpu *v);       /* something is already queued for the next entry */
    bool (*intr_open)(struct vcpu *v);          /* IF set, no shadow: an external interrupt could be injected */
    bool (*nmi_open)(struct vcpu *v);
    void (*want_intr_window)(struct vcpu *v, bool on);
    void (*want_nmi_window)(struct vcpu *v);
    u8 (*get_tpr)(struct vcpu *v);              /* virtual TPR as last seen (8-bit form) */
    void (*set_tpr)(struct vcpu *v, u8 tpr);
    void (*flush_tlb)(struct vcpu *v);          /* before next entry: drop v's guest translations */
    void (*set_cr2)(struct vcpu *v, u64 cr2);
    void (*set_tsc_offset)(struct vcpu *v, u64 offset, bool trap_rdtsc);
    void (*update_policy)(struct vcpu *v);      /* CPU policy or I/O permission of the domain changed */
    void (*dump)(struct vcpu *v);
    /* RIP was just moved past an emulated instruction: end the interrupt shadow, raise #DB if RFLAGS.TF. */
    void (*skipped)(struct vcpu *v);
    u8 hypercall_insn[3];                       /* VMMCALL or VMCALL, for the hypercall page */
};
extern const struct hvm_ops *hvm;   /* chosen at boot */

/* Boot: choose vendor, switch virtualisation on for this CPU; panics with one clear line if impossible. */
void hvm_init(void);
void hvm_init_ap(void);
int hvm_domain_init(struct domain *d) __must_check;
void hvm_domain_destroy(struct domain *d);
int hvm_vcpu_init(struct vcpu *v) __must_check;     /* reset state, xstate area, vlapic */
void hvm_vcpu_destroy(struct vcpu *v);

/* Run loop: work before entry (time, callbacks, interrupts), entry, and the exit's handling. */
void hvm_run(struct vcpu *v);
void hvm_load(struct vcpu *v);      /* context switch in: xstate, vendor state */
void hvm_unload(struct vcpu *v);

/* Reset v to real-mode start at vector<<12 (SIPI), or to the PVH entry state (dom0). */
void hvm_reset_sipi(struct vcpu *v, u8 vector);
void hvm_set_pvh_entry(struct vcpu *v, u64 rip, u64 rbx);
/* dom0 loader: 64-bit mode, given CR3 (identity tables), stack. */
void hvm_set_long_mode(struct vcpu *v, u64 rip, u64 rsp, u64 cr3, u64 rdi);

/* vcpu_info.evtchn_upcall_pending became set: deliver by the vCPU's upcall vector or the domain's callback. */
void hvm_upcall(struct vcpu *v);
/* Does v have something to wake up for (interrupt deliverable from HLT, upcall, NMI, INIT/SIPI)? */
bool hvm_has_pending(struct vcpu *v);
/* HVM_PARAM_CALLBACK_IRQ was written: 0 or -EINVAL. */
int hvm_set_callback(struct domain *d, u64 value) __must_check;

void hvm_inject_exception(struct vcpu *v, u8 vector, u32 error);
void hvm_inject_page_fault(struct vcpu *v, u64 cr2, u32 error);
void hvm_inject_nmi(struct vcpu *v);

/* XSAVE area of v, standard format: pointer and size (legacy 512 + header + components of the policy). */
void *hvm_xstate(struct vcpu *v, size_t *size);

/* ---- CPUID ---- result for v's policy with the dynamic bits filled in */
struct cpuid_leaf { u32 a, b, c, d; };
void hvm_cpuid(struct vcpu *v, u32 leaf, u32 subleaf, struct cpuid_leaf *out);

/* ---- MSRs: 0, or -EINVAL (inject #GP) ---- */
int hvm_rdmsr(struct vcpu *v, u32 msr, u64 *val) __must_check;
int hvm_wrmsr(struct vcpu *v, u32 msr, u64 val) __must_check;
/* Vendor part for MSRs that live in the VMCB etc.; -ENOENT: not mine. */
int svm_rdmsr(struct vcpu *v, u32 msr, u64 *val) __must_check;
int svm_wrmsr(struct vcpu *v, u32 msr, u64 val) __must_check;

/* HVM context records MTRR (per vCPU; PAT included) and TSC_ADJUST. set: 0 or -EINVAL. */
struct hvm_hw_mtrr;
void hvm_mtrr_get(struct vcpu *v, struct hvm_hw_mtrr *m);
int hvm_mtrr_set(struct vcpu *v, const struct hvm_hw_mtrr *m) __must_check;
u64 hvm_tsc_adjust_get(struct vcpu *v);
void hvm_tsc_adjust_set(struct vcpu *v, u64 adjust);
/* d->tsc_offset or d->tsc_mode changed: load it into all vCPUs (none of them running). */
void hvm_update_tsc(struct domain *d);
/* Guest TSC = host TSC + this. */
u64 hvm_tsc_offset(const struct vcpu *v);

/* ---- ports ---- */
/* size 1, 2, 4. dir: write when `write`. Handlers never fail: absent ports read all ones (R10). */
typedef void (*pio_fn)(struct vcpu *v, u16 port, unsigned size, bool write, u32 *val, void *arg);
/* Register a handler for [first, last] of d. Replaces pass-through there. -ENOMEM, -EEXIST. */
int pio_register(struct domain *d, u16 first, u16 last, pio_fn fn, void *arg) __must_check;
/* dom0: let it touch [first, last] directly (no exit), or not. */
void pio_passthrough(struct domain *d, u16 first, u16 last, bool allow);
void pio_access(struct vcpu *v, u16 port, unsigned size, bool write, u32 *val);
/* Who gets ports that no handler claims; default: reads all ones, writes ignored (R10). Nobody calls it yet: it waits for
 * device models, with its tests. */
void pio_set_default(struct domain *d, pio_fn fn, void *arg);
/* Exit of INS/OUTS: `len` bytes of instruction, address size 2, 4 or 8 bytes. RIP is moved when all is done. */
void pio_string(struct vcpu *v, u16 port, unsigned size, bool in, bool rep, unsigned addr_size, unsigned seg,
                unsigned len);
/* 12 KiB SVM-format permission map of d (1 = exit). */
const void *pio_bitmap(const struct domain *d);

/* ---- MMIO ---- size 1..8, within the range; reads return 0-extended data */
typedef void (*mmio_fn)(struct vcpu *v, gpa_t addr, unsigned size, bool write, u64 *val, void *arg);
int mmio_register(struct domain *d, gpa_t start, gpa_t end, mmio_fn fn, void *arg) __must_check;
void mmio_unregister(struct domain *d, gpa_t start);
/* False if no handler covers all of [addr, addr+size). */
bool mmio_access(struct vcpu *v, gpa_t addr, unsigned size, bool write, u64 *val);

/* ---- emulator (hvm/emulate.c): second-stage fault at gpa on the current vCPU ---- */
enum emul_result { EMUL_DONE, EMUL_RETRY, EMUL_EXCEPTION, EMUL_UNHANDLED };
/* Decode the instruction at CS:RIP and carry it out against MMIO handlers (unclaimed: all ones / ignored).
 * DONE: RIP advanced. EXCEPTION: one was injected. UNHANDLED: caller crashes the domain with the bytes. */
enum emul_result emulate_mmio(struct vcpu *v, gpa_t gpa, bool write);
/* #UD in a guest, intercepted if opt_hvm_fep: with the forced emulation prefix (UD2, "xen") the instruction behind it is
 * carried out here, on RAM too. What the emulator does not know, and what has no prefix, gets its #UD. */
extern bool opt_hvm_fep;
void hvm_exit_ud(struct vcpu *v);
/* Fetch up to max instruction bytes at CS:RIP (guest paging rules). Returns the number fetched; 0 and a page
 * fault was injected if not even one could be read. */
unsigned emul_fetch(struct vcpu *v, u8 *buf, unsigned max);
/* Length of the instruction at CS:RIP, for exits on a machine without next-RIP: `opcode` is the expected
 * opcode bytes (without prefixes) of length n; returns total length, or 0 if the bytes do not match. */
unsigned emul_insn_len(struct vcpu *v, const u8 *opcode, unsigned n);
/* Skip an instruction of `len` bytes: RIP, interrupt shadow, single-step #DB. */
void hvm_skip(struct vcpu *v, unsigned len);

/* Second-stage fault, called by the vendor: decides between lazy mapping, MMIO, R10 and crash. */
void hvm_npf(struct vcpu *v, gpa_t gpa, u64 error_code);
enum { NPF_PRESENT = 1, NPF_WRITE = 2, NPF_USER = 4, NPF_FETCH = 16, NPF_TABLE = 1ULL << 33 };
/* Hypercall instruction executed by v in this mode (RIP still on it; the vendor skips it if this returns true). */
bool hvm_hypercall(struct vcpu *v, unsigned cpl, bool long_mode, bool long_code);
/* HLT; triple fault. */
void hvm_hlt(struct vcpu *v);
void hvm_triple_fault(struct vcpu *v);
