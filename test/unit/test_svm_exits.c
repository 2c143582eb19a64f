/* SPDX-License-Identifier: MIT */
/* SVM: what each exit does, with next-RIP save and without: results, RIP, injected events, crashes. */
#include <string.h>
#include "svm_env.h"

#define ALL_FEATURES (SVMF_NRIPS | SVMF_DECODE)

static bool crashed(const char *why)
{
    bool yes = d->shut_down && d->shutdown_code == SHUTDOWN_crash && strstr(fake_log, why);

    if (d->shut_down)
        domain_resume(d);
    fake_log_clear();
    return yes;
}

/* An instruction of `len` bytes at CODE exits. */
#define INSN(code, info1, info2, ...) do { \
    CODE_BYTES(__VA_ARGS__); \
    b->next_rip = CODE + sizeof((const u8[]){ __VA_ARGS__ }); \
    run(code, info1, info2); } while (0)
#define DONE(len) do { assert_int_equal(take_event(), 0); assert_int_equal(v->regs.rip, CODE + (len)); } while (0)
#define FAULT(e)  do { assert_int_equal(take_event(), e); assert_int_equal(v->regs.rip, CODE); } while (0)

/* ---- table ---- */
static void undefined_and_ignored(void **st)
{
    static const u16 ud[] = { EXIT_INVLPGA, EXIT_VMRUN, EXIT_VMLOAD, EXIT_VMSAVE, EXIT_STGI, EXIT_CLGI, EXIT_SKINIT,
                              EXIT_MONITOR, EXIT_MWAIT, EXIT_MWAIT_ARMED, EXIT_RDPRU, EXIT_INVLPGB,
                              EXIT_INVLPGB_ILLEGAL, EXIT_MCOMMIT, EXIT_TLBSYNC };
    static const u16 none[] = { EXIT_INTR, EXIT_NMI, EXIT_INIT, EXIT_FERR };

    svm_guest(0);
    CODE_BYTES(0x90);
    for (unsigned i = 0; i < ARRAY_SIZE(ud); i++) {
        run(ud[i], 0, 0);
        FAULT(EXC(X86_UD));
    }
    for (unsigned i = 0; i < ARRAY_SIZE(none); i++) {
        run(none[i], 0, 0);
        FAULT(0);
    }
    run(EXIT_RDPMC, 0, 0);
    FAULT(EXC_ERR(X86_GP, 0));
    run(EXIT_EXCEPTION + X86_AC, 0, 0);
    FAULT(EXC_ERR(X86_AC, 0));
    run(EXIT_EXCEPTION + X86_MC, 0, 0);
    assert_int_equal(fake_x86.machine_checks, 1);
    FAULT(0);
    assert_false(d->shut_down);
}

/* Every code that has no row ends the domain, never the machine. */
static void unknown_exits(void **st)
{
    static const u64 far[] = { EXIT_NR, 0x401, 0x402, 0x403, ~0ULL - 1, 1ULL << 32 };

    svm_guest(0);
    CODE_BYTES(0x90);
    for (u64 code = 0; code < EXIT_NR; code++) {
        if (exit_known(code))
            continue;
        run(code, 0x11, 0x22);
        char want[64];
        snprintf(want, sizeof(want), "unexpected exit %#lx, info 0x11 0x22", code);
        assert_true(crashed(want));
    }
    for (unsigned i = 0; i < ARRAY_SIZE(far); i++) {
        run(far[i], 0, 0);
        assert_true(crashed("unexpected exit"));
    }
    run(EXIT_INVALID, 0, 0);
    assert_true(crashed("VMRUN refused the state of vcpu#0"));
    run(EXIT_SHUTDOWN, 0, 0);
    assert_true(d->shut_down && d->shutdown_code == SHUTDOWN_reboot);
    assert_non_null(strstr(fake_log, "triple fault"));
}

static void second_stage_faults(void **st)
{
    svm_guest(0);
    CODE_BYTES(0x90);
    run(EXIT_INTR, 0, 0);
    u64 gen = s->asid_gen;
    run(EXIT_NPF, NPF_PRESENT | NPF_WRITE_ERROR, CODE);       /* RAM that is mapped: spurious, flush */
    assert_int_equal(s->asid_gen, 0);
    assert_int_not_equal(gen, 0);
    run(EXIT_NPF, NPF_FETCH, HOLE);
    FAULT(EXC(X86_UD));
    run(EXIT_NPF, NPF_TABLE | NPF_WRITE, HOLE);
    assert_true(crashed("guest page table at gpa 0x200000 is not in writable RAM"));
    INSN(EXIT_NPF, NPF_WRITE, HOLE, 0x0f, 0x0b);              /* no memory operand */
    assert_true(crashed("cannot emulate access to gpa 0x200000 (error 0x2) at rip 0x12000: 0f 0b "));
}

/* ---- instructions with a length ---- */
static void cpuid_and_hlt(u32 features)
{
    svm_guest(features);
    v->regs.rax = 0x40000000;
    INSN(EXIT_CPUID, 0, 0, 0x0f, 0xa2);
    DONE(2);
    assert_int_equal(v->regs.rbx, 0x566e6558);
    v->regs.rflags = 2 | RFLAGS_IF | RFLAGS_RF;
    b->intr_shadow = 1;
    INSN(EXIT_HLT, 0, 0, 0xf4);
    DONE(1);
    assert_int_equal(v->flags & VF_BLOCKED, VF_BLOCKED);
    assert_int_equal(b->intr_shadow, 0);
    assert_int_equal(v->regs.rflags & RFLAGS_RF, 0);
    vcpu_wake(v);
    /* Single-stepped: #DB behind the instruction. */
    v->regs.rflags = 2 | RFLAGS_TF;
    INSN(EXIT_CPUID, 0, 0, 0x0f, 0xa2);
    assert_int_equal(take_event(), EXC(X86_DB));
    assert_int_equal(v->regs.rip, CODE + 2);
    assert_true(b->dr6 & 1 << 14);
    v->regs.rflags = 2;
}

static void lengths(void **st)
{
    cpuid_and_hlt(0);
    cpuid_and_hlt(ALL_FEATURES);
    /* Prefixes count. */
    svm_guest(0);
    v->regs.rax = 0;
    INSN(EXIT_CPUID, 0, 0, 0x66, 0xf3, 0x0f, 0xa2);
    DONE(4);
    /* A next RIP that cannot be is not believed. */
    svm_guest(ALL_FEATURES);
    CODE_BYTES(0x0f, 0xa2);
    b->next_rip = CODE + 100;
    run(EXIT_CPUID, 0, 0);
    DONE(2);
    /* RIP wraps outside of 64-bit mode. */
    v->regs.rip = 0xfffffffe;
    b->next_rip = 0x100000000;
    run(EXIT_CPUID, 0, 0);
    assert_int_equal(v->regs.rip, 0);
    long_mode();
    v->regs.rip = 0xfffffffe;
    run(EXIT_CPUID, 0, 0);
    assert_int_equal(v->regs.rip, 0x100000000);
}

/* Without next-RIP save lengths are remembered, and looked up again after a while. */
static void length_cache(void **st)
{
    svm_guest(0);
    v->regs.rax = 0;
    CODE_BYTES(0x0f, 0xa2);
    for (unsigned i = 0; i < 64; i++) {
        v->regs.rip = CODE;
        run(EXIT_CPUID, 0, 0);
        DONE(2);
        if (i == 0)                                         /* nobody looks at the bytes now */
            memcpy(fake_guest_ptr(d, CODE), "\x66\x0f\xa2", 3);
    }
    v->regs.rip = CODE;
    run(EXIT_CPUID, 0, 0);
    DONE(3);
    b->cr3 = 0x5000;                                        /* another address space, another entry */
    memcpy(fake_guest_ptr(d, CODE), "\x0f\xa2", 2);
    v->regs.rip = CODE;
    run(EXIT_CPUID, 0, 0);
    DONE(2);
    v->regs.rip = CODE;                                     /* another instruction at the same place */
    memcpy(fake_guest_ptr(d, CODE), "\xf4", 1);
    v->regs.rflags = 2 | RFLAGS_IF;
    run(EXIT_HLT, 0, 0);
    DONE(1);
}

/* Every instruction whose bytes do not fit its exit: again, and in the end the domain crashes. */
static void bytes_that_do_not_fit(void **st)
{
    static const struct { u64 code, info1; } t[] = {
        { EXIT_CPUID, 0 }, { EXIT_VMMCALL, 0 }, { EXIT_MSR, 0 }, { EXIT_MSR, 1 }, { EXIT_HLT, 0 }, { EXIT_RDTSC, 0 },
        { EXIT_RDTSCP, 0 }, { EXIT_XSETBV, 0 }, { EXIT_INVD, 0 }, { EXIT_WBINVD, 0 }, { EXIT_PAUSE, 0 },
    };

    svm_guest(0);
    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        s->mismatches = 0;
        CODE_BYTES(0x90, 0x90, 0x90, 0x90);
        for (unsigned n = 0; n < 1000; n++) {
            run(t[i].code, t[i].info1, 0);
            FAULT(0);
        }
        assert_false(d->shut_down);
        run(t[i].code, t[i].info1, 0);
        assert_true(crashed("does not fit exit"));
    }
    /* The page is not there: the guest gets its fault (here: no RAM). */
    s->mismatches = 0;
    long_mode();
    memset(s->len, 0, sizeof(s->len));
    v->regs.rip = GiB(2);
    run(EXIT_CPUID, 0, 0);
    assert_int_equal(s->mismatches, 1);
    s->mismatches = 0;
    CODE_BYTES(0x0f, 0xa2);
    run(EXIT_CPUID, 0, 0);
    DONE(2);
}

static void time_stamps(u32 features)
{
    svm_guest(features);
    hvm->set_tsc_offset(v, 0x500000000, true);
    u64 want = tsc_read() + 0x500000000;
    s->tsc_aux = 0x77;
    v->regs.rcx = 1;
    INSN(EXIT_RDTSC, 0, 0, 0x0f, 0x31);
    DONE(2);
    assert_true(v->regs.rax == (u32)want && v->regs.rdx == want >> 32 && v->regs.rcx == 1);
    INSN(EXIT_RDTSCP, 0, 0, 0x0f, 0x01, 0xf9);
    DONE(3);
    assert_int_equal(v->regs.rcx, 0x77);
}

static void rdtsc_and_rdtscp(void **st)
{
    time_stamps(0);
    /* QEMU reports both with one code. */
    v->regs.rcx = 1;
    INSN(EXIT_RDTSC, 0, 0, 0x0f, 0x01, 0xf9);
    DONE(3);
    assert_int_equal(v->regs.rcx, 0x77);
    INSN(EXIT_RDTSC, 0, 0, 0x66, 0x0f, 0x31);
    DONE(3);
    CODE_BYTES(0x90);
    memset(fake_guest_ptr(d, CODE), 0x90, 32);
    run(EXIT_RDTSC, 0, 0);
    FAULT(0);
    time_stamps(ALL_FEATURES);
}

static void vmmcalls(void **st)
{
    svm_guest(0);
    v->regs.rax = __HYPERVISOR_xen_version;
    INSN(EXIT_VMMCALL, 0, 0, 0x0f, 0x01, 0xd9);             /* 32-bit code: not offered */
    DONE(3);
    assert_int_equal((s32)v->regs.rax, -ENOSYS);
    long_mode();
    v->regs.rax = __HYPERVISOR_xen_version;
    v->regs.rdi = XENVER_version;
    INSN(EXIT_VMMCALL, 0, 0, 0x0f, 0x01, 0xd9);
    DONE(3);
    assert_int_equal(v->regs.rax, 4 << 16 | 17);
    b->cpl = 3;
    v->regs.rax = __HYPERVISOR_xen_version;
    INSN(EXIT_VMMCALL, 0, 0, 0x0f, 0x01, 0xd9);
    DONE(3);
    assert_int_equal((s64)v->regs.rax, -EPERM);
    b->efer &= ~EFER_LMA;
    INSN(EXIT_VMMCALL, 0, 0, 0x0f, 0x01, 0xd9);
    assert_int_equal(v->regs.rax, (u32)-EPERM);
}

static void msrs(void **st)
{
    svm_guest(0);
    v->regs.rcx = 0x277;
    INSN(EXIT_MSR, 0, 0, 0x0f, 0x32);
    DONE(2);
    assert_true(v->regs.rax == 0x00070406 && v->regs.rdx == 0x00070406);
    v->regs.rax = 0xffffffff00010406;
    v->regs.rdx = 0x00070406;
    INSN(EXIT_MSR, 1, 0, 0x0f, 0x30);
    DONE(2);
    assert_int_equal(b->g_pat, 0x0007040600010406);
    assert_int_equal(s->asid_gen, 0);
    v->regs.rdx = 2;                                        /* not a memory type */
    INSN(EXIT_MSR, 1, 0, 0x0f, 0x30);
    FAULT(EXC_ERR(X86_GP, 0));
    v->regs.rcx = 0xdead0000;
    INSN(EXIT_MSR, 0, 0, 0x0f, 0x32);
    FAULT(EXC_ERR(X86_GP, 0));
}

static void msr_values(void **st)
{
    static const struct { u32 msr; bool address; } plain[] = {
        { MSR_STAR, false }, { MSR_LSTAR, true }, { MSR_CSTAR, true }, { MSR_SFMASK, false }, { MSR_FS_BASE, true },
        { MSR_GS_BASE, true }, { MSR_KERNEL_GS_BASE, true }, { MSR_SYSENTER_CS, false }, { MSR_SYSENTER_ESP, true },
        { MSR_SYSENTER_EIP, true },
    };
    u64 val;

    svm_guest(0);
    for (unsigned i = 0; i < ARRAY_SIZE(plain); i++) {
        u64 x = 0x1000 + i;
        assert_int_equal(svm_wrmsr(v, plain[i].msr, x), 0);
        assert_int_equal(svm_rdmsr(v, plain[i].msr, &val), 0);
        assert_int_equal(val, x);
        assert_int_equal(svm_wrmsr(v, plain[i].msr, 1ULL << 50), plain[i].address ? -EINVAL : 0);
    }
    assert_int_equal(svm_rdmsr(v, 0x10, &val), -ENOENT);
    assert_int_equal(svm_wrmsr(v, 0x10, 0), -ENOENT);
    /* TSC_AUX and SPEC_CTRL only with the features. */
    v->hvm->limits.rdtscp = false;
    v->hvm->limits.spec_ctrl = 0;
    assert_int_equal(svm_rdmsr(v, MSR_TSC_AUX, &val), -EINVAL);
    assert_int_equal(svm_wrmsr(v, MSR_TSC_AUX, 1), -EINVAL);
    assert_int_equal(svm_rdmsr(v, MSR_SPEC_CTRL, &val), -EINVAL);
    assert_int_equal(svm_wrmsr(v, MSR_SPEC_CTRL, 1), -EINVAL);
    v->hvm->limits.rdtscp = true;
    v->hvm->limits.spec_ctrl = SPEC_CTRL_IBRS | SPEC_CTRL_STIBP | SPEC_CTRL_SSBD;
    assert_int_equal(svm_wrmsr(v, MSR_TSC_AUX, 1ULL << 32), -EINVAL);
    assert_int_equal(svm_wrmsr(v, MSR_TSC_AUX, 21), 0);
    assert_int_equal(*fake_msr(MSR_TSC_AUX), 21);
    assert_int_equal(svm_rdmsr(v, MSR_TSC_AUX, &val), 0);
    assert_int_equal(val, 21);
    svm_ops.unload(v);
    assert_int_equal(svm_wrmsr(v, MSR_TSC_AUX, 22), 0);
    assert_int_equal(*fake_msr(MSR_TSC_AUX), 21);
    svm_ops.load(v);
    assert_int_equal(svm_wrmsr(v, MSR_SPEC_CTRL, 8), -EINVAL);
    assert_int_equal(svm_wrmsr(v, MSR_SPEC_CTRL, 5), 0);
    assert_int_equal(svm_rdmsr(v, MSR_SPEC_CTRL, &val), 0);
    assert_true(val == 5 && b->spec_ctrl == 5);
    /* EFER: SVME is ours, LMA follows, LME fixed while paging is on. */
    assert_int_equal(svm_rdmsr(v, MSR_EFER, &val), 0);
    assert_int_equal(val, 0);
    assert_int_equal(svm_wrmsr(v, MSR_EFER, EFER_SVME), -EINVAL);
    assert_int_equal(svm_wrmsr(v, MSR_EFER, EFER_LME | EFER_LMA), 0);
    assert_int_equal(b->efer, EFER_LME | EFER_SVME);
    long_mode();
    s->asid_gen = 1;
    assert_int_equal(svm_wrmsr(v, MSR_EFER, EFER_NXE), -EINVAL);
    assert_int_equal(svm_wrmsr(v, MSR_EFER, EFER_LME | EFER_NXE | EFER_SCE), 0);
    assert_int_equal(s->asid_gen, 1);                       /* NXE as before: no flush */
    assert_int_equal(svm_wrmsr(v, MSR_EFER, EFER_LME), 0);
    assert_true(s->asid_gen == 0 && (b->efer & EFER_LMA));
}

static void xsetbv_exit(void **st)
{
    svm_guest(0);
    v->hvm->limits.xcr0 = 7;
    v->regs.rcx = v->regs.rdx = 0;
    v->regs.rax = 7;
    INSN(EXIT_XSETBV, 0, 0, 0x0f, 0x01, 0xd1);
    FAULT(EXC(X86_UD));
    svm_set_cr4(s, CR4_OSXSAVE);
    INSN(EXIT_XSETBV, 0, 0, 0x0f, 0x01, 0xd1);
    DONE(3);
    assert_int_equal(v->hvm->xcr0, 7);
    v->regs.rax = 5;                                        /* AVX without SSE */
    INSN(EXIT_XSETBV, 0, 0, 0x0f, 0x01, 0xd1);
    FAULT(EXC_ERR(X86_GP, 0));
    v->regs.rax = 7;
    v->regs.rcx = 1;
    INSN(EXIT_XSETBV, 0, 0, 0x0f, 0x01, 0xd1);
    FAULT(EXC_ERR(X86_GP, 0));
    v->regs.rcx = 0;
    b->cpl = 3;
    INSN(EXIT_XSETBV, 0, 0, 0x0f, 0x01, 0xd1);
    FAULT(EXC_ERR(X86_GP, 0));
}

static void caches_and_pause(void **st)
{
    svm_guest(0);
    INSN(EXIT_WBINVD, 0, 0, 0x0f, 0x09);
    DONE(2);
    INSN(EXIT_INVD, 0, 0, 0x0f, 0x08);
    DONE(2);
    assert_int_equal(fake_x86.wbinvds, 0);                  /* a guest without devices cannot slow the host with it */
    INSN(EXIT_PAUSE, 0, 0, 0xf3, 0x90);
    DONE(2);
    hvm_unload(v);
    vcpu_set_up(d0->vcpu[0]);
    use_vcpu(d0->vcpu[0]);
    fake_enter_cpu(0, v);
    hvm_load(v);
    hvm_set_pvh_entry(v, CODE, 0);
    INSN(EXIT_INVD, 0, 0, 0x0f, 0x08);
    DONE(2);
    assert_int_equal(fake_x86.wbinvds, 1);                  /* INVD would lose data of others */
}

/* ---- control registers ---- */
static void cr0_writes(void **st)
{
    svm_guest(0);
    v->regs.rax = CR0_PE | CR0_ET | CR0_MP | CR0_CD | CR0_NW;
    s->asid_gen = 1;
    INSN(EXIT_CR0_SEL, 0, 0, 0x0f, 0x22, 0xc0);
    DONE(3);
    assert_int_equal(b->cr0, CR0_PE | CR0_ET | CR0_MP);     /* caches stay on */
    assert_int_equal(s->asid_gen, 1);
    v->regs.rax = CR0_PE | CR0_NW;                          /* NW without CD */
    INSN(EXIT_CR0_SEL, 0, 0, 0x0f, 0x22, 0xc0);
    FAULT(EXC_ERR(X86_GP, 0));
    v->regs.rax = CR0_PG;
    INSN(EXIT_CR0_SEL, 0, 0, 0x0f, 0x22, 0xc0);
    FAULT(EXC_ERR(X86_GP, 0));
    v->regs.rax = 1ULL << 32 | CR0_PE;                      /* the upper half is not seen outside of 64-bit mode */
    INSN(EXIT_CR0_SEL, 0, 0, 0x0f, 0x22, 0xc0);
    DONE(3);
    v->regs.rax = 0;                                        /* back to real mode: a flush */
    INSN(EXIT_CR0_SEL, 0, 0, 0x0f, 0x22, 0xc0);
    DONE(3);
    assert_true(b->cr0 == CR0_ET && s->asid_gen == 0);
}

/* APM 14.6: paging goes on in long mode only with PAE, and not in code with L set. */
static void long_mode_on_and_off(void **st)
{
    svm_guest(0);
    assert_int_equal(svm_wrmsr(v, MSR_EFER, EFER_LME), 0);
    v->regs.rax = CR0_PE | CR0_PG;
    INSN(EXIT_CR0_SEL, 0, 0, 0x0f, 0x22, 0xc0);
    FAULT(EXC_ERR(X86_GP, 0));
    svm_set_cr4(s, CR4_PAE);
    b->cs.attr |= 0x200;
    INSN(EXIT_CR0_SEL, 0, 0, 0x0f, 0x22, 0xc0);
    FAULT(EXC_ERR(X86_GP, 0));
    b->cs.attr &= (u16)~0x200;
    INSN(EXIT_CR0_SEL, 0, 0, 0x0f, 0x22, 0xc0);
    DONE(3);
    assert_true(b->efer & EFER_LMA && b->cr0 & CR0_PG);
    v->regs.rax = CR0_PE;                                   /* compatibility code may leave, 64-bit code may not */
    long_mode();
    INSN(EXIT_CR0_SEL, 0, 0, 0x0f, 0x22, 0xc0);
    FAULT(EXC_ERR(X86_GP, 0));
    b->cs.attr &= (u16)~0x200;
    s->cr4 |= CR4_PCIDE;
    INSN(EXIT_CR0_SEL, 0, 0, 0x0f, 0x22, 0xc0);
    FAULT(EXC_ERR(X86_GP, 0));
    s->cr4 &= ~CR4_PCIDE;
    INSN(EXIT_CR0_SEL, 0, 0, 0x0f, 0x22, 0xc0);
    DONE(3);
    assert_false(b->efer & EFER_LMA || b->cr0 & CR0_PG);
}

static void cr4_writes(void **st)
{
    svm_guest(0);
    host_cr4 = CR4_MCE;
    v->hvm->limits.cr4 |= CR4_PCIDE;
    v->regs.rbx = CR4_PAE | CR4_PGE;
    INSN(EXIT_CR_WRITE + 4, 0, 0, 0x0f, 0x22, 0xe3);
    DONE(3);
    assert_true(s->cr4 == (CR4_PAE | CR4_PGE) && b->cr4 == (CR4_PAE | CR4_PGE | CR4_MCE));
    assert_int_equal(b->cr_read, 1 << 4);
    INSN(EXIT_CR_READ + 4, 0, 0, 0x0f, 0x20, 0xe1);         /* the guest does not see the host's MCE */
    DONE(3);
    assert_int_equal(v->regs.rcx, CR4_PAE | CR4_PGE);
    v->regs.rbx = CR4_PAE | CR4_MCE;
    s->asid_gen = 1;
    INSN(EXIT_CR_WRITE + 4, 0, 0, 0x0f, 0x22, 0xe3);
    DONE(3);
    assert_int_equal(b->cr_read, 0);
    assert_int_equal(s->asid_gen, 0);
    s->asid_gen = 1;
    v->regs.rbx |= CR4_TSD;
    INSN(EXIT_CR_WRITE + 4, 0, 0, 0x0f, 0x22, 0xe3);
    DONE(3);
    assert_int_equal(s->asid_gen, 1);                       /* no bit that translations depend on */
    v->regs.rbx = CR4_VMXE;
    INSN(EXIT_CR_WRITE + 4, 0, 0, 0x0f, 0x22, 0xe3);
    FAULT(EXC_ERR(X86_GP, 0));
    v->regs.rbx = CR4_PCIDE | CR4_PAE;                      /* outside of long mode */
    INSN(EXIT_CR_WRITE + 4, 0, 0, 0x0f, 0x22, 0xe3);
    FAULT(EXC_ERR(X86_GP, 0));
    long_mode();
    v->regs.rbx = s->cr4 & ~CR4_PAE;
    INSN(EXIT_CR_WRITE + 4, 0, 0, 0x0f, 0x22, 0xe3);
    FAULT(EXC_ERR(X86_GP, 0));
    v->regs.rbx = s->cr4 | CR4_PCIDE;
    b->cr3 |= 1;
    INSN(EXIT_CR_WRITE + 4, 0, 0, 0x0f, 0x22, 0xe3);
    FAULT(EXC_ERR(X86_GP, 0));
    b->cr3 &= ~1ULL;
    INSN(EXIT_CR_WRITE + 4, 0, 0, 0x0f, 0x22, 0xe3);
    DONE(3);
    b->cr3 |= 1;                                            /* it was on already */
    INSN(EXIT_CR_WRITE + 4, 0, 0, 0x0f, 0x22, 0xe3);
    DONE(3);
    v->regs.rbx = 1ULL << 40;
    INSN(EXIT_CR_WRITE + 4, 0, 0, 0x0f, 0x22, 0xe3);
    FAULT(EXC_ERR(X86_GP, 0));
}

static void cr8_writes(void **st)
{
    svm_guest(0);
    long_mode();
    v->regs.r9 = 6;
    INSN(EXIT_CR_WRITE + 8, 0, 0, 0x45, 0x0f, 0x22, 0xc1);  /* mov %r9, %cr8 */
    DONE(4);
    assert_true(b->v_tpr == 6 && vlapic_get_tpr(v) == 0x60);
    v->regs.r9 = 16;
    INSN(EXIT_CR_WRITE + 8, 0, 0, 0x45, 0x0f, 0x22, 0xc1);
    FAULT(EXC_ERR(X86_GP, 0));
    v->regs.rbx = 3;
    INSN(EXIT_CR_WRITE + 8, 0, 0, 0xf0, 0x0f, 0x22, 0xc3);  /* lock mov %rbx, %cr0 is CR8 too */
    DONE(4);
    assert_int_equal(b->v_tpr, 3);
}

/* What the exit does not tell is decoded: prefixes, REX, LMSW; what cannot be crashes. */
static void cr_forms(void **st)
{
    svm_guest(0);
    v->regs.rax = 0xffff0000 | CR0_TS;                      /* LMSW: four bits, and PE cannot be cleared */
    INSN(EXIT_CR0_SEL, 0, 0, 0x0f, 0x01, 0xf0);
    DONE(3);
    assert_int_equal(b->cr0, CR0_PE | CR0_ET | CR0_TS);
    v->regs.rax = 0;
    INSN(EXIT_CR0_SEL, 0, 0, 0x0f, 0x01, 0xf0);
    DONE(3);
    assert_int_equal(b->cr0, CR0_PE | CR0_ET);
    static const u8 prefixes[] = { 0x66, 0x67, 0xf2, 0xf3, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65 };
    for (unsigned i = 0; i < sizeof(prefixes); i++) {
        u8 code[] = { prefixes[i], 0x0f, 0x22, 0xc0 };
        v->regs.rax = CR0_PE;
        put_code(code, sizeof(code));
        run(EXIT_CR0_SEL, 0, 0);
        DONE(4);
    }
    INSN(EXIT_CR0_SEL, 0, 0, 0x48, 0x0f, 0x22, 0xc0);       /* REX does not exist here: dec %eax */
    assert_true(crashed("unknown control register access at rip 0x12000"));
    INSN(EXIT_CR0_SEL, 0, 0, 0x0f, 0x01, 0xe0);             /* SMSW */
    assert_true(crashed("unknown control register access"));
    INSN(EXIT_CR0_SEL, 0, 0, 0x0f, 0x23, 0xc0);
    assert_true(crashed("unknown control register access"));
    long_mode();
    v->regs.r8 = b->cr0;
    INSN(EXIT_CR0_SEL, 0, 0, 0x41, 0x66, 0x49, 0x0f, 0x22, 0xc0);   /* only the REX right before the opcode counts */
    DONE(6);
    /* A register that should not exit: #GP for writes, zero for reads. */
    INSN(EXIT_CR_WRITE + 4, 0, 0, 0x0f, 0x22, 0xd0);
    FAULT(EXC_ERR(X86_GP, 0));
    INSN(EXIT_CR_READ + 4, 0, 0, 0x0f, 0x20, 0xd0);
    DONE(3);
    assert_int_equal(v->regs.rax, 0);
    /* The code page is gone. */
    v->regs.rip = GiB(600);
    run(EXIT_CR_WRITE + 4, 0, 0);
    assert_int_equal(take_event(), EXC_ERR(X86_PF, 16));
    run(EXIT_CR_READ + 4, 0, 0);
    assert_int_equal(take_event(), EXC_ERR(X86_PF, 16));
    assert_int_equal(b->cr2, GiB(600));
    /* Cut off by the end of memory. */
    v->regs.rip = 256 * PAGE_SIZE - 2;
    memcpy((char *)fake_guest_ptr(d, 255 * PAGE_SIZE) + 4094, "\x0f\x22", 2);
    run(EXIT_CR_WRITE + 4, 0, 0);
    assert_true(crashed("unknown control register access"));
}

/* With decode assists the exit says it all; LMSW and CLTS are still decoded. */
static void cr_decode_assists(void **st)
{
    svm_guest(ALL_FEATURES);
    long_mode();
    memset(fake_guest_ptr(d, CODE), 0xcc, 16);
    v->regs.rip = CODE;
    v->regs.rdi = s->cr4 | CR4_PGE | CR4_TSD;
    b->next_rip = CODE + 3;
    run(EXIT_CR_WRITE + 4, 1ULL << 63 | 7, 0);
    DONE(3);
    assert_int_equal(s->cr4 & CR4_TSD, CR4_TSD);
    v->regs.rip = CODE;
    run(EXIT_CR_READ + 4, 1ULL << 63 | 6, 0);
    DONE(3);
    assert_int_equal(v->regs.rsi, s->cr4);
    v->regs.rip = CODE;
    v->regs.rcx = b->cr0 | CR0_TS;
    run(EXIT_CR0_SEL, 1ULL << 63 | 1, 0);
    DONE(3);
    assert_true(b->cr0 & CR0_TS);
    v->regs.rax = b->cr0 & ~CR0_TS & 0xffff;
    INSN(EXIT_CR0_SEL, 0, 0, 0x0f, 0x01, 0xf0);
    DONE(3);
    assert_false(b->cr0 & CR0_TS);
}

static void debug_registers(void **st)
{
    svm_guest(0);
    for (unsigned i = 0; i < 4; i++)
        s->dr[i] = 0x1000 * (i + 1);
    assert_int_equal(b->dr_read, 0xffff);
    CODE_BYTES(0x0f, 0x21, 0xc0);
    run(EXIT_DR_READ, 0, 0);
    FAULT(0);                                               /* executed again, without us */
    assert_int_equal(b->dr_read | b->dr_write, 0);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(fake_x86.dr[i], 0x1000 * (i + 1));
    struct vcpu_state x;
    fake_x86.dr[1] = 0x9000;                                /* the guest writes the register itself */
    svm_get_state(v, &x);
    assert_int_equal(x.dr[1], 0x9000);
    x.dr[1] = 0xa000;
    assert_int_equal(svm_set_state(v, &x), 0);              /* loaded again at the next access */
    assert_true(!s->dr_live && b->dr_write == 0xffff && s->dr[1] == 0xa000);
    run(EXIT_DR_WRITE + 7, 0, 0);
    assert_int_equal(fake_x86.dr[1], 0xa000);
}

/* ---- ports ---- */
static struct { u16 port; unsigned size, n; bool write; u32 val; } port;
static void port_fn(struct vcpu *vc, u16 p, unsigned size, bool write, u32 *val, void *arg)
{
    port.port = p;
    port.size = size;
    port.write = write;
    port.n++;
    if (write)
        port.val = *val;
    else
        *val = port.val;
}
#define IO(p, bytes, flags) ((u64)(p) << 16 | (bytes) << 4 | (flags))

static void port_exits(void **st)
{
    static const struct { u32 size; u64 in; } t[] = { { 1, 0x1122334455667784 }, { 2, 0x1122334455668384 },
                                                      { 4, 0x81828384 } };

    svm_guest(0);
    assert_int_equal(pio_register(d, 0x300, 0x307, port_fn, NULL), 0);
    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        v->regs.rax = 0x1122334455667788;
        port.val = 0x81828384;
        CODE_BYTES(0xec);
        run(EXIT_IOIO, IO(0x300, t[i].size, IOIO_IN), CODE + 1);
        DONE(1);
        assert_int_equal(v->regs.rax, t[i].in);
        assert_true(port.port == 0x300 && port.size == t[i].size && !port.write);
        v->regs.rax = 0x1122334455667788;
        CODE_BYTES(0xee);
        run(EXIT_IOIO, IO(0x304, t[i].size, 0), CODE + 1);
        DONE(1);
        assert_true(port.port == 0x304 && port.write && port.val == (u32)(0x55667788 & (~0ULL >> (64 - 8 * t[i].size))));
    }
}

static void outs(u64 info, unsigned len, const u8 *code)
{
    port.n = 0;
    put_code(code, len);
    run(EXIT_IOIO, IO(0x300, 1, IOIO_STR) | info, CODE + len);
}

static void string_exits(void **st)
{
    static const struct { u8 prefix; unsigned seg; } t[] = {
        { 0x26, SEG_ES }, { 0x2e, SEG_CS }, { 0x36, SEG_SS }, { 0x3e, SEG_DS }, { 0x64, SEG_FS }, { 0x65, SEG_GS },
    };
    const u8 plain[] = { 0x6e }, flip[] = { 0x67, 0x6e }, rep[] = { 0xf3, 0x6e };

    svm_guest(0);
    assert_int_equal(pio_register(d, 0x300, 0x307, port_fn, NULL), 0);
    u8 *ram = fake_guest_ptr(d, 0x13000);
    for (unsigned i = 0; i < 16; i++)
        ram[i] = (u8)(0x40 + i);
    struct vmcb_seg *seg[] = { &b->es, &b->cs, &b->ss, &b->ds, &b->fs, &b->gs };
    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        const u8 code[] = { t[i].prefix, 0x6e };
        v->regs.rsi = 0x13000 - 0x100;
        seg[t[i].seg]->base = t[i].seg == SEG_CS ? 0 : 0x100 + i;
        outs(0, 2, code);
        DONE(2);
        assert_true(port.n == 1 && port.val == (t[i].seg == SEG_CS ? *((u8 *)fake_guest_ptr(d, 0x12f00)) : 0x40 + i));
        assert_int_equal(v->regs.rsi, 0x13000 - 0xff);
        seg[t[i].seg]->base = 0;
    }
    v->regs.rsi = 0x13001;
    outs(0, 1, plain);
    DONE(1);
    assert_int_equal(port.val, 0x41);
    v->regs.rsi = 0x13002;
    v->regs.rcx = 3;
    outs(IOIO_REP, 2, rep);
    DONE(2);
    assert_true(port.n == 3 && port.val == 0x44 && v->regs.rcx == 0);
    /* Address size: 16 bits by prefix; in 16-bit code 32 bits by prefix. */
    v->regs.rsi = 0xabcd0000 | 0x3005;
    b->ds.base = 0x10000;
    outs(0, 2, flip);
    DONE(2);
    assert_int_equal(port.val, 0x45);
    b->cs.attr &= (u16)~0x400;
    v->regs.rsi = 0xabcd0000 | 0x3006;
    outs(0, 1, plain);
    DONE(1);
    assert_int_equal(port.val, 0x46);
    v->regs.rsi = 0x3007;
    outs(0, 2, flip);
    DONE(2);
    assert_int_equal(port.val, 0x47);
    b->ds.base = 0;
    /* 64-bit code, and INS. */
    long_mode();
    v->regs.rsi = 0x13008;
    outs(0, 1, plain);
    DONE(1);
    assert_int_equal(port.val, 0x48);
    v->regs.rsi = 0xffffffff00013009;
    outs(0, 2, flip);
    DONE(2);
    assert_int_equal(port.val, 0x49);
    assert_int_equal(v->regs.rsi, 0x1300a);
    v->regs.rdi = 0x13100;
    port.val = 0x99;
    CODE_BYTES(0x6c);
    run(EXIT_IOIO, IO(0x300, 1, IOIO_STR | IOIO_IN), CODE + 1);
    DONE(1);
    assert_int_equal(*(u8 *)fake_guest_ptr(d, 0x13100), 0x99);
    /* The instruction's page is gone: the fault, no access. */
    v->regs.rip = GiB(600);
    port.n = 0;
    run(EXIT_IOIO, IO(0x300, 1, IOIO_STR), GiB(600) + 1);
    assert_int_equal(take_event(), EXC_ERR(X86_PF, 16));
    assert_int_equal(port.n, 0);
}

static void string_decode_assists(void **st)
{
    const u8 code[] = { 0x64, 0x6e };

    svm_guest(ALL_FEATURES);
    assert_int_equal(pio_register(d, 0x300, 0x307, port_fn, NULL), 0);
    memset(fake_guest_ptr(d, 0x13000), 0x5a, 64);
    b->fs.base = 0x13000;
    v->regs.rsi = 0xffff0010;
    outs(1u << 7 | SEG_FS << 10, 2, code);                  /* 16-bit addresses, FS: what the exit says */
    DONE(2);
    assert_true(port.val == 0x5a && v->regs.rsi == 0xffff0011);
    v->regs.rsi = 0x20;
    outs(2u << 7 | 7u << 10, 2, code);                      /* a segment that does not exist: look at the bytes */
    DONE(2);
    assert_int_equal(port.val, 0x5a);
    v->regs.rsi = 0x21;
    outs(0, 2, code);                                       /* no address size */
    DONE(2);
    assert_int_equal(port.val, 0x5a);
    /* A length that cannot be. */
    v->regs.rsi = 0x22;
    put_code(code, 2);
    run(EXIT_IOIO, IO(0x300, 1, IOIO_STR) | 2u << 7 | SEG_FS << 10, CODE + 100);
    DONE(15);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(undefined_and_ignored), cmocka_unit_test(unknown_exits), cmocka_unit_test(second_stage_faults),
        cmocka_unit_test(lengths), cmocka_unit_test(length_cache), cmocka_unit_test(bytes_that_do_not_fit),
        cmocka_unit_test(rdtsc_and_rdtscp), cmocka_unit_test(vmmcalls), cmocka_unit_test(msrs),
        cmocka_unit_test(msr_values), cmocka_unit_test(xsetbv_exit), cmocka_unit_test(caches_and_pause),
        cmocka_unit_test(cr0_writes), cmocka_unit_test(long_mode_on_and_off), cmocka_unit_test(cr4_writes),
        cmocka_unit_test(cr8_writes), cmocka_unit_test(cr_forms), cmocka_unit_test(cr_decode_assists),
        cmocka_unit_test(debug_registers), cmocka_unit_test(port_exits), cmocka_unit_test(string_exits),
        cmocka_unit_test(string_decode_assists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
