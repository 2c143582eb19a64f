/* SPDX-License-Identifier: MIT */
/* Wall clock: read once from the CMOS RTC (in UTC) at boot, set by dom0 later. */
#include "cpu/x86.h"
#include "lib/lib.h"
#include "sync/sync.h"
#include "time/internal.h"
#include "time/time.h"

static struct spinlock lock = SPINLOCK(RANK_TIME);
static u64 base_s;                  /* wall clock at system time 0 */
static u32 base_ns;

#define NS_PER_S 1000000000ULL
#define UIP 0x80
enum { RTC_SEC = 0, RTC_MIN = 2, RTC_HOUR = 4, RTC_DAY = 7, RTC_MONTH = 8, RTC_YEAR = 9, RTC_A = 10, RTC_B = 11,
       RTC_CENTURY = 0x32 };

struct rtc { u8 sec, min, hour, day, month, year, century; };

static u8 cmos(u8 reg)
{
    outb(0x70, reg);
    return inb(0x71);
}

static u8 bcd(u8 v) { return (u8)((v >> 4) * 10 + (v & 15)); }

static struct rtc read_all(void)
{
    return (struct rtc){ cmos(RTC_SEC), cmos(RTC_MIN), cmos(RTC_HOUR), cmos(RTC_DAY), cmos(RTC_MONTH), cmos(RTC_YEAR),
                         cmos(RTC_CENTURY) };
}

/* A consistent reading without waiting for a second's edge: two equal readings with no update around them. An
 * update takes 2 ms at most; a clock that is always updating does not exist. */
static bool read_stable(struct rtc *out)
{
    for (unsigned i = 0; i < 5000; i++) {
        if (cmos(RTC_A) & UIP)
            continue;
        struct rtc a = read_all(), b = read_all();
        if (!(cmos(RTC_A) & UIP) && !memcmp(&a, &b, sizeof(a))) {
            *out = a;
            return true;
        }
    }
    return false;
}

/* Days since 1970-01-01 of a date in the Gregorian calendar (year from March on, so that leap days come last). */
static u64 days(unsigned y, unsigned m, unsigned d)
{
    y -= m <= 2;
    unsigned shifted = (m + 9) % 12;
    return 365ULL * y + y / 4 - y / 100 + y / 400 + (153 * shifted + 2) / 5 + d - 1 - 719468;
}

void wallclock_init(void)
{
    struct rtc r;
    if (!read_stable(&r)) {
        printk(LOG_WARN, "CMOS clock does not answer: starting at 1970\n");
        return;
    }
    u8 b = cmos(RTC_B);
    bool pm = !(b & 2) && (r.hour & 0x80);
    r.hour &= 0x7f;
    if (!(b & 4)) {
        u8 *f = &r.sec;
        for (unsigned i = 0; i < sizeof(r); i++)
            f[i] = bcd(f[i]);
    }
    if (!(b & 2))
        r.hour = (u8)(r.hour % 12 + (pm ? 12 : 0));
    unsigned year = (r.century >= 19 && r.century <= 29 ? r.century * 100 : r.year < 70 ? 2000 : 1900) + r.year;
    if (r.month < 1 || r.month > 12 || r.day < 1 || r.day > 31 || r.hour > 23 || r.min > 59 || r.sec > 60) {
        printk(LOG_WARN, "CMOS clock shows nonsense: starting at 1970\n");
        return;
    }
    u64 s = ((days(year, r.month, r.day) * 24 + r.hour) * 60 + r.min) * 60 + r.sec;
    /* On average half of the second is over. */
    wallclock_set(s, NS_PER_S / 2, now_ns());
    printk(LOG_INFO, "Wall clock: %u-%02u-%02u %02u:%02u:%02u UTC\n", year, r.month, r.day, r.hour, r.min, r.sec);
}

void wallclock_get(u64 *sec, u32 *nsec)
{
    spin_lock(&lock);
    *sec = base_s;
    *nsec = base_ns;
    spin_unlock(&lock);
}

void wallclock_set(u64 secs, u32 nsecs, u64 system_ns)
{
    /* In 64 bits this wraps in the year 2554; a caller's nonsense only makes a nonsensical clock. */
    u64 total = secs * NS_PER_S + nsecs - system_ns;
    spin_lock(&lock);
    base_s = total / NS_PER_S;
    base_ns = (u32)(total % NS_PER_S);
    spin_unlock(&lock);
}

u64 wallclock_now(void)
{
    u64 s;
    u32 ns;
    wallclock_get(&s, &ns);
    return s + (ns + now_ns()) / NS_PER_S;
}
