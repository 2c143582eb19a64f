/* SPDX-License-Identifier: MIT */
/* Fake machine: domains for tests of single modules. */
#include <stdlib.h>
#include "fake.h"
#include "fake_internal.h"
#include "mm/p2m.h"

#define MAX_DOMS 64
static struct domain *doms[MAX_DOMS];

/* Present only if domain.c was linked for another reason. */
extern __typeof__(domain_create) domain_create __attribute__((weak));
extern __typeof__(vcpu_create) vcpu_create __attribute__((weak));
extern __typeof__(dom_init) dom_init __attribute__((weak));
extern __typeof__(domain_destroy) domain_destroy __attribute__((weak));
extern __typeof__(timer_run) timer_run __attribute__((weak));
extern __typeof__(get_domain_from) get_domain_from __attribute__((weak));
extern __typeof__(put_domain) put_domain __attribute__((weak));

void fake_domains_reset(void)
{
    memset(doms, 0, sizeof(doms));
    if (dom_init)
        dom_init();
}

/* The machine goes, and with it the memory of all domains: empty the list. */
void fake_domains_forget(void)
{
    struct domain *d;

    while (get_domain_from && this_cpu_ptr && (d = get_domain_from(0)) != NULL)
        list_del(&d->node);
}

static void remember(struct domain *d)
{
    for (unsigned i = 0; i < MAX_DOMS; i++) {
        if (!doms[i]) {
            doms[i] = d;
            return;
        }
    }
    panic("fake: too many domains\n");
}

/* Also those that a hypercall made, if there is a list of domains. */
struct domain *fake_domain_nth(unsigned n)
{
    struct domain *d;

    for (u16 id = 0; get_domain_from && (d = get_domain_from(id)) != NULL; id = (u16)(d->id + 1)) {
        put_domain(d);
        if (!n--)
            return d;
    }
    if (get_domain_from)
        return NULL;
    for (unsigned i = 0; i < MAX_DOMS; i++)
        if (doms[i] && !n--)
            return doms[i];
    return NULL;
}

struct domain *fake_find_domain(u16 id)
{
    for (unsigned i = 0; i < MAX_DOMS; i++)
        if (doms[i] && doms[i]->id == id)
            return doms[i];
    return NULL;
}

static struct domain *create_by_hand(u16 id, unsigned nr_vcpus)
{
    struct domain *d = kzalloc(sizeof(*d));

    if (!d)
        panic("fake: no memory for a domain\n");
    d->id = id;
    d->refs = 1;
    list_init(&d->node);
    spin_init(&d->lock, RANK_DOMAIN);
    d->is_priv = d->is_hwdom = id == 0;
    d->max_vcpus = nr_vcpus;
    d->shared_info_gfn = INVALID_GFN;
    d->max_pages = ~0ULL;
    if (p2m_create(d) || p2m_pool_set(d, MiB(1)))
        panic("fake: no memory for a p2m\n");
    for (unsigned i = 0; i < nr_vcpus; i++) {
        struct vcpu *v = kzalloc(sizeof(*v));
        if (!v)
            panic("fake: no memory for a vCPU\n");
        v->dom = d;
        v->id = i;
        v->info_page.mfn = INVALID_MFN;
        v->runstate_area = v->time_area = no_area;
        d->vcpu[i] = v;
    }
    d->shared_info = page_alloc();
    return d;
}

static struct domain *create(u16 id, unsigned nr_vcpus, u32 max_port)
{
    struct domain_config cfg = { .max_vcpus = nr_vcpus, .max_evtchn_port = max_port, .max_grant_frames = -1,
                                 .max_maptrack_frames = -1, .hwdom = id == 0 };
    struct domain *d;

    if (!domain_create)
        return create_by_hand(id, nr_vcpus);
    if (domain_create(id, &cfg, &d) || p2m_pool_set(d, MiB(1)))
        panic("fake: domain_create failed\n");
    for (unsigned i = 0; i < nr_vcpus; i++)
        if (!d->vcpu[i] && vcpu_create(d, i))
            panic("fake: vcpu_create failed\n");
    return d;
}

struct domain *fake_domain_ports(u16 id, u64 ram_pages, unsigned nr_vcpus, u32 max_port)
{
    struct domain *d = create(id, nr_vcpus, max_port);

    remember(d);
    d->max_pages = ram_pages;
    for (u64 g = 0; g < ram_pages; ) {
        unsigned order = g % 512 == 0 && ram_pages - g >= 512 ? ORDER_2M : ORDER_4K;
        mfn_t m = dom_ram_alloc(d, order);
        if (!mfn_valid(m) || p2m_map_ram(d, GFN(g), m, order))
            panic("fake: cannot give dom%u its RAM\n", id);
        g += 1ULL << order;
    }
    if (id == 0)
        dom0 = d;
    return d;
}

struct domain *fake_domain_vcpus(u16 id, u64 ram_pages, unsigned nr_vcpus)
{
    return fake_domain_ports(id, ram_pages, nr_vcpus, ~0u);
}

struct domain *fake_domain(u16 id, u64 ram_pages) { return fake_domain_vcpus(id, ram_pages, 1); }

void fake_domain_destroy(struct domain *d)
{
    int rc;

    for (unsigned i = 0; i < MAX_DOMS; i++)
        if (doms[i] == d)
            doms[i] = NULL;
    if (domain_create) {
        do
            rc = domain_destroy(d);
        while (rc == -ERESTART);
        timer_run();                /* the reaper */
        return;
    }
    d->state = DOM_DYING;
    do
        rc = p2m_destroy(d);
    while (rc == -ERESTART);
    p2m_free(d);
    for (unsigned i = 0; i < d->max_vcpus; i++) {
        for (unsigned c = 0; c < nr_cpus; c++)
            if (cpus[c]->curr == d->vcpu[i])
                cpus[c]->curr = NULL;
        hvm->vcpu_destroy(d->vcpu[i]);
        kfree(d->vcpu[i]);
    }
    page_free(d->shared_info);
    if (dom0 == d)
        dom0 = NULL;
    kfree(d);
}

void *fake_guest_ptr(struct domain *d, gpa_t gpa)
{
    enum p2m_type t;
    mfn_t m = p2m_lookup(d, GFN(gpa >> PAGE_SHIFT), &t, NULL);

    return mfn_valid(m) ? (char *)frame_map(m) + gpa % PAGE_SIZE : NULL;
}
