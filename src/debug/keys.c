/* SPDX-License-Identifier: MIT */
/* Debug keys of the console and `xl debug-keys`. Rows come from every module; here are the general ones. */
#include "cpu/cpu.h"
#include "cpu/trap.h"
#include "cpu/x86.h"
#include "debug/internal.h"
#include "dom/domain.h"
#include "irq/irq.h"
#include "mm/mm.h"
#include "time/time.h"

extern const struct debug_key __start_debugkeys[], __stop_debugkeys[];

static const struct debug_key *find(char key)
{
    for (const struct debug_key *k = __start_debugkeys; k < __stop_debugkeys; k++)
        if (k->key == key)
            return k;
    return NULL;
}

static void run(const struct debug_key *k)
{
    printk(LOG_ERR, "'%c' pressed -> %s\n", k->key, k->desc);
    k->fn();
}

/* One at a time: dumps stay apart, and only one asks other CPUs by NMI. */
static struct spinlock key_lock = SPINLOCK(RANK_KEYS);

void debug_key(char key)
{
    const struct debug_key *k = find(key);
    if (k) {
        while (!spin_trylock(&key_lock)) {
            watchdog_touch();           /* the one before may print for long */
            cpu_relax();
        }
        run(k);
        spin_unlock(&key_lock);
    } else if (key > ' ' && key < 0x7f) {
        printk(LOG_ERR, "'%c' is no debug key; press 'h' for a list\n", key);
    }
}

/* Keys in ASCII order, whatever order the linker gave them. */
static void each_key(void (*fn)(const struct debug_key *k))
{
    for (char c = '!'; c < 0x7f; c++) {
        const struct debug_key *k = find(c);
        if (k)
            fn(k);
    }
}

static void print_row(const struct debug_key *k) { printk(LOG_ERR, " key '%c': %s\n", k->key, k->desc); }
static void key_help(void) { each_key(print_row); }
DEBUG_KEY(help, 'h', "show this list", key_help);

/* '*' leaves out what ends the machine. */
static void run_safe(const struct debug_key *k)
{
    if (!strchr("RC*h", k->key))
        run(k);
}
static void key_all(void) { each_key(run_safe); }
DEBUG_KEY(all, '*', "all dumps", key_all);

static void key_reboot(void)
{
    printk(LOG_ERR, "Rebooting\n");
    machine_reboot();
}
DEBUG_KEY(reboot, 'R', "reboot the machine", key_reboot);

static void key_crash(void) { panic("crash by debug key\n"); }
DEBUG_KEY(crash, 'C', "crash the hypervisor", key_crash);

/* ---- d: registers ---- */
static void print_current(const struct cpu *c)
{
    const struct vcpu *v = c->curr;
    if (!v) {
        printk(LOG_ERR, "CPU%u: no vCPU loaded\n", c->id);
        return;
    }
    const struct vcpu_regs *r = &v->regs;
    printk(LOG_ERR, "CPU%u: d%uv%u rip %016lx rsp %016lx rflags %08lx\n", c->id, v->dom->id, v->id, r->rip, r->rsp,
           r->rflags);
    printk(LOG_ERR, "  rax %016lx rbx %016lx rcx %016lx rdx %016lx\n", r->rax, r->rbx, r->rcx, r->rdx);
    printk(LOG_ERR, "  rsi %016lx rdi %016lx rbp %016lx\n", r->rsi, r->rdi, r->rbp);
}

/* In NMI context on the CPU itself. */
static void dump_here(void)
{
    const struct trap_frame *f = nmi_frame();
    console_lock();
    trap_frame_print(f);
    stack_dump(f->rsp, f->rbp);
    print_current(this_cpu());
    console_unlock();
}

static void key_registers(void)
{
    u64 rsp, rbp;
    __asm__ volatile("mov %%rsp, %0\n\tmov %%rbp, %1" : "=r"(rsp), "=r"(rbp));
    printk(LOG_ERR, "CPU%u handles this key\n", this_cpu()->id);
    stack_dump(rsp, rbp);
    print_current(this_cpu());
    for (unsigned i = 0; i < nr_cpus; i++)
        if (i != this_cpu()->id && !smp_nmi_call(i, dump_here))
            printk(LOG_ERR, "CPU%u does not answer\n", i);
}
DEBUG_KEY(registers, 'd', "registers of all CPUs", key_registers);

/* ---- t: time ---- */
static u64 skew_tsc, skew_ns;
static void sample_time(void)
{
    skew_tsc = rdtsc();
    skew_ns = now_ns();
}

static void key_time(void)
{
    printk(LOG_ERR, "TSC %u kHz, %s, mul 0x%08x shift %d; system time %lu ns, wall clock %lu s\n", tsc_khz,
           tsc_reliable ? "invariant" : "not invariant", tsc_mul, tsc_shift, now_ns(), wallclock_now());
    for (unsigned i = 0; i < nr_cpus; i++) {
        if (i == this_cpu()->id)
            continue;
        u64 before = now_ns();
        if (!smp_nmi_call(i, sample_time)) {
            printk(LOG_ERR, "CPU%u does not answer\n", i);
            continue;
        }
        u64 after = now_ns();
        bool inside = skew_ns + 1000 >= before && skew_ns <= after + 1000;
        printk(LOG_ERR, "CPU%u: answered %lu ns after the question, round trip %lu ns: %s\n", i, skew_ns - before,
               after - before, inside ? "no skew" : "SKEW");
    }
}
DEBUG_KEY(time, 't', "time and skew between CPUs", key_time);

/* ---- c: CPUs ---- */
static void key_cpus(void)
{
    printk(LOG_ERR, "%s, %u threads per core, %u cores per socket; idle CPUs halt (C1)\n", host.brand,
           host.threads_per_core, host.cores_per_socket);
    for (unsigned i = 0; i < nr_cpus; i++) {
        const struct cpu *c = cpus[i];
        u64 now = now_ns(), idle = c->idle_ns + (c->curr || now < c->idle_since_ns ? 0 : now - c->idle_since_ns);
        printk(LOG_ERR, "CPU%u: APIC id %u, ACPI id %u, idle %lu ms of %lu ms\n", i, c->apic_id, c->acpi_id,
               idle / 1000000, now / 1000000);
    }
}
DEBUG_KEY(cpus, 'c', "CPUs and idle time", key_cpus);
