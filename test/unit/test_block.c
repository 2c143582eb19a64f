/* SPDX-License-Identifier: MIT */
/* RAM blocks: start-up, extents, references, zombies, claims, exact frames, fragmentation. */
#include <stdlib.h>
#include "mm_stubs.h"
#include "mm/p2m.h"

/* Domains without p2m RAM: frames are handled directly. */
static struct domain *dom(u16 id, u64 max)
{
    struct domain *d = fake_domain(id, 0);
    d->max_pages = max;
    return d;
}

static void test_boot(void **state)
{
    const struct ram_range ram[] = { { 0x1000, 0x9fc00 }, { MiB(1), MiB(30) + 0x3000 }, { MiB(40), MiB(60) } };
    const struct ram_range used[] = { { MiB(2) + 0x800, MiB(5) + 0x10 }, { MiB(59), MiB(60) }, { 0, 0x2000 },
                                      { MiB(4), MiB(6) } };

    fake_machine_init_ranges(64, 1, ram, 3, used, 4);
    assert_int_equal(ram_total_pages(), 0x9e + 29 * 256 + 3 + 20 * 256);
    u64 lost = (4 + 1) * 256 + 1;           /* 2-6 MiB, 59-60 MiB, page 1 */
    assert_int_equal(ram_free_pages() + heap_pages_used() + lost, ram_total_pages());
    assert_int_equal(ram_max_mfn(), MiB(60) / 4096 - 1);
    assert_true(mfn_is_ram(MFN(1)) && mfn_is_ram(MFN(0x9e)) && !mfn_is_ram(MFN(0x9f)) && !mfn_is_ram(MFN(0)));
    assert_true(mfn_is_ram(MFN(MiB(3) / 4096)) && !mfn_is_ram(MFN(MiB(35) / 4096)) && !mfn_is_ram(INVALID_MFN));
    assert_false(mfn_is_ram(MFN(MiB(60) / 4096)));
    mm_audit();
    u64 free = ram_free_pages();
    ram_release(MiB(2) + 0x0, MiB(6));
    assert_int_equal(ram_free_pages(), free + 1024);
    mm_audit();
    /* Nothing in use was handed out: fill everything and look at the used ranges. */
    ram_release(MiB(59), MiB(60));
    struct domain *d = dom(1, ~0ULL);
    mfn_t m;
    while (mfn_valid(m = dom_ram_alloc(d, 0)))
        assert_true(m.n != 1 && mfn_is_ram(m));
    mm_audit();
}

static void test_cost_is_per_block(void **state)
{
    const struct ram_range ram[] = { { MiB(1), GiB(8) } };

    /* 8 GiB: descriptors are written, RAM pages are not touched (the window is sparse). */
    fake_machine_init_ranges(8192, 1, ram, 1, NULL, 0);
    assert_true(heap_pages_used() * 4096 < MiB(1));
    struct domain *d = dom(1, ~0ULL);
    mfn_t m = dom_ram_alloc(d, ORDER_4K);
    assert_true(m.n > GiB(7) / 4096);       /* from the top */
    fake_machine_init(1024, 1);
    assert_true(heap_pages_used() * 4096 < KiB(256));
}

static void test_extents(void **state)
{
    fake_machine_init(256, 1);
    struct domain *d = dom(1, 2000);
    u64 free = ram_free_pages();

    mfn_t m = dom_ram_alloc(d, ORDER_2M);
    assert_int_equal(m.n % 512, 0);
    assert_int_equal(d->tot_pages, 512);
    assert_ptr_equal(page_owner(m), d);
    char *p = frame_map(m);
    memset(p, 0x5a, SZ_2M);
    dom_ram_free(d, m, ORDER_2M);
    assert_null(page_owner(m));
    assert_int_equal(d->tot_pages, 0);
    assert_int_equal(ram_free_pages(), free);
    struct domain *e = dom(2, ~0ULL);
    mfn_t n = dom_ram_alloc(e, ORDER_2M);
    assert_true(mfn_eq(m, n));              /* the same block ... */
    for (unsigned i = 0; i < SZ_2M; i++)
        assert_int_equal(p[i], 0);          /* ... without the old owner's bytes */
    /* Limits (XSA-385): exactly max_pages. */
    for (unsigned i = 0; i < 3; i++)
        assert_true(mfn_valid(dom_ram_alloc(d, ORDER_2M)));
    assert_false(mfn_valid(dom_ram_alloc(d, ORDER_2M)));
    while (d->tot_pages < 2000)
        assert_true(mfn_valid(dom_ram_alloc(d, ORDER_4K)));
    assert_false(mfn_valid(dom_ram_alloc(d, ORDER_4K)));
    d->max_pages = ~0ULL;
    assert_true(mfn_valid(dom_ram_alloc(d, ORDER_4K)));
    d->state = DOM_DYING;                   /* XSA-410 */
    assert_false(mfn_valid(dom_ram_alloc(d, ORDER_4K)));
    assert_false(mfn_valid(dom_ram_alloc(d, 5)));
    assert_int_equal(mm_audit(), 0);
}

static void test_1g(void **state)
{
    const struct ram_range ram[] = { { MiB(1), GiB(3) } };

    fake_machine_init_ranges(3072, 1, ram, 1, NULL, 0);
    struct domain *d = dom(1, ~0ULL);
    unsigned steps = 0;
    d->max_pages = (1 << 18) - 1;
    assert_false(dom_ram_prescrub(d, ORDER_1G));    /* it would not get it */
    d->max_pages = ~0ULL;
    while (dom_ram_prescrub(d, ORDER_1G))
        steps++;
    assert_int_equal(steps, 512);
    mfn_t m = dom_ram_alloc(d, ORDER_1G);
    assert_int_equal(m.n, GiB(1) / 4096);   /* the top one holds the heap, the lowest one starts at 1 MiB */
    assert_int_equal(d->tot_pages, 1 << 18);
    assert_false(mfn_valid(dom_ram_alloc(d, ORDER_1G)));
    assert_int_equal(d->tot_pages, 1 << 18);
    dom_ram_free(d, m, ORDER_1G);
    assert_int_equal(d->tot_pages, 0);
    mm_audit();
    m = dom_ram_alloc(d, ORDER_2M);
    dom_ram_free(d, m, ORDER_2M);
}

static void test_pages_of_block(void **state)
{
    fake_machine_init(64, 1);
    struct domain *d = dom(1, ~0ULL);
    u64 free = ram_free_pages();

    mfn_t m = dom_ram_alloc(d, ORDER_2M);
    /* Balloon out single pages: no array, no memory, nothing can fail. */
    fake_fail_from(1);
    for (unsigned i = 0; i < 512; i += 2)
        dom_ram_free(d, MFN(m.n + i), 0);
    assert_false(fake_failed());
    fake_fail_at(0);
    assert_null(block_of(m)->pages);
    assert_int_equal(d->tot_pages, 256);
    assert_null(page_owner(m));
    assert_ptr_equal(page_owner(MFN(m.n + 1)), d);
    mm_audit();
    /* Another domain gets pages out of whole blocks first, this one refills its own. */
    mfn_t r = dom_ram_alloc(d, 0);
    assert_int_equal(r.n / 512, m.n / 512);
    for (unsigned i = 0; i < 512; i++)
        if (page_owner(MFN(m.n + i)))
            dom_ram_free(d, MFN(m.n + i), 0);
    assert_int_equal(ram_free_pages(), free);
    assert_true(fake_expect_panic(dom_ram_free(d, m, 0)));
}

static void test_refs(void **state)
{
    fake_machine_init(64, 1);
    struct domain *d = dom(1, ~0ULL), *e = dom(2, ~0ULL);
    mfn_t m = dom_ram_alloc(d, ORDER_2M), n = MFN(m.n + 7);

    assert_int_equal(page_get(e, n), -EINVAL);
    assert_int_equal(page_get(d, MFN(GiB(100) / 4096)), -EINVAL);
    assert_int_equal(page_get(d, INVALID_MFN), -EINVAL);
    assert_int_equal(page_get(d, virt_to_mfn(d)), -EINVAL);
    fake_fail_at(1);
    assert_int_equal(page_get(d, n), -ENOMEM);
    fake_fail_at(0);
    assert_int_equal(mm_audit(), 0);
    assert_int_equal(page_get(d, n), 0);
    assert_int_equal(page_get(d, n), 0);
    assert_int_equal(mm_audit(), 2);
    dom_ram_free(d, n, 0);                  /* XSA-217: given up, not reused */
    assert_int_equal(dom_ram_zombies(d), 1);
    assert_int_equal(d->tot_pages, 511);
    assert_null(page_owner(n));
    assert_int_equal(page_get(d, n), -EINVAL);
    page_put(n);
    assert_int_equal(dom_ram_zombies(d), 1);
    assert_int_equal(mm_audit(), 1);
    page_put(n);
    assert_int_equal(dom_ram_zombies(d), 0);
    assert_int_equal(mm_audit(), 0);
    assert_true(fake_expect_panic(page_put(n)));
    spin_unlock(&ram_lock);

    /* Saturation. */
    assert_int_equal(page_get(d, m), 0);
    block_of(m)->pages[m.n % 512].refs = PAGE_REFS_MAX;
    assert_int_equal(page_get(d, m), -EBUSY);
    block_of(m)->pages[m.n % 512].refs = 1;
    page_put(m);
    block_of(m)->anon = PAGE_REFS_MAX;
    assert_int_equal(page_get_short(m), -EBUSY);
    block_of(m)->anon = 0;
    assert_true(fake_expect_panic(page_put_short(m)));
    spin_unlock(&ram_lock);
}

static void test_short_refs(void **state)
{
    fake_machine_init(64, 1);
    struct domain *d = dom(1, ~0ULL);
    mfn_t m = dom_ram_alloc(d, ORDER_2M), n = MFN(m.n + 7);
    u64 free = ram_free_pages();

    fake_fail_from(1);                      /* no memory needed */
    assert_int_equal(page_get_short(m), 0);
    assert_int_equal(page_get_short(n), 0);
    fake_fail_at(0);
    dom_ram_free(d, MFN(m.n + 100), 0);     /* which page is referenced is not known: parked */
    assert_int_equal(ram_free_pages(), free);
    assert_int_equal(mm_audit(), 2);
    page_put_short(n);
    assert_int_equal(ram_free_pages(), free);
    page_put_short(m);
    assert_int_equal(ram_free_pages(), free + 1);
    assert_int_equal(mm_audit(), 0);

    /* Whole block given up under a short reference. */
    mfn_t w = dom_ram_alloc(d, ORDER_2M);
    free = ram_free_pages();
    assert_int_equal(page_get_short(w), 0);
    dom_ram_free(d, w, ORDER_2M);
    assert_int_equal(ram_free_pages(), free);
    assert_int_equal(mm_audit(), 1);
    assert_int_equal(page_get_short(w), -EINVAL);
    page_put_short(w);
    assert_int_equal(ram_free_pages(), free + 512);
    /* Short, long, short; dropped in three orders. The long one keeps its page a zombie, so that the owner waits for it,
     * whichever ended first; the short ones keep what was given up parked. */
    static const char *const orders[] = { "ssl", "sls", "lss" };
    for (unsigned i = 0; i < ARRAY_SIZE(orders); i++) {
        unsigned refs = 3, shorts = 2;
        bool held = true;
        w = dom_ram_alloc(d, ORDER_2M);
        assert_int_equal(page_get_short(w), 0);
        assert_int_equal(page_get(d, w), 0);
        assert_int_equal(page_get_short(w), 0);
        assert_int_equal(mm_audit(), 3);
        dom_ram_free(d, w, ORDER_2M);
        for (const char *o = orders[i]; *o; o++) {
            if (*o == 's') {
                page_put_short(w);
                shorts--;
            } else {
                page_put(w);
                held = false;
            }
            assert_int_equal(mm_audit(), --refs);
            assert_int_equal(dom_ram_zombies(d), held);
            assert_int_equal(ram_free_pages(), free + (shorts ? 0 : held ? 511 : 512));
        }
        assert_int_equal(ram_free_pages(), free + 512);
    }
}

/* The last short reference on a block that hosts its own array of pages: nothing of it stays behind. */
static void test_unpark_self_hosted(void **state)
{
    fake_machine_init(32, 1);
    struct domain *d = dom(1, ~0ULL);
    mfn_t m[20];
    unsigned n = 0;
    void *p, *last = NULL;

    while (mfn_valid(m[n] = dom_ram_alloc(d, ORDER_2M)))
        n++;
    while (mfn_valid(dom_ram_alloc(d, ORDER_4K)))
        ;
    while (page_alloc())
        ;
    for (unsigned i = 0; i < 64; i++)
        dom_ram_free(d, MFN(m[0].n + i), 0);
    while ((p = page_alloc()) != NULL)
        if (virt_to_mfn(p).n / 512 == m[0].n / 512)
            last = p;
    struct block *b = block_of(m[0]);
    assert_true(last && b->pages && block_of(virt_to_mfn(b->pages)) == b);
    mfn_t s = MFN(m[0].n + 100);
    assert_int_equal(page_get_short(s), 0);
    for (unsigned i = 0; i < 512; i++)
        if (page_owner(MFN(m[0].n + i)))
            dom_ram_free(d, MFN(m[0].n + i), 0);
    for (unsigned i = 0; i < 512; i++)
        if (!page_is_free(b, i) && block_mfn(b, i).n != virt_to_mfn(b->pages).n)
            page_free(frame_map(block_mfn(b, i)));
    page_put_short(s);
    assert_true(block_is_free(b));
    assert_int_equal(mm_audit(), 0);
}

static void test_arrays_are_dropped(void **state)
{
    fake_machine_init(256, 1);
    struct domain *d = dom(1, ~0ULL);
    mfn_t m[100];

    for (unsigned i = 0; i < 100; i++)
        m[i] = dom_ram_alloc(d, ORDER_2M);
    u64 used = heap_pages_used();
    for (unsigned i = 0; i < 100; i++)
        for (unsigned k = 0; k < 3; k++) {
            assert_int_equal(page_get(d, MFN(m[i].n + k)), 0);
            page_put(MFN(m[i].n + k));
        }
    assert_true(heap_pages_used() <= used + 33);
    mm_audit();
    for (unsigned i = 0; i < 100; i++)
        dom_ram_free(d, m[i], ORDER_2M);
    assert_true(heap_pages_used() <= used);
    mm_audit();
}

static void test_take(void **state)
{
    fake_machine_init(64, 1);
    struct domain *d = dom(0, ~0ULL), *e = dom(1, ~0ULL);

    assert_true(dom_ram_take(d, MiB(1), MiB(9) + 0x5000));
    assert_int_equal(d->tot_pages, 8 * 256 + 5);
    assert_ptr_equal(page_owner(MFN(0x100)), d);
    assert_null(page_owner(MFN(0xff)));
    mm_audit();
    assert_false(dom_ram_take(d, MiB(9), MiB(10)));         /* first five are its own already */
    assert_false(dom_ram_take(e, MiB(9) + 0x4000, MiB(10)));
    assert_int_equal(e->tot_pages, 0);
    assert_true(dom_ram_take(e, MiB(9) + 0x5000, MiB(12))); /* shares a block with d */
    assert_ptr_equal(page_owner(MFN(MiB(9) / 4096 + 5)), e);
    assert_ptr_equal(page_owner(MFN(MiB(9) / 4096 + 4)), d);
    assert_false(dom_ram_take(d, 0, 0x3000));               /* page 0 is not RAM */
    assert_true(dom_ram_take(d, 0x1000, 0x3000));
    assert_false(dom_ram_take(d, MiB(60), MiB(70)));
    assert_false(dom_ram_take(d, MiB(20), MiB(20)));
    mm_audit();
    dom_ram_free(d, MFN(MiB(9) / 4096), 0);
    dom_ram_free(e, MFN(MiB(9) / 4096 + 5), 0);
    mm_audit();
}

static void test_keep(void **state)
{
    fake_machine_init(64, 1);
    struct domain *d = dom(0, ~0ULL), *e = dom(1, ~0ULL);

    dom0_keep_frames = true;
    assert_true(dom_ram_take(d, MiB(4), MiB(8)));
    u64 free = ram_free_pages();
    dom_ram_free(d, MFN(MiB(4) / 4096 + 3), 0);
    dom_ram_free(d, MFN(MiB(6) / 4096), ORDER_2M);
    assert_int_equal(ram_free_pages(), free);
    assert_int_equal(d->tot_pages, 511);
    mm_audit();
    assert_false(dom_ram_take(e, MiB(6), MiB(7)));
    mfn_t m;
    while (mfn_valid(m = dom_ram_alloc(e, 0)))
        assert_true(m.n < MiB(4) / 4096 || m.n >= MiB(8) / 4096);
    assert_true(dom_ram_take(d, MiB(4) + 0x3000, MiB(4) + 0x4000));
    assert_true(dom_ram_take(d, MiB(6), MiB(7)));
    assert_true(dom_ram_take(d, MiB(7), MiB(8)));
    assert_int_equal(d->tot_pages, 1024);
    /* One by one: those that were kept always, others only if nobody was promised them. */
    mfn_t f = MFN(MiB(12) / 4096);
    for (unsigned i = 0; i < 8; i++)
        dom_ram_free(e, MFN(f.n + i), ORDER_4K);
    assert_int_equal(dom_ram_claim(e, e->tot_pages + ram_free_pages()), 0);
    assert_false(dom_ram_take_frame(d, f));
    dom_ram_free(d, MFN(MiB(4) / 4096 + 3), 0);
    assert_true(dom_ram_take_frame(d, MFN(MiB(4) / 4096 + 3)));
    assert_int_equal(dom_ram_claim(e, 0), 0);
    assert_true(dom_ram_take_frame(d, f));
    assert_false(dom_ram_take_frame(d, f));
    assert_ptr_equal(page_owner(f), d);
    assert_false(dom_ram_take_frame(d, MFN(MiB(100) / 4096)));
    assert_false(dom_ram_take_frame(d, INVALID_MFN));
    mm_audit();
    dom0_keep_frames = false;
}

static void test_fragmented(void **state)
{
    fake_machine_init(32, 1);
    struct domain *d = dom(1, ~0ULL), *e = dom(2, ~0ULL);
    static mfn_t m[20];
    unsigned n = 0;

    while (mfn_valid(m[n] = dom_ram_alloc(d, ORDER_2M)))
        n++;
    while (mfn_valid(dom_ram_alloc(d, ORDER_4K)))
        ;
    void *p;
    unsigned heap = 0;
    while ((p = page_alloc()) != NULL)
        heap++;
    /* One page in eight of every block is ballooned out: heap and other domains can use them all the same. */
    for (unsigned b = 0; b < n; b++)
        for (unsigned i = 0; i < 512; i += 8)
            dom_ram_free(d, MFN(m[b].n + i), 0);
    mm_audit();
    void *pages[100];
    for (unsigned i = 0; i < 100; i++)
        assert_non_null(pages[i] = page_alloc());
    mm_audit();
    unsigned got = 0;
    while (mfn_valid(dom_ram_alloc(e, 0)))
        got++;
    assert_true(got + 100 > n * 60);
    mm_audit();
    for (unsigned i = 0; i < 100; i++)
        page_free(pages[i]);
    for (u64 f = 0; f < MiB(32) / 4096; f++)
        if (page_owner(MFN(f)))
            dom_ram_free(page_owner(MFN(f)), MFN(f), 0);
    mm_audit();
    assert_int_equal(d->tot_pages + e->tot_pages, 0);
    assert_true(mfn_valid(dom_ram_alloc(e, ORDER_2M)));
}

static void test_claims(void **state)
{
    fake_machine_init(64, 1);
    struct domain *d = dom(1, 5000), *e = dom(2, ~0ULL);
    u64 free = ram_free_pages();

    assert_int_equal(dom_ram_claim(d, 5001), -EINVAL);
    assert_int_equal(dom_ram_claim(d, 4000), 0);
    assert_int_equal(dom_ram_claim(d, 4500), -EINVAL);
    assert_int_equal(ram_free_pages(), free - 4000);
    assert_int_equal(dom_ram_claim(e, free - 3999), -ENOMEM);
    while (mfn_valid(dom_ram_alloc(e, ORDER_2M)))
        ;
    for (unsigned i = 0; i < 7; i++)
        assert_true(mfn_valid(dom_ram_alloc(d, ORDER_2M)));
    assert_int_equal(d->outstanding, 4000 - 7 * 512);
    assert_int_equal(dom_ram_claim(d, 0), 0);
    assert_int_equal(dom_ram_claim(d, 0), 0);
    assert_int_equal(dom_ram_claim(d, 7 * 512), -EINVAL);
    mm_audit();
}

/* What was claimed is there but for a few pages, and what was committed to the last one, however the heap grows meanwhile
 * and however many pages its blocks have left when memory ends. */
static void test_claim_is_kept(void **state)
{
    for (unsigned k = 0; k < 600; k += 41) {
        fake_machine_init(32, 1);
        struct domain *d = dom(1, ~0ULL), *e = dom(2, ~0ULL);
        for (unsigned i = 0; i < k; i++)
            assert_non_null(page_alloc());
        /* Every other time only whole blocks are left: one has to be shared. */
        for (u64 i = 1; k % 2 && i < nr_blocks * BLOCK_PAGES; i++) {
            struct block *b = block_of(MFN(i));
            if (!block_is_free(b) && b->owner != OWN_HEAP && page_is_free(b, (unsigned)(i % 512)))
                assert_true(dom_ram_take(e, i << 12, (i + 1) << 12));
        }
        u64 pages = ram_free_pages() - k % 5;
        assert_int_equal(dom_ram_claim(d, pages), 0);
        assert_int_equal(dom_ram_claim(e, e->tot_pages + 6), -ENOMEM);
        while (page_alloc())
            mm_audit();
        while (mfn_valid(dom_ram_alloc(e, ORDER_4K)))
            mm_audit();
        for (u64 n = ram.committed; n; n--) {
            assert_non_null(page_alloc_committed());
            mm_audit();
        }
        u64 got = 0;
        while (got < pages && mfn_valid(dom_ram_alloc(d, ORDER_4K)))
            got++;
        assert_true(pages - got <= 4);  /* arrays of the blocks that they share */
        assert_int_equal(d->outstanding, pages - got);
        mm_audit();
    }
}

/* A page out of a block of others needs an array for it: not out of what is promised. Here the array has to come from
 * another block, which needs one too. */
static void test_commitment_and_arrays(void **state)
{
    fake_machine_init(32, 1);
    struct domain *d = dom(1, ~0ULL), *e = dom(2, ~0ULL);
    mfn_t m[2] = { dom_ram_alloc(d, ORDER_2M), dom_ram_alloc(d, ORDER_2M) };

    assert_true(mfn_valid(dom_ram_alloc(e, ORDER_4K)));     /* its slot */
    while (mfn_valid(dom_ram_alloc(d, ORDER_2M)))
        ;
    while (mfn_valid(dom_ram_alloc(d, ORDER_4K)))
        ;
    while (page_alloc())
        ;
    while (ram.heap_free && ram.committed)
        assert_non_null(page_alloc_committed());
    assert_int_equal(ram.heap_free, 0);
    for (unsigned i = 0; i < 8; i++)
        dom_ram_free(d, MFN(m[0].n + i), 0);
    dom_ram_free(d, m[1], 0);
    assert_true(ram_free_pages() > 2 && ram_commit(ram_free_pages() - 2));
    assert_false(mfn_valid(dom_ram_alloc(e, ORDER_4K)));
    assert_true(ram.claimed + ram_backing() <= ram.free);
    assert_true(mfn_valid(dom_ram_alloc(d, ORDER_4K)) || ram_free_pages() == 0);
    mm_audit();
}

/* No claim outlives its domain. */
static void test_claim_of_dying(void **state)
{
    fake_machine_init(32, 1);
    struct domain *d = dom(1, ~0ULL);

    assert_int_equal(dom_ram_claim(d, 100), 0);
    d->state = DOM_DYING;
    assert_int_equal(p2m_destroy(d), 0);
    assert_int_equal(ram.claimed, 0);
    assert_int_equal(dom_ram_claim(d, 100), -EINVAL);
    assert_int_equal(ram.claimed, 0);
}

/* Random operations against a model. */
static void test_random(void **state)
{
    enum { N = 600 };
    static struct { mfn_t m; unsigned order, refs, shorts; bool owned; } h[N];

    fake_machine_init(32, 1);
    struct domain *d[3] = { dom(1, ~0ULL), dom(2, ~0ULL), dom(3, ~0ULL) };
    srand(7);
    memset(h, 0, sizeof(h));
    for (unsigned step = 0; step < 20000; step++) {
        unsigned i = (unsigned)rand() % N;
        struct domain *o = d[i % 3];
        if (rand() % 50 == 0)
            fake_fail_at(1 + (unsigned)rand() % 4);
        switch (rand() % 5) {
        case 0:
            if (!h[i].owned && !h[i].refs && !h[i].shorts) {
                h[i].order = rand() % 40 ? 0 : ORDER_2M;
                h[i].m = dom_ram_alloc(o, h[i].order);
                h[i].owned = mfn_valid(h[i].m);
            }
            break;
        case 1:
            if (h[i].owned && rand() % 2) {
                dom_ram_free(o, h[i].m, h[i].order);
                h[i].owned = false;
            }
            break;
        case 2:
            if (h[i].owned)
                h[i].refs += !page_get(o, h[i].m);
            break;
        case 3:
            if (h[i].owned)
                h[i].shorts += !page_get_short(h[i].m);
            break;
        case 4:
            if (h[i].refs && (!h[i].shorts || rand() % 2)) {
                page_put(h[i].m);
                h[i].refs--;
            } else if (h[i].shorts) {
                page_put_short(h[i].m);
                h[i].shorts--;
            }
            break;
        }
        fake_fail_at(0);
        if (step % 500 == 0) {
            u64 refs = 0;
            for (unsigned k = 0; k < N; k++)
                refs += h[k].refs + h[k].shorts;
            assert_int_equal(mm_audit(), refs);
        }
    }
    for (unsigned i = 0; i < N; i++) {
        while (h[i].refs--)
            page_put(h[i].m);
        while (h[i].shorts--)
            page_put_short(h[i].m);
        if (h[i].owned)
            dom_ram_free(d[i % 3], h[i].m, h[i].order);
    }
    assert_int_equal(mm_audit(), 0);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(d[i]->tot_pages + d[i]->zombie_pages, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_boot), cmocka_unit_test(test_cost_is_per_block), cmocka_unit_test(test_extents),
        cmocka_unit_test(test_1g), cmocka_unit_test(test_pages_of_block), cmocka_unit_test(test_refs),
        cmocka_unit_test(test_short_refs), cmocka_unit_test(test_unpark_self_hosted),
        cmocka_unit_test(test_arrays_are_dropped), cmocka_unit_test(test_take),
        cmocka_unit_test(test_keep), cmocka_unit_test(test_fragmented), cmocka_unit_test(test_claims),
        cmocka_unit_test(test_claim_is_kept), cmocka_unit_test(test_commitment_and_arrays),
        cmocka_unit_test(test_claim_of_dying),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
