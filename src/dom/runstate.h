/* SPDX-License-Identifier: MIT */
/* Runstate area of a vCPU (VCPUOP_register_runstate_memory_area). */
#pragma once
#include "dom/domain.h"

/* Pin the page(s) of the 48-byte area at linear address gva of the current vCPU and write it once.
 * gva 0 unregisters. 0, -EFAULT, -EINVAL. The address is translated now, because with page-table isolation
 * the mapping is absent while the vCPU runs user code. */
int runstate_register(struct vcpu *v, gva_t gva) __must_check;
void runstate_unregister(struct vcpu *v);
/* v->rs changed: write it to the registered area, if any. */
void runstate_publish(struct vcpu *v);
