/* SPDX-License-Identifier: MIT */
/* Private to src/hvm: vendor-neutral state of a domain and of a vCPU. */
#pragma once
#include "hvm/hvm.h"
#include "call/abi.h"

struct pio_handler { u16 first, last; pio_fn fn; void *arg; };
struct mmio_handler { gpa_t start, end; mmio_fn fn; void *arg; };
/* Sorted tables. Writers are serialised by their callers (domain construction, RANK_PCI); `seq` lets readers go
 * without a lock: odd while a writer is at work, and readers start again if it changed. */
#define PIO_HANDLERS 48u

struct hvm_domain {
    void *io_bitmap;                /* own 12 KiB permission map (dom0), NULL: the shared all-ones map */
    struct { u32 seq; unsigned nr; struct pio_handler h[PIO_HANDLERS]; pio_fn fn; void *arg; } pio;
    struct { u32 seq; unsigned nr, max; struct mmio_handler *h; } mmio;
    u8 callback_type;               /* HVM_PARAM_CALLBACK_TYPE_* */
    u8 callback_vector;             /* type 2 only, else 0 */
};

/* Bits of control registers and MSRs that the policy lets a guest set; 0: the guest has no such register. */
struct hvm_limits { u64 cr4, efer, xcr0; u16 spec_ctrl; u8 pred_cmd, phys_bits; bool rdtscp, tsc_adjust; };

struct hvm_vcpu {
    struct hvm_limits limits;
    u64 xcr0;
    void *xstate;                   /* XSAVE area, 64-byte aligned, standard format */
    bool xstate_live;               /* its contents are in this CPU's registers */
    u32 nmi_pending;                /* atomic */
    u64 tsc_adjust;                 /* guest's own shift of its TSC (MSR TSC, TSC_ADJUST) */
    u64 tsc_adjust_msr;
    u64 misc_enable;
    struct hvm_hw_mtrr mtrr;        /* msr_pat_cr is not used: PAT is vendor state */
    void *vendor;                   /* struct svm_vcpu */
    bool created;                   /* vendor's vcpu_create succeeded */
};

/* Recompute v->hvm->limits from the CPU policy. */
void hvm_refresh_limits(struct vcpu *v);
/* v's general registers and vendor state to power-on values (real mode at cs_sel:0). */
int hvm_reset_state(struct vcpu *v, u16 cs_sel, u64 cs_base, u64 rip) __must_check;
/* Is `value` acceptable? Shared by set_state and the register-write exits. */
bool hvm_cr0_valid(u64 cr0);
bool hvm_xcr0_valid(const struct vcpu *v, u64 xcr0);
bool hvm_pat_valid(u64 pat);
static inline bool is_canonical(u64 a) { return (u64)((s64)(a << 16) >> 16) == a; }
/* XSETBV with index ECX = 0: 0 or -EINVAL (#GP). */
int hvm_set_xcr0(struct vcpu *v, u64 val) __must_check;

/* ---- xstate.c ---- */
void xstate_boot(void);             /* per host: which components are switched, area size */
void xstate_boot_ap(void);
u64 xstate_host_mask(void);
/* Of the components that a CPU has, those that are switched. */
u64 xstate_switched(u64 cpu_mask);
void *xstate_alloc(void);
void xstate_reset(void *area);
/* Registers <- area, and back; switches XCR0 between the host's full mask and the guest's. */
void xstate_load(struct hvm_vcpu *h);
/* Bring h->xcr0 up to date with the register (current vCPU). */
void xstate_sync_xcr0(struct hvm_vcpu *h);
void xstate_save(struct hvm_vcpu *h);

/* ---- callback.c ---- */
/* Vector of the domain's callback if v has an upcall to deliver that way, else -1. */
int hvm_callback_pending(struct vcpu *v);

/* ---- exit.c ---- handlers shared by vendors; RIP handling is the vendor's */
void hvm_exit_cpuid(struct vcpu *v);

/* ---- msr.c, mtrr.c ---- */
bool mtrr_rdmsr(struct vcpu *v, u32 msr, u64 *val);
int mtrr_wrmsr(struct vcpu *v, u32 msr, u64 val);
void mtrr_reset(struct vcpu *v);

/* ---- pio.c ---- */
int pio_domain_init(struct domain *d) __must_check;
void pio_domain_destroy(struct domain *d);
int mmio_domain_init(struct domain *d) __must_check;
void mmio_domain_destroy(struct domain *d);
