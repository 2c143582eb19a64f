/* SPDX-License-Identifier: MIT */
/* How much guests can make the hypervisor print: output is polled, so every byte costs time of a CPU. */
#pragma once
#include "lib/types.h"

/* A store of tokens that fills up by the second. Who empties it waits until a quarter of it is there again, so that what
 * comes through comes in pieces that can be read. All zero at first, which means full. */
struct bucket { u64 last_ns; u32 tokens, refused; bool started, dry; };
struct rate { u32 burst, per_s; };

/* Take `cost`; false: not to be printed. Callers count that in `refused`, and tell it with what they print next. */
bool bucket_take(struct bucket *b, const struct rate *r, u32 cost);

/* The serial lines take this many bytes a second. All guests together get a quarter of it, each at most a quarter of
 * that: one that never stops leaves room for the others. */
void guest_lines_rate(u32 bytes_per_s);
/* guest_loglvl= lets lines of guests through (printk.c). */
bool guest_lines_wanted(void);
