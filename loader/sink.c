/* SPDX-License-Identifier: MIT */
/* Streaming ELF loader: by physical address, in whatever pieces the decompressor delivers. */
#include "loader.h"

extern void *memcpy(void *d, const void *s, size_t n);
extern void *memset(void *d, int c, size_t n);

enum loader_status sink_fail(struct sink *s, enum loader_status st, u64 a, u64 b)
{
    if (s->status == LOADER_OK) {
        s->status = st;
        s->detail[0] = a;
        s->detail[1] = b;
    }
    return s->status;
}

static bool parse(struct sink *s)
{
    unsigned i;

    if (elf_parse(&s->elf, s->head, s->head_len, s->total)) {
        sink_fail(s, LOADER_BAD_ELF, 0, 0);
        return false;
    }
    for (i = 0; i < s->elf.nr_loads; i++) {
        const struct elf_segment *l = &s->elf.load[i];
        if (l->paddr < s->window_start || l->paddr + l->memsz > s->window_end) {
            sink_fail(s, LOADER_OUTSIDE, l->paddr, l->paddr + l->memsz);
            return false;
        }
    }
    for (i = 0; i < s->elf.nr_notes; i++) {
        s->note_at[i] = s->notes_len;
        if (s->elf.note[i].filesz > NOTES_MAX - s->notes_len)
            s->elf.note[i].filesz = 0;      /* too long to hold what we look for */
        s->notes_len += (u32)s->elf.note[i].filesz;
    }
    return s->parsed = true;
}

/* Copy what [off, off + n) of the file has in common with [seg_off, seg_off + len) to dst. */
static void copy_common(u8 *dst, u64 seg_off, u64 len, u64 off, const u8 *p, u64 n)
{
    u64 from = MAX(off, seg_off), to = MIN(off + n, seg_off + len);

    if (from < to)
        memcpy(dst + (from - seg_off), p + (from - off), to - from);
}

static void deliver(struct sink *s, u64 off, const u8 *p, u64 n)
{
    unsigned i;

    for (i = 0; i < s->elf.nr_loads; i++)
        copy_common(s->base + s->elf.load[i].paddr, s->elf.load[i].offset, s->elf.load[i].filesz, off, p, n);
    for (i = 0; i < s->elf.nr_notes; i++)
        copy_common(s->notes + s->note_at[i], s->elf.note[i].offset, s->elf.note[i].filesz, off, p, n);
}

bool sink_write(struct sink *s, const u8 *p, u64 n)
{
    u64 take;

    if (s->status != LOADER_OK)
        return false;
    if (n > s->total - s->pos)
        n = s->total - s->pos;      /* more than promised: of no use */
    if (!s->parsed) {
        take = MIN(n, (u64)ELF_HEAD_BYTES - s->head_len);
        memcpy(s->head + s->head_len, p, take);
        s->head_len += (u32)take;
        s->pos += take;
        p += take;
        n -= take;
        if (s->head_len < ELF_HEAD_BYTES && s->pos < s->total)
            return true;
        if (!parse(s))
            return false;
        deliver(s, 0, s->head, s->head_len);
    }
    deliver(s, s->pos, p, n);
    s->pos += n;
    return true;
}

enum loader_status sink_finish(struct sink *s)
{
    struct elf_xen_notes notes = { 0 };
    unsigned i;

    if (s->status != LOADER_OK)
        return s->status;
    if (s->pos < s->total || !s->parsed) {
        sink_fail(s, LOADER_SHORT, s->pos, s->total);
        return s->status;
    }
    for (i = 0; i < s->elf.nr_loads; i++) {
        const struct elf_segment *l = &s->elf.load[i];
        memset(s->base + l->paddr + l->filesz, 0, l->memsz - l->filesz);
    }
    for (i = 0; i < s->elf.nr_notes; i++)
        elf_scan_notes(&notes, s->notes + s->note_at[i], s->elf.note[i].filesz);
    s->entry = notes.phys32_entry;
    if (!notes.has_entry)
        sink_fail(s, LOADER_NO_NOTE, 0, 0);
    else if (s->entry < s->elf.start || s->entry >= s->elf.end)
        sink_fail(s, LOADER_BAD_ENTRY, s->entry, 0);
    return s->status;
}
