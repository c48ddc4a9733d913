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
    run_command(&mut build_command(profile, programs))
}

fn build_command(profile: Profile, programs: &[&str]) -> Command {
    let mut build = cargo("build");
    build.arg("--workspace");
    for program in programs {
        build.args(["--bin", program]);
    }
    if matches!(profile, Profile::Release) {
        build.arg("--release");
    }
    build
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
    use super::{DAEMONS, Profile, build_command};
    use crate::process::{cargo, output};
    use serde_json::{Value, json};
    use std::collections::{BTreeMap, BTreeSet};
    use std::process::Command;

    /// The libraries that cargo would compile: each with its name, and with what tells it from the same one compiled otherwise.
    fn libraries(mut command: Command) -> BTreeSet<(String, String)> {
        command
            .args(["--offline", "--locked", "-Z", "unstable-options", "--unit-graph"])
            .env("RUSTC_BOOTSTRAP", "1");
        let graph: Value = serde_json::from_str(&output(&mut command).unwrap()).unwrap();
        let units = graph["units"].as_array().unwrap();
        let others = [json!(["bin"]), json!(["custom-build"])];
        let libraries = units
            .iter()
            .filter(|unit| unit["mode"] == "build" && !others.contains(&unit["target"]["kind"]));
        libraries
            .map(|unit| {
                let mut settings = unit["profile"].clone();
                // "dev" or "test": nothing is compiled otherwise for it.
                settings.as_object_mut().unwrap().remove("name");
                let package = unit["pkg_id"].as_str().unwrap();
                (package.to_owned(), format!("{} {settings}", unit["features"]))
            })
            .collect()
    }

    fn of_the_demo() -> BTreeSet<(String, String)> {
        let libraries = libraries(build_command(
            Profile::Debug,
            &[&DAEMONS[..], &["secbeat-demo"]].concat(),
        ));
        assert!(libraries.len() > 100, "{libraries:?}");
        libraries
    }

    /// Whether it is one of these packages, whatever its version.
    fn is_of(package: &str, names: &[&str]) -> bool {
        names.iter().any(|name| package.contains(&format!("#{name}@")))
    }

    /// Otherwise what dev-dependencies turn on is stated in tests/Cargo.toml no more.
    #[test]
    fn tests_compile_no_crate_again_that_the_daemons_were_built_with() {
        let mut test = cargo("test");
        test.args(["--workspace", "--test", "*"]);
        let tested = libraries(test);
        let built = of_the_demo();
        let again: Vec<_> = built.difference(&tested).collect();
        assert!(
            again.is_empty(),
            "tests build these with other features: {again:#?}"
        );
    }

    /// A fresh machine compiles xtask first, and then everything else.
    #[test]
    fn what_macros_of_xtask_are_made_of_is_compiled_once() {
        let mut xtask = cargo("build");
        xtask.args(["--package", "xtask"]);
        let (xtask, demo) = (libraries(xtask), of_the_demo());
        let of_xtask_alone = xtask.difference(&demo);
        // That of the macros would be a second one.
        let syn: Vec<_> = of_xtask_alone
            .filter(|(package, _)| is_of(package, &["syn"]))
            .collect();
        assert_eq!(syn.len(), 1, "{syn:#?}");
    }

    /// Macros run in the compiler: what they are made of is compiled for it, and once more if the daemons' features differ.
    #[test]
    fn macros_and_daemons_share_what_both_are_made_of() {
        let mut compiled = BTreeMap::<_, Vec<_>>::new();
        for (package, how) in of_the_demo() {
            compiled.entry(package).or_default().push(how);
        }
        // Less than two seconds each.
        compiled.retain(|package, _| !is_of(package, &["either", "itertools", "serde_core", "uuid"]));
        compiled.retain(|_, ways| ways.len() > 1);
        assert!(compiled.is_empty(), "{compiled:#?}");
    }
}
