/* SPDX-License-Identifier: MIT */
/* The hypervisor's command line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include "boot/cmdline.h"
#include "fake.h"

static bool flag_a, flag_b = true;
static u64 number, size;
static char text[8];
static char custom[32];
static int set_custom(const char *v)
{
    snprintf(custom, sizeof(custom), "%s", v);
    return strcmp(v, "bad") ? 0 : -EINVAL;
}

BOOT_OPTION(t_a, "t_a", OPT_BOOL, 0, &flag_a, NULL, "flag");
BOOT_OPTION(t_b, "t-b", OPT_BOOL, 0, &flag_b, NULL, "flag");
BOOT_OPTION(t_num, "t_num", OPT_UINT, 0, &number, NULL, "number");
BOOT_OPTION(t_size, "t_size", OPT_SIZE, 0, &size, NULL, "size");
BOOT_OPTION(t_text, "t_text", OPT_STRING, sizeof(text), text, NULL, "text");
BOOT_OPTION(t_custom, "t_custom", OPT_CUSTOM, 0, NULL, set_custom, "custom");
BOOT_OPTION(t_ignored, "t_ignored", OPT_IGNORE, 0, NULL, NULL, "");
BOOT_OPTION(t_no, "no-t-thing", OPT_IGNORE, 0, NULL, NULL, "");

/* Number of complaints in the log. */
static int parse(const char *line)
{
    int n = 0;

    fake_log_clear();
    cmdline_parse(line);
    for (const char *p = fake_log; *p; p++)
        n += *p == '\n';
    return n;
}

static void test_bool(void **state)
{
    assert_int_equal(parse("t_a no-t-b"), 0);
    assert_true(flag_a && !flag_b);
    assert_int_equal(parse("t_a=off t-b=yes"), 0);
    assert_true(!flag_a && flag_b);
    assert_int_equal(parse("t-a=true t_b=0"), 0);       /* - and _ are the same */
    assert_true(flag_a && !flag_b);
    assert_int_equal(parse("t_a=perhaps"), 1);
    assert_true(flag_a);
}

static void test_values(void **state)
{
    assert_int_equal(parse("t_num=0x10 t_size=3G t_text=abc t_custom=x,y"), 0);
    assert_int_equal(number, 16);
    assert_true(size == 3ULL << 30);
    assert_string_equal(text, "abc");
    assert_string_equal(custom, "x,y");
    assert_int_equal(parse("t_num=1x"), 1);
    assert_int_equal(parse("t_num="), 1);
    assert_int_equal(parse("t_num no-t_num t_text"), 3);
    assert_int_equal(parse("t_text=toolongtext"), 1);
    assert_int_equal(parse("t_custom=bad"), 1);
    assert_int_equal(parse("no-t_custom"), 0);
    assert_string_equal(custom, "0");
    assert_int_equal(number, 16);
}

static void test_unknown(void **state)
{
    assert_int_equal(parse("t_ignored t_ignored=1 no-t_ignored no-t-thing"), 0);
    assert_int_equal(parse("nonsense"), 1);
    assert_non_null(strstr(fake_log, "nonsense"));
    assert_int_equal(parse("no-nonsense t_aa t_"), 3);
    assert_int_equal(parse("no-t_a=1"), 1);
    assert_int_equal(parse("no- = =x"), 3);
}

static void test_shape(void **state)
{
    char line[2048];

    assert_int_equal(parse("  \t t_num=5  \n t_size=1k "), 0);
    assert_int_equal(number, 5);
    assert_true(size == 1024);
    assert_int_equal(parse("t_num=6 -- t_num=7 nonsense"), 0);
    assert_int_equal(number, 6);
    memset(line, 'x', sizeof(line) - 1);
    line[sizeof(line) - 1] = 0;
    assert_int_equal(parse(line), 1);
    assert_int_equal(strlen(saved_cmdline), sizeof(saved_cmdline) - 1);
    assert_int_equal(parse("dom0_mem=1G t_num=8") <= 1, 1);
    assert_string_equal(saved_cmdline, "dom0_mem=1G t_num=8");
    assert_int_equal(parse(""), 0);
    assert_string_equal(saved_cmdline, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bool), cmocka_unit_test(test_values), cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_shape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
