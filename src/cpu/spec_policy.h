/* SPDX-License-Identifier: MIT */
/* The decision of spec.c as a pure function of flags, so that tests can run it over all combinations. */
#pragma once
#include "lib/types.h"

enum spec_vendor { SPEC_AMD, SPEC_INTEL, SPEC_OTHER };

/* What the machine says of itself. */
struct spec_facts {
    enum spec_vendor vendor;
    unsigned family, model;
    bool smt, under_hypervisor;
    /* mechanisms */
    bool ibpb, ibpb_ret, ibrs, stibp, ssbd, auto_ibrs, eibrs, md_clear, verw_clear, l1d_flush, ibpb_brtype;
    /* "not affected" claims */
    bool btc_no, srso_no, tsa_no, rdcl_no, mds_no, taa_no, skip_l1dfl, rtm, fb_clear;
};

/* spec-ctrl=: -1 default, 0 off, 1 on. */
struct spec_options { s8 all, ibpb, md_clear, l1d_flush, rsb, ibpb_exit, div, ssbd, ibrs, stibp; };

enum spec_state { SPEC_NOT_AFFECTED, SPEC_MITIGATED, SPEC_OFF_BY_OPTION, SPEC_NO_MEANS };
enum spec_issue { ISSUE_V2_GUEST, ISSUE_V2_HOST, ISSUE_BTC, ISSUE_SRSO,
                  ISSUE_MDS, ISSUE_L1TF, ISSUE_TSA, ISSUE_DIV, ISSUE_NR };

struct spec_decision {
    u32 flags;                      /* SPEC_* of spec.h */
    u64 host_spec_ctrl;             /* value of MSR SPEC_CTRL while the hypervisor runs */
    bool auto_ibrs;                 /* set EFER.AIBRSE */
    u8 state[ISSUE_NR];             /* enum spec_state */
};
struct spec_decision spec_decide(const struct spec_facts *f, const struct spec_options *o);
