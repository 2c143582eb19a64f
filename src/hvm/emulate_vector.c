/* SPDX-License-Identifier: MIT */
/*
 * Instruction emulator: SSE and AVX moves, on the XSAVE area in standard format (SDM 1, 13.4). A component whose
 * XSTATE_BV bit is clear is in its initial state, all zeros, whatever its bytes say.
 */
#include "hvm/emulate.h"

#define XS_XMM 160
#define XS_BV 512
#define XS_YMM_HIGH 576                 /* component 2, CPUID 0xD.2: the same on all processors */
#define XS_AVX_END (XS_YMM_HIGH + 256)
#define BV_SSE 2ull
#define BV_AVX 4ull

struct vregs { u8 *area; u64 bv; bool avx; };

static struct vregs vector_regs(struct emul *e)
{
    struct vregs x;
    size_t size;

    x.area = hvm_xstate(e->v, &size);
    memcpy(&x.bv, x.area + XS_BV, sizeof(x.bv));
    x.avx = size >= XS_AVX_END;
    return x;
}

static enum emul_result vector_operand(struct emul *e, bool write, struct mem *m)
{
    enum emul_result r = mem_operand(e, write, m);

    if (r == EMUL_DONE && e->i.aligned && (m->va & (e->i.memsize - 1u)))
        return emul_exception(e, VEC_GP, 0);
    return r;
}

static void make_valid(struct vregs *x, u64 bit, unsigned offset)
{
    if (!(x->bv & bit))
        memset(x->area + offset, 0, 256);
    x->bv |= bit;
    memcpy(x->area + XS_BV, &x->bv, sizeof(x->bv));
}

enum emul_result exec_vload(struct emul *e)
{
    u8 buf[32] = { 0 }, *xmm;
    struct vregs x;
    struct mem m;
    enum emul_result r = vector_operand(e, false, &m);

    if (r == EMUL_DONE)
        r = mem_read(e, &m, buf);
    if (r != EMUL_DONE)
        return r;
    x = vector_regs(e);
    if (e->i.opsize == 32 && !x.avx)
        return EMUL_UNHANDLED;
    make_valid(&x, BV_SSE, XS_XMM);
    xmm = x.area + XS_XMM + 16 * (e->i.reg & 15);
    if (e->i.vec_merge)
        memcpy(xmm + e->i.vec_offset, buf, e->i.memsize);
    else
        memcpy(xmm, buf, 16);
    if (e->i.vex && x.avx) {
        make_valid(&x, BV_AVX, XS_YMM_HIGH);
        memcpy(x.area + XS_YMM_HIGH + 16 * (e->i.reg & 15), buf + 16, 16);
    }
    return EMUL_DONE;
}

enum emul_result exec_vstore(struct emul *e)
{
    u8 buf[32] = { 0 };
    struct vregs x;
    struct mem m;
    enum emul_result r = vector_operand(e, true, &m);

    if (r != EMUL_DONE)
        return r;
    x = vector_regs(e);
    if (e->i.opsize == 32 && !x.avx)
        return EMUL_UNHANDLED;
    if (x.bv & BV_SSE)
        memcpy(buf, x.area + XS_XMM + 16 * (e->i.reg & 15), 16);
    if (e->i.opsize == 32 && (x.bv & BV_AVX))
        memcpy(buf + 16, x.area + XS_YMM_HIGH + 16 * (e->i.reg & 15), 16);
    return mem_write(e, &m, buf + e->i.vec_offset);
}
