/* SPDX-License-Identifier: MIT */
/* Graphics output protocol (UEFI 2.10, 12.9): mode and framebuffer. */
#include "boot/efi.h"

enum { FORMAT_RGB, FORMAT_BGR, FORMAT_MASK, FORMAT_BLT };

/* gfx-WIDTH[xHEIGHT[xDEPTH]]; 0 where nothing is asked. */
static void parse_video(const char *v, u32 *width, u32 *height)
{
    *width = *height = 0;
    if (strncmp(v, "gfx-", 4))
        return;
    *width = (u32)MIN(parse_u64(v + 4, &v), 65535ULL);
    if (*v == 'x')
        *height = (u32)MIN(parse_u64(v + 1, &v), 65535ULL);
}

static void set_mode(struct efi_gop *gop, u32 width, u32 height)
{
    for (u32 m = 0; width && m < MIN(gop->mode->max, 256u); m++) {
        struct efi_gop_info *i;
        u64 size;
        if (gop->query_mode(gop, m, &size, &i) || i->width != width || (height && i->height != height) ||
            i->format == FORMAT_BLT)
            continue;
        if (m != gop->mode->mode && gop->set_mode(gop, m))
            efi_say("Helium: the screen refuses mode %ux%u\n", i->width, i->height);
        return;
    }
    if (width)
        efi_say("Helium: the screen has no mode %ux%u\n", width, height);
}

static void set_mask(u32 mask, u8 *pos, u8 *size)
{
    *pos = mask ? (u8)__builtin_ctz(mask) : 0;
    *size = 0;
    for (; mask; mask &= mask - 1)
        ++*size;
}

void efi_screen(const char *video)
{
    static const struct efi_guid guid =
        { 0x9042a9de, 0x23dc, 0x4a38, { 0x96, 0xfb, 0x7a, 0xde, 0xd0, 0x80, 0x51, 0x6a } };
    __typeof__(boot_info.fb) *fb = &boot_info.fb;
    struct efi_gop *gop;
    u32 width, height, red = 0xff, green = 0xff00, blue = 0xff0000;

    memset(fb, 0, sizeof(*fb));
    if (efi_st->boot->locate_protocol(&guid, NULL, (void **)&gop) || !gop->mode)
        return;
    parse_video(video, &width, &height);
    set_mode(gop, width, height);
    const struct efi_gop_info *i = gop->mode->info;
    if (!i || i->format >= FORMAT_BLT || !gop->mode->fb_base)
        return;
    if (i->format == FORMAT_BGR) {
        red = 0xff0000;
        blue = 0xff;
    } else if (i->format == FORMAT_MASK) {
        red = i->red;
        green = i->green;
        blue = i->blue;
    }
    fb->addr = gop->mode->fb_base;
    fb->width = i->width;
    fb->height = i->height;
    fb->pitch = i->pixels_per_line * 4;
    fb->bpp = 32;
    set_mask(red, &fb->red_pos, &fb->red_size);
    set_mask(green, &fb->green_pos, &fb->green_size);
    set_mask(blue, &fb->blue_pos, &fb->blue_size);
}
