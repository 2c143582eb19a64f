/* SPDX-License-Identifier: MIT */
/* Smallest test kernel: entry state, both outputs, version, memory map. */
#include "guest.h"

const char test_name[] = "hello";

void test_main(void)
{
    u32 r[4];
    char sig[13] = "";
    port_e9("hello through port 0xE9\n");
    print("hello through console_io; start_info at %p magic %x\n", (const void *)start_info, start_info->magic);
    expect_eq(start_info->magic, 0x336ec578);
    cpuid(0x40000000, 0, r);
    memcpy(sig, &r[1], 12);
    print("hypervisor %s leaves up to %x\n", sig, r[0]);
    expect_eq(memcmp(sig, "XenVMMXenVMM", 12), 0);
    expect_eq(hc_xen_version(XENVER_version, NULL), 0x00040011);
    char extra[16] = "";
    expect_eq(hc_xen_version(XENVER_extraversion, extra), 0);
    print("version 4.17%s, flags %x, command line '%s'\n", extra, start_info->flags,
          start_info->cmdline_paddr ? (const char *)start_info->cmdline_paddr : "");
    const struct hvm_memmap_table_entry *m = (const void *)start_info->memmap_paddr;
    for (unsigned i = 0; m && i < start_info->memmap_entries; i++)
        print("  %012lx-%012lx type %u\n", m[i].addr, m[i].addr + m[i].size, m[i].type);
}
