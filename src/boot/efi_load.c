/* SPDX-License-Identifier: MIT */
/* What xen.efi boots: built-in sections of a unified image, or files named in xen.cfg. */
#include "boot/efi.h"
#include "boot/multiboot.h"
#include "boot/xencfg.h"

#define MAX_FILE (4ULL << 30)
#define CHUNK (16ULL << 20)             /* firmware file systems dislike larger reads */

struct blob { u64 addr, size; };

static struct efi_loaded_image *self;
static struct efi_file *root;
static char dir[256], own_name[128];    /* of our own image: "\EFI\xen\" and "xen.efi" */
static char load_options[1024];
static struct efi_args args;
static struct blob config;
static char section[64];                /* of the configuration */
static char value[BOOT_CMDLINE];

/* ---- names ---- */

static bool narrow(char *dst, size_t size, const char16 *src, size_t max)
{
    size_t n = 0;

    for (; n < max && src[n]; n++) {
        if (n + 1 >= size || src[n] > 126 || (src[n] < ' ' && src[n] != '\t'))
            return false;
        dst[n] = (char)src[n];
    }
    dst[n] = 0;
    return true;
}

/* The file path nodes of our own image, joined (10.3.5.4): directory and name. */
static void find_own_path(void)
{
    static char path[384];
    size_t len = 0;
    const u8 *p = (const u8 *)self->path;

    for (unsigned i = 0; p && i < 64 && !(p[0] == 0x7f); i++) {
        u32 n = p[2] | (u32)p[3] << 8;
        if (n < 4)
            break;
        if (p[0] == 4 && p[1] == 4) {
            if (len && path[len - 1] != '\\' && len + 1 < sizeof(path))
                path[len++] = '\\';
            if (!narrow(path + len, sizeof(path) - len, (const char16 *)(p + 4), (n - 4) / 2))
                break;
            len = strlen(path);
        }
        p += n;
    }
    path[len] = 0;
    size_t slash = 0;
    for (size_t i = 0; i < len; i++)
        if (path[i] == '\\')
            slash = i + 1;
    str_copy(own_name, path + slash, sizeof(own_name));
    path[slash] = 0;
    str_copy(dir, slash ? path : "\\", sizeof(dir));
}

/* ---- files ---- */

static efi_status open_root(void)
{
    static const struct efi_guid guid =
        { 0x964e5b22, 0x6459, 0x11d2, { 0x8e, 0x39, 0, 0xa0, 0xc9, 0x69, 0x72, 0x3b } };
    struct efi_file_system *fs;
    efi_status s = efi_st->boot->handle_protocol(self->device, &guid, (void **)&fs);

    return s ? s : fs->open_volume(fs, &root);
}

static efi_status open_file(const char *name, struct efi_file **out)
{
    char16 wide[512];
    size_t n = 0;
    const bool absolute = name[0] == '\\' || name[0] == '/';

    for (const char *p = absolute ? "" : dir; *p; p++)
        wide[n++] = (char16)*p;
    if (strlen(name) + n >= ARRAY_SIZE(wide))
        return EFI_NOT_FOUND;
    for (; *name; name++)
        wide[n++] = *name == '/' ? '\\' : (char16)(u8)*name;
    wide[n] = 0;
    return root->open(root, out, wide, EFI_FILE_READ, 0);
}

/* Position ~0 means the end (13.5): its value is the size. */
static efi_status file_size(struct efi_file *f, u64 *size)
{
    efi_status s = f->set_position(f, ~0ULL);

    if (!s)
        s = f->get_position(f, size);
    if (!s)
        s = f->set_position(f, 0);
    return s;
}

static efi_status read_file(const char *name, struct blob *b)
{
    struct efi_file *f;
    efi_status s = open_file(name, &f);

    if (s)
        return s;
    s = file_size(f, &b->size);
    if (!s && (!b->size || b->size > MAX_FILE))
        s = EFI_LOAD_ERROR;
    if (!s) {
        b->addr = efi_pages(ROUND_UP(b->size, PAGE_SIZE) >> PAGE_SHIFT, 0xffffffffULL);
        if (!b->addr)
            b->addr = efi_pages(ROUND_UP(b->size, PAGE_SIZE) >> PAGE_SHIFT, ~0ULL);
        s = b->addr ? EFI_SUCCESS : EFI_OUT_OF_RESOURCES;
    }
    for (u64 done = 0; !s && done < b->size; ) {
        u64 n = MIN(b->size - done, CHUNK);
        s = f->read(f, &n, (void *)(b->addr + done));
        if (!s && !n)
            s = EFI_LOAD_ERROR;
        done += n;
    }
    f->close(f);
    return s;
}

static efi_status load_file(const char *name, struct blob *b)
{
    efi_status s = read_file(name, b);

    if (s)
        return efi_fail(s, "cannot read file '%s' (directory %s)", name, dir);
    efi_say("%s: %#llx-%#llx\n", name, (unsigned long long)b->addr, (unsigned long long)(b->addr + b->size));
    return EFI_SUCCESS;
}

/* ---- unified image ---- */

/* Section of our own PE file in memory. The headers are the ones the firmware accepted. */
static bool built_in(const char *name, struct blob *b)
{
    const u8 *pe = self->base, *sec;
    u32 off, v[2];
    u16 count, optional;

    memcpy(&off, pe + 0x3c, 4);
    if (pe[0] != 'M' || pe[1] != 'Z' || off > 0x400 || memcmp(pe + off, "PE\0", 4))
        return false;
    memcpy(&count, pe + off + 6, 2);
    memcpy(&optional, pe + off + 20, 2);
    sec = pe + off + 24 + optional;
    for (unsigned i = 0; i < count && i < 64; i++, sec += 40) {
        size_t n = strlen(name);
        if (memcmp(sec, name, n) || (n < 8 && sec[n]))
            continue;
        memcpy(v, sec + 8, 8);      /* VirtualSize, VirtualAddress */
        if (!v[0] || v[1] > self->size || v[0] > self->size - v[1])
            return false;
        *b = (struct blob){ (u64)pe + v[1], v[0] };
        return true;
    }
    return false;
}

/* Out of the image, which is not kept, into pages of its own. */
static efi_status move_blob(struct blob *b)
{
    u64 p = efi_pages(ROUND_UP(b->size, PAGE_SIZE) >> PAGE_SHIFT, 0xffffffffULL);

    if (!p)
        return efi_fail(EFI_OUT_OF_RESOURCES, "no memory for a built-in section of %llu bytes",
                        (unsigned long long)b->size);
    memcpy((void *)p, (void *)b->addr, b->size);
    b->addr = p;
    return EFI_SUCCESS;
}

/* ---- configuration ---- */

static efi_status open_config(const char *name)
{
    efi_status s = read_file(name, &config);

    if (!s)
        efi_say("Using configuration file '%s'\n", name);
    return s;
}

/* Own name with .cfg for .efi; then without the last component at . - _ until none is left. */
static efi_status find_config(void)
{
    char name[sizeof(own_name) + 4];
    size_t n = strlen(own_name);

    if (n > 4 && own_name[n - 4] == '.' && (own_name[n - 3] | 32) == 'e' && (own_name[n - 2] | 32) == 'f' &&
        (own_name[n - 1] | 32) == 'i')
        n -= 4;
    while (n) {
        memcpy(name, own_name, n);
        memcpy(name + n, ".cfg", 5);
        if (!open_config(name))
            return EFI_SUCCESS;
        while (n && own_name[n - 1] != '.' && own_name[n - 1] != '-' && own_name[n - 1] != '_')
            n--;
        if (n)
            n--;
    }
    if (!open_config("xen.cfg"))
        return EFI_SUCCESS;
    return efi_fail(EFI_NOT_FOUND, "no configuration file: '%s' with .cfg, or xen.cfg, is looked for in %s; "
                    "-cfg=FILE names another", own_name, dir);
}

/* sec NULL: the first in the file, whatever its section. */
static int get(const char *sec, const char *key)
{
    return xencfg_get((const char *)config.addr, config.size, sec, key, value, sizeof(value));
}

/* Without default= and without a name in the load options the headers do not count. */
static const char *chosen(void)
{
    return section[0] ? section : NULL;
}

static efi_status choose_section(void)
{
    if (args.section[0] && xencfg_has_section((const char *)config.addr, config.size, args.section))
        str_copy(section, args.section, sizeof(section));
    else if (get("global", "default") > 0)
        str_copy(section, value, sizeof(section));
    if (get(chosen(), "kernel") == -1 && get("global", "chain") > 0) {
        char name[128];
        if (str_copy(name, value, sizeof(name)) >= sizeof(name) || open_config(name))
            return efi_fail(EFI_NOT_FOUND, "cannot read chained configuration file '%s'", value);
        if (get("global", "default") > 0 && !args.section[0])
            str_copy(section, value, sizeof(section));
    }
    return EFI_SUCCESS;
}

/* Value of `key`; false with a message if it is too long. */
static efi_status get_checked(const char *key, bool *found)
{
    int n = get(chosen(), key);

    *found = n > 0;
    return n == -2 ? efi_fail(EFI_LOAD_ERROR, "%s= in section [%s] is too long", key, section) : EFI_SUCCESS;
}

/* First word of `value` is the file, the rest its command line. */
static char *split_value(void)
{
    char *p = value;

    while (*p && *p != ' ' && *p != '\t')
        p++;
    if (*p)
        *p++ = 0;
    while (*p == ' ' || *p == '\t')
        p++;
    return p;
}

/* A module from a built-in section or from the file that `key` names; *b.size 0 if there is neither. */
static efi_status fetch(const char *key, const char *pe_section, struct blob *b, char *line)
{
    bool found = false;
    efi_status s = config.size ? get_checked(key, &found) : EFI_SUCCESS;
    bool inside = built_in(pe_section, b);

    if (!inside)
        *b = (struct blob){ 0, 0 };
    if (s)
        return s;
    if (found && line) {
        char *rest = split_value();
        str_copy(line, rest, BOOT_CMDLINE);
    } else if (found)
        split_value();
    if (inside)
        return move_blob(b);
    if (!found)
        return EFI_SUCCESS;
    if (!root && (s = open_root()))
        return efi_fail(s, "the device of the image has no file system");
    return load_file(value, b);
}

static efi_status get_config(void)
{
    efi_status s;

    if (built_in(".config", &config)) {
        efi_say("Using the built-in configuration\n");
        return choose_section();
    }
    config.size = 0;
    s = open_root();
    if (s)
        return efi_fail(s, "the device of the image has no file system");
    if (args.cfg[0]) {
        s = open_config(args.cfg);
        if (s)
            return efi_fail(s, "cannot read configuration file '%s'", args.cfg);
    } else
        s = find_config();
    return s ? s : choose_section();
}

static efi_status set_options(void)
{
    bool found;
    efi_status s = get_checked("options", &found);

    if (s)
        return s;
    boot_string(boot_info.cmdline, found ? value : "", BOOT_CMDLINE, false);
    size_t n = strlen(boot_info.cmdline);
    if (*args.rest)
        snprintf(boot_info.cmdline + n, BOOT_CMDLINE - n, "%s%s", n ? " " : "", args.rest);
    return EFI_SUCCESS;
}

static efi_status load_modules(void)
{
    struct boot_module *m = boot_info.module;
    struct blob b;
    efi_status s = fetch("kernel", ".kernel", &b, m[0].cmdline);

    if (s)
        return s;
    if (!b.size)
        return efi_fail(EFI_NOT_FOUND, "no kernel= in the configuration (section '%s')", section);
    m[0].start = b.addr;
    m[0].size = b.size;
    boot_info.nr_modules = 1;
    s = fetch("ramdisk", ".ramdisk", &b, NULL);
    if (s)
        return s;
    if (b.size) {
        m[1].start = b.addr;
        m[1].size = b.size;
        boot_info.nr_modules = 2;
    }
    s = fetch("ucode", ".ucode", &b, NULL);
    boot_info.ucode = b.addr;
    boot_info.ucode_size = s ? 0 : b.size;
    return s;
}

efi_status efi_load_all(void)
{
    static const struct efi_guid guid =
        { 0x5b1b31a1, 0x9562, 0x11d2, { 0x8e, 0x3f, 0, 0xa0, 0xc9, 0x69, 0x72, 0x3b } };
    efi_status s = efi_st->boot->handle_protocol(efi_image, &guid, (void **)&self);

    if (s)
        return efi_fail(s, "no loaded-image protocol");
    /* Boot managers may pass binary data of their own here: then there are no options. */
    if (!self->options || !narrow(load_options, sizeof(load_options), self->options, self->options_size / 2))
        load_options[0] = 0;
    efi_args_parse(&args, load_options);
    if (args.help || args.bad) {
        if (args.bad)
            efi_say("Helium: unknown or too long option '%s'\n", args.unknown);
        efi_say("Options: -cfg=FILE, -basevideo, -mapbs, -help, name of a section; -- hypervisor options\n");
        return EFI_INVALID_PARAMETER;
    }
    find_own_path();
    s = get_config();
    if (s)
        return s;
    if (built_in(".xsm", &(struct blob){ 0 }) || get(chosen(), "xsm") > 0)
        efi_say("Helium: xsm= is not supported and ignored\n");
    s = set_options();
    if (s)
        return s;
    bool found = false;
    s = get_checked("video", &found);
    if (!s)
        efi_screen(found && !args.basevideo ? value : "");
    return s ? s : load_modules();
}
