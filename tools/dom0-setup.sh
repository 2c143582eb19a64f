#!/bin/bash
# SPDX-License-Identifier: MIT
# Settings an administrator would make in dom0's root file system ($1): console log-in, bridge, quiet timers.
set -eu
root=$1
echo helium > "$root/etc/hostname"
printf '127.0.0.1 localhost helium\n' > "$root/etc/hosts"
echo 'LABEL=dom0 / ext4 noatime 0 1' > "$root/etc/fstab"
chroot "$root" passwd -d root > /dev/null
# Log in on the console by itself.
mkdir -p "$root/etc/systemd/system/serial-getty@hvc0.service.d"
cat > "$root/etc/systemd/system/serial-getty@hvc0.service.d/autologin.conf" <<'U'
[Service]
ExecStart=
ExecStart=-/sbin/agetty --autologin root --noclear --keep-baud 115200 - $TERM
U
# On a busy host udev may need minutes: do not give up waiting for the console after 90 seconds.
mkdir -p "$root/etc/systemd/system/dev-hvc0.device.d"
printf '[Unit]\nJobRunningTimeoutSec=30min\n' > "$root/etc/systemd/system/dev-hvc0.device.d/patience.conf"
# A bridge for guests.
cat > "$root/etc/network/interfaces" <<'U'
auto lo
iface lo inet loopback

auto xenbr0
iface xenbr0 inet static
    bridge_ports none
    bridge_fd 0
    address 192.168.77.1/24
U
for unit in apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer \
    dpkg-db-backup.timer systemd-timesyncd.service getty@tty1.service; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
mkdir -p "$root/etc/systemd/journald.conf.d"
printf '[Journal]\nStorage=volatile\nRuntimeMaxUse=16M\n' > "$root/etc/systemd/journald.conf.d/small.conf"
# Console logs of guests are kept: the tests and the curious read them.
echo 'XENCONSOLED_ARGS="--log=guest"' >> "$root/etc/default/xen"
mkdir -p "$root/var/log/xen/console" "$root/etc/xen"
cat > "$root/etc/xen/demo.cfg" <<'U'
# The guest that `make run` starts.
name    = "demo"
type    = "pvh"
kernel  = "/srv/guest/vmlinux"
ramdisk = "/srv/guest/guest.initrd"
extra   = "console=hvc0 quiet"
memory  = 192
vcpus   = 1
vif     = [ "bridge=xenbr0" ]
on_crash = "destroy"
U
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/*
