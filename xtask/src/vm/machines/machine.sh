#!/bin/bash
# What Vagrant does with a machine that has booted: its name, its address, its provisioning. The second serial line, which xtask
# reads, gets what is printed; lines of our own start with `@`.
exec > /dev/ttyS1 2>&1 < /dev/null
read -ra words < /proc/cmdline
for word in "${words[@]}"; do
    case $word in
    secbeat.machine=*) machine=${word#*=} ;;
    secbeat.address=*) address=${word#*=} ;;
    esac
done
hostname "$machine"
ip link set lo up
ip address add "$address/24" dev eth0
ip link set eth0 up
ln -s "/secbeat/machines/$machine" /secbeat/secrets
/secbeat/vagrant/provision.sh "$machine"
echo "@provisioned $?"
if [ "$machine" = attacker ]; then
    /secbeat/vagrant/behavioral.sh
    echo "@behaved $?"
fi
