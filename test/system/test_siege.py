# SPDX-License-Identifier: MIT
"""Random hypercalls, ports, MSRs, addresses and instructions from a guest of four vCPUs on four CPUs, for a minute, while a
second guest watches its own memory and clock and the stock dom0 goes on with its work (test/guest/fuzz.c)."""
import re
import time

import pytest
from guests import Dom0
from machine import BUILD, Machine

pytestmark = pytest.mark.long
SECONDS = 180           # of the witness, which decides how long it goes on
LIMIT = 30              # seconds that any command in dom0 may take; QEMU's four CPUs are one thread of the host
WORK = {"xl dmesg > /dev/null": False, "xl create -q /tmp/small.cfg": True, "xl info > /dev/null": True,
        "xl destroy small": False}      # command -> is the small guest there afterwards?
ENDS = ("on_poweroff", "on_reboot", "on_crash")


@pytest.fixture(scope="module")
def four():
    # Of the many words about a guest like this none may come between those of the shell.
    d = Dom0(Machine(smp=4, mem=2048, console="com1=115200,8n1 console=com1 guest_loglvl=none", log=BUILD / "logs/siege.log"))
    d.m.boot()
    d.prepare()
    yield d
    d.m.off()


def configure(d, name, role, vcpus, end):
    d.config(name, kernel=d.put_kernel("fuzz"), ramdisk=None, memory=64, vcpus=vcpus, extra=role, **dict.fromkeys(ENDS, end))


def reason(d, name):
    """The code with which a preserved domain has shut down; None: it still runs."""
    code = d.sh(f"xl list -v {name} | tail -n 1").split()[-2]
    return int(code) if code.isdigit() else None


class Clock:
    """Commands in dom0, each in its time; how long the longest took."""
    def __init__(self, d):
        self.d, self.longest = d, 0

    def sh(self, command):
        t0 = time.monotonic()
        out = self.d.sh(f"timeout {LIMIT} {command}", LIMIT + 30)
        self.longest = max(self.longest, time.monotonic() - t0)
        return out


def xl_list(clock):
    """name -> id; dom0 is there with all its CPUs."""
    rows = [line.split() for line in clock.sh("xl list").splitlines()[1:]]
    assert rows[0][:2] == ["Domain-0", "0"] and rows[0][3] == "4", rows
    return {r[0]: r[1] for r in rows}


def test_siege(four, record_property):
    """Besiegers die of the code that they run, or after 20 s; then the next one comes."""
    d, clock = four, Clock(four)
    configure(d, "small", "witness s=1000", 1, "destroy")
    configure(d, "besieger", "besieger s=20", 4, "destroy")
    configure(d, "witness", f"witness s={SECONDS}", 1, "preserve")
    for _ in range(2):          # what is allocated once for ever
        d.sh("xl create -q /tmp/small.cfg; xl destroy small", 120)
    before, lines = d.exact_free(), int(d.sh("dmesg | wc -l"))
    d.sh("xl create -q /tmp/witness.cfg", 120)
    besiegers = works = 0
    while reason(d, "witness") is None:
        for command in WORK:
            if d.run("xl domid besieger")[0]:
                clock.sh("xl create -q /tmp/besieger.cfg")
                besiegers += 1
            clock.sh(command)
            there = xl_list(clock)
            assert ("small" in there) == WORK[command], there
        works += 1
    told = d.log("witness")
    record_property("siege", f"{besiegers} besiegers, dom0's longest command {clock.longest:.1f} s, {told}")
    assert reason(d, "witness") == 0, told
    assert re.search(r"witness: \d+ rounds, 0 wrong pages, clock back 0 times", told), told
    assert besiegers >= 3 and works >= 2, (besiegers, works)
    d.tidy()
    d.wait_free(before)
    log = d.sh(f"dmesg | tail -n +{lines + 1}")
    assert not re.search(r"Oops|BUG:|general protection|Call Trace|hung task", log), log[-3000:]
