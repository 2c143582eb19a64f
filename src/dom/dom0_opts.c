/* SPDX-License-Identifier: MIT */
/* dom0_mem, dom0_max_vcpus, dom0, dom0-iommu, dom0_ioports_disable: parsing and arithmetic. */
#include "dom/dom0_opts.h"
#include "boot/cmdline.h"
#include "dom/domain.h"

struct dom0_mem opt_dom0_mem;
bool opt_dom0_no_iommu;
char opt_dom0_ioports_disable[200];
static unsigned opt_vcpus_min = 1, opt_vcpus_max = MAX_VCPUS;

/* One <sz>; *end at the first unused character. */
static int parse_sz(struct dom0_size *z, const char *s, const char **end)
{
    const char *first = s;
    u64 n;

    *z = (struct dom0_size){ .set = true };
    if (*s == '-') {
        z->negative = true;
        first = ++s;
    }
    n = parse_u64(s, end);
    if (*end == first)
        return -EINVAL;
    if (**end != '%') {
        z->bytes = parse_size(s, end);
        if (**end != '+')
            return 0;
        first = s = *end + 1;
        n = parse_u64(s, end);
        if (*end == first || **end != '%')
            return -EINVAL;
    }
    ++*end;
    z->percent = (unsigned)n;
    return n <= 100 && !z->negative ? 0 : -EINVAL;
}

/* *m changes only if all of it is right: a malformed option is said to be ignored, and must be. */
int dom0_mem_parse(struct dom0_mem *m, const char *s)
{
    struct dom0_mem new = { 0 };
    int rc = 0;

    do {
        if (!strncmp(s, "min:", 4))
            rc = parse_sz(&new.min, s + 4, &s);
        else if (!strncmp(s, "max:", 4))
            rc = parse_sz(&new.max, s + 4, &s);
        else
            rc = parse_sz(&new.nr, s, &s);
        if (rc)
            return rc;
    } while (*s == ',' && s++);
    if (*s)
        return -EINVAL;
    *m = new;
    return 0;
}

static u64 size_bytes(const struct dom0_size *z, u64 total, u64 avail)
{
    if (z->negative)
        return z->bytes < avail ? avail - z->bytes : 0;
    return z->bytes + total / 100 * z->percent;
}

u64 dom0_mem_bytes(const struct dom0_mem *m, u64 total, u64 avail)
{
    u64 n = avail - MIN(avail / 16, MiB(128));

    if (m->nr.set)
        n = size_bytes(&m->nr, total, avail);
    if (m->min.set)
        n = MAX(n, size_bytes(&m->min, total, avail));
    if (m->max.set)
        n = MIN(n, size_bytes(&m->max, total, avail));
    return ROUND_DOWN(MIN(n, avail), PAGE_SIZE);
}

u64 dom0_mem_max_bytes(const struct dom0_mem *m, u64 total, u64 avail)
{
    return m->max.set ? size_bytes(&m->max, total, avail) : ~0ULL;
}

int dom0_vcpus_parse(unsigned *min, unsigned *max, const char *s)
{
    const char *end;
    u64 lo = 1, hi = MAX_VCPUS;

    if (*s != '-') {
        lo = hi = parse_u64(s, &end);
        if (end == s)
            return -EINVAL;
        s = end;
    }
    if (*s == '-') {
        hi = MAX_VCPUS;
        if (*++s) {
            hi = parse_u64(s, &end);
            s = end;
        }
    }
    if (*s || !lo || hi < lo)
        return -EINVAL;
    *min = (unsigned)MIN(lo, (u64)MAX_VCPUS);
    *max = (unsigned)MIN(hi, (u64)MAX_VCPUS);
    return 0;
}

unsigned dom0_vcpus(unsigned cpus)
{
    return MIN(MAX(cpus, opt_vcpus_min), opt_vcpus_max);
}

static int opt_mem(const char *value) { return dom0_mem_parse(&opt_dom0_mem, value); }
BOOT_OPTION(dom0_mem, "dom0_mem", OPT_CUSTOM, 0, NULL, opt_mem,
            "memory of dom0: [min:<sz>,][max:<sz>,]<sz>; <sz> = [-]<size> or [<size>+]<percent>%");

static int opt_vcpus(const char *value) { return dom0_vcpus_parse(&opt_vcpus_min, &opt_vcpus_max, value); }
BOOT_OPTION(dom0_max_vcpus, "dom0_max_vcpus", OPT_CUSTOM, 0, NULL, opt_vcpus,
            "number of dom0's vCPUs: <n> or [<min>]-[<max>] around the number of CPUs");

static int opt_dom0(const char *value)
{
    char word[32];

    while (cmdline_word(&value, word, sizeof(word))) {
        if (!strcmp(word, "pv"))
            printk(LOG_WARN, "dom0=pv: dom0 is always PVH here; the option has no effect\n");
        else if (strcmp(word, "pvh") && strncmp(word, "verbose", 7) && strcmp(word, "no-verbose") &&
                 !strstr(word, "shadow") && !strstr(word, "cpuid-faulting") && !strstr(word, "msr-relaxed"))
            return -EINVAL;
    }
    return 0;
}
BOOT_OPTION(dom0, "dom0", OPT_CUSTOM, 0, NULL, opt_dom0, "type of dom0: pvh (the only one); other words are ignored");

static int opt_dom0_iommu(const char *value)
{
    char word[32];
    bool none = opt_dom0_no_iommu;

    while (cmdline_word(&value, word, sizeof(word))) {
        if (!strcmp(word, "none"))
            none = true;
        else if (!strstr(word, "passthrough") && !strstr(word, "strict") && !strstr(word, "map-inclusive") &&
                 !strstr(word, "map-reserved"))
            return -EINVAL;
    }
    opt_dom0_no_iommu = none;
    return 0;
}
BOOT_OPTION(dom0_iommu, "dom0-iommu", OPT_CUSTOM, 0, NULL, opt_dom0_iommu,
            "none: start dom0 although there is no IOMMU; its devices can then write to all memory; passthrough, strict, "
            "map-inclusive and map-reserved: accepted, no effect (always strict, with the ranges that firmware reserves)");
BOOT_OPTION(dom0_ioports, "dom0_ioports_disable", OPT_STRING, sizeof(opt_dom0_ioports_disable),
            opt_dom0_ioports_disable, NULL, "I/O ports dom0 may not touch: hex ranges <first>-<last>[,...]");
