/* SPDX-License-Identifier: MIT */
/* Life cycle of vCPUs, pausing. */
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
    u64 ns = read_once(&v->periodic_ns);
    if (ns) timer_set(&v->periodic, MAX(v->periodic.expires_ns + ns, now_ns()));
}

static void poll_timed_out(void *arg)
{
    struct vcpu *v = arg;
    if (evtchn_poll_end(v)) vcpu_wake(v);
}

int vcpu_create(struct domain *d, unsigned id)
{
    static u64 serials;             /* atomic */
    if (id >= d->max_vcpus) return -EINVAL;
    if (d->vcpu[id]) return -EEXIST;
    struct vcpu *v = kzalloc(sizeof(*v));
    if (!v) return -ENOMEM;
    v->dom = d;
    v->id = id;
    v->serial = atomic_add(&serials, 1) + 1;
    v->flags = VF_DOWN;
    v->info_page.mfn = INVALID_MFN;
    v->runstate_area = v->time_area = no_area;
    spin_init(&v->area_lock, RANK_AREA);
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
    areas_unregister(v);
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

void vcpu_pause_nosync(struct vcpu *v)
{
    atomic_add(&v->pause_count, 1);
    sched_update(v);
}

void vcpu_pause(struct vcpu *v)
{
    vcpu_pause_nosync(v);
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
