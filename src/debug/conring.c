/* SPDX-License-Identifier: MIT */
/*
 * Ring of console output that `xl dmesg` and xenconsoled --log=hv read. Positions are free-running 32-bit
 * counters; the byte of position p is ring[p & mask]. A static ring serves from the first message on and is
 * replaced by a larger one (conring_size=) once the heap works.
 */
#include "debug/internal.h"
#include "mm/mm.h"

#define EARLY_SIZE KiB(32)
static char early_ring[EARLY_SIZE];
static char *ring = early_ring;
size_t conring_bytes = EARLY_SIZE;
static u32 prod, cons;              /* written so far; first position shown to non-incremental readers */

void conring_put(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ring[prod++ & (conring_bytes - 1)] = s[i];
    if (prod - cons > conring_bytes)
        cons = prod - (u32)conring_bytes;
}

void conring_grow(size_t size)
{
    size_t bytes = conring_bytes;
    while (bytes < size && bytes < MiB(2))
        bytes <<= 1;
    char *bigger = bytes > conring_bytes ? kzalloc(bytes) : NULL;
    if (!bigger)
        return;
    console_lock();
    for (u32 p = cons; p != prod; p++)
        bigger[p & (bytes - 1)] = ring[p & (conring_bytes - 1)];
    ring = bigger;
    conring_bytes = bytes;
    console_unlock();
}

size_t conring_read(char *buf, size_t n, u32 *index, bool incremental)
{
    size_t done = 0;
    console_lock();
    u32 p = cons;
    if (incremental && (s32)(*index - p) > 0)
        p = *index;
    if ((s32)(prod - p) < 0)        /* a position that was never written */
        p = prod;
    while (p != prod && done < n)
        buf[done++] = ring[p++ & (conring_bytes - 1)];
    *index = p;
    console_unlock();
    return done;
}

void conring_clear(void)
{
    console_lock();
    cons = prod;
    console_unlock();
}

void conring_replay(void (*fn)(const char *s, size_t n))
{
    for (u32 p = cons; p != prod; p++)
        fn(&ring[p & (conring_bytes - 1)], 1);
}
