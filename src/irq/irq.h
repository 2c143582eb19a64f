/* SPDX-License-Identifier: MIT */
/* Host interrupts: vectors, the interrupt window, IPIs, GSIs and MSI. Implemented by src/irq and src/cpu. */
#pragma once
#include "lib/types.h"

/* Vector map. Guest-bound device interrupts come from the dynamic range, below the system vectors. */
enum {
    VEC_DYNAMIC_FIRST = 0x30, VEC_DYNAMIC_LAST = 0xdf,
    VEC_SERIAL = 0xe8,
    VEC_KICK = 0xf0,        /* empty handler: only forces an exit from guest mode */
    VEC_CALL = 0xf1,        /* run smp_call functions */
    VEC_TIMER = 0xf8,
    VEC_ERROR = 0xfe, VEC_SPURIOUS = 0xff,
};

typedef void (*irq_fn)(void *arg, unsigned vector);

/* Let pending host interrupts in (sti; nop; cli). No lock may be held. Returns true if one was handled. */
bool irq_window(void);
/* Wait for an interrupt with interrupts enabled atomically (sti; hlt; cli). */
void irq_idle(void);
/* Make `cpu` leave guest mode or its idle halt soon. */
void smp_kick(unsigned cpu);
/* Run fn(arg) on every online CPU (this one too) and wait. Boot time only. */
void smp_call_all(void (*fn)(void *), void *arg);

/* Allocate / free a dynamic vector with a handler; the vector is valid on all CPUs. -ENOSPC if none is left. */
int irq_vector_alloc(irq_fn fn, void *arg) __must_check;
void irq_vector_free(unsigned vector);

/* Handler of one of the fixed system vectors above (VEC_SERIAL, VEC_CALL, ...). */
void irq_set_handler(unsigned vector, irq_fn fn, void *arg);
/* gsi_eoi() for the GSI that is routed to this vector, if any. */
void irq_vector_eoi_gsi(unsigned vector);
/* BSP, after hostmap, RAM and ACPI: 8259s off, vectors, LAPIC, IO-APICs all masked. */
void irq_init(void);
/* From the entry stub: acknowledge and run the handler. */
void irq_dispatch(unsigned vector);
/* Debug key 'i'. */
void irq_dump(void);

/* Physical GSIs (IO-APIC). */
struct gsi_info { bool exists; bool level; bool active_low; };
unsigned gsi_count(void);
/* Route GSI to `vector` on CPU `cpu`; level/active_low as given; masked until gsi_mask(). -EINVAL: no such GSI, or
 * the vector has another one; -EBUSY: the hypervisor itself uses this GSI. */
int gsi_setup(unsigned gsi, unsigned vector, bool level, bool active_low, unsigned cpu) __must_check;
void gsi_mask(unsigned gsi, bool masked);
/* Finish a level interrupt that was acknowledged at the LAPIC but kept masked by the IO-APIC's remote IRR:
 * handlers of level GSIs leave the LAPIC EOI to this call (from any CPU: done by directed re-arm). */
void gsi_eoi(unsigned gsi);
/* Let the PCI function `requester` raise `vector` at `cpu`, and tell the message that does it. 0, or why the IOMMU's
 * tables have no place for it, as remap_allow(); nothing has changed then. */
int msi_route(u16 requester, unsigned vector, unsigned cpu, u64 *addr, u32 *data) __must_check;
/* The function cannot raise it any more when this returns. Before irq_vector_free(). */
void msi_unroute(u16 requester, unsigned vector);

/* One physical IO-APIC as found in the MADT. requester: its id for the IOMMU, known if interrupts are remapped. */
struct ioapic_info { u8 id; u8 nr_pins; u8 version; u16 requester; u32 gsi_base; u64 paddr; };
#define MAX_IOAPICS 32              /* servers have one in the chipset and one per root complex: 9 on two-socket EPYC */
extern struct ioapic_info ioapics[MAX_IOAPICS];
extern unsigned nr_ioapics;
/* Interrupt source overrides from the MADT (ISA irq -> GSI). */
struct irq_override { u8 bus_irq; u16 flags; u32 gsi; };
extern struct irq_override irq_overrides[16];
extern unsigned nr_irq_overrides;
