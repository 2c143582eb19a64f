/* SPDX-License-Identifier: MIT */
/* iommu=: whether the IOMMU is used, and for what. */
#include "iommu/amd.h"
#include "boot/cmdline.h"

bool opt_iommu = true, opt_intremap = true;

static int parse_iommu(const char *list)
{
    bool on = opt_iommu || !*list, intremap = opt_intremap;
    char word[32];
    while (cmdline_word(&list, word, sizeof(word))) {
        int rc = cmdline_list_bool(&intremap, word, "intremap");
        if (rc == -EINVAL) return rc;
        if (rc && cmdline_bool(&on, word)) continue;    /* a word of the reference without meaning here */
    }
    opt_iommu = on;
    opt_intremap = intremap;
    return 0;
}
BOOT_OPTION(iommu, "iommu", OPT_CUSTOM, 0, NULL, parse_iommu,
            "list of: off: do not use the IOMMU; no-intremap: do not remap interrupts; else accepted");
