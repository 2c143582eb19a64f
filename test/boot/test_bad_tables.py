# SPDX-License-Identifier: MIT
"""What firmware and boot loader leave in memory, damaged: the machine is stopped at Helium's first instruction, a table
is changed, and it goes on. One line says what was found; then a boot without the table, or a halt; never a reset."""
import struct

import pexpect
import pytest

import own
from gdbstub import Stub

ENTRY = 0x201000        # start32_phys; where QEMU's loader puts it
BOOTS = "GUEST PASS hello"
STOPS = r"\(XEN\) Cannot start[^\n]*\n"


def boot(damage, **kw):
    """Boot `hello`, damage(stub) having been called at the entry. Returns the serial line's text."""
    m = own.Small(cpu="max", **kw)
    m.extra += ["-S"]
    real = m.command
    m.command = lambda: real() + ["-gdb", f"unix:{m.tmp}/gdb,server=on,wait=off"]
    m.start()
    try:
        stub = Stub(m.tmp / "gdb")
        stub.run_to(ENTRY)
        damage(stub)
        stub.go()
        i = m.child.expect([BOOTS, STOPS, pexpect.EOF, pexpect.TIMEOUT], timeout=60)
        out = m.child.before + (m.child.after if i < 2 else "")
        assert i < 2, f"{('', '', 'reset', 'hangs')[i]}:\n{out[-3000:]}"
        if i == 1:      # stays stopped
            assert m.child.expect([pexpect.TIMEOUT, pexpect.EOF], timeout=1) == 0
        assert "Panic" not in out, out[-3000:]
        return out
    finally:
        m.off()


# ---- ACPI ----

class Acpi:
    """The tables in the stopped machine: RSDP in the firmware's area, RSDT."""

    def __init__(self, stub):
        self.stub = stub
        area = stub.read(0xe0000, 0x20000)
        self.rsdp = 0xe0000 + area.index(b"RSD PTR ")
        self.rsdt = self.u32(self.rsdp + 16)
        self.list = [self.rsdt + 36 + 4 * i for i in range((self.u32(self.rsdt + 4) - 36) // 4)]

    def u32(self, address):
        return struct.unpack("<I", self.stub.read(address, 4))[0]

    def entry(self, signature):
        """Where in the RSDT the address of this table stands."""
        return next(e for e in self.list if self.stub.read(self.u32(e), 4) == signature)

    def table(self, signature):
        return self.u32(self.entry(signature))

    def put(self, address, data, table=None):
        """Change bytes; with a table, its checksum stays right."""
        self.stub.write(address, data)
        if table:
            size = self.u32(table + 4)
            self.stub.write(table + 9, b"\0")
            self.stub.write(table + 9, bytes([-sum(self.stub.read(table, size)) & 0xff]))

    def put32(self, address, value, table=None):
        self.put(address, struct.pack("<I", value), table)


def list_checksum(a):
    a.put(a.rsdt + 9, bytes([a.stub.read(a.rsdt + 9, 1)[0] ^ 0x55]))


def table_checksum(signature):
    def damage(a):
        t = a.table(signature)
        a.put(t + 9, bytes([a.stub.read(t + 9, 1)[0] ^ 0x55]))
    return damage


def table_length(signature, length):
    return lambda a: a.put32(a.table(signature) + 4, length)


def list_entry(signature, value):
    """The list's entry for this table: an address, or a function of the tables."""
    return lambda a: a.put32(a.entry(signature), value(a) if callable(value) else value, a.rsdt)


def entry_length(signature, offset, length):
    """The first entry of a table says that it has this length; the checksum is right."""
    return lambda a: a.put(a.table(signature) + offset, length, a.table(signature))


def last_entry(offset, data):
    """Bytes of the IVRS table's last device entry, the IO-APIC's."""
    def damage(a):
        t = a.table(b"IVRS")
        a.put(t + a.u32(t + 4) - 8 + offset, data, t)
    return damage


NO_IOMMU = dict(iommu=True, xen="dom0-iommu=none")
ACPI = {
    "pointer_checksum": (lambda a: a.put(a.rsdp + 8, b"\x11"), "no tables found", NO_IOMMU),
    "pointer_to_nothing": (lambda a: a.put(a.rsdp + 8, bytes([a.stub.read(a.rsdp + 8, 1)[0]]) + a.stub.read(a.rsdp + 9, 7)
                                           + b"\xff\xff\xff\xff"), "ACPI: ", NO_IOMMU),
    "list_checksum": (list_checksum, "wrong checksum, skipped", NO_IOMMU),
    "list_length_0": (lambda a: a.put32(a.rsdt + 4, 0), "impossible length 0", NO_IOMMU),
    "list_length_max": (lambda a: a.put32(a.rsdt + 4, 0xffffffff), "impossible length", NO_IOMMU),
    "list_in_list": (list_entry(b"HPET", lambda a: a.rsdt), "contains a table list", {}),
    "entry_0": (list_entry(b"HPET", 0), "ACPI: ", {}),
    "entry_max": (list_entry(b"HPET", 0xffffffff), "no table at", {}),
    "table_twice": (list_entry(b"HPET", lambda a: a.table(b"APIC")), "", {}),
    "madt_checksum": (table_checksum(b"APIC"), "APIC at", {}),
    "madt_length_0": (table_length(b"APIC", 0), "impossible length 0", {}),
    "madt_length_35": (table_length(b"APIC", 35), "impossible length 35", {}),
    "madt_length_max": (table_length(b"APIC", 0xfffffff0), "impossible length", {}),
    "madt_entry_0": (entry_length(b"APIC", 45, b"\0"), "MADT entry", {}),
    "madt_entry_255": (entry_length(b"APIC", 45, b"\xff"), "MADT entry", {}),
    "fadt_checksum": (table_checksum(b"FACP"), "FACP at", {}),
    "mcfg_length_44": (table_length(b"MCFG", 44), "wrong checksum", {}),
    "ivrs_checksum": (table_checksum(b"IVRS"), "IVRS at", NO_IOMMU),
    "ivrs_entry_0": (entry_length(b"IVRS", 50, b"\0\0"), "malformed", NO_IOMMU),
    "ivrs_entry_max": (entry_length(b"IVRS", 50, b"\xff\xff"), "malformed", NO_IOMMU),
    "ivrs_device_unknown": (entry_length(b"IVRS", 72, b"\xff"), "wrong device entry at 0x48", {}),
    "ivrs_ioapic_unknown": (last_entry(4, b"\x07"), "interrupts cannot be remapped: the IVRS table does not name IO-APIC 0", {}),
    "ivrs_ioapic_cut": (last_entry(0, b"\xf0"), "wrong device entry at", {}),
    "ivrs_ioapic_far": (last_entry(5, b"\xff\xff"), "interrupts are remapped", {}),
}
# The rest of the rows differ little from these.
SHORT = ("pointer_checksum", "list_checksum", "list_length_max", "list_in_list", "madt_checksum", "madt_length_0", "madt_entry_0",
         "ivrs_entry_0", "ivrs_ioapic_unknown")


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in SHORT else pytest.mark.long) for n in ACPI])
def test_acpi(name):
    damage, line, kw = ACPI[name]
    out = boot(lambda stub: damage(Acpi(stub)), **kw)
    assert line in out, out[-3000:]


# ---- multiboot ----

def info(offset, value):
    """A word of the loader's information."""
    def damage(stub):
        _, ebx, _, _ = stub.registers()
        stub.write(ebx + offset, struct.pack("<I", value))
    return damage


def module(offset, value):
    """A word of the first module's descriptor."""
    def damage(stub):
        _, ebx, _, _ = stub.registers()
        first, = struct.unpack("<I", stub.read(ebx + 24, 4))
        stub.write(first + offset, struct.pack("<I", value))
    return damage


MULTIBOOT = {
    "no_flags": (info(0, 0), "no memory map"),
    "map_far": (info(48, 0xfffffff0), "memory map out of reach"),
    "map_long": (info(44, 0xffffffff), "memory map"),
    "map_empty": (info(44, 0), "empty memory map"),
    "modules_far": (info(24, 0xfffffff8), "module list out of reach"),
    "modules_many": (info(20, 0xffffffff), "module"),
    "module_backwards": (module(4, 0), "module ends before it starts"),
    "module_far": (module(4, 0xffffffff), "free RAM in one piece"),
    "command_line_far": (info(16, 0xffffffff), ""),
}


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in ("map_long", "modules_many", "module_backwards")
                                               else pytest.mark.long) for n in MULTIBOOT])
def test_multiboot(name):
    damage, line = MULTIBOOT[name]
    assert line in boot(damage)
