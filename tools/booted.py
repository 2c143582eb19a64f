# SPDX-License-Identifier: MIT
"""Lines of the hypervisor's image that the own test kernels make it execute, seen from outside by a QEMU plugin
(test/perf/cover.c) and brought back to lines by the image's line table. The image is the one that everybody runs: the
optimiser has moved code about, so a line counts as executed if any instruction of it was."""
import json
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
BUILD = TOP / "build"
OUT = BUILD / "booted"
sys.path[:0] = [str(TOP / "test/lib"), str(TOP / "test/boot")]


def text(*cmd):
    return subprocess.run([str(c) for c in cmd], check=True, capture_output=True, text=True, cwd=TOP).stdout


def image_range():
    at = {n: int(a, 16) for a, n in re.findall(r"^([0-9a-f]+) \w (_stext|_etext)$", text("nm", BUILD / "xen-syms"), re.M)}
    return at["_stext"], at["_etext"]


def line_table():
    """[(address, source, line, begins a statement)], by address."""
    rows, source = [], None
    for line in text("readelf", "-wL", "-W", BUILD / "xen-syms").splitlines():
        if m := re.match(r"CU: (?:\./)?(\S+):$", line):
            source = m[1]
        elif m := re.match(r"(\S+) +(\d+) +0x([0-9a-f]+)(?: +\d+)?( +x)?", line):
            if source and source.endswith("/" + m[1]):
                rows.append((int(m[3], 16), source, int(m[2]), bool(m[4])))
    return rows


def boot_all():
    """Each kernel once, with the plugin."""
    import own
    import test_kernels
    start, end = image_range()
    OUT.mkdir(parents=True, exist_ok=True)
    subprocess.run(["gcc", "-shared", "-fPIC", "-O2", "-fvisibility=hidden", "test/perf/cover.c", "-o", str(OUT / "libcover.so")],
                   check=True, cwd=TOP)
    for name, how in test_kernels.KERNELS.items():
        how = dict(how, timeout=2 * how.get("timeout", 60))
        out = OUT / f"{name}.hits"
        out.unlink(missing_ok=True)
        serial = own.power_on(kernel=own.GUESTS / f"{name}.elf",
                              qemu=["-plugin", f"{OUT}/libcover.so,start={start:#x},end={end:#x},out={out}"], **how)
        if "GUEST PASS" not in serial or not out.exists():
            sys.exit(f"coverage: the kernel {name} did not pass:\n{serial[-2000:]}")
        print(f"   booted {name}", flush=True)
    (OUT / "lines.json").write_text(json.dumps(lines()))


def lines():
    """{source: {line: executed}}"""
    hit = set()
    for f in OUT.glob("*.hits"):
        for row in f.read_text().splitlines():
            at, n = row.split()
            hit.update(range(int(at, 16), int(at, 16) + int(n)))
    found = defaultdict(dict)
    for at, source, n, stmt in line_table():
        if at in hit:
            found[source][n] = True
        elif stmt:
            found[source].setdefault(n, False)
    return found


def load():
    """What the last boots gave, if there were any."""
    f = OUT / "lines.json"
    return {s: {int(n): x for n, x in l.items()} for s, l in json.loads(f.read_text()).items()} if f.exists() else {}
