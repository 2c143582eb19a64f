/* SPDX-License-Identifier: MIT */
/* Between the files of platform_op (7). */
#pragma once
#include "call/call.h"

#define PLATFORM_HANDLER(name) long platform_##name(struct call *c, struct xen_platform_op *op)

/* platform_fw.c */
PLATFORM_HANDLER(firmware_info);
PLATFORM_HANDLER(get_dom0_console);
/* platform_pm.c */
PLATFORM_HANDLER(set_processor_pminfo);
