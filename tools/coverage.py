#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Lines and branches of the core that the hosted tests execute (gcov), and the fuzzing figures, as doc/security/assurance.md.

    tools/coverage.py       builds build/cov, runs every hosted program there, writes the page (make coverage)"""
import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
COV = TOP / "build/cov"
PAGE = TOP / "doc/security/assurance.md"
FLAGS = "-std=gnu11 -g -Isrc -MMD -MP -fno-strict-aliasing -fno-common -O0 --coverage -DHOSTED -Itest/fake -pthread -w" \
    " -Wl,--defsym=__sanitizer_set_death_callback=fake_log_clear"       # without sanitizers nobody calls back; harmless
# What a guest, dom0 or a device of theirs reaches; the rest of src runs at boot only or needs the machine itself.
REACHABLE = ("call", "dom", "evtchn", "gnttab", "hvm", "mm", "pci", "sched", "time", "sync", "lib", "iommu")
WHY = [(r"^src/hvm/svm/", "needs the processor: booted test kernels"), (r"^src/dom/dom0", "runs once at boot: booted tests"),
       (r"^src/hvm/xstate", "state instructions of the processor: booted test kernels"),
       (r"^src/iommu/amd", "registers of the machine: booted tests with an IOMMU"),
       (r"^src/sched/run", "the loop of a CPU: booted tests"), (r"_dump\.c$", "debug keys: booted tests")]


def build_and_run():
    subprocess.run(["make", "-s", "-j2", f"B={COV.relative_to(TOP)}", "unit-programs", f"HFLAGS={FLAGS}"], cwd=TOP, check=True)
    run()


def run():
    for f in COV.rglob("*.gcda"):
        f.unlink()
    for p in sorted((COV / "unit").iterdir()):
        if p.suffix or not os.access(p, os.X_OK) or p.is_dir():
            continue
        try:
            rc = subprocess.run([p], cwd=TOP, capture_output=True, timeout=600).returncode
        except subprocess.TimeoutExpired:
            rc = "no end"
        if rc:
            print(f"{p.name} ended with {rc}", file=sys.stderr)


def collect():
    """{source: ({line: count}, {(line, branch): count})}"""
    found = {}
    for gcda in sorted((COV / "hosted/src").rglob("*.gcda")):
        out = subprocess.run(["gcov", "--json-format", "--stdout", "--branch-probabilities", str(gcda)], cwd=TOP,
                             capture_output=True).stdout
        data = json.loads(gzip.decompress(out) if out[:2] == b"\x1f\x8b" else out)
        for f in data["files"]:
            name = os.path.relpath(f["file"], TOP) if f["file"].startswith("/") else f["file"]
            if not name.startswith("src/") or not name.endswith(".c"):
                continue
            lines, branches = found.setdefault(name, ({}, {}))
            for line in f["lines"]:
                n = line["line_number"]
                lines[n] = lines.get(n, 0) + line["count"]
                for i, b in enumerate(line["branches"]):
                    branches[n, i] = branches.get((n, i), 0) + b["count"]
    return found


def percent(part, whole):
    return f"{100 * part / whole:.1f}" if whole else "-"


def runs_of(counts, missed):
    """Line numbers as ranges, joined over lines without code."""
    code, out = sorted(counts), []
    for n in missed:
        if out and code.index(n) == code.index(out[-1][1]) + 1:
            out[-1][1] = n
        else:
            out.append([n, n])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in out)


def page(found):
    sources = [s for s in sorted(found) if s.split("/")[1] in REACHABLE]
    absent = sorted(str(p.relative_to(TOP)) for d in REACHABLE for p in (TOP / "src" / d).rglob("*.c")
                    if str(p.relative_to(TOP)) not in found)
    rows, left, total = [], [], [0, 0, 0, 0]
    for s in sources:
        lines, branches = found[s]
        missed = sorted(n for n, c in lines.items() if not c)
        counts = (len(lines) - len(missed), len(lines), sum(c > 0 for c in branches.values()), len(branches))
        total = [a + b for a, b in zip(total, counts)]
        rows.append(f"| `{s}` | {counts[1]} | {percent(*counts[:2])} | {counts[3]} | {percent(*counts[2:])} |")
        if missed:
            why = next((w for pattern, w in WHY if re.search(pattern, s)), "no hosted test yet")
            left.append(f"| `{s}` | {runs_of(lines, missed)} | {why} |")
    out = ["# Assurance", "",
           "Written by `make coverage` (tools/coverage.py). It counts what the **hosted** tests execute of the code that guests, dom0 and",
           "their devices reach; booted tests are not counted here, so the figures are a lower bound. Branches are gcc's, which count",
           "each part of a condition.", "",
           f"Hosted tests reach **{percent(*total[:2])} %** of {total[1]} lines and **{percent(*total[2:])} %** of {total[3]} branches in "
           f"{len(sources)} files. The aim is 95 % and 90 %.", "",
           "| file | lines | executed, % | branches | taken, % |", "|---|---|---|---|---|", *rows, "",
           "## Not executed", "", "| file | lines | why |", "|---|---|---|", *left, ""]
    if absent:
        out += ["Not part of the hosted build, that is, run by booted tests only:", "", ", ".join(f"`{a}`" for a in absent) + ".", ""]
    for kind, title in (("short", "The short run of `make test`"), ("long", "The last long run, `make fuzz`")):
        f = TOP / "build/fuzz" / f"{kind}.json"
        if f.exists():
            out += [f"## Fuzzing: {title}", "", "Edges are those of clang's coverage in the target and the core.", "",
                    "| target | executions | edges reached | seconds | |", "|---|---|---|---|---|"]
            out += [f"| {r['target']} | {r['runs']} | {r['edges']} | {r['seconds']} | {'ended with ' + str(r['rc']) if r['rc'] else 'no finding'} |"
                    for r in json.loads(f.read_text())] + [""]
    return "\n".join(out)


def main():
    if "--collect" not in sys.argv:
        build_and_run()
    PAGE.write_text(page(collect()))
    print(re.search(r"Hosted tests reach.*", PAGE.read_text())[0])


main()
