/* SPDX-License-Identifier: MIT */
/* The operations of test_fault_calls.c on memory, grants and event channels, each with what it needs before and what undoes
 * it; how a call is made. */
#pragma once

/* ---- calls ---- */
static void *arg_of(struct domain *d, gpa_t gpa) { return fake_guest_ptr(d, gpa); }
static long call_as(struct vcpu *v, unsigned nr, u64 a0, u64 a1, u64 a2)
{
    const struct vcpu_regs was = v->regs;       /* those of the call itself are no change */
    caller = v;
    fake_enter_cpu(0, v);
    long rc = hypercall(nr, a0, a1, a2);
    env_domain_caller(dom0);
    v->regs = was;
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
/* More than one piece of work: interrupts come in between, and tables are needed in each. */
static long populate_pieces(void)
{
    long rc = reserve(v0(), XENMEM_populate_physmap, GUEST, far, 5, 0);
    for (u64 i = 0; i < 5 && !rc; i++) assert_int_equal(type_at(g, far + (i << 18)), P2M_RAM);
    return rc;
}
static void populate_pieces_undo(void) { for (u64 i = 0; i < 5; i++) make_hole(far + (i << 18)); }
#define FIRST_PIECE 64u
static void two_superpages(void) { whole_superpage(); assert_int_equal(populate2m(), 0); }
static long decrease_pieces(void)
{
    struct xen_memory_reservation a = { .nr_extents = FIRST_PIECE + 2, .domid = DOMID_SELF };
    a.extent_start.p = (void *)LIST_GPA;
    for (unsigned i = 0; i < FIRST_PIECE + 2; i++)
        list(g, i, i < FIRST_PIECE ? SUPER + 3 * i : far + 5 + i);
    long rc = MEM(gv(), XENMEM_decrease_reservation, a);
    for (u64 i = 0; i < FIRST_PIECE + 2 && rc == FIRST_PIECE + 2; i++)
        assert_int_equal(type_at(g, i < FIRST_PIECE ? SUPER + 3 * i : far + 5 + i), P2M_NONE);
    return rc < 0 ? rc : rc == FIRST_PIECE + 2 ? 0 : -ENOMEM;
}
static void decrease_pieces_undo(void)
{
    for (unsigned i = 0; i < 512; i++) make_hole(far + i);
    for (unsigned i = 0; i < FIRST_PIECE; i++) fill_hole(SUPER + 3 * i);
}
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
/* Where page i of n goes: the last three each need a table of their own. */
static u64 foreign_at(unsigned n, unsigned i) { return far + (i + 3 < n ? i : (u64)(i + 4 - n) << 9); }
static long foreign_pages(unsigned n)
{
    struct xen_add_to_physmap_batch a = { .domid = DOMID_SELF, .space = XENMAPSPACE_gmfn_foreign, .size = (u16)n,
                                          .u.foreign_domid = GUEST };
    s32 *err = (s32 *)((u64 *)arg_of(dom0, LIST_GPA) + 2 * n), worst = 0;
    a.idxs.p = (void *)LIST_GPA;
    a.gpfns.p = (void *)(LIST_GPA + 8UL * n);
    a.errs.p = (void *)(LIST_GPA + 16UL * n);
    for (unsigned i = 0; i < n; i++) {
        list(dom0, i, SUPER + 9 + i);
        list(dom0, n + i, foreign_at(n, i));
        err[i] = -1;
    }
    long rc = MEM(v0(), XENMEM_add_to_physmap_batch, a);
    for (unsigned i = 0; i < n; i++) worst = MIN(worst, err[i]);
    return rc ? rc : worst;
}
static long foreign(void) { return foreign_pages(3); }
static long foreign_pieces(void) { return foreign_pages(18); }
static void take_foreign(u64 gfn) { if (type_at(dom0, gfn) != P2M_NONE) assert_int_equal(take(v0(), gfn), 0); }
static void drop_held(void)
{
    spin_lock(&dom0->p2m->lock);
    p2m_drop_held(dom0);
    spin_unlock(&dom0->p2m->lock);
}
static void foreign_undo(void)
{
    for (unsigned i = 0; i < 18; i++) take_foreign(foreign_at(18, i));
    drop_held();
}
static void acquire_undo(void)
{
    for (u64 i = 0; i < 2; i++) take_foreign(far + (i << 18));
    drop_held();
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
static struct grant_entry_v1 *entry(u32 ref) { return (void *)&g->gnttab->frame[ref / 512][ref % 512]; }
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

/* ---- questions about memory and grants, channels ---- */
static long mem_pages(unsigned cmd)
{
    struct xen_memory_domain a = { .domid = GUEST };
    return MIN(0L, MEM(v0(), cmd, a));
}
static long mem_questions(void)
{
    long a = mem_pages(XENMEM_current_reservation), b = mem_pages(XENMEM_maximum_reservation);
    return MIN(MIN(a, b), mem_pages(XENMEM_maximum_gpfn));
}
static long max_ram_page(void) { return MIN(0L, call_as(v0(), __HYPERVISOR_memory_op, XENMEM_maximum_ram_page, 0, 0)); }
static long increase(void)
{
    struct xen_memory_reservation a = { .nr_extents = 1, .domid = GUEST };
    return MEM(v0(), XENMEM_increase_reservation, a);
}
static long pod(void)
{
    struct xen_pod_target a = { .domid = GUEST, .target_pages = 5 };
    long rc = MEM(v0(), XENMEM_set_pod_target, a);
    return rc ? rc : MEM(v0(), XENMEM_get_pod_target, a);
}
static void map_set(void) { assert_int_equal(set_map(), 0); }
static long ask_map(void)
{
    struct xen_memory_map a = { .nr_entries = 3 };
    a.buffer.p = (void *)LIST_GPA;
    return MEM(gv(), XENMEM_memory_map, a);
}
static long rdm_map(void)
{
    struct xen_reserved_device_memory_map a = { .nr_entries = 3 };
    return MEM(v0(), XENMEM_reserved_device_memory_map, a);
}
static long grant_questions(void)
{
    struct gnttab_query_size q[1] = { { .dom = GUEST, .status = -1 } };
    struct gnttab_set_version set[1] = { { 1 } };
    struct gnttab_get_version get[1] = { { .dom = GUEST } };
    long a = GNT(GNTTABOP_query_size, q), b = GNT(GNTTABOP_set_version, set), c = GNT(GNTTABOP_get_version, get);
    return MIN(MIN(a, b), c);
}
static long close_port(void)
{
    struct evtchn_close a = { .port = ports[0] };
    return EVT(gv(), EVTCHNOP_close, a);
}
static long port_status(void)
{
    struct evtchn_status a = { .dom = DOMID_SELF, .port = ports[0] };
    return EVT(gv(), EVTCHNOP_status, a);
}
static long bind_vcpu(void)
{
    struct evtchn_bind_vcpu a = { .port = ports[0], .vcpu = 1 };
    return EVT(gv(), EVTCHNOP_bind_vcpu, a);
}
static long unmask(void)
{
    struct evtchn_unmask a = { .port = ports[0] };
    return EVT(gv(), EVTCHNOP_unmask, a);
}
static long priority(void)
{
    struct evtchn_set_priority a = { .port = ports[0], .priority = 3 };
    return EVT(gv(), EVTCHNOP_set_priority, a);
}
static void nothing(void) {}
