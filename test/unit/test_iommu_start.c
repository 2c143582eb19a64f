/* SPDX-License-Identifier: MIT */
/* AMD-Vi: what the IVRS table may say, start and failures of it, the event log, lives of domains. */
#include <string.h>
#include "iommu_model.h"
#include "boot/cmdline.h"
#include "forked.h"
#include "iommu/ivrs.h"
#include "time/time.h"

/* ---- the table ---- */
static u8 table[4096];
static u32 used;
static void begin(void)
{
    memset(table, 0, sizeof(table));
    memcpy(table, "IVRS", 4);
    used = 48;
}
static u8 *block(u8 type, u16 length)
{
    u8 *p = table + used;

    p[0] = type;
    memcpy(p + 2, &length, 2);
    used += length;
    return p;
}
static void hd(u8 type, u16 bdf, u64 base, u16 segment)
{
    u8 *p = block(type, 24);

    memcpy(p + 4, &bdf, 2);
    memcpy(p + 8, &base, 8);
    memcpy(p + 16, &segment, 2);
}
static void md(u8 type, u8 flags, u16 first, u16 last, u64 start, u64 bytes)
{
    u8 *p = block(type, 32);

    p[1] = flags;
    memcpy(p + 4, &first, 2);
    memcpy(p + 6, &last, 2);
    memcpy(p + 16, &start, 8);
    memcpy(p + 24, &bytes, 8);
}
static struct ivrs_info info_;
static int parse(void)
{
    memcpy(table + 4, &used, 4);
    u8 *exact = malloc(used);                   /* a byte too far is seen */
    memcpy(exact, table, used);
    int rc = ivrs_parse((const struct acpi_header *)exact, &info_);
    free(exact);
    return rc;
}

static void units_of_a_table(void **st)
{
    begin();
    assert_int_equal(parse(), -ENODEV);
    hd(0x10, 2, 0xfeb80000, 0);
    hd(0x11, 2, 0xfeb80000, 0);                 /* the same unit in a newer form */
    hd(0x40, 0x102, 0xfec80000, 1);
    hd(0x10, 3, 0, 0);
    hd(0x10, 3, 0xfeb80800, 0);
    block(0x99, 8);                             /* unknown kinds are skipped */
    block(0x12, 4);
    assert_int_equal(parse(), 0);
    assert_int_equal(info_.nr_iommus, 2);
    assert_true(info_.iommu[0].base == 0xfeb80000 && info_.iommu[0].bdf == 2 && info_.iommu[0].segment == 0);
    assert_true(info_.iommu[1].base == 0xfec80000 && info_.iommu[1].bdf == 0x102 && info_.iommu[1].segment == 1);
    begin();
    for (unsigned i = 0; i < IVRS_MAX_IOMMUS + 2; i++)
        hd(0x10, (u16)i, 0xfe000000 + i * 0x10000, 0);
    assert_int_equal(parse(), 0);
    assert_int_equal(info_.nr_iommus, IVRS_MAX_IOMMUS);
}

/* The address width that devices can use: what the table says, if anything, and what the tables can hold. */
static void address_bits_of_a_table(void **st)
{
    static const struct { u32 ivinfo; unsigned bits; } t[] = { { 0x203040, 64 }, { 40u << 8, 64 }, { 40u << 15 | 48u << 8, 40 } };
    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        begin();
        hd(0x10, 2, 0xfeb80000, 0);
        memcpy(table + 36, &t[i].ivinfo, 4);
        assert_int_equal(parse(), 0);
        assert_int_equal(info_.address_bits, t[i].bits);
    }
}

static void ranges_of_a_table(void **st)
{
    begin();
    hd(0x10, 2, 0xfeb80000, 0);
    md(0x20, 4 | 2, 0, 0, 0xe0000123, 0x1000);
    md(0x21, 2, 0x50, 0, 0xe1000000, 0x2000);
    md(0x22, 8, 0x60, 0x70, 0xe2000000, 0x1000);
    md(0x21, 4, 0x51, 0, 0xe3000000, 0x1000);
    md(0x21, 0, 0x52, 0, 0xe4000000, 0);        /* empty */
    md(0x21, 0, 0x52, 0, ~0ULL - 0xfff, 0x2000);    /* wraps */
    md(0x1f, 0, 0, 0, 0xe5000000, 0x1000);
    md(0x23, 0, 0, 0, 0xe5000000, 0x1000);
    assert_int_equal(parse(), 0);
    assert_int_equal(info_.nr_ranges, 4);
    const struct ivrs_range *r = info_.range;
    assert_true(r[0].start == 0xe0000000 && r[0].end == 0xe0002000 && r[0].write && !r[0].first && r[0].last == 0xffff);
    assert_true(!r[1].write && r[1].first == 0x50 && r[1].last == 0x50);
    assert_true(r[2].write && r[2].first == 0x60 && r[2].last == 0x70);
    assert_true(r[3].write);
    begin();
    hd(0x10, 2, 0xfeb80000, 0);
    for (unsigned i = 0; i < IVRS_MAX_RANGES + 2; i++)
        md(0x20, 6, 0, 0, 0xe0000000 + i * 0x1000, 0x1000);
    assert_int_equal(parse(), 0);
    assert_int_equal(info_.nr_ranges, IVRS_MAX_RANGES);
}

static void bad_lengths(void **st)
{
    static const struct { u8 type; u16 length; } t[] = { { 0x99, 0 }, { 0x99, 3 }, { 0x10, 23 }, { 0x11, 4 }, { 0x40, 16 },
                                                         { 0x20, 31 }, { 0x22, 24 } };

    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        begin();
        block(t[i].type, t[i].length);
        used = MAX(used, 48 + 8u);
        if (parse() != -EINVAL)
            fail_msg("type %x length %u", t[i].type, t[i].length);
    }
    begin();
    hd(0x10, 2, 0xfeb80000, 0);
    used -= 1;                                  /* the table ends inside of its last block */
    assert_int_equal(parse(), -EINVAL);
    used = 48 + 3;                              /* a rest too short for a block */
    assert_int_equal(parse(), -ENODEV);
    used = 47;
    assert_int_equal(parse(), -EINVAL);
}

/* ---- start ---- */
static void no_unit(void)
{
    machine();
    ivrs.unit.type = 0x99;                      /* a table that names none */
    assert_false(iommu_init());
    assert_false(iommu_enabled);
}
static void check_attached(unsigned ranges)
{
    unsigned n = 0;
    for (const char *p = fake_log; (p = strstr(p, "mapped for devices")) != NULL; p++)
        n++;
    assert_int_equal(n, ranges);
    assert_int_equal(model.inv_devices % 256, 0);
    assert_true(model.inv_devices >= 256);
}
static void switched_off(void)
{
    static const char *const off[] = { "iommu=0", "iommu=off", "iommu=no", "iommu=false" };

    machine();
    for (unsigned i = 0; i < ARRAY_SIZE(off); i++) {
        cmdline_parse(off[i]);
        assert_false(iommu_init());
    }
    cmdline_parse("iommu=on,verbose,debug ivmd=e0000 rmrr=e0001=0:0:2.0 ivmd=zz");
    assert_true(iommu_init());
    assert_non_null(strstr(fake_log, "ivmd=zz"));
    assert_int_equal(iommu_attach_all(&dom), -ENODEV);      /* no domain yet */
    dom.is_hwdom = true;
    assert_int_equal(iommu_domain_init(&dom), 0);
    assert_int_equal(iommu_attach_all(&dom), 0);
    check_attached(2);
}
static void malformed_table(void)
{
    machine();
    ivrs.unit.length = 3;
    assert_false(iommu_init());
    assert_non_null(strstr(fake_log, "IVRS table is malformed"));
    assert_int_equal(regs[REG_CONTROL / 8], 0);
}
static unsigned fail_k;
static void no_memory(void)
{
    machine();
    fake_fail_at(fail_k);
    bool ok = iommu_init();
    assert_true(ok != fake_failed());
    fake_fail_at(0);
    assert_int_equal(iommu_enabled, ok);
    if (!ok)
        assert_int_equal(regs[REG_CONTROL / 8], 0);         /* DMA passes as before */
    exit(ok ? 7 : 0);
}
static void second_unit_without_memory(void)
{
    machine();
    begin();
    hd(0x10, 2, UNIT_BASE, 0);
    hd(0x10, 3, UNIT_BASE + 0x10000, 0);
    memcpy(table + 4, &used, 4);
    memcpy(&ivrs, table, MIN(used, (u32)sizeof(ivrs)));
    fake_fail_at(fail_k);
    assert_false(iommu_init());
    assert_int_equal(regs[REG_CONTROL / 8], 0);             /* the first one was on */
    exit(strstr(fake_log, "no memory for the IOMMU at 0xfed90000") ? 7 : 0);
}
static void out_of_reach(void)
{
    machine();
    ivrs.unit.base = 1ULL << 45;
    assert_false(iommu_init());
    assert_false(iommu_enabled);
    ivrs.unit.base = UNIT_BASE;
    ivrs.info = 40u << 15;
    assert_true(iommu_init());
    assert_int_equal(iommu_address_bits(), 40);
}

/* Events: a few lines, then silence; an overflow restarts the log. */
static void event_log(void)
{
    machine();
    assert_true(iommu_init());
    u64 *log = phys_to_virt(regs[REG_EVTLOG / 8] & PTE_ADDR);
    log[0] = 2ULL << 60 | 5ULL << 48 | 0x1fa;
    log[1] = 0xdeadb000;
    log[2] = 15ULL << 60 | 0x8;
    regs[REG_EVT_TAIL / 8] = 32;
    fake_log_clear();
    fake_time_advance(500000000);
    timer_run();
    assert_non_null(strstr(fake_log, "AMD-Vi: I/O page fault: device 01:1f.2 flags 0x5 address 0xdeadb000"));
    assert_non_null(strstr(fake_log, "AMD-Vi: event: device 00:01.0"));
    assert_int_equal(regs[REG_EVT_HEAD / 8], 32);
    /* Around the end of the log, with an overflow. */
    regs[REG_EVT_HEAD / 8] = QUEUE_BYTES - 32;
    regs[REG_EVT_TAIL / 8] = 128;
    regs[REG_STATUS / 8] = STATUS_EVT_OVERFLOW;
    u64 control = regs[REG_CONTROL / 8];
    fake_log_clear();
    fake_time_advance(500000000);
    timer_run();
    unsigned n = 0;
    for (const char *p = fake_log; (p = strstr(p, "AMD-Vi: ")) != NULL; p++)
        n++;
    assert_int_equal(n, 4);
    assert_true(regs[REG_EVT_HEAD / 8] == 128 && regs[REG_CONTROL / 8] == control);
}

/* Debug key 'V'. */
WEAK struct domain *dom0;
static void dump(void)
{
    machine();
    iommu_dump();
    assert_string_equal(fake_log, "No IOMMU is used\n");
    add_range(0, 0x20, 6, 0xe0000000, 0x3000);
    add_range(1, 0x20, 2, 0xe1000000, 0x1000);
    ivrs.unit.devid = 2;
    assert_true(iommu_init());
    assert_int_equal(iommu_address_bits(), 48);
    dom.is_hwdom = true;
    dom0 = NULL;
    iommu_dump();
    assert_null(strstr(fake_log, "domain id"));
    dom0 = &dom;
    assert_int_equal(iommu_domain_init(&dom), 0);
    assert_int_equal(iommu_attach_all(&dom), 0);
    fake_log_clear();
    iommu_dump();
    assert_non_null(strstr(fake_log, "IOMMU 0000:00:00.2 at 0xfed80000: control 0x1405 status 0, commands "));
    assert_non_null(strstr(fake_log, "Device table: 256 entries, 0 with an interrupt table; interrupts are not remapped\n"));
    assert_non_null(strstr(fake_log, "d0: domain id 1, 5 pages of tables, flushed\n"));
    assert_non_null(strstr(fake_log, "  reserved 0xe0000000-0xe0003000, read and write, users 1\n"));
    assert_non_null(strstr(fake_log, "  reserved 0xe1000000-0xe1001000, read only, users 1\n"));
}

static void starting(void **st)
{
    forked(dump);
    forked(no_unit);
    forked(switched_off);
    forked(malformed_table);
    forked(out_of_reach);
    forked(event_log);
}

/* The failure at which fn() exits with 7. */
static unsigned until_seven(void (*fn)(void))
{
    for (fail_k = 1; fail_k < 20; fail_k++) {
        int status;
        fflush(NULL);
        pid_t pid = fork();
        if (!pid)
            fn();
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) == 7)
            break;
        assert_int_equal(WEXITSTATUS(status), 0);
    }
    return fail_k;
}

static void starting_without_memory(void **st)
{
    assert_in_range(until_seven(no_memory), 4, 10);
    assert_in_range(until_seven(second_unit_without_memory), 4, 10);
}

/* ---- domains ---- */
static void lives(void)
{
    machine();
    struct domain guest = { .id = 3 };
    assert_int_equal(iommu_domain_init(&guest), 0);         /* no IOMMU, no devices: no tables */
    assert_null(guest.iommu);
    assert_true(iommu_init());
    assert_int_equal(iommu_domain_init(&guest), 0);
    assert_null(guest.iommu);
    iommu_domain_destroy(&guest);
    assert_int_equal(iommu_map(&guest, GFN(1), MFN(1), 0, true), 0);
    assert_int_equal(iommu_split(&guest, GFN(1), 0), 0);
    iommu_unmap(&guest, GFN(1));
    iommu_flush(&guest);
    assert_false(flush_pending(&guest));
    assert_int_equal(iommu_attach_all(&guest), -ENODEV);
    dom.is_hwdom = true;
    u64 before = heap_objects();
    for (unsigned k = 1;; k++) {
        fake_fail_at(k);
        int rc = iommu_domain_init(&dom);
        if (!fake_failed()) {
            fake_fail_at(0);
            assert_int_equal(rc, 0);
            break;
        }
        assert_int_equal(rc, -ENOMEM);
        assert_null(dom.iommu);
        assert_int_equal(heap_objects(), before);
    }
    /* Large pages: split on demand, each half with the same effect; filled again; without memory nothing changes. */
    struct iommu_domain *t = dom.iommu;
    bool write;
    assert_int_equal(iommu_map(&dom, GFN(512), MFN(1024), 9, false), 0);
    assert_int_equal(iommu_map(&dom, GFN(1 << 18), MFN(1 << 19), 18, true), 0);
    assert_int_equal(table_lookup(t, 512 + 77, &write), 1024 + 77);
    assert_false(write);
    fake_fail_at(1);
    assert_int_equal(iommu_split(&dom, GFN(512 + 77), 0), -ENOMEM);
    fake_fail_at(1);
    iommu_unmap(&dom, GFN(512 + 77));                       /* nobody split it: it stays, and nothing breaks */
    fake_fail_at(0);
    assert_int_equal(table_lookup(t, 512 + 77, &write), 1024 + 77);
    assert_int_equal(iommu_split(&dom, GFN(512 + 77), 0), 0);
    iommu_unmap(&dom, GFN(512 + 77));
    assert_true(flush_pending(&dom));
    assert_true(table_lookup(t, 512 + 77, &write) == NO_FRAME && table_lookup(t, 512 + 78, &write) == 1024 + 78);
    iommu_flush(&dom);
    assert_false(flush_pending(&dom));
    iommu_unmap(&dom, GFN(512 + 77));                       /* nothing there: nothing to flush */
    iommu_unmap(&dom, GFN(1ULL << 30));
    assert_false(flush_pending(&dom));
    iommu_unmap(&dom, GFN((1 << 18) + 5));                  /* out of a piece of 1 GiB */
    assert_true(table_lookup(t, (1 << 18) + 5, &write) == NO_FRAME && table_lookup(t, (1 << 18) + 1000, &write) == (1 << 19) + 1000);
    assert_int_equal(iommu_split(&dom, GFN(1ULL << 31), 0), 0);
    assert_int_equal(iommu_map(&dom, GFN(512), MFN(2048), 9, true), 0);     /* into the table that is there */
    assert_int_equal(table_lookup(t, 512 + 77, &write), 2048 + 77);
    assert_int_equal(iommu_map(&dom, GFN(1 << 18), MFN(1 << 19), 18, true), 0);
    assert_int_equal(table_lookup(t, (1 << 18) + 5, &write), (1 << 19) + 5);
    for (unsigned k = 1; k < 4; k++) {
        fake_fail_at(k);
        int rc = iommu_map(&dom, GFN(1ULL << 32), MFN(5), 0, true);
        assert_true(rc == (fake_failed() ? -ENOMEM : 0));
        fake_fail_at(0);
    }
    iommu_domain_destroy(&dom);
    assert_int_equal(heap_objects(), before);
}

/* A range that firmware declares may need memory for its table. */
static void attaching_without_memory(void)
{
    machine();
    add_range(0, 0x20, 6, 0xe0000000, 0x3000);
    add_range(1, 0x20, 6, 1ULL << 48, 0x1000);              /* beyond the tables */
    add_range(2, 0x20, 6, 0xd0000000, MiB(257));
    assert_true(iommu_init());
    dom.is_hwdom = true;
    assert_int_equal(iommu_domain_init(&dom), 0);
    for (unsigned k = 1;; k++) {
        fake_log_clear();
        fake_fail_at(k);
        int rc = iommu_attach_all(&dom);
        if (!fake_failed()) {
            fake_fail_at(0);
            assert_int_equal(rc, 0);
            break;
        }
        assert_int_equal(rc, -ENOMEM);
        assert_int_equal(model.inv_devices, 0);             /* no device was switched over */
    }
    check_attached(1);
}

static void domains(void **st)
{
    forked(lives);
    forked(attaching_without_memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(units_of_a_table), cmocka_unit_test(ranges_of_a_table), cmocka_unit_test(bad_lengths),
        cmocka_unit_test(address_bits_of_a_table),
        cmocka_unit_test(starting), cmocka_unit_test(starting_without_memory), cmocka_unit_test(domains),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
