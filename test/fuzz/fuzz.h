/* SPDX-License-Identifier: MIT */
/*
 * Fuzz targets (libFuzzer). Each fuzz_*.c defines fuzz_one(), which decodes the input with the readers below: an input
 * is a list of small choices, so that mutations stay meaningful. What must never happen ends the process: a
 * sanitizer's report, panic(), ASSERT, CHECK.
 */
#pragma once
#include "lib/types.h"

struct input { const u8 *p, *end; };
/* 0 once the input is used up. */
u8 in8(struct input *in);
u64 in_n(struct input *in, unsigned bytes);
static inline u16 in16(struct input *in) { return (u16)in_n(in, 2); }
static inline u32 in32(struct input *in) { return (u32)in_n(in, 4); }
static inline u64 in64(struct input *in) { return in_n(in, 8); }
static inline bool in_more(const struct input *in) { return in->p < in->end; }
static inline size_t in_left(const struct input *in) { return (size_t)(in->end - in->p); }
/* A 64-bit value, mostly one that means something: small, a scratch address, a guest frame, a limit, or eight bytes. */
u64 in_value(struct input *in);

void fuzz_start(const char *program);   /* once; `program` is the name it was started by */
void fuzz_one(struct input *in);

/* Like assert, but always compiled in. */
#define CHECK(c) ((c) ? (void)0 : fuzz_failed(#c, __FILE__, __LINE__))
void fuzz_failed(const char *what, const char *file, int line) __noreturn;

/* ---- a small host with three domains (world.c) ---- */
struct domain;
struct vcpu;
enum {
    WORLD_MIB = 14, WORLD_CPUS = 4, WORLD_DOMS = 3, WORLD_VCPUS = 2, WORLD_PORTS = 4095,
    GUEST_PAGES = 64, BIG_PAGES = 512 + 16,         /* RAM of a domain, of domain 1: its first 2 MiB are one piece */
    SCRATCH = 0x10000, SCRATCH_BYTES = 0x4000,      /* guest-physical, for arguments and buffers */
    GNT_GFN = 0x4000, INFO_GFN = 0x4010,            /* where grant frame 0 and shared_info are mapped */
};
/* The machine with domain 0 (privileged), 1 and 2, all running, each with grants for its neighbours and one event
 * channel to them. Made once, put back before each execution (rewind.h). */
void world_make(void);
/* Called before dom0 looks at PCI: finds devices with pci_get(). NULL: there are none. */
extern void (*world_devices)(void);
/* Called once, when the domains are there: what every execution finds. */
extern void (*world_furnish)(void);
/* vCPU `id` of domain `dom` becomes current on a CPU of its own; NULL if there is none or it cannot run. */
struct vcpu *world_enter(u16 dom, unsigned id);
/* Nobody is current. */
void world_leave(void);
/* The audit of all memory; then every domain is destroyed and each page must have come back. */
void world_end(void);
/* Run f(arg); false if the host was switched off in it, after which only world_end() may be called. */
bool world_run(void (*f)(void *), void *arg);
/* Pseudo-random interrupts in interrupt windows from now on. */
void world_irq_seed(u32 seed);
/* Execute the hypercall in v's registers with its continuations; result of RAX. v is current. */
long world_call(struct vcpu *v);
