/* SPDX-License-Identifier: MIT */
/* sysctl and platform_op: answers, size queries, documented errors, random arguments. */
#include "call_env.h"
#include "boot/boot.h"

static void test_version(void **state)
{
    gva_t gva;
    struct xen_sysctl *g = guest_buf(sizeof(*g), &gva);
    memset(g, 0, sizeof(*g));
    g->cmd = XEN_SYSCTL_physinfo;
    assert_int_equal(hypercall(__HYPERVISOR_sysctl, gva, 0, 0), -EACCES);
    assert_int_equal(hypercall(__HYPERVISOR_sysctl, BAD_GVA, 0, 0), -EFAULT);
    struct xen_sysctl op = { 0 };
    assert_int_equal(call_sysctl(13, &op), -ENOSYS);
    assert_int_equal(call_sysctl(~0u, &op), -ENOSYS);
    assert_int_equal(call_sysctl(XEN_SYSCTL_tbuf_op, &op), -ENOSYS);
    assert_int_equal(call_sysctl(XEN_SYSCTL_psr_alloc, &op), -ENODEV);
}

/* Claimed memory is still free, and is counted apart. */
static void test_claims(void **state)
{
    gva_t gva;
    struct xen_memory_reservation *r = guest_buf(sizeof(*r), &gva);
    struct xen_sysctl op = { 0 };
    struct xen_domctl ctl = { 0 };
    u16 id = create_pvh(1);
    ctl.u.max_mem.max_memkb = 4096;
    assert_int_equal(call_domctl(XEN_DOMCTL_max_mem, id, &ctl), 0);
    assert_int_equal(call_sysctl(XEN_SYSCTL_physinfo, &op), 0);
    u64 free = op.u.physinfo.free_pages;
    assert_int_equal(op.u.physinfo.outstanding_pages, 0);
    *r = (struct xen_memory_reservation){ .nr_extents = 100, .domid = id };
    assert_int_equal(hypercall(__HYPERVISOR_memory_op, XENMEM_claim_pages, gva, 0), 0);
    assert_int_equal(call_sysctl(XEN_SYSCTL_physinfo, &op), 0);
    assert_true(op.u.physinfo.free_pages == free);
    assert_int_equal(op.u.physinfo.outstanding_pages, 100);
}

static void test_physinfo(void **state)
{
    struct xen_sysctl op;
    memset(&op, 0xa5, sizeof(op));
    assert_int_equal(call_sysctl(XEN_SYSCTL_physinfo, &op), 0);
    struct xen_sysctl_physinfo *p = &op.u.physinfo;
    assert_int_equal(p->nr_cpus, 4);
    assert_int_equal(p->max_cpu_id, 3);
    assert_int_equal(p->nr_nodes, 1);
    assert_int_equal(p->max_node_id, 0);
    assert_int_equal(p->pad, 0);
    assert_int_equal(p->capabilities, XEN_SYSCTL_PHYSCAP_hvm | XEN_SYSCTL_PHYSCAP_hap | XEN_SYSCTL_PHYSCAP_gnttab_v1);
    assert_true(p->free_pages && p->free_pages < p->total_pages);
    assert_int_equal(p->hw_cap[0], 0x178bfbff);
    assert_int_equal(call_sysctl(XEN_SYSCTL_sched_id, &op), 0);
    assert_int_equal(op.u.sched_id.sched_id, XEN_SCHEDULER_CREDIT2);
}

static void test_domains(void **state)
{
    u16 a = create_pvh(1), b = create_pvh(1);
    struct xen_sysctl op;
    gva_t gva;
    struct xen_domctl_getdomaininfo *list = guest_buf(4 * sizeof(*list), &gva);
    memset(&op, 0, sizeof(op));
    op.u.getdomaininfolist.max_domains = 4;
    op.u.getdomaininfolist.buffer.p = (void *)gva;
    assert_int_equal(call_sysctl(XEN_SYSCTL_getdomaininfolist, &op), 0);
    assert_int_equal(op.u.getdomaininfolist.num_domains, 3);
    assert_int_equal(list[0].domain, 0);
    assert_int_equal(list[1].domain, MIN(a, b));
    assert_int_equal(list[2].domain, MAX(a, b));
    assert_int_equal(list[3].domain, 0xa5a5);
    op.u.getdomaininfolist.first_domain = (u16)(MIN(a, b) + 1);
    assert_int_equal(call_sysctl(XEN_SYSCTL_getdomaininfolist, &op), 0);
    assert_int_equal(op.u.getdomaininfolist.num_domains, 1);
    op.u.getdomaininfolist.first_domain = 0xffff;
    assert_int_equal(call_sysctl(XEN_SYSCTL_getdomaininfolist, &op), 0);
    assert_int_equal(op.u.getdomaininfolist.num_domains, 0);
    op.u.getdomaininfolist.first_domain = 0;
    op.u.getdomaininfolist.max_domains = 1;
    assert_int_equal(call_sysctl(XEN_SYSCTL_getdomaininfolist, &op), 0);
    assert_int_equal(op.u.getdomaininfolist.num_domains, 1);
    op.u.getdomaininfolist.buffer.p = (void *)BAD_GVA;
    assert_int_equal(call_sysctl(XEN_SYSCTL_getdomaininfolist, &op), -EFAULT);
}

static void test_topology(void **state)
{
    struct xen_sysctl op;
    gva_t gva;
    memset(&op, 0, sizeof(op));
    assert_int_equal(call_sysctl(XEN_SYSCTL_numainfo, &op), 0);
    assert_int_equal(op.u.numainfo.num_nodes, 1);
    struct xen_sysctl_meminfo *mem = guest_buf(2 * sizeof(*mem), &gva);
    op.u.numainfo.meminfo.p = (void *)gva;
    u32 *dist = guest_buf(8, &gva);
    op.u.numainfo.distance.p = (void *)gva;
    op.u.numainfo.num_nodes = 2;
    assert_int_equal(call_sysctl(XEN_SYSCTL_numainfo, &op), 0);
    assert_int_equal(op.u.numainfo.num_nodes, 1);
    assert_true(mem[0].memsize == ram_total_pages() * 4096);
    assert_true(mem[1].memsize == 0xa5a5a5a5a5a5a5a5);
    assert_int_equal(dist[0], 10);
    memset(&op, 0, sizeof(op));
    assert_int_equal(call_sysctl(XEN_SYSCTL_cputopoinfo, &op), 0);
    assert_int_equal(op.u.cputopoinfo.num_cpus, 4);
    struct xen_sysctl_cputopo *t = guest_buf(4 * sizeof(*t), &gva);
    op.u.cputopoinfo.cputopo.p = (void *)gva;
    op.u.cputopoinfo.num_cpus = 3;
    assert_int_equal(call_sysctl(XEN_SYSCTL_cputopoinfo, &op), 0);
    assert_int_equal(op.u.cputopoinfo.num_cpus, 4);
    assert_int_equal(t[2].core, 1);         /* two threads per core */
    assert_int_equal(t[2].socket, 0);
    assert_int_equal(t[3].core, 0xa5a5a5a5);
    /* PCI: known and unknown device */
    struct physdev_pci_device *dev = guest_buf(2 * sizeof(*dev), &gva);
    memset(&op, 0, sizeof(op));
    op.u.pcitopoinfo.devs.p = (void *)gva;
    dev[0] = (struct physdev_pci_device){ .devfn = 8 };
    dev[1] = (struct physdev_pci_device){ .bus = 0xff, .devfn = 0xf0 };
    u32 *node = guest_buf(8, &gva);
    op.u.pcitopoinfo.nodes.p = (void *)gva;
    op.u.pcitopoinfo.num_devs = 2;
    assert_int_equal(call_sysctl(XEN_SYSCTL_pcitopoinfo, &op), 0);
    assert_int_equal(node[0], 0);
    assert_int_equal(node[1], XEN_INVALID_DEV);
}

static void test_pools(void **state)
{
    struct xen_sysctl op;
    gva_t gva;
    u8 *map = guest_buf(8, &gva);
    struct xen_sysctl_cpupool_op *p = &op.u.cpupool_op;
    memset(&op, 0, sizeof(op));
    p->op = XEN_SYSCTL_CPUPOOL_OP_INFO;
    p->cpumap.bitmap.p = (void *)gva;
    p->cpumap.nr_bits = 8;
    assert_int_equal(call_sysctl(XEN_SYSCTL_cpupool_op, &op), 0);
    assert_int_equal(p->cpupool_id, 0);
    assert_int_equal(p->sched_id, XEN_SCHEDULER_CREDIT2);
    assert_int_equal(p->n_dom, 1);
    assert_int_equal(map[0], 0xf);
    assert_int_equal(map[1], 0xa5);
    p->cpupool_id = 1;
    assert_int_equal(call_sysctl(XEN_SYSCTL_cpupool_op, &op), -ENOENT);
    p->op = XEN_SYSCTL_CPUPOOL_OP_FREEINFO;
    assert_int_equal(call_sysctl(XEN_SYSCTL_cpupool_op, &op), 0);
    assert_int_equal(map[0], 0);
    p->op = XEN_SYSCTL_CPUPOOL_OP_CREATE;
    assert_int_equal(call_sysctl(XEN_SYSCTL_cpupool_op, &op), -EOPNOTSUPP);
    p->op = XEN_SYSCTL_CPUPOOL_OP_DESTROY;
    assert_int_equal(call_sysctl(XEN_SYSCTL_cpupool_op, &op), -ENOENT);
    p->cpupool_id = 0;
    assert_int_equal(call_sysctl(XEN_SYSCTL_cpupool_op, &op), -EBUSY);
    p->op = XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN;
    p->domid = 4711;
    assert_int_equal(call_sysctl(XEN_SYSCTL_cpupool_op, &op), -EINVAL);
    p->domid = 0;
    assert_int_equal(call_sysctl(XEN_SYSCTL_cpupool_op, &op), 0);
    p->op = 0;
    assert_int_equal(call_sysctl(XEN_SYSCTL_cpupool_op, &op), -ENOSYS);
    memset(&op, 0, sizeof(op));
    op.u.scheduler_op.sched_id = XEN_SCHEDULER_CREDIT2;
    op.u.scheduler_op.cmd = XEN_SYSCTL_SCHEDOP_putinfo;
    op.u.scheduler_op.u.sched_credit2.ratelimit_us = 2000;
    assert_int_equal(call_sysctl(XEN_SYSCTL_scheduler_op, &op), 0);
    op.u.scheduler_op.u.sched_credit2.ratelimit_us = 600000;
    assert_int_equal(call_sysctl(XEN_SYSCTL_scheduler_op, &op), -EINVAL);
    op.u.scheduler_op.cmd = 99;
    assert_int_equal(call_sysctl(XEN_SYSCTL_scheduler_op, &op), -EINVAL);
    op.u.scheduler_op.cmd = XEN_SYSCTL_SCHEDOP_getinfo;
    assert_int_equal(call_sysctl(XEN_SYSCTL_scheduler_op, &op), 0);
    assert_int_equal(op.u.scheduler_op.u.sched_credit2.ratelimit_us, 2000);
}

static void test_cpu(void **state)
{
    struct xen_sysctl op;
    gva_t gva;
    memset(&op, 0, sizeof(op));
    op.u.cpu_featureset.index = XEN_SYSCTL_cpu_featureset_host;
    assert_int_equal(call_sysctl(XEN_SYSCTL_get_cpu_featureset, &op), 0);
    assert_int_equal(op.u.cpu_featureset.nr_features, 19);
    u32 *w = guest_buf(80, &gva);
    op.u.cpu_featureset.features.p = (void *)gva;
    assert_int_equal(call_sysctl(XEN_SYSCTL_get_cpu_featureset, &op), 0);
    assert_int_equal(w[0], 0x178bfbff);
    assert_int_equal(w[19], 0xa5a5a5a5);
    op.u.cpu_featureset.nr_features = 2;
    w[2] = 0xa5a5a5a5;
    assert_int_equal(call_sysctl(XEN_SYSCTL_get_cpu_featureset, &op), -ENOBUFS);
    assert_int_equal(op.u.cpu_featureset.nr_features, 2);
    assert_int_equal(w[2], 0xa5a5a5a5);
    op.u.cpu_featureset.index = XEN_SYSCTL_cpu_featureset_pv;
    assert_int_equal(call_sysctl(XEN_SYSCTL_get_cpu_featureset, &op), -EOPNOTSUPP);
    op.u.cpu_featureset.index = 99;
    assert_int_equal(call_sysctl(XEN_SYSCTL_get_cpu_featureset, &op), -EINVAL);
    /* policy: size query, then data */
    memset(&op, 0, sizeof(op));
    assert_int_equal(call_sysctl(XEN_SYSCTL_get_cpu_policy, &op), 0);
    assert_int_equal(op.u.cpu_policy.nr_leaves, 120);
    assert_int_equal(op.u.cpu_policy.nr_msrs, 2);
    xen_cpuid_leaf_t *l = guest_buf(120 * sizeof(*l), &gva);
    op.u.cpu_policy.leaves.p = (void *)gva;
    xen_msr_entry_t *m = guest_buf(2 * sizeof(*m), &gva);
    op.u.cpu_policy.msrs.p = (void *)gva;
    op.u.cpu_policy.index = XEN_SYSCTL_cpu_policy_hvm_default;
    assert_int_equal(call_sysctl(XEN_SYSCTL_get_cpu_policy, &op), 0);
    assert_true(op.u.cpu_policy.nr_leaves > 40 && op.u.cpu_policy.nr_leaves <= 120);
    assert_int_equal(l[0].leaf, 0);
    assert_int_equal(m[0].idx, 0xce);
    assert_int_equal(m[1].idx, 0x10a);
    op.u.cpu_policy.nr_leaves = 3;
    assert_int_equal(call_sysctl(XEN_SYSCTL_get_cpu_policy, &op), -ENOBUFS);
    op.u.cpu_policy.index = XEN_SYSCTL_cpu_policy_pv_default;
    assert_int_equal(call_sysctl(XEN_SYSCTL_get_cpu_policy, &op), -EOPNOTSUPP);
    op.u.cpu_policy._rsvd = 1;
    assert_int_equal(call_sysctl(XEN_SYSCTL_get_cpu_policy, &op), -EINVAL);
}

static void test_console(void **state)
{
    struct xen_sysctl op;
    gva_t gva;
    char *b = guest_buf(8192, &gva);
    fake_log_clear();
    printk(LOG_INFO, "hello ring\n");
    memset(&op, 0, sizeof(op));
    op.u.readconsole.buffer.p = (void *)gva;
    op.u.readconsole.count = 8192;
    assert_int_equal(call_sysctl(XEN_SYSCTL_readconsole, &op), 0);
    assert_int_equal(op.u.readconsole.count, 11);
    assert_memory_equal(b, "hello ring\n", 11);
    op.u.readconsole.incremental = 1;
    op.u.readconsole.count = 8192;
    assert_int_equal(call_sysctl(XEN_SYSCTL_readconsole, &op), 0);
    assert_int_equal(op.u.readconsole.count, 0);
    op.u.debug_keys.nr_keys = 65;
    assert_int_equal(call_sysctl(XEN_SYSCTL_debug_keys, &op), -E2BIG);
}

/* ---- platform_op ---- */
static void test_platform(void **state)
{
    struct xen_platform_op op;
    memset(&op, 0xa5, sizeof(op));
    op.u.pcpu_info.xen_cpuid = 2;
    assert_int_equal(call_platform(XENPF_get_cpuinfo, &op), 0);
    assert_int_equal(op.u.pcpu_info.max_present, 3);
    assert_int_equal(op.u.pcpu_info.flags, XEN_PCPU_FLAGS_ONLINE);
    assert_int_equal(op.u.pcpu_info.apic_id, 2);
    op.u.pcpu_info.xen_cpuid = 4;
    assert_int_equal(call_platform(XENPF_get_cpuinfo, &op), 0);
    assert_int_equal(op.u.pcpu_info.flags, XEN_PCPU_FLAGS_INVALID);
    memset(&op, 0, sizeof(op));
    op.u.settime64.secs = 1800000000;
    op.u.settime64.mbz = 1;
    assert_int_equal(call_platform(XENPF_settime64, &op), -EINVAL);
    op.u.settime64.mbz = 0;
    op.u.settime64.nsecs = 1000000000;
    assert_int_equal(call_platform(XENPF_settime64, &op), -EINVAL);
    op.u.settime64.nsecs = 5;
    assert_int_equal(call_platform(XENPF_settime64, &op), 0);
    assert_int_equal(guest_shared_info(dom0)->wc_sec, 1800000000);
    assert_int_equal(guest_shared_info(dom0)->wc_nsec, 5);
    assert_int_equal(call_platform(XENPF_get_symbol, &op), -ENOSYS);
    assert_int_equal(call_platform(XENPF_efi_runtime_call, &op), -ENOSYS);
    assert_int_equal(call_platform(65, &op), -ENOSYS);
    memset(&op, 0, sizeof(op));
    op.u.firmware_info.type = XEN_FW_EFI_INFO;
    assert_int_equal(call_platform(XENPF_firmware_info, &op), -ENODEV);
    op.u.firmware_info.type = 99;
    assert_int_equal(call_platform(XENPF_firmware_info, &op), -EINVAL);
    op.u.microcode.length = 0;
    assert_int_equal(call_platform(XENPF_microcode_update, &op), -EINVAL);
    memset(&op, 0, sizeof(op));
    op.u.enter_acpi_sleep.sleep_state = 3;
    assert_int_equal(call_platform(XENPF_enter_acpi_sleep, &op), -EOPNOTSUPP);
}

static void test_dom0_console(void **state)
{
    struct xen_platform_op op;
    memset(&boot_info.fb, 0, sizeof(boot_info.fb));
    memset(&op, 0xa5, sizeof(op));
    assert_int_equal(call_platform(64, &op), -ENODEV);
    boot_info.fb.addr = 0x1c0000000;
    boot_info.fb.pitch = 4096;
    boot_info.fb.width = 1024;
    boot_info.fb.height = 768;
    boot_info.fb.bpp = 32;
    assert_int_equal(call_platform(64, &op), 40);
    struct dom0_vga_console_info *i = (void *)&op.u;
    assert_int_equal(i->video_type, XEN_VGATYPE_VESA_LFB);
    assert_int_equal(i->u.vesa_lfb.width, 1024);
    assert_int_equal(i->u.vesa_lfb.lfb_base, 0xc0000000);
    assert_int_equal(i->u.vesa_lfb.ext_lfb_base, 1);
    assert_int_equal(i->u.vesa_lfb.lfb_size, 48);
    assert_int_equal(op.u.pad[41], 0);
    memset(&boot_info.fb, 0, sizeof(boot_info.fb));
}

/* EFI tables in firmware memory; a table that points outside is not believed. */
static void test_efi(void **state)
{
    struct xen_platform_op op;
    u64 at = MiB(300);
    u64 *t = (u64 *)(frame_window + at);
    memset(t, 0, 256);
    t[0] = 0x5453595320494249ULL;
    t[1] = 0x0002003c;                  /* revision 2.60 */
    t[3] = at + 0x400;                  /* vendor */
    t[4] = 7;
    t[11] = at + 0x200;                 /* runtime services */
    t[13] = 2;
    t[14] = at + 0x300;
    memcpy(frame_window + at + 0x400, u"EDK", 8);
    *(u64 *)(frame_window + at + 0x208) = 0x00020046;
    boot_info.efi_system_table = at;
    boot_info.nr_mmap = 1;
    boot_info.mmap[0] = (struct boot_range){ at, at + 0x1000, 2 };
    memset(&op, 0, sizeof(op));
    op.u.firmware_info.type = XEN_FW_EFI_INFO;
    op.u.firmware_info.index = XEN_FW_EFI_CONFIG_TABLE;
    assert_int_equal(call_platform(XENPF_firmware_info, &op), 0);
    assert_true(op.u.firmware_info.u.efi_info.cfg.addr == at + 0x300);
    assert_int_equal(op.u.firmware_info.u.efi_info.cfg.nent, 2);
    gva_t gva;
    u16 *name = guest_buf(16, &gva);
    memset(&op, 0, sizeof(op));
    op.u.firmware_info.type = XEN_FW_EFI_INFO;
    op.u.firmware_info.index = XEN_FW_EFI_VENDOR;
    op.u.firmware_info.u.efi_info.vendor.bufsz = 16;
    op.u.firmware_info.u.efi_info.vendor.name.p = (void *)gva;
    assert_int_equal(call_platform(XENPF_firmware_info, &op), 0);
    assert_int_equal(op.u.firmware_info.u.efi_info.vendor.bufsz, 8);
    assert_int_equal(name[2], 'K');
    assert_int_equal(name[3], 0);
    op.u.firmware_info.u.efi_info.vendor.bufsz = 5;
    op.u.firmware_info.u.efi_info.vendor.name.p = (void *)gva;
    assert_int_equal(call_platform(XENPF_firmware_info, &op), -ENOBUFS);
    assert_int_equal(name[1], 0);
    boot_info.nr_mmap = 0;
    boot_info.efi_system_table = 0;
}

static void test_pm(void **state)
{
    struct xen_platform_op op;
    gva_t gva;
    struct xen_processor_px *px = guest_buf(3 * sizeof(*px), &gva);
    memset(px, 0, 3 * sizeof(*px));
    memset(&op, 0, sizeof(op));
    op.u.set_pminfo.id = 1;
    op.u.set_pminfo.type = XEN_PM_PX;
    op.u.set_pminfo.u.perf.flags = XEN_PX_PSS | XEN_PX_PPC;
    op.u.set_pminfo.u.perf.state_count = 3;
    op.u.set_pminfo.u.perf.states.p = (void *)gva;
    assert_int_equal(call_platform(XENPF_set_processor_pminfo, &op), 0);
    op.u.set_pminfo.u.perf.state_count = 33;
    assert_int_equal(call_platform(XENPF_set_processor_pminfo, &op), -EINVAL);
    op.u.set_pminfo.id = 77;
    assert_int_equal(call_platform(XENPF_set_processor_pminfo, &op), -EINVAL);
    u32 *pdc = guest_buf(12, &gva);
    pdc[0] = 1, pdc[1] = 1, pdc[2] = 0xff;
    op.u.set_pminfo.type = XEN_PM_PDC;
    op.u.set_pminfo.u.pdc.p = (void *)gva;
    assert_int_equal(call_platform(XENPF_set_processor_pminfo, &op), 0);
    op.u.set_pminfo.type = XEN_PM_TX;
    assert_int_equal(call_platform(XENPF_set_processor_pminfo, &op), -EINVAL);
}

static void test_idletime(void **state)
{
    struct xen_platform_op op;
    gva_t map, arr;
    u8 *m = guest_buf(8, &map);
    u64 *t = guest_buf(64 * 8, &arr);
    m[0] = 0x3f;
    memset(&op, 0, sizeof(op));
    op.u.getidletime.cpumap_bitmap.p = (void *)map;
    op.u.getidletime.cpumap_nr_cpus = 8;
    op.u.getidletime.idletime.p = (void *)arr;
    assert_int_equal(call_platform(XENPF_getidletime, &op), 0);
    assert_int_equal(m[0], 0xf);
    assert_true(t[5] == 0);
    assert_true(t[6] == 0xa5a5a5a5a5a5a5a5);
}

static void test_fuzz(void **state)
{
    create_pvh(2);
    for (unsigned n = 0; n < 20000; n++) {
        union { struct xen_sysctl s; struct xen_platform_op p; u64 w[17]; } op;
        for (unsigned i = 0; i < ARRAY_SIZE(op.w); i++) {
            u64 r = rnd();
            op.w[i] = r & 1 ? r >> (rnd() % 64) : r & 2 ? SCRATCH_GPA + (r >> 8) % MiB(1) : rnd() % 8;
        }
        scratch_used = MiB(1) + MiB(1) / 2;
        if (rnd() & 1) call_sysctl((u32)(rnd() % 32), &op.s);
        else {
            u32 cmd = (u32)(rnd() % 70);
            if (cmd != XENPF_enter_acpi_sleep) call_platform(cmd, &op.p);
        }
    }
}

int main(void)
{
    const struct CMUnitTest t[] = {
        T(test_version), T(test_physinfo), T(test_claims), T(test_domains), T(test_topology), T(test_pools),
        T(test_cpu),
        T(test_console), T(test_efi), T(test_dom0_console), T(test_platform), T(test_pm),
        T(test_idletime), T(test_fuzz),
    };
    return cmocka_run_group_tests(t, env_setup, NULL);
}
