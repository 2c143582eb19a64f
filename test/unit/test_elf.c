/* SPDX-License-Identifier: MIT */
/* lib/elf.c: good files of both classes, every kind of bad file, truncation at each byte, random damage. */
#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "lib/elf.h"
#include <xen/elfnote.h>

#define FILE_SIZE 0x3000
static u8 file[FILE_SIZE];

struct note { Elf32_Nhdr h; char name[4]; u64 value; } __attribute__((packed));

/* Two load segments, out of order, and a note segment; note inside the first segment. */
static void make64(void)
{
    Elf64_Ehdr *e = (Elf64_Ehdr *)file;
    Elf64_Phdr *p = (Elf64_Phdr *)(file + 64);
    struct note n = { { 4, 8, XEN_ELFNOTE_PHYS32_ENTRY }, "Xen", 0x100040 };

    memset(file, 0, sizeof(file));
    memcpy(e->e_ident, ELFMAG, SELFMAG);
    e->e_ident[EI_CLASS] = ELFCLASS64;
    e->e_ident[EI_DATA] = ELFDATA2LSB;
    e->e_type = ET_EXEC;
    e->e_machine = EM_X86_64;
    e->e_phoff = 64;
    e->e_phnum = 3;
    e->e_phentsize = sizeof(*p);
    p[0] = (Elf64_Phdr){ .p_type = PT_LOAD, .p_offset = 0x2000, .p_paddr = 0x200000, .p_filesz = 0x800,
        .p_memsz = 0x5000 };
    p[1] = (Elf64_Phdr){ .p_type = PT_NOTE, .p_offset = 0x1100, .p_filesz = sizeof(n) };
    p[2] = (Elf64_Phdr){ .p_type = PT_LOAD, .p_offset = 0x1000, .p_paddr = 0x100000, .p_filesz = 0x1000,
        .p_memsz = 0x1000 };
    memcpy(file + 0x1100, &n, sizeof(n));
}

static void good64(void **st)
{
    struct elf_info e;
    struct elf_xen_notes n = { 0 };

    make64();
    assert_null(elf_parse(&e, file, FILE_SIZE, FILE_SIZE));
    assert_int_equal(e.nr_loads, 2);
    assert_int_equal(e.load[0].paddr, 0x100000);    /* sorted by offset */
    assert_int_equal(e.load[1].memsz, 0x5000);
    assert_int_equal(e.start, 0x100000);
    assert_int_equal(e.end, 0x205000);
    assert_int_equal(e.nr_notes, 1);
    elf_scan_notes(&n, file + e.note[0].offset, e.note[0].filesz);
    assert_true(n.has_entry);
    assert_int_equal(n.phys32_entry, 0x100040);
}

static void good32(void **st)
{
    Elf32_Ehdr *e = (Elf32_Ehdr *)file;
    Elf32_Phdr *p = (Elf32_Phdr *)(file + 52);
    struct elf_info i;

    memset(file, 0, sizeof(file));
    memcpy(e->e_ident, ELFMAG, SELFMAG);
    e->e_ident[EI_CLASS] = ELFCLASS32;
    e->e_ident[EI_DATA] = ELFDATA2LSB;
    e->e_type = ET_EXEC;
    e->e_machine = EM_386;
    e->e_phoff = 52;
    e->e_phnum = 1;
    e->e_phentsize = sizeof(*p);
    p[0] = (Elf32_Phdr){ .p_type = PT_LOAD, .p_offset = 0x1000, .p_paddr = 0x100000, .p_filesz = 0x10,
        .p_memsz = 0x1000 };
    assert_null(elf_parse(&i, file, FILE_SIZE, FILE_SIZE));
    assert_false(i.is64);
    assert_int_equal(i.end, 0x101000);
}

static void bad(void **st)
{
    Elf64_Ehdr *e = (Elf64_Ehdr *)file;
    Elf64_Phdr *p = (Elf64_Phdr *)(file + 64);
    struct elf_info i;
#define REFUSED(change) do { make64(); change; assert_non_null(elf_parse(&i, file, FILE_SIZE, FILE_SIZE)); } while (0)
    REFUSED(file[0] = 0);
    REFUSED(e->e_ident[EI_CLASS] = 3);
    REFUSED(e->e_ident[EI_DATA] = ELFDATA2MSB);
    REFUSED(e->e_machine = EM_AARCH64);
    REFUSED(e->e_type = ET_REL);
    REFUSED(e->e_phnum = 0);
    REFUSED(e->e_phnum = 0xffff);
    REFUSED(e->e_phentsize = 8);
    REFUSED(e->e_phoff = FILE_SIZE - 8);
    REFUSED(e->e_phoff = ~0ULL - 8);
    REFUSED(p[0].p_filesz = ~0ULL);
    REFUSED(p[0].p_offset = ~0ULL);
    REFUSED(p[0].p_filesz = 0x5001);
    REFUSED(p[0].p_memsz = ~0ULL);
    REFUSED(p[0].p_paddr = ~0ULL - 0x100);
    REFUSED(p[0].p_paddr = 0x100fff);           /* overlap */
    REFUSED(p[0].p_type = PT_NULL; p[2].p_type = PT_NULL);
    REFUSED(p[1].p_offset = FILE_SIZE);         /* note outside */
    for (unsigned n = ELF_MAX_LOADS; n <= ELF_MAX_LOADS + 1; n++) {
        make64();
        e->e_phnum = (u16)n;
        for (unsigned k = 0; k < n; k++)
            p[k] = (Elf64_Phdr){ .p_type = PT_LOAD, .p_offset = 0x2000, .p_paddr = 0x200000 + 0x1000 * k, .p_memsz = 16 };
        const char *why = elf_parse(&i, file, FILE_SIZE, FILE_SIZE);
        assert_int_equal(why && strstr(why, "too many"), n > ELF_MAX_LOADS);
    }
}

static void damaged(void **st)
{
    struct elf_info i;
    unsigned k, j, len;
    u8 *copy;

    for (len = 0; len < 0x140; len++) {         /* heads of every length, exactly sized for ASan */
        make64();
        copy = malloc(len ? len : 1);
        memcpy(copy, file, len);
        elf_parse(&i, copy, len, FILE_SIZE);
        free(copy);
    }
    srand(1);
    for (k = 0; k < 20000; k++) {
        make64();
        for (j = 0; j < 4; j++)
            file[rand() % 240] = (u8)rand();
        if (elf_parse(&i, file, FILE_SIZE, FILE_SIZE))
            continue;
        for (j = 0; j < i.nr_loads; j++) {
            assert_true(i.load[j].offset + i.load[j].filesz <= FILE_SIZE);
            assert_true(i.load[j].filesz <= i.load[j].memsz);
            assert_true(i.load[j].paddr + i.load[j].memsz <= GiB(4));
        }
    }
}

static void notes(void **st)
{
    struct elf_xen_notes n;
    u8 raw[64], *copy;
    unsigned k, len, j;

    srand(2);
    for (k = 0; k < 20000; k++) {
        struct note good = { { 4, 8, XEN_ELFNOTE_PHYS32_ENTRY }, "Xen", 1 };
        memcpy(raw, &good, sizeof(good));
        memcpy(raw + sizeof(good), &good, sizeof(good));
        for (j = 0; j < 2; j++)
            raw[rand() % 48] = (u8)rand();
        len = (unsigned)rand() % 48;
        copy = malloc(len + 1);
        memcpy(copy, raw, len);
        memset(&n, 0, sizeof(n));
        elf_scan_notes(&n, copy, len);
        free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good64), cmocka_unit_test(good32), cmocka_unit_test(bad), cmocka_unit_test(damaged),
        cmocka_unit_test(notes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
