#!/bin/busybox sh
# The guest's first process. The kernel's messages go to the first serial line; to the second, which xtask reads, goes
# what the checks print, between lines of our own that start with `@`.
/bin/busybox --install -s /bin
export PATH=/secbeat/bin:/bin HOME=/tmp
mount -t devtmpfs none /dev
mount -t proc none /proc
mount -t sysfs none /sys
mount -t tmpfs none /run
mount -t tmpfs none /tmp
mount -t bpf none /sys/fs/bpf
exec > /dev/ttyS1 2>&1

for module in /modules/*.ko; do
    insmod "$module" || echo "@broken insmod $module"
done
ip link set lo up

export SECBEAT_BPF_OBJECT=/secbeat/object SECBEAT_BIN_DIR=/secbeat/bin SECBEAT_VERIFIED=/tmp/verified
export SECBEAT_WIRED_CARDS='eth0 eth1'
while read -r name threads tests; do
    echo "@begin $name"
    # $tests is several words.
    "/secbeat/tests/$name" --include-ignored --color never --test-threads "$threads" $tests < /dev/null
    echo "@end $name $?"
done < /secbeat/runs
sed 's/^/@verified /' "$SECBEAT_VERIFIED" || echo '@broken no verifier counts'
for left in /run/netns/* /sys/fs/bpf/*; do
    if [ -e "$left" ]; then echo "@broken left behind: $left"; fi
done
echo '@done'
exec > /dev/null 2>&1
poweroff -f
