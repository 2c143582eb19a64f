/* SPDX-License-Identifier: MIT */
/* 80x25 VGA text at 0xB8000 (BIOS boots). */
#include "boot/boot.h"
#include "cpu/x86.h"
#include "debug/internal.h"
#include "mm/mm.h"

static volatile u16 *text;

static void draw(unsigned col, unsigned row, char c)
{
    text[row * 80 + col] = 0x0700 | (u8)c;
}

static const struct screen vga = { .cols = 80, .rows = 25, .draw = draw };

const struct screen *vga_screen(void)
{
    /* A UEFI machine without a framebuffer has no text mode either. */
    if (boot_info.efi_system_table || (boot_info.fb.addr && !boot_info.fb.text))
        return NULL;
    /* Miscellaneous output register, bit 0: colour CRTC at 0x3D4; a missing adapter reads all ones. */
    if (inb(0x3cc) == 0xff)
        return NULL;
    text = mmio_map(0xb8000, 80 * 25 * 2);
    return text ? &vga : NULL;
}
