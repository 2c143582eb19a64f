/* SPDX-License-Identifier: MIT */
/* Hypervisor command line in the reference's syntax: words `name`, `no-name`, `name=value`, `name=a,b,c`.
 * Each option is a row in the file that uses it; unknown options are named in the log and ignored. */
#pragma once
#include "lib/lib.h"

enum opt_type { OPT_BOOL, OPT_UINT, OPT_SIZE, OPT_STRING, OPT_CUSTOM, OPT_IGNORE };
struct option {
    const char *name;
    u8 type;
    u16 size;                       /* of a string buffer */
    void *var;                      /* bool*, u64*, char[]; */
    int (*fn)(const char *value);   /* custom: value after '=' ("" if none, "0" for no-NAME); -EINVAL logs */
    const char *help;               /* one line for the generated reference */
};
#define BOOT_OPTION(id, ...) \
    static const struct option bootopt_##id __section("options") __aligned(8) = { __VA_ARGS__ }

/* For custom options. A yes or no of any spelling ("" is yes): 0, or -EINVAL and *var stays. */
int cmdline_bool(bool *var, const char *value) __must_check;
/* A word of such a list that is `name`, `no-name` or `name=<yes or no>`: 0; -ENOENT: it is another one; or -EINVAL. *var stays
 * unless it is 0. */
int cmdline_list_bool(bool *var, const char *word, const char *name) __must_check;
/* Next word of a comma-separated list; true if there is one. */
bool cmdline_word(const char **list, char *word, size_t size);

void cmdline_parse(const char *line);   /* logs unknown and malformed options */
extern char saved_cmdline[1024];        /* as XENVER_commandline reports it */
