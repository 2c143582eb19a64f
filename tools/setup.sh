#!/bin/bash
# SPDX-License-Identifier: MIT
# Install what building, running and testing need: Debian packages only. Does nothing when all is there.
set -eu
. "$(dirname "$0")/common.sh"
packages=(
    # build
    gcc make binutils libc6-dev python3 gzip xz-utils git libxen-dev
    liblzma-dev libzstd-dev zlib1g-dev liblz4-dev libbz2-dev
    # machines and their images
    qemu-system-x86 qemu-utils ovmf mtools dosfstools e2fsprogs mmdebstrap busybox-static cpio kmod
    grub-pc-bin grub-efi-amd64-bin grub-common xorriso zstd lz4 bzip2
    bochs bochs-x bochsbios vgabios xvfb xauth
    # tests
    libcmocka-dev libzydis-dev clang libclang-rt-14-dev clang-tidy cppcheck spin python3-pytest python3-pexpect
)
missing=()
for p in "${packages[@]}"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null || true)" = installed ] || missing+=("$p")
done
[ ${#missing[@]} -gt 0 ] || exit 0

[ "$(dpkg --print-architecture)" = amd64 ] || fail "an amd64 (x86-64) Debian 12 is needed, this is $(dpkg --print-architecture)"
grep -qs '^VERSION_CODENAME=bookworm' /etc/os-release ||
    echo "note: made for Debian 12 (bookworm); this is $(. /etc/os-release; echo "$PRETTY_NAME")"
need_root "to install packages: ${missing[*]}"
need_space / 1500 "to install packages"
echo "== installing ${#missing[@]} Debian packages: ${missing[*]}"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
log=$tmp/log

# apt tells what it does on a descriptor of its own ("dlstatus:1:23.4:text"): show each quarter of the way.
progress() {
    local kind percent shown=
    while IFS=: read -r kind _ percent _; do
        case $kind in dlstatus) kind="downloading";; pmstatus) kind="installing";; *) continue;; esac
        percent=$((${percent%%.*} / 25 * 25))
        [ "$shown" = "$kind $percent" ] || echo "   $kind: $percent %"
        shown="$kind $percent"
    done
}

# One source that cannot be reached is no reason to stop: the installation tells what is really missing.
as_root apt-get -qq update > "$log" 2>&1 || true
set -o pipefail
# A shell of root's own opens descriptor 3: sudo hands none on.
as_root sh -c 'log=$0; export DEBIAN_FRONTEND=noninteractive
    exec apt-get -q -y --no-install-recommends -o Dpkg::Use-Pty=0 -o APT::Status-Fd=3 install "$@" 3>&1 >> "$log" 2>&1' \
    "$log" "${missing[@]}" | progress || {
    { grep -m 3 'Failed to fetch' "$log" || grep -E '^(E|W|dpkg):' "$log" | tail -n 8; } >&2
    fail "the packages could not be installed: see above. Is the network up (deb.debian.org), or another apt running?"
}
