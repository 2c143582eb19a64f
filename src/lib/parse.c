/* SPDX-License-Identifier: MIT */
/* Numbers and strings in text that people or loaders wrote. Compiled for both machines. */
#include "lib/lib.h"

size_t str_copy(char *d, const char *s, size_t size)
{
    size_t len = strlen(s);

    if (size) {
        size_t n = MIN(len, size - 1);
        memcpy(d, s, n);
        d[n] = 0;
    }
    return len;
}

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 99;
}

/* Too large a number saturates at ~0, so that a later range check sees it. */
u64 parse_u64(const char *s, const char **end)
{
    const u64 base = s[0] == '0' && (s[1] | 0x20) == 'x' && digit(s[2]) < 16 ? 16 : 10;
    bool over = false;
    u64 v = 0;

    if (base == 16)
        s += 2;
    for (; digit(*s) < (int)base; s++)
        over |= __builtin_mul_overflow(v, base, &v) || __builtin_add_overflow(v, (u64)digit(*s), &v);
    if (end)
        *end = s;
    return over ? ~0ULL : v;
}

u64 parse_size(const char *s, const char **end)
{
    const char *p;
    u64 v = parse_u64(s, &p);
    unsigned shift = 10;

    if (p != s) {
        static const char suffix[] = "bkmgt";
        for (unsigned i = 0; i < 5; i++)
            if ((*p | 0x20) == suffix[i]) {
                shift = 10 * i;
                p++;
                break;
            }
    }
    if (end)
        *end = p;
    return shift && v >> (64 - shift) ? ~0ULL : v << shift;
}
