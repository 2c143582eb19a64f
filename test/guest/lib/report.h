/* SPDX-License-Identifier: MIT */
/*
 * For kernels whose guests go through long lists of cases: what failed, as text, in the page of the guest's arguments, from
 * where dom0 prints it. Include in one file per kernel.
 */
#pragma once
#include "build.h"

#define ARGS (SCRATCH + 0x500000)
#define REPORT 0x200                    /* in the page */
struct report { u32 ran, failed, used; char text[3000]; };

/* ---- in the guest ---- */
static inline struct report *report(void) { return (void *)(DOM_ARGS + REPORT); }

static inline void say(const char *s)
{
    struct report *r = report();
    while (*s && r->used < sizeof(r->text) - 1) r->text[r->used++] = *s++;
}

/* Case `name` failed. */
static inline void tell(const char *name, const char *what, u64 is, u64 wanted)
{
    char s[24];
    say(name);
    say(": ");
    say(what);
    for (unsigned k = 0; k < 2; k++) {
        u64 v = k ? wanted : is;
        unsigned n = sizeof(s) - 1;
        s[n] = 0;
        do s[--n] = "0123456789abcdef"[v & 15]; while (v >>= 4);
        say(k ? ", expected " : " ");
        say(s + n);
    }
    say("\n");
    report()->failed++;
}

/* The forced emulation prefix may be used: the first argument. The second is the least number of cases. */
static inline bool may_force(void) { return my_args()->in[0]; }
static inline u64 cases_wanted(void) { return my_args()->in[1]; }

/* ---- in dom0 ---- */
static inline bool hvm_fep(void)
{
    static char line[1024];
    hc_xen_version(XENVER_commandline, line);
    for (const char *p = line; *p; p++)
        if (!memcmp(p, "hvm_fep", 7)) return true;
    return false;
}

/* A guest runs `role` to its end; what it reports. */
static inline void guest_reports(unsigned vcpus, role_fn role, unsigned at_least, unsigned ms)
{
    long id = domain_build(vcpus);
    need(id > 0);
    need_eq(domain_load((unsigned)id, (u64)role), 0);
    volatile struct dom_args *a = role_args((unsigned)id, ARGS);
    need(a);
    a->in[0] = hvm_fep();
    a->in[1] = at_least;
    need_eq(domctl(XEN_DOMCTL_unpausedomain, (unsigned)id), 0);
    check_eq(domain_wait((unsigned)id, ms), SHUTDOWN_poweroff);
    struct report *r = (void *)(ARGS + REPORT);
    check(r->ran >= at_least);
    if (!check_eq(r->failed, 0) || r->ran < at_least) {
        print("   %u cases\n", r->ran);
        r->text[sizeof(r->text) - 1] = 0;
        for (char *p = r->text, *q; *p; p = q) {                /* print() takes half a kilobyte */
            for (q = p; *q && *q != '\n'; q++) ;
            if (*q) *q++ = 0;
            print("   %s\n", p);
        }
    }
    unmap(ARGS, 1);
    check(domain_end((unsigned)id));
}
