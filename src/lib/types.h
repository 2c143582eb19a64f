/* SPDX-License-Identifier: MIT */
/* Basic types, wrapped frame numbers and compiler helpers. Lowest layer: includes nothing of ours. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef HOSTED
/* Also for what is only declared: no reference goes through a table of addresses (head and EFI code run before any
 * relocation, and the linker cannot shorten such references at our high link address). */
#pragma GCC visibility push(hidden)
#endif

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;
typedef u64 paddr_t;                 /* host-physical byte address */
typedef u64 gpa_t;                   /* guest-physical byte address */
typedef u64 gva_t;                   /* guest-linear byte address */

/* Frame numbers of 4 KiB frames; wrapped so that mixing them does not compile. */
typedef struct { u64 n; } mfn_t;     /* machine (host) frame */
typedef struct { u64 n; } gfn_t;     /* guest frame */
#define MFN(x) ((mfn_t){ (x) })
#define GFN(x) ((gfn_t){ (x) })
#define INVALID_MFN MFN(~0ULL)
#define INVALID_GFN GFN(~0ULL)
static inline bool mfn_eq(mfn_t a, mfn_t b) { return a.n == b.n; }
static inline bool gfn_eq(gfn_t a, gfn_t b) { return a.n == b.n; }
static inline bool mfn_valid(mfn_t m) { return m.n != ~0ULL; }

#define PAGE_SHIFT 12
#define PAGE_SIZE  4096UL
#define PAGE_MASK  (~(PAGE_SIZE - 1))
#define ORDER_4K 0
#define ORDER_2M 9
#define ORDER_1G 18
#define SZ_2M (1UL << 21)
#define SZ_1G (1UL << 30)

#define KiB(x) ((u64)(x) << 10)
#define MiB(x) ((u64)(x) << 20)
#define GiB(x) ((u64)(x) << 30)

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define container_of(p, type, member) ((type *)((char *)(p) - offsetof(type, member)))
#define ROUND_UP(x, a)   (((x) + (a) - 1) & ~((a) - 1))
#define ROUND_DOWN(x, a) ((x) & ~((__typeof__(x))(a) - 1))
#define MIN(a, b) ({ __typeof__(a) a_ = (a); __typeof__(b) b_ = (b); a_ < b_ ? a_ : b_; })
#define MAX(a, b) ({ __typeof__(a) a_ = (a); __typeof__(b) b_ = (b); a_ > b_ ? a_ : b_; })

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define __packed    __attribute__((packed))
#define __aligned(n) __attribute__((aligned(n)))
#define __section(s) __attribute__((section(s), used))
#define __must_check __attribute__((warn_unused_result))
#define __noreturn  __attribute__((noreturn))
#define __printf(f, a) __attribute__((format(printf, f, a)))
#define STATIC_ASSERT(c) _Static_assert(c, #c)
