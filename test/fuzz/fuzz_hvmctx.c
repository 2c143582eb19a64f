/* SPDX-License-Identifier: MIT */
/* Saved state of a domain (HVM context records): a good stream is taken from domain 1, damaged, cut or rearranged as the
 * input says, and loaded. Accepted or not: the domain can be saved again, entered, and destroyed. */
#include <string.h>
#include "call/call.h"
#include "fake.h"
#include "fuzz.h"
#include "hvm/hvm_vcpu.h"

enum { STREAM = SCRATCH + 0x400, STREAM_MAX = SCRATCH_BYTES - 0x400 };

void fuzz_start(const char *program) {}

static long control(struct vcpu *v, u32 cmd, u32 *size)
{
    struct xen_domctl op = { .cmd = cmd, .interface_version = XEN_DOMCTL_INTERFACE_VERSION, .domain = 1 };

    op.u.hvmcontext.size = *size;
    op.u.hvmcontext.buffer.p = (void *)(u64)STREAM;
    if (guest_write_gpa(v->dom, SCRATCH, &op, sizeof(op)))
        return -EFAULT;
    v->regs.rax = __HYPERVISOR_domctl;
    v->regs.rdi = SCRATCH;
    long rc = world_call(v);
    if (guest_read_gpa(v->dom, &op, SCRATCH, sizeof(op)))
        return -EFAULT;
    *size = op.u.hvmcontext.size;
    return rc;
}

/* Offset of the n-th record's descriptor; the end for one too many. */
static u32 record_at(const u8 *s, u32 size, unsigned n)
{
    struct hvm_save_descriptor d;
    u32 pos = 0;

    while (n-- && pos + sizeof(d) <= size) {
        memcpy(&d, s + pos, sizeof(d));
        if (d.length > size - pos - sizeof(d))
            break;
        pos += (u32)sizeof(d) + d.length;
    }
    return MIN(pos, size);
}

static u32 damage(u8 *s, u32 size, struct input *in)
{
    while (in_more(in)) {
        u8 t = in8(in);
        u32 at = record_at(s, size, t & 31), n;
        switch (t >> 5) {
        case 0:                                     /* cut */
            size = at + MIN((u32)in8(in), size - at);
            break;
        case 1:                                     /* a record twice, over what follows */
            n = record_at(s, size, in8(in) & 31);
            memmove(s + n, s + at, MIN(size - at, STREAM_MAX - n));
            break;
        case 2: {                                   /* another type or vCPU */
            u8 w = in8(in);
            if (at + 8 <= size)
                s[at + (w & 3)] = in8(in);
            break;
        }
        default:                                    /* a value in its payload */
            at += 8 + in16(in) % 1100;
            n = t >> 5 & 1 ? 8 : 2;
            for (u64 v = in_value(in); n-- && at < size; v >>= 8)
                s[at++] = (u8)v;
        }
    }
    return size;
}

static void steps(void *arg)
{
    static u8 stream[STREAM_MAX];
    struct vcpu *v = world_enter(0, 0);
    u32 size = STREAM_MAX, again = STREAM_MAX;

    CHECK(control(v, XEN_DOMCTL_gethvmcontext, &size) == 0 && size <= STREAM_MAX);
    memcpy(stream, fake_guest_ptr(v->dom, STREAM), PAGE_SIZE - STREAM % PAGE_SIZE);
    CHECK(!guest_read_gpa(v->dom, stream, STREAM, size));
    size = damage(stream, size, arg);
    CHECK(!guest_write_gpa(v->dom, STREAM, stream, sizeof(stream)));
    long rc = control(v, XEN_DOMCTL_sethvmcontext, &size);
    CHECK(rc <= 0);
    CHECK(control(v, XEN_DOMCTL_gethvmcontext, &again) == 0);
    for (unsigned i = 0; i < WORLD_VCPUS; i++) {
        v = world_enter(1, i);
        if (!v)
            continue;
        fake_vcpu(v)->queued = false;
        hvm_run(v);
    }
}

void fuzz_one(struct input *in)
{
    world_make();
    world_run(steps, in);
    world_end();
}
