/* SPDX-License-Identifier: MIT */
/* Environment for hypercall tests: fake machine, dom0 with paging off (linear = physical), a scratch area in its
 * RAM, and calls made through call_dispatch() as a guest makes them. */
#pragma once
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include "fake.h"
#include "call/call.h"
#include "debug/internal.h"
#include "hvm/policy.h"
#include "pci/pci.h"
#include "sched/sched.h"

/* ---- stand-ins for what is not part of the hosted library; a real definition wins ---- */
#define WEAK __attribute__((weak))
#ifndef OWN_SWITCH                  /* the program has functions for the machine's end */
WEAK void machine_halt(void) { panic("halt\n"); }
WEAK void machine_reboot(void) { panic("reboot\n"); }
WEAK void machine_poweroff(void) { panic("poweroff\n"); }
#endif
WEAK const void *build_id(unsigned *len)
{
    static const u8 id[20] = "build-id of 20 byte";
    *len = sizeof(id);
    return id;
}
#ifndef OWN_PCI                     /* the program has a bus */
WEAK void pci_hide(sbdf_t s) {}
WEAK unsigned pci_last_bus(void) { return 0; }
WEAK bool pci_exists(sbdf_t s) { return s == 0x8; }
WEAK int vpci_init(struct domain *d) { return 0; }
WEAK long physdev_op(struct call *c) { return -ENOSYS; }
#endif
WEAK struct uart uarts[2];
WEAK u8 dom0_loader_blob[1], dom0_loader_blob_end[1];

#define SCRATCH_GPA MiB(2)
#define SCRATCH_SIZE MiB(2)
#define BAD_GVA 0x40000000UL         /* nothing there */
static u64 scratch_used;
static struct vcpu *caller;

/* len bytes of guest memory; *gva gets the address to pass in calls. Poisoned. */
static inline void *guest_buf(size_t len, gva_t *gva)
{
    *gva = SCRATCH_GPA + scratch_used;
    scratch_used += ROUND_UP(len, 64UL);
    assert_true(scratch_used <= SCRATCH_SIZE);
    void *p = fake_guest_ptr(dom0, *gva);
    memset(p, 0xa5, len);
    return p;
}

static void (*env_call_hook)(unsigned nr, u64 a0);         /* before each call; NULL: none */

static inline long hypercall(unsigned nr, u64 a0, u64 a1, u64 a2)
{
    struct vcpu_regs *r = &caller->regs;
    if (env_call_hook) env_call_hook(nr, a0);
    r->rax = nr;
    r->rdi = a0;
    r->rsi = a1;
    r->rdx = a2;
    unsigned tries = 0;
    while (!call_dispatch(caller)) assert_true(++tries < 100000);
    assert_no_locks();
    assert_written(r, sizeof(*r));
    assert_written(fake_guest_ptr(dom0, SCRATCH_GPA), scratch_used);
    return (long)r->rax;
}

static inline void env_domain_caller(struct domain *d)
{
    caller = d->vcpu[0];
    fake_enter_cpu(0, caller);
}

/* Once per program: the machine and dom0. */
static inline int env_setup(void **state)
{
    static struct cpu early;
    this_cpu_ptr = &early;
    fake_machine_init(256, 4);
    sched_init();
    policy_init();
    scratch_used = 0;
    struct domain *d = fake_domain_vcpus(0, MiB(8) >> PAGE_SHIFT, 2);
    for (unsigned i = 0; i < d->max_vcpus; i++)
        if (!d->vcpu[i] && vcpu_create(d, i)) abort();
    dom0 = d;
    vcpu_set_up(d->vcpu[0]);
    domain_unpause(d);
    env_domain_caller(d);
    return 0;
}

/* ---- domctl ---- */
static inline long call_domctl(u32 cmd, u16 domain, struct xen_domctl *op)
{
    gva_t gva;
    u64 mark = scratch_used;
    struct xen_domctl *g = guest_buf(sizeof(*g), &gva);
    op->cmd = cmd;
    op->interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    op->domain = domain;
    *g = *op;
    long rc = hypercall(__HYPERVISOR_domctl, gva, 0, 0);
    *op = *g;
    scratch_used = mark;
    return rc;
}

static inline long call_sysctl(u32 cmd, struct xen_sysctl *op)
{
    gva_t gva;
    u64 mark = scratch_used;
    struct xen_sysctl *g = guest_buf(sizeof(*g), &gva);
    op->cmd = cmd;
    op->interface_version = XEN_SYSCTL_INTERFACE_VERSION;
    *g = *op;
    long rc = hypercall(__HYPERVISOR_sysctl, gva, 0, 0);
    *op = *g;
    scratch_used = mark;
    return rc;
}

static inline long call_platform(u32 cmd, struct xen_platform_op *op)
{
    gva_t gva;
    u64 mark = scratch_used;
    struct xen_platform_op *g = guest_buf(sizeof(*g), &gva);
    op->cmd = cmd;
    op->interface_version = XENPF_INTERFACE_VERSION;
    *g = *op;
    long rc = hypercall(__HYPERVISOR_platform_op, gva, 0, 0);
    *op = *g;
    scratch_used = mark;
    return rc;
}

/* After each test: all domains but dom0 go away, and with them all their memory. */
static u64 free_before;
static inline int env_test_setup(void **state)
{
    scratch_used = 0;
    fake_log_clear();
    free_before = ram_free_pages();
    return 0;
}

static inline int env_test_teardown(void **state)
{
    struct domain *d;
    env_domain_caller(dom0);
    scratch_used = 0;
    for (unsigned n = 0; n < 1000 && (d = get_domain_from(1)); n++) {
        struct xen_domctl op = { 0 };
        u16 id = d->id;
        put_domain(d);
        call_domctl(XEN_DOMCTL_destroydomain, id, &op);
        fake_time_advance(50000000);
        timer_run();
    }
    assert_null(get_domain_from(1));
    return 0;
}
#define T(f) cmocka_unit_test_setup_teardown(f, env_test_setup, env_test_teardown)

/* A PVH createdomain as libxl 4.17 makes it. */
static inline void pvh_config(struct xen_domctl *op, unsigned vcpus)
{
    memset(op, 0, sizeof(*op));
    op->u.createdomain = (struct xen_domctl_createdomain){
        .flags = XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap, .max_vcpus = vcpus, .max_evtchn_port = 1023,
        .max_grant_frames = -1, .max_maptrack_frames = -1, .grant_opts = XEN_DOMCTL_GRANT_version(1),
        .arch = { .emulation_flags = XEN_X86_EMU_LAPIC },
    };
    memset(op->u.createdomain.handle, 0x42, 16);
}

static inline u16 create_pvh(unsigned vcpus)
{
    struct xen_domctl op;
    pvh_config(&op, vcpus);
    assert_int_equal(call_domctl(XEN_DOMCTL_createdomain, 0xffff, &op), 0);
    u16 id = op.domain;
    memset(&op, 0, sizeof(op));
    op.u.max_vcpus.max = vcpus;
    assert_int_equal(call_domctl(XEN_DOMCTL_max_vcpus, id, &op), 0);
    return id;
}

/* Borrowed pointer. */
static inline struct domain *dom_by_id(u16 id)
{
    struct domain *d = get_domain(id);
    assert_non_null(d);
    put_domain(d);
    return d;
}

/* xorshift, for reproducible fuzzing */
static inline u64 rnd(void)
{
    static u64 x = 88172645463325252ULL;
    x ^= x << 13;
    x ^= x >> 7;
    return x ^= x << 17;
}
