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
    before = dom0.exact_free()
    dom0.create("a")
    dom0.wait_log("a", "GUEST: up")
    assert dom0.exact_free()[0] <= before[0] - 128 * 1024
    dom0.sh("timeout 90 xl shutdown -w a", 100)
    dom0.wait_gone("a")
    dom0.wait_free(before)


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


# on_crash -> what is there when xl has handled the crash: name (without a date in it) -> is it the crashed one?
CRASH = {
    "destroy": {},
    "preserve": {"a": True},
    "restart": {"a": False},
    "rename-restart": {"a": False, "a-": True},
    "coredump-destroy": {},
}


def there(dom0, first):
    return {re.sub(r"-\d{8}T\d{4}Z$", "-", name): row[0] == first and "c" in row[3] for name, row in dom0.domains().items()}


@pytest.mark.parametrize("how", [pytest.param(h, marks=pytest.mark.long if "-" in h else []) for h in CRASH])
def test_crash(dom0, how):
    """`xl sysrq` makes the guest's kernel panic."""
    dom0.sh("rm -rf /var/lib/xen/dump; mkdir -p /var/lib/xen/dump")
    dom0.create("a", on_crash=how, extra="sysrq_always_enabled")
    dom0.wait_log("a", "GUEST: up")
    first = dom0.domains()["a"][0]
    dom0.sh("xl sysrq a c")

    # libxc tries to map every frame number below the special pages at 4 GiB, a million of them.
    end = time.monotonic() + (2400 if "coredump" in how else 90)
    while there(dom0, first) != CRASH[how]:
        assert time.monotonic() < end, f"{dom0.sh('xl list')}\n{dom0.log('a')[-1000:]}"
        time.sleep(1)
    if "restart" in how:
        dom0.wait_log("a", "(?s)GUEST: up.*GUEST: up")
    if "coredump" in how:
        check_core(dom0)


def check_core(dom0):
    """The dump is an ELF core file with all of the guest's memory."""
    name = dom0.sh("ls /var/lib/xen/dump/*").strip()
    assert dom0.sh(f"head -c 4 {name} | od -An -tx1").split() == ["7f", "45", "4c", "46"]
    assert int(dom0.sh(f"stat -c %s {name}")) > 128 << 20
    # The kernel's own banner is in the guest's memory.
    assert int(dom0.sh(f"grep -c 'Linux version 6' {name}")) > 0
    dom0.sh(f"rm {name}")


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


def test_trigger(dom0):
    """An NMI reaches the guest's kernel; what has no meaning for a PVH guest is refused and does nothing."""
    dom0.create("a")
    dom0.wait_log("a", "GUEST: up")
    dom0.sh("xl trigger a nmi")
    dom0.wait_log("a", r"NMI|Dazed and confused", 20)
    for what in ("power", "sleep", "reset", "init"):
        assert "failed" in dom0.run(f"xl trigger a {what}")[1]
    assert "a" in dom0.domains()


def test_figures_are_true(dom0):
    """vcpu-list, top and uptime of an idle guest agree with each other and with what was asked for."""
    dom0.create("a", vcpus=2, memory=128, vif=["bridge=xenbr0"])
    dom0.wait_log("a", "GUEST: up, 2 cpus")
    t0, age = time.monotonic(), dom0.uptime("a")
    listed, *vcpus, top, later = dom0.sh("xl list a | tail -n 1; xl vcpu-list a | tail -n +2; "
                                         "xentop -b -i 2 -d 4 | grep ' a -' | tail -n 1; xl list a | tail -n 1").splitlines()
    used, used_later = float(listed.split()[-1]), float(later.split()[-1])
    assert [v.split()[2] for v in vcpus] == ["0", "1"] and all("all / all" in v for v in vcpus), vcpus
    assert abs(sum(float(v.split()[5]) for v in vcpus) - used) < 1, (listed, vcpus)
    assert all(v.split()[4] in ("-b-", "r--", "---") for v in vcpus), vcpus
    top = top.split()
    assert used - 1 <= float(top[2]) <= used_later + 1 and float(top[3]) < 25, (used, top, used_later)
    assert 131072 <= int(top[4]) <= 131072 + 512 and top[8:10] == ["2", "1"], top
    assert abs(dom0.uptime("a") - age - (time.monotonic() - t0)) < 5


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
    """With a network and a disk, of which back ends map pages; the guest runs for a while in every cycle."""
    dom0.sh("truncate -s 16M /root/disk.raw")
    dom0.config("a", memory=96, vif=["bridge=xenbr0"], disk=["format=raw,vdev=xvda,access=rw,target=/root/disk.raw"])

    def cycle():
        dom0.sh("xl create -q /tmp/a.cfg", 120)
        dom0.wait_log("a", "GUEST: up")
        dom0.sh("xl destroy a; rm /var/log/xen/console/guest-a.log", 120)
    for _ in range(2):      # what is allocated once for ever
        cycle()
    time.sleep(2)
    before = dom0.exact_free()
    for _ in range(10):
        cycle()
    dom0.wait_free(before, heap_slack=0)
