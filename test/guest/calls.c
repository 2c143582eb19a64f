/* SPDX-License-Identifier: MIT */
/* Every hypercall of the stock clients (doc: compatibility contract D.14, sets 1 to 3): the answer to a good call, an
 * unknown sub-operation, a wrong version, a bad pointer, a bad value. */
#include "steal.h"
#include "verdict.h"
#include <xen/errno.h>

const char test_name[] = "calls";

#define BAD ((void *)0x7000000000UL)            /* not mapped by the page tables */
#define HOLE ((void *)0xe0000000UL)             /* mapped, no RAM there */
#define KERNEL_HALF ((void *)0xffff800000000000UL)
static u8 page[2][4096] __attribute__((aligned(4096)));

/* ---- dispatch ---- */
static void unknown_numbers(void)
{
    static const u64 absent[] = { 0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 14, 16, 19, 22, 23, 25, 26, 27, 28, 30, 31, 37, 38,
                                  39, 40, 42, 43, 47, 48, 49, 55, 56, 62, 64, 127, 128, 1000, 0xffffffff };
    for (unsigned i = 0; i < sizeof(absent) / sizeof(absent[0]); i++)
        if (hypercall5((unsigned)absent[i], 0, 0, 0, 0, 0) != -XEN_ENOSYS) {
            blame();
            print("hypercall %lu: %ld\n", absent[i], hypercall5((unsigned)absent[i], 0, 0, 0, 0, 0));
        }
    u64 rax = 1UL << 32 | __HYPERVISOR_xen_version;    /* all 64 bits count */
    __asm__ volatile("vmmcall" : "+a"(rax) : "D"(0), "S"(0) : "memory");
    check_eq(rax, -XEN_ENOSYS);
    check_eq(hypercall5(63, 0, 0, 0, 0, 0) < 0, 1);    /* the dom0 loader's own: not for kernels */
}

static void registers_kept(void)
{
    u64 r[14] = { 0 }, rax = __HYPERVISOR_xen_version;
    __asm__ volatile(
        "push %%rbx; push %%rbp; push %%r12; push %%r13; push %%r14; push %%r15; push %1\n\t"
        "xor %%edi, %%edi; mov $2, %%esi; mov $3, %%edx; mov $4, %%r10d; mov $5, %%r8d; mov $6, %%r9d; mov $7, %%ebx\n\t"
        "mov $8, %%ebp; mov $9, %%r11d; mov $10, %%r12d; mov $11, %%r13d; mov $12, %%r14d; mov $13, %%r15d; mov $14, %%ecx\n\t"
        "vmmcall\n\t"
        "xchg %%rsi, (%%rsp); mov %%rdi, (%%rsi); mov %%rdx, 16(%%rsi); mov %%r10, 24(%%rsi); mov %%r8, 32(%%rsi)\n\t"
        "mov %%r9, 40(%%rsi); mov %%rbx, 48(%%rsi); mov %%rbp, 56(%%rsi); mov %%r11, 64(%%rsi); mov %%r12, 72(%%rsi)\n\t"
        "mov %%r13, 80(%%rsi); mov %%r14, 88(%%rsi); mov %%r15, 96(%%rsi); mov %%rcx, 104(%%rsi)\n\t"
        "pop %%rdi; mov %%rdi, 8(%%rsi)\n\t"
        "pop %%r15; pop %%r14; pop %%r13; pop %%r12; pop %%rbp; pop %%rbx"
        : "+a"(rax) : "S"(r) : "rdi", "rdx", "r10", "r8", "r9", "r11", "rcx", "memory");
    check_eq(rax, 0x40011);
    for (unsigned i = 0; i < 14; i++) check_case("register", r[i], i ? i + 1 : 0);
}

/* From ring 3: a call, then UD2 brings us back. */
static struct { u32 pad0; u64 rsp0; u8 rest[92]; } __attribute__((packed)) tss;
static u8 user_stack[4096], trap_stack[8192] __attribute__((aligned(16)));
static u64 back_rsp __attribute__((used));
extern u64 gdt[];
static volatile long user_result __attribute__((used));
static u64 user_nr __attribute__((used));
extern const char user_code[], user_back[];

static void on_ud(struct frame *f)
{
    f->rip = (u64)user_back;
    f->cs = 8;
    f->ss = 0x10;
    f->rsp = back_rsp;
}

static long from_ring3(u64 nr)
{
    user_nr = nr;
    trap_set(6, on_ud);
    __asm__ volatile(
        "push %%rbx; push %%rbp; push %%r12; push %%r13; push %%r14; push %%r15; mov %%rsp, back_rsp(%%rip)\n\t"
        "push $0x23; push %0; push $2; push $0x1b; push $user_code; iretq\n"
        "user_code: mov user_nr(%%rip), %%rax; xor %%edi, %%edi; xor %%esi, %%esi; vmmcall\n\t"
        "mov %%rax, user_result(%%rip); ud2\n"
        "user_back: pop %%r15; pop %%r14; pop %%r13; pop %%r12; pop %%rbp; pop %%rbx"
        :: "r"(user_stack + sizeof(user_stack)) : "rax", "rcx", "rdx", "rdi", "rsi", "r8", "r9", "r10", "r11", "memory");
    trap_set(6, NULL);
    return user_result;
}

static void user_mode_refused(void)
{
    u64 base = (u64)&tss;
    tss.rsp0 = (u64)(trap_stack + sizeof(trap_stack));
    gdt[6] = 0x0000890000000000UL | (sizeof(tss) - 1) | (base & 0xffffff) << 16 | (base >> 24 & 0xff) << 56;
    gdt[7] = base >> 32;
    __asm__ volatile("ltr %w0" :: "r"(0x30));
    check_eq(from_ring3(__HYPERVISOR_xen_version), -XEN_EPERM);
    check_eq(from_ring3(__HYPERVISOR_sched_op), -XEN_EPERM);
    check_eq(from_ring3(1000), -XEN_EPERM);
}

/* ---- xen_version ---- */
static void version_answers(void)
{
    static union { char s[1024]; struct xen_compile_info ci; struct xen_platform_parameters pp; } u;
    check_eq(hc_xen_version(XENVER_version, NULL), 4 << 16 | 17);
    check_eq(hc_xen_version(XENVER_extraversion, &u), 0);
    check_eq(u.s[0], '.');
    check_eq(hc_xen_version(XENVER_compile_info, &u), 0);
    check(u.ci.compiler[0]);
    check_eq(hc_xen_version(XENVER_capabilities, &u), 0);
    check_eq(memcmp(u.s, "hvm-3.0-x86_32 ", 15), 0);
    check_eq(hc_xen_version(XENVER_changeset, &u), 0);
    check_eq(hc_xen_version(XENVER_platform_parameters, &u), 0);
    check_eq(u.pp.virt_start, 0xffff800000000000UL);
    check_eq(hc_xen_version(XENVER_pagesize, NULL), 4096);
    check_eq(hc_xen_version(XENVER_guest_handle, &u), 0);
    check_eq(hc_xen_version(XENVER_commandline, &u), 0);
    check_eq(memcmp(u.s, "com1=", 5), 0);
    struct xen_feature_info f = { .submap_idx = 0 };
    check_eq(hc_xen_version(XENVER_get_features, &f), 0);
    check_eq(f.submap, 0x12b05);
    f.submap_idx = 1;
    check_eq(hc_xen_version(XENVER_get_features, &f), -XEN_EINVAL);
    check_eq(hc_xen_version(XENVER_build_id, NULL), 20);
    struct { u32 len; u8 buf[20]; } id = { 20, { 0 } };
    check_eq(hc_xen_version(XENVER_build_id, &id), 20);
    id.len = 19;
    check_eq(hc_xen_version(XENVER_build_id, &id), -XEN_ENOBUFS);
    check_eq(hc_xen_version(11, &u), -XEN_ENOSYS);
    check_eq(hc_xen_version(-1U, &u), -XEN_ENOSYS);
}

static void bad_pointers(void)
{
    static const u8 writers[] = { 1, 2, 3, 4, 5, 6, 8, 9, 10 };
    void *const bad[] = { BAD, HOLE, KERNEL_HALF, (void *)0x0000900000000000UL, (void *)~0UL };
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        for (unsigned w = 0; w < sizeof(writers); w++)
            if (hc_xen_version(writers[w], bad[i]) != -XEN_EFAULT) {
                blame();
                print("xen_version %u to %p: %ld\n", writers[w], bad[i], hc_xen_version(writers[w], bad[i]));
            }
        check_case("domctl", hc_domctl(bad[i]), -XEN_EFAULT);
        check_case("sysctl", hc_sysctl(bad[i]), -XEN_EFAULT);
        check_case("platform_op", hypercall1(__HYPERVISOR_platform_op, bad[i]), -XEN_EFAULT);
        check_case("populate", hc_memory_op(XENMEM_populate_physmap, bad[i]), -XEN_EFAULT);
        check_case("add_to_physmap", hc_memory_op(XENMEM_add_to_physmap, bad[i]), -XEN_EFAULT);
        check_case("memory_map", hc_memory_op(XENMEM_memory_map, bad[i]), -XEN_EFAULT);
        check_case("multicall", hypercall2(__HYPERVISOR_multicall, bad[i], 1), -XEN_EFAULT);
        check_case("evtchn send", hc_evtchn(EVTCHNOP_send, bad[i]), -XEN_EFAULT);
        check_case("evtchn alloc", hc_evtchn(EVTCHNOP_alloc_unbound, bad[i]), -XEN_EFAULT);
        check_case("poll", hc_sched_op(SCHEDOP_poll, bad[i]), -XEN_EFAULT);
        check_case("grant map", hc_grant(GNTTABOP_map_grant_ref, bad[i], 1), -XEN_EFAULT);
        check_case("grant copy", hc_grant(GNTTABOP_copy, bad[i], 1), -XEN_EFAULT);
        check_case("query_size", hc_grant(GNTTABOP_query_size, bad[i], 1), -XEN_EFAULT);
        check_case("hvm_op get_param", hc_hvm_op(HVMOP_get_param, bad[i]), -XEN_EFAULT);
        check_case("vcpu_op", hc_vcpu_op(VCPUOP_register_vcpu_info, 0, bad[i]), -XEN_EFAULT);
        check_case("physdev", hc_physdev(PHYSDEVOP_pci_device_add, bad[i]), -XEN_EFAULT);
        check_case("console write", hc_console_write(bad[i], 8), -XEN_EFAULT);
        check_case("console read", hypercall3(__HYPERVISOR_console_io, CONSOLEIO_read, 8, bad[i]), -XEN_EFAULT);
    }
    /* A structure that starts in RAM and ends outside. */
    u64 end = 0;
    const struct hvm_memmap_table_entry *m = (const void *)start_info->memmap_paddr;
    for (unsigned i = 0; i < start_info->memmap_entries; i++)
        if (m[i].type == 1 && m[i].addr == 0) end = m[i].size;
    need(end);
    check_eq(hc_xen_version(XENVER_commandline, (void *)(end - 16)), -XEN_EFAULT);     /* not into firmware pages */
}

static void page_crossing(void)
{
    char *s = (char *)page[1] - 5;
    check_eq(hc_xen_version(XENVER_extraversion, s), 0);
    check_eq(s[0], '.');
    struct xen_feature_info *f = (void *)(page[1] - 4);
    f->submap_idx = 0;
    check_eq(hc_xen_version(XENVER_get_features, f), 0);
    check_eq(f->submap, 0x12b05);
}

/* ---- multicall ---- */
static void multicall(void)
{
    struct xen_memory_domain self = { .domid = DOMID_SELF };
    struct multicall_entry e[4] = {
        { .op = __HYPERVISOR_xen_version, .result = 99 },
        { .op = __HYPERVISOR_memory_op, .args = { XENMEM_current_reservation, (u64)&self } },
        { .op = __HYPERVISOR_multicall },
        { .op = 1000 },
    };
    check_eq(hypercall2(__HYPERVISOR_multicall, e, 4), 0);
    check_eq(e[0].result, 0x40011);
    check_eq(e[1].result, hc_memory_op(XENMEM_current_reservation, &self));
    check_eq(e[2].result, -XEN_EINVAL);
    check_eq(e[3].result, -XEN_ENOSYS);
    check_eq(hypercall2(__HYPERVISOR_multicall, e, 0), 0);
}

/* ---- memory_op ---- */
static long mem_domain(unsigned op, unsigned domid)
{
    struct xen_memory_domain d = { .domid = (domid_t)domid };
    return hc_memory_op(op, &d);
}

static void memory_queries(void)
{
    static struct { u64 addr, size; u32 type; } __attribute__((packed)) e820[128];
    check(mem_domain(XENMEM_current_reservation, DOMID_SELF) > 1000);
    check_eq(mem_domain(XENMEM_current_reservation, 0), mem_domain(XENMEM_current_reservation, DOMID_SELF));
    check(mem_domain(XENMEM_maximum_reservation, DOMID_SELF) >= mem_domain(XENMEM_current_reservation, 0));
    check(mem_domain(XENMEM_maximum_gpfn, DOMID_SELF) > 0x400);
    check_eq(mem_domain(XENMEM_current_reservation, 77), -XEN_ESRCH);
    check_eq(mem_domain(XENMEM_maximum_gpfn, 77), -XEN_ESRCH);
    struct xen_memory_map m = { .nr_entries = 128 };
    set_xen_guest_handle(m.buffer, (void *)e820);
    check_eq(hc_memory_op(XENMEM_memory_map, &m), 0);
    check_eq(m.nr_entries, start_info->memmap_entries);
    m.nr_entries = 1;
    check_eq(hc_memory_op(XENMEM_memory_map, &m), 0);
    check_eq(m.nr_entries, 1);
    set_xen_guest_handle(m.buffer, BAD);
    check_eq(hc_memory_op(XENMEM_memory_map, &m), -XEN_EFAULT);
    static const u8 absent[] = { XENMEM_machphys_mfn_list, XENMEM_machine_memory_map, XENMEM_machphys_mapping,
                                 XENMEM_get_sharing_freed_pages, XENMEM_get_sharing_shared_pages, 29, 63 };
    for (unsigned i = 0; i < sizeof(absent); i++) check_case("absent", hc_memory_op(absent[i], page), -XEN_ENOSYS);
    check_eq(hc_memory_op(XENMEM_get_vnumainfo, page), -XEN_EOPNOTSUPP);
    struct xen_pod_target pod = { .domid = DOMID_SELF, .target_pages = 100 };
    check_eq(hc_memory_op(XENMEM_get_pod_target, &pod), 0);
    check_eq(pod.pod_entries, 0);
}

static long reservation(unsigned op, xen_pfn_t gfn, unsigned order, unsigned flags, unsigned domid)
{
    struct xen_memory_reservation r = { .nr_extents = 1, .extent_order = order, .mem_flags = flags, .domid = (domid_t)domid };
    set_xen_guest_handle(r.extent_start, &gfn);
    return hc_memory_op(op, &r);
}

static void memory_balloon(void)
{
    u64 gfn = 0x500000 >> 12;
    long start = mem_domain(XENMEM_current_reservation, DOMID_SELF);
    memset((void *)0x500000, 0x5a, 4096);
    check_eq(reservation(XENMEM_decrease_reservation, gfn, 0, 0, DOMID_SELF), 1);
    check_eq(mem_domain(XENMEM_current_reservation, DOMID_SELF), start - 1);
    check_eq(reservation(XENMEM_decrease_reservation, gfn, 0, 0, DOMID_SELF), 0);
    check_eq(*(volatile u32 *)0x500000, 0xffffffff);
    check_eq(reservation(XENMEM_populate_physmap, gfn, 0, 0, DOMID_SELF), 1);
    check_eq(*(volatile u32 *)0x500000, 0);             /* scrubbed */
    check_eq(reservation(XENMEM_populate_physmap, gfn, 0, 0, DOMID_SELF), 0);       /* already there */
    check_eq(mem_domain(XENMEM_current_reservation, DOMID_SELF), start);
    check_eq(reservation(XENMEM_decrease_reservation, gfn, 0, 0, 77), -XEN_ESRCH);
    check_eq(reservation(XENMEM_populate_physmap, gfn, 0, 0, 77), -XEN_ESRCH);
    check_eq(reservation(XENMEM_decrease_reservation, 1UL << 50, 0, 0, DOMID_SELF), 0);
    check_eq(reservation(XENMEM_populate_physmap, 1UL << 50, 0, 0, DOMID_SELF), 0);
    check_eq(reservation(XENMEM_populate_physmap, ~0UL, 0, 0, DOMID_SELF) <= 0, 1);
    check_eq(reservation(XENMEM_populate_physmap, gfn, 200, 0, DOMID_SELF), -XEN_EINVAL);
    check_eq(reservation(XENMEM_populate_physmap, gfn, 0, 1u << 30, DOMID_SELF), -XEN_EINVAL);
    check_eq(reservation(XENMEM_populate_physmap, gfn, 0, XENMEMF_populate_on_demand, DOMID_SELF), -XEN_EOPNOTSUPP);
    struct xen_memory_reservation r = { .nr_extents = 1, .domid = DOMID_SELF };
    set_xen_guest_handle(r.extent_start, BAD);
    check_eq(hc_memory_op(XENMEM_decrease_reservation, &r), -XEN_EFAULT);
    check_eq(hc_memory_op(XENMEM_populate_physmap, &r), -XEN_EFAULT);
    r.nr_extents = 1UL << 60;
    check_eq(hc_memory_op(XENMEM_populate_physmap, &r) < 0, 1);
    /* a superpage and back */
    check_eq(reservation(XENMEM_decrease_reservation, 0x600, 9, 0, DOMID_SELF), 1);
    check_eq(mem_domain(XENMEM_current_reservation, DOMID_SELF), start - 512);
    check_eq(reservation(XENMEM_populate_physmap, 0x600, 9, 0, DOMID_SELF), 1);
    check_eq(*(volatile u64 *)0x7ffff8, 0);
}

static long physmap(unsigned space, u64 idx, u64 gfn, unsigned domid)
{
    struct xen_add_to_physmap a = { .domid = (domid_t)domid, .space = space, .idx = idx, .gpfn = gfn };
    return hc_memory_op(XENMEM_add_to_physmap, &a);
}

static void memory_physmap(void)
{
    const struct shared_info *s = (void *)0x800000;
    check_eq(physmap(XENMAPSPACE_shared_info, 0, 0x800, DOMID_SELF), 0);
    check(s->wc_sec > 1700000000);
    check(!(s->wc_version & 1) && s->wc_version);
    check(s->vcpu_info[0].time.tsc_to_system_mul);
    check_eq(physmap(XENMAPSPACE_shared_info, 0, 0x801, DOMID_SELF), 0);           /* moves */
    check(((const struct shared_info *)0x801000)->wc_sec > 1700000000);
    check_eq(*(volatile u32 *)0x800c04, 0xffffffff);
    check_eq(physmap(XENMAPSPACE_shared_info, 1, 0x802, DOMID_SELF), -XEN_EINVAL);
    check_eq(physmap(XENMAPSPACE_grant_table, 0, 0x803, DOMID_SELF), 0);
    check_eq(*(volatile u64 *)0x803ff8, 0);
    check_eq(physmap(XENMAPSPACE_grant_table, 64, 0x804, DOMID_SELF), -XEN_EINVAL);
    check_eq(physmap(XENMAPSPACE_grant_table, XENMAPIDX_grant_table_status, 0x804, DOMID_SELF), -XEN_EINVAL);
    check_eq(physmap(XENMAPSPACE_gmfn_foreign, 0, 0x804, DOMID_SELF), -XEN_ENOSYS);
    check_eq(physmap(77, 0, 0x804, DOMID_SELF), -XEN_EINVAL);
    check_eq(physmap(XENMAPSPACE_shared_info, 0, 0x804, 77), -XEN_ESRCH);
    check_eq(physmap(XENMAPSPACE_gmfn, 0x805, 0x800, DOMID_SELF), 0);              /* RAM moves to the hole */
    check_eq(*(volatile u32 *)0x805000, 0xffffffff);
    check_eq(physmap(XENMAPSPACE_gmfn, 0x805, 0x806, DOMID_SELF), -XEN_EINVAL);    /* nothing there */
    struct xen_remove_from_physmap rm = { .domid = DOMID_SELF, .gpfn = 0x803 };
    check_eq(hc_memory_op(XENMEM_remove_from_physmap, &rm), 0);
    check_eq(hc_memory_op(XENMEM_remove_from_physmap, &rm) < 0, 1);
    rm.gpfn = 0xfee00;
    check_eq(hc_memory_op(XENMEM_remove_from_physmap, &rm) < 0, 1);
    rm.domid = 77;
    check_eq(hc_memory_op(XENMEM_remove_from_physmap, &rm), -XEN_ESRCH);
    xen_ulong_t idx = 0;
    xen_pfn_t gfn = 0x803;
    int err = 99;
    struct xen_add_to_physmap_batch b = { .domid = DOMID_SELF, .space = XENMAPSPACE_gmfn_foreign, .size = 1,
                                          .u.foreign_domid = 77 };
    set_xen_guest_handle(b.idxs, &idx);
    set_xen_guest_handle(b.gpfns, &gfn);
    set_xen_guest_handle(b.errs, &err);
    check_eq(hc_memory_op(XENMEM_add_to_physmap_batch, &b), -XEN_ESRCH);
    b.u.foreign_domid = DOMID_SELF;
    check_eq(hc_memory_op(XENMEM_add_to_physmap_batch, &b), -XEN_EINVAL);
}

/* Pages of the machine that dom0 must not get at by any address. */
static void memory_forbidden(void)
{
    check_eq(physmap(XENMAPSPACE_gmfn, 0xfee00, 0x807, DOMID_SELF) < 0, 1);
    /* RAM of its own over the local APIC's page hides that from the guest, and nothing else */
    if (reservation(XENMEM_populate_physmap, 0xfee00, 0, 0, DOMID_SELF) == 1)
        check_eq(reservation(XENMEM_decrease_reservation, 0xfee00, 0, 0, DOMID_SELF), 1);
    check_eq(mmio_read(LAPIC + 0x30) & 0xff, 0x14);
    check_eq(reservation(XENMEM_decrease_reservation, 0xfec00, 0, 0, DOMID_SELF) <= 0, 1);
}

static void memory_resource(void)
{
    xen_pfn_t gfn = 0x810;
    struct xen_mem_acquire_resource a = { .domid = DOMID_SELF, .type = XENMEM_resource_grant_table };
    check_eq(hc_memory_op(XENMEM_acquire_resource, &a), 0);
    check_eq(a.nr_frames, 64);
    a.nr_frames = 1;
    set_xen_guest_handle(a.frame_list, &gfn);
    check_eq(hc_memory_op(XENMEM_acquire_resource, &a), 0);
    a.frame = 64;
    check_eq(hc_memory_op(XENMEM_acquire_resource, &a), -XEN_EINVAL);
    a.frame = ~0UL;
    check_eq(hc_memory_op(XENMEM_acquire_resource, &a), -XEN_EINVAL);
    a.frame = 0;
    a.pad = 1;
    check_eq(hc_memory_op(XENMEM_acquire_resource, &a), -XEN_EINVAL);
    a.pad = 0;
    a.type = 9;
    check_eq(hc_memory_op(XENMEM_acquire_resource, &a), -XEN_EOPNOTSUPP);
    a.type = XENMEM_resource_grant_table;
    a.domid = 77;
    check_eq(hc_memory_op(XENMEM_acquire_resource, &a), -XEN_ESRCH);
}

/* ---- vcpu_op, timers, sched_op ---- */
static void vcpu_ops(void)
{
    struct vcpu_runstate_info rs;
    check_eq(hc_vcpu_op(VCPUOP_is_up, 0, NULL), 1);
    check_eq(hc_vcpu_op(VCPUOP_get_runstate_info, 0, &rs), 0);
    check_eq(rs.state, RUNSTATE_running);
    check(rs.time[RUNSTATE_running]);
    check_eq(hc_vcpu_op(VCPUOP_is_up, 1, NULL), -XEN_ENOENT);
    check_eq(hc_vcpu_op(VCPUOP_is_up, 0xffffffff, NULL), -XEN_ENOENT);
    check_eq(hc_vcpu_op(77, 0, NULL), -XEN_ENOSYS);
    static struct vcpu_runstate_info area __attribute__((aligned(64)));
    struct vcpu_register_runstate_memory_area ra = { .addr.p = (u64)&area };
    check_eq(hc_vcpu_op(VCPUOP_register_runstate_memory_area, 0, &ra), 0);
    check_eq(area.state, RUNSTATE_running);
    check_eq(hc_vcpu_op(VCPUOP_stop_periodic_timer, 0, NULL), 0);
    struct vcpu_set_periodic_timer p = { .period_ns = 1 };
    check_eq(hc_vcpu_op(VCPUOP_set_periodic_timer, 0, &p), -XEN_EINVAL);
    struct vcpu_register_vcpu_info vi = { .mfn = 1UL << 40, .offset = 0 };
    check_eq(hc_vcpu_op(VCPUOP_register_vcpu_info, 0, &vi) < 0, 1);
    vi.mfn = (u64)page[0] >> 12;
    vi.offset = 4096 - 32;
    check_eq(hc_vcpu_op(VCPUOP_register_vcpu_info, 0, &vi), -XEN_EINVAL);
    vi.offset = 128;
    check_eq(hc_vcpu_op(VCPUOP_register_vcpu_info, 0, &vi), 0);
    check(((struct vcpu_info *)(page[0] + 128))->time.tsc_to_system_mul);
    check_eq(hc_vcpu_op(VCPUOP_register_vcpu_info, 0, &vi), -XEN_EINVAL);
    check_eq(hypercall2(__HYPERVISOR_vm_assist, VMASST_CMD_enable, VMASST_TYPE_runstate_update_flag), 0);
    check_eq(hypercall2(__HYPERVISOR_vm_assist, VMASST_CMD_enable, 31), -XEN_EINVAL);
    check_eq(hypercall2(__HYPERVISOR_vm_assist, 9, VMASST_TYPE_runstate_update_flag), -XEN_ENOSYS);
}

static u64 system_ns(void)
{
    struct xen_hvm_get_time t;
    check_eq(hc_hvm_op(HVMOP_get_time, &t), 0);
    return t.now;
}

static void timers_and_poll(void)
{
    struct evtchn_bind_virq b = { .virq = VIRQ_TIMER, .vcpu = 0 };
    need_eq(hc_evtchn(EVTCHNOP_bind_virq, &b), 0);
    u64 t0 = system_ns();
    struct vcpu_set_singleshot_timer s = { .timeout_abs_ns = t0 + 20000000 };
    evtchn_port_t port = b.port;
    struct sched_poll p = { .nr_ports = 1, .timeout = t0 + 5000000000UL };
    set_xen_guest_handle(p.ports, &port);
    check_eq(hc_vcpu_op(VCPUOP_set_singleshot_timer, 0, &s), 0);
    check_eq(hc_sched_op(SCHEDOP_poll, &p), 0);
    u64 dt = system_ns() - t0;
    check(dt >= 20000000 && dt < 2000000000);
    p.nr_ports = 0;
    p.timeout = (t0 = system_ns()) + 30000000;
    check_eq(hc_sched_op(SCHEDOP_poll, &p), 0);
    check(system_ns() - t0 >= 30000000);
    s.timeout_abs_ns = 1;
    s.flags = VCPU_SSHOTTMR_future;
    check_eq(hc_vcpu_op(VCPUOP_set_singleshot_timer, 0, &s), -XEN_ETIME);
    check_eq(hc_vcpu_op(VCPUOP_stop_singleshot_timer, 0, NULL), 0);
    check_eq(hypercall1(__HYPERVISOR_set_timer_op, 0), 0);
    p.nr_ports = 129;
    check_eq(hc_sched_op(SCHEDOP_poll, &p), -XEN_EINVAL);
    p.nr_ports = 1;
    set_xen_guest_handle(p.ports, BAD);
    check_eq(hc_sched_op(SCHEDOP_poll, &p), -XEN_EFAULT);
    struct evtchn_close c = { .port = b.port };
    check_eq(hc_evtchn(EVTCHNOP_close, &c), 0);
}

static void sched_ops(void)
{
    check_eq(hc_sched_op(SCHEDOP_yield, NULL), 0);
    check_eq(hc_sched_op(77, NULL), -XEN_ENOSYS);
    check_eq(hc_sched_op(SCHEDOP_pin_override, page), -XEN_ENOSYS);
    struct sched_shutdown s = { .reason = 0x100 };      /* does not fit */
    check_eq(hc_sched_op(SCHEDOP_shutdown, &s), -XEN_EINVAL);
    struct sched_remote_shutdown r = { .domain_id = 77, .reason = SHUTDOWN_poweroff };
    check_eq(hc_sched_op(SCHEDOP_remote_shutdown, &r), -XEN_ESRCH);
    r.domain_id = 0;
    check_eq(hc_sched_op(SCHEDOP_remote_shutdown, &r), -XEN_EPERM);
    struct sched_watchdog w = { .id = 0, .timeout = 100 };
    long id = hc_sched_op(SCHEDOP_watchdog, &w);
    check(id > 0);
    w = (struct sched_watchdog){ .id = (u32)id, .timeout = 0 };
    check_eq(hc_sched_op(SCHEDOP_watchdog, &w), 0);
    w.id = 77;
    check_eq(hc_sched_op(SCHEDOP_watchdog, &w), -XEN_EINVAL);
}

/* ---- event channels ---- */
static void event_channels(void)
{
    struct evtchn_alloc_unbound a = { .dom = DOMID_SELF, .remote_dom = DOMID_SELF };
    need_eq(hc_evtchn(EVTCHNOP_alloc_unbound, &a), 0);
    struct evtchn_status st = { .dom = DOMID_SELF, .port = a.port };
    check_eq(hc_evtchn(EVTCHNOP_status, &st), 0);
    check_eq(st.status, EVTCHNSTAT_unbound);
    struct evtchn_send send = { .port = a.port };
    check_eq(hc_evtchn(EVTCHNOP_send, &send), 0);
    struct evtchn_bind_interdomain b = { .remote_dom = DOMID_SELF, .remote_port = a.port };
    check_eq(hc_evtchn(EVTCHNOP_bind_interdomain, &b), 0);
    check_eq(hc_evtchn(EVTCHNOP_bind_interdomain, &b), -XEN_EINVAL);
    st.port = b.local_port;
    check_eq(hc_evtchn(EVTCHNOP_status, &st), 0);
    check_eq(st.status, EVTCHNSTAT_interdomain);
    check_eq(st.u.interdomain.port, a.port);
    check_eq(hc_evtchn(EVTCHNOP_send, &send), 0);
    struct evtchn_bind_vcpu bv = { .port = b.local_port, .vcpu = 0 };
    check_eq(hc_evtchn(EVTCHNOP_bind_vcpu, &bv), 0);
    bv.vcpu = 1;
    check_eq(hc_evtchn(EVTCHNOP_bind_vcpu, &bv), -XEN_ENOENT);
    struct evtchn_unmask um = { .port = b.local_port };
    check_eq(hc_evtchn(EVTCHNOP_unmask, &um), 0);
    struct evtchn_close c = { .port = b.local_port };
    check_eq(hc_evtchn(EVTCHNOP_close, &c), 0);
    check_eq(hc_evtchn(EVTCHNOP_close, &c), -XEN_EINVAL);
    c.port = a.port;
    check_eq(hc_evtchn(EVTCHNOP_close, &c), 0);
    check_eq(hc_evtchn(EVTCHNOP_send, &send), -XEN_EINVAL);
    struct evtchn_bind_ipi ipi = { .vcpu = 0 };
    check_eq(hc_evtchn(EVTCHNOP_bind_ipi, &ipi), 0);
    c.port = ipi.port;
    check_eq(hc_evtchn(EVTCHNOP_close, &c), 0);
    ipi.vcpu = 1;
    check_eq(hc_evtchn(EVTCHNOP_bind_ipi, &ipi), -XEN_ENOENT);
    struct evtchn_bind_virq v = { .virq = VIRQ_DOM_EXC, .vcpu = 0 };
    check_eq(hc_evtchn(EVTCHNOP_bind_virq, &v), 0);
    c.port = v.port;
    check_eq(hc_evtchn(EVTCHNOP_bind_virq, &v), -XEN_EEXIST);
    check_eq(hc_evtchn(EVTCHNOP_close, &c), 0);
    v = (struct evtchn_bind_virq){ .virq = 99 };
    check_eq(hc_evtchn(EVTCHNOP_bind_virq, &v), -XEN_EINVAL);
    u32 bad[] = { 0, 4095, 4096, 0x20000, 0xffffffff };
    for (unsigned i = 0; i < 5; i++) {
        send.port = c.port = bad[i];
        st.port = bad[i];
        check_case("send", hc_evtchn(EVTCHNOP_send, &send), -XEN_EINVAL);
        check_case("close", hc_evtchn(EVTCHNOP_close, &c), -XEN_EINVAL);
        if (i) check_case("status", hc_evtchn(EVTCHNOP_status, &st), -XEN_EINVAL);
    }
    check_eq(hc_evtchn(77, page), -XEN_ENOSYS);
    a.dom = 77;
    check_eq(hc_evtchn(EVTCHNOP_alloc_unbound, &a), -XEN_ESRCH);
    b.remote_dom = 77;
    check_eq(hc_evtchn(EVTCHNOP_bind_interdomain, &b), -XEN_ESRCH);
}

/* XSA-221: ports that were never used. */
static void xsa_221_poll(void)
{
    evtchn_port_t port;
    struct sched_poll p = { .nr_ports = 1, .timeout = 1 };
    set_xen_guest_handle(p.ports, &port);
    for (port = 32; port < 4200; port++) {
        long rc = hc_sched_op(SCHEDOP_poll, &p);
        if (rc && rc != -XEN_EINVAL) need_eq(rc, -XEN_EINVAL);
    }
}

static long poll_ports(const evtchn_port_t *ports, unsigned n)
{
    struct sched_poll p = { .nr_ports = n, .timeout = 1 };
    set_xen_guest_handle(p.ports, (evtchn_port_t *)ports);
    return hc_sched_op(SCHEDOP_poll, &p);
}

static evtchn_port_t port_new(void)
{
    struct evtchn_bind_ipi b = { .vcpu = 0 };
    return hc_evtchn(EVTCHNOP_bind_ipi, &b) ? 0 : b.port;
}

static long port_close(evtchn_port_t port)
{
    struct evtchn_close c = { .port = port };
    return hc_evtchn(EVTCHNOP_close, &c);
}

/* Lists of good ports up to the limit, one bad port anywhere, lists that are not in RAM. */
static void poll_lists(evtchn_port_t good)
{
    static const evtchn_port_t bad[] = { 0, 31, 127, 1000, 1024, 2048, 4095, 4096, 0x1ffff, 0x20000, 0x7fffffff, 0xffffffff };
    static evtchn_port_t list[129];
    for (unsigned i = 0; i < 129; i++) list[i] = good;
    check_eq(poll_ports(list, 1), 0);
    check_eq(poll_ports(list, 128), 0);
    check_eq(poll_ports(list, 129), -XEN_EINVAL);
    check_eq(poll_ports(list, 0xffffffff), -XEN_EINVAL);
    check_eq(poll_ports(BAD, 129), -XEN_EINVAL);
    check_eq(poll_ports(BAD, 1), -XEN_EFAULT);
    check_eq(poll_ports(HOLE, 128), -XEN_EFAULT);
    check_eq(poll_ports(KERNEL_HALF, 1), -XEN_EFAULT);
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        check_case("bad port", poll_ports(&bad[i], 1), -XEN_EINVAL);
        list[127] = bad[i];
        check_case("last of the list", poll_ports(list, 128), -XEN_EINVAL);
    }
}

static void xsa_221_poll_lists(void)
{
    evtchn_port_t port = port_new();
    need(port);
    poll_lists(port);
    check_eq(port_close(port), 0);
    check_eq(poll_ports(&port, 1), -XEN_EINVAL);
    for (unsigned i = 0; i < 128; i++) page[0][i] = 0xff;
    check_eq(poll_ports((void *)page[0], 32), -XEN_EINVAL);
}

/* The same with the FIFO layout, before and after each of two event array pages; ports beyond them have no word at all. */
static void xsa_221_poll_fifo(void)
{
    struct evtchn_init_control c = { .control_gfn = 0x820 };
    need_eq(hc_evtchn(EVTCHNOP_init_control, &c), 0);
    evtchn_port_t first = port_new(), closed = port_new(), last = closed;
    need(first && closed && !port_close(closed));
    for (unsigned pages = 0; pages <= 2; pages++) {
        struct evtchn_expand_array a = { .array_gfn = 0x820 + pages };
        if (pages) need_eq(hc_evtchn(EVTCHNOP_expand_array, &a), 0);
        poll_lists(first);
        check_eq(poll_ports(&closed, 1), -XEN_EINVAL);
        if (pages != 1) continue;
        while (last <= 1024 && (last = port_new())) ;           /* the first ones of the second page, which comes next */
        need(last > 1024);
        check_eq(poll_ports(&last, 1), 0);
        for (evtchn_port_t p = 1; p < last; p++)                /* poll_lists() takes these for bad */
            if (p != first) port_close(p);
    }
    struct evtchn_send s = { .port = last };
    struct sched_poll p = { .nr_ports = 1 };                    /* without an end: the event ends it */
    set_xen_guest_handle(p.ports, &last);
    check_eq(hc_evtchn(EVTCHNOP_send, &s), 0);
    check_eq(hc_sched_op(SCHEDOP_poll, &p), 0);
    check(((volatile u32 *)0x822000)[last - 1024] & 1u << EVTCHN_FIFO_PENDING);
    struct evtchn_reset r = { .dom = DOMID_SELF };
    check_eq(hc_evtchn(EVTCHNOP_reset, &r), 0);
    check_eq(poll_ports(&first, 1), -XEN_EINVAL);
    check_eq(poll_ports(&last, 1), -XEN_EINVAL);
}

/* ---- grants ---- */
static void grant_ops(void)
{
    struct gnttab_query_size q = { .dom = DOMID_SELF };
    check_eq(hc_grant(GNTTABOP_query_size, &q, 1), 0);
    check_eq(q.status, GNTST_okay);
    check_eq(q.max_nr_frames, 64);
    q.dom = 77;
    check_eq(hc_grant(GNTTABOP_query_size, &q, 1), 0);
    check_eq(q.status, GNTST_bad_domain);
    struct gnttab_set_version v = { .version = 1 };
    check_eq(hc_grant(GNTTABOP_set_version, &v, 1), 0);
    v.version = 2;
    check_eq(hc_grant(GNTTABOP_set_version, &v, 1), -XEN_ENOSYS);
    v.version = 3;
    check_eq(hc_grant(GNTTABOP_set_version, &v, 1), -XEN_EINVAL);
    struct gnttab_get_version gv = { .dom = DOMID_SELF };
    check_eq(hc_grant(GNTTABOP_get_version, &gv, 1), 0);
    check_eq(gv.version, 1);
    struct gnttab_map_grant_ref m = { .host_addr = 0x10000000, .flags = GNTMAP_host_map, .ref = 20, .dom = 77 };
    check_eq(hc_grant(GNTTABOP_map_grant_ref, &m, 1), 0);
    check_eq(m.status, GNTST_bad_domain);
    m.dom = DOMID_SELF;
    check_eq(hc_grant(GNTTABOP_map_grant_ref, &m, 1), 0);
    check(m.status < 0);
    struct gnttab_unmap_grant_ref u = { .host_addr = 0x10000000, .handle = 5 };
    check_eq(hc_grant(GNTTABOP_unmap_grant_ref, &u, 1), 0);
    check(u.status < 0);
    u.handle = 0xffffffff;
    check_eq(hc_grant(GNTTABOP_unmap_grant_ref, &u, 1), 0);
    check_eq(u.status, GNTST_bad_handle);
    struct gnttab_copy c = { .source.u.gmfn = 0x500, .source.domid = DOMID_SELF, .dest.u.gmfn = 0x501,
                             .dest.domid = DOMID_SELF, .len = 4096 };
    memset((void *)0x500000, 0x77, 4096);
    check_eq(hc_grant(GNTTABOP_copy, &c, 1), 0);
    check_eq(c.status, GNTST_okay);
    check_eq(*(u8 *)0x501fff, 0x77);
    c.source.offset = 1;                                /* leaves the page */
    check_eq(hc_grant(GNTTABOP_copy, &c, 1), 0);
    check_eq(c.status, GNTST_bad_copy_arg);
    check_eq(hc_grant(GNTTABOP_copy, &c, 0), 0);
    check_eq(hc_grant(GNTTABOP_copy, &c, 0x80000000u), -XEN_EINVAL);
    static const u8 absent[] = { GNTTABOP_dump_table, GNTTABOP_unmap_and_replace, GNTTABOP_get_status_frames,
                                 GNTTABOP_cache_flush, 77 };
    for (unsigned i = 0; i < sizeof(absent); i++) check_case("absent", hc_grant(absent[i], page, 1), -XEN_ENOSYS);
}

/* XSA-217: no page changes its owner. From a guest and to another domain: guests.c. */
static void xsa_217_no_stealing(void)
{
    static const domid_t to[] = { DOMID_SELF, 0, 77, DOMID_XEN };
    for (unsigned i = 0; i < sizeof(to) / sizeof(to[0]); i++) check_eq(steal(0x502, to[i]), 0);
}

/* XSA-224, mapper of HVM type: only plain host mappings. */
static void xsa_224_map_flags(void)
{
    need_eq(physmap(XENMAPSPACE_grant_table, 0, 0x803, DOMID_SELF), 0);
    volatile struct grant_entry_v1 *e = (void *)0x803000;
    e[8].frame = 0x504;
    e[8].domid = 0;
    e[8].flags = GTF_permit_access;
    static const u8 bad[] = { 0, 1, 3, 5, 7, 10, 18, 34, 64, 255 };
    for (unsigned i = 0; i < sizeof(bad); i++) {
        struct gnttab_map_grant_ref m = { .host_addr = 0x10000000, .flags = bad[i], .ref = 8, .dom = 0 };
        check_eq(hc_grant(GNTTABOP_map_grant_ref, &m, 1), 0);
        if (m.status >= 0) { blame(); print("flags %x: status %d\n", bad[i], m.status); }
        check_eq(e[8].flags, GTF_permit_access);
        check_eq(*(volatile u32 *)0x10000000, 0xffffffff);
    }
    struct gnttab_map_grant_ref m = { .host_addr = 0x10000000, .flags = GNTMAP_host_map, .ref = 8, .dom = 0 };
    *(volatile u32 *)0x504000 = 0x1234;
    check_eq(hc_grant(GNTTABOP_map_grant_ref, &m, 1), 0);
    need_eq(m.status, 0);
    check_eq(*(volatile u32 *)0x10000000, 0x1234);
    check_eq(e[8].flags, GTF_permit_access | GTF_reading | GTF_writing);
    struct gnttab_unmap_grant_ref u = { .host_addr = 0, .handle = m.handle };      /* zero/zero: nothing */
    check_eq(hc_grant(GNTTABOP_unmap_grant_ref, &u, 1), 0);
    check_eq(*(volatile u32 *)0x10000000, 0x1234);
    u.host_addr = 0x10001000;
    check_eq(hc_grant(GNTTABOP_unmap_grant_ref, &u, 1), 0);
    check(u.status < 0);
    check_eq(*(volatile u32 *)0x10000000, 0x1234);
    u.host_addr = 0x10000000;
    check_eq(hc_grant(GNTTABOP_unmap_grant_ref, &u, 1), 0);
    check_eq(u.status, 0);
    check_eq(e[8].flags, GTF_permit_access);
    check_eq(*(volatile u32 *)0x10000000, 0xffffffff);
    check_eq(hc_grant(GNTTABOP_unmap_grant_ref, &u, 1), 0);
    check_eq(u.status, GNTST_bad_handle);
    e[8].frame = 0xfee00;                               /* device memory cannot be granted */
    check_eq(hc_grant(GNTTABOP_map_grant_ref, &m, 1), 0);
    check(m.status < 0);
    e[8].flags = 0;
}

/* ---- hvm_op, physdev_op, console_io, platform_op ---- */
static long param(unsigned op, unsigned domid, unsigned index, u64 value, u64 *out)
{
    struct xen_hvm_param p = { .domid = (domid_t)domid, .index = index, .value = value };
    long rc = hc_hvm_op(op, &p);
    if (out) *out = p.value;
    return rc;
}

static void hvm_ops(void)
{
    u64 v = 99;
    check_eq(param(HVMOP_get_param, DOMID_SELF, HVM_PARAM_STORE_PFN, 99, &v), 0);
    check_eq(v, 0);
    check_eq(param(HVMOP_get_param, DOMID_SELF, HVM_PARAM_CONSOLE_EVTCHN, 99, &v), 0);
    check_eq(v, 0);
    check_eq(param(HVMOP_set_param, DOMID_SELF, HVM_PARAM_STORE_PFN, 1, NULL), -XEN_EPERM);
    check_eq(param(HVMOP_set_param, DOMID_SELF, HVM_NR_PARAMS, 1, NULL), -XEN_EINVAL);
    check_eq(param(HVMOP_get_param, DOMID_SELF, 0xffffffff, 1, NULL), -XEN_EINVAL);
    check_eq(param(HVMOP_get_param, 77, HVM_PARAM_STORE_PFN, 1, NULL), -XEN_ESRCH);
    struct xen_hvm_evtchn_upcall_vector u = { .vcpu = 0, .vector = 15 };
    check_eq(hc_hvm_op(HVMOP_set_evtchn_upcall_vector, &u), -XEN_EINVAL);
    u = (struct xen_hvm_evtchn_upcall_vector){ .vcpu = 1, .vector = 0xf3 };
    check_eq(hc_hvm_op(HVMOP_set_evtchn_upcall_vector, &u), -XEN_ENOENT);
    check_eq(hc_hvm_op(HVMOP_pagetable_dying, page), -XEN_ENOSYS);
    check_eq(hc_hvm_op(77, page), -XEN_ENOSYS);
    struct xen_hvm_get_mem_type t = { .domid = DOMID_SELF, .pfn = 0x500 };
    check_eq(hc_hvm_op(HVMOP_get_mem_type, &t), 0);
    check_eq(t.mem_type, HVMMEM_ram_rw);
    t.pfn = 0xfee00;
    check_eq(hc_hvm_op(HVMOP_get_mem_type, &t), 0);
    check_eq(t.mem_type, HVMMEM_mmio_dm);
}

static void physdev_ops(void)
{
    struct physdev_pci_device_add a = { .bus = 0, .devfn = 0 };     /* every chipset has its host bridge there */
    check_eq(hc_physdev(PHYSDEVOP_pci_device_add, &a), 0);
    struct physdev_pci_mmcfg_reserved m = { .address = 0x123000, .segment = 0 };
    check_eq(hc_physdev(PHYSDEVOP_pci_mmcfg_reserved, &m) < 0, 1);
    static const u8 absent[] = { PHYSDEVOP_eoi, PHYSDEVOP_map_pirq, PHYSDEVOP_unmap_pirq, PHYSDEVOP_setup_gsi,
                                 PHYSDEVOP_set_iopl, PHYSDEVOP_apic_write, 99 };
    for (unsigned i = 0; i < sizeof(absent); i++) check_case("absent", hc_physdev(absent[i], page), -XEN_ENOSYS);
}

static void console(void)
{
    check_eq(hypercall3(__HYPERVISOR_console_io, CONSOLEIO_read, 4096, page), 0);
    check_eq(hypercall3(__HYPERVISOR_console_io, CONSOLEIO_write, 0, BAD), 0);
    check_eq(hypercall3(__HYPERVISOR_console_io, 7, 1, page), -XEN_ENOSYS);
    check_eq(hypercall3(__HYPERVISOR_console_io, CONSOLEIO_write, 0x80000000u, page), -XEN_EINVAL);
}

static long platform(unsigned cmd, struct xen_platform_op *op)
{
    op->cmd = cmd;
    op->interface_version = XENPF_INTERFACE_VERSION;
    return hypercall1(__HYPERVISOR_platform_op, op);
}

static void platform_ops(void)
{
    static struct xen_platform_op op;
    check_eq(platform(XENPF_get_cpuinfo, &op), 0);
    check_eq(op.u.pcpu_info.flags, XEN_PCPU_FLAGS_ONLINE);
    op.u.pcpu_info.xen_cpuid = 200;
    check_eq(platform(XENPF_get_cpuinfo, &op), 0);
    check_eq(op.u.pcpu_info.flags, XEN_PCPU_FLAGS_INVALID);
    op.u.settime64.secs = 1800000000;
    op.u.settime64.nsecs = 5;
    op.u.settime64.mbz = 0;
    op.u.settime64.system_time = system_ns();
    check_eq(platform(XENPF_settime64, &op), 0);
    op.u.settime64.nsecs = 2000000000;
    check_eq(platform(XENPF_settime64, &op), -XEN_EINVAL);
    check_eq(platform(999, &op), -XEN_ENOSYS);
    check_eq(platform(XENPF_get_symbol, &op), -XEN_ENOSYS);
    op.interface_version = 0x03000002;
    check_eq(hypercall1(__HYPERVISOR_platform_op, &op), -XEN_EACCES);
}

/* ---- sysctl, domctl ---- */
static struct xen_sysctl sc;
static struct xen_domctl dc;
static long sysctl(unsigned cmd)
{
    sc.cmd = cmd;
    sc.interface_version = XEN_SYSCTL_INTERFACE_VERSION;
    return hc_sysctl(&sc);
}
static long domctl(unsigned cmd, unsigned domid)
{
    dc.cmd = cmd;
    dc.interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    dc.domain = (domid_t)domid;
    return hc_domctl(&dc);
}

static void sysctls(void)
{
    static xen_domctl_getdomaininfo_t info[4];
    static char log[512];
    check_eq(sysctl(XEN_SYSCTL_physinfo), 0);
    check_eq(sc.u.physinfo.nr_cpus, 1);
    check(sc.u.physinfo.capabilities & XEN_SYSCTL_PHYSCAP_hap);
    check(sc.u.physinfo.free_pages && sc.u.physinfo.free_pages < sc.u.physinfo.total_pages);
    check_eq(sysctl(XEN_SYSCTL_sched_id), 0);
    check_eq(sc.u.sched_id.sched_id, 6);
    memset(&sc, 0, sizeof(sc));
    sc.u.getdomaininfolist.max_domains = 4;
    set_xen_guest_handle(sc.u.getdomaininfolist.buffer, info);
    check_eq(sysctl(XEN_SYSCTL_getdomaininfolist), 0);
    check_eq(sc.u.getdomaininfolist.num_domains, 1);
    check_eq(info[0].flags & 0xff, XEN_DOMINF_hvm_guest | XEN_DOMINF_running);
    check_eq(info[0].flags >> XEN_DOMINF_shutdownshift, 0xff);
    set_xen_guest_handle(sc.u.getdomaininfolist.buffer, BAD);
    check_eq(sysctl(XEN_SYSCTL_getdomaininfolist), -XEN_EFAULT);
    memset(&sc, 0, sizeof(sc));
    sc.u.readconsole.count = sizeof(log);
    set_xen_guest_handle(sc.u.readconsole.buffer, log);
    check_eq(sysctl(XEN_SYSCTL_readconsole), 0);
    check_eq(sc.u.readconsole.count, sizeof(log));
    memset(&sc, 0, sizeof(sc));
    sc.u.cpupool_op.op = XEN_SYSCTL_CPUPOOL_OP_INFO;
    sc.u.cpupool_op.cpupool_id = 1;
    check_eq(sysctl(XEN_SYSCTL_cpupool_op), -XEN_ENOENT);
    memset(&sc, 0, sizeof(sc));
    check_eq(sysctl(XEN_SYSCTL_cputopoinfo), 0);
    check_eq(sc.u.cputopoinfo.num_cpus, 1);
    memset(&sc, 0, sizeof(sc));
    check_eq(sysctl(XEN_SYSCTL_numainfo), 0);
    check_eq(sc.u.numainfo.num_nodes, 1);
    memset(&sc, 0, sizeof(sc));
    check_eq(sysctl(XEN_SYSCTL_get_cpu_featureset), 0);
    check_eq(sc.u.cpu_featureset.nr_features, 19);
    memset(&sc, 0, sizeof(sc));
    sc.u.cpu_policy.index = XEN_SYSCTL_cpu_policy_hvm_default;
    check_eq(sysctl(XEN_SYSCTL_get_cpu_policy), 0);
    check(sc.u.cpu_policy.nr_leaves && sc.u.cpu_policy.nr_leaves <= 120);
    check_eq(sysctl(XEN_SYSCTL_tbuf_op), -XEN_ENOSYS);
    check_eq(sysctl(XEN_SYSCTL_livepatch_op), -XEN_EOPNOTSUPP);
    check_eq(sysctl(999), -XEN_ENOSYS);
    sc.interface_version = 1;
    check_eq(hc_sysctl(&sc), -XEN_EACCES);
}

static void debug_keys_survive(void)
{
    char keys[] = "hrqgetmizaMQvVc";
    for (unsigned i = 0; keys[i]; i++) {
        memset(&sc, 0, sizeof(sc));
        set_xen_guest_handle(sc.u.debug_keys.keys, &keys[i]);
        sc.u.debug_keys.nr_keys = 1;
        check_eq(sysctl(XEN_SYSCTL_debug_keys), 0);
    }
}

static void domctls(void)
{
    check_eq(domctl(XEN_DOMCTL_getdomaininfo, 0), 0);
    check_eq(dc.u.getdomaininfo.domain, 0);
    check_eq(dc.u.getdomaininfo.nr_online_vcpus, 1);
    check_eq(domctl(XEN_DOMCTL_getdomaininfo, 1), -XEN_ESRCH);
    static const u16 selfless[] = { XEN_DOMCTL_destroydomain, XEN_DOMCTL_pausedomain, XEN_DOMCTL_resumedomain,
                                    XEN_DOMCTL_sethvmcontext, XEN_DOMCTL_gethvmcontext, XEN_DOMCTL_setvcpucontext,
                                    XEN_DOMCTL_max_vcpus };
    for (unsigned i = 0; i < sizeof(selfless) / 2; i++) {
        memset(&dc, 0, sizeof(dc));
        check_case("on dom0", domctl(selfless[i], 0), -XEN_EINVAL);
        check_case("on nobody", domctl(selfless[i], 77), -XEN_ESRCH);
    }
    memset(&dc, 0, sizeof(dc));
    check_eq(domctl(XEN_DOMCTL_getvcpuinfo, 0), 0);
    check(dc.u.getvcpuinfo.online && dc.u.getvcpuinfo.running && dc.u.getvcpuinfo.cpu_time);
    dc.u.getvcpuinfo.vcpu = 1;
    check_eq(domctl(XEN_DOMCTL_getvcpuinfo, 0) < 0, 1);
    check_eq(domctl(XEN_DOMCTL_assign_device, 0), -XEN_ENOSYS);
    check_eq(domctl(XEN_DOMCTL_monitor_op, 0), -XEN_EOPNOTSUPP);
    check_eq(domctl(999, 0), -XEN_ENOSYS);
    check_eq(domctl(0, 0), -XEN_ENOSYS);
    check_eq(domctl(XEN_DOMCTL_gdbsx_guestmemio, 0) < 0, 1);
    dc.cmd = XEN_DOMCTL_getdomaininfo;
    dc.interface_version = 0x14;
    check_eq(hc_domctl(&dc), -XEN_EACCES);
}

static void createdomain_checks(void)
{
    struct bad { const char *what; u32 flags, emu, vcpus; int grants; u32 grant_opts, misc; } const bad[] = {
        { "PV", 0, 0, 1, -1, 1, 0 }, { "unknown flag", 3 | 1u << 31, 1, 1, -1, 1, 0 },
        { "no HAP", 1, 1, 1, -1, 1, 0 }, { "iommu", 3 | 0x20, 1, 1, -1, 1, 0 }, { "no vCPU", 3, 1, 0, -1, 1, 0 },
        { "too many vCPUs", 3, 1, 4096, -1, 1, 0 }, { "odd devices", 3, 5, 1, -1, 1, 0 },
        { "no grant frames", 3, 1, 1, 0, 1, 0 }, { "grant v2", 3, 1, 1, -1, 2, 0 }, { "misc", 3, 1, 1, -1, 1, 2 },
        { "huge grant table", 3, 1, 1, 0x7fffffff, 1, 0 },
    };
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        memset(&dc, 0, sizeof(dc));
        dc.u.createdomain.flags = bad[i].flags;
        dc.u.createdomain.arch.emulation_flags = bad[i].emu;
        dc.u.createdomain.max_vcpus = bad[i].vcpus;
        dc.u.createdomain.max_grant_frames = bad[i].grants;
        dc.u.createdomain.max_maptrack_frames = -1;
        dc.u.createdomain.max_evtchn_port = 1023;
        dc.u.createdomain.grant_opts = bad[i].grant_opts;
        dc.u.createdomain.arch.misc_flags = bad[i].misc;
        if (domctl(XEN_DOMCTL_createdomain, 0xffff) >= 0) {
            blame();
            print("%s was accepted\n", bad[i].what);
        }
    }
    check_eq(domctl(XEN_DOMCTL_getdomaininfo, 1), -XEN_ESRCH);
}

void test_main(void)
{
    static const struct test tests[] = {
        TEST(unknown_numbers),
        TEST(registers_kept),
        TEST(user_mode_refused),
        TEST(version_answers),
        TEST(bad_pointers),
        TEST(page_crossing),
        TEST(multicall),
        TEST(memory_queries),
        TEST(memory_balloon),
        TEST(memory_physmap),
        TEST(memory_forbidden),
        TEST(memory_resource),
        TEST(vcpu_ops),
        TEST(timers_and_poll),
        TEST(sched_ops),
        TEST(event_channels),
        TEST(xsa_221_poll),
        TEST(xsa_221_poll_lists),
        TEST(xsa_221_poll_fifo),
        TEST(grant_ops),
        TEST(xsa_217_no_stealing),
        TEST(xsa_224_map_flags),
        TEST(hvm_ops),
        TEST(physdev_ops),
        TEST(console),
        TEST(platform_ops),
        TEST(sysctls),
        TEST(debug_keys_survive),
        TEST(domctls),
        TEST(createdomain_checks),
    };
    RUN_TESTS(tests);
}
