/* SPDX-License-Identifier: MIT */
/*
 * HVM context records (public/arch-x86/hvm/save.h): one row per type. A stream is checked
 * as a whole before the first record is loaded. Loading takes all vCPUs down first; only those with a CPU record
 * come up again, and only after everything else was loaded.
 */
#include "call/domctl.h"
#include "call/vcpuctx.h"
#include "hvm/policy.h"
#include "hvm/vlapic.h"
#include "sched/sched.h"

struct record {
    u16 code, min, max;         /* payload length in a stream; max 0: like min */
    /* Write the payload into zeroed memory of SCRATCH bytes; returns its length, 0 = no such record. */
    u32 (*save)(struct vcpu *v, void *out);
    int (*check)(struct vcpu *v, const void *in, u32 len);      /* NULL: nothing to check */
    int (*load)(struct vcpu *v, const void *in, u32 len);
};
#define SCRATCH (2 * PAGE_SIZE)

/* ---- one set of functions per record ---- */
static u32 save_cpu(struct vcpu *v, void *out)
{
    struct hvm_hw_cpu *r = out;
    vcpuctx_get_record(v, r);
    r->tsc = tsc_read() + hvm_tsc_offset(v);
    return sizeof(*r);
}
static int check_cpu(struct vcpu *v, const void *in, u32 len) { return vcpuctx_check_record(v, in); }
static int load_cpu(struct vcpu *v, const void *in, u32 len) { return vcpuctx_set_record(v, in); }

static u32 save_lapic(struct vcpu *v, void *out)
{
    struct hvm_hw_lapic_regs regs;
    vlapic_save(v, out, &regs);
    return sizeof(struct hvm_hw_lapic);
}
static int load_lapic(struct vcpu *v, const void *in, u32 len) { return vlapic_load_hidden(v, in); }

static u32 save_lapic_regs(struct vcpu *v, void *out)
{
    struct hvm_hw_lapic hidden;
    vlapic_save(v, &hidden, out);
    return sizeof(struct hvm_hw_lapic_regs);
}
static int load_lapic_regs(struct vcpu *v, const void *in, u32 len) { return vlapic_load_regs(v, in); }

static u32 save_mtrr(struct vcpu *v, void *out)
{
    hvm_mtrr_get(v, out);
    return sizeof(struct hvm_hw_mtrr);
}
static int load_mtrr(struct vcpu *v, const void *in, u32 len) { return hvm_mtrr_set(v, in); }

/* XSAVE area in standard format, all components that the policy allows. */
#define XSAVE_HEAD offsetof(struct hvm_hw_cpu_xsave, save_area)
static u32 xsave_bytes(struct vcpu *v, u64 mask)
{
    size_t size;
    (void)hvm_xstate(v, &size);
    return (u32)MIN(MIN(size, (size_t)policy_xstate_size(mask)), SCRATCH - XSAVE_HEAD);
}

static u32 save_xsave(struct vcpu *v, void *out)
{
    struct hvm_hw_cpu_xsave *r = out;
    struct vcpu_state s;
    u64 mask = policy_xcr0_max(v->dom);
    size_t size;
    if (!mask) return 0;
    hvm->get_state(v, &s);
    u32 bytes = xsave_bytes(v, mask);
    memcpy(&r->save_area, hvm_xstate(v, &size), bytes);
    r->xfeature_mask = r->xcr0_accum = mask;
    r->xcr0 = s.xcr0;
    r->save_area.xsave_hdr.xstate_bv &= mask;
    r->save_area.xsave_hdr.xcomp_bv = 0;
    memset(r->save_area.xsave_hdr.reserved, 0, sizeof(r->save_area.xsave_hdr.reserved));
    return (u32)XSAVE_HEAD + bytes;
}

static int check_xsave(struct vcpu *v, const void *in, u32 len)
{
    const struct hvm_hw_cpu_xsave *r = in;
    u64 mask = policy_xcr0_max(v->dom), accum = r->xcr0_accum;
    if (!mask || accum & ~mask || r->xcr0 & ~accum) return -EINVAL;
    if (r->xcr0 != 1 && !policy_xcr0_valid(v->dom, r->xcr0)) return -EINVAL;
    if (r->save_area.xsave_hdr.xstate_bv & ~(accum | 3) || r->save_area.xsave_hdr.xcomp_bv) return -EINVAL;
    for (unsigned i = 0; i < ARRAY_SIZE(r->save_area.xsave_hdr.reserved); i++)
        if (r->save_area.xsave_hdr.reserved[i]) return -EINVAL;
    /* All that is said to be valid must be there, and nothing but zeros beyond what we can hold. */
    u32 room = (u32)XSAVE_HEAD + xsave_bytes(v, mask);
    if (len < XSAVE_HEAD + policy_xstate_size(r->save_area.xsave_hdr.xstate_bv)) return -EINVAL;
    for (u32 i = room; i < len; i++)
        if (((const u8 *)in)[i]) return -EOPNOTSUPP;
    return 0;
}

static int load_xsave(struct vcpu *v, const void *in, u32 len)
{
    const struct hvm_hw_cpu_xsave *r = in;
    struct vcpu_state s;
    size_t size;
    hvm->get_state(v, &s);
    s.xcr0 = r->xcr0;
    int rc = hvm->set_state(v, &s);
    if (rc) return rc;
    u8 *area = hvm_xstate(v, &size);
    u32 bytes = MIN(len - (u32)XSAVE_HEAD, xsave_bytes(v, policy_xcr0_max(v->dom))), mxcsr;
    memset(area, 0, size);
    memcpy(area, &r->save_area, bytes);
    memcpy(&mxcsr, area + 24, sizeof(mxcsr));
    mxcsr &= 0xffff;            /* reserved bits would make the restore fault */
    memcpy(area + 24, &mxcsr, sizeof(mxcsr));
    return 0;
}

/* No machine checks are injected: the capabilities are what MCG_CAP reads; the rest stays zero. */
static u32 save_vmce(struct vcpu *v, void *out)
{
    struct hvm_vmce_vcpu *r = out;
    u64 cap;
    if (!hvm_rdmsr(v, 0x179, &cap)) r->caps = cap;
    return sizeof(*r);
}
static int load_vmce(struct vcpu *v, const void *in, u32 len) { return 0; }

static u32 save_tsc_adjust(struct vcpu *v, void *out)
{
    ((struct hvm_tsc_adjust *)out)->tsc_adjust = hvm_tsc_adjust_get(v);
    return sizeof(struct hvm_tsc_adjust);
}
static int load_tsc_adjust(struct vcpu *v, const void *in, u32 len)
{
    hvm_tsc_adjust_set(v, ((const struct hvm_tsc_adjust *)in)->tsc_adjust);
    return 0;
}

/* ---- MSRs that have no record of their own; only those that are not zero are listed ---- */
static const u32 saved_msrs[] = { 0x48 /* SPEC_CTRL */ };
#define MSR_HEAD offsetof(struct hvm_msr, msr)

static u32 save_msrs(struct vcpu *v, void *out)
{
    struct hvm_msr *r = out;
    for (unsigned i = 0; i < ARRAY_SIZE(saved_msrs); i++) {
        u64 val;
        if (hvm_rdmsr(v, saved_msrs[i], &val) || !val) continue;
        r->msr[r->count].index = saved_msrs[i];
        r->msr[r->count++].val = val;
    }
    return r->count ? (u32)(MSR_HEAD + r->count * sizeof(r->msr[0])) : 0;
}

static int check_msrs(struct vcpu *v, const void *in, u32 len)
{
    const struct hvm_msr *r = in;
    if (r->count > ARRAY_SIZE(saved_msrs) || len != MSR_HEAD + r->count * sizeof(r->msr[0])) return -EINVAL;
    for (unsigned i = 0; i < r->count; i++) {
        bool known = false;
        for (unsigned k = 0; k < ARRAY_SIZE(saved_msrs); k++) known |= r->msr[i].index == saved_msrs[k];
        if (!known) return -ENXIO;
        if (r->msr[i]._rsvd) return -EOPNOTSUPP;
    }
    return 0;
}

static int load_msrs(struct vcpu *v, const void *in, u32 len)
{
    const struct hvm_msr *r = in;
    for (unsigned i = 0; i < r->count; i++)
        if (hvm_wrmsr(v, r->msr[i].index, r->msr[i].val)) return -EINVAL;
    return 0;
}

/* In the order of a stream. */
static const struct record records[] = {
    { HVM_SAVE_CODE(CPU), sizeof(struct hvm_hw_cpu), 0, save_cpu, check_cpu, load_cpu },
    { HVM_SAVE_CODE(LAPIC), sizeof(struct hvm_hw_lapic), 0, save_lapic, NULL, load_lapic },
    { HVM_SAVE_CODE(LAPIC_REGS), sizeof(struct hvm_hw_lapic_regs), 0, save_lapic_regs, NULL, load_lapic_regs },
    { HVM_SAVE_CODE(MTRR), sizeof(struct hvm_hw_mtrr), 0, save_mtrr, NULL, load_mtrr },
    { CPU_XSAVE_CODE, sizeof(struct hvm_hw_cpu_xsave), SCRATCH, save_xsave, check_xsave, load_xsave },
    { HVM_SAVE_CODE(VMCE_VCPU), sizeof(struct hvm_vmce_vcpu), 0, save_vmce, NULL, load_vmce },
    { HVM_SAVE_CODE(TSC_ADJUST), sizeof(struct hvm_tsc_adjust), 0, save_tsc_adjust, NULL, load_tsc_adjust },
    { CPU_MSR_CODE, MSR_HEAD, MSR_HEAD + 16 * ARRAY_SIZE(saved_msrs), save_msrs, check_msrs, load_msrs },
};
#define HEADER_CODE HVM_SAVE_CODE(HEADER)

static const struct record *find_record(u16 code)
{
    for (unsigned i = 0; i < ARRAY_SIZE(records); i++)
        if (records[i].code == code) return &records[i];
    return NULL;
}

/* ---- get ---- */
struct out { struct vcpu *caller; gva_t buf; u64 size, pos; };      /* buf 0: only count */

static int emit(struct out *o, u16 code, u16 instance, const void *payload, u32 len)
{
    struct hvm_save_descriptor desc = { code, instance, len };
    if (o->buf) {
        if (o->pos + sizeof(desc) + len > o->size) return -ENOSPC;
        if (copy_out(o->caller, o->buf + o->pos, &desc) ||
            (len && guest_write(o->caller, o->buf + o->pos + sizeof(desc), payload, len)))
            return -EFAULT;
    }
    o->pos += sizeof(desc) + len;
    return 0;
}

static void fill_header(struct domain *d, struct hvm_save_header *h)
{
    memset(h, 0, sizeof(*h));
    h->magic = HVM_FILE_MAGIC;
    h->version = HVM_FILE_VERSION;
    h->cpuid = d->policy->basic[1].a;
    h->gtsc_khz = d->tsc_khz;
}

static int save_stream(struct domain *d, struct out *o, void *scratch)
{
    struct hvm_save_header h;
    struct vcpu *v;
    fill_header(d, &h);
    int rc = emit(o, HEADER_CODE, 0, &h, sizeof(h));
    for (unsigned i = 0; !rc && i < ARRAY_SIZE(records); i++)
        for_each_vcpu(d, v) {
            memset(scratch, 0, SCRATCH);
            u32 len = records[i].save(v, scratch);
            if (len) rc = emit(o, records[i].code, (u16)v->id, scratch, len);
            if (rc) return rc;
        }
    return rc ? rc : emit(o, HVM_SAVE_CODE(END), 0, NULL, 0);
}

DOMCTL_HANDLER(gethvmcontext)
{
    struct xen_domctl_hvmcontext *a = &op->u.hvmcontext;
    struct out count = { .caller = c->v }, o = { c->v, (gva_t)a->buffer.p, a->size, 0 };
    void *scratch = kzalloc(SCRATCH);
    if (!scratch) return -ENOMEM;
    domain_pause(d);
    int rc = save_stream(d, &count, scratch);
    if (!rc && o.buf) rc = count.pos > o.size ? -ENOSPC : save_stream(d, &o, scratch);
    domain_unpause(d);
    kfree(scratch);
    a->size = (u32)count.pos;
    return rc;
}

/* One record's payload without its descriptor. */
DOMCTL_HANDLER(gethvmcontext_partial)
{
    struct xen_domctl_hvmcontext_partial *a = &op->u.hvmcontext_partial;
    if (a->type > HVM_SAVE_CODE_MAX) return -EINVAL;
    const struct record *r = find_record((u16)a->type);
    if (!r) return -ENOENT;
    struct vcpu *v = a->instance < d->max_vcpus ? d->vcpu[index_nospec(a->instance, d->max_vcpus)] : NULL;
    if (!v) return -ENOENT;
    void *scratch = kzalloc(SCRATCH);
    if (!scratch) return -ENOMEM;
    domain_pause(d);
    u32 len = r->save(v, scratch);
    domain_unpause(d);
    long rc = 0;
    if (!len) rc = -ENODATA;
    else if (a->buffer.p)
        rc = a->bufsz < len ? -ENOBUFS : guest_write(c->v, (gva_t)a->buffer.p, scratch, len);
    a->bufsz = len;
    kfree(scratch);
    return rc;
}

/* ---- set ---- */
/* Each record of the stream in turn: 0 = *desc and *payload, 1 = END, -EINVAL = cut off. Payloads may be unaligned
 * in the stream, so they are handed on as copies in `scratch`. */
struct in { const u8 *buf; u32 size, pos; };
static int next_record(struct in *s, struct hvm_save_descriptor *desc, void *scratch)
{
    if (s->size - s->pos < sizeof(*desc)) return -EINVAL;
    memcpy(desc, s->buf + s->pos, sizeof(*desc));
    s->pos += sizeof(*desc);
    if (desc->typecode == HVM_SAVE_CODE(END)) return desc->length ? -EINVAL : 1;
    if (desc->length > s->size - s->pos || desc->length > SCRATCH) return -EINVAL;
    memset(scratch, 0, SCRATCH);
    memcpy(scratch, s->buf + s->pos, desc->length);
    s->pos += desc->length;
    return 0;
}

static int check_header(const struct hvm_save_descriptor *desc, const struct hvm_save_header *h)
{
    if (desc->typecode != HEADER_CODE || desc->length != sizeof(*h)) return -EINVAL;
    return h->magic == HVM_FILE_MAGIC && h->version == HVM_FILE_VERSION ? 0 : -EINVAL;
}

static int check_record(struct domain *d, const struct hvm_save_descriptor *desc, const void *payload)
{
    const struct record *r = find_record(desc->typecode);
    if (!r) return desc->typecode > HVM_SAVE_CODE_MAX || desc->typecode <= HEADER_CODE ? -EINVAL : -ENODEV;
    if (desc->length < r->min || desc->length > (r->max ? r->max : r->min)) return -EINVAL;
    struct vcpu *v = desc->instance < d->max_vcpus ? d->vcpu[index_nospec(desc->instance, d->max_vcpus)] : NULL;
    if (!v) return -EINVAL;
    return r->check ? r->check(v, payload, desc->length) : 0;
}

static int check_stream(struct domain *d, struct in s, void *scratch)
{
    struct hvm_save_descriptor desc;
    int rc;
    if (next_record(&s, &desc, scratch) || check_header(&desc, scratch)) return -EINVAL;
    while (!(rc = next_record(&s, &desc, scratch))) {
        rc = check_record(d, &desc, scratch);
        if (rc) {
            printk(LOG_WARN, "domain %u: HVM context record type %u instance %u length %u refused (%d)\n", d->id,
                   desc.typecode, desc.instance, desc.length, rc);
            return rc;
        }
    }
    return rc < 0 ? rc : 0;
}

/* The domain's TSC continues from the first CPU record; the other vCPUs differ by their TSC_ADJUST only. */
static void load_tsc(struct vcpu *v, u64 tsc)
{
    struct domain *d = v->dom;
    d->tsc_offset += tsc - (tsc_read() + hvm_tsc_offset(v));
    hvm_update_tsc(d);
}

static int load_stream(struct domain *d, struct in s, void *scratch)
{
    struct hvm_save_descriptor desc;
    u64 up[MAX_VCPUS / 64] = { 0 }, tsc = 0;
    struct vcpu *v, *tsc_from = NULL;
    for_each_vcpu(d, v) vcpu_set_down(v);
    while (!next_record(&s, &desc, scratch)) {
        if (desc.typecode == HEADER_CODE) continue;
        v = d->vcpu[index_nospec(desc.instance, d->max_vcpus)];
        int rc = find_record(desc.typecode)->load(v, scratch, desc.length);
        if (rc) return rc;
        if (desc.typecode != HVM_SAVE_CODE(CPU)) continue;
        bit_set(up, v->id);
        if (!tsc_from) {
            tsc_from = v;
            tsc = ((const struct hvm_hw_cpu *)scratch)->tsc;
        }
    }
    if (tsc_from) load_tsc(tsc_from, tsc);
    for_each_vcpu(d, v)
        if (bit_test(up, v->id)) vcpu_set_up(v);
    return 0;
}

#define MAX_STREAM SZ_2M
DOMCTL_HANDLER(sethvmcontext)
{
    const struct xen_domctl_hvmcontext *a = &op->u.hvmcontext;
    if (!a->buffer.p || !a->size) return -EINVAL;
    if (a->size > MAX_STREAM) return -E2BIG;
    u8 *buf = kzalloc(a->size);
    void *scratch = kzalloc(SCRATCH);
    long rc = buf && scratch ? guest_read(c->v, buf, (gva_t)a->buffer.p, a->size) : -ENOMEM;
    if (!rc) {
        struct in s = { buf, a->size, 0 };
        domain_pause(d);
        rc = check_stream(d, s, scratch);
        if (!rc) rc = load_stream(d, s, scratch);
        domain_unpause(d);
    }
    kfree(scratch);
    kfree(buf);
    return rc;
}
