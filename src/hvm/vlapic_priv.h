/* SPDX-License-Identifier: MIT */
/*
 * Private to the virtual local APIC (vlapic*.c).
 *
 * Who may touch what: IRR, TMR, the pending error bits and the request word are changed by any CPU with atomics, so
 * posting an interrupt takes no lock. Timer fields belong to `lock`, because the timer may fire on another CPU
 * than the one the vCPU runs on. Everything else is written only by the vCPU's own CPU (or while it is paused) and
 * read by others with single loads: a sender that looks at LDR or TPR while its owner changes them sees the old
 * or the new value, as it would on a bus.
 */
#pragma once
#include "hvm/vlapic.h"
#include "sync/sync.h"

/* Register numbers: offset in the xAPIC page / 16 = x2APIC MSR - 0x800. Intel SDM 3A, table 11-1 and 11-6. */
enum {
    AR_ID = 0x02, AR_VER = 0x03, AR_TPR = 0x08, AR_APR = 0x09, AR_PPR = 0x0a, AR_EOI = 0x0b, AR_LDR = 0x0d,
    AR_DFR = 0x0e, AR_SVR = 0x0f, AR_ISR = 0x10, AR_TMR = 0x18, AR_IRR = 0x20, AR_ESR = 0x28, AR_ICR = 0x30,
    AR_ICR2 = 0x31, AR_LVTT = 0x32, AR_LVTTHMR = 0x33, AR_LVTPC = 0x34, AR_LVT0 = 0x35, AR_LVT1 = 0x36,
    AR_LVTERR = 0x37, AR_TMICT = 0x38, AR_TMCCT = 0x39, AR_TDCR = 0x3e, AR_SELF_IPI = 0x3f, AR_NR = 0x40,
};
#define LAPIC_VERSION   0x00050014u     /* integrated APIC, highest LVT entry 5 */
#define SVR_ENABLE      0x100u
#define LVT_MASKED      0x10000u
#define LVTT_MODE       0x60000u
#define LVTT_PERIODIC   0x20000u
#define LVTT_DEADLINE   0x40000u
#define ESR_SEND_ILLEGAL 0x20u
#define ESR_RECV_ILLEGAL 0x40u
#define ICR_VALID       0xccfffu        /* all but delivery status (12) and the reserved bits */

#define BASE_BSP    0x100u
#define BASE_X2     0x400u
#define BASE_EN     0x800u
#define BASE_ADDR   0x000ffffffffff000ull
#define BASE_RESET  0xfee00000ull

/* Requests from other CPUs, carried out on the own one; one word, so that INIT and SIPI keep their order. */
#define REQ_INIT    1u
#define REQ_SIPI    2u
#define REQ_NMI     4u
#define REQ_WAIT    8u                  /* not a request: in the wait-for-SIPI state */
#define REQ_VECTOR_SHIFT 8              /* SIPI vector */

struct vlapic {
    struct vcpu *v;
    u64 base_msr;
    gpa_t mmio_gpa;             /* where the registers answer; ~0 when disabled or in x2APIC mode */
    u32 r[AR_NR];               /* by register number; ID, PPR, ISR, TMR, IRR, TMCCT are not kept here */
    u64 irr[4], tmr[4];         /* atomic */
    u64 isr[4];
    int isr_top;                /* highest set bit of isr, -1 if none */
    u32 esr_pending;            /* atomic: errors since ESR was last written */
    u32 req;                    /* atomic: REQ_* */
    u32 arb_next;               /* lowest priority: where the search starts (kept in vCPU 0's, a hint) */
    struct spinlock lock;       /* rank VLAPIC: the fields below, TMICT, TDCR and LVTT writes */
    struct timer timer;
    u64 start_ns;               /* when the current period began */
    u64 interval_ns;            /* its length */
    u64 expires_ns;             /* 0: it does not count */
    bool parked;                /* periodic, counts without a host timer: read without the lock in vlapic_ack() */
    u64 deadline_tsc;           /* IA32_TSC_DEADLINE, guest TSC */
};

static inline bool lapic_hw_enabled(const struct vlapic *l) { return read_once(&l->base_msr) & BASE_EN; }
static inline bool lapic_x2(const struct vlapic *l) { return read_once(&l->base_msr) & BASE_X2; }
static inline bool lapic_enabled(const struct vlapic *l)
{
    return lapic_hw_enabled(l) && (read_once(&l->r[AR_SVR]) & SVR_ENABLE);
}
static inline u32 lapic_id(const struct vlapic *l) { return 2 * l->v->id; }
u32 lapic_ldr(const struct vlapic *l);
/* Priority of what the processor is doing: TPR or the class of the vector in service. */
u32 lapic_ppr(const struct vlapic *l);
/* An error was detected: latch it and raise LVTERR, once per bit (XSA-462). Any CPU. */
void lapic_error(struct vlapic *l, u32 bits);
/* Set IRR (and TMR) and kick; vector >= 16. Any CPU. */
void lapic_post(struct vlapic *l, u8 vector, bool level);
void lapic_set_base(struct vlapic *l, u64 base);
/* Registers by number; write: bits not writable are dropped. Both on the own CPU. */
u32 lapic_reg_read(struct vlapic *l, unsigned reg);
void lapic_reg_write(struct vlapic *l, unsigned reg, u32 val);
/* May x2APIC software read / write the register; reserved: bits that must be zero in a write. */
bool lapic_x2_readable(unsigned reg);
bool lapic_x2_writable(unsigned reg, u32 *reserved);

/* vlapic_timer.c */
void lapic_timer_init(struct vlapic *l);
/* The interrupt that a parked timer waited for was taken, perhaps. */
void lapic_timer_unpark(struct vlapic *l);
void lapic_timer_stop(struct vlapic *l);
void lapic_timer_write_lvtt(struct vlapic *l, u32 val);
void lapic_timer_write_initial(struct vlapic *l, u32 val);
void lapic_timer_write_divide(struct vlapic *l, u32 val);
u32 lapic_timer_current(struct vlapic *l);
void lapic_timer_write_deadline(struct vlapic *l, u64 tsc);
u64 lapic_timer_read_deadline(struct vlapic *l);
unsigned lapic_timer_divisor(const struct vlapic *l);
/* After loading: start again with `count` ticks to go (one-shot, periodic) or at the given deadline. */
void lapic_timer_restore(struct vlapic *l, u32 count, u64 deadline_tsc);

/* vlapic_ipi.c: ICR was written / self IPI. */
void lapic_ipi(struct vlapic *l, u32 icr, u32 dest);
void lapic_self_ipi(struct vlapic *l, u8 vector);
