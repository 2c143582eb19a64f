/* SPDX-License-Identifier: MIT */
/* IDT and exceptions. Apart from MSR accesses with a fixup, an exception in the hypervisor is a bug: it stops. */
#include "boot/cmdline.h"
#include "cpu/internal.h"
#include "cpu/trap.h"
#include "debug/console.h"

static struct idt_gate { u16 off0, sel; u8 ist, type; u16 off1; u32 off2, reserved; } idt[256];
STATIC_ASSERT(sizeof(struct idt_gate) == 16);

extern const char trap_stubs[], irq_stubs[];
/* Fixup entries: both fields relative to their own address (EXTABLE in x86.h). */
struct fixup { s32 at, fix; };
extern const struct fixup __start_extable[], __stop_extable[];

static char opt_nmi[8] = "fatal";
BOOT_OPTION(nmi, "nmi", OPT_STRING, sizeof(opt_nmi), opt_nmi, NULL, "on a hardware NMI: fatal (default) or ignore");

void trap_init(void)
{
    static const u8 ist_of[32] = { [X86_NMI] = IST_NMI, [X86_MC] = IST_MC, [X86_DF] = IST_DF, [X86_DB] = IST_DB };
    for (unsigned v = 0; v < 256; v++) {
        u64 stub = v < 32 ? (u64)(trap_stubs + v * 16) : (u64)(irq_stubs + (v - 32) * 16);
        idt[v] = (struct idt_gate){ .off0 = (u16)stub, .sel = SEL_CODE, .ist = v < 32 ? ist_of[v] : 0, .type = 0x8e,
                                    .off1 = (u16)(stub >> 16), .off2 = (u32)(stub >> 32) };
    }
}

void idt_load(void)
{
    struct desc_ptr p = { sizeof(idt) - 1, (u64)idt };
    lidt(&p);
}

static bool fix_up(struct trap_frame *f)
{
    for (const struct fixup *e = __start_extable; e < __stop_extable; e++) {
        if ((u64)&e->at + (u64)(s64)e->at == f->rip) {
            f->rip = (u64)&e->fix + (u64)(s64)e->fix;
            return true;
        }
    }
    return false;
}

void trap_frame_print(const struct trap_frame *f)
{
    u64 off;
    const char *sym = symbol_lookup(f->rip, &off);
    printk(LOG_ERR, "CPU%u rip %04lx:%016lx %s+0x%lx  rflags %08lx\n", this_cpu()->id, f->cs, f->rip, sym, off,
           f->rflags);
    printk(LOG_ERR, "rax %016lx  rbx %016lx  rcx %016lx\n", f->rax, f->rbx, f->rcx);
    printk(LOG_ERR, "rdx %016lx  rsi %016lx  rdi %016lx\n", f->rdx, f->rsi, f->rdi);
    printk(LOG_ERR, "rbp %016lx  rsp %016lx  r8  %016lx\n", f->rbp, f->rsp, f->r8);
    printk(LOG_ERR, "r9  %016lx  r10 %016lx  r11 %016lx\n", f->r9, f->r10, f->r11);
    printk(LOG_ERR, "r12 %016lx  r13 %016lx  r14 %016lx\n", f->r12, f->r13, f->r14);
    printk(LOG_ERR, "r15 %016lx  cr0 %016lx  cr4 %016lx\n", f->r15, read_cr0(), read_cr4());
    printk(LOG_ERR, "cr2 %016lx  cr3 %016lx  gsb %016lx\n", read_cr2(), read_cr3(), rdmsr(MSR_GS_BASE));
}

#define MC_BANKS 32                 /* what has the old numbers, also on CPUs with more banks (APM 2, 9.3.2) */

/*
 * Every bank may report. After reset none does (APM 2, 9.3.2.1), and an uncorrectable error would at best be logged
 * while the machine goes on with wrong data. What is in a bank already is not to be taken for news later.
 */
void machine_check_init(void)
{
    u64 cap, status;
    if (!cpu_has(FEAT_MCE) || !cpu_has(FEAT_MCA) || rdmsr_safe(MSR_MCG_CAP, &cap))
        return;
    for (u32 i = 0; i < (cap & 0xff) && i < MC_BANKS; i++) {
        if (rdmsr_safe(MSR_MC0_STATUS + 4 * i, &status))
            continue;
        if (status >> 63)
            printk(LOG_WARN, "CPU%u: machine-check bank %u holds an earlier error, status %016lx\n", this_cpu()->id,
                   i, status);
        (void)!wrmsr_safe(MSR_MC0_STATUS + 4 * i, 0);
        (void)!wrmsr_safe(MSR_MC0_CTL + 4 * i, ~0ULL);
    }
    if (cap >> 8 & 1)               /* MCG_CTL exists */
        (void)!wrmsr_safe(MSR_MCG_CTL, ~0ULL);
}

static void machine_check(struct trap_frame *f)
{
    u64 cap, status, addr;
    if (rdmsr_safe(MSR_MCG_CAP, &cap) || rdmsr_safe(MSR_MCG_STATUS, &status))
        panic_at(f, "machine check without banks\n");
    printk(LOG_ERR, "machine check: MCG_STATUS %lx\n", status);
    for (u32 i = 0; i < (cap & 0xff) && i < MC_BANKS; i++) {
        u64 bank;
        if (rdmsr_safe(MSR_MC0_STATUS + 4 * i, &bank) || !(bank >> 63))
            continue;
        addr = 0;
        if (bank >> 58 & 1)
            (void)!rdmsr_safe(MSR_MC0_STATUS + 4 * i + 1, &addr);
        printk(LOG_ERR, "  bank %u: status %016lx address %016lx\n", i, bank, addr);
    }
    panic_at(f, "machine check\n");
}

static void nmi(struct trap_frame *f)
{
    if (smp_nmi(f))
        return;
    u8 reason = inb(0x61);
    if (reason & 0xc0 && !strcmp(opt_nmi, "fatal"))
        panic_at(f, "NMI: %s (port 0x61 = 0x%02x)\n", reason & 0x80 ? "memory or PCI system error" : "I/O check",
                 reason);
    printk(LOG_ERR, "CPU%u: NMI without a known reason (port 0x61 = 0x%02x), ignored\n", this_cpu()->id, reason);
}

static void page_fault(struct trap_frame *f)
{
    u64 cr2 = read_cr2();
    panic_at(f, "page fault: %s %s 0x%lx, error 0x%lx\n", f->error & 1 ? "forbidden" : "unmapped",
             f->error & 16 ? "execution of" : f->error & 2 ? "write to" : "read from", cr2, f->error);
}

/* The guard page below a stack gives #PF on that very stack, which the CPU turns into #DF. */
static void double_fault(struct trap_frame *f)
{
    struct cpu *c = this_cpu();
    u64 top = (u64)c->stack_top, low = top - (PAGE_SIZE << STACK_ORDER);
    if (top && f->rsp < low + 256 && f->rsp > low - PAGE_SIZE)
        panic_at(f, "stack overflow\n");
    panic_at(f, "double fault\n");
}

void trap_handler(struct trap_frame *f)
{
    static const char *const names[32] = {
        "divide error", "debug", "NMI", "breakpoint", "overflow", "bound range", "invalid opcode", "no FPU",
        "double fault", "", "invalid TSS", "segment not present", "stack segment", "general protection", "page fault",
        "", "x87 error", "alignment", "machine check", "SIMD error", "virtualisation", "control protection",
    };
    switch (f->vector) {
    case X86_NMI:
        nmi(f);
        return;
    case X86_DB:        /* a breakpoint left in DR0-3, or single step: harmless, switch it off */
        write_dr7(0x400);
        write_dr6(0xffff0ff0);
        f->rflags &= ~RFLAGS_TF;
        printk(LOG_WARN, "CPU%u: #DB at %016lx, debug registers cleared\n", this_cpu()->id, f->rip);
        return;
    case X86_MC:
        machine_check(f);
        return;
    case X86_DF:
        double_fault(f);
        return;
    }
    if (fix_up(f))
        return;
    if (f->vector == X86_PF)
        page_fault(f);
    panic_at(f, "exception %lu (%s), error 0x%lx\n", f->vector, names[f->vector & 31] ? names[f->vector & 31] : "",
             f->error);
}
