#!/bin/bash
# PID 1 of new namespaces: systemd, over an overlay of the root $1. $2 is an empty folder, $3 a folder with what to lay
# over the root.
set -eu
lower=$1 folder=$2 files=$3
mount --make-rprivate /
mount -t tmpfs tmpfs "$folder"
mkdir "$folder"/{upper,work,root}
root=$folder/root
mount -t overlay overlay -o lowerdir="$lower",upperdir="$folder/upper",workdir="$folder/work" "$root"
rm -rf "$root"/{etc,var/lib,var/log}/secbeat "$root"/var/log/journal
cp -a "$files/root/." "$root/"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t bpf -o mode=0700 bpf "$root/sys/fs/bpf"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs tmpfs "$root/dev"
for node in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0; do
    IFS=: read -r name major minor <<< "$node"
    mknod --mode=666 "$root/dev/$name" c "$major" "$minor"
done
mkdir "$root"/dev/{shm,pts,mqueue,hugepages}
mount -t tmpfs tmpfs "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
while read -r source target; do
    mkdir -p "$root${target%/*}"
    touch "$root$target"
    mount --bind "$source" "$root$target"
done < "$files/bound"
# Not chroot: units that have mounts of their own ask for a root that is one.
mkdir "$root/before"
cd "$root"
pivot_root . before
umount --lazy /before
mount --make-rshared /
exec env -i container=secbeat PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --system --unit=secbeat-test.target --log-target=console --show-status=no
