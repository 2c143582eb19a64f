/* SPDX-License-Identifier: MIT */
/* MSI and MSI-X of devices on a fake bus: what dom0 writes and what the device gets, tables in all places, tables that
 * lie, more entries than vectors, memory that is short. */
#include "vpci_env.h"

static volatile u32 *hw_table(void) { return (volatile u32 *)(frame_window + BAR_AT + 0x2000); }

static void some_irq(void *arg, unsigned vector) {}

static void msi(void **st)
{
    assert_int_equal(rd(AHCI, 0x40, 4) >> 16, MSI_64);      /* one vector offered */
    wr(AHCI, 0x44, 4, 0xfee00000);
    wr(AHCI, 0x48, 4, 0);
    wr(AHCI, 0x4c, 2, 0x41);
    assert_int_equal(get(&bus[1], 0x44, 4), 0);             /* nothing before it is enabled */
    wr(AHCI, 0x42, 2, MSI_64 | MSI_ENABLE | 0x20);
    assert_int_equal(get(&bus[1], 0x42, 2), MSI_64 | MSI_ENABLE);
    assert_int_equal(get(&bus[1], 0x44, 4), 0xfee00000);
    assert_int_equal(get(&bus[1], 0x4c, 2), VEC_DYNAMIC_FIRST);
    assert_int_equal(fake_msi_requester[VEC_DYNAMIC_FIRST], AHCI);
    assert_int_equal(rd(AHCI, 0x4c, 2), 0x41);              /* dom0 sees its own */
    fake_interrupt(VEC_DYNAMIC_FIRST);
    assert_true(delivered.n == 1 && delivered.addr == 0xfee00000 && delivered.data == 0x41);
    wr(AHCI, 0x4c, 2, 0x52);                                /* retarget while on */
    put(&bus[1], 0x4c, 2, 0);                               /* function reset, then Linux restores */
    wr(AHCI, 0x4c, 2, 0x52);
    assert_int_equal(get(&bus[1], 0x4c, 2), VEC_DYNAMIC_FIRST);
    fake_interrupt(VEC_DYNAMIC_FIRST);
    assert_true(delivered.n == 2 && delivered.data == 0x52);
    wr(AHCI, 0x42, 2, MSI_64);
    fake_interrupt(VEC_DYNAMIC_FIRST);
    assert_int_equal(delivered.n, 2);
    assert_int_equal(get(&bus[1], 0x42, 2) & MSI_ENABLE, 0);
    assert_int_equal(fake_msi_requester[VEC_DYNAMIC_FIRST], -1);
}

static int free_vectors(void)
{
    int n = 0;

    for (unsigned v = VEC_DYNAMIC_FIRST; v <= VEC_DYNAMIC_LAST; v++)
        n += !fake_vector_used(v);
    return n;
}

/* Nothing is left, or the IOMMU has no place: MSI stays off, which dom0 can read; a line says why; it works later. */
static void msi_refused(void **st)
{
    static const struct { int error; const char *line; } why[] = {
        { -ENOSPC, "00:1f.2: a message interrupt stays off: no host vector left" },
        { -ENOMEM, "00:1f.2: a message interrupt stays off: no memory for its interrupt table" },
        { -ENODEV, "00:1f.2: a message interrupt stays off: the IOMMU's tables have no place for the device" },
        { -EOPNOTSUPP, "00:1f.2: a message interrupt stays off: the CPU cannot be reached" },
    };
    const gpa_t t = BAR_AT + 0x2000;
    int taken[256], n, all = free_vectors();

    for (unsigned i = 0; i < ARRAY_SIZE(why); i++) {
        n = 0;
        fake_msi_error = why[i].error == -ENOSPC ? 0 : why[i].error;
        while (why[i].error == -ENOSPC && (taken[n] = irq_vector_alloc(some_irq, NULL)) >= 0)
            n++;
        fake_log_clear();
        wr(AHCI, 0x42, 2, MSI_64 | MSI_ENABLE);
        assert_int_equal(rd(AHCI, 0x40, 4) >> 16, MSI_64);
        assert_int_equal(get(&bus[1], 0x42, 2), MSI_64);
        assert_non_null(strstr(fake_log, why[i].line));
        wr(NVME, 0x42, 2, 3 | MSIX_ENABLE);
        mem(t + 12, 4, true, 0);
        assert_int_equal(hw_table()[3], 1);                 /* masked in the device */
        assert_non_null(strstr(fake_log, "00:01.0: a message interrupt stays off"));
        wr(NVME, 0x42, 2, 3);
        while (n)
            irq_vector_free((unsigned)taken[--n]);
        fake_msi_error = 0;
        assert_int_equal(free_vectors(), all);
        wr(AHCI, 0x42, 2, MSI_64 | MSI_ENABLE);
        assert_int_equal(rd(AHCI, 0x40, 4) >> 16, MSI_64 | MSI_ENABLE);
        wr(NVME, 0x42, 2, 3 | MSIX_ENABLE);
        assert_int_equal(hw_table()[3], 0);
        assert_int_equal(free_vectors(), all - 2);
        wr(AHCI, 0x42, 2, MSI_64);
        wr(NVME, 0x42, 2, 3);
        mem(t + 12, 4, true, 1);
    }
}

static void msix(void **st)
{
    const gpa_t t = BAR_AT + 0x2000;
    unsigned i;

    memset((void *)hw_table(), 0, 64);
    for (i = 0; i < 4; i++)
        assert_int_equal(mem(t + 16 * i + 12, 4, false, 0), 1);
    wr(NVME, 0x42, 2, 3 | MSIX_ENABLE | MSIX_MASKALL);
    mem(t + 16, 4, true, 0xfee01000);
    mem(t + 20, 4, true, 0);
    mem(t + 24, 4, true, 0x61);
    assert_int_equal(hw_table()[6], 0);
    mem(t + 28, 4, true, 0);                                /* unmask entry 1 */
    assert_int_equal(hw_table()[6], VEC_DYNAMIC_FIRST);
    assert_int_equal(hw_table()[4], 0xfee00000);
    assert_int_equal(hw_table()[7], 0);
    wr(NVME, 0x42, 2, 3 | MSIX_ENABLE);
    fake_interrupt(VEC_DYNAMIC_FIRST);
    assert_true(delivered.n == 1 && delivered.addr == 0xfee01000 && delivered.data == 0x61);
    assert_int_equal(mem(t + 16, 8, false, 0), 0xfee01000);
    assert_int_equal(mem(t + 24, 8, false, 0), 0x61);
    mem(t + 28, 4, true, 1);                                /* masked in the device too */
    assert_int_equal(hw_table()[7], 1);
    mem(t, 1, true, 0xff);                                  /* not a size the table takes */
    assert_int_equal(mem(t, 4, false, 0), 0);
    /* Pending bits read through and cannot be written; what lies beside them is the device's. */
    frame_window[BAR_AT + 0x3000] = 5;
    mem(BAR_AT + 0x3000, 4, true, 0xff);
    assert_int_equal(mem(BAR_AT + 0x3000, 4, false, 0), 5);
    mem(BAR_AT + 0x3800, 4, true, 0x1234);
    assert_int_equal(*(u32 *)(frame_window + BAR_AT + 0x3800), 0x1234);
    /* Decoding off and on (the table forgets), vectors stay and are written again. */
    mem(t + 28, 4, true, 0);
    wr(NVME, 4, 2, 0);
    memset((void *)hw_table(), 0xee, 64);
    wr(NVME, 4, 2, CMD_MEM);
    assert_int_equal(hw_table()[6], VEC_DYNAMIC_FIRST);
    assert_int_equal(fake_msi_requester[VEC_DYNAMIC_FIRST], NVME);
    wr(NVME, 0x42, 2, 3);
    fake_interrupt(VEC_DYNAMIC_FIRST);
    assert_int_equal(delivered.n, 1);
    assert_int_equal(hw_table()[7], 1);
    assert_int_equal(fake_msi_requester[VEC_DYNAMIC_FIRST], -1);
    wr(NVME, 0x42, 2, 3 | MSIX_ENABLE);                     /* unmasked entries come back */
    assert_int_equal(hw_table()[7], 0);
    assert_int_equal(fake_msi_requester[VEC_DYNAMIC_FIRST], NVME);
    assert_int_equal(pci_device_remove(NVME), 0);
    assert_int_equal(fake_msi_requester[VEC_DYNAMIC_FIRST], -1);
    assert_false(mapped(BAR_AT));
    assert_int_equal(pci_device_add(NVME), 0);
    assert_true(mapped(BAR_AT));
}

static void msi_nobody(void *arg, unsigned vector) {}
static const struct pci_msg *entry_of_(const struct pci_dev *dev, unsigned i)
{
    return &dev->msix.chunk[i / CHUNK_ENTRIES][i % CHUNK_ENTRIES];
}

/* A device that comes back with a longer MSI-X table each time: the room it needs grows only as the table does. */
static void growing_table(void **st)
{
    const gpa_t t = BAR_AT + 0x2000;
    u64 before = heap_objects();

    for (u16 last = 0; last < 2 * CHUNK_ENTRIES; last++) {
        assert_int_equal(pci_device_remove(NVME), 0);
        put(&bus[0], 0x42, 2, last);
        assert_int_equal(pci_device_add(NVME), 0);
        mem(t + 16 * last, 4, true, 0xfee00000);
        assert_int_equal(mem(t + 16 * last, 4, false, 0), 0xfee00000);
        assert_int_equal(mem(t + 16 * last + 12, 4, false, 0), 1);
        assert_int_equal(mem(t + 16 * last + 16, 4, false, 0), 0);      /* behind it: the device's own bytes */
    }
    assert_int_equal(heap_objects(), before + 1);
    assert_int_equal(pci_device_remove(NVME), 0);
    put(&bus[0], 0x42, 2, 3 * CHUNK_ENTRIES - 1);
    fake_fail_at(1);                                        /* no room for the third piece: no MSI-X */
    assert_int_equal(pci_device_add(NVME), 0);
    assert_true(fake_failed());
    fake_fail_at(0);
    wr(NVME, 0x42, 2, MSIX_ENABLE);
    assert_int_equal(pci_find(NVME)->msix.cap, 0);
    assert_false(pci_find(NVME)->msix.on);
}

/* MSI with 32-bit addresses, left on by the firmware; no vector; taken away while it is on. */
static void msi_32_bits(void **st)
{
    fresh();
    put(&bus[3], 6, 2, 0x10);
    put(&bus[3], 0x34, 1, 0x50);
    put(&bus[3], 0x50, 4, (MSI_ENABLE | 0x20) << 16 | CAP_MSI);
    found();
    assert_int_equal(get(&bus[3], 0x52, 2), 0);
    wr(NEW, 0x54, 4, 0xfee02000);
    wr(NEW, 0x58, 2, 0x77);
    assert_true(rd(NEW, 0x54, 4) == 0xfee02000 && rd(NEW, 0x58, 2) == 0x77);
    wr(NEW, 0x5c, 4, 0x1234);                               /* not part of it */
    assert_int_equal(get(&bus[3], 0x5c, 4), 0x1234);
    while (irq_vector_alloc(msi_nobody, NULL) >= 0)
        ;
    wr(NEW, 0x52, 2, MSI_ENABLE);
    assert_int_equal(get(&bus[3], 0x52, 2), 0);             /* none left */
    fake_irq_reset();
    wr(NEW, 0x52, 2, MSI_ENABLE);
    assert_int_equal(get(&bus[3], 0x52, 2), MSI_ENABLE);
    assert_int_equal(get(&bus[3], 0x54, 4), 0xfee00000);
    assert_int_equal(get(&bus[3], 0x58, 2), VEC_DYNAMIC_FIRST);
    fake_interrupt(VEC_DYNAMIC_FIRST);
    assert_true(delivered.n == 1 && delivered.addr == 0xfee02000 && delivered.data == 0x77);
    assert_int_equal(pci_device_remove(NEW), 0);
    assert_int_equal(get(&bus[3], 0x52, 2), 0);
    fake_interrupt(VEC_DYNAMIC_FIRST);
    assert_int_equal(delivered.n, 1);
}

static void msix_dev(u32 table, u32 pba, u16 last)
{
    fresh();
    put(&bus[3], 6, 2, 0x10);
    put(&bus[3], 0x34, 1, 0x50);
    put(&bus[3], 0x50, 4, (u32)last << 16 | CAP_MSIX);
    put(&bus[3], 0x54, 4, table);
    put(&bus[3], 0x58, 4, pba);
    set_bar(3, 0, BAR_AT + 0x800000, 0x4000, 0);
    set_bar(3, 1, BAR_AT + 0x900000, 0x800, 0);
    put(&bus[3], 4, 2, CMD_MEM);
    memset(frame_window + BAR_AT + 0x800000, 0, 0x4000);
}

static void msix_places(void **st)
{
    /* Pending bits in another BAR, which is smaller than a page. */
    msix_dev(0x1000, 0x200 | 1, 3);
    struct pci_dev *dev = found();
    assert_true(dev->msix.cap == 0x50 && dev->msix.registered[0] && dev->msix.registered[1]);
    assert_true(mapped(BAR_AT + 0x800000) && !mapped(BAR_AT + 0x801000) && !mapped(BAR_AT + 0x900000));
    *(u64 *)(frame_window + BAR_AT + 0x900200) = 9;
    assert_int_equal(mem(BAR_AT + 0x900200, 8, false, 0), 9);
    /* Beside the table: accesses of all sizes go to the device. */
    static const struct { unsigned size; u64 val; } t[] = { { 1, 0x11 }, { 2, 0x2222 }, { 4, 0x44444444 }, { 8, 0x8877665544332211 } };
    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        mem(BAR_AT + 0x801100, t[i].size, true, t[i].val);
        assert_int_equal(mem(BAR_AT + 0x801100, t[i].size, false, ~0ULL), t[i].val);
        assert_memory_equal(frame_window + BAR_AT + 0x801100, &t[i].val, t[i].size);
    }
    assert_int_equal(mem(BAR_AT + 0x801101, 2, false, 0), ~0ULL);           /* not aligned */
    mem(BAR_AT + 0x801101, 2, true, 0);
    assert_int_equal(mem(BAR_AT + 0x801100, 3, false, 0), ~0ULL);
    assert_int_equal(mem(BAR_AT + 0x801100, 16, false, 0), ~0ULL);
    assert_int_equal(mem(BAR_AT + 0x801000, 2, false, 0), 0);               /* half an entry's word */
    /* The last bytes of the table and what follows. */
    mem(BAR_AT + 0x80103c, 4, true, 1);
    assert_int_equal(mem(BAR_AT + 0x801038, 8, false, 0), 1ULL << 32);
    assert_int_equal(pci_device_remove(NEW), 0);
    /* Both in the small BAR: one window. */
    msix_dev(0x100 | 1, 0x400 | 1, 1);
    dev = found();
    assert_true(dev->msix.registered[0] && !dev->msix.registered[1] && dev->msix.win[1].end == 0);
    assert_int_equal(pci_device_remove(NEW), 0);
    /* Touching pages in the large one: one window; apart: two. */
    msix_dev(0x1000, 0x2000, 3);
    dev = found();
    assert_true(dev->msix.win[0].start == 0x1000 && dev->msix.win[0].end == 0x2008);
    assert_int_equal(pci_device_remove(NEW), 0);
    msix_dev(0x3000, 0, 3);
    dev = found();
    assert_true(dev->msix.registered[0] && dev->msix.registered[1]);
    assert_true(!mapped(BAR_AT + 0x800000) && mapped(BAR_AT + 0x801000) && !mapped(BAR_AT + 0x803000));
    assert_int_equal(pci_device_remove(NEW), 0);
    /* Lies: outside of the BAR, in one that is none. */
    static const struct { u32 table, pba; u16 last; } bad[] = {
        { 0x4000, 0x3000, 3 }, { 0x3ff8, 0, 3 }, { 0x1000, 0x4000, 3 }, { 0x1000, 0x3ff8, 127 }, { 0x1000 | 2, 0, 3 },
        { 0x1000, 2, 3 }, { 0x1000 | 6, 0, 3 }, { 0x1000, 7, 3 }, { 0, 0x3000, 0x7ff },
    };
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        msix_dev(bad[i].table, bad[i].pba, bad[i].last);
        dev = found();
        assert_int_equal(dev->msix.cap, 0);
        assert_true(mapped(BAR_AT + 0x800000) && mapped(BAR_AT + 0x803000));
        assert_int_equal(pci_device_remove(NEW), 0);
    }
}

static void msix_states(void **st)
{
    const gpa_t t = BAR_AT + 0x801000;
    volatile u32 *hw = (volatile u32 *)(frame_window + BAR_AT + 0x801000);

    msix_dev(0x1000, 0x3000, 3 | MSIX_ENABLE);
    struct pci_dev *dev = found();
    assert_int_equal(get(&bus[3], 0x52, 2), 3);             /* what the firmware had on means nothing here */
    mem(t, 4, true, 0xfee00000);
    mem(t + 8, 8, true, 0x41);                              /* data and unmask in one access; the function is off */
    assert_int_equal(hw[3], 0);
    wr(NEW, 4, 2, 0);                                       /* on while nothing is decoded: later */
    wr(NEW, 0x52, 2, 3 | MSIX_ENABLE);
    assert_int_equal(hw[2], 0);
    wr(NEW, 4, 2, CMD_MEM);
    assert_true(hw[2] == VEC_DYNAMIC_FIRST && hw[3] == 0);
    wr(NEW, 0x50, 2, 0x1234);                               /* id and link are not written */
    assert_int_equal(get(&bus[3], 0x50, 2), CAP_MSIX);
    mem(t + 16 + 8, 4, true, 0x99);                         /* data of a masked entry: no vector yet */
    assert_int_equal(entry_of_(dev, 1)->vector, 0);
    /* No vectors left: the entry stays masked. */
    while (irq_vector_alloc(msi_nobody, NULL) >= 0)
        ;
    mem(t + 16 + 12, 4, true, 0);
    assert_true(hw[7] == 1 && !entry_of_(dev, 1)->vector);
    fake_irq_reset();
    mem(t + 16 + 12, 4, true, 0);
    assert_true(hw[7] == 0 && hw[6] == VEC_DYNAMIC_FIRST);
    assert_int_equal(pci_device_remove(NEW), 0);
    assert_int_equal(hw[7], 1);
    assert_int_equal(dev->msix.cap, 0);
    assert_int_equal(pci_device_remove(NEW), 0);            /* of one that dom0 does not have */
}

/* Each step of adding a device may find no memory: it stays away, or works in part, and nothing is lost. */
static void short_of_memory(void **st)
{
    for (unsigned k = 1; k < 40; k++) {
        msix_dev(0x1000, 0x3000, 200);
        fake_fail_at(k);
        int rc = pci_device_add(NEW);
        bool failed = fake_failed();
        fake_fail_at(0);
        assert_true(rc == 0 || (failed && rc == -ENOMEM));
        wr(NEW, 0x52, 2, 3 | MSIX_ENABLE);
        fake_fail_at(k % 5 + 1);
        wr(NEW, 4, 2, 0);
        fake_fail_at(0);
        wr(NEW, 4, 2, CMD_MEM);
        if (rc == 0)
            assert_int_equal(pci_device_remove(NEW), 0);
        memset(&bus[3], 0, sizeof(bus[3]));
    }
}

/* More entries than host vectors: what dom0 cannot be given it does not see, and it stays masked. */
static void msix_share_vectors(void **st)
{
    const gpa_t t = BAR_AT + 0x2000;
    volatile u32 *hw = (volatile u32 *)(frame_window + t);
    const unsigned room = VEC_DYNAMIC_LAST - VEC_DYNAMIC_FIRST + 1;
    unsigned seen;

    assert_int_equal(rd(NVME, 0x42, 2) & MSIX_SIZE, 3);     /* enough for all */
    assert_int_equal(pci_device_remove(NVME), 0);
    put(&bus[0], 0x42, 2, 0x1ff);                           /* 512 entries */
    put(&bus[0], 0x48, 4, 0x1000);
    d->max_vcpus = MAX_VCPUS;
    d->vpci->msix_limit = 0;
    assert_int_equal(pci_device_add(NVME), 0);
    assert_int_equal(rd(NVME, 0x42, 2) & MSIX_SIZE, 511);
    msix_share(d->vpci);
    d->max_vcpus = 1;
    seen = (rd(NVME, 0x42, 2) & MSIX_SIZE) + 1;
    assert_in_range(seen, 64, room - 1);
    assert_int_equal(rd(NVME, 0x40, 1), CAP_MSIX);
    for (unsigned i = 0; i < 512; i++) hw[4 * i + 3] = 0;   /* the firmware left them unmasked */
    wr(NVME, 0x42, 2, 0x1ff | MSIX_ENABLE);
    for (unsigned i = 0; i < 512; i++) assert_int_equal(hw[4 * i + 3], 1);
    for (unsigned i = 0; i < 512; i++) mem(t + 16 * i + 12, 4, true, 0);
    for (unsigned i = 0; i < 512; i++) assert_int_equal(hw[4 * i + 3], i >= seen);
    assert_int_equal(get(&bus[0], 0x42, 2) & MSIX_ENABLE, MSIX_ENABLE);
    wr(NVME, 0x42, 2, 0);
}

/* A device whose MSI-X capability lies has none: nothing beyond its BARs is mapped, read or emulated. */
static void msix_lies(void **st)
{
    static const struct { u32 table, pba; } lies[] = {
        { 0x4000, 0x3000 }, { 0x3ff0, 0x3000 }, { 0x2000, 0x3ffc + 4 }, { 0xfffffff0, 0x3000 },
        { 0x2000, 0xfffffff8 }, { 0x2001, 0x3000 }, { 0x2006, 0x3000 }, { 0x2007, 0x3000 }, { 0x2000, 0x3007 },
    };
    for (unsigned i = 0; i < ARRAY_SIZE(lies); i++) {
        assert_int_equal(pci_device_remove(NVME), 0);
        put(&bus[0], 0x44, 4, lies[i].table);
        put(&bus[0], 0x48, 4, lies[i].pba);
        assert_int_equal(pci_device_add(NVME), 0);
        assert_int_equal(pci_find(NVME)->msix.cap, 0);
        for (unsigned k = 0; k < ARRAY_SIZE(mmio); k++) assert_int_equal(mmio[k].end, 0);
        assert_true(mapped(BAR_AT + 0x2000));
    }
}

/* Debug keys 'Q' and 'M'. */
static void dumps(void **st)
{
    const gpa_t t = BAR_AT + 0x2000;

    pci_hide(AHCI + 1);
    fake_log_clear();
    vpci_dump_messages();
    assert_string_equal(fake_log, "0 message interrupts\n");
    wr(NVME, 0x42, 2, 3 | MSIX_ENABLE);
    mem(t + 3 * 16, 4, true, 0xfee01000);                   /* the last entry */
    mem(t + 3 * 16 + 8, 4, true, 0x61);
    mem(t + 3 * 16 + 12, 4, true, 0);
    wr(AHCI, 0x44, 4, 0xfee00000);
    wr(AHCI, 0x4c, 2, 0x62);
    wr(AHCI, 0x42, 2, MSI_ENABLE);
    fake_log_clear();
    vpci_dump_messages();
    assert_non_null(strstr(fake_log, "0000:00:01.0 MSI-X 3: vector 0x30; dom0's address 0xfee01000 data 0x61\n"));
    assert_non_null(strstr(fake_log, "0000:00:1f.2 MSI: vector 0x31; dom0's address 0xfee00000 data 0x62\n"));
    assert_null(strstr(fake_log, "MSI-X 2"));
    assert_non_null(strstr(fake_log, "\n2 message interrupts\n"));
    mem(t + 3 * 16 + 12, 4, true, 1);
    fake_log_clear();
    vpci_dump_messages();
    assert_non_null(strstr(fake_log, "data 0x61, masked\n"));
    fake_log_clear();
    vpci_dump_devices();
    assert_non_null(strstr(fake_log, "0000:00:01.0: dom0's, decodes memory\n  BAR 0: 0x8000000 + 0x4000, 64 bits, mapped\n"
                                     "  MSI-X at 0x40: on, 4 entries, 4 offered, table in BAR 0 at 0x2000\n"));
    assert_non_null(strstr(fake_log, "  BAR 5: 0x8010000 + 0x1000, mapped\n  MSI at 0x40: on\n"));
    assert_non_null(strstr(fake_log, "0000:00:02.0: dom0's\n  BAR 0: 0x8020100 + 0x100\n"));
    assert_non_null(strstr(fake_log, "0000:00:1f.3: the hypervisor's\n"));
    wr(NVME, 0x42, 2, 0);
    wr(AHCI, 0x42, 2, 0);
    dom0 = NULL;
    fake_log_clear();
    vpci_dump_devices();
    assert_string_equal(fake_log, "0 PCI devices\n");
    dom0 = d;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(msi, setup), cmocka_unit_test_setup(msi_refused, setup),
        cmocka_unit_test_setup(msix, setup), cmocka_unit_test_setup(growing_table, setup),
        cmocka_unit_test_setup(msi_32_bits, setup), cmocka_unit_test_setup(msix_places, setup),
        cmocka_unit_test_setup(msix_states, setup), cmocka_unit_test_setup(short_of_memory, setup),
        cmocka_unit_test_setup(msix_share_vectors, setup), cmocka_unit_test_setup(msix_lies, setup),
        cmocka_unit_test_setup(dumps, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
