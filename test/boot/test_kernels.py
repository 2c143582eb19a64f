# SPDX-License-Identifier: MIT
"""The own test kernels as dom0: one test per verdict line, and one for the kernel's end."""
import re

import pytest

import own

# kernel -> how it is booted
KERNELS = {
    "hello": {},
    "emulate": dict(console=own.QUIET, timeout=120, xen="hvm_fep"),
    "exits": {},
    "cpu": {},
    "smp": dict(smp=2, xen="dom0_max_vcpus=2"),
    "once": dict(smp=2, xen="dom0_max_vcpus=2"),
    "blkfront": {},
    "legacy": dict(console=own.QUIET, smp=2, xen="hvm_fep"),
    "calls": {},
    "calls_memory": {},
    "calls_events": {},
    "calls_control": {},
    "domains": {},
    "guests": dict(console=own.QUIET),
    "greedy": dict(console=own.QUIET, xen="guest_loglvl=error/all", timeout=120),
    "xsa": dict(console=own.QUIET, timeout=120, linux="pku", xen="ivmd=20000-20201=0:2.0;b0000 rmrr=30000=0:0:1f.2"),
    # Real races, with a host thread for each CPU. QEMU's flaw in that mode (SUPPORT.md) strikes the first CPU only: no domain
    # runs there.
    "race": dict(console=own.QUIET, smp=5, threads="multi", xen="dom0_max_vcpus=4", linux="cpus=30", timeout=600),
    "fuzz": dict(console=own.QUIET, smp=4, xen="dom0_max_vcpus=1", linux="s=6 seed=1", timeout=180),
}
# What went wrong: the kernel's words and, when a guest or the host died, the hypervisor's.
WHY = re.compile(r"^(?:FAILED|not ok|unexpected|   also|\(XEN\) (?:Domain|Panic|  (?:rip|cr0))).*", re.M)
CASES = [(k, n) for k in KERNELS for n in own.names(k)]


@pytest.mark.parametrize("kernel", KERNELS)
def test_end(kernel):
    """The kernel reaches its end, finds nothing wrong, and its shutdown reaches the machine."""
    r = own.result(kernel, **KERNELS[kernel])
    assert r.end == "PASS", "\n".join(WHY.findall(r.out)) or r.tail()
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


def test_forced_emulation_needs_its_option():
    r = own.result("emulate", console=own.QUIET, timeout=120)
    assert r.end == "PASS" and r.verdicts["the_prefix_needs_the_option"][0] == "ok", r.tail()
    assert r.verdicts["operands_that_exit"][0] == "ok" and r.verdicts["forced_corner_cases"][0] == "skip", r.tail()
    assert "not security supported" not in r.out
    assert "not security supported" in own.result("emulate", **KERNELS["emulate"]).out


def test_keys_at_once():
    """Four CPUs press a debug key at once: each answer is whole, and no CPU is asked by two. (On a busy host a CPU may take more
    than the second that it has.)"""
    out = own.result("race", **KERNELS["race"]).out
    answers = out.split("'t' pressed -> ")[1:]
    assert len(answers) == 32
    for a in answers:
        lines = a.splitlines()[1:6]
        assert re.match(r"\(XEN\) TSC \d+ kHz", lines[0]), a
        assert all(re.match(r"\(XEN\) CPU\d(: answered \d+ ns after the question| does not answer$)", l) for l in lines[1:]), a
    assert out.count(": answered ") > 64 and "NMI without" not in out


# Test of the kernel "race" -> rounds: about ten minutes at most on two busy CPUs of the host.
ROUNDS = {"xsa_217_stale_translation": 100000, "xsa_218_canary": 30000, "xsa_218_same_handle": 100000,
          "xsa_219_io_into_ballooned_page": 50000}


@pytest.mark.long
@pytest.mark.parametrize("name", ROUNDS)
def test_many_rounds(name):
    """The 10^5 rounds that these races deserve. 219 has half of them, and the canary 3 * 10^4: there each of four vCPUs waits for
    the other three, on fewer CPUs of the host."""
    others = ",".join(n for n in own.names("race") if n not in ("four_vcpus", name))
    r = own.result("race", **(KERNELS["race"] | dict(linux=f"cpus=30 rounds={ROUNDS[name]} not={others}", timeout=1800)))
    assert r.end == "PASS" and r.verdicts[name][0] == "ok", r.tail()


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 5))
def test_fuzz_long(seed):
    r = own.result("fuzz", **(KERNELS["fuzz"] | dict(linux=f"s=60 seed={seed}", timeout=900)))
    assert r.end == "PASS", r.tail()
