/* SPDX-License-Identifier: MIT */
/* console_io (18): dom0 raw, guests by clean lines, reading only for dom0, continuation, bad buffers. */
#include <string.h>
#include "chan_stubs.h"
#include "debug/console.h"

static char raw[8192], lines[8192], typed[64];
static unsigned nr_lines, last_domid;

WEAK void console_write(const char *s, size_t n) { strncat(raw, s, n); }
WEAK size_t console_read(char *buf, size_t n)
{
    n = MIN(n, strlen(typed));
    memcpy(buf, typed, n);
    memmove(typed, typed + n, strlen(typed) - n + 1);
    return n;
}
WEAK void console_guest_line(struct domain *d, const char *line)
{
    nr_lines++;
    last_domid = d->id;
    strcat(strcat(lines, line), "|");
}

static struct domain *d0, *d1;

static int setup(void **state)
{
    chan_machine(1, 64);
    d0 = chan_domain(0, 1, 16, ~0u);
    d1 = chan_domain(1, 1, 16, ~0u);
    raw[0] = lines[0] = typed[0] = 0;
    nr_lines = 0;
    fake_enter_cpu(0, d1->vcpu[0]);
    return 0;
}
static int teardown(void **state)
{
    chan_domain_destroy(d1);
    chan_domain_destroy(d0);
    return 0;
}
static long io(struct domain *d, u32 cmd, const char *text, u32 count)
{
    struct call c = { .v = d->vcpu[0], .arg = { cmd, count, ARG_GPA } };
    long rc;
    if (text) memcpy(fake_guest_ptr(d, ARG_GPA), text, strlen(text));
    while ((rc = console_io(&c)) == -ERESTART)
        ;
    assert_no_locks();
    return rc;
}

static void test_write(void **state)
{
    assert_int_equal(io(d0, CONSOLEIO_write, "a\033[1mb\r\n", 8), 0);
    assert_string_equal(raw, "a\033[1mb\r\n");
    assert_int_equal(io(d1, CONSOLEIO_write, "hel\033lo\r", 8), 0);
    assert_int_equal(nr_lines, 0);
    assert_int_equal(io(d1, CONSOLEIO_write, "\tyou\nnext\n\n", 11), 0);
    assert_string_equal(lines, "hello you|next||");
    assert_int_equal(last_domid, 1);
    assert_int_equal(io(d1, CONSOLEIO_write, NULL, 0), 0);
}

static void test_long_line(void **state)
{
    char text[3000];
    memset(text, 'x', sizeof(text));
    preempt_every = 1;
    memcpy(fake_guest_ptr(d1, ARG_GPA), text, sizeof(text));
    assert_int_equal(io(d1, CONSOLEIO_write, NULL, sizeof(text)), 0);
    assert_true(preempt_count > 20);
    assert_int_equal(nr_lines, 3000 / 255);
    assert_int_equal(d1->serial_len, 3000 % 255);
}

static void test_read(void **state)
{
    strcpy(typed, "ls\n");
    assert_int_equal(io(d1, CONSOLEIO_read, NULL, 10), -EPERM);
    assert_int_equal(io(d0, CONSOLEIO_read, NULL, 2), 2);
    assert_memory_equal(fake_guest_ptr(d0, ARG_GPA), "ls", 2);
    assert_int_equal(io(d0, CONSOLEIO_read, NULL, 500), 1);
    assert_int_equal(io(d0, CONSOLEIO_read, NULL, 500), 0);
    assert_int_equal(io(d0, CONSOLEIO_read, NULL, 0), 0);
}

static void test_errors(void **state)
{
    struct call c = { .v = d1->vcpu[0], .arg = { CONSOLEIO_write, 5, 0x7ffff000 } };
    assert_int_equal(console_io(&c), -EFAULT);
    assert_int_equal(io(d1, CONSOLEIO_write, NULL, 0x80000000u), -EINVAL);
    assert_int_equal(io(d1, 2, NULL, 1), -ENOSYS);
    strcpy(typed, "x");
    c = (struct call){ .v = d0->vcpu[0], .arg = { CONSOLEIO_read, 5, 0x7ffff000 } };
    assert_int_equal(console_io(&c), -EFAULT);
    assert_string_equal(typed, "x");            /* not lost */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(x) cmocka_unit_test_setup_teardown(x, setup, teardown)
        T(test_write), T(test_long_line), T(test_read), T(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
