# SPDX-License-Identifier: MIT
"""What `make test-all` has finished: a file with a line "part<TAB>names of its tests" for everything that passed, named
after the content of the source tree, so that any change begins anew. As a pytest plugin (`-p finished`, the file in
HELIUM_FINISHED) it leaves out what has passed and notes what passes."""
import hashlib
import os
import subprocess
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]


def tree_key():
    """A hash of all files that git knows or would add (without git: of all files), and of the images' version."""
    r = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=TOP, capture_output=True)
    names = r.stdout.decode().split("\0") if r.returncode == 0 else [
        str(f.relative_to(TOP)) for f in TOP.rglob("*") if f.relative_to(TOP).parts[0] not in ("build", ".cache", ".git")]
    h = hashlib.sha256()
    for name in sorted(set(names)) + [".cache/stamp"]:
        f = TOP / name
        if f.is_file():
            h.update(name.encode() + b"\0" + hashlib.sha256(f.read_bytes()).digest())
    return h.hexdigest()[:16]


class Finished:
    """path=None: remembers nothing."""

    def __init__(self, path):
        self.path = Path(path) if path else None
        self.parts = {}
        if self.path and self.path.exists():
            rows = (line.rstrip("\n").split("\t") for line in self.path.open())
            self.parts = {row[0]: row[1].split() for row in rows if len(row) == 2}

    def has(self, part):
        return part in self.parts

    def names(self, part):
        return self.parts[part]

    def count(self, prefix):
        return sum(1 for part in self.parts if part.startswith(prefix))

    def add(self, part, names=()):
        """names: of the tests in it, if it is not itself one."""
        if self.path:
            self.parts[part] = list(names)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a") as f:
                f.write(f"{part}\t{' '.join(names)}\n")


# ---- the plugin; pytest passes the arguments by their names ----

_done = Finished(os.environ.get("HELIUM_FINISHED"))
_passed = {}


def pytest_collection_modifyitems(config, items):
    left_out = [i for i in items if _done.has(f"booted/{i.nodeid}")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [i for i in items if i not in left_out]


def pytest_runtest_logreport(report):
    """A test counts when set-up, call and tidying up have all passed."""
    ok = _passed.setdefault(report.nodeid, [])
    ok.append(report.outcome == "passed")
    if report.when == "teardown" and len(ok) == 3 and all(ok):
        _done.add(f"booted/{report.nodeid}")
