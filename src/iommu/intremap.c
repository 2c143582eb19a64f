/* SPDX-License-Identifier: MIT */
/*
 * AMD-Vi interrupt remapping (specification 48882, section 2.2.5). Every device table entry says "interrupts are
 * checked" (IV) from before the IOMMU is switched on. A device without a table raises none; a table comes with the first
 * vector that the device is given, and stays. Table entry number = vector: see irq/remap.h.
 *
 * An entry, like the device table's quadword with the root, changes by one store (I-14), and the change is complete when
 * the IOMMU has said that it forgot the old one, so a vector that was forbidden can be given to another device.
 *
 * The 32-bit format of entries is used. The 128-bit one (GASup) is needed for APIC ids above 255 only.
 */
#include "iommu/amd.h"
#include "iommu/ivrs.h"
#include "irq/irq.h"
#include "irq/remap.h"
#include "mm/mm.h"

/* A table is one page, so that an index beyond its length, were it not checked, finds disabled entries. */
#define VECTORS_LOG 8
#define VECTORS (1u << VECTORS_LOG)
STATIC_ASSERT(VECTORS * sizeof(u32) <= PAGE_SIZE);

bool remap_on;
static const struct ivrs_info *ivrs;

static u32 *table_of(u16 id)
{
    u64 q = live_get(&iommu_devtab[id][2]);
    return q & DTE_INT_REMAP ? phys_to_virt(q & DTE_INT_ROOT) : NULL;
}

static void link_locked(u16 id, const u32 *table)
{
    if (table_of(id)) return;
    u64 pass = live_get(&iommu_devtab[id][2]) & DTE_PASS_MASK;
    live_write(&iommu_devtab[id][2], pass | DTE_IV | DTE_INT_LEN(VECTORS_LOG) | DTE_INT_REMAP | virt_to_phys(table));
    iommu_command_locked(CMD_INV_DTE | id, 0);
}

/* The table of a device, made if there is none. Devices behind a bridge send under its id: they share its table. */
static int get_table_locked(u16 id, u32 **table)
{
    u16 alias = ivrs_alias(ivrs, id);
    if (id >= iommu_devtab_entries || alias >= iommu_devtab_entries) return -ENODEV;
    *table = table_of(alias);
    if (!*table) *table = page_alloc();         /* all entries disabled */
    if (!*table) return -ENOMEM;
    link_locked(alias, *table);
    link_locked(id, *table);
    return 0;
}

/* The IOMMU may have kept an entry under each id that shares the table. */
static void invalidate_locked(u16 alias, const u32 *table)
{
    iommu_command_locked(CMD_INV_INTR | alias, 0);
    for (unsigned i = 0; i < ivrs->nr_aliases; i++) {
        if (ivrs->alias[i].alias != alias) continue;
        unsigned last = MIN((unsigned)ivrs->alias[i].last, iommu_devtab_entries - 1);
        for (unsigned id = ivrs->alias[i].first; id <= last; id++)
            if (id != alias && table_of((u16)id) == table) iommu_command_locked(CMD_INV_INTR | id, 0);
    }
}

static void set_entry_locked(u16 id, u32 *table, unsigned vector, u32 entry)
{
    if (table[vector] == entry) return;
    store_release(&table[vector], entry);
    invalidate_locked(ivrs_alias(ivrs, id), table);
}

int remap_allow(u16 requester, unsigned vector, u32 apic_id)
{
    u32 *table;
    if (!remap_on) return 0;
    if (apic_id > 0xff || vector >= VECTORS) return -EOPNOTSUPP;
    spin_lock(&iommu_cmd_lock);
    int rc = get_table_locked(requester, &table);
    if (!rc) set_entry_locked(requester, table, vector, IRTE_ENABLE | IRTE_DEST(apic_id) | IRTE_VECTOR(vector));
    spin_unlock(&iommu_cmd_lock);
    return rc;
}

void remap_forbid(u16 requester, unsigned vector)
{
    if (!remap_on || requester >= iommu_devtab_entries || vector >= VECTORS) return;
    spin_lock(&iommu_cmd_lock);
    u32 *table = table_of(requester);
    if (table) set_entry_locked(requester, table, vector, 0);
    spin_unlock(&iommu_cmd_lock);
}

/* ---- switching on ---- */

/* Without an id for each IO-APIC that is in use its interrupts would be lost. */
static bool ioapics_known(void)
{
    for (unsigned i = 0; i < nr_ioapics; i++) {
        int requester = ivrs_ioapic(ivrs, ioapics[i].id);
        if (!ioapics[i].nr_pins) continue;
        if (requester < 0) {
            printk(LOG_WARN, "AMD-Vi: interrupts cannot be remapped: the IVRS table does not name IO-APIC %u\n",
                   ioapics[i].id);
            return false;
        }
        ioapics[i].requester = (u16)requester;
    }
    return true;
}

/* IO-APICs get their tables now: their set-up cannot fail later. */
static int start(void)
{
    u32 *table;
    int rc = 0;
    for (unsigned i = 0; i < nr_ioapics && !rc; i++)
        if (ioapics[i].nr_pins) rc = get_table_locked(ioapics[i].requester, &table);
    return rc ? rc : ioapic_remap();
}

static bool devices_known(void)
{
    if (ivrs->devices_bad) {
        printk(LOG_WARN, "AMD-Vi: interrupts cannot be remapped: wrong device entry at %#x in the IVRS table\n",
               ivrs->devices_bad);
        return false;
    }
    for (unsigned i = 0; i < ivrs->nr_aliases; i++) {
        u16 id = ivrs->alias[i].alias;
        if (ivrs_alias(ivrs, id) == id) continue;
        printk(LOG_WARN, "AMD-Vi: interrupts cannot be remapped: in the IVRS table alias %02x:%02x.%x has an alias\n",
               id >> 8, id >> 3 & 31, id & 7);
        return false;
    }
    return ioapics_known();
}

static u64 pass(u8 setting) { return DTE_PASS(setting); }

bool intremap_prepare(const struct ivrs_info *info)
{
    ivrs = info;
    if (!opt_intremap) {
        printk(LOG_WARN, "AMD-Vi: interrupts are not to be remapped: iommu=no-intremap\n");
        return false;
    }
    if (!devices_known()) return false;
    for (unsigned i = 0; i < iommu_devtab_entries; i++) live_write(&iommu_devtab[i][2], DTE_IV);
    iommu_apply_settings(info, 2, pass);
    remap_on = true;
    int rc = start();
    if (!rc) return true;
    printk(LOG_WARN, "AMD-Vi: interrupts cannot be remapped: %s\n",
           rc == -ENOMEM ? "no memory" : "an IO-APIC has an impossible id");
    intremap_drop();
    return false;
}

void intremap_drop(void)
{
    if (!remap_on) return;
    remap_on = false;
    for (unsigned i = 0; i < iommu_devtab_entries; i++) {
        if (ivrs_alias(ivrs, (u16)i) == i) page_free(table_of((u16)i));
        live_write(&iommu_devtab[i][2], 0);
    }
}
