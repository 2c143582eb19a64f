/* SPDX-License-Identifier: MIT */
/* Limits for createdomain, and its defaults. */
#include "boot/cmdline.h"
#include "dom/domain.h"

u64 opt_gnttab_max_frames = 64, opt_gnttab_max_maptrack_frames = 1024;
BOOT_OPTION(gnttab_max_frames, "gnttab_max_frames", OPT_UINT, 0, &opt_gnttab_max_frames, NULL,
            "most grant table frames that a domain may have; what it gets unless its configuration says less");
BOOT_OPTION(gnttab_max_maptrack_frames, "gnttab_max_maptrack_frames", OPT_UINT, 0,
            &opt_gnttab_max_maptrack_frames, NULL, "the same for maptrack frames (mappings of others' grants)");
