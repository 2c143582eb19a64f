/* SPDX-License-Identifier: MIT */
/* Fake machine: vendor back end. State lives in a table by vCPU; asserts that nobody reads the state of a vCPU
 * that runs on another CPU (design rule 8). */
#include "fake.h"
#include "fake_internal.h"

#define MAX_FAKE 192
static struct fake_vcpu table[MAX_FAKE];
static unsigned nr_table;
void (*fake_enter_hook)(struct vcpu *v);

void fake_hvm_reset(void)
{
    memset(table, 0, sizeof(table));
    nr_table = 0;
    fake_enter_hook = NULL;
}

struct fake_vcpu *fake_vcpu(struct vcpu *v)
{
    struct fake_vcpu *f = NULL;

    for (unsigned i = 0; i < nr_table; i++) {
        if (table[i].v == v)
            return &table[i];
        if (!table[i].v && !f)
            f = &table[i];                      /* of one that is gone */
    }
    if (!f && nr_table == MAX_FAKE)
        panic("fake: too many vCPUs\n");
    if (!f)
        f = &table[nr_table++];
    memset(f, 0, sizeof(*f));
    f->v = v;
    f->state.cr0 = 0x10;
    return f;
}

static struct fake_vcpu *owned(struct vcpu *v)
{
    if (v->running && v != this_cpu()->curr && v == cpus[v->cpu]->curr)
        panic("fake: state of a running vCPU touched from another CPU\n");
    return fake_vcpu(v);
}

static int f_cpu_up(void) { return 0; }
static int f_vcpu_create(struct vcpu *v) { fake_vcpu(v); return 0; }
static void f_vcpu_destroy(struct vcpu *v)
{
    for (unsigned i = 0; i < nr_table; i++)
        if (table[i].v == v)
            table[i].v = NULL;
}
static void f_enter(struct vcpu *v)
{
    fake_vcpu(v)->queued = false;
    if (fake_enter_hook)
        fake_enter_hook(v);
}
static void f_load(struct vcpu *v) { fake_vcpu(v)->loads++; }
static void f_unload(struct vcpu *v) {}
static void f_get_state(struct vcpu *v, struct vcpu_state *s) { *s = owned(v)->state; }
static int f_set_state(struct vcpu *v, const struct vcpu_state *s)
{
    /* The same conditions under which VMRUN refuses (APM 2, 15.5.1), as far as a test may meet them. */
    if ((s->cr0 >> 32) || ((s->cr0 & (1UL << 29)) && !(s->cr0 & (1UL << 30))))
        return -EINVAL;
    owned(v)->state = *s;
    return 0;
}
static void f_get_paging(struct vcpu *v, struct paging_state *p)
{
    struct fake_vcpu *f = owned(v);
    *p = (struct paging_state){ .cr0 = f->state.cr0, .cr3 = f->state.cr3, .cr4 = f->state.cr4,
                                .efer = f->state.efer, .rflags = v->regs.rflags,
                                .cpl = f->state.seg[SEG_SS].attr >> 5 & 3 };
}
static void f_get_segment(struct vcpu *v, unsigned seg, struct segment *s) { *s = owned(v)->state.seg[seg]; }
static void f_inject(struct vcpu *v, enum hvm_event_type type, u8 vector, u32 error)
{
    struct fake_vcpu *f = owned(v);
    if (f->nr_injected < ARRAY_SIZE(f->injected)) {
        f->injected[f->nr_injected].type = type;
        f->injected[f->nr_injected].vector = vector;
        f->injected[f->nr_injected].error = error;
        f->nr_injected++;
    }
    f->queued = true;
}
static bool f_event_queued(struct vcpu *v) { return fake_vcpu(v)->queued; }
static bool f_intr_open(struct vcpu *v) { return (v->regs.rflags & 0x200) && !fake_vcpu(v)->state.intr_shadow; }
static bool f_nmi_open(struct vcpu *v) { return !fake_vcpu(v)->state.nmi_blocked; }
static void f_want_intr(struct vcpu *v, bool on) { fake_vcpu(v)->want_intr = on; }
static void f_want_nmi(struct vcpu *v) { fake_vcpu(v)->want_nmi = true; }
static u8 f_get_tpr(struct vcpu *v) { return fake_vcpu(v)->tpr; }
static void f_set_tpr(struct vcpu *v, u8 tpr) { fake_vcpu(v)->tpr = tpr; }
static void f_flush(struct vcpu *v) { fake_vcpu(v)->flushes++; }
static void f_set_cr2(struct vcpu *v, u64 cr2) { fake_vcpu(v)->cr2 = fake_vcpu(v)->state.cr2 = cr2; }
static void f_tsc(struct vcpu *v, u64 offset, bool trap)
{
    fake_vcpu(v)->tsc_offset = offset;
    fake_vcpu(v)->trap_rdtsc = trap;
}
static void f_update_policy(struct vcpu *v) { fake_vcpu(v)->policy_updates++; }
static void f_dump(struct vcpu *v) {}

const struct hvm_ops fake_hvm_ops = {
    .name = "fake", .cpu_up = f_cpu_up, .vcpu_create = f_vcpu_create, .vcpu_destroy = f_vcpu_destroy,
    .enter = f_enter, .load = f_load, .unload = f_unload, .get_state = f_get_state, .set_state = f_set_state,
    .get_paging = f_get_paging, .get_segment = f_get_segment, .inject = f_inject, .event_queued = f_event_queued,
    .intr_open = f_intr_open, .nmi_open = f_nmi_open, .want_intr_window = f_want_intr,
    .want_nmi_window = f_want_nmi, .get_tpr = f_get_tpr, .set_tpr = f_set_tpr, .flush_tlb = f_flush,
    .set_cr2 = f_set_cr2, .set_tsc_offset = f_tsc, .update_policy = f_update_policy, .dump = f_dump,
};

__attribute__((weak)) int svm_rdmsr(struct vcpu *v, u32 msr, u64 *val) { return -ENOENT; }
__attribute__((weak)) int svm_wrmsr(struct vcpu *v, u32 msr, u64 val) { return -ENOENT; }
