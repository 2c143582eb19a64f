/* SPDX-License-Identifier: MIT */
/* Ports: handler table, R10, splitting, permission maps, debug port, INS/OUTS. */
#include "hvm_env.h"

static struct { u16 port; unsigned size; bool write; u32 val; } seen[600];
static unsigned nr_seen;
static u32 answer;
static char line[300];
static unsigned lines;

void console_guest_line(struct domain *d, const char *l) { lines++; str_copy(line, l, sizeof(line)); }

static void handler(struct vcpu *vc, u16 port, unsigned size, bool write, u32 *val, void *arg)
{
    assert_true(nr_seen < ARRAY_SIZE(seen));
    seen[nr_seen].port = port;
    seen[nr_seen].size = size;
    seen[nr_seen].write = write;
    seen[nr_seen++].val = *val;
    if (!write) *val = answer++;
}

static int setup_kind(bool hwdom)
{
    hvm_env(hwdom);
    nr_seen = lines = 0;
    answer = 0x11223344;
    return 0;
}
static int setup(void **s) { return setup_kind(false); }
static int setup_dom0(void **s) { return setup_kind(true); }

static u32 in(u16 port, unsigned size)
{
    u32 val = 0xdeadbeef;
    pio_access(v, port, size, false, &val);
    return val;
}
static void out(u16 port, unsigned size, u32 val) { pio_access(v, port, size, true, &val); }

static void test_unclaimed(void **s)
{
    assert_int_equal(in(0x61, 1), 0xff);
    assert_int_equal(in(0x60, 2), 0xffff);
    assert_int_equal(in(0xcf8, 4), 0xffffffff);
    assert_int_equal(in(0xffff, 4), 0xffffffff);
    out(0xcf8, 4, 5);
    assert_int_equal(in(0x42, 1), 0);           /* ends Linux's PIT calibration at once */
}

static void test_handlers(void **s)
{
    assert_int_equal(pio_register(d, 0x100, 0x103, handler, NULL), 0);
    assert_int_equal(pio_register(d, 0x80, 0x80, handler, NULL), 0);
    assert_int_equal(pio_register(d, 0x103, 0x110, handler, NULL), -EEXIST);
    assert_int_equal(pio_register(d, 0xff, 0x100, handler, NULL), -EEXIST);
    assert_int_equal(pio_register(d, 0x10, 0x0f, handler, NULL), -EINVAL);
    assert_int_equal(in(0x100, 4), 0x11223344);
    assert_int_equal(in(0x102, 1), 0x45);       /* masked to its size */
    out(0x101, 2, 0xbeef);
    assert_int_equal(nr_seen, 3);
    assert_int_equal(seen[2].val, 0xbeef);
    assert_true(seen[2].write);
    /* Over the border: byte by byte, the unclaimed ones read FFh. */
    answer = 0xaa;
    assert_int_equal(in(0x102, 4), 0xffffabaa);
    assert_int_equal(in(0x7f, 2), 0xacff);
    out(0x7e, 4, 0x44332211);
    assert_int_equal(seen[nr_seen - 1].port, 0x80);
    assert_int_equal(seen[nr_seen - 1].val, 0x33);
    /* Table full. */
    int rc = 0;
    for (unsigned i = 0; i < 100 && !rc; i++) rc = pio_register(d, (u16)(0x2000 + i), (u16)(0x2000 + i), handler, NULL);
    assert_int_equal(rc, -ENOMEM);
    answer = 0x12;
    assert_int_equal(in(0x2000, 1), 0x12);
}

static void test_default(void **s)
{
    pio_set_default(d, handler, NULL);
    answer = 7;
    assert_int_equal(in(0x3f8, 1), 7);
    assert_int_equal(seen[0].port, 0x3f8);
}

static bool exits(u16 port) { return bit_test(pio_bitmap(d), port); }

static void test_bitmap(void **s)
{
    /* A domain without devices shares one map in which everything exits, whatever is asked. */
    pio_passthrough(d, 0, 0xffff, true);
    for (unsigned p = 0; p <= 0xffff; p++) assert_true(exits((u16)p));
}

static void test_bitmap_dom0(void **s)
{
    assert_true(exits(0x70));
    pio_passthrough(d, 0, 0xffff, true);
    assert_false(exits(0x70));
    assert_false(exits(0xffff));
    assert_true(exits(0xe9));                   /* has a handler */
    assert_int_equal(pio_register(d, 0xcf8, 0xcff, handler, NULL), 0);
    assert_true(exits(0xcf8) && exits(0xcff));
    assert_false(exits(0xcf7) || exits(0xd00));
    pio_passthrough(d, 0xcf8, 0xcf8, true);
    assert_true(exits(0xcf8));
    pio_passthrough(d, 0x20, 0x21, false);
    assert_true(exits(0x20) && exits(0x21));
    /* Accesses that wrap behind port FFFFh always exit (APM 2, 15.10.1). */
    const u8 *m = pio_bitmap(d);
    assert_int_equal(m[8192] & 7, 7);
}

static void test_debug_port(void **s)
{
    for (const char *p = "hi\x01 there\n"; *p; p++) out(0xe9, 1, (u8)*p);
    assert_int_equal(lines, 1);
    assert_string_equal(line, "hi there");
    for (unsigned i = 0; i < 600; i++) out(0xe9, 1, 'x');
    assert_int_equal(lines, 3);                 /* long lines are cut, not lost */
    assert_int_equal(in(0xe9, 1), 0xff);
}

/* ---- INS, OUTS: flat real mode, then limits ---- */
static void flat(void)
{
    struct vcpu_state st;
    hvm->get_state(v, &st);
    for (unsigned i = SEG_ES; i <= SEG_GS; i++)
        st.seg[i] = (struct segment){ .attr = i == SEG_CS ? 0xc9b : 0xc93, .limit = ~0u };
    st.cr0 |= 1;
    assert_int_equal(hvm->set_state(v, &st), 0);
    v->regs.rip = 0x1000;
    v->regs.rflags = 2;
}

static void test_ins(void **s)
{
    flat();
    assert_int_equal(pio_register(d, 0x1f0, 0x1f7, handler, NULL), 0);
    answer = 0x1100;
    v->regs.rcx = 300;
    v->regs.rdi = 0x2fff;                       /* words across a page border */
    unsigned exits_ = 0;
    while (v->regs.rip == 0x1000 && exits_ < 10) {
        pio_string(v, 0x1f0, 2, true, true, 4, SEG_ES, 2);
        exits_++;
    }
    assert_int_equal(exits_, 3);                /* restartable */
    assert_int_equal(v->regs.rip, 0x1002);
    assert_int_equal(v->regs.rcx, 0);
    assert_int_equal(v->regs.rdi, 0x2fff + 600);
    for (unsigned i = 0; i < 300; i++) {
        u16 w;
        assert_int_equal(guest_read_gpa(d, &w, 0x2fff + 2 * i, 2), 0);
        assert_int_equal(w, 0x1100 + i);
    }
}

static void test_outs(void **s)
{
    flat();
    assert_int_equal(pio_register(d, 0x1f0, 0x1f7, handler, NULL), 0);
    u32 data[4] = { 1, 2, 3, 4 };
    assert_int_equal(guest_write_gpa(d, 0x3000, data, sizeof(data)), 0);
    v->regs.rcx = 0xabcd0004;                   /* 16-bit addresses: CX, SI only */
    v->regs.rsi = 0x1234300c;
    v->regs.rflags |= 1u << 10;
    pio_string(v, 0x1f0, 4, false, true, 2, SEG_DS, 2);
    assert_int_equal(nr_seen, 4);
    for (unsigned i = 0; i < 4; i++) assert_int_equal(seen[i].val, 4 - i);
    assert_int_equal(v->regs.rcx, 0xabcd0000);
    assert_int_equal(v->regs.rsi, 0x12342ffc);
    /* Without REP: one element, rCX untouched; REP with a count of 0: nothing. */
    pio_string(v, 0x1f0, 1, false, false, 4, SEG_DS, 1);
    assert_int_equal(nr_seen, 5);
    v->regs.rcx = 0;
    v->regs.rip = 0x1000;
    pio_string(v, 0x1f0, 1, false, true, 4, SEG_DS, 2);
    assert_int_equal(nr_seen, 5);
    assert_int_equal(v->regs.rip, 0x1002);
}

static void test_string_limit(void **s)
{
    struct vcpu_state st;
    flat();
    hvm->get_state(v, &st);
    st.seg[SEG_ES].limit = 0x2003;
    assert_int_equal(hvm->set_state(v, &st), 0);
    assert_int_equal(pio_register(d, 0x1f0, 0x1f7, handler, NULL), 0);
    v->regs.rcx = 4;
    v->regs.rdi = 0x2000;
    pio_string(v, 0x1f0, 2, true, true, 4, SEG_ES, 2);
    struct fake_vcpu *f = fake_vcpu(v);
    assert_int_equal(nr_seen, 2);               /* the port is not read for the element that faults */
    assert_int_equal(f->nr_injected, 1);
    assert_int_equal(f->injected[0].vector, 13);
    assert_int_equal(v->regs.rip, 0x1000);
    assert_int_equal(v->regs.rcx, 2);
}

/* One word from the port to va; what was injected: vector, error code. */
static void ins(u32 va, u8 vector, u32 error)
{
    struct fake_vcpu *f = fake_vcpu(v);
    nr_seen = f->nr_injected = 0;
    v->regs.rip = 0x1000;
    v->regs.rdi = va;
    pio_string(v, 0x1f0, 2, true, false, 4, SEG_ES, 1);
    assert_int_equal(nr_seen, vector ? 0 : 1);  /* a fault loses no data */
    assert_int_equal(f->nr_injected, vector ? 1 : 0);
    if (!vector) return;
    assert_int_equal(f->injected[0].vector, vector);
    if (vector == 14) assert_int_equal(f->injected[0].error, error);
}

/* The memory side has the rights of the code that executes INS, no more. */
static void test_string_rights(void **s)
{
    static const u32 pte[] = { [2] = 0x2003, [3] = 0x3007, [4] = 0x4005 };      /* supervisor, user, user read-only */
    const u32 pde = 0x9007;
    struct vcpu_state st;
    flat();
    assert_int_equal(pio_register(d, 0x1f0, 0x1f7, handler, NULL), 0);
    assert_int_equal(guest_write_gpa(d, 0x8000, &pde, sizeof(pde)), 0);
    assert_int_equal(guest_write_gpa(d, 0x9000, pte, sizeof(pte)), 0);
    hvm->get_state(v, &st);
    st.cr0 |= 1ULL << 31;
    st.cr3 = 0x8000;
    assert_int_equal(hvm->set_state(v, &st), 0);
    ins(0x2000, 0, 0);
    ins(0x4000, 0, 0);                          /* CR0.WP is clear */
    st.seg[SEG_SS].attr = 0xcf3;                /* CPL 3 */
    assert_int_equal(hvm->set_state(v, &st), 0);
    ins(0x3000, 0, 0);
    ins(0x2000, 14, 7);
    ins(0x4000, 14, 7);
    ins(0x5000, 14, 6);
    ins(0x2fff, 14, 7);                         /* the second byte's page is allowed, the first one's not */
    /* A segment that cannot be written, or is not there; without protection segments have no types. */
    st.seg[SEG_ES].attr = 0xcf1;
    assert_int_equal(hvm->set_state(v, &st), 0);
    ins(0x3000, 13, 0);
    st.seg[SEG_ES].attr = 0;
    assert_int_equal(hvm->set_state(v, &st), 0);
    ins(0x3000, 13, 0);
    st.cr0 = 0x10;
    st.seg[SEG_ES].attr = 0x91;
    assert_int_equal(hvm->set_state(v, &st), 0);
    ins(0x3000, 0, 0);
    /* OUTS with SS. */
    st.seg[SEG_SS].limit = 0xfff;
    assert_int_equal(hvm->set_state(v, &st), 0);
    fake_vcpu(v)->nr_injected = 0;
    v->regs.rsi = 0x1000;
    pio_string(v, 0x1f0, 1, false, false, 4, SEG_SS, 2);
    assert_int_equal(fake_vcpu(v)->injected[0].vector, 12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_unclaimed, setup), cmocka_unit_test_setup(test_handlers, setup),
        cmocka_unit_test_setup(test_default, setup), cmocka_unit_test_setup(test_bitmap, setup),
        cmocka_unit_test_setup(test_bitmap_dom0, setup_dom0), cmocka_unit_test_setup(test_debug_port, setup),
        cmocka_unit_test_setup(test_ins, setup), cmocka_unit_test_setup(test_outs, setup),
        cmocka_unit_test_setup(test_string_limit, setup), cmocka_unit_test_setup(test_string_rights, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
