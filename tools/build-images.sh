#!/bin/bash
# SPDX-License-Identifier: MIT
# Build the disk images and kernels that `make run` and the system tests boot, in .cache (git ignores it).
# Each piece is made once and kept until this script changes.
#   dom0.img       Debian 12 with its stock toolstack and units, ext4, label "dom0"
#   vmlinuz, vmlinux, initrd.img    Debian's kernel (as shipped, and bare) and initramfs for dom0
#   guest.initrd   busybox guest with the PV front ends
#   xen-reference.gz / .efi         Debian's own hypervisor, for the benchmark
set -eu -o pipefail
cd "$(dirname "$0")/.."
. tools/common.sh
cache=${HELIUM_CACHE:-$PWD/.cache}
here=$PWD
stamp=$(cat "$0" tools/guest-init tools/dom0-setup.sh | sha256sum | cut -c1-16)
[ "$(cat "$cache/stamp" 2>/dev/null || true)" != "$stamp" ] || exit 0
need_root "to make dom0's disk image"
mkdir -p "$cache"
need_space "$cache" 2500 "for the disk images (they keep 850 MiB)"
need_space "${TMPDIR:-/tmp}" 1500 "to make dom0's root file system"
tmp=$(mktemp -d "$cache/build.XXXXXX")
trap 'as_root rm -rf "$tmp"' EXIT

packages=systemd-sysv,udev,dbus,kmod,linux-image-amd64,initramfs-tools,zstd
packages+=,xen-utils-4.17,xen-utils-common,xenstore-utils,qemu-system-xen,qemu-utils,xen-hypervisor-4.17-amd64
packages+=,iproute2,bridge-utils,ifupdown,iputils-ping,procps,less,nano,e2fsprogs,busybox-static,strace

echo "== Debian root file system for dom0 (downloads about 150 MB, once)"
as_root mmdebstrap --variant=minbase --include="$packages" \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/lib/modules/*/kernel/drivers/gpu/*' \
    --dpkgopt='path-exclude=/usr/lib/modules/*/kernel/drivers/media/*' \
    --dpkgopt='path-exclude=/usr/lib/modules/*/kernel/sound/*' \
    --essential-hook='mkdir -p "$1/etc/initramfs-tools/conf.d"; echo MODULES=list > "$1/etc/initramfs-tools/conf.d/helium"' \
    --essential-hook='printf "ahci\nsd_mod\nnvme\nvirtio_pci\nvirtio_blk\next4\ncrc32c_generic\n" > "$1/etc/initramfs-tools/modules"' \
    --customize-hook="$here/tools/dom0-setup.sh \"\$1\"" \
    bookworm "$tmp/root.tar" 2>&1 | tee "$tmp/log" | sed -un 's/^I: \(running apt\|downloading\|extracting\|installing\|creating\)/   \1/p' || {
    grep -E '^(E|W|Err|dpkg)' "$tmp/log" | tail -12 >&2
    fail "the root file system could not be made: see above. Is the network up (deb.debian.org)?"
}

root=$tmp/root
out=$tmp/out
mkdir "$root" "$out"
as_root tar -C "$root" --numeric-owner --exclude='./dev/*' --exclude='./proc/*' --exclude='./sys/*' -xf "$tmp/root.tar"
rm "$tmp/root.tar"
kver=$(basename "$root"/lib/modules/*)
echo "== kernel $kver"
cp "$root/boot/vmlinuz-$kver" "$out/vmlinuz"
cp "$root/boot/initrd.img-$kver" "$out/initrd.img"
cp "$root"/boot/xen-4.17-amd64.gz "$out/xen-reference.gz"
cp "$root"/boot/xen-4.17-amd64.efi "$out/xen-reference.efi"
/usr/bin/python3 - "$out/vmlinuz" "$out/vmlinux" <<'P'
import lzma, sys
data = open(sys.argv[1], "rb").read()
open(sys.argv[2], "wb").write(lzma.LZMADecompressor().decompress(data[data.index(b"\xfd7zXZ\0"):]))
P

echo "== guest"
guest=$tmp/guest
mkdir -p "$guest"/{bin,proc,sys,dev,run,mnt,tmp,etc}
cp /bin/busybox "$guest/bin/busybox"
install -m 755 tools/guest-init "$guest/init"
for m in xen-blkfront xen-netfront; do modprobe -d "$root" -S "$kver" --show-depends "$m"; done |
    sed -n 's/^insmod \([^ ]*\).*/\1/p' | sort -u | while read -r f; do
        install -D -m 644 "$f" "$guest/${f#"$root"/}"
    done
cp "$root/lib/modules/$kver"/modules.{builtin,builtin.modinfo,order} "$guest/lib/modules/$kver/"
depmod -b "$guest" "$kver"
(cd "$guest" && find . | sort | cpio -o -H newc --owner=0:0 --quiet | gzip -6n) > "$out/guest.initrd"

echo "== dom0 disk"
as_root mkdir -p "$root/srv/guest"
as_root cp "$out/vmlinuz" "$out/vmlinux" "$out/guest.initrd" "$root/srv/guest/"
truncate -s 2500M "$out/dom0.img"
as_root mke2fs -q -t ext4 -O ^has_journal -L dom0 -d "$root" "$out/dom0.img"
as_root chown "$(id -u)" "$out/dom0.img"
# All at once, by renaming: a machine that runs keeps what it has.
rm -f "$cache/stamp"
mv "$out"/* "$cache/"
echo "$stamp" > "$cache/stamp"
as_root rm -rf "$tmp"
echo "== images are ready in $cache: $(du -sm "$cache" | cut -f1) MiB"
