# SPDX-License-Identifier: MIT
"""The ways in: GRUB on BIOS and on UEFI by both multiboot protocols, and the unified UEFI image. An own kernel as dom0
shows that what the loader gave has arrived: options, the kernel's own command line, modules."""
import shutil
import subprocess

import pytest

import own
from machine import BUILD, CACHE, OVMF, STOCK_CPU, make_esp

HELLO = own.GUESTS / "hello.elf"
needs_grub = pytest.mark.skipif(not shutil.which("grub-mkrescue"), reason="no grub-mkrescue")
needs_ovmf = pytest.mark.skipif(not OVMF.exists(), reason="no OVMF")
# Commands of GRUB's configuration for both protocols.
PROTOCOLS = {"multiboot2": ("multiboot2", "module2"), "multiboot1": ("multiboot", "module")}


class Grub(own.Small):
    """A CD made by grub-mkrescue, which starts from BIOS and from UEFI. No dom0 kernel: kernel=""."""

    def __init__(self, protocol="multiboot2", uefi=False, image="xen.gz", **kw):
        super().__init__(hypervisor=BUILD / image, loader="grub", **kw)
        self.protocol, self.uefi = protocol, uefi

    def command(self):
        self.loader = "none"
        return super().command() + self._cd() + (self.firmware() if self.uefi else [])

    def _cd(self):
        root = self.tmp / "cd"
        (root / "boot/grub").mkdir(parents=True)
        shutil.copy(self.hypervisor, root / "boot/xen")
        start, module = PROTOCOLS[self.protocol]
        # multiboot2's command line has no file name in front.
        lines = ["serial --unit=0 --speed=115200", "terminal_output serial", f"{start} /boot/xen {self.xen_args}"]
        for name, file, args in (("kernel", not self.no_module and self.kernel, self.linux_args), ("initrd", self.initrd, "")):
            if file:
                shutil.copy(file, root / "boot" / name)
                lines.append(f"{module} /boot/{name} {args}")
        (root / "boot/grub/grub.cfg").write_text("\n".join(lines + ["boot", ""]))
        subprocess.run(["grub-mkrescue", "-o", self.tmp / "cd.iso", root], check=True, capture_output=True)
        return ["-drive", f"if=none,id=cd,media=cdrom,readonly=on,file={self.tmp}/cd.iso", "-device", "ide-cd,drive=cd,bootindex=1"]


def start(machine, until, timeout=120):
    machine.start()
    try:
        machine.expect(until, timeout)
        return (machine.child.before + machine.child.after).replace("\r", "")
    finally:
        machine.off()


@needs_grub
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_grub_bios(protocol):
    out = start(Grub(protocol, xen="strange=1", linux="word from the loader"), "GUEST PASS hello")
    assert "strange" in out and "word from the loader" in out


@needs_grub
@needs_ovmf
def test_grub_uefi():
    out = start(Grub(uefi=True, xen="strange=1", linux="word from the loader", smp=2), "GUEST PASS hello")
    assert "strange" in out and "word from the loader" in out and "CPUs: 2 x" in out


@needs_grub
@pytest.mark.parametrize("uefi", [False, pytest.param(True, marks=needs_ovmf)])
def test_grub_without_kernel(uefi):
    start(Grub(uefi=uefi, kernel=""), r"no dom0 kernel[^\n]*")


@needs_grub
@pytest.mark.skipif(not (CACHE / "vmlinuz").exists(), reason="no stock kernel in .cache")
@pytest.mark.parametrize("uefi", [pytest.param(False, marks=pytest.mark.long), pytest.param(True, marks=needs_ovmf)])
def test_grub_stock(uefi):
    """Debian's kernel as shipped, with an initrd."""
    out = start(Grub(uefi=uefi, kernel=CACHE / "vmlinuz", initrd=CACHE / "guest.initrd", linux="t.run=true", mem=1024,
                     dom0_mem="512M", cpu=STOCK_CPU), "GUEST: rc 0", 300)
    assert "GUEST: up, 1 cpus" in out


class Unified(own.Small):
    """One file for the firmware: configuration and kernel are sections of xen.efi."""

    def _esp(self):
        config, image = self.tmp / "config", self.tmp / "unified.efi"
        config.write_text(f"[global]\ndefault=a\n[a]\noptions={self.xen_args}\nkernel=inside {self.linux_args}\n")
        add = []
        for i, (name, file) in enumerate(((".config", config), (".kernel", self.kernel))):
            add += ["--add-section", f"{name}={file}", "--change-section-vma", f"{name}={self.vma(i):#x}"]
        subprocess.run(["objcopy", *add, self.hypervisor, image], check=True)
        make_esp(self.tmp / "esp.img", {"EFI/BOOT/BOOTX64.EFI": image})

    def vma(self, i):
        """Behind the last section of xen.efi."""
        rows = subprocess.run(["objdump", "-h", self.hypervisor], check=True, capture_output=True, text=True).stdout.split("\n")
        ends = [int(r[3], 16) + int(r[2], 16) for r in map(str.split, rows) if r and r[0].isdigit()]
        return (max(ends) + 0xfff & ~0xfff) + (i << 20)


@needs_ovmf
def test_unified_image():
    assert "word from inside" in start(Unified(loader="efi", linux="word from inside"), "GUEST PASS hello")
