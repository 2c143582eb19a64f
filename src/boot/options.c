/* SPDX-License-Identifier: MIT */
/* Options of the reference that stock boot entries or administrators' habits carry and that mean nothing here:
 * accepted quietly. An option that something implements has its row there. */
#include "boot/cmdline.h"
#include "cpu/cpu.h"

#define IGNORE(id, word, why) BOOT_OPTION(id, word, OPT_IGNORE, 0, NULL, NULL, "accepted, no effect: " why)

IGNORE(no_real_mode, "no-real-mode", "no real-mode services are used");
IGNORE(edd, "edd", "no BIOS disk data is collected");
IGNORE(edid, "edid", "no BIOS monitor data is collected");
IGNORE(hap, "hap", "nested paging is always used");
IGNORE(hap_1gb, "hap_1gb", "page sizes are chosen by need");
IGNORE(hap_2mb, "hap_2mb", "page sizes are chosen by need");
IGNORE(ats, "ats", "no passthrough");
IGNORE(pcid, "pcid", "no PV guests");
IGNORE(xpti, "xpti", "no PV guests");
IGNORE(pv_l1tf, "pv-l1tf", "no PV guests");
IGNORE(pv, "pv", "no PV guests");
IGNORE(smap, "smap", "chosen by the CPU");
IGNORE(smep, "smep", "chosen by the CPU");
IGNORE(xsave, "xsave", "chosen by the CPU");
IGNORE(tboot, "tboot", "no measured launch");
IGNORE(crashkernel, "crashkernel", "no kexec yet");
IGNORE(low_crashinfo, "low_crashinfo", "no kexec yet");
IGNORE(tbuf_size, "tbuf_size", "no xentrace yet");
IGNORE(tevt_mask, "tevt_mask", "no xentrace yet");
IGNORE(flask, "flask", "no FLASK");
IGNORE(xsm, "xsm", "no XSM modules");
IGNORE(argo, "argo", "no Argo");
IGNORE(tmem, "tmem", "no tmem");
IGNORE(mem_sharing, "mem_sharing", "no page sharing");
IGNORE(altp2m, "altp2m", "no altp2m");
IGNORE(ept, "ept", "no VMX yet");
IGNORE(ple_gap, "ple_gap", "no VMX yet");
IGNORE(ple_window, "ple_window", "no VMX yet");
IGNORE(vpmu, "vpmu", "no vPMU");
IGNORE(efi, "efi", "runtime services are chosen by the boot path");
IGNORE(reservedmem, "e820-verbose", "the memory map is always printed");
IGNORE(mtrr_show, "mtrr.show", "firmware's MTRRs stay");
IGNORE(async_show_all, "async-show-all", "");
IGNORE(placeholder, "placeholder", "GRUB's first word");
IGNORE(bootscrub, "bootscrub", "pages are cleared when handed out");
IGNORE(cpufreq, "cpufreq", "the CPU chooses");
IGNORE(cpuidle, "cpuidle", "HLT is used");
IGNORE(max_cstate, "max_cstate", "HLT is used");
IGNORE(mwait_idle, "mwait-idle", "HLT is used");
IGNORE(hpet, "hpet", "the HPET only calibrates");
IGNORE(clocksource, "clocksource", "the TSC is the clock");
IGNORE(mce, "mce", "machine checks always stop the machine");
IGNORE(msi, "msi", "MSI is always used");
IGNORE(ler, "ler", "no last-exception records");
IGNORE(credit2_runqueue, "credit2_runqueue", "one run queue");
IGNORE(runqueue_cpus, "sched_credit2_max_cpus_runqueue", "one run queue");
IGNORE(numa, "numa", "no NUMA placement");
IGNORE(dom0_nodes, "dom0_nodes", "no NUMA placement");
IGNORE(serial_tx_buffer, "serial_tx_buffer", "output is always synchronous");
IGNORE(extra_guest_irqs, "extra_guest_irqs", "interrupts are allocated by need");
IGNORE(apic_verbosity, "apic_verbosity", "");
IGNORE(cpuid_mask_cpu, "cpuid_mask_cpu", "CPUID is always intercepted");
IGNORE(hest_disable, "hest_disable", "dom0 does not see the HEST");
IGNORE(mtrr_clip, "e820-mtrr-clip", "firmware's map is taken as it is");

/* Options that would change what an administrator relies on are not silent when they ask for what we have not. */
static int opt_smt(const char *v)
{
    if ((!strcmp(v, "0") || !strcmp(v, "off") || !strcmp(v, "no") || !strcmp(v, "false")) &&
        host.threads_per_core > 1)
        printk(LOG_WARN, "smt=off is not implemented: switch hyper-threading off in the firmware's setup\n");
    return 0;
}

static int opt_sched(const char *v)
{
    if (strcmp(v, "credit2"))
        printk(LOG_WARN, "sched=%s: there is only credit2, it is used\n", v);
    return 0;
}

BOOT_OPTION(smt, "smt", OPT_CUSTOM, 0, NULL, opt_smt, "hyper-threads are used; off is refused with a warning");
BOOT_OPTION(sched, "sched", OPT_CUSTOM, 0, NULL, opt_sched, "credit2");
