/* SPDX-License-Identifier: MIT */
/* Exit handlers, one row per exit code (design rule 2). APM 2, appendix C. */
#include "hvm/svm/svm.h"
#include "hvm/vlapic.h"
#include "cpu/x86.h"
#include "sched/sched.h"

#define HANDLER(name) static void name(struct vcpu *v, struct svm_vcpu *s, struct vmcb *b)

/* Interrupts, NMI, INIT for the host: they are taken when GIF is set again, or in irq_window(). */
HANDLER(x_nothing) {}

HANDLER(x_cpuid)
{
    unsigned len = svm_insn_len(v, s, IW_CPUID);
    if (unlikely(!len)) return;
    hvm_exit_cpuid(v);
    svm_skip(v, len);
}

HANDLER(x_vmmcall)
{
    u64 rip = v->regs.rip;
    unsigned len = svm_insn_len(v, s, IW_VMMCALL);
    if (unlikely(!len)) return;
    /* A call may give the vCPU a new state (loader_done): then RIP is not ours to move. */
    bool done = hvm_hypercall(v, b->cpl, b->efer & EFER_LMA, svm_long_code(b));
    if (done && likely(v->regs.rip == rip)) svm_skip(v, len);
}

HANDLER(x_msr)
{
    bool write = b->exitinfo1 & 1;
    unsigned len = svm_insn_len(v, s, write ? IW_WRMSR : IW_RDMSR);
    u32 msr = (u32)v->regs.rcx;
    u64 val;
    int rc;
    if (unlikely(!len)) return;
    if (write) {
        rc = hvm_wrmsr(v, msr, v->regs.rdx << 32 | (u32)v->regs.rax);
    } else if ((rc = hvm_rdmsr(v, msr, &val)) == 0) {
        v->regs.rax = (u32)val;
        v->regs.rdx = val >> 32;
    }
    if (likely(!rc)) svm_skip(v, len);
    else hvm_inject_exception(v, X86_GP, 0);
}

HANDLER(x_hlt)
{
    unsigned len = svm_insn_len(v, s, IW_HLT);
    if (unlikely(!len)) return;
    svm_skip(v, len);
    hvm_hlt(v);
}

static void rdtsc_exit(struct vcpu *v, struct svm_vcpu *s, struct vmcb *b, bool p)
{
    unsigned len = svm_insn_len(v, s, p ? IW_RDTSCP : IW_RDTSC);
    if (unlikely(!len)) return;
    u64 tsc = rdtsc() + b->tsc_offset;
    v->regs.rax = (u32)tsc;
    v->regs.rdx = tsc >> 32;
    if (p) v->regs.rcx = (u32)s->tsc_aux;
    svm_skip(v, len);
}

HANDLER(x_rdtscp) { rdtsc_exit(v, s, b, true); }

/* QEMU's TCG reports RDTSCP with this code too. */
HANDLER(x_rdtsc)
{
    u8 p[15];
    unsigned n;
    if (!svm_has(SVMF_NRIPS) && (n = emul_fetch(v, p, sizeof(p))) >= 3)
        for (unsigned i = 0; i + 2 < n; i++)
            if (p[i] == 0x0f) {
                rdtsc_exit(v, s, b, p[i + 1] == 0x01);
                return;
            }
    rdtsc_exit(v, s, b, false);
}

/* XCR0 only; the CPU has not checked CPL or value (APM 15.9, table 15-7). */
HANDLER(x_xsetbv)
{
    unsigned len = svm_insn_len(v, s, IW_XSETBV);
    if (unlikely(!len)) return;
    if (!(s->cr4 & CR4_OSXSAVE)) hvm_inject_exception(v, X86_UD, NO_ERROR_CODE);
    else if (b->cpl || (u32)v->regs.rcx || hvm_set_xcr0(v, v->regs.rdx << 32 | (u32)v->regs.rax))
        hvm_inject_exception(v, X86_GP, 0);
    else svm_skip(v, len);
}

/* INVD would lose host data: dom0 gets a write-back, others nothing. WBINVD exits only from others. */
static void cache_exit(struct vcpu *v, struct svm_vcpu *s, enum insn_what what)
{
    unsigned len = svm_insn_len(v, s, what);
    if (unlikely(!len)) return;
    if (v->dom->is_hwdom) wbinvd();
    svm_skip(v, len);
}
HANDLER(x_invd) { cache_exit(v, s, IW_INVD); }
HANDLER(x_wbinvd) { cache_exit(v, s, IW_WBINVD); }

HANDLER(x_pause)
{
    unsigned len = svm_insn_len(v, s, IW_PAUSE);
    if (len) svm_skip(v, len);
    vcpu_yield();
}

HANDLER(x_undefined) { hvm_exit_ud(v); }
HANDLER(x_ud) { hvm_inject_exception(v, X86_UD, NO_ERROR_CODE); }
HANDLER(x_gp) { hvm_inject_exception(v, X86_GP, 0); }
HANDLER(x_ac) { hvm_inject_exception(v, X86_AC, (u32)b->exitinfo1); }
HANDLER(x_vintr) { svm_want_intr_window(v, false); }    /* the window is open: hvm_run() injects */
HANDLER(x_shutdown) { hvm_triple_fault(v); }
HANDLER(x_npf) { hvm_npf(v, b->exitinfo2, b->exitinfo1); }

/* An intercepted machine check is not delivered to the host by itself. */
HANDLER(x_mc) { raise_machine_check(); }

struct svm_exit_row { const char *name; void (*fn)(struct vcpu *, struct svm_vcpu *, struct vmcb *); };
#define ROW(n, f) { n, f }
static const struct svm_exit_row rows[EXIT_NR] = {
    [EXIT_CR_READ + 4] = ROW("CR4 read", svm_exit_cr_read),
    [EXIT_CR_WRITE + 4] = ROW("CR4 write", svm_exit_cr_write),
    [EXIT_CR_WRITE + 8] = ROW("CR8 write", svm_exit_cr_write),
    [EXIT_DR_READ ... EXIT_DR_READ + 15] = ROW("DR read", svm_exit_dr),
    [EXIT_DR_WRITE ... EXIT_DR_WRITE + 15] = ROW("DR write", svm_exit_dr),
    [EXIT_EXCEPTION + X86_DB] = ROW("#DB", svm_exit_db),
    [EXIT_EXCEPTION + X86_TS ... EXIT_EXCEPTION + X86_PF] = ROW("fault of a step", svm_exit_step_fault),
    [EXIT_EXCEPTION + X86_UD] = ROW("#UD", x_undefined),
    [EXIT_EXCEPTION + X86_AC] = ROW("#AC", x_ac),
    [EXIT_EXCEPTION + X86_MC] = ROW("#MC", x_mc),
    [EXIT_INTR] = ROW("INTR", x_nothing),
    [EXIT_NMI] = ROW("NMI", x_nothing),
    [EXIT_INIT] = ROW("INIT", x_nothing),
    [EXIT_VINTR] = ROW("VINTR", x_vintr),
    [EXIT_CR0_SEL] = ROW("CR0 write", svm_exit_cr_write),
    [EXIT_RDTSC] = ROW("RDTSC", x_rdtsc),
    [EXIT_RDPMC] = ROW("RDPMC", x_gp),              /* no virtual PMU */
    [EXIT_CPUID] = ROW("CPUID", x_cpuid),
    [EXIT_IRET] = ROW("IRET", svm_exit_iret),
    [EXIT_INVD] = ROW("INVD", x_invd),
    [EXIT_PAUSE] = ROW("PAUSE", x_pause),
    [EXIT_HLT] = ROW("HLT", x_hlt),
    [EXIT_INVLPGA] = ROW("INVLPGA", x_ud),
    [EXIT_IOIO] = ROW("IOIO", svm_exit_io),
    [EXIT_MSR] = ROW("MSR", x_msr),
    [EXIT_FERR] = ROW("FERR_FREEZE", x_nothing),
    [EXIT_SHUTDOWN] = ROW("SHUTDOWN", x_shutdown),
    [EXIT_VMRUN] = ROW("VMRUN", x_ud),              /* EFER.SVME is clear in the guest's eyes (XSA-278) */
    [EXIT_VMMCALL] = ROW("VMMCALL", x_vmmcall),
    [EXIT_VMLOAD] = ROW("VMLOAD", x_ud),
    [EXIT_VMSAVE] = ROW("VMSAVE", x_ud),
    [EXIT_STGI] = ROW("STGI", x_ud),
    [EXIT_CLGI] = ROW("CLGI", x_ud),
    [EXIT_SKINIT] = ROW("SKINIT", x_ud),
    [EXIT_RDTSCP] = ROW("RDTSCP", x_rdtscp),
    [EXIT_WBINVD] = ROW("WBINVD", x_wbinvd),
    [EXIT_MONITOR] = ROW("MONITOR", x_ud),
    [EXIT_MWAIT] = ROW("MWAIT", x_ud),
    [EXIT_MWAIT_ARMED] = ROW("MWAIT armed", x_ud),
    [EXIT_XSETBV] = ROW("XSETBV", x_xsetbv),
    [EXIT_RDPRU] = ROW("RDPRU", x_ud),
    [EXIT_INVLPGB] = ROW("INVLPGB", x_ud),
    [EXIT_INVLPGB_ILLEGAL] = ROW("INVLPGB illegal", x_ud),
    [EXIT_MCOMMIT] = ROW("MCOMMIT", x_ud),
    [EXIT_TLBSYNC] = ROW("TLBSYNC", x_ud),
};

void svm_exit(struct vcpu *v, struct svm_vcpu *s, struct vmcb *b)
{
    u64 code = b->exitcode;
    if (code == EXIT_NPF) {
        x_npf(v, s, b);
        return;
    }
    if (likely(code < EXIT_NR)) {
        const struct svm_exit_row *r = &rows[index_nospec(code, EXIT_NR)];
        if (likely(r->fn)) {
            r->fn(v, s, b);
            return;
        }
    }
    if (code == EXIT_INVALID)
        domain_crash(v->dom, "VMRUN refused the state of vcpu#%u\n", v->id);
    else
        domain_crash(v->dom, "unexpected exit %#lx, info %#lx %#lx\n", code, b->exitinfo1, b->exitinfo2);
}
