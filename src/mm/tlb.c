/* SPDX-License-Identifier: MIT */
/* Flushing guest translations: see tlb.h for the protocol. The entry side sets in_guest, then (full barrier)
 * compares generations; this side bumps the generation, then (full barrier) looks at in_guest: one of them sees the
 * other. */
#include "cpu/percpu.h"
#include "dom/domain.h"
#include "irq/irq.h"
#include "mm/tlb.h"

/* CPU c executes v in guest mode with translations older than gen. */
static bool runs_stale(const struct cpu *c, const struct vcpu *v, u64 gen)
{
    return read_once(&c->curr) == v && read_once(&c->in_guest) && read_once(&v->tlb_gen) < gen;
}

/* The CPU other than this one that executes v with translations older than gen; NULL if none does. */
static inline struct cpu *stale_cpu(const struct vcpu *v, u64 gen)
{
    unsigned n = read_once(&v->cpu);

    if (n == this_cpu()->id || n >= nr_cpus)
        return NULL;
    struct cpu *c = cpus[n];
    return c && runs_stale(c, v, gen) ? c : NULL;
}

static __attribute__((noinline)) void wait_stale(struct domain *d, u64 gen)
{
    struct vcpu *v;

    for_each_vcpu(d, v)
        while (stale_cpu(v, gen))
            cpu_relax();
}

void tlb_flush_domain(struct domain *d)
{
    u64 gen = atomic_add(&d->tlb_gen, 1) + 1;
    struct vcpu *v;
    struct cpu *c;
    bool any = false;

    smp_mb();
    for_each_vcpu(d, v)
        if (unlikely((c = stale_cpu(v, gen)) != NULL)) {
            smp_kick(c->id);
            any = true;
        }
    if (any)
        wait_stale(d, gen);
}
