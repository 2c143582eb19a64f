/* SPDX-License-Identifier: MIT */
/*
 * I/O ports. A domain has a sorted table of handlers; what nobody claims goes to the domain's default (a device
 * model) or reads all ones and ignores writes (R10). Only dom0 has a permission map of its own; all others share
 * one in which every port exits.
 */
#include "hvm/hvm_vcpu.h"
#include "debug/console.h"

#define IO_BITMAP_SIZE (3 * PAGE_SIZE)          /* APM 2, 15.10.1: 64 K ports and the wrap at the end */

static void *shared_map(void)
{
#ifdef HOSTED
    static u8 map[IO_BITMAP_SIZE] __aligned(4096);
#else
    static u8 *map;
    if (!map) map = kzalloc(IO_BITMAP_SIZE);
    if (!map) return NULL;
#endif
    if (!map[0]) memset(map, 0xff, IO_BITMAP_SIZE);
    return map;
}

const void *pio_bitmap(const struct domain *d)
{
    return d->hvm->io_bitmap ?: shared_map();
}

/* Index of the first handler that ends at or after port. */
static unsigned search(const struct hvm_domain *h, unsigned nr, u32 port)
{
    unsigned lo = 0, hi = nr;
    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;
        if (h->pio.h[mid].last < port) lo = mid + 1;
        else hi = mid;
    }
    return lo;
}

enum cover { COVER_NONE, COVER_ALL, COVER_PART };

/* Does a handler cover [port, port + size)? COVER_ALL: *fn and *arg are its. Inline: this is the hot path of the
 * commonest exit. */
static inline __attribute__((always_inline)) enum cover find(struct hvm_domain *h, u32 port, unsigned size,
                                                             pio_fn *fn, void **arg)
{
    u32 seq, last = port + size - 1;
    enum cover c;
    do {
        seq = load_acquire(&h->pio.seq);
        unsigned nr = MIN(read_once(&h->pio.nr), PIO_HANDLERS);
        const struct pio_handler *e = &h->pio.h[search(h, nr, port)];
        c = COVER_NONE;
        if (e < &h->pio.h[nr] && e->first <= last) {
            c = e->first <= port && last <= e->last ? COVER_ALL : COVER_PART;
            *fn = e->fn;
            *arg = e->arg;
        }
        smp_rmb();
    } while (unlikely((seq & 1) || seq != read_once(&h->pio.seq)));
    return c;
}

static inline u32 ones(unsigned size) { return (u32)((1ULL << (8 * size)) - 1); }

/* Byte by byte, as the bus would split it. */
static __attribute__((noinline)) void split(struct vcpu *v, u16 port, unsigned size, bool write, u32 *val)
{
    u32 all = 0;
    for (unsigned i = 0; i < size; i++) {
        u32 b = *val >> (8 * i) & 0xff;
        pio_access(v, (u16)(port + i), 1, write, &b);
        all |= (b & 0xff) << (8 * i);
    }
    if (!write) *val = all;
}

void pio_access(struct vcpu *v, u16 port, unsigned size, bool write, u32 *val)
{
    struct hvm_domain *h = v->dom->hvm;
    pio_fn fn = NULL;
    void *arg = NULL;
    switch (find(h, port, size, &fn, &arg)) {
    case COVER_ALL:
        break;
    case COVER_PART:
        if (size > 1) {
            split(v, port, size, write, val);
            return;
        }
        break;
    case COVER_NONE:
        fn = h->pio.fn;
        arg = h->pio.arg;
        break;
    }
    if (!write) *val = ones(size);
    if (fn) {
        fn(v, port, size, write, val, arg);
        if (!write) *val &= ones(size);
    }
}

/* Whole words in the middle: dom0 opens all 65536 ports at boot. */
static void bitmap_set(struct hvm_domain *h, u16 first, u16 last, bool exit)
{
    u64 *m = h->io_bitmap;
    if (!m) return;
    for (unsigned w = first / 64; w <= last / 64u; w++) {
        u64 mask = ~0ULL;
        if (w == first / 64u) mask &= ~0ULL << first % 64;
        if (w == last / 64u) mask &= ~0ULL >> (63 - last % 64);
        if (exit) m[w] |= mask;
        else m[w] &= ~mask;
    }
}

int pio_register(struct domain *d, u16 first, u16 last, pio_fn fn, void *arg)
{
    struct hvm_domain *h = d->hvm;
    unsigned nr = h->pio.nr, i = search(h, nr, first);
    if (last < first) return -EINVAL;
    if (nr == PIO_HANDLERS) return -ENOMEM;
    if (i < nr && h->pio.h[i].first <= last) return -EEXIST;
    write_once(&h->pio.seq, h->pio.seq + 1);
    smp_wmb();
    memmove(&h->pio.h[i + 1], &h->pio.h[i], (nr - i) * sizeof(h->pio.h[0]));
    h->pio.h[i] = (struct pio_handler){ first, last, fn, arg };
    write_once(&h->pio.nr, nr + 1);
    store_release(&h->pio.seq, h->pio.seq + 1);
    bitmap_set(h, first, last, true);
    return 0;
}

/* Ports with a handler stay intercepted whatever is asked. Domains without a map of their own own no devices. */
void pio_passthrough(struct domain *d, u16 first, u16 last, bool allow)
{
    struct hvm_domain *h = d->hvm;
    if (!h->io_bitmap || first > last) return;
    bitmap_set(h, first, last, !allow);
    for (unsigned i = 0; allow && i < h->pio.nr; i++)
        bitmap_set(h, h->pio.h[i].first, h->pio.h[i].last, true);
}

void pio_set_default(struct domain *d, pio_fn fn, void *arg)
{
    d->hvm->pio.arg = arg;
    d->hvm->pio.fn = fn;
}

/* ---- ports that every domain has ---- */

/* Debug port: bytes make a line of the domain's console output (hvmloader, firmware, test kernels). */
static void debug_port(struct vcpu *v, u16 port, unsigned size, bool write, u32 *val, void *arg)
{
    struct domain *d = v->dom;
    char line[sizeof(d->serial_line)], c = (char)*val;
    bool flush = false;
    if (!write) return;
    if (c != '\n' && c != '\t' && (c < 32 || c > 126)) return;
    spin_lock(&d->lock);
    if (c != '\n') d->serial_line[d->serial_len++] = c;
    if (c == '\n' || d->serial_len >= sizeof(d->serial_line) - 1) {
        d->serial_line[d->serial_len] = 0;
        memcpy(line, d->serial_line, d->serial_len + 1);
        d->serial_len = 0;
        flush = true;
    }
    spin_unlock(&d->lock);
    if (flush) console_guest_line(d, line);
}

/* Counter 2 of a PIT that does not exist. Linux polls it up to 100,000 times while it reads FFh
 * (arch/x86/kernel/tsc.c, quick_pit_calibrate); any other value ends that at once. */
static void absent_pit(struct vcpu *v, u16 port, unsigned size, bool write, u32 *val, void *arg)
{
    if (!write) *val = 0;
}

int pio_domain_init(struct domain *d)
{
    struct hvm_domain *h = d->hvm;
    int rc;
    if (d->is_hwdom) {
        h->io_bitmap = kzalloc(IO_BITMAP_SIZE);
        if (!h->io_bitmap) return -ENOMEM;
        memset(h->io_bitmap, 0xff, IO_BITMAP_SIZE);
    } else if (!shared_map()) {
        return -ENOMEM;
    }
    if ((rc = pio_register(d, 0xe9, 0xe9, debug_port, NULL))) return rc;
    if (!d->is_hwdom && !(d->emulation_flags & XEN_X86_EMU_PIT)) rc = pio_register(d, 0x42, 0x42, absent_pit, NULL);
    return rc;
}

void pio_domain_destroy(struct domain *d)
{
    kfree(d->hvm->io_bitmap);
    d->hvm->io_bitmap = NULL;
}
