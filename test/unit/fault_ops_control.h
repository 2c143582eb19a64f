/* SPDX-License-Identifier: MIT */
/* The operations of test_fault_calls.c on domains, vCPUs and the machine. */
#pragma once
#include "fault_ops.h"

/* ---- control operations ---- */
static struct xen_domctl ctl;
static u16 made;
static long domctl_as(u32 cmd, u16 id) { scratch_used = 0; return call_domctl(cmd, id, &ctl); }
static void kill_made(void)
{
    struct domain *d;
    for (u16 id = GUEST + 1; (d = get_domain_from(id)) != NULL; ) {
        id = (u16)(d->id + 1);
        put_domain(d);
        memset(&ctl, 0, sizeof(ctl));
        (void)domctl_as(XEN_DOMCTL_destroydomain, d->id);
        fake_time_advance(50000000);
        timer_run();
    }
    assert_null(get_domain_from(GUEST + 1));
}
static long create(void)
{
    pvh_config(&ctl, 2);
    long rc = domctl_as(XEN_DOMCTL_createdomain, 0xffff);
    made = ctl.domain;
    return rc;
}
static void created(void) { assert_int_equal(create(), 0); memset(&ctl, 0, sizeof(ctl)); }
static long max_vcpus(void) { ctl.u.max_vcpus.max = 2; return domctl_as(XEN_DOMCTL_max_vcpus, made); }
static void with_vcpus(void) { created(); assert_int_equal(max_vcpus(), 0); memset(&ctl, 0, sizeof(ctl)); }
static long mempool(void)
{
    ctl.u.paging_mempool.size = MiB(9);
    return domctl_as(XEN_DOMCTL_set_paging_mempool_size, made);
}
static void pool(void) { with_vcpus(); assert_int_equal(mempool(), 0); memset(&ctl, 0, sizeof(ctl)); }
static long max_mem(void) { ctl.u.max_mem.max_memkb = 65536; return domctl_as(XEN_DOMCTL_max_mem, made); }
static void built(void)
{
    pool();
    assert_int_equal(max_mem(), 0);
    assert_int_equal(reserve(v0(), XENMEM_populate_physmap, made, FAR, 3, 9), 0);
    assert_int_equal(reserve(v0(), XENMEM_populate_physmap, made, 0, 3, 0), 0);
    memset(&ctl, 0, sizeof(ctl));
}
/* More ports and tables than are given up in one go. */
static void built_large(void)
{
    built();
    for (unsigned i = 0; i < 130; i++) {
        struct evtchn_alloc_unbound a = { .dom = made, .remote_dom = 0 };
        assert_int_equal(EVT(v0(), EVTCHNOP_alloc_unbound, a), 0);
    }
    for (u64 i = 0; i < 3; i++)
        assert_int_equal(reserve(v0(), XENMEM_decrease_reservation, made, FAR + (i << 18) + 5, 1, 0), 0);
}
static long destroy(void) { return domctl_as(XEN_DOMCTL_destroydomain, made); }
static long get_policy(void)
{
    ctl.u.cpu_policy.nr_leaves = POLICY_MAX_LEAVES;
    ctl.u.cpu_policy.leaves.p = (void *)(SCRATCH_GPA + MiB(1));
    return domctl_as(XEN_DOMCTL_get_cpu_policy, made);
}
/* One without AVX and with other caches than it has. */
static void have_policy(void)
{
    with_vcpus();
    assert_int_equal(get_policy(), 0);
    u32 n = ctl.u.cpu_policy.nr_leaves, changed = 0;
    xen_cpuid_leaf_t *l = fake_guest_ptr(dom0, SCRATCH_GPA + MiB(1));
    for (u32 i = 0; i < n; i++) {
        if (l[i].leaf == 1 && ++changed) l[i].c &= ~(1u << 28);
        if (l[i].leaf == 0x80000005 && ++changed) l[i].c ^= 0x10;
    }
    assert_int_equal(changed, 2);
    memset(&ctl, 0, sizeof(ctl));
    ctl.u.cpu_policy.nr_leaves = n;
    ctl.u.cpu_policy.leaves.p = (void *)(SCRATCH_GPA + MiB(1));
}
/* It did something: the digest sees that. */
static long set_policy(void)
{
    const struct cpu_policy was = *dom_by_id(made)->policy;
    long rc = domctl_as(XEN_DOMCTL_set_cpu_policy, made);
    if (!rc) assert_memory_not_equal(&was, dom_by_id(made)->policy, sizeof(was));
    return rc;
}
static long get_ctx(void)
{
    ctl.u.hvmcontext.size = 65536;
    ctl.u.hvmcontext.buffer.p = (void *)(SCRATCH_GPA + MiB(1));
    return domctl_as(XEN_DOMCTL_gethvmcontext, made);
}
/* Other registers than it has, in the record behind the header. */
static void have_ctx(void)
{
    with_vcpus();
    assert_int_equal(get_ctx(), 0);
    char *p = fake_guest_ptr(dom0, SCRATCH_GPA + MiB(1));
    struct hvm_save_descriptor *head = (void *)p, *first = (void *)(p + sizeof(*head) + head->length);
    assert_int_equal(first->typecode, HVM_SAVE_CODE(CPU));
    struct hvm_hw_cpu *r = (void *)(first + 1);
    r->rbx = 0x1234567 + r->rbx;
    r->sysenter_eip = 0x7654321;
}
static long set_ctx(void)
{
    struct vcpu *v = dom_by_id(made)->vcpu[0];
    u64 was = v->regs.rbx;
    long rc = domctl_as(XEN_DOMCTL_sethvmcontext, made);
    if (!rc) assert_int_not_equal(v->regs.rbx, was);
    return rc;
}
static long set_target(void) { ctl.u.set_target.target = GUEST; return domctl_as(XEN_DOMCTL_set_target, made); }
static long affinity(void)
{
    u64 *map = fake_guest_ptr(dom0, SCRATCH_GPA + MiB(1));
    *map = 1;
    ctl.u.vcpuaffinity.flags = XEN_VCPUAFFINITY_HARD | XEN_VCPUAFFINITY_SOFT;
    ctl.u.vcpuaffinity.cpumap_hard.bitmap.p = (void *)(SCRATCH_GPA + MiB(1));
    ctl.u.vcpuaffinity.cpumap_hard.nr_bits = 8;
    ctl.u.vcpuaffinity.cpumap_soft = ctl.u.vcpuaffinity.cpumap_hard;
    return domctl_as(XEN_DOMCTL_setvcpuaffinity, made);
}
static long frame_info(void)
{
    ctl.u.getpageframeinfo3.num = 3;
    ctl.u.getpageframeinfo3.array.p = (void *)(SCRATCH_GPA + MiB(1));
    return domctl_as(XEN_DOMCTL_getpageframeinfo3, GUEST);
}
static void context_set(void) { with_vcpus(); dom_by_id(made)->vcpu[0]->initialised = true; }
static long vcpu_context(void)
{
    ctl.u.vcpucontext.ctxt.p = (void *)(SCRATCH_GPA + MiB(1));
    return domctl_as(XEN_DOMCTL_getvcpucontext, made);
}

/* ---- a guest's vCPUs, parameters, scheduling, console, versions ---- */
static long vcpu_op_as(unsigned cmd, unsigned id, void *arg, size_t size)
{
    memcpy(arg_of(g, ARG_GPA), arg, size);
    return call_as(gv(), __HYPERVISOR_vcpu_op, cmd, id, ARG_GPA);
}
static long info_page(void)
{
    struct vcpu_register_vcpu_info a = { .mfn = SUPER + 30, .offset = 64 };
    return vcpu_op_as(VCPUOP_register_vcpu_info, 1, &a, sizeof(a));
}
static void info_undo(void)
{
    struct vcpu *v = g->vcpu[1];
    evtchn_vcpu_destroy(v);
    assert_int_equal(evtchn_vcpu_init(v), 0);
}
static long runstate(void)
{
    struct vcpu_register_runstate_memory_area a = { .addr.p = (SUPER + 31) * PAGE_SIZE - 24UL };
    return vcpu_op_as(VCPUOP_register_runstate_memory_area, 0, &a, sizeof(a));
}
static long time_area(void)
{
    struct vcpu_register_time_memory_area a = { .addr.p = (SUPER + 31) * PAGE_SIZE - 24UL };
    return vcpu_op_as(VCPUOP_register_vcpu_time_memory_area, 0, &a, sizeof(a));
}
static void areas_undo(void) { vcpu_quiesce(gv()); }
static long initialise(void)
{
    struct vcpu_hvm_context a = { .mode = VCPU_HVM_MODE_64B, .cpu_regs.x86_64 = {
        .cr0 = 0x80000011, .cr4 = 0x20, .efer = 0x500 } };
    return vcpu_op_as(VCPUOP_initialise, 1, &a, sizeof(a));
}
static void uninitialise(void) { g->vcpu[1]->initialised = false; }
static long vcpu_simple(unsigned cmd, unsigned id) { return call_as(gv(), __HYPERVISOR_vcpu_op, cmd, id, 0); }
static void initialised(void) { g->vcpu[1]->initialised = true; }
static long up(void) { return vcpu_simple(VCPUOP_up, 1); }
static void is_up(void) { initialised(); assert_int_equal(up(), 0); }
static long down(void) { return vcpu_simple(VCPUOP_down, 1); }
static void down_undo(void) { assert_int_equal(down(), 0); uninitialise(); }
static long ask_up(void) { return vcpu_simple(VCPUOP_is_up, 1); }
static long runstate_info(void)
{
    struct vcpu_runstate_info a;
    memset(&a, 0, sizeof(a));
    return vcpu_op_as(VCPUOP_get_runstate_info, 1, &a, sizeof(a));
}
static long periodic(void)
{
    struct vcpu_set_periodic_timer a = { .period_ns = 5000000 };
    return vcpu_op_as(VCPUOP_set_periodic_timer, 0, &a, sizeof(a));
}
static long stop_periodic(void) { return vcpu_simple(VCPUOP_stop_periodic_timer, 0); }
static void periodic_on(void) { assert_int_equal(periodic(), 0); }
static void periodic_undo(void) { assert_int_equal(stop_periodic(), 0); }
static long singleshot(void)
{
    struct vcpu_set_singleshot_timer a = { .timeout_abs_ns = 1ULL << 60 };
    return vcpu_op_as(VCPUOP_set_singleshot_timer, 0, &a, sizeof(a));
}
static long stop_singleshot(void) { return vcpu_simple(VCPUOP_stop_singleshot_timer, 0); }
static void singleshot_on(void) { assert_int_equal(singleshot(), 0); }
static void singleshot_undo(void) { assert_int_equal(stop_singleshot(), 0); }
static long set_timer(void) { return call_as(gv(), __HYPERVISOR_set_timer_op, 1ULL << 60, 0, 0); }
static long nmi(void) { return vcpu_simple(VCPUOP_send_nmi, 1); }
static long assist(unsigned cmd) { return call_as(gv(), __HYPERVISOR_vm_assist, cmd, VMASST_TYPE_runstate_update_flag, 0); }
static long assist_on(void) { return assist(VMASST_CMD_enable); }
static void assist_undo(void) { assert_int_equal(assist(VMASST_CMD_disable), 0); }
static long param(void)
{
    struct xen_hvm_param a = { .domid = DOMID_SELF, .index = HVM_PARAM_CALLBACK_IRQ, .value = 2ULL << 56 | 0x40 };
    return call1(gv(), __HYPERVISOR_hvm_op, HVMOP_set_param, &a, sizeof(a), 0);
}
static void param_undo(void)
{
    struct xen_hvm_param a = { .domid = DOMID_SELF, .index = HVM_PARAM_CALLBACK_IRQ };
    assert_int_equal(call1(gv(), __HYPERVISOR_hvm_op, HVMOP_set_param, &a, sizeof(a), 0), 0);
}
#define HVM(cmd, a) call1(gv(), __HYPERVISOR_hvm_op, HVMOP_##cmd, &(a), sizeof(a), 0)
static long ask_param(void)
{
    struct xen_hvm_param a = { .domid = DOMID_SELF, .index = HVM_PARAM_CALLBACK_IRQ };
    return HVM(get_param, a);
}
static long upcall_vector(void)
{
    struct xen_hvm_evtchn_upcall_vector a = { .vcpu = 1, .vector = 0x41 };
    return HVM(set_evtchn_upcall_vector, a);
}
static void vector_undo(void) { g->vcpu[1]->upcall_vector = 0; }
static long flush_tlbs(void) { return call_as(gv(), __HYPERVISOR_hvm_op, HVMOP_flush_tlbs, 0, 0); }
static long hvm_time(void)
{
    struct xen_hvm_get_time a = { 0 };
    return HVM(get_time, a);
}
static long mem_type(void)
{
    struct xen_hvm_get_mem_type a = { .domid = DOMID_SELF, .pfn = 5 };
    return HVM(get_mem_type, a);
}
#define SCHED(v, cmd, a) call1(v, __HYPERVISOR_sched_op, SCHEDOP_##cmd, &(a), sizeof(a), 0)
static long yield(void) { return call_as(gv(), __HYPERVISOR_sched_op, SCHEDOP_yield, 0, 0); }
static long block(void) { return call_as(gv(), __HYPERVISOR_sched_op, SCHEDOP_block, 0, 0); }
static void wake(void) { vcpu_wake(gv()); }
static long shutdown_self(void)
{
    struct sched_shutdown a = { .reason = SHUTDOWN_suspend };
    return SCHED(gv(), shutdown, a);
}
static void shutdown_undo(void) { domain_resume(g); }
static long shutdown_other(void)
{
    struct sched_remote_shutdown a = { .domain_id = made, .reason = SHUTDOWN_crash };
    return SCHED(v0(), remote_shutdown, a);
}
static long shutdown_code(void)
{
    struct sched_shutdown a = { .reason = SHUTDOWN_reboot };
    return SCHED(gv(), shutdown_code, a);
}
static long watchdog(void)
{
    struct sched_watchdog a = { .timeout = 1000 };
    return MIN(0L, SCHED(gv(), watchdog, a));
}
static void watchdog_undo(void) { timer_stop(&g->watchdog[0]); }
static long poll_ports(void)
{
    struct sched_poll a = { .nr_ports = 3, .timeout = 1 };
    a.ports.p = (void *)LIST_GPA;
    for (unsigned i = 0; i < 3; i++) ((u32 *)arg_of(g, LIST_GPA))[i] = ports[0];
    return call1(gv(), __HYPERVISOR_sched_op, SCHEDOP_poll, &a, sizeof(a), 0);
}
static long console(void)
{
    memcpy(arg_of(g, LIST_GPA), "a line\n", 7);
    return call_as(gv(), __HYPERVISOR_console_io, CONSOLEIO_write, 7, LIST_GPA);
}
static long console_in(void)
{
    return call_as(v0(), __HYPERVISOR_console_io, CONSOLEIO_read, 16, LIST_GPA);
}
/* dom0 may ask for all of it; both that want an argument take a number that says where or how much. */
static long versions(void)
{
    long worst = 0;
    for (unsigned cmd = XENVER_version; cmd <= XENVER_build_id; cmd++) {
        *(u64 *)arg_of(dom0, ARG_GPA) = cmd == XENVER_build_id ? 64 : 0;
        worst = MIN(worst, call_as(v0(), __HYPERVISOR_xen_version, cmd, cmd == XENVER_pagesize ? 0 : ARG_GPA, 0));
    }
    return worst;
}
static long many(void)
{
    struct multicall_entry *e = arg_of(g, LIST_GPA);
    for (unsigned i = 0; i < 3; i++)
        e[i] = (struct multicall_entry){ .op = __HYPERVISOR_xen_version, .args = { XENVER_extraversion, ARG_GPA } };
    return call_as(gv(), __HYPERVISOR_multicall, LIST_GPA, 3, 0);
}

/* ---- the machine: sysctl, platform_op, physdev_op ---- */
#define OUT_GVA (SCRATCH_GPA + MiB(1))
#define OUT_P ((void *)OUT_GVA)
static u64 *out_words(void) { return fake_guest_ptr(dom0, OUT_GVA); }
static void one_bit(void) { memset(out_words(), 0, 256); *out_words() = 1; }
/* name_command(): the command with these fields */
#define SYS(cmd, suffix, ...) static long sys_##cmd##suffix(void) \
    { struct xen_sysctl s = { .u.cmd = { __VA_ARGS__ } }; scratch_used = 0; return call_sysctl(XEN_SYSCTL_##cmd, &s); }
#define PLAT(name, cmd, ...) static long plat_##name(void) \
    { struct xen_platform_op s = { __VA_ARGS__ }; scratch_used = 0; return call_platform(cmd, &s); }
SYS(getdomaininfolist, , .max_domains = 4, .buffer.p = OUT_P)
SYS(readconsole, , .clear = 1, .incremental = 0, .count = 2 * PAGE_SIZE, .buffer.p = OUT_P)
SYS(physinfo, , 0)
SYS(sched_id, , 0)
SYS(debug_keys, , .nr_keys = 1, .keys.p = OUT_P)
SYS(availheap, , .node = -1)
SYS(cputopoinfo, , .num_cpus = 4, .cputopo.p = OUT_P)
SYS(numainfo, , .num_nodes = 1, .meminfo.p = OUT_P, .distance.p = OUT_P)
SYS(cpupool_op, , .op = XEN_SYSCTL_CPUPOOL_OP_INFO, .cpumap = { { OUT_P }, 512 })
SYS(cpupool_op, _free, .op = XEN_SYSCTL_CPUPOOL_OP_FREEINFO, .cpumap = { { OUT_P }, 512 })
SYS(scheduler_op, , .sched_id = XEN_SCHEDULER_CREDIT2, .cmd = XEN_SYSCTL_SCHEDOP_getinfo)
SYS(scheduler_op, _put, .sched_id = XEN_SCHEDULER_CREDIT2, .cmd = XEN_SYSCTL_SCHEDOP_putinfo,
    .u.sched_credit2.ratelimit_us = 2000)
SYS(pcitopoinfo, , .num_devs = 3, .devs.p = OUT_P, .nodes.p = OUT_P)
static u64 ratelimit;
static void ratelimit_set(void) { ratelimit = sched_get_ratelimit_us(); }
static void ratelimit_undo(void) { assert_int_equal(sched_set_ratelimit_us((u32)ratelimit), 0); }
/* Members of the union have other names than the commands. */
static long sys_getcpuinfo(void)
{
    struct xen_sysctl s = { .u.getcpuinfo = { .max_cpus = 4, .info.p = OUT_P } };
    scratch_used = 0;
    return call_sysctl(XEN_SYSCTL_getcpuinfo, &s);
}
static long sys_levelling(void)
{
    struct xen_sysctl s = { 0 };
    scratch_used = 0;
    return call_sysctl(XEN_SYSCTL_get_cpu_levelling_caps, &s);
}
static long sys_featureset(void)
{
    struct xen_sysctl s = { .u.cpu_featureset = { .index = XEN_SYSCTL_cpu_featureset_host, .nr_features = 64,
                                                  .features.p = OUT_P } };
    scratch_used = 0;
    return call_sysctl(XEN_SYSCTL_get_cpu_featureset, &s);
}
static long sys_policy(void)
{
    struct xen_sysctl s = { .u.cpu_policy = { .index = XEN_SYSCTL_cpu_policy_hvm_max, .nr_leaves = POLICY_MAX_LEAVES,
                                              .leaves.p = OUT_P, .nr_msrs = POLICY_MAX_MSRS,
                                              .msrs.p = (void *)(OUT_GVA + MiB(1) / 2) } };
    scratch_used = 0;
    return call_sysctl(XEN_SYSCTL_get_cpu_policy, &s);
}
PLAT(settime32, XENPF_settime32, .u.settime32 = { .secs = 1000000, .nsecs = 5 })
PLAT(settime64, XENPF_settime64, .u.settime64 = { .secs = 2000000, .nsecs = 6 })
PLAT(cpu_version, XENPF_get_cpu_version, .u.pcpu_version.xen_cpuid = 1)
PLAT(cpuinfo, XENPF_get_cpuinfo, .u.pcpu_info.xen_cpuid = 1)
PLAT(cpu_online, XENPF_cpu_online, .u.cpu_ol.cpuid = 1)
PLAT(core_parking, XENPF_core_parking, .u.core_parking.type = XEN_CORE_PARKING_GET)
PLAT(idletime, XENPF_getidletime, .u.getidletime = { .cpumap_bitmap.p = OUT_P, .cpumap_nr_cpus = 8,
                                                     .idletime.p = (void *)(OUT_GVA + 256) })
PLAT(console, 64 /* get_dom0_console */, 0)
PLAT(pminfo, XENPF_set_processor_pminfo, .u.set_pminfo = { .id = 1, .type = XEN_PM_CX,
     .u.power = { .count = 2, .states.p = OUT_P } })
PLAT(pdc, XENPF_set_processor_pminfo, .u.set_pminfo = { .id = 1, .type = XEN_PM_PDC, .u.pdc.p = OUT_P })
static void with_screen(void) { boot_info.fb.addr = 0xe0000000; boot_info.fb.pitch = 4096; boot_info.fb.height = 768; }
static void without_screen(void) { boot_info.fb.addr = 0; }
static void set_pdc(void) { ((u32 *)out_words())[1] = 1; }

/* One PCI device with a page of memory, above all RAM. */
#define DEV 0x28u
#define DEV_BAR 0x20000000u
static u32 dev_cfg[64];
static u32 cfg_read(sbdf_t s, unsigned reg, unsigned size)
{
    u32 x = ~0u;
    if (s == DEV && reg < sizeof(dev_cfg)) memcpy(&x, (char *)dev_cfg + reg, size);
    return x;
}
static void cfg_write(sbdf_t s, unsigned reg, unsigned size, u32 x)
{
    if (s != DEV || reg < 4 || reg >= sizeof(dev_cfg)) return;
    if (reg >= 0x10 && reg < 0x34) x = reg == 0x10 ? x & ~(PAGE_SIZE - 1) : 0;
    memcpy((char *)dev_cfg + reg, &x, size);
}
static void plug_in(void)
{
    memset(dev_cfg, 0, sizeof(dev_cfg));
    dev_cfg[0] = 0x12348086;
    dev_cfg[1] = 2;                             /* decodes memory */
    dev_cfg[2] = 0x01080200;
    dev_cfg[4] = DEV_BAR;
}
static long physdev(unsigned cmd, void *a, size_t size)
{
    return call1(v0(), __HYPERVISOR_physdev_op, cmd, a, size, 0);
}
static long dev_add(void)
{
    struct physdev_pci_device_add a = { .devfn = DEV };
    return physdev(PHYSDEVOP_pci_device_add, &a, sizeof(a));
}
static long dev_remove(void)
{
    struct physdev_pci_device a = { .devfn = DEV };
    return physdev(PHYSDEVOP_pci_device_remove, &a, sizeof(a));
}
static void dev_added(void) { plug_in(); assert_int_equal(dev_add(), 0); }
static void dev_undo(void) { if (pci_find(DEV)) assert_int_equal(dev_remove(), 0); }
static long debug_port(void)
{
    struct physdev_dbgp_op a = { 0 };
    return physdev(PHYSDEVOP_dbgp_op, &a, sizeof(a));
}
static long mmcfg(void)
{
    struct physdev_pci_mmcfg_reserved a = { .address = 0xb0000000, .end_bus = 255 };
    acpi_ecam[0] = (struct acpi_ecam){ .base = 0xb0000000, .segment = 0 };
    nr_acpi_ecam = 1;
    long rc = physdev(PHYSDEVOP_pci_mmcfg_reserved, &a, sizeof(a));
    nr_acpi_ecam = 0;
    return rc;
}

/* ---- the rest of the control operations ---- */
#define DOM(cmd, suffix, id, ...) static long ctl_##cmd##suffix(void) \
    { ctl.u = (__typeof__(ctl.u)){ __VA_ARGS__ }; return domctl_as(XEN_DOMCTL_##cmd, id); }
#define BITS(n) { { OUT_P }, (n) }
DOM(getdomaininfo, , GUEST, 0)
DOM(pausedomain, , GUEST, 0)
DOM(unpausedomain, , GUEST, 0)
DOM(getvcpuinfo, , GUEST, .getvcpuinfo.vcpu = 1)
DOM(getvcpuaffinity, , GUEST, .vcpuaffinity = { .flags = XEN_VCPUAFFINITY_HARD | XEN_VCPUAFFINITY_SOFT,
                                                .cpumap_hard = BITS(8), .cpumap_soft = BITS(2048) })
DOM(getnodeaffinity, , GUEST, .nodeaffinity.nodemap = BITS(2048))
DOM(setnodeaffinity, , GUEST, .nodeaffinity.nodemap = BITS(8))
DOM(get_address_size, , GUEST, 0)
DOM(set_address_size, , GUEST, .address_size.size = 64)
DOM(gettscinfo, , GUEST, 0)
DOM(settscinfo, , made, .tsc_info = { .tsc_mode = 1, .incarnation = 6 })
DOM(get_paging_mempool_size, , GUEST, 0)
DOM(shadow_op, , GUEST, .shadow_op.op = XEN_DOMCTL_SHADOW_OP_GET_ALLOCATION)
DOM(shadow_op, _set, made, .shadow_op = { .op = XEN_DOMCTL_SHADOW_OP_SET_ALLOCATION, .mb = 7 })
DOM(gethvmcontext_partial, , GUEST, .hvmcontext_partial = { .type = HVM_SAVE_CODE(LAPIC_REGS), .instance = 1,
                                                            .bufsz = 4096, .buffer.p = OUT_P })
DOM(scheduler_op, , GUEST, .scheduler_op = { .sched_id = XEN_SCHEDULER_CREDIT2, .cmd = XEN_DOMCTL_SCHEDOP_getinfo })
DOM(scheduler_op, _put, made, .scheduler_op = { .sched_id = XEN_SCHEDULER_CREDIT2, .cmd = XEN_DOMCTL_SCHEDOP_putinfo,
                                                .u.credit2 = { .weight = 300, .cap = 50 } })
DOM(setdomainhandle, , made, .setdomainhandle.handle = { 1, 2, 3 })
DOM(settimeoffset, , made, .settimeoffset.time_offset_seconds = 77)
DOM(resumedomain, , made, 0)
DOM(sendtrigger, , made, .sendtrigger = { .trigger = XEN_DOMCTL_SENDTRIGGER_NMI, .vcpu = 1 })
DOM(irq_permission, , GUEST, .irq_permission.pirq = 5)
DOM(iomem_permission, , GUEST, .iomem_permission = { .first_mfn = 5, .nr_mfns = 1 })
DOM(ioport_permission, , GUEST, .ioport_permission = { .first_port = 5, .nr_ports = 1 })
DOM(set_virq_handler, , 0, .set_virq_handler.virq = VIRQ_DOM_EXC)
static void paused(void) { assert_int_equal(ctl_pausedomain(), 0); }
static void pause_undo(void) { if (g->ctl_pauses > 1) assert_int_equal(ctl_unpausedomain(), 0); }
static void pause_again(void) { while (g->ctl_pauses < 1) assert_int_equal(ctl_pausedomain(), 0); }
static void shut_down(void) { with_vcpus(); assert_int_equal(shutdown_other(), 0); }
/* Other registers than it has. */
static void have_vcpu_context(void)
{
    context_set();
    assert_int_equal(vcpu_context(), 0);
    ((struct vcpu_guest_context *)out_words())->user_regs.rbx = 0x12345;
    memset(&ctl, 0, sizeof(ctl));
}
static long set_vcpu_context(void)
{
    ctl.u.vcpucontext.ctxt.p = OUT_P;
    return domctl_as(XEN_DOMCTL_setvcpucontext, made);
}
