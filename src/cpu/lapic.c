/* SPDX-License-Identifier: MIT */
/* Local APIC of the host (SDM vol. 3 ch. 11). Physical destination mode everywhere. */
#include "boot/cmdline.h"
#include "cpu/internal.h"
#include "cpu/lapic.h"
#include "irq/irq.h"
#include "mm/mm.h"
#include "time/time.h"

enum {
    REG_ID = 0x020, REG_VERSION = 0x030, REG_TPR = 0x080, REG_EOI = 0x0b0, REG_LDR = 0x0d0, REG_DFR = 0x0e0,
    REG_SVR = 0x0f0, REG_ISR = 0x100, REG_ESR = 0x280, REG_LVT_CMCI = 0x2f0, REG_ICR = 0x300, REG_ICR2 = 0x310,
    REG_LVT_TIMER = 0x320, REG_LVT_THERMAL = 0x330, REG_LVT_PERF = 0x340, REG_LVT_LINT0 = 0x350,
    REG_LVT_LINT1 = 0x360, REG_LVT_ERROR = 0x370, REG_TMICT = 0x380, REG_TMCCT = 0x390, REG_TDCR = 0x3e0,
};
#define LVT_MASKED (1u << 16)
#define LVT_NMI (4u << 8)
#define LVT_DEADLINE (2u << 17)
#define SVR_ENABLE (1u << 8)
#define ICR_BUSY (1u << 12)
#define TDCR_DIV_1 0xbu

bool lapic_x2apic;
static volatile u8 *regs;
static bool use_deadline;
static u32 timer_khz;

static int want_x2apic = -1;
static int opt_x2apic(const char *v)
{
    want_x2apic = strcmp(v, "0") && strcmp(v, "no") && strcmp(v, "off") && strcmp(v, "false");
    return 0;
}
BOOT_OPTION(x2apic, "x2apic", OPT_CUSTOM, 0, NULL, opt_x2apic,
            "x2APIC mode for the host: default as the firmware left it");

static u32 rd(unsigned reg)
{
    return lapic_x2apic ? (u32)rdmsr(MSR_X2APIC + reg / 16) : mmio_read32(regs + reg);
}

static void wr(unsigned reg, u32 v)
{
    if (lapic_x2apic)
        wrmsr(MSR_X2APIC + reg / 16, v);
    else
        mmio_write32(regs + reg, v);
}

void lapic_eoi(void) { wr(REG_EOI, 0); }
void lapic_recheck(void) { wr(REG_TPR, 0); }
u32 lapic_id(void) { return lapic_x2apic ? rd(REG_ID) : rd(REG_ID) >> 24; }
u32 lapic_max_id(void) { return 254; }  /* IO-APIC and MSI messages have 8 bits without interrupt remapping */
bool lapic_has_deadline(void) { return cpu_has(FEAT_TSC_DEADLINE); }

static void icr_write(u32 dest, u32 low)
{
    if (lapic_x2apic) {
        /* Unlike the xAPIC's, this write orders nothing: make earlier stores visible first (SDM 11.12.3). */
        __asm__ volatile("mfence; lfence" ::: "memory");
        wrmsr(MSR_X2APIC + REG_ICR / 16, (u64)dest << 32 | low);
        return;
    }
    for (unsigned i = 0; (rd(REG_ICR) & ICR_BUSY) && i < 1000000; i++)
        __builtin_ia32_pause();
    wr(REG_ICR2, dest << 24);
    wr(REG_ICR, low);
}

void lapic_send(u32 apic_id, u32 mode_vector) { icr_write(apic_id, mode_vector | ICR_ASSERT); }

/* Everything off or to us; also called with whatever state the firmware left. */
static void setup(void)
{
    wr(REG_TPR, 0);
    wr(REG_LVT_TIMER, LVT_MASKED | VEC_TIMER);
    wr(REG_TMICT, 0);
    if (!lapic_x2apic) {
        wr(REG_DFR, ~0u);           /* flat; unused in physical mode but must not be reserved values */
        wr(REG_LDR, 0);
    }
    unsigned max_lvt = rd(REG_VERSION) >> 16 & 0xff;
    if (max_lvt >= 5)
        wr(REG_LVT_THERMAL, LVT_MASKED);
    if (max_lvt >= 4)
        wr(REG_LVT_PERF, LVT_MASKED);
    if (max_lvt >= 6)
        wr(REG_LVT_CMCI, LVT_MASKED);
    wr(REG_LVT_LINT0, LVT_MASKED);  /* no 8259 */
    wr(REG_LVT_LINT1, LVT_NMI);
    wr(REG_SVR, SVR_ENABLE | VEC_SPURIOUS);
    wr(REG_ESR, 0);
    wr(REG_ESR, 0);
    wr(REG_LVT_ERROR, VEC_ERROR);
    /* Interrupts that the firmware accepted but never finished would block lower vectors. */
    for (unsigned i = 0; i < 256; i++) {
        u32 any = 0;
        for (unsigned r = 0; r < 8; r++)
            any |= rd(REG_ISR + r * 16);
        if (!any)
            break;
        lapic_eoi();
    }
}

static void enable(void)
{
    u64 base = rdmsr(MSR_APIC_BASE) | APIC_BASE_ENABLE;
    wrmsr(MSR_APIC_BASE, base);     /* x2APIC is only reachable from enabled xAPIC mode */
    if (lapic_x2apic && !(base & APIC_BASE_X2APIC))
        wrmsr(MSR_APIC_BASE, base | APIC_BASE_X2APIC);
}

static void error_irq(void *arg, unsigned vector)
{
    static unsigned told;
    wr(REG_ESR, 0);
    u32 esr = rd(REG_ESR);
    if (esr && told++ < 10)
        printk(LOG_WARN, "CPU%u: local APIC error 0x%02x\n", this_cpu()->id, esr);
}

static void timer_irq(void *arg, unsigned vector)
{
    this_cpu()->timer.armed_ns = ~0ULL;     /* one-shot: it is off now */
    timer_run();
}

void lapic_init(void)
{
    u64 base = rdmsr(MSR_APIC_BASE);
    bool firmware = base & APIC_BASE_X2APIC;
    bool want = want_x2apic < 0 ? firmware : want_x2apic;
    if (want && !cpu_has(FEAT_X2APIC)) {
        printk(LOG_WARN, "x2apic: this CPU has none\n");
        want = false;
    }
    /* Leaving x2APIC mode takes a detour through "disabled" and is forbidden when the firmware locked it. */
    if (firmware && !want) {
        printk(LOG_WARN, "x2apic: the firmware switched it on, staying in it\n");
        want = true;
    }
    lapic_x2apic = want;
    if (!want) {
        paddr_t p = base & ((1ULL << host.phys_bits) - 1) & PAGE_MASK;
        regs = mmio_map(p, PAGE_SIZE);
        if (!regs)
            panic("local APIC at 0x%lx cannot be mapped\n", p);
    }
    enable();
    setup();
    irq_set_handler(VEC_ERROR, error_irq, NULL);
    irq_set_handler(VEC_TIMER, timer_irq, NULL);
    this_cpu()->apic_id = lapic_id();
    printk(LOG_INFO, "Local APIC: %s mode, boot CPU has id %u\n", want ? "x2APIC" : "xAPIC", this_cpu()->apic_id);
}

void lapic_init_ap(void)
{
    enable();
    setup();
}

/* ---- timer ---- */
void lapic_timer_free_run(void)
{
    wr(REG_LVT_TIMER, LVT_MASKED | VEC_TIMER);
    wr(REG_TDCR, TDCR_DIV_1);
    wr(REG_TMICT, ~0u);
}

u32 lapic_timer_count(void) { return rd(REG_TMCCT); }

void lapic_timer_ready(u32 khz)
{
    use_deadline = lapic_has_deadline() && tsc_reliable;
    timer_khz = khz;
    if (!use_deadline && khz < 1000)
        panic("local APIC timer runs at %u kHz: unusable, and there is no other timer\n", khz);
    if (use_deadline)
        printk(LOG_INFO, "Timer: local APIC, TSC deadline\n");
    else
        printk(LOG_INFO, "Timer: local APIC, one-shot, %u.%03u MHz\n", khz / 1000, khz % 1000);
}

void lapic_timer_start_cpu(void)
{
    wr(REG_TMICT, 0);
    wr(REG_TDCR, TDCR_DIV_1);
    wr(REG_LVT_TIMER, VEC_TIMER | (use_deadline ? LVT_DEADLINE : 0));
    if (use_deadline)
        __asm__ volatile("mfence" ::: "memory");    /* the LVT write before the first deadline (SDM 11.5.4.1) */
    this_cpu()->timer.armed_ns = ~0ULL;
}

void timer_hw_set(u64 expires_ns)
{
    if (!timer_khz && !use_deadline)
        return;                     /* before time_init(): timer_run() will be reached later */
    if (use_deadline) {
        u64 tsc = 0;
        if (expires_ns != ~0ULL) {
            u64 now = now_ns(), delta = expires_ns > now ? expires_ns - now : 0;
            tsc = rdtsc() + ns_to_tsc(MIN(delta, 1ULL << 40)) + 1;
        }
        wrmsr(MSR_TSC_DEADLINE, tsc);
        return;
    }
    u32 ticks = 0;                  /* 0 stops it */
    if (expires_ns != ~0ULL) {
        const u64 max_ns = 1000000000ULL;       /* longer waits come in steps: timer_run() re-arms */
        u64 now = now_ns(), delta = MIN(expires_ns > now ? expires_ns - now : 0, max_ns);
        u64 t = delta * timer_khz / 1000000 + 1;
        ticks = t > 0xffffffffULL ? 0xffffffffu : (u32)t;
    }
    wr(REG_TMICT, ticks);
}
