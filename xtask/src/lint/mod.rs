//! `lint`: everything that is checked without running SecBeat.

mod architecture;
mod floors;
mod npm_licences;
mod words;

use crate::install::{self, Group};
use crate::process::{cargo, output, run as run_command};
use crate::workspace;
use anyhow::{Result, bail};
use secbeat_programs::LintProgram;
use std::env;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::process::Command;

/// A check of ours.
type Check = fn() -> Result<()>;

/// Check what can be checked without running SecBeat.
#[derive(Clone, Copy, clap::Args)]
pub(crate) struct Args {
    /// Only check which crate and which module may import from which
    #[arg(long)]
    architecture: bool,
    /// Only check the words of docs, configs and programs
    #[arg(long, conflicts_with = "architecture")]
    words: bool,
}

/// The command itself: all steps, also after one has failed, then which ones did.
///
/// The XDP program's binary is not among clippy's targets, for it compiles for BPF alone and there is no clippy with a `core`
/// for BPF; its library is.
pub(crate) fn run(args: Args) -> Result<()> {
    if args.words {
        return words::run();
    }
    println!("lint: architecture");
    let architecture = architecture::run();
    if args.architecture {
        return architecture;
    }
    let mut failed = Vec::new();
    if let Err(error) = architecture {
        eprintln!("lint: {error:#}");
        failed.push("architecture");
    }
    let checks: [(&str, Check); 2] = [("words", words::run), ("npm licences", npm_licences::run)];
    for (name, check) in checks {
        println!("lint: {name}");
        if let Err(error) = check() {
            eprintln!("lint: {error:#}");
            failed.push(name);
        }
    }
    install::ensure(&[Group::Lint])?;
    install::ensure_what_can_be(Group::Machines);
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
    let mut deny = tool("cargo-deny");
    deny.args(["--workspace", "check", "bans", "licenses", "sources"]);
    let mut machete = tool("cargo-machete");
    machete.arg("--skip-target-dir");
    // One at a time: what follows the first is taken for its arguments.
    let mut scripts = Command::new("sh");
    scripts
        .args(["-ec", "for script; do bash -n \"$script\"; done", "sh"])
        .args(shell_scripts()?);
    let mut steps = vec![("format", format), ("clippy", clippy())];
    steps.extend(workspace::FUZZED.map(format_of_fuzz_targets));
    steps.extend(workspace::FUZZED_ALONE.map(clippy_of_fuzz_targets));
    steps.extend([("deny", deny), ("machete", machete), ("scripts", scripts)]);
    for (program, folder, arguments) in [
        (LintProgram::Vagrant, "vagrant", ["validate", "--ignore-provider"]),
        (LintProgram::DockerCompose, "packaging", ["config", "--quiet"]),
    ] {
        if let Some(file) = program.row().find() {
            let mut check = Command::new(file);
            check.args(arguments).current_dir(workspace::root().join(folder));
            steps.push((program.name(), check));
        }
    }
    Ok(steps)
}

/// Clippy of the workspace.
///
/// Where clippy compiles in place of rustc (`.ci/run`), what it says is said while the tests are built. Elsewhere it only checks,
/// which is faster by itself, but has to check all dependencies too.
fn clippy() -> Command {
    if env::var_os("RUSTC_WORKSPACE_WRAPPER").is_some_and(|it| it == "clippy-driver") {
        let mut build = cargo("build");
        build.args(["--workspace", "--all-targets"]);
        return build;
    }
    let mut clippy = cargo("clippy");
    clippy.args(["--workspace", "--all-targets", "--", "-D", "warnings"]);
    clippy
}

fn format_of_fuzz_targets(krate: &str) -> (&'static str, Command) {
    let mut format = cargo("fmt");
    format
        .arg("--manifest-path")
        .arg(workspace::fuzz(krate).join("Cargo.toml"))
        .arg("--check");
    ("format of fuzz targets", format)
}

fn clippy_of_fuzz_targets(krate: &str) -> (&'static str, Command) {
    let mut clippy = cargo("clippy");
    clippy
        .arg("--manifest-path")
        .arg(workspace::fuzz(krate).join("Cargo.toml"))
        .arg("--target-dir")
        .arg(workspace::target().join("fuzz"))
        .args(["--", "-D", "warnings"])
        // Nothing is linked, so libFuzzer itself need not be built.
        .env("CUSTOM_LIBFUZZER_PATH", workspace::target().join("no-libfuzzer"));
    ("clippy of fuzz targets", clippy)
}

fn tool(name: &str) -> Command {
    let mut command = Command::new(workspace::tools().join("bin").join(name));
    command.current_dir(workspace::root());
    command
}

/// Everything in the repository that says it is for a shell.
fn shell_scripts() -> Result<Vec<PathBuf>> {
    let names = output(
        Command::new("git")
            .args(["ls-files", "--cached", "--others", "--exclude-standard"])
            .current_dir(workspace::root()),
    )?;
    let paths = names.lines().map(|name| workspace::root().join(name));
    let is_shell = |path: &PathBuf| {
        let mut start = [0; 32];
        let length = File::open(path).and_then(|mut file| file.read(&mut start));
        let start = &start[..length.unwrap_or(0)];
        let line = start.split(|byte| *byte == b'\n').next().unwrap_or_default();
        line.starts_with(b"#!") && line.ends_with(b"sh")
    };
    Ok(paths.filter(is_shell).collect())
}
