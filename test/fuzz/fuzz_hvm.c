/* SPDX-License-Identifier: MIT */
/*
 * Virtual devices and the instruction emulator of running vCPUs: local APIC, IO-APIC, timer, MSRs, CPUID, ports, strings
 * of ports, device memory by emulated instructions in all modes, interrupts and messages from outside, entries.
 */
#include <string.h>
#include "fake.h"
#include "fuzz.h"
#include "hvm/hvm_vcpu.h"
#include "hvm/vlapic.h"

enum { LAPIC = 0xfee00000, IOAPIC = 0xfec00000, CODE = 0x12000, TABLES = 0x20000 };

/* Identity: 1 GiB from 0 and the one with the APICs, by 2 MiB pages. */
static void make_tables(struct domain *d)
{
    u64 *l4 = fake_guest_ptr(d, TABLES), *l3 = fake_guest_ptr(d, TABLES + 0x1000);
    u64 *l2 = fake_guest_ptr(d, TABLES + 0x2000), *apic = fake_guest_ptr(d, TABLES + 0x3000);

    l4[0] = (TABLES + 0x1000) | 7;
    l3[0] = (TABLES + 0x2000) | 7;
    l3[3] = (TABLES + 0x3000) | 7;
    for (u64 i = 0; i < 512; i++) {
        l2[i] = MiB(2 * i) | 0x87;
        apic[i] = (GiB(3) + MiB(2 * i)) | 0x87;
    }
}

static void furnish(void)
{
    make_tables(fake_find_domain(0));
    make_tables(fake_find_domain(1));
}

void fuzz_start(const char *program) { world_furnish = furnish; }

static void set_mode(struct vcpu *v, u8 mode)
{
    struct vcpu_state s;
    bool real = (mode & 3) == 0, wide = (mode & 3) >= 2, paging = mode & 2;

    hvm->get_state(v, &s);
    s.cr0 = real ? 0x10 : paging ? 0x80010011 : 0x11;
    s.cr3 = TABLES;
    s.cr4 = paging ? 0x20 : 0;
    s.efer = wide ? 0x500 : 0;
    for (unsigned i = 0; i < SEG_LDTR; i++)
        s.seg[i] = (struct segment){ .sel = 8, .attr = real ? 0x93 : 0xc93, .limit = real ? 0xffff : ~0u,
                                     .base = real && i != SEG_CS ? LAPIC & ~0xffffu : real ? CODE : 0 };
    if (!real)
        s.seg[SEG_CS].attr = wide ? 0xa9b : 0xc9b;
    if (mode & 4)
        for (unsigned i = 0; i < SEG_LDTR; i++)
            s.seg[i].attr |= 0x60;              /* user mode */
    if (hvm->set_state(v, &s))
        return;
    v->regs.rip = real ? 0 : CODE;
}

static gpa_t device_address(struct input *in)
{
    u8 t = in8(in);

    switch (t >> 6) {
    case 0: return LAPIC + (u64)(t & 63) * 16;
    case 1: return IOAPIC + (t & 63);
    case 2: return SCRATCH + 0x1000 - (t & 7);
    default: return in_value(in);
    }
}

/* An instruction at CS:RIP that is said to have touched `gpa`. */
static void emulate(struct vcpu *v, struct input *in)
{
    u8 mode = in8(in), n = in8(in) & 15, code[16];
    u64 *regs = &v->regs.rax;
    gpa_t gpa = device_address(in);

    set_mode(v, mode);
    for (unsigned i = 0; i < 16; i++)
        regs[i] = i == 4 ? SCRATCH + 0x2000 : gpa + (mode >> 6);
    if (mode & 8)
        regs[in8(in) & 15] = in_value(in);
    v->regs.rflags = 2 | (mode & 0x10 ? 0x400 : 0) | (mode & 0x20 ? 0x200 : 0);
    for (unsigned i = 0; i < n; i++)
        code[i] = in8(in);
    memcpy(fake_guest_ptr(v->dom, CODE), code, n);
    u64 rip = v->regs.rip;
    enum emul_result r = emulate_mmio(v, gpa, mode & 0x20);
    if (r == EMUL_EXCEPTION || r == EMUL_UNHANDLED)
        CHECK(v->regs.rip == rip);
}

static void msr(struct vcpu *v, struct input *in)
{
    static const u32 known[] = { 0x10, 0x1b, 0x3b, 0x48, 0x49, 0x8b, 0xfe, 0x174, 0x175, 0x176, 0x179, 0x17a, 0x1a0,
        0x1d9, 0x200, 0x20f, 0x250, 0x277, 0x2ff, 0x6e0, 0xc0000080, 0xc0000081, 0xc0000082, 0xc0000100, 0xc0000102,
        0xc0000103, 0xc0010015, 0xc001001f, 0x40000000, 0x40000001, 0xd90, 0xda0 };
    u8 t = in8(in);
    u32 nr = t < 0x40 ? 0x800u + t : t < 0x60 ? known[t & 31] : t < 0x80 ? 0x200u + (t & 31) : in32(in);
    u64 val = 0;

    if (in8(in) & 1) {
        val = in_value(in);
        if (hvm_wrmsr(v, nr, val))
            return;
    } else if (!hvm_rdmsr(v, nr, &val) && (nr & ~0x3fu) == 0x800)
        CHECK(nr == 0x830 || val >> 32 == 0);
}

static void entry(struct vcpu *v)
{
    struct fake_vcpu *f = fake_vcpu(v);

    f->nr_injected = 0;
    f->queued = false;
    hvm_run(v);
    for (unsigned i = 0; i < f->nr_injected; i++)
        CHECK(f->injected[i].type != EV_EXTINT || f->injected[i].vector >= 16);
}

static void step(struct vcpu *v, struct input *in)
{
    u8 what = in8(in);
    struct cpuid_leaf leaf;
    u64 val = 0;
    u32 val32;

    switch (what & 15) {
    case 0: case 1: case 2: msr(v, in); break;
    case 3: hvm_cpuid(v, in32(in), in8(in), &leaf); break;
    case 4:
        val32 = in32(in);
        pio_access(v, in16(in), 1u << (what >> 4) % 3, what & 0x80, &val32);
        break;
    case 5:
        set_mode(v, in8(in));
        v->regs.rsi = v->regs.rdi = SCRATCH + in8(in) * 16ull;
        v->regs.rcx = in8(in);
        pio_string(v, in16(in), 1u << (what >> 4) % 3, what & 0x80, what & 0x40, 8, SEG_DS, 2);
        break;
    case 6: case 7: emulate(v, in); break;
    case 8: vlapic_write_reg(v, (in8(in) & 63) * 16u, (u32)in_value(in)); break;
    case 9: (void)vlapic_read_reg(v, in8(in) * 4u % 0x400); break;
    case 10: {
        u8 how = in8(in), vector = in8(in);
        vlapic_deliver(v->dom, (u32)in_value(in), how & 1, how >> 1 & 7, vector, how & 0x80);
        break;
    }
    case 11: vlapic_msi(v->dom, LAPIC | (u64)in16(in) << 4, in32(in)); break;
    case 12:
        val = in32(in);
        if (!mmio_access(v, device_address(in), 1u << (what >> 4 & 3), what & 0x80, &val))
            break;
        break;
    case 13: fake_interrupt(in8(in)); break;
    case 14: vlapic_set_tpr(v, in8(in)); break;
    default:
        fake_time_advance((u64)in8(in) << 18);
        timer_run();
    }
}

static void steps(void *arg)
{
    struct input *in = arg;

    while (in_more(in)) {
        u8 who = in8(in);
        struct vcpu *v = world_enter(who & 1, who >> 1 & 1);
        if (!v)
            continue;
        if (who & 0x80)
            v->regs.rflags ^= 0x200;
        step(v, in);
        assert_no_locks();
        if (who & 0x40 && !read_once(&v->flags))
            entry(v);
    }
}

void fuzz_one(struct input *in)
{
    world_make();
    world_run(steps, in);
    world_end();
}
