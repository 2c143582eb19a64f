/* SPDX-License-Identifier: MIT */
/* Multiboot Specification 0.6.96 (mb1), Multiboot2 Specification 2.0 (mb2),
 * public arch-x86/hvm/start_info.h (PVH). */
#include "boot/multiboot.h"
#include "boot/memmap.h"
#include "lib/lib.h"

/* ---- strings ---- */

static bool is_program_name(const char *s, size_t n)
{
    if (n == 11 && !strncmp(s, "placeholder", n))
        return true;
    for (size_t i = 0; i < n && s[i] != '='; i++)
        if (s[i] == '/')
            return true;
    return false;
}

void boot_string(char *dst, const char *src, size_t size, bool named)
{
    while (*src == ' ')
        src++;
    size_t n = 0;
    while (src[n] && src[n] != ' ')
        n++;
    if (named || is_program_name(src, n)) {
        src += n;
        while (*src == ' ')
            src++;
    }
    str_copy(dst, src, size);
    /* QEMU escapes and GRUB variables leave blanks at the end. */
    for (size_t l = strlen(dst); l && (dst[l - 1] == ' ' || dst[l - 1] == '\n'); l--)
        dst[l - 1] = 0;
}

/* Read a string of unknown length from loader memory; cut at size - 1. */
static void read_string(char *dst, size_t size, paddr_t p, phys_at_fn at)
{
    size_t i = 0;

    for (; p && i + 1 < size; i++) {
        const char *c = at(p + i, 1);
        if (!c || !*c)
            break;
        dst[i] = *c;
    }
    dst[i] = 0;
}

static char scratch[BOOT_CMDLINE + 256];    /* a path in front must not cost the options */

static void copy_string(char *dst, paddr_t p, bool named, phys_at_fn at)
{
    read_string(scratch, sizeof(scratch), p, at);
    boot_string(dst, scratch, BOOT_CMDLINE, named);
}

#define BAD_MODULE "module ends before it starts, or lies over another"

/* A module with a range of its own; further ones than we have room for are ignored (the loader's choice). */
static struct boot_module *add_module(struct boot_info *bi, u64 start, u64 end)
{
    if (bi->nr_modules >= BOOT_MAX_MODULES || end < start)
        return NULL;
    for (unsigned i = 0; i < bi->nr_modules; i++)
        if (start < bi->module[i].start + bi->module[i].size && bi->module[i].start < end)
            return NULL;
    struct boot_module *m = &bi->module[bi->nr_modules++];
    m->start = start;
    m->size = end - start;
    return m;
}

/* ---- multiboot 1 ---- */

struct mb1_info {
    u32 flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr, syms[4], mmap_length, mmap_addr;
    u32 drives_length, drives_addr, config, loader_name, apm, vbe[4];
    u64 fb_addr; u32 fb_pitch, fb_width, fb_height; u8 fb_bpp, fb_type;
    u8 red_pos, red_size, green_pos, green_size, blue_pos, blue_size;
} __packed;
struct mb1_module { u32 start, end, string, pad; };
struct mb1_mmap { u32 size; u64 addr, len; u32 type; } __packed;
enum { MB1_CMDLINE = 1 << 2, MB1_MODS = 1 << 3, MB1_MMAP = 1 << 6, MB1_LOADER = 1 << 9, MB1_FB = 1 << 12 };
enum { FB_RGB = 1, FB_TEXT = 2 };

static const char *mb1_mmap(struct boot_info *bi, const struct mb1_info *m, phys_at_fn at)
{
    struct mb1_mmap e;

    for (u64 off = 0; off + sizeof(e) <= m->mmap_length; ) {
        const void *p = at((u64)m->mmap_addr + off, sizeof(e));
        if (!p)
            return "memory map out of reach";
        memcpy(&e, p, sizeof(e));
        if (e.size < sizeof(e) - 4)
            return "memory map entry too short";
        memmap_add(bi, e.addr, e.len, e.type);
        off += (u64)e.size + 4;
    }
    return bi->nr_mmap ? NULL : "empty memory map";
}

static void mb1_framebuffer(struct boot_info *bi, const struct mb1_info *m)
{
    if (m->fb_type != FB_RGB && m->fb_type != FB_TEXT)
        return;
    bi->fb.addr = m->fb_addr;
    bi->fb.pitch = m->fb_pitch;
    bi->fb.width = m->fb_width;
    bi->fb.height = m->fb_height;
    bi->fb.bpp = m->fb_bpp;
    bi->fb.text = m->fb_type == FB_TEXT;
    bi->fb.red_pos = m->red_pos;
    bi->fb.red_size = m->red_size;
    bi->fb.green_pos = m->green_pos;
    bi->fb.green_size = m->green_size;
    bi->fb.blue_pos = m->blue_pos;
    bi->fb.blue_size = m->blue_size;
}

const char *mb1_parse(struct boot_info *bi, struct mb_extra *x, paddr_t info, phys_at_fn at)
{
    struct mb1_info m = { 0 };
    const void *p = at(info, offsetof(struct mb1_info, fb_addr));

    bi->entry = "multiboot";
    if (!p)
        return "information out of reach";
    memcpy(&m, p, offsetof(struct mb1_info, fb_addr));
    if (m.flags & MB1_FB) {
        p = at(info, sizeof(m));
        if (p) {
            memcpy(&m, p, sizeof(m));
            mb1_framebuffer(bi, &m);
        }
    }
    if (m.flags & MB1_LOADER) {
        read_string(scratch, 16, m.loader_name, at);
        x->qemu = !strcmp(scratch, "qemu");
    }
    if (m.flags & MB1_CMDLINE)
        copy_string(bi->cmdline, m.cmdline, x->qemu, at);
    for (u32 i = 0; m.flags & MB1_MODS && i < MIN(m.mods_count, (u32)BOOT_MAX_MODULES); i++) {
        struct mb1_module mod;
        p = at((u64)m.mods_addr + i * sizeof(mod), sizeof(mod));
        if (!p)
            return "module list out of reach";
        memcpy(&mod, p, sizeof(mod));
        struct boot_module *b = add_module(bi, mod.start, mod.end);
        if (!b)
            return BAD_MODULE;
        copy_string(b->cmdline, mod.string, x->qemu, at);
    }
    return m.flags & MB1_MMAP ? mb1_mmap(bi, &m, at) : "no memory map";
}

/* ---- multiboot 2 ---- */

struct mb2_tag { u32 type, size; };
enum {
    TAG_END = 0, TAG_CMDLINE = 1, TAG_MODULE = 3, TAG_MMAP = 6, TAG_FB = 8, TAG_EFI64 = 12, TAG_ACPI_OLD = 14,
    TAG_ACPI_NEW = 15, TAG_EFI_MMAP = 17, TAG_EFI_BS = 18, TAG_EFI64_IH = 20,
};

struct mb2_ctx { struct boot_info *bi; struct mb_extra *x; };

static u32 get32(const u8 *p) { u32 v; memcpy(&v, p, 4); return v; }
static u64 get64(const u8 *p) { u64 v; memcpy(&v, p, 8); return v; }

/* The string of a tag ends inside the tag or it is cut there. */
static void mb2_string(char *dst, const u8 *s, u32 n)
{
    size_t len = MIN((size_t)n, sizeof(scratch) - 1);

    memcpy(scratch, s, len);
    scratch[len] = 0;
    boot_string(dst, scratch, BOOT_CMDLINE, false);
}

/* b = tag contents after the header, n = their length. */
static const char *mb2_cmdline(struct mb2_ctx *c, const u8 *b, u32 n)
{
    mb2_string(c->bi->cmdline, b, n);
    return NULL;
}

static const char *mb2_module(struct mb2_ctx *c, const u8 *b, u32 n)
{
    if (c->bi->nr_modules == BOOT_MAX_MODULES)
        return NULL;
    struct boot_module *m = add_module(c->bi, get32(b), get32(b + 4));
    if (!m)
        return BAD_MODULE;
    mb2_string(m->cmdline, b + 8, n - 8);
    return NULL;
}

static const char *mb2_mmap(struct mb2_ctx *c, const u8 *b, u32 n)
{
    u32 step = get32(b);

    if (step < 20 || step > 4096)
        return "memory map with impossible entry size";
    for (u64 off = 8; off + step <= n; off += step)
        memmap_add(c->bi, get64(b + off), get64(b + off + 8), get32(b + off + 16));
    return NULL;
}

static const char *mb2_framebuffer(struct mb2_ctx *c, const u8 *b, u32 n)
{
    __typeof__(c->bi->fb) *fb = &c->bi->fb;
    u8 type = b[21];

    if (type != FB_TEXT && (type != FB_RGB || n < 30))
        return NULL;
    fb->addr = get64(b);
    fb->pitch = get32(b + 8);
    fb->width = get32(b + 12);
    fb->height = get32(b + 16);
    fb->bpp = b[20];
    fb->text = type == FB_TEXT;
    if (type == FB_RGB) {
        fb->red_pos = b[24];
        fb->red_size = b[25];
        fb->green_pos = b[26];
        fb->green_size = b[27];
        fb->blue_pos = b[28];
        fb->blue_size = b[29];
    }
    return NULL;
}

static const char *mb2_efi64(struct mb2_ctx *c, const u8 *b, u32 n)
{
    c->bi->efi_system_table = get64(b);
    return NULL;
}

static const char *mb2_efi_image(struct mb2_ctx *c, const u8 *b, u32 n)
{
    c->x->efi_image_handle = get64(b);
    return NULL;
}

static const char *mb2_acpi(struct mb2_ctx *c, const u8 *b, u32 n)
{
    if (n > c->x->rsdp_len) {       /* the longer one is the newer revision */
        c->x->rsdp = b;
        c->x->rsdp_len = MIN(n, 36u);
    }
    return NULL;
}

static const char *mb2_efi_bs(struct mb2_ctx *c, const u8 *b, u32 n)
{
    c->x->efi_boot_services = true;
    return NULL;
}

static const char *mb2_efi_mmap(struct mb2_ctx *c, const u8 *b, u32 n)
{
    /* The E820-like tag is there too and says the same; this one is kept for dom0's EFI runtime. */
    return NULL;
}

static const char *mb2_tag(struct mb2_ctx *c, u32 type, const u8 *b, u32 n)
{
    switch (type) {
    case TAG_CMDLINE:  return mb2_cmdline(c, b, n);
    case TAG_MODULE:   return n < 8 ? "short module tag" : mb2_module(c, b, n);
    case TAG_MMAP:     return n < 8 ? "short memory map tag" : mb2_mmap(c, b, n);
    case TAG_FB:       return n < 24 ? NULL : mb2_framebuffer(c, b, n);
    case TAG_EFI64:    return n < 8 ? "short EFI tag" : mb2_efi64(c, b, n);
    case TAG_EFI64_IH: return n < 8 ? "short EFI tag" : mb2_efi_image(c, b, n);
    case TAG_ACPI_OLD:
    case TAG_ACPI_NEW: return n < 20 ? NULL : mb2_acpi(c, b, n);
    case TAG_EFI_BS:   return mb2_efi_bs(c, b, n);
    case TAG_EFI_MMAP: return mb2_efi_mmap(c, b, n);
    default:           return NULL;
    }
}

const char *mb2_parse(struct boot_info *bi, struct mb_extra *x, paddr_t info, phys_at_fn at)
{
    struct mb2_ctx c = { bi, x };
    const u8 *p = at(info, 8);

    bi->entry = "multiboot2";
    if (!p)
        return "information out of reach";
    u32 total = get32(p);
    if (total < 16 || total > MiB(16) || !(p = at(info, total)))
        return "impossible length of the information";
    for (u32 off = 8; off + sizeof(struct mb2_tag) <= total; ) {
        struct mb2_tag t;
        memcpy(&t, p + off, sizeof(t));
        if (t.size < sizeof(t) || t.size > total - off)
            return "tag longer than the information";
        if (t.type == TAG_END)
            break;
        const char *bad = mb2_tag(&c, t.type, p + off + sizeof(t), t.size - (u32)sizeof(t));
        if (bad)
            return bad;
        off += ROUND_UP(t.size, 8u);
        if (off > total)
            break;
    }
    return bi->nr_mmap || x->efi_boot_services ? NULL : "no memory map";
}

/* ---- PVH ---- */

struct pvh_info { u32 magic, version, flags, nr_modules; u64 modlist, cmdline, rsdp, memmap; u32 nr_memmap, pad; };
struct pvh_module { u64 paddr, size, cmdline, pad; };
struct pvh_memmap { u64 addr, size; u32 type, pad; };

const char *pvh_parse(struct boot_info *bi, struct mb_extra *x, paddr_t info, phys_at_fn at)
{
    struct pvh_info s;
    const void *p = at(info, sizeof(s));

    bi->entry = "PVH";
    if (!p)
        return "start_info out of reach";
    memcpy(&s, p, sizeof(s));
    if (s.magic != PVH_BOOT_MAGIC)
        return "wrong magic number";
    if (s.version < 1)
        return "start_info version 0 has no memory map";
    bi->rsdp = s.rsdp;
    copy_string(bi->cmdline, s.cmdline, false, at);
    for (u32 i = 0; i < MIN(s.nr_modules, (u32)BOOT_MAX_MODULES); i++) {
        struct pvh_module m;
        p = at(s.modlist + i * sizeof(m), sizeof(m));
        if (!p)
            return "module list out of reach";
        memcpy(&m, p, sizeof(m));
        struct boot_module *b = add_module(bi, m.paddr, m.paddr + m.size);
        if (!b)
            return BAD_MODULE;
        copy_string(b->cmdline, m.cmdline, false, at);
    }
    for (u32 i = 0; i < MIN(s.nr_memmap, 4 * (u32)BOOT_MAX_MMAP); i++) {
        struct pvh_memmap e;
        p = at(s.memmap + i * sizeof(e), sizeof(e));
        if (!p)
            return "memory map out of reach";
        memcpy(&e, p, sizeof(e));
        memmap_add(bi, e.addr, e.size, e.type);
    }
    return bi->nr_mmap ? NULL : "empty memory map";
}
