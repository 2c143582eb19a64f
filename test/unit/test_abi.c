/* SPDX-License-Identifier: MIT */
/* The hypercall surface as a whole: what is absent says so, -ERESTART never reaches a guest, guests without
 * privilege get nothing out of any control operation (src/call/abi_check.c pins sizes at compile time). */
#include "call_env.h"

/* These answer -ENOSYS. */
static void test_absent(void **state)
{
    static const unsigned absent[] = { 0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 14, 16, 19, 22, 23, 25, 26, 27, 28, 30, 31, 37,
                                       38, 39, 40, 42, 48, 49, 64, 127, 128, 0xffffffff };
    for (unsigned i = 0; i < ARRAY_SIZE(absent); i++)
        assert_int_equal(hypercall(absent[i], 0, 0, 0), -ENOSYS);
    assert_int_equal(call_dispatch(caller), true);
}

/* A handle of zero or rubbish in every command. */
static void test_null_arguments(void **state)
{
    u16 id = create_pvh(1);
    for (u32 cmd = 0; cmd < 100; cmd++) {
        struct xen_domctl d = { 0 };
        struct xen_sysctl s = { 0 };
        struct xen_platform_op p = { 0 };
        if (cmd != XEN_DOMCTL_destroydomain) call_domctl(cmd, id, &d);
        call_sysctl(cmd, &s);
        call_platform(cmd, &p);
        memset(&d, 0xff, sizeof(d));
        memset(&s, 0xff, sizeof(s));
        memset(&p, 0xff, sizeof(p));
        if (cmd != XEN_DOMCTL_destroydomain) call_domctl(cmd, id, &d);
        call_sysctl(cmd, &s);
        call_platform(cmd, &p);
    }
    assert_true(dom_by_id(id)->state == DOM_ALIVE);
}

/* domctl while another CPU holds the lock: retried, never waited for, never an error. */
static void test_contended(void **state)
{
    u16 id = create_pvh(1);
    gva_t gva;
    struct xen_domctl *g = guest_buf(sizeof(*g), &gva);
    memset(g, 0, sizeof(*g));
    g->cmd = XEN_DOMCTL_setdomainhandle;
    g->interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    g->domain = id;
    extern bool domctl_trylock(void);
    extern void domctl_unlock(void);
    assert_true(domctl_trylock());
    caller->regs.rax = __HYPERVISOR_domctl;
    caller->regs.rdi = gva;
    u64 rip = caller->regs.rip;
    assert_false(call_dispatch(caller));
    assert_true(caller->regs.rip == rip && caller->regs.rax == __HYPERVISOR_domctl && caller->regs.rdi == gva);
    /* Information needs no lock (xenconsoled and xl list must not starve). */
    g->cmd = XEN_DOMCTL_getdomaininfo;
    assert_true(call_dispatch(caller));
    assert_int_equal(caller->regs.rax, 0);
    domctl_unlock();
}

/* Privilege is checked before anything else (I-18). */
static void test_unprivileged(void **state)
{
    struct domain *d = dom_by_id(create_pvh(1));
    env_domain_caller(d);
    for (unsigned cmd = 0; cmd < 100; cmd++) {
        assert_int_equal(hypercall(__HYPERVISOR_domctl, cmd, 0, 0), -EPERM);
        assert_int_equal(hypercall(__HYPERVISOR_sysctl, cmd, 0, 0), -EPERM);
        assert_int_equal(hypercall(__HYPERVISOR_platform_op, cmd, 0, 0), -EPERM);
    }
    env_domain_caller(dom0);
}

int main(void)
{
    const struct CMUnitTest t[] = { T(test_absent), T(test_null_arguments), T(test_contended), T(test_unprivileged) };
    return cmocka_run_group_tests(t, env_setup, NULL);
}
