/* SPDX-License-Identifier: MIT */
/* Loader information of all three 32-bit protocols, well formed and malformed, and the memory map. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include "boot/memmap.h"
#include "boot/multiboot.h"
#include "lib/lib.h"

/* Physical memory [BASE, BASE+SIZE) on the heap, exactly as long, so that ASan sees every byte too many. */
enum { BASE = 0x10000, SIZE = 0x2000 };
static u8 *mem;
static struct boot_info bi;
static struct mb_extra x;

static const void *at(paddr_t p, size_t len)
{
    return p >= BASE && p < BASE + SIZE && len <= BASE + SIZE - p ? mem + (p - BASE) : NULL;
}

static int setup(void **state)
{
    free(mem);
    mem = calloc(1, SIZE);
    memset(&bi, 0, sizeof(bi));
    memset(&x, 0, sizeof(x));
    return 0;
}

static void put32(u32 off, u32 v) { memcpy(mem + off, &v, 4); }
static void put64(u32 off, u64 v) { memcpy(mem + off, &v, 8); }
static void puts_at(u32 off, const char *s) { memcpy(mem + off, s, strlen(s) + 1); }

/* ---- multiboot 1: info at 0, modules at 0x100, map at 0x200, strings from 0x300 ---- */

static void make_mb1(const char *loader)
{
    put32(0, 1 << 2 | 1 << 3 | 1 << 6 | 1 << 9);
    put32(16, BASE + 0x300);
    puts_at(0x300, "build/xen loglvl=all");
    put32(20, 2);
    put32(24, BASE + 0x100);
    put32(0x100, 0x200000);
    put32(0x104, 0x300000);
    put32(0x108, BASE + 0x400);
    puts_at(0x400, "vmlinuz console=hvc0 root=/dev/sda");
    put32(0x110, 0x400000);
    put32(0x114, 0x400000);
    put32(44, 2 * 24);
    put32(48, BASE + 0x200);
    put32(0x200, 20);
    put64(0x204, 0);
    put64(0x20c, 0x9fc00);
    put32(0x214, 1);
    put32(0x218, 20);
    put64(0x21c, 0x100000);
    put64(0x224, 0x1000000);
    put32(0x22c, 1);
    put32(64, BASE + 0x500);
    puts_at(0x500, loader);
}

static void test_mb1(void **state)
{
    make_mb1("qemu");
    assert_null(mb1_parse(&bi, &x, BASE, at));
    assert_string_equal(bi.cmdline, "loglvl=all");
    assert_int_equal(bi.nr_modules, 2);
    assert_int_equal(bi.module[0].start, 0x200000);
    assert_int_equal(bi.module[0].size, 0x100000);
    assert_string_equal(bi.module[0].cmdline, "console=hvc0 root=/dev/sda");
    assert_int_equal(bi.module[1].size, 0);
    assert_int_equal(bi.nr_mmap, 2);
    assert_int_equal(bi.mmap[1].end, 0x1100000);
}

static void test_mb1_other_loader(void **state)
{
    make_mb1("GRUB 2.06");
    assert_null(mb1_parse(&bi, &x, BASE, at));
    assert_string_equal(bi.cmdline, "loglvl=all");                          /* a path */
    assert_string_equal(bi.module[0].cmdline, "vmlinuz console=hvc0 root=/dev/sda");
}

static void test_mb1_bad(void **state)
{
    assert_non_null(mb1_parse(&bi, &x, BASE + SIZE - 8, at));
    assert_non_null(mb1_parse(&bi, &x, 0, at));
    make_mb1("qemu");
    put32(0x104, 0x1ff000);                                                 /* ends before it starts */
    assert_non_null(mb1_parse(&bi, &x, BASE, at));
    setup(NULL);
    make_mb1("qemu");
    put32(0x110, 0x2fffff);                                                 /* lies over the first one */
    assert_string_equal(mb1_parse(&bi, &x, BASE, at), "module ends before it starts, or lies over another");
    setup(NULL);
    make_mb1("qemu");
    put32(24, BASE + SIZE - 4);
    assert_non_null(mb1_parse(&bi, &x, BASE, at));
    setup(NULL);
    make_mb1("qemu");
    put32(0x200, 0);                                                        /* would loop for ever */
    assert_non_null(mb1_parse(&bi, &x, BASE, at));
    setup(NULL);
    make_mb1("qemu");
    put32(44, 0xffffffff);                                                  /* map longer than memory */
    put32(0x200, 0xfffffffc);
    mb1_parse(&bi, &x, BASE, at);
    setup(NULL);
    make_mb1("qemu");
    put32(20, 0xffffffff);                                                  /* too many modules: first ones count */
    mb1_parse(&bi, &x, BASE, at);
    assert_true(bi.nr_modules <= BOOT_MAX_MODULES);
    setup(NULL);
    make_mb1("qemu");
    put32(16, BASE + SIZE - 4);                                             /* string runs out of memory */
    memset(mem + SIZE - 4, 'a', 4);
    assert_null(mb1_parse(&bi, &x, BASE, at));
    setup(NULL);
    put32(0, 0);
    assert_non_null(mb1_parse(&bi, &x, BASE, at));                          /* no memory map */
}

/* ---- multiboot 2 ---- */

static u32 pos;
static u32 tag(u32 type, u32 len)
{
    u32 at_ = pos;

    put32(pos, type);
    put32(pos + 4, 8 + len);
    pos = ROUND_UP(pos + 8 + len, 8u);
    return at_ + 8;
}

static void make_mb2(void)
{
    u32 o;

    pos = 8;
    o = tag(1, 40);
    puts_at(o, "placeholder console=com1  ");
    o = tag(3, 8 + 30);
    put32(o, 0x800000);
    put32(o + 4, 0x900000);
    puts_at(o + 8, "placeholder root=/dev/vda ro");
    o = tag(3, 8 + 1);
    put32(o, 0xa00000);
    put32(o + 4, 0xb00000);
    o = tag(6, 8 + 2 * 24);
    put32(o, 24);
    put64(o + 8, 0x100000);
    put64(o + 16, 0x4000000);
    put32(o + 24, 1);
    put64(o + 32, 0xfee00000);
    put64(o + 40, 0x1000);
    put32(o + 48, 2);
    o = tag(14, 20);
    puts_at(o, "RSD PTR ");
    o = tag(8, 32);
    put64(o, 0xe0000000);
    put32(o + 8, 4096);
    put32(o + 12, 1024);
    put32(o + 16, 768);
    mem[o + 20] = 32;
    mem[o + 21] = 1;
    mem[o + 24] = 16;
    tag(0, 0);
    put32(0, pos);
}

static void test_mb2(void **state)
{
    make_mb2();
    assert_null(mb2_parse(&bi, &x, BASE, at));
    assert_string_equal(bi.cmdline, "console=com1");
    assert_int_equal(bi.nr_modules, 2);
    assert_string_equal(bi.module[0].cmdline, "root=/dev/vda ro");
    assert_string_equal(bi.module[1].cmdline, "");
    assert_int_equal(bi.nr_mmap, 2);
    assert_int_equal(x.rsdp_len, 20);
    assert_int_equal(bi.fb.width, 1024);
    assert_int_equal(bi.fb.red_pos, 16);
}

static void test_mb2_bad(void **state)
{
    /* Every length in turn becomes impossible; nothing may be read outside (ASan, the reader's bounds). */
    make_mb2();
    u32 total = pos;
    for (u32 off = 0; off < total; off += 4) {
        static const u32 values[] = { 0, 1, 7, 8, 9, 0x7fffffff, 0x80000000, 0xffffffff, SIZE, SIZE - 8 };
        for (unsigned i = 0; i < ARRAY_SIZE(values); i++) {
            setup(NULL);
            make_mb2();
            put32(off, values[i]);
            mb2_parse(&bi, &x, BASE, at);
            assert_true(bi.nr_modules <= BOOT_MAX_MODULES && bi.nr_mmap <= BOOT_MAX_MMAP);
        }
    }
    setup(NULL);
    make_mb2();
    put32(0, SIZE + 8);
    assert_non_null(mb2_parse(&bi, &x, BASE, at));
    setup(NULL);
    make_mb2();
    put32(12, 4);                                                           /* tag shorter than its header */
    assert_non_null(mb2_parse(&bi, &x, BASE, at));
}

/* ---- PVH ---- */

static void test_pvh(void **state)
{
    put32(0, PVH_BOOT_MAGIC);
    put32(4, 1);
    put32(12, 1);
    put64(16, BASE + 0x100);
    put64(24, BASE + 0x300);
    puts_at(0x300, "loglvl=all");
    put64(32, 0xe0010);
    put64(40, BASE + 0x200);
    put32(48, 1);
    put64(0x100, 0x1000000);
    put64(0x108, 0x5000);
    put64(0x200, 0x100000);
    put64(0x208, 0x8000000);
    put32(0x210, 1);
    assert_null(pvh_parse(&bi, &x, BASE, at));
    assert_string_equal(bi.cmdline, "loglvl=all");
    assert_int_equal(bi.rsdp, 0xe0010);
    assert_int_equal(bi.module[0].size, 0x5000);
    assert_int_equal(bi.nr_mmap, 1);
    memset(&bi, 0, sizeof(bi));
    put64(0x108, ~0ULL);                                                    /* module wraps around */
    assert_non_null(pvh_parse(&bi, &x, BASE, at));
    put64(0x108, 0);
    put64(40, BASE + SIZE - 8);
    assert_non_null(pvh_parse(&bi, &x, BASE, at));
    put64(16, ~0ULL - 8);
    assert_non_null(pvh_parse(&bi, &x, BASE, at));
    put32(4, 0);
    assert_non_null(pvh_parse(&bi, &x, BASE, at));
    put32(0, 0);
    assert_non_null(pvh_parse(&bi, &x, BASE, at));
}

/* ---- strings ---- */

static void test_strings(void **state)
{
    char d[32];

    boot_string(d, "  /boot/xen.gz a b ", sizeof(d), false);
    assert_string_equal(d, "a b");
    boot_string(d, "root=/dev/sda ro", sizeof(d), false);
    assert_string_equal(d, "root=/dev/sda ro");
    boot_string(d, "placeholderx", sizeof(d), false);
    assert_string_equal(d, "placeholderx");
    boot_string(d, "xen", sizeof(d), true);
    assert_string_equal(d, "");
    boot_string(d, "", sizeof(d), true);
    assert_string_equal(d, "");
    boot_string(d, "a bcd", 3, false);
    assert_string_equal(d, "a");
}

/* ---- memory map ---- */

static void check_range(unsigned i, u64 start, u64 end, u32 type)
{
    assert_true(i < bi.nr_mmap);
    assert_int_equal(bi.mmap[i].start, start);
    assert_int_equal(bi.mmap[i].end, end);
    assert_int_equal(bi.mmap[i].type, type);
}

static void test_memmap_overlap(void **state)
{
    memmap_add(&bi, 0x100000, 0x900000, MEM_RAM);
    memmap_add(&bi, 0, 0x9fc00, MEM_RAM);
    memmap_add(&bi, 0x9fc00, 0x400, MEM_RESERVED);
    memmap_add(&bi, 0x300000, 0x100000, MEM_ACPI);          /* inside RAM */
    memmap_add(&bi, 0x380000, 0x100000, MEM_RESERVED);      /* over both */
    memmap_add(&bi, 0x2000000, 0, MEM_RAM);
    memmap_add(&bi, ~0ULL - 0xfff, 0x2000, MEM_RESERVED);   /* wraps */
    memmap_finish(&bi);
    check_range(0, 0, 0x9f000, MEM_RAM);
    check_range(1, 0x9f000, 0xa0000, MEM_RESERVED);
    check_range(2, 0x100000, 0x300000, MEM_RAM);
    check_range(3, 0x300000, 0x380000, MEM_ACPI);
    check_range(4, 0x380000, 0x480000, MEM_RESERVED);
    check_range(5, 0x480000, 0xa00000, MEM_RAM);
    assert_int_equal(bi.nr_mmap, 6);
    assert_int_equal(memmap_ram_bytes(&bi), 0x9f000 + 0x200000 + 0x580000);
    assert_true(memmap_is_ram(&bi, 0x100000, 0x300000));
    assert_false(memmap_is_ram(&bi, 0x100000, 0x300001));
    assert_false(memmap_is_ram(&bi, 0x9f000, 0xa0000));
}

static void test_memmap_random(void **state)
{
    srand(1);
    for (unsigned round = 0; round < 300; round++) {
        u8 want[64] = { 0 }, got[64] = { 0 };
        static const u8 order[] = { 0, 1, 4, 2, 3, 5 };     /* rank of each type */
        memset(&bi, 0, sizeof(bi));
        for (unsigned i = 0; i < 12; i++) {
            unsigned s = (unsigned)rand() % 64, n = (unsigned)rand() % 20, t = 1 + (unsigned)rand() % 5;
            n = MIN(n, 64 - s);
            memmap_add(&bi, s * PAGE_SIZE, n * PAGE_SIZE, t);
            for (unsigned p = s; p < s + n; p++)
                if (order[t] > order[want[p]])
                    want[p] = (u8)t;
        }
        memmap_finish(&bi);
        for (unsigned i = 0; i < bi.nr_mmap; i++) {
            assert_true(!i || bi.mmap[i].start >= bi.mmap[i - 1].end);
            for (u64 p = bi.mmap[i].start / PAGE_SIZE; p < bi.mmap[i].end / PAGE_SIZE; p++)
                got[p] = (u8)bi.mmap[i].type;
        }
        assert_memory_equal(want, got, sizeof(want));
    }
}

static void test_memmap_full(void **state)
{
    unsigned refused = 0;

    for (unsigned i = 0; i < 2 * BOOT_MAX_MMAP; i++)
        refused += !memmap_add(&bi, i * 3 * PAGE_SIZE, PAGE_SIZE, MEM_RAM);
    assert_int_equal(refused, BOOT_MAX_MMAP);
    memmap_finish(&bi);
    assert_int_equal(bi.nr_mmap, BOOT_MAX_MMAP);
}

static void test_memmap_efi(void **state)
{
    struct { u32 type, pad; u64 phys, virt, pages, attr, more; } d[] = {
        { 7, 0, 0, 0, 0xa0, 0xf, 0 }, { 4, 0, 0x100000, 0, 0x100, 0xf, 0 }, { 7, 0, 0x200000, 0, 0x100, 0xf, 0 },
        { 9, 0, 0x300000, 0, 1, 0xf, 0 }, { 6, 0, 0x301000, 0, 1, 0xf, 0 }, { 7, 0, 0x400000, 0, 1, 1, 0 },
        { 7, 0, 0x500000, 0, ~0ULL, 0xf, 0 },
    };

    assert_true(memmap_add_efi(&bi, d, sizeof(d), sizeof(d[0])));
    check_range(0, 0, 0xa0000, MEM_RAM);
    check_range(1, 0x100000, 0x300000, MEM_RAM);            /* merged */
    check_range(2, 0x300000, 0x301000, MEM_ACPI);
    check_range(3, 0x301000, 0x302000, MEM_RESERVED);
    check_range(4, 0x400000, 0x401000, MEM_RESERVED);       /* not write-back */
    assert_false(memmap_add_efi(&bi, d, sizeof(d), 8));
    assert_false(memmap_add_efi(&bi, d, sizeof(d), ~0ULL));
    assert_true(memmap_add_efi(&bi, d, 10, sizeof(d[0])));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_mb1, setup), cmocka_unit_test_setup(test_mb1_other_loader, setup),
        cmocka_unit_test_setup(test_mb1_bad, setup), cmocka_unit_test_setup(test_mb2, setup),
        cmocka_unit_test_setup(test_mb2_bad, setup), cmocka_unit_test_setup(test_pvh, setup),
        cmocka_unit_test_setup(test_strings, setup), cmocka_unit_test_setup(test_memmap_overlap, setup),
        cmocka_unit_test_setup(test_memmap_random, setup), cmocka_unit_test_setup(test_memmap_full, setup),
        cmocka_unit_test_setup(test_memmap_efi, setup),
    };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    free(mem);
    return rc;
}
