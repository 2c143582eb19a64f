/* SPDX-License-Identifier: MIT */
/*
 * QEMU plugin: which instructions of a hypervisor were executed. Code blocks whose virtual address lies in
 * [start, end) are noted when they first run; a block that an exception leaves early counts as a whole.
 *
 *   -plugin libcover.so,start=<address>,end=<address>,out=<file>
 *
 * At the machine's end `out` gets one line "address bytes" for each stretch.
 */
#include "plugin.h"

struct block { uint64_t start, bytes; bool seen; };
static uint64_t start, end;
static unsigned char *hit;                      /* a byte for each byte of code */
static const char *out_file;

/* Several CPUs may come here at once: they write the same. */
static void executed(unsigned cpu, void *arg)
{
    struct block *b = arg;

    (void)cpu;
    if (b->seen)
        return;
    memset(hit + (b->start - start), 1, b->bytes);
    b->seen = true;
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    uint64_t at = qemu_plugin_tb_vaddr(tb);
    size_t n = qemu_plugin_tb_n_insns(tb);
    const struct qemu_plugin_insn *last = qemu_plugin_tb_get_insn(tb, n - 1);
    uint64_t stop = qemu_plugin_insn_vaddr(last) + qemu_plugin_insn_size(last);

    (void)id;
    if (at < start || stop > end || stop <= at)
        return;
    struct block *b = calloc(1, sizeof(*b));
    if (!b)
        abort();
    b->start = at;
    b->bytes = stop - at;
    qemu_plugin_register_vcpu_tb_exec_cb(tb, executed, QEMU_PLUGIN_CB_NO_REGS, b);
}

static void report(qemu_plugin_id_t id, void *arg)
{
    FILE *f = fopen(out_file, "w");

    (void)id;
    (void)arg;
    for (uint64_t i = 0; f && i < end - start; i++) {
        uint64_t n = 0;
        while (i + n < end - start && hit[i + n])
            n++;
        if (n)
            fprintf(f, "%" PRIx64 " %" PRIu64 "\n", start + i, n);
        i += n;
    }
    if (f)
        fclose(f);
}

int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info_t *info, int argc, char **argv)
{
    (void)info;
    for (int i = 0; i < argc; i++) {
        if (!strncmp(argv[i], "start=", 6))
            start = strtoull(argv[i] + 6, NULL, 0);
        else if (!strncmp(argv[i], "end=", 4))
            end = strtoull(argv[i] + 4, NULL, 0);
        else if (!strncmp(argv[i], "out=", 4))
            out_file = argv[i] + 4;
    }
    if (start >= end || !out_file || !(hit = calloc(1, end - start)))
        return -1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, report, NULL);
    return 0;
}
