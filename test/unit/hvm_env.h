/* SPDX-License-Identifier: MIT */
/* Ends of src/hvm towards scheduler, calls and domains, so that its tests link without the rest of the core. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include "call/call.h"
#include "debug/console.h"
#include "evtchn/evtchn.h"
#include "fake.h"
#include "hvm/hvm_vcpu.h"
#include "hvm/policy.h"
#include "hvm/vlapic.h"
#include "sched/sched.h"

static unsigned crashes, kicks;
static struct domain *d;
static struct vcpu *v;

void domain_crash(struct domain *dom, const char *fmt, ...) { crashes++; }
void domain_shutdown(struct domain *dom, u8 code) {}
bool call_dispatch(struct vcpu *vc) { return true; }
bool call_preempt(void) { return false; }
void vcpu_kick(struct vcpu *vc) { kicks++; }
void vcpu_block(struct vcpu *vc) {}
void vcpu_set_down(struct vcpu *vc) {}
void vcpu_set_up(struct vcpu *vc) {}
void vcpu_update_time(struct vcpu *vc) {}

static void hvm_env(bool hwdom)
{
    fake_machine_init(64, 1);
    d = fake_domain(1, 1024);
    d->is_hwdom = hwdom;
    if (!d->policy) assert_int_equal(policy_domain_init(d), 0);
    if (!d->hvm) assert_int_equal(hvm_domain_init(d), 0);
    v = d->vcpu[0];
    if (!v->hvm) assert_int_equal(hvm_vcpu_init(v), 0);
    crashes = kicks = 0;
}
