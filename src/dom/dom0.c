/* SPDX-License-Identifier: MIT */
/* The dom0 builder: the story of dom0_create(), memory and IOMMU policy. */
#include "evtchn/evtchn.h"
#include "dom/dom0.h"
#include "acpi/acpi.h"
#include "boot/boot.h"
#include "call/abi.h"
#include "debug/console.h"
#include "dom/dom0_build.h"
#include "dom/dom0_opts.h"
#include "hvm/hvm.h"
#include "hvm/vlapic.h"
#include "iommu/iommu.h"
#include "mm/p2m.h"
#include "pci/pci.h"
#include "sched/sched.h"

void dom0_fail(const char *fmt, ...)
{
    char line[256];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    printk(LOG_ERR, "Cannot start dom0: %s\n", line);
    machine_halt();
}

/* Design section 2, "No IOMMU": without one every device of dom0 can write anywhere. */
static void check_iommu(struct dom0_build *b)
{
    size_t n = strlen(b->cmdline);

    if (iommu_enabled)
        return;
    if (!opt_dom0_no_iommu)
        dom0_fail("no IOMMU is in use (none found, or iommu=off). Devices could write to all memory; "
                  "add dom0-iommu=none to the command line to accept that");
    printk(LOG_WARN, "dom0-iommu=none: devices of dom0 are not confined: each can read and write all memory\n");
    dom0_keep_frames = true;
    if (strstr(b->cmdline, "swiotlb=force"))
        return;
    if (n + sizeof(" swiotlb=force") > sizeof(b->cmdline))
        dom0_fail("its command line is too long to add swiotlb=force (limit %u characters)", DOM0_CMDLINE_MAX - 1);
    str_copy(b->cmdline + n, n ? " swiotlb=force" : "swiotlb=force", sizeof(b->cmdline) - n);
}

static void create_domain(struct dom0_build *b)
{
    struct domain_config cfg = {
        .flags = XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap | XEN_DOMCTL_CDF_s3_integrity,
        .emulation_flags = XEN_X86_EMU_LAPIC | XEN_X86_EMU_IOAPIC | XEN_X86_EMU_VPCI,
        .max_vcpus = dom0_vcpus(nr_cpus), .max_evtchn_port = ~0u, .max_grant_frames = -1, .max_maptrack_frames = -1,
        .hwdom = true,
    };
    unsigned i;
    int rc;

    if (iommu_enabled)
        cfg.flags |= XEN_DOMCTL_CDF_iommu;
    rc = domain_create(0, &cfg, &b->d);
    if (rc)
        dom0_fail("creating the domain failed (error %d)", rc);
    dom0 = b->d;
    for (i = 0; i < cfg.max_vcpus; i++) {
        rc = vcpu_create(b->d, i);
        if (rc)
            dom0_fail("creating vCPU %u of %u failed (error %d)", i, cfg.max_vcpus, rc);
    }
}

/* ---- memory ---- */

/* Pages of the boot modules are still in use: they are promised to dom0 here and taken by take_old_places(). */
static bool take_ram(void *ctx, paddr_t start, paddr_t end)
{
    struct dom0_build *b = ctx;
    const struct dom0_range old[] = { b->kernel.at, b->initrd.at };
    unsigned i;

    for (i = 0; i < ARRAY_SIZE(old); i++) {
        if (start >= old[i].end || end <= old[i].start)
            continue;
        return start >= old[i].start && end <= old[i].end;      /* partly: asked again in smaller pieces */
    }
    return dom_ram_take(b->d, start, end);
}

/* The modules were copied: their old pages become dom0's if promised, and free otherwise. Page by page, because
 * the heap may have grown into one of them meanwhile. */
static void take_old_place(struct dom0_build *b, struct dom0_range old)
{
    paddr_t p;

    ram_release(old.start, old.end);
    for (p = old.start; p < old.end; p += PAGE_SIZE)
        if (dom0_map_owns(&b->map, p) && !dom_ram_take(b->d, p, p + PAGE_SIZE) &&
            !dom0_map_retype(&b->map, p, p + PAGE_SIZE, MEM_UNUSABLE))
            dom0_fail("the page at %lx was lost while its memory was laid out", (unsigned long)p);
}

/* dom0's p2m holds its RAM in large pages; what needs small tables is the scratch area and BARs. */
static void size_pool(struct dom0_build *b, u64 bytes)
{
    u64 pool = MiB(8) + ROUND_UP(bytes / 256, PAGE_SIZE);

    if (p2m_pool_set(b->d, pool))
        dom0_fail("no memory for dom0's page tables (%lu KiB)", (unsigned long)(pool >> 10));
}

static void make_memory(struct dom0_build *b)
{
    struct dom0_range ecam[ARRAY_SIZE(acpi_ecam)];
    struct dom0_map_request rq = { .host = boot_info.mmap, .nr_host = boot_info.nr_mmap, .reserve = ecam,
                                   .take = take_ram, .ctx = b };
    u64 total = ram_total_pages() << PAGE_SHIFT, avail = ram_free_pages() << PAGE_SHIFT, max;
    unsigned i;

    for (i = 0; i < nr_acpi_ecam; i++)
        ecam[rq.nr_reserve++] = (struct dom0_range){
            acpi_ecam[i].base + ((u64)acpi_ecam[i].bus_start << 20),
            acpi_ecam[i].base + ((u64)(acpi_ecam[i].bus_end + 1u) << 20) };
    avail += b->kernel.at.end - b->kernel.at.start + b->initrd.at.end - b->initrd.at.start;
    rq.ram_bytes = dom0_mem_bytes(&opt_dom0_mem, total, avail);
    size_pool(b, rq.ram_bytes);
    max = dom0_mem_max_bytes(&opt_dom0_mem, total, avail);
    b->d->max_pages = MAX(MIN(max, total), rq.ram_bytes) >> PAGE_SHIFT;
    dom0_map_make(&b->map, &rq);
    if (b->map.overflow)
        printk(LOG_WARN, "dom0: memory map has more than %u entries; the rest is not used\n", DOM0_MAP_MAX);
    if (b->map.ram_bytes + MiB(1) < rq.ram_bytes)
        printk(LOG_INFO, "dom0: gets %lu MiB of the %lu MiB it could have\n",
               (unsigned long)(b->map.ram_bytes >> 20), (unsigned long)(rq.ram_bytes >> 20));
    if (b->map.scratch.start == b->map.scratch.end)
        printk(LOG_WARN, "dom0: no 128 MiB of RAM could be left out of its memory map: grant mappings may "
               "collide with PCI devices\n");
}

/* RAM proper and the RAM that was put aside for ACPI tables. */
static void map_memory(struct dom0_build *b)
{
    unsigned i;
    int rc;

    rc = p2m_map_identity(b->d, b->acpi.start, b->acpi.end, P2M_RAM);
    for (i = 0; i < b->map.nr && !rc; i++)
        if (b->map.e[i].type == MEM_RAM)
            rc = p2m_map_identity(b->d, b->map.e[i].start, b->map.e[i].end, P2M_RAM);
    if (rc)
        dom0_fail("no memory for the page tables of %lu MiB of RAM (error %d)",
                  (unsigned long)(b->map.ram_bytes >> 20), rc);
}

/* XENMEM_memory_map reads this copy. */
static void publish_map(struct dom0_build *b)
{
    struct domain *d = b->d;
    unsigned i;

    d->memmap.e = kzalloc(b->map.nr * sizeof(d->memmap.e[0]));
    if (!d->memmap.e)
        dom0_fail("no memory for its memory map");
    d->memmap.nr = b->map.nr;
    for (i = 0; i < b->map.nr; i++) {
        const struct boot_range *r = &b->map.e[i];
        d->memmap.e[i].addr = r->start;
        d->memmap.e[i].size = r->end - r->start;
        d->memmap.e[i].type = r->type;
        printk(LOG_DEBUG, "dom0: %012lx-%012lx type %u\n", (unsigned long)r->start, (unsigned long)r->end - 1,
               r->type);
    }
}

/* ---- ACPI ---- */

static void acpi_input(struct dom0_build *b, struct dom0_acpi_in *in, struct acpi_table_ref *ref, unsigned max)
{
    const struct acpi_header *fadt = acpi_find("FACP", 0);
    unsigned i;

    *in = (struct dom0_acpi_in){ .table = ref, .nr_vcpus = b->d->max_vcpus,
                                 .oem = "HELIUM", .oem_table = "HELIUM  " };
    if (fadt) {                         /* quirks in Linux go by the machine's OEM ids */
        memcpy(in->oem, fadt->oem, sizeof(in->oem));
        memcpy(in->oem_table, fadt->oem_table, sizeof(in->oem_table));
    }
    for (i = 0; i < acpi_table_count() && in->nr_tables < max; i++) {
        ref->addr = acpi_table_addr(i, ref->sig);
        if (ref->addr) {
            ref++;
            in->nr_tables++;
        }
    }
}

static void place_acpi(struct dom0_build *b, const struct dom0_acpi_in *in)
{
    u64 size = ROUND_UP(dom0_acpi_size(in), PAGE_SIZE);

    b->acpi.start = dom0_map_carve(&b->map, size, MEM_ACPI);
    if (!b->acpi.start)
        dom0_fail("no %lu bytes of RAM below 4 GiB for its ACPI tables", (unsigned long)size);
    b->acpi.end = b->acpi.start + size;
}

/* ---- devices ---- */

static void give_devices(struct dom0_build *b)
{
    int rc;

    dom0_map_firmware(b);
    dom0_open_ports(b->d);
    rc = vioapic_init(b->d);
    if (!rc)
        rc = vpci_init(b->d);
    if (!rc && iommu_enabled)
        rc = iommu_attach_all(b->d);
    if (rc)
        dom0_fail("giving it the machine's devices failed (error %d)", rc);
}

static void read_modules(struct dom0_build *b)
{
    struct dom0_module *m[2] = { &b->kernel, &b->initrd };
    unsigned i;

    if (!boot_info.nr_modules)
        dom0_fail("the boot loader passed no kernel (first module); check the boot entry");
    for (i = 0; i < 2 && i < boot_info.nr_modules; i++) {
        m[i]->addr = boot_info.module[i].start;
        m[i]->size = boot_info.module[i].size;
        if (m[i]->size)
            m[i]->at = (struct dom0_range){ ROUND_DOWN(m[i]->addr, PAGE_SIZE),
                                            ROUND_UP(m[i]->addr + m[i]->size, PAGE_SIZE) };
    }
    if (str_copy(b->cmdline, boot_info.module[0].cmdline, sizeof(b->cmdline)) >= sizeof(b->cmdline))
        dom0_fail("its command line is longer than %u characters", DOM0_CMDLINE_MAX - 1);
}

static void move_modules(struct dom0_build *b)
{
    struct dom0_range kernel = b->kernel.at, initrd = b->initrd.at;

    dom0_place_modules(b);
    take_old_place(b, kernel);
    take_old_place(b, initrd);
}

/* Somebody typed for dom0. */
static void console_typed(void)
{
    evtchn_virq_global(dom0, VIRQ_CONSOLE);
}

/* The hypervisor's log grew (xenconsoled --log=hv reads it). */
static void conring_grew(void)
{
    evtchn_virq_global(dom0, VIRQ_CON_RING);
}

void dom0_create(void)
{
    static struct dom0_build build;     /* large; used once */
    static struct acpi_table_ref tables[64];
    struct dom0_build *b = &build;
    struct dom0_acpi_in acpi;

    read_modules(b);
    check_iommu(b);
    dom0_kernel_probe(b);
    dom0_deny_mmio();
    create_domain(b);
    make_memory(b);
    acpi_input(b, &acpi, tables, ARRAY_SIZE(tables));
    place_acpi(b, &acpi);
    move_modules(b);
    map_memory(b);
    publish_map(b);
    b->rsdp = dom0_acpi_write(phys_to_virt(b->acpi.start), b->acpi.start, &acpi);
    if (!b->bzimage)
        dom0_kernel_load(b);
    dom0_write_start_info(b);
    give_devices(b);
    printk(LOG_INFO, "dom0: %lu MiB of RAM, %u vCPUs, kernel at %lx, initrd %lu KiB at %lx, scratch space %lx-%lx\n",
           (unsigned long)(b->map.ram_bytes >> 20), b->d->max_vcpus, (unsigned long)b->footprint.start,
           (unsigned long)(b->initrd.size >> 10), (unsigned long)b->initrd.addr, (unsigned long)b->map.scratch.start,
           (unsigned long)b->map.scratch.end);
    if (b->bzimage)
        dom0_loader_start(b);
    else
        hvm_set_pvh_entry(b->d->vcpu[0], b->entry, b->boot.start);
    b->d->vcpu[0]->initialised = true;
    vcpu_set_up(b->d->vcpu[0]);
    b->d->ever_unpaused = true;
    b->d->ctl_pauses = 0;
    console_rx_notify = console_typed;
    conring_notify = conring_grew;
    domain_unpause(b->d);
}
