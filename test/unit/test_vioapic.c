/* SPDX-License-Identifier: MIT */
/* Virtual IO-APIC: registers (XSA-239), binding of physical GSIs, level interrupts until EOI, emulated lines. */
#include <stdarg.h>
#include <stdlib.h>
#include <setjmp.h>
#include <cmocka.h>
#include "alone.h"
#include "hvm/vlapic.h"
#include "irq/irq.h"
#include "fake_internal.h"

static struct domain dom;
static struct vcpu v0 = { .dom = &dom };
static struct { mmio_fn fn; void *arg; gpa_t start; } reg;
static struct { unsigned n, delivery; u32 dest; bool logical, level; u8 vector; } sent;

static unsigned fail_alloc;                     /* this allocation fails; 0: none */
void *kzalloc(size_t n) { return fail_alloc && !--fail_alloc ? NULL : calloc(1, n); }
void kfree(void *p) { free(p); }
static int mmio_rc;
int mmio_register(struct domain *d, gpa_t start, gpa_t end, mmio_fn fn, void *arg)
{
    if (mmio_rc)
        return mmio_rc;
    reg.fn = fn;
    reg.arg = arg;
    reg.start = start;
    return 0;
}
void mmio_unregister(struct domain *d, gpa_t start) {}
void vlapic_deliver(struct domain *d, u32 dest, bool logical, unsigned delivery, u8 vector, bool level)
{
    sent.n++;
    sent.dest = dest;
    sent.logical = logical;
    sent.delivery = delivery;
    sent.vector = vector;
    sent.level = level;
}

static int start(bool hwdom)
{
    memset(&dom, 0, sizeof(dom));
    alone_start();
    memset(&sent, 0, sizeof(sent));
    fake_irq_reset();
    dom.is_hwdom = hwdom;
    dom.max_vcpus = 1;
    dom.vcpu[0] = &v0;
    return vioapic_init(&dom);
}
static int setup_hw(void **state) { return start(true); }
static int setup_hvm(void **state) { return start(false); }
static int teardown(void **state)
{
    vioapic_destroy(&dom);
    return 0;
}

static void wr(unsigned off, u32 val)
{
    u64 x = val;
    reg.fn(&v0, reg.start + off, 4, true, &x, reg.arg);
}
static u32 rd(unsigned off)
{
    u64 x = 0;
    reg.fn(&v0, reg.start + off, 4, false, &x, reg.arg);
    return (u32)x;
}
static void set(unsigned n, u32 val) { wr(0, n); wr(0x10, val); }
static u32 get(unsigned n) { wr(0, n); return rd(0x10); }
static void rte(unsigned pin, u32 lo, u8 dest)
{
    set(0x11 + 2 * pin, (u32)dest << 24);
    set(0x10 + 2 * pin, lo);
}

static void registers(void **state)
{
    assert_int_equal(reg.start, 0xfec00000);
    assert_int_equal(get(1), 0x170020);
    set(0, ~0u);
    assert_int_equal(get(0), 0x0f000000);
    assert_int_equal(get(0x10), 0x10000);
    for (unsigned i = 0; i < 256; i++) {
        u32 val;

        wr(0, i);
        val = rd(0x10);
        if (i > 2 && (i < 0x10 || i >= 0x40))
            assert_int_equal(val, 0);           /* XSA-239 */
        wr(0x10, ~0u);
    }
    assert_int_equal(get(0x10) & ~0x1afffu, 0);
    wr(0x14, 5);
    assert_int_equal(rd(0x20), 0);
}

static void edge(void **state)
{
    rte(8, 0x10041, 0);
    assert_false(fake_gsi[8].set_up);           /* masked: not bound yet */
    rte(8, 0x41, 0);
    assert_true(fake_gsi[8].set_up && !fake_gsi[8].masked && !fake_gsi[8].level && !fake_gsi[8].low);
    fake_interrupt(fake_gsi[8].vector);
    assert_int_equal(sent.n, 1);
    assert_int_equal(sent.vector, 0x41);
    assert_false(sent.level);
    fake_interrupt(fake_gsi[8].vector);
    assert_int_equal(sent.n, 2);
    assert_int_equal(fake_gsi[8].eois, 0);
    rte(8, 0x10041, 0);
    assert_true(fake_gsi[8].masked);
    fake_interrupt(fake_gsi[8].vector);         /* was on its way */
    assert_int_equal(sent.n, 2);
    rte(8, 0x41, 0);
    assert_false(fake_gsi[8].masked);
}

static void level(void **state)
{
    rte(9, 0xa892, 3);                          /* level, low, logical */
    assert_true(fake_gsi[9].level && fake_gsi[9].low);
    fake_interrupt(fake_gsi[9].vector);
    assert_int_equal(sent.n, 1);
    assert_true(sent.level && sent.logical);
    assert_int_equal(sent.dest, 3);
    assert_true(get(0x22) & 0x4000);            /* remote IRR */
    assert_int_equal(fake_gsi[9].eois, 0);
    vioapic_eoi(&dom, 0x93);
    assert_int_equal(fake_gsi[9].eois, 0);
    vioapic_eoi(&dom, 0x92);
    assert_int_equal(fake_gsi[9].eois, 1);
    assert_false(get(0x22) & 0x4000);
    fake_interrupt(fake_gsi[9].vector);
    wr(0x40, 0x92);                             /* directed EOI */
    assert_int_equal(fake_gsi[9].eois, 2);
    fake_interrupt(fake_gsi[9].vector);
    rte(9, 0x12892, 3);                         /* mask and edge: drops remote IRR and frees the line */
    assert_int_equal(fake_gsi[9].eois, 3);
    assert_false(get(0x22) & 0x4000);
    rte(9, 0x1a892, 3);
    fake_interrupt(fake_gsi[9].vector);         /* masked: not held */
    assert_int_equal(fake_gsi[9].eois, 4);
    assert_int_equal(sent.n, 3);
}

static void not_bound(void **state)
{
    rte(5, 0x444, 0);                           /* NMI delivery: not bound */
    assert_false(fake_gsi[5].set_up);
}

static void emulated(void **state)
{
    assert_int_equal(get(1), 0x2f0011);
    rte(20, 0x8055, 0);
    vioapic_set_irq(&dom, 20, true);
    assert_int_equal(sent.n, 1);
    vioapic_set_irq(&dom, 20, true);
    assert_int_equal(sent.n, 1);
    vioapic_eoi(&dom, 0x55);                    /* still asserted: again */
    assert_int_equal(sent.n, 2);
    vioapic_set_irq(&dom, 20, false);
    vioapic_eoi(&dom, 0x55);
    assert_int_equal(sent.n, 2);
    rte(3, 0x56, 0);
    vioapic_set_irq(&dom, 3, true);
    vioapic_set_irq(&dom, 3, true);             /* no new edge */
    assert_int_equal(sent.n, 3);
    vioapic_set_irq(&dom, 3, false);
    vioapic_set_irq(&dom, 3, true);
    assert_int_equal(sent.n, 4);
    vioapic_set_irq(&dom, 48, true);
    vioapic_set_irq(&dom, ~0u, true);
    assert_int_equal(sent.n, 4);
    for (unsigned i = 0; i < 24; i++)
        assert_false(fake_gsi[i].set_up);
}

/* A line that went up while its pin was masked; writes that are none; sizes. */
static void unmasked_while_active(void **state)
{
    u64 x = 0x55;

    rte(20, 0x18055, 0);
    vioapic_set_irq(&dom, 20, true);
    assert_int_equal(sent.n, 0);
    rte(20, 0x8055, 0);
    assert_int_equal(sent.n, 1);
    wr(0, 0x38);
    reg.fn(&v0, reg.start + 0x11, 1, true, &x, reg.arg);       /* inside of a register */
    reg.fn(&v0, reg.start + 0x10, 2, true, &x, reg.arg);       /* half of one */
    assert_int_equal(get(0x38), 0xc055);
    reg.fn(&v0, reg.start + 0x11, 1, false, &x, reg.arg);
    assert_int_equal(x, 0xc0);
}

/* The guest turns a pin to edge after the host's line was set up for level: nothing waits for its EOI. */
static void edge_meanwhile(void **state)
{
    rte(9, 0xa092, 3);
    unsigned vector = fake_gsi[9].vector;
    rte(9, 0x12092, 3);                         /* edge, and masked: the host's side stays as it was */
    assert_true(fake_gsi[9].level);
    fake_interrupt(vector);
    assert_int_equal(fake_gsi[9].eois, 1);
    assert_int_equal(sent.n, 0);
    fake_interrupt(vector);
    assert_int_equal(fake_gsi[9].eois, 2);
}

static void nobody(void *arg, unsigned vector) {}

/* No host vector, or no such host line: said once, and the pin stays silent. */
static void short_of_vectors(void **state)
{
    int first = irq_vector_alloc(nobody, NULL), last = first;
    for (int n = first; n > 0; n = irq_vector_alloc(nobody, NULL))
        last = n;
    fake_log_clear();
    rte(8, 0x41, 0);
    assert_non_null(strstr(fake_log, "GSI 8: no interrupt vector left"));
    assert_false(fake_gsi[8].set_up);
    for (int n = first; n <= last; n++)
        irq_vector_free((unsigned)n);
    ioapics[0].gsi_base = 100;                  /* the machine has no such lines */
    vioapic_destroy(&dom);
    assert_int_equal(vioapic_init(&dom), 0);
    ioapics[0].gsi_base = 0;
    rte(8, 0x41, 0);
    assert_non_null(strstr(fake_log, "cannot be routed to dom0"));
    assert_int_equal(irq_vector_alloc(nobody, NULL), first);       /* it was given back */
    irq_vector_free((unsigned)first);
}

static void no_memory(void **state)
{
    vioapic_destroy(&dom);
    vioapic_destroy(&dom);                      /* one that is not there */
    for (unsigned k = 1; k <= 2; k++) {
        fail_alloc = k;
        assert_int_equal(vioapic_init(&dom), -ENOMEM);
        assert_null(dom.ioapic);
    }
    fail_alloc = 0;
    mmio_rc = -ENOSPC;
    assert_int_equal(vioapic_init(&dom), -ENOSPC);
    mmio_rc = 0;
    assert_null(dom.ioapic);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(registers, setup_hw, teardown),
        cmocka_unit_test_setup_teardown(edge, setup_hw, teardown),
        cmocka_unit_test_setup_teardown(level, setup_hw, teardown),
        cmocka_unit_test_setup_teardown(not_bound, setup_hw, teardown),
        cmocka_unit_test_setup_teardown(emulated, setup_hvm, teardown),
        cmocka_unit_test_setup_teardown(unmasked_while_active, setup_hvm, teardown),
        cmocka_unit_test_setup_teardown(edge_meanwhile, setup_hw, teardown),
        cmocka_unit_test_setup_teardown(short_of_vectors, setup_hw, teardown),
        cmocka_unit_test_setup_teardown(no_memory, setup_hvm, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
