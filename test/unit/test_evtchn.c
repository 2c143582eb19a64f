/* SPDX-License-Identifier: MIT */
/* Event channels: operations and errors, 2-level delivery, polling, hypervisor ports, reset, exhaustion. */
#include "chan_stubs.h"

static struct domain *d0, *d1;
static struct vcpu *v0, *v1;

static int setup(void **state)
{
    chan_machine(2, 64);
    d0 = chan_domain(0, 2, 64, ~0u);
    d1 = chan_domain(1, 40, 64, 1023);
    d0->is_priv = true;
    v0 = d0->vcpu[0];
    v1 = d1->vcpu[0];
    fake_enter_cpu(0, v0);
    return 0;
}
static int teardown(void **state)
{
    evtchn_audit(d0);
    evtchn_audit(d1);
    chan_domain_destroy(d1);
    evtchn_audit(d0);
    chan_domain_destroy(d0);
    return 0;
}

static bool pending(struct domain *d, u32 p) { return guest_shared_info(d)->evtchn_pending[p / 64] >> (p % 64) & 1; }
static void set_mask(struct domain *d, u32 p) { guest_shared_info(d)->evtchn_mask[p / 64] |= 1ULL << (p % 64); }
static void consume(struct domain *d, u32 p)
{
    struct vcpu *v;
    guest_shared_info(d)->evtchn_pending[p / 64] &= ~(1ULL << (p % 64));
    for_each_vcpu(d, v) {
        guest_vcpu_info(v)->evtchn_upcall_pending = 0;
        guest_vcpu_info(v)->evtchn_pending_sel = 0;
    }
}

/* Port pair: dom1 offers, dom0 connects. */
static void connect(u32 *p0, u32 *p1)
{
    long r = evt_port(v1, alloc_unbound, port, .dom = DOMID_SELF, .remote_dom = 0);
    assert_true(r > 0);
    long l = evt_port(v0, bind_interdomain, local_port, .remote_dom = 1, .remote_port = (u32)r);
    assert_true(l > 0);
    *p0 = (u32)l;
    *p1 = (u32)r;
}

/* The highest port that a domain may have; 0: none at all. */
static void test_no_ports(void **state)
{
    struct domain *d = chan_domain(5, 1, 16, 0), *e = chan_domain(6, 1, 16, 1);
    assert_int_equal(evt_port(d->vcpu[0], bind_ipi, port, .vcpu = 0), -ENOSPC);
    assert_int_equal(evt_port(e->vcpu[0], bind_ipi, port, .vcpu = 0), 1);
    assert_int_equal(evt_port(e->vcpu[0], bind_ipi, port, .vcpu = 0), -ENOSPC);
    chan_domain_destroy(d);
    chan_domain_destroy(e);
}

/* A number becomes a channel only below the bound, also where the table's last piece reaches further (XSA-221). */
static void test_lookup(void **state)
{
    struct domain *d = chan_domain(5, 1, 16, 1000);
    while (evt_port(d->vcpu[0], alloc_unbound, port, .dom = DOMID_SELF, .remote_dom = 0) > 0)
        ;
    assert_non_null(evtchn_lookup(d->evtchn, 1000));
    for (u32 p = 1001; p < 5000; p++) assert_null(evtchn_lookup(d->evtchn, p));
    for (unsigned bit = 13; bit < 32; bit++) assert_null(evtchn_lookup(d->evtchn, 1u << bit | 5));
    for (u32 p = BUCKET_PORTS; p < 1024; p += 100) assert_null(evtchn_lookup(d1->evtchn, p));      /* no such piece yet */
    chan_domain_destroy(d);
}

static void test_interdomain(void **state)
{
    u32 p0, p1;
    connect(&p0, &p1);
    assert_true(pending(d0, p0));               /* binding notifies */
    assert_int_equal(upcalls[0][0], 1);
    consume(d0, p0);
    assert_int_equal(evt(v1, send, p1), 0);
    assert_true(pending(d0, p0));
    assert_int_equal(guest_vcpu_info(v0)->evtchn_pending_sel, 1);
    assert_int_equal(upcalls[0][0], 2);
    assert_int_equal(evt(v1, send, p1), 0);     /* already pending: nothing new */
    assert_int_equal(upcalls[0][0], 2);
    assert_int_equal(evt(v0, send, p0), 0);
    assert_true(pending(d1, p1));
    struct evtchn_status s = { .dom = 1, .port = p1 };
    assert_int_equal(chan_call(evtchn_op, v0, EVTCHNOP_status, &s, sizeof(s), 0), 0);
    assert_int_equal(s.status, EVTCHNSTAT_interdomain);
    assert_int_equal(s.u.interdomain.dom, 0);
    assert_int_equal(s.u.interdomain.port, p0);
    evtchn_audit(d0);
    assert_int_equal(evt(v0, close, p0), 0);
    assert_false(pending(d0, p0));
    assert_int_equal(evt(v0, close, p0), -EINVAL);
    assert_int_equal(evt(v0, send, p0), -EINVAL);
    assert_int_equal(evt(v1, send, p1), 0);     /* unbound: silently nothing */
    s = (struct evtchn_status){ .dom = DOMID_SELF, .port = p1 };
    assert_int_equal(chan_call(evtchn_op, v1, EVTCHNOP_status, &s, sizeof(s), 0), 0);
    assert_int_equal(s.status, EVTCHNSTAT_unbound);
    assert_int_equal(s.u.unbound.dom, 0);
    /* Reconnect, and close from the higher-numbered side: the lock order is the other way round. */
    long l = evt_port(v0, bind_interdomain, local_port, .remote_dom = 1, .remote_port = p1);
    assert_int_equal(l, p0);
    assert_int_equal(evt(v1, close, p1), 0);
    s = (struct evtchn_status){ .dom = DOMID_SELF, .port = p0 };
    assert_int_equal(chan_call(evtchn_op, v0, EVTCHNOP_status, &s, sizeof(s), 0), 0);
    assert_int_equal(s.status, EVTCHNSTAT_unbound);
    assert_int_equal(s.u.unbound.dom, 1);
}

static void test_bind_errors(void **state)
{
    long p = evt_port(v1, alloc_unbound, port, .dom = DOMID_SELF, .remote_dom = 5);
    assert_true(p > 0);
    assert_int_equal(evt(v0, bind_interdomain, .remote_dom = 1, .remote_port = (u32)p), -EINVAL);
    assert_int_equal(evt(v0, bind_interdomain, .remote_dom = 7, .remote_port = 1), -ESRCH);
    assert_int_equal(evt(v0, bind_interdomain, .remote_dom = 1, .remote_port = 0), -EINVAL);
    assert_int_equal(evt(v0, bind_interdomain, .remote_dom = 1, .remote_port = ~0u), -EINVAL);
    assert_int_equal(evt(v1, alloc_unbound, .dom = 0, .remote_dom = 1), -EPERM);
    assert_int_equal(evt(v0, alloc_unbound, .dom = 9, .remote_dom = 1), -ESRCH);
    assert_true(evt_port(v1, alloc_unbound, port, .dom = 1, .remote_dom = 1) > 0);
    assert_true(evt_port(v0, alloc_unbound, port, .dom = 1, .remote_dom = DOMID_SELF) > 0);
    assert_int_equal(evt(v1, status, .dom = 0, .port = 1), -EPERM);
    assert_int_equal(evt(v1, reset, .dom = 0), -EPERM);
    assert_int_equal(evt(v0, reset, .dom = 77), -ESRCH);
    assert_int_equal(evt(v1, bind_pirq, .pirq = 1), -EOPNOTSUPP);
    assert_int_equal(evt(v1, bind_ipi, .vcpu = 40), -ENOENT);
    assert_int_equal(evt(v1, bind_ipi, .vcpu = ~0u), -ENOENT);
    assert_int_equal(evt(v1, set_priority, .port = 1, .priority = 0), -ENOSYS);
    u32 junk = 0;
    assert_int_equal(chan_call(evtchn_op, v1, 14, &junk, 4, 0), -ENOSYS);
    assert_int_equal(evt(v1, status, .dom = DOMID_SELF, .port = 1024), -EINVAL);
    struct evtchn_status s = { .dom = DOMID_SELF, .port = 60 };
    assert_int_equal(chan_call(evtchn_op, v1, EVTCHNOP_status, &s, sizeof(s), 0), 0);
    assert_int_equal(s.status, EVTCHNSTAT_closed);
}

static void test_loopback_and_ipi(void **state)
{
    long a = evt_port(v1, alloc_unbound, port, .dom = DOMID_SELF, .remote_dom = DOMID_SELF);
    long b = evt_port(v1, bind_interdomain, local_port, .remote_dom = DOMID_SELF, .remote_port = (u32)a);
    assert_true(a > 0 && b > 0 && a != b);
    consume(d1, (u32)b);
    assert_int_equal(evt(v1, send, (u32)a), 0);
    assert_true(pending(d1, (u32)b) && !pending(d1, (u32)a));
    evtchn_audit(d1);
    assert_int_equal(evt(v1, close, (u32)a), 0);
    evtchn_audit(d1);
    /* vCPUs past shared_info's 32 have a mailbox of their own. */
    long i = evt_port(v1, bind_ipi, port, .vcpu = 39);
    memset(upcalls, 0, sizeof(upcalls));
    assert_int_equal(evt(v1, send, (u32)i), 0);
    assert_int_equal(upcalls[1][39 % 8], 1);
    assert_int_equal(evt(v1, bind_vcpu, .port = (u32)i, .vcpu = 0), -EINVAL);
}

static void test_virq(void **state)
{
    assert_int_equal(evt(v0, bind_virq, .virq = NR_VIRQS, .vcpu = 0), -EINVAL);
    assert_int_equal(evt(v0, bind_virq, .virq = VIRQ_DOM_EXC, .vcpu = 1), -EINVAL);
    assert_int_equal(evt(v0, bind_virq, .virq = VIRQ_TIMER, .vcpu = 2), -ENOENT);
    long t0 = evt_port(v0, bind_virq, port, .virq = VIRQ_TIMER, .vcpu = 0);
    long t1 = evt_port(v0, bind_virq, port, .virq = VIRQ_TIMER, .vcpu = 1);
    long ex = evt_port(v0, bind_virq, port, .virq = VIRQ_DOM_EXC, .vcpu = 0);
    assert_true(t0 > 0 && t1 > 0 && ex > 0);
    assert_int_equal(evt(v0, bind_virq, .virq = VIRQ_TIMER, .vcpu = 1), -EEXIST);
    assert_int_equal(evt(v0, bind_virq, .virq = VIRQ_DOM_EXC, .vcpu = 0), -EEXIST);
    assert_int_equal(evt(v0, send, (u32)t0), -EINVAL);
    evtchn_virq_vcpu(d0->vcpu[1], VIRQ_TIMER);
    assert_true(pending(d0, (u32)t1) && !pending(d0, (u32)t0));
    assert_int_equal(upcalls[0][1], 1);
    evtchn_virq_global(d0, VIRQ_DOM_EXC);
    assert_int_equal(upcalls[0][0], 1);
    evtchn_virq_global(d0, VIRQ_CONSOLE);       /* nobody bound it */
    evtchn_virq_global(d1, VIRQ_DOM_EXC);
    assert_int_equal(evt(v0, bind_vcpu, .port = (u32)t1, .vcpu = 0), -EINVAL);
    assert_int_equal(evt(v0, bind_vcpu, .port = (u32)ex, .vcpu = 2), -ENOENT);
    assert_int_equal(evt(v0, bind_vcpu, .port = (u32)ex, .vcpu = 1), 0);
    consume(d0, (u32)ex);
    evtchn_virq_global(d0, VIRQ_DOM_EXC);
    assert_int_equal(upcalls[0][1], 2);
    assert_int_equal(evt(v0, close, (u32)ex), 0);
    assert_true(evt_port(v0, bind_virq, port, .virq = VIRQ_DOM_EXC, .vcpu = 0) > 0);
}

static void test_mask(void **state)
{
    u32 p0, p1;
    connect(&p0, &p1);
    consume(d0, p0);
    memset(upcalls, 0, sizeof(upcalls));
    set_mask(d0, p0);
    assert_int_equal(evt(v1, send, p1), 0);
    assert_true(pending(d0, p0));
    assert_int_equal(upcalls[0][0], 0);
    assert_int_equal(kicks + wakes, 1);         /* the one from binding */
    assert_int_equal(evt(v0, bind_vcpu, .port = p0, .vcpu = 1), 0);
    assert_int_equal(evt(v0, unmask, p0), 0);
    assert_int_equal(upcalls[0][1], 1);
    assert_int_equal(evt(v0, unmask, p0), 0);
    assert_int_equal(upcalls[0][1], 1);
    assert_int_equal(evt(v0, unmask, 0), -EINVAL);
    assert_int_equal(evt(v0, unmask, 99), -EINVAL);
}

static void test_poll(void **state)
{
    u32 p0, p1, ports[128];
    bool ready;
    connect(&p0, &p1);
    assert_int_equal(evtchn_poll(v0, &p0, 1, &ready), 0);
    assert_true(ready && !v0->poll_active);
    consume(d0, p0);
    set_mask(d0, p0);
    assert_int_equal(evtchn_poll(v0, &p0, 1, &ready), 0);
    assert_true(!ready && v0->poll_active);
    evtchn_audit(d0);
    wakes = 0;
    assert_int_equal(evt(v1, send, p1), 0);     /* masked or not */
    assert_true(wakes == 1 && !v0->poll_active);
    consume(d0, p0);
    for (unsigned i = 0; i < 128; i++) ports[i] = p0;
    assert_int_equal(evtchn_poll(v0, ports, 128, &ready), 0);
    evtchn_poll_end(v0);
    evtchn_poll_end(v0);
    /* Closed, out of range, missing bucket, hypervisor's (XSA-221). */
    assert_int_equal(evt(v0, bind_vcpu, .port = p0, .vcpu = 0), 0);
    long x = evtchn_alloc_xen(v0, 1, NULL);
    u32 bad[] = { 0, p0 + 5, 127, 128, 1000, 4095, 4096, 131071, 131072, ~0u, (u32)x };
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        ports[0] = p0;
        ports[1] = bad[i];
        assert_int_equal(evtchn_poll(v0, &bad[i], 1, &ready), -EINVAL);
        assert_int_equal(evtchn_poll(v0, ports, 2, &ready), -EINVAL);
        assert_false(v0->poll_active);
    }
}

static unsigned consumed;
static void consumer(struct vcpu *v, u32 port) { consumed++; }

static void test_hypervisor_port(void **state)
{
    long x = evtchn_alloc_xen(v1, 0, consumer);
    assert_true(x > 0);
    u32 p = (u32)x;
    assert_int_equal(evt(v1, close, p), -EINVAL);
    assert_int_equal(evt(v1, send, p), -EINVAL);
    assert_int_equal(evt(v1, unmask, p), -EINVAL);
    assert_int_equal(evt(v1, bind_vcpu, .port = p, .vcpu = 1), -EINVAL);
    assert_int_equal(evt(v0, status, .dom = 1, .port = p), -EACCES);
    long l = evt_port(v0, bind_interdomain, local_port, .remote_dom = 1, .remote_port = p);
    assert_true(l > 0);
    consume(d0, (u32)l);
    assert_int_equal(evt(v0, send, (u32)l), 0);
    assert_int_equal(consumed, 1);
    assert_false(pending(d1, p));
    evtchn_notify(d1, p);
    assert_true(pending(d0, (u32)l));
    assert_int_equal(evt(v1, reset, .dom = DOMID_SELF), 0);     /* survives a reset */
    evtchn_notify(d1, p);
    assert_int_equal(evt(v0, close, (u32)l), 0);
    evtchn_notify(d1, p);                                       /* nobody there */
    evtchn_free_xen(d1, p);
    evtchn_free_xen(d1, p);
    assert_int_equal(d1->evtchn->active, 0);
}

/* Debug key 'e'. */
static void test_dump(void **state)
{
    u32 p0, p1;
    connect(&p0, &p1);
    long ipi = evt_port(v1, bind_ipi, port, .vcpu = 3);
    long virq = evt_port(v1, bind_virq, port, .virq = 0, .vcpu = 0);
    long x = evtchn_alloc_xen(v1, 0, consumer);
    assert_true(p1 == 1 && ipi == 2 && virq == 3 && x == 4);
    set_mask(d1, 2);
    assert_int_equal(evt(v0, send, p0), 0);
    fake_log_clear();
    evtchn_dump(d1);
    assert_string_equal(fake_log,
                        "d1: 2-level, 4 ports of 1024, 0 polling\n"
                        "      1 interdomain v0 p7 [P-] d0:1\n"
                        "      2 ipi         v3 p7 [-M]\n"
                        "      3 virq        v0 p7 [--] virq 0\n"
                        "      4 unbound     v0 p7 [--] d0 (hypervisor)\n");
    consume(d1, 1);
    struct evtchn_domain *ed = d1->evtchn;
    d1->evtchn = NULL;                          /* one that is being made */
    fake_log_clear();
    evtchn_dump(d1);
    assert_string_equal(fake_log, "");
    d1->evtchn = ed;
}

/* Nobody listens: an event on such a port goes nowhere. */
static void test_hypervisor_port_without_listener(void **state)
{
    long x = evtchn_alloc_xen(v1, 0, NULL);
    long p = evt_port(v0, bind_interdomain, local_port, .remote_dom = 1, .remote_port = (u32)x);
    assert_true(x > 0 && p > 0);
    assert_int_equal(evt(v0, send, (u32)p), 0);
    assert_false(guest_vcpu_info(v1)->evtchn_upcall_pending);
    evtchn_free_xen(d1, (u32)x);
}

static void test_reset(void **state)
{
    u32 p0, p1;
    for (unsigned i = 0; i < 300; i++) connect(&p0, &p1);
    preempt_every = 1;
    assert_int_equal(evt(v1, reset, .dom = DOMID_SELF), 0);
    assert_true(preempt_count >= 4);
    assert_int_equal(d1->evtchn->active, 0);
    assert_int_equal(d0->evtchn->active, 300);
    evtchn_audit(d0);
    d1->ctl_pauses = 0;
    assert_int_equal(evt(v0, reset, .dom = 1), -EINVAL);        /* others only while they are paused */
    d1->ctl_pauses = 1;
    assert_int_equal(evt(v0, reset, .dom = 1), 0);
    assert_int_equal(evt(v0, reset, .dom = 0), 0);
    assert_int_equal(d0->evtchn->active, 0);
    connect(&p0, &p1);
    assert_true(p0 == 1 && p1 == 1);            /* lowest first */
}

static void test_exhaustion(void **state)
{
    long p;
    unsigned n = 0;
    while ((p = evt_port(v1, alloc_unbound, port, .dom = DOMID_SELF, .remote_dom = 0)) > 0) n++;
    assert_int_equal(p, -ENOSPC);
    assert_int_equal(n, 1023);                  /* per-domain cap (XSA-317) */
    /* An error path must not touch another binding (XSA-496). */
    assert_true(evt_port(v0, bind_virq, port, .virq = VIRQ_DOM_EXC, .vcpu = 0) > 0);
    assert_int_equal(evt(v1, bind_virq, .virq = VIRQ_DEBUG, .vcpu = 0), -ENOSPC);
    evtchn_virq_global(d0, VIRQ_DOM_EXC);
    assert_int_equal(upcalls[0][0], 1);
    assert_int_equal(evt(v1, close, 700), 0);
    assert_int_equal(evt_port(v1, bind_virq, port, .virq = VIRQ_DEBUG, .vcpu = 3), 700);
    for (n = 0; evt_port(v0, bind_ipi, port, .vcpu = 0) > 0; n++)
        ;
    assert_int_equal(n, 4095 - 1);              /* 2-level ABI */
    assert_int_equal(evt(v0, reset, .dom = 0), 0);
    evtchn_set_layout32(d0, true);
    for (n = 0; evt_port(v0, bind_ipi, port, .vcpu = 0) > 0; n++)
        ;
    assert_int_equal(n, 1023);                  /* 32-bit guest (XSA-342) */
}

static void test_layout32(void **state)
{
    evtchn_set_layout32(d1, true);
    long i = 0;
    for (unsigned n = 0; n < 40; n++) i = evt_port(v1, bind_ipi, port, .vcpu = 0);
    assert_int_equal(evt(v1, send, (u32)i), 0);
    assert_int_equal(((u32 *)d1->shared_info)[0x800 / 4 + 1], 1u << (i % 32));
    assert_int_equal(((u32 *)v1->info)[1], 2);
    assert_int_equal(upcalls[1][0], 1);
    consume(d1, (u32)i);
    ((u32 *)d1->shared_info)[0x880 / 4 + 1] = 1u << (i % 32);
    assert_int_equal(evt(v1, send, (u32)i), 0);
    assert_int_equal(upcalls[1][0], 1);
    guest_vcpu_info(v1)->evtchn_upcall_pending = 0;
    ((u32 *)v1->info)[1] = 0;
    assert_int_equal(evt(v1, unmask, (u32)i), 0);
    assert_int_equal(upcalls[1][0], 2);
}

static void test_no_memory(void **state)
{
    for (unsigned i = 1; i < 128; i++) assert_int_equal(evt_port(v1, bind_ipi, port, .vcpu = 0), i);
    fake_fail_from(1);
    long rc = evt_port(v1, bind_ipi, port, .vcpu = 0);
    assert_true(rc == -ENOMEM || rc == 128);    /* the heap may have had room left */
    fake_fail_at(0);
    evtchn_audit(d1);
    assert_true(evt_port(v1, bind_ipi, port, .vcpu = 0) >= 128);
}

static void test_vcpu_info(void **state)
{
    struct vcpu *v = d1->vcpu[35];
    long i = evt_port(v1, bind_ipi, port, .vcpu = 35);
    guest_vcpu_info(v)->time.system_time = 12345;
    assert_int_equal(evtchn_register_vcpu_info(v, GFN(5), 4096 - 63), -EINVAL);
    assert_int_equal(evtchn_register_vcpu_info(v, GFN(5), 4), -EINVAL);
    assert_true(evtchn_register_vcpu_info(v, GFN(5000), 0) < 0);
    assert_int_equal(evtchn_register_vcpu_info(v, GFN(5), 4096 - 64), 0);
    struct vcpu_info *vi = fake_guest_ptr(d1, 0x5fc0);
    assert_ptr_equal(v->info, vi);
    assert_int_equal(vi->evtchn_pending_sel, ~0UL);
    assert_int_equal(vi->evtchn_upcall_pending, 1);
    assert_int_equal(vi->time.system_time, 12345);
    assert_int_equal(upcalls[1][3], 1);
    assert_true(evtchn_upcall_pending(v));
    assert_int_equal(evtchn_register_vcpu_info(v, GFN(6), 0), -EINVAL);
    vi->evtchn_upcall_pending = 0;
    vi->evtchn_pending_sel = 0;
    assert_int_equal(evt(v1, send, (u32)i), 0);
    assert_int_equal(vi->evtchn_pending_sel, 1);
    assert_int_equal(upcalls[1][3], 2);
}

/* Random operations with random arguments: no crash, tables consistent (I-7, I-12). */
static void test_fuzz(void **state)
{
    srand(1);
    for (unsigned i = 0; i < 20000; i++) {
        struct vcpu *v = rand() & 1 ? v0 : v1;
        u32 w[6];
        for (unsigned k = 0; k < 6; k++) w[k] = rand() % 8 ? (u32)rand() % 140 : (u32)rand() * 3;
        if (rand() & 1) w[0] = (u32)(rand() % 2) | (u32)(rand() % 2) << 16;    /* domids */
        unsigned cmd = (unsigned)rand() % 15;
        if (cmd == EVTCHNOP_reset && rand() % 16) continue;
        if (cmd == EVTCHNOP_init_control || cmd == EVTCHNOP_expand_array) continue;     /* test_evtchn_fifo */
        chan_call(evtchn_op, v, cmd, w, sizeof(w), 0);
        if (i % 500 == 0) {
            evtchn_audit(d0);
            evtchn_audit(d1);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(x) cmocka_unit_test_setup_teardown(x, setup, teardown)
        T(test_no_ports), T(test_lookup), T(test_interdomain), T(test_bind_errors), T(test_loopback_and_ipi),
        T(test_virq),
        T(test_mask), T(test_poll),
        T(test_hypervisor_port), T(test_dump), T(test_hypervisor_port_without_listener),
        T(test_reset), T(test_exhaustion), T(test_layout32), T(test_no_memory),
        T(test_vcpu_info), T(test_fuzz),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
