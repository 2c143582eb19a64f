/* SPDX-License-Identifier: MIT */
/* Hosted build: tell AddressSanitizer which heap memory is free. */
#pragma once
#ifdef HOSTED
#include <sanitizer/asan_interface.h>
#define POISON(p, n)   ASAN_POISON_MEMORY_REGION(p, n)
#define UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#else
#define POISON(p, n)   do { } while (0)
#define UNPOISON(p, n) do { } while (0)
#endif
