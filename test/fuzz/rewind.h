/* SPDX-License-Identifier: MIT */
/*
 * The world as it was: variables of the core and of the fake machine (the sections into which fuzz.mk moves them), RAM,
 * and what AddressSanitizer knows about RAM. Put back is what belonged to the hypervisor, and of guests' frames those
 * that were written since: most are not.
 */
#pragma once
#include "lib/types.h"

/* Remember the present state. Once, with fake_hook free. */
void rewind_mark(void);
/* Go back there, as CPU 0. */
void rewind_world(void);
