/* SPDX-License-Identifier: MIT */
/* HVM parameters: who may set which, to what, how often, and what happens then. */
#include "call/params.h"
#include "hvm/hvm.h"

enum {
    GUEST_SETS = 1,             /* a domain may set it for itself; the others only a controller for its target */
    GUEST_READS = 2,            /* a domain may read its own */
    ONCE = 4,                   /* not again with another value once it is non-zero */
};

struct param {
    const char *name;
    u8 flags;
    u64 max;                    /* highest legal value */
    u64 align;                  /* value must be a multiple of this (0: any) */
    /* More checks and side effects; called without locks. 0 or error; the value is stored afterwards. */
    int (*set)(struct domain *d, u64 value);
};

/* S3 is not offered; "wake up" of a domain that is awake succeeds. */
static int set_acpi_state(struct domain *d, u64 value)
{
    return value ? -EOPNOTSUPP : 0;
}

static int set_fip_width(struct domain *d, u64 value)
{
    return value == 0 || value == 4 || value == 8 ? 0 : -EINVAL;
}

/* 15 is the old form of 37: address only, the size is that of a TSS with its interrupt bitmap. */
#define VM86_TSS_DEFAULT_SIZE 128ULL
static int set_vm86_tss(struct domain *d, u64 value)
{
    spin_lock(&d->lock);
    d->params[HVM_PARAM_VM86_TSS_SIZED] = value ? value | VM86_TSS_DEFAULT_SIZE << 32 : 0;
    spin_unlock(&d->lock);
    return 0;
}

#define ANY (~0ULL)
#define PFN (1ULL << 40)
static const struct param params[HVM_NR_PARAMS] = {
    [HVM_PARAM_CALLBACK_IRQ] = { "callback_irq", GUEST_SETS | GUEST_READS, ANY, 0, hvm_set_callback },
    [HVM_PARAM_STORE_PFN] = { "store_pfn", GUEST_READS, PFN, 0, NULL },
    [HVM_PARAM_STORE_EVTCHN] = { "store_evtchn", GUEST_SETS | GUEST_READS, ~0u, 0, NULL },
    [HVM_PARAM_IOREQ_PFN] = { "ioreq_pfn", ONCE, PFN, 0, NULL },
    [HVM_PARAM_BUFIOREQ_PFN] = { "bufioreq_pfn", ONCE, PFN, 0, NULL },
    [HVM_PARAM_VIRIDIAN] = { "viridian", ONCE, 0, 0, NULL },
    [HVM_PARAM_TIMER_MODE] = { "timer_mode", 0, HVMPTM_one_missed_tick_pending, 0, NULL },
    [HVM_PARAM_HPET_ENABLED] = { "hpet_enabled", 0, 1, 0, NULL },
    [HVM_PARAM_IDENT_PT] = { "ident_pt", 0, ~0u, PAGE_SIZE, NULL },
    [HVM_PARAM_ACPI_S_STATE] = { "acpi_s_state", 0, 3, 0, set_acpi_state },
    [HVM_PARAM_VM86_TSS] = { "vm86_tss", GUEST_SETS | GUEST_READS, ~0u, 0, set_vm86_tss },
    [HVM_PARAM_VPT_ALIGN] = { "vpt_align", 0, 1, 0, NULL },
    [HVM_PARAM_CONSOLE_PFN] = { "console_pfn", GUEST_READS, PFN, 0, NULL },
    [HVM_PARAM_CONSOLE_EVTCHN] = { "console_evtchn", GUEST_SETS | GUEST_READS, ~0u, 0, NULL },
    [HVM_PARAM_ACPI_IOPORTS_LOCATION] = { "acpi_ioports", GUEST_SETS | GUEST_READS, 1, 0, NULL },
    [HVM_PARAM_PAGING_RING_PFN] = { "paging_ring_pfn", 0, PFN, 0, NULL },
    [HVM_PARAM_MONITOR_RING_PFN] = { "monitor_ring_pfn", 0, PFN, 0, NULL },
    [HVM_PARAM_SHARING_RING_PFN] = { "sharing_ring_pfn", 0, PFN, 0, NULL },
    [HVM_PARAM_TRIPLE_FAULT_REASON] = { "triple_fault_reason", 0, SHUTDOWN_MAX, 0, NULL },
    [HVM_PARAM_IOREQ_SERVER_PFN] = { "ioreq_server_pfn", ONCE, PFN, 0, NULL },
    [HVM_PARAM_NR_IOREQ_SERVER_PAGES] = { "nr_ioreq_server_pages", ONCE, 64, 0, NULL },
    [HVM_PARAM_VM_GENERATION_ID_ADDR] = { "vm_generation_id", GUEST_SETS | GUEST_READS, ANY, 0, NULL },
    [HVM_PARAM_ALTP2M] = { "altp2m", ONCE | GUEST_READS, XEN_ALTP2M_disabled, 0, NULL },
    [HVM_PARAM_X87_FIP_WIDTH] = { "x87_fip_width", GUEST_SETS | GUEST_READS, 8, 0, set_fip_width },
    [HVM_PARAM_VM86_TSS_SIZED] = { "vm86_tss_sized", GUEST_SETS | GUEST_READS, (1ULL << 46) - 1, 0, NULL },
    [HVM_PARAM_MCA_CAP] = { "mca_cap", ONCE, 0, 0, NULL },
};

/* Obsolete numbers (4, 13, 20-26, 30) and gaps have no row. */
static const struct param *find(u32 index)
{
    if (index >= HVM_NR_PARAMS) return NULL;
    const struct param *p = &params[index_nospec(index, HVM_NR_PARAMS)];
    return p->name ? p : NULL;
}

int param_set(struct domain *d, bool own, u32 index, u64 value)
{
    const struct param *p = find(index);
    if (!p) return -EINVAL;
    index = (u32)index_nospec(index, HVM_NR_PARAMS);
    if (own && !(p->flags & GUEST_SETS)) return -EPERM;
    if (value > p->max || (p->align && value % p->align)) return -EINVAL;
    spin_lock(&d->lock);
    u64 old = d->params[index];
    spin_unlock(&d->lock);
    if (p->flags & ONCE && old && old != value) return -EEXIST;
    int rc = p->set ? p->set(d, value) : 0;
    if (rc) return rc;
    spin_lock(&d->lock);
    d->params[index] = value;
    spin_unlock(&d->lock);
    return 0;
}

int param_get(struct domain *d, bool own, u32 index, u64 *value)
{
    const struct param *p = find(index);
    if (!p) return -EINVAL;
    index = (u32)index_nospec(index, HVM_NR_PARAMS);
    if (own && !(p->flags & GUEST_READS)) return -EPERM;
    spin_lock(&d->lock);
    *value = index == HVM_PARAM_VM86_TSS ? (u32)d->params[HVM_PARAM_VM86_TSS_SIZED] : d->params[index];
    spin_unlock(&d->lock);
    return 0;
}
