/* SPDX-License-Identifier: MIT */
/*
 * Ticket locks. The word's low half is the ticket being served, the high half the next one to hand out, so CPUs
 * get the lock in the order in which they asked. Each CPU keeps a list of the locks it holds, in every build, and stops
 * at the first acquisition out of rank order, which is a deadlock waiting for its second half (I-11).
 */
#include "sync/sync.h"
#include "cpu/percpu.h"

#define TICKET (1u << 16)

static const char *const rank_names[RANK_NR] = {
    [RANK_KEYS] = "keys", [RANK_DOMCTL] = "domctl", [RANK_DOMLIST] = "domlist", [RANK_DOMAIN] = "domain", [RANK_GNTTAB] = "gnttab",
    [RANK_GNTENTRY] = "gntentry", [RANK_MAPTRACK] = "maptrack", [RANK_P2M] = "p2m", [RANK_IOMMU] = "iommu",
    [RANK_PCI] = "pci", [RANK_EVTCHN] = "evtchn", [RANK_EVTCHN_FIFO] = "evtchn-fifo",
    [RANK_VIOAPIC] = "vioapic", [RANK_VLAPIC] = "vlapic", [RANK_IRQ] = "irq", [RANK_IOMMU_CMD] = "iommu-cmd",
    [RANK_SCHED] = "sched", [RANK_TIMER] = "timer", [RANK_TIME] = "time", [RANK_AREA] = "area", [RANK_HOSTMAP] = "hostmap",
    [RANK_VPCI] = "vpci", [RANK_BLOCK] = "block", [RANK_HEAP] = "heap",
    [RANK_CONSOLE] = "console",
};

static const char *rank_name(const struct spinlock *l)
{
    return l->rank < RANK_NR && rank_names[l->rank] ? rank_names[l->rank] : "?";
}

/* The list is kept in rank order (only spin_trylock() may take a lock below others), so its end is all that a lock
 * about to be waited for has to be compared with. An order violation must be told, not waited for. */
static __attribute__((noinline, cold)) void bad_order(const struct cpu *c, const struct spinlock *l)
{
    for (unsigned i = 0; i < c->nr_locks; i++)
        if (c->locks[i] == l)
            panic("lock %s taken twice\n", rank_name(l));
    panic("lock %s taken while holding %s\n", rank_name(l), rank_name(c->locks[c->nr_locks - 1]));
}

static inline bool in_order(const struct cpu *c, const struct spinlock *l)
{
    return likely(c) && (!c->nr_locks || c->locks[c->nr_locks - 1]->rank < l->rank);
}

static inline void check_order(const struct cpu *c, const struct spinlock *l, bool nested)
{
    if (unlikely(!c) || in_order(c, l))
        return;
    const struct spinlock *last = c->locks[c->nr_locks - 1];
    bool twice = false;
    for (unsigned i = 0; i < c->nr_locks; i++)
        twice |= c->locks[i] == l;
    if (last->rank > l->rank || !nested || twice)
        bad_order(c, l);
}

static __attribute__((noinline, cold)) void __noreturn too_many(void) { panic("too many locks held\n"); }

/* at_end: check_order() was passed, so that l comes behind all that are held. */
static inline void note_taken(struct cpu *c, const struct spinlock *l, bool at_end)
{
    if (unlikely(!c))
        return;
    unsigned i = c->nr_locks;
    if (unlikely(i >= ARRAY_SIZE(c->locks)))
        too_many();
    c->nr_locks = i + 1;
    for (; !at_end && i && c->locks[i - 1]->rank > l->rank; i--)
        c->locks[i] = c->locks[i - 1];
    c->locks[i] = l;
}

static inline void note_released(const struct spinlock *l)
{
    struct cpu *c = this_cpu();

    if (unlikely(!c))
        return;
    unsigned i = c->nr_locks;
    if (likely(i && c->locks[i - 1] == l)) {
        c->nr_locks = i - 1;
        return;
    }
    while (i--)
        if (c->locks[i] == l) {
            for (c->nr_locks--; i < c->nr_locks; i++)
                c->locks[i] = c->locks[i + 1];
            return;
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

/* Somebody else has it. */
static __attribute__((noinline)) void wait_turn(struct spinlock *l, u32 ticket)
{
    while ((load_acquire(&l->word) & (TICKET - 1)) != ticket)
        cpu_relax();
    note_taken(this_cpu(), l, true);
}

static inline void take(struct cpu *c, struct spinlock *l)
{
    u32 w = atomic_add(&l->word, TICKET);

    if (unlikely((w & (TICKET - 1)) != w >> 16))
        return wait_turn(l, w >> 16);
    note_taken(c, l, true);
}

/* Every lock comes by here, so what is not the usual case is kept apart, and the usual one needs no stack frame. */
static __attribute__((noinline)) void check_and_take(struct spinlock *l, bool nested)
{
    struct cpu *c = this_cpu();

    check_order(c, l, nested);
    take(c, l);
}

void spin_lock(struct spinlock *l)
{
    struct cpu *c = this_cpu();

    if (unlikely(!in_order(c, l)))
        return check_and_take(l, false);
    take(c, l);
}

void spin_lock_nested(struct spinlock *l) { check_and_take(l, true); }

bool spin_trylock(struct spinlock *l)
{
    u32 w = read_once(&l->word);

    /* No order check: it does not wait. */
    if ((w >> 16) != (w & (TICKET - 1)) || !atomic_cas(&l->word, w, w + TICKET))
        return false;
    note_taken(this_cpu(), l, false);
    return true;
}

void spin_unlock(struct spinlock *l)
{
    u16 *owner = (u16 *)&l->word;   /* low half: x86 is little endian */

    note_released(l);
    /* Only the holder writes this half; it wraps without a carry into the other. */
    store_release(owner, (u16)(*owner + 1));
}
