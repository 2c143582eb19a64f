#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""`make bench`: Helium beside Debian's own Xen on the same machine, figures into doc/performance.md.

    tools/bench.py [--hypervisor build/xen] [--kernel build/guest/bench.elf]
    tools/bench.py --saved          rows with Debian's dom0 from the last run (build/bench/stock.json)
    tools/bench.py --quick          operations only: no boots at 8 GiB, no builds; prints, writes nothing

QEMU runs with -icount shift=0: each instruction takes one nanosecond and the TSC counts them, so figures are path
lengths and repeat exactly; caches and TLBs do not count. Everything in the page comes out of a run of this script."""
import argparse
import json
import os
import re
import shlex
import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOP / "test/lib"))
CACHE = Path(os.environ.get("HELIUM_CACHE", TOP / ".cache"))
OUT = TOP / "build/bench"
DOM0_MEM = "512M"
REFERENCE = "Xen of Debian"


def run(*cmd, **kw):
    return subprocess.run([str(c) for c in cmd], check=True, capture_output=True, text=True, **kw).stdout


# ---- the machine of the micro-benchmarks ----

class Boot:
    """One boot of a hypervisor with the bench kernel as dom0: what it said, instructions up to dom0's entry."""

    def __init__(self, name, hypervisor, kernel, mem, args="", count=False):
        log = OUT / ("-".join([name, mem, *args.split(), *["count"] * count]) + ".log")
        q = ["qemu-system-x86_64", "-accel", "tcg,thread=single", "-M", "q35", "-cpu", "max", "-m", mem, "-smp", "1",
             "-display", "none", "-monitor", "none", "-serial", f"file:{log}", "-no-reboot", "-nic", "none",
             "-device", "amd-iommu", "-icount", "shift=0,sleep=off", "-rtc", "clock=vm,base=2026-01-01",
             "-kernel", hypervisor, "-initrd", f"{kernel} {args}",
             "-append", f"placeholder com1=115200,8n1 console=com1 dom0=pvh dom0_mem={DOM0_MEM} loglvl=all guest_loglvl=all"]
        if count:
            entry = struct.unpack_from("<I", Path(hypervisor).read_bytes(), 0x18)[0]
            q += ["-plugin", f"{OUT}/libcount.so,entry={entry:#x},out={log}.count,profile={log}.profile"]
        print(f"   {name}, {mem} MiB{', ' + args if args else ''}{', counting' if count else ''}", flush=True)
        subprocess.run([str(a) for a in q], check=True, timeout=900)
        self.text = log.read_text(errors="replace")
        if "GUEST PASS bench" not in self.text:
            sys.exit(f"bench: the kernel did not finish under {name}, see {log}")
        self.ops = {m[1]: (int(m[2]), int(m[3])) for m in re.finditer(r"BENCH ([^|\n]+)\|(\d+)\|(\d+)", self.text)}
        self.values = {m[1]: int(m[2]) for m in re.finditer(r"VALUE ([^|\n]+)\|(\d+)", self.text)}
        m = re.search(r"Helium: (\d+) TSC ticks from entry to dom0 entry, (\d+) ns waited", self.text)
        self.logged = (int(m[1]), int(m[2])) if m else None
        if count:
            total, waited = map(int, Path(f"{log}.count").read_text().split())
            self.total, self.waited, self.own = total, waited, total - waited


def measure(o):
    ref = OUT / "xen-reference"
    ref.write_bytes(run_bytes("gzip", "-dc", CACHE / "xen-reference.gz"))
    run("gcc", "-shared", "-fPIC", "-O2", "-fvisibility=hidden", TOP / "test/perf/count.c", "-o", OUT / "libcount.so")
    r = {}
    for name, file in (("helium", o.hypervisor), ("reference", ref)):
        r[name] = {"1024": Boot(name, file, o.kernel, "1024")}
        if o.quick:
            continue
        for mem in ("1024", "8192"):
            b = Boot(name, file, o.kernel, mem, "memory-only", count=True)
            r[name]["own" + mem] = b
        r[name]["scattered"] = Boot(name, file, o.kernel, "1024", "memory-only scattered")
    return r


def run_bytes(*cmd):
    return subprocess.run([str(c) for c in cmd], check=True, capture_output=True).stdout


# ---- sizes and build ----

def builds():
    """Build from clean beside the tree's own build; sizes of the files with and without the dom0 loader."""
    out = {}
    # Ahead of other processes, where the kernel lets us: nearly as on an idle machine.
    first = ["setsid", "-w", "sh", "-c", 'echo -15 2> /dev/null > /proc/self/autogroup; exec "$@"', "sh"]
    for name, args in (("with", []), ("without", ["HAVE_LOADER=0"])):
        b = OUT / f"build-{name}"
        shutil.rmtree(b, ignore_errors=True)
        before, t0 = os.times(), time.monotonic()
        print(f"   build {name} the loader", flush=True)
        run(*first, "make", "-C", TOP, "-j2", "all", f"B={b}", *args)
        after = os.times()
        out[name] = {"seconds": time.monotonic() - t0,
                     "cpu": after.children_user + after.children_system - before.children_user - before.children_system,
                     "efi": stripped(b / "xen.efi"), "gz": (b / "xen.gz").stat().st_size}
        shutil.rmtree(b)
    out["reference"] = {"efi": stripped(CACHE / "xen-reference.efi"), "gz": (CACHE / "xen-reference.gz").stat().st_size}
    return out


def stripped(path):
    """Size without what `strip` takes away; a file that it cannot read has nothing to strip."""
    copy = OUT / "stripped.efi"
    shutil.copy(path, copy)
    subprocess.run(["strip", str(copy)], capture_output=True)
    return copy.stat().st_size


# ---- Debian's dom0 ----

# Free pages of the machine, and pages of a domain, through libxenctrl (public/sysctl.h, domctl.h).
PAGES = r'''
import ctypes, glob, struct, sys
xc = ctypes.CDLL(sorted(glob.glob("/usr/lib/*/libxenctrl.so.4.17*") + glob.glob("/usr/lib/xen-4.17/lib/*/libxenctrl.so*"))[0])
xc.xc_interface_open.restype = ctypes.c_void_p
x = ctypes.c_void_p(xc.xc_interface_open(None, None, 0))
b = ctypes.create_string_buffer(4096)
xc.xc_physinfo(x, b)
free = struct.unpack_from("<Q", b, 48)[0]
xc.xc_domain_getinfolist(x, int(sys.argv[1]), 1, b)
print("PAGES", free, struct.unpack_from("<Q", b, 8)[0])
'''


def type_slowly(child):
    """The reference loses characters that come faster than dom0 takes them."""
    send = child.send

    def pieces(text):
        for i in range(0, len(text), 8):
            send(text[i:i + 8])
            time.sleep(0.05)
    child.send = pieces


def stock_one(name, hypervisor, xen):
    from machine import Machine
    print(f"   {name} with Debian's dom0", flush=True)
    m = Machine(hypervisor=hypervisor, smp=1, mem=2048, xen=xen, icount="shift=0", log=OUT / f"stock-{name}.log")
    try:
        type_slowly(m.start().child)
        m.expect(r"root@helium:~# ", 1800)
        m.login()
        m.sh("for i in $(seq 120); do xl list > /dev/null 2>&1 && break; sleep 1; done; xl list", 600)
        for line in PAGES.strip().splitlines():     # not too much at once for the serial line
            m.sh(f"echo {shlex.quote(line)} >> /tmp/pages.py")
        pages = lambda dom: [int(n) for n in re.search(r"PAGES (\d+) (\d+)", m.sh(f"python3 /tmp/pages.py {dom}"))[0].split()[1:]]

        def heap():
            """Pages of Helium's heap. Free memory shows it only in steps of 2 MiB. The reference has no such line."""
            found = re.findall(r"hypervisor heap (\d+) KiB", m.sh("xl debug-keys m; xl dmesg | tail -n 5 | cut -d ' ' -f 2-"))
            return int(found[-1]) // 4 if found else 0
        log = "/var/log/xen/console/guest-demo.log"
        create = "xl create -q /etc/xen/demo.cfg 'extra=\"console=hvc0\"' 'vif=[]'"
        m.sh(f"xl create -p -q /etc/xen/demo.cfg 'vif=[]'; xl destroy demo; sleep 5; rm -f {log}", 600)    # warm up
        free0, heap0 = pages(0)[0], heap()
        start = time.monotonic()
        t = m.sh(f"a=$(date +%s%N); {create}; b=$(date +%s%N); for i in $(seq 3000); do grep -qs 'Linux version' {log} "
                 "&& break; sleep .02; done; c=$(date +%s%N); echo TIMES $(((b-a)/1000000)) $(((c-a)/1000000))", 1800)
        quiet = os.getloadavg()[0] < os.cpu_count() + 0.5
        wall = time.monotonic() - start if quiet else None
        t = [int(n) for n in re.search(r"TIMES (\d+) (\d+)", t).groups()]
        m.sh(f"for i in $(seq 300); do grep -qs 'GUEST: up' {log} && break; sleep 1; done; sleep 5", 600)
        dom = m.sh("xl domid demo").split()[-1]
        free1, own = pages(dom)
        return {"wall_s": wall, "create_ms": t[0], "first_line_ms": t[1], "overhead_pages": max(free0 - free1 - own, heap() - heap0)}
    finally:
        m.off()


def stock(o):
    ref = OUT / "xen-reference"
    ref.write_bytes(run_bytes("gzip", "-dc", CACHE / "xen-reference.gz"))
    data = {"helium": stock_one("helium", o.hypervisor, ""), "reference": stock_one("reference", ref, "dom0=pvh"),
            "reference, PV dom0": stock_one("reference-pv", ref, "")}
    (OUT / "stock.json").write_text(json.dumps(data, indent=1))
    return data


# ---- the page ----

def n(x):
    return "–" if x is None else f"{x:,}" if isinstance(x, int) else f"{x:,.1f}"


class Table:
    def __init__(self):
        self.rows, self.missed = [], []

    def row(self, what, ref, helium, limit=None, text=None, unit=""):
        """limit: the most that Helium's figure may be; text: the target as the issue words it."""
        ratio = f"{helium / ref:.2f}" if ref else "–"
        verdict = ""
        if limit is not None:
            verdict = "met" if helium <= limit else f"**missed** by {n(round(helium - limit, 1))}"
            if helium > limit:
                self.missed.append((what, helium, limit))
        self.rows.append(f"| {what} | {n(ref)} | {n(helium)} | {ratio} | {text or (n(limit) if limit else '')} | {verdict} |")

    def __str__(self):
        return "\n".join(["| what | reference | Helium | ratio | Helium at most | |", "|---|--:|--:|--:|---|---|"] + self.rows)


HALF = ["xen_version", "evtchn_send", "CPUID", "port 0x61 read", "unclaimed port read", "LAPIC TPR read",
        "LAPIC TPR write", "LAPIC EOI", "grant map", "grant unmap", "grant copy 4 KiB"]


def operations(t, h, r):
    clear = h.ops["clearing 4 KiB"][0]
    op = lambda name, **kw: t.row(name, r.ops[name][1], h.ops[name][1], **kw)
    for name in HALF:
        op(name, limit=r.ops[name][1] // 2, text="half")
    op("evtchn_send, already pending")
    both = lambda b: b.ops["createdomain"][1] + b.ops["max_vcpus 1"][1]
    t.row("createdomain PVH and 1 vCPU, with its clearing", r.ops["createdomain"][1] + r.ops["max_vcpus 1"][1], both(h),
          limit=40000)
    op("createdomain")
    op("max_vcpus 1")
    op("destroydomain", limit=15000)
    op("create, destroy, until it is gone")
    op("destroy 8 MiB")
    op("populate 2 MiB", limit=512 * clear + 8000, text=f"clearing ({n(512 * clear)}) + 8,000")
    op("populate 2 MiB of reused memory", limit=512 * clear + 8000, text=f"clearing ({n(512 * clear)}) + 8,000")
    t.row("populate 512 x 4 KiB, each", r.ops["populate 512 x 4 KiB"][1] // 512, h.ops["populate 512 x 4 KiB"][1] // 512,
          limit=clear + 1200, text=f"clearing ({n(clear)}) + 1,200")
    op("map a foreign page")
    op("unmap a foreign page", limit=r.ops["unmap a foreign page"][1] // 10, text="a tenth")


def page(r, b, s):
    h, x = r["helium"], r["reference"]
    parts = []

    def section(title, text, fill):
        t = Table()
        fill(t)
        parts.append(f"## {title}\n\n{text}\n\n{t}\n" if t.rows else f"## {title}\n\n{text}\n")
        return t.missed

    missed = section("Operations", f"""Instructions from a PVH dom0's point of view, median of 65 after warm-up, the empty
pair of RDTSC subtracted. QEMU's SVM has no next-RIP save, so the reference spends about
{n(x['1024'].ops['CPUID'][1] - x['1024'].ops['port 0x61 read'][1])} instructions of most exits (the difference between
CPUID and a port read) on finding the instruction's length, which processors with next-RIP save spare it. Grants are
another domain's. The reference clears memory when it is freed or in the idle loop, Helium when it is given out; clearing
4 KiB takes {n(h['1024'].ops['clearing 4 KiB'][0])} instructions here.""", lambda t: operations(t, h["1024"], x["1024"]))

    def boot(t):
        for mem in ("1024", "8192"):
            g = int(mem) // 1024
            base = h["own1024"].own
            t.row(f"own work until dom0's entry, {g} GiB", x["own" + mem].own, h["own" + mem].own,
                  limit=9000000 if g == 1 else min(9900000, base * 11 // 10), text=None if g == 1 else "10 % above 1 GiB")
            t.row(f"waiting until dom0's entry, {g} GiB", x["own" + mem].waited, h["own" + mem].waited)
        parts_note.append(f"At 8 GiB Helium needs {h['own8192'].own / base - 1:.0%} more than at 1 GiB.")

    parts_note = []
    logged = h["own1024"].logged
    missed += section("Boot", f"""Instructions from the hypervisor's first to the first of dom0's kernel (a plain ELF file,
`dom0_mem={DOM0_MEM}`), counted from outside by a QEMU plugin (`test/perf/count.c`), the same for both. Waiting is what it
takes for waiting (loops of few blocks that read a clock), so the split is an estimate for the reference. Helium logs its
waits: by its own clock {n(logged[0] - logged[1])} of {n(logged[0])} instructions were work at 1 GiB.""", boot)
    parts[-1] += "\n" + parts_note[0] + "\n"

    def memory(t):
        held, after = "memory held after boot, KiB", "memory held after ballooning, KiB"
        for mem, most in (("1024", 4096), ("8192", 6144)):
            t.row(f"{held}, {int(mem) // 1024} GiB", x["own" + mem].values[held], h["own" + mem].values[held], limit=most)
        t.row("the same after dom0 gave up half page by page, 1 GiB", x["own1024"].values[after], h["own1024"].values[after],
              limit=x["own1024"].values[after] - 1, text="below the reference")
        after = "memory held after ballooning every second page, KiB"
        t.row("the same after dom0 gave up every second page, 1 GiB", x["scattered"].values[after],
              h["scattered"].values[after], limit=x["scattered"].values[after] - 1, text="below the reference")
        if s:
            t.row("idle PVH guest of 192 MiB beside its RAM, KiB", s["reference"]["overhead_pages"] * 4,
                  s["helium"]["overhead_pages"] * 4, limit=s["reference"]["overhead_pages"], text="a quarter")
    missed += section("Memory", """Total less free (commitments counted as used) less dom0's own pages, by sysctl physinfo. For the
guest, the growth of that from before its creation until it idles; Helium's heap takes memory in steps of 2 MiB, so the
growth of the heap itself counts where it is more.""", memory)

    def sizes(t):
        for k, name, most in (("efi", "xen.efi, stripped", (600000, 1100000)), ("gz", "xen.gz", (300000, 550000))):
            t.row(f"{name}, without the dom0 loader", b["reference"][k], b["without"][k], limit=most[0])
            t.row(f"{name}, with it", b["reference"][k], b["with"][k], limit=most[1])
        t.row("build from clean with -j2, seconds", None, round(b["with"]["seconds"], 1), limit=30)
    missed += section("Files, bytes", f"The build's time is wall clock on the {os.cpu_count()} CPUs that ran this, "
                      f"before other work where possible; {b['with']['cpu']:.0f} s of processor time.", sizes)

    def guests(t):
        line = "`xl create` to the guest's first line"
        for k, name in (("first_line_ms", f"{line}, ms"), ("wall_s", f"{line}, seconds of the host"), ("create_ms", "`xl create`, ms")):
            if not all(v[k] for v in s.values()):
                continue
            judged = k != "create_ms"
            t.row(name, s["reference"][k], s["helium"][k], limit=s["reference"][k] / 2 if judged else None,
                  text="half" if judged else None)
            t.row(f"{name}; reference with PV dom0", s["reference, PV dom0"][k], s["helium"][k])
    if s:
        missed += section("Debian's dom0", """Debian's kernel (plain file) and toolstack on both, one CPU, a PVH guest of 192 MiB.
Also with `-icount`: milliseconds are those of the machine's own wall clock, a million instructions each while it works,
real ones while it waits for its disk. Seconds of the host are how long QEMU took for the same piece of work; they are left
out when the host was busy with other things.""", guests)
    return parts, missed


def write(r, b, s):
    parts, missed = page(r, b, s)
    rev = run("git", "-C", TOP, "describe", "--always", "--dirty").strip()
    qemu = run("qemu-system-x86_64", "--version").split("\n")[0]
    ref = re.search(r"Xen version (\S+ \(Debian [^)]*\))", r["reference"]["1024"].text)
    head = f"""# Performance

Written by `make bench` (`tools/bench.py`) on {time.strftime('%Y-%m-%d')}: Helium {rev} beside {REFERENCE}
({ref[1] if ref else 'xen-hypervisor-4.17-amd64'}) in one run of {qemu}. Both boot the same kernel
(`test/guest/bench.c`) as PVH dom0 on the same machine with an AMD IOMMU and one CPU. `-icount shift=0` makes each
instruction take one nanosecond: figures are path lengths, not times; they repeat exactly.
"""
    tail = "## Missed\n\n" + ("\n".join(
        f"- {what}: {n(v)} instead of {n(limit)} ({v / limit - 1:+.0%})" + (f". {WHY[what]}" if what in WHY else "")
        for what, v, limit in missed) or "Nothing.") + "\n"
    if not s:
        tail += "\nRows with Debian's dom0 are missing: this page was made with `--saved`, and nothing was saved.\n"
    (TOP / "doc/performance.md").write_text("\n".join([head] + parts + [tail]))
    print("doc/performance.md written; missed: " + (", ".join(m[0] for m in missed) or "nothing"))


# Reasons, beside the figures that the run gives.
WHY = {}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--hypervisor", default=TOP / "build/xen")
    p.add_argument("--kernel", default=TOP / "build/guest/bench.elf")
    p.add_argument("--saved", action="store_true")
    p.add_argument("--quick", action="store_true")
    o = p.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    r = measure(o)
    if o.quick:
        t = Table()
        operations(t, r["helium"]["1024"], r["reference"]["1024"])
        print(t)
        return
    b, saved = builds(), OUT / "stock.json"
    s = stock(o) if not o.saved else json.loads(saved.read_text()) if saved.exists() else None
    write(r, b, s)


if __name__ == "__main__":
    main()
