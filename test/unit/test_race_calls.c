/* SPDX-License-Identifier: MIT */
/*
 * Operations of one table against each other, every pair, on two CPUs, in all orders of their steps (interleave.h):
 * memory, grants, event channels, vCPUs, destruction of the domain they are about. After each run the global audit.
 * Pairs of operations that are each one step to their callers must end as one of their two serial orders does: with
 * the same successes and the same visible state.
 */
#include "call_env.h"
#include "audit.h"
#include "evtchn/evtchn_priv.h"
#include "gnttab/gnttab_priv.h"
#include "interleave.h"
#include "mm/p2m_internal.h"

#define GUEST 1u
#define ARG(slot) (PAGE_SIZE * (1u + (slot)))   /* arguments of an actor, in its caller's memory */
#define HOLE 700u                               /* nothing there in the guest */
#define DOM0_GFN 0x900u                         /* nothing there in dom0 */
#define REF 8u                                  /* mapped by dom0 when a run starts; REF + 1 is not */

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
static long reserve(unsigned cmd, u64 gfn)      /* by the toolstack */
{
    struct { struct xen_memory_reservation a; u64 gfn; } x = { { .nr_extents = 1, .domid = GUEST }, gfn };
    x.a.extent_start.p = (void *)(ARG(slot) + offsetof(__typeof__(x), gfn));
    long rc = MEM(dom0, cmd, x);
    return rc == 1 ? 0 : rc < 0 ? rc : -ENOMEM;
}
static long populate(void) { return reserve(XENMEM_populate_physmap, HOLE); }
static long decrease(void) { return reserve(XENMEM_decrease_reservation, 20); }
static long translate(void)
{
    u64 x = 0;
    int rc = guest_read_gpa(g, &x, 20 * PAGE_SIZE, sizeof(x));
    if (!rc && x != 0x20) panic("read of another's page: %llx\n", (unsigned long long)x);
    return rc;
}
static long foreign(void)
{
    struct { struct xen_add_to_physmap_batch a; u64 idx, gpfn; s32 err; } x = { .idx = 20, .gpfn = DOM0_GFN,
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

/* ---- grants ---- */
static struct grant_entry_v1 *entry(u32 ref) { return &g->gnttab->frame[0][ref]; }
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

/* ---- vCPUs, life and death ---- */
static long vcpu_up(void) { return call_from(g, __HYPERVISOR_vcpu_op, VCPUOP_up, 2, 0); }
static long vcpu_down(void) { return call_from(g, __HYPERVISOR_vcpu_op, VCPUOP_down, 2, 0); }
static long info(void)
{
    struct vcpu_register_vcpu_info a = { .mfn = 41, .offset = 128 };
    memcpy(fake_guest_ptr(g, ARG(slot)), &a, sizeof(a));
    return call_from(g, __HYPERVISOR_vcpu_op, VCPUOP_register_vcpu_info, 2, ARG(slot));
}
static long control(u32 cmd)
{
    struct xen_domctl a = { .cmd = cmd, .interface_version = XEN_DOMCTL_INTERFACE_VERSION, .domain = GUEST };
    memcpy(fake_guest_ptr(dom0, ARG(slot)), &a, sizeof(a));
    return call_from(dom0, __HYPERVISOR_domctl, ARG(slot), 0, 0);
}
static long pause(void) { return control(XEN_DOMCTL_pausedomain); }
static long destroy(void) { return control(XEN_DOMCTL_destroydomain); }

/* STEPS: more than one step to a caller, or it looks at what is in use just now: audited only. BY_GUEST: made by the
 * guest, which is waited for when it is destroyed. */
enum { ONE = 0, STEPS = 1, BY_GUEST = 2 };
static const struct op { const char *name; long (*fn)(void); unsigned flags; } ops[] = {
    { "destroy", destroy, STEPS }, { "populate", populate, ONE }, { "decrease", decrease, ONE },
    { "translate", translate, ONE }, { "map foreign", foreign, ONE }, { "unmap foreign", foreign_end, ONE },
    { "move", move, ONE }, { "move onto", move_onto, ONE }, { "map grant", map, ONE },
    { "map grant again", map_again, ONE }, { "unmap grant", unmap, ONE }, { "copy", copy, ONE },
    { "revoke", revoke, STEPS | BY_GUEST }, { "alloc port", alloc, ONE }, { "bind", bind, ONE },
    { "close", close_g, BY_GUEST },
    { "close offered", close_free, BY_GUEST }, { "close in dom0", close_0, ONE }, { "send", send, ONE },
    { "reset", reset, STEPS | BY_GUEST }, { "fifo", fifo, BY_GUEST }, { "vcpu up", vcpu_up, BY_GUEST },
    { "vcpu down", vcpu_down, BY_GUEST }, { "vcpu_info", info, BY_GUEST }, { "pause", pause, ONE },
};

/* ---- a run ---- */
static const struct op *now[3];
static long result[3];
static u64 serial[8];
static unsigned nr_serial;

static void run_setup(void *arg)
{
    u32 h;
    fake_machine_init(16, 3);
    sched_init();
    slot = 0;
    dom0 = fake_domain_vcpus(0, 64, 3);
    g = fake_domain_vcpus(GUEST, 600, 3);
    g->max_pages = 700;
    for (unsigned i = 0; i < 3; i++) g->vcpu[i]->initialised = true;
    *(u64 *)fake_guest_ptr(g, 20 * PAGE_SIZE) = 0x20;
    *(u64 *)fake_guest_ptr(g, 21 * PAGE_SIZE) = 0x20;
    mfn_t m;
    if (gnttab_get_frame(g, 0, &m)) abort();
    for (u32 i = 0; i < 2; i++)
        *entry(REF + i) = (struct grant_entry_v1){ .flags = GTF_permit_access, .domid = 0, .frame = 20 };
    struct evtchn_alloc_unbound a = { .dom = GUEST, .remote_dom = 0 };
    struct evtchn_bind_interdomain b = { .remote_dom = GUEST };
    bool ok = !map_ref(REF, DOM0_GFN + 4, &handle) && !EVT(dom0, EVTCHNOP_alloc_unbound, a);
    b.remote_port = port_g = a.port;
    ok = ok && !EVT(dom0, EVTCHNOP_bind_interdomain, b) && !EVT(dom0, EVTCHNOP_alloc_unbound, a);
    port_0 = b.local_port;
    port_free = a.port;
    ok = ok && !map_ref(REF, DOM0_GFN + 1, &h) && !foreign();
    struct xen_remove_from_physmap r = { .domid = DOMID_SELF, .gpfn = DOM0_GFN };
    ok = ok && !MEM(dom0, XENMEM_remove_from_physmap, r);
    if (!ok) panic("race: cannot set up\n");
}

static void act(unsigned i)
{
    slot = i;
    result[i] = -ESRCH;
    /* As the run loop: running first, then a look whether it may. */
    if (now[i]->flags & BY_GUEST) fake_enter_cpu(i, g->vcpu[i]);
    if (!(now[i]->flags & BY_GUEST) || load_acquire(&g->state) == DOM_ALIVE) result[i] = now[i]->fn();
    leave();
}
static void act0(void *arg) { act(0); }
static void act1(void *arg) { act(1); }
static void act2(void *arg) { act(2); }

static void run_check(void *arg)
{
    slot = 0;
    this_cpu_ptr = cpus[0];
    audit_all();
    unsigned n = now[2] ? 3 : 2, flags = 0;
    u64 outcome = audit_digest(false);
    for (unsigned i = 0; i < n; i++) {
        flags |= now[i]->flags;
        outcome = outcome * 31 + (result[i] < 0);
    }
    if (now[0]->fn == destroy)
        if (result[0] || g->evtchn->active || g->tot_pages || g->gnttab->mt_used || g->p2m->root)
            panic("race: %s left something of the domain that was destroyed (%ld)\n", now[1]->name, result[0]);
    if (flags & STEPS) {
        timer_run();
        audit_all();
        return;
    }
    unsigned i = 0;
    while (i < nr_serial && serial[i] != outcome) i++;
    if (i < nr_serial) return;
    if (interleave_preemptions())
        panic("race: %s (%ld) and %s (%ld) end as in no order\n", now[0]->name, result[0], now[1]->name, result[1]);
    serial[nr_serial++] = outcome;
}

static unsigned explored, unfinished;
static void explore(const struct op *a, const struct op *b, const struct op *c, unsigned bound, unsigned max)
{
    struct interleave il = { c ? 3 : 2, { act0, act1, act2 }, run_setup, run_check, NULL, bound, max };
    now[0] = a, now[1] = b, now[2] = c;
    nr_serial = 0;
    interleave_id = (unsigned)((a - ops) * 64 + (b - ops)) * 64 + (c ? (unsigned)(c - ops) + 1 : 0);
    unsigned runs = interleave_explore(&il);
    explored += runs;
    unfinished += !interleave_complete();
    if (getenv("FAKE_VERBOSE"))
        print_message("%s, %s%s%s: %u%s\n", a->name, b->name, c ? ", " : "", c ? c->name : "", runs,
                      interleave_complete() ? "" : " of more");
}

static void test_pairs(void **state)
{
    for (unsigned i = 1; i < ARRAY_SIZE(ops); i++)
        for (unsigned k = i; k < ARRAY_SIZE(ops); k++) explore(&ops[i], &ops[k], NULL, 2, 8);
    print_message("%u schedules, %u explorations cut short\n", explored, unfinished);
}

static void test_destroy(void **state)
{
    explored = unfinished = 0;
    for (unsigned k = 0; k < ARRAY_SIZE(ops); k++) explore(&ops[0], &ops[k], NULL, 2, 40);
    print_message("%u schedules, %u explorations cut short\n", explored, unfinished);
}

static const struct op *op(const char *name)
{
    for (unsigned i = 0; i < ARRAY_SIZE(ops); i++)
        if (!strcmp(ops[i].name, name)) return &ops[i];
    fail_msg("no operation %s", name);
    return NULL;
}

static void test_triples(void **state)
{
    static const char *const triples[][3] = {
        { "decrease", "map foreign", "translate" }, { "map grant", "unmap grant", "decrease" },
        { "map grant", "revoke", "copy" }, { "bind", "close offered", "send" }, { "close", "close in dom0", "send" },
        { "vcpu up", "vcpu down", "vcpu_info" }, { "destroy", "map grant", "bind" },
        { "destroy", "map foreign", "populate" }, { "move", "decrease", "map grant" },
    };
    explored = unfinished = 0;
    for (unsigned i = 0; i < ARRAY_SIZE(triples); i++)
        explore(op(triples[i][0]), op(triples[i][1]), op(triples[i][2]), 2, 60);
    print_message("%u schedules, %u explorations cut short\n", explored, unfinished);
}

static int group_setup(void **state)
{
    static struct cpu early;
    this_cpu_ptr = &early;
    policy_init();
    return 0;
}

int main(void)
{
    const struct CMUnitTest t[] = {
        cmocka_unit_test(test_destroy), cmocka_unit_test(test_pairs), cmocka_unit_test(test_triples),
    };
    return cmocka_run_group_tests(t, group_setup, NULL);
}
