/* SPDX-License-Identifier: MIT */
/*
 * The fake machine under a hosted build (design rule 7): RAM behind frame_window, CPUs, clock, interrupts, log,
 * panic, a vendor back end, and the switches that tests turn: fail the k-th allocation, set the clock, watch
 * interrupt windows, catch a panic. Everything is reset by fake_machine_init().
 */
#pragma once
#include <setjmp.h>
#include "cpu/percpu.h"
#include "dom/domain.h"
#include "hvm/hvm.h"

/* ---- machine ---- */
/* Fresh machine: RAM [4 KiB, 640 KiB) and [1 MiB, mem_mib), zero-filled, handed to ram_init(); ncpus online CPUs,
 * the calling thread is CPU 0; clock 1 s; no hooks, no injected failure. May be called once per test. */
void fake_machine_init(unsigned mem_mib, unsigned ncpus);
/* The same with other RAM ranges; mem_mib bounds them all. */
void fake_machine_init_ranges(unsigned mem_mib, unsigned ncpus, const struct ram_range *ram, unsigned nr_ram,
                              const struct ram_range *used, unsigned nr_used);
/* The calling thread becomes CPU `cpu` with `v` loaded (NULL: none); marks v running there. */
void fake_enter_cpu(unsigned cpu, struct vcpu *v);
extern u64 fake_ram_bytes;
extern bool fake_ram_keep;                      /* a machine of the same size finds its RAM as the last one left it */

/* ---- domains ---- */
/* A domain with `nr_vcpus` 1 and ram_pages of RAM at gfn 0 (2 MiB extents where possible). Uses domain_create() if
 * domain.c is linked in, otherwise fills a struct domain with a p2m (pool 1 MiB) by hand. max_pages = ram_pages. */
struct domain *fake_domain(u16 id, u64 ram_pages);
struct domain *fake_domain_vcpus(u16 id, u64 ram_pages, unsigned nr_vcpus);
/* max_port: highest event channel. */
struct domain *fake_domain_ports(u16 id, u64 ram_pages, unsigned nr_vcpus, u32 max_port);
/* Undo fake_domain() made by hand: p2m, vCPUs, struct. All RAM must come back. */
void fake_domain_destroy(struct domain *d);
/* By id, without a reference (domains made with fake_domain()); NULL if none. */
struct domain *fake_find_domain(u16 id);
/* What guests see: their pages as the structures of the interface, for tests only. */
#define guest_vcpu_info(v) ((struct vcpu_info *)(v)->info)
#define guest_shared_info(d) ((struct shared_info *)(d)->shared_info)
/* n-th domain made with fake_domain() or, where domain.c is linked, by whatever means; NULL past the end. */
struct domain *fake_domain_nth(unsigned n);
/* Address in the window of a byte of d's RAM; NULL if nothing is mapped there. No reference: tests only. */
void *fake_guest_ptr(struct domain *d, gpa_t gpa);

/* ---- failure injection ---- */
/* The k-th fail_point() from now (1 = the next) fails, once. 0: off. */
void fake_fail_at(unsigned k);
/* Did the injected failure happen? Loop: for (k = 1;; k++) { fake_fail_at(k); op(); if (!fake_failed()) break; } */
bool fake_failed(void);
/* Every fail_point() from the k-th on fails; 0: off. */
void fake_fail_from(unsigned k);
/* The same for the k-th page-wise piece of a copy from or to guest memory: -EFAULT. */
void fake_fail_copy_at(unsigned k);
/* Called by the memory allocators and by guest copies; false = go on. */
bool fail_point(void);
bool fail_copy(void);

/* ---- panic ---- */
extern jmp_buf fake_panic_jmp;
extern int fake_panic_armed;
extern char fake_panic_text[512];
/* Run statement(s); true if they panicked (message in fake_panic_text). Nothing is unwound: locks stay held. */
#define fake_expect_panic(...) ({ \
    volatile bool panicked_ = true; \
    fake_panic_armed = 1; \
    if (setjmp(fake_panic_jmp) == 0) { __VA_ARGS__; panicked_ = false; } \
    fake_panic_armed = 0; \
    panicked_; })

/* ---- log: FAKE_VERBOSE=1 in the environment shows it on stderr; the last 4 KiB are kept ---- */
extern char fake_log[4096];
void fake_log_clear(void);

/* ---- clock and interrupts ---- */
void fake_time_set(u64 ns);
void fake_time_advance(u64 ns);
extern u64 fake_timer_armed_ns[NR_CPUS];        /* last timer_hw_set() of each CPU */
extern bool (*fake_irq_window_hook)(void);      /* returns "one was handled"; default none */
extern void (*fake_kick_hook)(unsigned cpu);
extern unsigned fake_kicks[NR_CPUS];            /* smp_kick() calls */
/* GSIs of the fake IO-APIC (24 pins at base 0). */
extern struct fake_gsi { unsigned vector; bool level, low, masked, set_up; unsigned cpu, eois; } fake_gsi[24];
/* Which PCI function may raise a vector by a message; -1: none. */
extern int fake_msi_requester[256];
extern int (*fake_ioapic_remap)(void);         /* ioapic_remap() */
extern int fake_msi_error;                      /* msi_route() fails with it */
/* Deliver a vector allocated with irq_vector_alloc(), as the hardware would in an interrupt window. */
void fake_interrupt(unsigned vector);
bool fake_vector_used(unsigned vector);

/* ---- hook points (sync/sync.h) ---- */
extern void (*fake_hook)(const void *addr);     /* NULL: none */
extern __thread bool fake_hook_reads;           /* in the hook: what follows only reads */

/* Called for each index that is masked after its check; NULL: none. */
extern void (*fake_mask_hook)(u64 idx, u64 limit);
/* Called after each change of an entry of a live table (sync/live.h); NULL: none. */
struct live_entry;
extern void (*fake_live_hook)(const struct live_entry *e, u64 old, u64 now);
/* ---- what leaves the hypervisor was written by it (I-15) ---- */
#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if __has_feature(memory_sanitizer)
#include <sanitizer/msan_interface.h>
/* Ends the process if these bytes hold anything that nobody wrote, such as an old stack or padding. */
#define assert_written(p, n) __msan_check_mem_is_initialized(p, n)
/* Would it? */
static inline bool memory_is_watched(void)
{
    volatile char nobody_wrote_this[1];
    return __msan_test_shadow((const void *)nobody_wrote_this, 1) == 0;
}
#else
#define assert_written(p, n) ((void)0)
static inline bool memory_is_watched(void) { return false; }
#endif

/* ---- vendor back end `fake` ---- */
extern const struct hvm_ops fake_hvm_ops;
struct fake_vcpu {                              /* what the back end knows of one vCPU */
    struct vcpu *v;
    struct vcpu_state state;
    struct { enum hvm_event_type type; u8 vector; u32 error; } injected[16];
    unsigned nr_injected;
    bool queued, want_intr, want_nmi, trap_rdtsc;
    u8 tpr;
    u64 tsc_offset, cr2;
    unsigned flushes, loads, policy_updates;
};
/* What a guest does between entry and exit; default: nothing. */
extern void (*fake_enter_hook)(struct vcpu *v);
/* Created on first use. */
struct fake_vcpu *fake_vcpu(struct vcpu *v);

/* ---- CPUID of the host (fake_cpuid.c): changes what host_cpuid() answers; policy_init() must run again ---- */
struct cpuid_regs;
extern void (*fake_cpuid_hook)(u32 leaf, u32 sub, struct cpuid_regs *out);
