/* SPDX-License-Identifier: MIT */
/* Formatted output against the C library as oracle, and number parsing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

/* Odd formats on purpose. */
#pragma GCC diagnostic ignored "-Wformat"
#pragma GCC diagnostic ignored "-Wformat-overflow"
#define vsnprintf he_vsnprintf
#define snprintf he_snprintf
#include "lib/printf.c"
#undef vsnprintf
#undef snprintf

int snprintf(char *buf, size_t size, const char *fmt, ...);

#define SAME(...) do { \
    char a_[200], b_[200]; \
    int n_ = he_snprintf(a_, sizeof(a_), __VA_ARGS__), m_ = snprintf(b_, sizeof(b_), __VA_ARGS__); \
    assert_string_equal(a_, b_); \
    assert_int_equal(n_, m_); \
} while (0)

static void test_numbers(void **state)
{
    SAME("%d %d %d", 0, -1, 2147483647);
    SAME("%d|%i", -2147483647 - 1, 5);
    SAME("%u %x %X %o", 4294967295u, 0xdeadbeefu, 0xdeadbeefu, 8u);
    SAME("%lld %llu %llx", -9223372036854775807LL - 1, 18446744073709551615ULL, 0x123456789abcdefULL);
    SAME("%ld %lu %zu %td %jd", -5L, 5UL, (size_t)7, (ptrdiff_t)-7, (intmax_t)9);
    SAME("%hhu %hu %hhd %hd", 0x1ff, 0x1ffff, 0xff, 0xffff);
    SAME("[%8d][%-8d][%08d][%+d][% d]", 42, 42, -42, 42, 42);
    SAME("[%#x][%#10x][%#010x][%#x]", 0x12, 0x12, 0x12, 0);
    SAME("[%.5d][%8.5d][%-8.3x][%.0d]", 42, -42, 5, 0);
    SAME("[%*d][%-*d][%.*d]", 6, 1, 6, 2, 4, 3);
    SAME("[%*d]", -6, 1);
    SAME("%016llx %4u%%", 0xabcULL, 7u);
}

static void test_strings(void **state)
{
    SAME("%s|%10s|%-10s|%.2s|%c%c", "abc", "abc", "abc", "abc", 'x', 'y');
    SAME("%.*s|%5.1s|%5c", 2, "abcdef", "xyz", 'q');
    SAME("%s", "");
    char b[32];
    const char *volatile none = NULL;
    he_snprintf(b, sizeof(b), "%s", none);
    assert_string_equal(b, "(null)");
    he_snprintf(b, sizeof(b), "%p", (void *)0x1234);
    assert_string_equal(b, "0000000000001234");
    he_snprintf(b, sizeof(b), "%y%");
    assert_string_equal(b, "%y%");
    /* Reads no further than the precision: the array has no terminator. */
    char raw[3] = { 'a', 'b', 'c' };
    he_snprintf(b, sizeof(b), "%.3s", raw);
    assert_string_equal(b, "abc");
}

static void test_bounds(void **state)
{
    char b[8] = "xxxxxxx";

    assert_int_equal(he_snprintf(b, 4, "%s", "abcdef"), 6);
    assert_string_equal(b, "abc");
    assert_int_equal(b[4], 'x');
    assert_int_equal(he_snprintf(b, 1, "%d", 12345), 5);
    assert_int_equal(b[0], 0);
    b[0] = 'x';
    assert_int_equal(he_snprintf(b, 0, "%d", 12345), 5);
    assert_int_equal(b[0], 'x');
}

static void test_parse(void **state)
{
    const char *e;

    assert_int_equal(parse_u64("123x", &e), 123);
    assert_int_equal(*e, 'x');
    assert_int_equal(parse_u64("0x1F,", &e), 0x1f);
    assert_int_equal(*e, ',');
    assert_int_equal(parse_u64("0x", &e), 0);       /* the x is not part of a number */
    assert_int_equal(*e, 'x');
    assert_int_equal(parse_u64("", &e), 0);
    assert_true(parse_u64("18446744073709551615", &e) == ~0ULL);
    assert_true(parse_u64("99999999999999999999999", &e) == ~0ULL && !*e);
    assert_true(parse_u64("18446744073709551616", NULL) == ~0ULL);
    assert_true(parse_size("512M", &e) == 512ULL << 20 && !*e);
    assert_true(parse_size("1g,max", &e) == 1ULL << 30 && *e == ',');
    assert_true(parse_size("7", NULL) == 7 << 10);
    assert_true(parse_size("7B", NULL) == 7);
    assert_true(parse_size("16t", NULL) == 16ULL << 40);
    assert_true(parse_size("99999999T", NULL) == ~0ULL);
    assert_true(parse_size("M", &e) == 0 && *e == 'M');
    char d[4];
    assert_int_equal(str_copy(d, "abcdef", sizeof(d)), 6);
    assert_string_equal(d, "abc");
    assert_int_equal(str_copy(NULL, "abc", 0), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers), cmocka_unit_test(test_strings), cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_parse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
