/* SPDX-License-Identifier: MIT */
/* Private to src/time. */
#pragma once
#include "lib/types.h"

void wallclock_init(void);

/* A clock of known frequency to measure others against (refclock.c). */
struct refclock {
    const char *name;
    u64 period_fs;                  /* of one tick, femtoseconds */
    u32 mask;                       /* of the counter's valid bits */
    u32 (*read)(void);
};
/* Best one this machine has: HPET, ACPI PM timer, PIT. Never NULL. */
const struct refclock *refclock_find(void);
