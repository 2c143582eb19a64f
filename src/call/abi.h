/* SPDX-License-Identifier: MIT */
/* The public ABI, from Debian's libxen-dev (MIT), as it is (design rule 1). */
#pragma once
#define __XEN_TOOLS__ 1
#define __XEN_INTERFACE_VERSION__ 0x00040d00
#include <stdint.h>
#include <stddef.h>
#include <xen/xen.h>
#include <xen/version.h>
#include <xen/features.h>
#include <xen/memory.h>
#include <xen/event_channel.h>
#include <xen/grant_table.h>
#include <xen/vcpu.h>
#include <xen/sched.h>
#include <xen/physdev.h>
#include <xen/platform.h>
#include <xen/domctl.h>
#include <xen/sysctl.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/params.h>
#include <xen/hvm/hvm_vcpu.h>
#include <xen/hvm/save.h>
#include <xen/arch-x86/hvm/start_info.h>
#include <xen/arch-x86/cpuid.h>
#include <xen/elfnote.h>
