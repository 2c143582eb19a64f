/* SPDX-License-Identifier: MIT */
/*
 * Hypercalls: dispatch, permission, continuation, one row per operation (design rule 2). Handlers get a private
 * copy of the registers and return the value for RAX. -ERESTART from a handler means: arguments were updated in
 * c->arg[], keep RIP on the instruction (or write the multicall entry back) and come again; it never reaches a guest.
 */
#pragma once
#include "dom/domain.h"
#include "call/abi.h"

/* Arguments that the ABI declares as 32 bits (sub-operations, counts) are read as such: what a client's compiler left
 * in the upper half of the register does not matter. */
struct call {
    struct vcpu *v;                 /* caller == current vCPU */
    unsigned nr;
    u64 arg[6];
    bool in_multicall;
};
typedef long (*call_fn)(struct call *c);

/* Who may call: any guest, only privileged domains (toolstack). Checked before anything else (I-18). */
enum call_who { WHO_ANY, WHO_PRIV };

/* A row. Handlers with sub-operations keep tables of struct subop in their own file. */
struct hypercall { const char *name; call_fn fn; enum call_who who; u8 nr_args; };
extern const struct hypercall hypercalls[];
extern const unsigned nr_hypercalls;

/* Sub-operation whose argument is one fixed-size structure: copied in before, copied out after when `out`. */
#define SUBOP_OUT 1                 /* copy the structure back if fn returns >= 0 */
#define SUBOP_OUT_ALWAYS 2          /* ... whatever it returns */
struct subop {
    const char *name;
    long (*fn)(struct call *c, void *arg);
    u16 size;                       /* bytes of the structure, 0 = none */
    u8 flags;                       /* SUBOP_* */
    u8 who;                         /* enum call_who */
};
/* Run row `cmd` of table: -ENOSYS if absent, -EPERM, -EFAULT; arg_gva = guest address of the structure.
 * The structure is 512 bytes at most, and nothing behind it is initialised. */
long subop_run(struct call *c, const struct subop *table, unsigned nr, unsigned cmd, gva_t arg_gva);

/* Execute the hypercall in v's registers; returns true if done (skip the instruction), false to retry. */
bool call_dispatch(struct vcpu *v);
/* In long loops: true if the operation should stop with -ERESTART (an interrupt came, or the time slice is over).
 * Opens an interrupt window: no lock may be held. */
bool call_preempt(void);

/* Handlers, one per family (file of the same name in src/call or the module's folder). */
long memory_op(struct call *c);         /* 12  call/memory.c */
long multicall(struct call *c);         /* 13  call/call.c */
long set_timer_op(struct call *c);      /* 15  call/vcpu.c */
long xen_version(struct call *c);       /* 17  call/version.c */
long console_io(struct call *c);        /* 18  call/console.c */
/* Output of a guest (console_io, port 0xE9): collected into lines "(dN) ...", control characters dropped. */
void console_guest_put(struct domain *d, const char *s, size_t n);
long vm_assist(struct call *c);         /* 21  call/misc.c */
long vcpu_op(struct call *c);           /* 24  call/vcpu.c */
long sched_op(struct call *c);          /* 29  call/sched.c */
long physdev_op(struct call *c);        /* 33  call/physdev.c */
long hvm_op(struct call *c);            /* 34  call/hvm.c */
long sysctl(struct call *c);            /* 35  call/sysctl.c */
long domctl(struct call *c);            /* 36  call/domctl.c */
long platform_op(struct call *c);       /* 7   call/platform.c */
long loader_done(struct call *c);       /* private: dom0 loader's report, see dom/dom0.c */
#define CALL_LOADER_DONE 63             /* hypercall number of the above; once, from the loader only */
