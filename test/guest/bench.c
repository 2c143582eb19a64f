/* SPDX-License-Identifier: MIT */
/*
 * What operations cost, for `make bench` (tools/bench.py). Runs unchanged as PVH dom0 of Helium and of the reference.
 * Pairs of RDTSC around one operation, the empty pair subtracted; under QEMU -icount shift=0 a TSC tick is an
 * instruction. One line for each: "BENCH name|minimum|median", and "VALUE name|number".
 */
#include "guest.h"

const char test_name[] = "bench";
#define ROUNDS 65
#define WARM_UP 8

static u64 samples[ROUNDS], empty;
static unsigned nr;                     /* samples taken, negative ones are warm-up */

static void report(const char *name)
{
    for (unsigned i = 1; i < ROUNDS; i++)
        for (unsigned j = i; j && samples[j] < samples[j - 1]; j--) {
            u64 t = samples[j];
            samples[j] = samples[j - 1];
            samples[j - 1] = t;
        }
    print("BENCH %s|%lu|%lu\n", name, samples[0], samples[ROUNDS / 2]);
}

static void value(const char *name, u64 v) { print("VALUE %s|%lu\n", name, v); }

/* For the profile of one operation (test/perf/count.c). Begins a block, since it follows a jump. */
static const char *profiled = "";
#define TOGGLE() __asm__ volatile("jmp 1f\n1: .byte 0x0f, 0x1f, 0x80; .ascii \"Prof\"; jmp 2f\n2:" ::: "memory")
static bool same(const char *a, const char *b)
{
    while (*a && *a == *b) a++, b++;
    return !*a && (!*b || *b == ';');
}

/* before, after: not counted. */
#define MEASURE(name, before, stmt, after) do { \
    bool profile_ = same(name, profiled); \
    for (int i_ = -WARM_UP; i_ < ROUNDS; i_++) { \
        nr = (unsigned)(i_ + WARM_UP); \
        before; \
        if (profile_ && i_ == 10) TOGGLE(); \
        u64 t_ = rdtsc(); stmt; u64 e_ = rdtsc(); \
        if (profile_ && i_ == 10) TOGGLE(); \
        after; \
        if (i_ >= 0) samples[i_] = e_ - t_ > empty ? e_ - t_ - empty : 0; \
    } \
    report(name); \
} while (0)
#define SIMPLE(name, stmt) MEASURE(name, , stmt, )
/* An operation that must return `want`. */
static long result;
#define CALL(name, before, want, expr, after) do { \
    unsigned bad_ = failures; \
    MEASURE(name, before, result = (expr), if (result != (long)(want)) failures++; after); \
    if (failures != bad_) print("FAILED %s: %ld, expected %ld\n", name, result, (long)(want)); \
} while (0)

#define PAGE 4096UL
#define DOM0_PAGES_KEPT 0x2000u         /* own image and fixed pages below 32 MiB are never given away */

/* ---- fixed guest frames of RAM: their RAM is replaced (shared_info, grant table) or given up (holes) ---- */
enum { GFN_SHARED = 0x1000, GFN_GRANTS, GFN_HOLE, GFN_FOREIGN };
static u8 own[2][4096] __attribute__((aligned(4096)));      /* granted, copied, cleared */
static u8 *page(u64 gfn) { return (u8 *)(gfn * PAGE); }

static long add_to_physmap(unsigned space, u64 idx, u64 gfn)
{
    struct xen_add_to_physmap a = { .domid = DOMID_SELF, .space = space, .idx = idx, .gpfn = gfn };
    return hc_memory_op(XENMEM_add_to_physmap, &a);
}

static long remove_page(u64 gfn)
{
    struct xen_remove_from_physmap r = { .domid = DOMID_SELF, .gpfn = gfn };
    return hc_memory_op(XENMEM_remove_from_physmap, &r);
}

static long reservation(unsigned cmd, u16 domid, unsigned order, u64 n, u64 *gfns)
{
    struct xen_memory_reservation r = { .nr_extents = n, .extent_order = order, .domid = domid };
    set_xen_guest_handle(r.extent_start, gfns);
    return hc_memory_op(cmd, &r);
}

/* ---- exits ---- */

static void exits(void)
{
    u32 r[4];

    SIMPLE("empty pair", );
    empty = samples[0];
    SIMPLE("port 0x61 read", inb(0x61));
    SIMPLE("unclaimed port read", inb(0x20));
    SIMPLE("xen_version", hc_xen_version(XENVER_version, NULL));
    SIMPLE("CPUID", cpuid(0, 0, r));
    SIMPLE("LAPIC TPR read", mmio_read(LAPIC + 0x80));
    SIMPLE("LAPIC TPR write", mmio_write(LAPIC + 0x80, 0));
    SIMPLE("LAPIC EOI", mmio_write(LAPIC + 0xb0, 0));
}

/* ---- event channels: a masked pair within this domain ---- */

static void events(void)
{
    struct shared_info *s = (void *)page(GFN_SHARED);
    struct evtchn_alloc_unbound u = { .dom = DOMID_SELF, .remote_dom = DOMID_SELF };
    struct evtchn_bind_interdomain b = { .remote_dom = DOMID_SELF };

    expect_eq(add_to_physmap(XENMAPSPACE_shared_info, 0, GFN_SHARED), 0);
    expect_eq(hc_evtchn(EVTCHNOP_alloc_unbound, &u), 0);
    b.remote_port = u.port;
    expect_eq(hc_evtchn(EVTCHNOP_bind_interdomain, &b), 0);
    s->evtchn_mask[0] = ~0UL;
    struct evtchn_send e = { .port = b.local_port };
    CALL("evtchn_send", s->evtchn_pending[0] = 0, 0, hc_evtchn(EVTCHNOP_send, &e), );
    expect(s->evtchn_pending[0] & 1UL << u.port);
    CALL("evtchn_send, already pending", , 0, hc_evtchn(EVTCHNOP_send, &e), );
}

/* ---- domains ---- */

static struct xen_domctl op;

static long domctl(unsigned cmd, u16 domid)
{
    op.cmd = cmd;
    op.interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    op.domain = domid;
    return hc_domctl(&op);
}

static void prepare_create(void)
{
    memset(&op, 0, sizeof(op));
    op.cmd = XEN_DOMCTL_createdomain;
    op.interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    op.domain = 0;                      /* any */
    op.u.createdomain = (struct xen_domctl_createdomain){
        .flags = XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap, .max_vcpus = 1, .max_evtchn_port = 1023,
        .max_grant_frames = 64, .max_maptrack_frames = 1024, .grant_opts = 1,
        .arch.emulation_flags = XEN_X86_EMU_LAPIC };
}

static long set_vcpus(u16 id)
{
    memset(&op.u, 0, sizeof(op.u));
    op.u.max_vcpus.max = 1;
    return domctl(XEN_DOMCTL_max_vcpus, id);
}

/* What libxc does before it populates: memory limit and paging pool. */
static u16 create_with_memory(u64 mib)
{
    prepare_create();
    expect_eq(hc_domctl(&op), 0);
    u16 id = op.domain;
    expect_eq(set_vcpus(id), 0);
    memset(&op.u, 0, sizeof(op.u));
    op.u.max_mem.max_memkb = mib * 1024 + 1024;
    expect_eq(domctl(XEN_DOMCTL_max_mem, id), 0);
    memset(&op.u, 0, sizeof(op.u));
    op.u.shadow_op.op = XEN_DOMCTL_SHADOW_OP_SET_ALLOCATION;
    op.u.shadow_op.mb = 4;
    expect_eq(domctl(XEN_DOMCTL_shadow_op, id), 0);
    return id;
}

static bool exists(u16 id)
{
    return domctl(XEN_DOMCTL_getdomaininfo, id) == 0 && op.domain == id;
}

static void destroy(u16 id)
{
    expect_eq(domctl(XEN_DOMCTL_destroydomain, id), 0);
    for (u64 end = rdtsc() + 2000000000UL; exists(id) && rdtsc() < end;) hc_sched_op(SCHEDOP_yield, NULL);
    expect(!exists(id));
}

static void create_and_destroy(void)
{
    u16 id = 0;

    CALL("createdomain", prepare_create(), 0, hc_domctl(&op), destroy((u16)op.domain));
    CALL("max_vcpus 1", prepare_create(); hc_domctl(&op); id = op.domain, 0, set_vcpus(id), destroy(id));
    CALL("destroydomain", prepare_create(); hc_domctl(&op); id = op.domain; set_vcpus(id), 0,
         domctl(XEN_DOMCTL_destroydomain, id),
         for (u64 end = rdtsc() + 2000000000UL; exists(id) && rdtsc() < end;) hc_sched_op(SCHEDOP_yield, NULL));
    MEASURE("create, destroy, until it is gone", , prepare_create(); hc_domctl(&op); id = op.domain; set_vcpus(id);
            domctl(XEN_DOMCTL_destroydomain, id); while (exists(id)) hc_sched_op(SCHEDOP_yield, NULL), );
}

static u64 gfns[512];
static u64 *list(u64 first, unsigned n)
{
    for (unsigned i = 0; i < n; i++) gfns[i] = first + i;
    return gfns;
}

static void populate(void)
{
    u64 mib = (ROUNDS + WARM_UP) * 2, at = 0;
    u16 big = create_with_memory(mib), small = create_with_memory(mib), again, all;

    CALL("populate 2 MiB", at = 512UL * (1 + nr), 1, reservation(XENMEM_populate_physmap, big, 9, 1, &at), );
    CALL("populate 512 x 4 KiB", list(512UL * (1 + nr), 512), 512,
         reservation(XENMEM_populate_physmap, small, 0, 512, gfns), );
    destroy(big);
    destroy(small);
    again = create_with_memory(mib);
    CALL("populate 2 MiB of reused memory", at = 512UL * (1 + nr), 1,
         reservation(XENMEM_populate_physmap, again, 9, 1, &at), );
    destroy(again);
    CALL("destroy 8 MiB", all = create_with_memory(16); for (unsigned i = 0; i < 4; i++) { at = 512UL * (1 + i);
         reservation(XENMEM_populate_physmap, all, 9, 1, &at); }, 0, domctl(XEN_DOMCTL_destroydomain, all),
         while (exists(all)) hc_sched_op(SCHEDOP_yield, NULL));
}

/* What clearing costs at least on this processor: 8 bytes each, as instructions are counted. */
static void clearing(void)
{
    SIMPLE("clearing 4 KiB", u64 n_ = 512; u8 *p_ = own[0];
           __asm__ volatile("rep stosq" : "+D"(p_), "+c"(n_) : "a"(0UL) : "memory"));
}

/* ---- grants of another domain, as back ends use them. (Of a page that this domain grants itself the reference drops
 * the ordinary mapping when it maps the grant, so that would work once.) ---- */

static struct gnttab_map_grant_ref map;
static struct gnttab_unmap_grant_ref unmap;

static void set_map(u16 from)
{
    map = (struct gnttab_map_grant_ref){ .host_addr = GFN_HOLE * PAGE, .flags = GNTMAP_host_map, .ref = 8, .dom = from };
}

static long do_unmap(void)
{
    unmap = (struct gnttab_unmap_grant_ref){ .host_addr = GFN_HOLE * PAGE, .handle = map.handle };
    return hc_grant(GNTTABOP_unmap_grant_ref, &unmap, 1);
}

/* The first frame of d's grant table appears at gfn, as libxc does it to seed entries. */
static long map_grant_table(u16 d, u64 gfn)
{
    struct xen_mem_acquire_resource a = { .domid = d, .type = XENMEM_resource_grant_table,
                                          .id = XENMEM_resource_grant_table_id_shared, .nr_frames = 1 };
    set_xen_guest_handle(a.frame_list, &gfn);
    return hc_memory_op(XENMEM_acquire_resource, &a);
}

static void grants(void)
{
    struct grant_entry_v1 *t = (void *)page(GFN_GRANTS);
    u64 hole = GFN_HOLE, at = 512;
    u16 id = create_with_memory(4);

    expect_eq(reservation(XENMEM_populate_physmap, id, 9, 1, &at), 1);
    expect_eq(map_grant_table(id, GFN_GRANTS), 0);
    expect_eq(reservation(XENMEM_decrease_reservation, DOMID_SELF, 0, 1, &hole), 1);
    t[8] = (struct grant_entry_v1){ .domid = 0, .frame = 600, .flags = GTF_permit_access };
    CALL("grant map", set_map(id), 0, hc_grant(GNTTABOP_map_grant_ref, &map, 1),
         if (map.status) failures++; if (do_unmap() || unmap.status) failures++);
    CALL("grant unmap", set_map(id); if (hc_grant(GNTTABOP_map_grant_ref, &map, 1) || map.status) failures++, 0,
         do_unmap(), if (unmap.status) failures++);
    struct gnttab_copy c = { .source = { .u.gmfn = (u64)own[0] / PAGE, .domid = DOMID_SELF },
                             .dest = { .u.ref = 8, .domid = id }, .len = 4096, .flags = GNTCOPY_dest_gref };
    CALL("grant copy 4 KiB", , 0, hc_grant(GNTTABOP_copy, &c, 1), if (c.status) failures++);
    memset(own[0], 0x5a, PAGE);         /* there and back */
    expect_eq(hc_grant(GNTTABOP_copy, &c, 1), 0);
    c = (struct gnttab_copy){ .source = c.dest, .dest = { .u.gmfn = (u64)own[1] / PAGE, .domid = DOMID_SELF },
                              .len = 4096, .flags = GNTCOPY_source_gref };
    expect_eq(hc_grant(GNTTABOP_copy, &c, 1), 0);
    expect_eq(memcmp(own[0], own[1], PAGE), 0);
    expect_eq(remove_page(GFN_GRANTS), 0);
    destroy(id);
}

/* ---- another domain's page, mapped and unmapped as privcmd does ---- */

static long map_foreign(u16 domid, u64 from)
{
    u64 to = GFN_FOREIGN;
    int err = 0;
    struct xen_add_to_physmap_batch b = { .domid = DOMID_SELF, .space = XENMAPSPACE_gmfn_foreign, .size = 1,
                                          .u.foreign_domid = domid };
    set_xen_guest_handle(b.idxs, &from);
    set_xen_guest_handle(b.gpfns, &to);
    set_xen_guest_handle(b.errs, &err);
    long rc = hc_memory_op(XENMEM_add_to_physmap_batch, &b);
    return rc ? rc : err;
}

static void foreign(void)
{
    u64 at = 512, hole = GFN_FOREIGN;
    u16 id = create_with_memory(4);

    expect_eq(reservation(XENMEM_populate_physmap, id, 9, 1, &at), 1);
    expect_eq(reservation(XENMEM_decrease_reservation, DOMID_SELF, 0, 1, &hole), 1);
    CALL("map a foreign page", , 0, map_foreign(id, 600), if (remove_page(GFN_FOREIGN)) failures++);
    CALL("unmap a foreign page", if (map_foreign(id, 600)) failures++, 0, remove_page(GFN_FOREIGN), );
    destroy(id);
}

/* ---- memory ---- */

static u64 held(void)
{
    struct xen_sysctl s = { .cmd = XEN_SYSCTL_physinfo, .interface_version = XEN_SYSCTL_INTERFACE_VERSION };
    expect_eq(hc_sysctl(&s), 0);
    memset(&op, 0, sizeof(op));
    expect_eq(domctl(XEN_DOMCTL_getdomaininfo, 0), 0);
    return s.u.physinfo.total_pages - s.u.physinfo.free_pages - op.u.getdomaininfo.tot_pages;
}

/* The reference leaves the map in start_info empty. E820 entries have 20 bytes. */
static struct { u64 addr, size; u32 type; } __attribute__((packed)) e820[128];
static unsigned nr_e820;

static void read_map(void)
{
    struct xen_memory_map m = { .nr_entries = 128 };
    set_xen_guest_handle(m.buffer, (void *)e820);
    expect_eq(hc_memory_op(XENMEM_memory_map, &m), 0);
    nr_e820 = m.nr_entries;
}

static bool is_ram(u64 gfn)
{
    for (unsigned i = 0; i < nr_e820; i++)
        if (e820[i].type == 1 && gfn * PAGE >= e820[i].addr && gfn * PAGE + PAGE <= e820[i].addr + e820[i].size)
            return true;
    return false;
}

/* Give up half of the RAM page by page: the upper half, or (scattered) every second page. */
static void balloon(const char *name, bool scattered)
{
    u64 want, done = 0;

    memset(&op, 0, sizeof(op));
    expect_eq(domctl(XEN_DOMCTL_getdomaininfo, 0), 0);
    want = op.u.getdomaininfo.tot_pages / 2;
    read_map();
    u64 top = 0x100000;                 /* the kernel maps 4 GiB and so knows only RAM below */
    while (top && !is_ram(top - 1)) top--;
    for (u64 g = top - 1; g > DOM0_PAGES_KEPT && done < want; g -= scattered ? 2 : 1) {
        u64 gfn = g;
        if (is_ram(g) && reservation(XENMEM_decrease_reservation, DOMID_SELF, 0, 1, &gfn) == 1) done++;
    }
    value("pages ballooned", done);
    value(name, held() * PAGE / 1024);
}

void test_main(void)
{
    profiled = option("profile=") ?: "";
    value("memory held after boot, KiB", held() * PAGE / 1024);
    if (!option("memory-only")) {
        exits();
        clearing();
        events();
        create_and_destroy();
        populate();
        grants();
        foreign();
    }
    if (option("scattered")) balloon("memory held after ballooning every second page, KiB", true);
    else balloon("memory held after ballooning, KiB", false);
    print("BENCH END\n");
}
