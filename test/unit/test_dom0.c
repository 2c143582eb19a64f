/* SPDX-License-Identifier: MIT */
/*
 * dom0's construction on the fake machine: kernel and initrd as a boot loader leaves them, a memory map, tables. What
 * dom0 then has is compared with what was asked for; every reason not to start ends with its line and a halt.
 * The builder runs once in a machine's life, so each case is a process of its own.
 */
#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "acpi/acpi.h"
#include "boot/boot.h"
#include "boot/cmdline.h"
#include "call/call.h"
#include "cpu/cpu.h"
#include "debug/console.h"
#include "debug/internal.h"
#include "dom/dom0_build.h"
#include "dom/dom0_opts.h"
#include "dom/loader_abi.h"
#include "fake.h"
#include "hvm/policy.h"
#include "iommu/iommu.h"
#include "irq/irq.h"
#include "mm/block.h"
#include "mm/p2m.h"
#include "mm_audit.h"
#include "pci/pci_priv.h"
#include "sched/sched.h"
#include <xen/elfnote.h>
#include <xen/features.h>

enum { MEM_MIB = 256, KERNEL = 0x1000123, INITRD = 0x1800200, INITRD_BYTES = 0x5678, LOAD = 0x2000000, TOP = 0x10000000 };
static struct { bool halted; char log[4096]; } *seen;          /* shared with the case's process */

/* ---- the end of a case ---- */
static void __noreturn finish(int rc)
{
    memcpy(seen->log, fake_log, sizeof(seen->log));
    exit(rc);
}
void machine_halt(void)
{
    assert_no_locks();
    seen->halted = true;
    finish(0);
}
void machine_reboot(void) { abort(); }
void machine_poweroff(void) { abort(); }
const void *build_id(unsigned *len) { *len = 0; return NULL; }

#define CHECK(c) do { if (!(c)) { fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #c); finish(1); } } while (0)

static void run_case(void (*fn)(void))
{
    int status;

    memset(seen, 0, sizeof(*seen));
    fflush(NULL);
    pid_t pid = fork();
    if (!pid) {
        fn();
        finish(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}
static void starts(void (*fn)(void))
{
    run_case(fn);
    if (seen->halted)
        fail_msg("%s", seen->log);
}
static void refused(void (*fn)(void), const char *why)
{
    run_case(fn);
    assert_true(seen->halted);
    if (!strstr(seen->log, why))
        fail_msg("no '%s' in:\n%s", why, seen->log);
}

/* ---- the built-in loader ---- */
__asm__(".pushsection .data, \"aw\"\n"
        ".globl dom0_loader_blob, dom0_loader_blob_end\n"
        "dom0_loader_blob: .fill 8192, 1, 0x90\n"
        "dom0_loader_blob_end: .byte 0\n"
        ".popsection");
extern u8 dom0_loader_blob[], dom0_loader_blob_end[];
static void set_loader(u64 magic, u64 memory)
{
    struct loader_header h = { magic, memory, LOADER_VA + 0x40 };

    memcpy(dom0_loader_blob, &h, sizeof(h));
}

/* ---- machine ---- */
static u8 *at(paddr_t p) { return (u8 *)phys_to_virt(p); }
struct note { Elf32_Nhdr h; char name[4]; u64 value; } __attribute__((packed));

static void put_kernel(u64 entry, u32 features)
{
    u8 *f = at(KERNEL);                             /* at an odd address */
    Elf64_Phdr p[] = {
        { .p_type = PT_LOAD, .p_offset = 0x1000, .p_paddr = LOAD, .p_filesz = 0x1800, .p_memsz = 0x3000 },
        { .p_type = PT_NOTE, .p_offset = 0x1100, .p_filesz = sizeof(struct note) * (features ? 2 : 1) },
    };
    struct note n[] = { { { 4, 8, XEN_ELFNOTE_PHYS32_ENTRY }, "Xen", entry },
                        { { 4, 8, XEN_ELFNOTE_SUPPORTED_FEATURES }, "Xen", features } };

    memset(f, 0, 0x3000);
    Elf64_Ehdr head = { .e_ident = ELFMAG "\2\1\1", .e_type = ET_EXEC, .e_machine = EM_X86_64, .e_phoff = 64, .e_phnum = 2, .e_phentsize = sizeof(p[0]) };
    memcpy(f, &head, sizeof(head));
    memcpy(f + 64, p, sizeof(p));
    for (unsigned i = 0; i < 0x1800; i++)
        f[0x1000 + i] = (u8)(i * 7);
    memcpy(f + 0x1100, n, sizeof(n));
    boot_info.module[0].size = 0x2800;
}

static void put_bzimage(u16 version, u64 pref, u32 init)
{
    u8 *f = at(KERNEL);

    memset(f, 0, 0x1000);
    memcpy(f + 0x202, "HdrS", 4);
    memcpy(f + 0x206, &version, 2);
    memcpy(f + 0x258, &pref, 8);
    memcpy(f + 0x260, &init, 4);
    boot_info.module[0].size = 0x1000;
}

static u32 no_device(sbdf_t s, unsigned reg, unsigned size) { return ~0u >> (32 - 8 * size); }
static void nothing(sbdf_t s, unsigned reg, unsigned size, u32 val) {}

static u64 mem_bytes = (u64)MEM_MIB << 20;
static struct boot_range map[16];
static unsigned nr_map;
static void add(paddr_t start, paddr_t end, u32 type) { map[nr_map++] = (struct boot_range){ start, end, type }; }

/* A PC with MEM_MIB, firmware at the end of it and at the end of 4 GiB. */
static void usual_map(void)
{
    nr_map = 0;
    add(0x1000, 0x9fc00, MEM_RAM);
    add(0x9fc00, 0xa0000, MEM_RESERVED);
    add(0xe0000, 0x100000, MEM_RESERVED);
    add(0x100000, mem_bytes - 0x20800, MEM_RAM);
    add(mem_bytes - 0x20800, mem_bytes - 0x10000, MEM_ACPI);
    add(mem_bytes - 0x10000, mem_bytes - 0x8800, MEM_NVS);
    add(mem_bytes - 0x8800, mem_bytes, MEM_RESERVED);
    add(0xb0000000, 0xc0000000, MEM_RESERVED);
    add(0xfeb00000, 0xff000000, MEM_RESERVED);
}

static void machine_with_map(void)
{
    static struct cpu early;
    struct ram_range ram[16];
    unsigned n = 0;

    this_cpu_ptr = &early;
    for (unsigned i = 0; i < nr_map; i++)
        if (map[i].type == MEM_RAM)
            ram[n++] = (struct ram_range){ map[i].start, map[i].end };
    const struct ram_range used[] = { { KERNEL, KERNEL + 0x4000 }, { INITRD, INITRD + INITRD_BYTES } };
    fake_machine_init_ranges((unsigned)(mem_bytes >> 20), 2, ram, n, used, 2);
    sched_init();
    policy_init();
    list_init(&pci_devs);
    pci_backend = (struct pci_backend){ no_device, nothing };
    memset(&boot_info, 0, sizeof(boot_info));
    memcpy(boot_info.mmap, map, sizeof(map));
    boot_info.nr_mmap = nr_map;
    boot_info.nr_modules = 2;
    boot_info.module[0].start = KERNEL;
    strcpy(boot_info.module[0].cmdline, "root=/dev/xvda console=hvc0");
    boot_info.module[1].start = INITRD;
    boot_info.module[1].size = INITRD_BYTES;
    boot_info.image_start = 0x8000000;
    boot_info.image_end = 0x8200000;
    opt_dom0_no_iommu = true;
    put_kernel(LOAD + 0x40, 0);
    for (unsigned i = 0; i < INITRD_BYTES; i++)
        at(INITRD)[i] = (u8)(i * 13 + 5);
    set_loader(LOADER_MAGIC, 3 * PAGE_SIZE + 1);
    fake_log_clear();
}
static void machine(void)
{
    usual_map();
    machine_with_map();
}

/* ---- what dom0 got ---- */
static enum p2m_type type_at(paddr_t p)
{
    enum p2m_type t;
    mfn_t m = p2m_lookup(dom0, GFN(p >> PAGE_SHIFT), &t, NULL);

    CHECK(t == P2M_NONE || m.n == p >> PAGE_SHIFT);
    return t;
}

static const struct hvm_start_info *info(void) { return (const void *)at(fake_vcpu(dom0->vcpu[0])->v->regs.rbx); }
static u64 start_at(void) { return dom0->vcpu[0]->regs.rip; }

static void check_start_info(const char *cmdline)
{
    const struct hvm_start_info *si = info();
    const struct hvm_modlist_entry *mod = (const void *)at(si->modlist_paddr);
    const struct hvm_memmap_table_entry *e = (const void *)at(si->memmap_paddr);

    CHECK(si->magic == XEN_HVM_START_MAGIC_VALUE && si->version == 1);
    CHECK(si->flags == (SIF_PRIVILEGED | SIF_INITDOMAIN));
    CHECK(!strcmp((const char *)at(si->cmdline_paddr), cmdline));
    CHECK(si->nr_modules == 1 && mod->size == INITRD_BYTES);
    for (unsigned i = 0; i < INITRD_BYTES; i++)
        CHECK(at(mod->paddr)[i] == (u8)(i * 13 + 5));
    CHECK(!memcmp(at(si->rsdp_paddr), "RSD PTR ", 8));
    /* The map: sorted, RAM mapped as its own, ACPI tables inside of one of the entries. */
    u64 ram = 0, last = 0;
    bool rsdp_in_acpi = false;
    CHECK(si->memmap_entries == dom0->memmap.nr);
    for (unsigned i = 0; i < si->memmap_entries; i++) {
        CHECK(e[i].addr >= last && e[i].addr == dom0->memmap.e[i].addr && e[i].size == dom0->memmap.e[i].size);
        last = e[i].addr + e[i].size;
        if (e[i].type == XEN_HVM_MEMMAP_TYPE_ACPI && si->rsdp_paddr >= e[i].addr && si->rsdp_paddr < last)
            rsdp_in_acpi = true;
        if (e[i].type != XEN_HVM_MEMMAP_TYPE_RAM)
            continue;
        ram += e[i].size;
        for (u64 p = e[i].addr; p < last; p += PAGE_SIZE)
            CHECK(type_at(p) == P2M_RAM);
    }
    CHECK(rsdp_in_acpi);
    CHECK(ram && ram <= dom0->tot_pages << PAGE_SHIFT);
    CHECK(type_at(mod->paddr) == P2M_RAM && type_at(dom0->vcpu[0]->regs.rbx) == P2M_RAM);
}

static bool port_exits(u16 port) { return ((const u8 *)pio_bitmap(dom0))[port / 8] >> port % 8 & 1; }

/* ---- it starts ---- */
static void plain_elf(void)
{
    machine();
    nr_ioapics = 1;
    acpi_hpet_addr = 0xfed00000;
    nr_acpi_ecam = 1;
    acpi_ecam[0] = (struct acpi_ecam){ .base = 0xb0000000, .bus_end = 255 };
    dom0_create();
    CHECK(start_at() == LOAD + 0x40);
    CHECK(dom0->vcpu[0]->initialised && !dom0->vcpu[0]->flags && !dom0->pause_count && dom0->ever_unpaused);
    CHECK(dom0->max_vcpus == 2 && dom0->vcpu[1]->flags & VF_DOWN);
    check_start_info("root=/dev/xvda console=hvc0 swiotlb=force");
    /* The kernel's segment, its rest cleared. */
    for (unsigned i = 0; i < 0x3000; i++)
        if (i < 0x100 || i >= 0x100 + sizeof(struct note) * 2)
            CHECK(at(LOAD)[i] == (i < 0x1800 ? (u8)(i * 7) : 0));
    /* Firmware 1:1, and nothing of what is the hypervisor's own. */
    CHECK(type_at(mem_bytes - 0x18000) == P2M_IDENT && type_at(mem_bytes - 0x1000) == P2M_IDENT);
    CHECK(type_at(0xf0000) == P2M_IDENT && type_at(0xa0000) == P2M_MMIO && type_at(0) == P2M_IDENT);
    CHECK(type_at(mem_bytes - 0x21000) == P2M_IDENT && type_at(mem_bytes - 0x22000) != P2M_IDENT); /* half RAM: none */
    CHECK(type_at(0xb0000000) == P2M_NONE && type_at(0xbffff000) == P2M_NONE);
    CHECK(type_at(0xfee00000) == P2M_NONE && type_at(0xfec00000) == P2M_NONE && type_at(0xfed00000) == P2M_NONE);
    CHECK(type_at(0xfeb00000) == P2M_IDENT && type_at(0xfed01000) == P2M_IDENT && type_at(0xfef00000) == P2M_IDENT);
    CHECK(mmio_denied(0xfed00100, 0xfed00101) && !mmio_denied(0xfed01000, 0xfed02000));
    CHECK(mmio_denied(0x8000000, 0x8001000));
    CHECK(mmio_denied(0xfee00000, 0xfee00001) && mmio_denied(0xfeefffff, 0xfef00000) && !mmio_denied(0xfef00000, 0xfef01000));
    /* Ports. */
    static const u16 ours[] = { 0x20, 0x21, 0xa0, 0xa1, 0x40, 0x42, 0x43, 0x61, 0xcf8, 0xcfc, 0xcff, 0x3f8, 0x3ff, 0xe9 };
    static const u16 its[] = { 0, 0x60, 0x64, 0x70, 0x71, 0x80, 0x2f8, 0xcf7, 0xd00, 0xffff };
    for (unsigned i = 0; i < ARRAY_SIZE(ours); i++)
        CHECK(port_exits(ours[i]));
    for (unsigned i = 0; i < ARRAY_SIZE(its); i++)
        CHECK(!port_exits(its[i]));
    u32 val = 0xff;
    pio_access(dom0->vcpu[0], 0x42, 1, false, &val);
    CHECK(val == 0);
    pio_access(dom0->vcpu[0], 0x42, 1, true, &val);
    CHECK(dom0_keep_frames);
    CHECK(strstr(fake_log, "devices of dom0 are not confined"));
    console_rx_notify();
    conring_notify();
    mm_audit();
}

static void small_dom0(void)
{
    machine();
    cmdline_parse("dom0_mem=64M,max:96M dom0_max_vcpus=1 dom0_ioports_disable=60-64,80,f000-ffff dom0=pvh,verbose");
    strcpy(boot_info.module[0].cmdline, "swiotlb=force quiet");
    boot_info.nr_modules = 1;
    put_kernel(LOAD + 0x40, 1u << XENFEAT_dom0);
    dom0_create();
    /* But for the pages of what the boot loader left and nobody names. */
    CHECK(dom0->tot_pages <= MiB(64) >> PAGE_SHIFT && dom0->tot_pages >= (MiB(64) >> PAGE_SHIFT) - 8);
    CHECK(dom0->max_pages == MiB(96) >> PAGE_SHIFT);
    CHECK(dom0->max_vcpus == 1);
    CHECK(!strcmp((const char *)at(info()->cmdline_paddr), "swiotlb=force quiet"));
    CHECK(info()->nr_modules == 0 && info()->modlist_paddr == 0);
    CHECK(port_exits(0x60) && port_exits(0x64) && !port_exits(0x65) && port_exits(0x80) && port_exits(0xffff));
    CHECK(!strstr(fake_log, "cannot be dom0"));
}

static void with_an_iommu(void)
{
    machine();
    opt_dom0_no_iommu = false;
    iommu_enabled = true;
    strcpy(boot_info.module[0].cmdline, "");
    put_kernel(LOAD + 0x40, 1);
    dom0_create();
    CHECK(dom0->iommu && !dom0_keep_frames);
    CHECK(!strcmp((const char *)at(info()->cmdline_paddr), ""));
    CHECK(strstr(fake_log, "says that it cannot be dom0") || strstr(fake_log, "say that it cannot be dom0"));
}

static void empty_cmdline(void)
{
    machine();
    strcpy(boot_info.module[0].cmdline, "");
    dom0_create();
    CHECK(!strcmp((const char *)at(info()->cmdline_paddr), "swiotlb=force"));
}

static void bad_ports(void)
{
    machine();
    cmdline_parse("dom0_ioports_disable=60-64,70-6f");
    dom0_create();
    CHECK(port_exits(0x60) && !port_exits(0x6f));
    CHECK(strstr(fake_log, "dom0_ioports_disable: bad range"));
}

static void large_map(void)
{
    machine();
    for (unsigned i = 0; i < 120; i++)              /* more than start_info has room for */
        boot_info.mmap[boot_info.nr_mmap++] = (struct boot_range){ GiB(5) + 2 * i * PAGE_SIZE,
                                                                    GiB(5) + (2 * i + 1) * PAGE_SIZE, MEM_RESERVED };
    dom0_create();
    CHECK(info()->version == 0 && info()->memmap_entries == 0);
    CHECK(dom0->memmap.nr > 128);
    CHECK(type_at(GiB(5)) == P2M_IDENT && type_at(GiB(5) + PAGE_SIZE) == P2M_NONE);
}

static void overlapping_firmware(void)
{
    usual_map();
    nr_map -= 2;
    add(0xc0000000, 0xc0000800, MEM_RESERVED);      /* two in one page: mapped once */
    add(0xc0000800, 0xc0001800, MEM_ACPI);
    add(0xd0000000, 0xd0001000, 5);                 /* unusable: not mapped */
    machine_with_map();
    dom0_create();
    CHECK(type_at(0xc0000000) == P2M_IDENT && type_at(0xc0001000) == P2M_IDENT && type_at(0xd0000000) == P2M_NONE);
    CHECK(!strstr(fake_log, "could not be mapped"));
}

/* Words that are for others, and words that are wrong: said, and without effect. */
static void options(void)
{
    machine();
    opt_dom0_no_iommu = false;
    cmdline_parse("dom0=pv dom0=pvh,no-verbose,shadow,cpuid-faulting,msr-relaxed,a-very-long-word-that-is-cut-somewhere "
                  "dom0-iommu=strict,passthrough,map-inclusive,map-reserved dom0-iommu=none,nonsense dom0_mem=12%+5 "
                  "dom0_mem=101% dom0_mem=-50% dom0_mem=1G+ dom0_mem=1G+x% dom0_mem=1G,5x dom0_mem=min: "
                  "dom0_max_vcpus= dom0_max_vcpus=0 dom0_max_vcpus=3-2 dom0_max_vcpus=2x dom0_max_vcpus=-");
    CHECK(strstr(fake_log, "dom0=pv: dom0 is always PVH here"));
    static const char *const bad[] = { "dom0=pvh,no-verbose", "dom0-iommu=none,nonsense", "dom0_mem=12%+5", "dom0_mem=101%",
        "dom0_mem=-50%", "dom0_mem=1G+'", "dom0_mem=1G+x%", "dom0_mem=1G,5x", "dom0_mem=min:", "dom0_max_vcpus='",
        "dom0_max_vcpus=0", "dom0_max_vcpus=3-2", "dom0_max_vcpus=2x" };
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
        CHECK(strstr(fake_log, bad[i]));
    CHECK(!strstr(fake_log, "dom0-iommu=strict") && !strstr(fake_log, "dom0_max_vcpus=-'"));
    CHECK(!opt_dom0_no_iommu && !opt_dom0_mem.nr.set && dom0_vcpus(2) == 2);
    cmdline_parse("dom0-iommu=none dom0_mem=25%,min:16M,max:1G+10% dom0_max_vcpus=-1");
    CHECK(opt_dom0_no_iommu && dom0_vcpus(7) == 1);
    CHECK(dom0_mem_bytes(&opt_dom0_mem, GiB(4), GiB(3)) == ROUND_DOWN(GiB(4) / 100 * 25, PAGE_SIZE));
    CHECK(dom0_mem_max_bytes(&opt_dom0_mem, GiB(4), 0) == GiB(1) + GiB(4) / 100 * 10);
    cmdline_parse("dom0_max_vcpus=3-");
    CHECK(dom0_vcpus(1) == 3 && dom0_vcpus(500) == MAX_VCPUS);
}

/* Where a page cannot be told from RAM it is RAM's; a map whose entries touch within a page. */
static void firmware_beside_ram(void)
{
    usual_map();
    nr_map -= 2;
    add(0xd0000000, 0xd0000800, MEM_ACPI);
    add(0xd0000800, 0xd0003000, MEM_RESERVED);
    machine_with_map();
    boot_info.mmap[3].end = mem_bytes - 0x20000;    /* RAM up to the end of the page that ACPI begins in */
    dom0_create();
    CHECK(type_at(mem_bytes - 0x21000) != P2M_IDENT && type_at(mem_bytes - 0x20000) == P2M_IDENT);
    CHECK(type_at(0xd0000000) == P2M_IDENT && type_at(0xd0002000) == P2M_IDENT);
}

static void it_starts(void **st)
{
    starts(plain_elf);
    starts(small_dom0);
    starts(with_an_iommu);
    starts(empty_cmdline);
    starts(bad_ports);
    starts(large_map);
    starts(overlapping_firmware);
    starts(options);
    starts(firmware_beside_ram);
}

/* ---- IOMMUs' registers are never dom0's ---- */
static u8 tables[2][256];
static void put_table(unsigned n, const char *sig, const u8 *entries, unsigned len)
{
    struct acpi_header *h = (struct acpi_header *)tables[n];

    memset(tables[n], 0, sizeof(tables[n]));
    memcpy(h->sig, sig, 4);
    h->length = 48 + len;
    memcpy(tables[n] + 48, entries, len);
}

static void write_acpi(void)
{
    u8 *rsdp = at(0xe0000), *rsdt = at(0xe1000);

    memset(rsdp, 0, 0x4000);
    for (unsigned i = 0; i < 2; i++) {
        struct acpi_header *h = (struct acpi_header *)tables[i];
        u32 where = 0xe2000 + 0x1000 * i, len = h->length ? h->length : 36;
        u8 sum = 0;
        memcpy(at(where), tables[i], sizeof(tables[i]));
        for (u32 k = 0; k < len; k++)
            sum = (u8)(sum + at(where)[k]);
        at(where)[9] = (u8)(at(where)[9] - sum);
        memcpy(rsdt + 36 + 4 * i, &where, 4);
    }
    u32 rsdt_at = 0xe1000;
    u8 sum = 0;
    memcpy(rsdt, "RSDT\x2c\0\0\0", 8);
    for (u32 k = 0; k < 44; k++)
        sum = (u8)(sum + rsdt[k]);
    rsdt[9] = (u8)-sum;
    memcpy(rsdp, "RSD PTR ", 8);
    memcpy(rsdp + 16, &rsdt_at, 4);
    sum = 0;
    for (u32 k = 0; k < 20; k++)
        sum = (u8)(sum + rsdp[k]);
    rsdp[8] = (u8)-sum;
    acpi_init(0xe0000);
}

static void iommu_tables(void)
{
    /* IVHD types 10h, 11h, 40h; one with base 0; one of another type; one that is too short for a base. */
    static const u8 ivrs[] = {
        0x10, 0, 24, 0, 0, 0, 0, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0x40, 0, 24, 0, 0, 0, 0, 0, 0, 0, 0xd8, 0xfe, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0x11, 0, 24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0x20, 0, 24, 0, 0, 0, 0, 0, 0, 0, 0xdc, 0xfe, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0x10, 0, 8, 0, 0, 0, 0, 0, 0x10, 0, 24, 0, 0, 0, 0, 0,
    };
    static const u8 dmar[] = {
        0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0xb9, 0xfe, 0, 0, 0, 0,
        1, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0xba, 0xfe, 0, 0, 0, 0,
        0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0xbb, 0xfe, 0, 0, 0, 0,
    };

    machine();
    put_table(0, "IVRS", ivrs, sizeof(ivrs));
    put_table(1, "DMAR", dmar, sizeof(dmar));
    write_acpi();
    CHECK(acpi_find("IVRS", 0) && acpi_find("DMAR", 0));
    dom0_create();
    CHECK(type_at(0xfec00000) == P2M_NONE && type_at(0xfec7f000) == P2M_NONE && type_at(0xfec80000) == P2M_IDENT);
    CHECK(type_at(0xfed80000) == P2M_NONE && type_at(0xfedff000) == P2M_NONE);
    CHECK(type_at(0xfeb90000) == P2M_NONE && type_at(0xfeb91000) == P2M_IDENT && type_at(0xfeba0000) == P2M_IDENT);
    CHECK(type_at(0xfebb0000) == P2M_IDENT);
    /* OEM ids are the machine's only if there is a FADT. */
    CHECK(!memcmp(at(info()->rsdp_paddr) + 9, "HELIUM", 6));
}

static void firmware_tables(void)
{
    static const u8 none[80];
    machine();
    put_table(0, "FACP", none, sizeof(none));
    memcpy(((struct acpi_header *)tables[0])->oem, "OEMOEM", 6);
    put_table(1, "SSDT", none, 0);
    write_acpi();
    dom0_create();
    CHECK(!memcmp(at(info()->rsdp_paddr) + 9, "OEMOEM", 6));
    u64 xsdt;
    memcpy(&xsdt, at(info()->rsdp_paddr) + 24, 8);
    u32 len;
    memcpy(&len, at(xsdt) + 4, 4);
    CHECK(len == 36 + 3 * 8);                                   /* FACP, SSDT and its own MADT */
}

static void tables_of_the_firmware(void **st)
{
    starts(iommu_tables);
    starts(firmware_tables);
}

/* ---- bzImages ---- */
static long done(u64 status, u64 a, u64 b, u64 c)
{
    struct vcpu *v = dom0->vcpu[0];
    struct vcpu_regs *r = &v->regs;

    fake_enter_cpu(0, v);
    r->rax = CALL_LOADER_DONE;
    r->rdi = status;
    r->rsi = a;
    r->rdx = b;
    r->r10 = c;
    r->rip = 0x5555;
    return call_dispatch(v) ? (long)r->rax : -ERESTART;
}

static void bz_machine(void)
{
    machine();
    put_bzimage(0x20f, LOAD, 0x600000);
    dom0_create();
}

static const struct loader_input *loader_in(void) { return (const void *)at(dom0->vcpu[0]->regs.rdi); }

/* Where a virtual address of the loader lies, by its own tables. */
static u64 walk(u64 va)
{
    u64 e = fake_vcpu(dom0->vcpu[0])->state.cr3;

    for (int shift = 39; shift >= 12; shift -= 9) {
        CHECK(type_at(e & ~0xfffULL) == P2M_RAM);
        e = ((const u64 *)at(e & 0xffffffffff000))[va >> shift & 511];
        CHECK(e & 1);
        if (e & 0x80)
            return (e & 0xfffffffe00000) + (va & ((1ULL << shift) - 1));
    }
    return (e & 0xffffffffff000) + (va & 0xfff);
}

static void unpacking(void)
{
    bz_machine();
    const struct loader_input *in = loader_in();
    CHECK(start_at() == LOADER_VA + 0x40);
    CHECK(in->magic == LOADER_MAGIC && in->file_size == 0x1000 && !memcmp(at(in->file + 0x202), "HdrS", 4));
    CHECK(in->window_start == LOAD && in->window_end == LOAD + 0x600000);
    CHECK(in->arena_size >= MiB(16) && in->arena + in->arena_size <= mem_bytes && in->canary);
    CHECK(in->use_vmcall == 0);
    CHECK(walk(0x12345678) == 0x12345678 && walk(0xffffffff) == 0xffffffff);
    CHECK(!memcmp(at(walk(LOADER_VA + 24)), dom0_loader_blob + 24, 4000));
    CHECK(at(walk(LOADER_VA + 3 * PAGE_SIZE))[0] == 0);         /* its bss */
    for (u64 p = in->arena; p < in->arena + in->arena_size; p += PAGE_SIZE)
        CHECK(type_at(p) == P2M_RAM);
    /* Only vCPU 0, not in a multicall, and once. */
    u64 page = dom0->vcpu[0]->regs.rdi;
    struct vcpu *v1 = dom0->vcpu[1];
    fake_enter_cpu(1, v1);
    v1->regs.rax = CALL_LOADER_DONE;
    CHECK(call_dispatch(v1) && (long)v1->regs.rax == -ENOSYS);
    struct call c = { .v = dom0->vcpu[0], .in_multicall = true };
    CHECK(loader_done(&c) == -ENOSYS);
    CHECK(done(LOADER_OK, LOAD + 0x100, LOAD, LOAD + 0x500000) == -ERESTART);
    CHECK(start_at() == LOAD + 0x100 && !dom0->vcpu[0]->regs.rdi && !dom0->vcpu[0]->regs.r10);
    CHECK(at(page)[0] == 0 && ((const u64 *)at(page))[0] == 0); /* its pages were cleared */
    check_start_info("root=/dev/xvda console=hvc0 swiotlb=force");
    CHECK(done(LOADER_OK, LOAD + 0x100, LOAD, LOAD + 0x500000) == -ENOSYS);
    CHECK(strstr(fake_log, "kernel unpacked to 2000000-24fffff"));
}

#define LOADER_SAYS(name, ...) static void name(void) { bz_machine(); done(__VA_ARGS__); }
LOADER_SAYS(says_file, LOADER_BAD_FILE, 0, 0, 0)
LOADER_SAYS(says_format, LOADER_FORMAT, 0xdeadbeef, 0, 0)
LOADER_SAYS(says_lzo, LOADER_LZO, 0, 0, 0)
LOADER_SAYS(says_memory, LOADER_NO_MEMORY, 0x100000, 0x80000, 0)
LOADER_SAYS(says_corrupt, LOADER_CORRUPT, (u64)-3, 777, 0)
LOADER_SAYS(says_short, LOADER_SHORT, 100, 200, 0)
LOADER_SAYS(says_elf, LOADER_BAD_ELF, 0, 0, 0)
LOADER_SAYS(says_outside, LOADER_OUTSIDE, 0x100000, 0x200000, 0)
LOADER_SAYS(says_note, LOADER_NO_NOTE, 0, 0, 0)
LOADER_SAYS(says_entry, LOADER_BAD_ENTRY, 0x42, 0, 0)
LOADER_SAYS(says_internal, LOADER_INTERNAL, 1, 2, 0)
LOADER_SAYS(says_unknown, 99, 1, 2, 0)
LOADER_SAYS(lies_order, LOADER_OK, LOAD, LOAD + 0x1000, LOAD + 0x1000)
LOADER_SAYS(lies_start, LOADER_OK, LOAD, LOAD - 0x1000, LOAD + 0x1000)
LOADER_SAYS(lies_end, LOADER_OK, LOAD, LOAD, LOAD + 0x600001)
LOADER_SAYS(lies_entry, LOADER_OK, LOAD - 1, LOAD, LOAD + 0x1000)
LOADER_SAYS(lies_entry2, LOADER_OK, LOAD + 0x1000, LOAD, LOAD + 0x1000)

static void intel_machine(void)
{
    machine();
    host.vendor = VENDOR_INTEL;
    put_bzimage(0x20a, LOAD, 0x600000);
    dom0_create();
    CHECK(loader_in()->use_vmcall == 1);
}
static void bad_magic(void) { machine(); set_loader(1, 0x4000); put_bzimage(0x20f, LOAD, 0x600000); dom0_create(); }
static void loader_too_small(void) { machine(); set_loader(LOADER_MAGIC, 100); put_bzimage(0x20f, LOAD, 0x600000); dom0_create(); }
static void loader_too_large(void) { machine(); set_loader(LOADER_MAGIC, SZ_2M + 1); put_bzimage(0x20f, LOAD, 0x600000); dom0_create(); }
static void old_protocol(void) { machine(); put_bzimage(0x209, LOAD, 0x600000); dom0_create(); }
static void place_low(void) { machine(); put_bzimage(0x20f, 0xff000, 0x600000); dom0_create(); }
static void place_high(void) { machine(); put_bzimage(0x20f, GiB(4), 0x600000); dom0_create(); }
static void place_long(void) { machine(); put_bzimage(0x20f, GiB(4) - 0x1000, 0x600000); dom0_create(); }
static void place_none(void) { machine(); put_bzimage(0x20f, LOAD, 0); dom0_create(); }
static void no_arena(void)
{
    machine();
    CHECK(dom0_mem_parse(&opt_dom0_mem, "56M") == 0);
    put_bzimage(0x20f, LOAD, 0x1700000);
    dom0_create();
}

static void compressed_kernels(void **st)
{
    starts(unpacking);
    starts(intel_machine);
    refused(says_file, "truncated or damaged: the payload does not lie inside its 4096 bytes");
    refused(says_format, "compression is unknown (first word deadbeef)");
    refused(says_lzo, "LZO, which is not supported");
    refused(says_memory, "needs 1024 KiB in one piece, 512 KiB are free; raise dom0_mem=");
    refused(says_corrupt, "stopped after 777 bytes (code -3)");
    refused(says_short, "100 of 200 bytes came out");
    refused(says_elf, "not a loadable x86 ELF file");
    refused(says_outside, "a segment at 100000-1fffff, outside of the 2000000-25fffff");
    refused(says_note, "no Xen PVH entry note");
    refused(says_entry, "entry 42 of its kernel is outside");
    refused(says_internal, "failed with status 11 (1, 2)");
    refused(says_unknown, "failed with status 99");
    refused(lies_order, "failed with status 11");
    refused(lies_start, "failed with status 11");
    refused(lies_end, "failed with status 11");
    refused(lies_entry, "failed with status 11");
    refused(lies_entry2, "failed with status 11");
    refused(bad_magic, "kernel loader is malformed");
    refused(loader_too_small, "kernel loader is malformed");
    refused(loader_too_large, "kernel loader is malformed");
    refused(old_protocol, "boot protocol 2.09; 2.10 or later is needed");
    refused(place_low, "asks for a place outside of 1 MiB..4 GiB");
    refused(place_high, "asks for a place outside of 1 MiB..4 GiB");
    refused(place_long, "asks for a place outside of 1 MiB..4 GiB");
    refused(place_none, "asks for a place outside of 1 MiB..4 GiB");
    refused(no_arena, "to unpack its kernel");
}

/* ---- kernel files that cannot be ---- */
static void no_modules(void) { machine(); boot_info.nr_modules = 0; dom0_create(); }
static void empty_kernel(void) { machine(); boot_info.module[0].size = 0; dom0_create(); }
static void short_kernel(void) { machine(); boot_info.module[0].size = 63; dom0_create(); }
static void text_file(void) { machine(); memcpy(at(KERNEL), "#!/bin/sh", 9); dom0_create(); }
static void broken_elf(void) { machine(); at(KERNEL)[0x12] = 0x14; dom0_create(); }
static void no_note(void) { machine(); at(KERNEL)[0x1100 + 8] = 99; dom0_create(); }
static void entry_before(void) { machine(); put_kernel(LOAD - 1, 0); dom0_create(); }
static void entry_behind(void) { machine(); put_kernel(LOAD + 0x3000, 0); dom0_create(); }
static void changed_file(void)
{
    struct dom0_build b = { .kernel = { .addr = KERNEL, .size = 0x2800 } };

    machine();
    at(KERNEL)[0] = 0;
    dom0_kernel_load(&b);
}
static void no_iommu(void) { machine(); opt_dom0_no_iommu = false; dom0_create(); }
static void no_room_for_swiotlb(void)
{
    machine();
    memset(boot_info.module[0].cmdline, 'x', DOM0_CMDLINE_MAX - 5);
    dom0_create();
}
static void kernel_outside(void) { machine(); put_bzimage(0x20f, 0xa0000000, 0x600000); dom0_create(); }
static void tiny_dom0(void)
{
    machine();
    CHECK(dom0_mem_parse(&opt_dom0_mem, "2M") == 0);
    dom0_create();
}
static void no_initrd_room(void)
{
    machine();
    boot_info.module[1].size = MiB(64);
    CHECK(dom0_mem_parse(&opt_dom0_mem, "48M") == 0);
    dom0_create();
}

static void refusals(void **st)
{
    refused(no_modules, "the boot loader passed no kernel");
    refused(empty_kernel, "its kernel file (first module) has 0 bytes");
    refused(short_kernel, "its kernel file (first module) has 63 bytes");
    refused(text_file, "begins with 23 21 2f 62) is neither a bzImage nor an ELF file");
    refused(broken_elf, "its kernel cannot be loaded:");
    refused(no_note, "its kernel (ELF64) has no Xen PVH entry note");
    refused(entry_before, "the PVH entry 1ffffff of its kernel is outside");
    refused(entry_behind, "the PVH entry 2003000 of its kernel is outside");
    refused(changed_file, "its kernel changed while it was moved");
    refused(no_iommu, "no IOMMU is in use");
    refused(no_room_for_swiotlb, "too long to add swiotlb=force");
    refused(kernel_outside, "the kernel must lie at a0000000-a05fffff, which is not all RAM of dom0");
    refused(tiny_dom0, "Cannot start dom0:");
    refused(no_initrd_room, "no room for the initrd");
}

/* ---- memory that ends anywhere: a line and a halt, or a dom0 that works ---- */
static unsigned fail_k;
static void one_failure(void)
{
    machine();
    fake_fail_at(fail_k);
    dom0_create();
    CHECK(!fake_failed() || strstr(fake_log, "no handler for port") || strstr(fake_log, "could not be mapped") || fail_k);
    fake_fail_at(0);
    mm_audit();
}

static void short_of_memory(void **st)
{
    unsigned halts = 0;

    for (fail_k = 1; fail_k < 200; fail_k += fail_k < 80 ? 1 : 7) {
        run_case(one_failure);
        halts += seen->halted;
        if (seen->halted && !strstr(seen->log, "Cannot start dom0: "))
            fail_msg("halted without a line:\n%s", seen->log);
    }
    assert_true(halts > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_starts), cmocka_unit_test(tables_of_the_firmware), cmocka_unit_test(compressed_kernels),
        cmocka_unit_test(refusals), cmocka_unit_test(short_of_memory),
    };
    seen = mmap(NULL, sizeof(*seen), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
