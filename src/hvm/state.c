/* SPDX-License-Identifier: MIT */
/* Architectural states a vCPU may be put into: power-on and SIPI, PVH entry, the 64-bit start of the dom0 loader. */
#include "hvm/hvm_vcpu.h"
#include "hvm/vlapic.h"
#include "cpu/x86.h"

#define PAT_RESET 0x0007040600070406ULL

/* APM 2, table 14-1 (processor state after reset or INIT), in packed attribute form. */
static void reset_state(struct vcpu_state *s)
{
    memset(s, 0, sizeof(*s));
    s->cr0 = CR0_ET;                /* CD and NW are not kept: caches stay on under nested paging */
    s->dr6 = 0xffff0ff0;
    s->dr7 = 0x400;
    s->xcr0 = 1;
    s->pat = PAT_RESET;
    for (unsigned i = SEG_ES; i <= SEG_GS; i++) s->seg[i] = (struct segment){ .attr = 0x93, .limit = 0xffff };
    s->seg[SEG_CS].attr = 0x9b;
    s->seg[SEG_LDTR] = (struct segment){ .attr = 0x82, .limit = 0xffff };
    s->seg[SEG_TR] = (struct segment){ .attr = 0x8b, .limit = 0xffff };
    s->seg[SEG_GDTR].limit = s->seg[SEG_IDTR].limit = 0xffff;
}

static void reset_regs(struct vcpu *v, u64 rip)
{
    struct cpuid_leaf l;
    memset(&v->regs, 0, sizeof(v->regs));
    hvm_cpuid(v, 1, 0, &l);
    v->regs.rdx = l.a;              /* family, model, stepping */
    v->regs.rip = rip;
    v->regs.rflags = 2;
}

int hvm_reset_state(struct vcpu *v, u16 cs_sel, u64 cs_base, u64 rip)
{
    struct vcpu_state s;
    reset_state(&s);
    s.seg[SEG_CS].sel = cs_sel;
    s.seg[SEG_CS].base = cs_base;
    reset_regs(v, rip);
    return hvm->set_state(v, &s);
}

/* Values chosen here are valid for every policy, so a refusal is our own mistake. */
static void set_or_die(struct vcpu *v, const struct vcpu_state *s)
{
    if (hvm->set_state(v, s)) panic("vCPU state made by the hypervisor is invalid\n");
    v->initialised = true;
}

void hvm_reset_sipi(struct vcpu *v, u8 vector)
{
    struct vcpu_state old, s;
    hvm->get_state(v, &old);
    reset_state(&s);
    /* INIT keeps these (APM 2, table 14-1). */
    s.pat = old.pat;
    s.tsc_aux = old.tsc_aux;
    s.xcr0 = old.xcr0;
    s.seg[SEG_CS].sel = (u16)(vector << 8);
    s.seg[SEG_CS].base = (u64)vector << 12;
    reset_regs(v, 0);
    atomic_xchg(&v->hvm->nmi_pending, 0);
    set_or_die(v, &s);
}

/* public/arch-x86/hvm/start_info.h: flat 32-bit protected mode, paging off. */
void hvm_set_pvh_entry(struct vcpu *v, u64 rip, u64 rbx)
{
    struct vcpu_state s;
    reset_state(&s);
    s.cr0 = CR0_PE | CR0_ET;
    for (unsigned i = SEG_ES; i <= SEG_GS; i++) s.seg[i] = (struct segment){ .attr = 0xc93, .limit = ~0u };
    s.seg[SEG_CS].attr = 0xc9b;
    s.seg[SEG_TR] = (struct segment){ .attr = 0x8b, .limit = 0x67 };
    s.seg[SEG_GDTR].limit = s.seg[SEG_IDTR].limit = 0;
    reset_regs(v, rip);
    v->regs.rdx = 0;
    v->regs.rbx = rbx;
    set_or_die(v, &s);
}

void hvm_set_long_mode(struct vcpu *v, u64 rip, u64 rsp, u64 cr3, u64 rdi)
{
    struct vcpu_state s;
    reset_state(&s);
    s.cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
    s.cr3 = cr3;
    s.cr4 = (CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_PGE) & v->hvm->limits.cr4;
    s.efer = (EFER_LME | EFER_LMA | EFER_NXE | EFER_SCE) & v->hvm->limits.efer;
    for (unsigned i = SEG_ES; i <= SEG_GS; i++)
        s.seg[i] = (struct segment){ .sel = 0x10, .attr = 0xc93, .limit = ~0u };
    s.seg[SEG_CS].sel = 0x08;
    s.seg[SEG_CS].attr = 0xa9b;     /* G, L, P, code */
    s.seg[SEG_TR] = (struct segment){ .attr = 0x8b, .limit = 0x67 };
    s.seg[SEG_GDTR].limit = s.seg[SEG_IDTR].limit = 0;
    reset_regs(v, rip);
    v->regs.rdx = 0;
    v->regs.rsp = rsp;
    v->regs.rdi = rdi;
    set_or_die(v, &s);
}

/* APM 2, 3.1.1 and 15.5.1: bits 63:32 zero; paging needs protection; NW needs CD. */
bool hvm_cr0_valid(u64 cr0)
{
    if (cr0 >> 32) return false;
    if ((cr0 & CR0_PG) && !(cr0 & CR0_PE)) return false;
    return !(cr0 & CR0_NW) || (cr0 & CR0_CD);
}

/* Each byte one of UC 0, WC 1, WT 4, WP 5, WB 6, UC- 7. */
bool hvm_pat_valid(u64 pat)
{
    for (unsigned i = 0; i < 64; i += 8)
        if ((pat >> i & 0xff) > 7 || (pat >> i & 0xff) == 2 || (pat >> i & 0xff) == 3) return false;
    return true;
}
