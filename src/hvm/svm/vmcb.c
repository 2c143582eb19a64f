/* SPDX-License-Identifier: MIT */
/* What a guest may do without us: intercepts, MSR permission map. APM 15.9 to 15.12, 15.25. */
#include "hvm/svm/svm.h"
#include "hvm/vlapic.h"
#include "cpu/cpu.h"
#include "cpu/x86.h"

const void *svm_msrpm;

/* Two bits per MSR (read, write; 1 = exit) in three ranges of 2000h MSRs (APM 15.11). Only MSRs that VMLOAD,
 * VMSAVE and VMRUN switch are open; the processor itself checks their values. */
bool svm_msrpm_init(void)
{
    static const u32 open[] = {
        MSR_SYSENTER_CS, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP, MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SFMASK,
        MSR_FS_BASE, MSR_GS_BASE, MSR_KERNEL_GS_BASE,
    };
    if (svm_msrpm) return true;
    u64 *m = pages_alloc(1);
    if (!m) return false;
    memset(m, 0xff, 2 * PAGE_SIZE);
    for (unsigned i = 0; i < ARRAY_SIZE(open); i++) {
        unsigned bit = (open[i] & 0x1fff) * 2 + (open[i] >= 0xc0000000 ? 0x800 * 8 : 0);
        bit_clear(m, bit);
        bit_clear(m, bit + 1);
    }
    svm_msrpm = m;
    return true;
}

void svm_intercept_dr(struct svm_vcpu *s, bool on)
{
    s->vmcb->dr_read = s->vmcb->dr_write = on ? 0xffff : 0;
    s->dr_live = !on;
    svm_dirty(s, CL_INTERCEPTS);
}

/*
 * CR0: only changes of other bits than TS and MP exit (selective intercept), to keep CD and NW off and to maintain
 * EFER.LMA. CR4 writes exit because bits must be hidden; CR8 writes because a lowered TPR may open an interrupt.
 * #DB and #AC always exit, or a guest could loop in their delivery for ever (XSA-156). INTR and NMI exit so that
 * the host gets them. INVLPGA and the SVM instructions are undefined for guests. Task switches, CR3, INVLPG, FPU
 * and ordinary exceptions stay inside the guest: nested paging needs none of them.
 */
static void set_intercepts(const struct domain *d, struct vmcb *b)
{
    b->cr_read = 0;
    b->cr_write = 1 << 4 | 1 << 8;
    b->exceptions = 1u << X86_DB | 1u << X86_AC | 1u << X86_MC;
    if (opt_hvm_fep && !d->is_hwdom) b->exceptions |= 1u << X86_UD;
    b->intercept1 = I1_INTR | I1_NMI | I1_INIT | I1_CR0_SEL | I1_RDPMC | I1_CPUID | I1_INVD | I1_HLT | I1_INVLPGA |
                    I1_IOIO | I1_MSR | I1_FERR | I1_SHUTDOWN;
    b->intercept2 = I2_VMRUN | I2_VMMCALL | I2_VMLOAD | I2_VMSAVE | I2_STGI | I2_CLGI | I2_SKINIT | I2_MONITOR |
                    I2_MWAIT | I2_XSETBV | I2_RDPRU;
    b->intercept3 = I3_INVLPGB | I3_INVLPGB_ILLEGAL | I3_MCOMMIT | I3_TLBSYNC;
    if (!d->is_hwdom) b->intercept2 |= I2_WBINVD;   /* no device reads its memory behind the caches */
    /* A spinning vCPU gives way. Only with next-RIP save: PAUSE is also REP NOP with other prefixes. */
    if (svm_has(SVMF_PAUSE) && svm_has(SVMF_NRIPS)) {
        b->intercept1 |= I1_PAUSE;
        b->pause_count = 3000;
        if (svm_has(SVMF_PAUSE_THRESHOLD)) b->pause_threshold = 128;
    }
}

int svm_vcpu_create(struct vcpu *v)
{
    struct svm_vcpu *s = kzalloc(sizeof(*s));
    if (!s) return -ENOMEM;
    struct vmcb *b = s->vmcb = page_alloc();
    if (!b) {
        kfree(s);
        return -ENOMEM;
    }
    s->vmcb_pa = virt_to_phys(b);
    v->hvm->vendor = s;
    set_intercepts(v->dom, b);
    svm_intercept_dr(s, true);
    b->iopm_base = virt_to_phys(pio_bitmap(v->dom));
    b->msrpm_base = virt_to_phys(svm_msrpm);
    b->v_ctl = 1;                   /* V_INTR_MASKING: guest's IF does not hold back host interrupts (I-19) */
    b->np_enable = 1;
    b->ncr3 = p2m_root(v->dom);
    b->efer = EFER_SVME;
    b->g_pat = 0x0007040600070406ULL;
    return 0;
}

void svm_vcpu_destroy(struct vcpu *v)
{
    struct svm_vcpu *s = svm_vcpu(v);
    if (!s) return;
    page_free(s->vmcb);
    kfree(s);
    v->hvm->vendor = NULL;
}

void svm_set_tsc_offset(struct vcpu *v, u64 offset, bool trap_rdtsc)
{
    struct svm_vcpu *s = svm_vcpu(v);
    struct vmcb *b = s->vmcb;
    b->tsc_offset = offset;
    if (trap_rdtsc) {
        b->intercept1 |= I1_RDTSC;
        b->intercept2 |= I2_RDTSCP;
    } else {
        b->intercept1 &= ~(u32)I1_RDTSC;
        b->intercept2 &= ~(u32)I2_RDTSCP;
    }
    svm_dirty(s, CL_INTERCEPTS);
}

void svm_update_policy(struct vcpu *v)
{
    struct svm_vcpu *s = svm_vcpu(v);
    hvm_refresh_limits(v);
    s->spec_ctrl = s->vmcb->spec_ctrl = s->spec_ctrl & v->hvm->limits.spec_ctrl;
    s->vmcb->iopm_base = virt_to_phys(pio_bitmap(v->dom));
    svm_dirty(s, CL_IOPM);
}
