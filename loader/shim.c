/* SPDX-License-Identifier: MIT */
/* What the decompression libraries need of a C library: memory functions, an arena, and names never called. */
#include "loader.h"
#include <stddef.h>

void *malloc_arena(u64 start, u64 size);
void *malloc(size_t n);
void *calloc(size_t n, size_t m);
void free(void *p);
void *memcpy(void *d, const void *s, size_t n);
void *memmove(void *d, const void *s, size_t n);
void *memset(void *d, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);

static u64 arena_next, arena_end;
static u64 last;                    /* the youngest piece can be given back */

void *malloc_arena(u64 start, u64 size)
{
    arena_next = ROUND_UP(start, 64);
    arena_end = start + size;
    return (void *)arena_next;
}

void *malloc(size_t n)
{
    if (n > arena_end - arena_next || arena_end - arena_next - n < 64)
        return NULL;
    last = arena_next;
    arena_next = ROUND_UP(arena_next + n, 64);
    return (void *)last;
}

void *calloc(size_t n, size_t m)
{
    u64 size;
    void *p = __builtin_mul_overflow(n, m, &size) ? NULL : malloc(size);

    return p ? memset(p, 0, size) : NULL;
}

void free(void *p)
{
    if (p && (u64)p == last) {
        arena_next = last;
        last = 0;
    }
}

void *memcpy(void *d, const void *s, size_t n)
{
    void *r = d;

    __asm__ volatile("rep movsq; mov %3, %%rcx; rep movsb"
                     : "+D"(d), "+S"(s), "=&c"(n) : "r"(n & 7), "2"(n / 8) : "memory");
    return r;
}

void *memmove(void *d, const void *s, size_t n)
{
    const u8 *from = s;
    u8 *to = d;

    if ((u64)d - (u64)s >= n)
        return memcpy(d, s, n);
    while (n--)
        to[n] = from[n];
    return d;
}

void *memset(void *d, int c, size_t n)
{
    void *r = d;

    __asm__ volatile("rep stosq; mov %3, %%rcx; rep stosb"
                     : "+D"(d), "=&c"(n) : "a"(0x0101010101010101UL * (u8)c), "r"(n & 7), "1"(n / 8) : "memory");
    return r;
}

int memcmp(const void *a, const void *b, size_t n)
{
    const u8 *x = a, *y = b;

    for (; n; n--, x++, y++)
        if (*x != *y)
            return *x - *y;
    return 0;
}

/* Reached by nothing that we call: bzip2's compressor and file functions, zstd's formats of before 2016. */
void absent(void);
void absent(void) { loader_exit(LOADER_INTERNAL, 2, 0, 0); }
#define ABSENT(name) void name(void); void name(void) __attribute__((alias("absent")))
#pragma GCC diagnostic ignored "-Wbuiltin-declaration-mismatch"
ABSENT(__stack_chk_fail); ABSENT(__fprintf_chk); ABSENT(__ctype_b_loc); ABSENT(exit); ABSENT(fclose); ABSENT(fdopen);
ABSENT(ferror); ABSENT(fflush); ABSENT(fgetc); ABSENT(fopen64); ABSENT(fputc); ABSENT(fread); ABSENT(fwrite);
ABSENT(ungetc);
ABSENT(BZ2_compressBlock);
#define ABSENT_ZSTD(v) ABSENT(ZBUFFv0##v##_createDCtx); ABSENT(ZBUFFv0##v##_decompressContinue); \
    ABSENT(ZBUFFv0##v##_decompressInitDictionary); ABSENT(ZBUFFv0##v##_freeDCtx); ABSENT(ZSTDv0##v##_createDCtx); \
    ABSENT(ZSTDv0##v##_decompress_usingDict); ABSENT(ZSTDv0##v##_findFrameSizeInfoLegacy); \
    ABSENT(ZSTDv0##v##_freeDCtx); ABSENT(ZSTDv0##v##_getFrameParams)
ABSENT_ZSTD(5); ABSENT_ZSTD(6); ABSENT_ZSTD(7);
void *stdin, *stdout, *stderr;

/* zstd's tracing hooks: weak in the library, but a weak zero cannot be reached from LOADER_VA. */
u64 ZSTD_trace_decompress_begin(const void *ctx);
void ZSTD_trace_decompress_end(u64 ctx, const void *trace);
u64 ZSTD_trace_decompress_begin(const void *ctx) { return 0; }
void ZSTD_trace_decompress_end(u64 ctx, const void *trace) { }
