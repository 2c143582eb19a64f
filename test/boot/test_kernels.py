# SPDX-License-Identifier: MIT
"""The own test kernels as dom0: one test per verdict line, and one for the kernel's end."""
import re

import pytest

import own

# kernel -> how it is booted
KERNELS = {
    "hello": {},
    "exits": {},
    "cpu": {},
    "smp": dict(smp=2, xen="dom0_max_vcpus=2"),
    "calls": {},
    "domains": {},
    "guests": dict(console=own.QUIET),
    "xsa": dict(console=own.QUIET, timeout=120, xen="ivmd=20000-20201=0:2.0;b0000 rmrr=30000=0:0:1f.2"),
    "race": dict(console=own.QUIET, smp=4, xen="dom0_max_vcpus=4", timeout=180),
    "fuzz": dict(console=own.QUIET, smp=4, xen="dom0_max_vcpus=1", linux="s=6 seed=1", timeout=180),
}
CASES = [(k, n) for k in KERNELS for n in own.names(k)]


@pytest.mark.parametrize("kernel", KERNELS)
def test_end(kernel):
    """The kernel reaches its end, finds nothing wrong, and its shutdown reaches the machine."""
    r = own.result(kernel, **KERNELS[kernel])
    assert r.end == "PASS", "\n".join(re.findall(r"^(?:FAILED|not ok|unexpected).*", r.out, re.M)) or r.tail()
    assert "rebooting machine (reason 1)" in r.out, r.tail()
    missing = [n for n in own.names(kernel) if n not in r.verdicts]
    assert not missing, f"no verdict of {missing}"


@pytest.mark.parametrize("kernel,name", CASES, ids=[f"{k}-{n}" for k, n in CASES])
def test_verdict(kernel, name):
    r = own.result(kernel, **KERNELS[kernel])
    verdict, why = r.verdicts.get(name, ("missing", r.tail()))
    if verdict == "skip":
        pytest.skip(why)
    assert verdict == "ok", why


def test_reserved_ranges():
    """ivmd= and rmrr= are taken, each for its devices; RAM and overlaps are refused with the reason."""
    r = own.result("hello", xen="ivmd=20000-20201=0:2.0,0:3.0-0:3.7;b0000;20001;1000-1001 rmrr=30000=0:0:1f.2")
    assert r.end == "PASS", r.tail()
    lines = re.findall(r"AMD-Vi: reserved range (.*)", r.out)
    assert lines == ["0x20000000-0x20202000 mapped for devices 00:02.0 to 00:02.0",
                     "0x20000000-0x20202000 mapped for devices 00:03.0 to 00:03.7",
                     "0xb0000000-0xb0001000 mapped for devices 00:00.0 to ff:1f.7",
                     "0x20001000-0x20002000 ignored: it overlaps another one",
                     "0x1000000-0x1002000 ignored: RAM, or too long",
                     "0x30000000-0x30001000 mapped for devices 00:1f.2 to 00:1f.2"]
    bad = own.result("hello", xen="ivmd=20000-1ffff rmrr=1")
    assert bad.end == "PASS" and "reserved range" not in bad.out, bad.tail()
    assert len(re.findall(r"Option '(?:ivmd|rmrr)=\S+' is malformed and ignored", bad.out)) == 2


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 5))
def test_fuzz_long(seed):
    r = own.result("fuzz", console=own.QUIET, smp=4, xen="dom0_max_vcpus=1", linux=f"s=60 seed={seed}", timeout=600)
    assert r.end == "PASS", r.tail()
