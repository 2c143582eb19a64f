/* SPDX-License-Identifier: MIT */
/* Descriptor tables, per-CPU areas and stacks. */
#include "cpu/internal.h"
#include "cpu/trap.h"
#include "mm/hostmap.h"
#include "mm/mm.h"

struct cpu *cpus[NR_CPUS];
unsigned nr_cpus;

void ist_set(struct cpu *c, unsigned ist, void *stack, size_t size)
{
    struct cpu_arch *a = c->arch;
    struct cpu **top = (struct cpu **)((char *)stack + size - 16);
    *top = c;
    a->tss.ist[ist - 1] = (u64)top;
}

void desc_prepare(struct cpu *c)
{
    struct cpu_arch *a = c->arch;
    u64 base = (u64)&a->tss, limit = sizeof(a->tss) - 1;
    a->gdt[SEL_CODE / 8] = 0x00af9b000000ffffULL;
    a->gdt[SEL_DATA / 8] = 0x00cf93000000ffffULL;
    /* Available 64-bit TSS, type 9 (SDM vol. 3, 7.2.3). */
    a->gdt[SEL_TSS / 8] = limit | (base & 0xffffff) << 16 | 0x89ULL << 40 | (base >> 24 & 0xff) << 56;
    a->gdt[SEL_TSS / 8 + 1] = base >> 32;
    a->tss.iomap = sizeof(a->tss);
}

void desc_load(struct cpu *c)
{
    struct cpu_arch *a = c->arch;
    struct desc_ptr gdtr = { sizeof(a->gdt) - 1, (u64)a->gdt };
    lgdt(&gdtr);
    /* CS by a far return; the other selectors are only loaded so that they are ours. FS and GS null, then bases. */
    __asm__ volatile("pushq %0\n\tleaq 1f(%%rip), %%rax\n\tpushq %%rax\n\tlretq\n1:\n\t"
                     "movl %1, %%ds\n\tmovl %1, %%es\n\tmovl %1, %%ss\n\tmovl %2, %%fs\n\tmovl %2, %%gs\n\t"
                     :: "i"(SEL_CODE), "r"(SEL_DATA), "r"(0) : "rax", "memory");
    wrmsr(MSR_FS_BASE, 0);
    wrmsr(MSR_GS_BASE, (u64)c);
    wrmsr(MSR_KERNEL_GS_BASE, 0);
    lldt(0);
    a->gdt[SEL_TSS / 8] &= ~(2ULL << 40);       /* not busy: it may be loaded again */
    ltr(SEL_TSS);
    idt_load();
}

static void *guarded_stack(unsigned order)
{
    void *pages = pages_alloc(order);
    void *va = pages ? stack_map(pages, order) : NULL;
    if (pages && !va)
        pages_free(pages, order);
    return va;
}

bool cpu_stacks_alloc(struct cpu *c)
{
    void *stack[1 + IST_NR];
    for (unsigned i = 0; i <= IST_NR; i++)
        if (!(stack[i] = guarded_stack(i ? IST_ORDER : STACK_ORDER)))
            return false;           /* boot time only: what was mapped stays */
    struct cpu_arch *a = c->arch;
    memcpy(a->stack, stack, sizeof(stack));
    for (unsigned i = 1; i <= IST_NR; i++)
        ist_set(c, i, stack[i], PAGE_SIZE << IST_ORDER);
    c->stack_top = (char *)stack[0] + (PAGE_SIZE << STACK_ORDER);
    return true;
}

struct cpu *cpu_alloc(unsigned id, u32 apic_id, u32 acpi_id)
{
    struct cpu *c = kzalloc(sizeof(*c));
    struct cpu_arch *a = kzalloc(sizeof(*a));
    if (!c || !a)
        goto fail;
    c->self = c;
    c->id = id;
    c->apic_id = apic_id;
    c->acpi_id = acpi_id;
    c->arch = a;
    list_init(&c->timer.list);
    c->timer.armed_ns = ~0ULL;
    desc_prepare(c);
    if (cpu_stacks_alloc(c))
        return c;
fail:
    kfree(c);
    kfree(a);
    return NULL;
}
