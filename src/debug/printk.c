/* SPDX-License-Identifier: MIT */
/* Messages: levels (loglvl=, guest_loglvl=), the "(XEN) " prefix, rate limits for what guests can cause. */
#include "boot/cmdline.h"
#include "debug/conlimit.h"
#include "debug/internal.h"
#include "time/time.h"

/* A message is printed if its level is below `always`, rate-limited if below `limited`, otherwise dropped. */
struct threshold { u8 always, limited; };
static struct threshold host_thr = { LOG_INFO + 1, LOG_INFO + 1 }, guest_thr = { LOG_WARN, LOG_WARN + 1 };
static bool timestamps;

static int level_word(const char *s, const char **end)
{
    static const struct { const char *name; u8 thr; } words[] = {
        { "none", 0 }, { "error", LOG_ERR + 1 }, { "warning", LOG_WARN + 1 }, { "info", LOG_INFO + 1 },
        { "debug", LOG_DEBUG + 1 }, { "all", LOG_DEBUG + 1 },
    };
    for (unsigned i = 0; i < ARRAY_SIZE(words); i++) {
        size_t n = strlen(words[i].name);
        if (!strncmp(s, words[i].name, n) && (!s[n] || s[n] == '/')) {
            *end = s + n;
            return words[i].thr;
        }
    }
    return -EINVAL;
}

/* <level> or <always>/<rate-limited>. */
static int parse_levels(const char *s, struct threshold *t)
{
    const char *end;
    int lo = level_word(s, &end), hi = lo;
    if (lo >= 0 && *end == '/')
        hi = level_word(end + 1, &end);
    if (lo < 0 || hi < 0 || *end)
        return -EINVAL;
    t->always = (u8)lo;
    t->limited = (u8)MAX(lo, hi);
    return 0;
}

static int opt_loglvl(const char *v) { return parse_levels(v, &host_thr); }
static int opt_guest_loglvl(const char *v) { return parse_levels(v, &guest_thr); }
static int opt_timestamps(const char *v)
{
    timestamps = strcmp(v, "none") && strcmp(v, "0") && strcmp(v, "no") && strcmp(v, "off");
    return 0;
}
BOOT_OPTION(loglvl, "loglvl", OPT_CUSTOM, 0, NULL, opt_loglvl,
            "host messages: none, error, warning, info (default), debug, all; or <always>/<rate-limited>");
BOOT_OPTION(guest_loglvl, "guest_loglvl", OPT_CUSTOM, 0, NULL, opt_guest_loglvl,
            "messages about and from guests, same words; default error/warning");
BOOT_OPTION(console_timestamps, "console_timestamps", OPT_CUSTOM, 0, NULL, opt_timestamps,
            "prefix host messages with seconds since boot (any value but none)");

static void emit_prefixed(const char *text)
{
    static bool mid_line;           /* console lock */
    char prefix[40] = "(XEN) ";
    console_lock();
    if (!mid_line) {
        if (timestamps && percpu_ready) {
            u64 us = now_ns() / 1000;
            snprintf(prefix, sizeof(prefix), "(XEN) [%5u.%06u] ", (u32)(us / 1000000), (u32)(us % 1000000));
        }
        console_emit(prefix, strlen(prefix), true);
    }
    size_t n = strlen(text);
    console_emit(text, n, true);
    mid_line = n && text[n - 1] != '\n';
    console_unlock();
}

static bool level_passes(const struct threshold *t, enum loglvl lvl, struct bucket *b, u32 *dropped)
{
    *dropped = 0;
    if (panic_active || lvl < t->always)
        return true;
    if (lvl >= t->limited || !percpu_ready)
        return false;
    static const struct rate rate = { .burst = 10, .per_s = 2 };
    console_lock();
    bool ok = bucket_take(b, &rate, 1);
    if (ok) {
        *dropped = b->refused;
        b->refused = 0;
    } else {
        b->refused++;
    }
    console_unlock();
    return ok;
}

static void vprint(const struct threshold *t, enum loglvl lvl, struct bucket *b, const char *fmt, va_list ap)
{
    char buf[512];
    u32 dropped;
    if (!level_passes(t, lvl, b, &dropped))
        return;
    if (dropped) {
        snprintf(buf, sizeof(buf), "%u messages suppressed\n", dropped);
        emit_prefixed(buf);
    }
    int n = vsnprintf(buf, sizeof(buf), fmt, ap);
    if (n >= (int)sizeof(buf))      /* cut: keep the line end */
        buf[sizeof(buf) - 2] = '\n';
    emit_prefixed(buf);
}

void printk(enum loglvl lvl, const char *fmt, ...)
{
    static struct bucket b;
    va_list ap;
    va_start(ap, fmt);
    vprint(&host_thr, lvl, &b, fmt, ap);
    va_end(ap);
}

void gprintk(enum loglvl lvl, const char *fmt, ...)
{
    static struct bucket b;
    va_list ap;
    va_start(ap, fmt);
    vprint(&guest_thr, lvl, &b, fmt, ap);
    va_end(ap);
}

bool guest_lines_wanted(void) { return LOG_DEBUG < guest_thr.limited; }
