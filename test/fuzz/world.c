/* SPDX-License-Identifier: MIT */
/* The host that hypercall and device targets attack. Everything is made by the product's own functions. */
#include <setjmp.h>
#include <stdlib.h>
#include "call/call.h"
#include "debug/console.h"
#include "fake.h"
#include "fuzz.h"
#include "hvm/policy.h"
#include "hvm/vlapic.h"
#include "mm/block.h"
#include "mm_audit.h"
#include "pci/pci_priv.h"
#include "rewind.h"
#include "sched/sched.h"

enum { SLAB_CLASSES = 14 };
static u64 heap_at_start;
static long objects, objects_made;      /* of the hypervisor heap that are in use; by make_once() */
static long kept;                       /* that stay for ever */
static u32 irq_state;
static jmp_buf off_jmp;
static bool off_armed, switched_off;

/* ---- every object of the heap is counted (the linker's --wrap) ---- */
void *__real_kzalloc(size_t size);
void __real_kfree(void *p);
void *__wrap_kzalloc(size_t size);
void __wrap_kfree(void *p);
void *__wrap_kzalloc(size_t size)
{
    void *p = __real_kzalloc(size);

    objects += p != NULL;
    return p;
}
void __wrap_kfree(void *p)
{
    objects -= p != NULL;
    __real_kfree(p);
}

/* Power states that dom0 uploads are the host's for ever, in a static table: not the world's memory. */
long __real_platform_set_processor_pminfo(struct call *c, struct xen_platform_op *op);
long __wrap_platform_set_processor_pminfo(struct call *c, struct xen_platform_op *op);
long __wrap_platform_set_processor_pminfo(struct call *c, struct xen_platform_op *op)
{
    long before = objects, rc = __real_platform_set_processor_pminfo(c, op);

    kept += objects - before;
    return rc;
}

/* ---- the machine's switch ---- */
static void __noreturn switch_off(void)
{
    if (!off_armed)
        panic("switched off while nobody may\n");
    assert_no_locks();
    off_armed = false;
    longjmp(off_jmp, 1);
}
void machine_halt(void) { switch_off(); }
void machine_reboot(void) { switch_off(); }
void machine_poweroff(void) { switch_off(); }

bool world_run(void (*f)(void *), void *arg)
{
    off_armed = true;
    switched_off = setjmp(off_jmp) != 0;
    if (!switched_off)
        f(arg);
    off_armed = false;
    return !switched_off;
}

/* ---- interrupts ---- */
static bool window(void)
{
    irq_state = irq_state * 1664525u + 1013904223u;
    if (irq_state >> 28)
        return false;
    fake_time_advance(irq_state >> 8 & 0xffffff);
    timer_run();
    this_cpu()->irq_seen = true;
    return true;
}
void world_irq_seed(u32 seed) { irq_state = seed; }

/* ---- calls ---- */
long world_call(struct vcpu *v)
{
    for (unsigned tries = 0; !call_dispatch(v); tries++) {
        assert_no_locks();
        if (tries > 10000)
            panic("hypercall %llu never ends\n", (unsigned long long)v->regs.rax);
        this_cpu()->resched = false;
    }
    assert_no_locks();
    assert_written(&v->regs, sizeof(v->regs));
    assert_written(frame_window, fake_ram_bytes);
    return (long)v->regs.rax;
}

static long call(struct vcpu *v, unsigned nr, u64 a0, u64 a1, u64 a2)
{
    v->regs.rax = nr;
    v->regs.rdi = a0;
    v->regs.rsi = a1;
    v->regs.rdx = a2;
    return world_call(v);
}

/* ---- domains ---- */
static void map_special(struct vcpu *v, unsigned space, u64 idx, u64 gfn)
{
    struct xen_add_to_physmap a = { .domid = DOMID_SELF, .space = space, .idx = idx, .gpfn = gfn };

    memcpy(fake_guest_ptr(v->dom, SCRATCH), &a, sizeof(a));
    CHECK(call(v, __HYPERVISOR_memory_op, XENMEM_add_to_physmap, SCRATCH, 0) == 0);
}

static void furnish(u16 id)
{
    struct vcpu *v = world_enter(id, 0);
    u16 to[2] = { (u16)((id + 1) % WORLD_DOMS), (u16)((id + 2) % WORLD_DOMS) };

    map_special(v, XENMAPSPACE_grant_table, 0, GNT_GFN);
    map_special(v, XENMAPSPACE_shared_info, 0, INFO_GFN);
    grant_entry_v1_t *g = fake_guest_ptr(v->dom, (u64)GNT_GFN << PAGE_SHIFT);
    for (unsigned i = 1; i < 16; i++)
        g[i] = (grant_entry_v1_t){ .flags = GTF_permit_access | (i & 1 ? GTF_readonly : 0), .domid = to[i >> 1 & 1], .frame =
                                   0x20 + i };
    for (unsigned i = 0; i < 2; i++) {
        evtchn_alloc_unbound_t a = { .dom = DOMID_SELF, .remote_dom = to[i] };
        memcpy(fake_guest_ptr(v->dom, SCRATCH), &a, sizeof(a));
        CHECK(call(v, __HYPERVISOR_event_channel_op, EVTCHNOP_alloc_unbound, SCRATCH, 0) == 0);
    }
    /* Frame numbers for lists of extents. */
    u64 *s = fake_guest_ptr(v->dom, SCRATCH);
    for (unsigned i = 0; i < SCRATCH_BYTES / 8; i++)
        s[i] = i % 64 < 32 ? 0x20 + i % 64 : i % 64 < 48 ? 0x200 + i % 16 : 0x1000 + i % 64;
    world_leave();
}

void (*world_devices)(void), (*world_furnish)(void);
static u32 no_device(sbdf_t s, unsigned reg, unsigned size) { return ~0u >> (32 - 8 * size); }
static void nothing(sbdf_t s, unsigned reg, unsigned size, u32 val) {}

static void make_domain(u16 id)
{
    struct domain *d = fake_domain_ports(id, id == 1 ? BIG_PAGES : GUEST_PAGES, WORLD_VCPUS, WORLD_PORTS);

    d->max_pages += 64;
    for (unsigned i = 0; i < WORLD_VCPUS; i++)
        vcpu_set_up(d->vcpu[i]);
    if (id == 0)                        /* as its builder does */
        CHECK(vioapic_init(d) == 0);
    domain_unpause(d);
}

static void make_once(void)
{
    static struct cpu early;

    list_init(&pci_devs);
    pci_backend = (struct pci_backend){ no_device, nothing };
    this_cpu_ptr = &early;
    fake_machine_init(WORLD_MIB, WORLD_CPUS);
    heap_at_start = ram.heap_used;
    objects = 0;
    sched_init();
    policy_init();
    irq_state = 1;
    for (u16 id = 0; id < WORLD_DOMS; id++)
        make_domain(id);
    for (u16 id = 0; id < WORLD_DOMS; id++)
        furnish(id);
    if (world_furnish)
        world_furnish();
    fake_irq_window_hook = window;
    objects_made = objects;
    rewind_mark();
}

void world_make(void)
{
    static bool made;

    if (made)
        rewind_world();
    else
        make_once();
    made = true;
    objects = objects_made;
    kept = 0;
    irq_state = 1;
    if (world_devices)
        world_devices();
    CHECK(vpci_init(dom0) == 0);
}

void world_leave(void)
{
    struct vcpu *v = current_vcpu();

    if (v)
        v->running = 0;
    this_cpu()->curr = NULL;
    this_cpu()->resched = false;
}

struct vcpu *world_enter(u16 dom, unsigned id)
{
    struct domain *d = get_domain(dom);
    struct vcpu *v = d && id < d->max_vcpus ? d->vcpu[id] : NULL;

    world_leave();
    if (d)
        put_domain(d);
    if (!v || d->state != DOM_ALIVE)
        return NULL;
    if (read_once(&v->flags) & VF_BLOCKED)
        vcpu_wake(v);
    if (read_once(&v->flags) || read_once(&v->pause_count) || read_once(&d->pause_count))
        return NULL;
    fake_enter_cpu((dom * WORLD_VCPUS + id) % WORLD_CPUS, v);
    return v;
}

/* The host's devices are for ever, unlike this world. */
static void drop_devices(void)
{
    struct list *l, *next;

    list_for_each_safe(l, next, &pci_devs) {
        struct pci_dev *dev = list_entry(l, struct pci_dev, node);
        for (unsigned i = 0; i < MSIX_CHUNKS; i++)
            kfree(dev->msix.chunk[i]);
        kfree(dev);
    }
}

/* Let every CPU's timers run: the reaper is one. */
static void reap(void)
{
    for (unsigned i = 0; i < 3; i++) {
        fake_time_advance(1000000000);
        for (unsigned c = 0; c < nr_cpus; c++) {
            fake_enter_cpu(c, NULL);
            timer_run();
        }
    }
}

static void destroy(struct domain *d)
{
    if (d->state != DOM_DEAD)
        while (domain_destroy(d) == -ERESTART)
            ;
}

void world_end(void)
{
    struct domain *d, *host = get_domain(0);

    world_leave();
    fake_enter_cpu(0, NULL);
    fake_irq_window_hook = NULL;
    mm_audit();
    for (unsigned i = 0; i < ARRAY_SIZE(host->watchdog); i++)
        timer_stop(&host->watchdog[i]);       /* nobody may switch the machine off any more */
    for (u32 id = 1; (d = get_domain_from((u16)id)); id = d->id + 1u) {
        destroy(d);
        put_domain(d);
    }
    reap();
    destroy(host);                      /* what it mapped of others kept them until now */
    reap();
    CHECK(!get_domain_from(0));
    drop_devices();
    kfree(host->vpci);                  /* dom0 never ends on a real host */
    put_domain(host);
    dom0 = NULL;
    if (objects != kept)
        panic("%ld objects of the heap were not freed\n", objects - kept);
    CHECK(!ram.committed && !ram.claimed && !ram.kept);
    CHECK(ram.free + ram.heap_free + ram.heap_used == ram.total);
    CHECK(ram.heap_used <= heap_at_start + SLAB_CLASSES + (u64)kept);       /* one empty slab of each size may stay */
}
