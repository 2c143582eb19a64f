/* SPDX-License-Identifier: MIT */
/*
 * Library of the test kernels: output, hypercalls, traps, expectations. A program has `void test_main(void)`; when it
 * returns, the result line "GUEST <PASS|FAIL> <name>" is printed and the domain reboots (QEMU's -no-reboot ends there).
 */
#pragma once
#include "call/abi.h"
#include <stdarg.h>
#include <stdbool.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

extern const char test_name[];
void test_main(void);
extern const struct hvm_start_info *start_info;
/* What follows `word` on the kernel's command line, or NULL. */
const char *option(const char *word);
/* The number after it, or def. */
u64 option_number(const char *word, u64 def);

/* ---- output: dom0's console by hypercall, or, as a guest without console_io, port 0xE9; or what a kernel sets ---- */
extern void (*output)(const char *s);
void puts_raw(const char *s);
/* %s %c %d %u %x %lu %lx %ld %p, widths and zero padding. */
void print(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void port_e9(const char *s);

/* ---- expectations ---- */
extern unsigned failures;
#define expect(c) do { if (!(c)) { failures++; print("FAILED %s:%d: %s\n", __FILE__, __LINE__, #c); } } while (0)
#define expect_eq(a, b) do { long a_ = (long)(a), b_ = (long)(b); if (a_ != b_) { failures++; \
    print("FAILED %s:%d: %s = %ld (%lx), expected %ld\n", __FILE__, __LINE__, #a, a_, (u64)a_, b_); } } while (0)
void guest_end(void) __attribute__((noreturn));

/* ---- hypercalls ---- */
static inline long hypercall5(unsigned nr, u64 a, u64 b, u64 c, u64 d, u64 e)
{
    register u64 r10 __asm__("r10") = d, r8 __asm__("r8") = e;
    long ret;
    __asm__ volatile("vmmcall" : "=a"(ret), "+D"(a), "+S"(b), "+d"(c), "+r"(r10), "+r"(r8) : "a"((u64)nr) : "memory");
    return ret;
}
#define hypercall0(nr) hypercall5(nr, 0, 0, 0, 0, 0)
#define hypercall1(nr, a) hypercall5(nr, (u64)(a), 0, 0, 0, 0)
#define hypercall2(nr, a, b) hypercall5(nr, (u64)(a), (u64)(b), 0, 0, 0)
#define hypercall3(nr, a, b, c) hypercall5(nr, (u64)(a), (u64)(b), (u64)(c), 0, 0)
static inline long hc_xen_version(unsigned cmd, void *arg) { return hypercall2(__HYPERVISOR_xen_version, cmd, arg); }
static inline long hc_memory_op(unsigned cmd, void *arg) { return hypercall2(__HYPERVISOR_memory_op, cmd, arg); }
static inline long hc_sched_op(unsigned cmd, void *arg) { return hypercall2(__HYPERVISOR_sched_op, cmd, arg); }
static inline long hc_vcpu_op(unsigned cmd, unsigned vcpu, void *arg)
{ return hypercall3(__HYPERVISOR_vcpu_op, cmd, vcpu, arg); }
static inline long hc_evtchn(unsigned cmd, void *arg) { return hypercall2(__HYPERVISOR_event_channel_op, cmd, arg); }
static inline long hc_hvm_op(unsigned cmd, void *arg) { return hypercall2(__HYPERVISOR_hvm_op, cmd, arg); }
static inline long hc_grant(unsigned cmd, void *arg, unsigned n)
{ return hypercall3(__HYPERVISOR_grant_table_op, cmd, arg, n); }
static inline long hc_physdev(unsigned cmd, void *arg) { return hypercall2(__HYPERVISOR_physdev_op, cmd, arg); }
static inline long hc_console_write(const void *s, unsigned n)
{ return hypercall3(__HYPERVISOR_console_io, CONSOLEIO_write, n, s); }
static inline long hc_domctl(void *arg) { return hypercall1(__HYPERVISOR_domctl, arg); }
static inline long hc_sysctl(void *arg) { return hypercall1(__HYPERVISOR_sysctl, arg); }

/* ---- CPU ---- */
/* A limit that only a failure reaches, however busy the host of the machine is. */
#define PATIENCE_TICKS 100000000000UL
static inline u64 rdtsc(void) { u32 l, h; __asm__ volatile("rdtsc" : "=a"(l), "=d"(h)); return (u64)h << 32 | l; }
static inline void cpuid(u32 leaf, u32 sub, u32 r[4])
{ __asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(sub)); }
static inline u8 inb(u16 p) { u8 v; __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(p)); return v; }
static inline u16 inw(u16 p) { u16 v; __asm__ volatile("inw %1, %0" : "=a"(v) : "Nd"(p)); return v; }
static inline u32 inl(u16 p) { u32 v; __asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(p)); return v; }
static inline void outb(u16 p, u8 v) { __asm__ volatile("outb %0, %1" :: "a"(v), "Nd"(p)); }
static inline void outw(u16 p, u16 v) { __asm__ volatile("outw %0, %1" :: "a"(v), "Nd"(p)); }
static inline void outl(u16 p, u32 v) { __asm__ volatile("outl %0, %1" :: "a"(v), "Nd"(p)); }
static inline u32 mmio_read(u64 a) { return *(volatile u32 *)a; }
static inline void mmio_write(u64 a, u32 v) { *(volatile u32 *)a = v; }
static inline u64 read_cr0(void) { u64 v; __asm__ volatile("mov %%cr0, %0" : "=r"(v)); return v; }
static inline u64 read_cr3(void) { u64 v; __asm__ volatile("mov %%cr3, %0" : "=r"(v)); return v; }
static inline u64 read_cr4(void) { u64 v; __asm__ volatile("mov %%cr4, %0" : "=r"(v)); return v; }
static inline void sti(void) { __asm__ volatile("sti" ::: "memory"); }
static inline void cli(void) { __asm__ volatile("cli" ::: "memory"); }
#define LAPIC 0xfee00000UL
/* Start vCPU `vcpu` (APIC id 2 * vcpu) with INIT and SIPI; it calls fn in 64-bit mode on the given stack. False: it
 * did not come up. */
bool ap_start(unsigned vcpu, void (*fn)(void), void *stack_end);

/* ---- traps ---- */
struct frame {
    u64 r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
    u64 vector, error, rip, cs, rflags, rsp, ss;
};
typedef void (*trap_fn)(struct frame *f);
void trap_set(unsigned vector, trap_fn fn);
/* Run one instruction that may fault; operands are inputs only. Its vector, or -1: TRY("rdpmc", "c"(0)). */
extern volatile int try_vector;
extern volatile u64 try_error, try_fixup;
#define TRY(insn, ...) ({ try_vector = -1; \
    __asm__ volatile("movq $1f, try_fixup\n\t" insn "\n1:\tmovq $0, try_fixup" :: __VA_ARGS__ : "memory"); try_vector; })
int rdmsr_try(u32 msr, u64 *val);       /* vector or -1 */
int wrmsr_try(u32 msr, u64 val);
int write_cr4_try(u64 val);
u64 rdmsr(u32 msr);

void *memset(void *d, int c, size_t n);
void *memcpy(void *d, const void *s, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);
