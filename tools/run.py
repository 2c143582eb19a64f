#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""`make run`: UEFI firmware -> Helium -> stock Debian dom0 -> a stock guest, in this terminal."""
import argparse
import re
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "test/lib"))
import pexpect
from machine import Machine

# What to wait for on the serial line, and what to say when it comes.
STAGES = [
    (r"BdsDxe: starting|Helium", "UEFI firmware starts Helium"),
    (r"Helium[^\n]*\n", "Helium is up"),
    (r"Linux version [^\s]+", "Helium starts Debian's kernel as dom0"),
    (r"systemd\[1\]: (?:systemd \S+ running|Detected)|Welcome to", "dom0: systemd"),
    (r"root@helium:~# ", "dom0: log-in on the console"),
]


def say(text):
    print(f"\033[1m[{time.monotonic() - T0:6.1f} s]\033[0m {text}", flush=True)


def stages(m, verbose):
    if verbose:
        m.child.logfile_read = sys.stdout
    for pattern, text in STAGES:
        m.expect(pattern, 400)
        say(text)
    m.child.logfile_read = None


def wait_for_toolstack(m):
    for _ in range(60):
        if m.run("xl list > /dev/null 2>&1 && systemctl is-active -q xen")[0] == 0:
            return
        time.sleep(1)
    raise SystemExit("dom0 is up, but the Xen services did not start: see `journalctl -u xen`")


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--loader", choices=("efi", "kernel"), default="efi")
    p.add_argument("--smp", type=int, default=2)
    p.add_argument("--mem", type=int, default=2048)
    p.add_argument("--verbose", action="store_true", help="show the serial line while booting")
    p.add_argument("--batch", action="store_true", help="end when the guest was shown (default without a terminal)")
    o = p.parse_args()
    m = Machine(loader=o.loader, smp=o.smp, mem=o.mem, kernel=None if o.loader == "kernel" else CACHE_VMLINUZ,
                log="build/run.log", linux="loglevel=6")
    say("powering on (the serial log goes to build/run.log)")
    m.start()
    try:
        stages(m, o.verbose)
        m.login()
        wait_for_toolstack(m)
        say("dom0: Xen services are up")
        print(m.sh("xl info | grep -E '^(host|release|xen_version|virt_caps|total_memory|free_memory)'"))
        say("xl create /etc/xen/demo.cfg")
        m.sh("xl create -q /etc/xen/demo.cfg", 300)
        log = "/var/log/xen/console/guest-demo.log"
        m.sh(f"for i in $(seq 120); do grep -qs 'GUEST: up' {log} && break; sleep 1; done; grep -a GUEST {log}", 300)
        say("the guest runs:")
        print(m.sh("xl list"))
        print(m.sh(f"tail -n 5 {log}"))
        if o.batch or not sys.stdin.isatty():
            return 0
        interact(m)
    finally:
        m.off()
    return 0


def interact(m):
    print("""
You are root in dom0.  Useful here:
    xl list                 the domains
    xl console demo         the guest's console; Ctrl-] leaves it
    xl dmesg                Helium's log
    xl shutdown demo        stop the guest
    poweroff                stop the machine
Ctrl-a three times talks to Helium itself (then h lists its keys; three times again goes back).
Ctrl-\\ ends QEMU at once.
""", flush=True)
    m.child.sendline("PS1='root@helium:\\w# '; stty echo sane; export TERM=linux; clear")
    m.child.interact(escape_character="\x1c")


from machine import CACHE
CACHE_VMLINUZ = CACHE / "vmlinuz"
T0 = time.monotonic()
if __name__ == "__main__":
    sys.exit(main())
