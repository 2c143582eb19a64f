/* SPDX-License-Identifier: MIT */
/* Every hypercall of the stock clients (doc: compatibility contract D.14, sets 1 to 3): the answer to a good call, an
 * unknown sub-operation, a wrong version, a bad pointer, a bad value. Here: sysctl and domctl without another domain. */
#include "build.h"
#include "calls.h"

const char test_name[] = "calls_control";

static long sysctl(unsigned cmd)
{
    sc.cmd = cmd;
    sc.interface_version = XEN_SYSCTL_INTERFACE_VERSION;
    return hc_sysctl(&sc);
}

static void sysctls(void)
{
    static xen_domctl_getdomaininfo_t info[4];
    static char log[512];
    check_eq(sysctl(XEN_SYSCTL_physinfo), 0);
    check_eq(sc.u.physinfo.nr_cpus, 1);
    check(sc.u.physinfo.capabilities & XEN_SYSCTL_PHYSCAP_hap);
    check(sc.u.physinfo.free_pages && sc.u.physinfo.free_pages < sc.u.physinfo.total_pages);
    check_eq(sysctl(XEN_SYSCTL_sched_id), 0);
    check_eq(sc.u.sched_id.sched_id, 6);
    memset(&sc, 0, sizeof(sc));
    sc.u.getdomaininfolist.max_domains = 4;
    set_xen_guest_handle(sc.u.getdomaininfolist.buffer, info);
    check_eq(sysctl(XEN_SYSCTL_getdomaininfolist), 0);
    check_eq(sc.u.getdomaininfolist.num_domains, 1);
    check_eq(info[0].flags & 0xff, XEN_DOMINF_hvm_guest | XEN_DOMINF_running);
    check_eq(info[0].flags >> XEN_DOMINF_shutdownshift, 0xff);
    set_xen_guest_handle(sc.u.getdomaininfolist.buffer, BAD);
    check_eq(sysctl(XEN_SYSCTL_getdomaininfolist), -XEN_EFAULT);
    memset(&sc, 0, sizeof(sc));
    sc.u.readconsole.count = sizeof(log);
    set_xen_guest_handle(sc.u.readconsole.buffer, log);
    check_eq(sysctl(XEN_SYSCTL_readconsole), 0);
    check_eq(sc.u.readconsole.count, sizeof(log));
    memset(&sc, 0, sizeof(sc));
    sc.u.cpupool_op.op = XEN_SYSCTL_CPUPOOL_OP_INFO;
    sc.u.cpupool_op.cpupool_id = 1;
    check_eq(sysctl(XEN_SYSCTL_cpupool_op), -XEN_ENOENT);
    memset(&sc, 0, sizeof(sc));
    check_eq(sysctl(XEN_SYSCTL_cputopoinfo), 0);
    check_eq(sc.u.cputopoinfo.num_cpus, 1);
    memset(&sc, 0, sizeof(sc));
    check_eq(sysctl(XEN_SYSCTL_numainfo), 0);
    check_eq(sc.u.numainfo.num_nodes, 1);
    memset(&sc, 0, sizeof(sc));
    check_eq(sysctl(XEN_SYSCTL_get_cpu_featureset), 0);
    check_eq(sc.u.cpu_featureset.nr_features, 19);
    memset(&sc, 0, sizeof(sc));
    sc.u.cpu_policy.index = XEN_SYSCTL_cpu_policy_hvm_default;
    check_eq(sysctl(XEN_SYSCTL_get_cpu_policy), 0);
    check(sc.u.cpu_policy.nr_leaves && sc.u.cpu_policy.nr_leaves <= 120);
    check_eq(sysctl(XEN_SYSCTL_tbuf_op), -XEN_ENOSYS);
    check_eq(sysctl(XEN_SYSCTL_livepatch_op), -XEN_EOPNOTSUPP);
    check_eq(sysctl(999), -XEN_ENOSYS);
    sc.interface_version = 1;
    check_eq(hc_sysctl(&sc), -XEN_EACCES);
}

static void debug_keys_survive(void)
{
    char keys[] = "hrqgetmizaMQvVc";
    for (unsigned i = 0; keys[i]; i++) {
        memset(&sc, 0, sizeof(sc));
        set_xen_guest_handle(sc.u.debug_keys.keys, &keys[i]);
        sc.u.debug_keys.nr_keys = 1;
        check_eq(sysctl(XEN_SYSCTL_debug_keys), 0);
    }
}

static void domctls(void)
{
    check_eq(domctl(XEN_DOMCTL_getdomaininfo, 0), 0);
    check_eq(dc.u.getdomaininfo.domain, 0);
    check_eq(dc.u.getdomaininfo.nr_online_vcpus, 1);
    check_eq(domctl(XEN_DOMCTL_getdomaininfo, 1), -XEN_ESRCH);
    static const u16 selfless[] = { XEN_DOMCTL_destroydomain, XEN_DOMCTL_pausedomain, XEN_DOMCTL_resumedomain,
                                    XEN_DOMCTL_sethvmcontext, XEN_DOMCTL_gethvmcontext, XEN_DOMCTL_setvcpucontext,
                                    XEN_DOMCTL_max_vcpus };
    for (unsigned i = 0; i < sizeof(selfless) / 2; i++) {
        memset(&dc, 0, sizeof(dc));
        check_case("on dom0", domctl(selfless[i], 0), -XEN_EINVAL);
        check_case("on nobody", domctl(selfless[i], 77), -XEN_ESRCH);
    }
    memset(&dc, 0, sizeof(dc));
    check_eq(domctl(XEN_DOMCTL_getvcpuinfo, 0), 0);
    check(dc.u.getvcpuinfo.online && dc.u.getvcpuinfo.running && dc.u.getvcpuinfo.cpu_time);
    dc.u.getvcpuinfo.vcpu = 1;
    check_eq(domctl(XEN_DOMCTL_getvcpuinfo, 0) < 0, 1);
    check_eq(domctl(XEN_DOMCTL_assign_device, 0), -XEN_ENOSYS);
    check_eq(domctl(XEN_DOMCTL_monitor_op, 0), -XEN_EOPNOTSUPP);
    check_eq(domctl(999, 0), -XEN_ENOSYS);
    check_eq(domctl(0, 0), -XEN_ENOSYS);
    check_eq(domctl(XEN_DOMCTL_gdbsx_guestmemio, 0) < 0, 1);
    dc.cmd = XEN_DOMCTL_getdomaininfo;
    dc.interface_version = 0x14;
    check_eq(hc_domctl(&dc), -XEN_EACCES);
}

static void createdomain_checks(void)
{
    struct bad { const char *what; u32 flags, emu, vcpus; int grants; u32 grant_opts, misc; } const bad[] = {
        { "PV", 0, 0, 1, -1, 1, 0 }, { "unknown flag", 3 | 1u << 31, 1, 1, -1, 1, 0 },
        { "no HAP", 1, 1, 1, -1, 1, 0 }, { "iommu", 3 | 0x20, 1, 1, -1, 1, 0 }, { "no vCPU", 3, 1, 0, -1, 1, 0 },
        { "too many vCPUs", 3, 1, 4096, -1, 1, 0 }, { "odd devices", 3, 5, 1, -1, 1, 0 },
        { "no grant frames", 3, 1, 1, 0, 1, 0 }, { "grant v2", 3, 1, 1, -1, 2, 0 }, { "misc", 3, 1, 1, -1, 1, 2 },
        { "huge grant table", 3, 1, 1, 0x7fffffff, 1, 0 },
    };
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        memset(&dc, 0, sizeof(dc));
        dc.u.createdomain.flags = bad[i].flags;
        dc.u.createdomain.arch.emulation_flags = bad[i].emu;
        dc.u.createdomain.max_vcpus = bad[i].vcpus;
        dc.u.createdomain.max_grant_frames = bad[i].grants;
        dc.u.createdomain.max_maptrack_frames = -1;
        dc.u.createdomain.max_evtchn_port = 1023;
        dc.u.createdomain.grant_opts = bad[i].grant_opts;
        dc.u.createdomain.arch.misc_flags = bad[i].misc;
        if (domctl(XEN_DOMCTL_createdomain, 0xffff) >= 0) {
            blame();
            print("%s was accepted\n", bad[i].what);
        }
    }
    check_eq(domctl(XEN_DOMCTL_getdomaininfo, 1), -XEN_ESRCH);
}

void test_main(void)
{
    static const struct test tests[] = {
        TEST(sysctls),
        TEST(debug_keys_survive),
        TEST(domctls),
        TEST(createdomain_checks),
    };
    RUN_TESTS(tests);
}
