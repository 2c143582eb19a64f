/* SPDX-License-Identifier: MIT */
/*
 * Exhaustive around every boundary: copies from and to guest memory touch exactly the bytes asked for, or stop with
 * -EFAULT at the first page that is not there; addresses never wrap.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include "../unit/machine_stubs.h"
#include "fake.h"
#include "hvm/hvm.h"

enum { PAGES = 4, BYTES = PAGES * 4096, NEAR = 5 };
static struct domain *d;
static struct vcpu *v;
static u8 *ram, buf[BYTES + 64], expect[BYTES];

static u8 pattern(u64 a) { return (u8)(a * 13 + a / 4096); }

/* One copy of len bytes at va (linear = physical, or by physical address). */
static void one(u64 va, u64 len, bool physical)
{
    bool fits = va <= BYTES && len <= BYTES - va;
    u64 end = fits ? va + len : va < BYTES ? BYTES : va;

    memset(buf, 0x55, sizeof(buf));
    int rc = physical ? guest_read_gpa(d, buf, va, len) : guest_read(v, buf, va, len);
    assert_int_equal(rc, fits || !len ? 0 : -EFAULT);
    if (!rc)
        for (u64 i = 0; i < len; i++)
            if (buf[i] != pattern(va + i)) fail();
    assert_int_equal(buf[len], 0x55);
    memcpy(expect, ram, BYTES);
    for (u64 a = va; a < end; a++) expect[a] = 0xee;
    memset(buf, 0xee, sizeof(buf));
    rc = physical ? guest_write_gpa(d, va, buf, len) : guest_write(v, va, buf, len);
    assert_int_equal(rc, fits || !len ? 0 : -EFAULT);
    if (fits) assert_memory_equal(ram, expect, BYTES);
    for (u64 a = 0; a < BYTES; a++) ram[a] = pattern(a);
}

static void boundaries(void **state)
{
    for (unsigned physical = 0; physical < 2; physical++)
        for (u64 page = 0; page <= PAGES; page++)
            for (int off = -NEAR; off <= NEAR; off++) {
                u64 va = page * 4096 + (u64)(s64)off;
                for (u64 n = 0; n <= 2; n++)
                    for (int l = -NEAR; l <= NEAR; l++)
                        if ((s64)(n * 4096) + l >= 0 && !(physical && va >> 63))
                            one(va, n * 4096 + (u64)(s64)l, physical);
            }
}

static void end_of_the_address_space(void **state)
{
    for (u64 before = 1; before < 40; before++)
        for (u64 len = 1; len < 60; len++) {
            assert_int_equal(guest_read(v, buf, 0 - before, len), -EFAULT);
            assert_int_equal(guest_write(v, 0 - before, buf, len), -EFAULT);
            assert_int_equal(guest_read_gpa(d, buf, (1ULL << 52) - before, len), -EFAULT);
        }
    for (u64 a = 0; a < BYTES; a++) assert_int_equal(ram[a], pattern(a));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(boundaries), cmocka_unit_test(end_of_the_address_space) };

    fake_machine_init(64, 1);
    d = fake_domain(1, PAGES);
    v = d->vcpu[0];
    fake_enter_cpu(0, v);
    ram = fake_guest_ptr(d, 0);
    for (u64 a = 0; a < BYTES; a++) ram[a] = pattern(a);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
