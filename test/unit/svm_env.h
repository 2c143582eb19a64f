/* SPDX-License-Identifier: MIT */
/*
 * The SVM back end on the fake machine: VMRUN notes what it was entered with and reports the exit that the test wants.
 * One guest (domain 1, two vCPUs) with 1 MiB of RAM, flat addresses, and dom0 beside it.
 */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "call/call.h"
#include "cpu/cpu.h"
#include "cpu/lapic.h"
#include "cpu/x86.h"
#include "fake.h"
#include "hvm/policy.h"
#include "hvm/svm/svm.h"
#include "hvm/vlapic.h"
#include "machine_stubs.h"
#include "mm/block.h"
#include "sched/internal.h"

enum { CODE = 0x12000, TABLES = 0x20000, STACK = 0x18000, HOLE = 0x200000 };

static struct domain *d0, *d;
static struct vcpu *v;
static struct svm_vcpu *s;
static struct vmcb *b;

/* ---- VMRUN ---- */
static struct vmcb entered;                     /* as it was at the last VMRUN */
static unsigned entries;
static struct { u64 code, info1, info2, intinfo; void (*guest)(struct vcpu_regs *, struct vmcb *); } next;
static unsigned self_ipis, rechecks;

static void vmrun(struct vcpu_regs *regs, struct vmcb *vb)
{
    entered = *vb;
    entries++;
    assert_int_equal(this_cpu()->in_guest, 1);
    vb->exitcode = next.code;
    vb->exitinfo1 = next.info1;
    vb->exitinfo2 = next.info2;
    vb->exitintinfo = next.intinfo;
    if (next.guest)
        next.guest(regs, vb);
}

void lapic_send(u32 apic_id, u32 mode_vector)
{
    assert_int_equal(apic_id, this_cpu()->apic_id);
    self_ipis++;
}
void lapic_recheck(void) { rechecks++; }

/* ---- machine ---- */
static void svm_cpus(unsigned n)
{
    static struct cpu early;

    this_cpu_ptr = &early;
    fake_machine_init(64, n);
    svm_msrpm = NULL;
    svm_features = 0;
    fake_cpuid_hook = NULL;
    entries = self_ipis = rechecks = 0;
    memset(&next, 0, sizeof(next));
    *fake_msr(MSR_EFER) = EFER_NXE | EFER_LME;
    *fake_msr(MSR_VM_HSAVE_PA) = *fake_msr(MSR_TSC_AUX) = *fake_msr(MSR_SPEC_CTRL) = 0;
    *fake_msr(MSR_TSC_RATIO) = 3;               /* of whatever ran before */
    fake_vmrun_hook = vmrun;
    host_features[FEAT_RDTSCP / 32] |= 1u << FEAT_RDTSCP % 32;
}

static void cpus_up(void)
{
    for (unsigned i = 0; i < nr_cpus; i++) {
        this_cpu_ptr = cpus[i];
        assert_int_equal(svm_ops.cpu_up(), 0);
    }
    this_cpu_ptr = cpus[0];
}

static void use_vcpu(struct vcpu *to)
{
    v = to;
    s = svm_vcpu(v);
    b = s->vmcb;
}

/* `features` instead of what CPUID says. */
static void svm_guest(u32 features)
{
    svm_cpus(2);
    hvm = &svm_ops;
    cpus_up();
    svm_features = features;
    sched_init();
    list_init(&runq);               /* of the machine before this one */
    policy_init();
    d0 = fake_domain(0, 64);
    d = fake_domain_vcpus(1, 256, 2);
    for (unsigned i = 0; i < 2; i++)
        vcpu_set_up(d->vcpu[i]);
    domain_unpause(d);
    use_vcpu(d->vcpu[0]);
    fake_enter_cpu(0, v);
    hvm_load(v);
    hvm_set_pvh_entry(v, CODE, 0);
}

/* Identity by one 1 GiB page; 64-bit code. */
static inline void long_mode(void)
{
    u64 *l4 = fake_guest_ptr(v->dom, TABLES), *l3 = fake_guest_ptr(v->dom, TABLES + 0x1000);

    l4[0] = (TABLES + 0x1000) | 7;
    l3[0] = 0x87;
    hvm_set_long_mode(v, CODE, STACK, TABLES, 0);
}

static inline void put_code(const void *bytes, size_t n)
{
    memset(fake_guest_ptr(v->dom, CODE), 0xcc, 32);
    memcpy(fake_guest_ptr(v->dom, CODE), bytes, n);
    v->regs.rip = CODE;
    memset(s->len, 0, sizeof(s->len));
}
#define CODE_BYTES(...) do { static const u8 c_[] = { __VA_ARGS__ }; put_code(c_, sizeof(c_)); } while (0)

/* One entry and the exit. */
static inline void run(u64 code, u64 info1, u64 info2)
{
    unsigned before = entries;

    next.code = code;
    next.info1 = info1;
    next.info2 = info2;
    this_cpu()->resched = false;
    svm_ops.enter(v);
    assert_int_equal(entries, before + 1);
    assert_int_equal(this_cpu()->in_guest, 0);
    assert_no_locks();
}

/* Has the exit a row of its own? */
static inline bool exit_known(u64 code)
{
    static const u8 rows[] = { 0x04, 0x14, 0x18, 0x41, 0x46, 0x51, 0x52, 0x60, 0x61, 0x63, 0x64, 0x65, 0x6e, 0x6f, 0x72,
                               0x74, 0x76, 0x77, 0x78, 0x7a, 0x7b, 0x7c, 0x7e, 0x7f, 0x80, 0x81, 0x82, 0x83, 0x84,
                               0x85, 0x86, 0x87, 0x89, 0x8a, 0x8b, 0x8c, 0x8d, 0x8e, 0xa0, 0xa1, 0xa3, 0xa4 };

    return (code >= 0x20 && code < 0x40) || (code >= 0x4a && code <= 0x4e) ||
           (code <= 0xff && memchr(rows, (int)code, sizeof(rows)));
}

/* What the next entry injects, taken off. */
static inline u64 take_event(void)
{
    u64 e = s->event;

    s->event = s->deferred = 0;
    return e;
}
#define EXC(vec)          (EVENT_VALID | SVM_EXCEPTION << 8 | (vec))
#define EXC_ERR(vec, err) (EXC(vec) | EVENT_HAS_ERROR | (u64)(err) << 32)
#define NPF_WRITE_ERROR   (NPF_WRITE | NPF_USER)
