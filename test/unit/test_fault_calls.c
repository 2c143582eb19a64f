/* SPDX-License-Identifier: MIT */
/*
 * Every hypercall with the k-th allocation, then the k-th guest copy failing, for k = 1, 2, ... until the operation
 * succeeds untouched. After each run the global audit; an error of an operation marked ATOMIC has changed nothing;
 * undoing what a success did leads back to the start; in the end nothing is left allocated. The same with an
 * interrupt at every place where an operation can be interrupted, so that failures come in its continuations too.
 *
 * Whether each row of the product's tables (ops.h) has a case is looked at in the end: test_every_row.
 *
 * What else could fail, and is not injected here because it has no way to fail:
 *   - Writing a table entry is one store. Only the page for a new table can be missing, which is an allocation.
 *   - Flushing CPUs' translations waits until all have left the guest; there is no error to return. A CPU that never
 *     answers is what the watchdog is for (test_watchdog).
 *   - An IOMMU command that has no answer stops the machine: nothing may go on that relies on it. test_iommu
 *     (xsa_373_*) and test_intremap (no_answer) let the answer come late and never.
 */
#define OWN_PCI
#include "call_env.h"
#include "audit.h"
#include "evtchn/evtchn_priv.h"
#include "gnttab/gnttab_priv.h"
#include "iommu/amd.h"
#include "iommu/iommu.h"
#include "dom/internal.h"
#include "acpi/acpi.h"
#include "boot/boot.h"
#include "pci/pci_priv.h"
#include "mm/block.h"
#include "mm/p2m_internal.h"

/* OUT: its last step is to write a result, and when that cannot be written the caller gets -EFAULT for what was done. */
enum { PARTIAL = 0, ATOMIC = 1, OUT = 2 };
#define GUEST 1u                /* its id; dom0 is the toolstack and the back end */
#define ARG_GPA MiB(1)
#define LIST_GPA (ARG_GPA + 2048)
#define SUPER 512u              /* first gfn of the guest's second superpage */
#define FAR 0x4000000u          /* no tables here; + i << 18: not here either */

static struct domain *g;

#include "fault_ops.h"
#include "fault_ops_control.h"

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
    { "populate_physmap in pieces", nothing, populate_pieces, populate_pieces_undo, PARTIAL },
    { "decrease_reservation in pieces", two_superpages, decrease_pieces, decrease_pieces_undo, PARTIAL },
    { "add_to_physmap shared_info", nothing, add_info, take_far, ATOMIC },
    { "add_to_physmap grant_table", whole_superpage, add_grant, take_over, ATOMIC },
    { "add_to_physmap gmfn", whole_superpage, move, move_back, ATOMIC },
    { "remove_from_physmap", whole_superpage, take_ram, refill, ATOMIC },
    { "add_to_physmap_batch foreign", nothing, foreign, foreign_undo, PARTIAL },
    { "add_to_physmap_batch in pieces", nothing, foreign_pieces, foreign_undo, PARTIAL },
    { "acquire_resource", nothing, acquire, acquire_undo, PARTIAL },
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
    { "destroydomain in pieces", built_large, destroy, kill_made, PARTIAL },
    { "get_cpu_policy", with_vcpus, get_policy, kill_made, ATOMIC },
    { "set_cpu_policy", have_policy, set_policy, kill_made, ATOMIC | OUT },
    { "gethvmcontext", with_vcpus, get_ctx, kill_made, ATOMIC },
    { "sethvmcontext", have_ctx, set_ctx, kill_made, ATOMIC },
    { "set_target", with_vcpus, set_target, kill_made, ATOMIC },
    { "setvcpuaffinity", with_vcpus, affinity, kill_made, ATOMIC },
    { "getpageframeinfo3", nothing, frame_info, nothing, ATOMIC },
    { "getvcpucontext", context_set, vcpu_context, kill_made, ATOMIC },
    { "register_vcpu_info", nothing, info_page, info_undo, ATOMIC },
    { "register_runstate_memory_area", nothing, runstate, areas_undo, ATOMIC },
    { "register_vcpu_time_memory_area", nothing, time_area, areas_undo, ATOMIC },
    { "vcpu initialise", uninitialise, initialise, uninitialise, ATOMIC },
    { "vcpu up", initialised, up, down_undo, ATOMIC },
    { "vcpu down", is_up, down, down_undo, ATOMIC },
    { "vcpu is_up", nothing, ask_up, nothing, ATOMIC },
    { "vcpu get_runstate_info", nothing, runstate_info, nothing, ATOMIC },
    { "vcpu set_periodic_timer", nothing, periodic, periodic_undo, ATOMIC },
    { "vcpu stop_periodic_timer", periodic_on, stop_periodic, periodic_undo, ATOMIC },
    { "vcpu set_singleshot_timer", nothing, singleshot, singleshot_undo, ATOMIC },
    { "vcpu stop_singleshot_timer", singleshot_on, stop_singleshot, singleshot_undo, ATOMIC },
    { "vcpu send_nmi", nothing, nmi, nothing, ATOMIC },
    { "set_timer_op", nothing, set_timer, singleshot_undo, ATOMIC },
    { "vm_assist", nothing, assist_on, assist_undo, ATOMIC },
    { "hvm param", nothing, param, param_undo, ATOMIC },
    { "hvm get_param", nothing, ask_param, nothing, ATOMIC },
    { "hvm set_evtchn_upcall_vector", nothing, upcall_vector, vector_undo, ATOMIC },
    { "hvm flush_tlbs", nothing, flush_tlbs, nothing, ATOMIC },
    { "hvm get_time", nothing, hvm_time, nothing, ATOMIC },
    { "hvm get_mem_type", nothing, mem_type, nothing, ATOMIC },
    { "yield", nothing, yield, nothing, ATOMIC },
    { "block", nothing, block, wake, ATOMIC },
    { "shutdown", nothing, shutdown_self, shutdown_undo, ATOMIC },
    { "remote_shutdown", with_vcpus, shutdown_other, kill_made, ATOMIC },
    { "shutdown_code", nothing, shutdown_code, shutdown_undo, ATOMIC },
    { "watchdog", nothing, watchdog, watchdog_undo, ATOMIC },
    { "poll", one_port, poll_ports, reset_ports, ATOMIC },
    { "console_io", nothing, console, nothing, ATOMIC },
    { "console_io read", nothing, console_in, nothing, ATOMIC },
    { "xen_version", nothing, versions, nothing, ATOMIC },
    { "multicall", nothing, many, nothing, ATOMIC },
    { "getdomaininfolist", nothing, sys_getdomaininfolist, nothing, ATOMIC },
    { "readconsole", nothing, sys_readconsole, nothing, ATOMIC },
    { "physinfo", nothing, sys_physinfo, nothing, ATOMIC },
    { "sched_id", nothing, sys_sched_id, nothing, ATOMIC },
    { "debug_keys", one_bit, sys_debug_keys, nothing, ATOMIC },
    { "getcpuinfo", nothing, sys_getcpuinfo, nothing, ATOMIC },
    { "availheap", nothing, sys_availheap, nothing, ATOMIC },
    { "cputopoinfo", nothing, sys_cputopoinfo, nothing, ATOMIC },
    { "numainfo", nothing, sys_numainfo, nothing, ATOMIC },
    { "cpupool_op info", nothing, sys_cpupool_op, nothing, ATOMIC },
    { "cpupool_op freeinfo", nothing, sys_cpupool_op_free, nothing, ATOMIC },
    { "sysctl scheduler_op get", nothing, sys_scheduler_op, nothing, ATOMIC },
    { "sysctl scheduler_op put", ratelimit_set, sys_scheduler_op_put, ratelimit_undo, ATOMIC | OUT },
    { "pcitopoinfo", one_bit, sys_pcitopoinfo, nothing, ATOMIC },
    { "get_cpu_levelling_caps", nothing, sys_levelling, nothing, ATOMIC },
    { "get_cpu_featureset", nothing, sys_featureset, nothing, ATOMIC },
    { "sysctl get_cpu_policy", nothing, sys_policy, nothing, ATOMIC },
    { "settime32", nothing, plat_settime32, nothing, ATOMIC },
    { "settime64", nothing, plat_settime64, nothing, ATOMIC },
    { "get_cpu_version", nothing, plat_cpu_version, nothing, ATOMIC },
    { "get_cpuinfo", nothing, plat_cpuinfo, nothing, ATOMIC },
    { "cpu_online", nothing, plat_cpu_online, nothing, ATOMIC },
    { "core_parking", nothing, plat_core_parking, nothing, ATOMIC },
    { "getidletime", one_bit, plat_idletime, nothing, ATOMIC },
    { "get_dom0_console", with_screen, plat_console, without_screen, ATOMIC },
    { "set_processor_pminfo", one_bit, plat_pminfo, nothing, PARTIAL },
    { "set_processor_pminfo pdc", set_pdc, plat_pdc, nothing, ATOMIC },
    { "pci_device_add", plug_in, dev_add, dev_undo, PARTIAL },
    { "pci_device_remove", dev_added, dev_remove, dev_undo, ATOMIC },
    { "pci_mmcfg_reserved", nothing, mmcfg, nothing, ATOMIC },
    { "dbgp_op", nothing, debug_port, nothing, ATOMIC },
    { "getdomaininfo", nothing, ctl_getdomaininfo, nothing, ATOMIC },
    { "pausedomain", pause_again, ctl_pausedomain, pause_undo, ATOMIC },
    { "unpausedomain", paused, ctl_unpausedomain, pause_undo, ATOMIC },
    { "getvcpuinfo", nothing, ctl_getvcpuinfo, nothing, ATOMIC },
    { "getvcpuaffinity", nothing, ctl_getvcpuaffinity, nothing, ATOMIC },
    { "getnodeaffinity", nothing, ctl_getnodeaffinity, nothing, ATOMIC },
    { "setnodeaffinity", one_bit, ctl_setnodeaffinity, nothing, ATOMIC },
    { "get_address_size", nothing, ctl_get_address_size, nothing, ATOMIC },
    { "set_address_size", nothing, ctl_set_address_size, nothing, ATOMIC },
    { "gettscinfo", nothing, ctl_gettscinfo, nothing, ATOMIC },
    { "settscinfo", with_vcpus, ctl_settscinfo, kill_made, ATOMIC },
    { "get_paging_mempool_size", nothing, ctl_get_paging_mempool_size, nothing, ATOMIC },
    { "shadow_op get", nothing, ctl_shadow_op, nothing, ATOMIC },
    { "shadow_op set", with_vcpus, ctl_shadow_op_set, kill_made, ATOMIC | OUT },
    { "gethvmcontext_partial", nothing, ctl_gethvmcontext_partial, nothing, ATOMIC },
    { "domctl scheduler_op get", nothing, ctl_scheduler_op, nothing, ATOMIC },
    { "domctl scheduler_op put", with_vcpus, ctl_scheduler_op_put, kill_made, ATOMIC | OUT },
    { "setdomainhandle", with_vcpus, ctl_setdomainhandle, kill_made, ATOMIC },
    { "settimeoffset", with_vcpus, ctl_settimeoffset, kill_made, ATOMIC },
    { "resumedomain", shut_down, ctl_resumedomain, kill_made, ATOMIC },
    { "sendtrigger", with_vcpus, ctl_sendtrigger, kill_made, ATOMIC },
    { "irq_permission", nothing, ctl_irq_permission, nothing, ATOMIC },
    { "iomem_permission", nothing, ctl_iomem_permission, nothing, ATOMIC },
    { "ioport_permission", nothing, ctl_ioport_permission, nothing, ATOMIC },
    { "set_virq_handler", nothing, ctl_set_virq_handler, nothing, ATOMIC },
    { "setvcpucontext", have_vcpu_context, set_vcpu_context, kill_made, ATOMIC },
    { "questions about pages", nothing, mem_questions, nothing, ATOMIC },
    { "maximum_ram_page", nothing, max_ram_page, nothing, ATOMIC },
    { "increase_reservation", nothing, increase, nothing, ATOMIC },
    { "pod_target", nothing, pod, nothing, ATOMIC },
    { "memory_map", map_set, ask_map, set_map_undo, ATOMIC },
    { "reserved_device_memory_map", nothing, rdm_map, nothing, ATOMIC },
    { "questions about grants", nothing, grant_questions, nothing, ATOMIC },
    { "evtchn close", one_port, close_port, reset_ports, ATOMIC },
    { "evtchn status", one_port, port_status, reset_ports, ATOMIC },
    { "evtchn bind_vcpu", one_port, bind_vcpu, reset_ports, ATOMIC },
    { "evtchn unmask", one_port, unmask, reset_ports, ATOMIC },
    { "evtchn set_priority", fifo_on, priority, reset_ports, ATOMIC },
};

/* ---- every row of the tables has a case above, or is here: with the answer that it always gives, or without (0) ---- */
enum shape { SH_RAW, SH_CMD, SH_ARRAY, SH_VCPU, SH_CONTROL };
static const struct row { const char *family; u8 nr; u32 cmd; u16 size; u8 shape; const char *name; u8 absent; } rows[] = {
#include "ops.h"
};
static bool called[ARRAY_SIZE(rows)];           /* by a case, where failures are injected */
static const struct { const char *family, *name; long answer; const char *why; } no_case[] = {
    { "loader_done", "loader_done", 0, "once, before dom0 runs: test_dom0" },
    { "memory_op", "XENMEM_exchange", -EOPNOTSUPP, "looks at nothing but its argument" },
    { "memory_op", "XENMEM_get_vnumainfo", -EOPNOTSUPP, "looks at nothing" },
    { "gnttab_op", "transfer", 0, "refuses in the request's status; its copies are those of swap_grant_ref" },
    { "evtchn_op", "bind_pirq", -EOPNOTSUPP, "looks at nothing but its argument" },
    { "hvm_op", "set_pci_intx_level", -EOPNOTSUPP, "looks at nothing" },
    { "hvm_op", "set_isa_irq_level", -EOPNOTSUPP, "looks at nothing" },
    { "hvm_op", "set_pci_link_route", -EOPNOTSUPP, "looks at nothing" },
    { "hvm_op", "pagetable_dying", -ENOSYS, "looks at nothing" },
    { "hvm_op", "set_mem_access", -EOPNOTSUPP, "looks at nothing" },
    { "hvm_op", "get_mem_access", -EOPNOTSUPP, "looks at nothing" },
    { "hvm_op", "guest_request_vm_event", -EOPNOTSUPP, "looks at nothing" },
    { "hvm_op", "altp2m", -EOPNOTSUPP, "looks at nothing" },
    { "platform_op", "microcode_update", -EINVAL, "looks at nothing but its argument" },
    { "platform_op", "cpu_offline", -EINVAL, "looks at nothing but its argument" },
    { "platform_op", "firmware_info", -EINVAL, "a question about tables of EFI firmware: test_firmware" },
    { "platform_op", "enter_acpi_sleep", -EINVAL, "ends the machine: test_firmware" },
};

static void note_call(unsigned nr, u64 a0)
{
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct row *r = &rows[i];
        if (r->nr != nr) continue;
        u64 cmd = r->shape == SH_RAW ? 0 : r->shape == SH_CONTROL ? *(u32 *)fake_guest_ptr(caller->dom, a0)
                : nr == __HYPERVISOR_memory_op ? a0 & 63 : a0;
        if (r->cmd == cmd) called[i] = true;
    }
}
/* What it answers when it gets only zeros. */
static long answer_of(const struct row *r)
{
    u32 *head = arg_of(dom0, ARG_GPA);
    memset(head, 0, 1024);
    if (r->shape != SH_CONTROL) return call_as(v0(), r->nr, r->cmd, ARG_GPA, 1);
    head[0] = r->cmd;
    head[1] = r->nr == __HYPERVISOR_domctl ? XEN_DOMCTL_INTERFACE_VERSION
            : r->nr == __HYPERVISOR_sysctl ? XEN_SYSCTL_INTERFACE_VERSION : XENPF_INTERFACE_VERSION;
    return call_as(v0(), r->nr, ARG_GPA, 0, 0);
}
static unsigned windows, irq_at;        /* how many there were; which one has an interrupt, 0: none */
static bool interrupt_once(void)
{
    if (++windows == irq_at) this_cpu()->irq_seen = true;
    return false;
}
static unsigned runs;
static unsigned out_changed;    /* the run of an OUT case in which the last copy may have failed */
/* One run with one failure; false when nothing failed any more. */
static bool one(const struct fault_case *c, void (*arm)(unsigned), unsigned k)
{
    u64 start = audit_digest(false);
    far = arm == fake_fail_at ? FAR + (runs++ << 20) : FAR;     /* copies do not need new tables */
    memset(&ctl, 0, sizeof(ctl));
    c->setup();
    u64 before = audit_digest(true);
    arm(k);
    env_call_hook = note_call;
    windows = 0;
    fake_irq_window_hook = interrupt_once;
    long rc = c->op();
    fake_irq_window_hook = NULL;
    env_call_hook = NULL;
    this_cpu()->irq_seen = false;
    bool failed = fake_failed();
    fake_fail_at(0);
    audit_all();
    if (getenv("FAKE_VERBOSE")) print_message("%s: %u: %ld%s\n", c->name, k, rc, failed ? ", failed" : "");
    if (rc < 0 && !failed) fail_msg("%s: error %ld without a failure", c->name, rc);
    if (failed && k > out_changed && out_changed) fail_msg("%s: failure %u changed something", c->name, out_changed);
    if (rc < 0 && c->flags & ATOMIC && audit_digest(true) != before) {
        if (!(c->flags & OUT && arm == fake_fail_copy_at)) fail_msg("%s: failure %u changed something", c->name, k);
        out_changed = k;
    }
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
        out_changed = 0;
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

static void test_every_row(void **state)
{
    unsigned known = 0;
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) (void)one(&cases[i], fake_fail_copy_at, 0);
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct row *r = &rows[i];
        long answer = r->absent ? answer_of(r) : 0;
        bool reason = r->absent && (answer == -ENOSYS || answer == -EOPNOTSUPP || answer == -ENODEV);
        for (unsigned k = 0; k < ARRAY_SIZE(no_case); k++) {
            if (strcmp(no_case[k].family, r->family) || strcmp(no_case[k].name, r->name)) continue;
            reason = true;
            known++;
            if (called[i]) fail_msg("%s %s has a case, and a reason for none", r->family, r->name);
            if (no_case[k].answer && answer_of(r) != no_case[k].answer)
                fail_msg("%s %s: %ld, not %ld", r->family, r->name, answer_of(r), no_case[k].answer);
        }
        if (!called[i] && !reason) fail_msg("%s %s (%u): no case and no reason", r->family, r->name, r->cmd);
    }
    assert_int_equal(known, ARRAY_SIZE(no_case));       /* no reason for a row that is not there */
}

/* The n-th place of an operation where interrupts are let in has one; each n with each failure. A continuation has
 * only what its caller's registers say, and must end as well as the first part does. */
static void test_interrupted(void **state)
{
    static void (*const arms[])(unsigned) = { fake_fail_at, fake_fail_copy_at };
    static const char *const names[] = { "populate_physmap in pieces", "decrease_reservation in pieces",
        "add_to_physmap_batch in pieces", "destroydomain in pieces", "multicall" };
    unsigned seen = 0;
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        (void)one(&cases[i], fake_fail_copy_at, 0);
        unsigned most = windows;
        if (!most) continue;
        for (irq_at = 1; irq_at <= most; irq_at++)
            for (unsigned a = 0, k; a < ARRAY_SIZE(arms); a++)
                for (out_changed = 0, k = 1; one(&cases[i], arms[a], k); k++) assert_true(k < 600);
        irq_at = 0;
        for (unsigned k = 0; k < ARRAY_SIZE(names); k++) seen += !strcmp(names[k], cases[i].name);
    }
    assert_int_equal(seen, ARRAY_SIZE(names));
}

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
    g->vcpu[0]->flags = 0;                      /* who calls is up */
    assert_int_equal(id, GUEST);
    memset(&ctl, 0, sizeof(ctl));
    ctl.u.paging_mempool.size = MiB(32);        /* each run takes some for good */
    assert_int_equal(domctl_as(XEN_DOMCTL_set_paging_mempool_size, id), 0);
    g->max_pages = 4096;
    assert_int_equal(p2m_pool_set(dom0, MiB(32)), 0);
    pci_backend = (struct pci_backend){ cfg_read, cfg_write };
    assert_int_equal(vpci_init(dom0), 0);
    pause_again();
    for (u64 gfn = 0; gfn < 2 * SUPER; gfn += SUPER)
        assert_int_equal(p2m_map_ram(g, GFN(gfn), dom_ram_alloc(g, ORDER_2M), ORDER_2M), 0);
    return rc;
}

int main(void)
{
    const struct CMUnitTest t[] = {
        /* Those first that leave few tables behind, all of which an audit looks through. */
        cmocka_unit_test(test_every_row), cmocka_unit_test(test_copies), cmocka_unit_test(test_giving_up),
        cmocka_unit_test(test_allocations), cmocka_unit_test(test_interrupted),
    };
    return cmocka_run_group_tests(t, group_setup, NULL);
}
