/* SPDX-License-Identifier: MIT */
/* Host PCI: scan of buses, bridges and functions, the highest bus, hiding; and physdev_op on top of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "acpi/acpi.h"
#include "boot/boot.h"
#include "call/call.h"
#include "fake.h"
#include "fake_x86.h"
#include "pci/pci_priv.h"

#define WEAK __attribute__((weak))
struct boot_info boot_info WEAK;
struct acpi_ecam acpi_ecam[MAX_ECAMS] WEAK;
unsigned nr_acpi_ecam WEAK;
WEAK const struct hvm_ops *hvm;
WEAK struct domain *dom0;
WEAK bool call_preempt(void) { return false; }

/* ---- physdev_op's surroundings ---- */
static int added, removed;
static union { u8 b[64]; u64 align; } arg;
WEAK int vpci_init(struct domain *d) { return 0; }
WEAK int pci_device_add(sbdf_t s) { added = (int)s; return 0; }
WEAK int pci_device_remove(sbdf_t s) { removed = (int)s; return -ENODEV; }
WEAK long subop_run(struct call *c, const struct subop *table, unsigned nr, unsigned cmd, gva_t arg_gva)
{
    if (cmd >= nr || !table[cmd].fn)
        return -ENOSYS;
    assert_true(table[cmd].size <= sizeof(arg) && table[cmd].who == WHO_PRIV);
    return table[cmd].fn(c, arg.b);
}

/* ---- a machine: id of each function, header types, secondary buses ---- */
static struct { sbdf_t s; u8 header, sub; } fn[] = {
    { 0x0000, 0x00, 0 },            /* 00:00.0 */
    { 0x0008, 0x80, 0 }, { 0x000a, 0x00, 0 },       /* 00:01.0 and .2, multi-function */
    { 0x0011, 0x00, 0 },            /* 00:02.1 without a function 0: is not there */
    { 0x0020, 0x01, 9 },            /* 00:04.0: bridge to buses 3..9 */
    { 0x0300, 0x00, 0 },            /* 03:00.0 behind it */
    { 0x0500, 0x00, 0 }, { 0x0501, 0x00, 0 },       /* 05:00.0 says single-function: .1 is an alias */
};

static u32 f_read(sbdf_t s, unsigned reg, unsigned size)
{
    unsigned i;

    for (i = 0; i < ARRAY_SIZE(fn); i++) {
        if (fn[i].s != s)
            continue;
        return reg == 0 ? 0x12348086 : reg == 0x0e ? fn[i].header : reg == 0x1a ? fn[i].sub : 0;
    }
    return ~0u;
}
static void f_write(sbdf_t s, unsigned reg, unsigned size, u32 v) { fail(); }

static int setup(void **st)
{
    fake_machine_init(64, 1);
    list_init(&pci_devs);
    pci_backend = (struct pci_backend){ f_read, f_write };
    nr_acpi_ecam = 0;
    return 0;
}

static void scan(void **st)
{
    static const sbdf_t want[] = { 0x0000, 0x0008, 0x000a, 0x0020, 0x0300, 0x0500 };
    struct list *l;
    unsigned n = 0;

    pci_init();
    list_for_each(l, &pci_devs)
        assert_int_equal(list_entry(l, struct pci_dev, node)->s, want[n++]);
    assert_int_equal(n, ARRAY_SIZE(want));
    assert_int_equal(pci_last_bus(), 9);
    assert_true(pci_exists(0x0300) && !pci_exists(0x0301));
    assert_ptr_equal(pci_get(0x0300), pci_find(0x0300));
    assert_null(pci_find(0x0301));
    pci_hide(0x0300);
    assert_true(pci_find(0x0300)->hidden);
    pci_hide(0x0700);               /* before or without a scan: remembered */
    assert_true(pci_find(0x0700)->hidden);
}

static void ecam_ranges(void **st)
{
    nr_acpi_ecam = 1;
    acpi_ecam[0] = (struct acpi_ecam){ .base = 0xb0000000, .segment = 0, .bus_start = 0, .bus_end = 3 };
    pci_init();
    assert_non_null(pci_find(0x0300));
    assert_null(pci_find(0x0500));  /* outside of the window's buses */
}

static void no_memory(void **st)
{
    unsigned k;

    for (k = 1; k < 4; k++) {
        list_init(&pci_devs);
        fake_fail_from(k);
        pci_init();                 /* complains, goes on */
        fake_fail_from(0);
    }
}

/* ---- the machine's own ways: ports CF8/CFC, and ECAM ---- */
static struct { u32 address, last; u16 port; unsigned size, n; bool write; } bus;
static void ports(u16 port, unsigned size, bool write, u32 *val)
{
    if (port == 0xcf8) {
        assert_true(write && size == 4);
        bus.address = *val;
        return;
    }
    bus.port = port;
    bus.size = size;
    bus.write = write;
    bus.n++;
    if (write)
        bus.last = *val;
    else
        *val = 0x87654321;
}

static struct pci_backend hardware;
static int setup_hardware(void **st)
{
    fake_machine_init(64, 1);
    nr_acpi_ecam = 0;
    memset(&bus, 0, sizeof(bus));
    fake_port_hook = ports;
    pci_backend = hardware;
    return 0;
}

static void by_ports(void **st)
{
    static const struct { unsigned reg, size; u16 port; u32 val; } t[] = {
        { 0x10, 4, 0xcfc, 0x87654321 }, { 0x12, 2, 0xcfe, 0x4321 }, { 0x11, 1, 0xcfd, 0x21 }, { 0xfc, 4, 0xcfc, 0x87654321 },
    };

    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        assert_int_equal(pci_read(0x1234, t[i].reg, t[i].size), t[i].val);
        assert_int_equal(bus.address, 0x80000000 | 0x1234 << 8 | (t[i].reg & ~3u));
        assert_true(bus.port == t[i].port && bus.size == t[i].size && !bus.write);
        pci_write(0x1234, t[i].reg, t[i].size, 0x55667788);
        assert_true(bus.write && bus.port == t[i].port && bus.size == t[i].size);
        assert_int_equal(bus.last, 0x55667788 & (~0u >> (32 - 8 * t[i].size)));
    }
    unsigned n = bus.n;
    assert_int_equal(pci_read(0x11234, 0x10, 4), ~0u);      /* another segment, an extended register: not by ports */
    assert_int_equal(pci_read(0x1234, 0x100, 4), ~0u);
    pci_write(0x11234, 0x10, 4, 0);
    pci_write(0x1234, 0x100, 4, 0);
    assert_int_equal(bus.n, n);
    assert_false(pci_exists(0x11234));
}

static void by_ecam(void **st)
{
    u8 *window = (u8 *)frame_window + 0xb0000000;

    nr_acpi_ecam = 2;
    acpi_ecam[0] = (struct acpi_ecam){ .base = 0xa0000000, .segment = 1, .bus_start = 2, .bus_end = 3 };
    acpi_ecam[1] = (struct acpi_ecam){ .base = 0xb0000000, .segment = 0, .bus_start = 2, .bus_end = 3 };
    memcpy(window + (3 << 20 | 0x9 << 12 | 0x104), &(u32){ 0xcafe1234 }, 4);
    assert_int_equal(pci_read(0x309, 0x104, 4), 0xcafe1234);
    assert_int_equal(pci_read(0x309, 0x106, 2), 0xcafe);
    assert_int_equal(pci_read(0x309, 0x105, 1), 0x12);
    pci_write(0x309, 0x105, 1, 0x99);
    pci_write(0x309, 0x106, 2, 0xbeef);
    assert_int_equal(pci_read(0x309, 0x104, 4), 0xbeef9934);
    pci_write(0x309, 0x104, 4, 0x11111111);
    assert_int_equal(*(u32 *)(window + (3 << 20 | 0x9 << 12 | 0x104)), 0x11111111);
    assert_int_equal(bus.n, 0);
    assert_int_equal(pci_read(0x10309, 0x104, 4), 0);       /* the other segment's window */
    assert_int_equal(pci_read(0x109, 0, 4), 0x87654321);    /* buses outside of it: ports */
    assert_int_equal(pci_read(0x409, 0, 4), 0x87654321);
    assert_int_equal(pci_read(0x20309, 0, 4), ~0u);
    acpi_ecam[2] = (struct acpi_ecam){ .base = 1ULL << 50, .segment = 2, .bus_end = 255 };
    nr_acpi_ecam = 3;
    assert_int_equal(pci_read(0x20309, 0, 4), ~0u);         /* it cannot be mapped */
}

static u32 answer;
static u32 r_answer(sbdf_t s, unsigned reg, unsigned size) { return answer; }
static void absent_devices(void **st)
{
    static const struct { u32 id; bool there; } t[] = {
        { 0x12348086, true }, { 0xffff8086, true }, { ~0u, false }, { 0, false }, { 0x1234ffff, false },
    };

    pci_backend = (struct pci_backend){ r_answer, f_write };
    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        answer = t[i].id;
        assert_int_equal(pci_exists(8), t[i].there);
    }
}

static void physdev(void **st)
{
    struct domain *d = fake_domain(0, 16), *u = fake_domain(1, 16);
    struct call c = { .v = d->vcpu[0] };
    struct physdev_pci_device_add add = { .seg = 1, .bus = 2, .devfn = 3 };
    struct physdev_pci_device rem = { .seg = 0, .bus = 4, .devfn = 5 };
    struct physdev_pci_mmcfg_reserved mm = { .address = 0xb0000000, .segment = 0, .start_bus = 0, .end_bus = 255 };

    d->is_hwdom = d->is_priv = true;
    u->is_hwdom = u->is_priv = false;
    memcpy(arg.b, &add, sizeof(add));
    c.arg[0] = PHYSDEVOP_pci_device_add;
    assert_int_equal(physdev_op(&c), 0);
    assert_int_equal(added, 0x10203);
    memcpy(arg.b, &rem, sizeof(rem));
    c.arg[0] = PHYSDEVOP_pci_device_remove;
    assert_int_equal(physdev_op(&c), -ENODEV);
    assert_int_equal(removed, 0x405);
    nr_acpi_ecam = 1;
    acpi_ecam[0] = (struct acpi_ecam){ .base = 0xb0000000, .bus_end = 255 };
    memcpy(arg.b, &mm, sizeof(mm));
    c.arg[0] = PHYSDEVOP_pci_mmcfg_reserved;
    assert_int_equal(physdev_op(&c), 0);
    mm.address = 0xc0000000;
    memcpy(arg.b, &mm, sizeof(mm));
    assert_int_equal(physdev_op(&c), -ENODEV);
    c.arg[0] = PHYSDEVOP_dbgp_op;
    assert_int_equal(physdev_op(&c), 0);
    c.arg[0] = PHYSDEVOP_map_pirq;
    assert_int_equal(physdev_op(&c), -ENOSYS);
    c.arg[0] = PHYSDEVOP_prepare_msix;
    assert_int_equal(physdev_op(&c), -ENOSYS);
    c.arg[0] = 1ULL << 32 | PHYSDEVOP_map_pirq;             /* 32 bits count */
    assert_int_equal(physdev_op(&c), -ENOSYS);
    c.arg[0] = 1ULL << 32 | PHYSDEVOP_dbgp_op;
    assert_int_equal(physdev_op(&c), 0);
    c.v = u->vcpu[0];
    added = 0;
    c.arg[0] = PHYSDEVOP_pci_device_add;
    assert_int_equal(physdev_op(&c), -EPERM);
    c.arg[0] = PHYSDEVOP_map_pirq;
    assert_int_equal(physdev_op(&c), -ENOSYS);
    c.arg[0] = ~0ULL;
    assert_int_equal(physdev_op(&c), -ENOSYS);
    assert_int_equal(added, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(scan, setup), cmocka_unit_test_setup(ecam_ranges, setup),
        cmocka_unit_test_setup(no_memory, setup), cmocka_unit_test_setup(by_ports, setup_hardware),
        cmocka_unit_test_setup(by_ecam, setup_hardware), cmocka_unit_test_setup(absent_devices, setup),
        cmocka_unit_test_setup(physdev, setup),
    };
    hardware = pci_backend;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
