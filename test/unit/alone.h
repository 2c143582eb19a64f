/* SPDX-License-Identifier: MIT */
/* One CPU without a machine: for tests of a module that needs no memory and no domains. Replaces fake.c, so that
 * nothing but the module itself is linked. Definitions: include in one file per test. */
#pragma once
#include "fake.h"

struct cpu *cpus[NR_CPUS];
unsigned nr_cpus = 1;
__thread struct cpu *this_cpu_ptr;
static struct cpu alone_cpu;
void hook_point(const void *addr) {}
void hook_read(const void *addr) {}
void index_masked(u64 idx, u64 limit) {}
bool watchdog_on;
void watchdog_wait(void) {}

static void alone_start(void)
{
    memset(&alone_cpu, 0, sizeof(alone_cpu));
    this_cpu_ptr = cpus[0] = alone_cpu.self = &alone_cpu;
    alone_cpu.online = true;
}
