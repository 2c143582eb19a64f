/* SPDX-License-Identifier: MIT */
#include "boot/memmap.h"
#include "lib/lib.h"

bool memmap_add(struct boot_info *bi, u64 start, u64 len, u32 type)
{
    u64 end = start + len;

    if (!len)
        return true;
    if (end < start)
        end = ~0ULL & PAGE_MASK;
    if (end <= start)
        return true;
    if (type < MEM_RAM || type > MEM_UNUSABLE)
        type = MEM_RESERVED;        /* also persistent memory and whatever comes */
    if (bi->nr_mmap) {
        struct boot_range *last = &bi->mmap[bi->nr_mmap - 1];
        if (last->type == type && last->end == start) {
            last->end = end;
            return true;
        }
    }
    if (bi->nr_mmap >= BOOT_MAX_MMAP) {
        bi->nr_mmap_lost++;
        return false;
    }
    bi->mmap[bi->nr_mmap++] = (struct boot_range){ start, end, type };
    return true;
}

/* When ranges overlap the one with the highest rank decides. */
static unsigned rank(u32 type)
{
    static const u8 ranks[] =
        { [MEM_RAM] = 1, [MEM_ACPI] = 2, [MEM_NVS] = 3, [MEM_RESERVED] = 4, [MEM_UNUSABLE] = 5 };
    return ranks[type];
}

/* Insertion sort: firmware maps come nearly sorted. */
static void sort_u64(u64 *v, unsigned n)
{
    for (unsigned i = 1; i < n; i++) {
        u64 x = v[i];
        unsigned j = i;
        for (; j && v[j - 1] > x; j--)
            v[j] = v[j - 1];
        v[j] = x;
    }
}

static void sort_ranges(struct boot_range *r, unsigned n)
{
    for (unsigned i = 1; i < n; i++) {
        struct boot_range x = r[i];
        unsigned j = i;
        for (; j && r[j - 1].start > x.start; j--)
            r[j] = r[j - 1];
        r[j] = x;
    }
}

static unsigned align_ranges(struct boot_range *r, unsigned n)
{
    unsigned out = 0;

    for (unsigned i = 0; i < n; i++) {
        struct boot_range x = r[i];
        if (x.type == MEM_RAM) {
            x.start = x.start > ~0ULL - PAGE_SIZE ? x.end : ROUND_UP(x.start, PAGE_SIZE);
            x.end &= PAGE_MASK;
        } else {
            x.start &= PAGE_MASK;
            x.end = x.end > (~0ULL & PAGE_MASK) ? ~0ULL & PAGE_MASK : ROUND_UP(x.end, PAGE_SIZE);
        }
        if (x.start < x.end)
            r[out++] = x;
    }
    return out;
}

void memmap_finish(struct boot_info *bi)
{
    static struct boot_range in[BOOT_MAX_MMAP];
    static u64 cut[2 * BOOT_MAX_MMAP];
    unsigned n = align_ranges(bi->mmap, bi->nr_mmap), first = 0;

    sort_ranges(bi->mmap, n);
    memcpy(in, bi->mmap, n * sizeof(in[0]));
    for (unsigned i = 0; i < n; i++) {
        cut[2 * i] = in[i].start;
        cut[2 * i + 1] = in[i].end;
    }
    sort_u64(cut, 2 * n);
    bi->nr_mmap = 0;
    for (unsigned c = 0; c + 1 < 2 * n; c++) {
        u32 best = 0;
        if (cut[c] == cut[c + 1])
            continue;
        while (first < n && in[first].end <= cut[c] && in[first].start <= cut[c])
            first++;                /* over for good */
        for (unsigned i = first; i < n && in[i].start <= cut[c]; i++)
            if (in[i].end > cut[c] && (!best || rank(in[i].type) > rank(best)))
                best = in[i].type;
        /* Too many pieces: what follows is treated as absent, which is safe. */
        if (best && !memmap_add(bi, cut[c], cut[c + 1] - cut[c], best))
            break;
    }
}

struct efi_desc { u32 type, pad; u64 phys, virt, pages, attr; };
enum { EFI_WB = 8 };

static u32 efi_type(u32 type, u64 attr)
{
    switch (type) {
    case 1: case 2: case 3: case 4: case 7:     /* loader and boot services code and data, conventional */
        return attr & EFI_WB ? MEM_RAM : MEM_RESERVED;
    case 8:
        return MEM_UNUSABLE;
    case 9:
        return MEM_ACPI;
    case 10:
        return MEM_NVS;
    default:
        return MEM_RESERVED;
    }
}

bool memmap_add_efi(struct boot_info *bi, const void *map, u64 size, u64 desc_size)
{
    bool fits = true;

    if (desc_size < sizeof(struct efi_desc) || desc_size > 4096)
        return false;
    for (u64 off = 0; off + desc_size <= size; off += desc_size) {
        struct efi_desc d;
        memcpy(&d, (const char *)map + off, sizeof(d));
        u64 len = d.pages > ~0ULL >> PAGE_SHIFT ? ~0ULL : d.pages << PAGE_SHIFT;
        fits &= memmap_add(bi, d.phys, len, efi_type(d.type, d.attr));
    }
    return fits;
}

u64 memmap_ram_bytes(const struct boot_info *bi)
{
    u64 sum = 0;

    for (unsigned i = 0; i < bi->nr_mmap; i++)
        if (bi->mmap[i].type == MEM_RAM)
            sum += bi->mmap[i].end - bi->mmap[i].start;
    return sum;
}

bool memmap_is_ram(const struct boot_info *bi, paddr_t start, paddr_t end)
{
    for (unsigned i = 0; i < bi->nr_mmap; i++)
        if (bi->mmap[i].type == MEM_RAM && bi->mmap[i].start <= start && end <= bi->mmap[i].end)
            return start < end;
    return false;
}
