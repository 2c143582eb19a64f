# SPDX-License-Identifier: MIT
"""The host's watchdog: a CPU that hangs in the hypervisor is found by another one. A debug key's function is overwritten with
an endless loop, through QEMU's stub for debuggers; interrupts are off in it."""
import re
import socket
import subprocess
import time

import pexpect

import own
from machine import BUILD


def symbols():
    out = subprocess.run(["nm", BUILD / "xen-syms"], check=True, capture_output=True, text=True).stdout
    return {n: int(a, 16) for a, n in re.findall(r"^([0-9a-f]+) \w (\w+)$", out, re.M)}


def poke(path, address, data):
    """Write data to physical memory."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(20)
        s.connect(str(path))

        def ask(packet, answer):
            s.sendall(f"+${packet}#{sum(packet.encode()) & 255:02x}".encode())
            got = b""
            while answer.encode() not in got:
                part = s.recv(4096)
                assert part, f"{packet}: {got}"
                got += part

        ask("Qqemu.PhyMemMode:1", "$OK#")
        ask(f"M{address:x},{len(data):x}:{data.hex()}", "$OK#")
        ask("D", "$OK#")


def hang_in_key(key, function, tmp_path, **kw):
    """Boot, put an endless loop into the key's function, and press it. Returns the machine."""
    gdb = tmp_path / "gdb"
    m = own.Small(kernel=own.GUESTS / "fuzz.elf", smp=2, linux="s=60 seed=1", console=own.QUIET,
                  qemu=["-gdb", f"unix:{gdb},server=on,wait=off"], **kw).start()
    m.expect(r"Hypervisor: \d+ KiB at 0x([0-9a-f]+)", 30)
    base = int(m.child.match.group(1), 16)
    m.expect(("Watchdog: on, 3 seconds.*" if "watchdog" in kw["xen"] else "") + "TSC ticks from entry to dom0 entry", 30)
    sym = symbols()
    poke(gdb, base + sym[function] - sym["_start_image"], b"\xeb\xfe")
    m.child.send("\x01\x01\x01" + key)
    m.expect(rf"'{key}' pressed", 20)
    return m


def test_a_cpu_that_hangs_is_named(tmp_path):
    m = hang_in_key("c", "key_cpus", tmp_path, xen="dom0_max_vcpus=1 watchdog watchdog_timeout=3 noreboot")
    try:
        assert m.child.expect([r"Watchdog: CPU0 handled no timer interrupt for 3 seconds", pexpect.EOF, pexpect.TIMEOUT], 60) == 0
        m.child.expect(r"at \[<[0-9a-f]+>\] key_cpus\+0x0", 20)
        m.child.expect(r"serial_irq_handler\+0x", 20)
        m.child.expect(r"Halted \(noreboot\)", 20)
    finally:
        m.off()


def test_no_watchdog_unless_wanted(tmp_path):
    m = hang_in_key("c", "key_cpus", tmp_path, xen="dom0_max_vcpus=1 noreboot")
    try:
        t0 = time.monotonic()
        assert m.child.expect([r"Watchdog|Panic", pexpect.EOF, pexpect.TIMEOUT], 10) == 2 and time.monotonic() - t0 > 9
    finally:
        m.off()
