/* SPDX-License-Identifier: MIT */
/* CPU policies through the control interfaces. */
#pragma once
#include "call/call.h"
#include "hvm/policy.h"

/* Write p's leaves and MSRs to the caller's arrays. In: room in entries; out: number written, or with a NULL
 * array the most there can be. -ENOBUFS, -EFAULT, -ENOMEM. */
long cpupolicy_out(struct vcpu *v, const struct cpu_policy *p, gva_t leaves, u32 *nr_leaves, gva_t msrs,
                   u32 *nr_msrs) __must_check;
