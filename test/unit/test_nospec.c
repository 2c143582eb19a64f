/* SPDX-License-Identifier: MIT */
/*
 * Numbers that a guest names are masked between their check and their use (XSA-254, Spectre v1). One row per place where
 * a guest's number becomes an index: the operation, and the index that must have gone through index_nospec(). A new table
 * that guests index needs a row here.
 */
#include "call_env.h"
#include "evtchn/evtchn_priv.h"
#include "gnttab/gnttab_priv.h"
#include "hvm/vlapic.h"

/* ---- the indices that were masked during one operation ---- */
static struct { u64 idx, limit; } seen[64];
static unsigned nr_seen;
static void note(u64 idx, u64 limit)
{
    if (nr_seen < ARRAY_SIZE(seen)) {
        seen[nr_seen].idx = idx;
        seen[nr_seen++].limit = limit;
    }
}

/* ---- operations. Most are refused for what stands at the index: the look-up is all that is wanted. ---- */
static u8 args[64];
static void with_args(unsigned nr, u64 a0, const void *arg, size_t size, u64 a2)
{
    gva_t gva;
    scratch_used = 0;
    memcpy(guest_buf(size, &gva), arg, size);
    fake_mask_hook = note;
    (void)hypercall(nr, a0, gva, a2);
    fake_mask_hook = NULL;
}
#define CALL(nr, a0, ...) do { __VA_ARGS__; with_args(nr, a0, &a, sizeof(a), 1); } while (0)

static void number(void) { with_args(33, 0, args, 8, 0); }
static void version(void) { with_args(__HYPERVISOR_xen_version, 8, args, 8, 0); }
static void row_memory(void) { with_args(__HYPERVISOR_memory_op, XENMEM_memory_map, args, 16, 0); }
static void row_sched(void) { with_args(__HYPERVISOR_sched_op, SCHEDOP_yield, args, 8, 0); }
static void row_event(void) { with_args(__HYPERVISOR_event_channel_op, EVTCHNOP_set_priority, args, 8, 0); }
static void row_grant(void) { with_args(__HYPERVISOR_grant_table_op, GNTTABOP_swap_grant_ref, args, 8, 0); }
static void row_grant_single(void) { with_args(__HYPERVISOR_grant_table_op, GNTTABOP_get_version, args, 8, 1); }
static void row_hvm(void) { with_args(__HYPERVISOR_hvm_op, HVMOP_get_time, args, 8, 0); }

static void port_send(void) { CALL(__HYPERVISOR_event_channel_op, EVTCHNOP_send, struct evtchn_send a = { 77 }); }
static void port_close(void) { CALL(__HYPERVISOR_event_channel_op, EVTCHNOP_close, struct evtchn_close a = { 78 }); }
static void port_status(void)
{
    CALL(__HYPERVISOR_event_channel_op, EVTCHNOP_status, struct evtchn_status a = { .dom = DOMID_SELF, .port = 79 });
}
static void port_unmask(void) { CALL(__HYPERVISOR_event_channel_op, EVTCHNOP_unmask, struct evtchn_unmask a = { 80 }); }
static void port_vcpu(void)
{
    CALL(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_vcpu, struct evtchn_bind_vcpu a = { .port = 81 });
}
static void port_remote(void)
{
    CALL(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_interdomain,
         struct evtchn_bind_interdomain a = { .remote_dom = DOMID_SELF, .remote_port = 82 });
}
static u32 free_port(void)
{
    struct evtchn_alloc_unbound a = { .dom = DOMID_SELF, .remote_dom = DOMID_SELF };
    gva_t gva;
    struct evtchn_alloc_unbound *p;
    scratch_used = 0;
    p = guest_buf(sizeof(a), &gva);
    *p = a;
    assert_int_equal(hypercall(__HYPERVISOR_event_channel_op, EVTCHNOP_alloc_unbound, gva, 0), 0);
    return p->port;
}
/* Pending and mask bits of the 2-level bitmap, as polls and debug keys read them. */
static u32 bit_port;
static void bit_pending(void)
{
    fake_mask_hook = note;
    (void)evtchn_is_pending(dom0, evtchn_lookup(dom0->evtchn, bit_port), bit_port);
    fake_mask_hook = NULL;
}
static void bit_masked(void)
{
    fake_mask_hook = note;
    (void)evtchn_is_masked(dom0, bit_port);
    fake_mask_hook = NULL;
}
static void virq(void)
{
    CALL(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_virq, struct evtchn_bind_virq a = { .virq = VIRQ_ARCH_3 });
}
static void ipi_vcpu(void)
{
    CALL(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_ipi, struct evtchn_bind_ipi a = { .vcpu = 1 });
}
static void vcpu_id(void)
{
    fake_mask_hook = note;
    (void)hypercall(__HYPERVISOR_vcpu_op, VCPUOP_is_up, 1, 0);
    fake_mask_hook = NULL;
}
static void watchdog(void)
{
    CALL(__HYPERVISOR_sched_op, SCHEDOP_watchdog, struct sched_watchdog a = { .id = 2, .timeout = 1 });
}

static void grant_map(void)
{
    CALL(__HYPERVISOR_grant_table_op, GNTTABOP_map_grant_ref, struct gnttab_map_grant_ref a =
         { .host_addr = 0x900000, .flags = GNTMAP_host_map, .ref = 301, .dom = DOMID_SELF });
}
static void grant_unmap(void)
{
    CALL(__HYPERVISOR_grant_table_op, GNTTABOP_unmap_grant_ref, struct gnttab_unmap_grant_ref a =
         { .host_addr = 0x900000, .handle = 41 });
}
static void grant_copy(void)
{
    CALL(__HYPERVISOR_grant_table_op, GNTTABOP_copy, struct gnttab_copy a =
         { { .u.ref = 302, .domid = DOMID_SELF }, { .u.gmfn = 5, .domid = DOMID_SELF }, 8, GNTCOPY_source_gref, 0 });
}
static void grant_swap(void)
{
    CALL(__HYPERVISOR_grant_table_op, GNTTABOP_swap_grant_ref, struct gnttab_swap_grant_ref a = { .ref_a = 303, .ref_b = 304 });
}
static void grant_frame_index(void)
{
    CALL(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, struct xen_add_to_physmap a =
         { .domid = DOMID_SELF, .space = XENMAPSPACE_grant_table, .idx = 3, .gpfn = 0x2345 });
}

static void param_index(void)
{
    CALL(__HYPERVISOR_hvm_op, HVMOP_get_param, struct xen_hvm_param a = { .domid = DOMID_SELF, .index = 17 });
}
static void upcall_vcpu(void)
{
    CALL(__HYPERVISOR_hvm_op, HVMOP_set_evtchn_upcall_vector,
         struct xen_hvm_evtchn_upcall_vector a = { .vcpu = 1, .vector = 0x20 });
}

/* ---- not by hypercall ---- */
static void cpuid(u32 leaf, u32 sub)
{
    struct cpuid_leaf out;
    fake_mask_hook = note;
    hvm_cpuid(caller, leaf, sub, &out);
    fake_mask_hook = NULL;
}
static void cpuid_basic(void) { cpuid(2, 0); }
static void cpuid_features(void) { cpuid(7, 1); }
static void cpuid_xstate(void) { cpuid(0xd, 2); }
static void cpuid_extended(void) { cpuid(0x80000004, 0); }
static void cpuid_hypervisor(void) { cpuid(0x40000003, 0); }
static void msr_mtrr(void)
{
    u64 x;
    fake_mask_hook = note;
    (void)!hvm_rdmsr(caller, 0x205, &x);
    fake_mask_hook = NULL;
}
static void lapic_read(void)
{
    fake_mask_hook = note;
    (void)vlapic_read_reg(caller, 0x350);
    fake_mask_hook = NULL;
}
static void lapic_write(void)
{
    fake_mask_hook = note;
    vlapic_write_reg(caller, 0x360, 0x10000);
    fake_mask_hook = NULL;
}
static void lapic_destination(void)
{
    vlapic_write_reg(caller, 0x310, 2u << 24);
    fake_mask_hook = note;
    vlapic_write_reg(caller, 0x300, 0x41);
    fake_mask_hook = NULL;
}

static const struct row { const char *name; void (*fn)(void); u64 index, limit; } rows[] = {
    { "number of the hypercall", number, 33, 0 }, { "xen_version", version, 8, 0 },
    { "memory_op", row_memory, XENMEM_memory_map, 0 }, { "sched_op", row_sched, SCHEDOP_yield, 0 },
    { "event_channel_op", row_event, EVTCHNOP_set_priority, 0 },
    { "grant_table_op, array", row_grant, GNTTABOP_swap_grant_ref, 0 },
    { "grant_table_op, single", row_grant_single, GNTTABOP_get_version, 0 },
    { "hvm_op", row_hvm, HVMOP_get_time, 0 },
    { "port to send to", port_send, 77, 0 }, { "port to close", port_close, 78, 0 },
    { "port to ask about", port_status, 79, 0 }, { "port to unmask", port_unmask, 80, 0 },
    { "port to move", port_vcpu, 81, 0 }, { "port of the other side", port_remote, 82, 0 },
    { "pending bit", bit_pending, 0, 4096 }, { "mask bit", bit_masked, 0, 4096 },
    { "VIRQ", virq, VIRQ_ARCH_3, 0 }, { "vCPU for an IPI", ipi_vcpu, 1, MAX_VCPUS },
    { "vCPU of vcpu_op", vcpu_id, 1, 2 }, { "watchdog", watchdog, 1, 2 },
    { "grant to map", grant_map, 301, 0 }, { "handle to unmap", grant_unmap, 41, 0 },
    { "grant to copy", grant_copy, 302, 0 }, { "first grant to swap", grant_swap, 303, 0 },
    { "second grant to swap", grant_swap, 304, 0 }, { "frame of the grant table", grant_frame_index, 3, 0 },
    { "HVM parameter", param_index, 17, 0 }, { "vCPU of an upcall vector", upcall_vcpu, 1, 2 },
    { "CPUID leaf", cpuid_basic, 2, 0 }, { "CPUID 7 subleaf", cpuid_features, 1, 0 },
    { "CPUID d subleaf", cpuid_xstate, 2, 0 }, { "CPUID extended leaf", cpuid_extended, 4, 0 },
    { "CPUID hypervisor leaf", cpuid_hypervisor, 3, 0 }, { "MTRR", msr_mtrr, 5, 0 },
    { "LAPIC register to read", lapic_read, 0x35, 0 }, { "LAPIC register to write", lapic_write, 0x36, 0 },
    { "destination of an IPI", lapic_destination, 1, 2 },
};

static void test_masked(void **state)
{
    bit_port = free_port();
    for (const struct row *r = rows; r < rows + ARRAY_SIZE(rows); r++) {
        bool found = false;
        nr_seen = 0;
        r->fn();
        u64 index = r->fn == bit_pending || r->fn == bit_masked ? bit_port : r->index;
        for (unsigned i = 0; i < nr_seen; i++)
            found |= seen[i].idx == index && (!r->limit || seen[i].limit == r->limit);
        if (!found)
            fail_msg("%s: used without a mask", r->name);
        for (unsigned i = 0; i < nr_seen; i++)          /* masking comes after the check */
            assert_true(seen[i].idx < seen[i].limit);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { T(test_masked) };
    return cmocka_run_group_tests(tests, env_setup, NULL);
}
