/* SPDX-License-Identifier: MIT */
/* Microcode containers: the right update is found, and no damaged file makes the parser read outside it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include "fake.h"
#include "machine_stubs.h"
#include "cpu/internal.h"
#include "boot/boot.h"

static u64 platform_msr;
static int fake_rdmsr(u32 msr, u64 *v) { *v = msr == MSR_PLATFORM_ID ? platform_msr : 0; return 0; }
#define rdmsr_safe fake_rdmsr
#define wrmsr_safe(msr, v) ((void)(msr), (void)(v), 0)
#define host test_host
struct host_info test_host;
static struct boot_info test_boot_info;
#define boot_info test_boot_info
#define cpuid_init test_cpuid_init
void test_cpuid_init(void);
void test_cpuid_init(void) {}
#include "../../src/cpu/ucode.c"

static void put(u8 *p, size_t off, u32 v) { memcpy(p + off, &v, 4); }

/* Container for signature 0x00a20f10 (id 0xa210) with two updates and one for another CPU. Returns its size. */
static size_t make_amd(u8 *p)
{
    memset(p, 0, 1024);
    put(p, 0, AMD_MAGIC);
    put(p, 8, 48);                                  /* two entries and the end */
    put(p, 12, 0x00800f12), put(p, 24, 0x8012);
    put(p, 28, 0x00a20f10), put(p, 40, 0xa210);
    size_t off = 60;
    static const struct { u32 rev, id; } updates[] = { { 0x10, 0xa210 }, { 0x12, 0xa210 }, { 0x99, 0x8012 } };
    for (unsigned i = 0; i < 3; i++, off += 8 + 100) {
        put(p, off, AMD_PATCH), put(p, off + 4, 100);
        put(p, off + 8 + 4, updates[i].rev);
        put(p, off + 8 + 24, updates[i].id);
    }
    return off;
}

static u32 find_amd(const u8 *p, size_t size, u32 signature, u32 current)
{
    /* An exact heap copy, so that the sanitizer sees any byte too far. */
    u8 *copy = malloc(size ? size : 1);
    memcpy(copy, p, size);
    blob = copy, blob_size = size;
    patch = NULL, patch_rev = 0;
    amd_find(signature, current);
    u32 rev = patch ? patch_rev : 0;
    if (patch) assert_true(patch >= copy && patch + patch_size <= copy + size);
    free(copy);
    return rev;
}

static void amd(void **state)
{
    u8 p[2048];
    size_t n = make_amd(p);
    assert_int_equal(find_amd(p, n, 0x00a20f10, 0), 0x12);
    assert_int_equal(find_amd(p, n, 0x00a20f10, 0x12), 0);
    assert_int_equal(find_amd(p, n, 0x00800f12, 0), 0x99);
    assert_int_equal(find_amd(p, n, 0x12345678, 0), 0);
    make_amd(p + n);                                /* a second container behind it */
    put(p, 28, 1);                                  /* only the second lists our CPU */
    assert_int_equal(find_amd(p, 2 * n, 0x00a20f10, 0), 0x12);
}

static size_t make_intel(u8 *p)
{
    memset(p, 0, 1024);
    put(p, 0, 1), put(p, 4, 0x30), put(p, 12, 0x806ec), put(p, 20, 1), put(p, 24, 0x80);
    put(p, 28, 400), put(p, 32, 512);
    put(p, 448, 1), put(p, 468, 0x906ea), put(p, 472, 0x80);        /* extended signature */
    u32 sum = 0;
    for (unsigned i = 0; i < 448; i += 4) sum += get32(p + i);
    put(p, 100, (u32)-sum);
    return 512;
}

static u32 find_intel(const u8 *p, size_t size, u32 signature, u32 current)
{
    u8 *copy = malloc(size ? size : 1);
    memcpy(copy, p, size);
    blob = copy, blob_size = size;
    patch = NULL, patch_rev = 0;
    intel_find(signature, current);
    u32 rev = patch ? patch_rev : 0;
    free(copy);
    return rev;
}

static void intel(void **state)
{
    u8 p[1024];
    size_t n = make_intel(p);
    platform_msr = 7ULL << 50;
    assert_int_equal(find_intel(p, n, 0x806ec, 0), 0x30);
    assert_int_equal(find_intel(p, n, 0x906ea, 0), 0x30);
    assert_int_equal(find_intel(p, n, 0x806ec, 0x30), 0);
    p[60] ^= 1;                                     /* checksum */
    assert_int_equal(find_intel(p, n, 0x806ec, 0), 0);
    make_intel(p);
    platform_msr = 0;
    assert_int_equal(find_intel(p, n, 0x806ec, 0), 0);
}

/* Every truncation and every damaged byte of all files. */
static void damaged(void **state)
{
    u8 p[1024], saved;
    for (unsigned kind = 0; kind < 2; kind++) {
        size_t n = kind ? make_intel(p) : make_amd(p);
        platform_msr = 7ULL << 50;
        for (size_t cut = 0; cut <= n; cut++)
            kind ? find_intel(p, cut, 0x906ea, 0) : find_amd(p, cut, 0x00a20f10, 0);
        static const u8 values[] = { 0x00, 0x01, 0x7f, 0x80, 0xff };
        for (size_t i = 0; i < n; i++) {
            saved = p[i];
            for (unsigned v = 0; v < sizeof(values); v++) {
                p[i] = values[v];
                kind ? find_intel(p, n, 0x906ea, 0) : find_amd(p, n, 0x00a20f10, 0);
            }
            p[i] = saved;
        }
    }
}

static size_t cpio_entry(char *p, const char *name, size_t size)
{
    size_t nlen = strlen(name) + 1;
    char head[160];
    snprintf(head, sizeof(head), "070701%08x%08x%08x%08x%08x%08x%08zx%08x%08x%08x%08x%08zx%08x", 1, 0, 0, 0, 1, 0, size, 0, 0, 0, 0,
             nlen, 0);
    memcpy(p, head, 110);
    memcpy(p + 110, name, nlen);
    size_t data = ROUND_UP(110 + nlen, 4UL);
    memset(p + data, 'x', size);
    return ROUND_UP(data + size, 4UL);
}

static void cpio(void **state)
{
    static char a[2048];
    const char *name = "kernel/x86/microcode/AuthenticAMD.bin";
    size_t n = cpio_entry(a, "kernel", 0);
    n += cpio_entry(a + n, name, 33);
    n += cpio_entry(a + n, "TRAILER!!!", 0);
    assert_true(cpio_find((u8 *)a, n, name));
    assert_int_equal(blob_size, 33);
    assert_int_equal(blob[0], 'x');
    assert_false(cpio_find((u8 *)a, n, "kernel/x86/microcode/GenuineIntel.bin"));
    for (size_t cut = 0; cut < n; cut++) {
        u8 *copy = malloc(cut ? cut : 1);
        memcpy(copy, a, cut);
        if (cpio_find(copy, cut, name))
            assert_true(blob + blob_size <= copy + cut);
        free(copy);
    }
}

static void option(void **state)
{
    assert_int_equal(opt_ucode("scan"), 0);
    assert_true(by_scan && !by_index);
    assert_int_equal(opt_ucode("-1"), 0);
    assert_true(by_index && module_index == -1);
    assert_int_equal(opt_ucode("2,nmi=0"), 0);
    assert_int_equal(module_index, 2);
    static const char *const taken[] = { "nmi", "no-nmi", "nmi=off", "nmi=true", "allow-same", "allow-same=no", "" };
    for (unsigned i = 0; i < ARRAY_SIZE(taken); i++)
        assert_int_equal(opt_ucode(taken[i]), 0);
    static const char *const bad[] = { "bogus", "nmix", "nmi=perhaps", "scan=2", "-", "1x", "3,bogus", "scan,bogus", "no-nmi=1",
                                       "1000000" };
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(opt_ucode(bad[i]), -EINVAL);
    assert_true(by_index && !by_scan && module_index == 2);     /* none of these changed anything */
    assert_int_equal(opt_ucode("nmi,scan=yes"), 0);
    assert_true(by_scan && !by_index);
    assert_int_equal(opt_ucode("scan=off"), 0);
    assert_true(!by_scan && !by_index);
    assert_int_equal(opt_ucode("scan"), 0);
    assert_int_equal(opt_ucode("no-scan"), 0);
    assert_false(by_scan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(amd), cmocka_unit_test(intel), cmocka_unit_test(damaged), cmocka_unit_test(cpio),
        cmocka_unit_test(option),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
