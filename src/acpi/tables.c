/* SPDX-License-Identifier: MIT */
/* MADT (ACPI 6.4, 5.2.12), FADT (5.2.9), HPET (IA-PC HPET 1.0a, 3.2.4), MCFG (PCI Firmware 3.2, 4.1.2). */
#include "acpi/internal.h"
#include "irq/irq.h"

struct acpi_cpu acpi_cpus[64];
unsigned nr_acpi_cpus;
struct acpi_fadt_info acpi_fadt;
paddr_t acpi_hpet_addr;
struct acpi_ecam acpi_ecam[MAX_ECAMS];
unsigned nr_acpi_ecam;

/* ---- MADT ---- */

static unsigned cpus_left_out;

static void add_cpu(u32 apic_id, u32 acpi_id, u32 flags)
{
    if (apic_id == 0xffffffff || !(flags & 3))
        return;                     /* neither enabled nor can it be brought online later */
    for (unsigned i = 0; i < nr_acpi_cpus; i++)
        if (acpi_cpus[i].apic_id == apic_id)
            return;                 /* firmware lists low ids in both forms */
    if (nr_acpi_cpus == ARRAY_SIZE(acpi_cpus)) {
        cpus_left_out++;
        return;
    }
    acpi_cpus[nr_acpi_cpus++] = (struct acpi_cpu){ apic_id, acpi_id, flags & 1 };
}

static void madt_lapic(const u8 *e)
{
    if (e[3] != 0xff)
        add_cpu(e[3], e[2], acpi_u32(e, 4));
}

static void madt_x2apic(const u8 *e)
{
    add_cpu(acpi_u32(e, 4), acpi_u32(e, 12), acpi_u32(e, 8));
}

static void madt_ioapic(const u8 *e)
{
    u32 addr = acpi_u32(e, 4);

    if (nr_ioapics == ARRAY_SIZE(ioapics) || !addr || addr & 0xf) {
        printk(LOG_WARN, "ACPI: IO-APIC %u at %#x is not used\n", e[2], addr);
        return;
    }
    ioapics[nr_ioapics++] = (struct ioapic_info){ .id = e[2], .gsi_base = acpi_u32(e, 8), .paddr = addr };
}

static void madt_override(const u8 *e)
{
    if (e[2] != 0 || e[3] > 15)     /* bus 0 is ISA, the only one defined */
        return;
    if (nr_irq_overrides < ARRAY_SIZE(irq_overrides))
        irq_overrides[nr_irq_overrides++] =
            (struct irq_override){ .bus_irq = e[3], .gsi = acpi_u32(e, 4), .flags = acpi_u16(e, 8) };
}

static void read_madt(void)
{
    static const struct { u8 type, len; void (*fn)(const u8 *); } kinds[] = {
        { 0, 8, madt_lapic }, { 1, 12, madt_ioapic }, { 2, 10, madt_override }, { 9, 16, madt_x2apic },
    };
    const struct acpi_header *h = acpi_find("APIC", 0);

    nr_acpi_cpus = nr_ioapics = nr_irq_overrides = cpus_left_out = 0;
    if (!h)
        return;
    for (u32 off = 44; off + 2 <= h->length; ) {
        const u8 *e = (const u8 *)h + off;
        if (e[1] < 2 || e[1] > h->length - off) {
            printk(LOG_WARN, "ACPI: MADT entry of type %u at %u runs over the end\n", e[0], off);
            break;
        }
        for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++)
            if (kinds[i].type == e[0] && e[1] >= kinds[i].len)
                kinds[i].fn(e);
        off += e[1];
    }
    if (cpus_left_out)
        printk(LOG_WARN, "ACPI: %u CPUs more than the %zu supported\n", cpus_left_out, ARRAY_SIZE(acpi_cpus));
}

/* ---- FADT ---- */

enum { GAS_MEMORY = 0, GAS_IO = 1 };

/* Port of a register block: the 64-bit form if it is there and names a port, else the old field. */
static u16 fadt_port(const struct acpi_header *h, unsigned old, unsigned gas)
{
    u64 port = 0;

    if (h->length >= gas + 12 && ((const u8 *)h)[gas] == GAS_IO)
        port = acpi_u64(h, gas + 4);
    if (!port && h->length >= old + 4)
        port = acpi_u32(h, old);
    return port < 0x10000 ? (u16)port : 0;
}

static void read_fadt(void)
{
    const struct acpi_header *h = acpi_find("FACP", 0);

    memset(&acpi_fadt, 0, sizeof(acpi_fadt));
    if (!h || h->length < 116)
        return;
    u32 flags = acpi_u32(h, 112);
    acpi_fadt.sci = acpi_u16(h, 46);
    acpi_fadt.pm1a_evt = fadt_port(h, 56, 148);
    acpi_fadt.pm1a_cnt = fadt_port(h, 64, 172);
    acpi_fadt.pm1b_cnt = fadt_port(h, 68, 184);
    if (((const u8 *)h)[91] == 4)   /* PM_TMR_LEN: 4 when there is a timer */
        acpi_fadt.pm_timer_port = fadt_port(h, 76, 208);
    acpi_fadt.pm_timer_32 = flags >> 8 & 1;
    if (h->length >= 129 && flags >> 10 & 1) {
        acpi_fadt.reset_space = ((const u8 *)h)[116];
        acpi_fadt.reset_addr = acpi_u64(h, 120);
        acpi_fadt.reset_value = ((const u8 *)h)[128];
    }
}

/* ---- HPET, MCFG ---- */

static void read_hpet(void)
{
    const struct acpi_header *h = acpi_find("HPET", 0);

    acpi_hpet_addr = 0;
    if (h && h->length >= 56 && ((const u8 *)h)[40] == GAS_MEMORY && !(acpi_u64(h, 44) & 0x3ff))
        acpi_hpet_addr = acpi_u64(h, 44);
}

static void read_mcfg(void)
{
    const struct acpi_header *h = acpi_find("MCFG", 0);

    nr_acpi_ecam = 0;
    for (u32 off = 44; h && off + 16 <= h->length; off += 16) {
        const u8 *e = (const u8 *)h + off;
        struct acpi_ecam w = { acpi_u64(e, 0), acpi_u16(e, 8), e[10], e[11] };
        if (!w.base || w.base & ((1 << 20) - 1) || w.bus_start > w.bus_end || w.base >> 52) {
            printk(LOG_WARN, "ACPI: MCFG window at %#llx, buses %u-%u is not usable\n", (unsigned long long)w.base,
                   w.bus_start, w.bus_end);
            continue;
        }
        if (nr_acpi_ecam == MAX_ECAMS)
            printk(LOG_WARN, "ACPI: MCFG has more than %u windows; segment %u, buses %u-%u are not used\n", MAX_ECAMS,
                   w.segment, w.bus_start, w.bus_end);
        else
            acpi_ecam[nr_acpi_ecam++] = w;
    }
}

void acpi_read_tables(void)
{
    read_madt();
    read_fadt();
    read_hpet();
    read_mcfg();
}
