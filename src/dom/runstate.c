/* SPDX-License-Identifier: MIT */
#include "dom/runstate.h"
#include "call/abi.h"
#include "dom/domain.h"
#include "hvm/hvm.h"
#include "mm/guest.h"

#define UPDATE_FLAG (1ULL << 63)        /* XEN_RUNSTATE_UPDATE: the area is being written */

/* Put the pages of `new` in place of those of *area and let go of the old ones. v may be running, and its CPU about
 * to write the area. */
static void replace(struct vcpu *v, struct guest_area *area, struct guest_area new)
{
    spin_lock(&v->area_lock);
    struct guest_area old = *area;
    *area = new;
    spin_unlock(&v->area_lock);
    guest_area_unpin(&old);
}

static int register_area(struct vcpu *v, struct guest_area *area, gva_t gva, size_t len)
{
    struct guest_area new = no_area;
    int rc = gva ? guest_area_pin(v->dom, gva, len, &new) : 0;
    if (!rc) replace(v, area, new);
    return rc;
}

void areas_unregister(struct vcpu *v)
{
    replace(v, &v->runstate_area, no_area);
    replace(v, &v->time_area, no_area);
}

/* ---- runstate ---- */
int runstate_register(struct vcpu *v, gva_t gva)
{
    int rc = register_area(v, &v->runstate_area, gva, sizeof(struct vcpu_runstate_info));
    if (!rc) runstate_publish(v);
    return rc;
}

static void publish_locked(struct vcpu *v)
{
    const struct guest_area *a = &v->runstate_area;
    if (v->dom->vm_assist >> VMASST_TYPE_runstate_update_flag & 1) {
        guest_mem_set64(guest_area_word(a, 1), v->rs.since_ns | UPDATE_FLAG);
        smp_wmb();
    }
    guest_mem_set64(guest_area_word(a, 0), (u64)(u32)v->rs.state);
    for (unsigned i = 0; i < 4; i++)
        guest_mem_set64(guest_area_word(a, 2 + i), v->rs.time_ns[i]);
    smp_wmb();
    guest_mem_set64(guest_area_word(a, 1), v->rs.since_ns);
}

void runstate_publish(struct vcpu *v)
{
    spin_lock(&v->area_lock);
    if (guest_area_used(&v->runstate_area)) publish_locked(v);
    spin_unlock(&v->area_lock);
}

/* ---- time ---- */
STATIC_ASSERT(sizeof(struct vcpu_time_info) == 32 && offsetof(struct vcpu_time_info, version) == 0);

/* Protocol: public/xen.h, struct vcpu_time_info. Word 0 is the version. */
static void write_time(struct guest_mem *const to[4], const struct vcpu_time_info *t)
{
    u64 from[4];
    u32 version = (u32)guest_mem_u64(to[0]) | 1;
    memcpy(from, t, sizeof(from));
    guest_mem_set64(to[0], version);
    smp_wmb();
    for (unsigned i = 1; i < 4; i++) guest_mem_set64(to[i], from[i]);
    smp_wmb();
    guest_mem_set64(to[0], version + 1);
}

/* The TSC's rate never changes, so one record that counts from TSC 0 stays true for ever: it is written when
 * the record moves or the offset changes, not at every switch. */
void vcpu_update_time(struct vcpu *v)
{
    u64 host = tsc_read();
    struct guest_mem *info = guest_field(v->info, struct vcpu_info, time);
    const struct vcpu_time_info t = {
        .tsc_timestamp = host + hvm_tsc_offset(v), .system_time = tsc_to_ns(host), .tsc_to_system_mul = tsc_mul,
        .tsc_shift = tsc_shift, .flags = tsc_reliable ? XEN_PVCLOCK_TSC_STABLE_BIT : 0,
    };
    const struct guest_area *a = &v->time_area;
    spin_lock(&v->area_lock);
    write_time((struct guest_mem *const[]){ info, guest_mem_nth64(info, 1), guest_mem_nth64(info, 2),
                                            guest_mem_nth64(info, 3) }, &t);
    if (guest_area_used(a))
        write_time((struct guest_mem *const[]){ guest_area_word(a, 0), guest_area_word(a, 1), guest_area_word(a, 2),
                                                guest_area_word(a, 3) }, &t);
    spin_unlock(&v->area_lock);
}

int time_area_register(struct vcpu *v, gva_t gva)
{
    int rc = register_area(v, &v->time_area, gva, sizeof(struct vcpu_time_info));
    if (!rc) vcpu_update_time(v);
    return rc;
}
