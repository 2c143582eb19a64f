# SPDX-License-Identifier: MIT
"""The little of GDB's remote protocol that a test needs to stop a QEMU machine at an address and change its memory.
QEMU: -S -gdb unix:PATH,server=on,wait=off"""
import socket
import struct
import time


class Stub:
    def __init__(self, path, timeout=60):
        end = time.monotonic() + timeout
        while True:
            self.s = socket.socket(socket.AF_UNIX)
            try:
                self.s.connect(str(path))
                break
            except OSError:
                self.s.close()
                assert time.monotonic() < end, f"no gdb stub at {path}"
                time.sleep(0.1)
        self.s.settimeout(timeout)

    def _packet(self):
        """The next packet's text; acknowledged."""
        while self.s.recv(1) != b"$":
            pass
        text = b""
        while (c := self.s.recv(1)) != b"#":
            text += c
        self.s.recv(2)
        self.s.sendall(b"+")
        return text.decode()

    def ask(self, text):
        self.s.sendall(b"$%s#%02x" % (text.encode(), sum(text.encode()) & 0xff))
        answer = self._packet()
        assert not answer.startswith("E"), f"{text[:40]}: {answer}"
        return answer

    def run_to(self, address):
        """Go on until the first CPU is about to execute at this address; stopped then."""
        assert self.ask(f"Z1,{address:x},1") == "OK"
        assert self.ask("c").startswith("T05")
        assert self.ask(f"z1,{address:x},1") == "OK"

    def registers(self):
        """RAX, RBX, RCX, RDX."""
        return struct.unpack("<4Q", bytes.fromhex(self.ask("g"))[:32])

    # Numbers of QEMU's x86-64 description (gdb-xml/i386-64bit.xml).
    NUMBERS = {"rsp": 7, "rip": 16, "cr0": 27, "cr3": 29, "cr4": 30}

    def register(self, name):
        self.ask("qXfer:features:read:target.xml:0,ffb")    # QEMU answers `p` and `P` to those only who know the numbers
        return int.from_bytes(bytes.fromhex(self.ask(f"p{self.NUMBERS[name]:x}")), "little")

    def set_register(self, name, value):
        assert self.ask(f"P{self.NUMBERS[name]:x}={value.to_bytes(8, 'little').hex()}") == "OK"
        assert self.register(name) == value, name

    def read(self, address, size):
        data = b""
        while len(data) < size:
            data += bytes.fromhex(self.ask(f"m{address + len(data):x},{min(1024, size - len(data)):x}"))
        return data

    def write(self, address, data):
        assert self.ask(f"M{address:x},{len(data):x}:{data.hex()}") == "OK"

    def go(self):
        """Detach; the machine runs."""
        assert self.ask("D") == "OK"
        self.s.close()
