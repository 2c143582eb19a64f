/* SPDX-License-Identifier: MIT */
/* Work-arounds for AMD's errata: which CPU gets which bit, and that nothing else is touched. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "fake.h"
#include "machine_stubs.h"
#include "cpu/internal.h"

static struct { u32 msr; u64 val; } regs[4];
static unsigned writes;
static bool absent;

static int fake_rdmsr(u32 msr, u64 *v)
{
    for (unsigned i = 0; i < ARRAY_SIZE(regs); i++)
        if (regs[i].msr == msr) return *v = regs[i].val, 0;
    *v = 0;
    return absent ? -1 : 0;
}

static int fake_wrmsr(u32 msr, u64 v)
{
    writes++;
    for (unsigned i = 0; i < ARRAY_SIZE(regs); i++) {
        if (regs[i].msr && regs[i].msr != msr) continue;
        regs[i].msr = msr;
        regs[i].val = v;
        return 0;
    }
    fail();
    return -1;
}
#define rdmsr_safe fake_rdmsr
#define wrmsr_safe fake_wrmsr
#define host test_host
static struct host_info test_host;
#include "../../src/cpu/errata.c"

/* The MSRs that are written on such a CPU, with their values before or-ed in. */
static u64 fix(enum cpu_vendor vendor, unsigned family, unsigned model, u32 msr, u64 before)
{
    u64 v;
    memset(regs, 0, sizeof(regs));
    regs[0].msr = before ? msr : 0;
    regs[0].val = before;
    writes = 0;
    test_host = (struct host_info){ .vendor = vendor, .family = family, .model = model };
    errata_fix();
    (void)fake_rdmsr(msr, &v);
    return v;
}

static void bits(void **state)
{
    fake_machine_init(64, 1);
    assert_int_equal(fix(VENDOR_AMD, 0x16, 0x00, 0xc0011020, 1), 0x8001);       /* Jaguar */
    assert_int_equal(fix(VENDOR_AMD, 0x16, 0x30, 0xc0011020, 1), 1);
    assert_int_equal(writes, 0);
    assert_int_equal(fix(VENDOR_AMD, 0x17, 0x31, 0xc00110e3, 0x10), 0x12);      /* Rome */
    assert_int_equal(writes, 1);
    assert_int_equal(fix(VENDOR_AMD, 0x17, 0x31, 0xc00110e3, 0x12), 0x12);      /* the firmware did it */
    assert_int_equal(writes, 0);
    assert_int_equal(fix(VENDOR_AMD, 0x17, 0x01, 0xc00110e3, 1), 1);            /* Naples */
    assert_int_equal(fix(VENDOR_AMD, 0x19, 0x01, 0xc001102e, 1), 1);            /* Milan */
    assert_int_equal(fix(VENDOR_AMD, 0x19, 0x11, 0xc001102e, 1), 0x21);         /* Genoa */
    assert_int_equal(fix(VENDOR_AMD, 0x19, 0x61, 0xc001102e, 1), 0x21);
    assert_int_equal(fix(VENDOR_INTEL, 0x19, 0x61, 0xc001102e, 1), 1);
    absent = true;
    assert_int_equal(fix(VENDOR_AMD, 0x19, 0x61, 0xc001102e, 0), 0);
    absent = false;
    assert_int_equal(writes, 0);
    test_host.hypervisor = true;                                                /* not ours to set */
    errata_fix();
    assert_int_equal(writes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(bits) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
