# SPDX-License-Identifier: MIT
"""Options that no other test needs: what each changes, on the machine's lines or as dom0 sees it (test/guest/options.c). Many
to a boot; the second boot, without them, shows that it was the option. x2apic, nmi and the order of reboot's ways need other
machines: test_lapic, test_nmi and test_reset in test/unit."""
import functools
import re
import shutil
import tempfile
from pathlib import Path

import pexpect
import pytest

import own

ALL = dict(console="com1=115200,8n1 com2=57600,7e2 console=com1,com2 guest_loglvl=all",
           xen="conring_size=128K sync_console x2apic=on mem=300M nmi=ignore tsc=unstable conswitch=bx console_timestamps "
               "console_to_ring gnttab_max_maptrack_frames=2 reboot=triple ucode=nmi ucode=nmi=off dom0-iommu=strict")
FEW = dict(console=own.QUIET + ",com2 guest_loglvl=none", xen="console_to_ring reboot=kbd sync_console=off conswitch=b x2apic=off")
NONE = dict(console=own.QUIET, xen="")


@functools.lru_cache(maxsize=None)
def boot(which):
    """The serial line, com2's bytes, QEMU's log of resets and of the keyboard controller."""
    tmp = Path(tempfile.mkdtemp(prefix="helium."))
    m = own.Small(kernel=own.GUESTS / "options.elf", linux="type",
                  qemu=["-serial", f"file:{tmp}/com2", "-d", "cpu_reset,trace:pckbd_kbd_write_command", "-D", f"{tmp}/log"],
                  **{"all": ALL, "few": FEW, "none": NONE}[which]).start()
    out = ""
    try:
        m.expect(r"type\r", 60)
        out += m.child.before
        if which == "all":              # what is typed goes to the hypervisor first
            m.child.send("m")
            m.expect(r"free for domains", 20)
            out += m.child.before + m.child.after
        m.child.send("\x02\x02\x02")
        if which != "none":
            m.expect(r"Serial input to \w+[^\r]*", 20)
            out += m.child.before + m.child.after
        if which == "few":
            m.child.send("\x02\x02\x02")
            m.expect(r"Serial input to DOM0", 20)
        m.child.send(".")
        assert m.child.expect([pexpect.EOF, pexpect.TIMEOUT], 30) == 0
        out += m.child.before
        return out.replace("\r", ""), (tmp / "com2").read_bytes(), (tmp / "log").read_text(errors="replace")
    finally:
        m.off()
        shutil.rmtree(tmp)


# option -> boot, what its line or dom0 shows
SHOWS = [
    ("conswitch", "all", r"Serial input to Helium \(type 'CTRL-b' three times"),
    ("conswitch", "all", r"'m' pressed[^\n]*\n[^\n]*free for domains"),
    ("conswitch", "all", r"Serial input to DOM0[^\n]*\n(.*\n)*typed: 1\n"),
    ("conswitch", "few", r"typed: 1\n"),
    ("conswitch", "none", r"Serial input to DOM0 \(type 'CTRL-a' three times"),
    ("conswitch", "none", r"typed: 4\n"),
    ("console_timestamps", "all", r"\n\(XEN\) \[ +\d+\.\d{6}\] PCI: "),
    ("console_timestamps", "none", r"\n\(XEN\) PCI: "),
    ("mem", "all", r"21\d MiB of RAM above 0x12c00000 stay unused \(mem="),
    ("tsc", "all", r"no invariant TSC \(tsc=unstable\)"),
    ("tsc", "none", r"no invariant TSC\n"),
    ("x2apic", "all", r"x2apic: this CPU has none(.*\n)*.*Local APIC: xAPIC mode"),
    ("guest_loglvl", "all", r"\(d0\) through port 0xE9"),
    ("gnttab_max_maptrack_frames", "all", r"domain with 2 maptrack frames: 0\n"),
    ("gnttab_max_maptrack_frames", "all", r"domain with 3 maptrack frames: -22\n"),
    ("gnttab_max_maptrack_frames", "none", r"domain with 1024 maptrack frames: 0\n"),
    ("gnttab_max_maptrack_frames", "none", r"domain with 1025 maptrack frames: -22\n"),
    ("console_to_ring", "all", r"last mark in the ring: 1\n"),
    ("console_to_ring", "none", r"last mark in the ring: 0\n"),
    ("conring_size", "all", r"first mark in the ring: 1\n"),
    ("conring_size", "few", r"first mark in the ring: 0\nlast mark in the ring: 1\n"),
]


@pytest.mark.parametrize("option,which,shows", SHOWS, ids=[f"{o}-{w}-{i}" for i, (o, w, _) in enumerate(SHOWS)])
def test_effect(option, which, shows):
    out = boot(which)[0]
    assert re.search(shows, out), out[-6000:]


# option -> boot, what must not be there
LACKS = [
    ("guest_loglvl", "few", r"\(d0\)"),
    ("guest_loglvl", "none", r"\(d0\)"),
    ("mem", "none", r"stay unused"),
    ("x2apic", "few", r"x2apic: "),
    ("any", "all", r"unknown option|malformed"),
    ("any", "few", r"unknown option|malformed"),
]


@pytest.mark.parametrize("option,which,lacks", LACKS, ids=[f"{o}-{w}" for o, w, _ in LACKS])
def test_no_effect(option, which, lacks):
    out = boot(which)[0]
    assert "GUEST PASS options" in out, out[-3000:]
    found = re.search(".*(" + lacks + ").*", out)
    assert not found, found.group()


def test_com2():
    """With its own parameters; only where console= names it."""
    assert b"Local APIC: " in boot("all")[1]
    assert b"Local APIC: " in boot("few")[1]
    assert not boot("none")[1]


def test_sync_console():
    """Output is out before anything else happens, with the option and without: the reset comes right after the last words."""
    for which in ("all", "few", "none"):
        assert re.search(r"rebooting machine \(reason 1\)\n\s*$", boot(which)[0]), boot(which)[0][-500:]


@pytest.mark.parametrize("which,triple,keyboard", [("all", 1, 0), ("few", 0, 1), ("none", 0, 0)])
def test_reboot(which, triple, keyboard):
    """The way that was asked for is taken; by default the ACPI register (port 0xcf9 here), which both others leave alone."""
    log = boot(which)[2]
    assert ("Triple fault" in log) == triple, log[-1000:]
    assert bool(re.search(r"0xfe", log)) == keyboard, log[-1000:]
