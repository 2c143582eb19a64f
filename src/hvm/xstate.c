/* SPDX-License-Identifier: MIT */
/*
 * Extended registers (x87, SSE, AVX, ...). Switching is eager and complete: whatever a guest was offered is saved
 * and restored at every vCPU switch with the host's full mask, whether or not the guest's XCR0 has it (I-9,
 * XSA-220, XSA-267). The hypervisor itself uses none of these registers. Without XSAVE: FXSAVE.
 */
#include "hvm/hvm_vcpu.h"
#include "hvm/policy.h"
#include "cpu/cpu.h"
#include "cpu/x86.h"

/* x87, SSE, AVX, AVX-512 (three parts), PKRU. MPX, LWP and AMX are never offered (policy): XCR0 refuses them. */
#define XSTATE_KNOWN 0x2e7ULL
#define XSTATE_LEGACY 576           /* FXSAVE image and XSAVE header */

static u64 host_mask;               /* 0: no XSAVE */
static size_t area_size = XSTATE_LEGACY;

u64 xstate_host_mask(void) { return host_mask ? host_mask : 3; }

u64 xstate_switched(u64 cpu_mask)
{
    u64 m = cpu_mask & XSTATE_KNOWN;
    bool avx512 = (m & 0xe0) == 0xe0 && (m & 4);        /* comes in three parts, with AVX, or not at all */
    return avx512 ? m : m & ~0xe0ULL;
}

void xstate_boot_ap(void)
{
    if (!host_mask) return;
    write_cr4(read_cr4() | CR4_OSXSAVE);
    host_cr4 |= CR4_OSXSAVE;
    xsetbv(0, host_mask);
    /* A guest may execute XSAVES and XRSTORS although CPUID hides them: there is no intercept, and what XSS enables is
     * not switched (I-9). Zero after reset, but not after any system that ran before. */
    if (cpu_has(FEAT_XSAVES)) wrmsr(MSR_XSS, 0);
}

static bool pointers_stay;

void xstate_boot(void)
{
    u32 r[4];
    pointers_stay = host.vendor != VENDOR_INTEL && !cpu_has(FEAT_XSAVEERPTR);
    if (!cpu_has(FEAT_XSAVE)) {
        printk(LOG_INFO, "xstate: no XSAVE, switching x87 and SSE with FXSAVE\n");
        return;
    }
    cpuid(0xd, 0, r);
    host_mask = xstate_switched((u64)r[3] << 32 | r[0]);
    xstate_boot_ap();
    cpuid(0xd, 0, r);               /* EBX: size for the features enabled in XCR0 */
    area_size = MAX((size_t)r[1], (size_t)XSTATE_LEGACY);
    printk(LOG_INFO, "xstate: components %#lx, %lu bytes per vCPU, switched eagerly\n", host_mask, area_size);
}

/*
 * AMD processors before Zen restore the x87 pointers to the last instruction and operand only if an exception is
 * pending: those of the vCPU before would stay in the registers, for anyone to read (XSA-52, CVE-2006-1056; APM 2,
 * 11.5.4). A load of our own sets them, where the CPU does not say that it restores them (CPUID 8000_0008 EBX[2]).
 * The area may come from a save record, and XRSTOR faults on reserved bits: false, and the caller starts afresh.
 */
static bool try_restore(const void *area)
{
    if (unlikely(pointers_stay)) clear_x87_pointers();
    return !(host_mask ? xrstor64_safe(area, host_mask) : fxrstor64_safe(area));
}

void xstate_load(struct hvm_vcpu *h)
{
    if (host_mask) xsetbv(0, host_mask);
    if (unlikely(!try_restore(h->xstate))) {
        gprintk(LOG_WARN, "xstate: contents refused by the CPU, reset\n");
        xstate_reset(h->xstate);
        if (!try_restore(h->xstate)) panic("xstate: reset state refused\n");
    }
    if (host_mask && h->xcr0 != host_mask) xsetbv(0, h->xcr0);
    h->xstate_live = true;
}

/* QEMU's TCG (7.2) executes a guest's XSETBV without the exit: while the state is live the register is the truth. */
void xstate_sync_xcr0(struct hvm_vcpu *h)
{
    if (!h->xstate_live || !host_mask) return;
    u64 now = xgetbv(0);
    if (now != h->xcr0 && !(now & ~h->limits.xcr0)) h->xcr0 = now;
}

void xstate_save(struct hvm_vcpu *h)
{
    if (host_mask) {
        xstate_sync_xcr0(h);
        if (h->xcr0 != host_mask) xsetbv(0, host_mask);
        xsave64(h->xstate, host_mask);
    } else {
        fxsave64(h->xstate);
    }
    h->xstate_live = false;
}

void xstate_reset(void *area)
{
    u8 *p = area;
    memset(p, 0, area_size);
    p[0] = 0x7f; p[1] = 0x03;       /* FCW 037Fh, as after FNINIT */
    p[24] = 0x80; p[25] = 0x1f;     /* MXCSR 1F80h */
    p[512] = 3;                     /* XSTATE_BV: x87 and SSE parts are valid, all others in their initial state */
}

void *xstate_alloc(void)
{
    /* Page-aligned from 4096 up: XSAVE wants 64. */
    void *p = kzalloc(MAX(area_size, (size_t)PAGE_SIZE));
    if (p) xstate_reset(p);
    return p;
}

bool hvm_xcr0_valid(const struct vcpu *v, u64 xcr0)
{
    return !(xcr0 & ~v->hvm->limits.xcr0) && (xcr0 == 1 || policy_xcr0_valid(v->dom, xcr0));
}

int hvm_set_xcr0(struct vcpu *v, u64 val)
{
    struct hvm_vcpu *h = v->hvm;
    if (!hvm_xcr0_valid(v, val)) return -EINVAL;
    h->xcr0 = val;
    if (h->xstate_live && host_mask) xsetbv(0, val);
    return 0;
}

void *hvm_xstate(struct vcpu *v, size_t *size)
{
    struct hvm_vcpu *h = v->hvm;
    if (h->xstate_live) xstate_save(h);     /* v is current: hvm_run() loads it again before entry */
    *size = area_size;
    return h->xstate;
}
