/* SPDX-License-Identifier: MIT */
/*
 * Bytes of a guest's page, in our address space. The guest, its other CPUs and its devices change them at any time, so
 * the type is incomplete: they cannot be looked at in place. What is needed of them is copied once into private storage,
 * or read as one word, by these functions (I-13).
 */
#pragma once
#include "lib/lib.h"
#include "mm/mm.h"
#include "sync/sync.h"

struct guest_mem;

static inline struct guest_mem *guest_mem(mfn_t m) { return frame_map(m); }
static inline struct guest_mem *guest_mem_at(struct guest_mem *p, u64 off) { return (void *)((char *)p + off); }
static inline void guest_mem_read(void *dst, const struct guest_mem *src, size_t n)
{
    hook_read(src);
    memcpy(dst, src, n);
    barrier();                      /* the copy is made: nobody may look again */
}
static inline void guest_mem_write(struct guest_mem *dst, const void *src, size_t n)
{
    hook_point(dst);
    memcpy(dst, src, n);
    barrier();
}
/* From guest to guest. */
static inline void guest_mem_move(struct guest_mem *dst, const struct guest_mem *src, size_t n) { memmove(dst, src, n); }
/* The i-th of an array of words. */
static inline struct guest_mem *guest_mem_nth32(struct guest_mem *p, u64 i) { return (void *)((u32 *)p + i); }
static inline struct guest_mem *guest_mem_nth64(struct guest_mem *p, u64 i) { return (void *)((u64 *)p + i); }
/* A member of a structure that lies there. */
#define guest_field(p, type, member) ((struct guest_mem *)&((type *)(p))->member)
/* Aligned words, in one access each. Those that change one return what was there before. */
static inline u8 guest_mem_u8(const struct guest_mem *p) { return read_once((const u8 *)p); }
static inline u32 guest_mem_u32(const struct guest_mem *p) { return read_once((const u32 *)p); }
static inline u64 guest_mem_u64(const struct guest_mem *p) { return read_once((const u64 *)p); }
static inline bool guest_mem_cas32(struct guest_mem *p, u32 old, u32 now) { return atomic_cas((u32 *)p, old, now); }
static inline bool guest_mem_cas64(struct guest_mem *p, u64 old, u64 now) { return atomic_cas((u64 *)p, old, now); }
static inline void guest_mem_set8(struct guest_mem *p, u8 x) { write_once((u8 *)p, x); }
static inline void guest_mem_set32(struct guest_mem *p, u32 x) { write_once((u32 *)p, x); }
static inline void guest_mem_set64(struct guest_mem *p, u64 x) { write_once((u64 *)p, x); }
static inline u8 guest_mem_xchg8(struct guest_mem *p, u8 x) { return atomic_xchg((u8 *)p, x); }
static inline u32 guest_mem_or32(struct guest_mem *p, u32 x) { return atomic_or((u32 *)p, x); }
static inline u32 guest_mem_and32(struct guest_mem *p, u32 x) { return atomic_and((u32 *)p, x); }
static inline u64 guest_mem_or64(struct guest_mem *p, u64 x) { return atomic_or((u64 *)p, x); }
/* Bitmaps of 64-bit words. */
static inline bool guest_bit(const struct guest_mem *m, u32 n)
{
    return read_once(&((const u64 *)m)[n / 64]) >> (n % 64) & 1;
}
static inline bool guest_bit_set(struct guest_mem *m, u32 n) { return atomic_bit_set((u64 *)m, n); }
static inline bool guest_bit_clear(struct guest_mem *m, u32 n) { return atomic_bit_clear((u64 *)m, n); }
