/* SPDX-License-Identifier: MIT */
/*
 * Exhaustive: the console ring's index arithmetic, which runs free in 32 bits. Ring of eight bytes, every sequence of
 * writes, clears and reads of several lengths and indexes, from starts all around the places where positions wrap,
 * against a model with 64-bit positions.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include "../../src/debug/conring.c"

enum { SIZE = 8, DEPTH = 4 };
void console_lock(void) {}
void console_unlock(void) {}
void *kzalloc(size_t size) { return calloc(1, size); }

static u64 m_prod, m_cons;                      /* model; byte of position p is pattern(p) */
static char pattern(u64 p) { return (char)(p * 7 + 3); }

static void write_n(unsigned n)
{
    char buf[16];

    for (unsigned i = 0; i < n; i++) buf[i] = pattern(m_prod + i);
    conring_put(buf, n);
    m_prod += n;
    if (m_prod - m_cons > SIZE) m_cons = m_prod - SIZE;
}

static void read_n(unsigned n, bool incremental, int behind)
{
    char buf[16];
    u64 want = m_prod - (u64)behind, from = incremental && (s64)(want - m_cons) > 0 ? want : m_cons;
    u32 index = (u32)want;

    if ((s64)(m_prod - from) < 0) from = m_prod;
    size_t expect = MIN((u64)n, m_prod - from), got = conring_read(buf, n, &index, incremental);
    assert_int_equal(got, expect);
    assert_int_equal(index, (u32)(from + expect));
    for (size_t i = 0; i < got; i++) assert_int_equal(buf[i], pattern(from + i));
}

static void step(unsigned op)
{
    switch (op) {
    case 0: case 1: case 2: case 3: write_n((const unsigned[]){ 1, 7, 8, 9 }[op]); break;
    case 4: conring_clear(); m_cons = m_prod; break;
    case 5: read_n(3, false, 0); break;
    default: read_n(op == 6 ? 16 : 2, true, (int)op * 3 - 20);     /* also positions that were never written */
    }
    assert_true(prod - cons <= SIZE && prod == (u32)m_prod && cons == (u32)m_cons);
}

static void all_sequences(void **state)
{
    static const u64 around[] = { 1ULL << 32, (1ULL << 32) + (1ULL << 31), 1ULL << 33 };
    enum { OPS = 10 };
    unsigned total = OPS * OPS * OPS * OPS;

    conring_bytes = SIZE;
    for (unsigned a = 0; a < ARRAY_SIZE(around); a++)
        for (u64 start = around[a] - 18; start < around[a] + 2; start++)
            for (unsigned n = 0; n < total; n++) {
                m_prod = m_cons = start;
                prod = cons = (u32)start;
                for (unsigned i = 0, k = n; i < DEPTH; i++, k /= OPS)
                    step(k % OPS);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(all_sequences) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
