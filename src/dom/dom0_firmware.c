/* SPDX-License-Identifier: MIT */
/* What dom0 sees 1:1 of the firmware's memory, and the MMIO it never sees. */
#include "acpi/acpi.h"
#include "boot/boot.h"
#include "dom/dom0_build.h"
#include "irq/irq.h"
#include "mm/p2m.h"

#define MAX_DENIED 128
static struct dom0_range denied[MAX_DENIED];
static unsigned nr_denied;

void mmio_deny(paddr_t start, paddr_t end)
{
    start = ROUND_DOWN(start, PAGE_SIZE);
    end = ROUND_UP(end, PAGE_SIZE);
    for (unsigned i = 0; i < nr_denied; i++)    /* an IOMMU is described up to three times */
        if (denied[i].start <= start && end <= denied[i].end)
            return;
    if (start >= end)
        return;
    if (nr_denied == MAX_DENIED)        /* dom0 must not get registers of ours for lack of a line here */
        panic("More than %u ranges of device memory to keep from dom0\n", MAX_DENIED);
    denied[nr_denied++] = (struct dom0_range){ start, end };
}

bool mmio_denied(paddr_t start, paddr_t end)
{
    unsigned i;

    for (i = 0; i < nr_denied; i++)
        if (start < denied[i].end && denied[i].start < end)
            return true;
    return false;
}

/* Register blocks of the IOMMUs, also when they are switched off: AMD I/O Virtualization Specification, IVHD
 * (types 10h, 11h, 40h: base address at offset 8); Intel VT-d specification, DRHD (type 0, base at offset 8). */
static void deny_iommus(const char *sig, u32 first, bool vtd)
{
    const struct acpi_header *h = acpi_find(sig, 0);
    const u8 *p = (const u8 *)h;
    u32 at, type, len;
    u64 base;

    for (at = first; h && at + 16 <= h->length; at += len) {
        type = vtd ? p[at] | p[at + 1] << 8 : p[at];
        len = p[at + 2] | p[at + 3] << 8;
        if (len < 4 || len > h->length - at)
            return;
        memcpy(&base, p + at + 8, sizeof(base));
        if (len >= 16 && base && (vtd ? type == 0 : type == 0x10 || type == 0x11 || type == 0x40))
            mmio_deny(base, base + (vtd ? KiB(4) : KiB(512)));
    }
}

void dom0_deny_mmio(void)
{
    unsigned i;

    mmio_deny(0xfee00000, 0xfef00000);          /* LAPIC page and MSI window */
    mmio_deny(0xfd00000000, 0x10000000000);     /* HyperTransport: no memory on AMD machines */
    for (i = 0; i < nr_ioapics; i++)
        mmio_deny(ioapics[i].paddr, ioapics[i].paddr + PAGE_SIZE);
    if (acpi_hpet_addr)
        mmio_deny(acpi_hpet_addr, acpi_hpet_addr + KiB(1));
    for (i = 0; i < nr_acpi_ecam; i++)
        mmio_deny(acpi_ecam[i].base + ((u64)acpi_ecam[i].bus_start << 20),
                  acpi_ecam[i].base + ((u64)(acpi_ecam[i].bus_end + 1u) << 20));
    deny_iommus("IVRS", 48, false);
    deny_iommus("DMAR", 48, true);
    mmio_deny(boot_info.image_start, boot_info.image_end);
}

/* Map [start, end) without the denied ranges. */
static void map_allowed(struct dom0_build *b, paddr_t start, paddr_t end, enum p2m_type type)
{
    unsigned i;

    for (i = 0; i < nr_denied; i++) {
        if (start >= denied[i].end || denied[i].start >= end)
            continue;
        map_allowed(b, start, MAX(start, denied[i].start), type);
        map_allowed(b, MIN(end, denied[i].end), end, type);
        return;
    }
    if (start < end && p2m_map_identity(b->d, start, end, type))
        printk(LOG_WARN, "dom0: firmware memory %lx-%lx could not be mapped\n", (unsigned long)start,
               (unsigned long)end - 1);
}

/* Does the page hold any byte of host RAM that is managed as RAM? */
static bool page_in_ram(paddr_t page)
{
    unsigned i;

    for (i = 0; i < boot_info.nr_mmap; i++) {
        const struct boot_range *r = &boot_info.mmap[i];
        if (r->type == MEM_RAM && page >= ROUND_UP(r->start, PAGE_SIZE) &&
            page + PAGE_SIZE <= ROUND_DOWN(r->end, PAGE_SIZE))
            return true;
    }
    return false;
}

/* The first MiB: VGA memory as a device, the rest (EBDA, option ROMs, BIOS, SMBIOS) as it is. */
static void map_low(struct dom0_build *b)
{
    paddr_t p;

    for (p = 0; p < MiB(1); p += PAGE_SIZE)
        if (!page_in_ram(p))
            map_allowed(b, p, p + PAGE_SIZE, p >= 0xa0000 && p < 0xc0000 ? P2M_MMIO : P2M_IDENT);
}

void dom0_map_firmware(struct dom0_build *b)
{
    paddr_t start, end;
    unsigned i;

    map_low(b);
    for (i = 0; i < boot_info.nr_mmap; i++) {
        const struct boot_range *r = &boot_info.mmap[i];
        if (r->type != MEM_RESERVED && r->type != MEM_ACPI && r->type != MEM_NVS)
            continue;
        start = MAX(ROUND_DOWN(r->start, PAGE_SIZE), MiB(1));
        end = ROUND_UP(r->end, PAGE_SIZE);
        while (start < end && page_in_ram(start))       /* pages shared with RAM belong to RAM */
            start += PAGE_SIZE;
        while (start < end && page_in_ram(end - PAGE_SIZE))
            end -= PAGE_SIZE;
        if (i && start < ROUND_UP(boot_info.mmap[i - 1].end, PAGE_SIZE) && boot_info.mmap[i - 1].type != MEM_RAM)
            start = MAX(start, ROUND_UP(boot_info.mmap[i - 1].end, PAGE_SIZE));     /* mapped with the one before */
        map_allowed(b, start, end, P2M_IDENT);
    }
}
