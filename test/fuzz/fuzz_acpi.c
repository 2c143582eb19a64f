/* SPDX-License-Identifier: MIT */
/* Firmware's tables. The input is a list of pieces (table, length, bytes); signatures, lengths and checksums are put
 * right unless the input wants them wrong, so that the readers behind them are reached. */
#include <stdlib.h>
#include <string.h>
#include "acpi/acpi.h"
#include "fake.h"
#include "fuzz.h"
#include "iommu/ivrs.h"
#include "irq/irq.h"
#include "mm/hostmap.h"

enum { SIZE = 0x110000, RSDP = 0xf0040, XSDT = 0x101000, RSDT = 0x102000, FIRST = 0x103000, TABLE_BYTES = 0x800 };
static const char names[][5] = { "APIC", "FACP", "HPET", "MCFG", "IVRS", "SSDT" };
static u8 *mem;
static void *copies[1024];
static unsigned nr_copies;

/* Each mapping is exactly as long as asked. */
const void *boot_map(paddr_t p, size_t len)
{
    if (p >= SIZE || len > SIZE - p || nr_copies == ARRAY_SIZE(copies))
        return NULL;
    void *c = malloc(len ? len : 1);
    memcpy(c, mem + p, len);
    return copies[nr_copies++] = c;
}

void fuzz_start(const char *program) { mem = calloc(1, SIZE); }

static void put(u32 a, u64 v, unsigned n) { memcpy(mem + a, &v, n); }

static void sum(u32 a, u32 len, u32 at)
{
    u8 s = 0;

    mem[a + at] = 0;
    for (u32 i = 0; i < len; i++)
        s = (u8)(s + mem[a + i]);
    mem[a + at] = (u8)-s;
}

static void seal(u32 a, const char *sig, u32 len)
{
    memcpy(mem + a, sig, 4);
    put(a + 4, len, 4);
    sum(a, len, 9);
}

static void roots(void)
{
    memcpy(mem + RSDP, "RSD PTR ", 8);
    mem[RSDP + 15] = 2;
    put(RSDP + 16, RSDT, 4);
    put(RSDP + 20, 36, 4);
    put(RSDP + 24, XSDT, 8);
    sum(RSDP, 20, 8);
    sum(RSDP, 36, 32);
    for (u32 i = 0; i < ARRAY_SIZE(names); i++) {
        put(XSDT + 36 + 8 * i, FIRST + 0x1000 * i, 8);
        put(RSDT + 36 + 4 * i, FIRST + 0x1000 * i, 4);
    }
    seal(XSDT, "XSDT", 36 + 8 * ARRAY_SIZE(names));
    seal(RSDT, "RSDT", 36 + 4 * ARRAY_SIZE(names));
}

static void fill(struct input *in)
{
    u8 t = in8(in), n = in8(in);
    u32 i = t & 7, a = FIRST + 0x1000 * (i % ARRAY_SIZE(names)), len = 36u + n;

    if (i >= 6) {                               /* somewhere, unsealed */
        a = (i == 6 ? XSDT : RSDP) + (t >> 3);
        for (u32 k = 0; k < (n & 15u) && in_more(in); k++)
            mem[a + k] = in8(in);
        return;
    }
    for (u32 k = 36; k < len && in_more(in); k++)
        mem[a + k] = in8(in);
    seal(a, names[i % ARRAY_SIZE(names)], t & 0x40 ? len / 2 : len);
    if (t & 0x80)
        mem[a + 9]++;
}

void fuzz_one(struct input *in)
{
    static struct cpu cpu;
    struct ivrs_info ivrs;

    this_cpu_ptr = &cpu;
    memset(mem + 0xf0000, 0, SIZE - 0xf0000);
    roots();
    while (in_more(in))
        fill(in);
    acpi_init(0);
    CHECK(nr_acpi_cpus <= ARRAY_SIZE(acpi_cpus) && nr_ioapics <= MAX_IOAPICS && nr_irq_overrides <= 16);
    CHECK(nr_acpi_ecam <= ARRAY_SIZE(acpi_ecam));
    const struct acpi_header *h = acpi_find("IVRS", 0);
    if (h && !ivrs_parse(h, &ivrs)) {
        CHECK(ivrs.nr_iommus && ivrs.nr_iommus <= IVRS_MAX_IOMMUS && ivrs.nr_ranges <= IVRS_MAX_RANGES);
        CHECK(ivrs.nr_ioapics <= MAX_IOAPICS && ivrs.nr_aliases <= IVRS_MAX_ALIASES);
        CHECK(ivrs.nr_settings <= IVRS_MAX_SETTINGS);
        CHECK(ivrs.devices_bad < h->length);
    }
    while (nr_copies)
        free(copies[--nr_copies]);
}
