/* SPDX-License-Identifier: MIT */
/*
 * Deterministic interleaver: runs 2-4 actors, one at a time, and may switch between them at every hook point
 * (lock, atomic, read_once ...). interleave_explore() runs setup - actors - check once per schedule, for every
 * schedule with at most `max_preemptions` switches away from an actor that could have gone on. A switch away from
 * a spinning actor (cpu_relax) or at an actor's end is free. Actor i runs as CPU i.
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
/* Number of schedules that were run. Panics (aborts) on deadlock: too many steps in one run. */
unsigned interleave_explore(const struct interleave *il);
