/* SPDX-License-Identifier: MIT */
/*
 * Event-channel upcalls and wake-up conditions.
 *
 *   HVMOP_set_evtchn_upcall_vector   edge, through the local APIC, when upcall_pending goes from 0 to 1
 *   callback type 2 (vector)         injected without the APIC, again and again while upcall_pending is set
 *   callback types 0, 1 (GSI, INTx)  accepted and kept: value 1 marks a guest as enlightened for the toolstack
 *                                    (public/hvm/params.h); no line is raised
 */
#include "hvm/hvm_vcpu.h"
#include "hvm/vlapic.h"
#include "cpu/x86.h"
#include "evtchn/evtchn.h"
#include "sched/sched.h"

void hvm_upcall(struct vcpu *v)
{
    u8 vector = read_once(&v->upcall_vector);
    if (vector)
        vlapic_set_irq(v, vector, false);
    else
        vcpu_kick(v);
}

int hvm_callback_pending(struct vcpu *v)
{
    u8 vector = v->dom->hvm->callback_vector;
    if (!vector || v->upcall_vector || !vcpu_info_pending(v)) return -1;
    return vector;
}

int hvm_set_callback(struct domain *d, u64 value)
{
    u8 type = (u8)(value >> 56), vector = (u8)value;
    if (type > HVM_PARAM_CALLBACK_TYPE_VECTOR) return -EINVAL;
    if (type == HVM_PARAM_CALLBACK_TYPE_VECTOR && vector < 16) return -EINVAL;
    d->hvm->callback_type = type;
    d->hvm->callback_vector = type == HVM_PARAM_CALLBACK_TYPE_VECTOR ? vector : 0;
    /* An upcall that is already pending is level-like for the vector type: look again. */
    struct vcpu *v;
    if (d->hvm->callback_vector)
        for_each_vcpu(d, v)
            if (vcpu_info_pending(v)) vcpu_kick(v);
    return 0;
}

/* A maskable interrupt ends HLT only with RFLAGS.IF; NMI, INIT and SIPI always do. */
bool hvm_has_pending(struct vcpu *v)
{
    if (read_once(&v->hvm->nmi_pending) || hvm->event_queued(v)) return true;
    if (v->regs.rflags & RFLAGS_IF) return vlapic_has_event(v) || hvm_callback_pending(v) >= 0;
    return vlapic_has_request(v);
}
