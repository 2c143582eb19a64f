/* SPDX-License-Identifier: MIT */
/* domctl: creation rules, information, pauses, affinity, policies of failure, random arguments. */
#include "call_env.h"

static void test_versions(void **state)
{
    gva_t gva;
    struct xen_domctl *g = guest_buf(sizeof(*g), &gva);
    memset(g, 0, sizeof(*g));
    g->cmd = XEN_DOMCTL_getdomaininfo;
    g->interface_version = XEN_DOMCTL_INTERFACE_VERSION - 1;
    assert_int_equal(hypercall(__HYPERVISOR_domctl, gva, 0, 0), -EACCES);
    assert_int_equal(hypercall(__HYPERVISOR_domctl, BAD_GVA, 0, 0), -EFAULT);
    g->interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    g->cmd = 7;
    assert_int_equal(hypercall(__HYPERVISOR_domctl, gva, 0, 0), -ENOSYS);
    g->cmd = 0xffffffff;
    assert_int_equal(hypercall(__HYPERVISOR_domctl, gva, 0, 0), -ENOSYS);
    g->cmd = XEN_DOMCTL_pausedomain;
    g->domain = 77;
    assert_int_equal(hypercall(__HYPERVISOR_domctl, gva, 0, 0), -ESRCH);
    g->domain = DOMID_SELF;
    assert_int_equal(hypercall(__HYPERVISOR_domctl, gva, 0, 0), -ESRCH);
    g->domain = 0;
    assert_int_equal(hypercall(__HYPERVISOR_domctl, gva, 0, 0), -EINVAL);
}

static void test_unprivileged(void **state)
{
    u16 id = create_pvh(1);
    struct domain *d = dom_by_id(id);
    env_domain_caller(d);
    assert_int_equal(hypercall(__HYPERVISOR_domctl, 0, 0, 0), -EPERM);
    assert_int_equal(hypercall(__HYPERVISOR_sysctl, 0, 0, 0), -EPERM);
    assert_int_equal(hypercall(__HYPERVISOR_platform_op, 0, 0, 0), -EPERM);
    env_domain_caller(dom0);
}

static long create_with(u32 flags, u32 emu)
{
    struct xen_domctl op;
    pvh_config(&op, 1);
    op.u.createdomain.flags = flags;
    op.u.createdomain.arch.emulation_flags = emu;
    long rc = call_domctl(XEN_DOMCTL_createdomain, 0, &op);
    if (!rc) {
        u16 id = op.domain;
        assert_int_equal(call_domctl(XEN_DOMCTL_destroydomain, id, &op), 0);
    }
    return rc;
}

/* XSA-256: of all sets of emulated devices exactly the documented one is accepted. */
static void test_emulation_flags(void **state)
{
    const u32 ok = XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap;
    for (u32 e = 0; e < 1u << 11; e++) {
        long rc = create_with(ok, e);
        if (e == 1) assert_int_equal(rc, 0);
        else assert_int_equal(rc, e == 0x3ff || e == 0x1ff ? -EOPNOTSUPP : -EINVAL);
    }
    assert_int_equal(create_with(ok, 1u << 31 | 1), -EINVAL);
}

static void test_create_flags(void **state)
{
    for (u32 f = 0; f < 512; f++) {
        long rc = create_with(f, 1);
        bool good = (f & 3) == 3 && !(f & ~(3u | XEN_DOMCTL_CDF_oos_off | XEN_DOMCTL_CDF_xs_domain));
        if (good) assert_int_equal(rc, 0);
        else assert_true(rc == -EINVAL || rc == -EOPNOTSUPP);
    }
    fake_log_clear();
    assert_int_equal(create_with(0, 0), -EOPNOTSUPP);
    assert_non_null(strstr(fake_log, "pvshim=1"));
    assert_int_equal(create_with(0x80000003, 1), -EINVAL);
}

static void test_create_limits(void **state)
{
#define BAD(field, value, err) do { \
        struct xen_domctl op_; \
        pvh_config(&op_, 1); \
        op_.u.createdomain.field = (value); \
        assert_int_equal(call_domctl(XEN_DOMCTL_createdomain, 0xffff, &op_), (err)); \
    } while (0)
    BAD(max_vcpus, 0, -EINVAL);
    BAD(max_vcpus, MAX_VCPUS + 1, -EINVAL);
    BAD(max_vcpus, ~0u, -EINVAL);
    BAD(grant_opts, 0, -EINVAL);
    BAD(grant_opts, 2, -EINVAL);
    BAD(grant_opts, 0x11, -EINVAL);
    BAD(iommu_opts, 1, -EINVAL);
    BAD(vmtrace_size, 4096, -EOPNOTSUPP);
    BAD(cpupool_id, 1, -ESRCH);
    BAD(arch.misc_flags, 2, -EINVAL);
    BAD(arch.misc_flags, XEN_X86_MSR_RELAXED, -EOPNOTSUPP);
    BAD(max_grant_frames, 0x7fffffff, -EINVAL);
    BAD(max_grant_frames, 65, -EINVAL);                 /* gnttab_max_frames= is the most */
    BAD(max_maptrack_frames, 1025, -EINVAL);
    BAD(max_grant_frames, 0, -EINVAL);
    struct xen_domctl op;
    pvh_config(&op, 1);
    assert_int_equal(call_domctl(XEN_DOMCTL_createdomain, 100, &op), 0);
    assert_int_equal(op.domain, 100);
    pvh_config(&op, 1);
    op.u.createdomain.max_grant_frames = 5;
    op.u.createdomain.max_maptrack_frames = 7;
    assert_int_equal(call_domctl(XEN_DOMCTL_createdomain, 101, &op), 0);
    assert_true(dom_by_id(101)->max_grant_frames == 5 && dom_by_id(101)->max_maptrack_frames == 7);
    pvh_config(&op, 1);
    assert_int_equal(call_domctl(XEN_DOMCTL_createdomain, 100, &op), -EEXIST);
}

static void test_info(void **state)
{
    u16 id = create_pvh(3);
    struct xen_domctl op;
    memset(&op, 0xa5, sizeof(op));
    assert_int_equal(call_domctl(XEN_DOMCTL_getdomaininfo, 1, &op), 0);
    struct xen_domctl_getdomaininfo *i = &op.u.getdomaininfo;
    assert_int_equal(op.domain, id);
    assert_int_equal(i->domain, id);
    assert_int_equal(i->pad1, 0);
    for (unsigned k = 0; k < sizeof(i->pad2); k++) assert_int_equal(i->pad2[k], 0);
    assert_int_equal(i->flags, XEN_DOMINF_hvm_guest | XEN_DOMINF_hap | XEN_DOMINF_paused | 0xff << 16);
    assert_int_equal(i->max_vcpu_id, 2);
    assert_int_equal(i->nr_online_vcpus, 0);
    assert_int_equal(i->handle[3], 0x42);
    assert_int_equal(i->gpaddr_bits, 48);
    assert_int_equal(i->arch_config.emulation_flags, 1);
    assert_true(i->shared_info_frame == ~0ULL);
    assert_int_equal(call_domctl(XEN_DOMCTL_getdomaininfo, id + 1, &op), -ESRCH);
    assert_int_equal(call_domctl(XEN_DOMCTL_getdomaininfo, 0, &op), 0);
    assert_int_equal(i->domain, 0);
    /* shutdown code reaches the toolstack */
    domain_shutdown(dom_by_id(id), SHUTDOWN_suspend);
    assert_int_equal(call_domctl(XEN_DOMCTL_getdomaininfo, id, &op), 0);
    assert_int_equal(i->flags >> 16 & 0xff, SHUTDOWN_suspend);
    assert_true(i->flags & XEN_DOMINF_shutdown);
    assert_int_equal(call_domctl(XEN_DOMCTL_resumedomain, id, &op), 0);
    assert_int_equal(call_domctl(XEN_DOMCTL_getdomaininfo, id, &op), 0);
    assert_int_equal(i->flags >> 16 & 0xff, 0xff);
}

static void test_pause(void **state)
{
    u16 id = create_pvh(1);
    struct domain *d = dom_by_id(id);
    struct xen_domctl op = { 0 };
    assert_int_equal(d->pause_count, 1);
    assert_int_equal(call_domctl(XEN_DOMCTL_pausedomain, id, &op), 0);
    assert_int_equal(d->pause_count, 2);
    assert_int_equal(call_domctl(XEN_DOMCTL_unpausedomain, id, &op), 0);
    assert_false(d->ever_unpaused);
    assert_int_equal(call_domctl(XEN_DOMCTL_unpausedomain, id, &op), 0);
    assert_true(d->ever_unpaused);
    assert_int_equal(d->pause_count, 0);
    assert_int_equal(call_domctl(XEN_DOMCTL_unpausedomain, id, &op), -EINVAL);
    assert_int_equal(d->pause_count, 0);
}

static void test_vcpus(void **state)
{
    struct xen_domctl op;
    pvh_config(&op, 2);
    assert_int_equal(call_domctl(XEN_DOMCTL_createdomain, 0xffff, &op), 0);
    u16 id = op.domain;
    op.u.max_vcpus.max = 3;
    assert_int_equal(call_domctl(XEN_DOMCTL_max_vcpus, id, &op), -EINVAL);
    op.u.getvcpuinfo.vcpu = 0;
    assert_int_equal(call_domctl(XEN_DOMCTL_getvcpuinfo, id, &op), -ESRCH);
    op.u.max_vcpus.max = 2;
    assert_int_equal(call_domctl(XEN_DOMCTL_max_vcpus, id, &op), 0);
    assert_int_equal(call_domctl(XEN_DOMCTL_max_vcpus, id, &op), 0);
    memset(&op, 0xa5, sizeof(op));
    op.u.getvcpuinfo.vcpu = 1;
    assert_int_equal(call_domctl(XEN_DOMCTL_getvcpuinfo, id, &op), 0);
    assert_int_equal(op.u.getvcpuinfo.online, 0);
    u8 *bytes = (u8 *)&op.u.getvcpuinfo;
    assert_int_equal(bytes[7], 0);      /* padding */
    op.u.getvcpuinfo.vcpu = 2;
    assert_int_equal(call_domctl(XEN_DOMCTL_getvcpuinfo, id, &op), -EINVAL);
}

static void test_affinity(void **state)
{
    u16 id = create_pvh(1);
    struct xen_domctl op;
    gva_t hard_gva, soft_gva;
    u8 *hard = guest_buf(16, &hard_gva), *soft = guest_buf(16, &soft_gva);
    memset(&op, 0, sizeof(op));
    struct xen_domctl_vcpuaffinity *a = &op.u.vcpuaffinity;
    a->flags = XEN_VCPUAFFINITY_HARD | XEN_VCPUAFFINITY_SOFT;
    a->cpumap_hard.bitmap.p = (void *)hard_gva;
    a->cpumap_soft.bitmap.p = (void *)soft_gva;
    a->cpumap_hard.nr_bits = a->cpumap_soft.nr_bits = 100;
    assert_int_equal(call_domctl(XEN_DOMCTL_getvcpuaffinity, id, &op), 0);
    assert_int_equal(hard[0], 0xf);
    assert_int_equal(hard[1] | hard[8] | hard[12], 0);
    assert_int_equal(hard[13], 0xa5);
    memset(hard, 0, 16);
    memset(soft, 0xff, 16);
    hard[0] = 6;
    assert_int_equal(call_domctl(XEN_DOMCTL_setvcpuaffinity, id, &op), 0);
    assert_int_equal(hard[0], 6);
    assert_int_equal(soft[0], 6);       /* effective */
    hard[0] = 0xf0;                     /* no such CPU */
    assert_int_equal(call_domctl(XEN_DOMCTL_setvcpuaffinity, id, &op), -EINVAL);
    a->cpumap_hard.nr_bits = 3;
    hard[0] = 0xff;
    assert_int_equal(call_domctl(XEN_DOMCTL_setvcpuaffinity, id, &op), 0);
    assert_int_equal(hard[0], 7);
    a->flags = XEN_VCPUAFFINITY_SOFT;   /* CPUs of a larger machine: a preference that nothing comes of */
    memset(soft, 0, 16);
    soft[0] = 0xf0;
    assert_int_equal(call_domctl(XEN_DOMCTL_setvcpuaffinity, id, &op), 0);
    assert_int_equal(soft[0], 0);
    a->flags = 0;
    assert_int_equal(call_domctl(XEN_DOMCTL_setvcpuaffinity, id, &op), -EINVAL);
    a->flags = 8;
    assert_int_equal(call_domctl(XEN_DOMCTL_getvcpuaffinity, id, &op), -EINVAL);
    a->flags = XEN_VCPUAFFINITY_HARD;
    a->cpumap_hard.nr_bits = ~0u;
    assert_int_equal(call_domctl(XEN_DOMCTL_getvcpuaffinity, id, &op), -EINVAL);
    a->cpumap_hard.nr_bits = 64;
    a->cpumap_hard.bitmap.p = (void *)BAD_GVA;
    assert_int_equal(call_domctl(XEN_DOMCTL_setvcpuaffinity, id, &op), -EFAULT);
    a->vcpu = 1;
    assert_int_equal(call_domctl(XEN_DOMCTL_getvcpuaffinity, id, &op), -EINVAL);
}

static void test_node_affinity(void **state)
{
    u16 id = create_pvh(1);
    struct xen_domctl op;
    gva_t gva;
    u8 *map = guest_buf(8, &gva);
    memset(&op, 0, sizeof(op));
    op.u.nodeaffinity.nodemap.bitmap.p = (void *)gva;
    op.u.nodeaffinity.nodemap.nr_bits = 64;
    assert_int_equal(call_domctl(XEN_DOMCTL_getnodeaffinity, id, &op), 0);
    assert_int_equal(map[0], 1);
    map[0] = 2;
    assert_int_equal(call_domctl(XEN_DOMCTL_setnodeaffinity, id, &op), -EINVAL);
    map[0] = 3;
    assert_int_equal(call_domctl(XEN_DOMCTL_setnodeaffinity, id, &op), 0);
}

static void test_scheduler(void **state)
{
    u16 id = create_pvh(1);
    struct xen_domctl op;
    memset(&op, 0, sizeof(op));
    struct xen_domctl_scheduler_op *s = &op.u.scheduler_op;
    s->sched_id = XEN_SCHEDULER_CREDIT2;
    s->cmd = XEN_DOMCTL_SCHEDOP_getinfo;
    assert_int_equal(call_domctl(XEN_DOMCTL_scheduler_op, id, &op), 0);
    assert_int_equal(s->u.credit2.weight, 256);
    s->cmd = XEN_DOMCTL_SCHEDOP_putinfo;
    s->u.credit2.weight = 512;
    s->u.credit2.cap = 50;
    assert_int_equal(call_domctl(XEN_DOMCTL_scheduler_op, id, &op), 0);
    s->u.credit2.weight = 0;                            /* as it is */
    s->u.credit2.cap = 40;
    assert_int_equal(call_domctl(XEN_DOMCTL_scheduler_op, id, &op), 0);
    s->cmd = XEN_DOMCTL_SCHEDOP_getinfo;
    assert_int_equal(call_domctl(XEN_DOMCTL_scheduler_op, id, &op), 0);
    assert_int_equal(s->u.credit2.weight, 512);
    assert_int_equal(s->u.credit2.cap, 40);
    s->cmd = XEN_DOMCTL_SCHEDOP_getvcpuinfo;
    assert_int_equal(call_domctl(XEN_DOMCTL_scheduler_op, id, &op), -EINVAL);
    s->cmd = XEN_DOMCTL_SCHEDOP_getinfo;
    s->sched_id = XEN_SCHEDULER_CREDIT;
    assert_int_equal(call_domctl(XEN_DOMCTL_scheduler_op, id, &op), -EINVAL);
}

static void test_memory_and_pool(void **state)
{
    u16 id = create_pvh(1);
    struct domain *d = dom_by_id(id);
    struct xen_domctl op;
    memset(&op, 0, sizeof(op));
    op.u.max_mem.max_memkb = 262144 + 1024;
    assert_int_equal(call_domctl(XEN_DOMCTL_max_mem, id, &op), 0);
    assert_int_equal(d->max_pages, (262144 + 1024) / 4);
    op.u.max_mem.max_memkb = ~0ULL;
    assert_int_equal(call_domctl(XEN_DOMCTL_max_mem, id, &op), 0);
    memset(&op, 0, sizeof(op));
    op.u.paging_mempool.size = MiB(2) + 1;
    assert_int_equal(call_domctl(XEN_DOMCTL_set_paging_mempool_size, id, &op), -EINVAL);
    op.u.paging_mempool.size = MiB(2);
    assert_int_equal(call_domctl(XEN_DOMCTL_set_paging_mempool_size, id, &op), 0);
    op.u.paging_mempool.size = 0;
    assert_int_equal(call_domctl(XEN_DOMCTL_get_paging_mempool_size, id, &op), 0);
    assert_int_equal(op.u.paging_mempool.size, MiB(2));
    op.u.paging_mempool.size = ~0xfffULL;
    assert_int_equal(call_domctl(XEN_DOMCTL_set_paging_mempool_size, id, &op), -ENOMEM);
    memset(&op, 0, sizeof(op));
    op.u.shadow_op.op = XEN_DOMCTL_SHADOW_OP_GET_ALLOCATION;
    assert_int_equal(call_domctl(XEN_DOMCTL_shadow_op, id, &op), 0);
    assert_int_equal(op.u.shadow_op.mb, 2);
    op.u.shadow_op.op = XEN_DOMCTL_SHADOW_OP_OFF;
    assert_int_equal(call_domctl(XEN_DOMCTL_shadow_op, id, &op), 0);
    op.u.shadow_op.op = XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY;
    assert_int_equal(call_domctl(XEN_DOMCTL_shadow_op, id, &op), -EOPNOTSUPP);
}

/* XSA-217 */
static void test_set_target(void **state)
{
    u16 a = create_pvh(1), b = create_pvh(1), x = create_pvh(1);
    struct xen_domctl op;
    memset(&op, 0, sizeof(op));
    op.u.set_target.target = 999;
    assert_int_equal(call_domctl(XEN_DOMCTL_set_target, a, &op), -ESRCH);
    op.u.set_target.target = a;
    assert_int_equal(call_domctl(XEN_DOMCTL_set_target, a, &op), -EINVAL);
    op.u.set_target.target = 0;
    assert_int_equal(call_domctl(XEN_DOMCTL_set_target, a, &op), -EINVAL);
    op.u.set_target.target = b;
    u32 refs = dom_by_id(b)->refs;
    assert_int_equal(call_domctl(XEN_DOMCTL_set_target, a, &op), 0);
    assert_int_equal(dom_by_id(b)->refs, refs + 1);
    op.u.set_target.target = x;
    assert_int_equal(call_domctl(XEN_DOMCTL_set_target, a, &op), -EINVAL);
    assert_int_equal(call_domctl(XEN_DOMCTL_destroydomain, a, &op), 0);
    assert_int_equal(dom_by_id(b)->refs, refs);
}

/* Predictors are flushed when another vCPU comes (cpu/spec.h): one that is created where a destroyed one was is
 * another. */
static void test_vcpu_serials(void **state)
{
    struct xen_domctl op = { 0 };
    u64 seen[8], same_place = 0;
    const struct vcpu *last = NULL;
    for (unsigned i = 0; i < ARRAY_SIZE(seen); i++) {
        u16 id = create_pvh(1);
        const struct vcpu *v = dom_by_id(id)->vcpu[0];
        seen[i] = v->serial;
        same_place += v == last;
        last = v;
        assert_int_not_equal(seen[i], 0);
        for (unsigned k = 0; k < i; k++) assert_int_not_equal(seen[k], seen[i]);
        assert_int_equal(call_domctl(XEN_DOMCTL_destroydomain, id, &op), 0);
        timer_run();                /* the reaper */
    }
    assert_int_not_equal(same_place, 0);
}

static void test_destroy(void **state)
{
    u16 id = create_pvh(2);
    struct xen_domctl op = { 0 };
    assert_int_equal(call_domctl(XEN_DOMCTL_destroydomain, 0, &op), -EINVAL);
    struct domain *d = get_domain(id);
    assert_int_equal(call_domctl(XEN_DOMCTL_destroydomain, id, &op), 0);
    /* While it lingers, nothing new can be put into it. */
    op.u.max_vcpus.max = 2;
    assert_int_equal(call_domctl(XEN_DOMCTL_max_vcpus, id, &op), -EINVAL);
    op.u.paging_mempool.size = MiB(1);
    assert_int_equal(call_domctl(XEN_DOMCTL_set_paging_mempool_size, id, &op), -EINVAL);
    op.u.shadow_op.op = XEN_DOMCTL_SHADOW_OP_SET_ALLOCATION;
    assert_int_equal(call_domctl(XEN_DOMCTL_shadow_op, id, &op), -EINVAL);
    assert_int_equal(call_domctl(XEN_DOMCTL_destroydomain, id, &op), 0);
    assert_int_equal(call_domctl(XEN_DOMCTL_getdomaininfo, id, &op), 0);
    assert_true(op.u.getdomaininfo.flags & XEN_DOMINF_dying);
    put_domain(d);
}

static void test_context(void **state)
{
    u16 id = create_pvh(1);
    struct domain *d = dom_by_id(id);
    struct vcpu *v = d->vcpu[0];
    struct xen_domctl op;
    gva_t gva;
    struct vcpu_guest_context *g = guest_buf(sizeof(*g), &gva);
    memset(&op, 0, sizeof(op));
    op.u.vcpucontext.ctxt.p = (void *)gva;
    assert_int_equal(call_domctl(XEN_DOMCTL_getvcpucontext, id, &op), -ENODATA);
    vcpu_set_up(v);
    v->regs.rax = 0x1122334455667788;
    v->regs.rip = 0x1000850;
    assert_int_equal(call_domctl(XEN_DOMCTL_getvcpucontext, id, &op), 0);
    assert_true(g->user_regs.rax == 0x1122334455667788);
    assert_true(g->flags & VGCF_online);
    assert_int_equal(g->trap_ctxt[7].address, 0);       /* no poison left */
    /* cooperative resume: RAX = 1 */
    g->user_regs.rax = 1;
    assert_int_equal(call_domctl(XEN_DOMCTL_setvcpucontext, id, &op), 0);
    assert_int_equal(v->regs.rax, 1);
    assert_int_equal(v->regs.rip, 0x1000850);
    g->user_regs.rip = 0x8000000000000000;
    assert_int_equal(call_domctl(XEN_DOMCTL_setvcpucontext, id, &op), -EINVAL);
    assert_int_equal(v->regs.rip, 0x1000850);
    op.u.vcpucontext.vcpu = 5;
    assert_int_equal(call_domctl(XEN_DOMCTL_setvcpucontext, id, &op), -EINVAL);
    op.u.vcpucontext.vcpu = 0;
    op.u.vcpucontext.ctxt.p = NULL;     /* without a state again */
    assert_int_equal(call_domctl(XEN_DOMCTL_setvcpucontext, id, &op), 0);
    assert_int_equal(call_domctl(XEN_DOMCTL_getvcpucontext, id, &op), -ENODATA);
    assert_true(v->flags & VF_DOWN);
}

static void test_tsc_and_misc(void **state)
{
    u16 id = create_pvh(1);
    struct xen_domctl op;
    memset(&op, 0xa5, sizeof(op));
    assert_int_equal(call_domctl(XEN_DOMCTL_gettscinfo, id, &op), 0);
    assert_int_equal(op.u.tsc_info.gtsc_khz, tsc_khz);
    assert_int_equal(op.u.tsc_info.pad, 0);
    memset(&op, 0, sizeof(op));
    assert_int_equal(call_domctl(XEN_DOMCTL_settscinfo, id, &op), 0);
    assert_int_equal(op.u.tsc_info.incarnation, 0);
    op.u.tsc_info.incarnation = 5;      /* as saved: this is the next one */
    assert_int_equal(call_domctl(XEN_DOMCTL_settscinfo, id, &op), 0);
    assert_int_equal(call_domctl(XEN_DOMCTL_gettscinfo, id, &op), 0);
    assert_int_equal(op.u.tsc_info.incarnation, 6);
    op.u.tsc_info.tsc_mode = 3;
    assert_int_equal(call_domctl(XEN_DOMCTL_settscinfo, id, &op), -EINVAL);
    op.u.tsc_info.tsc_mode = 1;
    assert_int_equal(call_domctl(XEN_DOMCTL_settscinfo, id, &op), 0);
    assert_true(fake_vcpu(dom_by_id(id)->vcpu[0])->trap_rdtsc);
    op.u.settimeoffset.time_offset_seconds = -3600;
    assert_int_equal(call_domctl(XEN_DOMCTL_settimeoffset, id, &op), 0);
    op.u.settimeoffset.time_offset_seconds = INT64_MIN;
    assert_int_equal(call_domctl(XEN_DOMCTL_settimeoffset, id, &op), -EINVAL);
    assert_int_equal(call_domctl(XEN_DOMCTL_get_address_size, id, &op), 0);
    assert_int_equal(op.u.address_size.size, 64);
    op.u.address_size.size = 32;
    assert_int_equal(call_domctl(XEN_DOMCTL_set_address_size, id, &op), -EINVAL);
    memset(&op, 0, sizeof(op));
    op.u.sendtrigger.trigger = XEN_DOMCTL_SENDTRIGGER_POWER;
    assert_int_equal(call_domctl(XEN_DOMCTL_sendtrigger, id, &op), -EOPNOTSUPP);
    op.u.sendtrigger.trigger = XEN_DOMCTL_SENDTRIGGER_RESET;
    assert_int_equal(call_domctl(XEN_DOMCTL_sendtrigger, id, &op), -ENOSYS);
    op.u.iomem_permission = (struct xen_domctl_iomem_permission){ .first_mfn = ~0ULL, .nr_mfns = 2 };
    assert_int_equal(call_domctl(XEN_DOMCTL_iomem_permission, id, &op), -EINVAL);
    op.u.ioport_permission = (struct xen_domctl_ioport_permission){ .first_port = 65535, .nr_ports = 2 };
    assert_int_equal(call_domctl(XEN_DOMCTL_ioport_permission, id, &op), -EINVAL);
    op.u.ioport_permission = (struct xen_domctl_ioport_permission){ .first_port = 0x60, .nr_ports = 2 };
    assert_int_equal(call_domctl(XEN_DOMCTL_ioport_permission, id, &op), 0);
    op.u.ioport_permission.allow_access = 1;
    assert_int_equal(call_domctl(XEN_DOMCTL_ioport_permission, id, &op), -EOPNOTSUPP);
}

/* XSA-461: no way to give a device, its memory, ports or interrupts to a guest. */
static void xsa_461_no_passthrough(void **state)
{
    static const struct { u32 cmd; long answer; } ways[] = {
        { XEN_DOMCTL_assign_device, -ENOSYS }, { XEN_DOMCTL_test_assign_device, -ENOSYS },
        { XEN_DOMCTL_deassign_device, -ENOSYS }, { XEN_DOMCTL_get_device_group, -ENOSYS },
        { XEN_DOMCTL_bind_pt_irq, -ENOSYS }, { XEN_DOMCTL_memory_mapping, -EOPNOTSUPP },
        { XEN_DOMCTL_ioport_mapping, -EOPNOTSUPP },
    };
    u16 id = create_pvh(1);
    for (unsigned i = 0; i < ARRAY_SIZE(ways); i++) {
        struct xen_domctl op;
        memset(&op, 0, sizeof(op));
        assert_int_equal(call_domctl(ways[i].cmd, id, &op), ways[i].answer);
    }
}

static void test_page_types(void **state)
{
    u16 id = create_pvh(1);
    struct xen_domctl op;
    gva_t gva;
    xen_pfn_t *pfn = guest_buf(2 * sizeof(*pfn), &gva);
    pfn[0] = 3;
    pfn[1] = ~0UL;
    memset(&op, 0, sizeof(op));
    op.u.getpageframeinfo3.num = 2;
    op.u.getpageframeinfo3.array.p = (void *)gva;
    assert_int_equal(call_domctl(XEN_DOMCTL_getpageframeinfo3, id, &op), 0);
    assert_int_equal(pfn[0], XEN_DOMCTL_PFINFO_XTAB);
    assert_int_equal(pfn[1], XEN_DOMCTL_PFINFO_XTAB);
    pfn[0] = 3;
    assert_int_equal(call_domctl(XEN_DOMCTL_getpageframeinfo3, 0, &op), 0);
    assert_int_equal(pfn[0], XEN_DOMCTL_PFINFO_NOTAB);
    op.u.getpageframeinfo3.num = 1025;
    assert_int_equal(call_domctl(XEN_DOMCTL_getpageframeinfo3, id, &op), -E2BIG);
}

/* Creation and destruction give everything back. */
static void test_no_leak(void **state)
{
    u64 heap = 0;
    for (unsigned i = 0; i < 60; i++) {
        create_pvh(4);
        env_test_teardown(state);
        if (i == 9) heap = heap_pages_used();
    }
    assert_true(heap_pages_used() <= heap + 2);
}

/* A failed allocation anywhere in createdomain and max_vcpus leaves an error and nothing else (I-10). */
static void test_create_failures(void **state)
{
    for (unsigned k = 1; ; k++) {
        struct xen_domctl op;
        pvh_config(&op, 2);
        fake_fail_at(k);
        long rc = call_domctl(XEN_DOMCTL_createdomain, 0xffff, &op);
        if (!rc) {
            u16 id = op.domain;
            op.u.max_vcpus.max = 2;
            rc = call_domctl(XEN_DOMCTL_max_vcpus, id, &op);
        }
        bool failed = fake_failed();
        fake_fail_at(0);
        env_test_teardown(state);
        if (!failed) {
            assert_int_equal(rc, 0);
            break;
        }
        assert_true(rc < 0);
    }
}

/* Random structures: no crash, no lock left behind, dom0 still there (I-12). */
static void test_fuzz(void **state)
{
    u16 ids[3] = { create_pvh(1), create_pvh(2), 0 };
    for (unsigned n = 0; n < 20000; n++) {
        struct xen_domctl op;
        u64 *w = (u64 *)&op;
        for (unsigned i = 0; i < sizeof(op) / 8; i++) {
            u64 r = rnd();
            w[i] = r & 1 ? r >> (rnd() % 64) : r & 2 ? SCRATCH_GPA + (r >> 8) % MiB(1) : rnd() % 4;
        }
        u16 id = ids[rnd() % 3];
        u32 cmd = (u32)(rnd() % 90);
        if (cmd == XEN_DOMCTL_destroydomain && rnd() % 8) continue;
        scratch_used = MiB(1) + MiB(1) / 2;
        call_domctl(cmd, id, &op);
        for (unsigned i = 0; i < 2; i++) {
            struct domain *d = get_domain(ids[i]);
            if (!d) ids[i] = create_pvh(1 + i);
            else if (d->state != DOM_ALIVE) ids[i] = create_pvh(1 + i), put_domain(d);
            else put_domain(d);
        }
        fake_time_advance(1000000);
        timer_run();
    }
    assert_true(dom0->state == DOM_ALIVE);
}

int main(void)
{
    const struct CMUnitTest t[] = {
        T(test_versions), T(test_unprivileged), T(test_emulation_flags), T(test_create_flags), T(test_create_limits),
        T(test_info), T(test_pause), T(test_vcpus), T(test_affinity), T(test_node_affinity), T(test_scheduler),
        T(test_memory_and_pool), T(test_set_target), T(test_vcpu_serials), T(test_destroy), T(test_context),
        T(test_tsc_and_misc), T(xsa_461_no_passthrough), T(test_page_types), T(test_no_leak), T(test_create_failures), T(test_fuzz),
    };
    return cmocka_run_group_tests(t, env_setup, NULL);
}
