/* SPDX-License-Identifier: MIT */
/* Debug key 'V': the IOMMUs, and what dom0's devices have. */
#include "debug/console.h"
#include "iommu/amd.h"
#include "iommu/reserved.h"
#include "irq/remap.h"

static void dump_unit(const struct amd_iommu *u)
{
    printk(LOG_ERR, "IOMMU %04x:%02x:%02x.%u at %#lx: control %#lx status %#lx, commands %#lx to %#lx, events %#lx to %#lx\n",
           u->segment, u->bdf >> 8, u->bdf >> 3 & 31, u->bdf & 7u, u->base, u->regs[REG_CONTROL / 8],
           u->regs[REG_STATUS / 8], u->regs[REG_CMD_HEAD / 8], u->regs[REG_CMD_TAIL / 8], u->regs[REG_EVT_HEAD / 8],
           u->regs[REG_EVT_TAIL / 8]);
}

/* Entries only change at boot, but for the first interrupt table of a device. */
static void dump_devices(void)
{
    unsigned tables = 0;
    for (unsigned i = 0; i < iommu_devtab_entries; i++)
        tables += (live_get(&iommu_devtab[i][2]) & DTE_INT_REMAP) != 0;
    printk(LOG_ERR, "Device table: %u entries, %u with an interrupt table; interrupts are %sremapped\n",
           iommu_devtab_entries, tables, remap_on ? "" : "not ");
}

void iommu_dump(void)
{
    if (!iommu_enabled) {
        printk(LOG_ERR, "No IOMMU is used\n");
        return;
    }
    for (unsigned i = 0; i < iommu_nr_units; i++) dump_unit(&iommu_units[i]);
    dump_devices();
    struct iommu_domain *t = dom0 ? dom0->iommu : NULL;
    if (!t) return;
    printk(LOG_ERR, "d%u: domain id %u, %lu pages of tables, %s\n", dom0->id, t->id, read_once(&t->table_pages),
           read_once(&t->stale) == STALE_NO ? "flushed" : "to be flushed");
    reserved_dump(t);
}
DEBUG_KEY(iommu, 'V', "IOMMUs, reserved ranges", iommu_dump);
