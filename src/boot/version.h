/* SPDX-License-Identifier: MIT */
/* Our own version. The ABI's version (4.17) is what clients see and is given by the public headers. */
#pragma once

#define HELIUM_VERSION "0.1"
#define HELIUM_BANNER "Helium 4.17-" HELIUM_VERSION
