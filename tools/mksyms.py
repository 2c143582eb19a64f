#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""mksyms.py ELF > ASM: the function symbols of an ELF64 file as an assembler source, sorted by address.

The table has the shape that src/debug reads: ksym_count, ksym_addr (offsets from _start_image), ksym_name_off
(offsets into ksym_names), ksym_names (NUL-terminated). With an empty file, an empty table."""
import struct
import sys

STT_NOTYPE, STT_FUNC, SHT_SYMTAB = 0, 2, 2


def sections(data):
    shoff, = struct.unpack_from("<Q", data, 0x28)
    size, count = struct.unpack_from("<HH", data, 0x3A)
    for i in range(count):
        yield struct.unpack_from("<IIQQQQIIQQ", data, shoff + i * size)


def functions(data):
    """(address, name) of every function, and of assembler labels in .text; base address of the image."""
    secs = list(sections(data))
    found, base = {}, 0
    for s in secs:
        if s[1] != SHT_SYMTAB:
            continue
        strings = secs[s[6]]
        for off in range(s[4], s[4] + s[5], 24):
            name_off, info, _, shndx, value, _ = struct.unpack_from("<IBBHQQ", data, off)
            start = strings[4] + name_off
            name = data[start:data.index(b"\0", start)].decode()
            if name == "_start_image":
                base = value
            if not name or not 0 < shndx < len(secs) or not secs[shndx][2] & 4:    # executable sections only
                continue
            kind = info & 15
            if kind == STT_FUNC or kind == STT_NOTYPE and not name.startswith((".", "_s", "_e")):
                # Of several names for one address a global one, then the shorter, then the first.
                key = (info >> 4 == 0, kind != STT_FUNC, len(name), name)
                if value not in found or key < found[value]:
                    found[value] = key
    return base, sorted((addr, key[3]) for addr, key in found.items())


def main():
    with open(sys.argv[1], "rb") as f:
        data = f.read()
    base, table = functions(data) if data else (0, [])
    out = [".section .rodata.ksym, \"a\"", ".balign 4", ".globl ksym_count, ksym_addr, ksym_name_off, ksym_names"]
    out += [".hidden ksym_count, ksym_addr, ksym_name_off, ksym_names"]
    out += ["ksym_count: .long %d" % len(table), "ksym_addr:"]
    out += [" .long %#x" % (addr - base) for addr, _ in table]
    out += ["ksym_name_off:"]
    pos = 0
    for _, name in table:
        out.append(" .long %d" % pos)
        pos += len(name) + 1
    out += ["ksym_names:"] + [" .asciz \"%s\"" % name for _, name in table] + [" .byte 0"]
    out += [".section .note.GNU-stack, \"\", @progbits"]
    print("\n".join(out))


main()
