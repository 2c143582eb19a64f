/* SPDX-License-Identifier: MIT */
/* Output, traps and the end of a test kernel. */
#include "guest.h"

const struct hvm_start_info *start_info;
unsigned failures;
volatile int try_vector;
volatile u64 try_error, try_fixup;
static trap_fn handlers[256];
static struct { u16 lo, sel; u8 ist, type; u16 mid; u32 hi, zero; } __attribute__((packed)) idt[256];
extern const char vectors[];

void *memset(void *d, int c, size_t n) { for (u8 *p = d; n--;) *p++ = (u8)c; return d; }
void *memcpy(void *d, const void *s, size_t n) { u8 *p = d; for (const u8 *q = s; n--;) *p++ = *q++; return d; }
int memcmp(const void *a, const void *b, size_t n)
{
    for (const u8 *p = a, *q = b; n--; p++, q++)
        if (*p != *q) return *p - *q;
    return 0;
}
size_t strlen(const char *s) { size_t n = 0; while (s[n]) n++; return n; }

const char *option(const char *word)
{
    const char *line = start_info->cmdline_paddr ? (const char *)start_info->cmdline_paddr : "", *p = line;
    size_t n = strlen(word);
    for (; *p; p++)
        if ((p == line || p[-1] == ' ') && !memcmp(p, word, n)) return p + n;
    return NULL;
}

u64 option_number(const char *word, u64 def)
{
    const char *s = option(word);
    u64 v = 0;
    for (; s && *s >= '0' && *s <= '9'; s++) v = v * 10 + (u64)(*s - '0');
    return s ? v : def;
}

void port_e9(const char *s) { while (*s) outb(0xe9, (u8)*s++); }

void (*output)(const char *s);

void puts_raw(const char *s)
{
    if (output) output(s);
    else if (hc_console_write(s, (unsigned)strlen(s)) < 0) port_e9(s);
}

struct out { char buf[512]; unsigned n; };
static void put(struct out *o, char c) { if (o->n < sizeof(o->buf) - 1) o->buf[o->n++] = c; }

static void number(struct out *o, u64 v, unsigned base, int width, char pad, bool neg)
{
    char t[24];
    int n = 0;
    do t[n++] = "0123456789abcdef"[v % base]; while (v /= base);
    if (neg) t[n++] = '-';
    for (; width > n; width--) put(o, pad);
    while (n) put(o, t[--n]);
}

static void vprint(struct out *o, const char *f, va_list ap)
{
    for (; *f; f++) {
        if (*f != '%') { put(o, *f); continue; }
        char pad = ' ';
        int width = 0;
        bool left = false, wide = false;
        if (*++f == '-') { left = true; f++; }
        if (*f == '0') { pad = '0'; f++; }
        while (*f >= '0' && *f <= '9') width = width * 10 + *f++ - '0';
        while (*f == 'l') { wide = true; f++; }
        switch (*f) {
        case 's': {
            const char *s = va_arg(ap, const char *);
            int n = (int)strlen(s);
            for (; !left && width > n; width--) put(o, ' ');
            while (*s) put(o, *s++);
            for (; left && width > n; width--) put(o, ' ');
            break;
        }
        case 'c': put(o, (char)va_arg(ap, int)); break;
        case 'd': {
            long v = wide ? va_arg(ap, long) : va_arg(ap, int);
            number(o, (u64)(v < 0 ? -v : v), 10, width, pad, v < 0);
            break;
        }
        case 'u': number(o, wide ? va_arg(ap, u64) : va_arg(ap, u32), 10, width, pad, false); break;
        case 'x': number(o, wide ? va_arg(ap, u64) : va_arg(ap, u32), 16, width, pad, false); break;
        case 'p': number(o, (u64)va_arg(ap, void *), 16, 16, '0', false); break;
        default: put(o, *f);
        }
    }
}

void print(const char *fmt, ...)
{
    struct out o = { .n = 0 };
    va_list ap;
    va_start(ap, fmt);
    vprint(&o, fmt, ap);
    va_end(ap);
    o.buf[o.n] = 0;
    puts_raw(o.buf);
}

void guest_end(void)
{
    struct sched_shutdown s = { .reason = SHUTDOWN_reboot };
    print("GUEST %s %s\n", failures ? "FAIL" : "PASS", test_name);
    hc_sched_op(SCHEDOP_shutdown, &s);
    for (;;) __asm__ volatile("cli; hlt");
}

void trap_set(unsigned vector, trap_fn fn) { handlers[vector] = fn; }

void trap(struct frame *f);
void trap(struct frame *f)
{
    if (f->vector < 32 && try_fixup) {
        try_vector = (int)f->vector;
        try_error = f->error;
        f->rip = try_fixup;
        return;
    }
    if (handlers[f->vector]) {
        handlers[f->vector](f);
        return;
    }
    u64 cr2;
    __asm__ volatile("mov %%cr2, %0" : "=r"(cr2));
    print("unexpected vector %lu error %lx rip %lx rsp %lx cr2 %lx rflags %lx\n", f->vector, f->error, f->rip, f->rsp, cr2,
          f->rflags);
    failures++;
    guest_end();
}

int rdmsr_try(u32 msr, u64 *val)
{
    u32 lo = 0, hi = 0;
    try_vector = -1;
    __asm__ volatile("movq $1f, try_fixup\n\trdmsr\n1:\tmovq $0, try_fixup" : "+a"(lo), "+d"(hi) : "c"(msr) : "memory");
    *val = (u64)hi << 32 | lo;
    return try_vector;
}

int wrmsr_try(u32 msr, u64 val)
{
    try_vector = -1;
    __asm__ volatile("movq $1f, try_fixup\n\twrmsr\n1:\tmovq $0, try_fixup"
                     :: "a"((u32)val), "d"((u32)(val >> 32)), "c"(msr) : "memory");
    return try_vector;
}

int write_cr4_try(u64 val)
{
    try_vector = -1;
    __asm__ volatile("movq $1f, try_fixup\n\tmovq %0, %%cr4\n1:\tmovq $0, try_fixup" :: "r"(val) : "memory");
    return try_vector;
}

u64 rdmsr(u32 msr)
{
    u64 v;
    expect_eq(rdmsr_try(msr, &v), -1);
    return v;
}

static void load_idt(void)
{
    struct { u16 limit; u64 base; } __attribute__((packed)) p = { sizeof(idt) - 1, (u64)idt };
    __asm__ volatile("lidt %0" :: "m"(p));
}

extern const u8 ap_begin[], ap_end[], ap_stack[], ap_fn[];
static void (*ap_entry)(void);
static volatile unsigned ap_ready;

static void ap_first(void)
{
    void (*fn)(void) = ap_entry;
    load_idt();
    ap_ready = 1;
    fn();
}

bool ap_start(unsigned vcpu, void (*fn)(void), void *stack_end)
{
    u8 *p = (u8 *)0x8000;
    memcpy(p, ap_begin, (size_t)(ap_end - ap_begin));
    *(u64 *)(p + (ap_stack - ap_begin)) = (u64)stack_end;
    *(u64 *)(p + (ap_fn - ap_begin)) = (u64)ap_first;
    ap_entry = fn;
    ap_ready = 0;
    mmio_write(LAPIC + 0x310, (2 * vcpu) << 24);
    mmio_write(LAPIC + 0x300, 0x4500);          /* INIT */
    mmio_write(LAPIC + 0x310, (2 * vcpu) << 24);
    mmio_write(LAPIC + 0x300, 0x4608);          /* SIPI, page 8 */
    for (u64 end = rdtsc() + PATIENCE_TICKS; !ap_ready && rdtsc() < end;) __asm__ volatile("pause");
    return ap_ready;
}

void guest_start(u32 info);
void guest_start(u32 info)
{
    start_info = (const void *)(u64)info;
    for (unsigned i = 0; i < 256; i++) {
        u64 at = (u64)vectors + 16 * i;     /* every stub starts on a 16-byte boundary and is shorter than that */
        idt[i].lo = (u16)at;
        idt[i].mid = (u16)(at >> 16);
        idt[i].hi = (u32)(at >> 32);
        idt[i].sel = 8;
        idt[i].type = 0x8e;
    }
    load_idt();
    test_main();
    guest_end();
}
