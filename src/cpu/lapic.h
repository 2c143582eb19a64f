/* SPDX-License-Identifier: MIT */
/* The host's local APICs, xAPIC or x2APIC mode, and their timer. */
#pragma once
#include "lib/types.h"

/* BSP: choose the mode (x2apic=), map the registers, set this one up. Panics if it cannot be used. */
void lapic_init(void);
void lapic_init_ap(void);
void lapic_eoi(void);
/* Write the TPR, which is always 0, once more: the local APIC looks again at what is pending. */
void lapic_recheck(void);
u32 lapic_id(void);
extern bool lapic_x2apic;
/* Highest APIC id that IPIs and messages can reach in this mode. */
u32 lapic_max_id(void);

/* IPI to one CPU: mode in ICR form. */
enum { ICR_FIXED = 0, ICR_NMI = 4 << 8, ICR_INIT = 5 << 8, ICR_STARTUP = 6 << 8, ICR_ASSERT = 1 << 14 };
void lapic_send(u32 apic_id, u32 mode_vector);

/* Calibration: free-running count down from 2^32-1 without interrupt, and the current count. */
void lapic_timer_free_run(void);
u32 lapic_timer_count(void);
/* Frequency measured; false: use nothing but the TSC deadline. Selects the mode, logs it. */
void lapic_timer_ready(u32 khz);
/* CPU has the deadline mode (no calibration needed). */
bool lapic_has_deadline(void);
/* Disarm and program the LVT on this CPU. */
void lapic_timer_start_cpu(void);
