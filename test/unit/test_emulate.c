/* SPDX-License-Identifier: MIT */
/*
 * Instruction emulator. Three oracles: Zydis for length and operands of whatever the decoder accepts; the processor
 * itself, which executes the same instruction on the same registers and memory; hand-written cases for faults,
 * segments, 16- and 32-bit code. Plus random bytes in all modes.
 */
#include <stdarg.h>
#include <stdlib.h>
#include <setjmp.h>
#include <cmocka.h>
#include <sys/mman.h>
#if __has_include(<Zydis/Zydis.h>)
#include <Zydis/Zydis.h>
#define HAVE_ZYDIS 1
#else
#define HAVE_ZYDIS 0
#endif
#include "hvm/emulate.h"
#include "hvm/vlapic.h"

/* ---- the guest around the instruction ---- */

static struct domain dom;
static struct vcpu v0 = { .dom = &dom };
static struct vcpu_state st;
static struct { unsigned n, vector; u32 error; u64 cr2; } fault;
static unsigned skips, walks, device_reads, device_writes;
static u8 xarea[4096] __aligned(64);
static bool has_avx;

/* Data memory: window of the guest's linear (= physical) addresses, backed by `shadow`. */
#define DATA_LEN 0x4000ul
static u8 *data, *code;                 /* as the native run sees them */
static u8 shadow[DATA_LEN];
static enum { BACK_DEVICE, BACK_RAM, BACK_NONE } backing;
static u64 hole;                        /* a page that is not present; ~0: none */
static u64 ro_page = ~0ull;

static bool in_data(u64 a, u64 n) { return a >= (u64)data && n <= DATA_LEN && a - (u64)data <= DATA_LEN - n; }
static u64 gpa_xor;                     /* linear ^ physical, to see that translations are used */

int guest_walk(struct vcpu *v, gva_t va, unsigned flags, gpa_t *gpa, u32 *pfec)
{
    walks++;
    if ((va & PAGE_MASK) == hole || ((flags & GW_WRITE) && (va & PAGE_MASK) == ro_page)) {
        *pfec = ((va & PAGE_MASK) != hole) | (flags & GW_WRITE ? 2 : 0) | (flags & GW_USER ? 4 : 0);
        return -EFAULT;
    }
    *gpa = va ^ gpa_xor;
    return 0;
}
int guest_read_gpa(struct domain *d, void *dst, gpa_t src, size_t len)
{
    assert_true((src & ~PAGE_MASK) + len <= PAGE_SIZE);
    src ^= gpa_xor;
    if (src >= (u64)code && src < (u64)code + 2 * PAGE_SIZE)
        memcpy(dst, (void *)src, len);
    else if (backing == BACK_RAM && in_data(src, len))
        memcpy(dst, shadow + (src - (u64)data), len);
    else
        return -EFAULT;
    return 0;
}
int guest_write_gpa(struct domain *d, gpa_t dst, const void *src, size_t len)
{
    dst ^= gpa_xor;
    if (backing != BACK_RAM || !in_data(dst, len))
        return -EFAULT;
    memcpy(shadow + (dst - (u64)data), src, len);
    return 0;
}
bool mmio_access(struct vcpu *v, gpa_t addr, unsigned size, bool write, u64 *val)
{
    assert_true(size == 1 || size == 2 || size == 4 || size == 8);
    assert_int_equal(addr & (size - 1), 0);
    addr ^= gpa_xor;
    if (backing != BACK_DEVICE || !in_data(addr, size))
        return false;
    if (write)
        device_writes++;
    else
        device_reads++;
    if (write) {
        assert_true(size == 8 || *val >> (size * 8) == 0);
        memcpy(shadow + (addr - (u64)data), val, size);
    } else {
        *val = 0;
        memcpy(val, shadow + (addr - (u64)data), size);
    }
    return true;
}
void hvm_inject_exception(struct vcpu *v, u8 vector, u32 error)
{
    fault.n++;
    fault.vector = vector;
    fault.error = error;
}
void hvm_inject_page_fault(struct vcpu *v, u64 cr2, u32 error)
{
    hvm_inject_exception(v, 14, error);
    fault.cr2 = cr2;
}
void *hvm_xstate(struct vcpu *v, size_t *size)
{
    *size = has_avx ? 832 : 576;
    return xarea;
}
static u64 lapic_gpa = ~0ull;
static u32 lapic_reg[0x400];
static unsigned lapic_writes;
bool vlapic_covers(struct vcpu *v, gpa_t gpa) { return (gpa & PAGE_MASK) == lapic_gpa; }
u32 vlapic_read_reg(struct vcpu *v, unsigned off) { return lapic_reg[(off / 4) & 0x3ff] >> (off & 3) * 8; }
void vlapic_write_reg(struct vcpu *v, unsigned off, u32 val)
{
    lapic_writes++;
    assert_int_equal(off & 3, 0);
    lapic_reg[(off / 4) & 0x3ff] = val;
}
static void get_paging(struct vcpu *v, struct paging_state *p)
{
    *p = (struct paging_state){ .cr0 = st.cr0, .cr3 = st.cr3, .cr4 = st.cr4, .efer = st.efer,
                                .rflags = v->regs.rflags, .cpl = st.seg[SEG_SS].attr >> 5 & 3 };
}
static void get_segment(struct vcpu *v, unsigned seg, struct segment *s) { *s = st.seg[seg]; }
static void skipped(struct vcpu *v) { skips++; }
static const struct hvm_ops ops = { .name = "test", .get_paging = get_paging, .get_segment = get_segment,
                                    .skipped = skipped };
const struct hvm_ops *hvm = &ops;

enum { DATA_SEG = 0xc93, CODE32 = 0xc9b, CODE64 = 0xa9b };
static u64 load(const void *p, unsigned size)
{
    u64 val = 0;
    memcpy(&val, p, size);
    return val;
}
static void store(void *p, u64 val, unsigned size) { memcpy(p, &val, size); }

static void mode(unsigned m)            /* 8: 64-bit, 4: 32-bit protected, 2: real mode */
{
    memset(&st, 0, sizeof(st));
    st.cr0 = m == 2 ? 0x10 : 0x80000011;
    st.cr4 = 0x20;
    st.efer = m == 8 ? 0x500 : 0;
    for (unsigned i = 0; i < SEG_LDTR; i++) {
        st.seg[i] = (struct segment){ .sel = (u16)(8 * i + 8), .attr = DATA_SEG, .limit = ~0u };
        if (m == 2)
            st.seg[i] = (struct segment){ .attr = 0x93, .limit = 0xffff };
    }
    if (m != 2)
        st.seg[SEG_CS].attr = m == 8 ? CODE64 : CODE32;
    memset(&fault, 0, sizeof(fault));
    hole = ~0ull;
    ro_page = ~0ull;
    gpa_xor = 0;
    backing = BACK_DEVICE;
    skips = walks = device_reads = device_writes = 0;
}

static int setup(void **state)
{
    /* Low addresses, so that 32-bit code and absolute operands reach them. */
    code = mmap((void *)0x20000000, 0x40000, PROT_READ | PROT_WRITE | PROT_EXEC,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (code == MAP_FAILED)
        return -1;
    data = code + 0x10000;
    has_avx = __builtin_cpu_supports("avx");
    mode(8);
    return 0;
}

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

static u64 interesting(void)
{
    static const u64 v[] = { 0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff,
                             0x7fffffffffffffff, 0x8000000000000000, ~0ull };

    return rand() % 2 ? v[(unsigned)rand() % ARRAY_SIZE(v)] : (u64)rand() << 42 ^ (u64)rand() << 21 ^ (u64)rand();
}

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

/* ---- by hand ---- */

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
        cmocka_unit_test(decoder_against_zydis), cmocka_unit_test(differential), cmocka_unit_test(lapic_page),
        cmocka_unit_test(lapic_fast_path), cmocka_unit_test(avx_without_avx),
        cmocka_unit_test(unclaimed), cmocka_unit_test(faults), cmocka_unit_test(fetch), cmocka_unit_test(strings),
        cmocka_unit_test(segments), cmocka_unit_test(forced), cmocka_unit_test(fuzz),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
