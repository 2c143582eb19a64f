/* SPDX-License-Identifier: MIT */
/*
 * Deterministic interleaver: runs 2-4 actors, one at a time, and may switch between them at every hook point
 * (lock, atomic, read_once ...). Actor i runs as CPU i. interleave_explore() runs setup - actors - check once per
 * schedule:
 *   - all schedules without a switch away from an actor that could have gone on, then those with one such switch,
 *     and so on up to `max_preemptions`. A switch away from a spinning actor or at an actor's end is free;
 *   - beyond the first switch only before accesses to words that several actors use and one writes; a plain access
 *     to memory that no lock protects is still met by the schedules with one switch;
 *   - a schedule that was only another spelling of one seen before (the same order of accesses to every word) is not
 *     extended, so that the exploration ends;
 *   - when max_runs cuts it short, each round's schedules are taken in a fixed random order: a sample, not a corner.
 * HELIUM_LONG in the environment means: 20 times max_runs.
 *
 * A run that fails, in whatever way (assertion, panic, sanitiser, deadlock), prints its schedule as
 *     INTERLEAVE=<exploration>:<step>.<choice>,...
 * With that in the environment the program runs, in the exploration that it is for, the schedules without preemption
 * and then this one only.
 */
#pragma once
#include "fake.h"

#define IL_MAX_ACTORS 4
struct interleave {
    unsigned nr;
    void (*actor[IL_MAX_ACTORS])(void *arg);
    void (*setup)(void *arg);       /* may be NULL */
    void (*check)(void *arg);       /* may be NULL; runs as CPU 0 after all actors ended */
    void *arg;
    unsigned max_preemptions;
    unsigned max_runs;              /* stop after so many schedules; 0: 100000 */
};
/* Set it to tell apart explorations with the same functions (a replay is for one of them). */
extern unsigned interleave_id;
/* Number of schedules that were run. Panics (aborts) on deadlock: too many steps in one run. */
unsigned interleave_explore(const struct interleave *il);
/* Did the last exploration end by itself? */
bool interleave_complete(void);
/* Preemptions in the present run: 0 for one operation after the other (in a replay at least whether there are any). */
unsigned interleave_preemptions(void);
/* The schedule of the run that is going on or was the last, as it is printed; "" before the first. */
const char *interleave_schedule(void);
/* Run one schedule, a text from interleave_schedule(). False: it is not one of il's. */
bool interleave_replay(const struct interleave *il, const char *schedule);
