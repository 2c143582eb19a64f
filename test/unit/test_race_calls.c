/* SPDX-License-Identifier: MIT */
/*
 * Operations of one table (race_ops.h) against each other, every pair, on two CPUs, in all orders of their steps
 * (interleave.h) with one switch; in the long form with two, the first of them anywhere: memory, grants, event
 * channels, vCPUs, control, destruction of the domain they are about. After each run the global audit.
 * Pairs of operations that are each one step to their callers must end as one of their two serial orders does: with
 * the same successes and the same visible state.
 */
#include "race_ops.h"
#include "audit.h"
#include "interleave.h"
#include "mm/p2m_internal.h"

/* ---- a run ---- */
static const struct op *now[3];
static long result[3];
static u64 serial[8];
static unsigned nr_serial;
static u32 pauses;                  /* of the guest when a run starts */

/* What operation i needs, unless one before it needed it too. */
static void prepare(unsigned i)
{
    long (*fn)(void) = now[i] ? now[i]->before : NULL;
    if (!fn) return;
    for (unsigned k = 0; k < i; k++)
        if (now[k]->before == fn) return;
    if (fn()) panic("race: cannot set up %s\n", now[i]->name);
}

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
    for (unsigned i = 0; i < 2; i++) g->vcpu[i]->flags = 0;         /* who calls is up */
    *(u64 *)fake_guest_ptr(g, 20 * PAGE_SIZE) = 0x20;
    *(u64 *)fake_guest_ptr(g, 21 * PAGE_SIZE) = 0x20;
    *(u64 *)fake_guest_ptr(dom0, 30 * PAGE_SIZE) = 0x20;
    mfn_t m;
    if (gnttab_get_frame(g, 0, &m)) abort();
    for (u32 i = 0; i < 3; i++)
        *entry(REF + i) = (struct grant_entry_v1){ .flags = GTF_permit_access, .domid = 0, .frame = 20 };
    struct evtchn_alloc_unbound a = { .dom = GUEST, .remote_dom = 0 };
    struct evtchn_bind_interdomain b = { .remote_dom = GUEST };
    bool ok = !map_ref(REF, DOM0_GFN + 4, &handle) && !EVT(dom0, EVTCHNOP_alloc_unbound, a);
    b.remote_port = port_g = a.port;
    ok = ok && !EVT(dom0, EVTCHNOP_bind_interdomain, b) && !EVT(dom0, EVTCHNOP_alloc_unbound, a);
    port_0 = b.local_port;
    port_free = a.port;
    ok = ok && !map_ref(REF, DOM0_GFN + 5, &h) && !foreign_at(DOM0_GFN + 1);
    if (!ok) panic("race: cannot set up\n");
    for (unsigned i = 0; i < 3; i++) prepare(i);
    pauses = g->pause_count;
}

/* As the scheduler: running first, then a look whether it may, and only then is its state loaded. */
static bool start(struct vcpu *v)
{
    atomic_xchg(&v->running, 1);
    if (load_acquire(&g->state) == DOM_ALIVE && read_once(&g->pause_count) == pauses) return true;
    store_release(&v->running, 0);
    return false;
}

static void act(unsigned i)
{
    slot = i;
    result[i] = -ESRCH;
    struct vcpu *v = now[i]->flags & BY_GUEST ? g->vcpu[i] : NULL;
    if (v && !start(v)) return;
    result[i] = now[i]->fn();
    if (v) store_release(&v->running, 0);
}
static void act0(void *arg) { act(0); }
static void act1(void *arg) { act(1); }
static void act2(void *arg) { act(2); }

/* All domains see the clock that was set last. */
static void check_wallclock(void)
{
    u64 sec;
    u32 nsec;
    wallclock_get(&sec, &nsec);
    if (guest_shared_info(g)->wc_version & 1 || guest_shared_info(g)->wc_sec != (u32)sec)
        panic("race: the guest's wall clock is %u, the machine's %lu\n", guest_shared_info(g)->wc_sec, sec);
}

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
    check_wallclock();
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
    if (nr_serial == ARRAY_SIZE(serial)) panic("race: too many serial ends\n");
    serial[nr_serial++] = outcome;
}

/* "destroy+map-grant" */
static const char *exploration(const struct op *a, const struct op *b, const struct op *c)
{
    static char name[IL_NAME];
    snprintf(name, sizeof(name), "%s+%s%s%s", a->name, b->name, c ? "+" : "", c ? c->name : "");
    for (char *p = name; *p; p++)
        if (*p == ' ') *p = '-';
    return name;
}

/* So many preemptions in all orders: 1 in make test, 2 in the long form, where no line says otherwise. */
static const struct { const char *name; unsigned in_test, in_long; } bounds[] = {
    { "destroy+destroy", 1, 1 },                /* with 2: more than 100000 schedules */
    { "destroy+map-foreign+populate", 0, 1 },   /* with 1: thousands, with 2: more than 100000 */
    { "destroy+map-grant+bind", 0, 1 },         /* the same */
    { "settime+settime", 2, 2 },
};
static unsigned bound_of(const char *name)
{
    for (unsigned i = 0; i < ARRAY_SIZE(bounds); i++)
        if (!strcmp(name, bounds[i].name)) return interleave_long() ? bounds[i].in_long : bounds[i].in_test;
    return interleave_long() ? 2 : 1;
}

/* A row that always fails would race with nothing. */
static void test_alone(void **state)
{
    for (unsigned i = 0; i < ARRAY_SIZE(ops); i++) {
        now[0] = &ops[i], now[1] = now[2] = NULL;
        run_setup(NULL);
        act(0);
        this_cpu_ptr = cpus[0];
        audit_all();
        if (result[0]) fail_msg("%s alone: %ld", ops[i].name, result[0]);
    }
}

static unsigned explored;
static void explore(const struct op *a, const struct op *b, const struct op *c)
{
    struct interleave il = { exploration(a, b, c), c ? 3 : 2, { act0, act1, act2 }, run_setup, run_check, NULL,
                             .shared_only = !interleave_long() };
    il.max_preemptions = bound_of(il.name);
    now[0] = a, now[1] = b, now[2] = c;
    nr_serial = 0;
    explored += interleave_all(&il, il.max_preemptions);
}

static void test_pairs(void **state)
{
    unsigned pairs = 0;
    explored = 0;
    for (unsigned i = 1; i < ARRAY_SIZE(ops); i++)
        for (unsigned k = i; k < ARRAY_SIZE(ops); k++, pairs++) explore(&ops[i], &ops[k], NULL);
    print_message("%u pairs, %u schedules\n", pairs, explored);
}

static void test_destroy(void **state)
{
    explored = 0;
    for (unsigned k = 0; k < ARRAY_SIZE(ops); k++) explore(&ops[0], &ops[k], NULL);
    print_message("%u pairs, %u schedules\n", (unsigned)ARRAY_SIZE(ops), explored);
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
    explored = 0;
    for (unsigned i = 0; i < ARRAY_SIZE(triples); i++)
        explore(op(triples[i][0]), op(triples[i][1]), op(triples[i][2]));
    print_message("%u triples, %u schedules\n", (unsigned)ARRAY_SIZE(triples), explored);
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
        cmocka_unit_test(test_alone), cmocka_unit_test(test_destroy), cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_triples),
    };
    return cmocka_run_group_tests(t, group_setup, NULL);
}
