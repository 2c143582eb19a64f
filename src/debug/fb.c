/* SPDX-License-Identifier: MIT */
/* Text on a linear framebuffer (UEFI GOP, multiboot2): 5x7 glyphs in cells of 8x16 pixels. */
#include "boot/boot.h"
#include "debug/internal.h"
#include "mm/mm.h"

#define CELL_W 8
#define CELL_H 16
#define GREY 0xaa

static volatile u8 *fb;
static u32 ink;                     /* pixel value of text */
static unsigned bytes_pp;

static void pixel_row(volatile u8 *p, u8 bits)
{
    for (unsigned x = 0; x < CELL_W; x++, p += bytes_pp) {
        u32 v = bits >> x & 1 ? ink : 0;
        if (bytes_pp == 4)
            *(volatile u32 *)p = v;
        else if (bytes_pp == 2)
            *(volatile u16 *)p = (u16)v;
        else
            p[0] = (u8)v, p[1] = (u8)(v >> 8), p[2] = (u8)(v >> 16);
    }
}

/* Each of the seven glyph rows takes two pixel rows. */
static void draw(unsigned col, unsigned row, char c)
{
    const u8 *glyph = font_5x7[c >= 0x20 && (u8)c < 0x80 ? c - 0x20 : '?' - 0x20];
    volatile u8 *p = fb + (size_t)row * CELL_H * boot_info.fb.pitch + (size_t)col * CELL_W * bytes_pp;
    for (unsigned y = 0; y < CELL_H; y++, p += boot_info.fb.pitch) {
        u8 bits = 0;
        for (unsigned x = 0; x < 5 && y >= 1 && y < 15; x++)
            bits |= (u8)((glyph[x] >> ((y - 1) / 2) & 1) << (x + 1));
        pixel_row(p, bits);
    }
}

static struct screen screen = { .draw = draw };

static u32 component(u8 pos, u8 size)
{
    return size ? (u32)((GREY * ((1u << MIN(size, (u8)8)) - 1) / 255) << pos) : 0;
}

const struct screen *fb_screen(void)
{
    const u64 max_bytes = MiB(256);
    u64 len = (u64)boot_info.fb.pitch * boot_info.fb.height;
    bytes_pp = (boot_info.fb.bpp + 7u) / 8;
    if (!boot_info.fb.addr || boot_info.fb.text || bytes_pp < 2 || bytes_pp > 4 || len > max_bytes ||
        boot_info.fb.width < CELL_W || boot_info.fb.height < CELL_H ||
        (u64)boot_info.fb.width * bytes_pp > boot_info.fb.pitch)
        return NULL;
    fb = mmio_map(boot_info.fb.addr, len);
    if (!fb)
        return NULL;
    ink = component(boot_info.fb.red_pos & 31, boot_info.fb.red_size) |
          component(boot_info.fb.green_pos & 31, boot_info.fb.green_size) |
          component(boot_info.fb.blue_pos & 31, boot_info.fb.blue_size);
    screen.cols = boot_info.fb.width / CELL_W;
    screen.rows = boot_info.fb.height / CELL_H;
    return &screen;
}
