/* SPDX-License-Identifier: MIT */
/* Sizes and offsets of the public ABI that unmodified clients rely on (design rule 1). Compiles to nothing. */
#include "call/abi.h"
#include "lib/types.h"
#include <xen/arch-x86/cpufeatureset.h>

#define SIZE(type, n) _Static_assert(sizeof(type) == (n), "size of " #type)
#define AT(type, field, n) _Static_assert(offsetof(type, field) == (n), "offset of " #type "." #field)

/* control interfaces (D.8, D.10, D.11, E.7) */
SIZE(struct xen_domctl, 144);
AT(struct xen_domctl, interface_version, 4);
AT(struct xen_domctl, domain, 8);
AT(struct xen_domctl, u, 16);
SIZE(struct xen_sysctl, 136);
AT(struct xen_sysctl, u, 8);
SIZE(struct xen_platform_op, 136);
AT(struct xen_platform_op, u, 8);
_Static_assert(XEN_DOMCTL_INTERFACE_VERSION == 0x15 && XEN_SYSCTL_INTERFACE_VERSION == 0x15 &&
               XENPF_INTERFACE_VERSION == 0x03000001, "interface generation 4.17");
SIZE(struct xen_domctl_createdomain, 64);
AT(struct xen_domctl_createdomain, flags, 0x14);
AT(struct xen_domctl_createdomain, max_grant_frames, 0x24);
AT(struct xen_domctl_createdomain, arch, 0x38);
SIZE(struct xen_domctl_getdomaininfo, 112);
AT(struct xen_domctl_getdomaininfo, handle, 0x4c);
AT(struct xen_domctl_getdomaininfo, gpaddr_bits, 0x60);
AT(struct xen_domctl_getdomaininfo, arch_config, 0x68);
SIZE(struct xen_sysctl_physinfo, 112);
SIZE(struct xen_sysctl_meminfo, 16);
SIZE(struct xen_sysctl_cputopo, 12);
SIZE(xen_cpuid_leaf_t, 24);
SIZE(xen_msr_entry_t, 16);
_Static_assert(XEN_X86_FEATURE_TSA_L1_NO / 32 == 18, "19 feature words");

/* vCPUs and time (C.1, E.2, E.9) */
SIZE(struct vcpu_guest_context, 0x1430);
SIZE(struct vcpu_info, 64);
AT(struct vcpu_info, time, 0x20);
SIZE(struct shared_info, 0xc40);
AT(struct shared_info, evtchn_pending, 0x800);
AT(struct shared_info, evtchn_mask, 0xa00);
AT(struct shared_info, wc_version, 0xc00);
AT(struct shared_info, arch, 0xc10);
SIZE(struct vcpu_runstate_info, 48);
SIZE(struct multicall_entry, 64);
SIZE(struct hvm_save_descriptor, 8);
SIZE(struct hvm_save_header, 24);
SIZE(struct hvm_hw_cpu, 1032);
SIZE(struct hvm_hw_lapic, 24);
SIZE(struct hvm_hw_lapic_regs, 1024);
SIZE(struct hvm_hw_mtrr, 240);
SIZE(struct hvm_hw_cpu_xsave, 600);
SIZE(struct hvm_vmce_vcpu, 32);
SIZE(struct hvm_tsc_adjust, 8);
SIZE(struct hvm_one_msr, 16);
SIZE(struct hvm_hw_vioapic, 400);

/* memory, grants, events (D.3 - D.5) */
SIZE(struct xen_memory_reservation, 32);
SIZE(struct xen_add_to_physmap, 24);
SIZE(struct xen_add_to_physmap_batch, 32);
SIZE(struct xen_mem_acquire_resource, 32);
SIZE(struct gnttab_map_grant_ref, 32);
SIZE(struct gnttab_unmap_grant_ref, 24);
SIZE(struct gnttab_copy, 40);
SIZE(grant_entry_v1_t, 8);
SIZE(struct evtchn_status, 24);
SIZE(struct evtchn_fifo_control_block, 72);
SIZE(struct xen_hvm_param, 16);
SIZE(struct vcpu_register_vcpu_info, 16);
_Static_assert(HVM_NR_PARAMS == 39, "parameters");

/* boot */
SIZE(struct hvm_start_info, 56);
SIZE(struct hvm_modlist_entry, 32);
SIZE(struct hvm_memmap_table_entry, 24);
SIZE(struct dom0_vga_console_info, 40);
SIZE(struct xen_compile_info, 144);
