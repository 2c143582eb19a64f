/* SPDX-License-Identifier: MIT */
/* What dom0 asks about the firmware: EFI tables, which are read once and may be anything, and the screen. */
#include <string.h>
#include "call_env.h"
#include "boot/boot.h"
#include "forked.h"

#define XENPF_get_dom0_console 64       /* newer than the 4.17 headers */

enum { RUNTIME = 0x200, TABLES = 0x300, VENDOR = 0x400, AREA = 0x1000 };
static const u64 at = MiB(300);                     /* not RAM */
static u64 *table;

static void firmware(void)
{
    char *p = frame_window + at;

    memset(p, 0, AREA);
    table = (u64 *)p;
    table[0] = 0x5453595320494249;                  /* "IBI SYST" */
    table[1] = 0x0002003c;
    table[3] = at + VENDOR;
    table[4] = 7;
    table[11] = at + RUNTIME;
    table[13] = 2;
    table[14] = at + TABLES;
    memcpy(p + VENDOR, u"EDK II", 14);
    memcpy(p + RUNTIME + 8, &(u32){ 0x00020046 }, 4);
    boot_info.efi_system_table = at;
    boot_info.nr_mmap = 2;
    boot_info.mmap[0] = (struct boot_range){ MiB(1), MiB(256), 1 };
    boot_info.mmap[1] = (struct boot_range){ at, at + AREA, 2 };
}

static long efi(u32 index, union xenpf_efi_info *out)
{
    struct xen_platform_op op = { 0 };

    op.u.firmware_info.type = XEN_FW_EFI_INFO;
    op.u.firmware_info.index = index;
    if (out)
        op.u.firmware_info.u.efi_info = *out;
    long rc = call_platform(XENPF_firmware_info, &op);
    if (out)
        *out = op.u.firmware_info.u.efi_info;
    return rc;
}

static void all_answers(void)
{
    union xenpf_efi_info i = { 0 };

    firmware();
    assert_int_equal(efi(XEN_FW_EFI_VERSION, &i), 0);
    assert_int_equal(i.version, 0x2003c);
    assert_int_equal(efi(XEN_FW_EFI_RT_VERSION, &i), 0);
    assert_int_equal(i.version, 0x20046);
    assert_int_equal(efi(XEN_FW_EFI_CONFIG_TABLE, &i), 0);
    assert_true(i.cfg.addr == at + TABLES && i.cfg.nent == 2);
    assert_int_equal(efi(XEN_FW_EFI_MEM_INFO, &i), -ENOENT);
    assert_int_equal(efi(XEN_FW_EFI_PCI_ROM, &i), -ENOENT);
    assert_int_equal(efi(XEN_FW_EFI_APPLE_PROPERTIES, &i), -ENOENT);
    assert_int_equal(efi(99, &i), -EINVAL);
    memset(table, 0, 8);                            /* it was read, once */
    assert_int_equal(efi(XEN_FW_EFI_VERSION, &i), 0);
}

static void vendor_names(void)
{
    union xenpf_efi_info i = { 0 };
    gva_t gva;
    u16 *name = guest_buf(32, &gva);

    firmware();
    assert_int_equal(efi(XEN_FW_EFI_VENDOR, &i), 0);        /* no buffer: how long is it? */
    assert_true(i.vendor.bufsz == 14 && i.vendor.revision == 7);
    i.vendor.name.p = (void *)gva;
    i.vendor.bufsz = 1;
    assert_int_equal(efi(XEN_FW_EFI_VENDOR, &i), 0);        /* room for nothing */
    assert_int_equal(name[0], 0xa5a5);
    i.vendor.bufsz = 32;
    assert_int_equal(efi(XEN_FW_EFI_VENDOR, &i), 0);
    assert_memory_equal(name, u"EDK II", 14);
    assert_int_equal(name[7], 0xa5a5);
    i.vendor.bufsz = 7;                                     /* cut off, with an end */
    assert_int_equal(efi(XEN_FW_EFI_VENDOR, &i), -ENOBUFS);
    assert_true(name[0] == 'E' && name[1] == 'D' && name[2] == 0 && name[3] == 0x20);
    i.vendor.name.p = (void *)BAD_GVA;
    i.vendor.bufsz = 32;
    assert_int_equal(efi(XEN_FW_EFI_VENDOR, &i), -EFAULT);
    i.vendor.name.p = (void *)gva;
    i.vendor.bufsz = 6;
    fake_fail_copy_at(3);                                   /* the end of the cut name */
    assert_int_equal(efi(XEN_FW_EFI_VENDOR, &i), -EFAULT);
    fake_fail_at(0);
}

/* Nothing of a table that cannot be right is told. */
static struct { unsigned word; u64 val; } spoil;
static void not_believed(void)
{
    firmware();
    table[spoil.word] = spoil.val;
    assert_int_equal(efi(XEN_FW_EFI_VERSION, NULL), -ENODEV);
    assert_int_equal(efi(XEN_FW_EFI_CONFIG_TABLE, NULL), -ENODEV);
}

static void no_efi(void)
{
    boot_info.efi_system_table = 0;
    assert_int_equal(efi(XEN_FW_EFI_VERSION, NULL), -ENODEV);
}

static void table_in_ram(void)
{
    firmware();
    boot_info.efi_system_table = MiB(2);
    assert_int_equal(efi(XEN_FW_EFI_VERSION, NULL), -ENODEV);
}

static void table_cut_off(void)
{
    firmware();
    boot_info.mmap[1].end = at + 100;
    assert_int_equal(efi(XEN_FW_EFI_VERSION, NULL), -ENODEV);
}

static void table_out_of_reach(void)
{
    firmware();
    boot_info.mmap[2] = (struct boot_range){ 1ULL << 50, 1ULL << 51, 2 };
    boot_info.nr_mmap = 3;
    boot_info.efi_system_table = 1ULL << 50;                /* it cannot be mapped */
    assert_int_equal(efi(XEN_FW_EFI_VERSION, NULL), -ENODEV);
}

static void lost_parts(void)
{
    union xenpf_efi_info i = { 0 };

    firmware();
    table[3] = MiB(2);                                      /* vendor's name in RAM: not told */
    table[11] = at + AREA;
    assert_int_equal(efi(XEN_FW_EFI_VENDOR, &i), 0);
    assert_int_equal(i.vendor.bufsz, 0);
    assert_int_equal(efi(XEN_FW_EFI_RT_VERSION, &i), -ENOENT);
    assert_int_equal(efi(XEN_FW_EFI_CONFIG_TABLE, &i), 0);
}

static void efi_tables(void **st)
{
    static const struct { unsigned word; u64 val; } bad[] = {
        { 0, 0 }, { 13, 513 }, { 13, ~0ULL }, { 14, 0 }, { 14, MiB(2) }, { 14, at + AREA - 40 }, { 14, ~0ULL - 8 },
    };

    forked(all_answers);
    forked(vendor_names);
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        memcpy(&spoil, &bad[i], sizeof(spoil));
        forked(not_believed);
    }
    forked(no_efi);
    forked(table_in_ram);
    forked(table_cut_off);
    forked(table_out_of_reach);
    forked(lost_parts);
}

/* ---- other kinds, and the screen ---- */
static void bios_information(void **st)
{
    static const struct { u32 type; long rc; } t[] = {
        { XEN_FW_DISK_INFO, -ENOENT }, { XEN_FW_DISK_MBR_SIGNATURE, -ENOENT }, { XEN_FW_VBEDDC_INFO, -ESRCH },
        { XEN_FW_KBD_SHIFT_FLAGS, -ESRCH }, { 0, -EINVAL }, { 99, -EINVAL },
    };

    for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
        struct xen_platform_op op = { .u.firmware_info.type = t[i].type };
        assert_int_equal(call_platform(XENPF_firmware_info, &op), t[i].rc);
    }
}

static void screens(void **st)
{
    struct xen_platform_op op = { 0 };
    struct dom0_vga_console_info *i = (void *)&op.u;

    memset(&boot_info.fb, 0, sizeof(boot_info.fb));
    boot_info.efi_system_table = 0;
    assert_int_equal(call_platform(XENPF_get_dom0_console, &op), -ENODEV);
    boot_info.fb.addr = 0xb8000;
    boot_info.fb.text = true;
    boot_info.fb.width = 80;
    boot_info.fb.height = 25;
    assert_int_equal(call_platform(XENPF_get_dom0_console, &op), sizeof(*i));
    assert_true(i->video_type == XEN_VGATYPE_TEXT_MODE_3 && i->u.text_mode_3.columns == 80 && i->u.text_mode_3.rows == 25);
    boot_info.fb = (__typeof__(boot_info.fb)){ .addr = 0x4080000000, .pitch = 4096, .width = 1000, .height = 700,
        .bpp = 32, .red_pos = 16, .red_size = 8, .green_pos = 8, .green_size = 8, .blue_pos = 0, .blue_size = 8 };
    assert_int_equal(call_platform(XENPF_get_dom0_console, &op), sizeof(*i));
    assert_int_equal(i->video_type, XEN_VGATYPE_VESA_LFB);
    assert_true(i->u.vesa_lfb.lfb_base == 0x80000000 && i->u.vesa_lfb.ext_lfb_base == 0x40);
    assert_int_equal(i->u.vesa_lfb.lfb_size, (4096 * 700 + 0xffff) / 0x10000);
    assert_true(i->u.vesa_lfb.red_pos == 16 && i->u.vesa_lfb.bits_per_pixel == 32 && i->u.vesa_lfb.bytes_per_line == 4096);
    boot_info.efi_system_table = at;
    assert_int_equal(call_platform(XENPF_get_dom0_console, &op), sizeof(*i));
    assert_int_equal(i->video_type, XEN_VGATYPE_EFI_LFB);
    boot_info.fb.addr = 0;
    boot_info.efi_system_table = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = { T(efi_tables), T(bios_information), T(screens) };
    return cmocka_run_group_tests(tests, env_setup, NULL);
}
