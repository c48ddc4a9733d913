#!/usr/bin/env bash
# Makes a machine of the Vagrantfile what its name says, as root: packages from /secbeat/packages, credentials from
# /secbeat/secrets. May be run again.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive

packages() {
    local wanted=()
    for name in "$@"; do
        dpkg-query --show --showformat='${db:Status-Status}' "$name" 2>/dev/null | grep -qx installed || wanted+=("$name")
    done
    if [ "${#wanted[@]}" -gt 0 ]; then
        apt-get --quiet update
        apt-get --quiet --yes install --no-install-recommends "${wanted[@]}"
    fi
}

case "$1" in
orchestrator)
    dpkg --install /secbeat/packages/secbeat-nats_*.deb /secbeat/packages/secbeat-orchestrator_*.deb
    install --directory --mode=711 /etc/secbeat/fleet
    rm -rf /etc/secbeat/fleet/nats
    cp -r /secbeat/secrets/nats /etc/secbeat/fleet/nats
    chgrp -R secbeat /etc/secbeat/fleet/nats
    chmod -R u=rwX,g=rX,o= /etc/secbeat/fleet/nats
    install --mode=600 /secbeat/secrets/orchestrator-1.toml /etc/secbeat/orchestrator.credentials
    # Short, for the test to see the end of a ban.
    printf '[ban]\nduration = "20s"\nstrike_factor = 1\n' > /etc/secbeat/orchestrator.toml
    systemctl enable --now secbeat-nats secbeat-orchestrator
    secbeat-orchestrator check
    ;;
edge)
    packages nginx-light bpftool iproute2
    dpkg --install /secbeat/packages/secbeat-edge_*.deb
    install --mode=600 /secbeat/secrets/edge.toml /root/edge.toml
    secbeat-edge enroll /root/edge.toml
    rm /root/edge.toml
    interface=$(ip -oneline address show to 192.168.56.11 | awk '{ print $2 }')
    cat > /etc/secbeat/edge.toml <<END
[kernel]
interfaces = ["$interface"]
# Not every card of a virtual machine has native XDP.
allow_generic = true

[proxy]
listen = "[::]:8443"
upstream = "http://127.0.0.1:80"
END
    secbeat-edge check
    systemctl enable --now nginx secbeat-edge
    ;;
attacker)
    packages curl iproute2
    # A visitor, who comes from the same machine.
    interface=$(ip -oneline address show to 192.168.56.12 | awk '{ print $2 }')
    ip address replace 192.168.56.13/24 dev "$interface"
    ;;
*)
    echo "provision.sh: there is no machine $1" >&2
    exit 1
    ;;
esac
