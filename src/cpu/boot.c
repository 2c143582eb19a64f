/* SPDX-License-Identifier: MIT */
/* The boot CPU: everything that must work before there is any memory. */
#include "cpu/internal.h"
#include "cpu/trap.h"
#include "debug/internal.h"

/* Compiler's stack protector: one canary for the whole machine, changed once, before the first untrusted byte. */
u64 __stack_chk_guard = 0x00c0ffee5eed0aff;
void __stack_chk_fail(void) __noreturn;

void __stack_chk_fail(void)
{
    panic("stack corrupted (caller %p)\n", __builtin_return_address(0));
}

static struct cpu cpu0;
static struct cpu_arch arch0;
/* Shared by all four exceptions with own stacks until smp_init(): they hardly nest during boot. */
static char early_ist[PAGE_SIZE << IST_ORDER] __aligned(16);

u64 host_cr4;
/* The power-on value, whatever a loader or another system left: page tables use entry 0 (write-back), 2 (uncached, a
 * guest may choose write-combining) and 3 (uncached). */
#define HOST_PAT 0x0007040600070406ULL

static u64 boot_random(void)
{
    u64 v = rdtsc() * 0x9e3779b97f4a7c15ULL;
    if (cpu_has(FEAT_RDRAND)) {
        u64 r;
        bool ok;
        for (unsigned i = 0; i < 10; i++) {
            __asm__ volatile("rdrand %0; setc %1" : "=r"(r), "=qm"(ok) :: "cc");
            if (ok)
                return v ^ r;
        }
    }
    return v ^ (v >> 29);
}

void cpu_set_controls(void)
{
    /* Clears TS, EM, AM, CD and NW, whatever the firmware left. */
    write_cr0(CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG);
    write_cr4(host_cr4);
    wrmsr(MSR_EFER, (rdmsr(MSR_EFER) & ~(EFER_SCE | EFER_FFXSR | EFER_LMSLE)) | EFER_NXE);
    if (cpu_has(FEAT_PAT))
        wrmsr(MSR_PAT, HOST_PAT);
    if (cpu_has(FEAT_SEP))
        wrmsr(MSR_SYSENTER_CS, 0);
    write_dr7(0x400);
}

static void choose_controls(void)
{
    static const struct { unsigned feat; u64 bits; } optional[] = {
        { FEAT_PGE, CR4_PGE }, { FEAT_FSGSBASE, CR4_FSGSBASE }, { FEAT_XSAVE, CR4_OSXSAVE }, { FEAT_SMEP, CR4_SMEP },
        /* Guest memory is only reached through the supervisor-only frame window: no STAC anywhere. */
        { FEAT_SMAP, CR4_SMAP }, { FEAT_UMIP, CR4_UMIP }, { FEAT_MCE, CR4_MCE },
    };
    host_cr4 = CR4_PAE | CR4_DE | CR4_PSE | CR4_OSFXSR | CR4_OSXMMEXCPT;
    for (unsigned i = 0; i < ARRAY_SIZE(optional); i++)
        if (cpu_has(optional[i].feat))
            host_cr4 |= optional[i].bits;
}

__attribute__((no_stack_protector))
void cpu_boot_init(void)
{
    struct cpu *c = &cpu0;
    cpuid_init();
    c->self = c;
    c->arch = &arch0;
    c->apic_id = host.initial_apic_id;
    c->online = true;
    list_init(&c->timer.list);
    c->timer.armed_ns = ~0ULL;
    for (unsigned i = 1; i <= IST_NR; i++)
        ist_set(c, i, early_ist, sizeof(early_ist));
    desc_prepare(c);
    trap_init();
    desc_load(c);
    cpus[0] = c;
    nr_cpus = 1;
    percpu_ready = true;            /* this_cpu() works from here on */
    if (!cpu_has(FEAT_LM) || !cpu_has(FEAT_NX) || !cpu_has(FEAT_APIC))
        panic("CPU \"%s\" lacks long mode, NX or a local APIC\n", host.brand);
    choose_controls();
    cpu_set_controls();
    machine_check_init();
    __stack_chk_guard = boot_random() & ~0xffULL;   /* a zero byte stops string overruns from reading it */
}

void cpu_run(void (*fn)(void))
{
    extern void stack_switch_call(void *top, void (*fn)(void)) __noreturn;
    struct cpu *c = this_cpu();
    if (!c->stack_top)
        panic("CPU%u has no stack of its own yet\n", c->id);
    stack_switch_call(c->stack_top, fn);
}
