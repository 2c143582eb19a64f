/* SPDX-License-Identifier: MIT */
/* Fake machine: interrupt windows, kicks, vectors, one IO-APIC, the clock and timer hardware. */
#include "fake.h"
#include "fake_internal.h"
#include "irq/irq.h"
#include "irq/remap.h"

/* ---- interrupts ---- */
bool (*fake_irq_window_hook)(void);
void (*fake_kick_hook)(unsigned cpu);
unsigned fake_kicks[NR_CPUS];
struct fake_gsi fake_gsi[24];
struct ioapic_info ioapics[MAX_IOAPICS];
unsigned nr_ioapics;
struct irq_override irq_overrides[16];
unsigned nr_irq_overrides;
static struct { irq_fn fn; void *arg; } vectors[256];
int fake_msi_requester[256], fake_msi_error;

void fake_irq_reset(void)
{
    fake_irq_window_hook = NULL;
    fake_kick_hook = NULL;
    memset(fake_kicks, 0, sizeof(fake_kicks));
    memset(fake_gsi, 0, sizeof(fake_gsi));
    memset(vectors, 0, sizeof(vectors));
    memset(fake_msi_requester, 0xff, sizeof(fake_msi_requester));
    fake_msi_error = 0;
    ioapics[0] = (struct ioapic_info){ .id = 0, .nr_pins = 24, .version = 0x20, .gsi_base = 0, .paddr = 0xfec00000 };
    nr_ioapics = 1;
    nr_irq_overrides = 0;
}

bool irq_window(void)
{
    assert_no_locks();
    return fake_irq_window_hook ? fake_irq_window_hook() : false;
}

void irq_idle(void) { irq_window(); }

void smp_kick(unsigned cpu)
{
    atomic_add(&fake_kicks[cpu], 1);
    if (fake_kick_hook)
        fake_kick_hook(cpu);
}

void smp_call_all(void (*fn)(void *), void *arg)
{
    struct cpu *self = this_cpu_ptr;
    for (unsigned i = 0; i < nr_cpus; i++) {
        this_cpu_ptr = cpus[i];
        fn(arg);
    }
    this_cpu_ptr = self;
}

int irq_vector_alloc(irq_fn fn, void *arg)
{
    for (int v = VEC_DYNAMIC_FIRST; v <= VEC_DYNAMIC_LAST; v++) {
        if (!vectors[v].fn) {
            vectors[v].fn = fn;
            vectors[v].arg = arg;
            return v;
        }
    }
    return -ENOSPC;
}

void irq_vector_free(unsigned vector)
{
    if (fake_msi_requester[vector & 255] >= 0)
        panic("vector %#x is freed while a device can raise it\n", vector);
    vectors[vector & 255].fn = NULL;
}

bool fake_vector_used(unsigned vector) { return vectors[vector & 255].fn; }

void fake_interrupt(unsigned vector)
{
    if (vectors[vector & 255].fn)
        vectors[vector & 255].fn(vectors[vector & 255].arg, vector);
}

unsigned gsi_count(void) { return ARRAY_SIZE(fake_gsi); }

int gsi_setup(unsigned gsi, unsigned vector, bool level, bool active_low, unsigned cpu)
{
    if (gsi >= ARRAY_SIZE(fake_gsi))
        return -EINVAL;
    fake_gsi[gsi] = (struct fake_gsi){ .vector = vector, .level = level, .low = active_low, .masked = true,
                                       .set_up = true, .cpu = cpu };
    return 0;
}

void gsi_mask(unsigned gsi, bool masked)
{
    if (gsi < ARRAY_SIZE(fake_gsi))
        fake_gsi[gsi].masked = masked;
}

void gsi_eoi(unsigned gsi)
{
    if (gsi < ARRAY_SIZE(fake_gsi))
        fake_gsi[gsi].eois++;
}

int msi_route(u16 requester, unsigned vector, unsigned cpu, u64 *addr, u32 *data)
{
    if (fake_msi_error)
        return fake_msi_error;
    fake_msi_requester[vector & 255] = requester;
    *addr = 0xfee00000 | (u64)cpus[cpu]->apic_id << 12;
    *data = vector;
    return 0;
}

void msi_unroute(u16 requester, unsigned vector)
{
    if (fake_msi_requester[vector & 255] == requester)
        fake_msi_requester[vector & 255] = -1;
}

int (*fake_ioapic_remap)(void);
int ioapic_remap(void) { return fake_ioapic_remap ? fake_ioapic_remap() : 0; }

/* ---- clock: a TSC of exactly 1 GHz ---- */
static u64 clock_ns;
static u64 wall_base_s = 1700000000;
static u32 wall_base_ns;
u64 fake_timer_armed_ns[NR_CPUS];
u32 tsc_khz = 1000000;
u32 tsc_mul = 0x80000000;
s8 tsc_shift = 1;
bool tsc_reliable = true;
u64 boot_wait_ns;

void fake_time_set(u64 ns) { clock_ns = ns; }
void fake_time_advance(u64 ns) { clock_ns += ns; }
u64 now_ns(void) { return clock_ns; }
u64 tsc_read(void) { return clock_ns; }
u64 tsc_to_ns(u64 tsc) { return tsc; }
u64 ns_to_tsc(u64 ns) { return ns; }
void timer_hw_set(u64 expires_ns) { fake_timer_armed_ns[this_cpu()->id] = expires_ns; }
void wallclock_get(u64 *sec, u32 *nsec)
{
    *sec = wall_base_s;
    *nsec = wall_base_ns;
}
void wallclock_set(u64 secs, u32 nsecs, u64 system_ns)
{
    u64 total = secs * 1000000000ULL + nsecs - system_ns;
    wall_base_s = total / 1000000000ULL;
    wall_base_ns = (u32)(total % 1000000000ULL);
}
u64 wallclock_now(void) { return wall_base_s + (wall_base_ns + clock_ns) / 1000000000ULL; }
