/* SPDX-License-Identifier: MIT */
/* Physical IO-APICs, src/irq/ioapic.c itself over a model of their registers: level interrupts until gsi_eoi(), with
 * and without remapping, for versions with and without EOI register; what an IO-APIC may raise, and in which order. */
#include <stdarg.h>
#include <stdlib.h>
#include <setjmp.h>
#include <cmocka.h>
#include "alone.h"
#include "cpu/x86.h"
#include "irq/remap.h"

/* ---- the model: 24 pins each; lines, edges, remote IRR; a message carries its vector to `raised` ---- */
#define PINS 24
static struct chip {
    u32 select, lo[PINS], hi[PINS];
    bool line[PINS], irr[PINS];
    u8 version;
} chips[2];
static u8 pages[2][4096];
static unsigned accesses, nr_raised;
static unsigned raised;
static bool edge_messages;              /* the trigger mode is lost behind the IO-APIC, as in QEMU's IOMMU */
static u8 allowed[256];                 /* APIC id + 1 */

static void service(struct chip *c)
{
    for (unsigned p = 0; p < PINS; p++) {
        if (!c->irr[p] || c->lo[p] & 0x10000) continue;
        if (c->lo[p] & 0x8000) {
            if (c->lo[p] & 0x4000) continue;
            c->lo[p] |= 0x4000;
        } else
            c->irr[p] = false;
        if (remap_on && allowed[c->lo[p] & 0xff] != (c->hi[p] >> 24) + 1) fail_msg("pin %u: blocked", p);
        raised = c->lo[p] & 0xff;
        nr_raised++;
    }
}

static void set_line(unsigned gsi, bool up)
{
    struct chip *c = &chips[gsi / PINS];
    unsigned p = gsi % PINS;
    if (c->lo[p] & 0x8000) c->irr[p] = up;
    else if (up && !c->line[p] && !(c->lo[p] & 0x10000)) c->irr[p] = true;
    c->line[p] = up;
    service(c);
}

static void eoi_at(struct chip *c, u8 vector)
{
    for (unsigned p = 0; p < PINS; p++)
        if ((u8)c->lo[p] == vector && c->lo[p] & 0x8000) c->lo[p] &= ~0x4000u;
    service(c);
}

/* The local APIC's EOI: goes out to the IO-APICs if the interrupt came as a level one. */
static void local_eoi(void)
{
    for (unsigned i = 0; i < 2 && !edge_messages; i++) eoi_at(&chips[i], (u8)raised);
}

static void model_write(volatile void *at, u32 v)
{
    unsigned i = (const volatile u8 *)at >= pages[1], off = (unsigned)((const volatile u8 *)at - pages[i]);
    struct chip *c = &chips[i];
    unsigned p = (c->select - 0x10) / 2;
    accesses++;
    if (off == 0) c->select = v;
    else if (off == 0x40 && c->version >= 0x20) eoi_at(c, (u8)v);
    else if (off == 0x10 && c->select >= 0x10 && p < PINS && c->select & 1) c->hi[p] = v;
    else if (off == 0x10 && c->select >= 0x10 && p < PINS) {
        c->lo[p] = (v & ~0x5000u) | (c->lo[p] & 0x4000);
        if (!(v & 0x8000)) c->lo[p] &= ~0x4000u;
        service(c);
    } else
        fail_msg("write to %x", off);
}

static u32 model_read(const volatile void *at)
{
    unsigned i = (const volatile u8 *)at >= pages[1], p = (chips[i].select - 0x10) / 2;
    if (chips[i].select == 1) return (PINS - 1) << 16 | chips[i].version;
    return chips[i].select & 1 ? chips[i].hi[p] : chips[i].lo[p];
}

void *mmio_map(paddr_t p, size_t len) { return pages[p >> 12 & 1]; }
void spin_lock(struct spinlock *l) { assert_false(l->word++); }
void spin_unlock(struct spinlock *l) { l->word = 0; }

/* ---- what the IOMMU's driver is asked ---- */
bool remap_on;
static int allow_error;
static unsigned allows, forbids;
int remap_allow(u16 requester, unsigned vector, u32 apic_id)
{
    if (!remap_on) return 0;
    if (allow_error) return allow_error;
    assert_true(requester == 0xa0 || requester == 0xb0);
    allows++;
    allowed[vector] = (u8)(apic_id + 1);
    return 0;
}

/* By now no pin may name the vector. */
void remap_forbid(u16 requester, unsigned vector)
{
    if (!remap_on) return;
    forbids++;
    allowed[vector] = 0;
    for (unsigned i = 0; i < 2 * PINS; i++) assert_int_not_equal((u8)chips[i / PINS].lo[i % PINS], vector);
}

#define mmio_write32 model_write
#define mmio_read32 model_read
#include "../../src/irq/ioapic.c"

static int machine(u8 version, bool remapped)
{
    alone_start();
    memset(chips, 0, sizeof(chips));
    memset(allowed, 0, sizeof(allowed));
    memset(gsis, 0, sizeof(gsis));
    memset(vector_gsi, 0, sizeof(vector_gsi));
    nr_ioapics = 2;
    for (unsigned i = 0; i < 2; i++) {
        chips[i].version = version;
        ioapics[i] = (struct ioapic_info){ .id = (u8)i, .gsi_base = i * PINS, .paddr = 0xfec00000 + i * 4096,
                                           .requester = (u16)(0xa0 + i * 16) };
    }
    remap_on = false;
    ioapic_init();
    remap_on = edge_messages = remapped;
    nr_raised = allows = forbids = accesses = 0;
    allow_error = 0;
    return 0;
}
static int plain(void **state) { return machine(0x20, false); }
static int remapped(void **state) { return machine(0x20, true); }
static int remapped_old(void **state) { return machine(0x11, true); }

/* What irq_dispatch() does, without a handler. */
static void take(unsigned vector)
{
    assert_int_equal(raised, vector);
    ioapic_ack_level(vector);
    local_eoi();
}

static void level(void **state)
{
    for (unsigned gsi = 9; gsi < 2 * PINS; gsi += 21) {
        unsigned n = nr_raised;
        assert_int_equal(gsi_setup(gsi, 0x40 + gsi, true, false, 0), 0);
        set_line(gsi, true);
        assert_int_equal(nr_raised, n);             /* masked until told */
        gsi_mask(gsi, false);
        assert_int_equal(nr_raised, n + 1);
        accesses = 0;
        take(0x40 + gsi);
        assert_in_range(accesses, 2, remap_on ? (chips[0].version >= 0x20 ? 3 : 6) : 2);
        assert_int_equal(nr_raised, n + 1);         /* the line is up, the handler at work */
        accesses = 0;
        gsi_eoi(gsi);
        assert_int_equal(accesses, 2);
        assert_int_equal(nr_raised, n + 2);         /* still up: again */
        take(0x40 + gsi);
        set_line(gsi, false);
        gsi_eoi(gsi);
        assert_int_equal(nr_raised, n + 2);
        set_line(gsi, true);
        assert_int_equal(nr_raised, n + 3);
        gsi_mask(gsi, true);                        /* while it is on its way */
        take(0x40 + gsi);
        gsi_eoi(gsi);
        assert_int_equal(nr_raised, n + 3);
        gsi_mask(gsi, false);
        assert_int_equal(nr_raised, n + 4);
        take(0x40 + gsi);
        set_line(gsi, false);
        gsi_eoi(gsi);
    }
}

static void edge(void **state)
{
    assert_int_equal(gsi_setup(4, 0x44, false, false, 0), 0);
    gsi_mask(4, false);
    for (unsigned i = 1; i < 5; i++) {
        set_line(4, true);
        assert_int_equal(nr_raised, i);
        accesses = 0;
        take(0x44);
        gsi_eoi(4);
        assert_int_equal(accesses, 0);              /* nothing to do for each interrupt */
        set_line(4, false);
    }
}

/* A pin gets another vector, another trigger mode; its vector is freed. */
static void rerouted(void **state)
{
    assert_int_equal(gsi_setup(5, 0x45, true, true, 0), 0);
    gsi_mask(5, false);
    set_line(5, true);
    take(0x45);
    gsi_eoi(5);
    take(0x45);
    assert_int_equal(gsi_setup(5, 0x55, true, false, 0), 0);
    gsi_mask(5, false);
    take(0x55);
    assert_int_equal(allowed[0x45], 0);
    assert_int_equal(allowed[0x55], remap_on);
    assert_int_equal(gsi_setup(5, 0x55, false, false, 0), 0);
    ioapic_forget_vector(0x55);
    assert_int_equal(allowed[0x55], 0);
    assert_int_equal(forbids, remap_on ? 2 : 0);
    assert_int_equal(allows, remap_on ? 3 : 0);
    assert_true(chips[0].lo[5] & 0x10000);
    ioapic_forget_vector(0x55);
    assert_int_equal(forbids, remap_on ? 2 : 0);
}

static void refused(void **state)
{
    assert_int_equal(gsi_setup(48, 0x50, false, false, 0), -EINVAL);
    assert_int_equal(gsi_setup(3, 0x2f, false, false, 0), -EINVAL);
    assert_int_equal(gsi_setup(3, 0x50, false, false, 1), -EINVAL);
    assert_int_equal(gsi_setup(3, 0x50, false, false, 0), 0);
    assert_int_equal(gsi_setup(7, 0x50, false, false, 0), -EINVAL);
    assert_int_equal(gsi_setup(4, VEC_SERIAL, false, false, 0), 0);
    assert_int_equal(gsi_setup(4, 0x51, false, false, 0), -EBUSY);
    allow_error = -ENOMEM;
    assert_int_equal(gsi_setup(3, 0x52, true, false, 0), -ENOMEM);
    assert_int_equal((u8)chips[0].lo[3], 0x50);             /* as it was */
    assert_int_equal(ioapic_vector_gsi(0x50), 3);
    assert_int_equal(ioapic_vector_gsi(0x52), -1);
}

/* Remapping is switched on when some pins are in use already. */
static void switched_on(void **state)
{
    remap_on = edge_messages = false;
    assert_int_equal(gsi_setup(4, VEC_SERIAL, false, false, 0), 0);
    assert_int_equal(gsi_setup(30, 0x60, true, true, 0), 0);
    gsi_mask(4, false);
    gsi_mask(30, false);
    remap_on = edge_messages = true;
    assert_int_equal(ioapic_remap(), 0);
    assert_int_equal(allows, 2);
    set_line(4, true);
    take(VEC_SERIAL);
    set_line(30, true);
    take(0x60);
    set_line(30, false);
    gsi_eoi(30);
    set_line(30, true);
    take(0x60);
    allow_error = -ENOMEM;
    assert_int_equal(ioapic_remap(), -ENOMEM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        { "level_plain", level, plain, NULL, NULL }, { "level_remapped", level, remapped, NULL, NULL },
        { "level_remapped_old", level, remapped_old, NULL, NULL }, { "edge_plain", edge, plain, NULL, NULL },
        { "edge_remapped", edge, remapped, NULL, NULL }, { "rerouted_plain", rerouted, plain, NULL, NULL },
        { "rerouted_remapped", rerouted, remapped, NULL, NULL }, { "refused", refused, remapped, NULL, NULL },
        { "switched_on", switched_on, remapped, NULL, NULL },
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
