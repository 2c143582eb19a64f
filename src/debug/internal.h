/* SPDX-License-Identifier: MIT */
/* Private to src/debug: serial lines, screen, ring, console lock, panic state. */
#pragma once
#include "debug/console.h"

/* ---- console lock ----
 * Innermost of all (RANK_CONSOLE) but not a ranked spinlock: it has to work before per-CPU data exists, from NMI
 * handlers that interrupted its holder, and during a panic when the holder is stopped. Recursive per CPU. */
void console_lock(void);
void console_unlock(void);
/* Set by cpu_boot_init(): this_cpu() works. */
extern bool percpu_ready;
/* A panic is under way: locks are not waited for any more. */
extern bool panic_active;

/* ---- conring.c ---- */
void conring_put(const char *s, size_t n);      /* caller holds the console lock */
void conring_grow(size_t size);                 /* to a power of two >= size, keeps contents; heap must work */
/* Pass all that the ring holds to fn, oldest first (replay on a screen that comes up late). */
void conring_replay(void (*fn)(const char *s, size_t n));
extern size_t conring_bytes;

/* ---- uart.c ---- */
struct uart {
    const char *name;
    u16 port;                       /* 0: not configured */
    u32 baud, clock_hz;             /* baud 0: leave the divisor as it is (auto) */
    u8 data_bits, stop_bits; char parity;
    int irq;                        /* ISA irq, -1 none */
    bool on;                        /* present, takes part in output */
    bool stuck;                     /* transmitter did not drain: stop waiting for it */
};
extern struct uart uarts[2];
bool uart_setup(struct uart *u);    /* probe and program; false: nothing there */
void uart_write(struct uart *u, const char *s, size_t n);   /* adds CR before LF */
int uart_getc(struct uart *u);      /* -1: nothing received */
void uart_irq_enable(struct uart *u);
int uart_parse(struct uart *u, const char *value);          /* com1= syntax; 0 or -EINVAL */

/* ---- screen: VGA text or linear framebuffer ---- */
struct screen {
    unsigned cols, rows;
    void (*draw)(unsigned col, unsigned row, char c);
};
const struct screen *vga_screen(void);          /* NULL: not there */
const struct screen *fb_screen(void);
void screen_start(void);                        /* choose, map, clear, replay the ring */
void screen_enable(bool on);
void screen_write(const char *s, size_t n);     /* nothing while off */
extern const u8 font_5x7[96][5];                /* columns, LSB on top, from 0x20 */

/* ---- symbols.c ---- */
void build_id_init(void);

/* ---- watchdog.c ---- */
void watchdog_touch(void);                      /* this CPU is alive, if slow: it writes to the console */

/* ---- console.c ---- */
/* One finished string to serial, screen and (if ring) the ring. */
void console_emit(const char *s, size_t n, bool ring);
