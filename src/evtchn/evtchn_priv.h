/* SPDX-License-Identifier: MIT */
/*
 * Event channels, inside the module.
 *
 * Ports live in buckets that are allocated on demand, published with a release store and never taken away while
 * the domain exists (I-6, I-7). evtchn_lookup() is the only way from a number to a struct evtchn.
 *
 * Locking. ed->lock (RANK_EVTCHN) governs states, bindings and the choice of the ABI. Both ends of an interdomain
 * channel are connected and disconnected under both domains' locks, lower domid first. Raising port p of d needs
 * d's lock, or the lock of a domain one of whose channels is connected to p: either way p stays what it is, and
 * d's FIFO state stays in place, because that goes only when all of d's ports are closed. ed->fifo_lock
 * (RANK_EVTCHN_FIFO) governs the queues of d and the fields marked (Q).
 */
#pragma once
#include "call/abi.h"
#include "call/call.h"
#include "evtchn/evtchn.h"

enum { ECS_FREE, ECS_RESERVED, ECS_UNBOUND, ECS_INTERDOMAIN, ECS_VIRQ, ECS_IPI };

struct evtchn {
    u8 state;                   /* ECS_* */
    u8 consumer;                /* nonzero: port of the hypervisor, index of its function (evtchn_xen.c) */
    u8 priority;                /* FIFO: queue for the next event */
    u8 vcpu;                    /* vCPU to notify */
    u8 q_vcpu, q_priority;      /* (Q) queue on which the event was linked last; outlives closing */
    u8 early;                   /* (Q) raised while the guest's event array had no word for it */
    u8 pad;
    union {
        u32 remote_port;        /* INTERDOMAIN */
        u32 virq;               /* VIRQ */
        u32 remote_domid;       /* UNBOUND */
    };
    struct domain *rd;          /* INTERDOMAIN: stays valid as long as the binding */
};
STATIC_ASSERT(sizeof(struct evtchn) <= 24);
STATIC_ASSERT(MAX_VCPUS <= 256);

#define BUCKET_PORTS 128u
struct evtchn_bucket {
    u32 used;                   /* ports that are not FREE */
    struct evtchn chn[BUCKET_PORTS];
};

#define FIFO_WORDS_PER_PAGE 1024u
#define FIFO_MAX_PAGES (EVTCHN_FIFO_NR_CHANNELS / FIFO_WORDS_PER_PAGE)
struct evtchn_fifo {
    u32 nr_pages;
    struct guest_page page[FIFO_MAX_PAGES];
};

#define NR_VCPU_VIRQS 4
struct evtchn_domain {
    struct spinlock lock;
    struct spinlock fifo_lock;
    struct evtchn_fifo *fifo;   /* NULL: 2-level ABI */
    u32 max_ports;              /* port numbers are below this */
    u32 active;                 /* ports that are neither FREE nor RESERVED */
    u32 xen_ports;              /* ... of which the hypervisor's */
    u32 hint;                   /* buckets below this one are full */
    u32 nr_polling;             /* atomic; vCPUs with poll_active */
    bool dying;
    bool layout32;              /* shared_info has the layout of 32-bit guests */
    u32 virq_port[NR_VIRQS];    /* global VIRQs; 0 = not bound */
    struct evtchn_bucket *bucket[];     /* release / acquire */
};

struct evtchn_vcpu {
    u32 virq_port[NR_VCPU_VIRQS];       /* evtchn_virq.c */
    u32 poll_port;              /* the port waited for, 0: any of several */
    struct guest_mem *dummy;    /* mailbox of vCPUs that shared_info has no room for */
    struct guest_page cb_page;  /* (Q) */
    struct guest_mem *cb;       /* (Q) struct evtchn_fifo_control_block; NULL: not initialised */
    u32 tail[EVTCHN_FIFO_MAX_QUEUES];   /* (Q) last event we appended; 0 = none */
};

/* ---- table (evtchn.c) ---- */
/* Struct of a port, NULL if no such port was ever allocated. Lock-free; the state must be checked. */
struct evtchn *evtchn_lookup(struct evtchn_domain *ed, u32 port);
/* The same for ports that the guest itself may operate on: in use and not the hypervisor's. */
struct evtchn *evtchn_lookup_guest(struct evtchn_domain *ed, u32 port);
/* Take the lowest free port; *out has state UNBOUND. Returns the port, -ENOSPC (limits), -ENOMEM, -ESRCH (dying). */
long evtchn_alloc_locked(struct domain *d, struct evtchn **out);
void evtchn_free_locked(struct domain *d, struct evtchn *chn, u32 port);
/* Both locks of a pair (which may be one domain). */
void evtchn_lock_pair(struct domain *a, struct domain *b);
void evtchn_unlock_pair(struct domain *a, struct domain *b);
/* vCPU by number or NULL. */
struct vcpu *evtchn_vcpu_by_id(struct domain *d, u32 id);

/* ---- delivery ---- */
/* Make `port` of d pending and notify; see "Locking" above. */
void evtchn_raise(struct domain *d, struct evtchn *chn, u32 port);
bool evtchn_is_pending(struct domain *d, struct evtchn *chn, u32 port);
bool evtchn_is_masked(struct domain *d, u32 port);
/* Forget a pending event (the port closes). */
void evtchn_clear_pending(struct domain *d, struct evtchn *chn, u32 port);
/* Set v's upcall flag; on its 0 -> 1 change deliver the upcall. v may be NULL. */
void evtchn_upcall(struct vcpu *v);
/* After `port` of d turned pending: wake who polls for it. */
void evtchn_wake_pollers(struct domain *d, u32 port);

/* 2-level: evtchn_2l.c. raise returns true if the port turned pending. */
bool evtchn_2l_raise(struct domain *d, struct evtchn *chn, u32 port);
void evtchn_2l_unmask(struct domain *d, struct evtchn *chn, u32 port);
struct guest_mem *evtchn_2l_pending(struct domain *d);
struct guest_mem *evtchn_2l_mask(struct domain *d);
u32 evtchn_2l_limit(const struct evtchn_domain *ed);
/* Set every selector bit in vi. */
void evtchn_2l_select_all(const struct evtchn_domain *ed, struct guest_mem *vi);

/* FIFO: evtchn_fifo.c */
bool evtchn_fifo_raise(struct domain *d, struct evtchn *chn, u32 port);
void evtchn_fifo_unmask(struct domain *d, struct evtchn *chn, u32 port);
bool evtchn_fifo_is_pending(struct domain *d, struct evtchn *chn, u32 port);
bool evtchn_fifo_is_masked(struct domain *d, u32 port);
/* Still in a queue that the guest has not consumed. */
bool evtchn_fifo_is_linked(struct domain *d, u32 port);
void evtchn_fifo_clear_pending(struct domain *d, struct evtchn *chn, u32 port);
/* Back to 2-level: free all state. ed->lock held, no port but the hypervisor's is in use. */
void evtchn_fifo_teardown_locked(struct domain *d);
long evtchn_init_control(struct call *c, void *arg);
long evtchn_expand_array(struct call *c, void *arg);
long evtchn_set_priority(struct call *c, void *arg);

/* ---- bindings: evtchn_bind.c, evtchn_virq.c ---- */
long evtchn_alloc_unbound(struct call *c, void *arg);
long evtchn_bind_interdomain(struct call *c, void *arg);
long evtchn_bind_ipi(struct call *c, void *arg);
long evtchn_bind_virq(struct call *c, void *arg);
/* May the notified vCPU of this VIRQ be changed? */
bool evtchn_virq_is_global(u32 virq);
void evtchn_virq_unbind_locked(struct domain *d, struct evtchn *chn);
/* 0, -EINVAL: not a port in use, or the hypervisor's and !xen. */
int evtchn_close_port(struct domain *d, u32 port, bool xen) __must_check;
/* Close all ports, the hypervisor's only if xen. -ERESTART: more to do. Opens interrupt windows. */
int evtchn_close_all(struct domain *d, bool xen) __must_check;

/* ---- the hypervisor's own ports: evtchn_xen.c ---- */
/* Tell the hypervisor's end `chn` of d that its peer sent an event. */
void evtchn_consume(struct domain *d, struct evtchn *chn, u32 port);

#ifdef HOSTED
/* Check the tables of d against each other; panics on a contradiction. d must be quiescent. */
void evtchn_audit(struct domain *d);
#endif
