/* SPDX-License-Identifier: MIT */
/* For the tests of memory modules: stand-ins for the modules around them, so that these link alone. Weak: where
 * the real module gets linked, it wins. */
#pragma once
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "fake.h"
#include "mm_audit.h"
#include "call/call.h"
#include "iommu/iommu.h"
#include "irq/irq.h"
#include "mm/block.h"

/* In the test's own object: a reference from guest.c must not pull in all of src/hvm. */
__attribute__((weak)) const struct hvm_ops *hvm;
static bool stub_preempt;           /* call_preempt() says yes, every time */
__attribute__((weak)) bool call_preempt(void) { irq_window(); return stub_preempt; }

/* A model of the IOMMU: nothing but counts; domains of these tests have no devices. */
static unsigned stub_iommu_flushes;
__attribute__((weak)) int iommu_map(struct domain *d, gfn_t g, mfn_t m, unsigned order, bool write) { return 0; }
__attribute__((weak)) int iommu_split(struct domain *d, gfn_t g) { return 0; }
__attribute__((weak)) void iommu_unmap(struct domain *d, gfn_t g) {}
__attribute__((weak)) void iommu_flush(struct domain *d) { stub_iommu_flushes++; }
