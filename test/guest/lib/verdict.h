/* SPDX-License-Identifier: MIT */
/*
 * Named tests with one verdict line each: "ok - name", "not ok - name: why" or "skip - name: why". A kernel has a
 * table of TEST(function) rows, from which test/boot/own.py also reads the names. Include in one file per kernel.
 */
#pragma once
#include "guest.h"

struct test { const char *name; void (*fn)(void); };
#define TEST(fn) { #fn, fn }

static struct { const char *name; unsigned failed; bool skipped; } current_test;

static inline void blame(void)
{
    failures++;
    print(current_test.failed++ ? "   also " : "not ok - %s: ", current_test.name);
}

/* a must equal b; check goes on after a failure, need ends the test (return). */
#define check_eq(a, b) ({ long a_ = (long)(a), b_ = (long)(b); if (a_ != b_) { blame(); \
    print("line %d: %s = %ld (%lx), expected %ld (%lx)\n", __LINE__, #a, a_, (u64)a_, b_, (u64)b_); } a_ == b_; })
#define check(c) ({ bool c_ = (c); if (!c_) { blame(); print("line %d: %s\n", __LINE__, #c); } c_; })
#define need_eq(a, b) do { if (!check_eq(a, b)) return; } while (0)
#define need(c) do { if (!check(c)) return; } while (0)
/* The same inside loops and tables: says which case it was. */
#define check_case(what, a, b) ({ long a_ = (long)(a), b_ = (long)(b); if (a_ != b_) { blame(); \
    print("line %d: %s: %ld, expected %ld\n", __LINE__, what, a_, b_); } a_ == b_; })
#define skip(why) do { current_test.skipped = true; print("skip - %s: %s\n", current_test.name, why); return; } while (0)

/* "not=a,b" on the command line: tests that this machine cannot run. */
static inline bool is_left_out(const char *name)
{
    const char *list = option("not=");
    size_t n = strlen(name);
    for (; list && *list && *list != ' '; list++)
        if (!memcmp(list, name, n) && (!list[n] || list[n] == ',' || list[n] == ' ')) return true;
    return false;
}

static inline void run_tests(const struct test *t, unsigned n)
{
    for (; n; n--, t++) {
        current_test.name = t->name;
        current_test.failed = 0;
        current_test.skipped = false;
        if (is_left_out(t->name)) {
            print("skip - %s: left out by the command line\n", t->name);
            continue;
        }
        t->fn();
        if (!current_test.failed && !current_test.skipped) print("ok - %s\n", t->name);
    }
}
#define RUN_TESTS(table) run_tests(table, sizeof(table) / sizeof((table)[0]))
