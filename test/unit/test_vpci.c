/* SPDX-License-Identifier: MIT */
/* dom0's view of PCI over a fake bus: BAR tracking, sizing, denied places, hidden devices and capabilities, ways in,
 * random configuration writes. MSI and MSI-X: test_vpci_msi.c. */
#include "vpci_env.h"

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

static void odd_bars(void **st)
{
    struct pci_dev *dev;

    fresh();
    set_bar(3, 0, 0xd000, 32, 1);                           /* ports */
    set_bar(3, 1, BAR_AT + 0x100000, 0x1000, 0);
    bus[3].bar_mask[2] = 0xffff0ff0;                        /* not a power of two */
    set_bar(3, 5, BAR_AT + 0x200000, 0x1000, 4);            /* 64 bits, without a register for the other half */
    set_bar(3, 6, BAR_AT + 0x300000, 0x8000, 1);
    bus[3].bar_mask[6] |= 1;                                /* its enable bit */
    put(&bus[3], 4, 2, CMD_MEM);
    dev = found();
    assert_true(!dev->bar[0].size && dev->bar[1].size == 0x1000 && !dev->bar[2].size && !dev->bar[3].size);
    assert_true(dev->bar[5].size == 0x1000 && !dev->bar[5].is64);
    assert_true(dev->bar[6].rom && dev->bar[6].rom_on && dev->bar[6].size == 0x8000);
    assert_true(mapped(BAR_AT + 0x100000) && mapped(BAR_AT + 0x300000) && mapped(BAR_AT + 0x307000));
    /* The ROM: sized by dom0, switched off and on, moved. */
    wr(NEW, 0x30, 4, 0xfffff800);
    assert_int_equal(rd(NEW, 0x30, 4), 0xffff8001);
    wr(NEW, 0x30, 4, BAR_AT + 0x300000);
    assert_false(mapped(BAR_AT + 0x300000));
    wr(NEW, 0x30, 4, (BAR_AT + 0x400000) | 1);
    assert_true(mapped(BAR_AT + 0x400000) && !mapped(BAR_AT + 0x300000));
    wr(NEW, 0x30, 4, (BAR_AT + 0x400000) | 1);              /* the same again */
    assert_true(mapped(BAR_AT + 0x400000));
    wr(NEW, 0x24, 4, 0);                                    /* address 0 decodes nothing */
    assert_false(mapped(BAR_AT + 0x200000));
    /* A bridge has two BARs and its ROM elsewhere; other headers have none. */
    fresh();
    put(&bus[3], 0x0e, 1, 0x81);
    assert_int_equal(pci_device_remove(NEW), 0);
    set_bar(3, 0, BAR_AT + 0x500000, 0x1000, 0);
    set_bar(3, 2, BAR_AT + 0x600000, 0x1000, 0);
    put(&bus[3], 4, 2, CMD_MEM);
    dev = found();
    assert_true(dev->bar[0].size == 0x1000 && !dev->bar[2].size && dev->bar[6].reg == 0x38);
    assert_int_equal(pci_device_remove(NEW), 0);
    put(&bus[3], 0x0e, 1, 2);
    dev = found();
    for (unsigned i = 0; i < PCI_BARS; i++)
        assert_int_equal(dev->bar[i].size, 0);
    /* A host bridge is not switched off for the probe: RAM is behind it. */
    assert_int_equal(pci_device_remove(NEW), 0);
    put(&bus[3], 0x0e, 1, 0);
    put(&bus[3], 8, 4, 0x06000000);
    unsigned before = writes;
    found();
    assert_int_equal(writes, before + 2 * 7);               /* each register twice, the command never */
}

static void decoding_where_it_may_not(void **st)
{
    fresh();
    set_bar(3, 0, BAR_AT + 0x700000, 0x1000, 0);
    put(&bus[3], 4, 2, CMD_MEM | CMD_IO);
    mmio_deny(BAR_AT + 0x700000, BAR_AT + 0x701000);
    found();
    assert_int_equal(get(&bus[3], 4, 2), CMD_IO);           /* as the firmware left it: switched off */
    assert_false(mapped(BAR_AT + 0x700000));
    assert_int_equal(pci_device_add(NEW), 0);               /* it is known */
    /* A 64-bit BAR whose end wraps. */
    assert_int_equal(pci_device_remove(NEW), 0);
    fresh();
    set_bar(3, 0, 0x10000, 0x10000, 4);
    bus[3].bar_mask[1] = ~0u;
    found();
    wr(NEW, 0x10, 4, 0xffff0004);
    wr(NEW, 0x14, 4, 0xfffffffe);
    wr(NEW, 0x14, 4, 0xfffffff0);
    wr(NEW, 4, 2, CMD_MEM);
}

static void capability_lists(void **st)
{
    struct pci_dev *dev;

    fresh();
    put(&bus[3], 6, 2, 0x10);
    put(&bus[3], 0x34, 1, 0x43);                            /* the low bits do not count */
    put(&bus[3], 0x40, 4, 0x5000 | CAP_MSI);
    put(&bus[3], 0x50, 4, (MSI_64 << 16) | 0x6000 | CAP_MSI);   /* a second one: ignored */
    put(&bus[3], 0x60, 4, 0x4000 | 0x99);                   /* and round */
    dev = found();
    assert_true(dev->msi.cap == 0x40 && !dev->msi.is64);
    assert_int_equal(pci_device_remove(NEW), 0);
    put(&bus[3], 0x34, 1, 0x3c);                            /* not behind the header */
    dev = found();
    assert_int_equal(dev->msi.cap, 0);
    /* Extended: resizable BARs hidden with their length, no more than there is room for, no endless list. */
    assert_int_equal(pci_device_remove(NEW), 0);
    put(&bus[3], 0x100, 4, 0x12000000 | EXT_REBAR);
    put(&bus[3], 0x108, 4, 2 << 5);
    put(&bus[3], 0x120, 4, 0x14000000 | EXT_VF_REBAR);
    put(&bus[3], 0x128, 4, 1 << 5);
    put(&bus[3], 0x140, 4, 0x10000000 | 0x1234);
    dev = found();
    assert_true(dev->null_cap[0].at == 0x100 && dev->null_cap[0].len == 20);
    assert_true(dev->null_cap[1].at == 0x120 && dev->null_cap[1].len == 12);
    assert_true(dev->null_cap[3].len == 12);                /* found again and again, four times */
    assert_int_equal(vpci_read(d->vpci, NEW, 0x110, 4), 0);
    assert_int_equal(vpci_read(d->vpci, NEW, 0x100, 4), 0x12000000);
    assert_int_equal(vpci_read(d->vpci, NEW, 0x140, 4), 0x10001234);
    vpci_write(d->vpci, NEW, 0x110, 4, ~0u);
    assert_int_equal(get(&bus[3], 0x110, 4), 0);
    vpci_write(d->vpci, NEW, 0x148, 4, 0x42);
    assert_int_equal(get(&bus[3], 0x148, 4), 0x42);
    assert_int_equal(pci_device_remove(NEW), 0);
    put(&bus[3], 0x100, 4, ~0u);
    dev = found();
    assert_int_equal(dev->null_cap[0].len, 0);
}

/* ---- ways in ---- */
static struct { u16 port; unsigned size, n; bool write; u32 val; } host;
static void host_ports(u16 port, unsigned size, bool write, u32 *val)
{
    host.port = port;
    host.size = size;
    host.write = write;
    host.n++;
    if (write)
        host.val = *val;
    else
        *val = 0x5a5a5a5a;
}

static u32 port_io(u16 port, unsigned size, bool write, u32 val)
{
    ports(v, port, size, write, &val, ports_arg);
    return val;
}

static void chipset_ports(void **st)
{
    memset(&host, 0, sizeof(host));
    fake_port_hook = host_ports;
    assert_int_equal(port_io(0xcf9, 1, false, 0), 0x5a);
    assert_true(host.port == 0xcf9 && host.size == 1 && !host.write);
    port_io(0xcf9, 1, true, 0x0e);
    assert_true(host.write && host.val == 0x0e);
    port_io(0xcfa, 2, true, 0x1234);
    assert_true(host.size == 2 && host.val == 0x1234);
    assert_int_equal(port_io(0xcf8, 2, false, 0), 0x5a5a);
    assert_int_equal(port_io(0xcf9, 2, false, 0), 0x5a5a);
    unsigned n = host.n;
    assert_int_equal(port_io(0xcfa, 4, false, 0), ~0u);     /* would reach the data register by the back door */
    port_io(0xcfb, 2, true, 0);
    assert_int_equal(host.n, n);
    fake_port_hook = NULL;
    /* Data accesses that are not aligned, or reach beyond it. */
    port_io(0xcf8, 4, true, 1u << 31 | NVME << 8);
    assert_int_equal(port_io(0xcfd, 2, false, 0), ~0u);
    assert_int_equal(port_io(0xcfe, 4, false, 0), ~0u);
    assert_int_equal(port_io(0xcff, 2, false, 0), ~0u);
    assert_int_equal(port_io(0xcfe, 2, false, 0), 0x1234);
    /* Extended registers by bits 24-27. */
    port_io(0xcf8, 4, true, 1u << 31 | 1u << 24 | NVME << 8);
    assert_int_equal(port_io(0xcfc, 4, false, 0), 0x14010001);
}

static void ecam_window(void **st)
{
    nr_acpi_ecam = 1;
    acpi_ecam[0] = (struct acpi_ecam){ .base = 0xc0000000, .bus_start = 0, .bus_end = 1 };
    kfree(d->vpci);
    memset(mmio, 0, sizeof(mmio));
    list_init(&pci_devs);
    pci_get(NVME);
    assert_int_equal(vpci_init(d), 0);
    const gpa_t f = 0xc0000000 + (NVME << 12);
    assert_int_equal(mem(f, 4, false, 0), 0x12348086);
    assert_int_equal(mem(f + 2, 2, false, 0), 0x1234);
    assert_int_equal(mem(f + 1, 1, false, 0), 0x80);
    assert_int_equal(mem(f, 8, false, 0), (u64)get(&bus[0], 4, 4) << 32 | 0x12348086);
    assert_int_equal(mem(f + 0x100, 4, false, 0), 0x14010001);
    assert_int_equal(mem(f + 0x140, 4, false, 0), 0);
    assert_int_equal(mem(f + 1, 2, false, 0), ~0ULL);
    assert_int_equal(mem(f, 16, false, 0), ~0ULL);
    assert_int_equal(mem(f, 3, false, 0), ~0ULL);
    unsigned before = writes;
    mem(f + 2, 4, true, 0);
    assert_int_equal(writes, before);
    mem(f + 0x60, 8, true, 0x1122334455667788);
    assert_true(get(&bus[0], 0x60, 4) == 0x55667788 && get(&bus[0], 0x64, 4) == 0x11223344);
    mem(f + 4, 2, true, 0);
    assert_false(mapped(BAR_AT));
    assert_int_equal(mem(0xc0000000 + (0x18u << 12), 4, false, 0), ~0ULL >> 32);
    nr_acpi_ecam = 0;
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

/* A range that does not fit into the list stops the machine, never goes to dom0; one that is there takes no room. */
static void denied_list(void **st)
{
    const paddr_t at = 1ULL << 44;
    static unsigned n;              /* lives through the longjmp */

    for (unsigned i = 0; i < 1000; i++)             /* an IOMMU in three kinds of entry */
        mmio_deny(at, at + KiB(512));
    mmio_deny(at + GiB(1), at + GiB(1));
    assert_true(mmio_denied(at, at + 1) && !mmio_denied(at + GiB(1), at + GiB(1) + 1));
    for (unsigned i = 1; i <= MAX_IOAPICS + MAX_ECAMS + 8; i++)
        mmio_deny(at + MiB(i), at + MiB(i) + 1);
    assert_true(mmio_denied(at + MiB(8), at + MiB(8) + 1));
    assert_true(fake_expect_panic(for (n = 100;; n++) mmio_deny(at + MiB(n), at + MiB(n) + 1)));
    for (unsigned i = 100; i < n; i++)
        assert_true(mmio_denied(at + MiB(i), at + MiB(i) + 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(bars, setup), cmocka_unit_test_setup(denied_places, setup),
        cmocka_unit_test_setup(shared_page, setup), cmocka_unit_test_setup(odd_bars, setup),
        cmocka_unit_test_setup(decoding_where_it_may_not, setup), cmocka_unit_test_setup(capability_lists, setup),
        cmocka_unit_test_setup(chipset_ports, setup), cmocka_unit_test_setup(ecam_window, setup),
        cmocka_unit_test_setup(hidden, setup), cmocka_unit_test_setup(port_rules, setup),
        cmocka_unit_test_setup(fuzz, setup), cmocka_unit_test_setup(denied_list, setup),     /* last: it fills the list */
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
