/* SPDX-License-Identifier: MIT */
/* Between the files of domctl (36): one row per command in domctl.c, handlers by topic in domctl_*.c. */
#pragma once
#include "call/call.h"

/* d is referenced; NULL for commands that name no existing domain. op is a private copy; changed fields go back
 * as the row says. A handler runs under the domctl lock unless its row says otherwise. */
#define DOMCTL_HANDLER(name) long domctl_##name(struct call *c, struct domain *d, struct xen_domctl *op)

/* The domctl lock, for a handler whose row says NO_LOCK. */
bool domctl_trylock(void) __must_check;
void domctl_unlock(void);

/* domctl_domain.c */
DOMCTL_HANDLER(createdomain);
DOMCTL_HANDLER(destroydomain);
DOMCTL_HANDLER(pausedomain);
DOMCTL_HANDLER(unpausedomain);
DOMCTL_HANDLER(resumedomain);
DOMCTL_HANDLER(getdomaininfo);
DOMCTL_HANDLER(max_mem);
DOMCTL_HANDLER(setdomainhandle);
DOMCTL_HANDLER(settimeoffset);
DOMCTL_HANDLER(set_target);
DOMCTL_HANDLER(set_virq_handler);
DOMCTL_HANDLER(setnodeaffinity);
DOMCTL_HANDLER(getnodeaffinity);
DOMCTL_HANDLER(irq_permission);
DOMCTL_HANDLER(iomem_permission);
DOMCTL_HANDLER(ioport_permission);
void domain_get_info(struct domain *d, struct xen_domctl_getdomaininfo *i);

/* domctl_vcpu.c */
DOMCTL_HANDLER(max_vcpus);
DOMCTL_HANDLER(setvcpuaffinity);
DOMCTL_HANDLER(getvcpuaffinity);
DOMCTL_HANDLER(getvcpuinfo);
DOMCTL_HANDLER(setvcpucontext);
DOMCTL_HANDLER(getvcpucontext);
DOMCTL_HANDLER(scheduler_op);
DOMCTL_HANDLER(sendtrigger);

/* domctl_hvm.c */
DOMCTL_HANDLER(shadow_op);
DOMCTL_HANDLER(getpageframeinfo3);
DOMCTL_HANDLER(get_paging_mempool_size);
DOMCTL_HANDLER(set_paging_mempool_size);
DOMCTL_HANDLER(set_address_size);
DOMCTL_HANDLER(get_address_size);
DOMCTL_HANDLER(gettscinfo);
DOMCTL_HANDLER(settscinfo);
DOMCTL_HANDLER(get_cpu_policy);
DOMCTL_HANDLER(set_cpu_policy);
DOMCTL_HANDLER(gethvmcontext);
DOMCTL_HANDLER(sethvmcontext);
DOMCTL_HANDLER(gethvmcontext_partial);
