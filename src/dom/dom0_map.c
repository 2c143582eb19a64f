/* SPDX-License-Identifier: MIT */
/* dom0's memory map: the policy. No state, no side effects but the caller's take(). */
#include "dom/dom0_map.h"
#include "lib/lib.h"

#define MAX_HOST (BOOT_MAX_MMAP + 64)
#define MAX_TAKEN 256

/* Working state of one dom0_map_make(). */
struct plan {
    const struct dom0_map_request *rq;
    unsigned nr_host, nr_taken;
    struct boot_range host[MAX_HOST];       /* host map with the extra reservations */
    struct dom0_range taken[MAX_TAKEN];     /* ascending */
    struct dom0_range scratch;
    u64 left;                               /* bytes still wanted */
};

static bool overlap(paddr_t s1, paddr_t e1, paddr_t s2, paddr_t e2) { return s1 < e2 && s2 < e1; }

static void insert_host(struct plan *p, struct boot_range r)
{
    unsigned i;

    if (r.start >= r.end || p->nr_host == MAX_HOST)
        return;
    for (i = p->nr_host++; i > 0 && p->host[i - 1].start > r.start; i--)
        p->host[i] = p->host[i - 1];
    p->host[i] = r;
}

/* Linux trusts ECAM only if it is reserved: fill what the firmware's map leaves open of [start, end). */
static void add_reserve(struct plan *p, paddr_t start, paddr_t end)
{
    unsigned i;

    for (i = 0; i < p->rq->nr_host && start < end; i++) {
        const struct boot_range *h = &p->rq->host[i];
        if (!overlap(start, end, h->start, h->end))
            continue;
        if (h->start > start)
            insert_host(p, (struct boot_range){ start, h->start, MEM_RESERVED });
        start = h->end;
    }
    insert_host(p, (struct boot_range){ start, end, MEM_RESERVED });
}

/* Page-aligned inner part of a RAM entry, cut at 4 GiB. */
static bool low_ram(const struct boot_range *h, struct dom0_range *r)
{
    r->start = ROUND_UP(h->start, PAGE_SIZE);
    r->end = MIN(ROUND_DOWN(h->end, PAGE_SIZE), GiB(4));
    return h->type == MEM_RAM && r->start < r->end;
}

/* The largest aligned piece of low host RAM above `from` that still leaves a page of RAM behind it: that page will
 * be reported UNUSABLE and so bounds the hole. */
static struct dom0_range largest_hole(const struct plan *p, paddr_t from)
{
    struct dom0_range best = { 0, 0 }, r;
    unsigned i;

    for (i = 0; i < p->nr_host; i++) {
        if (!low_ram(&p->host[i], &r))
            continue;
        r.start = ROUND_UP(MAX(r.start, from), SCRATCH_ALIGN);
        r.end = ROUND_DOWN(r.end - PAGE_SIZE, SCRATCH_ALIGN);
        if (r.start < r.end && r.end - r.start > best.end - best.start)
            best = r;
    }
    return best;
}

/* The address up to which RAM must be taken to satisfy the wish, if nothing were in the way. */
static paddr_t fill_end(const struct plan *p)
{
    u64 left = p->rq->ram_bytes, start, end;
    unsigned i;

    for (i = 0; i < p->nr_host; i++) {
        if (p->host[i].type != MEM_RAM)
            continue;
        start = ROUND_UP(p->host[i].start, PAGE_SIZE);
        end = ROUND_DOWN(p->host[i].end, PAGE_SIZE);
        if (start >= end)
            continue;
        if (end - start >= left)
            return start + left;
        left -= end - start;
    }
    return ~0ULL;
}

/* The hole has to be the first one that Linux finds, so it lies below the 32-bit PCI aperture: behind dom0's RAM
 * if that ends early enough, else cut out of the end of the largest piece of low RAM. */
static void choose_scratch(struct plan *p)
{
    u64 total = 0, want;
    struct dom0_range r;
    paddr_t fill = fill_end(p);
    unsigned i;

    for (i = 0; i < p->nr_host; i++)
        if (p->host[i].type == MEM_RAM)
            total += p->host[i].end - p->host[i].start;
    want = total < MiB(768) ? MiB(128) : total < GiB(4) ? MiB(256) : total < GiB(16) ? MiB(512) : GiB(1);
    if (fill < GiB(4)) {
        r = largest_hole(p, fill);
        if (r.end - r.start >= want) {
            p->scratch = r;
            return;
        }
    }
    r = largest_hole(p, MiB(128));      /* never the first 128 MiB: the kernel lives there */
    while (want > SCRATCH_ALIGN && r.end - r.start < 2 * want)
        want = ROUND_DOWN(want / 2, SCRATCH_ALIGN);     /* do not take more than half of it away */
    if (r.end - r.start >= want)
        p->scratch = (struct dom0_range){ r.end - want, r.end };
}

static void record_taken(struct plan *p, paddr_t start, paddr_t end)
{
    struct dom0_range *last = p->nr_taken ? &p->taken[p->nr_taken - 1] : NULL;

    if (last && last->end == start)
        last->end = end;
    else
        p->taken[p->nr_taken++] = (struct dom0_range){ start, end };
}

/* Take what can be had of [start, end), halving refused pieces on 2 MiB and then on page borders. */
static void take_range(struct plan *p, paddr_t start, paddr_t end)
{
    paddr_t mid;
    u64 unit;

    if (!p->left || start >= end || p->nr_taken == MAX_TAKEN)
        return;
    end = MIN(end, start + p->left);
    if (p->rq->take(p->rq->ctx, start, end)) {
        record_taken(p, start, end);
        p->left -= end - start;
        return;
    }
    unit = end - start > SZ_2M ? SZ_2M : PAGE_SIZE;
    mid = ROUND_DOWN(start + (end - start) / 2, unit);
    if (mid <= start)
        mid = start + PAGE_SIZE;
    if (mid >= end)
        return;                     /* a single page that somebody else has */
    take_range(p, start, mid);
    take_range(p, mid, end);
}

static void take_all(struct plan *p)
{
    unsigned i;

    p->left = ROUND_DOWN(p->rq->ram_bytes, PAGE_SIZE);
    for (i = 0; i < p->nr_host; i++) {
        paddr_t start = ROUND_UP(p->host[i].start, PAGE_SIZE), end = ROUND_DOWN(p->host[i].end, PAGE_SIZE);
        if (p->host[i].type != MEM_RAM || start >= end)
            continue;
        if (overlap(start, end, p->scratch.start, p->scratch.end)) {
            take_range(p, start, p->scratch.start);
            start = p->scratch.end;
        }
        take_range(p, start, end);
    }
}

static void emit(struct dom0_map *m, paddr_t start, paddr_t end, u32 type)
{
    struct boot_range *last = m->nr ? &m->e[m->nr - 1] : NULL;

    if (start >= end)
        return;
    if (type == MEM_RAM)
        m->ram_bytes += end - start;
    if (last && last->end == start && last->type == type)
        last->end = end;
    else if (m->nr < DOM0_MAP_MAX)
        m->e[m->nr++] = (struct boot_range){ start, end, type };
    else
        m->overflow = true;
}

/* Host RAM that dom0 did not get: UNUSABLE, except for the scratch hole. */
static void emit_unusable(struct dom0_map *m, paddr_t start, paddr_t end)
{
    emit(m, start, MIN(end, MAX(start, m->scratch.start)), MEM_UNUSABLE);
    emit(m, MAX(start, m->scratch.end), end, MEM_UNUSABLE);
}

static void emit_ram(struct dom0_map *m, const struct plan *p, paddr_t start, paddr_t end)
{
    unsigned i;

    for (i = 0; i < p->nr_taken; i++) {
        const struct dom0_range *t = &p->taken[i];
        if (!overlap(start, end, t->start, t->end))
            continue;
        emit_unusable(m, start, t->start);
        emit(m, MAX(start, t->start), MIN(end, t->end), MEM_RAM);
        start = MIN(end, t->end);
    }
    if (start < end)
        emit_unusable(m, start, end);
}

void dom0_map_make(struct dom0_map *m, const struct dom0_map_request *rq)
{
    static struct plan plan;        /* boot only; too large for the stack */
    struct plan *p = &plan;
    unsigned i;

    *p = (struct plan){ .rq = rq };
    *m = (struct dom0_map){ 0 };
    for (i = 0; i < rq->nr_host; i++)
        insert_host(p, rq->host[i]);
    for (i = 0; i < rq->nr_reserve; i++)
        add_reserve(p, rq->reserve[i].start, rq->reserve[i].end);
    choose_scratch(p);
    m->scratch = p->scratch;
    take_all(p);
    for (i = 0; i < p->nr_host; i++) {
        const struct boot_range *h = &p->host[i];
        if (h->type == MEM_RAM)
            emit_ram(m, p, ROUND_UP(h->start, PAGE_SIZE), ROUND_DOWN(h->end, PAGE_SIZE));
        else
            emit(m, h->start, h->end, h->type);
    }
}

static void insert_entry(struct dom0_map *m, unsigned at, struct boot_range r)
{
    unsigned j;

    for (j = m->nr++; j > at; j--)
        m->e[j] = m->e[j - 1];
    m->e[at] = r;
}

bool dom0_map_retype(struct dom0_map *m, paddr_t start, paddr_t end, u32 type)
{
    unsigned i;

    for (i = 0; i < m->nr; i++)
        if (m->e[i].type == MEM_RAM && start >= m->e[i].start && end <= m->e[i].end)
            break;
    if (i == m->nr || start >= end || m->nr + 2 > DOM0_MAP_MAX)
        return false;
    if (end < m->e[i].end)
        insert_entry(m, i + 1, (struct boot_range){ end, m->e[i].end, MEM_RAM });
    m->e[i].end = start;
    m->ram_bytes -= end - start;
    if (i + 1 < m->nr && m->e[i + 1].start == end && m->e[i + 1].type == type)
        m->e[i + 1].start = start;
    else
        insert_entry(m, i + 1, (struct boot_range){ start, end, type });
    if (m->e[i].start == m->e[i].end) {     /* nothing left of it */
        for (m->nr--; i < m->nr; i++)
            m->e[i] = m->e[i + 1];
    }
    return true;
}

paddr_t dom0_map_carve(struct dom0_map *m, u64 bytes, u32 type)
{
    unsigned i, k;

    bytes = ROUND_UP(bytes, PAGE_SIZE);
    for (k = 0; k < ARRAY_SIZE(m->carved) && m->carved[k].end; k++)
        ;
    for (i = m->nr; i-- > 0 && k < ARRAY_SIZE(m->carved);) {
        const struct boot_range *r = &m->e[i];
        paddr_t start = r->end - bytes, end = r->end;
        if (r->type != MEM_RAM || r->start < MiB(1) || end > GiB(4) || end - r->start < MAX(MiB(8), 2 * bytes))
            continue;
        if (!dom0_map_retype(m, start, end, type))
            return 0;
        m->carved[k] = (struct dom0_range){ start, end };
        return start;
    }
    return 0;
}

bool dom0_map_owns(const struct dom0_map *m, paddr_t p)
{
    unsigned k;

    for (k = 0; k < ARRAY_SIZE(m->carved); k++)
        if (p >= m->carved[k].start && p < m->carved[k].end)
            return true;
    return dom0_map_is_ram(m, p, p + PAGE_SIZE);
}

paddr_t dom0_map_find(const struct dom0_map *m, u64 size, u64 align, paddr_t below,
                      const struct dom0_range *avoid, unsigned nr_avoid)
{
    paddr_t start, end, pos;
    unsigned i, j;

    if (!size)
        return 0;
    for (i = m->nr; i-- > 0;) {
        start = MAX(m->e[i].start, MiB(1));
        end = MIN(m->e[i].end, below);
        if (m->e[i].type != MEM_RAM)
            continue;
        while (end > start && end - start >= size) {
            pos = ROUND_DOWN(end - size, align);
            if (pos < start)
                break;
            for (j = 0; j < nr_avoid; j++)
                if (overlap(pos, pos + size, avoid[j].start, avoid[j].end))
                    break;
            if (j == nr_avoid)
                return pos;
            end = avoid[j].start;
        }
    }
    return 0;
}

bool dom0_map_is_ram(const struct dom0_map *m, paddr_t start, paddr_t end)
{
    unsigned i;

    for (i = 0; i < m->nr; i++)
        if (m->e[i].type == MEM_RAM && start >= m->e[i].start && end <= m->e[i].end && start < end)
            return true;
    return false;
}
