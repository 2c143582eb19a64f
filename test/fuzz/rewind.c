/* SPDX-License-Identifier: MIT */
/* See rewind.h. */
#include <stdlib.h>
#include <string.h>
#include "fake.h"
#include "fuzz.h"
#include "mm/block.h"
#include "rewind.h"
#if __has_feature(address_sanitizer)
#include <sanitizer/asan_interface.h>
#define all_written(p, n) ((void)0)
#else                                           /* the memory sanitizer: what we write is no news to it */
#define __asan_get_shadow_mapping(scale, offset) (*(scale) = 63)
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)0)
#define all_written(p, n) __msan_unpoison(p, n)
#endif

enum { CHECK_EVERY = 1000 };                    /* executions after which everything is compared */
enum kind { FREE, OURS, GUEST };
struct area { char *at; size_t size; char *copy; };

extern char __start_world_data[], __stop_world_data[], __start_world_bss[], __stop_world_bss[];

static struct area vars[2];
static struct frame { u8 kind, touched; char *bytes, *shadow; } *frames;      /* bytes: NULL for zeroes */
static u64 nr_frames;
static u64 touched[1u << 16];                   /* frame numbers, devices' too */
static unsigned nr_touched;
static struct cpu *cpu;
static size_t shadow_scale, shadow_offset;

/* Also over red zones, and over the shadow itself. */
static void copy(void *to, const void *from, size_t n)
{
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) :: "memory");
}

static char *frame_at(u64 m) { return frame_window + (m << PAGE_SHIFT); }
static char *shadow_of(u64 m) { return (char *)(((u64)frame_at(m) >> shadow_scale) + shadow_offset); }
static size_t shadow_bytes(void) { return PAGE_SIZE >> shadow_scale; }

/* ---- which frames were written ---- */
static void touch(u64 m)
{
    if (!frames || (m < nr_frames && frames[m].touched))
        return;
    if (m < nr_frames)
        frames[m].touched = 1;
    if (nr_touched == ARRAY_SIZE(touched))
        panic("too many frames are touched\n");
    touched[nr_touched++] = m;
}

void frames_mapped(const void *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        touch(virt_to_mfn(p).n + i);
}

/* Large mappings are mapped once and then written anywhere: every write tells its address. */
static void written(const void *addr)
{
    u64 at = (u64)addr - (u64)frame_window;

    if (!fake_hook_reads && at < fake_ram_bytes)
        touch(at >> PAGE_SHIFT);
}

/* ---- remember ---- */
static void *saved(const void *from, size_t n)
{
    void *c = malloc(n);

    copy(c, from, n);
    all_written(c, n);
    return c;
}

static bool is_zero(const char *p)
{
    return p[0] == 0 && !memcmp(p, p + 1, PAGE_SIZE - 1);
}

static void save_frame(u64 m)
{
    struct frame *f = &frames[m];
    struct block *b = block_of(MFN(m));
    unsigned i = (unsigned)(m % BLOCK_PAGES), owner = page_owner_slot(b, i);

    f->kind = page_is_free(b, i) ? FREE : owner == OWN_HEAP || owner == OWN_NONE ? OURS : GUEST;
    if (f->kind == FREE || !mfn_is_ram(MFN(m))) {
        f->kind = FREE;
        ASAN_POISON_MEMORY_REGION(frame_at(m), PAGE_SIZE);
        return;
    }
    f->shadow = saved(shadow_of(m), shadow_bytes());
    if (f->kind == OURS || !is_zero(frame_at(m)))
        f->bytes = saved(frame_at(m), PAGE_SIZE);
}

void rewind_mark(void)
{
    __asan_get_shadow_mapping(&shadow_scale, &shadow_offset);
    nr_frames = fake_ram_bytes >> PAGE_SHIFT;
    struct frame *f = calloc(nr_frames, sizeof(*f));
    frames = f;
    for (u64 m = 0; m < nr_frames; m++)
        save_frame(m);
    fake_hook = written;
    cpu = this_cpu_ptr;
    vars[0] = (struct area){ __start_world_data, (size_t)(__stop_world_data - __start_world_data), NULL };
    vars[1] = (struct area){ __start_world_bss, (size_t)(__stop_world_bss - __start_world_bss), NULL };
    for (unsigned i = 0; i < ARRAY_SIZE(vars); i++)
        vars[i].copy = saved(vars[i].at, vars[i].size);
    nr_touched = 0;
}

/* ---- go back ---- */
static void restore(u64 m)
{
    struct frame *f = &frames[m];

    if (f->kind == FREE) {
        ASAN_POISON_MEMORY_REGION(frame_at(m), PAGE_SIZE);
        return;
    }
    copy(shadow_of(m), f->shadow, shadow_bytes());
    if (f->bytes)
        copy(frame_at(m), f->bytes, PAGE_SIZE);
    else
        memset(frame_at(m), 0, PAGE_SIZE);
    all_written(frame_at(m), PAGE_SIZE);
}

/* Was a guest's frame written without anybody noticing? */
static void check(u64 m)
{
    static const char zero[PAGE_SIZE];
    const struct frame *f = &frames[m];

    if (f->kind == GUEST && memcmp(frame_at(m), f->bytes ? f->bytes : zero, PAGE_SIZE))
        panic("frame %llx was not put back\n", (unsigned long long)m);
}

void rewind_world(void)
{
    static unsigned runs;

    for (unsigned i = 0; i < ARRAY_SIZE(vars); i++) {
        copy(vars[i].at, vars[i].copy, vars[i].size);
        all_written(vars[i].at, vars[i].size);
    }
    this_cpu_ptr = cpu;
    while (nr_touched) {
        u64 m = touched[--nr_touched];
        if (m >= nr_frames) {
            memset(frame_at(m), 0, PAGE_SIZE);              /* device memory */
            continue;
        }
        frames[m].touched = 0;
        if (frames[m].kind != OURS)
            restore(m);
    }
    for (u64 m = 0; m < nr_frames; m++)
        if (frames[m].kind == OURS)
            restore(m);
    if (runs++ % CHECK_EVERY == 0)
        for (u64 m = 0; m < nr_frames; m++)
            check(m);
}
