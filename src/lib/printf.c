/* SPDX-License-Identifier: MIT */
/* Formatted output into a buffer: %d %i %u %x %X %o %p %s %c %% with flags "-0+ #", width and precision (also
 * `*`) and the lengths hh h l ll z t j. The result is the full length, as in C. */
#include "lib/lib.h"

struct out {
    char *buf;
    size_t size, len;
};

struct spec {
    bool left, zero, plus, space, alt, upper;
    int width, prec;                /* prec -1: none */
};

static void put(struct out *o, char c)
{
    if (o->len + 1 < o->size)
        o->buf[o->len] = c;
    o->len++;
}

static void pad(struct out *o, char c, int n)
{
    while (n-- > 0)
        put(o, c);
}

static void put_string(struct out *o, const char *s, const struct spec *f)
{
    if (!s)
        s = "(null)";
    int n = (int)strnlen(s, f->prec >= 0 ? (size_t)f->prec : 65536);
    if (!f->left)
        pad(o, ' ', f->width - n);
    for (int i = 0; i < n; i++)
        put(o, s[i]);
    if (f->left)
        pad(o, ' ', f->width - n);
}

static void put_number(struct out *o, u64 v, bool negative, unsigned base, const struct spec *f)
{
    char digits[24], prefix[3];
    int n = 0, np = 0;

    if (negative)
        prefix[np++] = '-';
    else if (f->plus || f->space)
        prefix[np++] = f->plus ? '+' : ' ';
    if (f->alt && base == 16 && v) {
        prefix[np++] = '0';
        prefix[np++] = f->upper ? 'X' : 'x';
    }
    for (; v; v /= base)
        digits[n++] = (f->upper ? "0123456789ABCDEF" : "0123456789abcdef")[v % base];
    if (!n && f->prec != 0)
        digits[n++] = '0';
    int zeros = f->prec > n ? f->prec - n : 0;
    if (f->zero && !f->left && f->prec < 0 && f->width > n + np)
        zeros = f->width - n - np;
    int fill = f->width - n - np - zeros;
    if (!f->left)
        pad(o, ' ', fill);
    for (int i = 0; i < np; i++)
        put(o, prefix[i]);
    pad(o, '0', zeros);
    while (n)
        put(o, digits[--n]);
    if (f->left)
        pad(o, ' ', fill);
}

static const char *parse_flags(const char *p, struct spec *f)
{
    for (;; p++) {
        if (*p == '-')
            f->left = true;
        else if (*p == '0')
            f->zero = true;
        else if (*p == '+')
            f->plus = true;
        else if (*p == ' ')
            f->space = true;
        else if (*p == '#')
            f->alt = true;
        else
            return p;
    }
}

static const char *parse_int(const char *p, int *v)
{
    for (*v = 0; *p >= '0' && *p <= '9'; p++)
        if (*v < 4096)
            *v = *v * 10 + (*p - '0');
    return p;
}

/* Size in bytes of the integer argument. */
static const char *parse_length(const char *p, unsigned *size)
{
    *size = 4;
    if (*p == 'h') {
        *size = 2;
        if (*++p == 'h') {
            *size = 1;
            p++;
        }
    } else if (*p == 'l' || *p == 'z' || *p == 't' || *p == 'j') {
        *size = 8;
        if (*p++ == 'l' && *p == 'l')
            p++;
    }
    return p;
}

/* Read one integer argument of `size` bytes; va_list must be reached through a pointer to advance for the caller. */
struct args { va_list ap; };

static u64 get_unsigned(struct args *a, unsigned size)
{
    if (size == 8)
        return va_arg(a->ap, u64);
    u32 v = va_arg(a->ap, u32);
    return size == 4 ? v : size == 2 ? (u16)v : (u8)v;
}

static s64 get_signed(struct args *a, unsigned size)
{
    if (size == 8)
        return va_arg(a->ap, s64);
    s32 v = va_arg(a->ap, s32);
    return size == 4 ? v : size == 2 ? (s16)v : (s8)v;
}

static void convert(struct out *o, char conv, unsigned size, struct spec *f, struct args *a)
{
    switch (conv) {
    case 'd': case 'i': {
        s64 v = get_signed(a, size);
        put_number(o, v < 0 ? -(u64)v : (u64)v, v < 0, 10, f);
        break;
    }
    case 'u':
        put_number(o, get_unsigned(a, size), false, 10, f);
        break;
    case 'o':
        put_number(o, get_unsigned(a, size), false, 8, f);
        break;
    case 'X':
        f->upper = true;
        /* fall through */
    case 'x':
        put_number(o, get_unsigned(a, size), false, 16, f);
        break;
    case 'p':
        f->prec = 16;
        put_number(o, (u64)(uintptr_t)va_arg(a->ap, void *), false, 16, f);
        break;
    case 's':
        put_string(o, va_arg(a->ap, const char *), f);
        break;
    case 'c': {
        char c[2] = { (char)va_arg(a->ap, int), 0 };
        f->prec = 1;
        put_string(o, c, f);
        break;
    }
    default:                        /* not ours: show it */
        put(o, '%');
        if (conv)
            put(o, conv);
    }
}

int vsnprintf(char *buf, size_t size, const char *fmt, va_list ap)
{
    struct out o = { buf, size, 0 };
    struct args a;

    va_copy(a.ap, ap);
    for (const char *p = fmt; *p; p++) {
        if (*p != '%') {
            put(&o, *p);
            continue;
        }
        if (p[1] == '%') {
            put(&o, *p++);
            continue;
        }
        struct spec f = { .prec = -1 };
        unsigned len;

        p = parse_flags(p + 1, &f);
        if (*p == '*') {
            f.width = va_arg(a.ap, int);
            p++;
            if (f.width < 0) {
                f.left = true;
                f.width = f.width < -4096 ? 4096 : -f.width;
            }
        } else
            p = parse_int(p, &f.width);
        if (*p == '.') {
            if (*++p == '*') {
                f.prec = va_arg(a.ap, int);
                p++;
            } else
                p = parse_int(p, &f.prec);
        }
        p = parse_length(p, &len);
        convert(&o, *p, len, &f, &a);
        if (!*p)
            break;
    }
    va_end(a.ap);
    if (size)
        buf[MIN(o.len, size - 1)] = 0;
    return (int)o.len;
}

int snprintf(char *buf, size_t size, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    int n = vsnprintf(buf, size, fmt, ap);
    va_end(ap);
    return n;
}
