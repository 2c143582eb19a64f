/* SPDX-License-Identifier: MIT */
/* Private to src/mm: the guest's own page tables. */
#pragma once
#include "hvm/hvm.h"
#include "mm/guest.h"

/* Translate va with paging state ps. Inside p2m_enter(w->d). Like guest_walk(). */
int walk_guest(struct p2m_view *w, const struct paging_state *ps, gva_t va, unsigned flags, gpa_t *gpa, u32 *pfec);
