/* SPDX-License-Identifier: MIT */
/*
 * Exhaustive: every sequence of up to DEPTH grant pins, unpins and changes by the guest, on one entry, against a model
 * of what the counts, the two bits in the entry and the page's references must be.
 */
#include "../unit/chan_stubs.h"
#include "mm/block.h"

enum { DEPTH = 6, REF = 9, GFN_USED = 40 };
enum { PIN_A_R, PIN_A_W, PIN_B_R, UNPIN_R, UNPIN_W, ALLOW, READONLY, FORBID, NR_OPS };
static struct domain *d;
static struct grant_entry_v1 *entry;
static mfn_t page;
static struct { unsigned r, w; u16 owner; } m;     /* the model: reading and writing uses */

static unsigned page_refs(void)
{
    struct block *b = block_of(page);

    return b->pages ? b->pages[page.n % BLOCK_PAGES].refs : 0;
}

static bool allowed(u16 domid, bool write)
{
    return (entry->flags & GTF_type_mask) == GTF_permit_access && entry->domid == domid &&
           !(write && entry->flags & GTF_readonly);
}

static void pin(u16 domid, bool write)
{
    unsigned n = m.r + m.w;
    bool ok = n == 0 ? allowed(domid, write) : m.owner == domid && (!write || m.w || allowed(domid, true));
    mfn_t got;
    int st = gnttab_pin(d, REF, domid, write, &got);

    assert_int_equal(st == GNTST_okay, ok);
    if (!ok)
        return;
    assert_true(mfn_eq(got, page));
    m.owner = domid;
    if (write) m.w++;
    else m.r++;
}

static void unpin(bool write)
{
    if (!(write ? m.w : m.r))
        return;
    gnttab_unpin(d, REF, write, page);
    if (write) m.w--;
    else m.r--;
}

static void step(unsigned op)
{
    u16 used = entry->flags & (GTF_reading | GTF_writing);

    switch (op) {
    case PIN_A_R: pin(2, false); break;
    case PIN_A_W: pin(2, true); break;
    case PIN_B_R: pin(3, false); break;
    case UNPIN_R: unpin(false); break;
    case UNPIN_W: unpin(true); break;
    case ALLOW: entry->flags = (u16)(GTF_permit_access | used); break;
    case READONLY: entry->flags = (u16)(GTF_permit_access | GTF_readonly | used); break;
    default: entry->flags = used;
    }
    struct active *a = gnttab_active(d, REF);
    assert_int_equal(page_refs(), m.r + m.w);
    assert_int_equal(a ? a->pins : 0, m.r + m.w);
    assert_int_equal(a ? a->wpins : 0, m.w);
    assert_int_equal(!!(entry->flags & GTF_reading), m.r + m.w > 0);
    assert_int_equal(!!(entry->flags & GTF_writing), m.w > 0);
}

static void all_sequences(void **state)
{
    unsigned total = 1;

    for (unsigned i = 0; i < DEPTH; i++)
        total *= NR_OPS;
    for (unsigned n = 0; n < total; n++) {
        *entry = (struct grant_entry_v1){ .flags = GTF_permit_access, .domid = 2, .frame = GFN_USED };
        for (unsigned i = 0, k = n; i < DEPTH; i++, k /= NR_OPS)
            step(k % NR_OPS);
        while (m.r + m.w)
            step(m.r ? UNPIN_R : UNPIN_W);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(all_sequences) };
    enum p2m_type t;
    mfn_t frame;

    chan_machine(1, 64);
    d = chan_domain(1, 1, 64, 1023);
    fake_enter_cpu(0, d->vcpu[0]);
    if (gnttab_get_frame(d, 0, &frame))
        return 1;
    entry = (struct grant_entry_v1 *)frame_map(frame) + REF;
    page = p2m_lookup(d, GFN(GFN_USED), &t, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
