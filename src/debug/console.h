/* SPDX-License-Identifier: MIT */
/* Console: serial (16550), VGA / framebuffer text, ring for xl dmesg, input switch (3 x Ctrl-a), debug keys. */
#pragma once
#include "lib/lib.h"

/* First instructions: serial at the default COM1 so that every later failure can be told. */
void console_early_init(void);
/* After the command line: com1=, com2=, console=, conring_size=, screen. */
void console_init(void);
void console_init_irq(void);            /* serial receive interrupt or polling timer */
void console_screen_init(void);         /* once mmio_map() works: VGA text or framebuffer, replays the ring */
void console_screen_off(void);          /* dom0 owns the screen now */
void console_screen_on(void);           /* panic */
/* Raw bytes to all outputs (dom0's console_io write: no prefix, not into the ring with prefix). */
void console_write(const char *s, size_t n);
/* dom0's console_io read: up to n bytes typed for dom0. */
size_t console_read(char *buf, size_t n);
/* sysctl readconsole: copy from ring position *index (incremental) into buf; returns count. */
size_t conring_read(char *buf, size_t n, u32 *index, bool incremental);
void conring_clear(void);
/* Guest output line "(dN) text" into console and ring, within limits (conlimit.h). */
struct domain;
void console_guest_line(struct domain *d, const char *line);

/* Called in an interrupt window after a character for dom0 arrived (raise VIRQ_CONSOLE), and when the ring got
 * new text (VIRQ_CON_RING). NULL until the event channel code sets them. */
extern void (*console_rx_notify)(void);
extern void (*conring_notify)(void);
/* Deferred notifications are due: irq_window() then calls console_work() with no lock held. */
extern bool console_work_pending;
void console_work(void);
/* Serial ports that the hypervisor keeps: base ports (8 each) into port[], returns how many; dom0 may not have them.
 * Their ISA interrupts go into irq[] (-1: none). */
unsigned console_serial_ports(u16 port[2], int irq[2]);

/* Debug keys: one row per key. */
struct debug_key { char key; const char *desc; void (*fn)(void); };
#define DEBUG_KEY(id, k, d, f) \
    static const struct debug_key debugkey_##id __section("debugkeys") __aligned(8) = { k, d, f }
void debug_key(char key);               /* unknown keys print a hint; `h` lists */

/* Start the host's watchdog (watchdog.c) if it is wanted. Other CPUs handle interrupts by now. */
void watchdog_init(void);

/* Symbolise an address of ours: name and offset, "?" if none. */
const char *symbol_lookup(u64 addr, u64 *offset);
extern char build_id_hex[41];           /* filled by console_early_init() */
const void *build_id(unsigned *len);    /* ELF build-id note bytes */
void stack_dump(u64 rsp, u64 rbp);
/* panic and power: honour noreboot */
/* noreboot option (dom/shutdown.c). */
bool machine_noreboot(void);
void machine_halt(void) __noreturn;
void machine_reboot(void) __noreturn;
void machine_poweroff(void) __noreturn; /* by dom0 normally (AML); here only halts if impossible */
