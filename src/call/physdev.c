/* SPDX-License-Identifier: MIT */
/* physdev_op: what a PVH dom0 tells about PCI. Everything about PIRQs is -ENOSYS: interrupts
 * of a PVH dom0 go through its virtual IO-APIC and MSI. */
#include "acpi/acpi.h"
#include "call/call.h"
#include "pci/pci.h"

/* struct physdev_pci_device_add without its optional array. */
struct device_add { u16 seg; u8 bus, devfn; u32 flags; u8 physfn[2]; u8 pad[2]; };
STATIC_ASSERT(offsetof(struct physdev_pci_device_add, optarr) == sizeof(struct device_add));

static long mmcfg_reserved(struct call *c, void *arg)
{
    const struct physdev_pci_mmcfg_reserved *m = arg;
    unsigned i;

    for (i = 0; i < nr_acpi_ecam; i++)
        if (acpi_ecam[i].base == m->address && acpi_ecam[i].segment == m->segment)
            return 0;
    gprintk(LOG_INFO, "dom0: ECAM window %lx of segment %u is not in the MCFG table, not used\n",
            (unsigned long)m->address, m->segment);
    return -ENODEV;
}

static sbdf_t sbdf(u16 seg, u8 bus, u8 devfn) { return (sbdf_t)seg << 16 | (sbdf_t)bus << 8 | devfn; }

static long device_add(struct call *c, void *arg)
{
    const struct device_add *a = arg;

    return pci_device_add(sbdf(a->seg, a->bus, a->devfn));
}

static long device_remove(struct call *c, void *arg)
{
    const struct physdev_pci_device *a = arg;

    return pci_device_remove(sbdf(a->seg, a->bus, a->devfn));
}

/* Linux resets EHCI controllers around a debug port; the console never uses one. */
static long dbgp(struct call *c, void *arg) { return 0; }

static const struct subop ops[] = {
    [PHYSDEVOP_pci_mmcfg_reserved] = { "pci_mmcfg_reserved", mmcfg_reserved,
                                       sizeof(struct physdev_pci_mmcfg_reserved), 0, WHO_PRIV },
    [PHYSDEVOP_pci_device_add] = { "pci_device_add", device_add, sizeof(struct device_add), 0, WHO_PRIV },
    [PHYSDEVOP_pci_device_remove] = { "pci_device_remove", device_remove, sizeof(struct physdev_pci_device), 0,
                                      WHO_PRIV },
    [PHYSDEVOP_dbgp_op] = { "dbgp_op", dbgp, sizeof(struct physdev_dbgp_op), 0, WHO_PRIV },
};

long physdev_op(struct call *c)
{
    if (!c->v->dom->is_hwdom)       /* a privileged domain that owns no devices has no business here either */
        return (u32)c->arg[0] < ARRAY_SIZE(ops) && ops[(u32)c->arg[0]].fn ? -EPERM : -ENOSYS;
    return subop_run(c, ops, ARRAY_SIZE(ops), (unsigned)c->arg[0], c->arg[1]);
}
