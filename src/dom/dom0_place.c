/* SPDX-License-Identifier: MIT */
/* Where kernel, initrd, start_info and the rest lie in dom0's RAM, and start_info itself. */
#include "boot/boot.h"
#include "call/abi.h"
#include "dom/dom0_build.h"
#include "mm/mm.h"

static unsigned collect(struct dom0_build *b, struct dom0_range *avoid)
{
    const struct dom0_range all[] = { b->footprint, b->kernel.at, b->initrd.at, b->acpi, b->boot, b->loader };
    unsigned i, n = 0;

    for (i = 0; i < ARRAY_SIZE(all); i++)
        if (all[i].start < all[i].end)
            avoid[n++] = all[i];
    return n;
}

paddr_t dom0_place(struct dom0_build *b, u64 size, u64 align, paddr_t below)
{
    struct dom0_range avoid[DOM0_AVOID_MAX];
    unsigned n = collect(b, avoid);

    return dom0_map_find(&b->map, size, align, below, avoid, n);
}

/* Copy a module to a free place in dom0's RAM below 4 GiB. Always: where the boot loader left it, it may be in the
 * kernel's way, and until it is copied its pages cannot change owner without danger. */
static void move_module(struct dom0_build *b, struct dom0_module *m, const char *what)
{
    u64 len = m->at.end - m->at.start, off = m->addr - m->at.start;
    paddr_t at = dom0_place(b, len, PAGE_SIZE, GiB(4));

    if (!at)
        dom0_fail("no room for the %s: %lu KiB in one piece below 4 GiB are needed beside the kernel "
                  "(dom0 has %lu MiB)", what, (unsigned long)(len >> 10), (unsigned long)(b->map.ram_bytes >> 20));
    memcpy(phys_to_virt(at), phys_to_virt(m->at.start), len);
    m->at = (struct dom0_range){ at, at + len };
    m->addr = at + off;
}

void dom0_place_modules(struct dom0_build *b)
{
    struct dom0_range old = b->kernel.at;

    if (!dom0_map_is_ram(&b->map, b->footprint.start, b->footprint.end))
        dom0_fail("the kernel must lie at %lx-%lx, which is not all RAM of dom0 (it has %lu MiB; see dom0_mem=, "
                  "and whether firmware or boot loader use that place)", (unsigned long)b->footprint.start,
                  (unsigned long)b->footprint.end - 1, (unsigned long)(b->map.ram_bytes >> 20));
    move_module(b, &b->kernel, "kernel file");
    b->boot = old;                  /* not to be reused yet: its pages are not dom0's */
    if (b->initrd.size)
        move_module(b, &b->initrd, "initrd");
    b->boot = (struct dom0_range){ 0, 0 };
}

static unsigned fill_memmap(const struct dom0_build *b, struct hvm_memmap_table_entry *e)
{
    unsigned i;

    for (i = 0; i < b->map.nr && i < DOM0_MEMMAP_MAX; i++)
        e[i] = (struct hvm_memmap_table_entry){ .addr = b->map.e[i].start, .type = b->map.e[i].type,
                                                .size = b->map.e[i].end - b->map.e[i].start };
    return i;
}

void dom0_write_start_info(struct dom0_build *b)
{
    struct block {
        struct hvm_start_info si;
        struct hvm_modlist_entry mod;
        struct hvm_memmap_table_entry map[DOM0_MEMMAP_MAX];
        char cmdline[DOM0_CMDLINE_MAX];
    } *blk;
    u64 size = ROUND_UP(sizeof(*blk), PAGE_SIZE);

    b->boot.start = dom0_place(b, size, PAGE_SIZE, GiB(1));     /* lists: only the first GiB is mapped early */
    if (!b->boot.start)
        dom0_fail("no room for start_info: %lu KiB below 1 GiB", (unsigned long)(size >> 10));
    b->boot.end = b->boot.start + size;
    blk = phys_to_virt(b->boot.start);
    memset(blk, 0, size);
    blk->si.magic = XEN_HVM_START_MAGIC_VALUE;
    blk->si.version = 1;
    blk->si.flags = SIF_PRIVILEGED | SIF_INITDOMAIN;
    blk->si.rsdp_paddr = b->rsdp;
    blk->si.cmdline_paddr = b->boot.start + offsetof(struct block, cmdline);
    blk->si.memmap_paddr = b->boot.start + offsetof(struct block, map);
    blk->si.memmap_entries = fill_memmap(b, blk->map);
    if (b->map.nr > DOM0_MEMMAP_MAX) {      /* then Linux asks XENMEM_memory_map, which has them all */
        blk->si.version = 0;
        blk->si.memmap_entries = 0;
    }
    if (b->initrd.size) {
        blk->si.nr_modules = 1;
        blk->si.modlist_paddr = b->boot.start + offsetof(struct block, mod);
        blk->mod.paddr = b->initrd.addr;
        blk->mod.size = b->initrd.size;
        blk->mod.cmdline_paddr = blk->si.cmdline_paddr;
    }
    str_copy(blk->cmdline, b->cmdline, sizeof(blk->cmdline));
}
