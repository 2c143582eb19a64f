/* SPDX-License-Identifier: MIT */
/* CPU and node bitmaps as the control interfaces carry them: a byte array and its number of bits. */
#pragma once
#include "call/call.h"

/* First 64 bits of the caller's bitmap; bits beyond its size are 0. -EFAULT. */
int bitmap_in(struct vcpu *v, const struct xenctl_bitmap *b, u64 *out) __must_check;
/* Write bits, zero to the end of the caller's bitmap. -EFAULT, -EINVAL: longer than BITMAP_MAX_BITS. */
int bitmap_out(struct vcpu *v, const struct xenctl_bitmap *b, u64 bits) __must_check;
#define BITMAP_MAX_BITS 65536u
