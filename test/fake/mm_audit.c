/* SPDX-License-Identifier: MIT */
/* See mm_audit.h. */
#include <stdlib.h>
#include "fake.h"
#include "fake_internal.h"
#include "mm/block.h"
#include "mm/p2m_internal.h"
#include "mm_audit.h"

struct tally {
    u32 *records;                   /* per frame: p2m records that hold a reference */
    u8 *ram_maps;                   /* per frame: RAM mappings of its owner */
    u64 nr;
    u64 tables;
};
struct slot_sum { u64 used, zombie; };

#define FAIL(...) panic("mm_audit: " __VA_ARGS__)

static void check_lists(void)
{
    u64 nf = 0;
    struct list *l;

    list_for_each(l, &free_blocks)
        nf++;
    if (nf != ram.free_blocks)
        FAIL("free list %llu, counted %llu\n", (unsigned long long)nf, (unsigned long long)ram.free_blocks);
    for (u64 i = 0; i < nr_blocks; i++) {
        struct block *b = &blocks[i];
        u8 is = b->flags & (BF_FREELIST | BF_HEAPLIST | BF_PARTIAL), want = 0;
        if (b->nr_free == 512)
            want = BF_FREELIST;
        else if (b->nr_free)
            want = b->owner == OWN_HEAP ? BF_HEAPLIST : BF_PARTIAL;
        if ((b->flags & BF_KEEP) || b->nr_parked)
            want = 0;
        if (is != want)
            FAIL("block %llu on list %x, should be %x\n", (unsigned long long)i, is, want);
    }
}

static void check_array(struct block *b, u64 n)
{
    unsigned refd = 0, zombie = 0;

    for (unsigned i = 0; i < BLOCK_PAGES; i++) {
        struct page *p = &b->pages[i];
        refd += p->refs != 0;
        zombie += p->state == PG_ZOMBIE;
        if ((p->state == PG_FREE) != page_is_free(b, i))
            FAIL("block %llu page %u: state %u\n", (unsigned long long)n, i, p->state);
        if ((p->state == PG_FREE && p->refs) || (p->state == PG_ZOMBIE && !p->refs))
            FAIL("block %llu page %u: state %u refs %u\n", (unsigned long long)n, i, p->state, p->refs);
    }
    if (refd != b->nr_refd || zombie != b->nr_zombie)
        FAIL("block %llu: %u refd (%u), %u zombies (%u)\n", (unsigned long long)n, refd, b->nr_refd, zombie,
             b->nr_zombie);
}

/* All blocks; returns the sum of references. */
static u64 check_blocks(struct slot_sum *slots)
{
    u64 refs = 0, fr = 0, heap = 0, kept = 0;

    for (u64 n = 0; n < nr_blocks; n++) {
        struct block *b = &blocks[n];
        unsigned bits = 0;
        if (!block_is_free(b)) {
            for (unsigned w = 0; w < BLOCK_WORDS; w++)
                bits += (unsigned)__builtin_popcountll(b->free[w]);
            if (bits != (unsigned)b->nr_free + b->nr_parked)
                FAIL("block %llu: %u bits, %u free, %u parked\n", (unsigned long long)n, bits, b->nr_free,
                     b->nr_parked);
        }
        if (b->nr_parked && !b->anon)
            FAIL("block %llu: parked without references\n", (unsigned long long)n);
        if (b->pages)
            check_array(b, n);
        else if (b->nr_refd || b->nr_zombie)
            FAIL("block %llu: counts without an array\n", (unsigned long long)n);
        refs += b->anon;
        *(b->flags & BF_KEEP ? &kept : b->owner == OWN_HEAP ? &heap : &fr) += b->nr_free;
        for (unsigned i = 0; i < BLOCK_PAGES; i++) {
            if (page_is_free(b, i))
                continue;
            unsigned s = page_owner_slot(b, i);
            bool z = b->pages && b->pages[i].state == PG_ZOMBIE;
            refs += b->pages ? b->pages[i].refs : 0;
            if (s != OWN_NONE && s != OWN_HEAP)
                *(z ? &slots[s].zombie : &slots[s].used) += 1;
        }
    }
    if (fr != ram.free || heap != ram.heap_free || kept != ram.kept)
        FAIL("free %llu (%llu), heap %llu (%llu), kept %llu (%llu)\n", (unsigned long long)ram.free,
             (unsigned long long)fr, (unsigned long long)ram.heap_free, (unsigned long long)heap,
             (unsigned long long)ram.kept, (unsigned long long)kept);
    /* Promises are kept, but for a page here and there: arrays of blocks with several owners. */
    if (ram.claimed + ram_backing() > ram.free + 16)
        FAIL("claimed %llu and committed %llu of free %llu, heap %llu\n", (unsigned long long)ram.claimed,
             (unsigned long long)ram.committed, (unsigned long long)ram.free, (unsigned long long)ram.heap_free);
    return refs;
}

static void tally_frame(struct domain *d, struct tally *t, u64 gfn, u64 mfn, enum p2m_type type)
{
    struct block *b = block_of(MFN(mfn));
    unsigned i = (unsigned)(mfn % BLOCK_PAGES);

    if (p2m_is_ram(type)) {
        if (page_is_free(b, i) || page_owner_slot(b, i) != d->ram_slot || (b->pages && b->pages[i].state != PG_USED))
            FAIL("d%u gfn %llx: RAM frame %llx is not its own\n", d->id, (unsigned long long)gfn,
                 (unsigned long long)mfn);
        if (t->ram_maps[mfn]++)
            FAIL("frame %llx is mapped twice as RAM\n", (unsigned long long)mfn);
    } else if (type_has_ref(type) && b && mfn < t->nr) {
        if (page_is_free(b, i))
            FAIL("d%u gfn %llx: record of free frame %llx\n", d->id, (unsigned long long)gfn,
                 (unsigned long long)mfn);
        if (page_owner_slot(b, i) != OWN_NONE)
            t->records[mfn]++;
    }
}

static void tally_table(struct domain *d, struct tally *t, const struct live_entry *table, unsigned level, u64 gfn)
{
    t->tables++;
    for (unsigned i = 0; i < 512; i++) {
        u64 e = live_get(&table[i]), g = gfn | (u64)i << level_order(level);
        if (pte_table(e, level))
            tally_table(d, t, pte_down(e), level - 1, g);
        else if (e & PTE_P)
            for (u64 k = 0; k < 1ULL << level_order(level); k++)
                tally_frame(d, t, g + k, pte_mfn(e) + k, pte_type(e));
    }
}

u64 mm_audit(void)
{
    struct slot_sum *slots = calloc(MAX_SLOTS, sizeof(*slots));
    struct tally t = { .nr = nr_blocks * BLOCK_PAGES };
    u64 expected = 0, refs;
    struct domain *d;

    t.records = calloc(t.nr, sizeof(*t.records));
    t.ram_maps = calloc(t.nr, 1);
    check_lists();
    refs = check_blocks(slots);
    for (unsigned i = 0; (d = fake_domain_nth(i)) != NULL; i++) {
        struct slot_sum *s = &slots[d->ram_slot];
        if (d->ram_slot ? s->used != d->tot_pages || s->zombie != d->zombie_pages : d->tot_pages || d->zombie_pages)
            FAIL("d%u has %llu pages and %llu zombies, counted %llu and %llu\n", d->id,
                 (unsigned long long)d->tot_pages, (unsigned long long)d->zombie_pages, (unsigned long long)s->used,
                 (unsigned long long)s->zombie);
        if (!d->p2m || !d->p2m->root)
            continue;
        t.tables = 0;
        tally_table(d, &t, d->p2m->root, 4, 0);
        if (t.tables != d->p2m->pool_used || t.tables > d->p2m->pool_pages)
            FAIL("d%u: %llu tables, pool %llu of %llu\n", d->id, (unsigned long long)t.tables,
                 (unsigned long long)d->p2m->pool_used, (unsigned long long)d->p2m->pool_pages);
    }
    for (u64 m = 0; m < t.nr; m++) {
        struct block *b = block_of(MFN(m));
        u64 have = (b->pages ? b->pages[m % BLOCK_PAGES].refs : 0) + b->anon;
        expected += t.records[m];
        if (t.records[m] > have)
            FAIL("frame %llx: %u records, %llu references\n", (unsigned long long)m, t.records[m],
                 (unsigned long long)have);
    }
    free(slots);
    free(t.records);
    free(t.ram_maps);
    if (refs < expected)
        FAIL("%llu references, %llu records\n", (unsigned long long)refs, (unsigned long long)expected);
    return refs - expected;
}
