/* SPDX-License-Identifier: MIT */
/* Writes to CR0, CR4 and CR8 and the first access to a debug register. */
#include "hvm/svm/svm.h"
#include "hvm/vlapic.h"
#include "cpu/cpu.h"
#include "cpu/x86.h"

#define CR0_KNOWN (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_PG)

/* Machine checks must reach the host, whatever the guest thinks: MCE stays on, and the guest's view is kept. */
void svm_set_cr4(struct svm_vcpu *s, u64 cr4)
{
    struct vmcb *b = s->vmcb;
    s->cr4 = cr4;
    b->cr4 = cr4 | (host_cr4 & CR4_MCE);
    b->cr_read = (u16)(b->cr4 != cr4 ? 1 << 4 : 0);
    svm_dirty(s, CL_CRX | CL_INTERCEPTS);
}

/* APM 3.1.1, 14.6: false = #GP. CD and NW are dropped: caches stay on, coherent with the host. */
static bool write_cr0_(struct vcpu *v, struct svm_vcpu *s, u64 val)
{
    struct vmcb *b = s->vmcb;
    u64 old = b->cr0, efer = b->efer;
    if (!hvm_cr0_valid(val)) return false;
    if ((val & CR0_PG) && !(old & CR0_PG) && (efer & EFER_LME)) {
        if (!(s->cr4 & CR4_PAE) || (b->cs.attr & 0x200)) return false;
        efer |= EFER_LMA;
    }
    if (!(val & CR0_PG) && (old & CR0_PG)) {
        if (svm_long_code(b) || (s->cr4 & CR4_PCIDE)) return false;
        efer &= ~EFER_LMA;
    }
    b->cr0 = (val & CR0_KNOWN) | CR0_ET;
    b->efer = efer;
    svm_dirty(s, CL_CRX);
    if ((old ^ b->cr0) & (CR0_PG | CR0_WP | CR0_PE)) svm_flush_tlb(v);
    return true;
}

static bool write_cr4_(struct vcpu *v, struct svm_vcpu *s, u64 val)
{
    struct vmcb *b = s->vmcb;
    u64 old = s->cr4;
    if (val & ~v->hvm->limits.cr4) return false;
    if ((b->efer & EFER_LMA) && !(val & CR4_PAE)) return false;
    if ((val & CR4_PCIDE) && !(old & CR4_PCIDE) && (!(b->efer & EFER_LMA) || (b->cr3 & 0xfff))) return false;
    svm_set_cr4(s, val);
    if ((old ^ val) & (CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCIDE | CR4_SMEP | CR4_SMAP | CR4_PKE)) svm_flush_tlb(v);
    return true;
}

static bool write_cr8_(struct vcpu *v, struct svm_vcpu *s, u64 val)
{
    if (val & ~15ULL) return false;
    vlapic_set_tpr(v, (u8)(val << 4));
    s->vmcb->v_tpr = (u8)val;
    svm_dirty(s, CL_TPR);
    return true;
}

enum cr_form { CR_MOV_TO, CR_MOV_FROM, CR_LMSW, CR_OTHER };
struct cr_insn { enum cr_form form; u8 len, cr, reg; };

/* 0F 20 /r, 0F 22 /r, 0F 01 /6 with a register operand. 0: fault injected. */
static bool decode(struct vcpu *v, struct cr_insn *out)
{
    u8 p[15], rex = 0;
    unsigned n = emul_fetch(v, p, sizeof(p)), i = 0;
    bool lock = false, long_code = svm_long_code(svm_vcpu(v)->vmcb);
    *out = (struct cr_insn){ .form = CR_OTHER };
    if (!n) return false;
    for (; i < n; i++) {
        u8 c = p[i];
        if (long_code && (c & 0xf0) == 0x40) { rex = c; continue; }
        if (c == 0xf0) lock = true;
        else if (c != 0x66 && c != 0x67 && c != 0xf2 && c != 0xf3 && (c & 0xe7) != 0x26 && (c & 0xfe) != 0x64) break;
        rex = 0;
    }
    if (i + 3 > n || p[i] != 0x0f) return true;
    u8 op = p[i + 1], modrm = p[i + 2];
    out->len = (u8)(i + 3);
    out->reg = (modrm & 7) | (rex & 1 ? 8 : 0);
    out->cr = (modrm >> 3 & 7) | (rex & 4 || lock ? 8 : 0);     /* LOCK MOV CR0 means CR8 outside 64-bit mode */
    if (op == 0x22) out->form = CR_MOV_TO;
    else if (op == 0x20) out->form = CR_MOV_FROM;
    else if (op == 0x01 && (modrm & 0xf8) == 0xf0) out->form = CR_LMSW;
    return true;
}

static u64 *reg(struct vcpu *v, unsigned n) { return (u64 *)&v->regs + (n & 15); }

static void decode_exit(struct vcpu *v, struct vmcb *b, struct cr_insn *in)
{
    in->form = b->exitcode < EXIT_CR_WRITE ? CR_MOV_FROM : CR_MOV_TO;
    in->cr = b->exitcode == EXIT_CR0_SEL ? 0 : b->exitcode & 15;
    in->reg = b->exitinfo1 & 15;
    in->len = (u8)(b->next_rip - v->regs.rip);
}

/* False: nothing more to do now (fault injected or domain crashed). */
static bool get_insn(struct vcpu *v, struct vmcb *b, struct cr_insn *in)
{
    if (svm_has(SVMF_DECODE) && svm_has(SVMF_NRIPS) && b->exitinfo1 >> 63) {
        decode_exit(v, b, in);
        return true;
    }
    if (!decode(v, in)) return false;
    if (in->form != CR_OTHER) return true;
    domain_crash(v->dom, "unknown control register access at rip %#lx\n", v->regs.rip);
    return false;
}

void svm_exit_cr_write(struct vcpu *v, struct svm_vcpu *s, struct vmcb *b)
{
    struct cr_insn in;
    bool ok = false;
    if (!get_insn(v, b, &in)) return;
    u64 val = *reg(v, in.reg);
    if (!(b->efer & EFER_LMA) || !svm_long_code(b)) val = (u32)val;
    if (in.form == CR_LMSW) {
        val = (b->cr0 & ~(CR0_MP | CR0_EM | CR0_TS)) | (val & 15);      /* cannot clear PE */
        in.cr = 0;
    }
    switch (in.cr) {
    case 0: ok = write_cr0_(v, s, val); break;
    case 4: ok = write_cr4_(v, s, val); break;
    case 8: ok = write_cr8_(v, s, val); break;
    }
    if (ok) svm_skip(v, in.len);
    else hvm_inject_exception(v, X86_GP, 0);
}

/* Only CR4, while it differs from what the guest wrote. */
void svm_exit_cr_read(struct vcpu *v, struct svm_vcpu *s, struct vmcb *b)
{
    struct cr_insn in;
    if (!get_insn(v, b, &in)) return;
    *reg(v, in.reg) = in.cr == 4 ? s->cr4 : 0;
    svm_skip(v, in.len);
}

/* DR0-3 are not part of the VMCB: put the guest's into the registers, and let it access them from now on. */
void svm_exit_dr(struct vcpu *v, struct svm_vcpu *s, struct vmcb *b)
{
    write_dr0(s->dr[0]);
    write_dr1(s->dr[1]);
    write_dr2(s->dr[2]);
    write_dr3(s->dr[3]);
    svm_intercept_dr(s, false);
}
