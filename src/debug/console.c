/* SPDX-License-Identifier: MIT */
/*
 * The console: where output goes (console=), whose input it is, and the lock around it all. Output is synchronous
 * and polled, so that the last words before any failure are out (sync_console is therefore always on).
 */
#include "boot/cmdline.h"
#include "cpu/percpu.h"
#include "cpu/x86.h"
#include "debug/conlimit.h"
#include "debug/internal.h"
#include "irq/irq.h"
#include "sync/sync.h"
#include "time/time.h"

void (*console_rx_notify)(void);
void (*conring_notify)(void);
bool console_work_pending;
bool percpu_ready, panic_active;

/* ---- lock ---- */
static u32 lock_owner;              /* CPU number + 1, 0 free */
static unsigned lock_depth;

void console_lock(void)
{
    if (!percpu_ready || panic_active)
        return;
    u32 me = this_cpu()->id + 1;
    if (read_once(&lock_owner) != me) {
        while (!atomic_cas(&lock_owner, 0u, me))
            if (panic_active)
                return;
            else
                cpu_relax();
    }
    lock_depth++;
}

void console_unlock(void)
{
    if (!percpu_ready || panic_active || read_once(&lock_owner) != this_cpu()->id + 1)
        return;
    if (--lock_depth == 0)
        store_release(&lock_owner, 0u);
}

/* ---- options ---- */
static bool use_com[2] = { true, false }, use_screen = true;
static bool com_given[2];           /* com2= alone does not make it an output */
static u64 opt_conring_size;
static bool opt_to_ring, opt_sync = true;
static char opt_conswitch[4] = "a";

static int opt_console(const char *v)
{
    use_com[0] = use_com[1] = use_screen = false;
    while (*v) {
        size_t n = strchr(v, ',') ? (size_t)(strchr(v, ',') - v) : strlen(v);
        if (n >= 4 && !strncmp(v, "com1", 4))
            use_com[0] = true;
        else if (n >= 4 && !strncmp(v, "com2", 4))
            use_com[1] = true;
        else if (n == 3 && !strncmp(v, "vga", 3))
            use_screen = true;
        else if (!(n == 4 && !strncmp(v, "none", 4)))
            printk(LOG_WARN, "console=%s: only com1, com2, vga and none are known\n", v);
        v += n + (v[n] == ',');
    }
    return 0;
}
static int opt_com1(const char *v) { com_given[0] = true; return uart_parse(&uarts[0], v); }
static int opt_com2(const char *v) { com_given[1] = true; return uart_parse(&uarts[1], v); }

BOOT_OPTION(console, "console", OPT_CUSTOM, 0, NULL, opt_console,
            "outputs: list of com1, com2, vga, or none (default com1,vga)");
BOOT_OPTION(com1, "com1", OPT_CUSTOM, 0, NULL, opt_com1,
            "<baud>|auto[/<clock>][,<DPS>[,<port>[,<irq>]]]; irq 0 polls");
BOOT_OPTION(com2, "com2", OPT_CUSTOM, 0, NULL, opt_com2, "like com1");
BOOT_OPTION(conring_size, "conring_size", OPT_SIZE, 0, &opt_conring_size, NULL,
            "size of the ring that xl dmesg reads (default 32K, at most 2M)");
BOOT_OPTION(console_to_ring, "console_to_ring", OPT_BOOL, 0, &opt_to_ring, NULL,
            "dom0's console output too goes into the ring");
BOOT_OPTION(conswitch, "conswitch", OPT_STRING, sizeof(opt_conswitch), opt_conswitch, NULL,
            "<letter>[x]: Ctrl-letter three times switches input; x: start with input to the hypervisor");
BOOT_OPTION(sync_console, "sync_console", OPT_BOOL, 0, &opt_sync, NULL, "accepted; output is always synchronous");

/* ---- output ---- */
void console_emit(const char *s, size_t n, bool ring)
{
    if (!n)
        return;
    if (ring) {
        conring_put(s, n);
        if (conring_notify)
            console_work_pending = true;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(uarts); i++)
        if (uarts[i].on)
            uart_write(&uarts[i], s, n);
    screen_write(s, n);
    watchdog_touch();
}

void console_write(const char *s, size_t n)
{
    console_lock();
    console_emit(s, n, opt_to_ring);
    console_unlock();
}

void console_work(void)
{
    console_work_pending = false;
    if (conring_notify)
        conring_notify();
}

void console_early_init(void)
{
    uarts[0].on = uart_setup(&uarts[0]);
    build_id_init();
}

/* Bytes a second that all serial lines together take; the usual speed where it is not known or there is none. */
static u32 line_rate(void)
{
    u64 byte_ns = 0;

    for (unsigned i = 0; i < ARRAY_SIZE(uarts); i++)
        if (uarts[i].on)
            byte_ns += 10000000000ULL / (uarts[i].baud ? uarts[i].baud : 115200);
    return byte_ns ? (u32)(1000000000ULL / byte_ns) : 11520;
}

void console_init(void)
{
    for (unsigned i = 0; i < ARRAY_SIZE(uarts); i++) {
        struct uart *u = &uarts[i];
        u->on = false;
        if (use_com[i] && !(u->on = uart_setup(u)) && com_given[i])
            printk(LOG_WARN, "console: no 16550 at %s, port 0x%x; %s= can name another\n", u->name, u->port, u->name);
    }
    guest_lines_rate(line_rate());
}

unsigned console_serial_ports(u16 port[2], int irq[2])
{
    unsigned n = 0;
    for (unsigned i = 0; i < ARRAY_SIZE(uarts); i++) {
        if (!uarts[i].on)
            continue;
        port[n] = uarts[i].port;
        irq[n++] = uarts[i].irq;
    }
    return n;
}

/* ---- input ---- */
#define RX_SIZE 1024
#define RX_SLACK 8                  /* held-back switch characters come on top of the one just read */
static char rx_ring[RX_SIZE];       /* console lock */
static u32 rx_prod, rx_cons;
static bool input_to_us;
static unsigned switch_count;

static void rx_dom0(char c)
{
    console_lock();
    if (rx_prod - rx_cons < RX_SIZE)
        rx_ring[rx_prod++ % RX_SIZE] = c;
    console_unlock();
}

size_t console_read(char *buf, size_t n)
{
    size_t done = 0;
    console_lock();
    while (done < n && rx_cons != rx_prod)
        buf[done++] = rx_ring[rx_cons++ % RX_SIZE];
    console_unlock();
    return done;
}

static void say_input(void)
{
    char key = opt_conswitch[0] ? opt_conswitch[0] : 'a';
    printk(LOG_WARN, "*** Serial input to %s (type 'CTRL-%c' three times to switch input)\n",
           input_to_us ? "Helium" : "DOM0", key);
}

static void deliver(char c)
{
    if (input_to_us)
        debug_key(c);
    else
        rx_dom0(c);
}

/* Three switch characters in a row switch; fewer are passed on once something else follows. */
static void rx_char(char c)
{
    char sw = (char)(opt_conswitch[0] & 0x1f);
    if (sw && c == sw) {
        if (++switch_count == 3) {
            switch_count = 0;
            input_to_us = !input_to_us;
            say_input();
        }
        return;
    }
    for (; switch_count; switch_count--)
        deliver(sw);
    deliver(c);
}

static struct timer poll_timer, retry_timer;
#define POLL_NS 20000000ULL
#define RETRY_NS 1000000ULL
#define RX_BUDGET 64                /* characters taken in one interrupt */

static bool rx_room(void)
{
    return input_to_us || read_once(&rx_prod) - read_once(&rx_cons) < RX_SIZE - RX_SLACK;
}

/* What dom0 has no room for stays in the UART, whose flow control then holds the sender; as the line stays
 * asserted there is no further edge, so a timer looks again. */
static void serial_rx(void *arg, unsigned vector)
{
    u32 before = rx_prod;
    bool more = false;
    for (unsigned i = 0; i < ARRAY_SIZE(uarts); i++) {
        int c = 0;
        unsigned budget = RX_BUDGET;
        while (uarts[i].on && budget && rx_room() && (c = uart_getc(&uarts[i])) >= 0) {
            rx_char((char)c);
            budget--;
        }
        more |= uarts[i].on && c >= 0;
    }
    if (more) timer_set(&retry_timer, now_ns() + RETRY_NS);
    if (rx_prod != before && console_rx_notify)
        console_rx_notify();
}

static void serial_retry(void *arg)
{
    serial_rx(NULL, 0);
}

static void serial_poll(void *arg)
{
    serial_rx(NULL, 0);
    timer_set(&poll_timer, now_ns() + POLL_NS);
}

/* ISA interrupt -> GSI with the polarity and trigger of the MADT override; false if it cannot be had. */
static bool serial_irq(struct uart *u)
{
    unsigned gsi = (unsigned)u->irq;
    bool level = false, low = false;
    if (u->irq < 0)
        return false;
    for (unsigned i = 0; i < nr_irq_overrides; i++) {
        if (irq_overrides[i].bus_irq != u->irq)
            continue;
        gsi = irq_overrides[i].gsi;
        low = (irq_overrides[i].flags & 3) == 3;
        level = (irq_overrides[i].flags >> 2 & 3) == 3;
    }
    if (gsi_setup(gsi, VEC_SERIAL, level, low, 0))
        return false;
    uart_irq_enable(u);
    gsi_mask(gsi, false);
    return true;
}

static void serial_irq_handler(void *arg, unsigned vector)
{
    serial_rx(arg, vector);
    irq_vector_eoi_gsi(vector);
}

void console_init_irq(void)
{
    timer_init(&retry_timer, serial_retry, NULL);
    bool poll = false, any = false;
    conring_grow(opt_conring_size);
    input_to_us = opt_conswitch[0] && opt_conswitch[1] == 'x';
    irq_set_handler(VEC_SERIAL, serial_irq_handler, NULL);
    for (unsigned i = 0; i < ARRAY_SIZE(uarts); i++) {
        if (!uarts[i].on)
            continue;
        any = true;
        /* One vector serves one GSI: the second line is polled. */
        if (i > 0 && uarts[0].on)
            poll = true;
        else
            poll |= !serial_irq(&uarts[i]);
    }
    if (poll) {
        timer_init(&poll_timer, serial_poll, NULL);
        timer_set(&poll_timer, now_ns() + POLL_NS);
    }
    if (any)
        say_input();
}

/* ---- screen ---- */
static bool opt_vga_keep, screen_started;

static int opt_vga(const char *v)
{
    opt_vga_keep = strstr(v, "keep") != NULL;
    return 0;
}
BOOT_OPTION(vga, "vga", OPT_CUSTOM, 0, NULL, opt_vga, "keep: go on writing to the screen after dom0 took it");

void console_screen_init(void)
{
    if (!use_screen || screen_started)
        return;
    screen_started = true;
    console_lock();
    screen_start();
    screen_enable(true);
    console_unlock();
}

void console_screen_off(void)
{
    if (!opt_vga_keep)
        screen_enable(false);
}

void console_screen_on(void)
{
    if (screen_started)
        screen_enable(true);
}
