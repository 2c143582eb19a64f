/* SPDX-License-Identifier: MIT */
/*
 * Interrupts of devices. Two `edu` devices of QEMU (one MSI each, or a line; DMA), and somebody outside of the machine
 * (test/boot/test_remap.py) who can make a device lie: lines "ASK ..." ask him to read or write at a physical address,
 * past Helium. Command line: "remapped" if interrupts are; else ("open") the same attacks must succeed, which shows
 * that they are attacks.
 */
#include "verdict.h"

const char test_name[] = "remap";

enum { VEC_OF = 0x61, VEC_LINE = 0x70, VEC_UNUSED = 0xf2 };      /* ours: 61h, 62h, 70h; Helium's range, without a handler */
enum { EDU_ID = 0x11e81234, EDU_STATUS = 0x24, EDU_RAISE = 0x60, EDU_LOWER = 0x64, EDU_SRC = 0x80, EDU_DST = 0x88,
       EDU_COUNT = 0x90, EDU_CMD = 0x98, EDU_BUFFER = 0x40000 };
#define ECAM 0xb0000000UL               /* of QEMU's q35 */

static struct edu { u32 bdf, cap; u64 bar; unsigned host_vector; volatile unsigned count; } dev[2];
static bool remapped;
static volatile unsigned lines;

static u32 cfg_read(u32 bdf, u32 reg)
{
    outl(0xcf8, 1u << 31 | bdf << 8 | reg);
    return inl(0xcfc);
}
static void cfg_write(u32 bdf, u32 reg, u32 val)
{
    outl(0xcf8, 1u << 31 | bdf << 8 | reg);
    outl(0xcfc, val);
}

static void wait(u64 ticks)
{
    sti();
    for (u64 end = rdtsc() + ticks; rdtsc() < end;) __asm__ volatile("pause");
    cli();
}
#define SOON 100000000UL                /* some 40 ms; an interrupt takes microseconds */

/* ---- the helper outside ---- */
static volatile struct { u32 done, val; } answer;
static u32 outside(const char *what, u64 at, u32 val)
{
    answer.done = 0;
    print("ASK %s %lx %x %lx\n", what, at, val, (u64)&answer);
    while (!answer.done) wait(1000000);
    return answer.val;
}

/* Where the device itself keeps the data of its message. */
static u64 message_of(const struct edu *e) { return ECAM + (e->bdf << 12) + e->cap + 12; }

/* The device sends this instead of its message, once. */
static void lie(struct edu *e, u32 data)
{
    outside("write", message_of(e), data);
    mmio_write(e->bar + EDU_RAISE, 1);
    wait(SOON);
    mmio_write(e->bar + EDU_LOWER, 1);
    outside("write", message_of(e), e->host_vector);
}

static void dma(struct edu *e, u64 src, u64 dst, bool to_memory)
{
    mmio_write(e->bar + EDU_SRC, (u32)src);
    mmio_write(e->bar + EDU_DST, (u32)dst);
    mmio_write(e->bar + EDU_COUNT, 4);
    mmio_write(e->bar + EDU_CMD, to_memory ? 3 : 1);
    while (mmio_read(e->bar + EDU_CMD) & 1) wait(1000000);
}

/* ---- handlers ---- */
static void on_message(struct frame *f)
{
    struct edu *e = &dev[f->vector - VEC_OF];
    e->count++;
    mmio_write(e->bar + EDU_LOWER, mmio_read(e->bar + EDU_STATUS));
    mmio_write(LAPIC + 0xb0, 0);
}

static void on_line(struct frame *f)
{
    lines++;
    for (unsigned i = 0; i < 2; i++) mmio_write(dev[i].bar + EDU_LOWER, mmio_read(dev[i].bar + EDU_STATUS));
    mmio_write(LAPIC + 0xb0, 0);
}

static void set_up(struct edu *e, u32 bdf)
{
    e->bdf = bdf;
    e->bar = cfg_read(bdf, 0x10) & ~0xfUL;
    for (e->cap = cfg_read(bdf, 0x34) & 0xff; e->cap && (cfg_read(bdf, e->cap) & 0xff) != 5;)
        e->cap = cfg_read(bdf, e->cap) >> 8 & 0xff;
    cfg_write(bdf, 4, 6);               /* memory, bus master */
    cfg_write(bdf, e->cap + 4, 0xfee00000);
    cfg_write(bdf, e->cap + 8, 0);
    cfg_write(bdf, e->cap + 12, VEC_OF + (u32)(e - dev));
}

static void msi_enable(const struct edu *e, bool on)
{
    u32 c = cfg_read(e->bdf, e->cap);
    cfg_write(e->bdf, e->cap, on ? c | 1u << 16 : c & ~(1u << 16));
}

static void expect_counts(unsigned a, unsigned b)
{
    check_eq(dev[0].count, a);
    check_eq(dev[1].count, b);
    dev[0].count = dev[1].count = 0;
}

/* ---- tests ---- */
static void own_vector(void)
{
    for (unsigned i = 0; i < 2; i++) {
        msi_enable(&dev[i], true);
        need(cfg_read(dev[i].bdf, dev[i].cap) >> 16 & 1);
        dev[i].host_vector = outside("read", message_of(&dev[i]), 0) & 0xff;
        check(dev[i].host_vector >= 0x30);
    }
    check(dev[0].host_vector != dev[1].host_vector);
    for (unsigned n = 0; n < 5; n++) {
        mmio_write(dev[0].bar + EDU_RAISE, 1);
        wait(SOON);
        expect_counts(1, 0);
        mmio_write(dev[1].bar + EDU_RAISE, 1);
        wait(SOON);
        expect_counts(0, 1);
    }
}

static void vector_of_another_device(void)
{
    lie(&dev[0], dev[1].host_vector);
    expect_counts(0, !remapped);
    lie(&dev[1], dev[0].host_vector);
    expect_counts(!remapped, 0);
    lie(&dev[0], dev[1].host_vector | 1 << 8);      /* lowest priority: index 256 and more */
    expect_counts(0, !remapped);
    lie(&dev[0], dev[0].host_vector);               /* the truth */
    expect_counts(1, 0);
}

/* QEMU's devices do their DMA under the IO-APIC's id, which has neither vector. */
static void vector_by_dma(void)
{
    static volatile u32 word;
    for (unsigned i = 0; i < 2; i++) {
        word = dev[1].host_vector;
        dma(&dev[i], (u64)&word, EDU_BUFFER, false);
        dma(&dev[i], EDU_BUFFER, 0xfee00000, true);
        wait(SOON);
        expect_counts(0, !remapped);
    }
}

/* The counter of this vector is in the log, see the caller. */
static void vector_of_the_hypervisor(void)
{
    lie(&dev[0], VEC_UNUSED);
    lie(&dev[0], VEC_UNUSED);
    expect_counts(0, 0);
}

/* NMI, INIT, ExtINT, SMI: here they would stop the machine if they arrived. */
static void other_kinds(void)
{
    if (!remapped) skip("would stop the machine");
    static const u32 kinds[] = { 2, 4, 5, 7 };
    for (unsigned i = 0; i < 4; i++) lie(&dev[0], kinds[i] << 8 | dev[0].host_vector);
    expect_counts(0, 0);
}

/* A device that was given nothing, and one from which it was taken: their messages go nowhere. */
static void vector_taken_away(void)
{
    msi_enable(&dev[0], false);
    u64 control = ECAM + (dev[0].bdf << 12) + dev[0].cap;
    u32 old = outside("read", control, 0);
    outside("write", control, old | 1u << 16);
    lie(&dev[0], dev[1].host_vector);
    expect_counts(0, !remapped);
    lie(&dev[0], VEC_UNUSED);
    outside("write", control, old);
    msi_enable(&dev[0], true);
    dev[0].host_vector = outside("read", message_of(&dev[0]), 0) & 0xff;
    mmio_write(dev[0].bar + EDU_RAISE, 1);
    wait(SOON);
    expect_counts(1, 0);
}

/* A level-triggered pin of the IO-APIC, again and again, alone and shared. */
static void line_interrupts(void)
{
    for (unsigned i = 0; i < 2; i++) msi_enable(&dev[i], false);
    for (unsigned pin = 16; pin < 24; pin++) {
        mmio_write(0xfec00000, 0x11 + 2 * pin);
        mmio_write(0xfec00010, 0);
        mmio_write(0xfec00000, 0x10 + 2 * pin);
        mmio_write(0xfec00010, VEC_LINE | 1 << 15 | 1 << 13);
    }
    for (unsigned n = 1; n <= 20; n++) {
        mmio_write(dev[n % 2].bar + EDU_RAISE, 1);
        wait(SOON / 4);
        need_eq(lines, n);
    }
    expect_counts(0, 0);
}

/* Shows the hypervisor's counters. */
static void counters(void)
{
    struct xen_sysctl s = { .cmd = XEN_SYSCTL_debug_keys, .interface_version = XEN_SYSCTL_INTERFACE_VERSION };
    static char key = 'i';
    set_xen_guest_handle(s.u.debug_keys.keys, &key);
    s.u.debug_keys.nr_keys = 1;
    check_eq(hc_sysctl(&s), 0);
}

void test_main(void)
{
    static const struct test tests[] = {
        TEST(own_vector),
        TEST(vector_of_another_device),
        TEST(vector_by_dma),
        TEST(vector_of_the_hypervisor),
        TEST(other_kinds),
        TEST(vector_taken_away),
        TEST(line_interrupts),
        TEST(counters),
    };
    unsigned n = 0;
    remapped = start_info->cmdline_paddr && !memcmp((const char *)start_info->cmdline_paddr, "remapped", 8);
    mmio_write(LAPIC + 0xf0, 0x1ff);
    trap_set(VEC_OF, on_message);
    trap_set(VEC_OF + 1, on_message);
    trap_set(VEC_LINE, on_line);
    for (u32 bdf = 0; bdf < 256 && n < 2; bdf += 8)
        if (cfg_read(bdf, 0) == EDU_ID) set_up(&dev[n++], bdf);
    expect_eq(n, 2);
    if (n == 2) RUN_TESTS(tests);
}
