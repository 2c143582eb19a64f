/* SPDX-License-Identifier: MIT */
/*
 * Guests that take all that they are let: event channels, grants, mappings, the console. Beside each runs a witness; it and
 * dom0 go on, and afterwards everything is back. Boot with guest_loglvl=error/all: what guests print is looked for in
 * Helium's own log.
 */
#include "build.h"

const char test_name[] = "greedy";

#define BATCH 64
#define GRANTED 0x600                   /* frame that a guest grants */
#define TABLE 0x40000UL                 /* frames where it puts its grant table, and the grants of others */
#define MAPPED 0x50000UL
#define FIFO 0x580                      /* frames of its event queue */
#define REFS 512

static void bump(volatile u64 *n) { *n = *n + 1; }

/* ---- the witness: grants pages, opens and closes a channel, sleeps, tells how far it is ---- */
static volatile struct grant_entry_v1 *own_table(u64 frames)
{
    struct xen_add_to_physmap a = { .domid = DOMID_SELF, .space = XENMAPSPACE_grant_table };
    for (; a.idx < frames; a.idx++) {
        a.gpfn = TABLE + a.idx;
        if (hc_memory_op(XENMEM_add_to_physmap, &a)) return NULL;
    }
    return (void *)(TABLE << 12);
}

static void grant_all(volatile struct grant_entry_v1 *e, u64 n, domid_t to)
{
    for (u64 i = 8; i < n; i++) {
        e[i].frame = GRANTED;
        e[i].domid = to;
        e[i].flags = GTF_permit_access;
    }
}

static void g_witness(void)
{
    volatile struct dom_args *a = my_args();
    volatile struct grant_entry_v1 *e = own_table(1);
    if (!e) bump(&a->out[1]);
    for (u64 n = 1;; n++) {
        struct evtchn_alloc_unbound u = { .dom = DOMID_SELF, .remote_dom = 0 };
        if (e && a->in[0] && !e[REFS - 1].flags) grant_all(e, REFS, (domid_t)a->in[0]);
        if (hc_evtchn(EVTCHNOP_alloc_unbound, &u)) bump(&a->out[1]);
        struct evtchn_close c = { .port = u.port };
        if (hc_evtchn(EVTCHNOP_close, &c)) bump(&a->out[1]);
        if (n % 20 == 0) print("witness %lu\n", n / 20);
        a->out[0] = n;
        sleep_ms(5);
    }
}

/* ---- the greedy ones; in[0]: the witness's number. They go on trying for ever ---- */

/* As many channels as there are; the error of the one that was not given. */
static long take_channels(volatile u64 *got)
{
    static struct multicall_entry call[BATCH];
    static struct evtchn_alloc_unbound u[BATCH];
    for (;;) {
        for (unsigned i = 0; i < BATCH; i++) {
            u[i] = (struct evtchn_alloc_unbound){ .dom = DOMID_SELF, .remote_dom = DOMID_SELF };
            call[i] = (struct multicall_entry){ .op = __HYPERVISOR_event_channel_op,
                                                .args = { EVTCHNOP_alloc_unbound, (u64)&u[i] } };
        }
        if (hypercall2(__HYPERVISOR_multicall, call, BATCH)) return 1;
        for (unsigned i = 0; i < BATCH; i++) {
            if (call[i].result) return (long)call[i].result;
            bump(got);
        }
    }
}

/* The queue for 2^17 channels instead of bitmaps for 4096. */
static void use_fifo(void)
{
    struct evtchn_init_control c = { .control_gfn = FIFO };
    if (hc_evtchn(EVTCHNOP_init_control, &c)) return;
    for (unsigned i = 1; i <= 128; i++) {
        struct evtchn_expand_array a = { .array_gfn = FIFO + i };
        if (hc_evtchn(EVTCHNOP_expand_array, &a)) return;
    }
}

/* Every frame of the grant table, and in it every entry in use. */
static u64 take_grants(void)
{
    struct gnttab_query_size q = { .dom = DOMID_SELF };
    volatile struct grant_entry_v1 *e;
    if (hc_grant(GNTTABOP_query_size, &q, 1) || q.status || !(e = own_table(q.max_nr_frames))) return 0;
    grant_all(e, q.max_nr_frames * 512UL, 0);
    return own_table(q.max_nr_frames + 1UL) ? 0 : q.max_nr_frames;
}

/* Grants of another one, mapped again and again at new places; the status of the one that was refused. */
static int take_mappings(unsigned whose, volatile u64 *got)
{
    static struct gnttab_map_grant_ref m[BATCH];
    for (;;) {
        for (unsigned i = 0; i < BATCH; i++)
            m[i] = (struct gnttab_map_grant_ref){ .host_addr = (MAPPED + *got + i) << 12, .flags = GNTMAP_host_map,
                                                  .ref = 8 + (u32)(*got + i) % (REFS - 8), .dom = (domid_t)whose };
        if (hc_grant(GNTTABOP_map_grant_ref, m, BATCH)) return 1;
        for (unsigned i = 0; i < BATCH; i++) {
            if (m[i].status) return m[i].status;
            bump(got);
        }
    }
}

static void take_all(bool fifo)
{
    volatile struct dom_args *a = my_args();
    while (!a->in[0]) sleep_ms(1);
    sleep_ms(50);                               /* the witness grants its pages */
    if (fifo) use_fifo();
    a->out[3] = take_grants();
    for (;; bump(&a->out[0])) {
        a->out[2] = (u64)take_channels(&a->out[1]);
        a->out[5] = (u64)take_mappings((unsigned)a->in[0], &a->out[4]);
    }
}

static void g_nothing(void) {}
static void g_take_all(void) { take_all(false); }
static void g_take_all_fifo(void) { take_all(true); }

/* The console, both ways. */
static void g_flood_calls(void)
{
    static char text[4096];
    for (unsigned i = 0; i < sizeof(text); i++) text[i] = i % 32 == 31 ? '\n' : 'F';
    for (;; bump(&my_args()->out[0])) hc_console_write(text, sizeof(text));
}

static void g_flood_port(void)
{
    for (;; bump(&my_args()->out[0])) port_e9("FFFFFFFFFFFFFFF\n");
}

/* ---- dom0 ---- */
#define WITNESS (SCRATCH + 0x10000)     /* where their arguments are mapped */
#define GREEDY (SCRATCH + 0x20000)
static char log[65536];

/* Helium's log since it was last read. */
static void read_log(void)
{
    memset(&sc, 0, sizeof(sc));
    sc.cmd = XEN_SYSCTL_readconsole;
    sc.interface_version = XEN_SYSCTL_INTERFACE_VERSION;
    sc.u.readconsole.clear = 1;
    sc.u.readconsole.count = sizeof(log) - 1;
    set_xen_guest_handle(sc.u.readconsole.buffer, log);
    check_eq(hc_sysctl(&sc), 0);
    log[sc.u.readconsole.count] = 0;
}

static const char *find(const char *in, const char *what)
{
    for (size_t n = strlen(what); *in; in++)
        if (!memcmp(in, what, n)) return in;
    return NULL;
}

static u64 number_behind(const char *s, const char *word)
{
    u64 n = 0;
    if (!(s = find(s, word))) return 0;
    for (s += strlen(word); *s >= '0' && *s <= '9'; s++) n = n * 10 + (u64)(*s - '0');
    return n;
}

/* By the hypervisor's own account, to the page. */
static u64 heap_kib(void)
{
    static char key = 'm';
    read_log();
    memset(&sc, 0, sizeof(sc));
    sc.cmd = XEN_SYSCTL_debug_keys;
    sc.interface_version = XEN_SYSCTL_INTERFACE_VERSION;
    sc.u.debug_keys.nr_keys = 1;
    set_xen_guest_handle(sc.u.debug_keys.keys, &key);
    check_eq(hc_sysctl(&sc), 0);
    read_log();
    return number_behind(log, "hypervisor heap ");
}

/* A witness and the guest under test, each with its arguments mapped. */
static struct { unsigned witness, greedy; volatile struct dom_args *w, *g; } now;

static bool begin(role_fn role)
{
    long w = role_start(1, g_witness), g = w > 0 ? role_start(1, role) : w;
    if (!check(w > 0 && g > 0)) return false;
    now.witness = (unsigned)w;
    now.greedy = (unsigned)g;
    if (!(now.w = role_args(now.witness, WITNESS)) || !(now.g = role_args(now.greedy, GREEDY))) return false;
    now.w->in[0] = now.greedy;
    now.g->in[0] = now.witness;
    return true;
}

static void end(void)
{
    check_eq(unmap(WITNESS, 1) | unmap(GREEDY, 1), 0);
    check(domain_end(now.greedy));
    check(domain_end(now.witness));
}

/* While the greedy one does what it can. */
static void others_go_on(void)
{
    u64 seen = now.w->out[0], tried = now.g->out[0], t0 = now_ns();
    struct evtchn_alloc_unbound u = { .dom = DOMID_SELF, .remote_dom = (domid_t)now.witness };
    sleep_ms(500);
    check(now_ns() - t0 < 1500000000UL);
    check(now.w->out[0] >= seen + 20);
    check_eq(now.w->out[1], 0);
    check(now.g->out[0] > tried);
    check_eq(hc_evtchn(EVTCHNOP_alloc_unbound, &u), 0);
    struct evtchn_close c = { .port = u.port };
    check_eq(hc_evtchn(EVTCHNOP_close, &c), 0);
    long id = role_start(1, g_nothing);
    need(id > 0);
    check_eq(domain_wait((unsigned)id, PATIENCE_MS), SHUTDOWN_poweroff);
    check(domain_end((unsigned)id));
}

static void exhaust(role_fn role, u64 channels, u64 mappings)
{
    need(begin(role));
    for (u64 t = now_ns() + 60000000000UL; !now.g->out[0] && now_ns() < t;) sleep_ms(5);
    need(now.g->out[0]);
    check_eq(now.g->out[1], channels);
    check_eq(now.g->out[2], -XEN_ENOSPC);
    check_eq(now.g->out[3], 64);
    if (mappings) check_eq(now.g->out[4], mappings);
    else check(now.g->out[4] > 2000);
    check_eq(now.g->out[5], GNTST_no_space);
    others_go_on();
    end();
}

/* The same twice: after the first time the heap's caches are full. */
static void exhaust_twice(role_fn role, u64 channels, u64 mappings)
{
    u64 pages = 0, heap = 0;
    for (unsigned i = 0; i < 2; i++) {
        pages = free_pages();
        heap = heap_kib();
        check(heap);
        exhaust(role, channels, mappings);
    }
    check_eq(free_pages(), pages);
    check_eq(heap_kib(), heap);
}

/* Limits that a toolstack gives. */
static void small_limits(void)
{
    domain_limits.maptrack_frames = 4;
    exhaust_twice(g_take_all, 1023, 4 * 256);
    domain_limits.maptrack_frames = -1;
}

static void two_level_without_limit(void)
{
    domain_limits.ports = ~0u;
    exhaust_twice(g_take_all, 4095, 0);
    domain_limits.ports = 1023;
}

static void fifo_without_limit(void)
{
    domain_limits.ports = ~0u;
    exhaust_twice(g_take_all_fifo, (1 << 17) - 1, 0);
    domain_limits.ports = 1023;
}

/* Bytes of the lines of domain d in the log. */
static u64 lines_of(unsigned d, u64 *told)
{
    u64 n = 0;
    for (const char *s = log, *e; *s; s = e) {
        for (e = s; *e && *e != '\n'; e++) ;
        if (*e) e++;
        if (memcmp(s, "(d", 2) || number_behind(s, "(d") != d) continue;
        n += (u64)(e - s);
        if (find(s, ") ")[2] == '[') *told += 1;
    }
    return n;
}

/* Each line of the witness from its first in the log on. */
static u64 witness_lines(void)
{
    u64 n = 0, first = number_behind(log, ") witness ");
    for (const char *s = log; (s = find(s, ") witness ")); s++, n++)
        if (!check_eq(number_behind(s, ") witness "), first + n)) break;
    return n;
}

/* 115200 baud: a burst of half a second, then a sixteenth of the line. */
static void flood(role_fn role)
{
    u64 told = 0, t0 = now_ns();
    read_log();
    need(begin(role));
    others_go_on();
    while (now_ns() < t0 + 4000000000UL) sleep_ms(50);
    check(now_ns() < t0 + 10000000000UL);
    read_log();
    u64 most = 11520 / 2 + 11520 / 16 * ((now_ns() - t0) / 1000000000UL + 1), n = lines_of(now.greedy, &told);
    check(n > 3000 && n <= most);
    check(told >= 1 && told < 10);
    check(witness_lines() >= 10);
    end();
}

static void console_by_calls(void) { flood(g_flood_calls); }
static void console_by_port(void) { flood(g_flood_port); }

void test_main(void)
{
    static const struct test tests[] = {
        TEST(small_limits),
        TEST(two_level_without_limit),
        TEST(fifo_without_limit),
        TEST(console_by_calls),
        TEST(console_by_port),
    };
    play_role();
    RUN_TESTS(tests);
}
