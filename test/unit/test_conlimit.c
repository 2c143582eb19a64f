/* SPDX-License-Identifier: MIT */
/* What guests print: bounded in bytes by the speed of the serial line, one guest apart from the other, what is missing is
 * told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include "../../src/debug/conlimit.c"
#include "fake.h"
#include "machine_stubs.h"

#define LINE_RATE 11520             /* 115200 baud */

static bool wanted;
static int locks;
static u64 bytes;                   /* on the serial line */
static unsigned count[4], told[4], missing[4];     /* by domain: lines, notices, what these add up to */
static char last[LINE];
static struct domain dom[4];

bool guest_lines_wanted(void) { return wanted; }
void console_lock(void) { assert_int_equal(locks++, 0); }
void console_unlock(void) { assert_int_equal(--locks, 0); }
void console_emit(const char *s, size_t n, bool ring)
{
    unsigned id, k;
    assert_true(ring && n < sizeof(last) && s[n - 1] == '\n' && locks == 1);
    bytes += n + 1;                 /* a carriage return comes in */
    memcpy(last, s, n);
    last[n] = 0;
    assert_int_equal(sscanf(last, "(d%u) ", &id), 1);
    if (sscanf(last, "(d%u) [%u lines suppressed]", &id, &k) == 2) {
        told[id]++;
        missing[id] += k;
    } else {
        count[id]++;
    }
}

static int setup(void **state)
{
    fake_machine_init(16, 1);
    fake_time_set(5000000000ULL);
    all_guests = (struct bucket){ 0 };
    memset(dom, 0, sizeof(dom));
    memset(count, 0, sizeof(count));
    memset(told, 0, sizeof(told));
    memset(missing, 0, sizeof(missing));
    for (unsigned i = 0; i < ARRAY_SIZE(dom); i++) dom[i].id = (u16)i;
    wanted = true;
    bytes = 0;
    guest_lines_rate(LINE_RATE);
    return 0;
}

static void test_form(void **state)
{
    static char text[400];
    console_guest_line(&dom[1], "hello");
    assert_string_equal(last, "(d1) hello\n");
    console_guest_line(&dom[2], "a\tb\033[2Jc\001");
    assert_string_equal(last, "(d2) a\tb.[2Jc.\n");
    memset(text, 'x', sizeof(text) - 1);
    console_guest_line(&dom[1], text);
    assert_true(strlen(last) <= LINE - 1 && last[strlen(last) - 2] == 'x');
    wanted = false;
    console_guest_line(&dom[1], "not wanted");
    assert_int_equal(count[1], 2);
}

/* A guest that prints without end, for a minute: a short burst, then a sixteenth of the line, and all is accounted for. */
static void flood(const char *text, unsigned per_ms)
{
    unsigned sent = 0;
    for (unsigned ms = 0; ms < 60000; ms++, fake_time_advance(1000000))
        for (unsigned i = 0; i < per_ms; i++, sent++) console_guest_line(&dom[1], text);
    assert_in_range(bytes, LINE_RATE / 16 * 60 * 9 / 10, LINE_RATE / 2 + LINE_RATE / 16 * 60);
    assert_int_equal(count[1] + missing[1] + dom[1].console_bucket.refused, sent);
    assert_true(told[1] && told[1] <= 60);
}
static void test_flood(void **state) { flood("a line of the usual length, as programs print them", 3); }
static void test_flood_of_short_lines(void **state) { flood("", 20); }
static void test_flood_of_long_lines(void **state)
{
    char text[LINE];
    memset(text, 'y', sizeof(text) - 1);
    text[sizeof(text) - 1] = 0;
    flood(text, 2);
}

/* Another one prints as if nothing was, and so does one that starts late. */
static void test_witness(void **state)
{
    for (unsigned ms = 0; ms < 20000; ms++, fake_time_advance(1000000)) {
        console_guest_line(&dom[1], "flood flood flood flood flood");
        if (ms % 100) continue;
        console_guest_line(&dom[2], "still here");
        assert_string_equal(last, "(d2) still here\n");
    }
    assert_int_equal(count[2], 200);
    assert_int_equal(told[2] + dom[2].console_bucket.refused, 0);
    for (unsigned i = 0; i < 100; i++) {
        console_guest_line(&dom[3], "late");
    }
    assert_int_equal(count[3], 100);
}

/* However many there are: a quarter of the line. */
static void test_all_together(void **state)
{
    static struct domain many[64];
    memset(many, 0, sizeof(many));
    for (unsigned i = 0; i < 64; i++) many[i].id = 1;
    for (unsigned ms = 0; ms < 60000; ms++, fake_time_advance(1000000))
        for (unsigned i = 0; i < 64; i++) console_guest_line(&many[i], "we are many");
    assert_in_range(bytes, LINE_RATE / 4 * 60 * 9 / 10, LINE_RATE + LINE_RATE / 4 * 60);
}

/* What is missing is told before the next line, once. */
static void test_told(void **state)
{
    for (unsigned i = 0; i < 1000; i++) console_guest_line(&dom[1], "0123456789");
    assert_in_range(count[1], 100, 900);
    unsigned lines = count[1];
    fake_time_advance(100000000);
    console_guest_line(&dom[1], "too early");               /* single lines do not trickle through */
    assert_int_equal(count[1], lines);
    fake_time_advance(3000000000ULL);
    console_guest_line(&dom[1], "again");
    assert_string_equal(last, "(d1) again\n");
    console_guest_line(&dom[1], "and again");
    assert_int_equal(told[1], 1);
    assert_int_equal(missing[1], 1001 - lines);
    assert_int_equal(dom[1].console_bucket.refused, 0);
}

/* A slow line, or a nonsense one, still takes whole lines; nothing overflows after a year. */
static void test_extremes(void **state)
{
    static const u32 rates[] = { 0, 1, 30, 960, 1000000 };
    char text[LINE];
    memset(text, 'z', sizeof(text) - 1);
    text[sizeof(text) - 1] = 0;
    for (unsigned i = 0; i < ARRAY_SIZE(rates); i++) {
        setup(state);
        guest_lines_rate(rates[i]);
        console_guest_line(&dom[1], text);
        assert_int_equal(count[1], 1);
        for (unsigned k = 0; k < 20000; k++) console_guest_line(&dom[1], text);
        assert_true(dom[1].console_bucket.refused);
        fake_time_advance(400ULL * 86400 * 1000000000);
        console_guest_line(&dom[1], text);
        assert_int_equal(told[1], 1);
        assert_int_equal(dom[1].console_bucket.refused, 0);
        assert_true(dom[1].console_bucket.tokens < one_rate.burst);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(x) cmocka_unit_test_setup(x, setup)
        T(test_form), T(test_flood), T(test_flood_of_short_lines), T(test_flood_of_long_lines), T(test_witness),
        T(test_all_together), T(test_told), T(test_extremes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
