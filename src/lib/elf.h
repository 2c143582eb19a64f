/* SPDX-License-Identifier: MIT */
/*
 * ELF images (32 and 64 bit, little endian, x86) of kernels: load segments and Xen notes. The parser sees untrusted
 * bytes: every offset and length is checked against the file, every address against overflow. No allocation, no
 * output: problems are reported as one constant string. Also linked into the in-guest loader (loader/).
 */
#pragma once
#include "lib/types.h"

#define ELF_MAX_LOADS 16
#define ELF_MAX_NOTES 4
#define ELF_HEAD_BYTES 4096         /* headers must lie within the first so many bytes of the file */

struct elf_segment { u64 offset, filesz, paddr, memsz; };

struct elf_info {
    bool is64;
    unsigned nr_loads, nr_notes;
    struct elf_segment load[ELF_MAX_LOADS];     /* sorted by file offset */
    struct elf_segment note[ELF_MAX_NOTES];     /* memsz unused */
    u64 start, end;                 /* physical footprint of all load segments, [start, end) */
};

/* True if the bytes begin like an ELF file. */
bool elf_is_elf(const void *head, u64 avail);
/* Parse file and program headers from the first `avail` bytes of a file of `size` bytes. Returns NULL and fills *e,
 * or the reason why the file cannot be loaded. Guarantees afterwards: each segment's [offset, offset + filesz) is
 * inside the file, filesz <= memsz, paddr + memsz does not wrap and is below 4 GiB, load segments do not overlap in
 * memory, nr_loads >= 1, start < end. */
const char *elf_parse(struct elf_info *e, const void *head, u64 avail, u64 size);

/* What the notes named "Xen" say (public elfnote.h). */
struct elf_xen_notes {
    bool any, has_entry, has_supported;
    u64 phys32_entry;               /* XEN_ELFNOTE_PHYS32_ENTRY */
    u32 supported;                  /* XEN_ELFNOTE_SUPPORTED_FEATURES */
    char guest_os[16], guest_version[16];
};
/* Scan one note segment and add to *n (zero it before the first). Malformed notes end the scan. */
void elf_scan_notes(struct elf_xen_notes *n, const void *notes, u64 len);
