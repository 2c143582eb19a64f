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
    "xsa": dict(console=own.QUIET, timeout=120),
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


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 5))
def test_fuzz_long(seed):
    r = own.result("fuzz", console=own.QUIET, smp=4, xen="dom0_max_vcpus=1", linux=f"s=60 seed={seed}", timeout=600)
    assert r.end == "PASS", r.tail()
