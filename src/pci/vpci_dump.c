/* SPDX-License-Identifier: MIT */
/* Debug keys 'Q' and 'M': PCI devices with their BARs, message interrupts. What is shown of a device is copied under the
 * lock and printed without it, so that dom0 need not wait for the console. */
#include "debug/console.h"
#include "pci/pci_priv.h"

/* Sum of what fn says. */
static unsigned each_device(unsigned (*fn)(struct vpci *vp, struct pci_dev *dev))
{
    struct list *l;
    unsigned n = 0;

    if (dom0 && dom0->vpci)
        list_for_each(l, &pci_devs)
            n += fn(dom0->vpci, list_entry(l, struct pci_dev, node));
    return n;
}

static void print_name(sbdf_t s)
{
    printk(LOG_ERR, "%04x:%02x:%02x.%u", s >> 16, s >> 8 & 0xff, s >> 3 & 31, s & 7);
}

/* ---- Q ---- */

static struct pci_dev copy(struct vpci *vp, const struct pci_dev *dev)
{
    struct pci_dev c;

    spin_lock(&vp->lock);
    c = *dev;
    spin_unlock(&vp->lock);
    return c;
}

static unsigned print_device(struct vpci *vp, struct pci_dev *dev)
{
    const struct pci_dev c = copy(vp, dev);
    unsigned i;

    print_name(c.s);
    printk(LOG_ERR, ": %s%s\n", c.hidden ? "the hypervisor's" : c.ready ? "dom0's" : "not set up",
           c.decode ? ", decodes memory" : "");
    for (i = 0; i < PCI_BARS; i++)
        if (c.bar[i].size)
            printk(LOG_ERR, "  %s %u: %#lx + %#lx%s%s\n", c.bar[i].rom ? "ROM" : "BAR", i, c.bar[i].addr, c.bar[i].size,
                   c.bar[i].is64 ? ", 64 bits" : "", c.bar[i].mapped ? ", mapped" : "");
    if (c.msi.cap)
        printk(LOG_ERR, "  MSI at %#x: %s\n", c.msi.cap, c.msi.on ? "on" : "off");
    if (c.msix.cap)
        printk(LOG_ERR, "  MSI-X at %#x: %s, %u entries, %u offered, table in BAR %u at %#x\n", c.msix.cap,
               c.msix.on ? "on" : "off", c.msix.nr, c.msix.offered, c.msix.bir, c.msix.table);
    return 1;
}
void vpci_dump_devices(void) { printk(LOG_ERR, "%u PCI devices\n", each_device(print_device)); }
DEBUG_KEY(pci, 'Q', "PCI devices and their BARs", vpci_dump_devices);

/* ---- M: an entry for each host vector in use, so there are not more than vectors ---- */

/* Message `n` of the device: its MSI, then the MSI-X entries. False: there are no more. */
static bool message(struct vpci *vp, const struct pci_dev *dev, unsigned n, struct pci_msg *out)
{
    bool more;

    spin_lock(&vp->lock);
    more = !n || (dev->msix.cap && n <= dev->msix.nr);
    if (more)
        *out = n ? dev->msix.chunk[(n - 1) / CHUNK_ENTRIES][(n - 1) % CHUNK_ENTRIES] : dev->msi.msg;
    spin_unlock(&vp->lock);
    return more;
}

static unsigned print_messages(struct vpci *vp, struct pci_dev *dev)
{
    struct pci_msg m;
    unsigned n, used = 0;

    for (n = 0; message(vp, dev, n, &m); n++) {
        if (!m.vector)
            continue;
        used++;
        print_name(dev->s);
        if (n)
            printk(LOG_ERR, " MSI-X %u:", n - 1);
        else
            printk(LOG_ERR, " MSI:");
        printk(LOG_ERR, " vector 0x%02x; dom0's address %#lx data %#x%s\n", (unsigned)m.vector, m.addr, m.data,
               n && m.masked ? ", masked" : "");
    }
    return used;
}
void vpci_dump_messages(void) { printk(LOG_ERR, "%u message interrupts\n", each_device(print_messages)); }
DEBUG_KEY(msi, 'M', "message interrupts in use", vpci_dump_messages);
