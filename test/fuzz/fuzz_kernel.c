/* SPDX-License-Identifier: MIT */
/* Kernel files: ELF headers and notes, the probe of dom0's kernel, and what the in-guest loader does with a bzImage:
 * unpacking and the streaming sink. */
#include <stdlib.h>
#include <string.h>
#include "../../loader/decompress.c"
#include "../../loader/sink.c"
#include "dom/dom0_build.h"
#include "fake.h"
#include "fuzz.h"

void fuzz_start(const char *program) {}

static void elf(const u8 *file, size_t size)
{
    struct elf_info e;
    struct elf_xen_notes n = { 0 };

    if (!elf_is_elf(file, size) || elf_parse(&e, file, size, size))
        return;
    CHECK(e.nr_loads >= 1 && e.nr_loads <= ELF_MAX_LOADS && e.nr_notes <= ELF_MAX_NOTES && e.start < e.end);
    for (unsigned i = 0; i < e.nr_loads; i++) {
        const struct elf_segment *s = &e.load[i];
        CHECK(s->offset <= size && s->filesz <= size - s->offset && s->filesz <= s->memsz);
        CHECK(s->paddr >= e.start && s->memsz <= e.end - s->paddr && e.end <= GiB(4));
        for (unsigned k = 0; k < i; k++)
            CHECK(s->paddr + s->memsz <= e.load[k].paddr || e.load[k].paddr + e.load[k].memsz <= s->paddr);
    }
    for (unsigned i = 0; i < e.nr_notes; i++)
        elf_scan_notes(&n, file + e.note[i].offset, e.note[i].filesz);
    CHECK(memchr(n.guest_os, 0, sizeof(n.guest_os)) && memchr(n.guest_version, 0, sizeof(n.guest_version)));
}

struct probe { u8 *file; size_t size; };
static void probe(void *arg)
{
    const struct probe *p = arg;
    struct dom0_build b = { .kernel = { .addr = 0, .size = p->size } };

    frame_window = (char *)p->file;
    dom0_kernel_probe(&b);
    CHECK(b.footprint.start < b.footprint.end && b.footprint.end <= GiB(4) + PAGE_SIZE);
    CHECK(b.bzimage || (b.entry >= b.footprint.start && b.entry < b.footprint.end));
}

static void unpack(const u8 *file, size_t size)
{
    static u8 target[1 << 16];
    static struct sink s;
    const u8 *payload;
    u64 len;

    if (bzimage_payload(file, size, &payload, &len) != LOADER_OK)
        return;
    CHECK(payload >= file && len <= size && (size_t)(payload - file) <= size - len);
    memset(&s, 0, sizeof(s));
    s.base = target;
    s.window_end = sizeof(target);
    if (decompress(payload, len, &s) == LOADER_OK && sink_finish(&s) == LOADER_OK)
        CHECK(s.entry >= s.elf.start && s.entry < s.elf.end && s.elf.end <= sizeof(target));
}

void fuzz_one(struct input *in)
{
    static struct cpu cpu;
    u8 kind = in8(in);
    size_t size = in_left(in);
    u8 *file = malloc(size ? size : 1);

    this_cpu_ptr = &cpu;
    memcpy(file, in->p, size);
    elf(file, size);
    struct probe p = { file, size };
    world_run(probe, &p);
    if (kind & 1)
        unpack(file, size);
    free(file);
}
