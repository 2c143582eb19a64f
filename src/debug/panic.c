/* SPDX-License-Identifier: MIT */
/* The end: what happened, where, with which locks held; then reboot, or halt with noreboot. */
#include "boot/version.h"
#include "cpu/cpu.h"
#include "cpu/trap.h"
#include "cpu/x86.h"
#include "debug/internal.h"
#include "sync/sync.h"
#include "time/time.h"

extern const char _stext[], _etext[];

static bool is_text(u64 a) { return a >= (u64)_stext && a < (u64)_etext; }

static void print_site(const char *mark, u64 addr)
{
    u64 off;
    const char *name = symbol_lookup(addr, &off);
    printk(LOG_ERR, "  %s [<%016lx>] %s+0x%lx\n", mark, addr, name, off);
}

/* A frame pointer may be followed while it stays on the same stack: above the last one and not too far away. */
static bool follow(u64 rbp, u64 last)
{
    return rbp > last && rbp - last < KiB(16) && !(rbp & 7);
}

/* Words on the stack that look like return addresses: helps where the frame chain is broken. Stays in one page. */
static void stack_words(u64 rsp)
{
    printk(LOG_ERR, "Text addresses on the stack:\n");
    unsigned told = 0;
    for (u64 p = rsp & ~7UL; p < ROUND_UP(rsp + 1, PAGE_SIZE) && told < 16; p += 8)
        if (is_text(*(const u64 *)p))
            print_site("?", *(const u64 *)p), told++;
}

void stack_dump(u64 rsp, u64 rbp)
{
    u64 last = rsp;
    unsigned depth;
    printk(LOG_ERR, "Call trace:\n");
    for (depth = 0; depth < 32 && follow(rbp, last); depth++) {
        const u64 *frame = (const u64 *)rbp;
        if (!is_text(frame[1]))
            break;
        print_site("  ", frame[1]);
        last = rbp;
        rbp = frame[0];
    }
    if (depth < 2)
        stack_words(rsp);
}

/* Only the first CPU that panics talks; a second panic on it goes straight to the halt. */
static u32 panic_cpu;               /* CPU number + 1 */

static void begin(void)
{
    u32 me = percpu_ready ? this_cpu()->id + 1 : 1;
    __asm__ volatile("cli");
    if (!atomic_cas(&panic_cpu, 0u, me)) {
        if (panic_cpu == me)
            console_write("\n(XEN) panic inside a panic, halted\n", 35);
        for (;;)
            __asm__ volatile("cli; hlt");
    }
    panic_active = true;
    if (percpu_ready)
        smp_stop_others();
    console_screen_on();
    printk(LOG_ERR, "\n****************************************\n");
    printk(LOG_ERR, "Panic on CPU %u:\n", me - 1);
}

static void __noreturn end(u64 rsp, u64 rbp)
{
    stack_dump(rsp, rbp);
    if (percpu_ready)
        locks_dump();
    printk(LOG_ERR, "%s, build id %s\n", HELIUM_BANNER, build_id_hex);
    printk(LOG_ERR, "****************************************\n");
    if (machine_noreboot()) {
        printk(LOG_ERR, "Halted (noreboot)\n");
        machine_halt();
    }
    printk(LOG_ERR, "Reboot in five seconds...\n");
    if (tsc_khz)
        for (u64 stop = now_ns() + 5000000000ULL; now_ns() < stop;)
            __builtin_ia32_pause();
    machine_reboot();
}

static void say(const char *fmt, va_list ap)
{
    char buf[256];
    vsnprintf(buf, sizeof(buf), fmt, ap);
    printk(LOG_ERR, "%s", buf);
}

void panic(const char *fmt, ...)
{
    struct trap_frame f = { 0 };
    __asm__ volatile("mov %%rsp, %0\n\tmov %%rbp, %1" : "=m"(f.rsp), "=m"(f.rbp));
    begin();
    va_list ap;
    va_start(ap, fmt);
    say(fmt, ap);
    va_end(ap);
    print_site("at", (u64)__builtin_return_address(0));
    printk(LOG_ERR, "cr0 %016lx  cr2 %016lx  cr3 %016lx  cr4 %016lx\n", read_cr0(), read_cr2(), read_cr3(),
           read_cr4());
    end(f.rsp, f.rbp);
}

void panic_at(const struct trap_frame *f, const char *fmt, ...)
{
    begin();
    va_list ap;
    va_start(ap, fmt);
    say(fmt, ap);
    va_end(ap);
    trap_frame_print(f);
    print_site("at", f->rip);
    end(f->rsp, f->rbp);
}
