/* SPDX-License-Identifier: MIT */
/* The other CPUs: start (SDM vol. 3, 8.4.4), IPIs, calls on all CPUs, stopping by NMI. */
#include "acpi/acpi.h"
#include "boot/boot.h"
#include "boot/cmdline.h"
#include "cpu/internal.h"
#include "cpu/lapic.h"
#include "cpu/trap.h"
#include "debug/console.h"
#include "debug/internal.h"
#include "hvm/hvm.h"
#include "irq/irq.h"
#include "mm/hostmap.h"
#include "sched/sched.h"
#include "sync/sync.h"
#include "time/time.h"

static u64 opt_maxcpus = NR_CPUS;
static bool opt_nosmp;
BOOT_OPTION(maxcpus, "maxcpus", OPT_UINT, 0, &opt_maxcpus, NULL, "use at most this many CPUs");
BOOT_OPTION(nosmp, "nosmp", OPT_BOOL, 0, &opt_nosmp, NULL, "use the boot CPU only");

extern const char trampoline_start[], trampoline_end[], trampoline_gdtr[], trampoline_gdt[], trampoline_far32[],
    trampoline_far64[], trampoline_t32[], trampoline_t64[], trampoline_cr3[], trampoline_entry[];
extern const char ap_start64[];

/* ---- one AP ---- */
struct cpu *ap_cpu;                 /* the CPU being started; read by trap.S */
static u32 ap_state;
enum { AP_IDLE, AP_STARTING, AP_RUNNING, AP_READY };
static u64 ap_tsc_request, ap_tsc_answer;

#define START_TIMEOUT_NS 2000000000ULL

static void delay_ns(u64 ns)
{
    u64 end = now_ns() + ns;
    while (now_ns() < end)
        cpu_relax();
}

/* TSC synchronisation: the BSP sends its TSC, the AP answers with its own, several times; the shortest round trip
 * tells the offset to half its length. AP side. */
static void tsc_sync_ap(void)
{
    for (;;) {
        u64 req;
        while (!(req = load_acquire(&ap_tsc_request)))
            cpu_relax();
        if (req == ~0ULL)
            break;
        store_release(&ap_tsc_request, 0ULL);
        store_release(&ap_tsc_answer, rdtsc_ordered());
    }
    store_release(&ap_tsc_request, 0ULL);
}

static s64 tsc_sync_bsp(u64 *width)
{
    s64 offset = 0;
    *width = ~0ULL;
    for (unsigned i = 0; i < 16; i++) {
        u64 t0 = rdtsc_ordered(), ap;
        store_release(&ap_tsc_request, t0 | 1);
        while (!(ap = load_acquire(&ap_tsc_answer)))
            cpu_relax();
        u64 t1 = rdtsc_ordered();
        store_release(&ap_tsc_answer, 0ULL);
        if (t1 - t0 < *width) {
            *width = t1 - t0;
            offset = (s64)(ap - (t0 + (t1 - t0) / 2));
        }
    }
    store_release(&ap_tsc_request, ~0ULL);
    while (load_acquire(&ap_tsc_request))
        cpu_relax();
    return offset;
}

void ap_main(struct cpu *c)
{
    /* Too late: the BSP has given us up, and with us this stack. */
    if (!atomic_cas(&ap_state, (u32)AP_STARTING, (u32)AP_RUNNING))
        for (;;)
            __asm__ volatile("cli; hlt");
    cpu_set_controls();
    desc_load(c);
    ucode_init_ap();                /* first: the boot CPU's features are those that its microcode brought */
    u32 missing;
    int word = cpuid_compare_ap(&missing);
    if (word >= 0)
        panic("CPU%u (APIC id %u) lacks features 0x%08x of the boot CPU's word %d\n", c->id, c->apic_id, missing,
              word);
    machine_check_init();
    lapic_init_ap();
    spec_init_ap();
    tsc_sync_ap();
    time_init_ap();
    hvm_init_ap();
    c->online = true;
    store_release(&ap_state, (u32)AP_READY);
    while (read_once(&nr_cpus) <= c->id)
        cpu_relax();
    run_loop();
}

static bool wait_state(u32 state, u64 timeout_ns)
{
    u64 start = now_ns(), end = start + timeout_ns;
    while (load_acquire(&ap_state) < state && now_ns() < end)
        cpu_relax();
    return load_acquire(&ap_state) >= state;
}

/* INIT, then up to two STARTUPs. Processors since 2005 need no pause after INIT; the time counts as waiting. */
static bool send_start(u32 apic_id, paddr_t page)
{
    u64 t0 = now_ns();
    lapic_send(apic_id, ICR_INIT);
    delay_ns(10000);
    bool up = false;
    for (unsigned try = 0; try < 2 && !up; try++) {
        lapic_send(apic_id, ICR_STARTUP | (u32)(page >> PAGE_SHIFT));
        up = wait_state(AP_RUNNING, try ? START_TIMEOUT_NS : 100000000ULL);
    }
    boot_wait_ns += now_ns() - t0;
    return up;
}

static bool start_cpu(const struct acpi_cpu *a, paddr_t page)
{
    struct cpu *c = cpu_alloc(nr_cpus, a->apic_id, a->acpi_id);
    if (!c) {
        printk(LOG_ERR, "CPU%u: not enough memory\n", nr_cpus);
        return false;
    }
    ap_cpu = c;
    ap_tsc_request = ap_tsc_answer = 0;
    store_release(&ap_state, (u32)AP_STARTING);
    /* The last moment to come up is before this exchange; afterwards ap_main() halts. */
    if (!send_start(a->apic_id, page) && atomic_cas(&ap_state, (u32)AP_STARTING, (u32)AP_IDLE)) {
        printk(LOG_ERR, "CPU with APIC id %u does not start, ignored\n", a->apic_id);
        lapic_send(a->apic_id, ICR_INIT);       /* back to waiting: waking up late it would take the next one's stack */
        return false;
    }
    u64 width;
    s64 offset = tsc_sync_bsp(&width);
    while (load_acquire(&ap_state) != AP_READY)
        cpu_relax();
    if ((u64)(offset < 0 ? -offset : offset) > width && (u64)(offset < 0 ? -offset : offset) > tsc_khz / 100) {
        printk(LOG_WARN, "CPU%u: TSC differs by %ld ticks from the boot CPU\n", c->id, offset);
        tsc_reliable = false;
    }
    cpus[c->id] = c;
    store_release(&nr_cpus, c->id + 1);
    return true;
}

/* ---- trampoline ---- */
static bool page_taken(paddr_t p)
{
    for (unsigned i = 0; i < boot_info.nr_modules; i++)
        if (p < boot_info.module[i].start + boot_info.module[i].size && p + PAGE_SIZE > boot_info.module[i].start)
            return true;
    return p < boot_info.image_end && p + PAGE_SIZE > boot_info.image_start;
}

/* Highest free page of RAM below 640 KiB, page 0 excluded. 0: none. */
static paddr_t find_low_page(void)
{
    for (paddr_t p = 0x9f000; p >= PAGE_SIZE; p -= PAGE_SIZE)
        for (unsigned i = 0; i < boot_info.nr_mmap; i++) {
            const struct boot_range *r = &boot_info.mmap[i];
            if (r->type == 1 && p >= r->start && p + PAGE_SIZE <= r->end && !page_taken(p))
                return p;
        }
    return 0;
}

static void put32(char *copy, const char *label, u32 v) { memcpy(copy + (label - trampoline_start), &v, 4); }

static void trampoline_place(char *copy, paddr_t page)
{
    u64 entry = (u64)ap_start64;
    memcpy(copy, trampoline_start, (size_t)(trampoline_end - trampoline_start));
    put32(copy, trampoline_cr3, (u32)boot_cr3);
    put32(copy, trampoline_far32, (u32)page + (u32)(trampoline_t32 - trampoline_start));
    put32(copy, trampoline_far64, (u32)page + (u32)(trampoline_t64 - trampoline_start));
    put32(copy, trampoline_gdtr + 2, (u32)page + (u32)(trampoline_gdt - trampoline_start));
    memcpy(copy + (trampoline_entry - trampoline_start), &entry, sizeof(entry));
}

/* ---- calls ---- */
static void (*call_fn)(void *);
static void *call_arg;
static u32 call_pending;

static void call_irq(void *arg, unsigned vector)
{
    call_fn(call_arg);
    atomic_sub(&call_pending, 1u);
}

void smp_kick(unsigned cpu)
{
    if (cpu < nr_cpus && cpu != this_cpu()->id)
        lapic_send(cpus[cpu]->apic_id, ICR_FIXED | VEC_KICK);
}

void smp_call_all(void (*fn)(void *), void *arg)
{
    call_fn = fn;
    call_arg = arg;
    store_release(&call_pending, nr_cpus - 1);
    for (unsigned i = 0; i < nr_cpus; i++)
        if (i != this_cpu()->id)
            lapic_send(cpus[i]->apic_id, ICR_FIXED | VEC_CALL);
    fn(arg);
    while (load_acquire(&call_pending))
        cpu_relax();
}

/* ---- NMI ---- */
static struct { void (*fn)(void); u32 cpu; u32 state; } nmi_call = { .cpu = ~0u };    /* state: 1 posted, 0 done */
static const struct trap_frame *nmi_frames[NR_CPUS];
static u32 stop_all;                /* 1: NMI means halt */
static u32 nr_stopped;

const struct trap_frame *nmi_frame(void) { return nmi_frames[this_cpu()->id]; }

bool smp_nmi(const struct trap_frame *f)
{
    u32 id = this_cpu()->id;
    if (load_acquire(&stop_all)) {
        atomic_add(&nr_stopped, 1u);
        for (;;)
            __asm__ volatile("cli; hlt");
    }
    if (load_acquire(&nmi_call.state) != 1 || nmi_call.cpu != id)
        return false;
    nmi_frames[id] = f;
    nmi_call.fn();
    nmi_frames[id] = NULL;
    store_release(&nmi_call.state, 0u);
    return true;
}

bool smp_nmi_call(unsigned cpu, void (*fn)(void))
{
    if (cpu >= nr_cpus || cpu == this_cpu()->id)
        return false;
    nmi_call.fn = fn;
    nmi_call.cpu = cpu;
    store_release(&nmi_call.state, 1u);
    lapic_send(cpus[cpu]->apic_id, ICR_NMI);
    u64 end = now_ns() + 1000000000ULL;
    while (load_acquire(&nmi_call.state) && now_ns() < end)
        cpu_relax();
    return atomic_xchg(&nmi_call.state, 0u) == 0;
}

void smp_stop_others(void)
{
    if (nr_cpus <= 1)
        return;
    store_release(&stop_all, 1u);
    /* One by one: CPUs that we never started (maxcpus=, ids or numbers beyond ours) wait in the firmware's code. An
     * NMI to them would go through tables in memory that is dom0's by now, and end in a reset. */
    for (unsigned i = 0; i < nr_cpus; i++)
        if (i != this_cpu()->id)
            lapic_send(cpus[i]->apic_id, ICR_NMI);
    for (unsigned i = 0; i < 100000000 && load_acquire(&nr_stopped) < nr_cpus - 1; i++)
        cpu_relax();
}

/* ---- all ---- */
void smp_init(void)
{
    struct cpu *bsp = this_cpu();
    irq_set_handler(VEC_CALL, call_irq, NULL);
    if (!cpu_stacks_alloc(bsp))
        panic("No memory for the boot CPU's stacks\n");
    unsigned limit = opt_nosmp ? 1 : (unsigned)MIN(opt_maxcpus ? opt_maxcpus : 1, (u64)NR_CPUS);
    unsigned left = 0, high_id = 0;
    paddr_t page = find_low_page();
    static char saved[PAGE_SIZE];
    char *low = page ? phys_to_virt(page) : NULL;
    if (low) {
        memcpy(saved, low, PAGE_SIZE);
        trampoline_place(low, page);
    } else if (nr_acpi_cpus > 1 && limit > 1) {
        printk(LOG_ERR, "No free page below 1 MiB to start other CPUs from\n");
    }
    for (unsigned i = 0; i < nr_acpi_cpus; i++) {
        const struct acpi_cpu *a = &acpi_cpus[i];
        if (a->apic_id == bsp->apic_id)
            bsp->acpi_id = a->acpi_id;
        else if (!a->enabled)
            continue;
        else if (a->apic_id > lapic_max_id())
            high_id++;
        else if (nr_cpus >= limit)
            left++;
        else if (low)
            start_cpu(a, page);
    }
    if (low)
        memcpy(low, saved, PAGE_SIZE);
    if (left)
        printk(LOG_WARN, "%u more CPUs than %s are left unused\n", left,
               limit < NR_CPUS ? "maxcpus= allows" : "the 64 that Helium supports");
    if (high_id)
        printk(LOG_WARN, "%u CPUs with APIC ids above %u are left unused\n", high_id, lapic_max_id());
    printk(LOG_INFO, "CPUs: %u x %s, family %u model %u stepping %u\n", nr_cpus, host.brand, host.family, host.model,
           host.stepping);
}
