/* SPDX-License-Identifier: MIT */
/* vcpu_op (24) and set_timer_op (15). */
#include "call/call.h"
#include "call/vcpuctx.h"
#include "dom/runstate.h"
#include "evtchn/evtchn.h"
#include "hvm/hvm.h"
#include "sched/sched.h"

/* Target of the operation: a vCPU of the caller's own domain (argument 1). NULL: -ENOENT. */
static struct vcpu *target(struct call *c)
{
    struct domain *d = c->v->dom;
    u32 id = (u32)c->arg[1];
    if (id >= d->max_vcpus) return NULL;
    return load_acquire(&d->vcpu[index_nospec(id, d->max_vcpus)]);
}

static bool is_down(struct vcpu *v)
{
    return read_once(&v->flags) & VF_DOWN;
}

/* Once, and never one that INIT and SIPI started. Nobody waits for a vCPU that runs: it may be doing this to us. */
static long op_initialise(struct call *c, void *arg)
{
    struct domain *d = c->v->dom;
    struct vcpu *t = target(c);
    struct hvm_hw_cpu r;
    int rc = vcpuctx_from_hvm(arg, &r);
    if (!rc) rc = vcpuctx_check_record(t, &r);
    if (rc) return rc;
    vcpu_pause_nosync(t);
    spin_lock(&d->lock);
    rc = t->initialised || read_once(&t->running) ? -EEXIST : vcpuctx_set_record(t, &r);
    if (!rc) t->initialised = true;
    spin_unlock(&d->lock);
    vcpu_unpause(t);
    return rc;
}

static long op_up(struct call *c, void *arg)
{
    struct vcpu *t = target(c);
    if (!t->initialised) return -EINVAL;
    vcpu_set_up(t);
    return 0;
}

static long op_down(struct call *c, void *arg)
{
    vcpu_set_down(target(c));
    if (domain_all_down(c->v->dom)) domain_shutdown(c->v->dom, SHUTDOWN_poweroff);
    return 0;
}

static long op_is_up(struct call *c, void *arg)
{
    return !is_down(target(c));
}

static long op_get_runstate(struct call *c, void *arg)
{
    struct vcpu_runstate_info *out = arg;
    struct runstate rs;
    vcpu_get_runstate(target(c), &rs);
    out->state = rs.state;
    out->state_entry_time = rs.since_ns;
    for (unsigned i = 0; i < 4; i++)
        out->time[i] = rs.time_ns[i];
    return 0;
}

static long op_register_runstate(struct call *c, void *arg)
{
    struct vcpu_register_runstate_memory_area *a = arg;
    return runstate_register(target(c), (gva_t)a->addr.p);
}

static long op_register_time(struct call *c, void *arg)
{
    struct vcpu_register_time_memory_area *a = arg;
    return time_area_register(target(c), (gva_t)a->addr.p);
}

/* Periods that a guest may ask for. */
#define MIN_PERIOD_NS 1000000ULL
#define MAX_PERIOD_NS ((1ULL << 62) - 1)

/* Period and timer change together, whichever vCPUs ask at the same time. 0: stop. */
static void set_period(struct vcpu *t, u64 ns)
{
    spin_lock(&t->dom->lock);
    write_once(&t->periodic_ns, ns);
    if (ns) timer_set(&t->periodic, now_ns() + ns);
    else timer_stop(&t->periodic);
    spin_unlock(&t->dom->lock);
}

static long op_set_periodic(struct call *c, void *arg)
{
    struct vcpu_set_periodic_timer *p = arg;
    if (p->period_ns < MIN_PERIOD_NS || p->period_ns > MAX_PERIOD_NS) return -EINVAL;
    set_period(target(c), p->period_ns);
    return 0;
}

static long op_stop_periodic(struct call *c, void *arg)
{
    set_period(target(c), 0);
    return 0;
}

static long op_set_singleshot(struct call *c, void *arg)
{
    struct vcpu_set_singleshot_timer *s = arg;
    struct vcpu *t = target(c);
    if (t != c->v) return -EINVAL;
    if (s->flags & VCPU_SSHOTTMR_future && s->timeout_abs_ns < now_ns()) return -ETIME;
    timer_set(&t->singleshot, s->timeout_abs_ns);
    return 0;
}

static long op_stop_singleshot(struct call *c, void *arg)
{
    if (target(c) != c->v) return -EINVAL;
    timer_stop(&c->v->singleshot);
    return 0;
}

static long op_register_info(struct call *c, void *arg)
{
    struct vcpu_register_vcpu_info *i = arg;
    struct vcpu *t = target(c);
    if (t != c->v && !is_down(t)) return -EINVAL;
    int rc = evtchn_register_vcpu_info(t, GFN(i->mfn), i->offset);
    if (!rc) vcpu_update_time(t);
    return rc;
}

static long op_send_nmi(struct call *c, void *arg)
{
    if (c->arg[2]) return -EINVAL;
    hvm_inject_nmi(target(c));
    return 0;
}

static const struct subop ops[] = {
    [VCPUOP_initialise] = { "initialise", op_initialise, sizeof(struct vcpu_hvm_context) },
    [VCPUOP_up] = { "up", op_up },
    [VCPUOP_down] = { "down", op_down },
    [VCPUOP_is_up] = { "is_up", op_is_up },
    [VCPUOP_get_runstate_info] = { "get_runstate_info", op_get_runstate, sizeof(struct vcpu_runstate_info),
                                   SUBOP_OUT },
    [VCPUOP_register_runstate_memory_area] = { "register_runstate_memory_area", op_register_runstate,
                                               sizeof(struct vcpu_register_runstate_memory_area) },
    [VCPUOP_set_periodic_timer] = { "set_periodic_timer", op_set_periodic, sizeof(struct vcpu_set_periodic_timer) },
    [VCPUOP_stop_periodic_timer] = { "stop_periodic_timer", op_stop_periodic },
    [VCPUOP_set_singleshot_timer] = { "set_singleshot_timer", op_set_singleshot,
                                      sizeof(struct vcpu_set_singleshot_timer) },
    [VCPUOP_stop_singleshot_timer] = { "stop_singleshot_timer", op_stop_singleshot },
    [VCPUOP_register_vcpu_info] = { "register_vcpu_info", op_register_info,
                                    sizeof(struct vcpu_register_vcpu_info) },
    [VCPUOP_send_nmi] = { "send_nmi", op_send_nmi },
    [VCPUOP_register_vcpu_time_memory_area] = { "register_vcpu_time_memory_area", op_register_time,
                                                sizeof(struct vcpu_register_time_memory_area) },
};

long vcpu_op(struct call *c)
{
    if (!target(c)) return -ENOENT;
    return subop_run(c, ops, ARRAY_SIZE(ops), (unsigned)c->arg[0], c->arg[2]);
}

long set_timer_op(struct call *c)
{
    struct vcpu *v = c->v;
    if (!c->arg[0]) timer_stop(&v->singleshot);
    else timer_set(&v->singleshot, c->arg[0]);
    return 0;
}
