/* SPDX-License-Identifier: MIT */
/*
 * MSRs of guests: a whitelist (XSA-108, XSA-269). First the local APIC's range, then what lives in vendor state,
 * then this table, sorted by number; anything else is #GP.
 */
#include "hvm/hvm_vcpu.h"
#include "hvm/policy.h"
#include "hvm/vlapic.h"
#include "cpu/x86.h"
#include "time/time.h"

typedef int (*rd_fn)(struct vcpu *v, u32 msr, u64 *val);
typedef int (*wr_fn)(struct vcpu *v, u32 msr, u64 val);

static int r_zero(struct vcpu *v, u32 msr, u64 *val) { *val = 0; return 0; }
static int w_ignore(struct vcpu *v, u32 msr, u64 val) { return 0; }
static int w_zero(struct vcpu *v, u32 msr, u64 val) { return val ? -EINVAL : 0; }

/* ---- time stamp counter ---- */
static int r_tsc(struct vcpu *v, u32 msr, u64 *val)
{
    *val = tsc_read() + hvm_tsc_offset(v);
    return 0;
}

static void shift_tsc(struct vcpu *v, u64 adjust)
{
    v->hvm->tsc_adjust = adjust;
    hvm->set_tsc_offset(v, hvm_tsc_offset(v), v->dom->tsc_mode == 1);
    vcpu_update_time(v);                /* counts from this vCPU's TSC */
}

/* A write moves this vCPU's counter; TSC_ADJUST reports the move (SDM 3B, 17.17.3). */
static int w_tsc(struct vcpu *v, u32 msr, u64 val)
{
    u64 delta = val - (tsc_read() + hvm_tsc_offset(v));
    v->hvm->tsc_adjust_msr += delta;
    shift_tsc(v, v->hvm->tsc_adjust + delta);
    return 0;
}

static int r_tsc_adjust(struct vcpu *v, u32 msr, u64 *val)
{
    if (!v->hvm->limits.tsc_adjust) return -EINVAL;
    *val = v->hvm->tsc_adjust_msr;
    return 0;
}

static int w_tsc_adjust(struct vcpu *v, u32 msr, u64 val)
{
    if (!v->hvm->limits.tsc_adjust) return -EINVAL;
    hvm_tsc_adjust_set(v, val);
    return 0;
}

u64 hvm_tsc_adjust_get(struct vcpu *v) { return v->hvm->tsc_adjust_msr; }

void hvm_tsc_adjust_set(struct vcpu *v, u64 adjust)
{
    u64 delta = adjust - v->hvm->tsc_adjust_msr;
    v->hvm->tsc_adjust_msr = adjust;
    shift_tsc(v, v->hvm->tsc_adjust + delta);
}

/* ---- hypercall page: base+2 of the hypervisor's CPUID leaves names this MSR ---- */
/* Stub n at n * 32: mov $n, %eax; vmmcall (vmcall); ret. Number 23 (iret) is for PV only. */
static void fill_page(u8 *p)
{
    memset(p, 0xcc, PAGE_SIZE);
    for (unsigned n = 0; n < PAGE_SIZE / 32; n++, p += 32) {
        if (n == __HYPERVISOR_iret) {
            p[0] = 0x0f;
            p[1] = 0x0b;
            continue;
        }
        p[0] = 0xb8;
        p[1] = (u8)n;
        p[2] = p[3] = p[4] = 0;
        memcpy(p + 5, hvm->hypercall_insn, 3);
        p[8] = 0xc3;
    }
}

static int w_hypercall_page(struct vcpu *v, u32 msr, u64 val)
{
    mfn_t m;
    if (val & 0xfff) return -EINVAL;            /* there is one page, index 0 */
    if (p2m_get_page(v->dom, GFN(val >> PAGE_SHIFT), true, &m)) return -EINVAL;
    void *p = frame_map(m);
    fill_page(p);
    frame_unmap(p);
    page_put_short(m);
    return 0;
}

/* ---- identification and miscellaneous ---- */
static int r_misc_enable(struct vcpu *v, u32 msr, u64 *val)
{
    *val = v->hvm->misc_enable | 1u << 11 | 1u << 12;   /* no BTS, no PEBS */
    return 0;
}

static int w_misc_enable(struct vcpu *v, u32 msr, u64 val)
{
    v->hvm->misc_enable = val & 1;              /* fast strings: the only one kept */
    return 0;
}

static int r_platform_info(struct vcpu *v, u32 msr, u64 *val)
{
    *val = v->dom->policy->platform_info;
    return *val ? 0 : -EINVAL;
}

static int r_arch_caps(struct vcpu *v, u32 msr, u64 *val)
{
    if (!policy_has(v->dom, XEN_X86_FEATURE_ARCH_CAPS)) return -EINVAL;
    *val = v->dom->policy->arch_caps;
    return 0;
}

/* Microcode revision of the CPU: guests choose work-arounds by it. */
static int r_patch_level(struct vcpu *v, u32 msr, u64 *val)
{
    if (rdmsr_safe(MSR_UCODE_REV, val)) *val = 0;
    return 0;
}

/* Linux writes this without a fixup: a barrier that CPUID shows must work. */
static int w_pred_cmd(struct vcpu *v, u32 msr, u64 val)
{
    if (!v->hvm->limits.pred_cmd || (val & ~(u64)v->hvm->limits.pred_cmd)) return -EINVAL;
    return val && wrmsr_safe(MSR_PRED_CMD, val) ? -EINVAL : 0;
}

/* SYSCFG: MtrrFixDramEn and the like read as set by firmware that is done (bit 20 MtrrVarDramEn, 21 TOM2). */
static int r_syscfg(struct vcpu *v, u32 msr, u64 *val) { *val = 1u << 20; return 0; }
static int r_tom(struct vcpu *v, u32 msr, u64 *val) { *val = GiB(4) - MiB(256); return 0; }
/* DE_CFG: LFENCE is dispatch-serialising, as the host set it up. */
static int r_de_cfg(struct vcpu *v, u32 msr, u64 *val) { *val = 2; return 0; }
/* HWCR: TscFreqSel (24): the TSC counts at the P0 frequency. xen-shim writes bit 6: ignored. */
static int r_hwcr(struct vcpu *v, u32 msr, u64 *val) { *val = 1u << 24; return 0; }

static int r_mtrr(struct vcpu *v, u32 msr, u64 *val) { return mtrr_rdmsr(v, msr, val) ? 0 : -EINVAL; }

/* P-state limits and definitions: read-only facts about the machine, for dom0's cpufreq upload. */
static int r_pstate(struct vcpu *v, u32 msr, u64 *val)
{
    if (!v->dom->is_hwdom) return -EINVAL;
    return rdmsr_safe(msr, val) ? -EINVAL : 0;
}

/* first, last, name, read, write (NULL: #GP) */
struct msr_row { u32 first, last; const char *name; rd_fn rd; wr_fn wr; };
static const struct msr_row rows[] = {
    { 0x10, 0x10, "TSC", r_tsc, w_tsc },
    { 0x17, 0x17, "PLATFORM_ID", r_zero, NULL },
    { 0x3b, 0x3b, "TSC_ADJUST", r_tsc_adjust, w_tsc_adjust },
    { 0x49, 0x49, "PRED_CMD", NULL, w_pred_cmd },
    { 0x79, 0x79, "UCODE_WRITE", NULL, w_ignore },
    { 0x8b, 0x8b, "PATCH_LEVEL", r_patch_level, w_ignore },
    { 0xce, 0xce, "PLATFORM_INFO", r_platform_info, NULL },
    { 0xfe, 0xfe, "MTRRcap", r_mtrr, mtrr_wrmsr },
    { 0x10a, 0x10a, "ARCH_CAPABILITIES", r_arch_caps, NULL },
    { 0x179, 0x179, "MCG_CAP", r_zero, NULL },                  /* no banks */
    { 0x17a, 0x17a, "MCG_STATUS", r_zero, w_zero },
    { 0x186, 0x189, "PERFEVTSEL", r_zero, w_ignore },
    { 0x1a0, 0x1a0, "MISC_ENABLE", r_misc_enable, w_misc_enable },
    { 0x1d9, 0x1d9, "DEBUGCTL", r_zero, w_zero },               /* XSA-269: no branch tracing */
    { 0x1db, 0x1de, "LASTBRANCH", r_zero, NULL },
    { 0x200, 0x20f, "MTRRvar", r_mtrr, mtrr_wrmsr },
    { 0x250, 0x250, "MTRRfix64K", r_mtrr, mtrr_wrmsr },
    { 0x258, 0x259, "MTRRfix16K", r_mtrr, mtrr_wrmsr },
    { 0x268, 0x26f, "MTRRfix4K", r_mtrr, mtrr_wrmsr },
    { 0x2ff, 0x2ff, "MTRRdefType", r_mtrr, mtrr_wrmsr },
    { 0x38f, 0x38f, "PERF_GLOBAL_CTRL", r_zero, w_ignore },
    { 0x400, 0x47f, "MCi", r_zero, w_zero },
    { 0x40000000, 0x40000000, "hypercall page", NULL, w_hypercall_page },
    { 0xc0010000, 0xc0010003, "PERF_EVTSEL", r_zero, w_ignore },
    { 0xc0010004, 0xc0010007, "PERF_CTR", r_zero, w_ignore },
    { 0xc0010010, 0xc0010010, "SYSCFG", r_syscfg, w_ignore },
    { 0xc0010015, 0xc0010015, "HWCR", r_hwcr, w_ignore },
    { 0xc001001a, 0xc001001a, "TOP_MEM", r_tom, w_ignore },
    { 0xc001001d, 0xc001001d, "TOP_MEM2", r_zero, w_ignore },
    { 0xc001001f, 0xc001001f, "NB_CFG", r_zero, w_ignore },
    { 0xc0010020, 0xc0010020, "PATCH_LOADER", NULL, w_ignore },
    { 0xc0010055, 0xc0010055, "INT_PENDING", r_zero, w_ignore },
    { 0xc0010058, 0xc0010058, "MMIO_CFG_BASE", r_zero, w_ignore },
    { 0xc0010061, 0xc0010061, "PSTATE_LIMIT", r_pstate, NULL },
    { 0xc0010063, 0xc0010063, "PSTATE_STATUS", r_pstate, NULL },
    { 0xc0010064, 0xc001006b, "PSTATE_DEF", r_pstate, NULL },
    { 0xc0010112, 0xc0010113, "SMM_ADDR", r_zero, NULL },
    { 0xc0010114, 0xc0010114, "VM_CR", r_zero, w_ignore },
    { 0xc0010140, 0xc0010141, "OSVW", r_zero, w_ignore },
    { 0xc0010200, 0xc001020b, "PERF_CTL_CTR", r_zero, w_ignore },
    { 0xc0011020, 0xc0011023, "LS_CFG", r_zero, w_ignore },
    { 0xc0011029, 0xc0011029, "DE_CFG", r_de_cfg, w_ignore },
    { 0xc001102a, 0xc001102c, "BU_CFG2", r_zero, w_ignore },
};

static const struct msr_row *find(u32 msr)
{
    unsigned lo = 0, hi = ARRAY_SIZE(rows);
    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;
        if (rows[mid].last < msr) lo = mid + 1;
        else hi = mid;
    }
    return lo < ARRAY_SIZE(rows) && rows[lo].first <= msr ? &rows[lo] : NULL;
}

static bool is_apic(u32 msr) { return (msr & ~0xffu) == MSR_X2APIC || msr == MSR_APIC_BASE || msr == MSR_TSC_DEADLINE; }

int hvm_rdmsr(struct vcpu *v, u32 msr, u64 *val)
{
    int rc = is_apic(msr) ? vlapic_rdmsr(v, msr, val) : svm_rdmsr(v, msr, val);
    if (rc != -ENOENT) return rc;
    const struct msr_row *r = find(msr);
    rc = r && r->rd ? r->rd(v, msr, val) : -EINVAL;
    if (rc) gprintk(LOG_DEBUG, "d%uv%u: RDMSR %#x: #GP\n", v->dom->id, v->id, msr);
    return rc;
}

int hvm_wrmsr(struct vcpu *v, u32 msr, u64 val)
{
    int rc = is_apic(msr) ? vlapic_wrmsr(v, msr, val) : svm_wrmsr(v, msr, val);
    if (rc != -ENOENT) return rc ? -EINVAL : 0;
    const struct msr_row *r = find(msr);
    rc = r && r->wr ? r->wr(v, msr, val) : -EINVAL;
    if (rc) gprintk(LOG_DEBUG, "d%uv%u: WRMSR %#x = %#lx: #GP\n", v->dom->id, v->id, msr, val);
    return rc ? -EINVAL : 0;
}
