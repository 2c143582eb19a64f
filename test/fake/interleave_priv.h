/* SPDX-License-Identifier: MIT */
/* Private to interleave.c, which runs one schedule, and interleave_explore.c, which chooses them. */
#pragma once
#include <semaphore.h>
#include <unistd.h>
#include "interleave.h"

#define MAX_STEPS 20000
#define MAX_DECISIONS 24        /* in one schedule; free ones count too */

enum kind { STEP_START, STEP_HOOK, STEP_FREE };     /* only the second costs a preemption */
struct decision { u16 step; u8 choice; };
struct schedule {
    struct decision d[MAX_DECISIONS];
    u8 nr, preemptions;
    bool shared_only;               /* all its preemptions lie at words that several actors use */
};
/* A word and what happened to it: which actors used it in any run, and in which order in this one. */
struct word {
    u64 addr, order, reads;
    unsigned run;
    u8 actors, writers;
    bool taken_for_private;         /* schedules were left out because of that */
};
/* A point of a run at which another actor could have gone on. */
struct step {
    const void *addr;
    u64 before;                     /* il_st.trace at that time */
    u8 nr_choices, kind, cur;
    u8 choice[IL_MAX_ACTORS];       /* who can go on: 0 is what happens without a decision */
};

extern struct il_state {
    const struct interleave *il;
    pid_t pid;                      /* the process that the threads of the actors are in */
    sem_t go[IL_MAX_ACTORS];
    sem_t all_done;
    bool done[IL_MAX_ACTORS];
    unsigned cur, alive, lone_spins;
    unsigned writes;                /* of this run, from 1 */
    unsigned spun_at[IL_MAX_ACTORS];    /* number of writes when it last found that it must wait; 0: it goes on */
    struct schedule now;
    unsigned next;                  /* decision of `now` that comes next */
    unsigned step, run;
    u32 random;
    struct step steps[MAX_STEPS];
    u64 trace;                      /* the run so far as a partial order: per word, who used it in which order */
    bool running, learned;
    unsigned complete;              /* rounds that came to their end */
    char text[IL_NAME + 12 * MAX_DECISIONS];
} il_st;

/* The record of a word, made on first sight. */
struct word *il_word(const void *addr);
/* Several actors have used it, one of them to write. */
bool il_shared(const struct word *w);
/* A new exploration: nothing is known of any word. */
void il_begin(const struct interleave *il);
/* One run: setup, actors, check. What happened is in il_st. */
void il_run(const struct schedule *s);
/* Is the text, up to its colon, il's name? */
bool il_named(const char *text, const struct interleave *il);
/* The decisions of a text of il's; false if it is none. */
bool il_parse(const struct interleave *il, const char *text, struct schedule *s);
