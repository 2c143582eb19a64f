# SPDX-License-Identifier: MIT
"""Helium with one of the own test kernels (test/guest) as dom0. Each kernel is booted once; its verdict lines
("ok - name", "not ok - name: why", "skip - name: why") are then looked up by the tests."""
import functools
import re
import time

import pexpect

from machine import BUILD, TOP, Machine

GUESTS = BUILD / "guest"
# Messages about guests' mistakes at their usual, limited rate.
QUIET = "com1=115200,8n1 console=com1"


def names(kernel):
    """The tests of a kernel: its TEST(...) rows."""
    return re.findall(r"^ +TEST\((\w+)\)", (TOP / f"test/guest/{kernel}.c").read_text(), re.M)


class Small(Machine):
    """What own kernels need: 512 MiB, 1 CPU, no disk. kernel="": no module at all."""

    def __init__(self, **kw):
        args = dict(kernel=GUESTS / "hello.elf", disk=False, mem=512, smp=1, dom0_mem="64M", cpu="max")
        args.update(kw)
        self.no_module = args["kernel"] == ""
        super().__init__(**args)

    def command(self):
        q = super().command()
        if self.no_module and "-initrd" in q:
            i = q.index("-initrd")
            del q[i:i + 2]
        return q


def power_on(timeout=60, until=pexpect.EOF, stays_s=0, **kw):
    """Run a machine until it goes off or shows `until`, after which it must stay on for stays_s seconds. Returns what came
    out of the serial line."""
    m = Small(**kw).start()
    try:
        i = m.child.expect([until, pexpect.EOF, pexpect.TIMEOUT], timeout=timeout)
        out = (m.child.before or "") + (m.child.after if isinstance(m.child.after, str) else "")
        if i == 0 and stays_s:
            i = (0, 3)[m.child.expect([pexpect.TIMEOUT, pexpect.EOF], timeout=stays_s)]
            out += m.child.before or ""
    finally:
        m.off()
    out = out.replace("\r", "")
    assert i != 2, f"still running after {timeout} s:\n{out[-3000:]}"
    assert i != 3, f"the machine was reset or went off after {until!r}:\n{out[-3000:]}"
    return out


class Result:
    def __init__(self, kernel, out):
        self.kernel, self.out = kernel, out
        self.verdicts = {n: (v, why) for v, n, why in
                         re.findall(r"^(ok|not ok|skip) - (\w+)(?:: (.*))?$", out, re.M)}
        m = re.search(r"^GUEST (PASS|FAIL) ", out, re.M)
        self.end = m.group(1) if m else None

    def tail(self):
        return self.out[-2500:]


@functools.lru_cache(maxsize=None)
def result(kernel, timeout=60, **kw):
    t0 = time.monotonic()
    kw = dict(kw)
    kw["kernel"] = GUESTS / f"{kernel}.elf"
    r = Result(kernel, power_on(timeout, **kw))
    r.seconds = time.monotonic() - t0
    return r
