#!/bin/busybox sh
# The first process of a machine with a disk: modules, then the disk's own.
/bin/busybox --install -s /bin
export PATH=/bin
mount -t devtmpfs none /dev
mount -t proc none /proc
mount -t sysfs none /sys
for module in /modules/*.ko; do
    insmod "$module" || echo "init: $module"
done
mount -t ext4 /dev/vda /root || poweroff -f
for mounted in dev proc sys; do
    mount --move "/$mounted" "/root/$mounted"
done
exec switch_root /root /usr/lib/systemd/systemd
