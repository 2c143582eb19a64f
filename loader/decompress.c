/* SPDX-License-Identifier: MIT */
/*
 * Payloads of Linux bzImages: one compressed ELF file and, in the last 4 bytes, its size (little endian; for gzip
 * that is part of the format, for the others the kernel's Makefile adds it: scripts/Makefile.lib, size_append).
 */
#include "loader.h"
#include <bzlib.h>
#include <lz4.h>
#include <lzma.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#define CHUNK (128 * 1024)
static u8 chunk[CHUNK];

static enum loader_status corrupt(struct sink *s, u64 code) { return sink_fail(s, LOADER_CORRUPT, code, s->pos); }

static enum loader_status run_lzma(lzma_stream *st, const u8 *in, u64 len, struct sink *s)
{
    lzma_ret rc;

    st->next_in = in;
    st->avail_in = len;
    do {
        st->next_out = chunk;
        st->avail_out = CHUNK;
        rc = lzma_code(st, LZMA_RUN);
        if (rc != LZMA_OK && rc != LZMA_STREAM_END)
            return rc == LZMA_MEM_ERROR ? sink_fail(s, LOADER_NO_MEMORY, lzma_memusage(st), 0) : corrupt(s, rc);
        if (!sink_write(s, chunk, CHUNK - st->avail_out))
            return s->status;
    } while (rc != LZMA_STREAM_END && (st->avail_in || !st->avail_out));
    lzma_end(st);
    return LOADER_OK;
}

static enum loader_status from_xz(const u8 *in, u64 len, struct sink *s)
{
    lzma_stream st = LZMA_STREAM_INIT;

    if (lzma_stream_decoder(&st, UINT64_MAX, 0) != LZMA_OK)
        return sink_fail(s, LOADER_NO_MEMORY, 0, 0);
    return run_lzma(&st, in, len, s);
}

static enum loader_status from_lzma(const u8 *in, u64 len, struct sink *s)
{
    lzma_stream st = LZMA_STREAM_INIT;

    if (lzma_alone_decoder(&st, UINT64_MAX) != LZMA_OK)
        return sink_fail(s, LOADER_NO_MEMORY, 0, 0);
    return run_lzma(&st, in, len, s);
}

static enum loader_status from_gzip(const u8 *in, u64 len, struct sink *s)
{
    z_stream z = { 0 };
    int rc;

    if (inflateInit2(&z, 15 + 16) != Z_OK)
        return sink_fail(s, LOADER_NO_MEMORY, 65536, 0);
    z.next_in = (u8 *)in;
    z.avail_in = (unsigned)len + 4;     /* the size is the end of the gzip trailer */
    do {
        z.next_out = chunk;
        z.avail_out = CHUNK;
        rc = inflate(&z, Z_NO_FLUSH);
        if (rc != Z_OK && rc != Z_STREAM_END)
            return corrupt(s, (u64)(s64)rc);
        if (!sink_write(s, chunk, CHUNK - z.avail_out))
            return s->status;
    } while (rc != Z_STREAM_END);
    inflateEnd(&z);
    return LOADER_OK;
}

static enum loader_status from_bzip2(const u8 *in, u64 len, struct sink *s)
{
    bz_stream b = { 0 };
    int rc;

    if (BZ2_bzDecompressInit(&b, 0, 0) != BZ_OK)
        return sink_fail(s, LOADER_NO_MEMORY, 65536, 0);
    b.next_in = (char *)in;
    b.avail_in = (unsigned)len;
    do {
        b.next_out = (char *)chunk;
        b.avail_out = CHUNK;
        rc = BZ2_bzDecompress(&b);
        if (rc == BZ_MEM_ERROR)
            return sink_fail(s, LOADER_NO_MEMORY, 4 << 20, 0);
        if (rc != BZ_OK && rc != BZ_STREAM_END)
            return corrupt(s, (u64)(s64)rc);
        if (!sink_write(s, chunk, CHUNK - b.avail_out))
            return s->status;
    } while (rc != BZ_STREAM_END && (b.avail_in || !b.avail_out));
    BZ2_bzDecompressEnd(&b);
    return LOADER_OK;
}

/* LZ4 "legacy" frame: blocks of at most 8 MiB, each preceded by its compressed size. */
static enum loader_status from_lz4(const u8 *in, u64 len, struct sink *s)
{
    const u32 block = 8 << 20;
    char *out = malloc(block);
    u64 pos = 4;
    u32 size;
    int n;

    if (!out)
        return sink_fail(s, LOADER_NO_MEMORY, block, 0);
    while (len - pos >= 4 && s->pos < s->total) {
        memcpy(&size, in + pos, 4);
        pos += 4;
        if (size > len - pos || size > (u32)LZ4_COMPRESSBOUND(block))
            return corrupt(s, size);
        n = LZ4_decompress_safe((const char *)in + pos, out, (int)size, (int)block);
        if (n < 0)
            return corrupt(s, (u64)(s64)n);
        if (!sink_write(s, (u8 *)out, (u64)n))
            return s->status;
        pos += size;
    }
    free(out);
    return LOADER_OK;
}

/* In one go: a window as large as the kernel build's (128 MiB) would be more than the whole result. */
static enum loader_status from_zstd(const u8 *in, u64 len, struct sink *s)
{
    ZSTD_DCtx *d = ZSTD_createDCtx();
    u8 *out = malloc(s->total);
    size_t frame = ZSTD_findFrameCompressedSize(in, len), n;

    if (!d || !out)
        return sink_fail(s, LOADER_NO_MEMORY, s->total, 0);
    if (ZSTD_isError(frame))
        return corrupt(s, -frame);
    n = ZSTD_decompressDCtx(d, out, s->total, in, frame);
    if (ZSTD_isError(n))
        return corrupt(s, -n);
    sink_write(s, out, n);
    free(out);
    ZSTD_freeDCtx(d);
    return s->status;
}

static enum loader_status from_lzo(const u8 *in, u64 len, struct sink *s) { return sink_fail(s, LOADER_LZO, 0, 0); }

static enum loader_status plain(const u8 *in, u64 len, struct sink *s)
{
    sink_write(s, in, s->total);
    return s->status;
}

static const struct {
    u8 magic[4]; u8 len;
    enum loader_status (*fn)(const u8 *in, u64 len, struct sink *s);
} formats[] = {
    { { 0xfd, '7', 'z', 'X' }, 4, from_xz }, { { 0x1f, 0x8b }, 2, from_gzip },
    { { 0x28, 0xb5, 0x2f, 0xfd }, 4, from_zstd }, { { 0x02, 0x21, 0x4c, 0x18 }, 4, from_lz4 },
    { { 'B', 'Z', 'h' }, 3, from_bzip2 }, { { 0x5d, 0, 0 }, 3, from_lzma }, { { 0x89, 'L', 'Z', 'O' }, 4, from_lzo },
    { { 0x7f, 'E', 'L', 'F' }, 4, plain },
};

enum loader_status decompress(const u8 *in, u64 len, struct sink *s)
{
    u32 total, magic;
    unsigned i;

    if (len < 16)
        return sink_fail(s, LOADER_BAD_FILE, len, 0);
    memcpy(&magic, in, 4);
    memcpy(&total, in + len - 4, 4);
    for (i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        if (memcmp(in, formats[i].magic, formats[i].len))
            continue;
        s->total = formats[i].fn == plain ? len : total;
        if (formats[i].fn != from_lzo && (s->total < 64 || s->total > GiB(1)))
            return sink_fail(s, LOADER_BAD_FILE, s->total, 0);
        return formats[i].fn(in, len - 4, s);
    }
    return sink_fail(s, LOADER_FORMAT, magic, 0);
}

/* Linux Documentation/x86/boot.rst: setup_sects 0x1f1, payload_offset 0x248, payload_length 0x24c. */
enum loader_status bzimage_payload(const u8 *file, u64 size, const u8 **payload, u64 *len)
{
    u64 start;
    u32 off, n;

    if (size < 0x264)
        return LOADER_BAD_FILE;
    memcpy(&off, file + 0x248, 4);
    memcpy(&n, file + 0x24c, 4);
    start = ((file[0x1f1] ? file[0x1f1] : 4) + 1) * 512ULL + off;
    if (start > size || n > size - start)
        return LOADER_BAD_FILE;
    *payload = file + start;
    *len = n;
    return LOADER_OK;
}
