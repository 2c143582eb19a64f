/* SPDX-License-Identifier: MIT */
/* IVRS: where the IOMMUs are (AMD IOMMU specification, section 5.2). Every length is checked. */
#include "iommu/ivrs.h"
#include "acpi/acpi.h"
#include "lib/lib.h"

struct ivrs { struct acpi_header h; u32 info; u64 reserved; } __packed;
struct ivrs_block { u8 type, flags; u16 length, devid; } __packed;
struct ivhd { struct ivrs_block b; u16 capability; u64 base; u16 segment, info; u32 features; } __packed;
struct ivmd { struct ivrs_block b; u16 aux; u64 reserved, start, length; } __packed;

#define IVINFO_VASIZE(info) ((info) >> 15 & 0x7f)       /* (section 5.2.1) */

enum { IVHD_BASIC = 0x10, IVHD_EXT = 0x11, IVHD_EXT_ACPI = 0x40 };
enum { IVHD_BASIC_BYTES = 24u, IVHD_EXT_BYTES = 40u };
enum { IVMD_ALL = 0x20, IVMD_ONE = 0x21, IVMD_RANGE = 0x22 };
enum { IVMD_READ = 2, IVMD_WRITE = 4, IVMD_EXCLUSION = 8 };    /* flags */

static void add_ivhd(const struct ivhd *h, struct ivrs_info *out)
{
    for (unsigned i = 0; i < out->nr_iommus; i++)
        if (out->iommu[i].base == h->base) return;      /* the same unit in a newer form */
    if (out->nr_iommus == IVRS_MAX_IOMMUS || !h->base || h->base & (PAGE_SIZE - 1)) {
        printk(LOG_WARN, "AMD-Vi: IOMMU at %#llx ignored\n", (unsigned long long)h->base);
        return;
    }
    out->iommu[out->nr_iommus].base = h->base;
    out->iommu[out->nr_iommus].segment = h->segment;
    out->iommu[out->nr_iommus++].bdf = h->b.devid;
}

/* ---- device entries (section 5.2.2.1) ---- */
enum { DEV_ALL = 1, DEV_ONE, DEV_RANGE, DEV_END_RANGE, DEV_ALIAS = 0x42, DEV_ALIAS_RANGE, DEV_ONE_EXT = 0x46, DEV_RANGE_EXT,
       DEV_SPECIAL, DEV_ACPI = 0xf0 };
enum { SPECIAL_IOAPIC = 1 };                            /* variety, in the last byte */

static u16 u16_at(const u8 *p) { return (u16)(p[0] | p[1] << 8); }

/* Bytes of the entry at p, of which `left` are there; 0: it does not fit, or nobody knows. */
static unsigned entry_size(const u8 *p, size_t left)
{
    unsigned n = p[0] < DEV_ACPI ? 4u << (p[0] >> 6) : p[0] == DEV_ACPI && left > 21 ? 22u + p[21] : 0;
    return n <= left ? n : 0;
}

static bool add_alias(u16 first, u16 last, u16 alias, struct ivrs_info *out)
{
    for (unsigned i = 0; i < out->nr_aliases; i++)
        if (out->alias[i].first == first && out->alias[i].last == last) return out->alias[i].alias == alias;
    if (out->nr_aliases == IVRS_MAX_ALIASES || last < first) return false;
    out->alias[out->nr_aliases].first = first;
    out->alias[out->nr_aliases].last = last;
    out->alias[out->nr_aliases++].alias = alias;
    return true;
}

/* The same unit is often described twice, in an older and a newer form: both must say the same. */
static bool add_ioapic(u8 id, u16 requester, struct ivrs_info *out)
{
    int known = ivrs_ioapic(out, id);
    if (known >= 0) return known == requester;
    if (out->nr_ioapics == MAX_IOAPICS) return false;
    out->ioapic[out->nr_ioapics].id = id;
    out->ioapic[out->nr_ioapics++].requester = requester;
    return true;
}

static bool add_setting(u16 first, u16 last, u8 bits, struct ivrs_info *out)
{
    unsigned n = out->nr_settings;
    if (last < first) return false;
    for (unsigned i = 0; i < n; i++)
        if (out->setting[i].first == first && out->setting[i].last == last && out->setting[i].bits == bits) return true;
    if (!bits) return true;
    if (n == IVRS_MAX_SETTINGS) return false;
    out->setting[n].first = first;
    out->setting[n].last = last;
    out->setting[n].bits = bits;
    out->nr_settings++;
    return true;
}

/* Devices first..last, as the entry at p says. Messages arrive under the alias, which gets the setting too. */
static bool add_aliased(const u8 *p, u16 first, u16 last, struct ivrs_info *out)
{
    u16 alias = u16_at(p + 5);
    return add_alias(first, last, alias, out) && add_setting(first, last, p[3], out) && add_setting(alias, alias, p[3], out);
}

/* False: this entry is wrong, or one too many. *range: the start of a range that is not ended yet. */
static bool add_device(const u8 *p, const u8 **range, struct ivrs_info *out)
{
    const u8 *start = *range;
    if (start && p[0] != DEV_END_RANGE) return false;
    u16 id = u16_at(p + 1);
    *range = p[0] == DEV_RANGE || p[0] == DEV_ALIAS_RANGE || p[0] == DEV_RANGE_EXT ? p : NULL;
    switch (p[0]) {
    case DEV_ALL: return add_setting(0, 0xffff, p[3], out);
    case DEV_ONE: case DEV_ONE_EXT: case DEV_ACPI: return add_setting(id, id, p[3], out);
    case DEV_ALIAS: return add_aliased(p, id, id, out);
    case DEV_END_RANGE:
        return !start || (start[0] == DEV_ALIAS_RANGE ? add_aliased(start, u16_at(start + 1), id, out)
                                                      : add_setting(u16_at(start + 1), id, start[3], out));
    case DEV_SPECIAL:
        id = u16_at(p + 5);
        return add_setting(id, id, p[3], out) && (p[7] != SPECIAL_IOAPIC || add_ioapic(p[4], id, out));
    default: return true;
    }
}

static void add_devices(const u8 *table, const struct ivrs_block *b, struct ivrs_info *out)
{
    const u8 *range = NULL, *end = (const u8 *)b + b->length;
    unsigned header = b->type == IVHD_BASIC ? IVHD_BASIC_BYTES : IVHD_EXT_BYTES;
    const u8 *p = (const u8 *)b + MIN(header, (unsigned)b->length);
    for (unsigned n; p < end; p += n) {
        n = entry_size(p, (size_t)(end - p));
        if (n && add_device(p, &range, out)) continue;
        out->devices_bad = (u32)(p - table);
        return;
    }
    if (range) out->devices_bad = (u32)(range - table);
}

u16 ivrs_alias(const struct ivrs_info *info, u16 device)
{
    for (unsigned i = 0; i < info->nr_aliases; i++)
        if (device >= info->alias[i].first && device <= info->alias[i].last) return info->alias[i].alias;
    return device;
}

int ivrs_ioapic(const struct ivrs_info *info, u8 id)
{
    for (unsigned i = 0; i < info->nr_ioapics; i++)
        if (info->ioapic[i].id == id) return info->ioapic[i].requester;
    return -1;
}

static void add_ivmd(const struct ivmd *m, struct ivrs_info *out)
{
    u64 end = m->start + m->length;
    if (!m->length || end < m->start || out->nr_ranges == IVRS_MAX_RANGES) {
        printk(LOG_WARN, "AMD-Vi: IVMD range %#llx+%#llx ignored\n", (unsigned long long)m->start,
               (unsigned long long)m->length);
        return;
    }
    struct ivrs_range *r = &out->range[out->nr_ranges++];
    r->start = ROUND_DOWN(m->start, PAGE_SIZE);
    r->end = ROUND_UP(end, PAGE_SIZE);
    r->first = m->b.type == IVMD_ALL ? 0 : m->b.devid;
    /* Writable, unless it says "readable" and nothing else; also an exclusion range (section 5.2.2.2). */
    r->write = (m->b.flags & (IVMD_EXCLUSION | IVMD_WRITE | IVMD_READ)) != IVMD_READ;
    r->last = m->b.type == IVMD_ALL ? 0xffff : m->b.type == IVMD_RANGE ? m->aux : m->b.devid;
}

int ivrs_parse(const struct acpi_header *table, struct ivrs_info *out)
{
    memset(out, 0, sizeof(*out));
    if (table->length < sizeof(struct ivrs)) return -EINVAL;
    out->address_bits = IVINFO_VASIZE(((const struct ivrs *)table)->info) ?: 64;
    const u8 *p = (const u8 *)table + sizeof(struct ivrs), *end = (const u8 *)table + table->length;
    while ((size_t)(end - p) >= sizeof(struct ivrs_block)) {
        const struct ivrs_block *b = (const void *)p;
        if (b->length < sizeof(*b) || b->length > end - p) return -EINVAL;
        bool hd = b->type == IVHD_BASIC || b->type == IVHD_EXT || b->type == IVHD_EXT_ACPI;
        bool md = b->type >= IVMD_ALL && b->type <= IVMD_RANGE;
        if ((hd && b->length < sizeof(struct ivhd)) || (md && b->length < sizeof(struct ivmd))) return -EINVAL;
        if (hd) add_ivhd((const void *)p, out);
        if (hd) add_devices((const u8 *)table, b, out);
        if (md) add_ivmd((const void *)p, out);
        p += b->length;
    }
    return out->nr_iommus ? 0 : -ENODEV;
}
