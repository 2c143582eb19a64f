/* SPDX-License-Identifier: MIT */
/* What options change, seen from dom0: prints facts as "name: value", which test/boot/test_options.py compares. */
#include "guest.h"

const char test_name[] = "options";

#define MARKS 800                       /* of 64 bytes: more than the smallest ring holds */
static char ring[256 << 10];

static long read_ring(void)
{
    struct xen_sysctl s = { .cmd = XEN_SYSCTL_readconsole, .interface_version = XEN_SYSCTL_INTERFACE_VERSION };
    set_xen_guest_handle(s.u.readconsole.buffer, ring);
    s.u.readconsole.count = sizeof(ring) - 1;
    expect_eq(hc_sysctl(&s), 0);
    ring[s.u.readconsole.count] = 0;
    return s.u.readconsole.count;
}

static bool ring_has(const char *text)
{
    size_t n = strlen(text);
    for (const char *p = ring; *p; p++)
        if (!memcmp(p, text, n)) return true;
    return false;
}

/* dom0's own output, and how much of it the ring keeps. The text to look for must not come from the looking. */
static void console_ring(void)
{
    char first[] = "mark 000", last[] = "mark 799";
    for (unsigned i = 0; i < MARKS; i++) print("mark %03u %s\n", i, "......................................................");
    read_ring();
    print("first mark in the ring: %d\n", ring_has(first));
    print("last mark in the ring: %d\n", ring_has(last));
}

static void maptrack_limit(void)
{
    static const int frames[] = { 2, 3, 1024, 1025 };
    for (unsigned i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
        struct xen_domctl d = { .cmd = XEN_DOMCTL_createdomain, .interface_version = XEN_DOMCTL_INTERFACE_VERSION, .domain = 0xffff };
        d.u.createdomain = (struct xen_domctl_createdomain){
            .flags = XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap, .max_vcpus = 1, .max_evtchn_port = 1023, .max_grant_frames = -1,
            .max_maptrack_frames = frames[i], .grant_opts = XEN_DOMCTL_GRANT_version(1),
            .arch.emulation_flags = XEN_X86_EMU_LAPIC };
        long rc = hc_domctl(&d);
        print("domain with %d maptrack frames: %ld\n", frames[i], rc);
        d.cmd = XEN_DOMCTL_destroydomain;
        if (!rc) expect_eq(hc_domctl(&d), 0);
    }
}

/* Characters for dom0 up to a full stop. */
static void typed(void)
{
    unsigned n = 0;
    char c = 0;
    print("type\n");
    while (c != '.')
        if (hypercall3(__HYPERVISOR_console_io, CONSOLEIO_read, 1, &c) == 1) n++;
    print("typed: %u\n", n);
}

void test_main(void)
{
    port_e9("through port 0xE9\n");
    maptrack_limit();
    console_ring();
    if (option("type")) typed();
}
