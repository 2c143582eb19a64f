/* SPDX-License-Identifier: MIT */
/* Every hypercall of the stock clients (doc: compatibility contract D.14, sets 1 to 3): the answer to a good call, an
 * unknown sub-operation, a wrong version, a bad pointer, a bad value. Here: dispatch, and the families with few calls:
 * xen_version, multicall, hvm_op, physdev_op, console_io, platform_op. The others have files of their own, calls_*.c. */
#include "calls.h"

const char test_name[] = "calls";

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
        TEST(hvm_ops),
        TEST(physdev_ops),
        TEST(console),
        TEST(platform_ops),
    };
    RUN_TESTS(tests);
}
