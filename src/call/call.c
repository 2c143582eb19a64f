/* SPDX-License-Identifier: MIT */
/* Hypercall table, dispatch, continuation, multicall, and the runner for tables of sub-operations. */
#include "call/call.h"
#include "evtchn/evtchn.h"
#include "gnttab/gnttab.h"
#include "hvm/hvm.h"
#include "irq/irq.h"

#define ROW(nr, fn, who, args) [nr] = { #fn, fn, who, args }

/* Everything that is not here answers -ENOSYS: PV primitives, xsm_op, kexec_op, argo_op,
 * xenpmu_op, hypfs_op, mca, dm_op. */
const struct hypercall hypercalls[] = {
    ROW(__HYPERVISOR_platform_op, platform_op, WHO_PRIV, 1),
    ROW(__HYPERVISOR_memory_op, memory_op, WHO_ANY, 2),
    ROW(__HYPERVISOR_multicall, multicall, WHO_ANY, 2),
    ROW(__HYPERVISOR_set_timer_op, set_timer_op, WHO_ANY, 1),
    ROW(__HYPERVISOR_xen_version, xen_version, WHO_ANY, 2),
    ROW(__HYPERVISOR_console_io, console_io, WHO_ANY, 3),
    ROW(__HYPERVISOR_grant_table_op, gnttab_op, WHO_ANY, 3),
    ROW(__HYPERVISOR_vm_assist, vm_assist, WHO_ANY, 2),
    ROW(__HYPERVISOR_vcpu_op, vcpu_op, WHO_ANY, 3),
    ROW(__HYPERVISOR_sched_op, sched_op, WHO_ANY, 2),
    ROW(__HYPERVISOR_event_channel_op, evtchn_op, WHO_ANY, 2),
    ROW(__HYPERVISOR_physdev_op, physdev_op, WHO_ANY, 2),
    ROW(__HYPERVISOR_hvm_op, hvm_op, WHO_ANY, 2),
    ROW(__HYPERVISOR_sysctl, sysctl, WHO_PRIV, 1),
    ROW(__HYPERVISOR_domctl, domctl, WHO_PRIV, 1),
    ROW(CALL_LOADER_DONE, loader_done, WHO_ANY, 4),
};
const unsigned nr_hypercalls = ARRAY_SIZE(hypercalls);

/* -EPERM and -ENOSYS need no lock and come before anything else (I-18). */
static long call_run(struct call *c)
{
    if (c->nr >= nr_hypercalls) return -ENOSYS;
    const struct hypercall *h = &hypercalls[index_nospec(c->nr, nr_hypercalls)];
    if (!h->fn) return -ENOSYS;
    if (h->who == WHO_PRIV && !c->v->dom->is_priv) return -EPERM;
    return h->fn(c);
}

/* 64-bit calling convention: number RAX, arguments RDI RSI RDX R10 R8 R9, result RAX. */
bool call_dispatch(struct vcpu *v)
{
    struct vcpu_regs *r = &v->regs;
    struct call c;
    c.v = v;                            /* one by one: no clearing first */
    c.nr = (unsigned)MIN(r->rax, (u64)~0u);
    c.arg[0] = r->rdi;
    c.arg[1] = r->rsi;
    c.arg[2] = r->rdx;
    c.arg[3] = r->r10;
    c.arg[4] = r->r8;
    c.arg[5] = r->r9;
    c.in_multicall = false;
    long rc = call_run(&c);
    if (rc == -ERESTART) {
        r->rdi = c.arg[0];
        r->rsi = c.arg[1];
        r->rdx = c.arg[2];
        r->r10 = c.arg[3];
        r->r8 = c.arg[4];
        return false;
    }
    r->rax = (u64)rc;
    return true;
}

bool call_preempt(void)
{
    irq_window();
    struct cpu *c = this_cpu();
    bool seen = c->irq_seen;
    c->irq_seen = false;
    return seen || c->resched;
}

/* Entries run until one must be continued; its updated arguments go back into the entry. */
long multicall(struct call *c)
{
    gva_t list = c->arg[0];
    u32 n = (u32)c->arg[1];
    if (c->in_multicall) return -EINVAL;
    for (; n; n--, list += sizeof(struct multicall_entry)) {
        struct multicall_entry e;
        if (copy_in(c->v, &e, list)) return -EFAULT;
        struct call sub = { .v = c->v, .nr = (unsigned)MIN((u64)e.op, (u64)~0u), .in_multicall = true };
        memcpy(sub.arg, e.args, sizeof(e.args));
        long rc = call_run(&sub);
        if (rc == -ERESTART) {
            memcpy(e.args, sub.arg, sizeof(e.args));
            if (copy_out(c->v, list, &e)) return -EFAULT;
            break;
        }
        e.result = (unsigned long)rc;
        if (guest_write(c->v, list + offsetof(struct multicall_entry, result), &e.result, sizeof(e.result)))
            return -EFAULT;
        if (n > 1 && call_preempt()) {
            n--;
            list += sizeof(e);
            break;
        }
    }
    c->arg[0] = list;
    c->arg[1] = n;
    return n ? -ERESTART : 0;
}

long subop_run(struct call *c, const struct subop *table, unsigned nr, unsigned cmd, gva_t arg_gva)
{
    union { u8 bytes[512]; u64 align; } buf;
    if (cmd >= nr) return -ENOSYS;
    const struct subop *op = &table[index_nospec(cmd, nr)];
    if (!op->fn) return -ENOSYS;
    if (op->who == WHO_PRIV && !c->v->dom->is_priv) return -EPERM;
    ASSERT(op->size <= sizeof(buf));
    if (op->size && guest_read(c->v, buf.bytes, arg_gva, op->size)) return -EFAULT;
    long rc = op->fn(c, buf.bytes);
    bool out = op->flags & SUBOP_OUT_ALWAYS || (op->flags & SUBOP_OUT && rc >= 0);
    if (out && rc != -ERESTART && guest_write(c->v, arg_gva, buf.bytes, op->size)) return -EFAULT;
    return rc;
}
