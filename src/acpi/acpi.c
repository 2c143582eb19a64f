/* SPDX-License-Identifier: MIT */
/* Finding the ACPI tables (ACPI 6.4, 5.2.5-5.2.8). */
#include "acpi/internal.h"
#include "mm/hostmap.h"

enum {
    MAX_TABLES = 128,
    HEADER = sizeof(struct acpi_header),
    MAX_LENGTH = 16 << 20,          /* of one table; the largest DSDTs have about 1 MiB */
};

static struct { paddr_t addr; const struct acpi_header *t; } tables[MAX_TABLES];
static unsigned nr_tables;
paddr_t acpi_rsdp_paddr;

#ifdef HOSTED
/* Tables lie in the fake machine's RAM unless a test brings its own map. */
__attribute__((weak)) const void *boot_map(paddr_t p, size_t len) { return frame_window + p; }
#endif

static bool sum_is_zero(const void *p, size_t len)
{
    const u8 *b = p;
    u8 sum = 0;

    /* Eight bytes at a time, in lanes of 16 bits: firmware has hundreds of KiB of AML. At most 128 rounds, so that
     * no lane overflows. */
    while (len >= 8) {
        u64 even = 0, odd = 0;
        for (unsigned i = 0; i < 128 && len >= 8; i++, b += 8, len -= 8) {
            u64 v;
            memcpy(&v, b, 8);
            even += v & 0x00ff00ff00ff00ffULL;
            odd += v >> 8 & 0x00ff00ff00ff00ffULL;
        }
        even = (even + odd) & 0x00ff00ff00ff00ffULL;
        even += even >> 32;
        even += even >> 16;
        sum = (u8)(sum + (u8)even);
    }
    while (len--)
        sum = (u8)(sum + *b++);
    return sum == 0;
}

/* ---- RSDP ---- */

/* 36 bytes at p: is this a root pointer, and which table does it point to? */
static bool rsdp_good(const u8 *p, paddr_t *root, bool *is_xsdt)
{
    if (memcmp(p, "RSD PTR ", 8) || !sum_is_zero(p, 20))
        return false;
    *is_xsdt = p[15] >= 2 && acpi_u32(p, 20) >= 36 && acpi_u64(p, 24) && sum_is_zero(p, 36);
    *root = *is_xsdt ? acpi_u64(p, 24) : acpi_u32(p, 16);
    return *root != 0;
}

static paddr_t rsdp_scan(paddr_t start, u64 len)
{
    const u8 *p = boot_map(start, len);
    paddr_t root;
    bool x;

    for (u64 off = 0; p && off + 36 <= len; off += 16)
        if (rsdp_good(p + off, &root, &x))
            return start + off;
    return 0;
}

/* PC BIOS places (5.2.5.1): first KiB of the extended BIOS data area, then 0xE0000-0xFFFFF. */
static paddr_t rsdp_search(void)
{
    const u8 *bda = boot_map(0x400, 0x100);
    paddr_t ebda = bda ? (paddr_t)acpi_u16(bda, 0xe) << 4 : 0, found = 0;

    if (ebda >= 0x80000 && ebda < 0xa0000)
        found = rsdp_scan(ebda, MIN(0x400ULL, 0xa0000 - ebda));
    return found ? found : rsdp_scan(0xe0000, 0x20000);
}

/* ---- tables ---- */

static bool sig_printable(const char *sig)
{
    for (unsigned i = 0; i < 4; i++)
        if (sig[i] < ' ' || sig[i] > '~')
            return false;
    return true;
}

/* Map and check the table at `addr`; NULL after naming what is wrong with it. */
static const struct acpi_header *table_map(paddr_t addr)
{
    const struct acpi_header *h = boot_map(addr, HEADER);

    if (!h || !sig_printable(h->sig)) {
        printk(LOG_WARN, "ACPI: no table at %#llx, skipped\n", (unsigned long long)addr);
        return NULL;
    }
    u32 len = h->length;
    if (len < HEADER || len > MAX_LENGTH || !(h = boot_map(addr, len))) {
        printk(LOG_WARN, "ACPI: table at %#llx has impossible length %u, skipped\n", (unsigned long long)addr, len);
        return NULL;
    }
    if (!sum_is_zero(h, len)) {
        printk(LOG_WARN, "ACPI: table %.4s at %#llx has a wrong checksum, skipped\n", h->sig,
               (unsigned long long)addr);
        return NULL;
    }
    return h;
}

static void table_add(paddr_t addr)
{
    if (!addr)
        return;
    for (unsigned i = 0; i < nr_tables; i++)
        if (tables[i].addr == addr)
            return;
    if (nr_tables == MAX_TABLES) {
        printk(LOG_WARN, "ACPI: more than %u tables, the one at %#llx is skipped\n", MAX_TABLES,
               (unsigned long long)addr);
        return;
    }
    const struct acpi_header *h = table_map(addr);
    if (!h)
        return;
    if (!memcmp(h->sig, "XSDT", 4) || !memcmp(h->sig, "RSDT", 4)) {
        printk(LOG_WARN, "ACPI: the table list contains a table list, skipped\n");
        return;
    }
    tables[nr_tables].addr = addr;
    tables[nr_tables++].t = h;
}

static bool walk_root(paddr_t root, bool is_xsdt)
{
    const struct acpi_header *h = table_map(root);
    unsigned size = is_xsdt ? 8 : 4;

    if (!h || memcmp(h->sig, is_xsdt ? "XSDT" : "RSDT", 4))
        return false;
    for (u32 off = HEADER; off + size <= h->length; off += size)
        table_add(is_xsdt ? acpi_u64(h, off) : acpi_u32(h, off));
    return true;
}

static void walk_all(void)
{
    const u8 *p = boot_map(acpi_rsdp_paddr, 36);
    paddr_t root;
    bool is_xsdt;

    if (!p || !rsdp_good(p, &root, &is_xsdt)) {
        printk(LOG_WARN, "ACPI: no root pointer at %#llx\n", (unsigned long long)acpi_rsdp_paddr);
        return;
    }
    /* A bad XSDT leaves the 32-bit list of the same tables. */
    if (!walk_root(root, is_xsdt) && is_xsdt && acpi_u32(p, 16))
        walk_root(acpi_u32(p, 16), false);
}

void acpi_init(paddr_t rsdp)
{
    nr_tables = 0;
    acpi_rsdp_paddr = rsdp ? rsdp : rsdp_search();
    if (acpi_rsdp_paddr)
        walk_all();
    if (!nr_tables)
        printk(LOG_WARN, "ACPI: no tables found; one CPU and no IO-APIC are assumed\n");
    for (unsigned i = 0; i < nr_tables; i++)
        printk(LOG_DEBUG, "ACPI: %.4s %#llx, %u bytes\n", tables[i].t->sig, (unsigned long long)tables[i].addr,
               tables[i].t->length);
    acpi_read_tables();
}

const struct acpi_header *acpi_find(const char sig[4], unsigned n)
{
    for (unsigned i = 0; i < nr_tables; i++)
        if (!memcmp(tables[i].t->sig, sig, 4) && n-- == 0)
            return tables[i].t;
    return NULL;
}

unsigned acpi_table_count(void)
{
    return nr_tables;
}

paddr_t acpi_table_addr(unsigned i, char sig[5])
{
    if (i >= nr_tables)
        return 0;
    memcpy(sig, tables[i].t->sig, 4);
    sig[4] = 0;
    return tables[i].addr;
}
