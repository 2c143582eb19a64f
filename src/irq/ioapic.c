/* SPDX-License-Identifier: MIT */
/*
 * Physical IO-APICs. GSIs number their pins in one line.
 *
 * Level-triggered interrupts: the entry of the pin is masked as soon as the interrupt arrives, then the local APIC
 * gets its EOI (which clears the remote IRR), and gsi_eoi() unmasks once the handler, or the guest behind it, is
 * done. If the line is still up it fires again. So the local APIC never has an interrupt in service that depends
 * on a guest, gsi_eoi() works from any CPU, and a guest that never finishes only blocks its own device (I-19).
 *
 * Remapped interrupts (irq/remap.h): an entry names the vector in any case, and its IO-APIC is allowed to raise it
 * before the entry names it. That the message was level-triggered may get lost on its way through the IOMMU, and then
 * no EOI comes back: the pin's remote IRR is cleared here.
 */
#include "cpu/internal.h"
#include "cpu/lapic.h"
#include "irq/internal.h"
#include "irq/remap.h"
#include "mm/mm.h"
#include "sync/sync.h"

struct ioapic_info ioapics[MAX_IOAPICS];
unsigned nr_ioapics;
struct irq_override irq_overrides[16];
unsigned nr_irq_overrides;

#define MAX_GSI 512
#define RTE_LEVEL (1u << 15)
#define RTE_REMOTE_IRR (1u << 14)
#define RTE_LOW (1u << 13)
#define RTE_MASKED (1u << 16)
enum { IOREGSEL = 0x00, IOWIN = 0x10, EOI = 0x40, REG_VERSION = 1, REG_RTE = 0x10 };

static struct spinlock lock = SPINLOCK(RANK_IRQ);
static volatile u8 *window[ARRAY_SIZE(ioapics)];
/* Under `lock`. */
static struct gsi {
    u8 vector;                      /* 0: not set up */
    bool level, low, masked, in_service;
    u32 apic_id;
} gsis[MAX_GSI];
static s16 vector_gsi[256];         /* GSI + 1, 0 none */

static u32 rd(unsigned io, unsigned reg)
{
    mmio_write32(window[io] + IOREGSEL, reg);
    return mmio_read32(window[io] + IOWIN);
}

static void wr(unsigned io, unsigned reg, u32 v)
{
    mmio_write32(window[io] + IOREGSEL, reg);
    mmio_write32(window[io] + IOWIN, v);
}

/* IO-APIC and pin of a GSI; false if there is none. */
static bool find(unsigned gsi, unsigned *io, unsigned *pin)
{
    for (unsigned i = 0; i < nr_ioapics; i++) {
        if (window[i] && gsi >= ioapics[i].gsi_base && gsi - ioapics[i].gsi_base < ioapics[i].nr_pins) {
            *io = i;
            *pin = gsi - ioapics[i].gsi_base;
            return gsi < MAX_GSI;
        }
    }
    return false;
}

static u32 low_word(const struct gsi *g)
{
    return g->vector | (g->level ? RTE_LEVEL : 0) | (g->low ? RTE_LOW : 0) |
           (g->masked || g->in_service ? RTE_MASKED : 0);
}

/* Bring the pin's mask bit in line with gsis[gsi]. */
static void update_mask_locked(unsigned gsi)
{
    unsigned io, pin;
    if (find(gsi, &io, &pin))
        wr(io, REG_RTE + pin * 2, low_word(&gsis[gsi]));
}

/* Bring the pin's whole redirection entry in line with gsis[gsi]. */
static void update_locked(unsigned gsi)
{
    struct gsi *g = &gsis[gsi];
    unsigned io, pin;
    if (!find(gsi, &io, &pin))
        return;
    wr(io, REG_RTE + pin * 2, low_word(g) | RTE_MASKED);
    if (!g->vector)
        return;
    wr(io, REG_RTE + pin * 2 + 1, g->apic_id << 24);
    if (!g->masked && !g->in_service)
        wr(io, REG_RTE + pin * 2, low_word(g));
}

/* Clear the remote IRR of a level-triggered pin that is masked. */
static void pin_eoi_locked(unsigned gsi)
{
    unsigned io, pin;
    if (!find(gsi, &io, &pin))
        return;
    if (ioapics[io].version >= 0x20) {
        mmio_write32(window[io] + EOI, gsis[gsi].vector);
        return;
    }
    /* No EOI register: a pin that becomes edge-triggered forgets it. */
    wr(io, REG_RTE + pin * 2, low_word(&gsis[gsi]) & ~RTE_LEVEL);
    wr(io, REG_RTE + pin * 2, low_word(&gsis[gsi]));
}

void ioapic_init(void)
{
    unsigned pins = 0;
    for (unsigned i = 0; i < nr_ioapics; i++) {
        window[i] = mmio_map(ioapics[i].paddr, PAGE_SIZE);
        if (!window[i]) {
            printk(LOG_ERR, "IO-APIC %u at 0x%lx cannot be mapped, ignored\n", ioapics[i].id, ioapics[i].paddr);
            continue;
        }
        u32 v = rd(i, REG_VERSION);
        if (v == ~0u) {
            printk(LOG_ERR, "IO-APIC %u at 0x%lx does not answer, ignored\n", ioapics[i].id, ioapics[i].paddr);
            window[i] = NULL;
            continue;
        }
        ioapics[i].version = (u8)v;
        ioapics[i].nr_pins = (u8)MIN((v >> 16 & 0xff) + 1, 240u);
        pins += ioapics[i].nr_pins;
        for (unsigned p = 0; p < ioapics[i].nr_pins; p++)
            wr(i, REG_RTE + p * 2, RTE_MASKED);
        printk(LOG_INFO, "IO-APIC %u: version 0x%x, address 0x%lx, GSI %u-%u\n", ioapics[i].id, ioapics[i].version,
               ioapics[i].paddr, ioapics[i].gsi_base, ioapics[i].gsi_base + ioapics[i].nr_pins - 1);
    }
    if (!pins)
        printk(LOG_WARN, "No IO-APIC: device interrupts only as MSI\n");
}

unsigned gsi_count(void)
{
    unsigned n = 0;
    for (unsigned i = 0; i < nr_ioapics; i++)
        if (window[i])
            n = MAX(n, MIN(ioapics[i].gsi_base + ioapics[i].nr_pins, (u32)MAX_GSI));
    return n;
}

int gsi_setup(unsigned gsi, unsigned vector, bool level, bool active_low, unsigned cpu)
{
    unsigned io, pin;
    if (vector < VEC_DYNAMIC_FIRST || vector > 0xff || cpu >= nr_cpus || !find(gsi, &io, &pin))
        return -EINVAL;
    spin_lock(&lock);
    struct gsi *g = &gsis[gsi];
    int other = vector_gsi[vector] - 1;
    if (other >= 0 && other != (int)gsi) {      /* one GSI per vector: masking on arrival relies on it */
        spin_unlock(&lock);
        return -EINVAL;
    }
    if (g->vector > VEC_DYNAMIC_LAST && g->vector != vector) {  /* the hypervisor's own, e.g. the console's */
        spin_unlock(&lock);
        return -EBUSY;
    }
    int rc = remap_allow(ioapics[io].requester, vector, cpus[cpu]->apic_id);
    if (rc) {
        spin_unlock(&lock);
        return rc;
    }
    unsigned old = g->vector;
    if (old)
        vector_gsi[old] = 0;
    vector_gsi[vector] = (s16)(gsi + 1);
    *g = (struct gsi){ .vector = (u8)vector, .level = level, .low = active_low, .masked = true,
                       .apic_id = cpus[cpu]->apic_id };
    update_locked(gsi);
    if (old && old != vector)
        remap_forbid(ioapics[io].requester, old);
    spin_unlock(&lock);
    return 0;
}

int ioapic_remap(void)
{
    int rc = 0;
    spin_lock(&lock);
    for (unsigned gsi = 0; gsi < MAX_GSI && !rc; gsi++) {
        unsigned io, pin;
        if (gsis[gsi].vector && find(gsi, &io, &pin))
            rc = remap_allow(ioapics[io].requester, gsis[gsi].vector, gsis[gsi].apic_id);
    }
    spin_unlock(&lock);
    return rc;
}

void gsi_mask(unsigned gsi, bool masked)
{
    if (gsi >= MAX_GSI)
        return;
    spin_lock(&lock);
    if (gsis[gsi].vector && gsis[gsi].masked != masked) {
        gsis[gsi].masked = masked;
        update_mask_locked(gsi);
    }
    spin_unlock(&lock);
}

void gsi_eoi(unsigned gsi)
{
    if (gsi >= MAX_GSI)
        return;
    spin_lock(&lock);
    if (gsis[gsi].in_service) {
        gsis[gsi].in_service = false;
        update_mask_locked(gsi);
    }
    spin_unlock(&lock);
}

void ioapic_ack_level(unsigned vector)
{
    if (!read_once(&vector_gsi[vector]))        /* MSI: no lock for it */
        return;
    spin_lock(&lock);
    int gsi = vector_gsi[vector] - 1;
    if (gsi >= 0 && gsis[gsi].level && !gsis[gsi].in_service) {
        gsis[gsi].in_service = true;
        update_mask_locked((unsigned)gsi);
        if (remap_on)
            pin_eoi_locked((unsigned)gsi);
    }
    spin_unlock(&lock);
}

void ioapic_forget_vector(unsigned vector)
{
    spin_lock(&lock);
    int gsi = vector_gsi[vector] - 1;
    unsigned io, pin;
    if (gsi >= 0) {
        gsis[gsi] = (struct gsi){ .masked = true };
        update_locked((unsigned)gsi);
        vector_gsi[vector] = 0;
        if (find((unsigned)gsi, &io, &pin))
            remap_forbid(ioapics[io].requester, vector);
    }
    spin_unlock(&lock);
}

int ioapic_vector_gsi(unsigned vector) { return read_once(&vector_gsi[vector & 255]) - 1; }

void ioapic_dump(void)
{
    for (unsigned gsi = 0; gsi < gsi_count(); gsi++) {
        struct gsi *g = &gsis[gsi];
        unsigned io, pin;
        if (!g->vector || !find(gsi, &io, &pin))
            continue;
        spin_lock(&lock);
        u32 low = rd(io, REG_RTE + pin * 2);
        spin_unlock(&lock);
        printk(LOG_WARN, "GSI %3u: vector 0x%02x APIC id %u %s %s%s%s, entry %08x\n", gsi, g->vector, g->apic_id,
               g->level ? "level" : "edge", g->low ? "low" : "high", g->masked ? " masked" : "",
               g->in_service ? " in-service" : "", low);
    }
}
