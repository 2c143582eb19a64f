# SPDX-License-Identifier: MIT
"""The generated pages are those that the built image and the lists give, and what documents name exists."""
import re
import subprocess
import sys

import pytest

from machine import BUILD, TOP

DOCS = sorted(p for p in [*TOP.glob("*.md"), *TOP.glob("doc/**/*.md")])


def check(*cmd):
    r = subprocess.run([sys.executable, *map(str, cmd)], cwd=TOP, capture_output=True, text=True)
    assert r.returncode == 0, r.stdout + r.stderr


def test_reference_is_up_to_date():
    check("tools/gendoc.py", "--check", BUILD / "xen-syms")


def test_xsa_table():
    check("tools/xsa.py", "--check")


@pytest.mark.parametrize("doc", DOCS, ids=[str(d.relative_to(TOP)) for d in DOCS])
def test_links_and_files_exist(doc):
    """Relative links, and files of the tree named in backquotes."""
    text = doc.read_text()
    missing = [t for t in re.findall(r"\]\((?!https?:|#)([^)#]+)", text) if not (doc.parent / t).exists()]
    named = re.findall(r"`((?:src|test|tools|loader|doc)/[\w./*-]+)`", text)
    missing += [n for n in named if not any(TOP.glob(n.rstrip("/")))]
    assert not missing


def test_functions_in_the_tour_exist():
    """Every `name()` in the tour and the memory map is a function of the source."""
    source = "\n".join(p.read_text() for f in ("src", "loader") for p in (TOP / f).rglob("*.[chS]"))
    words = set(re.findall(r"\w+", source))
    for doc in ("tour.md", "memory-map.md"):
        named = set(re.findall(r"`(\w+)\(\)`", (TOP / "doc" / doc).read_text()))
        assert named <= words, f"{doc}: {sorted(named - words)}"


def test_quoted_messages_exist():
    """Each line quoted in errors.md is in the source: its pieces between % and ... are found in one string."""
    source = "\n".join(p.read_text() for f in ("src", "loader") for p in sorted((TOP / f).rglob("*.[chS]")))
    source = re.sub(r'"\s*"', "", source)                          # adjacent literals
    source = re.sub(r"%[-+ #0-9.*]*(?:ll|l|z|h)?[a-zA-Z]", "%", source.replace('\\"', '"'))
    missing = []
    for row in re.findall(r"^\|(.*?)\|", (TOP / "doc/errors.md").read_text(), re.M):
        for quoted in re.findall(r"`([^`]+)`", row):
            for piece in re.split(r"\.\.\.|%", quoted):
                piece = piece.strip(" :'\"")
                if len(piece) > 5 and piece not in source:
                    missing.append(piece)
    assert not missing


def test_support_statement_on_shared_resources():
    """XSA-461 is a statement, not code."""
    text = " ".join((TOP / "SUPPORT.md").read_text().split())
    assert "devices that share resources" in text and "not security supported" in text
