/* SPDX-License-Identifier: MIT */
/*
 * Unpacking a bzImage inside dom0 (design rule 11): places the loader, an arena and page tables in dom0's RAM, lets
 * vCPU 0 start there in 64-bit mode, and takes its report. The loader is not trusted: the report is checked.
 */
#include "call/call.h"
#include "cpu/cpu.h"
#include "dom/dom0_build.h"
#include "dom/loader_abi.h"
#include "hvm/hvm.h"
#include "mm/mm.h"
#include "time/time.h"

extern const u8 dom0_loader_blob[], dom0_loader_blob_end[];

/* Layout of the loader's pages: input, page tables, image with bss and stack. */
enum { PG_INPUT, PG_PML4, PG_PDPT_LOW, PG_PD_LOW, PG_PDPT_IMAGE = PG_PD_LOW + 4, PG_PD_IMAGE, PG_PT_IMAGE, PG_IMAGE };
enum { PTE_P = 1, PTE_RW = 2, PTE_PS = 0x80 };
#define IMAGE_MAX SZ_2M             /* one page table */

static struct dom0_build *active;   /* while the loader runs */
static u64 started_ns;

static u64 *table(const struct dom0_build *b, unsigned page)
{
    return phys_to_virt(b->loader.start + page * PAGE_SIZE);
}

static u64 link_to(const struct dom0_build *b, unsigned page)
{
    return (b->loader.start + page * PAGE_SIZE) | PTE_P | PTE_RW;
}

/* 4 GiB at their own addresses in 2 MiB pages, the image at LOADER_VA. AMD APM vol. 2, 5.3 (long-mode paging). */
static void write_tables(const struct dom0_build *b, u64 image_pages)
{
    u64 i;

    table(b, PG_PML4)[0] = link_to(b, PG_PDPT_LOW);
    table(b, PG_PML4)[LOADER_VA >> 39 & 511] = link_to(b, PG_PDPT_IMAGE);
    for (i = 0; i < 4; i++)
        table(b, PG_PDPT_LOW)[i] = link_to(b, PG_PD_LOW + (unsigned)i);
    for (i = 0; i < 4 * 512; i++)
        table(b, PG_PD_LOW)[i] = i * SZ_2M | PTE_P | PTE_RW | PTE_PS;
    table(b, PG_PDPT_IMAGE)[LOADER_VA >> 30 & 511] = link_to(b, PG_PD_IMAGE);
    table(b, PG_PD_IMAGE)[LOADER_VA >> 21 & 511] = link_to(b, PG_PT_IMAGE);
    for (i = 0; i < image_pages; i++)
        table(b, PG_PT_IMAGE)[i] = link_to(b, PG_IMAGE + (unsigned)i);
}

/* The largest piece of RAM that is left: the decompressors' memory. */
static struct dom0_range place_arena(struct dom0_build *b)
{
    u64 size;
    paddr_t at;

    for (size = MiB(512); size >= MiB(16); size -= MiB(1)) {
        at = dom0_place(b, size, PAGE_SIZE, GiB(4));
        if (at)
            return (struct dom0_range){ at, at + size };
    }
    dom0_fail("no 16 MiB of RAM in one piece to unpack its kernel (it has %lu MiB)",
              (unsigned long)(b->map.ram_bytes >> 20));
}

void dom0_loader_start(struct dom0_build *b)
{
    u64 size = (u64)(dom0_loader_blob_end - dom0_loader_blob), bytes;
    struct loader_input *in;
    struct loader_header h;
    struct dom0_range arena;

    if (size < sizeof(h))
        dom0_fail("this build has no loader for compressed kernels; give it an uncompressed vmlinux");
    memcpy(&h, dom0_loader_blob, sizeof(h));
    if (h.magic != LOADER_MAGIC || h.memory_bytes < size || h.memory_bytes > IMAGE_MAX)
        dom0_fail("the built-in kernel loader is malformed (%lu bytes)", (unsigned long)size);
    bytes = PG_IMAGE * PAGE_SIZE + ROUND_UP(h.memory_bytes, PAGE_SIZE);
    b->loader.start = dom0_place(b, bytes, PAGE_SIZE, GiB(4));
    if (!b->loader.start)
        dom0_fail("no room for the kernel loader (%lu KiB)", (unsigned long)(bytes >> 10));
    b->loader.end = b->loader.start + bytes;
    arena = place_arena(b);
    memset(phys_to_virt(b->loader.start), 0, bytes);
    memcpy(phys_to_virt(b->loader.start + PG_IMAGE * PAGE_SIZE), dom0_loader_blob, size);
    write_tables(b, ROUND_UP(h.memory_bytes, PAGE_SIZE) / PAGE_SIZE);
    in = phys_to_virt(b->loader.start);
    *in = (struct loader_input){
        .magic = LOADER_MAGIC, .file = b->kernel.addr, .file_size = b->kernel.size, .arena = arena.start,
        .arena_size = arena.end - arena.start, .window_start = b->footprint.start, .window_end = b->footprint.end,
        .canary = tsc_read() * 0x9e3779b97f4a7c15UL, .use_vmcall = host.vendor == VENDOR_INTEL };
    active = b;
    started_ns = now_ns();
    hvm_set_long_mode(b->d->vcpu[0], h.entry, 0, b->loader.start + PG_PML4 * PAGE_SIZE, b->loader.start);
}

static void __noreturn refuse(u64 status, u64 x, u64 y)
{
    const struct dom0_build *b = active;
    unsigned long p = (unsigned long)x, q = (unsigned long)y;

    switch (status) {
    case LOADER_BAD_FILE: dom0_fail("its kernel file is truncated or damaged: the payload does not lie inside its "
                                    "%lu bytes", (unsigned long)b->kernel.size);
    case LOADER_FORMAT: dom0_fail("its kernel's compression is unknown (first word %08lx); known are xz, gzip, zstd, "
                                  "lz4, bzip2 and lzma", p);
    case LOADER_LZO: dom0_fail("its kernel is compressed with LZO, which is not supported; rebuild it with xz, zstd, "
                               "gzip or lz4, or give the uncompressed vmlinux");
    case LOADER_NO_MEMORY: dom0_fail("unpacking its kernel needs %lu KiB in one piece, %lu KiB are free; raise "
                                     "dom0_mem=", p >> 10, q >> 10);
    case LOADER_CORRUPT: dom0_fail("its kernel file is damaged: the decompressor stopped after %lu bytes (code %ld)",
                                   q, (long)p);
    case LOADER_SHORT: dom0_fail("its kernel file is damaged: %lu of %lu bytes came out", p, q);
    case LOADER_BAD_ELF: dom0_fail("its kernel unpacks to something that is not a loadable x86 ELF file");
    case LOADER_OUTSIDE: dom0_fail("its kernel has a segment at %lx-%lx, outside of the %lx-%lx that its header asks "
                                   "for", p, q - 1, (unsigned long)b->footprint.start,
                                   (unsigned long)b->footprint.end - 1);
    case LOADER_NO_NOTE: dom0_fail("its kernel has no Xen PVH entry note (PHYS32_ENTRY); Linux needs CONFIG_PVH");
    case LOADER_BAD_ENTRY: dom0_fail("the PVH entry %lx of its kernel is outside of the kernel", p);
    default: dom0_fail("its kernel loader failed with status %lu (%lx, %lx)", (unsigned long)status, p, q);
    }
}

/* CALL_LOADER_DONE(status, entry | a, start | b, end): accepted once, from the loader. */
long loader_done(struct call *c)
{
    struct dom0_build *b = active;
    u64 entry = c->arg[1], start = c->arg[2], end = c->arg[3];

    if (!b || c->v != b->d->vcpu[0] || c->in_multicall)
        return -ENOSYS;
    if (c->arg[0] != LOADER_OK)
        refuse(c->arg[0], c->arg[1], c->arg[2]);
    if (start >= end || start < b->footprint.start || end > b->footprint.end || entry < start || entry >= end)
        refuse(LOADER_INTERNAL, entry, start);
    active = NULL;
    memset(phys_to_virt(b->loader.start), 0, b->loader.end - b->loader.start);
    printk(LOG_INFO, "dom0: kernel unpacked to %lx-%lx in %lu ms, entry %lx\n", (unsigned long)start,
           (unsigned long)end - 1, (unsigned long)((now_ns() - started_ns) / 1000000), (unsigned long)entry);
    hvm_set_pvh_entry(c->v, entry, b->boot.start);
    memset(c->arg, 0, sizeof(c->arg));
    return -ERESTART;               /* "stay on the instruction": which is now the kernel's first */
}
