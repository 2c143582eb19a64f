/* SPDX-License-Identifier: MIT */
/* Defaults that createdomain falls back to. */
#include "boot/cmdline.h"
#include "dom/internal.h"

u64 opt_gnttab_max_frames = 64, opt_gnttab_max_maptrack_frames = 1024;
BOOT_OPTION(gnttab_max_frames, "gnttab_max_frames", OPT_UINT, 0, &opt_gnttab_max_frames, NULL,
            "default number of grant table frames of a domain");
BOOT_OPTION(gnttab_max_maptrack_frames, "gnttab_max_maptrack_frames", OPT_UINT, 0,
            &opt_gnttab_max_maptrack_frames, NULL, "default number of maptrack frames of a domain");
