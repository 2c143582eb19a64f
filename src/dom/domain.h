/* SPDX-License-Identifier: MIT */
/*
 * Domains and vCPUs: life cycle, pause counts, shutdown. Each subsystem keeps its own state behind an opaque
 * pointer that it allocates in its <module>_domain_init / <module>_vcpu_init and frees in its _destroy.
 */
#pragma once
#include "lib/lib.h"
#include "cpu/percpu.h"
#include "debug/conlimit.h"
#include "lib/list.h"
#include "mm/mm.h"
#include "mm/guest.h"
#include "sync/sync.h"
#include "time/time.h"

#define MAX_VCPUS 128               /* per domain */
#define SHUTDOWN_CODE_NONE 0xff

typedef u16 domid_t_;               /* the public headers define domid_t */

struct evtchn_domain; struct evtchn_vcpu; struct gnttab; struct p2m; struct hvm_domain; struct hvm_vcpu;
struct iommu_domain; struct vlapic; struct vioapic; struct vpci; struct cpu_policy; struct sched_vcpu;

/* General registers of a guest. The vendor back end keeps them all up to date at every exit and loads all of
 * them at entry, so the rest of the hypervisor may read and write them freely for the current vCPU. */
struct vcpu_regs {
    u64 rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15;
    u64 rip, rflags;
};                                  /* order = x86 register numbers: regs as array [reg & 15] */

/* Reasons why a vCPU does not run; runnable means all clear and both pause counts zero. */
enum {
    VF_DOWN    = 1,                 /* not initialised, or VCPUOP_down / INIT */
    VF_BLOCKED = 2,                 /* HLT, SCHEDOP_block, poll */
};

struct vcpu {
    struct domain *dom;
    unsigned id;
    struct vcpu_regs regs;
    u32 flags;                      /* VF_*; atomic; change through sched.h */
    u32 pause_count;                /* atomic */
    bool initialised;               /* was given a state once */
    bool poll_active;               /* in SCHEDOP_poll: evtchn wakes it through poll ports */
    u32 running;                    /* 1 while loaded and executing on cpu (written by that CPU) */
    unsigned cpu;                   /* where it runs or ran last */
    u64 tlb_gen;                    /* generation last flushed for this vCPU (tlb.h) */
    struct guest_mem *info;         /* struct vcpu_info: event and time mailbox; in shared_info or a registered page, never NULL */
    struct guest_page info_page;    /* pinned registered page, mfn INVALID_MFN if none */
    struct guest_area runstate_area, time_area;     /* (A) registered by the guest */
    struct spinlock area_lock;      /* fields marked (A), and writing the time in *info */
    struct runstate { int state; u64 since_ns; u64 time_ns[4]; } rs;
    struct timer singleshot, periodic, poll_timer; u64 periodic_ns;
    u8 upcall_vector;               /* HVMOP_set_evtchn_upcall_vector, 0 = none */
    struct evtchn_vcpu *evtchn;
    struct vlapic *lapic;
    struct hvm_vcpu *hvm;           /* src/hvm: vendor-neutral + vendor state */
    struct sched_vcpu *sched;
    u64 serial;                     /* not 0; no other vCPU had or gets it, whatever its address */
};

enum dom_state { DOM_ALIVE, DOM_DYING, DOM_DEAD };

struct domain {
    u16 id;
    bool is_hwdom;                  /* dom0: owns the machine's devices */
    bool is_priv;                   /* may control other domains */
    enum dom_state state;
    u32 refs;                       /* atomic; get_domain / put_domain */
    struct list node;
    struct spinlock lock;           /* fields below marked (L) */
    u8 handle[16];
    u32 create_flags;               /* XEN_DOMCTL_CDF_* */
    u32 emulation_flags;
    u32 pause_count;                /* atomic; 1 after creation */
    u32 ctl_pauses;                 /* (L) those made by the toolstack */
    bool shut_down; u8 shutdown_code;   /* (L) the code may be latched before the end */
    bool ever_unpaused;
    unsigned max_vcpus;
    struct vcpu *vcpu[MAX_VCPUS];   /* [0 .. max_vcpus-1], NULL until created */
    struct domain *target;          /* DOMCTL_set_target */

    u64 tot_pages;                  /* atomic; populated RAM pages */
    u64 max_pages;
    u64 zombie_pages;               /* given up, still referenced */
    u64 outstanding;                /* claimed */
    u16 ram_slot;                   /* mm: owner slot in RAM descriptors, 0 = owns nothing (block lock) */
    u64 tlb_gen;                    /* atomic */

    struct guest_mem *shared_info;  /* struct shared_info: a hypervisor page */
    gfn_t shared_info_gfn;
    struct { u32 nr; struct e820entry_ { u64 addr, size; u32 type; } __packed *e; } memmap;     /* (L) */
    u64 params[40];                 /* HVM_PARAM_* (L) */
    s64 time_offset_s;
    u32 tsc_mode, tsc_khz, tsc_incarnation; u64 tsc_offset;     /* guest tsc = host tsc + offset */
    u32 vm_assist;
    unsigned max_grant_frames, max_maptrack_frames, max_evtchn_port;
    unsigned cpupool;

    struct p2m *p2m;
    struct evtchn_domain *evtchn;
    struct gnttab *gnttab;
    struct hvm_domain *hvm;
    struct iommu_domain *iommu;
    struct cpu_policy *policy;
    struct vioapic *ioapic;
    struct vpci *vpci;
    struct sched_dom *sched;
    struct timer watchdog[2];           /* SCHEDOP_watchdog */
    u8 destroy_stage;
    char serial_line[256]; unsigned serial_len;     /* console_io write / port 0xE9 line buffer (L) */
    struct bucket console_bucket;       /* what it may print (console lock) */
};

extern struct domain *dom0;

/* Find by id and take a reference; NULL if none. */
struct domain *get_domain(u16 id);
/* First domain with id >= `id`, referenced; NULL past the end. */
struct domain *get_domain_from(u16 id);
void put_domain(struct domain *d);
/* DOMID_SELF or a number, for the caller: referenced domain or NULL. */
struct domain *get_domain_self(u16 id);

/* gnttab_max_frames=, gnttab_max_maptrack_frames=: what a domain gets that asks for nothing, and the most it may. */
extern u64 opt_gnttab_max_frames, opt_gnttab_max_maptrack_frames;

struct domain_config {
    u32 flags, emulation_flags, max_vcpus, max_evtchn_port;
    s32 max_grant_frames, max_maptrack_frames;
    u32 cpupool;
    u8 handle[16];
    bool hwdom;
};
/* Create with the next free id (want >= DOMID_FIRST_RESERVED) or exactly `want`. The domain starts paused
 * (count 1) without vCPUs' state and memory. *out is returned with the creation reference.
 * -EEXIST, -ENOMEM, -EINVAL. */
/* Boot: empty domain list. */
void dom_init(void);
/* Create vCPU `id` (< max_vcpus) of d, down. 0, -EINVAL, -EEXIST, -ENOMEM. */
int vcpu_create(struct domain *d, unsigned id) __must_check;
int domain_create(u16 want, const struct domain_config *cfg, struct domain **out) __must_check;
/* Destroy: kill vCPUs, close channels, drop grants, free memory. Restartable: -ERESTART; 0 when done (memory
 * still referenced by others keeps it as a zombie in the list, until put_domain drops the last reference). */
int domain_destroy(struct domain *d) __must_check;
/* The guest, or a fault of it, ends: pause all its vCPUs, record the code, send VIRQ_DOM_EXC to dom0. For dom0
 * itself this powers off, reboots or reports the crash (noreboot). Code: SHUTDOWN_*. Returns. */
void domain_shutdown(struct domain *d, u8 code);
/* Beyond repair: log reason with vCPU registers to xl dmesg, then shutdown with SHUTDOWN_crash. */
void domain_crash(struct domain *d, const char *fmt, ...) __printf(2, 3);
/* Resume after suspend (DOMCTL_resumedomain). */
void domain_resume(struct domain *d);

/* All vCPUs of d stop running; returns when none is on a CPU. Nests. Not on the caller's own domain. */
void domain_pause(struct domain *d);
void domain_unpause(struct domain *d);
/* The same for one vCPU. */
void vcpu_pause(struct vcpu *v);
void vcpu_unpause(struct vcpu *v);
/* Pause without waiting (also allowed on own domain). A vCPU that does not run now will not start. */
void domain_pause_nosync(struct domain *d);
void vcpu_pause_nosync(struct vcpu *v);

/* shared_info time fields of all vCPUs / wall clock of one domain. */
void domain_update_wallclock(struct domain *d);
void vcpu_update_time(struct vcpu *v);
#define for_each_vcpu(d, v) \
    for (unsigned i_ = 0; i_ < (d)->max_vcpus; i_++) if (((v) = (d)->vcpu[i_]) != NULL)
/* All vCPUs are down. Each that goes down for good asks afterwards, so that one of the last two sees it: a guest that
 * takes its last vCPU down powers off. */
static inline bool domain_all_down(const struct domain *d)
{
    const struct vcpu *v;
    for_each_vcpu(d, v)
        if (!(read_once(&v->flags) & VF_DOWN)) return false;
    return true;
}
