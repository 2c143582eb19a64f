/* SPDX-License-Identifier: MIT */
/*
 * Between the hypervisor (dom0_loader.c) and the loader that unpacks the dom0 kernel inside dom0 (loader/, design
 * rule 11). The loader is a flat image that runs at LOADER_VA; RAM below 4 GiB is mapped at its own address.
 */
#pragma once
#include "lib/types.h"

#define LOADER_VA 0x400000000000UL
#define LOADER_MAGIC 0x3172646c4d754865UL

/* At the start of the image. */
struct loader_header { u64 magic, memory_bytes /* with bss and stack */, entry /* virtual */; };

/* RDI at the entry points to it. */
struct loader_input {
    u64 magic;
    u64 file, file_size;            /* the bzImage */
    u64 arena, arena_size;          /* for malloc */
    u64 window_start, window_end;   /* where load segments may lie */
    u64 canary;                     /* stack protector of the libraries */
    u32 use_vmcall;                 /* VMCALL instead of VMMCALL */
    u32 pad;
};

/* The end: hypercall CALL_LOADER_DONE(status, a, b, c). OK: entry, footprint start, end. Else: see the texts. */
enum loader_status {
    LOADER_OK,
    LOADER_BAD_FILE,                /* payload position outside of the file */
    LOADER_FORMAT,                  /* unknown compression; a = first 4 bytes */
    LOADER_LZO,
    LOADER_NO_MEMORY,               /* a = bytes asked for, b = arena size */
    LOADER_CORRUPT,                 /* a = library's error, b = bytes produced */
    LOADER_SHORT,                   /* the data ends early; a = bytes produced, b = bytes needed */
    LOADER_BAD_ELF,                 /* its ELF headers cannot be used */
    LOADER_OUTSIDE,                 /* a segment is outside of the window; a, b = segment */
    LOADER_NO_NOTE,                 /* no PHYS32_ENTRY note */
    LOADER_BAD_ENTRY,               /* a = entry, outside of all segments */
    LOADER_INTERNAL,                /* should not happen; a = where */
    LOADER_NR
};
