//! What `demo`, `behavioral`, `bench` and `test` share: building the fleet, and running its scenarios as root.

use crate::build_ebpf;
use crate::process::{become_command, cargo, ensure_sudo, is_root, run as run_command};
use crate::setup::{self, Group};
use crate::workspace;
use anyhow::Result;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

/// How the daemons are compiled.
#[derive(Clone, Copy)]
pub(crate) enum Profile {
    Debug,
    Release,
}

impl Profile {
    /// Where cargo puts the daemons and scenarios of this profile.
    pub(crate) fn bin_dir(self) -> PathBuf {
        workspace::target().join(match self {
            Self::Debug => "debug",
            Self::Release => "release",
        })
    }
}

/// Installs what is missing of these groups, then builds the XDP program.
pub(crate) fn prepare(groups: &[Group]) -> Result<()> {
    // Before the long part, not after it.
    ensure_sudo()?;
    setup::ensure(groups)?;
    build_ebpf::build()
}

/// Builds both daemons, which embed the XDP program, and with `packages` more than them.
pub(crate) fn build_daemons(profile: Profile, packages: &[&str]) -> Result<()> {
    let mut build = cargo("build");
    build.args([
        "--package",
        "secbeat-edge",
        "--package",
        "secbeat-orchestrator",
        "--bins",
    ]);
    for package in packages {
        build.args(["--package", package]);
    }
    if matches!(profile, Profile::Release) {
        build.arg("--release");
    }
    run_command(&mut build)
}

/// What a scenario or test is told: where the daemons, the tools and the XDP program are.
pub(crate) fn environment(profile: Profile) -> Vec<(&'static str, PathBuf)> {
    vec![
        ("SECBEAT_BIN_DIR", profile.bin_dir()),
        ("SECBEAT_TOOLS", workspace::tools()),
        ("SECBEAT_BPF_OBJECT", workspace::bpf_object()),
    ]
}

/// Prepares, builds and becomes the scenario `binary` of the crate `secbeat-tests`, as root.
pub(crate) fn start(
    binary: &str,
    args: &[OsString],
    profile: Profile,
    more: &[(&'static str, PathBuf)],
) -> Result<()> {
    prepare(&[Group::Build, Group::Run])?;
    build_daemons(profile, &["secbeat-tests"])?;
    let mut environment = environment(profile);
    environment.extend_from_slice(more);
    let program = profile.bin_dir().join(binary);
    let mut command = if is_root() {
        let mut command = Command::new(program);
        command.envs(environment);
        command
    } else {
        println!(
            "{binary}: through sudo, since loading XDP programs and creating network namespaces needs root"
        );
        let mut command = Command::new("sudo");
        // Through `env`, since sudo may be configured to drop variables.
        command.arg("env");
        for (name, value) in environment {
            let mut pair = OsString::from(name);
            pair.push("=");
            pair.push(value);
            command.arg(pair);
        }
        command.arg(program);
        command
    };
    become_command(command.args(args).current_dir(workspace::root()))
}
