/* SPDX-License-Identifier: MIT */
/*
 * Second-stage faults.
 *
 *   page-table walk of the guest        -> crash: its tables lie in no RAM, or in read-only RAM
 *   local APIC page, nothing mapped     -> instruction emulated against the handlers; unclaimed: R10
 *     ... instruction fetch             -> #UD, as a fetch of all-ones bytes (FF FF) gives
 *   read-only RAM, write                -> emulated, the write is discarded (ROM)
 *   read-only grant, write              -> #GP(0): the guest mapped it read-only by choice, so a write is a bug
 *                                          of its own; it can find and survive it, which a crash would not allow
 *   mapped and allowed                  -> somebody changed the mapping meanwhile: try again
 */
#include "hvm/hvm_vcpu.h"
#include "hvm/vlapic.h"
#include "cpu/x86.h"
#include "mm/p2m.h"

static void crash_with_bytes(struct vcpu *v, gpa_t gpa, u64 ec)
{
    u8 b[15];
    char hex[3 * sizeof(b) + 1] = "";
    unsigned n = emul_fetch(v, b, sizeof(b));
    for (unsigned i = 0; i < n; i++) snprintf(hex + 3 * i, 4, "%02x ", b[i]);
    domain_crash(v->dom, "cannot emulate access to gpa %#lx (error %#lx) at rip %#lx: %s\n", gpa, ec, v->regs.rip,
                 hex);
}

static void emulate(struct vcpu *v, gpa_t gpa, u64 ec)
{
    if (emulate_mmio(v, gpa, ec & NPF_WRITE) == EMUL_UNHANDLED) crash_with_bytes(v, gpa, ec);
}

void hvm_npf(struct vcpu *v, gpa_t gpa, u64 ec)
{
    enum p2m_type t;
    bool write = ec & NPF_WRITE;

    if (likely(vlapic_covers(v, gpa)) && !(ec & (NPF_FETCH | NPF_TABLE))) {
        emulate(v, gpa, ec);
        return;
    }
    (void)p2m_lookup(v->dom, GFN(gpa >> PAGE_SHIFT), &t, NULL);
    bool read_only = t == P2M_RAM_RO || t == P2M_GRANT_RO;
    if (t != P2M_NONE && !(write && read_only)) {
        hvm->flush_tlb(v);          /* spurious: mapped or widened since; drop what this CPU remembers */
        return;
    }
    if (ec & NPF_TABLE) {
        domain_crash(v->dom, "guest page table at gpa %#lx is not in writable RAM (error %#lx)\n", gpa, ec);
        return;
    }
    if (t == P2M_GRANT_RO) {
        hvm_inject_exception(v, X86_GP, 0);
        return;
    }
    if (ec & NPF_FETCH) {
        hvm_inject_exception(v, X86_UD, NO_ERROR_CODE);
        return;
    }
    emulate(v, gpa, ec);
}
