/* SPDX-License-Identifier: MIT */
/* Private to src/cpu: descriptor tables and stacks of one CPU. */
#pragma once
#include "cpu/cpu.h"
#include "cpu/x86.h"

struct tss {
    u32 reserved0;
    u64 rsp[3];
    u64 reserved1;
    u64 ist[7];
    u64 reserved2;
    u16 reserved3, iomap;
} __packed;
STATIC_ASSERT(sizeof(struct tss) == 104);

#define STACK_ORDER 2               /* 16 KiB; assembly and stack dumps rely on nothing but the top */
#define IST_ORDER 1                 /* 8 KiB each: printk from an NMI fits */

struct cpu_arch {
    u64 gdt[5];                     /* null, code, data, TSS (2) */
    struct tss tss;
    void *stack[1 + IST_NR];        /* lowest addresses, [0] main stack; NULL on the boot stacks */
};

/* The top 16 bytes of every IST stack hold its CPU's struct cpu: the entry code finds GS base there. */
void ist_set(struct cpu *c, unsigned ist, void *stack, size_t size);
/* Fill GDT and TSS of c. */
void desc_prepare(struct cpu *c);
/* Load GDT, IDT, TSS and GS base of c on the executing CPU. */
void desc_load(struct cpu *c);
/* Struct cpu with guarded stacks; NULL if out of memory. Not yet in cpus[]. */
struct cpu *cpu_alloc(unsigned id, u32 apic_id, u32 acpi_id);
/* Guarded stacks for an existing c (the BSP). False if out of memory. */
bool cpu_stacks_alloc(struct cpu *c);

void cpuid_init(void);              /* host, host_features, table of leaves */
/* The executing CPU lacks features the BSP has: returns the first such word, -1 if none. */
int cpuid_compare_ap(u32 *missing);

void errata_fix(void);              /* on every CPU, after its microcode */

void ap_main(struct cpu *c) __noreturn;
