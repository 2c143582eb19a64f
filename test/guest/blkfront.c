/* SPDX-License-Identifier: MIT */
/*
 * XSA-216: do the back ends of this dom0 leak bytes of their stack in the padding of block responses? A block front end
 * that stock xl starts ("protocol=x86_32-abi" on the command line: 32-bit ring layout). It has one request in flight, so
 * that the response comes into the request's slot, and compares every byte that is not a field of the response with
 * what it wrote there itself. It also checks that data comes back as it was written, and prints the disk's checksum for
 * dom0 to compare: the test has to be one of real I/O.
 *
 * As dom0 it tests its own checks instead, against a simulated back end with one flaw at a time.
 */
#include "frontend.h"
#include <xen/io/blkif.h>
#include <xen/io/protocols.h>

const char test_name[] = "blkfront";
#define ROUNDS 1000u
#define SECTORS 2048u                   /* written and read; the same number after them is for discards */
#define PAGES BLKIF_MAX_SEGMENTS_PER_REQUEST
#define PAST_END (1UL << 40)
#define NOT_GRANTED (FIRST_REF + 100)

/* ---- ring layouts ---- */
#pragma pack(push, 4)                   /* how a 32-bit front end's compiler lays out struct blkif_request */
struct request_32 {
    uint8_t operation, nr_segments;
    blkif_vdev_t handle;
    uint64_t id;
    blkif_sector_t sector_number;
    struct blkif_request_segment seg[BLKIF_MAX_SEGMENTS_PER_REQUEST];
};
struct response_32 { uint64_t id; uint8_t operation; int16_t status; };
#pragma pack(pop)
_Static_assert(sizeof(struct request_32) == 108 && sizeof(struct response_32) == 12, "32-bit layout");
_Static_assert(offsetof(struct request_32, seg) == offsetof(struct blkif_request_discard, nr_sectors) - 4, "discard");

static const struct layout {
    const char *protocol;
    unsigned entry, response, id, sector, segs;         /* sizes; offsets in a request */
} layouts[] = {
#define LAYOUT(name, req, rsp) \
    { name, sizeof(req), sizeof(rsp), offsetof(req, id), offsetof(req, sector_number), offsetof(req, seg) }
    LAYOUT(XEN_IO_PROTO_ABI_X86_64, struct blkif_request, struct blkif_response),
    LAYOUT(XEN_IO_PROTO_ABI_X86_32, struct request_32, struct response_32),
};
#define RING_ENTRIES 32u                /* both: the largest power of two that fits a page */
static const struct layout *layout;
static union { struct blkif_sring s; u8 page[4096]; } ring __attribute__((aligned(4096)));
_Static_assert(offsetof(struct blkif_sring, ring) == 64 && 64 + RING_ENTRIES * 112 <= 4096, "ring");
static u8 *slot(u32 index) { return ring.page + 64 + index % RING_ENTRIES * layout->entry; }

/* ---- what is asked for ---- */
enum outcome { FINE, REFUSED, ANY };
enum { NO_SEGMENTS = 1, UNGRANTED = 2, OUTSIDE = 4, DISCARD = 8 };
static struct kind {
    const char *name;
    u8 operation, weight, flags, outcome;
    const char *feature;                /* FINE only if the back end announces it */
    bool announced;
    unsigned sent, fine;
} kinds[] = {
#define KIND(n, op, w, f, o, feat) { .name = n, .operation = op, .weight = w, .flags = f, .outcome = o, .feature = feat }
    KIND("writes", BLKIF_OP_WRITE, 8, 0, FINE, NULL),
    KIND("reads", BLKIF_OP_READ, 8, 0, FINE, NULL),
    KIND("flushes", BLKIF_OP_FLUSH_DISKCACHE, 2, NO_SEGMENTS, FINE, "feature-flush-cache"),
    KIND("discards", BLKIF_OP_DISCARD, 1, DISCARD, FINE, "feature-discard"),
    KIND("unknown operations", 0x7e, 1, NO_SEGMENTS, REFUSED, NULL),
    KIND("reads past the end", BLKIF_OP_READ, 1, OUTSIDE, REFUSED, NULL),
    KIND("reads without grant", BLKIF_OP_READ, 1, UNGRANTED, REFUSED, NULL),
    KIND("reads of nothing", BLKIF_OP_READ, 1, NO_SEGMENTS, ANY, NULL),
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static struct {
    struct kind *kind;
    u64 id, sector;
    unsigned nr_segs, sectors;
    struct { u8 first, last; } seg[PAGES];
    u8 slot[128];                       /* as it was written */
} asked;

/* What was found. */
static struct { unsigned leaks, beyond, data, status, id, grants; } found;
static bool quiet;
#define FOUND(counter, ...) do { if (found.counter++ < 5 && !quiet) print("   " __VA_ARGS__); } while (0)

static u64 random_state;
static u64 rnd(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    return random_state ^= random_state << 17;
}

/* ---- the disk as it must be ---- */
static u8 pages[PAGES][4096] __attribute__((aligned(4096)));
static u32 generation[SECTORS];         /* of each sector's content; 0: never written */
#define POISON 0xee
static u64 content(u64 sector, unsigned word) { return (u64)generation[sector] << 32 | sector << 8 | word; }

/* Call fn for each sector of the request: its place in the pages. Returns how often fn was false. */
static unsigned each_sector(bool (*fn)(u64 sector, u64 *words))
{
    unsigned wrong = 0;
    u64 sector = asked.sector;
    for (unsigned s = 0; s < asked.nr_segs; s++)
        for (unsigned i = asked.seg[s].first; i <= asked.seg[s].last; i++)
            wrong += !fn(sector++, (u64 *)(pages[s] + 512 * i));
    return wrong;
}

static bool put(u64 sector, u64 *words)
{
    generation[sector]++;
    for (unsigned w = 0; w < 64; w++) words[w] = content(sector, w);
    return true;
}

/* Right, and not to be found again by poisoned(). */
static bool is_right(u64 sector, u64 *words)
{
    bool right = true;
    for (unsigned w = 0; w < 64; w++) right &= words[w] == content(sector, w);
    memset(words, POISON, 512);
    return right;
}

static bool poisoned(void)
{
    for (unsigned i = 0; i < sizeof(pages); i++)
        if (((u8 *)pages)[i] != POISON) return false;
    return true;
}

/* ---- one request ---- */
static void choose(unsigned n)
{
    unsigned total = 0, filled = 0;
    for (unsigned i = 0; i < KINDS; i++) total += kinds[i].weight;
    unsigned r = (unsigned)(rnd() % total);
    struct kind *k = kinds;
    while (r >= k->weight) r -= k++->weight;
    while (filled < SECTORS && generation[filled]) filled++;
    if (filled < SECTORS) k = kinds;                    /* write all sectors first */
    asked.kind = k;
    /* Bytes 0xa0 to 0xaf, so that older ones can be told from what is not ours. */
    asked.id = 0xa5a5a5a5a5a5a5a5UL ^ (n * 0x9e3779b97f4a7c15UL & 0x0f0f0f0f0f0f0f0fUL);
    asked.nr_segs = k->flags & (NO_SEGMENTS | DISCARD) ? 0 : 1 + (unsigned)(rnd() % PAGES);
    asked.sectors = 0;
    for (unsigned s = 0; s < asked.nr_segs; s++) {
        asked.seg[s].first = (u8)(rnd() & 7);
        asked.seg[s].last = (u8)(asked.seg[s].first + rnd() % (8 - asked.seg[s].first));
        asked.sectors += asked.seg[s].last - asked.seg[s].first + 1u;
    }
    asked.sector = k->flags & DISCARD ? SECTORS + rnd() % (SECTORS - 8) : k->flags & OUTSIDE ? PAST_END :
                   filled < SECTORS ? (filled + asked.sectors <= SECTORS ? filled : SECTORS - asked.sectors) :
                   rnd() % (SECTORS - asked.sectors);
}

/* Into the slot: nothing in it stays as it was. */
static void compose(u8 *p, unsigned n)
{
    const struct kind *k = asked.kind;
    memset(p, 0x50 | (n & 15), layout->entry);
    p[offsetof(struct blkif_request, operation)] = k->operation;
    p[offsetof(struct blkif_request, nr_segments)] = (u8)asked.nr_segs;         /* discard: flags */
    memcpy(p + layout->id, &asked.id, 8);
    memcpy(p + layout->sector, &asked.sector, 8);
    if (k->flags & DISCARD) memcpy(p + layout->segs, &(u64){ 8 }, 8);
    memset(pages, POISON, sizeof(pages));
    if (k->operation == BLKIF_OP_WRITE) each_sector(put);
    for (u32 s = 0; s < asked.nr_segs; s++) {
        struct blkif_request_segment g = { .gref = k->flags & UNGRANTED ? NOT_GRANTED : FIRST_REF + s,
                                           .first_sect = asked.seg[s].first, .last_sect = asked.seg[s].last };
        memcpy(p + layout->segs + s * sizeof(g), &g, sizeof(g));
        grant(FIRST_REF + s, 0, pages[s], k->operation == BLKIF_OP_WRITE);
    }
    memcpy(asked.slot, p, layout->entry);
}

static void check_padding(const u8 *p, unsigned n)
{
    for (unsigned b = 0; b < layout->entry; b++) {
        bool field = b < 9 || (b >= 10 && b < 12), padding = b < layout->response;
        if (field || p[b] == asked.slot[b] || (padding && !p[b])) continue;
        const char *of = (p[b] & 0xf0) == 0xa0 ? ", of an older request" : "", *name = asked.kind->name;
        if (padding) FOUND(leaks, "request %u (%s): byte %u of the response is %02x%s\n", n, name, b, p[b], of);
        else FOUND(beyond, "request %u (%s): byte %u, after the response, is %02x%s\n", n, name, b, p[b], of);
    }
}

static void check_data(unsigned n, bool fine)
{
    bool read = asked.kind->operation == BLKIF_OP_READ;
    if (read && fine && asked.kind->outcome == FINE && each_sector(is_right)) FOUND(data, "request %u: wrong data\n", n);
    if (read && !poisoned()) FOUND(data, "request %u: written outside the request\n", n);
    for (u32 s = 0; s < asked.nr_segs; s++)
        if (!grant_end(FIRST_REF + s)) FOUND(grants, "request %u: page %u is still in use\n", n, s);
}

static void check_response(const u8 *p, unsigned n)
{
    struct kind *k = asked.kind;
    u64 id;
    int16_t status;
    memcpy(&id, p, 8);
    memcpy(&status, p + offsetof(struct blkif_response, status), 2);
    bool fine = status == BLKIF_RSP_OKAY;
    k->sent++;
    k->fine += fine;
    if (id != asked.id || p[offsetof(struct blkif_response, operation)] != k->operation)
        FOUND(id, "request %u (%s): answered as %lx, operation %x\n", n, k->name, id, p[8]);
    if (k->outcome == REFUSED ? fine : k->outcome == FINE && (!k->feature || k->announced) && !fine)
        FOUND(status, "request %u (%s): status %d\n", n, k->name, status);
    check_padding(p, n);
    check_data(n, fine);
}

/* Make the back end look at the ring; false: no response came. */
static bool (*exchange)(void);

static bool run(const struct layout *l)
{
    layout = l;
    random_state = 0x243f6a8885a308d3UL;
    memset(&found, 0, sizeof(found));
    memset(generation, 0, sizeof(generation));
    for (unsigned i = 0; i < KINDS; i++) kinds[i].sent = kinds[i].fine = 0;
    for (unsigned n = 0; n < ROUNDS; n++) {
        u8 *p = slot(n);
        choose(n);
        compose(p, n);
        barrier();
        ring.s.req_prod = n + 1;
        ring.s.rsp_event = n + 1;
        if (!exchange()) return false;
        barrier();
        check_response(p, n);
    }
    return true;
}

static void ring_init(void)
{
    memset(&ring, 0, sizeof(ring));
    ring.s.req_event = ring.s.rsp_event = 1;
}

/* ---- simulated back ends ---- */
enum mode { ZEROES, GARBAGE, ONE_BIT, WRONG_SECTOR, LOST_WRITE, ALWAYS_FINE, MORE_THAN_ASKED, KEPT_GRANT };
static const struct flaw {
    const char *name;
    u8 byte, bytes, mode;               /* of the slot, overwritten with ... */
    u16 every;                          /* one request of so many */
    const unsigned *counter;            /* what must find it; NULL: nothing, it is harmless */
} flaws[] = {
    { "none", 0, 0, ZEROES, 1, NULL },
    { "padding cleared", 9, 1, ZEROES, 1, NULL },
    { "garbage in byte 9", 9, 1, GARBAGE, 1, &found.leaks },
    { "one bit in byte 9, seldom", 9, 1, ONE_BIT, 700, &found.leaks },
    { "bytes after the response", 16, 1, GARBAGE, 1, &found.beyond },
    { "cleared after the response", 16, 4, ZEROES, 1, &found.beyond },
    { "last byte of the slot", 107, 1, ONE_BIT, 900, &found.beyond },
    { "another id", 3, 1, GARBAGE, 100, &found.id },
    { "another operation", 8, 1, GARBAGE, 100, &found.id },
    { "another sector read", 0, 0, WRONG_SECTOR, 50, &found.data },
    { "a write lost", 0, 0, LOST_WRITE, 50, &found.data },
    { "more read than asked", 0, 0, MORE_THAN_ASKED, 50, &found.data },
    { "everything is fine", 0, 0, ALWAYS_FINE, 1, &found.status },
    { "grants kept", 0, 0, KEPT_GRANT, 50, &found.grants },
}, flaws_64[] = {
    { "padding cleared", 12, 4, ZEROES, 1, NULL },
    { "garbage in bytes 12-15", 12, 4, GARBAGE, 1, &found.leaks },
    { "one bit in byte 15, seldom", 15, 1, ONE_BIT, 700, &found.leaks },
};
static const struct flaw *flaw;
static u8 disk[SECTORS * 512];

static void simulated_copy(const struct grant_entry_v1 *e, unsigned sect, u64 sector, unsigned mode)
{
    u8 *at = (u8 *)((u64)e->frame << 12) + 512 * sect, *on_disk = disk + 512 * sector;
    if (asked.kind->operation == BLKIF_OP_READ) memcpy(at, mode == WRONG_SECTOR ? on_disk + 512 : on_disk, 512);
    else if (mode != LOST_WRITE) memcpy(on_disk, at, 512);
}

static bool simulated_io(const u8 *p, unsigned mode)
{
    u64 sector = asked.sector;
    if (asked.kind->outcome == REFUSED && !asked.nr_segs) return false;
    for (unsigned s = 0; s < asked.nr_segs; s++) {
        struct blkif_request_segment g;
        memcpy(&g, p + layout->segs + s * sizeof(g), sizeof(g));
        struct grant_entry_v1 *e = &grant_entries[g.gref];
        if (!(e->flags & GTF_permit_access) || sector >= SECTORS) return false;
        for (unsigned i = g.first_sect; i <= g.last_sect; i++) simulated_copy(e, i, sector++, mode);
        if (mode == MORE_THAN_ASKED && g.first_sect) memset((void *)((u64)e->frame << 12), 0, 1);
        if (mode == KEPT_GRANT) e->flags |= GTF_reading;
    }
    return true;
}

static bool simulated_exchange(void)
{
    u32 n = ring.s.rsp_prod;
    const struct flaw *f = n % flaw->every == flaw->every - 1u ? flaw : &flaws[0];
    u8 *p = slot(n), operation = p[0];
    u64 id;
    int16_t status = simulated_io(p, f->mode) || f->mode == ALWAYS_FINE ? BLKIF_RSP_OKAY : BLKIF_RSP_ERROR;
    memcpy(&id, p + layout->id, 8);
    memcpy(p, &id, 8);
    p[8] = operation;
    memcpy(p + 10, &status, 2);
    for (u8 *b = p + f->byte; b < p + f->byte + f->bytes; b++)
        *b = f->mode == GARBAGE ? 0x3c : f->mode == ONE_BIT ? *b ^ 4 : 0;
    ring.s.rsp_prod = n + 1;
    return true;
}

/* Each flaw is found by its counter, and by no other; without one nothing is found. */
static void simulate(const struct layout *l, const struct flaw *f, unsigned n)
{
    static struct grant_entry_v1 entries[512];
    grant_entries = entries;
    exchange = simulated_exchange;
    quiet = true;
    for (const struct flaw *end = f + n; f < end; f++) {
        flaw = f;
        ring_init();
        need(run(l));
        unsigned all = found.leaks + found.beyond + found.data + found.status + found.id + found.grants;
        if (f->counter ? *f->counter && all == *f->counter : !all) continue;
        blame();
        print("%s, flaw \"%s\": %u leaks, %u beyond, %u data, %u status, %u id, %u grants\n", l->protocol, f->name,
              found.leaks, found.beyond, found.data, found.status, found.id, found.grants);
    }
}

#define SIMULATE(l, table) simulate(l, table, sizeof(table) / sizeof((table)[0]))
static void flaws_are_found(void) { SIMULATE(&layouts[0], flaws); }
static void flaws_of_64_bit_padding_are_found(void) { SIMULATE(&layouts[0], flaws_64); }
static void flaws_are_found_in_the_32_bit_layout(void) { SIMULATE(&layouts[1], flaws); }

/* ---- the real one ---- */
static char front[64], back[128];       /* directories of the device in xenstore */
static evtchn_port_t port;

static bool real_exchange(void)
{
    volatile u32 *prod = &ring.s.rsp_prod;
    u64 end = now_ns() + 60000000000UL;
    for (notify(port); event_clear(port), *prod != ring.s.req_prod; event_wait(port, 1000))
        if (now_ns() > end) return false;
    return true;
}

/* "protocol=NAME" on the command line; the native layout without it. */
static const struct layout *wanted_layout(void)
{
    const char *p = start_info->cmdline_paddr ? (const char *)start_info->cmdline_paddr : "";
    for (; *p; p++)
        for (unsigned i = 0; i < 2 && !memcmp(p, "protocol=", 9); i++)
            if (!memcmp(p + 9, layouts[i].protocol, strlen(layouts[i].protocol))) return &layouts[i];
    return &layouts[0];
}

static bool connected;
static void connects(void)
{
    char device[32];
    layout = wanted_layout();
    need(store_call(XS_DIRECTORY, "device/vbd", NULL, device, sizeof(device)));         /* the first name */
    memcpy(front, path_of("device/vbd", device), sizeof(front));
    need(store_read(front, "backend", back, sizeof(back)));
    need(store_wait_state(back, XenbusStateInitWait, 60));
    domid_t id = (domid_t)store_number(front, "backend-id");
    need(port = event_alloc(id));
    ring_init();
    grant(FIRST_REF + PAGES, id, &ring, false);
    need(store_write_number(front, "ring-ref", FIRST_REF + PAGES));
    need(store_write_number(front, "event-channel", port));
    need(store_write(front, "protocol", layout->protocol));
    need(store_write_number(front, "state", XenbusStateInitialised));
    need(store_wait_state(back, XenbusStateConnected, 60));
    need_eq(store_number(back, "sector-size"), 512);
    need(store_number(back, "sectors") >= 2 * SECTORS);
    need(store_write_number(front, "state", XenbusStateConnected));
    for (unsigned i = 0; i < KINDS; i++) kinds[i].announced = kinds[i].feature && store_number(back, kinds[i].feature);
    connected = true;
}

static bool complete;
static void answers(void)
{
    need(connected);
    exchange = real_exchange;
    print("%s, requests:\n", layout->protocol);
    need(complete = run(layout));
    for (unsigned i = 0; i < KINDS; i++)
        print("   %s: %u, %u fine%s\n", kinds[i].name, kinds[i].sent, kinds[i].fine,
              !kinds[i].feature ? "" : kinds[i].announced ? " (announced)" : " (not announced)");
    check_eq(found.status, 0);
    check_eq(found.id, 0);
    check_eq(found.grants, 0);
    for (unsigned i = 0; i < KINDS; i++) check(kinds[i].sent > 10);
}

static void no_stack_bytes(void)
{
    need(complete);
    check_eq(found.leaks, 0);
    check_eq(found.beyond, 0);
}

/* POSIX cksum of what the disk must hold: CRC of the bytes and then of their number, least significant byte first. */
static u32 crc_byte(u32 crc, u8 b)
{
    crc ^= (u32)b << 24;
    for (unsigned i = 0; i < 8; i++) crc = crc << 1 ^ (crc >> 31 ? 0x04c11db7 : 0);
    return crc;
}

static u32 disk_cksum(void)
{
    u32 crc = 0;
    for (u64 s = 0; s < SECTORS; s++)
        for (unsigned w = 0; w < 64; w++)
            for (u64 i = 0, c = content(s, w); i < 8; i++, c >>= 8) crc = crc_byte(crc, (u8)c);
    for (u32 n = SECTORS * 512; n; n >>= 8) crc = crc_byte(crc, (u8)n);
    return ~crc;
}

static void data_is_right(void)
{
    need(complete);
    check_eq(found.data, 0);
    print("disk: cksum %u of %u bytes\n", disk_cksum(), SECTORS * 512);
}

static void lets_go(void)
{
    need(connected);
    need(store_write_number(front, "state", XenbusStateClosing));
    need(store_wait_state(back, XenbusStateClosing, 60));
    need(store_write_number(front, "state", XenbusStateClosed));
    for (u64 end = now_ns() + 60000000000UL; !grant_end(FIRST_REF + PAGES) && now_ns() < end;) sleep_ms(20);
    check(grant_end(FIRST_REF + PAGES));
}

void test_main(void)
{
    static const struct test tests[] = {
        TEST(flaws_are_found),
        TEST(flaws_of_64_bit_padding_are_found),
        TEST(flaws_are_found_in_the_32_bit_layout),
    };
    /* Those that test/system/test_blkfront.py looks for; TEST rows are what every kernel tells as dom0. */
    static const struct test as_guest[] = {
        { "connects", connects }, { "answers", answers }, { "no_stack_bytes", no_stack_bytes },
        { "data_is_right", data_is_right }, { "lets_go", lets_go },
    };
    if (is_dom0()) RUN_TESTS(tests);
    else if (frontend_init()) RUN_TESTS(as_guest);
    else expect(!"console, xenstore and grant table");
}
