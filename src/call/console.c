/* SPDX-License-Identifier: MIT */
/* console_io (18). dom0 writes as it is; other domains' output is collected into lines, without control
 * characters. */
#include "call/call.h"
#include "debug/console.h"

#define CHUNK 128

void console_guest_put(struct domain *d, const char *s, size_t n)
{
    spin_lock(&d->lock);
    for (; n; n--, s++) {
        if (*s >= ' ' && *s <= '~') d->serial_line[d->serial_len++] = *s;
        else if (*s == '\t') d->serial_line[d->serial_len++] = ' ';
        if (*s != '\n' && d->serial_len < sizeof(d->serial_line) - 1) continue;
        d->serial_line[d->serial_len] = 0;
        console_guest_line(d, d->serial_line);
        d->serial_len = 0;
    }
    spin_unlock(&d->lock);
}

static long do_write(struct call *c, u32 count, gva_t buf)
{
    char text[CHUNK];
    while (count) {
        u32 n = MIN(count, (u32)CHUNK);
        if (guest_read(c->v, text, buf, n)) return -EFAULT;
        if (c->v->dom->is_hwdom) console_write(text, n);
        else console_guest_put(c->v->dom, text, n);
        buf += n;
        count -= n;
        if (count && call_preempt()) {
            c->arg[1] = count;
            c->arg[2] = buf;
            return -ERESTART;
        }
    }
    return 0;
}

/* What was typed goes to the guest or is lost: the buffer is tried before anything is taken out of the queue. */
static long do_read(struct call *c, u32 count, gva_t buf)
{
    char text[CHUNK];
    size_t n = MIN(count, (u32)CHUNK);
    if (!c->v->dom->is_hwdom) return -EPERM;
    memset(text, 0, sizeof(text));
    if (guest_write(c->v, buf, text, n)) return -EFAULT;
    n = console_read(text, n);
    return guest_write(c->v, buf, text, n) ? -EFAULT : (long)n;
}

long console_io(struct call *c)
{
    u32 count = (u32)c->arg[1];
    if ((s32)count < 0) return -EINVAL;
    switch ((u32)c->arg[0]) {
    case CONSOLEIO_write: return do_write(c, count, c->arg[2]);
    case CONSOLEIO_read: return do_read(c, count, c->arg[2]);
    default: return -ENOSYS;
    }
}
