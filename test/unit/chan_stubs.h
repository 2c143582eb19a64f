/* SPDX-License-Identifier: MIT */
/*
 * What event channel and grant tests share: domains of the fake machine with both tables, calls whose arguments lie
 * in guest memory, and weak stand-ins that keep the scheduler, the hypercall table and virtual interrupts out.
 */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include "fake.h"
#include "call/call.h"
#include "evtchn/evtchn_priv.h"
#include "gnttab/gnttab_priv.h"
#include "iommu/iommu.h"
#include "sched/sched.h"

#define WEAK __attribute__((weak))

static unsigned upcalls[8][8], wakes, kicks, preempt_every, preempt_count;

/* Defined here too, so that the linker does not look for them in the archive's modules. */
WEAK const struct hvm_ops *hvm;
WEAK struct domain *dom0;
WEAK void hvm_upcall(struct vcpu *v) { upcalls[v->dom->id % 8][v->id % 8]++; }
WEAK void vcpu_kick(struct vcpu *v) { kicks++; }
WEAK void vcpu_wake(struct vcpu *v) { wakes++; }
WEAK bool call_preempt(void)
{
    assert_no_locks();
    return preempt_every && ++preempt_count % preempt_every == 0;
}
WEAK struct domain *get_domain(u16 id)
{
    struct domain *d = fake_find_domain(id);
    if (d) atomic_add(&d->refs, 1);
    return d;
}
WEAK void put_domain(struct domain *d) { assert_true(atomic_sub(&d->refs, 1) > 1); }
WEAK struct domain *get_domain_self(u16 id)
{
    return get_domain(id == DOMID_SELF ? current_vcpu()->dom->id : id);
}
WEAK long subop_run(struct call *c, const struct subop *table, unsigned nr, unsigned cmd, gva_t arg_gva)
{
    union { u8 bytes[512]; u64 align; } buf = { { 0 } };
    if (cmd >= nr || !table[cmd].fn) return -ENOSYS;
    if (table[cmd].size && guest_read(c->v, buf.bytes, arg_gva, table[cmd].size)) return -EFAULT;
    long rc = table[cmd].fn(c, buf.bytes);
    if (table[cmd].flags & SUBOP_OUT && rc >= 0 && guest_write(c->v, arg_gva, buf.bytes, table[cmd].size))
        return -EFAULT;
    return rc;
}

WEAK int iommu_map(struct domain *d, gfn_t g, mfn_t m, unsigned order, bool write)
{
    return fail_point() ? -ENOMEM : 0;
}
WEAK int iommu_split(struct domain *d, gfn_t g, unsigned order) { return 0; }
WEAK void iommu_unmap(struct domain *d, gfn_t g) {}
WEAK void iommu_unmap_range(struct domain *d, gfn_t g, unsigned order) {}
WEAK void iommu_flush(struct domain *d) {}

/* A domain with `pages` of RAM; page 1 holds call arguments. */
#define ARG_GPA 0x1000
static inline struct domain *chan_domain(u16 id, unsigned vcpus, u64 pages, u32 max_port)
{
    struct domain *d = fake_domain_vcpus(id, pages, vcpus);
    struct vcpu *v;
    d->max_evtchn_port = max_port;
    d->max_grant_frames = 4;
    d->max_maptrack_frames = 4;
    if (!d->evtchn) {
        assert_int_equal(evtchn_domain_init(d), 0);
        assert_int_equal(gnttab_domain_init(d), 0);
        for_each_vcpu(d, v) assert_int_equal(evtchn_vcpu_init(v), 0);
    }
    return d;
}
static inline void chan_domain_destroy(struct domain *d)
{
    struct vcpu *v;
    while (evtchn_domain_destroy(d) == -ERESTART)
        ;
    while (gnttab_release_mappings(d) == -ERESTART)
        ;
    for_each_vcpu(d, v) evtchn_vcpu_destroy(v);
    assert_int_equal(d->refs, 1);
    evtchn_domain_free(d);
    gnttab_domain_free(d);
    fake_domain_destroy(d);
}
static inline void chan_machine(unsigned cpus, unsigned mib)
{
    fake_machine_init(mib, cpus);
    memset(upcalls, 0, sizeof(upcalls));
    wakes = kicks = preempt_every = preempt_count = 0;
}
/* Call as v with `size` bytes of arguments, which are copied back; repeats while it asks to be continued. */
static inline long chan_call(call_fn fn, struct vcpu *v, unsigned cmd, void *arg, size_t size, u32 count)
{
    struct call c = { .v = v, .arg = { cmd, ARG_GPA, count } };
    struct vcpu *prev = this_cpu()->curr;
    long rc;
    this_cpu()->curr = v;
    memcpy(fake_guest_ptr(v->dom, ARG_GPA), arg, size);
    while ((rc = fn(&c)) == -ERESTART)
        ;
    memcpy(arg, fake_guest_ptr(v->dom, ARG_GPA), size);
    this_cpu()->curr = prev;
    assert_no_locks();
    return rc;
}
#define evt(v, op, ...) ({ struct evtchn_##op a_ = { __VA_ARGS__ }; \
    chan_call(evtchn_op, v, EVTCHNOP_##op, &a_, sizeof(a_), 0); })
/* For operations that return a port: the port or an error. */
#define evt_port(v, op, member, ...) ({ struct evtchn_##op a_ = { __VA_ARGS__ }; \
    long rc_ = chan_call(evtchn_op, v, EVTCHNOP_##op, &a_, sizeof(a_), 0); rc_ ? rc_ : (long)a_.member; })
