/* SPDX-License-Identifier: MIT */
/*
 * Attacks that need several CPUs at once: dom0 with four vCPUs, guests with up to four. What one vCPU gives up, another
 * hammers on; nobody may see or change a page that is no longer his. How often comes from the command line: "rounds=200";
 * on which of the host's CPUs, too: "cpus=30" is a mask.
 */
#include "workers.h"

const char test_name[] = "race";
static u32 rounds;                      /* a guest has dom0's */
#define CANARY 0x5afe5afe5afe5afeUL
#define JUNK 0xbadbadbadbadbad0UL
#define SECOND (SCRATCH + 0x100000)

/* ---- a vCPU that writes to two addresses for ever, whatever is there ---- */
static volatile u64 landed, dropped;

static void hammer(void)
{
    volatile u64 *a = (void *)(SCRATCH + 64), *b = (void *)(SCRATCH + 0x1000 + 64);
    while (!stop) {
        *a = JUNK;
        if (*a == ~0UL) dropped++; else landed++;
        *b = JUNK;
    }
}

static void hammer_starts(void)
{
    stop = false;
    landed = dropped = 0;
    job_start(2, hammer);
}

static bool hammer_ends(void)
{
    stop = true;
    return job_end(2);
}

/* ---- XSA-217: the translation is gone everywhere when the removal returns ---- */
static void stale_rounds(unsigned d)
{
    volatile u64 *p = (void *)(SECOND + 64);
    for (unsigned i = 0; i < rounds; i++) {
        u64 seen = landed;
        need_eq(map_foreign(d, 0x300, 1, SCRATCH), 0);
        need(moved(&landed, seen, PATIENCE_MS));
        need_eq(unmap(SCRATCH, 1), 0);
        need_eq(map_foreign(d, 0x300, 1, SECOND), 0);
        *p = CANARY;
        linger(20000);
        need_eq(*p, CANARY);
        need_eq(unmap(SECOND, 1), 0);
        need_eq(reservation(XENMEM_decrease_reservation, d, 0x300, 0), 1);
        need_eq(reservation(XENMEM_populate_physmap, d, 0x300, 0), 1);
        need_eq(map_foreign(d, 0x300, 1, SECOND), 0);
        need(zeroed(SECOND, 1));
        need_eq(unmap(SECOND, 1), 0);
    }
}

static void xsa_217_stale_translation(void)
{
    long id = domain_build(1);
    need(id > 0);
    hammer_starts();
    stale_rounds((unsigned)id);
    check(hammer_ends());
    check(landed && dropped);
    check(domain_end((unsigned)id));
}

/* ---- XSA-218: "no longer in use" means that nobody can write there any more ---- */
#define REF 9
static void g_granter(void)
{
    volatile u64 *out = my_args()->out, *page = (void *)0x600000;
    volatile struct grant_entry_v1 *e = (void *)0x40000000UL;
    struct xen_add_to_physmap a = { .domid = DOMID_SELF, .space = XENMAPSPACE_grant_table, .gpfn = 0x40000 };
    out[3] = (u64)hc_memory_op(XENMEM_add_to_physmap, &a);
    while (!out[2]) {
        e[REF].frame = 0x600;
        e[REF].domid = 0;
        __asm__ volatile("" ::: "memory");
        e[REF].flags = GTF_permit_access;
        out[0]++;                                               /* offered */
        while (!out[2] && !moved(&my_args()->in[0], out[0] - 1, 10)) ;
        u16 old;
        out[4]++;                                               /* now watching */
        do {                                                    /* taken back as soon as it is free */
            old = GTF_permit_access;
            __asm__ volatile("lock cmpxchgw %2, %1" : "+a"(old), "+m"(e[REF].flags) : "r"((u16)0) : "memory");
        } while (old != GTF_permit_access && !out[2]);
        page[8] = CANARY;
        for (unsigned i = 0; i < 400; i++)
            if (page[8] != CANARY) { out[1]++; break; }
    }
}

static volatile u32 second_handle;
static volatile int second_status;
static volatile u64 mapped;             /* rounds */

/* vCPU 1: unmaps the second mapping at the moment in which vCPU 0 unmaps the first. */
static void unmap_second(void)
{
    for (u32 i = 1; !stop; i++) {
        while (!stop && !moved(&mapped, i - 1, 10)) ;
        meet(2 * i - 1, 2);
        if (stop) break;
        second_status = grant_unmap(SCRATCH + 0x1000, second_handle);
        meet(2 * i, 2);
    }
}

static void canary_rounds(unsigned d, volatile struct dom_args *a)
{
    u64 offered = 0;
    u32 h;
    for (u32 i = 1; i <= rounds; i++) {
        need(moved(&a->out[0], offered, PATIENCE_MS));
        offered = a->out[0];
        need_eq(grant_map(d, REF, SCRATCH, 0, &h), 0);
        need_eq(grant_map(d, REF, SCRATCH + 0x1000, 0, (u32 *)&second_handle), 0);
        a->in[0] = offered;
        need(moved(&a->out[4], offered - 1, PATIENCE_MS));
        mapped = i;
        meet(2 * i - 1, 2);
        int s = grant_unmap(SCRATCH, h);
        meet(2 * i, 2);
        need_eq(s, 0);
        need_eq(second_status, 0);
        need_eq(a->out[1], 0);
    }
}

static void xsa_218_canary(void)
{
    long id = role_start(1, g_granter);
    need(id > 0);
    unsigned d = (unsigned)id;
    volatile struct dom_args *a = role_args(d, SECOND);
    need(a);
    gate = 0;
    mapped = 0;
    hammer_starts();
    job_start(1, unmap_second);
    canary_rounds(d, a);
    a->out[2] = 1;
    check(hammer_ends() && job_end(1));
    check(landed);
    check_eq(a->out[3], 0);
    check_eq(domain_wait(d, PATIENCE_MS), SHUTDOWN_poweroff);
    check_eq(a->out[1], 0);
    check_eq(unmap(SECOND, 1), 0);
    check(domain_end(d));
}

/* The same handle from two CPUs: exactly one of them unmaps it, and later handles are not shared. */
static void unmap_same(void)
{
    for (u32 i = 1; !stop; i++) {
        meet(2 * i - 1, 2);
        if (stop) break;
        second_status = grant_unmap(SCRATCH, second_handle);
        meet(2 * i, 2);
    }
}

static void same_handle_rounds(unsigned d, volatile struct grant_entry_v1 *e)
{
    u32 h, h2;
    unsigned first = 0;
    for (u32 i = 1; i <= rounds; i++) {
        need_eq(grant_map(d, REF, SCRATCH, 0, &h), 0);
        second_handle = h;
        meet(2 * i - 1, 2);
        int s = grant_unmap(SCRATCH, h);
        meet(2 * i, 2);
        need_eq(!s + !second_status, 1);
        need_eq(s ? s : second_status, GNTST_bad_handle);
        first += !s;
        need_eq(e[REF].flags, GTF_permit_access);
        need_eq(grant_map(d, REF, SCRATCH + 0x2000, 0, &h), 0);
        need_eq(grant_map(d, REF, SCRATCH + 0x3000, 0, &h2), 0);
        need(h != h2);
        need_eq(grant_unmap(SCRATCH + 0x2000, h) | grant_unmap(SCRATCH + 0x3000, h2), 0);
    }
    print("%u of %u times the first CPU\n", first, rounds);
}

static void xsa_218_same_handle(void)
{
    long id = domain_build(1);
    need(id > 0);
    volatile struct grant_entry_v1 *e = grant_table((unsigned)id);
    need(e);
    offer(&e[REF], 0x305, GTF_permit_access);
    gate = 0;
    stop = false;
    job_start(1, unmap_same);
    same_handle_rounds((unsigned)id, e);
    stop = true;
    check(job_end(1));
    check_eq(unmap(GRANT_TABLE, 1), 0);
    check(domain_end((unsigned)id));
}

/* ---- XSA-500: copies from an entry whose frame the granter keeps changing ---- */
static volatile struct grant_entry_v1 *flipped;
static void flip(void)
{
    static const u32 frames[] = { 0x305, 0x306, DOM_PAGES + 9 };
    for (u32 i = 0; !stop; i++) flipped->frame = frames[i % 3];
}

static volatile u64 copies, refusals, mixed;
static domid_t copied_from;
static void copy_from_flipped(void)
{
    u64 gfn = 0x700 + this_vcpu();
    volatile u64 *p = (void *)(gfn << 12);
    struct gnttab_copy c = { .source.u.ref = REF, .source.domid = copied_from, .dest.u.gmfn = gfn,
                             .dest.domid = DOMID_SELF, .len = 4096, .flags = GNTCOPY_source_gref };
    for (unsigned i = 0; i < 2 * rounds; i++) {
        hc_grant(GNTTABOP_copy, &c, 1);
        if (c.status) __asm__ volatile("lock incq %0" : "+m"(refusals));
        else __asm__ volatile("lock incq %0" : "+m"(copies));
        if (!c.status && (p[0] != p[511] || p[0] != p[255])) mixed++;
    }
}

static void xsa_500_copy_from_changing_entry(void)
{
    long id = domain_build(1);
    need(id > 0);
    unsigned d = (unsigned)id;
    flipped = grant_table(d);
    need(flipped);
    flipped += REF;
    need_eq(map_foreign(d, 0x305, 2, SCRATCH), 0);
    for (unsigned i = 0; i < 1024; i++) ((u64 *)SCRATCH)[i] = i < 512 ? 0x1111 : 0x2222;
    offer(flipped, 0x305, GTF_permit_access | GTF_readonly);
    copied_from = (domid_t)d;
    copies = refusals = mixed = 0;
    stop = false;
    job_start(1, flip);
    job_start(2, copy_from_flipped);
    copy_from_flipped();
    check(job_end(2));
    stop = true;
    check(job_end(1));
    check_eq(mixed, 0);
    check(copies && refusals);
    check_eq(flipped->flags, GTF_permit_access | GTF_readonly);
    check_eq(unmap(SCRATCH, 2), 0);
    check_eq(unmap(GRANT_TABLE, 1), 0);
    check(domain_end(d));
}

/* ---- XSA-501, 255: the table grows and changes its version (in vain) under maps and copies ---- */
static void grow_table(void)
{
    static xen_pfn_t list[64];
    volatile u64 *out = my_args()->out;
    struct gnttab_setup_table s = { .dom = DOMID_SELF };
    set_xen_guest_handle(s.frame_list, list);
    for (u32 i = 0; !stop; i++) {
        struct gnttab_set_version v = { .version = 1 + i % 2 };
        s.nr_frames = 1 + i % 60;
        hc_grant(GNTTABOP_setup_table, &s, 1);
        out[2] += hc_grant(GNTTABOP_set_version, &v, 1) == 0 && v.version == 2;
        struct xen_add_to_physmap a = { .domid = DOMID_SELF, .space = XENMAPSPACE_grant_table, .idx = i % 60,
                                        .gpfn = 0x40000 + i % 60 };
        if (a.idx) hc_memory_op(XENMEM_add_to_physmap, &a);
        out[0]++;
    }
}

static void g_growing(void)
{
    volatile u64 *out = my_args()->out;
    volatile struct grant_entry_v1 *e = (void *)0x40000000UL;
    struct xen_add_to_physmap a = { .domid = DOMID_SELF, .space = XENMAPSPACE_grant_table, .gpfn = 0x40000 };
    if (!workers_start(1) || hc_memory_op(XENMEM_add_to_physmap, &a)) { out[1] = 999; return; }
    e[REF] = (struct grant_entry_v1){ .flags = GTF_permit_access, .domid = 0, .frame = 0x600 };
    job_start(1, grow_table);
    out[3] = 1;
    for (unsigned i = 0; !out[4]; i++) {
        struct gnttab_copy c = { .source.u.ref = REF, .source.domid = DOMID_SELF, .dest.u.gmfn = 0x601,
                                 .dest.domid = DOMID_SELF, .len = 64, .flags = GNTCOPY_source_gref };
        hc_grant(GNTTABOP_copy, &c, 1);
        out[1] += e[REF].frame != 0x600;
    }
    stop = true;
    out[1] += !job_end(1);
}

static void xsa_501_table_changes(void)
{
    long id = role_start(2, g_growing);
    need(id > 0);
    unsigned d = (unsigned)id;
    volatile struct dom_args *a = role_args(d, SECOND);
    need(a && moved(&a->out[3], 0, PATIENCE_MS));
    u32 h;
    u64 end = now_ns() + PATIENCE_NS;
    for (unsigned i = 0; i < rounds || (a->out[0] <= 10 && now_ns() < end); i++) {
        need_eq(grant_map(d, REF, SCRATCH, 0, &h), 0);
        *(volatile u64 *)SCRATCH = i;
        need_eq(*(volatile u64 *)SCRATCH, i);
        need_eq(grant_unmap(SCRATCH, h), 0);
    }
    a->out[4] = 1;
    check_eq(domain_wait(d, PATIENCE_MS), SHUTDOWN_poweroff);
    check(a->out[0] > 10);
    check_eq(a->out[1], 0);
    check_eq(a->out[2], 0);
    check_eq(unmap(SECOND, 1), 0);
    check(domain_end(d));
}

/* ---- XSA-219: string I/O into a page that is given up and comes back meanwhile ---- */
static void ins_for_ever(void)
{
    while (!stop) {
        void *p = (void *)0x600000;
        u64 n = 512;
        __asm__ volatile("rep insb" : "+D"(p), "+c"(n) : "d"(0x300) : "memory");
    }
}

static void movs_for_ever(void)
{
    while (!stop) {
        void *p = (void *)0x600800, *from = (void *)0xd0000000UL;       /* no device there: all ones */
        u64 n = 64;
        __asm__ volatile("rep movsl" : "+D"(p), "+S"(from), "+c"(n) :: "memory");
    }
}

static void g_balloon_under_io(void)
{
    volatile u64 *out = my_args()->out;
    if (!workers_start(2)) { out[1] = 999; return; }
    job_start(1, ins_for_ever);
    job_start(2, movs_for_ever);
    reservation(XENMEM_decrease_reservation, DOMID_SELF, 0x700, 0);
    for (unsigned i = 0; i < rounds; i++) {
        for (unsigned k = 0; i % 16 == 0 && k < 1000 && *(volatile u8 *)0x600000 != 0xff; k++) linger(2000000);
        if (*(volatile u8 *)0x600000 == 0xff) out[2]++;                 /* the string I/O does arrive */
        if (reservation(XENMEM_decrease_reservation, DOMID_SELF, 0x600, 0) != 1) out[1]++;
        if (reservation(XENMEM_populate_physmap, DOMID_SELF, 0x700, 0) != 1) out[1]++;
        bool clean = zeroed(0x700000, 1);
        linger(20000);
        if (!clean || !zeroed(0x700000, 1)) out[0]++;                   /* a frame that is not its any more */
        if (reservation(XENMEM_decrease_reservation, DOMID_SELF, 0x700, 0) != 1) out[1]++;
        if (reservation(XENMEM_populate_physmap, DOMID_SELF, 0x600, 0) != 1) out[1]++;
    }
    stop = true;
    if (!job_end(1) || !job_end(2)) out[1]++;
    out[3] = 1;
}

static void xsa_219_io_into_ballooned_page(void)
{
    long id = role_start(3, g_balloon_under_io);
    need(id > 0);
    unsigned d = (unsigned)id;
    check_eq(domain_wait(d, 3 * PATIENCE_MS + 200 * rounds), SHUTDOWN_poweroff);
    volatile struct dom_args *a = role_args(d, SECOND);
    need(a);
    check_eq(a->out[0], 0);
    check_eq(a->out[1], 0);
    check(a->out[2]);
    check_eq(a->out[3], 1);
    check_eq(unmap(SECOND, 1), 0);
    check(domain_end(d));
}

/* ---- XSA-221, 343, 505: polls, sends and allocations while another vCPU expands and resets ---- */
static void expand_and_reset(u32 i)
{
    for (u32 v = 0; v < 4; v++) {
        struct evtchn_init_control c = { .control_gfn = 0x610 + v, .vcpu = v };
        hc_evtchn(EVTCHNOP_init_control, &c);
    }
    for (unsigned k = 0; k < i % 3; k++) {
        struct evtchn_expand_array a = { .array_gfn = 0x620 + k };
        hc_evtchn(EVTCHNOP_expand_array, &a);
    }
    struct evtchn_reset r = { .dom = DOMID_SELF };
    if (!hc_evtchn(EVTCHNOP_reset, &r)) my_args()->out[0]++;
}

static void poll_and_send(void)
{
    volatile u64 *out = my_args()->out;
    u64 seed = this_vcpu() * 7919 + 1;
    while (!stop) {
        seed = seed * 6364136223846793005UL + 1442695040888963407UL;
        evtchn_port_t ports[8];
        for (unsigned i = 0; i < 8; i++) ports[i] = (u32)(seed >> (32 + i)) & (seed >> 20 & 1 ? 0x1ffff : 0x1f);
        struct sched_poll p = { .nr_ports = 1 + (u32)(seed >> 61), .timeout = 1 };
        set_xen_guest_handle(p.ports, ports);
        long rc = hc_sched_op(SCHEDOP_poll, &p);
        if (rc && rc != -XEN_EINVAL) out[2]++;
        struct evtchn_send s = { .port = ports[0] };
        hc_evtchn(EVTCHNOP_send, &s);
        struct evtchn_unmask u = { .port = ports[1] };
        hc_evtchn(EVTCHNOP_unmask, &u);
        struct evtchn_status st = { .dom = DOMID_SELF, .port = ports[2] };
        hc_evtchn(EVTCHNOP_status, &st);
        struct evtchn_set_priority pr = { .port = ports[3], .priority = (u32)seed & 15 };
        hc_evtchn(EVTCHNOP_set_priority, &pr);
        __asm__ volatile("lock incq %0" : "+m"(out[1]));
    }
}

static void bind_and_close(void)
{
    for (u32 i = 0; !stop; i++) {
        struct evtchn_alloc_unbound a = { .dom = DOMID_SELF, .remote_dom = DOMID_SELF };
        struct evtchn_bind_ipi b = { .vcpu = i & 3 };
        struct evtchn_bind_virq q = { .virq = VIRQ_DEBUG };
        hc_evtchn(EVTCHNOP_alloc_unbound, &a);
        struct evtchn_bind_interdomain x = { .remote_dom = DOMID_SELF, .remote_port = a.port };
        hc_evtchn(EVTCHNOP_bind_interdomain, &x);
        hc_evtchn(EVTCHNOP_bind_ipi, &b);
        hc_evtchn(EVTCHNOP_bind_virq, &q);
        struct evtchn_close c = { .port = i % 31 + 1 };
        hc_evtchn(EVTCHNOP_close, &c);
    }
}

static void g_channels(void)
{
    volatile u64 *out = my_args()->out;
    if (!workers_start(3)) { out[2] = 999; return; }
    job_start(1, poll_and_send);
    job_start(2, bind_and_close);
    job_start(3, poll_and_send);
    u64 end = now_ns() + 1500000000UL;
    u64 patience = end + PATIENCE_NS;            /* on a busy host the others may hardly have run yet */
    for (u32 i = 0; now_ns() < end || (now_ns() < patience && (out[0] <= 3 || out[1] <= 20)); i++) expand_and_reset(i);
    stop = true;
    for (unsigned i = 1; i <= 3; i++)
        if (!job_end(i)) out[2]++;
    out[3] = 1;
}

static void xsa_221_poll_against_reset(void)
{
    long id = role_start(4, g_channels);
    need(id > 0);
    unsigned d = (unsigned)id;
    check_eq(domain_wait(d, 5 * PATIENCE_MS), SHUTDOWN_poweroff);
    volatile struct dom_args *a = role_args(d, SECOND);
    need(a);
    print("%lu resets, %lu polls\n", a->out[0], a->out[1]);
    check(a->out[0] > 3 && a->out[1] > 20);
    check_eq(a->out[2], 0);
    check_eq(a->out[3], 1);
    check_eq(unmap(SECOND, 1), 0);
    check(domain_end(d));
}

/* ---- debug keys, each of which asks all CPUs by NMI; the log tells what came of it (test_keys_at_once) ---- */
static void press_keys(void)
{
    static const char key[] = "t";
    for (unsigned i = 0; i < 8; i++) {
        struct xen_sysctl s = { .cmd = XEN_SYSCTL_debug_keys, .interface_version = XEN_SYSCTL_INTERFACE_VERSION,
                                .u.debug_keys.nr_keys = 1 };
        set_xen_guest_handle(s.u.debug_keys.keys, (char *)key);
        check_eq(hc_sysctl(&s), 0);
    }
}

static void keys_at_once(void)
{
    for (unsigned i = 1; i <= 3; i++) job_start(i, press_keys);
    press_keys();
    for (unsigned i = 1; i <= 3; i++) check(job_end(i));
}

static void four_vcpus(void)
{
    host_cpus = option_number("cpus=", 0);
    check_eq(stay_on_cpus(0, 4), 0);
    check(workers_start(3));
}

void test_main(void)
{
    static const struct test tests[] = {
        TEST(four_vcpus),
        TEST(xsa_217_stale_translation),
        TEST(xsa_218_canary),
        TEST(xsa_218_same_handle),
        TEST(xsa_500_copy_from_changing_entry),
        TEST(xsa_501_table_changes),
        TEST(xsa_219_io_into_ballooned_page),
        TEST(xsa_221_poll_against_reset),
        TEST(keys_at_once),
    };
    play_role();
    rounds = (u32)option_number("rounds=", 200);
    RUN_TESTS(tests);
}
