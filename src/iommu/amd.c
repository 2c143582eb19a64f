/* SPDX-License-Identifier: MIT */
/*
 * AMD-Vi: device table, command and event queues, invalidation. One device table serves all IOMMUs; every entry
 * starts as "translated, nothing mapped", so that no DMA gets through before dom0's tables are attached.
 */
#include "iommu/amd.h"
#include "acpi/acpi.h"
#include "debug/console.h"
#include "iommu/reserved.h"
#include "mm/mm.h"
#include "pci/pci.h"

bool iommu_enabled;

struct live_entry (*iommu_devtab)[4];
unsigned iommu_devtab_entries;
struct spinlock iommu_cmd_lock = SPINLOCK(RANK_IOMMU_CMD);
struct amd_iommu iommu_units[IVRS_MAX_IOMMUS];
unsigned iommu_nr_units;
static struct ivrs_info info;

static void put(struct amd_iommu *u, u64 q0, u64 q1)
{
    u->cmd[u->cmd_tail * 2] = q0;
    u->cmd[u->cmd_tail * 2 + 1] = q1;
    u->cmd_tail = (u->cmd_tail + 1) % QUEUE_ENTRIES;
    smp_wmb();
    u->regs[REG_CMD_TAIL / 8] = u->cmd_tail * 16;
}

/* Longest wait for the IOMMU to answer; no success is reported without its answer (XSA-373). */
#ifdef HOSTED
#define WAIT_LOOPS 100000UL
#else
#define WAIT_LOOPS 100000000UL
#endif

/* Wait until all queued commands have taken effect. The queue cannot overflow: every user ends with this. */
static void complete(struct amd_iommu *u)
{
    u64 want = ++u->done_seq;
    put(u, CMD_WAIT | CMD_WAIT_STORE | virt_to_phys((const void *)u->done), want);
    for (unsigned long n = 0; *u->done != want; n++) {
        if (n == WAIT_LOOPS)
            panic("AMD-Vi: IOMMU at %#llx does not answer\n", (unsigned long long)u->base);
        cpu_relax();
    }
}

void iommu_command_locked(u64 q0, u64 q1)
{
    for (unsigned i = 0; i < iommu_nr_units; i++) {
        put(&iommu_units[i], q0, q1);
        complete(&iommu_units[i]);
    }
}

static const char *const event_names[16] = {
    [1] = "illegal device table entry", [2] = "I/O page fault", [3] = "device table hardware error",
    [4] = "page table hardware error", [5] = "illegal command", [6] = "command hardware error",
    [7] = "IOTLB invalidation timeout", [8] = "invalid device request",
};

/* Print and drop what the event log holds (at most a few lines; a device may raise thousands). */
static void events_drain(struct amd_iommu *u)
{
    u64 head = u->regs[REG_EVT_HEAD / 8] & (QUEUE_BYTES - 16), tail = u->regs[REG_EVT_TAIL / 8] & (QUEUE_BYTES - 16);
    for (unsigned lines = 0; head != tail; head = (head + 16) % QUEUE_BYTES) {
        u64 e0 = live_read(&u->events[head / 8]), e1 = live_read(&u->events[head / 8 + 1]);
        const char *name = event_names[e0 >> 60];
        if (lines++ < 4)
            printk(LOG_WARN, "AMD-Vi: %s: device %02x:%02x.%x flags %#llx address %#llx\n", name ? name : "event",
                   (unsigned)(e0 >> 8 & 0xff), (unsigned)(e0 >> 3 & 31), (unsigned)(e0 & 7),
                   (unsigned long long)(e0 >> 48 & 0xfff), (unsigned long long)e1);
    }
    u->regs[REG_EVT_HEAD / 8] = head;
    if (u->regs[REG_STATUS / 8] & STATUS_EVT_OVERFLOW) {
        /* Restart the log (section 2.5.1). */
        u64 control = u->regs[REG_CONTROL / 8];
        u->regs[REG_CONTROL / 8] = control & ~CTRL_EVTLOG;
        u->regs[REG_STATUS / 8] = STATUS_EVT_OVERFLOW;
        u->regs[REG_CONTROL / 8] = control;
    }
}

/* The log is looked at twice a second: an event is always a fault to report, never work to do. */
static struct timer poll;
#define POLL_NS 500000000ULL
static void poll_events(void *arg)
{
    for (unsigned i = 0; i < iommu_nr_units; i++)
        events_drain(&iommu_units[i]);
    timer_set(&poll, now_ns() + POLL_NS);
}

static bool unit_up(struct amd_iommu *u, paddr_t base, u16 segment, u16 bdf)
{
    u->base = base;
    u->segment = segment;
    u->bdf = bdf;
    u->regs = mmio_map(base, 0x4000);
    u->cmd = page_alloc();
    u->events = page_alloc();
    u->done = kzalloc(16);
    if (!u->regs || !u->cmd || !u->events || !u->done) return false;
    u->regs[REG_CONTROL / 8] = 0;
    u->regs[REG_DEVTAB / 8] = virt_to_phys(iommu_devtab) | (iommu_devtab_entries * sizeof(iommu_devtab[0]) / PAGE_SIZE - 1);
    u->regs[REG_CMDBUF / 8] = virt_to_phys(u->cmd) | QUEUE_LEN;
    u->regs[REG_EVTLOG / 8] = virt_to_phys(u->events) | QUEUE_LEN;
    u->regs[REG_CMD_HEAD / 8] = u->regs[REG_CMD_TAIL / 8] = 0;
    u->regs[REG_EVT_HEAD / 8] = u->regs[REG_EVT_TAIL / 8] = 0;
    u->regs[REG_CONTROL / 8] = CTRL_COHERENT | CTRL_CMDBUF | CTRL_EVTLOG | CTRL_ENABLE;
    return true;
}

void iommu_apply_settings(const struct ivrs_info *ivrs, unsigned quadword, u64 (*bits)(u8 setting))
{
    for (unsigned i = 0; i < ivrs->nr_settings; i++) {
        u64 set = bits(ivrs->setting[i].bits);
        unsigned last = MIN((unsigned)ivrs->setting[i].last, iommu_devtab_entries - 1);
        for (unsigned id = ivrs->setting[i].first; set && id <= last; id++) {
            struct live_entry *e = &iommu_devtab[id][quadword];
            live_write(e, live_get(e) | set);
        }
    }
}

static u64 sysmgt(u8 setting) { return DTE_SYSMGT(setting); }

static unsigned devtab_order(void)
{
    unsigned order = 0;
    while (PAGE_SIZE << order < iommu_devtab_entries * sizeof(iommu_devtab[0])) order++;
    return order;
}

/* Every device: translate, mode 0 without access, so that everything faults. */
static bool devtab_alloc(void)
{
    unsigned last_bus = pci_last_bus();
    for (unsigned i = 0; i < info.nr_ioapics; i++) last_bus = MAX(last_bus, (unsigned)info.ioapic[i].requester >> 8);
    iommu_devtab_entries = (last_bus + 1) * 256;
    u64 (*tab)[4] = pages_alloc(devtab_order());
    iommu_devtab = (void *)tab;
    if (!tab) return false;
    for (unsigned i = 0; i < iommu_devtab_entries; i++)
        tab[i][0] = DTE_V | DTE_TV;
    iommu_apply_settings(&info, 1, sysmgt);
    return true;
}

/* False: it did not stop. What it may still read or write then stays its own. */
static bool unit_down(struct amd_iommu *u)
{
    if (u->regs) {
        u->regs[REG_CONTROL / 8] = 0;
        for (unsigned long n = 0; u->regs[REG_STATUS / 8] & STATUS_RUNNING; n++)
            if (n == WAIT_LOOPS) return false;
    }
    page_free(u->cmd);
    page_free((void *)u->events);
    kfree((void *)u->done);
    *u = (struct amd_iommu){ 0 };
    return true;
}

/* DMA and interrupts pass as they are again. */
static void all_off(void)
{
    bool stopped = true;
    for (unsigned i = 0; i < info.nr_iommus; i++) stopped &= unit_down(&iommu_units[i]);
    iommu_nr_units = 0;
    intremap_drop();
    if (stopped) pages_free(iommu_devtab, devtab_order());
    iommu_devtab = NULL;
    iommu_devtab_entries = 0;
}

bool iommu_init(void)
{
    const struct acpi_header *ivrs = acpi_find("IVRS", 0);
    if (!opt_iommu || !ivrs) {
        printk(LOG_INFO, "No IOMMU is used (%s): DMA is not translated, interrupts are not remapped\n",
               opt_iommu ? "there is no IVRS table" : "iommu=off");
        return false;
    }
    if (ivrs_parse(ivrs, &info)) {
        printk(LOG_ERR, "AMD-Vi: the IVRS table is malformed; going on without IOMMU\n");
        return false;
    }
    reserved_add_options(&info);
    if (!devtab_alloc()) {
        printk(LOG_ERR, "AMD-Vi: no memory for the device table (%lu KiB); going on without IOMMU\n",
               PAGE_SIZE << devtab_order() >> 10);
        iommu_devtab_entries = 0;
        return false;
    }
    bool remapped = intremap_prepare(&info);
    for (unsigned i = 0; i < info.nr_iommus; i++) {
        if (!unit_up(&iommu_units[i], info.iommu[i].base, info.iommu[i].segment, info.iommu[i].bdf)) {
            printk(LOG_ERR, "AMD-Vi: no memory for the IOMMU at %#llx; going on without IOMMU\n",
                   (unsigned long long)info.iommu[i].base);
            all_off();
            return false;
        }
        pci_hide((sbdf_t)info.iommu[i].segment << 16 | info.iommu[i].bdf);
        iommu_nr_units++;
    }
    iommu_enabled = true;
    timer_init(&poll, poll_events, NULL);
    poll_events(NULL);
    printk(LOG_INFO, "AMD-Vi: %u IOMMU(s), DMA is translated, interrupts are %s\n", iommu_nr_units,
           remapped ? "remapped" : "not remapped");
    return true;
}

unsigned iommu_address_bits(void) { return MIN(info.address_bits, PAGE_SHIFT + 9u * TABLE_LEVELS); }

/* ---- domains ---- */

int iommu_domain_init(struct domain *d)
{
    if (!iommu_enabled || !d->is_hwdom) return 0;       /* only domains with devices have tables */
    struct iommu_domain *t = kzalloc(sizeof(*t));
    if (!t) return -ENOMEM;
    spin_init(&t->lock, RANK_IOMMU);
    t->root = page_alloc();
    t->table_pages = 1;
    t->id = (u16)(d->id + 1);
    if (!t->root) {
        kfree(t);
        return -ENOMEM;
    }
    d->iommu = t;
    return 0;
}

void iommu_domain_destroy(struct domain *d)
{
    if (!d->iommu) return;
    reserved_free(d->iommu);
    table_free(d->iommu);
    kfree(d->iommu);
    d->iommu = NULL;
}

int iommu_map(struct domain *d, gfn_t g, mfn_t m, unsigned order, bool write)
{
    struct iommu_domain *t = d->iommu;
    if (!t) return 0;
    spin_lock(&t->lock);
    bool ranges = t->reserved;          /* most machines have none */
    int rc = unlikely(ranges) ? reserved_check(t, g.n, m.n, 1ULL << order, write) : 0;
    if (likely(!rc)) rc = table_map(t, g.n, m.n, order, write);
    if (unlikely(ranges) && !rc) reserved_shared(t, g.n, 1ULL << order);
    spin_unlock(&t->lock);
    return rc;
}

int iommu_split(struct domain *d, gfn_t g, unsigned order)
{
    struct iommu_domain *t = d->iommu;
    u64 n = 1ULL << order;
    int rc = 0;
    if (!t) return 0;
    spin_lock(&t->lock);
    if (order && reserved_within(t, g.n, n))
        for (u64 k = 0; k < n && !rc; k += ENTRIES) rc = table_split(t, g.n + k, 0);
    else
        rc = table_split(t, g.n, order);
    spin_unlock(&t->lock);
    return rc;
}

void iommu_unmap(struct domain *d, gfn_t g)
{
    struct iommu_domain *t = d->iommu;
    if (!t) return;
    spin_lock(&t->lock);
    bool stays = unlikely(t->reserved) && reserved_keeps(t, g.n);
    if (!stays && table_unmap(t, g.n)) write_once(&t->stale, STALE_YES);
    spin_unlock(&t->lock);
}

void iommu_unmap_range(struct domain *d, gfn_t g, unsigned order)
{
    struct iommu_domain *t = d->iommu;
    u64 n = 1ULL << order;
    bool any = false;
    if (!t) return;
    spin_lock(&t->lock);
    if (!reserved_within(t, g.n, n)) any = table_unmap_range(t, g.n, order);
    else
        for (u64 k = 0; k < n; k++)
            if (!reserved_keeps(t, g.n + k)) any |= table_unmap(t, g.n + k);
    if (any) write_once(&t->stale, STALE_YES);
    spin_unlock(&t->lock);
}

void iommu_flush(struct domain *d)
{
    struct iommu_domain *t = d->iommu;
    /* Whoever sees STALE_NO may rely on the invalidation of all removals before it being complete. */
    if (!t || read_once(&t->stale) == STALE_NO) return;
    spin_lock(&iommu_cmd_lock);
    if (atomic_cas(&t->stale, STALE_YES, STALE_BUSY)) {
        iommu_command_locked(CMD_INV_PAGES | (u64)t->id << 32, INV_ALL_PAGES);
        /* A removal meanwhile has made it STALE_YES again. */
        (void)atomic_cas(&t->stale, STALE_BUSY, STALE_NO);
    }
    spin_unlock(&iommu_cmd_lock);
}

/* ---- ranges that firmware or options declare for devices ---- */
#define RESERVED_MAX MiB(256)           /* longest range believed */

/* A range that names RAM would open the hypervisor or a guest to the device: firmware reserves what it declares. */
static bool believable(const struct ivrs_range *r)
{
    if (r->end - r->start > RESERVED_MAX || r->end >> (PAGE_SHIFT + 9 * TABLE_LEVELS)) return false;
    for (u64 f = r->start >> PAGE_SHIFT; f < r->end >> PAGE_SHIFT; f++)
        if (mfn_is_ram(MFN(f))) return false;
    return true;
}

static int map_range(struct iommu_domain *t, const struct ivrs_range *r)
{
    if (!believable(r)) return -ERANGE;
    spin_lock(&t->lock);
    int rc = reserved_map(t, r->start >> PAGE_SHIFT, r->end >> PAGE_SHIFT, r->write);
    spin_unlock(&t->lock);
    return rc;
}

static const char *refusal(int rc)
{
    return rc == -ERANGE ? "RAM, or too long" : rc == -EADDRINUSE ? "it overlaps another one" : "an address has another use";
}

/* Before any device is switched over. A range that cannot be is left out with a warning: the device will fault there. */
static int map_reserved(struct iommu_domain *t)
{
    for (unsigned i = 0; i < info.nr_ranges; i++) {
        const struct ivrs_range *r = &info.range[i];
        unsigned long long start = r->start, end = r->end;
        int rc = map_range(t, r);
        if (rc == -ENOMEM) return rc;
        if (rc) printk(LOG_WARN, "AMD-Vi: reserved range %#llx-%#llx ignored: %s\n", start, end, refusal(rc));
        else printk(LOG_INFO, "AMD-Vi: reserved range %#llx-%#llx mapped for devices %02x:%02x.%x to %02x:%02x.%x\n", start,
                    end, r->first >> 8, r->first >> 3 & 31, r->first & 7u, r->last >> 8, r->last >> 3 & 31, r->last & 7u);
    }
    return 0;
}

int iommu_attach_all(struct domain *d)
{
    struct iommu_domain *t = d->iommu;
    if (!t) return -ENODEV;
    int rc = map_reserved(t);
    if (rc) return rc;
    for (unsigned i = 0; i < iommu_devtab_entries; i++) {
        /* The domain id first; the entry with the root last and at once (XSA-347). */
        live_write(&iommu_devtab[i][1], (u64)t->id | (live_get(&iommu_devtab[i][1]) & DTE_SYSMGT_MASK));
        live_write(&iommu_devtab[i][0],
                   DTE_V | DTE_TV | DTE_IR | DTE_IW | DTE_MODE(TABLE_LEVELS) | virt_to_phys(t->root));
    }
    spin_lock(&iommu_cmd_lock);
    for (unsigned i = 0; i < iommu_nr_units; i++) {
        for (unsigned dev = 0; dev < iommu_devtab_entries; dev++) {
            put(&iommu_units[i], CMD_INV_DTE | dev, 0);
            put(&iommu_units[i], CMD_INV_INTR | dev, 0);          /* what the firmware may have left */
            if (dev % (QUEUE_ENTRIES / 4) == 0) complete(&iommu_units[i]);
        }
        put(&iommu_units[i], CMD_INV_PAGES | (u64)t->id << 32, INV_ALL_PAGES);
        complete(&iommu_units[i]);
    }
    spin_unlock(&iommu_cmd_lock);
    return 0;
}
