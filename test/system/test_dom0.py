# SPDX-License-Identifier: MIT
"""An administrator's dom0 must not notice that the hypervisor under it is new."""
import re


def test_units_run(dom0):
    out = dom0.sh("systemctl --failed --no-legend; systemctl is-active xen xendomains")
    assert out.split() == ["active", "active"]


def test_xl_info(dom0):
    info = dict(re.findall(r"^(\S+)\s*: (.*)$", dom0.sh("xl info"), re.M))
    assert info["xen_version"].startswith("4.17.")
    assert info["nr_cpus"] == str(dom0.cpus) and info["virt_caps"] == "hvm hap gnttab-v1"
    assert 2040 <= int(info["total_memory"]) <= 2048
    assert info["xen_scheduler"] == "credit2"
    assert "dom0_mem=768M" in info["xen_commandline"]


def test_xl_list(dom0):
    row = dom0.sh("xl list").splitlines()[1].split()
    assert row[0] == "Domain-0" and row[3] == str(dom0.cpus) and 766 <= int(row[2]) <= 768 and row[4] == "r-----"


def test_uptime(dom0):
    """Of dom0: what its own kernel says."""
    assert abs(dom0.uptime(0) - float(dom0.sh("cut -d' ' -f1 /proc/uptime"))) < 15


def test_dmesg_and_debug_keys(dom0):
    """Every key that `h` lists and that leaves the machine on says what its name promises."""
    dom0.sh("xl debug-keys h")
    log = dom0.hypervisor_log()
    assert "Helium 4.17" in log
    shows = {"c": r"CPU0: .*idle \d+ ms", "d": r"CPU\d: d0v\d rip [0-9a-f]{16}", "e": r"d0: FIFO, \d+ ports", "i": r"GSI +\d+: vector",
             "g": r"d0: \d+ of \d+ frames", "m": r"RAM: 20\d\d MiB", "q": r"d0: alive, privileged", "t": r"TSC \d+ kHz",
             "a": r"CPU0: \d+ timers\n.*in +-?\d+ us: [a-z]", "r": r"CPU0: .*\n(.*\n)*.*d0: weight \d+, cap 0%",
             "Q": r"BAR \d: 0x[0-9a-f]+ \+ 0x[0-9a-f]+.*, mapped", "M": r"MSI(-X \d+)?: vector 0x", "V": r"IOMMU 0000:",
             "v": r"d0v0\b.*\n.*rip [0-9a-f]{16}  rsp"}
    listed = set(re.findall(r" key '(.)':", log))
    assert set(shows) <= listed
    for key, pattern in shows.items():
        dom0.sh("xl dmesg -c > /dev/null")
        dom0.sh(f"xl debug-keys {key}")
        assert re.search(pattern, dom0.hypervisor_log()), key


def test_interrupts_are_remapped(dom0):
    """The disk's MSI arrives through the IOMMU's tables, and the serial line on which this is typed."""
    ahci = lambda: sum(int(n) for n in re.search(r"^ *\d+: +((?:\d+ +)+)\S*PCI-MSI\S* .*ahci", dom0.sh("cat /proc/interrupts"),
                                                 re.M).group(1).split())
    before = ahci()
    dom0.sh("dd if=/dev/sda of=/dev/null bs=64k count=64 iflag=direct status=none")
    assert ahci() >= before + 64
    dom0.sh("xl debug-keys i")
    assert "Interrupts of devices are remapped" in dom0.hypervisor_log()


def test_dmesg_clear(dom0):
    dom0.sh("xl dmesg -c > /dev/null")
    assert dom0.hypervisor_log().strip() == ""
    dom0.sh("xl debug-keys t")
    assert "'t' pressed" in dom0.hypervisor_log()


def test_cpupools(dom0):
    assert re.search(rf"Pool-0\s+{dom0.cpus}\s+credit2\s+y\s+1", dom0.sh("xl cpupool-list"))


def test_network_bridge(dom0):
    assert "192.168.77.1" in dom0.sh("ip addr show xenbr0")


def test_disk_survives_io(dom0):
    dom0.sh("dd if=/dev/urandom of=/root/blob bs=1M count=32 status=none; sync; echo 3 > /proc/sys/vm/drop_caches")
    a = dom0.sh("md5sum < /root/blob")
    dom0.sh("echo 3 > /proc/sys/vm/drop_caches")
    assert dom0.sh("md5sum < /root/blob") == a
    dom0.sh("rm /root/blob")


def test_no_kernel_warnings(dom0):
    out = dom0.run("dmesg | grep -E 'WARNING:|BUG:|rcu.*stall|Call Trace'")[1]
    assert out == "", out
