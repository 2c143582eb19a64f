/* SPDX-License-Identifier: MIT */
/*
 * Vectors and dispatch. There is one vector space for all CPUs. Interrupts are accepted in irq_window() and
 * irq_idle() only, so a handler runs with no lock held and never nests.
 */
#include "cpu/internal.h"
#include "cpu/lapic.h"
#include "debug/console.h"
#include "irq/internal.h"
#include "irq/remap.h"
#include "sync/sync.h"

static struct spinlock vec_lock = SPINLOCK(RANK_IRQ);
static struct { irq_fn fn; void *arg; } handlers[256];      /* written under vec_lock */
static u64 counts[256];             /* relaxed: statistics only */
static unsigned next_vector = VEC_DYNAMIC_FIRST;            /* vec_lock */

void irq_dispatch(unsigned vector)
{
    this_cpu()->irq_seen = true;
    __atomic_fetch_add(&counts[vector], 1, __ATOMIC_RELAXED);
    if (vector == VEC_SPURIOUS)     /* has no in-service bit, so no EOI (SDM 11.9) */
        return;
    irq_fn fn;
    void *arg;
    do {                            /* a pair that belongs together, without a lock on every interrupt */
        fn = load_acquire(&handlers[vector].fn);
        arg = read_once(&handlers[vector].arg);
    } while (fn != load_acquire(&handlers[vector].fn));
    if (vector >= VEC_DYNAMIC_FIRST && vector <= VEC_SERIAL)
        ioapic_ack_level(vector);
    lapic_eoi();
    if (fn)
        fn(arg, vector);
}

bool irq_window(void)
{
    struct cpu *c = this_cpu();
    assert_no_locks();
    c->irq_seen = false;
    __asm__ volatile("sti; nop; cli" ::: "memory");
    if (unlikely(console_work_pending))
        console_work();
    return c->irq_seen;
}

void irq_idle(void)
{
    assert_no_locks();
    if (unlikely(console_work_pending))
        console_work();
    /* STI takes effect after HLT: a kick that came since the last check ends the halt at once. */
    __asm__ volatile("sti; hlt; cli" ::: "memory");
}

/* Order matters to irq_dispatch(), which takes no lock. */
static void set_locked(unsigned vector, irq_fn fn, void *arg)
{
    store_release(&handlers[vector].fn, (irq_fn)NULL);
    smp_mb();
    write_once(&handlers[vector].arg, arg);
    store_release(&handlers[vector].fn, fn);
}

void irq_set_handler(unsigned vector, irq_fn fn, void *arg)
{
    spin_lock(&vec_lock);
    set_locked(vector & 255, fn, arg);
    spin_unlock(&vec_lock);
}

int irq_vector_alloc(irq_fn fn, void *arg)
{
    const unsigned n = VEC_DYNAMIC_LAST - VEC_DYNAMIC_FIRST + 1;
    int found = -ENOSPC;
    spin_lock(&vec_lock);
    /* Round robin: a late interrupt of a freed vector should not hit its successor. */
    for (unsigned i = 0; i < n; i++) {
        unsigned v = VEC_DYNAMIC_FIRST + (next_vector - VEC_DYNAMIC_FIRST + i) % n;
        if (handlers[v].fn)
            continue;
        set_locked(v, fn, arg);
        next_vector = v + 1 > VEC_DYNAMIC_LAST ? (unsigned)VEC_DYNAMIC_FIRST : v + 1;
        found = (int)v;
        break;
    }
    spin_unlock(&vec_lock);
    return found;
}

void irq_vector_free(unsigned vector)
{
    if (vector < VEC_DYNAMIC_FIRST || vector > VEC_DYNAMIC_LAST)
        return;
    ioapic_forget_vector(vector);
    irq_set_handler(vector, NULL, NULL);
}

void irq_vector_eoi_gsi(unsigned vector)
{
    int gsi = ioapic_vector_gsi(vector);
    if (gsi >= 0)
        gsi_eoi((unsigned)gsi);
}

int msi_route(u16 requester, unsigned vector, unsigned cpu, u64 *addr, u32 *data)
{
    u32 apic_id = cpus[cpu]->apic_id;
    int rc = remap_allow(requester, vector, apic_id);
    if (rc)
        return rc;
    /* Physical destination, no redirection hint; edge, fixed (SDM vol. 3, 11.11). */
    *addr = 0xfee00000ULL | (u64)(apic_id & 0xff) << 12;
    *data = vector & 0xff;
    return 0;
}

void msi_unroute(u16 requester, unsigned vector) { remap_forbid(requester, vector); }

/* Both 8259s: move their vectors away from the exceptions, then mask every line for good. */
static void pic_disable(void)
{
    static const struct { u16 port; u8 val; } seq[] = {
        { 0x20, 0x11 }, { 0xa0, 0x11 },             /* ICW1: edge, cascade, ICW4 follows */
        { 0x21, 0x20 }, { 0xa1, 0x28 },             /* ICW2: vectors */
        { 0x21, 0x04 }, { 0xa1, 0x02 },             /* ICW3: cascade on line 2 */
        { 0x21, 0x01 }, { 0xa1, 0x01 },             /* ICW4: 8086 mode */
        { 0x21, 0xff }, { 0xa1, 0xff },
    };
    for (unsigned i = 0; i < ARRAY_SIZE(seq); i++)
        outb(seq[i].port, seq[i].val);
}

static void kick_irq(void *arg, unsigned vector) {}

void irq_init(void)
{
    pic_disable();
    irq_set_handler(VEC_KICK, kick_irq, NULL);
    lapic_init();
    ioapic_init();
}

void irq_dump(void)
{
    static const struct { u8 vector; const char *name; } fixed[] = {
        { VEC_SERIAL, "serial" }, { VEC_KICK, "kick" }, { VEC_CALL, "call" },
        { VEC_TIMER, "timer" }, { VEC_ERROR, "APIC error" }, { VEC_SPURIOUS, "spurious" },
    };
    for (unsigned i = 0; i < ARRAY_SIZE(fixed); i++)
        printk(LOG_WARN, "vector 0x%02x: %12lu  %s\n", fixed[i].vector, counts[fixed[i].vector], fixed[i].name);
    for (unsigned v = VEC_DYNAMIC_FIRST; v < ARRAY_SIZE(handlers); v++) {
        bool device = v <= VEC_DYNAMIC_LAST && handlers[v].fn;
        if (device)
            printk(LOG_WARN, "vector 0x%02x: %12lu  device, GSI %d\n", v, counts[v], ioapic_vector_gsi(v));
        else if (counts[v] && !handlers[v].fn && v < VEC_ERROR)
            printk(LOG_WARN, "vector 0x%02x: %12lu  no handler now\n", v, counts[v]);
    }
    printk(LOG_WARN, "Interrupts of devices are %sremapped\n", remap_on ? "" : "not ");
    ioapic_dump();
}
DEBUG_KEY(irq, 'i', "interrupts: vectors, counts, IO-APIC pins", irq_dump);
