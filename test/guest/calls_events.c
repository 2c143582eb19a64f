/* SPDX-License-Identifier: MIT */
/* Every hypercall of the stock clients (doc: compatibility contract D.14, sets 1 to 3): the answer to a good call, an
 * unknown sub-operation, a wrong version, a bad pointer, a bad value. Here: vcpu_op, sched_op, timers and
 * event_channel_op. */
#include "calls.h"

const char test_name[] = "calls_events";

/* ---- vcpu_op, timers, sched_op ---- */
static void vcpu_ops(void)
{
    struct vcpu_runstate_info rs;
    check_eq(hc_vcpu_op(VCPUOP_is_up, 0, NULL), 1);
    check_eq(hc_vcpu_op(VCPUOP_get_runstate_info, 0, &rs), 0);
    check_eq(rs.state, RUNSTATE_running);
    check(rs.time[RUNSTATE_running]);
    check_eq(hc_vcpu_op(VCPUOP_is_up, 1, NULL), -XEN_ENOENT);
    check_eq(hc_vcpu_op(VCPUOP_is_up, 0xffffffff, NULL), -XEN_ENOENT);
    check_eq(hc_vcpu_op(77, 0, NULL), -XEN_ENOSYS);
    static struct vcpu_runstate_info area __attribute__((aligned(64)));
    struct vcpu_register_runstate_memory_area ra = { .addr.p = (u64)&area };
    check_eq(hc_vcpu_op(VCPUOP_register_runstate_memory_area, 0, &ra), 0);
    check_eq(area.state, RUNSTATE_running);
    check_eq(hc_vcpu_op(VCPUOP_stop_periodic_timer, 0, NULL), 0);
    struct vcpu_set_periodic_timer p = { .period_ns = 1 };
    check_eq(hc_vcpu_op(VCPUOP_set_periodic_timer, 0, &p), -XEN_EINVAL);
    struct vcpu_register_vcpu_info vi = { .mfn = 1UL << 40, .offset = 0 };
    check_eq(hc_vcpu_op(VCPUOP_register_vcpu_info, 0, &vi) < 0, 1);
    vi.mfn = (u64)page[0] >> 12;
    vi.offset = 4096 - 32;
    check_eq(hc_vcpu_op(VCPUOP_register_vcpu_info, 0, &vi), -XEN_EINVAL);
    vi.offset = 128;
    check_eq(hc_vcpu_op(VCPUOP_register_vcpu_info, 0, &vi), 0);
    check(((struct vcpu_info *)(page[0] + 128))->time.tsc_to_system_mul);
    check_eq(hc_vcpu_op(VCPUOP_register_vcpu_info, 0, &vi), -XEN_EINVAL);
    check_eq(hypercall2(__HYPERVISOR_vm_assist, VMASST_CMD_enable, VMASST_TYPE_runstate_update_flag), 0);
    check_eq(hypercall2(__HYPERVISOR_vm_assist, VMASST_CMD_enable, 31), -XEN_EINVAL);
    check_eq(hypercall2(__HYPERVISOR_vm_assist, 9, VMASST_TYPE_runstate_update_flag), -XEN_ENOSYS);
}

static void timers_and_poll(void)
{
    struct evtchn_bind_virq b = { .virq = VIRQ_TIMER, .vcpu = 0 };
    need_eq(hc_evtchn(EVTCHNOP_bind_virq, &b), 0);
    u64 t0 = system_ns();
    struct vcpu_set_singleshot_timer s = { .timeout_abs_ns = t0 + 20000000 };
    evtchn_port_t port = b.port;
    struct sched_poll p = { .nr_ports = 1, .timeout = t0 + 5000000000UL };
    set_xen_guest_handle(p.ports, &port);
    check_eq(hc_vcpu_op(VCPUOP_set_singleshot_timer, 0, &s), 0);
    check_eq(hc_sched_op(SCHEDOP_poll, &p), 0);
    u64 dt = system_ns() - t0;
    check(dt >= 20000000 && dt < 2000000000);
    p.nr_ports = 0;
    p.timeout = (t0 = system_ns()) + 30000000;
    check_eq(hc_sched_op(SCHEDOP_poll, &p), 0);
    check(system_ns() - t0 >= 30000000);
    s.timeout_abs_ns = 1;
    s.flags = VCPU_SSHOTTMR_future;
    check_eq(hc_vcpu_op(VCPUOP_set_singleshot_timer, 0, &s), -XEN_ETIME);
    check_eq(hc_vcpu_op(VCPUOP_stop_singleshot_timer, 0, NULL), 0);
    check_eq(hypercall1(__HYPERVISOR_set_timer_op, 0), 0);
    p.nr_ports = 129;
    check_eq(hc_sched_op(SCHEDOP_poll, &p), -XEN_EINVAL);
    p.nr_ports = 1;
    set_xen_guest_handle(p.ports, BAD);
    check_eq(hc_sched_op(SCHEDOP_poll, &p), -XEN_EFAULT);
    struct evtchn_close c = { .port = b.port };
    check_eq(hc_evtchn(EVTCHNOP_close, &c), 0);
}

static void sched_ops(void)
{
    check_eq(hc_sched_op(SCHEDOP_yield, NULL), 0);
    check_eq(hc_sched_op(77, NULL), -XEN_ENOSYS);
    check_eq(hc_sched_op(SCHEDOP_pin_override, page), -XEN_ENOSYS);
    struct sched_shutdown s = { .reason = 0x100 };      /* does not fit */
    check_eq(hc_sched_op(SCHEDOP_shutdown, &s), -XEN_EINVAL);
    struct sched_remote_shutdown r = { .domain_id = 77, .reason = SHUTDOWN_poweroff };
    check_eq(hc_sched_op(SCHEDOP_remote_shutdown, &r), -XEN_ESRCH);
    r.domain_id = 0;
    check_eq(hc_sched_op(SCHEDOP_remote_shutdown, &r), -XEN_EPERM);
    struct sched_watchdog w = { .id = 0, .timeout = 100 };
    long id = hc_sched_op(SCHEDOP_watchdog, &w);
    check(id > 0);
    w = (struct sched_watchdog){ .id = (u32)id, .timeout = 0 };
    check_eq(hc_sched_op(SCHEDOP_watchdog, &w), 0);
    w.id = 77;
    check_eq(hc_sched_op(SCHEDOP_watchdog, &w), -XEN_EINVAL);
}

/* ---- event channels ---- */
static void event_channels(void)
{
    struct evtchn_alloc_unbound a = { .dom = DOMID_SELF, .remote_dom = DOMID_SELF };
    need_eq(hc_evtchn(EVTCHNOP_alloc_unbound, &a), 0);
    struct evtchn_status st = { .dom = DOMID_SELF, .port = a.port };
    check_eq(hc_evtchn(EVTCHNOP_status, &st), 0);
    check_eq(st.status, EVTCHNSTAT_unbound);
    struct evtchn_send send = { .port = a.port };
    check_eq(hc_evtchn(EVTCHNOP_send, &send), 0);
    struct evtchn_bind_interdomain b = { .remote_dom = DOMID_SELF, .remote_port = a.port };
    check_eq(hc_evtchn(EVTCHNOP_bind_interdomain, &b), 0);
    check_eq(hc_evtchn(EVTCHNOP_bind_interdomain, &b), -XEN_EINVAL);
    st.port = b.local_port;
    check_eq(hc_evtchn(EVTCHNOP_status, &st), 0);
    check_eq(st.status, EVTCHNSTAT_interdomain);
    check_eq(st.u.interdomain.port, a.port);
    check_eq(hc_evtchn(EVTCHNOP_send, &send), 0);
    struct evtchn_bind_vcpu bv = { .port = b.local_port, .vcpu = 0 };
    check_eq(hc_evtchn(EVTCHNOP_bind_vcpu, &bv), 0);
    bv.vcpu = 1;
    check_eq(hc_evtchn(EVTCHNOP_bind_vcpu, &bv), -XEN_ENOENT);
    struct evtchn_unmask um = { .port = b.local_port };
    check_eq(hc_evtchn(EVTCHNOP_unmask, &um), 0);
    struct evtchn_close c = { .port = b.local_port };
    check_eq(hc_evtchn(EVTCHNOP_close, &c), 0);
    check_eq(hc_evtchn(EVTCHNOP_close, &c), -XEN_EINVAL);
    c.port = a.port;
    check_eq(hc_evtchn(EVTCHNOP_close, &c), 0);
    check_eq(hc_evtchn(EVTCHNOP_send, &send), -XEN_EINVAL);
    struct evtchn_bind_ipi ipi = { .vcpu = 0 };
    check_eq(hc_evtchn(EVTCHNOP_bind_ipi, &ipi), 0);
    c.port = ipi.port;
    check_eq(hc_evtchn(EVTCHNOP_close, &c), 0);
    ipi.vcpu = 1;
    check_eq(hc_evtchn(EVTCHNOP_bind_ipi, &ipi), -XEN_ENOENT);
    struct evtchn_bind_virq v = { .virq = VIRQ_DOM_EXC, .vcpu = 0 };
    check_eq(hc_evtchn(EVTCHNOP_bind_virq, &v), 0);
    c.port = v.port;
    check_eq(hc_evtchn(EVTCHNOP_bind_virq, &v), -XEN_EEXIST);
    check_eq(hc_evtchn(EVTCHNOP_close, &c), 0);
    v = (struct evtchn_bind_virq){ .virq = 99 };
    check_eq(hc_evtchn(EVTCHNOP_bind_virq, &v), -XEN_EINVAL);
    u32 bad[] = { 0, 4095, 4096, 0x20000, 0xffffffff };
    for (unsigned i = 0; i < 5; i++) {
        send.port = c.port = bad[i];
        st.port = bad[i];
        check_case("send", hc_evtchn(EVTCHNOP_send, &send), -XEN_EINVAL);
        check_case("close", hc_evtchn(EVTCHNOP_close, &c), -XEN_EINVAL);
        if (i) check_case("status", hc_evtchn(EVTCHNOP_status, &st), -XEN_EINVAL);
    }
    check_eq(hc_evtchn(77, page), -XEN_ENOSYS);
    a.dom = 77;
    check_eq(hc_evtchn(EVTCHNOP_alloc_unbound, &a), -XEN_ESRCH);
    b.remote_dom = 77;
    check_eq(hc_evtchn(EVTCHNOP_bind_interdomain, &b), -XEN_ESRCH);
}

/* XSA-221: ports that were never used. */
static void xsa_221_poll(void)
{
    evtchn_port_t port;
    struct sched_poll p = { .nr_ports = 1, .timeout = 1 };
    set_xen_guest_handle(p.ports, &port);
    for (port = 32; port < 4200; port++) {
        long rc = hc_sched_op(SCHEDOP_poll, &p);
        if (rc && rc != -XEN_EINVAL) need_eq(rc, -XEN_EINVAL);
    }
}

static long poll_ports(const evtchn_port_t *ports, unsigned n)
{
    struct sched_poll p = { .nr_ports = n, .timeout = 1 };
    set_xen_guest_handle(p.ports, (evtchn_port_t *)ports);
    return hc_sched_op(SCHEDOP_poll, &p);
}

static evtchn_port_t port_new(void)
{
    struct evtchn_bind_ipi b = { .vcpu = 0 };
    return hc_evtchn(EVTCHNOP_bind_ipi, &b) ? 0 : b.port;
}

static long port_close(evtchn_port_t port)
{
    struct evtchn_close c = { .port = port };
    return hc_evtchn(EVTCHNOP_close, &c);
}

/* Lists of good ports up to the limit, one bad port anywhere, lists that are not in RAM. */
static void poll_lists(evtchn_port_t good)
{
    static const evtchn_port_t bad[] = { 0, 31, 127, 1000, 1024, 2048, 4095, 4096, 0x1ffff, 0x20000, 0x7fffffff, 0xffffffff };
    static evtchn_port_t list[129];
    for (unsigned i = 0; i < 129; i++) list[i] = good;
    check_eq(poll_ports(list, 1), 0);
    check_eq(poll_ports(list, 128), 0);
    check_eq(poll_ports(list, 129), -XEN_EINVAL);
    check_eq(poll_ports(list, 0xffffffff), -XEN_EINVAL);
    check_eq(poll_ports(BAD, 129), -XEN_EINVAL);
    check_eq(poll_ports(BAD, 1), -XEN_EFAULT);
    check_eq(poll_ports(HOLE, 128), -XEN_EFAULT);
    check_eq(poll_ports(KERNEL_HALF, 1), -XEN_EFAULT);
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        check_case("bad port", poll_ports(&bad[i], 1), -XEN_EINVAL);
        list[127] = bad[i];
        check_case("last of the list", poll_ports(list, 128), -XEN_EINVAL);
    }
}

static void xsa_221_poll_lists(void)
{
    evtchn_port_t port = port_new();
    need(port);
    poll_lists(port);
    check_eq(port_close(port), 0);
    check_eq(poll_ports(&port, 1), -XEN_EINVAL);
    for (unsigned i = 0; i < 128; i++) page[0][i] = 0xff;
    check_eq(poll_ports((void *)page[0], 32), -XEN_EINVAL);
}

/* The same with the FIFO layout, before and after each of two event array pages; ports beyond them have no word at all. */
static void xsa_221_poll_fifo(void)
{
    struct evtchn_init_control c = { .control_gfn = 0x820 };
    need_eq(hc_evtchn(EVTCHNOP_init_control, &c), 0);
    evtchn_port_t first = port_new(), closed = port_new(), last = closed;
    need(first && closed && !port_close(closed));
    for (unsigned pages = 0; pages <= 2; pages++) {
        struct evtchn_expand_array a = { .array_gfn = 0x820 + pages };
        if (pages) need_eq(hc_evtchn(EVTCHNOP_expand_array, &a), 0);
        poll_lists(first);
        check_eq(poll_ports(&closed, 1), -XEN_EINVAL);
        if (pages != 1) continue;
        while (last <= 1024 && (last = port_new())) ;           /* the first ones of the second page, which comes next */
        need(last > 1024);
        check_eq(poll_ports(&last, 1), 0);
        for (evtchn_port_t p = 1; p < last; p++)                /* poll_lists() takes these for bad */
            if (p != first) port_close(p);
    }
    struct evtchn_send s = { .port = last };
    struct sched_poll p = { .nr_ports = 1 };                    /* without an end: the event ends it */
    set_xen_guest_handle(p.ports, &last);
    check_eq(hc_evtchn(EVTCHNOP_send, &s), 0);
    check_eq(hc_sched_op(SCHEDOP_poll, &p), 0);
    check(((volatile u32 *)0x822000)[last - 1024] & 1u << EVTCHN_FIFO_PENDING);
    struct evtchn_reset r = { .dom = DOMID_SELF };
    check_eq(hc_evtchn(EVTCHNOP_reset, &r), 0);
    check_eq(poll_ports(&first, 1), -XEN_EINVAL);
    check_eq(poll_ports(&last, 1), -XEN_EINVAL);
}

void test_main(void)
{
    static const struct test tests[] = {
        TEST(vcpu_ops),
        TEST(timers_and_poll),
        TEST(sched_ops),
        TEST(event_channels),
        TEST(xsa_221_poll),
        TEST(xsa_221_poll_lists),
        TEST(xsa_221_poll_fifo),
    };
    RUN_TESTS(tests);
}
