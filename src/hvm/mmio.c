/* SPDX-License-Identifier: MIT */
/* Guest-physical ranges with a handler. Sorted table, at most one handler per address. See hvm_vcpu.h for `seq`. */
#include "hvm/hvm_vcpu.h"
#include "hvm/vlapic.h"

#define MMIO_MAX_DOM0 1024          /* ECAM windows, IO-APICs, MSI-X tables of every device */
#define MMIO_MAX_DOMU 16

static unsigned search(const struct hvm_domain *h, unsigned nr, gpa_t addr)
{
    unsigned lo = 0, hi = nr;
    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;
        if (h->mmio.h[mid].end <= addr) lo = mid + 1;
        else hi = mid;
    }
    return lo;
}

static bool find(struct hvm_domain *h, gpa_t addr, unsigned size, struct mmio_handler *out)
{
    u32 seq;
    bool found;
    do {
        seq = load_acquire(&h->mmio.seq);
        unsigned nr = MIN(read_once(&h->mmio.nr), h->mmio.max);
        unsigned i = search(h, nr, addr);
        found = i < nr && h->mmio.h[i].start <= addr && size <= h->mmio.h[i].end - addr;
        if (found) *out = h->mmio.h[i];
        smp_rmb();
    } while (unlikely((seq & 1) || seq != read_once(&h->mmio.seq)));
    return found;
}

int mmio_register(struct domain *d, gpa_t start, gpa_t end, mmio_fn fn, void *arg)
{
    struct hvm_domain *h = d->hvm;
    unsigned nr = h->mmio.nr, i = search(h, nr, start);
    if (end <= start) return -EINVAL;
    if (nr == h->mmio.max) return -ENOMEM;
    if (i < nr && h->mmio.h[i].start < end) return -EEXIST;
    write_once(&h->mmio.seq, h->mmio.seq + 1);
    smp_wmb();
    memmove(&h->mmio.h[i + 1], &h->mmio.h[i], (nr - i) * sizeof(h->mmio.h[0]));
    h->mmio.h[i] = (struct mmio_handler){ start, end, fn, arg };
    write_once(&h->mmio.nr, nr + 1);
    store_release(&h->mmio.seq, h->mmio.seq + 1);
    return 0;
}

void mmio_unregister(struct domain *d, gpa_t start)
{
    struct hvm_domain *h = d->hvm;
    unsigned nr = h->mmio.nr, i = search(h, nr, start);
    if (i == nr || h->mmio.h[i].start != start) return;
    write_once(&h->mmio.seq, h->mmio.seq + 1);
    smp_wmb();
    memmove(&h->mmio.h[i], &h->mmio.h[i + 1], (nr - i - 1) * sizeof(h->mmio.h[0]));
    write_once(&h->mmio.nr, nr - 1);
    store_release(&h->mmio.seq, h->mmio.seq + 1);
}

/* The APIC page: registers are 32 bits wide on 16-byte boundaries (APM 2, 16.3.1). Other reads see the bytes of
 * the register or zero; other writes have no effect. */
static void lapic_access(struct vcpu *v, gpa_t addr, unsigned size, bool write, u64 *val)
{
    unsigned off = addr & 0xfff;
    if (write) {
        if (size == 4 && !(off & 15)) vlapic_write_reg(v, off, (u32)*val);
        return;
    }
    *val = 0;
    if ((off & 15) + size <= 4)
        *val = (vlapic_read_reg(v, off & ~15u) >> (8 * (off & 3))) & (size == 4 ? ~0u : (1u << (8 * size)) - 1);
}

bool mmio_access(struct vcpu *v, gpa_t addr, unsigned size, bool write, u64 *val)
{
    struct mmio_handler e;
    if (vlapic_covers(v, addr) && (addr & 0xfff) + size <= PAGE_SIZE) {
        lapic_access(v, addr, size, write, val);
        return true;
    }
    if (!find(v->dom->hvm, addr, size, &e)) return false;
    if (!write) *val = 0;
    e.fn(v, addr, size, write, val, e.arg);
    if (!write && size < 8) *val &= (1ULL << (8 * size)) - 1;
    return true;
}

int mmio_domain_init(struct domain *d)
{
    struct hvm_domain *h = d->hvm;
    h->mmio.max = d->is_hwdom ? MMIO_MAX_DOM0 : MMIO_MAX_DOMU;
    h->mmio.h = kzalloc(h->mmio.max * sizeof(h->mmio.h[0]));
    return h->mmio.h ? 0 : -ENOMEM;
}

void mmio_domain_destroy(struct domain *d)
{
    kfree(d->hvm->mmio.h);
    d->hvm->mmio.h = NULL;
}
