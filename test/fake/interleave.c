/* SPDX-License-Identifier: MIT */
/* See interleave.h. A run is a list of decisions; the next run changes the last decision that has another choice
 * left (depth-first search), so all schedules are met once and a failure repeats exactly. */
#define _GNU_SOURCE
#include <pthread.h>
#include <semaphore.h>
#include "interleave.h"

#define MAX_STEPS 20000

static struct {
    const struct interleave *il;
    pthread_t thread[IL_MAX_ACTORS];
    sem_t go[IL_MAX_ACTORS];
    sem_t all_done;
    bool done[IL_MAX_ACTORS];
    unsigned cur, alive;
    unsigned preemptions;
    unsigned step;                  /* decisions made in this run */
    u8 choice[MAX_STEPS], nr_choices[MAX_STEPS];
    unsigned depth;                 /* decisions that are prescribed */
} st;
static __thread int self = -1;

/* The n-th live actor after `cur`, n >= 1; wraps. */
static unsigned nth_other(unsigned n)
{
    unsigned i = st.cur;
    while (n) {
        i = (i + 1) % st.il->nr;
        if (!st.done[i])
            n--;
    }
    return i;
}

static unsigned decide(unsigned nr_choices)
{
    unsigned k = st.step++;

    if (k >= MAX_STEPS)
        panic("interleave: too many steps: deadlock?\n");
    st.nr_choices[k] = (u8)nr_choices;
    if (k >= st.depth)
        st.choice[k] = 0;
    return st.choice[k];
}

static void switch_to(unsigned next)
{
    unsigned me = st.cur;

    if (next == me)
        return;
    st.cur = next;
    sem_post(&st.go[next]);
    while (sem_wait(&st.go[me]))
        ;
}

static void il_hook(const void *addr)
{
    if (self < 0 || (unsigned)self != st.cur || st.alive < 2)
        return;
    if (!addr) {                    /* spinning: somebody else must run */
        switch_to(nth_other(1 + (st.alive > 2 ? decide(st.alive - 1) : decide(1))));
        return;
    }
    bool may = st.preemptions < st.il->max_preemptions;
    unsigned c = decide(may ? st.alive : 1);
    if (c) {
        st.preemptions++;
        switch_to(nth_other(c));
    }
}

static void *actor_main(void *p)
{
    unsigned i = (unsigned)(unsigned long)p;

    self = (int)i;
    this_cpu_ptr = cpus[i];
    while (sem_wait(&st.go[i]))
        ;
    st.il->actor[i](st.il->arg);
    st.done[i] = true;
    if (--st.alive == 0) {
        sem_post(&st.all_done);
    } else {
        unsigned next = nth_other(1 + decide(st.alive));
        st.cur = next;
        sem_post(&st.go[next]);
    }
    return NULL;
}

static void run_once(void)
{
    const struct interleave *il = st.il;

    fake_hook = NULL;
    if (il->setup)
        il->setup(il->arg);
    st.step = st.preemptions = 0;
    st.alive = il->nr;
    sem_init(&st.all_done, 0, 0);
    for (unsigned i = 0; i < il->nr; i++) {
        st.done[i] = false;
        sem_init(&st.go[i], 0, 0);
        pthread_create(&st.thread[i], NULL, actor_main, (void *)(unsigned long)i);
    }
    st.cur = 0;
    st.cur = decide(il->nr);
    fake_hook = il_hook;
    sem_post(&st.go[st.cur]);
    while (sem_wait(&st.all_done))
        ;
    for (unsigned i = 0; i < il->nr; i++)
        pthread_join(st.thread[i], NULL);
    fake_hook = NULL;
    if (il->check)
        il->check(il->arg);
}

unsigned interleave_explore(const struct interleave *il)
{
    unsigned runs = 0, max = il->max_runs ? il->max_runs : 100000;

    st.il = il;
    st.depth = 0;
    for (;;) {
        run_once();
        if (++runs == max)
            return runs;
        unsigned k = st.step;
        while (k && st.choice[k - 1] + 1 >= st.nr_choices[k - 1])
            k--;
        if (!k)
            return runs;
        st.choice[k - 1]++;
        st.depth = k;
    }
}
