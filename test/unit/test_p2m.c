/* SPDX-License-Identifier: MIT */
/* Second stage: mapping, splitting, records, failure at every allocation (XSA-222), flush before reuse (XSA-217),
 * destruction. */
#include <stdlib.h>
#include "mm_stubs.h"
#include "interleave.h"
#include "mm/p2m_internal.h"
#include "mm/tlb.h"

static enum p2m_type type_at(struct domain *d, u64 gfn)
{
    enum p2m_type t;
    (void)p2m_lookup(d, GFN(gfn), &t, NULL);
    return t;
}

static mfn_t mfn_at(struct domain *d, u64 gfn)
{
    enum p2m_type t;
    return p2m_lookup(d, GFN(gfn), &t, NULL);
}

static unsigned order_at(struct domain *d, u64 gfn)
{
    enum p2m_type t;
    unsigned o;
    (void)p2m_lookup(d, GFN(gfn), &t, &o);
    return o;
}

static void test_map_ram(void **state)
{
    fake_machine_init(64, 1);
    struct domain *d = fake_domain(1, 1024 + 5);

    assert_int_equal(order_at(d, 0), 9);
    assert_int_equal(order_at(d, 1024), 0);
    assert_int_equal(mfn_at(d, 517).n, mfn_at(d, 512).n + 5);
    assert_int_equal(type_at(d, 1029), P2M_NONE);
    assert_int_equal(p2m_max_gfn(d).n, 1028);
    d->max_pages = ~0ULL;
    mfn_t m = dom_ram_alloc(d, 0), b = dom_ram_alloc(d, 9);
    assert_int_equal(p2m_map_ram(d, GFN(5), m, 0), -EEXIST);
    assert_int_equal(order_at(d, 0), 9);            /* and not split by the attempt */
    assert_int_equal(p2m_map_ram(d, GFN(1024), b, 9), -EEXIST);
    assert_int_equal(p2m_map_ram(d, GFN(1), b, 9), -EINVAL);
    assert_int_equal(p2m_map_ram(d, GFN(P2M_GFN_END), m, 0), -EINVAL);
    assert_int_equal(p2m_map_ram(d, GFN(~0ULL), m, 0), -EINVAL);
    assert_int_equal(p2m_map_ram(d, GFN(P2M_GFN_END - 1), m, 0), 0);
    assert_int_equal(p2m_map_ram(d, GFN(1 << 18), b, 9), 0);
    assert_int_equal(mm_audit(), 0);
    fake_domain_destroy(d);
    mm_audit();
}

/* NPT entries: user bit at every level, type in software bits, MMIO uncached. */
static void test_format(void **state)
{
    fake_machine_init(64, 1);
    struct domain *d = fake_domain(1, 512);
    unsigned level;
    u64 *t = phys_to_virt(p2m_root(d));

    assert_int_equal(p2m_map_identity(d, 0xfed00000, 0xfed01000, P2M_MMIO), 0);
    assert_int_equal(t[0] & 0xfff & ~PTE_A, PTE_P | PTE_RW | PTE_US);
    u64 e = live_get(p2m_find(d->p2m, 0, &level));
    assert_int_equal(level, 2);
    assert_true((e & (PTE_P | PTE_RW | PTE_US | PTE_PS | PTE_PCD | PTE_PWT)) == (PTE_P | PTE_RW | PTE_US | PTE_PS));
    e = live_get(p2m_find(d->p2m, 0xfed00, &level));
    assert_true((e & (PTE_PCD | PTE_PWT)) == PTE_PCD);          /* UC-: dom0 may combine writes */
    assert_int_equal(e & PTE_ADDR, 0xfed00000);
    assert_int_equal(p2m_set_ram_type(d, GFN(3), P2M_RAM_RO), 0);
    e = live_get(p2m_find(d->p2m, 3, &level));
    assert_true(level == 1 && !(e & PTE_RW) && !(e & PTE_PS));
    mfn_t m;
    assert_int_equal(p2m_get_page(d, GFN(3), true, &m), -EPERM);
    assert_int_equal(p2m_get_page(d, GFN(3), false, &m), 0);
    page_put_short(m);
    assert_int_equal(p2m_set_ram_type(d, GFN(3), P2M_RAM), 0);
    assert_int_equal(p2m_set_ram_type(d, GFN(600), P2M_RAM), -ENOENT);
    assert_int_equal(p2m_get_page(d, GFN(0xfed00), false, &m), -EPERM);
    assert_int_equal(p2m_get_page(d, GFN(0xfed01), false, &m), -ENOENT);
    fake_domain_destroy(d);
}

/* Removal inside a superpage with a pool of n pages (XSA-222). */
static void test_remove_small_pool(void **state)
{
    for (unsigned spare = 0; spare < 3; spare++) {
        fake_machine_init(64, 1);
        struct domain *d = fake_domain(1, 1024);
        u64 used = d->p2m->pool_used;
        assert_int_equal(p2m_pool_set(d, (used - 1) << 12), -ENOMEM);
        assert_int_equal(p2m_pool_set(d, (used + spare) << 12), 0);
        mfn_t m0 = mfn_at(d, 0), m7 = mfn_at(d, 7);
        for (unsigned k = 0; k < 2; k++) {
            u64 gfn = 512 * k + 7;
            char *p = fake_guest_ptr(d, gfn << 12);
            *p = 0x77;
            int rc = p2m_remove_ram(d, GFN(gfn));
            if (k < spare) {
                assert_int_equal(rc, 0);
                assert_int_equal(type_at(d, gfn), P2M_NONE);
                assert_null(page_owner(m7));
            } else {
                assert_int_equal(rc, -ENOMEM);
                assert_int_equal(type_at(d, gfn), P2M_RAM);
                assert_int_equal(order_at(d, gfn), 9);
                assert_ptr_equal(fake_guest_ptr(d, gfn << 12), p);
                assert_int_equal(*p, 0x77);
            }
        }
        assert_int_equal(d->tot_pages, 1024 - MIN(spare, 2u));
        assert_true(mfn_eq(mfn_at(d, 0), m0));
        assert_int_equal(mm_audit(), 0);
        assert_int_equal(p2m_remove_ram(d, GFN(5000)), -ENOENT);
        assert_int_equal(p2m_pool_set(d, (used + 2) << 12), 0);
        (void)!p2m_remove_ram(d, GFN(512 + 7));
        assert_int_equal(type_at(d, 512 + 7), P2M_NONE);
        fake_domain_destroy(d);
    }
}

static struct domain *fd;
static mfn_t special;

static int op_remove(struct domain *d) { return p2m_remove_ram(d, GFN(7)); }
static int op_map(struct domain *d)
{
    mfn_t m = dom_ram_alloc(d, 0);
    if (!mfn_valid(m))
        return -ENOMEM;
    int rc = p2m_map_ram(d, GFN(0x12345678), m, 0);
    if (rc)
        dom_ram_free(d, m, 0);
    return rc;
}
static int op_foreign(struct domain *d)
{
    mfn_t m;
    int rc = p2m_get_owned(fd, GFN(9), false, &m);
    if (rc)
        return rc;
    rc = p2m_map_record(d, GFN(7), m, P2M_FOREIGN, true);
    if (rc)
        page_put(m);
    return rc;
}
static int op_special(struct domain *d) { return p2m_map_record(d, GFN(0x7654321), special, P2M_SPECIAL, false); }
static int op_move(struct domain *d) { return p2m_move_ram(d, GFN(7), GFN(0x40000000)); }
static int op_move_over(struct domain *d) { return p2m_move_ram(d, GFN(7), GFN(512 + 3)); }
static int op_ro(struct domain *d) { return p2m_set_ram_type(d, GFN(7), P2M_RAM_RO); }
static int op_ident(struct domain *d) { return p2m_map_identity(d, 0x3fe00000, 0x40201000, P2M_MMIO); }

static u64 ram_mapped(struct domain *d)
{
    static const u64 places[] = { 0, 0x1000, 0x12345400, 0x40000000 };     /* where the operations may have put it */
    u64 n = 0;
    for (unsigned k = 0; k < ARRAY_SIZE(places); k++)
        for (u64 g = places[k]; g < places[k] + 1024; g++)
            n += p2m_is_ram(type_at(d, g));
    return n;
}

/* State of d as far as a failed operation must not have changed it. */
struct shot { u64 tot, total_free; mfn_t m[1024]; enum p2m_type t[1024]; };
static void take_shot(struct domain *d, struct shot *s)
{
    s->tot = d->tot_pages;
    for (unsigned i = 0; i < 1024; i++)
        s->m[i] = p2m_lookup(d, GFN(i), &s->t[i], NULL);
}

static void each_failure(int (*op)(struct domain *d), bool all_or_nothing)
{
    static struct shot a, b;

    for (unsigned k = 1; ; k++) {
        fake_machine_init(64, 1);
        struct domain *d = fake_domain(1, 1024);
        fd = fake_domain(2, 100);
        d->max_pages = ~0ULL;
        special = virt_to_mfn(page_alloc());
        memset(&a, 0, sizeof(a));
        memset(&b, 0, sizeof(b));
        take_shot(d, &a);
        fake_fail_at(k);
        int rc = op(d);
        bool failed = fake_failed();
        fake_fail_at(0);
        if (rc) {
            take_shot(d, &b);
            if (all_or_nothing)
                assert_memory_equal(&a, &b, sizeof(a));
            assert_true(failed);
        }
        assert_int_equal(mm_audit(), 0);
        if (all_or_nothing)
            assert_int_equal(d->tot_pages, ram_mapped(d));
        this_cpu()->nr_locks == 0 ? (void)0 : fail();
        if (!rc && !failed) {
            fake_domain_destroy(d);
            assert_int_equal(mm_audit(), 0);
            fake_domain_destroy(fd);
            return;
        }
        assert_true(k < 40);
    }
}

static void test_each_failure(void **state)
{
    each_failure(op_remove, true);
    each_failure(op_map, true);
    each_failure(op_foreign, true);
    each_failure(op_special, true);
    each_failure(op_move, true);
    each_failure(op_move_over, true);
    each_failure(op_ro, true);
    each_failure(op_ident, false);
}

static void test_foreign(void **state)
{
    fake_machine_init(64, 1);
    struct domain *d = fake_domain(0, 512), *e = fake_domain(2, 512);
    mfn_t m, x;

    assert_int_equal(p2m_get_owned(e, GFN(100), false, &m), 0);
    assert_int_equal(p2m_map_record(d, GFN(0x100000), m, P2M_FOREIGN, false), 0);
    assert_int_equal(mm_audit(), 0);
    assert_int_equal(p2m_map_record(d, GFN(0x100000), m, P2M_FOREIGN, false), -EEXIST);
    assert_int_equal(p2m_map_record(d, GFN(0x100000), m, P2M_FOREIGN, true), -EBUSY);
    assert_int_equal(p2m_map_record(d, GFN(3), m, P2M_FOREIGN, false), -EEXIST);
    assert_int_equal(p2m_map_record(d, GFN(~0ULL), m, P2M_FOREIGN, false), -EINVAL);
    assert_int_equal(p2m_get_owned(d, GFN(0x100000), false, &x), -EPERM);
    assert_int_equal(p2m_get_page(d, GFN(0x100000), true, &x), 0);
    assert_true(mfn_eq(x, m));
    assert_int_equal(mm_audit(), 1);
    page_put_short(x);
    /* Wrong removals change nothing. */
    assert_int_equal(p2m_unmap_record(d, GFN(0x100000), m, P2M_GRANT_RW, NULL), -EINVAL);
    assert_int_equal(p2m_unmap_record(d, GFN(0x100000), MFN(m.n + 1), P2M_FOREIGN, NULL), -EINVAL);
    assert_int_equal(p2m_unmap_record(d, GFN(0x100001), m, P2M_FOREIGN, NULL), -ENOENT);
    assert_int_equal(p2m_unmap_record(d, GFN(~0ULL), m, P2M_FOREIGN, NULL), -ENOENT);
    assert_int_equal(p2m_unmap_record(d, GFN(5), INVALID_MFN, P2M_RAM, NULL), -EINVAL);
    assert_int_equal(p2m_remove_ram(d, GFN(0x100000)), -ENOENT);
    assert_int_equal(mm_audit(), 0);
    /* The owner balloons it out: a zombie until d unmaps it (XSA-217). */
    char *p = frame_map(m);
    p[5] = 0x11;
    assert_int_equal(p2m_remove_ram(e, GFN(100)), 0);
    assert_int_equal(dom_ram_zombies(e), 1);
    e->max_pages = ~0ULL;
    while (mfn_valid(x = dom_ram_alloc(e, 0)))
        assert_false(mfn_eq(x, m));
    assert_int_equal(p[5], 0x11);
    u64 free = ram_free_pages();
    assert_int_equal(p2m_unmap_record(d, GFN(0x100000), m, P2M_FOREIGN, NULL), 0);
    assert_int_equal(dom_ram_zombies(e), 0);
    assert_int_equal(ram_free_pages(), free + 1);
    mm_audit();
}

/* Removal never allocates, and works while nothing is free. */
static void test_unmap_needs_no_memory(void **state)
{
    fake_machine_init(64, 1);
    struct domain *d = fake_domain(0, 512), *e = fake_domain(2, 512);
    struct p2m_batch b;
    mfn_t m;

    for (unsigned i = 0; i < 200; i++) {
        assert_int_equal(p2m_get_owned(e, GFN(i), false, &m), 0);
        assert_int_equal(p2m_map_record(d, GFN(0x1000 + i), m, P2M_FOREIGN, false), 0);
    }
    assert_int_equal(p2m_pool_set(d, d->p2m->pool_used << 12), 0);
    fake_fail_from(1);
    p2m_batch_start(&b, d);
    for (unsigned i = 0; i < 200; i++)
        assert_int_equal(p2m_unmap_record(d, GFN(0x1000 + i), INVALID_MFN, P2M_FOREIGN, &b), 0);
    assert_int_equal(mm_audit(), b.n);              /* references live until the flush */
    u64 gen = d->tlb_gen;
    p2m_batch_finish(&b);
    assert_int_equal(d->tlb_gen, gen + 1);
    assert_int_equal(mm_audit(), 0);
    assert_false(fake_failed());
    fake_fail_at(0);
}

/* A hypervisor page that a guest maps outlives its owner's interest in it. */
/* Types that RAM does not have, and places where there is none. */
static void test_ram_types(void **state)
{
    fake_machine_init(64, 1);
    struct domain *d = fake_domain(1, 1024);

    assert_int_equal(p2m_set_ram_type(d, GFN(2), P2M_MMIO), -EINVAL);
    assert_int_equal(p2m_set_ram_type(d, GFN(P2M_GFN_END), P2M_RAM_RO), -ENOENT);
    assert_int_equal(p2m_set_ram_type(d, GFN(2000), P2M_RAM_RO), -ENOENT);
    assert_int_equal(p2m_set_ram_type(d, GFN(2), P2M_RAM), 0);
    assert_int_equal(order_at(d, 2), 9);            /* as it was: nothing is split for that */
    assert_null(page_owner(MFN(1ULL << 36)));
    fake_domain_destroy(d);
}

static void test_special(void **state)
{
    fake_machine_init(64, 1);
    struct domain *d = fake_domain(0, 512);
    u64 used = heap_pages_used();
    void *p = page_alloc();
    mfn_t m = virt_to_mfn(p);

    assert_int_equal(p2m_map_record(d, GFN(0x1000), m, P2M_SPECIAL, false), 0);
    assert_int_equal(p2m_map_record(d, GFN(0x1001), m, P2M_SPECIAL, false), 0);
    assert_int_equal(p2m_map_record(d, GFN(5), m, P2M_SPECIAL, true), 0);  /* over RAM */
    assert_int_equal(d->tot_pages, 511);
    assert_int_equal(mm_audit(), 0);
    page_free(p);
    mm_audit();
    assert_int_equal(p2m_unmap_record(d, GFN(0x1000), m, P2M_SPECIAL, NULL), 0);
    assert_int_equal(p2m_unmap_record(d, GFN(0x1001), m, P2M_SPECIAL, NULL), 0);
    assert_ptr_not_equal(page_alloc(), p);
    mm_audit();
    assert_int_equal(p2m_unmap_record(d, GFN(5), m, P2M_SPECIAL, NULL), 0);
    assert_int_equal(mm_audit(), 0);
    assert_true(heap_pages_used() <= used + 4);
    mfn_t x;
    assert_int_equal(p2m_get_page(d, GFN(0x1001), false, &x), -ENOENT);
}

static void test_identity(void **state)
{
    fake_machine_init(64, 1);
    struct domain *d = fake_domain(0, 0);

    d->max_pages = ~0ULL;
    assert_true(dom_ram_take(d, MiB(2), MiB(7)));
    assert_int_equal(p2m_map_identity(d, MiB(2), MiB(7), P2M_RAM), 0);
    assert_int_equal(order_at(d, 0x200), 9);
    assert_int_equal(order_at(d, 0x600), 0);
    assert_int_equal(p2m_map_identity(d, GiB(4), GiB(5) + MiB(4) + 0x1000, P2M_MMIO), 0);
    assert_int_equal(order_at(d, GiB(4) >> 12), 18);
    assert_int_equal(p2m_map_identity(d, GiB(4) + MiB(3), GiB(4) + MiB(5), P2M_MMIO), 0);  /* again */
    assert_int_equal(p2m_map_identity(d, MiB(6), MiB(8), P2M_MMIO), -EEXIST);
    assert_int_equal(p2m_unmap_identity(d, MiB(6), MiB(8), P2M_MMIO), 0);
    assert_int_equal(type_at(d, 0x6ff), P2M_RAM);
    assert_int_equal(p2m_unmap_identity(d, MiB(2), MiB(3), P2M_RAM), -EINVAL);
    /* A hole in the middle of 1 GiB. */
    for (unsigned k = 1; ; k++) {
        fake_fail_at(k);
        int rc = p2m_unmap_identity(d, GiB(4) + MiB(3) + 0x1000, GiB(4) + MiB(9) - 0x1000, P2M_MMIO);
        bool failed = fake_failed();
        fake_fail_at(0);
        mm_audit();
        if (!failed) {
            assert_int_equal(rc, 0);
            break;
        }
        assert_int_equal(rc, -ENOMEM);
        assert_int_equal(type_at(d, (GiB(4) + MiB(5)) >> 12), P2M_MMIO);
    }
    assert_int_equal(type_at(d, (GiB(4) + MiB(3)) >> 12), P2M_MMIO);
    assert_int_equal(type_at(d, (GiB(4) + MiB(3) + 0x1000) >> 12), P2M_NONE);
    assert_int_equal(type_at(d, (GiB(4) + MiB(9) - 0x2000) >> 12), P2M_NONE);
    assert_int_equal(type_at(d, (GiB(4) + MiB(9) - 0x1000) >> 12), P2M_MMIO);
    assert_int_equal(mfn_at(d, (GiB(4) + MiB(9) - 0x1000) >> 12).n, (GiB(4) + MiB(9) - 0x1000) >> 12);
    assert_int_equal(p2m_unmap_identity(d, 0, GiB(8), P2M_MMIO), 0);
    assert_int_equal(type_at(d, (GiB(5) + MiB(4)) >> 12), P2M_NONE);
    assert_int_equal(type_at(d, 0x200), P2M_RAM);
    assert_int_equal(mm_audit(), 0);
}

/* 2 MiB and 1 GiB extents over tables that earlier mappings left behind. */
static void test_fill_old_tables(void **state)
{
    const struct ram_range ram[] = { { MiB(1), GiB(3) } };

    fake_machine_init_ranges(3072, 1, ram, 1, NULL, 0);
    struct domain *d = fake_domain(1, 0);
    d->max_pages = ~0ULL;
    mfn_t m = dom_ram_alloc(d, 0), big = dom_ram_alloc(d, 9), huge = dom_ram_alloc(d, 18);
    assert_int_equal(p2m_map_ram(d, GFN(0x40033), m, 0), 0);
    assert_int_equal(p2m_map_ram(d, GFN(0x40000), big, 9), -EEXIST);
    assert_int_equal(p2m_map_ram(d, GFN(0x40000), huge, 18), -EEXIST);
    assert_int_equal(p2m_remove_ram(d, GFN(0x40033)), 0);
    assert_int_equal(p2m_map_ram(d, GFN(0x40000), huge, 18), 0);
    assert_int_equal(order_at(d, 0x40033), 0);
    assert_int_equal(order_at(d, 0x40233), 9);
    assert_int_equal(mfn_at(d, 0x4ffff).n, huge.n + 0xffff);
    assert_int_equal(p2m_map_ram(d, GFN(0x80000), big, 9), 0);
    assert_int_equal(mm_audit(), 0);
    fake_domain_destroy(d);
    mm_audit();
}

static void test_batch_ram(void **state)
{
    fake_machine_init(64, 1);
    struct domain *d = fake_domain(1, 2048);
    struct p2m_batch b;

    p2m_batch_start(&b, d);
    assert_int_equal(p2m_remove_ram_batch(d, GFN(512), 9, &b), 0);
    assert_int_equal(p2m_remove_ram_batch(d, GFN(3), 0, &b), 0);
    assert_int_equal(p2m_remove_ram_batch(d, GFN(0), 9, &b), -EINVAL);      /* split by now */
    assert_int_equal(p2m_remove_ram_batch(d, GFN(513), 9, &b), -EINVAL);
    assert_int_equal(d->tot_pages, 2048);           /* not before the flush */
    p2m_batch_finish(&b);
    assert_int_equal(d->tot_pages, 2048 - 513);
    assert_int_equal(mm_audit(), 0);
    for (unsigned i = 1024; i < 2048; i++)
        assert_int_equal(p2m_remove_ram_batch(d, GFN(i), 0, &b), 0);
    p2m_batch_finish(&b);
    assert_int_equal(d->tot_pages, 511);
    mm_audit();
}

/* ---- TLB protocol and readers ---- */

static unsigned kicked;
static void leave_guest(unsigned cpu)
{
    kicked++;
    cpus[cpu]->in_guest = 0;
}

static void test_tlb(void **state)
{
    fake_machine_init(64, 3);
    struct domain *d = fake_domain_vcpus(1, 512, 2);
    d->vcpu[0]->cpu = 1;
    d->vcpu[1]->cpu = 2;
    cpus[1]->curr = d->vcpu[0];
    cpus[2]->curr = d->vcpu[1];
    cpus[1]->in_guest = 1;
    fake_kick_hook = leave_guest;
    kicked = 0;
    assert_int_equal(p2m_remove_ram(d, GFN(3)), 0);
    assert_int_equal(kicked, 1);
    assert_int_equal(fake_kicks[1], 1);
    assert_int_equal(fake_kicks[2], 0);
    u64 gen = d->tlb_gen;
    cpus[1]->in_guest = 1;
    d->vcpu[0]->tlb_gen = gen + 1;                  /* as if it had entered with the new generation */
    tlb_flush_domain(d);
    assert_int_equal(kicked, 1);
}

/* A reader inside p2m_enter() never sees its frame reused (XSA-219). Interleaved with removal and reallocation. */
static struct { struct domain *a, *c; bool bad, seen; } rd;
static void rd_setup(void *arg)
{
    fake_machine_init(4, 3);
    rd.a = fake_domain(1, 3);
    rd.c = fake_domain(2, 0);
    rd.c->max_pages = ~0ULL;
    *(char *)fake_guest_ptr(rd.a, 0x1000) = 'a';
}
static void rd_reader(void *arg)
{
    char c = 0;
    if (!guest_read_gpa(rd.a, &c, 0x1000, 1)) {
        rd.seen = true;
        rd.bad |= c != 'a';
    }
}
static void rd_take(void *arg)      /* some other domain gets memory, and writes to it */
{
    mfn_t n = dom_ram_alloc(rd.c, 0);
    if (mfn_valid(n)) {
        hook_point(frame_map(n));
        *(char *)frame_map(n) = 'c';
    }
}
static void rd_remover(void *arg)
{
    if (p2m_remove_ram(rd.a, GFN(1)))
        rd.bad = true;
    rd_take(arg);
}
static void rd_check(void *arg)
{
    rd.bad |= mm_audit() != 0;
}

static void test_reader_vs_removal(void **state)
{
    struct interleave il = { .name = "reader-vs-removal", .nr = 3, .actor = { rd_reader, rd_remover, rd_take },
                             .setup = rd_setup,
                             .check = rd_check, .max_preemptions = 2, .max_runs = 400 };
    rd.bad = rd.seen = false;
    assert_true(interleave_all(&il, 1) > 30);
    assert_false(rd.bad);
    assert_true(rd.seen);
}

/* Unmapping a foreign page against its owner's giving it up. */
static struct { struct domain *d, *e; mfn_t m; bool bad; } zr;
static void zr_setup(void *arg)
{
    fake_machine_init(4, 2);
    zr.d = fake_domain(0, 0);
    zr.e = fake_domain(1, 3);
    if (p2m_get_owned(zr.e, GFN(1), false, &zr.m) || p2m_map_record(zr.d, GFN(9), zr.m, P2M_FOREIGN, false))
        zr.bad = true;
}
static void zr_unmap(void *arg) { zr.bad |= p2m_unmap_record(zr.d, GFN(9), zr.m, P2M_FOREIGN, NULL) != 0; }
static void zr_remove(void *arg) { zr.bad |= p2m_remove_ram(zr.e, GFN(1)) != 0; }
static void zr_check(void *arg) { zr.bad |= mm_audit() != 0 || zr.e->zombie_pages || page_owner(zr.m); }

static void test_zombie_race(void **state)
{
    struct interleave il = { .name = "zombie-race", .nr = 2, .actor = { zr_unmap, zr_remove }, .setup = zr_setup,
                             .check = zr_check,
                             .max_preemptions = 2, .max_runs = 400 };
    zr.bad = false;
    interleave_all(&il, 1);
    assert_false(zr.bad);
}

/* ---- destruction ---- */
static unsigned preempts;
static bool count_preempt(void) { preempts++; return true; }

static void test_destroy(void **state)
{
    fake_machine_init(128, 1);
    struct domain *o = fake_domain(5, 10);
    u64 free = ram_free_pages(), heap = heap_pages_used();
    struct domain *d = fake_domain(1, 4096), *e = fake_domain(2, 512);
    mfn_t m;
    for (unsigned i = 0; i < 300; i++) {
        assert_int_equal(p2m_get_owned(e, GFN(i), false, &m), 0);
        assert_int_equal(p2m_map_record(d, GFN(0x8000 + 3 * i), m, P2M_FOREIGN, false), 0);
    }
    for (unsigned i = 0; i < 4096; i += 17)
        assert_int_equal(p2m_remove_ram(d, GFN(i)), 0);
    assert_int_equal(mm_audit(), 0);
    fake_irq_window_hook = count_preempt;
    stub_preempt = true;
    preempts = 0;
    d->state = DOM_DYING;
    assert_int_equal(p2m_destroy(d), -ERESTART);
    assert_int_equal(p2m_get_page(d, GFN(5), false, &m), -ENOENT);  /* a dying domain's memory is out of reach */
    assert_int_equal(p2m_map_record(d, GFN(0x90000), m, P2M_MMIO, false), -EINVAL);
    assert_int_equal(p2m_pool_set(d, MiB(8)), -ENOMEM);
    assert_int_equal(p2m_remove_ram(d, GFN(4000)), -ENOENT);
    fake_domain_destroy(d);
    assert_true(preempts > 2);                      /* I-16 */
    stub_preempt = false;
    fake_irq_window_hook = NULL;
    assert_int_equal(mm_audit(), 0);
    fake_domain_destroy(e);
    assert_int_equal(ram_free_pages(), free);
    assert_true(heap_pages_used() <= heap + 16);
    fake_domain_destroy(o);
    assert_int_equal(mm_audit(), 0);
}

/* Where every block has pages with references, each page of 1 GiB is a step: interrupts get in all the same (I-16). */
static u64 most_in_a_row, last_tot;
static struct domain *watched;
static bool watch_tot(void)
{
    most_in_a_row = MAX(most_in_a_row, last_tot - watched->tot_pages);
    last_tot = watched->tot_pages;
    return false;
}
static void test_destroy_described_pages(void **state)
{
    const struct ram_range ram[] = { { MiB(1), GiB(3) } };

    fake_machine_init_ranges(3072, 1, ram, 1, NULL, 0);
    struct domain *d = fake_domain(1, 4 * 512);
    d->max_pages = ~0ULL;
    mfn_t m = dom_ram_alloc(d, ORDER_1G);
    assert_int_equal(p2m_map_ram(d, GFN(1 << 18), m, ORDER_1G), 0);
    for (unsigned i = 0; i < 512; i++)
        assert_int_equal(page_get(d, MFN(m.n + i * 512 + i)), 0);
    watched = d;
    last_tot = d->tot_pages;
    most_in_a_row = 0;
    fake_irq_window_hook = watch_tot;
    d->state = DOM_DYING;
    assert_int_equal(p2m_destroy(d), 0);
    fake_irq_window_hook = NULL;
    assert_int_equal(d->tot_pages, 0);
    assert_int_equal(dom_ram_zombies(d), 512);
    assert_true(most_in_a_row > 0 && most_in_a_row <= (4 + 3) * 512);     /* 4 blocks go as a whole */
    for (unsigned i = 0; i < 512; i++)
        page_put(MFN(m.n + i * 512 + i));
    fake_domain_destroy(d);
    assert_int_equal(mm_audit(), 0);
}

/* ---- IOMMU ---- */

/* The device sees what the guest sees, and nothing that was freed. */
static void check_iommu(struct domain *d)
{
    for (u64 g = 0; g < STUB_GFNS; g++) {
        enum p2m_type t;
        mfn_t m = p2m_lookup(d, GFN(g), &t, NULL);
        assert_int_equal(stub_iommu[g].present, t != P2M_NONE);
        if (t != P2M_NONE)
            assert_int_equal(stub_iommu[g].mfn, m.n);
        if (stub_iommu[g].stale) {          /* still reachable by DMA: must not have been freed */
            struct block *b = block_of(MFN(stub_iommu[g].mfn));
            assert_true(!b || !page_is_free(b, stub_iommu[g].mfn % 512));
        }
    }
}

static void test_iommu(void **state)
{
    fake_machine_init(64, 1);
    memset(stub_iommu, 0, sizeof(stub_iommu));
    struct domain *d = fake_domain(0, 0), *e = fake_domain(1, 512);
    mfn_t m;
    d->max_pages = ~0ULL;
    d->iommu = (void *)1;
    assert_true(dom_ram_take(d, MiB(2), MiB(9)));
    assert_int_equal(p2m_map_identity(d, MiB(2), MiB(9), P2M_RAM), 0);
    check_iommu(d);
    assert_int_equal(p2m_remove_ram(d, GFN(0x345)), 0);
    check_iommu(d);
    assert_int_equal(p2m_map_identity(d, MiB(20), MiB(23), P2M_MMIO), 0);
    assert_int_equal(p2m_unmap_identity(d, MiB(21), MiB(22), P2M_MMIO), 0);
    check_iommu(d);
    /* Foreign pages unmapped one by one share a flush ... */
    for (unsigned i = 0; i < 200; i++) {
        assert_int_equal(p2m_get_owned(e, GFN(i), false, &m), 0);
        assert_int_equal(p2m_map_record(d, GFN(0x4000 + i), m, P2M_FOREIGN, false), 0);
    }
    check_iommu(d);
    unsigned flushes = stub_iommu_flushes;
    for (unsigned i = 0; i < 200; i++) {
        assert_int_equal(p2m_unmap_record(d, GFN(0x4000 + i), INVALID_MFN, P2M_FOREIGN, NULL), 0);
        assert_int_equal(p2m_remove_ram(e, GFN(i)), 0);
        if (i % 50 == 0)
            check_iommu(d);
    }
    check_iommu(d);
    assert_int_equal(stub_iommu_flushes - flushes, 200 / 64);
    assert_int_equal(mm_audit(), 200 % 64);         /* ... and keep their references until then */
    assert_int_equal(e->zombie_pages, 200 % 64);
    /* Mapping something at such a gfn forces it; so does time. */
    assert_int_equal(p2m_get_owned(e, GFN(300), false, &m), 0);
    assert_int_equal(p2m_map_record(d, GFN(0x4000 + 199), m, P2M_FOREIGN, false), 0);
    assert_int_equal(mm_audit(), 0);
    assert_int_equal(p2m_unmap_record(d, GFN(0x4000 + 199), m, P2M_FOREIGN, NULL), 0);
    assert_int_equal(mm_audit(), 1);
    fake_time_advance(3000000);
    timer_run();
    assert_int_equal(mm_audit(), 0);
    check_iommu(d);
    /* Replacing RAM, moving, read-only, superpages; each also with every failure. */
    for (unsigned op = 0; op < 5; op++) {
        for (unsigned k = 1; ; k++) {
            int rc = 0;
            fake_fail_at(k);
            switch (op) {
            case 0:
                rc = p2m_get_owned(e, GFN(301), false, &m);
                if (!rc && (rc = p2m_map_record(d, GFN(0x405), m, P2M_FOREIGN, true)) != 0)
                    page_put(m);
                break;
            case 1: rc = p2m_move_ram(d, GFN(0x605), GFN(0x5605)); break;
            case 2: rc = p2m_set_ram_type(d, GFN(0x205), P2M_RAM_RO); break;
            case 3: rc = p2m_remove_ram(d, GFN(0x206)); break;
            case 4:
                m = dom_ram_alloc(d, 9);
                rc = mfn_valid(m) ? p2m_map_ram(d, GFN(0x7000), m, 9) : -ENOMEM;
                if (rc && mfn_valid(m))
                    dom_ram_free(d, m, 9);
                break;
            }
            bool failed = fake_failed();
            fake_fail_at(0);
            check_iommu(d);
            mm_audit();
            if (!failed) {
                assert_int_equal(rc, 0);
                break;
            }
            assert_true(k < 20);
        }
    }
    d->iommu = NULL;
}

/* Creation fails cleanly at every allocation. */
static void test_create_failures(void **state)
{
    fake_machine_init(16, 1);
    struct domain *d = kzalloc(sizeof(*d));
    for (unsigned k = 1; ; k++) {
        u64 free = ram_free_pages(), heap = heap_pages_used();
        fake_fail_at(k);
        int rc = p2m_create(d);
        bool failed = fake_failed();
        fake_fail_at(0);
        if (!failed) {
            assert_int_equal(rc, 0);
            break;
        }
        assert_int_equal(rc, -ENOMEM);
        assert_null(d->p2m);
        assert_true(ram_free_pages() + 1 >= free && heap_pages_used() <= heap + 1);
    }
    assert_int_equal(p2m_pool_get(d), MiB(1));
    assert_int_equal(p2m_pool_set(d, GiB(1)), -ENOMEM);
    assert_int_equal(p2m_pool_set(d, ~0ULL), -ENOMEM);
    assert_int_equal(p2m_pool_get(d), MiB(1));
    assert_int_equal(p2m_pool_set(d, 0), -ENOMEM);
    assert_int_equal(p2m_pool_set(d, 4097), 0);
    assert_int_equal(p2m_pool_get(d), 8192);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_map_ram), cmocka_unit_test(test_format), cmocka_unit_test(test_remove_small_pool),
        cmocka_unit_test(test_each_failure), cmocka_unit_test(test_foreign),
        cmocka_unit_test(test_unmap_needs_no_memory), cmocka_unit_test(test_ram_types), cmocka_unit_test(test_special),
        cmocka_unit_test(test_identity), cmocka_unit_test(test_fill_old_tables), cmocka_unit_test(test_batch_ram),
        cmocka_unit_test(test_tlb), cmocka_unit_test(test_reader_vs_removal), cmocka_unit_test(test_zombie_race),
        cmocka_unit_test(test_destroy), cmocka_unit_test(test_destroy_described_pages),
        cmocka_unit_test(test_iommu), cmocka_unit_test(test_create_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
