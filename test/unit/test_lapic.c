/* SPDX-License-Identifier: MIT */
/* The host's local APIC: in which mode it is used (x2apic=), and that it is programmed in that mode. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "fake.h"
#include "fake_x86.h"
#include "machine_stubs.h"
#include "boot/cmdline.h"
#include "cpu/internal.h"
#include "cpu/lapic.h"
#include "irq/irq.h"

#define APIC_AT 0xfee00000UL
static u64 base, msrs[0x100];
static unsigned msr_writes, mode_writes;
static u64 get(u32 nr)
{
    if (nr == MSR_APIC_BASE) return base;
    assert_in_range(nr, MSR_X2APIC, MSR_X2APIC + 0xff);
    return msrs[nr - MSR_X2APIC];
}
static void set(u32 nr, u64 v)
{
    if (nr == MSR_APIC_BASE) {
        mode_writes++;
        assert_true(v & APIC_BASE_ENABLE);
        assert_true(!(v & APIC_BASE_X2APIC) || base & APIC_BASE_ENABLE);    /* through xAPIC mode (SDM 11.12.5) */
        base = v;
        return;
    }
    assert_in_range(nr, MSR_X2APIC, MSR_X2APIC + 0xff);
    assert_true(base & APIC_BASE_X2APIC);
    msrs[nr - MSR_X2APIC] = v;
    msr_writes++;
}
#define rdmsr get
#define wrmsr set
#define timer_hw_set not_the_fake_one
void timer_hw_set(u64 expires_ns);
void irq_set_handler(unsigned vector, irq_fn fn, void *arg) {}
#include "../../src/cpu/lapic.c"

static void modes(void **state)
{
    static const struct { const char *option; bool has, firmware, x2apic; const char *line; } t[] = {
        { "", true, false, false, "xAPIC mode" }, { "", true, true, true, "x2APIC mode" }, { "", false, false, false, "xAPIC mode" },
        { "x2apic", true, false, true, "x2APIC mode" }, { "x2apic=on", true, true, true, "x2APIC mode" },
        { "x2apic=yes", false, false, false, "x2apic: this CPU has none" },
        { "x2apic=off", true, false, false, "xAPIC mode" }, { "no-x2apic", true, false, false, "xAPIC mode" },
        { "x2apic=false", true, true, true, "staying in it" },
    };
    fake_machine_init(16, 1);
    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        volatile u32 *svr = (volatile u32 *)((u8 *)mmio_map(APIC_AT, PAGE_SIZE) + REG_SVR);
        base = APIC_AT | (t[i].firmware ? APIC_BASE_ENABLE | APIC_BASE_X2APIC : 0);
        host_features[FEAT_X2APIC / 32] &= ~(1u << FEAT_X2APIC % 32);
        host_features[FEAT_X2APIC / 32] |= (u32)t[i].has << FEAT_X2APIC % 32;
        want_x2apic = -1;
        memset(msrs, 0, sizeof(msrs));
        msrs[REG_ID / 16] = 7;
        *svr = msr_writes = mode_writes = 0;
        cmdline_parse(t[i].option);
        fake_log_clear();
        lapic_init();
        if (lapic_x2apic != t[i].x2apic || !strstr(fake_log, t[i].line)) fail_msg("%u: %s", i, fake_log);
        assert_int_equal(base & APIC_BASE_X2APIC, t[i].x2apic ? APIC_BASE_X2APIC : 0);
        assert_int_equal(msr_writes != 0, t[i].x2apic);
        assert_int_equal(*svr, t[i].x2apic ? 0 : SVR_ENABLE | VEC_SPURIOUS);
        assert_int_equal(msrs[REG_SVR / 16], t[i].x2apic ? SVR_ENABLE | VEC_SPURIOUS : 0);
        if (t[i].x2apic) assert_int_equal(lapic_id(), 7);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(modes) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
