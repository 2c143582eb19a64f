/* SPDX-License-Identifier: MIT */
/*
 * Event channels: ports, bindings, VIRQs, 2-level and FIFO delivery. A port number becomes a pointer only
 * through one lookup that checks bound, bucket and state (I-7); a port once valid stays valid.
 */
#pragma once
#include "dom/domain.h"

int evtchn_domain_init(struct domain *d) __must_check;
/* Close every channel; restartable (-ERESTART). Then evtchn_domain_free. */
int evtchn_domain_destroy(struct domain *d) __must_check;
void evtchn_domain_free(struct domain *d);
int evtchn_vcpu_init(struct vcpu *v) __must_check;  /* points v->info at shared_info or a dummy page */
void evtchn_vcpu_destroy(struct vcpu *v);

/* hypercall 32: event_channel_op(cmd, arg) for the current vCPU. */
struct call;
long evtchn_op(struct call *c);

/* Raise a VIRQ: per-vCPU (TIMER, DEBUG) or global (any other, on the domain's bound port). */
void evtchn_virq_vcpu(struct vcpu *v, unsigned virq);
void evtchn_virq_global(struct domain *d, unsigned virq);
/* Ports of the hypervisor's own (evtchn_xen.c). Nobody calls these three yet: they wait for device models (ioreq servers),
 * with their tests; that guests cannot touch such ports is checked everywhere already. */
/* Notify local port of d from the hypervisor. */
void evtchn_notify(struct domain *d, u32 port);
/* Port for the hypervisor's own use towards `remote` on vCPU v (ioreq servers). >=0 port, -ENOSPC, -ENOMEM. fn is
 * called when the remote end sends; the sender's RANK_EVTCHN lock is held then, so it may only wake vCPUs.
 * evtchn_notify() on such a port raises the remote end, on any other port the port itself. */
long evtchn_alloc_xen(struct vcpu *v, u16 remote, void (*fn)(struct vcpu *, u32 port));
void evtchn_free_xen(struct domain *d, u32 port);

/* vCPU-side: is an unmasked upcall pending? Move vcpu_info to a registered page. */
bool evtchn_upcall_pending(struct vcpu *v);
/* The same for who looks again after whatever is written meanwhile: the first byte of struct vcpu_info. */
static inline bool vcpu_info_pending(const struct vcpu *v) { return guest_mem_u8(v->info); }
/* VCPUOP_register_vcpu_info: 0, -EINVAL (second time, bad offset), -ENOMEM, -ENOENT... */
int evtchn_register_vcpu_info(struct vcpu *v, gfn_t g, u32 offset) __must_check;
/* SCHEDOP_poll: 0 with *ready = true if one of the ports is already pending; otherwise registers v as polling on
 * them (v->poll_active) so that raising one clears poll_active and wakes it. The caller sets VF_BLOCKED afterwards
 * and must then look at v->poll_active again: false means that the event came in between.
 * -EINVAL: a port that is not usable. */
int evtchn_poll(struct vcpu *v, const u32 *ports, unsigned nr, bool *ready) __must_check;
/* The poll is over, if v is in one: true then, and nobody else will end it. */
bool evtchn_poll_end(struct vcpu *v);
/* Layout of shared_info and vcpu_info for 2-level events: that of 32-bit guests, or not. To be latched by hvm_op's
 * CALLBACK_IRQ and the hypercall page from the mode of the caller; nobody calls it before there are 32-bit callers (HVM
 * guests' firmware), it waits with its tests. */
void evtchn_set_layout32(struct domain *d, bool on);
/* Debug key 'e'. */
void evtchn_dump(struct domain *d);
