# SPDX-License-Identifier: MIT
"""Machines, boot entries, files and options that cannot be used: one clear line and a halt, or a warning and a boot. A
reset without that line (a triple fault: QEMU ends, -no-reboot) is a failure."""
import random
import re
import socket

import pytest

import own
from machine import CACHE

HELLO = own.GUESTS / "hello.elf"
BOOTS = r"GUEST PASS hello"
FAIL = r"\(XEN\) Cannot start dom0: [^\n]*\n"


def stops(pattern, **kw):
    """Stops with a line and stays there, for whoever is to read it."""
    out = own.power_on(until=pattern, timeout=30, stays_s=0.7, **kw)
    tail = out[out.index("(XEN)"):] if "(XEN)" in out else out
    assert "Panic" not in tail and "GUEST" not in tail, tail[-2000:]
    return out


def boots(*patterns, kernel=HELLO, timeout=30, **kw):
    out = own.power_on(kernel=kernel, timeout=timeout, **kw)
    assert BOOTS in out, out[-2000:]
    for p in patterns:
        assert p in out, f"{p!r} is not in\n{out[-4000:]}"
    return out


# ---- the machine ----

@pytest.mark.parametrize("cpu,text", [("qemu64,-svm", "has no SVM"), ("max,-svm", "has no SVM"),
                                      ("max,-npt", "no nested paging"), ("Skylake-Client", "has no SVM"),
                                      ("max,-nx", "no NX")])
def test_cpu_without(cpu, text):
    out = own.power_on(until=text + r"[^\n]*\n", timeout=30, stays_s=0.7, cpu=cpu)
    assert text in out, out[-2000:]
    assert "#UD" not in out and "rip " not in out, out[-2000:]     # a line, not a dump


def test_old_cpu():
    assert "64-bit" in stops(r"64-bit[^\n]*", cpu="qemu32")


def test_no_iommu():
    out = stops(FAIL, iommu=False)
    assert "dom0-iommu=none" in out


def test_machine_check():
    """A hardware error is told bank by bank before the machine is reset."""
    m = own.Small(iommu=False, xen="noreboot")          # halted, but its machine checks are on
    real = m.command
    m.command = lambda: real() + ["-chardev", f"socket,id=mon,path={m.tmp}/mon,server=on,wait=off", "-mon", "mon"]
    m.start()
    try:
        m.child.expect(FAIL, timeout=30)
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(f"{m.tmp}/mon")
            s.sendall(b"mce 0 4 0xbe00000000000000 0x5 0x12345000 0x8c\n")
            m.child.expect(r"Panic on CPU 0:\s+\(XEN\) machine check\s", timeout=10)
            assert "bank 4: status be00000000000000 address 0000000012345000" in m.child.before, m.child.before
            m.child.expect(r"Halted \(noreboot\)", timeout=10)
    finally:
        m.off()


def test_no_iommu_accepted():
    out = boots("devices of dom0 are not confined", "swiotlb=force", iommu=False, xen="dom0-iommu=none")
    assert "AMD-Vi: 1" not in out


def test_malformed_acceptance_is_none():
    """A malformed option is ignored as a whole, also this dangerous one."""
    out = stops(FAIL, iommu=False, xen="dom0-iommu=none,strange")
    assert "malformed" in out


def test_iommu_off():
    stops(FAIL, xen="iommu=off")
    boots("not confined", xen="iommu=off dom0-iommu=none")


@pytest.mark.parametrize("mem", [16, 32, 64])
def test_little_memory(mem):
    """One line says how much there is and how much is needed."""
    out = stops(r"Cannot start: [^\n]*\n", mem=mem, dom0_mem="")
    m = re.search(r"\(XEN\) Cannot start: too little memory, (\d+) MiB of RAM found, at least (\d+) MiB are needed\n", out)
    assert m, out[-2000:]
    assert mem - 2 <= int(m.group(1)) <= mem < int(m.group(2)) <= 128


def test_small_machine_boots():
    boots(mem=128, dom0_mem="32M")


def test_maxcpus():
    out = boots(smp=4, xen="maxcpus=2")
    assert "CPUs: 2 x" in out
    out = boots(smp=4, xen="nosmp")
    assert "CPUs: 1 x" in out


@pytest.mark.long
def test_more_cpus_than_supported():
    boots("32 CPUs more than the 64 supported", "CPUs: 64 x", smp=96, mem=1024, timeout=120)


def test_no_acpi():
    out = own.power_on(until=r"ACPI[^\n]*\n|GUEST [^\n]*", timeout=30, qemu=["-no-acpi"])
    assert "ACPI" in out or BOOTS in out, out[-2000:]


@pytest.mark.parametrize("sig", ["APIC", "FACP", "HPET", "MCFG", "IVRS", "SRAT", "DMAR", "XYZW"])
def test_odd_acpi_tables(sig, tmp_path):
    """A second table of the kind with garbage in it (QEMU gives it a good checksum). IVRS: the only one."""
    body = tmp_path / "body"
    body.write_bytes(random.Random(sig).randbytes(200))
    kw = dict(iommu=False, xen="dom0-iommu=none") if sig == "IVRS" else {}
    boots(qemu=["-acpitable", f"sig={sig},data={body}"], **kw)


@pytest.mark.parametrize("size", [0, 1, 3, 11])
def test_short_acpi_table(size, tmp_path):
    body = tmp_path / "body"
    body.write_bytes(b"\xff" * size)
    tables = []
    for sig in ("APIC", "MCFG", "IVRS"):
        tables += ["-acpitable", f"sig={sig},data={body}"]
    boots(qemu=tables, iommu=False, xen="dom0-iommu=none")


# ---- files ----

def test_no_kernel():
    stops(r"\(XEN\) [^\n]*no dom0 kernel[^\n]*|" + FAIL, kernel="")


def damaged(tmp_path, name, edit):
    data = bytearray((CACHE / name if name.startswith("vmlinu") else HELLO).read_bytes())
    f = tmp_path / "kernel"
    f.write_bytes(edit(data))
    return f


@pytest.mark.parametrize("what", ["empty", "short", "text", "zeros", "random"])
def test_kernel_is_no_kernel(what, tmp_path):
    f = tmp_path / "kernel"
    f.write_bytes({"empty": b"", "short": b"\x7fELF", "text": b"This is no kernel.\n" * 500, "zeros": bytes(100000),
                   "random": random.Random(1).randbytes(100000)}[what])
    out = stops(FAIL, kernel=f)
    assert "kernel" in out[out.index("Cannot start dom0"):] or what == "empty", out[-500:]


@pytest.mark.parametrize("keep", [40, 63, 64, 100, 200, 4096, 9000])
def test_kernel_truncated(keep, tmp_path):
    stops(FAIL, kernel=damaged(tmp_path, "hello", lambda d: d[:keep]))


def test_kernel_without_note(tmp_path):
    out = stops(FAIL, kernel=damaged(tmp_path, "hello", lambda d: d.replace(b"Xen\0", b"Zen\0")))
    assert "PVH" in out


@pytest.mark.parametrize("offset,value", [(4, 7), (18, 3), (32, 255), (39, 0xff), (54, 1), (56, 200), (0x58, 0xff), (0x60, 0xff)])
def test_kernel_damaged_header(offset, value, tmp_path):
    """One byte of the ELF or program header: a line, or the byte did not matter."""
    def edit(d):
        d[offset] = value
        return d
    out = own.power_on(until=FAIL + "|GUEST PASS", timeout=30, kernel=damaged(tmp_path, "hello", edit))
    assert "Cannot start dom0" in out or "GUEST PASS" in out, out[-2000:]


vmlinuz = pytest.mark.skipif(not (CACHE / "vmlinuz").exists(), reason="no stock kernel in .cache")


@vmlinuz
@pytest.mark.parametrize("keep", [0x250, 0x400, 1 << 20])
def test_bzimage_truncated(keep, tmp_path):
    stops(FAIL, kernel=damaged(tmp_path, "vmlinuz", lambda d: d[:keep]), mem=1024, dom0_mem="512M")


@vmlinuz
@pytest.mark.parametrize("at", [0x206, 0x248, 0x258, 0x260, 0x5000, 0x400000])
def test_bzimage_corrupt(at, tmp_path):
    """Boot protocol, payload place, address, size, code that is not used, compressed data."""
    def edit(d):
        d[at:at + 4] = b"\xff\xff\xff\xff" if at != 0x206 else b"\x00\x02\xff\xff"
        return d
    f = damaged(tmp_path, "vmlinuz", edit)
    out = own.power_on(until=FAIL + "|Linux version", timeout=120, kernel=f, mem=1024, dom0_mem="512M",
                       linux="earlyprintk=xen", cpu="max,-smap")
    if at != 0x5000:
        assert "Cannot start dom0" in out, out[-2000:]


def test_initrd_is_optional():
    boots()


def test_initrd_empty(tmp_path):
    f = tmp_path / "initrd"
    f.write_bytes(b"")
    boots(initrd=f)


# ---- options ----

@pytest.mark.parametrize("size", ["1M", "2M", "4K", "0"])
def test_dom0_mem_too_small(size):
    stops(FAIL, dom0_mem=size)


@pytest.mark.parametrize("size", ["100G", "511M", "", "max:64M", "min:10M,max:50%,40M", "-400M"])
def test_dom0_mem_fits(size):
    boots(dom0_mem=size)


@pytest.mark.parametrize("option", ["dom0_mem=garbage", "dom0_mem=12X", "dom0_mem=150%", "dom0_max_vcpus=x", "loglvl=loud",
                                    "maxcpus=many", "com1=teletype", "spec-ctrl=nonsense", "dom0-iommu=none,strange"])
def test_malformed_option_is_named(option):
    out = boots(xen=option)
    name = option.split("=")[0]
    assert any(name in l and "Command line" not in l for l in out.split("\n")), out[:1500]


def test_unknown_options_are_named():
    out = boots(xen="frobnicate no-such-thing=5 hvm_debug=1")
    said = [l for l in out.split("\n") if "Command line" not in l]
    for name in ("frobnicate", "such-thing"):
        assert any(name in l for l in said), out[:1500]


def test_accepted_options():
    boots(xen="console=vga,com1 sched=credit2 ucode=scan smt=on noreboot=off dom0=pvh vga=keep")


def test_long_command_line():
    boots(xen=" ".join(f"unknown{i}=1" for i in range(150)))


def test_too_many_vcpus():
    boots(xen="dom0_max_vcpus=500")
