#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The table of security advisories: doc/security/xsa.json -> doc/security/xsa.md, and hardened.txt, a part of a package's
long description as debian/control has it (SECURITY.md).

    tools/xsa.py            check the list and write both (make doc)
    tools/xsa.py --check    check the list and that both are up to date

test/run.py asks did_not_run() at the end of a complete run.

The check: every test that a row names exists and is in its program's list, every file it names exists, a row without tests says why, and for every
row of part 1 there is a weakened build that the tests must notice (test/mutations).
Names of tests: unit/PROGRAM:function (test/unit), guest/KERNEL:function (test/guest, booted), boot/FILE:function and
system/FILE:function (pytest)."""
import functools
import json
import re
import sys
import textwrap
import tomllib
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
LIST, PAGE = TOP / "doc/security/xsa.json", TOP / "doc/security/xsa.md"
HARDENED = TOP / "doc/security/hardened.txt"
PLACES = {          # kind: (file, pattern that finds the test)
    "unit": ("test/unit/{}.c", r"\bvoid {}\(void \*\*"),
    "guest": ("test/guest/{}.c", r"\bTEST\({}\)"),
    "boot": ("test/boot/{}.py", r"^def {}\("),
    "system": ("test/system/{}.py", r"^def {}\("),
}
KEYS = {"part", "group", "xsa", "title", "cve", "applies", "why", "invariants", "code", "tests", "open"}
YET = "not yet written"


@functools.lru_cache(None)
def text(path):
    return (TOP / path).read_text() if (TOP / path).exists() else None


def test_problem(name):
    m = re.fullmatch(r"(unit|guest|boot|system)/(\w+):(\w+)", name)
    if not m:
        return "is no name of a test"
    path, pattern = PLACES[m[1]]
    source = text(path.format(m[2]))
    if source is None:
        return f"{path.format(m[2])} does not exist"
    if m[1] == "guest" and f'"{m[2]}":' not in text("test/boot/test_kernels.py"):
        return "is in a kernel that test/boot/test_kernels.py does not boot"
    if m[1] == "unit" and len(re.findall(rf"\b{m[3]}\b", re.sub(r"(?s)/\*.*?\*/", "", source))) < 2:
        return f"is not in the list of tests of {path.format(m[2])}"
    return None if re.search(pattern.format(m[3]), source, re.M) else f"is not in {path.format(m[2])}"


def is_long(name):
    """Only in make test-all: marked so, itself or as a whole file."""
    kind, program, function = re.fullmatch(r"(\w+)/(\w+):(\w+)", name).groups()
    source = text(PLACES[kind][0].format(program))
    if kind not in ("boot", "system"):
        return False
    above = source[:source.index(f"\ndef {function}(")].splitlines()
    marks = []
    while above and above[-1].strip() and not above[-1].startswith("def "):
        marks.append(above.pop())
    return "mark.long" in "".join(marks) or bool(re.search(r"^pytestmark = .*long", source, re.M))


def did_not_run(ran, long=False):
    """What the table promises and a complete `make test` did not run: (test, advisories). ran: names as test/run.py
    reports them, without those that were skipped. long: it was `make test-all`."""
    stems = {n.split("[")[0] for n in ran} | set(ran)
    for r in json.loads(LIST.read_text())["rows"]:
        for t in r["tests"]:
            kind, program, function = re.fullmatch(r"(\w+)/(\w+):(\w+)", t).groups()
            name = {"unit": f"{program}:{function}", "guest": f"test_verdict[{program}-{function}]"}.get(kind, function)
            if name not in stems and (long or not is_long(t)):
                yield t, "XSA-" + ",".join(map(str, r["xsa"]))


@functools.lru_cache(None)
def mutations(xsa):
    """What was weakened, for this advisory."""
    every = tomllib.loads(text("test/mutations/mutations.toml"))["mutation"]
    return [m for m in every if m["name"].startswith(f"xsa_{xsa}_")]


def problems(data):
    seen = set()
    for r in data["rows"]:
        for m in [m for n in r["xsa"] for m in mutations(n)]:
            for t in [m["tests"]] if isinstance(m["tests"], str) else m["tests"]:
                why = test_problem("unit/" + t)
                if why:
                    yield f"mutation {m['name']}: test {t} {why}"
        if r["part"] == 1 and r["tests"] and not mutations(r["xsa"][0]):
            yield f"XSA-{r['xsa'][0]}: no weakened build in test/mutations/mutations.toml"
        who = "XSA-" + ",".join(map(str, r["xsa"]))
        if set(r) - KEYS or not r["title"] or not r["applies"]:
            yield f"{who}: unknown or empty keys"
        for n in r["xsa"]:
            if n in seen:
                yield f"{who}: {n} has two rows"
            seen.add(n)
        for i in r["invariants"]:
            if i not in data["invariants"]:
                yield f"{who}: {i} is no invariant"
        for f in r["code"]:
            if not (TOP / f).exists():
                yield f"{who}: {f} does not exist"
        for t in r["tests"]:
            why = test_problem(t)
            if why:
                yield f"{who}: test {t} {why}"
        if not r["tests"] and not r.get("open"):
            yield f"{who}: no test and no reason"
        if r["applies"] not in SAYS:
            yield f"{who}: applies \"{r['applies']}\" is none of {', '.join(SAYS)}"
        elif not r["tests"] and SAYS[r["applies"]] in ("hardened", "part"):
            yield f"{who}: no test, and yet it says that it applies"
        elif r["applies"].endswith("not yet") and not r.get("open"):
            yield f"{who}: not yet, and `open` does not say what is missing"


def counts(rows):
    full = sum(1 for r in rows if r["tests"] and not r.get("open"))
    part = sum(1 for r in rows if r["tests"] and r.get("open"))
    yet = sum(1 for r in rows if not r["tests"] and YET in r["open"])
    return len(rows), full, part, yet, len(rows) - full - part - yet


def advisory(n):
    return f"[{n}](https://xenbits.xen.org/xsa/advisory-{n}.html)"


def sentence(*parts):
    return " ".join(p for p in parts if p)


def page(data):
    rows = data["rows"]
    out = ["# Security advisories", "",
           "Generated by `make doc` from `doc/security/xsa.json`; a test checks that every test named here exists and that",
           "a row without one says why. Each advisory of the Xen project in this list teaches a way to go wrong; the table",
           "says whether Helium could go wrong that way, what prevents it, and which test tries.", "",
           "| | rows | tested | tested in part | test not yet written | nothing to test, or not testable here |", "|---|---|---|---|---|---|"]
    for title, part in (("part 1", 1), ("part 2", 2)):
        out.append(f"| {title} | " + " | ".join(map(str, counts([r for r in rows if r["part"] == part]))) + " |")
    out += ["", "## Part 1: advisories that every release answers for", ""]
    for r in rows:
        if r["part"] != 1:
            continue
        out += [f"### XSA-{r['xsa'][0]}: {r['title']}", "",
                f"{advisory(r['xsa'][0])}, {', '.join(r['cve'])}. Applies: {r['applies']}. Invariants: {', '.join(r['invariants']) or '-'}.",
                "", r["why"], "", "Code: " + ", ".join(f"`{c}`" for c in r["code"]) + ".", ""]
        out += ["Tests: " + (", ".join(f"`{t}`" for t in r["tests"]) or "none") + "."]
        if mutations(r["xsa"][0]):
            out += ["", "Weakened builds that these tests must notice: " +
                    "; ".join(m["what"] for m in mutations(r["xsa"][0])) + "."]
        out += (["", f"Open: {r['open']}."] if r.get("open") else []) + [""]
    out += ["## Part 2: others", ""]
    group = None
    for r in rows:
        if r["part"] != 2:
            continue
        if r["group"] != group:
            group = r["group"]
            out += ["", f"### {group}", ""][group == rows[11].get("group"):]
            out += ["| XSA | flaw | applies here | invariants | tests |", "|---|---|---|---|---|"]
        tests = sentence(", ".join(f"`{t}`" for t in r["tests"]), f"Open: {r['open']}." if r.get("open") else "")
        out.append(f"| {', '.join(map(advisory, r['xsa']))} | {r['title']} | {sentence(r['applies'] + '.', r['why'])} | "
                   f"{', '.join(r['invariants']) or '-'} | {tests} |")
    out += ["", "## Invariants", "", "Comments in the source refer to these numbers.", "", "| | |", "|---|---|"]
    out += [f"| {k} | {v} |" for k, v in data["invariants"].items()]
    return "\n".join(out) + "\n"


def numbers(rows):
    return ", ".join(str(n) for n in sorted(n for r in rows for n in r["xsa"]))


# What the first words of a row's `applies` say to somebody who reads the description of a package.
SAYS = {
    "yes": "hardened", "partly": "part", "Intel's part: not yet": "part", "not yet": "yet",
    "no longer possible": "absent", "feature absent": "absent", "operation absent": "absent", "the rule only": "absent",
    "not in the hypervisor": "statement", "statement": "statement",
}
GROUPS = {
    "hardened": "Hardened against these advisories of the Xen project. Each is tried by tests that every change has to pass:",
    "part": "Hardened in part, and tried as far as that goes. The rest is not supported yet, or not testable:",
    "refused": "What the flaw was in does not exist. Tests try that it is refused, or that the rule is kept elsewhere:",
    "absent": "What the flaw was in does not exist, so that there is nothing to try:",
    "yet": "Concerns what is not supported yet:",
    "statement": "Not in the hypervisor, or a matter of configuration; a statement in SUPPORT.md says what is needed:",
}


def group(row):
    says = SAYS[row["applies"]]
    if says == "absent" and row["tests"]:
        return "refused"
    return "part" if says == "hardened" and row.get("open") else says


def hardened(data):
    """In the format of a long description: each line begins with a space, an empty one is a dot."""
    paragraphs = [f"{title} {numbers([r for r in data['rows'] if group(r) == name])}." for name, title in GROUPS.items()]
    paragraphs.append("Why, and which test: doc/security/xsa.md. What is supported against whom: SUPPORT.md.")
    return "\n .\n".join(textwrap.fill(p, 79, initial_indent=" ", subsequent_indent=" ") for p in paragraphs) + "\n"


def main():
    data = json.loads(LIST.read_text())
    wrong = list(problems(data))
    for path, new in [(PAGE, page(data)), (HARDENED, hardened(data))] if not wrong else []:
        if "--check" not in sys.argv:
            path.write_text(new)
        elif not path.exists() or path.read_text() != new:
            wrong.append(f"{path.relative_to(TOP)} is out of date; run `make doc` and commit")
    if wrong:
        print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
