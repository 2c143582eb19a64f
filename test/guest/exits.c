/* SPDX-License-Identifier: MIT */
/* Cost of exits, as TSC pairs with the empty pair subtracted. Under QEMU -icount shift=0 these are instructions. */
#include "guest.h"

const char test_name[] = "exits";
#define ROUNDS 257

static u64 samples[ROUNDS], empty;

static void sort(void)
{
    for (unsigned i = 1; i < ROUNDS; i++)
        for (unsigned j = i; j && samples[j] < samples[j - 1]; j--) {
            u64 t = samples[j];
            samples[j] = samples[j - 1];
            samples[j - 1] = t;
        }
}

#define MEASURE(name, stmt) do { \
    for (unsigned w_ = 0; w_ < 16; w_++) { stmt; } \
    for (unsigned i_ = 0; i_ < ROUNDS; i_++) { \
        u64 t_ = rdtsc(); stmt; samples[i_] = rdtsc() - t_ - empty; } \
    sort(); \
    print("EXIT %-24s min %6lu median %6lu max %6lu\n", name, samples[0], samples[ROUNDS / 2], samples[ROUNDS - 1]); \
} while (0)

void test_main(void)
{
    u32 r[4];
    u64 v;
    MEASURE("empty", ;);
    empty = samples[0];
    MEASURE("port 0x80 write", outb(0x80, 0));
    MEASURE("port 0x61 read", inb(0x61));
    MEASURE("port 0x42 read", inb(0x42));
    MEASURE("xen_version", hc_xen_version(0, NULL));
    MEASURE("invalid hypercall", hypercall0(55));
    MEASURE("cpuid 0", cpuid(0, 0, r));
    MEASURE("cpuid 1", cpuid(1, 0, r));
    MEASURE("rdmsr APIC_BASE", v = rdmsr(0x1b));
    MEASURE("rdmsr EFER", v = rdmsr(0xc0000080));
    MEASURE("write cr4", __asm__ volatile("mov %0, %%cr4" :: "r"(read_cr4())));
    MEASURE("LAPIC TPR read", mmio_read(LAPIC + 0x80));
    MEASURE("LAPIC TPR write", mmio_write(LAPIC + 0x80, 0));
    MEASURE("LAPIC EOI", mmio_write(LAPIC + 0xb0, 0));
    struct sched_remote_shutdown dummy;
    (void)dummy;
    MEASURE("yield", hc_sched_op(SCHEDOP_yield, NULL));
    (void)v;
}
