/* SPDX-License-Identifier: MIT */
/* Host page tables (hostmap.h has the layout). Intel SDM vol. 3, 4.5; AMD APM vol. 2, 5.3. */
#include "mm/hostmap.h"
#include "boot/boot.h"
#include "boot/cmdline.h"
#include "boot/memmap.h"
#include "boot/start.h"
#include "cpu/cpu.h"
#include "debug/console.h"
#include "lib/lib.h"

enum {
    PTE_P = 1, PTE_W = 2, PTE_PWT = 8, PTE_PCD = 16, PTE_PS = 128,
};
#define PTE_NX (1ULL << 63)
#define PTE_ADDR 0x000FFFFFFFFFF000ULL
#define PTE_UC (PTE_PWT | PTE_PCD)          /* entry 3 of the PAT: uncached, also over any MTRR */
#define LOW_4G (1ULL << 32)
#define POOL_SPARE 24                       /* table pages for mappings made before the heap works */
#define WINDOW_SIZE (1ULL << 39)

void image_move(void *to, const void *from, size_t len, u64 cr3);

char *frame_window;                         /* 0 while the boot tables' identity map is in use */
u64 host_cr3, boot_cr3;
static struct { paddr_t next, end; bool heap; } pool;
static struct { u64 next, end; } mmio_space = { MMIO_WINDOW, MMIO_WINDOW + WINDOW_SIZE },
                                 boot_space = { BOOT_WINDOW, BOOT_WINDOW + WINDOW_SIZE };
static struct spinlock lock = SPINLOCK(RANK_HOSTMAP);

static u64 image_bytes(void)
{
    return (u64)(_end_image - _start_image);
}

paddr_t image_to_phys(const void *p)
{
    return boot_info.image_start + (u64)((const u8 *)p - _start_image);
}

/* ---- tables ---- */

/* Physical address of a cleared table page; 0 if there is none. */
static paddr_t table_alloc(void)
{
    if (pool.next < pool.end) {
        paddr_t p = pool.next;
        pool.next += PAGE_SIZE;
        memset(phys_to_virt(p), 0, PAGE_SIZE);
        return p;
    }
    void *v = pool.heap ? page_alloc() : NULL;
    return v ? virt_to_phys(v) : 0;
}

/* Entry for va at the level that maps 2^order pages; NULL if a table is missing and cannot be had. */
static u64 *walk(u64 va, unsigned order)
{
    u64 *table = phys_to_virt(host_cr3);

    for (unsigned shift = 27; ; shift -= 9) {
        u64 *e = &table[va >> (shift + PAGE_SHIFT) & 511];
        if (shift == order)
            return e;
        if (!(*e & PTE_P)) {
            paddr_t t = table_alloc();
            if (!t)
                return NULL;
            *e = t | PTE_P | PTE_W;
        }
        table = phys_to_virt(*e & PTE_ADDR);
    }
}

static unsigned best_order(u64 va, paddr_t pa, u64 len, unsigned max)
{
    if (max >= ORDER_1G && !((va | pa) & (SZ_1G - 1)) && len >= SZ_1G)
        return ORDER_1G;
    if (max >= ORDER_2M && !((va | pa) & (SZ_2M - 1)) && len >= SZ_2M)
        return ORDER_2M;
    return ORDER_4K;
}

/* Map page-aligned [pa, pa+len) at va with pages of at most 2^max frames. Nothing is mapped there yet. */
static bool map(u64 va, paddr_t pa, u64 len, u64 flags, unsigned max)
{
    while (len) {
        unsigned order = best_order(va, pa, len, max);
        u64 step = PAGE_SIZE << order, *e = walk(va, order);
        if (!e)
            return false;
        *e = pa | flags | PTE_P | (order ? PTE_PS : 0);
        va += step;
        pa += step;
        len -= step;
    }
    return true;
}

/* ---- placing the image ---- */

/* If [start, end) touches memory in use, the lowest address of that memory (a lower place must be tried), else 0. */
static paddr_t in_use(paddr_t start, paddr_t end)
{
    const struct boot_info *bi = &boot_info;

    if (start < bi->image_end && bi->image_start < end)
        return bi->image_start;
    for (unsigned i = 0; i < bi->nr_modules; i++)
        if (start < bi->module[i].start + bi->module[i].size && bi->module[i].start < end)
            return bi->module[i].start;
    if (bi->ucode && start < bi->ucode + bi->ucode_size && bi->ucode < end)
        return bi->ucode;
    if (bi->efi_memmap && start < bi->efi_memmap + bi->efi_memmap_size && bi->efi_memmap < end)
        return bi->efi_memmap;
    return 0;
}

/* The highest free place below 4 GiB (APs load boot_cr3 in 32-bit mode); 0 if there is none. */
static paddr_t find_place(u64 size)
{
    for (unsigned i = boot_info.nr_mmap; i-- > 0; ) {
        const struct boot_range *r = &boot_info.mmap[i];
        u64 end = MIN(r->end, LOW_4G);

        if (r->type != MEM_RAM || r->start >= LOW_4G)
            continue;
        while (end >= size && ROUND_DOWN(end - size, SZ_2M) >= MAX(r->start, (paddr_t)SZ_2M)) {
            paddr_t p = ROUND_DOWN(end - size, SZ_2M);
            paddr_t u = in_use(p, p + size);
            if (!u)
                return p;
            end = u;
        }
    }
    return 0;
}

/* Upper bound of the table pages that the windows need. */
static u64 tables_needed(unsigned max_order)
{
    u64 n = 16 + image_bytes() / SZ_2M + POOL_SPARE;

    for (unsigned i = 0; i < boot_info.nr_mmap; i++) {
        const struct boot_range *r = &boot_info.mmap[i];
        if (r->type != MEM_RAM)
            continue;
        n += 8;                     /* directory and table at either end, upper levels, the image's cut */
        if (max_order < ORDER_1G)
            n += (r->end - r->start) / SZ_1G;
    }
    return n;
}

static u64 opt_mem = ~0ULL;
BOOT_OPTION(mem, "mem", OPT_SIZE, 0, &opt_mem, NULL, "<size>: RAM above this address is not used");

/* RAM that the window can show and mem= allows: the rest is given up with a line. */
static void clip_ram(void)
{
    u64 limit = MIN(MIN(FRAME_WINDOW_MAX, 1ULL << host.phys_bits), ROUND_DOWN(opt_mem, PAGE_SIZE)), lost = 0;

    for (unsigned i = 0, n = boot_info.nr_mmap; i < n; i++) {
        struct boot_range *r = &boot_info.mmap[i];
        if (r->type != MEM_RAM || r->end <= limit)
            continue;
        paddr_t from = MAX(r->start, limit);
        lost += r->end - from;
        /* Still memory, so that nobody puts device registers there. */
        if (!memmap_add(&boot_info, from, r->end - from, MEM_UNUSABLE))
            r->end = MAX(r->start, limit);
    }
    memmap_finish(&boot_info);
    if (lost)
        printk(LOG_WARN, "%llu MiB of RAM above %#llx stay unused (mem=, or out of reach)\n",
               (unsigned long long)(lost >> 20), (unsigned long long)limit);
}

/* ---- boot ---- */

static bool map_image(paddr_t base)
{
    static const struct { u8 *start, *end; u64 flags; } parts[] = {
        { _start_image, _stext, PTE_NX },
        { _stext, _etext, 0 },
        { _srodata, _erodata, PTE_NX },
        { _sdata, boot_stack - PAGE_SIZE, PTE_NX | PTE_W },
        { boot_stack, _end_image, PTE_NX | PTE_W },     /* what is left out is the stack's guard */
    };

    for (unsigned i = 0; i < ARRAY_SIZE(parts); i++) {
        u64 off = (u64)(parts[i].start - _start_image);
        if (!map((u64)parts[i].start, base + off, (u64)(parts[i].end - parts[i].start), parts[i].flags, ORDER_4K))
            return false;
    }
    return true;
}

/* The image is not in the window: its code must not have a writable alias. */
static bool map_ram(paddr_t base, unsigned max_order)
{
    paddr_t image_end = base + image_bytes();

    for (unsigned i = 0; i < boot_info.nr_mmap; i++) {
        const struct boot_range *r = &boot_info.mmap[i];
        if (r->type != MEM_RAM)
            continue;
        paddr_t cut_start = r->end, cut_end = r->end;
        if (base < r->end && r->start < image_end) {
            cut_start = base;
            cut_end = image_end;
        }
        if (!map(FRAME_WINDOW + r->start, r->start, cut_start - r->start, PTE_NX | PTE_W, max_order) ||
            !map(FRAME_WINDOW + cut_end, cut_end, r->end - cut_end, PTE_NX | PTE_W, max_order))
            return false;
    }
    return true;
}

struct ram_range hostmap_init(void)
{
    const unsigned max_order = cpu_has(FEAT_PAGE1GB) ? ORDER_1G : ORDER_2M;
    const paddr_t old = boot_info.image_start;
    paddr_t base, tables;

    clip_ram();
    u64 pages = tables_needed(max_order);
    base = find_place(image_bytes() + pages * PAGE_SIZE);
    if (!base) {
        printk(LOG_ERR, "Cannot start: no %llu KiB of free RAM in one piece below 4 GiB for the hypervisor\n",
               (unsigned long long)((image_bytes() >> 10) + pages * 4));
        machine_halt();
    }
    tables = base + image_bytes();
    pool.next = tables;
    pool.end = tables + pages * PAGE_SIZE;
    host_cr3 = table_alloc();
    if (!map_image(base) || !map_ram(base, max_order))
        panic("Host page tables need more than %llu pages\n", (unsigned long long)pages);
    boot_info.image_start = base;
    boot_info.image_end = base + image_bytes();
    pool.end = MIN(pool.end, pool.next + POOL_SPARE * PAGE_SIZE);
    frame_window = (char *)FRAME_WINDOW;
    image_move((void *)base, (const void *)old, image_bytes(), host_cr3);
    boot_cr3 = boot_tables_build(_start_image, base);    /* for the APs */
    return (struct ram_range){ tables, pool.end };
}

void hostmap_use_heap(void)
{
    pool.heap = true;
}

/* ---- later mappings ---- */

/* Map [p, p+len) (any alignment) at the next free address of a space, one unmapped page after it. Large ranges (PCI
 * configuration space) get 2 MiB pages where they can: fewer steps, and no tables. */
static void *map_next(__typeof__(mmio_space) *space, paddr_t p, u64 len, u64 flags)
{
    u64 off = p & (PAGE_SIZE - 1), size;

    if (!len || len > SZ_1G || p + len < p || (p + len - 1) >> host.phys_bits)
        return NULL;
    size = ROUND_UP(off + len, PAGE_SIZE);
    spin_lock(&lock);
    u64 va = space->next;
    if (size >= 2 * SZ_2M)              /* the same place within 2 MiB as p has */
        va += (p - off - va) & (SZ_2M - 1);
    bool room = va < space->end && space->end - va >= size + PAGE_SIZE;
    /* Also after a failure: what was mapped of it is not used again. */
    if (room)
        space->next = va + size + PAGE_SIZE;
    if (!room || !map(va, p - off, size, flags, ORDER_2M))
        va = 0;
    spin_unlock(&lock);
    return va ? (void *)(va + off) : NULL;
}

void *mmio_map(paddr_t p, size_t len)
{
    return map_next(&mmio_space, p, len, PTE_NX | PTE_W | PTE_UC);
}

const void *boot_map(paddr_t p, size_t len)
{
    static struct { paddr_t start, end; const char *va; } last;

    if (!len || p + len < p)
        return NULL;
    if (memmap_is_ram(&boot_info, p, p + len) && (p >= boot_info.image_end || p + len <= boot_info.image_start))
        return phys_to_virt(p);
    if (p < last.start || p + len > last.end) {
        paddr_t start = p & PAGE_MASK, end = ROUND_UP(p + len, PAGE_SIZE);
        const void *va = map_next(&boot_space, start, end - start, PTE_NX);
        if (!va)
            return NULL;
        last.start = start;
        last.end = end;
        last.va = va;
    }
    return last.va + (p - last.start);
}

void *stack_map(void *pages, unsigned order)
{
    u64 size = PAGE_SIZE << order;

    spin_lock(&lock);
    u64 va = boot_space.next + PAGE_SIZE;
    bool ok = map(va, virt_to_phys(pages), size, PTE_NX | PTE_W, ORDER_4K);
    boot_space.next = va + size + PAGE_SIZE;
    spin_unlock(&lock);
    return ok ? (void *)va : NULL;
}
