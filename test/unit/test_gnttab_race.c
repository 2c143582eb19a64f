/* SPDX-License-Identifier: MIT */
/* Grant tables: interleavings of XSA-218 (X1-X3), XSA-228 and XSA-500. Each actor is one CPU. */
#include "chan_stubs.h"
#include "interleave.h"

#define FREE_GFN 200u

static struct domain *dg, *dm;
static u32 h1, h2;
static int st1, st2;

static struct grant_entry_v1 *entry(u32 ref)
{
    return (void *)&dg->gnttab->frame[0][ref];
}
static int map(u32 ref, u32 gfn, u32 flags, u32 *handle)
{
    struct gnttab_map_grant_ref op = { .host_addr = (u64)gfn << 12, .flags = flags, .ref = ref, .dom = 1 };
    gnttab_map(dm, &op, 1);
    *handle = op.handle;
    return op.status;
}
static int unmap(u32 handle, u32 gfn)
{
    struct gnttab_unmap_grant_ref op = { .host_addr = (u64)gfn << 12, .handle = handle, .status = 0x5a5a };
    gnttab_unmap(dm, &op, 1);
    return op.status;
}
static bool mapped(u32 gfn)
{
    enum p2m_type t;
    p2m_lookup(dm, GFN(gfn), &t, NULL);
    return t != P2M_NONE;
}
static void grant(u32 ref, u32 gfn)
{
    entry(ref)->domid = 2;
    entry(ref)->frame = gfn;
    entry(ref)->flags = GTF_permit_access;
}

static void base(void)
{
    chan_machine(3, 64);
    dg = chan_domain(1, 1, 16, 1023);
    dm = chan_domain(2, 2, 16, 1023);
    grant(8, 5);
    grant(9, 6);
    fake_enter_cpu(0, dm->vcpu[0]);
}
static void finish(void)
{
    gnttab_audit(dg);
    gnttab_audit(dm);
    chan_domain_destroy(dm);
    chan_domain_destroy(dg);
}

/* X1: when the granter sees "not in use", no pin, no translation and no page reference is left, and both removals were
 * flushed. */
static u64 flushes;
static void x1_setup(void *arg)
{
    base();
    assert_int_equal(map(8, FREE_GFN, GNTMAP_host_map, &h1), 0);
    assert_int_equal(map(8, FREE_GFN + 1, GNTMAP_host_map, &h2), 0);
    assert_int_equal(p2m_remove_ram(dg, GFN(5)), 0);        /* given up: freed with its last reference */
    assert_int_equal(dom_ram_zombies(dg), 1);
    flushes = dm->tlb_gen;
}
static void x1_unmap1(void *arg) { st1 = unmap(h1, FREE_GFN); }
static void x1_unmap2(void *arg) { st2 = unmap(h2, FREE_GFN + 1); }
static void x1_observe(void *arg)
{
    for (unsigned i = 0; i < 6; i++) {
        u16 flags = read_once(&entry(8)->flags);
        if (flags & (GTF_reading | GTF_writing)) continue;
        assert_int_equal(gnttab_active(dg, 8)->pins, 0);
        assert_int_equal(dom_ram_zombies(dg), 0);
        assert_false(mapped(FREE_GFN) || mapped(FREE_GFN + 1));
        assert_true(dm->tlb_gen >= flushes + 2);
    }
}
static void x1_check(void *arg)
{
    assert_true(st1 == 0 && st2 == 0);
    assert_int_equal(entry(8)->flags, GTF_permit_access);
    finish();
}
static void test_x1(void **state)
{
    struct interleave il = { "x1", 3, { x1_unmap1, x1_unmap2, x1_observe }, x1_setup, x1_check, NULL, 2,
                             .max_runs = 1000 };
    assert_true(interleave_all(&il, 1) > 100);
}

/* X2: the same handle twice: one wins; later mappings do not share a record. */
static void x2_setup(void *arg)
{
    base();
    assert_int_equal(map(8, FREE_GFN, GNTMAP_host_map, &h1), 0);
}
static void x2_b(void *arg) { st2 = unmap(h1, FREE_GFN); }
static void x2_check(void *arg)
{
    u32 a, b;
    assert_true((st1 == 0 && st2 == GNTST_bad_handle) || (st2 == 0 && st1 == GNTST_bad_handle));
    assert_int_equal(dm->gnttab->mt_used, 0);
    assert_int_equal(map(8, FREE_GFN, GNTMAP_host_map, &a), 0);
    assert_int_equal(map(8, FREE_GFN + 1, GNTMAP_host_map, &b), 0);
    assert_int_not_equal(a, b);
    finish();
}
static void test_x2(void **state)
{
    struct interleave il = { "x2", 2, { x1_unmap1, x2_b }, x2_setup, x2_check, NULL, 3, .max_runs = 1000 };
    assert_true(interleave_all(&il, 1) > 50);
}

/* X3 and XSA-228: the handle table grows while the newest handle is unmapped and another is taken. */
static void x3_setup(void *arg)
{
    base();
    for (u32 i = 0; i < RECORDS_PER_FRAME; i++) assert_int_equal(map(8, FREE_GFN + i, 6, &h1), 0);
}
static void x3_map(void *arg)
{
    u32 h;
    assert_int_equal(map(9, FREE_GFN + 300, 6, &h), 0);
    assert_int_equal(map(9, FREE_GFN + 301, 6, &h2), 0);
    assert_int_not_equal(h, h2);
}
static void x3_unmap(void *arg) { st1 = unmap(h1, FREE_GFN + RECORDS_PER_FRAME - 1); }
static void x3_check(void *arg)
{
    assert_int_equal(st1, 0);
    assert_int_equal(dm->gnttab->mt_used, RECORDS_PER_FRAME + 1);
    finish();
}
static void test_x3(void **state)
{
    struct interleave il = { "x3", 2, { x3_map, x3_unmap }, x3_setup, x3_check, NULL, 2, .max_runs = 200 };
    assert_true(interleave_all(&il, 1) > 50);
}

/* Map against unmap of one entry: flags and pins agree at the end, and a mapped entry is marked in use. */
static void mu_map(void *arg) { st2 = map(8, FREE_GFN + 1, GNTMAP_host_map, &h2); }
static void mu_check(void *arg)
{
    assert_true(st1 == 0 && st2 == 0);
    assert_int_equal(gnttab_active(dg, 8)->pins, 1);
    assert_int_equal(entry(8)->flags, GTF_permit_access | GTF_reading | GTF_writing);
    finish();
}
static void test_map_unmap(void **state)
{
    struct interleave il = { "map-unmap", 2, { x1_unmap1, mu_map }, x2_setup, mu_check, NULL, 3, .max_runs = 1000 };
    assert_true(interleave_all(&il, 1) > 50);
}

/* The granter gave the page up and gets it back at another place while the last mapping ends: another CPU that maps the
 * entry at that moment must not get the page by its old grant. */
static mfn_t given;
static void ru_setup(void *arg)
{
    x2_setup(arg);
    enum p2m_type t;
    dg->max_pages = ~0ULL;
    given = p2m_lookup(dg, GFN(5), &t, NULL);
    assert_int_equal(p2m_remove_ram(dg, GFN(5)), 0);
    assert_int_equal(dom_ram_zombies(dg), 1);
}
static void ru_populate(void *arg)
{
    for (unsigned tries = 0; tries < 4; tries++) {
        mfn_t m = dom_ram_alloc(dg, ORDER_4K);
        assert_true(mfn_valid(m));
        assert_int_equal(p2m_map_ram(dg, GFN(100 + tries), m, ORDER_4K), 0);
        if (mfn_eq(m, given)) break;
    }
}
static void ru_check(void *arg)
{
    assert_int_equal(st1, 0);
    if (st2 == 0 && page_owner(given)) fail_msg("a page that is not granted is mapped");
    finish();
}
static void test_page_reused(void **state)
{
    struct interleave il = { "page-reused", 3, { x1_unmap1, mu_map, ru_populate }, ru_setup, ru_check, NULL, 2,
                             .max_runs = 2000 };
    assert_true(interleave_all(&il, 1) > 100);
}

/* XSA-500: two CPUs copy out of an entry while its owner points it elsewhere: each copy is of one of the pages, and
 * no pin or reference is left. */
static void cp_setup(void *arg)
{
    base();
    *(u64 *)fake_guest_ptr(dg, 5 * 4096) = 0x5555;
    *(u64 *)fake_guest_ptr(dg, 6 * 4096) = 0x6666;
}
static void copy_to(u32 gfn, int *st)
{
    struct gnttab_copy op = { { .u.ref = 8, .domid = 1 }, { .u.gmfn = gfn, .domid = DOMID_SELF }, 8,
                              GNTCOPY_source_gref, 0x5a5a };
    gnttab_copy(dm, &op, 1);
    *st = op.status;
}
static void cp_a(void *arg) { copy_to(7, &st1); }
static void cp_b(void *arg) { copy_to(8, &st2); }
static void cp_owner(void *arg) { write_once(&entry(8)->frame, 6); }
static void cp_check(void *arg)
{
    assert_true(st1 == 0 && st2 == 0);
    for (u32 g = 7; g < 9; g++) {
        u64 v = *(u64 *)fake_guest_ptr(dm, g * 4096);
        assert_true(v == 0x5555 || v == 0x6666);
    }
    assert_int_equal(entry(8)->flags, GTF_permit_access);
    finish();
}
static void test_copy_copy(void **state)
{
    struct interleave il = { "copy-copy", 3, { cp_a, cp_b, cp_owner }, cp_setup, cp_check, NULL, 2,
                             .max_runs = 1000 };
    assert_true(interleave_all(&il, 1) > 100);
}

/* The granter revokes (as Linux: cmpxchg to 0 if not in use) against a mapper: revoked or mapped, never both. */
static bool revoked;
static void rv_revoke(void *arg)
{
    revoked = atomic_cas((u32 *)entry(8), (u32)GTF_permit_access | 2u << 16, 0u);
}
static void rv_check(void *arg)
{
    assert_int_equal(revoked, st2 != 0);
    assert_int_equal(mapped(FREE_GFN + 1), !revoked);
    finish();
}
static void rv_setup(void *arg)
{
    base();
    revoked = false;
}
static void test_revoke(void **state)
{
    struct interleave il = { "revoke", 2, { mu_map, rv_revoke }, rv_setup, rv_check, NULL, 2, .max_runs = 1000 };
    assert_true(interleave_all(&il, 1) > 10);
}

/* A granter that keeps rewriting its entry gets an error, not an endless loop. */
static u32 *scribble;
static void scribbler(const void *addr)
{
    if (addr == scribble) *scribble ^= GTF_PWT;
}
static void test_unstable(void **state)
{
    base();
    scribble = (u32 *)entry(8);
    fake_hook = scribbler;
    assert_int_equal(map(8, FREE_GFN, GNTMAP_host_map, &h1), GNTST_general_error);
    fake_hook = NULL;
    assert_false(mapped(FREE_GFN));
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_x1), cmocka_unit_test(test_x2), cmocka_unit_test(test_x3),
        cmocka_unit_test(test_map_unmap), cmocka_unit_test(test_page_reused), cmocka_unit_test(test_copy_copy),
        cmocka_unit_test(test_revoke),
        cmocka_unit_test(test_unstable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
