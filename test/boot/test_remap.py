# SPDX-License-Identifier: MIT
"""Interrupt remapping: what a device that lies can reach. The test kernel `remap` drives two devices of QEMU; where it
asks for it, this side changes their registers from outside, through QEMU's qtest socket. Booted once with remapping and
once without it, where the same attacks must succeed."""
import functools
import re
import socket
import time

import pexpect
import pytest

import own

MODES = {"remapped": "", "open": "iommu=no-intremap"}


class Outside:
    """Physical memory of the machine, as seen from QEMU."""

    def __init__(self, path):
        self.s = socket.socket(socket.AF_UNIX)
        for _ in range(100):
            try:
                self.s.connect(str(path))
                break
            except OSError:
                time.sleep(0.1)
        self.s.settimeout(20)

    def ask(self, text):
        self.s.sendall(text.encode() + b"\n")
        answer = b""
        while not answer.endswith(b"\n"):
            answer += self.s.recv(200)
        assert answer.startswith(b"OK"), (text, answer)
        return answer.decode().split()

    def read(self, at):
        return int(self.ask(f"readl {at:#x}")[1], 16)

    def write(self, at, value):
        self.ask(f"writel {at:#x} {value:#x}")


@functools.lru_cache(maxsize=None)
def result(mode):
    m = own.Small(kernel=own.GUESTS / "remap.elf", xen=MODES[mode])
    m.linux_args = mode
    edu = "edu,dma_mask=0xffffffffffffffff,addr="
    m.extra += ["-device", edu + "0x5", "-device", edu + "0x6"]
    real = m.command
    m.command = lambda: real() + ["-qtest", f"unix:{m.tmp}/qtest,server=on,wait=off", "-qtest-log", "none"]
    m.start()
    out = ""
    try:
        outside = Outside(m.tmp / "qtest")
        while True:
            i = m.child.expect([r"ASK (read|write) (\w+) (\w+) (\w+)\r*\n", pexpect.EOF, pexpect.TIMEOUT], timeout=120)
            out += m.child.before
            assert i < 2, f"still running:\n{out[-3000:]}"
            if i:
                break
            what, at, value, answer = m.child.match.groups()
            if what == "write":
                outside.write(int(at, 16), int(value, 16))
            else:
                outside.write(int(answer, 16) + 4, outside.read(int(at, 16)))
            outside.write(int(answer, 16), 1)
    finally:
        m.off()
    return own.Result("remap", out.replace("\r", ""))


@pytest.mark.parametrize("mode", MODES)
def test_end(mode):
    r = result(mode)
    assert r.end == "PASS", r.tail()
    assert f"interrupts are {'remapped' if mode == 'remapped' else 'not remapped'}\n" in r.out, r.out[:6000]


CASES = [(m, n) for m in MODES for n in own.names("remap") if (m, n) != ("open", "other_kinds")]


@pytest.mark.parametrize("mode,name", CASES)
def test_verdict(mode, name):
    r = result(mode)
    verdict, why = r.verdicts.get(name, ("missing", r.tail()))
    assert verdict == "ok", why


@pytest.mark.parametrize("mode", MODES)
def test_hypervisor_vector(mode):
    """The vector that only the hypervisor could have given away was raised three times, or never."""
    out = result(mode).out
    count = re.findall(r"vector 0xf2: +(\d+)  no handler now", out)
    assert count == ([] if mode == "remapped" else ["3"])
    assert f"Interrupts of devices are {'' if mode == 'remapped' else 'not '}remapped" in out
