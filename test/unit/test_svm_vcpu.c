/* SPDX-License-Identifier: MIT */
/* SVM: what a CPU must have, intercepts, vCPU state in and out, events, windows, address space numbers, entry. */
#include "svm_env.h"

/* ---- the processor ---- */
static struct { u32 leaf; unsigned reg; u32 clear, set; } change;
static void changed_cpuid(u32 leaf, u32 sub, struct cpuid_regs *out)
{
    u32 *r = &out->a + change.reg;

    if (leaf == change.leaf)
        *r = (*r & ~change.clear) | change.set;
}

static void qemu_cpuid(u32 leaf, u32 sub, struct cpuid_regs *out)
{
    if (leaf == 0x40000000)
        memcpy(&out->b, "TCGTCGTCGTCG", 12);
    if (leaf == 0x8000000a)
        out->d = SVMF_NPT;
}

static void cpu_needs(void **st)
{
    static const struct { u32 leaf; unsigned reg; u32 clear, set; const char *log; } lacks[] = {
        { 0x80000000, 0, ~0u, 0x80000008, "the CPU has no SVM" },
        { 0x80000001, 2, 4, 0, "the CPU has no SVM" },
        { 0x8000000a, 3, SVMF_NPT, 0, "the CPU has SVM but no nested paging" },
        { 0x8000000a, 1, ~0u, 1, "the CPU has SVM but no address space identifiers" },
    };

    for (unsigned i = 0; i < ARRAY_SIZE(lacks); i++) {
        svm_cpus(1);
        memcpy(&change, &lacks[i], sizeof(change));
        fake_cpuid_hook = changed_cpuid;
        assert_int_equal(svm_ops.cpu_up(), -ENODEV);
        assert_non_null(strstr(fake_log, lacks[i].log));
        assert_null(cpus[0]->hw);
        assert_int_equal(*fake_msr(MSR_EFER) & EFER_SVME, 0);
    }
    svm_cpus(1);
    *fake_msr(MSR_VM_CR) = VM_CR_SVMDIS;
    assert_int_equal(svm_ops.cpu_up(), -ENODEV);
    assert_non_null(strstr(fake_log, "switched off by the firmware"));
    *fake_msr(MSR_VM_CR) = VM_CR_LOCK;
    assert_int_equal(svm_ops.cpu_up(), 0);
    assert_true(*fake_msr(MSR_EFER) & EFER_SVME);
    assert_int_equal(*fake_msr(MSR_VM_HSAVE_PA), virt_to_phys(((struct svm_cpu *)cpus[0]->hw)->host_save));
    assert_int_equal(*fake_msr(MSR_TSC_RATIO), 1ULL << 32);
    assert_non_null(strstr(fake_log, "next-RIP save"));
    assert_non_null(strstr(fake_log, "lacks: -"));
}

static void cpus_differ(void **st)
{
    svm_cpus(2);
    assert_int_equal(svm_ops.cpu_up(), 0);
    this_cpu_ptr = cpus[1];
    memcpy(&change, &(__typeof__(change)){ 0x8000000a, 3, SVMF_NRIPS, 0 }, sizeof(change));
    fake_cpuid_hook = changed_cpuid;
    assert_int_equal(svm_ops.cpu_up(), -ENODEV);
    assert_non_null(strstr(fake_log, "boot CPU has"));
    fake_cpuid_hook = NULL;
    assert_int_equal(svm_ops.cpu_up(), 0);
}

static void no_memory_for_a_cpu(void **st)
{
    for (unsigned k = 1;; k++) {
        svm_cpus(1);
        fake_fail_at(k);
        int rc = svm_ops.cpu_up();
        if (!fake_failed()) {
            assert_int_equal(rc, 0);
            assert_true(k > 3);
            break;
        }
        assert_int_equal(rc, -ENOMEM);
    }
}

static bool exits_on(const u8 *m, u32 msr, bool write)
{
    unsigned bit = (msr & 0x1fff) * 2 + write + (msr >= 0xc0010000 ? 0x8000u : msr >= 0xc0000000 ? 0x4000u : 0);

    return m[bit / 8] >> bit % 8 & 1;
}

/* Only what VMLOAD, VMSAVE and VMRUN switch is open (APM 15.11). */
static void msr_permissions(void **st)
{
    static const u32 open[] = { 0x174, 0x175, 0x176, 0xc0000081, 0xc0000082, 0xc0000083, 0xc0000084, 0xc0000100,
                                0xc0000101, 0xc0000102 };
    static const u32 base[] = { 0, 0xc0000000, 0xc0010000 };
    unsigned found = 0;

    svm_cpus(1);
    cpus_up();
    for (unsigned r = 0; r < 3; r++)
        for (u32 n = 0; n < 0x2000; n++)
            for (unsigned w = 0; w < 2; w++) {
                bool want = true;
                for (unsigned i = 0; i < ARRAY_SIZE(open); i++)
                    want &= open[i] != base[r] + n;
                assert_int_equal(exits_on(svm_msrpm, base[r] + n, w), want);
                found += !want;
            }
    assert_int_equal(found, 2 * ARRAY_SIZE(open));
    const void *m = svm_msrpm;
    assert_true(svm_msrpm_init() && svm_msrpm == m);
}

static void no_memory_for_a_vcpu(void **st)
{
    svm_guest(0);
    struct vcpu *more = d0->vcpu[0];
    u64 before = heap_objects();

    hvm_vcpu_destroy(more);
    struct hvm_vcpu no_vendor = { .vendor = NULL };
    struct vcpu never_made = { .hvm = &no_vendor };
    svm_vcpu_destroy(&never_made);
    u64 without = heap_objects();
    for (unsigned k = 1;; k++) {
        fake_fail_at(k);
        int rc = hvm_vcpu_init(more);
        if (!fake_failed()) {
            assert_int_equal(rc, 0);
            break;
        }
        assert_int_equal(rc, -ENOMEM);
        assert_int_equal(heap_objects(), without);
    }
    assert_int_equal(heap_objects(), before);
}

static void intercepts(void **st)
{
    svm_guest(0);
    const struct vmcb *host = svm_vcpu(d0->vcpu[0])->vmcb;
    const u32 always1 = I1_INTR | I1_NMI | I1_INIT | I1_CR0_SEL | I1_CPUID | I1_HLT | I1_IOIO | I1_MSR | I1_SHUTDOWN | I1_INVLPGA;
    const u32 always2 = I2_VMRUN | I2_VMMCALL | I2_VMLOAD | I2_VMSAVE | I2_STGI | I2_CLGI | I2_SKINIT | I2_XSETBV | I2_MWAIT;

    assert_int_equal(b->intercept1 & always1, always1);
    assert_int_equal(b->intercept2 & always2, always2);
    assert_true(b->exceptions & 1u << X86_DB && b->exceptions & 1u << X86_AC && b->exceptions & 1u << X86_MC);
    assert_true(b->intercept2 & I2_WBINVD);
    assert_false(host->intercept2 & I2_WBINVD);
    assert_false(b->intercept1 & I1_PAUSE);
    assert_int_equal(b->np_enable, 1);
    assert_int_equal(b->v_ctl, 1);
    assert_int_equal(b->ncr3, p2m_root(d));
    assert_int_not_equal(b->ncr3, host->ncr3);
    assert_true(b->efer & EFER_SVME);
    svm_guest(SVMF_PAUSE | SVMF_NRIPS);
    assert_true(b->intercept1 & I1_PAUSE && b->pause_count == 3000 && !b->pause_threshold);
    svm_guest(SVMF_PAUSE | SVMF_NRIPS | SVMF_PAUSE_THRESHOLD);
    assert_int_equal(b->pause_threshold, 128);
    svm_guest(SVMF_PAUSE);
    assert_false(b->intercept1 & I1_PAUSE);
}

/* ---- state ---- */
static struct vcpu_state good_state(void)
{
    struct vcpu_state x;

    long_mode();
    svm_get_state(v, &x);
    return x;
}

static void state_round_trip(void **st)
{
    svm_guest(0);
    v->hvm->limits.rdtscp = true;
    v->hvm->limits.spec_ctrl = SPEC_CTRL_IBRS;
    struct vcpu_state x = good_state(), y;
    x.cr2 = 0x1234000;
    x.dr[0] = 0x1000; x.dr[1] = 0x2000; x.dr[2] = 0x3000; x.dr[3] = 0x4000;
    x.dr6 = 0xffff0ff1;
    x.dr7 = 0x402;
    x.star = 0x23001000000000;
    x.lstar = 0xffffffff81000000;
    x.cstar = 0xffffffff82000000;
    x.sfmask = 0x47700;
    x.kernel_gs_base = 0xffff888000000000;
    x.sysenter_cs = 0x10;
    x.sysenter_esp = 0xffffc90000000000;
    x.sysenter_eip = 0xffffffff83000000;
    x.pat = 0x0007010600070106;
    x.tsc_aux = 5;
    x.spec_ctrl = 1;
    x.intr_shadow = 1;
    x.nmi_blocked = true;
    x.seg[SEG_FS].base = 0xffff800000000000;
    x.seg[SEG_DS].sel = 0x18;
    x.seg[SEG_IDTR].limit = 0xfff;
    x.pending_event = EVENT_VALID | EVENT_HAS_ERROR | SVM_EXCEPTION << 8 | X86_PF;
    x.pending_error = 6;
    assert_int_equal(svm_set_state(v, &x), 0);
    svm_get_state(v, &y);
    assert_memory_equal(&x, &y, sizeof(x));
    assert_true(b->intercept1 & I1_IRET);
    assert_int_equal(s->event, x.pending_event | 6ULL << 32);
    assert_int_equal(*fake_msr(MSR_TSC_AUX), 5);            /* loaded: the register too */
    assert_int_equal(b->clean, 0);
    /* A paused one: registers of the CPU stay as they are. */
    svm_ops.unload(v);
    x.tsc_aux = 6;
    x.nmi_blocked = false;
    x.pending_event = 0;
    x.pending_error = 0;
    assert_int_equal(svm_set_state(v, &x), 0);
    assert_int_equal(*fake_msr(MSR_TSC_AUX), 5);
    assert_false(b->intercept1 & I1_IRET);
    assert_int_equal(s->event, 0);
    v->hvm->limits.spec_ctrl = 0;
    assert_int_equal(svm_set_state(v, &x), 0);
    assert_int_equal(s->spec_ctrl, 0);
}

/* What an instruction raised is raised again by it: RIP is on it. */
static void pending_events(void **st)
{
    static const struct { u32 event; bool good; u64 want; } t[] = {
        { 0, true, 0 }, { X86_GP, true, 0 },                                            /* not valid: nothing */
        { EVENT_VALID | EV_EXTINT << 8 | 0x41, true, EVENT_VALID | 0x41 },
        { EVENT_VALID | EV_NMI << 8 | 2, true, EVENT_VALID | SVM_NMI << 8 | 2 },
        { EVENT_VALID | EV_NMI << 8 | 3, false, 0 },
        { EVENT_VALID | EV_EXCEPTION << 8 | X86_UD, true, EXC(X86_UD) },
        { EVENT_VALID | EVENT_HAS_ERROR | EV_EXCEPTION << 8 | X86_GP, true, EXC(X86_GP) | EVENT_HAS_ERROR },
        { EVENT_VALID | EV_EXCEPTION << 8 | 2, false, 0 },
        { EVENT_VALID | EV_EXCEPTION << 8 | 32, false, 0 },
        { EVENT_VALID | EV_SWINT << 8 | 0x80, true, 0 },
        { EVENT_VALID | EV_SWEXC << 8 | X86_BP, true, 0 },
        { EVENT_VALID | EV_SWEXC << 8 | X86_OF, true, 0 },
        { EVENT_VALID | EV_SWEXC << 8 | X86_UD, false, 0 },
        { EVENT_VALID | EVENT_HAS_ERROR | EV_EXTINT << 8 | 0x41, false, 0 },
        { EVENT_VALID | 1 << 8, false, 0 }, { EVENT_VALID | 5 << 8, false, 0 }, { EVENT_VALID | 7 << 8, false, 0 },
        { EVENT_VALID | 1 << 12, false, 0 }, { EVENT_VALID | 1 << 30, false, 0 },
    };

    svm_guest(0);
    struct vcpu_state x = good_state();
    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        s->event = 0;
        x.pending_event = t[i].event;
        assert_int_equal(svm_set_state(v, &x), t[i].good ? 0 : -EINVAL);
        assert_int_equal(s->event, t[i].want);
    }
    /* A displaced one counts as pending. */
    s->event = 0;
    s->deferred = EVENT_VALID | 0x33;
    svm_get_state(v, &x);
    assert_int_equal(x.pending_event, EVENT_VALID | 0x33);
}

/* What would make VMRUN fail, or give the guest more than its policy, is refused and changes nothing (I-19). */
#define BAD(...) do { \
    struct vcpu_state x = good; \
    struct vmcb before = *b; \
    __VA_ARGS__; \
    assert_int_equal(svm_set_state(v, &x), -EINVAL); \
    assert_memory_equal(&before, b, sizeof(before)); \
    assert_int_equal(svm_set_state(v, &good), 0); } while (0)
static void bad_states(void **st)
{
    svm_guest(0);
    const struct vcpu_state good = good_state();

    BAD(x.cr0 |= 1ULL << 32);
    BAD(x.cr0 &= ~CR0_PE);
    BAD(x.cr0 |= CR0_NW);
    BAD(x.cr4 |= CR4_VMXE);
    BAD(x.cr4 |= 1ULL << 40);
    BAD(x.efer |= EFER_SVME);
    BAD(x.efer |= 1ULL << 40);
    BAD(x.cr4 &= ~CR4_PAE);
    BAD(x.seg[SEG_CS].attr |= 0x400);                           /* L and D */
    BAD(x.efer &= ~EFER_LME; x.cr4 |= CR4_PCIDE);
    BAD(x.cr3 = 1ULL << 50);
    BAD(x.dr6 |= 1ULL << 32);
    BAD(x.dr7 |= 1ULL << 32);
    BAD(x.pat = 2);
    BAD(x.pat = 3);
    BAD(x.pat = 8);
    BAD(x.xcr0 = 1ULL << 40);
    BAD(x.lstar = 1ULL << 60);
    BAD(x.cstar = 1ULL << 60);
    BAD(x.kernel_gs_base = 1ULL << 60);
    BAD(x.sysenter_esp = 1ULL << 60);
    BAD(x.sysenter_eip = 1ULL << 60);
    v->regs.rflags |= 1 << 17;                                  /* VM86 in 64-bit mode */
    assert_int_equal(svm_set_state(v, &good), -EINVAL);
    v->regs.rflags = 2;
    for (unsigned i = 0; i < SEG_NR; i++) {
        BAD(x.seg[i].attr |= 0x1000);
        BAD(x.seg[i].base = 1ULL << 60);
        if (i < SEG_FS)
            BAD(x.seg[i].base = 1ULL << 33; x.efer = 0; x.cr0 &= ~CR0_PG);
    }
}

static void privilege_of_states(void **st)
{
    svm_guest(0);
    hvm_set_pvh_entry(v, CODE, 0);
    struct vcpu_state x;
    struct paging_state ps;

    svm_get_state(v, &x);
    x.seg[SEG_SS].attr |= 0x60;
    assert_int_equal(svm_set_state(v, &x), 0);
    svm_get_paging(v, &ps);
    assert_int_equal(ps.cpl, 3);
    v->regs.rflags |= 1 << 17;                                  /* VM86 */
    x.seg[SEG_SS].attr &= (u16)~0x60;
    assert_int_equal(svm_set_state(v, &x), 0);
    assert_int_equal(b->cpl, 3);
    v->regs.rflags = 2;
    x.cr0 = CR0_ET;                                             /* real mode */
    x.seg[SEG_SS].attr |= 0x60;
    x.cr4 = 0;
    assert_int_equal(svm_set_state(v, &x), 0);
    assert_int_equal(b->cpl, 0);
    v->regs.rflags |= 1 << 17;                                  /* no VM86 in real mode */
    assert_int_equal(svm_set_state(v, &x), -EINVAL);
    v->regs.rflags = 2;
    /* EFER.SVME is never seen; CD and NW never set. */
    x.cr0 = CR0_ET | CR0_CD | CR0_NW;
    assert_int_equal(svm_set_state(v, &x), 0);
    assert_int_equal(b->cr0, CR0_ET);
    svm_get_paging(v, &ps);
    assert_int_equal(ps.efer & EFER_SVME, 0);
}

static void dump_shows(void **st)
{
    svm_guest(0);
    v->regs.rbx = 0x1122334455667788;
    v->regs.r15 = 0x99aabbccddeeff00;
    b->exitcode = EXIT_NPF;
    svm_dump(v);
    assert_non_null(strstr(fake_log, "rip 0000000000012000"));
    assert_non_null(strstr(fake_log, "rbx 1122334455667788"));
    assert_non_null(strstr(fake_log, "r15 99aabbccddeeff00"));
    assert_non_null(strstr(fake_log, "exit 0x400"));
    assert_non_null(strstr(fake_log, "  cs   sel 0000 attr 0c9b limit ffffffff"));
}

/* ---- events ---- */
static bool is_contributory(unsigned e) { return e == X86_DE || (e >= X86_TS && e <= X86_GP); }
static bool pushes_error(unsigned e) { return e == X86_DF || (e >= X86_TS && e <= X86_PF) || e == X86_AC || e == X86_CP; }

/* APM 8.2.9, table 8-1, over all pairs. */
static void two_exceptions(void **st)
{
    svm_guest(0);
    for (unsigned first = 0; first < 32; first++)
        for (unsigned second = 0; second < 32; second++) {
            bool dbl = (is_contributory(first) && is_contributory(second)) ||
                       (first == X86_PF && (second == X86_PF || is_contributory(second)));
            d->shut_down = false;
            s->event = 0;
            svm_inject(v, EV_EXCEPTION, (u8)first, 0x10);
            assert_int_equal(take_event(), pushes_error(first) ? EXC_ERR(first, 0x10) : EXC(first));
            svm_inject(v, EV_EXCEPTION, (u8)first, 0x10);
            svm_inject(v, EV_EXCEPTION, (u8)second, 0x20);
            if (first == X86_DF) {
                assert_true(d->shut_down && d->shutdown_code == SHUTDOWN_reboot);
                domain_resume(d);
            } else {
                assert_int_equal(s->event, dbl ? EXC_ERR(X86_DF, 0) : pushes_error(second) ? EXC_ERR(second, 0x20)
                                                                                           : EXC(second));
            }
            assert_false(s->deferred);
            take_event();
        }
}

static void event_forms(void **st)
{
    svm_guest(0);
    svm_inject(v, EV_EXCEPTION, X86_GP, NO_ERROR_CODE);
    assert_int_equal(take_event(), EXC(X86_GP) | EVENT_HAS_ERROR);
    svm_inject(v, EV_SWEXC, X86_BP, NO_ERROR_CODE);
    assert_int_equal(take_event(), EXC(X86_BP));
    b->cr0 &= ~CR0_PE;                                      /* real mode pushes none */
    svm_inject(v, EV_EXCEPTION, X86_GP, 0x18);
    assert_int_equal(take_event(), EXC(X86_GP));
    b->cr0 |= CR0_PE;
    assert_false(svm_event_queued(v));
    /* An interrupt that was acknowledged, and an NMI, are not lost to an exception. */
    svm_inject(v, EV_EXTINT, 0x55, NO_ERROR_CODE);
    svm_inject(v, EV_EXCEPTION, X86_PF, 4);
    assert_int_equal(s->event, EXC_ERR(X86_PF, 4));
    assert_int_equal(s->deferred, EVENT_VALID | 0x55);
    take_event();
    svm_inject(v, EV_NMI, 2, NO_ERROR_CODE);
    assert_true(s->nmi_blocked && b->intercept1 & I1_IRET && !svm_nmi_open(v));
    svm_inject(v, EV_EXCEPTION, X86_UD, NO_ERROR_CODE);
    assert_int_equal(s->deferred, EVENT_VALID | SVM_NMI << 8 | 2);
    take_event();
    svm_inject(v, EV_SWINT, 0x80, NO_ERROR_CODE);           /* a software interrupt will be executed again */
    svm_inject(v, EV_EXCEPTION, X86_GP, 0);
    assert_int_equal(s->event, EXC_ERR(X86_GP, 0));
    assert_false(s->deferred);
}

static void deferred_events(void **st)
{
    svm_guest(0);
    CODE_BYTES(0x90);
    v->regs.rflags = 2;                                     /* IF off: the interrupt waits for its window */
    s->deferred = EVENT_VALID | 0x55;
    assert_true(svm_event_queued(v));
    run(EXIT_INTR, 0, 0);
    assert_int_equal(entered.eventinj, 0);
    assert_true(entered.intercept1 & I1_VINTR && entered.v_irq == 1 && entered.v_prio == 0x1f);
    run(EXIT_VINTR, 0, 0);
    assert_false(b->intercept1 & I1_VINTR);
    assert_int_equal(b->v_irq, 0);
    v->regs.rflags |= RFLAGS_IF;
    run(EXIT_INTR, 0, 0);
    assert_int_equal(entered.eventinj, EVENT_VALID | 0x55);
    assert_false(svm_event_queued(v));
    /* The exception goes first. */
    s->deferred = EVENT_VALID | SVM_NMI << 8 | 2;
    s->event = EXC(X86_UD);
    run(EXIT_INTR, 0, 0);
    assert_int_equal(entered.eventinj, EXC(X86_UD));
    run(EXIT_INTR, 0, 0);
    assert_int_equal(entered.eventinj, EVENT_VALID | SVM_NMI << 8 | 2);
}

/* The exit interrupted a delivery: again, but what an instruction raised is raised again by it. */
static void interrupted_deliveries(void **st)
{
    static const struct { u64 info, want; } t[] = {
        { 0, 0 }, { EVENT_VALID | 0x55, EVENT_VALID | 0x55 }, { EXC_ERR(X86_PF, 2), EXC_ERR(X86_PF, 2) },
        { EVENT_VALID | SVM_SWINT << 8 | 0x80, 0 }, { EXC(X86_BP), 0 }, { EXC(X86_OF), 0 },
        { EVENT_VALID | SVM_NMI << 8 | 2, EVENT_VALID | SVM_NMI << 8 | 2 },
    };

    svm_guest(0);
    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        next.intinfo = t[i].info;
        run(EXIT_INTR, 0, 0);
        assert_int_equal(take_event(), t[i].want);
    }
}

static void windows(void **st)
{
    svm_guest(0);
    CODE_BYTES(0x90);
    v->regs.rflags = 2 | RFLAGS_IF;
    b->intr_shadow = 0;
    assert_true(svm_intr_open(v) && svm_nmi_open(v));
    v->regs.rflags = 2;
    assert_false(svm_intr_open(v));
    v->regs.rflags = 2 | RFLAGS_IF;
    b->intr_shadow = 1;
    assert_false(svm_intr_open(v) || svm_nmi_open(v));
    /* STI; HLT: the halt would end at once. */
    CODE_BYTES(0xf4);
    assert_true(svm_intr_open(v));
    assert_int_equal(v->regs.rip, CODE + 1);
    assert_int_equal(b->intr_shadow, 0);
    b->intr_shadow = 1;
    put_code("\xf4", 1);
    v->regs.rflags |= RFLAGS_TF;                            /* it traps instead */
    assert_false(svm_intr_open(v));
    assert_int_equal(take_event(), EXC(X86_DB));
    v->regs.rflags = 2 | RFLAGS_IF;
    b->intr_shadow = 1;
    put_code("\xf4", 1);
    b->cpl = 3;
    assert_false(svm_intr_open(v));
    b->cpl = 0;
    s->event = EXC(X86_UD);
    assert_false(svm_intr_open(v));
    take_event();
    /* Asking twice changes nothing. */
    svm_want_intr_window(v, true);
    b->clean = CL_ALL;
    svm_want_intr_window(v, true);
    assert_int_equal(b->clean, CL_ALL);
    svm_want_intr_window(v, false);
    assert_false(b->intercept1 & I1_VINTR || s->window);
}

static void nmi_windows(void **st)
{
    svm_guest(0);
    /* Behind a shadow: one step. */
    v->regs.rflags = 2;
    b->intr_shadow = 0;
    svm_want_nmi_window(v);
    assert_int_equal(s->step, STEP_NONE);
    b->intr_shadow = 1;
    svm_want_nmi_window(v);
    assert_int_equal(s->step, STEP_SHADOW);
    assert_true(v->regs.rflags & RFLAGS_TF);
    svm_want_nmi_window(v);                                 /* under way */
    b->dr6 = 0xffff0ff0 | 1 << 14;
    b->intr_shadow = 0;
    run(EXIT_EXCEPTION + X86_DB, 0, 0);
    assert_int_equal(s->step, STEP_NONE);
    assert_int_equal(take_event(), 0);
    assert_false(b->dr6 & 1 << 14);
    /* The guest steps itself: its trap comes without our help. */
    b->intr_shadow = 1;
    v->regs.rflags |= RFLAGS_TF;
    svm_want_nmi_window(v);
    assert_int_equal(s->step, STEP_NONE);
    b->intr_shadow = 0;
    v->regs.rflags = 2;
    /* In an NMI handler: until IRET is done. */
    svm_inject(v, EV_NMI, 2, NO_ERROR_CODE);
    take_event();
    svm_want_nmi_window(v);
    assert_int_equal(s->step, STEP_NONE);
    run(EXIT_IRET, 0, 0);
    assert_int_equal(s->step, STEP_IRET);
    assert_true(s->nmi_blocked && !(b->intercept1 & I1_IRET));
    b->dr6 = 0xffff0ff0 | 1 << 14 | 1;                      /* and a breakpoint of the guest's */
    run(EXIT_EXCEPTION + X86_DB, 0, 0);
    assert_false(s->nmi_blocked);
    assert_int_equal(take_event(), EXC(X86_DB));
    /* A #DB that is not our step is the guest's. */
    s->step = STEP_SHADOW;
    b->dr6 = 0xffff0ff1;
    run(EXIT_EXCEPTION + X86_DB, 0, 0);
    assert_int_equal(take_event(), EXC(X86_DB));
    assert_int_equal(s->step, STEP_SHADOW);
}

/* ---- entry ---- */
static void entry_moves_registers(void **st)
{
    svm_guest(0);
    v->regs.rax = 1;
    v->regs.rsp = 2;
    v->regs.rflags = ~0ULL;
    CODE_BYTES(0x90);
    run(EXIT_INTR, 0, 0);
    assert_true(entered.rax == 1 && entered.rsp == 2 && entered.rip == CODE);
    assert_int_equal(entered.rflags & ~0x3f7fd7ULL, 0);
    assert_int_equal(b->clean, CL_ALL);
    assert_int_equal(b->tlb_control, TLB_KEEP);
    b->rax = 7;
    b->rip = 0x777;
    run(EXIT_INTR, 0, 0);
    assert_true(entered.rax == 1 && v->regs.rax == 1);      /* the VMCB is not where registers live */
}

static void reschedule_before_entry(void **st)
{
    svm_guest(0);
    this_cpu()->resched = true;
    svm_ops.enter(v);
    assert_int_equal(entries, 0);
    assert_int_equal(this_cpu()->in_guest, 0);
}

static void address_spaces(void **st)
{
    svm_guest(0);
    struct svm_cpu *sc = this_cpu()->hw;

    sc->next_asid = 1;
    sc->nr_asids = 4;
    s->asid_gen = 0;
    run(EXIT_INTR, 0, 0);
    assert_int_equal(entered.asid, 1);
    assert_int_equal(entered.tlb_control, TLB_FLUSH_ALL);   /* the first ever on this CPU */
    run(EXIT_INTR, 0, 0);
    assert_int_equal(entered.asid, 1);
    assert_int_equal(entered.tlb_control, TLB_KEEP);
    svm_flush_tlb(v);
    run(EXIT_INTR, 0, 0);
    assert_int_equal(entered.asid, 2);
    v->dom->tlb_gen++;                                      /* translations were taken away */
    run(EXIT_INTR, 0, 0);
    assert_int_equal(entered.asid, 3);
    assert_int_equal(entered.tlb_control, TLB_KEEP);
    assert_int_equal(v->tlb_gen, v->dom->tlb_gen);
    svm_flush_tlb(v);
    run(EXIT_INTR, 0, 0);                                   /* none left: from the start, with a flush */
    assert_int_equal(entered.asid, 1);
    assert_int_equal(entered.tlb_control, TLB_FLUSH_ALL);
    /* Another CPU and back: the old number is not trusted. */
    hvm_unload(v);
    fake_enter_cpu(1, v);
    hvm_load(v);
    run(EXIT_INTR, 0, 0);
    assert_int_equal(entered.asid, 1);
    assert_int_equal(entered.clean, 0);
    hvm_unload(v);
    fake_enter_cpu(0, v);
    hvm_load(v);
    run(EXIT_INTR, 0, 0);
    assert_int_equal(entered.asid, 2);
}

static void loading(void **st)
{
    svm_guest(0);
    hvm_unload(v);
    s->tsc_aux = 9;
    unsigned writes = fake_x86.msr_writes;
    hvm_load(v);
    assert_int_equal(*fake_msr(MSR_TSC_AUX), 9);
    hvm_unload(v);
    hvm_load(v);
    assert_int_equal(fake_x86.msr_writes, writes + 1);      /* it is still there */
    assert_int_equal(fake_x86.vmsaves, 1);
    assert_int_equal(fake_x86.vmsave_pa, ((struct svm_cpu *)this_cpu()->hw)->host_vmcb_pa);
    /* Breakpoints that are armed are in place before the first entry. */
    hvm_unload(v);
    s->dr[2] = 0x5000;
    b->dr7 = 0x410;
    hvm_load(v);
    assert_int_equal(fake_x86.dr[2], 0x5000);
    assert_true(s->dr_live && !b->dr_write);
    fake_x86.dr[2] = 0x6000;
    hvm_unload(v);
    assert_int_equal(s->dr[2], 0x6000);
    assert_true(!s->dr_live && b->dr_write == 0xffff);
}

static void no_tsc_aux_no_spec_ctrl(void **st)
{
    svm_guest(0);
    host_features[FEAT_RDTSCP / 32] &= ~(1u << FEAT_RDTSCP % 32);
    fake_x86.nr_msrs = 0;                                   /* an access would fault */
    struct svm_cpu *sc = this_cpu()->hw;
    sc->host_vmcb_valid = false;
    sc->spec_ctrl = 7;
    hvm_unload(v);
    s->tsc_aux = 3;
    hvm_load(v);
    assert_int_equal(sc->spec_ctrl, 0);
    struct vcpu_state x;
    svm_get_state(v, &x);
    assert_int_equal(svm_set_state(v, &x), 0);
    host_features[FEAT_RDTSCP / 32] |= 1u << FEAT_RDTSCP % 32;
}

/* QEMU's emulation: an injected interrupt is followed by an exit, an armed window by another look. */
static void flaws_of_qemu(void **st)
{
    svm_guest(0);
    s->event = EVENT_VALID | 0x55;
    run(EXIT_INTR, 0, 0);
    svm_want_intr_window(v, true);
    run(EXIT_INTR, 0, 0);
    assert_true(!self_ipis && !rechecks);
    svm_want_intr_window(v, false);
    this_cpu_ptr = cpus[0];
    fake_cpuid_hook = qemu_cpuid;
    struct svm_cpu *sc = this_cpu()->hw;
    assert_int_equal(svm_ops.cpu_up(), 0);
    assert_non_null(strstr(fake_log, "emulated by QEMU"));
    assert_non_null(strstr(fake_log, "has: -;"));
    this_cpu()->hw = sc;
    s->event = EXC(X86_UD);
    run(EXIT_INTR, 0, 0);
    assert_int_equal(self_ipis, 0);
    s->event = EVENT_VALID | 0x55;
    run(EXIT_INTR, 0, 0);
    assert_int_equal(self_ipis, 1);
    assert_int_equal(rechecks, 0);
    svm_want_intr_window(v, true);
    run(EXIT_INTR, 0, 0);
    assert_int_equal(rechecks, 1);
}

static void small_operations(void **st)
{
    svm_guest(0);
    svm_ops.set_tpr(v, 0x50);
    assert_int_equal(b->v_tpr, 5);
    assert_int_equal(svm_ops.get_tpr(v), 0x50);
    svm_ops.set_cr2(v, 0xabc000);
    assert_int_equal(b->cr2, 0xabc000);
    svm_set_tsc_offset(v, 77, true);
    assert_true(b->tsc_offset == 77 && b->intercept1 & I1_RDTSC && b->intercept2 & I2_RDTSCP);
    svm_set_tsc_offset(v, 78, false);
    assert_true(b->tsc_offset == 78 && !(b->intercept1 & I1_RDTSC) && !(b->intercept2 & I2_RDTSCP));
    svm_update_policy(v);
    assert_int_equal(b->iopm_base, virt_to_phys(pio_bitmap(d)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cpu_needs), cmocka_unit_test(cpus_differ), cmocka_unit_test(no_memory_for_a_cpu),
        cmocka_unit_test(msr_permissions), cmocka_unit_test(no_memory_for_a_vcpu), cmocka_unit_test(intercepts),
        cmocka_unit_test(state_round_trip), cmocka_unit_test(pending_events), cmocka_unit_test(bad_states),
        cmocka_unit_test(privilege_of_states), cmocka_unit_test(dump_shows), cmocka_unit_test(two_exceptions),
        cmocka_unit_test(event_forms), cmocka_unit_test(deferred_events), cmocka_unit_test(interrupted_deliveries),
        cmocka_unit_test(windows), cmocka_unit_test(nmi_windows), cmocka_unit_test(entry_moves_registers),
        cmocka_unit_test(reschedule_before_entry), cmocka_unit_test(address_spaces), cmocka_unit_test(loading),
        cmocka_unit_test(no_tsc_aux_no_spec_ctrl), cmocka_unit_test(flaws_of_qemu), cmocka_unit_test(small_operations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
