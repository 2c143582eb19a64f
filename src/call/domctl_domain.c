/* SPDX-License-Identifier: MIT */
/* domctl: life and properties of domains. */
#include "call/bitmap.h"
#include "call/domctl.h"
#include "hvm/policy.h"
#include "sched/sched.h"

/* ---- createdomain (E.7) ---- */
static long refuse(const char *field, u64 value, const char *why, long err)
{
    printk(LOG_WARN, "domctl: %s %#llx: %s\n", field, (unsigned long long)value, why);
    return err;
}

/* A legal set of emulated devices; nothing else is accepted (XSA-256). */
static const struct emulation { u32 flags; const char *kind; const char *why; s16 err; } emulations[] = {
    { XEN_X86_EMU_LAPIC, "PVH", NULL, 0 },
    { 0x3ff, "HVM", "guests with a device model are not supported yet; use type=\"pvh\"", -EOPNOTSUPP },
    { 0x1ff, "HVM", "guests with a device model are not supported yet; use type=\"pvh\"", -EOPNOTSUPP },
};

static long check_emulation(u32 flags)
{
    for (unsigned i = 0; i < ARRAY_SIZE(emulations); i++)
        if (emulations[i].flags == flags)
            return emulations[i].err ? refuse(emulations[i].kind, flags, emulations[i].why, emulations[i].err) : 0;
    return refuse("emulation_flags", flags, "not a known set of devices", -EINVAL);
}

/* Per flag: 0 = accepted, else the answer. */
static const struct { u32 flag; s16 err; const char *why; } flag_rows[] = {
    { XEN_DOMCTL_CDF_s3_integrity, -EOPNOTSUPP, "needs tboot" },
    { XEN_DOMCTL_CDF_iommu, -EOPNOTSUPP, "device passthrough is not supported" },
    { XEN_DOMCTL_CDF_nested_virt, -EOPNOTSUPP, "nested virtualisation is not supported" },
    { XEN_DOMCTL_CDF_vpmu, -EOPNOTSUPP, "no virtual PMU" },
};
#define FLAGS_OK (XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap | XEN_DOMCTL_CDF_oos_off | XEN_DOMCTL_CDF_xs_domain)

static long check_flags(u32 flags)
{
    if (!(flags & XEN_DOMCTL_CDF_hvm))
        return refuse("flags", flags, "PV guests run inside xen-shim: use type=\"pvh\" with pvshim=1", -EOPNOTSUPP);
    for (unsigned i = 0; i < ARRAY_SIZE(flag_rows); i++)
        if (flags & flag_rows[i].flag) return refuse("flags", flags, flag_rows[i].why, flag_rows[i].err);
    if (flags & ~FLAGS_OK) return refuse("flags", flags, "unknown bits", -EINVAL);
    if (!(flags & XEN_DOMCTL_CDF_hap)) return refuse("flags", flags, "shadow paging is not supported", -EINVAL);
    return 0;
}

static long check_limits(const struct xen_domctl_createdomain *a)
{
    if (!a->max_vcpus || a->max_vcpus > MAX_VCPUS) return refuse("max_vcpus", a->max_vcpus, "1 to 128", -EINVAL);
    if (a->max_grant_frames > 0 && (u64)a->max_grant_frames > opt_gnttab_max_frames)
        return refuse("max_grant_frames", (u32)a->max_grant_frames, "more than gnttab_max_frames= allows", -EINVAL);
    if (a->max_maptrack_frames > 0 && (u64)a->max_maptrack_frames > opt_gnttab_max_maptrack_frames)
        return refuse("max_maptrack_frames", (u32)a->max_maptrack_frames,
                      "more than gnttab_max_maptrack_frames= allows", -EINVAL);
    if (!a->max_grant_frames) return refuse("max_grant_frames", 0, "at least one is needed", -EINVAL);
    if (a->grant_opts & ~XEN_DOMCTL_GRANT_version_mask || XEN_DOMCTL_GRANT_version(a->grant_opts) != 1)
        return refuse("grant_opts", a->grant_opts, "grant tables have version 1", -EINVAL);
    if (a->iommu_opts) return refuse("iommu_opts", a->iommu_opts, "no IOMMU for guests", -EINVAL);
    if (a->vmtrace_size) return refuse("vmtrace_size", a->vmtrace_size, "no VM trace", -EOPNOTSUPP);
    if (a->cpupool_id) return refuse("cpupool_id", a->cpupool_id, "the only pool is 0", -ESRCH);
    u32 misc = a->arch.misc_flags;
    if (misc & ~XEN_X86_MSR_RELAXED) return refuse("misc_flags", misc, "unknown bits", -EINVAL);
    if (misc) return refuse("misc_flags", misc, "msr_relaxed is not supported", -EOPNOTSUPP);
    return 0;
}

DOMCTL_HANDLER(createdomain)
{
    const struct xen_domctl_createdomain *a = &op->u.createdomain;
    long rc;
    if ((rc = check_flags(a->flags)) || (rc = check_limits(a)) || (rc = check_emulation(a->arch.emulation_flags)))
        return rc;
    struct domain_config cfg = {
        .flags = a->flags, .emulation_flags = a->arch.emulation_flags, .max_vcpus = a->max_vcpus,
        .max_evtchn_port = MIN(a->max_evtchn_port, (u32)0x7fffffff), .max_grant_frames = a->max_grant_frames,
        .max_maptrack_frames = a->max_maptrack_frames,
    };
    memcpy(cfg.handle, a->handle, sizeof(cfg.handle));
    u16 want = op->domain ? op->domain : DOMID_FIRST_RESERVED;
    rc = domain_create(want, &cfg, &d);
    if (rc) return rc;
    spin_lock(&d->lock);
    d->params[HVM_PARAM_TRIPLE_FAULT_REASON] = SHUTDOWN_reboot;
    spin_unlock(&d->lock);
    op->domain = d->id;
    return 0;
}

/* ---- end, pauses ---- */
/* Restartable; one destruction at a time, because a stage must not be entered twice at once. */
DOMCTL_HANDLER(destroydomain)
{
    static u32 busy;
    if (d->is_hwdom) return -EINVAL;
    if (!domctl_trylock()) return -ERESTART;
    if (d->state == DOM_ALIVE) d->state = DOM_DYING;
    domctl_unlock();
    if (!atomic_cas(&busy, 0, 1)) return -ERESTART;
    long rc = domain_destroy(d);
    store_release(&busy, 0);
    return rc;
}

#define MAX_PAUSES (1u << 24)
DOMCTL_HANDLER(pausedomain)
{
    spin_lock(&d->lock);
    bool ok = d->ctl_pauses < MAX_PAUSES;
    if (ok) d->ctl_pauses++;
    spin_unlock(&d->lock);
    if (!ok) return -EOVERFLOW;
    domain_pause(d);
    return 0;
}

DOMCTL_HANDLER(unpausedomain)
{
    spin_lock(&d->lock);
    bool ok = d->ctl_pauses != 0;
    if (ok && --d->ctl_pauses == 0) d->ever_unpaused = true;
    spin_unlock(&d->lock);
    if (!ok) return -EINVAL;
    domain_unpause(d);
    return 0;
}

DOMCTL_HANDLER(resumedomain)
{
    domain_resume(d);
    return 0;
}

/* ---- information ---- */
/* paused, shutdown ... are states of the domain; running and blocked sum up its online vCPUs. */
static void sum_vcpus(struct domain *d, struct xen_domctl_getdomaininfo *i)
{
    struct vcpu *v;
    bool blocked = true, running = false;
    i->max_vcpu_id = XEN_INVALID_MAX_VCPU_ID;
    for_each_vcpu(d, v) {
        u32 flags = read_once(&v->flags);
        i->max_vcpu_id = v->id;
        i->cpu_time += vcpu_cpu_time_ns(v);
        if (flags & VF_DOWN) continue;
        i->nr_online_vcpus++;
        if (!(flags & VF_BLOCKED)) blocked = false;
        if (read_once(&v->running)) running = true;
    }
    if (!i->nr_online_vcpus) return;
    if (blocked) i->flags |= XEN_DOMINF_blocked;
    if (running) i->flags |= XEN_DOMINF_running;
}

void domain_get_info(struct domain *d, struct xen_domctl_getdomaininfo *i)
{
    memset(i, 0, sizeof(*i));
    i->domain = d->id;
    sum_vcpus(d, i);
    spin_lock(&d->lock);
    u8 code = d->shut_down ? d->shutdown_code : SHUTDOWN_CODE_NONE;
    if (d->shut_down) i->flags |= XEN_DOMINF_shutdown;
    if (d->ctl_pauses) i->flags |= XEN_DOMINF_paused;
    memcpy(i->handle, d->handle, sizeof(i->handle));
    i->shared_info_frame = d->shared_info_gfn.n;
    spin_unlock(&d->lock);
    if (d->state == DOM_DEAD) i->flags |= XEN_DOMINF_dying;
    if (d->create_flags & XEN_DOMCTL_CDF_xs_domain) i->flags |= XEN_DOMINF_xs_domain;
    i->flags |= XEN_DOMINF_hvm_guest | XEN_DOMINF_hap | (u32)code << XEN_DOMINF_shutdownshift;
    i->tot_pages = read_once(&d->tot_pages);
    i->max_pages = d->max_pages;
    i->outstanding_pages = d->outstanding;
    i->cpupool = d->cpupool;
    i->gpaddr_bits = (u8)policy_phys_bits(d);
    i->arch_config.emulation_flags = d->emulation_flags;
}

/* The first domain with an id at or above the one asked for (H.6). */
DOMCTL_HANDLER(getdomaininfo)
{
    d = get_domain_from(op->domain);
    if (!d) return -ESRCH;
    domain_get_info(d, &op->u.getdomaininfo);
    op->domain = d->id;
    put_domain(d);
    return 0;
}

/* ---- properties ---- */
DOMCTL_HANDLER(max_mem)
{
    u64 kb = op->u.max_mem.max_memkb;
    d->max_pages = MIN(kb >> (PAGE_SHIFT - 10), (u64)1 << 36);
    return 0;
}

DOMCTL_HANDLER(setdomainhandle)
{
    spin_lock(&d->lock);
    memcpy(d->handle, op->u.setdomainhandle.handle, sizeof(d->handle));
    spin_unlock(&d->lock);
    return 0;
}

#define MAX_OFFSET_S (1LL << 40)
DOMCTL_HANDLER(settimeoffset)
{
    s64 s = op->u.settimeoffset.time_offset_seconds;
    if (s > MAX_OFFSET_S || s < -MAX_OFFSET_S) return -EINVAL;
    d->time_offset_s = s;
    domain_update_wallclock(d);
    return 0;
}

/* XSA-217: the controller of a domain is set once, and both must be able to have one. All our domains are of
 * HVM type, so there is no PV target to refuse. */
DOMCTL_HANDLER(set_target)
{
    struct domain *t = get_domain(op->u.set_target.target);
    if (!t) return -ESRCH;
    if (t == d || d->target || d->is_hwdom || t->is_hwdom || t->state != DOM_ALIVE) {
        put_domain(t);
        return -EINVAL;
    }
    d->target = t;          /* the reference goes with it, until d is destroyed */
    return 0;
}

/* Global VIRQs go to dom0; giving one away would serve a xenstore stub domain. */
DOMCTL_HANDLER(set_virq_handler)
{
    if (op->u.set_virq_handler.virq >= NR_VIRQS) return -EINVAL;
    return d->is_hwdom ? 0 : -EOPNOTSUPP;
}

/* One node. */
DOMCTL_HANDLER(setnodeaffinity)
{
    u64 nodes;
    if (bitmap_in(c->v, &op->u.nodeaffinity.nodemap, &nodes)) return -EFAULT;
    return nodes & 1 ? 0 : -EINVAL;
}

DOMCTL_HANDLER(getnodeaffinity)
{
    return bitmap_out(c->v, &op->u.nodeaffinity.nodemap, 1);
}

/* ---- device resources: nothing can be given to a guest, so taking away always succeeds ---- */
static long permission(const char *what, u64 first, bool allow)
{
    return allow ? refuse(what, first, "device passthrough is not supported", -EOPNOTSUPP) : 0;
}

DOMCTL_HANDLER(irq_permission)
{
    return permission("pirq", op->u.irq_permission.pirq, op->u.irq_permission.allow_access);
}

DOMCTL_HANDLER(iomem_permission)
{
    const struct xen_domctl_iomem_permission *a = &op->u.iomem_permission;
    u64 last_possible = 1ULL << 40;
    if (!a->nr_mfns || a->first_mfn >= last_possible || a->nr_mfns > last_possible - a->first_mfn) return -EINVAL;
    return permission("iomem", a->first_mfn, a->allow_access);
}

DOMCTL_HANDLER(ioport_permission)
{
    const struct xen_domctl_ioport_permission *a = &op->u.ioport_permission;
    if (a->first_port > 65535 || a->nr_ports > 65536 - a->first_port) return -EINVAL;
    return a->nr_ports ? permission("ioport", a->first_port, a->allow_access) : 0;
}
