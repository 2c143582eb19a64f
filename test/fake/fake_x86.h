/* SPDX-License-Identifier: MIT */
/*
 * The processor of the fake machine: what cpu/insn.h has for the real one. MSRs exist if a test made them; access to
 * another one faults, which ends the program unless the access was a safe one. Ports and CR, DR, XCR registers are
 * plain storage. All is reset by fake_machine_init().
 */
#pragma once
#include "lib/types.h"

#define FAKE_MSRS 64
#define X87_POINTERS 8              /* FIP and FDP in the XSAVE image */
struct fake_x86 {
    struct { u32 nr; bool read_only; u64 val; } msr[FAKE_MSRS];
    unsigned nr_msrs;
    u64 cr0, cr2, cr3, cr4, dr[8], xcr0;
    u8 live[4096];                  /* extended registers, as XSAVE writes them */
    bool refuse_xrstor;             /* every XRSTOR faults */
    bool keeps_x87_pointers;        /* XRSTOR loads FIP and FDP only with an exception pending (APM 2, 11.5.4) */
    unsigned msr_writes, wbinvds, machine_checks, vmsaves, xsetbvs;
    u64 vmsave_pa;
};
extern struct fake_x86 fake_x86;
/* The MSR, made if need be. */
u64 *fake_msr(u32 nr);
/* Ports; default: reads are all ones. */
extern void (*fake_port_hook)(u16 port, unsigned size, bool write, u32 *val);
/* What VMRUN does; default: nothing. */
struct vcpu_regs;
struct vmcb;
extern void (*fake_vmrun_hook)(struct vcpu_regs *regs, struct vmcb *b);
extern u64 host_cr4;

u64 rdmsr(u32 msr);
void wrmsr(u32 msr, u64 v);
int rdmsr_safe(u32 msr, u64 *v);
int wrmsr_safe(u32 msr, u64 v);
void cpuid(u32 leaf, u32 sub, u32 r[4]);

#define FAKE_REG(name, field) \
    static inline u64 read_##name(void) { return fake_x86.field; } \
    static inline void write_##name(u64 v) { fake_x86.field = v; }
FAKE_REG(cr0, cr0) FAKE_REG(cr2, cr2) FAKE_REG(cr3, cr3) FAKE_REG(cr4, cr4) FAKE_REG(dr0, dr[0])
FAKE_REG(dr1, dr[1]) FAKE_REG(dr2, dr[2]) FAKE_REG(dr3, dr[3]) FAKE_REG(dr6, dr[6]) FAKE_REG(dr7, dr[7])
#undef FAKE_REG

u32 fake_port(u16 port, unsigned size, bool write, u32 val);
static inline u8 inb(u16 p) { return (u8)fake_port(p, 1, false, 0); }
static inline u16 inw(u16 p) { return (u16)fake_port(p, 2, false, 0); }
static inline u32 inl(u16 p) { return fake_port(p, 4, false, 0); }
static inline void outb(u16 p, u8 v) { fake_port(p, 1, true, v); }
static inline void outw(u16 p, u16 v) { fake_port(p, 2, true, v); }
static inline void outl(u16 p, u32 v) { fake_port(p, 4, true, v); }

u64 tsc_read(void);
static inline u64 rdtsc(void) { return tsc_read(); }
static inline u64 rdtsc_ordered(void) { return tsc_read(); }
static inline void wbinvd(void) { fake_x86.wbinvds++; }
static inline u64 xgetbv(u32 reg) { return fake_x86.xcr0; }
static inline void xsetbv(u32 reg, u64 v)
{
    fake_x86.xcr0 = v;
    fake_x86.xsetbvs++;
}
void xsave64(void *area, u64 mask);
int xrstor64_safe(const void *area, u64 mask);
void fxsave64(void *area);
int fxrstor64_safe(const void *area);
static inline void clear_x87_pointers(void) { memset(fake_x86.live + X87_POINTERS, 0, 16); }
static inline void vmsave(u64 vmcb_pa)
{
    fake_x86.vmsaves++;
    fake_x86.vmsave_pa = vmcb_pa;
}
static inline void raise_machine_check(void) { fake_x86.machine_checks++; }
