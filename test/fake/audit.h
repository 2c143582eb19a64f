/* SPDX-License-Identifier: MIT */
/*
 * The global audit (doc/security/xsa.md, I-1 to I-5): what holds between any two operations, over all domains.
 * Frames, references and free lists (mm_audit.h), pins against records of mappings, flags in the guests' entries,
 * ports and their peers, IOMMU tables against second-stage tables, locks. Modules that a program does not link are
 * left out.
 */
#pragma once
#include "lib/types.h"
/* Panics with a description at the first violation. */
void audit_all(void);
/* What guests and toolstack can see, as one number: mappings, owned pages, limits, grants in use, channels and VIRQs,
 * vCPUs with their areas, timers and affinity, CPU policy, parameters. Not: tables and handles made in advance. `exact`,
 * for two moments with nothing but one call between them: also which machine frame is where, the registers of vCPUs
 * that do not run, grant entries, event words and the shared page. */
u64 audit_digest(bool exact);
