/* SPDX-License-Identifier: MIT */
/* domctl (36): copy, version, table of commands. Caller is privileged (row in call.c). */
#include "call/domctl.h"

/* One control operation at a time. Never waited for: who does not get it comes again with interrupts open. */
static struct spinlock domctl_lock = SPINLOCK(RANK_DOMCTL);
bool domctl_trylock(void) { return spin_trylock(&domctl_lock); }
void domctl_unlock(void) { spin_unlock(&domctl_lock); }

enum {
    OUT = 1,            /* copy the structure back on success */
    OUT_ALWAYS = 2,     /* ... and on errors */
    NO_DOMAIN = 4,      /* op->domain does not name an existing domain */
    NO_LOCK = 8,        /* only reads, or opens interrupt windows */
    NOT_SELF = 16,      /* -EINVAL on the caller's own domain */
    LIVE = 32,          /* -EINVAL on a dying domain: gives it something that destruction would miss */
};

struct domctl_row {
    const char *name;
    long (*fn)(struct call *c, struct domain *d, struct xen_domctl *op);
    u8 flags;
    s16 absent;         /* no fn: the documented answer */
};

#define ROW(cmd, flags) [XEN_DOMCTL_##cmd] = { #cmd, domctl_##cmd, (flags), 0 }
/* "Not there" by design (SUPPORT.md). */
#define NO(cmd, err) [XEN_DOMCTL_##cmd] = { #cmd, NULL, 0, -(err) }
static const struct domctl_row rows[] = {
    ROW(createdomain, NO_DOMAIN | OUT),
    ROW(destroydomain, NO_LOCK | NOT_SELF),
    ROW(pausedomain, NOT_SELF),
    ROW(unpausedomain, 0),
    ROW(getdomaininfo, NO_DOMAIN | NO_LOCK | OUT),
    ROW(setvcpuaffinity, 0),
    ROW(shadow_op, NOT_SELF | OUT),
    ROW(max_mem, LIVE),
    ROW(setvcpucontext, NOT_SELF | LIVE),
    ROW(getvcpucontext, NOT_SELF),
    ROW(getvcpuinfo, NO_LOCK | OUT),
    ROW(max_vcpus, NOT_SELF | LIVE),
    ROW(scheduler_op, OUT),
    ROW(setdomainhandle, 0),
    ROW(irq_permission, 0),
    ROW(iomem_permission, 0),
    ROW(ioport_permission, 0),
    ROW(settimeoffset, 0),
    ROW(getvcpuaffinity, NO_LOCK),
    ROW(resumedomain, NOT_SELF | LIVE),
    ROW(sendtrigger, 0),
    ROW(gethvmcontext, NOT_SELF | OUT),
    ROW(sethvmcontext, NOT_SELF | LIVE),
    ROW(set_address_size, 0),
    ROW(get_address_size, NO_LOCK | OUT),
    ROW(set_target, LIVE),
    ROW(gethvmcontext_partial, NOT_SELF | OUT),
    ROW(gettscinfo, NO_LOCK | OUT),
    ROW(settscinfo, NOT_SELF | LIVE),
    ROW(getpageframeinfo3, NO_LOCK | OUT),
    ROW(set_virq_handler, 0),
    ROW(setnodeaffinity, 0),
    ROW(getnodeaffinity, NO_LOCK),
    ROW(get_cpu_policy, OUT),
    ROW(set_cpu_policy, NOT_SELF | OUT_ALWAYS | LIVE),
    ROW(get_paging_mempool_size, NO_LOCK | OUT),
    ROW(set_paging_mempool_size, LIVE),
    NO(setdebugging, EOPNOTSUPP), NO(debug_op, EOPNOTSUPP),
    NO(hypercall_init, EOPNOTSUPP), NO(subscribe, EOPNOTSUPP),          /* PV domains only */
    NO(set_ext_vcpucontext, EOPNOTSUPP), NO(get_ext_vcpucontext, EOPNOTSUPP),
    NO(setvcpuextstate, EOPNOTSUPP), NO(getvcpuextstate, EOPNOTSUPP),
    NO(get_vcpu_msrs, EOPNOTSUPP), NO(set_vcpu_msrs, EOPNOTSUPP),
    /* Passthrough: ENOSYS makes the tools say that the machine cannot assign devices. */
    NO(assign_device, ENOSYS), NO(test_assign_device, ENOSYS), NO(deassign_device, ENOSYS),
    NO(get_device_group, ENOSYS), NO(bind_pt_irq, ENOSYS), NO(unbind_pt_irq, ENOSYS),
    NO(memory_mapping, EOPNOTSUPP), NO(ioport_mapping, EOPNOTSUPP),
    NO(vm_event_op, EOPNOTSUPP), NO(mem_sharing_op, EOPNOTSUPP), NO(set_access_required, EOPNOTSUPP),
    NO(monitor_op, EOPNOTSUPP), NO(audit_p2m, ENOSYS), NO(set_broken_page_p2m, EOPNOTSUPP),
    NO(cacheflush, ENOSYS), NO(setvnumainfo, EOPNOTSUPP), NO(psr_cmt_op, ENODEV), NO(psr_alloc, ENODEV),
    NO(soft_reset, EOPNOTSUPP), NO(vuart_op, EOPNOTSUPP), NO(vmtrace_op, EOPNOTSUPP),
};
/* gdbsx (1000..1003) lies far outside and is absent too. */

static long run(struct call *c, const struct domctl_row *row, struct xen_domctl *op)
{
    struct domain *d = NULL;
    long rc;
    if (!(row->flags & NO_DOMAIN)) {
        d = get_domain(op->domain);
        if (!d) return -ESRCH;
        if (row->flags & NOT_SELF && d == c->v->dom) {
            put_domain(d);
            return -EINVAL;
        }
    }
    if (row->flags & NO_LOCK) rc = row->fn(c, d, op);
    else if (!spin_trylock(&domctl_lock)) rc = -ERESTART;
    else {
        /* destroydomain marks the domain under this lock, so the answer stays true. */
        rc = row->flags & LIVE && d->state != DOM_ALIVE ? -EINVAL : row->fn(c, d, op);
        spin_unlock(&domctl_lock);
    }
    if (d) put_domain(d);
    return rc;
}

long domctl(struct call *c)
{
    struct xen_domctl op;
    gva_t arg = c->arg[0];
    if (copy_in(c->v, &op, arg)) return -EFAULT;
    if (op.interface_version != XEN_DOMCTL_INTERFACE_VERSION) return -EACCES;
    if (op.cmd >= XEN_DOMCTL_gdbsx_guestmemio && op.cmd <= XEN_DOMCTL_gdbsx_domstatus) return -EOPNOTSUPP;
    if (op.cmd >= ARRAY_SIZE(rows)) return -ENOSYS;
    const struct domctl_row *row = &rows[index_nospec(op.cmd, ARRAY_SIZE(rows))];
    if (!row->name) return -ENOSYS;
    if (!row->fn) return row->absent;
    long rc = run(c, row, &op);
    if (rc < 0 && rc != -ERESTART && rc != -ESRCH)
        printk(LOG_DEBUG, "domctl %s on domain %u: error %ld\n", row->name, op.domain, rc);
    bool out = row->flags & OUT_ALWAYS || (row->flags & OUT && rc >= 0);
    if (out && rc != -ERESTART && copy_out(c->v, arg, &op)) return -EFAULT;
    return rc;
}
