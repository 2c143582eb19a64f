/* SPDX-License-Identifier: MIT */
/* sysctl: console ring, memory, domains, topology. */
#include "call/domctl.h"
#include "call/sysctl.h"
#include "cpu/cpu.h"
#include "debug/console.h"
#include "hvm/policy.h"
#include "pci/pci.h"
#include "sched/sched.h"

/* ---- console ---- */
SYSCTL_HANDLER(readconsole)
{
    struct xen_sysctl_readconsole *a = &op->u.readconsole;
    char *chunk = page_alloc();
    u32 index = a->index, room = a->count, done = 0;
    bool incremental = a->incremental;
    long rc = chunk ? 0 : -ENOMEM;
    while (!rc && done < room) {
        size_t n = conring_read(chunk, MIN((size_t)(room - done), PAGE_SIZE), &index, incremental);
        if (!n) break;
        rc = guest_write(c->v, (gva_t)a->buffer.p + done, chunk, n);
        done += (u32)n;
        incremental = true;         /* from here on, from where we are */
    }
    page_free(chunk);
    if (rc) return rc;
    if (a->clear) conring_clear();
    a->index = index;
    a->count = done;
    return 0;
}

#define MAX_KEYS 64u
SYSCTL_HANDLER(debug_keys)
{
    char keys[MAX_KEYS];
    u32 n = op->u.debug_keys.nr_keys;
    if (n > MAX_KEYS) return -E2BIG;
    if (n && guest_read(c->v, keys, (gva_t)op->u.debug_keys.keys.p, n)) return -EFAULT;
    for (u32 i = 0; i < n; i++) debug_key(keys[i]);
    return 0;
}

/* ---- machine ---- */
SYSCTL_HANDLER(physinfo)
{
    struct xen_sysctl_physinfo *a = &op->u.physinfo;
    u32 words[POLICY_FEATURE_WORDS];
    policy_featureset(policy_system(POLICY_HOST), words);
    memset(a, 0, sizeof(*a));
    a->threads_per_core = host.threads_per_core;
    a->cores_per_socket = host.cores_per_socket;
    a->nr_cpus = nr_cpus;
    a->max_cpu_id = nr_cpus - 1;
    a->nr_nodes = 1;
    a->cpu_khz = tsc_khz;
    a->capabilities = XEN_SYSCTL_PHYSCAP_hvm | XEN_SYSCTL_PHYSCAP_hap | XEN_SYSCTL_PHYSCAP_gnttab_v1;
    a->total_pages = ram_total_pages();
    a->outstanding_pages = ram_claimed_pages();        /* promised, and still free */
    a->free_pages = ram_free_pages() + a->outstanding_pages;
    a->max_mfn = ram_max_mfn();
    memcpy(a->hw_cap, words, sizeof(a->hw_cap));
    return 0;
}

/* There are no address-width zones, so a limited question has no answer. */
SYSCTL_HANDLER(availheap)
{
    struct xen_sysctl_availheap *a = &op->u.availheap;
    if (a->node > 0 || a->node < -1) return -EINVAL;
    if (a->min_bitwidth || a->max_bitwidth) return -EOPNOTSUPP;
    a->avail_bytes = ram_free_pages() << PAGE_SHIFT;
    return 0;
}

SYSCTL_HANDLER(getcpuinfo)
{
    struct xen_sysctl_getcpuinfo *a = &op->u.getcpuinfo;
    u32 n = MIN(a->max_cpus, nr_cpus);
    for (u32 i = 0; i < n; i++) {
        struct xen_sysctl_cpuinfo info = { .idletime = cpu_idle_ns(i) };
        if (copy_out(c->v, (gva_t)a->info.p + i * sizeof(info), &info)) return -EFAULT;
    }
    a->nr_cpus = n;
    return 0;
}

/* ---- domains ---- */
SYSCTL_HANDLER(getdomaininfolist)
{
    struct xen_sysctl_getdomaininfolist *a = &op->u.getdomaininfolist;
    u32 n = 0, next = a->first_domain;
    long rc = 0;
    while (!rc && n < a->max_domains && next < DOMID_FIRST_RESERVED) {
        struct xen_domctl_getdomaininfo info;
        struct domain *d = get_domain_from((u16)next);
        if (!d) break;
        next = d->id + 1u;
        domain_get_info(d, &info);
        put_domain(d);
        rc = copy_out(c->v, (gva_t)a->buffer.p + n * sizeof(info), &info);
        n++;
    }
    a->num_domains = n;
    return rc;
}

/* ---- topology ---- */
static unsigned bits_for(unsigned n)
{
    return n > 1 ? fls64(n - 1) + 1 : 0;
}

static void fill_topo(unsigned cpu, struct xen_sysctl_cputopo *t)
{
    unsigned smt = bits_for(host.threads_per_core), core = bits_for(host.cores_per_socket);
    u32 id = cpus[cpu]->apic_id >> smt;
    *t = (struct xen_sysctl_cputopo){ .core = id & ((1u << core) - 1), .socket = id >> core, .node = 0 };
}

/* NULL array: how many there are. */
SYSCTL_HANDLER(cputopoinfo)
{
    struct xen_sysctl_cputopoinfo *a = &op->u.cputopoinfo;
    u32 n = a->cputopo.p ? MIN(a->num_cpus, nr_cpus) : 0;
    for (u32 i = 0; i < n; i++) {
        struct xen_sysctl_cputopo t;
        fill_topo(i, &t);
        if (copy_out(c->v, (gva_t)a->cputopo.p + i * sizeof(t), &t)) return -EFAULT;
    }
    a->num_cpus = nr_cpus;
    return 0;
}

#define LOCAL_DISTANCE 10u
SYSCTL_HANDLER(numainfo)
{
    struct xen_sysctl_numainfo *a = &op->u.numainfo;
    struct xen_sysctl_meminfo mem = { .memsize = ram_total_pages() << PAGE_SHIFT,
                                      .memfree = ram_free_pages() << PAGE_SHIFT };
    u32 distance = LOCAL_DISTANCE;
    if (a->num_nodes) {
        if (a->meminfo.p && copy_out(c->v, (gva_t)a->meminfo.p, &mem)) return -EFAULT;
        if (a->distance.p && copy_out(c->v, (gva_t)a->distance.p, &distance)) return -EFAULT;
    }
    a->num_nodes = 1;
    return 0;
}

/* Handles as many as one call may take and says how many; the caller asks again for the rest. */
#define MAX_DEVS 256u
SYSCTL_HANDLER(pcitopoinfo)
{
    struct xen_sysctl_pcitopoinfo *a = &op->u.pcitopoinfo;
    u32 n = MIN(a->num_devs, MAX_DEVS);
    if (!a->devs.p || !a->nodes.p) return -EINVAL;
    for (u32 i = 0; i < n; i++) {
        struct physdev_pci_device dev;
        if (copy_in(c->v, &dev, (gva_t)a->devs.p + i * sizeof(dev))) return -EFAULT;
        u32 node = pci_exists((u32)dev.seg << 16 | (u32)dev.bus << 8 | dev.devfn) ? 0 : XEN_INVALID_DEV;
        if (guest_write(c->v, (gva_t)a->nodes.p + i * sizeof(node), &node, sizeof(node))) return -EFAULT;
    }
    a->num_devs = n;
    return 0;
}
