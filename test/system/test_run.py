# SPDX-License-Identifier: MIT
"""`make run` as somebody at a terminal sees it."""
import pexpect
import pytest
from machine import TOP

PROMPT = "root@helium:~# "


@pytest.mark.long
def test_from_power_on_to_power_off():
    c = pexpect.spawn("/usr/bin/python3", ["tools/run.py"], cwd=str(TOP), encoding="utf-8", codec_errors="replace",
                      dimensions=(40, 120), timeout=60)
    try:
        c.expect("the UEFI firmware has started Helium", timeout=300)
        c.expect("leave at once", timeout=900)
        c.expect_exact(PROMPT, timeout=120)
        c.send("xl list\r")
        c.expect(r"demo +\d+ +192 ")
        c.expect_exact(PROMPT)
        c.send("xl console demo\r\r")
        c.expect_exact("/ # ")
        c.send("echo in the $((6 * 7))th guest\r")
        c.expect("in the 42th guest")
        c.send("\x1d")
        c.expect_exact(PROMPT)
        c.send("\x01\x01\x01h")
        c.expect("show this list")
        c.send("\x01\x01\x01\r")
        c.expect_exact(PROMPT)
        c.send("poweroff\r")
        c.expect("The machine is off", timeout=300)
        c.expect(pexpect.EOF)
    finally:
        c.close(force=True)
    assert c.exitstatus == 0
