/* SPDX-License-Identifier: MIT */
/* Guest copies and page walks in all paging modes. */
#include <stdlib.h>
#include "mm_stubs.h"
#include "mm/guest.h"

static struct domain *d;
static struct vcpu *v;
static struct vcpu_state *st;

enum { CR0_PE = 1, CR0_WP = 0x10000, CR0_PG = 0x80000000u };
enum { CR4_PSE = 0x10, CR4_PAE = 0x20, CR4_SMEP = 1 << 20, CR4_SMAP = 1 << 21 };
#define EFER_LMA (1u << 10 | 1u << 8)
#define EFER_NX (1u << 11)
#define P 1ULL
#define W 2ULL
#define U 4ULL
#define A 0x20ULL
#define D 0x40ULL
#define PS 0x80ULL
#define NX (1ULL << 63)

static void setup(void)
{
    fake_machine_init(64, 1);
    d = fake_domain(1, 4096);
    v = d->vcpu[0];
    fake_enter_cpu(0, v);
    st = &fake_vcpu(v)->state;
    for (unsigned i = 0; i < 4096 * 4096 / 8; i += 64)
        *(u64 *)fake_guest_ptr(d, i * 8) = i * 8;
}

static u64 *pte(gpa_t table, unsigned i)
{
    return (u64 *)fake_guest_ptr(d, table) + i;
}

static void zero(gpa_t page) { memset(fake_guest_ptr(d, page), 0, 4096); }

static void test_no_paging(void **state)
{
    u8 buf[10000], in[10000];

    setup();
    for (unsigned i = 0; i < sizeof(buf); i++)
        buf[i] = (u8)(i * 7);
    assert_int_equal(guest_write(v, 0x1ff3, buf, sizeof(buf)), 0);      /* crosses pages */
    assert_int_equal(guest_read(v, in, 0x1ff3, sizeof(in)), 0);
    assert_memory_equal(buf, in, sizeof(in));
    assert_int_equal(guest_read_gpa(d, in, 0x1ff3, sizeof(in)), 0);
    assert_memory_equal(buf, in, sizeof(in));
    assert_int_equal(guest_write_gpa(d, MiB(16) - 5, buf, 5), 0);
    assert_int_equal(guest_write_gpa(d, MiB(16) - 5, buf, 6), -EFAULT);
    assert_int_equal(guest_read(v, in, MiB(16), 1), -EFAULT);
    assert_int_equal(guest_read(v, in, ~0ULL, 2), -EFAULT);
    assert_int_equal(guest_read_gpa(d, in, ~0ULL - 1, 8), -EFAULT);
    assert_int_equal(guest_read(v, in, 0xdeadbeef000, 0), 0);
    assert_int_equal(p2m_set_ram_type(d, GFN(2), P2M_RAM_RO), 0);
    assert_int_equal(guest_write(v, 0x2000, buf, 1), -EFAULT);
    assert_int_equal(guest_read(v, in, 0x2000, 1), 0);
    assert_int_equal(mm_audit(), 0);
}

/* Four-level tables at 0x100000-: va 0x40000000 -> 4K pages, 0x40200000 -> 2M, 0x80000000 -> 1G at 0. */
static void build64(void)
{
    for (unsigned i = 0; i < 4; i++)
        zero(0x100000 + i * 0x1000);
    *pte(0x100000, 0) = 0x101000 | P | W | U;
    *pte(0x101000, 1) = 0x102000 | P | W | U;
    *pte(0x101000, 2) = 0 | P | W | U | PS;
    *pte(0x102000, 0) = 0x103000 | P | W | U;
    *pte(0x102000, 1) = 0x200000 | P | W | U | PS;
    *pte(0x103000, 0) = 0x5000 | P | W | U;
    *pte(0x103000, 1) = 0x9000 | P | W | U;
    *pte(0x103000, 2) = 0x6000 | P | U;         /* read-only */
    *pte(0x103000, 3) = 0x7000 | P | W;         /* supervisor */
    *pte(0x103000, 4) = 0x8000 | P | W | U | NX;
    *pte(0x103000, 5) = 0xa000 | W | U;         /* not present */
    *pte(0x103000, 6) = GiB(32) | P | W | U;    /* no RAM */
    st->cr0 = CR0_PE | CR0_PG | CR0_WP;
    st->cr3 = 0x100000 | 0x18;
    st->cr4 = CR4_PAE;
    st->efer = EFER_LMA | EFER_NX;
}

/* The guest changes an entry between our look at it and the accessed and dirty bits (XSA-219's class, in its own tables). */
static u64 *changing, value[2];
static unsigned changes;
static void change(const void *addr)
{
    if (addr == changing && !fake_hook_reads && changes) *changing = value[changes-- % 2];
}
/* The entry is `first`, and becomes `then`, and so on for nr (an odd number of) times. */
static int walk_while_changing(u64 first, u64 then, unsigned nr, gpa_t *g, u32 *ec)
{
    changing = pte(0x103000, 0);
    *changing = value[0] = first;
    value[1] = then;
    changes = nr;
    fake_hook = change;
    int rc = guest_walk(v, 0x40000123, GW_WRITE, g, ec);
    fake_hook = NULL;
    return rc;
}

/* Tables that the guest may only read: its accesses work, the accessed and dirty bits are left as they are. */
static void test_read_only_tables(void **state)
{
    gpa_t g;
    u32 ec;

    setup();
    build64();
    assert_int_equal(p2m_set_ram_type(d, GFN(0x103), P2M_RAM_RO), 0);
    u64 before = *pte(0x103000, 0);
    assert_int_equal(guest_walk(v, 0x40000123, GW_WRITE, &g, &ec), 0);
    assert_int_equal(g, 0x5123);
    assert_int_equal(*pte(0x103000, 0), before);
    assert_true(*pte(0x101000, 1) & A);
}

static void test_changing_entry(void **state)
{
    gpa_t g;
    u32 ec;

    setup();
    build64();
    /* Swapped out: a fault, and the guest's note is as it made it. */
    assert_int_equal(walk_while_changing(0x5000 | P | W | U, 0x123400, 1, &g, &ec), -EFAULT);
    assert_int_equal(ec, 2);
    assert_int_equal(*changing, 0x123400);
    /* Another CPU set the accessed bit: seen again, and both are there. */
    assert_int_equal(walk_while_changing(0x5000 | P | W | U, 0x5000 | P | W | U | A, 1, &g, &ec), 0);
    assert_int_equal(g, 0x5123);
    assert_int_equal(*changing, 0x5000 | P | W | U | A | D);
    /* Pointed elsewhere: the new page. */
    assert_int_equal(walk_while_changing(0x5000 | P | W | U, 0x6000 | P | W | U, 1, &g, &ec), 0);
    assert_int_equal(g, 0x6123);
    /* For ever. */
    assert_int_equal(walk_while_changing(0x5000 | P | W | U, 0x6000 | P | W | U, 99, &g, &ec), -EFAULT);
}

static void test_64(void **state)
{
    gpa_t g;
    u32 ec;
    u64 x;

    setup();
    build64();
    assert_int_equal(guest_walk(v, 0x40000123, 0, &g, &ec), 0);
    assert_int_equal(g, 0x5123);
    assert_int_equal(*pte(0x103000, 0), 0x5000 | P | W | U | A);
    assert_int_equal(*pte(0x101000, 1), 0x102000 | P | W | U | A);
    assert_int_equal(guest_walk(v, 0x40000123, GW_WRITE, &g, &ec), 0);
    assert_int_equal(*pte(0x103000, 0), 0x5000 | P | W | U | A | D);
    assert_int_equal(guest_walk(v, 0x40212345, 0, &g, &ec), 0);
    assert_int_equal(g, 0x212345);
    assert_int_equal(guest_walk(v, 0x80345678, 0, &g, &ec), 0);
    assert_int_equal(g, 0x345678);
    assert_int_equal(guest_read(v, &x, 0x80345678 & ~0x1ffULL, 8), 0);
    assert_int_equal(x, 0x345678 & ~0x1ffULL);
    /* Crossing into a page elsewhere. */
    u64 y = 0x1122334455667788;
    assert_int_equal(guest_write(v, 0x40000ffc, &y, 8), 0);
    assert_int_equal(*(u32 *)fake_guest_ptr(d, 0x5ffc), 0x55667788);
    assert_int_equal(*(u32 *)fake_guest_ptr(d, 0x9000), 0x11223344);
    /* Faults and their codes. */
    assert_int_equal(guest_walk(v, 0x40005000, 0, &g, &ec), -EFAULT);
    assert_int_equal(ec, 0);
    assert_int_equal(guest_walk(v, 0x40002000, GW_WRITE, &g, &ec), -EFAULT);
    assert_int_equal(ec, 3);
    assert_int_equal(guest_walk(v, 0x40003000, GW_USER, &g, &ec), -EFAULT);
    assert_int_equal(ec, 5);
    assert_int_equal(guest_walk(v, 0x40004000, GW_FETCH | GW_USER, &g, &ec), -EFAULT);
    assert_int_equal(ec, 0x15);
    st->efer = EFER_LMA;
    assert_int_equal(guest_walk(v, 0x40000000, GW_FETCH, &g, &ec), 0);
    st->efer = EFER_LMA | EFER_NX;
    assert_int_equal(guest_walk(v, 0x0000900000000000, 0, &g, &ec), -EFAULT);   /* not canonical */
    assert_int_equal(guest_walk(v, 0xffff800000000000, 0, &g, &ec), -EFAULT);
    st->cr0 &= ~(u64)CR0_WP;
    assert_int_equal(guest_walk(v, 0x40002000, GW_WRITE, &g, &ec), 0);
    assert_int_equal(guest_walk(v, 0x40002000, GW_WRITE | GW_USER, &g, &ec), -EFAULT);
    st->cr0 |= CR0_WP;
    assert_int_equal(guest_write(v, 0x40002000, &y, 8), -EFAULT);
    assert_int_equal(guest_read(v, &y, 0x40006000, 8), -EFAULT);
    *pte(0x101000, 3) = GiB(32) | P | W | U;
    assert_int_equal(guest_walk(v, 0xc0000000, 0, &g, &ec), -EIO);
    *pte(0x100000, 1) = 0x101000 | P | W | U | PS;
    assert_int_equal(guest_walk(v, 0x8000000000, 0, &g, &ec), -EFAULT);
    assert_int_equal(ec, 9);
    st->cr3 = GiB(60);
    assert_int_equal(guest_walk(v, 0x40000000, 0, &g, &ec), -EIO);
    assert_int_equal(guest_read(v, &y, 0x40000000, 8), -EFAULT);
    assert_int_equal(mm_audit(), 0);
}

/* SMAP and SMEP: hypercall buffers in user memory need AC, as privcmd sets it (R5). */
static void test_smap(void **state)
{
    gpa_t g;
    u32 ec;
    u64 x;

    setup();
    build64();
    st->cr4 |= CR4_SMAP | CR4_SMEP;
    assert_int_equal(guest_read(v, &x, 0x40000000, 8), -EFAULT);
    assert_int_equal(guest_read(v, &x, 0x40003000, 8), 0);
    v->regs.rflags = 1 << 18;
    assert_int_equal(guest_read(v, &x, 0x40000000, 8), 0);
    assert_int_equal(guest_write(v, 0x40000000, &x, 8), 0);
    assert_int_equal(guest_walk(v, 0x40000000, GW_FETCH, &g, &ec), -EFAULT);
    assert_int_equal(ec, 0x11);
    assert_int_equal(guest_walk(v, 0x40000000, GW_FETCH | GW_USER, &g, &ec), 0);
}

static void test_pae(void **state)
{
    gpa_t g;
    u32 ec;

    setup();
    for (unsigned i = 0; i < 4; i++)
        zero(0x100000 + i * 0x1000);
    *pte(0x100000, 4 + 1) = 0x101000 | P;       /* table of four at 0x100020 */
    *pte(0x101000, 3) = 0x102000 | P | W | U;
    *pte(0x101000, 4) = 0x400000 | P | W | PS;
    *pte(0x102000, 7) = 0x5000 | P | U;
    st->cr0 = CR0_PE | CR0_PG;
    st->cr3 = 0x100020;
    st->cr4 = CR4_PAE;
    st->efer = 0;
    assert_int_equal(guest_walk(v, 0x40607008, 0, &g, &ec), 0);
    assert_int_equal(g, 0x5008);
    assert_int_equal(*pte(0x100000, 5), 0x101000 | P);      /* no accessed bit up here */
    assert_int_equal(*pte(0x102000, 7), 0x5000 | P | U | A);
    assert_int_equal(guest_walk(v, 0x40812345, GW_WRITE, &g, &ec), 0);
    assert_int_equal(g, 0x412345);
    assert_int_equal(*pte(0x101000, 4), 0x400000 | P | W | PS | A | D);
    assert_int_equal(guest_walk(v, 0x40812345, GW_USER, &g, &ec), -EFAULT);
    assert_int_equal(guest_walk(v, 0x00001000, 0, &g, &ec), -EFAULT);
}

static void test_32(void **state)
{
    gpa_t g;
    u32 ec, *t;

    setup();
    zero(0x100000);
    zero(0x101000);
    t = (u32 *)pte(0x100000, 0);
    t[1] = 0x101000 | 7;
    t[2] = 0x800000 | 7 | 0x80;
    ((u32 *)pte(0x101000, 0))[3] = 0x5000 | 7;
    st->cr0 = CR0_PE | CR0_PG;
    st->cr3 = 0x100000;
    st->cr4 = CR4_PSE;
    st->efer = 0;
    assert_int_equal(guest_walk(v, 0x403abc, GW_WRITE | GW_USER, &g, &ec), 0);
    assert_int_equal(g, 0x5abc);
    assert_int_equal(((u32 *)pte(0x101000, 0))[3], 0x5000 | 7 | 0x60);
    assert_int_equal(((u32 *)pte(0x101000, 0))[4], 0);
    assert_int_equal(guest_walk(v, 0xabc123, 0, &g, &ec), 0);
    assert_int_equal(g, 0xabc123);
    st->cr4 = 0;                                /* without PSE that is a table of its own */
    assert_int_equal(guest_walk(v, 0xabc123, 0, &g, &ec), -EFAULT);
    assert_int_equal(guest_walk(v, 0x1000000, 0, &g, &ec), -EFAULT);
    st->cr4 = CR4_PSE;
    t[3] = 0xc00000 | 7 | 0x80 | 1 << 13;       /* PSE-36: 4 GiB further up */
    assert_int_equal(guest_walk(v, 0xd00010, 0, &g, &ec), 0);
    assert_int_equal(g, GiB(4) + 0xd00010);
    assert_int_equal(guest_walk(v, 0x100d00010, 0, &g, &ec), 0);        /* upper half ignored */
}

static void test_pin(void **state)
{
    struct guest_page p;

    setup();
    assert_int_equal(guest_page_pin(d, GFN(7), &p), 0);
    assert_ptr_equal(p.va, fake_guest_ptr(d, 0x7000));
    assert_int_equal(mm_audit(), 1);
    assert_int_equal(p2m_remove_ram(d, GFN(7)), 0);
    memset(p.va, 1, 4096);                      /* still ours to write */
    assert_int_equal(dom_ram_zombies(d), 1);
    guest_page_unpin(&p);
    assert_int_equal(dom_ram_zombies(d), 0);
    guest_page_unpin(&p);
    assert_int_equal(guest_page_pin(d, GFN(7), &p), -EINVAL);
    assert_int_equal(guest_page_pin(d, GFN(~0ULL), &p), -EINVAL);
    assert_false(mfn_valid(p.mfn));
    assert_int_equal(p2m_set_ram_type(d, GFN(8), P2M_RAM_RO), 0);
    assert_int_equal(guest_page_pin(d, GFN(8), &p), -EINVAL);
    fake_fail_at(1);
    assert_int_equal(guest_page_pin(d, GFN(2000), &p), -ENOMEM);
    fake_fail_at(0);
    assert_int_equal(mm_audit(), 0);
}

/* Random tables: the walker neither reads outside RAM nor loses a reader section. */
static void test_random_tables(void **state)
{
    gpa_t g;
    u32 ec;
    u64 x;

    setup();
    srand(3);
    for (unsigned round = 0; round < 3000; round++) {
        for (unsigned i = 0; i < 8; i++)
            *pte(0x100000 + (u64)(rand() % 4) * 4096, (unsigned)rand() % 512) =
                ((u64)(rand() % 6000) << 12) | (u64)(rand() % 512) | (rand() % 16 ? 0 : NX) |
                    0x100000 * (rand() % 2u);
        st->cr0 = CR0_PE | (rand() % 8 ? CR0_PG : 0) | (rand() % 2 ? CR0_WP : 0);
        st->cr4 = (u64)(rand() % 2 ? CR4_PAE : 0) | (rand() % 2 ? CR4_PSE : 0) | (rand() % 4 ? 0 : CR4_SMAP);
        st->efer = rand() % 2 && (st->cr4 & CR4_PAE) ? EFER_LMA | EFER_NX : 0;
        st->cr3 = 0x100000 + (u64)(rand() % 5) * 4096;
        u64 va = (u64)rand() << 12 | (unsigned)rand();
        (void)!guest_walk(v, va, (unsigned)rand() % 8, &g, &ec);
        (void)!guest_read(v, &x, va, 8);
    }
    assert_int_equal(p2m_remove_ram(d, GFN(9)), 0);
    assert_int_equal(mm_audit(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_paging), cmocka_unit_test(test_read_only_tables),
        cmocka_unit_test(test_changing_entry), cmocka_unit_test(test_64),
        cmocka_unit_test(test_smap),
        cmocka_unit_test(test_pae), cmocka_unit_test(test_32), cmocka_unit_test(test_pin),
        cmocka_unit_test(test_random_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
