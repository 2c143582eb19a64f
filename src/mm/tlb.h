/* SPDX-License-Identifier: MIT */
/*
 * Guest TLB invalidation. Each domain has a flush generation. To flush: bump d->tlb_gen, kick every CPU that is
 * in guest mode with a vCPU of d, and wait until each has left guest mode once. A CPU compares the generation
 * before every entry and flushes its ASID if it changed, so a CPU that is in the hypervisor needs no interrupt
 * and nobody waits for a CPU that waits for a lock.
 */
#pragma once
#include "lib/types.h"
struct domain;
/* Second-stage translations of d changed (removed or restricted): no CPU uses an old one after return. */
void tlb_flush_domain(struct domain *d);
