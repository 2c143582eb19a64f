# SPDX-License-Identifier: MIT
"""Own test kernels, and Debian's kernel, on Bochs: SVM by other people, with next-RIP save and flush by ASID, which QEMU's has
not. What this emulator (2.7) cannot do is left out by name: it stops when a guest triple-faults, DR6 is not set when an
intercepted #DB exits, it has no IOMMU, so that nothing is reserved for its devices, and the machine's interrupts wait while a
guest runs that was entered with its own switched off, for ever when it does nothing that exits."""
import re

import pytest

import own
from bochs import MISSING, Bochs
from machine import CACHE

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
long = pytest.mark.long

# kernel -> machine, and tests to leave out
KERNELS = {
    "exits": {},
    "cpu": dict(leave=["debug"]),
    "smp": dict(smp=2, xen="dom0_max_vcpus=2"),
    "calls": {},
    "calls_memory": {},
    "calls_events": {},
    "calls_control": {},
    "domains": {},
    "guests": dict(leave=["triple_fault", "spinning", "killed_while_running"]),
    "xsa": dict(leave=["xsa_156_exception_loops", "xsa_378_reserved_for_devices"]),
    "race": dict(smp=4, xen="dom0_max_vcpus=4"),
}
MODELS = {"ryzen": "next-RIP save, flush by ASID, pause filter", "zambezi": "", "trinity_apu": "", "phenom_8650_toliman": ""}


def run(kernel, cpu="ryzen", smp=1, xen="", leave=(), timeout=600):
    """What the kernel printed, and its verdict lines."""
    m = Bochs(cpu=cpu, smp=smp, kernel=own.GUESTS / f"{kernel}.elf", xen=f"dom0_mem=64M {xen}",
              linux=f"not={','.join(leave)}" if leave else "")
    try:
        m.start().expect(r"GUEST (PASS|FAIL) \w+", timeout)
        return own.Result(kernel, (m.child.before + m.child.after).replace("\r", ""))
    finally:
        m.off()


@pytest.mark.parametrize("kernel", [pytest.param(k, marks=[] if k in ("exits", "cpu", "smp") else long) for k in KERNELS])
def test_kernel(kernel):
    r = run(kernel, **KERNELS[kernel])
    assert r.end == "PASS", "\n".join(re.findall(r"^(?:FAILED|not ok|unexpected).*", r.out, re.M)) or r.tail()
    skipped = {n for n, (v, _) in r.verdicts.items() if v == "skip"}
    assert skipped >= set(KERNELS[kernel].get("leave", ()))
    assert not [n for n in own.names(kernel) if n not in r.verdicts]


@pytest.mark.parametrize("cpu", [pytest.param(m, marks=long) for m in MODELS])
def test_model(cpu):
    r = run("exits", cpu)
    assert r.end == "PASS", r.tail()
    assert "SVM: nested paging" in r.out and MODELS[cpu] in r.out


def test_x2apic_and_deadline():
    """An Intel model has both, and no SVM: the boot CPU takes its interrupts and its time with them until that is found."""
    m = Bochs(cpu="corei7_haswell_4770", xen="x2apic=1 dom0_mem=64M")
    try:
        m.start()
        for line in ("Local APIC: x2APIC mode", "Timer: local APIC, TSC deadline", "the CPU has no SVM"):
            m.expect(re.escape(line), 60)
    finally:
        m.off()


@long
@pytest.mark.skipif(not (CACHE / "vmlinux").exists(), reason="no stock kernel in .cache (make images)")
def test_stock_kernel():
    """Debian's kernel with an initrd; without a frame buffer, which is very slow there."""
    m = Bochs(kernel=CACHE / "vmlinux", initrd=CACHE / "guest.initrd", mem=1024, xen="dom0_mem=512M",
              linux="console=hvc0 initcall_blacklist=vesafb_driver_init t.run=true")
    try:
        m.start().expect("GUEST: up, 1 cpus", 1800)
        m.expect("GUEST: rc 0", 120)
    finally:
        m.off()
