/* SPDX-License-Identifier: MIT */
/* dom0's memory map over several host maps, and the parsing and arithmetic of dom0_mem= and dom0_max_vcpus=. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "call/abi.h"
#include "dom/dom0_build.h"
#include "dom/dom0_opts.h"
#include "fake.h"
#include "machine_stubs.h"
#include "lib/lib.h"

/* ---- a host with busy ranges ---- */
struct host {
    const char *name;
    struct boot_range map[16];
    struct dom0_range busy[4];      /* RAM somebody else has */
    struct dom0_range ecam;
    u64 want;
};
static struct dom0_range got[4096];
static unsigned nr_got;

static bool take(void *ctx, paddr_t start, paddr_t end)
{
    const struct host *h = ctx;
    unsigned i;

    assert_true(start < end && !(start & 0xfff) && !(end & 0xfff));
    for (i = 0; i < ARRAY_SIZE(h->busy); i++)
        if (start < h->busy[i].end && h->busy[i].start < end)
            return false;
    assert_true(nr_got < ARRAY_SIZE(got));
    got[nr_got++] = (struct dom0_range){ start, end };
    return true;
}

#define Q35(mib, low, want_) { .name = "q35 " #mib, .map = { { 0, 0x9fc00, 1 }, { 0x9fc00, 0xa0000, 2 }, \
    { 0xf0000, 0x100000, 2 }, { 0x100000, low - 0x20000, 1 }, { low - 0x20000, low, 2 }, \
    { 0xb0000000, 0xc0000000, 2 }, \
    { 0xfed1c000, 0xfed20000, 2 }, { 0xfffc0000, GiB(4), 2 }, { GiB(4), GiB(4) + MiB(mib) - low, 1 }, \
    { 0xfd00000000, 0x10000000000, 2 } }, .busy = { { MiB(2), MiB(5) } }, \
    .ecam = { 0xb0000000, 0xc0000000 }, .want = want_ }
#define SMALL(mib, want_) { .name = "small " #mib, .map = { { 0, 0x9f000, 1 }, { 0xf0000, 0x100000, 2 }, \
    { 0x100000, MiB(mib) - 0x20000, 1 }, { MiB(mib) - 0x20000, MiB(mib), 2 } }, \
    .busy = { { MiB(mib) - MiB(8), MiB(mib) } }, .want = want_ }

static const struct host hosts[] = {
    SMALL(256, MiB(512)), SMALL(512, MiB(512)), SMALL(1024, MiB(1024)), SMALL(1536, MiB(512)), SMALL(2048, MiB(2048)),
    SMALL(2048, MiB(1536)), SMALL(2048, MiB(1900)),
    Q35(4096, 0x80000000UL, MiB(1024)), Q35(4096, 0x80000000UL, MiB(3000)), Q35(4096, 0x80000000UL, MiB(4096)),
    Q35(16384, 0x80000000UL, MiB(4096)), Q35(65536, 0xb0000000UL, MiB(65536)),
    { .name = "OVMF-like", .map = { { 0, 0xa0000, 1 }, { 0x100000, 0x800000, 1 }, { 0x800000, 0x808000, 4 },
      { 0x808000, 0x80b000, 1 }, { 0x80b000, 0x80c000, 4 }, { 0x80c000, 0x810000, 1 }, { 0x810000, 0x900000, 4 },
      { 0x900000, 0x7e8ec000, 1 }, { 0x7e8ec000, 0x7eb6c000, 2 }, { 0x7eb6c000, 0x7eb7e000, 3 },
      { 0x7eb7e000, 0x7ebfe000, 4 }, { 0x7ebfe000, 0x7ef74000, 1 }, { 0x7ef74000, 0x80000000, 2 } },
      .busy = { { 0x7000000, 0x7600000 }, { 0x7d000000, 0x7e8ec000 } }, .ecam = { 0xe0000000, 0xf0000000 },
      .want = MiB(1200) },
    { .name = "half reserved ECAM, RAM inside a page", .map = { { 0, 0x9fc00, 1 }, { 0x9fc00, 0xa0000, 2 },
      { 0x100000, 0x7ff00000, 1 }, { 0x7ff00200, 0x7ff00400, 1 }, { 0xb8000000, 0xb9000000, 2 },
      { 0xfffc0000, GiB(4), 2 }, { GiB(4), GiB(6), 1 } }, .busy = { { MiB(2), MiB(5) } },
      .ecam = { 0xb0000000, 0xc0000000 }, .want = MiB(8192) },
};

static const struct boot_range *at(const struct dom0_map *m, paddr_t a)
{
    unsigned i;

    for (i = 0; i < m->nr; i++)
        if (a >= m->e[i].start && a < m->e[i].end)
            return &m->e[i];
    return NULL;
}

static void make(struct dom0_map *m, const struct host *h)
{
    struct dom0_map_request rq = { .host = h->map, .reserve = &h->ecam, .nr_reserve = h->ecam.end ? 1 : 0,
                                   .ram_bytes = h->want, .take = take, .ctx = (void *)h };

    while (rq.nr_host < ARRAY_SIZE(h->map) && h->map[rq.nr_host].end)
        rq.nr_host++;
    nr_got = 0;
    dom0_map_make(m, &rq);
}

/* What Linux's allocate_resource() does for the first 128 MiB: the first gap it fits into. */
static paddr_t first_fit(const struct dom0_map *m)
{
    paddr_t pos = 0;
    unsigned i;

    for (i = 0; i < m->nr; i++) {
        if (m->e[i].start > pos && ROUND_UP(pos, SCRATCH_ALIGN) + SCRATCH_ALIGN <= m->e[i].start)
            break;
        pos = m->e[i].end;
    }
    return ROUND_UP(pos, SCRATCH_ALIGN);
}

static void check(const struct host *h, const struct dom0_map *m)
{
    u64 ram = 0, taken = 0, total = 0, busy = 0, lost;
    unsigned i;

    assert_false(m->overflow);
    for (i = 0; i < m->nr; i++) {
        assert_true(m->e[i].start < m->e[i].end);
        if (i)
            assert_true(m->e[i].start >= m->e[i - 1].end);
        if (m->e[i].type == MEM_RAM)
            ram += m->e[i].end - m->e[i].start;
    }
    for (i = 0; i < nr_got; i++) {
        taken += got[i].end - got[i].start;
        assert_true(dom0_map_is_ram(m, got[i].start, got[i].end));
    }
    assert_int_equal(ram, m->ram_bytes);
    assert_int_equal(ram, taken);               /* exactly what was taken is RAM */
    assert_true(ram <= h->want);
    for (i = 0; i < ARRAY_SIZE(h->map) && h->map[i].end; i++)
        if (h->map[i].type == MEM_RAM)
            total += ROUND_DOWN(h->map[i].end, PAGE_SIZE) - ROUND_UP(h->map[i].start, PAGE_SIZE);
    for (i = 0; i < ARRAY_SIZE(h->busy); i++)
        busy += h->busy[i].end - h->busy[i].start;
    lost = m->scratch.end - m->scratch.start + busy;
    assert_true(ram + lost >= MIN(h->want, total));     /* nothing is given away but the hole */
    /* Every byte of host RAM is RAM, UNUSABLE or the hole; other ranges keep their type. */
    for (i = 0; i < ARRAY_SIZE(h->map) && h->map[i].end; i++) {
        paddr_t p;
        for (p = ROUND_UP(h->map[i].start, PAGE_SIZE); p + PAGE_SIZE <= h->map[i].end; p += MiB(2)) {
            const struct boot_range *r = at(m, p);
            if (p >= m->scratch.start && p < m->scratch.end)
                assert_null(r);
            else if (h->map[i].type == MEM_RAM)
                assert_true(r && (r->type == MEM_RAM || r->type == MEM_UNUSABLE));
            else
                assert_true(r && r->type == h->map[i].type);
            if (h->map[i].end > GiB(128) && p > GiB(128))
                break;
        }
    }
    if (h->ecam.end)
        assert_true(at(m, h->ecam.start) && at(m, h->ecam.end - 1)->type == MEM_RESERVED);
    assert_true(dom0_map_is_ram(m, MiB(16), MiB(74)));
}

static void policy(void **st)
{
    static struct dom0_map m;
    unsigned i;

    for (i = 0; i < ARRAY_SIZE(hosts); i++) {
        const struct host *h = &hosts[i];
        u64 hole;
        make(&m, h);
        check(h, &m);
        hole = m.scratch.end - m.scratch.start;
        if (!strcmp(h->name, "small 256"))
            continue;               /* too small for a hole */
        assert_true(hole >= (strcmp(h->name, "small 512") ? MiB(256) : MiB(128)));
        assert_int_equal(m.scratch.start % SCRATCH_ALIGN, 0);
        assert_int_equal(first_fit(&m), m.scratch.start);       /* Linux finds this one first */
        assert_non_null(at(&m, m.scratch.end));                 /* bounded by an entry */
        assert_non_null(at(&m, m.scratch.start - 1));
        assert_true(m.scratch.end <= GiB(4));
    }
}

static void low_dom0_has_a_large_hole(void **st)
{
    static struct dom0_map m;

    make(&m, &hosts[7]);            /* 4 GiB host, dom0 1 GiB: the rest of low RAM is the hole */
    assert_int_equal(m.ram_bytes, MiB(1024));
    assert_true(m.scratch.end - m.scratch.start >= MiB(768));
    make(&m, &hosts[10]);           /* 16 GiB host, dom0 4 GiB: part of it is above 4 GiB */
    assert_int_equal(m.ram_bytes, MiB(4096));
    assert_int_equal(at(&m, GiB(4))->type, MEM_RAM);
}

static void places(void **st)
{
    static struct dom0_map m;
    struct dom0_range avoid[] = { { MiB(16), MiB(74) }, { MiB(900), MiB(1020) } };
    paddr_t p, acpi;

    make(&m, &hosts[7]);
    acpi = dom0_map_carve(&m, 5000, MEM_ACPI);
    assert_true(acpi && at(&m, acpi)->type == MEM_ACPI && at(&m, acpi + 8191)->type == MEM_ACPI);
    assert_int_equal(m.ram_bytes, MiB(1024) - 8192);
    p = dom0_map_find(&m, MiB(60), PAGE_SIZE, GiB(1), avoid, 2);
    assert_int_equal(p, MiB(840));
    p = dom0_map_find(&m, MiB(900), PAGE_SIZE, GiB(4), avoid, 2);
    assert_int_equal(p, 0);
    assert_true(dom0_map_find(&m, MiB(800), PAGE_SIZE, GiB(4), avoid, 2));
    assert_int_equal(dom0_map_find(&m, 4096, PAGE_SIZE, MiB(1), avoid, 2), 0);
    assert_int_equal(dom0_map_find(&m, 0, PAGE_SIZE, GiB(4), avoid, 2), 0);
    assert_int_equal(dom0_map_find(&m, KiB(600), MiB(4), MiB(3), avoid, 2), 0);      /* room, but not aligned */
}

/* RAM in more pieces than the map has entries: the map ends, what is in it is right. */
static bool take_stripes(void *ctx, paddr_t start, paddr_t end)
{
    return start / MiB(2) == (end - 1) / MiB(2) && start / MiB(2) % 2 == 0;
}

static void too_many_pieces(void **st)
{
    static const struct boot_range ram = { 0, GiB(3), MEM_RAM };
    static struct dom0_map m;
    struct dom0_map_request rq = { .host = &ram, .nr_host = 1, .ram_bytes = GiB(3), .take = take_stripes };

    dom0_map_make(&m, &rq);
    assert_true(m.overflow && m.nr == DOM0_MAP_MAX);
    for (unsigned i = 0; i < m.nr; i++) {
        assert_true(m.e[i].start < m.e[i].end && (!i || m.e[i - 1].end <= m.e[i].start));
        if (m.e[i].type == MEM_RAM)
            assert_true(m.e[i].start / MiB(2) % 2 == 0 && m.e[i].end - m.e[i].start <= MiB(2));
    }
}

static void retype(void **st)
{
    static struct dom0_map m;
    u64 ram;

    make(&m, &hosts[7]);
    ram = m.ram_bytes;
    assert_true(dom0_map_retype(&m, MiB(100), MiB(100) + 4096, MEM_UNUSABLE));      /* middle */
    assert_int_equal(m.ram_bytes, ram - 4096);
    assert_int_equal(at(&m, MiB(100))->type, MEM_UNUSABLE);
    assert_true(dom0_map_owns(&m, MiB(100) - 4096) && !dom0_map_owns(&m, MiB(100)) && dom0_map_owns(&m,
        MiB(100) + 4096));
    assert_true(dom0_map_retype(&m, MiB(100) - 4096, MiB(100), MEM_UNUSABLE));      /* end of a piece: merges */
    assert_int_equal(at(&m, MiB(100))->start, MiB(100) - 4096);
    assert_true(dom0_map_retype(&m, 0, 0x9f000, MEM_UNUSABLE));                     /* a whole piece */
    assert_int_equal(at(&m, 0)->type, MEM_UNUSABLE);
    assert_int_equal(at(&m, 0x9e000)->type, MEM_UNUSABLE);
    assert_false(dom0_map_retype(&m, 0, 4096, MEM_UNUSABLE));
    assert_false(dom0_map_retype(&m, MiB(90), MiB(110), MEM_UNUSABLE));
    assert_true(dom0_map_owns(&m, dom0_map_carve(&m, 4096, MEM_ACPI)));
}

/* ---- options ---- */
static u64 mem(const char *opt, u64 total, u64 avail)
{
    struct dom0_mem m;

    if (dom0_mem_parse(&m, opt))
        return ~0ULL;
    return dom0_mem_bytes(&m, total, avail);
}

static void dom0_mem(void **st)
{
    struct dom0_mem none = { 0 }, m;

    assert_int_equal(dom0_mem_bytes(&none, GiB(4), GiB(4)), GiB(4) - MiB(128));
    assert_int_equal(dom0_mem_bytes(&none, GiB(1), GiB(1)), GiB(1) - MiB(64));
    assert_int_equal(mem("512M", GiB(4), GiB(4)), MiB(512));
    assert_int_equal(mem("524288", GiB(4), GiB(4)), MiB(512));          /* KiB */
    assert_int_equal(mem("8G", GiB(4), GiB(4) - MiB(20)), GiB(4) - MiB(20));
    assert_int_equal(mem("-1G", GiB(4), GiB(4)), GiB(3));
    assert_int_equal(mem("-8G", GiB(4), GiB(4)), 0);
    assert_int_equal(mem("1G,max:512M", GiB(4), GiB(4)), MiB(512));
    assert_int_equal(mem("min:1G,max:2G", GiB(16), GiB(16)), GiB(2));
    assert_int_equal(mem("256M,min:1G", GiB(16), GiB(16)), GiB(1));
    assert_int_equal(mem("min:2G,max:1G", GiB(16), GiB(16)), GiB(1));   /* max overrides */
    assert_int_equal(mem("max:-1G", GiB(4), GiB(4)), GiB(3));
    assert_int_equal(mem("50%", 1000 * PAGE_SIZE, GiB(4)), 500 * PAGE_SIZE);
    assert_int_equal(mem("1G+10%", GiB(1), GiB(4)), ROUND_DOWN(GiB(1) + GiB(1) / 100 * 10, PAGE_SIZE));
    assert_int_equal(mem("101%", GiB(1), GiB(4)), ~0ULL);
    assert_int_equal(mem("", GiB(1), GiB(4)), ~0ULL);
    assert_int_equal(mem("min:", GiB(1), GiB(4)), ~0ULL);
    assert_int_equal(mem("1G,", GiB(1), GiB(4)), ~0ULL);
    assert_int_equal(mem("1Gx", GiB(1), GiB(4)), ~0ULL);
    assert_int_equal(dom0_mem_parse(&m, "512M,max:1G"), 0);
    assert_int_equal(dom0_mem_max_bytes(&m, GiB(4), GiB(4)), GiB(1));
    assert_int_equal(dom0_mem_parse(&m, "512M"), 0);
    assert_int_equal(dom0_mem_max_bytes(&m, GiB(4), GiB(4)), ~0ULL);
}

static void max_vcpus(void **st)
{
    unsigned lo, hi;

    assert_int_equal(dom0_vcpus_parse(&lo, &hi, "4"), 0);
    assert_true(lo == 4 && hi == 4);
    assert_int_equal(dom0_vcpus_parse(&lo, &hi, "2-8"), 0);
    assert_true(lo == 2 && hi == 8);
    assert_int_equal(dom0_vcpus_parse(&lo, &hi, "-3"), 0);
    assert_true(lo == 1 && hi == 3);
    assert_int_equal(dom0_vcpus_parse(&lo, &hi, "2-"), 0);
    assert_true(lo == 2 && hi == 128);
    assert_int_equal(dom0_vcpus_parse(&lo, &hi, "1000"), 0);
    assert_true(lo == 128 && hi == 128);
    assert_true(dom0_vcpus_parse(&lo, &hi, "") && dom0_vcpus_parse(&lo, &hi, "0") &&
                dom0_vcpus_parse(&lo, &hi, "4-2") && dom0_vcpus_parse(&lo, &hi, "x"));
}

/* Random hosts: the properties hold for all of them. */
static void random_hosts(void **st)
{
    static struct dom0_map m;
    static struct host h;
    unsigned k, i, n;
    paddr_t p;

    srand(7);
    for (k = 0; k < 300; k++) {
        memset(&h, 0, sizeof(h));
        h.name = "random";
        h.map[0] = (struct boot_range){ 0, 0x9f000, MEM_RAM };
        h.map[1] = (struct boot_range){ MiB(1), MiB(80) + (u64)(rand() % 3000) * MiB(1) / 2, MEM_RAM };
        n = 2;
        for (p = h.map[1].end, i = 0; i < 8; i++) {
            u64 len = (u64)(1 + rand() % 4000) * PAGE_SIZE * (1 + rand() % 50);
            p += rand() % 3 ? 0 : (u64)(rand() % 100000) * 4096;
            h.map[n++] = (struct boot_range){ p, p + len, (u32)(1 + rand() % 5) };
            p += len;
        }
        for (i = 0; i < 3; i++) {
            u64 s = MiB(80) + (u64)(rand() % 300000) * PAGE_SIZE;
            h.busy[i] = (struct dom0_range){ s, s + (u64)(rand() % 3000) * PAGE_SIZE };
        }
        h.want = MiB(80) + (u64)(rand() % 2000) * MiB(1);
        make(&m, &h);
        check(&h, &m);
    }
}

/* dom0 finds in its block of start_info what is meant for it, and nothing of what lay there before (I-15). */
static void start_info(void **st)
{
    static struct cpu early;
    static struct dom0_build b;
    struct hvm_start_info si;
    struct hvm_modlist_entry mod;
    struct hvm_memmap_table_entry e[2];

    this_cpu_ptr = &early;
    fake_machine_init(64, 1);
    b = (struct dom0_build){ .rsdp = 0xe1234, .cmdline = "console=hvc0", .initrd = { .addr = MiB(20) + 8, .size = 77 },
        .map = { .nr = 2, .e = { { 0, MiB(1), MEM_RESERVED }, { MiB(1), MiB(32), MEM_RAM } } } };
    memset(phys_to_virt(MiB(1)), 0xa5, MiB(31));
    dom0_write_start_info(&b);
    assert_true(dom0_map_is_ram(&b.map, b.boot.start, b.boot.end));
    for (paddr_t p = MiB(1); p < MiB(32); p++)
        assert_int_equal(*(u8 *)phys_to_virt(p) == 0xa5, p < b.boot.start || p >= b.boot.end);
    memcpy(&si, phys_to_virt(b.boot.start), sizeof(si));
    memcpy(&mod, phys_to_virt(si.modlist_paddr), sizeof(mod));
    memcpy(e, phys_to_virt(si.memmap_paddr), sizeof(e));
    assert_string_equal(phys_to_virt(si.cmdline_paddr), b.cmdline);
    assert_true(si.rsdp_paddr == b.rsdp && mod.paddr == b.initrd.addr && mod.size == 77);
    assert_int_equal(si.memmap_entries, 2);
    assert_true(e[1].addr == MiB(1) && e[1].size == MiB(31) && e[1].type == MEM_RAM && !e[1].reserved);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(policy), cmocka_unit_test(low_dom0_has_a_large_hole), cmocka_unit_test(places),
        cmocka_unit_test(too_many_pieces),
        cmocka_unit_test(retype),
        cmocka_unit_test(dom0_mem), cmocka_unit_test(max_vcpus), cmocka_unit_test(random_hosts),
        cmocka_unit_test(start_info),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
