/* SPDX-License-Identifier: MIT */
/* Locks: exclusion in all interleavings, order checks. */
#include "mm_stubs.h"
#include "interleave.h"

static struct spinlock a = SPINLOCK(RANK_P2M), b = SPINLOCK(RANK_HEAP), c = SPINLOCK(RANK_P2M);

/* ---- exclusion ---- */
static struct { struct spinlock l; u32 inside, value, max_inside; bool locked; } x;

static void x_setup(void *arg)
{
    memset(&x, 0, sizeof(x));
    spin_init(&x.l, RANK_P2M);
}

static void x_actor(void *arg)
{
    for (unsigned i = 0; i < 2; i++) {
        if (*(bool *)arg)
            spin_lock(&x.l);
        u32 in = atomic_add(&x.inside, 1) + 1;
        if (in > x.max_inside)
            x.max_inside = in;
        u32 v = read_once(&x.value);
        write_once(&x.value, v + 1);
        atomic_sub(&x.inside, 1);
        if (*(bool *)arg)
            spin_unlock(&x.l);
    }
}

static bool lost, together;
static void x_check(void *arg)
{
    together |= x.max_inside > 1;
    lost |= x.value != 4;
}

static void explore(bool locked, unsigned *runs)
{
    struct interleave il = { .name = locked ? "with-lock" : "without-lock", .nr = 2, .actor = { x_actor, x_actor },
                             .setup = x_setup, .check = x_check,
                             .arg = &locked, .max_preemptions = 2 };
    lost = together = false;
    *runs = interleave_explore(&il);
}

static void test_exclusion(void **state)
{
    unsigned runs;

    fake_machine_init(16, 2);
    explore(false, &runs);          /* the interleaver finds the race ... */
    assert_true(lost && together);
    assert_true(runs > 50);
    explore(true, &runs);           /* ... and the lock removes it */
    assert_false(lost || together);
    assert_true(runs > 50);
    assert_int_equal(x.l.word >> 16, x.l.word & 0xffff);
}

/* ---- order ---- */
static void test_order(void **state)
{
    fake_machine_init(16, 1);
    spin_lock(&a);
    spin_lock(&b);
    assert_int_equal(this_cpu()->nr_locks, 2);
    spin_unlock(&a);                /* any order of release */
    spin_unlock(&b);
    assert_no_locks();

    spin_lock(&b);
    assert_true(fake_expect_panic(spin_lock(&a)));
    assert_non_null(strstr(fake_panic_text, "p2m"));
    spin_unlock(&b);
    spin_lock(&a);
    assert_true(fake_expect_panic(spin_lock(&a)));      /* itself */
    assert_true(fake_expect_panic(spin_lock(&c)));      /* same rank */
    spin_lock_nested(&c);
    assert_true(fake_expect_panic(assert_no_locks()));
    spin_unlock(&c);
    spin_unlock(&a);
    assert_true(fake_expect_panic(spin_unlock(&a)));
}

/* A panic names the locks that its CPU holds. */
static void test_dump(void **state)
{
    char want[200];

    fake_machine_init(16, 1);
    spin_lock(&a);
    spin_lock(&b);
    fake_log_clear();
    locks_dump();
    snprintf(want, sizeof(want), "  holds lock p2m (%p)\n  holds lock heap (%p)\n", (void *)&a, (void *)&b);
    assert_string_equal(fake_log, want);
    spin_unlock(&b);
    spin_unlock(&a);
    fake_log_clear();
    locks_dump();
    assert_string_equal(fake_log, "");
}

static void test_trylock(void **state)
{
    fake_machine_init(16, 2);
    assert_true(spin_trylock(&a));
    struct cpu *self = this_cpu_ptr;
    this_cpu_ptr = cpus[1];
    assert_false(spin_trylock(&a));
    this_cpu_ptr = self;
    spin_unlock(&a);
    spin_lock(&b);
    assert_true(spin_trylock(&a));  /* out of order is fine when nobody waits */
    spin_unlock(&a);
    spin_unlock(&b);
}

static void test_wrap(void **state)
{
    fake_machine_init(16, 1);
    spin_init(&a, RANK_P2M);
    for (unsigned i = 0; i < 70000; i++) {
        spin_lock(&a);
        spin_unlock(&a);
    }
    assert_int_equal(a.word >> 16, a.word & 0xffff);
    assert_int_equal(a.rank, RANK_P2M);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exclusion), cmocka_unit_test(test_order), cmocka_unit_test(test_dump),
        cmocka_unit_test(test_trylock),
        cmocka_unit_test(test_wrap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
