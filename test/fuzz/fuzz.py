#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Run the fuzz targets of build/fuzz.

    test/fuzz/fuzz.py                   the short run of `make test`: seeds, regressions, a fixed number of executions
    test/fuzz/fuzz.py --time 600        long: so many seconds for each target; the corpus stays in build/fuzz/corpus
    test/fuzz/fuzz.py -k hvm            only targets with hvm in their name
    test/fuzz/fuzz.py --minimise        put the smallest inputs that reach all that the corpus reaches into seeds/

Seeds: test/fuzz/seeds/<target>, one file for all inputs of a target (lines of hexadecimal digits); regressions, that is
inputs that once failed, are lines of test/fuzz/regress/<target>. fuzz_call's families share theirs.
"""
import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOP = HERE.parents[1]
FUZZ = TOP / "build/fuzz"
CORPUS = FUZZ / "corpus"
MAX_LEN = {"fuzz_call": 300, "fuzz_hvm": 300, "fuzz_decode": 20, "fuzz_kernel": 3000}
# Executions of the short run: those with a whole host are slower; the memory sanitizer looks at all RAM after each call.
RUNS = {"fuzz_call": 4000, "fuzz_call-msan": 1500, "fuzz_hvm": 12000, "fuzz_hvmctx": 8000, "fuzz_vpci": 12000,
        "fuzz_acpi": 5000}
SHORT_RUNS = 30000
SEED_BYTES = 24000          # of a target, in the tree


def targets(word=""):
    return [p for p in sorted(FUZZ.glob("fuzz_*")) if os.access(p, os.X_OK) and not p.suffix and word in p.name
            and p.name != "fuzz_call"]


def kind(target):
    return target.name.split("-")[0]


def unpack(target, into):
    """Inputs of the tree as files; returns how many."""
    into.mkdir(parents=True, exist_ok=True)
    n = 0
    for folder in ("seeds", "regress"):
        f = HERE / folder / kind(target)
        for line in f.read_text().split() if f.exists() else ():
            (into / f"{folder}-{n}").write_bytes(bytes.fromhex(line))
            n += 1
    return n


def run(target, args, corpus, timeout):
    """(result dict, output)"""
    art = FUZZ / "found"
    art.mkdir(exist_ok=True)
    cmd = [str(target), "-seed=1", "-timeout=25", "-rss_limit_mb=4000", f"-max_len={MAX_LEN.get(kind(target), 1000)}",
           f"-artifact_prefix={art}/{target.name}-", "-print_final_stats=1", *args, *map(str, corpus)]
    # As in the loader's arena, what is too large is not there: an lzma dictionary may ask for 4 GiB.
    asan = "detect_leaks=0:allocator_may_return_null=1:max_allocation_size_mb=1024"
    t0 = time.monotonic()
    try:
        r = subprocess.run(cmd, capture_output=True, text=True, errors="replace", timeout=timeout,
                           env=dict(os.environ, ASAN_OPTIONS=asan, UBSAN_OPTIONS="print_stacktrace=1"))
        out, rc = r.stdout + r.stderr, r.returncode
    except subprocess.TimeoutExpired as e:
        out, rc = (e.stderr or b"").decode(errors="replace"), "no end"
    runs = re.search(r"number_of_executed_units: (\d+)", out)
    cov = re.findall(r"cov: (\d+)", out)
    return {"target": target.name, "runs": int(runs[1]) if runs else 0, "edges": int(cov[-1]) if cov else 0, "rc": rc,
            "seconds": round(time.monotonic() - t0, 1)}, out


def short(word=""):
    """Yields (result, output) of each target."""
    for t in targets(word):
        work = FUZZ / "work" / t.name
        shutil.rmtree(work, ignore_errors=True)
        n = unpack(t, work / "tree")
        (work / "new").mkdir()
        more = RUNS.get(t.name, RUNS.get(kind(t), SHORT_RUNS)) * (20 if os.environ.get("HELIUM_LONG") else 1)
        yield run(t, [f"-runs={n + more}"], [work / "new", work / "tree"], 1200)


def long(word, seconds):
    for t in targets(word):
        corpus = CORPUS / t.name
        unpack(t, FUZZ / "work" / t.name / "tree")
        corpus.mkdir(parents=True, exist_ok=True)
        yield run(t, [f"-max_total_time={seconds}"], [corpus, FUZZ / "work" / t.name / "tree"], seconds + 300)


def minimise(word):
    """Merge what was found of each kind of target and keep as much of it as fits, small inputs first."""
    for k in sorted({kind(t) for t in targets(word)}):
        members = [t for t in targets(word) if kind(t) == k]
        best = next((t for t in members if t.name.endswith("-all")), members[0])
        out = FUZZ / "work" / (k + "-merged")
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        tree = FUZZ / "work" / k / "tree"
        unpack(best, tree)
        run(best, ["-merge=1"], [out, tree, *(c for t in members if (c := CORPUS / t.name).exists())], 900)
        lines, size = [], 0
        for f in sorted(out.iterdir(), key=lambda f: (f.stat().st_size, f.name)):
            size += 2 * f.stat().st_size + 1
            if size > SEED_BYTES:
                break
            lines.append(f.read_bytes().hex())
        (HERE / "seeds").mkdir(exist_ok=True)
        (HERE / "seeds" / k).write_text("\n".join(filter(None, lines)) + "\n")
        print(f"{k}: {len(lines)} of {len(list(out.iterdir()))} inputs")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--time", type=int, default=0)
    p.add_argument("--minimise", action="store_true")
    p.add_argument("-k", dest="word", default="")
    o = p.parse_args()
    if o.minimise:
        return minimise(o.word)
    failed, results = 0, []
    for r, out in long(o.word, o.time) if o.time else short(o.word):
        results.append(r)
        failed += r["rc"] != 0
        print(f"{'not ok' if r['rc'] else 'ok'} {len(results)} - {r['target']}", flush=True)
        print(f"# {r['runs']} executions, {r['edges']} edges, {r['seconds']} s, ended with {r['rc']}", flush=True)
        if r["rc"]:
            print(out[-5000:])
    if not results:
        print("not ok 1 - no targets are built")
        return 1
    (FUZZ / ("long.json" if o.time else "short.json")).write_text(json.dumps(results, indent=1))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
