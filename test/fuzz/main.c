/* SPDX-License-Identifier: MIT */
/* What libFuzzer calls, and the readers of inputs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../unit/machine_stubs.h"
#include "fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    const char *slash = strrchr((*argv)[0], '/');

    fuzz_start(slash ? slash + 1 : (*argv)[0]);
    return 0;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
    struct input in = { data, data + size };

    fuzz_one(&in);
    return 0;
}

void fuzz_failed(const char *what, const char *file, int line)
{
    fprintf(stderr, "%s:%d: not so: %s\n", file, line, what);
    abort();
}

u8 in8(struct input *in) { return in->p < in->end ? *in->p++ : 0; }

u64 in_n(struct input *in, unsigned bytes)
{
    u64 v = 0;

    for (unsigned i = 0; i < bytes; i++)
        v |= (u64)in8(in) << (8 * i);
    return v;
}

u64 in_value(struct input *in)
{
    static const u64 edge[] = { ~0ULL, 1ULL << 63, ~0ULL >> 1, 0xffffffff, 0x80000000, 0x7fffffff, 0xffff, 0x8000, 0x7ff0,
                                0x7ff1, 0x7ff2, 0x7ff4, 0xfffffffffffffULL, 1ULL << 36, (1ULL << 36) - 1, 4096 };
    u8 t = in8(in);

    switch (t >> 4) {
    case 0 ... 3: return t;                                     /* small */
    case 4 ... 5: return (t & 3) | (u64)(t >> 2 & 7) << 32;     /* two small halves */
    case 6: return (t & 3) | (t & 12) << 14 | 0x7ff0ULL << 32;  /* halves of halves */
    case 7: return SCRATCH + (t & 15) * 0x200;
    case 8 ... 9: return 0x20 + (t & 31);                       /* frames of RAM */
    case 10: return 0x200 + (t & 15);                           /* frames of RAM of domain 1 only */
    case 11: return GNT_GFN + (t & 15);
    case 12: return edge[t & 15];
    case 13: return in16(in);
    case 14: return in32(in);
    default: return in64(in);
    }
}
