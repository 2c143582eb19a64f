/* SPDX-License-Identifier: MIT */
/* Lengths of intercepted instructions, with next-RIP save and without (QEMU's TCG has none); moving RIP on. */
#include "hvm/svm/svm.h"
#include "cpu/x86.h"

static const struct { u8 n, op[3]; } insns[IW_NR] = {
    [IW_CPUID] = { 2, { 0x0f, 0xa2 } }, [IW_VMMCALL] = { 3, { 0x0f, 0x01, 0xd9 } }, [IW_RDMSR] = { 2, { 0x0f, 0x32 } },
    [IW_WRMSR] = { 2, { 0x0f, 0x30 } }, [IW_HLT] = { 1, { 0xf4 } }, [IW_RDTSC] = { 2, { 0x0f, 0x31 } },
    [IW_RDTSCP] = { 3, { 0x0f, 0x01, 0xf9 } }, [IW_XSETBV] = { 3, { 0x0f, 0x01, 0xd1 } },
    [IW_INVD] = { 2, { 0x0f, 0x08 } }, [IW_WBINVD] = { 2, { 0x0f, 0x09 } }, [IW_PAUSE] = { 2, { 0xf3, 0x90 } },
};

static unsigned slow_len(struct vcpu *v, struct svm_vcpu *s, enum insn_what what)
{
    unsigned len = emul_insn_len(v, insns[what].op, insns[what].n);
    if (likely(len)) {
        s->mismatches = 0;
        return len;
    }
    /* A page fault was injected, or another vCPU changes the code: come again, but not for ever. */
    if (s->event) return 0;
    if (++s->mismatches > 1000)
        domain_crash(v->dom, "instruction at rip %#lx does not fit exit %#lx\n", v->regs.rip, s->vmcb->exitcode);
    return 0;
}

static __attribute__((noinline)) unsigned find_len(struct vcpu *v, struct svm_vcpu *s, struct len_entry *e,
                                                   enum insn_what what)
{
    unsigned len = slow_len(v, s, what);
    *e = (struct len_entry){ .rip = v->regs.rip, .cr3 = s->vmcb->cr3, .what = (u8)what, .len = (u8)len,
                             .uses = len ? 63 : 0 };
    return len;
}

unsigned svm_insn_len(struct vcpu *v, struct svm_vcpu *s, enum insn_what what)
{
    const struct vmcb *b = s->vmcb;
    if (svm_has(SVMF_NRIPS)) {
        u64 len = b->next_rip - v->regs.rip;
        return len <= 15 ? (unsigned)len : insns[what].n;
    }
    struct len_entry *e = &s->len[(v->regs.rip ^ v->regs.rip >> 5) % LEN_CACHE];
    if (likely(e->rip == v->regs.rip && e->cr3 == b->cr3 && e->what == what && e->uses)) {
        e->uses--;
        return e->len;
    }
    return find_len(v, s, e, what);
}

void svm_skipped(struct vcpu *v)
{
    struct svm_vcpu *s = svm_vcpu(v);
    struct vmcb *b = s->vmcb;
    b->intr_shadow = 0;
    v->regs.rflags &= ~RFLAGS_RF;
    if (likely(!(v->regs.rflags & RFLAGS_TF))) return;
    b->dr6 |= 1u << 14;             /* BS: what the CPU would do after this instruction */
    svm_dirty(s, CL_DRX);
    svm_exit_db(v, s, b);
}

void svm_skip(struct vcpu *v, unsigned len)
{
    u64 rip = v->regs.rip + len;
    v->regs.rip = svm_long_code(svm_vcpu(v)->vmcb) ? rip : (u32)rip;
    svm_skipped(v);
}
