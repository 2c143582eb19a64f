/* SPDX-License-Identifier: MIT */
/* MMIO ranges and the decisions about second-stage faults. */
#include "hvm_env.h"
#include "mm/p2m.h"

static unsigned calls, emulations;
static gpa_t last;
static enum emul_result emul_answer;

/* The emulator and crashing are somebody else's; here they only count. */
enum emul_result emulate_mmio(struct vcpu *vc, gpa_t gpa, bool write) { emulations++; return emul_answer; }
unsigned emul_fetch(struct vcpu *vc, u8 *buf, unsigned max) { memset(buf, 0x90, max); return max; }
unsigned emul_insn_len(struct vcpu *vc, const u8 *opcode, unsigned n) { return n; }
void hvm_skip(struct vcpu *vc, unsigned len) { vc->regs.rip += len; }

static void handler(struct vcpu *vc, gpa_t addr, unsigned size, bool write, u64 *val, void *arg)
{
    calls++;
    last = addr;
    if (!write) *val = 0x1122334455667788ULL;
}

static int setup(void **s)
{
    hvm_env(false);
    calls = emulations = 0;
    emul_answer = EMUL_DONE;
    return 0;
}

static void test_ranges(void **s)
{
    u64 val;
    assert_int_equal(mmio_register(d, 0xe0000000, 0xe0001000, handler, NULL), 0);
    assert_int_equal(mmio_register(d, 0xd0000000, 0xd0000100, handler, NULL), 0);
    assert_int_equal(mmio_register(d, 0xe0000fff, 0xe0002000, handler, NULL), -EEXIST);
    assert_int_equal(mmio_register(d, 0xdfffffff, 0xe0000001, handler, NULL), -EEXIST);
    assert_int_equal(mmio_register(d, 0xe0000000, 0xe0000000, handler, NULL), -EINVAL);
    assert_true(mmio_access(v, 0xe0000ff8, 8, false, &val));
    assert_true(val == 0x1122334455667788ULL);
    assert_true(mmio_access(v, 0xe0000ffe, 2, false, &val));
    assert_true(val == 0x7788);
    assert_false(mmio_access(v, 0xe0000fff, 2, false, &val));  /* not all of it is covered */
    assert_false(mmio_access(v, 0xdfffffff, 1, false, &val));
    assert_false(mmio_access(v, ~0ULL, 8, false, &val));
    assert_true(mmio_access(v, 0xd00000fc, 4, true, &val));
    mmio_unregister(d, 0xd0000000);
    mmio_unregister(d, 0xd0000000);
    assert_false(mmio_access(v, 0xd00000fc, 4, true, &val));
    assert_true(mmio_access(v, 0xe0000000, 1, false, &val));
    int rc = 0;
    for (unsigned i = 0; i < 300 && !rc; i++)
        rc = mmio_register(d, 0x100000000 + i * 0x1000, 0x100000000 + i * 0x1000 + 16, handler, NULL);
    assert_int_equal(rc, -ENOMEM);
}

static void test_lapic_page(void **s)
{
    u64 val = 0x50;
    assert_true(mmio_access(v, 0xfee00080, 4, true, &val));
    assert_true(mmio_access(v, 0xfee00080, 4, false, &val));
    assert_int_equal(val, 0x50);
    assert_true(mmio_access(v, 0xfee00030, 1, false, &val));
    assert_int_equal(val, 0x14);
    assert_true(mmio_access(v, 0xfee00032, 2, false, &val));
    assert_int_equal(val, 5);
    val = 0x70;
    assert_true(mmio_access(v, 0xfee00080, 1, true, &val));    /* narrow and displaced writes have no effect */
    assert_true(mmio_access(v, 0xfee00084, 4, true, &val));
    assert_true(mmio_access(v, 0xfee00080, 8, true, &val));
    assert_true(mmio_access(v, 0xfee00080, 4, false, &val));
    assert_int_equal(val, 0x50);
    assert_true(mmio_access(v, 0xfee00084, 4, false, &val));
    assert_int_equal(val, 0);
}

static void fault(gpa_t gpa, u64 ec) { hvm_npf(v, gpa, ec); }

static void test_npf(void **s)
{
    struct fake_vcpu *f = fake_vcpu(v);
    unsigned flushes = f->flushes;
    fault(0x5000, NPF_PRESENT | NPF_WRITE);                     /* RAM: spurious, try again */
    assert_int_equal(f->flushes, flushes + 1);
    assert_int_equal(emulations, 0);
    fault(0xfee00300, NPF_WRITE);
    assert_int_equal(emulations, 1);
    fault(0xc0000000, 0);
    assert_int_equal(emulations, 2);
    fault(0xc0000000, NPF_FETCH);                               /* FF FF: #UD */
    assert_int_equal(emulations, 2);
    assert_int_equal(f->nr_injected, 1);
    assert_int_equal(f->injected[0].vector, 6);
    fault(0xc0000000, NPF_TABLE);
    assert_int_equal(crashes, 1);
    fault(0xfee00000, NPF_TABLE | NPF_WRITE);
    assert_int_equal(crashes, 2);
    emul_answer = EMUL_UNHANDLED;
    fault(0xc0000000, NPF_WRITE);
    assert_int_equal(crashes, 3);
    emul_answer = EMUL_EXCEPTION;
    fault(0xc0000000, NPF_WRITE);
    assert_int_equal(crashes, 3);
}

static void test_npf_rom(void **s)
{
    assert_int_equal(p2m_set_ram_type(d, GFN(3), P2M_RAM_RO), 0);
    fault(0x3000, NPF_PRESENT | NPF_WRITE);
    assert_int_equal(emulations, 1);                            /* write is discarded by the emulator */
    fault(0x3000, NPF_PRESENT);
    assert_int_equal(emulations, 1);
    fault(0x3000, NPF_PRESENT | NPF_WRITE | NPF_TABLE);         /* A/D bits in a ROM */
    assert_int_equal(crashes, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_ranges, setup), cmocka_unit_test_setup(test_lapic_page, setup),
        cmocka_unit_test_setup(test_npf, setup), cmocka_unit_test_setup(test_npf_rom, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
