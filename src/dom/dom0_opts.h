/* SPDX-License-Identifier: MIT */
/* Command-line options about dom0: memory, vCPUs, IOMMU policy, ports. */
#pragma once
#include "lib/types.h"

struct dom0_size { bool set, negative; u64 bytes; unsigned percent; };
struct dom0_mem { struct dom0_size nr, min, max; };
extern struct dom0_mem opt_dom0_mem;
extern bool opt_dom0_no_iommu;          /* dom0-iommu=none */
extern char opt_dom0_ioports_disable[200];

/* dom0_mem=: comma-separated `<sz>`, `min:<sz>`, `max:<sz>`; <sz> = [-]<size> | [<size>+]<percent>%.
 * 0, or -EINVAL with *m unchanged. */
int dom0_mem_parse(struct dom0_mem *m, const char *value) __must_check;
/* Bytes for dom0: `total` = size of RAM (percentages refer to it), `avail` = what is free for domains. Without a
 * size: avail less the smaller of 1/16 and 128 MiB. Then at least min, at most max, never above avail. */
u64 dom0_mem_bytes(const struct dom0_mem *m, u64 total, u64 avail);
/* What dom0 may balloon up to: max:, or ~0 if there is no such bound. */
u64 dom0_mem_max_bytes(const struct dom0_mem *m, u64 total, u64 avail);
/* dom0_max_vcpus=: `n` or `[min]-[max]`. */
int dom0_vcpus_parse(unsigned *min, unsigned *max, const char *value) __must_check;
/* Number of vCPUs on a machine with `cpus` CPUs. */
unsigned dom0_vcpus(unsigned cpus);
