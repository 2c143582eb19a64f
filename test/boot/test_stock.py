# SPDX-License-Identifier: MIT
"""Debian's kernel as dom0 with a busybox initrd: CPUs, power-off, compressed kernel, console switch, consoles, UEFI."""
import hashlib
import os
import re
import subprocess

import pexpect
import pytest

import own
from machine import CACHE, OVMF, STOCK_CPU, Machine, make_esp

pytestmark = pytest.mark.skipif(not (CACHE / "vmlinux").exists() or not (CACHE / "guest.initrd").exists(),
                                reason="no stock kernel in .cache (make images)")
STOCK = dict(kernel=CACHE / "vmlinux", initrd=CACHE / "guest.initrd", disk=False, cpu=STOCK_CPU, mem=1024, dom0_mem="512M")


def stock(**kw):
    return Machine(**{**STOCK, **kw})


def run_once(command, timeout=240, **kw):
    """Boot, run one command line in dom0, power off; the machine must really go off. The console's text."""
    m = stock(linux="t.run=" + command.replace(" ", "%20"), **kw).start()
    try:
        m.expect(r"GUEST: up, [^\n]*", timeout)
        up = m.child.after
        m.expect(r"GUEST: rc \d+", 60)
        out = up + m.child.before + m.child.after
        i = m.child.expect([pexpect.EOF, pexpect.TIMEOUT], timeout=30)
        assert i == 0, f"powered off, but the machine is still on:\n{m.child.before[-2000:]}"
        return (out + m.child.before).replace("\r", "")
    finally:
        m.off()


@pytest.mark.parametrize("cpus", [1, pytest.param(2, marks=pytest.mark.long), 4])
def test_cpus_and_power_off(cpus):
    out = run_once("cat /sys/hypervisor/type /sys/hypervisor/version/major /sys/hypervisor/version/minor; "
                   "cat /proc/interrupts | head -40", smp=cpus)
    assert f"GUEST: up, {cpus} cpus" in out
    assert re.search(r"^xen\n4\n17\n", out, re.M), out[-1500:]
    assert "GUEST: rc 0" in out
    assert "Hardware Dom0" not in out or "crashed" not in out


def test_without_iommu():
    """DMA by bounce buffers in dom0's own memory; the disk is read through them."""
    out = run_once("dmesg | grep -ci swiotlb", iommu=False, xen="dom0-iommu=none", smp=1)
    assert "GUEST: rc 0" in out


def test_compressed_kernel():
    """vmlinuz is unpacked by the loader inside dom0's own machine."""
    out = run_once("true", kernel=CACHE / "vmlinuz", smp=2, timeout=300)
    assert "GUEST: up, 2 cpus" in out


def test_small_dom0_with_a_large_initrd(tmp_path):
    """60 MiB that do not compress, and vmlinuz unpacked beside them, in 256 MiB."""
    (tmp_path / "filler").write_bytes(os.urandom(58 << 20))
    filler = subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], input=b"filler\n", cwd=tmp_path, check=True,
                            capture_output=True).stdout
    first = (CACHE / "guest.initrd").read_bytes()
    (tmp_path / "initrd").write_bytes(first + bytes(-len(first) % 4) + filler)
    assert (tmp_path / "initrd").stat().st_size > 59 << 20
    out = run_once("md5sum /filler; grep MemTotal /proc/meminfo", kernel=CACHE / "vmlinuz", initrd=tmp_path / "initrd", smp=1,
                   dom0_mem="256M", timeout=400)
    assert hashlib.md5((tmp_path / "filler").read_bytes()).hexdigest() in out
    assert "GUEST: rc 0" in out


def test_console_vga():
    out = run_once("true", console="com1=115200,8n1 console=com1,vga loglvl=all", smp=1)
    assert "malformed" not in out


@pytest.mark.long
def test_reboot():
    m = stock(linux="t.run=reboot%20-f", smp=1).start()
    try:
        m.expect("GUEST: up", 240)
        assert m.child.expect([pexpect.EOF, pexpect.TIMEOUT], timeout=40) == 0, m.child.before[-1500:]
    finally:
        m.off()


def test_kernel_panic_is_a_crash():
    m = stock(linux="panic=1 t.run=echo%20c%20>%20/proc/sysrq-trigger", smp=1).start()
    try:
        m.expect("GUEST: up", 240)
        i = m.child.expect([r"Hardware Dom0 [^\n]*\n", pexpect.EOF, pexpect.TIMEOUT], timeout=40)
        assert i == 0, m.child.before[-1500:]
        assert "crashed" in m.child.after or "reboot" in m.child.after
        assert m.child.expect([pexpect.EOF, pexpect.TIMEOUT], timeout=20) == 0
    finally:
        m.off()


def test_console_switch():
    """Three times Ctrl-a: what is typed goes to Helium (debug keys), and back to dom0."""
    m = stock(smp=2).start()
    try:
        m.expect("GUEST: up", 240)
        m.expect(r"# ", 30)
        m.child.send("\x01\x01\x01")
        m.expect(r"\(XEN\) \*\*\* Serial input to Xen[^\n]*|\(XEN\) \*\*\* Serial input to Helium[^\n]*", 20)
        for key, shows in (("h", r"show this list"), ("q", r"d0: alive"), ("d", r"rip "), ("c", r"CPU"), ("m", r"RAM: "),
                           ("t", r"TSC "), ("e", r"d0: "), ("g", r"d0: "), ("i", r"vector 0x"),
                           ("r", r"d0: weight 256, cap 0%"), ("a", r"CPU1: \d+ timers"), ("Q", r"00:00\.0: dom0's"),
                           ("M", r"\d+ message interrupts"), ("V", r"Device table: \d+ entries"), ("v", r"  tr   sel ")):
            m.child.send(key)
            m.expect(rf"'{key}' pressed", 20)
            m.expect(shows, 20)
        m.child.send("\x01\x01\x01")
        m.expect(r"Serial input to DOM0", 20)
        m.child.send("echo 6*7=$((6*7))\n")
        m.expect(r"6\*7=42", 30)
        m.child.send("poweroff -f\n")
        assert m.child.expect([pexpect.EOF, pexpect.TIMEOUT], timeout=40) == 0
    finally:
        m.off()


# ---- UEFI ----

efi = pytest.mark.skipif(not OVMF.exists(), reason="no OVMF")


@efi
def test_efi_boot():
    out = run_once("dmesg | grep -i 'efi:' | head -3", loader="efi", kernel=CACHE / "vmlinuz", smp=2, timeout=400)
    assert "GUEST: up, 2 cpus" in out


class BadConfig(own.Small):
    """xen.cfg as given."""
    text = ""

    def _esp(self):
        cfg, junk = self.tmp / "xen.cfg", self.tmp / "junk"
        cfg.write_bytes(self.text)
        junk.write_bytes(b"no microcode" * 1000)
        make_esp(self.tmp / "esp.img", {"EFI/BOOT/BOOTX64.EFI": self.hypervisor, "EFI/BOOT/xen.cfg": cfg,
                                        "EFI/BOOT/hello": self.kernel, "EFI/BOOT/junk": junk})


CONFIGS = {
    "empty": (b"", r"no configuration file|no kernel="),
    "no_kernel": (b"[global]\ndefault=a\n[a]\noptions=console=com1\n", r"no kernel="),
    "missing_file": (b"[global]\ndefault=a\n[a]\nkernel=nothere x\n", r"cannot read file 'nothere'"),
    "missing_initrd": (b"[global]\ndefault=a\n[a]\nkernel=hello\nramdisk=notthere\n", r"cannot read file 'notthere'"),
    "missing_section": (b"[global]\ndefault=zzz\n[a]\nkernel=hello\n", r"zzz"),
    "garbage": (bytes(range(1, 256)) * 40, r"no kernel="),
    "long_line": (b"[global]\ndefault=a\n[a]\nkernel=hello " + b"x" * 5000 + b"\n", r"too long"),
}


@efi
@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in ("garbage", "missing_initrd") else pytest.mark.long)
                                  for n in CONFIGS])
def test_efi_bad_config(name):
    text, expected = CONFIGS[name]
    m = BadConfig(loader="efi")
    m.text = text
    m.start()
    try:
        m.expect(r"Helium: [^\r\n]*" + expected, 120)
    finally:
        m.off()


ODD_CONFIGS = {
    # Comments, blanks, DOS line ends, unknown keys, sections in any order, no line end at the end.
    "odd": (b"; comment\r\n\r\n[a]\r\nunknown=5\r\noptions=com1=115200,8n1 console=com1 dom0_mem=64M\r\n"
            b"kernel=hello one two\r\n# more\r\n[b]\r\nkernel=nothere\r\n[global]\r\ndefault=a", "GUEST PASS hello"),
    # Without default= the headers do not count.
    "no_default": (b"[a]\noptions=com1=115200,8n1 console=com1 dom0_mem=64M\n[b]\nkernel=hello\n", "GUEST PASS hello"),
    # Looked at, and no update for this CPU.
    "microcode": (b"options=com1=115200,8n1 console=com1 dom0_mem=64M\nkernel=hello\nucode=junk\n",
                  "the file has nothing newer for this CPU.*GUEST PASS hello"),
}


@efi
@pytest.mark.parametrize("name", ODD_CONFIGS)
def test_efi_odd_config_boots(name):
    m = BadConfig(loader="efi")
    m.text, expected = ODD_CONFIGS[name]
    m.start()
    try:
        m.expect("(?s)" + expected, 120)
    finally:
        m.off()
