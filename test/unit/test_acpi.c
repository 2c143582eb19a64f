/* SPDX-License-Identifier: MIT */
/* ACPI tables as firmware might leave them: good, damaged, truncated, pointing at each other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include "acpi/acpi.h"
#include "irq/irq.h"
#include "lib/lib.h"
#include "mm/hostmap.h"
#include "machine_stubs.h"

enum { SIZE = 0x110000, RSDP = 0xf0040, XSDT = 0x101000, RSDT = 0x102000, MADT = 0x103000, FADT = 0x104000,
       HPET = 0x105000, MCFG = 0x106000, SSDT = 0x107000 };
static u8 *mem;
static void *copies[4096];
static unsigned nr_copies;

/* Each mapping is an allocation of exactly the asked length, so that ASan sees every byte too many. */
const void *boot_map(paddr_t p, size_t len)
{
    if (p >= SIZE || len > SIZE - p || nr_copies == ARRAY_SIZE(copies))
        return NULL;
    void *c = malloc(len);
    memcpy(c, mem + p, len);
    return copies[nr_copies++] = c;
}

static void put16(u32 a, u16 v) { memcpy(mem + a, &v, 2); }
static void put32(u32 a, u32 v) { memcpy(mem + a, &v, 4); }
static void put64(u32 a, u64 v) { memcpy(mem + a, &v, 8); }

static void fix_sum(u32 a, u32 len, u32 sum_at)
{
    u8 s = 0;

    mem[a + sum_at] = 0;
    for (u32 i = 0; i < len; i++)
        s = (u8)(s + mem[a + i]);
    mem[a + sum_at] = (u8)-s;
}

static void seal(u32 a, const char *sig, u32 len)
{
    memcpy(mem + a, sig, 4);
    put32(a + 4, len);
    fix_sum(a, len, 9);
}

static void seal_rsdp(u8 rev)
{
    memcpy(mem + RSDP, "RSD PTR ", 8);
    mem[RSDP + 15] = rev;
    put32(RSDP + 16, RSDT);
    put32(RSDP + 20, 36);
    put64(RSDP + 24, XSDT);
    fix_sum(RSDP, 20, 8);
    fix_sum(RSDP, 36, 32);
}

static u32 madt_end;
static void madt_entry(const u8 *e)
{
    memcpy(mem + madt_end, e, e[1]);
    madt_end += e[1];
}

static void make_madt(void)
{
    madt_end = MADT + 44;
    madt_entry((const u8[]){ 0, 8, 0, 0, 1, 0, 0, 0 });
    madt_entry((const u8[]){ 0, 8, 1, 2, 1, 0, 0, 0 });
    madt_entry((const u8[]){ 0, 8, 2, 4, 2, 0, 0, 0 });                                /* may come online */
    madt_entry((const u8[]){ 0, 8, 3, 6, 0, 0, 0, 0 });                                /* never */
    madt_entry((const u8[]){ 9, 16, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0 });       /* APIC id 2 again */
    madt_entry((const u8[]){ 9, 16, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0 });       /* APIC id 256 */
    madt_entry((const u8[]){ 1, 12, 5, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0 });
    madt_entry((const u8[]){ 2, 10, 0, 9, 9, 0, 0, 0, 0xd, 0 });
    madt_entry((const u8[]){ 2, 10, 0, 99, 9, 0, 0, 0, 0xd, 0 });                      /* no such ISA interrupt */
    madt_entry((const u8[]){ 77, 3, 0 });
    seal(MADT, "APIC", madt_end - MADT);
}

static void make_fadt(void)
{
    put16(FADT + 46, 9);
    put32(FADT + 56, 0x600);
    put32(FADT + 64, 0x604);
    put32(FADT + 76, 0x608);
    mem[FADT + 91] = 4;
    put32(FADT + 112, 1 << 10 | 1 << 8);
    mem[FADT + 116] = 1;
    put64(FADT + 120, 0xcf9);
    mem[FADT + 128] = 0xf;
    mem[FADT + 208] = 1;
    put64(FADT + 212, 0xb008);
    seal(FADT, "FACP", 244);
}

static void make_all(void)
{
    make_madt();
    make_fadt();
    put64(HPET + 44, 0xfed00000);
    seal(HPET, "HPET", 56);
    put64(MCFG + 44, 0xb0000000);
    mem[MCFG + 55] = 255;
    put64(MCFG + 60, 0xb0000001);                       /* not aligned */
    put64(MCFG + 76, 0xd0000000);
    mem[MCFG + 86] = 9;                                 /* start after end */
    seal(MCFG, "MCFG", 44 + 3 * 16);
    seal(SSDT, "SSDT", 3000);
    const u32 all[] = { FADT, MADT, HPET, MCFG, SSDT };
    for (unsigned i = 0; i < ARRAY_SIZE(all); i++) {
        put64(XSDT + 36 + 8 * i, all[i]);
        put32(RSDT + 36 + 4 * i, all[i]);
    }
    seal(XSDT, "XSDT", 36 + 8 * 5);
    seal(RSDT, "RSDT", 36 + 4 * 5);
    seal_rsdp(2);
}

static void drop_copies(void)
{
    while (nr_copies)
        free(copies[--nr_copies]);
}

static int setup(void **state)
{
    drop_copies();
    memset(mem, 0, SIZE);
    make_all();
    return 0;
}

static void test_good(void **state)
{
    char sig[5];

    acpi_init(0);
    assert_int_equal(acpi_rsdp_paddr, RSDP);
    assert_int_equal(acpi_table_count(), 5);
    assert_int_equal(acpi_table_addr(1, sig), MADT);
    assert_string_equal(sig, "APIC");
    assert_int_equal(acpi_table_addr(5, sig), 0);
    assert_non_null(acpi_find("SSDT", 0));
    assert_null(acpi_find("SSDT", 1));
    assert_int_equal(nr_acpi_cpus, 4);
    assert_int_equal(acpi_cpus[1].apic_id, 2);
    assert_int_equal(acpi_cpus[1].acpi_id, 1);
    assert_false(acpi_cpus[2].enabled);
    assert_int_equal(acpi_cpus[3].apic_id, 256);
    assert_int_equal(acpi_cpus[3].acpi_id, 9);
    assert_int_equal(nr_ioapics, 1);
    assert_int_equal(ioapics[0].paddr, 0xfec00000);
    assert_int_equal(nr_irq_overrides, 1);
    assert_int_equal(irq_overrides[0].flags, 0xd);
    assert_int_equal(acpi_fadt.pm_timer_port, 0xb008);
    assert_true(acpi_fadt.pm_timer_32);
    assert_int_equal(acpi_fadt.pm1a_cnt, 0x604);
    assert_int_equal(acpi_fadt.reset_addr, 0xcf9);
    assert_int_equal(acpi_fadt.reset_value, 0xf);
    assert_int_equal(acpi_hpet_addr, 0xfed00000);
    assert_int_equal(nr_acpi_ecam, 1);
    assert_int_equal(acpi_ecam[0].bus_end, 255);
}

static void test_rsdp(void **state)
{
    acpi_init(RSDP);
    assert_int_equal(acpi_table_count(), 5);
    seal_rsdp(0);                                       /* ACPI 1.0: 32-bit list */
    mem[RSDP + 33] ^= 1;
    acpi_init(0);
    assert_int_equal(acpi_table_count(), 5);
    seal_rsdp(2);
    mem[RSDP + 33] ^= 1;                                /* extended checksum wrong: 32-bit list */
    acpi_init(0);
    assert_int_equal(acpi_table_count(), 5);
    mem[RSDP + 9] ^= 1;
    acpi_init(0);                                       /* none */
    assert_int_equal(acpi_table_count(), 0);
    assert_int_equal(nr_acpi_cpus, 0);
    assert_null(acpi_find("APIC", 0));
    acpi_init(SIZE - 4);
    acpi_init(~0ULL - 3);
    assert_int_equal(acpi_table_count(), 0);
}

static void test_ebda(void **state)
{
    memcpy(mem + 0x9fc10, mem + RSDP, 36);
    memset(mem + RSDP, 0, 36);
    put16(0x40e, 0x9fc0);
    acpi_init(0);
    assert_int_equal(acpi_rsdp_paddr, 0x9fc10);
    put16(0x40e, 0xffff);                               /* nonsense: not followed */
    acpi_init(0);
    assert_int_equal(acpi_rsdp_paddr, 0);
}

static void test_bad_tables(void **state)
{
    mem[MADT + 20] ^= 1;                                /* checksum */
    put32(SSDT + 4, 20);                                /* shorter than a header */
    put32(HPET + 4, 0x7fffffff);
    mem[MCFG] = 0;
    acpi_init(0);
    assert_int_equal(acpi_table_count(), 1);
    assert_int_equal(nr_acpi_cpus, 0);
    assert_int_equal(acpi_hpet_addr, 0);
    setup(NULL);
    mem[XSDT + 10] ^= 1;                                /* bad XSDT: the RSDT says the same */
    acpi_init(0);
    assert_int_equal(acpi_table_count(), 5);
    mem[RSDT + 10] ^= 1;
    acpi_init(0);
    assert_int_equal(acpi_table_count(), 0);
}

static void test_cycle(void **state)
{
    put64(XSDT + 36, XSDT);
    put64(XSDT + 44, RSDT);
    put64(XSDT + 52, MADT);
    put64(XSDT + 60, MADT);
    put64(XSDT + 68, 0);
    seal(XSDT, "XSDT", 36 + 8 * 5);
    acpi_init(0);
    assert_int_equal(acpi_table_count(), 1);
    /* As many entries as fit, all the same or all out of memory. */
    for (u32 a = XSDT + 36; a + 8 <= RSDT; a += 8)
        put64(a, a % 16 == 4 ? SSDT : ~0ULL - a);
    seal(XSDT, "XSDT", 0x1000);
    acpi_init(0);
    assert_int_equal(acpi_table_count(), 1);
}

static void test_many_tables(void **state)
{
    for (u32 i = 0; i < 200; i++) {
        put64(XSDT + 36 + 8 * i, 0x108000 + 64 * i);
        seal(0x108000 + 64 * i, "SSDT", 40);
    }
    seal(XSDT, "XSDT", 36 + 8 * 200);
    acpi_init(0);
    assert_int_equal(acpi_table_count(), 128);
}

static void test_madt_damage(void **state)
{
    /* Each byte of the MADT becomes 0, 1, 0xff: no overrun, no endless loop, bounds kept. */
    u32 len = madt_end - MADT;
    for (u32 off = 44; off < len; off++)
        for (unsigned v = 0; v < 3; v++) {
            setup(NULL);
            mem[MADT + off] = (u8)((const u8[]){ 0, 1, 0xff })[v];
            seal(MADT, "APIC", len);
            acpi_init(0);
            assert_true(nr_acpi_cpus <= ARRAY_SIZE(acpi_cpus) && nr_ioapics <= MAX_IOAPICS && nr_irq_overrides <= 16);
        }
    for (u32 n = 36; n < len; n++) {                    /* every truncation, of each table we read */
        setup(NULL);
        seal(MADT, "APIC", n);
        seal(FADT, "FACP", n);
        seal(HPET, "HPET", n);
        seal(MCFG, "MCFG", n);
        acpi_init(0);
    }
    setup(NULL);
    madt_end = MADT + 44;
    for (u32 i = 0; i < 100; i++) {
        const u8 e[16] = { 9, 16, 0, 0, (u8)i, 1, 0, 0, 1, 0, 0, 0, (u8)i };
        madt_entry(e);
    }
    for (u32 i = 0; i < 40; i++) {
        madt_entry((const u8[]){ 1, 12, (u8)i, 0, 0, (u8)(i << 4), 0xc0, 0xfe, (u8)(24 * i), (u8)(24 * i >> 8), 0, 0 });
        madt_entry((const u8[]){ 2, 10, 0, (u8)(i % 16), 9, 0, 0, 0, 0xd, 0 });
    }
    seal(MADT, "APIC", madt_end - MADT);
    acpi_init(0);
    assert_int_equal(nr_acpi_cpus, 64);
    /* All that a large server has are used: an unused one would keep the firmware's entries, in dom0's hands. */
    assert_int_equal(nr_ioapics, MAX_IOAPICS);
    assert_int_equal(ioapics[MAX_IOAPICS - 1].gsi_base, 24 * (MAX_IOAPICS - 1));
    assert_int_equal(nr_irq_overrides, 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_good, setup), cmocka_unit_test_setup(test_rsdp, setup),
        cmocka_unit_test_setup(test_ebda, setup), cmocka_unit_test_setup(test_bad_tables, setup),
        cmocka_unit_test_setup(test_cycle, setup), cmocka_unit_test_setup(test_many_tables, setup),
        cmocka_unit_test_setup(test_madt_damage, setup),
    };
    mem = malloc(SIZE);
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    drop_copies();
    free(mem);
    return rc;
}
