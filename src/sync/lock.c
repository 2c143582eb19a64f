/* SPDX-License-Identifier: MIT */
/*
 * Ticket locks. The word's low half is the ticket being served, the high half the next one to hand out, so CPUs
 * get the lock in the order in which they asked. Debug builds keep the list of locks each CPU holds and stop at
 * the first acquisition out of rank order, which is a deadlock waiting for its second half (I-11).
 */
#include "sync/sync.h"
#include "cpu/percpu.h"

#define TICKET (1u << 16)

#ifndef NDEBUG
static const char *const rank_names[RANK_NR] = {
    [RANK_DOMCTL] = "domctl", [RANK_DOMLIST] = "domlist", [RANK_DOMAIN] = "domain", [RANK_GNTTAB] = "gnttab",
    [RANK_GNTENTRY] = "gntentry", [RANK_MAPTRACK] = "maptrack", [RANK_P2M] = "p2m", [RANK_IOMMU] = "iommu",
    [RANK_PCI] = "pci", [RANK_EVTCHN] = "evtchn", [RANK_EVTCHN_FIFO] = "evtchn-fifo",
    [RANK_VIOAPIC] = "vioapic", [RANK_VLAPIC] = "vlapic", [RANK_IRQ] = "irq", [RANK_SCHED] = "sched",
    [RANK_TIMER] = "timer", [RANK_TIME] = "time", [RANK_RUNSTATE] = "runstate", [RANK_HOSTMAP] = "hostmap",
    [RANK_VPCI] = "vpci", [RANK_BLOCK] = "block", [RANK_HEAP] = "heap",
    [RANK_CONSOLE] = "console",
};

static const char *rank_name(const struct spinlock *l)
{
    return l->rank < RANK_NR && rank_names[l->rank] ? rank_names[l->rank] : "?";
}

/* Before waiting: an order violation must be told, not waited for. */
static void check_order(const struct spinlock *l, bool nested)
{
    struct cpu *c = this_cpu();

    if (!c)
        return;
    for (unsigned i = 0; i < c->nr_locks; i++) {
        const struct spinlock *held = c->locks[i];
        if (held == l)
            panic("lock %s taken twice\n", rank_name(l));
        if (held->rank > l->rank || (held->rank == l->rank && !nested))
            panic("lock %s taken while holding %s\n", rank_name(l), rank_name(held));
    }
}

static void note_taken(const struct spinlock *l)
{
    struct cpu *c = this_cpu();

    if (!c)
        return;
    if (c->nr_locks == ARRAY_SIZE(c->locks))
        panic("too many locks held\n");
    c->locks[c->nr_locks++] = l;
}

static void note_released(const struct spinlock *l)
{
    struct cpu *c = this_cpu();

    if (!c)
        return;
    for (unsigned i = c->nr_locks; i--; ) {
        if (c->locks[i] == l) {
            for (c->nr_locks--; i < c->nr_locks; i++)
                c->locks[i] = c->locks[i + 1];
            return;
        }
    }
    panic("lock %s released but not held\n", rank_name(l));
}

void assert_no_locks(void)
{
    struct cpu *c = this_cpu();

    if (c && c->nr_locks)
        panic("%u lock(s) held where none may be, last: %s\n", c->nr_locks, rank_name(c->locks[c->nr_locks - 1]));
}

void locks_dump(void)
{
    struct cpu *c = this_cpu();

    for (unsigned i = 0; c && i < c->nr_locks && i < ARRAY_SIZE(c->locks); i++)
        printk(LOG_ERR, "  holds lock %s (%p)\n", rank_name(c->locks[i]), (const void *)c->locks[i]);
}
#else
static inline void check_order(const struct spinlock *l, bool nested) {}
static inline void note_taken(const struct spinlock *l) {}
static inline void note_released(const struct spinlock *l) {}
void assert_no_locks(void) {}
void locks_dump(void) {}
#endif

static void lock_wait(struct spinlock *l)
{
    u32 ticket = atomic_add(&l->word, TICKET) >> 16;

    while ((load_acquire(&l->word) & (TICKET - 1)) != ticket)
        cpu_relax();
}

void spin_lock(struct spinlock *l)
{
    check_order(l, false);
    lock_wait(l);
    note_taken(l);
}

void spin_lock_nested(struct spinlock *l)
{
    check_order(l, true);
    lock_wait(l);
    note_taken(l);
}

bool spin_trylock(struct spinlock *l)
{
    u32 w = read_once(&l->word);

    /* No order check: it does not wait. */
    if ((w >> 16) != (w & (TICKET - 1)) || !atomic_cas(&l->word, w, w + TICKET))
        return false;
    note_taken(l);
    return true;
}

void spin_unlock(struct spinlock *l)
{
    u16 *owner = (u16 *)&l->word;   /* low half: x86 is little endian */

    note_released(l);
    /* Only the holder writes this half; it wraps without a carry into the other. */
    store_release(owner, (u16)(*owner + 1));
}
