/* SPDX-License-Identifier: MIT */
/* Virtual local APIC (xAPIC page at 0xFEE00000 and x2APIC MSRs), timer, IPIs. APIC id = 2 * vcpu id. */
#pragma once
#include "hvm/hvm.h"

int vlapic_init(struct vcpu *v) __must_check;
void vlapic_destroy(struct vcpu *v);
void vlapic_reset(struct vcpu *v);                  /* INIT */
/* Post an interrupt; level: needs EOI broadcast to the virtual IO-APIC. Kicks v. Vectors < 16 set ESR. */
void vlapic_set_irq(struct vcpu *v, u8 vector, bool level);
/* Highest deliverable vector (IRR above PPR), or -1. */
int vlapic_pending(struct vcpu *v);
/* Like vlapic_pending() but for waking from HLT: also pending INIT / SIPI / NMI. */
bool vlapic_has_event(struct vcpu *v);
/* INIT, SIPI or NMI only: they end HLT also with interrupts disabled and whatever IRR holds. */
bool vlapic_has_request(struct vcpu *v);
/* The vector is being injected: IRR -> ISR. */
void vlapic_ack(struct vcpu *v, u8 vector);
/* TPR changed by CR8 or the vendor's V_TPR. */
void vlapic_set_tpr(struct vcpu *v, u8 tpr);
u8 vlapic_get_tpr(struct vcpu *v);
/* INIT, SIPI and NMI that were sent to v are carried out here, on its own CPU before entry. The caller looks at
 * v->flags again afterwards: INIT without SIPI leaves v down (VF_DOWN, this_cpu()->resched set). */
void vlapic_handle_requests(struct vcpu *v);
/* MSR interface: APIC_BASE (0x1B), TSC_DEADLINE (0x6E0), 0x800-0x8FF. -ENOENT: not an APIC MSR, -EINVAL: #GP. */
int vlapic_rdmsr(struct vcpu *v, u32 msr, u64 *val) __must_check;
int vlapic_wrmsr(struct vcpu *v, u32 msr, u64 val) __must_check;
/* Fast path for the page fault on the APIC page: offset within page, 32-bit. */
u32 vlapic_read_reg(struct vcpu *v, unsigned offset);
void vlapic_write_reg(struct vcpu *v, unsigned offset, u32 val);
/* Is gpa inside v's (enabled, xAPIC-mode) APIC page? */
bool vlapic_covers(struct vcpu *v, gpa_t gpa);
/* Deliver a message (MSI, IO-APIC, IPI): dest in xAPIC/x2APIC form. delivery: 0 fixed, 1 lowest, 2 SMI, 4 NMI,
 * 5 INIT, 6 SIPI, 7 ExtINT. */
void vlapic_deliver(struct domain *d, u32 dest, bool logical, unsigned delivery, u8 vector, bool level);
/* MSI write as a device does it. */
void vlapic_msi(struct domain *d, u64 addr, u32 data);
bool vlapic_x2apic(struct vcpu *v);
/* HVM context records LAPIC (hidden) and LAPIC_REGS. */
struct hvm_hw_lapic; struct hvm_hw_lapic_regs;
void vlapic_save(struct vcpu *v, struct hvm_hw_lapic *h, struct hvm_hw_lapic_regs *r);
int vlapic_load_hidden(struct vcpu *v, const struct hvm_hw_lapic *h) __must_check;
int vlapic_load_regs(struct vcpu *v, const struct hvm_hw_lapic_regs *r) __must_check;

/* Virtual IO-APICs (dom0): one per physical one, same address and GSI base; binds physical GSIs on unmask. */
int vioapic_init(struct domain *d) __must_check;
void vioapic_destroy(struct domain *d);
void vioapic_eoi(struct domain *d, u8 vector);      /* EOI broadcast of a level interrupt */
/* An emulated device drives its line (HVM guests: one IO-APIC with 48 pins at 0xFEC00000). Nobody calls it yet: it waits for
 * device models, with its tests. */
void vioapic_set_irq(struct domain *d, unsigned gsi, bool asserted);
