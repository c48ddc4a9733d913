//! `fuzz`: libFuzzer against parsers; what it finds out grows the corpora that `cargo test` replays.

use crate::install::{self, Group, cargo_tools};
use crate::process::{find, output, run as run_command, untouched};
use crate::workspace;
use anyhow::{Context, Result};
use std::path::Path;
use std::process::Command;

/// A fuzz target.
struct Target {
    /// One of [`workspace::FUZZED`].
    krate: &'static str,
    name: &'static str,
    /// Longest input in bytes.
    longest: u32,
}

const TARGETS: [Target; 19] = [
    // Longer than all headers that are read (62 bytes), or libFuzzer would look for something in the payload.
    Target::new("secbeat-ebpf", "parse", 128),
    Target::new("secbeat-edge", "chain", 256),
    Target::new("secbeat-edge", "proxy_header", 256),
    Target::new("secbeat-common", "combined", 512),
    Target::new("secbeat-common", "nginx_json", 512),
    Target::new("secbeat-common", "json", 512),
    Target::new("secbeat-common", "wrapped", 1024),
    Target::new("secbeat-common", "caddy_json", 512),
    Target::new("secbeat-common", "traefik_json", 512),
    Target::new("secbeat-common", "haproxy", 512),
    Target::new("secbeat-common", "envoy_json", 512),
    Target::new("secbeat-common", "envoy", 512),
    Target::new("secbeat-common", "pattern", 512),
    Target::new("secbeat-common", "attack", 512),
    Target::new("secbeat-common", "waf", 1024),
    Target::new("secbeat-common", "wire", 1024),
    Target::new("secbeat-common", "signatures", 512),
    Target::new("tests", "config", 2048),
    Target::new("tests", "lists", 2048),
];

impl Target {
    const fn new(krate: &'static str, name: &'static str, longest: u32) -> Self {
        Self { krate, name, longest }
    }
}

/// Fuzz parsers, one after the other, and keep what reached new code in their corpora.
#[derive(Clone, clap::Args)]
pub(crate) struct Args {
    /// For how long, each
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Only these targets
    #[arg(value_parser = TARGETS.map(|target| target.name))]
    targets: Vec<String>,
}

/// The command itself. An input that breaks a property ends it, and is kept under `artifacts`.
pub(crate) fn run(args: &Args) -> Result<()> {
    install::ensure(&[Group::Fuzz])?;
    let way = Way::find();
    println!("fuzz: {}", way.why());
    let wanted =
        |target: &&Target| args.targets.is_empty() || args.targets.iter().any(|it| it == target.name);
    TARGETS
        .iter()
        .filter(wanted)
        .try_for_each(|target| fuzz(target, way, args.seconds))
}

fn fuzz(target: &Target, way: Way, seconds: u32) -> Result<()> {
    let name = target.name;
    let corpus = workspace::fuzz(target.krate).join("corpus").join(name);
    std::fs::create_dir_all(&corpus).with_context(|| format!("cannot create {}", corpus.display()))?;
    let mut fuzz = way.cargo_fuzz("run", target);
    fuzz.arg("--")
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={}", target.longest));
    run_command(&mut fuzz)?;
    run_command(&mut way.cargo_fuzz("cmin", target))?;
    let (files, bytes) = size_of(&corpus)?;
    println!("fuzz: the corpus of {name} is {files} files of {bytes} bytes in all");
    Ok(())
}

/// libFuzzer's instrumentation needs a compiler that takes unstable flags.
#[derive(Clone, Copy)]
enum Way {
    /// rustup's nightly, with its address sanitizer.
    Nightly,
    /// The compiler that built xtask, told to be one; it comes without sanitizers.
    Bootstrap,
}

impl Way {
    fn find() -> Self {
        let has_nightly = find("rustup").is_some()
            && output(untouched("rustup").args(["run", "nightly", "rustc", "-V"])).is_ok();
        if has_nightly {
            Self::Nightly
        } else {
            Self::Bootstrap
        }
    }

    fn why(self) -> &'static str {
        match self {
            Self::Nightly => "with rustup's nightly and its address sanitizer",
            Self::Bootstrap => "with the stable compiler and no sanitizer, since rustup has no nightly",
        }
    }

    /// `cargo fuzz <subcommand> <target>`.
    fn cargo_fuzz(self, subcommand: &str, target: &Target) -> Command {
        let program = cargo_tools::FUZZ.binary();
        let mut command = match self {
            Self::Nightly => {
                let mut command = untouched("rustup");
                command.args(["run", "nightly"]).arg(program);
                command
            }
            Self::Bootstrap => {
                let mut command = Command::new(program);
                command.env("RUSTC_BOOTSTRAP", "1").current_dir(workspace::root());
                command
            }
        };
        command.args(["fuzz", subcommand]);
        if matches!(self, Self::Bootstrap) {
            command.args(["--sanitizer", "none"]);
        }
        command.arg("--fuzz-dir").arg(workspace::fuzz(target.krate));
        command
            .arg("--target-dir")
            .arg(workspace::target().join("fuzz"))
            .arg(target.name);
        command
    }
}

/// Files in a folder, and bytes in them.
fn size_of(folder: &Path) -> Result<(usize, u64)> {
    let reading = || format!("cannot read {}", folder.display());
    let (mut files, mut bytes) = (0, 0);
    for entry in std::fs::read_dir(folder).with_context(reading)? {
        files += 1;
        bytes += entry
            .and_then(|file| file.metadata())
            .with_context(reading)?
            .len();
    }
    Ok((files, bytes))
}
