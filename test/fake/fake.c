/* SPDX-License-Identifier: MIT */
/* Fake machine: RAM, CPUs, failure injection, hook points, globals of modules that are absent in hosted builds. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/mman.h>
#include <sanitizer/asan_interface.h>
#include "fake.h"
#include "fake_internal.h"
#include "boot/boot.h"
#include "sync/live.h"

#define WINDOW_BYTES GiB(16)        /* address space only; touched pages count */

char *frame_window;
u64 fake_ram_bytes;
bool fake_ram_keep;
struct cpu *cpus[NR_CPUS];
unsigned nr_cpus;
__thread struct cpu *this_cpu_ptr;
void (*fake_hook)(const void *addr);
__thread bool fake_hook_reads;

static struct cpu cpu_data[NR_CPUS];
static unsigned fail_countdown, copy_countdown;
static bool fail_always, fail_happened;

/* Modules of the bare machine define these; a strong definition in a linked module wins. */
__attribute__((weak)) struct domain *dom0;
__attribute__((weak)) struct boot_info boot_info;
__attribute__((weak)) const struct hvm_ops *hvm;

void hook_point(const void *addr)
{
    if (fake_hook)
        fake_hook(addr);
}

__attribute__((weak)) bool watchdog_on;
__attribute__((weak)) void watchdog_wait(void) {}

void (*fake_mask_hook)(u64 idx, u64 limit);
void index_masked(u64 idx, u64 limit)
{
    if (fake_mask_hook)
        fake_mask_hook(idx, limit);
}

void (*fake_live_hook)(const struct live_entry *e, u64 old, u64 now);
void live_write(struct live_entry *e, u64 v)
{
    u64 old = live_get(e);

    store_release((u64 *)&e->by_functions_only, v);
    if (fake_live_hook)
        fake_live_hook(e, old, v);
}

void hook_read(const void *addr)
{
    fake_hook_reads = true;
    hook_point(addr);
    fake_hook_reads = false;
}

void fake_fail_at(unsigned k)
{
    fail_countdown = k;
    copy_countdown = 0;
    fail_always = fail_happened = false;
}

void fake_fail_copy_at(unsigned k)
{
    fake_fail_at(0);
    copy_countdown = k;
}

bool fail_copy(void)
{
    if (!copy_countdown || --copy_countdown)
        return false;
    return fail_happened = true;
}

void fake_fail_from(unsigned k)
{
    fake_fail_at(k);
    fail_always = k != 0;
}

bool fake_failed(void) { return fail_happened; }

bool fail_point(void)
{
    if (fail_countdown == 0 || (fail_countdown > 1 && fail_countdown--))
        return false;
    if (!fail_always)
        fail_countdown = 0;
    fail_happened = true;
    return true;
}

static void init_cpus(unsigned n)
{
    memset(cpus, 0, sizeof(cpus));
    memset(cpu_data, 0, sizeof(cpu_data));
    for (unsigned i = 0; i < n; i++) {
        struct cpu *c = &cpu_data[i];
        c->self = c;
        c->id = i;
        c->apic_id = c->acpi_id = i;
        c->online = true;
        list_init(&c->timer.list);
        cpus[i] = c;
    }
    nr_cpus = n;
    this_cpu_ptr = cpus[0];
}

void fake_enter_cpu(unsigned cpu, struct vcpu *v)
{
    struct cpu *c = cpus[cpu];

    if (c->curr)
        c->curr->running = 0;
    this_cpu_ptr = c;
    c->curr = v;
    if (v) {
        v->cpu = cpu;
        v->running = 1;
    }
}

void fake_machine_init_ranges(unsigned mem_mib, unsigned ncpus, const struct ram_range *ram, unsigned nr_ram,
                              const struct ram_range *used, unsigned nr_used)
{
    if (!frame_window) {
        /* 1 GiB aligned, so that alignment in the window equals physical alignment. */
        char *p = mmap(NULL, WINDOW_BYTES + SZ_1G, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (p == MAP_FAILED)
            abort();
        frame_window = (char *)ROUND_UP((u64)p, SZ_1G);
    }
    fake_unpoison_all();
    fake_domains_forget();
    if (!fake_ram_keep || fake_ram_bytes != MiB(mem_mib))
        madvise(frame_window, fake_ram_bytes, MADV_DONTNEED);
    fake_ram_bytes = MiB(mem_mib);
    /* Explorations make thousands of small machines: most of their time would go into page faults. */
    madvise(frame_window, WINDOW_BYTES, fake_ram_bytes <= MiB(16) ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    fake_hook = NULL;
    fake_live_hook = NULL;
    fake_mask_hook = NULL;
    fake_fail_at(0);
    fake_log_clear();
    fake_irq_reset();
    fake_time_set(1000000000ULL);
    fake_hvm_reset();
    fake_x86_reset();
    fake_domains_reset();
    hvm = &fake_hvm_ops;
    dom0 = NULL;
    init_cpus(ncpus);
    ram_init(ram, nr_ram, used, nr_used);
}

void fake_machine_init(unsigned mem_mib, unsigned ncpus)
{
    const struct ram_range ram[] = { { 0x1000, 0xa0000 }, { MiB(1), MiB(mem_mib) } };

    fake_machine_init_ranges(mem_mib, ncpus, ram, 2, NULL, 0);
}

/* Test programs that do not care. */
__attribute__((weak)) void frames_mapped(const void *p, size_t pages) {}

/* Device ranges are part of the window too: a test can look at what was written. */
void *mmio_map(paddr_t p, size_t len)
{
    if (p + len > WINDOW_BYTES)
        return NULL;
    frames_mapped(frame_window + ROUND_DOWN(p, PAGE_SIZE), (p % PAGE_SIZE + len + PAGE_SIZE - 1) / PAGE_SIZE);
    return frame_window + p;
}

void fake_unpoison_all(void)
{
    ASAN_UNPOISON_MEMORY_REGION(frame_window, fake_ram_bytes);
}
