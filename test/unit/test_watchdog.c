/* SPDX-License-Identifier: MIT */
/* The host's watchdog: who is found to hang, and who is not. The CPUs' ticks are run one by one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "../../src/debug/watchdog.c"
#include "fake.h"
#include "machine_stubs.h"
#include "panic_at.h"

static unsigned asked;              /* CPU that got an NMI; NR_CPUS: none */
static bool answers;
const struct trap_frame *nmi_frame(void) { return NULL; }
bool smp_nmi_call(unsigned cpu, void (*fn)(void))
{
    asked = cpu;
    if (!answers) return false;
    this_cpu_ptr = cpus[cpu];
    fn();
    return true;
}

static void begin(unsigned n, const char *words)
{
    static char line[100];
    fake_machine_init(16, n);
    for (unsigned i = 0; i < n; i++) {
        list_init(&cpus[i]->timer.list);
        cpus[i]->timer.armed_ns = ~0ULL;
    }
    watchdog_on = false;
    enabled = false;
    timeout = 5;
    asked = NR_CPUS;
    answers = true;
    snprintf(line, sizeof(line), "%s", words);
    cmdline_parse(line);
    fake_time_set(1000);
    watchdog_init();
}

/* One second on all CPUs but `hung`. */
static void second(unsigned hung)
{
    fake_time_advance(TICK_NS);
    for (unsigned i = 0; i < nr_cpus; i++) {
        this_cpu_ptr = cpus[i];
        if (i != hung) timer_run();
    }
    this_cpu_ptr = cpus[0];
}

static void who_gets_one(void **state)
{
    static const struct { const char *words; unsigned cpus; bool on; } rows[] = {
        { "", 2, false }, { "watchdog", 2, true }, { "watchdog=1", 2, true }, { "watchdog=force", 2, true },
        { "watchdog=0", 2, false }, { "no-watchdog", 2, false }, { "watchdog watchdog_timeout=0", 2, false },
        { "watchdog", 1, false }, { "watchdog=perhaps", 2, false },
    };
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        begin(rows[i].cpus, rows[i].words);
        assert_int_equal(watchdog_on, rows[i].on);
    }
}

static void nobody_hangs(void **state)
{
    begin(3, "watchdog");
    for (unsigned i = 0; i < 100; i++) second(NR_CPUS);
    assert_int_equal(asked, NR_CPUS);
    fake_time_advance(3600 * TICK_NS);          /* the machine was asleep */
    for (unsigned i = 0; i < 10; i++) second(NR_CPUS);
    assert_int_equal(asked, NR_CPUS);
}

static bool second_panics(unsigned hung) { return fake_expect_panic(second(hung)); }

static void hang(unsigned hung, bool nmi_arrives)
{
    char want[40];
    begin(3, "watchdog=force watchdog_timeout=7");
    answers = nmi_arrives;
    second(NR_CPUS);
    for (unsigned i = 0; i < 7; i++) second(hung);
    assert_int_equal(asked, NR_CPUS);
    assert_true(second_panics(hung) || second_panics(hung));    /* the first look may have come before its last tick */
    assert_int_equal(asked, hung);
    snprintf(want, sizeof(want), "CPU%u handled no timer interrupt for 7", hung);
    assert_non_null(strstr(fake_panic_text, want));
    assert_int_equal(strstr(fake_panic_text, "and no NMI") == NULL, nmi_arrives);
}
static void a_cpu_hangs(void **state)
{
    for (unsigned i = 0; i < 6; i++) hang(i % 3, i / 3);
}

static void a_cpu_that_prints_is_slow_not_dead(void **state)
{
    begin(2, "watchdog");
    for (unsigned i = 0; i < 50; i++) {
        second(1);
        this_cpu_ptr = cpus[1];
        watchdog_touch();
        this_cpu_ptr = cpus[0];
    }
    assert_int_equal(asked, NR_CPUS);
}

static bool waited_too_long(void)
{
    fake_time_advance(3 * TICK_NS);
    return fake_expect_panic(cpu_relax());
}
/* CPU 1 waits for CPU 0, and handles no interrupts meanwhile. */
static void a_cpu_that_waits_looks_on(void **state)
{
    begin(2, "watchdog");
    second(NR_CPUS);
    this_cpu_ptr = cpus[1];
    for (unsigned i = 0; i < 1000; i++) cpu_relax();            /* short waits: nothing */
    assert_int_equal(asked, NR_CPUS);
    fake_time_advance(3600 * TICK_NS);                          /* the machine was asleep: one look more */
    cpu_relax();
    assert_int_equal(asked, NR_CPUS);
    unsigned looks = 1;
    while (looks < 10 && !waited_too_long()) looks++;
    assert_in_range(looks, 5, 7);
    assert_int_equal(asked, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(who_gets_one), cmocka_unit_test(nobody_hangs), cmocka_unit_test(a_cpu_hangs),
                                        cmocka_unit_test(a_cpu_that_prints_is_slow_not_dead),
                                        cmocka_unit_test(a_cpu_that_waits_looks_on) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
