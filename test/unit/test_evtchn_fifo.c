/* SPDX-License-Identifier: MIT */
/* FIFO event channels: set-up, a model guest that consumes as Linux does, a hostile one, and interleavings. */
#include "chan_stubs.h"
#include "interleave.h"

#define CB_GFN 10               /* + vCPU */
#define ARRAY_GFN 20            /* + page */
#define P (1u << EVTCHN_FIFO_PENDING)
#define M (1u << EVTCHN_FIFO_MASKED)
#define L (1u << EVTCHN_FIFO_LINKED)
#define B (1u << EVTCHN_FIFO_BUSY)

static struct domain *d;
static struct vcpu *v;
static u32 head[2][EVTCHN_FIFO_MAX_QUEUES];     /* the guest's own heads */
static unsigned handled[4096];

static int setup(void **state)
{
    chan_machine(3, 64);
    d = chan_domain(1, 2, 256, ~0u);
    v = d->vcpu[0];
    fake_enter_cpu(0, v);
    memset(head, 0, sizeof(head));
    memset(handled, 0, sizeof(handled));
    return 0;
}
static int teardown(void **state)
{
    evtchn_audit(d);
    chan_domain_destroy(d);
    return 0;
}

static long init(unsigned vcpu)
{
    return evt(v, init_control, .control_gfn = CB_GFN + vcpu, .offset = 64, .vcpu = vcpu);
}
/* As Linux does: all events of the new page masked. */
static void mask_page(unsigned n)
{
    u32 *page = fake_guest_ptr(d, (ARRAY_GFN + n) * PAGE_SIZE);
    for (unsigned i = 0; page && i < PAGE_SIZE / 4; i++) page[i] = 1u << EVTCHN_FIFO_MASKED;
}
static long expand(unsigned n)
{
    mask_page(n);
    return evt(v, expand_array, .array_gfn = ARRAY_GFN + n);
}
static struct evtchn_fifo_control_block *cb(unsigned vcpu)
{
    return fake_guest_ptr(d, (CB_GFN + vcpu) * PAGE_SIZE + 64);
}
static u32 *word(u32 port) { return fake_guest_ptr(d, (ARRAY_GFN + port / 1024) * PAGE_SIZE + port % 1024 * 4); }

/* Consumer as in Linux' drivers/xen/events/events_fifo.c. */
static u32 clear_linked(u32 *w)
{
    for (;;) {
        u32 old = read_once(w) & ~B;
        if (atomic_cas(w, old, old & ~(L | EVTCHN_FIFO_LINK_MASK))) return old & EVTCHN_FIFO_LINK_MASK;
        cpu_relax();
    }
}
static void guest_handle(unsigned vcpu)
{
    u32 ready = atomic_xchg(&cb(vcpu)->ready, 0);
    while (ready) {
        unsigned q = (unsigned)__builtin_ctz(ready);
        u32 port = head[vcpu][q];
        if (!port) port = read_once(&cb(vcpu)->head[q]);
        u32 *w = word(port);
        u32 next = clear_linked(w);
        if (!next) ready &= ~(1u << q);
        u32 val = read_once(w);
        if ((val & P) && !(val & M)) {
            atomic_and(w, ~P);
            handled[port]++;
        }
        head[vcpu][q] = next;
        ready |= atomic_xchg(&cb(vcpu)->ready, 0);
    }
}
static void guest_upcall(unsigned vcpu)
{
    struct vcpu_info *vi = guest_vcpu_info(d->vcpu[vcpu]);
    while (atomic_xchg(&vi->evtchn_upcall_pending, 0)) guest_handle(vcpu);
}
static u32 ipi(unsigned vcpu)
{
    long p = evt_port(v, bind_ipi, port, .vcpu = vcpu);
    assert_true(p > 0);
    return (u32)p;
}
static void up(void)
{
    assert_int_equal(init(0), 0);
    assert_int_equal(init(1), 0);
    assert_int_equal(expand(0), 0);
}

static void test_init_errors(void **state)
{
    assert_int_equal(expand(0), -EOPNOTSUPP);
    assert_true(evt(v, init_control, .control_gfn = ~1ULL, .vcpu = 0) < 0);     /* XSA-188 */
    assert_int_equal(expand(0), -EOPNOTSUPP);
    assert_int_equal(evt(v, init_control, .control_gfn = CB_GFN, .offset = 4096 - 71, .vcpu = 0), -EINVAL);
    assert_int_equal(evt(v, init_control, .control_gfn = CB_GFN, .offset = 4, .vcpu = 0), -EINVAL);
    assert_int_equal(evt(v, init_control, .control_gfn = CB_GFN, .offset = ~0u, .vcpu = 0), -EINVAL);
    assert_int_equal(evt(v, init_control, .control_gfn = CB_GFN, .offset = 0, .vcpu = 2), -ENOENT);
    assert_int_equal(expand(0), -EOPNOTSUPP);
    for (unsigned k = 1;; k++) {
        fake_fail_at(k);
        long rc = init(0);
        bool failed = fake_failed();
        fake_fail_at(0);
        if (!rc) break;
        assert_true(failed && rc == -ENOMEM);
        assert_int_equal(expand(0), -EOPNOTSUPP);
    }
    struct evtchn_init_control ic = { .control_gfn = CB_GFN + 1, .offset = 64, .vcpu = 1 };
    assert_int_equal(chan_call(evtchn_op, v, EVTCHNOP_init_control, &ic, sizeof(ic), 0), 0);
    assert_int_equal(ic.link_bits, 17);
    assert_int_equal(init(1), -EINVAL);
    assert_true(evt(v, expand_array, .array_gfn = 100000) < 0);
    for (unsigned i = 0; i < 128; i++) assert_int_equal(expand(i), 0);
    assert_int_equal(expand(129), -ENOSPC);
    assert_int_equal(evt(v, reset, .dom = DOMID_SELF), 0);
    assert_int_equal(expand(0), -EOPNOTSUPP);
    assert_int_equal(init(0), 0);
}

static void test_deliver(void **state)
{
    up();
    u32 a = ipi(0), b = ipi(0), c = ipi(1);
    assert_int_equal(*word(a), M);
    assert_int_equal(evt(v, send, a), 0);
    assert_int_equal(*word(a), M | P);          /* masked: not linked, nobody woken */
    assert_int_equal(upcalls[1][0], 0);
    assert_int_equal(evt(v, unmask, a), 0);
    assert_int_equal(*word(a), P | L);
    assert_int_equal(upcalls[1][0], 1);
    assert_int_equal(cb(0)->ready, 1u << 7);
    assert_int_equal(cb(0)->head[7], a);
    assert_int_equal(evt(v, unmask, b), 0);
    assert_int_equal(evt(v, unmask, c), 0);
    assert_int_equal(evt(v, send, b), 0);
    assert_int_equal(*word(a), P | L | b);
    assert_int_equal(evt(v, send, b), 0);
    assert_int_equal(evt(v, send, c), 0);
    assert_int_equal(cb(1)->head[7], c);
    guest_upcall(0);
    assert_int_equal(handled[a] + handled[b], 2);
    /* a was consumed; the remembered tail is b, consumed too: the queue starts anew. */
    assert_int_equal(evt(v, send, b), 0);
    assert_int_equal(evt(v, send, a), 0);
    guest_upcall(0);
    assert_int_equal(handled[a], 2);
    assert_int_equal(handled[b], 2);
    assert_int_equal(evt(v, set_priority, .port = a, .priority = 16), -EINVAL);
    assert_int_equal(evt(v, set_priority, .port = 4000, .priority = 1), -EINVAL);
    assert_int_equal(evt(v, set_priority, .port = b, .priority = 0), 0);
    assert_int_equal(evt(v, send, a), 0);
    assert_int_equal(evt(v, send, b), 0);
    assert_int_equal(cb(0)->ready, 1u << 7 | 1);
    guest_upcall(0);
    guest_upcall(1);
    assert_int_equal(handled[b], 3);
    assert_int_equal(handled[c], 1);
}

static void test_move(void **state)
{
    up();
    long p = evt_port(v, alloc_unbound, port, .dom = DOMID_SELF, .remote_dom = DOMID_SELF);
    long q = evt_port(v, bind_interdomain, local_port, .remote_dom = DOMID_SELF, .remote_port = (u32)p);
    u32 other = ipi(0), t = (u32)q;
    evt(v, unmask, t);
    evt(v, unmask, other);
    guest_upcall(0);
    /* t is the tail of vCPU 0's queue, consumed; now it goes to vCPU 1: vCPU 0's queue must not append to it. */
    assert_int_equal(evt(v, bind_vcpu, .port = t, .vcpu = 1), 0);
    assert_int_equal(evt(v, send, (u32)p), 0);
    assert_int_equal(cb(1)->head[7], t);
    assert_int_equal(evt(v, send, other), 0);
    assert_int_equal(*word(t) & EVTCHN_FIFO_LINK_MASK, 0);
    guest_upcall(0);
    guest_upcall(1);
    assert_true(handled[t] == 2 && handled[other] == 1);        /* one from binding */
}

static void test_migrate(void **state)
{
    bool ready;
    u32 a = ipi(0), b = ipi(0);
    guest_shared_info(d)->evtchn_mask[0] = ~0ULL;
    assert_int_equal(evt(v, send, a), 0);
    assert_int_equal(init(0), 0);
    assert_int_equal(guest_shared_info(d)->evtchn_pending[0], 0);
    assert_int_equal(evt(v, send, b), 0);       /* no page yet */
    assert_int_equal(evtchn_poll(v, &b, 1, &ready), 0);
    assert_true(ready);
    assert_int_equal(expand(0), 0);
    assert_int_equal(*word(a), P | M);
    assert_int_equal(*word(b), P | M);
    assert_int_equal(evt(v, unmask, a), 0);
    assert_int_equal(evt(v, unmask, b), 0);
    guest_upcall(0);
    assert_true(handled[a] == 1 && handled[b] == 1);
    /* vCPU 1 has no control block: kept pending, delivered by unmask once it has one. */
    u32 c = ipi(1);
    assert_int_equal(evt(v, unmask, c), 0);
    assert_int_equal(evt(v, send, c), 0);
    assert_int_equal(*word(c), P);
    assert_int_equal(init(1), 0);
    *word(c) |= M;
    assert_int_equal(evt(v, unmask, c), 0);
    guest_upcall(1);
    assert_int_equal(handled[c], 1);
}

/* A guest that leaves a new page unmasked gets what came before at once, on each vCPU; words without events stay. */
static void test_unmasked_page(void **state)
{
    u32 a = ipi(0), b = ipi(1), c = ipi(0), e = ipi(0);
    assert_int_equal(init(0), 0);
    assert_int_equal(init(1), 0);
    memset(word(0), 0, PAGE_SIZE);
    *word(c) = M;
    assert_int_equal(evt(v, send, a), 0);
    assert_int_equal(evt(v, send, b), 0);
    assert_int_equal(evt(v, send, c), 0);
    unsigned before[2] = { upcalls[1][0], upcalls[1][1] };
    assert_int_equal(evt(v, expand_array, .array_gfn = ARRAY_GFN), 0);
    assert_int_equal(*word(a), P | L);
    assert_int_equal(*word(b), P | L);
    assert_int_equal(*word(c), P | M);
    assert_int_equal(*word(e), 0);
    assert_true(upcalls[1][0] == before[0] + 1 && upcalls[1][1] == before[1] + 1);
    guest_upcall(0);
    guest_upcall(1);
    assert_true(handled[a] == 1 && handled[b] == 1 && !handled[c]);
    assert_int_equal(evt(v, send, e), 0);
    guest_upcall(0);
    assert_int_equal(handled[e], 1);
}

static void test_many_ports(void **state)
{
    up();
    for (unsigned i = 1; i < 8; i++) assert_int_equal(expand(i), 0);
    u32 last = 0;
    for (unsigned i = 0; i < 6000; i++) last = ipi(0);
    assert_int_equal(last, 6000);               /* beyond the 2-level limit */
    *word(100) |= L;                            /* a closed port that the guest has not consumed is not reused */
    assert_int_equal(evt(v, close, 100), 0);
    assert_int_equal(evt(v, close, 101), 0);
    assert_int_equal(ipi(0), 101);
    *word(100) &= ~L;
    assert_int_equal(ipi(0), 100);
    preempt_every = 1;
    assert_int_equal(evt(v, reset, .dom = DOMID_SELF), 0);
    assert_true(preempt_count > 50);            /* XSA-344 */
    assert_int_equal(d->evtchn->active, 0);
    assert_null(d->evtchn->fifo);
}

static void test_poll_ports(void **state)
{
    static const u32 ports[] = { 1, 31, 1023, 1024, 2048, 131071, 131072, ~0u };
    bool ready;
    for (unsigned pages = 0; pages < 3; pages++) {              /* XSA-221 G2 */
        if (pages == 0) assert_int_equal(init(0), 0);
        else assert_int_equal(expand(pages - 1), 0);
        for (unsigned i = 0; i < ARRAY_SIZE(ports); i++)
            assert_int_equal(evtchn_poll(v, &ports[i], 1, &ready), -EINVAL);
    }
}

/* Debug key 'e'. */
static void test_dump(void **state)
{
    up();
    u32 a = ipi(0), b = ipi(1);
    *word(a) &= ~(1u << EVTCHN_FIFO_MASKED);
    *word(b) |= 1u << EVTCHN_FIFO_MASKED;
    assert_int_equal(evt(v, send, b), 0);
    fake_log_clear();
    evtchn_dump(d);
    assert_non_null(strstr(fake_log, "FIFO, 2 ports"));
    char want[80];
    snprintf(want, sizeof(want), "%7u ipi         v0 p7 [--]\n%7u ipi         v1 p7 [PM]\n", a, b);
    if (!strstr(fake_log, want)) fail_msg("no\n%sin\n%s", want, fake_log);
}

/* A guest that writes anything anywhere in the shared pages while events are sent (I-12, I-16). */
static void test_hostile(void **state)
{
    u32 port[64];
    up();
    srand(7);
    for (unsigned i = 0; i < 64; i++) port[i] = ipi(i & 1);
    for (unsigned i = 0; i < 60000; i++) {
        u32 *w = word(port[rand() % 64]);
        switch (rand() % 10) {
        case 0: *w = (u32)rand() * 2; break;
        case 1: *w ^= 1u << rand() % 32; break;
        case 2: ((u32 *)cb(rand() & 1))[rand() % 18] = (u32)rand() * 2; break;
        case 3: evt(v, unmask, port[rand() % 64]); break;
        case 4: evt(v, set_priority, .port = port[rand() % 64], .priority = (u32)rand() % 16); break;
        case 5: {
            unsigned k = (unsigned)rand() % 64;
            assert_int_equal(evt(v, close, port[k]), 0);
            port[k] = ipi(rand() & 1);
            break;
        }
        case 6: *w = P | L | B | port[rand() % 64]; break;
        default: assert_int_equal(evt(v, send, port[rand() % 64]), 0);
        }
        guest_vcpu_info(d->vcpu[rand() & 1])->evtchn_upcall_pending = 0;
    }
}

/* ---- interleavings ---- */
static u32 ia, ib;

static void il_setup(void *arg)
{
    setup(NULL);
    up();
    ia = ipi(0);
    ib = ipi(0);
    evt(v, unmask, ia);
    evt(v, unmask, ib);
    fake_enter_cpu(0, v);
}
static void raise_it(u32 port)
{
    spin_lock(&d->evtchn->lock);
    evtchn_raise(d, evtchn_lookup(d->evtchn, port), port);
    spin_unlock(&d->evtchn->lock);
}
static void act_guest(void *arg) { guest_upcall(0); guest_upcall(0); }
static void act_send_a(void *arg) { raise_it(ia); raise_it(ib); }
static void act_send_b(void *arg) { raise_it(ib); }
static void il_check(void *arg)
{
    guest_upcall(0);
    assert_true(handled[ia] >= 1 && handled[ib] >= 1);  /* nothing is lost */
    assert_int_equal((*word(ia) | *word(ib)) & (P | L), 0);
    teardown(NULL);
}
static void test_race_consume(void **state)
{
    struct interleave il = { "race-consume", 3, { act_guest, act_send_a, act_send_b }, il_setup, il_check, NULL, 2,
                             .max_runs = 1000 };
    assert_true(interleave_all(&il, 1) > 50);
}

/* The guest masks and unmasks (as Linux: hypercall when pending) while an event is sent. */
static void act_mask(void *arg)
{
    u32 *w = word(ia);
    atomic_or(w, M);
    for (;;) {
        u32 val = read_once(w);
        if (val & P) {
            spin_lock(&d->evtchn->lock);
            evtchn_fifo_unmask(d, evtchn_lookup(d->evtchn, ia), ia);
            spin_unlock(&d->evtchn->lock);
            break;
        }
        if (atomic_cas(w, val & ~B, val & ~(B | M))) break;
    }
    guest_upcall(0);
}
static void act_send_one(void *arg) { raise_it(ia); }
static void il_check_one(void *arg)
{
    guest_upcall(0);
    assert_int_equal(handled[ia], 1);
    teardown(NULL);
}
static void test_race_mask(void **state)
{
    struct interleave il = { "race-mask", 2, { act_mask, act_send_one }, il_setup, il_check_one, NULL, 3,
                             .max_runs = 1000 };
    assert_true(interleave_all(&il, 1) > 50);
}

/* An event that comes before its array page, against the page. */
static void ex_setup(void *arg)
{
    setup(NULL);
    assert_int_equal(init(0), 0);
    ia = ipi(0);
    mask_page(0);
    fake_enter_cpu(0, v);
}
static void act_expand(void *arg)
{
    struct call c = { .v = v };
    struct evtchn_expand_array ea = { .array_gfn = ARRAY_GFN };
    assert_int_equal(evtchn_expand_array(&c, &ea), 0);
}

/* A sender against the switch to FIFO: the event arrives in either ABI. */
static void sw_setup(void *arg)
{
    setup(NULL);
    ia = ipi(0);
    guest_shared_info(d)->evtchn_mask[0] = ~0ULL;
    fake_enter_cpu(0, v);
}
/* An interdomain sender holds another domain's lock only; the model sender holds none. */
static void act_send_unlocked(void *arg) { evtchn_raise(d, evtchn_lookup(d->evtchn, ia), ia); }
static void act_switch(void *arg)
{
    struct call c = { .v = v };
    struct evtchn_init_control ic = { .control_gfn = CB_GFN, .offset = 64 };
    assert_int_equal(evtchn_init_control(&c, &ic), 0);
}
static void ex_check(void *arg)
{
    assert_int_equal(*word(ia), P | M);
    evt(v, unmask, ia);
    guest_upcall(0);
    assert_int_equal(handled[ia], 1);
    teardown(NULL);
}
static void sw_check(void *arg)
{
    assert_int_equal(expand(0), 0);
    ex_check(arg);
}
static void test_race_switch(void **state)
{
    struct interleave il = { "race-switch", 2, { act_send_unlocked, act_switch }, sw_setup, sw_check, NULL, 2,
                             .max_runs = 1000 };
    assert_true(interleave_all(&il, 1) > 20);
}
static void test_race_expand(void **state)
{
    struct interleave il = { "race-expand", 2, { act_send_unlocked, act_expand }, ex_setup, ex_check, NULL, 1,
                             .max_runs = 2000 };
    assert_true(interleave_all(&il, 1) > 20);
}

/* XSA-343, XSA-505: reset against send, poll and expand_array. */
static long reset_rc;
static long op_at(unsigned cpu, unsigned cmd, u32 arg)
{
    struct call c = { .v = d->vcpu[cpu], .arg = { cmd, 0x2000 + cpu * 64 } };
    fake_enter_cpu(cpu, d->vcpu[cpu]);
    *(u32 *)fake_guest_ptr(d, c.arg[1]) = arg;
    return evtchn_op(&c);
}
static void act_reset(void *arg) { reset_rc = op_at(0, EVTCHNOP_reset, DOMID_SELF); }
static void act_use(void *arg)
{
    bool ready;
    long rc = op_at(1, EVTCHNOP_send, ia);
    assert_true(rc == 0 || rc == -EINVAL);
    (void)!evtchn_poll(d->vcpu[1], &ib, 1, &ready);
    evtchn_poll_end(d->vcpu[1]);
    evtchn_virq_vcpu(d->vcpu[1], VIRQ_TIMER);
    struct call c = { .v = d->vcpu[1] };
    struct evtchn_expand_array ea = { .array_gfn = ARRAY_GFN + 1 };
    rc = evtchn_expand_array(&c, &ea);
    assert_true(rc == 0 || rc == -EOPNOTSUPP);
}
static void rs_setup(void *arg)
{
    il_setup(arg);
    assert_int_equal(evt(v, bind_virq, .virq = VIRQ_TIMER, .vcpu = 1), 0);
}
static void rs_check(void *arg)
{
    assert_int_equal(reset_rc, 0);
    assert_int_equal(d->evtchn->active, 0);
    assert_null(d->evtchn->fifo);
    fake_enter_cpu(0, v);
    teardown(NULL);
}
static void test_race_reset(void **state)
{
    struct interleave il = { "race-reset", 2, { act_use, act_reset }, rs_setup, rs_check, NULL, 2, .max_runs = 3000 };
    assert_true(interleave_all(&il, 1) > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(x) cmocka_unit_test_setup_teardown(x, setup, teardown)
        T(test_init_errors), T(test_deliver), T(test_move), T(test_migrate), T(test_unmasked_page),
        T(test_many_ports), T(test_poll_ports), T(test_dump),
        T(test_hostile), cmocka_unit_test(test_race_consume), cmocka_unit_test(test_race_mask),
        cmocka_unit_test(test_race_switch), cmocka_unit_test(test_race_expand),
        cmocka_unit_test(test_race_reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
