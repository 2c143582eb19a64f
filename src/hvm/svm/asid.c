/* SPDX-License-Identifier: MIT */
/*
 * Address space identifiers (APM 15.16). Each CPU hands out its ASIDs in order. A flush of one vCPU is a new ASID:
 * the entries under the old one are never looked at again. When a CPU runs out, a new generation starts with a
 * flush of everything.
 */
#include "hvm/svm/svm.h"

/* Takes effect at the next entry, wherever that is. */
void svm_flush_tlb(struct vcpu *v)
{
    svm_vcpu(v)->asid_gen = 0;
}

void svm_asid_enter(struct vcpu *v, struct svm_vcpu *s, struct svm_cpu *sc)
{
    struct vmcb *b = s->vmcb;
    if (sc->next_asid >= sc->nr_asids) {        /* 0 is the host's */
        sc->asid_gen++;
        sc->next_asid = 1;
        sc->flush_all = true;
    }
    b->asid = sc->next_asid++;
    s->asid_gen = sc->asid_gen;
    b->tlb_control = TLB_KEEP;
    if (sc->flush_all) {
        b->tlb_control = TLB_FLUSH_ALL;
        sc->flush_all = false;
    }
    svm_dirty(s, CL_ASID);
}
