/* SPDX-License-Identifier: MIT */
/* The machine's instructions. Included by x86.h only. */
#pragma once
#include "lib/types.h"

/* Entry of the exception table: a fault at `at` continues at `fix` (both relative to themselves). */
#define EXTABLE(at, fix) ".pushsection extable,\"a\"\n\t.balign 4\n\t.long " at "-., " fix "-.\n\t.popsection\n"

static inline u64 rdmsr(u32 msr)
{
    u32 lo, hi;
    __asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
    return (u64)hi << 32 | lo;
}
static inline void wrmsr(u32 msr, u64 v)
{
    __asm__ volatile("wrmsr" :: "c"(msr), "a"((u32)v), "d"((u32)(v >> 32)) : "memory");
}
/* MSRs that may not exist: 0, or -1 if the access faulted (*v is then 0). */
static inline int rdmsr_safe(u32 msr, u64 *v)
{
    u32 lo = 0, hi = 0;
    int err = -1;
    __asm__ volatile("1: rdmsr\n\txorl %2, %2\n2:\n" EXTABLE("1b", "2b") : "+a"(lo), "+d"(hi), "+r"(err) : "c"(msr));
    *v = (u64)hi << 32 | lo;
    return err;
}
static inline int wrmsr_safe(u32 msr, u64 v)
{
    int err = -1;
    __asm__ volatile("1: wrmsr\n\txorl %0, %0\n2:\n" EXTABLE("1b", "2b")
                     : "+r"(err) : "c"(msr), "a"((u32)v), "d"((u32)(v >> 32)) : "memory");
    return err;
}

static inline void cpuid(u32 leaf, u32 sub, u32 r[4])
{
    __asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(sub));
}

#define X86_REG(name, reg) \
    static inline u64 read_##name(void) { u64 v; __asm__ volatile("mov %%" reg ", %0" : "=r"(v)); return v; } \
    static inline void write_##name(u64 v) { __asm__ volatile("mov %0, %%" reg :: "r"(v) : "memory"); }
X86_REG(cr0, "cr0") X86_REG(cr2, "cr2") X86_REG(cr3, "cr3") X86_REG(cr4, "cr4")
X86_REG(dr0, "dr0") X86_REG(dr1, "dr1") X86_REG(dr2, "dr2") X86_REG(dr3, "dr3") X86_REG(dr6, "dr6")
X86_REG(dr7, "dr7")

struct desc_ptr { u16 limit; u64 base; } __packed;
static inline void lgdt(const struct desc_ptr *p) { __asm__ volatile("lgdt %0" :: "m"(*p)); }
static inline void lidt(const struct desc_ptr *p) { __asm__ volatile("lidt %0" :: "m"(*p)); }
static inline void ltr(u16 sel) { __asm__ volatile("ltr %0" :: "r"(sel)); }
static inline void lldt(u16 sel) { __asm__ volatile("lldt %0" :: "r"(sel)); }

static inline u8 inb(u16 p) { u8 v; __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(p)); return v; }
static inline u16 inw(u16 p) { u16 v; __asm__ volatile("inw %1, %0" : "=a"(v) : "Nd"(p)); return v; }
static inline u32 inl(u16 p) { u32 v; __asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(p)); return v; }
static inline void outb(u16 p, u8 v) { __asm__ volatile("outb %0, %1" :: "a"(v), "Nd"(p)); }
static inline void outw(u16 p, u16 v) { __asm__ volatile("outw %0, %1" :: "a"(v), "Nd"(p)); }
static inline void outl(u16 p, u32 v) { __asm__ volatile("outl %0, %1" :: "a"(v), "Nd"(p)); }

static inline u64 rdtsc(void)
{
    u32 lo, hi;
    __asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
    return (u64)hi << 32 | lo;
}
/* Not executed before earlier loads are done (LFENCE is dispatch-serialising: spec.c sees to it on AMD). */
static inline u64 rdtsc_ordered(void)
{
    u32 lo, hi;
    __asm__ volatile("lfence; rdtsc" : "=a"(lo), "=d"(hi) :: "memory");
    return (u64)hi << 32 | lo;
}
static inline void invlpg(const void *va) { __asm__ volatile("invlpg %0" :: "m"(*(const char *)va) : "memory"); }
static inline void wbinvd(void) { __asm__ volatile("wbinvd" ::: "memory"); }
static inline void local_irq_off(void) { __asm__ volatile("cli" ::: "memory"); }
static inline u64 read_rflags(void) { u64 v; __asm__ volatile("pushf; pop %0" : "=r"(v)); return v; }
static inline void xsetbv(u32 reg, u64 v)
{
    __asm__ volatile("xsetbv" :: "c"(reg), "a"((u32)v), "d"((u32)(v >> 32)) : "memory");
}
static inline u64 xgetbv(u32 reg)
{
    u32 lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(reg));
    return (u64)hi << 32 | lo;
}

/* ---- extended registers: by XSAVE those of `mask`, by FXSAVE x87 and SSE. -1: refused, nothing is loaded ---- */
static inline void xsave64(void *area, u64 mask)
{
    __asm__ volatile("xsave64 (%0)" :: "r"(area), "a"((u32)mask), "d"((u32)(mask >> 32)) : "memory");
}
static inline int xrstor64_safe(const void *area, u64 mask)
{
    int err = -1;
    __asm__ volatile("1: xrstor64 (%1)\n\txorl %0, %0\n2:\n" EXTABLE("1b", "2b")
                     : "+r"(err) : "r"(area), "a"((u32)mask), "d"((u32)(mask >> 32)) : "memory");
    return err;
}
static inline void fxsave64(void *area) { __asm__ volatile("fxsave64 (%0)" :: "r"(area) : "memory"); }
static inline int fxrstor64_safe(const void *area)
{
    int err = -1;
    __asm__ volatile("1: fxrstor64 (%1)\n\txorl %0, %0\n2:\n" EXTABLE("1b", "2b")
                     : "+r"(err) : "r"(area) : "memory");
    return err;
}

/* The x87 pointers to the last instruction and operand are those of this load. */
static inline void clear_x87_pointers(void)
{
    static const u32 zero;
    __asm__ volatile("fnclex; ffree %%st(7); fildl %0" :: "m"(zero));
}

/* ---- virtualisation ---- */
static inline void vmsave(u64 vmcb_pa) { __asm__ volatile("vmsave %0" :: "a"(vmcb_pa) : "memory"); }
/* To the handler of machine checks. */
static inline void raise_machine_check(void) { __asm__ volatile("int $18" ::: "memory"); }
