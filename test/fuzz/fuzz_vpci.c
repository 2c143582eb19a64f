/* SPDX-License-Identifier: MIT */
/* dom0's view of PCI over devices that answer anything: configuration space by CF8/CFC, device memory of MSI-X tables,
 * interrupts, devices that are added and taken away. */
#include <string.h>
#include "acpi/acpi.h"
#include "call/call.h"
#include "fake.h"
#include "fuzz.h"
#include "hvm/hvm.h"
#include "pci/pci_priv.h"

enum { DEVS = 3, BAR_AT = 0x8000000 };
static struct { u8 cfg[4096]; u32 fixed[7]; } dev[DEVS];        /* fixed: bits of a BAR that cannot be written */

static u32 d_read(sbdf_t s, unsigned reg, unsigned size);
static void d_write(sbdf_t s, unsigned reg, unsigned size, u32 val);

static void find_devices(void)
{
    pci_backend = (struct pci_backend){ d_read, d_write };
    for (sbdf_t s = 8; s <= 8 * DEVS; s += 8)
        CHECK(pci_get(s));
}

void fuzz_start(const char *program) { world_devices = find_devices; }

static int slot(sbdf_t s) { return s >> 3 && s >> 3 <= DEVS && !(s & 7) ? (int)(s >> 3) - 1 : -1; }

static u32 d_read(sbdf_t s, unsigned reg, unsigned size)
{
    int i = slot(s);
    u32 v = 0;

    CHECK((size == 1 || size == 2 || size == 4) && reg % size == 0 && reg + size <= 4096);
    if (i < 0)
        return ~0u >> (32 - 8 * size);
    memcpy(&v, dev[i].cfg + reg, size);
    return v;
}

static void d_write(sbdf_t s, unsigned reg, unsigned size, u32 val)
{
    int i = slot(s), bar = reg >= 0x10 && reg < 0x28 ? (int)(reg - 0x10) / 4 : reg >= 0x30 && reg < 0x34 ? 6 : -1;

    CHECK((size == 1 || size == 2 || size == 4) && reg % size == 0 && reg + size <= 4096);
    if (i < 0 || reg < 4)
        return;
    if (bar >= 0 && size == 4)
        val = (val & ~dev[i].fixed[bar]) | (d_read(s, reg, 4) & dev[i].fixed[bar] & 0xf);
    memcpy(dev[i].cfg + reg, &val, size);
}

/* Two plausible devices (MSI; MSI-X in BAR 0) and an empty place, then what the input changes of them. */
static void make_bus(struct input *in)
{
    memset(dev, 0, sizeof(dev));
    for (unsigned i = 0; i < 2; i++) {
        u8 *c = dev[i].cfg;
        u32 head[] = { 0x12348086, 0x00100002, 0x01080200, 0, BAR_AT + i * 0x10000 };
        u32 cap[] = { i ? 0x00030000 | CAP_MSIX : (MSI_64 | 2u << 1) << 16 | CAP_MSI, 0x2000, 0x3000 };
        memcpy(c, head, sizeof(head));
        memcpy(c + 0x40, cap, sizeof(cap));
        c[0x34] = 0x40;
        dev[i].fixed[0] = 0x3fff;
        for (unsigned b = 1; b < 7; b++)
            dev[i].fixed[b] = ~0u;
    }
    for (unsigned n = in8(in) & 15; n--; ) {
        u8 t = in8(in);
        u32 val = in32(in);
        if (t & 0x80)
            dev[t >> 4 & 1].fixed[(t & 15) % 7] = val;
        else
            memcpy(dev[t >> 5 & 1].cfg + (t & 31) * 4, &val, 4);
    }
}

static void access(struct vcpu *v, struct input *in)
{
    u8 what = in8(in);
    u32 size = 1u << (what >> 3 & 3) % 3, reg = in8(in), a, val;

    switch (what & 7) {
    case 0: case 1: case 2:
        a = 1u << 31 | ((what >> 6) + 1u) % 4 << 11 | (reg & 0xfc);
        pio_access(v, 0xcf8, 4, true, &a);
        val = (u32)in_value(in);
        pio_access(v, (u16)(0xcfc + (reg & 3)), size, what & 0x20, &val);
        break;
    case 3: {
        u64 v64 = in_value(in);
        gpa_t at = BAR_AT + (what & 0x80 ? 0x12000u : 0u) + (u64)reg * 4;
        if (!mmio_access(v, at, size, what & 0x20, &v64))
            break;
        break;
    }
    case 4: fake_interrupt(reg); break;
    case 5: if (pci_device_add((sbdf_t)(reg & 31) << 3)) break; break;
    case 6: if (pci_device_remove((sbdf_t)(reg & 31) << 3)) break; break;
    default: {                                      /* the device changes by itself */
        u32 w = (u32)in_value(in);
        memcpy(dev[what >> 6 & 1].cfg + (reg & 0xfc), &w, 4);
    }
    }
    assert_no_locks();
}

static void steps(void *arg)
{
    struct input *in = arg;
    struct vcpu *v = world_enter(0, 0);

    while (in_more(in))
        access(v, in);
}

void fuzz_one(struct input *in)
{
    make_bus(in);
    world_make();
    world_run(steps, in);
    world_end();
}
