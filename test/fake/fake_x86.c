/* SPDX-License-Identifier: MIT */
/* See fake_x86.h. */
#include "cpu/cpu.h"
#include "cpu/x86.h"
#include "fake.h"
#include "fake_internal.h"
#include "mm/mm.h"

struct fake_x86 fake_x86;
void (*fake_port_hook)(u16 port, unsigned size, bool write, u32 *val);
void (*fake_vmrun_hook)(struct vcpu_regs *regs, struct vmcb *b);
u64 host_cr4;

void fake_x86_reset(void)
{
    memset(&fake_x86, 0, sizeof(fake_x86));
    fake_x86.xcr0 = 1;
    host_cr4 = CR4_MCE | CR4_PAE | CR4_OSFXSR;
    fake_port_hook = NULL;
    fake_vmrun_hook = NULL;
}

/* ---- MSRs ---- */
static int find_msr(u32 nr)
{
    for (unsigned i = 0; i < fake_x86.nr_msrs; i++)
        if (fake_x86.msr[i].nr == nr)
            return (int)i;
    return -1;
}

u64 *fake_msr(u32 nr)
{
    int i = find_msr(nr);

    if (i < 0 && fake_x86.nr_msrs == FAKE_MSRS)
        panic("fake: too many MSRs\n");
    if (i < 0) {
        i = (int)fake_x86.nr_msrs++;
        fake_x86.msr[i].nr = nr;
    }
    return &fake_x86.msr[i].val;
}

int rdmsr_safe(u32 msr, u64 *v)
{
    int i = find_msr(msr);

    *v = i < 0 ? 0 : fake_x86.msr[i].val;
    return i < 0 ? -1 : 0;
}

int wrmsr_safe(u32 msr, u64 v)
{
    int i = find_msr(msr);

    if (i < 0 || fake_x86.msr[i].read_only)
        return -1;
    fake_x86.msr[i].val = v;
    fake_x86.msr_writes++;
    return 0;
}

u64 rdmsr(u32 msr)
{
    u64 v;

    if (rdmsr_safe(msr, &v))
        panic("#GP: RDMSR of %#x\n", msr);
    return v;
}

void wrmsr(u32 msr, u64 v)
{
    if (wrmsr_safe(msr, v))
        panic("#GP: WRMSR of %#x\n", msr);
}

void cpuid(u32 leaf, u32 sub, u32 r[4])
{
    struct cpuid_regs out;

    host_cpuid(leaf, sub, &out);
    r[0] = out.a;
    r[1] = out.b;
    r[2] = out.c;
    r[3] = out.d;
}

/* ---- ports ---- */
u32 fake_port(u16 port, unsigned size, bool write, u32 val)
{
    if (!write)
        val = ~0u >> (32 - 8 * size);
    if (fake_port_hook)
        fake_port_hook(port, size, write, &val);
    return val;
}

/* ---- extended registers: the legacy part and, by XSAVE, a header with XSTATE_BV at 512 ---- */
static u64 xstate_bv(const u8 *area)
{
    u64 bv;

    memcpy(&bv, area + 512, sizeof(bv));
    return bv;
}

void xsave64(void *area, u64 mask) { memcpy(area, fake_x86.live, sizeof(fake_x86.live)); }
void fxsave64(void *area) { memcpy(area, fake_x86.live, 512); }

/* APM 4, XRSTOR and FXRSTOR: bits beyond the mask, reserved bits of the header and of MXCSR fault. */
static bool mxcsr_good(const u8 *area)
{
    u32 mxcsr;

    memcpy(&mxcsr, area + 24, sizeof(mxcsr));
    return !(mxcsr >> 16);
}

static void load_xstate(const u8 *area, size_t len)
{
    u8 before[16];

    memcpy(before, fake_x86.live + X87_POINTERS, sizeof(before));
    memcpy(fake_x86.live, area, len);
    if (fake_x86.keeps_x87_pointers && !(area[2] & 0x80))
        memcpy(fake_x86.live + X87_POINTERS, before, sizeof(before));
}

int xrstor64_safe(const void *area, u64 mask)
{
    static const u8 zero[56];

    if (fake_x86.refuse_xrstor || (xstate_bv(area) & ~mask) || memcmp((const u8 *)area + 520, zero, sizeof(zero)) ||
        !mxcsr_good(area))
        return -1;
    load_xstate(area, sizeof(fake_x86.live));
    return 0;
}

int fxrstor64_safe(const void *area)
{
    if (fake_x86.refuse_xrstor || !mxcsr_good(area))
        return -1;
    load_xstate(area, 512);
    return 0;
}

/* ---- VMRUN ---- */
void svm_vmrun(struct vcpu_regs *regs, u64 vmcb_pa, u64 host_vmcb_pa);
void svm_vmrun(struct vcpu_regs *regs, u64 vmcb_pa, u64 host_vmcb_pa)
{
    if (fake_vmrun_hook)
        fake_vmrun_hook(regs, phys_to_virt(vmcb_pa));
}
