#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Do the tests notice? Each entry of mutations.toml weakens the product in one place. The hosted core is built with
that change (the changed file only; the rest comes from build/hosted) and the named tests are run: they must fail. An
entry that does not apply, does not compile or is not noticed is a failure of this test. Output is TAP, one line each.

    test/mutations/mutations.py             entries of make test
    test/mutations/mutations.py --all       those marked long too (or HELIUM_LONG in the environment), and each test is
                                            first run on the same build without the change, where it must pass
    test/mutations/mutations.py NAME ...    these only, with what the tests said
"""
import os
import re
import shlex
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
LIST = Path(__file__).with_name("mutations.toml")
OUT = TOP / "build/mutations"
LIMIT_S = 60                    # a test that hangs has noticed too, but a good one says so at once
ENV = dict(os.environ, CMOCKA_MESSAGE_OUTPUT="TAP", ASAN_OPTIONS="detect_leaks=0", UBSAN_OPTIONS="print_stacktrace=0")
# Runs one test of a program: the name comes in the environment.
FILTER = """#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
__attribute__((constructor)) static void only(void)
{
    if (getenv("ONLY_TEST")) cmocka_set_test_filter(getenv("ONLY_TEST"));
}
"""


class Missed(Exception):
    """Why an entry counts as failed."""


def entries():
    data = tomllib.loads(LIST.read_text())
    for m in data["mutation"]:
        m["tests"] = [m["tests"]] if isinstance(m["tests"], str) else m["tests"]
    assert len({m["name"] for m in data["mutation"]}) == len(data["mutation"]), "a name twice"
    return data["mutation"]


def hosted_flags():
    r = subprocess.run(["make", "-s", "--no-print-directory", "hosted-flags"], cwd=TOP, capture_output=True, text=True)
    return shlex.split(r.stdout)


def compile_to(cc, source, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    cmd = [f for f in cc if f not in ("-MMD", "-MP")]
    r = subprocess.run([*cmd, "-c", source, "-o", target], cwd=TOP, capture_output=True, text=True)
    if r.returncode:
        raise Missed(f"does not compile: {r.stderr.strip().splitlines()[0]}")


def mutate(m, folder, weaken):
    """Copies of the files, weakened or as they are, by their paths in the tree."""
    texts = {}
    for e in m["edits"] if "edits" in m else [m]:
        text = texts.get(e["file"]) or (TOP / e["file"]).read_text()
        if text.count(e["old"]) != 1:
            raise Missed(f"does not apply: {text.count(e['old'])} places in {e['file']}")
        texts[e["file"]] = text.replace(e["old"], e["new"]) if weaken else text
    for path, text in texts.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return list(texts)


def run_one(program, test):
    """Did it pass, and what did it say."""
    try:
        r = subprocess.run([program], env=dict(ENV, ONLY_TEST=test), capture_output=True, text=True, errors="replace",
                           timeout=LIMIT_S, cwd=TOP)
    except subprocess.TimeoutExpired:
        return False, "ran into the time limit\n"
    out = r.stdout + r.stderr
    if r.returncode == 0 and not re.search(rf"^ok \d+ - {test}\b", out, re.M):
        raise Missed(f"{program.name}:{test} does not exist")
    return r.returncode == 0, out


class Bench:
    """Objects that all entries share: one per test program, and the filter."""

    def __init__(self, wanted, sound_too):
        self.cc = hosted_flags()
        self.sound_too = sound_too
        OUT.mkdir(parents=True, exist_ok=True)
        (OUT / "filter.c").write_text(FILTER)
        compile_to(self.cc, OUT / "filter.c", OUT / "filter.o")
        self.programs = sorted({t.split(":")[0] for m in wanted for t in m["tests"]})

    def compile_tests(self, pool):
        list(pool.map(lambda p: compile_to(self.cc, f"test/unit/{p}.c", OUT / f"{p}.o"), self.programs))

    def link(self, program, objects, target):
        r = subprocess.run([*self.cc, OUT / f"{program}.o", OUT / "filter.o", *objects, "build/hosted/libcore.a", "-lcmocka",
                            "-o", target], cwd=TOP, capture_output=True, text=True)
        if r.returncode:
            raise Missed(f"does not link with {program}: {r.stderr.strip().splitlines()[-2:]}")

    def build_and_run(self, m, weaken):
        """Raises Missed unless the tests fail (weaken) or pass; what they said."""
        folder, said = OUT / f"{m['name']}{'' if weaken else '-sound'}", ""
        try:
            objects = []
            for path in mutate(m, folder, weaken):
                objects.append(folder / (path + ".o"))
                compile_to(self.cc, folder / path, objects[-1])
            for t in m["tests"]:
                program, test = t.split(":")
                target = folder / program
                if not target.exists():
                    self.link(program, objects, target)
                passed, out = run_one(target, test)
                said += out
                if passed == weaken:
                    raise Missed(f"{'not noticed by' if weaken else 'without the change there fails'} {t}")
            return said
        finally:
            subprocess.run(["rm", "-rf", folder])

    def check(self, m):
        try:
            if self.sound_too:
                self.build_and_run(m, False)
            return None, self.build_and_run(m, True)
        except Missed as e:
            return str(e), ""


def main():
    names = [a for a in sys.argv[1:] if not a.startswith("-")]
    every = "--all" in sys.argv or bool(os.environ.get("HELIUM_LONG"))
    wanted = [m for m in entries() if (m["name"] in names if names else every or not m.get("long"))]
    bench = Bench(wanted, every)
    missed = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            bench.compile_tests(pool)
        except Missed as e:
            print(f"not ok 1 - test_programs # {e}")
            return 1
        for i, (m, (why, said)) in enumerate(zip(wanted, pool.map(bench.check, wanted)), 1):
            print(f"{'not ok' if why else 'ok'} {i} - {m['name']}" + (f" # {why}" if why else ""), flush=True)
            missed += bool(why)
            if names or why:
                print("".join(f"# {line}\n" for line in said.splitlines()[-40:]), end="", flush=True)
    print(f"1..{len(wanted)}")
    return 1 if missed or not wanted else 0


if __name__ == "__main__":
    sys.exit(main())
