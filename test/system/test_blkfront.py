# SPDX-License-Identifier: MIT
"""XSA-216: the back ends of the stock dom0 against test/guest/blkfront.c, and their versions. No hypervisor can repair a back
end that leaks its stack; this says whether the installed ones do."""
import re

import pytest

from machine import TOP

DISK = "/root/blkfront"
BACKENDS = {        # how the disk is made; what xl gets; how dom0 reads its first MiB
    "blkback": (f"truncate -s 64M {DISK}", f"format=raw,vdev=xvda,access=rw,target={DISK}", f"head -c 1M {DISK}"),
    "qdisk": (f"qemu-img create -q -f qcow2 {DISK} 64M",
              f"format=qcow2,vdev=xvda,access=rw,backendtype=qdisk,target={DISK}",
              f"qemu-img dd -f qcow2 -O raw bs=1M count=1 if={DISK} of={DISK}.raw && cat {DISK}.raw"),
}


@pytest.mark.parametrize("layout", ["x86_64", "x86_32"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_no_stack_bytes_in_responses(dom0, backend, layout):
    make, disk, read = BACKENDS[backend]
    dom0.sh(f"rm -f {DISK}; {make}")
    dom0.create("a", kernel=dom0.put_kernel("blkfront"), ramdisk=None, memory=64, extra=f"protocol={layout}-abi", disk=[disk],
                on_reboot="destroy")
    dom0.wait_log("a", r"GUEST (PASS|FAIL) blkfront")
    dom0.wait_gone("a")
    out = dom0.log("a")
    assert re.findall(r"^ok - (\w+)", out, re.M) == ["connects", "answers", "no_stack_bytes", "data_is_right", "lets_go"], out
    assert f"{layout}-abi, requests:" in out
    kinds = {name: (int(n), int(fine)) for name, n, fine in re.findall(r"^ +([\w ]+): (\d+), (\d+) fine", out, re.M)}
    assert sum(n for n, _ in kinds.values()) == 1000 and all(n > 10 for n, _ in kinds.values()), out
    cksum = re.search(r"cksum (\d+) of 1048576", out).group(1)
    assert dom0.sh(f"{{ {read}; }} | cksum").split() == [cksum, "1048576"]


def numbers(text):
    return tuple(int(n) for n in re.findall(r"\d+", text))


def required(component):
    """The versions in SUPPORT.md's row of this component."""
    row = re.search(rf"^\| {component}[^|]*\|([^|]*)\|", (TOP / "SUPPORT.md").read_text(), re.M)
    return [numbers(v) for v in re.findall(r"\d+(?:\.\d+)+", row.group(1).split("(")[0])]


def recent(version, versions):
    """At least the newest of the versions, or a later one of the line of another: 4.9.38 stands for 4.9.38 and later 4.9.n."""
    return version >= max(versions) or any(version[:2] == v[:2] and version >= v for v in versions)


def test_minimum_versions_of_back_ends(dom0, record_testsuite_property):
    linux, qemu = required("Linux with xen-blkback"), required("qemu with the qdisk back end")
    assert linux == [(4, 9, 38), (4, 12)] and qemu == [(2, 10)]
    assert recent((6, 1, 0), linux) and recent((4, 9, 38), linux) and recent((4, 12, 0), linux)
    assert not any(recent(v, linux) for v in ((4, 9, 37), (4, 11, 99), (4, 10, 1), (4, 8, 99), (3, 99))) and not recent((2, 9), qemu)
    release = dom0.sh("uname -r").strip()
    # The qemu that libxl starts for such a disk.
    make, disk, _ = BACKENDS["qdisk"]
    dom0.sh(f"rm -f {DISK}; {make}")
    dom0.config("a", kernel=dom0.put_kernel("blkfront"), ramdisk=None, memory=64, disk=[disk])
    dom0.sh("xl create -q -p /tmp/a.cfg", 200)
    pid = dom0.sh("xenstore-read /local/domain/$(xl domid a)/image/device-model-pid").strip()
    program = dom0.sh(f"readlink /proc/{pid}/exe").strip()
    version = re.search(r"QEMU emulator version (\S+)", dom0.sh(f"{program} --version")).group(1)
    record_testsuite_property("dom0 kernel", release)
    record_testsuite_property("qemu", version)
    assert recent(numbers(release.split("-")[0]), linux), f"dom0's kernel {release} leaks stack bytes to guests (XSA-216)"
    assert recent(numbers(version), qemu), f"{program} {version} leaks stack bytes to guests (XSA-216)"
