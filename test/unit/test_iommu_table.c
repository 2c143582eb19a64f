/* SPDX-License-Identifier: MIT */
/* Page tables of the AMD IOMMU beside a plain array: pages of 4 KiB and 2 MiB, removal, splits, lack of memory. */
#include <stdlib.h>
#include "mm_stubs.h"
#include "iommu/amd.h"

#define FRAMES 4096u
#define FIRST (0x7fffffe00ULL)          /* crosses a 1 GiB border, far from 0 */
static struct { u64 mfn; bool present, write; } model[FRAMES];

/* What a device finds for dfn: the entry, 0 if none. Written from the specification, not with table.c. */
static u64 device_walk(const struct iommu_domain *t, u64 dfn)
{
    const u64 *table = (const void *)t->root;
    for (unsigned l = 4;; l--) {
        u64 e = table[dfn >> 9 * (l - 1) & 511];
        if (!(e & 1)) return 0;
        unsigned next = (unsigned)(e >> 9 & 7);
        if (next == 0) return e + ((dfn & ((1ULL << 9 * (l - 1)) - 1)) << 12);
        assert_int_equal(next, l - 1);
        table = phys_to_virt(e & 0xffffffffff000ULL);
    }
}

static void compare(const struct iommu_domain *t)
{
    for (unsigned i = 0; i < FRAMES; i++) {
        u64 e = device_walk(t, FIRST + i);
        assert_int_equal(e != 0, model[i].present);
        if (!e) continue;
        assert_int_equal(e >> 12 & 0xffffffffffULL, model[i].mfn);
        assert_int_equal(e >> 61 & 1, 1);
        assert_int_equal(e >> 62 & 1, model[i].write);
    }
}

static void set(unsigned i, unsigned n, u64 mfn, bool write)
{
    for (unsigned k = 0; k < n; k++) {
        model[i + k].mfn = mfn + k;
        model[i + k].present = true;
        model[i + k].write = write;
    }
}

static void start(struct iommu_domain *t)
{
    fake_machine_init(64, 1);
    memset(model, 0, sizeof(model));
    memset(t, 0, sizeof(*t));
    t->root = page_alloc();
    t->table_pages = 1;
}

static void test_random(void **state)
{
    struct iommu_domain t;
    u64 used = (fake_machine_init(64, 1), heap_pages_used());

    start(&t);
    srand(3);
    for (unsigned round = 0; round < 6000; round++) {
        unsigned i = (unsigned)rand() % FRAMES, big = i & ~511u;
        u64 mfn = (u64)rand() << 9;
        bool write = rand() & 1;
        bool any = false;
        switch (rand() % 9) {
        case 0:
            if (rand() % 8) break;
            assert_int_equal(table_map(&t, FIRST + big, mfn, ORDER_2M, write), 0);
            set(big, 512, mfn, write);
            break;
        case 1: case 2: case 3:
            assert_int_equal(table_map(&t, FIRST + i, mfn, 0, write), 0);
            set(i, 1, mfn, write);
            break;
        case 4:
            assert_int_equal(table_split(&t, FIRST + i, 0), 0);
            break;
        case 5:
            if (rand() % 8) break;
            for (unsigned k = big; k < big + 512; k++) {
                any |= model[k].present;
                model[k].present = false;
            }
            assert_int_equal(table_unmap_range(&t, FIRST + big, ORDER_2M), any);
            break;
        default:
            assert_int_equal(table_unmap(&t, FIRST + i), model[i].present);
            model[i].present = false;
        }
        if (round % 64 == 0) compare(&t);
    }
    compare(&t);
    table_free(&t);
    assert_int_equal(t.table_pages, 0);
    assert_int_equal(heap_pages_used(), used);
}

/* After table_split() a removal needs no memory; a split that fails has changed nothing. */
static void test_no_memory(void **state)
{
    struct iommu_domain t;

    start(&t);
    assert_int_equal(table_map(&t, FIRST + 512, 0x200, ORDER_2M, true), 0);
    set(512, 512, 0x200, true);
    fake_fail_from(1);
    assert_int_equal(table_split(&t, FIRST + 600, 0), -ENOMEM);
    assert_int_equal(table_map(&t, FIRST + 2048, 0x800, 0, true), -ENOMEM);
    compare(&t);
    fake_fail_from(0);
    assert_int_equal(table_split(&t, FIRST + 600, 0), 0);
    compare(&t);
    fake_fail_from(1);
    for (unsigned i = 512; i < 1024; i += 3) {
        assert_true(table_unmap(&t, FIRST + i));
        assert_false(table_unmap(&t, FIRST + i));
        model[i].present = false;
    }
    assert_false(table_unmap(&t, 0));
    compare(&t);
    /* As a whole: neither the check nor the removal needs memory, and small entries in the way are no trouble. */
    assert_int_equal(table_split(&t, FIRST + 512, ORDER_2M), 0);
    assert_true(table_unmap_range(&t, FIRST + 512, ORDER_2M));
    assert_false(table_unmap_range(&t, FIRST + 512, ORDER_2M));
    memset(model, 0, sizeof(model));
    compare(&t);
    fake_fail_from(0);
    assert_int_equal(table_map(&t, FIRST + 1024, 0x400, ORDER_2M, true), 0);
    u64 pages = t.table_pages;
    fake_fail_from(1);
    assert_int_equal(table_split(&t, FIRST + 1024, ORDER_2M), 0);
    assert_true(table_unmap_range(&t, FIRST + 1024, ORDER_2M));
    assert_int_equal(t.table_pages, pages);
    compare(&t);
    fake_fail_from(0);
    table_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_random), cmocka_unit_test(test_no_memory) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
