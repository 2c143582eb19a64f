/* SPDX-License-Identifier: MIT */
/*
 * src/hvm/svm against a model of the processor that QEMU's TCG is not: with next-RIP save, decode assists and clean
 * bits. The model keeps what a CPU may have cached of a VMCB and knows which states VMRUN refuses (APM 2, 15.5.1).
 */
#include "svm_env.h"

/* ---- VMRUN ---- */
static struct svm_cpu *sc;

/* Fields by clean bit (APM 2, 15.15.3, table 15-9). */
static const struct { u16 bit, at, end; } cached[] = {
    { CL_INTERCEPTS, 0x000, 0x018 }, { CL_INTERCEPTS, 0x03c, 0x040 }, { CL_INTERCEPTS, 0x050, 0x058 },
    { CL_IOPM, 0x040, 0x050 }, { CL_ASID, 0x058, 0x05c }, { CL_TPR, 0x060, 0x068 }, { CL_NP, 0x090, 0x098 },
    { CL_NP, 0x0b0, 0x0b8 }, { CL_NP, 0x668, 0x670 }, { CL_CRX, 0x4d0, 0x4d8 }, { CL_CRX, 0x548, 0x560 },
    { CL_DRX, 0x560, 0x570 }, { CL_DT, 0x460, 0x470 }, { CL_DT, 0x480, 0x490 }, { CL_SEG, 0x400, 0x440 },
    { CL_SEG, 0x4cb, 0x4cc }, { CL_CR2, 0x640, 0x648 }, { CL_LBR, 0x670, 0x698 },
};
static u8 cache[4096];
static bool cache_valid;

/* What the processor uses is what lies in memory; then it has cached all of it. */
static void check_clean(const char *what)
{
    const u8 *mem = (const u8 *)b;
    for (unsigned i = 0; i < ARRAY_SIZE(cached) && cache_valid; i++) {
        unsigned at = cached[i].at, end = cached[i].end;
        if ((b->clean & cached[i].bit) && memcmp(cache + at, mem + at, end - at))
            fail_msg("%s: field in %#x-%#x changed, clean bits %#x", what, at, end, b->clean);
    }
    memcpy(cache, mem, sizeof(cache));
    cache_valid = true;
}

static const char *illegal(void)
{
    u64 e = b->eventinj, type = e >> 8 & 7, lme_pg = (b->efer & EFER_LME) && (b->cr0 & CR0_PG);
    if (!(b->efer & EFER_SVME)) return "EFER.SVME";
    if (b->efer & ~(EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE | EFER_SVME | EFER_FFXSR)) return "EFER";
    if (b->cr0 >> 32 || (b->cr0 & (CR0_NW | CR0_CD)) == CR0_NW) return "CR0";
    if (b->cr3 >> v->hvm->limits.phys_bits) return "CR3";
    if (b->cr4 & ~(v->hvm->limits.cr4 | CR4_MCE)) return "CR4";
    if (b->dr6 >> 32 || b->dr7 >> 32) return "DR6, DR7";
    if (lme_pg && (!(b->cr4 & CR4_PAE) || !(b->cr0 & CR0_PE) || (b->cs.attr & 0x600) == 0x600)) return "long mode";
    if (!(b->intercept2 & I2_VMRUN) || !b->asid || !hvm_pat_valid(b->g_pat)) return "intercept, ASID, PAT";
    if (e & EVENT_VALID) {
        if (type == 1 || type > SVM_SWINT) return "event type";
        if (type == SVM_EXCEPTION && ((u8)e > 31 || (u8)e == 2)) return "exception vector";
    }
    return NULL;
}

static u64 spec_at_entry;

/* What the next exit leaves besides (svm_env.h). */
static struct { u64 len; bool stepped, shadow; } next_exit;

static void model(struct vcpu_regs *regs, struct vmcb *vb)
{
    const char *why = illegal();
    if (why) fail_msg("VMRUN refuses: %s", why);
    check_clean("VMRUN");
    spec_at_entry = *fake_msr(MSR_SPEC_CTRL);
    vmrun(regs, vb);
    b->next_rip = b->rip + next_exit.len;
    if (next_exit.stepped) b->dr6 |= 1 << 14;
    b->intr_shadow = next_exit.shadow;
    memcpy(cache, b, sizeof(cache));    /* the processor's own changes are no news to it */
}

static void run_len(u64 code, u64 info1, u64 info2, unsigned len)
{
    next_exit.len = len;
    run(code, info1, info2);
    next.intinfo = 0;
}

static void run_interrupted(u64 code, u64 info1, u64 info2, u64 intinfo)
{
    next.intinfo = intinfo;
    run_len(code, info1, info2, 0);
}

static int setup(void **state)
{
    svm_guest(SVMF_NPT | SVMF_NRIPS | SVMF_DECODE | SVMF_CLEAN | SVMF_PAUSE | SVMF_PAUSE_THRESHOLD);
    fake_vmrun_hook = model;
    *fake_msr(MSR_PRED_CMD) = 0;
    sc = this_cpu()->hw;
    sc->nr_asids = 8;
    hvm_set_long_mode(v, 0x1000, 0x8000, 0x2000, 0);
    cache_valid = false;
    memset(&next_exit, 0, sizeof(next_exit));
    return 0;
}

static unsigned rnd(void)
{
    static u64 x = 0x9e3779b97f4a7c15ULL;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    return x * 0x2545f4914f6cdd1dULL >> 48;
}

/* ---- tests ---- */

/* Whatever the guest does, a changed field is one that the processor reads again, and VMRUN takes the result. */
static void clean_bits(void **state)
{
    static const u32 msrs[] = { MSR_EFER, MSR_PAT, MSR_STAR, MSR_LSTAR, MSR_FS_BASE, MSR_SPEC_CTRL, MSR_TSC_AUX, 0x10,
                                0x3b, MSR_SYSENTER_EIP, MSR_APIC_BASE };
    static const u64 values[] = { 0, 1, 4, 0x500, 0x901, 0xd01, 0x7010600070106ULL, 0xfee00900, ~0ULL, 0x80000000 };
    static const u64 crs[] = { 0x80010033, 0x80010031, 0x60000010, 0x10, 0x11, 0x20, 0x6a0, 0x26a0, 0xa0, 0x1406e0,
                               15 };
    static u8 own_map[3 * PAGE_SIZE] __aligned(4096);
    static const u16 writes[] = { EXIT_MSR, EXIT_CR0_SEL, EXIT_CR_WRITE + 4, EXIT_CR_WRITE + 8 };
    for (unsigned i = 0; i < 50000; i++) {
        unsigned k = rnd(), code = i & 1 ? writes[rnd() % ARRAY_SIZE(writes)] : rnd() % EXIT_NR;
        if (code == EXIT_EXCEPTION + X86_MC || code == EXIT_SHUTDOWN || !exit_known(code)) continue;
        v->regs.rcx = msrs[k % ARRAY_SIZE(msrs)];
        v->regs.rax = k & 0x8000 ? crs[k % ARRAY_SIZE(crs)] : values[k % ARRAY_SIZE(values)];
        v->regs.rdx = v->regs.rax >> 32;
        v->regs.rflags = 2 | (k & 0x100 ? RFLAGS_IF : 0) | (k & 0x200 ? RFLAGS_TF : 0);
        next_exit.stepped = k & 0x400;
        next_exit.shadow = k & 0x800;
        bool cr = code < EXIT_DR_READ || code == EXIT_CR0_SEL;
        u64 info1 = cr ? 1ULL << 63 : code == EXIT_MSR ? k & 1 : code == EXIT_IOIO ? 0x00420010u | (k & 1) : k;
        if (!(b->cr0 & CR0_PG) && cr) info1 &= ~15ULL;
        run_len(code, info1, v->regs.rip + 2, 2);
        v->regs.rip = 0x1000;
        switch (k % 16) {
        case 0: svm_inject(v, EV_NMI, 2, NO_ERROR_CODE); break;
        case 1: svm_want_intr_window(v, true); break;
        case 2: svm_want_intr_window(v, false); break;
        case 3: svm_ops.set_tpr(v, (u8)k); break;
        case 4: hvm_inject_page_fault(v, k, 2); break;
        case 5: svm_set_tsc_offset(v, k, k & 1); break;
        case 6: svm_update_policy(v); break;
        case 7: svm_want_nmi_window(v); break;
        case 8: hvm_set_pvh_entry(v, 0x1000, 0); break;
        case 9: hvm_set_long_mode(v, 0x1000, 0x8000, 0x2000, 0); break;
        case 10: hvm_reset_sipi(v, (u8)k); break;
        case 11: svm_ops.unload(v); cache_valid &= k & 1; svm_ops.load(v); break;
        case 12: svm_flush_tlb(v); break;
        case 13: assert_int_equal(hvm_wrmsr(v, MSR_STAR, k), 0); break;
        case 14: d->hvm->io_bitmap = d->hvm->io_bitmap ? NULL : own_map; break;
        }
    }
    d->hvm->io_bitmap = NULL;
    assert_false(d->shut_down);
}

/* The shortest proof that the model notices. */
static void model_works(void **state)
{
    run(EXIT_INTR, 0, 0);
    b->cr2++;
    b->clean = CL_ALL;
    assert_int_equal(memcmp(cache + 0x640, (u8 *)b + 0x640, 8) != 0, 1);
    svm_dirty(s, CL_CR2);
    run(EXIT_INTR, 0, 0);
    assert_null(illegal());
    b->eventinj = EVENT_VALID | SVM_EXCEPTION << 8 | 2;
    assert_non_null(illegal());
}

static void set_speculation(u32 e8b, u32 e21a)
{
    d->policy->ext[8].b = e8b;
    d->policy->ext[0x21].a = e21a;
    svm_update_policy(v);
}

/* Bits of SPEC_CTRL without a feature are reserved, and the value goes into the machine's register. */
static void spec_ctrl_bits(void **state)
{
    const u32 ibpb = 1u << 12, ibrs = 1u << 14, stibp = 1u << 15, ssbd = 1u << 24, psfd = 1u << 28;
    u64 val;
    set_speculation(0, 0);
    assert_int_equal(hvm_rdmsr(v, MSR_SPEC_CTRL, &val), -EINVAL);
    assert_int_equal(hvm_wrmsr(v, MSR_SPEC_CTRL, 0), -EINVAL);
    assert_int_equal(hvm_wrmsr(v, MSR_PRED_CMD, 1), -EINVAL);
    set_speculation(ibpb, 0);                                       /* Zen 1 */
    assert_int_equal(hvm_wrmsr(v, MSR_SPEC_CTRL, 0), -EINVAL);
    assert_int_equal(hvm_wrmsr(v, MSR_PRED_CMD, 1), 0);
    assert_int_equal(hvm_wrmsr(v, MSR_PRED_CMD, 0x80), -EINVAL);
    set_speculation(ibpb | ibrs | stibp, 0);
    assert_int_equal(hvm_wrmsr(v, MSR_SPEC_CTRL, 3), 0);
    assert_int_equal(hvm_wrmsr(v, MSR_SPEC_CTRL, 4), -EINVAL);
    assert_int_equal(hvm_wrmsr(v, MSR_SPEC_CTRL, 0x80), -EINVAL);
    set_speculation(ibpb | stibp | ssbd | psfd, 1u << 27);
    assert_int_equal(s->spec_ctrl, 2);                              /* IBRS left with its feature */
    assert_int_equal(hvm_wrmsr(v, MSR_SPEC_CTRL, 1), -EINVAL);
    assert_int_equal(hvm_wrmsr(v, MSR_SPEC_CTRL, 0x86), 0);
    assert_int_equal(hvm_rdmsr(v, MSR_SPEC_CTRL, &val), 0);
    assert_int_equal(val, 0x86);
    assert_int_equal(hvm_wrmsr(v, MSR_PRED_CMD, 0x80), 0);          /* SBPB */
    assert_int_equal(hvm_wrmsr(v, MSR_PRED_CMD, 2), -EINVAL);
    /* A save record cannot bring more than a write can. */
    struct vcpu_state st;
    hvm->get_state(v, &st);
    st.spec_ctrl = ~0ULL;
    assert_int_equal(hvm->set_state(v, &st), 0);
    assert_int_equal(s->spec_ctrl, 0x86);
}

/* Without virtual SPEC_CTRL the guest's value is in the register while the guest runs, and only then. */
static void spec_ctrl_swap(void **state)
{
    set_speculation(1u << 12 | 1u << 15, 0);
    sc->spec_ctrl = *fake_msr(MSR_SPEC_CTRL) = 1;
    assert_int_equal(hvm_wrmsr(v, MSR_SPEC_CTRL, 2), 0);
    run(EXIT_INTR, 0, 0);
    assert_int_equal(spec_at_entry, 2);
    assert_int_equal(*fake_msr(MSR_SPEC_CTRL), 1);
    set_speculation(0, 0);
    run(EXIT_INTR, 0, 0);
    assert_int_equal(spec_at_entry, 1);
    set_speculation(1u << 12 | 1u << 15, 0);
    assert_int_equal(hvm_wrmsr(v, MSR_SPEC_CTRL, 2), 0);
    svm_features |= SVMF_SPEC_CTRL;
    run(EXIT_INTR, 0, 0);
    assert_int_equal(spec_at_entry, 1);
    assert_int_equal(b->spec_ctrl, 2);
}

/* An exit during delivery: the event comes again, and a second exception makes of it what the manual says. */
static void events(void **state)
{
    const u64 irq = EVENT_VALID | SVM_EXTINT << 8 | 0x50;
    const u64 gp = EVENT_VALID | EVENT_HAS_ERROR | SVM_EXCEPTION << 8 | X86_GP;
    run_interrupted(EXIT_INTR, 0, 0, irq);
    assert_int_equal(s->event, irq);
    v->regs.rflags = 2;                         /* accepted already: IF does not hold it back */
    run(EXIT_INTR, 0, 0);
    assert_int_equal(cache[0xa8], 0x50);
    assert_int_equal(s->event, 0);
    /* #AC is intercepted; benign after an interrupt, which must not get lost. */
    run_interrupted(EXIT_EXCEPTION + X86_AC, 0, 0, irq);
    assert_int_equal(EVENT_VECTOR(s->event), X86_AC);
    assert_int_equal(s->deferred, irq);
    run(EXIT_INTR, 0, 0);
    assert_true(b->v_irq);                      /* IF is clear: a window */
    v->regs.rflags = 2 | RFLAGS_IF;
    run(EXIT_VINTR, 0, 0);
    assert_int_equal(cache[0xa8], 0x50);
    assert_int_equal(s->deferred, 0);
    /* Contributory after contributory. */
    s->event = gp;
    hvm_inject_exception(v, X86_GP, 0);
    assert_int_equal(EVENT_VECTOR(s->event), X86_DF);
    assert_true(s->event & EVENT_HAS_ERROR);
    s->event = 0;
    /* Software interrupts are repeated: RIP is on them. */
    run_interrupted(EXIT_INTR, 0, 0, EVENT_VALID | SVM_SWINT << 8 | 0x80);
    assert_int_equal(s->event, 0);
    run_interrupted(EXIT_INTR, 0, 0, EVENT_VALID | SVM_EXCEPTION << 8 | X86_BP);
    assert_int_equal(s->event, 0);
}

/* NMIs are blocked until the handler's IRET is done; a fault of that IRET is the guest's, our TF is not. */
static void nmi_and_iret(void **state)
{
    v->regs.rflags = 2;
    assert_true(svm_nmi_open(v));
    hvm->inject(v, EV_NMI, 2, NO_ERROR_CODE);
    run(EXIT_IRET, 0, 0);
    assert_false(svm_nmi_open(v));
    assert_true(v->regs.rflags & RFLAGS_TF);
    run_len(EXIT_EXCEPTION + X86_GP, 0x18, 0, 0);
    assert_false(v->regs.rflags & RFLAGS_TF);
    assert_int_equal(EVENT_VECTOR(s->event), X86_GP);
    assert_int_equal(s->event >> 32, 0x18);
    assert_false(svm_nmi_open(v));
    assert_int_equal(b->exceptions, 1u << X86_DB | 1u << X86_AC | 1u << X86_MC);
    run(EXIT_IRET, 0, 0);                    /* the #GP handler's */
    run_len(EXIT_EXCEPTION + X86_PF, 2, 0x123456789000, 0);
    assert_int_equal(b->cr2, 0x123456789000);
    assert_int_equal(EVENT_VECTOR(s->event), X86_PF);
    run(EXIT_IRET, 0, 0);
    next_exit.stepped = true;
    run(EXIT_EXCEPTION + X86_DB, 0, 0);
    next_exit.stepped = false;
    assert_int_equal(s->event, 0);
    assert_true(svm_nmi_open(v));
    assert_false(b->dr6 & 1 << 14);
    assert_int_equal(b->exceptions, 1u << X86_DB | 1u << X86_AC | 1u << X86_MC);
    assert_false(b->intercept1 & I1_IRET);
}

/* Whatever state the toolstack brings: refused, or one that VMRUN takes (I-19). */
static void states(void **state)
{
    static const u64 odd[] = { 0, 1, 0x20000000, 0x60000011, 0x80000011, 0x80010033, 1ULL << 32, 1ULL << 47,
                               1ULL << 51, 1ULL << 63, ~0ULL, 0xffff800000000000ULL, 0x500, 0xd01, 0x1500, 0x20,
                               0x6a0, 0x800000 };
    struct vcpu_state base, st;
    unsigned accepted = 0;
    hvm->get_state(v, &base);
    for (unsigned i = 0; i < 200000; i++) {
        st = base;
        for (unsigned n = rnd() % 4 + 1; n--;) {
            u64 val = rnd() & 1 ? odd[rnd() % ARRAY_SIZE(odd)] : (u64)rnd() << rnd() % 48;
            u64 *const field[] = { &st.cr0, &st.cr3, &st.cr4, &st.efer, &st.dr6, &st.dr7, &st.pat, &st.lstar,
                                   &st.sysenter_eip, &st.seg[rnd() % SEG_NR].base, &st.kernel_gs_base, &st.spec_ctrl,
                                   &st.xcr0, &st.cr2 };
            if (rnd() % 4 == 0) st.pending_event = (u32)EVENT_VALID | (rnd() & 0xfff);
            else if (rnd() % 4 == 0) st.seg[SEG_CS].attr = (u16)rnd();
            else *field[rnd() % ARRAY_SIZE(field)] = val;
        }
        if (rnd() % 8 == 0) v->regs.rflags ^= 1u << 17;
        if (hvm->set_state(v, &st)) continue;
        accepted++;
        if (EVENT_TYPE(st.pending_event) >= EV_SWINT) assert_int_equal(s->event, 0);        /* RIP is on it */
        run(EXIT_INTR, 0, 0);
    }
    assert_in_range(accepted, 1000, 199000);
}

/* Every change of CPU, of the second stage, or of what the guest's own tables mean: another ASID. */
static void address_spaces(void **state)
{
    run(EXIT_INTR, 0, 0);
    u32 first = b->asid;
    run(EXIT_INTR, 0, 0);
    assert_int_equal(b->asid, first);
    d->tlb_gen++;
    run(EXIT_INTR, 0, 0);
    assert_int_not_equal(b->asid, first);
    for (unsigned i = 0; i < 100; i++) {
        u32 old = b->asid;
        u64 gen = sc->asid_gen;
        svm_flush_tlb(v);
        b->tlb_control = 0xff;
        svm_asid_enter(v, s, sc);
        assert_in_range(b->asid, 1, sc->nr_asids - 1);
        assert_int_equal(b->tlb_control, sc->asid_gen != gen ? TLB_FLUSH_ALL : TLB_KEEP);
        if (sc->asid_gen == gen) assert_int_not_equal(b->asid, old);
    }
    /* To another CPU and back: what the other changed meanwhile is not in this one's entries. */
    struct svm_cpu other = *sc;
    u64 before = s->asid_gen;
    svm_ops.unload(v);
    this_cpu()->hw = &other;
    svm_ops.load(v);
    assert_int_equal(s->asid_gen, 0);
    s->asid_gen = other.asid_gen;
    svm_ops.unload(v);
    this_cpu()->hw = sc;
    svm_ops.load(v);
    assert_int_equal(s->asid_gen, 0);
    assert_int_not_equal(before, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(model_works, setup), cmocka_unit_test_setup(clean_bits, setup),
        cmocka_unit_test_setup(spec_ctrl_bits, setup), cmocka_unit_test_setup(spec_ctrl_swap, setup),
        cmocka_unit_test_setup(events, setup), cmocka_unit_test_setup(nmi_and_iret, setup),
        cmocka_unit_test_setup(states, setup),
        cmocka_unit_test_setup(address_spaces, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
