/* SPDX-License-Identifier: MIT */
/*
 * FIFO event queue (src/evtchn/evtchn_fifo.c), one queue, step by step as the code touches the guest's words.
 * Without HOSTILE the guest consumes as the ABI says: no event is lost, whatever the interleaving. With HOSTILE it
 * writes anything anywhere: every operation of the hypervisor ends, and what it remembers stays a port number.
 */
#define N 3                     /* ports 1..N-1 */
#ifdef HOSTILE                 /* any tail may be remembered from earlier */
#define RAISES 1
#else
#define RAISES 3
#endif
#define TRIES 1                 /* LINK_TRIES, and as many with BUSY */

bool pending[N], masked[N], linked[N], busy[N];
byte link[N];
byte head;                      /* control block */
bool ready, upcall;
byte tail;                      /* the hypervisor's own */
bool hv_done;

/* append(): the caller has found PENDING set, and neither MASKED nor LINKED */
inline append(p)
{
    old = linked[p]; linked[p] = true;              /* atomic_or */
    if
    :: old -> skip
    :: else ->
#ifndef WEAK_TAIL              /* forgotten, an event links to itself: must be found */
        if :: tail == p -> tail = 0 :: else -> skip fi;
#endif
        done = false; i = 0;
        do                                          /* set_link() */
#ifdef WEAK_BOUND              /* no bound: must be found */
        :: tail == 0 -> break
#else
        :: tail == 0 || i == 2 * TRIES -> break
#endif
        :: else ->
            if :: i == TRIES -> busy[tail] = true :: else -> skip fi;
            if
            :: atomic { !linked[tail] -> wl = 255 }
            :: atomic { linked[tail] -> wl = link[tail] }
            fi;
            if
            :: wl == 255 -> break
            :: else ->
                if                                  /* compare and swap */
                :: atomic { linked[tail] && link[tail] == wl -> link[tail] = p; busy[tail] = false; done = true }; break
                :: atomic { !(linked[tail] && link[tail] == wl) -> assert(i < 2 * TRIES); i++ }
                fi
            fi
        od;
        if
        :: !done -> if :: tail -> busy[tail] = false :: else -> skip fi; head = p
        :: else -> skip
        fi;
        tail = p;
        if
        :: done -> skip
#ifdef WEAK_READY              /* upcall before the bit: must be found */
        :: else -> upcall = true; ready = true
#else
        :: else -> atomic { old = ready; ready = true }; if :: !old -> upcall = true :: else -> skip fi
#endif
        fi
    fi
}

proctype hypervisor()
{
    byte n = 0, p = 0, i = 0, wl = 0;
    bool old = false, done = false, go = false;

    do
    :: n == RAISES -> break
    :: else ->
        n++;
        select (p : 1 .. N - 1);
        if
        :: atomic { go = !masked[p] && !linked[p]; pending[p] = true }         /* raise */
        :: atomic { masked[p] = false; go = pending[p] && !linked[p] }          /* unmask */
        fi;
        if :: go -> append(p) :: else -> skip fi;
        assert(tail < N && i <= 2 * TRIES)
    od;
    /* what is masked still is unmasked in the end, as a guest does */
    for (p : 1 .. N - 1) {
        atomic { masked[p] = false; go = pending[p] && !linked[p] };
        if :: go -> append(p) :: else -> skip fi
    }
    hv_done = true
}

#ifdef HOSTILE
active proctype guest()
{
    byte p = 0;

end:do
    :: hv_done -> break
    :: else ->
        select (p : 1 .. N - 1);
        if
        :: pending[p] = !pending[p]
        :: linked[p] = !linked[p]
        :: busy[p] = !busy[p]
        :: link[p] = 0
        :: link[p] = N - 1
        :: head = p
        :: ready = !ready
        fi
    od
}
#else
active proctype guest()
{
    byte h = 0, p = 0;
    bool r = false;

end:do
    :: atomic { upcall -> upcall = false };
        atomic { r = ready; ready = false };
        do
        :: !r -> break
        :: else ->
            if :: h == 0 -> h = head :: else -> skip fi;
            p = h;
            if
            :: p == 0 -> r = false
            :: else ->
                atomic { !busy[p] -> h = link[p]; linked[p] = false; link[p] = 0 };      /* waits for BUSY */
                if :: h == 0 -> r = false :: else -> skip fi;
                if
                :: atomic { pending[p] && !masked[p] -> pending[p] = false }
                :: atomic { pending[p] && !masked[p] -> masked[p] = true }      /* handled later */
                :: else -> skip
                fi
            fi;
            atomic { if :: ready -> r = true; ready = false :: else -> skip fi }
        od
    od
}
#endif

init {
    select_mask: if :: masked[1] = true :: skip fi;
#ifdef HOSTILE
    if :: skip :: tail = 1 :: tail = 2 fi;
#endif
    run hypervisor();
#ifndef HOSTILE
    /* everything at rest: what is pending must be masked (the guest did that after the last unmask) */
    timeout;
    assert(hv_done && !upcall && !ready);
    byte k;
    for (k : 1 .. N - 1) { assert(!pending[k] || masked[k]) }
#endif
}
