/* SPDX-License-Identifier: MIT */
/*
 * Each interrupt arrives exactly once, whatever the machine does meanwhile. Two vCPUs (dom0_max_vcpus=2) compute all the
 * time, and the handler too, with IF clear and without an exit. When QEMU runs both CPUs in one thread it breaks in every
 * 100 ms; its VMRUN would then deliver the injected interrupt a second time (src/hvm/svm/svm.c).
 */
#include "guest.h"

const char test_name[] = "once";
#define ROUNDS 1500u
#define HANDLER_TICKS 3000000UL

static u8 stack[16384] __attribute__((aligned(16)));
static volatile unsigned irqs, ap_runs, interrupted_handlers;
static volatile bool in_handler;

static void on_ipi(struct frame *f)
{
    irqs++;
    if (in_handler) {
        interrupted_handlers++;
        return;
    }
    in_handler = true;
    for (u64 end = rdtsc() + HANDLER_TICKS; rdtsc() < end;) ;
    in_handler = false;
    mmio_write(LAPIC + 0xb0, 0);
}

static void ap_main(void)
{
    ap_runs = 1;
    for (;;) __asm__ volatile("" ::: "memory");
}

void test_main(void)
{
    trap_set(0x41, on_ipi);
    mmio_write(LAPIC + 0xf0, 0x1ff);
    expect(ap_start(1, ap_main, stack + sizeof(stack)));
    for (u64 end = rdtsc() + PATIENCE_TICKS; !ap_runs && rdtsc() < end;) ;
    expect_eq(ap_runs, 1);
    sti();
    for (unsigned i = 0; i < ROUNDS; i++) mmio_write(LAPIC + 0x300, 0x44041);       /* to itself */
    cli();
    expect_eq(irqs, ROUNDS);
    expect_eq(interrupted_handlers, 0);
}
