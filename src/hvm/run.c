/* SPDX-License-Identifier: MIT */
/*
 * One iteration of a vCPU: what came for it, what is to be injected, entry, exit. The scheduler's run loop calls
 * hvm_run() again and again and opens the interrupt window in between.
 */
#include "hvm/hvm_vcpu.h"
#include "hvm/vlapic.h"
#include "sched/sched.h"

/*
 * Order: an event that an exit interrupted (the vendor re-queued it), NMI, event callback, local APIC. What cannot
 * be injected now gets a window exit. One event per entry; the window brings us back for the next.
 */
static void deliver(struct vcpu *v)
{
    struct hvm_vcpu *h = v->hvm;
    bool busy = hvm->event_queued(v), want = false;

    if (unlikely(read_once(&h->nmi_pending))) {
        if (!busy && hvm->nmi_open(v)) {
            atomic_xchg(&h->nmi_pending, 0);
            hvm->inject(v, EV_NMI, 2, NO_ERROR_CODE);
            busy = true;
        } else {
            hvm->want_nmi_window(v);
        }
    }
    int callback = hvm_callback_pending(v);
    int vector = callback >= 0 ? callback : vlapic_pending(v);
    if (vector >= 0) {
        want = true;
        if (!busy && hvm->intr_open(v)) {
            hvm->inject(v, EV_EXTINT, (u8)vector, NO_ERROR_CODE);
            if (callback >= 0) {
                want = vlapic_pending(v) >= 0;
            } else {
                vlapic_ack(v, (u8)vector);
                want = vlapic_pending(v) >= 0;
            }
        }
    }
    hvm->want_intr_window(v, want);
}

void hvm_run(struct vcpu *v)
{
    vlapic_handle_requests(v);
    if (unlikely(read_once(&v->flags))) return;             /* INIT took it down */
    if (unlikely(!v->hvm->xstate_live)) xstate_load(v->hvm);
    deliver(v);
    hvm->enter(v);
}
