#!/usr/bin/env bash
# The whole behavioural flow, a line per step; fails on any failed expectation.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec cargo xtask behavioral "$@"
