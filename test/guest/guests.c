/* SPDX-License-Identifier: MIT */
/* dom0 starts copies of this kernel as guests that end in every way or misbehave: only they suffer, and the shutdown
 * code says how they ended. */
#include "build.h"
#include "steal.h"

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

/* XSA-217, from a domain without privileges: to itself, to dom0, to the domain that dom0 names. */
static void g_xsa_217(void)
{
    volatile u64 *out = my_args()->out;
    while (!my_args()->in[0]) __asm__ volatile("pause");
    out[0] = steal(0x600, DOMID_SELF);
    out[1] = steal(0x600, 0);
    out[2] = steal(0x600, (domid_t)my_args()->in[0]);
    out[3] = 1;
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

/* The same for grant mappings in the place of a page of a former superpage: they come and go without a table, and what was
 * behind them is not there any more. Its own grants, in a table in the same 2 MiB. */
enum { GAP = 0x400, TABLE_AT = 0x401, LENT = 0x602, GIVEN_UP = 0x403, REF = 9 };
#define AT(gfn) ((volatile u64 *)((u64)(gfn) << 12))

static bool lend_to_itself(unsigned gfn, u32 *handle)
{
    volatile struct grant_entry_v1 *e = (void *)AT(TABLE_AT);
    e[REF].domid = (domid_t)my_args()->in[0];
    e[REF].frame = gfn;
    e[REF].flags = GTF_permit_access;
    AT(gfn)[3] = 0x1000 + gfn;
    return !grant_map((unsigned)my_args()->in[0], REF, (u64)GAP << 12, 0, handle) && AT(GAP)[3] == 0x1000 + gfn &&
           e[REF].flags == (GTF_permit_access | GTF_reading | GTF_writing);
}

static bool take_back(u32 handle)
{
    volatile struct grant_entry_v1 *e = (void *)AT(TABLE_AT);
    return !grant_unmap((u64)GAP << 12, handle) && e[REF].flags == GTF_permit_access && AT(GAP)[3] == ~0UL;
}

static void g_xsa_222_grants(void)
{
    volatile u64 *out = my_args()->out;
    struct xen_add_to_physmap a = { .domid = DOMID_SELF, .space = XENMAPSPACE_grant_table, .gpfn = TABLE_AT };
    u32 h = 0, none;
    while (!my_args()->in[0]) __asm__ volatile("pause");
    AT(GAP + 5)[0] = 77;
    long pages = reserved_pages();
    out[0] |= reservation(XENMEM_decrease_reservation, DOMID_SELF, GAP, 0) != 1;        /* takes the only table */
    out[0] |= (u64)(reservation(XENMEM_decrease_reservation, DOMID_SELF, TABLE_AT, 0) != 1) << 1;
    out[0] |= (u64)(hc_memory_op(XENMEM_add_to_physmap, &a) != 0) << 2;
    for (unsigned i = 0; i < 300; i++) {
        out[1] += !lend_to_itself(LENT, &h);
        out[1] += reservation(XENMEM_decrease_reservation, DOMID_SELF, LENT, 0) != 0;   /* no table for this one */
        AT(GAP)[4] = i;
        out[1] += !take_back(h);
        out[1] += AT(LENT)[3] != 0x1000 + LENT || AT(LENT)[4] != i || AT(GAP + 5)[0] != 77;
    }
    /* No mapping over RAM, in a superpage or not. */
    out[2] += grant_map((unsigned)my_args()->in[0], REF, (u64)LENT << 12, 0, &none) >= 0;
    out[2] += grant_map((unsigned)my_args()->in[0], REF, (u64)(GAP + 5) << 12, 0, &none) >= 0;
    out[2] += AT(LENT)[3] != 0x1000 + LENT || AT(GAP + 5)[0] != 77;
    /* A page that is given up while it is mapped. */
    out[3] |= !lend_to_itself(GIVEN_UP, &h);
    out[3] |= (u64)(reservation(XENMEM_decrease_reservation, DOMID_SELF, GIVEN_UP, 0) != 1) << 1;
    out[3] |= (u64)(AT(GAP)[3] != 0x1000 + GIVEN_UP) << 2;
    out[3] |= (u64)!take_back(h) << 3;
    out[3] |= (u64)(AT(GIVEN_UP)[3] != ~0UL) << 4;
    out[3] |= (u64)(reserved_pages() != pages - 3) << 5;
    out[3] |= (u64)(reservation(XENMEM_populate_physmap, DOMID_SELF, GAP, 0) != 1 || AT(GAP)[3]) << 6;
    out[4] = 1;
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

/* ---- vCPUs ---- */
static u8 second_stack[4096] __attribute__((aligned(16)));
static void second_vcpu(void)
{
    u32 r[4];
    cpuid(1, 0, r);
    my_args()->out[1] = r[1] >> 24;             /* APIC id: it is the other one */
    my_args()->out[0] = 1;
    for (;;) __asm__ volatile("pause");
}

/* The second vCPU by VCPUOP_initialise, in 64-bit mode from its first instruction. Taking both down ends the guest. */
static void g_initialise(void)
{
    struct vcpu_hvm_context c = { .mode = VCPU_HVM_MODE_64B, .cpu_regs.x86_64 = {
        .rip = (u64)second_vcpu, .rsp = (u64)second_stack + sizeof(second_stack) - 8, .rflags = 2, .cr0 = read_cr0(),
        .cr3 = read_cr3(), .cr4 = read_cr4(), .efer = rdmsr(0xc0000080) } };
    my_args()->out[2] = (u64)hc_vcpu_op(VCPUOP_up, 1, NULL);
    my_args()->out[3] = (u64)hc_vcpu_op(VCPUOP_initialise, 1, &c);
    my_args()->out[4] = (u64)hc_vcpu_op(VCPUOP_initialise, 1, &c);
    my_args()->out[5] = (u64)hc_vcpu_op(VCPUOP_up, 1, NULL);
    for (u64 end = rdtsc() + LATE; !my_args()->out[0] && rdtsc() < end;) __asm__ volatile("pause");
    my_args()->out[6] = (u64)hc_vcpu_op(VCPUOP_down, 1, NULL);
    my_args()->out[7] = (u64)hc_vcpu_op(VCPUOP_is_up, 1, NULL);
    hc_vcpu_op(VCPUOP_down, 0, NULL);
    for (;;) __asm__ volatile("pause");
}

static void g_latched(void)
{
    struct sched_shutdown s = { .reason = SHUTDOWN_crash };
    hc_sched_op(SCHEDOP_shutdown_code, &s);
    end_with(SHUTDOWN_poweroff);
}

static void g_own_code(void) { end_with(77); }

/* Nanoseconds by a time record are those of the hypervisor, also after the guest moved its TSC. */
static void g_time_area(void)
{
    static struct vcpu_time_info t;
    struct vcpu_register_time_memory_area a = { .addr.p = (u64)&t };
    my_args()->out[0] = (u64)hc_vcpu_op(VCPUOP_register_vcpu_time_memory_area, 0, &a);
    for (unsigned i = 1; i < 4; i++) {
        u64 before = now_ns(), d = rdtsc() - t.tsc_timestamp;
        d = t.tsc_shift < 0 ? d >> -t.tsc_shift : d << t.tsc_shift;
        u64 ns = t.system_time + (u64)((unsigned __int128)d * t.tsc_to_system_mul >> 32);
        my_args()->out[i] = ns + 1000 < before || ns > now_ns() + 1000;
        wrmsr_try(0x10, 1000000 * i);
    }
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
static void expect_end_of(unsigned vcpus, role_fn role, long code)
{
    long id = role_start(vcpus, role);
    need(id > 0);
    check_eq(domain_wait((unsigned)id, PATIENCE_MS), code);
    fetch_out((unsigned)id);
    check(domain_end((unsigned)id));
}

static void expect_end(role_fn role, long code) { expect_end_of(1, role, code); }

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

static void vcpu_initialise(void)
{
    expect_end_of(2, g_initialise, SHUTDOWN_poweroff);
    check_eq(out[0], 1);
    check_eq(out[1], 2);
    check_eq(out[2], -XEN_EINVAL);
    check_eq(out[3], 0);
    check_eq(out[4], -XEN_EEXIST);
    check_eq(out[5] | out[6] | out[7], 0);
}

static void shutdown_codes(void)
{
    expect_end(g_latched, SHUTDOWN_crash);
    expect_end(g_own_code, 77);
}

static void time_area(void)
{
    expect_end(g_time_area, SHUTDOWN_poweroff);
    check_eq(out[0] | out[1] | out[2] | out[3], 0);
}

/* The receiver's table has an entry that would accept a page: it stays as it is. */
static volatile struct grant_entry_v1 *accepting(unsigned d, domid_t from)
{
    volatile struct grant_entry_v1 *e = grant_table(d);
    if (e) e[20] = (struct grant_entry_v1){ .flags = GTF_accept_transfer, .domid = from };
    return e;
}

static void xsa_217_no_stealing(void)
{
    long receiver = domain_build(1), id = role_start(1, g_xsa_217);
    need(receiver > 0 && id > 0);
    volatile struct grant_entry_v1 *e = accepting((unsigned)receiver, (domid_t)id);
    volatile struct dom_args *a = role_args((unsigned)id, SCRATCH);
    need(e && a);
    a->in[0] = (u64)receiver;
    check_eq(domain_wait((unsigned)id, PATIENCE_MS), SHUTDOWN_poweroff);
    check_eq(a->out[0], 0);
    check_eq(a->out[1], 0);
    check_eq(a->out[2], 0);
    check_eq(a->out[3], 1);
    check_eq(e[20].flags, GTF_accept_transfer);
    e[20].domid = 0;                            /* and from dom0 */
    check_eq(steal(0x600, (domid_t)receiver), 0);
    check_eq(e[20].flags, GTF_accept_transfer);
    check_eq(unmap(SCRATCH, 1) | unmap(GRANT_TABLE, 1), 0);
    check(domain_end((unsigned)id) && domain_end((unsigned)receiver));
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

/* A domain of superpages whose pool has a table for one split, not for two. */
static long domain_of_one_split(role_fn role, unsigned *pool)
{
    long id = domain_new(1);
    unsigned d = (unsigned)id;
    if (!check(id > 0)) return -1;
    for (*pool = 1; *pool < 64 && (pool_set(d, *pool) || reservation(XENMEM_populate_physmap, d, 0, 9) != 1); ++*pool) ;
    for (u64 g = 512; g < DOM_PAGES; g += 512)
        if (!check_eq(reservation(XENMEM_populate_physmap, d, g, 9), 1)) return -1;
    return check_eq(pool_set(d, ++*pool), 0) && check_eq(domain_load(d, (u64)role), 0) &&
           check_eq(domctl(XEN_DOMCTL_unpausedomain, d), 0) ? id : -1;
}

static void xsa_222_from_inside(void)
{
    unsigned pool;
    long id = domain_of_one_split(g_xsa_222, &pool);
    need(id > 0);
    unsigned d = (unsigned)id;
    check_eq(domain_wait(d, PATIENCE_MS), SHUTDOWN_poweroff);
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
    need_eq(pool_set(d, pool + 1), 0);          /* with another table the refused call works */
    check_eq(reservation(XENMEM_decrease_reservation, d, 0x600, 0), 1);
    check(domain_end(d) && domain_end((unsigned)other));
}

static void xsa_222_grants_in_superpage(void)
{
    unsigned pool;
    long id = domain_of_one_split(g_xsa_222_grants, &pool);
    need(id > 0);
    volatile struct dom_args *a = role_args((unsigned)id, SCRATCH);
    need(a);
    a->in[0] = (u64)id;
    check_eq(domain_wait((unsigned)id, PATIENCE_MS), SHUTDOWN_poweroff);
    for (unsigned i = 0; i < 4; i++) check_eq(a->out[i], 0);
    check_eq(a->out[4], 1);
    check_eq(unmap(SCRATCH, 1), 0);
    check(domain_end((unsigned)id));
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
    check_eq(domain_wait(d, PATIENCE_MS), SHUTDOWN_poweroff);
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
        TEST(vcpu_initialise),
        TEST(shutdown_codes),
        TEST(time_area),
        TEST(spinning),
        TEST(killed_while_running),
        TEST(grant_from_guest),
        TEST(xsa_217_no_stealing),
        TEST(xsa_222_from_inside),
        TEST(xsa_222_grants_in_superpage),
        TEST(xsa_462),
    };
    play_role();
    RUN_TESTS(tests);
}
