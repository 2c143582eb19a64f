/* SPDX-License-Identifier: MIT */
/* IVRS: where the IOMMUs are (AMD IOMMU specification, section 5.2). Every length is checked. */
#include "iommu/ivrs.h"
#include "acpi/acpi.h"
#include "lib/lib.h"

struct ivrs { struct acpi_header h; u32 info; u64 reserved; } __packed;
struct ivrs_block { u8 type, flags; u16 length, devid; } __packed;
struct ivhd { struct ivrs_block b; u16 capability; u64 base; u16 segment, info; u32 features; } __packed;
struct ivmd { struct ivrs_block b; u16 aux; u64 reserved, start, length; } __packed;

enum { IVHD_BASIC = 0x10, IVHD_EXT = 0x11, IVHD_EXT_ACPI = 0x40, IVMD_ALL = 0x20, IVMD_ONE = 0x21, IVMD_RANGE = 0x22 };
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
    const u8 *p = (const u8 *)table + sizeof(struct ivrs), *end = (const u8 *)table + table->length;
    while ((size_t)(end - p) >= sizeof(struct ivrs_block)) {
        const struct ivrs_block *b = (const void *)p;
        if (b->length < sizeof(*b) || b->length > end - p) return -EINVAL;
        bool hd = b->type == IVHD_BASIC || b->type == IVHD_EXT || b->type == IVHD_EXT_ACPI;
        bool md = b->type >= IVMD_ALL && b->type <= IVMD_RANGE;
        if ((hd && b->length < sizeof(struct ivhd)) || (md && b->length < sizeof(struct ivmd))) return -EINVAL;
        if (hd) add_ivhd((const void *)p, out);
        if (md) add_ivmd((const void *)p, out);
        p += b->length;
    }
    return out->nr_iommus ? 0 : -ENODEV;
}
