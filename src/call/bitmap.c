/* SPDX-License-Identifier: MIT */
#include "call/bitmap.h"

int bitmap_in(struct vcpu *v, const struct xenctl_bitmap *b, u64 *out)
{
    u32 bits = MIN(b->nr_bits, 64u);
    u64 x = 0;
    if (bits && guest_read(v, &x, (gva_t)b->bitmap.p, (bits + 7) / 8)) return -EFAULT;
    if (bits < 64) x &= (1ULL << bits) - 1;
    *out = x;
    return 0;
}

int bitmap_out(struct vcpu *v, const struct xenctl_bitmap *b, u64 bits)
{
    static const u8 zero[256];
    if (b->nr_bits > BITMAP_MAX_BITS) return -EINVAL;
    size_t len = (b->nr_bits + 7) / 8, done = MIN(len, sizeof(bits));
    gva_t dst = (gva_t)b->bitmap.p;
    if (b->nr_bits < 64) bits &= (1ULL << b->nr_bits) - 1;
    if (done && guest_write(v, dst, &bits, done)) return -EFAULT;
    for (size_t n; done < len; done += n) {
        n = MIN(len - done, sizeof(zero));
        if (guest_write(v, dst + done, zero, n)) return -EFAULT;
    }
    return 0;
}
