/* SPDX-License-Identifier: MIT */
/* xen_version (17): who we are. */
#include "boot/cmdline.h"
#include "call/call.h"
#include "debug/console.h"

/* The build passes these; a plain make leaves a reproducible default. */
#ifndef HELIUM_CHANGESET
#define HELIUM_CHANGESET "helium"
#endif
#ifndef HELIUM_BUILD_DATE
#define HELIUM_BUILD_DATE "reproducible"
#endif
#ifndef HELIUM_BUILD_BY
#define HELIUM_BUILD_BY "helium"
#endif
#ifndef HELIUM_BUILD_DOMAIN
#define HELIUM_BUILD_DOMAIN ""
#endif

#define VERSION_4_17 0x00040011
#define VIRT_START 0xffff800000000000UL

/* Domain types in the builder's notation. No "xen-3.0-x86_64": PV guests run inside xen-shim, which is PVH. */
static const char capabilities[] = "hvm-3.0-x86_32 hvm-3.0-x86_32p hvm-3.0-x86_64 ";
static const char denied[] = "<denied>";

struct answer { union { char text[1024]; struct xen_compile_info info; u8 bytes[1024]; } u; };

static long fill_extraversion(struct call *c, struct answer *a)
{
    str_copy(a->u.text, ".7", sizeof(xen_extraversion_t));
    return 0;
}

static long fill_compile_info(struct call *c, struct answer *a)
{
    str_copy(a->u.info.compiler, "gcc " __VERSION__, sizeof(a->u.info.compiler));
    str_copy(a->u.info.compile_by, HELIUM_BUILD_BY, sizeof(a->u.info.compile_by));
    str_copy(a->u.info.compile_domain, HELIUM_BUILD_DOMAIN, sizeof(a->u.info.compile_domain));
    str_copy(a->u.info.compile_date, HELIUM_BUILD_DATE, sizeof(a->u.info.compile_date));
    return 0;
}

static long fill_capabilities(struct call *c, struct answer *a)
{
    str_copy(a->u.text, capabilities, sizeof(xen_capabilities_info_t));
    return 0;
}

static long fill_changeset(struct call *c, struct answer *a)
{
    str_copy(a->u.text, HELIUM_CHANGESET, sizeof(xen_changeset_info_t));
    return 0;
}

static long fill_platform(struct call *c, struct answer *a)
{
    struct xen_platform_parameters p = { .virt_start = VIRT_START };
    memcpy(a->u.bytes, &p, sizeof(p));
    return 0;
}

static long fill_handle(struct call *c, struct answer *a)
{
    memcpy(a->u.bytes, c->v->dom->handle, sizeof(xen_domain_handle_t));
    return 0;
}

static long fill_cmdline(struct call *c, struct answer *a)
{
    str_copy(a->u.text, c->v->dom->is_priv ? saved_cmdline : denied, sizeof(xen_commandline_t));
    return 0;
}

/* Sub-operations that only write one structure. */
static const struct { long (*fill)(struct call *c, struct answer *a); u16 size; } answers[] = {
    [XENVER_extraversion] = { fill_extraversion, sizeof(xen_extraversion_t) },
    [XENVER_compile_info] = { fill_compile_info, sizeof(struct xen_compile_info) },
    [XENVER_capabilities] = { fill_capabilities, sizeof(xen_capabilities_info_t) },
    [XENVER_changeset] = { fill_changeset, sizeof(xen_changeset_info_t) },
    [XENVER_platform_parameters] = { fill_platform, sizeof(struct xen_platform_parameters) },
    [XENVER_guest_handle] = { fill_handle, sizeof(xen_domain_handle_t) },
    [XENVER_commandline] = { fill_cmdline, sizeof(xen_commandline_t) },
};

/* Public features.h: all domains are translated and own their page tables; event upcalls by vector work. */
static u32 features(const struct domain *d)
{
    u32 f = 1u << XENFEAT_writable_page_tables | 1u << XENFEAT_auto_translated_physmap |
            1u << XENFEAT_hvm_callback_vector | 1u << XENFEAT_hvm_safe_pvclock |
            1u << XENFEAT_memory_op_vnode_supported | 1u << XENFEAT_not_direct_mapped;
    return d->is_hwdom ? f | 1u << XENFEAT_dom0 : f;
}

static long get_features(struct call *c)
{
    struct xen_feature_info i;
    if (copy_in(c->v, &i, c->arg[1])) return -EFAULT;
    if (i.submap_idx >= XENFEAT_NR_SUBMAPS) return -EINVAL;
    i.submap = features(c->v->dom);
    return copy_out(c->v, c->arg[1], &i) ? -EFAULT : 0;
}

static long get_build_id(struct call *c)
{
    unsigned len = 0;
    u32 room;
    const void *id = build_id(&len);
    if (!c->v->dom->is_priv) return -EPERM;
    if (!id || !len) return -ENODATA;
    if (!c->arg[1]) return len;
    if (guest_read(c->v, &room, c->arg[1], sizeof(room))) return -EFAULT;
    if (!room) return -EINVAL;
    if (room < len) return -ENOBUFS;
    return guest_write(c->v, c->arg[1] + offsetof(struct xen_build_id, buf), id, len) ? -EFAULT : (long)len;
}

long xen_version(struct call *c)
{
    u32 cmd = (u32)c->arg[0];
    switch (cmd) {
    case XENVER_version: return VERSION_4_17;
    case XENVER_get_features: return get_features(c);
    case XENVER_pagesize: return c->arg[1] ? -EINVAL : (long)PAGE_SIZE;
    case XENVER_build_id: return get_build_id(c);
    }
    if (cmd >= ARRAY_SIZE(answers)) return -ENOSYS;
    cmd = (u32)index_nospec(cmd, ARRAY_SIZE(answers));
    if (!answers[cmd].fill) return -ENOSYS;
    struct answer a;
    memset(&a, 0, sizeof(a));
    long rc = answers[cmd].fill(c, &a);
    if (rc) return rc;
    return guest_write(c->v, c->arg[1], &a, answers[cmd].size) ? -EFAULT : 0;
}
