/* SPDX-License-Identifier: MIT */
/*
 * Microcode from a boot module (ucode=N or scan), from the firmware's file (EFI ucode=), loaded on every CPU. The
 * file is untrusted until the CPU checks its signature: every length here is checked before it is used. A file
 * without a matching update is no error.
 */
#include "boot/boot.h"
#include "boot/cmdline.h"
#include "cpu/internal.h"
#include "mm/mm.h"

static const u8 *blob;              /* container of this vendor */
static size_t blob_size;
static const u8 *patch;             /* update that fits the boot CPU (heap copy), or NULL */
static size_t patch_size;
static u32 patch_rev;

static int module_index;            /* ucode=N; counted from the end if negative */
static bool by_index, by_scan;

static int parse_index(const char *word, int *index)
{
    bool minus = *word == '-';
    const char *end;
    u64 i = parse_u64(word + minus, &end);
    if (end == word + minus || *end || i > BOOT_MAX_MODULES)
        return -EINVAL;
    *index = minus ? -(int)i : (int)i;
    return 0;
}

/* The last number or scan= counts. */
static int opt_ucode(const char *v)
{
    /* Updates are loaded before anything else runs: there is nothing to hold still in an NMI, and the same revision again
     * changes nothing. */
    static const char *const no_effect[] = { "nmi", "allow-same" };
    bool index_given = by_index, scan = by_scan, ignored;
    int index = module_index;
    char word[24];
    while (cmdline_word(&v, word, sizeof(word))) {
        int rc = cmdline_list_bool(&scan, word, "scan");
        if (!rc)
            index_given &= !scan;
        for (unsigned i = 0; rc == -ENOENT && i < ARRAY_SIZE(no_effect); i++)
            rc = cmdline_list_bool(&ignored, word, no_effect[i]);
        if (rc == -ENOENT && !(rc = parse_index(word, &index)))
            index_given = true, scan = false;
        if (rc)
            return rc;
    }
    module_index = index;
    by_index = index_given;
    by_scan = scan;
    return 0;
}
BOOT_OPTION(ucode, "ucode", OPT_CUSTOM, 0, NULL, opt_ucode,
            "microcode: list of <module number> (negative: from the end), scan[=<boolean>] (search the initrd); "
            "nmi[=<boolean>], allow-same[=<boolean>]: accepted, no effect");

static u32 get32(const u8 *p)
{
    u32 v;
    memcpy(&v, p, 4);
    return v;
}
static u16 get16(const u8 *p) { return (u16)(p[0] | p[1] << 8); }

/* ---- AMD container: magic, equivalence table, then patches (AMD's format in linux-firmware) ---- */
#define AMD_MAGIC 0x00414d44
enum { AMD_EQUIV = 0, AMD_PATCH = 1, AMD_EQUIV_ENTRY = 16, AMD_HEADER = 64 };

/* Equivalent processor id of this CPU's signature; 0 if it is not listed. */
static u16 amd_equiv_id(const u8 *table, u32 size, u32 signature)
{
    for (u32 off = 0; off + AMD_EQUIV_ENTRY <= size && get32(table + off); off += AMD_EQUIV_ENTRY)
        if (get32(table + off) == signature)
            return get16(table + off + 12);
    return 0;
}

/* Best patch in one container at p; *used gets its length. Containers may be concatenated. */
static void amd_container(const u8 *p, size_t size, size_t *used, u32 signature, u32 current)
{
    *used = size;
    if (size < 12 || get32(p) != AMD_MAGIC || get32(p + 4) != AMD_EQUIV || get32(p + 8) > size - 12)
        return;
    u16 id = amd_equiv_id(p + 12, get32(p + 8), signature);
    size_t off = 12 + (size_t)get32(p + 8);
    while (size - off >= 8) {
        u32 type = get32(p + off), len = get32(p + off + 4);
        if (type == AMD_MAGIC)
            break;
        if (type != AMD_PATCH || len > size - off - 8 || len < AMD_HEADER || len > KiB(64))
            return;
        const u8 *u = p + off + 8;
        u32 rev = get32(u + 4);
        /* Offset 24: processor revision id that the equivalence table leads to. */
        if (id && get16(u + 24) == id && rev > current && rev > patch_rev) {
            patch = u;
            patch_size = len;
            patch_rev = rev;
        }
        off += 8 + len;
    }
    *used = off;
}

static void amd_find(u32 signature, u32 current)
{
    size_t off = 0, used;
    while (blob_size - off >= 12 && get32(blob + off) == AMD_MAGIC) {
        amd_container(blob + off, blob_size - off, &used, signature, current);
        off += used;
    }
}

/* ---- Intel: updates one after the other (SDM vol. 3, 10.11.1) ---- */
enum { INTEL_HEADER = 48, INTEL_EXT_HEADER = 20, INTEL_EXT_ENTRY = 12 };

static bool intel_sum_ok(const u8 *p, u32 size)
{
    u32 sum = 0;
    for (u32 i = 0; i < size; i += 4)
        sum += get32(p + i);
    return sum == 0;
}

static bool intel_matches(const u8 *u, u32 data, u32 total, u32 signature, u32 platform)
{
    if (get32(u + 12) == signature && (get32(u + 24) & platform || (!get32(u + 24) && !platform)))
        return true;
    if (total < INTEL_HEADER + data + INTEL_EXT_HEADER)
        return false;
    const u8 *ext = u + INTEL_HEADER + data;
    u32 room = (total - INTEL_HEADER - data - INTEL_EXT_HEADER) / INTEL_EXT_ENTRY, n = MIN(get32(ext), room);
    for (u32 i = 0; i < n; i++) {
        const u8 *e = ext + INTEL_EXT_HEADER + (size_t)i * INTEL_EXT_ENTRY;
        if (get32(e) == signature && (get32(e + 4) & platform))
            return true;
    }
    return false;
}

static void intel_find(u32 signature, u32 current)
{
    u64 id;
    u32 platform = rdmsr_safe(MSR_PLATFORM_ID, &id) ? 0 : 1u << (id >> 50 & 7);
    for (size_t off = 0; blob_size - off >= INTEL_HEADER;) {
        const u8 *u = blob + off;
        u32 data = get32(u + 28), total = get32(u + 32);
        if (!data)
            data = 2000, total = 2048;
        if (get32(u) != 1 || get32(u + 20) != 1 || total < INTEL_HEADER || (total & 3) || total > blob_size - off ||
            data > total - INTEL_HEADER)
            return;
        u32 rev = get32(u + 4);
        if (intel_matches(u, data, total, signature, platform) && rev > current && rev > patch_rev &&
            intel_sum_ok(u, INTEL_HEADER + data)) {
            patch = u;
            patch_size = total;
            patch_rev = rev;
        }
        off += total;
    }
}

/* ---- finding the blob ---- */
static u32 hex8(const u8 *p)
{
    u32 v = 0;
    for (unsigned i = 0; i < 8; i++) {
        u32 c = p[i] | 32u;         /* digits have this bit anyway */
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return ~0u;
        v = v << 4 | (c <= '9' ? c - '0' : c - 'a' + 10);
    }
    return v;
}

/* Early, uncompressed cpio archive (newc) in front of an initrd: the vendor's file in it. */
static bool cpio_find(const u8 *p, size_t size, const char *name)
{
    enum { HEADER = 110, FILESIZE = 54, NAMESIZE = 94 };
    size_t off = 0;
    while (off < size && size - off >= HEADER && !memcmp(p + off, "07070", 5)) {
        u32 flen = hex8(p + off + FILESIZE), nlen = hex8(p + off + NAMESIZE);
        size_t data = ROUND_UP(off + HEADER + (size_t)nlen, 4UL);
        if (flen == ~0u || nlen == ~0u || nlen == 0 || nlen > 4096 || data > size || flen > size - data)
            return false;
        const char *n = (const char *)p + off + HEADER;
        if (nlen == strlen(name) + 1 && !memcmp(n, name, nlen)) {
            blob = p + data;
            blob_size = flen;
            return true;
        }
        if (nlen == 11 && !memcmp(n, "TRAILER!!!", 11))
            return false;
        off = ROUND_UP(data + flen, 4UL);
    }
    return false;
}

static void remove_module(unsigned n)
{
    for (unsigned i = n; i + 1 < boot_info.nr_modules; i++)
        boot_info.module[i] = boot_info.module[i + 1];
    boot_info.nr_modules--;
}

/* A file that is for us alone: the update itself, or an archive with it. */
static void use_file(const char *name)
{
    const u8 *p = phys_to_virt(boot_info.ucode);
    if (cpio_find(p, boot_info.ucode_size, name))
        return;
    blob = p;
    blob_size = boot_info.ucode_size;
}

static void find_blob(void)
{
    const char *name = host.vendor == VENDOR_INTEL ? "kernel/x86/microcode/GenuineIntel.bin"
                                                   : "kernel/x86/microcode/AuthenticAMD.bin";
    if (by_index && !boot_info.ucode) {
        int n = module_index >= 0 ? module_index : (int)boot_info.nr_modules + module_index;
        if (n <= 0 || n >= (int)boot_info.nr_modules) {         /* 0 is the kernel */
            printk(LOG_WARN, "ucode=%d: there is no such module\n", module_index);
            return;
        }
        boot_info.ucode = boot_info.module[n].start;
        boot_info.ucode_size = boot_info.module[n].size;
        remove_module((unsigned)n);
    }
    if (boot_info.ucode)
        use_file(name);
    for (unsigned i = 1; by_scan && i < boot_info.nr_modules && !blob; i++)
        cpio_find(phys_to_virt(boot_info.module[i].start), boot_info.module[i].size, name);
}

/* ---- loading ---- */
static u32 revision(void)
{
    u64 v = 0;
    if (host.vendor == VENDOR_INTEL) {  /* the revision appears after a CPUID with the MSR cleared (SDM 10.11.7.1) */
        u32 r[4];
        (void)!wrmsr_safe(MSR_UCODE_REV, 0);
        cpuid(1, 0, r);
        return rdmsr_safe(MSR_UCODE_REV, &v) ? 0 : (u32)(v >> 32);
    }
    return rdmsr_safe(MSR_UCODE_REV, &v) ? 0 : (u32)v;
}

static void load_here(void)
{
    if (!patch || revision() >= patch_rev)
        return;
    u64 addr = (u64)patch + (host.vendor == VENDOR_INTEL ? INTEL_HEADER : 0);
    int err = wrmsr_safe(host.vendor == VENDOR_INTEL ? (u32)MSR_INTEL_UCODE_WRITE : (u32)MSR_AMD_PATCH_LOADER, addr);
    u32 now = revision();
    if (err || now != patch_rev)
        printk(LOG_WARN, "CPU%u: the CPU refused microcode 0x%08x, stays at 0x%08x\n", this_cpu()->id, patch_rev,
               now);
}

/* Keep the update: the module's memory goes to dom0. */
static void keep_patch(void)
{
    void *copy = kzalloc(ROUND_UP(patch_size, PAGE_SIZE));      /* page aligned from 4096 up */
    if (copy)
        memcpy(copy, patch, patch_size);
    patch = copy;
}

void ucode_init(void)
{
    find_blob();
    u32 r[4], old = revision();
    cpuid(1, 0, r);
    if (blob && host.vendor == VENDOR_INTEL)
        intel_find(r[0], old);
    else if (blob && host.vendor != VENDOR_OTHER)
        amd_find(r[0], old);
    if (!patch) {
        printk(LOG_INFO, "Microcode: revision 0x%08x%s\n", old,
               blob ? ", the file has nothing newer for this CPU" : "");
        return;
    }
    keep_patch();
    load_here();
    printk(LOG_INFO, "Microcode: revision 0x%08x -> 0x%08x\n", old, revision());
    cpuid_init();                   /* new microcode, new features */
}

void ucode_init_ap(void)
{
    load_here();
}
