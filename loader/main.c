/* SPDX-License-Identifier: MIT */
/* The loader's only task: unpack, report. A hostile kernel file can at worst crash this virtual machine. */
#include "loader.h"

void *malloc_arena(u64 start, u64 size);

void loader_main(struct loader_input *in)
{
    static struct sink s;
    enum loader_status st;
    const u8 *payload;
    u64 len;

    if (in->magic != LOADER_MAGIC)
        loader_exit(LOADER_INTERNAL, 1, 0, 0);
    malloc_arena(in->arena, in->arena_size);
    s.window_start = in->window_start;
    s.window_end = in->window_end;
    st = bzimage_payload((const u8 *)in->file, in->file_size, &payload, &len);
    if (st == LOADER_OK)
        st = decompress(payload, len, &s);
    if (st == LOADER_OK)
        st = sink_finish(&s);
    if (st == LOADER_OK)
        loader_exit(LOADER_OK, s.entry, s.elf.start, s.elf.end);
    if (st == LOADER_NO_MEMORY)
        s.detail[1] = in->arena_size;
    loader_exit(st, s.detail[0], s.detail[1], 0);
}
