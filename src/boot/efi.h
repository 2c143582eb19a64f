/* SPDX-License-Identifier: MIT */
/*
 * UEFI 2.10 types, as far as the boot entry uses them (chapter numbers at each), and what efi*.c share. This code
 * runs where the firmware put it, at any address: no static object in it may hold a pointer.
 */
#pragma once
#include "boot/boot.h"
#include "lib/lib.h"

#define EFIAPI __attribute__((ms_abi))
typedef u64 efi_status;
typedef void *efi_handle;
typedef __CHAR16_TYPE__ char16;
#define EFI_ERROR(n) (1ULL << 63 | (n))
#define EFI_SUCCESS 0ULL
#define EFI_LOAD_ERROR EFI_ERROR(1)
#define EFI_INVALID_PARAMETER EFI_ERROR(2)
#define EFI_UNSUPPORTED EFI_ERROR(3)
#define EFI_BUFFER_TOO_SMALL EFI_ERROR(5)
#define EFI_OUT_OF_RESOURCES EFI_ERROR(9)
#define EFI_NOT_FOUND EFI_ERROR(14)

struct efi_guid { u32 a; u16 b, c; u8 d[8]; };
struct efi_header { u64 signature; u32 revision, size, crc, reserved; };

/* 12.4 */
struct efi_text_out {
    void *reset;
    efi_status (EFIAPI *output)(struct efi_text_out *self, const char16 *s);
};

/* 7.1-7.5: only the services that are called have types */
enum { EFI_ANY_PAGES, EFI_MAX_ADDRESS };
enum { EFI_LOADER_CODE = 1, EFI_LOADER_DATA = 2 };
struct efi_boot_services {
    struct efi_header hdr;
    void *raise_tpl, *restore_tpl;
    efi_status (EFIAPI *allocate_pages)(u32 how, u32 type, u64 pages, u64 *addr);
    efi_status (EFIAPI *free_pages)(u64 addr, u64 pages);
    efi_status (EFIAPI *get_memory_map)(u64 *size, void *map, u64 *key, u64 *desc_size, u32 *desc_version);
    void *allocate_pool, *free_pool;
    void *create_event, *set_timer, *wait_for_event, *signal_event, *close_event, *check_event;
    void *install_protocol, *reinstall_protocol, *uninstall_protocol;
    efi_status (EFIAPI *handle_protocol)(efi_handle h, const struct efi_guid *g, void **out);
    void *reserved, *register_notify, *locate_handle, *locate_device_path, *install_config_table;
    void *load_image, *start_image;
    efi_status (EFIAPI *exit)(efi_handle image, efi_status status, u64 size, char16 *data);
    void *unload_image;
    efi_status (EFIAPI *exit_boot_services)(efi_handle image, u64 key);
    void *get_next_count;
    efi_status (EFIAPI *stall)(u64 us);
    efi_status (EFIAPI *set_watchdog)(u64 seconds, u64 code, u64 size, char16 *data);
    void *connect, *disconnect, *open_protocol, *close_protocol, *open_info, *protocols_per_handle;
    void *locate_handle_buffer;
    efi_status (EFIAPI *locate_protocol)(const struct efi_guid *g, void *registration, void **out);
};

/* 4.3, 4.6 */
struct efi_config_table { struct efi_guid guid; u64 table; };
struct efi_system_table {
    struct efi_header hdr;
    char16 *vendor;
    u32 revision, pad;
    efi_handle con_in_handle;
    void *con_in;
    efi_handle con_out_handle;
    struct efi_text_out *con_out;
    efi_handle std_err_handle;
    void *std_err;
    void *runtime;
    struct efi_boot_services *boot;
    u64 nr_tables;
    struct efi_config_table *tables;
};

/* 9.1, 10.3 */
struct efi_device_path { u8 type, subtype; u8 len[2]; };
struct efi_loaded_image {
    u32 revision, pad;
    efi_handle parent;
    struct efi_system_table *st;
    efi_handle device;
    struct efi_device_path *path;
    void *reserved;
    u32 options_size, pad2;
    void *options;
    void *base;
    u64 size;
};

/* 13.4, 13.5 */
#define EFI_FILE_READ 1ULL
struct efi_file {
    u64 revision;
    efi_status (EFIAPI *open)(struct efi_file *self, struct efi_file **out, const char16 *name, u64 mode, u64 attr);
    efi_status (EFIAPI *close)(struct efi_file *self);
    void *delete;
    efi_status (EFIAPI *read)(struct efi_file *self, u64 *size, void *buf);
    void *write;
    efi_status (EFIAPI *get_position)(struct efi_file *self, u64 *pos);
    efi_status (EFIAPI *set_position)(struct efi_file *self, u64 pos);
};
struct efi_file_system {
    u64 revision;
    efi_status (EFIAPI *open_volume)(struct efi_file_system *self, struct efi_file **root);
};

/* 12.9 */
struct efi_gop_info { u32 version, width, height, format, red, green, blue, reserved, pixels_per_line; };
struct efi_gop_mode { u32 max, mode; struct efi_gop_info *info; u64 info_size, fb_base, fb_size; };
struct efi_gop {
    efi_status (EFIAPI *query_mode)(struct efi_gop *self, u32 mode, u64 *size, struct efi_gop_info **info);
    efi_status (EFIAPI *set_mode)(struct efi_gop *self, u32 mode);
    void *blt;
    struct efi_gop_mode *mode;
};

/* ---- shared by efi.c, efi_load.c, efi_screen.c ---- */
extern struct efi_system_table *efi_st;
extern efi_handle efi_image;
/* Print on the firmware's console. */
void efi_say(const char *fmt, ...) __printf(1, 2);
/* Print an error with its status and return the status. */
efi_status efi_fail(efi_status s, const char *fmt, ...) __printf(2, 3);
/* Pages that stay ours after the firmware is gone; below `max`. 0: none. */
u64 efi_pages(u64 pages, u64 max);

/* efi_load.c: configuration file, kernel, initrd, microcode into boot_info. */
efi_status efi_load_all(void);
/* efi_screen.c: framebuffer into boot_info; `video` is the value of xen.cfg's video= ("" keeps the mode). */
void efi_screen(const char *video);
