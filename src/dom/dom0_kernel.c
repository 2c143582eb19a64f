/* SPDX-License-Identifier: MIT */
/* The dom0 kernel file: a plain ELF with a PVH note is loaded here, a bzImage by the in-guest loader. */
#include "dom/dom0_build.h"
#include "lib/elf.h"
#include "mm/mm.h"
#include <xen/features.h>

/* Linux Documentation/x86/boot.rst: fields of the setup header, offsets in the file. */
enum { BZ_MAGIC = 0x202, BZ_VERSION = 0x206, BZ_PREF_ADDRESS = 0x258, BZ_INIT_SIZE = 0x260, BZ_HEAD = 0x264 };

static const u8 *module_bytes(const struct dom0_module *m) { return phys_to_virt(m->addr); }

static void set_footprint(struct dom0_build *b, u64 start, u64 end)
{
    b->footprint = (struct dom0_range){ ROUND_DOWN(start, PAGE_SIZE), ROUND_UP(end, PAGE_SIZE) };
}

static void probe_bzimage(struct dom0_build *b, const u8 *p)
{
    u64 pref, size;
    u16 version;
    u32 init;

    memcpy(&version, p + BZ_VERSION, sizeof(version));
    memcpy(&pref, p + BZ_PREF_ADDRESS, sizeof(pref));
    memcpy(&init, p + BZ_INIT_SIZE, sizeof(init));
    if (version < 0x20a)
        dom0_fail("its kernel uses boot protocol %u.%02u; 2.10 or later is needed", version >> 8, version & 0xff);
    size = init;
    if (pref < MiB(1) || pref >= GiB(4) || !size || size > GiB(4) - pref)
        dom0_fail("its kernel asks for a place outside of 1 MiB..4 GiB: %lx, %lu bytes", (unsigned long)pref,
                  (unsigned long)size);
    b->bzimage = true;
    set_footprint(b, pref, pref + size);
}

static void check_notes(struct dom0_build *b, const struct elf_info *e, const u8 *p)
{
    struct elf_xen_notes n = { 0 };
    unsigned i;

    for (i = 0; i < e->nr_notes; i++)
        elf_scan_notes(&n, p + e->note[i].offset, e->note[i].filesz);
    if (!n.has_entry)
        dom0_fail("its kernel (ELF%u) has no Xen PVH entry note (PHYS32_ENTRY); Linux needs CONFIG_PVH",
                  e->is64 ? 64 : 32);
    if (n.phys32_entry < e->start || n.phys32_entry >= e->end)
        dom0_fail("the PVH entry %lx of its kernel is outside of the kernel (%lx-%lx)",
                  (unsigned long)n.phys32_entry, (unsigned long)e->start, (unsigned long)e->end - 1);
    if (n.has_supported && !(n.supported & 1u << XENFEAT_dom0))
        printk(LOG_WARN, "dom0: the kernel's notes say that it cannot be dom0; trying anyway\n");
    b->entry = n.phys32_entry;
}

void dom0_kernel_probe(struct dom0_build *b)
{
    const struct dom0_module *m = &b->kernel;
    const u8 *p = module_bytes(m);
    struct elf_info e;
    const char *why;

    if (m->size < 64)
        dom0_fail("its kernel file (first module) has %lu bytes", (unsigned long)m->size);
    if (m->size >= BZ_HEAD && !memcmp(p + BZ_MAGIC, "HdrS", 4)) {
        probe_bzimage(b, p);
        return;
    }
    if (!elf_is_elf(p, m->size))
        dom0_fail("its kernel file (%lu bytes, begins with %02x %02x %02x %02x) is neither a bzImage nor an ELF file",
                  (unsigned long)m->size, p[0], p[1], p[2], p[3]);
    why = elf_parse(&e, p, m->size, m->size);
    if (why)
        dom0_fail("its kernel cannot be loaded: %s (file has %lu bytes)", why, (unsigned long)m->size);
    check_notes(b, &e, p);
    set_footprint(b, e.start, e.end);
}

void dom0_kernel_load(struct dom0_build *b)
{
    const u8 *p = module_bytes(&b->kernel);
    struct elf_info e;
    unsigned i;

    if (elf_parse(&e, p, b->kernel.size, b->kernel.size))
        dom0_fail("its kernel changed while it was moved");
    for (i = 0; i < e.nr_loads; i++) {
        const struct elf_segment *s = &e.load[i];
        memcpy(phys_to_virt(s->paddr), p + s->offset, s->filesz);
        memset((u8 *)phys_to_virt(s->paddr) + s->filesz, 0, s->memsz - s->filesz);
    }
    b->kernel = (struct dom0_module){ 0 };  /* its pages are ordinary RAM of dom0 from here on */
}
