/* SPDX-License-Identifier: MIT */
/*
 * Random hypercalls, ports, MSRs, instructions and addresses, from dom0 and from a guest: Helium must survive and dom0 must
 * be able to say so. In a siege a guest of four vCPUs does it on all processors, beside a guest that watches its own memory
 * and clock. Time in seconds and seed come from the command line: "s=10 seed=1". Both kinds of guest can also be started by
 * stock xl, beside a stock dom0 (test/system/test_siege.py): "besieger s=20 seed=1", "witness s=60".
 */
#include "frontend.h"
#include "workers.h"

const char test_name[] = "fuzz";

static u64 state;
static u64 rnd(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}
static u64 pick(u64 n) { return rnd() % n; }

/* What calls, ports and so on get: a page that pointers often point into. */
#define POINTED 8192                    /* ... into this part of it; long answers stay inside too */
static u8 arena[POINTED + 16384] __attribute__((aligned(4096)));

static u64 any_value(void)
{
    switch (pick(10)) {
    case 0: return 0;
    case 1: return pick(16);
    case 2: return (u64)arena + pick(POINTED);
    case 3: return (u64)arena + (pick(POINTED) & ~7UL);
    case 4: return 1UL << pick(64);
    case 5: return ~(1UL << pick(64));
    case 6: return pick(3) ? DOMID_SELF : DOMID_SELF + pick(16);
    case 7: return pick(4096);
    case 8: return rnd() & 0xffffffff;
    default: return rnd();
    }
}

/* Never the address of this kernel: the answer would be written over it. */
static u64 value(void)
{
    u64 v = any_value();
    bool in_arena = v >= (u64)arena && v < (u64)arena + sizeof(arena);
    return v >= IMAGE - 0x10000 && v < (u64)_end && !in_arena ? (u64)arena : v;
}

static void scramble(void)
{
    for (unsigned i = 0; i < 24; i++) {
        u64 at = pick(POINTED) & ~(pick(4) ? 3UL : 0UL);
        u64 v = value();
        memcpy(arena + at, &v, pick(2) ? 8 : pick(2) ? 4 : 2);
    }
}

/* ---- hypercalls ---- */
/* With random arguments these end dom0 as they should, or take from it what this kernel stands on. */
static bool deadly(unsigned nr, u64 op)
{
    switch (nr) {
    case __HYPERVISOR_sched_op:
        return op == SCHEDOP_shutdown || op == SCHEDOP_block || op == SCHEDOP_poll || op == SCHEDOP_watchdog ||
               op == SCHEDOP_shutdown_code;
    case __HYPERVISOR_vcpu_op: return op == VCPUOP_down || op == VCPUOP_send_nmi || op == VCPUOP_register_vcpu_info ||
                                      op == VCPUOP_register_runstate_memory_area;
    case __HYPERVISOR_platform_op: return true;         /* sleep: see control() */
    case __HYPERVISOR_memory_op: return true;  /* see memory() */
    case __HYPERVISOR_multicall: return true;           /* any call: see call() */
    case __HYPERVISOR_console_io: return true;          /* noise */
    case __HYPERVISOR_sysctl: case __HYPERVISOR_domctl: return true;
    case __HYPERVISOR_grant_table_op: return op == GNTTABOP_copy || op == GNTTABOP_map_grant_ref;     /* see grants() */
    }
    return false;
}

/* Frames of memory that this kernel can do without: 16 MiB up, dom0 has 64; a guest has none of them. */
static u64 spare_gfn(void) { return pick(6) ? 0x1000 + pick(0x1800) : pick(3) ? value() | 1UL << 21 : 0x8000 + pick(0x8000); }

static void call(void)
{
    unsigned nr = (unsigned)(pick(8) ? pick(64) : value());
    u64 op = pick(4) ? pick(48) : value(), a = value(), b = value();
    scramble();
    if (nr < 64 && deadly(nr, op)) return;
    if (nr == __HYPERVISOR_event_channel_op && (op == EVTCHNOP_init_control || op == EVTCHNOP_expand_array)) {
        /* Helium writes to these pages. */
        static struct evtchn_init_control fifo;
        static struct evtchn_expand_array array;
        fifo = (struct evtchn_init_control){ .control_gfn = spare_gfn(), .offset = (u32)(pick(4) ? pick(512) * 8 : value()),
                                             .vcpu = (u32)(pick(4) ? 0 : value()) };
        array.array_gfn = spare_gfn();
        a = op == EVTCHNOP_init_control ? (u64)&fifo : (u64)&array;
    }
    if (nr == __HYPERVISOR_grant_table_op) b = pick(16) ? pick(64) : b | 1UL << 31;      /* statuses are written back */
    if (nr == __HYPERVISOR_set_timer_op) op = now_ns() + pick(1000000);
    if (pick(8)) {
        hypercall5(nr, op, a, b, value(), value());
    } else {
        static struct multicall_entry e[3];
        for (unsigned i = 0; i < 3; i++) {
            e[i].op = nr;
            e[i].args[0] = op;
            e[i].args[1] = a;
            e[i].args[2] = b;
        }
        hypercall2(__HYPERVISOR_multicall, e, pick(4));
    }
}

static void memory(void)
{
    static u64 frames[64];
    static int errs[64];
    unsigned op = (unsigned)pick(30), n = (unsigned)pick(64);
    u16 dom = (u16)(pick(4) ? DOMID_SELF : value());
    union {
        struct xen_memory_reservation r;
        struct xen_add_to_physmap a;
        struct xen_add_to_physmap_batch b;
        struct xen_remove_from_physmap rm;
        struct xen_mem_acquire_resource res;
        struct xen_memory_exchange x;
        u64 raw[16];
    } u;
    for (unsigned i = 0; i < 16; i++) u.raw[i] = value();
    for (unsigned i = 0; i < 64; i++) frames[i] = spare_gfn();
    switch (op) {
    case XENMEM_increase_reservation: case XENMEM_decrease_reservation: case XENMEM_populate_physmap:
    case XENMEM_claim_pages:
        u.r = (struct xen_memory_reservation){ .nr_extents = n, .extent_order = (unsigned)(pick(4) ? pick(4) : 9),
                                               .mem_flags = (unsigned)(pick(4) ? 0 : value()), .domid = dom };
        if (op != XENMEM_claim_pages && pick(16)) set_xen_guest_handle(u.r.extent_start, frames);
        if (u.r.extent_order == 9) for (unsigned i = 0; i < n; i++) frames[i] = (0x1000 + pick(0x1800)) & ~511UL;
        if (dom == 0) u.r.domid = DOMID_SELF;
        break;
    case XENMEM_add_to_physmap:
        u.a.domid = dom;
        u.a.space = (unsigned)pick(6);
        u.a.idx = u.a.space == XENMAPSPACE_gmfn || u.a.space == XENMAPSPACE_gmfn_range ? spare_gfn() : value();
        u.a.size = (u16)pick(64);
        u.a.gpfn = spare_gfn();
        break;
    case XENMEM_add_to_physmap_batch:
        u.b.domid = dom;
        u.b.space = (u16)pick(6);
        u.b.size = (u16)n;
        u.b.u.foreign_domid = (domid_t)(pick(2) ? pick(8) : value());
        set_xen_guest_handle(u.b.idxs, frames);
        set_xen_guest_handle(u.b.gpfns, frames + pick(8));
        if (n > 50) u.b.size = 50;
        set_xen_guest_handle(u.b.errs, errs);
        break;
    case XENMEM_remove_from_physmap:
        u.rm.domid = dom;
        u.rm.gpfn = spare_gfn();
        break;
    case XENMEM_acquire_resource:
        u.res.domid = dom;
        u.res.pad = 0;
        u.res.type = (u16)pick(3);
        u.res.id = 0;
        u.res.nr_frames = (u32)pick(50);
        u.res.frame = pick(70);
        set_xen_guest_handle(u.res.frame_list, frames);
        break;
    default:
        for (unsigned i = 0; i < 16; i++)       /* pointers, if any, into the arena */
            if (pick(2)) u.raw[i] = (u64)arena + pick(POINTED);
    }
    hc_memory_op(op | (unsigned)(pick(16) ? 0 : value() << 6), &u);
}

static void grants(void)
{
    union {
        struct gnttab_map_grant_ref m[4];
        struct gnttab_copy c[4];
        u64 raw[32];
    } u;
    for (unsigned i = 0; i < 32; i++) u.raw[i] = value();
    if (pick(2)) {
        for (unsigned i = 0; i < 4; i++)
            u.m[i] = (struct gnttab_map_grant_ref){ .host_addr = spare_gfn() << 12, .flags = (u32)(pick(4) ? 2 : value()),
                                                    .ref = (u32)pick(600), .dom = (domid_t)(pick(2) ? DOMID_SELF : pick(5)) };
        hc_grant(GNTTABOP_map_grant_ref, &u, (unsigned)pick(5));
        struct gnttab_unmap_grant_ref un = { .host_addr = u.m[0].host_addr, .handle = pick(2) ? u.m[0].handle : (u32)pick(50) };
        hc_grant(GNTTABOP_unmap_grant_ref, &un, 1);
    } else {
        for (unsigned i = 0; i < 4; i++) {      /* never onto this kernel */
            if (u.c[i].flags & GNTCOPY_dest_gref) u.c[i].dest.u.ref = (u32)pick(600);
            else u.c[i].dest.u.gmfn = spare_gfn();
        }
        hc_grant(GNTTABOP_copy, &u, (unsigned)pick(5));
    }
}

/* domctl and sysctl with a valid version; on domains that the fuzzing made, and nobody. */
static void control(void)
{
    union { u64 raw[24]; struct xen_domctl d; struct xen_sysctl s; struct xen_platform_op p; } u;
    for (unsigned i = 0; i < 24; i++) u.raw[i] = value();
    switch (pick(3)) {
    case 0:
        u.d.cmd = (u32)pick(90);
        u.d.interface_version = XEN_DOMCTL_INTERFACE_VERSION;
        u.d.domain = (domid_t)(pick(3) ? 1 + pick(8) : value());
        if (u.d.domain == 0 && u.d.cmd != XEN_DOMCTL_getdomaininfo) return;
        if (u.d.cmd == XEN_DOMCTL_createdomain) {
            if (pick(40)) return;
            u.d.u.createdomain = (struct xen_domctl_createdomain){
                .flags = 3, .max_vcpus = (u32)(1 + pick(4)), .max_evtchn_port = (u32)value(), .max_grant_frames = -1,
                .max_maptrack_frames = -1, .grant_opts = 1, .arch.emulation_flags = 1 };
            u.d.domain = (domid_t)(1 + pick(8));
        }
        hc_domctl(&u);
        break;
    case 1:
        u.s.cmd = (u32)pick(32);
        u.s.interface_version = XEN_SYSCTL_INTERFACE_VERSION;
        if (u.s.cmd == XEN_SYSCTL_debug_keys) return;
        if (u.s.cmd == XEN_SYSCTL_readconsole) u.s.u.readconsole.count = (u32)pick(4096);
        hc_sysctl(&u);
        break;
    default:
        u.p.cmd = (u32)pick(70);
        u.p.interface_version = XENPF_INTERFACE_VERSION;
        if (u.p.cmd != XENPF_enter_acpi_sleep) hypercall1(__HYPERVISOR_platform_op, &u);
    }
}

/* ---- the machine ---- */
static bool deadly_port(u16 p, unsigned size)
{
    static const struct { u16 from, to; } keep[] = {
        { 0x600, 0x67f }, { 0xcf9, 0xcf9 }, { 0x92, 0x92 }, { 0x64, 0x64 }, { 0xb2, 0xb3 }, { 0xe9, 0xe9 },
        { 0x500, 0x57f }, { 0x402, 0x402 }, { 0x510, 0x51b }, { 0x700, 0x73f }, { 0xaf00, 0xaf2f }, { 0xae00, 0xae1f },
        { 0xcd8, 0xcff },
    };
    for (unsigned i = 0; i < sizeof(keep) / sizeof(keep[0]); i++)
        if (p <= keep[i].to && p + size > keep[i].from) return true;
    return false;
}

static void ports(void)
{
    u16 p = (u16)(pick(2) ? rnd() : pick(0x400));
    u32 v = (u32)value();
    if (is_dom0() && deadly_port(p, 4)) return;
    switch (pick(6)) {
    case 0: inb(p); break;
    case 1: inw(p); break;
    case 2: inl(p); break;
    case 3: outb(p, (u8)v); break;
    case 4: outw(p, (u16)v); break;
    default: outl(p, v);
    }
}

static void msrs(void)
{
    static const u32 bases[] = { 0, 0x200, 0x800, 0x40000000, 0xc0000080, 0xc0010000, 0xc0011000 };
    u32 m = pick(8) ? bases[pick(7)] + (u32)pick(256) : (u32)value();
    u64 v;
    if (rdmsr_try(m, &v) != -1) v = 0;
    /* EFER, APIC base, hypercall page, segment bases and system call entries are what we run on. */
    if (m == 0xc0000080 || m == 0x1b || m == 0x40000000 || (m >= 0xc0000081 && m <= 0xc0000103) || m == 0x10 || m == 0x3b ||
        (m >= 0x800 && m < 0x900))
        return;
    wrmsr_try(m, pick(2) ? value() : v ^ 1UL << pick(64));
}

/* Addresses without RAM, with and without a device of Helium's behind them. */
static void addresses(void)
{
    static const u64 places[] = { 0xfec00000, 0xfed00000, LAPIC, 0xfee01000, 0xb0000000, 0xf0000000, 0xfd000000, 0xe0000000,
                                  0xa0000 };
    u64 at = places[pick(9)] + pick(0x1000);
    static u8 sink[64];
    if (at >= LAPIC && at < LAPIC + 0x1000) {           /* no INIT or IPI that ends us */
        at &= ~3UL;
        if ((at & 0xff0) == 0x300 || (at & 0xff0) == 0x310 || (at & 0xf00) == 0x0 || (at & 0xff0) == 0x80) return;
    }
    if (at >= 0xfd000000 && at < 0xfec00000 && is_dom0()) return;      /* BARs of real devices */
    if (at >= 0xb0000000 && at < 0xc0000000 && is_dom0()) { mmio_read(at & ~3UL); return; }
    switch (pick(9)) {
    case 0: TRY("movb (%0), %%al", "r"(at)); break;
    case 1: TRY("movl %%eax, (%0)", "r"(at), "a"((u32)value())); break;
    case 2: TRY("movq (%0), %%rcx", "r"(at)); break;
    case 3: TRY("xchgl %%eax, (%0)", "r"(at), "a"(0)); break;
    case 4: TRY("lock orl $0, (%0)", "r"(at)); break;
    case 5: __asm__ volatile("rep movsb" :: "S"(at), "D"(sink), "c"(pick(32)) : "memory"); break;
    case 6: TRY("movzbl (%0), %%ecx", "r"(at)); break;
    case 7: TRY("lock cmpxchg %%rcx, (%0)", "r"(at & ~7UL), "a"(0)); break;
    default: TRY("testl $5, (%0)", "r"(at));
    }
}

/* Random bytes as code, with all faults caught; a guest that dies of it is a fine result. */
static u64 code_rsp __attribute__((used));
static void code(void)
{
    static u8 text[32];
    for (unsigned i = 0; i < 15; i++) text[i] = (u8)rnd();
    text[15] = 0x0f;
    text[16] = 0x0b;
    if (pick(2)) { text[0] = 0x0f; text[1] = (u8)(pick(2) ? 0x01 : 0xae); }
    /* Back here by UD2, RET or a fault; registers are anything, the stack is put right. */
    __asm__ volatile("push %%rbx; push %%rbp; push %%r12; push %%r13; push %%r14; push %%r15; mov %%rsp, code_rsp(%%rip)\n\t"
                     "movq $1f, try_fixup; call *%0\n"
                     "1: mov code_rsp(%%rip), %%rsp; movq $0, try_fixup; cld; cli\n\t"
                     "pop %%r15; pop %%r14; pop %%r13; pop %%r12; pop %%rbp; pop %%rbx"
                     :: "a"(text) : "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory", "cc");
}

static void (*const things[])(void) = { call, call, memory, grants, control, ports, ports, msrs, addresses };

/* Interrupts that the fuzzing lets in, and faults of random code. */
static void swallow(struct frame *f) { mmio_write(LAPIC + 0xb0, 0); }

static u64 seconds;
static void go(u64 ns)
{
    u64 end = now_ns() + ns, rounds = 0;
    while (now_ns() < end) {
        for (unsigned i = 0; i < 200; i++) things[pick(sizeof(things) / sizeof(things[0]))]();
        rounds += 200;
    }
    print("%lu rounds, state %lx\n", rounds, state);
}

static void from_dom0(void)
{
    for (unsigned v = 32; v < 256; v++) trap_set(v, swallow);
    trap_set(2, swallow);
    go(seconds * 500000000UL);
    check_eq(hc_xen_version(XENVER_version, NULL), 0x40011);
}

/* What the fuzzing created goes away; the machine is as good as before. */
static void clean_up(void)
{
    for (unsigned id = 1; id < 600; id++)
        if (domain_flags(id) >= 0) domctl(XEN_DOMCTL_destroydomain, id);
    for (u64 g = 0x8000; g < 0x18000; g++) {
        struct xen_remove_from_physmap r = { .domid = DOMID_SELF, .gpfn = g };
        hc_memory_op(XENMEM_remove_from_physmap, &r);
    }
    long id = domain_build(1);
    check(id > 0 && domain_end((unsigned)id));
}

/* ---- guests with the same habits ---- */
static void fuzz_until(u64 end, unsigned n)
{
    while (!stop && now_ns() < end)
        for (unsigned i = 0; i < 100; i++) things[pick(n)]();
}

static void g_fuzzer(void)
{
    state = my_args()->in[0] | 1;
    for (unsigned v = 32; v < 256; v++) trap_set(v, swallow);
    fuzz_until(now_ns() + 200000000, sizeof(things) / sizeof(things[0]));
    for (unsigned i = 0; i < 1000; i++) code();
}

/* The other vCPUs leave faults, for which there is one place, to the first. */
static void fuzz_calls(void)
{
    static void (*const calls[])(void) = { call, call, memory, grants, control, ports };
    while (!stop) calls[pick(sizeof(calls) / sizeof(calls[0]))]();
}

static void besiege(u64 ns)
{
    for (unsigned v = 32; v < 256; v++) trap_set(v, swallow);
    if (workers_start(3))
        for (unsigned i = 1; i <= 3; i++) job_start(i, fuzz_calls);
    for (u64 end = now_ns() + ns; now_ns() < end;) {
        for (unsigned i = 0; i < 200; i++) things[pick(sizeof(things) / sizeof(things[0]))]();
        for (unsigned i = 0; i < 20; i++) code();
    }
}

static void g_besieger(void)
{
    state = my_args()->in[0] | 1;
    besiege(1500000000);
}

/* Its memory keeps what it wrote, its clock goes forward and does not stand still. Words: 0 rounds, 1 wrong pages, 2 clock
 * back, 3 longest step. */
static void watch(u64 until)
{
    volatile u64 *out = my_args()->out;
    for (u64 at = 0x400000; at < (u64)DOM_MB << 20; at += 4096) fill(at, 1, at);
    for (u64 last = now_ns(); !my_args()->in[1] && last < until;) {
        for (u64 at = 0x400000; at < (u64)DOM_MB << 20; at += 4096) {
            out[1] += !filled(at, 1, at + out[0]);
            fill(at, 1, at + out[0] + 1);
            u64 now = now_ns();
            if (now < last) out[2]++;
            else if (now - last > out[3]) out[3] = now - last;
            last = now;
        }
        out[0]++;
    }
}

static void g_witness(void) { watch(~0UL); }

static long fuzzer_start(unsigned vcpus, role_fn role)
{
    long id = domain_build(vcpus);
    if (!check(id > 0) || !check_eq(domain_load((unsigned)id, (u64)role), 0)) return -1;
    volatile struct dom_args *a = role_args((unsigned)id, SCRATCH);
    if (!a) return -1;
    a->in[0] = rnd();
    check_eq(unmap(SCRATCH, 1), 0);
    return check_eq(domctl(XEN_DOMCTL_unpausedomain, (unsigned)id), 0) ? id : -1;
}

/* One after the other: each lives or dies, dom0 goes on. */
static void from_guests(void)
{
    u64 end = now_ns() + seconds * 500000000UL, n = 0, died = 0;
    while (now_ns() < end) {
        long id = fuzzer_start(1, g_fuzzer);
        need(id > 0);
        if (domain_wait((unsigned)id, 400) > 0) died++;
        need(domain_end((unsigned)id));
        n++;
    }
    print("%lu guests, %lu ended early\n", n, died);
    check(n >= 2);
}

/* What dom0 does meanwhile: it makes and ends domains, and is not kept waiting. Its longest wait. */
static u64 dom0_at_work(void)
{
    u64 t0 = now_ns();
    sleep_ms(20);
    long id = domain_build(2);
    check(id > 0 && domain_end((unsigned)id));
    return now_ns() - t0;
}

#define WITNESS (SCRATCH + 0x10000)
static void siege(void)
{
    u64 end = now_ns() + seconds * 1000000000UL, n = 0, longest = 0;
    long witness = role_start(1, g_witness);
    need(witness > 0);
    volatile struct dom_args *w = role_args((unsigned)witness, WITNESS);
    need(w);
    while (now_ns() < end) {
        long id = fuzzer_start(4, g_besieger);
        need(id > 0);
        for (u64 until = now_ns() + 3000000000UL; now_ns() < until && domain_wait((unsigned)id, 1) < 0;) {
            u64 t = dom0_at_work();
            if (t > longest) longest = t;
        }
        need(domain_end((unsigned)id));
        n++;
    }
    w->in[1] = 1;
    check_eq(domain_wait((unsigned)witness, PATIENCE_MS), SHUTDOWN_poweroff);
    print("%lu besiegers; witness: %lu rounds, longest step %lu ms; dom0: %lu ms\n", n, w->out[0], w->out[3] / 1000000,
          longest / 1000000);
    check(n >= 2 && w->out[0] > 3);
    check_eq(w->out[1], 0);
    check_eq(w->out[2], 0);
    check(w->out[3] < 5000000000UL && longest < 10000000000UL);        /* QEMU's CPUs share the host's */
    check_eq(unmap(WITNESS, 1), 0);
    check(domain_end((unsigned)witness));
}

/* ---- the same guests, started by xl ---- */
static void besieger_alone(void)
{
    print("besieger: seed state %lx\n", state);
    besiege(seconds * 1000000000UL);
}

static void witness_alone(void)
{
    volatile u64 *out = my_args()->out;
    memset(my_args(), 0, sizeof(struct dom_args));
    bool heard = frontend_init();
    watch(now_ns() + seconds * 1000000000UL);
    print("witness: %lu rounds, %lu wrong pages, clock back %lu times, longest step %lu ms\n", out[0], out[1], out[2],
          out[3] / 1000000);
    bool fine = heard && out[0] > 3 && !out[1] && !out[2];
    struct sched_shutdown s = { .reason = fine ? SHUTDOWN_poweroff : SHUTDOWN_crash };
    hc_sched_op(SCHEDOP_shutdown, &s);
}

void test_main(void)
{
    static const struct test tests[] = {
        TEST(from_guests),
        TEST(siege),
        TEST(from_dom0),
        TEST(clean_up),
    };
    seconds = option_number("s=", 10);
    state = option_number("seed=", rdtsc()) * 2654435761UL | 1;
    if (option("witness")) witness_alone();
    else if (option("besieger")) besieger_alone();
    else {
        play_role();
        print("seed state %lx, %lu s\n", state, seconds);
        RUN_TESTS(tests);
    }
}
