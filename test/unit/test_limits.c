/* SPDX-License-Identifier: MIT */
/* Calls at their limits: values that just fit and just do not, domains in states that calls rarely meet them in, long
 * lists that interrupts cut into pieces. */
#include <string.h>
#include "call_env.h"
#include "call/abi.h"
#include "call/cpupolicy.h"
#include "call/vcpuctx.h"
#include "debug/console.h"
#include "evtchn/evtchn.h"
#include "hvm/hvm_vcpu.h"
#include "hvm/vlapic.h"
#include "mm/block.h"
#include "mm/p2m.h"
#include "mm_audit.h"

/* SPEC_CTRL, in place of the vendor's state. */
static u64 spec_value;
int svm_rdmsr(struct vcpu *v, u32 msr, u64 *val)
{
    *val = spec_value;
    return msr == 0x48 ? 0 : -ENOENT;
}
int svm_wrmsr(struct vcpu *v, u32 msr, u64 val)
{
    if (msr != 0x48)
        return -ENOENT;
    spec_value = val;
    return val > 7 ? -EINVAL : 0;
}

static bool irq_every_time(void)
{
    this_cpu()->irq_seen = true;
    return true;
}
/* A call whose every look for interrupts finds one; *rounds: how often it was entered. */
static long cut(unsigned nr, u64 a0, u64 a1, u64 a2, unsigned *rounds)
{
    struct vcpu_regs *r = &caller->regs;

    r->rax = nr;
    r->rdi = a0;
    r->rsi = a1;
    r->rdx = a2;
    fake_irq_window_hook = irq_every_time;
    for (*rounds = 1; !call_dispatch(caller); ++*rounds)
        assert_true(*rounds < 10000);
    fake_irq_window_hook = NULL;
    this_cpu()->irq_seen = false;
    return (long)r->rax;
}

static struct domain *guest(u64 pages)
{
    struct domain *d = fake_domain_vcpus(7, pages, 2);

    d->max_pages += 1024;
    assert_int_equal(p2m_pool_set(d, MiB(4)), 0);
    return d;
}

static long mem(unsigned cmd, void *arg, size_t size)
{
    gva_t at;
    void *p = guest_buf(size, &at);

    memcpy(p, arg, size);
    long rc = hypercall(__HYPERVISOR_memory_op, cmd, at, 0);
    memcpy(arg, p, size);
    return rc;
}
#define MEM(cmd, a) mem(cmd, &(a), sizeof(a))
static u64 *list(unsigned n, gva_t *at) { return guest_buf(n * sizeof(u64), at); }

/* ---- memory_op ---- */
static void who_may_name_whom(void **st)
{
    struct domain *g = guest(16), *t = fake_domain(8, 16);
    struct xen_memory_domain a = { .domid = 8 };

    assert_int_equal(MEM(XENMEM_current_reservation, a), 16);
    a.domid = 99;
    assert_int_equal(MEM(XENMEM_current_reservation, a), -ESRCH);
    vcpu_set_up(g->vcpu[0]);
    domain_unpause(g);
    env_domain_caller(g);
    struct xen_memory_domain *p = fake_guest_ptr(g, 0x1000);
    static const struct { u16 id; bool target; long rc; } rows[] = {
        { DOMID_SELF, false, 16 }, { 7, false, 16 }, { 8, false, -EPERM }, { 99, false, -EPERM }, { 8, true, 16 }, { 0, true, -EPERM },
    };
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        g->target = rows[i].target ? t : NULL;
        p->domid = rows[i].id;
        assert_int_equal(hypercall(__HYPERVISOR_memory_op, XENMEM_current_reservation, 0x1000, 0), rows[i].rc);
        p->domid = rows[i].id;
        long max = hypercall(__HYPERVISOR_memory_op, XENMEM_maximum_gpfn, 0x1000, 0);
        assert_int_equal(max, rows[i].rc < 0 ? rows[i].rc : 15);
        p->domid = rows[i].id;
        assert_int_equal(hypercall(__HYPERVISOR_memory_op, XENMEM_set_pod_target, 0x1000, 0), -EPERM);
        /* Grant frames as a resource are for controllers only. */
        struct xen_mem_acquire_resource *r = fake_guest_ptr(g, 0x2000);
        *r = (struct xen_mem_acquire_resource){ .domid = rows[i].id, .type = XENMEM_resource_grant_table };
        assert_int_equal(hypercall(__HYPERVISOR_memory_op, XENMEM_acquire_resource, 0x2000, 0),
                         rows[i].id == 8 && rows[i].target ? 0 : -EPERM);
    }
    g->target = NULL;
    env_domain_caller(dom0);
    struct xen_mem_acquire_resource r = { .domid = 99, .type = XENMEM_resource_grant_table };
    assert_int_equal(MEM(XENMEM_acquire_resource, r), -ESRCH);
    struct xen_reserved_device_memory_map rdm = { .nr_entries = 5 };
    assert_int_equal(MEM(XENMEM_reserved_device_memory_map, rdm), 0);
    assert_int_equal(rdm.nr_entries, 0);
    struct xen_pod_target pod = { .domid = 99 };
    assert_int_equal(MEM(XENMEM_get_pod_target, pod), -ESRCH);
    struct xen_foreign_memory_map map = { .domid = 99 };
    assert_int_equal(MEM(XENMEM_set_memory_map, map), -ESRCH);
    map = (struct xen_foreign_memory_map){ .domid = 7, .map.nr_entries = 129 };
    assert_int_equal(MEM(XENMEM_set_memory_map, map), -EINVAL);
    map.map.nr_entries = 1;
    map.map.buffer.p = (void *)BAD_GVA;
    assert_int_equal(MEM(XENMEM_set_memory_map, map), -EFAULT);
    map.map.nr_entries = 0;
    assert_int_equal(MEM(XENMEM_set_memory_map, map), 0);
    struct xen_memory_reservation res = { .domid = 99, .nr_extents = 1 };
    assert_int_equal(MEM(XENMEM_populate_physmap, res), -ESRCH);
    assert_int_equal(MEM(XENMEM_decrease_reservation, res), -ESRCH);
    assert_int_equal(MEM(XENMEM_increase_reservation, res), -ESRCH);
    assert_int_equal(MEM(XENMEM_claim_pages, res), -ESRCH);
    res.domid = 7;
    assert_int_equal(MEM(XENMEM_increase_reservation, res), 0);
    res.extent_order = 1;
    assert_int_equal(MEM(XENMEM_claim_pages, res), -EINVAL);
    res.extent_order = 0;
    res.mem_flags = 1;
    assert_int_equal(MEM(XENMEM_claim_pages, res), -EINVAL);
}

/* Arrays of numbers that end at the end of the address space, or before their last entry. */
static void ends_of_arrays(void **st)
{
    struct domain *g = guest(16);
    struct xen_memory_reservation r = { .domid = 7, .nr_extents = 4 };

    r.extent_start.p = (void *)(~0ULL - 15);
    assert_int_equal(MEM(XENMEM_populate_physmap, r), -EFAULT);
    assert_int_equal(MEM(XENMEM_decrease_reservation, r), -EFAULT);
    r.extent_start.p = (void *)(~0ULL - 3);
    assert_int_equal(MEM(XENMEM_populate_physmap, r), -EFAULT);
    /* The last page of dom0's RAM holds two entries of four: those two are done, and counted. */
    gva_t end = MiB(8) - 16;
    u64 *tail = fake_guest_ptr(dom0, end);
    tail[0] = 0x100;
    tail[1] = 0x101;
    r.extent_start.p = (void *)end;
    for (unsigned pieces = 0; pieces < 2; pieces++) {       /* whether an interrupt comes between or not */
        this_cpu()->resched = pieces;
        assert_int_equal(MEM(XENMEM_populate_physmap, r), 2);
        assert_int_equal(g->tot_pages, 18);
        this_cpu()->resched = pieces;
        assert_int_equal(MEM(XENMEM_decrease_reservation, r), 2);
        assert_int_equal(g->tot_pages, 16);
    }
    this_cpu()->resched = false;
    /* Batches have three lists, each of which may end. */
    gva_t idx, gfn, err;
    u64 *i = list(4, &idx), *p = list(4, &gfn);
    list(4, &err);
    for (unsigned k = 0; k < 4; k++) {
        i[k] = k;
        p[k] = 0x3000 + k;
    }
    struct xen_add_to_physmap_batch b = { .domid = DOMID_SELF, .space = XENMAPSPACE_gmfn_foreign, .size = 4,
                                          .u.foreign_domid = 7 };
    for (unsigned which = 0; which < 3; which++) {
        b.idxs.p = (void *)(which == 0 ? BAD_GVA : idx);
        b.gpfns.p = (void *)(which == 1 ? ~0ULL - 7 : gfn);
        b.errs.p = (void *)(which == 2 ? BAD_GVA : err);
        assert_int_equal(MEM(XENMEM_add_to_physmap_batch, b), -EFAULT);
    }
    struct xen_remove_from_physmap rem = { .domid = DOMID_SELF, .gpfn = 0x3000 };
    assert_int_equal(MEM(XENMEM_remove_from_physmap, rem), 0);         /* what the third one had mapped */
    assert_int_equal(MEM(XENMEM_remove_from_physmap, rem), -ENOENT);
    rem.domid = 99;
    assert_int_equal(MEM(XENMEM_remove_from_physmap, rem), -ESRCH);
}

static void odd_spaces(void **st)
{
    guest(16);
    struct xen_add_to_physmap a = { .domid = 99, .space = XENMAPSPACE_shared_info };
    assert_int_equal(MEM(XENMEM_add_to_physmap, a), -ESRCH);
    a = (struct xen_add_to_physmap){ .domid = 7, .space = 77 };
    assert_int_equal(MEM(XENMEM_add_to_physmap, a), -EINVAL);
    a.space = XENMAPSPACE_gmfn_foreign;
    assert_int_equal(MEM(XENMEM_add_to_physmap, a), -ENOSYS);
    a.space = XENMAPSPACE_grant_table;
    a.idx = XENMAPIDX_grant_table_status;
    assert_int_equal(MEM(XENMEM_add_to_physmap, a), -EINVAL);
    a.idx = 1ULL << 32;
    assert_int_equal(MEM(XENMEM_add_to_physmap, a), -EINVAL);
    a.space = XENMAPSPACE_shared_info;
    a.idx = 1;
    assert_int_equal(MEM(XENMEM_add_to_physmap, a), -EINVAL);
    struct xen_add_to_physmap_batch b = { .domid = 7, .space = XENMAPSPACE_gmfn_range, .size = 1 };
    assert_int_equal(MEM(XENMEM_add_to_physmap_batch, b), -EINVAL);
    b.space = XENMAPSPACE_gmfn;
    b.u.res0 = 1;
    assert_int_equal(MEM(XENMEM_add_to_physmap_batch, b), -EINVAL);
    b.u.res0 = 0;
    b.domid = 99;
    assert_int_equal(MEM(XENMEM_add_to_physmap_batch, b), -ESRCH);
    b = (struct xen_add_to_physmap_batch){ .domid = 7, .space = XENMAPSPACE_gmfn_foreign, .size = 1, .u.foreign_domid = 0 };
    assert_int_equal(MEM(XENMEM_add_to_physmap_batch, b), -EINVAL);    /* the caller's own */
    b.u.foreign_domid = DOMID_SELF;
    assert_int_equal(MEM(XENMEM_add_to_physmap_batch, b), -EINVAL);
    b.u.foreign_domid = 99;
    assert_int_equal(MEM(XENMEM_add_to_physmap_batch, b), -ESRCH);
    /* A domain's own page as a foreign one: the entry fails. */
    gva_t idx, gfn, err;
    *list(1, &idx) = 3;
    *list(1, &gfn) = 0x3000;
    u64 *e = list(1, &err);
    b.u.foreign_domid = 7;
    b.idxs.p = (void *)idx;
    b.gpfns.p = (void *)gfn;
    b.errs.p = (void *)err;
    assert_int_equal(MEM(XENMEM_add_to_physmap_batch, b), 0);
    assert_int_equal((s32)*e, -EINVAL);
    struct xen_memory_reservation r = { .domid = 7, .nr_extents = 1, .mem_flags = XENMEMF_vnode };
    assert_int_equal(MEM(XENMEM_populate_physmap, r), -EINVAL);
    r.mem_flags = XENMEMF_node(1);
    assert_int_equal(MEM(XENMEM_populate_physmap, r), -EINVAL);
    r.mem_flags = 1u << 31;
    assert_int_equal(MEM(XENMEM_populate_physmap, r), -EINVAL);
    r.mem_flags = XENMEMF_populate_on_demand;
    assert_int_equal(MEM(XENMEM_populate_physmap, r), -EOPNOTSUPP);
    r = (struct xen_memory_reservation){ .domid = 7, .nr_extents = ~0ULL };
    assert_int_equal(MEM(XENMEM_populate_physmap, r), -EINVAL);
    r = (struct xen_memory_reservation){ .domid = 7, .nr_extents = 1, .extent_order = 19 };
    assert_int_equal(MEM(XENMEM_populate_physmap, r), -EINVAL);
}

/* Lists of 100 entries in pieces; the result is as if in one. */
static void long_lists(void **st)
{
    struct domain *g = guest(128);
    gva_t at, gat, eat;
    u64 *p = list(100, &at), *gf = list(100, &gat);
    unsigned rounds;
    gva_t arg;

    list(100, &eat);
    struct xen_memory_reservation *r = guest_buf(sizeof(*r), &arg);
    *r = (struct xen_memory_reservation){ .domid = 7, .nr_extents = 100 };
    r->extent_start.p = (void *)at;
    for (unsigned i = 0; i < 100; i++)
        p[i] = 0x1000 + i * 3;
    assert_int_equal(cut(__HYPERVISOR_memory_op, XENMEM_populate_physmap, arg, 0, &rounds), 100);
    assert_int_equal(rounds, 100);
    assert_int_equal(g->tot_pages, 228);
    assert_int_equal(cut(__HYPERVISOR_memory_op, XENMEM_decrease_reservation, arg, 0, &rounds), 100);
    assert_int_equal(rounds, 2);
    assert_int_equal(g->tot_pages, 128);
    struct xen_add_to_physmap_batch *b = guest_buf(sizeof(*b), &arg);
    *b = (struct xen_add_to_physmap_batch){ .domid = DOMID_SELF, .space = XENMAPSPACE_gmfn_foreign, .size = 100,
                                            .u.foreign_domid = 7 };
    b->idxs.p = (void *)at;
    b->gpfns.p = (void *)gat;
    b->errs.p = (void *)eat;
    for (unsigned i = 0; i < 100; i++) {
        p[i] = i;
        gf[i] = 0x4000 + i;
    }
    assert_int_equal(cut(__HYPERVISOR_memory_op, XENMEM_add_to_physmap_batch, arg, 0, &rounds), 0);
    assert_int_equal(rounds, 7);
    for (unsigned i = 0; i < 100; i++) {
        enum p2m_type t;
        p2m_lookup(dom0, GFN(0x4000 + i), &t, NULL);
        assert_int_equal(t, P2M_FOREIGN);
        struct xen_remove_from_physmap rem = { .domid = DOMID_SELF, .gpfn = 0x4000 + i };
        assert_int_equal(MEM(XENMEM_remove_from_physmap, rem), 0);
    }
    struct xen_add_to_physmap *a = guest_buf(sizeof(*a), &arg);
    *a = (struct xen_add_to_physmap){ .domid = 7, .space = XENMAPSPACE_gmfn_range, .size = 40, .idx = 60, .gpfn = 0x5000 };
    assert_int_equal(cut(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, arg, 0, &rounds), 0);
    assert_int_equal(rounds, 3);
    for (unsigned i = 0; i < 40; i++) {
        enum p2m_type t;
        p2m_lookup(g, GFN(0x5000 + i), &t, NULL);
        assert_int_equal(t, P2M_RAM);
    }
    struct xen_mem_acquire_resource *q = guest_buf(sizeof(*q), &arg);
    *q = (struct xen_mem_acquire_resource){ .domid = 7, .type = XENMEM_resource_grant_table, .nr_frames = 40 };
    q->frame_list.p = (void *)gat;
    assert_int_equal(cut(__HYPERVISOR_memory_op, XENMEM_acquire_resource, arg, 0, &rounds), 0);
    assert_int_equal(rounds, 3);
    for (unsigned i = 0; i < 40; i++) {
        struct xen_remove_from_physmap rem = { .domid = DOMID_SELF, .gpfn = 0x4000 + i };
        assert_int_equal(MEM(XENMEM_remove_from_physmap, rem), 0);
    }
}

/* Without an IOMMU dom0 gets the frame back that it gave up, if it is free and asks for it by its number. */
static void same_frames_for_dom0(void **st)
{
    struct xen_memory_reservation r = { .domid = DOMID_SELF, .nr_extents = 1 };
    gva_t at;
    u64 *p = list(1, &at);
    enum p2m_type t;

    dom0_keep_frames = true;
    dom0->max_pages = dom0->tot_pages + 16;
    u64 gfn = 0x3f0;
    mfn_t m = p2m_lookup(dom0, GFN(gfn), &t, NULL);
    r.extent_start.p = (void *)at;
    *p = gfn;
    assert_int_equal(MEM(XENMEM_decrease_reservation, r), 1);
    *p = m.n;                                       /* 1:1 */
    assert_int_equal(MEM(XENMEM_populate_physmap, r), 1);
    assert_int_equal(p2m_lookup(dom0, GFN(m.n), &t, NULL).n, m.n);
    *p = gfn = virt_to_mfn(dom0->shared_info).n;    /* not free: any other */
    assert_true(gfn > dom0->tot_pages);
    assert_int_equal(MEM(XENMEM_populate_physmap, r), 1);
    m = p2m_lookup(dom0, GFN(gfn), &t, NULL);
    assert_true(t == P2M_RAM && m.n != gfn);
    *p = 1ULL << 40;                                /* no frame has this number */
    assert_int_equal(MEM(XENMEM_populate_physmap, r), 0);
    dom0_keep_frames = false;
}

/* ---- domctl ---- */
static void settings_of_dom0(void **st)
{
    struct xen_domctl op = { 0 };

    assert_int_equal(call_domctl(XEN_DOMCTL_destroydomain, 0, &op), -EINVAL);
    memset(&op, 0, sizeof(op));
    assert_int_equal(call_domctl(XEN_DOMCTL_set_cpu_policy, 0, &op), -EINVAL);
    guest(16);
    memset(&op, 0, sizeof(op));
    op.u.set_target.target = 0;
    assert_int_equal(call_domctl(XEN_DOMCTL_set_target, 7, &op), -EINVAL);
    op.u.set_target.target = 7;
    assert_int_equal(call_domctl(XEN_DOMCTL_set_target, 0, &op), -EINVAL);
    assert_int_equal(call_domctl(XEN_DOMCTL_set_target, 7, &op), -EINVAL);
    memset(&op, 0, sizeof(op));
    for (u32 cmd = XEN_DOMCTL_gdbsx_guestmemio; cmd <= XEN_DOMCTL_gdbsx_domstatus; cmd++)
        assert_int_equal(call_domctl(cmd, 7, &op), -EOPNOTSUPP);
    assert_int_equal(call_domctl(XEN_DOMCTL_gdbsx_domstatus + 1, 7, &op), -ENOSYS);
}

static void infos(void **st)
{
    struct domain *g = guest(16);
    struct xen_domctl op = { 0 };

    g->create_flags |= XEN_DOMCTL_CDF_xs_domain;
    for (unsigned i = 0; i < 2; i++) {
        vcpu_set_up(g->vcpu[i]);
        atomic_or(&g->vcpu[i]->flags, VF_BLOCKED);
    }
    assert_int_equal(call_domctl(XEN_DOMCTL_getdomaininfo, 7, &op), 0);
    assert_true(op.u.getdomaininfo.flags & XEN_DOMINF_blocked && op.u.getdomaininfo.flags & XEN_DOMINF_xs_domain);
    assert_int_equal(op.u.getdomaininfo.nr_online_vcpus, 2);
    vcpu_wake(g->vcpu[1]);
    assert_int_equal(call_domctl(XEN_DOMCTL_getdomaininfo, 7, &op), 0);
    assert_false(op.u.getdomaininfo.flags & XEN_DOMINF_blocked);
    vcpu_set_down(g->vcpu[1]);
    struct vcpu *hole = g->vcpu[1];
    g->vcpu[1] = NULL;                              /* not made yet */
    assert_int_equal(call_domctl(XEN_DOMCTL_getdomaininfo, 7, &op), 0);
    assert_true(op.u.getdomaininfo.max_vcpu_id == 0 && op.u.getdomaininfo.flags & XEN_DOMINF_blocked);
    g->vcpu[1] = hole;
    spin_lock(&g->lock);
    g->ctl_pauses = 1u << 24;
    spin_unlock(&g->lock);
    assert_int_equal(call_domctl(XEN_DOMCTL_pausedomain, 7, &op), -EOVERFLOW);
    g->ctl_pauses = 1;
}

static void tsc_and_sizes(void **st)
{
    struct domain *g = guest(16);
    struct xen_domctl op = { 0 };
    static const struct { u32 khz; bool warns; } t[] = {
        { 0, false }, { 1000000, false }, { 1000999, false }, { 1001001, true }, { 999001, false }, { 998999, true },
    };

    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        fake_log_clear();
        op.u.tsc_info = (struct xen_domctl_tsc_info){ .tsc_mode = 2, .gtsc_khz = t[i].khz };
        assert_int_equal(call_domctl(XEN_DOMCTL_settscinfo, 7, &op), 0);
        assert_int_equal(strstr(fake_log, "saved with a TSC of") != NULL, t[i].warns);
    }
    op.u.tsc_info.tsc_mode = 3;
    assert_int_equal(call_domctl(XEN_DOMCTL_settscinfo, 7, &op), -EINVAL);
    op.u.address_size.size = 64;
    assert_int_equal(call_domctl(XEN_DOMCTL_set_address_size, 7, &op), 0);
    op.u.address_size.size = 32;
    assert_int_equal(call_domctl(XEN_DOMCTL_set_address_size, 7, &op), -EINVAL);
    memset(&op, 0, sizeof(op));
    op.u.shadow_op.op = XEN_DOMCTL_SHADOW_OP_SET_ALLOCATION;
    op.u.shadow_op.mb = 5;
    assert_int_equal(call_domctl(XEN_DOMCTL_shadow_op, 7, &op), 0);
    assert_int_equal(p2m_pool_get(g), MiB(5));
    g->state = DOM_DYING;                           /* its pool is being given back */
    op.u.shadow_op.op = XEN_DOMCTL_SHADOW_OP_SET_ALLOCATION;
    assert_int_equal(call_domctl(XEN_DOMCTL_shadow_op, 7, &op), -EINVAL);
    g->state = DOM_ALIVE;
}

static void affinities(void **st)
{
    guest(16);
    struct xen_domctl op = { 0 };
    gva_t at;
    u64 *bits = list(1, &at);
    struct xen_domctl_vcpuaffinity *a = &op.u.vcpuaffinity;
    struct xenctl_bitmap map = { .nr_bits = 4 }, none = { .nr_bits = 0 };

    map.bitmap.p = (void *)at;
    *bits = 3;
    *a = (struct xen_domctl_vcpuaffinity){ .flags = XEN_VCPUAFFINITY_SOFT, .cpumap_soft = map };
    assert_int_equal(call_domctl(XEN_DOMCTL_setvcpuaffinity, 7, &op), 0);
    assert_int_equal(*(u8 *)bits, 3);
    *a = (struct xen_domctl_vcpuaffinity){ .flags = XEN_VCPUAFFINITY_HARD | XEN_VCPUAFFINITY_SOFT | XEN_VCPUAFFINITY_FORCE,
                                           .cpumap_soft = map, .cpumap_hard = map };
    assert_int_equal(call_domctl(XEN_DOMCTL_setvcpuaffinity, 7, &op), 0);
    static const u32 bad[] = { 0, XEN_VCPUAFFINITY_FORCE, 8, 8 | XEN_VCPUAFFINITY_HARD };
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        *a = (struct xen_domctl_vcpuaffinity){ .flags = bad[i], .cpumap_soft = map, .cpumap_hard = map };
        assert_int_equal(call_domctl(XEN_DOMCTL_setvcpuaffinity, 7, &op), -EINVAL);
        a->flags = bad[i];
        assert_int_equal(call_domctl(XEN_DOMCTL_getvcpuaffinity, 7, &op), -EINVAL);
    }
    *a = (struct xen_domctl_vcpuaffinity){ .flags = XEN_VCPUAFFINITY_HARD, .cpumap_hard = none };
    assert_int_equal(call_domctl(XEN_DOMCTL_setvcpuaffinity, 7, &op), -EINVAL);
    map.bitmap.p = (void *)BAD_GVA;
    for (u32 f = XEN_VCPUAFFINITY_HARD; f <= XEN_VCPUAFFINITY_SOFT; f <<= 1) {
        *a = (struct xen_domctl_vcpuaffinity){ .flags = f, .cpumap_soft = map, .cpumap_hard = map };
        assert_int_equal(call_domctl(XEN_DOMCTL_setvcpuaffinity, 7, &op), -EFAULT);
        a->flags = f;
        assert_int_equal(call_domctl(XEN_DOMCTL_getvcpuaffinity, 7, &op), -EFAULT);
    }
    *a = (struct xen_domctl_vcpuaffinity){ .vcpu = 2, .flags = XEN_VCPUAFFINITY_HARD };
    assert_int_equal(call_domctl(XEN_DOMCTL_getvcpuaffinity, 7, &op), -EINVAL);
}

/* ---- CPU policies ---- */
static void policy_msrs(void **st)
{
    u16 id = create_pvh(1);
    struct xen_domctl op = { 0 };
    struct xen_domctl_cpu_policy *a = &op.u.cpu_policy;
    gva_t at;
    xen_msr_entry_t *m = guest_buf(2 * sizeof(*m), &at);

    m[0] = (xen_msr_entry_t){ .idx = 0xce, .val = 0 };
    m[1] = (xen_msr_entry_t){ .idx = 0x10a, .val = 0x1234567800000001 };
    *a = (struct xen_domctl_cpu_policy){ .nr_msrs = 2 };
    a->msrs.p = (void *)at;
    assert_int_equal(call_domctl(XEN_DOMCTL_set_cpu_policy, id, &op), 0);
    assert_true(a->err_leaf == ~0u && a->err_msr == ~0u);
    static const struct { u32 idx, flags; u64 val; long rc; } bad[] = {
        { 0x10, 0, 0, -ERANGE }, { 0xce, 0, 1ULL << 32, -EOVERFLOW }, { 0xce, 1, 0, -EINVAL }, { 0xce, 0, ~0u, -EINVAL },
    };
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        m[0] = (xen_msr_entry_t){ .idx = bad[i].idx, .flags = bad[i].flags, .val = bad[i].val };
        *a = (struct xen_domctl_cpu_policy){ .nr_msrs = 1 };
        a->msrs.p = (void *)at;
        assert_int_equal(call_domctl(XEN_DOMCTL_set_cpu_policy, id, &op), bad[i].rc);
        assert_int_equal(a->err_msr, bad[i].idx);
    }
    *a = (struct xen_domctl_cpu_policy){ .nr_msrs = 1 };
    a->msrs.p = (void *)BAD_GVA;
    assert_int_equal(call_domctl(XEN_DOMCTL_set_cpu_policy, id, &op), -EFAULT);
    *a = (struct xen_domctl_cpu_policy){ .nr_leaves = 1 };
    a->leaves.p = (void *)BAD_GVA;
    assert_int_equal(call_domctl(XEN_DOMCTL_set_cpu_policy, id, &op), -EFAULT);
    *a = (struct xen_domctl_cpu_policy){ .nr_msrs = POLICY_MAX_MSRS + 1 };
    assert_int_equal(call_domctl(XEN_DOMCTL_set_cpu_policy, id, &op), -E2BIG);
    *a = (struct xen_domctl_cpu_policy){ .nr_leaves = POLICY_MAX_LEAVES + 1 };
    assert_int_equal(call_domctl(XEN_DOMCTL_set_cpu_policy, id, &op), -E2BIG);
    struct domain *g = dom_by_id(id);
    domain_unpause(g);
    g->ever_unpaused = true;
    *a = (struct xen_domctl_cpu_policy){ 0 };
    assert_int_equal(call_domctl(XEN_DOMCTL_set_cpu_policy, id, &op), -EEXIST);
    g->ever_unpaused = false;
    domain_pause_nosync(g);
}

/* ---- CPU records ---- */
#define BAD(...) do { struct hvm_hw_cpu r = good; __VA_ARGS__; assert_int_equal(vcpuctx_check_record(v, &r), -EINVAL); } while (0)
static void cpu_records(void **st)
{
    struct domain *g = dom_by_id(create_pvh(1));
    struct vcpu *v = g->vcpu[0];
    struct hvm_hw_cpu good;

    hvm_set_long_mode(v, 0x1000, 0x2000, 0x3000, 0);
    vcpuctx_get_record(v, &good);
    assert_int_equal(vcpuctx_check_record(v, &good), 0);
    BAD(r.cr0 |= 1ULL << 32);
    BAD(r.cr0 &= ~1ULL);
    BAD(r.cr0 |= 1ULL << 29);
    BAD(r.cr4 |= 1ULL << 13);
    BAD(r.msr_efer |= 1ULL << 12);
    BAD(r.msr_efer &= ~(1ULL << 8));
    BAD(r.cr4 &= ~0x20ULL);
    BAD(r.cr0 &= ~(1ULL << 31));
    BAD(r.msr_efer &= ~(1ULL << 10));
    BAD(r.cr3 = 1ULL << 60);
    BAD(r.rip = 1ULL << 60);
    BAD(r.rip = 1ULL << 32; r.cs_arbytes &= ~0x200u);
    BAD(r.fs_base = 1ULL << 60);
    BAD(r.gs_base = 1ULL << 60);
    BAD(r.shadow_gs = 1ULL << 60);
    BAD(r.tr_base = 1ULL << 60);
    BAD(r.ldtr_base = 1ULL << 60);
    BAD(r.gdtr_base = 1ULL << 60);
    BAD(r.idtr_base = 1ULL << 60);
    BAD(r.msr_lstar = 1ULL << 60);
    BAD(r.msr_cstar = 1ULL << 60);
    BAD(r.sysenter_esp = 1ULL << 60);
    BAD(r.sysenter_eip = 1ULL << 60);
    BAD(r.flags = 2);
    BAD(r.pending_event = 1u << 31 | 1 << 8);
    BAD(r.pending_event = 1u << 31 | 7 << 8);
    BAD(r.pending_event = 1u << 31 | 1 << 12);
    BAD(r.pending_event = 1u << 31 | 2 << 8 | 3);
    BAD(r.pending_event = 1u << 31 | 3 << 8 | 32);
    BAD(r.cr4 |= 1ULL << 17; r.msr_efer = 0; r.cr0 = 1);
    struct hvm_hw_cpu r = good;
    r.msr_efer = 0x100;                             /* LME set, paging off: on its way into long mode */
    r.cr0 = 1;
    r.rip = 0x1000;
    assert_int_equal(vcpuctx_check_record(v, &r), 0);
    for (unsigned type = 0; type < 8; type++) {
        r = good;
        r.pending_event = 1u << 31 | type << 8 | (type == 2 ? 2 : type == 3 ? 31 : 3);
        assert_int_equal(vcpuctx_check_record(v, &r), type == 1 || type == 7 ? -EINVAL : 0);
    }
    /* Loaded: an error code counts if it is said to; unpacked attributes of old streams; no x87 state: reset values. */
    r = good;
    r.pending_event = 1u << 31 | 1u << 11 | 3 << 8 | 14;
    r.error_code = 6;
    r.cs_arbytes = 0xa09b;
    r.flags = 0;
    assert_int_equal(vcpuctx_set_record(v, &r), 0);
    assert_int_equal(fake_vcpu(v)->state.pending_error, 6);
    assert_int_equal(fake_vcpu(v)->state.seg[SEG_CS].attr, 0xa9b);
    assert_int_equal(((u8 *)v->hvm->xstate)[0], 0x7f);
    r.pending_event = 1u << 31 | 3 << 8 | 14;
    assert_int_equal(vcpuctx_set_record(v, &r), 0);
    assert_int_equal(fake_vcpu(v)->state.pending_error, 0);
    r.cr0 = 1ULL << 40;                             /* what only the vendor's check finds */
    assert_int_equal(vcpuctx_set_record(v, &r), -EINVAL);
    /* User mode: which GS base is whose. */
    struct vcpu_guest_context *c = kzalloc(sizeof(*c));
    hvm_set_long_mode(v, 0x1000, 0x2000, 0x3000, 0);
    fake_vcpu(v)->state.seg[SEG_GS].base = 0x111;
    fake_vcpu(v)->state.kernel_gs_base = 0x222;
    vcpuctx_get(v, c);
    assert_true(c->flags & VGCF_in_kernel && c->gs_base_kernel == 0x111 && c->gs_base_user == 0x222);
    fake_vcpu(v)->state.seg[SEG_SS].attr |= 0x60;
    vcpuctx_get(v, c);
    assert_true(!(c->flags & VGCF_in_kernel) && c->gs_base_kernel == 0x222 && c->gs_base_user == 0x111);
    c->user_regs.rip = 1ULL << 60;
    assert_int_equal(vcpuctx_set(v, c), -EINVAL);
    c->user_regs.rip = 0x1000;
    fake_vcpu(v)->state.cr0 = 1ULL << 40;
    assert_int_equal(vcpuctx_set(v, c), -EINVAL);
    kfree(c);
}

/* ---- MSR records of a saved vCPU ---- */
enum { STREAM = 4096 };
static long ctx(u16 id, u32 cmd, gva_t at, u32 *size)
{
    struct xen_domctl op = { 0 };

    op.u.hvmcontext.size = *size;
    op.u.hvmcontext.buffer.p = (void *)at;
    long rc = call_domctl(cmd, id, &op);
    *size = op.u.hvmcontext.size;
    return rc;
}

static u8 *record(u8 *s, u32 size, u16 code)
{
    for (u32 pos = 0; pos + 8 <= size; ) {
        struct hvm_save_descriptor d;
        memcpy(&d, s + pos, sizeof(d));
        if (d.typecode == code)
            return s + pos;
        pos += 8 + d.length;
    }
    return NULL;
}

static void saved_msrs(void **st)
{
    u16 id = create_pvh(1);
    struct vcpu *v = dom_by_id(id)->vcpu[0];
    gva_t at;
    u8 *s = guest_buf(STREAM * 4, &at);
    u32 size = STREAM * 4;

    v->hvm->limits.spec_ctrl = true;
    spec_value = 0;
    assert_int_equal(ctx(id, XEN_DOMCTL_gethvmcontext, at, &size), 0);
    assert_null(record(s, size, CPU_MSR_CODE));   /* zero: not listed */
    spec_value = 5;
    size = STREAM * 4;
    assert_int_equal(ctx(id, XEN_DOMCTL_gethvmcontext, at, &size), 0);
    u8 *p = record(s, size, CPU_MSR_CODE);
    assert_non_null(p);
    struct hvm_msr *m = (struct hvm_msr *)(p + 8);
    assert_int_equal(m->count, 1);
    assert_true(m->msr[0].index == 0x48 && m->msr[0].val == 5);
    spec_value = 0;
    u32 all = size;
    assert_int_equal(ctx(id, XEN_DOMCTL_sethvmcontext, at, &size), 0);
    assert_int_equal(spec_value, 5);
    static const struct { u32 count, index, rsvd; u64 val; long rc; } bad[] = {
        { 2, 0x48, 0, 0, -EINVAL }, { 1, 0x49, 0, 0, -ENXIO }, { 1, 0x48, 1, 0, -EOPNOTSUPP }, { 0, 0x48, 0, 0, -EINVAL },
        { 1, 0x48, 0, 99, -EINVAL },
    };
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        m->count = bad[i].count;
        m->msr[0].index = bad[i].index;
        m->msr[0]._rsvd = bad[i].rsvd;
        m->msr[0].val = bad[i].val;
        size = all;
        assert_int_equal(ctx(id, XEN_DOMCTL_sethvmcontext, at, &size), bad[i].rc);
    }
}

/* ---- console ---- */
static char lines[4][300];
static unsigned nr_lines;
void console_guest_line(struct domain *d, const char *line) { str_copy(lines[nr_lines++ % 4], line, sizeof(lines[0])); }
static size_t typed;
size_t console_read(char *buf, size_t n)
{
    memset(buf, 'x', MIN(n, typed));
    return MIN(n, typed);
}

/* The 33rd vCPU and those behind it have no place in shared_info. */
static void events_of_many_vcpus(void **st)
{
    struct domain *d = guest(16);
    struct vcpu v = { .dom = d, .id = XEN_LEGACY_MAX_VCPUS };
    u64 before = heap_objects();

    for (unsigned k = 1; k <= 2; k++) {
        fake_fail_at(k);
        assert_int_equal(evtchn_vcpu_init(&v), -ENOMEM);
        fake_fail_at(0);
        assert_true(!v.evtchn && heap_objects() == before);
    }
}

static void consoles(void **st)
{
    struct domain *g = guest(16);
    unsigned rounds;
    char *p = fake_guest_ptr(g, 0x1000);

    env_domain_caller(g);
    nr_lines = 0;
    memcpy(p, "a\tb\x01\x80\r\nline\n", 12);
    assert_int_equal(hypercall(__HYPERVISOR_console_io, CONSOLEIO_write, 12, 0x1000), 0);
    assert_int_equal(nr_lines, 2);
    assert_string_equal(lines[0], "a b");
    assert_string_equal(lines[1], "line");
    memset(p, 'y', 1000);
    assert_int_equal(cut(__HYPERVISOR_console_io, CONSOLEIO_write, 1000, 0x1000, &rounds), 0);
    assert_int_equal(rounds, 8);
    assert_int_equal(nr_lines, 5);
    assert_int_equal(strlen(lines[2]), 255);
    this_cpu()->resched = false;
    assert_int_equal(hypercall(__HYPERVISOR_console_io, CONSOLEIO_write, 300, 0x1000), 0);
    assert_int_equal(hypercall(__HYPERVISOR_console_io, CONSOLEIO_read, 4, 0x1000), -EPERM);
    assert_int_equal(hypercall(__HYPERVISOR_console_io, CONSOLEIO_write, 1u << 31, 0x1000), -EINVAL);
    assert_int_equal(hypercall(__HYPERVISOR_console_io, 2, 1, 0x1000), -ENOSYS);
    env_domain_caller(dom0);
    gva_t at;
    char *q = guest_buf(64, &at);
    typed = 3;
    assert_int_equal(hypercall(__HYPERVISOR_console_io, CONSOLEIO_read, 64, at), 3);
    assert_memory_equal(q, "xxx", 4);
    assert_int_equal(hypercall(__HYPERVISOR_console_io, CONSOLEIO_read, 64, BAD_GVA), -EFAULT);
    fake_fail_copy_at(2);
    assert_int_equal(hypercall(__HYPERVISOR_console_io, CONSOLEIO_read, 64, at), -EFAULT);
    fake_fail_at(0);
}

/* ---- hvm_op ---- */
static void memory_types(void **st)
{
    struct domain *g = guest(16);
    struct xen_hvm_get_mem_type *a;
    gva_t at;

    assert_int_equal(p2m_map_record(g, GFN(0x80), virt_to_mfn(g->shared_info), P2M_SPECIAL, false), 0);
    assert_int_equal(p2m_map_identity(g, GiB(2), GiB(2) + PAGE_SIZE, P2M_MMIO), 0);
    assert_int_equal(p2m_set_ram_type(g, GFN(5), P2M_RAM_RO), 0);
    a = guest_buf(sizeof(*a), &at);
    static const struct { u64 gfn; u16 type; } t[] = {
        { 0, HVMMEM_ram_rw }, { 5, HVMMEM_ram_ro }, { 0x70, HVMMEM_mmio_dm }, { 0x80000, HVMMEM_mmio_dm }, { 0x80, HVMMEM_ram_rw },
        { ~0ULL, HVMMEM_mmio_dm },
    };
    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        *a = (struct xen_hvm_get_mem_type){ .domid = 7, .pfn = t[i].gfn };
        assert_int_equal(hypercall(__HYPERVISOR_hvm_op, HVMOP_get_mem_type, at, 0), 0);
        assert_int_equal(a->mem_type, t[i].type);
    }
    struct xen_hvm_evtchn_upcall_vector *u = guest_buf(sizeof(*u), &at);
    *u = (struct xen_hvm_evtchn_upcall_vector){ .vcpu = 1, .vector = 0x40 };
    struct vcpu *v1 = dom0->vcpu[1];
    dom0->vcpu[1] = NULL;
    assert_int_equal(hypercall(__HYPERVISOR_hvm_op, HVMOP_set_evtchn_upcall_vector, at, 0), -ENOENT);
    dom0->vcpu[1] = v1;
    guest_vcpu_info(v1)->evtchn_upcall_pending = 1;
    vlapic_write_reg(v1, 0xf0, 0x1ff);
    assert_int_equal(hypercall(__HYPERVISOR_hvm_op, HVMOP_set_evtchn_upcall_vector, at, 0), 0);
    assert_int_equal(vlapic_pending(v1), 0x40);             /* the one that waits comes by the new vector */
    guest_vcpu_info(v1)->evtchn_upcall_pending = 0;
    v1->upcall_vector = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(who_may_name_whom), T(ends_of_arrays), T(odd_spaces), T(long_lists), T(same_frames_for_dom0),
        T(settings_of_dom0), T(infos), T(tsc_and_sizes), T(affinities), T(policy_msrs), T(cpu_records), T(saved_msrs),
        T(events_of_many_vcpus), T(consoles), T(memory_types),
    };
    return cmocka_run_group_tests(tests, env_setup, NULL);
}
