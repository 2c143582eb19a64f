/* SPDX-License-Identifier: MIT */
/* Scheduler on simulated CPUs: vCPUs that spin, or sleep and work in turns; timers and ticks fire when they are due.
 * Shares by weight, cap and affinity; nobody starves after anything that changes who competes with whom. */
#include "call_env.h"
#include "sched/internal.h"
#include "../../src/sched/run.c"

#define MS 1000000ULL
#define US 1000ULL

/* ---- the simulation ---- */
static struct load {
    struct vcpu *v;
    u64 work_ns, sleep_ns;          /* work_ns 0: spins for ever */
    u64 done_at, wake_at;           /* run time at which this piece of work is done; when it wakes */
    u64 worst_wait_ns, wait_from;   /* longest time between wanting a CPU and having one; 0: not waiting */
} loads[32];
static unsigned nr_loads;

static struct load *load_of(struct vcpu *v)
{
    for (unsigned i = 0; i < nr_loads; i++)
        if (loads[i].v == v) return &loads[i];
    return NULL;
}

static void on_cpu(unsigned cpu) { this_cpu_ptr = cpus[cpu]; }

static void settle(void)
{
    bool again;
    do {
        again = false;
        for (unsigned i = 0; i < nr_cpus; i++) {
            on_cpu(i);
            if (cpus[i]->timer.armed_ns <= now_ns()) timer_run();
            if (!cpus[i]->resched) continue;
            schedule(cpus[i]);
            again = true;
        }
    } while (again);
}

/* While somebody waits for a vCPU to leave its CPU, that CPU goes on. */
static void others_go_on(const void *addr)
{
    static bool inside;
    unsigned me = this_cpu()->id;
    if (inside || this_cpu()->nr_locks) return;
    inside = true;
    for (unsigned i = 0; i < nr_cpus; i++) {
        on_cpu(i);
        if (cpus[i]->curr && addr == &cpus[i]->curr->running && cpus[i]->resched) schedule(cpus[i]);
    }
    on_cpu(me);
    inside = false;
}

static void observe(struct load *l)
{
    bool waits = vcpu_runnable(l->v) && !l->v->running;
    if (waits && !l->wait_from) l->wait_from = now_ns();
    if (waits || !l->wait_from) return;
    l->worst_wait_ns = MAX(l->worst_wait_ns, now_ns() - l->wait_from);
    l->wait_from = 0;
}

/* The next time at which something happens by itself. */
static u64 next_event(u64 end)
{
    u64 at = end;
    for (unsigned i = 0; i < nr_cpus; i++) at = MIN(at, cpus[i]->timer.armed_ns);
    for (unsigned i = 0; i < nr_loads; i++) {
        struct load *l = &loads[i];
        if (l->wake_at) at = MIN(at, l->wake_at);
        if (!l->work_ns || !l->v->running) continue;
        at = MIN(at, now_ns() + l->done_at - MIN(l->done_at, vcpu_cpu_time_ns(l->v)));
    }
    return MAX(at, now_ns());
}

static void work(struct load *l)
{
    if (l->wake_at && l->wake_at <= now_ns()) {
        l->wake_at = 0;
        l->done_at = vcpu_cpu_time_ns(l->v) + l->work_ns;
        on_cpu(0);
        vcpu_wake(l->v);
    } else if (l->work_ns && l->v->running && vcpu_cpu_time_ns(l->v) >= l->done_at) {
        on_cpu(l->v->cpu);
        vcpu_block(l->v);
        l->wake_at = now_ns() + l->sleep_ns;
    }
}

static void run_for(u64 ns)
{
    u64 end = now_ns() + ns;
    for (;;) {
        settle();
        for (unsigned i = 0; i < nr_loads; i++) work(&loads[i]);
        settle();
        for (unsigned i = 0; i < nr_loads; i++) observe(&loads[i]);
        if (now_ns() >= end) break;
        u64 at = next_event(end);
        fake_time_set(at > now_ns() ? at : now_ns() + 100);
    }
    for (unsigned i = 0; i < nr_loads; i++) {               /* who still waits has waited so long */
        struct load *l = &loads[i];
        if (l->wait_from) l->worst_wait_ns = MAX(l->worst_wait_ns, now_ns() - l->wait_from);
    }
    on_cpu(0);
}

/* ---- domains ---- */
static void machine(unsigned ncpus)
{
    static struct cpu early;
    fake_hook = NULL;
    this_cpu_ptr = &early;
    fake_machine_init(64, ncpus);
    memset(sched_cpus, 0, sizeof(sched_cpus));
    sched_init();
    policy_init();
    list_init(&runq);
    fake_hook = others_go_on;
    memset(loads, 0, sizeof(loads));
    nr_loads = 0;
    sched_ratelimit_ns = 1 * MS;
    for (unsigned i = 0; i < ncpus; i++) {
        cpus[i]->timer.armed_ns = NEVER;
        cpus[i]->resched = false;
    }
}

/* A vCPU of a domain of its own, asleep. */
static struct vcpu *sleeper(unsigned weight, unsigned cap, u64 hard)
{
    struct domain *d = fake_domain_vcpus((u16)(nr_loads + 1), 0, 1);
    struct vcpu *v = d->vcpu[0];
    const struct sched_params p = { .weight = (u16)weight, .cap = (u16)cap };
    sched_set_params(d, &p);
    assert_int_equal(sched_set_affinity(v, hard ? &hard : NULL, NULL), 0);
    loads[nr_loads++] = (struct load){ .v = v };
    v->flags = VF_BLOCKED;
    domain_unpause(d);
    return v;
}

static struct vcpu *spinner(unsigned weight, unsigned cap, u64 hard)
{
    struct vcpu *v = sleeper(weight, cap, hard);
    vcpu_wake(v);
    settle();
    on_cpu(0);
    return v;
}

/* Works for work_ns, sleeps for sleep_ns, and so on. */
static struct vcpu *worker(unsigned weight, u64 work_ns, u64 sleep_ns)
{
    struct vcpu *v = sleeper(weight, 0, 0);
    struct load *l = load_of(v);
    l->work_ns = work_ns;
    l->sleep_ns = sleep_ns;
    l->wake_at = now_ns() + sleep_ns;
    return v;
}

static void block(struct vcpu *v)
{
    on_cpu(v->cpu);
    assert_ptr_equal(current_vcpu(), v);
    vcpu_block(v);
    settle();
    on_cpu(0);
}

static void wake(struct vcpu *v)
{
    vcpu_wake(v);
    settle();
    on_cpu(0);
}

/* Per mille of one CPU that each of them gets from now on. */
static void shares(struct vcpu **v, unsigned *share, unsigned n, u64 ns)
{
    u64 before[8];
    for (unsigned i = 0; i < n; i++) before[i] = vcpu_cpu_time_ns(v[i]);
    run_for(ns);
    for (unsigned i = 0; i < n; i++) share[i] = (unsigned)((vcpu_cpu_time_ns(v[i]) - before[i]) * 1000 / ns);
}
#define SHARES(ns, ...) struct vcpu *v_[] = { __VA_ARGS__ }; unsigned share[ARRAY_SIZE(v_)]; \
    shares(v_, share, ARRAY_SIZE(v_), ns)
#define forget_waits() do { for (unsigned i_ = 0; i_ < nr_loads; i_++) \
    loads[i_].worst_wait_ns = loads[i_].wait_from = 0; } while (0)

/* ---- shares ---- */
static void weights(void **state)
{
    machine(1);
    SHARES(10000 * MS, spinner(256, 0, 0), spinner(512, 0, 0), spinner(256, 0, 0));
    assert_in_range(share[0], 240, 260);
    assert_in_range(share[1], 480, 520);
}

static void weights_on_two_cpus(void **state)
{
    machine(2);
    SHARES(10000 * MS, spinner(256, 0, 0), spinner(256, 0, 0), spinner(256, 0, 0));
    for (unsigned i = 0; i < 3; i++) assert_in_range(share[i], 640, 690);
}

static void extreme_weights(void **state)
{
    machine(1);
    SHARES(20000 * MS, spinner(1, 0, 0), spinner(65535, 0, 0));
    assert_in_range(share[0], 0, 5);
    assert_true(vcpu_cpu_time_ns(v_[0]) > 0);
}

static void caps(void **state)
{
    machine(1);
    SHARES(10000 * MS, spinner(256, 25, 0), spinner(256, 0, 0));
    assert_in_range(share[0], 235, 260);
    assert_in_range(share[1], 735, 765);
}

/* A cap counts from when it is set: what ran before, alone on its CPU and uncharged, is no overdraft. */
static void cap_set_late(void **state)
{
    machine(2);
    struct vcpu *a = spinner(256, 0, 2);
    run_for(10000 * MS);
    const struct sched_params p = { .weight = 256, .cap = 25 };
    sched_set_params(a->dom, &p);
    SHARES(1000 * MS, a);
    assert_in_range(share[0], 235, 275);
}

static void pinned_groups_keep_weights(void **state)
{
    machine(2);
    SHARES(10000 * MS, spinner(256, 0, 1), spinner(512, 0, 1), spinner(256, 0, 2), spinner(256, 0, 2),
           spinner(512, 0, 2), spinner(1, 0, 2));
    assert_in_range(share[0], 320, 350);
    assert_in_range(share[2], 240, 260);
    assert_in_range(share[4], 480, 520);
}

/* ---- nobody starves ---- */
/* One has run alone for long and sleeps a moment; another that slept all the time begins to spin. The first must not
 * wait until the second has run as long. */
static void past_does_not_count(void **state)
{
    machine(1);
    struct vcpu *a = sleeper(256, 0, 0), *b = sleeper(256, 0, 0);
    wake(a);
    run_for(10000 * MS);
    block(a);
    run_for(5 * MS);
    wake(b);
    run_for(5 * MS);
    wake(a);
    forget_waits();
    SHARES(1000 * MS, a, b);
    assert_in_range(share[0], 450, 600);
    assert_true(load_of(a)->worst_wait_ns <= 25 * MS);
    assert_true(load_of(b)->worst_wait_ns <= 100 * MS);
}

/* A capped domain falls behind those that run on. Without its cap it must not make up for that. */
static void cap_taken_away(void **state)
{
    machine(1);
    struct vcpu *a = spinner(256, 10, 0), *b = spinner(256, 0, 0);
    run_for(20000 * MS);
    const struct sched_params none = { .weight = 256 };
    sched_set_params(a->dom, &none);
    forget_waits();
    SHARES(1000 * MS, a, b);
    assert_in_range(share[1], 400, 600);
    assert_true(load_of(b)->worst_wait_ns <= 100 * MS);
}

/* Those on a crowded CPU fall behind one that has a CPU alone; then all may run everywhere. */
static void unpinned(void **state)
{
    machine(2);
    struct vcpu *a = spinner(256, 0, 1), *b = spinner(256, 0, 1), *c = spinner(256, 0, 1), *d = spinner(256, 0, 1);
    struct vcpu *alone = spinner(256, 0, 2);
    run_for(10000 * MS);
    const u64 all = 3;
    struct vcpu *v[] = { a, b, c, d, alone };
    for (unsigned i = 0; i < 5; i++) assert_int_equal(sched_set_affinity(v[i], &all, NULL), 0);
    forget_waits();
    SHARES(1000 * MS, a, b, c, d, alone);
    for (unsigned i = 0; i < 5; i++) assert_in_range(share[i], 300, 500);
    assert_true(load_of(alone)->worst_wait_ns <= 200 * MS);
}

/* Two CPUs, so even weight 1 runs all the time, 65536 times as far in its own time. A third must share with it. */
static void weight_that_had_a_cpu_alone(void **state)
{
    machine(2);
    struct vcpu *heavy = spinner(65535, 0, 0), *light = spinner(1, 0, 0), *c = sleeper(256, 0, 0);
    run_for(10000 * MS);
    wake(c);
    forget_waits();
    SHARES(30000 * MS, heavy, light, c);
    assert_true(share[0] >= 990 && share[2] >= 990);
    assert_true(load_of(light)->worst_wait_ns < 15000 * MS);
}

/* A vCPU that yields lets the next one run; it does not queue up behind one whose turn is far away. */
static void yield_to_the_next(void **state)
{
    machine(1);
    struct vcpu *a = spinner(256, 0, 0), *b = spinner(256, 0, 0);
    (void)spinner(1, 0, 0);
    run_for(1000 * MS);
    forget_waits();
    for (unsigned i = 0; i < 100; i++) {
        if (a->running) {
            vcpu_yield();
            settle();
            assert_false(a->running);
        }
        run_for(3 * MS);
    }
    SHARES(1000 * MS, a, b);
    assert_true(share[0] >= 400);
    assert_true(load_of(a)->worst_wait_ns <= 30 * MS);
}

/* Whatever happens: no CPU idles while somebody who may use it waits, and nobody waits for long. */
static void check_no_idle_cpu(void)
{
    struct list *l;
    list_for_each(l, &runq) {
        struct sched_vcpu *s = list_entry(l, struct sched_vcpu, node);
        if (s->v->dom->sched->cap) continue;
        for (unsigned i = 0; i < nr_cpus; i++) assert_false(s->hard >> i & 1 && !sched_cpus[i].sel);
    }
}

static void change_something(void)
{
    struct load *l = &loads[rnd() % nr_loads];
    struct sched_params p = { .weight = (u16)(64 << rnd() % 5), .cap = rnd() % 3 ? 0 : (u16)(50 + rnd() % 50) };
    u64 hard = rnd() % 3 ? 15 : 1ULL << rnd() % 4, soft = rnd() % 2 ? 15 : 1ULL << rnd() % 4;
    if (rnd() % 2) sched_set_params(l->v->dom, &p);
    else assert_int_equal(sched_set_affinity(l->v, &hard, &soft), 0);
}

static void mixture(void **state)
{
    machine(4);
    for (unsigned i = 0; i < 5; i++) (void)spinner(256, 0, 0);
    for (unsigned i = 0; i < 10; i++) (void)worker(256, rnd() % (3 * MS) + US, rnd() % (9 * MS) + US);
    for (unsigned n = 0; n < 300; n++) {
        change_something();
        for (unsigned i = 0; i < 20; i++) {
            run_for(rnd() % (10 * MS));
            check_no_idle_cpu();
        }
        for (unsigned i = 0; i < nr_loads; i++) assert_true(loads[i].worst_wait_ns < 2000 * MS);
    }
    for (unsigned i = 0; i < nr_loads; i++) assert_true(vcpu_cpu_time_ns(loads[i].v) > 1000 * MS);
}

/* ---- latency ---- */
/* Who wakes waits for a running vCPU's rate limit at most. */
static void wakes_after_the_rate_limit(void **state)
{
    machine(1);
    struct vcpu *a = spinner(256, 0, 0), *w = worker(256, 100 * US, 3 * MS + 7 * US);
    struct vcpu *often = worker(256, 50 * US, 400 * US);
    run_for(50 * MS);
    forget_waits();
    run_for(3000 * MS);
    assert_true(load_of(w)->worst_wait_ns <= 1300 * US);
    assert_true(load_of(often)->worst_wait_ns <= 1300 * US);
    (void)a;
}

/* One that wants more than its share, in small pieces, waits until the other has caught up: not for whole slices. */
static void waits_for_its_turn_only(void **state)
{
    machine(1);
    SHARES(3000 * MS, spinner(256, 0, 0), worker(256, 3 * MS, 1 * MS));
    assert_in_range(share[1], 450, 550);
    assert_true(load_of(v_[1])->worst_wait_ns <= 5 * MS);
}

/* Two that wake at once while two CPUs are idle run at once, each on its own. */
static void idle_cpus_are_all_used(void **state)
{
    machine(4);
    struct vcpu *v[4];
    for (unsigned i = 0; i < 4; i++) v[i] = sleeper(256, 0, 0);
    for (unsigned i = 0; i < 4; i++) v[i]->cpu = 1;         /* all ran on one CPU last */
    run_for(MS);
    for (unsigned i = 0; i < 4; i++) vcpu_wake(v[i]);
    settle();
    for (unsigned i = 0; i < 4; i++) assert_true(v[i]->running);
}

/* ---- affinity ---- */
static void soft_affinity_chooses_an_idle_cpu(void **state)
{
    machine(4);
    struct vcpu *v = sleeper(256, 0, 0);
    const u64 soft = 1u << 2;
    assert_int_equal(sched_set_affinity(v, NULL, &soft), 0);
    wake(v);
    assert_true(v->running);
    assert_int_equal(v->cpu, 2);
    /* Taken: any other rather than waiting. */
    struct vcpu *w = sleeper(256, 0, 0);
    assert_int_equal(sched_set_affinity(w, NULL, &soft), 0);
    wake(w);
    assert_true(w->running);
    assert_true(w->cpu != 2);
}

static void soft_affinity_moves_a_running_vcpu(void **state)
{
    machine(2);
    struct vcpu *v = spinner(256, 0, 0);
    unsigned was = v->cpu;
    const u64 soft = 1u << !was;
    on_cpu(!was);
    assert_int_equal(sched_set_affinity(v, NULL, &soft), 0);
    settle();
    assert_true(v->running);
    assert_int_equal(v->cpu, !was);
}

/* A waiting vCPU that may now use an idle CPU is told so at once. */
static void hard_affinity_frees_a_waiting_vcpu(void **state)
{
    machine(2);
    struct vcpu *a = spinner(256, 0, 2), *b = spinner(256, 0, 2);
    run_for(100 * MS);
    const u64 all = 3;
    struct vcpu *waits = a->running ? b : a;
    assert_int_equal(sched_set_affinity(waits, &all, NULL), 0);
    settle();
    assert_true(a->running && b->running);
}

/* ---- accounting ---- */
/* Times of different CPUs may differ a little, and a CPU may read its clock before it waits for the lock. */
static void time_never_runs_backwards(void **state)
{
    machine(1);
    struct vcpu *v = sleeper(256, 0, 0);
    struct runstate rs;
    u64 now = now_ns();
    spin_lock(&sched_lock);
    runstate_change_locked(v, RUNSTATE_runnable, now + 500);
    runstate_change_locked(v, RUNSTATE_offline, now + 400);
    runstate_change_locked(v, RUNSTATE_blocked, now + 600);
    spin_unlock(&sched_lock);
    vcpu_get_runstate(v, &rs);
    for (unsigned i = 0; i < 4; i++) assert_true(rs.time_ns[i] < 1ULL << 40);
}

static void idle_time(void **state)
{
    machine(2);
    u64 i0 = cpu_idle_ns(0), i1 = cpu_idle_ns(1);
    struct vcpu *v = spinner(256, 50, 1);
    (void)v;
    run_for(1000 * MS);
    assert_in_range(cpu_idle_ns(0) - i0, 480 * MS, 520 * MS);
    assert_in_range(cpu_idle_ns(1) - i1, 999 * MS, 1001 * MS);
}

/* Debug key 'r'. */
static void dump(void **state)
{
    machine(2);
    struct vcpu *a = spinner(512, 0, 1), *b = spinner(256, 50, 1), *c = sleeper(256, 0, 2);
    while (sched_cpus[0].sel != a) run_for(MS);
    fake_log_clear();
    sched_dump_cpus();
    assert_non_null(strstr(fake_log, "one run queue, 1 waiting, rate limit 1000 us\nCPU0: d1v0 for "));
    assert_non_null(strstr(fake_log, ", next look in "));
    assert_non_null(strstr(fake_log, "\nCPU1: idle\n"));
    sched_dump(a->dom);
    sched_dump(b->dom);
    sched_dump(c->dom);
    assert_non_null(strstr(fake_log, "d1: weight 512, cap 0%\n  v0: CPU0, on its CPU, virtual time "));
    assert_non_null(strstr(fake_log, "d2: weight 256, cap 50%, budget left "));
    assert_non_null(strstr(fake_log, "  v0: CPU0, waits, virtual time "));
    assert_non_null(strstr(fake_log, "d3: weight 256, cap 0%\n  v0: CPU0, not runnable, virtual time "));
    assert_non_null(strstr(fake_log, "may run on 0x2, best on 0xffffffffffffffff\n"));
    block(a);
    run_for(100 * MS);
    while (!b->sched->parked) run_for(MS);
    fake_log_clear();
    sched_dump(b->dom);
    assert_non_null(strstr(fake_log, "waits for its domain's budget"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights), cmocka_unit_test(weights_on_two_cpus), cmocka_unit_test(extreme_weights),
        cmocka_unit_test(caps), cmocka_unit_test(cap_set_late),
        cmocka_unit_test(pinned_groups_keep_weights), cmocka_unit_test(past_does_not_count),
        cmocka_unit_test(cap_taken_away), cmocka_unit_test(unpinned), cmocka_unit_test(weight_that_had_a_cpu_alone),
        cmocka_unit_test(yield_to_the_next), cmocka_unit_test(mixture),
        cmocka_unit_test(wakes_after_the_rate_limit), cmocka_unit_test(waits_for_its_turn_only),
        cmocka_unit_test(idle_cpus_are_all_used), cmocka_unit_test(soft_affinity_chooses_an_idle_cpu),
        cmocka_unit_test(soft_affinity_moves_a_running_vcpu), cmocka_unit_test(hard_affinity_frees_a_waiting_vcpu),
        cmocka_unit_test(time_never_runs_backwards),
        cmocka_unit_test(idle_time), cmocka_unit_test(dump),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
