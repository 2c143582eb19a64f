/* SPDX-License-Identifier: MIT */
/* Structures of a guest that we keep up to date at linear addresses which it registered for a vCPU. */
#pragma once
#include "dom/domain.h"

/* VCPUOP_register_runstate_memory_area: pin the area at gva of the current vCPU and write it once. gva 0 unregisters.
 * 0, -EFAULT, -EINVAL, -ENOMEM. */
int runstate_register(struct vcpu *v, gva_t gva) __must_check;
/* v->rs changed: write it to the registered area, if any. */
void runstate_publish(struct vcpu *v);
/* VCPUOP_register_vcpu_time_memory_area: a copy of v->info->time, the same way. */
int time_area_register(struct vcpu *v, gva_t gva) __must_check;
/* Drop both. */
void areas_unregister(struct vcpu *v);
