/* SPDX-License-Identifier: MIT */
/*
 * Locks with ranks, atomics, barriers and the hook points of the hosted build.
 *
 * Execution model (design rule 9): a CPU runs the hypervisor with interrupts OFF, on one stack, and never
 * sleeps. Interrupt handlers and timer callbacks run only inside irq_window() (irq/irq.h), which is opened by
 * the run loop, by the idle loop and at preemption checks of long operations, always with no lock held.
 * Therefore no lock needs an irqsave variant, and a handler may take any lock.
 *
 * A lock may be taken only while all locks held by this CPU have a lower rank. That is always checked, and
 * that none is held at every return to a guest.
 */
#pragma once
#include "lib/types.h"

/* In locking order: an outer lock comes first. doc/locking.md says what each protects. */
enum lock_rank {
    RANK_KEYS,          /* one debug key at a time */
    RANK_DOMCTL,        /* one control operation at a time; only ever try-locked from a guest's call */
    RANK_DOMLIST,       /* list of domains, domain ids */
    RANK_DOMAIN,        /* struct domain: life cycle, params, memory map, shutdown */
    RANK_VPCI,          /* dom0's view of PCI: BARs, MSI, MSI-X */
    RANK_GNTTAB,        /* a granter's table geometry */
    RANK_GNTENTRY,      /* a granter's active entries */
    RANK_MAPTRACK,      /* a mapper's handle table */
    RANK_P2M,           /* second-stage tables of one domain */
    RANK_IOMMU,         /* IOMMU tables of one domain */
    RANK_PCI,           /* devices and BARs */
    RANK_EVTCHN,        /* event channel tables of one domain */
    RANK_EVTCHN_FIFO,   /* one FIFO queue */
    RANK_VIOAPIC,       /* virtual IO-APIC */
    RANK_VLAPIC,        /* virtual local APIC */
    RANK_IRQ,           /* host interrupt descriptors, IO-APIC, MSI */
    RANK_IOMMU_CMD,     /* IOMMU command queues, interrupt tables */
    RANK_SCHED,         /* run queue */
    RANK_TIMER,         /* timers of one CPU */
    RANK_TIME,          /* wall clock */
    RANK_AREA,          /* registered runstate and time areas of one vCPU */
    RANK_HOSTMAP,       /* host page tables: new mappings */
    RANK_BLOCK,         /* RAM blocks and page entries (inner: called from nearly everywhere) */
    RANK_HEAP,          /* hypervisor heap */
    RANK_CONSOLE,       /* console ring, serial line */
    RANK_NR
};

struct spinlock {
    u32 word;           /* ticket lock: low half owner, high half next */
    u8 rank;
    u8 pad[3];
};
#define SPINLOCK(r) { .rank = (r) }
static inline void spin_init(struct spinlock *l, enum lock_rank r) { l->word = 0; l->rank = (u8)r; }
void spin_lock(struct spinlock *l);
/* Take l while another lock of the same rank is held (two domains: lower domid first). */
void spin_lock_nested(struct spinlock *l);
void spin_unlock(struct spinlock *l);
bool spin_trylock(struct spinlock *l) __must_check;
/* Panics if this CPU holds a lock; called at every return to a guest and in irq_window(). */
void assert_no_locks(void);
/* Print the locks this CPU holds (panic). */
void locks_dump(void);

/* The hosted build may switch threads (interleaver) or count here, before a write and before what only reads;
 * nothing on the bare machine. */
#ifdef HOSTED
void hook_point(const void *addr);
void hook_read(const void *addr);
#else
static inline void hook_point(const void *addr) { (void)addr; }
static inline void hook_read(const void *addr) { (void)addr; }
#endif

/* Single, untorn accesses to memory that others change; the compiler can neither repeat nor split them. */
#define read_once(p)      ({ hook_read((const void *)(p)); *(const volatile __typeof__(*(p)) *)(p); })
#define write_once(p, v)  do { hook_point(p); *(volatile __typeof__(*(p)) *)(p) = (v); } while (0)
#define load_acquire(p)   ({ hook_read(p); __atomic_load_n(p, __ATOMIC_ACQUIRE); })
#define store_release(p, v) do { hook_point(p); __atomic_store_n(p, v, __ATOMIC_RELEASE); } while (0)
/* Sequentially consistent read-modify-write; each returns the OLD value. */
#define atomic_add(p, v)  ({ hook_point(p); __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST); })
#define atomic_sub(p, v)  ({ hook_point(p); __atomic_fetch_sub(p, v, __ATOMIC_SEQ_CST); })
#define atomic_or(p, v)   ({ hook_point(p); __atomic_fetch_or(p, v, __ATOMIC_SEQ_CST); })
#define atomic_and(p, v)  ({ hook_point(p); __atomic_fetch_and(p, v, __ATOMIC_SEQ_CST); })
#define atomic_xchg(p, v) ({ hook_point(p); __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST); })
/* Compare and swap; true if *p was old and is now new. */
#define atomic_cas(p, old, new) ({ __typeof__(*(p)) o_ = (old); hook_point(p); \
    __atomic_compare_exchange_n(p, &o_, new, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); })
#define barrier() __asm__ volatile("" ::: "memory")
#define smp_mb()  __atomic_thread_fence(__ATOMIC_SEQ_CST)
#define smp_wmb() __atomic_thread_fence(__ATOMIC_RELEASE)
#define smp_rmb() __atomic_thread_fence(__ATOMIC_ACQUIRE)
/* Atomic bit operations on a bitmap of u64 in memory shared with guests; return the OLD bit. */
static inline bool atomic_bit_set(u64 *m, unsigned n)
{ return atomic_or(&m[n / 64], 1ULL << (n % 64)) >> (n % 64) & 1; }
static inline bool atomic_bit_clear(u64 *m, unsigned n)
{ return atomic_and(&m[n / 64], ~(1ULL << (n % 64))) >> (n % 64) & 1; }
/* In loops that wait for another CPU. The host's watchdog (debug/watchdog.c) looks from here whether that one is alive. */
extern bool watchdog_on;
void watchdog_wait(void);
static inline void cpu_relax(void)
{
    hook_point(NULL);
    __builtin_ia32_pause();
    if (watchdog_on) watchdog_wait();
}
