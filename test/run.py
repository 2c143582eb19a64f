#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Run the tests: hosted programs first, then the booted machines. Prints progress and one closing line.

    test/run.py             what a change must pass
    test/run.py --all       the long rest too; finished parts are remembered in build/test-all and not repeated
    test/run.py -k WORD     only booted tests whose name has WORD
"""
import argparse
import os
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
BUILD = TOP / "build"


class Totals:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.failures = []

    def add(self, name, result, why=""):
        setattr(self, result, getattr(self, result) + 1)
        if result == "failed":
            self.failures.append(name)
        if result != "passed":
            print(f"   {result.upper():7} {name}{': ' + why if why else ''}", flush=True)


def hosted(totals, programs):
    """cmocka programs, in TAP: one line per test."""
    env = dict(os.environ, CMOCKA_MESSAGE_OUTPUT="TAP", ASAN_OPTIONS="detect_leaks=0", UBSAN_OPTIONS="print_stacktrace=1")
    for p in programs:
        t0 = time.monotonic()
        try:
            r = subprocess.run([p], capture_output=True, text=True, errors="replace", timeout=600, env=env)
            out, rc = r.stdout + r.stderr, r.returncode
        except subprocess.TimeoutExpired:
            out, rc = "", "timeout"
        rows = re.findall(r"^(not ok|ok) \d+ - (\S+)(.*)$", out, re.M)
        for verdict, name, rest in rows:
            result = "skipped" if "# SKIP" in rest else "passed" if verdict == "ok" else "failed"
            totals.add(f"{p.name}:{name}", result)
        if (rc != 0 and not any(v == "not ok" for v, _, _ in rows)) or not rows:
            totals.add(p.name, "failed", f"ended with {rc}")
        if rc != 0:
            print(out[-6000:])
        print(f"   {p.name}: {len(rows)} tests, {time.monotonic() - t0:.1f} s", flush=True)


def booted(totals, args, keyword):
    xml = BUILD / "test-results.xml"
    xml.unlink(missing_ok=True)
    cmd = ["/usr/bin/python3", "-m", "pytest", "-p", "no:cacheprovider", "-v", "--tb=short", "-rs", f"--junitxml={xml}", *args]
    if keyword:
        cmd += ["-k", keyword]
    rc = subprocess.run(cmd, cwd=TOP, env=dict(os.environ, PYTHONPATH=str(TOP / "test/lib"), PYTHONUNBUFFERED="1",
                                               PYTHONDONTWRITEBYTECODE="1")).returncode
    if not xml.exists():
        totals.add("booted tests", "failed", f"pytest ended with {rc}")
        return
    for case in ET.parse(xml).iter("testcase"):
        kinds = {c.tag for c in case}
        result = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
        totals.add(case.get("name"), result)
    if rc not in (0, 1, 5):
        totals.add("booted tests", "failed", f"pytest ended with {rc}")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--all", action="store_true")
    p.add_argument("--hosted", action="store_true", help="only the hosted tests")
    p.add_argument("-k", dest="keyword")
    o = p.parse_args()
    totals = Totals()
    t0 = time.monotonic()
    if not o.keyword:
        print("== hosted tests", flush=True)
        hosted(totals, sorted(f for f in (BUILD / "unit").iterdir() if os.access(f, os.X_OK) and f.is_file() and not f.suffix) +
               [TOP / "test/mutations/mutations.py"])
    if not o.hosted:
        print("== booted tests", flush=True)
        booted(totals, ["test/boot", "test/system"] + ([] if o.all else ["-m", "not long"]), o.keyword)
    print(f"== {time.monotonic() - t0:.0f} s")
    for name in totals.failures:
        print(f"   FAILED {name}")
    print(f"{totals.passed} passed, {totals.failed} failed, {totals.skipped} skipped")
    return 1 if totals.failed else 0


sys.exit(main())
