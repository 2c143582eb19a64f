/* SPDX-License-Identifier: MIT */
/* The in-guest dom0 loader: decompression (libraries of the distribution) into an ELF sink. */
#pragma once
#include "dom/loader_abi.h"
#include "lib/elf.h"

#define NOTES_MAX 16384

/* Takes the bytes of an ELF file in order and puts load segments into place, without keeping the file. */
struct sink {
    u8 *base;                       /* address of physical 0 (NULL in the loader) */
    u64 window_start, window_end;
    u64 total;                      /* size of the ELF file, from the payload's last 4 bytes */
    u64 pos;                        /* bytes received */
    u32 head_len;
    bool parsed;
    enum loader_status status;      /* first error */
    u64 detail[2];
    struct elf_info elf;
    u64 entry;                      /* result */
    u32 note_at[ELF_MAX_NOTES], notes_len;
    u8 head[ELF_HEAD_BYTES];
    u8 notes[NOTES_MAX];
};
/* Record the first error; returns it. */
enum loader_status sink_fail(struct sink *s, enum loader_status st, u64 a, u64 b);
/* False: stop, s->status says why. */
bool sink_write(struct sink *s, const u8 *p, u64 n);
/* All bytes came: clear bss, find the entry. LOADER_OK: elf.start, elf.end, entry are valid. */
enum loader_status sink_finish(struct sink *s);

/* Unpack `len` bytes of compressed kernel (the last 4 are its size) into s. Result also in s->status. */
enum loader_status decompress(const u8 *in, u64 len, struct sink *s);
/* Find the payload of a bzImage. */
enum loader_status bzimage_payload(const u8 *file, u64 size, const u8 **payload, u64 *len);

void loader_main(struct loader_input *in);
void loader_exit(u64 status, u64 a, u64 b, u64 c) __noreturn;   /* start.S */
