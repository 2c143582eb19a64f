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
struct guest_page { mfn_t mfn; struct guest_mem *va; };
/* 0, -EINVAL (not writable RAM of d), -ENOMEM. */
int guest_page_pin(struct domain *d, gfn_t g, struct guest_page *p) __must_check;
void guest_page_unpin(struct guest_page *p);

/* A structure of a guest pinned for long by its linear address; it may lie across two pages. Unused: no_area. */
struct guest_area { struct guest_page page[2]; unsigned off; };
extern const struct guest_area no_area;
/* Pin len <= PAGE_SIZE bytes at gva, an address of the current vCPU, which belongs to d. The address is translated
 * now, because with page-table isolation the mapping is absent while a vCPU runs user code. 0, -EFAULT, -ENOMEM,
 * -EINVAL: not aligned to 8 bytes. */
int guest_area_pin(struct domain *d, gva_t gva, size_t len, struct guest_area *a) __must_check;
void guest_area_unpin(struct guest_area *a);
static inline bool guest_area_used(const struct guest_area *a) { return mfn_valid(a->page[0].mfn); }
/* Its i-th u64, which crosses no page. */
struct guest_mem *guest_area_word(const struct guest_area *a, unsigned i);
