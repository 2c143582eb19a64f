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

void tlb_flush_domain(struct domain *d)
{
    u64 gen = atomic_add(&d->tlb_gen, 1) + 1;
    struct cpu *self = this_cpu();
    struct vcpu *v;
    bool any = false;

    smp_mb();
    for_each_vcpu(d, v) {
        unsigned n = read_once(&v->cpu);
        struct cpu *c = n < nr_cpus ? cpus[n] : NULL;
        if (c && c != self && runs_stale(c, v, gen)) {
            smp_kick(n);
            any = true;
        }
    }
    if (!any)
        return;
    for_each_vcpu(d, v) {
        unsigned n = read_once(&v->cpu);
        struct cpu *c = n < nr_cpus ? cpus[n] : NULL;
        while (c && c != self && runs_stale(c, v, gen))
            cpu_relax();
    }
}
