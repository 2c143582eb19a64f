/* SPDX-License-Identifier: MIT */
/* HVM context records: libxc's PVH start sequence, round trip, no uninitialised bytes, refused streams, fuzz. */
#include "call_env.h"
#include "hvm/hvm_vcpu.h"
#include "hvm/vlapic.h"

#define STREAM_MAX 65536
static u8 *stream;
static gva_t stream_gva;

static long get_ctx(u16 id, gva_t buf, u32 *size)
{
    struct xen_domctl op = { 0 };
    op.u.hvmcontext.size = *size;
    op.u.hvmcontext.buffer.p = (void *)buf;
    long rc = call_domctl(XEN_DOMCTL_gethvmcontext, id, &op);
    *size = op.u.hvmcontext.size;
    return rc;
}

static long set_ctx(u16 id, gva_t buf, u32 size)
{
    struct xen_domctl op = { 0 };
    op.u.hvmcontext.size = size;
    op.u.hvmcontext.buffer.p = (void *)buf;
    return call_domctl(XEN_DOMCTL_sethvmcontext, id, &op);
}

/* Payload of a record in a stream, NULL if there is none. */
static void *find(u8 *s, u32 size, u16 code, u16 instance, u32 *len)
{
    for (u32 pos = 0; pos + 8 <= size; ) {
        struct hvm_save_descriptor d;
        memcpy(&d, s + pos, sizeof(d));
        if (d.typecode == code && d.instance == instance) {
            if (len) *len = d.length;
            return s + pos + 8;
        }
        if (!d.typecode) break;
        pos += 8 + d.length;
    }
    return NULL;
}

static u32 append(u8 *s, u32 pos, u16 code, u16 instance, const void *payload, u32 len)
{
    struct hvm_save_descriptor d = { code, instance, len };
    memcpy(s + pos, &d, sizeof(d));
    if (len) memcpy(s + pos + 8, payload, len);
    return pos + 8 + len;
}

static u32 full_get(u16 id)
{
    u32 size = 0;
    assert_int_equal(get_ctx(id, 0, &size), 0);
    assert_true(size && size <= STREAM_MAX);
    u32 need = size;
    memset(stream, 0xa5, STREAM_MAX);
    assert_int_equal(get_ctx(id, stream_gva, &size), 0);
    assert_int_equal(size, need);
    assert_int_equal(stream[size], 0xa5);
    return size;
}

static int setup(void **state)
{
    env_test_setup(state);
    stream = guest_buf(STREAM_MAX, &stream_gva);
    return 0;
}

static void test_records(void **state)
{
    static const struct { u16 code; u32 len; } want[] = {
        { 2, 1032 }, { 5, 24 }, { 6, 1024 }, { 14, 240 }, { 16, 0 }, { 18, 32 }, { 19, 8 },
    };
    u16 id = create_pvh(2);
    u32 size = full_get(id), len;
    size_t area;
    (void)hvm_xstate(dom_by_id(id)->vcpu[0], &area);
    struct hvm_save_header *h = find(stream, size, 1, 0, &len);
    assert_ptr_equal(h, stream + 8);
    assert_int_equal(len, 24);
    assert_int_equal(h->magic, 0x54381286);
    assert_int_equal(h->version, 1);
    assert_int_equal(h->gtsc_khz, tsc_khz);
    for (unsigned i = 0; i < ARRAY_SIZE(want); i++)
        for (u16 v = 0; v < 2; v++) {
            assert_non_null(find(stream, size, want[i].code, v, &len));
            assert_int_equal(len, want[i].len ? want[i].len : 24 + MIN(area, (size_t)0x988));
        }
    assert_null(find(stream, size, 3, 0, &len));        /* no PIC */
    assert_non_null(find(stream, size, 0, 0, &len));
    u32 small = size - 1;
    assert_int_equal(get_ctx(id, stream_gva, &small), -ENOSPC);
    small = size;
    assert_int_equal(get_ctx(id, BAD_GVA, &small), -EFAULT);
}

/* Two gets of different poison are equal: every byte is written (I-15). */
static void test_no_garbage(void **state)
{
    u16 id = create_pvh(2);
    static u8 first[STREAM_MAX];
    u32 size = full_get(id), size2 = size;
    memcpy(first, stream, size);
    memset(stream, 0x5a, STREAM_MAX);
    assert_int_equal(get_ctx(id, stream_gva, &size2), 0);
    assert_int_equal(size, size2);
    assert_memory_equal(first, stream, size);
    /* Nor does a record carry bytes of the one before it: each is the same when it is asked for alone. */
    struct hvm_save_descriptor e;
    unsigned n = 0;
    for (u32 pos = 8 + 24; memcpy(&e, first + pos, sizeof(e)), e.typecode; pos += 8 + e.length, n++) {
        struct xen_domctl op = { .u.hvmcontext_partial = { .type = e.typecode, .instance = e.instance,
                                                           .bufsz = STREAM_MAX, .buffer.p = (void *)stream_gva } };
        assert_int_equal(call_domctl(XEN_DOMCTL_gethvmcontext_partial, id, &op), 0);
        assert_memory_equal(stream, first + pos + 8, e.length);
    }
    assert_true(n >= 14);
}

/* What libxc does to start a PVH guest (B.1, E.9). */
static void test_pvh_start(void **state)
{
    u16 id = create_pvh(2);
    struct domain *d = dom_by_id(id);
    u32 size = full_get(id), len;
    struct hvm_save_header h = *(struct hvm_save_header *)find(stream, size, 1, 0, &len);
    struct hvm_hw_mtrr m;
    memcpy(&m, find(stream, size, 14, 0, &len), sizeof(m));
    m.msr_mtrr_def_type = 0x806;
    for (u16 v = 0; v < 2; v++) {
        u32 n = append(stream, 0, 1, 0, &h, sizeof(h));
        n = append(stream, n, 14, v, &m, sizeof(m));
        n = append(stream, n, 0, 0, NULL, 0);
        assert_int_equal(set_ctx(id, stream_gva, n), 0);
    }
    struct hvm_hw_cpu c;
    memset(&c, 0, sizeof(c));
    c.cs_base = c.ds_base = c.es_base = c.ss_base = c.tr_base = 0;
    c.cs_limit = c.ds_limit = c.es_limit = c.ss_limit = ~0u;
    c.tr_limit = 0x67;
    c.cs_arbytes = 0xc9b;
    c.ds_arbytes = c.es_arbytes = c.ss_arbytes = 0xc93;
    c.tr_arbytes = 0x8b;
    c.cr0 = 0x11;
    c.dr6 = 0xffff0ff0;
    c.dr7 = 0x400;
    c.rip = 0x1000850;
    c.rbx = 0x4a00000;
    u32 n = append(stream, 0, 1, 0, &h, sizeof(h));
    n = append(stream, n, 2, 0, &c, sizeof(c));
    n = append(stream, n, 0, 0, NULL, 0);
    fake_time_advance(5000000000ULL);
    assert_int_equal(set_ctx(id, stream_gva, n), 0);
    struct vcpu *v = d->vcpu[0];
    assert_false(v->flags & VF_DOWN);
    assert_true(v->initialised);
    assert_true(d->vcpu[1]->flags & VF_DOWN);
    assert_int_equal(v->regs.rip, 0x1000850);
    assert_int_equal(v->regs.rbx, 0x4a00000);
    assert_int_equal(v->regs.rflags, 2);
    struct fake_vcpu *f = fake_vcpu(v);
    assert_int_equal(f->state.cr0, 0x11);
    assert_int_equal(f->state.seg[SEG_CS].attr, 0xc9b);
    assert_int_equal(f->state.seg[SEG_TR].limit, 0x67);
    /* flag 0 in the record: the x87 reset state, and an image that XRSTOR accepts */
    size_t xs;
    u8 *x = hvm_xstate(v, &xs);
    assert_int_equal(*(u16 *)x, 0x37f);
    assert_int_equal(*(u32 *)(x + 24), 0x1f80);
    /* the guest's TSC starts where the record says */
    assert_true(tsc_read() + hvm_tsc_offset(v) == 0);
    u64 mtrr = 0;
    assert_int_equal(hvm_rdmsr(d->vcpu[1], 0x2ff, &mtrr), 0);
    assert_int_equal(mtrr, 0x806);
}

/* save, load into another domain, save: the same bytes (but for the TSC, which runs on). */
static void test_round_trip(void **state)
{
    u16 a = create_pvh(2), b = create_pvh(2);
    struct domain *d = dom_by_id(a);
    for (unsigned i = 0; i < 2; i++) {
        struct vcpu *v = d->vcpu[i];
        for (unsigned r = 0; r < 16; r++) ((u64 *)&v->regs)[r] = rnd();
        v->regs.rip = 0xffffffff81000000 + i;
        v->regs.rflags = 0x202;
        struct vcpu_state *s = &fake_vcpu(v)->state;
        s->cr0 = 0x80050033;
        s->cr3 = 0x2a0a000;
        s->cr4 = 0x620 | 1u << 18;
        s->efer = 0xd01;
        s->lstar = 0xffffffff81800000;
        s->kernel_gs_base = 0xffff888000000000;
        s->seg[SEG_CS].attr = 0xa9b;
        s->seg[SEG_GDTR] = (struct segment){ .limit = 0x7f, .base = 0xfffffe0000001000 };
        s->xcr0 = 7;
        size_t size;
        u8 *x = hvm_xstate(v, &size);
        for (unsigned k = 32; k < 512 && k < size; k++) x[k] = (u8)(k * 7 + i);
    }
    hvm_tsc_adjust_set(d->vcpu[1], 12345);
    u32 size = full_get(a);
    static u8 first[STREAM_MAX];
    memcpy(first, stream, size);
    assert_int_equal(set_ctx(b, stream_gva, size), 0);
    assert_int_equal(full_get(b), size);
    assert_memory_equal(first, stream, size);
    assert_false(dom_by_id(b)->vcpu[1]->flags & VF_DOWN);
}

static void test_partial(void **state)
{
    u16 id = create_pvh(1);
    struct xen_domctl op = { 0 };
    struct xen_domctl_hvmcontext_partial *p = &op.u.hvmcontext_partial;
    p->type = 14;
    assert_int_equal(call_domctl(XEN_DOMCTL_gethvmcontext_partial, id, &op), 0);
    assert_int_equal(p->bufsz, 240);
    p->buffer.p = (void *)stream_gva;
    assert_int_equal(call_domctl(XEN_DOMCTL_gethvmcontext_partial, id, &op), 0);
    p->bufsz = 239;
    assert_int_equal(call_domctl(XEN_DOMCTL_gethvmcontext_partial, id, &op), -ENOBUFS);
    p->instance = 1;
    assert_int_equal(call_domctl(XEN_DOMCTL_gethvmcontext_partial, id, &op), -ENOENT);
    p->instance = 0;
    p->type = 3;                                        /* such devices do not exist here */
    assert_int_equal(call_domctl(XEN_DOMCTL_gethvmcontext_partial, id, &op), -ENOENT);
    p->type = 65536 + 14;
    assert_int_equal(call_domctl(XEN_DOMCTL_gethvmcontext_partial, id, &op), -EINVAL);
}

/* A refused stream changes nothing: vCPUs stay as they are. */
static void test_refused(void **state)
{
    u16 id = create_pvh(1);
    struct vcpu *v = dom_by_id(id)->vcpu[0];
    vcpu_set_up(v);
    v->regs.rax = 77;
    static u8 good[STREAM_MAX];
    u32 size = full_get(id), len;
    memcpy(good, stream, size);
#define REFUSED(want, ...) do { \
        memcpy(stream, good, size); \
        { __VA_ARGS__; } \
        assert_int_equal(set_ctx(id, stream_gva, size), (want)); \
        assert_false(v->flags & VF_DOWN); \
        assert_int_equal(v->regs.rax, 77); \
    } while (0)
#define CPU ((struct hvm_hw_cpu *)find(stream, size, 2, 0, &len))
#define XS ((struct hvm_hw_cpu_xsave *)find(stream, size, 16, 0, &len))
    REFUSED(-EINVAL, stream[8] ^= 1);                                   /* magic */
    REFUSED(-EINVAL, ((struct hvm_save_descriptor *)stream)->typecode = 2);
    REFUSED(-EINVAL, CPU->cr0 = 0x80000000);                            /* paging without protection */
    REFUSED(-EINVAL, CPU->cr0 |= 1ULL << 32);
    REFUSED(-EINVAL, CPU->cr0 = 0x20000011);                            /* NW without CD */
    REFUSED(-EINVAL, CPU->cr4 = 1u << 13);                              /* VMXE */
    REFUSED(-EINVAL, CPU->msr_efer = 1u << 12);                         /* SVME */
    REFUSED(-EINVAL, CPU->msr_efer = 0x400);                            /* LMA alone */
    REFUSED(-EINVAL, CPU->rip = 1ULL << 40);
    REFUSED(-EINVAL, CPU->gs_base = 1ULL << 50);
    REFUSED(-EINVAL, CPU->cr3 = 1ULL << 52);
    REFUSED(-EINVAL, CPU->pending_event = 1u << 31 | 1u << 8);          /* reserved event type */
    REFUSED(-EINVAL, CPU->pending_event = 1u << 31 | 3u << 8 | 200);    /* exception vector 200 */
    REFUSED(-EINVAL, CPU->flags = 2);
    REFUSED(-EINVAL, XS->xcr0 = 5);
    REFUSED(-EINVAL, XS->xcr0_accum = 0x1f);
    REFUSED(-EINVAL, XS->save_area.xsave_hdr.xstate_bv = 1ULL << 63);
    REFUSED(-EINVAL, XS->save_area.xsave_hdr.xcomp_bv = 1ULL << 63);
    REFUSED(-EINVAL, XS->save_area.xsave_hdr.reserved[5] = 1);
    REFUSED(-EINVAL, ((struct hvm_save_descriptor *)CPU)[-1].instance = 1);
    REFUSED(-EINVAL, ((struct hvm_save_descriptor *)CPU)[-1].instance = 0xffff);
    REFUSED(-ENODEV, ((struct hvm_save_descriptor *)CPU)[-1].typecode = 3);
    REFUSED(-EINVAL, ((struct hvm_save_descriptor *)CPU)[-1].typecode = 21);
    REFUSED(-EINVAL, ((struct hvm_save_descriptor *)CPU)[-1].length = ~0u);
    memcpy(stream, good, size);
    for (u32 n = 1; n < size; n += 13) assert_int_equal(set_ctx(id, stream_gva, n), -EINVAL);
    assert_int_equal(set_ctx(id, 0, size), -EINVAL);
    assert_int_equal(set_ctx(id, stream_gva, 0), -EINVAL);
    assert_int_equal(set_ctx(id, stream_gva, ~0u), -E2BIG);
    assert_int_equal(set_ctx(id, BAD_GVA, 4096), -EFAULT);
    assert_int_equal(set_ctx(0, stream_gva, size), -EINVAL);
    assert_false(v->flags & VF_DOWN);
}

static void test_old_intel_attributes(void **state)
{
    u16 id = create_pvh(1);
    u32 size = full_get(id), len;
    CPU->cs_arbytes = 0xa09b;
    assert_int_equal(set_ctx(id, stream_gva, size), 0);
    assert_int_equal(fake_vcpu(dom_by_id(id)->vcpu[0])->state.seg[SEG_CS].attr, 0xa9b);
}

static void test_fuzz(void **state)
{
    u16 id = create_pvh(2);
    static u8 good[STREAM_MAX];
    u32 size = full_get(id);
    memcpy(good, stream, size);
    for (unsigned n = 0; n < 4000; n++) {
        memcpy(stream, good, size);
        for (unsigned k = 1 + rnd() % 8; k; k--) {
            u32 at = (u32)(rnd() % size);
            stream[at] = rnd() & 1 ? (u8)rnd() : stream[at] ^ (u8)(1u << rnd() % 8);
        }
        set_ctx(id, stream_gva, rnd() % 4 ? size : (u32)(rnd() % size));
        u32 again = STREAM_MAX;
        assert_int_equal(get_ctx(id, stream_gva, &again), 0);
    }
}

int main(void)
{
#define G(f) cmocka_unit_test_setup_teardown(f, setup, env_test_teardown)
    const struct CMUnitTest t[] = {
        G(test_records), G(test_no_garbage), G(test_pvh_start), G(test_round_trip), G(test_partial), G(test_refused),
        G(test_old_intel_attributes), G(test_fuzz),
    };
    return cmocka_run_group_tests(t, env_setup, NULL);
}
