/* SPDX-License-Identifier: MIT */
/* Architectural behaviour under SVM: faults, control registers, MSRs, string I/O, interrupts, NMI, debug registers. */
#include "verdict.h"

const char test_name[] = "cpu";

static volatile unsigned ticks, nmis, dbs, nested;
static volatile u64 db_dr6;

extern const char the_hlt[];
static volatile unsigned before_hlt;
static void on_timer(struct frame *f)
{
    ticks++;
    before_hlt += f->rip == (u64)the_hlt;
    mmio_write(LAPIC + 0xb0, 0);
}
static void on_nmi(struct frame *f)
{
    nmis++;
    if (nmis == 1) {                /* a second NMI must wait for our IRET */
        mmio_write(LAPIC + 0x300, 0x4400);
        for (volatile int i = 0; i < 1000; i++) ;
        nested = nmis != 1;
    }
}
static void on_db(struct frame *f)
{
    u64 v;
    __asm__ volatile("mov %%dr6, %0" : "=r"(v));
    db_dr6 = v;
    dbs++;
    f->rflags &= ~0x100UL;
    __asm__ volatile("mov %0, %%dr6" :: "r"(0xffff0ff0UL));
}

static void faults(void)
{
    check_eq(TRY("ud2", "i"(0)), 6);
    check_eq(TRY("int3", "i"(0)), 3);
    check_eq(TRY("movl $1, (%0)", "r"(0xffff900000000000UL)), 14);
    check_eq(TRY("movl $1, (%0)", "r"(0x0000900000000000UL)), 13);
    check_eq(TRY("movl $1, (%0)", "r"(0x7000000000UL)), 14);
    check_eq(try_error, 2);
    check_eq(TRY("vmload %%rax", "a"(0)), 6);
    check_eq(TRY("vmrun %%rax", "a"(0)), 6);
    check_eq(TRY("clgi", "a"(0)), 6);
    check_eq(TRY("stgi", "a"(0)), 6);
    check_eq(TRY("rdpmc", "c"(0)), 13);
    check_eq(TRY("invd", "a"(0)), -1);
    check_eq(TRY("wbinvd", "a"(0)), -1);
}

static void cr(void)
{
    u64 cr4 = read_cr4(), cr0 = read_cr0();
    check_eq(write_cr4_try(cr4 | 1 << 13), 13);        /* VMXE */
    check_eq(write_cr4_try(cr4 | 1UL << 40), 13);
    check_eq(write_cr4_try(cr4 & ~0x20UL), 13);        /* PAE in long mode */
    check_eq(read_cr4(), cr4);
    check_eq(write_cr4_try(cr4 | 0x280), -1);          /* PGE, OSFXSR */
    check_eq(read_cr4(), cr4 | 0x280);
    __asm__ volatile("mov %0, %%cr0" :: "r"(cr0 | 8));  /* TS: not intercepted */
    check_eq(read_cr0(), cr0 | 8);
    __asm__ volatile("clts");
    check_eq(read_cr0(), cr0);
    __asm__ volatile("mov %0, %%cr0" :: "r"(cr0 & ~0x10000UL));
    check_eq(read_cr0(), cr0 & ~0x10000UL);
    __asm__ volatile("mov %0, %%cr0" :: "r"(cr0));
    u64 v;
    check_eq(TRY("mov %0, %%cr0", "r"(cr0 & ~1UL)), 13);      /* PG without PE */
    check_eq(TRY("mov %0, %%cr0", "r"(cr0 | 1UL << 29)), 13); /* NW without CD */
    for (u64 i = 0; i < 16; i++) {
        __asm__ volatile("mov %0, %%cr8" :: "r"(i));
        __asm__ volatile("mov %%cr8, %0" : "=r"(v));
        check_eq(v, i);
        check_eq(mmio_read(LAPIC + 0x80), i << 4);
    }
    mmio_write(LAPIC + 0x80, 0x50);
    __asm__ volatile("mov %%cr8, %0" : "=r"(v));
    check_eq(v, 5);
    mmio_write(LAPIC + 0x80, 0);
    check_eq(TRY("mov %0, %%cr8", "r"(16UL)), 13);
}

static void msr(void)
{
    u64 v, efer = rdmsr(0xc0000080);
    check_eq(efer & 0x1501, 0x501);                    /* SCE LME LMA, SVME hidden */
    check_eq(wrmsr_try(0xc0000080, efer | 1 << 12), 13);
    check_eq(wrmsr_try(0xc0000080, efer & ~0x100UL), 13);
    check_eq(wrmsr_try(0xc0000080, efer | 0x800), -1);
    check_eq(rdmsr(0xc0000080), efer | 0x800);
    check_eq(wrmsr_try(0xc0000102, 0x1234567890UL), -1);
    check_eq(rdmsr(0xc0000102), 0x1234567890UL);
    check_eq(wrmsr_try(0xc0000082, 0xffffffff81000000UL), -1);
    check_eq(rdmsr(0xc0000082), 0xffffffff81000000UL);
    check_eq(rdmsr_try(0x12345, &v), 13);
    check_eq(wrmsr_try(0x40000000, 0x300000), -1);     /* hypercall page */
    check_eq(*(u8 *)0x300000, 0xb8);
    long (*stub)(u64, u64) = (void *)(0x300000 + __HYPERVISOR_xen_version * 32);
    check_eq(stub(0, 0), 0x40011);
    check_eq(rdmsr(0x277), 0x0007040600070406UL);
    check_eq(wrmsr_try(0x277, 0x0007040600070506UL), -1);
    check_eq(rdmsr(0x277), 0x0007040600070506UL);
    check_eq(wrmsr_try(0x277, 2), 13);
    check_eq(rdmsr(0xfe) & 0xff, 8);
    check_eq(wrmsr_try(0x2ff, 0x806), -1);
    check_eq(rdmsr(0x2ff), 0x806);
    check_eq(wrmsr_try(0xc0010015, 1 << 6), -1);       /* xen-shim */
}

static void string_io(void)
{
    static u8 buf[300];
    u8 *p = buf;
    u64 n = 200;
    memset(buf, 0, sizeof(buf));
    __asm__ volatile("rep insb" : "+D"(p), "+c"(n) : "d"(0x61) : "memory");
    check_eq(n, 0);
    check_eq(p - buf, 200);
    check_eq(buf[199], 0xff);
    check_eq(buf[200], 0);
    const char *s = "rep outsb to 0xE9\n";
    n = strlen(s);
    __asm__ volatile("rep outsb" : "+S"(s), "+c"(n) : "d"(0xe9) : "memory");
    check_eq(n, 0);
    u16 *w = (u16 *)(buf + 1);
    memset(buf, 0, sizeof(buf));
    n = 3;
    __asm__ volatile("std; rep insw; cld" : "+D"(w), "+c"(n) : "d"(0x61) : "memory");
    check_eq((u8 *)w - buf, 1 - 6);
    check_eq(buf[2], 0xff);
    check_eq(TRY("rep insb", "D"(0x7000000000UL), "c"(4UL), "d"(0x61)), 14);
    check_eq(try_error, 2);
    check_eq(inl(0x61), -1 & 0xffffffffL);
    check_eq(inw(0x61), 0xffff);
}

static void timer(void)
{
    trap_set(0x40, on_timer);
    mmio_write(LAPIC + 0xf0, 0x1ff);
    mmio_write(LAPIC + 0x3e0, 0xb);
    mmio_write(LAPIC + 0x320, 0x40);
    mmio_write(LAPIC + 0x380, 1000000);
    cli();
    for (unsigned i = 0; i < 3; i++) {
        ticks = 0;
        mmio_write(LAPIC + 0x380, 100000);
        __asm__ volatile("sti; hlt; cli" ::: "memory");
        check_eq(ticks, 1);
    }
    ticks = 0;
    mmio_write(LAPIC + 0x300, 0x44040);                 /* self IPI with IF clear */
    check_eq(ticks, 0);
    __asm__ volatile("sti; nop; nop; cli" ::: "memory");
    check_eq(ticks, 1);
    __asm__ volatile("mov %0, %%cr8" :: "r"(4UL));      /* TPR holds it back */
    sti();
    mmio_write(LAPIC + 0x300, 0x44040);
    for (volatile int i = 0; i < 1000; i++) ;
    check_eq(ticks, 1);
    __asm__ volatile("mov %0, %%cr8" :: "r"(0UL));
    __asm__ volatile("nop; nop");
    check_eq(ticks, 2);
    cli();
}

static void nmi(void)
{
    trap_set(2, on_nmi);
    mmio_write(LAPIC + 0x300, 0x4400);                 /* NMI to self */
    for (volatile int i = 0; i < 100000 && nmis < 2; i++) ;
    check_eq(nmis, 2);
    check_eq(nested, 0);
}

static void debug(void)
{
    u64 v;
    trap_set(1, on_db);
    __asm__ volatile("mov %0, %%dr0" :: "r"((u64)&nested));
    __asm__ volatile("mov %%dr0, %0" : "=r"(v));
    check_eq(v, (u64)&nested);
    __asm__ volatile("mov %0, %%dr7" :: "r"(0xd0401UL | 0x2));      /* write, 4 bytes */
    nested = 1;
    __asm__ volatile("nop");
    check_eq(dbs, 1);
    check_eq(db_dr6 & 15, 1);
    __asm__ volatile("mov %0, %%dr7" :: "r"(0x400UL));
    dbs = 0;
    __asm__ volatile("pushf; orl $0x100, (%%rsp); popf; nop; nop" ::: "memory", "cc");
    check_eq(dbs, 1);
    check_eq(db_dr6 & 0x4000, 0x4000);
    dbs = 0;                                            /* TF over an emulated instruction */
    __asm__ volatile("pushf; orl $0x100, (%%rsp); popf; cpuid; nop" : "=a"(v) : "a"(0) : "rbx", "rcx", "rdx", "memory");
    check_eq(dbs, 1);
}

static void xsave(void)
{
    u32 r[4], lo, hi;
    cpuid(1, 0, r);
    if (!(r[2] & 1 << 26)) {
        print("no XSAVE offered\n");
        return;
    }
    check_eq(TRY("xsetbv", "a"(3), "d"(0), "c"(0)), 6);
    check_eq(write_cr4_try(read_cr4() | 1 << 18), -1);
    cpuid(1, 0, r);
    check(r[2] & 1 << 27);
    check_eq(TRY("xsetbv", "a"(7), "d"(0), "c"(0)), -1);
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    check_eq(lo, 7);
    check_eq(TRY("xsetbv", "a"(6), "d"(0), "c"(0)), 13);
    check_eq(TRY("xsetbv", "a"(5), "d"(0), "c"(0)), 13);
    check_eq(TRY("xsetbv", "a"(7), "d"(1U << 31), "c"(0)), 13);
    check_eq(TRY("xsetbv", "a"(7), "d"(0), "c"(1)), 13);
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    check_eq(lo, 7);
}

static void mmio(void)
{
    check_eq(mmio_read(0xfed00000 + 0x8000), 0xffffffff);          /* nothing there: all ones, ignored */
    mmio_write(0xfed00000 + 0x8000, 5);
    check_eq(*(volatile u64 *)(0xfed00000 + 0x8000), -1);
    check_eq(*(volatile u8 *)(0xfed00000 + 0x8001), 0xff);
    check_eq(TRY("call *%0", "r"(0xfed08000UL)), 6);      /* all-ones code */
    __asm__ volatile("pop %%rax" ::: "rax", "memory");              /* the call's return address */
    check_eq(mmio_read(LAPIC + 0x30) & 0xff, 0x14);
}

/* STI holds interrupts back until the next instruction is done: none may come between it and HLT, however the
 * ticks fall. Ticks go on, so an interrupt at the wrong place shows as a count, not as a hang. */
static void sti_hlt(void)
{
    mmio_write(LAPIC + 0x3e0, 0xb);
    mmio_write(LAPIC + 0x320, 0x20000 | 0x40);      /* periodic */
    mmio_write(LAPIC + 0x380, 40000);
    before_hlt = 0;
    for (unsigned i = 0; i < 12000; i++) {
        __asm__ volatile("cli");
        for (volatile unsigned n = i * 7 % 400; n; n--) ;
        __asm__ volatile("sti\n.global the_hlt\nthe_hlt: hlt" ::: "memory");
    }
    mmio_write(LAPIC + 0x380, 0);
    __asm__ volatile("cli");
    check_eq(before_hlt, 0);
}

/* Many entries with an interrupt window asked for, under a fast timer of the hypervisor: ticks must go on. */
static void window(void)
{
    u32 r[4];
    cli();
    mmio_write(LAPIC + 0x320, 0x20000 | 0x40);
    mmio_write(LAPIC + 0x380, 40000);
    for (unsigned i = 0; i < 60000; i++) cpuid(0, 0, r);
    sti();
    for (volatile unsigned i = 0; i < 1000000; i++) ;
    ticks = 0;
    for (volatile unsigned i = 0; i < 10000000 && !ticks; i++) ;
    cli();
    check_eq(ticks > 0, 1);
    mmio_write(LAPIC + 0x380, 0);
}

void test_main(void)
{
    static const struct test tests[] = {
        TEST(faults),
        TEST(cr),
        TEST(msr),
        TEST(string_io),
        TEST(timer),
        TEST(nmi),
        TEST(debug),
        TEST(xsave),
        TEST(mmio),
        TEST(sti_hlt),
        TEST(window),
    };
    RUN_TESTS(tests);
}
