/* SPDX-License-Identifier: MIT */
/* A machine with one AMD IOMMU that works through its command queue, late if a test wants, and the table that names it. */
#pragma once
#include "mm_stubs.h"
#include "acpi/acpi.h"
#include "iommu/amd.h"
#include "iommu/reserved.h"
#include "pci/pci.h"

#define WEAK __attribute__((weak))

/* ---- the machine around the driver: one IOMMU at UNIT_BASE, declared by an IVRS table ---- */
#define UNIT_BASE 0xfed80000u
static u64 *regs;                       /* 0x4000 bytes of the fake machine's window */
static struct {
    struct acpi_header h;
    u32 info;
    u64 reserved;
    struct { u8 type, flags; u16 length, devid, capability; u64 base; u16 segment, info; u32 features; } __packed unit;
    struct { u8 type, flags; u16 length, devid, aux; u64 reserved, start, bytes; } __packed range[4];
} __packed ivrs;

WEAK const struct acpi_header *acpi_find(const char sig[4], unsigned n)
{
    return n || memcmp(sig, "IVRS", 4) ? NULL : &ivrs.h;
}
WEAK unsigned pci_last_bus(void) { return 0; }
WEAK void pci_hide(sbdf_t s) {}

/* ---- the model: takes commands from the queue `late` looks after they were asked for ---- */
static struct {
    unsigned late, looks, waits, inv_pages, inv_devices, inv_tables;
    u64 cached;                         /* an entry that the IOTLB still has: dfn + 1 */
    bool cached_of[2];                  /* and one of each CPU that removes something */
    bool dead;
} model;

static struct domain dom;
static u64 at(struct iommu_domain *t, u64 dfn)
{
    bool write;
    return table_lookup(t, dfn, &write);
}

/* Is an invalidation to be done? */
static bool flush_pending(struct domain *d) { return d->iommu && read_once(&d->iommu->stale) != STALE_NO; }

static void model_run(void)
{
    u64 *queue = phys_to_virt(regs[REG_CMDBUF / 8] & PTE_ADDR);
    u64 head = regs[REG_CMD_HEAD / 8];
    for (; head != regs[REG_CMD_TAIL / 8]; head = (head + 16) % QUEUE_BYTES) {
        u64 q0 = queue[head / 8], q1 = queue[head / 8 + 1];
        switch (q0 >> 60) {
        case 1:
            model.waits++;
            *(u64 *)phys_to_virt(q0 & 0xffffffffffff8ULL) = q1;
            break;
        case 2: model.inv_devices++; break;
        case 5: model.inv_tables++; break;
        case 3:
            model.inv_pages++;
            model.cached = 0;
            for (u64 i = 0; i < 2; i++)     /* what is still mapped is soon there again */
                model.cached_of[i] &= dom.iommu && at(dom.iommu, 0xd0000 + i) != NO_FRAME;
            break;
        default: fail_msg("command %llx", (unsigned long long)q0);
        }
    }
    regs[REG_CMD_HEAD / 8] = head;
}

/* The driver looks for the answer in a loop with cpu_relax(). */
static void model_hook(const void *addr)
{
    if (addr || model.dead || regs[REG_CMD_HEAD / 8] == regs[REG_CMD_TAIL / 8]) return;
    if (++model.looks <= model.late) return;
    model.looks = 0;
    model_run();
}

static void add_range(unsigned i, u8 type, u8 flags, u64 start, u64 bytes)
{
    ivrs.range[i].type = type;
    ivrs.range[i].flags = flags;
    ivrs.range[i].length = sizeof(ivrs.range[0]);
    ivrs.range[i].start = start;
    ivrs.range[i].bytes = bytes;
    ivrs.h.length = (u32)(offsetof(__typeof__(ivrs), range) + (i + 1) * sizeof(ivrs.range[0]));
}

static void machine(void)
{
    fake_machine_init(64, 2);
    regs = phys_to_virt(UNIT_BASE);
    memset(regs, 0, 0x4000);
    memset(&ivrs, 0, sizeof(ivrs));
    memset(&model, 0, sizeof(model));
    memcpy(ivrs.h.sig, "IVRS", 4);
    ivrs.h.length = offsetof(__typeof__(ivrs), range);
    ivrs.unit.type = 0x10;
    ivrs.unit.length = sizeof(ivrs.unit);
    ivrs.unit.base = UNIT_BASE;
    fake_hook = model_hook;
}
