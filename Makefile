.PHONY: build demo lint test test-behavioral test-behavioral-quick

build:
	cargo xtask build-ebpf
	cargo build --workspace --bin secbeat-edge --bin secbeat-orchestrator

demo:
	cargo xtask demo

test:
	cargo xtask test

lint:
	cargo xtask lint

test-behavioral:
	scripts/test_behavioral_ban.sh

test-behavioral-quick:
	scripts/test_behavioral_quick.sh
