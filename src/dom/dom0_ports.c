/* SPDX-License-Identifier: MIT */
/* dom0's I/O ports: everything but what Helium itself uses or emulates. */
#include "debug/console.h"
#include "dom/dom0_build.h"
#include "dom/dom0_opts.h"
#include "hvm/hvm.h"

static const struct { u16 first, last; } kept[] = {
    { 0x20, 0x21 }, { 0xa0, 0xa1 },     /* 8259: masked for good */
    { 0x40, 0x43 }, { 0x61, 0x61 },     /* PIT and its gate: calibration */
    { 0xcf8, 0xcff },                   /* PCI configuration: mediated (pci/vpci.c) */
};

static void pit_access(struct vcpu *v, u16 port, unsigned size, bool write, u32 *val, void *arg)
{
    if (!write)
        *val = 0;
}

int no_pit_init(struct domain *d)
{
    return pio_register(d, 0x42, 0x42, pit_access, NULL);
}

static u64 parse_hex(const char **s)
{
    u64 n = 0;
    char c;

    for (; (c = **s) != 0; ++*s) {
        if (c >= '0' && c <= '9')
            n = n << 4 | (u64)(c - '0');
        else if ((c | 32) >= 'a' && (c | 32) <= 'f')
            n = n << 4 | (u64)((c | 32) - 'a' + 10);
        else
            break;
    }
    return n;
}

/* dom0_ioports_disable=<first>[-<last>][,...], hexadecimal */
static void disable_configured(struct domain *d)
{
    const char *s = opt_dom0_ioports_disable;
    u64 first, last;

    while (*s) {
        first = last = parse_hex(&s);
        if (*s == '-') {
            s++;
            last = parse_hex(&s);
        }
        if (first > last || last > 0xffff || (*s && *s != ',')) {
            printk(LOG_WARN, "dom0_ioports_disable: bad range at '%s'\n", s);
            return;
        }
        pio_passthrough(d, (u16)first, (u16)last, false);
        if (*s)
            s++;
    }
}

void dom0_open_ports(struct domain *d)
{
    u16 port[2];                        /* serial lines of the console */
    int irq[2];
    unsigned i, nr;

    pio_passthrough(d, 0, 0xffff, true);
    for (i = 0; i < ARRAY_SIZE(kept); i++)
        pio_passthrough(d, kept[i].first, kept[i].last, false);
    nr = console_serial_ports(port, irq);
    for (i = 0; i < nr; i++)
        pio_passthrough(d, port[i], (u16)(port[i] + 7), false);
    disable_configured(d);
    if (no_pit_init(d))
        printk(LOG_WARN, "dom0: no handler for port 0x42: its clock calibration will be slow\n");
}
