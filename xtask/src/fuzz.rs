//! `fuzz`: libFuzzer against the packet parser; what it finds out grows the corpus that `cargo test` replays.

use crate::process::{find, output, run as run_command, untouched};
use crate::setup::{self, Group, cargo_tools};
use crate::workspace;
use anyhow::{Context, Result};
use std::path::Path;
use std::process::Command;

const TARGET: &str = "parse";
/// Longer than all headers that are read (62 bytes), or libFuzzer would look for something in the payload.
const LONGEST_FRAME: u32 = 128;

/// Fuzz the packet parser, and keep what reached new code in the corpus.
#[derive(Clone, Copy, clap::Args)]
pub(crate) struct Args {
    /// For how long
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

/// The command itself. A frame that breaks a property ends it, and is kept under `artifacts`.
pub(crate) fn run(args: Args) -> Result<()> {
    setup::ensure(&[Group::Fuzz])?;
    let corpus = workspace::fuzz().join("corpus").join(TARGET);
    std::fs::create_dir_all(&corpus).with_context(|| format!("cannot create {}", corpus.display()))?;
    let way = Way::find();
    println!("fuzz: {}", way.why());
    let mut fuzz = way.cargo_fuzz("run");
    fuzz.arg("--")
        .arg(format!("-max_total_time={}", args.seconds))
        .arg(format!("-max_len={LONGEST_FRAME}"));
    run_command(&mut fuzz)?;
    run_command(&mut way.cargo_fuzz("cmin"))?;
    let (files, bytes) = size_of(&corpus)?;
    println!("fuzz: the corpus is {files} files of {bytes} bytes in all");
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

    /// `cargo fuzz <subcommand> parse`.
    fn cargo_fuzz(self, subcommand: &str) -> Command {
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
        command.arg("--fuzz-dir").arg(workspace::fuzz());
        command
            .arg("--target-dir")
            .arg(workspace::target().join("fuzz"))
            .arg(TARGET);
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
