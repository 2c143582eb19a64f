/* SPDX-License-Identifier: MIT */
/* Speculation policy: every combination of flags and options keeps the rules; known machines get what they need. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "../../src/cpu/spec_policy.c"

static const struct spec_options defaults = { -1, -1, -1, -1, -1, -1, -1, -1, -1, -1 };

static struct spec_facts random_facts(unsigned *seed)
{
    struct spec_facts f;
    u8 *p = (u8 *)&f;
    for (size_t i = 0; i < sizeof(f); i++) {
        *seed = *seed * 1103515245 + 12345;
        p[i] = *seed >> 16 & 1;                     /* bools must stay 0 or 1 */
    }
    static const u8 families[] = { 6, 0x0f, 0x10, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a };
    f.vendor = *seed >> 17 & 3;
    f.vendor = f.vendor == 3 ? SPEC_OTHER : f.vendor;
    f.family = families[(*seed >> 19) % sizeof(families)];
    f.model = *seed >> 23 & 0xff;
    return f;
}

static void means_exist(const struct spec_facts *f, const struct spec_decision *d)
{
    if (d->flags & (SPEC_IBPB_SWITCH | SPEC_IBPB_EXIT)) assert_true(f->ibpb);
    if (d->flags & SPEC_VERW_ENTRY) assert_true(f->md_clear || f->verw_clear);
    if (d->flags & SPEC_L1D_ENTRY) assert_true(f->l1d_flush);
    if (d->auto_ibrs) assert_true(f->auto_ibrs);
    if (d->host_spec_ctrl & 1) assert_true(f->ibrs || f->eibrs);
    if (d->host_spec_ctrl & 2) assert_true(f->stibp);
    if (d->host_spec_ctrl & 4) assert_true(f->ssbd);
}

static void all_combinations(void **state)
{
    unsigned seed = 1;
    for (unsigned i = 0; i < 200000; i++) {
        struct spec_facts f = random_facts(&seed);
        struct spec_decision d = spec_decide(&f, &defaults);
        means_exist(&f, &d);
        /* By default nothing that could be done is left off, and the return stack is always covered. */
        for (unsigned s = 0; s < ISSUE_NR; s++)
            assert_int_not_equal(d.state[s], SPEC_OFF_BY_OPTION);
        assert_true((d.flags & SPEC_RSB_EXIT) || (d.flags & SPEC_IBPB_EXIT));
        struct spec_options off = defaults;
        off.all = 0;
        d = spec_decide(&f, &off);
        assert_int_equal(d.flags, 0);
        assert_int_equal(d.host_spec_ctrl, 0);
        struct spec_options o;
        for (unsigned b = 0; b < sizeof(o); b++)
            ((s8 *)&o)[b] = (s8)((int)((seed >> (b * 2)) % 3) - 1);
        d = spec_decide(&f, &o);
        means_exist(&f, &d);
    }
}

static void known_machines(void **state)
{
    struct spec_facts zen1 = { .vendor = SPEC_AMD, .family = 0x17, .model = 1, .ibpb = true };
    struct spec_decision d = spec_decide(&zen1, &defaults);
    assert_int_equal(d.flags, SPEC_IBPB_SWITCH | SPEC_IBPB_EXIT | SPEC_DIV_ENTRY | SPEC_RSB_EXIT);
    struct spec_facts zen3_old = { .vendor = SPEC_AMD, .family = 0x19, .model = 1, .ibpb = true, .ibpb_ret = true,
                                   .btc_no = true };
    d = spec_decide(&zen3_old, &defaults);
    assert_int_equal(d.state[ISSUE_SRSO], SPEC_NO_MEANS);
    assert_int_equal(d.state[ISSUE_TSA], SPEC_NO_MEANS);
    assert_int_equal(d.state[ISSUE_BTC], SPEC_NOT_AFFECTED);
    assert_int_equal(d.flags, SPEC_IBPB_SWITCH | SPEC_RSB_EXIT);
    struct spec_facts zen4 = zen3_old;
    zen4.ibpb_brtype = zen4.verw_clear = zen4.auto_ibrs = true;
    d = spec_decide(&zen4, &defaults);
    assert_int_equal(d.flags, SPEC_IBPB_SWITCH | SPEC_IBPB_EXIT | SPEC_VERW_ENTRY);
    assert_true(d.auto_ibrs);
    struct spec_facts zen5 = { .vendor = SPEC_AMD, .family = 0x1a, .ibpb = true, .ibpb_ret = true, .btc_no = true,
                               .srso_no = true, .tsa_no = true, .auto_ibrs = true };
    d = spec_decide(&zen5, &defaults);
    assert_int_equal(d.flags, SPEC_IBPB_SWITCH | SPEC_RSB_EXIT);
    struct spec_facts skylake = { .vendor = SPEC_INTEL, .family = 6, .ibpb = true, .ibrs = true, .md_clear = true,
                                  .l1d_flush = true };
    d = spec_decide(&skylake, &defaults);
    assert_int_equal(d.flags, SPEC_IBPB_SWITCH | SPEC_VERW_ENTRY | SPEC_L1D_ENTRY | SPEC_RSB_EXIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(all_combinations), cmocka_unit_test(known_machines) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
