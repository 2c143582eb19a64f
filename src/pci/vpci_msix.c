/* SPDX-License-Identifier: MIT */
/*
 * MSI-X (PCI 3.0, 6.8.2): the pages with table and pending bits are not mapped but emulated. Entries keep dom0's
 * message; an entry gets a host vector when it is first unmasked while MSI-X is on, and loses it when MSI-X goes
 * off. The device's own mask bit follows dom0's.
 */
#include "hvm/hvm.h"
#include "irq/irq.h"
#include "pci/pci_priv.h"

#define MAX_REMAPS 16               /* mappings of device pages are permanent: bound what moving BARs can use up */

static u64 window_bar(const struct pci_dev *dev, unsigned w)
{
    return dev->bar[w ? dev->msix.pba_bir : dev->msix.bir].addr;
}

/* The emulated pages. */
static paddr_t window_addr(const struct pci_dev *dev, unsigned w)
{
    return ROUND_DOWN(window_bar(dev, w) + dev->msix.win[w].start, PAGE_SIZE);
}

static paddr_t window_end(const struct pci_dev *dev, unsigned w)
{
    return ROUND_UP(window_bar(dev, w) + dev->msix.win[w].end, PAGE_SIZE);
}

/* Table and pending bits as ranges of their BARs; one range if their pages may touch. */
static void set_windows(struct pci_dev *dev)
{
    struct pci_msix *x = &dev->msix;
    struct msix_window t = { x->table, x->table + x->nr * MSIX_ENTRY, NULL, 0, 0 };
    struct msix_window p = { x->pba, x->pba + (x->nr + 63u) / 64 * 8, NULL, 0, 0 };

    if (x->bir == x->pba_bir && (dev->bar[x->bir].size < PAGE_SIZE ||
                                 (ROUND_DOWN(t.start, PAGE_SIZE) <= ROUND_UP(p.end, PAGE_SIZE) &&
                                  ROUND_DOWN(p.start, PAGE_SIZE) <= ROUND_UP(t.end, PAGE_SIZE)))) {
        t.start = MIN(t.start, p.start);
        t.end = MAX(t.end, p.end);
        p.start = p.end = 0;
    }
    x->win[0] = t;
    x->win[1] = p;
}

/* The structures must lie inside of memory BARs (checked: the device could lie). */
static bool fits(const struct pci_dev *dev, unsigned bir, u32 off, u32 len)
{
    const struct pci_bar *b = bir < 6 ? &dev->bar[bir] : NULL;

    return b && b->size && off < b->size && len <= b->size - off;
}

static struct pci_msg *entry_of(const struct pci_dev *dev, unsigned i)
{
    return &dev->msix.chunk[i / CHUNK_ENTRIES][i % CHUNK_ENTRIES];
}

void msix_forget(struct pci_dev *dev)
{
    struct pci_msix none = { 0 };

    memcpy(none.chunk, dev->msix.chunk, sizeof(none.chunk));
    dev->msix = none;
}

static bool make_entries(struct vpci *vp, struct pci_dev *dev)
{
    unsigned i;

    for (i = 0; i < dev->msix.nr; i++) {
        struct pci_msg **c = &dev->msix.chunk[i / CHUNK_ENTRIES], *e;
        if (!*c && !(*c = kzalloc(CHUNK_ENTRIES * sizeof(**c))))
            return false;
        e = entry_of(dev, i);
        e->d = vp->d;
        e->s = dev->s;
        e->masked = true;
    }
    return true;
}

void msix_probe(struct vpci *vp, struct pci_dev *dev, u8 cap)
{
    struct pci_msix *x = &dev->msix;
    u16 ctrl = (u16)pci_read(dev->s, cap + 2u, 2);
    u32 table = pci_read(dev->s, cap + 4u, 4), pba = pci_read(dev->s, cap + 8u, 4);

    msix_forget(dev);
    x->nr = (u16)((ctrl & MSIX_SIZE) + 1);
    x->bir = table & 7;
    x->table = table & ~7u;
    x->pba_bir = pba & 7;
    x->pba = pba & ~7u;
    if (!fits(dev, x->bir, x->table, x->nr * MSIX_ENTRY) || !fits(dev, x->pba_bir, x->pba, (x->nr + 63u) / 64 * 8)) {
        printk(LOG_WARN, "PCI %02x:%02x.%u: MSI-X table lies outside of its BAR, MSI-X is not used\n",
               dev->s >> 8 & 0xff, dev->s >> 3 & 31, dev->s & 7);
        msix_forget(dev);           /* no BAR number beyond the last */
        return;
    }
    if (!make_entries(vp, dev))
        return;
    set_windows(dev);
    x->offered = vp->msix_limit ? MIN(x->nr, vp->msix_limit) : x->nr;
    x->cap = cap;
    if (ctrl & MSIX_ENABLE)
        pci_write(dev->s, cap + 2u, 2, ctrl & ~MSIX_ENABLE);
}

/* ---- sharing host vectors ---- */

#define MSIX_VECTORS (VEC_DYNAMIC_LAST - VEC_DYNAMIC_FIRST + 1 - 48)    /* the rest is for lines, MSI and hot-plug */
#define MSIX_LEAST 4

/* Vectors that all functions together may ask for if each sees at most `limit` entries. */
static unsigned wanted(unsigned limit)
{
    unsigned n = 0;
    struct list *l;

    list_for_each(l, &pci_devs)
        n += MIN((unsigned)list_entry(l, struct pci_dev, node)->msix.nr, limit);
    return n;
}

/*
 * Drivers take an entry for each vCPU and a few more, and hang if one of them never fires; with fewer entries they
 * share queues. So what there is no host vector for is not offered.
 */
void msix_share(struct vpci *vp)
{
    unsigned limit = MSIX_SIZE + 1;
    struct list *l;

    if (wanted(vp->d->max_vcpus + 4) > MSIX_VECTORS) {
        for (limit = MSIX_LEAST; wanted(limit + 1) <= MSIX_VECTORS; limit++)
            ;
        printk(LOG_WARN, "PCI: more MSI-X entries than host vectors: dom0 sees at most %u of each device\n", limit);
    }
    vp->msix_limit = (u16)limit;
    list_for_each(l, &pci_devs) {
        struct pci_msix *x = &list_entry(l, struct pci_dev, node)->msix;
        x->offered = MIN(x->nr, vp->msix_limit);
    }
}

u32 msix_read(struct pci_dev *dev)
{
    u32 v = pci_read(dev->s, dev->msix.cap, 4);

    return (v & ~((u32)MSIX_SIZE << 16)) | (u32)(dev->msix.offered - 1) << 16;
}

/* ---- the device's table ---- */

static volatile u32 *hw_entry(const struct pci_dev *dev, unsigned i)
{
    const struct pci_msix *x = &dev->msix;

    return x->win[0].va ? (volatile u32 *)(x->win[0].va + (window_bar(dev, 0) + x->table - window_addr(dev, 0)) +
                                           i * MSIX_ENTRY) : NULL;
}

static void program(struct pci_dev *dev, unsigned i)
{
    struct pci_msg *e = entry_of(dev, i);
    volatile u32 *hw = hw_entry(dev, i);
    u64 addr;
    u32 data;

    if (!hw || !dev->decode || !dev->msix.registered[0])
        return;                     /* msix_sync() does it when decoding goes on */
    hw[3] = 1;
    if (!dev->msix.on || (e->masked && !e->vector) || i >= dev->msix.offered)
        return;
    if (!msg_bind(e, &addr, &data))
        return;
    hw[0] = (u32)addr;
    hw[1] = (u32)(addr >> 32);
    hw[2] = data;
    hw[3] = e->masked;
}

/* All of them: those that dom0 does not use may be unmasked in the device, as the firmware left them. */
void msix_sync(struct pci_dev *dev)
{
    unsigned i;

    for (i = 0; i < dev->msix.nr; i++)
        program(dev, i);
}

void msix_off(struct pci_dev *dev)
{
    unsigned i;

    if (!dev->msix.cap)
        return;
    dev->msix.on = false;
    for (i = 0; i < dev->msix.nr; i++) {
        volatile u32 *hw = hw_entry(dev, i);
        if (entry_of(dev, i)->vector && hw && dev->decode && dev->msix.registered[0])
            hw[3] = 1;
        msg_unbind(entry_of(dev, i));
    }
}

void msix_control(struct vpci *vp, struct pci_dev *dev, u16 val)
{
    struct pci_msix *x = &dev->msix;
    bool on = val & MSIX_ENABLE;

    if (on) {                       /* program behind the function mask, then let go */
        pci_write(dev->s, x->cap + 2u, 2, val | MSIX_MASKALL);
        x->on = true;
        msix_sync(dev);
    }
    pci_write(dev->s, x->cap + 2u, 2, val);
    if (!on && x->on)
        msix_off(dev);
}

/* ---- dom0's accesses to the window ---- */

static u32 entry_read(const struct pci_msg *e, unsigned word)
{
    switch (word) {
    case 0: return (u32)e->addr;
    case 1: return (u32)(e->addr >> 32);
    case 2: return e->data;
    default: return e->masked;
    }
}

static void entry_write(struct pci_dev *dev, unsigned i, unsigned word, u32 val)
{
    struct pci_msg *e = entry_of(dev, i);

    switch (word) {
    case 0: write_once(&e->addr, (e->addr & ~0xffffffffULL) | (val & ~3u)); break;
    case 1: write_once(&e->addr, (e->addr & 0xffffffff) | (u64)val << 32); break;
    case 2: write_once(&e->data, val); break;
    default: e->masked = val & 1;
    }
    if (dev->msix.on && (word == 3 || e->vector))
        program(dev, i);
}

static u64 raw_read(const volatile u8 *p, unsigned size)
{
    switch (size) {
    case 1: return *p;
    case 2: return *(const volatile u16 *)p;
    case 4: return *(const volatile u32 *)p;
    default: return *(const volatile u64 *)p;
    }
}

static void raw_write(volatile u8 *p, unsigned size, u64 val)
{
    switch (size) {
    case 1: *p = (u8)val; break;
    case 2: *(volatile u16 *)p = (u16)val; break;
    case 4: *(volatile u32 *)p = (u32)val; break;
    default: *(volatile u64 *)p = val;
    }
}

/* Dword and qword accesses are what the specification allows for the table (6.8.2). */
static void table_access(struct pci_dev *dev, u32 off, unsigned size, bool write, u64 *val)
{
    unsigned i = (unsigned)index_nospec(off / MSIX_ENTRY, dev->msix.nr), word = off % MSIX_ENTRY / 4, k;

    if ((size != 4 && size != 8) || off % size)
        return;
    for (k = 0; k < size / 4; k++) {
        if (write)
            entry_write(dev, i, word + k, (u32)(*val >> (32 * k)));
        else
            *val |= (u64)entry_read(entry_of(dev, i), word + k) << (32 * k);
    }
}

/* An access at `addr` within the pages of window w. Bytes around table and pending bits belong to the device. */
static void window_access(struct pci_dev *dev, unsigned w, paddr_t addr, unsigned size, bool write, u64 *val)
{
    const struct pci_msix *x = &dev->msix;
    paddr_t table = dev->bar[x->bir].addr + x->table, table_end = table + x->nr * MSIX_ENTRY;
    paddr_t pba = dev->bar[x->pba_bir].addr + x->pba, pba_end = pba + (x->nr + 63u) / 64 * 8;
    volatile u8 *raw = x->win[w].va + (addr - window_addr(dev, w));

    if (!write)
        *val = 0;
    if (addr < table_end && addr + size > table) {
        if (addr >= table && addr + size <= table_end)
            table_access(dev, (u32)(addr - table), size, write, val);
    } else if (!write) {
        *val = raw_read(raw, size);
    } else if (addr >= pba_end || addr + size <= pba) {
        raw_write(raw, size, *val);
    }
}

static void window_mmio(struct vcpu *v, gpa_t addr, unsigned size, bool write, u64 *val, void *arg)
{
    struct vpci *vp = v->dom->vpci;
    struct pci_dev *dev = arg;
    unsigned w;

    if (!write)
        *val = ~0ULL;
    if (size > 8 || (size & (size - 1)) || addr % size)
        return;
    spin_lock(&vp->lock);
    for (w = 0; w < 2; w++) {       /* the BAR may have moved since the handler was looked up */
        if (dev->msix.registered[w] && addr >= window_addr(dev, w) && addr + size <= window_end(dev, w)) {
            window_access(dev, w, addr, size, write, val);
            break;
        }
    }
    spin_unlock(&vp->lock);
}

/* ---- window and BAR ---- */

static bool window_of(const struct pci_dev *dev, unsigned w, unsigned bar)
{
    const struct pci_msix *x = &dev->msix;

    return x->cap && x->win[w].end && bar == (w ? x->pba_bir : x->bir);
}

/* Keep the last mapping: switching decoding off and on, as probing does, must not use up address space. */
static bool map_window(struct msix_window *win, paddr_t at, u64 len)
{
    if (win->va && win->at == at)
        return true;
    win->va = win->remaps < MAX_REMAPS ? mmio_map(at, len) : NULL;
    win->at = at;
    win->remaps++;
    return win->va;
}

bool msix_attach(struct vpci *vp, struct pci_dev *dev, unsigned bar)
{
    unsigned w;

    for (w = 0; w < 2; w++) {
        struct msix_window *win = &dev->msix.win[w];
        paddr_t at = window_addr(dev, w), end = window_end(dev, w);
        if (!window_of(dev, w, bar))
            continue;
        if (!map_window(win, at, end - at) || mmio_register(vp->d, at, end, window_mmio, dev))
            return false;
        dev->msix.registered[w] = true;
    }
    return true;
}

void msix_detach(struct vpci *vp, struct pci_dev *dev, unsigned bar)
{
    unsigned w;

    for (w = 0; w < 2; w++) {
        if (!window_of(dev, w, bar) || !dev->msix.registered[w])
            continue;
        mmio_unregister(vp->d, window_addr(dev, w));
        dev->msix.registered[w] = false;
    }
}

bool msix_window_in(paddr_t start, paddr_t end, paddr_t *ws, paddr_t *we)
{
    struct list *l;
    unsigned w;

    list_for_each(l, &pci_devs) {
        const struct pci_dev *dev = list_entry(l, struct pci_dev, node);
        for (w = 0; w < 2; w++) {
            if (!dev->msix.registered[w])
                continue;
            *ws = window_addr(dev, w);
            *we = window_end(dev, w);
            if (start < *we && *ws < end)
                return true;
        }
    }
    return false;
}
