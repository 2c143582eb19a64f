/* SPDX-License-Identifier: MIT */
/* What the kernels calls*.c share: a buffer, pointers to what is none, the time. Include in one file per kernel. */
#pragma once
#include "verdict.h"
#include <xen/errno.h>

#define BAD ((void *)0x7000000000UL)            /* not mapped by the page tables */
#define HOLE ((void *)0xe0000000UL)             /* mapped, no RAM there */
#define KERNEL_HALF ((void *)0xffff800000000000UL)
static u8 page[2][4096] __attribute__((aligned(4096), unused));

static inline u64 system_ns(void)
{
    struct xen_hvm_get_time t;
    check_eq(hc_hvm_op(HVMOP_get_time, &t), 0);
    return t.now;
}
