#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Run the tests: hosted programs first, then the booted machines. Prints progress and one closing line.

    test/run.py             what a change must pass
    test/run.py --all       the long rest too; finished parts are remembered in build/test-all and not repeated
    test/run.py --hosted    only the hosted programs
    test/run.py -k WORD     only booted tests whose name has WORD
"""
import argparse
import os
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
BUILD = TOP / "build"
sys.path[:0] = [str(TOP / "test/lib"), str(TOP / "tools")]
from finished import Finished, tree_key    # noqa: E402
import xsa      # noqa: E402


class Totals:
    def __init__(self):
        self.passed = self.failed = self.skipped = self.earlier = 0
        self.failures = []
        self.ran = set()                # names of tests that came to an end; one that was skipped tried nothing

    def add(self, name, result, why=""):
        setattr(self, result, getattr(self, result) + 1)
        if result != "skipped":
            self.ran.add(name)
        if result == "failed":
            self.failures.append(name)
        if result != "passed":
            print(f"   {result.upper():7} {name}{': ' + why if why else ''}", flush=True)

    def remembered(self, names):
        """Passed in an earlier run."""
        self.ran.update(names)
        self.passed += len(names)
        self.earlier += len(names)

    def closing(self):
        earlier = f" ({self.earlier} of them in an earlier run)" if self.earlier else ""
        return f"{self.passed} passed{earlier}, {self.failed} failed, {self.skipped} skipped"


def run_hosted(program, long):
    """One cmocka program, in TAP: (exit status or "timeout", output, seconds). HELIUM_LONG asks it for its long mode."""
    env = dict(os.environ, CMOCKA_MESSAGE_OUTPUT="TAP", ASAN_OPTIONS="detect_leaks=0", UBSAN_OPTIONS="print_stacktrace=1")
    if long:
        env["HELIUM_LONG"] = "1"
    t0 = time.monotonic()
    try:
        r = subprocess.run([program], capture_output=True, text=True, errors="replace", timeout=7200 if long else 600, env=env)
        rc, out = r.returncode, r.stdout + r.stderr
    except subprocess.TimeoutExpired:
        rc, out = "timeout", ""
    return rc, out, time.monotonic() - t0


def hosted(totals, programs, long, done):
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        waiting = {}
        for p in programs:
            if done.has(f"hosted/{p.name}"):
                totals.remembered([f"{p.name}:{name}" for name in done.names(f"hosted/{p.name}")])
            else:
                waiting[pool.submit(run_hosted, p, long)] = p
        for job in as_completed(waiting):
            p, (rc, out, seconds) = waiting[job], job.result()
            rows = re.findall(r"^(not ok|ok) \d+ - (\S+)(.*)$", out, re.M)
            results = []
            for verdict, name, rest in rows:
                results.append("skipped" if "# SKIP" in rest else "passed" if verdict == "ok" else "failed")
                totals.add(f"{p.name}:{name}", results[-1])
            if (rc != 0 and "failed" not in results) or not rows:
                results.append("failed")
                totals.add(p.name, "failed", f"ended with {rc}")
            if rc != 0:
                print(out[-6000:])
            print(f"   {p.name}: {len(rows)} tests, {seconds:.1f} s", flush=True)
            if set(results) == {"passed"}:
                done.add(f"hosted/{p.name}", [name for _, name, _ in rows])


def booted(totals, args, keyword, done):
    xml = BUILD / "test-results.xml"
    xml.unlink(missing_ok=True)
    cmd = ["/usr/bin/python3", "-m", "pytest", "-p", "no:cacheprovider", "-p", "finished", "-v", "--tb=short", "-rs",
           f"--junitxml={xml}", *args]
    if keyword:
        cmd += ["-k", keyword]
    env = dict(os.environ, PYTHONPATH=str(TOP / "test/lib"), PYTHONUNBUFFERED="1", PYTHONDONTWRITEBYTECODE="1")
    if done.path:
        env["HELIUM_FINISHED"] = str(done.path)
    before = [part.rsplit("::", 1)[-1] for part in done.parts if part.startswith("booted/")]
    rc = subprocess.run(cmd, cwd=TOP, env=env).returncode
    totals.remembered(before)
    if not xml.exists():
        totals.add("booted tests", "failed", f"pytest ended with {rc}")
        return
    for case in ET.parse(xml).iter("testcase"):
        kinds = {c.tag for c in case}
        result = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
        totals.add(case.get("name"), result)
    for p in ET.parse(xml).iter("property"):
        print(f"   {p.get('name')}: {p.get('value')}", flush=True)
    if rc not in (0, 1, 5):
        totals.add("booted tests", "failed", f"pytest ended with {rc}")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--all", action="store_true", help="the long tests too")
    p.add_argument("--hosted", action="store_true", help="only the hosted tests")
    p.add_argument("-k", dest="keyword", help="only booted tests with this word in their name")
    o = p.parse_args()
    done = Finished(BUILD / "test-all" / tree_key() if o.all else None)
    if done.count(""):
        print(f"== going on: {done.count('')} finished parts are not repeated (to repeat them: rm -r build/test-all)")
    totals = Totals()
    t0 = time.monotonic()
    if not o.keyword:
        print("== hosted tests", flush=True)
        programs = sorted(f for f in (BUILD / "unit").iterdir() if os.access(f, os.X_OK) and f.is_file() and not f.suffix)
        # The longest first: two run at a time.
        first = [TOP / f for f in ("test/mutations/mutations.py", "test/fuzz/fuzz.py", "tools/lint.py", "test/proofs/spin.py")]
        hosted(totals, first + programs, o.all, done)
    if not o.hosted:
        print("== booted tests", flush=True)
        booted(totals, ["test/boot", "test/system"] + ([] if o.all else ["-m", "not long"]), o.keyword, done)
    if not (o.hosted or o.keyword):
        for test, advisory in xsa.did_not_run(totals.ran, o.all):
            totals.add(f"{advisory}: {test}", "failed", "the table of advisories names it, and it did not run")
    print(f"== {time.monotonic() - t0:.0f} s")
    for name in totals.failures:
        print(f"   FAILED {name}")
    print(totals.closing())
    return 1 if totals.failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted; `make test-all` goes on where it was")
