/* SPDX-License-Identifier: MIT */
/*
 * For a test kernel that stock xl has started as a PVH guest: console ring, xenstore client, grants and event channels,
 * which it polls (no interrupts). Frames of the hypervisor go to addresses where such a guest has nothing. Include in
 * one file per kernel.
 */
#pragma once
#include "build.h"
#include <xen/io/console.h>
#include <xen/io/xenbus.h>
#include <xen/io/xs_wire.h>

#define SHARED_INFO 0xf0000000UL
#define GRANTS 0xf0001000UL             /* one frame: 512 entries */
#define FIRST_REF GNTTAB_NR_RESERVED_ENTRIES
#define barrier() __asm__ volatile("" ::: "memory")     /* loads are not moved before loads, nor stores before stores */

static struct xencons_interface *console;
static struct xenstore_domain_interface *store;
static evtchn_port_t console_port, store_port;
static struct grant_entry_v1 *grant_entries = (void *)GRANTS;

static inline u64 hvm_param(unsigned index)
{
    struct xen_hvm_param p = { .domid = DOMID_SELF, .index = index };
    return hc_hvm_op(HVMOP_get_param, &p) ? 0 : p.value;
}

/* ---- event channels ---- */
static inline void notify(evtchn_port_t port)
{
    struct evtchn_send s = { .port = port };
    hc_evtchn(EVTCHNOP_send, &s);
}

/* Before looking whether there is something to do: a later event stays pending. */
static inline void event_clear(evtchn_port_t port)
{
    struct shared_info *s = (void *)SHARED_INFO;
    __asm__ volatile("lock btrq %1, %0" : "+m"(s->evtchn_pending[port / 64]) : "r"((u64)port % 64) : "memory");
}

/* Sleep until the port has an event, or the time is over. */
static inline void event_wait(evtchn_port_t port, unsigned ms)
{
    struct sched_poll p = { .nr_ports = 1, .timeout = now_ns() + ms * 1000000UL };
    set_xen_guest_handle(p.ports, &port);
    hc_sched_op(SCHEDOP_poll, &p);
}

static inline evtchn_port_t event_alloc(domid_t remote)
{
    struct evtchn_alloc_unbound a = { .dom = DOMID_SELF, .remote_dom = remote };
    return hc_evtchn(EVTCHNOP_alloc_unbound, &a) ? 0 : a.port;
}

/* ---- console ---- */
/* Waits until dom0 has taken it: this may be the last that the guest does. */
static inline void console_puts(const char *s)
{
    u64 end = now_ns() + 10000000000UL;
    while (*s && now_ns() < end) {
        volatile XENCONS_RING_IDX *cons = &console->out_cons;
        if (console->out_prod - *cons < sizeof(console->out)) {
            console->out[MASK_XENCONS_IDX(console->out_prod, console->out)] = *s++;
            barrier();
            console->out_prod++;
            if (*s) continue;
        }
        notify(console_port);
        while (*cons != console->out_prod && now_ns() < end) sleep_ms(1);
    }
}

/* ---- xenstore ---- */
/* n bytes to (else from) the ring; false: dom0 does not answer. */
static inline bool store_move(void *data, u32 n, bool out)
{
    volatile XENSTORE_RING_IDX *prod = out ? &store->req_prod : &store->rsp_prod;
    volatile XENSTORE_RING_IDX *cons = out ? &store->req_cons : &store->rsp_cons;
    u64 end = now_ns() + 60000000000UL;
    for (u8 *p = data; n; ) {
        event_clear(store_port);
        if (out ? *prod - *cons < XENSTORE_RING_SIZE : *prod != *cons) {
            barrier();
            if (out) store->req[MASK_XENSTORE_IDX(*prod)] = (char)*p++;
            else *p++ = (u8)store->rsp[MASK_XENSTORE_IDX(*cons)];
            barrier();
            if (out) ++*prod;
            else ++*cons;
            if (--n) continue;
        }
        notify(store_port);
        if (!n) return true;
        if (now_ns() > end) return false;
        event_wait(store_port, 1000);
    }
    return true;
}

/* One request; the answer as a string in answer. False: refused, or too long. */
static inline bool store_call(u32 type, const char *path, const char *value, char *answer, u32 size)
{
    static u32 id;
    static char reply[XENSTORE_PAYLOAD_MAX + 1];
    struct xsd_sockmsg m = { .type = type, .req_id = ++id, .len = (u32)strlen(path) + 1 };
    if (value) m.len += (u32)strlen(value);             /* without its end */
    if (!store_move(&m, sizeof(m), true) || !store_move((void *)(u64)path, (u32)strlen(path) + 1, true) ||
        (value && !store_move((void *)(u64)value, (u32)strlen(value), true))) return false;
    do {
        if (!store_move(&m, sizeof(m), false)) return false;
        if (m.len > XENSTORE_PAYLOAD_MAX || !store_move(reply, m.len, false)) return false;
    } while (m.type == XS_WATCH_EVENT);
    reply[m.len] = 0;
    if (m.type != type || m.req_id != id || m.len >= size) return false;
    memcpy(answer, reply, m.len + 1);
    return true;
}

/* "dir/key". */
static inline const char *path_of(const char *dir, const char *key)
{
    static char path[256];
    size_t n = strlen(dir), k = strlen(key);
    if (n + k + 2 > sizeof(path)) return "";
    memcpy(path, dir, n);
    path[n] = '/';
    memcpy(path + n + 1, key, k + 1);
    return path;
}

static inline bool store_read(const char *dir, const char *key, char *value, u32 size)
{
    return store_call(XS_READ, path_of(dir, key), NULL, value, size);
}

static inline u64 store_number(const char *dir, const char *key)
{
    char s[24];
    u64 v = 0;
    if (!store_read(dir, key, s, sizeof(s))) return 0;
    for (const char *p = s; *p >= '0' && *p <= '9'; p++) v = v * 10 + (u64)(*p - '0');
    return v;
}

static inline bool store_write(const char *dir, const char *key, const char *value)
{
    char ok[8];
    return store_call(XS_WRITE, path_of(dir, key), value, ok, sizeof(ok));
}

static inline bool store_write_number(const char *dir, const char *key, u32 v)
{
    char s[12], *p = s + sizeof(s);
    *--p = 0;
    do *--p = (char)('0' + v % 10); while (v /= 10);
    return store_write(dir, key, p);
}

/* Wait until the other end of a device is in this state. */
static inline bool store_wait_state(const char *dir, enum xenbus_state state, unsigned seconds)
{
    for (u64 end = now_ns() + seconds * 1000000000UL; store_number(dir, "state") != state; sleep_ms(20))
        if (now_ns() > end) return false;
    return true;
}

/* ---- grants ---- */
static inline void grant(u32 ref, domid_t to, const void *page, bool readonly)
{
    volatile struct grant_entry_v1 *e = grant_entries + ref;
    e->domid = to;
    e->frame = (u32)((u64)page >> 12);
    barrier();
    e->flags = (u16)(GTF_permit_access | (readonly ? GTF_readonly : 0));
}

/* False: the other domain still uses it. */
static inline bool grant_end(u32 ref)
{
    volatile struct grant_entry_v1 *e = grant_entries + ref;
    if (e->flags & (GTF_reading | GTF_writing)) return false;
    e->flags = 0;
    return true;
}

/* ---- start ---- */
static inline bool frontend_init(void)
{
    struct xen_add_to_physmap shared = { .domid = DOMID_SELF, .space = XENMAPSPACE_shared_info,
                                         .gpfn = SHARED_INFO >> 12 };
    struct xen_add_to_physmap grants = { .domid = DOMID_SELF, .space = XENMAPSPACE_grant_table,
                                         .gpfn = GRANTS >> 12 };
    console = (void *)(hvm_param(HVM_PARAM_CONSOLE_PFN) << 12);
    console_port = (evtchn_port_t)hvm_param(HVM_PARAM_CONSOLE_EVTCHN);
    store = (void *)(hvm_param(HVM_PARAM_STORE_PFN) << 12);
    store_port = (evtchn_port_t)hvm_param(HVM_PARAM_STORE_EVTCHN);
    if (console && console_port) output = console_puts;
    return console && console_port && store && store_port && !hc_memory_op(XENMEM_add_to_physmap, &shared) &&
           !hc_memory_op(XENMEM_add_to_physmap, &grants);
}
