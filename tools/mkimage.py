#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""mkimage.py elf32|efi IN OUT: put the one linked image (ELF64) into a boot container.

elf32  ELF32/i386 with physical addresses: what multiboot 1 and 2 loaders and PVH boot take.
efi    PE32+ EFI application: RVA = virtual address - link base. The code finds its data relative to itself and
       copies itself to its final place, so the file needs no relocations (.reloc holds one empty block)."""
import struct
import sys

PT_LOAD, PT_NOTE = 1, 4
PF_X, PF_W = 1, 2
PAGE = 4096


def align(n, a):
    return -(-n // a) * a


class Elf64:
    def __init__(self, data):
        if data[:6] != b"\x7fELF\x02\x01":
            raise SystemExit("mkimage: the input is no little-endian ELF64 file")
        self.data = data
        self.entry, self.phoff, self.shoff = struct.unpack_from("<QQQ", data, 0x18)
        phsize, phnum, shsize, shnum, _ = struct.unpack_from("<HHHHH", data, 0x36)
        keys = ("type", "flags", "offset", "vaddr", "paddr", "filesz", "memsz", "align")
        self.segments = [dict(zip(keys, struct.unpack_from("<IIQQQQQQ", data, self.phoff + i * phsize)))
                         for i in range(phnum)]
        self.loads = [s for s in self.segments if s["type"] == PT_LOAD]
        self.base = self.loads[0]["vaddr"]
        self.symbols = self.read_symbols(shsize, shnum)

    def read_symbols(self, shsize, shnum):
        secs = [struct.unpack_from("<IIQQQQIIQQ", self.data, self.shoff + i * shsize) for i in range(shnum)]
        found = {}
        for s in secs:
            if s[1] != 2:
                continue
            strings = secs[s[6]][4]
            for off in range(s[4], s[4] + s[5], 24):
                name, _, _, _, value, _ = struct.unpack_from("<IBBHQQ", self.data, off)
                start = strings + name
                found[self.data[start:self.data.index(b"\0", start)].decode()] = value
        return found

    def contents(self, s):
        return self.data[s["offset"]:s["offset"] + s["filesz"]]


def elf32(elf):
    """Segments keep their order; each starts on a page in the file, the first right after the headers' page, which
    leaves the multiboot headers inside the first 8 KiB."""
    delta = elf.loads[0]["paddr"] - elf.base
    heads, body, pos = [], b"", PAGE
    for s in elf.loads:
        data = elf.contents(s)
        heads.append(struct.pack("<IIIIIIII", PT_LOAD, pos if data else PAGE, s["paddr"], s["paddr"], len(data),
                                 s["memsz"], s["flags"], PAGE))
        s["newoff"] = pos
        data += b"\0" * (align(len(data), PAGE) - len(data))
        body += data
        pos += len(data)
    for s in elf.segments:
        if s["type"] != PT_NOTE:
            continue
        home = next(l for l in elf.loads if l["vaddr"] <= s["vaddr"] < l["vaddr"] + l["filesz"])
        paddr = s["vaddr"] + delta
        heads.append(struct.pack("<IIIIIIII", PT_NOTE, home["newoff"] + s["vaddr"] - home["vaddr"], paddr, paddr,
                                 s["filesz"], s["filesz"], 4, 4))
    ident = b"\x7fELF\x01\x01\x01" + b"\0" * 9
    head = ident + struct.pack("<HHIIIIIHHHHHH", 2, 3, 1, elf.entry + delta, 52, 0, 0, 52, 32, len(heads), 0, 0, 0)
    head += b"".join(heads)
    return head + b"\0" * (PAGE - len(head)) + body.rstrip(b"\0").ljust(align(len(body.rstrip(b"\0")), 16), b"\0")


CODE, IDATA, UDATA = 0x20, 0x40, 0x80
DISCARD, EXEC, READ, WRITE = 0x2000000, 0x20000000, 0x40000000, 0x80000000
FILE_ALIGN = 512


def pe_sections(elf):
    """(name, rva, virtual size, file contents, characteristics) in rising order."""
    out = []
    for s in elf.loads[1:]:             # the first is the page of multiboot headers: PE headers take its place
        rva, data = s["vaddr"] - elf.base, elf.contents(s)
        if s["flags"] & PF_X:
            out.append((b".text", rva, s["memsz"], data, CODE | EXEC | READ))
        elif not s["flags"] & PF_W:
            out.append((b".rodata", rva, s["memsz"], data, IDATA | READ))
        else:
            full = align(len(data), PAGE)
            out.append((b".data", rva, min(full, s["memsz"]), data, IDATA | READ | WRITE))
            if s["memsz"] > full:
                out.append((b".bss", rva + full, s["memsz"] - full, b"", UDATA | READ | WRITE))
    end = align(out[-1][1] + out[-1][2], PAGE)
    # One block without entries: "may be loaded anywhere, nothing to fix".
    out.append((b".reloc", end, 12, struct.pack("<IIHH", end, 12, 0, 0), IDATA | READ | DISCARD))
    # Unified images append .config, .kernel, ... behind the last section.
    out.append((b".pad", end + PAGE, PAGE, b"", UDATA | READ))
    return out


def efi(elf):
    secs = pe_sections(elf)
    hsize = align(0x40 + 4 + 20 + 240 + 40 * len(secs), FILE_ALIGN)
    table, body, pos = b"", b"", hsize
    for name, rva, size, data, flags in secs:
        data += b"\0" * (align(len(data), FILE_ALIGN) - len(data))
        table += struct.pack("<8sIIIIIIHHI", name, size, rva, len(data), pos if data else 0, 0, 0, 0, 0, flags)
        body += data
        pos += len(data)
    image_size = align(secs[-1][1] + secs[-1][2], PAGE)
    reloc = next(s for s in secs if s[0] == b".reloc")
    total = lambda bit: sum(align(len(s[3]), FILE_ALIGN) for s in secs if s[4] & bit)
    dos = b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x40)
    # executable, line numbers and symbols stripped, large addresses, debug stripped
    coff = b"PE\0\0" + struct.pack("<HHIIIHH", 0x8664, len(secs), 0, 0, 0, 240, 0x022E)
    entry = elf.symbols["start_efi"] - elf.base
    # NX_COMPAT, DYNAMIC_BASE, HIGH_ENTROPY_VA
    opt = struct.pack("<HBBIIIII", 0x20B, 2, 40, total(CODE), total(IDATA), 0, entry, secs[0][1])
    opt += struct.pack("<QIIHHHHHHIIIIHHQQQQII", elf.base, PAGE, FILE_ALIGN, 4, 17, 4, 17, 2, 0, 0, image_size, hsize,
                       0, 10, 0x0160, 0, 0, 0, 0, 0, 16)
    dirs = [(0, 0)] * 16
    dirs[5] = (reloc[1], 12)
    opt += b"".join(struct.pack("<II", *d) for d in dirs)
    head = dos + coff + opt + table
    return head.ljust(hsize, b"\0") + body


def main():
    if len(sys.argv) != 4 or sys.argv[1] not in ("elf32", "efi"):
        raise SystemExit(__doc__)
    with open(sys.argv[2], "rb") as f:
        elf = Elf64(f.read())
    out = (elf32 if sys.argv[1] == "elf32" else efi)(elf)
    with open(sys.argv[3], "wb") as f:
        f.write(out)


main()
