#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Static checks, one TAP row each.

    tools/lint.py           quick (make test): clang's warnings on the hypervisor's and the loader's sources, cppcheck, must-check
    tools/lint.py --all     also gcc -fanalyzer and clang-tidy (make lint)

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
BARE = ["-std=gnu11", "-Isrc", "-ffreestanding", "-fno-strict-aliasing", "-mgeneral-regs-only", "-DRETPOLINE"]
WARN = ["-Wall", "-Wextra", "-Werror", "-Wstrict-prototypes", "-Wmissing-prototypes", "-Wundef", "-Wvla", "-Wno-unused-parameter",
        "-Wno-missing-field-initializers",      # rows leave out trailing zeros
        "-Wno-unknown-pragmas", "-Wno-unknown-warning-option"]      # pragmas for gcc
TIDY = ",".join(["-*", "bugprone-sizeof-expression", "bugprone-suspicious-memset-usage", "bugprone-suspicious-semicolon",
                 "bugprone-macro-parentheses", "bugprone-infinite-loop", "bugprone-not-null-terminated-result",
                 "bugprone-misplaced-widening-cast", "bugprone-suspicious-string-compare", "bugprone-undefined-memory-manipulation",
                 "bugprone-branch-clone", "clang-analyzer-core.*", "clang-analyzer-deadcode.*", "clang-analyzer-security.*",
                 "-clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling"])


def each(command, sources):
    """Output lines of command(source) for all sources."""
    def one(s):
        r = subprocess.run(command(s), cwd=TOP, capture_output=True, text=True, errors="replace")
        lines = [x for x in (r.stdout + r.stderr).splitlines() if re.match(r"^[^ ].*: (warning|error|style|performance|portability)", x)]
        return lines or ([f"{s}: error: ended with {r.returncode}: {r.stderr[-300:]}"] if r.returncode else [])
    with ThreadPoolExecutor(2) as pool:
        return [line for lines in pool.map(one, sources) for line in lines]


def clang():
    return each(lambda s: ["clang", *BARE, *WARN, "-O2", "-fsyntax-only", s], SOURCES)


def clang_loader():
    sources = sorted(str(p.relative_to(TOP)) for p in (TOP / "loader").glob("*.c"))
    return each(lambda s: ["clang", "-std=gnu11", "-Isrc", "-Iloader", "-ffreestanding", *WARN, "-fsyntax-only", s], sources)


def cppcheck():
    r = subprocess.run(["cppcheck", "-q", "-j2", "--std=c11", "--enable=warning,portability", "--inline-suppr", "--max-configs=1",
                        "--template={file}:{line}: warning: {message} [{id}]", "-Isrc", "-DRETPOLINE", "-D__x86_64__=1",
                        # Symbols of the linker script, registers as an array, sentences that it cannot parse: not flaws.
                        "--suppress=comparePointers", "--suppress=objectIndex", "--suppress=internalAstError",
                        "--suppress=missingInclude", "--suppress=unknownMacro", "--suppress=*:/usr/*", "src"],
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


def analyzer():
    return each(lambda s: ["gcc", *BARE, "-O2", "-fanalyzer", "-Wno-analyzer-too-complex", "-c", "-o", "/dev/null", s], SOURCES)


def tidy():
    return each(lambda s: ["clang-tidy", "--quiet", f"--checks={TIDY}", s, "--", *BARE], SOURCES)


QUICK = [("clang", "clang", clang), ("clang-loader", "clang", clang_loader), ("cppcheck", "cppcheck", cppcheck),
         ("must-check", None, must_check)]
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
