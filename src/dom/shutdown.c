/* SPDX-License-Identifier: MIT */
/* Ends of domains: guest shutdown, crash, watchdog, resume, and what dom0's end means for the machine. */
#include "boot/cmdline.h"
#include "call/abi.h"
#include "debug/console.h"
#include "dom/domain.h"
#include "dom/internal.h"
#include "evtchn/evtchn.h"
#include "hvm/hvm.h"
#include "sched/sched.h"

static bool opt_noreboot;
BOOT_OPTION(noreboot, "noreboot", OPT_BOOL, 0, &opt_noreboot, NULL,
            "halt instead of rebooting when dom0 or Helium crashes");

bool machine_noreboot(void) { return opt_noreboot; }

static const struct { const char *text; void (*act)(void); } hwdom_end[] = {
    [SHUTDOWN_poweroff] = { "halted: halting machine", machine_poweroff },
    [SHUTDOWN_reboot] = { "shutdown: rebooting machine", machine_reboot },
    [SHUTDOWN_suspend] = { NULL, NULL },
    [SHUTDOWN_crash] = { "crashed", NULL },
    [SHUTDOWN_watchdog] = { "watchdog expired", NULL },
    [SHUTDOWN_soft_reset] = { "soft reset is not supported", NULL },
};

static void __noreturn hwdom_shutdown(u8 code)
{
    const char *text = code < ARRAY_SIZE(hwdom_end) && hwdom_end[code].text ? hwdom_end[code].text : "shutdown";
    printk(LOG_ERR, "Hardware Dom0 %s (reason %u)\n", text, code);
    if (code < ARRAY_SIZE(hwdom_end) && hwdom_end[code].act) hwdom_end[code].act();
    if (opt_noreboot) {
        printk(LOG_ERR, "'noreboot' set: machine halted\n");
        machine_halt();
    }
    printk(LOG_ERR, "rebooting machine\n");
    machine_reboot();
}

/* A code that was latched before counts (SCHEDOP_shutdown_code). Pausing belongs to the change of state: a resume on
 * another CPU must find both or neither. */
void domain_shutdown(struct domain *d, u8 code)
{
    spin_lock(&d->lock);
    bool first = !d->shut_down;
    if (first) {
        if (d->shutdown_code == SHUTDOWN_CODE_NONE) d->shutdown_code = code;
        code = d->shutdown_code;
        d->shut_down = true;
        if (!d->is_hwdom) domain_pause_nosync(d);
    }
    spin_unlock(&d->lock);
    if (d->is_hwdom) hwdom_shutdown(code);
    if (first && dom0) evtchn_virq_global(dom0, VIRQ_DOM_EXC);
}

void domain_resume(struct domain *d)
{
    spin_lock(&d->lock);
    if (d->shut_down) domain_unpause(d);
    d->shut_down = false;
    d->shutdown_code = SHUTDOWN_CODE_NONE;
    spin_unlock(&d->lock);
}

void domain_crash(struct domain *d, const char *fmt, ...)
{
    char reason[160];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(reason, sizeof(reason), fmt, ap);
    va_end(ap);
    size_t n = strlen(reason);
    if (n && reason[n - 1] == '\n') reason[n - 1] = 0;
    struct vcpu *v = current_vcpu();
    bool own = v && v->dom == d;
    if (!d->shut_down) {
        printk(LOG_ERR, "Domain %u (vcpu#%u) crashed: %s\n", d->id, own ? v->id : 0, reason);
        if (own) hvm->dump(v);
    }
    domain_shutdown(d, SHUTDOWN_crash);
}

void domain_watchdog_fired(void *arg)
{
    struct domain *d = arg;
    printk(LOG_WARN, "Domain %u: watchdog timer fired\n", d->id);
    domain_shutdown(d, SHUTDOWN_watchdog);
}
