/* SPDX-License-Identifier: MIT */
/* Debug keys about domains and memory. Nothing is locked across a domain: the numbers may move while they print. */
#include "debug/internal.h"
#include "dom/domain.h"
#include "evtchn/evtchn.h"
#include "gnttab/gnttab.h"
#include "hvm/hvm.h"
#include "mm/mm.h"
#include "mm/p2m.h"
#include "sched/sched.h"

static void each_domain(void (*fn)(struct domain *d))
{
    u16 id = 0;
    for (struct domain *d; (d = get_domain_from(id)) != NULL; ) {
        fn(d);
        id = d->id + 1;
        put_domain(d);
        if (!id)
            break;
    }
}

static void print_domain(struct domain *d)
{
    static const char *const states[] = { "alive", "dying", "dead" };
    struct vcpu *v;
    printk(LOG_ERR, "d%u: %s%s%s, refs %u, paused %u, %lu pages of %lu, %lu given up but referenced\n", d->id,
           states[d->state], d->is_priv ? ", privileged" : "", d->shut_down ? ", shut down" : "", d->refs,
           d->pause_count, d->tot_pages, d->max_pages, d->zombie_pages);
    if (d->p2m)
        printk(LOG_ERR, "  paging pool %lu KiB, shutdown code %u\n", p2m_pool_get(d) >> 10, d->shutdown_code);
    for_each_vcpu(d, v)
        printk(LOG_ERR, "  v%u: CPU%u%s%s%s, paused %u, rip %016lx, ran %lu ms\n", v->id, v->cpu,
               v->running ? " running" : "", v->flags & VF_DOWN ? " down" : "",
               v->flags & VF_BLOCKED ? " blocked" : "", v->pause_count, v->regs.rip, vcpu_cpu_time_ns(v) / 1000000);
}
static void key_domains(void) { each_domain(print_domain); }
DEBUG_KEY(domains, 'q', "domains and vCPUs", key_domains);

static void key_evtchn(void) { each_domain(evtchn_dump); }
DEBUG_KEY(evtchn, 'e', "event channels", key_evtchn);

static void key_gnttab(void) { each_domain(gnttab_dump); }
DEBUG_KEY(gnttab, 'g', "grant tables", key_gnttab);

static void key_sched(void)
{
    sched_dump_cpus();
    each_domain(sched_dump);
}
DEBUG_KEY(sched, 'r', "run queue, weights and caps", key_sched);

static void print_state(struct domain *d)
{
    struct vcpu *v;
    for_each_vcpu(d, v) {
        printk(LOG_ERR, "d%uv%u%s\n", d->id, v->id, v->running ? ", running: as of its last exit" : "");
        hvm->dump(v);
    }
}
static void key_state(void) { each_domain(print_state); }
DEBUG_KEY(state, 'v', "state of vCPUs, control blocks", key_state);

static void key_memory(void)
{
    printk(LOG_ERR, "RAM: %lu MiB, free for domains %lu KiB, hypervisor heap %lu KiB, highest frame 0x%lx\n",
           ram_total_pages() >> 8, ram_free_pages() << 2, heap_pages_used() << 2, ram_max_mfn());
}
DEBUG_KEY(memory, 'm', "memory", key_memory);
