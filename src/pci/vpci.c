/* SPDX-License-Identifier: MIT */
/* dom0's configuration space: ports CF8/CFC and ECAM windows lead to one pair of functions, which pass through to
 * the device but for command, BARs, MSI, MSI-X and a few hidden capabilities. */
#include "acpi/acpi.h"
#include "hvm/hvm.h"
#include "pci/pci_priv.h"
#include "cpu/x86.h"

/* ---- devices ---- */

static void find_caps(struct vpci *vp, struct pci_dev *dev)
{
    unsigned left = 48;             /* a loop in the list must end (48 capabilities fit in 192 bytes) */
    u8 pos, id;

    if (!(pci_read(dev->s, CFG_STATUS, 2) & 0x10))
        return;
    for (pos = pci_read(dev->s, CFG_CAPS, 1) & 0xfc; pos >= 0x40 && left; left--) {
        id = (u8)pci_read(dev->s, pos, 1);
        if (id == CAP_MSI && !dev->msi.cap)
            msi_probe(vp, dev, pos);
        else if (id == CAP_MSIX && !dev->msix.cap)
            msix_probe(vp, dev, pos);
        pos = pci_read(dev->s, pos + 1u, 1) & 0xfc;
    }
}

/* Length of an extended capability that is to be hidden, 0 for all others. SR-IOV and resizable BARs change what
 * the device decodes behind our back (PCI Express base specification: SR-IOV, Resizable BAR, VF Resizable BAR). */
static u16 hidden_length(const struct pci_dev *dev, unsigned pos, u16 id)
{
    if (id == EXT_SRIOV)
        return 0x40;
    if (id == EXT_REBAR || id == EXT_VF_REBAR)
        return (u16)(4 + 8 * (pci_read(dev->s, pos + 8, 4) >> 5 & 7));
    return 0;
}

static void find_ext_caps(struct pci_dev *dev)
{
    unsigned pos = CFG_EXT, left = 480, n = 0;
    u16 len;
    u32 h;

    memset(dev->null_cap, 0, sizeof(dev->null_cap));
    while (pos >= CFG_EXT && left-- && n < ARRAY_SIZE(dev->null_cap)) {
        h = pci_read(dev->s, pos, 4);
        if (!h || h == ~0u)
            return;
        len = hidden_length(dev, pos, (u16)h);
        if (len) {
            dev->null_cap[n].at = (u16)pos;
            dev->null_cap[n++].len = len;
        }
        pos = h >> 20 & 0xffc;
    }
}

void vpci_setup_dev(struct vpci *vp, struct pci_dev *dev)
{
    if (dev->ready || dev->hidden)
        return;
    dev->ready = true;
    dev->header = (u8)(pci_read(dev->s, CFG_HEADER, 1) & 0x7f);
    bars_probe(dev);
    find_caps(vp, dev);
    find_ext_caps(dev);
    if (dev->decode && bars_denied(dev)) {
        dev->decode = false;
        printk(LOG_WARN, "PCI %02x:%02x.%u: a BAR lies over the hypervisor's devices; switched off\n",
               dev->s >> 8 & 0xff, dev->s >> 3 & 31, dev->s & 7);
        pci_write(dev->s, CFG_COMMAND, 2, pci_read(dev->s, CFG_COMMAND, 2) & ~CMD_MEM);
    }
    if (dev->decode)
        bars_map(vp, dev);
}

void vpci_drop_dev(struct vpci *vp, struct pci_dev *dev)
{
    msi_off(dev);
    msix_off(dev);
    bars_unmap(vp, dev);
    msix_forget(dev);
    dev->msi = (struct pci_msi){ 0 };
    memset(dev->bar, 0, sizeof(dev->bar));
    dev->ready = dev->decode = false;
}

/* The device at s as dom0 may see it; one that dom0 found (hot-plugged) before it told us is added here. */
static struct pci_dev *visible(struct vpci *vp, sbdf_t s, bool *hidden)
{
    struct pci_dev *dev = pci_find(s);

    *hidden = dev && dev->hidden;
    if (*hidden)
        return NULL;
    if ((!dev || !dev->ready) && pci_exists(s)) {
        dev = pci_get(s);
        if (dev)
            vpci_setup_dev(vp, dev);
    }
    return dev && dev->ready ? dev : NULL;
}

/* ---- registers ---- */

static bool in_null_cap(const struct pci_dev *dev, unsigned reg, bool *head)
{
    unsigned i;

    for (i = 0; i < ARRAY_SIZE(dev->null_cap) && dev->null_cap[i].len; i++) {
        *head = reg == dev->null_cap[i].at;
        if (reg >= dev->null_cap[i].at && reg < dev->null_cap[i].at + dev->null_cap[i].len)
            return true;
    }
    return false;
}

static u32 read_dword(struct pci_dev *dev, unsigned reg)
{
    bool flag;
    int i = bar_index(dev, reg, &flag);

    if (i >= 0)
        return bar_read(dev, i, flag);
    if (msi_covers(dev, reg))
        return msi_read(dev, reg);
    if (dev->msix.cap && reg == dev->msix.cap)
        return msix_read(dev);
    if (reg >= CFG_EXT && in_null_cap(dev, reg, &flag))     /* only the link to the next one is left */
        return flag ? pci_read(dev->s, reg, 4) & 0xfff00000 : 0;
    return pci_read(dev->s, reg, 4);
}

/* Is the dword at reg one that must not be written straight through? */
static bool is_special(struct pci_dev *dev, unsigned reg)
{
    bool flag;

    return reg == CFG_COMMAND || bar_index(dev, reg, &flag) >= 0 || msi_covers(dev, reg) ||
           (dev->msix.cap && reg == dev->msix.cap) || (reg >= CFG_EXT && in_null_cap(dev, reg, &flag));
}

u32 vpci_read(struct vpci *vp, sbdf_t s, unsigned reg, unsigned size)
{
    u32 mask = size == 4 ? ~0u : (1u << (8 * size)) - 1, v = mask;
    struct pci_dev *dev;
    bool hidden;

    spin_lock(&vp->lock);
    dev = visible(vp, s, &hidden);
    if (dev)
        v = is_special(dev, reg & ~3u) && (reg & ~3u) != CFG_COMMAND
            ? read_dword(dev, reg & ~3u) >> (8 * (reg & 3)) & mask : pci_read(s, reg, size);
    else if (!hidden)
        v = pci_read(s, reg, size);
    spin_unlock(&vp->lock);
    return v;
}

/* Write the bytes [reg, reg + size) of a special dword: registers are 16 or 32 bits wide inside it. */
static void write_special(struct vpci *vp, struct pci_dev *dev, unsigned reg, unsigned size, u32 val)
{
    unsigned base = reg & ~3u, shift = 8 * (reg & 3);
    u32 mask = (size == 4 ? ~0u : (1u << (8 * size)) - 1) << shift, new, old;
    bool flag;
    int i;

    val <<= shift;
    if (base == CFG_COMMAND) {
        if (mask & 0xffff)
            command_write(vp, dev, (u16)((pci_read(dev->s, CFG_COMMAND, 2) & ~mask) | (val & mask)));
        if (mask >> 16)             /* status: write one to clear, so only the bytes that were written */
            pci_write(dev->s, CFG_STATUS, 2, (val & mask) >> 16);
        return;
    }
    old = read_dword(dev, base);
    new = (old & ~mask) | (val & mask);
    i = bar_index(dev, base, &flag);
    if (i >= 0)
        bar_write(vp, dev, i, flag, new);
    else if (msi_covers(dev, base))
        msi_write(vp, dev, base, new);
    else if (dev->msix.cap && base == dev->msix.cap && mask >> 16)
        msix_control(vp, dev, (u16)(new >> 16));
}

void vpci_write(struct vpci *vp, sbdf_t s, unsigned reg, unsigned size, u32 val)
{
    struct pci_dev *dev;
    bool hidden;

    spin_lock(&vp->lock);
    dev = visible(vp, s, &hidden);
    if (dev && is_special(dev, reg & ~3u))
        write_special(vp, dev, reg, size, val);
    else if (dev)
        pci_write(s, reg, size, val);
    spin_unlock(&vp->lock);
}

/* ---- ways in ---- */

static void host_port(u16 port, unsigned size, bool write, u32 *val)
{
    if (write && size == 1)
        outb(port, (u8)*val);
    else if (write)
        size == 2 ? outw(port, (u16)*val) : outl(port, *val);
    else
        *val = size == 1 ? inb(port) : size == 2 ? inw(port) : inl(port);
}

/* Ports CF8-CFF. Only an aligned dword at CF8 is the address register (PCI 3.0, 3.2.2.3.2); CF9 is the chipset's
 * reset control and goes through. */
static void cf8_ports(struct vcpu *v, u16 port, unsigned size, bool write, u32 *val, void *arg)
{
    struct vpci *vp = arg;
    u32 cf8 = read_once(&vp->cf8);
    unsigned reg;

    if (port == 0xcf8 && size == 4) {
        if (write)
            write_once(&vp->cf8, *val);
        else
            *val = cf8;
        return;
    }
    if (port < 0xcfc) {
        /* An access that reaches into the data register would pass by the checks below. */
        if (port + size > 0xcfc) {
            if (!write)
                *val = ~0u;
            return;
        }
        host_port(port, size, write, val);
        return;
    }
    if (!write)
        *val = ~0u;
    if (!(cf8 >> 31) || (port & 3u) + size > 4 || (port & (size - 1)))
        return;
    reg = (cf8 & 0xfc) | (cf8 >> 16 & 0xf00) | (port & 3u);    /* bits 24-27: extended registers on AMD */
    if (write)
        vpci_write(vp, cf8 >> 8 & 0xffff, reg, size, *val);
    else
        *val = vpci_read(vp, cf8 >> 8 & 0xffff, reg, size);
}

static void ecam_mmio(struct vcpu *v, gpa_t addr, unsigned size, bool write, u64 *val, void *arg)
{
    const struct acpi_ecam *e = arg;
    struct vpci *vp = v->dom->vpci;
    u64 off = addr - e->base;       /* bus 0 of the window is at its base (PCI Firmware 3.2, 4.1.2) */
    sbdf_t s = (sbdf_t)e->segment << 16 | (sbdf_t)(off >> 12 & 0xffff);
    unsigned reg = off & 0xfff, step = MIN(size, 4u), i;
    u64 v64 = 0;

    if (!write)
        *val = ~0ULL;
    if (size > 8 || (size & (size - 1)) || reg % size)
        return;
    for (i = 0; i < size; i += step) {
        if (write)
            vpci_write(vp, s, reg + i, step, (u32)(*val >> (8 * i)));
        else
            v64 |= (u64)vpci_read(vp, s, reg + i, step) << (8 * i);
    }
    if (!write)
        *val = v64;
}

int vpci_init(struct domain *d)
{
    struct vpci *vp = kzalloc(sizeof(*vp));
    struct list *l;
    unsigned i;
    int rc;

    if (!vp)
        return -ENOMEM;
    vp->d = d;
    spin_init(&vp->lock, RANK_VPCI);
    d->vpci = vp;
    rc = pio_register(d, 0xcf8, 0xcff, cf8_ports, vp);
    for (i = 0; i < nr_acpi_ecam && !rc; i++)
        rc = mmio_register(d, acpi_ecam[i].base + ((u64)acpi_ecam[i].bus_start << 20),
                           acpi_ecam[i].base + ((u64)(acpi_ecam[i].bus_end + 1u) << 20), ecam_mmio, &acpi_ecam[i]);
    spin_lock(&vp->lock);
    list_for_each(l, &pci_devs)
        vpci_setup_dev(vp, list_entry(l, struct pci_dev, node));
    msix_share(vp);
    spin_unlock(&vp->lock);
    return rc;
}

int pci_device_add(sbdf_t s)
{
    struct vpci *vp = dom0->vpci;
    struct pci_dev *dev;
    int rc = -ENODEV;

    spin_lock(&vp->lock);
    if (pci_exists(s)) {
        dev = pci_get(s);
        rc = !dev ? -ENOMEM : dev->hidden ? -ENODEV : 0;
        if (!rc)
            vpci_setup_dev(vp, dev);
    }
    spin_unlock(&vp->lock);
    return rc;
}

int pci_device_remove(sbdf_t s)
{
    struct vpci *vp = dom0->vpci;
    struct pci_dev *dev;

    spin_lock(&vp->lock);
    dev = pci_find(s);
    if (dev && dev->ready)
        vpci_drop_dev(vp, dev);
    spin_unlock(&vp->lock);
    return dev ? 0 : -ENODEV;
}
