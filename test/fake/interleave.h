/* SPDX-License-Identifier: MIT */
/*
 * Deterministic interleaver: runs 2-4 actors, one at a time, and may switch between them at every hook point
 * (lock, atomic, read_once ...). Actor i runs as CPU i. interleave_explore() runs setup - actors - check once per
 * schedule:
 *   - all schedules without a switch away from an actor that could have gone on, then those with one such switch,
 *     and so on up to `max_preemptions`. A switch away from a spinning actor or at an actor's end is free;
 *   - beyond the first switch only before accesses to words that several actors use and one writes: a switch anywhere
 *     else has the same effect as one at the next such access. A plain access to memory that no lock protects is
 *     still met by the schedules with one switch; with shared_only it may not be, and there are far fewer schedules;
 *   - of two schedules that have led to the same point (every word was used by the same actors in the same order, the
 *     same actor is running) and go on with the same actor, only one is run, so that the exploration ends;
 *   - an actor that spins is not looked at again before somebody has written something, if there are others;
 *   - when max_runs cuts it short, each round's schedules are taken in a fixed random order: a sample, not a corner.
 * HELIUM_LONG in the environment means: 20 times max_runs.
 *
 * A run that fails, in whatever way (assertion, panic, sanitiser, deadlock), prints its schedule as
 *     INTERLEAVE=<name of the exploration>:<step>.<choice>,...
 * With that in the environment the program runs, in the exploration of that name, the schedules without preemption
 * and then this one only; other explorations run nothing and count as complete. The program fails if there is no such
 * exploration or its operations have no such steps any more.
 */
#pragma once
#include "fake.h"

#define IL_MAX_ACTORS 4
#define IL_NAME 80                  /* room for a name */
struct interleave {
    const char *name;               /* one of its own in each program, without blanks and colons */
    unsigned nr;
    void (*actor[IL_MAX_ACTORS])(void *arg);
    void (*setup)(void *arg);       /* may be NULL */
    void (*check)(void *arg);       /* may be NULL; runs as CPU 0 after all actors ended */
    void *arg;
    unsigned max_preemptions;
    bool shared_only;               /* the first switch too only at shared words */
    unsigned max_runs;              /* stop after so many schedules; 0: 100000 */
};
/* Number of schedules that were run. Panics (aborts) on deadlock: too many steps in one run. */
unsigned interleave_explore(const struct interleave *il);
/* The same. Panics if not all schedules with up to so many preemptions (HELIUM_LONG: max_preemptions) were run. */
unsigned interleave_all(const struct interleave *il, unsigned preemptions);
/* HELIUM_LONG is set. */
bool interleave_long(void);
/* Did the last exploration run all schedules with up to so many preemptions? */
bool interleave_complete(unsigned preemptions);
/* Preemptions in the present run: 0 for one operation after the other (in a replay: whether there are any). */
unsigned interleave_preemptions(void);
/* The schedule of the run that is going on or was the last, as it is printed; "" before the first. */
const char *interleave_schedule(void);
/* Run one schedule, a text from interleave_schedule(). False: it is not one of il's. */
bool interleave_replay(const struct interleave *il, const char *schedule);
/* Ends the process with an error if INTERLEAVE is set and no exploration has run it. Done at the program's end. */
void interleave_end(void);
