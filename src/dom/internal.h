/* SPDX-License-Identifier: MIT */
/* Private to src/dom. */
#pragma once
#include "dom/domain.h"

void vcpu_free(struct vcpu *v);
/* Stop v's timers and drop its pinned pages; it does not run any more. */
void vcpu_quiesce(struct vcpu *v);
void domain_watchdog_fired(void *arg);
