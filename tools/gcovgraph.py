# SPDX-License-Identifier: MIT
"""Lines and branches out of gcov's files, with the compiler's flow graph (read with gcov-dump, which is part of gcc).

gcov itself tells how often each arm of a branch was taken, but not where it leads. The graph does: an arm that leads to
nothing but a call that does not come back, panic() or a failed assertion, is not one that a working program can take."""
import re
import subprocess
from collections import defaultdict

FATAL = re.compile(r"\b(panic|ASSERT|BUG)\(")


class Function:
    def __init__(self, ident, name, source):
        self.ident, self.name, self.source = ident, name, source
        self.arcs = []                      # (from, to, on the tree, fake)
        self.lines = defaultdict(list)      # block: lines of the function's own file
        self.nr_blocks = 0

    def out(self, real=True):
        o = defaultdict(list)
        for k, (a, b, _, fake) in enumerate(self.arcs):
            if not (real and fake):
                o[a].append(k)
        return o

    def doomed(self):
        """Blocks from which there is no way to the end of the function: they end in a call that does not return."""
        out, bad = self.out(), set()
        changed = True
        while changed:
            changed = False
            for b in range(2, self.nr_blocks):
                if b not in bad and all(self.arcs[k][1] in bad for k in out[b]):
                    bad.add(b)
                    changed = True
        return bad


def dump(path):
    return subprocess.run(["gcov-dump", "-l", str(path)], capture_output=True, text=True, check=True).stdout.splitlines()


def read_graph(gcno):
    functions, f = [], None
    for line in dump(gcno):
        if m := re.search(r"FUNCTION ident=(\d+), .*`(\S+)' (\S+?):\d+:\d+", line):
            f = Function(int(m[1]), m[2], m[3])
            functions.append(f)
        elif m := re.search(r"BLOCKS (\d+) blocks", line):
            f.nr_blocks = int(m[1])
        elif m := re.search(r"block (\d+): ?((?:\d+:[0-9a-f]{4}(?:\([a-z,]*\))? ?)+)$", line):
            for dst, flags in re.findall(r"(\d+):([0-9a-f]{4})", m[2]):
                f.arcs.append((int(m[1]), int(dst), int(flags, 16) & 1, int(flags, 16) & 2))
        elif m := re.search(r"block (\d+):(`.*)$", line):
            for source, numbers in re.findall(r"`([^']*)':([\d, ]+)", m[2]):
                if source == f.source:
                    f.lines[int(m[1])] += [int(n) for n in re.findall(r"\d+", numbers)]
    return functions


def read_counts(gcda):
    """{ident: counters of the arcs that are not on the tree}"""
    found, now = {}, None
    for line in dump(gcda):
        if m := re.search(r"FUNCTION ident=(\d+)", line):
            now = found.setdefault(int(m[1]), [])
        elif m := re.search(r"COUNTERS arcs (-?\d+) counts", line):
            now += [0] * max(0, -int(m[1]))             # gcc leaves out those that are all zero
        elif (m := re.search(r"^\S+:\s+\d+: ([\d ]+)$", line)) and now is not None:
            now += [int(n) for n in m[1].split()]
    return found


def solve(f, counters):
    """How often each arc was taken: what flows into a block flows out of it."""
    count = {}
    it = iter(counters)
    for k, (_, _, tree, _) in enumerate(f.arcs):
        if not tree:
            count[k] = next(it, 0)
    ins, outs = defaultdict(list), f.out(real=False)
    for k, (_, b, _, _) in enumerate(f.arcs):
        ins[b].append(k)
    total, todo = {}, True
    while todo:
        todo = False
        for b in range(f.nr_blocks):
            for side in (ins[b], outs[b]):
                unknown = [k for k in side if k not in count]
                if side and not unknown and b not in total:
                    total[b] = sum(count[k] for k in side)
                    todo = True
                elif len(unknown) == 1 and b in total:
                    count[unknown[0]] = max(0, total[b] - sum(count[k] for k in side if k in count))
                    todo = True
    return count, total


def hosted_only(text):
    """Numbers of the lines between #ifdef HOSTED and its #else or #endif."""
    out, depth = set(), 0
    for n, line in enumerate(text, 1):
        if re.match(r"# *(if|ifdef|ifndef)\b", line):
            depth += 1 if depth else 0
            depth = depth or (1 if re.match(r"# *ifdef +HOSTED\b", line) else 0)
        elif re.match(r"# *(endif)\b", line) and depth:
            depth -= 1
        elif re.match(r"# *else\b", line) and depth == 1:
            depth = 0
        elif depth:
            out.add(n)
    return out


class Source:
    """Of one file: lines {number: count}, arms [(line, where to, count)]; what is not counted is left out."""

    def __init__(self, path):
        self.text = path.read_text().splitlines()
        self.lines, self.arms = {}, defaultdict(int)
        self.left_out = hosted_only(self.text)

    def is_fatal(self, numbers):
        return any(FATAL.search(self.text[n - 1]) or FATAL.search(self.text[max(0, n - 2)]) for n in numbers)

    def add(self, f, counters):
        count, total = solve(f, counters)
        doomed = {b for b in f.doomed() if self.is_fatal(f.lines[b])}
        for b, numbers in f.lines.items():
            for n in numbers:
                if b not in doomed and n not in self.left_out:
                    self.lines[n] = self.lines.get(n, 0) + total.get(b, 0)
        for b, arcs in f.out().items():
            if len(arcs) < 2 or not f.lines[b] or f.lines[b][-1] in self.left_out:
                continue
            for i, k in enumerate(arcs):
                to = f.arcs[k][1]
                if to not in doomed:
                    # Statements of macros that a file uses often have the same line: tell arms apart by graph, too.
                    self.arms[f.lines[b][-1], f.name, b, i, (f.lines[to] or [0])[0]] += count.get(k, 0)
