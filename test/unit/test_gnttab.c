/* SPDX-License-Identifier: MIT */
/* Grant tables: mapping, copying, every error, accounting (XSA-224), statuses and continuation (XSA-316, 318),
 * death of either side, failure injection. */
#include <string.h>
#include "chan_stubs.h"
#include "mm_audit.h"

#define FREE_GFN 200u           /* nothing there in any domain */
#define FAR_GFN 0x4000000u      /* nor here, not even tables */

static struct domain *dg, *dm;  /* granter, mapper */
static struct vcpu *vg, *vm;

static int setup_mib(unsigned mib)
{
    chan_machine(2, mib);
    dg = chan_domain(1, 1, 64, 1023);
    dm = chan_domain(2, 1, 64, 1023);
    vg = dg->vcpu[0];
    vm = dm->vcpu[0];
    fake_enter_cpu(0, vm);
    return 0;
}
static int setup(void **state) { return setup_mib(64); }
static int setup_large(void **state) { return setup_mib(256); }
static int teardown(void **state)
{
    gnttab_audit(dg);
    gnttab_audit(dm);
    /* A domain is freed when nobody maps its pages any more. */
    assert_int_equal(gnttab_release_mappings(dg), 0);
    assert_int_equal(gnttab_release_mappings(dm), 0);
    gnttab_audit(dg);
    chan_domain_destroy(dm);
    chan_domain_destroy(dg);
    return 0;
}

static volatile struct grant_entry_v1 *entry(struct domain *d, u32 ref)
{
    mfn_t m;
    assert_int_equal(gnttab_get_frame(d, ref / 512, &m), 0);
    return (struct grant_entry_v1 *)frame_map(m) + ref % 512;
}
static void grant(struct domain *d, u32 ref, u16 to, u32 gfn, u16 flags)
{
    entry(d, ref)->domid = to;
    entry(d, ref)->frame = gfn;
    entry(d, ref)->flags = flags;
}
#define IN_USE(d, ref) (entry(d, ref)->flags & (GTF_reading | GTF_writing))

static struct gnttab_map_grant_ref last_map;
static int map_as(struct vcpu *v, u16 dom, u32 ref, u64 addr, u32 flags)
{
    last_map = (struct gnttab_map_grant_ref){ .host_addr = addr, .flags = flags, .ref = ref, .dom = dom,
                                              .status = 0x5a5a };
    assert_int_equal(chan_call(gnttab_op, v, GNTTABOP_map_grant_ref, &last_map, sizeof(last_map), 1), 0);
    return last_map.status;
}
static int map(u32 ref, u32 gfn, u32 flags) { return map_as(vm, 1, ref, (u64)gfn << 12, flags); }
static int unmap_as(struct vcpu *v, u32 handle, u64 addr, u64 dev)
{
    struct gnttab_unmap_grant_ref op = { .host_addr = addr, .dev_bus_addr = dev, .handle = handle, .status = 0x5a5a };
    assert_int_equal(chan_call(gnttab_op, v, GNTTABOP_unmap_grant_ref, &op, sizeof(op), 1), 0);
    return op.status;
}
static int unmap(u32 handle, u32 gfn) { return unmap_as(vm, handle, (u64)gfn << 12, 0); }
static enum p2m_type type_at(struct domain *d, u32 gfn)
{
    enum p2m_type t;
    p2m_lookup(d, GFN(gfn), &t, NULL);
    return t;
}
static u32 pins(u32 ref) { return gnttab_active(dg, ref) ? gnttab_active(dg, ref)->pins : 0; }

#define HOST GNTMAP_host_map
#define RO   GNTMAP_readonly

static void test_map(void **state)
{
    grant(dg, 8, 2, 5, GTF_permit_access);
    *(u32 *)fake_guest_ptr(dg, 0x5000) = 0xabcd;
    assert_int_equal(map(8, FREE_GFN, HOST), 0);
    u32 h = last_map.handle;
    assert_int_equal(IN_USE(dg, 8), GTF_reading | GTF_writing);
    assert_int_equal(type_at(dm, FREE_GFN), P2M_GRANT_RW);
    assert_int_equal(*(u32 *)fake_guest_ptr(dm, FREE_GFN * 4096), 0xabcd);
    assert_int_equal(map(8, FREE_GFN + 1, HOST | RO), 0);
    u32 h2 = last_map.handle;
    assert_true(h != h2);
    assert_int_equal(type_at(dm, FREE_GFN + 1), P2M_GRANT_RO);
    gnttab_audit(dg);
    gnttab_audit(dm);
    assert_int_equal(unmap(h, FREE_GFN + 1), GNTST_bad_virt_addr);
    assert_int_equal(unmap_as(vm, h, 0, 0), 0);                         /* nothing asked */
    assert_int_equal(pins(8), 2);
    assert_int_equal(unmap_as(vm, h, FREE_GFN * 4096 + 1, 0), GNTST_bad_virt_addr);
    assert_int_equal(unmap(h + 2, FREE_GFN), GNTST_bad_handle);
    assert_int_equal(unmap(~0u, FREE_GFN), GNTST_bad_handle);
    assert_int_equal(unmap_as(vg, h, FREE_GFN * 4096, 0), GNTST_bad_handle);    /* handles are the mapper's */
    assert_int_equal(pins(8), 2);
    assert_int_equal(unmap_as(vm, h, FREE_GFN * 4096, 0xdead000), 0);   /* there is no device part */
    assert_int_equal(IN_USE(dg, 8), GTF_reading);
    assert_int_equal(type_at(dm, FREE_GFN), P2M_NONE);
    assert_int_equal(unmap(h, FREE_GFN), GNTST_bad_handle);
    assert_int_equal(unmap(h2, FREE_GFN + 1), 0);
    assert_int_equal(IN_USE(dg, 8), 0);
    assert_int_equal(dm->gnttab->mt_used, 0);
}

/* Debug key 'g'. */
static void test_dump(void **state)
{
    enum p2m_type t;
    char want[300];

    grant(dg, 8, 2, 5, GTF_permit_access);
    grant(dg, 9, 2, 6, GTF_permit_access);
    assert_int_equal(map(8, FREE_GFN, HOST), 0);
    u32 h = last_map.handle;
    assert_int_equal(map(8, FREE_GFN + 1, HOST | RO), 0);
    u32 h2 = last_map.handle;
    fake_log_clear();
    gnttab_dump(dg);
    gnttab_dump(dm);
    snprintf(want, sizeof(want), "d1: 1 of 4 frames, 0 mappings of other domains' grants\n"
             "  ref 8: mfn %lx for d2, 2 pins (1 writing), flags 19\n"
             "d2: 1 of 4 frames, 2 mappings of other domains' grants\n",
             (unsigned long)p2m_lookup(dg, GFN(5), &t, NULL).n);
    assert_string_equal(fake_log, want);
    assert_int_equal(unmap(h, FREE_GFN), 0);
    assert_int_equal(unmap(h2, FREE_GFN + 1), 0);
    struct gnttab *gt = dg->gnttab;
    dg->gnttab = NULL;                          /* one that is being made */
    fake_log_clear();
    gnttab_dump(dg);
    assert_string_equal(fake_log, "");
    dg->gnttab = gt;
}

/* The table of XSA-224 for a translated mapper: flags x unmap sequences; a part exists exactly if it was granted. */
static void test_224(void **state)
{
    static const u32 flags[] = { 0, HOST, GNTMAP_device_map, HOST | GNTMAP_device_map, RO, HOST | RO,
                                 GNTMAP_device_map | RO, HOST | GNTMAP_device_map | RO, HOST | GNTMAP_application_map,
                                 HOST | GNTMAP_contains_pte, HOST | 1u << 16, HOST | 1u << 31, ~0u };
    grant(dg, 9, 2, 6, GTF_permit_access);
    for (unsigned i = 0; i < ARRAY_SIZE(flags); i++) {
        bool ok = (flags[i] & ~RO) == HOST;
        int st = map(9, FREE_GFN, flags[i]);
        assert_int_equal(st, ok ? 0 : GNTST_general_error);
        assert_int_equal(pins(9), ok);
        assert_int_equal(IN_USE(dg, 9), !ok ? 0 : flags[i] & RO ? GTF_reading : GTF_reading | GTF_writing);
        assert_int_equal(type_at(dm, FREE_GFN) != P2M_NONE, ok);
        assert_int_equal(dm->gnttab->mt_used, ok);
        if (!ok) continue;
        u32 h = last_map.handle;
        assert_int_equal(unmap_as(vm, h, 0, last_map.dev_bus_addr), 0);     /* device part: there is none */
        assert_true(unmap_as(vm, h, FREE_GFN * 4096 + 1, 0) < 0);
        assert_true(unmap_as(vm, h, FREE_GFN * 4096 + 4096, 0) < 0);
        assert_int_equal(pins(9), 1);
        assert_int_equal(unmap(h, FREE_GFN), 0);
        assert_int_equal(unmap(h, FREE_GFN), GNTST_bad_handle);
        assert_int_equal(pins(9), 0);
        assert_int_equal(IN_USE(dg, 9), 0);
    }
}

static void test_map_errors(void **state)
{
    grant(dg, 8, 2, 5, GTF_permit_access);
    grant(dg, 9, 3, 5, GTF_permit_access);
    grant(dg, 10, 2, 5, GTF_permit_access | GTF_readonly);
    grant(dg, 11, 2, 5, GTF_accept_transfer);
    grant(dg, 12, 2, 5, GTF_transitive);
    grant(dg, 13, 2, 5, GTF_invalid);
    grant(dg, 14, 2, FREE_GFN, GTF_permit_access);          /* nothing there */
    grant(dg, 15, 2, ~0u, GTF_permit_access);
    grant(dg, 16, 2, 60, GTF_permit_access);
    assert_int_equal(p2m_map_record(dg, GFN(300), virt_to_mfn(dg->shared_info), P2M_SPECIAL, false), 0);
    grant(dg, 17, 2, 300, GTF_permit_access);               /* not RAM */
    assert_int_equal(map_as(vm, 77, 8, FREE_GFN * 4096, HOST), GNTST_bad_domain);
    assert_int_equal(map(512, FREE_GFN, HOST), GNTST_bad_gntref);
    assert_int_equal(map(~0u, FREE_GFN, HOST), GNTST_bad_gntref);
    assert_int_equal(map(9, FREE_GFN, HOST), GNTST_general_error);
    assert_int_equal(map(10, FREE_GFN, HOST), GNTST_general_error);
    assert_int_equal(map(11, FREE_GFN, HOST), GNTST_general_error);
    assert_int_equal(map(12, FREE_GFN, HOST), GNTST_general_error);
    assert_int_equal(map(13, FREE_GFN, HOST), GNTST_general_error);
    assert_int_equal(map(14, FREE_GFN, HOST), GNTST_bad_page);
    assert_int_equal(map(15, FREE_GFN, HOST), GNTST_bad_page);
    assert_int_equal(map(17, FREE_GFN, HOST), GNTST_general_error);
    assert_int_equal(map(8, 5, HOST), GNTST_general_error);             /* RAM of the mapper there */
    assert_int_equal(map_as(vm, 1, 8, FREE_GFN * 4096 + 8, HOST), GNTST_bad_virt_addr);
    assert_true(map_as(vm, 1, 8, ~0xfffULL, HOST) < 0);
    assert_int_equal(type_at(dm, FREE_GFN), P2M_NONE);
    for (u32 r = 8; r < 18; r++) assert_int_equal(IN_USE(dg, r), 0);
    assert_int_equal(map(10, FREE_GFN, HOST | RO), 0);
    assert_int_equal(map(8, FREE_GFN, HOST), GNTST_general_error);      /* occupied */
    assert_int_equal(map(10, FREE_GFN + 1, HOST), GNTST_general_error); /* write pin of a read-only entry */
    assert_int_equal(IN_USE(dg, 10), GTF_reading);
    entry(dg, 10)->domid = 1;                               /* in use by dom2: nobody else gets in */
    assert_int_equal(map_as(vg, 1, 10, FREE_GFN * 4096, HOST | RO), GNTST_general_error);
    assert_int_equal(unmap(0, FREE_GFN), 0);
    assert_int_equal(p2m_unmap_record(dg, GFN(300), INVALID_MFN, P2M_SPECIAL, NULL), 0);
}

static void test_self(void **state)
{
    grant(dm, 8, 2, 5, GTF_permit_access);
    assert_int_equal(map_as(vm, DOMID_SELF, 8, FREE_GFN * 4096, HOST), 0);
    u32 h = last_map.handle;
    assert_int_equal(map_as(vm, 2, 8, FREE_GFN * 4096 + 4096, HOST), 0);
    *(u32 *)fake_guest_ptr(dm, FREE_GFN * 4096) = 42;
    assert_int_equal(*(u32 *)fake_guest_ptr(dm, 0x5000), 42);
    /* A granted page is not its holder's to grant on. */
    grant(dm, 9, 1, FREE_GFN, GTF_permit_access);
    assert_true(map_as(vg, 2, 9, FREE_GFN * 4096, HOST) < 0);
    assert_int_equal(unmap(h, FREE_GFN), 0);
    assert_int_equal(unmap(last_map.handle, FREE_GFN + 1), GNTST_bad_handle);
    gnttab_audit(dm);                                       /* the second mapping dies with the domain */
}

#define COPY(...) ({ struct gnttab_copy c_ = { __VA_ARGS__, .status = 0x5a5a }; \
    assert_int_equal(chan_call(gnttab_op, vm, GNTTABOP_copy, &c_, sizeof(c_), 1), 0); c_.status; })
#define GREF(r, o) { .u.ref = (r), .domid = 1, .offset = (o) }
#define OWN(g, o) { .u.gmfn = (g), .domid = DOMID_SELF, .offset = (o) }

static void test_copy(void **state)
{
    char *page = fake_guest_ptr(dg, 0x5000), *mine = fake_guest_ptr(dm, 0x7000);
    grant(dg, 8, 2, 5, GTF_permit_access);
    grant(dg, 9, 2, 6, GTF_permit_access | GTF_readonly);
    strcpy(page + 100, "hello");
    assert_int_equal(COPY(GREF(8, 100), OWN(7, 4090), 6, GNTCOPY_source_gref), 0);
    assert_string_equal(mine + 4090, "hello");
    assert_int_equal(COPY(GREF(8, 100), OWN(7, 4091), 6, GNTCOPY_source_gref), GNTST_bad_copy_arg);
    assert_int_equal(COPY(GREF(8, 65535), OWN(7, 0), 65535, GNTCOPY_source_gref), GNTST_bad_copy_arg);
    assert_int_equal(COPY(OWN(7, 4090), GREF(8, 0), 6, GNTCOPY_dest_gref), 0);
    assert_string_equal(page, "hello");
    assert_int_equal(COPY(OWN(7, 0), GREF(9, 0), 6, GNTCOPY_dest_gref), GNTST_general_error);
    assert_int_equal(COPY(GREF(8, 0), GREF(9, 0), 6, 3), GNTST_general_error);
    assert_int_equal(COPY(GREF(9, 0), GREF(8, 50), 6, 3), 0);
    assert_int_equal(COPY(GREF(8, 0), GREF(8, 3), 100, 3), 0);          /* overlapping */
    assert_int_equal(COPY(OWN(7, 4090), OWN(8, 0), 6, 0), 0);
    assert_int_equal(COPY(OWN(7, 0), OWN(FREE_GFN, 0), 6, 0), GNTST_bad_page);
    assert_int_equal(COPY(OWN(7, 0), OWN(8, 0), 6, 4), GNTST_general_error);
    assert_int_equal(COPY({ .u.gmfn = 5, .domid = 1 }, OWN(8, 0), 6, 0), GNTST_permission_denied);
    assert_int_equal(COPY({ .u.ref = 8, .domid = 99 }, OWN(8, 0), 6, 1), GNTST_bad_domain);
    assert_int_equal(COPY(GREF(7777, 0), OWN(8, 0), 6, 1), GNTST_bad_gntref);
    assert_int_equal(COPY(GREF(8, 0), OWN(8, 0), 0, 1), 0);
    assert_int_equal(IN_USE(dg, 8) | IN_USE(dg, 9), 0);
    assert_int_equal(pins(8) + pins(9), 0);
    /* XSA-500: while it is in use, an entry stands for the page it stood for at first. */
    assert_int_equal(map(8, FREE_GFN, HOST), 0);
    entry(dg, 8)->frame = 6;
    strcpy(page, "first");
    assert_int_equal(COPY(GREF(8, 0), OWN(7, 0), 6, GNTCOPY_source_gref), 0);
    assert_string_equal(mine, "first");
    assert_int_equal(COPY(OWN(FREE_GFN, 0), OWN(7, 8), 6, 0), 0);       /* through the mapping */
    assert_string_equal(mine + 8, "first");
    assert_int_equal(unmap(last_map.handle, FREE_GFN), 0);
}

/* Every element gets a status <= 0 wherever the call is interrupted. */
static void test_status_and_preempt(void **state)
{
    static struct gnttab_map_grant_ref m[100];
    static struct gnttab_unmap_grant_ref u[100];
    static struct gnttab_copy c[100];
    assert_true(sizeof(m) <= 4096 && sizeof(c) <= 4096);
    grant(dg, 8, 2, 5, GTF_permit_access);
    preempt_every = 1;
    for (unsigned i = 0; i < 100; i++) {
        m[i] = (struct gnttab_map_grant_ref){ .host_addr = (FREE_GFN + i) * 4096ULL, .flags = HOST, .ref = 8,
                                              .dom = i % 7 ? 1 : 9, .status = 0x5a5a };
        c[i] = (struct gnttab_copy){ OWN(7, 0), GREF(i % 5 ? 8 : 600, 0), 8, GNTCOPY_dest_gref, 0x5a5a };
    }
    assert_int_equal(chan_call(gnttab_op, vm, GNTTABOP_map_grant_ref, m, sizeof(m), 100), 0);
    assert_true(preempt_count >= 6);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(m[i].status, i % 7 ? 0 : GNTST_bad_domain);
        u[i] = (struct gnttab_unmap_grant_ref){ .host_addr = m[i].host_addr, .status = 0x5a5a,
                                                .handle = i % 7 ? m[i].handle : 0x12345 };
    }
    u[99].handle = u[98].handle;                            /* the same one twice in a chunk */
    u[99].host_addr = u[98].host_addr;
    assert_int_equal(chan_call(gnttab_op, vm, GNTTABOP_copy, c, sizeof(c), 100), 0);
    for (unsigned i = 0; i < 100; i++) assert_int_equal(c[i].status, i % 5 ? 0 : GNTST_bad_gntref);
    assert_int_equal(chan_call(gnttab_op, vm, GNTTABOP_unmap_grant_ref, u, sizeof(u), 100), 0);
    for (unsigned i = 0; i < 99; i++) assert_int_equal(u[i].status, i % 7 ? 0 : GNTST_bad_handle);
    assert_int_equal(u[99].status, GNTST_bad_handle);
    assert_int_equal(pins(8), 1);                           /* the one left out */
    assert_int_equal(unmap_as(vm, m[99].handle, m[99].host_addr, 0), 0);
    struct call bad = { .v = vm, .arg = { GNTTABOP_copy, 0x7ffff000, 1 } };
    assert_int_equal(gnttab_op(&bad), -EFAULT);
    /* The array runs out of memory in the middle of a chunk: what could be read is done. */
    gva_t at = 64 * 4096 - sizeof(struct gnttab_copy);
    memcpy(fake_guest_ptr(dm, at), &c[1], sizeof(c[1]));
    ((struct gnttab_copy *)fake_guest_ptr(dm, at))->status = 0x5a5a;
    bad = (struct call){ .v = vm, .arg = { GNTTABOP_copy, at, 4 } };
    preempt_every = 0;
    assert_int_equal(gnttab_op(&bad), -EFAULT);
    assert_int_equal(((struct gnttab_copy *)fake_guest_ptr(dm, at))->status, 0);
}

static void test_misc(void **state)
{
    struct gnttab_query_size q = { .dom = DOMID_SELF };
    assert_int_equal(chan_call(gnttab_op, vm, GNTTABOP_query_size, &q, sizeof(q), 1), 0);
    assert_true(q.status == 0 && q.nr_frames == 1 && q.max_nr_frames == 4);
    assert_int_equal(chan_call(gnttab_op, vm, GNTTABOP_query_size, &q, sizeof(q), 2), -EINVAL);
    q.dom = 1;
    assert_int_equal(chan_call(gnttab_op, vm, GNTTABOP_query_size, &q, sizeof(q), 1), 0);
    assert_int_equal(q.status, GNTST_permission_denied);
    dm->is_priv = true;
    assert_int_equal(chan_call(gnttab_op, vm, GNTTABOP_query_size, &q, sizeof(q), 1), 0);
    assert_int_equal(q.status, 0);
    dm->is_priv = false;
    struct gnttab_set_version v = { .version = 1 };
    assert_int_equal(chan_call(gnttab_op, vm, GNTTABOP_set_version, &v, sizeof(v), 1), 0);
    v.version = 2;
    assert_int_equal(chan_call(gnttab_op, vm, GNTTABOP_set_version, &v, sizeof(v), 1), -ENOSYS);
    v.version = 3;
    assert_int_equal(chan_call(gnttab_op, vm, GNTTABOP_set_version, &v, sizeof(v), 1), -EINVAL);
    struct gnttab_get_version g = { .dom = DOMID_SELF };
    assert_int_equal(chan_call(gnttab_op, vm, GNTTABOP_get_version, &g, sizeof(g), 1), 0);
    assert_int_equal(g.version, 1);
    g.dom = 1;
    assert_int_equal(chan_call(gnttab_op, vm, GNTTABOP_get_version, &g, sizeof(g), 1), -EPERM);
    g.dom = 50;
    assert_int_equal(chan_call(gnttab_op, vm, GNTTABOP_get_version, &g, sizeof(g), 1), -ESRCH);
    struct gnttab_transfer t = { .mfn = 5, .domid = 1, .ref = 8, .status = 0x5a5a };     /* XSA-217 */
    assert_int_equal(chan_call(gnttab_op, vm, GNTTABOP_transfer, &t, sizeof(t), 1), 0);
    assert_int_equal(t.status, GNTST_general_error);
    assert_int_equal(type_at(dm, 5), P2M_RAM);
    static const u32 absent[] = { GNTTABOP_dump_table, GNTTABOP_unmap_and_replace, GNTTABOP_get_status_frames,
                                  GNTTABOP_cache_flush, 13, 99, ~0u };
    for (unsigned i = 0; i < ARRAY_SIZE(absent); i++)
        assert_int_equal(chan_call(gnttab_op, vm, absent[i], &t, sizeof(t), 1), -ENOSYS);
    assert_int_equal(chan_call(gnttab_op, vm, GNTTABOP_copy, &t, sizeof(t), ~0u), -EINVAL);
    assert_int_equal(chan_call(gnttab_op, vm, GNTTABOP_copy, &t, 0, 0), 0);
}

static void test_setup_and_swap(void **state)
{
    u64 list[5] = { 0 };
    mfn_t m;
    struct gnttab_setup_table s = { .dom = DOMID_SELF, .nr_frames = 3 };
    s.frame_list.p = (void *)0x3000;
    assert_int_equal(chan_call(gnttab_op, vm, GNTTABOP_setup_table, &s, sizeof(s), 1), 0);
    assert_int_equal(s.status, 0);
    assert_int_equal(gnttab_nr_frames(dm), 3);
    memcpy(list, fake_guest_ptr(dm, 0x3000), sizeof(list));
    assert_true(list[0] == ~0ULL && list[2] == ~0ULL && list[3] == 0);
    gnttab_set_gfn(dm, 1, GFN(77));
    gnttab_set_gfn(dm, 3, GFN(78));                         /* not there yet: ignored */
    assert_int_equal(chan_call(gnttab_op, vm, GNTTABOP_setup_table, &s, sizeof(s), 1), 0);
    assert_int_equal(((u64 *)fake_guest_ptr(dm, 0x3000))[1], 77);
    s.nr_frames = 5;
    assert_int_equal(chan_call(gnttab_op, vm, GNTTABOP_setup_table, &s, sizeof(s), 1), 0);
    assert_int_equal(s.status, GNTST_general_error);
    s.nr_frames = 1;
    s.frame_list.p = (void *)0x7ffff000;
    assert_int_equal(chan_call(gnttab_op, vm, GNTTABOP_setup_table, &s, sizeof(s), 1), 0);
    assert_int_equal(s.status, GNTST_bad_virt_addr);
    assert_int_equal(gnttab_get_frame(dm, 4, &m), -EINVAL);
    assert_int_equal(gnttab_get_frame(dm, 3, &m), 0);
    grant(dm, 2047, 1, 5, GTF_permit_access);
    assert_int_equal(map_as(vg, 2, 2047, FREE_GFN * 4096, HOST), 0);
    struct gnttab_swap_grant_ref w = { 2047, 9, 0x5a5a };
    assert_int_equal(chan_call(gnttab_op, vm, GNTTABOP_swap_grant_ref, &w, sizeof(w), 1), 0);
    assert_int_equal(w.status, GNTST_eagain);
    assert_int_equal(unmap_as(vg, last_map.handle, FREE_GFN * 4096, 0), 0);
    assert_int_equal(chan_call(gnttab_op, vm, GNTTABOP_swap_grant_ref, &w, sizeof(w), 1), 0);
    assert_int_equal(w.status, 0);
    assert_int_equal(entry(dm, 9)->frame, 5);
    w.ref_b = 2048;
    assert_int_equal(chan_call(gnttab_op, vm, GNTTABOP_swap_grant_ref, &w, sizeof(w), 1), 0);
    assert_int_equal(w.status, GNTST_bad_gntref);
}

static void test_maptrack_limit(void **state)
{
    grant(dg, 8, 2, 5, GTF_permit_access);
    assert_int_equal(p2m_pool_set(dm, MiB(2)), 0);
    for (u32 i = 0; i < 1024; i++) assert_int_equal(map(8, FREE_GFN + i, HOST | RO), 0);
    assert_int_equal(map(8, FREE_GFN + 1024, HOST), GNTST_no_space);
    assert_int_equal(pins(8), 1024);
    assert_int_equal(unmap(500, FREE_GFN + 500), 0);
    assert_int_equal(map(8, FREE_GFN + 1024, HOST), 0);
    assert_int_equal(last_map.handle, 500);
    gnttab_audit(dm);
    preempt_every = 1;                                      /* the rest goes with the domain, in steps */
    unsigned steps = 0;
    while (gnttab_release_mappings(dm) == -ERESTART) steps++;
    assert_true(steps >= 10);
    assert_int_equal(pins(8), 0);
    assert_int_equal(dm->gnttab->mt_used, 0);
    preempt_every = 0;
}

/* ---- what the death of a mapper costs (XSA-380, 394) ---- */
static u64 steps;
static void count_step(const void *addr) { steps++; }

/* Locks and atomic steps of the release of n mappings of 512 grants; *pause: the most between two looks for interrupts. */
static u64 cost_of_release(u32 n, u64 *pause)
{
    u64 total = 0;
    for (u32 i = 0; i < n; i++) assert_int_equal(map(8 + i % 512, FAR_GFN + i, HOST | RO), 0);
    assert_int_equal(dm->gnttab->mt_used, n);
    steps = *pause = 0;
    preempt_every = 1;
    fake_hook = count_step;
    int rc;
    do {
        steps = 0;
        rc = gnttab_release_mappings(dm);
        total += steps;
        *pause = MAX(*pause, steps);
    } while (rc == -ERESTART);
    fake_hook = NULL;
    preempt_every = 0;
    assert_int_equal(rc, 0);
    assert_int_equal(dm->gnttab->mt_used, 0);
    dm->gnttab->release_next = 0;
    dm->gnttab->dying = false;
    return total;
}

static void test_a_million_mappings(void **state)
{
    u64 pause, pause_million;
    for (u32 i = 0; i < 512; i++) grant(dg, 8 + i, 2, 5 + i % 8, GTF_permit_access);
    assert_int_equal(p2m_pool_set(dm, MiB(12)), 0);
    dm->gnttab->mt_max = 4096;
    u64 thousand = cost_of_release(1000, &pause);
    u64 million = cost_of_release(1000000, &pause_million);
    assert_in_range(million, 900 * thousand, 1100 * thousand);
    assert_in_range(pause_million, pause / 2, MIN(pause + pause / 10, 64UL * 30));
    print_message("%lu steps a mapping, at most %lu between two looks for interrupts\n", million / 1000000, pause_million);
}

/* The granter goes first: its page waits for the mapper. */
static void test_granter_death(void **state)
{
    grant(dg, 8, 2, 5, GTF_permit_access);
    assert_int_equal(map(8, FREE_GFN, HOST), 0);
    u32 *p = fake_guest_ptr(dm, FREE_GFN * 4096);
    *p = 7;
    dg->state = DOM_DYING;
    assert_int_equal(gnttab_release_mappings(dg), 0);
    assert_int_equal(map(8, FREE_GFN + 1, HOST), GNTST_bad_domain);
    while (p2m_destroy(dg) == -ERESTART)
        ;
    assert_int_equal(dom_ram_zombies(dg), 1);
    assert_int_equal(*p, 7);
    assert_int_equal(unmap(0, FREE_GFN), 0);
    assert_int_equal(dom_ram_zombies(dg), 0);
    assert_int_equal(p2m_create(dg), 0);                    /* for teardown */
}

/* The k-th allocation or table update fails: error, nothing changed; removal never fails for memory (rule 6). */
static void test_failures(void **state)
{
    /* Twice: what the first round has left allocated (handles, entries) is not what fails in the second. */
    for (unsigned k = 1, round = 0; round < 2; k++) {
        u32 gfn = FAR_GFN + ((round * 64 + k) << 18);
        grant(dg, 8, 2, 5, GTF_permit_access);
        fake_fail_at(k);
        int st = map(8, gfn, HOST);
        bool failed = fake_failed();
        fake_fail_at(0);
        gnttab_audit(dg);
        gnttab_audit(dm);
        if (st == 0) {
            fake_fail_from(1);
            assert_int_equal(unmap(last_map.handle, gfn), 0);
            fake_fail_at(0);
        }
        assert_int_equal(IN_USE(dg, 8), 0);
        assert_int_equal(pins(8), 0);
        assert_int_equal(type_at(dm, gfn), P2M_NONE);
        assert_int_equal(dm->gnttab->mt_used, 0);
        assert_int_equal(mm_audit(), 0);                /* nothing holds the page */
        assert_true(failed ? st < 0 : st == 0);
        if (!failed) k = 0, round++;
    }
    for (unsigned k = 1;; k++) {
        fake_fail_at(k);
        int st = COPY(GREF(8, 0), OWN(7, 0), 64, GNTCOPY_source_gref);
        bool failed = fake_failed();
        fake_fail_at(0);
        assert_int_equal(IN_USE(dg, 8), 0);
        assert_true(st == 0 || failed);
        if (!failed) break;
    }
}

/* Random calls of two domains on few entries, frames and handles. */
static void test_fuzz(void **state)
{
    srand(3);
    for (unsigned i = 0; i < 20000; i++) {
        struct vcpu *v = rand() & 1 ? vg : vm;
        u32 ref = (u32)rand() % 6;
        switch (rand() % 6) {
        case 0:
            if (!IN_USE(dg, ref)) grant(dg, ref, (u16)(1 + rand() % 2), (u32)rand() % 66, (u16)(rand() % 8));
            break;
        case 1:
            if (!IN_USE(dm, ref)) grant(dm, ref, (u16)(1 + rand() % 2), (u32)rand() % 66, (u16)(rand() % 8));
            break;
        case 2:
        case 3:
            map_as(v, (u16)(1 + rand() % 2), ref, (FREE_GFN + (u64)rand() % 8) << 12, HOST | (rand() & 1 ? RO : 0));
            break;
        case 4: unmap_as(v, (u32)rand() % 8, (FREE_GFN + (u64)rand() % 8) << 12, 0); break;
        case 5: {
            struct gnttab_copy c = { { .u.ref = (u32)rand() % 6, .domid = (u16)(1 + rand() % 2) },
                                     { .u.ref = (u32)rand() % 6, .domid = (u16)(1 + rand() % 2) }, 32,
                                     (u16)(rand() % 4), 0x5a5a };
            assert_int_equal(chan_call(gnttab_op, v, GNTTABOP_copy, &c, sizeof(c), 1), 0);
            assert_true(c.status <= 0);
        }
        }
        if (i % 100 == 0) {
            gnttab_audit(dg);
            gnttab_audit(dm);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(x) cmocka_unit_test_setup_teardown(x, setup, teardown)
        T(test_map), T(test_dump), T(test_224), T(test_map_errors), T(test_self), T(test_copy), T(test_status_and_preempt),
        T(test_misc), T(test_setup_and_swap), T(test_maptrack_limit), T(test_granter_death), T(test_failures),
        T(test_fuzz),
        cmocka_unit_test_setup_teardown(test_a_million_mappings, setup_large, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
