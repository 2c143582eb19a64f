/* SPDX-License-Identifier: MIT */
/* Options of the reference that stock boot entries or administrators' habits carry and that mean nothing here:
 * accepted quietly. An option that something implements has its row there. */
#include "boot/cmdline.h"

#define IGNORE(id, word, why) BOOT_OPTION(id, word, OPT_IGNORE, 0, NULL, NULL, "accepted, no effect: " why)

IGNORE(no_real_mode, "no-real-mode", "no real-mode services are used");
IGNORE(edd, "edd", "no BIOS disk data is collected");
IGNORE(edid, "edid", "no BIOS monitor data is collected");
IGNORE(hvm_fep, "hvm_fep", "no forced emulation");
IGNORE(hap, "hap", "nested paging is always used");
IGNORE(hap_1gb, "hap_1gb", "page sizes are chosen by need");
IGNORE(hap_2mb, "hap_2mb", "page sizes are chosen by need");
IGNORE(rmrr, "rmrr", "no VT-d");
IGNORE(ats, "ats", "no passthrough");
IGNORE(pcid, "pcid", "no PV guests");
IGNORE(xpti, "xpti", "no PV guests");
IGNORE(pv_l1tf, "pv-l1tf", "no PV guests");
IGNORE(pv, "pv", "no PV guests");
IGNORE(smap, "smap", "chosen by the CPU");
IGNORE(smep, "smep", "chosen by the CPU");
IGNORE(xsave, "xsave", "chosen by the CPU");
IGNORE(tboot, "tboot", "no measured launch");
IGNORE(crashkernel, "crashkernel", "no kexec yet");
IGNORE(low_crashinfo, "low_crashinfo", "no kexec yet");
IGNORE(tbuf_size, "tbuf_size", "no xentrace yet");
IGNORE(tevt_mask, "tevt_mask", "no xentrace yet");
IGNORE(flask, "flask", "no FLASK");
IGNORE(xsm, "xsm", "no XSM modules");
IGNORE(argo, "argo", "no Argo");
IGNORE(tmem, "tmem", "no tmem");
IGNORE(mem_sharing, "mem_sharing", "no page sharing");
IGNORE(altp2m, "altp2m", "no altp2m");
IGNORE(ept, "ept", "no VMX yet");
IGNORE(ple_gap, "ple_gap", "no VMX yet");
IGNORE(ple_window, "ple_window", "no VMX yet");
IGNORE(vpmu, "vpmu", "no vPMU");
IGNORE(efi, "efi", "runtime services are chosen by the boot path");
IGNORE(reservedmem, "e820-verbose", "the memory map is always printed");
IGNORE(mtrr_show, "mtrr.show", "firmware's MTRRs stay");
IGNORE(async_show_all, "async-show-all", "");
IGNORE(placeholder, "placeholder", "GRUB's first word");
