/* SPDX-License-Identifier: MIT */
/* Timers: order, hardware programming, re-arming and freeing from callbacks, migration between CPUs, races. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <pthread.h>
#include <cmocka.h>
#include "fake.h"
#include "machine_stubs.h"

static int order[256];
static unsigned nr_fired;
static void fired(void *arg) { order[nr_fired++ % 256] = (int)(long)arg; }

static void start(unsigned cpus_wanted)
{
    fake_machine_init(16, cpus_wanted);
    for (unsigned i = 0; i < cpus_wanted; i++) {    /* the fake machine keeps its CPUs between tests */
        list_init(&cpus[i]->timer.list);
        cpus[i]->timer.armed_ns = ~0ULL;
        fake_timer_armed_ns[i] = ~0ULL;
    }
    nr_fired = 0;
    fake_time_set(1000);
}

static void in_order(void **state)
{
    struct timer t[5];
    static const u64 when[5] = { 5000, 3000, 9000, 3000, 4000 };
    static const int want[5] = { 1, 3, 4, 0, 2 };   /* equal times in the order they were set */
    start(1);
    for (long i = 0; i < 5; i++) {
        timer_init(&t[i], fired, (void *)i);
        timer_set(&t[i], when[i]);
    }
    assert_int_equal(fake_timer_armed_ns[0], 3000);
    timer_run();
    assert_int_equal(nr_fired, 0);
    fake_time_set(4500);
    timer_run();
    assert_int_equal(nr_fired, 3);
    assert_int_equal(fake_timer_armed_ns[0], 5000);
    fake_time_set(100000);
    timer_run();
    assert_int_equal(nr_fired, 5);
    for (int i = 0; i < 5; i++)
        assert_int_equal(order[i], want[i]);
    for (int i = 0; i < 5; i++)
        assert_false(t[i].active);
}

static void hardware_only_for_earlier(void **state)
{
    struct timer a, b;
    start(1);
    timer_init(&a, fired, NULL);
    timer_init(&b, fired, NULL);
    timer_set(&a, 5000);
    fake_timer_armed_ns[0] = 0;
    timer_set(&b, 6000);
    assert_int_equal(fake_timer_armed_ns[0], 0);    /* not touched */
    timer_set(&b, 2000);
    assert_int_equal(fake_timer_armed_ns[0], 2000);
    timer_stop(&b);
    timer_stop(&b);
    fake_time_set(3000);
    timer_run();                                    /* fires for nothing and re-arms */
    assert_int_equal(nr_fired, 0);
    assert_int_equal(fake_timer_armed_ns[0], 5000);
}

static struct timer self;
static unsigned self_count;
static void again_in_the_past(void *arg)
{
    self_count++;
    timer_set(&self, 1);
}

static void cannot_keep_the_cpu(void **state)
{
    start(1);
    self_count = 0;
    timer_init(&self, again_in_the_past, NULL);
    timer_set(&self, 1);
    timer_run();
    assert_in_range(self_count, 1, 1000);
    assert_true(self.active);
    assert_int_equal(fake_timer_armed_ns[0], 1);    /* the next window goes on */
    timer_stop(&self);
}

static void free_self(void *arg)
{
    nr_fired++;
    free(arg);
}

static void may_free_itself(void **state)
{
    start(1);
    struct timer *t = malloc(sizeof(*t));
    timer_init(t, free_self, t);
    timer_set(t, 1);
    timer_run();
    assert_int_equal(nr_fired, 1);
}

static void migrates(void **state)
{
    struct timer t;
    start(2);
    timer_init(&t, fired, NULL);
    timer_set(&t, 5000);
    assert_int_equal(t.cpu, 0);
    fake_enter_cpu(1, NULL);
    timer_set(&t, 6000);
    assert_int_equal(t.cpu, 1);
    assert_int_equal(fake_timer_armed_ns[1], 6000);
    fake_enter_cpu(0, NULL);
    fake_time_set(10000);
    timer_run();
    assert_int_equal(nr_fired, 0);
    fake_enter_cpu(1, NULL);
    timer_run();
    assert_int_equal(nr_fired, 1);
    fake_enter_cpu(0, NULL);
}

/* Two CPUs set, stop and run the same timers: the sanitizers and the list invariants are the judges. */
static struct timer shared_t[4];
static void nothing(void *arg) {}

static void *hammer(void *arg)
{
    unsigned cpu = (unsigned)(long)arg;
    fake_enter_cpu(cpu, NULL);
    for (unsigned i = 0; i < 20000; i++) {
        struct timer *t = &shared_t[i * 7 % 4];
        if (i % 5 == 0)
            timer_stop(t);
        else if (i % 11 == 0)
            timer_run();
        else
            timer_set(t, 1 + i % 2000);
    }
    return NULL;
}

static void races(void **state)
{
    pthread_t other;
    start(2);
    for (int i = 0; i < 4; i++)
        timer_init(&shared_t[i], nothing, NULL);
    pthread_create(&other, NULL, hammer, (void *)1L);
    hammer((void *)0L);
    pthread_join(other, NULL);
    for (unsigned c = 0; c < 2; c++) {
        u64 last = 0;
        struct list *p;
        list_for_each(p, &cpus[c]->timer.list) {
            struct timer *t = list_entry(p, struct timer, node);
            assert_true(t->active && t->cpu == c && t->expires_ns >= last);
            last = t->expires_ns;
        }
    }
    for (int i = 0; i < 4; i++)
        timer_stop(&shared_t[i]);
    assert_true(list_empty(&cpus[0]->timer.list) && list_empty(&cpus[1]->timer.list));
}

/* Debug key 'a': bounded, and nothing changes. */
static void dump(void **state)
{
    struct timer t[20];
    char want[64];
    start(2);
    for (long i = 0; i < 20; i++) {
        timer_init(&t[i], fired, (void *)i);
        timer_set(&t[i], 1001000 + 1000 * (u64)i);
    }
    fake_time_set(1002000);                         /* the first one is late */
    fake_log_clear();
    timer_dump();
    assert_non_null(strstr(fake_log, "CPU0: 20 timers\n  in       -1 us: ?(0)\n  in        0 us: ?(1)\n"));
    snprintf(want, sizeof(want), "  in %8d us: ?(%x)\n  and 4 later ones\nCPU1: 0 timers\n", 14, 15);
    assert_non_null(strstr(fake_log, want));
    assert_int_equal(nr_fired, 0);
    for (unsigned i = 0; i < 20; i++)
        assert_true(t[i].active);
    for (unsigned i = 0; i < 20; i++)
        timer_stop(&t[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_order), cmocka_unit_test(hardware_only_for_earlier),
        cmocka_unit_test(cannot_keep_the_cpu),
        cmocka_unit_test(may_free_itself), cmocka_unit_test(migrates), cmocka_unit_test(races),
        cmocka_unit_test(dump),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
