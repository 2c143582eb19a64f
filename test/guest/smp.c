/* SPDX-License-Identifier: MIT */
/* Two vCPUs (dom0_max_vcpus=2): INIT and SIPI, IPIs both ways, wake-up from HLT, TLB flush while the other runs, down
 * by INIT and up again. */
#include "guest.h"

const char test_name[] = "smp";
static u8 stack[16384] __attribute__((aligned(16)));
static volatile unsigned ap_irqs, bsp_irqs, ap_runs, ap_spins;
static volatile bool stop;

static unsigned apic_id(void) { return mmio_read(LAPIC + 0x20) >> 24; }

static void on_ipi(struct frame *f)
{
    if (apic_id()) ap_irqs++; else bsp_irqs++;
    mmio_write(LAPIC + 0xb0, 0);
}

static void ipi(unsigned id)
{
    mmio_write(LAPIC + 0x310, id << 24);
    mmio_write(LAPIC + 0x300, 0x4041);
}

/* Answers every IPI with one. The next may come before this one's answer returns: counted, not compared. */
static void ap_main(void)
{
    unsigned answered = ap_irqs;
    mmio_write(LAPIC + 0xf0, 0x1ff);
    ap_runs++;                      /* ready: before, the APIC drops IPIs */
    while (!stop) {
        cli();
        if (ap_irqs == answered) __asm__ volatile("sti; hlt" ::: "memory");
        sti();
        for (; answered != ap_irqs; answered++) ipi(0);
    }
    for (;;) ap_spins++;            /* never exits by itself */
}

static bool wait_for(volatile unsigned *p, unsigned value)
{
    for (u64 end = rdtsc() + PATIENCE_TICKS; *p != value && rdtsc() < end;) __asm__ volatile("pause");
    return *p == value;
}

void test_main(void)
{
    trap_set(0x41, on_ipi);
    mmio_write(LAPIC + 0xf0, 0x1ff);
    sti();
    expect(ap_start(1, ap_main, stack + sizeof(stack)));
    expect(wait_for(&ap_runs, 1));
    for (unsigned i = 1; i <= 100; i++) {
        ipi(2);
        expect(wait_for(&bsp_irqs, i));
    }
    expect_eq(ap_irqs, 100);
    print("100 round trips\n");
    stop = true;
    ipi(2);
    unsigned s = ap_spins;
    for (u64 end = rdtsc() + PATIENCE_TICKS; ap_spins == s && rdtsc() < end;) ;
    expect(ap_spins != s);
    for (unsigned i = 0; i < 20; i++) {                 /* flushes must reach the spinning vCPU */
        xen_pfn_t gfn = 0x400 + i;
        struct xen_memory_reservation r = { .nr_extents = 1, .domid = DOMID_SELF };
        set_xen_guest_handle(r.extent_start, &gfn);
        expect_eq(hc_memory_op(XENMEM_decrease_reservation, &r), 1);
    }
    print("20 flushes\n");
    mmio_write(LAPIC + 0x310, 2 << 24);
    mmio_write(LAPIC + 0x300, 0x4500);                  /* INIT: it stops */
    bool stopped = false;
    for (u64 end = rdtsc() + PATIENCE_TICKS; !stopped && rdtsc() < end; stopped = ap_spins == s) {
        s = ap_spins;
        for (volatile int i = 0; i < 1000000; i++) ;
    }
    expect(stopped);
    stop = false;
    unsigned runs = ap_runs;
    expect(ap_start(1, ap_main, stack + sizeof(stack)));
    expect(wait_for(&ap_runs, runs + 1));
    unsigned b = bsp_irqs;
    ipi(2);
    expect(wait_for(&bsp_irqs, b + 1));
}
