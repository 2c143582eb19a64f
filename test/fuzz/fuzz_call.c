/* SPDX-License-Identifier: MIT */
/*
 * Hypercalls: a list of (domain, vCPU, operation of the family, arguments), mixed with what other domains and time do
 * meanwhile. Operations come from the product's own tables (ops.h, made by tools/fuzzops.py). The name by which the
 * program is started chooses the family: fuzz_call-evtchn_op; fuzz_call-all takes them all. fuzz_call-msan does too, is
 * built with the memory sanitizer and begins with a round through all operations: every byte that reaches a guest was
 * written by somebody (I-15).
 */
#include <string.h>
#include "call/call.h"
#include "fake.h"
#include "fuzz.h"

enum shape { SH_RAW, SH_CMD, SH_ARRAY, SH_VCPU, SH_CONTROL };
struct op { const char *family; u8 nr; u32 cmd; u16 size; u8 shape; const char *name; u8 absent; };
static const struct op ops[] = {
#include "ops.h"
};
static const struct op *family[ARRAY_SIZE(ops)];
static unsigned nr_family;

/* `n` structures of op's size at gva. */
static void put_args(struct vcpu *v, const struct op *op, gva_t gva, unsigned n, struct input *in)
{
    u64 words[80] = { 0 };
    unsigned bytes = MIN((unsigned)op->size * n, (unsigned)sizeof(words)), first = 0;

    if (op->shape == SH_CONTROL) {
        u32 *head = (u32 *)words;
        head[0] = op->cmd;
        head[1] = op->nr == __HYPERVISOR_domctl ? XEN_DOMCTL_INTERFACE_VERSION
                : op->nr == __HYPERVISOR_sysctl ? XEN_SYSCTL_INTERFACE_VERSION : XENPF_INTERFACE_VERSION;
        first = 1;
        if (op->nr == __HYPERVISOR_domctl)
            words[first++] = in8(in) & 7;
    }
    unsigned filled = in8(in) & 15;                 /* the rest is zero, as tools leave it */
    for (unsigned i = first; i < bytes / 8 + 1 && i < ARRAY_SIZE(words) && filled--; i++)
        words[i] = in_value(in);
    if (guest_write(v, gva, words, bytes))
        return;
}

static void hypercall(struct vcpu *v, const struct op *op, struct input *in)
{
    struct vcpu_regs *r = &v->regs;
    u8 how = in8(in);
    gva_t gva = SCRATCH + (how & 7) * 0x400;
    unsigned n = op->shape == SH_ARRAY ? (how >> 3 & 3) + 1 : 1;
    u64 cmd = op->cmd;

    if (how >= 0xe0)                                /* an odd place */
        gva = how & 8 ? in_value(in) : GUEST_PAGES * PAGE_SIZE - (how & 7) * 8;
    else if (op->shape != SH_RAW)
        put_args(v, op, gva, n, in);
    if (op->nr == __HYPERVISOR_memory_op && (how & 0x18) == 0x18)
        cmd |= (u64)in8(in) << 6;                   /* as if it were a continuation */
    r->rax = op->nr;
    r->r10 = r->r8 = r->r9 = 0;
    switch (op->shape) {
    case SH_RAW:
        r->rdi = in_value(in);
        r->rsi = in_value(in);
        r->rdx = in_value(in);
        r->r10 = in_value(in);
        break;
    case SH_CMD:
        r->rdi = cmd;
        r->rsi = gva;
        break;
    case SH_ARRAY:
        r->rdi = cmd;
        r->rsi = gva;
        r->rdx = op->nr == __HYPERVISOR_grant_table_op && op->cmd != GNTTABOP_setup_table ? n : 1;
        break;
    case SH_VCPU:
        r->rdi = cmd;
        r->rsi = how >> 5 & 3;
        r->rdx = gva;
        break;
    default:
        r->rdi = gva;
    }
    world_call(v);
}

static void write_memory(struct vcpu *v, struct input *in)
{
    u8 where = in8(in);
    static const u64 base[] = { SCRATCH, (u64)GNT_GFN << PAGE_SHIFT, (u64)INFO_GFN << PAGE_SHIFT, 0x101000 };
    u64 val = in_value(in), at = base[where >> 6] + (where & 63) * 8;

    if (guest_write_gpa(v->dom, at, &val, sizeof(val)))
        return;
}

static void steps(void *arg)
{
    struct input *in = arg;

    world_irq_seed(in8(in));
    while (in_more(in)) {
        u8 who = in8(in);
        struct vcpu *v = world_enter((who & 3) % WORLD_DOMS, who >> 2 & 1);
        if (!v)
            continue;
        switch (who >> 5) {
        case 0:
            write_memory(v, in);
            break;
        case 1:
            fake_time_advance((u64)in8(in) << 16);
            timer_run();
            break;
        default:
            hypercall(v, family[in8(in) % nr_family], in);
        }
    }
}

void fuzz_one(struct input *in)
{
    world_make();
    world_run(steps, in);
    world_end();
}

/* ---- the round through all operations ---- */
enum { TRIES = 60, INPUT_BYTES = 160 };

/* Mostly from dom0: others may not do much. */
static void try_op(void *arg)
{
    const struct op *op = arg;
    u64 x = 88172645463325252ULL;
    u8 bytes[INPUT_BYTES];

    for (unsigned n = 0; n < TRIES; n++) {
        for (unsigned i = 0; i < sizeof(bytes); i++) {
            x = x * 6364136223846793005ULL + 1442695040888963407ULL;
            bytes[i] = (u8)(x >> 56);
        }
        struct input in = { bytes, bytes + sizeof(bytes) };
        struct vcpu *v = world_enter(n % 4 ? 0 : 1, n >> 2 & 1);
        if (v)
            hypercall(v, op, &in);
    }
}

static void try_all(void)
{
    CHECK(memory_is_watched());
    for (unsigned i = 0; i < ARRAY_SIZE(ops); i++) {
        world_make();
        world_run(try_op, (void *)&ops[i]);
        world_end();
    }
}

void fuzz_start(const char *program)
{
    const char *dash = strchr(program, '-');
    const char *want = dash ? dash + 1 : "all";
    bool msan = !strcmp(want, "msan");

    for (unsigned i = 0; i < ARRAY_SIZE(ops); i++)
        if (msan || !strcmp(want, "all") || !strcmp(want, ops[i].family))
            family[nr_family++] = &ops[i];
    if (!nr_family)
        panic("no operations of %s\n", want);
    if (msan)
        try_all();
}
