/* SPDX-License-Identifier: MIT */
/*
 * Per-CPU timers: one sorted list per CPU, its lock guards the list and the timers on it. A timer that is set
 * moves to the calling CPU, because only that CPU can program its own timer hardware.
 */
#include "cpu/percpu.h"
#include "debug/console.h"
#include "sync/sync.h"
#include "time/time.h"

static struct spinlock locks[NR_CPUS] = { [0 ... NR_CPUS - 1] = SPINLOCK(RANK_TIMER) };

/* Timers run in one go; more must wait for the next window, so that callbacks which re-arm themselves in the past
 * cannot keep the CPU. */
#define RUN_MAX 64

/* The timer whose function each CPU runs right now. */
static struct timer *running[NR_CPUS];

static struct list *queue(unsigned cpu)
{
    struct list *l = &cpus[cpu]->timer.list;
    if (!l->next) {                 /* zeroed struct cpu */
        list_init(l);
        cpus[cpu]->timer.armed_ns = ~0ULL;
    }
    return l;
}

static u64 next_locked(unsigned cpu)
{
    struct list *q = queue(cpu);
    return list_empty(q) ? ~0ULL : list_entry(q->next, struct timer, node)->expires_ns;
}

/* Program this CPU's hardware for its earliest timer. Firing too early is harmless, so it is never put off. */
static void arm_locked(void)
{
    struct cpu *c = this_cpu();
    u64 next = next_locked(c->id);
    if (next < c->timer.armed_ns) {
        c->timer.armed_ns = next;
        timer_hw_set(next);
    }
}

void timer_init(struct timer *t, void (*fn)(void *), void *arg)
{
    list_init(&t->node);
    t->expires_ns = 0;
    t->fn = fn;
    t->arg = arg;
    t->cpu = 0;                     /* whose lock guards it: any CPU will do until it is set */
    t->active = false;
}

/* Lock the queue t is on and that of `me` (lower CPU first). Returns the former's CPU. */
static unsigned lock_both(struct timer *t, unsigned me)
{
    for (;;) {
        unsigned c = read_once(&t->cpu);
        spin_lock(&locks[MIN(c, me)]);
        if (c != me)
            spin_lock_nested(&locks[MAX(c, me)]);
        if (read_once(&t->cpu) == c)
            return c;
        if (c != me)
            spin_unlock(&locks[MAX(c, me)]);
        spin_unlock(&locks[MIN(c, me)]);
    }
}

void timer_set(struct timer *t, u64 expires_ns)
{
    unsigned me = this_cpu()->id, old = lock_both(t, me);
    if (t->active)
        list_del(&t->node);
    t->active = true;
    t->expires_ns = expires_ns;
    write_once(&t->cpu, me);
    struct list *q = queue(me), *p;
    for (p = q->prev; p != q; p = p->prev)      /* equal times keep their order */
        if (list_entry(p, struct timer, node)->expires_ns <= expires_ns)
            break;
    list_add(p, &t->node);
    arm_locked();
    if (old != me)
        spin_unlock(&locks[MAX(old, me)]);
    spin_unlock(&locks[MIN(old, me)]);
}

void timer_stop(struct timer *t)
{
    for (;;) {
        unsigned c = read_once(&t->cpu);
        spin_lock(&locks[c]);
        bool here = read_once(&t->cpu) == c;
        if (here && t->active) {
            list_del(&t->node);
            t->active = false;      /* the hardware may fire for nothing */
        }
        spin_unlock(&locks[c]);
        if (here)
            return;
    }
}

void timer_stop_sync(struct timer *t)
{
    for (unsigned cpu = 0; cpu < nr_cpus; cpu++) {
        timer_stop(t);
        while (cpu != this_cpu()->id && load_acquire(&running[cpu]) == t)
            cpu_relax();
    }
    timer_stop(t);                  /* its last run may have set it again */
}

void timer_run(void)
{
    unsigned me = this_cpu()->id;
    u64 now = now_ns();
    for (unsigned n = 0; n < RUN_MAX; n++) {
        spin_lock(&locks[me]);
        struct list *q = queue(me);
        struct timer *t = list_empty(q) ? NULL : list_entry(q->next, struct timer, node);
        if (!t || t->expires_ns > now) {
            spin_unlock(&locks[me]);
            break;
        }
        list_del(&t->node);
        t->active = false;
        write_once(&running[me], t);
        void (*fn)(void *) = t->fn;
        void *arg = t->arg;
        spin_unlock(&locks[me]);
        fn(arg);                    /* may free t or set it again */
        store_release(&running[me], NULL);
    }
    spin_lock(&locks[me]);
    this_cpu()->timer.armed_ns = ~0ULL;         /* whatever was armed has fired or is superseded */
    arm_locked();
    spin_unlock(&locks[me]);
}

/* ---- debug key 'a' ---- */
#define DUMP_MAX 16                 /* timers of one CPU; the rest is counted */

static void dump_queue(unsigned cpu)
{
    struct timer t[DUMP_MAX];
    unsigned n = 0;
    struct list *l;
    u64 offset;
    spin_lock(&locks[cpu]);
    u64 now = now_ns();
    list_for_each(l, queue(cpu)) {
        if (n < DUMP_MAX) t[n] = *list_entry(l, struct timer, node);
        n++;
    }
    spin_unlock(&locks[cpu]);
    printk(LOG_ERR, "CPU%u: %u timers\n", cpu, n);
    for (unsigned i = 0; i < MIN(n, (unsigned)DUMP_MAX); i++) {
        const char *name = symbol_lookup((u64)t[i].fn, &offset);
        printk(LOG_ERR, "  in %8ld us: %s(%lx)\n", (s64)(t[i].expires_ns - now) / 1000, name, (u64)t[i].arg);
    }
    if (n > DUMP_MAX) printk(LOG_ERR, "  and %u later ones\n", n - DUMP_MAX);
}

void timer_dump(void)
{
    for (unsigned i = 0; i < nr_cpus; i++) dump_queue(i);
}
DEBUG_KEY(timers, 'a', "timers of all CPUs", timer_dump);
