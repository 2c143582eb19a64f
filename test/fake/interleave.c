/* SPDX-License-Identifier: MIT */
/* See interleave.h. A schedule is a short list of decisions that differ from "go on", each with the number of the
 * step at which it is taken; all else follows, so a failure repeats exactly. */
#define _GNU_SOURCE
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "interleave.h"

#define MAX_STEPS 20000
#define MAX_DECISIONS 24        /* in one schedule; free ones count too */
#define LONG_FACTOR 20u

enum kind { STEP_HOOK, STEP_FREE };
struct decision { u16 step; u8 choice; };
struct schedule {
    struct decision d[MAX_DECISIONS];
    u8 nr, preemptions;
    bool shared_only;               /* all its preemptions lie at words that several actors use */
};
/* A word and what happened to it: which actors used it in any run, and in which order in this one. */
struct word { u64 addr, order, reads; unsigned run; u8 actors, writers; };

static struct {
    const struct interleave *il;
    pthread_t thread[IL_MAX_ACTORS];
    sem_t go[IL_MAX_ACTORS];
    sem_t all_done;
    bool done[IL_MAX_ACTORS];
    unsigned cur, alive;
    struct schedule now;
    unsigned next;                  /* decision of `now` that comes next */
    unsigned step, run;
    u32 random;
    struct { const void *addr; u8 nr_choices, kind; } steps[MAX_STEPS];
    bool running, complete;
    char text[16 + 12 * MAX_DECISIONS];
} st;
static __thread int self = -1;
unsigned interleave_id;

/* ---- words ---- */
#define NR_WORDS (1u << 17)
static struct word *words;
static unsigned *used, nr_used, nr_words;       /* those of this run; all that are known */

static struct word *word_of(const void *addr)
{
    u64 a = (u64)addr;
    unsigned i = (unsigned)(a * 0x9e3779b97f4a7c15ULL >> 47);

    while (words[i].addr && words[i].addr != a)
        i = (i + 1) % NR_WORDS;
    if (!words[i].addr && ++nr_words > NR_WORDS / 2)
        panic("interleave: too many words\n");
    words[i].addr = a;
    return &words[i];
}

static void note_access(const void *addr, bool reads)
{
    struct word *w = word_of(addr);

    if (w->run != st.run) {
        w->run = st.run;
        w->order = w->reads = 0;
        used[nr_used++] = (unsigned)(w - words);
    }
    w->actors |= (u8)(1u << self);
    /* Reads between two writes have no order. */
    u64 event = (w->order + (u64)self + 1) * 0xd6e8feb86659fd93ULL;
    if (reads) {
        w->reads += event ^ event >> 29;
    } else {
        w->writers |= (u8)(1u << self);
        w->order = (event ^ event >> 32) + w->reads;
        w->reads = 0;
    }
}

/* The run as a partial order: per word, who used it in which order. */
static u64 run_hash(void)
{
    u64 sum = 0;

    for (unsigned i = 0; i < nr_used; i++) {
        const struct word *w = &words[used[i]];
        u64 h = (w->addr ^ (w->order + 3 * w->reads)) * 0xff51afd7ed558ccdULL;
        sum += (h ^ h >> 32) * 0xc4ceb9fe1a85ec53ULL;
    }
    return sum;
}

static bool is_shared(const void *addr)
{
    const struct word *w = word_of(addr);

    return w->writers && (w->actors & (w->actors - 1));
}

/* ---- one run ---- */

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

static unsigned decide(unsigned nr_choices, enum kind kind, const void *addr)
{
    unsigned k = st.step++;

    if (k >= MAX_STEPS)
        panic("interleave: too many steps: deadlock?\n");
    st.steps[k].addr = addr;
    st.steps[k].nr_choices = (u8)nr_choices;
    st.steps[k].kind = (u8)kind;
    if (st.next == st.now.nr || st.now.d[st.next].step != k)
        return 0;
    unsigned c = st.now.d[st.next++].choice;
    return c < nr_choices ? c : 0;
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
    if (self < 0 || (unsigned)self != st.cur)
        return;
    bool reads = fake_hook_reads;
    fake_hook_reads = false;
    if (st.alive > 1 && !addr) {    /* spinning: somebody else must run */
        switch_to(nth_other(1 + decide(st.alive - 1, STEP_FREE, NULL)));
        return;
    }
    if (st.alive > 1) {
        unsigned c = decide(st.alive, STEP_HOOK, addr);
        if (c)
            switch_to(nth_other(c));
    }
    if (addr)
        note_access(addr, reads);
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
        unsigned next = nth_other(1 + decide(st.alive, STEP_FREE, NULL));
        st.cur = next;
        sem_post(&st.go[next]);
    }
    return NULL;
}

/* ---- schedules as text ---- */

/* Names an exploration: the distance of its first actor from here, the same in every run of one program. */
static unsigned identity(const struct interleave *il)
{
    u64 sum = (u64)il->actor[0] * 31 + (u64)il->actor[1] * 7 + (u64)il->check;

    return interleave_id + (unsigned)(sum - 39 * (u64)interleave_explore);
}

static void make_text(void)
{
    int n = snprintf(st.text, sizeof(st.text), "%x:", identity(st.il));

    for (unsigned i = 0; i < st.now.nr; i++)
        n += snprintf(st.text + n, sizeof(st.text) - (size_t)n, "%s%u.%u", i ? "," : "", st.now.d[i].step,
                      st.now.d[i].choice);
}

static bool parse(const struct interleave *il, const char *text, struct schedule *s)
{
    int n = 0;
    unsigned id, step, choice;

    *s = (struct schedule){ 0 };
    if (sscanf(text, "%x:%n", &id, &n) != 1 || !n || id != identity(il))
        return false;
    for (text += n; s->nr < MAX_DECISIONS; text += n + (text[n] == ',')) {
        if (sscanf(text, "%u.%u%n", &step, &choice, &n) != 2)
            break;
        s->d[s->nr++] = (struct decision){ (u16)step, (u8)choice };
    }
    s->preemptions = s->nr != 0;
    return true;
}

const char *interleave_schedule(void) { return st.text; }
bool interleave_complete(void) { return st.complete; }
unsigned interleave_preemptions(void) { return st.now.preemptions; }

/* A run that did not come to its end: said from wherever the process ends. */
static void tell(void)
{
    char line[sizeof(st.text) + 64];
    int n = snprintf(line, sizeof(line), "interleave: run %u failed; again with INTERLEAVE=%s\n", st.run, st.text);

    if (st.running && write(STDERR_FILENO, line, (size_t)n) < 0)
        _exit(1);
    st.running = false;
}
static void on_abort(int sig)
{
    tell();
    signal(sig, SIG_DFL);
    raise(sig);
}
void __sanitizer_set_death_callback(void (*fn)(void));

static void run_once(const struct schedule *s)
{
    const struct interleave *il = st.il;

    fake_hook = NULL;
    st.now = *s;
    st.run++;
    nr_used = 0;
    make_text();
    st.running = true;
    if (il->setup)
        il->setup(il->arg);
    st.step = st.next = 0;
    st.alive = il->nr;
    sem_init(&st.all_done, 0, 0);
    for (unsigned i = 0; i < il->nr; i++) {
        st.done[i] = false;
        sem_init(&st.go[i], 0, 0);
        pthread_create(&st.thread[i], NULL, actor_main, (void *)(unsigned long)i);
    }
    st.cur = 0;
    st.cur = decide(il->nr, STEP_FREE, NULL);
    fake_hook = il_hook;
    sem_post(&st.go[st.cur]);
    while (sem_wait(&st.all_done))
        ;
    for (unsigned i = 0; i < il->nr; i++)
        pthread_join(st.thread[i], NULL);
    fake_hook = NULL;
    if (il->check)
        il->check(il->arg);
    st.running = false;
}

static void begin(const struct interleave *il)
{
    tell();                         /* an exploration before this one was left by a failed assertion */
    if (!words) {
        words = calloc(NR_WORDS, sizeof(*words));
        used = calloc(NR_WORDS, sizeof(*used));
        signal(SIGABRT, on_abort);
        __sanitizer_set_death_callback(tell);
        atexit(tell);
    }
    memset(words, 0, NR_WORDS * sizeof(*words));
    nr_words = 0;
    st.il = il;
    st.run = 0;
    st.complete = false;
    st.random = 1;
}

/* ---- exploration ---- */
struct queue { struct schedule *s; unsigned nr, room; };
static struct queue *rounds;        /* by number of preemptions; kept reachable if an assertion jumps out */
static unsigned nr_rounds;
static struct { u64 *hash; unsigned mask; } seen;     /* orders of accesses met so far */

static void add(struct queue *q, const struct schedule *s)
{
    if (q->nr == q->room) {
        q->room = q->room ? 2 * q->room : 256;
        q->s = realloc(q->s, q->room * sizeof(*q->s));
    }
    q->s[q->nr++] = *s;
}

static bool seen_before(u64 hash)
{
    unsigned i = (unsigned)hash & seen.mask;

    for (; seen.hash[i]; i = (i + 1) & seen.mask)
        if (seen.hash[i] == hash)
            return true;
    seen.hash[i] = hash;
    return false;
}

/* All schedules that follow the last one up to its last decision and take one more later on. */
static void extend(unsigned max_preemptions)
{
    struct schedule base = st.now, s;

    if (base.nr == MAX_DECISIONS)
        return;
    for (unsigned k = base.nr ? base.d[base.nr - 1].step + 1u : 0; k < st.step; k++) {
        bool costs = st.steps[k].kind == STEP_HOOK;
        bool shared = !costs || is_shared(st.steps[k].addr);
        if (costs && (base.preemptions == max_preemptions || (base.preemptions && !(shared && base.shared_only))))
            continue;
        s = base;
        s.preemptions = (u8)(base.preemptions + costs);
        s.shared_only = base.shared_only && shared;
        for (unsigned c = 1; c < st.steps[k].nr_choices; c++) {
            s.d[base.nr] = (struct decision){ (u16)k, (u8)c };
            s.nr = (u8)(base.nr + 1);
            add(&rounds[s.preemptions], &s);
        }
    }
}

static void drop_rounds(void)
{
    for (unsigned i = 0; i < nr_rounds; i++)
        free(rounds[i].s);
    free(rounds);
    free(seen.hash);
    rounds = NULL;
    nr_rounds = 0;
    seen.hash = NULL;
}

/* One of the queue, in an order that looks random and is always the same. */
static struct schedule take(struct queue *q)
{
    st.random = st.random * 1664525u + 1013904223u;
    unsigned i = (unsigned)((u64)st.random * q->nr >> 32);
    struct schedule s = q->s[i];
    q->s[i] = q->s[--q->nr];
    return s;
}

unsigned interleave_explore(const struct interleave *il)
{
    unsigned max = (il->max_runs ? il->max_runs : 100000) * (getenv("HELIUM_LONG") ? LONG_FACTOR : 1);
    const char *only = getenv("INTERLEAVE");
    struct schedule s = { .shared_only = true };

    begin(il);
    struct schedule alone;
    bool replay = only && parse(il, only, &alone);
    drop_rounds();
    nr_rounds = replay ? 1 : il->max_preemptions + 1;
    rounds = calloc(nr_rounds, sizeof(*rounds));
    for (seen.mask = 1023; seen.mask < 2 * max; seen.mask = 2 * seen.mask + 1)
        ;
    seen.hash = calloc(seen.mask + 1UL, sizeof(*seen.hash));
    add(&rounds[0], &s);
    for (unsigned r = 0; r < nr_rounds; r++) {
        while (rounds[r].nr && st.run < max) {
            s = take(&rounds[r]);
            run_once(&s);
            if (!seen_before(run_hash()))
                extend(nr_rounds - 1);
        }
    }
    if (replay)
        run_once(&alone);
    st.complete = true;
    for (unsigned r = 0; r < nr_rounds; r++)
        st.complete &= !rounds[r].nr;
    drop_rounds();
    return st.run;
}

bool interleave_replay(const struct interleave *il, const char *schedule)
{
    struct schedule s;

    if (!parse(il, schedule, &s))
        return false;
    begin(il);
    run_once(&s);
    return true;
}
