/* SPDX-License-Identifier: MIT */
/* Injection (APM 15.20), events that an exit interrupted, windows for interrupts and NMIs. */
#include "hvm/svm/svm.h"
#include "cpu/x86.h"

/* Exceptions that push an error code: #DF, #TS, #NP, #SS, #GP, #PF, #AC, #CP. */
#define HAS_ERROR (1u << 8 | 1u << 10 | 1u << 11 | 1u << 12 | 1u << 13 | 1u << 14 | 1u << 17 | 1u << 21)
/* Contributory ones (APM 8.2.9, table 8-1): #DE, #TS, #NP, #SS, #GP. */
#define CONTRIBUTORY (1u << 0 | 1u << 10 | 1u << 11 | 1u << 12 | 1u << 13)

/* What a second exception makes of a first one. */
enum merge { MERGE_SECOND, MERGE_DOUBLE_FAULT, MERGE_SHUTDOWN };
static enum merge merge(u8 first, u8 second)
{
    bool c2 = CONTRIBUTORY >> second & 1;
    if (first == X86_DF) return MERGE_SHUTDOWN;
    if (first == X86_PF && (second == X86_PF || c2)) return MERGE_DOUBLE_FAULT;
    if ((CONTRIBUTORY >> first & 1) && c2) return MERGE_DOUBLE_FAULT;
    return MERGE_SECOND;            /* the first will be found again when the instruction is repeated */
}

static u64 make_event(const struct vmcb *b, unsigned type, u8 vector, u32 error)
{
    u64 e = EVENT_VALID | type << 8 | vector;
    if (type == SVM_EXCEPTION && (HAS_ERROR >> (vector & 31) & 1) && (b->cr0 & CR0_PE))
        e |= EVENT_HAS_ERROR | (error == NO_ERROR_CODE ? 0 : (u64)error << 32);
    return e;
}

void svm_inject(struct vcpu *v, enum hvm_event_type type, u8 vector, u32 error)
{
    struct svm_vcpu *s = svm_vcpu(v);
    unsigned t = type == EV_SWEXC ? SVM_EXCEPTION : type;
    u64 old = s->event;

    if (unlikely(old & EVENT_VALID)) {
        if (EVENT_TYPE(old) == SVM_EXCEPTION && t == SVM_EXCEPTION) {
            switch (merge(EVENT_VECTOR(old), vector)) {
            case MERGE_SHUTDOWN:
                hvm_triple_fault(v);
                return;
            case MERGE_DOUBLE_FAULT:
                vector = X86_DF;
                error = 0;
                break;
            case MERGE_SECOND:
                break;
            }
        } else if (EVENT_TYPE(old) == SVM_EXTINT || EVENT_TYPE(old) == SVM_NMI) {
            s->deferred = old;      /* acknowledged already: it must not get lost */
        }
    }
    s->event = make_event(s->vmcb, t, vector, error);
    if (t == SVM_NMI) {
        s->nmi_blocked = true;
        s->vmcb->intercept1 |= I1_IRET;
        svm_dirty(s, CL_INTERCEPTS);
    }
}

bool svm_event_queued(struct vcpu *v)
{
    return svm_vcpu(v)->event | svm_vcpu(v)->deferred;
}

/*
 * STI; HLT with an interrupt pending: the HLT that the shadow covers would end at once, so it is skipped and the
 * interrupt injected behind it. That saves the window exit, and it keeps the guest's "check, then halt" whole where
 * VMRUN drops the shadow, as QEMU 7.2's does: the interrupt would come before the HLT and its wake-up be slept over.
 */
static bool end_hlt(struct vcpu *v)
{
    static const u8 hlt = 0xf4;
    const struct svm_vcpu *s = svm_vcpu(v);
    if (s->event || s->vmcb->cpl || emul_insn_len(v, &hlt, 1) != 1) return false;
    svm_skip(v, 1);
    return !s->event;               /* not when TF makes it trap */
}

bool svm_intr_open(struct vcpu *v)
{
    if (!(v->regs.rflags & RFLAGS_IF)) return false;
    return likely(!(svm_vcpu(v)->vmcb->intr_shadow & 1)) || end_hlt(v);
}

bool svm_nmi_open(struct vcpu *v)
{
    return !svm_vcpu(v)->nmi_blocked && !(svm_vcpu(v)->vmcb->intr_shadow & 1);
}

/* A virtual interrupt of the highest priority that ignores the TPR: it is "taken", that is exits, as soon as IF and
 * shadow allow (APM 15.21.4). */
void svm_want_intr_window(struct vcpu *v, bool on)
{
    struct svm_vcpu *s = svm_vcpu(v);
    struct vmcb *b = s->vmcb;
    if (likely(s->window == on)) return;
    s->window = on;
    b->v_irq = on;
    b->v_prio = on ? 0x1f : 0;
    b->v_vector = 0;
    if (on) b->intercept1 |= I1_VINTR;
    else b->intercept1 &= ~(u32)I1_VINTR;
    svm_dirty(s, CL_INTERCEPTS | CL_TPR);
}

/* What an IRET can raise instead of being done: #TS, #NP, #SS, #GP, #PF. */
#define STEP_FAULTS (1u << X86_TS | 1u << X86_NP | 1u << X86_SS | 1u << X86_GP | 1u << X86_PF)

static void start_step(struct vcpu *v, struct svm_vcpu *s, u8 why)
{
    s->step = why;
    v->regs.rflags |= RFLAGS_TF;
    s->vmcb->exceptions |= STEP_FAULTS;
    svm_dirty(s, CL_INTERCEPTS);
}

void svm_no_step(struct svm_vcpu *s)
{
    s->step = STEP_NONE;
    s->vmcb->exceptions &= ~STEP_FAULTS;
    svm_dirty(s, CL_INTERCEPTS);
}

/* The instruction that we step over faults. Its handler's frame must not get our TF, which would trap the guest after
 * the return; and NMIs stay blocked until an IRET is done (APM 8.2.3). */
void svm_exit_step_fault(struct vcpu *v, struct svm_vcpu *s, struct vmcb *b)
{
    u8 vector = (u8)(b->exitcode - EXIT_EXCEPTION);
    if (s->step) {
        v->regs.rflags &= ~RFLAGS_TF;
        if (s->step == STEP_IRET) b->intercept1 |= I1_IRET;
        svm_no_step(s);
    }
    if (vector == X86_PF) hvm_inject_page_fault(v, b->exitinfo2, (u32)b->exitinfo1);
    else hvm_inject_exception(v, vector, (u32)b->exitinfo1);
}

/* Blocked by an unfinished NMI: the IRET intercept is armed. Only by a shadow: step over one instruction. */
void svm_want_nmi_window(struct vcpu *v)
{
    struct svm_vcpu *s = svm_vcpu(v);
    if (s->nmi_blocked || s->step || !(s->vmcb->intr_shadow & 1) || (v->regs.rflags & RFLAGS_TF)) return;
    start_step(v, s, STEP_SHADOW);
}

/* The exit comes before IRET is executed; NMIs open when it is done. TF as it was before IRET decides about the
 * trap after it, so stepping works although IRET loads new flags. */
void svm_exit_iret(struct vcpu *v, struct svm_vcpu *s, struct vmcb *b)
{
    b->intercept1 &= ~(u32)I1_IRET;
    svm_dirty(s, CL_INTERCEPTS);
    start_step(v, s, STEP_IRET);
}

/* DR6 names the step (bit 14), or, on Bochs 2.7, which exits before it sets DR6, nothing at all. */
void svm_exit_db(struct vcpu *v, struct svm_vcpu *s, struct vmcb *b)
{
    if (s->step && ((b->dr6 & 1u << 14) || !(b->dr6 & 0xe00f))) {
        if (s->step == STEP_IRET) s->nmi_blocked = false;
        else v->regs.rflags &= ~RFLAGS_TF;
        svm_no_step(s);
        b->dr6 &= ~(1ULL << 14);
        svm_dirty(s, CL_DRX);
        if (!(b->dr6 & 15)) return;         /* our own step, and no breakpoint beside it */
    }
    svm_inject(v, EV_EXCEPTION, X86_DB, NO_ERROR_CODE);
}

void svm_event_enter(struct vcpu *v, struct svm_vcpu *s)
{
    if (unlikely(s->deferred)) {
        bool nmi = EVENT_TYPE(s->deferred) == SVM_NMI;
        if (!s->event && (nmi || svm_intr_open(v))) {
            s->event = s->deferred;
            s->deferred = 0;
        } else if (!nmi) {
            svm_want_intr_window(v, true);      /* also behind the exception: nothing else need make it exit */
        }
    }
    s->vmcb->eventinj = s->event;
}

/*
 * The exit came while this event was being delivered (APM 15.7.2): deliver it again. Software interrupts and
 * INT3/INTO are repeated by executing the instruction again, because RIP is still on it.
 */
void svm_event_exit(struct vcpu *v, struct svm_vcpu *s, u64 info)
{
    unsigned type = EVENT_TYPE(info);
    u8 vector = EVENT_VECTOR(info);
    if (type == SVM_SWINT) return;
    if (type == SVM_EXCEPTION && (vector == X86_BP || vector == X86_OF)) return;
    s->event = info;
}
