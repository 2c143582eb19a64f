/* SPDX-License-Identifier: MIT */
/*
 * Watchdog of the host (options watchdog, watchdog_timeout): a CPU that hangs in the hypervisor with interrupts off
 * takes the machine with it, and says nothing. Each CPU counts its ticks, one per second, and looks at the count of the
 * next CPU. If that stood still for watchdog_timeout of its own ticks, it sends the other one an NMI, and the NMI's
 * handler panics with the registers and the stack of the place. A CPU that waits for another one (cpu_relax()) has no
 * ticks, but looks on. Ticks are compared, not times: when the whole machine stood still for a while, nobody is to
 * blame.
 *
 * No performance counter is used, so it needs a second CPU, and works in virtual machines.
 */
#include "boot/cmdline.h"
#include "cpu/cpu.h"
#include "cpu/trap.h"
#include "debug/internal.h"
#include "irq/irq.h"
#include "mm/mm.h"
#include "time/time.h"

#define TICK_NS 1000000000UL

struct dog {
    struct timer timer;
    u32 ticks;                      /* this CPU's; the CPU before looks at them */
    u32 seen, same;                 /* the next CPU's ticks at the last look; for how many looks they were the same */
    u64 looked_ns;
};
static struct dog *dogs;            /* one for each CPU */
bool watchdog_on;

static bool enabled;
static u64 timeout = 5;
static int opt_watchdog(const char *value)
{
    if (*value && strcmp(value, "force")) return cmdline_bool(&enabled, value);
    enabled = true;
    return 0;
}
BOOT_OPTION(watchdog, "watchdog", OPT_CUSTOM, 0, NULL, opt_watchdog,
            "panic when a CPU hangs in the hypervisor, found by the CPU before it; force: the same");
BOOT_OPTION(watchdog_timeout, "watchdog_timeout", OPT_UINT, 0, &timeout, NULL, "seconds until then; 0: no watchdog");

/* On the CPU that hangs. */
static void bark(void)
{
    panic_at(nmi_frame(), "Watchdog: CPU%u handled no timer interrupt for %lu seconds\n", this_cpu()->id, timeout);
}

static void look(struct dog *d)
{
    unsigned next = (unsigned)(d - dogs + 1) % nr_cpus;
    u32 ticks = read_once(&dogs[next].ticks);

    d->looked_ns = now_ns();
    d->same = ticks == d->seen ? d->same + 1 : 0;
    d->seen = ticks;
    if (d->same <= timeout) return;
    d->same = 0;
    if (!smp_nmi_call(next, bark))
        panic("Watchdog: CPU%u handled no timer interrupt for %lu seconds, and no NMI\n", next, timeout);
}

static void tick(void *arg)
{
    struct dog *d = arg;
    write_once(&d->ticks, d->ticks + 1);
    timer_set(&d->timer, now_ns() + TICK_NS);
    look(d);
}

void watchdog_wait(void)
{
    struct dog *d = &dogs[this_cpu()->id];
    if (now_ns() - d->looked_ns > 2 * TICK_NS) look(d);
}

void watchdog_touch(void)
{
    if (watchdog_on) {
        struct dog *d = &dogs[this_cpu()->id];
        write_once(&d->ticks, d->ticks + 1);
    }
}

static void start(void *arg)
{
    struct dog *d = &dogs[this_cpu()->id];
    d->looked_ns = now_ns();
    timer_init(&d->timer, tick, d);
    timer_set(&d->timer, now_ns() + TICK_NS);
}

void watchdog_init(void)
{
    if (!enabled || !timeout) return;
    struct dog *all = nr_cpus > 1 ? kzalloc(nr_cpus * sizeof(*dogs)) : NULL;
    if (!all) {
        printk(LOG_WARN, "Watchdog: off, %s\n",
               nr_cpus > 1 ? "no memory" : "there is no second CPU to look at the first");
        return;
    }
    dogs = all;
    smp_call_all(start, NULL);
    store_release(&watchdog_on, true);
    printk(LOG_INFO, "Watchdog: on, %lu seconds\n", timeout);
}
