/* SPDX-License-Identifier: MIT */
/* dom0's synthetic ACPI tables: filter, checksums, MADT contents, nothing written past the announced size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "acpi/acpi.h"
#include "dom/dom0_build.h"
#include "irq/irq.h"

struct ioapic_info ioapics[MAX_IOAPICS] __attribute__((weak));
unsigned nr_ioapics __attribute__((weak));
struct irq_override irq_overrides[16] __attribute__((weak));
unsigned nr_irq_overrides __attribute__((weak));

#define AT 0x7ff0000UL

static u8 sum(const void *p, u32 n)
{
    const u8 *c = p;
    u8 s = 0;

    while (n--)
        s = (u8)(s + *c++);
    return s;
}

static u64 get64(const u8 *p) { u64 v; memcpy(&v, p, 8); return v; }
static u32 get32(const u8 *p) { u32 v; memcpy(&v, p, 4); return v; }

static void tables(void **st)
{
    static const struct acpi_table_ref host[] = {
        { "FACP", 0x1000 }, { "APIC", 0x2000 }, { "HPET", 0x3000 }, { "MCFG", 0x4000 }, { "IVRS", 0x5000 },
        { "DMAR", 0x6000 }, { "SSDT", 0x7000 }, { "SSDT", 0x8000 }, { "WAET", 0x9000 }, { "BGRT", 0xa000 },
        { "SRAT", 0xb000 }, { "TPM2", 0xc000 },
    };
    struct dom0_acpi_in in = { .table = host, .nr_tables = ARRAY_SIZE(host), .nr_vcpus = 5,
        .oem = "BOCHS ", .oem_table = "BXPC    " };
    static const u64 want[] = { 0x1000, 0x4000, 0x7000, 0x8000 };
    const u8 *x, *m, *p;
    unsigned i, cpus = 0, ios = 0, ovr = 0;
    u64 size;
    u8 *buf;

    nr_ioapics = 2;
    ioapics[0] = (struct ioapic_info){ .id = 0, .nr_pins = 24, .gsi_base = 0, .paddr = 0xfec00000 };
    ioapics[1] = (struct ioapic_info){ .id = 9, .nr_pins = 32, .gsi_base = 24, .paddr = 0xfec01000 };
    nr_irq_overrides = 2;
    irq_overrides[0] = (struct irq_override){ 0, 0, 2 };
    irq_overrides[1] = (struct irq_override){ 9, 0xd, 9 };
    size = dom0_acpi_size(&in);
    buf = malloc(size);             /* exactly: ASan finds a byte too many */
    assert_int_equal(dom0_acpi_write(buf, AT, &in), AT);
    assert_memory_equal(buf, "RSD PTR ", 8);
    assert_int_equal(sum(buf, 20), 0);
    assert_int_equal(sum(buf, 36), 0);
    assert_int_equal(buf[15], 2);
    x = buf + (get64(buf + 24) - AT);
    assert_memory_equal(x, "XSDT", 4);
    assert_int_equal(sum(x, get32(x + 4)), 0);
    assert_int_equal(get32(x + 4), 36 + 8 * (ARRAY_SIZE(want) + 1));
    assert_memory_equal(x + 10, "BOCHS BXPC    ", 14);
    for (i = 0; i < ARRAY_SIZE(want); i++)
        assert_int_equal(get64(x + 36 + 8 * i), want[i]);
    m = buf + (get64(x + 36 + 8 * i) - AT);
    assert_memory_equal(m, "APIC", 4);
    assert_int_equal(sum(m, get32(m + 4)), 0);
    assert_int_equal(get32(m + 36), 0xfee00000);
    for (p = m + 44; p < m + get32(m + 4); p += p[1]) {
        switch (p[0]) {
        case 0:
            assert_int_equal(p[2], cpus);           /* UID = vCPU id */
            assert_int_equal(p[3], 2 * cpus++);     /* APIC id */
            assert_int_equal(get32(p + 4), 1);
            break;
        case 1:
            assert_int_equal(p[2], ioapics[ios].id);
            assert_int_equal(get32(p + 4), ioapics[ios].paddr);
            assert_int_equal(get32(p + 8), ioapics[ios++].gsi_base);
            break;
        case 2:
            assert_int_equal(p[3], irq_overrides[ovr].bus_irq);
            assert_int_equal(get32(p + 4), irq_overrides[ovr].gsi);
            assert_int_equal(p[8], irq_overrides[ovr++].flags);
            break;
        default:
            fail();
        }
    }
    assert_true(p == m + get32(m + 4) && cpus == 5 && ios == 2 && ovr == 2);
    /* Every byte is written (I-15). */
    u8 *again = malloc(size);
    memset(again, ~buf[size - 1], size);
    assert_int_equal(dom0_acpi_write(again, AT, &in), AT);
    assert_memory_equal(buf, again, size);
    free(again);
    free(buf);
}

static void no_host_acpi(void **st)
{
    struct dom0_acpi_in in = { .nr_vcpus = 128, .oem = "HELIUM", .oem_table = "HELIUM  " };
    u8 *buf;

    nr_ioapics = nr_irq_overrides = 0;
    buf = malloc(dom0_acpi_size(&in));
    dom0_acpi_write(buf, AT, &in);
    assert_int_equal(get32(buf + 64 + 4), 36 + 8);
    free(buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(tables), cmocka_unit_test(no_host_acpi) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
