# SPDX-License-Identifier: MIT
"""Guests in a booted dom0: configuration files, waiting for what they print, tidying up."""
import base64
import gzip
import re
import subprocess
import tempfile
import time
from pathlib import Path

from machine import BUILD

GUEST_DIR = "/srv/guest"


class Dom0:
    def __init__(self, machine):
        self.m = machine
        self.run, self.sh = machine.run, machine.sh
        self.kernels = set()

    def prepare(self):
        """Wait for the toolstack and note how much memory is free."""
        for _ in range(120):
            if self.run("systemctl is-active -q xen && xl list > /dev/null 2>&1")[0] == 0:
                break
            time.sleep(1)
        self.free_start = self.free_kib()

    def put(self, path, data):
        """Write a file in dom0: text, or bytes (slow: some 10 KB a second)."""
        data = base64.b64encode(data.encode() if isinstance(data, str) else data).decode()
        self.sh(f"rm -f {path}.64")
        for i in range(0, len(data), 1500):
            self.sh(f"echo -n {data[i:i + 1500]} >> {path}.64")
        self.sh(f"base64 -d {path}.64 > {path}; rm {path}.64")

    def config(self, name, run=None, extra="", memory=128, vcpus=1, kernel="vmlinux", **more):
        """Write /tmp/NAME.cfg for a PVH guest; run = command line in the guest, which then powers off."""
        words = f"console=hvc0 panic=1 {extra}" + (f" t.run={run.replace(' ', '%20')}" if run else "")
        keys = dict(name=name, type="pvh", kernel=f"{GUEST_DIR}/{kernel}", ramdisk=f"{GUEST_DIR}/guest.initrd",
                    extra=words, memory=memory, vcpus=vcpus, on_crash="destroy")
        keys.update(more)
        self.put(f"/tmp/{name}.cfg", "".join(f"{k}={v!r}\n" for k, v in keys.items() if v is not None).replace("'", '"'))
        self.sh(f"rm -f /var/log/xen/console/guest-{name}.log")

    def put_kernel(self, name):
        """An own test kernel (test/guest), for `kernel=NAME` of config(); its name. Brought there once."""
        file = f"{name}.elf"
        if file not in self.kernels:
            with tempfile.TemporaryDirectory() as tmp:
                subprocess.run(["strip", "-o", f"{tmp}/{file}", BUILD / "guest" / file], check=True)
                self.put(f"{GUEST_DIR}/{file}.gz", gzip.compress(Path(tmp, file).read_bytes()))
            self.sh(f"gunzip -f {GUEST_DIR}/{file}.gz")
            self.kernels.add(file)
        return file

    def create(self, name, **config):
        self.config(name, **config)
        self.sh(f"xl create -q /tmp/{name}.cfg", 200)

    def log(self, name):
        """What the guest's console has printed; a guest's panic is not to be taken for one of dom0."""
        return self.run(f"sed s/panic/pan~ic/g /var/log/xen/console/guest-{name}.log")[1].replace("pan~ic", "panic")

    def wait_log(self, name, pattern, timeout=120):
        """Wait until the guest's console has printed the pattern; returns the match."""
        end = time.monotonic() + timeout
        while True:
            text = self.log(name)
            m = re.search(pattern, text)
            if m:
                return m
            assert time.monotonic() < end, f"{name} did not print {pattern!r}:\n{text[-2000:]}"
            time.sleep(1)

    def wait_gone(self, name, timeout=120):
        end = time.monotonic() + timeout
        while self.run(f"xl domid {name}")[0] == 0:
            assert time.monotonic() < end, f"{name} is still there:\n{self.sh('xl list')}\n{self.log(name)[-1500:]}"
            time.sleep(1)

    def domains(self):
        """name -> (id, MiB, vCPUs, state) without dom0."""
        rows = [l.split() for l in self.sh("xl list").splitlines()]
        return {r[0]: (int(r[1]), int(r[2]), int(r[3]), r[4]) for r in rows if len(r) == 6 and r[1].isdigit() and r[1] != "0"}

    def free_kib(self):
        return int(re.search(r"free_memory\s*:\s*(\d+)", self.sh("xl info")).group(1)) * 1024

    def uptime(self, name):
        """Seconds, by xl."""
        h, m, s = re.search(r"(\d+):(\d\d):(\d\d)\s*$", self.sh(f"xl uptime {name}")).groups()
        return int(h) * 3600 + int(m) * 60 + int(s)

    def exact_free(self):
        """(KiB free for domains, KiB of hypervisor heap) by the hypervisor's own account (debug key m)."""
        self.sh("xl debug-keys m")
        return [int(n) for n in re.findall(r"free for domains (\d+) KiB, hypervisor heap (\d+) KiB", self.hypervisor_log())[-1]]

    def wait_free(self, before, heap_slack=16, timeout=20):
        """All memory comes back, if not at once (back ends let go when they notice that a guest is gone). That of domains to
        the page; heap pages can be kept by small objects of dom0 that came between: heap_slack KiB. A guest has some 200."""
        end = time.monotonic() + timeout
        while True:
            now = self.exact_free()
            if now[0] == before[0] and now[1] <= before[1] + heap_slack:
                return
            assert time.monotonic() < end, f"before {before}, now {now} (KiB free, KiB heap)"
            time.sleep(1)

    def hypervisor_log(self):
        """Helium's own log (xl dmesg); quoted, so that it is not taken for console noise."""
        return self.sh("xl dmesg | sed 's/^/|/'").replace("|", "")

    def tidy(self):
        """Destroy all guests. More than one round: xl may be about to restart one; and a domain can have lost its name."""
        for _ in range(30):
            rows = re.findall(r"^\S+\s+([1-9]\d*)\s", self.sh("xl list"), re.M)
            if not rows:
                return
            for number in rows:
                self.run(f"xl destroy {number}")
            time.sleep(0.5)
        raise AssertionError("domains that cannot be destroyed:\n" + self.sh("xl list"))
