/* SPDX-License-Identifier: MIT */
/* MSR whitelist: what exists, what is refused, MTRRs, TSC, the hypercall page. */
#include "hvm_env.h"


static int setup(void **s)
{
    hvm_env(false);
    return 0;
}

static u64 rd(u32 msr)
{
    u64 val = 0;
    assert_int_equal(hvm_rdmsr(v, msr, &val), 0);
    return val;
}
static int bad_rd(u32 msr)
{
    u64 val;
    return hvm_rdmsr(v, msr, &val);
}

static void test_unknown(void **s)
{
    static const u32 none[] = { 0, 0x1, 0xf, 0x11, 0x34, 0x48, 0x199, 0x480, 0x48b, 0x600, 0xda0, 0xd90, 0x40000001,
                                0xc0000084 + 0x1000, 0xc0010117, 0xc0010116, 0xffffffff };
    for (unsigned i = 0; i < ARRAY_SIZE(none); i++) {
        assert_int_equal(bad_rd(none[i]), -EINVAL);
        assert_int_equal(hvm_wrmsr(v, none[i], 0), -EINVAL);
    }
    /* The table is sorted: every number in the ranges that clients probe gives one answer or #GP, never a crash. */
    for (u32 m = 0; m < 0x2000; m++) (void)bad_rd(m);
    for (u32 m = 0xc0010000; m < 0xc0012000; m++) (void)bad_rd(m);
    /* x2APIC range without x2APIC mode (XSA-108) */
    for (u32 m = 0x800; m < 0xc00; m++) assert_int_equal(bad_rd(m), -EINVAL);
}

static void test_fixed(void **s)
{
    assert_int_equal(rd(0x179), 0);
    assert_int_equal(rd(0x400), 0);
    assert_int_equal(hvm_wrmsr(v, 0x400, 1), -EINVAL);
    assert_int_equal(hvm_wrmsr(v, 0x400, 0), 0);
    assert_int_equal(hvm_wrmsr(v, 0x1d9, 1), -EINVAL);          /* XSA-269 */
    assert_int_equal(hvm_wrmsr(v, 0xc0010015, 1 << 6), 0);      /* xen-shim */
    assert_int_equal(rd(0xc0010015) >> 24 & 1, 1);
    assert_int_equal(rd(0xc0010004), 0);
    assert_int_equal(hvm_wrmsr(v, 0xfe, 0), -EINVAL);
    assert_int_equal(bad_rd(0xc0010064), -EINVAL);              /* P-states: dom0 only */
    assert_int_equal(rd(0x1a0) & 0x1800, 0x1800);
}

static void test_mtrr(void **s)
{
    struct hvm_hw_mtrr m, n;
    assert_int_equal(rd(0xfe), 0x508);
    assert_int_equal(hvm_wrmsr(v, 0x2ff, 0x806), 0);
    assert_int_equal(rd(0x2ff), 0x806);
    assert_int_equal(hvm_wrmsr(v, 0x2ff, 0x802), -EINVAL);
    assert_int_equal(hvm_wrmsr(v, 0x2ff, 0x1806), -EINVAL);
    assert_int_equal(hvm_wrmsr(v, 0x200, 0xc0000000), 0);
    assert_int_equal(hvm_wrmsr(v, 0x201, 0xc0000800), 0);
    assert_int_equal(hvm_wrmsr(v, 0x201, 0xc0000801), -EINVAL);
    assert_int_equal(hvm_wrmsr(v, 0x200, 1ULL << 60), -EINVAL);
    assert_int_equal(hvm_wrmsr(v, 0x250, 0x0606060606060606ULL), 0);
    assert_int_equal(hvm_wrmsr(v, 0x250, 0x0606060606060603ULL), -EINVAL);
    assert_int_equal(bad_rd(0x210), -EINVAL);
    assert_int_equal(bad_rd(0x251), -EINVAL);
    hvm_mtrr_get(v, &m);
    assert_int_equal(m.msr_mtrr_def_type, 0x806);
    assert_int_equal(m.msr_mtrr_cap, 0x508);
    n = m;
    n.msr_mtrr_def_type = 0xc06;
    assert_int_equal(hvm_mtrr_set(v, &n), 0);
    assert_int_equal(rd(0x2ff), 0xc06);
    n.msr_pat_cr = 2;
    assert_int_equal(hvm_mtrr_set(v, &n), -EINVAL);
    n = m;
    n.msr_mtrr_fixed[3] = 0xff;
    n.msr_mtrr_def_type = 0;
    assert_int_equal(hvm_mtrr_set(v, &n), -EINVAL);
    assert_int_equal(rd(0x2ff), 0xc06);                         /* nothing changed */
}

static void test_tsc(void **s)
{
    struct fake_vcpu *f = fake_vcpu(v);
    d->tsc_offset = 1000;
    hvm_update_tsc(d);
    assert_int_equal(f->tsc_offset, 1000);
    assert_int_equal(rd(0x10), tsc_read() + 1000);
    assert_int_equal(hvm_wrmsr(v, 0x10, 5), 0);
    assert_int_equal(rd(0x10), 5);
    assert_int_equal(f->tsc_offset, 5 - tsc_read());
    hvm_tsc_adjust_set(v, 0);                                   /* undoes the move */
    assert_int_equal(rd(0x10), tsc_read() + 1000);
    d->tsc_mode = 1;
    hvm_update_tsc(d);
    assert_true(f->trap_rdtsc);
}

static void test_hypercall_page(void **s)
{
    u8 p[64];
    assert_int_equal(hvm_wrmsr(v, 0x40000000, 0x5001), -EINVAL);        /* page index 1 */
    assert_int_equal(hvm_wrmsr(v, 0x40000000, 0x7000000000), -EINVAL);  /* no RAM */
    assert_int_equal(bad_rd(0x40000000), -EINVAL);
    assert_int_equal(hvm_wrmsr(v, 0x40000000, 0x5000), 0);
    assert_int_equal(guest_read_gpa(d, p, 0x5000 + 17 * 32, 64), 0);
    assert_int_equal(p[0], 0xb8);
    assert_int_equal(p[1], 17);
    assert_int_equal(p[8], 0xc3);
    assert_int_equal(p[32 + 1], 18);
    assert_int_equal(guest_read_gpa(d, p, 0x5000 + 23 * 32, 2), 0);
    assert_int_equal(p[0], 0x0f);
    assert_int_equal(p[1], 0x0b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_unknown, setup), cmocka_unit_test_setup(test_fixed, setup),
        cmocka_unit_test_setup(test_mtrr, setup), cmocka_unit_test_setup(test_tsc, setup),
        cmocka_unit_test_setup(test_hypercall_page, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
