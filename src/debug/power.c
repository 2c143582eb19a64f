/* SPDX-License-Identifier: MIT */
/* Machine reset and stop. dom0 normally does both through ACPI; these are for panics, dom0's end and key R. */
#include "acpi/acpi.h"
#include "boot/cmdline.h"
#include "cpu/cpu.h"
#include "cpu/x86.h"
#include "debug/internal.h"
#include "mm/mm.h"

static char opt_reboot[8];
BOOT_OPTION(reboot, "reboot", OPT_STRING, sizeof(opt_reboot), opt_reboot, NULL,
            "how to reset: acpi, pci, kbd or triple; default is to try them in this order");

/* No clock is trusted here: port 0x80 takes about a microsecond on PCs. */
static void settle_us(unsigned us)
{
    while (us--)
        outb(0x80, 0);
}

void machine_halt(void)
{
    if (percpu_ready)
        smp_stop_others();
    for (;;)
        __asm__ volatile("cli; hlt");
}

/* FADT reset register (ACPI 6, 4.8.3.6): memory, port or configuration space of bus 0. */
static void reset_acpi(void)
{
    static void *mapped;
    if (!acpi_fadt.reset_addr)
        return;
    switch (acpi_fadt.reset_space) {
    case 0:
        if (!mapped)
            mapped = mmio_map(acpi_fadt.reset_addr, 1);
        if (mapped)
            *(volatile u8 *)mapped = acpi_fadt.reset_value;
        break;
    case 1:
        outb((u16)acpi_fadt.reset_addr, acpi_fadt.reset_value);
        break;
    case 2: {
        u32 dev = (u32)(acpi_fadt.reset_addr >> 32) & 31, fn = (u32)(acpi_fadt.reset_addr >> 16) & 7;
        u32 reg = (u32)acpi_fadt.reset_addr & 0xff;
        outl(0xcf8, 0x80000000u | dev << 11 | fn << 8 | (reg & 0xfc));
        outb((u16)(0xcfc + (reg & 3)), acpi_fadt.reset_value);
        break;
    }
    }
    settle_us(50000);
}

/* Reset control register of PCI chipsets: hard reset, then with power cycle. */
static void reset_pci(void)
{
    u8 v = inb(0xcf9) & ~6;
    outb(0xcf9, v | 2);
    settle_us(50);
    outb(0xcf9, v | 6);
    settle_us(50000);
}

static void reset_kbd(void)
{
    for (unsigned i = 0; i < 10; i++) {
        for (unsigned n = 0; n < 10000 && (inb(0x64) & 2); n++)
            settle_us(1);
        outb(0x64, 0xfe);
        settle_us(50);
    }
}

static void reset_triple(void)
{
    struct desc_ptr none = { 0, 0 };
    lidt(&none);
    __asm__ volatile("int3");
}

static void __noreturn try_ways(void)
{
    static const struct { const char *name; void (*fn)(void); } ways[] = {
        { "acpi", reset_acpi }, { "pci", reset_pci }, { "kbd", reset_kbd }, { "triple", reset_triple },
    };
    for (unsigned i = 0; i < ARRAY_SIZE(ways); i++)
        if (!strcmp(opt_reboot, ways[i].name))
            ways[i].fn();
    for (;;)
        for (unsigned i = 0; i < ARRAY_SIZE(ways); i++)
            ways[i].fn();
}

void machine_reboot(void)
{
    __asm__ volatile("cli");
    if (percpu_ready)
        smp_stop_others();
    try_ways();
}

/* The values for PM1_CNT that mean S5 are in the DSDT's AML, which only dom0 reads (design rule 11). */
void machine_poweroff(void)
{
    printk(LOG_ERR, "The machine can be switched off now\n");
    machine_halt();
}
