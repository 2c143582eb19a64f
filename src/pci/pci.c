/* SPDX-License-Identifier: MIT */
/* Host configuration space (ECAM, or ports CF8/CFC for segment 0) and the list of devices. */
#include "acpi/acpi.h"
#include "pci/pci_priv.h"
#include "cpu/x86.h"

struct list pci_devs = LIST_INIT(pci_devs);
static struct spinlock list_lock = SPINLOCK(RANK_PCI);     /* additions; entries are never removed */
static unsigned last_bus;

/* ---- access ---- */

static struct spinlock cf8_lock = SPINLOCK(RANK_PCI);
static volatile u8 *ecam_va[ARRAY_SIZE(acpi_ecam)];         /* whole windows, mapped on first use */

static volatile u8 *ecam(sbdf_t s, unsigned reg)
{
    unsigned bus = s >> 8 & 0xff, i;

    for (i = 0; i < nr_acpi_ecam; i++) {
        const struct acpi_ecam *e = &acpi_ecam[i];
        if (e->segment != s >> 16 || bus < e->bus_start || bus > e->bus_end)
            continue;
        u64 first = (u64)e->bus_start << 20;
        if (!ecam_va[i])
            ecam_va[i] = mmio_map(e->base + first, ((u64)e->bus_end + 1) * MiB(1) - first);
        return ecam_va[i] ? ecam_va[i] + (((u64)bus << 20) - first + ((s & 0xff) << 12 | reg)) : NULL;
    }
    return NULL;
}

/* Through RAX: some AMD processors decode nothing else for ECAM (BKDG family 10h, 2.11.1). */
static u32 mmio_in(const volatile u8 *p, unsigned size)
{
    u32 v = 0;

    if (size == 1)
        __asm__ volatile("movb %1, %b0" : "+a"(v) : "m"(*p));
    else if (size == 2)
        __asm__ volatile("movw %1, %w0" : "+a"(v) : "m"(*(const volatile u16 *)p));
    else
        __asm__ volatile("movl %1, %0" : "=a"(v) : "m"(*(const volatile u32 *)p));
    return v;
}

static void mmio_out(volatile u8 *p, unsigned size, u32 v)
{
    if (size == 1)
        __asm__ volatile("movb %b1, %0" : "=m"(*p) : "a"(v));
    else if (size == 2)
        __asm__ volatile("movw %w1, %0" : "=m"(*(volatile u16 *)p) : "a"(v));
    else
        __asm__ volatile("movl %1, %0" : "=m"(*(volatile u32 *)p) : "a"(v));
}

static u32 hw_read(sbdf_t s, unsigned reg, unsigned size)
{
    volatile u8 *p = ecam(s, reg);
    u16 port = (u16)(0xcfc + (reg & 3));
    u32 v;

    if (p)
        return mmio_in(p, size);
    if (s >> 16 || reg >= CFG_EXT)
        return ~0u;
    spin_lock(&cf8_lock);
    outl(0xcf8, 1u << 31 | s << 8 | (reg & ~3u));
    v = size == 1 ? inb(port) : size == 2 ? inw(port) : inl(port);
    spin_unlock(&cf8_lock);
    return v;
}

static void hw_write(sbdf_t s, unsigned reg, unsigned size, u32 val)
{
    volatile u8 *p = ecam(s, reg);
    u16 port = (u16)(0xcfc + (reg & 3));

    if (p) {
        mmio_out(p, size, val);
        return;
    }
    if (s >> 16 || reg >= CFG_EXT)
        return;
    spin_lock(&cf8_lock);
    outl(0xcf8, 1u << 31 | s << 8 | (reg & ~3u));
    if (size == 1)
        outb(port, (u8)val);
    else if (size == 2)
        outw(port, (u16)val);
    else
        outl(port, val);
    spin_unlock(&cf8_lock);
}
struct pci_backend pci_backend = { hw_read, hw_write };

u32 pci_read(sbdf_t s, unsigned reg, unsigned size)
{
    u32 v = pci_backend.read(s, reg, size);

    return size == 4 ? v : v & ((1u << (8 * size)) - 1);
}

void pci_write(sbdf_t s, unsigned reg, unsigned size, u32 val) { pci_backend.write(s, reg, size, val); }

bool pci_exists(sbdf_t s)
{
    u32 id = pci_read(s, CFG_VENDOR, 4);

    return id != ~0u && id && (id & 0xffff) != 0xffff;
}

/* ---- devices ---- */

struct pci_dev *pci_find(sbdf_t s)
{
    struct list *l;

    list_for_each(l, &pci_devs)
        if (list_entry(l, struct pci_dev, node)->s == s)
            return list_entry(l, struct pci_dev, node);
    return NULL;
}

struct pci_dev *pci_get(sbdf_t s)
{
    struct pci_dev *dev = pci_find(s), *new;

    if (dev)
        return dev;
    new = kzalloc(sizeof(*new));
    if (!new)
        return NULL;
    new->s = s;
    spin_lock(&list_lock);
    dev = pci_find(s);
    if (!dev) {                     /* readers walk forward without the lock: complete the node, then link it */
        dev = new;
        new = NULL;
        dev->node.next = &pci_devs;
        dev->node.prev = pci_devs.prev;
        store_release(&pci_devs.prev->next, &dev->node);
        pci_devs.prev = &dev->node;
        if ((s >> 8 & 0xff) > last_bus)
            last_bus = s >> 8 & 0xff;
    }
    spin_unlock(&list_lock);
    kfree(new);
    return dev;
}

void pci_hide(sbdf_t s)
{
    struct pci_dev *dev = pci_get(s);

    if (dev)
        dev->hidden = true;
}

unsigned pci_last_bus(void) { return last_bus; }

static void scan_function(sbdf_t s)
{
    u8 type = (u8)(pci_read(s, CFG_HEADER, 1) & 0x7f);
    unsigned sub;

    if (!pci_get(s))
        printk(LOG_WARN, "PCI: no memory for device %04x:%02x:%02x.%u\n", s >> 16, s >> 8 & 0xff, s >> 3 & 31, s & 7);
    if (type == 1) {                /* buses that exist only behind a bridge count too */
        sub = pci_read(s, CFG_BUSES + 2, 1);
        if (sub != 0xff && sub > last_bus)
            last_bus = sub;
    }
}

static void scan_bus(u16 segment, unsigned bus)
{
    sbdf_t s = (sbdf_t)segment << 16 | bus << 8;
    unsigned dev, fn, multi;

    for (dev = 0; dev < 32; dev++, s += 8) {
        if (!pci_exists(s))
            continue;
        scan_function(s);
        multi = pci_read(s, CFG_HEADER, 1) & 0x80;
        for (fn = 1; multi && fn < 8; fn++)
            if (pci_exists(s | fn))
                scan_function(s | fn);
    }
}

void pci_init(void)
{
    unsigned i, bus, n = 0;
    struct list *l;

    for (i = 0; i < nr_acpi_ecam; i++)
        for (bus = acpi_ecam[i].bus_start; bus <= acpi_ecam[i].bus_end; bus++)
            scan_bus(acpi_ecam[i].segment, bus);
    if (!nr_acpi_ecam)
        for (bus = 0; bus < 256; bus++)
            scan_bus(0, bus);
    list_for_each(l, &pci_devs)
        n++;
    printk(LOG_INFO, "PCI: %u devices, highest bus %u, %u ECAM window(s)\n", n, last_bus, nr_acpi_ecam);
}
