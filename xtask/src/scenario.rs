//! What `demo`, `behavioral`, `bench` and `test` share: building the fleet, and running its scenarios as root.

use crate::install::{self, Group};
use crate::process::{become_command, cargo, ensure_sudo, is_root, run as run_command};
use crate::{workspace, xdp_program};
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
    install::ensure(groups)?;
    xdp_program::build()
}

/// The daemons, of which the edge embeds the XDP program.
pub(crate) const DAEMONS: [&str; 3] = ["secbeat", "secbeat-edge", "secbeat-orchestrator"];

/// Builds programs of this workspace.
///
/// As all builds of xtask, it is one of `--workspace`: for each other selection of packages, cargo selects other features of the
/// crates that they share, and compiles those crates again.
pub(crate) fn build(profile: Profile, programs: &[&str]) -> Result<()> {
    let mut build = cargo("build");
    build.arg("--workspace");
    for program in programs {
        build.args(["--bin", program]);
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

/// Prepares, builds and becomes the scenario `binary` of the crate `secbeat-tests`, as root, with the daemons of a fleet.
pub(crate) fn start(
    binary: &str,
    args: &[OsString],
    profile: Profile,
    more: &[(&'static str, PathBuf)],
) -> Result<()> {
    prepare(&[Group::Build, Group::Run])?;
    build(profile, &[&DAEMONS[..], &[binary]].concat())?;
    become_scenario(binary, args, profile, more)
}

/// Likewise, with `secbeat` alone and without NATS.
pub(crate) fn start_on_one_host(binary: &str) -> Result<()> {
    prepare(&[Group::Build, Group::Host])?;
    build(Profile::Debug, &["secbeat", binary])?;
    become_scenario(binary, &[], Profile::Debug, &[])
}

fn become_scenario(
    binary: &str,
    args: &[OsString],
    profile: Profile,
    more: &[(&'static str, PathBuf)],
) -> Result<()> {
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

#[cfg(test)]
mod tests {
    use crate::process::{cargo, output};
    use std::collections::BTreeSet;

    /// Every crate with its features.
    fn crates(edges: &str) -> BTreeSet<String> {
        let mut tree = cargo("tree");
        tree.args(["--offline", "--locked", "--workspace", "--edges", edges])
            .args(["--prefix", "none", "--format", "{p} {f}"]);
        let printed = output(&mut tree).unwrap();
        // The mark says that its dependencies were shown before.
        let lines = printed
            .lines()
            .map(|line| line.trim_end_matches("(*)").trim_end());
        lines.map(str::to_owned).collect()
    }

    /// Otherwise what dev-dependencies turn on is stated in tests/Cargo.toml no more.
    #[test]
    fn tests_compile_no_crate_again_that_the_daemons_were_built_with() {
        let (built, tested) = (crates("no-dev"), crates("normal,build,dev"));
        assert!(built.len() > 100, "{built:?}");
        let again: Vec<_> = built.difference(&tested).collect();
        assert!(
            again.is_empty(),
            "tests build these with other features: {again:#?}"
        );
    }
}
