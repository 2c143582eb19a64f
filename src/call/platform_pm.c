/* SPDX-License-Identifier: MIT */
/* platform_op set_processor_pminfo: C- and P-states that dom0 read from ACPI, kept per CPU. */
#include "call/platform.h"
#include "cpu/percpu.h"

#define MAX_STATES 32u
static struct pm_info {
    u8 nr_px, nr_cx;
    u8 px_flags;                                /* XEN_PX_*: what has arrived */
    u32 px_limit;
    struct { u32 mhz, control; } px[MAX_STATES];
    struct { u8 type; u8 space; u32 latency_us; u64 address; } cx[MAX_STATES];
} *info[NR_CPUS];

/* CPU with this ACPI id; -EINVAL: not one of ours (dom0 tells us about absent ones too). */
static int find_cpu(u32 acpi_id)
{
    for (unsigned i = 0; i < nr_cpus; i++)
        if (cpus[i]->acpi_id == acpi_id) return (int)i;
    return -EINVAL;
}

static long set_px(struct call *c, struct pm_info *p, const struct xen_processor_performance *a, unsigned cpu)
{
    u32 n = a->flags & XEN_PX_PSS ? a->state_count : 0;
    if (n > MAX_STATES) return -EINVAL;
    if (a->flags & ~(XEN_PX_PCT | XEN_PX_PSS | XEN_PX_PPC | XEN_PX_PSD)) return -EINVAL;
    for (u32 i = 0; i < n; i++) {
        struct xen_processor_px px;
        if (copy_in(c->v, &px, (gva_t)a->states.p + i * sizeof(px))) return -EFAULT;
        p->px[i].mhz = (u32)px.core_frequency;
        p->px[i].control = (u32)px.control;
    }
    if (n) p->nr_px = (u8)n;
    if (a->flags & XEN_PX_PPC) p->px_limit = a->platform_limit;
    bool first = !p->px_flags;
    p->px_flags |= (u8)a->flags;
    if (first && p->nr_px)
        printk(LOG_DEBUG, "CPU %u: %u P-states, %u to %u MHz\n", cpu, p->nr_px, p->px[p->nr_px - 1].mhz,
               p->px[0].mhz);
    return 0;
}

static long set_cx(struct call *c, struct pm_info *p, const struct xen_processor_power *a, unsigned cpu)
{
    if (!a->count || a->count > MAX_STATES) return -EINVAL;
    for (u32 i = 0; i < a->count; i++) {
        struct xen_processor_cx cx;
        if (copy_in(c->v, &cx, (gva_t)a->states.p + i * sizeof(cx))) return -EFAULT;
        p->cx[i].type = cx.type;
        p->cx[i].space = (u8)cx.reg.space_id;
        p->cx[i].latency_us = cx.latency;
        p->cx[i].address = cx.reg.address;
    }
    if (!p->nr_cx) printk(LOG_DEBUG, "CPU %u: %u C-states\n", cpu, a->count);
    p->nr_cx = (u8)a->count;
    return 0;
}

/* _PDC: revision, number of dwords, capabilities. What dom0 would announce is left as it is. */
static long check_pdc(struct call *c, gva_t pdc)
{
    u32 head[3];
    if (guest_read(c->v, head, pdc, sizeof(head))) return -EFAULT;
    return head[1] ? 0 : -EINVAL;
}

PLATFORM_HANDLER(set_processor_pminfo)
{
    const struct xenpf_set_processor_pminfo *a = &op->u.set_pminfo;
    if (a->type == XEN_PM_PDC) return check_pdc(c, (gva_t)a->u.pdc.p);
    if (a->type != XEN_PM_CX && a->type != XEN_PM_PX) return -EINVAL;
    int cpu = find_cpu(a->id);
    if (cpu < 0) return cpu;
    if (!info[cpu]) {
        struct pm_info *p = kzalloc(sizeof(*p));
        if (!p) return -ENOMEM;
        if (!atomic_cas(&info[cpu], NULL, p)) kfree(p);     /* another vCPU was faster */
    }
    return a->type == XEN_PM_PX ? set_px(c, info[cpu], &a->u.perf, (unsigned)cpu)
                                : set_cx(c, info[cpu], &a->u.power, (unsigned)cpu);
}
