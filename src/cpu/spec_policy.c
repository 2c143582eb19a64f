/* SPDX-License-Identifier: MIT */
/* Which speculation defences a machine needs. Sources: AMD "Software techniques for managing speculation", the
 * bulletins on Branch Type Confusion, SRSO, divider leak and TSA; Intel's affected-processors guidance. */
#include "cpu/spec.h"
#include "cpu/spec_policy.h"

static bool choose(s8 option, s8 all, bool wanted)
{
    return option >= 0 ? option : all >= 0 ? all && wanted : wanted;
}

/* State of an issue: affected, means at hand, and switched on? */
static u8 state(bool affected, bool means, bool on)
{
    return !affected ? SPEC_NOT_AFFECTED : !means ? SPEC_NO_MEANS : on ? SPEC_MITIGATED : SPEC_OFF_BY_OPTION;
}

static void decide_amd(const struct spec_facts *f, const struct spec_options *o, struct spec_decision *d)
{
    bool zen12 = f->family == 0x17 || f->family == 0x18, zen34 = f->family == 0x19;
    bool btc = !f->btc_no && (f->family == 0x15 || f->family == 0x16 || zen12);
    bool srso = !f->srso_no && (zen12 || zen34);
    bool tsa = !f->tsa_no && zen34;
    bool div = f->family == 0x17 && f->model <= 0x2f;
    /* Predictions of returns: an IBPB at exit is the only defence that needs no special code generation. On Zen 3
     * and 4 it clears the branch types only with the microcode that announces it. */
    bool exit_means = f->ibpb && (zen12 || !srso || f->ibpb_brtype);
    bool exit_on = exit_means && choose(o->ibpb_exit, o->all, btc || srso);
    if (exit_on)
        d->flags |= SPEC_IBPB_EXIT;
    d->state[ISSUE_BTC] = state(btc, f->ibpb, exit_on);
    d->state[ISSUE_SRSO] = state(srso, exit_means, exit_on);
    bool verw = f->verw_clear && choose(o->md_clear, o->all, tsa);
    if (verw)
        d->flags |= SPEC_VERW_ENTRY;
    d->state[ISSUE_TSA] = state(tsa, f->verw_clear, verw);
    bool scrub = choose(o->div, o->all, div);
    if (scrub)
        d->flags |= SPEC_DIV_ENTRY;
    d->state[ISSUE_DIV] = state(div, true, scrub);
    d->auto_ibrs = f->auto_ibrs && choose(o->ibrs, o->all, true);
    /* The return stack: not needed when the IBPB at exit clears it as well. */
    if (choose(o->rsb, o->all, true) && !(exit_on && f->ibpb_ret))
        d->flags |= SPEC_RSB_EXIT;
}

static void decide_intel(const struct spec_facts *f, const struct spec_options *o, struct spec_decision *d)
{
    bool mds = !f->mds_no || (f->rtm && !f->taa_no) || f->fb_clear;
    bool l1tf = !f->rdcl_no && !f->skip_l1dfl;
    bool verw = f->md_clear && choose(o->md_clear, o->all, mds);
    bool l1d = f->l1d_flush && choose(o->l1d_flush, o->all, l1tf);
    if (verw)
        d->flags |= SPEC_VERW_ENTRY;
    if (l1d)
        d->flags |= SPEC_L1D_ENTRY;
    d->state[ISSUE_MDS] = state(mds, f->md_clear, verw);
    d->state[ISSUE_L1TF] = state(l1tf, f->l1d_flush, l1d);
    if (f->eibrs && choose(o->ibrs, o->all, true))
        d->host_spec_ctrl |= 1;
    if (choose(o->rsb, o->all, true))
        d->flags |= SPEC_RSB_EXIT;
}

struct spec_decision spec_decide(const struct spec_facts *f, const struct spec_options *o)
{
    struct spec_decision d = { 0 };
    bool ibpb = f->ibpb && choose(o->ibpb, o->all, true);
    if (ibpb)
        d.flags |= SPEC_IBPB_SWITCH;
    d.state[ISSUE_V2_GUEST] = state(true, f->ibpb, ibpb);
    if (f->vendor == SPEC_AMD)
        decide_amd(f, o, &d);
    else if (f->vendor == SPEC_INTEL)
        decide_intel(f, o, &d);
    else if (choose(o->rsb, o->all, true))
        d.flags |= SPEC_RSB_EXIT;
    bool host_ibrs = d.auto_ibrs || (d.host_spec_ctrl & 1);
    if (f->ibrs && !d.auto_ibrs && o->ibrs > 0)
        d.host_spec_ctrl |= 1, host_ibrs = true;
    if (f->stibp && f->smt && (o->stibp > 0 || (o->stibp < 0 && host_ibrs && o->all != 0)))
        d.host_spec_ctrl |= 2;
    if (f->ssbd && o->ssbd > 0)
        d.host_spec_ctrl |= 4;
    d.state[ISSUE_V2_HOST] = state(true, true, host_ibrs || (d.flags & (SPEC_RSB_EXIT | SPEC_IBPB_EXIT)));
    return d;
}
