/* SPDX-License-Identifier: MIT */
/* memory_op as guests and the toolstack call it: dom0 (d0), a guest (d1), arguments in guest memory. */
#include <stdlib.h>
#include "mm_stubs.h"
#include "gnttab/gnttab.h"
#include "mm/p2m_internal.h"

/* ---- the modules around memory_op ---- */
__attribute__((weak)) struct domain *get_domain(u16 id)
{
    struct domain *d = fake_find_domain(id);
    if (d)
        d->refs++;
    return d;
}
__attribute__((weak)) struct domain *get_domain_self(u16 id)
{
    return get_domain(id == DOMID_SELF ? current_vcpu()->dom->id : id);
}
__attribute__((weak)) void put_domain(struct domain *d) { d->refs--; }
static void *grant_frames[4];
static u64 grant_gfn[4];
__attribute__((weak)) int gnttab_get_frame(struct domain *d, unsigned idx, mfn_t *m)
{
    if (idx >= 4)
        return -EINVAL;
    if (!grant_frames[idx] && !(grant_frames[idx] = page_alloc()))
        return -ENOMEM;
    *m = virt_to_mfn(grant_frames[idx]);
    return 0;
}
__attribute__((weak)) void gnttab_set_gfn(struct domain *d, unsigned idx, gfn_t g) { grant_gfn[idx] = g.n; }
/* As call.c does it. */
__attribute__((weak)) long subop_run(struct call *c, const struct subop *table, unsigned nr, unsigned cmd, gva_t arg)
{
    u64 buf[64] = { 0 };
    if (cmd >= nr || !table[cmd].fn)
        return -ENOSYS;
    if (table[cmd].who == WHO_PRIV && !c->v->dom->is_priv)
        return -EPERM;
    if (table[cmd].size && guest_read(c->v, buf, arg, table[cmd].size))
        return -EFAULT;
    long rc = table[cmd].fn(c, buf);
    if ((table[cmd].flags & SUBOP_OUT) && rc >= 0 && guest_write(c->v, arg, buf, table[cmd].size))
        return -EFAULT;
    return rc;
}

static struct domain *d0, *d1;
static unsigned restarts;

static void setup(u64 pages0, u64 pages1)
{
    fake_machine_init(128, 1);
    memset(grant_frames, 0, sizeof(grant_frames));
    d0 = fake_domain(0, pages0);
    d1 = fake_domain(1, pages1);
    d0->max_pages = d1->max_pages = 8192;
    d1->max_grant_frames = 4;
    restarts = 0;
    fake_enter_cpu(0, d0->vcpu[0]);
}

/* Call with the structure at gpa 0x10000 of the current domain, as often as it wants to be restarted. */
static long op(u64 cmd, void *arg, size_t size)
{
    struct call c = { .v = current_vcpu(), .nr = 12, .arg = { cmd, 0x10000 } };
    long rc;

    if (size)
        assert_int_equal(guest_write(c.v, 0x10000, arg, size), 0);
    while ((rc = memory_op(&c)) == -ERESTART) {
        assert_int_equal(c.arg[0] & 63, cmd);
        restarts++;
    }
    if (size)
        assert_int_equal(guest_read(c.v, arg, 0x10000, size), 0);
    assert_int_equal(this_cpu()->nr_locks, 0);
    assert_int_equal(d0->refs, 1);
    assert_int_equal(d1->refs, 1);
    return rc;
}
#define OP(cmd, s) op(cmd, &(s), sizeof(s))

/* List of gfns at 0x11000. */
static gva_t list(const u64 *g, unsigned n)
{
    assert_int_equal(guest_write(current_vcpu(), 0x11000, g, n * 8), 0);
    return 0x11000;
}

static long reserve(unsigned cmd, u16 domid, unsigned order, const u64 *g, unsigned n, u32 flags)
{
    struct xen_memory_reservation r = { .nr_extents = n, .extent_order = order, .mem_flags = flags, .domid = domid };
    r.extent_start.p = (void *)list(g, n);
    return OP(cmd, r);
}

static enum p2m_type type_at(struct domain *d, u64 gfn, mfn_t *m)
{
    enum p2m_type t;
    mfn_t x = p2m_lookup(d, GFN(gfn), &t, NULL);
    if (m)
        *m = x;
    return t;
}

static void test_populate(void **state)
{
    u64 g[600];
    unsigned o;
    enum p2m_type t;

    setup(512, 16);
    g[0] = 0x400;
    g[1] = 0x800;
    assert_int_equal(reserve(XENMEM_populate_physmap, 1, 9, g, 2, 0), 2);
    assert_int_equal(d1->tot_pages, 16 + 1024);
    (void)p2m_lookup(d1, GFN(0x5ff), &t, &o);
    assert_int_equal(o, 9);
    g[0] = 0x1401;                          /* misaligned for its order: pieces */
    assert_int_equal(reserve(XENMEM_populate_physmap, 1, 9, g, 1, 0), 1);
    assert_int_equal(type_at(d1, 0x1600, NULL), P2M_RAM);
    assert_int_equal(type_at(d1, 0x1601, NULL), P2M_NONE);
    for (unsigned i = 0; i < 512; i++)
        g[i] = 0x2000 + i;
    assert_int_equal(reserve(XENMEM_populate_physmap, 1, 0, g, 512, 0), 512);
    /* Occupied: the count says where. */
    g[1] = 0x3000;
    g[2] = 0x2000;
    assert_int_equal(reserve(XENMEM_populate_physmap, 1, 0, g + 1, 2, 0), 1);
    /* An extent that fails half-way leaves nothing (I-10). */
    u64 tot = d1->tot_pages;
    g[0] = 0x2ff8;                          /* ... 0x3000 is taken */
    assert_int_equal(reserve(XENMEM_populate_physmap, 1, 4, g, 1, 0), 0);
    assert_int_equal(d1->tot_pages, tot);
    assert_int_equal(type_at(d1, 0x2ff8, NULL), P2M_NONE);
    g[0] = 0x2dff;                          /* 0x2dff, 2 MiB pieces up to 0x3000 */
    assert_int_equal(reserve(XENMEM_populate_physmap, 1, 10, g, 1, 0), 0);
    assert_int_equal(d1->tot_pages, tot);
    g[0] = ~0ULL - 100;
    assert_int_equal(reserve(XENMEM_populate_physmap, 1, 9, g, 1, 0), 0);
    g[0] = P2M_GFN_END - 1;
    assert_int_equal(reserve(XENMEM_populate_physmap, 1, 1, g, 1, 0), 0);
    g[0] = 1 << 18;
    assert_int_equal(reserve(XENMEM_populate_physmap, 1, 18, g, 1, 0), 0);      /* quiet: libxc falls back */
    assert_int_equal(d1->tot_pages, tot);
    /* Up to the limit, not beyond (XSA-385). */
    d1->max_pages = tot + 511;
    g[0] = 0x8000;
    assert_int_equal(reserve(XENMEM_populate_physmap, 1, 9, g, 1, 0), 0);
    d1->max_pages = tot + 512;
    assert_int_equal(reserve(XENMEM_populate_physmap, 1, 9, g, 1, 0), 1);
    g[0] = 0x9000;
    assert_int_equal(reserve(XENMEM_populate_physmap, 1, 0, g, 1, 0), 0);
    d1->max_pages = tot;
    assert_int_equal(reserve(XENMEM_populate_physmap, 1, 0, g, 1, 0), 0);
    assert_int_equal(mm_audit(), 0);
}

static void test_reservation_arguments(void **state)
{
    u64 g[2] = { 0x4000, 0x4001 };

    setup(512, 16);
    assert_int_equal(reserve(XENMEM_populate_physmap, 7, 0, g, 1, 0), -ESRCH);
    assert_int_equal(reserve(XENMEM_populate_physmap, 1, 19, g, 1, 0), -EINVAL);
    assert_int_equal(reserve(XENMEM_populate_physmap, 1, ~0u, g, 1, 0), -EINVAL);
    assert_int_equal(reserve(XENMEM_populate_physmap, 1, 0, g, 1, XENMEMF_populate_on_demand), -EOPNOTSUPP);
    assert_int_equal(reserve(XENMEM_populate_physmap, 1, 0, g, 1, XENMEMF_vnode), -EINVAL);
    assert_int_equal(reserve(XENMEM_populate_physmap, 1, 0, g, 1, XENMEMF_exact_node(0)), 1);
    struct xen_memory_reservation r = { .nr_extents = ~0ULL, .domid = 1 };
    assert_int_equal(OP(XENMEM_populate_physmap, r), -EINVAL);
    r.nr_extents = 1;
    r.extent_start.p = (void *)0xdead0000000;
    assert_int_equal(OP(XENMEM_populate_physmap, r), -EFAULT);
    r.extent_start.p = (void *)~7ULL;
    assert_int_equal(OP(XENMEM_decrease_reservation, r), -EFAULT);
    /* An unprivileged caller: itself only, by either name; no node (XSA-231), no large orders. */
    d1->max_pages = 100;
    fake_enter_cpu(0, d1->vcpu[0]);
    p2m_pool_set(d1, MiB(1)) == 0 ? (void)0 : fail();
    assert_int_equal(guest_write(d1->vcpu[0], 0, "x", 1), 0);
    assert_int_equal(d1->tot_pages, 17);
    /* Its structure lies in its own RAM, which ends at 0x10000: give it more. */
    fake_enter_cpu(0, d0->vcpu[0]);
    for (unsigned i = 0; i < 2; i++)
        g[i] = 0x10 + i;
    assert_int_equal(reserve(XENMEM_populate_physmap, 1, 0, g, 2, 0), 2);
    fake_enter_cpu(0, d1->vcpu[0]);
    for (u32 node = 0; node < 256; node++) {
        u64 f = 0x100 + node;
        long rc = reserve(XENMEM_populate_physmap, DOMID_SELF, 0, &f, 1, XENMEMF_node(node));
        assert_int_equal(rc, -EINVAL);
    }
    g[0] = 0x300;
    assert_int_equal(reserve(XENMEM_populate_physmap, DOMID_SELF, 0, g, 1, 0), 1);
    g[0] = 0x301;
    assert_int_equal(reserve(XENMEM_populate_physmap, 1, 0, g, 1, 0), 1);
    assert_int_equal(reserve(XENMEM_populate_physmap, 0, 0, g, 1, 0), -EPERM);
    assert_int_equal(reserve(XENMEM_populate_physmap, 9, 0, g, 1, 0), -EPERM);
    assert_int_equal(reserve(XENMEM_populate_physmap, 1, 10, g, 1, 0), -EPERM);
    assert_int_equal(reserve(XENMEM_increase_reservation, 1, 0, g, 1, 0), 0);
    assert_int_equal(reserve(XENMEM_increase_reservation, 1, 0, g, 1, XENMEMF_node(3)), -EINVAL);
    assert_int_equal(reserve(XENMEM_claim_pages, 1, 0, g, 1, 0), -EPERM);
    assert_int_equal(mm_audit(), 0);
}

static void test_decrease(void **state)
{
    u64 g[600];

    setup(512, 2048);
    g[0] = 512;
    g[1] = 1024 + 7;
    assert_int_equal(reserve(XENMEM_decrease_reservation, 1, 9, g, 1, 0), 1);
    assert_int_equal(d1->tot_pages, 1536);
    assert_int_equal(reserve(XENMEM_decrease_reservation, 1, 0, g + 1, 1, 0), 1);       /* XSA-277: 1, 0, 0 */
    assert_int_equal(reserve(XENMEM_decrease_reservation, 1, 0, g + 1, 1, 0), 0);
    assert_int_equal(reserve(XENMEM_decrease_reservation, 1, 0, g, 1, 0), 0);
    for (unsigned i = 0; i < 500; i++)
        g[i] = i;
    assert_int_equal(reserve(XENMEM_decrease_reservation, 1, 0, g, 500, 0), 500);
    assert_int_equal(d1->tot_pages, 1035);
    g[0] = 1600;                            /* 2 MiB at an odd place (XSA-388) */
    assert_int_equal(reserve(XENMEM_decrease_reservation, 1, 8, g, 1, 0), 1);
    assert_int_equal(type_at(d1, 1599, NULL), P2M_RAM);
    assert_int_equal(type_at(d1, 1600, NULL), P2M_NONE);
    assert_int_equal(type_at(d1, 1855, NULL), P2M_NONE);
    assert_int_equal(type_at(d1, 1856, NULL), P2M_RAM);
    g[0] = ~0ULL;
    assert_int_equal(reserve(XENMEM_decrease_reservation, 1, 0, g, 1, 0), 0);
    assert_int_equal(mm_audit(), 0);
    /* Pool exhausted: the page stays (XSA-222). */
    setup(512, 2048);
    assert_int_equal(p2m_pool_set(d1, d1->p2m->pool_used << 12), 0);
    g[0] = 5;
    assert_int_equal(reserve(XENMEM_decrease_reservation, 1, 0, g, 1, 0), 0);
    assert_int_equal(type_at(d1, 5, NULL), P2M_RAM);
    assert_int_equal(d1->tot_pages, 2048);
    assert_int_equal(mm_audit(), 0);
}

/* A domain with devices: what an extent that fails half-way has added is taken back without memory (I-10). */
static void test_populate_undo_with_iommu(void **state)
{
    u64 g = 0x3000;

    setup(512, 16);
    memset(stub_iommu, 0, sizeof(stub_iommu));
    d0->iommu = (void *)1;
    for (unsigned k = 1; ; k++) {
        fake_fail_from(k);
        long rc = reserve(XENMEM_populate_physmap, 0, 10, &g, 1, 0);
        bool failed = fake_failed();
        fake_fail_at(0);
        assert_int_equal(rc, !failed);
        assert_int_equal(d0->tot_pages, failed ? 512 : 512 + 1024);
        for (unsigned i = 0; failed && i < 1024; i++) {
            assert_int_equal(type_at(d0, g + i, NULL), P2M_NONE);
            assert_false(stub_iommu[g + i].present);
        }
        mm_audit();
        if (!failed)
            break;
        assert_true(k < 30);
    }
    d0->iommu = NULL;
}

static bool always(void) { return true; }

static void test_continuation(void **state)
{
    u64 g[256];

    setup(512, 16);
    stub_preempt = true;
    fake_irq_window_hook = always;
    for (unsigned i = 0; i < 256; i++)
        g[i] = 0x1000 + i;
    assert_int_equal(reserve(XENMEM_populate_physmap, 1, 0, g, 256, 0), 256);
    assert_int_equal(restarts, 255);
    assert_int_equal(d1->tot_pages, 272);
    restarts = 0;
    assert_int_equal(reserve(XENMEM_decrease_reservation, 1, 0, g, 256, 0), 256);
    assert_int_equal(restarts, 3);
    /* Extents of single pages: an interrupt gets in after each, whatever their number. */
    for (unsigned i = 0; i < 4; i++)
        g[i] = 0x2001 + 512 * i;
    assert_int_equal(reserve(XENMEM_populate_physmap, 1, 9, g, 4, 0), 4);
    restarts = 0;
    assert_int_equal(reserve(XENMEM_decrease_reservation, 1, 9, g, 4, 0), 4);
    assert_int_equal(restarts, 3);
    assert_int_equal(d1->tot_pages, 16);
    stub_preempt = false;
    /* A start beyond the end (guest-made) does nothing. */
    struct xen_memory_reservation r = { .nr_extents = 3, .domid = 1 };
    r.extent_start.p = (void *)list(g, 3);
    assert_int_equal(guest_write(current_vcpu(), 0x10000, &r, sizeof(r)), 0);
    struct call c = { .v = current_vcpu(), .nr = 12, .arg = { XENMEM_populate_physmap | 77 << 6, 0x10000 } };
    assert_int_equal(memory_op(&c), 77);
    assert_int_equal(d1->tot_pages, 16);
    mm_audit();
}

static void test_queries(void **state)
{
    struct xen_memory_domain a = { .domid = 1 };

    setup(512, 700);
    assert_int_equal(OP(XENMEM_current_reservation, a), 700);
    assert_int_equal(OP(XENMEM_maximum_reservation, a), 8192);
    assert_int_equal(OP(XENMEM_maximum_gpfn, a), 699);
    assert_int_equal(op(XENMEM_maximum_ram_page, NULL, 0), MiB(128) / 4096 - 1);
    d1->max_pages = ~0ULL;
    assert_true(OP(XENMEM_maximum_reservation, a) > 0);
    a.domid = DOMID_SELF;
    assert_int_equal(OP(XENMEM_current_reservation, a), 512);
    a.domid = 1;
    fake_enter_cpu(0, d1->vcpu[0]);
    assert_int_equal(OP(XENMEM_current_reservation, a), 700);
    a.domid = 0;
    assert_int_equal(OP(XENMEM_current_reservation, a), -EPERM);
    /* What does not exist. */
    assert_int_equal(op(XENMEM_get_sharing_freed_pages, NULL, 0), -ENOSYS);
    assert_int_equal(op(XENMEM_get_sharing_shared_pages, NULL, 0), -ENOSYS);
    assert_int_equal(op(XENMEM_machine_memory_map, NULL, 0), -ENOSYS);
    assert_int_equal(op(XENMEM_machphys_mapping, NULL, 0), -ENOSYS);
    assert_int_equal(op(XENMEM_get_vnumainfo, NULL, 0), -EOPNOTSUPP);
    assert_int_equal(op(63, NULL, 0), -ENOSYS);
    struct xen_memory_exchange x = { .in = { .nr_extents = 1 }, .out = { .nr_extents = 1 } };
    assert_int_equal(OP(XENMEM_exchange, x), -EOPNOTSUPP);
    assert_int_equal(x.nr_exchanged, 0);
    fake_enter_cpu(0, d0->vcpu[0]);
    struct xen_pod_target p = { .domid = 1, .target_pages = 5 };
    assert_int_equal(OP(XENMEM_set_pod_target, p), 0);
    assert_int_equal(OP(XENMEM_get_pod_target, p), 0);
    assert_int_equal(p.tot_pages, 700);
    assert_int_equal(p.pod_entries, 0);
}

static void test_memory_map(void **state)
{
    struct { u64 addr, size; u32 type; } __packed r[3],
        e[3] = { { 0, 0x10000, 1 }, { 0x10000, 0x1000, 2 }, { 5, 6, 7 } };
    struct xen_foreign_memory_map s = { .domid = 1, .map = { .nr_entries = 3 } };
    struct xen_memory_map m = { .nr_entries = 2 };

    setup(512, 64);
    fake_enter_cpu(0, d1->vcpu[0]);
    assert_int_equal(OP(XENMEM_memory_map, m), -ENOSYS);
    assert_int_equal(OP(XENMEM_set_memory_map, s), -EPERM);
    fake_enter_cpu(0, d0->vcpu[0]);
    assert_int_equal(guest_write(d0->vcpu[0], 0x12000, e, sizeof(e)), 0);
    s.map.buffer.p = (void *)0x12000;
    assert_int_equal(OP(XENMEM_set_memory_map, s), 0);
    s.map.nr_entries = 129;
    assert_int_equal(OP(XENMEM_set_memory_map, s), -EINVAL);
    fake_enter_cpu(0, d1->vcpu[0]);
    m.buffer.p = (void *)0x13000;
    assert_int_equal(OP(XENMEM_memory_map, m), 0);
    assert_int_equal(m.nr_entries, 2);
    m.nr_entries = 128;
    assert_int_equal(OP(XENMEM_memory_map, m), 0);
    assert_int_equal(m.nr_entries, 3);
    assert_int_equal(guest_read(d1->vcpu[0], r, 0x13000, sizeof(r)), 0);
    assert_memory_equal(r, e, sizeof(e));
    m.buffer.p = (void *)0xdead0000;
    assert_int_equal(OP(XENMEM_memory_map, m), -EFAULT);
}

static long add(u16 domid, unsigned space, u64 idx, u64 gpfn)
{
    struct xen_add_to_physmap a = { .domid = domid, .space = space, .idx = idx, .gpfn = gpfn };
    return OP(XENMEM_add_to_physmap, a);
}

static long rm(u16 domid, u64 gpfn)
{
    struct xen_remove_from_physmap a = { .domid = domid, .gpfn = gpfn };
    return OP(XENMEM_remove_from_physmap, a);
}

static void test_add_to_physmap(void **state)
{
    mfn_t m, si, x;

    setup(512, 1024);
    fake_enter_cpu(0, d1->vcpu[0]);
    si = virt_to_mfn(d1->shared_info);
    assert_int_equal(add(DOMID_SELF, XENMAPSPACE_shared_info, 0, 600), 0);      /* over RAM in a superpage */
    assert_int_equal(d1->tot_pages, 1023);
    assert_int_equal(type_at(d1, 600, &m), P2M_SPECIAL);
    assert_true(mfn_eq(m, si));
    assert_int_equal(d1->shared_info_gfn.n, 600);
    assert_int_equal(add(DOMID_SELF, XENMAPSPACE_shared_info, 0, 0xfc000), 0);  /* moves */
    assert_int_equal(type_at(d1, 600, NULL), P2M_NONE);
    assert_int_equal(type_at(d1, 0xfc000, NULL), P2M_SPECIAL);
    assert_int_equal(add(DOMID_SELF, XENMAPSPACE_shared_info, 0, 0xfc000), 0);  /* again */
    assert_int_equal(add(DOMID_SELF, XENMAPSPACE_shared_info, 1, 0xfc000), -EINVAL);
    assert_int_equal(mm_audit(), 0);
    /* Grant frames grow on demand; one over shared_info's place unhooks that. */
    assert_int_equal(add(1, XENMAPSPACE_grant_table, 2, 0xfc001), 0);
    assert_int_equal(grant_gfn[2], 0xfc001);
    assert_int_equal(add(1, XENMAPSPACE_grant_table, 2, 0xfc001), 0);
    assert_int_equal(add(1, XENMAPSPACE_grant_table, 1, 0xfc000), 0);
    assert_int_equal(add(1, XENMAPSPACE_shared_info, 0, 601), 0);
    assert_int_equal(add(1, XENMAPSPACE_grant_table, 4, 0xfc002), -EINVAL);
    assert_int_equal(add(1, XENMAPSPACE_grant_table, XENMAPIDX_grant_table_status, 0xfc002), -EINVAL);
    assert_int_equal(add(1, XENMAPSPACE_grant_table, 1ULL << 32, 0xfc002), -EINVAL);
    /* Decrease on such a frame only unhooks it (XSA-507). */
    u64 g = 0xfc001;
    assert_int_equal(reserve(XENMEM_decrease_reservation, 1, 0, &g, 1, 0), 1);
    assert_int_equal(type_at(d1, 0xfc001, NULL), P2M_NONE);
    assert_int_equal(d1->tot_pages, 1022);
    /* Moving RAM. */
    *(u64 *)fake_guest_ptr(d1, 77 << 12) = 0x7777;
    (void)type_at(d1, 77, &m);
    assert_int_equal(add(1, XENMAPSPACE_gmfn, 77, 0x100077), 0);
    assert_int_equal(type_at(d1, 77, NULL), P2M_NONE);
    assert_int_equal(type_at(d1, 0x100077, &x), P2M_RAM);
    assert_true(mfn_eq(m, x));
    assert_int_equal(*(u64 *)fake_guest_ptr(d1, 0x100077ULL << 12), 0x7777);
    assert_int_equal(add(1, XENMAPSPACE_gmfn, 77, 0x100078), -EINVAL);
    assert_int_equal(add(1, XENMAPSPACE_gmfn, 78, 79), 0);      /* replaces RAM */
    assert_int_equal(d1->tot_pages, 1021);
    assert_int_equal(add(1, XENMAPSPACE_gmfn, 80, 80), 0);
    assert_int_equal(add(1, XENMAPSPACE_gmfn, 80, 601), -EBUSY);
    assert_int_equal(add(1, XENMAPSPACE_gmfn_foreign, 80, 601), -ENOSYS);
    assert_int_equal(add(1, 99, 80, 601), -EINVAL);
    assert_int_equal(add(0, XENMAPSPACE_shared_info, 0, 5), -EPERM);
    assert_int_equal(add(1, XENMAPSPACE_shared_info, 0, ~0ULL), -EINVAL);
    struct xen_add_to_physmap r = { .domid = 1, .space = XENMAPSPACE_gmfn_range, .size = 40, .idx = 100,
                                    .gpfn = 0x200000 };
    assert_int_equal(OP(XENMEM_add_to_physmap, r), 0);
    assert_int_equal(type_at(d1, 0x200027, NULL), P2M_RAM);
    assert_int_equal(type_at(d1, 139, NULL), P2M_NONE);
    /* Removal. */
    assert_int_equal(rm(DOMID_SELF, 601), 0);
    assert_int_equal(d1->shared_info_gfn.n, ~0ULL);
    assert_int_equal(rm(DOMID_SELF, 601), -ENOENT);
    assert_int_equal(rm(DOMID_SELF, 200), 0);
    assert_int_equal(d1->tot_pages, 1020);
    assert_int_equal(rm(0, 3), -EPERM);
    assert_int_equal(mm_audit(), 0);
    /* dom0 on a guest's behalf (libxc's seeding of the grant table). */
    fake_enter_cpu(0, d0->vcpu[0]);
    assert_int_equal(add(1, XENMAPSPACE_grant_table, 0, 0xfd000), 0);
    assert_int_equal(rm(1, 0xfd000), 0);
    assert_int_equal(p2m_map_identity(d0, 0xfee00000, 0xfee01000, P2M_MMIO), 0);
    assert_int_equal(rm(0, 0xfee00), -EPERM);
    assert_int_equal(add(0, XENMAPSPACE_shared_info, 0, 0xfee00), -EBUSY);
    assert_int_equal(mm_audit(), 0);
}

static void test_foreign_batch(void **state)
{
    s32 errs[4];
    u64 idx[4] = { 5, 600, 9999, 6 }, gfn[4] = { 0x8000, 0x8001, 0x8002, 0x8000 };
    struct xen_add_to_physmap_batch b = { .domid = DOMID_SELF, .space = XENMAPSPACE_gmfn_foreign, .size = 4 };

    setup(512, 1024);
    b.u.foreign_domid = 1;
    b.idxs.p = (void *)0x11000;
    b.gpfns.p = (void *)0x11100;
    b.errs.p = (void *)0x11200;
    memset(errs, 0x5a, sizeof(errs));
    assert_int_equal(guest_write(d0->vcpu[0], 0x11000, idx, sizeof(idx)), 0);
    assert_int_equal(guest_write(d0->vcpu[0], 0x11100, gfn, sizeof(gfn)), 0);
    assert_int_equal(guest_write(d0->vcpu[0], 0x11200, errs, sizeof(errs)), 0);
    assert_int_equal(OP(XENMEM_add_to_physmap_batch, b), 0);
    assert_int_equal(guest_read(d0->vcpu[0], errs, 0x11200, sizeof(errs)), 0);
    assert_int_equal(errs[0], 0);
    assert_int_equal(errs[1], 0);
    assert_int_equal(errs[2], -EINVAL);         /* never -ENOENT: Linux would retry for ever */
    assert_int_equal(errs[3], 0);               /* over an earlier foreign page */
    assert_int_equal(mm_audit(), 0);
    char *p = fake_guest_ptr(d0, 0x8000000);
    assert_ptr_equal(p, fake_guest_ptr(d1, 0x6000));
    assert_int_equal(d1->zombie_pages, 0);
    /* The guest gives one of them up; it is freed when dom0 lets go. */
    u64 g = 600;
    assert_int_equal(reserve(XENMEM_decrease_reservation, 1, 0, &g, 1, 0), 1);
    assert_int_equal(d1->zombie_pages, 1);
    assert_int_equal(rm(DOMID_SELF, 0x8001), 0);
    assert_int_equal(d1->zombie_pages, 0);
    assert_int_equal(rm(DOMID_SELF, 0x8000), 0);
    assert_int_equal(mm_audit(), 0);
    /* Who may. */
    b.u.foreign_domid = 0;
    assert_int_equal(OP(XENMEM_add_to_physmap_batch, b), -EINVAL);
    b.u.foreign_domid = 3;
    assert_int_equal(OP(XENMEM_add_to_physmap_batch, b), -ESRCH);
    b.space = XENMAPSPACE_shared_info;
    assert_int_equal(OP(XENMEM_add_to_physmap_batch, b), -EINVAL);
    b.space = XENMAPSPACE_gmfn_foreign;
    b.u.foreign_domid = 1;
    b.errs.p = (void *)0xdead0000000;
    assert_int_equal(OP(XENMEM_add_to_physmap_batch, b), -EFAULT);
    b.u.foreign_domid = 0;
    fake_enter_cpu(0, d1->vcpu[0]);
    assert_int_equal(OP(XENMEM_add_to_physmap_batch, b), -EPERM);
    mm_audit();
}

/* Every allocation fails once during a foreign map: an error, nothing mapped, no reference left. */
static void test_foreign_failures(void **state)
{
    for (unsigned k = 1; ; k++) {
        s32 err = 99;
        u64 idx = 5, gfn = 0x12345678;
        struct xen_add_to_physmap_batch b = { .domid = 0, .space = XENMAPSPACE_gmfn_foreign, .size = 1 };
        setup(512, 1024);
        b.u.foreign_domid = 1;
        b.idxs.p = (void *)0x11000;
        b.gpfns.p = (void *)0x11100;
        b.errs.p = (void *)0x11200;
        assert_int_equal(guest_write(d0->vcpu[0], 0x11000, &idx, 8), 0);
        assert_int_equal(guest_write(d0->vcpu[0], 0x11100, &gfn, 8), 0);
        fake_fail_at(k);
        assert_int_equal(OP(XENMEM_add_to_physmap_batch, b), 0);
        bool failed = fake_failed();
        fake_fail_at(0);
        assert_int_equal(guest_read(d0->vcpu[0], &err, 0x11200, 4), 0);
        assert_int_equal(err, failed ? -ENOMEM : 0);
        assert_int_equal(type_at(d0, gfn, NULL), failed ? P2M_NONE : P2M_FOREIGN);
        assert_int_equal(mm_audit(), 0);
        if (!failed)
            break;
        assert_true(k < 20);
    }
}

static void test_acquire(void **state)
{
    struct xen_mem_acquire_resource a = { .domid = 1, .type = XENMEM_resource_grant_table };
    u64 g[4] = { 0x9000, 0x9001, 0x9002, 0xfee00 };

    setup(512, 1024);
    assert_int_equal(OP(XENMEM_acquire_resource, a), 0);        /* size query */
    assert_int_equal(a.nr_frames, 4);
    a.frame_list.p = (void *)list(g, 4);
    a.nr_frames = 3;
    assert_int_equal(OP(XENMEM_acquire_resource, a), 0);
    assert_int_equal(type_at(d0, 0x9002, NULL), P2M_SPECIAL);
    assert_int_equal(mm_audit(), 0);
    a.nr_frames = 5;
    assert_int_equal(OP(XENMEM_acquire_resource, a), -EINVAL);
    a.nr_frames = 1;
    a.frame = ~0ULL;
    assert_int_equal(OP(XENMEM_acquire_resource, a), -EINVAL);
    a.frame = 4;
    assert_int_equal(OP(XENMEM_acquire_resource, a), -EINVAL);
    a.frame = 0;
    a.pad = 1;
    assert_int_equal(OP(XENMEM_acquire_resource, a), -EINVAL);
    a.pad = 0;
    a.id = 1;
    assert_int_equal(OP(XENMEM_acquire_resource, a), -EINVAL);
    a.id = 0;
    a.type = XENMEM_resource_ioreq_server;
    assert_int_equal(OP(XENMEM_acquire_resource, a), -EOPNOTSUPP);
    a.type = XENMEM_resource_grant_table;
    a.frame_list.p = NULL;
    assert_int_equal(OP(XENMEM_acquire_resource, a), -EINVAL);
    /* Partly mapped: -EIO. */
    assert_int_equal(p2m_map_identity(d0, 0xfee00000, 0xfee01000, P2M_MMIO), 0);
    a.frame_list.p = (void *)(list(g, 4) + 16);
    a.nr_frames = 2;
    assert_int_equal(OP(XENMEM_acquire_resource, a), -EIO);
    fake_enter_cpu(0, d1->vcpu[0]);
    assert_int_equal(OP(XENMEM_acquire_resource, a), -EPERM);
    fake_enter_cpu(0, d0->vcpu[0]);
    /* The frames' owner goes; dom0's mappings stay valid until removed. */
    for (unsigned i = 0; i < 3; i++)
        page_free(grant_frames[i]);
    mm_audit();
    *(u64 *)fake_guest_ptr(d0, 0x9001000) = 5;
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(rm(0, 0x9000 + i), 0);
    assert_int_equal(mm_audit(), 0);
}

static void test_claim(void **state)
{
    struct xen_memory_reservation r = { .nr_extents = 2000, .domid = 1 };

    setup(512, 1024);
    assert_int_equal(OP(XENMEM_claim_pages, r), 0);
    assert_int_equal(d1->outstanding, 2000 - 1024);
    assert_int_equal(OP(XENMEM_claim_pages, r), -EINVAL);
    r.nr_extents = 0;
    assert_int_equal(OP(XENMEM_claim_pages, r), 0);
    assert_int_equal(d1->outstanding, 0);
    r.extent_order = 1;
    assert_int_equal(OP(XENMEM_claim_pages, r), -EINVAL);
}

/* No IOMMU: what dom0 balloons out comes back as the same frame. */
static void test_keep(void **state)
{
    u64 g[2] = { MiB(4) >> 12, (MiB(4) >> 12) + 9 };
    mfn_t m;

    fake_machine_init(128, 1);
    memset(grant_frames, 0, sizeof(grant_frames));
    d1 = fake_domain(1, 16);
    dom0_keep_frames = true;
    d0 = fake_domain(0, 0);
    d0->max_pages = ~0ULL;
    assert_true(dom_ram_take(d0, 0x10000, 0x20000));
    assert_true(dom_ram_take(d0, MiB(4), MiB(8)));
    assert_int_equal(p2m_map_identity(d0, 0x10000, 0x20000, P2M_RAM), 0);
    assert_int_equal(p2m_map_identity(d0, MiB(4), MiB(8), P2M_RAM), 0);
    fake_enter_cpu(0, d0->vcpu[0]);
    u64 free = ram_free_pages();
    assert_int_equal(reserve(XENMEM_decrease_reservation, 0, 0, g, 2, 0), 2);
    assert_int_equal(ram_free_pages(), free);           /* the table was committed, and no frame came free */
    *(u64 *)frame_map(MFN(g[0])) = 1;
    assert_int_equal(reserve(XENMEM_populate_physmap, 0, 0, g, 2, 0), 2);
    assert_int_equal(type_at(d0, g[0], &m), P2M_RAM);
    assert_int_equal(m.n, g[0]);
    assert_int_equal(*(u64 *)frame_map(MFN(g[0])), 0);
    assert_int_equal(mm_audit(), 0);
}

/* Random sequences from both domains; the invariants hold after each. */
static void test_random(void **state)
{
    static const u64 gfns[] = { 0, 3, 20, 21, 511, 512, 513, 1024, 1500, 0x8000, 0x8001, 0x40000,
                                 0xfee00, ~0ULL >> 12 };
    u64 g[4];

    setup(1024, 1024);
    srand(11);
    for (unsigned step = 0; step < 4000; step++) {
        u16 who = rand() % 2;
        for (unsigned i = 0; i < 4; i++)
            do
                g[i] = gfns[(unsigned)rand() % ARRAY_SIZE(gfns)] + (unsigned)rand() % 3;
            while (g[i] == 0x10 || g[i] == 0x11 || g[i] == 0x12);
        fake_enter_cpu(0, who ? d1->vcpu[0] : d0->vcpu[0]);
        if (rand() % 10 == 0)
            fake_fail_at(1 + (unsigned)rand() % 5);
        static const unsigned orders[] = { 0, 0, 0, 0, 1, 3, 9 };
        struct xen_add_to_physmap_batch b = { .domid = 0, .space = XENMAPSPACE_gmfn_foreign, .size = 4 };
        unsigned order = orders[rand() % 7];
        if (g[0] < 0x20 || g[1] < 0x20)
            order = 0;          /* keep the pages with the arguments */
        switch (rand() % 6) {
        case 0: reserve(XENMEM_populate_physmap, DOMID_SELF, order, g, 2, 0); break;
        case 1: reserve(XENMEM_decrease_reservation, who, order, g, 2, 0); break;
        case 2:
            add(DOMID_SELF, (unsigned)rand() % 3, rand() % 2 ? g[0] : (unsigned)rand() % 5, g[1]);
            break;
        case 3: rm(DOMID_SELF, g[2]); break;
        case 4: {
            struct xen_remove_from_physmap a = { .domid = 1, .gpfn = g[3] };
            if (!who)
                OP(XENMEM_remove_from_physmap, a);
            break;
        }
        case 5:
            b.u.foreign_domid = 1;
            b.idxs.p = (void *)list(g, 4);
            b.gpfns.p = (void *)(0x11000 + 8);
            b.errs.p = (void *)0x11800;
            if (!who) {
                b.size = 3;
                OP(XENMEM_add_to_physmap_batch, b);
            }
            break;
        }
        fake_fail_at(0);
        if (step % 20 == 0)
            assert_int_equal(mm_audit(), 0);
    }
    fake_enter_cpu(0, NULL);
    fake_domain_destroy(d0);
    assert_int_equal(mm_audit(), 0);
    assert_int_equal(d1->zombie_pages, 0);
    fake_domain_destroy(d1);
    assert_int_equal(mm_audit(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_populate), cmocka_unit_test(test_reservation_arguments),
        cmocka_unit_test(test_decrease), cmocka_unit_test(test_populate_undo_with_iommu),
        cmocka_unit_test(test_continuation), cmocka_unit_test(test_queries), cmocka_unit_test(test_memory_map),
        cmocka_unit_test(test_add_to_physmap), cmocka_unit_test(test_foreign_batch),
        cmocka_unit_test(test_foreign_failures), cmocka_unit_test(test_acquire), cmocka_unit_test(test_claim),
        cmocka_unit_test(test_keep), cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
