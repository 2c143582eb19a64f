#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Static checks, one TAP row each.

    tools/lint.py           quick (make test): clang's warnings on the hypervisor's and the loader's sources, cppcheck, must-check,
                            types of what others change meanwhile
    tools/lint.py --all     also gcc -fanalyzer and clang-tidy (make lint)

sparse is not among them. Tried with all its warnings on src and loader (version 0.6.4) it found nothing that the others do
not: a 0 for a null pointer, and what it takes for flaws (constants that are narrowed on purpose, differences of pointers, a
missing __VERSION__). What it is good at, pointers to guests and balanced locks, is done by incomplete types (live_types()
below) and by the ranks that every build checks.

A finding is repaired, or has a line in tools/lint-allow.txt: <tool> <path> <text of the finding>, with the reason above it."""
import argparse
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
ALLOW = TOP / "tools/lint-allow.txt"
DIRS = "lib sync cpu mm irq time acpi pci iommu dom sched evtchn gnttab call hvm hvm/svm debug boot".split()
SOURCES = sorted(str(p.relative_to(TOP)) for d in DIRS for p in (TOP / "src" / d).glob("*.c"))
LOADER_SOURCES = sorted(str(p.relative_to(TOP)) for p in (TOP / "loader").glob("*.c"))
LOADER = ["-std=gnu11", "-Isrc", "-Iloader", "-ffreestanding", "-fno-builtin"]
BARE = ["-std=gnu11", "-Isrc", "-ffreestanding", "-fno-strict-aliasing", "-mgeneral-regs-only", "-DRETPOLINE"]
WARN = ["-Wall", "-Wextra", "-Werror", "-Wstrict-prototypes", "-Wmissing-prototypes", "-Wundef", "-Wvla", "-Wno-unused-parameter",
        "-Wno-missing-field-initializers",      # rows leave out trailing zeros
        "-Wno-unknown-pragmas", "-Wno-unknown-warning-option"]      # pragmas for gcc
TIDY = ",".join(["-*", "bugprone-sizeof-expression", "bugprone-suspicious-memset-usage", "bugprone-suspicious-semicolon",
                 "bugprone-macro-parentheses", "bugprone-infinite-loop", "bugprone-not-null-terminated-result",
                 "bugprone-misplaced-widening-cast", "bugprone-suspicious-string-compare", "bugprone-undefined-memory-manipulation",
                 "bugprone-branch-clone", "clang-analyzer-core.*", "clang-analyzer-deadcode.*", "clang-analyzer-security.*",
                 "-clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling"])
# `if (memcmp(...))` is this project's way to write it; a comparison with anything but 0 is still found.
TIDY_OPTIONS = "{CheckOptions: [{key: bugprone-suspicious-string-compare.WarnOnImplicitComparison, value: false}]}"


def each(command, sources):
    """Output lines of command(source) for all sources."""
    def one(s):
        r = subprocess.run(command(s), cwd=TOP, capture_output=True, text=True, errors="replace")
        lines = [x.removeprefix(f"{TOP}/") for x in (r.stdout + r.stderr).splitlines() if re.match(r"^[^ ].*: (warning|error)", x)]
        return lines or ([f"{s}: error: ended with {r.returncode}: {r.stderr[-300:]}"] if r.returncode else [])
    with ThreadPoolExecutor(2) as pool:
        return [line for lines in pool.map(one, sources) for line in lines]


def clang():
    return each(lambda s: ["clang", *BARE, *WARN, "-O2", "-fsyntax-only", s], SOURCES)


def clang_loader():
    return each(lambda s: ["clang", *LOADER, *WARN, "-fsyntax-only", s], LOADER_SOURCES)


def cppcheck():
    r = subprocess.run(["cppcheck", "-q", "-j2", "--std=c11", "--enable=warning,portability", "--inline-suppr", "--max-configs=1",
                        "--template={file}:{line}: warning: {message} [{id}]", "-Isrc", "-DRETPOLINE", "-D__x86_64__=1",
                        # Symbols of the linker script, registers as an array, sentences that it cannot parse: not flaws.
                        "--suppress=comparePointers", "--suppress=objectIndex", "--suppress=internalAstError",
                        "--suppress=missingInclude", "--suppress=unknownMacro", "--suppress=*:/usr/*", "-Iloader", "src", "loader"],
                       cwd=TOP, capture_output=True, text=True, errors="replace")
    return [x for x in r.stderr.splitlines() if ": warning: " in x]


def must_check():
    """Functions that say in a header that they can fail (0 or -E...) carry __must_check; and no result is cast away in
    silence: `(void)` before a must-check call does not compile, so only new headers have to be looked at."""
    found, names = [], 0
    for h in sorted((TOP / "src").rglob("*.h")):
        text = h.read_text()
        for m in re.finditer(r"(/\*(?:[^*]|\*(?!/))*\*/)\n(int \w+\([^;{]*\)[^;{]*);", text):
            comment, proto = m[1], m[2]
            names += 1
            if re.search(r"-E[A-Z]{3,}", comment) and "__must_check" not in proto and "*" not in proto.split("(")[0]:
                line = text[:m.start(2)].count("\n") + 1
                found.append(f"{h.relative_to(TOP)}:{line}: warning: can fail but is not __must_check: {proto.split('(')[0]}")
    return found if names > 50 else [f"src:0: error: only {names} documented functions found"]


# Entries of live tables, entries shared with guests and guests' memory have types that only their functions can look into
# (invariants I-13 and I-14): the first of these compiles, the others do not.
LIVE = """#include "evtchn/evtchn_priv.h"
#include "gnttab/gnttab_priv.h"
#include "iommu/amd.h"
#include "mm/guest.h"
#include "mm/p2m_internal.h"
"""
LIVE_GOOD = """u64 f(struct p2m *p, struct iommu_domain *t, struct gnttab *g, struct p2m_view *w)
{ live_write(&p->root[3], live_read(&t->root[3])); return grant_use(&g->frame[0][1]) + guest_mem_u64(p2m_view(w, 8, false)); }
u8 h(struct vcpu *v) { return guest_mem_u8(guest_field(v->info, struct vcpu_info, evtchn_upcall_pending)); }
u64 i(struct guest_area *a, struct domain *d) { return guest_mem_u64(guest_area_word(a, 1)) + guest_bit(evtchn_2l_mask(d), 5); }
"""
LIVE_BAD = [
    "u64 f(struct p2m *p) { return p->root[3]; }",
    "void f(struct p2m *p) { p->root[3] = 0; }",
    "void f(struct p2m *p) { p->root[3] = p->root[4]; }",
    "void f(struct p2m *p) { p->root[3].by_functions_only = 0; }",
    "u64 *f(struct p2m *p) { unsigned l; return p2m_find(p, 0, &l); }",
    "void f(struct p2m *p, u64 e) { *pte_down(e) = 1; }",
    "u64 f(struct iommu_domain *t) { return *t->root; }",
    "void f(struct iommu_domain *t) { *t->root = (struct live_entry){ 0 }; }",
    "void f(struct amd_iommu *u) { u->events[0] = 0; }",
    "u32 f(struct gnttab *g) { return g->frame[0][1].flags; }",
    "void f(struct gnttab *g) { g->frame[0][1] = g->frame[0][2]; }",
    "struct grant_entry_v1 *f(struct gnttab *g) { return g->frame[0]; }",
    "u64 f(struct p2m_view *w) { return *p2m_view(w, 0, false); }",
    "u64 *f(struct p2m_view *w) { return p2m_view(w, 0, false); }",
    "u8 f(struct vcpu *v) { return v->info->evtchn_upcall_pending; }",
    "void f(struct vcpu *v, struct vcpu_info *vi) { *v->info = *vi; }",
    "struct vcpu_info *f(struct vcpu *v) { return v->info; }",
    "u32 f(struct domain *d) { return d->shared_info->wc_version; }",
    "struct shared_info *f(struct domain *d) { return d->shared_info; }",
    "u64 f(struct domain *d) { return evtchn_2l_pending(d)[3]; }",
    "bool f(struct domain *d) { return atomic_bit_set(evtchn_2l_pending(d), 3); }",
    "u32 f(struct evtchn_vcpu *ev) { return ev->cb->ready; }",
    "struct evtchn_fifo_control_block *f(struct evtchn_vcpu *ev) { return ev->cb; }",
    "u32 *f(struct evtchn_fifo *t) { return t->page[0].va; }",
    "u64 f(struct guest_area *a) { return *guest_area_word(a, 1); }",
    "u64 f(struct guest_area *a) { return read_once(guest_area_word(a, 1)); }",
]


def live_types():
    def compiles(text):
        cmd = ["gcc", *BARE, *WARN, "-Wno-missing-prototypes", "-fsyntax-only", "-x", "c", "-"]
        return subprocess.run(cmd, cwd=TOP, input=LIVE + text, capture_output=True, text=True).returncode == 0
    found = [] if compiles(LIVE_GOOD) else ["tools/lint.py: error: what is right does not compile: " + LIVE_GOOD]
    return found + [f"src: error: compiles, but must not: {text}" for text in LIVE_BAD if compiles(text)]


def flags(source):
    return LOADER if source in LOADER_SOURCES else BARE


def analyzer():
    return each(lambda s: ["gcc", *flags(s), "-O2", "-fanalyzer", "-Wno-analyzer-too-complex", "-c", "-o", "/dev/null", s],
                SOURCES + LOADER_SOURCES)


def tidy():
    return each(lambda s: ["clang-tidy", "--quiet", f"--checks={TIDY}", f"--config={TIDY_OPTIONS}", s, "--", *flags(s)],
                SOURCES + LOADER_SOURCES)


QUICK = [("clang", "clang", clang), ("clang-loader", "clang", clang_loader), ("cppcheck", "cppcheck", cppcheck),
         ("must-check", None, must_check), ("live-types", "gcc", live_types)]
LONG = [("gcc-analyzer", "gcc", analyzer), ("clang-tidy", "clang-tidy", tidy)]


def allowed():
    rows = [line.split(None, 2) for line in ALLOW.read_text().splitlines() if line and not line.startswith("#")]
    return {tuple(r): 0 for r in rows}


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--all", action="store_true")
    p.add_argument("-k", dest="word", default="")
    o = p.parse_args()
    failed, allow = 0, allowed()
    for n, (name, tool, fn) in enumerate(QUICK + (LONG if o.all or os.environ.get("HELIUM_LONG") else []), 1):
        if o.word not in name:
            continue
        if tool and not shutil.which(tool):
            print(f"ok {n} - {name} # SKIP {tool} is not installed", flush=True)
            continue
        open_ = []
        for line in dict.fromkeys(fn()):
            hit = [k for k in allow if k[0] == name and line.startswith(k[1] + ":") and k[2] in line]
            for k in hit:
                allow[k] += 1
            if not hit:
                open_.append(line)
        stale = [k for k, used in allow.items() if k[0] == name and not used]
        failed += bool(open_)
        print(f"{'not ok' if open_ else 'ok'} {n} - {name}", flush=True)
        for line in open_:
            print("# " + line)
        for k in stale:
            print("# not found this time; if it stays away take it off tools/lint-allow.txt: " + " ".join(k))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
