# SPDX-License-Identifier: MIT
"""Registers as a firmware or another system may leave them: the machine is stopped, a register is changed, it goes on."""
import re
import struct
import subprocess

import pexpect
import pytest

import own
from gdbstub import Stub
from machine import BUILD, OVMF
from test_bad_tables import BOOTS, boot

LA57 = 1 << 12
LINK = 0xffff82d040000000       # src/boot/start.h, LINK_BASE
needs_ovmf = pytest.mark.skipif(not OVMF.exists(), reason="no OVMF")


def symbols():
    nm = subprocess.run(["nm", BUILD / "xen-syms"], capture_output=True, text=True, check=True).stdout
    return {n: int(a, 16) for a, n in re.findall(r"^([0-9a-f]+) \w (\S+)$", nm, re.M)}


def test_la57_at_the_32_bit_entry():
    """A loader that switches paging off leaves CR4 as the firmware had it."""
    boot(lambda stub: stub.set_register("cr4", stub.register("cr4") | LA57))


def efi(stop):
    """Start xen.efi with `hello`; stop(stub), then go on. True if it boots."""
    m = own.Small(cpu="max", loader="efi")
    real = m.command
    m.command = lambda: real() + ["-S", "-gdb", f"unix:{m.tmp}/gdb,server=on,wait=off"]
    m.start()
    try:
        stub = Stub(m.tmp / "gdb")
        result = stop(stub)
        stub.go()
        i = m.child.expect([BOOTS, pexpect.EOF, pexpect.TIMEOUT], timeout=60)
        assert i == 0, f"{('', 'reset', 'hangs')[i]}:\n{m.child.before[-3000:]}"
        return result
    finally:
        m.off()


def image_base(stub):
    """Where the firmware put xen.efi: from the return address that start_efi's call left on the firmware's stack."""
    sym = symbols()
    code = subprocess.run(["objdump", "-d", "--no-show-raw-insn", "--disassemble=start_efi", BUILD / "xen-syms"],
                          capture_output=True, text=True, check=True).stdout
    after = int(re.search(r"call .*<efi_main>\n\s*([0-9a-f]+):", code).group(1), 16)
    stub.run_to(sym["high"])
    stack = struct.unpack("<512Q", stub.read(stub.register("rsp") & ~7, 4096))
    found = [w - (after - LINK) for w in stack if w < 1 << 32 and (w - (after - LINK)) % 4096 == 0]
    return next(b for b in found if b > 0 and stub.read(b, 2) == b"MZ")


@needs_ovmf
def test_la57_of_the_efi_firmware():
    """5-level tables, as firmwares of machines with more than 48 address bits use them. OVMF does not: they are made here,
    around its own, at Helium's last instructions in the firmware's address space."""
    base, sym = efi(image_base), symbols()

    def five_levels(stub):
        stub.run_to(base + sym["efi_handover"] - LINK)
        top = base + sym["far_pdpt"] - LINK                 # a page that is not used: the image lies below 4 GiB
        stub.write(top, struct.pack("<Q", stub.register("cr3") | 3))
        stub.set_register("cr3", top)
        stub.set_register("cr4", stub.register("cr4") | LA57)

    efi(five_levels)
