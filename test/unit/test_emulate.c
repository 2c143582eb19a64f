/* SPDX-License-Identifier: MIT */
/* Instruction emulator, cases by hand: faults, segments, 16- and 32-bit code, strings, the local APIC's page. */
#include "emulate_env.h"

/* Emulate the bytes at `code`; gpa: where the hardware says it faulted (~0: no hint matches). */
static enum emul_result run(gpa_t gpa, bool write)
{
    v0.regs.rip = (u64)code;
    return emulate_mmio(&v0, gpa, write);
}
#define CODE(...) do { \
    static const u8 b_[] = { __VA_ARGS__ }; \
    memset(code, 0xcc, 64); \
    memcpy(code, b_, sizeof(b_)); } while (0)

static void lapic_page(void **state)
{
    u64 page = (u64)data;

    mode(8);
    lapic_gpa = 0xfee00000;
    gpa_xor = page ^ 0xfee00000;                        /* the guest maps the page elsewhere */
    v0.regs.rflags = 2;
    v0.regs.rbx = page;
    lapic_reg[0x80 / 4] = 0x12345678;
    memcpy(code, "\x8b\x83\x80\x00\x00\x00", 6);        /* mov eax, [rbx + 0x80] */
    v0.regs.rax = ~0ull;
    /* The code page is translated, too: put it where gpa_xor finds it. */
    walks = 0;
    assert_int_equal(run(0xfee00080, false), EMUL_DONE);
    assert_int_equal(v0.regs.rax, 0x12345678);
    assert_int_equal(walks, 1);                         /* only the instruction */
    assert_int_equal(skips, 1);
    memcpy(code, "\xc7\x83\xb0\x00\x00\x00\x00\x00\x00\x00", 10);       /* mov dword [rbx + 0xb0], 0 */
    assert_int_equal(run(0xfee000b0, true), EMUL_DONE);
    assert_int_equal(lapic_writes, 1);
    assert_int_equal(walks, 2);
    assert_int_equal(v0.regs.rip, (u64)code + 10);
    memcpy(code, "\x0f\xb6\x8b\x82\x00\x00\x00", 7);    /* movzx ecx, byte [rbx + 0x82] */
    assert_int_equal(run(0xfee00082, false), EMUL_DONE);
    assert_int_equal(v0.regs.rcx, 0x34);
    memcpy(code, "\xc6\x83\x81\x00\x00\x00\xaa", 7);    /* mov byte [rbx + 0x81], 0xaa */
    assert_int_equal(run(0xfee00081, true), EMUL_DONE);
    assert_int_equal(lapic_reg[0x80 / 4], 0x1234aa78);
    memcpy(code, "\x48\x89\x83\x80\x00\x00\x00", 7);    /* mov [rbx + 0x80], rax */
    assert_int_equal(run(0xfee00080, true), EMUL_DONE);
    lapic_gpa = ~0ull;
}

/* The fast path for the APIC page against the general one, which gets no hint and so takes no short cut. */
static void lapic_fast_path(void **state)
{
    static const u8 ops_[] = { 0x8b, 0x89, 0xc7, 0x8b, 0x89, 0xc7, 0x87 };
    unsigned fast = 0;
    struct insn i;

    srand(5);
    for (unsigned n = 0; n < 200000; n++) {
        u64 *r = &v0.regs.rax, page = (u64)data;
        struct vcpu_regs before, after;
        unsigned k = 0, len;
        u32 old;
        gpa_t gpa;

        mode(8);
        for (unsigned j = 0; j < 15; j++)
            code[j] = (u8)(rand() >> 4);
        if (rand() % 2)
            code[k++] = (u8)(0x40 | rand() % 16);
        code[k++] = ops_[(unsigned)rand() % sizeof(ops_)];
        if (rand() % 4)
            code[k] = (u8)(code[k] & 0x3f) | (u8[]){ 0, 0x40, 0x80, 0xc0 }[(unsigned)rand() % 4];
        if (rand() % 4 == 0) {
            code[k] = (u8)((code[k] & 0x38) | 4);
            code[k + 1] = 0x25;
        }
        if (insn_decode(code, 15, 8, &i) || i.rip_relative)
            continue;
        for (unsigned j = 0; j < 16; j++)
            r[j] = interesting();
        struct emul probe = { .v = &v0, .i = i };
        if (i.base != INSN_NO_REG)                      /* make the operand a register of the page */
            r[i.base] += page + (unsigned)rand() % 64 * 16 - mem_offset(&probe);
        u64 ea = mem_offset(&probe);
        if ((ea & ~PAGE_MASK) + i.memsize > PAGE_SIZE)
            continue;
        gpa = 0xfee00000 | (ea & ~PAGE_MASK);
        v0.regs.rip = (u64)code;
        v0.regs.rflags = 2;
        before = v0.regs;
        lapic_gpa = 0xfee00000;
        lapic_reg[(gpa & 0xfff) / 4] = old = (u32)rand();
        len = emul_lapic_mov(&v0, code, gpa, i.form != FORM_REG_MEM);
        after = v0.regs;
        if (!len) {
            assert_memory_equal(&before, &after, sizeof(before));
            continue;
        }
        fast++;
        assert_int_equal(len, i.len);
        u32 result = lapic_reg[(gpa & 0xfff) / 4];
        lapic_reg[(gpa & 0xfff) / 4] = old;
        v0.regs = before;
        gpa_xor = (ea & PAGE_MASK) ^ 0xfee00000;
        struct emul e = { .v = &v0, .i = i, .mode = 8, .ps = { .cr0 = st.cr0, .efer = st.efer } };
        if ((u64)((s64)(ea << 16) >> 16) == ea) {
            assert_int_equal(emul_exec[i.op](&e), EMUL_DONE);
            assert_memory_equal(&v0.regs, &after, sizeof(after));
            assert_int_equal(lapic_reg[(gpa & 0xfff) / 4], result);
        }
    }
    assert_true(fast > 10000);
    /* Bytes that the guest put there meanwhile: no MOV (C7 /1), an operand with an index. */
    v0.regs.rax = 0xfee00000;
    v0.regs.rcx = 0;
    memcpy(code, "\xc7\x88\xb0\x00\x00\x00\x01\x00\x00\x00", 10);
    assert_int_equal(emul_lapic_mov(&v0, code, 0xfee000b0, true), 0);
    code[1] = 0x80;
    assert_int_equal(emul_lapic_mov(&v0, code, 0xfee000b0, true), 10);
    assert_int_equal(emul_lapic_mov(&v0, code, 0xfee000b0, false), 0);      /* a store does not read */
    assert_int_equal(emul_lapic_mov(&v0, code, 0xfee000c0, true), 0);       /* it is not what faulted */
    memcpy(code, "\x8b\x04\x08", 3);
    assert_int_equal(emul_lapic_mov(&v0, code, 0xfee00000, false), 0);
    lapic_gpa = ~0ull;
}

/* 32-byte moves where the guest has no such registers are none of ours. */
static void avx_without_avx(void **state)
{
    bool had = has_avx;

    has_avx = false;
    mode(8);
    v0.regs.rbx = (u64)data;
    CODE(0xc5, 0xfe, 0x6f, 0x03);                       /* vmovdqu ymm0, [rbx] */
    assert_int_equal(run((u64)data, false), EMUL_UNHANDLED);
    CODE(0xc5, 0xfe, 0x7f, 0x03);                       /* vmovdqu [rbx], ymm0 */
    assert_int_equal(run((u64)data, true), EMUL_UNHANDLED);
    has_avx = had;
}

static void unclaimed(void **state)
{
    mode(8);
    backing = BACK_NONE;
    v0.regs.rbx = (u64)data;
    CODE(0x48, 0x8b, 0x03);                             /* mov rax, [rbx] */
    assert_int_equal(run((u64)data, false), EMUL_DONE);
    assert_true(v0.regs.rax == ~0ull);
    CODE(0x0f, 0xb7, 0x03);
    assert_int_equal(run((u64)data, false), EMUL_DONE);
    assert_int_equal(v0.regs.rax, 0xffff);
    CODE(0x89, 0x03);
    assert_int_equal(run((u64)data, true), EMUL_DONE);
}

static void faults(void **state)
{
    mode(8);
    v0.regs.rbx = (u64)data + 0xffe;                    /* crosses into a hole: nothing is written */
    v0.regs.rax = 0x11223344;
    hole = (u64)data + 0x1000;
    memset(shadow, 0, sizeof(shadow));
    CODE(0x89, 0x03);
    assert_int_equal(run((u64)data + 0xffe, true), EMUL_EXCEPTION);
    assert_int_equal(fault.vector, 14);
    assert_int_equal(fault.error, 2);
    assert_true(fault.cr2 == (u64)data + 0x1000);
    assert_int_equal(device_writes, 0);
    assert_int_equal(v0.regs.rip, (u64)code);
    hole = ~0ull;
    assert_int_equal(run(~0ull, true), EMUL_DONE);
    assert_int_equal(load(shadow + 0xffe, 4), 0x11223344);
    v0.regs.rbx = 0x800000000000;                       /* non-canonical: #GP; by rSP: #SS */
    assert_int_equal(run(~0ull, true), EMUL_EXCEPTION);
    assert_int_equal(fault.vector, 13);
    v0.regs.rsp = 0x7fffffffffff;
    CODE(0x89, 0x04, 0x24);
    assert_int_equal(run(~0ull, true), EMUL_EXCEPTION);
    assert_int_equal(fault.vector, 12);
    ro_page = (u64)data;                                /* RMW on a read-only page */
    v0.regs.rbx = (u64)data;
    CODE(0xff, 0x03);
    assert_int_equal(run((u64)data, false), EMUL_EXCEPTION);
    assert_int_equal(fault.error, 3);
    assert_int_equal(device_reads, 0);
    CODE(0x0f, 0x28, 0x43, 0x01);                       /* movaps unaligned */
    assert_int_equal(run(~0ull, false), EMUL_EXCEPTION);
    assert_int_equal(fault.vector, 13);
    CODE(0x0f, 0x0b);                                   /* not ours: kernel unhandled, user #UD */
    assert_int_equal(run(~0ull, false), EMUL_UNHANDLED);
    st.seg[SEG_SS].attr |= 0x60;
    assert_int_equal(run(~0ull, false), EMUL_EXCEPTION);
    assert_int_equal(fault.vector, 6);
    CODE(0x8b, 0x03);                                   /* user flag reaches the walk */
    hole = (u64)data;
    assert_int_equal(run(~0ull, false), EMUL_EXCEPTION);
    assert_int_equal(fault.error, 4);
}

static void fetch(void **state)
{
    u8 buf[15];

    mode(8);
    /* The instruction crosses a page. */
    memcpy(code + 0xffd, "\xc7\x83\x00\x00\x00\x00\x78\x56\x34\x12", 10);
    v0.regs.rbx = (u64)data;
    v0.regs.rip = (u64)code + 0xffd;
    assert_int_equal(emulate_mmio(&v0, (u64)data, true), EMUL_DONE);
    assert_int_equal(load(shadow, 4), 0x12345678);
    hole = (u64)code + 0x1000;
    v0.regs.rip = (u64)code + 0xffd;
    assert_int_equal(emulate_mmio(&v0, (u64)data, true), EMUL_EXCEPTION);
    assert_true(fault.cr2 == hole);
    assert_int_equal(emul_fetch(&v0, buf, 15), 3);      /* what there is */
    v0.regs.rip = hole;
    fault.n = 0;
    assert_int_equal(emul_fetch(&v0, buf, 15), 0);
    assert_int_equal(fault.n, 1);
    hole = ~0ull;
    /* Lengths: plain, prefixed, crossing, mismatch. */
    v0.regs.rip = (u64)code;
    CODE(0x0f, 0x01, 0xd9);
    static const u8 vmmcall[] = { 0x0f, 0x01, 0xd9 }, cpuid[] = { 0x0f, 0xa2 }, hlt[] = { 0xf4 };
    walks = 0;
    assert_int_equal(emul_insn_len(&v0, vmmcall, 3), 3);
    assert_int_equal(walks, 1);
    assert_int_equal(emul_insn_len(&v0, cpuid, 2), 0);
    CODE(0x66, 0x48, 0x0f, 0xa2);
    assert_int_equal(emul_insn_len(&v0, cpuid, 2), 4);
    CODE(0x48, 0x66, 0x2e, 0xf4);
    assert_int_equal(emul_insn_len(&v0, hlt, 1), 4);
    memset(code, 0x66, 15);
    code[15] = 0xf4;
    assert_int_equal(emul_insn_len(&v0, hlt, 1), 0);    /* longer than 15 */
    v0.regs.rip = (u64)code + 0xfff;
    memcpy(code + 0xfff, "\x0f\x01\xd9", 3);
    assert_int_equal(emul_insn_len(&v0, vmmcall, 3), 3);
    /* Skipping: EIP wraps outside 64-bit mode only. */
    v0.regs.rip = 0xffffffff;
    v0.regs.rflags = 0x10002;
    hvm_skip(&v0, 3);
    assert_true(v0.regs.rip == 0x100000002);
    assert_int_equal(v0.regs.rflags, 2);
    mode(4);
    v0.regs.rip = 0xffffffff;
    hvm_skip(&v0, 3);
    assert_true(v0.regs.rip == 2);
}

static void strings(void **state)
{
    mode(8);
    v0.regs.rflags = 2;
    for (unsigned i = 0; i < DATA_LEN; i++)
        shadow[i] = (u8)(i * 7);
    v0.regs.rsi = (u64)data;
    v0.regs.rdi = (u64)data + 0x2000;
    v0.regs.rcx = 1000;
    CODE(0xf3, 0xa4);
    unsigned exits = 0;
    v0.regs.rip = (u64)code;
    while (emulate_mmio(&v0, v0.regs.rsi, false) == EMUL_RETRY) {
        exits++;
        assert_int_equal(v0.regs.rip, (u64)code);
    }
    assert_in_range(exits, 4, 20);                      /* bounded work per exit */
    assert_int_equal(v0.regs.rcx, 0);
    assert_int_equal(v0.regs.rip, (u64)code + 2);
    assert_memory_equal(shadow, shadow + 0x2000, 1000);
    /* A fault in the middle leaves the count where it was. */
    v0.regs.rdi = (u64)data + 0xff0;
    v0.regs.rcx = 100;
    v0.regs.rax = 0;
    hole = (u64)data + 0x1000;
    CODE(0xf3, 0xaa);
    assert_int_equal(run(v0.regs.rdi, true), EMUL_EXCEPTION);
    assert_int_equal(v0.regs.rcx, 84);
    assert_true(v0.regs.rdi == hole);
    assert_int_equal(v0.regs.rip, (u64)code);
    /* Single step: one repetition at a time. */
    hole = ~0ull;
    v0.regs.rflags |= FL_TF;
    skips = 0;
    assert_int_equal(run(v0.regs.rdi, true), EMUL_RETRY);
    assert_int_equal(v0.regs.rcx, 83);
    assert_int_equal(skips, 1);
}

static void segments(void **state)
{
    mode(4);
    v0.regs = (struct vcpu_regs){ .rflags = 2, .rbx = 0x100, .rcx = 0xfffffff0 };
    st.seg[SEG_DS].base = (u32)(u64)data;
    CODE(0x8b, 0x03);                                   /* mov eax, [ebx] */
    store(shadow + 0x100, 0xcafe, 4);
    assert_int_equal(run(~0ull, false), EMUL_DONE);
    assert_int_equal(v0.regs.rax, 0xcafe);
    v0.regs.rbx = 0x110;
    CODE(0x8b, 0x04, 0x0b);                             /* [ebx + ecx] wraps at 4 GiB */
    v0.regs.rax = 0;
    assert_int_equal(run(~0ull, false), EMUL_DONE);
    assert_int_equal(v0.regs.rax, 0xcafe);
    st.seg[SEG_DS].limit = 0x102;
    assert_int_equal(run(~0ull, false), EMUL_EXCEPTION);
    assert_int_equal(fault.vector, 13);
    st.seg[SEG_DS].limit = 0x103;
    assert_int_equal(run(~0ull, false), EMUL_DONE);
    st.seg[SEG_DS].limit = 0xff;
    st.seg[SEG_DS].attr = 0xc97;                        /* expand-down: above the limit */
    assert_int_equal(run(~0ull, false), EMUL_DONE);
    st.seg[SEG_DS].limit = 0x100;
    assert_int_equal(run(~0ull, false), EMUL_EXCEPTION);
    st.seg[SEG_DS].attr = 0xc91;                        /* read-only */
    st.seg[SEG_DS].limit = ~0u;
    assert_int_equal(run(~0ull, false), EMUL_DONE);
    CODE(0x89, 0x04, 0x0b);
    assert_int_equal(run(~0ull, true), EMUL_EXCEPTION);
    st.seg[SEG_DS].attr = 0;                            /* null */
    CODE(0x8b, 0x04, 0x0b);
    assert_int_equal(run(~0ull, false), EMUL_EXCEPTION);
    CODE(0x2e, 0x8b, 0x04, 0x0b);                       /* CS override: readable code, base 0 */
    v0.regs.rbx = (u32)(u64)data + 0x110;
    assert_int_equal(run(~0ull, false), EMUL_DONE);
    CODE(0x2e, 0x89, 0x04, 0x0b);                       /* never writable */
    assert_int_equal(run(~0ull, true), EMUL_EXCEPTION);
    st.seg[SEG_SS].attr = 0;
    v0.regs.rbp = (u32)(u64)data;
    CODE(0x8b, 0x45, 0x00);                             /* [ebp]: #SS */
    assert_int_equal(run(~0ull, false), EMUL_EXCEPTION);
    assert_int_equal(fault.vector, 12);
    /* Real mode: no types, but limits; 16-bit addressing. */
    mode(2);
    v0.regs = (struct vcpu_regs){ .rflags = 2, .rbx = 0xfff0, .rsi = 0x20 };
    st.seg[SEG_CS].base = (u32)(u64)code;
    st.seg[SEG_DS].base = (u32)(u64)data;
    v0.regs.rip = 0;
    CODE(0x8b, 0x00);                                   /* mov ax, [bx + si] wraps at 64 KiB */
    store(shadow + 0x10, 0xbeef, 2);
    assert_int_equal(emulate_mmio(&v0, ~0ull, false), EMUL_DONE);
    assert_int_equal(v0.regs.rax, 0xbeef);
    assert_int_equal(v0.regs.rip, 2);
    v0.regs.rbx = 0xffff;
    v0.regs.rip = 0;
    CODE(0x8b, 0x07);                                   /* word at 0xffff */
    assert_int_equal(emulate_mmio(&v0, ~0ull, false), EMUL_EXCEPTION);
    v0.regs.rip = 0;
    CODE(0x67, 0x66, 0x8b, 0x04, 0x23);                 /* 32-bit forms work, too */
    v0.regs.rbx = 0x10;
    v0.regs.rsp = 0;
    assert_int_equal(emulate_mmio(&v0, ~0ull, false), EMUL_DONE);
    assert_int_equal((u16)v0.regs.rax, 0xbeef);
    assert_int_equal(v0.regs.rip, 5);
}

/* hvm_exit_ud(): what stands behind the prefix, and nothing else, is emulated; on RAM too. */
static void forced(void **state)
{
    static const u8 mov[] = { 0x0f, 0x0b, 'x', 'e', 'n', 0x8b, 0x03 };

    mode(8);
    backing = BACK_RAM;
    v0.regs = (struct vcpu_regs){ .rflags = 2, .rip = (u64)code, .rbx = (u64)data + 0x100 };
    store(shadow + 0x100, 0xcafe, 4);
    CODE(0x0f, 0x0b, 'x', 'e', 'n', 0x8b, 0x03);
    hvm_exit_ud(&v0);
    assert_int_equal(v0.regs.rax, 0xcafe);
    assert_true(v0.regs.rip == (u64)code + 7 && !fault.n);
    hole = (u64)data;                                   /* a fault is one of the instruction */
    v0.regs.rip = (u64)code;
    hvm_exit_ud(&v0);
    assert_true(v0.regs.rip == (u64)code + 5 && fault.vector == 14 && fault.cr2 == v0.regs.rbx);
    hole = ~0ull;
    for (unsigned i = 0; i < 5; i++) {                  /* each byte of the prefix is needed */
        memcpy(code, mov, sizeof(mov));
        code[i] ^= 1;
        v0.regs.rip = (u64)code;
        fault.n = 0;
        hvm_exit_ud(&v0);
        assert_true(v0.regs.rip == (u64)code && fault.n == 1 && fault.vector == VEC_UD);
    }
    v0.regs.rip = (u64)code;
    CODE(0x0f, 0x0b, 'x', 'e', 'n', 0x2e, 0x89, 0xd8);  /* operands in registers (XSA-123) */
    hvm_exit_ud(&v0);
    assert_true(v0.regs.rip == (u64)code + 5 && fault.n == 2 && fault.vector == VEC_UD && v0.regs.rax == 0xcafe);
    fault.n = 0;
    CODE(0x0f, 0x0b, 'x', 'e', 'n', 0xf3, 0xaa);        /* a long repetition goes on with the prefix */
    v0.regs.rdi = (u64)data;
    v0.regs.rcx = 300;
    v0.regs.rip = (u64)code;
    unsigned exits = 0;
    while (v0.regs.rip == (u64)code && exits++ < 10) hvm_exit_ud(&v0);
    assert_true(exits > 2 && v0.regs.rip == (u64)code + 7 && !v0.regs.rcx && !fault.n);
    hole = (u64)code + PAGE_SIZE;                       /* the instruction is on a page that is not there */
    v0.regs.rip = hole - 5;
    memcpy((u8 *)v0.regs.rip, mov, sizeof(mov));
    hvm_exit_ud(&v0);
    assert_true(v0.regs.rip == hole && fault.n == 1 && fault.vector == 14 && fault.cr2 == hole);
    mode(4);                                            /* EIP wraps behind the prefix, and again behind the instruction */
    backing = BACK_RAM;
    st.seg[SEG_CS].base = (u32)(u64)code + 8;
    st.seg[SEG_DS].base = (u32)(u64)data;
    v0.regs.rbx = 0x100;
    store(shadow + 0x100, 0xbeef, 4);
    for (u32 eip = 0xfffffffa; eip >= 0xfffffff8; eip--) {
        memcpy(code + 8 + (s32)eip, mov, sizeof(mov));
        v0.regs.rip = eip;
        v0.regs.rax = 0;
        hvm_exit_ud(&v0);
        assert_int_equal(v0.regs.rip, (u32)(eip + 7));
        assert_int_equal(v0.regs.rax, 0xbeef);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lapic_page), cmocka_unit_test(lapic_fast_path), cmocka_unit_test(avx_without_avx),
        cmocka_unit_test(unclaimed), cmocka_unit_test(faults), cmocka_unit_test(fetch), cmocka_unit_test(strings),
        cmocka_unit_test(segments), cmocka_unit_test(forced),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
