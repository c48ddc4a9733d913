#!/usr/bin/env bash
# The short behavioural flow; fails on any failed expectation.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec cargo xtask behavioral --quick "$@"
