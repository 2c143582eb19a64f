/* SPDX-License-Identifier: MIT */
/* ivmd= and rmrr=: ranges that the firmware forgot to declare. */
#include "iommu/reserved.h"
#include "boot/cmdline.h"

static bool hex(const char **s, u64 *out)
{
    const char *p = *s;
    u64 v = 0;
    if (p[0] == '0' && (p[1] | 0x20) == 'x') p += 2;
    const char *digits = p;
    for (;; p++) {
        char c = *p | 0x20;
        unsigned d = *p >= '0' && *p <= '9' ? (unsigned)(*p - '0') : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 : 16;
        if (d == 16 || v >> 60) break;
        v = v << 4 | d;
    }
    *s = p;
    *out = v;
    return p != digits && p - digits <= 16;
}

static bool take(const char **s, char c)
{
    if (**s != c) return false;
    ++*s;
    return true;
}

/* [segment:]bus:device.function */
static bool device(const char **s, u64 *segment, bool *has_segment, u16 *bdf)
{
    u64 n[3], fn;
    unsigned parts = 0;
    do {
        if (parts == 3 || !hex(s, &n[parts++])) return false;
    } while (take(s, ':'));
    if (parts < 2 || !take(s, '.') || !hex(s, &fn)) return false;
    u64 bus = n[parts - 2], dev = n[parts - 1];
    *has_segment = parts == 3;
    if (*has_segment) *segment = n[0];
    if (bus > 0xff || dev > 31 || fn > 7 || (*has_segment && n[0] > 0xffff)) return false;
    *bdf = (u16)(bus << 8 | dev << 3 | fn);
    return true;
}

/* One device or group after '='. Only segment 0 is translated; others are checked and have no effect. */
static bool devices(const char **s, bool rmrr, bool first, u64 *segment, struct ivrs_range *r)
{
    u64 seg = 0;
    bool has;
    if (!device(s, &seg, &has, &r->first)) return false;
    if (first) *segment = seg;
    else if (has && seg != *segment) return false;
    if (!rmrr && *segment) return false;
    r->last = r->first;
    if (!rmrr && take(s, '-') && (!device(s, &seg, &has, &r->last) || (has && seg) || r->last < r->first)) return false;
    return true;
}

static bool pages(const char **s, struct ivrs_range *r)
{
    u64 start, end;
    if (!hex(s, &start)) return false;
    end = start;
    if (take(s, '-') && !hex(s, &end)) return false;
    if (end < start || end >> 36) return false;                         /* 48 bits of device address */
    *r = (struct ivrs_range){ .start = start << PAGE_SHIFT, .end = (end + 1) << PAGE_SHIFT, .first = 0, .last = 0xffff,
                              .write = true };
    return true;
}

int reserved_parse(const char *s, bool rmrr, struct ivrs_range *out, unsigned max)
{
    unsigned n = 0;
    do {
        struct ivrs_range r;
        u64 segment = 0;
        if (!pages(&s, &r)) return -EINVAL;
        bool named = take(&s, '=');
        if (!named && rmrr) return -EINVAL;
        for (bool first = true;; first = false) {
            if (named && !devices(&s, rmrr, first, &segment, &r)) return -EINVAL;
            if (n == max) return -EINVAL;
            out[n] = r;
            if (!segment) n++;
            if (!named || !take(&s, ',')) break;
        }
    } while (take(&s, ';') && *s);
    return *s ? -EINVAL : (int)n;
}

static struct ivrs_range extra[IVRS_MAX_RANGES];
static unsigned nr_extra;

static int add(const char *value, bool rmrr)
{
    int n = reserved_parse(value, rmrr, extra + nr_extra, IVRS_MAX_RANGES - nr_extra);
    if (n < 0) return n;
    nr_extra += (unsigned)n;
    return 0;
}

static int opt_ivmd(const char *value) { return add(value, false); }
static int opt_rmrr(const char *value) { return add(value, true); }
BOOT_OPTION(ivmd, "ivmd", OPT_CUSTOM, 0, NULL, opt_ivmd,
            "<start>[-<end>][=<bdf>[-<bdf>][,...]][;...]: pages (hex) mapped 1:1 for these devices, or for all");
BOOT_OPTION(rmrr, "rmrr", OPT_CUSTOM, 0, NULL, opt_rmrr,
            "<start>[-<end>]=[<segment>:]<bdf>[,...][;...]: the same in the syntax for VT-d");

void reserved_add_options(struct ivrs_info *info)
{
    for (unsigned i = 0; i < nr_extra && info->nr_ranges < IVRS_MAX_RANGES; i++) info->range[info->nr_ranges++] = extra[i];
}
