/* SPDX-License-Identifier: MIT */
/*
 * Virtual IO-APICs (82093AA data sheet). dom0 has one per physical one, same address, pins and version, and each of
 * its pins is wired to the physical GSI of that number from the first unmask on, with the trigger mode and polarity
 * of the redirection entry. An HVM guest has one of 48 pins, driven by vioapic_set_irq().
 *
 * A level interrupt holds its pin (remote IRR) until the guest's EOI comes back through vioapic_eoi(); only then
 * is the host's interrupt finished, so a guest that never answers blocks its own line and nothing else.
 *
 * Lock: RANK_VIOAPIC, all fields. Interrupts are sent to local APICs after it is dropped (I-11).
 */
#include "hvm/vlapic.h"
#include "irq/irq.h"

#define RTE_DELIVERY(r) ((unsigned)((r) >> 8) & 7)
#define RTE_LOGICAL     (1ull << 11)
#define RTE_LOW         (1ull << 13)        /* active low */
#define RTE_IRR         (1ull << 14)        /* remote IRR */
#define RTE_LEVEL       (1ull << 15)
#define RTE_MASKED      (1ull << 16)
#define RTE_DEST(r)     ((u32)((r) >> 56))
#define RTE_WRITABLE    0xff0000000001afffull

#define REG_SELECT  0x00
#define REG_WINDOW  0x10
#define REG_EOI     0x40                    /* version 0x20 and later */
#define WINDOW_LEN  0x100

#define HVM_IOAPIC_GPA  0xfec00000ull
#define HVM_IOAPIC_PINS 48
#define MAX_GSIS        1024

struct pin {
    u64 rte;
    struct chip *chip;
    u16 gsi;
    u16 host_vector;            /* bound to the physical GSI; 0: not */
    bool host_level;            /* how it was set up */
    bool host_low;
    bool host_wait;             /* the host's level interrupt waits for our gsi_eoi() */
    bool line;                  /* level of an emulated line */
};

struct chip {
    struct domain *d;
    gpa_t gpa;
    unsigned nr_pins, gsi_base;
    u8 version, select;
    u32 id;                     /* bits 24-27 */
    struct pin *pin;
};

struct vioapic {
    struct spinlock lock;
    bool physical;
    unsigned nr;
    struct chip chip[MAX_IOAPICS];
};

/* An interrupt to be sent once the lock is dropped. */
struct message { u64 rte; bool send; };

static void send(struct domain *d, const struct message *m)
{
    if (m->send)
        vlapic_deliver(d, RTE_DEST(m->rte), m->rte & RTE_LOGICAL, RTE_DELIVERY(m->rte), (u8)m->rte,
                       m->rte & RTE_LEVEL);
}

/* The pin sees an edge, or its level is active: what is to be sent? */
static struct message trigger_locked(struct pin *p)
{
    struct message m = { p->rte, false };

    if ((p->rte & RTE_MASKED) || (p->rte & RTE_LEVEL && p->rte & RTE_IRR))
        return m;
    if (p->rte & RTE_LEVEL && RTE_DELIVERY(p->rte) <= 1)
        p->rte |= RTE_IRR;
    m.send = true;
    return m;
}

/* The guest has finished the level interrupt of this pin. */
static struct message finish_locked(struct pin *p)
{
    struct message m = { p->rte, false };

    p->rte &= ~RTE_IRR;
    if (p->host_wait) {
        p->host_wait = false;
        gsi_eoi(p->gsi);                /* a line that is still active comes again from the host */
    }
    return p->line ? trigger_locked(p) : m;
}

/* ---- physical GSIs ---- */

/* Host interrupt: interrupt window, no lock held. Edge interrupts were finished at the host already. */
static void host_irq(void *arg, unsigned vector)
{
    struct pin *p = arg;
    struct domain *d = p->chip->d;
    struct message m = { 0, false };

    spin_lock(&d->ioapic->lock);
    if (p->host_level)
        p->host_wait = true;
    if (p->host_level && !(p->rte & RTE_LEVEL)) {
        p->host_wait = false;           /* the guest turned the pin to edge meanwhile */
        gsi_eoi(p->gsi);
    } else {
        m = trigger_locked(p);
        if (p->host_wait && !(p->rte & RTE_IRR)) {
            /* Nobody will send an EOI for it: masked in between, or not a fixed interrupt. */
            p->host_wait = false;
            gsi_mask(p->gsi, p->rte & RTE_MASKED);
            gsi_eoi(p->gsi);
        }
    }
    spin_unlock(&d->ioapic->lock);
    send(d, &m);
}

/* Where the vCPU that the entry names ran last. A hint: a wrong CPU costs one kick per interrupt. */
static unsigned target_cpu(const struct pin *p)
{
    u32 dest = RTE_DEST(p->rte);
    const struct domain *d = p->chip->d;

    if (p->rte & RTE_LOGICAL || dest / 2 >= d->max_vcpus || !d->vcpu[dest / 2])
        return 0;
    return read_once(&d->vcpu[dest / 2]->cpu);
}

/* Bring the physical pin in line with the virtual entry. */
static void sync_host_locked(struct pin *p)
{
    bool level = p->rte & RTE_LEVEL, low = p->rte & RTE_LOW, masked = p->rte & RTE_MASKED;
    int vec;

    if (!p->chip->d->ioapic->physical || p->gsi >= MAX_GSIS)
        return;
    if (masked || RTE_DELIVERY(p->rte) > 1) {
        if (p->host_vector)
            gsi_mask(p->gsi, true);
        return;
    }
    if (!p->host_vector) {
        vec = irq_vector_alloc(host_irq, p);
        if (vec < 0) {
            printk(LOG_ERR, "GSI %u: no interrupt vector left for dom0\n", p->gsi);
            return;
        }
        p->host_vector = (u16)vec;
    } else if (p->host_level == level && p->host_low == low) {
        gsi_mask(p->gsi, false);
        return;
    }
    p->host_level = level;
    p->host_low = low;
    if (gsi_setup(p->gsi, p->host_vector, level, low, target_cpu(p))) {
        printk(LOG_ERR, "GSI %u: cannot be routed to dom0\n", p->gsi);
        irq_vector_free(p->host_vector);
        p->host_vector = 0;
        return;
    }
    printk(LOG_DEBUG, "GSI %u: bound to dom0, %s, active %s\n", p->gsi, level ? "level" : "edge",
           low ? "low" : "high");
    gsi_mask(p->gsi, false);
}

/* ---- registers ---- */

static struct message write_rte_locked(struct pin *p, u64 val)
{
    struct message m = { 0, false };

    p->rte = (val & RTE_WRITABLE) | (p->rte & RTE_IRR);
    if (!(p->rte & RTE_LEVEL)) {
        /* Edge pins have no remote IRR; changing to edge is how Linux drops a stuck one. */
        p->rte &= ~RTE_IRR;
        if (p->host_wait) {
            p->host_wait = false;
            gsi_eoi(p->gsi);
        }
    }
    sync_host_locked(p);
    if (p->line && p->rte & RTE_LEVEL)
        m = trigger_locked(p);          /* unmasked while the line was active */
    return m;
}

/* Pin of a redirection register number, NULL if there is none. */
static struct pin *reg_pin(const struct chip *c)
{
    unsigned i = (c->select - 0x10u) / 2;

    if (c->select < 0x10 || i >= c->nr_pins)
        return NULL;
    return &c->pin[index_nospec(i, c->nr_pins)];
}

/* Undefined registers read as zero (XSA-239). */
static u32 window_read_locked(const struct chip *c)
{
    const struct pin *p = reg_pin(c);

    if (p)
        return (u32)(p->rte >> (c->select & 1) * 32);
    switch (c->select) {
    case 0:
        return c->id;
    case 1:
        return (u32)c->version | (c->nr_pins - 1) << 16;
    case 2:
        return c->id;                   /* arbitration id */
    default:
        return 0;
    }
}

static struct message window_write_locked(struct chip *c, u32 val)
{
    struct message none = { 0, false };
    struct pin *p = reg_pin(c);

    if (p) {
        unsigned shift = (c->select & 1) * 32;

        return write_rte_locked(p, (p->rte & ~(0xffffffffull << shift)) | (u64)val << shift);
    }
    if (c->select == 0)
        c->id = val & 0x0f000000;
    return none;
}

static void chip_eoi(struct chip *c, u8 vector)
{
    struct domain *d = c->d;

    for (unsigned i = 0; i < c->nr_pins; i++) {
        struct pin *p = &c->pin[i];
        struct message m = { 0, false };

        if ((u8)read_once(&p->rte) != vector)
            continue;
        spin_lock(&d->ioapic->lock);
        if ((u8)p->rte == vector && p->rte & RTE_LEVEL && p->rte & RTE_IRR)
            m = finish_locked(p);
        spin_unlock(&d->ioapic->lock);
        send(d, &m);
    }
}

void vioapic_eoi(struct domain *d, u8 vector)
{
    for (unsigned i = 0; i < d->ioapic->nr; i++)
        chip_eoi(&d->ioapic->chip[i], vector);
}

static void mmio(struct vcpu *v, gpa_t addr, unsigned size, bool write, u64 *val, void *arg)
{
    struct chip *c = arg;
    struct vioapic *io = v->dom->ioapic;
    unsigned off = (unsigned)(addr - c->gpa), reg = off & ~3u;
    struct message m = { 0, false };

    if (!write) {
        spin_lock(&io->lock);
        *val = reg == REG_SELECT ? c->select : reg == REG_WINDOW ? window_read_locked(c) : 0;
        spin_unlock(&io->lock);
        *val = (u32)*val >> (off & 3) * 8;
        if (size < 4)
            *val &= (1ull << size * 8) - 1;
        return;
    }
    if (off & 3 || (reg != REG_SELECT && size < 4))
        return;
    if (reg == REG_EOI && c->version >= 0x20) {
        chip_eoi(c, (u8)*val);
        return;
    }
    spin_lock(&io->lock);
    if (reg == REG_SELECT)
        c->select = (u8)*val;
    else if (reg == REG_WINDOW)
        m = window_write_locked(c, (u32)*val);
    spin_unlock(&io->lock);
    send(v->dom, &m);
}

/* ---- emulated lines ---- */

void vioapic_set_irq(struct domain *d, unsigned gsi, bool asserted)
{
    struct vioapic *io = d->ioapic;
    struct message m = { 0, false };

    if (!io)
        return;
    for (unsigned i = 0; i < io->nr; i++) {
        struct chip *c = &io->chip[i];
        unsigned n = gsi - c->gsi_base;
        struct pin *p;

        if (gsi < c->gsi_base || n >= c->nr_pins)
            continue;
        p = &c->pin[index_nospec(n, c->nr_pins)];
        spin_lock(&io->lock);
        if (asserted && (!p->line || p->rte & RTE_LEVEL))
            m = trigger_locked(p);
        p->line = asserted;
        spin_unlock(&io->lock);
        send(d, &m);
        return;
    }
}

/* ---- life cycle ---- */

static int add_chip(struct domain *d, gpa_t gpa, unsigned nr_pins, unsigned gsi_base, u8 version, u8 id)
{
    struct vioapic *io = d->ioapic;
    struct chip *c = &io->chip[io->nr];
    int rc;

    c->pin = kzalloc(nr_pins * sizeof(*c->pin));
    if (!c->pin)
        return -ENOMEM;
    c->d = d;
    c->gpa = gpa;
    c->nr_pins = nr_pins;
    c->gsi_base = gsi_base;
    c->version = version;
    c->id = (u32)(id & 0xf) << 24;
    for (unsigned i = 0; i < nr_pins; i++) {
        c->pin[i].chip = c;
        c->pin[i].gsi = (u16)(gsi_base + i);
        c->pin[i].rte = RTE_MASKED;
    }
    rc = mmio_register(d, gpa, gpa + WINDOW_LEN, mmio, c);
    if (rc) {
        kfree(c->pin);
        c->pin = NULL;
        return rc;
    }
    io->nr++;
    return 0;
}

int vioapic_init(struct domain *d)
{
    struct vioapic *io = kzalloc(sizeof(*io));
    int rc = 0;

    if (!io)
        return -ENOMEM;
    spin_init(&io->lock, RANK_VIOAPIC);
    io->physical = d->is_hwdom;
    d->ioapic = io;
    if (!io->physical)
        rc = add_chip(d, HVM_IOAPIC_GPA, HVM_IOAPIC_PINS, 0, 0x11, 1);
    for (unsigned i = 0; io->physical && i < nr_ioapics && !rc; i++)
        if (ioapics[i].nr_pins)
            rc = add_chip(d, ioapics[i].paddr, ioapics[i].nr_pins, ioapics[i].gsi_base, ioapics[i].version,
                          ioapics[i].id);
    if (rc)
        vioapic_destroy(d);
    return rc;
}

void vioapic_destroy(struct domain *d)
{
    struct vioapic *io = d->ioapic;

    if (!io)
        return;
    for (unsigned i = 0; i < io->nr; i++) {
        struct chip *c = &io->chip[i];

        mmio_unregister(d, c->gpa);
        for (unsigned n = 0; n < c->nr_pins; n++) {
            if (c->pin[n].host_vector) {
                gsi_mask(c->pin[n].gsi, true);
                irq_vector_free(c->pin[n].host_vector);
            }
        }
        kfree(c->pin);
    }
    d->ioapic = NULL;
    kfree(io);
}
