/* SPDX-License-Identifier: MIT */
/* Texts of unknown origin: xen.cfg, EFI load options, the command line with all options of the core. */
#include <stdlib.h>
#include <string.h>
#include "boot/cmdline.h"
#include "boot/multiboot.h"
#include "boot/xencfg.h"
#include "fake.h"
#include "fuzz.h"

void fuzz_start(const char *program) {}

static void config(const char *text, size_t len)
{
    static const char *const keys[] = { "default", "options", "kernel", "ramdisk", "ucode", "a", "" };
    char out[40], section[16];

    for (unsigned i = 0; i < ARRAY_SIZE(keys); i++) {
        int n = xencfg_get(text, len, i & 1 ? NULL : "global", keys[i], out, sizeof(out));
        CHECK(n >= -2 && n < (int)sizeof(out) && (n < 0 || memchr(out, 0, sizeof(out))));
    }
    int n = xencfg_get(text, len, "global", "default", section, sizeof(section));
    if (n > 0 && xencfg_has_section(text, len, section))
        xencfg_get(text, len, section, "kernel", out, sizeof(out));
}

void fuzz_one(struct input *in)
{
    static struct cpu cpu;
    u8 kind = in8(in);
    size_t len = in_left(in);
    char *text = malloc(len + 1);

    this_cpu_ptr = &cpu;
    memcpy(text, in->p, len);
    text[len] = 0;
    switch (kind & 3) {
    case 0: {
        char *exact = malloc(len ? len : 1);        /* a file has no end mark */
        memcpy(exact, in->p, len);
        config(exact, len);
        free(exact);
        break;
    }
    case 1: {
        struct efi_args a;
        efi_args_parse(&a, text);
        CHECK(memchr(a.cfg, 0, sizeof(a.cfg)) && memchr(a.section, 0, sizeof(a.section)) &&
              memchr(a.unknown, 0, sizeof(a.unknown)));
        CHECK(a.rest && (*a.rest == 0 || (a.rest >= text && a.rest <= text + len)));
        break;
    }
    case 2: {
        char out[64];
        boot_string(out, text, sizeof(out), kind & 4);
        CHECK(memchr(out, 0, sizeof(out)));
        break;
    }
    default:
        cmdline_parse(text);
        CHECK(memchr(saved_cmdline, 0, sizeof(saved_cmdline)));
    }
    free(text);
}
