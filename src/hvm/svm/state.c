/* SPDX-License-Identifier: MIT */
/* Between the VMCB and struct vcpu_state. What set_state accepts cannot make VMRUN fail (I-19; APM 15.5.1). */
#include "hvm/svm/svm.h"
#include "hvm/vlapic.h"
#include "cpu/cpu.h"
#include "cpu/x86.h"

/* Order of enum SEG_*. */
#define AT(f) offsetof(struct vmcb, f)
static const u16 seg_at[SEG_NR] = { AT(es), AT(cs), AT(ss), AT(ds), AT(fs), AT(gs), AT(ldtr), AT(tr), AT(gdtr), AT(idtr) };
static struct vmcb_seg *seg_of(struct vmcb *b, unsigned seg) { return (struct vmcb_seg *)((char *)b + seg_at[seg]); }

void svm_get_segment(struct vcpu *v, unsigned seg, struct segment *out)
{
    const struct vmcb_seg *x = seg_of(svm_vcpu(v)->vmcb, seg);
    *out = (struct segment){ .sel = x->sel, .attr = x->attr, .limit = x->limit, .base = x->base };
}

void svm_get_paging(struct vcpu *v, struct paging_state *p)
{
    const struct svm_vcpu *s = svm_vcpu(v);
    const struct vmcb *b = s->vmcb;
    *p = (struct paging_state){ .cr0 = b->cr0, .cr3 = b->cr3, .cr4 = s->cr4, .efer = b->efer & ~EFER_SVME,
                                .rflags = v->regs.rflags, .cpl = b->cpl };
}

void svm_get_state(struct vcpu *v, struct vcpu_state *st)
{
    const struct svm_vcpu *s = svm_vcpu(v);
    const struct vmcb *b = s->vmcb;
    memset(st, 0, sizeof(*st));
    st->cr0 = b->cr0;
    st->cr2 = b->cr2;
    st->cr3 = b->cr3;
    st->cr4 = s->cr4;
    st->cr8 = b->v_tpr & 15;
    st->efer = b->efer & ~EFER_SVME;
    xstate_sync_xcr0(v->hvm);
    st->xcr0 = v->hvm->xcr0;
    memcpy(st->dr, s->dr, sizeof(st->dr));
    if (s->dr_live) {
        st->dr[0] = read_dr0();
        st->dr[1] = read_dr1();
        st->dr[2] = read_dr2();
        st->dr[3] = read_dr3();
    }
    st->dr6 = b->dr6;
    st->dr7 = b->dr7;
    for (unsigned i = 0; i < SEG_NR; i++) svm_get_segment(v, i, &st->seg[i]);
    st->star = b->star;
    st->lstar = b->lstar;
    st->cstar = b->cstar;
    st->sfmask = b->sfmask;
    st->kernel_gs_base = b->kernel_gs_base;
    st->sysenter_cs = b->sysenter_cs;
    st->sysenter_esp = b->sysenter_esp;
    st->sysenter_eip = b->sysenter_eip;
    st->pat = b->g_pat;
    st->tsc_aux = s->tsc_aux;
    st->spec_ctrl = s->spec_ctrl;
    st->intr_shadow = b->intr_shadow & 1;
    st->nmi_blocked = s->nmi_blocked;
    u64 e = s->event ?: s->deferred;
    st->pending_event = (u32)e;
    st->pending_error = (u32)(e >> 32);
}

static bool event_valid(u32 e)
{
    if (!(e & EVENT_VALID)) return true;
    if (e & 0x7ffff000) return false;
    unsigned type = EVENT_TYPE(e), vec = EVENT_VECTOR(e);
    if ((e & EVENT_HAS_ERROR) && type != EV_EXCEPTION) return false;
    switch (type) {
    case EV_EXTINT: case EV_SWINT: return true;
    case EV_NMI: return vec == 2;
    case EV_EXCEPTION: return vec < 32 && vec != 2;
    case EV_SWEXC: return vec == X86_BP || vec == X86_OF;
    }
    return false;
}

static bool segments_valid(const struct vcpu_state *st, bool lma)
{
    for (unsigned i = 0; i < SEG_NR; i++) {
        if (st->seg[i].attr & 0xf000) return false;
        bool wide = i >= SEG_FS;            /* bases of the others are 32 bits wide outside 64-bit mode */
        if (wide ? !is_canonical(st->seg[i].base) : (!lma && st->seg[i].base >> 32)) return false;
        if (!wide && !is_canonical(st->seg[i].base)) return false;
    }
    return true;
}

static bool state_valid(struct vcpu *v, const struct vcpu_state *st, u64 efer)
{
    const struct hvm_limits *l = &v->hvm->limits;
    bool lma = efer & EFER_LMA, pg = st->cr0 & CR0_PG;
    if (!hvm_cr0_valid(st->cr0) || (st->cr4 & ~l->cr4) || (efer & ~(l->efer | EFER_LMA))) return false;
    if (pg && (efer & EFER_LME) && (!(st->cr4 & CR4_PAE) || (st->seg[SEG_CS].attr & 0x600) == 0x600)) return false;
    if ((st->cr4 & CR4_PCIDE) && !lma) return false;
    if (st->cr3 >> l->phys_bits) return false;
    if (st->dr6 >> 32 || st->dr7 >> 32 || !hvm_pat_valid(st->pat)) return false;
    if (!hvm_xcr0_valid(v, st->xcr0 ?: 1)) return false;
    if (!is_canonical(st->lstar) || !is_canonical(st->cstar) || !is_canonical(st->kernel_gs_base)) return false;
    if (!is_canonical(st->sysenter_esp) || !is_canonical(st->sysenter_eip)) return false;
    if ((v->regs.rflags & 1u << 17) && (lma || !(st->cr0 & CR0_PE))) return false;  /* VM86 is 32-bit protected */
    return segments_valid(st, lma) && event_valid(st->pending_event);
}

/* CPL is a field of its own in the VMCB: 0 in real mode, 3 in VM86 mode, else the stack segment's DPL. */
static u8 cpl_of(const struct vcpu *v, const struct vcpu_state *st)
{
    if (!(st->cr0 & CR0_PE)) return 0;
    if (v->regs.rflags & 1u << 17) return 3;
    return st->seg[SEG_SS].attr >> 5 & 3;
}

/* The machine registers of a loaded vCPU that VMRUN does not switch. */
static void reload(struct svm_vcpu *s)
{
    struct svm_cpu *sc = this_cpu()->hw;
    if (s->dr_live) svm_intercept_dr(s, true);      /* loaded again at the next access */
    if (cpu_has(FEAT_RDTSCP)) {
        wrmsr(MSR_TSC_AUX, s->tsc_aux);
        sc->tsc_aux = s->tsc_aux;
    }
}

/* Software interrupts and exceptions are repeated, as after an exit: RIP is on the instruction. Injected, they would
 * return to what next_rip happens to hold (APM 2, 15.20). */
static void set_event(struct svm_vcpu *s, const struct vcpu_state *st)
{
    u32 e = st->pending_event;
    s->event = s->deferred = 0;
    if (!(e & EVENT_VALID) || EVENT_TYPE(e) == EV_SWINT || EVENT_TYPE(e) == EV_SWEXC) return;
    s->event = e | (u64)st->pending_error << 32;
}

int svm_set_state(struct vcpu *v, const struct vcpu_state *st)
{
    struct svm_vcpu *s = svm_vcpu(v);
    struct vmcb *b = s->vmcb;
    u64 efer = st->efer & ~EFER_LMA;
    if ((efer & EFER_LME) && (st->cr0 & CR0_PG)) efer |= EFER_LMA;
    if (!state_valid(v, st, efer)) return -EINVAL;

    if (hvm_set_xcr0(v, st->xcr0 ?: 1)) return -EINVAL;
    b->cr0 = (st->cr0 | CR0_ET) & ~(CR0_CD | CR0_NW);
    b->cr2 = st->cr2;
    b->cr3 = st->cr3;
    svm_set_cr4(s, st->cr4);
    b->efer = efer | EFER_SVME;
    b->v_tpr = vlapic_get_tpr(v) >> 4;
    for (unsigned i = 0; i < SEG_NR; i++) {
        const struct segment *x = &st->seg[i];
        *seg_of(b, i) = (struct vmcb_seg){ .sel = x->sel, .attr = x->attr, .limit = x->limit, .base = x->base };
    }
    b->cpl = cpl_of(v, st);
    b->star = st->star;
    b->lstar = st->lstar;
    b->cstar = st->cstar;
    b->sfmask = st->sfmask;
    b->kernel_gs_base = st->kernel_gs_base;
    b->sysenter_cs = st->sysenter_cs;
    b->sysenter_esp = st->sysenter_esp;
    b->sysenter_eip = st->sysenter_eip;
    b->g_pat = st->pat;
    b->debugctl = 0;                /* last-branch recording is not offered */
    b->intr_shadow = st->intr_shadow & 1;
    b->dr6 = st->dr6;
    b->dr7 = st->dr7;
    memcpy(s->dr, st->dr, sizeof(s->dr));
    s->tsc_aux = (u32)st->tsc_aux;
    s->spec_ctrl = b->spec_ctrl = st->spec_ctrl & v->hvm->limits.spec_ctrl;
    s->nmi_blocked = st->nmi_blocked;
    svm_no_step(s);
    if (s->nmi_blocked) b->intercept1 |= I1_IRET;
    else b->intercept1 &= ~(u32)I1_IRET;
    set_event(s, st);
    if (s->loaded) reload(s);
    svm_flush_tlb(v);
    svm_dirty(s, CL_ALL);
    return 0;
}

void svm_dump(struct vcpu *v)
{
    static const char *const names[SEG_NR] = { "es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr", "gdtr", "idtr" };
    const struct vcpu_regs *r = &v->regs;
    const struct svm_vcpu *s = svm_vcpu(v);
    const struct vmcb *b = s->vmcb;
    printk(LOG_ERR, "  rip %016lx  rsp %016lx  rflags %08lx  cpl %u  exit %#lx info %#lx %#lx\n", r->rip, r->rsp,
           r->rflags, b->cpl, b->exitcode, b->exitinfo1, b->exitinfo2);
    printk(LOG_ERR, "  rax %016lx  rbx %016lx  rcx %016lx  rdx %016lx\n", r->rax, r->rbx, r->rcx, r->rdx);
    printk(LOG_ERR, "  rsi %016lx  rdi %016lx  rbp %016lx  r8  %016lx\n", r->rsi, r->rdi, r->rbp, r->r8);
    printk(LOG_ERR, "  r9  %016lx  r10 %016lx  r11 %016lx  r12 %016lx\n", r->r9, r->r10, r->r11, r->r12);
    printk(LOG_ERR, "  r13 %016lx  r14 %016lx  r15 %016lx  cr2 %016lx\n", r->r13, r->r14, r->r15, b->cr2);
    printk(LOG_ERR, "  cr0 %08lx  cr3 %016lx  cr4 %08lx  efer %04lx  event %#lx  intinfo %#lx  asid %u\n", b->cr0,
           b->cr3, s->cr4, b->efer & ~EFER_SVME, s->event, b->exitintinfo, b->asid);
    for (unsigned i = 0; i < SEG_NR; i++) {
        struct segment x;
        svm_get_segment(v, i, &x);
        printk(LOG_ERR, "  %-4s sel %04x attr %04x limit %08x base %016lx\n", names[i], x.sel, x.attr, x.limit, x.base);
    }
}
