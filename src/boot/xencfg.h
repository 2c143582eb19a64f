/* SPDX-License-Identifier: MIT */
/* xen.cfg: text of unknown origin, not terminated. Pure functions, hosted too; they also run
 * before relocation, so no static pointers. */
#pragma once
#include "lib/types.h"

/* The value of `key` in [section], or anywhere if the file has no section headers or section is NULL. The first
 * occurrence counts; blanks around it are cut. Length of the value, -1 if there is none, -2 if it does not fit. */
int xencfg_get(const char *text, size_t len, const char *section, const char *key, char *out, size_t size);
bool xencfg_has_section(const char *text, size_t len, const char *section);

/* Words of the EFI load options, already as 8-bit text:
 *   [image name] [-option]... [section] [-- hypervisor options] */
struct efi_args {
    char cfg[128];                  /* -cfg=FILE or -cfg FILE */
    bool basevideo, help, bad;      /* bad: an unknown option or a name too long; named in `unknown` */
    char unknown[64];
    char section[64];               /* last word without a dash, "" if none but the image name */
    const char *rest;               /* after --, inside the given text; "" if none */
};
void efi_args_parse(struct efi_args *a, const char *text);
