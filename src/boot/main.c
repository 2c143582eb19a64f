/* SPDX-License-Identifier: MIT */
/* The boot story: what every entry comes to, and the order in which the hypervisor comes up. */
#include "acpi/acpi.h"
#include "boot/boot.h"
#include "boot/cmdline.h"
#include "boot/memmap.h"
#include "boot/multiboot.h"
#include "boot/start.h"
#include "boot/version.h"
#include "cpu/cpu.h"
#include "cpu/x86.h"
#include "debug/console.h"
#include "dom/dom0.h"
#include "hvm/hvm.h"
#include "hvm/policy.h"
#include "iommu/iommu.h"
#include "irq/irq.h"
#include "mm/hostmap.h"
#include "pci/pci.h"
#include "sched/sched.h"
#include "time/time.h"

#define MIN_RAM MiB(96)                 /* below, no dom0 kernel starts; said here instead of failing later */

struct boot_info boot_info;
struct mb_extra mb_extra;
static u8 rsdp_copy[40] __aligned(8);

/* The boot tables map the first 4 GiB one to one; 32-bit loaders put nothing elsewhere. */
static const void *low_memory(paddr_t p, size_t len)
{
    return p < GiB(4) && len <= GiB(4) - p ? (const void *)p : NULL;
}

static const char *read_loader_info(u32 magic, paddr_t info)
{
    const u32 *start_info = low_memory(info, 4);

    if (magic == BOOT_MAGIC_EFI) {      /* boot_info came filled, but for pointers */
        boot_info.entry = mb_extra.efi_boot_services ? "multiboot2 for EFI" : "EFI";
        return NULL;
    }
    if (magic == MB1_BOOT_MAGIC)
        return mb1_parse(&boot_info, &mb_extra, info, low_memory);
    if (magic == MB2_BOOT_MAGIC)
        return mb2_parse(&boot_info, &mb_extra, info, low_memory);
    if (start_info && *start_info == PVH_BOOT_MAGIC)
        return pvh_parse(&boot_info, &mb_extra, info, low_memory);
    return "unknown boot protocol (neither multiboot, multiboot2, PVH nor EFI)";
}

/* The loader's copy of the RSDP would be overwritten: keep one in the image. Before the loader's information is out
 * of reach. */
static void keep_rsdp(void)
{
    if (mb_extra.rsdp)
        memcpy(rsdp_copy, mb_extra.rsdp, MIN((size_t)mb_extra.rsdp_len, sizeof(rsdp_copy)));
}

static void print_memory(void)
{
    static const char *const names[] = { "", "RAM", "reserved", "ACPI data", "ACPI NVS", "unusable" };

    printk(LOG_INFO, "Memory map (%llu MiB of RAM):\n", (unsigned long long)(memmap_ram_bytes(&boot_info) >> 20));
    for (unsigned i = 0; i < boot_info.nr_mmap; i++) {
        const struct boot_range *r = &boot_info.mmap[i];
        printk(LOG_INFO, "  %012llx-%012llx %s\n", (unsigned long long)r->start, (unsigned long long)r->end,
               names[r->type]);
    }
    if (boot_info.nr_mmap_lost)
        printk(LOG_WARN, "%u pieces more than the %u that fit are left out of the memory map\n", boot_info.nr_mmap_lost,
               BOOT_MAX_MMAP);
}

static void print_banner(void)
{
    printk(LOG_ERR, "%s, build id %.16s, started by %s at %#llx\n", HELIUM_BANNER, build_id_hex,
           boot_info.entry, (unsigned long long)boot_info.image_start);
    printk(LOG_INFO, "Command line: %s\n", saved_cmdline);
}

/* What follows ` -- ` on the hypervisor's line belongs to dom0 (old boot entries). */
static void split_cmdline(void)
{
    char *rest = strstr(boot_info.cmdline, " -- ");

    if (!rest)
        return;
    *rest = 0;
    rest += 4;
    if (boot_info.nr_modules) {
        char *line = boot_info.module[0].cmdline;
        size_t n = strlen(line);
        snprintf(line + n, BOOT_CMDLINE - n, "%s%s", n ? " " : "", rest);
    }
}

/* An unusable machine or boot entry is no inconsistency of ours: one line, no dump, and it stays on the screen. */
static void check_machine(void)
{
    u64 ram = memmap_ram_bytes(&boot_info);

    if (ram >= MIN_RAM && boot_info.nr_modules)
        return;
    if (ram < MIN_RAM)
        printk(LOG_ERR, "Cannot start: too little memory, %llu MiB of RAM found, at least %llu MiB are needed\n",
               (unsigned long long)(ram >> 20), (unsigned long long)(MIN_RAM >> 20));
    else
        printk(LOG_ERR, "Cannot start: no dom0 kernel, the boot loader passed no module; "
               "add the kernel (and its initrd) to the boot entry\n");
    machine_halt();
}

/* Hand RAM to the memory manager, without the pieces that are in use. */
static void give_ram(struct ram_range tables)
{
    static struct ram_range ram[BOOT_MAX_MMAP], used[BOOT_MAX_MODULES + 4];
    unsigned nr_ram = 0, nr_used = 0;

    for (unsigned i = 0; i < boot_info.nr_mmap; i++)
        if (boot_info.mmap[i].type == MEM_RAM)
            ram[nr_ram++] = (struct ram_range){ boot_info.mmap[i].start, boot_info.mmap[i].end };
    used[nr_used++] = (struct ram_range){ boot_info.image_start, boot_info.image_end };
    used[nr_used++] = tables;
    if (boot_info.efi_memmap)
        used[nr_used++] = (struct ram_range){ boot_info.efi_memmap & PAGE_MASK,
                                              ROUND_UP(boot_info.efi_memmap + boot_info.efi_memmap_size, PAGE_SIZE) };
    if (boot_info.ucode)
        used[nr_used++] = (struct ram_range){ boot_info.ucode,
                                              ROUND_UP(boot_info.ucode + boot_info.ucode_size, PAGE_SIZE) };
    for (unsigned i = 0; i < boot_info.nr_modules; i++) {
        const struct boot_module *m = &boot_info.module[i];
        used[nr_used++] = (struct ram_range){ m->start & PAGE_MASK, ROUND_UP(m->start + m->size, PAGE_SIZE) };
    }
    ram_init(ram, nr_ram, used, nr_used);
    hostmap_use_heap();
}

static void start_memory(void)
{
    struct ram_range tables = hostmap_init();

    console_screen_init();
    if (mb_extra.rsdp && !boot_info.rsdp)
        boot_info.rsdp = image_to_phys(rsdp_copy);
    check_machine();
    give_ram(tables);
    printk(LOG_INFO, "Hypervisor: %llu KiB at %#llx; RAM: %llu MiB, free %llu MiB\n",
           (unsigned long long)((boot_info.image_end - boot_info.image_start) >> 10),
           (unsigned long long)boot_info.image_start, (unsigned long long)(ram_total_pages() >> 8),
           (unsigned long long)(ram_free_pages() >> 8));
}

static void start_machine(void)
{
    acpi_init(boot_info.rsdp);
    irq_init();
    console_init_irq();
    time_init();
    spec_init();
    pci_init();
    if (iommu_init()) policy_limit_phys_bits(iommu_address_bits());
    hvm_init();
    sched_init();
    dom_init();
    smp_init();
}

/* What the loader left and nobody reads any more: it becomes dom0's or free memory. */
static void give_back(void)
{
    ram_release(boot_info.efi_memmap, boot_info.efi_memmap + ROUND_UP(boot_info.efi_memmap_size, PAGE_SIZE));
    ram_release(boot_info.ucode, boot_info.ucode + ROUND_UP(boot_info.ucode_size, PAGE_SIZE));
    for (; boot_info.nr_modules > 2; boot_info.nr_modules--) {
        const struct boot_module *m = &boot_info.module[boot_info.nr_modules - 1];
        printk(LOG_WARN, "Boot module %u (%s) is not used\n", boot_info.nr_modules - 1, m->cmdline);
        ram_release(m->start, m->start + m->size);
    }
}

static void start_dom0(void)
{
    give_back();
    dom0_create();
    watchdog_init();
    printk(LOG_ERR, "Helium: %llu TSC ticks from entry to dom0 entry, %llu ns waited\n",
           (unsigned long long)(rdtsc() - boot_info.entry_tsc), (unsigned long long)boot_wait_ns);
    console_screen_off();
    cpu_run(run_loop);
}

void boot_start(u32 magic, paddr_t info, u64 tsc, paddr_t base)
{
    console_early_init();
    cpu_boot_init();
    boot_info.image_start = base;
    boot_info.image_end = base + (u64)(_end_image - _start_image);
    boot_info.entry_tsc = tsc;
    const char *bad = read_loader_info(magic, info);
    if (bad) {
        printk(LOG_ERR, "Cannot start: the boot loader's information cannot be used: %s (magic %#x, at %#llx); "
               "check the boot entry or use another boot loader\n", bad, magic, (unsigned long long)info);
        machine_halt();
    }
    keep_rsdp();
    memmap_finish(&boot_info);
    split_cmdline();
    cmdline_parse(boot_info.cmdline);
    console_init();
    print_banner();
    print_memory();
    start_memory();
    start_machine();
    start_dom0();
    __builtin_unreachable();
}
