/* SPDX-License-Identifier: MIT */
/*
 * Access to guest memory. Every value is read once into private storage (I-13); each page is referenced while
 * it is accessed (I-1). Besides this module only sync/ uses atomics on guest-shared memory.
 */
#pragma once
#include "mm/p2m.h"

struct vcpu;

/* Access by guest-linear address in v's current address space, at CPL 0 rules, AC honoured: hypercall buffers.
 * len may cross pages. 0 or -EFAULT. v must be current or paused. */
int guest_read(struct vcpu *v, void *dst, gva_t src, size_t len) __must_check;
int guest_write(struct vcpu *v, gva_t dst, const void *src, size_t len) __must_check;
/* By guest-physical address. 0 or -EFAULT. */
int guest_read_gpa(struct domain *d, void *dst, gpa_t src, size_t len) __must_check;
int guest_write_gpa(struct domain *d, gpa_t dst, const void *src, size_t len) __must_check;
/* Copy typed objects: copy_in(v, &obj, gva). */
#define copy_in(v, p, gva)  guest_read(v, p, gva, sizeof(*(p)))
#define copy_out(v, gva, p) guest_write(v, gva, p, sizeof(*(p)))

/* Page-walk result for emulation: linear -> gpa with the guest's own access rights. */
enum { GW_WRITE = 1, GW_USER = 2, GW_FETCH = 4 };
/* 0 and *gpa; or -EFAULT with *pfec = page-fault error code to inject, -EIO if a table page is not RAM. */
int guest_walk(struct vcpu *v, gva_t va, unsigned flags, gpa_t *gpa, u32 *pfec) __must_check;

/* A guest page pinned and mapped for long (vcpu_info, runstate, control blocks): holds one reference. */
struct guest_page { mfn_t mfn; void *va; };
/* 0, -EINVAL (not writable RAM of d), -ENOMEM. */
int guest_page_pin(struct domain *d, gfn_t g, struct guest_page *p) __must_check;
void guest_page_unpin(struct guest_page *p);
