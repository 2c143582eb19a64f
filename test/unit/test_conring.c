/* SPDX-License-Identifier: MIT */
/* Console ring: incremental and repeated reading, overrun, clearing, bogus positions, growth. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "fake.h"
#include "machine_stubs.h"

/* The fake machine has stand-ins of these names. */
#define conring_read ring_read
#define conring_clear ring_clear
size_t ring_read(char *buf, size_t n, u32 *index, bool incremental);
void ring_clear(void);
static int lock_depth;
#include "../../src/debug/conring.c"
void console_lock(void) { assert_int_equal(lock_depth++, 0); }
void console_unlock(void) { assert_int_equal(--lock_depth, 0); }

static void put(const char *s) { conring_put(s, strlen(s)); }

static void reset(void)
{
    if (ring != early_ring) kfree(ring);
    ring = early_ring;
    conring_bytes = EARLY_SIZE;
    prod = cons = 0;
}

static void expect(const char *want, u32 *index, bool incremental, size_t max)
{
    char buf[256];
    size_t n = ring_read(buf, max, index, incremental);
    assert_int_equal(n, strlen(want));
    assert_memory_equal(buf, want, n);
}

static void reads(void **state)
{
    u32 pos = 0;
    reset();
    expect("", &pos, false, 100);
    put("hello ");
    put("world\n");
    expect("hello ", &pos, true, 6);
    assert_int_equal(pos, 6);
    expect("world\n", &pos, true, 100);
    expect("", &pos, true, 100);
    expect("hello world\n", &pos, false, 100);      /* from the start again */
    ring_clear();
    expect("", &pos, false, 100);
    put("x");
    expect("x", &pos, false, 100);
    pos = 0;
    expect("x", &pos, true, 100);                   /* older than the cleared start */
}

static void bogus_index(void **state)
{
    reset();
    put("abc");
    u32 pos = 1000;
    expect("", &pos, true, 100);
    assert_int_equal(pos, 3);
    pos = ~0u;                                      /* behind the start: all there is */
    expect("abc", &pos, true, 100);
}

static void overrun(void **state)
{
    char line[65];
    u32 pos = 0;
    reset();
    prod = cons = 0xffffff00u;                      /* positions wrap */
    for (unsigned i = 0; i < EARLY_SIZE / 64 + 10; i++) {
        snprintf(line, sizeof(line), "%063u\n", i);
        put(line);
    }
    static char all[EARLY_SIZE * 2];
    assert_int_equal(ring_read(all, sizeof(all), &pos, false), EARLY_SIZE);
    snprintf(line, sizeof(line), "%063u\n", 10);
    assert_memory_equal(all, line, 64);
    snprintf(line, sizeof(line), "%063u\n", (unsigned)EARLY_SIZE / 64 + 9);
    assert_memory_equal(all + EARLY_SIZE - 64, line, 64);
    pos = 0xffffff00u;                              /* overtaken reader goes on with the oldest text */
    assert_int_equal(ring_read(all, 64, &pos, true), 64);
    snprintf(line, sizeof(line), "%063u\n", 10);
    assert_memory_equal(all, line, 64);
}

static char replayed[64];
static void collect(const char *s, size_t n) { memcpy(replayed + strlen(replayed), s, n); }

static void grows(void **state)
{
    fake_machine_init(16, 1);
    reset();
    put("kept\n");
    conring_grow(1);                                /* never shrinks */
    assert_int_equal(conring_bytes, EARLY_SIZE);
    conring_grow(KiB(100));
    assert_int_equal(conring_bytes, KiB(128));
    put("more\n");
    u32 pos = 0;
    expect("kept\nmore\n", &pos, false, 100);
    conring_replay(collect);
    assert_string_equal(replayed, "kept\nmore\n");
    conring_grow(GiB(8));
    assert_true(conring_bytes <= MiB(2));
    reset();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads), cmocka_unit_test(bogus_index), cmocka_unit_test(overrun), cmocka_unit_test(grows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
