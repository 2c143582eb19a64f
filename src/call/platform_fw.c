/* SPDX-License-Identifier: MIT */
/* platform_op: what the firmware left behind (EFI tables, framebuffer). */
#include "boot/boot.h"
#include "call/platform.h"

/* ---- EFI system table (UEFI specification 4.3), read once; every pointer is checked against the memory map ---- */
#define EFI_SIGNATURE 0x5453595320494249ULL     /* "IBI SYST" */
struct efi_system_table {
    u64 signature; u32 revision, header_size, crc, reserved;
    u64 vendor; u32 fw_revision, pad;
    u64 handles[6];                             /* console in, out, error: handle and interface */
    u64 runtime, boot, nr_tables, tables;
};
#define EFI_TABLE_ENTRY 24
#define MAX_TABLES 512
#define VENDOR_CHARS 100

static struct {
    bool tried, valid;
    struct efi_system_table t;
    u16 vendor[VENDOR_CHARS];
    u32 vendor_bytes, rt_revision;
} efi;

/* Is [p, p + len) inside one range that dom0 sees 1:1, that is, anything but plain RAM or a hole? */
static bool firmware_range(u64 p, u64 len)
{
    for (unsigned i = 0; i < boot_info.nr_mmap; i++) {
        const struct boot_range *r = &boot_info.mmap[i];
        if (r->type != 1 && p >= r->start && p < r->end && len <= r->end - p) return true;
    }
    return false;
}

static bool read_phys(u64 p, void *dst, u64 len)
{
    if (!firmware_range(p, len)) return false;
    const volatile u8 *src = mmio_map(p, len);
    if (!src) return false;
    for (u64 i = 0; i < len; i++) ((u8 *)dst)[i] = src[i];
    return true;
}

static bool efi_present(void)
{
    if (!boot_info.efi_system_table) return false;
    if (efi.tried) return efi.valid;
    efi.tried = true;
    if (!read_phys(boot_info.efi_system_table, &efi.t, sizeof(efi.t))) return false;
    if (efi.t.signature != EFI_SIGNATURE || efi.t.nr_tables > MAX_TABLES) return false;
    if (!firmware_range(efi.t.tables, efi.t.nr_tables * EFI_TABLE_ENTRY)) return false;
    u64 runtime[2];
    if (read_phys(efi.t.runtime, runtime, sizeof(runtime))) efi.rt_revision = (u32)runtime[1];
    if (read_phys(efi.t.vendor, efi.vendor, sizeof(efi.vendor) - 2)) {
        while (efi.vendor[efi.vendor_bytes / 2]) efi.vendor_bytes += 2;
        efi.vendor_bytes += 2;
    }
    return efi.valid = true;
}

static long efi_vendor(struct call *c, union xenpf_efi_info *i)
{
    u32 room = i->vendor.bufsz, n = MIN(efi.vendor_bytes, room & ~1u);
    i->vendor.revision = efi.t.fw_revision;
    i->vendor.bufsz = efi.vendor_bytes;
    if (!i->vendor.name.p || !n) return 0;
    u16 end = 0;
    if (guest_write(c->v, (gva_t)i->vendor.name.p, efi.vendor, n)) return -EFAULT;
    /* Cut off: still terminated. */
    if (n < efi.vendor_bytes && guest_write(c->v, (gva_t)i->vendor.name.p + n - 2, &end, 2)) return -EFAULT;
    return n < efi.vendor_bytes ? -ENOBUFS : 0;
}

static long efi_info(struct call *c, struct xenpf_firmware_info *a)
{
    union xenpf_efi_info *i = &a->u.efi_info;
    if (!efi_present()) return -ENODEV;
    switch (a->index) {
    case XEN_FW_EFI_VERSION: i->version = efi.t.revision; return 0;
    case XEN_FW_EFI_RT_VERSION: i->version = efi.rt_revision; return efi.rt_revision ? 0 : -ENOENT;
    case XEN_FW_EFI_CONFIG_TABLE:
        i->cfg.addr = efi.t.tables;
        i->cfg.nent = (u32)efi.t.nr_tables;
        return 0;
    case XEN_FW_EFI_VENDOR: return efi_vendor(c, i);
    case XEN_FW_EFI_MEM_INFO:
    case XEN_FW_EFI_PCI_ROM:
    case XEN_FW_EFI_APPLE_PROPERTIES: return -ENOENT;
    }
    return -EINVAL;
}

/* BIOS information (disks, EDID, keyboard) is not collected. */
PLATFORM_HANDLER(firmware_info)
{
    struct xenpf_firmware_info *a = &op->u.firmware_info;
    switch (a->type) {
    case XEN_FW_EFI_INFO: return efi_info(c, a);
    case XEN_FW_DISK_INFO:
    case XEN_FW_DISK_MBR_SIGNATURE: return -ENOENT;
    case XEN_FW_VBEDDC_INFO:
    case XEN_FW_KBD_SHIFT_FLAGS: return -ESRCH;
    }
    return -EINVAL;
}

/* ---- framebuffer or text screen for dom0: returns the number of bytes filled in ---- */
PLATFORM_HANDLER(get_dom0_console)
{
    struct dom0_vga_console_info i;
    memset(&i, 0, sizeof(i));
    if (!boot_info.fb.addr) return -ENODEV;
    if (boot_info.fb.text) {
        i.video_type = XEN_VGATYPE_TEXT_MODE_3;
        i.u.text_mode_3.font_height = 16;
        i.u.text_mode_3.rows = (u16)boot_info.fb.height;
        i.u.text_mode_3.columns = (u16)boot_info.fb.width;
    } else {
        u64 bytes = (u64)boot_info.fb.pitch * boot_info.fb.height;
        i.video_type = boot_info.efi_system_table ? XEN_VGATYPE_EFI_LFB : XEN_VGATYPE_VESA_LFB;
        i.u.vesa_lfb.width = (u16)boot_info.fb.width;
        i.u.vesa_lfb.height = (u16)boot_info.fb.height;
        i.u.vesa_lfb.bytes_per_line = (u16)boot_info.fb.pitch;
        i.u.vesa_lfb.bits_per_pixel = boot_info.fb.bpp;
        i.u.vesa_lfb.lfb_base = (u32)boot_info.fb.addr;
        i.u.vesa_lfb.ext_lfb_base = (u32)(boot_info.fb.addr >> 32);
        i.u.vesa_lfb.lfb_size = (u32)((bytes + 0xffff) >> 16);
        i.u.vesa_lfb.red_pos = boot_info.fb.red_pos;
        i.u.vesa_lfb.red_size = boot_info.fb.red_size;
        i.u.vesa_lfb.green_pos = boot_info.fb.green_pos;
        i.u.vesa_lfb.green_size = boot_info.fb.green_size;
        i.u.vesa_lfb.blue_pos = boot_info.fb.blue_pos;
        i.u.vesa_lfb.blue_size = boot_info.fb.blue_size;
    }
    memset(&op->u, 0, sizeof(op->u));
    memcpy(&op->u, &i, sizeof(i));
    return sizeof(i);
}
