/* SPDX-License-Identifier: MIT */
/* The guest around an instruction: registers, segments, data memory with devices or holes behind it. */
#pragma once
#include <stdarg.h>
#include <stdlib.h>
#include <setjmp.h>
#include <cmocka.h>
#include <sys/mman.h>
#include "hvm/emulate.h"
#include "hvm/vlapic.h"

static struct domain dom;
static struct vcpu v0 = { .dom = &dom };
static struct vcpu_state st;
static struct { unsigned n, vector; u32 error; u64 cr2; } fault;
static unsigned skips, walks, device_reads, device_writes;
static u8 xarea[4096] __aligned(64);
static bool has_avx;

/* Data memory: window of the guest's linear (= physical) addresses, backed by `shadow`. */
#define DATA_LEN 0x4000ul
static u8 *data, *code;                 /* as the native run sees them */
static u8 shadow[DATA_LEN];
static enum { BACK_DEVICE, BACK_RAM, BACK_NONE } backing;
static u64 hole;                        /* a page that is not present; ~0: none */
static u64 ro_page = ~0ull;

static bool in_data(u64 a, u64 n) { return a >= (u64)data && n <= DATA_LEN && a - (u64)data <= DATA_LEN - n; }
static u64 gpa_xor;                     /* linear ^ physical, to see that translations are used */

int guest_walk(struct vcpu *v, gva_t va, unsigned flags, gpa_t *gpa, u32 *pfec)
{
    walks++;
    if ((va & PAGE_MASK) == hole || ((flags & GW_WRITE) && (va & PAGE_MASK) == ro_page)) {
        *pfec = ((va & PAGE_MASK) != hole) | (flags & GW_WRITE ? 2 : 0) | (flags & GW_USER ? 4 : 0);
        return -EFAULT;
    }
    *gpa = va ^ gpa_xor;
    return 0;
}
int guest_read_gpa(struct domain *d, void *dst, gpa_t src, size_t len)
{
    assert_true((src & ~PAGE_MASK) + len <= PAGE_SIZE);
    src ^= gpa_xor;
    if (src >= (u64)code && src < (u64)code + 2 * PAGE_SIZE)
        memcpy(dst, (void *)src, len);
    else if (backing == BACK_RAM && in_data(src, len))
        memcpy(dst, shadow + (src - (u64)data), len);
    else
        return -EFAULT;
    return 0;
}
int guest_write_gpa(struct domain *d, gpa_t dst, const void *src, size_t len)
{
    dst ^= gpa_xor;
    if (backing != BACK_RAM || !in_data(dst, len))
        return -EFAULT;
    memcpy(shadow + (dst - (u64)data), src, len);
    return 0;
}
bool mmio_access(struct vcpu *v, gpa_t addr, unsigned size, bool write, u64 *val)
{
    assert_true(size == 1 || size == 2 || size == 4 || size == 8);
    assert_int_equal(addr & (size - 1), 0);
    addr ^= gpa_xor;
    if (backing != BACK_DEVICE || !in_data(addr, size))
        return false;
    if (write)
        device_writes++;
    else
        device_reads++;
    if (write) {
        assert_true(size == 8 || *val >> (size * 8) == 0);
        memcpy(shadow + (addr - (u64)data), val, size);
    } else {
        *val = 0;
        memcpy(val, shadow + (addr - (u64)data), size);
    }
    return true;
}
void hvm_inject_exception(struct vcpu *v, u8 vector, u32 error)
{
    fault.n++;
    fault.vector = vector;
    fault.error = error;
}
void hvm_inject_page_fault(struct vcpu *v, u64 cr2, u32 error)
{
    hvm_inject_exception(v, 14, error);
    fault.cr2 = cr2;
}
void *hvm_xstate(struct vcpu *v, size_t *size)
{
    *size = has_avx ? 832 : 576;
    return xarea;
}
static u64 lapic_gpa = ~0ull;
static u32 lapic_reg[0x400];
static unsigned lapic_writes;
bool vlapic_covers(struct vcpu *v, gpa_t gpa) { return (gpa & PAGE_MASK) == lapic_gpa; }
u32 vlapic_read_reg(struct vcpu *v, unsigned off) { return lapic_reg[(off / 4) & 0x3ff] >> (off & 3) * 8; }
void vlapic_write_reg(struct vcpu *v, unsigned off, u32 val)
{
    lapic_writes++;
    assert_int_equal(off & 3, 0);
    lapic_reg[(off / 4) & 0x3ff] = val;
}
static void get_paging(struct vcpu *v, struct paging_state *p)
{
    *p = (struct paging_state){ .cr0 = st.cr0, .cr3 = st.cr3, .cr4 = st.cr4, .efer = st.efer,
                                .rflags = v->regs.rflags, .cpl = st.seg[SEG_SS].attr >> 5 & 3 };
}
static void get_segment(struct vcpu *v, unsigned seg, struct segment *s) { *s = st.seg[seg]; }
static void skipped(struct vcpu *v) { skips++; }
static const struct hvm_ops ops = { .name = "test", .get_paging = get_paging, .get_segment = get_segment,
                                    .skipped = skipped };
const struct hvm_ops *hvm = &ops;

enum { DATA_SEG = 0xc93, CODE32 = 0xc9b, CODE64 = 0xa9b };
static u64 load(const void *p, unsigned size)
{
    u64 val = 0;
    memcpy(&val, p, size);
    return val;
}
static void store(void *p, u64 val, unsigned size) { memcpy(p, &val, size); }

static void mode(unsigned m)            /* 8: 64-bit, 4: 32-bit protected, 2: real mode */
{
    memset(&st, 0, sizeof(st));
    st.cr0 = m == 2 ? 0x10 : 0x80000011;
    st.cr4 = 0x20;
    st.efer = m == 8 ? 0x500 : 0;
    for (unsigned i = 0; i < SEG_LDTR; i++) {
        st.seg[i] = (struct segment){ .sel = (u16)(8 * i + 8), .attr = DATA_SEG, .limit = ~0u };
        if (m == 2)
            st.seg[i] = (struct segment){ .attr = 0x93, .limit = 0xffff };
    }
    if (m != 2)
        st.seg[SEG_CS].attr = m == 8 ? CODE64 : CODE32;
    memset(&fault, 0, sizeof(fault));
    hole = ~0ull;
    ro_page = ~0ull;
    gpa_xor = 0;
    backing = BACK_DEVICE;
    skips = walks = device_reads = device_writes = 0;
}

static int setup(void **state)
{
    /* Low addresses, so that 32-bit code and absolute operands reach them. */
    code = mmap((void *)0x20000000, 0x40000, PROT_READ | PROT_WRITE | PROT_EXEC,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (code == MAP_FAILED)
        return -1;
    data = code + 0x10000;
    has_avx = __builtin_cpu_supports("avx");
    mode(8);
    return 0;
}

static u64 interesting(void)
{
    static const u64 v[] = { 0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff,
                             0x7fffffffffffffff, 0x8000000000000000, ~0ull };

    return rand() % 2 ? v[(unsigned)rand() % ARRAY_SIZE(v)] : (u64)rand() << 42 ^ (u64)rand() << 21 ^ (u64)rand();
}
