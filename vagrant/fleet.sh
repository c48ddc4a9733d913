#!/usr/bin/env bash
# Makes a fleet's keys where vagrant runs, and a folder of what each machine needs of them in target/vagrant. Needs what
# `cargo xtask dist` builds.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
umask 077

secbeat=target/release/secbeat-orchestrator
if ! [ -x "$secbeat" ] || ! compgen -G 'target/dist/*.deb' > /dev/null; then
    echo "fleet.sh: there are no packages in target/dist; \`cargo xtask dist\` makes them" >&2
    exit 1
fi

lab=target/vagrant
if [ -e "$lab/done" ]; then exit 0; fi
rm -rf "$lab"
mkdir -p "$lab"/{orchestrator,edge,attacker}
"$secbeat" init --dir "$lab/fleet" --nats-dir /etc/secbeat/fleet/nats --host 192.168.56.10 > "$lab/log"
"$secbeat" enroll edge --dir "$lab/fleet" >> "$lab/log"
cp -r "$lab/fleet/nats" "$lab/fleet/credentials/orchestrator-1.toml" "$lab/orchestrator/"
cp "$lab/fleet/credentials/edge.toml" "$lab/edge/"
touch "$lab/done"
