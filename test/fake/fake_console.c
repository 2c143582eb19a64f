/* SPDX-License-Identifier: MIT */
/* Fake machine: what core modules use of the console; a test that is about the console defines its own. */
#include "debug/console.h"

__attribute__((weak)) void (*console_rx_notify)(void);
__attribute__((weak)) void (*conring_notify)(void);
__attribute__((weak)) unsigned console_serial_ports(u16 port[2], int irq[2])
{
    port[0] = 0x3f8;
    irq[0] = 4;
    return 1;
}
