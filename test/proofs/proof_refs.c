/* SPDX-License-Identifier: MIT */
/*
 * Exhaustive: every sequence of up to DEPTH references taken, references dropped and pages given up, on two pages of one
 * block, against a model. Pages come as single pages and as parts of a 2 MiB extent. And the count cannot wrap.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include "../unit/machine_stubs.h"
#include "fake.h"
#include "mm/block.h"

enum { DEPTH = 6, NR_OPS = 7 };     /* get, put and give up for each of two pages; get by a stranger */
static struct domain *d, *stranger;
static mfn_t page[2];
static struct { unsigned refs; bool gone; } m[2];

static void step(unsigned op, u64 other_pages)
{
    unsigned i = op & 1, owned = !m[0].gone + !m[1].gone, zombies = 0;

    if (op == 6) {
        assert_int_equal(page_get(stranger, page[0]), -EINVAL);
    } else if (op / 2 == 0) {
        assert_int_equal(page_get(d, page[i]), m[i].gone ? -EINVAL : 0);
        m[i].refs += !m[i].gone;
    } else if (op / 2 == 1 && m[i].refs) {
        page_put(page[i]);
        m[i].refs--;
    } else if (op / 2 == 2 && !m[i].gone) {
        dom_ram_free(d, page[i], ORDER_4K);
        m[i].gone = true;
        owned--;
    }
    for (unsigned k = 0; k < 2; k++) {
        zombies += m[k].gone && m[k].refs;
        assert_ptr_equal(page_owner(page[k]), m[k].gone ? NULL : d);
    }
    assert_int_equal(d->tot_pages, other_pages + owned);
    assert_int_equal(dom_ram_zombies(d), zombies);
}

static void sequences(unsigned order)
{
    u64 extent = 1ULL << order, before = ram.free + ram.heap_free;
    unsigned total = 1;

    for (unsigned i = 0; i < DEPTH; i++)
        total *= NR_OPS;
    for (unsigned n = 0; n < total; n++) {
        for (unsigned i = 0; i < 2; i++) {
            page[i] = order && i ? MFN(page[0].n + 300) : dom_ram_alloc(d, order);
            assert_true(mfn_valid(page[i]));
            m[i].refs = 0;
            m[i].gone = false;
        }
        u64 others = order ? extent - 2 : 0;
        for (unsigned i = 0, k = n; i < DEPTH; i++, k /= NR_OPS)
            step(k % NR_OPS, others);
        for (unsigned i = 0; i < 2; i++) {
            while (m[i].refs) step(2 + i, others);
            if (!m[i].gone) step(4 + i, others);
        }
        for (u64 k = 1; order && k < extent; k++)
            if (k != 300)
                dom_ram_free(d, MFN(page[0].n + k), ORDER_4K);
        assert_int_equal(d->tot_pages, 0);
        assert_int_equal(ram.free + ram.heap_free, before);
        if (order)
            n += 4999;                  /* freeing an extent page by page is slow: a sample */
    }
}

static void single_pages(void **state) { sequences(ORDER_4K); }
static void parts_of_an_extent(void **state) { sequences(ORDER_2M); }

static void no_wrap(void **state)
{
    page[0] = dom_ram_alloc(d, ORDER_4K);
    assert_int_equal(page_get(d, page[0]), 0);
    struct block *b = block_of(page[0]);
    assert_non_null(b->pages);
    struct page *p = &b->pages[page[0].n % BLOCK_PAGES];
    p->refs = PAGE_REFS_MAX;
    assert_int_equal(page_get(d, page[0]), -EBUSY);
    assert_int_equal(p->refs, PAGE_REFS_MAX);
    p->refs = 1;
    page_put(page[0]);
    dom_ram_free(d, page[0], ORDER_4K);
}

static int setup(void **state)
{
    fake_machine_init(64, 1);
    d = fake_domain(1, 0);
    stranger = fake_domain(2, 0);
    d->max_pages = 1024;
    /* The arrays of a split block come from the heap: let it have its block before anything is counted. */
    mfn_t p = dom_ram_alloc(d, ORDER_4K);
    int rc = page_get(d, p);
    if (!rc)
        page_put(p);
    dom_ram_free(d, p, ORDER_4K);
    return rc;
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(single_pages), cmocka_unit_test(parts_of_an_extent),
                                        cmocka_unit_test(no_wrap) };

    return cmocka_run_group_tests(tests, setup, NULL);
}
