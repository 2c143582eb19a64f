/* SPDX-License-Identifier: MIT */
/*
 * Advisories that one processor can try: state that a vCPU leaves behind for the next, instructions and modes that a guest
 * should not get anywhere with, operations that do not exist. Guests share dom0's only CPU.
 */
#include "build.h"

const char test_name[] = "xsa";
#define ARGS (SCRATCH + 0x500000)

/* Run a guest to its end and leave its words of result in out. */
static u64 out[8];
static bool guest_ran(unsigned vcpus, role_fn role, unsigned ms)
{
    long id = role_start(vcpus, role);
    if (!check(id > 0)) return false;
    bool ended = check_eq(domain_wait((unsigned)id, ms), SHUTDOWN_poweroff);
    volatile struct dom_args *a = role_args((unsigned)id, ARGS);
    for (unsigned i = 0; a && i < 8; i++) out[i] = a->out[i];
    if (a) unmap(ARGS, 1);
    return check(domain_end((unsigned)id)) && ended;
}

/* ---- two guests that take turns on one CPU ---- */
static void yield(void) { hc_sched_op(SCHEDOP_yield, NULL); }
#define TURNS 10000

/* The other way to leave the CPU: SCHEDOP_block until the timer's event, 100 us from now. Its interrupt stays pending while
 * they are off, so that a timer that is faster than the call is not missed. */
#define SHARED_INFO 0x40000000UL
#define TIMER_VECTOR 0x60
static volatile unsigned timer_ticks;

static void on_timer(struct frame *f)
{
    struct shared_info *s = (void *)SHARED_INFO;
    s->vcpu_info[0].evtchn_upcall_pending = 0;
    __asm__ volatile("lock andq $0, %0; lock andq $0, %1" : "+m"(s->vcpu_info[0].evtchn_pending_sel), "+m"(s->evtchn_pending[0]));
    timer_ticks++;
    mmio_write(LAPIC + 0xb0, 0);
}

static bool timer_init(void)
{
    struct xen_add_to_physmap a = { .domid = DOMID_SELF, .space = XENMAPSPACE_shared_info, .gpfn = SHARED_INFO >> 12 };
    struct evtchn_bind_virq b = { .virq = VIRQ_TIMER };
    struct xen_hvm_evtchn_upcall_vector u = { .vector = TIMER_VECTOR };
    trap_set(TIMER_VECTOR, on_timer);
    mmio_write(LAPIC + 0xf0, 0x1ff);
    return !hc_memory_op(XENMEM_add_to_physmap, &a) && !hc_evtchn(EVTCHNOP_bind_virq, &b) &&
           !hc_hvm_op(HVMOP_set_evtchn_upcall_vector, &u);
}

static void block_100us(void)
{
    struct vcpu_set_singleshot_timer t = { .timeout_abs_ns = now_ns() + 100000 };
    hc_vcpu_op(VCPUOP_set_singleshot_timer, 0, &t);
    hc_sched_op(SCHEDOP_block, NULL);
    __asm__ volatile("sti; nop; cli" ::: "memory");
}

/* Start two and a third, newcomer; dom0 gives the first two their values. Result words: 0 wrong values, 1 end, 2 skipped. */
static bool take_turns(role_fn role)
{
    static const u64 values[] = { 0x55555554, 0xaaaaaaa8, 0 };
    long id[3];
    volatile struct dom_args *a[3];
    bool ok = true;
    for (unsigned i = 0; i < 3; i++) {
        id[i] = role_start(1, role);
        if (!check(id[i] > 0) || !(a[i] = role_args((unsigned)id[i], ARGS + i * 4096))) return false;
        a[i]->in[0] = values[i];
        a[i]->in[1] = 1;
    }
    memset(out, 0, sizeof(out));
    for (unsigned i = 0; i < 3; i++) {
        ok &= check_eq(domain_wait((unsigned)id[i], PATIENCE_MS), SHUTDOWN_poweroff);
        ok &= check_eq(a[i]->out[1], 1);
        out[0] += a[i]->out[0];
        out[2] += a[i]->out[2];
    }
    unmap(ARGS, 3);
    for (unsigned i = 0; i < 3; i++) ok &= check(domain_end((unsigned)id[i]));
    return ok;
}

static u64 my_value(void)
{
    while (!my_args()->in[1]) yield();
    return my_args()->in[0];
}

/* ---- XSA-220 ---- */
static u32 rdpkru(void)
{
    u32 v;
    __asm__ volatile(".byte 0x0f, 0x01, 0xee" : "=a"(v) : "c"(0) : "rdx");
    return v;
}
static void wrpkru(u32 v) { __asm__ volatile(".byte 0x0f, 0x01, 0xef" :: "a"(v), "c"(0), "d"(0)); }
static int xsetbv(u32 v) { return TRY("xsetbv", "a"(v), "d"(0), "c"(0)); }

static bool pku_offered(void)
{
    u32 r[4];
    cpuid(7, 0, r);
    return r[2] & 8;
}

static void g_pkru(void)
{
    volatile u64 *w = my_args()->out;
    u32 v = (u32)my_value();
    if (!pku_offered()) {
        w[2] = 1;
        w[0] += write_cr4_try(read_cr4() | 1 << 22) != 13;
        w[0] += TRY(".byte 0x0f, 0x01, 0xef", "a"(0), "c"(0), "d"(0)) != 6;
        w[1] = 1;
        return;
    }
    w[0] += write_cr4_try(read_cr4() | 1 << 22 | 1 << 18) != -1;       /* XCR0 stays x87 */
    w[0] += rdpkru() != 0;                                             /* nothing of a predecessor */
    w[0] += !timer_init();
    if (v) wrpkru(v);
    for (unsigned i = 0; i < TURNS; i++) {
        if (i % 2) block_100us();
        else yield();
        w[0] += rdpkru() != v;
        if (i % 100 == 50) w[0] += xsetbv(i % 200 == 50 ? 0x203 : 3) != -1;
        if (i % 100 == 75 && v) wrpkru(v ^= 0x3ffffffc);
    }
    w[0] += timer_ticks != TURNS / 2;
    w[1] = 1;
}

static void xsa_220_pkru(void)
{
    if (take_turns(g_pkru)) check_eq(out[0], 0);
    if (out[2]) print("PKU is not offered: its instructions fault\n");
    if (option("pku")) check_eq(out[2], 0);             /* whoever started this machine knows that it has PKU */
}

/* MPX is offered to nobody: BNDCFGS is no register. */
static void g_no_mpx(void)
{
    volatile u64 *w = my_args()->out;
    u64 v;
    u32 r[4];
    cpuid(7, 0, r);
    w[0] |= (r[1] & 1 << 14) != 0;
    w[0] |= (rdmsr_try(0xd90, &v) != 13) << 1;
    w[0] |= (wrmsr_try(0xd90, 1) != 13) << 2;
    w[0] |= (write_cr4_try(read_cr4() | 1 << 18) != -1) << 3;
    /* XSETBV of the MPX bits: unit/test_policy, as QEMU's TCG executes the instruction without an exit. */
}

static void xsa_220_no_mpx(void)
{
    if (guest_ran(1, g_no_mpx, 10000)) check_eq(out[0], 0);
}

/* ---- XSA-267: x87, SSE and AVX registers are a vCPU's own, from its first instruction on ---- */
static u8 image[4096] __attribute__((aligned(4096))), seen[1024] __attribute__((aligned(64)));

static void g_registers(void)
{
    volatile u64 *w = my_args()->out;
    u64 v = my_value();
    u32 r[4];
    w[0] += write_cr4_try(read_cr4() | 3 << 9 | 1 << 18) != -1;         /* OSFXSR, OSXMMEXCPT, OSXSAVE */
    cpuid(1, 0, r);
    u32 mask = r[2] & 1 << 28 ? 7 : 3;                                  /* with AVX */
    w[0] += xsetbv(mask) != -1;
    memset(seen, 0, sizeof(seen));
    __asm__ volatile("xsave %0" : "+m"(seen) : "a"(mask), "d"(0));
    for (unsigned i = 160; i < 416; i++) w[0] += seen[i] != 0;          /* XMM registers of a new vCPU */
    for (unsigned i = 576; i < 832; i++) w[0] += seen[i] != 0;          /* upper halves */
    memcpy(image, seen, sizeof(seen));
    *(u64 *)(image + 512) = mask;                                       /* header: all components in use */
    for (unsigned i = 0; i < 8; i++) *(u64 *)(image + 32 + 16 * i) = v + i;       /* x87: mantissas */
    for (unsigned i = 160; i < 416; i += 8) *(u64 *)(image + i) = v * 3 + i;
    for (unsigned i = 576; i < 832 && mask & 4; i += 8) *(u64 *)(image + i) = v * 5 + i;
    __asm__ volatile("xrstor %0" :: "m"(image), "a"(mask), "d"(0));
    for (unsigned i = 0; i < TURNS; i++) {
        yield();
        __asm__ volatile("xsave %0" : "+m"(seen) : "a"(mask), "d"(0));
        w[0] += memcmp(seen + 32, image + 32, 384) != 0;
        w[0] += mask & 4 && memcmp(seen + 576, image + 576, 256) != 0;
    }
    w[1] = 1;
}

static void xsa_267_registers(void)
{
    if (take_turns(g_registers)) check_eq(out[0], 0);
}

/* ---- XSA-278: virtualisation instructions ---- */
static u8 text[64];
static u64 text_rsp __attribute__((used));

/* Run bytes as code, with RAX pointing to a page; the vector of their fault, -1 if there is none. */
static int run_bytes(const u8 *b, unsigned n)
{
    memcpy(text, b, n);
    text[n] = 0xc3;
    try_vector = -1;
    __asm__ volatile("mov %%rsp, text_rsp; movq $1f, try_fixup; call *%0\n1: mov text_rsp, %%rsp; movq $0, try_fixup"
                     :: "r"(text), "a"(image) : "rcx", "rdx", "memory", "cc");
    return try_vector;
}

static void g_virtualisation(void)
{
    static const struct { u8 n, b[5]; } rows[] = {
        { 3, { 0x0f, 0x01, 0xc1 } }, { 3, { 0x0f, 0x01, 0xc2 } }, { 3, { 0x0f, 0x01, 0xc3 } }, { 3, { 0x0f, 0x01, 0xc4 } },
        { 4, { 0xf3, 0x0f, 0xc7, 0x30 } }, { 4, { 0x66, 0x0f, 0xc7, 0x30 } }, { 3, { 0x0f, 0xc7, 0x30 } },
        { 3, { 0x0f, 0xc7, 0x38 } }, { 3, { 0x0f, 0x78, 0xc0 } }, { 3, { 0x0f, 0x79, 0xc0 } },
        { 5, { 0x66, 0x0f, 0x38, 0x80, 0x00 } }, { 5, { 0x66, 0x0f, 0x38, 0x81, 0x00 } },
        { 3, { 0x0f, 0x01, 0xd8 } }, { 3, { 0x0f, 0x01, 0xda } }, { 3, { 0x0f, 0x01, 0xdb } }, { 3, { 0x0f, 0x01, 0xdc } },
        { 3, { 0x0f, 0x01, 0xdd } }, { 3, { 0x0f, 0x01, 0xde } }, { 3, { 0x0f, 0x01, 0xdf } },
    };
    volatile u64 *w = my_args()->out;
    u32 r[4];
    u64 v;
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (run_bytes(rows[i].b, rows[i].n) != 6) w[0] |= 1UL << i;
    cpuid(1, 0, r);
    w[2] += (r[2] & 1 << 5) != 0;
    cpuid(0x80000001, 0, r);
    w[2] += (r[2] & 1 << 2) != 0;
    w[2] += write_cr4_try(read_cr4() | 1 << 13) != 13;
    w[2] += wrmsr_try(0xc0000080, rdmsr(0xc0000080) | 1 << 12) != 13;
    w[2] += wrmsr_try(0xc0010117, 0x600000) != 13;                      /* VM_HSAVE_PA */
    w[2] += wrmsr_try(0x3a, 5) == -1 && !rdmsr_try(0x3a, &v) && v & 4;  /* FEATURE_CONTROL: VMX */
}

static void xsa_278_virtualisation(void)
{
    if (!guest_ran(1, g_virtualisation, 10000)) return;
    check_eq(out[0], 0);                                /* bits: rows */
    check_eq(out[2], 0);
}

/* ---- user mode, 64-bit and compatibility ---- */
static struct { u32 pad0; u64 rsp0; u8 rest[92]; } __attribute__((packed)) tss;
static u8 user_stack[4096], kernel_stack[8192] __attribute__((aligned(16)));
extern u64 gdt[];
static struct { u16 limit; u64 base; } __attribute__((packed)) gdt_at, idt_at;
static u64 my_gdt[16];
enum { USER64 = 0x1b, USER_DATA = 0x23, TSS_SEL = 0x30, USER32 = 0x43 };

static void user_mode_init(u64 rsp0)
{
    u64 base = (u64)&tss;
    memcpy(my_gdt, gdt, 8 * 8);
    tss.rsp0 = rsp0;
    my_gdt[6] = 0x0000890000000000UL | (sizeof(tss) - 1) | (base & 0xffffff) << 16 | (base >> 24 & 0xff) << 56;
    my_gdt[7] = base >> 32;
    my_gdt[8] = 0x00cffb000000ffffUL;                   /* code, ring 3, 32-bit */
    gdt_at.limit = sizeof(my_gdt) - 1;
    gdt_at.base = (u64)my_gdt;
    __asm__ volatile("lgdt %0; ltr %w1; sidt %2" :: "m"(gdt_at), "r"(TSS_SEL), "m"(idt_at) : "memory");
}

static u64 back_rsp __attribute__((used));
extern const char user_back[];
static volatile struct { u64 vector, error, rip; } came;
static void came_back(struct frame *f)
{
    came.vector = f->vector;
    came.error = f->error;
    came.rip = f->rip - (u64)text;
    f->rip = (u64)user_back;
    f->cs = 8;
    f->ss = 0x10;
    f->rsp = back_rsp;
    f->rflags = 2;
}

/* Run bytes in ring 3 until the trap that ends them. */
static void run_user(unsigned cs, u64 rflags, const u8 *b, unsigned n)
{
    memset(text, 0x90, sizeof(text));
    memcpy(text, b, n);
    text[n + 1] = 0x0f;
    text[n + 2] = 0x0b;
    __asm__ volatile(
        "push %%rbx; push %%rbp; push %%r12; push %%r13; push %%r14; push %%r15; mov %%rsp, back_rsp(%%rip)\n\t"
        "push %3; push %0; push %1; push %2; push $text; iretq\n"
        "user_back: pop %%r15; pop %%r14; pop %%r13; pop %%r12; pop %%rbp; pop %%rbx"
        :: "r"(user_stack + sizeof(user_stack)), "r"(rflags), "r"((u64)cs), "i"(USER_DATA)
        : "rax", "rcx", "rdx", "rdi", "rsi", "r8", "r9", "r10", "r11", "memory");
}

/* XSA-196: the gate's privilege decides, in each mode, and the return address is the right one. */
static void g_soft_interrupts(void)
{
    static const struct { u16 cs; u8 n, b[2], vector, rip; } rows[] = {
        { USER64, 2, { 0xcd, 0x08 }, 13, 0 }, { USER32, 2, { 0xcd, 0x08 }, 13, 0 }, { USER64, 2, { 0xcd, 0x02 }, 13, 0 },
        { USER32, 2, { 0xcd, 0x0d }, 13, 0 }, { USER64, 2, { 0xcd, 0x81 }, 13, 0 }, { USER32, 2, { 0xcd, 0x81 }, 13, 0 },
        { USER64, 2, { 0xcd, 0x80 }, 0x80, 2 }, { USER32, 2, { 0xcd, 0x80 }, 0x80, 2 }, { USER64, 1, { 0xcc }, 3, 1 },
        { USER32, 1, { 0xcc }, 3, 1 }, { USER32, 1, { 0xce }, 4, 1 }, { USER64, 1, { 0xce }, 6, 0 },
    };
    volatile u64 *w = my_args()->out;
    user_mode_init((u64)(kernel_stack + sizeof(kernel_stack)));
    static const u8 vectors_used[] = { 1, 2, 3, 4, 6, 8, 13, 0x80, 0x81 };
    for (unsigned i = 0; i < sizeof(vectors_used); i++) trap_set(vectors_used[i], came_back);
    static const u8 open[] = { 3, 4, 0x80 };            /* gates that ring 3 may use */
    for (unsigned i = 0; i < sizeof(open); i++) ((u8 *)idt_at.base)[16 * open[i] + 5] = 0xee;
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        run_user(rows[i].cs, 0x802, rows[i].b, rows[i].n);
        bool of_gate = came.vector != 13 || (came.error & 7) == 2;      /* #GP names the gate */
        if (came.vector == rows[i].vector && of_gate && came.rip == rows[i].rip) continue;
        w[0] |= 1UL << i;
        w[1] = i;
        w[2] = came.vector;
        w[3] = came.error;
        w[4] = came.rip;
    }
}

static void xsa_196_soft_interrupts(void)
{
    if (!guest_ran(1, g_soft_interrupts, 10000)) return;
    if (!check_eq(out[0], 0))
        print("   row %lu: vector %lu error %lx at +%lu\n", out[1], out[2], out[3], out[4]);
}

/* The same with a stack or gates where no memory is: an exit comes in the middle of the delivery. */
static void g_stack_in_a_hole(void)
{
    static const u8 b[] = { 0xcd, 0x80 };
    user_mode_init(0x40001000UL);
    ((u8 *)idt_at.base)[16 * 0x80 + 5] = 0xee;
    run_user(USER64, 2, b, 2);
}

static void g_gates_in_a_hole(void)
{
    idt_at.limit = 0xfff;
    idt_at.base = 0x40000000UL;
    __asm__ volatile("lidt %0; int $0x80" :: "m"(idt_at));
}

/* XSA-156, 308, 260, 265: exceptions whose delivery raises the next one. */
static void g_debug_loop(void)
{
    /* A breakpoint on the handler's first instruction; each #DB starts with a fresh stack (IST 1 of the TSS). */
    user_mode_init((u64)(kernel_stack + sizeof(kernel_stack)));
    *(u64 *)((u8 *)&tss + 36) = (u64)(kernel_stack + sizeof(kernel_stack));
    u8 *gate = (u8 *)idt_at.base + 16;
    gate[4] = 1;
    u64 handler = *(u16 *)gate | (u64)*(u16 *)(gate + 6) << 16;
    my_args()->out[0] = 1;
    __asm__ volatile("mov %0, %%dr0; mov %1, %%dr7; int $1" :: "r"(handler), "r"(0x402UL | 1));
}

static void g_fault_loop(void)
{
    /* Every fault's handler faults at once: #PF on a code page that does not execute anything but UD2. */
    static u8 ud[2] = { 0x0f, 0x0b };
    __asm__ volatile("sidt %0" :: "m"(idt_at) : "memory");
    for (unsigned v = 0; v < 32; v++) {
        u8 *g = (u8 *)idt_at.base + 16 * v;
        *(u16 *)g = (u16)(u64)ud;
        *(u16 *)(g + 6) = (u16)((u64)ud >> 16);
    }
    static u8 small_stack[4096] __attribute__((aligned(4096)));
    my_args()->out[0] = 1;
    /* The stack wraps inside the 4 GiB that are mapped before it runs out. */
    __asm__ volatile("mov %0, %%rsp; ud2" :: "r"(small_stack + sizeof(small_stack)));
}

static void g_watched_stack_segment(void)
{
    /* MOV SS from a watched word, then an instruction that exits: the pending #DB must not end up anywhere odd. */
    static u32 selector = 0x10;
    __asm__ volatile("mov %0, %%dr0; mov %1, %%dr7" :: "r"(&selector), "r"(0xf0402UL | 1));
    for (unsigned i = 0; i < 200; i++) {
        u64 rax = __HYPERVISOR_xen_version;
        TRY("movw %1, %%ss; vmmcall", "a"(rax), "m"(selector), "D"(0), "S"(0));
        TRY("movw %1, %%ss; cpuid", "a"(0), "m"(selector), "c"(0));
        TRY("movw %1, %%ss; .byte 0xf1", "a"(0), "m"(selector));
        TRY("movw %1, %%ss; int3", "a"(0), "m"(selector));
        TRY("movw %1, %%ss; outb %%al, $0x80", "a"(0), "m"(selector));
    }
    my_args()->out[0] = 1;
}

/* Such a guest may die or go on for ever; dom0 stays responsive and can end it. */
static void contained(role_fn role)
{
    long id = role_start(1, role);
    need(id > 0);
    u64 t0 = now_ns();
    for (unsigned i = 0; i < 10; i++) sleep_ms(10);
    check(now_ns() - t0 < 3000000000UL);
    check_eq(hc_xen_version(XENVER_version, NULL), 0x40011);
    check(domain_end((unsigned)id));
}

static void xsa_196_delivery_without_memory(void)
{
    contained(g_stack_in_a_hole);
    contained(g_gates_in_a_hole);
}

static void xsa_156_exception_loops(void)
{
    contained(g_debug_loop);
    contained(g_fault_loop);
    if (guest_ran(1, g_watched_stack_segment, 10000)) check_eq(out[0], 1);
}

/* ---- XSA-454: a call from compatibility mode with dirty upper halves ---- */
static u64 compat_rsp __attribute__((used));
static long compat_call(u64 nr, u64 dirt)
{
    u64 ret = nr | dirt;
    __asm__ volatile(
        "push %%rbx; push %%rbp; push %%r12; push %%r13; push %%r14; push %%r15; mov %%rsp, compat_rsp(%%rip)\n\t"
        "mov %1, %%rbx; mov %1, %%rcx; mov %1, %%rdx; mov %1, %%rsi; mov %1, %%rdi; mov %1, %%rbp\n\t"
        "mov %1, %%r8; mov %1, %%r10\n\t"
        "push $0x28; push $1f; lretq\n\t"
        ".code32\n1: vmmcall; ljmp $8, $2f\n\t.code64\n"
        "2: mov compat_rsp(%%rip), %%rsp; pop %%r15; pop %%r14; pop %%r13; pop %%r12; pop %%rbp; pop %%rbx"
        : "+a"(ret) : "r"(dirt) : "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory");
    return (long)ret;
}

static void g_compat(void)
{
    volatile u64 *w = my_args()->out;
    for (unsigned i = 0; i < 32; i++)
        for (u64 nr = 0; nr < 64; nr++) {
            bool ends = nr == __HYPERVISOR_sched_op;    /* sub-operation 0 is to yield; never anything else here */
            compat_call(nr, ends ? 0 : 1UL << (32 + i) | 0x8000000100000000UL);
        }
    w[1] = (u64)compat_call(__HYPERVISOR_xen_version, 0xdead000000000000UL);
    w[0] = 1;
}

static void xsa_454_compat_mode(void)
{
    if (!guest_ran(1, g_compat, 20000)) return;
    check_eq(out[0], 1);
    /* By its 32 bits the call is xen_version(0); by all 64 there is none with such a number. */
    if ((u32)out[1] != 0x40011) check_eq((int)out[1], -XEN_ENOSYS);
}

/* ---- XSA-402: what a guest wrote past the caches is what the hypervisor reads, and the other way round ---- */
static u64 *alias_entry(u64 at)
{
    u64 *pdpt = (u64 *)(((u64 *)(read_cr3() & ~0xfffUL))[0] & ~0xfffUL);
    return (u64 *)(pdpt[at >> 30] & 0x000ffffffffff000UL) + (at >> 21 & 511);
}

static void g_uncached(void)
{
    static const u16 kinds[] = { 0x08, 0x10, 0x18, 0x00 };              /* PWT, PCD: WC (set below), UC-, UC, WB */
    volatile u64 *w = my_args()->out;
    wrmsr_try(0x277, 0x0007040600070106UL);
    for (unsigned k = 0; k < 4; k++) {
        *alias_entry(0x20000000) = 0x600087UL | kinds[k];
        __asm__ volatile("mov %0, %%cr3" :: "r"(read_cr3()) : "memory");
        for (unsigned i = 0; i < 200; i++) {
            struct xen_memory_reservation *past = (void *)(0x20000000UL + i * 64), *cached = (void *)(0x600000UL + i * 64);
            memset(i & 1 ? cached : past, 0, sizeof(*past));
            volatile struct evtchn_status *s = (void *)(i & 1 ? past : cached), *t = (void *)(i & 1 ? cached : past);
            *(u64 volatile *)t = *(u64 volatile *)s = 0;
            s->dom = DOMID_SELF;
            s->port = 1 << 20 | i;
            w[0] += hc_evtchn(EVTCHNOP_status, (void *)t) != -XEN_EINVAL;       /* read through one view */
            w[0] += t->port != (1 << 20 | i);
            struct xen_feature_info *f = (void *)s;
            f->submap_idx = 0;
            f->submap = 0;
            w[0] += hc_xen_version(XENVER_get_features, f) != 0;
            w[0] += ((struct xen_feature_info *)t)->submap == 0;
        }
        ((volatile u64 *)0x20000000UL)[5] = 0x5ec2e7;                   /* given up dirty: nobody sees it */
        w[0] += reservation(XENMEM_decrease_reservation, DOMID_SELF, 0x600, 0) != 1;
        w[0] += reservation(XENMEM_populate_physmap, DOMID_SELF, 0x600, 0) != 1;
        w[0] += !zeroed(0x600000, 1) || !zeroed(0x20000000, 1);
    }
    w[1] = 1;
}

static void xsa_402_uncached(void)
{
    if (!guest_ran(1, g_uncached, 20000)) return;
    check_eq(out[0], 0);
    check_eq(out[1], 1);
}

/* ---- XSA-460, 461: no device can be given away, so none with its reserved memory or its neighbours ---- */
static void xsa_461_no_passthrough(void)
{
    long id = domain_build(1);
    need(id > 0);
    unsigned d = (unsigned)id;
    u64 before = free_pages();
    memset(&dc.u, 0, sizeof(dc.u));
    dc.u.assign_device.u.pci.machine_sbdf = 0x10;             /* 0:2.0 */
    check_eq(domctl(XEN_DOMCTL_assign_device, d), -XEN_ENOSYS);
    check_eq(domctl(XEN_DOMCTL_deassign_device, d), -XEN_ENOSYS);
    check_eq(domctl(XEN_DOMCTL_test_assign_device, d), -XEN_ENOSYS);
    memset(&dc.u, 0, sizeof(dc.u));
    dc.u.memory_mapping = (struct xen_domctl_memory_mapping){ .first_gfn = 0xf0000, .first_mfn = 0xfed00, .nr_mfns = 1,
                                                              .add_mapping = 1 };
    check(domctl(XEN_DOMCTL_memory_mapping, d) < 0);
    memset(&dc.u, 0, sizeof(dc.u));
    dc.u.ioport_mapping = (struct xen_domctl_ioport_mapping){ .first_gport = 0x3f8, .first_mport = 0x3f8, .nr_ports = 8,
                                                              .add_mapping = 1 };
    check(domctl(XEN_DOMCTL_ioport_mapping, d) < 0);
    memset(&dc.u, 0, sizeof(dc.u));
    check(domctl(XEN_DOMCTL_bind_pt_irq, d) < 0);
    dc.u.iomem_permission = (struct xen_domctl_iomem_permission){ .first_mfn = 0xfed00, .nr_mfns = 1, .allow_access = 1 };
    check(domctl(XEN_DOMCTL_iomem_permission, d) < 0);
    memset(&dc.u, 0, sizeof(dc.u));
    dc.u.irq_permission.pirq = 10;
    dc.u.irq_permission.allow_access = 1;
    check(domctl(XEN_DOMCTL_irq_permission, d) < 0);
    memset(&dc.u, 0, sizeof(dc.u));
    dc.u.ioport_permission = (struct xen_domctl_ioport_permission){ .first_port = 0x3f8, .nr_ports = 8, .allow_access = 1 };
    check(domctl(XEN_DOMCTL_ioport_permission, d) < 0);
    check(map_foreign(d, 0xf0000, 1, SCRATCH) < 0);     /* nothing is there */
    check_eq(free_pages(), before);
    check(domain_end(d));
}

/* ---- XSA-378, 400: addresses that ivmd= (test/boot/test_kernels.py) reserves for a device stay its own ---- */
#define RESERVED_GFN 0x20000UL          /* 514 pages, where nothing else is */
#define ECAM_GFN 0xb0000UL              /* one page, mapped for dom0 anyway */

static void xsa_378_reserved_for_devices(void)
{
    static const u64 gfns[] = { RESERVED_GFN, RESERVED_GFN + 1, RESERVED_GFN + 511, RESERVED_GFN + 513, ECAM_GFN };
    long id = domain_build(1);
    need(id > 0);
    u64 before = free_pages();
    for (unsigned i = 0; i < sizeof(gfns) / sizeof(gfns[0]); i++) {
        u64 g = gfns[i];
        u32 was = mmio_read(g << 12);
        struct xen_remove_from_physmap rm = { .domid = DOMID_SELF, .gpfn = g };
        check_case("populate", reservation(XENMEM_populate_physmap, DOMID_SELF, g, 0), 0);
        check_case("decrease", reservation(XENMEM_decrease_reservation, DOMID_SELF, g, 0), 0);
        check(hc_memory_op(XENMEM_remove_from_physmap, &rm) < 0);
        check(map_foreign((unsigned)id, 5, 1, g << 12) < 0);
        check_eq(mmio_read(g << 12), was);
    }
    check_eq(reservation(XENMEM_populate_physmap, DOMID_SELF, RESERVED_GFN, 9), 0);
    check_eq(free_pages(), before);
    check_eq(map_foreign((unsigned)id, 5, 1, (RESERVED_GFN + 514) << 12), 0);   /* next to it */
    check_eq(unmap((RESERVED_GFN + 514) << 12, 1), 0);
    check(domain_end((unsigned)id));
}

/* ---- XSA-462 in x2APIC mode, and with every vector ---- */
static volatile unsigned errors_seen;
static void on_error(struct frame *f) { errors_seen++; wrmsr_try(0x80b, 0); }

static u64 provoke(u32 lvterr, u32 msr, u64 icr)
{
    u64 v = 0;
    wrmsr_try(0x828, 0);
    wrmsr_try(0x828, 0);
    wrmsr_try(0x837, lvterr);
    wrmsr_try(msr, icr);
    wrmsr_try(0x828, 0);
    rdmsr_try(0x828, &v);
    return v;
}

static void g_x2apic_errors(void)
{
    volatile u64 *w = my_args()->out;
    w[0] += wrmsr_try(0x1b, rdmsr(0x1b) | 0xc00) != -1;
    wrmsr_try(0x80f, 0x1ff);
    w[0] += wrmsr_try(0x828, 1) != 13;
    w[0] += wrmsr_try(0x837, 1UL << 32) != 13;
    w[1] = provoke(0x0f, 0x830, 0x0f);
    w[2] = provoke(0x0f, 0x830, 0x4000f);               /* self */
    w[3] = provoke(0x0f, 0x830, 0x8000f);               /* all */
    w[4] = provoke(0x0f, 0x83f, 0x0f);
    for (unsigned v = 32; v < 256; v++) trap_set(v, on_error);
    sti();
    for (unsigned v = 32; v < 256; v++) {
        unsigned n = errors_seen;
        provoke(v, 0x830, 0x0f);
        for (volatile int i = 0; i < 50; i++) ;
        if (errors_seen - n < 1 || errors_seen - n > 2) w[5]++;         /* two bits, once each at most */
    }
    cli();
    w[6] = 1;
}

static void xsa_462_x2apic(void)
{
    if (!guest_ran(1, g_x2apic_errors, 15000)) return;
    check_eq(out[0], 0);
    for (unsigned i = 1; i <= 4; i++) check_eq(out[i], 0x60);
    check_eq(out[5], 0);
    check_eq(out[6], 1);
}

void test_main(void)
{
    static const struct test tests[] = {
        TEST(xsa_220_pkru),
        TEST(xsa_220_no_mpx),
        TEST(xsa_267_registers),
        TEST(xsa_278_virtualisation),
        TEST(xsa_196_soft_interrupts),
        TEST(xsa_196_delivery_without_memory),
        TEST(xsa_156_exception_loops),
        TEST(xsa_454_compat_mode),
        TEST(xsa_402_uncached),
        TEST(xsa_461_no_passthrough),
        TEST(xsa_378_reserved_for_devices),
        TEST(xsa_462_x2apic),
    };
    play_role();
    RUN_TESTS(tests);
}
