/* SPDX-License-Identifier: MIT */
/* Choice of the vendor back end, life of a domain's and a vCPU's virtual hardware, switching a vCPU in and out. */
#include "hvm/hvm_vcpu.h"
#include "hvm/policy.h"
#include "hvm/vlapic.h"
#include "cpu/x86.h"

#ifdef HOSTED
extern const struct hvm_ops fake_hvm_ops;
const struct hvm_ops *hvm = &fake_hvm_ops;
void hvm_init(void) {}
void hvm_init_ap(void) {}
#else
#include "hvm/svm/svm.h"
const struct hvm_ops *hvm;
static const struct hvm_ops *const vendors[] = { &svm_ops };

void hvm_init(void)
{
    for (unsigned i = 0; i < ARRAY_SIZE(vendors) && !hvm; i++)
        if (vendors[i]->cpu_up() == 0) hvm = vendors[i];
    if (!hvm)
        panic("No usable hardware virtualisation: an AMD processor with SVM and nested paging is needed "
              "(enable SVM in the firmware set-up)\n");
    xstate_boot();
    if (opt_hvm_fep)
        printk(LOG_WARN, "hvm_fep: guests can have instructions emulated at will: for tests, not security supported\n");
}

void hvm_init_ap(void)
{
    if (hvm->cpu_up()) panic("CPU %u: hardware virtualisation differs from the boot CPU\n", this_cpu()->id);
    xstate_boot_ap();
}
#endif

int hvm_domain_init(struct domain *d)
{
    int rc;
    d->hvm = kzalloc(sizeof(*d->hvm));
    if (!d->hvm) return -ENOMEM;
    /* dom0's IO-APICs mirror the machine's: its builder makes them. */
    if ((rc = pio_domain_init(d)) || (rc = mmio_domain_init(d)) ||
        (!d->is_hwdom && (d->emulation_flags & XEN_X86_EMU_IOAPIC) && (rc = vioapic_init(d)))) {
        hvm_domain_destroy(d);
        return rc;
    }
    return 0;
}

/* Also after a partial init. */
void hvm_domain_destroy(struct domain *d)
{
    if (!d->hvm) return;
    if (d->ioapic) vioapic_destroy(d);
    mmio_domain_destroy(d);
    pio_domain_destroy(d);
    kfree(d->hvm);
    d->hvm = NULL;
}

int hvm_vcpu_init(struct vcpu *v)
{
    struct hvm_vcpu *h = kzalloc(sizeof(*h));
    int rc = -ENOMEM;
    v->hvm = h;
    if (!h || !(h->xstate = xstate_alloc())) goto fail;
    h->xcr0 = 1;
    if ((rc = hvm->vcpu_create(v))) goto fail;
    h->created = true;
    if ((rc = vlapic_init(v))) goto fail;
    mtrr_reset(v);
    hvm_refresh_limits(v);
    hvm->update_policy(v);
    hvm->set_tsc_offset(v, hvm_tsc_offset(v), false);
    if ((rc = hvm_reset_state(v, 0xf000, 0xffff0000, 0xfff0))) goto fail;
    return 0;
fail:
    hvm_vcpu_destroy(v);
    return rc;
}

/* Also after a partial init. */
void hvm_vcpu_destroy(struct vcpu *v)
{
    struct hvm_vcpu *h = v->hvm;
    if (!h) return;
    if (v->lapic) vlapic_destroy(v);
    if (h->created) hvm->vcpu_destroy(v);
    kfree(h->xstate);
    kfree(h);
    v->hvm = NULL;
}

void hvm_load(struct vcpu *v)
{
    hvm->load(v);
    xstate_load(v->hvm);
}

void hvm_unload(struct vcpu *v)
{
    if (v->hvm->xstate_live) xstate_save(v->hvm);
    hvm->unload(v);
}

/* Bits of SPEC_CTRL and PRED_CMD by feature. Each has its own: what a CPU does not have is reserved, and the value
 * goes into the machine's register (AMD, "Indirect branch control extension" and "Speculative store bypass"; APM 2,
 * 3.2.9; SDM 4, 2.1). */
#define FEATURE(name) XEN_X86_FEATURE_##name
static const struct { u16 feature; u16 spec_ctrl; u8 pred_cmd; } spec_bits[] = {
    { FEATURE(IBRSB), SPEC_CTRL_IBRS, PRED_CMD_IBPB }, { FEATURE(IBRS), SPEC_CTRL_IBRS, 0 },
    { FEATURE(STIBP), SPEC_CTRL_STIBP, 0 }, { FEATURE(AMD_STIBP), SPEC_CTRL_STIBP, 0 },
    { FEATURE(SSBD), SPEC_CTRL_SSBD, 0 }, { FEATURE(AMD_SSBD), SPEC_CTRL_SSBD, 0 },
    { FEATURE(INTEL_PSFD), SPEC_CTRL_PSFD, 0 }, { FEATURE(PSFD), SPEC_CTRL_PSFD, 0 },
    { FEATURE(IPRED_CTRL), SPEC_CTRL_IPRED, 0 }, { FEATURE(RRSBA_CTRL), SPEC_CTRL_RRSBA, 0 },
    { FEATURE(BHI_CTRL), SPEC_CTRL_BHI, 0 },
    { FEATURE(IBPB), 0, PRED_CMD_IBPB }, { FEATURE(SBPB), 0, PRED_CMD_SBPB },
};
#undef FEATURE

static void refresh_spec_limits(const struct domain *d, struct hvm_limits *l)
{
    l->spec_ctrl = l->pred_cmd = 0;
    for (unsigned i = 0; i < ARRAY_SIZE(spec_bits); i++) {
        if (!policy_has(d, spec_bits[i].feature)) continue;
        l->spec_ctrl |= spec_bits[i].spec_ctrl;
        l->pred_cmd |= spec_bits[i].pred_cmd;
    }
}

/* What the policy lets this guest set, kept at hand for the exits that check it. */
void hvm_refresh_limits(struct vcpu *v)
{
    const struct domain *d = v->dom;
    struct hvm_limits *l = &v->hvm->limits;
    l->cr4 = policy_cr4_mask(d);
    l->efer = policy_efer_mask(d);
    l->xcr0 = (policy_xcr0_max(d) & xstate_host_mask()) | 1;
    l->phys_bits = (u8)policy_phys_bits(d);
    l->rdtscp = policy_has(d, XEN_X86_FEATURE_RDTSCP) || policy_has(d, XEN_X86_FEATURE_RDPID);
    l->tsc_adjust = policy_has(d, XEN_X86_FEATURE_TSC_ADJUST);
    refresh_spec_limits(d, l);
}

u64 hvm_tsc_offset(const struct vcpu *v) { return v->dom->tsc_offset + v->hvm->tsc_adjust; }

/* XEN_DOMCTL_settscinfo: only mode 1 ("always emulate") traps RDTSC. */
void hvm_update_tsc(struct domain *d)
{
    struct vcpu *v;
    for_each_vcpu(d, v) {
        hvm->set_tsc_offset(v, hvm_tsc_offset(v), d->tsc_mode == 1);
        vcpu_update_time(v);
    }
}
