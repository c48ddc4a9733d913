#!/usr/bin/env bash
# Prepares the machine of the Vagrantfile. Runs as its user, who has sudo; may be run again at any time.
set -euo pipefail

sudo apt-get --quiet update
# What compiling xtask needs, and fetching Rust; `cargo xtask setup` installs the rest.
sudo DEBIAN_FRONTEND=noninteractive apt-get --quiet --yes install build-essential ca-certificates curl

if [ -r "$HOME/.cargo/env" ]; then
    # shellcheck source=/dev/null
    . "$HOME/.cargo/env"
fi
if ! command -v cargo >/dev/null; then
    echo "provision.sh: there is no cargo here: \`vagrant ssh\`, install stable Rust (1.95 or newer) with rustup" \
        "as its site says, leave, and \`vagrant provision\`" >&2
    exit 1
fi

cd "$HOME/secbeat"
cargo xtask setup
