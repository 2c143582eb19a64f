/* SPDX-License-Identifier: MIT */
/* Between the files of the policy module. */
#pragma once
#include "hvm/policy.h"

/* Feature word w of p, where it lives. */
u32 *policy_word(struct cpu_policy *p, unsigned w);
static inline u32 policy_word_get(const struct cpu_policy *p, unsigned w)
{
    return *policy_word((struct cpu_policy *)p, w);
}
bool policy_feature(const struct cpu_policy *p, unsigned feature);

/* host's features reduced to what guests may have (all: also what must be asked for), emulated ones added. */
void policy_mask_features(struct cpu_policy *p, bool all);
/* p's features reduced to max's. */
void policy_clip_features(struct cpu_policy *p, const struct cpu_policy *max);
/* Take away features whose prerequisites are absent; AMD: copy the bits that 0x80000001 shows twice. */
void policy_fix_features(struct cpu_policy *p, bool amd);
/* Subleaf array of a basic leaf, NULL if it has none. */
struct cpuid_leaf *policy_subleaves(struct cpu_policy *p, u32 leaf, unsigned *nr);
