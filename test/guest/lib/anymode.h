/* SPDX-License-Identifier: MIT */
/*
 * For a kernel's guest: run one instruction with all registers in 16-, 32- or 64-bit code, as kernel or user, in segments of
 * any kind, until a trap; behind the forced emulation prefix or without. Its operands lie in a window of pages of many
 * kinds. Include in one file per kernel.
 */
#pragma once
#include "build.h"

/* ---- a window of linear addresses in which each page is something else ---- */
#define W 0x40000000UL
enum { RAM_A = 0, RAM_B = 0x1000, HOLE = 0x2000, RAM_C = 0x3000, ABSENT = 0x4000, APIC = 0x5000, RAM_D = 0x6000,
       HOLE_2 = 0x7000, ABSENT_2 = 0x8000, HOLE_3 = 0x9000, READ_ONLY = 0xa000, OF_KERNEL = 0xb000, WINDOW = 0x10000 };
#define NOWHERE 0x8000000UL             /* guest-physical: far above the guest's memory */
#define TIMER (APIC + 0x380)            /* initial count, of a timer that is masked: 32 bits that stay as written */
#define HIGH_ALIAS 0xffff800000000000UL
#define SPARE 0x600000UL                /* 2 MiB of RAM */

static u8 ram[16][4096] __attribute__((aligned(4096)));         /* in the window, in descending order */
static u64 window[512] __attribute__((aligned(4096))), low_pdpt[512] __attribute__((aligned(4096))),
           low_pd[512] __attribute__((aligned(4096)));
extern u64 pml4[], gdt[];

static inline u64 *pd_entry(u64 at)
{
    u64 *pdpt = (u64 *)(pml4[0] & ~0xfffUL);
    return (u64 *)(pdpt[at >> 30] & ~0xfffUL) + (at >> 21 & 511);
}

static inline void map_window(void)
{
    for (unsigned i = 0; i < WINDOW >> 12; i++) window[i] = (u64)ram[15 - i] | 7;
    window[HOLE >> 12] = window[HOLE_2 >> 12] = window[HOLE_3 >> 12] = NOWHERE | 7;
    window[ABSENT >> 12] = window[ABSENT_2 >> 12] = 0;
    window[APIC >> 12] = LAPIC | 7;
    window[READ_ONLY >> 12] &= ~2UL;
    window[OF_KERNEL >> 12] &= ~4UL;
    *pd_entry(W) = (u64)window | 7;
    *pd_entry(0xffe00000) = SPARE | 0x87;               /* below 4 GiB */
    pml4[256] = pml4[0];
    pml4[255] = (u64)low_pdpt | 7;                      /* below the hole of non-canonical addresses */
    low_pdpt[511] = (u64)low_pd | 7;
    low_pd[511] = SPARE | 0x87;
    __asm__ volatile("mov %0, %%cr3" :: "r"(read_cr3()) : "memory");
}

/* ---- run one instruction in any code segment, with all registers, until a trap ---- */
enum { M16 = 2, M32 = 4, M64 = 8 };
enum { TSS_SEL = 0x30, CODE_SEL = 0x40, DS_SEL = 0x48, SS_SEL = 0x50 };
static struct { u32 pad0; u64 rsp0; u8 rest[92]; } __attribute__((packed)) tss;
static u8 trap_stack[8192] __attribute__((aligned(16)));
static u64 my_gdt[16];
static struct { u16 limit; u64 base; } __attribute__((packed)) gdt_at, idt_at;

/* base, limit in bytes or (G) pages, type and flags as in the high word of a descriptor: 0xf0ff00. */
#define DESCRIPTOR(base, limit, attr) \
    (((u64)(base) << 16 & 0xffffff0000UL) | (u64)(base) >> 24 << 56 | ((limit) & 0xffff) | ((u64)(limit) >> 16 & 15) << 48 | \
     (u64)(attr) << 32)
#define DATA16 0x00009300               /* big bit clear: 16-bit stack, 64 KiB */
#define DATA32 0x00c09300
#define READ_ONLY_32 0x00c09100
#define DOWN_32 0x00c09700
#define DOWN_16 0x00009700

/* Registers before, and as the trap found them. "used": the compiler does not see who reads and writes them. */
static struct frame start __attribute__((used)), end __attribute__((used));
static u64 end_cr2 __attribute__((used));
static u64 back_rsp __attribute__((used));
extern const char came_back[];

static inline void on_trap(struct frame *f)
{
    end = *f;
    __asm__ volatile("mov %%cr2, %0" : "=r"(end_cr2));
    f->rip = (u64)came_back;
    f->cs = 8;
    f->ss = 0x10;
    f->rsp = back_rsp;
    f->rflags = 2;
}

static __attribute__((noinline)) void enter(void)
{
    u64 data = my_gdt[DS_SEL / 8] ? DS_SEL : 0;
    __asm__ volatile(
        "push %%rbx; push %%rbp; push %%r12; push %%r13; push %%r14; push %%r15; mov %%rsp, back_rsp(%%rip)\n\t"
        "mov %w0, %%ds; mov %w0, %%es; mov $start, %%rsp\n\t"
        "pop %%r15; pop %%r14; pop %%r13; pop %%r12; pop %%r11; pop %%r10; pop %%r9; pop %%r8\n\t"
        "pop %%rdi; pop %%rsi; pop %%rbp; pop %%rbx; pop %%rdx; pop %%rcx; pop %%rax; add $16, %%rsp; iretq\n"
        "came_back: mov $0x10, %%eax; mov %%eax, %%ds; mov %%eax, %%es\n\t"
        "xor %%eax, %%eax; mov %%eax, %%fs; mov %%eax, %%gs\n\t"
        "pop %%r15; pop %%r14; pop %%r13; pop %%r12; pop %%rbp; pop %%rbx"
        : "+a"(data) :: "rcx", "rdx", "rdi", "rsi", "r8", "r9", "r10", "r11", "memory", "cc");
}

static inline void cpu_init(void)
{
    u64 base = (u64)&tss;
    memcpy(my_gdt, gdt, 6 * 8);
    *(u64 *)((u8 *)&tss + 36) = (u64)(trap_stack + sizeof(trap_stack));         /* IST 1 */
    my_gdt[6] = 0x0000890000000000UL | (sizeof(tss) - 1) | (base & 0xffffff) << 16 | (base >> 24 & 0xff) << 56;
    my_gdt[7] = base >> 32;
    gdt_at.limit = sizeof(my_gdt) - 1;
    gdt_at.base = (u64)my_gdt;
    __asm__ volatile("lgdt %0; ltr %w1; sidt %2" :: "m"(gdt_at), "r"(TSS_SEL), "m"(idt_at) : "memory");
    for (unsigned v = 0; v < 32; v++) {
        trap_set(v, on_trap);
        ((u8 *)idt_at.base)[16 * v + 4] = 1;            /* a stack of its own, whatever the test's is */
    }
    ((u8 *)idt_at.base)[16 * 3 + 5] = 0xee;             /* INT3 ends each run, in user mode too */
    mmio_write(LAPIC + 0xf0, 0x1ff);
    mmio_write(LAPIC + 0x320, 0x10030);
    write_cr4_try(read_cr4() | 0x600);                  /* SSE */
    map_window();
}

#define NULL_SEGMENT 1UL
struct segments { u64 data, stack; bool user, flat; };  /* descriptors; 0: base W, 4 GiB or 64 KiB. flat: code at 0 */

static inline u64 segment(u64 wanted, unsigned mode, bool user)
{
    u64 d = wanted == NULL_SEGMENT ? 0 : wanted ? wanted : mode == M16 ? DESCRIPTOR(W, 0xffff, DATA16) :
            DESCRIPTOR(mode == M32 ? W : 0, 0xfffff, DATA32);
    return d && user ? d | 3UL << 45 : d;
}

static inline void set_segments(unsigned mode, const struct segments *s)
{
    my_gdt[DS_SEL / 8] = segment(s->data, mode, s->user);
    my_gdt[SS_SEL / 8] = segment(s->stack, mode, s->user);
    start.ss = SS_SEL | (s->user ? 3u : 0);
    start.cs = CODE_SEL | (s->user ? 3u : 0);
}

/* The instruction goes to `at` (linear), after the prefix; INT3 behind it. Outside 64-bit mode its segment begins there. */
static u8 text[64] __attribute__((aligned(64)));
static const u8 prefix[5] = { 0x0f, 0x0b, 'x', 'e', 'n' };
#define END_OF_LOW 0x800000000000UL

static inline void put_code(unsigned mode, const struct segments *s, u8 *at, const u8 *code, unsigned n, bool force)
{
    static const u32 kind[] = { [M16] = 0x00009b00, [M32] = 0x00409b00, [M64] = 0x00209b00 };
    u64 first = (u64)at - (force ? sizeof(prefix) : 0), base = s->flat ? 0 : first;
    for (u64 a = first; a <= (u64)at + n && a != END_OF_LOW; a++)
        *(u8 *)(s->flat ? (u32)a : a) = a < (u64)at ? prefix[a - first] : a < (u64)at + n ? code[a - (u64)at] : 0xcc;
    my_gdt[CODE_SEL / 8] = DESCRIPTOR(base, s->flat ? 0xfffff : 0xffff, kind[mode] | (s->flat ? 0x00800000 : 0)) |
                           (s->user ? 3UL << 45 : 0);
    start.rip = mode == M64 || s->flat ? first : 0;
}

/* What put_code() made ready, with the registers in start, until a trap: end, end_cr2. */
static inline void run(unsigned mode, u64 fs, u64 gs)
{
    u16 sel = mode == M64 || !my_gdt[DS_SEL / 8] ? 0 : DS_SEL;
    __asm__ volatile("mov %0, %%fs; mov %0, %%gs" :: "r"(sel));
    if (mode == M64) {
        wrmsr_try(0xc0000100, fs);
        wrmsr_try(0xc0000101, gs);
    }
    end.vector = 255;
    enter();
}
