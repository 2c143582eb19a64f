/* SPDX-License-Identifier: MIT */
/* dom0 as toolstack: domains come and go, their memory is theirs alone, nothing is lost. None of them runs. */
#include "build.h"

const char test_name[] = "domains";

static void create_destroy(void)
{
    u64 before = 0;
    for (unsigned i = 0; i < 204; i++) {
        if (i == 4) before = free_pages();          /* caches are warm */
        long id = domain_build(1 + i % 4);
        if (id <= 0) { check_case("build", id, 1); return; }
        if (!domain_end((unsigned)id)) { check_case("end", 0, 1); return; }
    }
    check_eq(free_pages(), before);
}

static void create_fifty(void)
{
    static u16 ids[50];
    static xen_domctl_getdomaininfo_t info[60];
    for (unsigned i = 0; i < 50; i++) {
        long id = domain_new(1);
        need(id > 0);
        ids[i] = (u16)id;
        for (unsigned k = 0; k < i; k++) need(ids[k] != ids[i]);
    }
    memset(&sc, 0, sizeof(sc));
    sc.cmd = XEN_SYSCTL_getdomaininfolist;
    sc.interface_version = XEN_SYSCTL_INTERFACE_VERSION;
    sc.u.getdomaininfolist.max_domains = 60;
    set_xen_guest_handle(sc.u.getdomaininfolist.buffer, info);
    check_eq(hc_sysctl(&sc), 0);
    check_eq(sc.u.getdomaininfolist.num_domains, 51);
    for (unsigned i = 1; i < 51; i++) need(info[i].domain > info[i - 1].domain);
    check_eq(info[1].flags, XEN_DOMINF_hvm_guest | XEN_DOMINF_hap | XEN_DOMINF_paused | 0xffu << 16);
    for (unsigned i = 50; i--;) need(domain_end(ids[i]));
}

static void fifty_at_once(void)
{
    u64 start = free_pages(), before;
    create_fifty();                                 /* the heap's caches grow */
    before = free_pages();
    create_fifty();
    check_eq(free_pages(), before);
    if (before < start) print("first round kept %lu pages\n", start - before);
}

static void contents_apart(void)
{
    long a = domain_build(1), b = domain_build(1);
    need(a > 0 && b > 0);
    need_eq(map_foreign((unsigned)a, 0, 256, SCRATCH), 0);
    need_eq(map_foreign((unsigned)b, 0, 256, SCRATCH + 0x100000), 0);
    check(zeroed(SCRATCH, 256) && zeroed(SCRATCH + 0x100000, 256));
    fill(SCRATCH, 256, 0xa000000000);
    fill(SCRATCH + 0x100000, 256, 0xb000000000);
    check(filled(SCRATCH, 256, 0xa000000000));
    check_eq(unmap(SCRATCH, 256), 0);
    check(domain_end((unsigned)a));
    a = domain_build(1);                            /* gets the frames of the first */
    need(a > 0);
    for (unsigned g = 0; g < DOM_PAGES; g += 256) {
        need_eq(map_foreign((unsigned)a, g, 256, SCRATCH), 0);
        need(zeroed(SCRATCH, 256));
        need_eq(unmap(SCRATCH, 256), 0);
    }
    check(filled(SCRATCH + 0x100000, 256, 0xb000000000));
    check_eq(unmap(SCRATCH + 0x100000, 256), 0);
    check(domain_end((unsigned)a) && domain_end((unsigned)b));
}

static void foreign_map_errors(void)
{
    long id = domain_build(1);
    need(id > 0);
    unsigned d = (unsigned)id;
    check(map_foreign(d, DOM_PAGES, 1, SCRATCH) < 0);
    check(map_foreign(d, 1UL << 40, 1, SCRATCH) < 0);
    check(map_foreign(d, ~0UL, 1, SCRATCH) < 0);
    check(map_foreign(d, 0, 1, 1UL << 60) < 0);
    check_eq(*(volatile u32 *)SCRATCH, 0xffffffff);
    check_eq(map_foreign(d, 5, 1, SCRATCH), 0);
    check_eq(map_foreign(d, 6, 1, SCRATCH), 0);      /* replaces */
    check_eq(unmap(SCRATCH, 1), 0);
    check(unmap(SCRATCH, 1) < 0);
    check(domain_end(d));
}

/* A page that dom0 has mapped stays until it is unmapped; so does the domain's name. */
static void zombie_until_unmapped(void)
{
    u64 before = free_pages();
    long id = domain_build(1);
    need(id > 0);
    unsigned d = (unsigned)id;
    need_eq(map_foreign(d, 0x300, 2, SCRATCH), 0);
    fill(SCRATCH, 2, 0x77);
    check_eq(domctl(XEN_DOMCTL_destroydomain, d), 0);
    sleep_ms(60);
    long f = domain_flags(d);
    check(f >= 0 && f & XEN_DOMINF_dying);
    check(free_pages() < before);
    long other = domain_build(1);                   /* must not get these frames */
    need(other > 0);
    check(filled(SCRATCH, 2, 0x77));
    check_eq(domctl(XEN_DOMCTL_destroydomain, d), 0);           /* again: nothing left to do */
    check(map_foreign(d, 0x310, 1, SCRATCH + 0x2000) < 0);      /* nothing more to take */
    check_eq(unmap(SCRATCH, 1), 0);
    sleep_ms(60);
    check(domain_flags(d) >= 0);
    check_eq(unmap(SCRATCH + 0x1000, 1), 0);
    check(domain_gone(d, 2000));
    check(domain_end((unsigned)other));
    check(free_pages() >= before);
}

/* ---- grants: dom0 fills in the domain's table by its mapped frame ---- */
static void grant_mappings(void)
{
    long id = domain_build(1);
    u32 h, h2, h3;
    need(id > 0);
    unsigned d = (unsigned)id;
    volatile struct grant_entry_v1 *e = grant_table(d);
    need(e);
    need_eq(map_foreign(d, 0x305, 1, SCRATCH), 0);
    fill(SCRATCH, 1, 1);
    offer(&e[9], 0x305, GTF_permit_access);
    offer(&e[10], 0x305, GTF_permit_access | GTF_readonly);
    offer(&e[11], DOM_PAGES + 5, GTF_permit_access);            /* no such page */
    e[12] = (struct grant_entry_v1){ .flags = GTF_permit_access, .domid = 5, .frame = 0x305 };     /* not for us */
    need_eq(grant_map(d, 9, SCRATCH + 0x1000, 0, &h), 0);
    need_eq(grant_map(d, 10, SCRATCH + 0x2000, GNTMAP_readonly, &h2), 0);
    need_eq(grant_map(d, 9, SCRATCH + 0x3000, GNTMAP_readonly, &h3), 0);
    check(grant_map(d, 10, SCRATCH + 0x4000, 0, &h3) < 0 || (grant_unmap(SCRATCH + 0x4000, h3), false));
    check(filled(SCRATCH + 0x1000, 1, 1) && filled(SCRATCH + 0x2000, 1, 1) && filled(SCRATCH + 0x3000, 1, 1));
    check_eq(e[9].flags, GTF_permit_access | GTF_reading | GTF_writing);
    check_eq(e[10].flags, GTF_permit_access | GTF_readonly | GTF_reading);
    *(volatile u64 *)(SCRATCH + 0x1000) = 0x1111;
    check_eq(*(volatile u64 *)SCRATCH, 0x1111);
    check_eq(TRY("movl $0x2222, (%0)", "r"(SCRATCH + 0x2000)), 13);     /* read-only */
    check_eq(*(volatile u64 *)SCRATCH, 0x1111);
    u32 x;
    check(grant_map(d, 11, SCRATCH + 0x5000, 0, &x) < 0);
    check(grant_map(d, 12, SCRATCH + 0x5000, 0, &x) < 0);
    check(grant_map(d, 13, SCRATCH + 0x5000, 0, &x) < 0);
    check_eq(grant_map(d, 1u << 20, SCRATCH + 0x5000, 0, &x), GNTST_bad_gntref);
    check(grant_map(d, 9, SCRATCH + 0x1000, 0, &x) < 0);        /* taken */
    check(grant_map(d, 9, SCRATCH + 0x5001, 0, &x) < 0);
    check(grant_map(d, 9, 1UL << 60, 0, &x) < 0);
    check(grant_map(d, 9, LAPIC, 0, &x) < 0 || grant_unmap(LAPIC, x) == 0);
    check_eq(e[11].flags | e[13].flags, GTF_permit_access);
    struct xen_remove_from_physmap rm = { .domid = DOMID_SELF, .gpfn = (SCRATCH >> 12) + 1 };
    check(hc_memory_op(XENMEM_remove_from_physmap, &rm) < 0);   /* only by handle */
    check_eq(grant_unmap(SCRATCH + 0x1000, h), 0);
    check_eq(e[9].flags & GTF_reading, GTF_reading);            /* the other mapping */
    check_eq(grant_unmap(SCRATCH + 0x3000, h + 2), 0);
    check_eq(grant_unmap(SCRATCH + 0x2000, h2), 0);
    check_eq(e[9].flags, GTF_permit_access);
    check_eq(*(volatile u32 *)(SCRATCH + 0x1000), 0xffffffff);
    check_eq(unmap(SCRATCH, 1), 0);
    check_eq(unmap(GRANT_TABLE, 1), 0);
    check(domain_end(d));
}

static void grant_copies(void)
{
    long id = domain_build(1);
    need(id > 0);
    unsigned d = (unsigned)id;
    volatile struct grant_entry_v1 *e = grant_table(d);
    need(e);
    need_eq(map_foreign(d, 0x305, 1, SCRATCH), 0);
    offer(&e[9], 0x305, GTF_permit_access);
    offer(&e[10], 0x305, GTF_permit_access | GTF_readonly);
    fill(0x600000, 1, 5);
    struct gnttab_copy c = { .source.u.gmfn = 0x600, .source.domid = DOMID_SELF, .dest.u.ref = 9, .dest.domid = (domid_t)d,
                             .len = 4096, .flags = GNTCOPY_dest_gref };
    check_eq(hc_grant(GNTTABOP_copy, &c, 1), 0);
    check_eq(c.status, 0);
    check(filled(SCRATCH, 1, 5));
    c.dest.u.ref = 10;
    check_eq(hc_grant(GNTTABOP_copy, &c, 1), 0);
    check(c.status < 0);
    c = (struct gnttab_copy){ .source.u.ref = 10, .source.domid = (domid_t)d, .source.offset = 8, .dest.u.gmfn = 0x601,
                              .dest.domid = DOMID_SELF, .dest.offset = 16, .len = 64, .flags = GNTCOPY_source_gref };
    memset((void *)0x601000, 0, 4096);
    check_eq(hc_grant(GNTTABOP_copy, &c, 1), 0);
    check_eq(c.status, 0);
    check_eq(*(u64 *)0x601010, 6);
    check_eq(*(u64 *)0x601008, 0);
    check_eq(*(u64 *)0x601050, 0);
    c.source.u.ref = 20;
    check_eq(hc_grant(GNTTABOP_copy, &c, 1), 0);
    check(c.status < 0);
    c = (struct gnttab_copy){ .source.u.gmfn = 0x305, .source.domid = (domid_t)d, .dest.u.gmfn = 0x601,
                              .dest.domid = DOMID_SELF, .len = 64 };      /* foreign frame without a grant */
    check_eq(hc_grant(GNTTABOP_copy, &c, 1), 0);
    check(c.status < 0);
    check_eq(e[9].flags, GTF_permit_access);
    check_eq(e[10].flags, GTF_permit_access | GTF_readonly);
    check_eq(unmap(SCRATCH, 1), 0);
    check_eq(unmap(GRANT_TABLE, 1), 0);
    check(domain_end(d));
}

static void grant_outlives_domain(void)
{
    long id = domain_build(1);
    u32 h;
    need(id > 0);
    unsigned d = (unsigned)id;
    volatile struct grant_entry_v1 *e = grant_table(d);
    need(e);
    offer(&e[9], 0x305, GTF_permit_access);
    need_eq(grant_map(d, 9, SCRATCH, 0, &h), 0);
    fill(SCRATCH, 1, 9);
    check_eq(unmap(GRANT_TABLE, 1), 0);
    check_eq(domctl(XEN_DOMCTL_destroydomain, d), 0);
    sleep_ms(60);
    check(domain_flags(d) >= 0);
    long other = domain_build(1);
    check(filled(SCRATCH, 1, 9));
    u32 x;
    check(grant_map(d, 9, SCRATCH + 0x1000, 0, &x) < 0);        /* a dying domain grants nothing more */
    check_eq(grant_unmap(SCRATCH, h), 0);
    check(domain_gone(d, 2000));
    check(other > 0 && domain_end((unsigned)other));
}

/* The table frame itself, held over the domain's end (XSA-276). */
static void table_outlives_domain(void)
{
    long id = domain_build(1);
    need(id > 0);
    volatile struct grant_entry_v1 *e = grant_table((unsigned)id);
    need(e);
    e[9].frame = 0x1234;
    check_eq(domctl(XEN_DOMCTL_destroydomain, (unsigned)id), 0);
    sleep_ms(60);
    check_eq(e[9].frame, 0x1234);
    check_eq(unmap(GRANT_TABLE, 1), 0);
    check(domain_gone((unsigned)id, 2000));
}

/* The three above again and again: what they hold must come back (the heap's caches are warm by then). */
static void zombies_leak_nothing(void)
{
    u64 before = 0;
    for (unsigned i = 0; i < 8; i++) {
        if (i == 2) before = free_pages();
        zombie_until_unmapped();
        grant_outlives_domain();
        table_outlives_domain();
    }
    check_eq(free_pages(), before);
}

static void channels(void)
{
    long id = domain_build(1);
    need(id > 0);
    unsigned d = (unsigned)id;
    struct evtchn_alloc_unbound a = { .dom = (domid_t)d, .remote_dom = 0 };
    need_eq(hc_evtchn(EVTCHNOP_alloc_unbound, &a), 0);
    struct evtchn_bind_interdomain b = { .remote_dom = (domid_t)d, .remote_port = a.port };
    need_eq(hc_evtchn(EVTCHNOP_bind_interdomain, &b), 0);
    struct evtchn_send s = { .port = b.local_port };
    check_eq(hc_evtchn(EVTCHNOP_send, &s), 0);
    struct evtchn_status st = { .dom = (domid_t)d, .port = a.port };
    check_eq(hc_evtchn(EVTCHNOP_status, &st), 0);
    check_eq(st.status, EVTCHNSTAT_interdomain);
    check_eq(st.u.interdomain.port, b.local_port);
    struct evtchn_alloc_unbound other = { .dom = (domid_t)d, .remote_dom = 5 };         /* not for us */
    check_eq(hc_evtchn(EVTCHNOP_alloc_unbound, &other), 0);
    b.remote_port = other.port;
    check(hc_evtchn(EVTCHNOP_bind_interdomain, &b) < 0);
    unsigned n = 0;
    while (n < 5000 && !hc_evtchn(EVTCHNOP_alloc_unbound, &a)) n++;
    check(n > 900 && n <= 1023);                    /* max_evtchn_port */
    check(domain_end(d));
    st = (struct evtchn_status){ .dom = DOMID_SELF, .port = s.port };
    check_eq(hc_evtchn(EVTCHNOP_status, &st), 0);
    check_eq(st.status, EVTCHNSTAT_unbound);
    struct evtchn_close c = { .port = s.port };
    check_eq(hc_evtchn(EVTCHNOP_close, &c), 0);
}

static void limits(void)
{
    u64 before = free_pages();
    long id = domain_new(1);
    need(id > 0);
    unsigned d = (unsigned)id;
    check_eq(reservation(XENMEM_populate_physmap, d, 0, 18), 0);        /* max_mem is 9 MiB */
    need_eq(pool_set(d, 64), 0);
    check_eq(reservation(XENMEM_populate_physmap, d, 0, 18), 0);
    xen_pfn_t gfns[6] = { 0, 512, 1024, 1536, 2048, 2560 };
    struct xen_memory_reservation r = { .nr_extents = 6, .extent_order = 9, .domid = (domid_t)d };
    set_xen_guest_handle(r.extent_start, gfns);
    check_eq(hc_memory_op(XENMEM_populate_physmap, &r), 4);             /* a short count */
    struct xen_memory_domain q = { .domid = (domid_t)d };
    check_eq(hc_memory_op(XENMEM_current_reservation, &q), 2048);
    check(pool_set(d, 1UL << 40) < 0);
    check(pool_set(d, 0) < 0 || pool_set(d, 64) == 0);                  /* in use */
    struct xen_memory_reservation claim = { .nr_extents = 1UL << 30, .domid = (domid_t)d };
    check(hc_memory_op(XENMEM_claim_pages, &claim) < 0);
    claim.nr_extents = 0;
    check_eq(hc_memory_op(XENMEM_claim_pages, &claim), 0);
    check(domain_end(d));
    check_eq(free_pages(), before);
}

/* Whole machine into one domain: fails in the middle, and all comes back. */
static void memory_exhausted(void)
{
    u64 before = free_pages(), got = 0;
    long id = domain_new(1);
    need(id > 0);
    unsigned d = (unsigned)id;
    dc.u.max_mem.max_memkb = 1UL << 30;
    need_eq(domctl(XEN_DOMCTL_max_mem, d), 0);
    need_eq(pool_set(d, 512), 0);
    for (u64 g = 0; reservation(XENMEM_populate_physmap, d, g, 9) == 1; g += 512) got++;
    check(got > 100);
    for (u64 g = 1UL << 20; reservation(XENMEM_populate_physmap, d, g, 0) == 1; g++) got++;
    check(free_pages() < 64);
    check(domain_new(1) < 0 || domain_end(dc.domain));                  /* refused, or small enough */
    check(domain_end(d));
    check(free_pages() >= before - 16);
    id = domain_build(1);
    check(id > 0 && domain_end((unsigned)id));
}

/* ---- register contexts ---- */
static void contexts(void)
{
    static u8 buf[16384] __attribute__((aligned(8)));
    long id = domain_build(2);
    need(id > 0);
    unsigned d = (unsigned)id;
    context_init(0x1000, 0);
    check_eq(context_set(d, sizeof(ctx)), 0);
    memset(&dc.u, 0, sizeof(dc.u));
    check_eq(domctl(XEN_DOMCTL_gethvmcontext, d), 0);
    u32 size = dc.u.hvmcontext.size;
    need(size > 1000 && size <= sizeof(buf));
    set_xen_guest_handle(dc.u.hvmcontext.buffer, buf);
    dc.u.hvmcontext.size = size - 1;
    check_eq(domctl(XEN_DOMCTL_gethvmcontext, d), -XEN_ENOSPC);
    dc.u.hvmcontext.size = size;
    need_eq(domctl(XEN_DOMCTL_gethvmcontext, d), 0);
    check_eq(domctl(XEN_DOMCTL_sethvmcontext, d), 0);                   /* what it gives it takes */
    struct { const char *what; void *field; u64 value; unsigned bytes; } bad[] = {
        { "magic", &ctx.header.magic, 1, 4 }, { "vCPU", &ctx.cd.instance, 2, 2 }, { "type", &ctx.cd.typecode, 99, 2 },
        { "length", &ctx.cd.length, 5, 4 }, { "long length", &ctx.cd.length, 0xffffffff, 4 },
        { "end", &ctx.end.typecode, 77, 2 }, { "CR0", &ctx.cpu.cr0, 0x80000000, 8 }, { "CR4", &ctx.cpu.cr4, 1UL << 40, 8 },
        { "EFER", &ctx.cpu.msr_efer, 1 << 12, 8 }, { "LSTAR", &ctx.cpu.msr_lstar, 1UL << 62, 8 },
        { "RIP", &ctx.cpu.rip, 1UL << 47, 8 },
    };
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        context_init(0x1000, 0);
        memcpy(bad[i].field, &bad[i].value, bad[i].bytes);
        if (context_set(d, sizeof(ctx)) >= 0) { blame(); print("bad %s accepted\n", bad[i].what); }
    }
    context_init(0x1000, 0);
    for (u32 n = 0; n < sizeof(ctx); n += 7)
        if (context_set(d, n) >= 0) { check_case("cut short", n, -1); break; }
    u64 seed = 12345;
    for (unsigned i = 0; i < 800; i++) {                               /* any answer, but alive */
        seed = seed * 6364136223846793005UL + 1442695040888963407UL;
        u32 at = (u32)(seed >> 33) % size;
        u8 old = buf[at];
        buf[at] ^= (u8)(1 << (seed >> 60 & 7));
        memset(&dc.u, 0, sizeof(dc.u));
        set_xen_guest_handle(dc.u.hvmcontext.buffer, buf);
        dc.u.hvmcontext.size = size;
        domctl(XEN_DOMCTL_sethvmcontext, d);
        buf[at] = old;
    }
    check(domain_end(d));
}

/* ---- XSA-222: taking one page out of a 2 MiB mapping needs a table ---- */
static void xsa_222_minimal_pool(void)
{
    long id = domain_new(1);
    need(id > 0);
    unsigned d = (unsigned)id, pool = 0;
    while (++pool < 64 && (pool_set(d, pool) || reservation(XENMEM_populate_physmap, d, 0, 9) != 1)) ;
    need(pool < 64);
    for (u64 g = 512; g < DOM_PAGES; g += 512) need_eq(reservation(XENMEM_populate_physmap, d, g, 9), 1);
    check_eq(reservation(XENMEM_decrease_reservation, d, 0, 0), 0);     /* no table, no change */
    struct xen_memory_domain q = { .domid = (domid_t)d };
    check_eq(hc_memory_op(XENMEM_current_reservation, &q), DOM_PAGES);
    need_eq(map_foreign(d, 0, 1, SCRATCH), 0);                          /* still there */
    fill(SCRATCH, 1, 3);
    struct xen_remove_from_physmap rm = { .domid = (domid_t)d, .gpfn = 512 };
    check(hc_memory_op(XENMEM_remove_from_physmap, &rm) < 0);
    struct xen_add_to_physmap add = { .domid = (domid_t)d, .space = XENMAPSPACE_grant_table, .gpfn = 513 };
    check(hc_memory_op(XENMEM_add_to_physmap, &add) < 0);
    check_eq(hc_memory_op(XENMEM_current_reservation, &q), DOM_PAGES);
    long other = domain_build(1);
    need(other > 0);
    check(filled(SCRATCH, 1, 3));
    check_eq(unmap(SCRATCH, 1), 0);
    need_eq(pool_set(d, pool + 1), 0);
    check_eq(reservation(XENMEM_decrease_reservation, d, 0, 0), 1);
    check(map_foreign(d, 0, 1, SCRATCH) < 0);
    check_eq(reservation(XENMEM_decrease_reservation, d, 1, 0), 1);     /* same table */
    check_eq(reservation(XENMEM_decrease_reservation, d, 512, 0), 0);
    check_eq(hc_memory_op(XENMEM_current_reservation, &q), DOM_PAGES - 2);
    check(domain_end(d) && domain_end((unsigned)other));
}

void test_main(void)
{
    static const struct test tests[] = {
        TEST(create_destroy),
        TEST(fifty_at_once),
        TEST(contents_apart),
        TEST(foreign_map_errors),
        TEST(zombie_until_unmapped),
        TEST(grant_mappings),
        TEST(grant_copies),
        TEST(grant_outlives_domain),
        TEST(table_outlives_domain),
        TEST(zombies_leak_nothing),
        TEST(channels),
        TEST(limits),
        TEST(memory_exhausted),
        TEST(contexts),
        TEST(xsa_222_minimal_pool),
    };
    RUN_TESTS(tests);
}
