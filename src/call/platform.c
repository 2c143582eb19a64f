/* SPDX-License-Identifier: MIT */
/* platform_op (7): what dom0's kernel asks of the machine. Caller is privileged (call.c). */
#include "call/bitmap.h"
#include "call/platform.h"
#include "cpu/cpu.h"
#include "sched/sched.h"

enum { OUT = 1 };

struct platform_row {
    const char *name;
    long (*fn)(struct call *c, struct xen_platform_op *op);
    u8 flags;
    s16 absent;
};

/* ---- time ---- */
#define NS_PER_S 1000000000u
#define MAX_WALL_S (1ULL << 40)

static long set_wallclock(u64 secs, u32 nsecs, u64 system_time)
{
    if (nsecs >= NS_PER_S || secs > MAX_WALL_S || system_time / NS_PER_S > secs) return -EINVAL;
    wallclock_set(secs, nsecs, system_time);
    u32 next = 0;
    struct domain *d;
    while (next < DOMID_FIRST_RESERVED && (d = get_domain_from((u16)next))) {
        next = d->id + 1u;
        domain_update_wallclock(d);
        put_domain(d);
    }
    return 0;
}

static long platform_settime32(struct call *c, struct xen_platform_op *op)
{
    return set_wallclock(op->u.settime32.secs, op->u.settime32.nsecs, op->u.settime32.system_time);
}

static long platform_settime64(struct call *c, struct xen_platform_op *op)
{
    if (op->u.settime64.mbz) return -EINVAL;
    return set_wallclock(op->u.settime64.secs, op->u.settime64.nsecs, op->u.settime64.system_time);
}

/* ---- CPUs ---- */
static long platform_get_cpuinfo(struct call *c, struct xen_platform_op *op)
{
    struct xenpf_pcpuinfo *a = &op->u.pcpu_info;
    u32 id = a->xen_cpuid;
    memset(&op->u, 0, sizeof(op->u));
    a->xen_cpuid = id;
    a->max_present = nr_cpus - 1;
    a->flags = XEN_PCPU_FLAGS_INVALID;
    if (id < nr_cpus) {
        const struct cpu *cpu = cpus[index_nospec(id, NR_CPUS)];
        a->flags = cpu->online ? XEN_PCPU_FLAGS_ONLINE : 0;
        a->apic_id = cpu->apic_id;
        a->acpi_id = cpu->acpi_id;
    }
    return 0;
}

static long platform_get_cpu_version(struct call *c, struct xen_platform_op *op)
{
    struct xenpf_pcpu_version *a = &op->u.pcpu_version;
    u32 id = a->xen_cpuid;
    memset(&op->u, 0, sizeof(op->u));
    a->xen_cpuid = id;
    a->max_present = nr_cpus - 1;
    if (id < nr_cpus) {
        memcpy(a->vendor_id, host.vendor_id, sizeof(a->vendor_id));
        a->family = host.family;
        a->model = host.model;
        a->stepping = host.stepping;
    }
    return 0;
}

/* CPUs are all online and stay so. */
static long platform_cpu_online(struct call *c, struct xen_platform_op *op)
{
    return op->u.cpu_ol.cpuid < nr_cpus ? 0 : -EINVAL;
}

static long platform_cpu_offline(struct call *c, struct xen_platform_op *op)
{
    return op->u.cpu_ol.cpuid && op->u.cpu_ol.cpuid < nr_cpus ? -EOPNOTSUPP : -EINVAL;
}

static long platform_core_parking(struct call *c, struct xen_platform_op *op)
{
    struct xenpf_core_parking *a = &op->u.core_parking;
    if (a->type != XEN_CORE_PARKING_GET) return a->type == XEN_CORE_PARKING_SET ? -EOPNOTSUPP : -EINVAL;
    a->idle_nums = 0;
    return 0;
}

/* Bits of CPUs that do not exist come back cleared; their array entries too (public/platform.h). */
static long platform_getidletime(struct call *c, struct xen_platform_op *op)
{
    struct xenpf_getidletime *a = &op->u.getidletime;
    struct xenctl_bitmap map;
    u64 wanted;
    memset(&map, 0, sizeof(map));
    map.bitmap.p = a->cpumap_bitmap.p;
    map.nr_bits = a->cpumap_nr_cpus;
    if (bitmap_in(c->v, &map, &wanted)) return -EFAULT;
    a->now = now_ns();
    for (unsigned cpu = 0; cpu < 64; cpu++) {
        if (!(wanted >> cpu & 1)) continue;
        u64 idle = cpu < nr_cpus ? cpu_idle_ns(cpu) : 0;
        if (guest_write(c->v, (gva_t)a->idletime.p + cpu * sizeof(idle), &idle, sizeof(idle))) return -EFAULT;
    }
    return bitmap_out(c->v, &map, nr_cpus >= 64 ? wanted : wanted & ((1ULL << nr_cpus) - 1));
}

/* ---- power ---- */
/* PVH dom0 writes the PM1 registers itself; this way only PV dom0 kernels come. S5: dom0 ends, and the machine. */
static long platform_enter_acpi_sleep(struct call *c, struct xen_platform_op *op)
{
    const struct xenpf_enter_acpi_sleep *a = &op->u.enter_acpi_sleep;
    if (a->flags & ~XENPF_ACPI_SLEEP_EXTENDED || !a->sleep_state || a->sleep_state > 5) return -EINVAL;
    if (a->sleep_state != 5) return -EOPNOTSUPP;
    domain_shutdown(c->v->dom, SHUTDOWN_poweroff);
    return 0;
}

/* Run-time loading would have to stop all CPUs at once; microcode is loaded at boot (ucode=). */
#define MAX_UCODE MiB(2)
static long platform_microcode_update(struct call *c, struct xen_platform_op *op)
{
    if (!op->u.microcode.length || op->u.microcode.length > MAX_UCODE) return -EINVAL;
    return -EOPNOTSUPP;
}

#define ROW(cmd, flags) [XENPF_##cmd] = { #cmd, platform_##cmd, (flags), 0 }
#define NO(cmd, err) [XENPF_##cmd] = { #cmd, NULL, 0, -(err) }
#define XENPF_get_dom0_console 64       /* newer than the 4.17 headers; PVH kernels ask for it */
static const struct platform_row rows[] = {
    ROW(settime32, 0),
    ROW(settime64, 0),
    ROW(microcode_update, 0),
    ROW(firmware_info, OUT),
    ROW(enter_acpi_sleep, 0),
    ROW(getidletime, OUT),
    ROW(set_processor_pminfo, 0),
    ROW(get_cpuinfo, OUT),
    ROW(get_cpu_version, OUT),
    ROW(cpu_online, 0),
    ROW(cpu_offline, 0),
    ROW(core_parking, OUT),
    ROW(get_dom0_console, OUT),
    NO(add_memtype, EOPNOTSUPP), NO(del_memtype, EOPNOTSUPP), NO(read_memtype, EOPNOTSUPP),
    NO(platform_quirk, ENOSYS), NO(efi_runtime_call, ENOSYS), NO(change_freq, ENOSYS), NO(cpu_hotadd, ENOSYS),
    NO(mem_hotadd, ENOSYS), NO(resource_op, ENOSYS), NO(get_symbol, ENOSYS),
};

long platform_op(struct call *c)
{
    struct xen_platform_op op;
    gva_t arg = c->arg[0];
    if (copy_in(c->v, &op, arg)) return -EFAULT;
    if (op.interface_version != XENPF_INTERFACE_VERSION) return -EACCES;
    if (op.cmd >= ARRAY_SIZE(rows)) return -ENOSYS;
    const struct platform_row *row = &rows[index_nospec(op.cmd, ARRAY_SIZE(rows))];
    if (!row->name) return -ENOSYS;
    if (!row->fn) return row->absent;
    long rc = row->fn(c, &op);
    if (row->flags & OUT && rc >= 0 && copy_out(c->v, arg, &op)) return -EFAULT;
    return rc;
}
