#!/bin/bash
# SPDX-License-Identifier: MIT
# Install what building, running and testing need: Debian packages only. Does nothing when all is there.
set -eu
packages=(
    # build
    gcc make binutils libc6-dev python3 gzip xz-utils git libxen-dev
    liblzma-dev libzstd-dev zlib1g-dev liblz4-dev libbz2-dev
    # machines and their images
    qemu-system-x86 qemu-utils ovmf mtools dosfstools e2fsprogs mmdebstrap busybox-static cpio kmod
    grub-pc-bin grub-efi-amd64-bin grub-common xorriso zstd lz4 bzip2
    # tests
    libcmocka-dev libzydis-dev clang python3-pytest python3-pexpect
)
missing=()
for p in "${packages[@]}"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null || true)" = installed ] || missing+=("$p")
done
[ ${#missing[@]} -gt 0 ] || exit 0
echo "== installing: ${missing[*]}"
as_root=()
if [ "$(id -u)" != 0 ]; then
    command -v sudo > /dev/null || { echo "setup: not root and no sudo: install by hand: ${missing[*]}" >&2; exit 1; }
    as_root=(sudo)
fi
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get -qq update
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install "${missing[@]}" > /dev/null
