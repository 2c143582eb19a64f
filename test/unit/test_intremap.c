/* SPDX-License-Identifier: MIT */
/* Interrupt remapping on a model IOMMU that keeps every entry it has seen until it is told to forget it: who can
 * raise which vector, at every store; tables of firmware that cannot be used; memory that runs out. */
#include "mm_stubs.h"
#include "acpi/acpi.h"
#include "boot/cmdline.h"
#include "iommu/amd.h"
#include "iommu/ivrs.h"
#include "irq/remap.h"
#include "pci/pci.h"

#define WEAK __attribute__((weak))

/* ---- the table ---- */
#define UNIT_BASE 0xfed80000u
#define IDS 512                         /* two buses */
enum { IOAPIC = 0xa0, NIC = 0x10, DISK = 0x18, BRIDGE = 0x28, TWIN = 0x31, TWIN_ALIAS = 0x30, BEHIND = 0x108,
       BEHIND2 = 0x110 };

static struct {
    struct acpi_header h;
    u8 rest[600];
} __packed ivrs;
static unsigned block_at;               /* of the last IVHD */

static void bytes(const u8 *p, unsigned n)
{
    memcpy((u8 *)&ivrs + ivrs.h.length, p, n);
    ivrs.h.length += n;
    if (block_at) {
        u16 len = (u16)(ivrs.h.length - block_at);
        memcpy((u8 *)&ivrs + block_at + 2, &len, 2);
    }
}
#define entry(...) do { static const u8 e_[] = { __VA_ARGS__ }; bytes(e_, sizeof(e_)); } while (0)
#define special(id, req) entry(0x48, 0, 0, 0, (id), (req) & 0xff, (req) >> 8, 1)
#define alias_one(dev, al) entry(0x42, (dev) & 0xff, (dev) >> 8, 0, 0, (al) & 0xff, (al) >> 8, 0)

static void table_start(void)
{
    memset(&ivrs, 0, sizeof(ivrs));
    memcpy(ivrs.h.sig, "IVRS", 4);
    ivrs.h.length = sizeof(struct acpi_header) + 12;
    block_at = 0;
}

static void unit(u8 type)
{
    static const u8 z[40];
    u64 base = UNIT_BASE;
    block_at = ivrs.h.length;
    bytes(z, type == 0x10 ? 24 : 40);
    ((u8 *)&ivrs)[block_at] = type;
    memcpy((u8 *)&ivrs + block_at + 8, &base, 8);
}

/* What QEMU says, and two bridges. */
static void usual_table(void)
{
    table_start();
    unit(0x10);
    entry(0x02, 0, 0, 0);
    entry(0x43, 0x00, 0x01, 0, 0, BRIDGE, 0, 0, 0x04, 0xff, 0x01, 0);
    alias_one(TWIN, TWIN_ALIAS);
    special(0, IOAPIC);
}

WEAK const struct acpi_header *acpi_find(const char sig[4], unsigned n)
{
    return n || memcmp(sig, "IVRS", 4) ? NULL : &ivrs.h;
}
WEAK unsigned pci_last_bus(void) { return 1; }
WEAK void pci_hide(sbdf_t s) {}

/* ---- the model ---- */
static u64 *regs;
static struct {
    bool forgets;                       /* it looks everything up anew */
    unsigned late, looks;               /* it takes commands when it was looked after `late` times */
    bool dead;
    struct { bool known; u64 q; } dte[IDS];
    struct { bool known; u32 e; } irte[IDS][512];
} hw;

static void hw_run(void)
{
    u64 *queue = phys_to_virt(regs[REG_CMDBUF / 8] & PTE_ADDR);
    u64 head = regs[REG_CMD_HEAD / 8];
    for (; head != regs[REG_CMD_TAIL / 8]; head = (head + 16) % QUEUE_BYTES) {
        u64 q0 = queue[head / 8], q1 = queue[head / 8 + 1];
        unsigned id = q0 & 0xffff;
        if (q0 >> 60 == 1) *(u64 *)phys_to_virt(q0 & 0xffffffffffff8ULL) = q1;
        else if (q0 >> 60 == 2 && id < IDS) hw.dte[id].known = false;
        else if (q0 >> 60 == 5 && id < IDS) memset(hw.irte[id], 0, sizeof(hw.irte[id]));
        else if (q0 >> 60 != 3) fail_msg("command %llx", (unsigned long long)q0);
    }
    regs[REG_CMD_HEAD / 8] = head;
}

/* What becomes of a write of `data` to the interrupt range by the device: vector | APIC id << 8, or -1. */
static int raise(unsigned id, unsigned data)
{
    if (!(regs[REG_CONTROL / 8] & CTRL_ENABLE)) return (int)(data & 0xff);
    const u64 (*tab)[4] = phys_to_virt(regs[REG_DEVTAB / 8] & PTE_ADDR);
    unsigned entries = ((regs[REG_DEVTAB / 8] & 0x1ff) + 1) * (PAGE_SIZE / 32);
    if (id >= entries) return -1;
    u64 q = hw.dte[id].known && !hw.forgets ? hw.dte[id].q : tab[id][2];
    if (!hw.forgets) hw.dte[id].known = true, hw.dte[id].q = q;
    if (!(q & DTE_IV)) return (int)(data & 0xff);
    unsigned index = data & 0x7ff, kind = data >> 8 & 7;
    if (kind > 1 || q >> 60 != 2 || index >= 1u << (q >> 1 & 15)) return -1;
    assert_false(q & (7ULL << 56 | 3ULL << 62));        /* NMI, INIT, ExtINT, LINT */
    const u32 *table = phys_to_virt(q & DTE_INT_ROOT);
    u32 e = hw.irte[id][index].known && !hw.forgets ? hw.irte[id][index].e : table[index];
    if (!hw.forgets) hw.irte[id][index].known = true, hw.irte[id][index].e = e;
    if (!(e & 1)) return -1;
    assert_int_equal(e & 0xff0000fe, 0);                /* fixed, physical, no reserved bit */
    return (int)((e >> 16 & 0xff) | (e >> 8 & 0xff) << 8);
}

/* Called at every store and in every wait. */
static void (*watch)(void);
static void hook(const void *addr)
{
    assert_int_equal((uintptr_t)addr & 3, 0);
    if (watch) watch();
    if (addr || hw.dead || regs[REG_CMD_HEAD / 8] == regs[REG_CMD_TAIL / 8] || ++hw.looks <= hw.late) return;
    hw.looks = 0;
    hw_run();
}

/* Exactly these can be raised by the device: `n` pairs (vector, APIC id). */
static void expect_only(unsigned id, unsigned n, const u16 (*may)[2])
{
    for (unsigned data = 0; data < 0x800; data++) {
        int want = -1;
        for (unsigned i = 0; i < n; i++)
            if (data == may[i][0]) want = may[i][0] | may[i][1] << 8;
        int got = raise(id, data);
        if (got != want) fail_msg("%x raises %x with %x, expected %x", id, (unsigned)got, data, (unsigned)want);
    }
}
#define only(id, ...) do { static const u16 m_[][2] = { __VA_ARGS__ }; expect_only(id, ARRAY_SIZE(m_), m_); } while (0)
#define nothing(id) expect_only(id, 0, NULL)

/* ---- set-up ---- */
static int console_routed;
static int pins(void)                   /* instead of src/irq/ioapic.c: the console's line was routed before */
{
    assert_false(regs[REG_CONTROL / 8] & CTRL_ENABLE);
    console_routed++;
    return remap_allow(IOAPIC, VEC_SERIAL, 0);
}

static int start(void **state)
{
    fake_machine_init(64, 1);
    fake_ioapic_remap = pins;
    regs = phys_to_virt(UNIT_BASE);
    usual_table();
    /* Memory runs out: for the device table, for the unit (its queues come after the IO-APIC's table). Nothing is on, and
     * nothing is kept. */
    kfree(kzalloc(16));                 /* the heap has its first page */
    u64 free = ram_free_pages(), objects = heap_objects();
    for (unsigned k = 1; k <= 5; k++) {
        if (k == 2) continue;           /* the table: see failing_start() */
        memset(regs, 0, 0x4000);
        fake_fail_at(k);
        if (iommu_init() || !fake_failed() || remap_on || raise(NIC, 0x55) != 0x55) return -1;
        if (iommu_devtab || iommu_devtab_entries || ram_free_pages() != free || heap_objects() != objects) return -1;
        if (!strstr(fake_log, k == 1 ? "AMD-Vi: no memory for the device table (16 KiB)" : "no memory for the IOMMU at"))
            return -1;
        fake_log_clear();
    }
    fake_fail_at(0);
    memset(regs, 0, 0x4000);
    console_routed = 0;
    fake_hook = hook;
    fake_log_clear();
    return iommu_init() && remap_on ? 0 : -1;
}

/* ---- tests on the running machine ---- */

static void nothing_at_first(void **state)
{
    assert_non_null(strstr(fake_log, "interrupts are remapped"));
    assert_int_equal(console_routed, 1);
    only(IOAPIC, { VEC_SERIAL, 0 });
    for (unsigned id = 0; id < 600; id++)
        if (id != IOAPIC) nothing(id);
    for (unsigned id = 0; id < IDS; id++)               /* nor NMI, INIT and the like */
        if (id != IOAPIC) assert_int_equal(live_get(&iommu_devtab[id][2]), DTE_IV);
}

static void given_and_taken(void **state)
{
    assert_int_equal(remap_allow(NIC, 0x41, 2), 0);
    only(NIC, { 0x41, 2 });
    nothing(DISK);
    assert_int_equal(remap_allow(DISK, 0x42, 0), 0);
    assert_int_equal(remap_allow(NIC, 0x43, 254), 0);
    only(NIC, { 0x41, 2 }, { 0x43, 254 });
    only(DISK, { 0x42, 0 });
    only(IOAPIC, { VEC_SERIAL, 0 });
    assert_int_equal(remap_allow(NIC, 0x41, 5), 0);     /* another CPU */
    only(NIC, { 0x41, 5 }, { 0x43, 254 });
    remap_forbid(NIC, 0x41);
    only(NIC, { 0x43, 254 });
    assert_int_equal(remap_allow(DISK, 0x41, 1), 0);    /* the vector's next owner */
    only(DISK, { 0x42, 0 }, { 0x41, 1 });
    remap_forbid(NIC, 0x41);                            /* not its own any more */
    remap_forbid(0x77, 0x41);
    only(DISK, { 0x42, 0 }, { 0x41, 1 });
    remap_forbid(NIC, 0x43);
    remap_forbid(DISK, 0x41);
    remap_forbid(DISK, 0x42);
    nothing(NIC);
    nothing(DISK);
}

static void refused(void **state)
{
    u64 free = ram_free_pages();
    assert_int_equal(remap_allow(IDS, 0x41, 0), -ENODEV);
    assert_int_equal(remap_allow(0xffff, 0x41, 0), -ENODEV);
    assert_int_equal(remap_allow(0x40, 0x41, 256), -EOPNOTSUPP);
    assert_int_equal(remap_allow(0x40, 256, 0), -EOPNOTSUPP);
    remap_forbid(0xffff, 0x41);
    remap_forbid(NIC, 256);
    fake_fail_at(1);
    assert_int_equal(remap_allow(0x40, 0x41, 0), -ENOMEM);
    assert_true(fake_failed());
    nothing(0x40);
    assert_int_equal(ram_free_pages(), free);
    assert_int_equal(remap_allow(0x40, 0x41, 0), 0);
    only(0x40, { 0x41, 0 });
    remap_forbid(0x40, 0x41);
    nothing(0x40);
}

/* Devices behind a bridge share its id: what one of them may raise they all may, under either id, and nobody else. */
static void behind_a_bridge(void **state)
{
    assert_int_equal(remap_allow(BEHIND, 0x51, 0), 0);
    only(BEHIND, { 0x51, 0 });
    only(BRIDGE, { 0x51, 0 });
    nothing(BEHIND2);
    assert_int_equal(remap_allow(BEHIND2, 0x52, 1), 0);
    only(BEHIND, { 0x51, 0 }, { 0x52, 1 });
    only(BEHIND2, { 0x51, 0 }, { 0x52, 1 });
    only(BRIDGE, { 0x51, 0 }, { 0x52, 1 });
    nothing(TWIN);
    remap_forbid(BEHIND, 0x51);                         /* all three had seen it */
    only(BEHIND, { 0x52, 1 });
    only(BEHIND2, { 0x52, 1 });
    only(BRIDGE, { 0x52, 1 });
    assert_int_equal(remap_allow(BRIDGE, 0x53, 0), 0);
    only(BEHIND2, { 0x52, 1 }, { 0x53, 0 });
    remap_forbid(BRIDGE, 0x53);
    remap_forbid(BEHIND2, 0x52);
    assert_int_equal(remap_allow(TWIN, 0x54, 0), 0);
    only(TWIN_ALIAS, { 0x54, 0 });
    remap_forbid(TWIN, 0x54);
    nothing(TWIN);
    nothing(TWIN_ALIAS);
    nothing(BRIDGE);
}

/* At every store of a change the device can do what it could before, or what it can after, and nothing else. */
static struct { unsigned id, vector, looks; int was, will; } change;
static void watch_change(void)
{
    change.looks++;
    for (unsigned k = 0x60; k < 0x80; k++) {
        unsigned v = 0x60 + k % 16;
        hw.forgets = k >= 0x70;         /* it may know an entry, or look it up just now */
        int got = raise(change.id, v);
        if (v != change.vector) assert_int_equal(got, -1);
        else if (got != change.was && got != change.will) fail_msg("%x", (unsigned)got);
    }
    hw.forgets = false;
}

static void changing(unsigned id, unsigned vector, int was, int will)
{
    memset(&change, 0, sizeof(change));
    change.id = id;
    change.vector = vector;
    change.was = was;
    change.will = will;
    watch = watch_change;
}

static void changed(void)
{
    watch = NULL;
    assert_true(change.looks > 3);
    assert_int_equal(raise(change.id, change.vector), change.will);
}

static void order_of_stores(void **state)
{
    static const unsigned late[] = { 0, 1, 50, 2000 };
    for (unsigned i = 0; i < ARRAY_SIZE(late); i++) {
        unsigned id = 0x48 + i, v = 0x61 + i;
        hw.late = late[i];
        changing(id, v, -1, (int)v | 3 << 8);           /* with the table */
        assert_int_equal(remap_allow((u16)id, v, 3), 0);
        changed();
        changing(id, v, (int)v | 3 << 8, (int)v | 4 << 8);
        assert_int_equal(remap_allow((u16)id, v, 4), 0);
        changed();
        changing(id, v, (int)v | 4 << 8, -1);
        remap_forbid((u16)id, v);
        changed();
        changing(id, v, -1, (int)v);                    /* an entry that it may remember as empty */
        assert_int_equal(remap_allow((u16)id, v, 0), 0);
        changed();
        remap_forbid((u16)id, v);
    }
    hw.late = 0;
}

/* The whole device table is written again when dom0 gets the devices: nobody's rights change. */
static void watch_attach(void)
{
    assert_int_equal(raise(NIC, 0x71), 0x71);
    assert_int_equal(raise(DISK, 0x71), -1);
    assert_int_equal(raise(IOAPIC, VEC_SERIAL), VEC_SERIAL);
}

static void attach(void **state)
{
    static struct domain dom = { .is_hwdom = true };
    assert_int_equal(iommu_domain_init(&dom), 0);
    assert_int_equal(remap_allow(NIC, 0x71, 0), 0);
    watch = watch_attach;
    assert_int_equal(iommu_attach_all(&dom), 0);
    watch = NULL;
    only(NIC, { 0x71, 0 });
    nothing(DISK);
    remap_forbid(NIC, 0x71);
}

/* ---- what firmware may say ---- */
static struct ivrs_info info;

static void ivrs_info_of_table(void)
{
    assert_int_equal(ivrs_parse(&ivrs.h, &info), 0);
    assert_int_equal(info.devices_bad, 0);
}

/* intremap_prepare() with this table, on a device table of its own, no IOMMU running. */
static bool prepare(const char *line)
{
    fake_log_clear();
    assert_int_equal(ivrs_parse(&ivrs.h, &info), 0);
    memset((void *)iommu_devtab, 0, IDS * 32);
    bool on = intremap_prepare(&info);
    assert_int_equal(remap_on, on);
    for (unsigned i = 0; !on && i < IDS; i++) assert_int_equal(live_get(&iommu_devtab[i][2]), 0);
    if (!strstr(fake_log, line)) fail_msg("no \"%s\" in the log: %s", line, fake_log);
    assert_true(on || strstr(fake_log, "AMD-Vi: interrupts"));
    intremap_drop();
    assert_false(remap_on);
    for (unsigned i = 0; i < IDS; i++) assert_int_equal(live_get(&iommu_devtab[i][2]), 0);
    return on;
}

static int not_prepared(void **state)
{
    intremap_drop();
    fake_ioapic_remap = NULL;
    return 0;
}

static void simple(u8 type)
{
    table_start();
    unit(type);
}

static void good_tables(void **state)
{
    u64 free = ram_free_pages();
    usual_table();
    assert_true(prepare(""));
    simple(0x11);
    special(0, IOAPIC);
    assert_true(prepare(""));
    /* The same unit in two forms, other varieties, names of ACPI devices, padding. */
    usual_table();
    unit(0x40);
    entry(0xf0, 0, 0, 0, 'A', 'M', 'D', 'I', '0', '0', '2', '0', 0, 0, 0, 0, 0, 0, 0, 0, 0x02, 3, '\\', 'x', 0);
    entry(0x48, 0, 0, 0, 0, 0xa0, 0, 2);
    entry(0x00, 0, 0, 0, 0x03, 0, 0, 0, 0x04, 0xff, 0xff, 0, 0x46, 0, 0, 0, 0, 0, 0, 0);
    special(0, IOAPIC);
    special(33, 0x01);
    assert_true(prepare(""));
    assert_int_equal(info.nr_iommus, 1);
    assert_int_equal(ivrs_ioapic(&info, 33), 1);
    assert_int_equal(ivrs_ioapic(&info, 2), -1);
    assert_int_equal(ivrs_alias(&info, 0x1ff), BRIDGE);
    assert_int_equal(ivrs_alias(&info, 0x200), 0x200);
    assert_int_equal(ram_free_pages(), free);
}

static void bad_tables(void **state)
{
    static const char *const wrong = "wrong device entry at 0x";
    simple(0x10);
    entry(0x01, 0, 0, 0);
    assert_false(prepare("does not name IO-APIC 0"));
    simple(0x10);
    special(7, IOAPIC);
    assert_false(prepare("does not name IO-APIC 0"));
    simple(0x10);
    entry(0x48, 0, 0, 0, 0, 0xa0, 0, 2);                /* an HPET */
    assert_false(prepare("does not name IO-APIC 0"));
    usual_table();
    unit(0x11);
    special(0, IOAPIC + 1);                             /* two forms disagree */
    assert_false(prepare(wrong));
    for (unsigned cut = 1; cut < 8; cut++) {            /* the last entry is cut off */
        simple(0x10);
        special(0, IOAPIC);
        alias_one(TWIN, TWIN_ALIAS);
        ivrs.h.length -= cut;
        bytes((const u8 *)"", 0);
        assert_false(prepare(wrong));
    }
    usual_table();
    entry(0xf1, 0, 0, 0);                               /* length unknown */
    assert_false(prepare(wrong));
    usual_table();
    entry(0xf0, 0, 0, 0);
    assert_false(prepare(wrong));
    usual_table();
    entry(0x43, 0, 1, 0, 0, 8, 0, 0);                   /* a range without end */
    assert_false(prepare(wrong));
    usual_table();
    entry(0x43, 0, 1, 0, 0, 8, 0, 0, 0x04, 0, 0, 0);    /* backwards */
    assert_false(prepare(wrong));
    usual_table();
    alias_one(0x30, 0x38);                              /* TWIN's alias */
    assert_false(prepare("alias 00:06.0 has an alias"));
    usual_table();
    for (u8 i = 0; i < 64; i++) {
        u8 e[] = { 0x42, i, 2, 0, 0, 0, 3, 0 };
        bytes(e, 8);
    }
    assert_false(prepare(wrong));
}

/* The firmware's setting of a device is in the bits of its entry, before the IOMMU runs and after each change. */
static u64 entry_bits(unsigned id, unsigned quadword, u64 mask) { return live_get(&iommu_devtab[id][quadword]) & mask; }
static void expect_setting(unsigned id, u8 setting)
{
    u64 want = (u64)(setting & SETTING_INIT ? 1 : 0) << 56 | (u64)(setting & SETTING_EXTINT ? 1 : 0) << 57 |
               (u64)(setting & SETTING_NMI ? 1 : 0) << 58 | (u64)(setting & SETTING_LINT0 ? 1 : 0) << 62 |
               (u64)(setting & SETTING_LINT1 ? 1 : 0) << 63;
    u64 got = entry_bits(id, 2, 7ULL << 56 | 3ULL << 62);
    if (got != want) fail_msg("%x: passes %lx, not %lx", id, (unsigned long)got, (unsigned long)want);
    assert_int_equal(entry_bits(id, 1, ~0xffffULL), (u64)(setting & SETTING_SYSMGT) >> 4 << 40);
    assert_int_equal(entry_bits(id, 2, DTE_IV), DTE_IV);
}

static void settings_table(void)
{
    simple(0x10);
    entry(0x02, 0x08, 0, SETTING_INIT);                                     /* one */
    entry(0x03, 0x40, 0, SETTING_LINT0 | 0x10, 0x04, 0x47, 0, 0xff);        /* a range; the end has none */
    entry(0x42, TWIN, 0, SETTING_NMI, 0, TWIN_ALIAS, 0, 0);
    entry(0x43, 0x00, 0x01, SETTING_LINT1, 0, BRIDGE, 0, 0, 0x04, 0xff, 0x01, 0);
    entry(0x46, 0x50, 0, SETTING_EXTINT, 0, 0, 0, 0);
    entry(0x47, 0x60, 0, 0x20, 0, 0, 0, 0, 0x04, 0x61, 0, 0);
    entry(0x48, 0, 0, 0xd7, 0, IOAPIC, 0, 1);
    entry(0x48, 0, 0, 0xd7, 0, IOAPIC, 0, 1);                               /* again, as a newer form does */
    entry(0x48, 0, 0, 0x30, 0, 0xa1, 0, 2);                                 /* an HPET */
    entry(0xf0, 0x70, 0, 0x04, 'A', 'M', 'D', 'I', '0', '0', '2', '0', 0, 0, 0, 0, 0, 0, 0, 0, 0x02, 1, '\\');
    entry(0x02, 0x70, 0, 0x01);                                             /* and one more: both count */
    entry(0x02, 0xff, 0xff, 0xff);                                          /* beyond the table */
}

static void check_settings(u8 ioapic)
{
    static const struct { u16 id; u8 setting; } want[] = {
        { 0x07, 0 }, { 0x08, SETTING_INIT }, { 0x09, 0 }, { 0x3f, 0 }, { 0x40, SETTING_LINT0 | 0x10 },
        { 0x47, SETTING_LINT0 | 0x10 }, { 0x48, 0 }, { TWIN, SETTING_NMI }, { TWIN_ALIAS, SETTING_NMI },
        { 0x100, SETTING_LINT1 }, { 0x1ff, SETTING_LINT1 }, { BRIDGE, SETTING_LINT1 }, { 0x50, SETTING_EXTINT },
        { 0x51, 0 }, { 0x60, 0x20 }, { 0x61, 0x20 }, { 0x62, 0 }, { 0xa1, 0x30 }, { 0x70, SETTING_NMI | SETTING_INIT },
    };
    for (unsigned i = 0; i < ARRAY_SIZE(want); i++) expect_setting(want[i].id, want[i].setting);
    expect_setting(IOAPIC, ioapic);
}

static void settings(void **state)
{
    static struct domain dom = { .is_hwdom = true };
    settings_table();
    ivrs_info_of_table();
    assert_int_equal(info.nr_settings, 13);
    memset(regs, 0, 0x4000);
    iommu_enabled = false;
    iommu_nr_units = 0;
    iommu_units[0] = (struct amd_iommu){ 0 };
    hw.forgets = true;
    assert_true(iommu_init() && remap_on);
    check_settings(0xd7);
    dom.iommu = NULL;
    assert_int_equal(iommu_domain_init(&dom), 0);
    assert_int_equal(iommu_attach_all(&dom), 0);
    assert_int_equal(entry_bits(0x40, 1, ~0ULL), 1 | 1ULL << 40);
    for (unsigned i = 0; i < IDS; i++) assert_int_equal(entry_bits(i, 1, 0xffff), 1);
    assert_int_equal(remap_allow(0x40, 0x41, 0), 0);        /* a table for it: the setting stays */
    assert_int_equal(remap_allow(BEHIND, 0x42, 0), 0);
    assert_int_equal(entry_bits(0x40, 2, 0xfULL << 60), 6ULL << 60);
    assert_int_equal(entry_bits(BEHIND, 2, 0xfULL << 60), 0xaULL << 60);
    intremap_drop();
    for (unsigned i = 0; i < IDS; i++) assert_int_equal(live_get(&iommu_devtab[i][2]), 0);
    /* "All"; backwards, without an end, one too many. */
    simple(0x10);
    entry(0x01, 0, 0, SETTING_NMI);
    ivrs_info_of_table();
    assert_true(info.nr_settings == 1 && !info.setting[0].first && info.setting[0].last == 0xffff);
    simple(0x10);
    entry(0x03, 9, 0, 1, 0x04, 8, 0, 0);
    special(0, IOAPIC);
    assert_false(prepare("wrong device entry at 0x"));
    simple(0x10);
    entry(0x03, 9, 0, 1);
    special(0, IOAPIC);
    assert_false(prepare("wrong device entry at 0x"));
    for (unsigned n = IVRS_MAX_SETTINGS; n <= IVRS_MAX_SETTINGS + 1; n++) {
        simple(0x10);
        special(0, IOAPIC);
        for (u8 i = 0; i < n; i++) {
            u8 e[] = { 0x02, i, 0, 1 };
            bytes(e, 4);
        }
        assert_int_equal(prepare(""), n == IVRS_MAX_SETTINGS);
    }
}

/* As many IO-APICs as the hypervisor can have. */
static void many_ioapics(void **state)
{
    for (unsigned n = MAX_IOAPICS; n <= MAX_IOAPICS + 1; n++) {
        simple(0x10);
        for (u8 i = 0; i < n; i++) {
            u8 e[] = { 0x48, 0, 0, 0, i, i, 1, 1 };
            bytes(e, 8);
        }
        assert_int_equal(ivrs_parse(&ivrs.h, &info), 0);
        assert_int_equal(info.nr_ioapics, MAX_IOAPICS);
        assert_int_equal(info.devices_bad == 0, n == MAX_IOAPICS);
    }
}

static void failing_start(void **state)
{
    u64 free = ram_free_pages();
    usual_table();
    fake_fail_at(1);
    assert_false(prepare("no memory"));
    assert_int_equal(ram_free_pages(), free);
    ioapics[1] = ioapics[0];
    ioapics[1].id = 1;
    nr_ioapics = 2;
    assert_false(prepare("does not name IO-APIC 1"));
    special(1, 0xa1);
    fake_fail_at(2);                                    /* the second one's table */
    assert_false(prepare("no memory"));
    assert_int_equal(ram_free_pages(), free);
    assert_true(prepare(""));
    ioapics[1].nr_pins = 0;                             /* it does not answer: nobody needs it */
    usual_table();
    assert_true(prepare(""));
    assert_int_equal(ram_free_pages(), free);
    nr_ioapics = 1;
}

static void options(void **state)
{
    usual_table();
    cmdline_parse("iommu=verbose,no-intremap,force");
    assert_true(opt_iommu && !opt_intremap);
    assert_false(prepare("not to be remapped: iommu=no-intremap"));
    assert_int_equal(remap_allow(NIC, 0x41, 0), 0);     /* nobody is asked */
    remap_forbid(NIC, 0x41);
    cmdline_parse("iommu=intremap");
    assert_true(opt_iommu && opt_intremap);
    cmdline_parse("iommu=off,intremap=off");
    assert_true(!opt_iommu && !opt_intremap);
    cmdline_parse("iommu");
    assert_true(opt_iommu && !opt_intremap);
    cmdline_parse("no-iommu iommu=intremap=yes");
    assert_true(!opt_iommu && opt_intremap);
    fake_log_clear();
    cmdline_parse("iommu=on,intremap=perhaps");         /* malformed: no part of it counts */
    assert_true(!opt_iommu && strstr(fake_log, "malformed"));
    cmdline_parse("iommu=1");
    assert_true(prepare(""));
}

/* Success is not reported without the IOMMU's answer (XSA-373). */
static void no_answer(void **state)
{
    usual_table();
    assert_int_equal(ivrs_parse(&ivrs.h, &info), 0);
    assert_true(intremap_prepare(&info));
    assert_int_equal(remap_allow(NIC, 0x41, 0), 0);
    hw.dead = true;
    assert_true(fake_expect_panic(remap_forbid(NIC, 0x41)));
    assert_non_null(strstr(fake_panic_text, "does not answer"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_at_first), cmocka_unit_test(given_and_taken), cmocka_unit_test(refused),
        cmocka_unit_test(behind_a_bridge), cmocka_unit_test(order_of_stores), cmocka_unit_test(attach),
        cmocka_unit_test_setup(good_tables, not_prepared), cmocka_unit_test_setup(bad_tables, not_prepared),
        cmocka_unit_test_setup(failing_start, not_prepared), cmocka_unit_test_setup(options, not_prepared),
        cmocka_unit_test_setup(settings, not_prepared), cmocka_unit_test_setup(many_ioapics, not_prepared),
        cmocka_unit_test_setup(no_answer, not_prepared),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
