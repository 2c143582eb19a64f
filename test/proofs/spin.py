#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Check the Spin models of this folder, each also in weakened forms that must fail. One line each, TAP-like:
"ok 1 - fifo", so that test/run.py counts them. Without spin the checks are skipped."""
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
# model, definitions, does it hold?
CHECKS = [("fifo", [], True), ("fifo", ["WEAK_TAIL"], False), ("fifo", ["WEAK_READY"], False),
          ("fifo", ["HOSTILE"], True), ("fifo", ["HOSTILE", "WEAK_BOUND"], False),
          ("destroy", [], True), ("destroy", ["WEAK_WAIT"], False)]


def holds(model, defs, work):
    """True, False, or text of what went wrong with the tool."""
    r = subprocess.run(["spin", "-a", *(f"-D{d}" for d in defs), str(HERE / f"{model}.pml")], cwd=work, capture_output=True, text=True)
    if r.returncode or not (Path(work) / "pan.c").exists():
        return r.stdout + r.stderr
    subprocess.run(["gcc", "-O0", "-w", "-DSAFETY", "-DVECTORSZ=2048", "-o", "pan", "pan.c"], cwd=work, check=True)
    out = subprocess.run(["./pan", "-m100000"], cwd=work, capture_output=True, text=True, timeout=300).stdout
    if "max search depth too small" in out or "errors: " not in out:
        return out
    return "errors: 0" in out


def main():
    failed = 0
    for n, (model, defs, expected) in enumerate(CHECKS, 1):
        name = "-".join([model, *defs]).lower()
        if not shutil.which("spin"):
            print(f"ok {n} - {name} # SKIP spin is not installed")
            continue
        with tempfile.TemporaryDirectory(prefix="helium.") as work:
            got = holds(model, defs, work)
        good = got is expected
        failed += not good
        print(f"{'ok' if good else 'not ok'} {n} - {name}", flush=True)
        if not good:
            print(f"# expected {expected}, got {got}")
    return 1 if failed else 0


sys.exit(main())
