/* SPDX-License-Identifier: MIT */
/*
 * Every family of hypercalls with the k-th allocation, then the k-th guest copy failing, for k = 1, 2, ... until the
 * operation succeeds untouched. After each run the global audit; an error of an operation marked ATOMIC has changed
 * nothing; undoing what a success did leads back to the start; in the end nothing is left allocated.
 */
#include "call_env.h"
#include "audit.h"
#include "evtchn/evtchn_priv.h"
#include "gnttab/gnttab_priv.h"
#include "iommu/amd.h"
#include "iommu/iommu.h"
#include "dom/internal.h"
#include "mm/block.h"
#include "mm/p2m_internal.h"

/* OUT: it also writes a result, and when that cannot be written the caller gets -EFAULT for what was done. */
enum { PARTIAL = 0, ATOMIC = 1, OUT = 2 };
#define GUEST 1u                /* its id; dom0 is the toolstack and the back end */
#define ARG_GPA MiB(1)
#define LIST_GPA (ARG_GPA + 2048)
#define SUPER 512u              /* first gfn of the guest's second superpage */
#define FAR 0x4000000u          /* no tables here; + i << 18: not here either */

static struct domain *g;

/* ---- calls ---- */
static void *arg_of(struct domain *d, gpa_t gpa) { return fake_guest_ptr(d, gpa); }
static long call_as(struct vcpu *v, unsigned nr, u64 a0, u64 a1, u64 a2)
{
    caller = v;
    fake_enter_cpu(0, v);
    long rc = hypercall(nr, a0, a1, a2);
    env_domain_caller(dom0);
    return rc;
}
/* One argument structure, in the caller's memory; copied back. */
static long call1(struct vcpu *v, unsigned nr, unsigned cmd, void *arg, size_t size, u64 a2)
{
    memcpy(arg_of(v->dom, ARG_GPA), arg, size);
    long rc = call_as(v, nr, cmd, ARG_GPA, a2);
    memcpy(arg, arg_of(v->dom, ARG_GPA), size);
    return rc;
}
#define MEM(v, cmd, a) call1(v, __HYPERVISOR_memory_op, cmd, &(a), sizeof(a), 0)
#define GNT(cmd, a) call1(dom0->vcpu[0], __HYPERVISOR_grant_table_op, cmd, a, sizeof(a), ARRAY_SIZE(a))
#define EVT(v, cmd, a) call1(v, __HYPERVISOR_event_channel_op, cmd, &(a), sizeof(a), 0)
static struct vcpu *v0(void) { return dom0->vcpu[0]; }
static struct vcpu *gv(void) { return g->vcpu[0]; }
static void list(struct domain *d, unsigned i, u64 x) { ((u64 *)arg_of(d, LIST_GPA))[i] = x; }
static enum p2m_type type_at(struct domain *d, u64 gfn)
{
    enum p2m_type t;
    p2m_lookup(d, GFN(gfn), &t, NULL);
    return t;
}

/* ---- memory ---- */
static long reserve(struct vcpu *v, unsigned cmd, u16 domid, u64 gfn, unsigned n, unsigned order)
{
    struct xen_memory_reservation a = { .nr_extents = n, .extent_order = order, .domid = domid };
    a.extent_start.p = (void *)LIST_GPA;
    for (unsigned i = 0; i < n; i++) list(v->dom, i, gfn + ((u64)i << MAX(order, 18u)));
    long rc = MEM(v, cmd, a);
    return rc < 0 ? rc : rc == n ? 0 : -ENOMEM;
}
static u64 far;                 /* a new place in each run, so that tables must be made */
static void fill_hole(u64 gfn)
{
    if (type_at(g, gfn) == P2M_NONE) assert_int_equal(reserve(v0(), XENMEM_populate_physmap, GUEST, gfn, 1, 0), 0);
}
static void make_hole(u64 gfn)
{
    if (type_at(g, gfn) == P2M_NONE) return;
    assert_int_equal(reserve(v0(), XENMEM_decrease_reservation, GUEST, gfn, 1, 0), 0);
}
static long populate(void) { return reserve(v0(), XENMEM_populate_physmap, GUEST, far, 2, 0); }
static void populate_undo(void) { make_hole(far); make_hole(far + (1u << 18)); }
static long populate2m(void) { return reserve(gv(), XENMEM_populate_physmap, DOMID_SELF, far, 1, 9); }
static void populate2m_undo(void)
{
    if (type_at(g, far) == P2M_NONE) return;
    assert_int_equal(reserve(v0(), XENMEM_decrease_reservation, GUEST, far, 1, 9), 0);
}
static void whole_superpage(void)
{
    enum p2m_type t;
    unsigned order;
    if (mfn_valid(p2m_lookup(g, GFN(SUPER), &t, &order)) && order == ORDER_2M) return;
    for (unsigned i = 0; i < 512; i++) make_hole(SUPER + i);
    assert_int_equal(reserve(v0(), XENMEM_populate_physmap, GUEST, SUPER, 1, 9), 0);
}
static long decrease(void) { return reserve(gv(), XENMEM_decrease_reservation, DOMID_SELF, SUPER + 7, 1, 0); }
static void refill(void) { fill_hole(SUPER + 7); }
static long add(struct vcpu *v, unsigned space, u64 idx, u64 gfn)
{
    struct xen_add_to_physmap a = { .domid = DOMID_SELF, .space = space, .idx = idx, .gpfn = gfn };
    return MEM(v, XENMEM_add_to_physmap, a);
}
static long take(struct vcpu *v, u64 gfn)
{
    struct xen_remove_from_physmap a = { .domid = DOMID_SELF, .gpfn = gfn };
    return MEM(v, XENMEM_remove_from_physmap, a);
}
static long add_info(void) { return add(gv(), XENMAPSPACE_shared_info, 0, far); }
static void take_far(void) { if (type_at(g, far) != P2M_NONE) assert_int_equal(take(gv(), far), 0); }
static long add_grant(void) { return add(gv(), XENMAPSPACE_grant_table, 2, SUPER + 7); }
static void take_over(void)
{
    if (type_at(g, SUPER + 7) == P2M_SPECIAL) assert_int_equal(take(gv(), SUPER + 7), 0);
    refill();
}
static long move(void) { return add(gv(), XENMAPSPACE_gmfn, SUPER + 7, far); }
static void move_back(void)
{
    if (type_at(g, far) == P2M_RAM) assert_int_equal(add(gv(), XENMAPSPACE_gmfn, far, SUPER + 7), 0);
}
static long take_ram(void) { return take(gv(), SUPER + 7); }
static long foreign(void)
{
    struct xen_add_to_physmap_batch a = { .domid = DOMID_SELF, .space = XENMAPSPACE_gmfn_foreign, .size = 3,
                                          .u.foreign_domid = GUEST };
    s32 *err = (s32 *)((u64 *)arg_of(dom0, LIST_GPA) + 8);
    a.idxs.p = (void *)LIST_GPA;
    a.gpfns.p = (void *)(LIST_GPA + 24);
    a.errs.p = (void *)(LIST_GPA + 64);
    for (unsigned i = 0; i < 3; i++) {
        list(dom0, i, SUPER + 9 + i);
        list(dom0, 3 + i, far + ((u64)i << 18));
        err[i] = -1;
    }
    long rc = MEM(v0(), XENMEM_add_to_physmap_batch, a);
    return rc ? rc : err[0] | err[1] | err[2];
}
static void foreign_undo(void)
{
    for (unsigned i = 0; i < 3; i++)
        if (type_at(dom0, far + ((u64)i << 18)) != P2M_NONE) assert_int_equal(take(v0(), far + ((u64)i << 18)), 0);
    spin_lock(&dom0->p2m->lock);
    p2m_drop_held(dom0);
    spin_unlock(&dom0->p2m->lock);
}
static long acquire(void)
{
    struct xen_mem_acquire_resource a = { .domid = GUEST, .type = XENMEM_resource_grant_table, .nr_frames = 2 };
    a.frame_list.p = (void *)LIST_GPA;
    for (unsigned i = 0; i < 2; i++) list(dom0, i, far + ((u64)i << 18));
    return MEM(v0(), XENMEM_acquire_resource, a);
}
static long set_map(void)
{
    struct xen_foreign_memory_map a = { .domid = GUEST, .map.nr_entries = 3 };
    struct { u64 addr, size; u32 type; } __packed *e = arg_of(dom0, LIST_GPA);
    for (unsigned i = 0; i < 3; i++) e[i].addr = MiB(i), e[i].size = MiB(1), e[i].type = 1;
    a.map.buffer.p = (void *)LIST_GPA;
    return MEM(v0(), XENMEM_set_memory_map, a);
}
static void set_map_undo(void)
{
    spin_lock(&g->lock);
    kfree(g->memmap.e);
    g->memmap.e = NULL;
    g->memmap.nr = 0;
    spin_unlock(&g->lock);
}
static long claim_pages(u64 n)
{
    struct xen_memory_reservation a = { .nr_extents = n, .domid = GUEST };
    return MEM(v0(), XENMEM_claim_pages, a);
}
static long claim(void) { return claim_pages(3000); }
static void claim_undo(void) { assert_int_equal(claim_pages(0), 0); }

/* ---- grants ---- */
static struct grant_entry_v1 *entry(u32 ref) { return &g->gnttab->frame[ref / 512][ref % 512]; }
static struct gnttab_map_grant_ref maps[3];
static void grant_three(void)
{
    mfn_t m;
    assert_int_equal(gnttab_get_frame(g, 0, &m), 0);
    for (u32 i = 0; i < 3; i++)
        *entry(8 + 200 * i) = (struct grant_entry_v1){ .flags = GTF_permit_access, .domid = 0, .frame = 40 + 9 * i };
}
static long map_three(void)
{
    long worst = 0;
    memset(maps, 0, sizeof(maps));
    for (u32 i = 0; i < 3; i++)
        maps[i] = (struct gnttab_map_grant_ref){ .host_addr = (far + ((u64)i << 18)) << 12, .flags = GNTMAP_host_map,
                                                 .ref = 8 + 200 * i, .dom = GUEST, .status = -1 };
    long rc = GNT(GNTTABOP_map_grant_ref, maps);
    for (u32 i = 0; i < 3; i++) worst = MIN(worst, (long)maps[i].status);
    return rc ? rc : worst;
}
/* Statuses may be lost with the page they are written to: every record of dom0 is looked for, as at its death. */
static void unmap_three(void)
{
    bool found;
    for (u32 h = 0; (h = maptrack_next(dom0, h, ~0u, &found)) != MT_NONE && found; h++) gnttab_unmap_handle(dom0, h);
}
static struct gnttab_unmap_grant_ref unmaps[3];
static void mapped_three(void)
{
    grant_three();
    assert_int_equal(map_three(), 0);
    for (u32 i = 0; i < 3; i++)
        unmaps[i] = (struct gnttab_unmap_grant_ref){ .host_addr = maps[i].host_addr, .handle = maps[i].handle };
}
static long unmap_op(void)
{
    long worst = 0, rc = GNT(GNTTABOP_unmap_grant_ref, unmaps);
    for (u32 i = 0; i < 3; i++) worst = MIN(worst, (long)unmaps[i].status);
    return rc ? rc : worst;
}
static long copy(void)
{
    struct gnttab_copy c[2] = {
        { .source = { .u.ref = 8, .domid = GUEST }, .dest = { .u.gmfn = 5, .domid = DOMID_SELF }, .len = 100,
          .flags = GNTCOPY_source_gref, .status = -1 },
        { .source = { .u.gmfn = 5, .domid = DOMID_SELF }, .dest = { .u.ref = 208, .domid = GUEST }, .len = 100,
          .flags = GNTCOPY_dest_gref, .status = -1 },
    };
    long rc = GNT(GNTTABOP_copy, c);
    return rc ? rc : MIN(c[0].status, c[1].status);
}
static long setup_table(void)
{
    struct gnttab_setup_table a[1] = { { .dom = GUEST, .nr_frames = 3, .status = -1 } };
    a[0].frame_list.p = (void *)LIST_GPA;
    long rc = GNT(GNTTABOP_setup_table, a);
    return rc ? rc : a[0].status;
}
static long swap_refs(void)
{
    struct gnttab_swap_grant_ref a[1] = { { 8, 300, -1 } };
    long rc = call1(gv(), __HYPERVISOR_grant_table_op, GNTTABOP_swap_grant_ref, a, sizeof(a), 1);
    return rc ? rc : a[0].status;
}

/* ---- event channels ---- */
static u32 ports[140];
static unsigned nr_ports;
static long alloc_port(void)
{
    struct evtchn_alloc_unbound a = { .dom = DOMID_SELF, .remote_dom = 0 };
    long rc = EVT(gv(), EVTCHNOP_alloc_unbound, a);
    if (!rc) ports[nr_ports++] = a.port;
    return rc;
}
static void reset_ports(void)
{
    struct evtchn_reset a = { .dom = DOMID_SELF };
    assert_int_equal(EVT(gv(), EVTCHNOP_reset, a), 0);
    nr_ports = 0;
}
static void fill_bucket(void) { while (nr_ports < 127) assert_int_equal(alloc_port(), 0); }
static long bind_inter(void)
{
    struct evtchn_bind_interdomain a = { .remote_dom = GUEST, .remote_port = ports[0] };
    return EVT(v0(), EVTCHNOP_bind_interdomain, a);
}
static void one_port(void) { assert_int_equal(alloc_port(), 0); }
static void close_all(void)
{
    for (u32 p = 1; p < 64; p++) {
        struct evtchn *c = evtchn_lookup(dom0->evtchn, p);
        struct evtchn_close a = { .port = p };
        bool with_g = c && ((c->state == ECS_INTERDOMAIN && c->rd == g) ||
                            (c->state == ECS_UNBOUND && c->remote_domid == GUEST));
        if (with_g) assert_int_equal(EVT(v0(), EVTCHNOP_close, a), 0);
    }
    reset_ports();
}
static long bind_virq(void)
{
    struct evtchn_bind_virq a = { .virq = VIRQ_DEBUG, .vcpu = 1 };
    return EVT(gv(), EVTCHNOP_bind_virq, a);
}
static long bind_ipi(void)
{
    struct evtchn_bind_ipi a = { .vcpu = 1 };
    return EVT(gv(), EVTCHNOP_bind_ipi, a);
}
static long fifo_init(void)
{
    struct evtchn_init_control a = { .control_gfn = 20, .offset = 0, .vcpu = 0 };
    return EVT(gv(), EVTCHNOP_init_control, a);
}
static void fifo_on(void) { assert_int_equal(fifo_init(), 0); one_port(); }
static long fifo_expand(void)
{
    struct evtchn_expand_array a = { .array_gfn = 21 };
    return EVT(gv(), EVTCHNOP_expand_array, a);
}
static long send(void)
{
    struct evtchn_send a = { .port = ports[0] };
    return EVT(gv(), EVTCHNOP_send, a);
}
static void connected(void) { one_port(); assert_int_equal(bind_inter(), 0); }
static long reset_op(void)
{
    struct evtchn_reset a = { .dom = DOMID_SELF };
    return EVT(gv(), EVTCHNOP_reset, a);
}

/* ---- control operations ---- */
static struct xen_domctl ctl;
static u16 made;
static long domctl_as(u32 cmd, u16 id) { scratch_used = 0; return call_domctl(cmd, id, &ctl); }
static void kill_made(void)
{
    struct domain *d;
    for (u16 id = GUEST + 1; (d = get_domain_from(id)) != NULL; ) {
        id = (u16)(d->id + 1);
        put_domain(d);
        memset(&ctl, 0, sizeof(ctl));
        (void)domctl_as(XEN_DOMCTL_destroydomain, d->id);
        fake_time_advance(50000000);
        timer_run();
    }
    assert_null(get_domain_from(GUEST + 1));
}
static long create(void)
{
    pvh_config(&ctl, 2);
    long rc = domctl_as(XEN_DOMCTL_createdomain, 0xffff);
    made = ctl.domain;
    return rc;
}
static void created(void) { assert_int_equal(create(), 0); memset(&ctl, 0, sizeof(ctl)); }
static long max_vcpus(void) { ctl.u.max_vcpus.max = 2; return domctl_as(XEN_DOMCTL_max_vcpus, made); }
static void with_vcpus(void) { created(); assert_int_equal(max_vcpus(), 0); memset(&ctl, 0, sizeof(ctl)); }
static long mempool(void)
{
    ctl.u.paging_mempool.size = MiB(9);
    return domctl_as(XEN_DOMCTL_set_paging_mempool_size, made);
}
static void pool(void) { with_vcpus(); assert_int_equal(mempool(), 0); memset(&ctl, 0, sizeof(ctl)); }
static long max_mem(void) { ctl.u.max_mem.max_memkb = 65536; return domctl_as(XEN_DOMCTL_max_mem, made); }
static void built(void)
{
    pool();
    assert_int_equal(max_mem(), 0);
    assert_int_equal(reserve(v0(), XENMEM_populate_physmap, made, FAR, 3, 9), 0);
    assert_int_equal(reserve(v0(), XENMEM_populate_physmap, made, 0, 3, 0), 0);
    memset(&ctl, 0, sizeof(ctl));
}
static long destroy(void) { return domctl_as(XEN_DOMCTL_destroydomain, made); }
static long get_policy(void)
{
    ctl.u.cpu_policy.nr_leaves = POLICY_MAX_LEAVES;
    ctl.u.cpu_policy.leaves.p = (void *)(SCRATCH_GPA + MiB(1));
    return domctl_as(XEN_DOMCTL_get_cpu_policy, made);
}
static void have_policy(void)
{
    with_vcpus();
    assert_int_equal(get_policy(), 0);
    u32 n = ctl.u.cpu_policy.nr_leaves;
    memset(&ctl, 0, sizeof(ctl));
    ctl.u.cpu_policy.nr_leaves = n;
    ctl.u.cpu_policy.leaves.p = (void *)(SCRATCH_GPA + MiB(1));
}
static long set_policy(void) { return domctl_as(XEN_DOMCTL_set_cpu_policy, made); }
static long get_ctx(void)
{
    ctl.u.hvmcontext.size = 65536;
    ctl.u.hvmcontext.buffer.p = (void *)(SCRATCH_GPA + MiB(1));
    return domctl_as(XEN_DOMCTL_gethvmcontext, made);
}
static void have_ctx(void) { with_vcpus(); assert_int_equal(get_ctx(), 0); }
static long set_ctx(void) { return domctl_as(XEN_DOMCTL_sethvmcontext, made); }
static long set_target(void) { ctl.u.set_target.target = GUEST; return domctl_as(XEN_DOMCTL_set_target, made); }
static long affinity(void)
{
    ctl.u.vcpuaffinity.flags = XEN_VCPUAFFINITY_HARD;
    ctl.u.vcpuaffinity.cpumap_hard.bitmap.p = (void *)(SCRATCH_GPA + MiB(1));
    ctl.u.vcpuaffinity.cpumap_hard.nr_bits = 8;
    ctl.u.vcpuaffinity.cpumap_soft = ctl.u.vcpuaffinity.cpumap_hard;
    return domctl_as(XEN_DOMCTL_setvcpuaffinity, made);
}
static long frame_info(void)
{
    ctl.u.getpageframeinfo3.num = 3;
    ctl.u.getpageframeinfo3.array.p = (void *)(SCRATCH_GPA + MiB(1));
    return domctl_as(XEN_DOMCTL_getpageframeinfo3, GUEST);
}
static void context_set(void) { with_vcpus(); dom_by_id(made)->vcpu[0]->initialised = true; }
static long vcpu_context(void)
{
    ctl.u.vcpucontext.ctxt.p = (void *)(SCRATCH_GPA + MiB(1));
    return domctl_as(XEN_DOMCTL_getvcpucontext, made);
}

/* ---- a guest's vCPUs, parameters, scheduling, console, versions ---- */
static long vcpu_op_as(unsigned cmd, unsigned id, void *arg, size_t size)
{
    memcpy(arg_of(g, ARG_GPA), arg, size);
    return call_as(gv(), __HYPERVISOR_vcpu_op, cmd, id, ARG_GPA);
}
static long info_page(void)
{
    struct vcpu_register_vcpu_info a = { .mfn = SUPER + 30, .offset = 64 };
    return vcpu_op_as(VCPUOP_register_vcpu_info, 1, &a, sizeof(a));
}
static void info_undo(void)
{
    struct vcpu *v = g->vcpu[1];
    evtchn_vcpu_destroy(v);
    assert_int_equal(evtchn_vcpu_init(v), 0);
}
static long runstate(void)
{
    struct vcpu_register_runstate_memory_area a = { .addr.p = (SUPER + 31) * PAGE_SIZE - 24UL };
    return vcpu_op_as(VCPUOP_register_runstate_memory_area, 0, &a, sizeof(a));
}
static void runstate_undo(void) { vcpu_quiesce(gv()); }
static long up(void)
{
    g->vcpu[1]->initialised = true;
    return call_as(gv(), __HYPERVISOR_vcpu_op, VCPUOP_up, 1, 0);
}
static void down(void) { (void)call_as(gv(), __HYPERVISOR_vcpu_op, VCPUOP_down, 1, 0); }
static long param(void)
{
    struct xen_hvm_param a = { .domid = DOMID_SELF, .index = HVM_PARAM_CALLBACK_IRQ, .value = 2ULL << 56 | 0x40 };
    return call1(gv(), __HYPERVISOR_hvm_op, HVMOP_set_param, &a, sizeof(a), 0);
}
static void param_undo(void)
{
    struct xen_hvm_param a = { .domid = DOMID_SELF, .index = HVM_PARAM_CALLBACK_IRQ };
    assert_int_equal(call1(gv(), __HYPERVISOR_hvm_op, HVMOP_set_param, &a, sizeof(a), 0), 0);
}
static long poll_ports(void)
{
    struct sched_poll a = { .nr_ports = 3, .timeout = 1 };
    a.ports.p = (void *)LIST_GPA;
    for (unsigned i = 0; i < 3; i++) ((u32 *)arg_of(g, LIST_GPA))[i] = ports[0];
    return call1(gv(), __HYPERVISOR_sched_op, SCHEDOP_poll, &a, sizeof(a), 0);
}
static long console(void)
{
    memcpy(arg_of(g, LIST_GPA), "a line\n", 7);
    return call_as(gv(), __HYPERVISOR_console_io, CONSOLEIO_write, 7, LIST_GPA);
}
static long version(void) { return call_as(gv(), __HYPERVISOR_xen_version, XENVER_compile_info, ARG_GPA, 0); }
static long many(void)
{
    struct multicall_entry *e = arg_of(g, LIST_GPA);
    for (unsigned i = 0; i < 3; i++)
        e[i] = (struct multicall_entry){ .op = __HYPERVISOR_xen_version, .args = { XENVER_extraversion, ARG_GPA } };
    return call_as(gv(), __HYPERVISOR_multicall, LIST_GPA, 3, 0);
}
static long sys_list(void)
{
    struct xen_sysctl s = { .u.getdomaininfolist = { .max_domains = 4 } };
    s.u.getdomaininfolist.buffer.p = (void *)(SCRATCH_GPA + MiB(1));
    scratch_used = 0;
    return call_sysctl(XEN_SYSCTL_getdomaininfolist, &s);
}
static void nothing(void) {}

static const struct fault_case {
    const char *name;
    void (*setup)(void);
    long (*op)(void);
    void (*undo)(void);
    unsigned flags;
} cases[] = {
    { "populate_physmap", nothing, populate, populate_undo, PARTIAL },
    { "populate_physmap 2 MiB", nothing, populate2m, populate2m_undo, ATOMIC },
    { "decrease_reservation", whole_superpage, decrease, refill, ATOMIC },
    { "add_to_physmap shared_info", nothing, add_info, take_far, ATOMIC },
    { "add_to_physmap grant_table", whole_superpage, add_grant, take_over, ATOMIC },
    { "add_to_physmap gmfn", whole_superpage, move, move_back, ATOMIC },
    { "remove_from_physmap", whole_superpage, take_ram, refill, ATOMIC },
    { "add_to_physmap_batch foreign", nothing, foreign, foreign_undo, PARTIAL },
    { "acquire_resource", nothing, acquire, foreign_undo, PARTIAL },
    { "set_memory_map", nothing, set_map, set_map_undo, ATOMIC },
    { "claim_pages", nothing, claim, claim_undo, ATOMIC },
    { "map_grant_ref", grant_three, map_three, unmap_three, PARTIAL },
    { "unmap_grant_ref", mapped_three, unmap_op, unmap_three, PARTIAL },
    { "grant copy", grant_three, copy, nothing, ATOMIC },
    { "setup_table", nothing, setup_table, nothing, ATOMIC },
    { "swap_grant_ref", grant_three, swap_refs, nothing, ATOMIC },
    { "alloc_unbound", fill_bucket, alloc_port, reset_ports, PARTIAL },
    { "bind_interdomain", one_port, bind_inter, close_all, PARTIAL },
    { "bind_virq", nothing, bind_virq, reset_ports, PARTIAL },
    { "bind_ipi", nothing, bind_ipi, reset_ports, PARTIAL },
    { "init_control", nothing, fifo_init, reset_ports, ATOMIC | OUT },
    { "expand_array", fifo_on, fifo_expand, reset_ports, ATOMIC },
    { "send", connected, send, close_all, ATOMIC },
    { "evtchn reset", connected, reset_op, close_all, ATOMIC },
    { "createdomain", nothing, create, kill_made, PARTIAL },
    { "max_vcpus", created, max_vcpus, kill_made, PARTIAL },
    { "set_paging_mempool_size", with_vcpus, mempool, kill_made, ATOMIC },
    { "max_mem", with_vcpus, max_mem, kill_made, ATOMIC },
    { "destroydomain", built, destroy, kill_made, PARTIAL },
    { "get_cpu_policy", with_vcpus, get_policy, kill_made, ATOMIC },
    { "set_cpu_policy", have_policy, set_policy, kill_made, ATOMIC },
    { "gethvmcontext", with_vcpus, get_ctx, kill_made, ATOMIC },
    { "sethvmcontext", have_ctx, set_ctx, kill_made, PARTIAL },
    { "set_target", with_vcpus, set_target, kill_made, ATOMIC },
    { "setvcpuaffinity", with_vcpus, affinity, kill_made, ATOMIC },
    { "getpageframeinfo3", nothing, frame_info, nothing, ATOMIC },
    { "getvcpucontext", context_set, vcpu_context, kill_made, ATOMIC },
    { "register_vcpu_info", nothing, info_page, info_undo, ATOMIC },
    { "register_runstate_memory_area", nothing, runstate, runstate_undo, ATOMIC },
    { "vcpu up", nothing, up, down, ATOMIC },
    { "hvm param", nothing, param, param_undo, ATOMIC },
    { "poll", one_port, poll_ports, reset_ports, ATOMIC },
    { "console_io", nothing, console, nothing, ATOMIC },
    { "xen_version", nothing, version, nothing, ATOMIC },
    { "multicall", nothing, many, nothing, ATOMIC },
    { "getdomaininfolist", nothing, sys_list, nothing, ATOMIC },
};

static unsigned runs;
/* One run with one failure; false when nothing failed any more. */
static bool one(const struct fault_case *c, void (*arm)(unsigned), unsigned k)
{
    u64 start = audit_digest(false);
    far = FAR + (runs++ << 20);
    memset(&ctl, 0, sizeof(ctl));
    c->setup();
    u64 before = audit_digest(true);
    arm(k);
    long rc = c->op();
    bool failed = fake_failed();
    fake_fail_at(0);
    audit_all();
    if (getenv("FAKE_VERBOSE")) print_message("%s: %u: %ld%s\n", c->name, k, rc, failed ? ", failed" : "");
    if (rc < 0 && !failed) fail_msg("%s: error %ld without a failure", c->name, rc);
    bool atomic = c->flags & ATOMIC && !(c->flags & OUT && arm == fake_fail_copy_at);
    if (rc < 0 && atomic && audit_digest(true) != before) fail_msg("%s: failure %u changed something", c->name, k);
    c->undo();
    audit_all();
    if (audit_digest(false) != start) fail_msg("%s: failure %u left something behind", c->name, k);
    return failed;
}

/* All that is allocated but the tables, which stay where they were made until the domain goes. */
static u64 objects(void)
{
    return heap_objects() - g->p2m->pool_used - dom0->p2m->pool_used - dom0->iommu->table_pages;
}

static void sweep(void (*arm)(unsigned))
{
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        unsigned k = 1;
        while (one(&cases[i], arm, k)) assert_true(++k < 600);
        /* Once more, and again: what grows each time is a leak (descriptors of single pages come and go). */
        u64 count[3];
        for (unsigned round = 0; round < ARRAY_SIZE(count); round++) {
            count[round] = objects();
            for (unsigned n = 1; round < 2 && n < k; n += 1 + k / 6) (void)one(&cases[i], arm, n);
        }
        if (count[2] > count[1] && count[1] > count[0])
            fail_msg("%s leaks %lu objects", cases[i].name, (unsigned long)(count[2] - count[1]));
    }
}
static void test_allocations(void **state) { sweep(fake_fail_at); }
static void test_copies(void **state) { sweep(fake_fail_copy_at); }

/* What gives something up needs no memory: it succeeds with every allocation failing (design rule 6). */
static void test_giving_up(void **state)
{
    static const char *const names[] = { "unmap_grant_ref", "send", "evtchn reset", "destroydomain" };
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++)
        for (unsigned n = 0; n < ARRAY_SIZE(names); n++) {
            if (strcmp(cases[i].name, names[n])) continue;
            far = FAR + (runs++ << 20);
            cases[i].setup();
            fake_fail_from(1);
            assert_int_equal(cases[i].op(), 0);
            fake_fail_at(0);
            audit_all();
            cases[i].undo();
            audit_all();
        }
}

static int group_setup(void **state)
{
    iommu_enabled = true;       /* dom0 has IOMMU tables */
    int rc = env_setup(state);
    env_test_setup(state);
    u16 id = create_pvh(2);
    g = dom_by_id(id);
    assert_int_equal(id, GUEST);
    memset(&ctl, 0, sizeof(ctl));
    ctl.u.paging_mempool.size = MiB(2);
    assert_int_equal(domctl_as(XEN_DOMCTL_set_paging_mempool_size, id), 0);
    g->max_pages = 4096;
    assert_int_equal(p2m_pool_set(dom0, MiB(16)), 0);
    for (u64 gfn = 0; gfn < 2 * SUPER; gfn += SUPER)
        assert_int_equal(p2m_map_ram(g, GFN(gfn), dom_ram_alloc(g, ORDER_2M), ORDER_2M), 0);
    return rc;
}

int main(void)
{
    const struct CMUnitTest t[] = {
        cmocka_unit_test(test_allocations), cmocka_unit_test(test_copies), cmocka_unit_test(test_giving_up),
    };
    return cmocka_run_group_tests(t, group_setup, NULL);
}
