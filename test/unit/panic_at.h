/* SPDX-License-Identifier: MIT */
/* The panic with registers, of a program that has none: it ends as any other. */
#pragma once
#include "cpu/trap.h"
#include "lib/lib.h"

void panic_at(const struct trap_frame *f, const char *fmt, ...)
{
    char text[200];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    panic("%s", text);
}
