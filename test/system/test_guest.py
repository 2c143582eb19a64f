# SPDX-License-Identifier: MIT
"""Stock PVH guests by stock xl."""
import re
import time

import pytest


@pytest.mark.parametrize("vcpus", [1, 2, 4])
def test_guest_runs_and_powers_off(dom0, vcpus):
    dom0.create("a", run="nproc", vcpus=vcpus)
    dom0.wait_log("a", rf"GUEST: up, {vcpus} cpus")
    dom0.wait_gone("a")
    assert re.search(rf"^{vcpus}\r?$", dom0.log("a"), re.M)


def test_console(dom0):
    dom0.create("a")
    dom0.wait_log("a", r"Leave its console")
    out = dom0.sh("(sleep 2; printf 'echo sum $((40 + 2))\\r'; sleep 3; printf '\\035') | timeout 20 script -qec 'xl console a' /dev/null")
    assert "sum 42" in out


def test_several_guests_at_once(dom0):
    for name in "abc":
        dom0.create(name, memory=96)
    for name in "abc":
        dom0.wait_log(name, "GUEST: up")
    assert set(dom0.domains()) == {"a", "b", "c"}


def test_shutdown_and_memory_comes_back(dom0):
    before = dom0.free_kib()
    dom0.create("a")
    dom0.wait_log("a", "GUEST: up")
    assert dom0.free_kib() < before
    dom0.sh("timeout 90 xl shutdown -w a", 100)
    dom0.wait_gone("a")
    time.sleep(1)
    assert dom0.free_kib() == before


def test_reboot(dom0):
    dom0.create("a")
    dom0.wait_log("a", "GUEST: up")
    first = dom0.domains()["a"][0]
    dom0.sh("xl reboot a")
    end = time.monotonic() + 120
    while dom0.domains().get("a", (first,))[0] == first:
        assert time.monotonic() < end
        time.sleep(1)
    dom0.wait_log("a", "(?s)GUEST: up.*GUEST: up")


def test_destroy(dom0):
    dom0.create("a")
    dom0.wait_log("a", "GUEST: up")
    dom0.sh("xl destroy a")
    dom0.wait_gone("a", 20)


def test_crash_is_preserved_when_asked(dom0):
    dom0.create("a", run="echo c > /proc/sysrq-trigger", on_crash="preserve", extra="sysrq_always_enabled")
    end = time.monotonic() + 120
    while "c" not in dom0.domains().get("a", (0, 0, 0, ""))[3]:
        assert time.monotonic() < end, dom0.sh("xl list")
        time.sleep(1)


def test_crash_destroys(dom0):
    dom0.create("a", run="echo c > /proc/sysrq-trigger", extra="sysrq_always_enabled")
    dom0.wait_gone("a")


def test_pause_and_unpause(dom0):
    dom0.create("a")
    dom0.wait_log("a", "GUEST: up")
    dom0.sh("xl pause a")
    assert "p" in dom0.domains()["a"][3]
    used = float(dom0.sh("xl list a").split()[-1])
    time.sleep(2)
    assert float(dom0.sh("xl list a").split()[-1]) == used
    dom0.sh("xl unpause a")
    assert "p" not in dom0.domains()["a"][3]


def test_trigger_nmi_is_survived(dom0):
    dom0.create("a")
    dom0.wait_log("a", "GUEST: up")
    dom0.sh("xl trigger a nmi")
    time.sleep(1)
    assert "a" in dom0.domains()


def test_network(dom0):
    dom0.create("a", run="sleep 3; ping -c 3 192.168.77.1", extra="t.ip=192.168.77.2", vif=["bridge=xenbr0"])
    dom0.wait_log("a", r"3 packets transmitted, 3 packets received")
    dom0.wait_gone("a")


def test_disk_by_blkback(dom0):
    dom0.sh("truncate -s 64M /root/disk.raw")
    disk_round(dom0, "format=raw,vdev=xvda,access=rw,target=/root/disk.raw")


def test_disk_by_qdisk(dom0):
    dom0.sh("qemu-img create -q -f qcow2 /root/disk.qcow2 64M")
    disk_round(dom0, "format=qcow2,vdev=xvda,access=rw,backendtype=qdisk,target=/root/disk.qcow2")


def disk_round(dom0, disk):
    """Write and read back in one guest, and read again in another."""
    dom0.create("a", run="dd if=/dev/urandom of=/tmp/x bs=64k count=64; dd if=/tmp/x of=/dev/xvda bs=64k; sync; "
                         "echo 3 > /proc/sys/vm/drop_caches; echo sum $(dd if=/dev/xvda bs=64k count=64 | md5sum) "
                         "$(md5sum < /tmp/x)", disk=[disk])
    dom0.wait_gone("a")
    m = re.search(r"sum ([0-9a-f]{32})\s+- ([0-9a-f]{32})", dom0.log("a"))
    assert m and m.group(1) == m.group(2), dom0.log("a")[-1500:]
    dom0.create("b", run="echo sum $(dd if=/dev/xvda bs=64k count=64 | md5sum)", disk=[disk])
    dom0.wait_gone("b")
    assert m.group(1) in dom0.log("b")


def test_pv_guest_in_the_shim(dom0):
    dom0.create("a", run="cat /sys/hypervisor/guest_type", memory=512, type="pvh", pvshim=1)
    dom0.wait_log("a", r"GUEST: rc 0", 240)
    assert re.search(r"^PV\r?$", dom0.log("a"), re.M)


@pytest.mark.long
def test_ten_cycles_leak_nothing(dom0):
    def cycle():
        dom0.sh("xl create -q -p /tmp/a.cfg && xl destroy a", 120)
    dom0.config("a", memory=128)
    cycle()
    before = exact_free(dom0)
    for _ in range(10):
        cycle()
    time.sleep(1)
    assert exact_free(dom0) == before


def exact_free(dom0):
    """Free MiB for domains and KiB of heap by the hypervisor's own account (debug key m)."""
    dom0.sh("xl dmesg -c > /dev/null; xl debug-keys m; sleep 1")
    return re.search(r"free for domains (\d+) MiB, hypervisor heap (\d+) KiB", dom0.hypervisor_log()).groups()
