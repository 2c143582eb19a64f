/* SPDX-License-Identifier: MIT */
/*
 * QEMU plugin: counts instructions of a hypervisor, from its first one until a test kernel's first one, apart from
 * the time it waits. It looks at the machine from outside, so it treats every hypervisor alike.
 *
 *   -plugin libcount.so,entry=<virtual address of the hypervisor's first instruction>,out=<file>[,profile=<file>]
 *
 * Time is cut into windows of 20,000 instructions. A window is waiting if it has few different code blocks and one
 * of them has what loops that wait have: RDTSC, PAUSE, IN, or a read of a timer's register page (which cannot be
 * seen in the code, so HPET loops count only with PAUSE or RDTSC). Test kernels begin with the instruction MARK.
 * out gets: total, waited (instructions from entry to MARK). profile gets "address instructions slow" of every block;
 * with profile_after=1 those between pairs of the instruction TOGGLE (`profile=<operation>` on the bench kernel's command
 * line puts them around one operation).
 */
#include "plugin.h"

static const unsigned char MARK[] = { 0x0f, 0x1f, 0x80, 'H', 'e', 'l', 'i' };   /* nopl 0x696c6548(%rax) */
static const unsigned char TOGGLE[] = { 0x0f, 0x1f, 0x80, 'P', 'r', 'o', 'f' };
#define WINDOW 20000
#define FEW_BLOCKS 16

struct block {
    struct block *next;
    uint64_t addr, count, window;
    unsigned insns;
    bool slow, mark, toggle;        /* has RDTSC, PAUSE or IN; begins with MARK or TOGGLE */
};
static struct block *all;
static uint64_t entry, total, waited, in_window, window = 1;
static unsigned distinct;
static bool running, done, window_slow, profile_after, toggled;
static const char *out_file, *profile_file;

static void write_profile(void)
{
    FILE *f = profile_file ? fopen(profile_file, "w") : NULL;

    if (!f)
        return;
    for (struct block *b = all; b; b = b->next)
        if (b->count)
            fprintf(f, "%" PRIx64 " %" PRIu64 " %d\n", b->addr, b->count * b->insns, b->slow);
    fclose(f);
}

static void report(void)
{
    FILE *f = fopen(out_file, "w");

    if (f) {
        fprintf(f, "%" PRIu64 " %" PRIu64 "\n", total, waited);
        fclose(f);
    }
    if (!profile_after)
        write_profile();
    for (struct block *b = all; profile_after && b; b = b->next)
        b->count = 0;
}

static void executed(unsigned cpu, void *arg)
{
    struct block *b = arg;

    (void)cpu;
    if (profile_after && done) {
        if (b->toggle) {
            toggled = !toggled;
            if (!toggled)
                write_profile();
        } else if (toggled) {
            b->count++;
        }
        return;
    }
    if (!running) {
        if (done || b->addr != entry)
            return;
        running = true;
    }
    if (b->mark) {
        running = false;
        done = true;
        report();
        return;
    }
    b->count++;
    total += b->insns;
    if (b->window != window) {
        b->window = window;
        distinct++;
    }
    window_slow |= b->slow;
    in_window += b->insns;
    if (in_window >= WINDOW) {
        if (distinct <= FEW_BLOCKS && window_slow)
            waited += in_window;
        in_window = distinct = window_slow = 0;
        window++;
    }
}

static bool is_slow(const unsigned char *c, size_t n)
{
    if (n == 2 && ((c[0] == 0x0f && c[1] == 0x31) || (c[0] == 0xf3 && c[1] == 0x90) || c[0] == 0xe4 || c[0] == 0xe5))
        return true;
    if (n == 3 && c[0] == 0x0f && c[1] == 0x01 && c[2] == 0xf9)
        return true;
    return (n == 1 && (c[0] == 0xec || c[0] == 0xed)) || (n == 2 && c[0] == 0x66 && c[1] == 0xed);
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    struct block *b = calloc(1, sizeof(*b));

    (void)id;
    if (!b)
        abort();
    b->addr = qemu_plugin_tb_vaddr(tb);
    b->insns = (unsigned)qemu_plugin_tb_n_insns(tb);
    for (unsigned i = 0; i < b->insns; i++) {
        const struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        const unsigned char *c = qemu_plugin_insn_data(insn);
        size_t n = qemu_plugin_insn_size(insn);
        b->slow |= is_slow(c, n);
        if (i == 0 && n == sizeof(MARK)) {
            b->mark = !memcmp(c, MARK, n);
            b->toggle = !memcmp(c, TOGGLE, n);
        }
    }
    b->next = all;
    all = b;
    if (!done || profile_after)
        qemu_plugin_register_vcpu_tb_exec_cb(tb, executed, QEMU_PLUGIN_CB_NO_REGS, b);
}

int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info_t *info, int argc, char **argv)
{
    (void)info;
    for (int i = 0; i < argc; i++) {
        if (!strncmp(argv[i], "entry=", 6))
            entry = strtoull(argv[i] + 6, NULL, 0);
        else if (!strncmp(argv[i], "out=", 4))
            out_file = argv[i] + 4;
        else if (!strncmp(argv[i], "profile=", 8))
            profile_file = argv[i] + 8;
        else if (!strcmp(argv[i], "profile_after=1"))
            profile_after = true;
    }
    if (!entry || !out_file)
        return -1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    return 0;
}
