#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Generated reference: doc/reference/{hypercalls,options,debug-keys}.md from the tables in the built image.

    tools/gendoc.py [build/xen-syms]            write the pages (make doc)
    tools/gendoc.py --check [build/xen-syms]    compare; 1 if a page is not what would be written

Dispatch and documentation read the same rows: struct hypercall, struct subop and its relatives, BOOT_OPTION and
DEBUG_KEY. The layouts below are those of the C structures; a table whose size is no multiple of its row is an error."""
import errno
import re
import struct
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
OUT = TOP / "doc/reference"
SHT_SYMTAB, SHT_NOBITS, STT_FILE = 2, 8, 4


class Image:
    """ELF64 file: bytes by virtual address, symbols by (source file, name)."""

    def __init__(self, path):
        self.data = Path(path).read_bytes()
        shoff, = struct.unpack_from("<Q", self.data, 0x28)
        size, count = struct.unpack_from("<HH", self.data, 0x3A)
        self.sections = [struct.unpack_from("<IIQQQQIIQQ", self.data, shoff + i * size) for i in range(count)]
        self.symbols, self.names = [], {}
        for s in self.sections:
            if s[1] == SHT_SYMTAB:
                self.read_symbols(s)

    def read_symbols(self, s):
        strings, source = self.sections[s[6]], ""
        for off in range(s[4], s[4] + s[5], 24):
            name_off, info, _, shndx, value, size = struct.unpack_from("<IBBHQQ", self.data, off)
            name = self.c_string(strings[4] + name_off)
            if info & 15 == STT_FILE:
                source = name
            elif shndx:
                self.symbols.append((source if info >> 4 == 0 else "", name, value, size))
                self.names.setdefault(value, name)

    def c_string(self, off):
        return self.data[off:self.data.index(b"\0", off)].decode()

    def offset(self, addr):
        """File offset of an address; None in .bss."""
        for s in self.sections:
            if s[2] & 2 and s[3] <= addr < s[3] + s[5]:
                return None if s[1] == SHT_NOBITS else s[4] + addr - s[3]
        raise SystemExit(f"gendoc: address {addr:#x} is in no section")

    def bytes(self, addr, n):
        off = self.offset(addr)
        return bytes(n) if off is None else self.data[off:off + n]

    def string(self, addr):
        return self.c_string(self.offset(addr)) if addr else ""

    def symbol(self, name, source=None):
        """(address, size) of the one symbol of that name (in that source file, if local)."""
        found = {s[2:] for s in self.symbols if s[1] == name and (source is None or s[0] == source)}
        if len(found) != 1:
            raise SystemExit(f"gendoc: {len(found)} symbols {name} in {source or 'the image'}: a table was renamed")
        return found.pop()

    def rows(self, name, source, layout):
        """The rows of a table as tuples, with their index."""
        addr, size = self.symbol(name, source)
        step = struct.calcsize(layout)
        if size % step:
            raise SystemExit(f"gendoc: {source}:{name} has {size} bytes, its rows {step}: a structure changed")
        for i in range(size // step):
            yield i, struct.unpack(layout, self.bytes(addr + i * step, step))


def error_name(n):
    """Xen's numbers are Linux'; Python calls 95 by its other name."""
    return "-EOPNOTSUPP" if n == -errno.EOPNOTSUPP else "-" + errno.errorcode.get(-n, str(-n))


def cell(text):
    text = text.replace("|", "\\|")
    return text if text.startswith("`") else text.replace("<", "\\<")


def header_names(header, prefix):
    """{number: name} of the public header's #defines."""
    text = Path("/usr/include/xen", header).read_text()
    return {int(n): name for name, n in reversed(re.findall(rf"^#define {prefix}(\w+)\s+(\d+)\b", text, re.M))}


def table(head, rows):
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)] + [
        "| " + " | ".join(cell(str(c)) for c in r) + " |" for r in rows]


def find_source(base, folders=("call", "gnttab", "evtchn")):
    found = [p for f in folders for p in (TOP / "src" / f).glob(base)]
    return str(found[0].relative_to(TOP)) if found else base


# ---- hypercalls ----
WHO = {0: "any guest", 1: "privileged"}
COPY = {0: "in", 1: "in, out on success", 2: "in, out always", 3: "in, out always"}
# kind: layout of the row (lib/types.h: pointers 8 bytes, natural alignment)
SUBOP, ARRAY, CONTROL = "<QQHBB4x", "<QQHH4x", "<QQBxh4x"
FAMILIES = {        # handler's symbol: [(heading, file, symbol, kind)]
    "memory_op": [("XENMEM", "memory.c", "rows", SUBOP)],
    "xen_version": [("XENVER", "version.c", "answers", None)],
    "gnttab_op": [("GNTTABOP, arrays", "gnttab.c", "array_ops", ARRAY), ("GNTTABOP, single", "gnttab.c", "single_ops", SUBOP)],
    "vcpu_op": [("VCPUOP", "vcpu.c", "ops", SUBOP)],
    "sched_op": [("SCHEDOP", "sched.c", "ops", SUBOP)],
    "evtchn_op": [("EVTCHNOP", "evtchn_op.c", "ops", SUBOP)],
    "physdev_op": [("PHYSDEVOP", "physdev.c", "ops", SUBOP)],
    "hvm_op": [("HVMOP", "hvm.c", "ops", SUBOP)],
    "sysctl": [("XEN_SYSCTL", "sysctl.c", "rows", CONTROL)],
    "domctl": [("XEN_DOMCTL", "domctl.c", "rows", CONTROL)],
    "platform_op": [("XENPF", "platform.c", "rows", CONTROL)],
}
DOMCTL_FLAGS = ((4, "names no existing domain"), (8, "no domctl lock"), (16, "not on oneself"), (32, "not on a dying domain"))


def subop_rows(img, source, symbol, who):
    for i, (name, fn, size, flags, row_who) in img.rows(symbol, source, SUBOP):
        if fn:
            yield (i, img.string(name).replace("XENMEM_", ""), WHO[max(row_who, who)], size or "-",
                   COPY[flags] if size else "-")


def array_rows(img, source, symbol, who):
    for i, (name, fn, size, chunk) in img.rows(symbol, source, ARRAY):
        if fn:
            yield i, img.string(name), WHO[who], f"{size} each", f"in, out always; {chunk} at a time"


def control_rows(img, source, symbol):
    present, absent = [], []
    for i, (name, fn, flags, err) in img.rows(symbol, source, CONTROL):
        if not name:
            continue
        if not fn:
            absent.append((i, img.string(name), error_name(err)))
            continue
        out = "in, out always" if flags & 2 else "in, out on success" if flags & 1 else "in"
        notes = ", ".join(t for bit, t in DOMCTL_FLAGS if source == "domctl.c" and flags & bit)
        present.append((i, img.string(name), out, notes or "-"))
    return present, absent


def version_rows(img):
    """One table of answers and a switch."""
    names = header_names("version.h", "XENVER_")
    sizes = {i: size for i, (fn, size) in img.rows("answers", "version.c", "<QH6x") if fn}
    switch = re.findall(r"case XENVER_(\w+):", (TOP / "src/call/version.c").read_text())
    for i in sorted(names):
        if i in sizes or names[i] in switch:
            yield i, names[i], WHO[0], sizes.get(i, "-"), "out" if i in sizes else "-"


def param_rows(img):
    flags = ((1, "guest sets"), (2, "guest reads"), (4, "once"))
    for i, (name, f, top, align, _) in img.rows("params", "params.c", "<QB7xQQQ"):
        if name:
            yield (i, img.string(name), ", ".join(t for b, t in flags if f & b) or "toolstack only",
                   "any" if top == 2**64 - 1 else f"{top:#x}", align or "-")


def hypercalls(img):
    out = ["# Hypercalls", "",
           "Generated by `make doc` from the tables that dispatch uses; a test fails when it is out of date. Numbers, names",
           "and structures are those of the public headers of generation 4.17 (libxen-dev).", "",
           "A number that is not here answers -ENOSYS, a caller without the right -EPERM, before anything else is looked at.",
           "\"privileged\" is dom0. Size: bytes of the argument structure. Copy: when it is read, and written back.", ""]
    top, public = [], header_names("xen.h", "__HYPERVISOR_")
    for i, (name, fn, who, nr_args) in img.rows("hypercalls", None, "<QQIB3x"):
        if name:
            top.append((i, img.string(name), who, nr_args))
    out += table(("no.", "name", "handler", "who", "arguments"),
                 [(i, public.get(i, "(private: dom0's kernel loader, once)"), f"`{n}`", WHO[w], a) for i, n, w, a in top]) + [""]
    for i, name, who, _ in top:
        for heading, source, symbol, kind in FAMILIES.get(name, ()):
            out += [f"## {public[i]} ({i}): {heading}", "", f"Table `{symbol}` in `{find_source(source)}`.", ""]
            if kind is CONTROL:
                present, absent = control_rows(img, source, symbol)
                out += table(("no.", "command", "copy", "notes"), present) + [""]
                out += ["Absent by design, with the answer a client gets:", ""]
                out += table(("no.", "command", "answer"), absent) + [""]
                continue
            rows = (version_rows(img) if kind is None else subop_rows(img, source, symbol, who) if kind is SUBOP
                    else array_rows(img, source, symbol, who))
            out += table(("no.", "operation", "who", "size", "copy"), rows) + [""]
    out += ["## HVM parameters", "", "Table `params` in `src/call/params.c`. Others answer -EINVAL.", ""]
    out += table(("index", "name", "who", "highest value", "multiple of"), param_rows(img))
    return out


# ---- options ----
BOOL, UINT, SIZE, STRING, CUSTOM, IGNORE = range(6)
SYNTAX = {BOOL: "{n} / no-{n} / {n}=<boolean>", UINT: "{n}=<number>", SIZE: "{n}=<size>", STRING: "{n}=<text>", CUSTOM: "{n}[=<value>]"}


def default(img, kind, var, size):
    if not var or kind == CUSTOM:
        return "-"
    if kind == BOOL:
        return "on" if img.bytes(var, 1)[0] else "off"
    if kind == STRING:
        return img.bytes(var, size).split(b"\0")[0].decode() or "-"
    n = struct.unpack("<Q", img.bytes(var, 8))[0]
    if n == 2**64 - 1:
        return "no limit"
    if kind == SIZE and n:
        for shift, unit in ((30, "G"), (20, "M"), (10, "K")):
            if n % (1 << shift) == 0:
                return f"{n >> shift}{unit}"
    return str(n)


def option_places():
    """Where each option's row is, by its name."""
    places = {}
    for p in sorted((TOP / "src").rglob("*.c")):
        for name in re.findall(r'(?:BOOT_OPTION|IGNORE)\(\s*\w+,\s*"([^"]+)"', p.read_text()):
            places[name] = str(p.relative_to(TOP))
    return places


def options(img):
    start, end = img.symbol("__start_options")[0], img.symbol("__stop_options")[0]
    layout, rows, quiet, places = "<QBxHxxxxQQQ", [], [], option_places()
    step = struct.calcsize(layout)
    for at in range(start, end, step):
        name, kind, size, var, _, text = struct.unpack(layout, img.bytes(at, step))
        name, text = img.string(name), img.string(text)
        if kind == IGNORE:
            quiet.append((f"`{name}`", text.replace("accepted, no effect: ", "") or "-"))
        else:
            rows.append((f"`{SYNTAX[kind].format(n=name)}`", default(img, kind, var, size), text, f"`{places.get(name, '?')}`"))
    out = ["# Command line", "",
           "Generated by `make doc` from the BOOT_OPTION rows in the source; a test fails when it is out of date.", "",
           "Words are separated by blanks; `-` and `_` in names are the same. A boolean is `1 yes on true enable` or",
           "`0 no off false disable`; a size may end in `B`, `K`, `M`, `G` or `T`; without one of them it is in KiB (just",
           "as `parse_size` in `src/lib/parse.c` reads it). The last word that sets an option wins. A word that is not here, or",
           "that is malformed, is named in the log and ignored. What follows ` -- ` goes to dom0's kernel.", "",
           "## Options with an effect", ""]
    out += table(("option", "default", "meaning", "row in"), sorted(rows)) + [""]
    out += ["## Accepted without effect", "",
            "Words that stock boot entries and administrators' habits carry. They are no errors and change nothing.", ""]
    out += table(("option", "why"), sorted(quiet))
    return out


# ---- debug keys ----
def debug_keys(img):
    start, end = img.symbol("__start_debugkeys")[0], img.symbol("__stop_debugkeys")[0]
    layout, rows = "<c7xQQ", []
    for at in range(start, end, struct.calcsize(layout)):
        key, text, fn = struct.unpack(layout, img.bytes(at, struct.calcsize(layout)))
        rows.append((f"`{key.decode()}`", img.string(text), f"`{img.names[fn]}`"))
    return ["# Debug keys", "", "Generated by `make doc` from the DEBUG_KEY rows in the source; a test fails when it is out of date.", "",
            "`xl debug-keys <keys>`, then `xl dmesg`; or on the serial line after three times Ctrl-a (`conswitch=`).", "",
            *table(("key", "shows or does", "function"), sorted(rows, key=lambda r: (r[0].lower(), r[0])))]


PAGES = {"hypercalls.md": hypercalls, "options.md": options, "debug-keys.md": debug_keys}


def main():
    args = [a for a in sys.argv[1:] if a != "--check"]
    img, stale = Image(args[0] if args else TOP / "build/xen-syms"), []
    for name, make in PAGES.items():
        path, text = OUT / name, "\n".join(make(img)).rstrip() + "\n"
        if "--check" not in sys.argv:
            OUT.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            stale.append(str(path.relative_to(TOP)))
    if stale:
        print("out of date: " + ", ".join(stale) + "; run `make doc` and commit")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
