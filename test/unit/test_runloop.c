/* SPDX-License-Identifier: MIT */
/*
 * The run loop and the scheduler behind it. CPUs of the fake machine run the loop in turns, some interrupt windows each;
 * a guest is a function that says how long it runs and what it does then. Time goes on only in guests and in idle.
 */
#include "call_env.h"
#include "dom/runstate.h"
#include "hvm/hvm_vcpu.h"
#include "sched/internal.h"

enum { DOMS = 4, VCPUS = 2 };
static struct domain *doms[DOMS];
static jmp_buf out;
static unsigned windows_left;
static u64 step_ns;                                 /* a guest's run between two exits */
static void (*act)(struct vcpu *v);                 /* at each exit */
static struct { u64 ran_ns; unsigned entries, last_cpu; } seen[DOMS][VCPUS];

static void guest(struct vcpu *v)
{
    assert_true(v->running && v->cpu == this_cpu()->id && this_cpu()->curr == v);
    assert_true(!v->flags && !v->pause_count && !v->dom->pause_count);
    assert_true(v->sched->hard >> v->cpu & 1);
    seen[v->dom->id][v->id].entries++;
    seen[v->dom->id][v->id].ran_ns += step_ns;
    seen[v->dom->id][v->id].last_cpu = v->cpu;
    fake_time_advance(step_ns);
    if (act)
        act(v);
}

/* The timer's interrupt, and the end of this CPU's turn. */
static bool window(void)
{
    struct cpu *c = this_cpu();

    if (!windows_left--)
        longjmp(out, 1);
    if (!c->curr && !c->resched)
        fake_time_advance(step_ns);
    if (now_ns() >= c->timer.armed_ns)
        timer_run();
    return false;
}

static void run_cpu(unsigned cpu, unsigned windows)
{
    this_cpu_ptr = cpus[cpu];
    windows_left = windows;
    fake_irq_window_hook = window;
    fake_enter_hook = guest;
    if (!setjmp(out))
        run_loop();
    fake_irq_window_hook = NULL;
    assert_no_locks();
    this_cpu_ptr = cpus[0];
}

static int setup(void **st)
{
    static struct cpu early;

    this_cpu_ptr = &early;
    fake_machine_init(64, 2);
    sched_init();
    list_init(&runq);
    policy_init();
    for (unsigned i = 0; i < DOMS; i++)
        doms[i] = fake_domain_vcpus((u16)i, 16, VCPUS);
    memset(seen, 0, sizeof(seen));
    step_ns = 100000;
    act = NULL;
    return 0;
}

static void start(unsigned dom, unsigned vcpus)
{
    for (unsigned i = 0; i < vcpus; i++)
        vcpu_set_up(doms[dom]->vcpu[i]);
    domain_unpause(doms[dom]);
}

/* All on CPU 0. */
static void one_cpu(void)
{
    nr_cpus = 1;
}

static u64 ran(unsigned dom) { return seen[dom][0].ran_ns + seen[dom][1].ran_ns; }
#define NEAR(a, b, percent) assert_in_range(a, (b) - (b) * (percent) / 100, (b) + (b) * (percent) / 100)

static void shares_follow_weights(void **st)
{
    one_cpu();
    start(1, 1);
    start(2, 1);
    start(3, 2);
    sched_set_params(doms[2], &(struct sched_params){ .weight = 512 });
    run_cpu(0, 40000);
    u64 all = ran(1) + ran(2) + ran(3);
    NEAR(ran(1), all / 5, 3);                       /* 1 : 2 : 1 + 1 */
    NEAR(ran(2), all * 2 / 5, 3);
    NEAR(seen[3][0].ran_ns, all / 5, 3);
    NEAR(seen[3][1].ran_ns, all / 5, 3);
    assert_int_equal(vcpu_cpu_time_ns(doms[1]->vcpu[0]), ran(1));
    sched_set_params(doms[2], &(struct sched_params){ .weight = 0 });     /* as it is */
    struct sched_params p;
    sched_get_params(doms[2], &p);
    assert_true(p.weight == 512 && !p.cap);
}

static void caps_hold(void **st)
{
    one_cpu();
    start(1, 1);
    start(2, 1);
    sched_set_params(doms[1], &(struct sched_params){ .weight = 256, .cap = 20 });
    u64 t0 = now_ns();
    run_cpu(0, 20000);
    u64 all = now_ns() - t0;
    NEAR(ran(1), all / 5, 5);
    NEAR(ran(2), all * 4 / 5, 5);
    /* Alone it leaves the rest of the CPU idle. */
    domain_pause_nosync(doms[2]);
    memset(seen, 0, sizeof(seen));
    u64 idle = cpu_idle_ns(0);
    t0 = now_ns();
    run_cpu(0, 20000);
    all = now_ns() - t0;
    NEAR(ran(1), all / 5, 5);
    NEAR(cpu_idle_ns(0) - idle, all * 4 / 5, 5);
    assert_int_equal(ran(2), 0);
    /* A long sleep saves up little. */
    domain_pause_nosync(doms[1]);
    run_cpu(0, 10);
    assert_null(cpus[0]->curr);
    fake_time_advance(60ULL * 1000000000);
    domain_unpause(doms[1]);
    domain_unpause(doms[2]);
    memset(seen, 0, sizeof(seen));
    run_cpu(0, 10000);
    assert_in_range(ran(1), 1, 10000 * step_ns / 5 * 110 / 100);
    /* Off again. */
    sched_set_params(doms[1], &(struct sched_params){ .weight = 256 });
    memset(seen, 0, sizeof(seen));
    run_cpu(0, 20000);
    NEAR(ran(1), ran(2), 5);
}

static void rate_limit(void **st)
{
    one_cpu();
    start(1, 1);
    start(2, 1);
    assert_int_equal(sched_set_ratelimit_us(5000), 0);
    assert_int_equal(sched_get_ratelimit_us(), 5000);
    run_cpu(0, 2000);
    /* Turns of 5 ms at least: 50 steps each. */
    assert_in_range(fake_vcpu(doms[1]->vcpu[0])->loads, 10, 2000 / 50 / 2 + 1);
    assert_int_equal(sched_set_ratelimit_us(XEN_SYSCTL_SCHED_RATELIMIT_MIN - 1), -EINVAL);
    assert_int_equal(sched_set_ratelimit_us(XEN_SYSCTL_SCHED_RATELIMIT_MAX + 1), -EINVAL);
    assert_int_equal(sched_set_ratelimit_us(0), 0);
    unsigned before = fake_vcpu(doms[1]->vcpu[0])->loads;
    run_cpu(0, 2000);
    assert_true(fake_vcpu(doms[1]->vcpu[0])->loads > before);
    sched_ratelimit_ns = 1000000;
}

static void both(unsigned turns)
{
    for (unsigned i = 0; i < turns; i++) {
        run_cpu(0, 20);
        run_cpu(1, 20);
    }
}

/* While somebody waits for a vCPU to leave CPU 1, that CPU goes on. */
static void cpu1_goes_on(const void *addr)
{
    if (addr != &doms[1]->vcpu[0]->running || !cpus[1]->resched || this_cpu()->nr_locks)
        return;
    fake_hook = NULL;
    run_cpu(1, 2);
}

static void affinity(void **st)
{
    const u64 first = 1, second = 2, none = 4, all = 3;
    u64 hard, soft;

    start(1, 1);
    start(2, 1);
    start(3, 1);
    assert_int_equal(sched_set_affinity(doms[1]->vcpu[0], &second, NULL), 0);
    assert_int_equal(sched_set_affinity(doms[2]->vcpu[0], NULL, &second), 0);
    assert_int_equal(sched_set_affinity(doms[3]->vcpu[0], &none, NULL), -EINVAL);
    assert_int_equal(sched_set_affinity(doms[3]->vcpu[0], NULL, &none), 0);         /* a wish only */
    sched_get_affinity(doms[1]->vcpu[0], &hard, &soft);
    assert_true(hard == 2 && soft == 3);
    both(100);                                      /* guest() checks that CPU 0 never ran the first */
    assert_true(ran(1) && ran(2) && ran(3));
    assert_int_equal(seen[1][0].last_cpu, 1);
    /* While it runs: off that CPU before the call returns. */
    struct vcpu *v = doms[1]->vcpu[0];
    run_cpu(1, 1);
    while (cpus[1]->curr != v)
        run_cpu(1, 20);
    fake_hook = cpu1_goes_on;
    assert_int_equal(sched_set_affinity(v, &first, &first), 0);
    assert_true(!fake_hook && !v->running && !v->pause_count);
    both(50);
    assert_int_equal(seen[1][0].last_cpu, 0);
    /* Its own: at the next turn. */
    run_cpu(0, 1);
    while (cpus[0]->curr != v)
        run_cpu(0, 20);
    cpus[0]->resched = false;
    assert_int_equal(sched_set_affinity(v, &second, NULL), 0);
    assert_true(cpus[0]->resched);
    run_cpu(0, 20);
    assert_ptr_not_equal(cpus[0]->curr, v);
    both(50);
    assert_int_equal(seen[1][0].last_cpu, 1);
    assert_int_equal(sched_set_affinity(v, &all, &all), 0);
}

/* Of two that ran equally long the one whose soft affinity names the CPU. */
static void soft_affinity(void **st)
{
    const u64 first = 1, second = 2;

    one_cpu();
    nr_cpus = 2;
    assert_int_equal(sched_set_affinity(doms[1]->vcpu[0], NULL, &second), 0);
    assert_int_equal(sched_set_affinity(doms[2]->vcpu[0], NULL, &first), 0);
    start(1, 1);
    start(2, 1);
    doms[1]->vcpu[0]->sched->vtime_ns = doms[2]->vcpu[0]->sched->vtime_ns = 5;
    run_cpu(0, 3);
    assert_ptr_equal(cpus[0]->curr, doms[2]->vcpu[0]);
    run_cpu(1, 3);
    assert_ptr_equal(cpus[1]->curr, doms[1]->vcpu[0]);
}

/* ---- waking ---- */
static void sleeper(struct vcpu *v)
{
    if (v->dom->id == 1)
        vcpu_block(v);
}

static void blocking_and_waking(void **st)
{
    struct vcpu *v = doms[1]->vcpu[0];
    struct runstate rs;

    start(1, 1);
    act = sleeper;
    run_cpu(0, 10);
    assert_int_equal(seen[1][0].entries, 1);
    assert_true((v->flags & VF_BLOCKED) && !v->running && !cpus[0]->curr);
    vcpu_get_runstate(v, &rs);
    assert_int_equal(rs.state, RUNSTATE_blocked);
    fake_time_advance(5000000);
    vcpu_wake(v);
    vcpu_wake(v);                                   /* it is awake */
    run_cpu(0, 10);
    assert_int_equal(seen[1][0].entries, 2);
    vcpu_get_runstate(v, &rs);
    assert_true(rs.time_ns[RUNSTATE_running] == 2 * step_ns && rs.time_ns[RUNSTATE_blocked] >= 5000000);
    /* What is pending already keeps it from blocking. */
    hvm_inject_nmi(v);
    run_cpu(0, 3);
    fake_enter_cpu(0, v);
    v->hvm->nmi_pending = 1;
    vcpu_block(v);
    assert_int_equal(v->flags & VF_BLOCKED, 0);
    v->hvm->nmi_pending = 0;
}

static void idle_cpus_are_told(void **st)
{
    struct vcpu *a = doms[1]->vcpu[0], *b = doms[2]->vcpu[0];

    run_cpu(1, 3);
    start(1, 1);
    run_cpu(0, 3);
    assert_ptr_equal(cpus[0]->curr, a);
    /* CPU 0 is busy: the other one is told of a second vCPU, by an interrupt. */
    unsigned kicks = fake_kicks[1];
    b->cpu = 0;
    start(2, 1);
    assert_int_equal(fake_kicks[1], kicks + 1);
    assert_true(cpus[1]->resched);
    run_cpu(1, 3);
    assert_ptr_equal(cpus[1]->curr, b);
    /* Both busy, one far ahead: that one gives way. */
    a->sched->vtime_ns = 100000000;
    b->sched->vtime_ns = 1000;
    cpus[0]->resched = cpus[1]->resched = false;
    start(3, 1);
    assert_true(cpus[0]->resched && !cpus[1]->resched);
    /* One that runs elsewhere is made to exit; this CPU's own is not. */
    kicks = fake_kicks[1];
    vcpu_kick(b);
    assert_int_equal(fake_kicks[1], kicks + 1);
    this_cpu_ptr = cpus[1];
    vcpu_kick(b);
    assert_int_equal(fake_kicks[1], kicks + 1);
    this_cpu_ptr = cpus[0];
}

/* A CPU that ran alone has no end of its turn in sight: it is told, even of one that must wait. */
static void waiting_ends_a_lonely_turn(void **st)
{
    one_cpu();
    start(1, 1);
    run_cpu(0, 30);
    assert_false(sched_cpus[0].tick.active);
    doms[2]->vcpu[0]->sched->vtime_ns = 1ULL << 40;
    cpus[0]->resched = false;
    start(2, 1);
    assert_true(cpus[0]->resched);
    run_cpu(0, 30);
    assert_true(sched_cpus[0].tick.active);
    assert_ptr_equal(cpus[0]->curr, doms[1]->vcpu[0]);
    cpus[0]->resched = false;
    doms[3]->vcpu[0]->sched->vtime_ns = 1ULL << 41;
    start(3, 1);
    assert_false(cpus[0]->resched);                 /* the tick is armed */
}

static void pausing_and_taking_down(void **st)
{
    struct vcpu *v = doms[1]->vcpu[0];
    struct runstate rs;

    one_cpu();
    start(1, 1);
    start(2, 1);
    run_cpu(0, 100);
    domain_pause_nosync(doms[1]);
    domain_pause_nosync(doms[1]);
    unsigned n = seen[1][0].entries;
    run_cpu(0, 100);
    assert_int_equal(seen[1][0].entries, n);
    vcpu_get_runstate(v, &rs);
    assert_int_equal(rs.state, RUNSTATE_offline);
    domain_unpause(doms[1]);
    run_cpu(0, 100);
    assert_int_equal(seen[1][0].entries, n);
    domain_unpause(doms[1]);
    run_cpu(0, 400);
    assert_true(seen[1][0].entries > n);
    vcpu_set_down(v);
    n = seen[1][0].entries;
    run_cpu(0, 400);
    assert_int_equal(seen[1][0].entries, n);
    vcpu_set_up(v);
    run_cpu(0, 400);
    assert_true(seen[1][0].entries > n);
    while (cpus[0]->curr == v)
        run_cpu(0, 10);
    vcpu_pause(v);                                  /* waits in the queue: taken off */
    assert_false(v->sched->queued);
    vcpu_unpause(v);
    assert_true(v->sched->queued);
}

static void yielder(struct vcpu *v)
{
    if (v->dom->id == 1)
        vcpu_yield();
}

static void yielding(void **st)
{
    one_cpu();
    start(1, 1);
    start(2, 1);
    act = yielder;
    run_cpu(0, 4000);
    /* It gives its turn away each time, although a turn lasts a millisecond otherwise. */
    assert_true(ran(2) > 3 * ran(1));
    assert_true(ran(1));
    domain_pause_nosync(doms[2]);
    unsigned n = seen[1][0].entries;
    run_cpu(0, 100);                                /* nobody to give it to */
    assert_true(seen[1][0].entries >= n + 90);
}

/* ---- runstates ---- */
static struct vcpu_runstate_info *area(struct vcpu *v, gva_t at)
{
    fake_enter_cpu(0, v);
    struct vcpu_runstate_info *p = fake_guest_ptr(v->dom, at);
    return p;
}

static void published_runstate(void **st)
{
    struct vcpu *v = doms[1]->vcpu[0];
    struct vcpu_runstate_info *p = area(v, 0x3000);

    assert_int_equal(runstate_register(v, 0x3004), -EINVAL);
    assert_int_equal(runstate_register(v, 0x3000), 0);
    assert_int_equal(p->state, RUNSTATE_offline);
    fake_enter_cpu(0, NULL);
    one_cpu();
    start(1, 1);
    start(2, 1);
    u64 t0 = now_ns();
    run_cpu(0, 3000);
    while (cpus[0]->curr != v)
        run_cpu(0, 10);
    assert_int_equal(p->state, RUNSTATE_running);
    assert_false(p->state_entry_time >> 63);
    assert_int_equal(p->state_entry_time, v->rs.since_ns);
    /* Time since it was started is in one state or another. */
    assert_int_equal(p->time[0] + p->time[1] + p->time[2] + now_ns() - p->state_entry_time, now_ns() - t0);
    assert_true(p->time[RUNSTATE_running] && p->time[RUNSTATE_runnable]);
    /* Over a page border, and with the flag that a guest asked for: it is set while the words change. */
    doms[1]->vm_assist = 1u << VMASST_TYPE_runstate_update_flag;
    u64 *last = fake_guest_ptr(doms[1], 0x4ff8), *next = fake_guest_ptr(doms[1], 0x5000);
    assert_int_equal(runstate_register(v, 0x4ff8), 0);
    assert_int_equal(*last, RUNSTATE_running);
    assert_int_equal(next[0], v->rs.since_ns);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(next[1 + i], v->rs.time_ns[i]);
    /* Half of it is no RAM; none; taken off again: nothing is held any more. */
    assert_int_equal(runstate_register(v, 16 * PAGE_SIZE - 8), -EFAULT);
    assert_int_equal(runstate_register(v, 16 * PAGE_SIZE), -EFAULT);
    assert_int_equal(runstate_register(v, 0), 0);
    *last = 77;
    run_cpu(0, 1000);
    assert_int_equal(*last, 77);
}

static void no_memory(void **st)
{
    struct domain d = { .max_vcpus = 1 };
    struct vcpu v = { .dom = &d };

    fake_fail_at(1);
    assert_int_equal(sched_domain_init(&d), -ENOMEM);
    fake_fail_at(1);
    assert_int_equal(sched_vcpu_init(&v), -ENOMEM);
    sched_vcpu_destroy(&v);                         /* of one that was never made */
    sched_domain_destroy(&d);
    /* runstate areas pin pages, for which memory may be short. */
    fake_enter_cpu(0, doms[1]->vcpu[0]);
    for (unsigned k = 1;; k++) {
        fake_fail_at(k);
        int rc = runstate_register(doms[1]->vcpu[0], 0x4ff8);
        if (!fake_failed()) {
            assert_int_equal(rc, 0);
            break;
        }
        assert_int_equal(rc, -ENOMEM);
        assert_false(guest_area_used(&doms[1]->vcpu[0]->runstate_area));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(shares_follow_weights, setup), cmocka_unit_test_setup(caps_hold, setup),
        cmocka_unit_test_setup(rate_limit, setup), cmocka_unit_test_setup(affinity, setup),
        cmocka_unit_test_setup(soft_affinity, setup), cmocka_unit_test_setup(blocking_and_waking, setup),
        cmocka_unit_test_setup(idle_cpus_are_told, setup),
        cmocka_unit_test_setup(waiting_ends_a_lonely_turn, setup),
        cmocka_unit_test_setup(pausing_and_taking_down, setup), cmocka_unit_test_setup(yielding, setup),
        cmocka_unit_test_setup(published_runstate, setup), cmocka_unit_test_setup(no_memory, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
