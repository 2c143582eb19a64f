/* SPDX-License-Identifier: MIT */
/* The interleaver itself, on operations that are broken on purpose: it finds them, says with which schedule, and that
 * schedule shows the flaw again, in this process and in another. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <sys/wait.h>
#include <unistd.h>
#include "interleave.h"
#include "machine_stubs.h"

/* An account: two withdrawals that look first and act later, and a reader. */
static struct { struct spinlock l; u32 money, paid; bool atomic_step; } acc;
static char bad_schedule[512];
static unsigned failures;

static void acc_setup(void *arg)
{
    fake_machine_init(4, 3);
    acc.money = 10;
    acc.paid = 0;
    spin_init(&acc.l, RANK_P2M);
}
static void withdraw(void *arg)
{
    bool locked = arg != NULL;
    if (locked) spin_lock(&acc.l);
    if (read_once(&acc.money) >= 7) {
        atomic_sub(&acc.money, 7u);
        atomic_add(&acc.paid, 7u);
    }
    if (locked) spin_unlock(&acc.l);
}
static void bystander(void *arg)
{
    static u32 own[40];
    for (unsigned i = 0; i < ARRAY_SIZE(own); i++) write_once(&own[i], i);
}
static void acc_check(void *arg)
{
    if (acc.paid <= 10) return;
    if (!failures++) snprintf(bad_schedule, sizeof(bad_schedule), "%s", interleave_schedule());
}
static const struct interleave broken = { .name = "broken", .nr = 2, .actor = { withdraw, withdraw },
                                          .setup = acc_setup, .check = acc_check, .max_preemptions = 2 };

static void test_finds_and_replays(void **state)
{
    failures = 0;
    unsigned runs = interleave_explore(&broken);
    assert_true(interleave_complete(2) && runs > 5 && failures > 0 && failures < runs);
    char text[512];
    snprintf(text, sizeof(text), "%s", bad_schedule);
    for (unsigned i = 0; i < 3; i++) {
        failures = 0;
        assert_true(interleave_replay(&broken, text));
        assert_int_equal(failures, 1);
    }
    failures = 0;
    *(strchr(text, ':') + 1) = 0;                   /* no switch at all: it works */
    assert_true(interleave_replay(&broken, text));
    assert_int_equal(failures, 0);
    assert_false(interleave_replay(&broken, "other:3.1"));      /* of another exploration */
}

static void test_lock_helps(void **state)
{
    struct interleave il = broken;
    il.name = "with-lock";
    il.arg = &acc;
    failures = 0;
    assert_true(interleave_explore(&il) > 5 && interleave_complete(2));
    assert_int_equal(failures, 0);
}

/* Of three actors two wait for the third again and again: that they take turns in vain is no new order. */
static void test_waiting(void **state)
{
    struct interleave il = { .name = "waiting", .nr = 3, .actor = { withdraw, withdraw, withdraw },
                             .setup = acc_setup,
                             .check = acc_check, .arg = &acc, .max_preemptions = 2, .max_runs = 2000 };
    failures = 0;
    interleave_all(&il, 2);
    assert_int_equal(failures, 0);
}

/* An actor that touches nothing of the others does not multiply the schedules: its steps are tried once each. */
static void test_reduction(void **state)
{
    struct interleave il = { .name = "reduction", .nr = 3, .actor = { withdraw, withdraw, bystander },
                             .setup = acc_setup, .check = acc_check, .max_preemptions = 3, .max_runs = 20000 };
    failures = 0;
    unsigned runs = interleave_explore(&il);
    assert_true(interleave_complete(3) && failures);
    assert_true(runs < 3000);                       /* all schedules: C(46, 3) * 8, more than 100000 */
}

/* A pair that needs three switches is found with three and not with two: the bound means what it says. */
static u32 turn;
static bool met;
static void ping(void *arg)
{
    if (read_once(&turn) == 0) write_once(&turn, 1);
    if (read_once(&turn) == 2) write_once(&turn, 3);
}
static void pong(void *arg)
{
    if (read_once(&turn) == 1) write_once(&turn, 2);
    met |= read_once(&turn) == 3;
}
static void turn_setup(void *arg) { fake_machine_init(4, 2); turn = 0; }
static void test_bound(void **state)
{
    for (unsigned bound = 0; bound < 4; bound++) {
        struct interleave il = { .name = "bound", .nr = 2, .actor = { ping, pong }, .setup = turn_setup,
                                 .max_preemptions = bound };
        met = false;
        interleave_explore(&il);
        assert_true(interleave_complete(bound));
        assert_int_equal(met, bound >= 2);
    }
}

/* Three actors, of which two commute, whichever they are: they end in the same state in either order, but what
 * follows is another story. All six orders are run. */
static u32 x, y;
static unsigned order[3], place;
static bool orders[3][3];           /* by the first and the second */
static void use_x(void) { atomic_add(&x, 1u); }
static void use_y(void) { atomic_add(&y, 1u); }
static void use_both(void) { use_x(); use_y(); }
static void take_part(unsigned i, void *arg)
{
    unsigned odd = (unsigned)(unsigned long)arg;                  /* uses what both others use */
    order[place++] = i;
    if (i == odd) use_both();
    else if (i == (odd + 1) % 3) use_x();
    else use_y();
}
static void part0(void *arg) { take_part(0, arg); }
static void part1(void *arg) { take_part(1, arg); }
static void part2(void *arg) { take_part(2, arg); }
static void part_setup(void *arg) { fake_machine_init(4, 3); place = 0; }
static void part_check(void *arg) { orders[order[0]][order[1]] = true; }
static void test_commuting(void **state)
{
    for (unsigned long odd = 0; odd < 3; odd++) {
        struct interleave il = { .name = "commuting", .nr = 3, .actor = { part0, part1, part2 }, .setup = part_setup,
                                 .check = part_check, .arg = (void *)odd };
        unsigned n = 0;
        memset(orders, 0, sizeof(orders));
        interleave_all(&il, 0);
        for (unsigned i = 0; i < 9; i++) n += orders[i / 3][i % 3];
        assert_int_equal(n, 6);
    }
}

/* A word that the second actor uses only if it comes in the midst of the first: that it is shared is learned late,
 * and the switch before it is still combined with another. */
static u32 flag, secret;
static void owner(void *arg)
{
    write_once(&flag, 1);
    write_once(&secret, 1);
    write_once(&flag, 2);
}
static void visitor(void *arg)
{
    if (read_once(&flag) != 1) return;
    write_once(&secret, 5);
    met |= read_once(&flag) == 2 && read_once(&secret) == 1;
}
static void secret_setup(void *arg) { fake_machine_init(4, 2); flag = secret = 0; }
static void test_shared_late(void **state)
{
    for (unsigned bound = 1; bound < 3; bound++) {
        struct interleave il = { .name = "shared-late", .nr = 2, .actor = { owner, visitor }, .setup = secret_setup,
                                 .max_preemptions = bound };
        met = false;
        interleave_all(&il, bound);
        assert_int_equal(met, bound == 2);
    }
}

/* A deadlock and a failed assertion end the process with a line that names the schedule; with that line in the
 * environment the program fails right after the two runs without a switch. */
static struct spinlock la, lb;
static void dl_setup(void *arg)
{
    acc_setup(arg);
    spin_init(&la, RANK_P2M);
    spin_init(&lb, RANK_EVTCHN);
}
static void dl_actor(struct spinlock *first, struct spinlock *second)
{
    u32 w = atomic_add(&first->word, 1u << 16);     /* by hand: the rank check would not let it happen */
    while ((load_acquire(&first->word) & 0xffff) != w >> 16) cpu_relax();
    spin_lock(second);
    spin_unlock(second);
    store_release((u16 *)&first->word, (u16)((w >> 16) + 1));
}
static void dl_a(void *arg) { dl_actor(&la, &lb); }
static void dl_b(void *arg) { dl_actor(&lb, &la); }
static void as_check(void *arg) { assert_true(acc.paid <= 10); }

static const struct interleave dying[] = {
    { .name = "deadlock", .nr = 2, .actor = { dl_a, dl_b }, .setup = dl_setup, .max_preemptions = 1 },
    { .name = "assertion", .nr = 2, .actor = { withdraw, withdraw }, .setup = acc_setup, .check = as_check,
      .max_preemptions = 1 },
};

/* Run an exploration in a child; its last words. Returns the number of the run that failed, 0 if none did. */
static unsigned in_child(const struct interleave *il, char *schedule, size_t size)
{
    int fd[2];
    static char out[65536];
    assert_int_equal(pipe(fd), 0);
    fflush(NULL);
    pid_t pid = fork();
    if (!pid) {
        dup2(fd[1], 1);
        dup2(fd[1], 2);
        if (schedule[0]) setenv("INTERLEAVE", schedule, 1);
        interleave_explore(il);                     /* an assertion ends this child's test, and then the child */
        _exit(0);
    }
    close(fd[1]);
    size_t len = 0;
    ssize_t n;
    while (len < sizeof(out) - 1 && (n = read(fd[0], out + len, sizeof(out) - 1 - len)) > 0) len += (size_t)n;
    out[len] = 0;
    close(fd[0]);
    int status;
    waitpid(pid, &status, 0);
    char *p = strstr(out, "interleave: run ");
    if (!p) {
        assert_int_equal(status, 0);
        return 0;
    }
    assert_int_not_equal(status, 0);
    unsigned run = 0;
    char text[512] = "";
    assert_int_equal(sscanf(p, "interleave: run %u failed; again with INTERLEAVE=%500s", &run, text), 2);
    snprintf(schedule, size, "%s", text);
    return run;
}

/* Waits for what never comes, also when nobody else is left. */
static void lonely(void *arg) { while (!read_once(&flag)) cpu_relax(); }

static void test_prints(void **state)
{
    static const struct interleave alone = { .name = "lonely", .nr = 2, .actor = { part0, lonely },
                                             .setup = secret_setup };
    char said[512] = "";
    place = 0;
    assert_int_equal(in_child(&alone, said, sizeof(said)), 1);
    for (unsigned i = 0; i < ARRAY_SIZE(dying); i++) {
        char first[512] = "", again[512];
        assert_true(in_child(&dying[i], first, sizeof(first)) > 1);
        snprintf(again, sizeof(again), "%s", first);
        assert_int_equal(in_child(&dying[i], again, sizeof(again)), 3);
        assert_string_equal(first, again);
        *(strchr(first, ':') + 1) = 0;
        assert_int_equal(in_child(&dying[i], first, sizeof(first)), 0);
    }
}

/* INTERLEAVE with a name that there is not, or with steps that there are not, is an error and not a quiet success. */
static void test_names_none(void **state)
{
    static const struct { const char *schedule; int rc; } cases[] = {
        { "broken:", 0 }, { "brok:", 1 }, { "broken", 1 }, { "broken:nonsense", 1 }, { "broken:1.1,", 0 },
        { "broken:9999.1", 1 }, { "broken:1.7", 1 },
    };
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        int status;
        fflush(NULL);
        pid_t pid = fork();
        if (!pid) {
            setenv("INTERLEAVE", cases[i].schedule, 1);
            interleave_explore(&broken);
            interleave_end();
            _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (status != cases[i].rc << 8) fail_msg("%s: status %x", cases[i].schedule, status);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finds_and_replays), cmocka_unit_test(test_lock_helps), cmocka_unit_test(test_waiting),
        cmocka_unit_test(test_reduction), cmocka_unit_test(test_bound), cmocka_unit_test(test_commuting),
        cmocka_unit_test(test_shared_late), cmocka_unit_test(test_prints), cmocka_unit_test(test_names_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
