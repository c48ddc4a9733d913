//! `lint`: everything that is checked without running SecBeat.

use crate::process::{cargo, run as run_command};
use crate::setup::{self, Group};
use crate::workspace;
use anyhow::{Context, Result, bail};
use std::path::PathBuf;
use std::process::Command;

/// The command itself: all steps, also after one has failed, then which ones did.
///
/// The XDP program's binary is not among clippy's targets, for it compiles for BPF alone and there is no clippy with a `core`
/// for BPF; its library is.
pub(crate) fn run() -> Result<()> {
    setup::ensure(&[Group::Lint])?;
    let mut failed = Vec::new();
    for (name, mut step) in steps()? {
        println!("lint: {name}");
        if let Err(error) = run_command(&mut step) {
            eprintln!("lint: {error:#}");
            failed.push(name);
        }
    }
    if !failed.is_empty() {
        bail!("lint failed: {}", failed.join(", "));
    }
    println!("lint: all passed");
    Ok(())
}

fn steps() -> Result<Vec<(&'static str, Command)>> {
    let mut format = cargo("fmt");
    format.args(["--all", "--check"]);
    let mut clippy = cargo("clippy");
    clippy.args(["--workspace", "--all-targets", "--", "-D", "warnings"]);
    let mut deny = tool("cargo-deny");
    deny.args(["--workspace", "check", "bans", "licenses", "sources"]);
    let mut machete = tool("cargo-machete");
    machete.arg("--skip-target-dir");
    let mut scripts = Command::new("bash");
    scripts.arg("-n").args(shell_scripts()?);
    let mut steps = vec![("format", format), ("clippy", clippy)];
    steps.extend(workspace::FUZZED.into_iter().flat_map(of_fuzz_targets));
    steps.extend([("deny", deny), ("machete", machete), ("scripts", scripts)]);
    Ok(steps)
}

fn of_fuzz_targets(krate: &str) -> [(&'static str, Command); 2] {
    let manifest = workspace::fuzz(krate).join("Cargo.toml");
    let mut format = cargo("fmt");
    format.arg("--manifest-path").arg(&manifest).arg("--check");
    let mut clippy = cargo("clippy");
    clippy
        .arg("--manifest-path")
        .arg(&manifest)
        .arg("--target-dir")
        .arg(workspace::target().join("fuzz"))
        .args(["--", "-D", "warnings"])
        // Nothing is linked, so libFuzzer itself need not be built.
        .env("CUSTOM_LIBFUZZER_PATH", workspace::target().join("no-libfuzzer"));
    [
        ("format of fuzz targets", format),
        ("clippy of fuzz targets", clippy),
    ]
}

fn tool(name: &str) -> Command {
    let mut command = Command::new(workspace::tools().join("bin").join(name));
    command.current_dir(workspace::root());
    command
}

fn shell_scripts() -> Result<Vec<PathBuf>> {
    let directory = workspace::root().join("scripts");
    let files =
        std::fs::read_dir(&directory).with_context(|| format!("cannot read {}", directory.display()))?;
    let mut scripts: Vec<_> = files
        .filter_map(|file| file.ok().map(|file| file.path()))
        .collect();
    scripts.retain(|path| path.extension().is_some_and(|extension| extension == "sh"));
    scripts.extend(
        [".ci/run", "vagrant/provision.sh", "xtask/src/vm/init.sh"]
            .map(|script| workspace::root().join(script)),
    );
    Ok(scripts)
}
