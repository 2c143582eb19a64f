/* SPDX-License-Identifier: MIT */
/* Memory and string functions of the bare machine against the C library's: every short length, every alignment, every
 * overlap, and nothing written beside. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define memcpy he_memcpy
#define memmove he_memmove
#define memset he_memset
#define memcmp he_memcmp
#define strlen he_strlen
#define strnlen he_strnlen
#define strcmp he_strcmp
#define strncmp he_strncmp
#define strchr he_strchr
#define strstr he_strstr
#include "lib/string.c"
#undef memcpy
#undef memmove
#undef memset
#undef memcmp
#undef strlen
#undef strnlen
#undef strcmp
#undef strncmp
#undef strchr
#undef strstr

enum { SIZE = 192, LONGEST = 100 };
static u8 ours[SIZE], theirs[SIZE];

static void fill(void)
{
    for (unsigned i = 0; i < SIZE; i++)
        ours[i] = theirs[i] = (u8)(i * 7 + 1);
}
static void same(void)
{
    if (memcmp(ours, theirs, SIZE))
        fail_msg("different");
}

static void copies(void **st)
{
    u8 from[SIZE];

    for (unsigned i = 0; i < SIZE; i++)
        from[i] = (u8)(i * 11 + 5);
    for (unsigned n = 0; n <= LONGEST; n++)
        for (unsigned to = 0; to < 9; to++)
            for (unsigned at = 0; at < 9; at++) {
                fill();
                assert_ptr_equal(he_memcpy(ours + to, from + at, n), ours + to);
                memcpy(theirs + to, from + at, n);
                same();
            }
}

static void overlaps(void **st)
{
    for (unsigned n = 0; n <= LONGEST / 2; n++)
        for (unsigned to = 0; to < SIZE / 2; to++) {
            fill();
            assert_ptr_equal(he_memmove(ours + to, ours + SIZE / 4, n), ours + to);
            memmove(theirs + to, theirs + SIZE / 4, n);
            same();
        }
}

static void fills(void **st)
{
    static const int values[] = { 0, 0x5a, 0xff, -1, 0x180, -3 };

    for (unsigned n = 0; n <= LONGEST; n++)
        for (unsigned to = 0; to < 9; to++)
            for (unsigned i = 0; i < ARRAY_SIZE(values); i++) {
                fill();
                assert_ptr_equal(he_memset(ours + to, values[i], n), ours + to);
                memset(theirs + to, values[i], n);
                same();
            }
}

static int sign(int n) { return (n > 0) - (n < 0); }

static void comparisons(void **st)
{
    static const char *const words[] = { "", "a", "b", "ab", "abc", "abd", "a\x80", "a\x7f", "ababac", "abac", "c", "\xff" };
    const unsigned nr = ARRAY_SIZE(words);

    for (unsigned i = 0; i < nr; i++) {
        const char *a = words[i];
        assert_int_equal(he_strlen(a), strlen(a));
        for (unsigned n = 0; n < 8; n++)
            assert_int_equal(he_strnlen(a, n), strnlen(a, n));
        for (int c = -129; c < 256; c++)
            assert_ptr_equal(he_strchr(a, c), strchr(a, c));
        for (unsigned k = 0; k < nr; k++) {
            const char *b = words[k];
            assert_int_equal(sign(he_strcmp(a, b)), sign(strcmp(a, b)));
            assert_ptr_equal(he_strstr(a, b), strstr(a, b));
            for (unsigned n = 0; n < 8; n++)
                assert_int_equal(sign(he_strncmp(a, b, n)), sign(strncmp(a, b, n)));
            size_t both = MIN(strlen(a), strlen(b)) + 1;
            for (unsigned n = 0; n <= both; n++)
                assert_int_equal(sign(he_memcmp(a, b, n)), sign(memcmp(a, b, n)));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies), cmocka_unit_test(overlaps), cmocka_unit_test(fills), cmocka_unit_test(comparisons),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
