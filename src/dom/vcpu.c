/* SPDX-License-Identifier: MIT */
/* Life cycle of vCPUs, pausing, the time and runstate areas that a guest shares with us. */
#include "call/abi.h"
#include "dom/domain.h"
#include "dom/internal.h"
#include "dom/runstate.h"
#include "evtchn/evtchn.h"
#include "hvm/hvm.h"
#include "sched/sched.h"

static void singleshot_fired(void *arg)
{
    evtchn_virq_vcpu(arg, VIRQ_TIMER);
}

static void periodic_fired(void *arg)
{
    struct vcpu *v = arg;
    evtchn_virq_vcpu(v, VIRQ_TIMER);
    if (v->periodic_ns) timer_set(&v->periodic, MAX(v->periodic.expires_ns + v->periodic_ns, now_ns()));
}

static void poll_timed_out(void *arg)
{
    vcpu_wake(arg);
}

int vcpu_create(struct domain *d, unsigned id)
{
    if (id >= d->max_vcpus) return -EINVAL;
    if (d->vcpu[id]) return -EEXIST;
    struct vcpu *v = kzalloc(sizeof(*v));
    if (!v) return -ENOMEM;
    v->dom = d;
    v->id = id;
    v->flags = VF_DOWN;
    v->info_page.mfn = v->runstate_page[0].mfn = v->runstate_page[1].mfn = INVALID_MFN;
    spin_init(&v->runstate_lock, RANK_RUNSTATE);
    v->rs.state = RUNSTATE_offline;
    v->rs.since_ns = now_ns();
    timer_init(&v->singleshot, singleshot_fired, v);
    timer_init(&v->periodic, periodic_fired, v);
    timer_init(&v->poll_timer, poll_timed_out, v);
    int rc;
    if ((rc = evtchn_vcpu_init(v)) || (rc = sched_vcpu_init(v)) || (rc = hvm_vcpu_init(v))) {
        vcpu_free(v);
        return rc;
    }
    vcpu_update_time(v);
    store_release(&d->vcpu[id], v);
    return 0;
}

void vcpu_quiesce(struct vcpu *v)
{
    timer_stop_sync(&v->singleshot);
    timer_stop_sync(&v->periodic);
    timer_stop_sync(&v->poll_timer);
    runstate_unregister(v);
}

void vcpu_free(struct vcpu *v)
{
    vcpu_quiesce(v);
    hvm_vcpu_destroy(v);
    sched_vcpu_destroy(v);
    evtchn_vcpu_destroy(v);
    v->dom->vcpu[v->id] = NULL;
    kfree(v);
}

void vcpu_pause(struct vcpu *v)
{
    atomic_add(&v->pause_count, 1);
    sched_update(v);
    if (v != current_vcpu()) vcpu_wait_descheduled(v);
}

void vcpu_unpause(struct vcpu *v)
{
    if (atomic_sub(&v->pause_count, 1) == 1) sched_update(v);
}

void domain_pause_nosync(struct domain *d)
{
    struct vcpu *v;
    if (atomic_add(&d->pause_count, 1)) return;
    for_each_vcpu(d, v) sched_update(v);
}

void domain_pause(struct domain *d)
{
    struct vcpu *v;
    domain_pause_nosync(d);
    for_each_vcpu(d, v)
        if (v != current_vcpu()) vcpu_wait_descheduled(v);
}

void domain_unpause(struct domain *d)
{
    struct vcpu *v;
    if (atomic_sub(&d->pause_count, 1) != 1) return;
    for_each_vcpu(d, v) sched_update(v);
}

/* The TSC's rate never changes, so one record that counts from TSC 0 stays true for ever: it is written when
 * the record moves or the offset changes, not at every switch. Layout and protocol: public/xen.h,
 * struct vcpu_time_info. */
void vcpu_update_time(struct vcpu *v)
{
    struct vcpu_time_info *t = &v->info->time;
    u64 host = tsc_read(), now = tsc_to_ns(host);
    u32 version = read_once(&t->version) | 1;
    write_once(&t->version, version);
    smp_wmb();
    write_once(&t->tsc_timestamp, host + hvm_tsc_offset(v));
    write_once(&t->system_time, now);
    write_once(&t->tsc_to_system_mul, tsc_mul);
    write_once(&t->tsc_shift, tsc_shift);
    write_once(&t->flags, tsc_reliable ? XEN_PVCLOCK_TSC_STABLE_BIT : 0);
    smp_wmb();
    write_once(&t->version, version + 1);
}
