/* SPDX-License-Identifier: MIT */
/* Exits and injections that are the same for every vendor. */
#include "hvm/hvm_vcpu.h"
#include "hvm/vlapic.h"
#include "call/call.h"
#include "cpu/x86.h"
#include "sched/sched.h"

void hvm_inject_exception(struct vcpu *v, u8 vector, u32 error)
{
    hvm->inject(v, EV_EXCEPTION, vector, error);
}

void hvm_inject_page_fault(struct vcpu *v, u64 cr2, u32 error)
{
    hvm->set_cr2(v, cr2);
    hvm->inject(v, EV_EXCEPTION, X86_PF, error);
}

void hvm_inject_nmi(struct vcpu *v)
{
    atomic_xchg(&v->hvm->nmi_pending, 1);
    vcpu_kick(v);
}

void hvm_exit_cpuid(struct vcpu *v)
{
    struct cpuid_leaf l;
    hvm_cpuid(v, (u32)v->regs.rax, (u32)v->regs.rcx, &l);
    v->regs.rax = l.a;
    v->regs.rbx = l.b;
    v->regs.rcx = l.c;
    v->regs.rdx = l.d;
}

/* Only the kernel may call. A VM86 task counts as user code. */
bool hvm_hypercall(struct vcpu *v, unsigned cpl, bool long_mode, bool long_code)
{
    if (unlikely(cpl != 0)) {
        v->regs.rax = long_mode ? (u64)-EPERM : (u32)-EPERM;
        return true;
    }
    /* 32-bit callers use other registers and structure layouts, which are not offered yet (SUPPORT.md). */
    if (unlikely(!long_code)) {
        v->regs.rax = (u32)-ENOSYS;
        return true;
    }
    return call_dispatch(v);
}

/* HLT with interrupts off never ends but by INIT and SIPI: the vCPU is down, and with the last one the guest has
 * halted for good. Linux's power-off of a guest without ACPI S5 and its CPU off-lining end like this. */
static void halt_for_good(struct vcpu *v)
{
    vcpu_set_down(v);
    if (domain_all_down(v->dom)) domain_shutdown(v->dom, SHUTDOWN_poweroff);
}

void hvm_hlt(struct vcpu *v)
{
    if (hvm_has_pending(v)) return;
    if (v->regs.rflags & RFLAGS_IF) vcpu_block(v);
    else halt_for_good(v);
}

/* HVM_PARAM_TRIPLE_FAULT_REASON: a SHUTDOWN_* code; the default of 0 is read as "reboot", as a PC would do. */
void hvm_triple_fault(struct vcpu *v)
{
    struct domain *d = v->dom;
    u64 reason = read_once(&d->params[HVM_PARAM_TRIPLE_FAULT_REASON]);
    if (!reason || reason > SHUTDOWN_MAX) reason = SHUTDOWN_reboot;
    printk(LOG_WARN, "Domain %u vcpu#%u: triple fault\n", d->id, v->id);
    hvm->dump(v);
    domain_shutdown(d, (u8)reason);
}
