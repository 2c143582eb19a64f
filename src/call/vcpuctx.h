/* SPDX-License-Identifier: MIT */
/*
 * vCPU state in the forms of the control interface: struct vcpu_guest_context (get/setvcpucontext) and the CPU
 * record of an HVM context. The vCPU must be paused and descheduled (or current).
 */
#pragma once
#include "call/call.h"
#include "hvm/hvm.h"

/* *g is zeroed by the caller. */
void vcpuctx_get(struct vcpu *v, struct vcpu_guest_context *g);
/* What a guest of HVM type takes from it: general registers, debug registers, x87/SSE if flagged valid, online
 * flag. 0, or -EINVAL: the CPU would not run it; nothing changed then. */
int vcpuctx_set(struct vcpu *v, const struct vcpu_guest_context *g) __must_check;

/* The state that VCPUOP_initialise gives (public/hvm/hvm_vcpu.h) as a CPU record. 0, or -EINVAL: a mode, padding or
 * segment that is none. The record is yet to be checked. */
int vcpuctx_from_hvm(const struct vcpu_hvm_context *c, struct hvm_hw_cpu *r) __must_check;

/* CPU record. *r is zeroed by the caller. */
void vcpuctx_get_record(struct vcpu *v, struct hvm_hw_cpu *r);
/* Structural checks that need no vCPU state: -EINVAL. */
int vcpuctx_check_record(const struct vcpu *v, const struct hvm_hw_cpu *r) __must_check;
/* Load a checked record, except the TSC. -EINVAL: the vendor's entry checks refuse it; nothing changed then. */
int vcpuctx_set_record(struct vcpu *v, const struct hvm_hw_cpu *r) __must_check;
