/* SPDX-License-Identifier: MIT */
/* MSRs whose values live in the VMCB. -ENOENT: not here; -EINVAL: #GP. */
#include "hvm/svm/svm.h"
#include "cpu/x86.h"

static u64 *switched(struct vmcb *b, u32 msr)
{
    switch (msr) {
    case MSR_STAR: return &b->star;
    case MSR_LSTAR: return &b->lstar;
    case MSR_CSTAR: return &b->cstar;
    case MSR_SFMASK: return &b->sfmask;
    case MSR_FS_BASE: return &b->fs.base;
    case MSR_GS_BASE: return &b->gs.base;
    case MSR_KERNEL_GS_BASE: return &b->kernel_gs_base;
    case MSR_SYSENTER_CS: return &b->sysenter_cs;
    case MSR_SYSENTER_ESP: return &b->sysenter_esp;
    case MSR_SYSENTER_EIP: return &b->sysenter_eip;
    }
    return NULL;
}

int svm_rdmsr(struct vcpu *v, u32 msr, u64 *val)
{
    struct svm_vcpu *s = svm_vcpu(v);
    struct vmcb *b = s->vmcb;
    switch (msr) {
    case MSR_EFER: *val = b->efer & ~EFER_SVME; return 0;
    case MSR_PAT: *val = b->g_pat; return 0;
    case MSR_TSC_AUX:
        if (!v->hvm->limits.rdtscp) return -EINVAL;
        *val = s->tsc_aux;
        return 0;
    case MSR_SPEC_CTRL:
        if (!v->hvm->limits.spec_ctrl) return -EINVAL;
        *val = s->spec_ctrl;
        return 0;
    }
    const u64 *p = switched(b, msr);
    if (!p) return -ENOENT;
    *val = *p;
    return 0;
}

/* APM 3.1.7: LME cannot change while paging is on; LMA is ours and follows from LME and CR0.PG. */
static int write_efer(struct vcpu *v, struct svm_vcpu *s, u64 val)
{
    struct vmcb *b = s->vmcb;
    u64 old = b->efer;
    if (val & ~(v->hvm->limits.efer | EFER_LMA)) return -EINVAL;
    if (((old ^ val) & EFER_LME) && (b->cr0 & CR0_PG)) return -EINVAL;
    b->efer = (val & ~EFER_LMA) | (old & EFER_LMA) | EFER_SVME;
    svm_dirty(s, CL_CRX);
    if ((old ^ val) & EFER_NXE) svm_flush_tlb(v);
    return 0;
}

int svm_wrmsr(struct vcpu *v, u32 msr, u64 val)
{
    struct svm_vcpu *s = svm_vcpu(v);
    struct vmcb *b = s->vmcb;
    switch (msr) {
    case MSR_EFER: return write_efer(v, s, val);
    case MSR_PAT:
        if (!hvm_pat_valid(val)) return -EINVAL;
        b->g_pat = val;
        svm_dirty(s, CL_NP);
        svm_flush_tlb(v);
        return 0;
    case MSR_TSC_AUX:
        if (!v->hvm->limits.rdtscp || val >> 32) return -EINVAL;
        s->tsc_aux = val;
        if (s->loaded) {
            struct svm_cpu *sc = this_cpu()->hw;
            wrmsr(MSR_TSC_AUX, val);
            sc->tsc_aux = val;
        }
        return 0;
    case MSR_SPEC_CTRL:
        if (!v->hvm->limits.spec_ctrl || (val & ~(u64)v->hvm->limits.spec_ctrl)) return -EINVAL;
        s->spec_ctrl = s->vmcb->spec_ctrl = val;     /* the VMCB's counts with virtual SPEC_CTRL only */
        return 0;
    }
    u64 *p = switched(b, msr);
    if (!p) return -ENOENT;
    bool address = msr != MSR_STAR && msr != MSR_SFMASK && msr != MSR_SYSENTER_CS;
    if (address && !is_canonical(val)) return -EINVAL;
    *p = val;
    svm_dirty(s, CL_SEG);
    return 0;
}
