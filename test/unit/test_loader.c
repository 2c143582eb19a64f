/* SPDX-License-Identifier: MIT */
/* loader/: every compression format as the kernel's build makes it, damaged payloads, the streaming ELF sink. */
#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>
#include "../../loader/decompress.c"
#include "../../loader/sink.c"
#include <cmocka.h>
#include <xen/elfnote.h>

/* Like the loader itself, the code frees nothing on its way to an error. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "detect_leaks=0"; }

#define MEM MiB(4)
#define ELF_SIZE 300000u
static u8 elf[ELF_SIZE], mem[MEM];

static void make_elf(void)
{
    Elf64_Ehdr *e = (Elf64_Ehdr *)elf;
    Elf64_Phdr *p = (Elf64_Phdr *)(elf + 64);
    struct { Elf32_Nhdr h; char name[4]; u64 v; } __packed n = { { 4, 8, XEN_ELFNOTE_PHYS32_ENTRY }, "Xen",
        MiB(1) + 0x850 };
    unsigned i;

    srand(3);
    for (i = 0; i < ELF_SIZE; i++)              /* compressible, with x86 calls for the BCJ filter */
        elf[i] = i % 64 < 40 ? (u8)(i / 640) : i % 64 == 41 ? 0xe8 : (u8)(rand() & 15);
    memset(elf, 0, 4096);
    memcpy(e->e_ident, ELFMAG, SELFMAG);
    e->e_ident[EI_CLASS] = ELFCLASS64;
    e->e_ident[EI_DATA] = ELFDATA2LSB;
    e->e_type = ET_EXEC; e->e_machine = EM_X86_64; e->e_phoff = 64; e->e_phnum = 3; e->e_phentsize = sizeof(*p);
    p[0] = (Elf64_Phdr){ .p_type = PT_LOAD, .p_offset = 0x1000, .p_paddr = MiB(1), .p_filesz = 200000,
        .p_memsz = 200000 };
    p[1] = (Elf64_Phdr){ .p_type = PT_LOAD, .p_offset = 0x33000, .p_paddr = MiB(2), .p_filesz = ELF_SIZE - 0x33000,
                         .p_memsz = MiB(1) };
    p[2] = (Elf64_Phdr){ .p_type = PT_NOTE, .p_offset = 0x20ff0, .p_filesz = sizeof(n) };
    memcpy(elf + 0x20ff0, &n, sizeof(n));
}

static void init_sink(struct sink *s)
{
    memset(s, 0, sizeof(*s));
    memset(mem, 0xcc, sizeof(mem));
    s->base = mem;
    s->window_start = MiB(1);
    s->window_end = MiB(4);
}

static void check_loaded(const struct sink *s)
{
    u64 i;

    assert_int_equal(s->entry, MiB(1) + 0x850);
    assert_memory_equal(mem + MiB(1), elf + 0x1000, 200000);
    assert_memory_equal(mem + MiB(2), elf + 0x33000, ELF_SIZE - 0x33000);
    for (i = ELF_SIZE - 0x33000; i < MiB(1); i++)
        assert_int_equal(mem[MiB(2) + i], 0);
    assert_int_equal(mem[MiB(1) - 1], 0xcc);
    assert_int_equal(mem[MiB(3)], 0xcc);
}

/* Run a tool as the kernel's build does; returns the payload with its size appended. */
static u8 *pack(const char *tool, u64 *len, bool append)
{
    char in[] = "/tmp/ldrXXXXXX", cmd[300], out[64];
    u32 size = ELF_SIZE;
    FILE *f;
    u8 *buf = malloc(ELF_SIZE * 2);
    int fd = mkstemp(in);

    assert_true(fd >= 0 && write(fd, elf, ELF_SIZE) == ELF_SIZE);
    close(fd);
    snprintf(out, sizeof(out), "%s.out", in);
    snprintf(cmd, sizeof(cmd), "%s < %s > %s", tool, in, out);
    assert_int_equal(system(cmd), 0);
    f = fopen(out, "rb");
    *len = fread(buf, 1, ELF_SIZE * 2 - 4, f);
    fclose(f);
    unlink(in);
    unlink(out);
    if (append) {
        memcpy(buf + *len, &size, 4);
        *len += 4;
    }
    return buf;
}

static const struct { const char *tool; bool append; } tools[] = {
    { "xz --check=crc32 --x86 --lzma2=,dict=32MiB", true }, { "xz", true }, { "gzip -n -9", false },
    { "zstd -q -22 --ultra", true }, { "lz4 -l -9 -q", true }, { "bzip2 -9", true }, { "lzma -9", true },
    { "cat", false },
};

static void formats_work(void **st)
{
    static struct sink s;
    u64 len;
    unsigned i;

    for (i = 0; i < ARRAY_SIZE(tools); i++) {
        u8 *p = pack(tools[i].tool, &len, tools[i].append);
        init_sink(&s);
        assert_int_equal(decompress(p, len, &s), LOADER_OK);
        assert_int_equal(sink_finish(&s), LOADER_OK);
        check_loaded(&s);
        free(p);
    }
}

/* Whatever is done to the bytes: no crash, nothing outside of the window. */
static void damage(void **st)
{
    static struct sink s;
    unsigned i, k, j;
    u64 len;

    srand(4);
    for (i = 0; i < ARRAY_SIZE(tools); i++) {
        u8 *p = pack(tools[i].tool, &len, tools[i].append);
        for (k = 0; k < 12; k++) {
            u64 n = k % 3 ? len : (u64)rand() % len;
            u8 *q = malloc(n + 4);
            memcpy(q, p, n);
            for (j = 0; n && j < 4; j++)
                q[(u64)rand() % n] = (u8)rand();
            if (n >= 4)
                memcpy(q + n - 4, p + len - 4, k & 1 ? 4 : 0);
            init_sink(&s);
            if (decompress(q, n, &s) == LOADER_OK)
                sink_finish(&s);
            assert_int_equal(mem[MiB(1) - 1], 0xcc);
            free(q);
        }
        free(p);
    }
}

static void refusals(void **st)
{
    static struct sink s;
    u8 lzo[32] = { 0x89, 'L', 'Z', 'O' }, other[32] = "nonsense";

    init_sink(&s);
    assert_int_equal(decompress(lzo, 32, &s), LOADER_LZO);
    init_sink(&s);
    assert_int_equal(decompress(other, 32, &s), LOADER_FORMAT);
    init_sink(&s);
    s.window_start = MiB(2);
    assert_int_equal(decompress(elf, ELF_SIZE, &s), LOADER_OUTSIDE);
    init_sink(&s);
    elf[0x20ff0 + 8] = 99;
    assert_int_equal(decompress(elf, ELF_SIZE, &s), LOADER_OK);
    assert_int_equal(sink_finish(&s), LOADER_NO_NOTE);
    make_elf();
}

static void pieces(void **st)
{
    static struct sink s;
    unsigned k;

    srand(5);
    for (k = 0; k < 30; k++) {
        u64 pos = 0, n;
        init_sink(&s);
        s.total = ELF_SIZE;
        while (pos < ELF_SIZE) {
            n = MIN((u64)(1 + rand() % (k < 10 ? 100 : 9000)), ELF_SIZE - pos);
            assert_true(sink_write(&s, elf + pos, n));
            pos += n;
        }
        assert_int_equal(sink_finish(&s), LOADER_OK);
        check_loaded(&s);
    }
    init_sink(&s);
    s.total = ELF_SIZE;
    sink_write(&s, elf, ELF_SIZE - 1);
    assert_int_equal(sink_finish(&s), LOADER_SHORT);
}

static void bzimage(void **st)
{
    static u8 f[2048];
    const u8 *p;
    u64 len;
    u32 off = 0x10, n = 100;

    f[0x1f1] = 1;
    memcpy(f + 0x248, &off, 4);
    memcpy(f + 0x24c, &n, 4);
    assert_int_equal(bzimage_payload(f, sizeof(f), &p, &len), LOADER_OK);
    assert_int_equal(p - f, 1024 + 16);
    assert_int_equal(len, 100);
    assert_int_equal(bzimage_payload(f, 1100, &p, &len), LOADER_BAD_FILE);
    assert_int_equal(bzimage_payload(f, 100, &p, &len), LOADER_BAD_FILE);
    off = ~0u;
    memcpy(f + 0x248, &off, 4);
    assert_int_equal(bzimage_payload(f, sizeof(f), &p, &len), LOADER_BAD_FILE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_work), cmocka_unit_test(damage), cmocka_unit_test(refusals),
            cmocka_unit_test(pieces),
        cmocka_unit_test(bzimage),
    };
    make_elf();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
