/* SPDX-License-Identifier: MIT */
/* How the machine is reset, and in which order ways are tried (reboot=). */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "fake.h"
#include "fake_x86.h"
#include "debug/internal.h"
/* The stubs but for what is tested. */
#define machine_reboot not_this_reboot
#define machine_halt not_this_halt
#define machine_poweroff not_this_poweroff
void not_this_reboot(void) __noreturn;
void not_this_halt(void) __noreturn;
void not_this_poweroff(void) __noreturn;
#include "machine_stubs.h"
#undef machine_reboot
#undef machine_halt
#undef machine_poweroff
#include "cpu/x86.h"
static void no_lidt(void);
struct desc_ptr { u16 limit; u64 base; } __packed;
#define lidt(p) ((void)(p), no_lidt())
#include "../../src/debug/power.c"

bool percpu_ready;
void smp_stop_others(void) {}

/* Each way leaves its letter; the machine is gone after the fourth. */
static char seen[8];
static unsigned nr;
static jmp_buf gone;
static void way(char c)
{
    if (nr && seen[nr - 1] == c) return;
    seen[nr++] = c;
    if (nr == 4) longjmp(gone, 1);
}
static void no_lidt(void) { way('t'); }
static void trapped(int sig) {}         /* INT3, which needs the table that is gone */
static void ports(u16 port, unsigned size, bool write, u32 *val)
{
    *val = write ? *val : 0;
    if (!write) return;
    if (port == 0x64 && *val == 0xfe) way('k');
    if (port == 0xcf9 && *val == 6) way('p');
    if (port == 0xb2 && *val == 0x5a) way('a');
}

static void order(void **state)
{
    static const char *const t[][2] = {
        { "", "apkt" }, { "acpi", "apkt" }, { "pci", "papk" }, { "kbd", "kapk" }, { "triple", "tapk" }, { "what", "apkt" },
    };
    fake_machine_init(16, 1);
    fake_port_hook = ports;
    signal(SIGTRAP, trapped);
    for (volatile unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        acpi_fadt = (struct acpi_fadt_info){ .reset_addr = 0xb2, .reset_space = 1, .reset_value = 0x5a };
        str_copy(opt_reboot, t[i][0], sizeof(opt_reboot));
        memset(seen, 0, sizeof(seen));
        nr = 0;
        if (!setjmp(gone)) try_ways();
        assert_string_equal(seen, t[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(order) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
