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

/* A model of the IOMMU of one domain: its table by gfn, and what the device may still see until a flush. */
#define STUB_GFNS 0x10000u
static struct { u64 mfn; bool present, stale; } stub_iommu[STUB_GFNS];
static bool stub_iommu_small[STUB_GFNS / 512 + 1];     /* there is a table of 4 KiB entries */
static unsigned stub_iommu_flushes;
__attribute__((weak)) int iommu_map(struct domain *d, gfn_t g, mfn_t m, unsigned order, bool write)
{
    bool *small = g.n < STUB_GFNS ? &stub_iommu_small[g.n / 512] : NULL;
    if (!(order == 0 && small && *small) && fail_point())
        return -ENOMEM;
    if (order == 0 && small)
        *small = true;
    for (u64 k = 0; k < 1ULL << order && g.n + k < STUB_GFNS; k++) {
        stub_iommu[g.n + k].mfn = m.n + k;
        stub_iommu[g.n + k].present = true;
    }
    return 0;
}
__attribute__((weak)) int iommu_split(struct domain *d, gfn_t g, unsigned order)
{
    if (order || g.n >= STUB_GFNS || stub_iommu_small[g.n / 512])
        return 0;
    if (fail_point())
        return -ENOMEM;
    stub_iommu_small[g.n / 512] = true;
    return 0;
}
__attribute__((weak)) void iommu_unmap(struct domain *d, gfn_t g)
{
    if (g.n < STUB_GFNS && stub_iommu[g.n].present) {
        stub_iommu[g.n].present = false;
        stub_iommu[g.n].stale = true;
    }
}
__attribute__((weak)) void iommu_unmap_range(struct domain *d, gfn_t g, unsigned order)
{
    for (u64 k = 0; k < 1ULL << order; k++)
        iommu_unmap(d, GFN(g.n + k));
}
__attribute__((weak)) void iommu_flush(struct domain *d)
{
    stub_iommu_flushes++;
    for (u64 g = 0; g < STUB_GFNS; g++)
        stub_iommu[g].stale = false;
}
