/* SPDX-License-Identifier: MIT */
/*
 * Instruction emulator against two oracles: Zydis for length and operands of whatever the decoder accepts; the processor
 * itself, which executes the same instruction on the same registers and memory. And random bytes in all modes.
 */
#include "emulate_env.h"
#if __has_include(<Zydis/Zydis.h>)
#include <Zydis/Zydis.h>
#define HAVE_ZYDIS 1
#else
#define HAVE_ZYDIS 0
#endif

/* A random byte string that is likely to start with something we know. */
static void random_insn(u8 *b)
{
    static const u8 pfx[] = { 0x66, 0x67, 0xf2, 0xf3, 0x2e, 0x36, 0x3e, 0x26, 0x64, 0x65, 0xf0,
                              0x48, 0x4f, 0x41, 0x44 };
    unsigned n = 0;

    for (unsigned i = 0; i < 24; i++)
        b[i] = (u8)(rand() >> 8);
    while (rand() % 3 == 0 && n < 12)
        b[n++] = pfx[(unsigned)rand() % sizeof(pfx)];
    switch (rand() % 4) {
    case 0:
        b[n++] = 0x0f;
        if (rand() % 8 == 0)
            b[n++] = 0x38;
        break;
    case 1:
        if (rand() % 4 == 0) {
            b[n++] = 0xc5;
            b[n] |= 0x78;
        } else if (rand() % 4 == 0) {
            b[n++] = 0xc4;
            b[n] = (u8)((b[n] & 0xe0) | (rand() % 4));
            b[n + 1] |= 0x78;
        }
        break;
    }
}

/* ---- oracle 1: Zydis ---- */

#if HAVE_ZYDIS
static u8 from_zydis(ZydisRegister r)
{
    return r == ZYDIS_REGISTER_NONE ? INSN_NO_REG : (u8)ZydisRegisterGetId(r);
}

static u8 seg_from_zydis(ZydisRegister r)
{
    switch (r) {
    case ZYDIS_REGISTER_ES: return SEG_ES;
    case ZYDIS_REGISTER_CS: return SEG_CS;
    case ZYDIS_REGISTER_SS: return SEG_SS;
    case ZYDIS_REGISTER_FS: return SEG_FS;
    case ZYDIS_REGISTER_GS: return SEG_GS;
    default: return SEG_DS;
    }
}

static void check_operand(const struct insn *i, const ZydisDecodedInstruction *z, const ZydisDecodedOperand *o)
{
    bool rip = o->mem.base == ZYDIS_REGISTER_RIP || o->mem.base == ZYDIS_REGISTER_EIP;

    assert_int_equal(i->rip_relative, rip);
    assert_int_equal(i->base, rip ? INSN_NO_REG : from_zydis(o->mem.base));
    assert_int_equal(i->index, from_zydis(o->mem.index));
    if (i->index != INSN_NO_REG)
        assert_int_equal(i->scale, o->mem.scale ? o->mem.scale : 1);
    if (i->form != FORM_STRING)
        assert_true(((u64)i->disp & size_mask(i->adsize)) == ((u64)o->mem.disp.value & size_mask(i->adsize)));
    assert_int_equal(i->seg, seg_from_zydis(o->mem.segment));
    assert_int_equal(i->memsize, o->size / 8);
}

static void check_insn(const u8 *b, const struct insn *i, const ZydisDecodedInstruction *z,
                       const ZydisDecodedOperand *ops_)
{
    const ZydisDecodedOperand *m = NULL;

    assert_int_equal(i->adsize, z->address_width / 8);
    for (unsigned n = 0; n < z->operand_count; n++) {
        const ZydisDecodedOperand *o = &ops_[n];

        if (o->type == ZYDIS_OPERAND_TYPE_MEMORY && o->visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT && !m)
            m = o;
        if (o->type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
            /* A bit offset is a byte; its sign does not matter. */
            assert_true(((i->imm ^ (u64)o->imm.value.s)
                         & size_mask(i->op >= OP_BT && i->op <= OP_BTC ? 1 : i->opsize)) == 0);
        if (o->type == ZYDIS_OPERAND_TYPE_REGISTER && o->visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT
            && ZydisRegisterGetClass(o->reg.value) <= ZYDIS_REGCLASS_GPR64 && i->form != FORM_STRING) {
            bool high = o->reg.value >= ZYDIS_REGISTER_AH && o->reg.value <= ZYDIS_REGISTER_BH;

            assert_int_equal(i->opsize, ZydisRegisterGetWidth(z->machine_mode, o->reg.value) / 8);
            if (ZydisRegisterGetClass(o->reg.value) == ZYDIS_REGCLASS_GPR8)
                assert_int_equal(high, i->byte_high && i->reg >= 4 && i->reg < 8);
            else
                assert_int_equal(i->reg, ZydisRegisterGetId(o->reg.value));
        }
    }
    if (i->form != FORM_STRING) {
        assert_non_null(m);
        check_operand(i, z, m);
    }
}

static void decoder_against_zydis(void **state)
{
    static const struct { ZydisMachineMode mode; ZydisStackWidth sw; unsigned m; } modes[] = {
        { ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64, 8 },
        { ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32, 4 },
        { ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16, 2 },
    };
    static unsigned accepted[OP_NR];
    ZydisDecoder dec[3];
    u8 b[24];

    srand(2);
    for (unsigned m = 0; m < 3; m++)
        assert_true(ZYAN_SUCCESS(ZydisDecoderInit(&dec[m], modes[m].mode, modes[m].sw)));
    for (unsigned n = 0; n < 300000; n++) {
        unsigned m = (unsigned)rand() % 3;
        ZydisDecodedInstruction z;
        ZydisDecodedOperand zo[ZYDIS_MAX_OPERAND_COUNT];
        struct insn i, again;
        int rc;

        random_insn(b);
        rc = insn_decode(b, 15, modes[m].m, &i);
        if (rc) {
            assert_int_equal(rc, -EINVAL);
            continue;
        }
        accepted[i.op]++;
        if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&dec[m], b, 15, &z, zo))) {
            print_message("Zydis refuses in mode %u:", modes[m].m);
            for (unsigned k = 0; k < i.len; k++)
                print_message(" %02x", b[k]);
            print_message("\n");
            fail();
        }
        if (i.len != z.length) {
            for (unsigned k = 0; k < 15; k++)
                print_message(" %02x", b[k]);
            print_message(" mode %u: %u, Zydis %u\n", modes[m].m, i.len, z.length);
            fail();
        }
        check_insn(b, &i, &z, zo);
        /* Every shorter prefix asks for more; one byte more changes nothing. */
        for (unsigned k = 0; k < i.len; k++)
            assert_int_equal(insn_decode(b, k, modes[m].m, &again), -EAGAIN);
        assert_int_equal(insn_decode(b, i.len, modes[m].m, &again), 0);
        assert_memory_equal(&i, &again, sizeof(i));
    }
    for (unsigned op = OP_ADD; op < OP_GROUP1; op++)
        assert_true(accepted[op] > 20);
}

#else
static void decoder_against_zydis(void **state) { skip(); }
#endif

/* ---- oracle 2: the processor ---- */

u64 nat_regs[16], nat_flags, nat_host_rsp, nat_entry;
u8 nat_xin[4096] __aligned(64), nat_xout[4096] __aligned(64);
void nat_run(void);
/* Load the guest's registers, jump to the instruction, which is followed by a jump to nat_back, store all. */
__asm__(".text\n.globl nat_run\nnat_run:\n"
    "push %rbx\npush %rbp\npush %r12\npush %r13\npush %r14\npush %r15\n"
    "mov $7, %eax\nxor %edx, %edx\nxrstor64 nat_xin(%rip)\n"
    "mov %rsp, nat_host_rsp(%rip)\npushq nat_flags(%rip)\npopfq\n"
    "mov nat_regs+0(%rip), %rax\nmov nat_regs+8(%rip), %rcx\nmov nat_regs+16(%rip), %rdx\n"
    "mov nat_regs+24(%rip), %rbx\nmov nat_regs+32(%rip), %rsp\nmov nat_regs+40(%rip), %rbp\n"
    "mov nat_regs+48(%rip), %rsi\nmov nat_regs+56(%rip), %rdi\nmov nat_regs+64(%rip), %r8\n"
    "mov nat_regs+72(%rip), %r9\nmov nat_regs+80(%rip), %r10\nmov nat_regs+88(%rip), %r11\n"
    "mov nat_regs+96(%rip), %r12\nmov nat_regs+104(%rip), %r13\nmov nat_regs+112(%rip), %r14\n"
    "mov nat_regs+120(%rip), %r15\njmp *nat_entry(%rip)\n"
    ".globl nat_back\nnat_back:\n"
    "mov %rax, nat_regs+0(%rip)\nmov %rcx, nat_regs+8(%rip)\nmov %rdx, nat_regs+16(%rip)\n"
    "mov %rbx, nat_regs+24(%rip)\nmov %rsp, nat_regs+32(%rip)\nmov %rbp, nat_regs+40(%rip)\n"
    "mov %rsi, nat_regs+48(%rip)\nmov %rdi, nat_regs+56(%rip)\nmov %r8, nat_regs+64(%rip)\n"
    "mov %r9, nat_regs+72(%rip)\nmov %r10, nat_regs+80(%rip)\nmov %r11, nat_regs+88(%rip)\n"
    "mov %r12, nat_regs+96(%rip)\nmov %r13, nat_regs+104(%rip)\nmov %r14, nat_regs+112(%rip)\n"
    "mov %r15, nat_regs+120(%rip)\nmov nat_host_rsp(%rip), %rsp\npushfq\npopq nat_flags(%rip)\ncld\n"
    "mov $7, %eax\nxor %edx, %edx\nxsave64 nat_xout(%rip)\n"
    "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbp\npop %rbx\nret\n");
extern char nat_back[];

/* Build an instruction whose operand lies in the data window: base rBX or r11 (or RIP), small index. */
static bool build(u8 *b, struct insn *i)
{
    static const u8 one[] = { 0x00, 0x01, 0x02, 0x03, 0x08, 0x09, 0x0a, 0x0b, 0x10, 0x11, 0x12, 0x13, 0x18, 0x19,
        0x1a, 0x1b, 0x20, 0x21, 0x22, 0x23, 0x28, 0x29, 0x2a, 0x2b, 0x30, 0x31, 0x32, 0x33, 0x38, 0x39, 0x3a,
        0x3b, 0x63, 0x80, 0x81, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8b, 0x8c, 0x8f, 0xa0, 0xa1,
        0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf, 0xc6, 0xc7, 0xf6, 0xf7, 0xfe, 0xff };
    static const u8 two[] = { 0x10, 0x11, 0x12, 0x13, 0x16, 0x17, 0x28, 0x29, 0x2b, 0x6e, 0x6f, 0x7e, 0x7f, 0xd6,
        0xe7, 0xf0, 0xa3, 0xab, 0xb3, 0xbb, 0xb0, 0xb1, 0xb6, 0xb7, 0xba, 0xbe, 0xbf, 0xc0, 0xc1, 0xc3 };
    static const u8 pfx[] = { 0x66, 0xf2, 0xf3, 0xf0, 0x2e, 0x3e };
    unsigned n = 0, m, kind = (unsigned)rand() % 12;
    u8 modrm, op;
    bool two_byte = false;

    memset(b, 0x90, 24);
    while (rand() % 3 == 0 && n < 3)
        b[n++] = pfx[(unsigned)rand() % sizeof(pfx)];
    if (kind < 3 && has_avx && n == 0) {                /* VEX */
        static const u8 vop[] = { 0x10, 0x11, 0x28, 0x29, 0x2b, 0x6e, 0x6f, 0x7e, 0x7f, 0xd6, 0xe7, 0xf0 };
        b[n++] = 0xc5;
        b[n++] = (u8)(0x78 | (rand() & 0x87));
        b[n++] = vop[(unsigned)rand() % sizeof(vop)];
    } else {
        if (rand() % 2)
            b[n++] = (u8)(0x40 | (rand() & 0xf));
        if (kind < 8) {
            op = one[(unsigned)rand() % sizeof(one)];
        } else if (kind == 8 && __builtin_cpu_supports("avx2")) {
            b[n++] = 0x0f;                              /* MOVBE: every processor with AVX2 has it */
            b[n++] = 0x38;
            op = (u8)(0xf0 | (rand() & 1));
        } else {
            b[n++] = 0x0f;
            op = two[(unsigned)rand() % sizeof(two)];
            two_byte = true;
        }
        b[n++] = op;
        if (!two_byte && op >= 0xa0 && op <= 0xa3 && kind < 8) {
            u64 a = (u64)data + 0x1000 + (unsigned)rand() % 64;
            memcpy(b + n, &a, 8);
            return insn_decode(b, 15, 8, i) == 0;
        }
    }
    m = n;
    modrm = (u8)(0x43 | (rand() & 0x38));               /* [rBX + disp8] */
    switch (rand() % 4) {
    case 0:
        b[m + 1] = (u8)(rand() & 0xff);
        break;
    case 1:
        modrm ^= 0xc0;                                  /* disp32 */
        store(b + m + 1, (u64)(s64)(rand() % 4096 - 2048), 4);
        break;
    case 2:
        modrm = (modrm & 0xf8) | 4;                     /* SIB: base rBX, index rCX */
        b[m + 1] = (u8)(0x0b | (rand() & 0xc0));
        b[m + 2] = (u8)rand();
        break;
    case 3:
        modrm = (modrm & 0x38) | 5;                     /* RIP */
        break;
    }
    b[m] = modrm;
    for (unsigned k = m + 6; k < m + 10; k++)
        b[k] = (u8)interesting();
    if (insn_decode(b, 15, 8, i))
        return false;
    if (i->rip_relative) {
        s32 disp = (s32)(0x11000 - (s32)i->len + rand() % 64);

        memcpy(b + m + 1, &disp, 4);
        if (insn_decode(b, 15, 8, i))
            return false;
    }
    return true;
}

static void prepare_registers(const struct insn *i)
{
    u64 *r = &v0.regs.rax;

    for (unsigned k = 0; k < 16; k++)
        r[k] = interesting();
    r[1] = r[9] = (unsigned)rand() % 40;                /* rCX, r9: index, count */
    r[3] = r[11] = (u64)data + 0x1800 + (unsigned)rand() % 64 * (rand() % 2 ? 32 : 1);
    r[4] = (u64)data + 0x2000 + (unsigned)rand() % 8 * 8;
    r[6] = (u64)data + 0x1000 + (unsigned)rand() % 0x800;
    r[7] = (u64)data + 0x1000 + (unsigned)rand() % 0x800;
    v0.regs.rflags = 0x202 | (interesting() & (FL_ARITH | FL_DF));
    if (rand() % 4 == 0)
        v0.regs.rflags &= ~FL_DF;
    static unsigned turn;
    for (unsigned k = 0; turn % 64 == 0 && k < DATA_LEN; k++)
        shadow[k] = rand() % 4 ? (u8)interesting() : 0;
    turn++;
    if (rand() % 3 == 0)
        r[0] = load(shadow + 0x1800, 8);
    memset(xarea, 0, sizeof(xarea));
    xarea[24] = 0x80;
    xarea[25] = 0x1f;
    for (unsigned k = 160; k < 416; k++)
        xarea[k] = (u8)rand();
    if (has_avx)
        for (unsigned k = 576; k < 832; k++)
            xarea[k] = (u8)rand();
    xarea[512] = (u8)(1 | (rand() & (has_avx ? 6 : 2)));
}

static const u8 *component(const u8 *area, unsigned n, bool high)
{
    static const u8 zero[16];

    if (!(area[512] & (high ? 4 : 2)))
        return zero;
    return area + (high ? 576 : 160) + 16 * n;
}

static void show(const u8 *b, const struct insn *i, const char *what)
{
    print_message("%s differs:", what);
    for (unsigned k = 0; k < i->len; k++)
        print_message(" %02x", b[k]);
    print_message("\n");
}

/* What a processor would report: the address of the access in this direction. */
static gpa_t hardware_gpa(const struct insn *i, bool write)
{
    struct emul probe = { .v = &v0, .i = *i };

    if (i->form == FORM_STRING)
        return i->op == OP_LODS || (i->op == OP_MOVS && !write) ? v0.regs.rsi : v0.regs.rdi;
    return mem_offset(&probe);
}

static void differential(void **state)
{
    static unsigned ran[OP_NR];
    u8 b[24];
    struct insn i;

    if (!has_avx)
        skip();                                         /* XSAVE is needed for the native run */
    srand(3);
    for (unsigned n = 0; n < 40000; n++) {
        u64 undefined = 0, *r = &v0.regs.rax, expect_rip;
        u16 sel = 0;
        unsigned rounds = 0;
        enum emul_result res;

        mode(8);
        if (!build(b, &i))
            continue;
        prepare_registers(&i);
        /* What the native run must not do: wild bit offsets, huge counts. Aligned vector operands are aligned. */
        if (i.op >= OP_BT && i.op <= OP_BTC && i.form == FORM_MEM_REG) {
            if (i.reg == i.base || i.reg == i.index || i.opsize == 1)
                continue;
            r[i.reg] = (r[i.reg] & ~size_mask(i.opsize)) | ((u64)(s64)(rand() % 8000 - 4000) & size_mask(i.opsize));
        }
        if (i.index != INSN_NO_REG && i.index != 1 && i.index != 9)
            continue;
        if (i.op == OP_PUSH && i.base == 4)
            continue;
        if (i.aligned) {
            struct emul probe = { .v = &v0, .i = i };

            v0.regs.rip = (u64)code;
            u64 off = mem_offset(&probe) & (i.memsize - 1u);
            if (i.rip_relative)
                continue;
            r[3] -= off;
            r[11] -= off;
        }
        if (rand() % 2)
            backing = BACK_RAM;
        memcpy(code, b, 15);
        code[i.len] = 0xff;                             /* jmp *[rip + 0] */
        code[i.len + 1] = 0x25;
        memset(code + i.len + 2, 0, 4);
        store(code + i.len + 6, (u64)nat_back, 8);
        expect_rip = (u64)code + i.len;

        memcpy(data, shadow, DATA_LEN);
        memcpy(nat_regs, r, sizeof(nat_regs));
        nat_flags = v0.regs.rflags;
        nat_entry = (u64)code;
        memcpy(nat_xin, xarea, sizeof(xarea));
        if (i.op == OP_MOV_SREG) {
            switch (i.reg & 7) {
            case 0: __asm__("mov %%es, %0" : "=r"(sel)); break;
            case 1: __asm__("mov %%cs, %0" : "=r"(sel)); break;
            case 2: __asm__("mov %%ss, %0" : "=r"(sel)); break;
            case 3: __asm__("mov %%ds, %0" : "=r"(sel)); break;
            case 4: __asm__("mov %%fs, %0" : "=r"(sel)); break;
            case 5: __asm__("mov %%gs, %0" : "=r"(sel)); break;
            }
            st.seg[i.reg & 7].sel = sel;
        }
        memset(nat_xout, 0, sizeof(nat_xout));
        nat_run();

        v0.regs.rip = (u64)code;
        do {
            bool write = i.form == FORM_STRING ? i.op == OP_MOVS || i.op == OP_STOS
                                               : i.op == OP_POP || (i.op != OP_PUSH && rand() % 2);

            res = emulate_mmio(&v0, hardware_gpa(&i, write), write);
        } while (res == EMUL_RETRY && ++rounds < 10);
        if (res != EMUL_DONE || v0.regs.rip != expect_rip) {
            show(b, &i, "result");
            fail();
        }
        ran[i.op]++;
        if (i.op >= OP_BT && i.op <= OP_BTC)
            undefined = FL_OF | FL_SF | FL_AF | FL_PF;
        if (i.op == OP_OR || i.op == OP_AND || i.op == OP_XOR || i.op == OP_TEST)
            undefined = FL_AF;
        if ((v0.regs.rflags ^ nat_flags) & (FL_ARITH | FL_DF) & ~undefined) {
            show(b, &i, "flags");
            print_message("%lx, native %lx\n", v0.regs.rflags, nat_flags);
            fail();
        }
        if (memcmp(r, nat_regs, sizeof(nat_regs))) {
            show(b, &i, "register");
            for (unsigned k = 0; k < 16; k++)
                if (r[k] != nat_regs[k])
                    print_message("%u: %lx, native %lx\n", k, r[k], nat_regs[k]);
            fail();
        }
        if (memcmp(data, shadow, DATA_LEN)) {
            show(b, &i, "memory");
            fail();
        }
        for (unsigned k = 0; k < 16; k++) {
            if (memcmp(component(xarea, k, false), component(nat_xout, k, false), 16)
                || memcmp(component(xarea, k, true), component(nat_xout, k, true), 16)) {
                show(b, &i, "vector");
                fail();
            }
        }
    }
    for (unsigned op = OP_ADD; op < OP_GROUP1; op++)
        if (op != OP_MOVBE || __builtin_cpu_supports("avx2"))
            assert_true(ran[op] > 10);
}

/* ---- random bytes, random state: nothing may break ---- */

static void fuzz(void **state)
{
    srand(4);
    for (unsigned n = 0; n < 150000; n++) {
        u64 *r = &v0.regs.rax;

        mode(1u << (1 + (unsigned)rand() % 3));
        backing = (unsigned)rand() % 3;
        for (unsigned k = 0; k < 16; k++)
            r[k] = rand() % 4 ? (u64)data + (unsigned)rand() % DATA_LEN : interesting();
        v0.regs.rflags = interesting() & 0x50fd5;
        if (rand() % 4 == 0)
            for (unsigned k = 0; k < SEG_LDTR; k++)
                st.seg[k] = (struct segment){ .attr = (u16)(rand() & 0xfff), .limit = (u32)interesting(),
                                              .base = rand() % 2 ? interesting() : 0 };
        hole = rand() % 4 ? ~0ull : (u64)data + 0x1000;
        random_insn(code + 0xff8);
        if (rand() % 2)
            memcpy(code, code + 0xff8, 24);
        v0.regs.rip = (u64)code + (rand() % 2 ? 0 : 0xff8);
        st.seg[SEG_CS].base = rand() % 8 ? 0 : (u32)rand();
        (void)emulate_mmio(&v0, rand() % 2 ? (u64)data + (unsigned)rand() % DATA_LEN : interesting(), rand() & 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decoder_against_zydis), cmocka_unit_test(differential), cmocka_unit_test(fuzz),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
