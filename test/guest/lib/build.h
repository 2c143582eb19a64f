/* SPDX-License-Identifier: MIT */
/*
 * For test kernels that run as dom0: small domains by domctl, as the toolstack makes them. A domain can be started
 * with a copy of the running kernel in it, which finds DOM_ARGS filled in. Include in one file per kernel.
 */
#pragma once
#include "verdict.h"
#include <xen/errno.h>

#define SCRATCH 0x10000000UL            /* where nothing is in dom0: foreign and granted pages go there */
#define DOM_MB 8                        /* RAM of a small domain */
#define DOM_PAGES (DOM_MB * 256)

static struct xen_domctl dc;
static struct xen_sysctl sc;

static inline long domctl(unsigned cmd, unsigned domid)
{
    dc.cmd = cmd;
    dc.interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    dc.domain = (domid_t)domid;
    return hc_domctl(&dc);
}

static inline u64 free_pages(void)
{
    memset(&sc, 0, sizeof(sc));
    sc.cmd = XEN_SYSCTL_physinfo;
    sc.interface_version = XEN_SYSCTL_INTERFACE_VERSION;
    check_eq(hc_sysctl(&sc), 0);
    return sc.u.physinfo.free_pages;
}

static inline u64 now_ns(void)
{
    struct xen_hvm_get_time t = { 0 };
    hc_hvm_op(HVMOP_get_time, &t);
    return t.now;
}

static inline void sleep_ns(u64 ns)
{
    struct sched_poll p = { .timeout = now_ns() + ns };
    hc_sched_op(SCHEDOP_poll, &p);
}

static inline void sleep_ms(unsigned ms) { sleep_ns(ms * 1000000UL); }

/* The same as PATIENCE_TICKS by the clock of Xen. */
#define PATIENCE_MS 60000
#define PATIENCE_NS (PATIENCE_MS * 1000000UL)

/* ---- memory ---- */
static inline long reservation(unsigned op, unsigned domid, xen_pfn_t gfn, unsigned order)
{
    struct xen_memory_reservation r = { .nr_extents = 1, .extent_order = order, .domid = (domid_t)domid };
    set_xen_guest_handle(r.extent_start, &gfn);
    return hc_memory_op(op, &r);
}

/* Frames of another domain at guest-physical `at` of this one; the error of the first that failed. */
static inline long map_foreign(unsigned domid, u64 gfn, unsigned n, u64 at)
{
    static xen_ulong_t idx[512];
    static xen_pfn_t to[512];
    static int errs[512];
    for (unsigned i = 0; i < n; i++) {
        idx[i] = gfn + i;
        to[i] = (at >> 12) + i;
        errs[i] = 0;
    }
    struct xen_add_to_physmap_batch b = { .domid = DOMID_SELF, .space = XENMAPSPACE_gmfn_foreign, .size = (uint16_t)n,
                                          .u.foreign_domid = (domid_t)domid };
    set_xen_guest_handle(b.idxs, idx);
    set_xen_guest_handle(b.gpfns, to);
    set_xen_guest_handle(b.errs, errs);
    long rc = hc_memory_op(XENMEM_add_to_physmap_batch, &b);
    for (unsigned i = 0; !rc && i < n; i++) rc = errs[i];
    return rc;
}

static inline long unmap(u64 at, unsigned n)
{
    long rc = 0;
    for (unsigned i = 0; i < n; i++) {
        struct xen_remove_from_physmap r = { .domid = DOMID_SELF, .gpfn = (at >> 12) + i };
        long e = hc_memory_op(XENMEM_remove_from_physmap, &r);
        if (e) rc = e;
    }
    return rc;
}

/* ---- domains ---- */
/* CPUs of the host on which vCPUs may run, a mask; 0: all. For dom0 and for the domains made later. */
static u64 host_cpus;

/* Keep the first n vCPUs of a domain on these CPUs. */
static inline long stay_on_cpus(unsigned id, unsigned n)
{
    long rc = 0;
    for (unsigned i = 0; host_cpus && !rc && i < n; i++) {
        dc.u.vcpuaffinity = (struct xen_domctl_vcpuaffinity){ .vcpu = i, .flags = XEN_VCPUAFFINITY_HARD,
                                                              .cpumap_hard.nr_bits = 64 };
        set_xen_guest_handle(dc.u.vcpuaffinity.cpumap_hard.bitmap, (void *)&host_cpus);
        rc = domctl(XEN_DOMCTL_setvcpuaffinity, id);
    }
    return rc;
}

/* Limits of the next ones. */
static struct { u32 ports; int grant_frames, maptrack_frames; } domain_limits = { 1023, -1, -1 };

static inline long domain_new(unsigned vcpus)
{
    memset(&dc, 0, sizeof(dc));
    dc.u.createdomain = (struct xen_domctl_createdomain){
        .flags = XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap, .max_vcpus = vcpus, .max_evtchn_port = domain_limits.ports,
        .max_grant_frames = domain_limits.grant_frames, .max_maptrack_frames = domain_limits.maptrack_frames, .grant_opts = XEN_DOMCTL_GRANT_version(1),
        .arch.emulation_flags = XEN_X86_EMU_LAPIC };
    long rc = domctl(XEN_DOMCTL_createdomain, 0xffff);
    if (rc) return rc;
    long id = dc.domain;
    dc.u.max_vcpus.max = vcpus;
    if ((rc = domctl(XEN_DOMCTL_max_vcpus, (unsigned)id)) || (rc = stay_on_cpus((unsigned)id, vcpus))) return rc;
    dc.u.max_mem.max_memkb = (DOM_MB << 10) + 1024;
    if ((rc = domctl(XEN_DOMCTL_max_mem, (unsigned)id))) return rc;
    return id;
}

static inline long pool_set(unsigned id, u64 pages)
{
    dc.u.paging_mempool.size = pages << 12;
    return domctl(XEN_DOMCTL_set_paging_mempool_size, id);
}

/* A domain with RAM; its id, or an error (then there is none). */
static inline long domain_build(unsigned vcpus)
{
    long id = domain_new(vcpus), rc;
    if (id < 0) return id;
    rc = pool_set((unsigned)id, 256);
    for (u64 g = 0; !rc && g < DOM_PAGES; g += 512)
        if (reservation(XENMEM_populate_physmap, (unsigned)id, g, 9) != 1) rc = -XEN_ENOMEM;
    if (!rc) return id;
    domctl(XEN_DOMCTL_destroydomain, (unsigned)id);
    return rc;
}

/* Flags of the domain (XEN_DOMINF_*), or -1 if there is none with this id. */
static inline long domain_flags(unsigned id)
{
    if (domctl(XEN_DOMCTL_getdomaininfo, id) || dc.domain != id) return -1;
    return dc.u.getdomaininfo.flags;
}

static inline bool domain_gone(unsigned id, unsigned ms)
{
    for (u64 end = now_ns() + ms * 1000000UL; domain_flags(id) >= 0; sleep_ms(1))
        if (now_ns() > end) return false;
    return true;
}

/* Destroy and wait until it is gone. */
static inline bool domain_end(unsigned id)
{
    return !domctl(XEN_DOMCTL_destroydomain, id) && domain_gone(id, PATIENCE_MS);
}

/* Wait until the domain has shut down: its code, -1 still running. */
static inline long domain_wait(unsigned id, unsigned ms)
{
    u64 end = now_ns() + ms * 1000000UL;
    do {
        long f = domain_flags(id);
        if (f >= 0 && f & XEN_DOMINF_shutdown) return f >> XEN_DOMINF_shutdownshift & 0xff;
        sleep_ms(2);
    } while (now_ns() < end);
    return -1;
}

/* ---- a copy of this kernel as a guest ---- */
#define DOM_ARGS 0x100000UL
struct dom_args { u64 what; volatile u64 in[4], out[8]; };
#define DOM_INFO 0x101000UL             /* its start_info */
extern const char start32[], _end[];
#define IMAGE 0x200000UL

static inline bool is_dom0(void) { return start_info->flags & SIF_INITDOMAIN; }
static inline struct dom_args *my_args(void) { return (void *)DOM_ARGS; }

struct context {
    struct hvm_save_descriptor hd;
    struct hvm_save_header header;
    struct hvm_save_descriptor cd;
    struct hvm_hw_cpu cpu;
    struct hvm_save_descriptor end;
};
_Static_assert(sizeof(struct context) == 8 + 24 + 8 + 1032 + 8, "no gaps in the stream");
static struct context ctx;

/* PVH entry state (compatibility contract B.1). */
static inline void context_init(u64 rip, u64 rbx)
{
    memset(&ctx, 0, sizeof(ctx));
    ctx.hd = (struct hvm_save_descriptor){ HVM_SAVE_CODE(HEADER), 0, sizeof(ctx.header) };
    ctx.header.magic = HVM_FILE_MAGIC;
    ctx.header.version = HVM_FILE_VERSION;
    ctx.cd = (struct hvm_save_descriptor){ HVM_SAVE_CODE(CPU), 0, sizeof(ctx.cpu) };
    struct hvm_hw_cpu *c = &ctx.cpu;
    c->rip = rip;
    c->rbx = rbx;
    c->cr0 = 0x11;
    c->cs_limit = c->ds_limit = c->es_limit = c->ss_limit = 0xffffffff;
    c->cs_arbytes = 0xc9b;
    c->ds_arbytes = c->es_arbytes = c->ss_arbytes = 0xc93;
    c->tr_limit = 0x67;
    c->tr_arbytes = 0x8b;
    c->dr6 = 0xffff0ff0;
    c->dr7 = 0x400;
}

static inline long context_set(unsigned id, u32 size)
{
    memset(&dc.u, 0, sizeof(dc.u));
    dc.u.hvmcontext.size = size;
    set_xen_guest_handle(dc.u.hvmcontext.buffer, (void *)&ctx);
    return domctl(XEN_DOMCTL_sethvmcontext, id);
}

/* Load this kernel into domain `id` and make it ready to run test `what`. */
static inline long domain_load(unsigned id, u64 what)
{
    unsigned pages = (unsigned)(((u64)_end - IMAGE + 4095) >> 12);
    u64 at = SCRATCH + 0x200000;
    long rc = map_foreign(id, IMAGE >> 12, pages, at);
    if (rc) return rc;
    memcpy((void *)at, (void *)IMAGE, pages << 12);
    if ((rc = unmap(at, pages)) || (rc = map_foreign(id, DOM_ARGS >> 12, 2, at))) return rc;
    ((struct dom_args *)at)->what = what;
    *(struct hvm_start_info *)(at + 4096) = (struct hvm_start_info){ .magic = 0x336ec578, .version = 1 };
    if ((rc = unmap(at, 2))) return rc;
    context_init((u64)start32, DOM_INFO);
    return context_set(id, sizeof(ctx));
}

/* ---- guests that run one function of this kernel ---- */
typedef void (*role_fn)(void);

/* In test_main() of a kernel whose guests have roles: does not return in such a guest. */
static inline void play_role(void)
{
    if (is_dom0()) return;
    ((role_fn)my_args()->what)();
    struct sched_shutdown s = { .reason = SHUTDOWN_poweroff };
    hc_sched_op(SCHEDOP_shutdown, &s);
    for (;;) __asm__ volatile("cli; hlt");
}

/* A running domain with a copy of this kernel that calls `role`; its id, or an error. */
static inline long role_start(unsigned vcpus, role_fn role)
{
    long id = domain_build(vcpus), rc;
    if (id <= 0) return id;
    if (!(rc = domain_load((unsigned)id, (u64)role))) rc = domctl(XEN_DOMCTL_unpausedomain, (unsigned)id);
    if (!rc) return id;
    domctl(XEN_DOMCTL_destroydomain, (unsigned)id);
    return rc;
}

/* Its arguments and words of result, mapped at `at`; NULL after a failure. */
static inline volatile struct dom_args *role_args(unsigned id, u64 at)
{
    return check_eq(map_foreign(id, DOM_ARGS >> 12, 1, at), 0) ? (volatile void *)at : NULL;
}

/* ---- page contents ---- */
static inline void fill(u64 at, unsigned pages, u64 seed)
{
    u64 *p = (u64 *)at;
    for (unsigned i = 0; i < pages * 512; i++) p[i] = seed + i;
}

static inline bool filled(u64 at, unsigned pages, u64 seed)
{
    const u64 *p = (const u64 *)at;
    for (unsigned i = 0; i < pages * 512; i++)
        if (p[i] != seed + i) return false;
    return true;
}

static inline bool zeroed(u64 at, unsigned pages)
{
    const u64 *p = (const u64 *)at;
    for (unsigned i = 0; i < pages * 512; i++)
        if (p[i]) return false;
    return true;
}

/* ---- grants to dom0 ---- */
#define GRANT_TABLE (SCRATCH + 0x400000)

/* The first frame of the domain's grant table in dom0; NULL after a failure. */
static inline volatile struct grant_entry_v1 *grant_table(unsigned d)
{
    static xen_pfn_t gfn;
    gfn = GRANT_TABLE >> 12;
    struct xen_mem_acquire_resource a = { .domid = (domid_t)d, .type = XENMEM_resource_grant_table, .nr_frames = 1 };
    set_xen_guest_handle(a.frame_list, &gfn);
    return check_eq(hc_memory_op(XENMEM_acquire_resource, &a), 0) ? (void *)GRANT_TABLE : NULL;
}

static inline int grant_map(unsigned d, u32 ref, u64 at, unsigned flags, u32 *handle)
{
    struct gnttab_map_grant_ref m = { .host_addr = at, .flags = GNTMAP_host_map | flags, .ref = ref, .dom = (domid_t)d };
    check_eq(hc_grant(GNTTABOP_map_grant_ref, &m, 1), 0);
    *handle = m.handle;
    return m.status;
}

static inline int grant_unmap(u64 at, u32 handle)
{
    struct gnttab_unmap_grant_ref u = { .host_addr = at, .handle = handle };
    check_eq(hc_grant(GNTTABOP_unmap_grant_ref, &u, 1), 0);
    return u.status;
}

static inline void offer(volatile struct grant_entry_v1 *e, u32 gfn, u16 flags)
{
    e->domid = 0;
    e->frame = gfn;
    e->flags = flags;
}
