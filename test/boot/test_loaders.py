# SPDX-License-Identifier: MIT
"""The ways in: GRUB on BIOS and on UEFI by both multiboot protocols, and the unified UEFI image. An own kernel as dom0
shows that what the loader gave has arrived: options, the kernel's own command line, modules."""
import shutil
import subprocess

import pytest

import own
from machine import BUILD, CACHE, OVMF, STOCK_CPU, grub_cd, make_esp

HELLO = own.GUESTS / "hello.elf"
needs_grub = pytest.mark.skipif(not shutil.which("grub-mkrescue"), reason="no grub-mkrescue")
needs_ovmf = pytest.mark.skipif(not OVMF.exists(), reason="no OVMF")


class Grub(own.Small):
    """A CD made by grub-mkrescue, which starts from BIOS and from UEFI. No dom0 kernel: kernel=""."""

    def __init__(self, protocol="multiboot2", uefi=False, image="xen.gz", **kw):
        super().__init__(hypervisor=BUILD / image, loader="grub", **kw)
        self.protocol, self.uefi = protocol, uefi

    def command(self):
        self.loader = "none"
        modules = [(None if self.no_module else self.kernel, self.linux_args), (self.initrd, "")]
        cd = grub_cd(self.tmp, self.hypervisor, self.xen_args, modules, self.protocol)
        return (super().command() + (self.firmware() if self.uefi else []) +
                ["-drive", f"if=none,id=cd,media=cdrom,readonly=on,file={cd}", "-device", "ide-cd,drive=cd,bootindex=1"])


def start(machine, until, timeout=120):
    machine.start()
    try:
        machine.expect(until, timeout)
        return (machine.child.before + machine.child.after).replace("\r", "")
    finally:
        machine.off()


@needs_grub
@pytest.mark.parametrize("protocol", ["multiboot2", "multiboot1"])
def test_grub_bios(protocol):
    out = start(Grub(protocol, xen="strange=1", linux="word from the loader"), "GUEST PASS hello")
    assert "strange" in out and "word from the loader" in out


def test_pvh_entry(tmp_path):
    """QEMU's -kernel takes the PVH note of an image without a multiboot 1 header; it hands over one module, without words."""
    image = (BUILD / "xen").read_bytes()
    magic = (0x1badb002).to_bytes(4, "little")
    assert image[:8192].count(magic) == 1
    (tmp_path / "xen").write_bytes(image.replace(magic, bytes(4), 1))

    class Pvh(own.Small):
        def command(self):
            return [str(self.kernel) if str(a).startswith(str(self.kernel)) else a for a in super().command()]

    out = start(Pvh(hypervisor=tmp_path / "xen", xen="strange=1"), "GUEST PASS hello")
    assert "started by PVH" in out and "strange" in out


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
