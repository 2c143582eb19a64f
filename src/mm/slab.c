/* SPDX-License-Identifier: MIT */
/*
 * Hypervisor heap, objects. Small sizes are rounded up to a class, and a page is cut into equal objects behind a
 * header that names the class, so kfree() needs no size. Larger requests get whole pages, are page aligned (which no
 * small object is) and, beyond one page, have a record of their length in a hash table. The hosted build poisons
 * what is free, so that AddressSanitizer sees uses after kfree().
 */
#include "lib/lib.h"
#include "lib/list.h"
#include "mm/block.h"
#include "mm/poison.h"

#define HEADER 64u
#define SLAB_MAGIC 0x51abu
#define NR_CLASSES ARRAY_SIZE(class_size)
#define HASH 64u

static const u16 class_size[] = { 16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 672, 1008, 1344, 2016 };

struct slab {
    struct list node;               /* on its class's list while it has a free object */
    u64 free[4];
    u16 class, nr_free, magic;
};
STATIC_ASSERT(sizeof(struct slab) <= HEADER);

struct large { struct large *next; void *p; u64 pages; };

static struct spinlock slab_lock = SPINLOCK(RANK_HEAP);
static struct list slabs[ARRAY_SIZE(class_size)];
static struct large *large[HASH];

/* What is allocated at the moment, for tests that look for leaks: small objects, and pages that are no slabs. */
#ifdef HOSTED
static u64 live_objects, slab_pages;
#define COUNT(what, n) ((what) += (u64)(n))
u64 heap_objects(void) { return live_objects + heap_pages_used() - slab_pages; }
#else
#define COUNT(what, n) ((void)0)
#endif

void slab_init(void)
{
#ifdef HOSTED
    live_objects = slab_pages = 0;
#endif
    spin_init(&slab_lock, RANK_HEAP);
    for (unsigned c = 0; c < NR_CLASSES; c++)
        list_init(&slabs[c]);
    memset(large, 0, sizeof(large));
}

static unsigned objects(unsigned class) { return (PAGE_SIZE - HEADER) / class_size[class]; }

static unsigned class_of(size_t size)
{
    unsigned c = 0;

    while (class_size[c] < size)
        c++;
    return c;
}

static struct slab *slab_new(unsigned class)
{
    struct slab *s = pages_alloc(0);

    if (!s)
        return NULL;
    COUNT(slab_pages, 1);
    s->class = (u16)class;
    s->magic = SLAB_MAGIC;
    s->nr_free = (u16)objects(class);
    for (unsigned i = 0; i < s->nr_free; i++)
        bit_set(s->free, i);
    POISON((char *)s + HEADER, PAGE_SIZE - HEADER);
    return s;
}

static void *take_object(struct slab *s)
{
    unsigned w = 0;

    while (!s->free[w])
        w++;
    unsigned i = w * 64 + ffs64(s->free[w]);
    bit_clear(s->free, i);
    if (--s->nr_free == 0)
        list_del(&s->node);
    void *p = (char *)s + HEADER + i * class_size[s->class];
    UNPOISON(p, class_size[s->class]);
    return p;
}

static void *small_alloc(size_t size)
{
    unsigned c = class_of(size);
    struct slab *fresh = NULL;

    if (fail_point())
        return NULL;
    for (;;) {
        spin_lock(&slab_lock);
        if (fresh)
            list_add(&slabs[c], &fresh->node);
        if (!list_empty(&slabs[c])) {
            void *p = take_object(list_entry(slabs[c].next, struct slab, node));
            COUNT(live_objects, 1);
            spin_unlock(&slab_lock);
            memset(p, 0, class_size[c]);
            return p;
        }
        spin_unlock(&slab_lock);    /* the page level's lock comes before ours */
        fresh = slab_new(c);
        if (!fresh)
            return NULL;
    }
}

static unsigned hash(const void *p) { return (u64)p / PAGE_SIZE % HASH; }

static void *large_alloc(size_t size)
{
    u64 pages = ROUND_UP(size, PAGE_SIZE) / PAGE_SIZE;
    unsigned order = pages > 1 ? fls64(pages - 1) + 1 : 0;
    struct large *l = NULL;

    if (pages > 1 && !(l = small_alloc(sizeof(*l))))
        return NULL;
    char *p = pages_alloc(order);
    if (!p) {
        kfree(l);
        return NULL;
    }
    for (u64 i = pages; i < 1ULL << order; i++)
        pages_free(p + i * PAGE_SIZE, 0);
    if (l) {
        spin_lock(&slab_lock);
        *l = (struct large){ .next = large[hash(p)], .p = p, .pages = pages };
        large[hash(p)] = l;
        spin_unlock(&slab_lock);
    }
    return p;
}

void *kzalloc(size_t size)
{
    if (size <= class_size[NR_CLASSES - 1])
        return small_alloc(size ? size : 1);
    return size <= SZ_2M ? large_alloc(size) : NULL;
}

static void large_free(char *p)
{
    struct large **l, *found;
    u64 pages = 1;

    spin_lock(&slab_lock);
    for (l = &large[hash(p)]; *l && (*l)->p != p; )
        l = &(*l)->next;
    found = *l;
    if (found) {
        pages = found->pages;
        *l = found->next;
    }
    spin_unlock(&slab_lock);
    kfree(found);
    for (u64 i = 0; i < pages; i++)
        pages_free(p + i * PAGE_SIZE, 0);
}

void kfree(void *p)
{
    if (!p)
        return;
    if ((u64)p % PAGE_SIZE == 0) {
        large_free(p);
        return;
    }
    struct slab *s = (struct slab *)((u64)p & PAGE_MASK);
    if (s->magic != SLAB_MAGIC)
        panic("kfree(%p): not from the heap\n", p);
    unsigned i = (unsigned)((char *)p - (char *)s - HEADER) / class_size[s->class];
    bool empty = false;

    spin_lock(&slab_lock);
    if (bit_test(s->free, i))
        panic("kfree(%p): freed twice\n", p);
    bit_set(s->free, i);
    COUNT(live_objects, -1);
    POISON(p, class_size[s->class]);
    if (s->nr_free++ == 0)
        list_add(&slabs[s->class], &s->node);
    /* Keep one spare page per class: the list's last one stays. */
    if (s->nr_free == objects(s->class) && (s->node.next != s->node.prev)) {
        list_del(&s->node);
        empty = true;
    }
    spin_unlock(&slab_lock);
    if (empty) {
        COUNT(slab_pages, -1);
        s->magic = 0;
        pages_free(s, 0);
    }
}
