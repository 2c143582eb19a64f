#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""`make run`: UEFI firmware -> Helium -> stock Debian dom0 -> a stock guest, in this terminal."""
import argparse
import os
import re
import shutil
import sys
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOP / "test/lib"))
import pexpect                      # noqa: E402
from machine import CACHE, Machine  # noqa: E402

LOG = "build/run.log"
GUEST_LOG = "/var/log/xen/console/guest-demo.log"
# What to wait for on the serial line, and what to say when it comes.
STAGES = [
    (r"BdsDxe: starting|Helium", "the UEFI firmware has started Helium"),
    (r"Helium: \d+ TSC ticks", "Helium is up and starts Debian's kernel as dom0"),
    (r"Linux version [^\s]+", "dom0: the kernel runs"),
    (r"systemd\[1\]: (?:systemd \S+ running|Detected)|Welcome to", "dom0: systemd starts its units"),
    (r"root@helium:~# ", "dom0: logged in on the console"),
]
HELP = """
You are root in dom0 (no password, logged in by itself). The guest "demo" is running.

    xl list             the domains             xl console demo     the guest's console; Ctrl-] leaves it
    xl info             the machine             xl create FILE      another guest: see /etc/xen/demo.cfg
    xl dmesg            Helium's log            xl shutdown demo    stop the guest

    Ctrl-a three times  talk to Helium itself: h lists its keys, Ctrl-a three times goes back
    poweroff            stop the machine and leave
    Ctrl-\\              leave at once
"""
T0 = time.monotonic()


class Screen:
    """Where the serial line goes: to the log, and to the terminal either as it is (verbose) or as one passing line."""

    def __init__(self, verbose):
        self.log, self.verbose = open(TOP / LOG, "w", encoding="utf-8", buffering=1), verbose
        self.live, self.line, self.shown = sys.stdout.isatty() and not verbose, "", 0

    def write(self, text):
        self.log.write(text)
        if self.verbose:
            sys.stdout.write(text)
        if not self.live:
            return
        *done, self.line = re.split(r"[\r\n]+", (self.line + text)[-2000:])
        done = [clean for d in done if (clean := re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|[^ -~]", "", d).strip())]
        if done and time.monotonic() - self.shown > 0.1:
            self.shown = time.monotonic()
            width = shutil.get_terminal_size().columns - 12
            sys.stdout.write(f"\r\033[K           \033[2m{done[-1][:width]}\033[0m")
            sys.stdout.flush()

    def flush(self):
        self.log.flush()

    def say(self, text):
        bold, plain, clear = ("\033[1m", "\033[0m", "\r\033[K") if sys.stdout.isatty() else ("", "", "")
        print(f"{clear}{bold}[{time.monotonic() - T0:6.1f} s]{plain} {text}", flush=True)


def bring_up(m, screen):
    """Boot, and start the guest."""
    for pattern, text in STAGES:
        m.expect(pattern, 900)
        screen.say(text)
    m.login()
    if m.run("for i in $(seq 120); do systemctl is-active -q xen && xl list > /dev/null 2>&1 && exit_ok=1 && break; "
             "sleep 1; done; [ -n \"$exit_ok\" ]", 600)[0]:
        raise AssertionError("dom0 is up, but the Xen services did not start:\n" + m.run("systemctl status xen")[1])
    screen.say("dom0: the Xen services are up; xl create /etc/xen/demo.cfg")
    m.sh("xl create -q /etc/xen/demo.cfg", 300)
    m.sh(f"for i in $(seq 240); do grep -qs 'GUEST: up' {GUEST_LOG} && break; sleep 1; done; grep -aq 'GUEST: up' {GUEST_LOG}", 400)
    screen.live = False
    screen.say("the guest runs:\n")
    print(m.sh("xl info | grep -E '^(release|nr_cpus|virt_caps|total_memory|free_memory|xen_version|xen_commandline)'"), end="\n\n")
    print(m.sh("xl list"), end="\n\n")
    print("\n".join("    demo| " + line for line in m.sh(f"grep -a '[^[:space:]]' {GUEST_LOG} | tail -n 6").split("\n") if line.strip()))


def interact(m):
    """Hand the terminal to dom0's shell."""
    size = shutil.get_terminal_size()
    print(HELP, flush=True)
    m.child.sendline(f"stty sane rows {size.lines} cols {size.columns}; export TERM=linux PS1='root@helium:\\w# '; dmesg -n 4")
    m.child.expect_exact("root@helium:~# ", timeout=120)
    m.child.logfile_read = None     # from here on the terminal itself shows what comes
    m.child.sendline("")            # a prompt on the screen
    m.child.interact(escape_character="\x1c")
    print(f"\r\nThe machine is off. Its serial log is in {LOG}; `make run` starts it anew.")


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--loader", choices=("efi", "kernel"), default="efi", help="through UEFI firmware, or directly by QEMU")
    p.add_argument("--smp", type=int, default=int(os.environ.get("HELIUM_SMP", "2")), help="CPUs of the machine")
    p.add_argument("--mem", type=int, default=2048, help="MiB of RAM of the machine")
    p.add_argument("--verbose", action="store_true", help="show the serial line while booting")
    p.add_argument("--batch", action="store_true", help="end when the guest was shown (default without a terminal)")
    o = p.parse_args()
    batch = o.batch or not (sys.stdin.isatty() and sys.stdout.isatty())
    m = Machine(loader=o.loader, smp=o.smp, mem=o.mem, kernel=CACHE / "vmlinuz" if o.loader == "efi" else None, linux="loglevel=6")
    screen = Screen(o.verbose)
    screen.say(f"powering on a QEMU machine with {o.smp} CPU(s) and {o.mem} MiB (no hardware virtualisation: one to two minutes); "
               f"serial log: {LOG}")
    m.start()
    m.child.logfile_read = screen
    try:
        bring_up(m, screen)
        if not batch:
            interact(m)
        elif not o.batch:
            print("\nNo terminal to go on in: the machine is switched off. In a terminal, `make run` ends in dom0's console.")
    except AssertionError as e:
        screen.flush()
        raise SystemExit(f"\nhelium: this did not work: {e}\nThe whole serial log is in {LOG}.")
    except KeyboardInterrupt:
        raise SystemExit("\ninterrupted; the machine is switched off")
    finally:
        m.child.logfile_read = None
        m.off()


if __name__ == "__main__":
    main()
