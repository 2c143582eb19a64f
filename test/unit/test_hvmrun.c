/* SPDX-License-Identifier: MIT */
/*
 * Around an entry: what is delivered and in which order, windows, callbacks, wake-up conditions, HLT, triple faults,
 * start-up states, extended registers, and the lives of a domain's and a vCPU's virtual hardware.
 */
#include <string.h>
#include "call_env.h"
#include "cpu/cpu.h"
#include "cpu/x86.h"
#include "hvm/hvm_vcpu.h"
#include "hvm/vlapic.h"
#include "hvm/policy_private.h"
#include "mm/block.h"
#include "sched/internal.h"

enum { SVR = 0xf0, TPR = 0x80 };
static struct domain *g;
static struct vcpu *v, *w;
static struct fake_vcpu *f;

static int setup_flags(bool hwdom)
{
    static struct cpu early;

    this_cpu_ptr = &early;
    fake_machine_init(64, 2);
    *fake_msr(MSR_XSS) = 0x100;                             /* of whatever ran before */
    sched_init();
    list_init(&runq);
    policy_init();
    dom0 = fake_domain(0, 16);
    g = fake_domain_vcpus(1, 64, 2);
    for (unsigned i = 0; i < 2; i++)
        vcpu_set_up(g->vcpu[i]);
    domain_unpause(g);
    v = g->vcpu[0];
    w = g->vcpu[1];
    f = fake_vcpu(v);
    fake_enter_cpu(0, v);
    hvm_load(v);
    v->regs.rflags = 2 | RFLAGS_IF;
    vlapic_write_reg(v, SVR, 0x1ff);
    f->nr_injected = 0;
    return 0;
}
static int setup(void **st) { return setup_flags(false); }

/* One entry; what it injected: type << 8 | vector, -1 for nothing. */
static int entry(void)
{
    f->nr_injected = 0;
    f->want_intr = f->want_nmi = false;
    hvm_run(v);
    assert_true(f->nr_injected <= 1);
    return f->nr_injected ? (int)f->injected[0].type << 8 | f->injected[0].vector : -1;
}
#define INTR(vec) (EV_EXTINT << 8 | (vec))
#define NMI       (EV_NMI << 8 | 2)

/* ---- delivery ---- */
static void order_of_events(void **st)
{
    assert_int_equal(entry(), -1);
    assert_false(f->want_intr || f->want_nmi);
    vlapic_set_irq(v, 0x41, false);
    vlapic_set_irq(v, 0x91, false);
    hvm_inject_nmi(v);
    assert_int_equal(entry(), NMI);                         /* the NMI first, the window for the rest */
    assert_true(f->want_intr && !v->hvm->nmi_pending);
    assert_int_equal(entry(), INTR(0x91));
    assert_false(f->want_intr);                             /* the other one has a lower priority: after EOI */
    vlapic_write_reg(v, 0xb0, 0);
    assert_int_equal(entry(), INTR(0x41));
    vlapic_write_reg(v, 0xb0, 0);
    /* Two of the same class: the window stays for what the first one does not hold back. */
    vlapic_set_irq(v, 0x41, false);
    v->hvm->nmi_pending = 0;
    f->queued = true;                                       /* an interrupted delivery goes before all */
    hvm_inject_nmi(v);
    assert_int_equal(entry(), -1);
    assert_true(f->want_intr && f->want_nmi && v->hvm->nmi_pending);
    f->state.nmi_blocked = true;
    assert_int_equal(entry(), INTR(0x41));
    assert_true(f->want_nmi);
    f->state.nmi_blocked = false;
    assert_int_equal(entry(), NMI);
    vlapic_write_reg(v, 0xb0, 0);
    v->regs.rflags = 2;
    vlapic_set_irq(v, 0x61, false);
    assert_int_equal(entry(), -1);
    assert_true(f->want_intr);
    f->state.intr_shadow = 1;
    v->regs.rflags |= RFLAGS_IF;
    assert_int_equal(entry(), -1);
    assert_true(f->want_intr);
    f->state.intr_shadow = 0;
    assert_int_equal(entry(), INTR(0x61));
}

static void raise_upcall(struct vcpu *to)
{
    guest_vcpu_info(to)->evtchn_upcall_pending = 1;
    hvm_upcall(to);
}

static void callbacks(void **st)
{
    assert_int_equal(hvm_set_callback(g, 0xffULL << 56), -EINVAL);
    assert_int_equal(hvm_set_callback(g, (u64)HVM_PARAM_CALLBACK_TYPE_VECTOR << 56 | 15), -EINVAL);
    assert_int_equal(hvm_set_callback(g, 1), 0);            /* "enlightened": no vector */
    assert_int_equal(g->hvm->callback_vector, 0);
    raise_upcall(v);
    assert_int_equal(entry(), -1);
    /* By vector: as long as the upcall is pending, around the APIC. Set while one is pending: looked at again. */
    fake_enter_cpu(1, w);
    fake_enter_cpu(0, v);
    unsigned kicks = fake_kicks[1];
    guest_vcpu_info(w)->evtchn_upcall_pending = 1;
    assert_int_equal(hvm_set_callback(g, (u64)HVM_PARAM_CALLBACK_TYPE_VECTOR << 56 | 0xf3), 0);
    assert_int_equal(fake_kicks[1], kicks + 1);
    assert_int_equal(entry(), INTR(0xf3));
    assert_int_equal(entry(), INTR(0xf3));
    vlapic_set_irq(v, 0x51, false);
    assert_int_equal(entry(), INTR(0xf3));
    assert_true(f->want_intr);                              /* the APIC's comes after it */
    guest_vcpu_info(v)->evtchn_upcall_pending = 0;
    assert_int_equal(entry(), INTR(0x51));
    vlapic_write_reg(v, 0xb0, 0);
    /* The vCPU's own vector goes through its APIC, once. */
    v->upcall_vector = 0x71;
    raise_upcall(v);
    assert_int_equal(hvm_callback_pending(v), -1);
    assert_int_equal(entry(), INTR(0x71));
    assert_int_equal(entry(), -1);
}

static void wake_up_conditions(void **st)
{
    assert_false(hvm_has_pending(v));
    v->hvm->nmi_pending = 1;
    assert_true(hvm_has_pending(v));
    v->hvm->nmi_pending = 0;
    f->queued = true;
    assert_true(hvm_has_pending(v));
    f->queued = false;
    vlapic_set_irq(v, 0x41, false);
    assert_true(hvm_has_pending(v));
    v->regs.rflags = 2;
    assert_false(hvm_has_pending(v));                       /* no interrupt ends a HLT with IF clear */
    v->regs.rflags |= RFLAGS_IF;
    vlapic_set_tpr(v, 0x50);
    assert_false(hvm_has_pending(v));
    assert_int_equal(hvm_set_callback(g, (u64)HVM_PARAM_CALLBACK_TYPE_VECTOR << 56 | 0xf3), 0);
    guest_vcpu_info(v)->evtchn_upcall_pending = 1;
    assert_true(hvm_has_pending(v));
    v->regs.rflags = 2;
    assert_false(hvm_has_pending(v));
    vlapic_deliver(g, 0, false, 5, 0, false);               /* INIT */
    assert_true(hvm_has_pending(v));
}

static void an_init_takes_it_down(void **st)
{
    vlapic_deliver(g, 0, false, 5, 0, false);
    unsigned entries = f->loads;
    f->nr_injected = 0;
    hvm_inject_nmi(v);
    hvm_run(v);
    assert_true(v->flags & VF_DOWN);
    assert_int_equal(f->nr_injected, 0);
    assert_int_equal(f->loads, entries);
    /* SIPI: real mode at vector << 12; PAT, XCR0 and TSC_AUX survive INIT. */
    f->state.pat = 0x0606060606060606;
    f->state.tsc_aux = 3;
    f->state.xcr0 = 7;
    f->state.cr0 = 0x80050033;
    vlapic_deliver(g, 0, false, 6, 0x9a, false);
    hvm_run(v);
    assert_int_equal(v->flags, 0);
    assert_true(f->state.seg[SEG_CS].sel == 0x9a00 && f->state.seg[SEG_CS].base == 0x9a000 && v->regs.rip == 0);
    assert_true(f->state.cr0 == CR0_ET && f->state.pat == 0x0606060606060606 && f->state.tsc_aux == 3 && f->state.xcr0 == 7);
    assert_true(v->regs.rflags == 2 && !v->hvm->nmi_pending);
}

/* ---- HLT, triple fault, calls ---- */
static void halting(void **st)
{
    vlapic_set_irq(v, 0x41, false);
    hvm_hlt(v);
    assert_int_equal(v->flags, 0);                          /* something is pending */
    assert_int_equal(entry(), INTR(0x41));
    hvm_hlt(v);
    assert_int_equal(v->flags, VF_BLOCKED);
    vcpu_wake(v);
    /* With interrupts off it is for good: the vCPU is down, with the last one the guest. */
    v->regs.rflags = 2;
    hvm_hlt(v);
    assert_true(v->flags == VF_DOWN && !g->shut_down);
    fake_enter_cpu(0, w);
    w->regs.rflags = 2;
    hvm_hlt(w);
    assert_true(g->shut_down && g->shutdown_code == SHUTDOWN_poweroff);
}

static void triple_faults(void **st)
{
    static const struct { u64 param; u8 code; } t[] = {
        { 0, SHUTDOWN_reboot }, { SHUTDOWN_crash, SHUTDOWN_crash }, { SHUTDOWN_MAX, SHUTDOWN_MAX },
        { SHUTDOWN_MAX + 1, SHUTDOWN_reboot }, { ~0ULL, SHUTDOWN_reboot },
    };

    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        g->params[HVM_PARAM_TRIPLE_FAULT_REASON] = t[i].param;
        hvm_triple_fault(v);
        assert_true(g->shut_down && g->shutdown_code == t[i].code);
        domain_resume(g);
    }
    assert_non_null(strstr(fake_log, "Domain 1 vcpu#0: triple fault"));
}

static void who_may_call(void **st)
{
    v->regs.rax = __HYPERVISOR_xen_version;
    assert_true(hvm_hypercall(v, 3, true, true));
    assert_int_equal((s64)v->regs.rax, -EPERM);
    v->regs.rax = __HYPERVISOR_xen_version;
    assert_true(hvm_hypercall(v, 3, false, false));
    assert_int_equal(v->regs.rax, (u32)-EPERM);
    v->regs.rax = __HYPERVISOR_xen_version;
    assert_true(hvm_hypercall(v, 0, false, false));
    assert_int_equal(v->regs.rax, (u32)-ENOSYS);
    v->regs.rax = __HYPERVISOR_xen_version;
    v->regs.rdi = XENVER_version;
    assert_true(hvm_hypercall(v, 0, true, true));
    assert_int_equal(v->regs.rax, 4 << 16 | 17);
}

static void injections(void **st)
{
    f->nr_injected = 0;
    hvm_inject_page_fault(v, 0x1234, 6);
    assert_true(f->cr2 == 0x1234 && f->injected[0].vector == X86_PF && f->injected[0].error == 6);
    hvm_inject_exception(v, X86_UD, NO_ERROR_CODE);
    assert_true(f->injected[1].vector == X86_UD && f->injected[1].error == NO_ERROR_CODE);
}

/* ---- states ---- */
static void start_states(void **st)
{
    hvm_set_pvh_entry(v, 0x100000, 0x9000);
    assert_true(v->regs.rip == 0x100000 && v->regs.rbx == 0x9000 && v->regs.rflags == 2 && v->regs.rdx == 0);
    assert_int_equal(f->state.cr0, CR0_PE | CR0_ET);
    assert_true(f->state.seg[SEG_CS].attr == 0xc9b && f->state.seg[SEG_DS].limit == ~0u && f->state.seg[SEG_TR].limit == 0x67);
    hvm_set_long_mode(v, 0x2000, 0x8000, 0x5000, 0x77);
    assert_true(v->regs.rip == 0x2000 && v->regs.rsp == 0x8000 && v->regs.rdi == 0x77);
    assert_true(f->state.cr3 == 0x5000 && f->state.cr0 & CR0_PG && f->state.efer & EFER_LMA && f->state.cr4 & CR4_PAE);
    assert_int_equal(f->state.seg[SEG_CS].attr, 0xa9b);
    assert_int_equal(hvm_reset_state(v, 0xf000, 0xffff0000, 0xfff0), 0);
    assert_true(v->regs.rip == 0xfff0 && f->state.seg[SEG_CS].base == 0xffff0000 && f->state.cr0 == CR0_ET);
    struct cpuid_leaf l;
    hvm_cpuid(v, 1, 0, &l);
    assert_int_equal(v->regs.rdx, l.a);
}

static void valid_values(void **st)
{
    static const struct { u64 cr0; bool good; } c[] = {
        { 0, true }, { CR0_PE, true }, { CR0_PE | CR0_PG, true }, { CR0_PG, false }, { CR0_CD, true }, { CR0_NW, false },
        { CR0_NW | CR0_CD, true }, { 1ULL << 32, false }, { 1ULL << 63, false },
    };
    for (unsigned i = 0; i < ARRAY_SIZE(c); i++)
        assert_int_equal(hvm_cr0_valid(c[i].cr0), c[i].good);
    for (unsigned t = 0; t < 256; t++)
        for (unsigned at = 0; at < 64; at += 8) {
            u64 pat = 0x0606060606060606ULL & ~(0xffULL << at);
            assert_int_equal(hvm_pat_valid(pat | (u64)t << at), t <= 7 && t != 2 && t != 3);
        }
}

/* ---- extended registers ---- */
static void without_xsave(void **st)
{
    host_features[FEAT_XSAVE / 32] &= ~(1u << FEAT_XSAVE % 32);
    xstate_boot();
    assert_non_null(strstr(fake_log, "no XSAVE"));
    assert_int_equal(xstate_host_mask(), 3);
    xstate_boot_ap();
    u8 *area = v->hvm->xstate;
    assert_true(v->hvm->xstate_live);
    fake_x86.live[100] = 0x77;
    hvm_unload(v);
    assert_true(area[100] == 0x77 && !v->hvm->xstate_live);
    hvm_unload(v);                                          /* not twice */
    area[100] = 0x78;
    hvm_load(v);
    assert_int_equal(fake_x86.live[100], 0x78);
    area[27] = 0xff;                                        /* reserved bits of MXCSR */
    hvm_load(v);
    assert_non_null(strstr(fake_log, "contents refused by the CPU"));
    assert_true(area[27] == 0 && area[0] == 0x7f && fake_x86.live[0] == 0x7f);
    assert_int_equal(fake_x86.xsetbvs, 0);
    size_t size;
    fake_x86.live[200] = 0x55;
    assert_ptr_equal(hvm_xstate(v, &size), area);
    assert_true(size == 576 && area[200] == 0x55 && !v->hvm->xstate_live);
    assert_ptr_equal(hvm_xstate(v, &size), area);           /* saved already */
    entry();
    assert_true(v->hvm->xstate_live && fake_x86.live[200] == 0x55);
    fake_x86.refuse_xrstor = true;
    assert_true(fake_expect_panic(xstate_load(v->hvm)));
    assert_non_null(strstr(fake_panic_text, "reset state refused"));
}

static void with_xsave(void **st)
{
    host_features[FEAT_XSAVE / 32] |= 1u << FEAT_XSAVE % 32;
    fake_log_clear();
    xstate_boot();
    assert_non_null(strstr(fake_log, "xstate: components 0x207, 2440 bytes per vCPU"));
    assert_int_equal(xstate_host_mask(), 0x207);
    assert_true(fake_x86.cr4 & CR4_OSXSAVE && host_cr4 & CR4_OSXSAVE && fake_x86.xcr0 == 0x207);
    fake_x86.xcr0 = 1;
    xstate_boot_ap();
    assert_int_equal(fake_x86.xcr0, 0x207);
    /* The registers are switched under the host's full mask, then the guest's own is there. */
    v->hvm->limits.xcr0 = 7;
    v->hvm->xcr0 = 3;
    hvm_load(v);
    assert_int_equal(fake_x86.xcr0, 3);
    fake_x86.xcr0 = 7;                                      /* QEMU's TCG: changed without an exit */
    struct hvm_vcpu *h = v->hvm;
    xstate_sync_xcr0(h);
    assert_int_equal(h->xcr0, 7);
    fake_x86.xcr0 = 0x207;                                  /* more than it may have */
    xstate_sync_xcr0(h);
    assert_int_equal(h->xcr0, 7);
    fake_x86.xcr0 = 7;
    hvm_unload(v);
    assert_int_equal(fake_x86.xcr0, 0x207);
    fake_x86.xcr0 = 1;
    xstate_sync_xcr0(h);                                    /* not loaded: the register is somebody else's */
    assert_int_equal(h->xcr0, 7);
    assert_int_equal(hvm_set_xcr0(v, 3), 0);
    assert_true(h->xcr0 == 3 && fake_x86.xcr0 == 1);
    h->xcr0 = 0x207;
    unsigned n = fake_x86.xsetbvs;
    hvm_load(v);
    hvm_unload(v);
    assert_int_equal(fake_x86.xsetbvs, n + 1);              /* equal masks: no switch back and forth */
    hvm_load(v);
    assert_int_equal(hvm_set_xcr0(v, 7), 0);
    assert_int_equal(fake_x86.xcr0, 7);
    assert_int_equal(hvm_set_xcr0(v, 5), -EINVAL);          /* AVX without SSE */
    assert_int_equal(hvm_set_xcr0(v, 1ULL << 62), -EINVAL);
    assert_int_equal(h->xcr0, 7);
    /* A record with a component that the host does not switch. */
    hvm_unload(v);
    ((u8 *)h->xstate)[512 + 3] = 1;
    fake_log_clear();
    hvm_load(v);
    assert_non_null(strstr(fake_log, "contents refused by the CPU"));
    assert_int_equal(((u8 *)h->xstate)[512], 3);
}

/* What enables more than XCR0 shows is off, whatever ran before (I-9). */
static void no_supervisor_states(void **st)
{
    host_features[FEAT_XSAVES / 32] &= ~(1u << FEAT_XSAVES % 32);
    fake_x86.nr_msrs = 0;                                   /* it would fault */
    xstate_boot();
    host_features[FEAT_XSAVES / 32] |= 1u << FEAT_XSAVES % 32;
    *fake_msr(MSR_XSS) = 0x100;
    xstate_boot_ap();
    assert_int_equal(*fake_msr(MSR_XSS), 0);
}

/* XSA-52: the x87 pointers of the vCPU before are gone, also where the CPU leaves them in the registers. */
static void x87_pointers_of_others(void **st)
{
    static const u8 zero[16];

    for (unsigned old = 0; old < 2; old++) {
        if (old)
            host_features[FEAT_XSAVEERPTR / 32] &= ~(1u << FEAT_XSAVEERPTR % 32);
        else
            host_features[FEAT_XSAVEERPTR / 32] |= 1u << FEAT_XSAVEERPTR % 32;
        xstate_boot();
        hvm_unload(v);
        fake_x86.keeps_x87_pointers = old;
        memset(fake_x86.live + X87_POINTERS, 0x77, 16);
        hvm_load(v);
        assert_memory_equal(fake_x86.live + X87_POINTERS, zero, 16);
    }
}

static void avx512_in_three_parts(void **st)
{
    assert_int_equal(xstate_switched(0xe7), 0xe7);
    assert_int_equal(xstate_switched(0x67), 0x07);
    assert_int_equal(xstate_switched(0xe3), 0x03);
    assert_int_equal(xstate_switched(~0ULL), 0x2e7);
}

/* ---- lives ---- */
static void lives_of_vcpus(void **st)
{
    hvm_unload(v);
    fake_enter_cpu(0, NULL);
    hvm_vcpu_destroy(w);
    hvm_vcpu_destroy(w);                                    /* nothing is left */
    u64 before = heap_objects();
    for (unsigned k = 1;; k++) {
        fake_fail_at(k);
        int rc = hvm_vcpu_init(w);
        if (!fake_failed()) {
            assert_int_equal(rc, 0);
            break;
        }
        assert_int_equal(rc, -ENOMEM);
        assert_null(w->hvm);
        assert_int_equal(heap_objects(), before);
    }
}

static void lives_of_domains(void **st)
{
    static const struct { bool hwdom; u32 flags; } kinds[] = {
        { false, XEN_X86_EMU_LAPIC }, { false, XEN_X86_EMU_LAPIC | XEN_X86_EMU_IOAPIC | XEN_X86_EMU_PIT }, { true, 0 },
    };

    for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++) {
        struct domain *d = kzalloc(sizeof(*d));
        d->is_hwdom = kinds[i].hwdom;
        d->emulation_flags = kinds[i].flags;
        d->max_vcpus = 1;
        spin_init(&d->lock, RANK_DOMAIN);
        u64 before = heap_objects();
        for (unsigned k = 1;; k++) {
            fake_fail_at(k);
            int rc = hvm_domain_init(d);
            if (!fake_failed()) {
                fake_fail_at(0);
                assert_int_equal(rc, 0);
                break;
            }
            assert_int_equal(rc, -ENOMEM);
            assert_null(d->hvm);
            assert_int_equal(heap_objects(), before);
        }
        assert_int_equal(d->ioapic != NULL, !!(kinds[i].flags & XEN_X86_EMU_IOAPIC));
        if (kinds[i].hwdom)
            assert_int_equal(vioapic_init(d), 0);
        hvm_domain_destroy(d);
        hvm_domain_destroy(d);
        assert_int_equal(heap_objects(), before);
        kfree(d);
    }
}

static void tsc_modes(void **st)
{
    struct vcpu_time_info *t = &guest_vcpu_info(v)->time;

    g->tsc_offset = 1000;
    g->tsc_mode = 1;
    g->vcpu[1] = NULL;                                      /* one that was not made */
    hvm_update_tsc(g);
    g->vcpu[1] = w;
    assert_true(f->tsc_offset == 1000 && f->trap_rdtsc);
    assert_int_equal(t->tsc_timestamp - 1000, tsc_read());
    assert_int_equal(t->flags, XEN_PVCLOCK_TSC_STABLE_BIT);
    tsc_reliable = false;
    g->tsc_mode = 0;
    hvm_update_tsc(g);
    assert_true(!f->trap_rdtsc && t->flags == 0 && !(t->version & 1));
    tsc_reliable = true;
}

/* ---- registers that only some have ---- */
static u64 rd(u32 msr)
{
    u64 val = 0x5555;

    assert_int_equal(hvm_rdmsr(v, msr, &val), 0);
    return val;
}

static void optional_msrs(void **st)
{
    u64 val;

    v->hvm->limits.tsc_adjust = false;
    v->hvm->limits.pred_cmd = 0;
    assert_int_equal(hvm_rdmsr(v, 0x3b, &val), -EINVAL);
    assert_int_equal(hvm_wrmsr(v, 0x3b, 5), -EINVAL);
    v->hvm->limits.tsc_adjust = true;
    u64 tsc = rd(0x10);
    assert_int_equal(hvm_wrmsr(v, 0x3b, 500), 0);
    assert_true(rd(0x3b) == 500 && rd(0x10) == tsc + 500 && f->tsc_offset == hvm_tsc_offset(v));
    assert_int_equal(hvm_wrmsr(v, 0x10, tsc + 700), 0);
    assert_int_equal(rd(0x3b), 700);
    assert_int_equal(hvm_wrmsr(v, 0x49, 1), -EINVAL);
    v->hvm->limits.pred_cmd = PRED_CMD_IBPB;
    assert_int_equal(hvm_wrmsr(v, 0x49, 1), -EINVAL);       /* the CPU refuses */
    *fake_msr(MSR_PRED_CMD) = 0;
    assert_int_equal(hvm_wrmsr(v, 0x49, 2), -EINVAL);
    assert_int_equal(hvm_wrmsr(v, 0x49, 0), 0);
    assert_int_equal(fake_x86.msr_writes, 0);
    assert_int_equal(hvm_wrmsr(v, 0x49, 1), 0);
    assert_int_equal(*fake_msr(MSR_PRED_CMD), 1);
    assert_int_equal(hvm_wrmsr(v, 0x1a0, ~0ULL), 0);
    assert_int_equal(rd(0x1a0), 0x1801);
    assert_int_equal(rd(0x8b), 0);
    *fake_msr(MSR_UCODE_REV) = 0x8301055;
    assert_int_equal(rd(0x8b), 0x8301055);
    assert_int_equal(hvm_rdmsr(v, 0x10a, &val), -EINVAL);
    g->policy->feat[0].d |= 1u << XEN_X86_FEATURE_ARCH_CAPS % 32;
    g->policy->arch_caps = 0x2b;
    assert_int_equal(rd(0x10a), 0x2b);
    assert_int_equal(hvm_wrmsr(v, 0x10a, 0), -EINVAL);
    assert_int_equal(hvm_rdmsr(v, 0xc0010064, &val), -EINVAL);
    g->is_hwdom = true;                                     /* P-states: read through */
    assert_int_equal(hvm_rdmsr(v, 0xc0010064, &val), -EINVAL);
    *fake_msr(0xc0010064) = 0x8000000045;
    assert_int_equal(rd(0xc0010064), 0x8000000045);
    g->is_hwdom = false;
    assert_int_equal(hvm_rdmsr(v, 0xce, &val), g->policy->platform_info ? 0 : -EINVAL);
    g->policy->platform_info = 1u << 31;
    assert_int_equal(rd(0xce), 1u << 31);
    assert_int_equal(hvm_wrmsr(v, 0xce, 0), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(order_of_events, setup), cmocka_unit_test_setup(callbacks, setup),
        cmocka_unit_test_setup(wake_up_conditions, setup), cmocka_unit_test_setup(an_init_takes_it_down, setup),
        cmocka_unit_test_setup(halting, setup), cmocka_unit_test_setup(triple_faults, setup),
        cmocka_unit_test_setup(who_may_call, setup), cmocka_unit_test_setup(injections, setup),
        cmocka_unit_test_setup(start_states, setup), cmocka_unit_test_setup(valid_values, setup),
        cmocka_unit_test_setup(without_xsave, setup), cmocka_unit_test_setup(with_xsave, setup),
        cmocka_unit_test_setup(no_supervisor_states, setup), cmocka_unit_test_setup(x87_pointers_of_others, setup),
        cmocka_unit_test_setup(avx512_in_three_parts, setup), cmocka_unit_test_setup(lives_of_vcpus, setup),
        cmocka_unit_test_setup(lives_of_domains, setup), cmocka_unit_test_setup(tsc_modes, setup),
        cmocka_unit_test_setup(optional_msrs, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
