/* SPDX-License-Identifier: MIT */
/* The operations of test_race_calls.c, one function and one row each. A guest and dom0 with three vCPUs each; actor i
 * of a run calls as vCPU i, with its arguments in page 1 + i of the caller. */
#pragma once
#include "call_env.h"
#include "dom/internal.h"
#include "evtchn/evtchn_priv.h"
#include "gnttab/gnttab_priv.h"

#define GUEST 1u
#define ARG(slot) (PAGE_SIZE * (1u + (slot)))   /* arguments of an actor, in its caller's memory */
#define LIST(slot) (ARG(slot) + 2048)           /* what they point to */
#define STATE_GPA (32 * PAGE_SIZE)              /* in dom0: a saved state of the guest */
#define STATE_BYTES (24 * PAGE_SIZE)
#define HOLE 700u                               /* nothing there in the guest */
#define DOM0_GFN 0x900u                         /* nothing there in dom0 */
#define SUPER 1024u                             /* place for a second superpage */
#define REF 8u                                  /* mapped by dom0 when a run starts; the three after it are not */
#define HELPER 2u                               /* another domain, for operations that need one */

static struct domain *g;
static u32 handle;
static u32 port_g, port_0, port_free;           /* g - dom0, connected; g's, offered to dom0 */
static __thread unsigned slot;

/* ---- calls, from the CPU of the actor ---- */
static void leave(void)
{
    struct vcpu *v = this_cpu()->curr;
    this_cpu()->curr = NULL;
    if (v) store_release(&v->running, 0);
}
static long call_from(struct domain *d, unsigned nr, u64 a0, u64 a1, u64 a2)
{
    struct vcpu *v = d->vcpu[slot];
    struct vcpu_regs *r = &v->regs;
    *r = (struct vcpu_regs){ .rax = nr, .rdi = a0, .rsi = a1, .rdx = a2 };
    fake_enter_cpu(slot, v);
    while (!call_dispatch(v)) cpu_relax();      /* asked to come again: somebody has the lock of control operations */
    assert_no_locks();
    leave();
    return (long)r->rax;
}
static long call1(struct domain *d, unsigned nr, unsigned cmd, void *arg, size_t size, u64 a2)
{
    void *p = fake_guest_ptr(d, ARG(slot));
    memcpy(p, arg, size);
    long rc = call_from(d, nr, cmd, ARG(slot), a2);
    p = fake_guest_ptr(d, ARG(slot));
    if (p) memcpy(arg, p, size);
    return rc;
}
#define MEM(d, cmd, a) call1(d, __HYPERVISOR_memory_op, cmd, &(a), sizeof(a), 0)
#define EVT(d, cmd, a) call1(d, __HYPERVISOR_event_channel_op, cmd, &(a), sizeof(a), 0)

/* ---- memory ---- */
static long reserve(unsigned cmd, u64 gfn, unsigned order)      /* by the toolstack */
{
    struct { struct xen_memory_reservation a; u64 gfn; } x = { { .nr_extents = 1, .extent_order = order,
                                                                 .domid = GUEST }, gfn };
    x.a.extent_start.p = (void *)(ARG(slot) + offsetof(__typeof__(x), gfn));
    long rc = MEM(dom0, cmd, x);
    return rc == 1 ? 0 : rc < 0 ? rc : -ENOMEM;
}
static long populate(void) { return reserve(XENMEM_populate_physmap, HOLE, ORDER_4K); }
static long decrease(void) { return reserve(XENMEM_decrease_reservation, 20, ORDER_4K); }
static long translate(void)
{
    u64 x = 0;
    int rc = guest_read_gpa(g, &x, 20 * PAGE_SIZE, sizeof(x));
    if (!rc && x != 0x20) panic("read of another's page: %llx\n", (unsigned long long)x);
    return rc;
}
static long foreign_at(u64 gfn)
{
    struct { struct xen_add_to_physmap_batch a; u64 idx, gpfn; s32 err; } x = { .idx = 20, .gpfn = gfn,
                                                                                  .err = -1 };
    gpa_t at = ARG(slot);
    x.a = (struct xen_add_to_physmap_batch){ .domid = DOMID_SELF, .space = XENMAPSPACE_gmfn_foreign, .size = 1,
                                             .u.foreign_domid = GUEST };
    x.a.idxs.p = (void *)(at + offsetof(__typeof__(x), idx));
    x.a.gpfns.p = (void *)(at + offsetof(__typeof__(x), gpfn));
    x.a.errs.p = (void *)(at + offsetof(__typeof__(x), err));
    long rc = MEM(dom0, XENMEM_add_to_physmap_batch, x);
    return rc ? rc : x.err;
}
static long foreign(void) { return foreign_at(DOM0_GFN); }
static long foreign_end(void)
{
    struct xen_remove_from_physmap a = { .domid = DOMID_SELF, .gpfn = DOM0_GFN + 1 };
    return MEM(dom0, XENMEM_remove_from_physmap, a);
}
static long move(void)
{
    struct xen_add_to_physmap a = { .domid = GUEST, .space = XENMAPSPACE_gmfn, .idx = 20, .gpfn = HOLE + 1 };
    return MEM(dom0, XENMEM_add_to_physmap, a);
}
static long move_onto(void)
{
    struct xen_add_to_physmap a = { .domid = GUEST, .space = XENMAPSPACE_gmfn, .idx = 21, .gpfn = 20 };
    return MEM(dom0, XENMEM_add_to_physmap, a);
}

static long add(u16 domid, unsigned space, u64 idx, u64 gfn)
{
    struct xen_add_to_physmap a = { .domid = domid, .space = space, .idx = idx, .gpfn = gfn };
    return MEM(domid == DOMID_SELF ? g : dom0, XENMEM_add_to_physmap, a);
}
static long add_info(void) { return add(GUEST, XENMAPSPACE_shared_info, 0, HOLE + 2); }
static long add_grant(void) { return add(DOMID_SELF, XENMAPSPACE_grant_table, 0, HOLE + 3); }
static long add_grant_onto(void) { return add(DOMID_SELF, XENMAPSPACE_grant_table, 1, 20); }
/* Out of a superpage, and a whole one. */
static long take_away(void)
{
    struct xen_remove_from_physmap a = { .domid = GUEST, .gpfn = 20 };
    return MEM(dom0, XENMEM_remove_from_physmap, a);
}
static long decrease_2m(void) { return reserve(XENMEM_decrease_reservation, SUPER, ORDER_2M); }
static long superpage(void)
{
    g->max_pages += 512;
    return reserve(XENMEM_populate_physmap, SUPER, ORDER_2M);
}
static long acquire(void)
{
    struct xen_mem_acquire_resource a = { .domid = GUEST, .type = XENMEM_resource_grant_table, .nr_frames = 2 };
    a.frame_list.p = (void *)LIST(slot);
    u64 *gfn = fake_guest_ptr(dom0, LIST(slot));
    gfn[0] = DOM0_GFN + 8;
    gfn[1] = DOM0_GFN + 9;
    return MEM(dom0, XENMEM_acquire_resource, a);
}

/* ---- grants ---- */
static struct grant_entry_v1 *entry(u32 ref) { return (void *)&g->gnttab->frame[0][ref]; }
static long map_ref(u32 ref, u64 gfn, u32 *h)
{
    struct gnttab_map_grant_ref a = { .host_addr = gfn * PAGE_SIZE, .flags = GNTMAP_host_map, .ref = ref,
                                      .dom = GUEST };
    long rc = call1(dom0, __HYPERVISOR_grant_table_op, GNTTABOP_map_grant_ref, &a, sizeof(a), 1);
    *h = a.handle;
    return rc ? rc : a.status;
}
static long map(void) { return map_ref(REF + 1, DOM0_GFN + 2, &(u32){ 0 }); }
static long map_again(void) { return map_ref(REF, DOM0_GFN + 3, &(u32){ 0 }); }
static long unmap(void)
{
    struct gnttab_unmap_grant_ref a = { .host_addr = (DOM0_GFN + 4) * PAGE_SIZE, .handle = handle };
    long rc = call1(dom0, __HYPERVISOR_grant_table_op, GNTTABOP_unmap_grant_ref, &a, sizeof(a), 1);
    return rc ? rc : a.status;
}
static long copy(void)
{
    struct gnttab_copy c = { .source = { .u.ref = REF + 1, .domid = GUEST },
                             .dest = { .u.gmfn = 30, .domid = DOMID_SELF }, .len = 8, .flags = GNTCOPY_source_gref };
    long rc = call1(dom0, __HYPERVISOR_grant_table_op, GNTTABOP_copy, &c, sizeof(c), 1);
    return rc ? rc : c.status;
}
static long copy_into(void)
{
    struct gnttab_copy c = { .source = { .u.gmfn = 30, .domid = DOMID_SELF },
                             .dest = { .u.ref = REF + 2, .domid = GUEST }, .len = 8, .flags = GNTCOPY_dest_gref };
    long rc = call1(dom0, __HYPERVISOR_grant_table_op, GNTTABOP_copy, &c, sizeof(c), 1);
    return rc ? rc : c.status;
}
static long setup_table(void)
{
    struct gnttab_setup_table a = { .dom = GUEST, .nr_frames = 3 };
    a.frame_list.p = (void *)LIST(slot);
    long rc = call1(dom0, __HYPERVISOR_grant_table_op, GNTTABOP_setup_table, &a, sizeof(a), 1);
    return rc ? rc : a.status;
}
static long swap(void)
{
    struct gnttab_swap_grant_ref a = { REF + 1, REF + 3, 0 };
    long rc = call1(g, __HYPERVISOR_grant_table_op, GNTTABOP_swap_grant_ref, &a, sizeof(a), 1);
    return rc ? rc : a.status;
}
/* As Linux ends foreign access: only if the entry is not in use. */
static long revoke(void)
{
    return atomic_cas((u32 *)entry(REF + 1), (u32)GTF_permit_access, 0u) ? 0 : -EBUSY;
}

/* ---- event channels ---- */
static long alloc(void)
{
    struct evtchn_alloc_unbound a = { .dom = GUEST, .remote_dom = 0 };
    return EVT(dom0, EVTCHNOP_alloc_unbound, a);
}
static long bind(void)
{
    struct evtchn_bind_interdomain a = { .remote_dom = GUEST, .remote_port = port_free };
    return EVT(dom0, EVTCHNOP_bind_interdomain, a);
}
static long close_g(void) { struct evtchn_close a = { port_g }; return EVT(g, EVTCHNOP_close, a); }
static long close_free(void) { struct evtchn_close a = { port_free }; return EVT(g, EVTCHNOP_close, a); }
static long close_0(void) { struct evtchn_close a = { port_0 }; return EVT(dom0, EVTCHNOP_close, a); }
static long send(void) { struct evtchn_send a = { port_0 }; return EVT(dom0, EVTCHNOP_send, a); }
static long reset(void) { struct evtchn_reset a = { DOMID_SELF }; return EVT(g, EVTCHNOP_reset, a); }
static long fifo(void)
{
    struct evtchn_init_control a = { .control_gfn = 40, .vcpu = 0 };
    return EVT(g, EVTCHNOP_init_control, a);
}

static long bind_virq(void)
{
    struct evtchn_bind_virq a = { .virq = VIRQ_DEBUG, .vcpu = 1 };
    return EVT(g, EVTCHNOP_bind_virq, a);
}
static long bind_ipi(void) { struct evtchn_bind_ipi a = { .vcpu = 2 }; return EVT(g, EVTCHNOP_bind_ipi, a); }
static long bind_vcpu(void) { struct evtchn_bind_vcpu a = { port_g, 2 }; return EVT(g, EVTCHNOP_bind_vcpu, a); }
static long unmask(void) { struct evtchn_unmask a = { port_g }; return EVT(g, EVTCHNOP_unmask, a); }
static long send_g(void) { struct evtchn_send a = { port_g }; return EVT(g, EVTCHNOP_send, a); }
static long port_status(void)
{
    struct evtchn_status a = { .dom = GUEST, .port = port_g };
    return EVT(dom0, EVTCHNOP_status, a);
}
static long priority(void)
{
    struct evtchn_set_priority a = { .port = port_g, .priority = 3 };
    return EVT(g, EVTCHNOP_set_priority, a);
}
static long expand(void)
{
    struct evtchn_expand_array a = { .array_gfn = 42 };
    return EVT(g, EVTCHNOP_expand_array, a);
}
static long fifo_first(void)
{
    struct evtchn_init_control a = { .control_gfn = 43, .vcpu = 1 };
    return EVT(g, EVTCHNOP_init_control, a);
}
static long poll(void)
{
    struct sched_poll a = { .nr_ports = 1 };
    a.ports.p = (void *)LIST(slot);
    *(u32 *)fake_guest_ptr(g, LIST(slot)) = port_g;
    return call1(g, __HYPERVISOR_sched_op, SCHEDOP_poll, &a, sizeof(a), 0);
}

/* ---- vCPUs, life and death ---- */
static long vcpu_up(void) { return call_from(g, __HYPERVISOR_vcpu_op, VCPUOP_up, 2, 0); }
static long vcpu_down(void) { return call_from(g, __HYPERVISOR_vcpu_op, VCPUOP_down, 2, 0); }
static long vcpu_init(void)
{
    struct vcpu_hvm_context a = { .mode = VCPU_HVM_MODE_64B, .cpu_regs.x86_64 = {
        .cr0 = 0x80000011, .cr4 = 0x20, .efer = 0x500 } };
    memcpy(fake_guest_ptr(g, ARG(slot)), &a, sizeof(a));
    return call_from(g, __HYPERVISOR_vcpu_op, VCPUOP_initialise, 2, ARG(slot));
}
static long info(void)
{
    struct vcpu_register_vcpu_info a = { .mfn = 41, .offset = 128 };
    memcpy(fake_guest_ptr(g, ARG(slot)), &a, sizeof(a));
    return call_from(g, __HYPERVISOR_vcpu_op, VCPUOP_register_vcpu_info, 2, ARG(slot));
}
static long uninitialise(void) { g->vcpu[2]->initialised = false; return 0; }
static long vcpu_op_with(unsigned cmd, unsigned id, const void *arg, size_t size)
{
    memcpy(fake_guest_ptr(g, ARG(slot)), arg, size);
    return call_from(g, __HYPERVISOR_vcpu_op, cmd, id, ARG(slot));
}
/* Across a page boundary. */
static long runstate(void)
{
    struct vcpu_register_runstate_memory_area a = { .addr.p = 45 * PAGE_SIZE - 24 };
    return vcpu_op_with(VCPUOP_register_runstate_memory_area, 2, &a, sizeof(a));
}
static long time_area(void)
{
    struct vcpu_register_time_memory_area a = { .addr.p = 45 * PAGE_SIZE - 24 };
    return vcpu_op_with(VCPUOP_register_vcpu_time_memory_area, 2, &a, sizeof(a));
}
static long periodic(void)
{
    struct vcpu_set_periodic_timer a = { .period_ns = 2000000 };
    return vcpu_op_with(VCPUOP_set_periodic_timer, 2, &a, sizeof(a));
}
static long periodic_end(void) { return call_from(g, __HYPERVISOR_vcpu_op, VCPUOP_stop_periodic_timer, 2, 0); }
static long singleshot(void)
{
    struct vcpu_set_singleshot_timer a = { .timeout_abs_ns = 5000000000 };
    return vcpu_op_with(VCPUOP_set_singleshot_timer, slot, &a, sizeof(a));
}
static long hvm_call(struct domain *d, unsigned cmd, struct xen_hvm_param *a)
{
    return call1(d, __HYPERVISOR_hvm_op, cmd, a, sizeof(*a), 0);
}
static long param(void)
{
    struct xen_hvm_param a = { .domid = GUEST, .index = HVM_PARAM_CONSOLE_PFN, .value = 50 };
    return hvm_call(dom0, HVMOP_set_param, &a);
}
static long param_callback(void)
{
    struct xen_hvm_param a = { .domid = DOMID_SELF, .index = HVM_PARAM_CALLBACK_IRQ, .value = 2ULL << 56 | 0x40 };
    return hvm_call(g, HVMOP_set_param, &a);
}
static long param_read(void)
{
    struct xen_hvm_param a = { .domid = GUEST, .index = HVM_PARAM_CONSOLE_PFN };
    return hvm_call(dom0, HVMOP_get_param, &a);
}
static long upcall_vector(void)
{
    struct xen_hvm_evtchn_upcall_vector a = { .vcpu = 2, .vector = 0x50 };
    return call1(g, __HYPERVISOR_hvm_op, HVMOP_set_evtchn_upcall_vector, &a, sizeof(a), 0);
}

/* ---- control ---- */
static long control_with(u16 id, struct xen_domctl *a)
{
    a->interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    a->domain = id;
    memcpy(fake_guest_ptr(dom0, ARG(slot)), a, sizeof(*a));
    long rc = call_from(dom0, __HYPERVISOR_domctl, ARG(slot), 0, 0);
    memcpy(a, fake_guest_ptr(dom0, ARG(slot)), sizeof(*a));
    return rc;
}
static long control(u32 cmd) { struct xen_domctl a = { .cmd = cmd }; return control_with(GUEST, &a); }
static long pause(void) { return control(XEN_DOMCTL_pausedomain); }
static long destroy(void) { return control(XEN_DOMCTL_destroydomain); }
static long get_info(void) { return control(XEN_DOMCTL_getdomaininfo); }
static long pool_size(void) { return control(XEN_DOMCTL_get_paging_mempool_size); }
static long pool_resize(void)
{
    struct xen_domctl a = { .cmd = XEN_DOMCTL_set_paging_mempool_size, .u.paging_mempool.size = KiB(1536) };
    return control_with(GUEST, &a);
}
static long vcpu_facts(void)
{
    struct xen_domctl a = { .cmd = XEN_DOMCTL_getvcpuinfo, .u.getvcpuinfo.vcpu = 2 };
    return control_with(GUEST, &a);
}
static long affinity(void)
{
    struct xen_domctl a = { .cmd = XEN_DOMCTL_getvcpuaffinity, .u.vcpuaffinity = {
        .vcpu = 2, .flags = XEN_VCPUAFFINITY_HARD, .cpumap_hard.nr_bits = 8 } };
    a.u.vcpuaffinity.cpumap_hard.bitmap.p = (void *)LIST(slot);
    return control_with(GUEST, &a);
}
static long frame_info(void)
{
    struct xen_domctl a = { .cmd = XEN_DOMCTL_getpageframeinfo3, .u.getpageframeinfo3.num = 2 };
    a.u.getpageframeinfo3.array.p = (void *)LIST(slot);
    ((u64 *)fake_guest_ptr(dom0, LIST(slot)))[0] = 20;
    ((u64 *)fake_guest_ptr(dom0, LIST(slot)))[1] = HOLE;
    return control_with(GUEST, &a);
}
static long make_vcpus(void)
{
    struct xen_domctl a = { .cmd = XEN_DOMCTL_max_vcpus, .u.max_vcpus.max = 3 };
    return control_with(GUEST, &a);
}
static long vcpu_missing(void) { vcpu_free(g->vcpu[2]); return 0; }
static u32 state_bytes;
static long state_saved(void)
{
    struct xen_domctl a = { .cmd = XEN_DOMCTL_gethvmcontext, .u.hvmcontext.size = STATE_BYTES };
    a.u.hvmcontext.buffer.p = (void *)STATE_GPA;
    long rc = control_with(GUEST, &a);
    state_bytes = a.u.hvmcontext.size;
    return rc;
}
static long restore(void)
{
    struct xen_domctl a = { .cmd = XEN_DOMCTL_sethvmcontext, .u.hvmcontext.size = state_bytes };
    a.u.hvmcontext.buffer.p = (void *)STATE_GPA;
    return control_with(GUEST, &a);
}
static long helper_there(void) { (void)fake_domain_vcpus(HELPER, 16, 1); return 0; }
static long set_target(void)
{
    struct xen_domctl a = { .cmd = XEN_DOMCTL_set_target, .u.set_target.target = GUEST };
    return control_with(HELPER, &a);
}
static long create(void)
{
    struct xen_domctl a;
    pvh_config(&a, 1);
    a.cmd = XEN_DOMCTL_createdomain;
    return control_with(0xffff, &a);
}
static long list_domains(void)
{
    struct xen_sysctl a = { .cmd = XEN_SYSCTL_getdomaininfolist, .interface_version = XEN_SYSCTL_INTERFACE_VERSION,
                            .u.getdomaininfolist.max_domains = 4 };
    a.u.getdomaininfolist.buffer.p = (void *)LIST(slot);
    memcpy(fake_guest_ptr(dom0, ARG(slot)), &a, sizeof(a));
    return call_from(dom0, __HYPERVISOR_sysctl, ARG(slot), 0, 0);
}
static long stop(void)
{
    struct sched_remote_shutdown a = { .domain_id = GUEST, .reason = SHUTDOWN_poweroff };
    return call1(dom0, __HYPERVISOR_sched_op, SCHEDOP_remote_shutdown, &a, sizeof(a), 0);
}

/* The clock of a dom0 that sets it is its own; each vCPU sets another time. */
static long settime(void)
{
    struct xen_platform_op a = { .cmd = XENPF_settime64, .interface_version = XENPF_INTERFACE_VERSION,
                                 .u.settime64 = { .secs = 1800000000 + slot } };
    memcpy(fake_guest_ptr(dom0, ARG(slot)), &a, sizeof(a));
    return call_from(dom0, __HYPERVISOR_platform_op, ARG(slot), 0, 0);
}

/* STEPS: more than one step to a caller, or it looks at what is in use just now: audited only. BY_GUEST: made by the
 * guest, which is waited for when it is destroyed. */
enum { ONE = 0, STEPS = 1, BY_GUEST = 2 };
static const struct op {
    const char *name;
    long (*fn)(void);
    unsigned flags;
    long (*before)(void);           /* what it needs; NULL: nothing */
} ops[] = {
    { "destroy", destroy, STEPS, NULL },
    { "populate", populate, ONE, NULL },
    { "decrease", decrease, ONE, NULL },
    { "decrease 2M", decrease_2m, ONE, superpage },
    { "remove", take_away, ONE, NULL },
    { "translate", translate, ONE, NULL },
    { "map foreign", foreign, ONE, NULL },
    { "unmap foreign", foreign_end, ONE, NULL },
    { "move", move, ONE, NULL },
    { "move onto", move_onto, ONE, NULL },
    { "map shared info", add_info, ONE, NULL },
    { "map grant frame", add_grant, BY_GUEST, NULL },
    { "map grant frame onto", add_grant_onto, BY_GUEST, NULL },
    { "acquire resource", acquire, STEPS, NULL },
    { "map grant", map, ONE, NULL },
    { "map grant again", map_again, ONE, NULL },
    { "unmap grant", unmap, ONE, NULL },
    { "copy", copy, ONE, NULL },
    { "copy into", copy_into, ONE, NULL },
    { "revoke", revoke, STEPS | BY_GUEST, NULL },
    { "setup table", setup_table, ONE, NULL },
    { "swap", swap, STEPS | BY_GUEST, NULL },
    { "alloc port", alloc, ONE, NULL },
    { "bind", bind, ONE, NULL },
    { "bind virq", bind_virq, BY_GUEST, NULL },
    { "bind ipi", bind_ipi, BY_GUEST, NULL },
    { "bind vcpu", bind_vcpu, BY_GUEST, NULL },
    { "close", close_g, BY_GUEST, NULL },
    { "close offered", close_free, BY_GUEST, NULL },
    { "close in dom0", close_0, ONE, NULL },
    { "send", send, ONE, NULL },
    { "send back", send_g, BY_GUEST, NULL },
    { "unmask", unmask, BY_GUEST, NULL },
    { "status", port_status, ONE, NULL },
    { "poll", poll, STEPS | BY_GUEST, NULL },
    { "reset", reset, STEPS | BY_GUEST, NULL },
    { "fifo", fifo, BY_GUEST, NULL },
    { "priority", priority, BY_GUEST, fifo_first },
    { "expand array", expand, BY_GUEST, fifo_first },
    { "vcpu up", vcpu_up, BY_GUEST, NULL },
    { "vcpu down", vcpu_down, BY_GUEST, NULL },
    { "vcpu_info", info, BY_GUEST, NULL },
    { "vcpu initialise", vcpu_init, BY_GUEST, uninitialise },
    { "runstate area", runstate, BY_GUEST, NULL },
    { "time area", time_area, BY_GUEST, NULL },
    { "periodic timer", periodic, BY_GUEST, NULL },
    { "periodic timer end", periodic_end, BY_GUEST, NULL },
    { "singleshot timer", singleshot, BY_GUEST, NULL },
    { "upcall vector", upcall_vector, BY_GUEST, NULL },
    { "callback param", param_callback, BY_GUEST, NULL },
    { "param", param, ONE, NULL },
    { "param read", param_read, ONE, NULL },
    { "pause", pause, ONE, NULL },
    { "shutdown", stop, STEPS, NULL },
    { "domain info", get_info, ONE, NULL },
    { "domain list", list_domains, ONE, NULL },
    { "vcpu facts", vcpu_facts, ONE, NULL },
    { "affinity", affinity, ONE, NULL },
    { "frame info", frame_info, ONE, NULL },
    { "pool size", pool_size, ONE, NULL },
    { "pool resize", pool_resize, ONE, NULL },
    { "max vcpus", make_vcpus, ONE, vcpu_missing },
    { "restore", restore, STEPS, state_saved },
    { "set target", set_target, ONE, helper_there },
    { "create", create, STEPS, NULL },
    { "settime", settime, STEPS, NULL },
};
