/* SPDX-License-Identifier: MIT */
/* dom0 starts copies of this kernel as guests that end in every way or misbehave: only they suffer, and the shutdown
 * code says how they ended. */
#include "build.h"

const char test_name[] = "guests";
#define LATE 20000000000UL              /* TSC ticks */

/* ---- what guests do ---- */
static void end_with(unsigned reason)
{
    struct sched_shutdown s = { .reason = reason };
    hc_sched_op(SCHEDOP_shutdown, &s);
    for (;;) __asm__ volatile("cli; hlt");
}

static void g_poweroff(void) { end_with(SHUTDOWN_poweroff); }
static void g_reboot(void) { end_with(SHUTDOWN_reboot); }
static void g_crash(void) { end_with(SHUTDOWN_crash); }

static void g_triple_fault(void)
{
    struct { u16 limit; u64 base; } __attribute__((packed)) none = { 0, 0 };
    __asm__ volatile("lidt %0; ud2" :: "m"(none));
}

static void g_lost_page_tables(void) { __asm__ volatile("mov %0, %%cr3; mov (%%rsp), %%rax" :: "r"(0x40000000UL) : "rax"); }
static void g_hlt_for_good(void) { for (;;) __asm__ volatile("cli; hlt"); }
static void g_spin(void) { my_args()->out[0] = 1; for (;;) __asm__ volatile("cli" ::: "memory"); }
static void g_jump_to_nothing(void)
{
    if (TRY("call *%0", "r"(0x40000000UL)) != 6) end_with(SHUTDOWN_crash);
    end_with(SHUTDOWN_poweroff);
}

/* Everything outside its RAM reads all ones and swallows writes. */
static void g_wild_memory(void)
{
    u64 seed = 99, bad = 0;
    for (unsigned i = 0; i < 3000; i++) {
        seed = seed * 6364136223846793005UL + 1442695040888963407UL;
        u64 at = (u64)DOM_MB << 20 | (seed >> 20 & 0xfffffffc);
        if (at >= 1UL << 32 || (at & ~0xfffUL) == LAPIC) continue;
        if (at & 4) mmio_write(at, (u32)seed);
        if (mmio_read(at) != 0xffffffff) bad++;
    }
    my_args()->out[0] = bad;
    static const u64 places[] = { 0xfec00000, 0xfed00000, 0xfee01000, 0xb0000000, 0xfffffff0, 0xf0000000 };
    for (unsigned i = 0; i < sizeof(places) / 8; i++) {
        mmio_write(places[i], 0);
        if (mmio_read(places[i]) != 0xffffffff) my_args()->out[1]++;
    }
    end_with(SHUTDOWN_poweroff);
}

static void g_wild_ports(void)
{
    u64 bad = 0;
    for (u32 p = 0; p < 65536; p += p < 0x1000 ? 1 : 13) {
        /* The debug port answers, and so does the PIT's channel 2 (a calibration must not wait for ever). */
        if ((p >= 0xe6 && p <= 0xe9) || (p >= 0x3f && p <= 0x42)) continue;
        outb((u16)p, 0);
        outl((u16)p, 0xffffffff);
        if (inb((u16)p) == 0xff && inw((u16)p) == 0xffff && inl((u16)p) == 0xffffffff) continue;
        my_args()->out[1] = p;
        bad++;
    }
    my_args()->out[0] = bad;
    end_with(SHUTDOWN_poweroff);
}

/* Every MSR in the architectural ranges is written and read; faults are answers. */
static void g_wild_msrs(void)
{
    static const struct { u32 from, to; } r[] = { { 0, 0x600 }, { 0x40000000, 0x40000200 }, { 0xc0000000, 0xc0000200 },
                                                  { 0xc0010000, 0xc0010200 }, { 0xc0011000, 0xc0011040 } };
    u64 v;
    for (unsigned i = 0; i < sizeof(r) / sizeof(r[0]); i++)
        for (u32 m = r[i].from; m < r[i].to; m++) {
            if (m == 0x1b || m == 0x40000000 || (m >= 0xc0000080 && m <= 0xc0000103)) continue;
            if (rdmsr_try(m, &v) == -1) my_args()->out[0]++;
            wrmsr_try(m, 0);
            wrmsr_try(m, ~0UL);
            wrmsr_try(m, 1UL << (m & 63));
        }
    end_with(SHUTDOWN_poweroff);
}

/* A guest has no business with the machine or other domains. */
static void g_privileged_calls(void)
{
    static u8 buf[4096];
    long bad = 0;
    bad += domctl(XEN_DOMCTL_getdomaininfo, 0) != -XEN_EPERM;
    bad += hc_sysctl(buf) != -XEN_EPERM;
    bad += hypercall1(__HYPERVISOR_platform_op, buf) != -XEN_EPERM;
    bad += map_foreign(0, 0x300, 1, SCRATCH) != -XEN_EPERM;
    bad += reservation(XENMEM_populate_physmap, 0, 0x40000, 0) != -XEN_EPERM;
    bad += reservation(XENMEM_decrease_reservation, 0, 0x300, 0) != -XEN_EPERM;
    struct sched_remote_shutdown rs = { .domain_id = 0, .reason = SHUTDOWN_crash };
    bad += hc_sched_op(SCHEDOP_remote_shutdown, &rs) != -XEN_EPERM;
    struct xen_hvm_param p = { .domid = 0, .index = HVM_PARAM_CALLBACK_IRQ };
    bad += hc_hvm_op(HVMOP_get_param, &p) != -XEN_EPERM;
    p = (struct xen_hvm_param){ .domid = DOMID_SELF, .index = HVM_PARAM_TRIPLE_FAULT_REASON };
    bad += hc_hvm_op(HVMOP_set_param, &p) != -XEN_EPERM;
    struct physdev_pci_device_add a = { .devfn = 0 };
    bad += hc_physdev(PHYSDEVOP_pci_device_add, &a) >= 0;
    struct evtchn_bind_virq v = { .virq = VIRQ_DOM_EXC };
    bad += hc_evtchn(EVTCHNOP_bind_virq, &v) > 0;
    struct xen_memory_domain q = { .domid = 0 };
    bad += hc_memory_op(XENMEM_current_reservation, &q) != -XEN_EPERM;
    q.domid = 999;                              /* the same answer for one that is not there */
    bad += hc_memory_op(XENMEM_current_reservation, &q) != -XEN_EPERM;
    struct xen_mem_acquire_resource r = { .domid = 0, .type = XENMEM_resource_grant_table };
    bad += hc_memory_op(XENMEM_acquire_resource, &r) != -XEN_EPERM;
    bad += hypercall3(__HYPERVISOR_console_io, CONSOLEIO_read, 10, buf) != -XEN_EPERM;
    bad += hypercall5(63, 0, 0, 0, 0, 0) >= 0;
    my_args()->out[0] = (u64)bad;
    end_with(SHUTDOWN_poweroff);
}

/* XSA-462: errors of the local APIC whose own vector is illegal. */
static volatile unsigned errors_seen;
static void on_error(struct frame *f) { errors_seen++; mmio_write(LAPIC + 0xb0, 0); }

static u32 provoke(u32 lvterr, u32 icr)
{
    mmio_write(LAPIC + 0x280, 0);
    mmio_write(LAPIC + 0x280, 0);
    mmio_write(LAPIC + 0x370, lvterr);
    mmio_write(LAPIC + 0x310, 0);
    mmio_write(LAPIC + 0x300, icr);
    mmio_write(LAPIC + 0x280, 0);
    return mmio_read(LAPIC + 0x280);
}

static void g_xsa_462(void)
{
    volatile u64 *out = my_args()->out;
    mmio_write(LAPIC + 0xf0, 0x1ff);
    out[0] = provoke(0x0f, 0x0f);                       /* both illegal */
    out[1] = provoke(0x0f, 0x4000f);                    /* to self */
    out[2] = provoke(0x0f, 0x8000f);                    /* to all */
    out[3] = provoke(0x10000 | 0x50, 0x0f);             /* masked */
    trap_set(0x50, on_error);
    sti();
    out[4] = provoke(0x50, 0x0f);
    for (volatile int i = 0; i < 1000; i++) ;
    cli();
    out[5] = errors_seen;
    out[6] = provoke(0x0f, 0x10f);                      /* lowest priority */
    out[7] = 1;
    end_with(SHUTDOWN_poweroff);
}

/* XSA-222 from inside: pages go one by one until the pool has no table left; then nothing may have changed. */
static void g_xsa_222(void)
{
    volatile u64 *out = my_args()->out;
    for (u64 at = 0x400000; at < (u64)DOM_MB << 20; at += 0x200000) {
        volatile u64 *p = (void *)at;
        p[0] = at;
        p[511] = ~at;
        if (reservation(XENMEM_decrease_reservation, DOMID_SELF, at >> 12, 0) == 1) {
            out[0]++;
            if (p[0] != ~0UL || p[511] != ~0UL) out[1]++;
        } else {
            struct xen_remove_from_physmap r = { .domid = DOMID_SELF, .gpfn = at >> 12 };
            struct xen_add_to_physmap a = { .domid = DOMID_SELF, .space = XENMAPSPACE_grant_table, .gpfn = at >> 12 };
            out[2]++;
            if (hc_memory_op(XENMEM_remove_from_physmap, &r) >= 0 || hc_memory_op(XENMEM_add_to_physmap, &a) >= 0) out[1]++;
            a.space = XENMAPSPACE_shared_info;
            if (hc_memory_op(XENMEM_add_to_physmap, &a) >= 0) out[1]++;
            if (p[0] != at || p[511] != ~at) out[1]++;
            p[5] = 7;
            if (p[5] != 7) out[1]++;
        }
        if (((volatile u64 *)(at + 4096))[0] == ~0UL) out[1]++;         /* the neighbour stays */
    }
    end_with(SHUTDOWN_poweroff);
}

/* A grant table in the way of nobody; frames, a grant for dom0, and an end while dom0 has it mapped. */
static void g_grant(void)
{
    struct xen_add_to_physmap a = { .domid = DOMID_SELF, .space = XENMAPSPACE_grant_table, .gpfn = 0x40000 };
    my_args()->out[1] = (u64)hc_memory_op(XENMEM_add_to_physmap, &a);
    volatile struct grant_entry_v1 *e = (void *)0x40000000UL;
    *(volatile u64 *)0x600000 = 0x1234567;
    e[9].domid = 0;
    e[9].frame = 0x600;
    e[9].flags = GTF_permit_access;
    my_args()->out[0] = 1;
    while (!my_args()->out[2]) __asm__ volatile("pause");
    my_args()->out[3] = *(volatile u64 *)0x600000;
    end_with(SHUTDOWN_poweroff);
}

/* ---- dom0 ---- */
/* Its words of result, after the end. */
static u64 out[8];
static void fetch_out(unsigned d)
{
    memset(out, 0xee, sizeof(out));
    if (!check_eq(map_foreign(d, DOM_ARGS >> 12, 1, SCRATCH), 0)) return;
    memcpy(out, (void *)((struct dom_args *)SCRATCH)->out, sizeof(out));
    unmap(SCRATCH, 1);
}

/* Run a guest to its end. */
static void expect_end(role_fn role, long code)
{
    long id = role_start(1, role);
    need(id > 0);
    check_eq(domain_wait((unsigned)id, 15000), code);
    fetch_out((unsigned)id);
    check(domain_end((unsigned)id));
}

static void poweroff(void) { expect_end(g_poweroff, SHUTDOWN_poweroff); }
static void reboot(void) { expect_end(g_reboot, SHUTDOWN_reboot); }
static void crash(void) { expect_end(g_crash, SHUTDOWN_crash); }
static void triple_fault(void) { expect_end(g_triple_fault, SHUTDOWN_reboot); }
static void lost_page_tables(void) { expect_end(g_lost_page_tables, SHUTDOWN_crash); }
static void hlt_for_good(void) { expect_end(g_hlt_for_good, SHUTDOWN_poweroff); }
static void jump_to_nothing(void) { expect_end(g_jump_to_nothing, SHUTDOWN_poweroff); }
static void wild_msrs(void) { expect_end(g_wild_msrs, SHUTDOWN_poweroff); }

static void wild_memory(void)
{
    expect_end(g_wild_memory, SHUTDOWN_poweroff);
    check_eq(out[0], 0);
    check_eq(out[1], 0);
}

static void wild_ports(void)
{
    expect_end(g_wild_ports, SHUTDOWN_poweroff);
    if (!check_eq(out[0], 0)) print("   the last one is %lx\n", out[1]);
}

static void privileged_calls(void)
{
    expect_end(g_privileged_calls, SHUTDOWN_poweroff);
    check_eq(out[0], 0);
}

static void xsa_462(void)
{
    expect_end(g_xsa_462, SHUTDOWN_poweroff);
    check_eq(out[0], 0x60);
    check_eq(out[1], 0x60);
    check_eq(out[2], 0x60);
    check_eq(out[3], 0x60);
    check_eq(out[4], 0x60);
    check(out[5] == 1 || out[5] == 2);          /* once per bit */
    check_eq(out[7], 1);
}

/* A guest that never gives up the CPU takes its share and no more, and goes when told. */
static void spinning(void)
{
    long id = role_start(1, g_spin);
    need(id > 0);
    u64 t0 = now_ns();
    for (unsigned i = 0; i < 20; i++) sleep_ms(5);
    check(now_ns() - t0 < 3000000000UL);
    fetch_out((unsigned)id);
    check_eq(out[0], 1);
    long f = domain_flags((unsigned)id);
    check_eq(f & (XEN_DOMINF_shutdown | XEN_DOMINF_paused), 0);
    check_eq(domctl(XEN_DOMCTL_pausedomain, (unsigned)id), 0);
    u64 used = domain_flags((unsigned)id) >= 0 ? dc.u.getdomaininfo.cpu_time : 0;
    sleep_ms(20);
    check(used && domain_flags((unsigned)id) >= 0 && dc.u.getdomaininfo.cpu_time == used);
    check_eq(domctl(XEN_DOMCTL_unpausedomain, (unsigned)id), 0);
    sleep_ms(20);
    check(domain_flags((unsigned)id) >= 0 && dc.u.getdomaininfo.cpu_time > used);
    check(domain_end((unsigned)id));
}

/* Destroyed while it runs, at any moment. */
static void killed_while_running(void)
{
    u64 before = 0;
    for (unsigned i = 0; i < 8; i++) {
        if (i == 2) before = free_pages();
        long id = role_start(1, i & 1 ? g_spin : g_wild_ports);
        need(id > 0);
        for (volatile unsigned k = 0; k < 40000 * i; k++) ;
        if (i & 2) sleep_ms(3);
        need(domain_end((unsigned)id));
    }
    check_eq(free_pages(), before);
}

static void no_state_no_run(void)
{
    long id = domain_build(1);
    need(id > 0);
    check_eq(domctl(XEN_DOMCTL_unpausedomain, (unsigned)id), 0);        /* its vCPU is down: nothing happens */
    sleep_ms(5);
    long f = domain_flags((unsigned)id);
    check_eq(f & XEN_DOMINF_shutdown, 0);
    check_eq(dc.u.getdomaininfo.nr_online_vcpus, 0);
    check(domctl(XEN_DOMCTL_unpausedomain, (unsigned)id) < 0);
    check(domain_end((unsigned)id));
}

static void xsa_222_from_inside(void)
{
    long id = domain_new(1);
    need(id > 0);
    unsigned d = (unsigned)id, pool = 0;
    while (++pool < 64 && (pool_set(d, pool) || reservation(XENMEM_populate_physmap, d, 0, 9) != 1)) ;
    for (u64 g = 512; g < DOM_PAGES; g += 512) need_eq(reservation(XENMEM_populate_physmap, d, g, 9), 1);
    need_eq(pool_set(d, pool + 1), 0);          /* one split, not two */
    need_eq(domain_load(d, (u64)g_xsa_222), 0);
    need_eq(domctl(XEN_DOMCTL_unpausedomain, d), 0);
    check_eq(domain_wait(d, 5000), SHUTDOWN_poweroff);
    fetch_out(d);
    check_eq(out[0], 1);
    check_eq(out[1], 0);
    check_eq(out[2], DOM_MB / 2 - 3);
    long other = domain_build(1);               /* fills the machine's free frames with another pattern */
    need(other > 0 && map_foreign((unsigned)other, 0, 512, SCRATCH) == 0);
    fill(SCRATCH, 512, 0x77);
    need_eq(map_foreign(d, 0x600, 1, SCRATCH + 0x200000), 0);
    check_eq(*(u64 *)(SCRATCH + 0x200000), 0x600000);
    fill(SCRATCH + 0x200000, 1, 0x88);
    check(filled(SCRATCH, 512, 0x77));
    check_eq(unmap(SCRATCH, 512) | unmap(SCRATCH + 0x200000, 1), 0);
    need_eq(pool_set(d, pool + 2), 0);          /* with another table the refused call works */
    check_eq(reservation(XENMEM_decrease_reservation, d, 0x600, 0), 1);
    check(domain_end(d) && domain_end((unsigned)other));
}

static void grant_from_guest(void)
{
    long id = role_start(1, g_grant);
    need(id > 0);
    unsigned d = (unsigned)id;
    need_eq(map_foreign(d, DOM_ARGS >> 12, 1, SCRATCH), 0);
    volatile struct dom_args *a = (void *)SCRATCH;
    for (u64 end = now_ns() + 3000000000UL; !a->out[0] && now_ns() < end;) sleep_ms(1);
    check_eq(a->out[0], 1);
    check_eq(a->out[1], 0);
    struct gnttab_map_grant_ref m = { .host_addr = SCRATCH + 0x1000, .flags = GNTMAP_host_map, .ref = 9, .dom = (domid_t)d };
    check_eq(hc_grant(GNTTABOP_map_grant_ref, &m, 1), 0);
    need_eq(m.status, 0);
    check_eq(*(volatile u64 *)(SCRATCH + 0x1000), 0x1234567);
    *(volatile u64 *)(SCRATCH + 0x1000) = 0x7654321;
    a->out[2] = 1;
    check_eq(domain_wait(d, 3000), SHUTDOWN_poweroff);
    check_eq(a->out[3], 0x7654321);
    check_eq(unmap(SCRATCH, 1), 0);
    check_eq(domctl(XEN_DOMCTL_destroydomain, d), 0);
    sleep_ms(60);
    check(domain_flags(d) & XEN_DOMINF_dying);
    check_eq(*(volatile u64 *)(SCRATCH + 0x1000), 0x7654321);
    struct gnttab_unmap_grant_ref u = { .host_addr = SCRATCH + 0x1000, .handle = m.handle };
    check_eq(hc_grant(GNTTABOP_unmap_grant_ref, &u, 1), 0);
    check_eq(u.status, 0);
    check(domain_gone(d, 2000));
}

void test_main(void)
{
    static const struct test tests[] = {
        TEST(poweroff),
        TEST(reboot),
        TEST(crash),
        TEST(triple_fault),
        TEST(lost_page_tables),
        TEST(hlt_for_good),
        TEST(jump_to_nothing),
        TEST(no_state_no_run),
        TEST(wild_memory),
        TEST(wild_ports),
        TEST(wild_msrs),
        TEST(privileged_calls),
        TEST(spinning),
        TEST(killed_while_running),
        TEST(grant_from_guest),
        TEST(xsa_222_from_inside),
        TEST(xsa_462),
    };
    play_role();
    RUN_TESTS(tests);
}
