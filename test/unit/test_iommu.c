/* SPDX-License-Identifier: MIT */
/* AMD-Vi on a model IOMMU: reserved ranges (XSA-460, 378, 400), order of stores (XSA-347), late answers (XSA-373). */
#include "iommu_model.h"
#include "interleave.h"
#include "live_check.h"
#include "mm/p2m.h"

/* iommu_init() keeps its state: once per program, so every test builds on the one from main(). */
static struct iommu_domain *attach_domain(void)
{
    memset(&dom, 0, sizeof(dom));
    dom.is_hwdom = true;
    assert_int_equal(iommu_domain_init(&dom), 0);
    return dom.iommu;
}

static bool identity(struct iommu_domain *t, u64 start, u64 end)
{
    for (u64 f = start; f < end; f++)
        if (at(t, f) != f) return false;
    return true;
}

static bool empty(struct iommu_domain *t, u64 start, u64 end)
{
    for (u64 f = start; f < end; f++)
        if (at(t, f) != NO_FRAME) return false;
    return true;
}

/* ---- XSA-460 ---- */
static void fail_each(u64 start, u64 pages, bool inside)
{
    u64 end = start + pages, mine = start + pages / 2;
    for (unsigned k = 1;; k++) {
        u64 free = ram_free_pages();
        struct iommu_domain *t = attach_domain();
        if (inside) assert_int_equal(iommu_map(&dom, GFN(mine), MFN(mine), 0, true), 0);
        fake_fail_at(k);
        int rc = reserved_map(t, start, end, true);
        bool failed = fake_failed();
        fake_fail_at(0);
        assert_int_equal(rc, failed ? -ENOMEM : 0);
        if (failed) {
            assert_true(empty(t, start, inside ? mine : end));
            assert_true(!inside || (at(t, mine) == mine && empty(t, mine + 1, end)));
            assert_null(t->reserved);
            assert_int_equal(reserved_unmap(t, start, end), -ENOENT);
            assert_true(!inside || at(t, mine) == mine);
        } else {
            assert_true(identity(t, start, end));
            assert_int_equal(reserved_map(t, start, end, true), 0);
            assert_int_equal(reserved_unmap(t, start, end), 0);
            assert_true(identity(t, start, end));               /* the second user */
            assert_int_equal(reserved_unmap(t, start, end), 0);
            assert_true(empty(t, start, inside ? mine : end));
            assert_true(!inside || at(t, mine) == mine);        /* not its own */
            assert_int_equal(reserved_unmap(t, start, end), -ENOENT);
        }
        iommu_domain_destroy(&dom);
        assert_int_equal(ram_free_pages(), free);
        if (!failed) break;
    }
}

static void xsa_460_each_failure(void **state)
{
    static const u64 sizes[] = { 1, 2, 513, 1025 };
    for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
        fail_each(0xd0000, sizes[i], false);
        fail_each(0xd01ff, sizes[i], false);
        fail_each(0xd01fe, sizes[i], sizes[i] > 1);
    }
}

/* A page in the way, at every place: what was mapped before it goes again. */
static void xsa_460_address_in_use(void **state)
{
    for (u64 k = 0; k < 600; k += k < 4 || k > 508 ? 1 : 63) {
        struct iommu_domain *t = attach_domain();
        u64 start = 0xd0100;
        assert_int_equal(iommu_map(&dom, GFN(start + k), MFN(0x1234), 0, true), 0);
        assert_int_equal(reserved_map(t, start, start + 600, true), -EBUSY);
        assert_true(empty(t, start, start + k) && empty(t, start + k + 1, start + 600));
        assert_int_equal(at(t, start + k), 0x1234);
        assert_null(t->reserved);
        iommu_domain_destroy(&dom);
    }
}

static void xsa_460_overlaps(void **state)
{
    struct iommu_domain *t = attach_domain();
    assert_int_equal(reserved_map(t, 0xd0010, 0xd0020, true), 0);
    assert_int_equal(reserved_map(t, 0xd001f, 0xd0030, true), -EADDRINUSE);
    assert_int_equal(reserved_map(t, 0xd0000, 0xd0011, true), -EADDRINUSE);
    assert_int_equal(reserved_map(t, 0xd0012, 0xd0014, true), -EADDRINUSE);
    assert_int_equal(reserved_map(t, 0xd0000, 0xd0030, true), -EADDRINUSE);
    assert_int_equal(reserved_map(t, 0xd0010, 0xd0020, false), -EADDRINUSE);     /* other rights */
    assert_int_equal(reserved_map(t, 0xd0020, 0xd0020, true), -EINVAL);
    assert_int_equal(reserved_map(t, 0xd0020, 0xd0021, false), 0);               /* a neighbour is no overlap, nor merged */
    assert_int_equal(reserved_unmap(t, 0xd0010, 0xd0021), -ENOENT);
    assert_int_equal(reserved_unmap(t, 0xd0011, 0xd0020), -ENOENT);
    assert_true(identity(t, 0xd0010, 0xd0021) && empty(t, 0xd0000, 0xd0010) && empty(t, 0xd0021, 0xd0030));
    bool write = true;
    assert_int_equal(table_lookup(t, 0xd0020, &write), 0xd0020);
    assert_false(write);
    assert_int_equal(reserved_unmap(t, 0xd0010, 0xd0020), 0);
    assert_true(empty(t, 0xd0010, 0xd0020) && identity(t, 0xd0020, 0xd0021));
    iommu_domain_destroy(&dom);
}

/* ---- XSA-378, 400: no other way takes a page of a range away, or puts something else there ---- */
static void xsa_378_ordinary_calls(void **state)
{
    struct iommu_domain *t = attach_domain();
    assert_int_equal(reserved_map(t, 0xd0000, 0xd0300, true), 0);
    assert_int_equal(iommu_map(&dom, GFN(0xd0005), MFN(0x999), 0, true), -EBUSY);
    assert_int_equal(iommu_map(&dom, GFN(0xd0005), MFN(0xd0005), 0, false), -EBUSY);
    assert_int_equal(iommu_map(&dom, GFN(0xd0200), MFN(0x200), 9, true), -EBUSY);
    assert_int_equal(iommu_map(&dom, GFN(0xd0000), MFN(0xd0000), 9, true), 0);   /* the same, by another owner */
    assert_int_equal(iommu_split(&dom, GFN(0xd0007), 0), 0);
    iommu_unmap(&dom, GFN(0xd0007));                                            /* who gives it up again */
    assert_true(identity(t, 0xd0000, 0xd0300));
    iommu_flush(&dom);
    assert_true(identity(t, 0xd0000, 0xd0300));
    assert_int_equal(reserved_unmap(t, 0xd0000, 0xd0300), 0);
    assert_true(identity(t, 0xd0000, 0xd0007) && identity(t, 0xd0008, 0xd0200));       /* the other owner's */
    assert_true(empty(t, 0xd0007, 0xd0008) && empty(t, 0xd0200, 0xd0300));
    assert_int_equal(iommu_map(&dom, GFN(0xd0250), MFN(0x999), 0, true), 0);
    /* A range for reading: another owner could write there, and takes that with it. */
    bool write = true;
    assert_int_equal(reserved_map(t, 0xd0700, 0xd0702, false), 0);
    assert_int_equal(iommu_map(&dom, GFN(0xd0700), MFN(0xd0700), 0, true), 0);
    iommu_flush(&dom);
    assert_int_equal(iommu_split(&dom, GFN(0xd0700), 0), 0);
    fake_fail_from(1);
    iommu_unmap(&dom, GFN(0xd0700));
    fake_fail_at(0);
    assert_int_equal(table_lookup(t, 0xd0700, &write), 0xd0700);
    assert_false(write);
    assert_true(flush_pending(&dom));
    /* 2 MiB at once that a range reaches into. */
    assert_int_equal(iommu_map(&dom, GFN(0xd0800), MFN(0xd0800), 9, true), 0);
    assert_int_equal(reserved_map(t, 0xd0800, 0xd0810, true), 0);
    assert_int_equal(iommu_split(&dom, GFN(0xd0800), 9), 0);
    fake_fail_from(1);
    iommu_unmap_range(&dom, GFN(0xd0800), 9);
    fake_fail_at(0);
    assert_true(identity(t, 0xd0800, 0xd0810) && empty(t, 0xd0810, 0xd0a00));
    assert_int_equal(reserved_unmap(t, 0xd0800, 0xd0810), 0);
    assert_true(empty(t, 0xd0800, 0xd0810));
    iommu_domain_destroy(&dom);
}

/* The same through the second stage: a foreign page cannot be mapped there, and its failure leaves nothing. */
static void xsa_378_second_stage(void **state)
{
    struct domain *d = fake_domain(0, 0), *e = fake_domain(1, 512);
    mfn_t m;
    d->is_hwdom = true;
    assert_int_equal(iommu_domain_init(d), 0);
    assert_int_equal(reserved_map(d->iommu, 0xd0000, 0xd0010, true), 0);
    assert_int_equal(p2m_get_owned(e, GFN(5), false, &m), 0);
    assert_int_equal(p2m_map_record(d, GFN(0xd0003), m, P2M_FOREIGN, false), -EBUSY);
    page_put(m);
    assert_true(identity(d->iommu, 0xd0000, 0xd0010));
    assert_int_equal(p2m_map_identity(d, 0xd0000000, 0xd0020000, P2M_MMIO), 0);
    assert_true(identity(d->iommu, 0xd0000, 0xd0020));
    assert_int_equal(p2m_unmap_identity(d, 0xd0000000, 0xd0020000, P2M_MMIO), 0);
    assert_true(identity(d->iommu, 0xd0000, 0xd0010) && empty(d->iommu, 0xd0010, 0xd0020));
    assert_int_equal(mm_audit(), 0);
    reserved_free(d->iommu);
    iommu_flush(d);
    iommu_domain_destroy(d);
    fake_domain_destroy(d);
    fake_domain_destroy(e);
}

/* ---- XSA-347: at every store, what a device sees of each page is the old mapping or the new one ---- */
static struct { struct iommu_domain *t; u64 from, to, was[1600], will[1600]; unsigned looks; } watch;

static void watch_hook(const void *addr)
{
    model_hook(addr);
    if (!watch.t) return;
    assert_int_equal((uintptr_t)addr & 7, 0);
    watch.looks++;
    for (u64 f = watch.from; f < watch.to; f++) {
        u64 now = at(watch.t, f);
        if (now != watch.was[f - watch.from] && now != watch.will[f - watch.from])
            fail_msg("%llx: %llx", (unsigned long long)f, (unsigned long long)now);
    }
}

static void expect_change(struct iommu_domain *t, u64 from, u64 n, u64 mfn)
{
    watch.from = 0xd0000;
    watch.to = 0xd0000 + 1600;
    watch.looks = 0;
    for (u64 f = watch.from; f < watch.to; f++) {
        watch.was[f - watch.from] = watch.will[f - watch.from] = at(t, f);
        if (f >= from && f < from + n) watch.will[f - watch.from] = mfn == NO_FRAME ? mfn : mfn + f - from;
    }
    watch.t = t;
}

static void changed(struct iommu_domain *t)
{
    watch.t = NULL;
    assert_true(watch.looks);
    for (u64 f = watch.from; f < watch.to; f++) assert_int_equal(at(t, f), watch.will[f - watch.from]);
}

static void xsa_347_order_of_stores(void **state)
{
    struct iommu_domain *t = attach_domain();
    fake_hook = watch_hook;
    expect_change(t, 0xd0000, 512, 0x40000);
    assert_int_equal(iommu_map(&dom, GFN(0xd0000), MFN(0x40000), 9, true), 0);
    changed(t);
    expect_change(t, 0xd0005, 0, 0);
    assert_int_equal(iommu_split(&dom, GFN(0xd0005), 0), 0);
    changed(t);
    expect_change(t, 0xd0005, 1, NO_FRAME);
    iommu_unmap(&dom, GFN(0xd0005));
    changed(t);
    expect_change(t, 0xd0005, 1, 0x777);
    assert_int_equal(iommu_map(&dom, GFN(0xd0005), MFN(0x777), 0, true), 0);
    changed(t);
    expect_change(t, 0xd0000, 512, 0x80000);            /* a large page over a table of small ones */
    assert_int_equal(iommu_map(&dom, GFN(0xd0000), MFN(0x80000), 9, true), 0);
    changed(t);
    expect_change(t, 0xd0000, 512, NO_FRAME);
    iommu_unmap_range(&dom, GFN(0xd0000), 9);
    changed(t);
    expect_change(t, 0xd0300, 700, 0xd0300);
    assert_int_equal(reserved_map(t, 0xd0300, 0xd0300 + 700, true), 0);
    changed(t);
    expect_change(t, 0xd0300, 700, NO_FRAME);
    assert_int_equal(reserved_unmap(t, 0xd0300, 0xd0300 + 700), 0);
    changed(t);
    fake_hook = model_hook;
    iommu_domain_destroy(&dom);
}

/* ---- XSA-321, 328: the same for both kinds of tables, over what the second stage does, with every failure ---- */
static struct domain *sd, *so;
static int do_map_2m(void)
{
    mfn_t m = dom_ram_alloc(sd, ORDER_2M);
    int rc = mfn_valid(m) ? p2m_map_ram(sd, GFN(0x40000), m, ORDER_2M) : -ENOMEM;
    if (rc && mfn_valid(m)) dom_ram_free(sd, m, ORDER_2M);
    return rc;
}
static int do_remove(void) { return p2m_remove_ram(sd, GFN(0x40007)); }
static int do_read_only(void) { return p2m_set_ram_type(sd, GFN(0x40009), P2M_RAM_RO); }
static int do_foreign(void)
{
    mfn_t m;
    int rc = p2m_get_owned(so, GFN(3), false, &m);
    if (!rc && (rc = p2m_map_record(sd, GFN(0x40011), m, P2M_FOREIGN, true)) != 0) page_put(m);
    return rc;
}
static int do_foreign_end(void) { return p2m_unmap_record(sd, GFN(0x40011), INVALID_MFN, P2M_FOREIGN, NULL); }
static int do_move(void) { return p2m_move_ram(sd, GFN(0x40013), GFN(0x8000000)); }
static int do_device(void) { return p2m_map_identity(sd, 0x100000000, 0x140201000, P2M_MMIO); }
static int do_device_hole(void) { return p2m_unmap_identity(sd, 0x100201000, 0x100402000, P2M_MMIO); }
static int do_device_end(void) { return p2m_unmap_identity(sd, 0x100000000, 0x140201000, P2M_MMIO); }
static int do_2m_over_tables(void)
{
    mfn_t m = dom_ram_alloc(sd, ORDER_2M);
    int rc = mfn_valid(m) ? p2m_map_ram(sd, GFN(0x100200), m, ORDER_2M) : -ENOMEM;
    if (rc && mfn_valid(m)) dom_ram_free(sd, m, ORDER_2M);
    return rc;
}
static void xsa_328_order_of_stores(void **state)
{
    static int (*const ops[])(void) = { do_map_2m, do_remove, do_read_only, do_foreign, do_foreign_end, do_move, do_device,
                                        do_device_hole, do_device_end, do_2m_over_tables };
    sd = fake_domain(0, 0);
    so = fake_domain(1, 512);
    sd->max_pages = ~0ULL;
    sd->is_hwdom = true;
    assert_int_equal(iommu_domain_init(sd), 0);
    for (unsigned i = 0; i < ARRAY_SIZE(ops); i++)
        for (unsigned k = 1;; k++) {
            live_check_start(sd);
            fake_fail_at(k);
            int rc = ops[i]();
            bool failed = fake_failed();
            fake_fail_at(0);
            unsigned stores = live_check_end();
            if (!rc) {
                assert_true(stores >= 2);               /* one in each tree at least */
                break;
            }
            assert_true(failed && rc == -ENOMEM && k < 20);
        }
    live_check_start(sd);
    sd->state = DOM_DYING;
    while (p2m_destroy(sd) == -ERESTART)
        ;
    fake_live_hook = NULL;                              /* its trees are gone */
    iommu_domain_destroy(sd);
    fake_domain_destroy(sd);
    fake_domain_destroy(so);
}

/* A device table entry gets its root only when its domain id is there, in one store. */
static unsigned entries_seen;
static void devtab_hook(const void *addr)
{
    model_hook(addr);
    const u64 (*tab)[4] = phys_to_virt(regs[REG_DEVTAB / 8] & PTE_ADDR);
    for (unsigned i = 0; i < 256; i++) {
        if (tab[i][0] == (DTE_V | DTE_TV)) continue;            /* blocked */
        entries_seen++;
        assert_int_equal(tab[i][1], dom.iommu->id);
        assert_int_equal(tab[i][0], DTE_V | DTE_TV | DTE_IR | DTE_IW | DTE_MODE(TABLE_LEVELS) |
                                    virt_to_phys(dom.iommu->root));
    }
}

static void xsa_347_device_table(void **state)
{
    attach_domain();
    unsigned before = model.inv_devices;
    fake_hook = devtab_hook;
    assert_int_equal(iommu_attach_all(&dom), 0);
    fake_hook = model_hook;
    assert_true(entries_seen > 1000);
    assert_int_equal(model.inv_devices - before, 256);          /* none lost in the queue */
    assert_int_equal(model.inv_tables, 256);
    /* The ranges of the table: one with RAM in it and one that overlaps are left out. */
    assert_true(identity(dom.iommu, 0xe0000, 0xe0003) && empty(dom.iommu, 0xe0003, 0xe0010));
    assert_true(empty(dom.iommu, 0x100, 0x110));
    bool write = true;
    assert_int_equal(table_lookup(dom.iommu, 0xe8000, &write), 0xe8000);
    assert_false(write);
}

/* ---- XSA-373: no flush ends before the IOMMU has said so ---- */
static void xsa_373_late_answers(void **state)
{
    static const unsigned late[] = { 0, 1, 7, 1000, 50000 };
    for (unsigned i = 0; i < ARRAY_SIZE(late); i++) {
        model.late = late[i];
        assert_int_equal(iommu_map(&dom, GFN(0xd0000 + i), MFN(0x100), 0, true), 0);
        model.cached = 0xd0000 + i + 1;
        iommu_unmap(&dom, GFN(0xd0000 + i));
        assert_true(flush_pending(&dom));
        assert_int_equal(model.cached, 0xd0000 + i + 1);
        iommu_flush(&dom);
        assert_false(flush_pending(&dom));
        assert_int_equal(model.cached, 0);
    }
    model.late = 0;
    for (unsigned i = 0; i < 3 * QUEUE_ENTRIES; i++) {          /* the queue goes round */
        assert_int_equal(iommu_map(&dom, GFN(0xd0000), MFN(0x100), 0, true), 0);
        model.cached = 1;
        iommu_unmap(&dom, GFN(0xd0000));
        iommu_flush(&dom);
        assert_int_equal(model.cached, 0);
    }
}

/* Two CPUs remove pages of one domain and flush: neither goes on before the IOMMU has forgotten its own page, also when
 * the other's flush is what makes it forget. */
static void (*switcher)(const void *addr);
static void two_hook(const void *addr)
{
    model_hook(addr);
    switcher(addr);
}
static void two_setup(void *arg)
{
    model.late = 1;                     /* the other CPU gets a turn before the answer */
    for (unsigned i = 0; i < 2; i++) {
        if (at(dom.iommu, 0xd0000 + i) == NO_FRAME)
            assert_int_equal(iommu_map(&dom, GFN(0xd0000 + i), MFN(0x100), 0, true), 0);
        model.cached_of[i] = true;
    }
}
static void two_remove(unsigned i)
{
    if (fake_hook != two_hook) {
        switcher = fake_hook;
        fake_hook = two_hook;
    }
    iommu_unmap(&dom, GFN(0xd0000 + i));
    iommu_flush(&dom);
    if (model.cached_of[i]) fail_msg("a flush ended while the IOMMU still had the page");
}
static void two_remove0(void *arg) { two_remove(0); }
static void two_remove1(void *arg) { two_remove(1); }
static void two_check(void *arg) { assert_false(flush_pending(&dom)); }
static void xsa_373_two_flushes(void **state)
{
    struct interleave il = { "xsa-373-two-flushes", 2, { two_remove0, two_remove1 }, two_setup, two_check, NULL, 2,
                             .max_runs = 1000 };
    fake_hook = NULL;
    assert_true(interleave_all(&il, 1) > 50);
    model.late = 0;
    fake_hook = model_hook;
}

static void xsa_373_no_answer(void **state)
{
    model.dead = true;
    assert_int_equal(iommu_map(&dom, GFN(0xd0000), MFN(0x100), 0, true), 0);
    iommu_unmap(&dom, GFN(0xd0000));
    assert_true(fake_expect_panic(iommu_flush(&dom)));
    assert_non_null(strstr(fake_panic_text, "does not answer"));
}

/* ---- the options ---- */
static void options(void **state)
{
    struct ivrs_range r[8];
    assert_int_equal(reserved_parse("d5d45=0:1d.0;0xd5d46-0xd5d48=0:1a.0-0:1a.3", false, r, 8), 2);
    assert_true(r[0].start == 0xd5d45000 && r[0].end == 0xd5d46000 && r[0].first == 0xe8 && r[0].last == 0xe8 && r[0].write);
    assert_true(r[1].start == 0xd5d46000 && r[1].end == 0xd5d49000 && r[1].first == 0xd0 && r[1].last == 0xd3);
    assert_int_equal(reserved_parse("d0-df", false, r, 8), 1);
    assert_true(r[0].first == 0 && r[0].last == 0xffff && r[0].end == 0xe0000);
    assert_int_equal(reserved_parse("1=0:1.0,2:3.4,0:5:6.7", false, r, 8), 3);
    assert_true(r[2].first == (5 << 8 | 6 << 3 | 7) && r[2].start == 0x1000);
    assert_int_equal(reserved_parse("d5d45=0:0:1d.0;0xd5d46-0xd5d48=0:0:1a.0", true, r, 8), 2);
    assert_int_equal(reserved_parse("1=0:0:1d.0,1a.0", true, r, 8), -EINVAL);
    assert_int_equal(reserved_parse("1=0:1d.0,0:1a.0", true, r, 8), 2);
    assert_int_equal(reserved_parse("1=1:0:1d.0,1:0:1a.0", true, r, 8), 0);      /* a segment without IOMMU */
    assert_int_equal(reserved_parse("1=1:0:1d.0,2:0:1a.0", true, r, 8), -EINVAL);
    static const char *const bad[] = { "", "=", "x", "1-", "2-1", "1=", "1=0", "1=0:1", "1=0:1.", "1=0:1.8", "1=0:20.0",
                                       "1=100:1.0", "1=0:1.0-", "1=0:1.1-0:1.0", "1=0:1.0,", "1;;2", "1 2", "1000000000",
                                       "1=0:1.0:2", "11111111111111111", "-1", "0x", "1=1:0:1.0" };
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
        if (reserved_parse(bad[i], false, r, 8) != -EINVAL) fail_msg("%s", bad[i]);
    assert_int_equal(reserved_parse("1", true, r, 8), -EINVAL);                  /* rmrr= needs a device */
    assert_int_equal(reserved_parse("1;2;3", false, r, 2), -EINVAL);             /* too many: none */
}

static int setup(void **state)
{
    machine();
    add_range(0, 0x20, 5, 0xe0000000, 0x3000);
    add_range(1, 0x21, 5, 0xe0002000, 0x3000);          /* overlaps */
    add_range(2, 0x20, 5, 0x100000, 0x10000);           /* RAM */
    add_range(3, 0x21, 2, 0xe8000000, 0x1000);          /* readable only */
    return iommu_init() ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options), cmocka_unit_test(xsa_460_each_failure), cmocka_unit_test(xsa_460_address_in_use),
        cmocka_unit_test(xsa_460_overlaps), cmocka_unit_test(xsa_378_ordinary_calls),
        cmocka_unit_test(xsa_378_second_stage), cmocka_unit_test(xsa_347_order_of_stores),
        cmocka_unit_test(xsa_328_order_of_stores),
        cmocka_unit_test(xsa_347_device_table), cmocka_unit_test(xsa_373_late_answers),
        cmocka_unit_test(xsa_373_two_flushes), cmocka_unit_test(xsa_373_no_answer),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
