/* SPDX-License-Identifier: MIT */
/* vCPU state <-> struct vcpu_guest_context and the CPU record (public/arch-x86/xen.h, arch-x86/hvm/save.h). */
#include "call/vcpuctx.h"
#include "hvm/policy.h"
#include "sched/sched.h"

#define FXSAVE_BYTES 512
#define XSTATE_HEADER 512               /* offset of XSTATE_BV */
#define CR0_PE 0x1UL
#define CR0_ET 0x10UL
#define CR0_PG 0x80000000UL
#define EFER_LMA (1UL << 10)
#define EFER_LME (1UL << 8)
#define ATTR_L (1u << 9)
#define RFLAGS_VM (1UL << 17)
/* Flags that exist (SDM vol. 1, 3.4.3); bit 1 is always set. */
#define RFLAGS_MASK 0x3f7fd5UL
#define DR6_ONES 0xffff0ff0UL
#define DR7_ONES 0x400UL

static bool canonical(u64 a) { return (u64)((s64)(a << 16) >> 16) == a; }
static u64 clean_rflags(u64 f, u64 efer) { return (f & RFLAGS_MASK & (efer & EFER_LMA ? ~RFLAGS_VM : ~0UL)) | 2; }
static u64 clean_dr6(u64 x) { return (x & 0xe00f) | DR6_ONES; }
static u64 clean_dr7(u64 x) { return (x & 0xffff23ff) | DR7_ONES; }

static bool rip_valid(u64 rip, u64 efer, u16 cs_attr)
{
    return efer & EFER_LMA && cs_attr & ATTR_L ? canonical(rip) : !(rip >> 32);
}

/* ---- x87 and SSE: the first 512 bytes of the XSAVE area ---- */
static void fpu_get(struct vcpu *v, void *out)
{
    size_t size;
    memcpy(out, hvm_xstate(v, &size), FXSAVE_BYTES);
}

/* NULL: reset values. Components beyond SSE go to their initial state. */
static void fpu_set(struct vcpu *v, const void *in)
{
    size_t size;
    u8 *area = hvm_xstate(v, &size);
    u32 mxcsr = 0x1f80;
    u16 fcw = 0x37f;
    u64 bv = 3;
    memset(area, 0, size);
    if (in) {
        memcpy(area, in, FXSAVE_BYTES);
        memcpy(&mxcsr, area + 24, sizeof(mxcsr));
        mxcsr &= 0xffff;                /* reserved bits would make the restore fault */
    } else {
        memcpy(area, &fcw, sizeof(fcw));
    }
    memcpy(area + 24, &mxcsr, sizeof(mxcsr));
    if (size >= XSTATE_HEADER + 64) memcpy(area + XSTATE_HEADER, &bv, sizeof(bv));
}

/* ---- struct vcpu_guest_context ---- */
#define SAME_REGS(X) X(rax) X(rbx) X(rcx) X(rdx) X(rbp) X(rsi) X(rdi) X(rsp) X(r8) X(r9) X(r10) X(r11) X(r12) X(r13) \
    X(r14) X(r15) X(rip) X(rflags)

void vcpuctx_get(struct vcpu *v, struct vcpu_guest_context *g)
{
    struct vcpu_state s;
    hvm->get_state(v, &s);
    fpu_get(v, &g->fpu_ctxt);
    g->flags = VGCF_i387_valid;
    if (!(read_once(&v->flags) & VF_DOWN)) g->flags |= VGCF_online;
    bool kernel = !(s.seg[SEG_SS].attr >> 5 & 3);
    if (kernel) g->flags |= VGCF_in_kernel;
#define X(r) g->user_regs.r = v->regs.r;
    SAME_REGS(X)
#undef X
    g->user_regs.cs = s.seg[SEG_CS].sel;
    g->user_regs.ss = s.seg[SEG_SS].sel;
    g->user_regs.ds = s.seg[SEG_DS].sel;
    g->user_regs.es = s.seg[SEG_ES].sel;
    g->user_regs.fs = s.seg[SEG_FS].sel;
    g->user_regs.gs = s.seg[SEG_GS].sel;
    g->ctrlreg[0] = s.cr0;
    g->ctrlreg[2] = s.cr2;
    g->ctrlreg[3] = s.cr3;
    g->ctrlreg[4] = s.cr4;
    for (unsigned i = 0; i < 4; i++) g->debugreg[i] = s.dr[i];
    g->debugreg[6] = s.dr6;
    g->debugreg[7] = s.dr7;
    g->vm_assist = v->dom->vm_assist;
    g->fs_base = s.seg[SEG_FS].base;
    g->gs_base_kernel = kernel ? s.seg[SEG_GS].base : s.kernel_gs_base;
    g->gs_base_user = kernel ? s.kernel_gs_base : s.seg[SEG_GS].base;
}

int vcpuctx_set(struct vcpu *v, const struct vcpu_guest_context *g)
{
    struct vcpu_state s;
    hvm->get_state(v, &s);
    if (!rip_valid(g->user_regs.rip, s.efer, s.seg[SEG_CS].attr)) return -EINVAL;
    for (unsigned i = 0; i < 4; i++) s.dr[i] = g->debugreg[i];
    s.dr6 = clean_dr6(g->debugreg[6]);
    s.dr7 = clean_dr7(g->debugreg[7]);
    int rc = hvm->set_state(v, &s);
    if (rc) return rc;
#define X(r) v->regs.r = g->user_regs.r;
    SAME_REGS(X)
#undef X
    v->regs.rflags = clean_rflags(v->regs.rflags, s.efer);
    if (g->flags & VGCF_i387_valid) fpu_set(v, &g->fpu_ctxt);
    if (g->flags & VGCF_online) vcpu_set_up(v);
    else vcpu_set_down(v);
    return 0;
}

/* ---- struct vcpu_hvm_context ---- */
#define ATTR_P (1u << 7)
#define ATTR_S (1u << 4)
#define ATTR_CODE (1u << 3)
#define ATTR_RW (1u << 1)               /* data: writable; code: readable */
#define ATTR_FLAT32 0xc93               /* G, B, P, data R/W, accessed */
#define ATTR_CODE64 0xa9b               /* G, L, P, code R/X, accessed */
#define ATTR_TSS 0x8b                   /* P, busy TSS */

/* Present segments of the kind that the register can hold; DS and ES may be absent. */
static bool segment_valid(u16 ar, u32 must, u32 must_not, bool may_be_absent)
{
    if (ar & 0xf000) return false;
    if (!(ar & ATTR_P)) return may_be_absent;
    return (ar & must) == must && !(ar & must_not);
}

static int from_hvm32(const struct vcpu_hvm_x86_32 *s, struct hvm_hw_cpu *r)
{
    if (s->pad1 || s->pad2[0] || s->pad2[1] || s->pad2[2]) return -EINVAL;
    if (!segment_valid(s->cs_ar, ATTR_S | ATTR_CODE, ATTR_L, false) ||
        !segment_valid(s->ss_ar, ATTR_S | ATTR_RW, ATTR_CODE, false) || !segment_valid(s->ds_ar, ATTR_S, 0, true) ||
        !segment_valid(s->es_ar, ATTR_S, 0, true) || !segment_valid(s->tr_ar, 3, ATTR_S, false))
        return -EINVAL;
#define X(n) r->r##n = s->e##n;
    X(ax) X(cx) X(dx) X(bx) X(sp) X(bp) X(si) X(di) X(ip)
#undef X
    r->rflags = s->eflags;
    r->cr0 = s->cr0; r->cr3 = s->cr3; r->cr4 = s->cr4; r->msr_efer = s->efer;
#define X(n) r->n##_base = s->n##_base; r->n##_limit = s->n##_limit; r->n##_arbytes = s->n##_ar;
    X(cs) X(ds) X(ss) X(es) X(tr)
#undef X
    return 0;
}

static int from_hvm64(const struct vcpu_hvm_x86_64 *s, struct hvm_hw_cpu *r)
{
    if (!(s->efer & EFER_LMA)) return -EINVAL;
#define X(n) r->n = s->n;
    X(rax) X(rcx) X(rdx) X(rbx) X(rsp) X(rbp) X(rsi) X(rdi) X(rip) X(rflags) X(cr0) X(cr3) X(cr4)
#undef X
    r->msr_efer = s->efer;
    r->cs_limit = r->ds_limit = r->es_limit = r->ss_limit = ~0u;
    r->cs_arbytes = ATTR_CODE64;
    r->ds_arbytes = r->es_arbytes = r->ss_arbytes = ATTR_FLAT32;
    r->tr_limit = 0x67;
    r->tr_arbytes = ATTR_TSS;
    return 0;
}

int vcpuctx_from_hvm(const struct vcpu_hvm_context *c, struct hvm_hw_cpu *r)
{
    memset(r, 0, sizeof(*r));
    r->dr6 = DR6_ONES;
    r->dr7 = DR7_ONES;
    if (c->pad) return -EINVAL;
    if (c->mode == VCPU_HVM_MODE_32B) return from_hvm32(&c->cpu_regs.x86_32, r);
    return c->mode == VCPU_HVM_MODE_64B ? from_hvm64(&c->cpu_regs.x86_64, r) : -EINVAL;
}

/* ---- CPU record ---- */
/* Segments of the record and ours; LDTR and TR included. */
#define SEGMENTS(X) X(cs, SEG_CS) X(ds, SEG_DS) X(es, SEG_ES) X(fs, SEG_FS) X(gs, SEG_GS) X(ss, SEG_SS) \
    X(tr, SEG_TR) X(ldtr, SEG_LDTR)

void vcpuctx_get_record(struct vcpu *v, struct hvm_hw_cpu *r)
{
    struct vcpu_state s;
    hvm->get_state(v, &s);
    fpu_get(v, r->fpu_regs);
    r->flags = XEN_X86_FPU_INITIALISED;
#define X(n) r->n = v->regs.n;
    SAME_REGS(X)
#undef X
    r->cr0 = s.cr0; r->cr2 = s.cr2; r->cr3 = s.cr3; r->cr4 = s.cr4;
    r->dr0 = s.dr[0]; r->dr1 = s.dr[1]; r->dr2 = s.dr[2]; r->dr3 = s.dr[3];
    r->dr6 = s.dr6; r->dr7 = s.dr7;
#define X(n, i) r->n##_sel = s.seg[i].sel; r->n##_limit = s.seg[i].limit; r->n##_base = s.seg[i].base; \
    r->n##_arbytes = s.seg[i].attr;
    SEGMENTS(X)
#undef X
    r->idtr_limit = s.seg[SEG_IDTR].limit; r->idtr_base = s.seg[SEG_IDTR].base;
    r->gdtr_limit = s.seg[SEG_GDTR].limit; r->gdtr_base = s.seg[SEG_GDTR].base;
    r->sysenter_cs = s.sysenter_cs; r->sysenter_esp = s.sysenter_esp; r->sysenter_eip = s.sysenter_eip;
    r->shadow_gs = s.kernel_gs_base;
    r->msr_lstar = s.lstar; r->msr_star = s.star; r->msr_cstar = s.cstar; r->msr_syscall_mask = s.sfmask;
    r->msr_efer = s.efer; r->msr_tsc_aux = s.tsc_aux;
    r->pending_event = s.pending_event; r->error_code = s.pending_error;
}

/* Attributes are in packed form (0xc9b); streams of old Intel hosts have the unpacked one (0xc09b). */
static u16 segment_attr(u32 ar)
{
    return ar & 0xf000 && !(ar & 0x0f00) ? (ar & 0xff) | (ar >> 4 & 0xf00) : ar & 0xfff;
}

static bool cr_valid(const struct vcpu *v, const struct hvm_hw_cpu *r)
{
    u64 efer = r->msr_efer;
    bool pg = r->cr0 & CR0_PG, pae = r->cr4 & 0x20, lma = efer & EFER_LMA;
    if (r->cr0 >> 32 || (pg && !(r->cr0 & CR0_PE)) || ((r->cr0 >> 29 & 3) == 1)) return false;     /* NW without CD */
    if (r->cr4 & ~policy_cr4_mask(v->dom) || efer & ~policy_efer_mask(v->dom)) return false;
    if (lma && (!(efer & EFER_LME) || !pg || !pae)) return false;
    if (!lma && efer & EFER_LME && pg) return false;
    if (!(efer & EFER_LMA) && r->cr4 >> 17 & 1) return false;       /* PCIDE only in long mode */
    return !(r->cr3 >> policy_phys_bits(v->dom));
}

int vcpuctx_check_record(const struct vcpu *v, const struct hvm_hw_cpu *r)
{
    if (!cr_valid(v, r)) return -EINVAL;
    if (!rip_valid(r->rip, r->msr_efer, segment_attr(r->cs_arbytes))) return -EINVAL;
    if (!canonical(r->fs_base) || !canonical(r->gs_base) || !canonical(r->shadow_gs) || !canonical(r->tr_base) ||
        !canonical(r->ldtr_base) || !canonical(r->gdtr_base) || !canonical(r->idtr_base) ||
        !canonical(r->msr_lstar) || !canonical(r->msr_cstar) || !canonical(r->sysenter_esp) ||
        !canonical(r->sysenter_eip))
        return -EINVAL;
    if (r->pending_valid) {
        /* External interrupt, NMI, exception, software interrupt or exception (SDM vol. 3, 24.8.3). */
        if (r->pending_reserved || r->pending_type == 1 || r->pending_type == 7) return -EINVAL;
        if (r->pending_type == 2 && r->pending_vector != 2) return -EINVAL;
        if (r->pending_type == 3 && r->pending_vector > 31) return -EINVAL;
    }
    if (r->flags & ~XEN_X86_FPU_INITIALISED) return -EINVAL;
    return 0;
}

int vcpuctx_set_record(struct vcpu *v, const struct hvm_hw_cpu *r)
{
    struct vcpu_state s;
    hvm->get_state(v, &s);          /* keeps PAT, XCR0 and what has records of its own */
    s.cr0 = r->cr0 | CR0_ET;
    s.cr2 = r->cr2; s.cr3 = r->cr3; s.cr4 = r->cr4;
    s.efer = r->msr_efer;
    s.dr[0] = r->dr0; s.dr[1] = r->dr1; s.dr[2] = r->dr2; s.dr[3] = r->dr3;
    s.dr6 = clean_dr6(r->dr6); s.dr7 = clean_dr7(r->dr7);
#define X(n, i) s.seg[i] = \
    (struct segment){ (u16)r->n##_sel, segment_attr(r->n##_arbytes), r->n##_limit, r->n##_base };
    SEGMENTS(X)
#undef X
    s.seg[SEG_IDTR] = (struct segment){ .limit = r->idtr_limit & 0xffff, .base = r->idtr_base };
    s.seg[SEG_GDTR] = (struct segment){ .limit = r->gdtr_limit & 0xffff, .base = r->gdtr_base };
    s.sysenter_cs = r->sysenter_cs; s.sysenter_esp = r->sysenter_esp; s.sysenter_eip = r->sysenter_eip;
    s.kernel_gs_base = r->shadow_gs;
    s.lstar = r->msr_lstar; s.star = r->msr_star; s.cstar = r->msr_cstar; s.sfmask = r->msr_syscall_mask;
    s.tsc_aux = (u32)r->msr_tsc_aux;
    s.pending_event = r->pending_valid ? r->pending_event : 0;
    s.pending_error = r->pending_valid && r->pending_error_valid ? r->error_code : 0;
    s.intr_shadow = 0;
    s.nmi_blocked = false;
    int rc = hvm->set_state(v, &s);
    if (rc) return rc;
#define X(n) v->regs.n = r->n;
    SAME_REGS(X)
#undef X
    v->regs.rflags = clean_rflags(r->rflags, s.efer);
    fpu_set(v, r->flags & XEN_X86_FPU_INITIALISED ? r->fpu_regs : NULL);
    return 0;
}
