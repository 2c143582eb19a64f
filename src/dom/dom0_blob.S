/* SPDX-License-Identifier: MIT */
/* The in-guest loader's flat image (loader/, built by the Makefile); empty if its libraries were not there. */
    .section .rodata.dom0_loader, "a"
    .balign 4096
    .globl dom0_loader_blob, dom0_loader_blob_end
    .hidden dom0_loader_blob, dom0_loader_blob_end
dom0_loader_blob:
    .incbin "loader.bin"
dom0_loader_blob_end:
    .section .note.GNU-stack, "", @progbits
