/* SPDX-License-Identifier: MIT */
/*
 * System time from the TSC. Zero is our first instruction. The frequency comes from CPUID where the CPU knows it,
 * otherwise from one measurement of 10 ms that serves TSC and local APIC timer together.
 */
#include "boot/boot.h"
#include "boot/cmdline.h"
#include "cpu/internal.h"
#include "cpu/lapic.h"
#include "time/internal.h"
#include "time/time.h"

u32 tsc_khz, tsc_mul;
s8 tsc_shift;
bool tsc_reliable;
u64 boot_wait_ns;
static u64 tsc_base;

#define MEASURE_NS 10000000ULL

static bool opt_unstable;
static int opt_tsc(const char *v)
{
    opt_unstable = !strcmp(v, "unstable");
    return 0;
}
BOOT_OPTION(tsc, "tsc", OPT_CUSTOM, 0, NULL, opt_tsc, "unstable: do not promise guests an invariant TSC");

u64 tsc_read(void) { return rdtsc(); }

static u64 scale(u64 delta)
{
    return mul_shift32(tsc_shift >= 0 ? delta << tsc_shift : delta >> -tsc_shift, tsc_mul);
}

u64 tsc_to_ns(u64 tsc) { return tsc > tsc_base ? scale(tsc - tsc_base) : 0; }
u64 now_ns(void) { return tsc_to_ns(rdtsc_ordered()); }

/* A duration, not a point in time. */
u64 ns_to_tsc(u64 ns)
{
    return ns / 1000000 * tsc_khz + ns % 1000000 * tsc_khz / 1000000;
}

/* mul in [2^31, 2^32): the most precise form of the pvclock scale (public/xen.h, struct vcpu_time_info). */
static void set_frequency(u32 khz)
{
    u64 hz = (u64)khz * 1000;
    s8 shift = 0;
    for (; hz > 2000000000ULL; hz >>= 1)
        shift--;
    for (; hz <= 1000000000ULL; hz <<= 1)
        shift++;
    tsc_mul = (u32)((1000000000ULL << 32) / hz);
    tsc_shift = shift;
    tsc_khz = khz;
}

/* ---- measurement ---- */
struct sample { u64 tsc; u32 ref, lapic; };

/* All three counters at nearly one moment: of several tries the one that took the least time. */
static struct sample take(const struct refclock *rc)
{
    struct sample best = { 0 };
    u64 best_width = ~0ULL;
    for (unsigned i = 0; i < 8; i++) {
        u64 a = rdtsc_ordered();
        u32 ref = rc->read();
        u32 lapic = lapic_timer_count();
        u64 b = rdtsc_ordered();
        if (b - a < best_width) {
            best_width = b - a;
            best = (struct sample){ a + (b - a) / 2, ref, lapic };
        }
    }
    return best;
}

static u64 ref_ns(const struct refclock *rc, const struct sample *a, const struct sample *b)
{
    return ((b->ref - a->ref) & rc->mask) * rc->period_fs / 1000000;
}

/* Returns the TSC's kHz, *lapic_khz that of the local APIC timer. */
static u32 measure(u32 *lapic_khz)
{
    const struct refclock *rc = refclock_find();
    lapic_timer_free_run();
    struct sample s0 = take(rc), s1;
    u64 ns = 0, limit = 0;
    do {
        __builtin_ia32_pause();
        s1 = (struct sample){ .ref = rc->read() };
        ns = ref_ns(rc, &s0, &s1);
    } while (ns < MEASURE_NS && ++limit < 100000000);
    s1 = take(rc);
    ns = ref_ns(rc, &s0, &s1);
    boot_wait_ns += ns;
    if (ns < MEASURE_NS / 2 || s1.tsc - s0.tsc > 1ULL << 44)
        panic("The %s does not run (or the TSC does not): no clock to measure the TSC with\n", rc->name);
    *lapic_khz = (u32)((u64)(s0.lapic - s1.lapic) * 1000000 / ns);
    u64 khz = (s1.tsc - s0.tsc) * 1000000 / ns;
    printk(LOG_INFO, "Time: TSC %lu.%03lu MHz, measured with the %s for %lu us\n", khz / 1000, khz % 1000, rc->name,
           ns / 1000);
    return (u32)MIN(khz, 0xffffffffUL);
}

/* CPUID leaf 0x15: crystal frequency and its ratio to the TSC (SDM vol. 2). 0 if it does not say. */
static u32 tsc_khz_from_cpuid(u32 *crystal_khz)
{
    struct cpuid_regs r;
    host_cpuid(0x15, 0, &r);
    if (!r.a || !r.b || r.c < 1000000)
        return 0;
    *crystal_khz = r.c / 1000;
    u64 khz = (u64)r.c * r.b / r.a / 1000;
    printk(LOG_INFO, "Time: TSC %lu.%03lu MHz, from CPUID\n", khz / 1000, khz % 1000);
    return (u32)khz;
}

void time_init(void)
{
    u32 lapic_khz = 0, khz;
    tsc_reliable = cpu_has(FEAT_INVARIANT_TSC) && !opt_unstable;
    khz = host.vendor == VENDOR_INTEL && lapic_has_deadline() && tsc_reliable ? tsc_khz_from_cpuid(&lapic_khz) : 0;
    if (!khz)
        khz = measure(&lapic_khz);
    if (khz < 10000)
        panic("TSC runs at %u kHz: this cannot be\n", khz);
    u64 now = rdtsc();
    tsc_base = boot_info.entry_tsc && boot_info.entry_tsc < now ? boot_info.entry_tsc : now;
    set_frequency(khz);
    if (!tsc_reliable)
        printk(LOG_INFO, "Time: no invariant TSC%s\n", opt_unstable ? " (tsc=unstable)" : "");
    lapic_timer_ready(lapic_khz);
    lapic_timer_start_cpu();
    timer_run();                    /* arm for what was set before */
    wallclock_init();
}

void time_init_ap(void)
{
    lapic_timer_start_cpu();
}
