/* SPDX-License-Identifier: MIT */
/* Names for addresses in the image, from the table that tools/mksyms.py makes after the first link; build id. */
#include "debug/internal.h"

extern const u32 ksym_count, ksym_addr[], ksym_name_off[];
extern const char ksym_names[];
extern const char _start_image[], _stext[], _etext[];
extern const u8 __build_id_start[], __build_id_end[];

const char *symbol_lookup(u64 addr, u64 *offset)
{
    *offset = 0;
    if (addr < (u64)_stext || addr >= (u64)_etext || !ksym_count)
        return "?";
    u64 rel = addr - (u64)_start_image;
    u32 lo = 0, hi = ksym_count;    /* last entry at or below rel */
    while (hi - lo > 1) {
        u32 mid = lo + (hi - lo) / 2;
        if (ksym_addr[mid] <= rel)
            lo = mid;
        else
            hi = mid;
    }
    if (ksym_addr[lo] > rel)
        return "?";
    *offset = rel - ksym_addr[lo];
    return ksym_names + ksym_name_off[lo];
}

/* ELF note: name size, description size, type, name padded to 4, description. */
const void *build_id(unsigned *len)
{
    u32 hdr[3];
    *len = 0;
    if (__build_id_end - __build_id_start < (long)sizeof(hdr))
        return NULL;
    memcpy(hdr, __build_id_start, sizeof(hdr));
    const u8 *desc = __build_id_start + sizeof(hdr) + ROUND_UP(hdr[0], 4u);
    if (hdr[0] > 16 || hdr[1] > 64 || desc + hdr[1] > __build_id_end)
        return NULL;
    *len = hdr[1];
    return desc;
}

char build_id_hex[41] = "none";

void build_id_init(void)
{
    unsigned len;
    const u8 *id = build_id(&len);
    for (unsigned i = 0; id && i < len && i < 20; i++) {
        build_id_hex[2 * i] = "0123456789abcdef"[id[i] >> 4];
        build_id_hex[2 * i + 1] = "0123456789abcdef"[id[i] & 15];
    }
}
