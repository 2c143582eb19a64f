/* SPDX-License-Identifier: MIT */
/* ELF headers and Xen notes; field layout: System V ABI, chapter "Object Files". */
#include "lib/elf.h"
#include <elf.h>
#include <xen/elfnote.h>

/* Also built into the loader, where lib.h's logging does not exist. */
extern void *memcpy(void *d, const void *s, size_t n);
extern int memcmp(const void *a, const void *b, size_t n);

bool elf_is_elf(const void *head, u64 avail)
{
    return avail >= EI_NIDENT && !memcmp(head, ELFMAG, SELFMAG);
}

/* One program header in 64-bit form. */
static void read_phdr(const u8 *p, bool is64, Elf64_Phdr *out)
{
    Elf32_Phdr p32;

    if (is64) {
        memcpy(out, p, sizeof(*out));
        return;
    }
    memcpy(&p32, p, sizeof(p32));
    *out = (Elf64_Phdr){ .p_type = p32.p_type, .p_offset = p32.p_offset, .p_paddr = p32.p_paddr,
                         .p_filesz = p32.p_filesz, .p_memsz = p32.p_memsz };
}

/* File header: position, number and size of the program headers. */
static const char *read_ehdr(const u8 *head, u64 avail, bool *is64, u64 *phoff, unsigned *phnum)
{
    Elf64_Ehdr h64;
    Elf32_Ehdr h32;
    unsigned entsize, machine, type;

    if (!elf_is_elf(head, avail))
        return "not an ELF file";
    if (head[EI_DATA] != ELFDATA2LSB)
        return "ELF file is not little-endian";
    *is64 = head[EI_CLASS] == ELFCLASS64;
    if (!*is64 && head[EI_CLASS] != ELFCLASS32)
        return "ELF file has an unknown class";
    if (avail < (*is64 ? sizeof(h64) : sizeof(h32)))
        return "ELF header is truncated";
    if (*is64) {
        memcpy(&h64, head, sizeof(h64));
        *phoff = h64.e_phoff; *phnum = h64.e_phnum; entsize = h64.e_phentsize;
        machine = h64.e_machine; type = h64.e_type;
    } else {
        memcpy(&h32, head, sizeof(h32));
        *phoff = h32.e_phoff; *phnum = h32.e_phnum; entsize = h32.e_phentsize;
        machine = h32.e_machine; type = h32.e_type;
    }
    if (machine != EM_X86_64 && machine != EM_386)
        return "ELF file is not for x86";
    if (type != ET_EXEC && type != ET_DYN)
        return "ELF file is not executable";
    if (!*phnum || entsize != (*is64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr)))
        return "ELF file has no usable program headers";
    if (*phoff > avail || (u64)*phnum * entsize > avail - *phoff)
        return "ELF program headers lie outside the start of the file";
    return NULL;
}

static const char *add_load(struct elf_info *e, const Elf64_Phdr *p)
{
    struct elf_segment s = { p->p_offset, p->p_filesz, p->p_paddr, p->p_memsz };
    unsigned i;

    if (!s.memsz)
        return NULL;
    if (s.filesz > s.memsz)
        return "ELF segment has more file than memory";
    if (s.paddr >= GiB(4) || s.memsz > GiB(4) - s.paddr)
        return "ELF segment does not fit below 4 GiB";
    if (e->nr_loads == ELF_MAX_LOADS)
        return "ELF file has too many load segments";
    for (i = 0; i < e->nr_loads; i++)
        if (s.paddr < e->load[i].paddr + e->load[i].memsz && e->load[i].paddr < s.paddr + s.memsz)
            return "ELF segments overlap in memory";
    for (i = e->nr_loads++; i > 0 && e->load[i - 1].offset > s.offset; i--)
        e->load[i] = e->load[i - 1];
    e->load[i] = s;
    e->start = e->nr_loads == 1 ? s.paddr : MIN(e->start, s.paddr);
    e->end = MAX(e->end, s.paddr + s.memsz);
    return NULL;
}

const char *elf_parse(struct elf_info *e, const void *head, u64 avail, u64 size)
{
    const char *why;
    unsigned phnum = 0, i;
    u64 phoff = 0;
    Elf64_Phdr p;

    *e = (struct elf_info){ 0 };
    why = read_ehdr(head, avail, &e->is64, &phoff, &phnum);
    if (why)
        return why;
    for (i = 0; i < phnum; i++) {
        read_phdr((const u8 *)head + phoff + i * (e->is64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr)), e->is64, &p);
        if (p.p_type != PT_LOAD && p.p_type != PT_NOTE)
            continue;
        if (p.p_offset > size || p.p_filesz > size - p.p_offset)
            return "ELF file is truncated: a segment ends after the file";
        if (p.p_type == PT_LOAD)
            why = add_load(e, &p);
        else if (e->nr_notes < ELF_MAX_NOTES)
            e->note[e->nr_notes++] = (struct elf_segment){ p.p_offset, p.p_filesz, p.p_paddr, p.p_memsz };
        if (why)
            return why;
    }
    return e->nr_loads ? NULL : "ELF file has nothing to load";
}

static u64 note_number(const u8 *desc, u32 len)
{
    u64 v = 0;

    memcpy(&v, desc, len < 8 ? len : 8);
    return v;
}

static void note_string(char *dst, size_t size, const u8 *desc, u32 len)
{
    size_t n = len < size - 1 ? len : size - 1;

    memcpy(dst, desc, n);
    dst[n] = 0;
}

static void take_note(struct elf_xen_notes *n, u32 type, const u8 *desc, u32 len)
{
    n->any = true;
    switch (type) {
    case XEN_ELFNOTE_PHYS32_ENTRY:
        n->has_entry = len == 4 || len == 8;
        n->phys32_entry = note_number(desc, len);
        break;
    case XEN_ELFNOTE_SUPPORTED_FEATURES:
        n->has_supported = len == 4 || len == 8;
        n->supported = (u32)note_number(desc, len);
        break;
    case XEN_ELFNOTE_GUEST_OS:
        note_string(n->guest_os, sizeof(n->guest_os), desc, len);
        break;
    case XEN_ELFNOTE_GUEST_VERSION:
        note_string(n->guest_version, sizeof(n->guest_version), desc, len);
        break;
    }
}

void elf_scan_notes(struct elf_xen_notes *n, const void *notes, u64 len)
{
    const u8 *p = notes;
    Elf32_Nhdr h;                   /* the same in both classes */
    u64 name, desc;

    while (len >= sizeof(h)) {
        memcpy(&h, p, sizeof(h));
        name = ROUND_UP((u64)h.n_namesz, 4);
        desc = ROUND_UP((u64)h.n_descsz, 4);
        if (name > len - sizeof(h) || h.n_descsz > len - sizeof(h) - name)
            return;
        if (h.n_namesz == 4 && !memcmp(p + sizeof(h), "Xen", 4))
            take_note(n, h.n_type, p + sizeof(h) + name, h.n_descsz);
        if (desc >= len - sizeof(h) - name)
            return;
        p += sizeof(h) + name + desc;
        len -= sizeof(h) + name + desc;
    }
}
