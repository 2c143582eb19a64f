/* SPDX-License-Identifier: MIT */
/* Between the files of sysctl (35): one row per command in sysctl.c. */
#pragma once
#include "call/call.h"

/* op is a private copy; changed fields go back as the row says. No lock is held. */
#define SYSCTL_HANDLER(name) long sysctl_##name(struct call *c, struct xen_sysctl *op)

/* sysctl_info.c */
SYSCTL_HANDLER(readconsole);
SYSCTL_HANDLER(debug_keys);
SYSCTL_HANDLER(physinfo);
SYSCTL_HANDLER(availheap);
SYSCTL_HANDLER(getdomaininfolist);
SYSCTL_HANDLER(getcpuinfo);
SYSCTL_HANDLER(cputopoinfo);
SYSCTL_HANDLER(numainfo);
SYSCTL_HANDLER(pcitopoinfo);

/* sysctl_sched.c */
SYSCTL_HANDLER(sched_id);
SYSCTL_HANDLER(cpupool_op);
SYSCTL_HANDLER(scheduler_op);

/* sysctl_cpu.c */
SYSCTL_HANDLER(get_cpu_levelling_caps);
SYSCTL_HANDLER(get_cpu_featureset);
SYSCTL_HANDLER(get_cpu_policy);
