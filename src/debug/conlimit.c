/* SPDX-License-Identifier: MIT */
/* What guests print, within limits. */
#include "debug/conlimit.h"
#include "debug/internal.h"
#include "dom/domain.h"
#include "time/time.h"

#define LINE 300                        /* bytes, at most, of a line, and of the one that tells what is missing */
#define TOLD 48

/* Console lock. The bursts are a second and half a second of the line: a guest's boot messages. */
static struct rate all_rate, one_rate;
static struct bucket all_guests;

bool bucket_take(struct bucket *b, const struct rate *r, u32 cost)
{
    u64 now = now_ns(), token_ns = 1000000000ULL / r->per_s, fresh;

    if (!b->started)
        *b = (struct bucket){ .started = true, .tokens = r->burst, .last_ns = now };
    fresh = (now - b->last_ns) / token_ns;
    b->tokens = (u32)MIN((u64)r->burst, b->tokens + fresh);
    b->last_ns += fresh * token_ns;
    if (b->tokens < cost)
        b->dry = true;
    else if (b->tokens >= r->burst / 4)
        b->dry = false;
    if (b->dry)
        return false;
    b->tokens -= cost;
    return true;
}

void guest_lines_rate(u32 bytes_per_s)
{
    u32 line = MAX(bytes_per_s, 16u), least = LINE + TOLD + 1;  /* a whole line fits */

    all_rate = (struct rate){ .burst = MAX(line, least), .per_s = line / 4 };
    one_rate = (struct rate){ .burst = MAX(line / 2, least), .per_s = line / 16 };
}

static void emit_line(char *buf, int n)
{
    for (int i = 0; i < n; i++)         /* no escape sequences from guests on the administrator's terminal */
        if ((u8)buf[i] < 0x20 && buf[i] != '\t')
            buf[i] = '.';
    buf[n++] = '\n';
    console_emit(buf, (size_t)n, true);
}

void console_guest_line(struct domain *d, const char *line)
{
    struct bucket *own = &d->console_bucket;
    char buf[LINE], told[TOLD];
    int n = snprintf(buf, sizeof(buf), "(d%u) %s", d->id, line);

    if (!guest_lines_wanted())
        return;
    n = MIN(n, (int)sizeof(buf) - 2);
    console_lock();
    u32 cost = (u32)n + 2 + (own->refused ? TOLD : 0);
    if (!bucket_take(own, &one_rate, cost) || !bucket_take(&all_guests, &all_rate, cost)) {
        own->refused++;
    } else {
        if (own->refused)
            emit_line(told, snprintf(told, sizeof(told), "(d%u) [%u lines suppressed]", d->id, own->refused));
        own->refused = 0;
        emit_line(buf, n);
    }
    console_unlock();
}
