/* SPDX-License-Identifier: MIT */
/* The global invariant of memory (xsa.md 0.2): every frame is free, or used once; references counted at frames are
 * those that records hold. */
#pragma once
#include "lib/types.h"
/* Panics with a description at the first violation. Returns the number of references that no p2m record accounts
 * for: pins held by evtchn, grants, tests. Only domains made with fake_domain() are known. */
u64 mm_audit(void);
