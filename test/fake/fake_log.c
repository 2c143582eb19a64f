/* SPDX-License-Identifier: MIT */
/* Fake machine: log, panic, and stand-ins for the console. */
#include <stdio.h>
#include <stdlib.h>
#include <pthread.h>
#include "fake.h"
#include "debug/console.h"
#include "dom/domain.h"

char fake_log[4096];
char fake_panic_text[512];
jmp_buf fake_panic_jmp;
int fake_panic_armed;

static unsigned log_len;
static pthread_mutex_t log_mutex = PTHREAD_MUTEX_INITIALIZER;

static void log_append(const char *s)
{
    pthread_mutex_lock(&log_mutex);
    size_t n = strlen(s);
    if (n >= sizeof(fake_log) - 1)
        n = sizeof(fake_log) - 1;
    if (log_len + n >= sizeof(fake_log)) {
        size_t drop = log_len + n - (sizeof(fake_log) - 1);
        memmove(fake_log, fake_log + drop, log_len - drop);
        log_len -= (unsigned)drop;
    }
    memcpy(fake_log + log_len, s, n);
    log_len += (unsigned)n;
    fake_log[log_len] = 0;
    if (getenv("FAKE_VERBOSE"))
        fputs(s, stderr);
    pthread_mutex_unlock(&log_mutex);
}

void fake_log_clear(void)
{
    log_len = 0;
    fake_log[0] = 0;
}

void printk(enum loglvl lvl, const char *fmt, ...)
{
    char buf[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(buf, sizeof(buf), fmt, ap);
    va_end(ap);
    log_append(buf);
}

void gprintk(enum loglvl lvl, const char *fmt, ...)
{
    char buf[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(buf, sizeof(buf), fmt, ap);
    va_end(ap);
    log_append(buf);
}

void panic(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(fake_panic_text, sizeof(fake_panic_text), fmt, ap);
    va_end(ap);
    log_append(fake_panic_text);
    if (fake_panic_armed) {
        fake_panic_armed = 0;
        longjmp(fake_panic_jmp, 1);
    }
    fprintf(stderr, "panic: %s\n", fake_panic_text);
    abort();
}

/* ---- console: guest output goes to the log as it would to the ring ---- */
__attribute__((weak)) void console_write(const char *s, size_t n)
{
    char buf[512];
    snprintf(buf, sizeof(buf), "%.*s", (int)n, s);
    log_append(buf);
}
__attribute__((weak)) size_t console_read(char *buf, size_t n) { return 0; }
__attribute__((weak)) void console_screen_off(void) {}
__attribute__((weak)) void console_screen_on(void) {}
__attribute__((weak)) void conring_clear(void) { fake_log_clear(); }
__attribute__((weak)) void debug_key(char key) {}
__attribute__((weak)) size_t conring_read(char *buf, size_t n, u32 *index, bool incremental)
{
    u32 start = incremental && *index <= log_len ? *index : 0;
    size_t len = log_len - start < n ? log_len - start : n;
    memcpy(buf, fake_log + start, len);
    *index = start + (u32)len;
    return len;
}
__attribute__((weak)) void console_guest_line(struct domain *d, const char *line)
{
    char buf[512];
    snprintf(buf, sizeof(buf), "(d%u) %s\n", d->id, line);
    log_append(buf);
}
__attribute__((weak)) const char *symbol_lookup(u64 addr, u64 *offset)
{
    *offset = 0;
    return "?";
}
__attribute__((weak)) size_t str_copy(char *d, const char *s, size_t size)
{
    size_t n = strlen(s);
    if (size) {
        size_t c = n < size ? n : size - 1;
        memcpy(d, s, c);
        d[c] = 0;
    }
    return n;
}
