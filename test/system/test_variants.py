# SPDX-License-Identifier: MIT
"""Another dom0: on a machine without IOMMU (`dom0-iommu=none`) but with all CPU features that QEMU has, with the C xenstored
instead of oxenstored. And what is
left when the daemons of the toolstack are killed in the middle of a create."""
import re
import time

import pytest
from machine import BUILD, Machine
from guests import Dom0
from test_guest import disk_round

XENSTORED = "/usr/lib/xen-4.17/bin/xenstored"


@pytest.fixture(scope="module")
def plain():
    """The init script of the toolstack takes XENSTORED from the environment, which systemd takes from the command line."""
    d = Dom0(Machine(smp=1, mem=2048, cpu="max", iommu=False, xen="dom0-iommu=none", linux=f"systemd.setenv=XENSTORED={XENSTORED}",
                     log=BUILD / "logs/plain.log"))
    d.cpus = 1
    d.m.boot()
    d.prepare()
    yield d
    d.m.off()


@pytest.fixture(autouse=True)
def tidy_plain(plain):
    yield
    plain.tidy()


def test_without_iommu_is_told(plain):
    log = plain.hypervisor_log()
    assert "devices of dom0 are not confined" in log
    assert "hvm_directio" not in plain.sh("xl info")
    assert "swiotlb=force" in plain.sh("cat /proc/cmdline")


def test_c_xenstored_runs(plain):
    assert plain.sh("readlink /proc/$(cat /run/xenstore.pid)/exe").strip() == XENSTORED
    assert plain.sh("xenstore-read /local/domain/0/name") == "Domain-0"


def test_features_that_the_other_dom0_has_not(plain):
    """Linux uses them in dom0 and in a guest: vector registers, protection keys, supervisor-mode access prevention."""
    names = {"avx", "avx2", "pku", "smap", "rdtscp", "xsave"}
    assert names <= set(plain.sh("grep -m1 ^flags /proc/cpuinfo").split())
    plain.create("a", run="grep -m1 ^flags /proc/cpuinfo; i=0; while [ $i -lt 40 ]; do head -c 1048576 /dev/zero | md5sum; i=$((i+1)); done"
                          " | sort -u")
    flags, sums = plain.wait_log("a", r"flags\s*:(.*)\n((?:.*\n)*?)GUEST: rc 0").groups()
    assert {"avx", "avx2", "smap", "rdtscp"} <= set(flags.split())
    assert sums.split() == ["b6d81b360a5672d80c27430f39153e2c", "-"]
    plain.wait_gone("a")


def test_disk(plain):
    """Pages granted by the guest reach the disk through dom0's bounce buffers."""
    plain.sh("truncate -s 64M /root/disk.raw")
    disk_round(plain, "format=raw,vdev=xvda,access=rw,target=/root/disk.raw")


def test_network(plain):
    plain.create("a", run="sleep 3; ping -c 3 192.168.77.1", extra="t.ip=192.168.77.2", vif=["bridge=xenbr0"])
    plain.wait_log("a", r"3 packets transmitted, 3 packets received")
    plain.wait_gone("a")


def test_memory_that_dom0_gives_up_is_kept_for_it(plain):
    """Without IOMMU a frame that left dom0 could still be written by its devices: no guest may get it."""
    free = plain.free_kib()
    plain.sh("xl mem-set 0 600")
    end = time.monotonic() + 60
    while int(plain.sh("xl list 0").split()[-4]) > 600:
        assert time.monotonic() < end, plain.sh("xl list")
        time.sleep(1)
    assert plain.free_kib() == free
    plain.sh("xl mem-set 0 768")
    while int(plain.sh("xl list 0").split()[-4]) < 760:
        assert time.monotonic() < end + 60, plain.sh("xl list")
        time.sleep(1)


# ---- daemons that die; last, because a xenstored that was killed leaves its clients confused ----

def kill_in_create(d, process):
    """Begin to create a guest and, as soon as the hypervisor has the domain with its first event channels, kill the
    process. Returns the memory figures from before. xl is killed too if it got stuck."""
    d.config("a", memory=200)
    d.sh("xl create -q -p /tmp/a.cfg", 120)
    number = d.domains()["a"][0] + 1
    d.tidy()
    before = d.exact_free()
    d.run(f"timeout -s KILL 30 xl create -q /tmp/a.cfg & timeout 30 sh -c 'until /usr/lib/xen-4.17/bin/lsevtchn {number} "
          f"2> /dev/null | grep -q VCPU; do :; done'; kill -9 {process}; wait", 200)
    return before


def test_killed_xenconsoled_loses_nothing(plain):
    before = kill_in_create(plain, "$(pgrep -x xenconsoled)")
    assert plain.run("pgrep -x xenconsoled")[0] != 0
    plain.tidy()
    plain.sh("systemctl restart xen", 200)
    plain.wait_free(before)
    plain.create("b", memory=96)
    plain.wait_log("b", "GUEST: up")


@pytest.mark.parametrize("kind", ["plain", pytest.param("dom0", marks=pytest.mark.long)])
def test_killed_xenstored_loses_nothing(kind, request):
    """The next xenstored (C here, OCaml there) starts with an empty store: what is left of the guest has no name any more,
    but can be destroyed."""
    d = request.getfixturevalue(kind)
    before = kill_in_create(d, "$(cat /run/xenstore.pid)")
    assert d.run("timeout -s KILL 5 xenstore-read /local/domain/0/name")[0] != 0
    d.sh("pkill -9 -x xenconsoled; systemctl restart xen; xl list", 300)
    assert len(re.findall(r"(?m)^\S+\s+\d+ ", d.sh("xl list"))) == 2, "not killed in the middle"
    d.tidy()
    d.wait_free(before)
