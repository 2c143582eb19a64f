/* SPDX-License-Identifier: MIT */
/* A fake bus with devices that behave like PCI, and dom0's view of it. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "acpi/acpi.h"
#include "boot/boot.h"
#include "call/call.h"
#include "dom/dom0.h"
#include "fake.h"
#include "fake_internal.h"
#include "fake_x86.h"
#include "hvm/hvm.h"
#include "iommu/iommu.h"
#include "hvm/vlapic.h"
#include "irq/irq.h"
#include "mm/block.h"
#include "pci/pci_priv.h"

struct boot_info boot_info __attribute__((weak));

/* ---- a bus with devices that behave like PCI ---- */
#define BAR_AT 0x8000000UL              /* device memory inside the fake machine's window: 128 MiB.. */
struct fake_dev { sbdf_t s; u8 cfg[4096]; u32 bar_mask[7]; };
static struct fake_dev bus[4];

static struct fake_dev *fdev(sbdf_t s)
{
    unsigned i;

    for (i = 0; i < ARRAY_SIZE(bus); i++)
        if (bus[i].s == s && bus[i].cfg[0])
            return &bus[i];
    return NULL;
}

static u32 get(const struct fake_dev *f, unsigned reg, unsigned size)
{
    u32 v = 0;

    memcpy(&v, f->cfg + reg, size);
    return v;
}
static void put(struct fake_dev *f, unsigned reg, unsigned size, u32 v) { memcpy(f->cfg + reg, &v, size); }

static u32 f_read(sbdf_t s, unsigned reg, unsigned size)
{
    struct fake_dev *f = fdev(s);

    assert_true(reg % size == 0 && reg + size <= 4096);
    return f ? get(f, reg, size) : ~0u;
}

static unsigned writes;
static void f_write(sbdf_t s, unsigned reg, unsigned size, u32 v)
{
    struct fake_dev *f = fdev(s);
    int i = reg >= 0x10 && reg < 0x28 ? (int)(reg - 0x10) / 4 : reg >= 0x30 && reg < 0x34 ? 6 : -1;
    u32 old;

    writes++;
    if (!f || reg < 4 || (reg >= 8 && reg < 0x10))
        return;
    if (i >= 0) {
        old = get(f, reg & ~3u, 4);
        put(f, reg, size, v);
        put(f, reg & ~3u, 4, (get(f, reg & ~3u, 4) & f->bar_mask[i]) | (old & (i == 6 ? 0 : 0xf) & ~f->bar_mask[i]));
        return;
    }
    put(f, reg, size, v);
}

static void add_dev(unsigned n, sbdf_t s)
{
    bus[n].s = s;
    put(&bus[n], 0, 4, 0x12348086);
    put(&bus[n], 8, 4, 0x01080200);
    put(&bus[n], 6, 2, 0x10);
    put(&bus[n], 0x34, 1, 0x40);
}

static void set_bar(unsigned n, unsigned i, u32 addr, u32 size, u32 flags)
{
    bus[n].bar_mask[i] = ~(size - 1);
    put(&bus[n], i == 6 ? 0x30 : 0x10 + 4 * i, 4, addr | flags);
}

/* ---- what vpci calls; defined here also to keep the archive's other modules out ---- */
#define WEAK __attribute__((weak))
WEAK const struct hvm_ops *hvm;
WEAK struct domain *dom0;
WEAK bool call_preempt(void) { return false; }
WEAK bool iommu_enabled;
WEAK int iommu_map(struct domain *dom, gfn_t g, mfn_t m, unsigned order, bool write) { return 0; }
WEAK int iommu_split(struct domain *dom, gfn_t g, unsigned order) { return 0; }
WEAK void iommu_unmap(struct domain *dom, gfn_t g) {}
WEAK void iommu_unmap_range(struct domain *dom, gfn_t g, unsigned order) {}
WEAK void iommu_flush(struct domain *dom) {}
static struct { u64 addr; u32 data; unsigned n; } delivered;
void vlapic_msi(struct domain *d, u64 addr, u32 data)
{
    delivered.addr = addr;
    delivered.data = data;
    delivered.n++;
}
static struct { gpa_t start, end; mmio_fn fn; void *arg; } mmio[16];
int mmio_register(struct domain *d, gpa_t start, gpa_t end, mmio_fn fn, void *arg)
{
    unsigned i;

    for (i = 0; i < 16; i++)
        if (mmio[i].end && start < mmio[i].end && mmio[i].start < end)
            return -EEXIST;
    for (i = 0; i < 16 && mmio[i].end; i++)
        ;
    if (i == 16)
        return -ENOMEM;
    mmio[i].start = start; mmio[i].end = end; mmio[i].fn = fn; mmio[i].arg = arg;
    return 0;
}
void mmio_unregister(struct domain *d, gpa_t start)
{
    unsigned i;

    for (i = 0; i < 16; i++)
        if (mmio[i].start == start && mmio[i].end)
            mmio[i].end = 0;
}
static pio_fn ports;
static void *ports_arg;
int pio_register(struct domain *d, u16 first, u16 last, pio_fn fn, void *arg)
{
    assert_true(first == 0xcf8 && last == 0xcff);
    ports = fn;
    ports_arg = arg;
    return 0;
}
void pio_passthrough(struct domain *d, u16 first, u16 last, bool allow) {}
/* ---- helpers as a guest ---- */
static struct domain *d;
static struct vcpu *v;

static u32 cf(sbdf_t s, unsigned reg, unsigned size, bool write, u32 val)
{
    u32 a = 1u << 31 | s << 8 | (reg & 0xfc);

    ports(v, 0xcf8, 4, true, &a, ports_arg);
    ports(v, (u16)(0xcfc + (reg & 3)), size, write, &val, ports_arg);
    return size == 4 ? val : val & ((1u << (8 * size)) - 1);
}
#define rd(s, r, n) cf(s, r, n, false, 0)
#define wr(s, r, n, val) cf(s, r, n, true, val)

static u64 mem(gpa_t a, unsigned size, bool write, u64 val)
{
    unsigned i;

    for (i = 0; i < 16; i++) {
        if (a >= mmio[i].start && a + size <= mmio[i].end) {
            mmio[i].fn(v, a, size, write, &val, mmio[i].arg);
            return val;
        }
    }
    fail_msg("no handler at %lx", (unsigned long)a);
    return 0;
}

static bool mapped(paddr_t a)
{
    enum p2m_type t;
    mfn_t m = p2m_lookup(d, GFN(a >> PAGE_SHIFT), &t, NULL);

    if (t == P2M_NONE)
        return false;
    assert_true(t == P2M_MMIO && m.n == a >> PAGE_SHIFT);
    return true;
}

#define NVME 0x08u                      /* 00:01.0 */
#define AHCI 0xfau                      /* 00:1f.2 */
#define TINY 0x10u                      /* 00:02.0 */
#define GONE 0x18u

static int setup(void **st)
{
    static const struct ram_range ram[] = { { 0x1000, 0xa0000 }, { MiB(1), MiB(64) } };

    fake_machine_init_ranges(192, 2, ram, 2, NULL, 0);
    list_init(&pci_devs);
    memset(bus, 0, sizeof(bus));
    memset(mmio, 0, sizeof(mmio));
    memset(&boot_info, 0, sizeof(boot_info));
    boot_info.nr_mmap = 1;
    boot_info.mmap[0] = (struct boot_range){ MiB(1), MiB(64), 1 };
    pci_backend = (struct pci_backend){ f_read, f_write };
    delivered.n = 0;
    /* NVMe: 64-bit BAR 0 of 16 KiB, MSI-X with 4 entries at 0x2000, PBA at 0x3000. */
    add_dev(0, NVME);
    set_bar(0, 0, BAR_AT, 0x4000, 4);
    bus[0].bar_mask[1] = ~0u;
    put(&bus[0], 0x40, 4, 0x0003 << 16 | CAP_MSIX);
    put(&bus[0], 0x44, 4, 0x2000);
    put(&bus[0], 0x48, 4, 0x3000);
    put(&bus[0], 0x100, 4, 0x14010001);
    put(&bus[0], 0x140, 4, 0x00010000 | EXT_SRIOV);
    put(&bus[0], 4, 2, CMD_MEM);
    /* AHCI: BAR 5 of 4 KiB, I/O BAR 4, MSI 64 bit that offers 4 vectors. */
    add_dev(1, AHCI);
    set_bar(1, 5, BAR_AT + 0x10000, 0x1000, 0);
    set_bar(1, 4, 0xc000, 32, 1);
    put(&bus[1], 0x40, 4, (MSI_64 | 2 << 1) << 16 | CAP_MSI);
    put(&bus[1], 4, 2, CMD_MEM | CMD_IO);
    /* Two functions with 256-byte BARs in one page, decoding off. */
    add_dev(2, TINY);
    set_bar(2, 0, BAR_AT + 0x20100, 0x100, 0);
    put(&bus[2], 6, 2, 0);
    add_dev(3, TINY + 1);
    set_bar(3, 0, BAR_AT + 0x20200, 0x100, 0);
    put(&bus[3], 6, 2, 0);
    pci_get(NVME);
    pci_get(AHCI);
    pci_get(TINY);
    d = fake_domain(0, 16);
    dom0 = d;
    v = d->vcpu[0];
    assert_int_equal(vpci_init(d), 0);
    return 0;
}

/* ---- one more device ---- */
#define NEW 0x28u                       /* 00:05.0, in the empty place bus[3] */
static void fresh(void)
{
    memset(&bus[3], 0, sizeof(bus[3]));
    add_dev(3, NEW);
    put(&bus[3], 6, 2, 0);
}
static struct pci_dev *found(void)
{
    assert_int_equal(pci_device_add(NEW), 0);
    return pci_find(NEW);
}
