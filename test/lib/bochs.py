# SPDX-License-Identifier: MIT
"""A Bochs machine that boots Helium from a CD with GRUB: a second opinion on SVM, with processors that have what QEMU's has
not (next-RIP save, flush by ASID, the pause filter). It has no IOMMU, its serial line comes over a socket, and it needs an X
server, so it brings one without a screen (Xvfb). It stops at a guest's triple fault instead of reporting it.

    m = Bochs(cpu="ryzen", kernel=..., xen="dom0_mem=64M").start()
    m.expect("GUEST PASS")
    m.off()
"""
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

import pexpect.fdpexpect

from machine import BUILD, STOP, grub_cd

TOOLS = ("bochs", "Xvfb", "xvfb-run", "grub-mkrescue")
MISSING = [t for t in TOOLS if not shutil.which(t)]
RC = """megs: {mem}
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
cpu: model={cpu}, count={smp}, ips=40000000, reset_on_triple_fault=0
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=cdrom, path={cd}, status=inserted
boot: cdrom
com1: enabled=1, mode=socket-client, dev=127.0.0.1:{port}
sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy
display_library: x
clock: sync=none
log: {log}
panic: action=fatal
error: action=report
info: action=ignore
"""


class Bochs:
    def __init__(self, cpu="ryzen", kernel=None, initrd=None, smp=1, mem=512, xen="", linux=""):
        self.cpu, self.smp, self.mem, self.initrd, self.linux = cpu, smp, mem, initrd, linux
        self.kernel = kernel or BUILD / "guest/hello.elf"
        self.xen = f"com1=115200,8n1 console=com1 dom0-iommu=none {xen}"
        self.tmp = self.process = self.child = None

    def start(self):
        self.tmp = Path(tempfile.mkdtemp(prefix="helium."))
        cd = grub_cd(self.tmp, BUILD / "xen.gz", self.xen, [(self.kernel, self.linux), (self.initrd, "")])
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(60)
            (self.tmp / "bochsrc").write_text(RC.format(cpu=self.cpu, smp=self.smp, mem=self.mem, cd=cd, log=self.tmp / "log",
                                                        port=server.getsockname()[1]))
            (self.tmp / "go").write_text("c\n")         # Debian's Bochs has the debugger, which waits for a command
            with open(self.tmp / "out", "w") as out:
                self.process = subprocess.Popen(
                    ["xvfb-run", "-a", "-s", "-screen 0 1024x768x24", "bochs", "-q", "-f", self.tmp / "bochsrc",
                     "-rc", self.tmp / "go"], stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
            self.serial = server.accept()[0]
        self.child = pexpect.fdpexpect.fdspawn(self.serial, encoding="utf-8", codec_errors="replace")
        return self

    def expect(self, pattern, timeout=120):
        i = self.child.expect([pattern, STOP, pexpect.EOF, pexpect.TIMEOUT], timeout=timeout)
        log = self.tmp / "log"
        why = [l for l in log.read_text(errors="replace").splitlines() if "PANIC" in l] if i and log.exists() else ""
        assert i == 0, f"waited for {pattern!r}, got {('', 'a panic', 'the end', 'nothing')[i]}: {why}\n{self.child.before[-3000:]}"
        return self.child.match

    def off(self):
        if self.process:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.serial.close()
        shutil.rmtree(self.tmp, ignore_errors=True)
