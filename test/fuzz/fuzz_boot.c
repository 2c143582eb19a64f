/* SPDX-License-Identifier: MIT */
/* What boot loaders hand over: information of multiboot 1, multiboot 2 and PVH, the memory map, EFI's memory map. */
#include <stdlib.h>
#include <string.h>
#include "boot/memmap.h"
#include "boot/multiboot.h"
#include "fuzz.h"

enum { BASE = 0x10000 };
static u8 *mem;
static size_t size;

static const void *at(paddr_t p, size_t len)
{
    return p >= BASE && p <= BASE + size && len <= BASE + size - p ? mem + (p - BASE) : NULL;
}

void fuzz_start(const char *program) {}

static bool terminated(const char *s) { return memchr(s, 0, BOOT_CMDLINE) != NULL; }

static void check(const struct boot_info *bi)
{
    CHECK(terminated(bi->cmdline) && bi->nr_modules <= BOOT_MAX_MODULES && bi->nr_mmap <= BOOT_MAX_MMAP);
    for (unsigned i = 0; i < bi->nr_modules; i++)
        CHECK(terminated(bi->module[i].cmdline) && bi->module[i].start + bi->module[i].size >= bi->module[i].start);
}

void fuzz_one(struct input *in)
{
    static struct boot_info bi;
    struct mb_extra x = { 0 };
    u8 kind = in8(in) & 3;
    u32 info = BASE + (in8(in) & 0x3f) * 8u;

    memset(&bi, 0, sizeof(bi));
    size = in_left(in);
    mem = malloc(size ? size : 1);          /* exactly as long: each byte too many is seen */
    memcpy(mem, in->p, size);
    const char *wrong = kind == 0 ? mb1_parse(&bi, &x, info, at) : kind == 1 ? mb2_parse(&bi, &x, info, at)
                      : kind == 2 ? pvh_parse(&bi, &x, info, at)
                      : memmap_add_efi(&bi, mem, size, info & 0xff) ? NULL : "bad EFI map";
    if (!wrong) {
        check(&bi);
        memmap_finish(&bi);
        check(&bi);
        for (unsigned i = 0; i < bi.nr_mmap; i++)
            CHECK(bi.mmap[i].start < bi.mmap[i].end && (!i || bi.mmap[i - 1].end <= bi.mmap[i].start));
        CHECK(memmap_ram_bytes(&bi) <= ~0ULL);
    }
    free(mem);
}
