/* SPDX-License-Identifier: MIT */
/* Hypervisor heap: alignment, zeroing, exhaustion, commitments, failure at every allocation. */
#include <stdlib.h>
#include "mm_stubs.h"

static bool all_zero(const void *p, size_t n)
{
    const u8 *b = p;
    for (size_t i = 0; i < n; i++)
        if (b[i])
            return false;
    return true;
}

static void test_pages(void **state)
{
    void *p[10];

    fake_machine_init(64, 1);
    u64 used = heap_pages_used(), free = ram_free_pages();
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned o = 0; o <= 9; o++) {
            p[o] = pages_alloc(o);
            assert_non_null(p[o]);
            assert_int_equal(virt_to_phys(p[o]) % (PAGE_SIZE << o), 0);
            assert_true(all_zero(p[o], PAGE_SIZE << o));
            memset(p[o], 0xa5, PAGE_SIZE << o);
        }
        assert_int_equal(heap_pages_used(), used + 1023);
        mm_audit();
        for (unsigned o = 0; o <= 9; o++)
            pages_free(p[o], o);
        assert_int_equal(heap_pages_used(), used);
        assert_int_equal(ram_free_pages(), free);
        mm_audit();
    }
    assert_null(pages_alloc(10));
    p[0] = page_alloc();
    page_free(p[0]);
    assert_true(fake_expect_panic(page_free(p[0])));
}

static void test_objects(void **state)
{
    static void *p[3000];
    static size_t size[3000];

    fake_machine_init(64, 1);
    u64 used = heap_pages_used();
    srand(1);
    for (unsigned i = 0; i < 3000; i++) {
        size[i] = (size_t)(i < 40 ? rand() % 40000 : rand() % 3000);
        p[i] = kzalloc(size[i]);
        assert_non_null(p[i]);
        assert_int_equal((u64)p[i] % 16, 0);
        if (size[i] >= 4096)
            assert_int_equal((u64)p[i] % 4096, 0);
        assert_true(all_zero(p[i], size[i]));
        memset(p[i], (int)i, size[i]);
    }
    for (unsigned i = 0; i < 3000; i++)
        if (size[i])
            assert_int_equal(((u8 *)p[i])[size[i] - 1], (u8)i);
    mm_audit();
    for (unsigned i = 0; i < 3000; i++)
        kfree(p[i]);
    kfree(NULL);
    /* At most one spare page per size class stays. */
    assert_true(heap_pages_used() <= used + 14);
    mm_audit();
    assert_null(kzalloc(SZ_2M + 1));
    p[0] = kzalloc(SZ_2M);
    assert_non_null(p[0]);
    kfree(p[0]);
    p[0] = kzalloc(3 * 4096 + 1);   /* four pages, not eight */
    u64 before = heap_pages_used();
    kfree(p[0]);
    assert_int_equal(before - heap_pages_used(), 4);
    for (unsigned i = 0; i < 200; i++)          /* more in one page than a word of its bitmap has bits */
        assert_non_null(p[i] = kzalloc(16));
    for (unsigned i = 1; i < 200; i++)
        assert_ptr_not_equal(p[i], p[i - 1]);
    mm_audit();
    p[0] = kzalloc(100);
    kfree(p[0]);
    assert_true(fake_expect_panic(kfree(p[0])));
}

static void test_exhaustion(void **state)
{
    unsigned n = 0;
    void **list = NULL, **p;

    fake_machine_init(16, 1);
    while ((p = page_alloc()) != NULL) {
        *p = list;
        list = p;
        n++;
    }
    assert_true(n > 3500);
    assert_null(kzalloc(5000));
    assert_true(ram_free_pages() <= 1);     /* the last one could be needed for an array */
    mm_audit();
    while (list) {
        p = *list;
        page_free(list);
        list = p;
    }
    mm_audit();
    assert_non_null(pages_alloc(9));
}

static void test_commit(void **state)
{
    fake_machine_init(16, 1);
    u64 free = ram_free_pages();
    assert_false(ram_commit(free + 1));
    assert_true(ram_commit(free - 10));
    assert_int_equal(ram_free_pages(), 10);
    assert_false(ram_commit(11));
    assert_false(ram_commit(~0ULL));        /* no overflow */
    for (unsigned i = 0; i < 10; i++)
        assert_non_null(page_alloc());
    assert_null(page_alloc());
    void *p = page_alloc_committed();
    assert_non_null(p);
    assert_null(page_alloc());
    page_free_committed(p);
    assert_null(page_alloc());
    ram_uncommit(1);
    assert_non_null(page_alloc());
    mm_audit();
}

static void test_failures(void **state)
{
    fake_machine_init(16, 1);
    for (unsigned size = 10; size < 20000; size += 3000) {
        u64 used = heap_pages_used();
        for (unsigned k = 1; ; k++) {
            fake_fail_at(k);
            void *p = kzalloc(size);
            bool failed = fake_failed();
            fake_fail_at(0);
            assert_int_equal(failed, !p);
            kfree(p);
            assert_true(heap_pages_used() <= used + 2);
            mm_audit();
            if (!failed)
                break;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pages), cmocka_unit_test(test_objects), cmocka_unit_test(test_exhaustion),
        cmocka_unit_test(test_commit), cmocka_unit_test(test_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
