/* SPDX-License-Identifier: MIT */
/*
 * FIFO delivery (public/event_channel.h): one word per event in pages of the guest, 16 queues per vCPU whose heads
 * and ready bits are in the vCPU's control block. We append to the tail that we remember; the guest consumes from
 * the head. All words may change under our hands in any way: every loop is bounded, a link read from the guest is
 * never followed, and what a guest scrambles are its own queues.
 *
 * An event may be linked in one queue only. LINKED in its word says that it is; when it is appended elsewhere after
 * the guest consumed it, the old queue must not remember it as its tail any more.
 */
#include "evtchn/evtchn_priv.h"

#define PENDING (1u << EVTCHN_FIFO_PENDING)
#define MASKED  (1u << EVTCHN_FIFO_MASKED)
#define LINKED  (1u << EVTCHN_FIFO_LINKED)
#define BUSY    (1u << EVTCHN_FIFO_BUSY)

#define LINK_TRIES 4            /* without, then */
#define LINK_TRIES_BUSY 16      /* with BUSY set, on which a guest that plays by the rules waits */

STATIC_ASSERT(sizeof(struct evtchn_fifo_control_block) == 72);
#define CB(ev, member) guest_field((ev)->cb, struct evtchn_fifo_control_block, member)

/* The event's word in the guest, NULL if the guest gave no page for it (yet). */
static struct guest_mem *word_of(struct domain *d, u32 port)
{
    struct evtchn_fifo *f = d->evtchn->fifo;
    u32 n = f ? load_acquire(&f->nr_pages) : 0, i = port / FIFO_WORDS_PER_PAGE;
    if (i >= n) return NULL;
    return guest_mem_nth32(f->page[index_nospec(i, n)].va, port % FIFO_WORDS_PER_PAGE);
}

/* Make `word`, the queue's tail, point to port. False: it is not in the queue any more, or the guest keeps changing
 * it against the rules; the queue then starts anew with port. */
static bool set_link(struct guest_mem *word, u32 port)
{
    for (unsigned i = 0; i < LINK_TRIES + LINK_TRIES_BUSY; i++) {
        if (i == LINK_TRIES) guest_mem_or32(word, BUSY);
        u32 w = guest_mem_u32(word);
        if (!(w & LINKED)) break;
        if (guest_mem_cas32(word, w, (w & ~(BUSY | EVTCHN_FIFO_LINK_MASK)) | port)) return true;
    }
    guest_mem_and32(word, ~BUSY);
    return false;
}

/* Append port to the queue of its vCPU and priority. Returns the vCPU to notify or NULL. (fifo_lock) */
static struct vcpu *append(struct domain *d, struct evtchn *chn, u32 port, struct guest_mem *word)
{
    struct vcpu *v = evtchn_vcpu_by_id(d, read_once(&chn->vcpu));
    struct evtchn_vcpu *ev = v ? v->evtchn : NULL;
    if (!ev || !ev->cb) return NULL;            /* PENDING stays set; unmask finds it */
    if (guest_mem_or32(word, LINKED) & LINKED) return NULL;

    struct vcpu *old = evtchn_vcpu_by_id(d, chn->q_vcpu);
    if (old && old->evtchn && old->evtchn->tail[chn->q_priority] == port) old->evtchn->tail[chn->q_priority] = 0;

    unsigned q = read_once(&chn->priority) % EVTCHN_FIFO_MAX_QUEUES;
    struct guest_mem *tail = ev->tail[q] ? word_of(d, ev->tail[q]) : NULL;
    bool linked = tail && set_link(tail, port);
    if (!linked) guest_mem_set32(CB(ev, head[q]), port);
    ev->tail[q] = port;
    chn->q_vcpu = (u8)v->id;
    chn->q_priority = (u8)q;
    if (linked || guest_mem_or32(CB(ev, ready), 1u << q) >> q & 1) return NULL;
    return v;
}

bool evtchn_fifo_raise(struct domain *d, struct evtchn *chn, u32 port)
{
    struct evtchn_domain *ed = d->evtchn;
    struct vcpu *v = NULL;
    bool fresh;
    spin_lock(&ed->fifo_lock);
    struct guest_mem *word = word_of(d, port);
    if (word) {
        u32 old = guest_mem_or32(word, PENDING);
        fresh = !(old & PENDING);
        if (!(old & (MASKED | LINKED))) v = append(d, chn, port, word);
    } else {
        fresh = !chn->early;
        chn->early = true;
    }
    spin_unlock(&ed->fifo_lock);
    evtchn_upcall(v);
    return fresh;
}

void evtchn_fifo_unmask(struct domain *d, struct evtchn *chn, u32 port)
{
    struct evtchn_domain *ed = d->evtchn;
    struct vcpu *v = NULL;
    spin_lock(&ed->fifo_lock);
    struct guest_mem *word = word_of(d, port);
    if (word) {
        u32 old = guest_mem_and32(word, ~MASKED);
        if ((old & (PENDING | LINKED)) == PENDING) v = append(d, chn, port, word);
    }
    spin_unlock(&ed->fifo_lock);
    evtchn_upcall(v);
}

bool evtchn_fifo_is_pending(struct domain *d, struct evtchn *chn, u32 port)
{
    struct guest_mem *word = word_of(d, port);
    return word ? guest_mem_u32(word) & PENDING : chn->early;
}

bool evtchn_fifo_is_masked(struct domain *d, u32 port)
{
    struct guest_mem *word = word_of(d, port);
    return !word || guest_mem_u32(word) & MASKED;
}

bool evtchn_fifo_is_linked(struct domain *d, u32 port)
{
    struct guest_mem *word = word_of(d, port);
    return word && guest_mem_u32(word) & LINKED;
}

void evtchn_fifo_clear_pending(struct domain *d, struct evtchn *chn, u32 port)
{
    spin_lock(&d->evtchn->fifo_lock);
    struct guest_mem *word = word_of(d, port);
    if (word) guest_mem_and32(word, ~PENDING);
    chn->early = false;
    spin_unlock(&d->evtchn->fifo_lock);
}

void evtchn_fifo_teardown_locked(struct domain *d)
{
    struct evtchn_domain *ed = d->evtchn;
    struct evtchn_fifo *f = ed->fifo;
    struct vcpu *v;
    if (!f) return;
    spin_lock(&ed->fifo_lock);
    store_release(&ed->fifo, NULL);
    for_each_vcpu(d, v) {
        struct evtchn_vcpu *ev = v->evtchn;
        if (!ev || !ev->cb) continue;
        ev->cb = NULL;
        memset(ev->tail, 0, sizeof(ev->tail));
        guest_page_unpin(&ev->cb_page);
    }
    spin_unlock(&ed->fifo_lock);
    /* A sender that raced with the switch to FIFO may have left a bit, which would look like an old event. */
    for (u32 i = 0; i < evtchn_2l_limit(ed) / 64; i++) guest_mem_set64(guest_mem_nth64(evtchn_2l_pending(d), i), 0);
    for (u32 i = 0; i < f->nr_pages; i++) guest_page_unpin(&f->page[i]);
    kfree(f);
}

/* First init_control of the domain: what is pending in the bitmap waits for the guest's array pages. */
static void switch_to_fifo_locked(struct domain *d, struct evtchn_fifo *f)
{
    struct evtchn_domain *ed = d->evtchn;
    u32 limit = MIN(evtchn_2l_limit(ed), ed->max_ports);
    (void)atomic_xchg(&ed->fifo, f);
    spin_lock(&ed->fifo_lock);
    for (u32 port = 1; port < limit; port++) {
        if (port % 64 == 0 && !guest_mem_u64(guest_mem_nth64(evtchn_2l_pending(d), port / 64))) {
            port += 63;
            continue;
        }
        if (!guest_bit_clear(evtchn_2l_pending(d), port)) continue;
        struct evtchn *chn = evtchn_lookup_guest(ed, port);
        if (chn) chn->early = true;
    }
    spin_unlock(&ed->fifo_lock);
}

static int init_control_locked(struct domain *d, struct evtchn_vcpu *ev, struct guest_page *page, u32 offset,
                               struct evtchn_fifo **f)
{
    struct evtchn_domain *ed = d->evtchn;
    if (!ev || ed->dying || ev->cb) return -EINVAL;
    spin_lock(&ed->fifo_lock);
    ev->cb_page = *page;
    ev->cb = guest_mem_at(page->va, offset);
    spin_unlock(&ed->fifo_lock);
    if (!ed->fifo) {
        switch_to_fifo_locked(d, *f);
        *f = NULL;
    }
    return 0;
}

/* Everything that can fail comes before the first change (XSA-188). */
long evtchn_init_control(struct call *c, void *arg)
{
    struct evtchn_init_control *ic = arg;
    struct domain *d = c->v->dom;
    struct evtchn_domain *ed = d->evtchn;
    struct vcpu *v = evtchn_vcpu_by_id(d, ic->vcpu);
    struct guest_page page;
    if (!v) return -ENOENT;
    if (ic->offset % 8 || ic->offset > PAGE_SIZE - sizeof(struct evtchn_fifo_control_block)) return -EINVAL;
    int rc = guest_page_pin(d, GFN(ic->control_gfn), &page);
    if (rc) return rc;
    struct evtchn_fifo *f = kzalloc(sizeof(*f));
    if (f) {
        spin_lock(&ed->lock);
        rc = init_control_locked(d, v->evtchn, &page, ic->offset, &f);
        spin_unlock(&ed->lock);
        kfree(f);                       /* NULL if it was used */
    } else {
        rc = -ENOMEM;
    }
    if (rc) guest_page_unpin(&page);
    ic->link_bits = EVTCHN_FIFO_LINK_BITS;
    memset(ic->_pad, 0, sizeof(ic->_pad));
    return rc;
}

/* Deliver what came too early for page n. */
static void deliver_early_locked(struct domain *d, u32 n)
{
    struct evtchn_domain *ed = d->evtchn;
    for (u32 port = n * FIFO_WORDS_PER_PAGE; port < (n + 1) * FIFO_WORDS_PER_PAGE; port++) {
        struct evtchn *chn = evtchn_lookup(ed, port);
        if (!chn || !chn->early) continue;
        chn->early = false;
        struct guest_mem *word = word_of(d, port);
        u32 old = guest_mem_or32(word, PENDING);
        if (!(old & (MASKED | LINKED))) evtchn_upcall(append(d, chn, port, word));
    }
}

/* Publish a page with what the guest wrote into it: it decides which of its events start masked. */
static int add_page_locked(struct domain *d, const struct guest_page *page)
{
    struct evtchn_domain *ed = d->evtchn;
    struct evtchn_fifo *f = ed->fifo;
    if (!f || ed->dying) return -EOPNOTSUPP;
    u32 n = f->nr_pages;
    if (n == FIFO_MAX_PAGES) return -ENOSPC;
    spin_lock(&ed->fifo_lock);
    f->page[n] = *page;
    store_release(&f->nr_pages, n + 1);
    deliver_early_locked(d, n);
    spin_unlock(&ed->fifo_lock);
    return 0;
}

long evtchn_expand_array(struct call *c, void *arg)
{
    struct evtchn_expand_array *ea = arg;
    struct domain *d = c->v->dom;
    struct evtchn_domain *ed = d->evtchn;
    struct guest_page page;
    if (!load_acquire(&ed->fifo)) return -EOPNOTSUPP;   /* a quick no; the check that counts is under the lock */
    int rc = guest_page_pin(d, GFN(ea->array_gfn), &page);
    if (rc) return rc;
    spin_lock(&ed->lock);
    rc = add_page_locked(d, &page);                     /* XSA-505 */
    spin_unlock(&ed->lock);
    if (rc) guest_page_unpin(&page);
    return rc;
}

long evtchn_set_priority(struct call *c, void *arg)
{
    struct evtchn_set_priority *sp = arg;
    struct evtchn_domain *ed = c->v->dom->evtchn;
    long rc = 0;
    spin_lock(&ed->lock);
    struct evtchn *chn = evtchn_lookup_guest(ed, sp->port);
    if (!ed->fifo) rc = -ENOSYS;
    else if (!chn || sp->priority > EVTCHN_FIFO_PRIORITY_MIN) rc = -EINVAL;
    else write_once(&chn->priority, (u8)sp->priority);
    spin_unlock(&ed->lock);
    return rc;
}
