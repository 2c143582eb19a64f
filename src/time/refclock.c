/* SPDX-License-Identifier: MIT */
/* Clocks of known frequency: HPET, ACPI PM timer, PIT channel 2. Only to measure TSC and LAPIC timer. */
#include "acpi/acpi.h"
#include "cpu/x86.h"
#include "lib/lib.h"
#include "mm/mm.h"
#include "time/internal.h"

/* ---- HPET (specification 1.0a, 2.3) ---- */
#define HPET_PERIOD 0x004
#define HPET_CONFIG 0x010
#define HPET_COUNTER 0x0f0
#define HPET_MAX_PERIOD_FS 100000000u
static volatile u8 *hpet;
static u32 hpet_read(void) { return mmio_read32(hpet + HPET_COUNTER); }
static struct refclock hpet_clock = { .name = "HPET", .mask = ~0u, .read = hpet_read };

static bool hpet_find(void)
{
    hpet = acpi_hpet_addr ? mmio_map(acpi_hpet_addr, 1024) : NULL;
    if (!hpet)
        return false;
    u32 period = mmio_read32(hpet + HPET_PERIOD);
    if (!period || period > HPET_MAX_PERIOD_FS)
        return false;
    u32 conf = mmio_read32(hpet + HPET_CONFIG);
    if (!(conf & 1))
        mmio_write32(hpet + HPET_CONFIG, conf | 1);
    u32 start = hpet_read();
    for (unsigned i = 0; i < 10000; i++)
        if (hpet_read() != start) {
            hpet_clock.period_fs = period;
            return true;
        }
    return false;
}

/* ---- ACPI PM timer: 3.579545 MHz, 24 or 32 bits ---- */
static u32 pm_read(void) { return inl(acpi_fadt.pm_timer_port); }
static struct refclock pm_clock = { .name = "PM timer", .period_fs = 279365115, .mask = 0xffffff, .read = pm_read };

static bool pm_find(void)
{
    if (!acpi_fadt.pm_timer_port)
        return false;
    u32 start = pm_read() & pm_clock.mask;
    for (unsigned i = 0; i < 1000; i++)
        if ((pm_read() & pm_clock.mask) != start)
            return true;
    return false;
}

/* ---- PIT channel 2: 1.193182 MHz down from 65535, gate and speaker through port 0x61 ---- */
static u32 pit_read(void)
{
    outb(0x43, 0x80);               /* latch channel 2 */
    u32 lo = inb(0x42), hi = inb(0x42);
    return 0xffff - (hi << 8 | lo);
}
static struct refclock pit_clock = { .name = "PIT", .period_fs = 838095110, .mask = 0xffff, .read = pit_read };

static void pit_start(void)
{
    outb(0x61, (inb(0x61) & ~2) | 1);           /* speaker off, gate on */
    outb(0x43, 0xb0);                           /* channel 2, both bytes, mode 0 */
    outb(0x42, 0xff);
    outb(0x42, 0xff);
}

const struct refclock *refclock_find(void)
{
    if (hpet_find())
        return &hpet_clock;
    if (pm_find())
        return &pm_clock;
    pit_start();
    return &pit_clock;
}
