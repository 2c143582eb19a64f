/* SPDX-License-Identifier: MIT */
#include "dom/runstate.h"
#include "call/abi.h"
#include "dom/domain.h"
#include "mm/guest.h"

#define AREA_SIZE sizeof(struct vcpu_runstate_info)
#define UPDATE_FLAG (1ULL << 63)        /* XEN_RUNSTATE_UPDATE: the area is being written */

/* Put new pages in place and let go of the old ones. v may be running, and its CPU about to write the area. */
static void replace_pages(struct vcpu *v, const struct guest_page new[2], unsigned off)
{
    struct guest_page old[2];
    spin_lock(&v->runstate_lock);
    memcpy(old, v->runstate_page, sizeof(old));
    memcpy(v->runstate_page, new, sizeof(old));
    v->runstate_off = off;
    spin_unlock(&v->runstate_lock);
    for (unsigned i = 0; i < 2; i++)
        if (mfn_valid(old[i].mfn)) guest_page_unpin(&old[i]);
}

void runstate_unregister(struct vcpu *v)
{
    const struct guest_page none[2] = { { INVALID_MFN, NULL }, { INVALID_MFN, NULL } };
    replace_pages(v, none, 0);
}

int runstate_register(struct vcpu *v, gva_t gva)
{
    struct guest_page pages[2] = { { INVALID_MFN, NULL }, { INVALID_MFN, NULL } };
    if (gva & 7) return -EINVAL;
    unsigned off = gva & ~PAGE_MASK, n = off + AREA_SIZE > PAGE_SIZE ? 2 : 1;
    for (unsigned i = 0; gva && i < n; i++) {
        gpa_t gpa;
        u32 pfec;
        int rc = guest_walk(current_vcpu(), (gva & PAGE_MASK) + i * PAGE_SIZE, GW_WRITE, &gpa, &pfec);
        if (!rc) rc = guest_page_pin(v->dom, GFN(gpa >> PAGE_SHIFT), &pages[i]);
        if (rc) {
            if (i) guest_page_unpin(&pages[0]);
            return rc == -ENOMEM ? rc : -EFAULT;
        }
    }
    replace_pages(v, pages, off);
    runstate_publish(v);
    return 0;
}

/* Word i of the area; it is 8-byte aligned, so no word crosses the page. */
static u64 *word(struct vcpu *v, unsigned i)
{
    unsigned at = v->runstate_off + i * 8;
    return (u64 *)((char *)v->runstate_page[at >= PAGE_SIZE].va + (at & ~PAGE_MASK));
}

static void publish_locked(struct vcpu *v)
{
    bool flagged = v->dom->vm_assist >> VMASST_TYPE_runstate_update_flag & 1;
    if (flagged) {
        write_once(word(v, 1), v->rs.since_ns | UPDATE_FLAG);
        smp_wmb();
    }
    write_once(word(v, 0), (u64)(u32)v->rs.state);
    for (unsigned i = 0; i < 4; i++)
        write_once(word(v, 2 + i), v->rs.time_ns[i]);
    smp_wmb();
    write_once(word(v, 1), v->rs.since_ns);
}

void runstate_publish(struct vcpu *v)
{
    spin_lock(&v->runstate_lock);
    if (mfn_valid(v->runstate_page[0].mfn)) publish_locked(v);
    spin_unlock(&v->runstate_lock);
}
