/* SPDX-License-Identifier: MIT */
/* Fake machine: CPUID of a small AMD Zen-like CPU (SVM, AVX2, PKU, no AVX-512), or what a test puts there. */
#include "cpu/cpu.h"
#include "fake.h"

struct row { u32 leaf, sub; struct cpuid_regs r; };
#define ANY (~0u)
static const struct row zen[] = {
    { 0, ANY, { 0x10, 0x68747541, 0x444d4163, 0x69746e65 } },
    { 1, ANY, { 0x00830f10, 0x00080800, 0xfffa3203 | 0x04000000, 0x178bfbff } },
    { 5, ANY, { 0x40, 0x40, 3, 0x11 } },
    { 6, ANY, { 4, 0, 1, 0 } },
    { 7, 0, { 0, 0x219c97a9, 0x0040078c | 8, 0 } },
    { 0xb, 0, { 1, 2, 0x100, 0 } },
    { 0xb, 1, { 4, 8, 0x201, 0 } },
    { 0xd, 0, { 0x207, 0x988, 0x988, 0 } },
    { 0xd, 1, { 0xf, 0x340, 0x1800, 0 } },
    { 0xd, 2, { 0x100, 0x240, 0, 0 } },
    { 0xd, 9, { 8, 0x980, 0, 0 } },
    { 0xd, 11, { 0x10, 0, 1, 0 } },
    { 0x80000000, ANY, { 0x80000021, 0x68747541, 0x444d4163, 0x69746e65 } },
    { 0x80000001, ANY, { 0x00830f10, 0x40000000, 0x75c237ff, 0x2fd3fbff } },
    { 0x80000002, ANY, { 0x656b6146, 0x55504320, 0x20202020, 0x20202020 } },
    { 0x80000005, ANY, { 0xff40ff40, 0xff40ff40, 0x20080140, 0x20080140 } },
    { 0x80000006, ANY, { 0x48006400, 0x68006400, 0x02006140, 0x04009140 } },
    { 0x80000007, ANY, { 0, 0x3b, 0, 0x6799 } },
    { 0x80000008, ANY, { 0x3030, 0x018cd205, 0x4007, 0x10007 } },
    { 0x8000000a, ANY, { 1, 0x8000, 0, 0x119b9cff } },
    { 0x80000019, ANY, { 0xf040f040, 0, 0, 0 } },
    { 0x8000001a, ANY, { 6, 0, 0, 0 } },
    { 0x8000001d, 0, { 0x4121, 0x01c0003f, 0x3f, 0 } },
    { 0x8000001e, ANY, { 0, 0x100, 0, 0 } },
    { 0x80000021, ANY, { 0x4d, 0, 0, 0 } },
};

u32 host_features[FW_NR];
struct host_info host = { .vendor = VENDOR_AMD, .vendor_id = "AuthenticAMD", .brand = "Fake CPU", .family = 0x17,
                          .model = 0x31, .max_basic = 0x10, .max_ext = 0x80000021, .phys_bits = 48,
                          .virt_bits = 48, .threads_per_core = 2, .cores_per_socket = 4 };
void (*fake_cpuid_hook)(u32 leaf, u32 sub, struct cpuid_regs *out);

void host_cpuid(u32 leaf, u32 sub, struct cpuid_regs *out)
{
    memset(out, 0, sizeof(*out));
    for (unsigned i = 0; i < ARRAY_SIZE(zen); i++)
        if (zen[i].leaf == leaf && (zen[i].sub == ANY || zen[i].sub == sub)) *out = zen[i].r;
    if (fake_cpuid_hook) fake_cpuid_hook(leaf, sub, out);
}
