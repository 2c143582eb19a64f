/* SPDX-License-Identifier: MIT */
/* HVM parameters (hvm_op 0 and 1). */
#pragma once
#include "call/call.h"

/* Set / read parameter `index` of d. own: d is the caller itself. 0; -EINVAL: no such parameter or bad value;
 * -EPERM: not by the domain itself; -EEXIST: may be set once only; -EOPNOTSUPP. */
int param_set(struct domain *d, bool own, u32 index, u64 value) __must_check;
int param_get(struct domain *d, bool own, u32 index, u64 *value) __must_check;
