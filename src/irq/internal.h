/* SPDX-License-Identifier: MIT */
/* Private to src/irq. */
#pragma once
#include "irq/irq.h"

void ioapic_init(void);             /* map all, mask every pin */
/* A level-triggered GSI is routed to `vector`: mask its pin until gsi_eoi(). Before the LAPIC EOI. */
void ioapic_ack_level(unsigned vector);
/* The vector was freed: it has no GSI any more. */
void ioapic_forget_vector(unsigned vector);
/* GSI routed to this vector, -1 if none. */
int ioapic_vector_gsi(unsigned vector);
void ioapic_dump(void);
