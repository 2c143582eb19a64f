/* SPDX-License-Identifier: MIT */
/*
 * EFI entries: as an application (PE file), and from GRUB with multiboot 2 and boot services still on. Both fill
 * boot_info, end boot services, and hand over to the common path. Runs at any address (efi.h).
 */
#include "boot/efi.h"
#include "boot/memmap.h"
#include "boot/multiboot.h"
#include "boot/start.h"
#include "boot/version.h"

#define BELOW_4G 0xffffffffULL

extern u8 boot_pml4[], boot_pml5[], boot_pdpt_low[];

struct efi_system_table *efi_st;
efi_handle efi_image;
/* Tables that map this code one to one if the firmware put it above 4 GiB. */
static u64 far_pdpt[512] __aligned(4096), far_pd[512] __aligned(4096);

/* ---- console ---- */

static void say_args(const char *fmt, va_list ap)
{
    char text[256];
    char16 wide[8];
    unsigned n = 0;

    vsnprintf(text, sizeof(text), fmt, ap);
    for (const char *p = text; *p; p++) {
        if (*p == '\n')
            wide[n++] = '\r';
        wide[n++] = (char16)(u8)*p;
        if (n >= ARRAY_SIZE(wide) - 2 || !p[1]) {
            wide[n] = 0;
            n = 0;
            if (efi_st->con_out)
                efi_st->con_out->output(efi_st->con_out, wide);
        }
    }
}

void efi_say(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say_args(fmt, ap);
    va_end(ap);
}

efi_status efi_fail(efi_status s, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    efi_say("Helium: ");
    say_args(fmt, ap);
    va_end(ap);
    efi_say(" (EFI status %llu)\n", (unsigned long long)(s & 0xffff));
    return s;
}

u64 efi_pages(u64 pages, u64 max)
{
    u64 addr = max;

    if (efi_st->boot->allocate_pages(max == ~0ULL ? EFI_ANY_PAGES : EFI_MAX_ADDRESS, EFI_LOADER_DATA, pages, &addr))
        return 0;
    return addr;
}

/* ---- firmware tables ---- */

static void find_rsdp(void)
{
    static const struct efi_guid acpi2 =
        { 0x8868e871, 0xe4f1, 0x11d3, { 0xbc, 0x22, 0, 0x80, 0xc7, 0x3c, 0x88, 0x81 } };
    static const struct efi_guid acpi1 =
        { 0xeb9d2d30, 0x2d88, 0x11d3, { 0x9a, 0x16, 0, 0x90, 0x27, 0x3f, 0xc1, 0x4d } };
    u64 old = 0;

    boot_info.rsdp = 0;
    for (u64 i = 0; i < MIN(efi_st->nr_tables, 256ULL); i++) {
        if (!memcmp(&efi_st->tables[i].guid, &acpi2, sizeof(acpi2)))
            boot_info.rsdp = efi_st->tables[i].table;
        if (!memcmp(&efi_st->tables[i].guid, &acpi1, sizeof(acpi1)))
            old = efi_st->tables[i].table;
    }
    if (!boot_info.rsdp)
        boot_info.rsdp = old;
}

/* ---- leaving boot services ---- */

/* Room for the memory map, with reserve: allocating it changes the map. */
static efi_status map_buffer(u64 *room)
{
    u64 size = 0, key, desc_size = 0;
    u32 version;

    efi_st->boot->get_memory_map(&size, NULL, &key, &desc_size, &version);
    *room = ROUND_UP(size + 32 * MAX(desc_size, 48ULL), PAGE_SIZE);
    boot_info.efi_memmap = efi_pages(*room >> PAGE_SHIFT, BELOW_4G);
    return boot_info.efi_memmap ? EFI_SUCCESS : EFI_OUT_OF_RESOURCES;
}

/* 7.4.6: the map may change until the very call; then only GetMemoryMap and the call itself are allowed again. */
static efi_status exit_boot_services(u64 room)
{
    efi_status s = EFI_INVALID_PARAMETER;

    for (unsigned try = 0; try < 8 && s; try++) {
        u64 size = room, key, desc_size;
        u32 version;
        s = efi_st->boot->get_memory_map(&size, (void *)boot_info.efi_memmap, &key, &desc_size, &version);
        if (s)
            return s;
        boot_info.efi_memmap_size = (u32)size;
        boot_info.efi_memdesc_size = (u32)desc_size;
        s = efi_st->boot->exit_boot_services(efi_image, key);
    }
    return s;
}

/* Where the image is to lie when boot_start() begins: here if the tables can map that, else in a copy. */
static efi_status choose_base(u8 **copy)
{
    u64 size = (u64)(_end_image - _start_image), here = (u64)_start_image;

    *copy = _start_image;
    if (!(here & (SZ_2M - 1)) && here + size <= BELOW_4G)
        return EFI_SUCCESS;
    u64 p = efi_pages((size + SZ_2M) >> PAGE_SHIFT, BELOW_4G);
    if (!p)
        return efi_fail(EFI_OUT_OF_RESOURCES, "no %llu KiB of memory below 4 GiB", (unsigned long long)(size >> 10));
    *copy = (u8 *)ROUND_UP(p, SZ_2M);
    return EFI_SUCCESS;
}

/* The code that switches the tables must lie at the same address in the new ones. */
static void map_this_code(u8 *copy)
{
    u64 here = (u64)efi_handover & ~(SZ_2M - 1);
    u64 *pml4 = (u64 *)(copy + ((u8 *)boot_pml4 - _start_image));
    u64 *pdpt = (u64 *)(copy + ((u8 *)boot_pdpt_low - _start_image));

    if (here < BELOW_4G)
        return;
    if (here >> 39) {
        pml4[here >> 39 & 511] = (u64)far_pdpt | 3;
        pdpt = far_pdpt;
    }
    pdpt[here >> 30 & 511] = (u64)far_pd | 3;
    far_pd[here >> 21 & 511] = here | 0x83;
    if ((here >> 21 & 511) < 511)
        far_pd[(here >> 21 & 511) + 1] = (here + SZ_2M) | 0x83;
}

/* Returns only if boot services could not be left. */
static efi_status leave(u64 tsc)
{
    u8 *copy;
    u64 room;
    efi_status s = choose_base(&copy);

    if (s)
        return s;
    find_rsdp();
    boot_info.efi_system_table = (u64)efi_st;
    s = map_buffer(&room);
    if (!s)
        s = exit_boot_services(room);
    if (s)
        return efi_fail(s, "cannot leave EFI boot services");
    /* No firmware calls from here on. */
    __asm__ volatile("cli");
    boot_info.nr_mmap = 0;
    memmap_add_efi(&boot_info, (void *)boot_info.efi_memmap, boot_info.efi_memmap_size, boot_info.efi_memdesc_size);
    if (copy != _start_image)
        memcpy(copy, _start_image, (size_t)(_end_image - _start_image));
    u64 cr3 = boot_tables_build(copy, (paddr_t)copy);
    *(u64 *)(copy + (boot_pml5 - _start_image)) = cr3 | 3;      /* present, writable; see leave_la57 in head.S */
    map_this_code(copy);
    efi_handover(cr3, (paddr_t)copy, tsc);
}

/* ---- entries ---- */

u64 efi_main(void *image, void *system_table, u64 tsc)
{
    efi_image = image;
    efi_st = system_table;
    boot_info.entry = NULL;         /* a pointer: set by main.c at the link address */
    efi_say("%s\n", HELIUM_BANNER);
    efi_st->boot->set_watchdog(0, 0, 0, NULL);
    efi_status s = efi_load_all();
    return s ? s : leave(tsc);
}

/* All memory is mapped one to one by the firmware. */
static const void *any_memory(paddr_t p, size_t len)
{
    return p && p + len >= p ? (const void *)p : NULL;
}

void efi_mb2_main(u32 magic, paddr_t info, u64 tsc)
{
    const char *bad = mb2_parse(&boot_info, &mb_extra, info, any_memory);

    efi_st = (void *)boot_info.efi_system_table;
    efi_image = (void *)mb_extra.efi_image_handle;
    if (!efi_st)
        return;                     /* nobody to tell */
    if (magic != MB2_BOOT_MAGIC || bad || !efi_image || !mb_extra.efi_boot_services)
        efi_fail(EFI_INVALID_PARAMETER, "GRUB's multiboot2 information cannot be used: %s",
                 bad ? bad : "no EFI image handle or boot services");
    else {
        boot_info.entry = NULL;
        if (!boot_info.fb.addr)
            efi_screen("");
        leave(tsc);
    }
    efi_st->boot->stall(10000000);
    efi_st->boot->exit(efi_image, EFI_LOAD_ERROR, 0, NULL);
}
