/* SPDX-License-Identifier: MIT */
/* Calls that wait, end or repeat: sched_op, vcpu_op, timers, multicall; what dom0's end means for the machine. */
#include <string.h>
#define OWN_SWITCH
#include "call_env.h"
#include "boot/cmdline.h"
#include "evtchn/evtchn.h"
#include "hvm/hvm_vcpu.h"

/* ---- the machine's switch ---- */
static jmp_buf off;
static const char *how_off;
static void __noreturn switched(const char *how)
{
    how_off = how;
    longjmp(off, 1);
}
void machine_halt(void) { switched("halt"); }
void machine_reboot(void) { switched("reboot"); }
void machine_poweroff(void) { switched("power off"); }
static void goes_off(const char *how, void (*fn)(u64), u64 arg)
{
    how_off = "on";
    dom0->shut_down = false;
    dom0->shutdown_code = SHUTDOWN_CODE_NONE;
    if (!setjmp(off))
        fn(arg);
    assert_string_equal(how_off, how);
    assert_no_locks();
}

/* ---- calls ---- */
static struct domain *g;                        /* a guest with two vCPUs, the caller */

static long op(unsigned nr, u64 a0, u64 a1, void *arg, size_t size)
{
    memcpy(fake_guest_ptr(g, 0x1000), arg ?: "", arg ? size : 0);
    struct vcpu_regs *r = &caller->regs;
    r->rax = nr;
    r->rdi = a0;
    r->rsi = nr == __HYPERVISOR_vcpu_op ? a1 : 0x1000;
    r->rdx = arg ? 0x1000 : 0;
    unsigned tries = 0;
    while (!call_dispatch(caller))
        assert_true(++tries < 1000);
    assert_no_locks();
    if (arg)
        memcpy(arg, fake_guest_ptr(g, 0x1000), size);
    return (long)r->rax;
}
#define sched(cmd, arg)    op(__HYPERVISOR_sched_op, cmd, 0, arg, sizeof(*(arg)))
#define vcpu(cmd, id, arg) op(__HYPERVISOR_vcpu_op, cmd, id, arg, sizeof(*(arg)))
#define vcpu0(cmd, id)     op(__HYPERVISOR_vcpu_op, cmd, id, NULL, 0)

static int guest_setup(void **st)
{
    env_test_setup(st);
    g = fake_domain_vcpus(1, 16, 2);
    for (unsigned i = 0; i < 2; i++)
        vcpu_set_up(g->vcpu[i]);
    domain_unpause(g);
    env_domain_caller(g);
    return 0;
}

static int guest_teardown(void **st)
{
    for (unsigned i = 0; i < nr_cpus; i++)
        fake_enter_cpu(i, NULL);
    return env_test_teardown(st);
}
#define G(f) cmocka_unit_test_setup_teardown(f, guest_setup, guest_teardown)

/* Unmasked port of g that is pending if raised; bound to its own loop. */
static u32 bind(struct vcpu *v)
{
    struct evtchn_bind_ipi b = { .vcpu = v->id };

    assert_int_equal(op(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_ipi, 0, &b, sizeof(b)), 0);
    return b.port;
}

static void raise_port(u32 port)
{
    struct evtchn_send s = { port };

    assert_int_equal(op(__HYPERVISOR_event_channel_op, EVTCHNOP_send, 0, &s, sizeof(s)), 0);
}

/* ---- sched_op ---- */
static void yield_and_block(void **st)
{
    struct vcpu *v = g->vcpu[0];

    assert_int_equal(sched(SCHEDOP_yield, &(u8){ 0 }), 0);
    assert_int_equal(v->flags, 0);
    this_cpu()->resched = false;
    assert_int_equal(sched(SCHEDOP_block, &(u8){ 0 }), 0);
    assert_true(v->flags == VF_BLOCKED && this_cpu()->resched);
    vcpu_wake(v);
    assert_int_equal(sched(SCHEDOP_pin_override, &(u8){ 0 }), -ENOSYS);
    assert_int_equal(sched(99, &(u8){ 0 }), -ENOSYS);
}

static void poll(void **st)
{
    struct vcpu *v = g->vcpu[0];
    u32 a = bind(v), b = bind(v);
    u32 *ports = fake_guest_ptr(g, 0x2000);
    struct sched_poll p = { .nr_ports = 2 };

    p.ports.p = (void *)0x2000;
    ports[0] = a;
    ports[1] = b;
    p.nr_ports = 129;
    assert_int_equal(sched(SCHEDOP_poll, &p), -EINVAL);
    p.nr_ports = 2;
    p.ports.p = (void *)BAD_GVA;
    assert_int_equal(sched(SCHEDOP_poll, &p), -EFAULT);
    p.ports.p = (void *)0x2000;
    ports[1] = 77;
    assert_int_equal(sched(SCHEDOP_poll, &p), -EINVAL);     /* not a port of its own */
    ports[1] = b;
    raise_port(b);
    assert_int_equal(sched(SCHEDOP_poll, &p), 0);           /* pending already */
    assert_int_equal(v->flags, 0);
    p.nr_ports = 1;
    p.timeout = now_ns() - 1;
    assert_int_equal(sched(SCHEDOP_poll, &p), 0);           /* the time is over */
    assert_true(!v->flags && !v->poll_active);
    p.timeout = now_ns() + 1000000;
    assert_int_equal(sched(SCHEDOP_poll, &p), 0);
    assert_true(v->flags == VF_BLOCKED && v->poll_active);
    fake_time_advance(2000000);
    timer_run();
    assert_int_equal(v->flags, 0);
    p.timeout = 0;
    assert_int_equal(sched(SCHEDOP_poll, &p), 0);           /* for ever, or until the port is raised */
    assert_int_equal(v->flags, VF_BLOCKED);
    fake_enter_cpu(1, g->vcpu[1]);
    caller = g->vcpu[1];
    raise_port(a);
    assert_true(!v->flags && !v->poll_active);
    caller = v;
    fake_enter_cpu(0, v);
    p.nr_ports = 0;                                         /* any event */
    assert_int_equal(sched(SCHEDOP_poll, &p), 0);
    assert_int_equal(v->flags, VF_BLOCKED);
    evtchn_poll_end(v);
    vcpu_wake(v);
}

/* Beyond repair: with the reason, once. */
static void crashes(void **st)
{
    domain_crash(g, "test %d\n", 7);
    assert_non_null(strstr(fake_log, "Domain 1 (vcpu#0) crashed: test 7\n"));
    fake_log_clear();
    domain_crash(g, "again");
    assert_null(strstr(fake_log, "again"));
    domain_resume(g);
    env_domain_caller(dom0);
    domain_crash(g, "from elsewhere");
    assert_non_null(strstr(fake_log, "Domain 1 (vcpu#0) crashed: from elsewhere\n"));
}

static void remote_shutdown(void **st)
{
    struct sched_remote_shutdown s = { .domain_id = 1, .reason = SHUTDOWN_reboot };

    assert_int_equal(sched(SCHEDOP_remote_shutdown, &s), -EPERM);
    env_domain_caller(dom0);
    gva_t at;
    struct sched_remote_shutdown *r = guest_buf(sizeof(*r), &at);
    *r = (struct sched_remote_shutdown){ .domain_id = 99 };
    assert_int_equal(hypercall(__HYPERVISOR_sched_op, SCHEDOP_remote_shutdown, at, 0), -ESRCH);
    r->domain_id = 0;
    assert_int_equal(hypercall(__HYPERVISOR_sched_op, SCHEDOP_remote_shutdown, at, 0), -EPERM);
    r->domain_id = 1;
    r->reason = 256;
    assert_int_equal(hypercall(__HYPERVISOR_sched_op, SCHEDOP_remote_shutdown, at, 0), -EINVAL);
    assert_false(g->shut_down);
    r->reason = SHUTDOWN_reboot;
    assert_int_equal(hypercall(__HYPERVISOR_sched_op, SCHEDOP_remote_shutdown, at, 0), 0);
    assert_true(g->shut_down && g->shutdown_code == SHUTDOWN_reboot);
    assert_int_equal(g->refs, 1);
}

static void noreboot(bool on) { cmdline_parse(on ? "noreboot" : "noreboot=0"); }

static void dom0_ends(u64 code) { domain_shutdown(dom0, (u8)code); }
static void dom0_crashes(u64 arg) { domain_crash(dom0, "of its own %lu\n", arg); }
static void dom0_sleeps(u64 state)
{
    struct xen_platform_op p = { .u.enter_acpi_sleep = { .sleep_state = (u32)state } };

    call_platform(XENPF_enter_acpi_sleep, &p);
}

/* dom0's end is the machine's. */
static void hwdom_ends(void **st)
{
    static const struct { u8 code; const char *how, *how_noreboot; } t[] = {
        { SHUTDOWN_poweroff, "power off", "power off" }, { SHUTDOWN_reboot, "reboot", "reboot" },
        { SHUTDOWN_suspend, "reboot", "halt" }, { SHUTDOWN_crash, "reboot", "halt" },
        { SHUTDOWN_watchdog, "reboot", "halt" }, { SHUTDOWN_soft_reset, "reboot", "halt" }, { 200, "reboot", "halt" },
    };

    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        goes_off(t[i].how, dom0_ends, t[i].code);
        noreboot(true);
        goes_off(t[i].how_noreboot, dom0_ends, t[i].code);
        noreboot(false);
    }
    fake_log_clear();
    goes_off("reboot", dom0_crashes, 5);
    assert_non_null(strstr(fake_log, "crashed: of its own 5"));
    assert_non_null(strstr(fake_log, "Hardware Dom0 crashed (reason 3)"));
    env_domain_caller(dom0);
    goes_off("power off", dom0_sleeps, 5);
}

/* ---- vcpu_op ---- */
static void up_and_down(void **st)
{
    assert_int_equal(vcpu0(VCPUOP_is_up, 1), 1);
    assert_int_equal(vcpu0(VCPUOP_down, 1), 0);
    assert_int_equal(vcpu0(VCPUOP_is_up, 1), 0);
    assert_int_equal(vcpu0(VCPUOP_up, 1), 0);
    assert_int_equal(vcpu0(VCPUOP_is_up, 1), 1);
    g->vcpu[1]->initialised = false;
    assert_int_equal(vcpu0(VCPUOP_up, 1), -EINVAL);
    g->vcpu[1]->initialised = true;
    assert_int_equal(vcpu0(VCPUOP_is_up, 2), -ENOENT);
    assert_int_equal(vcpu0(VCPUOP_is_up, ~0ULL), -ENOENT);
    assert_int_equal(op(__HYPERVISOR_vcpu_op, ~0ULL, 1, NULL, 0), -ENOSYS);
    assert_int_equal(vcpu(VCPUOP_send_nmi, 1, &(u8){ 0 }), -EINVAL);
    assert_int_equal(vcpu0(VCPUOP_send_nmi, 1), 0);
    assert_int_equal(g->vcpu[1]->hvm->nmi_pending, 1);
}

static void runstate_info(void **st)
{
    struct vcpu_runstate_info info;
    struct vcpu_register_runstate_memory_area a = { .addr.p = 0x3000 };

    fake_time_advance(123456);
    assert_int_equal(vcpu(VCPUOP_get_runstate_info, 1, &info), 0);
    assert_int_equal(info.state, RUNSTATE_runnable);
    assert_int_equal(info.time[RUNSTATE_runnable], 123456);
    assert_int_equal(vcpu(VCPUOP_register_runstate_memory_area, 1, &a), 0);
    struct vcpu_runstate_info *seen = fake_guest_ptr(g, 0x3000);
    assert_int_equal(seen->state, RUNSTATE_runnable);
    assert_int_equal(seen->state_entry_time, info.state_entry_time);
}

static void info_pages(void **st)
{
    struct vcpu_register_vcpu_info i = { .mfn = 4, .offset = 64 };

    assert_int_equal(vcpu(VCPUOP_register_vcpu_info, 1, &i), -EINVAL);  /* it is up */
    assert_int_equal(vcpu0(VCPUOP_down, 1), 0);
    assert_int_equal(vcpu(VCPUOP_register_vcpu_info, 1, &i), 0);
    struct vcpu_info *info = fake_guest_ptr(g, 0x4040);
    assert_ptr_equal(g->vcpu[1]->info, info);
    assert_true(info->time.tsc_to_system_mul == tsc_mul && !(info->time.version & 1) && info->time.version);
    assert_int_equal(vcpu(VCPUOP_register_vcpu_info, 1, &i), -EINVAL);  /* once only */
    i.mfn = 100;
    assert_int_equal(vcpu(VCPUOP_register_vcpu_info, 0, &i), -EINVAL);
}

static u32 timer_port(struct vcpu *v)
{
    struct evtchn_bind_virq b = { .virq = VIRQ_TIMER, .vcpu = v->id };

    assert_int_equal(op(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_virq, 0, &b, sizeof(b)), 0);
    return b.port;
}

static bool take_pending(u32 port)
{
    u64 *word = (u64 *)guest_shared_info(g)->evtchn_pending + port / 64;
    bool was = *word >> port % 64 & 1;

    *word &= ~(1ULL << port % 64);
    guest_vcpu_info(g->vcpu[0])->evtchn_pending_sel = guest_vcpu_info(g->vcpu[1])->evtchn_pending_sel = 0;
    guest_vcpu_info(g->vcpu[0])->evtchn_upcall_pending = guest_vcpu_info(g->vcpu[1])->evtchn_upcall_pending = 0;
    return was;
}

static void pass(u64 ns)
{
    fake_time_advance(ns);
    timer_run();
}

static void periodic_timer(void **st)
{
    u32 port = timer_port(g->vcpu[1]);
    struct vcpu_set_periodic_timer p = { .period_ns = 999999 };

    assert_int_equal(vcpu(VCPUOP_set_periodic_timer, 1, &p), -EINVAL);
    p.period_ns = (1ULL << 62) + 1;
    assert_int_equal(vcpu(VCPUOP_set_periodic_timer, 1, &p), -EINVAL);
    p.period_ns = 10000000;
    assert_int_equal(vcpu(VCPUOP_set_periodic_timer, 1, &p), 0);
    pass(9999999);
    assert_false(take_pending(port));
    pass(1);
    assert_true(take_pending(port));
    pass(9999999);
    assert_false(take_pending(port));
    pass(1);
    assert_true(take_pending(port));
    pass(1000000000);                                       /* late: once, not a hundred times */
    assert_true(take_pending(port));
    pass(0);
    take_pending(port);
    assert_int_equal(vcpu0(VCPUOP_stop_periodic_timer, 1), 0);
    pass(1000000000);
    assert_false(take_pending(port));
    /* Stopped on its way. */
    assert_int_equal(vcpu(VCPUOP_set_periodic_timer, 1, &p), 0);
    g->vcpu[1]->periodic_ns = 0;
    pass(10000000);
    assert_true(take_pending(port));
    pass(1000000000);
    assert_false(take_pending(port));
}

static void singleshot_timer(void **st)
{
    u32 port = timer_port(g->vcpu[0]);
    struct vcpu_set_singleshot_timer t = { .timeout_abs_ns = now_ns() + 1000 };

    assert_int_equal(vcpu(VCPUOP_set_singleshot_timer, 1, &t), -EINVAL);       /* only one's own */
    assert_int_equal(vcpu0(VCPUOP_stop_singleshot_timer, 1), -EINVAL);
    assert_int_equal(vcpu(VCPUOP_set_singleshot_timer, 0, &t), 0);
    pass(999);
    assert_false(take_pending(port));
    pass(1);
    assert_true(take_pending(port));
    pass(1000000);
    assert_false(take_pending(port));
    t.timeout_abs_ns = now_ns() - 1;
    assert_int_equal(vcpu(VCPUOP_set_singleshot_timer, 0, &t), 0);
    pass(0);
    assert_true(take_pending(port));                        /* in the past: at once */
    t.flags = VCPU_SSHOTTMR_future;
    assert_int_equal(vcpu(VCPUOP_set_singleshot_timer, 0, &t), -ETIME);
    t.timeout_abs_ns = now_ns() + 1000;
    assert_int_equal(vcpu(VCPUOP_set_singleshot_timer, 0, &t), 0);
    assert_int_equal(vcpu0(VCPUOP_stop_singleshot_timer, 0), 0);
    pass(2000);
    assert_false(take_pending(port));
    /* set_timer_op is the same timer. */
    assert_int_equal(op(__HYPERVISOR_set_timer_op, now_ns() + 1000, 0, NULL, 0), 0);
    pass(1000);
    assert_true(take_pending(port));
    assert_int_equal(op(__HYPERVISOR_set_timer_op, now_ns() + 1000, 0, NULL, 0), 0);
    assert_int_equal(op(__HYPERVISOR_set_timer_op, 0, 0, NULL, 0), 0);
    pass(2000);
    assert_false(take_pending(port));
}

/* ---- multicall ---- */
enum { LIST = 0x5000, INNER = 0x6000 };
static struct multicall_entry *list_of(unsigned n, u64 nr, u64 a0, u64 a1)
{
    struct multicall_entry *e = fake_guest_ptr(g, LIST);

    for (unsigned i = 0; i < n; i++)
        e[i] = (struct multicall_entry){ .op = nr, .args = { a0, a1 }, .result = 0x5555 };
    return e;
}

static long multi(u64 list, u64 n, unsigned *rounds)
{
    struct vcpu_regs *r = &caller->regs;

    r->rax = __HYPERVISOR_multicall;
    r->rdi = list;
    r->rsi = n;
    *rounds = 1;
    while (!call_dispatch(caller))
        ++*rounds;
    return (long)r->rax;
}

static bool irq_every_time(void)
{
    this_cpu()->irq_seen = true;
    return true;
}

static void multicalls(void **st)
{
    struct multicall_entry *e = list_of(4, __HYPERVISOR_xen_version, XENVER_version, 0);
    unsigned rounds;

    this_cpu()->resched = false;
    e[2].op = 0x10000000000;                                /* only its own result suffers */
    assert_int_equal(multi(LIST, 4, &rounds), 0);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(e[i].result, i == 2 ? -ENOSYS : 4 << 16 | 17);
    assert_int_equal(rounds, 1);
    /* Interrupts get in between. */
    fake_irq_window_hook = irq_every_time;
    e = list_of(4, __HYPERVISOR_xen_version, XENVER_version, 0);
    assert_int_equal(multi(LIST, 4, &rounds), 0);
    assert_int_equal(rounds, 4);
    assert_int_equal(e[3].result, 4 << 16 | 17);
    fake_irq_window_hook = NULL;
    this_cpu()->irq_seen = false;
    assert_int_equal(multi(LIST, 0, &rounds), 0);
    assert_int_equal(multi(BAD_GVA, 1, &rounds), -EFAULT);
    e = list_of(1, __HYPERVISOR_multicall, LIST, 1);        /* no nesting */
    assert_int_equal(multi(LIST, 1, &rounds), 0);
    assert_int_equal((long)e->result, -EINVAL);
    /* The list is not writable. */
    e = list_of(1, __HYPERVISOR_xen_version, XENVER_version, 0);
    fake_fail_copy_at(2);
    assert_int_equal(multi(LIST, 1, &rounds), -EFAULT);
    fake_fail_at(0);
}

/* An entry that must be continued: the list is continued with its updated arguments. */
static void multicall_continues(void **st)
{
    struct xen_memory_reservation *r = fake_guest_ptr(g, INNER);
    u64 *gfns = fake_guest_ptr(g, INNER + 0x100);
    unsigned rounds;

    g->max_pages += 64;
    *r = (struct xen_memory_reservation){ .nr_extents = 40, .domid = DOMID_SELF };
    r->extent_start.p = (void *)(INNER + 0x100UL);
    for (unsigned i = 0; i < 40; i++)
        gfns[i] = 0x100 + i;
    struct multicall_entry *e = list_of(2, __HYPERVISOR_memory_op, XENMEM_populate_physmap, INNER);
    e[1] = (struct multicall_entry){ .op = __HYPERVISOR_xen_version, .args = { XENVER_version } };
    fake_irq_window_hook = irq_every_time;
    assert_int_equal(multi(LIST, 2, &rounds), 0);
    fake_irq_window_hook = NULL;
    this_cpu()->irq_seen = false;
    assert_true(rounds > 2);
    assert_int_equal(e[0].result, 40);
    assert_int_equal(e[1].result, 4 << 16 | 17);
    assert_int_equal(g->tot_pages, 56);
    /* It cannot be written back. */
    *r = (struct xen_memory_reservation){ .nr_extents = 40, .domid = DOMID_SELF };
    r->extent_start.p = (void *)(INNER + 0x100UL);
    list_of(1, __HYPERVISOR_memory_op, XENMEM_decrease_reservation, INNER);
    for (unsigned k = 1; k < 60; k++) {
        fake_irq_window_hook = irq_every_time;
        fake_fail_copy_at(k);
        long rc = multi(LIST, 1, &rounds);
        bool failed = fake_failed();
        fake_fail_at(0);
        assert_true(rc == 0 || rc == -EFAULT);
        assert_true(failed || rc == 0);
    }
    fake_irq_window_hook = NULL;
    this_cpu()->irq_seen = false;
    assert_int_equal(g->tot_pages, 16);
}

static void privileges(void **st)
{
    assert_int_equal(op(__HYPERVISOR_domctl, 0, 0, NULL, 0), -EPERM);
    assert_int_equal(op(__HYPERVISOR_sysctl, 0, 0, NULL, 0), -EPERM);
    assert_int_equal(op(__HYPERVISOR_platform_op, 0, 0, NULL, 0), -EPERM);
    assert_int_equal(op(__HYPERVISOR_mmuext_op, 0, 0, NULL, 0), -ENOSYS);
    assert_int_equal(op(__HYPERVISOR_set_trap_table, 0, 0, NULL, 0), -ENOSYS);
    assert_int_equal(op(64, 0, 0, NULL, 0), -ENOSYS);
    assert_int_equal(op(~0u, 0, 0, NULL, 0), -ENOSYS);
    assert_int_equal(op(CALL_LOADER_DONE, 0, 0, NULL, 0), -ENOSYS);
}

/* What only PV guests call (page tables, descriptors, their own traps) and other families that do not exist. */
static void absent(void **st)
{
    static const u8 numbers[] = {
        __HYPERVISOR_set_trap_table, __HYPERVISOR_mmu_update, __HYPERVISOR_set_gdt, __HYPERVISOR_stack_switch,
        __HYPERVISOR_set_callbacks, __HYPERVISOR_fpu_taskswitch, __HYPERVISOR_sched_op_compat,
        __HYPERVISOR_set_debugreg, __HYPERVISOR_get_debugreg, __HYPERVISOR_update_descriptor,
        __HYPERVISOR_update_va_mapping, __HYPERVISOR_event_channel_op_compat, __HYPERVISOR_physdev_op_compat,
        __HYPERVISOR_update_va_mapping_otherdomain, __HYPERVISOR_iret, __HYPERVISOR_set_segment_base,
        __HYPERVISOR_mmuext_op, __HYPERVISOR_xsm_op, __HYPERVISOR_nmi_op, __HYPERVISOR_callback_op,
        __HYPERVISOR_xenoprof_op, __HYPERVISOR_kexec_op, __HYPERVISOR_argo_op, __HYPERVISOR_xenpmu_op,
        __HYPERVISOR_dm_op, __HYPERVISOR_hypfs_op,
    };
    for (unsigned i = 0; i < ARRAY_SIZE(numbers); i++)
        assert_int_equal(op(numbers[i], 0, 0, NULL, 0), -ENOSYS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        G(yield_and_block), G(poll), G(crashes), G(remote_shutdown), G(hwdom_ends), G(up_and_down),
        G(runstate_info), G(info_pages), G(periodic_timer), G(singleshot_timer), G(multicalls), G(multicall_continues),
        G(privileges), G(absent),
    };
    return cmocka_run_group_tests(tests, env_setup, NULL);
}
