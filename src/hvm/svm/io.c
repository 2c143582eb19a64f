/* SPDX-License-Identifier: MIT */
/* IN, OUT, INS, OUTS (APM 15.10.2). The exit tells port, size and next RIP; what it may lack is decoded. */
#include "hvm/svm/svm.h"
#include "cpu/x86.h"

/* Segment and address size of a string instruction from its prefixes, for CPUs whose exits do not tell. */
static bool string_prefixes(struct vcpu *v, const struct vmcb *b, unsigned len, unsigned *seg, unsigned *addr_size)
{
    u8 p[15];
    unsigned n = emul_fetch(v, p, MIN(len, 15u));
    bool long_code = svm_long_code(b), flip = false;
    if (!n) return false;
    *seg = SEG_DS;
    for (unsigned i = 0; i < n; i++) {
        switch (p[i]) {
        case 0x26: *seg = SEG_ES; break;
        case 0x2e: *seg = SEG_CS; break;
        case 0x36: *seg = SEG_SS; break;
        case 0x3e: *seg = SEG_DS; break;
        case 0x64: *seg = SEG_FS; break;
        case 0x65: *seg = SEG_GS; break;
        case 0x67: flip = true; break;
        }
    }
    if (long_code) *addr_size = flip ? 4 : 8;
    else *addr_size = !(b->cs.attr & 0x400) == flip ? 4 : 2;
    return true;
}

static void string_io(struct vcpu *v, struct vmcb *b, u32 info, unsigned size)
{
    unsigned len = (unsigned)(b->exitinfo2 - v->regs.rip), seg = info >> 10 & 7, addr_size = (info >> 7 & 7) * 2;
    if (len > 15) len = 15;
    if (!svm_has(SVMF_DECODE) || !addr_size || seg > SEG_GS) {
        if (!string_prefixes(v, b, len, &seg, &addr_size)) return;
    }
    pio_string(v, (u16)(info >> 16), size, info & IOIO_IN, info & IOIO_REP, addr_size, seg, len);
}

void svm_exit_io(struct vcpu *v, struct svm_vcpu *s, struct vmcb *b)
{
    u32 info = (u32)b->exitinfo1, val;
    unsigned size = info >> 4 & 7;              /* one of three bits: 1, 2, 4 bytes */
    if (unlikely(info & IOIO_STR)) {
        string_io(v, b, info, size);
        return;
    }
    if (info & IOIO_IN) {
        val = 0;
        pio_access(v, (u16)(info >> 16), size, false, &val);
        if (size == 4) v->regs.rax = val;
        else if (size == 2) v->regs.rax = (v->regs.rax & ~0xffffULL) | (u16)val;
        else v->regs.rax = (v->regs.rax & ~0xffULL) | (u8)val;
    } else {
        val = (u32)v->regs.rax;
        if (size < 4) val &= (1u << (8 * size)) - 1;
        pio_access(v, (u16)(info >> 16), size, true, &val);
    }
    v->regs.rip = b->exitinfo2;
    svm_skipped(v);
}
