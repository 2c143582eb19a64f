/* SPDX-License-Identifier: MIT */
/* Memory and string functions of the bare machine. Long copies use 8-byte string instructions: one iteration
 * moves 8 bytes on every CPU, and fast-string hardware does better still. */
#include "lib/lib.h"

/* The compiler must not turn these loops into calls of the functions they implement. */
#pragma GCC optimize ("no-tree-loop-distribute-patterns")

enum { SHORT = 32 };                /* below this, starting a string instruction costs more than the loop */

void *memcpy(void *d, const void *s, size_t n)
{
    u8 *dp = d;
    const u8 *sp = s;
    size_t q = n / 8;

    if (n > SHORT) {
        n &= 7;
        __asm__ volatile("rep movsq" : "+D"(dp), "+S"(sp), "+c"(q) :: "memory");
    }
    for (; n >= 8; n -= 8, dp += 8, sp += 8) {
        u64 v;
        __builtin_memcpy(&v, sp, 8);
        __builtin_memcpy(dp, &v, 8);
    }
    while (n--)
        *dp++ = *sp++;
    return d;
}

void *memmove(void *d, const void *s, size_t n)
{
    u8 *dp = d;
    const u8 *sp = s;

    if (dp - sp >= 0 && (size_t)(dp - sp) < n) {
        while (n--)
            dp[n] = sp[n];
        return d;
    }
    /* Moving down or not overlapping: ascending order is right, but only if no load passes an earlier store. */
    size_t q = n / 8;
    n &= 7;
    if ((size_t)(sp - dp) < 8) {
        n += q * 8;
        q = 0;
    }
    __asm__ volatile("rep movsq" : "+D"(dp), "+S"(sp), "+c"(q) :: "memory");
    __asm__ volatile("rep movsb" : "+D"(dp), "+S"(sp), "+c"(n) :: "memory");
    return d;
}

void *memset(void *d, int c, size_t n)
{
    u8 *dp = d;
    u64 v = (u8)c * 0x0101010101010101ULL;
    size_t q = n / 8;

    if (n > SHORT) {
        n &= 7;
        __asm__ volatile("rep stosq" : "+D"(dp), "+c"(q) : "a"(v) : "memory");
    }
    for (; n >= 8; n -= 8, dp += 8)
        __builtin_memcpy(dp, &v, 8);
    while (n--)
        *dp++ = (u8)c;
    return d;
}

int memcmp(const void *a, const void *b, size_t n)
{
    const u8 *x = a, *y = b;

    for (; n; n--, x++, y++)
        if (*x != *y)
            return *x < *y ? -1 : 1;
    return 0;
}

size_t strlen(const char *s)
{
    const char *p = s;

    while (*p)
        p++;
    return (size_t)(p - s);
}

size_t strnlen(const char *s, size_t max)
{
    size_t n = 0;

    while (n < max && s[n])
        n++;
    return n;
}

int strcmp(const char *a, const char *b)
{
    for (; *a && *a == *b; a++, b++)
        ;
    return (u8)*a - (u8)*b;
}

int strncmp(const char *a, const char *b, size_t n)
{
    for (; n && *a && *a == *b; a++, b++, n--)
        ;
    return n ? (u8)*a - (u8)*b : 0;
}

char *strchr(const char *s, int c)
{
    for (;; s++) {
        if (*s == (char)c)
            return (char *)s;
        if (!*s)
            return NULL;
    }
}

char *strstr(const char *hay, const char *needle)
{
    size_t n = strlen(needle);

    for (; *hay; hay++)
        if (!strncmp(hay, needle, n))
            return (char *)hay;
    return n ? NULL : (char *)hay;
}
