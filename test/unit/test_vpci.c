/* SPDX-License-Identifier: MIT */
/* dom0's view of PCI over a fake bus: BAR tracking, sizing, denied places, MSI, MSI-X, hidden devices and
 * capabilities, random configuration writes. */
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
#include "hvm/hvm.h"
#include "iommu/iommu.h"
#include "hvm/vlapic.h"
#include "irq/irq.h"
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
WEAK int iommu_split(struct domain *dom, gfn_t g) { return 0; }
WEAK void iommu_unmap(struct domain *dom, gfn_t g) {}
WEAK void iommu_flush(struct domain *dom) {}
WEAK bool iommu_flush_pending(struct domain *dom) { return false; }
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

static void bars(void **st)
{
    u32 lo;

    assert_true(mapped(BAR_AT) && mapped(BAR_AT + 0x1000));
    assert_false(mapped(BAR_AT + 0x2000) || mapped(BAR_AT + 0x3000) || mapped(BAR_AT + 0x4000));
    assert_true(mapped(BAR_AT + 0x10000));
    /* Sizing with decoding off, as Linux does. */
    wr(NVME, 4, 2, 0);
    assert_false(mapped(BAR_AT));
    lo = rd(NVME, 0x10, 4);
    assert_int_equal(lo, BAR_AT | 4);
    wr(NVME, 0x10, 4, ~0u);
    assert_int_equal(rd(NVME, 0x10, 4), 0xffffc004);
    wr(NVME, 0x10, 4, lo);
    wr(NVME, 0x14, 4, ~0u);
    assert_int_equal(rd(NVME, 0x14, 4), ~0u);
    wr(NVME, 0x14, 4, 0);
    assert_int_equal(rd(NVME, 0x10, 4), lo);
    assert_int_equal(get(&bus[0], 0x10, 4), lo);
    wr(NVME, 4, 2, CMD_MEM);
    assert_true(mapped(BAR_AT));
    /* Moved with decoding on. */
    wr(AHCI, 0x24, 4, BAR_AT + 0x40000);
    assert_true(mapped(BAR_AT + 0x40000) && !mapped(BAR_AT + 0x10000));
    /* Status bits are written only if their bytes are. */
    put(&bus[1], 6, 2, 0x10);
    wr(AHCI, 4, 2, CMD_MEM | 4);
    assert_int_equal(get(&bus[1], 6, 2), 0x10);
    assert_int_equal(get(&bus[1], 4, 2), CMD_MEM | 4);
    wr(AHCI, 4, 1, 0);
    assert_false(mapped(BAR_AT + 0x40000));
}

static void denied_places(void **st)
{
    mmio_deny(BAR_AT + 0x80000, BAR_AT + 0x81000);
    wr(AHCI, 0x24, 4, BAR_AT + 0x80000);            /* decoding on: refused */
    assert_int_equal(get(&bus[1], 0x24, 4), BAR_AT + 0x10000);
    assert_true(mapped(BAR_AT + 0x10000));
    wr(AHCI, 4, 2, 0);
    wr(AHCI, 0x24, 4, BAR_AT + 0x80000);
    wr(AHCI, 4, 2, CMD_MEM | 4);                    /* decoding cannot go on there */
    assert_int_equal(get(&bus[1], 4, 2), 4);
    assert_false(mapped(BAR_AT + 0x80000));
    wr(AHCI, 0x24, 4, MiB(8));                      /* host RAM: decodes nothing that matters, is not mapped */
    wr(AHCI, 4, 2, CMD_MEM);
    {
        enum p2m_type t;
        p2m_lookup(d, GFN(MiB(8) >> PAGE_SHIFT), &t, NULL);
        assert_int_equal(t, P2M_NONE);
    }
}

static void shared_page(void **st)
{
    assert_int_equal(pci_device_add(TINY + 1), 0);
    wr(TINY, 4, 2, CMD_MEM);
    wr(TINY + 1, 4, 2, CMD_MEM);
    assert_true(mapped(BAR_AT + 0x20000));
    wr(TINY, 4, 2, 0);
    assert_true(mapped(BAR_AT + 0x20000));          /* the other one still needs it */
    wr(TINY + 1, 4, 2, 0);
    assert_false(mapped(BAR_AT + 0x20000));
}

static void msi(void **st)
{
    assert_int_equal(rd(AHCI, 0x40, 4) >> 16, MSI_64);      /* one vector offered */
    wr(AHCI, 0x44, 4, 0xfee00000);
    wr(AHCI, 0x48, 4, 0);
    wr(AHCI, 0x4c, 2, 0x41);
    assert_int_equal(get(&bus[1], 0x44, 4), 0);             /* nothing before it is enabled */
    wr(AHCI, 0x42, 2, MSI_64 | MSI_ENABLE | 0x20);
    assert_int_equal(get(&bus[1], 0x42, 2), MSI_64 | MSI_ENABLE);
    assert_int_equal(get(&bus[1], 0x44, 4), 0xfee00000);
    assert_int_equal(get(&bus[1], 0x4c, 2), VEC_DYNAMIC_FIRST);
    assert_int_equal(rd(AHCI, 0x4c, 2), 0x41);              /* dom0 sees its own */
    fake_interrupt(VEC_DYNAMIC_FIRST);
    assert_true(delivered.n == 1 && delivered.addr == 0xfee00000 && delivered.data == 0x41);
    wr(AHCI, 0x4c, 2, 0x52);                                /* retarget while on */
    put(&bus[1], 0x4c, 2, 0);                               /* function reset, then Linux restores */
    wr(AHCI, 0x4c, 2, 0x52);
    assert_int_equal(get(&bus[1], 0x4c, 2), VEC_DYNAMIC_FIRST);
    fake_interrupt(VEC_DYNAMIC_FIRST);
    assert_true(delivered.n == 2 && delivered.data == 0x52);
    wr(AHCI, 0x42, 2, MSI_64);
    fake_interrupt(VEC_DYNAMIC_FIRST);
    assert_int_equal(delivered.n, 2);
    assert_int_equal(get(&bus[1], 0x42, 2) & MSI_ENABLE, 0);
}

static volatile u32 *hw_table(void) { return (volatile u32 *)(frame_window + BAR_AT + 0x2000); }

static void msix(void **st)
{
    const gpa_t t = BAR_AT + 0x2000;
    unsigned i;

    memset((void *)hw_table(), 0, 64);
    for (i = 0; i < 4; i++)
        assert_int_equal(mem(t + 16 * i + 12, 4, false, 0), 1);
    wr(NVME, 0x42, 2, 3 | MSIX_ENABLE | MSIX_MASKALL);
    mem(t + 16, 4, true, 0xfee01000);
    mem(t + 20, 4, true, 0);
    mem(t + 24, 4, true, 0x61);
    assert_int_equal(hw_table()[6], 0);
    mem(t + 28, 4, true, 0);                                /* unmask entry 1 */
    assert_int_equal(hw_table()[6], VEC_DYNAMIC_FIRST);
    assert_int_equal(hw_table()[4], 0xfee00000);
    assert_int_equal(hw_table()[7], 0);
    wr(NVME, 0x42, 2, 3 | MSIX_ENABLE);
    fake_interrupt(VEC_DYNAMIC_FIRST);
    assert_true(delivered.n == 1 && delivered.addr == 0xfee01000 && delivered.data == 0x61);
    assert_int_equal(mem(t + 16, 8, false, 0), 0xfee01000);
    assert_int_equal(mem(t + 24, 8, false, 0), 0x61);
    mem(t + 28, 4, true, 1);                                /* masked in the device too */
    assert_int_equal(hw_table()[7], 1);
    mem(t, 1, true, 0xff);                                  /* not a size the table takes */
    assert_int_equal(mem(t, 4, false, 0), 0);
    /* Pending bits read through and cannot be written; what lies beside them is the device's. */
    frame_window[BAR_AT + 0x3000] = 5;
    mem(BAR_AT + 0x3000, 4, true, 0xff);
    assert_int_equal(mem(BAR_AT + 0x3000, 4, false, 0), 5);
    mem(BAR_AT + 0x3800, 4, true, 0x1234);
    assert_int_equal(*(u32 *)(frame_window + BAR_AT + 0x3800), 0x1234);
    /* Decoding off and on (the table forgets), vectors stay and are written again. */
    mem(t + 28, 4, true, 0);
    wr(NVME, 4, 2, 0);
    memset((void *)hw_table(), 0xee, 64);
    wr(NVME, 4, 2, CMD_MEM);
    assert_int_equal(hw_table()[6], VEC_DYNAMIC_FIRST);
    wr(NVME, 0x42, 2, 3);
    fake_interrupt(VEC_DYNAMIC_FIRST);
    assert_int_equal(delivered.n, 1);
    assert_int_equal(hw_table()[7], 1);
    wr(NVME, 0x42, 2, 3 | MSIX_ENABLE);                     /* unmasked entries come back */
    assert_int_equal(hw_table()[7], 0);
    assert_int_equal(pci_device_remove(NVME), 0);
    assert_false(mapped(BAR_AT));
    assert_int_equal(pci_device_add(NVME), 0);
    assert_true(mapped(BAR_AT));
}

static void hidden(void **st)
{
    unsigned before;

    assert_int_equal(rd(GONE, 0, 4), ~0u);
    assert_int_equal(pci_device_add(GONE), -ENODEV);
    assert_int_equal(pci_device_remove(GONE), -ENODEV);
    pci_hide(TINY + 1);
    before = writes;
    assert_int_equal(rd(TINY + 1, 0, 4), ~0u);
    wr(TINY + 1, 4, 2, CMD_MEM);
    assert_int_equal(writes, before);
    assert_int_equal(pci_device_add(TINY + 1), -ENODEV);
    /* SR-IOV keeps only its link. */
    assert_int_equal(vpci_read(d->vpci, NVME, 0x100, 4), 0x14010001);
    assert_int_equal(vpci_read(d->vpci, NVME, 0x140, 4), 0);
    before = writes;
    vpci_write(d->vpci, NVME, 0x148, 2, 9);
    assert_int_equal(writes, before);
}

static void port_rules(void **st)
{
    u32 val = 0x80000000;

    ports(v, 0xcf8, 4, true, &val, ports_arg);
    val = 0;
    ports(v, 0xcf8, 4, false, &val, ports_arg);
    assert_int_equal(val, 0x80000000);
    val = 0;                        /* enable bit clear: nothing answers */
    ports(v, 0xcf8, 4, true, &val, ports_arg);
    ports(v, 0xcfc, 4, false, &val, ports_arg);
    assert_int_equal(val, ~0u);
    assert_int_equal(rd(NVME, 2, 2), 0x1234);
    assert_int_equal(rd(NVME, 1, 1), 0x80);
}

/* Whatever is written: no crash, RAM and denied places never mapped as devices, vectors bounded. */
static void fuzz(void **st)
{
    static const sbdf_t who[] = { NVME, AHCI, TINY, TINY + 1, GONE };
    static const u32 interesting[] = { 0, ~0u, BAR_AT, BAR_AT + 0x2000, BAR_AT + 0x80000, MiB(8),
        0xfee00000, 7, 0x8003 };
    unsigned k, size, reg;
    enum p2m_type t;

    mmio_deny(BAR_AT + 0x80000, BAR_AT + 0x81000);
    srand(11);
    for (k = 0; k < 60000; k++) {
        sbdf_t s = who[rand() % ARRAY_SIZE(who)];
        size = 1u << rand() % 3;
        reg = (unsigned)(rand() % 0x60) & ~(size - 1);
        if (rand() % 8)
            wr(s, reg, size, rand() % 2 ? interesting[rand() % ARRAY_SIZE(interesting)] : (u32)rand());
        else
            rd(s, reg, size);
        if (k % 16)
            continue;
        p2m_lookup(d, GFN(MiB(8) >> PAGE_SHIFT), &t, NULL);
        assert_int_equal(t, P2M_NONE);
        assert_false(mapped(BAR_AT + 0x80000));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(bars, setup), cmocka_unit_test_setup(denied_places, setup),
        cmocka_unit_test_setup(shared_page, setup), cmocka_unit_test_setup(msi, setup),
        cmocka_unit_test_setup(msix, setup), cmocka_unit_test_setup(hidden, setup),
        cmocka_unit_test_setup(port_rules, setup), cmocka_unit_test_setup(fuzz, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
