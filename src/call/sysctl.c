/* SPDX-License-Identifier: MIT */
/* sysctl (35): copy, version, table of commands. Caller is privileged (row in call.c). */
#include "call/sysctl.h"

enum { OUT = 1, OUT_ALWAYS = 2 };       /* copy the structure back on success / in any case */

struct sysctl_row {
    const char *name;
    long (*fn)(struct call *c, struct xen_sysctl *op);
    u8 flags;
    s16 absent;         /* no fn: the documented answer */
};

#define ROW(cmd, flags) [XEN_SYSCTL_##cmd] = { #cmd, sysctl_##cmd, (flags), 0 }
#define NO(cmd, err) [XEN_SYSCTL_##cmd] = { #cmd, NULL, 0, -(err) }
static const struct sysctl_row rows[] = {
    ROW(readconsole, OUT),
    ROW(physinfo, OUT),
    ROW(sched_id, OUT),
    ROW(getdomaininfolist, OUT),
    ROW(debug_keys, 0),
    ROW(getcpuinfo, OUT),
    ROW(availheap, OUT),
    ROW(cputopoinfo, OUT),
    ROW(numainfo, OUT),
    ROW(cpupool_op, OUT),
    ROW(scheduler_op, OUT),
    ROW(pcitopoinfo, OUT),
    ROW(get_cpu_levelling_caps, OUT),
    ROW(get_cpu_featureset, OUT_ALWAYS),
    ROW(get_cpu_policy, OUT),
    NO(tbuf_op, ENOSYS), NO(perfc_op, ENOSYS), NO(lockprof_op, ENOSYS), NO(page_offline_op, ENOSYS),
    NO(get_pmstat, ENODEV), NO(pm_op, EOPNOTSUPP), NO(cpu_hotplug, EOPNOTSUPP), NO(coverage_op, EOPNOTSUPP),
    NO(psr_cmt_op, ENODEV), NO(psr_alloc, ENODEV), NO(livepatch_op, EOPNOTSUPP),
};

long sysctl(struct call *c)
{
    struct xen_sysctl op;
    gva_t arg = c->arg[0];
    if (copy_in(c->v, &op, arg)) return -EFAULT;
    if (op.interface_version != XEN_SYSCTL_INTERFACE_VERSION) return -EACCES;
    if (op.cmd >= ARRAY_SIZE(rows)) return -ENOSYS;
    const struct sysctl_row *row = &rows[index_nospec(op.cmd, ARRAY_SIZE(rows))];
    if (!row->name) return -ENOSYS;
    if (!row->fn) return row->absent;
    long rc = row->fn(c, &op);
    bool out = row->flags & OUT_ALWAYS || (row->flags & OUT && rc >= 0);
    if (out && rc != -ERESTART && copy_out(c->v, arg, &op)) return -EFAULT;
    return rc;
}
