/* SPDX-License-Identifier: MIT */
/* See interleave.h; here is which schedules are run, and in which order. */
#include <stdio.h>
#include <stdlib.h>
#include "interleave_priv.h"

#define LONG_FACTOR 20u

struct queue { struct schedule *s; unsigned nr, room; bool cut; };
static struct queue *rounds;        /* by number of preemptions; kept reachable if an assertion jumps out */
static unsigned nr_rounds;
static struct { u64 *key; unsigned nr, mask; } seen;    /* branches met so far */

static void add(struct queue *q, const struct schedule *s)
{
    if (q->nr == q->room) {
        q->room = q->room ? 2 * q->room : 256;
        q->s = realloc(q->s, q->room * sizeof(*q->s));
    }
    q->s[q->nr++] = *s;
}

static u64 *seen_slot(u64 key)
{
    unsigned i = (unsigned)key & seen.mask;

    while (seen.key[i] && seen.key[i] != key)
        i = (i + 1) & seen.mask;
    return &seen.key[i];
}

static void seen_grow(void)
{
    u64 *old = seen.key;
    unsigned n = old ? seen.mask + 1 : 0;

    seen.mask = n ? 4 * n - 1 : 4095;
    seen.key = calloc(seen.mask + 1UL, sizeof(*seen.key));
    for (unsigned i = 0; i < n; i++)
        if (old[i])
            *seen_slot(old[i]) = old[i];
    free(old);
}

/* What happened before a step, who is there, and who goes on instead: all that decides what can follow. */
static bool seen_before(const struct step *at, unsigned choice, const struct schedule *s)
{
    u64 key = (at->before * 31 + at->cur) * 31 + at->choice[choice];

    key = (key * 31 + s->preemptions) * 2 + s->shared_only;
    key = (key ^ key >> 29) * 0x9e3779b97f4a7c15ULL;
    key ^= key >> 31;
    if (2 * seen.nr >= seen.mask)
        seen_grow();
    u64 *slot = seen_slot(key);
    if (*slot == key)
        return true;
    *slot = key;
    seen.nr++;
    return false;
}

/* So many preemptions need not lie at a shared word. */
static unsigned anywhere(void) { return il_st.il->shared_only ? 0 : 1; }

/* May a schedule with these preemptions have one more, at this step? */
static bool may_preempt(const struct schedule *base, const struct step *at)
{
    unsigned max = nr_rounds - 1;

    if (base->preemptions == max)
        return false;
    struct word *w = il_word(at->addr);
    bool shared = il_shared(w);
    if (!shared && max > anywhere())
        w->taken_for_private = true;
    return base->preemptions < anywhere() || (shared && base->shared_only);
}

/* All schedules that follow the last one up to its last decision and take one more later on. */
static void extend(void)
{
    struct schedule base = il_st.now, s;

    for (unsigned k = base.nr ? base.d[base.nr - 1].step + 1u : 0; k < il_st.step; k++) {
        const struct step *at = &il_st.steps[k];
        bool costs = at->kind == STEP_HOOK;
        if (at->nr_choices == 1 || (costs && !may_preempt(&base, at)))
            continue;
        s = base;
        s.preemptions = (u8)(base.preemptions + costs);
        s.shared_only = base.shared_only && (!costs || il_shared(il_word(at->addr)));
        if (base.nr == MAX_DECISIONS) {
            rounds[s.preemptions].cut = true;
            return;
        }
        for (unsigned c = 1; c < at->nr_choices; c++) {
            if (seen_before(at, c, &s))
                continue;
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
    free(seen.key);
    memset(&seen, 0, sizeof(seen));
    rounds = NULL;
    nr_rounds = 0;
}

static void start_rounds(unsigned n)
{
    struct schedule s = { .shared_only = true };

    drop_rounds();
    nr_rounds = n;
    rounds = calloc(nr_rounds, sizeof(*rounds));
    il_st.learned = false;
    add(&rounds[0], &s);
}

/* One of the queue, in an order that looks random and is always the same. */
static struct schedule take(struct queue *q)
{
    il_st.random = il_st.random * 1664525u + 1013904223u;
    unsigned i = (unsigned)((u64)il_st.random * q->nr >> 32);
    struct schedule s = q->s[i];
    q->s[i] = q->s[--q->nr];
    return s;
}

static void run_round(struct queue *q, unsigned max_runs)
{
    while (q->nr && il_st.run < max_runs) {
        struct schedule s = take(q);
        il_run(&s);
        extend();
    }
}

/* When a word turns out to be shared that was taken for private, what was left out because of it must be made up for:
 * from the start, with what is known now. */
static void run_rounds(unsigned n, unsigned max_runs)
{
    bool whole = true;

    start_rounds(n);
    for (unsigned r = 0; r < n; r++) {
        run_round(&rounds[r], max_runs);
        whole = whole && !rounds[r].nr && !rounds[r].cut;
        if (whole && (r <= anywhere() || !il_st.learned))
            il_st.complete = MAX(il_st.complete, r + 1);
        if (r && il_st.learned && il_st.run < max_runs) {
            start_rounds(n);
            run_round(&rounds[r = 0], max_runs);
            whole = true;
        }
    }
}

const char *interleave_schedule(void) { return il_st.text; }
bool interleave_long(void) { return getenv("HELIUM_LONG") != NULL; }
bool interleave_complete(unsigned preemptions) { return il_st.complete > preemptions; }
unsigned interleave_preemptions(void) { return il_st.now.preemptions; }

/* ---- replay ---- */
static bool wanted_met;
static pid_t program;

static const char *wanted(void) { return getenv("INTERLEAVE"); }

/* Nothing was shown if there is no such exploration, or the schedule has steps that its operations do not. */
void interleave_end(void)
{
    if (!wanted() || wanted_met)
        return;
    fprintf(stderr, "interleave: no exploration was run by INTERLEAVE=%s: unknown, or it does not fit any more\n",
            wanted());
    fflush(NULL);
    _exit(1);
}
static void at_exit(void)
{
    if (getpid() == program)
        interleave_end();
}
__attribute__((constructor)) static void at_start(void)
{
    program = getpid();
    atexit(at_exit);
}

/* False: its steps are not those of the operations as they are now. */
static bool replay(const struct interleave *il, const char *text)
{
    struct schedule s;

    if (!il_parse(il, text, &s))
        return false;
    il_run(&s);
    return il_st.next == s.nr;
}

static unsigned explore(const struct interleave *il)
{
    unsigned max = (il->max_runs ? il->max_runs : 100000) * (interleave_long() ? LONG_FACTOR : 1);

    il_begin(il);
    run_rounds(wanted() ? 1 : il->max_preemptions + 1, max);
    drop_rounds();
    if (!wanted())
        return il_st.run;
    wanted_met = true;              /* also if its check jumps out */
    wanted_met = replay(il, wanted());
    return il_st.complete = ~0u;
}

unsigned interleave_explore(const struct interleave *il)
{
    if (wanted() && !il_named(wanted(), il))
        return il_st.complete = ~0u;
    unsigned runs = explore(il);
    if (getenv("FAKE_VERBOSE"))
        printf("interleave: %s: %u schedules, %u of %u rounds complete\n", il->name, runs,
               MIN(il_st.complete, il->max_preemptions + 1), il->max_preemptions + 1);
    return runs;
}

unsigned interleave_all(const struct interleave *il, unsigned preemptions)
{
    unsigned runs = interleave_explore(il);

    if (interleave_long())
        preemptions = il->max_preemptions;
    if (!interleave_complete(preemptions))
        panic("interleave: %s: not all orders with %u preemptions in %u schedules\n", il->name, preemptions, runs);
    return runs;
}

bool interleave_replay(const struct interleave *il, const char *schedule)
{
    if (!il_named(schedule, il))
        return false;
    il_begin(il);
    return replay(il, schedule);
}
