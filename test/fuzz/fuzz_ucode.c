/* SPDX-License-Identifier: MIT */
/* Microcode files: a boot module or a file from the firmware's disk. AMD containers, Intel updates, and the cpio archive
 * in front of an initrd in which they may be; each as raw bytes, or built from pieces whose lengths mostly fit. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "fake.h"
#include "fuzz.h"
#include "boot/boot.h"
#include "boot/cmdline.h"
#include "cpu/internal.h"

static int no_rdmsr(u32 msr, u64 *v) { *v = 3ULL << 50; return 0; }
#define rdmsr_safe no_rdmsr
#define wrmsr_safe(msr, v) ((void)(msr), (void)(v), 0)
#define cpuid_init no_cpuid_init
void no_cpuid_init(void);
void no_cpuid_init(void) {}
#include "../../src/cpu/ucode.c"

void fuzz_start(const char *program) {}

enum { FILE_BYTES = 6000, SIGNATURE = 0x00a20f10, PLATFORM = 1 << 3 };
static u8 file[FILE_BYTES];
static size_t file_size;

static void put32(u32 v)
{
    if (file_size + 4 > FILE_BYTES) return;
    memcpy(file + file_size, &v, 4);
    file_size += 4;
}
static void fill(struct input *in, size_t n) { while (n-- && file_size < FILE_BYTES) file[file_size++] = in8(in); }
/* Mostly what is right. */
static u32 or_else(struct input *in, u32 right) { return in8(in) < 0xe0 ? right : (u32)in_value(in); }

static void build_amd(struct input *in)
{
    while (in_more(in) && file_size < FILE_BYTES) {
        unsigned entries = in8(in) % 4, updates = in8(in) % 4;
        put32(or_else(in, AMD_MAGIC));
        put32(or_else(in, AMD_EQUIV));
        put32(or_else(in, entries * AMD_EQUIV_ENTRY));
        for (unsigned i = 0; i < entries; i++) {
            put32(or_else(in, SIGNATURE));
            fill(in, 8);
            put32(or_else(in, 0xa210));
        }
        for (unsigned i = 0; i < updates; i++) {
            u32 len = AMD_HEADER + in8(in);
            put32(or_else(in, AMD_PATCH));
            put32(or_else(in, len));
            fill(in, 4);
            put32(in8(in));                                 /* its revision */
            fill(in, 16);
            put32(or_else(in, 0xa210));
            fill(in, len - 28);
        }
    }
}

static void build_intel(struct input *in)
{
    while (in_more(in) && file_size < FILE_BYTES) {
        size_t start = file_size;
        u32 data = 4 * in8(in), entries = in8(in) % 4;
        u32 head[12] = { or_else(in, 1), in8(in), 0, or_else(in, SIGNATURE), 0, or_else(in, 1), or_else(in, PLATFORM),
                         or_else(in, data), or_else(in, INTEL_HEADER + data + INTEL_EXT_HEADER + entries * INTEL_EXT_ENTRY) };
        for (unsigned i = 0; i < 12; i++) put32(head[i]);
        fill(in, data);
        u32 sum = 0;
        for (size_t i = start; i + 4 <= file_size; i += 4) sum += get32(file + i);
        if (start + 44 <= file_size) {
            u32 fix = get32(file + start + 40) - or_else(in, sum);
            memcpy(file + start + 40, &fix, 4);
        }
        put32(or_else(in, entries));
        fill(in, INTEL_EXT_HEADER - 4);
        for (unsigned i = 0; i < entries; i++) {
            put32(or_else(in, SIGNATURE));
            put32(or_else(in, PLATFORM));
            fill(in, 4);
        }
    }
}

static const char *const names[] = { "kernel/x86/microcode/AuthenticAMD.bin", "kernel/x86/microcode/GenuineIntel.bin",
                                     "kernel", "TRAILER!!!", "" };
static void build_cpio(struct input *in)
{
    while (in_more(in) && file_size + 200 < FILE_BYTES) {
        const char *name = names[in8(in) % ARRAY_SIZE(names)];
        u32 nlen = (u32)strlen(name) + 1, flen = in8(in);
        char head[111];
        snprintf(head, sizeof(head), "070701%048x%08x%032x%08x%08x", 0, or_else(in, flen), 0, or_else(in, nlen), 0);
        memcpy(file + file_size, head, 110);
        memcpy(file + file_size + 110, name, nlen);
        file_size = ROUND_UP(file_size + 110 + nlen, 4UL);
        fill(in, flen);
        file_size = MIN(ROUND_UP(file_size, 4UL), (size_t)FILE_BYTES);
    }
}

void fuzz_one(struct input *in)
{
    static struct cpu cpu;
    u8 kind = in8(in);
    u32 current = in8(in) & 3;

    this_cpu_ptr = &cpu;
    memset(file, 0, sizeof(file));
    file_size = 0;
    if (kind & 4) kind & 3 ? kind & 2 ? build_cpio(in) : build_intel(in) : build_amd(in);
    else fill(in, in_left(in));
    u8 *copy = malloc(file_size ? file_size : 1);           /* of its own size, so that a byte too far is seen */
    memcpy(copy, file, file_size);
    blob = copy;
    blob_size = file_size;
    patch = NULL;
    patch_size = patch_rev = 0;
    if (kind & 2) {
        blob = NULL;
        blob_size = 0;
        if (cpio_find(copy, file_size, names[kind & 1])) CHECK(blob >= copy && blob + blob_size <= copy + file_size);
        else CHECK(!blob);
    }
    if (blob && kind & 1) intel_find(SIGNATURE, current);
    else if (blob) amd_find(SIGNATURE, current);
    if (patch) {
        CHECK(patch >= blob && patch_size <= blob_size && (size_t)(patch - blob) <= blob_size - patch_size);
        CHECK(patch_rev > current && patch_size >= (kind & 1 ? INTEL_HEADER : AMD_HEADER));
    }
    free(copy);
}
