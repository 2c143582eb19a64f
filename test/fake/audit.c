/* SPDX-License-Identifier: MIT */
/* See audit.h. */
#include "audit.h"
#include "call/domctl.h"
#include "evtchn/evtchn_priv.h"
#include "fake.h"
#include "gnttab/gnttab_priv.h"
#include "hvm/hvm.h"
#include "hvm/policy.h"
#include "hvm/vlapic.h"
#include "iommu/amd.h"
#include "mm/p2m_internal.h"
#include "sched/internal.h"
#include "mm_audit.h"

extern __typeof__(gnttab_audit) gnttab_audit __attribute__((weak));
extern __typeof__(gnttab_active) gnttab_active __attribute__((weak));
extern __typeof__(evtchn_audit) evtchn_audit __attribute__((weak));
extern __typeof__(evtchn_lookup) evtchn_lookup __attribute__((weak));
extern __typeof__(domctl_trylock) domctl_trylock __attribute__((weak));
extern __typeof__(domctl_unlock) domctl_unlock __attribute__((weak));
extern __typeof__(vlapic_save) vlapic_save __attribute__((weak));
extern __typeof__(hvm_mtrr_get) hvm_mtrr_get __attribute__((weak));
extern __typeof__(hvm_tsc_adjust_get) hvm_tsc_adjust_get __attribute__((weak));
extern __typeof__(hvm_xstate) hvm_xstate __attribute__((weak));
extern __typeof__(sched_ratelimit_ns) sched_ratelimit_ns __attribute__((weak));

#define FAIL(...) panic("audit: " __VA_ARGS__)
#define for_each_domain(d, i) for (unsigned i = 0; (d = fake_domain_nth(i)) != NULL; i++)
#define ULL(x) ((unsigned long long)(x))

static struct domain *by_id(u16 id)
{
    struct domain *d;

    for_each_domain(d, i)
        if (d->id == id)
            return d;
    return NULL;
}

/* ---- references that no second-stage record accounts for: pages pinned for the hypervisor's own accesses ---- */
static u64 pinned_pages(const struct domain *d)
{
    struct vcpu *v;
    u64 n = 0;

    for_each_vcpu(d, v) {
        n += mfn_valid(v->info_page.mfn) && v->info_page.mfn.n;
        const struct guest_area *areas[] = { &v->runstate_area, &v->time_area };
        for (unsigned k = 0; k < 4; k++) {
            mfn_t m = areas[k / 2]->page[k % 2].mfn;
            n += mfn_valid(m) && m.n;
        }
        n += v->evtchn && v->evtchn->cb;
    }
    if (d->evtchn && d->evtchn->fifo)
        n += d->evtchn->fifo->nr_pages;
    return n + (d->p2m ? d->p2m->nr_held : 0);
}

static void check_references(void)
{
    struct domain *d;
    u64 want = 0, have = mm_audit();

    for_each_domain(d, i)
        want += pinned_pages(d);
    if (have != want)
        FAIL("%llu references beyond those of mappings, %llu pages are pinned\n", ULL(have), ULL(want));
}

/* ---- grants: records, pins, second stage ---- */
static struct maptrack *record(struct gnttab *gt, u32 h)
{
    return &gt->mt[h / RECORDS_PER_FRAME][h % RECORDS_PER_FRAME];
}

static void count_records(struct domain *granter, u32 ref, u32 *all, u32 *writing)
{
    struct domain *m;

    *all = *writing = 0;
    for_each_domain(m, i) {
        struct gnttab *gt = m->gnttab;
        for (u32 h = 0; gt && h < gt->mt_frames * (u32)RECORDS_PER_FRAME; h++) {
            struct maptrack *r = record(gt, h);
            if (r->state == MT_FREE || r->domid != granter->id || r->ref != ref)
                continue;
            ++*all;
            *writing += r->write;
        }
    }
}

static void check_pins(struct domain *d)
{
    struct gnttab *gt = d->gnttab;

    for (u32 ref = 0; ref < gt->nr_frames * REFS_PER_FRAME; ref++) {
        struct active *a = gnttab_active(d, ref);
        if (!a) {
            ref |= ACTIVE_PER_CHUNK - 1;
            continue;
        }
        if (!a->pins && !a->wpins)
            continue;
        u32 all, writing;
        count_records(d, ref, &all, &writing);
        if (a->pins != all || a->wpins != writing)
            FAIL("d%u ref %u: %u pins (%u), %u mappings (%u)\n", d->id, ref, a->pins, a->wpins, all, writing);
    }
}

static void check_records(struct domain *d)
{
    struct gnttab *gt = d->gnttab;
    enum p2m_type t;

    for (u32 h = 0; h < gt->mt_frames * (u32)RECORDS_PER_FRAME; h++) {
        struct maptrack *r = record(gt, h);
        if (r->state == MT_FREE || !d->p2m || !d->p2m->root)
            continue;
        struct domain *g = by_id(r->domid);
        struct active *a = g && g->gnttab ? gnttab_active(g, r->ref) : NULL;
        mfn_t m = p2m_lookup(d, GFN(r->gfn), &t, NULL);
        if (r->state != MT_MAPPED || !a || !a->pins || a->domid != d->id)
            FAIL("d%u handle %u: state %u, entry not pinned\n", d->id, h, r->state);
        if (t != (r->write ? P2M_GRANT_RW : P2M_GRANT_RO) || m.n != a->mfn)
            FAIL("d%u handle %u: not mapped at %llx\n", d->id, h, ULL(r->gfn));
    }
}

/* ---- second stage against the IOMMU's tables, and against the count of pages ---- */
struct walk { struct domain *d; u64 ram, digest; bool exact; };

static void each_leaf(struct walk *w, const struct live_entry *table, unsigned level, u64 gfn,
                      void (*fn)(struct walk *, u64 gfn, u64 mfn, enum p2m_type))
{
    for (unsigned i = 0; i < 512; i++) {
        u64 e = live_get(&table[i]), g = gfn | (u64)i << level_order(level);
        if (pte_table(e, level))
            each_leaf(w, pte_down(e), level - 1, g, fn);
        else if (e & PTE_P)
            for (u64 k = 0; k < 1ULL << level_order(level); k++)
                fn(w, g + k, pte_mfn(e) + k, pte_type(e));
    }
}

#define IO_P 1u
#define IO_NEXT(e) ((e) >> 9 & 7)
/* What a device of d reaches at dfn: frame + 1, 0 for nothing. */
static u64 io_lookup(const struct iommu_domain *t, u64 dfn)
{
    const struct live_entry *table = t->root;

    for (unsigned l = TABLE_LEVELS; ; l--) {
        u64 e = live_get(&table[dfn >> (l - 1) * 9 & 511]);
        if (!(e & IO_P))
            return 0;
        if (!IO_NEXT(e))
            return (e >> PAGE_SHIFT & ((1ULL << 40) - 1)) + (dfn & ((1ULL << (l - 1) * 9) - 1)) + 1;
        table = phys_to_virt(e & (((1ULL << 40) - 1) << PAGE_SHIFT));
    }
}

static void check_leaf(struct walk *w, u64 gfn, u64 mfn, enum p2m_type type)
{
    w->ram += p2m_is_ram(type);
    if (w->d->iommu && io_lookup(w->d->iommu, gfn) != mfn + 1)
        FAIL("d%u gfn %llx: the IOMMU has %llx, not %llx\n", w->d->id, ULL(gfn),
             ULL(io_lookup(w->d->iommu, gfn)) - 1, ULL(mfn));
}

static void check_no_more(const struct iommu_domain *t, struct domain *d, const struct live_entry *table, unsigned level,
                          u64 dfn)
{
    for (unsigned i = 0; i < 512; i++) {
        u64 e = live_get(&table[i]), f = dfn | (u64)i << (level - 1) * 9;
        enum p2m_type type;
        if ((e & IO_P) && IO_NEXT(e))
            check_no_more(t, d, phys_to_virt(e & (((1ULL << 40) - 1) << PAGE_SHIFT)), level - 1, f);
        else if ((e & IO_P) && !mfn_valid(p2m_lookup(d, GFN(f), &type, NULL)))
            FAIL("d%u: the IOMMU maps %llx, the processors do not\n", d->id, ULL(f));
    }
}

static void check_mappings(struct domain *d)
{
    struct walk w = { .d = d };

    if (!d->p2m || !d->p2m->root || d->p2m->dead)
        return;
    each_leaf(&w, d->p2m->root, 4, 0, check_leaf);
    if (w.ram != d->tot_pages)
        FAIL("d%u owns %llu pages, %llu are mapped\n", d->id, ULL(d->tot_pages), ULL(w.ram));
    if (d->iommu)
        check_no_more(d->iommu, d, d->iommu->root, TABLE_LEVELS, 0);
}

void audit_all(void)
{
    struct domain *d;

    for (unsigned i = 0; i < nr_cpus; i++)
        if (cpus[i]->nr_locks)
            FAIL("CPU %u holds %u locks\n", i, cpus[i]->nr_locks);
    if (domctl_trylock) {
        if (!domctl_trylock())
            FAIL("the lock of control operations is held\n");
        domctl_unlock();
    }
    check_references();
    for_each_domain(d, i) {
        check_mappings(d);
        if (d->evtchn && evtchn_audit)
            evtchn_audit(d);
        if (!d->gnttab || !gnttab_audit)
            continue;
        gnttab_audit(d);
        check_pins(d);
        check_records(d);
    }
}

/* ---- digest ---- */
static void mix(u64 *h, u64 x)
{
    *h = (*h ^ x) * 0x9e3779b97f4a7c15ULL;
    *h ^= *h >> 29;
}

static void digest_leaf(struct walk *w, u64 gfn, u64 mfn, enum p2m_type type)
{
    mix(&w->digest, gfn);
    mix(&w->digest, type);
    if (w->exact)
        mix(&w->digest, mfn);
}

static void mix_bytes(u64 *h, const void *p, size_t n)
{
    const u8 *b = p;
    u64 x;

    for (; n >= sizeof(x); n -= sizeof(x), b += sizeof(x)) {
        memcpy(&x, b, sizeof(x));
        mix(h, x);
    }
    for (; n; n--, b++)
        mix(h, *b);
}

/* A pinned page, 0: none. */
static u64 page_of(const struct walk *w, const struct guest_page *p)
{
    return !mfn_valid(p->mfn) || !p->mfn.n ? 0 : w->exact ? p->mfn.n + 1 : 1;
}

static void digest_timer(struct walk *w, const struct timer *t)
{
    mix(&w->digest, t->active ? t->expires_ns + 1 : 0);
}

static void digest_grants(struct walk *w)
{
    struct gnttab *gt = w->d->gnttab;

    for (u32 ref = 0; ref < gt->nr_frames * REFS_PER_FRAME; ref++) {
        struct active *a = gnttab_active(w->d, ref);
        if (!a) {
            ref |= ACTIVE_PER_CHUNK - 1;
            continue;
        }
        if (!a->pins)
            continue;
        mix(&w->digest, ref);
        mix(&w->digest, (u64)a->pins << 32 | a->wpins);
        mix(&w->digest, a->domid);
    }
    mix(&w->digest, gt->mt_used);
    /* What the guest itself wrote into entries, in use or not. */
    for (u32 ref = 0; w->exact && ref < gt->nr_frames * REFS_PER_FRAME; ref++) {
        const struct shared_grant *e = &gt->frame[ref / REFS_PER_FRAME][ref % REFS_PER_FRAME];
        if (!e->by_functions_only[0] && !e->by_functions_only[1])
            continue;
        mix(&w->digest, ref);
        mix(&w->digest, (u64)e->by_functions_only[0] << 32 | e->by_functions_only[1]);
    }
}

static void digest_channels(struct walk *w)
{
    struct evtchn_domain *ed = w->d->evtchn;

    mix(&w->digest, (u64)(ed->fifo != NULL) << 32 | (ed->fifo ? ed->fifo->nr_pages : 0));
    for (u32 p = 0; p < ed->max_ports; p++) {
        if (!ed->bucket[p / BUCKET_PORTS]) {
            p |= BUCKET_PORTS - 1;
            continue;
        }
        const struct evtchn *c = &ed->bucket[p / BUCKET_PORTS]->chn[p % BUCKET_PORTS];
        if (c->state <= ECS_RESERVED)
            continue;
        mix(&w->digest, (u64)p << 32 | (u32)c->state << 16 | (u32)c->consumer << 8 | c->vcpu);
        mix(&w->digest, (u64)c->remote_port << 32 | (c->rd ? c->rd->id + 1u : 0));
        if (w->exact)
            mix(&w->digest, (u64)c->priority << 8 | c->early);
    }
    mix_bytes(&w->digest, ed->virq_port, sizeof(ed->virq_port));
    for (u32 i = 0; w->exact && ed->fifo && i < ed->fifo->nr_pages; i++)
        mix_bytes(&w->digest, ed->fifo->page[i].va, PAGE_SIZE);
}

/* Registers as a save would find them; those of the caller change with every call. */
static void digest_state(struct walk *w, struct vcpu *v)
{
    struct hvm_hw_lapic hidden;
    struct hvm_hw_lapic_regs lapic;
    struct hvm_hw_mtrr mtrr;
    size_t n;

    if (v->running)
        return;
    mix_bytes(&w->digest, &v->regs, sizeof(v->regs));
    if (hvm == &fake_hvm_ops)
        mix_bytes(&w->digest, &fake_vcpu(v)->state, sizeof(fake_vcpu(v)->state));
    if (vlapic_save && v->lapic) {
        memset(&hidden, 0, sizeof(hidden));
        memset(&lapic, 0, sizeof(lapic));
        vlapic_save(v, &hidden, &lapic);
        mix_bytes(&w->digest, &hidden, sizeof(hidden));
        mix_bytes(&w->digest, &lapic, sizeof(lapic));
    }
    if (hvm_mtrr_get && v->hvm) {
        memset(&mtrr, 0, sizeof(mtrr));
        hvm_mtrr_get(v, &mtrr);
        mix_bytes(&w->digest, &mtrr, sizeof(mtrr));
    }
    if (hvm_xstate && v->hvm) {
        const void *area = hvm_xstate(v, &n);
        mix_bytes(&w->digest, area, n);
    }
    if (hvm_tsc_adjust_get && v->hvm)
        mix(&w->digest, hvm_tsc_adjust_get(v));
}

static void digest_events(struct walk *w, const struct vcpu *v)
{
    if (!v->evtchn)
        return;
    mix_bytes(&w->digest, v->evtchn->virq_port, sizeof(v->evtchn->virq_port));
    if (!w->exact)
        return;
    mix_bytes(&w->digest, v->evtchn->tail, sizeof(v->evtchn->tail));
    if (v->evtchn->cb)
        mix_bytes(&w->digest, v->evtchn->cb, sizeof(struct evtchn_fifo_control_block));
    if (v->info)
        mix_bytes(&w->digest, v->info, sizeof(struct vcpu_info));
}

static void digest_vcpus(struct walk *w)
{
    struct vcpu *v;

    for_each_vcpu(w->d, v) {
        mix(&w->digest, v->id + 1);
        mix(&w->digest, (v->flags & (w->exact ? ~0u : VF_DOWN)) << 1 | v->initialised);
        mix(&w->digest, (u64)v->upcall_vector << 1 | v->poll_active);
        mix(&w->digest, page_of(w, &v->info_page));
        mix(&w->digest, (u64)v->periodic_ns << 1 | (v->evtchn && v->evtchn->cb));
        for (unsigned k = 0; k < 2; k++) {
            mix(&w->digest, page_of(w, &v->runstate_area.page[k]));
            mix(&w->digest, page_of(w, &v->time_area.page[k]));
        }
        digest_timer(w, &v->singleshot);
        digest_timer(w, &v->periodic);
        digest_timer(w, &v->poll_timer);
        if (v->sched) {
            mix(&w->digest, v->sched->hard);
            mix(&w->digest, v->sched->soft);
        }
        digest_events(w, v);
        if (w->exact)
            digest_state(w, v);
    }
}

/* What the toolstack set, and what the guest asked for, as a whole. */
static void digest_settings(struct walk *w)
{
    const struct domain *d = w->d;

    mix_bytes(&w->digest, d->handle, sizeof(d->handle));
    mix(&w->digest, (u64)d->ctl_pauses << 32 | (u64)d->shut_down << 16 | (u64)d->shutdown_code << 8 | d->ever_unpaused);
    mix(&w->digest, (u64)d->vm_assist << 32 | d->tsc_mode);
    mix(&w->digest, d->tsc_incarnation);
    mix(&w->digest, d->tsc_offset);
    mix(&w->digest, (u64)d->time_offset_s);
    if (d->memmap.nr)
        mix_bytes(&w->digest, d->memmap.e, d->memmap.nr * sizeof(*d->memmap.e));
    if (d->sched)
        mix(&w->digest, (u64)d->sched->weight << 16 | d->sched->cap);
    if (d->policy)
        mix_bytes(&w->digest, d->policy, sizeof(*d->policy));
    for (unsigned k = 0; k < ARRAY_SIZE(d->watchdog); k++)
        digest_timer(w, &d->watchdog[k]);
    if (!w->exact)
        return;
    mix_bytes(&w->digest, d->serial_line, d->serial_len);
    if (d->shared_info)
        mix_bytes(&w->digest, d->shared_info, PAGE_SIZE);
}

u64 audit_digest(bool exact)
{
    struct walk w = { .exact = exact };

    if (&sched_ratelimit_ns)
        mix(&w.digest, sched_ratelimit_ns);

    for_each_domain(w.d, i) {
        const struct domain *d = w.d;
        mix(&w.digest, (u64)d->id << 8 | d->state);
        mix(&w.digest, d->tot_pages);
        mix(&w.digest, d->max_pages);
        mix(&w.digest, d->outstanding);
        mix(&w.digest, d->shared_info_gfn.n);
        mix(&w.digest, d->pause_count);
        mix(&w.digest, d->memmap.nr);
        mix(&w.digest, d->target ? d->target->id + 1 : 0);
        for (unsigned k = 0; k < ARRAY_SIZE(d->params); k++)
            mix(&w.digest, d->params[k]);
        digest_settings(&w);
        digest_vcpus(&w);
        if (d->p2m && d->p2m->root) {
            mix(&w.digest, d->p2m->pool_pages);
            each_leaf(&w, d->p2m->root, 4, 0, digest_leaf);
        }
        if (d->gnttab && gnttab_audit)
            digest_grants(&w);
        if (d->evtchn && evtchn_lookup)
            digest_channels(&w);
    }
    return w.digest;
}
