/* SPDX-License-Identifier: MIT */
/* xen_version and vm_assist. */
#include "call_env.h"
#include "boot/cmdline.h"

#define VERSION(cmd, gva) hypercall(__HYPERVISOR_xen_version, (cmd), (gva), 0)

static void test_numbers(void **state)
{
    assert_int_equal(VERSION(XENVER_version, 0), 0x00040011);
    assert_int_equal(VERSION(XENVER_pagesize, 0), 4096);
    assert_int_equal(VERSION(XENVER_pagesize, SCRATCH_GPA), -EINVAL);
    assert_int_equal(VERSION(11, SCRATCH_GPA), -ENOSYS);
    assert_int_equal(VERSION(~0u, SCRATCH_GPA), -ENOSYS);
    assert_int_equal(VERSION(XENVER_extraversion, BAD_GVA), -EFAULT);
}

/* Every byte of each structure is written, and none beyond it (I-15). */
static void test_sizes(void **state)
{
    static const struct { unsigned cmd; size_t size; } t[] = {
        { XENVER_extraversion, 16 }, { XENVER_compile_info, 144 }, { XENVER_capabilities, 1024 },
        { XENVER_changeset, 64 }, { XENVER_platform_parameters, 8 }, { XENVER_guest_handle, 16 },
        { XENVER_commandline, 1024 },
    };
    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        gva_t gva;
        u8 *b = guest_buf(2048, &gva);
        assert_int_equal(VERSION(t[i].cmd, gva), 0);
        assert_int_equal(b[t[i].size], 0xa5);
        assert_int_not_equal(b[t[i].size - 1], 0xa5);
    }
}

static void test_strings(void **state)
{
    gva_t gva;
    char *b = guest_buf(1024, &gva);
    assert_int_equal(VERSION(XENVER_capabilities, gva), 0);
    assert_string_equal(b, "hvm-3.0-x86_32 hvm-3.0-x86_32p hvm-3.0-x86_64 ");
    assert_int_equal(VERSION(XENVER_extraversion, gva), 0);
    assert_string_equal(b, ".7");
    str_copy(saved_cmdline, "dom0_mem=512M", sizeof(saved_cmdline));
    assert_int_equal(VERSION(XENVER_commandline, gva), 0);
    assert_string_equal(b, "dom0_mem=512M");
    assert_int_equal(VERSION(XENVER_platform_parameters, gva), 0);
    assert_true(*(u64 *)b == 0xffff800000000000);
}

static void test_features(void **state)
{
    gva_t gva;
    struct xen_feature_info *i = guest_buf(sizeof(*i), &gva);
    i->submap_idx = 0;
    assert_int_equal(VERSION(XENVER_get_features, gva), 0);
    assert_int_equal(i->submap, 0x12b05);
    i->submap_idx = 1;
    assert_int_equal(VERSION(XENVER_get_features, gva), -EINVAL);
}

static void test_build_id(void **state)
{
    gva_t gva;
    u32 *b = guest_buf(64, &gva);
    assert_int_equal(VERSION(XENVER_build_id, 0), 20);
    b[0] = 0;
    assert_int_equal(VERSION(XENVER_build_id, gva), -EINVAL);
    b[0] = 19;
    assert_int_equal(VERSION(XENVER_build_id, gva), -ENOBUFS);
    b[0] = 20;
    assert_int_equal(VERSION(XENVER_build_id, gva), 20);
    assert_memory_equal(b + 1, "build-id of", 11);
    assert_int_equal(((u8 *)b)[24], 0xa5);
}

/* A guest sees the public part only. */
static void test_guest(void **state)
{
    struct domain *d = dom_by_id(create_pvh(1));
    struct xen_domctl op = { 0 };
    op.u.max_mem.max_memkb = 4096;
    call_domctl(XEN_DOMCTL_max_mem, d->id, &op);
    assert_int_equal(p2m_pool_set(d, MiB(1)), 0);
    mfn_t m = dom_ram_alloc(d, 0);
    assert_int_equal(p2m_map_ram(d, GFN(0), m, 0), 0);
    env_domain_caller(d);
    char *b = fake_guest_ptr(d, 0);
    assert_int_equal(VERSION(XENVER_commandline, 0x10), 0);
    assert_string_equal(b + 0x10, "<denied>");
    assert_int_equal(VERSION(XENVER_build_id, 0), -EPERM);
    assert_int_equal(VERSION(XENVER_version, 0), 0x00040011);
    ((struct xen_feature_info *)b)->submap_idx = 0;
    assert_int_equal(VERSION(XENVER_get_features, 0), 0);
    assert_int_equal(((struct xen_feature_info *)b)->submap, 0x12305);
    assert_int_equal(VERSION(XENVER_guest_handle, 0x100), 0);
    assert_int_equal(b[0x10f], 0x42);
}

static void test_vm_assist(void **state)
{
#define ASSIST(cmd, type) hypercall(__HYPERVISOR_vm_assist, (cmd), (type), 0)
    assert_int_equal(ASSIST(VMASST_CMD_enable, VMASST_TYPE_runstate_update_flag), 0);
    assert_int_equal(dom0->vm_assist, 1 << 5);
    assert_int_equal(ASSIST(VMASST_CMD_disable, VMASST_TYPE_runstate_update_flag), 0);
    assert_int_equal(dom0->vm_assist, 0);
    assert_int_equal(ASSIST(2, VMASST_TYPE_runstate_update_flag), -ENOSYS);
    for (u64 t = 0; t < 100; t++)
        if (t != VMASST_TYPE_runstate_update_flag) assert_int_equal(ASSIST(VMASST_CMD_enable, t), -EINVAL);
    /* Arguments of 32 bits: what is left in the upper halves does not count. */
    assert_int_equal(ASSIST(1ULL << 32 | VMASST_CMD_enable, 1ULL << 40 | 5), 0);
    assert_int_equal(dom0->vm_assist, 1 << 5);
    assert_int_equal(VERSION(1ULL << 32 | XENVER_version, 0), 0x00040011);
    assert_int_equal(hypercall(__HYPERVISOR_xsm_op, 0, 0, 0), -ENOSYS);
}

int main(void)
{
    const struct CMUnitTest t[] = {
        T(test_numbers), T(test_sizes), T(test_strings), T(test_features), T(test_build_id), T(test_guest),
        T(test_vm_assist),
    };
    return cmocka_run_group_tests(t, env_setup, NULL);
}
