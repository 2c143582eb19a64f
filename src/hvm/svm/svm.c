/* SPDX-License-Identifier: MIT */
/* SVM on a CPU: checks, switching on, load and unload of a vCPU, entry. */
#include "hvm/svm/svm.h"
#include "hvm/vlapic.h"
#include "cpu/cpu.h"
#include "cpu/lapic.h"
#include "cpu/spec.h"
#include "cpu/x86.h"
#include "irq/irq.h"

u32 svm_features;
static u32 nr_asids;

/*
 * Two flaws of QEMU's VMRUN (7.2: helper_vmrun) that end stock guests sooner or later. No such harm on hardware, where
 * this stays off.
 *  - With V_IRQ set it modifies the word of pending interrupts without its lock and now and then wipes out a physical
 *    interrupt that arrives at that moment: it stays in the local APIC's IRR for ever. So the APIC looks again after
 *    such an entry.
 *  - An interrupt injected by EVENTINJ also stays noted as an exception to be raised. Whatever makes the emulation
 *    leave its loop before the next exit or exception (another thread, a time slice, -icount) raises it: the guest
 *    gets the interrupt twice, the second time anywhere, with IF clear too. Behind SYSCALL, before SWAPGS, this costs
 *    Linux its GS base. An exit right after the delivery clears the note, and an interrupt to ourselves brings it.
 */
static bool emulated_by_qemu;

static bool is_qemu_tcg(void)
{
    u32 r[4];
    cpuid(1, 0, r);
    if (!(r[2] >> 31)) return false;
    cpuid(0x40000000, 0, r);
    return !memcmp(&r[1], "TCGTCGTCGTCG", 12);
}

static const struct { u32 bit; const char *name; } feature_names[] = {
    { SVMF_NRIPS, "next-RIP save" }, { SVMF_DECODE, "decode assists" }, { SVMF_FLUSH_ASID, "flush by ASID" },
    { SVMF_CLEAN, "clean bits" }, { SVMF_VGIF, "virtual GIF" }, { SVMF_TSC_RATIO, "TSC ratio" },
    { SVMF_PAUSE, "pause filter" }, { SVMF_SPEC_CTRL, "virtual SPEC_CTRL" },
};

/* APM 15.4. */
static const char *missing(u32 *features, u32 *asids)
{
    u32 r[4];
    u64 vm_cr = 0;
    cpuid(0x80000000, 0, r);
    if (r[0] < 0x8000000a) return "the CPU has no SVM";
    cpuid(0x80000001, 0, r);
    if (!(r[2] & 4)) return "the CPU has no SVM";
    if (rdmsr_safe(MSR_VM_CR, &vm_cr) == 0 && (vm_cr & VM_CR_SVMDIS))
        return "SVM is switched off by the firmware (VM_CR.SVMDIS): enable it in the firmware set-up";
    cpuid(0x8000000a, 0, r);
    if (!(r[3] & SVMF_NPT)) return "the CPU has SVM but no nested paging";
    if (r[1] < 2) return "the CPU has SVM but no address space identifiers";
    *features = r[3];
    *asids = r[1];
    return NULL;
}

static void log_features(void)
{
    char have[160] = "", lack[160] = "";
    for (unsigned i = 0; i < ARRAY_SIZE(feature_names); i++) {
        char *to = svm_has(feature_names[i].bit) ? have : lack;
        size_t n = strlen(to);
        snprintf(to + n, 160 - n, "%s%s", n ? ", " : "", feature_names[i].name);
    }
    printk(LOG_INFO, "SVM: nested paging, %u ASIDs; has: %s; lacks: %s\n", nr_asids, have[0] ? have : "-",
           lack[0] ? lack : "-");
}

static int svm_cpu_up(void)
{
    struct cpu *c = this_cpu();
    u32 features = 0, asids = 0;
    const char *why = missing(&features, &asids);
    if (why) {
        printk(LOG_ERR, "CPU %u: %s\n", c->id, why);
        return -ENODEV;
    }
    if (c->id == 0) {
        svm_features = features;
        nr_asids = asids;
        if (!svm_msrpm_init()) return -ENOMEM;
        log_features();
        emulated_by_qemu = is_qemu_tcg();
        if (emulated_by_qemu) printk(LOG_INFO, "SVM: emulated by QEMU: flaws of its VMRUN are worked around\n");
    } else if (svm_features & ~features) {
        printk(LOG_ERR, "CPU %u: SVM features %#x, boot CPU has %#x\n", c->id, features, svm_features);
        return -ENODEV;
    }
    struct svm_cpu *sc = kzalloc(sizeof(*sc));
    if (!sc || !(sc->host_save = page_alloc()) || !(sc->host_vmcb = page_alloc())) {
        printk(LOG_ERR, "CPU %u: no memory for SVM\n", c->id);
        return -ENOMEM;
    }
    sc->host_vmcb_pa = virt_to_phys(sc->host_vmcb);
    sc->asid_gen = 1;
    sc->next_asid = 1;
    sc->nr_asids = asids;
    sc->flush_all = true;
    sc->tsc_aux = ~0ULL;
    c->hw = sc;
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME);
    wrmsr(MSR_VM_HSAVE_PA, virt_to_phys(sc->host_save));
    if (svm_has(SVMF_TSC_RATIO)) wrmsr(MSR_TSC_RATIO, 1ULL << 32);      /* guests' TSC runs at ours (APM 15.30.5) */
    return 0;
}

static void svm_load(struct vcpu *v)
{
    struct svm_vcpu *s = svm_vcpu(v);
    struct svm_cpu *sc = this_cpu()->hw;
    if (unlikely(!sc->host_vmcb_valid)) {   /* not in cpu_up: TR may be loaded later than that */
        vmsave(sc->host_vmcb_pa);
        sc->host_vmcb_valid = true;
        if (rdmsr_safe(MSR_SPEC_CTRL, &sc->spec_ctrl)) sc->spec_ctrl = 0;
    }
    /* Another CPU may have run it since: our TLB entries of its old ASID here are stale, and so may be the
     * CPU's cached copy of the VMCB. */
    if (s->cpu != sc) {
        s->cpu = sc;
        s->asid_gen = 0;
    }
    s->vmcb->clean = 0;
    if (cpu_has(FEAT_RDTSCP) && sc->tsc_aux != s->tsc_aux) {
        wrmsr(MSR_TSC_AUX, s->tsc_aux);
        sc->tsc_aux = s->tsc_aux;
    }
    s->loaded = true;
    if (s->vmcb->dr7 & 0xff) svm_exit_dr(v, s, s->vmcb);        /* breakpoints armed: they must be in place */
}

static void svm_unload(struct vcpu *v)
{
    struct svm_vcpu *s = svm_vcpu(v);
    if (s->dr_live) {
        s->dr[0] = read_dr0();
        s->dr[1] = read_dr1();
        s->dr[2] = read_dr2();
        s->dr[3] = read_dr3();
        svm_intercept_dr(s, true);
    }
    s->loaded = false;
}

/*
 * One entry. From in_guest = 1 on, whoever changes something this vCPU must notice sends an interrupt, which stays
 * pending while IF and GIF are clear and makes VMRUN exit at once; what changed before is seen by the checks after
 * the barrier (mm/tlb.h). No lock may be taken in between.
 */
static void svm_enter(struct vcpu *v)
{
    struct cpu *c = this_cpu();
    struct svm_cpu *sc = c->hw;
    struct svm_vcpu *s = svm_vcpu(v);
    struct vmcb *b = s->vmcb;

    assert_no_locks();
    write_once(&c->in_guest, 1);
    smp_mb();
    u64 gen = read_once(&v->dom->tlb_gen);
    if (unlikely(v->tlb_gen != gen)) {
        v->tlb_gen = gen;
        s->asid_gen = 0;
    }
    if (unlikely(read_once(&c->resched))) {
        store_release(&c->in_guest, 0);
        return;
    }
    if (unlikely(s->asid_gen != sc->asid_gen)) svm_asid_enter(v, s, sc);
    svm_event_enter(v, s);
    if (unlikely(s->event) && emulated_by_qemu && EVENT_TYPE(s->event) == SVM_EXTINT)
        lapic_send(c->apic_id, ICR_FIXED | VEC_KICK);
    b->rax = v->regs.rax;
    b->rsp = v->regs.rsp;
    b->rip = v->regs.rip;
    b->rflags = (v->regs.rflags & 0x3f7fd5) | 2;

    bool swap_spec = unlikely(v->hvm->limits.spec_ctrl) && !svm_has(SVMF_SPEC_CTRL) && s->spec_ctrl != sc->spec_ctrl;
    spec_guest_entry();
    if (swap_spec) wrmsr(MSR_SPEC_CTRL, s->spec_ctrl);
    svm_vmrun(&v->regs, s->vmcb_pa, sc->host_vmcb_pa);
    if (swap_spec) wrmsr(MSR_SPEC_CTRL, sc->spec_ctrl);

    store_release(&c->in_guest, 0);
    if (unlikely(s->window) && emulated_by_qemu) lapic_recheck();
    v->regs.rax = b->rax;
    v->regs.rsp = b->rsp;
    v->regs.rip = b->rip;
    v->regs.rflags = b->rflags;
    b->tlb_control = TLB_KEEP;
    b->clean = CL_ALL;
    s->event = 0;
    if (unlikely(b->exitintinfo & EVENT_VALID)) svm_event_exit(v, s, b->exitintinfo);
    svm_exit(v, s, b);
}

static u8 svm_get_tpr(struct vcpu *v) { return (u8)(svm_vcpu(v)->vmcb->v_tpr << 4); }

/* The local APIC owns the TPR and tells us of changes; CR8 reads take it from here, CR8 writes exit. */
static void svm_set_tpr(struct vcpu *v, u8 tpr)
{
    struct svm_vcpu *s = svm_vcpu(v);
    s->vmcb->v_tpr = tpr >> 4;
    svm_dirty(s, CL_TPR);
}

static void svm_set_cr2(struct vcpu *v, u64 cr2)
{
    struct svm_vcpu *s = svm_vcpu(v);
    s->vmcb->cr2 = cr2;
    svm_dirty(s, CL_CR2);
}

const struct hvm_ops svm_ops = {
    .name = "SVM", .cpu_up = svm_cpu_up, .vcpu_create = svm_vcpu_create, .vcpu_destroy = svm_vcpu_destroy,
    .enter = svm_enter, .load = svm_load, .unload = svm_unload, .get_state = svm_get_state,
    .set_state = svm_set_state, .get_paging = svm_get_paging, .get_segment = svm_get_segment,
    .inject = svm_inject, .event_queued = svm_event_queued, .intr_open = svm_intr_open, .nmi_open = svm_nmi_open,
    .want_intr_window = svm_want_intr_window, .want_nmi_window = svm_want_nmi_window, .get_tpr = svm_get_tpr,
    .set_tpr = svm_set_tpr, .flush_tlb = svm_flush_tlb, .set_cr2 = svm_set_cr2,
    .set_tsc_offset = svm_set_tsc_offset, .update_policy = svm_update_policy, .dump = svm_dump,
    .skipped = svm_skipped, .hypercall_insn = { 0x0f, 0x01, 0xd9 },
};
