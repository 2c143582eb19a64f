/* SPDX-License-Identifier: MIT */
/* sched_op and vcpu_op as a guest calls them: ends of domains, watchdogs, poll, start of vCPUs, registered areas. */
#include "call_env.h"
#include "call/domctl.h"
#include "hvm/hvm_vcpu.h"

#define MS 1000000ULL
#define S 1000000000ULL
#define ARG 0x100UL                     /* where a guest's arguments lie */

static struct domain *guest;

/* Three vCPUs, the first up; paging off: linear = physical. Two pages of RAM. */
static int setup(void **state)
{
    env_test_setup(state);
    guest = dom_by_id(create_pvh(3));
    guest->max_pages = 16;
    assert_int_equal(p2m_pool_set(guest, MiB(1)), 0);
    for (u64 g = 0; g < 2; g++) assert_int_equal(p2m_map_ram(guest, GFN(g), dom_ram_alloc(guest, 0), 0), 0);
    vcpu_set_up(guest->vcpu[0]);
    domain_unpause(guest);
    env_domain_caller(guest);
    return 0;
}
#undef T
#define T(f) cmocka_unit_test_setup_teardown(f, setup, env_test_teardown)

static long sched(unsigned cmd, const void *arg, size_t len)
{
    memcpy(fake_guest_ptr(guest, ARG), arg, len);
    return hypercall(__HYPERVISOR_sched_op, cmd, ARG, 0);
}

static long vcpu(unsigned cmd, unsigned id, const void *arg, size_t len)
{
    if (arg) memcpy(fake_guest_ptr(guest, ARG), arg, len);
    return hypercall(__HYPERVISOR_vcpu_op, cmd, id, arg ? ARG : 0);
}

static void time_passes(u64 ns)
{
    fake_time_advance(ns);
    timer_run();
}

/* ---- ends ---- */
static long shutdown_op(unsigned cmd, unsigned reason)
{
    struct sched_shutdown s = { .reason = reason };
    return sched(cmd, &s, sizeof(s));
}

static unsigned code(void)
{
    struct xen_domctl_getdomaininfo i;
    domain_get_info(guest, &i);
    assert_int_equal(!!(i.flags & XEN_DOMINF_shutdown), (i.flags >> XEN_DOMINF_shutdownshift & 0xff) != 0xff);
    return i.flags >> XEN_DOMINF_shutdownshift & 0xff;
}

static void test_latched_code(void **state)
{
    assert_int_equal(shutdown_op(SCHEDOP_shutdown_code, SHUTDOWN_crash), 0);
    assert_int_equal(shutdown_op(SCHEDOP_shutdown_code, SHUTDOWN_reboot), 0);       /* the first one stays */
    assert_int_equal(shutdown_op(SCHEDOP_shutdown_code, 0xff), -EINVAL);
    assert_int_equal(code(), 0xff);                 /* it goes on */
    assert_int_equal(shutdown_op(SCHEDOP_shutdown, SHUTDOWN_poweroff), 0);
    assert_int_equal(code(), SHUTDOWN_crash);
    domain_resume(guest);
    assert_int_equal(code(), 0xff);
    assert_int_equal(shutdown_op(SCHEDOP_shutdown, SHUTDOWN_suspend), 0);
    assert_int_equal(code(), SHUTDOWN_suspend);
}

static void test_shutdown_pauses_once(void **state)
{
    assert_int_equal(guest->pause_count, 0);
    assert_int_equal(shutdown_op(SCHEDOP_shutdown, SHUTDOWN_suspend), 0);
    domain_shutdown(guest, SHUTDOWN_crash);
    assert_int_equal(guest->pause_count, 1);
    assert_int_equal(code(), SHUTDOWN_suspend);
    domain_resume(guest);
    domain_resume(guest);
    assert_int_equal(guest->pause_count, 0);
}

/* What a code means is between the guest and the toolstack. */
static void test_unknown_code(void **state)
{
    assert_int_equal(shutdown_op(SCHEDOP_shutdown, 0xff), -EINVAL);
    assert_int_equal(shutdown_op(SCHEDOP_shutdown, 256), -EINVAL);
    assert_int_equal(code(), 0xff);
    assert_int_equal(shutdown_op(SCHEDOP_shutdown, 77), 0);
    assert_int_equal(code(), 77);
}

static void test_last_vcpu_powers_off(void **state)
{
    vcpu_set_up(guest->vcpu[1]);
    assert_int_equal(vcpu(VCPUOP_down, 1, NULL, 0), 0);
    assert_int_equal(code(), 0xff);
    assert_int_equal(vcpu(VCPUOP_down, 0, NULL, 0), 0);
    assert_int_equal(code(), SHUTDOWN_poweroff);
}

/* ---- watchdogs ---- */
static long watchdog(u32 id, u32 timeout)
{
    struct sched_watchdog w = { .id = id, .timeout = timeout };
    return sched(SCHEDOP_watchdog, &w, sizeof(w));
}

static void test_watchdog(void **state)
{
    assert_int_equal(watchdog(1, 5), -EINVAL);
    assert_int_equal(watchdog(0, 10), 1);
    assert_int_equal(watchdog(0, 20), 2);
    assert_int_equal(watchdog(0, 20), -ENOSPC);
    assert_int_equal(watchdog(3, 0), -EINVAL);
    time_passes(9 * S);
    assert_int_equal(watchdog(1, 10), 0);
    assert_int_equal(watchdog(2, 0), 0);
    assert_int_equal(watchdog(2, 0), -EINVAL);
    time_passes(9 * S);
    assert_int_equal(code(), 0xff);
    time_passes(2 * S);
    assert_int_equal(code(), SHUTDOWN_watchdog);
}

/* ---- poll and block ---- */
static long poll_until(u64 at)
{
    struct sched_poll p = { .timeout = at };
    return sched(SCHEDOP_poll, &p, sizeof(p));
}

static void test_poll_times_out(void **state)
{
    assert_int_equal(poll_until(now_ns() + 5 * MS), 0);
    assert_true(caller->flags & VF_BLOCKED);
    time_passes(4 * MS);
    assert_true(caller->flags & VF_BLOCKED);
    time_passes(2 * MS);
    assert_false(caller->flags & VF_BLOCKED);
    assert_false(caller->poll_active);
    assert_int_equal(poll_until(now_ns()), 0);          /* over already */
    assert_false(caller->flags & VF_BLOCKED);
}

/* The time limit of a poll that an interrupt ended is not an event for the sleep that follows. */
static void test_poll_limit_ends_with_it(void **state)
{
    assert_int_equal(poll_until(now_ns() + 5 * MS), 0);
    vcpu_wake(caller);
    assert_int_equal(hypercall(__HYPERVISOR_sched_op, SCHEDOP_block, 0, 0), 0);
    time_passes(10 * MS);
    assert_true(caller->flags & VF_BLOCKED);
    vcpu_wake(caller);
}

/* public/sched.h: block looks for events first, so that one that came before is not slept over. */
static void test_block_sees_an_earlier_event(void **state)
{
    caller->regs.rflags = 2;                             /* interrupts off */
    guest_vcpu_info(caller)->evtchn_upcall_pending = 1;
    assert_int_equal(hypercall(__HYPERVISOR_sched_op, SCHEDOP_block, 0, 0), 0);
    assert_false(caller->flags & VF_BLOCKED);
    guest_vcpu_info(caller)->evtchn_upcall_pending = 0;
    assert_int_equal(hypercall(__HYPERVISOR_sched_op, SCHEDOP_block, 0, 0), 0);
    assert_true(caller->flags & VF_BLOCKED);
    vcpu_wake(caller);
}

/* ---- start of vCPUs ---- */
static struct vcpu_hvm_context start64(void)
{
    return (struct vcpu_hvm_context){ .mode = VCPU_HVM_MODE_64B, .cpu_regs.x86_64 = {
        .rax = 1, .rdi = 0x1234, .rsp = 0x1ff0, .rip = 0x1000, .rflags = 2, .cr0 = 0x80000011, .cr3 = 0x1000,
        .cr4 = 0x20, .efer = 0x500 } };
}

static struct vcpu_hvm_context start32(void)
{
    return (struct vcpu_hvm_context){ .mode = VCPU_HVM_MODE_32B, .cpu_regs.x86_32 = {
        .ebx = 0xabcd, .eip = 0x1000, .cr0 = 0x11, .cs_limit = ~0u, .ds_limit = ~0u, .ss_limit = ~0u, .es_limit = ~0u,
        .tr_limit = 0x67, .cs_ar = 0xc9b, .ds_ar = 0xc93, .ss_ar = 0xc93, .es_ar = 0xc93, .tr_ar = 0x8b } };
}

static long initialise(unsigned id, struct vcpu_hvm_context c) { return vcpu(VCPUOP_initialise, id, &c, sizeof(c)); }

static void test_initialise(void **state)
{
    struct vcpu *v = guest->vcpu[1];
    assert_int_equal(vcpu(VCPUOP_up, 1, NULL, 0), -EINVAL);
    assert_int_equal(initialise(1, start64()), 0);
    assert_int_equal(initialise(1, start64()), -EEXIST);
    assert_int_equal(vcpu(VCPUOP_is_up, 1, NULL, 0), 0);
    assert_int_equal(v->pause_count, 0);
    assert_true(v->regs.rip == 0x1000 && v->regs.rdi == 0x1234 && v->regs.rsp == 0x1ff0 && v->regs.rflags == 2);
    struct vcpu_state *s = &fake_vcpu(v)->state;
    assert_true(s->cr0 == 0x80000011 && s->cr3 == 0x1000 && s->efer == 0x500);
    assert_true(s->seg[SEG_CS].attr == 0xa9b && s->seg[SEG_SS].attr == 0xc93 && s->seg[SEG_TR].attr == 0x8b);
    assert_int_equal(vcpu(VCPUOP_up, 1, NULL, 0), 0);
    assert_int_equal(vcpu(VCPUOP_is_up, 1, NULL, 0), 1);
    assert_int_equal(initialise(1, start64()), -EEXIST);
    assert_int_equal(initialise(0, start64()), -EEXIST);        /* oneself */
    assert_int_equal(initialise(3, start64()), -ENOENT);

    assert_int_equal(initialise(2, start32()), 0);
    s = &fake_vcpu(guest->vcpu[2])->state;
    assert_true(s->cr0 == 0x11 && s->efer == 0 && guest->vcpu[2]->regs.rbx == 0xabcd);
    assert_true(s->seg[SEG_CS].attr == 0xc9b && s->seg[SEG_CS].limit == ~0u);
}

static void test_initialise_refusals(void **state)
{
#define BAD64(...) do { struct vcpu_hvm_context c = start64(); struct vcpu_hvm_x86_64 *r = &c.cpu_regs.x86_64; \
    (void)r; __VA_ARGS__; assert_int_equal(initialise(1, c), -EINVAL); } while (0)
    BAD64(c.mode = 2);
    BAD64(c.pad = 1);
    BAD64(r->efer = 0);
    BAD64(r->efer = ~0ULL);
    BAD64(r->cr0 = 0x11);
    BAD64(r->cr4 = 0);
    BAD64(r->cr4 = ~0ULL);
    BAD64(r->cr3 = 1ULL << 60);
    BAD64(r->rip = 1ULL << 60);
#define BAD32(...) do { struct vcpu_hvm_context c = start32(); struct vcpu_hvm_x86_32 *r = &c.cpu_regs.x86_32; \
    __VA_ARGS__; assert_int_equal(initialise(1, c), -EINVAL); } while (0)
    BAD32(r->pad1 = 1);
    BAD32(r->pad2[2] = 1);
    BAD32(r->cs_ar = 0);
    BAD32(r->cs_ar = 0xc93);
    BAD32(r->cs_ar |= 0x1000);
    BAD32(r->ss_ar = 0);
    BAD32(r->ss_ar = 0xc9b);
    BAD32(r->tr_ar = 0);
    BAD32(r->tr_ar = 0xc93);
    BAD32(r->cr0 = 0x80000000);
    assert_int_equal(vcpu(VCPUOP_up, 1, NULL, 0), -EINVAL);     /* still without a state */
    assert_int_equal(guest->vcpu[1]->pause_count, 0);
}

static void test_small_checks(void **state)
{
    struct vcpu_set_periodic_timer p = { .period_ns = 1 * MS };
    assert_int_equal(vcpu(VCPUOP_set_periodic_timer, 0, &p, sizeof(p)), 0);
    p.period_ns = MS - 1;
    assert_int_equal(vcpu(VCPUOP_set_periodic_timer, 0, &p, sizeof(p)), -EINVAL);
    p.period_ns = 1ULL << 62;
    assert_int_equal(vcpu(VCPUOP_set_periodic_timer, 0, &p, sizeof(p)), -EINVAL);
    assert_int_equal(vcpu(VCPUOP_stop_periodic_timer, 0, NULL, 0), 0);
    assert_int_equal(vcpu(VCPUOP_send_nmi, 0, &p, sizeof(p)), -EINVAL);
    assert_int_equal(vcpu(VCPUOP_send_nmi, 0, NULL, 0), 0);
    /* Numbers have 32 bits, whatever a compiler left above them. */
    assert_int_equal(hypercall(__HYPERVISOR_vcpu_op, 1ULL << 32 | VCPUOP_is_up, 1ULL << 32, 0), 1);
    assert_int_equal(hypercall(__HYPERVISOR_sched_op, 1ULL << 32 | SCHEDOP_yield, 0, 0), 0);
}

/* ---- areas ---- */
static u64 pvclock_ns(const struct vcpu_time_info *t, u64 tsc)
{
    assert_false(t->version & 1);
    u64 delta = tsc - t->tsc_timestamp;
    delta = t->tsc_shift < 0 ? delta >> -t->tsc_shift : delta << t->tsc_shift;
    return t->system_time + (u64)((unsigned __int128)delta * t->tsc_to_system_mul >> 32);
}

static u64 guest_tsc(struct vcpu *v) { return tsc_read() + hvm_tsc_offset(v); }

static void test_time_area(void **state)
{
    const gva_t at = 2 * PAGE_SIZE - 24;
    struct vcpu_register_time_memory_area a = { .addr.p = 0xff8 };      /* over the end of the first page */
    struct vcpu_time_info t;
    assert_int_equal(vcpu(VCPUOP_register_vcpu_time_memory_area, 0, &a, sizeof(a)), 0);
    a.addr.p = at;                                                      /* the second half is not there */
    assert_int_equal(vcpu(VCPUOP_register_vcpu_time_memory_area, 0, &a, sizeof(a)), -EFAULT);
    a.addr.p = 4;
    assert_int_equal(vcpu(VCPUOP_register_vcpu_time_memory_area, 0, &a, sizeof(a)), -EINVAL);
    memcpy(&t, fake_guest_ptr(guest, 0xff8), 8);
    memcpy((u8 *)&t + 8, fake_guest_ptr(guest, 0x1000), 24);
    assert_true(pvclock_ns(&t, guest_tsc(caller)) == now_ns());
    assert_true(t.flags & XEN_PVCLOCK_TSC_STABLE_BIT);
    /* Gone again: not written any more. */
    a.addr.p = 0;
    assert_int_equal(vcpu(VCPUOP_register_vcpu_time_memory_area, 0, &a, sizeof(a)), 0);
    memset(fake_guest_ptr(guest, 0x1000), 0x5a, 24);
    vcpu_update_time(caller);
    assert_int_equal(*(u8 *)fake_guest_ptr(guest, 0x1000), 0x5a);
}

/* A guest that writes its TSC still reads the right time: both records follow. */
static void test_time_follows_the_tsc(void **state)
{
    struct vcpu_register_time_memory_area a = { .addr.p = 0x1000 };
    assert_int_equal(vcpu(VCPUOP_register_vcpu_time_memory_area, 0, &a, sizeof(a)), 0);
    assert_int_equal(hvm_wrmsr(caller, 0x10, 12345), 0);
    assert_true(guest_tsc(caller) == 12345);
    fake_time_advance(7 * MS);
    assert_true(pvclock_ns(&guest_vcpu_info(caller)->time, guest_tsc(caller)) == now_ns());
    assert_true(pvclock_ns(fake_guest_ptr(guest, 0x1000), guest_tsc(caller)) == now_ns());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_latched_code), T(test_unknown_code), T(test_last_vcpu_powers_off), T(test_small_checks),
        T(test_shutdown_pauses_once), T(test_watchdog), T(test_poll_times_out),
        T(test_poll_limit_ends_with_it),
        T(test_block_sees_an_earlier_event), T(test_initialise), T(test_initialise_refusals), T(test_time_area),
        T(test_time_follows_the_tsc),
    };
    return cmocka_run_group_tests(tests, env_setup, NULL);
}
