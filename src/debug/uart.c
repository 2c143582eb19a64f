/* SPDX-License-Identifier: MIT */
/* 16550 serial lines at the PC's COM1 and COM2: polled output, input by interrupt or timer. */
#include "cpu/x86.h"
#include "debug/internal.h"

enum { RBR = 0, THR = 0, DLL = 0, IER = 1, DLM = 1, IIR = 2, FCR = 2, LCR = 3, MCR = 4, LSR = 5, MSR = 6, SCR = 7 };
#define LSR_DATA 0x01
#define LSR_THRE 0x20
#define LCR_DLAB 0x80
#define FCR_ON_CLEAR 0x07           /* enable and clear both FIFOs; interrupt on the first byte */
#define MCR_ON 0x0b                 /* DTR, RTS, OUT2 (routes the interrupt on PCs) */
#define FIFO_BYTES 16
#define TX_WAIT_POLLS 200000u       /* some 200 ms: longer than a full FIFO at 1200 baud */

struct uart uarts[2] = {
    { .name = "com1", .port = 0x3f8, .baud = 115200, .clock_hz = 1843200, .data_bits = 8, .stop_bits = 1,
      .parity = 'n', .irq = 4 },
    { .name = "com2", .port = 0x2f8, .baud = 115200, .clock_hz = 1843200, .data_bits = 8, .stop_bits = 1,
      .parity = 'n', .irq = 3 },
};

static u8 line_control(const struct uart *u)
{
    u8 v = (u8)(u->data_bits - 5) | (u->stop_bits == 2 ? 4 : 0);
    switch (u->parity) {
    case 'o': return v | 0x08;
    case 'e': return v | 0x18;
    case 'm': return v | 0x28;
    case 's': return v | 0x38;
    default: return v;
    }
}

bool uart_setup(struct uart *u)
{
    u16 p = u->port;
    /* The scratch register exists since the 16450; a missing port reads all ones. */
    outb(p + SCR, 0x5a);
    bool there = inb(p + SCR) == 0x5a;
    outb(p + SCR, 0xa5);
    if (!there || inb(p + SCR) != 0xa5)
        return false;
    outb(p + IER, 0);
    if (u->baud) {
        u32 div = u->clock_hz / (u->baud * 16);
        div = div ? div : 1;
        outb(p + LCR, LCR_DLAB | line_control(u));
        outb(p + DLL, (u8)div);
        outb(p + DLM, (u8)(div >> 8));
    }
    outb(p + LCR, line_control(u));
    outb(p + FCR, FCR_ON_CLEAR);
    outb(p + MCR, MCR_ON);
    u->stuck = false;
    return true;
}

/* Wait until the FIFO is empty; false if it does not drain (flow control, dead line). */
static bool tx_ready(struct uart *u)
{
    for (u32 i = 0; i < (u->stuck ? 1 : TX_WAIT_POLLS); i++) {
        if (inb(u->port + LSR) & LSR_THRE) {
            u->stuck = false;
            return true;
        }
    }
    u->stuck = true;
    return false;
}

void uart_write(struct uart *u, const char *s, size_t n)
{
    unsigned room = 0;
    bool cr_sent = false;
    for (size_t i = 0; i < n;) {
        if (!room) {
            if (!tx_ready(u))
                return;
            room = FIFO_BYTES;
        }
        room--;
        if (s[i] == '\n' && !cr_sent) {
            outb(u->port + THR, '\r');
            cr_sent = true;
            continue;
        }
        cr_sent = false;
        outb(u->port + THR, (u8)s[i++]);
    }
}

int uart_getc(struct uart *u)
{
    u8 lsr = inb(u->port + LSR);
    if (lsr == 0xff || !(lsr & LSR_DATA))       /* 0xff: the device went away */
        return -1;
    return inb(u->port + RBR);
}

void uart_irq_enable(struct uart *u)
{
    inb(u->port + IIR);
    inb(u->port + MSR);
    outb(u->port + IER, 1);
}

/* Field separators of com1=<baud>[/<clock>][,<DPS>[,<port>[,<irq>]]]. */
static const char *next_field(const char *s)
{
    s = strchr(s, ',');
    return s ? s + 1 : NULL;
}

int uart_parse(struct uart *u, const char *value)
{
    struct uart n = *u;
    const char *s = value, *end;
    if (!strncmp(s, "auto", 4)) {
        n.baud = 0;
    } else if (*s && *s != ',') {
        n.baud = (u32)parse_u64(s, &end);
        if (end == s || n.baud < 50 || n.baud > 4000000)
            return -EINVAL;
        if (*end == '/')
            n.clock_hz = (u32)parse_u64(end + 1, &end) << 4;
        if (n.clock_hz < 16)
            return -EINVAL;
    }
    if ((s = next_field(s)) && *s && *s != ',') {
        if (s[0] < '5' || s[0] > '8' || !s[1] || !strchr("noems", s[1]) || (s[2] != '1' && s[2] != '2'))
            return -EINVAL;
        n.data_bits = (u8)(s[0] - '0');
        n.parity = s[1];
        n.stop_bits = (u8)(s[2] - '0');
    }
    if (s && (s = next_field(s)) && *s && *s != ',') {
        u64 port = parse_u64(s, &end);
        if (end == s || port < 0x100 || port > 0xfff8)      /* "pci", "amt": not supported */
            return -EINVAL;
        n.port = (u16)port;
    }
    if (s && (s = next_field(s)) && *s && *s != ',') {
        n.irq = (int)parse_u64(s, &end);
        if (end == s || n.irq > 15)
            return -EINVAL;
        if (n.irq == 0)
            n.irq = -1;                         /* poll */
    }
    *u = n;
    return 0;
}
