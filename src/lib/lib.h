/* SPDX-License-Identifier: MIT */
/* Freestanding C library subset, logging, assertions, bit operations. Implemented in src/lib on the bare
 * machine; a hosted build takes string functions from libc and the logging from test/fake. */
#pragma once
#include <stdarg.h>
#include "lib/types.h"
#include <xen/errno.h>                /* XEN_E* numbers; use the E* aliases below */

void *memcpy(void *d, const void *s, size_t n);
void *memmove(void *d, const void *s, size_t n);
void *memset(void *d, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);
size_t strnlen(const char *s, size_t max);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
char *strchr(const char *s, int c);
char *strstr(const char *hay, const char *needle);
/* Copy at most size-1 bytes and always terminate. Returns strlen(s). */
size_t str_copy(char *d, const char *s, size_t size);
int vsnprintf(char *buf, size_t size, const char *fmt, va_list ap);
int snprintf(char *buf, size_t size, const char *fmt, ...) __printf(3, 4);
/* Parse an unsigned number (0x prefix allowed); *end gets the first unused character. */
u64 parse_u64(const char *s, const char **end);
/* The same with an optional size suffix B, K, M, G, T; a bare number is KiB (Xen's dom0_mem rule). */
u64 parse_size(const char *s, const char **end);

/* Log levels in Xen's terms: loglvl= filters the host's messages, guest_loglvl= those about guests. */
enum loglvl { LOG_ERR, LOG_WARN, LOG_INFO, LOG_DEBUG };
/* Host message. fmt needs its own newline. Goes to serial, screen and the ring that `xl dmesg` reads. */
void printk(enum loglvl lvl, const char *fmt, ...) __printf(2, 3);
/* Message caused by a guest: rate-limited, filtered by guest_loglvl. */
void gprintk(enum loglvl lvl, const char *fmt, ...) __printf(2, 3);
/* Stop the machine with build id, registers, symbolised stack, held locks (design rule 13). */
void panic(const char *fmt, ...) __noreturn __printf(1, 2);

#define BUG() panic("BUG at %s:%d\n", __FILE__, __LINE__)
/* Kept in release builds; never on a value that a guest controls (I-12). */
#define ASSERT(c) do { if (unlikely(!(c))) panic("assertion '%s' failed at %s:%d\n", #c, __FILE__, __LINE__); } while (0)

/* Non-atomic bit operations on arrays of u64 (atomic ones: sync/atomic.h). */
static inline bool bit_test(const u64 *m, unsigned n) { return m[n / 64] >> (n % 64) & 1; }
static inline void bit_set(u64 *m, unsigned n) { m[n / 64] |= 1ULL << (n % 64); }
static inline void bit_clear(u64 *m, unsigned n) { m[n / 64] &= ~(1ULL << (n % 64)); }
static inline unsigned ffs64(u64 x) { return (unsigned)__builtin_ctzll(x); }   /* x != 0 */
static inline unsigned fls64(u64 x) { return 63u - (unsigned)__builtin_clzll(x); }   /* x != 0 */

/* Index masking after a bounds check (Spectre v1): idx if idx < limit, else 0, without a branch. */
#ifdef HOSTED
void index_masked(u64 idx, u64 limit);  /* tests look for places that forgot it */
#else
static inline void index_masked(u64 idx, u64 limit) { (void)idx; (void)limit; }
#endif
static inline u64 index_nospec(u64 idx, u64 limit)
{
    u64 mask;
    index_masked(idx, limit);
    __asm__("cmp %2, %1; sbb %0, %0" : "=r"(mask) : "r"(idx), "r"(limit) : "cc");
    return idx & mask;
}

#define EPERM XEN_EPERM
#define ENOENT XEN_ENOENT
#define ESRCH XEN_ESRCH
#define EINTR XEN_EINTR
#define EIO XEN_EIO
#define ENXIO XEN_ENXIO
#define E2BIG XEN_E2BIG
#define EBADF XEN_EBADF
#define ENOEXEC XEN_ENOEXEC
#define EAGAIN XEN_EAGAIN
#define ENOMEM XEN_ENOMEM
#define EACCES XEN_EACCES
#define EFAULT XEN_EFAULT
#define EBUSY XEN_EBUSY
#define EEXIST XEN_EEXIST
#define EXDEV XEN_EXDEV
#define ENODEV XEN_ENODEV
#define EINVAL XEN_EINVAL
#define ENOSPC XEN_ENOSPC
#define EROFS XEN_EROFS
#define EDOM XEN_EDOM
#define ERANGE XEN_ERANGE
#define EDEADLK XEN_EDEADLK
#define ENOSYS XEN_ENOSYS
#define ENODATA XEN_ENODATA
#define ETIME XEN_ETIME
#define EOVERFLOW XEN_EOVERFLOW
#define EILSEQ XEN_EILSEQ
#define ERESTART 85             /* the public header has it only for the hypervisor itself (__XEN__) */
#define EOPNOTSUPP XEN_EOPNOTSUPP
#define EADDRINUSE XEN_EADDRINUSE
#define ENOBUFS XEN_ENOBUFS
#define ETIMEDOUT XEN_ETIMEDOUT
#define EPROTO XEN_EPROTO
