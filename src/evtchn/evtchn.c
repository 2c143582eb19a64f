/* SPDX-License-Identifier: MIT */
/* Event channels: the table of ports, life of the per-domain and per-vCPU state, delivery common to both ABIs. */
#include "evtchn/evtchn_priv.h"
#include "hvm/hvm.h"
#include "sched/sched.h"

#define SHARED_VCPUS 32         /* public/xen.h: XEN_LEGACY_MAX_VCPUS slots in shared_info */
STATIC_ASSERT(XEN_LEGACY_MAX_VCPUS == SHARED_VCPUS);
STATIC_ASSERT(sizeof(struct vcpu_info) == 64);

/* Ports that the guest has left linked in a queue are passed over when one is allocated, this many at most. */
#define BUSY_SKIP_MAX 32

static u32 nr_buckets(const struct evtchn_domain *ed)
{
    return (ed->max_ports + BUCKET_PORTS - 1) / BUCKET_PORTS;
}

int evtchn_domain_init(struct domain *d)
{
    u32 max = MIN(d->max_evtchn_port, EVTCHN_FIFO_NR_CHANNELS - 1u) + 1;
    u32 n = (max + BUCKET_PORTS - 1) / BUCKET_PORTS;
    struct evtchn_domain *ed = kzalloc(sizeof(*ed) + n * sizeof(ed->bucket[0]));
    struct evtchn_bucket *first = kzalloc(sizeof(*first));
    if (!ed || !first) {
        kfree(ed);
        kfree(first);
        return -ENOMEM;
    }
    spin_init(&ed->lock, RANK_EVTCHN);
    spin_init(&ed->fifo_lock, RANK_EVTCHN_FIFO);
    ed->max_ports = max;
    first->chn[0].state = ECS_RESERVED;     /* port 0 is never valid */
    first->used = 1;
    ed->bucket[0] = first;
    d->evtchn = ed;
    return 0;
}

int evtchn_domain_destroy(struct domain *d)
{
    struct evtchn_domain *ed = d->evtchn;
    struct vcpu *v;
    spin_lock(&ed->lock);
    ed->dying = true;
    spin_unlock(&ed->lock);
    int rc = evtchn_close_all(d, true);
    if (rc) return rc;
    spin_lock(&ed->lock);
    evtchn_fifo_teardown_locked(d);
    /* References on the domain's own pages must go before its memory does. */
    for_each_vcpu(d, v) evtchn_vcpu_destroy(v);
    spin_unlock(&ed->lock);
    return 0;
}

void evtchn_domain_free(struct domain *d)
{
    struct evtchn_domain *ed = d->evtchn;
    if (!ed) return;
    for (u32 i = 0; i < nr_buckets(ed); i++) kfree(ed->bucket[i]);
    kfree(ed->fifo);
    kfree(ed);
    d->evtchn = NULL;
}

/* v's mailbox in the shared page. */
static struct guest_mem *shared_slot(const struct vcpu *v)
{
    return guest_mem_at(v->dom->shared_info, v->id * sizeof(struct vcpu_info));
}
STATIC_ASSERT(offsetof(struct shared_info, vcpu_info) == 0);
STATIC_ASSERT(offsetof(struct vcpu_info, evtchn_upcall_pending) == 0);

int evtchn_vcpu_init(struct vcpu *v)
{
    struct evtchn_vcpu *ev = kzalloc(sizeof(*ev));
    if (!ev) return -ENOMEM;
    if (v->id >= SHARED_VCPUS && !(ev->dummy = kzalloc(sizeof(struct vcpu_info)))) {
        kfree(ev);
        return -ENOMEM;
    }
    ev->cb_page.mfn = INVALID_MFN;
    v->info_page.mfn = INVALID_MFN;
    v->info = ev->dummy ? ev->dummy : shared_slot(v);
    v->evtchn = ev;
    return 0;
}

/* Also called for a vCPU whose domain is being torn down and that will be destroyed later once more. */
void evtchn_vcpu_destroy(struct vcpu *v)
{
    static struct vcpu_info nobody;         /* v->info is never NULL */
    struct guest_mem *nowhere = (struct guest_mem *)&nobody;
    struct evtchn_vcpu *ev = v->evtchn;
    store_release(&v->info, v->id < SHARED_VCPUS && v->dom->shared_info ? shared_slot(v) : nowhere);
    if (mfn_valid(v->info_page.mfn)) guest_page_unpin(&v->info_page);
    v->info_page.mfn = INVALID_MFN;
    v->evtchn = NULL;
    if (!ev) return;
    if (ev->cb) guest_page_unpin(&ev->cb_page);
    kfree(ev->dummy);
    kfree(ev);
}

struct evtchn *evtchn_lookup(struct evtchn_domain *ed, u32 port)
{
    if (port >= ed->max_ports) return NULL;
    port = (u32)index_nospec(port, ed->max_ports);
    struct evtchn_bucket *b = load_acquire(&ed->bucket[port / BUCKET_PORTS]);
    return b ? &b->chn[port % BUCKET_PORTS] : NULL;
}

struct evtchn *evtchn_lookup_guest(struct evtchn_domain *ed, u32 port)
{
    struct evtchn *chn = evtchn_lookup(ed, port);
    return chn && chn->state > ECS_RESERVED && !chn->consumer ? chn : NULL;
}

struct vcpu *evtchn_vcpu_by_id(struct domain *d, u32 id)
{
    return id < d->max_vcpus ? d->vcpu[index_nospec(id, MAX_VCPUS)] : NULL;
}

/* Number of ports usable with the domain's present ABI; evaluated at each use (XSA-342). */
static u32 port_limit(const struct evtchn_domain *ed)
{
    return ed->fifo ? ed->max_ports : MIN(ed->max_ports, evtchn_2l_limit(ed));
}

/* Find a free port in bucket b below limit; skips ports still linked in a guest's queue while *skip > 0. */
static long find_in_bucket(struct domain *d, u32 b, u32 limit, unsigned *skip)
{
    struct evtchn_bucket *bucket = d->evtchn->bucket[b];
    for (u32 i = 0; i < BUCKET_PORTS && b * BUCKET_PORTS + i < limit; i++) {
        if (bucket->chn[i].state != ECS_FREE) continue;
        if (*skip && evtchn_fifo_is_linked(d, b * BUCKET_PORTS + i)) {
            --*skip;
            continue;
        }
        return b * BUCKET_PORTS + i;
    }
    return -ENOSPC;
}

static long find_free(struct domain *d, unsigned skip)
{
    struct evtchn_domain *ed = d->evtchn;
    u32 limit = port_limit(ed);
    bool all_full = true;
    for (u32 b = ed->hint; b * BUCKET_PORTS < limit; b++) {
        if (!ed->bucket[b]) {
            struct evtchn_bucket *n = kzalloc(sizeof(*n));
            if (!n) return -ENOMEM;
            store_release(&ed->bucket[b], n);
        }
        if (ed->bucket[b]->used == BUCKET_PORTS) continue;
        if (all_full) ed->hint = b;
        all_full = false;
        long port = find_in_bucket(d, b, limit, &skip);
        if (port >= 0) return port;
    }
    return -ENOSPC;
}

long evtchn_alloc_locked(struct domain *d, struct evtchn **out)
{
    struct evtchn_domain *ed = d->evtchn;
    if (ed->dying) return -ESRCH;
    long port = find_free(d, ed->fifo ? BUSY_SKIP_MAX : 0);
    if (port == -ENOSPC && ed->fifo) port = find_free(d, 0);
    if (port < 0) return port;
    struct evtchn_bucket *b = ed->bucket[port / BUCKET_PORTS];
    struct evtchn *chn = &b->chn[port % BUCKET_PORTS];
    chn->consumer = 0;
    chn->priority = EVTCHN_FIFO_PRIORITY_DEFAULT;
    chn->vcpu = 0;
    chn->remote_domid = DOMID_INVALID;
    chn->rd = NULL;
    chn->state = ECS_UNBOUND;
    b->used++;
    ed->active++;
    *out = chn;
    return port;
}

void evtchn_free_locked(struct domain *d, struct evtchn *chn, u32 port)
{
    struct evtchn_domain *ed = d->evtchn;
    evtchn_clear_pending(d, chn, port);
    if (chn->consumer) ed->xen_ports--;
    chn->consumer = 0;
    chn->rd = NULL;
    chn->state = ECS_FREE;
    ed->bucket[port / BUCKET_PORTS]->used--;
    ed->active--;
    ed->hint = MIN(ed->hint, port / BUCKET_PORTS);
}

void evtchn_lock_pair(struct domain *a, struct domain *b)
{
    spin_lock(a->id < b->id ? &a->evtchn->lock : &b->evtchn->lock);
    if (a != b) spin_lock_nested(a->id < b->id ? &b->evtchn->lock : &a->evtchn->lock);
}

void evtchn_unlock_pair(struct domain *a, struct domain *b)
{
    if (a != b) spin_unlock(a->id < b->id ? &b->evtchn->lock : &a->evtchn->lock);
    spin_unlock(a->id < b->id ? &a->evtchn->lock : &b->evtchn->lock);
}

/* The mailbox is found after the event was recorded: evtchn_register_vcpu_info() moves it first and then tells
 * the guest to look at everything, so either it or we reach the guest. */
void evtchn_upcall(struct vcpu *v)
{
    if (!v) return;
    struct guest_mem *vi = load_acquire(&v->info);
    if (guest_mem_xchg8(guest_field(vi, struct vcpu_info, evtchn_upcall_pending), 1)) return;
    hvm_upcall(v);
    vcpu_kick(v);
}

/* A sender that finds the 2-level ABI sets the bit and looks again; init_control switches first and then moves
 * the bits (both sides full barriers): the event is seen by one of the two, at worst by both. */
void evtchn_raise(struct domain *d, struct evtchn *chn, u32 port)
{
    struct evtchn_domain *ed = d->evtchn;
    bool fresh = false;
    if (!load_acquire(&ed->fifo)) fresh = evtchn_2l_raise(d, chn, port);
    if (load_acquire(&ed->fifo)) fresh |= evtchn_fifo_raise(d, chn, port);
    if (fresh) evtchn_wake_pollers(d, port);
}

bool evtchn_is_pending(struct domain *d, struct evtchn *chn, u32 port)
{
    if (d->evtchn->fifo) return evtchn_fifo_is_pending(d, chn, port);
    u32 limit = evtchn_2l_limit(d->evtchn);
    if (port >= limit) return false;
    port = (u32)index_nospec(port, limit);
    return guest_bit(evtchn_2l_pending(d), port);
}

bool evtchn_is_masked(struct domain *d, u32 port)
{
    if (d->evtchn->fifo) return evtchn_fifo_is_masked(d, port);
    u32 limit = evtchn_2l_limit(d->evtchn);
    if (port >= limit) return true;
    port = (u32)index_nospec(port, limit);
    return guest_bit(evtchn_2l_mask(d), port);
}

void evtchn_clear_pending(struct domain *d, struct evtchn *chn, u32 port)
{
    if (d->evtchn->fifo) evtchn_fifo_clear_pending(d, chn, port);
    else if (port < evtchn_2l_limit(d->evtchn)) guest_bit_clear(evtchn_2l_pending(d), port);
}

bool evtchn_upcall_pending(struct vcpu *v)
{
    struct guest_mem *vi = load_acquire(&v->info);
    return guest_mem_u8(guest_field(vi, struct vcpu_info, evtchn_upcall_pending)) != 0;
}

/* Senders that still use the old place have set their event's bit before we tell the guest to look at all. */
int evtchn_register_vcpu_info(struct vcpu *v, gfn_t g, u32 offset)
{
    struct evtchn_domain *ed = v->dom->evtchn;
    struct guest_page page;
    if (offset % 8 || offset > PAGE_SIZE - sizeof(struct vcpu_info)) return -EINVAL;
    int rc = guest_page_pin(v->dom, g, &page);
    if (rc) return rc;
    spin_lock(&ed->lock);
    if (ed->dying || mfn_valid(v->info_page.mfn)) {
        spin_unlock(&ed->lock);
        guest_page_unpin(&page);
        return -EINVAL;
    }
    struct guest_mem *vi = guest_mem_at(page.va, offset);
    guest_mem_move(vi, v->info, sizeof(struct vcpu_info));
    guest_mem_set8(guest_field(vi, struct vcpu_info, evtchn_upcall_pending), 0);
    v->info_page = page;
    store_release(&v->info, vi);
    evtchn_2l_select_all(ed, vi);
    evtchn_upcall(v);
    spin_unlock(&ed->lock);
    return 0;
}
