/* SPDX-License-Identifier: MIT */
/* Every hypercall of the stock clients (doc: compatibility contract D.14, sets 1 to 3): the answer to a good call, an
 * unknown sub-operation, a wrong version, a bad pointer, a bad value. Here: memory_op and grant_table_op. */
#include "calls.h"
#include "steal.h"

const char test_name[] = "calls_memory";

/* ---- memory_op ---- */
static long mem_domain(unsigned op, unsigned domid)
{
    struct xen_memory_domain d = { .domid = (domid_t)domid };
    return hc_memory_op(op, &d);
}

static void memory_queries(void)
{
    static struct { u64 addr, size; u32 type; } __attribute__((packed)) e820[128];
    check(mem_domain(XENMEM_current_reservation, DOMID_SELF) > 1000);
    check_eq(mem_domain(XENMEM_current_reservation, 0), mem_domain(XENMEM_current_reservation, DOMID_SELF));
    check(mem_domain(XENMEM_maximum_reservation, DOMID_SELF) >= mem_domain(XENMEM_current_reservation, 0));
    check(mem_domain(XENMEM_maximum_gpfn, DOMID_SELF) > 0x400);
    check_eq(mem_domain(XENMEM_current_reservation, 77), -XEN_ESRCH);
    check_eq(mem_domain(XENMEM_maximum_gpfn, 77), -XEN_ESRCH);
    struct xen_memory_map m = { .nr_entries = 128 };
    set_xen_guest_handle(m.buffer, (void *)e820);
    check_eq(hc_memory_op(XENMEM_memory_map, &m), 0);
    check_eq(m.nr_entries, start_info->memmap_entries);
    m.nr_entries = 1;
    check_eq(hc_memory_op(XENMEM_memory_map, &m), 0);
    check_eq(m.nr_entries, 1);
    set_xen_guest_handle(m.buffer, BAD);
    check_eq(hc_memory_op(XENMEM_memory_map, &m), -XEN_EFAULT);
    static const u8 absent[] = { XENMEM_machphys_mfn_list, XENMEM_machine_memory_map, XENMEM_machphys_mapping,
                                 XENMEM_get_sharing_freed_pages, XENMEM_get_sharing_shared_pages, 29, 63 };
    for (unsigned i = 0; i < sizeof(absent); i++) check_case("absent", hc_memory_op(absent[i], page), -XEN_ENOSYS);
    check_eq(hc_memory_op(XENMEM_get_vnumainfo, page), -XEN_EOPNOTSUPP);
    struct xen_pod_target pod = { .domid = DOMID_SELF, .target_pages = 100 };
    check_eq(hc_memory_op(XENMEM_get_pod_target, &pod), 0);
    check_eq(pod.pod_entries, 0);
}

static long reservation(unsigned op, xen_pfn_t gfn, unsigned order, unsigned flags, unsigned domid)
{
    struct xen_memory_reservation r = { .nr_extents = 1, .extent_order = order, .mem_flags = flags, .domid = (domid_t)domid };
    set_xen_guest_handle(r.extent_start, &gfn);
    return hc_memory_op(op, &r);
}

static void memory_balloon(void)
{
    u64 gfn = 0x500000 >> 12;
    long start = mem_domain(XENMEM_current_reservation, DOMID_SELF);
    memset((void *)0x500000, 0x5a, 4096);
    check_eq(reservation(XENMEM_decrease_reservation, gfn, 0, 0, DOMID_SELF), 1);
    check_eq(mem_domain(XENMEM_current_reservation, DOMID_SELF), start - 1);
    check_eq(reservation(XENMEM_decrease_reservation, gfn, 0, 0, DOMID_SELF), 0);
    check_eq(*(volatile u32 *)0x500000, 0xffffffff);
    check_eq(reservation(XENMEM_populate_physmap, gfn, 0, 0, DOMID_SELF), 1);
    check_eq(*(volatile u32 *)0x500000, 0);             /* scrubbed */
    check_eq(reservation(XENMEM_populate_physmap, gfn, 0, 0, DOMID_SELF), 0);       /* already there */
    check_eq(mem_domain(XENMEM_current_reservation, DOMID_SELF), start);
    check_eq(reservation(XENMEM_decrease_reservation, gfn, 0, 0, 77), -XEN_ESRCH);
    check_eq(reservation(XENMEM_populate_physmap, gfn, 0, 0, 77), -XEN_ESRCH);
    check_eq(reservation(XENMEM_decrease_reservation, 1UL << 50, 0, 0, DOMID_SELF), 0);
    check_eq(reservation(XENMEM_populate_physmap, 1UL << 50, 0, 0, DOMID_SELF), 0);
    check_eq(reservation(XENMEM_populate_physmap, ~0UL, 0, 0, DOMID_SELF) <= 0, 1);
    check_eq(reservation(XENMEM_populate_physmap, gfn, 200, 0, DOMID_SELF), -XEN_EINVAL);
    check_eq(reservation(XENMEM_populate_physmap, gfn, 0, 1u << 30, DOMID_SELF), -XEN_EINVAL);
    check_eq(reservation(XENMEM_populate_physmap, gfn, 0, XENMEMF_populate_on_demand, DOMID_SELF), -XEN_EOPNOTSUPP);
    struct xen_memory_reservation r = { .nr_extents = 1, .domid = DOMID_SELF };
    set_xen_guest_handle(r.extent_start, BAD);
    check_eq(hc_memory_op(XENMEM_decrease_reservation, &r), -XEN_EFAULT);
    check_eq(hc_memory_op(XENMEM_populate_physmap, &r), -XEN_EFAULT);
    r.nr_extents = 1UL << 60;
    check_eq(hc_memory_op(XENMEM_populate_physmap, &r) < 0, 1);
    /* a superpage and back */
    check_eq(reservation(XENMEM_decrease_reservation, 0x600, 9, 0, DOMID_SELF), 1);
    check_eq(mem_domain(XENMEM_current_reservation, DOMID_SELF), start - 512);
    check_eq(reservation(XENMEM_populate_physmap, 0x600, 9, 0, DOMID_SELF), 1);
    check_eq(*(volatile u64 *)0x7ffff8, 0);
}

static long physmap(unsigned space, u64 idx, u64 gfn, unsigned domid)
{
    struct xen_add_to_physmap a = { .domid = (domid_t)domid, .space = space, .idx = idx, .gpfn = gfn };
    return hc_memory_op(XENMEM_add_to_physmap, &a);
}

static void memory_physmap(void)
{
    const struct shared_info *s = (void *)0x800000;
    check_eq(physmap(XENMAPSPACE_shared_info, 0, 0x800, DOMID_SELF), 0);
    check(s->wc_sec > 1700000000);
    check(!(s->wc_version & 1) && s->wc_version);
    check(s->vcpu_info[0].time.tsc_to_system_mul);
    check_eq(physmap(XENMAPSPACE_shared_info, 0, 0x801, DOMID_SELF), 0);           /* moves */
    check(((const struct shared_info *)0x801000)->wc_sec > 1700000000);
    check_eq(*(volatile u32 *)0x800c04, 0xffffffff);
    check_eq(physmap(XENMAPSPACE_shared_info, 1, 0x802, DOMID_SELF), -XEN_EINVAL);
    check_eq(physmap(XENMAPSPACE_grant_table, 0, 0x803, DOMID_SELF), 0);
    check_eq(*(volatile u64 *)0x803ff8, 0);
    check_eq(physmap(XENMAPSPACE_grant_table, 64, 0x804, DOMID_SELF), -XEN_EINVAL);
    check_eq(physmap(XENMAPSPACE_grant_table, XENMAPIDX_grant_table_status, 0x804, DOMID_SELF), -XEN_EINVAL);
    check_eq(physmap(XENMAPSPACE_gmfn_foreign, 0, 0x804, DOMID_SELF), -XEN_ENOSYS);
    check_eq(physmap(77, 0, 0x804, DOMID_SELF), -XEN_EINVAL);
    check_eq(physmap(XENMAPSPACE_shared_info, 0, 0x804, 77), -XEN_ESRCH);
    check_eq(physmap(XENMAPSPACE_gmfn, 0x805, 0x800, DOMID_SELF), 0);              /* RAM moves to the hole */
    check_eq(*(volatile u32 *)0x805000, 0xffffffff);
    check_eq(physmap(XENMAPSPACE_gmfn, 0x805, 0x806, DOMID_SELF), -XEN_EINVAL);    /* nothing there */
    struct xen_remove_from_physmap rm = { .domid = DOMID_SELF, .gpfn = 0x803 };
    check_eq(hc_memory_op(XENMEM_remove_from_physmap, &rm), 0);
    check_eq(hc_memory_op(XENMEM_remove_from_physmap, &rm) < 0, 1);
    rm.gpfn = 0xfee00;
    check_eq(hc_memory_op(XENMEM_remove_from_physmap, &rm) < 0, 1);
    rm.domid = 77;
    check_eq(hc_memory_op(XENMEM_remove_from_physmap, &rm), -XEN_ESRCH);
    xen_ulong_t idx = 0;
    xen_pfn_t gfn = 0x803;
    int err = 99;
    struct xen_add_to_physmap_batch b = { .domid = DOMID_SELF, .space = XENMAPSPACE_gmfn_foreign, .size = 1,
                                          .u.foreign_domid = 77 };
    set_xen_guest_handle(b.idxs, &idx);
    set_xen_guest_handle(b.gpfns, &gfn);
    set_xen_guest_handle(b.errs, &err);
    check_eq(hc_memory_op(XENMEM_add_to_physmap_batch, &b), -XEN_ESRCH);
    b.u.foreign_domid = DOMID_SELF;
    check_eq(hc_memory_op(XENMEM_add_to_physmap_batch, &b), -XEN_EINVAL);
}

/* Pages of the machine that dom0 must not get at by any address. */
static void memory_forbidden(void)
{
    check_eq(physmap(XENMAPSPACE_gmfn, 0xfee00, 0x807, DOMID_SELF) < 0, 1);
    /* RAM of its own over the local APIC's page hides that from the guest, and nothing else */
    if (reservation(XENMEM_populate_physmap, 0xfee00, 0, 0, DOMID_SELF) == 1)
        check_eq(reservation(XENMEM_decrease_reservation, 0xfee00, 0, 0, DOMID_SELF), 1);
    check_eq(mmio_read(LAPIC + 0x30) & 0xff, 0x14);
    check_eq(reservation(XENMEM_decrease_reservation, 0xfec00, 0, 0, DOMID_SELF) <= 0, 1);
}

static void memory_resource(void)
{
    xen_pfn_t gfn = 0x810;
    struct xen_mem_acquire_resource a = { .domid = DOMID_SELF, .type = XENMEM_resource_grant_table };
    check_eq(hc_memory_op(XENMEM_acquire_resource, &a), 0);
    check_eq(a.nr_frames, 64);
    a.nr_frames = 1;
    set_xen_guest_handle(a.frame_list, &gfn);
    check_eq(hc_memory_op(XENMEM_acquire_resource, &a), 0);
    a.frame = 64;
    check_eq(hc_memory_op(XENMEM_acquire_resource, &a), -XEN_EINVAL);
    a.frame = ~0UL;
    check_eq(hc_memory_op(XENMEM_acquire_resource, &a), -XEN_EINVAL);
    a.frame = 0;
    a.pad = 1;
    check_eq(hc_memory_op(XENMEM_acquire_resource, &a), -XEN_EINVAL);
    a.pad = 0;
    a.type = 9;
    check_eq(hc_memory_op(XENMEM_acquire_resource, &a), -XEN_EOPNOTSUPP);
    a.type = XENMEM_resource_grant_table;
    a.domid = 77;
    check_eq(hc_memory_op(XENMEM_acquire_resource, &a), -XEN_ESRCH);
}

/* ---- grants ---- */
static void grant_ops(void)
{
    struct gnttab_query_size q = { .dom = DOMID_SELF };
    check_eq(hc_grant(GNTTABOP_query_size, &q, 1), 0);
    check_eq(q.status, GNTST_okay);
    check_eq(q.max_nr_frames, 64);
    q.dom = 77;
    check_eq(hc_grant(GNTTABOP_query_size, &q, 1), 0);
    check_eq(q.status, GNTST_bad_domain);
    struct gnttab_set_version v = { .version = 1 };
    check_eq(hc_grant(GNTTABOP_set_version, &v, 1), 0);
    v.version = 2;
    check_eq(hc_grant(GNTTABOP_set_version, &v, 1), -XEN_ENOSYS);
    v.version = 3;
    check_eq(hc_grant(GNTTABOP_set_version, &v, 1), -XEN_EINVAL);
    struct gnttab_get_version gv = { .dom = DOMID_SELF };
    check_eq(hc_grant(GNTTABOP_get_version, &gv, 1), 0);
    check_eq(gv.version, 1);
    struct gnttab_map_grant_ref m = { .host_addr = 0x10000000, .flags = GNTMAP_host_map, .ref = 20, .dom = 77 };
    check_eq(hc_grant(GNTTABOP_map_grant_ref, &m, 1), 0);
    check_eq(m.status, GNTST_bad_domain);
    m.dom = DOMID_SELF;
    check_eq(hc_grant(GNTTABOP_map_grant_ref, &m, 1), 0);
    check(m.status < 0);
    struct gnttab_unmap_grant_ref u = { .host_addr = 0x10000000, .handle = 5 };
    check_eq(hc_grant(GNTTABOP_unmap_grant_ref, &u, 1), 0);
    check(u.status < 0);
    u.handle = 0xffffffff;
    check_eq(hc_grant(GNTTABOP_unmap_grant_ref, &u, 1), 0);
    check_eq(u.status, GNTST_bad_handle);
    struct gnttab_copy c = { .source.u.gmfn = 0x500, .source.domid = DOMID_SELF, .dest.u.gmfn = 0x501,
                             .dest.domid = DOMID_SELF, .len = 4096 };
    memset((void *)0x500000, 0x77, 4096);
    check_eq(hc_grant(GNTTABOP_copy, &c, 1), 0);
    check_eq(c.status, GNTST_okay);
    check_eq(*(u8 *)0x501fff, 0x77);
    c.source.offset = 1;                                /* leaves the page */
    check_eq(hc_grant(GNTTABOP_copy, &c, 1), 0);
    check_eq(c.status, GNTST_bad_copy_arg);
    check_eq(hc_grant(GNTTABOP_copy, &c, 0), 0);
    check_eq(hc_grant(GNTTABOP_copy, &c, 0x80000000u), -XEN_EINVAL);
    static const u8 absent[] = { GNTTABOP_dump_table, GNTTABOP_unmap_and_replace, GNTTABOP_get_status_frames,
                                 GNTTABOP_cache_flush, 77 };
    for (unsigned i = 0; i < sizeof(absent); i++) check_case("absent", hc_grant(absent[i], page, 1), -XEN_ENOSYS);
}

/* XSA-217: no page changes its owner. From a guest and to another domain: guests.c. */
static void xsa_217_no_stealing(void)
{
    static const domid_t to[] = { DOMID_SELF, 0, 77, DOMID_XEN };
    for (unsigned i = 0; i < sizeof(to) / sizeof(to[0]); i++) check_eq(steal(0x502, to[i]), 0);
}

/* XSA-224, mapper of HVM type: only plain host mappings. */
static void xsa_224_map_flags(void)
{
    need_eq(physmap(XENMAPSPACE_grant_table, 0, 0x803, DOMID_SELF), 0);
    volatile struct grant_entry_v1 *e = (void *)0x803000;
    e[8].frame = 0x504;
    e[8].domid = 0;
    e[8].flags = GTF_permit_access;
    static const u8 bad[] = { 0, 1, 3, 5, 7, 10, 18, 34, 64, 255 };
    for (unsigned i = 0; i < sizeof(bad); i++) {
        struct gnttab_map_grant_ref m = { .host_addr = 0x10000000, .flags = bad[i], .ref = 8, .dom = 0 };
        check_eq(hc_grant(GNTTABOP_map_grant_ref, &m, 1), 0);
        if (m.status >= 0) { blame(); print("flags %x: status %d\n", bad[i], m.status); }
        check_eq(e[8].flags, GTF_permit_access);
        check_eq(*(volatile u32 *)0x10000000, 0xffffffff);
    }
    struct gnttab_map_grant_ref m = { .host_addr = 0x10000000, .flags = GNTMAP_host_map, .ref = 8, .dom = 0 };
    *(volatile u32 *)0x504000 = 0x1234;
    check_eq(hc_grant(GNTTABOP_map_grant_ref, &m, 1), 0);
    need_eq(m.status, 0);
    check_eq(*(volatile u32 *)0x10000000, 0x1234);
    check_eq(e[8].flags, GTF_permit_access | GTF_reading | GTF_writing);
    struct gnttab_unmap_grant_ref u = { .host_addr = 0, .handle = m.handle };      /* zero/zero: nothing */
    check_eq(hc_grant(GNTTABOP_unmap_grant_ref, &u, 1), 0);
    check_eq(*(volatile u32 *)0x10000000, 0x1234);
    u.host_addr = 0x10001000;
    check_eq(hc_grant(GNTTABOP_unmap_grant_ref, &u, 1), 0);
    check(u.status < 0);
    check_eq(*(volatile u32 *)0x10000000, 0x1234);
    u.host_addr = 0x10000000;
    check_eq(hc_grant(GNTTABOP_unmap_grant_ref, &u, 1), 0);
    check_eq(u.status, 0);
    check_eq(e[8].flags, GTF_permit_access);
    check_eq(*(volatile u32 *)0x10000000, 0xffffffff);
    check_eq(hc_grant(GNTTABOP_unmap_grant_ref, &u, 1), 0);
    check_eq(u.status, GNTST_bad_handle);
    e[8].frame = 0xfee00;                               /* device memory cannot be granted */
    check_eq(hc_grant(GNTTABOP_map_grant_ref, &m, 1), 0);
    check(m.status < 0);
    e[8].flags = 0;
}

void test_main(void)
{
    static const struct test tests[] = {
        TEST(memory_queries),
        TEST(memory_balloon),
        TEST(memory_physmap),
        TEST(memory_forbidden),
        TEST(memory_resource),
        TEST(grant_ops),
        TEST(xsa_217_no_stealing),
        TEST(xsa_224_map_flags),
    };
    RUN_TESTS(tests);
}
