/* SPDX-License-Identifier: MIT */
/* xen.cfg and EFI load options. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include "boot/xencfg.h"
#include "lib/lib.h"

static char out[64];

/* The text without a terminator, in an allocation of exactly its length. */
static int get_n(const char *text, size_t n, const char *section, const char *key)
{
    char *copy = malloc(n ? n : 1);

    memcpy(copy, text, n);
    int rc = xencfg_get(copy, n, section, key, out, sizeof(out));
    free(copy);
    return rc;
}

static int get(const char *text, const char *section, const char *key)
{
    return get_n(text, strlen(text), section, key);
}

static const char cfg[] =
    "# comment\r\n"
    "[global]\r\n"
    "default = debian \r\n"
    "\r\n"
    "[other]\n"
    "kernel=wrong\n"
    "[ debian ]\n"
    "  options=console=com1 dom0_mem=1G \n"
    "kernel=vmlinuz root=/dev/sda1 ro\n"
    "kernel=second\n"
    "#ramdisk=no\n"
    "ramdisk=initrd.img";

static void test_sections(void **state)
{
    assert_int_equal(get(cfg, "global", "default"), 6);
    assert_string_equal(out, "debian");
    assert_true(get(cfg, "debian", "kernel") > 0);
    assert_string_equal(out, "vmlinuz root=/dev/sda1 ro");
    assert_true(get(cfg, "debian", "options") > 0);
    assert_string_equal(out, "console=com1 dom0_mem=1G");
    assert_true(get(cfg, "debian", "ramdisk") > 0);
    assert_string_equal(out, "initrd.img");
    assert_int_equal(get(cfg, "debian", "ucode"), -1);
    assert_int_equal(get(cfg, "absent", "kernel"), -1);
    assert_int_equal(get(cfg, "other", "ramdisk"), -1);
    assert_true(get(cfg, NULL, "kernel") > 0);
    assert_string_equal(out, "wrong");
    assert_true(xencfg_has_section(cfg, strlen(cfg), "debian"));
    assert_false(xencfg_has_section(cfg, strlen(cfg), "deb"));
}

static void test_no_headers(void **state)
{
    assert_true(get("kernel=a\noptions=b\n", "x", "options") == 1);
    assert_string_equal(out, "b");
    assert_true(get("\xef\xbb\xbfkernel=a", "x", "kernel") == 1);
}

static void test_bad(void **state)
{
    char longer[200];

    assert_int_equal(get("", "x", "kernel"), -1);
    assert_int_equal(get("kernel", NULL, "kernel"), -1);
    assert_int_equal(get("kernel=", NULL, "kernel"), 0);
    assert_int_equal(get("=x", NULL, "kernel"), -1);
    assert_int_equal(get("[", "x", "kernel"), -1);
    assert_int_equal(get("[]\nkernel=a", "", "kernel"), 1);
    assert_int_equal(get("xkernel=a\nkernelx=b", NULL, "kernel"), -1);
    memset(longer, 'a', sizeof(longer));
    memcpy(longer, "kernel=", 7);
    assert_int_equal(get_n(longer, sizeof(longer), NULL, "kernel"), -2);
    assert_int_equal(get_n(longer, 7 + sizeof(out) - 1, NULL, "kernel"), sizeof(out) - 1);
    assert_int_equal(get_n(longer, 7 + sizeof(out), NULL, "kernel"), -2);
    assert_int_equal(get_n("kernel=a\0kernel=b", 17, NULL, "kernel"), 1);
    assert_int_equal(get_n("x=a\0kernel=b", 12, NULL, "kernel"), -1);      /* a NUL ends the text */
    for (size_t n = 0; n <= strlen(cfg); n++) {                             /* every truncation */
        get_n(cfg, n, "debian", "ramdisk");
        get_n(cfg, n, "global", "default");
    }
}

static void test_args(void **state)
{
    struct efi_args a;

    efi_args_parse(&a, "xen.efi -cfg=my.cfg -basevideo -- loglvl=all x");
    assert_string_equal(a.cfg, "my.cfg");
    assert_true(a.basevideo && !a.bad && !a.help);
    assert_string_equal(a.rest, "loglvl=all x");
    efi_args_parse(&a, "xen.efi -cfg  other.cfg  rescue -mapbs");
    assert_string_equal(a.cfg, "other.cfg");
    assert_string_equal(a.section, "rescue");
    assert_string_equal(a.rest, "");
    assert_false(a.bad);
    efi_args_parse(&a, "");
    assert_true(!a.bad && !*a.rest && !*a.section);
    efi_args_parse(&a, "xen.efi -zzz");
    assert_true(a.bad);
    assert_string_equal(a.unknown, "-zzz");
    efi_args_parse(&a, "xen.efi -?");
    assert_true(a.help);
    efi_args_parse(&a, "-cfg");
    assert_string_equal(a.cfg, "");
    char big[300];
    memset(big, 'y', sizeof(big));
    memcpy(big, "a -cfg=", 7);
    big[299] = 0;
    efi_args_parse(&a, big);
    assert_true(a.bad);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sections), cmocka_unit_test(test_no_headers), cmocka_unit_test(test_bad),
        cmocka_unit_test(test_args),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
