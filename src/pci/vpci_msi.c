/* SPDX-License-Identifier: MIT */
/*
 * MSI (PCI 3.0, 6.8.1): dom0's address and data are kept here, the device gets a host vector. One vector per
 * function is offered (Multiple Message Capable reads 0): host vectors come one by one, not in aligned groups.
 */
#include "hvm/vlapic.h"
#include "irq/irq.h"
#include "pci/pci_priv.h"

static void msg_irq(void *arg, unsigned vector)
{
    struct pci_msg *m = arg;

    vlapic_msi(m->d, read_once(&m->addr), read_once(&m->data));
}

/* The CPU that runs the vCPU dom0 chose, so that the interrupt need not be passed on. APIC id = 2 * vCPU id. */
static unsigned choose_cpu(const struct pci_msg *m)
{
    unsigned id = (unsigned)(m->addr >> 12 & 0xff) / 2;
    const struct vcpu *v = id < m->d->max_vcpus ? m->d->vcpu[index_nospec(id, m->d->max_vcpus)] : NULL;

    return v && v->cpu < nr_cpus ? v->cpu : 0;
}

static const char *refusal(int rc)
{
    return rc == -ENOSPC ? "no host vector left" : rc == -ENOMEM ? "no memory for its interrupt table" :
           rc == -ENODEV ? "the IOMMU's tables have no place for the device" : "the CPU cannot be reached";
}

bool msg_bind(struct pci_msg *m, u64 *addr, u32 *data)
{
    int v = m->vector ? m->vector : irq_vector_alloc(msg_irq, m);
    int rc = v < 0 ? v : msi_route((u16)m->s, (unsigned)v, choose_cpu(m), addr, data);

    if (rc) {
        if (v > 0 && !m->vector)
            irq_vector_free((unsigned)v);
        printk(LOG_WARN, "PCI %02x:%02x.%u: a message interrupt stays off: %s\n", m->s >> 8 & 0xff, m->s >> 3 & 31,
               m->s & 7, refusal(rc));
        return false;
    }
    m->vector = v;
    return true;
}

void msg_unbind(struct pci_msg *m)
{
    if (!m->vector)
        return;
    msi_unroute((u16)m->s, (unsigned)m->vector);    /* before another device can get the vector */
    irq_vector_free((unsigned)m->vector);
    m->vector = 0;
}

void msi_probe(struct vpci *vp, struct pci_dev *dev, u8 cap)
{
    u16 ctrl = (u16)pci_read(dev->s, cap + 2u, 2);

    dev->msi = (struct pci_msi){ .cap = cap, .is64 = ctrl & MSI_64, .maskbit = ctrl & MSI_MASKBIT,
                                 .msg = { .d = vp->d, .s = dev->s } };
    if (ctrl & MSI_ENABLE)          /* left on by the firmware: the vector means nothing here */
        pci_write(dev->s, cap + 2u, 2, ctrl & ~(MSI_ENABLE | MSI_MME));
}

/* Dwords: control, address, [address high], data. Mask and pending bits behind them are passed through. */
bool msi_covers(const struct pci_dev *dev, unsigned reg)
{
    return dev->msi.cap && reg >= dev->msi.cap && reg < dev->msi.cap + (dev->msi.is64 ? 16u : 12u);
}

u32 msi_read(struct pci_dev *dev, unsigned reg)
{
    const struct pci_msi *m = &dev->msi;
    unsigned off = reg - m->cap;

    if (off == 0)
        return pci_read(dev->s, reg, 4) & ~((u32)(MSI_MMC | MSI_MME) << 16);
    if (off == 4)
        return (u32)m->msg.addr;
    if (off == 8 && m->is64)
        return (u32)(m->msg.addr >> 32);
    return m->msg.data;
}

static void program(struct pci_dev *dev)
{
    struct pci_msi *m = &dev->msi;
    u32 data;
    u64 addr;

    if (!msg_bind(&m->msg, &addr, &data))
        return;
    pci_write(dev->s, m->cap + 4u, 4, (u32)addr);
    if (m->is64)
        pci_write(dev->s, m->cap + 8u, 4, (u32)(addr >> 32));
    pci_write(dev->s, m->cap + (m->is64 ? 12u : 8u), 2, data);
}

static void write_control(struct pci_dev *dev, u16 val)
{
    struct pci_msi *m = &dev->msi;

    val &= (u16)~MSI_MME;
    if (val & MSI_ENABLE)
        program(dev);
    m->on = val & MSI_ENABLE && m->msg.vector;
    pci_write(dev->s, m->cap + 2u, 2, m->on ? val : val & ~MSI_ENABLE);
    if (!m->on)
        msg_unbind(&m->msg);
}

void msi_write(struct vpci *vp, struct pci_dev *dev, unsigned reg, u32 val)
{
    struct pci_msg *m = &dev->msi.msg;
    unsigned off = reg - dev->msi.cap;

    if (off == 0) {
        write_control(dev, (u16)(val >> 16));
        return;
    }
    if (off == 4)
        write_once(&m->addr, (m->addr & ~0xffffffffULL) | val);
    else if (off == 8 && dev->msi.is64)
        write_once(&m->addr, (m->addr & 0xffffffff) | (u64)val << 32);
    else
        write_once(&m->data, val & 0xffff);
    if (dev->msi.on)                /* also restores the device's registers after a function reset */
        program(dev);
}

void msi_off(struct pci_dev *dev)
{
    if (dev->msi.cap && dev->msi.on)
        write_control(dev, 0);
}
