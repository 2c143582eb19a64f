/* SPDX-License-Identifier: MIT */
/* Weak stand-ins for what only the bare machine has and the core refers to: power, build id, embedded loader. */
#pragma once
#include "debug/internal.h"

__attribute__((weak)) void machine_reboot(void) { panic("reboot\n"); }
__attribute__((weak)) void machine_halt(void) { panic("halt\n"); }
__attribute__((weak)) void machine_poweroff(void) { panic("power off\n"); }
__attribute__((weak)) const void *build_id(unsigned *len) { *len = 0; return NULL; }
__attribute__((weak)) struct uart uarts[2];
extern const u8 dom0_loader_blob[], dom0_loader_blob_end[];
__attribute__((weak)) const u8 dom0_loader_blob[1] = { 0 };
__attribute__((weak)) const u8 dom0_loader_blob_end[1] = { 0 };
__attribute__((weak)) void (*console_rx_notify)(void);
