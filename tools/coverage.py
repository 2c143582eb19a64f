#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Lines and branches of the core that the tests execute, and the fuzzing figures, as doc/security/assurance.md.

    tools/coverage.py               hosted programs (gcc's counters) and own test kernels (a QEMU plugin), then the page:
                                    make coverage
    tools/coverage.py --hosted      the hosted programs only; the figures of the last boots stay
    tools/coverage.py --page        the page again from what is there
    tools/coverage.py --show WORD   what is left of files with this in their names, line by line; writes nothing

Ends with 1 if a line that no test executes has no reason in tools/coverage-why.txt."""
import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOP / "tools"))
import booted           # noqa: E402
import gcovgraph        # noqa: E402

COV = TOP / "build/cov"
PAGE = TOP / "doc/security/assurance.md"
WHY = TOP / "tools/coverage-why.txt"
FLAGS = "-std=gnu11 -g -Isrc -MMD -MP -fno-strict-aliasing -fno-common -O0 --coverage -DHOSTED -Itest/fake -pthread -w" \
    " -Wl,--defsym=__sanitizer_set_death_callback=fake_log_clear"       # without sanitizers nobody calls back; harmless
# What a guest, dom0 or a device of theirs reaches, as far as it is in the hosted build.
REACHABLE = ("call", "dom", "evtchn", "gnttab", "hvm", "mm", "pci", "sched", "time", "sync", "lib", "iommu")
AIM = (95, 90)


# ---- collecting ----
def build_and_run():
    subprocess.run(["make", "-s", "-j2", f"B={COV.relative_to(TOP)}", "unit-programs", f"HFLAGS={FLAGS}"], cwd=TOP, check=True)
    for f in COV.rglob("*.gcda"):
        f.unlink()
    for p in sorted((COV / "unit").iterdir()):
        if p.suffix or not os.access(p, os.X_OK) or p.is_dir():
            continue
        try:
            rc = subprocess.run([p], cwd=TOP, capture_output=True, timeout=1200).returncode
        except subprocess.TimeoutExpired:
            rc = "no end"
        if rc:
            print(f"{p.name} ended with {rc}", file=sys.stderr)


class File:
    """One source: lines {number: (hosted, booted)}, arms taken and not."""

    def __init__(self, name, source, boots):
        self.name, self.source = name, source
        self.text = (TOP / name).read_text().splitlines()
        self.lines = {n: (c > 0, bool(boots.get(n))) for n, c in source.lines.items()}
        self.arms = list(source.arms.values())

    def stretches(self):
        """Lines that nothing executes, those together that have no executed code between them."""
        out, last = [], True
        for n in sorted(self.lines):
            done = any(self.lines[n])
            if not done and last:
                out.append([])
            if not done:
                out[-1].append(n)
            last = done
        return out


def files():
    hosted, boots = {}, booted.load()
    for gcno in sorted(COV.rglob("*.gcno")):
        gcda = gcno.with_suffix(".gcda")
        counts = gcovgraph.read_counts(gcda) if gcda.exists() else {}
        for f in gcovgraph.read_graph(gcno):
            name = os.path.relpath(TOP / f.source, TOP)
            if re.fullmatch(rf"src/({'|'.join(REACHABLE)})/.*\.c", name):
                hosted.setdefault(name, gcovgraph.Source(TOP / name)).add(f, counts.get(f.ident, []))
    return [File(n, hosted[n], boots.get(n, {})) for n in sorted(hosted)]


def explained(found):
    """[(file, first line, last line, text, reason)] of all stretches; reasons that explain nothing."""
    rows = [tuple(r.split(" | ")) for r in WHY.read_text().splitlines() if r and not r.startswith("#")]
    out, used = [], set()
    for f in found:
        for s in f.stretches():
            row = next((r for r in rows if "src/" + r[0] == f.name and any(r[1] in f.text[n - 1] for n in s)), None)
            used.add(row)
            out.append((f.name, s[0], s[-1], row[1] if row else f.text[s[0] - 1].strip(), row and row[2]))
    return out, [" | ".join(r) for r in rows if r not in used]


# ---- the page ----
HEAD = """# Assurance

Written by `make coverage` (tools/coverage.py): what the tests execute of the code that guests, dom0 and their devices reach.

- *hosted*: test programs under gcc's counters. A line counts if any of its blocks ran.
- *booted*: the own test kernels (test/guest, as tests run them) on the image that is shipped, seen by a QEMU plugin. The
  optimiser moves and joins code, so a line counts if any instruction of it ran. Debian's dom0 is not counted.
- *branches*: of hosted tests only. gcc counts each part of a condition. Arms that lead to nothing but `panic()` or a failed
  assertion are left out, with the lines there: gcc's flow graph shows that they do not come back, and a test that took
  one would have found a bug. So are parts that exist in the hosted build only.
- Files of these folders that are not in the hosted build run at boot only, and are left out too.
"""


FAULTS = """## Injected failures

`test/unit/test_fault_calls.c` lets the k-th allocation and the k-th copy from or to a guest fail in every operation that the
dispatch tables have, for each k, and with an interrupt at each place where the operation can be interrupted. A row of the
tables without a case or a written reason fails the test. Three things are not injected, because they have no failure that
anybody could go on from:

- *Writing a table entry* is one store. Only the page for a new table can be missing, which is an allocation.
- *Flushing CPUs' translations* waits until each has left the guest; it returns nothing. A CPU that never does is found by the
  watchdog.
- *An IOMMU command* that is not answered stops the machine, since nothing may be freed before the answer. `test_iommu` and
  `test_intremap` let the answer come late, and never.
"""


def percent(part, whole):
    return f"{100 * part / whole:.1f}" if whole else "-"


def figures(found):
    """Lines, those of them hosted, booted, together; branches, those of them taken."""
    lines = [x for f in found for x in f.lines.values()]
    arms = [c for f in found for c in f.arms]
    return (len(lines), sum(h for h, _ in lines), sum(b for _, b in lines), sum(map(any, lines)), len(arms),
            sum(c > 0 for c in arms))


def fuzzing():
    out = []
    for kind, title in (("short", "The short run of `make test`"), ("long", "The last long run, `make fuzz`")):
        f = TOP / "build/fuzz" / f"{kind}.json"
        if f.exists():
            out += [f"## Fuzzing: {title}", "", "Edges are those of clang's coverage in the target and the core.", "",
                    "| target | executions | edges reached | seconds | |", "|---|---|---|---|---|"]
            out += [f"| {r['target']} | {r['runs']} | {r['edges']} | {r['seconds']} | {'ended with ' + str(r['rc']) if r['rc'] else 'no finding'} |"
                    for r in json.loads(f.read_text())] + [""]
    return out


def page(found):
    lines, hosted, boots, together, arms, taken = figures(found)
    out = [HEAD, f"Tests reach **{percent(together, lines)} %** of {lines} lines ({percent(hosted, lines)} % hosted, "
           f"{percent(boots, lines)} % booted) and **{percent(taken, arms)} %** of {arms} branches in {len(found)} files. "
           f"The aim is {AIM[0]} % and {AIM[1]} %.", "",
           "| file | lines | hosted, % | booted, % | together, % | branches | taken, % |", "|---|---|---|---|---|---|---|"]
    for f in found:
        lines, *some, arms, taken = figures([f])
        out.append(f"| `{f.name}` | {lines} | {' | '.join(percent(n, lines) for n in some)} | {arms} | {percent(taken, arms)} |")
    out += ["", "## What is left and why", "", "From tools/coverage-why.txt. Lines of one piece have one reason.", "",
            "| file | lines | among them | why |", "|---|---|---|---|"]
    for name, a, b, text, why in explained(found)[0]:
        text = text.replace("|", "\\|")
        out.append(f"| `{name}` | {a if a == b else f'{a}-{b}'} | `{text}` | {why or '**no reason given**'} |")
    return "\n".join(out + ["", FAULTS] + fuzzing())


def show(found, word):
    for f in (f for f in found if word in f.name):
        arms, left = {}, [n for s in f.stretches() for n in s]
        for (line, _, _, _, to), c in f.source.arms.items():
            if not c:
                arms.setdefault(line, []).append(to)
        print(f"== {f.name}: {len(left)} of {len(f.lines)} lines, {sum(map(len, arms.values()))} of {len(f.arms)} branches left")
        for n in sorted({*left, *arms}):
            to = f"  -> {', '.join(map(str, sorted(arms[n])))}" if n in arms else ""
            print(f"{'####' if n in left else '':4} {n:4} {f.text[n - 1].strip()}{to}")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--hosted", action="store_true")
    p.add_argument("--page", action="store_true")
    p.add_argument("--show", metavar="WORD")
    o = p.parse_args()
    if not (o.page or o.show):
        build_and_run()
        if not o.hosted:
            booted.boot_all()
    found = files()
    if o.show:
        return show(found, o.show)
    text = page(found)
    PAGE.write_text(text)
    print(re.search(r"Tests reach.*", text)[0])
    rows, unused = explained(found)
    bad = [f"no test, no reason: {name}:{a}: {line}" for name, a, _, line, why in rows if not why]
    print("\n".join(bad + [f"note: a reason for what is executed: {r}" for r in unused]))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
