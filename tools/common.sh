# SPDX-License-Identifier: MIT
# Shared by the set-up scripts: one clear line for what stands in the way.
PATH=$PATH:/usr/sbin:/sbin

fail() { echo "helium: $*" >&2; exit 1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# need_root WHY: fails unless root or with sudo.
need_root() {
    [ "$(id -u)" = 0 ] || command -v sudo > /dev/null || fail "root (or sudo) is needed $1"
}

# need_space FOLDER MIB WHY
need_space() {
    local free
    free=$(df --output=avail -BM "$1" | tail -n 1 | tr -dc 0-9)
    [ "$free" -ge "$2" ] || fail "$2 MiB of free disk are needed in $1 $3; there are $free MiB"
}
