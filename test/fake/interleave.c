/* SPDX-License-Identifier: MIT */
/* See interleave.h; here is one run. A schedule is a short list of decisions that differ from "go on", each with the
 * number of the step at which it is taken; all else follows, so a failure repeats exactly. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include "interleave_priv.h"

struct il_state il_st;
static __thread int self = -1;

/* ---- words ---- */
#define NR_WORDS (1u << 17)
static struct word *words;
static unsigned used[NR_WORDS / 2], nr_used;    /* which of them */

struct word *il_word(const void *addr)
{
    u64 a = ROUND_DOWN((u64)addr, 8UL);     /* accesses of other sizes to parts of it count as one */
    unsigned i = (unsigned)(a * 0x9e3779b97f4a7c15ULL >> 47);

    while (words[i].addr && words[i].addr != a)
        i = (i + 1) % NR_WORDS;
    if (!words[i].addr) {
        if (nr_used == ARRAY_SIZE(used))
            panic("interleave: too many words\n");
        used[nr_used++] = i;
        words[i].addr = a;
    }
    return &words[i];
}

static void forget_words(void)
{
    while (nr_used)
        memset(&words[used[--nr_used]], 0, sizeof(*words));
}

static u64 word_hash(const struct word *w)
{
    u64 h = (w->addr ^ (w->order + 3 * w->reads)) * 0xff51afd7ed558ccdULL;

    return (h ^ h >> 32) * 0xc4ceb9fe1a85ec53ULL;
}

bool il_shared(const struct word *w) { return w->writers && (w->actors & (w->actors - 1)); }

static void note_user(struct word *w, bool reads)
{
    bool before = il_shared(w);

    w->actors |= (u8)(1u << self);
    if (!reads)
        w->writers |= (u8)(1u << self);
    il_st.learned |= !before && il_shared(w) && w->taken_for_private;
}

static void note_access(const void *addr, bool reads)
{
    struct word *w = il_word(addr);

    note_user(w, reads);
    if (w->run != il_st.run) {
        w->run = il_st.run;
        w->order = w->reads = 0;
    } else {
        il_st.trace -= word_hash(w);
    }
    /* Reads between two writes have no order. */
    u64 event = (w->order + (u64)self + 1) * 0xd6e8feb86659fd93ULL;
    if (reads) {
        w->reads += event ^ event >> 29;
    } else {
        il_st.writes++;
        w->order = (event ^ event >> 32) + w->reads;
        w->reads = 0;
    }
    il_st.trace += word_hash(w);
}

/* ---- one run ---- */

/* It would look again at what it waits for, and nobody has written since. */
static bool waits(unsigned i) { return il_st.spun_at[i] == il_st.writes; }

/* Appends the live actors after `cur` to a step's choices. */
static void add_others(struct step *at, bool waiting_too)
{
    for (unsigned k = 1; k < il_st.il->nr; k++) {
        unsigned i = (il_st.cur + k) % il_st.il->nr;
        if (!il_st.done[i] && (waiting_too || !waits(i)))
            at->choice[at->nr_choices++] = (u8)i;
    }
}

/* Who goes on at this step. */
static unsigned decide(enum kind kind, const void *addr)
{
    unsigned k = il_st.step++;
    struct step *at = &il_st.steps[k];

    if (k >= MAX_STEPS)
        panic("interleave: too many steps: deadlock?\n");
    *at = (struct step){ .addr = addr, .before = il_st.trace, .kind = (u8)kind, .cur = (u8)il_st.cur };
    if (kind != STEP_FREE)
        at->choice[at->nr_choices++] = (u8)il_st.cur;
    add_others(at, false);
    if (!at->nr_choices)
        add_others(at, true);
    const struct decision *d = &il_st.now.d[il_st.next];
    if (il_st.next == il_st.now.nr || d->step != k || d->choice >= at->nr_choices)
        return at->choice[0];
    il_st.next++;
    return at->choice[d->choice];
}

static void switch_to(unsigned next)
{
    unsigned me = il_st.cur;

    if (next == me)
        return;
    il_st.cur = next;
    sem_post(&il_st.go[next]);
    while (sem_wait(&il_st.go[me]))
        ;
}

static void il_hook(const void *addr)
{
    if (self < 0 || (unsigned)self != il_st.cur)
        return;
    bool reads = fake_hook_reads;
    fake_hook_reads = false;
    if (il_st.alive > 1 && !addr) { /* spinning: somebody else must run */
        il_st.spun_at[self] = il_st.writes;
        switch_to(decide(STEP_FREE, NULL));
        il_st.spun_at[self] = 0;
        return;
    }
    if (!addr && il_st.lone_spins++ > MAX_STEPS)
        panic("interleave: the last actor waits for ever\n");
    if (il_st.alive > 1)
        switch_to(decide(STEP_HOOK, addr));
    if (addr)
        note_access(addr, reads);
}

static void run_actor(unsigned i)
{
    this_cpu_ptr = cpus[i];
    il_st.il->actor[i](il_st.il->arg);
    il_st.done[i] = true;
    if (--il_st.alive == 0) {
        sem_post(&il_st.all_done);
    } else {
        il_st.cur = decide(STEP_FREE, NULL);
        sem_post(&il_st.go[il_st.cur]);
    }
}

/* The thread of one actor, for all runs: to make one costs more than most runs. */
static void *actor_main(void *p)
{
    self = (int)(unsigned long)p;
    for (;;) {
        while (sem_wait(&il_st.go[self]))
            ;
        run_actor((unsigned)self);
    }
    return NULL;
}

static void make_threads(void)
{
    pthread_t t;

    il_st.pid = getpid();
    sem_init(&il_st.all_done, 0, 0);
    for (unsigned long i = 0; i < IL_MAX_ACTORS; i++) {
        sem_init(&il_st.go[i], 0, 0);
        pthread_create(&t, NULL, actor_main, (void *)i);
        pthread_detach(t);
    }
}

/* ---- schedules as text ---- */

/* The exploration's name, then the decisions. */
static void make_text(void)
{
    int n = snprintf(il_st.text, sizeof(il_st.text), "%s:", il_st.il->name);

    for (unsigned i = 0; i < il_st.now.nr; i++)
        n += snprintf(il_st.text + n, sizeof(il_st.text) - (size_t)n, "%s%u.%u", i ? "," : "", il_st.now.d[i].step,
                      il_st.now.d[i].choice);
}

bool il_named(const char *text, const struct interleave *il)
{
    size_t n = strlen(il->name);

    return !strncmp(text, il->name, n) && text[n] == ':';
}

bool il_parse(const struct interleave *il, const char *text, struct schedule *s)
{
    int n = 0;
    unsigned step, choice;

    *s = (struct schedule){ 0 };
    if (!il_named(text, il))
        return false;
    for (text += strlen(il->name) + 1; *text && s->nr < MAX_DECISIONS; text += n + (text[n] == ',')) {
        if (sscanf(text, "%u.%u%n", &step, &choice, &n) != 2)
            return false;
        s->d[s->nr++] = (struct decision){ (u16)step, (u8)choice };
    }
    s->preemptions = s->nr != 0;
    return !*text;
}

/* A run that did not come to its end: said from wherever the process ends. */
static void tell(void)
{
    char line[sizeof(il_st.text) + 64];
    int n = snprintf(line, sizeof(line), "interleave: run %u failed; again with INTERLEAVE=%s\n", il_st.run,
                     il_st.text);

    if (il_st.running && write(STDERR_FILENO, line, (size_t)n) < 0)
        _exit(1);
    il_st.running = false;
}
static void on_abort(int sig)
{
    tell();
    signal(sig, SIG_DFL);
    raise(sig);
}
void __sanitizer_set_death_callback(void (*fn)(void));

void il_run(const struct schedule *s)
{
    const struct interleave *il = il_st.il;

    fake_hook = NULL;
    if (il_st.pid != getpid())
        make_threads();
    il_st.now = *s;
    il_st.run++;
    il_st.trace = 0;
    make_text();
    il_st.running = true;
    fake_ram_keep = il_st.run > 1;  /* for speed */
    if (il->setup)
        il->setup(il->arg);
    fake_ram_keep = false;
    il_st.step = il_st.next = 0;
    il_st.alive = il->nr;
    memset(il_st.done, 0, sizeof(il_st.done));
    memset(il_st.spun_at, 0, sizeof(il_st.spun_at));
    il_st.writes = 1;
    il_st.lone_spins = 0;
    il_st.cur = 0;
    il_st.cur = decide(STEP_START, NULL);
    fake_hook = il_hook;
    sem_post(&il_st.go[il_st.cur]);
    while (sem_wait(&il_st.all_done))
        ;
    fake_hook = NULL;
    if (il->check)
        il->check(il->arg);
    il_st.running = false;
}

void il_begin(const struct interleave *il)
{
    tell();                         /* an exploration before this one was left by a failed assertion */
    if (!il->name || strlen(il->name) >= IL_NAME)
        panic("interleave: an exploration has no name, or a long one\n");
    if (!words) {
        words = calloc(NR_WORDS, sizeof(*words));
        signal(SIGABRT, on_abort);
        __sanitizer_set_death_callback(tell);
        atexit(tell);
    }
    forget_words();
    il_st.il = il;
    il_st.run = 0;
    il_st.complete = 0;
    il_st.random = 1;
}
