/* SPDX-License-Identifier: MIT */
/*
 * Destruction of a domain (src/dom/domain.c, src/mm/p2m.c, src/mm/page.c) while two others find it, read its memory and
 * map a page of it: nobody uses the struct or the page after it was freed, and in the end all is freed, once.
 */
byte refs = 1;                  /* of struct domain: the creation's */
byte page_refs;                 /* references of mappings */
byte readers;                   /* inside p2m_enter() */
bool listed = true, dying, dead, p2m_dead, mapped = true, given_up, page_free, freed;
byte frees;

inline put_domain()
{
    atomic {
        assert(refs > 0 && !freed);
        refs--;
        if :: refs == 0 -> freed = true; frees++ :: else -> skip fi
    }
}

/* get_domain(): under domlist_lock */
proctype other()
{
    bool found = false, got = false;

    atomic { if :: listed -> assert(!freed); refs++; found = true :: else -> skip fi };
    if
    :: found ->
        if
        :: true ->                              /* guest copy: look up and use inside a reader's section */
            readers++;
            assert(!freed);
            if :: mapped && !p2m_dead -> assert(!page_free) :: else -> skip fi;
            readers--
        :: true ->                              /* foreign mapping: p2m_get_owned() takes a reference inside one */
            readers++;
            if
            :: p2m_dead || !mapped -> skip
            :: else ->
                /* block lock: owned by it and not given up */
                atomic { if :: !given_up -> assert(!page_free); page_refs++; got = true :: else -> skip fi }
            fi;
            readers--;
            if :: got -> assert(!page_free) :: else -> skip fi
        fi;
        put_domain();
        if
        :: got ->                               /* some time later it is unmapped; the domain may be dead by then */
            assert(!page_free);
            atomic {
                page_refs--;
                if :: page_refs == 0 && given_up -> assert(!page_free); page_free = true :: else -> skip fi
            }
        :: else -> skip
        fi
    :: else -> skip
    fi
}

proctype destroyer()
{
    atomic { assert(!freed); refs++ };          /* domctl: get_domain() */
    dying = true;
    p2m_dead = true;
#ifndef WEAK_WAIT              /* without it a reader uses a freed page: must be found */
    readers == 0;                               /* p2m_wait_readers() */
#endif
    mapped = false;
    atomic { given_up = true; if :: page_refs == 0 -> page_free = true :: else -> skip fi };
    dead = true;
    put_domain()
}

proctype reaper()
{
    dead;
    given_up && page_refs == 0;                 /* looks again every so often */
    listed = false;
    put_domain()
}

init {
    atomic { run other(); run other(); run destroyer(); run reaper() };
    _nr_pr == 1;
    assert(freed && frees == 1 && page_free && refs == 0 && page_refs == 0)
}
