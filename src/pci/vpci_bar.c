/* SPDX-License-Identifier: MIT */
/*
 * Memory BARs: dom0's second stage follows what the device decodes. A BAR is mapped 1:1 while decoding is on, but
 * for the pages of MSI-X tables, and never where RAM, the hypervisor's own MMIO or a denied range lies.
 */
#include "boot/boot.h"
#include "dom/dom0.h"
#include "mm/p2m.h"
#include "pci/pci_priv.h"

static bool host_bridge(sbdf_t s) { return pci_read(s, CFG_CLASS + 2, 2) == 0x0600; }

/* Size of the memory BAR at reg; writes all ones and the old value back (PCI 3.0, 6.2.5.1). */
static u64 size_bar(sbdf_t s, unsigned reg, bool is64, u32 low_mask)
{
    u32 lo = pci_read(s, reg, 4), hi = is64 ? pci_read(s, reg + 4, 4) : 0;
    u64 mask;

    pci_write(s, reg, 4, low_mask);
    mask = pci_read(s, reg, 4) & low_mask & ~0xfu;
    pci_write(s, reg, 4, lo);
    if (is64) {
        pci_write(s, reg + 4, 4, ~0u);
        mask |= (u64)pci_read(s, reg + 4, 4) << 32;
        pci_write(s, reg + 4, 4, hi);
    } else if (mask) {
        mask |= ~0ULL << 32;
    }
    return mask && !((~mask + 1) & ~mask) ? ~mask + 1 : 0;      /* a size is a power of two */
}

static void probe_one(struct pci_dev *dev, struct pci_bar *b, unsigned reg, unsigned left)
{
    u32 lo = pci_read(dev->s, reg, 4);

    *b = (struct pci_bar){ .reg = (u8)reg };
    if (lo & 1)
        return;                     /* I/O ports */
    b->is64 = (lo >> 1 & 3) == 2 && left > 1;
    b->size = size_bar(dev->s, reg, b->is64, ~0u);
    b->addr = (lo & ~0xfu) | (b->is64 ? (u64)pci_read(dev->s, reg + 4, 4) << 32 : 0);
}

void bars_probe(struct pci_dev *dev)
{
    unsigned n = dev->header == 0 ? 6 : dev->header == 1 ? 2 : 0, i;
    u16 cmd = (u16)pci_read(dev->s, CFG_COMMAND, 2);
    bool quiet = !host_bridge(dev->s);
    struct pci_bar *rom = &dev->bar[PCI_BARS - 1];

    if (quiet)                      /* half-written BARs must decode nothing */
        pci_write(dev->s, CFG_COMMAND, 2, cmd & ~(CMD_IO | CMD_MEM));
    for (i = 0; i < n; i++) {
        probe_one(dev, &dev->bar[i], CFG_BAR0 + 4 * i, n - i);
        if (dev->bar[i].is64)
            i++;
    }
    if (n) {
        rom->reg = dev->header == 0 ? CFG_ROM0 : CFG_ROM1;
        rom->rom = true;
        rom->rom_on = pci_read(dev->s, rom->reg, 4) & 1;
        rom->addr = pci_read(dev->s, rom->reg, 4) & ~0x7ffu;
        rom->size = size_bar(dev->s, rom->reg, false, ~0x7ffu);
    }
    if (quiet)
        pci_write(dev->s, CFG_COMMAND, 2, cmd);
    dev->decode = cmd & CMD_MEM;
}

/* ---- where a BAR may be ---- */

static bool in_ram(paddr_t start, paddr_t end)
{
    unsigned i;

    for (i = 0; i < boot_info.nr_mmap; i++)
        if (boot_info.mmap[i].type == 1 && start < boot_info.mmap[i].end && boot_info.mmap[i].start < end)
            return true;
    return false;
}

static bool active(const struct pci_bar *b) { return b->size && b->addr && (!b->rom || b->rom_on); }

static bool denied(const struct pci_bar *b)
{
    return active(b) && (b->addr + b->size < b->addr || mmio_denied(b->addr, b->addr + b->size));
}

bool bars_denied(struct pci_dev *dev)
{
    unsigned i;

    for (i = 0; i < PCI_BARS; i++)
        if (denied(&dev->bar[i]))
            return true;
    return false;
}

/* Does another mapped BAR lie in the page at `page`? (Only BARs below 4 KiB share pages.) */
static bool page_shared(const struct pci_bar *self, paddr_t page)
{
    struct list *l;
    unsigned i;

    list_for_each(l, &pci_devs) {
        const struct pci_dev *dev = list_entry(l, struct pci_dev, node);
        for (i = 0; i < PCI_BARS; i++) {
            const struct pci_bar *b = &dev->bar[i];
            if (b != self && b->mapped && b->addr < page + PAGE_SIZE && page < b->addr + b->size)
                return true;
        }
    }
    return false;
}

/* Map or unmap [start, end) without the emulated windows in it. */
static int around_windows(struct domain *d, paddr_t start, paddr_t end, bool map)
{
    paddr_t ws, we;
    int rc;

    if (start >= end)
        return 0;
    if (msix_window_in(start, end, &ws, &we)) {
        rc = around_windows(d, start, MAX(start, ws), map);
        return rc ? rc : around_windows(d, MIN(end, we), end, map);
    }
    return map ? p2m_map_identity(d, start, end, P2M_MMIO) : p2m_unmap_identity(d, start, end, P2M_MMIO);
}

static void map_bar(struct vpci *vp, struct pci_dev *dev, unsigned i)
{
    struct pci_bar *b = &dev->bar[i];
    paddr_t start = ROUND_DOWN(b->addr, PAGE_SIZE), end = ROUND_UP(b->addr + b->size, PAGE_SIZE);

    if (!active(b) || b->mapped || denied(b))
        return;
    if (in_ram(start, end)) {
        printk(LOG_DEBUG, "PCI %02x:%02x.%u: BAR %u at %lx lies in RAM, not mapped\n", dev->s >> 8 & 0xff,
               dev->s >> 3 & 31, dev->s & 7, i, (unsigned long)b->addr);
        return;
    }
    /* Firmware that calls device memory "reserved" had it mapped with the rest of its memory. */
    (void)!p2m_unmap_identity(vp->d, start, end, P2M_IDENT);
    if (!msix_attach(vp, dev, i) || around_windows(vp->d, start, end, true)) {
        printk(LOG_WARN, "PCI %02x:%02x.%u: BAR %u (%lx, %lu KiB) could not be mapped for dom0\n", dev->s >> 8 & 0xff,
               dev->s >> 3 & 31, dev->s & 7, i, (unsigned long)b->addr, (unsigned long)(b->size >> 10));
        (void)!around_windows(vp->d, start, end, false);
        msix_detach(vp, dev, i);
        return;
    }
    b->mapped = true;
}

static void unmap_bar(struct vpci *vp, struct pci_dev *dev, unsigned i)
{
    struct pci_bar *b = &dev->bar[i];
    paddr_t start = ROUND_DOWN(b->addr, PAGE_SIZE), end = ROUND_UP(b->addr + b->size, PAGE_SIZE);

    if (!b->mapped)
        return;
    b->mapped = false;
    if (!(b->size < PAGE_SIZE && page_shared(b, start)) && around_windows(vp->d, start, end, false))
        printk(LOG_WARN, "PCI %02x:%02x.%u: BAR %u stays mapped: no memory to take it out\n", dev->s >> 8 & 0xff,
               dev->s >> 3 & 31, dev->s & 7, i);
    msix_detach(vp, dev, i);
}

void bars_map(struct vpci *vp, struct pci_dev *dev)
{
    unsigned i;

    for (i = 0; i < PCI_BARS; i++)
        map_bar(vp, dev, i);
    if (dev->msix.on)
        msix_sync(dev);
}

void bars_unmap(struct vpci *vp, struct pci_dev *dev)
{
    unsigned i;

    for (i = 0; i < PCI_BARS; i++)
        unmap_bar(vp, dev, i);
}

/* ---- registers ---- */

int bar_index(const struct pci_dev *dev, unsigned reg, bool *high)
{
    int i;

    for (i = 0; i < PCI_BARS; i++) {
        const struct pci_bar *b = &dev->bar[i];
        *high = b->is64 && reg == b->reg + 4u;
        if (b->size && (reg == b->reg || *high))
            return i;
    }
    return -1;
}

u32 bar_read(struct pci_dev *dev, int i, bool high)
{
    const struct pci_bar *b = &dev->bar[i];
    u32 v = pci_read(dev->s, b->reg + (high ? 4u : 0), 4);
    u64 mask = ~(b->size - 1);

    if (!(b->sizing & (high ? 2 : 1)))
        return v;
    return high ? (u32)(mask >> 32) : (u32)mask | (v & (b->rom ? 1 : 0xf));
}

static u64 bar_value(const struct pci_bar *b, bool high, u32 val)
{
    u32 low = val & ~(b->rom ? 0x7ffu : 0xfu);
    u64 addr = high ? (b->addr & 0xffffffff) | (u64)val << 32 : (b->addr & ~0xffffffffULL) | low;

    return addr & ~(b->size - 1);
}

/* All ones are the sizing protocol: answered from what is known, the device is left alone. */
void bar_write(struct vpci *vp, struct pci_dev *dev, int i, bool high, u32 val)
{
    struct pci_bar *b = &dev->bar[i], new = *b;
    u8 half = high ? 2 : 1;

    if ((val | (b->rom ? 0x7ff : 0)) == ~0u) {
        b->sizing |= half;
        return;
    }
    b->sizing &= (u8)~half;
    new.addr = bar_value(b, high, val);
    if (b->rom)
        new.rom_on = val & 1;
    if (dev->decode && denied(&new)) {
        printk(LOG_WARN, "PCI %02x:%02x.%u: dom0 may not move BAR %d to %lx\n", dev->s >> 8 & 0xff, dev->s >> 3 & 31,
               dev->s & 7, i, (unsigned long)new.addr);
        return;
    }
    if (new.addr != b->addr || new.rom_on != b->rom_on)
        unmap_bar(vp, dev, (unsigned)i);
    pci_write(dev->s, b->reg + (high ? 4u : 0), 4, val);
    b->addr = new.addr;
    b->rom_on = new.rom_on;
    if (dev->decode)
        map_bar(vp, dev, (unsigned)i);
}

void command_write(struct vpci *vp, struct pci_dev *dev, u16 val)
{
    bool on = val & CMD_MEM;

    if (on && !dev->decode && bars_denied(dev)) {
        printk(LOG_WARN, "PCI %02x:%02x.%u: memory decoding stays off: a BAR lies over the hypervisor's devices\n",
               dev->s >> 8 & 0xff, dev->s >> 3 & 31, dev->s & 7);
        val &= (u16)~CMD_MEM;
        on = false;
    }
    if (!on && dev->decode)
        bars_unmap(vp, dev);
    pci_write(dev->s, CFG_COMMAND, 2, val);
    if (on != dev->decode) {
        dev->decode = on;
        if (on)
            bars_map(vp, dev);
    }
}
