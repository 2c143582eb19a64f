# SPDX-License-Identifier: MIT
"""A QEMU machine that boots a hypervisor with a dom0, and a shell on its serial console.

    m = Machine(dom0="vmlinux")          # Debian's kernel and root disk
    m.boot()                             # until the shell prompt
    rc, out = m.run("xl info")           # one command line in dom0
    m.off()
"""
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pexpect

TOP = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("HELIUM_BUILD", TOP / "build"))
CACHE = Path(os.environ.get("HELIUM_CACHE", TOP / ".cache"))
OVMF = Path("/usr/share/OVMF/OVMF_CODE_4M.fd")
OVMF_VARS = Path("/usr/share/OVMF/OVMF_VARS_4M.fd")

# QEMU 7.2's TCG reports RDTSCP exits as RDTSC, and loses XCR0 under SVM: hide what these break in stock kernels.
STOCK_CPU = "max,-smap,-rdtscp,-pku,-mpx,-avx,-avx2,-f16c,-fma"
PROMPT = "helium# "
# Ends any wait for something else.
STOP = r"Panic on CPU|PANIC|Kernel panic - not syncing"


class Machine:
    """hypervisor: file; kernel/initrd: files for dom0 (module 0 and 1); loader: 'kernel' (QEMU's multiboot),
    'efi' (xen.efi with xen.cfg on an EFI system partition), 'none' (whatever else the arguments bring).
    threads: 'single' runs all CPUs in one thread of QEMU, 'multi' each in its own. With 'multi' an FXRSTOR, XRSTOR or FLDENV
    on any CPU changes the first CPU's hflags2 without a lock (QEMU 7.2: cpu_clear_ignne), and now and then undoes what a
    VMRUN, #VMEXIT, CLGI or STGI there just did. Helium itself uses XRSTOR: with 'multi', keep every domain off that CPU."""

    def __init__(self, hypervisor=None, kernel=None, initrd=None, loader="kernel", mem=2048, smp=2, cpu=STOCK_CPU,
                 iommu=True, disk=True, threads="single", dom0_mem="768M", xen="", linux="", icount=None, qemu=(), log=None,
                 console="com1=115200,8n1 console=com1 loglvl=all guest_loglvl=all"):
        self.hypervisor = Path(hypervisor or BUILD / ("xen.efi" if loader == "efi" else "xen"))
        self.kernel = Path(kernel or CACHE / "vmlinux")
        self.initrd = Path(initrd) if initrd else (CACHE / "initrd.img" if disk else None)
        self.loader, self.mem, self.smp, self.cpu, self.iommu, self.disk = loader, mem, smp, cpu, iommu, disk
        self.icount, self.threads, self.extra = icount, threads, list(qemu)
        self.xen_args = " ".join(filter(None, [console, f"dom0_mem={dom0_mem}" if dom0_mem else "", xen]))
        self.linux_args = ("console=hvc0 root=LABEL=dom0 " if disk else "console=hvc0 ") + linux
        self.log_path = Path(log) if log else None
        self.tmp = self.child = None

    # ---- the machine ----

    def command(self):
        q = ["qemu-system-x86_64", "-accel", "tcg,thread=" + ("single" if self.icount else self.threads),
             "-M", "q35", "-cpu", self.cpu, "-m", str(self.mem), "-smp", str(self.smp), "-display", "none",
             "-monitor", "none", "-serial", "stdio", "-no-reboot", "-nic", "none"]
        if self.iommu:
            q += ["-device", "amd-iommu"]
        if self.icount:
            q += ["-icount", self.icount, "-rtc", "clock=vm,base=2026-01-01"]
        if self.disk:
            q += ["-drive", f"if=none,id=root,format=raw,file={CACHE}/dom0.img,snapshot=on",
                  "-device", "ide-hd,drive=root,bus=ide.0"]
        if self.loader == "efi":
            self._esp()
            q += self.firmware() + ["-drive", f"if=none,id=esp,format=raw,file={self.tmp}/esp.img",
                                    "-device", "ide-hd,drive=esp,bus=ide.5,bootindex=1"]
        elif self.loader == "kernel":
            esc = lambda s: str(s).replace(",", ",,")
            modules = f"{esc(self.kernel)} {esc(self.linux_args)}"
            if self.initrd:
                modules += f",{esc(self.initrd)}"
            q += ["-kernel", str(self.hypervisor), "-append", self.xen_args, "-initrd", modules]
        return q + self.extra

    def firmware(self):
        """OVMF with variables of its own."""
        shutil.copy(OVMF_VARS, self.tmp / "vars.fd")
        return ["-drive", f"if=pflash,format=raw,readonly=on,file={OVMF}",
                "-drive", f"if=pflash,format=raw,file={self.tmp}/vars.fd"]

    def _esp(self):
        """The EFI system partition: xen.efi as the default program, xen.cfg and what it names."""
        cfg = self.tmp / "xen.cfg"
        lines = ["[global]", "default=debian", "[debian]", f"options={self.xen_args}",
                 f"kernel=vmlinuz {self.linux_args}"] + (["ramdisk=initrd.img"] if self.initrd else [])
        cfg.write_text("\n".join(lines) + "\n")
        make_esp(self.tmp / "esp.img", {"EFI/BOOT/BOOTX64.EFI": self.hypervisor, "EFI/BOOT/xen.cfg": cfg,
                                        "EFI/BOOT/vmlinuz": self.kernel, "EFI/BOOT/initrd.img": self.initrd})

    def start(self):
        """Power on. The serial line is self.child, a pexpect object."""
        self.tmp = Path(tempfile.mkdtemp(prefix="helium."))
        args = self.command()
        self.child = pexpect.spawn(args[0], args[1:], encoding="utf-8", codec_errors="replace", echo=False,
                                   timeout=60, dimensions=(50, 250))
        if self.log_path:
            self.log_path.parent.mkdir(parents=True, exist_ok=True)
            self.child.logfile_read = open(self.log_path, "w", encoding="utf-8")
        self.started = time.monotonic()
        return self

    def expect(self, pattern, timeout=60):
        """Wait for a pattern on the serial line; returns the match. A panic ends the wait at once."""
        i = self.child.expect([pattern, STOP, pexpect.EOF, pexpect.TIMEOUT], timeout=timeout)
        if i:
            tail = (self.child.before or "")[-3000:]
            try:
                self.child.expect(pexpect.TIMEOUT, timeout=1)
                tail += str(self.child.after) + (self.child.before or "")[-1500:]
            except pexpect.EOF:
                pass
            raise AssertionError(f"waited for {pattern!r}, got {('', 'a panic', 'the end', 'nothing')[i]}:\n{tail}")
        return self.child.match

    def boot(self, timeout=900):
        """Power on and wait for dom0's shell."""
        self.start()
        self.expect(r"root@helium:~# ", timeout)
        self.boot_s = time.monotonic() - self.started
        return self.login()

    def login(self):
        """The console shows a root shell: make it one that run() can drive."""
        # The prompt is written in two pieces, so that the echo of this line is not taken for it.
        self.child.sendline("bind 'set enable-bracketed-paste off'; stty -echo; export TERM=dumb; dmesg -n 1; PS1='hel''ium# '")
        self.expect(re.escape(PROMPT), 30)
        self.run("true")
        return self

    def run(self, command, timeout=120):
        """Run a command line in dom0's shell. Returns (exit status, output)."""
        mark = f"E{time.monotonic_ns()}N"
        self.child.sendline(f"{command}; rc=$?; echo; echo {mark[:4]}''{mark[4:]} $rc")
        m = self.expect(mark + r" (\d+)\r*\n", timeout)
        out = self.child.before
        self.expect(re.escape(PROMPT), 30)
        return int(m.group(1)), clean(out)

    def sh(self, command, timeout=120):
        """Like run(), but must succeed; returns the output."""
        rc, out = self.run(command, timeout)
        assert rc == 0, f"{command}: exit {rc}\n{out}"
        return out

    def off(self):
        if self.child:
            try:
                self.child.close(force=True)
            except pexpect.ExceptionPexpect:
                pass                    # killed; on a busy host it goes later than pexpect waits
            if self.child.logfile_read:
                self.child.logfile_read.close()
        if self.tmp:
            shutil.rmtree(self.tmp, ignore_errors=True)
        self.child = self.tmp = None


def clean(text):
    """Console text without carriage returns, escape sequences and the hypervisor's own lines."""
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b\][^\x07]*\x07", "", text).replace("\r", "")
    return "\n".join(l for l in text.split("\n") if not re.match(r"\((XEN|d\d+)\)", l)).strip("\n")


def make_esp(path, files):
    """A bare FAT image with these files (name -> source; None is left out)."""
    files = {k: v for k, v in files.items() if v}
    size = sum(Path(f).stat().st_size for f in files.values()) // 2**20 + 40
    with open(path, "wb") as f:
        f.truncate(size * 2**20)
    quiet = dict(check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["mformat", "-i", path, "-F", "::"], **quiet)
    dirs = sorted({"/".join(n.split("/")[:i]) for n in files for i in range(1, n.count("/") + 1)})
    for d in dirs:
        subprocess.run(["mmd", "-i", path, "::" + d], **quiet)
    for name, src in files.items():
        subprocess.run(["mcopy", "-i", path, str(src), "::" + name], **quiet)


def grub_cd(tmp, image, args, modules, protocol="multiboot2"):
    """A CD, made by grub-mkrescue in the folder tmp, that starts from BIOS and from UEFI: the hypervisor `image` with these
    arguments and modules (file, arguments); a file of None is left out."""
    root = tmp / "cd"
    (root / "boot/grub").mkdir(parents=True)
    start, module = {"multiboot2": ("multiboot2", "module2"), "multiboot1": ("multiboot", "module")}[protocol]
    shutil.copy(image, root / "boot/xen")
    # multiboot2's command line has no file name in front.
    lines = ["serial --unit=0 --speed=115200", "terminal_output serial", f"{start} /boot/xen {args}"]
    for i, (file, words) in enumerate((f, a) for f, a in modules if f):
        shutil.copy(file, root / f"boot/module{i}")
        lines.append(f"{module} /boot/module{i} {words}")
    (root / "boot/grub/grub.cfg").write_text("\n".join(lines + ["boot", ""]))
    subprocess.run(["grub-mkrescue", "-o", tmp / "cd.iso", root], check=True, capture_output=True)
    return tmp / "cd.iso"


def quote(s):
    return shlex.quote(s)
