/* SPDX-License-Identifier: MIT */
/* NMIs of the hardware: which stop the machine (nmi=). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "fake.h"
#include "fake_x86.h"
#include "machine_stubs.h"
#include "panic_at.h"
#include "cpu/x86.h"
struct desc_ptr { u16 limit; u64 base; } __packed;
#define lidt(p) ((void)(p))
#include "../../src/cpu/trap.c"

const char trap_stubs[1], irq_stubs[1];
const struct fixup __start_extable[1], __stop_extable[1];
static bool ours;
bool smp_nmi(const struct trap_frame *f) { return ours; }

static u8 port61;
static void ports(u16 port, unsigned size, bool write, u32 *val) { if (port == 0x61 && !write) *val = port61; }

static void reasons(void **state)
{
    static const struct { const char *option; u8 reason; const char *panics; } t[] = {
        { "", 0x80, "NMI: memory or PCI system error" }, { "", 0x40, "NMI: I/O check" }, { "", 0x30, NULL },
        { "nmi=fatal", 0xc0, "NMI: memory or PCI system error" }, { "nmi=ignore", 0x80, NULL }, { "nmi=ignore", 0x40, NULL },
    };
    struct trap_frame f = { 0 };
    fake_machine_init(16, 1);
    fake_port_hook = ports;
    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        cmdline_parse(t[i].option);
        port61 = t[i].reason;
        fake_log_clear();
        bool panicked = fake_expect_panic(nmi(&f));
        assert_int_equal(panicked, t[i].panics != NULL);
        if (panicked) assert_non_null(strstr(fake_panic_text, t[i].panics));
        else assert_non_null(strstr(fake_log, "NMI without a known reason"));
    }
    cmdline_parse("nmi=fatal");
    ours = true;                        /* another CPU sent it */
    port61 = 0x80;
    assert_false(fake_expect_panic(nmi(&f)));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(reasons) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
