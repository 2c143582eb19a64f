/* SPDX-License-Identifier: MIT */
/* hvm_op: the parameter table, permissions by object, upcall vector, memory types. */
#include "call_env.h"

static struct domain *guest, *other;

/* A guest with one page of RAM, which serves as its argument area. */
static struct domain *make_guest(void)
{
    struct domain *d = dom_by_id(create_pvh(2));
    d->max_pages = 16;
    assert_int_equal(p2m_pool_set(d, MiB(1)), 0);
    mfn_t m = dom_ram_alloc(d, 0);
    assert_int_equal(p2m_map_ram(d, GFN(0), m, 0), 0);
    return d;
}

static int setup(void **state)
{
    env_test_setup(state);
    guest = make_guest();
    other = make_guest();
    return 0;
}

static long op(unsigned cmd, void *arg, size_t len)
{
    struct domain *d = caller->dom;
    gva_t gva = 0x100;
    void *p = d == dom0 ? guest_buf(len, &gva) : fake_guest_ptr(d, gva);
    memcpy(p, arg, len);
    long rc = hypercall(__HYPERVISOR_hvm_op, cmd, gva, 0);
    memcpy(arg, p, len);
    return rc;
}

static long set(u16 domid, u32 index, u64 value)
{
    struct xen_hvm_param p = { .domid = domid, .index = index, .value = value };
    return op(HVMOP_set_param, &p, sizeof(p));
}

static long get(u16 domid, u32 index, u64 *value)
{
    struct xen_hvm_param p = { .domid = domid, .index = index, .value = 0xdead };
    long rc = op(HVMOP_get_param, &p, sizeof(p));
    *value = p.value;
    return rc;
}

/* Exactly these may be set by a guest for itself. */
static void test_self_set(void **state)
{
    static const u8 allowed[] = { 0, 2, 15, 18, 19, 34, 36, 37 };
    static const u8 none[] = { 3, 4, 7, 8, 13, 20, 21, 22, 23, 24, 25, 26, 30 };
    env_domain_caller(guest);
    for (u32 i = 0; i < 64; i++) {
        long want = i < HVM_NR_PARAMS ? -EPERM : -EINVAL;
        for (unsigned k = 0; k < sizeof(allowed); k++) if (allowed[k] == i) want = 0;
        for (unsigned k = 0; k < sizeof(none); k++) if (none[k] == i) want = -EINVAL;
        assert_int_equal(set(DOMID_SELF, i, 0), want);
        /* The number is the same object as the alias (I-18). */
        assert_int_equal(set(guest->id, i, 0), want);
    }
}

static void test_foreign(void **state)
{
    u64 v;
    env_domain_caller(guest);
    assert_int_equal(set(other->id, HVM_PARAM_STORE_EVTCHN, 1), -EPERM);
    assert_int_equal(get(other->id, HVM_PARAM_STORE_EVTCHN, &v), -EPERM);
    assert_true(v == 0xdead);
    assert_int_equal(get(0, HVM_PARAM_STORE_EVTCHN, &v), -EPERM);
    assert_int_equal(get(555, HVM_PARAM_STORE_EVTCHN, &v), -EPERM);
    guest->target = other;
    atomic_add(&other->refs, 1);
    assert_int_equal(set(other->id, HVM_PARAM_STORE_PFN, 7), 0);
    assert_int_equal(get(other->id, HVM_PARAM_STORE_PFN, &v), 0);
    assert_int_equal(v, 7);
    env_domain_caller(dom0);
    assert_int_equal(get(555, HVM_PARAM_STORE_EVTCHN, &v), -ESRCH);
    assert_int_equal(get(DOMID_SELF, HVM_PARAM_STORE_EVTCHN, &v), 0);
    assert_int_equal(v, 0);                     /* H.17 */
    assert_int_equal(get(DOMID_SELF, HVM_PARAM_STORE_PFN, &v), 0);
    assert_int_equal(get(DOMID_SELF, HVM_PARAM_CONSOLE_EVTCHN, &v), 0);
    assert_int_equal(hypercall(__HYPERVISOR_hvm_op, HVMOP_get_param, BAD_GVA, 0), -EFAULT);
}

/* What the toolstack sets and libxc reads back when saving. */
static void test_toolstack(void **state)
{
    static const u8 saved[] = { 1, 5, 6, 27, 28, 29, 37, 17, 19, 9, 12, 34, 32, 33, 36, 38 };
    u64 v;
    u16 id = guest->id;
    for (unsigned i = 0; i < sizeof(saved); i++) {
        assert_int_equal(get(id, saved[i], &v), 0);
        assert_int_equal(v, 0);
    }
    assert_int_equal(set(id, HVM_PARAM_TIMER_MODE, 1), 0);
    assert_int_equal(set(id, HVM_PARAM_TIMER_MODE, 4), -EINVAL);
    assert_int_equal(set(id, HVM_PARAM_ALTP2M, 0), 0);
    assert_int_equal(set(id, HVM_PARAM_ALTP2M, 1), -EINVAL);
    assert_int_equal(set(id, HVM_PARAM_VIRIDIAN, 0), 0);
    assert_int_equal(set(id, HVM_PARAM_VIRIDIAN, 1), -EINVAL);
    assert_int_equal(set(id, HVM_PARAM_IOREQ_PFN, 0xfeffd), 0);
    assert_int_equal(set(id, HVM_PARAM_IOREQ_PFN, 0xfeffd), 0);
    assert_int_equal(set(id, HVM_PARAM_IOREQ_PFN, 0xfeffc), -EEXIST);
    assert_int_equal(set(id, HVM_PARAM_IDENT_PT, 0xfeffe000), 0);
    assert_int_equal(set(id, HVM_PARAM_IDENT_PT, 0xfeffe001), -EINVAL);
    assert_int_equal(set(id, HVM_PARAM_ACPI_S_STATE, 0), 0);
    assert_int_equal(set(id, HVM_PARAM_ACPI_S_STATE, 3), -EOPNOTSUPP);
    assert_int_equal(set(id, HVM_PARAM_X87_FIP_WIDTH, 5), -EINVAL);
    assert_int_equal(set(id, HVM_PARAM_X87_FIP_WIDTH, 8), 0);
    assert_int_equal(set(id, HVM_PARAM_VM86_TSS, 0xfc000), 0);
    assert_int_equal(get(id, HVM_PARAM_VM86_TSS_SIZED, &v), 0);
    assert_true(v == (0xfc000 | 128ULL << 32));
    assert_int_equal(get(id, HVM_PARAM_VM86_TSS, &v), 0);
    assert_int_equal(v, 0xfc000);
    assert_int_equal(get(id, HVM_PARAM_TRIPLE_FAULT_REASON, &v), 0);
    assert_int_equal(v, SHUTDOWN_reboot);
    assert_int_equal(set(id, HVM_PARAM_TRIPLE_FAULT_REASON, SHUTDOWN_MAX + 1), -EINVAL);
    assert_int_equal(set(id, HVM_PARAM_CONSOLE_PFN, ~0ULL), -EINVAL);
}

static void test_callback(void **state)
{
    u64 v;
    env_domain_caller(guest);
    assert_int_equal(set(DOMID_SELF, HVM_PARAM_CALLBACK_IRQ, 2ULL << 56 | 0xf3), 0);
    assert_int_equal(get(DOMID_SELF, HVM_PARAM_CALLBACK_IRQ, &v), 0);
    assert_true(v == (2ULL << 56 | 0xf3));
    assert_int_equal(set(DOMID_SELF, HVM_PARAM_CALLBACK_IRQ, 1), 0);
}

static void test_upcall_vector(void **state)
{
    struct xen_hvm_evtchn_upcall_vector a = { .vcpu = 1, .vector = 0xf3 };
    env_domain_caller(guest);
    assert_int_equal(op(HVMOP_set_evtchn_upcall_vector, &a, sizeof(a)), 0);
    assert_int_equal(guest->vcpu[1]->upcall_vector, 0xf3);
    for (unsigned i = 0; i < 256; i++) {
        a.vector = (u8)i;
        assert_int_equal(op(HVMOP_set_evtchn_upcall_vector, &a, sizeof(a)), i < 16 ? -EINVAL : 0);
    }
    a.vcpu = 2;
    assert_int_equal(op(HVMOP_set_evtchn_upcall_vector, &a, sizeof(a)), -ENOENT);
    a.vcpu = ~0u;
    assert_int_equal(op(HVMOP_set_evtchn_upcall_vector, &a, sizeof(a)), -ENOENT);
}

static void test_rest(void **state)
{
    env_domain_caller(guest);
    struct xen_hvm_get_mem_type t = { .domid = DOMID_SELF, .pfn = 0 };
    assert_int_equal(op(HVMOP_get_mem_type, &t, sizeof(t)), 0);
    assert_int_equal(t.mem_type, HVMMEM_ram_rw);
    t.pfn = 0x1234567890;
    assert_int_equal(op(HVMOP_get_mem_type, &t, sizeof(t)), 0);
    assert_int_equal(t.mem_type, HVMMEM_mmio_dm);
    struct xen_hvm_get_time now;
    assert_int_equal(op(HVMOP_get_time, &now, sizeof(now)), 0);
    assert_true(now.now == now_ns());
    assert_int_equal(hypercall(__HYPERVISOR_hvm_op, HVMOP_flush_tlbs, 0, 0), 0);
    assert_int_equal(hypercall(__HYPERVISOR_hvm_op, HVMOP_flush_tlbs, 1, 0), -EINVAL);
    assert_int_equal(hypercall(__HYPERVISOR_hvm_op, HVMOP_pagetable_dying, 0x100, 0), -ENOSYS);
    assert_int_equal(hypercall(__HYPERVISOR_hvm_op, HVMOP_altp2m, 0x100, 0), -EOPNOTSUPP);
    assert_int_equal(hypercall(__HYPERVISOR_hvm_op, 2, 0x100, 0), -EOPNOTSUPP);
    assert_int_equal(hypercall(__HYPERVISOR_hvm_op, 26, 0x100, 0), -ENOSYS);
    assert_int_equal(hypercall(__HYPERVISOR_hvm_op, ~0ULL, 0x100, 0), -ENOSYS);
}

static void test_fuzz(void **state)
{
    for (unsigned n = 0; n < 20000; n++) {
        u64 a[4];
        for (unsigned i = 0; i < 4; i++) a[i] = rnd() >> (rnd() % 64);
        if (rnd() & 1) ((u16 *)a)[0] = rnd() & 1 ? DOMID_SELF : (u16)(rnd() % 8);
        if (rnd() & 1) ((u32 *)a)[1] = (u32)(rnd() % 40);
        env_domain_caller(rnd() & 1 ? guest : dom0);
        scratch_used = 0;
        op((unsigned)(rnd() % 28), a, sizeof(a));
    }
}

int main(void)
{
#define G(f) cmocka_unit_test_setup_teardown(f, setup, env_test_teardown)
    const struct CMUnitTest t[] = {
        G(test_self_set), G(test_foreign), G(test_toolstack), G(test_callback), G(test_upcall_vector), G(test_rest),
        G(test_fuzz),
    };
    return cmocka_run_group_tests(t, env_setup, NULL);
}
