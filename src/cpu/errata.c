/* SPDX-License-Identifier: MIT */
/*
 * Flaws of AMD processors that a bit of a model-specific register avoids, and that a guest can trigger or suffer from:
 * it cannot set the bit itself. Most firmware sets some of them. Sources: AMD's revision guides for the families 15h
 * to 19h, and "Technical guidance for mitigating branch type confusion" (2022).
 */
#include "cpu/internal.h"

static const struct { u8 family, first, last, bit; u32 msr; const char *what; } errata[] = {
    { 0x16, 0x00, 0x0f, 15, MSR_AMD_LS_CFG, "793, locked instructions and write-combining stop a core (XSA-82)" },
    { 0x17, 0x30, 0xff, 1, MSR_AMD_DE_CFG2, "Zen 2 predicts branches where there are none" },
    { 0x19, 0x10, 0x1f, 5, MSR_AMD_BP_CFG, "1485, wrong instructions beside a busy hyper-thread" },
    { 0x19, 0x60, 0xaf, 5, MSR_AMD_BP_CFG, "1485, wrong instructions beside a busy hyper-thread" },
};

void errata_fix(void)
{
    if (host.vendor != VENDOR_AMD || host.hypervisor)
        return;
    for (unsigned i = 0; i < ARRAY_SIZE(errata); i++) {
        u64 v, bit = 1ULL << errata[i].bit;
        if (host.family != errata[i].family || host.model < errata[i].first || host.model > errata[i].last ||
            rdmsr_safe(errata[i].msr, &v) || (v & bit))
            continue;
        int rc = wrmsr_safe(errata[i].msr, v | bit);
        if (this_cpu()->id == 0)
            printk(LOG_INFO, "CPU erratum %s: %s\n", errata[i].what, rc ? "the CPU refuses the work-around" :
                   "worked around");
    }
}
