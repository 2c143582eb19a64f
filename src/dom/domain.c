/* SPDX-License-Identifier: MIT */
/* Life cycle of domains: list, creation, references, restartable destruction. */
#include "dom/domain.h"
#include "call/call.h"
#include "dom/internal.h"
#include "evtchn/evtchn.h"
#include "gnttab/gnttab.h"
#include "hvm/hvm.h"
#include "hvm/policy.h"
#include "iommu/iommu.h"
#include "mm/p2m.h"
#include "mm/tlb.h"
#include "sched/sched.h"

struct domain *dom0;

static struct spinlock domlist_lock = SPINLOCK(RANK_DOMLIST);
static struct list domains = LIST_INIT(domains);     /* sorted by id; domlist_lock */
static u16 last_id;                                  /* last id handed out; domlist_lock */

/* Dead domains whose frames others still hold are looked at again this often. */
#define REAP_PERIOD_NS 20000000ULL
static struct timer reap_timer;
static void reap(void *arg);

void dom_init(void)
{
    timer_init(&reap_timer, reap, NULL);
}

static struct domain *find_locked(u16 id, bool or_next)
{
    struct list *l;
    list_for_each(l, &domains) {
        struct domain *d = list_entry(l, struct domain, node);
        if (d->id == id || (or_next && d->id > id)) return d;
    }
    return NULL;
}

static struct domain *lookup(u16 id, bool or_next)
{
    spin_lock(&domlist_lock);
    struct domain *d = find_locked(id, or_next);
    if (d) atomic_add(&d->refs, 1);
    spin_unlock(&domlist_lock);
    return d;
}

struct domain *get_domain(u16 id) { return lookup(id, false); }
struct domain *get_domain_from(u16 id) { return lookup(id, true); }

struct domain *get_domain_self(u16 id)
{
    if (id != DOMID_SELF) return get_domain(id);
    struct domain *d = current_vcpu()->dom;
    atomic_add(&d->refs, 1);
    return d;
}

/* Free whatever was initialised; each module's function accepts a domain it never saw. */
static void domain_free(struct domain *d)
{
    for (unsigned i = 0; i < d->max_vcpus; i++)
        if (d->vcpu[i]) vcpu_free(d->vcpu[i]);
    for (unsigned i = 0; i < ARRAY_SIZE(d->watchdog); i++)
        timer_stop_sync(&d->watchdog[i]);
    hvm_domain_destroy(d);
    iommu_domain_destroy(d);
    policy_domain_free(d);
    gnttab_domain_free(d);
    evtchn_domain_free(d);
    sched_domain_destroy(d);
    p2m_free(d);
    page_free(d->shared_info);
    kfree(d->memmap.e);
    kfree(d);
}

void put_domain(struct domain *d)
{
    if (atomic_sub(&d->refs, 1) == 1) domain_free(d);
}

/* Give d an id and put it into the list. */
static int list_insert(struct domain *d, u16 want)
{
    int rc = 0;
    spin_lock(&domlist_lock);
    if (want < DOMID_FIRST_RESERVED) {
        if (find_locked(want, false)) rc = -EEXIST;
        d->id = want;
    } else {
        u32 id = last_id, tries = DOMID_FIRST_RESERVED;
        do
            id = id + 1 >= DOMID_FIRST_RESERVED ? 1 : id + 1;
        while (find_locked((u16)id, false) && --tries);
        if (!tries) rc = -ENOSPC;
        else d->id = last_id = (u16)id;
    }
    if (!rc) {
        struct domain *next = find_locked(d->id, true);
        list_add_tail(next ? &next->node : &domains, &d->node);
    }
    spin_unlock(&domlist_lock);
    return rc;
}

static int init_parts(struct domain *d)
{
    int rc;
    if ((rc = sched_domain_init(d)) || (rc = evtchn_domain_init(d)) || (rc = gnttab_domain_init(d)) ||
        (rc = policy_domain_init(d)) || (rc = p2m_create(d)) || (rc = iommu_domain_init(d)) ||
        (rc = hvm_domain_init(d)))
        return rc;
    return 0;
}

static void configure(struct domain *d, const struct domain_config *cfg)
{
    d->refs = 1;
    d->state = DOM_ALIVE;
    d->pause_count = d->ctl_pauses = 1;
    d->is_hwdom = d->is_priv = cfg->hwdom;
    d->create_flags = cfg->flags;
    d->emulation_flags = cfg->emulation_flags;
    d->max_vcpus = cfg->max_vcpus;
    d->max_evtchn_port = cfg->max_evtchn_port;
    d->max_grant_frames = cfg->max_grant_frames < 0 ? opt_gnttab_max_frames : (u64)cfg->max_grant_frames;
    d->max_maptrack_frames = cfg->max_maptrack_frames < 0 ? opt_gnttab_max_maptrack_frames
                                                          : (u64)cfg->max_maptrack_frames;
    d->cpupool = cfg->cpupool;
    d->shutdown_code = SHUTDOWN_CODE_NONE;
    d->shared_info_gfn = INVALID_GFN;
    d->tsc_khz = tsc_khz;
    memcpy(d->handle, cfg->handle, sizeof(d->handle));
    spin_init(&d->lock, RANK_DOMAIN);
    list_init(&d->node);
    for (unsigned i = 0; i < ARRAY_SIZE(d->watchdog); i++)
        timer_init(&d->watchdog[i], domain_watchdog_fired, d);
}

int domain_create(u16 want, const struct domain_config *cfg, struct domain **out)
{
    if (!cfg->max_vcpus || cfg->max_vcpus > MAX_VCPUS) return -EINVAL;
    struct domain *d = kzalloc(sizeof(*d));
    if (!d) return -ENOMEM;
    configure(d, cfg);
    d->shared_info = page_alloc();
    int rc = d->shared_info ? init_parts(d) : -ENOMEM;
    if (!rc) {
        domain_update_wallclock(d);
        rc = list_insert(d, want);
    }
    if (rc) {
        while (p2m_destroy(d) == -ERESTART)
            ;
        domain_free(d);
        return rc;
    }
    *out = d;
    return 0;
}

/* Destruction in stages; each may stop with -ERESTART and is entered again. The domain is off the CPUs and
 * cannot get new resources from stage 1 on because state is DOM_DYING. */
static int stop_running(struct domain *d)
{
    d->state = DOM_DYING;
    smp_mb();
    domain_pause(d);            /* for ever */
    for (unsigned i = 0; i < ARRAY_SIZE(d->watchdog); i++)
        timer_stop_sync(&d->watchdog[i]);
    struct vcpu *v;
    for_each_vcpu(d, v) vcpu_quiesce(v);
    if (d->target) {
        put_domain(d->target);
        d->target = NULL;
    }
    return 0;
}

static int finish(struct domain *d)
{
    d->state = DOM_DEAD;
    /* xenstored and xenconsoled drop their mappings when they hear of this, and only then can it be reaped. */
    evtchn_virq_global(dom0, VIRQ_DOM_EXC);
    timer_set(&reap_timer, now_ns());       /* at once unless frames are still referenced */
    return 0;
}

static int (*const destroy_stages[])(struct domain *) = {
    stop_running, evtchn_domain_destroy, gnttab_release_mappings, p2m_destroy, finish,
};

int domain_destroy(struct domain *d)
{
    while (d->destroy_stage < ARRAY_SIZE(destroy_stages)) {
        int rc = destroy_stages[d->destroy_stage](d);
        if (rc) return rc;
        d->destroy_stage++;
    }
    return 0;
}

/* Take the first dead domain that nobody's mapping holds any more off the list. */
static struct domain *unlink_reapable(bool *more)
{
    struct domain *found = NULL;
    struct list *l;
    spin_lock(&domlist_lock);
    list_for_each(l, &domains) {
        struct domain *d = list_entry(l, struct domain, node);
        if (d->state != DOM_DEAD) continue;
        if (found || dom_ram_zombies(d)) *more = true;
        else found = d;
    }
    if (found) list_del(&found->node);
    spin_unlock(&domlist_lock);
    return found;
}

static void reap(void *arg)
{
    struct domain *d;
    bool more;
    do {
        more = false;
        d = unlink_reapable(&more);
        if (d) {
            put_domain(d);
            evtchn_virq_global(dom0, VIRQ_DOM_EXC);
        }
    } while (d);
    if (more) timer_set(&reap_timer, now_ns() + REAP_PERIOD_NS);
}

void domain_update_wallclock(struct domain *d)
{
    u64 sec;
    u32 nsec;
    spin_lock(&d->lock);            /* one writer at a time, each with the newest clock */
    wallclock_get(&sec, &nsec);
    sec += (u64)d->time_offset_s;
#define WC(member) guest_field(s, struct shared_info, member)
    struct guest_mem *s = d->shared_info;
    u32 version = guest_mem_u32(WC(wc_version)) | 1;
    guest_mem_set32(WC(wc_version), version);
    smp_wmb();
    guest_mem_set32(WC(wc_sec), (u32)sec);
    guest_mem_set32(WC(wc_nsec), nsec);
    guest_mem_set32(WC(wc_sec_hi), (u32)(sec >> 32));
    smp_wmb();
    guest_mem_set32(WC(wc_version), version + 1);
    spin_unlock(&d->lock);
}
