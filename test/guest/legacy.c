/* SPDX-License-Identifier: MIT */
/*
 * Real mode and VM86 tasks: instructions with operands where nothing is, which the emulator carries out, and, with hvm_fep,
 * the same ones by the forced emulation prefix. Segments are 64 KiB, offsets wrap, and there is no paging. A guest's vCPU 1
 * runs them (lib/legacy.S), vCPU 0 looks at what comes out.
 */
#include "legacy.h"
#include "report.h"

const char test_name[] = "legacy";
#define HOLE 0x30000UL                  /* one page of guest-physical addresses without memory */
#define RAM 0x20000UL
static struct box *const box = (struct box *)BOX;
extern const u8 legacy_begin[], legacy_end[], legacy_real_stubs[], legacy_pm_stubs[];
enum { REAL, VM86, WAYS };

#define I(...) .n = sizeof((u8[]){ __VA_ARGS__ }), .code = { __VA_ARGS__ }
#define HOLE_SEG 0x3000                 /* the hole is its offsets 0 to 0xfff */
#define WRAP_SEG 0x2001                 /* ... 0xfff0 to 0xffff, but for the first bytes */
static const struct kase {
    const char *name;
    u8 n, code[15];
    u16 ds, es, ss;                     /* 0: HOLE_SEG, RAM, 0x4000 */
    u32 eax, ebx, ecx, esi, edi, ebp;
    /* Expected: a trap instead of the end, registers that change (0: as before), RAM that changes. */
    u8 vector;
    u32 eax2, ecx2, esi2, edi2, sp2;
    u32 at2; u8 size2; u64 val2;
    bool cf, by_prefix_only;
} cases[] = {
    { "read", I(0x8b, 0x07), .ebx = 0x10, .eax2 = 0xffff },
    { "read 32 bits", I(0x66, 0x8b, 0x07), .ebx = 0x10, .eax2 = 0xffffffff },
    { "write", I(0x89, 0x07), .ebx = 0x10 },
    { "base and index wrap", I(0x8b, 0x00), .ebx = 0xfff0, .esi = 0x20, .eax2 = 0xffff },
    { "displacement wraps", I(0x8b, 0x47, 0x7f), .ebx = 0xffff, .eax2 = 0xffff },
    { "upper halves do not count", I(0x8b, 0x00), .ebx = 0x12340000, .esi = 0x43210010, .eax2 = 0xffff },
    { "word at the end of the segment", I(0x8b, 0x07), .ds = WRAP_SEG, .ebx = 0xffff, .vector = 13 },
    { "byte at the end of the segment", I(0x8a, 0x07), .ds = WRAP_SEG, .ebx = 0xffff, .eax2 = 0xff },
    { "word write at the end", I(0x89, 0x07), .ds = WRAP_SEG, .ebx = 0xffff, .vector = 13 },
    { "word at the end of the stack segment", I(0x8b, 0x46, 0x00), .ss = WRAP_SEG, .ebp = 0xffff, .vector = 12 },
    { "32-bit address", I(0x67, 0x8b, 0x03), .ebx = 0x10, .eax2 = 0xffff },
    { "32-bit address beyond 64 KiB", I(0x67, 0x8b, 0x03), .ds = 0x2000, .ebx = 0x10000, .vector = 13 },
    { "32-bit address that wraps", I(0x67, 0x8b, 0x04, 0x0b), .ebx = 0xffffff00, .ecx = 0x110, .eax2 = 0xffff },
    { "segment prefix", I(0x26, 0x8b, 0x07), .ds = 0x2000, .es = HOLE_SEG, .ebx = 0x10, .eax2 = 0xffff },
    { "bts far below its base", I(0x0f, 0xab, 0x0f), .ds = 0x2000, .ebx = 0x1000, .ecx = 0x8003, .at2 = RAM, .size2 = 1,
      .val2 = 0x18, .by_prefix_only = true },
    { "bt across the end of the segment", I(0x0f, 0xa3, 0x0f), .ebx = 0xfffe, .ecx = 0x20, .cf = true },
    { "bt 32, below the base", I(0x66, 0x0f, 0xa3, 0x0f), .ebx = 0x1004, .ecx = 0xffffffc0, .cf = true },
    { "hole, then RAM", I(0x66, 0x8b, 0x07), .ebx = 0xffe, .eax2 = 0x1010ffff },
    { "RAM, then hole", I(0x66, 0x89, 0x07), .ds = 0x2fff, .eax = 0x44332211, .ebx = 0xe, .at2 = RAM + 0xfffe,
      .size2 = 2,
      .val2 = 0x2211 },
    { "rep movsw", I(0xf3, 0xa5), .ecx = 0x12340003, .esi = 0x10, .edi = 0x200, .ecx2 = 0x12340000, .esi2 = 0x16,
      .edi2 = 0x206,
      .at2 = RAM + 0x200, .size2 = 6, .val2 = 0xffffffffffff },
    { "stosb wraps", I(0xaa), .es = WRAP_SEG, .edi = 0xabcdffff, .edi2 = 0xabcd0000 },
    { "stosw at the end", I(0xab), .es = WRAP_SEG, .edi = 0xffff, .vector = 13 },
    { "push", I(0xff, 0x37), .ebx = 0x10, .sp2 = 0x7fe, .at2 = 0x407fe, .size2 = 2, .val2 = 0xffff },
    { "push 32 bits", I(0x66, 0xff, 0x37), .ebx = 0x10, .sp2 = 0x7fc, .at2 = 0x407fc, .size2 = 4, .val2 = 0xffffffff },
    { "pop", I(0x8f, 0x07), .ebx = 0x10, .sp2 = 0x802 },
    { "xchg", I(0x87, 0x07), .eax = 0x1234, .ebx = 0x10, .eax2 = 0xffff },
    { "register operand", I(0x2e, 0x89, 0xd8), .eax = 1, .ebx = 2, .vector = 6, .by_prefix_only = true },
    { "far jump through memory", I(0xff, 0x2f), .ds = 0x2000, .ebx = 0x10, .vector = 6, .by_prefix_only = true },
    { "interrupt", I(0xcd, 0x21), .vector = 6, .by_prefix_only = true },
    { "RAM to RAM", I(0xa5), .ds = 0x2000, .esi = 0x10, .edi = 0x200, .esi2 = 0x12, .edi2 = 0x202,
      .at2 = RAM + 0x200, .size2 = 2,
      .val2 = 0x1010, .by_prefix_only = true },
    { "above 1 MiB", I(0x8b, 0x07), .ds = 0xffff, .ebx = 0x8010, .eax2 = 0x4242, .by_prefix_only = true },
};

/* ---- the guest ---- */
/* RAM that is watched: what the rows use, the hole's neighbours, ends of segments, stacks. */
static const struct { u32 at, size; } watched[] = {
    { RAM, 0x400 }, { 0x2ff00, 0x100 }, { 0x31000, 0x100 }, { 0x3ff00, 0x100 }, { 0x40700, 0x200 } };
#define WATCHED (sizeof(watched) / sizeof(watched[0]))
static u8 was[WATCHED][0x400];

static void tables_init(void)
{
    static const u64 gdt32[6] = { 0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x0000890092000067, 0x00009b000000ffff,
                                  0x000093000000ffff };
    u32 *ivt = (u32 *)0, *tss = (u32 *)(TABLES + 0x200);
    u64 *idt = (u64 *)TABLES;
    __asm__ volatile("" : "+r"(ivt));                   /* address 0 is a good one */
    for (u32 v = 0; v < 32; v++) {
        u64 pm = 0x8000 + (u64)(legacy_pm_stubs - legacy_begin) + 16 * v;
        ivt[v] = 0x8000 + (u32)(legacy_real_stubs - legacy_begin) + 8 * v;
        idt[v] = pm | 0x00080000UL | 0xeeUL << 40;      /* 32-bit gates that VM86 code may use, too */
    }
    memset(tss, 0, 0x68);
    tss[1] = STACK;
    tss[2] = 0x10;
    tss[25] = 0x680000;                                 /* no port */
    memcpy((void *)(TABLES + 0x400), gdt32, sizeof(gdt32));
}

static bool start_cpu(void)
{
    memcpy((void *)0x8000, legacy_begin, (size_t)(legacy_end - legacy_begin));
    memset(box, 0, sizeof(*box));
    tables_init();
    mmio_write(LAPIC + 0xf0, 0x1ff);
    mmio_write(LAPIC + 0x310, 2 << 24);
    mmio_write(LAPIC + 0x300, 0x4500);
    mmio_write(LAPIC + 0x310, 2 << 24);
    mmio_write(LAPIC + 0x300, 0x4608);
    for (u64 end = rdtsc() + 20000000000UL; !box->up && rdtsc() < end;) __asm__ volatile("pause");
    return box->up;
}

static void prepare(const struct kase *c, unsigned way, bool force)
{
    static const u8 prefix[5] = { 0x0f, 0x0b, 'x', 'e', 'n' };
    u8 *code = (u8 *)(CODE_SEG * 16UL);
    unsigned skip = force ? sizeof(prefix) : 0;
    for (unsigned i = 0; i < WATCHED; i++) memset((void *)(u64)watched[i].at, 0x10, watched[i].size);
    memset((void *)0x108000, 0x42, 16);
    memcpy(code, prefix, skip);
    memcpy(code + skip, c->code, c->n);
    code[skip + c->n] = 0xcc;
    box->vm86 = way == VM86;
    box->eax = c->eax;
    box->ebx = c->ebx;
    box->ecx = c->ecx;
    box->edx = 0xdddddddd;
    box->esi = c->esi;
    box->edi = c->edi;
    box->ebp = c->ebp;
    box->ds = c->ds ? c->ds : HOLE_SEG;
    box->es = c->es ? c->es : RAM >> 4;
    box->ss = c->ss ? c->ss : 0x4000;
    box->sp = 0x800;
    box->flags = 2;
    if (way == REAL) {                                  /* IRETW takes it from the stack */
        u16 *sp = (u16 *)(box->ss * 16UL + (box->sp -= 6));
        sp[0] = 0;
        sp[1] = CODE_SEG;
        sp[2] = 2;
    }
    box->vector = box->error = box->eip = box->flags_out = 0;
    for (unsigned i = 0; i < WATCHED; i++) memcpy(was[i], (void *)(u64)watched[i].at, watched[i].size);
}

/* RAM is what it was, but for what the row says and for the stack below SP, where traps of real mode go. */
static bool memory_is(const struct kase *c, unsigned way)
{
    u32 sp = (u32)(c->ss ? c->ss : 0x4000) * 16 + (c->sp2 ? c->sp2 : 0x800);
    for (unsigned w = 0; w < WATCHED; w++)
        for (u32 i = 0; i < watched[w].size; i++) {
            u32 at = watched[w].at + i, n = at - c->at2;
            u8 wanted = n < c->size2 ? (u8)(c->val2 >> (8 * n)) : was[w][i];
            if (*(u8 *)(u64)at != wanted && !(way == REAL && at >= sp - 16 && at < sp)) return false;
        }
    return true;
}

/* False: the processor is lost. */
static bool run_case(const struct kase *c, unsigned way, bool force)
{
    prepare(c, way, force);
    box->done = 0;
    box->go = 1;
    for (u64 end = rdtsc() + 20000000000UL; !box->done && rdtsc() < end;) hc_sched_op(SCHEDOP_yield, NULL);
    u32 skip = force ? 5 : 0, sp = box->esp & 0xffff;
    const struct { const char *what; u32 is, wanted; } checks[] = {
        { "done", box->done, 1 }, { "vector", box->vector, c->vector ? c->vector : 3 },
        { "error code", box->error, 0 }, { "IP", box->eip, skip + (c->vector ? 0 : c->n + 1u) },
        { "EAX", box->out_eax, c->eax2 ? c->eax2 : c->eax }, { "EBX", box->out_ebx, c->ebx },
        { "ECX", box->out_ecx, c->ecx2 ? c->ecx2 : c->ecx }, { "EDX", box->out_edx, 0xdddddddd },
        { "ESI", box->out_esi, c->esi2 ? c->esi2 : c->esi }, { "EDI", box->out_edi, c->edi2 ? c->edi2 : c->edi },
        { "EBP", box->out_ebp, c->ebp }, { "SP", sp, c->sp2 ? c->sp2 : 0x800 },
        { "carry", box->flags_out & 1, c->cf }, { "memory is right", memory_is(c, way), true },
    };
    report()->ran++;
    for (unsigned i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
        if (checks[i].is == checks[i].wanted) continue;
        say(way == VM86 ? "VM86, " : "real mode, ");
        if (force) say("forced, ");
        tell(c->name, checks[i].what, checks[i].is, checks[i].wanted);
        break;
    }
    return box->done;
}

static void g_legacy(void)
{
    reservation(XENMEM_decrease_reservation, DOMID_SELF, HOLE >> 12, 0);
    if (!start_cpu()) return;
    for (unsigned way = 0; way < WAYS; way++)
        for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            if (!cases[i].by_prefix_only && !run_case(&cases[i], way, false)) return;
            if (may_force() && !run_case(&cases[i], way, true)) return;
        }
}

/* ---- in dom0 ---- */
static void real_mode_and_vm86(void) { guest_reports(2, g_legacy, WAYS * (sizeof(cases) / sizeof(cases[0]) - 6), 30000); }

void test_main(void)
{
    static const struct test tests[] = {
        TEST(real_mode_and_vm86),
    };
    play_role();
    RUN_TESTS(tests);
}
